# Copyright: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
name: workload_calls
short_description: What the role workload asks the modules for
version_added: 0.2.0
author:
  - bulkhead.linux contributors (@bulkhead-linux)
description:
  - Turns a list of workloads into the objects of M(bulkhead.linux.container_run) and M(bulkhead.linux.cgroup_group).
  - Made for the role P(bulkhead.linux.workload#role). It may change without notice.
options:
  _input:
    description: The workloads, as the role takes them.
    type: list
    elements: dict
    required: true
  defaults:
    description: Options for every workload with a command that does not give them itself.
    type: dict
    default: {}
  recorded:
    description: What the role has made on the machine so far, as P(bulkhead.linux.workload_record#filter) returns it.
    type: dict
    default: {}
  prune:
    description: Whether what is recorded and not in the list is to be removed.
    type: bool
    default: false
"""

EXAMPLES = r"""
- name: See what the role would ask for
  ansible.builtin.debug:
    msg: "{{ workloads | bulkhead.linux.workload_calls }}"
  vars:
    workloads:
      - {name: web, command: [sleep, infinity]}
      - {name: batch, resources: {memory: {max: 1G}}}
"""

RETURN = r"""
_value:
  description:
    - C(containers) and C(groups), the objects of the two modules; C(promises), groups that stand for all workloads in the sum of their limits.
    - C(twice), names that are in the list more than once; C(strange), workloads without a command that ask for what only containers have.
    - C(unlisted), what is recorded and not in the list.
  type: dict
"""

from typing import Any

# What a workload without a command may have.
OF_GROUPS = ("name", "state", "resources", "processes", "force", "frozen", "controllers", "manager")
GROUP_STATES = {"started": "present", "absent": "absent"}
SUMMED = ("memory", "cpu", "pids")


def merged(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    """One dictionary laid over another, and so within them."""
    found = dict(below)
    for name, value in above.items():
        inner = found.get(name)
        found[name] = merged(inner, value) if isinstance(inner, dict) and isinstance(value, dict) else value
    return found


def state_of(workload: dict[str, Any]) -> str:
    return str(workload.get("state", "started"))


def is_container(workload: dict[str, Any]) -> bool:
    return "command" in workload


def strange(workload: dict[str, Any]) -> bool:
    """Whether it is a group and asks for what groups do not have."""
    if is_container(workload) or state_of(workload) == "absent":
        return False
    return state_of(workload) not in GROUP_STATES or not set(workload) <= set(OF_GROUPS)


def containers(workloads: list[dict[str, Any]], defaults: dict[str, Any], made: list[str]) -> list[dict[str, Any]]:
    """The containers. One that is to be gone, or was a container and is a group now, is removed by its name."""
    found = [merged(defaults, workload) for workload in workloads if is_container(workload)]
    for workload in workloads:
        name = str(workload["name"])
        if not is_container(workload) and "/" not in name and (state_of(workload) == "absent" or name in made):
            found.append({"name": workload["name"], "state": "absent"})
    return found


def groups(workloads: list[dict[str, Any]], made: dict[str, str]) -> list[dict[str, Any]]:
    """The groups. What cgroup_group has at the top, workloads have under resources."""
    found = []
    needed = {above for workload in workloads for above in _above(str(workload["name"]))}
    for workload in workloads:
        options = {name: value for name, value in workload.items() if name in OF_GROUPS and name not in ("resources", "state")}
        if not is_container(workload):
            found.append({**options, **(workload.get("resources") or {}), "state": GROUP_STATES.get(state_of(workload), "present")})
        elif str(workload["name"]) in made and workload["name"] not in needed:
            found.append({"name": workload["name"], "state": "absent", "force": workload.get("force", False)})
    return found


def promises(workloads: list[dict[str, Any]], leaving: list[str]) -> list[dict[str, Any]]:
    """All workloads as groups side by side, for the sum of their limits; those that are to be gone do not count."""
    found = []
    for workload in workloads:
        if state_of(workload) == "absent":
            leaving = [*leaving, str(workload["name"])]
            continue
        limits = {name: value for name, value in (workload.get("resources") or {}).items() if name in SUMMED}
        found.append({"name": "bulkhead/%s" % workload["name"], "overcommit": "deny", **limits})
    return found + [{"name": "bulkhead/" + name, "state": "absent", "force": True} for name in leaving]


def unlisted(workloads: list[dict[str, Any]], recorded: dict[str, Any]) -> dict[str, Any]:
    """What is recorded and not in the list. A group that has one of the list inside of it is still needed."""
    listed = {str(workload["name"]) for workload in workloads}
    needed = listed | {above for name in listed for above in _above(name)}
    return {
        "containers": [name for name in recorded.get("containers") or [] if name not in listed],
        "groups": {name: place for name, place in (recorded.get("groups") or {}).items() if name not in needed},
    }


def _above(name: str) -> list[str]:
    parts = name.split("/")
    return ["/".join(parts[:end]) for end in range(1, len(parts))]


def workload_calls(
    workloads: list[dict[str, Any]], defaults: dict[str, Any] | None = None, recorded: dict[str, Any] | None = None, prune: bool = False
) -> dict[str, Any]:
    recorded = recorded or {}
    names = [str(workload["name"]) for workload in workloads]
    left = unlisted(workloads, recorded)
    return {
        "twice": sorted({name for name in names if names.count(name) > 1}),
        "strange": [workload["name"] for workload in workloads if strange(workload)],
        "containers": containers(workloads, defaults or {}, recorded.get("containers") or []),
        "groups": groups(workloads, recorded.get("groups") or {}),
        "promises": promises(workloads, left["containers"] if prune else []),
        "unlisted": left,
    }


class FilterModule:
    """What Ansible looks for."""

    def filters(self) -> dict[str, Any]:
        return {"workload_calls": workload_calls}
