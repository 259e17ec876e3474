# Copyright: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""How values are spelled in the interface files, and back.

A value of this collection is text in the vocabulary of cgroup v2 ("max", "536870912", "0-3"). A Format knows one file's
spelling of it: what to write, what the kernel will print when it has taken that, and how to read what it prints. Two
values are the same when their canonical spellings are; rounding is part of the spelling, so it is never a difference.

Sources: Documentation/admin-guide/cgroup-v2.rst and cgroup-v1/*.rst, and the functions named beside each class.
"""

from __future__ import annotations

from ..units import format_list, parse_list

MAX = "max"
# PAGE_COUNTER_MAX in bytes differs with the page size and the huge page size: anything near 2^63 is "no limit".
_NO_LIMIT = 1 << 62


class Format:
    """A file that holds a value just as it is meant, one value in all."""

    keyed = False

    def kept(self, value: str) -> str:
        """The canonical spelling of what the file holds after the value was written."""
        return value

    def normal(self, text: str, key: str = "") -> str:
        """The canonical spelling of what the kernel printed; key chooses a line of files that have several."""
        return " ".join(text.split())

    def written(self, value: str, key: str = "") -> str:
        """What to write for a value."""
        return value

    def restored(self, kept: str, key: str = "") -> str:
        """What to write to bring back a canonical spelling that was read."""
        return kept or "\n"

    def value(self, kept: str) -> str:
        """The value in the vocabulary of v2 that a canonical spelling stands for."""
        return kept

    def grows(self, before: str, after: str) -> bool:
        """Whether going from one canonical spelling to the other gives the group more."""
        return True


class Number(Format):
    """A number, or `unlimited` for no limit.

    step: the kernel rounds down to multiples of it: page_counter_memparse() for memory, hugetlb_cgroup_write() for huge pages.
    unlimited: how no limit is written; it may be printed as a number near 2^63.
    more_is_less: a larger number gives the group less (a quota's period).
    """

    def __init__(self, step: int = 1, unlimited: str = MAX, more_is_less: bool = False) -> None:
        self.step = step
        self.unlimited = unlimited
        self.more_is_less = more_is_less

    def kept(self, value: str) -> str:
        if value == MAX:
            return MAX
        number = int(value)
        return MAX if number >= _NO_LIMIT else str(number - number % self.step)

    def normal(self, text: str, key: str = "") -> str:
        text = text.strip()
        if text in (MAX, self.unlimited):
            return MAX
        return MAX if int(text) >= _NO_LIMIT else text

    def written(self, value: str, key: str = "") -> str:
        return self.unlimited if value == MAX else value

    def restored(self, kept: str, key: str = "") -> str:
        return self.written(kept)

    def grows(self, before: str, after: str) -> bool:
        more = after == MAX or (before != MAX and int(after) >= int(before))
        return more is not self.more_is_less


class Shares(Number):
    """cpu.shares for a cpu.weight: weight 100 is 1024 shares, as in sched_weight_to_cgroup(), kernel/sched/core.c."""

    def kept(self, value: str) -> str:
        # Below 2 the kernel keeps 2 (MIN_SHARES); both directions round to nearest, which gives back all 10000 weights.
        return str(max(2, (int(value) * 1024 + 50) // 100))

    def written(self, value: str, key: str = "") -> str:
        return self.kept(value)

    def restored(self, kept: str, key: str = "") -> str:
        return kept

    def value(self, kept: str) -> str:
        return str(min(10000, max(1, (int(kept) * 100 + 512) // 1024)))


class BfqWeight(Number):
    """blkio.bfq.weight (1 to 1000) for an io.weight (1 to 10000): both default to 100, and each side is scaled alone."""

    def kept(self, value: str) -> str:
        weight = int(value)
        return str(weight if weight <= 100 else 100 + (weight - 100) * 900 // 9900)

    def normal(self, text: str, key: str = "") -> str:
        words = text.split()
        return words[1] if words and words[0] == "default" else words[0]

    def written(self, value: str, key: str = "") -> str:
        return self.kept(value)

    def restored(self, kept: str, key: str = "") -> str:
        return kept

    def value(self, kept: str) -> str:
        weight = int(kept)
        return str(weight if weight <= 100 else 100 + -(-(weight - 100) * 9900 // 900))


class Part(Number):
    """One half of cpu.max, for v1, which keeps quota and period in two files: cpu.cfs_quota_us, cpu.cfs_period_us."""

    def __init__(self, index: int) -> None:
        super().__init__(unlimited="-1", more_is_less=index == 1)
        self.index = index

    def kept(self, value: str) -> str:
        return value.split()[self.index]

    def written(self, value: str, key: str = "") -> str:
        return super().written(self.kept(value))

    def restored(self, kept: str, key: str = "") -> str:
        return super().written(kept)


class Bandwidth(Format):
    """cpu.max: "QUOTA PERIOD" in microseconds, QUOTA may be max; tg_cfs_bandwidth, kernel/sched/core.c."""

    def grows(self, before: str, after: str) -> bool:
        return cores(after) >= cores(before)


def cores(bandwidth: str) -> float:
    """How many CPUs a cpu.max is worth; infinity for no limit."""
    quota, _space, period = bandwidth.partition(" ")
    return float("inf") if quota in (MAX, "-1") else int(quota) / int(period or 100000)


class Numbers(Format):
    """A set of CPUs or memory nodes in list format."""

    def kept(self, value: str) -> str:
        return format_list(parse_list(value))

    def normal(self, text: str, key: str = "") -> str:
        return format_list(parse_list(text))

    def written(self, value: str, key: str = "") -> str:
        return value or "\n"

    def grows(self, before: str, after: str) -> bool:
        return parse_list(after) >= parse_list(before)


class Flag(Format):
    """A file that holds 0 or 1, written alike; `one` and `zero` are the values of v2 they stand for."""

    def __init__(self, zero: str = "0", one: str = "1") -> None:
        self.zero = zero
        self.one = one

    def kept(self, value: str) -> str:
        return "1" if value == self.one else "0"

    def written(self, value: str, key: str = "") -> str:
        return self.kept(value)

    def value(self, kept: str) -> str:
        return self.one if kept == "1" else self.zero


class Exclusive(Flag):
    """A flag whose 1 takes CPUs from other groups: letting go of them must come before another group gets them."""

    def grows(self, before: str, after: str) -> bool:
        return after == "1"


class Partition(Format):
    """cpuset.cpus.partition; a member has no CPUs for itself."""

    def grows(self, before: str, after: str) -> bool:
        return after != "member"


class DefaultLine(Format):
    """The line "default N" of io.weight; ioc_weight_write(), block/blk-iocost.c."""

    def normal(self, text: str, key: str = "") -> str:
        for line in text.splitlines():
            words = line.split()
            if words and words[0] == "default":
                return words[1]
        return text.strip()

    def written(self, value: str, key: str = "") -> str:
        return "default %s" % value

    def restored(self, kept: str, key: str = "") -> str:
        return self.written(kept)

    def grows(self, before: str, after: str) -> bool:
        return int(after) >= int(before or 0)


class Line(Format):
    """A file of lines "KEY VALUE"; a key without a line has `absent`.

    blkio.throttle.*_device (tg_set_conf(), block/blk-throttle.c), misc.max (misc_cg_max_write(), kernel/cgroup/misc.c).
    """

    keyed = True

    def __init__(self, unlimited: str = MAX, absent: str = MAX) -> None:
        self.unlimited = unlimited
        self.absent = absent

    def normal(self, text: str, key: str = "") -> str:
        for line in text.splitlines():
            name, _space, value = line.strip().partition(" ")
            if name == key:
                value = value.strip()
                return MAX if value == self.unlimited else value
        return self.absent

    def written(self, value: str, key: str = "") -> str:
        return "%s %s" % (key, self.unlimited if value == MAX else value)

    def restored(self, kept: str, key: str = "") -> str:
        return self.written(kept, key)

    def grows(self, before: str, after: str) -> bool:
        return after == MAX or (before != MAX and int(after) >= int(before))


class NestedLine(Line):
    """A file of lines "KEY a=1 b=2"; the key is "KEY a". Names that a write leaves out keep their values.

    io.max (tg_set_limit(), block/blk-throttle.c), rdma.max (rdmacg_resource_set_max(), kernel/cgroup/rdma.c),
    io.latency (iolatency_set_limit(), block/blk-iolatency.c: "target=0" removes the line).
    """

    def normal(self, text: str, key: str = "") -> str:
        outer, _space, inner = key.partition(" ")
        for pair in super().normal(text, outer).split():
            name, _equals, value = pair.partition("=")
            if name == inner:
                return MAX if value == self.unlimited else value
        return self.absent

    def written(self, value: str, key: str = "") -> str:
        return "%s=%s" % (key, self.unlimited if value == MAX else value)
