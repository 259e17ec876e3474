# Copyright: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""From what a container's configuration says about system calls to the filter that is loaded."""

from __future__ import annotations

import os

from ...errors import InvalidInput
from ...kernel import seccomp
from . import assembler, calls, default, profile

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .assembler import Decision, Rule

# The ways of calling the kernel that each machine has.
_WAYS = {"x86_64": ("x86_64", "x32", "i386"), "i686": ("i386",), "aarch64": ("aarch64", "arm"), "armv7l": ("arm",)}
# Where a register has 32 bits that count; libseccomp takes x32 so.
_NARROW = ("i386", "arm", "x32")
_MACHINE = os.uname().machine
_WORD = 0xFFFFFFFF
_KILL: Decision = (((), seccomp.RET_KILL_PROCESS),)
_UNKNOWN: Decision = (((), default.UNKNOWN),)
_filters: dict[object, seccomp.Filter] = {}


def why_not() -> str:
    """Why the default policy cannot be in force on this machine; empty where it can."""
    if _MACHINE not in _WAYS:
        return "the system calls of %s are not known here" % _MACHINE
    return "" if seccomp.is_available() else "this kernel has no seccomp filters (CONFIG_SECCOMP_FILTER)"


def parse(value: object, capabilities: list[str], needed: bool = True) -> str | dict[str, Any]:
    """The option of a container with these capabilities, as its configuration keeps it. Raises InvalidInput.

    needed: False for a container that is to be stopped or removed, which it can be without its profile.
    """
    if not needed and isinstance(value, str) and value.startswith("/") and not os.path.exists(value):
        return profile.UNCONFINED
    found = profile.parse(value, capabilities, _MACHINE)
    if isinstance(found, dict):
        if not seccomp.is_available():
            raise InvalidInput("seccomp: a profile of one's own cannot be in force: %s" % why_not(), hint="leave seccomp out, or say unconfined")
        profile_program(found)
    return found


def of(config: dict[str, Any]) -> seccomp.Filter | None:
    """The filter of a container, None where there is none. Made once, so that whoever starts many containers makes few.

    A configuration of before there were filters asks for none.
    """
    asked = config.get("seccomp") or profile.UNCONFINED
    if asked == profile.UNCONFINED or (asked == profile.DEFAULT and why_not()):
        return None
    key = tuple(config["capabilities"]) if asked == profile.DEFAULT else repr(asked)
    if key not in _filters:
        _filters[key] = _made(asked, config["capabilities"])
    return _filters[key]


def _made(asked: str | dict[str, Any], capabilities: list[str]) -> seccomp.Filter:
    if isinstance(asked, str):
        return seccomp.Filter(default_program(capabilities))
    return seccomp.Filter(profile_program(asked), profile.flags(asked))


def _numbers(ways: tuple[str, ...]) -> dict[str, dict[str, int]]:
    """{way of calling: {name of a call: its number}}"""
    columns = [(calls.ARCHITECTURES.index(way) + 1, way) for way in ways]
    found: dict[str, dict[str, int]] = {way: {} for way in ways}
    for line in calls.CALLS.split("\n"):
        words = line.split(" ")
        if len(words) > 1:
            for column, way in columns:
                if words[column] != "-":
                    found[way][words[0]] = int(words[column])
    return found


def default_program(capabilities: list[str], machine: str = _MACHINE) -> bytes:
    """The default policy as a program."""
    return program(default.decisions(capabilities), _UNKNOWN, machine)


def program(decided: dict[str, Decision], otherwise: Decision, machine: str = _MACHINE) -> bytes:
    """What was decided of calls, by their names, as a program for every way of calling that the machine has."""
    ways = {}
    for way, numbers in _numbers(_WAYS[machine]).items():
        ways[way] = {numbers[name]: decision for name, decision in decided.items() if name in numbers}, otherwise
    return _assembled(ways)


def profile_program(asked: dict[str, Any]) -> bytes:
    """A profile of one's own as a program.

    A call that is newer than all that the profile names does not exist (ENOSYS), unless the profile lets through what it does not
    name: programs fall back to an older one then, and fail with another errno. runc does the same.
    """
    decided = profile.decisions(asked)
    otherwise = profile.default_of(asked)
    ways = {}
    for way, numbers in _numbers(tuple(profile.WAYS[name] for name in asked["architectures"])).items():
        named = {numbers[name]: decision for name, decision in decided.items() if name in numbers}
        if profile.is_open(otherwise):
            ways[way] = named, otherwise
        else:
            newest = max(named, default=-1)
            ways[way] = {**{number: otherwise for number in numbers.values() if number <= newest}, **named}, _UNKNOWN
    return _assembled(ways)


def _narrowed(decisions: dict[int, Decision]) -> dict[int, Decision]:
    """The same where registers have 32 bits that count."""
    made: dict[int, Decision] = {}
    for decision in decisions.values():
        if id(decision) not in made:
            made[id(decision)] = decision if len(decision) == 1 else tuple(map(_narrowed_rule, decision))
    return {number: made[id(decision)] for number, decision in decisions.items()}


def _narrowed_rule(rule: Rule) -> Rule:
    comparisons, result = rule
    return tuple((index, operation, mask & _WORD, value & _WORD) for index, operation, mask, value in comparisons), result


def _assembled(ways: dict[str, tuple[dict[int, Decision], Decision]]) -> bytes:
    """One program for several ways of calling: by architecture, then by number. A way that is not among them kills."""
    found: dict[str, list[tuple[int, Decision]]] = {}
    for way, (decided, otherwise) in ways.items():
        if way in _NARROW:
            decided = _narrowed(decided)
        found[way] = assembler.ranges(decided, otherwise, seccomp.X32_BIT if way == "x32" else 0)
    if "x86_64" in found:
        # Beyond a bit are the numbers of x32. The last one of all is no call: a tracer that skips one sets it.
        found["x86_64"] += found.pop("x32", [(seccomp.X32_BIT, _KILL), (_WORD, ways["x86_64"][1])])
    code = assembler.assemble({seccomp.AUDIT_ARCHITECTURES[way]: ranges for way, ranges in found.items()}, _KILL)
    if len(code) // 8 > seccomp.LONGEST:
        raise InvalidInput("seccomp: the profile makes %d instructions, and the kernel takes %d" % (len(code) // 8, seccomp.LONGEST))
    return code
