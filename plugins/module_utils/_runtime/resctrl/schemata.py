# Copyright: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""The text of a schemata file and what it says: for each resource, one number for each of its domains.

A line is "L3:0=7f;1=7f" or "MB:0=20;1=70": masks in hexadecimal, bandwidth in decimal. The kernel pads both, sorts domains
by id, lists resources in an order of its own and prints "L3:uninitialized" for a group that waits to be pseudo-locked, so
texts are never compared; numbers are (rdtgroup_schemata_show(), arch/x86/kernel/cpu/resctrl/ctrlmondata.c).
"""

from __future__ import annotations

from ..errors import InvalidInput

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    Cell = tuple[str, int]
    Cells = dict[Cell, int]

# Values as large as this mean "no limit" under mba_MBps: the kernel prints U32_MAX (MBA_MAX_MBPS), other tools write the
# multiple of their step below it.
UNLIMITED_MBPS = 0xFFFFFFFF
_NEARLY_UNLIMITED = 0xFFFFFFF0


def is_cache(resource: str) -> bool:
    """Whether values of the resource are masks (L3, L2CODE, ...) and not bandwidth (MB, SMBA)."""
    return resource.startswith("L") and resource[1:2].isdigit()


def level_of(resource: str) -> str:
    """The cache behind a resource: L3CODE and L3DATA are both L3."""
    return resource[:-4] if resource.endswith(("CODE", "DATA")) else resource


def parse(text: str) -> dict[str, dict[int, int]]:
    """{resource: {domain: value}} from what the kernel prints; a resource without numbers (uninitialized) has no domains."""
    found: dict[str, dict[int, int]] = {}
    for line in text.splitlines():
        name, colon, values = line.strip().partition(":")
        if not colon:
            continue
        name = name.strip()
        domains = found.setdefault(name, {})
        base = 16 if is_cache(name) else 10
        for entry in values.split(";"):
            domain, equals, value = entry.partition("=")
            try:
                if equals:
                    domains[int(domain)] = int(value.strip(), base)
            except ValueError:
                continue
    return found


def flat(parsed: dict[str, dict[int, int]]) -> Cells:
    """{(resource, domain): value}"""
    return {(resource, domain): value for resource, domains in parsed.items() for domain, value in domains.items()}


def format(cells: Cells) -> str:
    """The lines that say this, caches first: where the kernel takes values as it reads (mba_MBps), nothing can fail after them."""
    lines: dict[str, list[str]] = {}
    for (resource, domain), value in sorted(cells.items(), key=lambda item: (not is_cache(item[0][0]), item[0])):
        lines.setdefault(resource, []).append("%d=%s" % (domain, format_value(resource, value)))
    return "\n".join("%s:%s" % (resource, ";".join(values)) for resource, values in lines.items())


def format_value(resource: str, value: int) -> str:
    """One value as it is written."""
    return "%x" % value if is_cache(resource) else "%d" % value


def normal(resource: str, value: int) -> int:
    """A value with the several spellings of "no limit" made one."""
    return UNLIMITED_MBPS if not is_cache(resource) and value >= _NEARLY_UNLIMITED else value


def read_lines(lines: Iterable[object], what: str = "schemata") -> dict[str, dict[int, str]]:
    """{resource: {domain: value as text}} from lines as users write them, which are checked here as strictly as the kernel does.

    Raises InvalidInput. Whether the machine has the resource, the domain and the value is for the caller to see.
    """
    found: dict[str, dict[int, str]] = {}
    for number, line in enumerate(lines):
        text = str(line)
        where = "%s line %d, %r" % (what, number + 1, text)
        if not text.strip():
            raise InvalidInput("%s: it is empty" % where, hint="leave the line out; the kernel takes nothing of a text with an empty line in it")
        if "\n" in text.rstrip("\n"):
            raise InvalidInput("%s: it holds a newline" % where, hint="give one line for each entry of the list")
        name, colon, values = text.strip().partition(":")
        name = name.strip()
        if not colon:
            raise InvalidInput("%s: there is no ':'" % where, hint="write it as L3:0=7f;1=7f")
        if not values.strip():
            raise InvalidInput("%s: there is no value for %r" % (where, name))
        domains = found.setdefault(name, {})
        for entry in values.strip().rstrip(";").split(";"):
            domain, equals, value = entry.partition("=")
            if not equals or not domain.isascii() or not domain.isdigit():
                raise InvalidInput("%s: %r is not a cache id, '=' and a value" % (where, entry), hint="ids are decimal, without spaces before them")
            if int(domain) in domains:
                raise InvalidInput("%s: %s of domain %d is given twice" % (where, name, int(domain)))
            if not value.strip():
                raise InvalidInput("%s: the value for domain %d is empty" % (where, int(domain)))
            domains[int(domain)] = value.strip()
    return found
