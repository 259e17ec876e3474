#!/usr/bin/python
# Copyright: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: cgroup_group
short_description: Manage control groups and their limits
description:
  - Makes control groups, sets limits, moves processes in, freezes and removes, on cgroup v1, v2 and hosts with both.
  - One vocabulary, that of cgroup v2, serves all of them; what it means on v1 is said with each option. An option that v1 has no counterpart for is refused
    there, before anything is written.
  - A limit that is left out stays what it is. V(max) lifts a limit. So it is with M(bulkhead.linux.container_run) when only a container's name is given; beside
    a command, whose options describe the whole container, a limit that is left out is lifted.
  - An option, or one file, that is asked for twice with two values is refused before anything is written, with the names of both.
  - All or nothing. If the kernel refuses one write, those before it are undone. Limits that take something are written from the leaves up, and those that
    give from the root down, so that a set of nested groups can be changed in one call.
version_added: 0.1.0
author:
  - bulkhead.linux contributors (@bulkhead-linux)
requirements:
  - Linux 4.15 or newer; C(memory.swap.max) and others need what their controller needs
  - root
extends_documentation_fragment:
  - bulkhead.linux.attributes
  - bulkhead.linux.resources
options:
  name:
    description:
      - The group, as a path relative to the root of the hierarchy, such as V(web) or V(batch/night). Groups above it are made when they are missing.
      - Where systemd manages the group, V(web) is the slice C(web.slice) and V(batch/night) is C(batch-night.slice), which is inside of C(batch.slice). What
        a unit's name cannot hold is escaped as C(systemd-escape) does it, a hyphen too.
      - There, it may also be the name of a unit, such as V(nginx.service), whose properties are then set, or a path below a service or scope that has
        C(Delegate=yes), such as V(build.service/worker), where the kernel's files are written.
      - Either this or O(groups) is required.
    type: str
  state:
    description:
      - Whether the group is there. Removing a group removes the groups below it.
      - A unit that was not made here, such as V(nginx.service), is never stopped; V(absent) takes back the limits that were given to it.
    type: str
    choices: [present, absent]
    default: present
  manager:
    description:
      - Who is asked to make the group. V(auto), which is also what holds when it is not given, takes V(systemd) where systemd runs the machine, and
        V(cgroupfs) elsewhere.
      - V(cgroupfs) writes the kernel's files. Where systemd runs the machine, it is refused for systemd's own units, because systemd would undo what is
        written, and warns for groups beside them. In a v1 hierarchy in which no unit has a group, often C(blkio), systemd removes empty groups of others
        whenever it reloads, so there it is refused for those as well, but for groups that get O(processes).
      - V(systemd) has slices made and limits set by systemd, so that C(systemctl daemon-reload) and C(systemctl set-property) of other properties change
        nothing. A limit becomes a line in a drop-in of the unit, C(/etc/systemd/system/UNIT.d/50-bulkhead.conf), or with O(persist=false)
        C(/run/systemd/system/UNIT.d/55-bulkhead.conf). What the kernel then holds is compared and returned, so that drift is healed wherever it is.
      - What systemd has no property for (O(cpu.burst), O(cpuset.partition), O(memory.oom_group), O(hugetlb), O(rdma), O(misc), O(files), O(processes)) is
        refused with the reason. It can be had below a unit with C(Delegate=yes).
      - systemd counts CPU quota in hundredths of a percent. On cgroup v1 it manages O(memory.max), O(cpu.max), O(cpu.weight), O(pids.max), O(devices) and, of
        O(io.max), C(rbps) and C(wbps).
    type: str
    choices: [auto, cgroupfs, systemd]
  controllers:
    description:
      - Controllers that the group shall have even without a limit, for what they count. Names of v2 (C(blkio) is taken for C(io)), and
        C(cpuacct), C(freezer) and C(devices).
      - On v1 the group is made in the hierarchies of these controllers; on v2 they are enabled for it.
    type: list
    elements: str
  processes:
    description:
      - Process ids to be moved into the group, each with all of its threads, in every hierarchy in which the group is.
      - Processes that are there already and are not named stay. One that has ended and waits to be reaped is refused.
    type: list
    elements: int
  frozen:
    description: Whether the group is frozen. The module waits until it is so. File C(cgroup.freeze), on v1 C(freezer.state).
    type: bool
  force:
    description:
      - With O(state=absent), kill what runs in the group. Without it, a group that holds processes is not removed.
      - With O(state=present), set limits below what is in use now, and V(0) where it kills. Memory that the kernel can reclaim at once, such as
        page cache, is not counted as in use.
    type: bool
    default: false
  overcommit:
    description:
      - What to do when a sum of limits no longer fits (C(memory.max), C(memory.low), C(memory.min), C(cpu.max), C(pids.max)), that of the group and
        its siblings
        into their parent or the machine, or that of the group's children into the group.
    type: str
    choices: [allow, warn, deny]
    default: allow
  groups:
    description:
      - Several groups in one call, each with the options above; they are validated as a whole, and all are set or none.
      - An option that stands beside the list holds for each item that does not give it; dictionaries are filled option by option, lists are not.
    type: list
    elements: dict
    suboptions:
      name:
        description:
          - The group, as a path relative to the root of the hierarchy, such as V(web) or V(batch/night). Groups above it are made when they are missing.
          - Where systemd manages it, a slice, a unit, or a path below a unit that delegates, as said at O(name).
        type: str
        required: true
      state:
        description: Whether the group is there. Removing a group removes the groups below it. Units that were not made here stay, without the limits.
        type: str
        choices: [present, absent]
      manager:
        description:
          - Who is asked to make the group, as said at O(manager).
        type: str
        choices: [auto, cgroupfs, systemd]
      memory:
        description:
          - Memory limits and protections. Sizes are bytes, or take V(K), V(M), V(G), V(T) (powers of 1024); V(max) lifts a limit.
          - V(-1), V(unlimited) and V(infinity) are taken for V(max), here and wherever a limit can be lifted; other negative numbers are refused.
          - The kernel counts in pages, so a size is rounded down to one; that is reported under RV(groups[].rounded) and is no change.
        type: dict
        suboptions:
          max:
            description:
              - The hard limit. When it is reached and nothing can be reclaimed, the kernel kills in the group.
              - File C(memory.max), on v1 C(memory.limit_in_bytes). V(0), and what the kernel would round down to it, is refused
                unless O(groups[].force=true).
            type: raw
          high:
            description: Above this, the group is slowed down and reclaimed from, never killed. File C(memory.high); v1 has no counterpart.
            type: raw
          low:
            description: Memory that is taken only when nothing else can be had. File C(memory.low), on v1 C(memory.soft_limit_in_bytes), the nearest it
              has, which newer kernels do not keep; that is refused.
            type: raw
          min:
            description: Memory that is never taken. File C(memory.min); v1 has no counterpart.
            type: raw
          swap_max:
            description:
              - The swap that the group may use. File C(memory.swap.max).
              - v1 limits memory and swap together, in C(memory.memsw.limit_in_bytes), which is set to the sum of O(groups[].memory.max) and this.
            type: raw
          oom_group:
            description: Whether the kernel, when it kills, kills the whole group. File C(memory.oom.group); v1 has no counterpart.
            type: raw
      cpu:
        description: CPU time.
        type: dict
        suboptions:
          max:
            description:
              - The most CPU time, as a number of CPUs (V(1.5)), as quota and period (V(150ms 100ms), or a dictionary with C(quota) and C(period)), or V(max).
              - File C(cpu.max), on v1 C(cpu.cfs_quota_us) and C(cpu.cfs_period_us). A number of CPUs is a quota in a period of 100 ms.
            type: raw
          weight:
            description: The share when CPUs are short, from 1 to 10000. File C(cpu.weight), on v1 C(cpu.shares), where a weight of 100 is 1024 shares.
            type: raw
          burst:
            description: Unused quota that may be saved up, as a time such as V(20ms), at most the quota. File C(cpu.max.burst), on v1 C(cpu.cfs_burst_us).
            type: raw
          idle:
            description: Whether the group runs only when no other group wants the CPU. File C(cpu.idle).
            type: raw
      cpuset:
        description:
          - On which CPUs and memory nodes the group may be. On v1 a new group starts with those of its parent.
          - On v1, groups on the way that somebody else has made and left empty get what the first one above them has.
        type: dict
        suboptions:
          cpus:
            description: CPUs in list format, such as V(0-3,7), or as a list of such. File C(cpuset.cpus).
            type: raw
          mems:
            description: Memory nodes in list format, or as a list of such. File C(cpuset.mems).
            type: raw
          partition:
            description:
              - V(root) takes the CPUs away from all other groups, V(isolated) from the scheduler's balancing too, V(member) gives them back.
              - File C(cpuset.cpus.partition), on v1 C(cpuset.cpu_exclusive) with V(member) and V(root) only.
            type: raw
      io:
        description: Disk bandwidth. On v1 the controller is called C(blkio).
        type: dict
        suboptions:
          weight:
            description: The share when a disk is busy, from 1 to 10000. File C(io.weight), on v1 C(blkio.bfq.weight), scaled to 1 to 1000.
            type: raw
          max:
            description: Limits for each device. File C(io.max), on v1 the files C(blkio.throttle.*_device). What no entry names stays.
            type: list
            elements: dict
            suboptions:
              device:
                description: >-
                  A whole disk, by path (V(/dev/sda), V(/dev/disk/by-id/...)) or number (V(8:0)). Partitions are refused, as the kernel limits disks
                  only.
                type: str
                required: true
              rbps:
                description: Bytes read per second, V(10M) for example, or V(max).
                type: raw
              wbps:
                description: Bytes written per second.
                type: raw
              riops:
                description: Reads per second.
                type: raw
              wiops:
                description: Writes per second.
                type: raw
          latency:
            description: Latency targets for each device. File C(io.latency); v1 has no counterpart.
            type: list
            elements: dict
            suboptions:
              device:
                description: A whole disk, by path or number.
                type: str
                required: true
              target:
                description: The target as a time such as V(10ms); V(max) removes it.
                type: raw
                required: true
      pids:
        description: Processes and threads.
        type: dict
        suboptions:
          max:
            description: The most processes and threads at a time, at most 4194304. File C(pids.max).
            type: raw
      hugetlb:
        description: "Huge pages by size, for example C({2MB: 64M}). Files C(hugetlb.SIZE.max), on v1 C(hugetlb.SIZE.limit_in_bytes)."
        type: dict
      rdma:
        description: "RDMA resources by device, for example C({mlx5_0: {hca_handle: 2, hca_object: 2000}}). File C(rdma.max)."
        type: dict
      misc:
        description: "Scalar resources by name, for example C({sev: 2}). File C(misc.max)."
        type: dict
      devices:
        description:
          - Which devices may be used, as rules in order. What no rule allows is denied; an empty list denies every device.
          - On v1 the files C(devices.allow) and C(devices.deny); on v2 an eBPF program that is attached to the group, beside those of others.
        type: list
        elements: dict
        suboptions:
          type:
            description: V(c) for character devices, V(b) for block devices, V(a) for all of them and any access.
            type: str
            choices: [a, b, c]
            default: a
          major:
            description: The major number, or V(*).
            type: str
            default: '*'
          minor:
            description: The minor number, or V(*).
            type: str
            default: '*'
          access:
            description: Any of V(r) (read), V(w) (write) and V(m) (make the node).
            type: str
            default: rwm
          allow:
            description: Whether the rule allows or denies.
            type: bool
            default: true
      files:
        description:
          - "Any other interface file by name, for example C({memory.swappiness: 10}) or on v1 C({notify_on_release: 1})."
          - Values are those of the file itself, with units where it is a size or a time, and are compared as what they are, whatever the kernel
            prints (C(memory.oom_control), C(cpu.uclamp.min)). On v1, C(cpu.shares) takes shares and C(memory.memsw.limit_in_bytes) memory and swap
            together.
          - Files that act and keep nothing (C(memory.reclaim)) are refused, as is a file that is asked for twice, here and by another option, with
            two values.
        type: dict
      controllers:
        description:
          - Controllers that the group shall have even without a limit, for what they count. Names of v2 (C(blkio) is taken for C(io)), and
            C(cpuacct), C(freezer) and C(devices).
          - On v1 the group is made in the hierarchies of these controllers; on v2 they are enabled for it.
        type: list
        elements: str
      processes:
        description:
          - Process ids to be moved into the group, each with all of its threads, in every hierarchy in which the group is.
          - Processes that are there already and are not named stay. One that has ended and waits to be reaped is refused.
        type: list
        elements: int
      frozen:
        description: Whether the group is frozen. The module waits until it is so. File C(cgroup.freeze), on v1 C(freezer.state).
        type: bool
      force:
        description:
          - With O(groups[].state=absent), kill what runs in the group. Without it, a group that holds processes is not removed.
          - With O(groups[].state=present), set limits below what is in use now, and V(0) where it kills. Memory that the kernel can reclaim at
            once, such as page cache, is not counted as in use.
        type: bool
      overcommit:
        description:
          - What to do when a sum of limits no longer fits (C(memory.max), C(memory.low), C(memory.min), C(cpu.max), C(pids.max)), that of the group
            and its siblings
            into their parent or the machine, or that of the group's children into the group.
        type: str
        choices: [allow, warn, deny]
  persist:
    description:
      - Also keep the options in C(/etc/bulkhead/desired.d/cgroup_group.json), and the runtime core as the command C(bulkhead), so that a boot brings the groups
        back. The role P(bulkhead.linux.node#role) installs what makes the boot do so.
      - A group that is V(absent) is not kept any more. With V(false), what is kept stays as it is, and the group is as it was kept after the next boot.
      - O(processes) and O(force) are not kept.
    type: bool
    default: true
seealso:
  - module: bulkhead.linux.cgroup_info
  - name: Control Group v2
    description: The kernel's own documentation of the files.
    link: https://docs.kernel.org/admin-guide/cgroup-v2.html
"""

EXAMPLES = r"""
- name: Keep a web server to half a gigabyte and one and a half CPUs
  bulkhead.linux.cgroup_group:
    name: web
    memory:
      max: 512M
    cpu:
      max: 1.5
    pids:
      max: 200

- name: Several groups at once; refuse if together they promise more than the machine has
  bulkhead.linux.cgroup_group:
    groups:
      - name: batch
        memory: {max: 4G}
        overcommit: deny
      - name: batch/night
        memory: {max: 3G}
        cpu: {weight: 20}
        overcommit: deny

- name: Slow a disk down for backups
  bulkhead.linux.cgroup_group:
    name: backup
    io:
      max:
        - device: /dev/vda
          wbps: 20M

- name: Let a group use the null, zero and random devices only
  bulkhead.linux.cgroup_group:
    name: batch
    devices:
      - {type: c, major: 1, minor: 3, access: rw}
      - {type: c, major: 1, minor: 5, access: r}
      - {type: c, major: 1, minor: 9, access: r}

- name: Start a process
  ansible.builtin.shell: sleep 60 >/dev/null 2>&1 & echo $!
  register: started

- name: Move a process, with all its threads, into a group
  bulkhead.linux.cgroup_group:
    name: batch
    processes: ["{{ started.stdout }}"]

- name: Limit a service that systemd runs, until the next boot
  bulkhead.linux.cgroup_group:
    name: ssh.service
    memory: {high: 1G}
    cpu: {max: 2}
    persist: false
  when: ansible_facts.service_mgr == 'systemd'

- name: Have two slices, one inside of the other, on a machine that systemd runs
  bulkhead.linux.cgroup_group:
    manager: systemd
    groups:
      - {name: batch, memory: {max: 4G}}
      - {name: batch/night, cpu: {weight: 20}}
  when: ansible_facts.service_mgr == 'systemd'

- name: Remove a group and kill what still runs in it
  bulkhead.linux.cgroup_group:
    name: batch
    state: absent
    force: true
"""

RETURN = r"""
writes:
  description: The kernel writes that were done, or in check mode would be done, in their order.
  returned: success
  type: list
  elements: dict
  contains:
    target:
      description: The file or directory. A file of the kernel that systemd is to write is listed behind the drop-in from which it gets its value.
      type: str
      returned: success
      sample: /sys/fs/cgroup/web/memory.max
    before:
      description: What was there, null for nothing or for a new group.
      type: str
      returned: success
      sample: max
    after:
      description: What was written.
      type: str
      returned: success
      sample: "536870912"
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
      sample: web
    state:
      description: Whether it is there.
      type: str
      returned: success
      sample: present
    unit:
      description: The unit of systemd that the group is, or below which it is.
      type: str
      returned: when systemd manages it
      sample: web.slice
    cgroup:
      description: Where the group is below the root of the hierarchies.
      type: str
      returned: when systemd manages it
      sample: web.slice
    hierarchies:
      description: The hierarchies in which the options put it; one called C(v2), or v1 hierarchies by their controllers.
      type: list
      elements: str
      returned: success
      sample: [v2]
    asked:
      description: What was asked for, by option.
      type: dict
      returned: success
      sample: {memory.max: 512M, cpu.max: 1.5}
    effective:
      description: What the kernel holds, by option, in the vocabulary of v2.
      type: dict
      returned: success
      sample: {memory.max: "536870912", cpu.max: 150000 100000}
    rounded:
      description: The options for which the kernel keeps another value than was asked for, because it rounds.
      type: list
      elements: str
      returned: success
      sample: []
group:
  description: The one group that was asked for, as in RV(groups).
  returned: when O(name) is used
  type: dict
asked:
  description: As RV(groups[].asked).
  returned: when O(name) is used
  type: dict
  sample: {memory.max: 512M}
effective:
  description: As RV(groups[].effective).
  returned: when O(name) is used
  type: dict
  sample: {memory.max: "536870912"}
rounded:
  description: As RV(groups[].rounded).
  returned: when O(name) is used
  type: list
  elements: str
  sample: []
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
      sample: EBUSY
    kernel:
      description: The kernel's own words, where it has any.
      type: str
      returned: on failure
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

from ansible_collections.bulkhead.linux.plugins.module_utils import _cgroup_options, _module
from ansible_collections.bulkhead.linux.plugins.module_utils._runtime.cgroup.subject import Groups


def main() -> None:
    _module.run(Groups, _cgroup_options.GROUP)


if __name__ == "__main__":
    main()
