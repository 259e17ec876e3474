# Copyright: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
name: workload_record
short_description: What the role workload has made on a machine
version_added: 0.2.0
author:
  - bulkhead.linux contributors (@bulkhead-linux)
description:
  - Brings the record of what the role has made up to date after a run.
  - Made for the role P(bulkhead.linux.workload#role). It may change without notice.
positional: containers, groups
options:
  _input:
    description: The record from before the run.
    type: dict
    required: true
  containers:
    description: What M(bulkhead.linux.container_run) reported of each container; nothing where it failed.
    type: list
    elements: dict
    default: []
  groups:
    description: What M(bulkhead.linux.cgroup_group) reported of each group; nothing where it failed.
    type: list
    elements: dict
    default: []
  gone:
    description: What was in the record and is not there any more; C(containers) and C(groups), lists of names.
    type: dict
    default: {}
"""

EXAMPLES = r"""
- name: Record a container that was made, and forget one that is gone
  ansible.builtin.debug:
    msg: "{{ before | bulkhead.linux.workload_record(made, [], {'containers': ['old']}) }}"
  vars:
    before: {containers: [old], groups: {}}
    made: [{name: web, state: started}]
"""

RETURN = r"""
_value:
  description: C(containers), the names of containers, and C(groups), each group that was made with its control group.
  type: dict
"""

from typing import Any


def workload_record(
    before: dict[str, Any],
    containers: list[dict[str, Any]] | None = None,
    groups: list[dict[str, Any]] | None = None,
    gone: dict[str, Any] | None = None,
) -> dict[str, Any]:
    names = set(before.get("containers") or [])
    places = dict(before.get("groups") or {})
    for one in containers or []:
        (names.discard if one.get("state") == "absent" else names.add)(str(one["name"]))
    for one in groups or []:
        name, place = str(one["name"]), str(one.get("cgroup") or one["name"])
        # The same group under another name is recorded once, by the name of today.
        places = {other: where for other, where in places.items() if other != name and where != place}
        if one.get("state") != "absent":
            places[name] = place
    gone = gone or {}
    return {
        "containers": sorted(names - set(gone.get("containers") or [])),
        "groups": {name: places[name] for name in sorted(places) if name not in (gone.get("groups") or [])},
    }


class FilterModule:
    """What Ansible looks for."""

    def filters(self) -> dict[str, Any]:
        return {"workload_record": workload_record}
