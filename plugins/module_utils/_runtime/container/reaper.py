# Copyright: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""A small first process for containers whose command is not made to be one.

The first process of a namespace ignores the signals for which it has no handler, and inherits every orphan. This one hands
signals on to the command, reaps what ends, and ends with the command's status, 128 and the signal where one ended it.

It is a program of its own, a few hundred bytes of machine code: it keeps nothing of the process that made it, needs no file
of the container, and costs two pages of memory. Each line below is an instruction as bytes and as the assembler writes it;
a unit test assembles the right side and compares. Nothing of it can be written from inside: it is a sealed file in memory.
"""

from __future__ import annotations

import _signal as signal  # type: ignore[import-not-found]  # as in process.py
import fcntl  # here, because a supervisor loads nothing any more
import os
import struct

from ..errors import InvalidInput

# prctl(PR_SET_NAME), sigprocmask(all), the process id of the command from the first argument; then in turns
# sigtimedwait() and kill() or wait4(WNOHANG).
X86_64 = """
                         _start:
bf0f000000               mov edi, 15
488d359f000000           lea rsi, [rip + name]
b89d000000               mov eax, 157
0f05                     syscall
6aff                     push -1
bf02000000               mov edi, 2
4889e6                   mov rsi, rsp
31d2                     xor edx, edx
41ba08000000             mov r10d, 8
b80e000000               mov eax, 14
0f05                     syscall
488b742418               mov rsi, [rsp + 24]
31db                     xor ebx, ebx
                         digit:
0fb606                   movzx eax, byte ptr [rsi]
84c0                     test al, al
7436                     je reap
6bdb0a                   imul ebx, ebx, 10
8d5c03d0                 lea ebx, [rbx + rax - 48]
48ffc6                   inc rsi
ebed                     jmp digit
                         next:
4889e7                   mov rdi, rsp
31f6                     xor esi, esi
31d2                     xor edx, edx
41ba08000000             mov r10d, 8
b880000000               mov eax, 128
0f05                     syscall
85c0                     test eax, eax
7ee8                     jle next
83f811                   cmp eax, 17
740d                     je reap
89df                     mov edi, ebx
89c6                     mov esi, eax
b83e000000               mov eax, 62
0f05                     syscall
ebd6                     jmp next
                         reap:
bfffffffff               mov edi, -1
488d7424f8               lea rsi, [rsp - 8]
ba01000000               mov edx, 1
4531d2                   xor r10d, r10d
b83d000000               mov eax, 61
0f05                     syscall
85c0                     test eax, eax
7eb9                     jle next
39d8                     cmp eax, ebx
75df                     jne reap
8b4424f8                 mov eax, [rsp - 8]
89c7                     mov edi, eax
83e77f                   and edi, 127
7505                     jne killed
0fb6fc                   movzx edi, ah
eb03                     jmp leave
                         killed:
83ef80                   sub edi, -128
                         leave:
b8e7000000               mov eax, 231
0f05                     syscall
                         name:
696e697400               .asciz "init"
"""
AARCH64 = """
                         _start:
e10b40f9                 ldr x1, [sp, 16]
13008052                 mov w19, 0
43018052                 mov w3, 10
                         digit:
20144038                 ldrb w0, [x1], 1
80000034                 cbz w0, ready
00c00051                 sub w0, w0, 48
7302031b                 madd w19, w19, w3, w0
fcffff17                 b digit
                         ready:
e00180d2                 mov x0, 15
a1050010                 adr x1, name
e81480d2                 mov x8, 167
010000d4                 svc 0
00008092                 mov x0, -1
e003bfa9                 stp x0, x0, [sp, -16]!
400080d2                 mov x0, 2
e1030091                 mov x1, sp
020080d2                 mov x2, 0
030180d2                 mov x3, 8
e81080d2                 mov x8, 135
010000d4                 svc 0
10000014                 b reap
                         next:
e0030091                 mov x0, sp
010080d2                 mov x1, 0
020080d2                 mov x2, 0
030180d2                 mov x3, 8
281180d2                 mov x8, 137
010000d4                 svc 0
1f000071                 cmp w0, 0
2dffff54                 b.le next
1f440071                 cmp w0, 17
c0000054                 b.eq reap
e103002a                 mov w1, w0
e003132a                 mov w0, w19
281080d2                 mov x8, 129
010000d4                 svc 0
f2ffff17                 b next
                         reap:
00008092                 mov x0, -1
e1230091                 add x1, sp, 8
220080d2                 mov x2, 1
030080d2                 mov x3, 0
882080d2                 mov x8, 260
010000d4                 svc 0
1f000071                 cmp w0, 0
4dfdff54                 b.le next
1f00136b                 cmp w0, w19
e1feff54                 b.ne reap
e10b40b9                 ldr w1, [sp, 8]
20180072                 ands w0, w1, 127
61000054                 b.ne killed
203c0853                 ubfx w0, w1, 8, 8
02000014                 b leave
                         killed:
00000211                 add w0, w0, 128
                         leave:
c80b80d2                 mov x8, 94
010000d4                 svc 0
                         name:
696e697400               .asciz "init"
"""
# {machine: (its number in an ELF header, the program)}
_PROGRAMS = {"x86_64": (62, X86_64), "aarch64": (183, AARCH64)}
_ADDRESS = 0x400000
_PAGE = 0x10000
_HEADERS = 64 + 2 * 56
_F_ADD_SEALS = 1033
_SEALS = 0x01 | 0x02 | 0x04 | 0x08  # seal, shrink, grow, write


def check() -> None:
    """Raise InvalidInput where there is no such program for this machine."""
    if os.uname().machine not in _PROGRAMS:
        raise InvalidInput("init: there is none for %s" % os.uname().machine, hint="there is one for %s" % " and ".join(sorted(_PROGRAMS)))


def code_of(listing: str) -> bytes:
    """Return the bytes of a listing."""
    return bytes.fromhex("".join(line[:24].strip() for line in listing.splitlines()))


def executable(machine: str) -> bytes:
    """Return the program as an ELF file: one segment that holds everything, and a stack that cannot be executed."""
    number, listing = _PROGRAMS[machine]
    code = code_of(listing)
    size = _HEADERS + len(code)
    head = b"\x7fELF" + bytes([2, 1, 1]) + bytes(9)
    head += struct.pack("<HHIQQQIHHHHHH", 2, number, 1, _ADDRESS + _HEADERS, 64, 0, 0, 64, 56, 2, 0, 0, 0)
    load = struct.pack("<IIQQQQQQ", 1, 5, 0, _ADDRESS, _ADDRESS, size, size, _PAGE)
    stack = struct.pack("<IIQQQQQQ", 0x6474E551, 6, 0, 0, 0, 0, 0, 16)
    return head + load + stack + code


def program() -> int:
    """Return a descriptor of the program through which it cannot be written."""
    # MFD_EXEC (0x10) says that it is meant to be run; kernels before 6.3 do not know the flag.
    for flags in (os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING | 0x10, os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING):
        try:
            copy = os.memfd_create("init", flags)
            break
        except OSError as error:
            if error.errno != 22 or not flags & 0x10:
                raise
    try:
        os.write(copy, executable(os.uname().machine))
        os.fchmod(copy, 0o555)
        fcntl.fcntl(copy, _F_ADD_SEALS, _SEALS)
        # Only a descriptor without the right to write can be executed.
        return os.open("/proc/self/fd/%d" % copy, os.O_RDONLY | os.O_CLOEXEC)
    finally:
        os.close(copy)


def stay_behind(fd: int) -> None:
    """Fork, and become the program; returns in the child, which is to become the command in a session of its own.

    No signal is lost on the way: they are blocked, and so they wait.
    """
    signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    pid = os.fork()
    if pid:
        os.execve(fd, ["init", "%d" % pid], {})
    signal.pthread_sigmask(signal.SIG_SETMASK, [])
    os.setsid()


def signal_of(code: int) -> int:
    """Return the signal that ended the command behind this exit status, 0 for none."""
    return code - 128 if 128 < code <= 192 else 0
