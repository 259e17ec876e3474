# Copyright: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""From decisions about system calls to a program of classic BPF (include/uapi/linux/filter.h) that takes them.

A program is written from its end to its start: jumps lead forward only, so that whatever an instruction leads to is there
when the instruction is made, and how far away it is is known. What has been written once is used again where it is in reach.

The kernel finds out for which calls a program allows whatever their arguments are, and does not run it for these any more
(seccomp_cache_prepare(), kernel/seccomp.c), provided that it uses no other instructions than the ones here.
"""

from __future__ import annotations

import struct

from ...kernel import seccomp

TYPE_CHECKING = False
if TYPE_CHECKING:
    # (index, operation, mask, value): how an argument, masked, compares; the operation is one of NE, LT, LE, EQ, GE, GT.
    Comparison = tuple[int, str, int, int]
    # What becomes of a call: the first alternative of which all comparisons hold decides. The last one has none.
    Rule = tuple[tuple[Comparison, ...], int]
    Decision = tuple[Rule, ...]

_LOAD, _AND, _JUMP, _RETURN = 0x20, 0x54, 0x05, 0x06
_IF_EQUAL, _IF_GREATER, _IF_NOT_LESS = 0x15, 0x25, 0x35
_WORD = 0xFFFFFFFF
# How far a conditional jump may lead: a byte, less two instructions that may come between.
_REACH = 253
# {operation: (what is tested, whether it must not hold)}
_TESTS = {
    "EQ": ("EQ", False),
    "NE": ("EQ", True),
    "GT": ("GT", False),
    "LE": ("GT", True),
    "GE": ("GE", False),
    "LT": ("GE", True),
}
_JUMPS = {"EQ": _IF_EQUAL, "GT": _IF_GREATER, "GE": _IF_NOT_LESS}


class Program:
    """Instructions, the last one first. A place is the index of an instruction in this order."""

    def __init__(self) -> None:
        self._code: list[tuple[int, int, int, int]] = []  # operation, places to go to, operand
        self._places: dict[tuple[int, int, int, int], int] = {}

    def _add(self, operation: int, if_true: int, if_false: int, operand: int) -> int:
        key = (operation, if_true, if_false, operand)
        self._code.append(key)
        self._places[key] = place = len(self._code) - 1
        return place

    def _near(self, place: int) -> int:
        """A place from which a conditional jump reaches the one that is meant."""
        if len(self._code) - place <= _REACH:
            return place
        operation, _true, _false, operand = self._code[place]
        return self._add(_RETURN, 0, 0, operand) if operation == _RETURN else self._add(_JUMP, place, 0, 0)

    def give(self, value: int) -> int:
        """End with this value."""
        place = self._places.get((_RETURN, 0, 0, value))
        return self._add(_RETURN, 0, 0, value) if place is None else place

    def test(self, operation: int, operand: int, if_true: int, if_false: int) -> int:
        """Go on at one of two places, by how the accumulator compares."""
        if if_true == if_false:
            return if_true
        known = self._places.get((operation, if_true, if_false, operand))
        if known is not None:
            return known
        near_true = self._near(if_true)
        near_false = self._near(if_false)
        return self._add(operation, near_true, near_false, operand)

    def before(self, operation: int, operand: int, then: int) -> int:
        """An instruction before the one at a place."""
        known = self._places.get((operation, then, 0, operand))
        if known is not None:
            return known
        if then != len(self._code) - 1:
            self._add(_JUMP, then, 0, 0)
        key = (operation, then, 0, operand)
        self._code.append(key)
        self._places[key] = place = len(self._code) - 1
        return place

    def load(self, offset: int, then: int) -> int:
        """Load a word of the kernel's struct seccomp_data."""
        return self.before(_LOAD, offset, then)

    def mask(self, operand: int, then: int) -> int:
        """Keep some bits of what was loaded."""
        return then if operand == _WORD else self.before(_AND, operand, then)

    def assembled(self, start: int) -> bytes:
        """The program as the kernel takes it, from this place on."""
        if start != len(self._code) - 1:
            start = self._add(_JUMP, start, 0, 0)
        packed = []
        for place in range(start, -1, -1):
            operation, if_true, if_false, operand = self._code[place]
            if operation == _JUMP:
                packed.append(struct.pack("=HBBI", operation, 0, 0, place - if_true - 1))
            elif operation in (_LOAD, _AND, _RETURN):
                packed.append(struct.pack("=HBBI", operation, 0, 0, operand))
            else:
                packed.append(struct.pack("=HBBI", operation, place - if_true - 1, place - if_false - 1, operand))
        return b"".join(packed)


def decide(program: Program, decision: Decision) -> int:
    """The place where a call's arguments are looked at as far as its decision takes that."""
    (_none, value) = decision[-1]
    place = program.give(value)
    for comparisons, value in reversed(decision[:-1]):
        otherwise = place
        place = program.give(value)
        for comparison in reversed(comparisons):
            place = _compare(program, comparison, place, otherwise)
    return place


def _compare(program: Program, comparison: Comparison, holds: int, fails: int) -> int:
    """Compare a masked argument of 64 bits, by words, on a machine that keeps the low one first."""
    index, operation, mask, value = comparison
    tested, inverted = _TESTS[operation]
    if inverted:
        holds, fails = fails, holds
    offset = seccomp.DATA_ARGUMENTS + 8 * index
    high_mask, high_value = mask >> 32, value >> 32
    if not high_mask and high_value:
        return fails  # what is left of the argument is less than this value
    low = program.test(_JUMPS[tested], value & _WORD, holds, fails)
    place = program.load(offset, program.mask(mask & _WORD, low))
    if not high_mask:
        return place
    place = program.test(_IF_EQUAL, high_value, place, fails)
    if tested != "EQ":
        place = program.test(_IF_GREATER, high_value, holds, place)
    return program.load(offset + 4, program.mask(high_mask, place))


def ranges(decisions: dict[int, Decision], otherwise: Decision, first: int = 0) -> list[tuple[int, Decision]]:
    """(number, decision) where the decision changes, from `first` on, which is added to all; numbers that have none have the other.

    Decisions are compared by identity: whoever makes them makes equal ones once.
    """
    found: list[tuple[int, Decision]] = []
    last: Decision | None = None
    following = 0
    for number in sorted(decisions):
        if number != following and last is not otherwise:
            found.append((first + following, otherwise))
            last = otherwise
        decision = decisions[number]
        if decision is not last:
            found.append((first + number, decision))
            last = decision
        following = number + 1
    if last is not otherwise:
        found.append((first + following, otherwise))
    return found


def assemble(by_architecture: dict[int, list[tuple[int, Decision]]], otherwise: Decision) -> bytes:
    """The program that looks at the architecture, then searches for the number of the call by halves, then looks at arguments."""
    program = Program()
    start = decide(program, otherwise)
    for architecture, found in reversed(by_architecture.items()):
        places: dict[int, int] = {}
        for _number, decision in found:
            if id(decision) not in places:
                places[id(decision)] = decide(program, decision)
        searched = _halved(program, [(number, places[id(decision)]) for number, decision in found])
        start = program.test(_IF_EQUAL, architecture, program.load(seccomp.DATA_NUMBER, searched), start)
    return program.assembled(program.load(seccomp.DATA_ARCHITECTURE, start))


def _halved(program: Program, found: list[tuple[int, int]]) -> int:
    if len(found) == 1:
        return found[0][1]
    middle = len(found) // 2
    above = _halved(program, found[middle:])
    below = _halved(program, found[:middle])
    return program.test(_IF_NOT_LESS, found[middle][0], above, below)
