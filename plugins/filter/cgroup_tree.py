# Copyright: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
name: cgroup_tree
short_description: What the role cgroups asks of a machine
version_added: 0.2.0
author:
  - bulkhead.linux contributors (@bulkhead-linux)
description:
  - Turns a tree of control groups that is described once for a fleet into the objects of
    M(bulkhead.linux.cgroup_group) for one machine.
  - Made for the role P(bulkhead.linux.cgroups#role). It may change without notice.
options:
  _input:
    description: The groups by name, as the role takes them.
    type: dict
    required: true
  capacity:
    description: What the machine has, as C(host.capacity) of M(bulkhead.linux.cgroup_info).
    type: dict
    default: {}
  only:
    description: A limit, such as V(memory.high); groups that have it, and nothing else of them.
    type: str
  without:
    description: Limits to leave out.
    type: list
    elements: str
    default: []
"""

EXAMPLES = r"""
- name: See what half of a machine comes to
  ansible.builtin.debug:
    msg: "{{ tree | bulkhead.linux.cgroup_tree(capacity={'memory.max': 8589934592, 'cpu.max': 4}) }}"
  vars:
    tree:
      batch: {memory: {max: 50%}, cpu: {max: 50%, weight: 20}}
      batch/night: {pids: {max: 100}}
"""

RETURN = r"""
_value:
  description: The groups, as M(bulkhead.linux.cgroup_group) takes them.
  type: list
  elements: dict
"""

import re
import typing as t

from ansible.errors import AnsibleFilterError

# What is said of a group beside its limits.
NOT_LIMITS = ("state", "manager", "force", "processes", "overcommit")
# What there is of a thing, by the option that says so; each of these limits may be a share of it.
SHARED = {
    "memory.max": "memory.max",
    "memory.high": "memory.max",
    "memory.low": "memory.max",
    "memory.min": "memory.max",
    "cpu.max": "cpu.max",
    "pids.max": "pids.max",
}
_SHARE = re.compile(r"([0-9]+(?:\.[0-9]+)?) *%")


def _groups(tree: object) -> dict[str, dict[str, t.Any]]:
    if not isinstance(tree, dict):
        raise AnsibleFilterError("cgroups_tree is no dictionary of groups by name")
    found = {}
    for name, options in tree.items():
        if not isinstance(options, (dict, type(None))):
            raise AnsibleFilterError("cgroups_tree: what is said of %s is no dictionary" % name)
        if options and "name" in options:
            raise AnsibleFilterError("cgroups_tree: %s has a name by its place already" % name)
        found[str(name)] = dict(options or {})
    return found


def limits_of(options: dict[str, t.Any]) -> list[str]:
    """The limits of one group: memory.high, and io or devices as a whole where lists are in it."""
    found = []
    for section, value in options.items():
        if section in NOT_LIMITS:
            continue
        inner = value if isinstance(value, dict) else {}
        found += ["%s.%s" % (section, key) for key in inner] or [section]
    return found


def cgroup_limits(tree: dict[str, t.Any]) -> list[str]:
    """Every limit of a tree, once."""
    return sorted({limit for options in _groups(tree).values() for limit in limits_of(options)})


def _share(name: str, limit: str, asked: object, capacity: dict[str, t.Any]) -> object:
    """A limit on this machine; what is no share of it is as it was given."""
    found = _SHARE.fullmatch(asked.strip()) if isinstance(asked, str) else None
    if not found:
        return asked
    share = float(found.group(1)) / 100
    if limit not in SHARED or not 0 < share <= 1:
        raise AnsibleFilterError(
            "cgroups_tree: %s of %s is %s; shares of a machine are more than 0%% and at most 100%%,"
            " of %s" % (limit, name, asked, ", ".join(SHARED))
        )
    amount = capacity.get(SHARED[limit])
    if not amount:
        raise AnsibleFilterError("how much there is of %s on the machine is not known" % limit)
    # A CPU can be divided by the microsecond of a period of 100 ms; the rest is counted.
    return round(amount * share, 5) if limit == "cpu.max" else max(1, int(amount * share))


def _kept(limit: str, only: str | None, without: t.Sequence[str]) -> bool:
    return limit not in without and only in (None, limit)


def _section(
    name: str,
    section: str,
    value: object,
    capacity: dict[str, t.Any],
    only: str | None,
    without: t.Sequence[str],
) -> object:
    if not isinstance(value, dict) or not value:
        return value if _kept(section, only, without) else None
    return {
        key: _share(name, "%s.%s" % (section, key), inner, capacity)
        for key, inner in value.items()
        if _kept("%s.%s" % (section, key), only, without)
    } or None


def cgroup_tree(
    tree: dict[str, t.Any],
    capacity: dict[str, t.Any] | None = None,
    only: str | None = None,
    without: t.Sequence[str] = (),
) -> list[dict[str, t.Any]]:
    """The objects of cgroup_group, those above before those below."""
    found = []
    for name, options in sorted(_groups(tree).items()):
        if only is not None and only not in limits_of(options):
            continue
        group: dict[str, t.Any] = {"name": name}
        for section, value in options.items():
            if section in NOT_LIMITS:
                group[section] = value
                continue
            kept = _section(name, section, value, capacity or {}, only, without)
            if kept is not None:
                group[section] = kept
        found.append(group)
    return found


class FilterModule:
    """What Ansible looks for."""

    def filters(self) -> dict[str, t.Any]:
        return {"cgroup_tree": cgroup_tree, "cgroup_limits": cgroup_limits}
