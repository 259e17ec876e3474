# Copyright: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""One value that was asked for one resource, and what it comes to on one machine.

| of a cache | is |
|---|---|
| 50%, max | a share of the ways, rounded down to whole ways |
| 3 | that many ways |
| 0x7f | exactly these ways |

| of bandwidth | is |
|---|---|
| 80% | a share, where the hardware counts in percent |
| 2000MBps, 16GBps | a limit, where it is counted so: mounted with mba_MBps, or on AMD |
| 80 | a number in the unit of the machine |
| max | no limit |
"""

from __future__ import annotations

import re

from .. import units
from ..errors import InvalidInput
from . import schemata
from .hardware import EIGHTHS, MBPS, PERCENT, Bandwidth, Cache

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .hardware import Resource

_LARGEST = 0xFFFFFFFF  # kstrtou32(), ctrlmondata.c
_MB_IN_AN_EIGHTH = 128
_FITTING = {("percent", PERCENT), ("mbps", MBPS), ("mbps", EIGHTHS)}
_WORDS_FOR_ALL = ("max", "unlimited")
# The kernel's MBps are MiB/s (resctrl.rst, "mba_MBps").
_RATES = {unit: factor for prefix, factor in (("M", 1), ("G", 1024)) for unit in (prefix + "Bps", prefix + "B/s", prefix + "iBps", prefix + "iB/s")}
_BITS = re.compile(r"[\d.]+ ?[kmgt]?i?(bps|bit|bits|bit/s)")


class Ask:
    """kind: mask, ways, percent, number, mbps or max. numerator/denominator: of the percentage. asked: as the user wrote it."""

    __slots__ = ("alternatives", "asked", "denominator", "kind", "number", "what")

    def __init__(self, kind: str, number: int, asked: Any, what: str, denominator: int = 1) -> None:
        self.kind = kind
        self.number = number
        self.denominator = denominator
        self.asked = asked
        self.what = what
        self.alternatives: list[Ask] = []  # for machines that count otherwise

    @classmethod
    def of_option_or_list(cls, resource: str, value: Any, what: str) -> Ask:
        """The value of an option that may be a list: the first value that the machine can express counts."""
        if not isinstance(value, list) or schemata.is_cache(resource) or not value:
            return cls.of_option(resource, value, what)
        first, *others = [cls.of_option(resource, each, what) for each in value]
        first.alternatives = others
        first.asked = value
        return first

    @classmethod
    def of_line(cls, resource: str, text: str) -> Ask:
        """The value of a line of schemata: hexadecimal for a cache, decimal for bandwidth."""
        what = "schemata %s" % resource
        if schemata.is_cache(resource):
            return cls("mask", _mask(text, what), text, what)
        if resource not in ("MB", "SMBA"):  # whatever it is, the machine does not have it
            return cls("number", 0, text, what)
        return cls("number", units.parse_count(text, what, 0, _LARGEST), text, what)

    @classmethod
    def of_option(cls, resource: str, value: Any, what: str) -> Ask:
        """The value of an option."""
        text = str(value).strip()
        if isinstance(value, (bool, list, dict)) or not text:
            raise InvalidInput(
                "%s: %r is %s" % (what, value, "empty" if not text else "not a value"), hint="leave the option out to keep what the kernel holds"
            )
        if text in _WORDS_FOR_ALL:
            return cls("max", 0, value, what)
        if text.endswith("%"):
            return cls("percent", *_percent(text, value, what))
        if schemata.is_cache(resource):
            if text[:2].lower() == "0x":
                return cls("mask", _mask(text, what), value, what)
            if not text.isascii() or not text.isdigit():
                raise InvalidInput(
                    "%s: %r is neither a percentage, a number of ways nor a mask" % (what, text), hint="write 50%, 3, or a mask in quotes: '0x7f'"
                )
            return cls("ways", units.parse_count(text, what, 1, _LARGEST), value, what)
        for suffix, factor in _RATES.items():
            if text.endswith(suffix):
                return cls("mbps", _times(text[: -len(suffix)], factor, what, text), value, what)
        if _BITS.fullmatch(text.lower()):
            raise InvalidInput("%s: %r counts in bits" % (what, text), hint="memory bandwidth is counted in bytes: write 2000MBps or 16GBps")
        if not text.isascii() or not text.isdigit():
            raise InvalidInput("%s: %r is not a bandwidth" % (what, text), hint="write 80%, 2000MBps, 16GBps, max, or a number in the unit of the machine")
        return cls("number", units.parse_count(text, what, 0, _LARGEST), value, what)

    def check(self, resource: Resource) -> None:
        """Raises InvalidInput where the resource cannot give this to anybody."""
        if not isinstance(resource, Cache):
            self.bandwidth_of(resource)
        elif self.kind == "mask":
            self.mask_of(resource)
        else:
            self.ways_of(resource)

    def ways_of(self, cache: Cache) -> int:
        """The number of ways that a share or a number of ways comes to. Raises InvalidInput when they cannot be had by anyone."""
        if self.kind == "max":
            return cache.ways
        if self.kind == "ways":
            if self.number > cache.ways:
                hint = "a mask is written in quotes: '0x%x'" % self.number
                raise InvalidInput("%s: %d ways of %s, which has %d" % (self.what, self.number, cache.name, cache.ways), hint=hint)
            if self.number < cache.min_bits:
                raise InvalidInput("%s: %d ways of %s, which gives no fewer than %d (min_cbm_bits)" % (self.what, self.number, cache.name, cache.min_bits))
            return self.number
        if self.kind != "percent":
            raise InvalidInput(
                "%s: %r is a bandwidth, and %s is a cache" % (self.what, self.asked, cache.name), hint="write 50%, a number of ways, or a mask such as '0x7f'"
            )
        ways = cache.ways * self.number // (100 * self.denominator)
        if ways < 1:
            raise InvalidInput(
                "%s: %s of the %d ways of %s is less than one way" % (self.what, self.asked, cache.ways, cache.name),
                hint="one way is %.1f%%" % (100 / cache.ways),
            )
        return max(ways, cache.min_bits)

    def is_rounded(self, cache: Cache, ways: int) -> bool:
        """Whether that number of ways is not exactly what was asked."""
        return self.kind == "percent" and ways * 100 * self.denominator != cache.ways * self.number

    def mask_of(self, cache: Cache) -> int:
        """The mask that was asked, as the kernel checks it: cbm_validate(), ctrlmondata.c."""
        mask = self.number
        if mask > cache.mask:
            raise InvalidInput("%s: the mask %x is wider than %s, whose ways are %x" % (self.what, mask, cache.name, cache.mask))
        if not mask:
            if cache.min_bits:
                raise InvalidInput("%s: the mask is empty, and %s gives no fewer than %d ways" % (self.what, cache.name, cache.min_bits))
            return mask
        first = mask // (mask & -mask)  # from the lowest bit that is set
        run = (~first & (first + 1)).bit_length() - 1
        if not cache.sparse and first >> run:
            raise InvalidInput("%s: the mask %x has holes, which %s of this machine does not take" % (self.what, mask, cache.name))
        if run < cache.min_bits:
            raise InvalidInput("%s: the mask %x is too short: %s gives no fewer than %d ways (min_cbm_bits)" % (self.what, mask, cache.name, cache.min_bits))
        return mask

    def bandwidth_of(self, resource: Bandwidth) -> int:
        """The number to be written. Raises InvalidInput for what the kernel would refuse, and for what would mean something else."""
        for alternative in self.alternatives:
            if (alternative.kind, resource.unit) in _FITTING and (self.kind, resource.unit) not in _FITTING:
                return alternative.bandwidth_of(resource)
        if self.kind == "max" or (self.kind == "percent" and self.number == 100 * self.denominator):
            unlimited = resource.unlimited
            if unlimited is None:
                raise InvalidInput("%s: the greatest value of %s is not known on this machine" % (self.what, resource.name), hint="give it as a number")
            return unlimited
        if self.kind in ("mask", "ways"):
            raise InvalidInput("%s: %r is not a bandwidth" % (self.what, self.asked))
        if self.kind == "percent":
            if resource.unit != PERCENT:
                raise InvalidInput(
                    "%s: %s is a percentage, and %s is counted in %s on this machine" % (self.what, self.asked, resource.name, resource.unit),
                    hint="give it as MBps or GBps, or in the machine's unit",
                )
            number = -(-self.number // self.denominator)
        elif self.kind == "mbps":
            if resource.unit == PERCENT:
                raise InvalidInput(
                    "%s: %s is a number of bytes, and %s is counted in percent on this machine" % (self.what, self.asked, resource.name),
                    hint="give a percentage, or mount with mba_mbps" if resource.name == "MB" else "give a percentage",
                )
            number = self.number if resource.unit == MBPS else -(-self.number // _MB_IN_AN_EIGHTH)
        else:
            number = self.number
        if resource.unit == MBPS:
            if number == 0:
                raise InvalidInput("%s: a bandwidth of 0 would stop the class" % self.what)
            return schemata.normal(resource.name, number)
        if number < resource.minimum or (resource.maximum is not None and number > resource.maximum):
            limit = "%d" % resource.maximum if resource.maximum is not None else "its greatest"
            raise InvalidInput(
                "%s: %s is %d, and %s takes from %d to %s (%s)" % (self.what, self.asked, number, resource.name, resource.minimum, limit, resource.unit)
            )
        if number == 0 and resource.unit == EIGHTHS and self.kind != "number":
            raise InvalidInput("%s: %s is less than one step of %s" % (self.what, self.asked, resource.unit))
        return number


def _mask(text: str, what: str) -> int:
    digits = text[2:] if text[:2].lower() == "0x" else text
    if not digits or not digits.isascii() or any(digit not in "0123456789abcdefABCDEF" for digit in digits):
        raise InvalidInput("%s: %r is not a mask in hexadecimal" % (what, text))
    mask = int(digits, 16)
    if mask > _LARGEST:
        raise InvalidInput("%s: the mask %s is wider than any cache" % (what, text))
    return mask


def _decimal(text: str, what: str, whole: str) -> tuple[int, int]:
    """(numerator, denominator) of a decimal number, exactly: a float would make 29% of 100 ways 28."""
    before, _point, after = text.strip().partition(".")
    if not (before + after).isascii() or not (before + after).isdigit() or not before or len(after) > 6:
        raise InvalidInput("%s: %r is not a number" % (what, whole))
    return int(before + after), 10 ** len(after)


def _percent(text: str, asked: Any, what: str) -> tuple[int, Any, str, int]:
    numerator, denominator = _decimal(text[:-1], what, text)
    if numerator > 100 * denominator:
        raise InvalidInput("%s: %s is more than everything" % (what, text))
    if numerator == 0:
        raise InvalidInput("%s: %s is nothing at all" % (what, text))
    return numerator, asked, what, denominator


def _times(text: str, factor: int, what: str, whole: str) -> int:
    numerator, denominator = _decimal(text, what, whole)
    number = numerator * factor // denominator
    if number > _LARGEST:
        raise InvalidInput("%s: %s is more than the kernel can count" % (what, whole))
    return number
