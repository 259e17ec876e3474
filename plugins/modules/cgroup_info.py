#!/usr/bin/python
# Copyright: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: cgroup_info
short_description: Look at control groups and at what the machine has to give
description:
  - Tells of a group its limits, usage, statistics, pressure, how often each limit was hit, and who is inside; in the vocabulary of cgroup v2 on any host.
  - Tells of the host which hierarchies there are, which controller is where, and whether the limits that were given still fit the machine.
  - Finds the group of a process.
version_added: 0.1.0
author:
  - bulkhead.linux contributors (@bulkhead-linux)
extends_documentation_fragment:
  - bulkhead.linux.attributes.info
options:
  name:
    description: >-
      The group, as a path relative to the root of the hierarchy, or where systemd runs the machine also as M(bulkhead.linux.cgroup_group) names it: V(web)
      for C(web.slice), or a unit such as V(nginx.service). Without this and O(pid), only the host is described, and with O(recursive) every
      group.
    type: str
  pid:
    description: Describe the group or groups in which this process is.
    type: int
  recursive:
    description: Describe the groups below too.
    type: bool
    default: false
seealso:
  - module: bulkhead.linux.cgroup_group
"""

EXAMPLES = r"""
- name: See how often a group ran into its limits
  bulkhead.linux.cgroup_info:
    name: web
  register: web

- name: Complain when the kernel killed in it
  ansible.builtin.debug:
    msg: "{{ web.groups[0].events.oom_kill }} processes of web were killed for want of memory"
  when: web.groups[0].exists and web.groups[0].events.oom_kill | default(0) > 0

- name: Find out in which group a process is
  bulkhead.linux.cgroup_info:
    pid: 1

- name: See whether all limits together fit the machine
  bulkhead.linux.cgroup_info:
  register: machine

- name: Show what memory was promised
  ansible.builtin.debug:
    var: machine.host.sums['memory.max']
"""

RETURN = r"""
host:
  description: The machine.
  returned: success
  type: dict
  contains:
    mode:
      description: V(v1), V(v2) or V(hybrid).
      type: str
      returned: success
      sample: v2
    hierarchies:
      description: The mounted hierarchies, each with its name, version, path and controllers.
      type: list
      elements: dict
      returned: success
    controllers:
      description: Where each controller is mounted.
      type: dict
      returned: success
      sample: {memory: /sys/fs/cgroup}
    page_size:
      description: Bytes in a page, to which memory limits are rounded.
      type: int
      returned: success
      sample: 4096
    huge_page_sizes:
      description: The sizes of huge pages.
      type: list
      elements: str
      returned: success
      sample: [2MB, 1GB]
    capacity:
      description: What there is - bytes of memory, CPUs, process ids.
      type: dict
      returned: success
      sample: {memory.max: 25275883520, cpu.max: 2, pids.max: 32768}
    sums:
      description: >-
        For each option, the sum of the limits of the topmost groups, the capacity, whether the sum fits, and how many groups have a limit and how
        many none.
      type: dict
      returned: success
      sample: {memory.max: {sum: 536870912, capacity: 25275883520, fits: true, limited: 1, unlimited: 3}}
hierarchies:
  description: The group of the process in each hierarchy.
  returned: when O(pid) is given
  type: dict
  sample: {v2: web}
groups:
  description: The groups, parents before children.
  returned: success
  type: list
  elements: dict
  contains:
    name:
      description: The name, empty for the root.
      type: str
      returned: success
    exists:
      description: Whether it is there; if not, nothing else is returned of it.
      type: bool
      returned: success
    hierarchies:
      description: Its directory in each hierarchy in which it is.
      type: dict
      returned: when the group exists
    limits:
      description: What it is limited to, by option of M(bulkhead.linux.cgroup_group).
      type: dict
      returned: when the group exists
      sample: {memory.max: "536870912", cpu.max: 150000 100000}
    memory:
      description:
        - Bytes in use, with those of the groups below. C(current) is all that is charged, C(anon) anonymous memory, C(file) page cache, C(file_mapped) mapped
          page cache, C(active) and C(inactive) as the kernel ages pages, C(swap) what is swapped out, C(peak) the most there ever was.
      type: dict
      returned: when the group exists
      sample: {current: 81920, anon: 40960, file: 28672, file_mapped: 4096, active: 0, inactive: 65536}
    cpu:
      description: CPU time in microseconds, and how many periods there were and were throttled.
      type: dict
      returned: when the group exists
      sample: {usage_usec: 20143, nr_periods: 12, nr_throttled: 9, throttled_usec: 450000}
    io:
      description: Bytes and operations for each device.
      type: dict
      returned: when the group exists
    pids:
      description: How many processes and threads there are, and were at most.
      type: dict
      returned: when the group exists
    pressure:
      description: Pressure stall information for cpu, memory and io, where the kernel measures it.
      type: dict
      returned: when the group exists
    events:
      description:
        - How often limits were hit. C(memory.max), C(memory.high), C(pids.max) and so on by option, C(cpu.max) in throttled periods,
          C(oom_kill) processes killed for want of memory.
      type: dict
      returned: when the group exists
      sample: {memory.max: 31, oom_kill: 1, pids.max: 0, cpu.max: 9}
    processes:
      description: The ids of the processes in the group itself.
      type: list
      elements: int
      returned: when the group exists
    processes_below:
      description: The ids of the processes in the group and in all groups below it, such as those of a container.
      type: list
      elements: int
      returned: when the group exists
    zombies:
      description:
        - The ids of processes in the group or below it that have ended and wait to be reaped by their parent. They count in C(pids.current), and
          can neither be killed nor moved.
      type: list
      elements: int
      returned: when the group exists
    frozen:
      description: Whether the group is frozen.
      type: bool
      returned: when the group exists
    children:
      description: The names of the groups right below.
      type: list
      elements: str
      returned: when the group exists
group:
  description: The one group that was asked for, as in RV(groups).
  returned: when O(name) is used, and O(recursive) is not
  type: dict
"""

import typing as t

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.bulkhead.linux.plugins.module_utils._answer import answer
from ansible_collections.bulkhead.linux.plugins.module_utils._runtime.cgroup import group, host, info
from ansible_collections.bulkhead.linux.plugins.module_utils._runtime.errors import InvalidInput


def look(params: dict[str, t.Any]) -> dict[str, t.Any]:
    """The answer to the module's question."""
    machine = host.Host.observe()
    found: dict[str, t.Any] = {"host": info.describe_host(machine)}
    names: list[str] = []
    if params["pid"] is not None:
        places = info.groups_of(machine, params["pid"])
        if places is None:
            raise InvalidInput("there is no process %d" % params["pid"])
        found["hierarchies"] = places
        names = sorted(set(places.values()))
    elif params["name"] is not None:
        names = [info.find(machine, group.check_name(params["name"]))]
    if params["recursive"]:
        names = [name for top in names or [""] for name in [top, *info.below(machine, top)]]
    found["groups"] = [info.describe(machine, name) for name in names]
    if params["name"] is not None and not params["recursive"]:
        found["group"] = found["groups"][0]
    return found


def main() -> None:
    module = AnsibleModule(
        argument_spec={"name": {"type": "str"}, "pid": {"type": "int"}, "recursive": {"type": "bool", "default": False}},
        mutually_exclusive=[("name", "pid")],
        supports_check_mode=True,
    )
    answer(module, lambda: {"changed": False, **look(module.params)})


if __name__ == "__main__":
    main()
