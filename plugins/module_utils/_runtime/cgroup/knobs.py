# Copyright: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""The table of limits: every option, the file that holds it on v2, the file or files that hold it on v1, and how it is read.

To add a knob is to add a row here and an option with the same name to the modules' documentation. One vocabulary serves
both versions: an option is named after the v2 file, a value is a v2 value, and the row says what v1 has for it, or
why it has nothing (Documentation/admin-guide/cgroup-v1/ and cgroup-v2.rst).
"""

from __future__ import annotations

import os

from .. import units
from ..errors import InvalidInput
from ..kernel.files import read_text
from . import values
from .values import MAX, Format

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from .host import Host

    Parser = Callable[[Any, str, Host], str]


class File:
    """An interface file and the format of its value. `usage` holds what is in use of a limit."""

    __slots__ = ("format", "name", "usage")

    def __init__(self, name: str, format: Format, usage: str = "") -> None:
        self.name = name
        self.format = format
        self.usage = usage


class Knob:
    """One row: an option, how a value given for it is read, and where it lives.

    order: among changes that take something from a group, later rows go first; among those that give, earlier ones.
    absent_on_v1: why v1 has no counterpart.
    deadly: whether 0 kills or stops what runs in the group.
    """

    __slots__ = ("absent_on_v1", "controller", "deadly", "option", "order", "parse", "v1", "v2")

    def __init__(self, option: str, parse: Parser, v2: File, v1: tuple[File, ...] = (), absent_on_v1: str = "", deadly: bool = False) -> None:
        self.option = option
        self.controller = option.partition(".")[0]
        self.parse = parse
        self.v2 = v2
        self.v1 = v1
        self.absent_on_v1 = absent_on_v1
        self.deadly = deadly
        self.order = 0

    def files(self, version: int) -> tuple[File, ...]:
        """The files that hold the option on this version."""
        return (self.v2,) if version == 2 else self.v1


def _size(value: Any, what: str, host: Host) -> str:
    return MAX if units.is_max(value) else str(units.parse_size(value, what))


# PID_MAX_LIMIT on 64 bits, include/linux/threads.h: pids_max_write() refuses more.
_MOST_PROCESSES = 4194304


def _processes(value: Any, what: str, host: Host) -> str:
    return MAX if units.is_max(value) else str(units.parse_count(value, what, 0, _MOST_PROCESSES))


def rdma_count(value: Any, what: str) -> str:
    """A limit of rdma.max, which counts in 31 bits and takes their end for no limit (rdmacg_parse_limits())."""
    most = (1 << 31) - 1
    number = most if units.is_max(value) else units.parse_count(value, what, 0, most)
    return MAX if number == most else str(number)


def _weight(value: Any, what: str, host: Host) -> str:
    return str(units.parse_count(value, what, 1, 10000))


def _flag(value: Any, what: str, host: Host) -> str:
    return "1" if units.parse_boolean(value, what) else "0"


DEFAULT_PERIOD = 100000


# MAX_BW, kernel/sched/sched.h: what quota and burst together may come to.
_LONGEST = (1 << 44) - 1
_MOST_CPUS = 65536


def _cores(value: Any, what: str) -> float:
    """A number of CPUs."""
    try:
        count = float(str(value))
    except ValueError:
        count = 0.0
    if count >= _MOST_CPUS:
        raise InvalidInput(
            "%s: %s CPUs are more than any machine has" % (what, value),
            hint="a plain number is a number of CPUs; a quota in microseconds has its period beside it, as in '50000 100000'",
        )
    if not count > 0:
        raise InvalidInput(
            "%s: %r is not a number of CPUs" % (what, value),
            hint="give for example 1.5, or '150ms 100ms' (quota and period), or max",
        )
    return count


def _bandwidth(value: Any, what: str, host: Host) -> str:
    """A number of CPUs (1.5), "QUOTA PERIOD", {quota, period} or max; ranges as in tg_set_cfs_bandwidth()."""
    period: Any = DEFAULT_PERIOD
    if isinstance(value, dict):
        unknown = set(value) - {"quota", "period"}
        if unknown or value.get("quota") is None:
            raise InvalidInput("%s: %r is not a quota with a period" % (what, value), hint="give the two as {quota: 150ms, period: 100ms}")
        quota, period = value["quota"], value.get("period") or DEFAULT_PERIOD
    elif isinstance(value, str) and len(value.split()) == 2:
        quota, period = value.split()
    elif units.is_max(value):
        quota = MAX
    else:
        quota = round(_cores(value, what) * DEFAULT_PERIOD)
    period = units.parse_time(period, what + " period")
    if not 1000 <= period <= 1000000:
        raise InvalidInput("%s: a period of %d us is not within 1 ms to 1 s" % (what, period))
    if units.is_max(quota):
        return "%s %d" % (MAX, period)
    quota = units.parse_time(quota, what + " quota")
    if quota < 1000:
        raise InvalidInput(
            "%s: a quota of %d us is below the kernel's least of 1 ms" % (what, quota),
            hint="that is %.3f CPUs in a period of %d us; take at least %.3f" % (quota / period, period, 1000 / period),
        )
    if quota > _LONGEST:
        raise InvalidInput("%s: a quota of %d us is more than the kernel counts (%d us)" % (what, quota, _LONGEST), hint="give max for no limit")
    return "%d %d" % (quota, period)


def _burst(value: Any, what: str, host: Host) -> str:
    burst = units.parse_time(value, what)
    if burst > _LONGEST:
        raise InvalidInput("%s: %d us is more than the kernel counts (%d us)" % (what, burst, _LONGEST))
    return str(burst)


def _numbers(there: Callable[[Host], frozenset[int]], noun: str) -> Parser:
    def parse(value: Any, what: str, host: Host) -> str:
        numbers = units.parse_list(value, what)
        if not numbers:
            raise InvalidInput("%s is empty" % what, hint="name at least one %s, or leave the option out" % noun)
        missing = numbers - there(host)
        if missing:
            raise InvalidInput("%s: this machine has no %s %s" % (what, noun, units.format_list(missing)), hint="it has %s" % units.format_list(there(host)))
        return units.format_list(numbers)

    return parse


def _cpus_there(host: Host) -> frozenset[int]:
    """v2 takes any CPU that could come, v1 only those online (validate_change(), kernel/cgroup/cpuset.c)."""
    hierarchy = host.by_controller.get("cpuset")
    which = "online" if hierarchy and hierarchy.version == 1 else "possible"
    return units.parse_list(read_text("/sys/devices/system/cpu/" + which) or "")


def _nodes_there(host: Host) -> frozenset[int]:
    return units.parse_list(read_text("/sys/devices/system/node/online") or "0")


def _partition(value: Any, what: str, host: Host) -> str:
    word = str(value).strip()
    if word not in ("member", "root", "isolated"):
        raise InvalidInput("%s: %r is none of member, root, isolated" % (what, value))
    return word


def io_rate(value: Any, what: str, host: Host) -> str:
    """Bytes or operations per second for io.max, which takes neither 0 nor units: "10M" would be 10 bytes to it."""
    if units.is_max(value):
        return MAX
    number = units.parse_rate(value, what) if what.endswith("bps") else units.parse_count(value, what)
    if number < 2:
        raise InvalidInput(
            "%s: %d would stop the device for this group, and the kernel refuses it" % (what, number), hint="give at least 2, or max for no limit"
        )
    if what.endswith("iops") and number >= 0xFFFFFFFF:
        return MAX
    return str(number)


def _latency(value: Any, what: str, host: Host) -> str:
    return "0" if units.is_max(value) else str(units.parse_time(value, what))


_PAGE = os.sysconf("SC_PAGE_SIZE")
_V2_BYTES = values.Number(step=_PAGE)
_V1_BYTES = values.Number(step=_PAGE, unlimited="-1")
_PLAIN = values.Number()

KNOBS = [
    Knob(
        "memory.swap_max",
        _size,
        File("memory.swap.max", _V2_BYTES, "memory.swap.current"),
        (File("memory.memsw.limit_in_bytes", _V1_BYTES, "memory.memsw.usage_in_bytes"),),
    ),
    Knob(
        "memory.max", _size, File("memory.max", _V2_BYTES, "memory.current"), (File("memory.limit_in_bytes", _V1_BYTES, "memory.usage_in_bytes"),), deadly=True
    ),
    Knob("memory.high", _size, File("memory.high", _V2_BYTES), absent_on_v1="v1 does not throttle before the limit; set memory.max", deadly=True),
    Knob("memory.low", _size, File("memory.low", _V2_BYTES), (File("memory.soft_limit_in_bytes", _V1_BYTES),)),
    Knob("memory.min", _size, File("memory.min", _V2_BYTES), absent_on_v1="v1 guarantees no memory; memory.low is the nearest it has"),
    Knob("memory.oom_group", _flag, File("memory.oom.group", values.Flag()), absent_on_v1="v1 kills one process at a time"),
    Knob("cpu.max", _bandwidth, File("cpu.max", values.Bandwidth()), (File("cpu.cfs_quota_us", values.Part(0)), File("cpu.cfs_period_us", values.Part(1)))),
    Knob("cpu.burst", _burst, File("cpu.max.burst", _PLAIN), (File("cpu.cfs_burst_us", _PLAIN),)),
    Knob("cpu.idle", _flag, File("cpu.idle", values.Flag()), (File("cpu.idle", values.Flag()),)),
    Knob("cpu.weight", _weight, File("cpu.weight", _PLAIN), (File("cpu.shares", values.Shares()),)),
    Knob("cpuset.cpus", _numbers(_cpus_there, "CPU"), File("cpuset.cpus", values.Numbers()), (File("cpuset.cpus", values.Numbers()),)),
    Knob("cpuset.mems", _numbers(_nodes_there, "memory node"), File("cpuset.mems", values.Numbers()), (File("cpuset.mems", values.Numbers()),)),
    Knob(
        "cpuset.partition",
        _partition,
        File("cpuset.cpus.partition", values.Partition()),
        (File("cpuset.cpu_exclusive", values.Exclusive("member", "root")),),
    ),
    Knob("io.weight", _weight, File("io.weight", values.DefaultLine()), (File("blkio.bfq.weight", values.BfqWeight()),)),
    Knob("pids.max", _processes, File("pids.max", _PLAIN, "pids.current"), (File("pids.max", _PLAIN, "pids.current"),)),
]
for _order, _knob in enumerate(KNOBS):
    _knob.order = _order

BY_OPTION = {knob.option: knob for knob in KNOBS}

# Limits with a key: one for each device, huge page size or resource. {KEY} in a file's name stands for the key.
IO_MAX_V2 = File("io.max", values.NestedLine())
IO_MAX_V1 = {
    "rbps": File("blkio.throttle.read_bps_device", values.Line(unlimited="0")),
    "wbps": File("blkio.throttle.write_bps_device", values.Line(unlimited="0")),
    "riops": File("blkio.throttle.read_iops_device", values.Line(unlimited="0")),
    "wiops": File("blkio.throttle.write_iops_device", values.Line(unlimited="0")),
}
IO_LATENCY = File("io.latency", values.NestedLine(unlimited="0", absent="0"))
RDMA_MAX = File("rdma.max", values.NestedLine())
MISC_MAX = File("misc.max", values.Line())
KEYED_FILES = {"io.max": [IO_MAX_V2, *IO_MAX_V1.values()], "io.latency": [IO_LATENCY], "rdma": [RDMA_MAX], "misc": [MISC_MAX]}


def hugetlb_file(size: str, version: int) -> File:
    """The file that limits huge pages of one size ("2MB")."""
    step = units.parse_size(size)
    if version == 2:
        return File("hugetlb.%s.max" % size, values.Number(step=step), "hugetlb.%s.current" % size)
    return File("hugetlb.%s.limit_in_bytes" % size, values.Number(step=step, unlimited="-1"), "hugetlb.%s.usage_in_bytes" % size)


def latency(value: Any, what: str, host: Host) -> str:
    """Microseconds for io.latency; max or 0 for none."""
    return _latency(value, what, host)


def file_by_name(name: str) -> tuple[Knob, File] | None:
    """The row and the file for the name of an interface file, of either version."""
    for knob in KNOBS:
        for file in (knob.v2, *knob.v1):
            if file.name == name:
                return knob, file
    return None
