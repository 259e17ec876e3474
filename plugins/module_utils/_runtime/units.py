# Copyright: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Sizes, rates, times, counts and CPU lists: from what people write to what the kernel counts in.

Every parser takes text or a number and returns an int (bytes, bytes per second, microseconds, ...) or raises InvalidInput
before anything is written. An empty value is always refused: several kernel files read it as 0, and 0 can kill.
"""

from __future__ import annotations

from .errors import InvalidInput

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Union

    Number = Union[int, float, str]

# Binary, as in the kernel's memparse(), lib/cmdline.c: K is 1024 whether or not B or iB follows.
_SIZE_FACTORS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40, "P": 1 << 50, "E": 1 << 60}
_TIME_FACTORS = {"us": 1, "ms": 1000, "s": 1000000, "m": 60000000}
_LARGEST = (1 << 63) - 1
_WORDS_FOR_NO_LIMIT = ("max", "infinity", "unlimited", "-1")


def is_max(value: Number) -> bool:
    """Whether the value asks for "no limit" (the kernel's word is "max")."""
    return str(value).strip().lower() in _WORDS_FOR_NO_LIMIT


def _text(value: Number, what: str) -> str:
    """The text of a number; refuses what is empty or a boolean."""
    if isinstance(value, bool):
        raise InvalidInput("%s: %r is not a number" % (what, value))
    text = str(value).strip()
    if not text:
        raise InvalidInput(
            "%s is empty" % what,
            hint="leave the option out to keep the kernel's value, or give 'max' to lift a limit",
        )
    return text


def _split(value: Number, what: str) -> tuple[float, str, str]:
    """(number, unit, text as given); refuses what is empty, negative or not a number."""
    text = _text(value, what)
    end = len(text)
    while end and not (text[end - 1].isdigit() or text[end - 1] == "."):
        end -= 1
    digits, unit = text[:end].strip(), text[end:].strip()
    try:
        if not digits.replace(".", "", 1).isdigit() or not digits.isascii():
            raise ValueError(digits)
        number: float = int(digits) if digits.isdigit() else float(digits)
    except ValueError:
        raise InvalidInput("%s: %r is not a number with a unit" % (what, text)) from None
    return number, unit, text


def _whole(number: float, factor: int, what: str, text: str) -> int:
    result = int(number * factor)
    if result > _LARGEST:
        raise InvalidInput("%s: %s is more than the kernel can count (2^63 - 1)" % (what, text))
    return result


def parse_size(value: Number, what: str = "size") -> int:
    """Bytes from "512M", "1.5GiB", "64 KB" or a number of bytes. K, M, G, T, P and E are powers of 1024."""
    number, unit, text = _split(value, what)
    prefix = unit.upper()
    if prefix.endswith("B"):
        prefix = prefix[:-1]
        if prefix.endswith("I") and len(prefix) == 2:
            prefix = prefix[:-1]
    if prefix not in _SIZE_FACTORS:
        raise InvalidInput("%s: unknown unit %r in %r" % (what, unit, text), hint="use bytes, or K, M, G, T (powers of 1024)")
    return _whole(number, _SIZE_FACTORS[prefix], what, text)


def parse_rate(value: Number, what: str = "rate") -> int:
    """Bytes per second from "10M", "10MiB/s" or a number. Bits ("10Mbit") are refused: disks count in bytes."""
    text = str(value).strip()
    lowered = text.lower()
    if lowered.endswith(("bit", "bit/s", "bps")):
        raise InvalidInput("%s: %r counts in bits" % (what, text), hint="the kernel counts this in bytes per second: use for example 10M or 10M/s")
    for suffix in ("/s", "/sec", "ps"):
        if lowered.endswith(suffix):
            text = text[: -len(suffix)]
            break
    return parse_size(text, what)


def parse_time(value: Number, what: str = "time") -> int:
    """Microseconds from "100ms", "50us", "1.5s" or a plain number of microseconds."""
    number, unit, text = _split(value, what)
    if unit and unit not in _TIME_FACTORS:
        raise InvalidInput("%s: unknown unit %r in %r" % (what, unit, text), hint="use us, ms, s or m")
    return _whole(number, _TIME_FACTORS[unit or "us"], what, text)


def parse_count(value: Number, what: str = "count", low: int = 0, high: int = _LARGEST) -> int:
    """A whole decimal number from low to high. "010" is ten and not, as the kernel would read it, eight."""
    text = _text(value, what)
    digits = text[1:] if text.startswith("-") else text
    if not (digits.isascii() and digits.isdigit()):
        raise InvalidInput("%s: %r is not a whole number" % (what, text))
    if len(digits) > 19 or not low <= int(text) <= high:
        raise InvalidInput("%s: %s is not within %d to %d" % (what, text, low, high))
    return int(text)


def parse_boolean(value: object, what: str = "value") -> bool:
    """True or False from a boolean, 0, 1 or the words people write for them."""
    text = str(value).strip().lower()
    if text in ("1", "true", "yes", "on"):
        return True
    if text in ("0", "false", "no", "off"):
        return False
    raise InvalidInput("%s: %r is neither true nor false" % (what, value))


# CPUs and memory nodes: NR_CPUS and MAX_NUMNODES are smaller on every architecture.
_LAST_NUMBER = 65535


def parse_list(text: object, what: str = "list") -> frozenset[int]:
    """Numbers from the kernel's list format, "0-3,7" or "0-31:2/8" (bitmap_parselist(), lib/bitmap-str.c).

    A list of Python has such a text in each of its places. An empty text is the empty set, as the kernel prints it;
    whether that may be asked for is for the caller to say.
    """
    if isinstance(text, (list, tuple)):
        text = ",".join(str(part) for part in text)
    numbers: set[int] = set()
    for part in str(text).strip().split(","):
        part = part.strip()
        if not part:
            continue
        try:
            span, _colon, pattern = part.partition(":")
            first_text, dash, last_text = span.partition("-")
            first = _digits(first_text)
            last = _digits(last_text) if dash else first
            used, group = 1, 1
            if pattern:
                used, group = (_digits(number) for number in pattern.split("/"))
            if first > last or first < 0 or not 0 < used <= group:
                raise ValueError(part)
        except ValueError:
            raise InvalidInput("%s: %r is not a list such as 0-3,7" % (what, str(text))) from None
        if last > _LAST_NUMBER:
            raise InvalidInput("%s: %r names number %d, and no machine has any beyond %d" % (what, str(text), last, _LAST_NUMBER))
        numbers.update(n for n in range(first, last + 1) if (n - first) % group < used)
    return frozenset(numbers)


def _digits(text: str) -> int:
    """A number as the kernel reads it. Python's int() also takes signs, underscores and digits of other scripts."""
    if not (text.isascii() and text.isdigit()):
        raise ValueError(text)
    return int(text)


def format_list(numbers: Iterable[int]) -> str:
    """The list format in the kernel's own spelling: sorted, ranges joined."""
    parts: list[str] = []
    start = previous = None
    for number in [*sorted(numbers), None]:
        if start is not None and previous is not None and number == previous + 1:
            previous = number
            continue
        if start is not None:
            parts.append(str(start) if start == previous else "%s-%s" % (start, previous))
        start = previous = number
    return ",".join(parts)


def format_size(size: int) -> str:
    """A size for people: the largest binary unit in which it is short ("512M", "1.5G")."""
    for unit in ("E", "P", "T", "G", "M", "K"):
        factor = _SIZE_FACTORS[unit]
        if size >= factor:
            return ("%.1f" % (size / factor)).rstrip("0").rstrip(".") + unit
    return str(size)
