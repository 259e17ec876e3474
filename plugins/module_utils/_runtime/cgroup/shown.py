# Copyright: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""The limits that programs look up to choose the size of their heap and the number of their threads.

The JVM, Go and .NET read memory.max and cpu.max at the root of their cgroup namespace. That is a
group inside the one that carries the limits, so it gets copies. A copy never takes effect before
the limit itself: the group above holds at least as much memory, and a share of the CPUs is copied
as the same share of a longer period. On v1 the memory limit needs no copy: memory.stat has it as
hierarchical_memory_limit.

The supervisor imports this, so it imports nothing.
"""

from __future__ import annotations

MEMORY, CPU = "memory.max", "cpu.max"
QUOTA, PERIOD = "cpu.cfs_quota_us", "cpu.cfs_period_us"
# {controller: file of v2}
FILES_V2 = {"memory": MEMORY, "cpu": CPU}
# max_bw_quota_period_us and max_bw_runtime_us of kernel/sched/core.c.
_LONGEST_PERIOD = 1_000_000
_LARGEST_QUOTA = ((1 << 44) - 1) // 1000


def cpu_share(quota: str, period: str) -> tuple[str, str]:
    """Return (quota, period) of the same share, in microseconds, over up to a second."""
    if not quota.isdigit() or not period.isdigit():
        return quota, period
    times = _LONGEST_PERIOD // int(period)
    if times < 1 or int(quota) * times > _LARGEST_QUOTA:
        return quota, period
    return str(int(quota) * times), str(int(period) * times)


def copy_of(file: str, text: str) -> str:
    """Return what a v2 file of the group inside is to hold where the limit's is this."""
    return " ".join(cpu_share(*text.split())) if file == CPU else text
