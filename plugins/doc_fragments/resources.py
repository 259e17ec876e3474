# Copyright: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""The limits of a control group, as options that M(bulkhead.linux.cgroup_group) and containers share."""

from __future__ import annotations


def in_list(text: str) -> str:
    """The documentation of options as those of an item of a list, which have no defaults: what stands beside the list holds.

    What is in a list within keeps its defaults.
    """
    kept = []
    inner: int | None = None
    for line in text.splitlines(keepends=True):
        indent = len(line) - len(line.lstrip())
        if inner is not None and line.strip() and indent < inner:
            inner = None
        if line.strip() == "type: list" and inner is None:
            inner = indent
        if not line.lstrip().startswith("default: ") or (inner is not None and indent > inner):
            kept.append(line)
    return "".join(kept)


# What is said of the list of objects of every module.
BESIDE = "An option that stands beside the list holds for each item that does not give it; dictionaries are filled option by option, lists are not."


class ModuleDocFragment:
    """Options with the names and the meaning of cgroup v2, whatever version the machine has."""

    DOCUMENTATION = r"""
options:
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
            unless O(force=true).
        type: raw
      high:
        description: Above this, the group is slowed down and reclaimed from, never killed. File C(memory.high); v1 has no counterpart.
        type: raw
      low:
        description: Memory that is taken only when nothing else can be had. File C(memory.low), on v1 C(memory.soft_limit_in_bytes), the nearest it has, which
          newer kernels do not keep; that is refused.
        type: raw
      min:
        description: Memory that is never taken. File C(memory.min); v1 has no counterpart.
        type: raw
      swap_max:
        description:
          - The swap that the group may use. File C(memory.swap.max).
          - v1 limits memory and swap together, in C(memory.memsw.limit_in_bytes), which is set to the sum of O(memory.max) and this.
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
        description:
          - Limits for each device. File C(io.max), on v1 the files C(blkio.throttle.*_device). What no entry names stays.
          - On v1 the kernel limits each group by itself, and not those below it, so the group in which a container lives carries the limit too.
            The root of a container without a seccomp filter can mount the hierarchy and lift it there. On v2 it cannot.
        type: list
        elements: dict
        suboptions:
          device:
            description: >-
              A whole disk, by path (V(/dev/sda), V(/dev/disk/by-id/...)) or number (V(8:0)). Partitions are refused, as the kernel limits disks only.
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
      - Values are those of the file itself, with units where it is a size or a time, and are compared as what they are, whatever the kernel prints
        (C(memory.oom_control), C(cpu.uclamp.min)). On v1, C(cpu.shares) takes shares and C(memory.memsw.limit_in_bytes) memory and swap together.
      - Files that act and keep nothing (C(memory.reclaim)) are refused, as is a file that is asked for twice, here and by another option, with two values.
    type: dict
"""
