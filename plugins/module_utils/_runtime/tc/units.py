# Copyright: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Rates, bursts and times of traffic control: what people write, and the ticks the kernel keeps.

There is one grammar, and what reads in two ways is refused: `tc` takes 10mbps for megabytes, others
take it for megabits, and a burst of 256Mb has been both bits and bytes in one program.

The kernel keeps a bucket as the time it takes to send it, in ticks of 64 ns (PSCHED_SHIFT,
include/net/pkt_sched.h). Ticks are computed here once, rounded up, so that what is sent is read back.
"""

from __future__ import annotations

from .. import units
from ..errors import InvalidInput

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

TICK = 64  # nanoseconds
_SECOND = 1000000000
MOST_TICKS = (1 << 32) - 1
MOST_BYTES = (1 << 32) - 1  # of a limit: struct tc_tbf_qopt counts it in 32 bits
LEAST_RATE = 1000  # bytes per second: 8 kbit/s
MOST_RATE = 50000000000  # 400 Gbit/s
# What a class gets that is not to be limited: more than anybody can ask for.
UNLIMITED = MOST_RATE + 1
_DECIMAL = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12}
_BINARY = {"ki": 1 << 10, "mi": 1 << 20, "gi": 1 << 30, "ti": 1 << 40}
_PREFIXES = {**_DECIMAL, **_BINARY}
_TIMES = {"us": 1000, "ms": 1000000, "s": _SECOND}
_MOST_DIGITS = 30


def _split(value: Any, what: str, example: str) -> tuple[str, str, str]:
    """(digits with at most one point, unit, the text as given)."""
    text = "" if isinstance(value, bool) or value is None else str(value).strip()
    end = 0
    while end < len(text) and (text[end] in "0123456789."):
        end += 1
    digits, unit = text[:end], text[end:].strip()
    if text.startswith("-"):
        raise InvalidInput("%s: %r is negative" % (what, text), hint="use for example %s" % example)
    if not digits.strip(".") or digits.count(".") > 1 or len(digits) > _MOST_DIGITS:
        problem = "%s: %r is not a number with a unit" % (what, str(value))
        raise InvalidInput(problem, hint="use for example %s" % example)
    return digits, unit, text


def _scaled(digits: str, factor: int, divisor: int = 1) -> tuple[int, bool]:
    """(the whole part of digits * factor / divisor, whether that is all of it), without floats."""
    whole, _point, behind = digits.partition(".")
    number = int((whole or "0") + behind) * factor
    scale = divisor * 10 ** len(behind)
    return number // scale, number % scale == 0


def parse_rate(value: Any, what: str = "rate") -> int:
    """Bytes per second from "10mbit", "1.5 Gbit/s", "100kibit" or "12.5MB/s".

    The kernel counts whole bytes: a rate between two is rounded down, never to more than was asked.
    """
    known = _known.get(value) if isinstance(value, str) else None
    if known is None:
        known = _parse_rate(value, what)
        if isinstance(value, str):
            _known[value] = known
    return known


# Rates that were parsed: hundreds of classes have few different ones.
_known: dict[str, int] = {}


def _parse_rate(value: Any, what: str) -> int:
    digits, unit, text = _split(value, what, "10mbit")
    factor, divisor = _rate_unit(unit, digits, what, text)
    rate, _exact = _scaled(digits, factor, divisor)
    if not digits.strip("0."):
        raise InvalidInput("%s: %r lets nothing through" % (what, text), hint="the least is 8kbit")
    if not LEAST_RATE <= rate <= MOST_RATE:
        raise InvalidInput("%s: %s is not within 8kbit to 400gbit" % (what, text))
    return rate


def _rate_unit(unit: str, digits: str, what: str, text: str) -> tuple[int, int]:
    """What the number is multiplied with and divided by to become bytes per second."""
    bare = unit[:-2] if unit.lower().endswith("/s") else unit
    prefix = bare[:-3].lower()
    if bare.lower().endswith("bit") and prefix in _PREFIXES:
        return _PREFIXES[prefix], 8
    prefix = bare[:-1].lower()
    if bare.endswith("B") and bare != unit and prefix in _PREFIXES:
        return _PREFIXES[prefix], 1
    raise InvalidInput("%s: %s" % (what, _rate_complaint(unit, text)), hint=_meant(unit, digits))


def _rate_complaint(unit: str, text: str) -> str:
    if not unit:
        return "%r has no unit" % text
    if unit.lower().endswith("ps"):
        return "%r is bits to some programs and bytes to tc" % text
    return "the unit %r of %r may mean bits or bytes" % (unit, text)


def _meant(unit: str, digits: str) -> str:
    """The spellings that a unit which is refused may have stood for."""
    prefix = unit.lower()
    for suffix in ("/s", "ps", "its", "it", "ibit", "bytes", "b", "i"):
        prefix = prefix[: -len(suffix)] if prefix.endswith(suffix) else prefix
    if prefix not in _DECIMAL:
        return "use bit, kbit, mbit, gbit, tbit (kibit and so on for 1024), or kB/s, MB/s, GB/s"
    capital = prefix if prefix == "k" else prefix.upper()
    return "write %s%sbit for bits or %s%sB/s for bytes" % (digits, prefix, digits, capital)


def is_exact(value: Any) -> bool:
    """Whether a rate that was parsed before is a whole number of bytes per second."""
    digits, unit, text = _split(value, "rate", "")
    factor, divisor = _rate_unit(unit, digits, "rate", text)
    return _scaled(digits, factor, divisor)[1]


def parse_bytes(value: Any, what: str) -> int:
    """Bytes from "32KiB", "1.5M" or a number of bytes; bits are refused."""
    text = str(value).strip()
    lowered = text.lower()
    if lowered.endswith(("bit", "b/s", "bps")) or (text.endswith("b") and lowered[:-1].isalnum()):
        digits = text.rstrip("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ/ ")
        hint = "this is a number of bytes: write for example %sKiB or %sMiB" % (digits, digits)
        raise InvalidInput("%s: %r may mean bits or bytes" % (what, text), hint=hint)
    size = units.parse_size(value, what)
    if size <= 0:
        raise InvalidInput("%s: %s is not more than nothing" % (what, text))
    return size


def parse_time(value: Any, what: str) -> int:
    """Nanoseconds from "50ms", "1.5s" or "800us"; a bare number is refused."""
    digits, unit, text = _split(value, what, "50ms")
    if unit.lower() not in _TIMES:
        wrong = "the unit %r of %r is not known" % (unit, text) if unit else "%r has no unit" % text
        raise InvalidInput("%s: %s" % (what, wrong), hint="use us, ms or s: %sms" % digits)
    return _scaled(digits, _TIMES[unit.lower()])[0]


# Ticks


def ticks(size: int, rate: int) -> int:
    """The time that so many bytes take at a rate, in ticks, rounded up."""
    return -(-size * _SECOND // (rate * TICK))


def bytes_of(duration: int, rate: int) -> int:
    """The bytes that a number of ticks lets through at a rate, rounded down as the kernel does."""
    return duration * TICK * rate // _SECOND


def bytes_in(nanoseconds: int, rate: int) -> int:
    """The bytes that pass at a rate within a time, rounded up."""
    return -(-nanoseconds * rate // _SECOND)


# For people


def format_rate(rate: int) -> str:
    """Bytes per second in the grammar above, exactly."""
    bits = rate * 8
    for prefix in ("t", "g", "m", "k"):
        factor = _DECIMAL[prefix]
        if bits >= factor and bits * 1000 % factor == 0:
            return (
                ("%d.%03d" % divmod(bits * 1000 // factor, 1000)).rstrip("0").rstrip(".")
                + prefix
                + "bit"
            )
    return "%dbit" % bits
