# SPDX-FileCopyrightText: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Runs a seccomp filter as the kernel would: classic BPF over struct seccomp_data, checked as bpf_check_classic() does."""

from __future__ import annotations

import struct

_LOAD, _RETURN = 0x20, 0x06
_JUMPS = {
    0x15: lambda left, right: left == right,
    0x25: lambda left, right: left > right,
    0x35: lambda left, right: left >= right,
    0x45: lambda left, right: bool(left & right),
}


def instructions(program: bytes) -> list[tuple[int, int, int, int]]:
    """The program, if the kernel would take it."""
    found = list(struct.iter_unpack("=HBBI", program))
    assert 0 < len(found) <= 4096 and found[-1][0] == _RETURN
    for place, (operation, if_true, if_false, operand) in enumerate(found):
        assert operation in (_LOAD, _RETURN, 0x05, 0x54, *_JUMPS), "0x%x" % operation
        if operation in _JUMPS:
            assert place + max(if_true, if_false) + 1 < len(found)
        elif operation == 0x05:
            assert place + operand + 1 < len(found)
        elif operation == _LOAD:
            assert operand % 4 == 0 and operand < 64
    return found


def run(program: list[tuple[int, int, int, int]], architecture: int, number: int, arguments: tuple[int, ...] = ()) -> int:
    """What the filter says about a call."""
    padded = (*arguments, *([0] * 6))[:6]
    data = struct.pack("<IIQ6Q", number, architecture, 0, *padded)
    accumulator = place = 0
    while True:
        operation, if_true, if_false, operand = program[place]
        place += 1
        if operation == _LOAD:
            (accumulator,) = struct.unpack_from("<I", data, operand)
        elif operation == 0x54:
            accumulator &= operand
        elif operation == 0x05:
            place += operand
        elif operation == _RETURN:
            return operand
        else:
            place += if_true if _JUMPS[operation](accumulator, operand) else if_false
