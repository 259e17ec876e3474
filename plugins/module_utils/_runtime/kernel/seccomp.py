# Copyright: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""seccomp(2): a filter of the system calls that this process and all that come from it may make (include/uapi/linux/seccomp.h)."""

from __future__ import annotations

import ctypes
import errno

from . import syscalls

RET_KILL_PROCESS = 0x80000000
RET_KILL_THREAD = 0x00000000
RET_TRAP = 0x00030000
RET_ERRNO = 0x00050000
RET_TRACE = 0x7FF00000
RET_LOG = 0x7FFC0000
RET_ALLOW = 0x7FFF0000
FLAG_LOG = 2
FLAG_SPEC_ALLOW = 4
# struct seccomp_data: where a filter finds the number of the call, its architecture and its arguments of 64 bits.
DATA_NUMBER, DATA_ARCHITECTURE, DATA_ARGUMENTS = 0, 4, 16
# include/uapi/linux/audit.h; x32 has that of x86_64 and a bit in its numbers (arch/x86/include/uapi/asm/unistd.h).
AUDIT_ARCHITECTURES = {"x86_64": 0xC000003E, "i386": 0x40000003, "aarch64": 0xC00000B7, "arm": 0x40000028}
X32_BIT = 0x40000000
# BPF_MAXINSNS
LONGEST = 4096
_SET_MODE_FILTER = 1
_PR_SET_SECCOMP, _MODE_FILTER = 22, 2
_INSTRUCTION = 8


class _Program(ctypes.Structure):
    """struct sock_fprog"""

    _fields_ = [("len", ctypes.c_ushort), ("filter", ctypes.c_void_p)]


class Filter:
    """A filter that is ready to be loaded: all memory that this takes is there, so that a process that was just born can do it."""

    def __init__(self, program: bytes, flags: int = FLAG_SPEC_ALLOW) -> None:
        self.program = program
        self.flags = flags
        self._code = ctypes.create_string_buffer(program, len(program))
        self._argument = _Program(len(program) // _INSTRUCTION, ctypes.addressof(self._code))

    def load(self) -> None:
        """Put it in force for this process, for good. Takes no_new_privs or CAP_SYS_ADMIN."""
        syscalls.seccomp(_SET_MODE_FILTER, self.flags, ctypes.addressof(self._argument))


def is_available() -> bool:
    """Whether this kernel has filters: it looks at the program only then, and this one lies nowhere."""
    try:
        syscalls.prctl(_PR_SET_SECCOMP, _MODE_FILTER)
    except OSError as error:
        return error.errno == errno.EFAULT
    return False
