#!/usr/bin/python
# Copyright: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: resctrl_info
short_description: Look at classes of cache and memory bandwidth and at what the machine can divide
description:
  - Tells what the hardware has (ways, masks, ways that devices use, steps of bandwidth, classes, monitoring ids), who has what of it, who is in which class,
    and how much cache and memory bandwidth each class uses.
  - Where nothing can be divided, or the file system is not mounted, tells why, from the flags of the processor, the configuration of the kernel and its
    arguments.
version_added: 0.1.0
author:
  - bulkhead.linux contributors (@bulkhead-linux)
requirements:
  - root
extends_documentation_fragment:
  - bulkhead.linux.attributes.info
options:
  name:
    description: Describe this group only. An empty name is the default group. It must be there.
    type: str
  interval:
    description: For how many seconds memory traffic is measured. V(0) tells the counters only.
    type: float
    default: 1.0
  tasks:
    description: Whether the tasks of each group are listed. Those of the default group are counted only.
    type: bool
    default: true
notes:
  - The file system is never mounted by this module.
seealso:
  - module: bulkhead.linux.resctrl_schema
"""

EXAMPLES = r"""
- name: See what the machine can divide
  bulkhead.linux.resctrl_info:
    interval: 0
  register: rdt

- name: Say why not, where it cannot
  ansible.builtin.debug:
    msg: "{{ rdt.host.reason }}; {{ rdt.host.hint }}"
  when: not rdt.host.mounted

- name: Measure for five seconds who uses the memory
  bulkhead.linux.resctrl_info:
    interval: 5
  register: rdt

- name: Show the traffic of each class on the first socket, in bytes per second
  ansible.builtin.debug:
    msg: "{{ item.name or 'default' }}: {{ item.monitoring.domains['0'].mbm_total_bandwidth | default('not counted') }}"
  loop: "{{ rdt.groups }}"
  loop_control:
    label: "{{ item.name }}"
"""

RETURN = r"""
host:
  description: The machine.
  returned: success
  type: dict
  contains:
    mounted:
      description: Whether the file system is mounted. Of what follows, only the entries up to RV(host.kernel_config) are there when it is not.
      type: bool
      returned: success
    available:
      description: Whether it is mounted or could be.
      type: bool
      returned: success
    path:
      description: Where; empty when it is not.
      type: str
      returned: success
      sample: /sys/fs/resctrl
    options:
      description: Its mount options.
      type: list
      elements: str
      returned: success
      sample: [cdp]
    reason:
      description: Why it is not mounted, empty when it is.
      type: str
      returned: success
      sample: the kernel was built without resctrl, though the processor has rdt_a cat_l3
    hint:
      description: What can be done about it.
      type: str
      returned: success
    vendor:
      description: The vendor of the processor.
      type: str
      returned: success
      sample: GenuineIntel
    cpu_flags:
      description: The flags of the processor that are about dividing and monitoring.
      type: list
      elements: str
      returned: success
      sample: [rdt_a, cat_l3, mba]
    kernel_config:
      description: How the kernel was built; empty where neither it nor C(/boot) tells.
      type: dict
      returned: success
      sample: {CONFIG_X86_CPU_RESCTRL: "y"}
    classes:
      description: How many classes the hardware has, the default one among them, how many are used, and how many are free.
      type: dict
      returned: when mounted
      sample: {total: 8, used: 3, free: 5}
    monitoring_ids:
      description: The same of monitoring ids. Each class and each monitoring group has one. Empty when nothing can be counted.
      type: dict
      returned: when mounted
      sample: {total: 32, used: 4, free: 28}
    caches:
      description:
        - Each cache that can be divided; code and data are two when mounted with C(cdp). C(mask) is every way and C(shareable_bits) those that devices use too,
          both hexadecimal.
        - In each of C(domains), C(size) is in bytes and C(usage) has a letter for each way, the highest first, from the kernel. C(0) is unused, C(S) shared,
          C(X) shared with devices, C(H) used by devices only, C(E) exclusive and C(P) pseudo-locked.
      type: dict
      returned: when mounted
      sample:
        L3:
          ways: 11
          mask: 7ff
          min_cbm_bits: 1
          shareable_bits: "600"
          sparse_masks: false
          classes: 16
          domains: {"0": {usage: XXSSSSEEEEE, size: 23068672}}
    bandwidths:
      description: Each bandwidth that can be limited, with its unit (C(percent), C(MBps) or C(1/8 GB/s)), its least and greatest value and its step.
      type: dict
      returned: when mounted
      sample: {MB: {unit: percent, minimum: 10, maximum: 100, step: 10, linear: true, throttle_mode: max, classes: 8, domains: [0, 1]}}
    events:
      description: What can be counted and, where that can be chosen, which kinds of traffic, as a bit mask by domain.
      type: dict
      returned: when mounted
      sample: {llc_occupancy: {}, mbm_total_bytes: {"0": "0x7f"}}
    foreign:
      description: Groups that this collection has not made.
      type: list
      elements: str
      returned: when mounted
      sample: [COS1]
groups:
  description: Each group, the default one first.
  returned: success
  type: list
  elements: dict
  contains:
    name:
      description: The name, empty for the default group.
      type: str
      returned: success
      sample: gold
    ours:
      description: Whether it was made by this collection.
      type: bool
      returned: success
    mode:
      description: Its mode.
      type: str
      returned: success
      sample: exclusive
    schemata:
      description:
        - What it has, by resource and domain. Of a cache, C(mask) in hexadecimal, C(value) as a number, C(ways) how many, C(size) in bytes, and C(drawn) with a
          letter for each way, the highest first. C(X) is a way that it has, C(S) one that it has and devices use too, C(.) one that it has not.
        - Of a bandwidth, a number in the unit of the machine, or V(max).
      type: dict
      returned: success
      sample: {L3: {"0": {mask: 1f, value: 31, ways: 5, size: 10485760, drawn: "......XXXXX"}}, MB: {"0": 30}}
    cpus:
      description: Its CPUs.
      type: str
      returned: success
      sample: 2-3
    tasks:
      description: Its tasks, by thread; empty for the default group.
      type: list
      elements: int
      returned: success
    task_count:
      description: How many tasks it has.
      type: int
      returned: success
    monitoring:
      description:
        - What was counted, by domain and event. C(llc_occupancy) is cache in bytes, C(mbm_total_bytes) and C(mbm_local_bytes) are traffic since counting began.
          C(mbm_total_bandwidth) and C(mbm_local_bandwidth) are bytes per second over C(interval), the seconds that were really measured.
        - Instead of a number there may be a word, V(Unavailable), V(Error) or V(Unassigned) of the kernel, or V(Gone) when the group went away meanwhile.
      type: dict
      returned: success
      sample: {interval: 1.001, domains: {"0": {llc_occupancy: 65536, mbm_total_bytes: 131072, mbm_total_bandwidth: 65471}}}
    monitor_groups:
      description: Its monitoring groups, each with C(name), C(cpus), C(tasks), C(task_count) and C(monitoring).
      type: list
      elements: dict
      returned: success
group:
  description: The one group that was asked for, as in RV(groups).
  returned: when O(name) is used
  type: dict
"""

import typing as t

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.bulkhead.linux.plugins.module_utils._answer import answer
from ansible_collections.bulkhead.linux.plugins.module_utils._runtime.errors import InvalidInput
from ansible_collections.bulkhead.linux.plugins.module_utils._runtime.resctrl import info


def look(params: dict[str, t.Any]) -> dict[str, t.Any]:
    """The answer to the module's question."""
    if not 0 <= params["interval"] <= 3600:
        raise InvalidInput("interval: %s is not a number of seconds up to 3600" % params["interval"])
    found = info.look(params["name"], params["interval"], params["tasks"])
    if params["name"] is not None and found["groups"]:
        found["group"] = found["groups"][0]
    return {"changed": False, **found}


def main() -> None:
    module = AnsibleModule(
        argument_spec={"name": {"type": "str"}, "interval": {"type": "float", "default": 1.0}, "tasks": {"type": "bool", "default": True}},
        supports_check_mode=True,
    )
    answer(module, lambda: look(module.params))


if __name__ == "__main__":
    main()
