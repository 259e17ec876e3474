#!/usr/bin/python
# Copyright: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: resctrl_schema
short_description: Divide caches and memory bandwidth among classes of tasks
description:
  - Makes classes (groups of the kernel's resctrl file system), gives them parts of the L3 and L2 caches and of memory bandwidth, and puts tasks, control groups
    and CPUs into them. Intel RDT, AMD QoS and Arm MPAM are the same to it.
  - One description serves different machines. Percentages and numbers of ways become masks from the number of ways that each machine has; what does not fit is
    refused before the first write, and the error says by how much and who is in the way.
  - An option that is not given is left as it is in the kernel.
  - All or nothing. If the kernel refuses one write, those before it are undone, and the error carries the kernel's own words (C(info/last_cmd_status)).
  - The order of the writes is such that an exclusive class shares none of its ways with another at any instant.
  - Groups of others (C(pqos), container engines, libvirt) are not changed, removed or made smaller; ways that they share with a class are reported.
version_added: 0.1.0
author:
  - bulkhead.linux contributors (@bulkhead-linux)
requirements:
  - Linux 4.15 or newer, built with C(CONFIG_X86_CPU_RESCTRL) or C(CONFIG_ARM64_MPAM), on a processor that can divide something
  - root
extends_documentation_fragment:
  - bulkhead.linux.attributes
  - bulkhead.linux.resctrl
options:
  persist:
    description:
      - Also keep the options in C(/etc/bulkhead/desired.d/resctrl_schema.json), and the runtime core as the command C(bulkhead), so that a boot mounts the
        file system and brings the classes back. The role P(bulkhead.linux.node#role) installs what makes the boot do so.
      - A class that is V(absent) is not kept any more. With V(false), what is kept stays as it is.
      - O(tasks) and O(force) are not kept.
    type: bool
    default: true
notes:
  - Where the file system is not mounted, it is mounted for a moment at no path to learn what the hardware has, also in check mode.
  - The file system is locked with C(flock), as its documentation asks of all programs that change it, shared while it is looked at and exclusively while it is
    changed.
  - What this collection made, where it put classes and what the kernel made of each bandwidth is kept in C(/run/bulkhead/resctrl.json), until the next boot.
  - Which cache ids a machine has, and how many ways, M(bulkhead.linux.resctrl_info) tells.
seealso:
  - module: bulkhead.linux.resctrl_info
  - name: User Interface for Resource Control feature
    description: The kernel's own documentation.
    link: https://docs.kernel.org/filesystems/resctrl.html
"""

EXAMPLES = r"""
- name: Half of the cache for one class alone, a fifth and little bandwidth for another
  bulkhead.linux.resctrl_schema:
    groups:
      - name: gold
        l3: 50%
        mode: exclusive
      - name: batch
        l3: 20%
        mb: 20%

- name: The same classes on the second socket only, by number of ways
  bulkhead.linux.resctrl_schema:
    name: latency
    l3: {1: 2}
    mb: {1: 70%}

- name: Lines as the kernel writes them
  bulkhead.linux.resctrl_schema:
    name: gold
    schemata:
      - "L3:0=1f;1=1f"
      - "MB:0=100;1=70"

- name: Every thread of a control group into a class, and a count of what some of them use
  bulkhead.linux.resctrl_schema:
    name: batch
    l3: 20%
    cgroup: batch
    monitor_groups:
      - name: night
        cgroup: batch/night

- name: Two CPUs whose tasks are in a class of their own unless they are in another one
  bulkhead.linux.resctrl_schema:
    name: latency
    l3: 2
    cpus: 2-3

- name: Code and data apart, even if the file system must be mounted anew for it
  bulkhead.linux.resctrl_schema:
    name: gold
    l3code: 2
    l3data: 3
    mount_options:
      cdp: true
    force: true

- name: Remove a class; its tasks go to the default group
  bulkhead.linux.resctrl_schema:
    name: batch
    state: absent
"""

RETURN = r"""
writes:
  description: The kernel writes that were done, or in check mode would be done, in their order.
  returned: success
  type: list
  elements: dict
  contains:
    target:
      description: The file or directory.
      type: str
      returned: success
      sample: /sys/fs/resctrl/gold/schemata
    before:
      description: What was there, null for nothing or for a new group.
      type: str
      returned: success
      sample: L3:0=7ff;1=7ff
    after:
      description: What was written.
      type: str
      returned: success
      sample: L3:0=1f;1=1f
groups:
  description: Each group, in the order in which they were given.
  returned: success
  type: list
  elements: dict
  contains:
    name:
      description: The name.
      type: str
      returned: success
      sample: gold
    state:
      description: Whether it is there.
      type: str
      returned: success
      sample: present
    asked:
      description: What was asked for, by option.
      type: dict
      returned: success
      sample: {l3: 50%, mb: 25%, mode: exclusive}
    effective:
      description:
        - What the kernel holds, by resource and domain. Masks are hexadecimal text, bandwidths are numbers in the unit of the machine.
      type: dict
      returned: success
      sample: {l3: {"0": 1f, "1": 1f}, mb: {"0": 30, "1": 30}, mode: exclusive}
    rounded:
      description: The options for which the machine has no exact value.
      type: list
      elements: str
      returned: success
      sample: [l3, mb]
    overlaps:
      description: Ways that the class shares with groups that this collection has not made, by group.
      type: dict
      returned: when O(groups[].state=present)
      sample: {COS1: ["L3:0=1f"]}
    left_out:
      description: What this machine cannot do, by option, and why.
      type: dict
      returned: when O(groups[].unsupported=leave_out)
      sample: {mb: "group gold: mb: 80% is a percentage, and MB is counted in 1/8 GB/s on this machine"}
    tasks_go:
      description: Where its tasks and CPUs go, when it is removed; empty when it had none.
      type: str
      returned: when O(groups[].state=absent)
      sample: 3 tasks go to the default group
group:
  description: The one group that was asked for, as in RV(groups).
  returned: when O(name) is used
  type: dict
asked:
  description: As RV(groups[].asked).
  returned: when O(name) is used
  type: dict
  sample: {l3: 50%}
effective:
  description: As RV(groups[].effective).
  returned: when O(name) is used
  type: dict
  sample: {l3: {"0": 1f, "1": 1f}}
rounded:
  description: As RV(groups[].rounded).
  returned: when O(name) is used
  type: list
  elements: str
  sample: [l3]
error:
  description: What went wrong, as data.
  returned: on failure
  type: dict
  contains:
    problem:
      description: What was asked and what is wrong with it.
      type: str
      returned: on failure
    target:
      description: The file or directory.
      type: str
      returned: on failure
    value:
      description: What was to be written.
      type: str
      returned: on failure
    errno:
      description: The kernel's answer.
      type: str
      returned: on failure
      sample: EINVAL
    kernel:
      description: The kernel's own words, from C(info/last_cmd_status).
      type: str
      returned: on failure
      sample: Schemata overlaps
    hint:
      description: What can be done about it.
      type: str
      returned: on failure
    undo_failures:
      description: What could not be put back.
      type: list
      elements: str
      returned: on failure
    input:
      description: Whether the options could not be understood, before anything else was looked at.
      type: bool
      returned: on failure
"""

from ansible_collections.bulkhead.linux.plugins.module_utils import _module, _resctrl_options
from ansible_collections.bulkhead.linux.plugins.module_utils._runtime.resctrl.subject import Schemata


def main() -> None:
    _module.run(Schemata, _resctrl_options.GROUP)


if __name__ == "__main__":
    main()
