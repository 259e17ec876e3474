# SPDX-FileCopyrightText: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the kernel answers on control groups: Linux 6.12, seen on nodes with cgroup v2, with v1, and with both.

Every row starts with the empty groups g and h, side by side. On v2 they have every controller; on v1 they are in every
hierarchy, and a path says in which: by the file's name, or before a colon. Facts: disk (a block device nobody uses, as
major:minor), part (a partition of it), last (the last CPU), cpus (all there are), unlimited (v1's word for it), page.
"""

from __future__ import annotations

from table import (
    Act,
    Row,
    comes_to,
    cpu,
    dies,
    gone,
    has,
    has_not,
    kill,
    lacks,
    lives,
    matches,
    mkdir,
    reads,
    rmdir,
    rounds,
    takes,
    task,
    there,
    thread,
    write,
)

V2 = ("v2",)
V1 = ("hybrid", "v1")


def keeps(path: str, text: str, kept: str) -> list[Act]:
    """Written, and read back as said."""
    return [write(path, text), reads(path, kept)]


ROWS = [
    # Memory: rounding
    *(
        Row(
            "01" + letter,
            "%s counts in pages and rounds down" % file,
            [*keeps("g/" + file, "1000001", "999424"), *keeps("g/" + file, "4095", "0"), *keeps("g/" + file, "8192", "8192")],
            on=V2,
        )
        for letter, file in zip("abcde", ("memory.max", "memory.high", "memory.low", "memory.min", "memory.swap.max"))
    ),
    Row("01f", "so does v1", [*keeps("g/memory.limit_in_bytes", "1000001", "999424"), *keeps("g/memory.limit_in_bytes", "4095", "0")], on=V1),
    Row(
        "01g",
        "units are powers of 1024, of either case; what is behind them is refused",
        [
            *keeps("g/memory.max", "1M", "1048576"),
            *keeps("g/memory.max", "2k", "0"),
            *keeps("g/memory.max", "1g", "1073741824"),
            write("g/memory.max", "1MB", "EINVAL"),
            write("g/memory.max", "1.5G", "EINVAL"),
            reads("g/memory.max", "1073741824"),
        ],
        on=V2,
    ),
    Row("01h", "numbers may be hexadecimal or octal", [*keeps("g/memory.max", "0x100000", "1048576"), *keeps("g/memory.max", "010000", "4096")], on=V2),
    Row(
        "01i",
        "no limit is max, near 2^63 too; -1 is none",
        [
            *keeps("g/memory.max", "9223372036854775807", "max"),
            write("g/memory.max", "-1", "EINVAL"),
            *keeps("g/memory.max", "1M", "1048576"),
            *keeps("g/memory.max", "max", "max"),
        ],
        on=V2,
    ),
    Row(
        "01j",
        "no limit is -1 on v1, and reads as a number; max is no word there",
        [
            *keeps("g/memory.limit_in_bytes", "1M", "1048576"),
            *keeps("g/memory.limit_in_bytes", "-1", "{unlimited}"),
            write("g/memory.limit_in_bytes", "max", "EINVAL"),
        ],
        on=V1,
    ),
    Row(
        "01k",
        "huge pages count in huge pages",
        [*keeps("g/hugetlb.2MB.max", "5000000", "4194304"), *keeps("g/hugetlb.2MB.max", "2097151", "0"), *keeps("g/hugetlb.2MB.max", "max", "max")],
        on=V2,
    ),
    Row(
        "01l",
        "so they do on v1, where no limit is a number again",
        [
            *keeps("g/hugetlb.2MB.limit_in_bytes", "5000000", "4194304"),
            write("g/hugetlb.2MB.limit_in_bytes", "-1"),
            matches("g/hugetlb.2MB.limit_in_bytes", r"92233720368\d+\n"),
        ],
        on=V1,
    ),
    # Empty writes
    *(
        Row(
            "02" + letter,
            "white space in %s is 0" % file,
            [write("g/" + file, "max"), *keeps("g/" + file, "\n", "0"), write("g/" + file, "max"), *keeps("g/" + file, " ", "0")],
            on=V2,
        )
        for letter, file in zip("abcde", ("memory.max", "memory.high", "memory.low", "memory.min", "memory.swap.max"))
    ),
    Row("02f", "white space is 0 on v1 too", [*keeps("g/memory.limit_in_bytes", "\n", "0")], on=V1),
    Row(
        "02g",
        "no bytes at all change nothing, anywhere",
        [
            write("g/memory.max", "1M"),
            *keeps("g/memory.max", "", "1048576"),
            write("g/cpu.max", ""),
            write("g/cpuset.cpus", ""),
            write("g/cgroup.freeze", ""),
            write("g/cgroup.subtree_control", ""),
        ],
        on=V2,
    ),
    Row(
        "02h",
        "where a number must be, white space is refused",
        [
            write("g/" + file, "\n", "EINVAL")
            for file in ("pids.max", "cpu.max", "cpu.weight", "cpu.idle", "cgroup.freeze", "cgroup.max.depth", "memory.oom.group", "cgroup.procs")
        ],
        on=V2,
    ),
    Row(
        "02i",
        "the same on v1",
        [write("g/pids.max", "\n", "EINVAL"), write("g/cpu.cfs_quota_us", "\n", "EINVAL"), write("g/cpu.shares", "\n", "EINVAL")],
        on=V1,
    ),
    Row("02j", "white space in subtree_control is nothing to do", [write("g/cgroup.subtree_control", "\n"), reads("g/cgroup.subtree_control", "")], on=V2),
    # Memory: below what is used
    Row(
        "03a",
        "memory.max below what is used succeeds, and kills",
        [
            task("t", "g"),
            takes("t", 24),
            write("g/memory.max", "4M"),
            dies("t"),
            matches("g/memory.events", r"(?s).*\noom_kill [1-9]\d*\n.*"),
            reads("g/memory.max", "4194304"),
        ],
        on=V2,
    ),
    Row(
        "03b",
        "memory.high below it succeeds, and kills nobody",
        [
            task("t", "g"),
            takes("t", 8),
            write("g/memory.high", "4M"),
            lives("t"),
            reads("g/memory.high", "4194304"),
            matches("g/memory.events", r"(?s).*\noom_kill 0\n.*"),
        ],
        on=V2,
    ),
    Row(
        "03c",
        "v1 refuses a limit below it, and kills nobody",
        [task("t", "memory:g"), takes("t", 8), write("g/memory.limit_in_bytes", "4M", "EBUSY"), lives("t"), reads("g/memory.limit_in_bytes", "{unlimited}")],
        on=V1,
    ),
    Row(
        "03d",
        "one of the group is killed, or with oom.group all are",
        [task("a", "g"), task("b", "g"), takes("a", 24), write("g/memory.oom.group", "1"), write("g/memory.max", "4M"), dies("a"), dies("b")],
        on=V2,
    ),
    # CPU bandwidth
    Row(
        "04a",
        "cpu.max: one word is the quota, and keeps the period",
        [
            *keeps("g/cpu.max", "50000 200000", "50000 200000"),
            *keeps("g/cpu.max", "60000", "60000 200000"),
            *keeps("g/cpu.max", "max", "max 200000"),
            *keeps("g/cpu.max", "max 100000", "max 100000"),
        ],
        on=V2,
    ),
    Row(
        "04b",
        "quota from 1 ms, period from 1 ms to 1 s",
        [
            *keeps("g/cpu.max", "1000 1000000", "1000 1000000"),
            write("g/cpu.max", "999", "EINVAL"),
            write("g/cpu.max", "1000 999", "EINVAL"),
            write("g/cpu.max", "1000 1000001", "EINVAL"),
            write("g/cpu.max", "0", "EINVAL"),
            write("g/cpu.max", "-1", "EINVAL"),
            reads("g/cpu.max", "1000 1000000"),
        ],
        on=V2,
    ),
    Row(
        "04c",
        "the same on v1, where -1 is no limit",
        [
            *keeps("g/cpu.cfs_quota_us", "1000", "1000"),
            write("g/cpu.cfs_quota_us", "999", "EINVAL"),
            write("g/cpu.cfs_period_us", "999", "EINVAL"),
            write("g/cpu.cfs_period_us", "1000001", "EINVAL"),
            *keeps("g/cpu.cfs_quota_us", "-1", "-1"),
        ],
        on=V1,
    ),
    Row(
        "04d",
        "burst is at most the quota where there is one, so the quota comes first on the way up and last on the way down",
        [
            *keeps("g/cpu.max.burst", "50000", "50000"),
            write("g/cpu.max", "40000", "EINVAL"),
            write("g/cpu.max", "50000"),
            write("g/cpu.max.burst", "50001", "EINVAL"),
            write("g/cpu.max", "max"),
            reads("g/cpu.max.burst", "50000"),
        ],
        on=V2,
    ),
    Row(
        "04e",
        "a child may have more than its parent on v2",
        [write("g/cpu.max", "50000"), mkdir("g/x"), write("g/cgroup.subtree_control", "+cpu"), *keeps("g/x/cpu.max", "90000", "90000 100000")],
        on=V2,
    ),
    Row(
        "04f",
        "and may not on v1",
        [
            write("g/cpu.cfs_quota_us", "50000"),
            mkdir("cpu:g/x"),
            write("g/x/cpu.cfs_quota_us", "90000", "EINVAL"),
            *keeps("g/x/cpu.cfs_quota_us", "50000", "50000"),
            write("g/cpu.cfs_quota_us", "40000", "EINVAL"),
        ],
        on=V1,
    ),
    # CPU weight
    Row(
        "05a",
        "cpu.weight is from 1 to 10000",
        [
            write("g/cpu.weight", "0", "ERANGE"),
            write("g/cpu.weight", "10001", "ERANGE"),
            *keeps("g/cpu.weight", "1", "1"),
            *keeps("g/cpu.weight", "10000", "10000"),
            write("g/cpu.weight", "1.5", "EINVAL"),
        ],
        on=V2,
    ),
    Row("05b", "every weight reads as it was written, though the kernel keeps shares", [rounds("g/cpu.weight", "{{v}}", "1, 10001, 23", "v")], on=V2),
    Row(
        "05c",
        "cpu.weight.nice is the same value, as the nearest nice",
        [
            write("g/cpu.weight", "100"),
            reads("g/cpu.weight.nice", "0"),
            write("g/cpu.weight.nice", "-20"),
            reads("g/cpu.weight", "8668"),
            write("g/cpu.weight.nice", "20", "ERANGE"),
        ],
        on=V2,
    ),
    Row(
        "05d",
        "an idle group has the least weight, and takes no other",
        [
            write("g/cpu.idle", "1"),
            reads("g/cpu.weight", "1"),
            write("g/cpu.weight", "100", "EINVAL"),
            write("g/cpu.idle", "0"),
            reads("g/cpu.weight", "100"),
            write("g/cpu.idle", "2", "EINVAL"),
        ],
        on=V2,
    ),
    Row(
        "05e",
        "shares below 2 are 2, those above 2^18 are 2^18",
        [*keeps("g/cpu.shares", "0", "2"), *keeps("g/cpu.shares", "1", "2"), *keeps("g/cpu.shares", "1000000", "262144")],
        on=V1,
    ),
    # Disks
    Row(
        "06a",
        "io.max reads numbers as far as they go: 10M is 10 bytes a second",
        [write("g/io.max", "{disk} rbps=10M"), reads("g/io.max", "{disk} rbps=10 wbps=max riops=max wiops=max")],
        on=V2,
    ),
    Row(
        "06b",
        "neither 0 nor 1 can be had",
        [
            write("g/io.max", "{disk} rbps=0", "ERANGE"),
            write("g/io.max", "{disk} rbps=1", "EINVAL"),
            write("g/io.max", "{disk} riops=1", "EINVAL"),
            reads("g/io.max", ""),
        ],
        on=V2,
    ),
    Row(
        "06c",
        "what is not named stays, and a device with nothing left is not listed",
        [
            write("g/io.max", "{disk} rbps=1000 wiops=50"),
            write("g/io.max", "{disk} rbps=2000"),
            reads("g/io.max", "{disk} rbps=2000 wbps=max riops=max wiops=50"),
            write("g/io.max", "{disk} rbps=max wiops=max"),
            reads("g/io.max", ""),
        ],
        on=V2,
    ),
    Row(
        "06d",
        "operations from 2^32 - 1 are no limit",
        [
            write("g/io.max", "{disk} riops=4294967294"),
            reads("g/io.max", "{disk} rbps=max wbps=max riops=4294967294 wiops=max"),
            write("g/io.max", "{disk} riops=4294967295"),
            reads("g/io.max", ""),
        ],
        on=V2,
    ),
    Row(
        "06e",
        "a partition, and a device that is not there",
        [write("g/io.max", "{part} rbps=1000", "ENODEV"), write("g/io.max", "9:99 rbps=1000", "ENODEV")],
        on=V2,
    ),
    Row("06f", "of two names the second is wrong: nothing is set", [write("g/io.max", "{disk} rbps=1000 nonsense=5", "EINVAL"), reads("g/io.max", "")], on=V2),
    Row(
        "06g",
        "v1 has a file for each, and reads numbers the same way; 0 lifts",
        [
            write("g/blkio.throttle.read_bps_device", "{disk} 10M"),
            reads("g/blkio.throttle.read_bps_device", "{disk} 10"),
            write("g/blkio.throttle.read_bps_device", "{disk} 0"),
            reads("g/blkio.throttle.read_bps_device", ""),
            write("g/blkio.throttle.read_bps_device", "{part} 10", "ENODEV"),
        ],
        on=V1,
    ),
    Row(
        "07a",
        "io.weight: the default has a line of its own, from 1 to 10000",
        [
            *keeps("g/io.weight", "200", "default 200"),
            *keeps("g/io.weight", "default 300", "default 300"),
            write("g/io.weight", "0", "EINVAL"),
            write("g/io.weight", "10001", "EINVAL"),
        ],
        on=V2,
    ),
    Row("07b", "one device can have another only where the cost model is on for it", [write("g/io.weight", "{disk} 200", "EOPNOTSUPP")], on=V2),
    # Processes
    Row(
        "08a",
        "pids.max: a leading zero is octal",
        [
            *keeps("g/pids.max", "010", "8"),
            *keeps("g/pids.max", "0x10", "16"),
            *keeps("g/pids.max", "0", "0"),
            *keeps("g/pids.max", "max", "max"),
            write("g/pids.max", "-1", "EINVAL"),
        ],
        on=V2,
    ),
    Row("08b", "the same on v1", [*keeps("g/pids.max", "010", "8"), *keeps("g/pids.max", "max", "max")], on=V1),
    # CPU sets
    Row(
        "09a",
        "lists of CPUs are kept sorted and joined",
        [*keeps("g/cpuset.cpus", "2,0-1,1", "0-2"), *keeps("g/cpuset.cpus", "0-3:1/2", "0,2"), *keeps("g/cpuset.cpus", "\n", "")],
        on=V2,
    ),
    Row(
        "09b",
        "v2 takes what could come, v1 what is online",
        [
            cpu("{last}", False),
            *keeps("g/cpuset.cpus", "{last}", "{last}"),
            lacks("g/cpuset.cpus.effective", "{last}"),
            cpu("{last}", True),
            reads("g/cpuset.cpus.effective", "{last}"),
        ],
        on=V2,
    ),
    Row("09c", "v2 takes what could come, v1 what is online", [cpu("{last}", False), write("g/cpuset.cpus", "{last}", "EINVAL"), cpu("{last}", True)], on=V1),
    Row(
        "09d",
        "no list, and a CPU there cannot be",
        [write("g/cpuset.cpus", "all of them", "EINVAL"), write("g/cpuset.cpus", "4095", "ERANGE"), write("g/cpuset.mems", "63", "EINVAL")],
        on=V2,
    ),
    Row(
        "09e",
        "a partition that cannot be one is taken, and reads as invalid with the reason",
        [
            write("g/cpuset.cpus", "{last}"),
            write("g/cpuset.cpus.partition", "root"),
            matches("g/cpuset.cpus.partition", r"root invalid \(.+\)\n"),
            write("g/cpuset.cpus.partition", "member"),
            reads("g/cpuset.cpus.partition", "member"),
            write("g/cpuset.cpus.partition", "nonsense", "EINVAL"),
        ],
        on=V2,
    ),
    Row(
        "09f",
        "a v1 cpuset takes tasks only with CPUs and memory",
        [
            task("t"),
            write("cpuset:g/tasks", "{t}", "ENOSPC"),
            write("g/cpuset.cpus", "0"),
            write("cpuset:g/tasks", "{t}", "ENOSPC"),
            write("g/cpuset.mems", "0"),
            write("cpuset:g/tasks", "{t}"),
            write("g/cpuset.cpus", "\n", "ENOSPC"),
        ],
        on=V1,
    ),
    Row(
        "09g",
        "a v1 cpuset has no more than its parent, and keeps what its child has",
        [
            write("g/cpuset.cpus", "0-1"),
            mkdir("cpuset:g/x"),
            write("g/x/cpuset.cpus", "2", "EACCES"),
            write("g/x/cpuset.cpus", "1"),
            write("g/cpuset.cpus", "0", "EBUSY"),
        ],
        on=V1,
    ),
    Row(
        "09h",
        "CPUs that one v1 cpuset has alone no sibling gets; it can have them so where its parent does",
        [
            write("g/cpuset.cpus", "1"),
            write("g/cpuset.cpu_exclusive", "1", "EACCES"),
            write("cpuset:./cpuset.cpu_exclusive", "1"),
            write("g/cpuset.cpu_exclusive", "1"),
            write("h/cpuset.cpus", "0-1", "EINVAL"),
            write("h/cpuset.cpus", "0"),
            write("g/cpuset.cpu_exclusive", "0"),
            write("cpuset:./cpuset.cpu_exclusive", "0"),
        ],
        on=V1,
    ),
    # Controllers for children
    Row(
        "10a",
        "a controller that there is not",
        [write("g/cgroup.subtree_control", "+nonsense", "EINVAL"), write("g/cgroup.subtree_control", "memory", "EINVAL")],
        on=V2,
    ),
    Row("10b", "a controller that the parent does not hand down", [mkdir("g/x"), write("g/x/cgroup.subtree_control", "+memory", "ENOENT")], on=V2),
    Row(
        "10c",
        "a group with processes hands down nothing that counts for whole processes",
        [task("t", "g"), write("g/cgroup.subtree_control", "+memory", "EBUSY")],
        on=V2,
    ),
    Row(
        "10d",
        "nor is anything taken back that a child hands down",
        [
            mkdir("g/x"),
            write("g/cgroup.subtree_control", "+pids"),
            write("g/x/cgroup.subtree_control", "+pids"),
            write("g/cgroup.subtree_control", "-pids", "EBUSY"),
            write("g/x/cgroup.subtree_control", "-pids"),
            write("g/cgroup.subtree_control", "-pids"),
        ],
        on=V2,
    ),
    Row(
        "10e",
        "a write is done in whole or not at all",
        [
            write("g/cgroup.subtree_control", "+pids +nonsense", "EINVAL"),
            reads("g/cgroup.subtree_control", ""),
            write("g/cgroup.subtree_control", "+pids -pids"),
            reads("g/cgroup.subtree_control", ""),
        ],
        on=V2,
    ),
    Row(
        "10f",
        "taking a controller back loses what it was set to",
        [
            mkdir("g/x"),
            write("g/cgroup.subtree_control", "+pids"),
            write("g/x/pids.max", "5"),
            write("g/cgroup.subtree_control", "-pids"),
            write("g/cgroup.subtree_control", "+pids"),
            reads("g/x/pids.max", "max"),
        ],
        on=V2,
    ),
    Row(
        "10g",
        "above a threaded group only controllers for threads are handed down",
        [
            mkdir("g/x"),
            write("g/x/cgroup.type", "threaded"),
            write("g/cgroup.subtree_control", "+memory", "EOPNOTSUPP"),
            write("g/cgroup.subtree_control", "+pids"),
            reads("g/x/cgroup.controllers", "pids"),
        ],
        on=V2,
    ),
    Row(
        "10h",
        "what is on already may be asked for again",
        [mkdir("g/x"), write("g/cgroup.subtree_control", "+pids"), write("g/cgroup.subtree_control", "+pids"), reads("g/cgroup.subtree_control", "pids")],
        on=V2,
    ),
    # Members
    Row(
        "11a",
        "a group that hands down takes no process",
        [mkdir("g/x"), write("g/cgroup.subtree_control", "+memory"), task("t"), write("g/cgroup.procs", "{t}", "EBUSY"), write("g/x/cgroup.procs", "{t}")],
        on=V2,
    ),
    Row(
        "11b",
        "one that hands down controllers for threads only does",
        [mkdir("g/x"), write("g/cgroup.subtree_control", "+pids"), task("t"), write("g/cgroup.procs", "{t}"), has("g/cgroup.procs", "{t}")],
        on=V2,
    ),
    Row(
        "11c",
        "below a threaded group a new one is invalid until it is threaded too",
        [
            task("t", "g"),
            mkdir("g/x"),
            write("g/x/cgroup.type", "threaded"),
            reads("g/cgroup.type", "domain threaded"),
            mkdir("g/y"),
            reads("g/y/cgroup.type", "domain invalid"),
            write("g/y/cgroup.procs", "{t}", "EOPNOTSUPP"),
            write("g/y/cgroup.type", "threaded"),
            write("g/y/cgroup.procs", "{t}"),
        ],
        on=V2,
    ),
    Row(
        "11d",
        "a threaded group does not list processes, but threads",
        [
            task("t", "g"),
            mkdir("g/x"),
            write("g/x/cgroup.type", "threaded"),
            write("g/x/cgroup.procs", "{t}"),
            Act("reads", ("g/x/cgroup.procs", ""), "EOPNOTSUPP"),
            has("g/x/cgroup.threads", "{t}"),
            has("g/cgroup.procs", "{t}"),
        ],
        on=V2,
    ),
    Row(
        "11e",
        "there is no way back from threaded, and none to it below a parent that hands down memory",
        [
            mkdir("g/x"),
            write("g/x/cgroup.type", "domain", "EINVAL"),
            write("g/x/cgroup.type", "threaded"),
            reads("g/x/cgroup.type", "threaded"),
            write("g/x/cgroup.type", "domain", "EINVAL"),
            write("h/cgroup.type", "threaded", "EOPNOTSUPP"),
        ],
        on=V2,
    ),
    Row(
        "11f",
        "a process that is gone, none, several at once",
        [
            gone("t"),
            write("g/cgroup.procs", "{t}", "ESRCH"),
            write("g/cgroup.procs", "abc", "EINVAL"),
            write("g/cgroup.procs", "-1", "EINVAL"),
            task("a"),
            task("b"),
            write("g/cgroup.procs", "{a} {b}", "EINVAL"),
            has_not("g/cgroup.procs", "{a}", "{b}"),
        ],
        on=V2,
    ),
    Row(
        "11g",
        "a thread's number moves its whole process",
        [task("p"), thread("t", "p", "p"), write("g/cgroup.procs", "{t}"), has("g/cgroup.procs", "{p}"), has("g/cgroup.threads", "{p}", "{t}")],
        on=V2,
    ),
    Row(
        "11h",
        "a thread alone goes no further than the threaded groups of its process",
        [task("p"), thread("t", "p", "p"), write("g/cgroup.threads", "{t}", "EOPNOTSUPP")],
        on=V2,
    ),
    Row("11i", "what starts kernel threads is not moved", [write("g/cgroup.procs", "2", "EINVAL")], on=V2),
    Row(
        "11j",
        "v1: a thread alone by tasks, its process by cgroup.procs",
        [
            task("p"),
            thread("t", "p", "p"),
            write("memory:g/tasks", "{t}"),
            has("memory:g/tasks", "{t}"),
            has_not("memory:g/tasks", "{p}"),
            write("memory:g/cgroup.procs", "{t}"),
            has("memory:g/tasks", "{p}", "{t}"),
        ],
        on=V1,
    ),
    Row("11k", "v1: a process that is gone", [gone("t"), write("memory:g/cgroup.procs", "{t}", "ESRCH"), write("memory:g/tasks", "{t}", "ESRCH")], on=V1),
    # Making and removing
    Row(
        "12a",
        "more than the depth or the number of descendants allows",
        [
            write("g/cgroup.max.depth", "0"),
            mkdir("g/x", "EAGAIN"),
            write("g/cgroup.max.depth", "max"),
            write("g/cgroup.max.descendants", "1"),
            mkdir("g/x"),
            mkdir("g/y", "EAGAIN"),
        ],
        on=V2,
    ),
    Row(
        "12b",
        "a group with processes, and one with groups, cannot be removed",
        [task("t", "g"), rmdir("g", "EBUSY"), mkdir("h/x"), rmdir("h", "EBUSY"), rmdir("h/x"), rmdir("h"), mkdir("h")],
        on=V2,
    ),
    Row("12c", "the same on v1", [task("t", "memory:g"), rmdir("memory:g", "EBUSY"), mkdir("memory:h/x"), rmdir("memory:h", "EBUSY")], on=V1),
    Row(
        "12d",
        "a group cannot be called like a file of its parent; where there is none yet it can",
        [mkdir("g/memory.max", "EEXIST"), mkdir("g/cgroup.procs", "EEXIST"), mkdir("g/nonsense.max"), rmdir("g/nonsense.max"), mkdir("g/a\nb", "EINVAL")],
        on=V2,
    ),
    # Killing
    Row(
        "13a",
        "cgroup.kill takes 1 and nothing else",
        [write("g/cgroup.kill", "0", "ERANGE"), write("g/cgroup.kill", "2", "ERANGE"), write("g/cgroup.kill", "yes", "EINVAL"), write("g/cgroup.kill", "1")],
        on=V2,
    ),
    Row(
        "13b",
        "it kills what is in the group and below it, in its own time",
        [
            task("a", "g"),
            mkdir("g/x"),
            task("b", "g/x"),
            write("g/cgroup.kill", "1"),
            dies("a"),
            dies("b"),
            comes_to("g/cgroup.events", r"populated 0\nfrozen 0\n"),
        ],
        on=V2,
    ),
    Row(
        "13c",
        "what is frozen too",
        [task("t", "g"), write("g/cgroup.freeze", "1"), comes_to("g/cgroup.events", r"populated 1\nfrozen 1\n"), write("g/cgroup.kill", "1"), dies("t")],
        on=V2,
    ),
    Row(
        "13d",
        "a threaded group cannot be killed",
        [mkdir("g/x"), write("g/x/cgroup.type", "threaded"), write("g/x/cgroup.kill", "1", "EOPNOTSUPP"), write("g/cgroup.kill", "1")],
        on=V2,
    ),
    Row(
        "13e",
        "v1 has no cgroup.kill, and a signal waits until the group is thawed",
        [
            task("t", "freezer:g"),
            write("freezer:g/freezer.state", "FROZEN"),
            comes_to("freezer:g/freezer.state", r"FROZEN\n"),
            kill("t"),
            lives("t"),
            write("freezer:g/freezer.state", "THAWED"),
            dies("t"),
        ],
        on=V1,
    ),
    # Freezing
    Row(
        "14a",
        "cgroup.freeze is 0 or 1; whether the group is frozen is told by cgroup.events",
        [
            write("g/cgroup.freeze", "2", "ERANGE"),
            write("g/cgroup.freeze", "on", "EINVAL"),
            task("t", "g"),
            write("g/cgroup.freeze", "1"),
            reads("g/cgroup.freeze", "1"),
            comes_to("g/cgroup.events", r"populated 1\nfrozen 1\n"),
            write("g/cgroup.freeze", "0"),
            comes_to("g/cgroup.events", r"populated 1\nfrozen 0\n"),
        ],
        on=V2,
    ),
    Row(
        "14b",
        "a child is frozen with its parent, and does not say that it asked for it",
        [
            mkdir("g/x"),
            task("t", "g/x"),
            write("g/cgroup.freeze", "1"),
            comes_to("g/x/cgroup.events", r"populated 1\nfrozen 1\n"),
            reads("g/x/cgroup.freeze", "0"),
        ],
        on=V2,
    ),
    Row("14c", "an empty group is frozen at once", [write("g/cgroup.freeze", "1"), reads("g/cgroup.events", "populated 0\nfrozen 1")], on=V2),
    Row(
        "14d",
        "who comes into a frozen group freezes",
        [write("g/cgroup.freeze", "1"), task("t", "g"), comes_to("g/cgroup.events", r"populated 1\nfrozen 1\n")],
        on=V2,
    ),
    Row(
        "14e",
        "v1 has words, FROZEN and THAWED, in capitals",
        [
            write("freezer:g/freezer.state", "FROZEN"),
            reads("freezer:g/freezer.state", "FROZEN"),
            reads("freezer:g/freezer.self_freezing", "1"),
            write("freezer:g/freezer.state", "frozen", "EINVAL"),
            write("freezer:g/freezer.state", "FREEZING", "EINVAL"),
            mkdir("freezer:g/x"),
            reads("freezer:g/x/freezer.state", "FROZEN"),
            reads("freezer:g/x/freezer.parent_freezing", "1"),
            write("freezer:g/x/freezer.state", "THAWED"),
            reads("freezer:g/x/freezer.state", "FROZEN"),
        ],
        on=V1,
    ),
    # What only v1 has
    Row(
        "15a",
        "memory with swap is never less than memory",
        [
            write("g/memory.memsw.limit_in_bytes", "1M", "EINVAL"),
            write("g/memory.limit_in_bytes", "2M"),
            write("g/memory.memsw.limit_in_bytes", "1M", "EINVAL"),
            *keeps("g/memory.memsw.limit_in_bytes", "3M", "3145728"),
            write("g/memory.limit_in_bytes", "4M", "EINVAL"),
            reads("g/memory.limit_in_bytes", "2097152"),
        ],
        on=V1,
    ),
    Row(
        "15e",
        "the soft limit is over too: the write succeeds, and nothing is kept",
        [write("g/memory.soft_limit_in_bytes", "1M"), reads("g/memory.soft_limit_in_bytes", "{unlimited}")],
        on=V1,
    ),
    Row(
        "15b",
        "memory of the kernel is not limited any more, and the write succeeds",
        [write("g/memory.kmem.limit_in_bytes", "1M"), reads("g/memory.kmem.limit_in_bytes", "{unlimited}")],
        on=V1,
    ),
    Row("15c", "what can and cannot be asked of the root", [write("memory:/memory.limit_in_bytes", "1G", "EINVAL")], on=V1),
    Row("15d", "moving charges along with a task is over", [write("g/memory.move_charge_at_immigrate", "0")], on=V1),
    # Which hierarchy has what
    Row(
        "16a",
        "on v2 every controller of the lab's kernel is in the one tree",
        [matches("/sys/fs/cgroup/cgroup.controllers", r"cpuset cpu io memory hugetlb pids rdma misc\n"), there("/sys/fs/cgroup/cgroup.subtree_control")],
        on=V2,
    ),
    Row(
        "16b",
        "with both, the v2 tree has none",
        [reads("/sys/fs/cgroup/unified/cgroup.controllers", ""), there("/sys/fs/cgroup/unified/cgroup.procs")],
        on=("hybrid",),
    ),
    Row(
        "16c",
        "a v2 group without controllers freezes and kills all the same",
        [
            mkdir("/sys/fs/cgroup/unified/bulkhead-conformance"),
            task("t"),
            write("/sys/fs/cgroup/unified/bulkhead-conformance/cgroup.procs", "{t}"),
            write("/sys/fs/cgroup/unified/bulkhead-conformance/cgroup.freeze", "1"),
            comes_to("/sys/fs/cgroup/unified/bulkhead-conformance/cgroup.events", r"populated 1\nfrozen 1\n"),
            write("/sys/fs/cgroup/unified/bulkhead-conformance/cgroup.kill", "1"),
            dies("t"),
            comes_to("/sys/fs/cgroup/unified/bulkhead-conformance/cgroup.events", r"populated 0\nfrozen 1\n"),
            rmdir("/sys/fs/cgroup/unified/bulkhead-conformance"),
        ],
        on=("hybrid",),
    ),
]
