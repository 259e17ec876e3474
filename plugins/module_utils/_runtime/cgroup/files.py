# Copyright: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Interface files that are asked for by name: how each is read and compared, since many print other than what was written.

A file here is taken in its own vocabulary, which on v1 may differ from that of the option with the same meaning: cpu.shares
is a number of shares, and memory.memsw.limit_in_bytes is memory and swap together.
"""

from __future__ import annotations

import os
import re

from .. import units
from ..errors import InvalidInput
from . import values
from .knobs import Knob, file_by_name
from .values import MAX, Format

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    Reader = Callable[[Any, str], tuple[str, Format]]

_NUMBER = re.compile(r"-?[0-9]+(\.[0-9]+)?|0x[0-9a-f]+")
_PAGE = os.sysconf("SC_PAGE_SIZE")


class AsWritten(Format):
    """A file that nothing is known of here: it holds what is asked for when it says the same in its own spelling."""

    def __init__(self, asked: str) -> None:
        self.asked = _plain(asked)
        words = self.asked.split(" ")
        self.first = words[0] if len(words) > 1 else ""

    def kept(self, value: str) -> str:
        return self.asked

    def normal(self, text: str, key: str = "") -> str:
        lines = [_plain(line) for line in text.splitlines()]
        if self.first:  # a file of lines, each for one thing that is named first
            lines = [line for line in lines if line.split(" ")[0] == self.first] or lines
        held = " ".join(lines)
        return self.asked if _alike(self.asked, held) else held

    def restored(self, kept: str, key: str = "") -> str:
        return kept or "\n"


def _plain(text: str) -> str:
    return " ".join(text.split())


def _alike(asked: str, held: str) -> bool:
    """Whether two texts are one number, one list of CPUs, or word by word the same."""
    if asked == held:
        return True
    if _NUMBER.fullmatch(asked) and _NUMBER.fullmatch(held):
        return _value(asked) == _value(held)
    try:
        numbers = units.parse_list(asked)
    except InvalidInput:
        return False
    return bool(numbers) and held == units.format_list(numbers)


def _value(text: str) -> float:
    return int(text, 16) if text.startswith("0x") else float(text)


class Switch(values.Flag):
    """A file that is written with 0 or 1 and prints several lines, "NAME 0" or "NAME 1" among them."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name

    def normal(self, text: str, key: str = "") -> str:
        for line in text.splitlines():
            name, _space, value = line.partition(" ")
            if name == self.name:
                return value.strip()
        return text.strip()


class Percent(Format):
    """Hundredths of a percent; a whole 100 is printed as max (cpu_uclamp_print(), kernel/sched/core.c)."""

    def kept(self, value: str) -> str:
        return MAX if value == "100.00" else value


class Clamped(values.Number):
    """A number that the kernel brings within bounds: cpu.shares, MIN_SHARES and MAX_SHARES in kernel/sched/sched.h."""

    def __init__(self, low: int, high: int) -> None:
        super().__init__()
        self.low, self.high = low, high

    def kept(self, value: str) -> str:
        return str(min(max(int(value), self.low), self.high))


class Weight(values.BfqWeight):
    """blkio.bfq.weight in its own numbers."""

    def kept(self, value: str) -> str:
        return value

    def value(self, kept: str) -> str:
        return kept


def _size(format: Format) -> Reader:
    def read(asked: Any, what: str) -> tuple[str, Format]:
        return (MAX if units.is_max(asked) else str(units.parse_size(asked, what))), format

    return read


def _count(format: Format, low: int, high: int) -> Reader:
    def read(asked: Any, what: str) -> tuple[str, Format]:
        return str(units.parse_count(asked, what, low, high)), format

    return read


def _flag(format: Format) -> Reader:
    def read(asked: Any, what: str) -> tuple[str, Format]:
        return ("1" if units.parse_boolean(asked, what) else "0"), format

    return read


def _time(format: Format, least: int, most: int) -> Reader:
    def read(asked: Any, what: str) -> tuple[str, Format]:
        if units.is_max(asked) and not format.more_is_less:  # type: ignore[attr-defined]
            return MAX, format
        number = units.parse_time(asked, what)
        if not least <= number <= most:
            raise InvalidInput("%s: %d us is not within %d us to %d us" % (what, number, least, most))
        return str(number), format

    return read


def _percent(asked: Any, what: str) -> tuple[str, Format]:
    if units.is_max(asked):
        return MAX, Percent()
    text = str(asked).strip()
    if isinstance(asked, bool) or not re.fullmatch(r"[0-9]{1,3}(\.[0-9]{1,2})?", text) or float(text) > 100:
        raise InvalidInput("%s: %r is not a percentage" % (what, text), hint="give a number from 0 to 100, or max")
    return "%.2f" % float(text), Percent()


_V1_BYTES = values.Number(step=_PAGE, unlimited="-1")
_V2_BYTES = values.Number(step=_PAGE)
# Files whose values have a unit, or that print other than what was written. Patterns are tried in this order.
_KNOWN: tuple[tuple[str, Reader], ...] = (
    (r"memory\.oom_control", _flag(Switch("oom_kill_disable"))),
    (r"memory(\.\w+)*\.limit_in_bytes", _size(_V1_BYTES)),
    (r"memory\.(swap\.high|zswap\.max)", _size(_V2_BYTES)),
    (r"cpu\.uclamp\.(min|max)", _percent),
    (r"cpu\.shares", _count(Clamped(2, 262144), 0, (1 << 63) - 1)),
    (r"cpu\.cfs_quota_us", _time(values.Number(unlimited="-1"), 1000, 1 << 44)),
    (r"cpu\.cfs_period_us", _time(values.Number(more_is_less=True), 1000, 1000000)),
    (r"blkio\.bfq\.weight", _count(Weight(), 1, 1000)),
    (r"cpuset\.cpu_exclusive", _flag(values.Exclusive())),
)
_HUGE = re.compile(r"hugetlb\.([0-9]+[KMG]B)\.(rsvd\.)?(max|limit_in_bytes)")
# Two files of one value.
TWINS = {"cpu.weight.nice": "cpu.weight"}


def option_of(name: str) -> Knob | None:
    """The row of the table whose option reads this file in the same words; None where the file has words of its own."""
    known = file_by_name(name)
    if known is None or any(re.fullmatch(pattern, name) for pattern, _reader in _KNOWN if name != "memory.limit_in_bytes"):
        return None
    return known[0]


def read(name: str, asked: Any) -> tuple[str, Format, bool]:
    """(value, format, whether 0 kills) of a file that is asked for by name. Raises InvalidInput for what cannot be meant."""
    what = "files %s" % name
    huge = _HUGE.fullmatch(name)
    if huge:
        unlimited = "-1" if name.endswith("limit_in_bytes") else MAX
        value, format = _size(values.Number(units.parse_size(huge[1]), unlimited))(asked, what)
        return value, format, True
    for pattern, reader in _KNOWN:
        if re.fullmatch(pattern, name):
            value, format = reader(asked, what)
            return value, format, name.endswith("limit_in_bytes")
    text = str(int(asked)) if isinstance(asked, bool) else str(asked)
    if "\0" in text:
        raise InvalidInput("%s: the value holds a NUL" % what)
    return text, AsWritten(text), False
