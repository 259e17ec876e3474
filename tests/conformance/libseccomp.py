# SPDX-FileCopyrightText: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The machine's libseccomp, which knows the system calls of each architecture and builds filters of its own: the oracle for ours."""

from __future__ import annotations

import ctypes
import os

# Architectures by the name that our table has for them (include/uapi/linux/audit.h; x32 is libseccomp's own token).
ARCHITECTURES = {"x86_64": 0xC000003E, "x32": 0x4000003E, "i386": 0x40000003, "aarch64": 0xC00000B7, "arm": 0x40000028}
X32_BIT = 0x40000000
ALLOW, KILL_PROCESS, TRAP, LOG = 0x7FFF0000, 0x80000000, 0x00030000, 0x7FFC0000
OPERATIONS = {"NE": 1, "LT": 2, "LE": 3, "EQ": 4, "GE": 5, "GT": 6, "MASKED_EQ": 7}
_BAD_ARCHITECTURE, _OPTIMIZE = 2, 8  # SCMP_FLTATR_ACT_BADARCH, SCMP_FLTATR_CTL_OPTIMIZE
_BINARY_TREE = 2
_NO_SUCH_CALL = -1  # __NR_SCMP_ERROR


class _Comparison(ctypes.Structure):
    """struct scmp_arg_cmp"""

    _fields_ = [("index", ctypes.c_uint), ("operation", ctypes.c_int), ("first", ctypes.c_uint64), ("second", ctypes.c_uint64)]


_library = ctypes.CDLL("libseccomp.so.2")
_library.seccomp_init.restype = ctypes.c_void_p
_library.seccomp_init.argtypes = [ctypes.c_uint32]
_library.seccomp_release.argtypes = [ctypes.c_void_p]
_library.seccomp_arch_add.argtypes = _library.seccomp_arch_remove.argtypes = [ctypes.c_void_p, ctypes.c_uint32]
_library.seccomp_attr_set.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_uint32]
_library.seccomp_rule_add_array.argtypes = [ctypes.c_void_p, ctypes.c_uint32, ctypes.c_int, ctypes.c_uint, ctypes.c_void_p]
_library.seccomp_export_bpf.argtypes = [ctypes.c_void_p, ctypes.c_int]
_library.seccomp_syscall_resolve_num_arch.restype = ctypes.c_void_p
_library.seccomp_syscall_resolve_num_arch.argtypes = [ctypes.c_uint32, ctypes.c_int]
_free = ctypes.CDLL(None).free
_free.argtypes = [ctypes.c_void_p]


def name_of(architecture: str, number: int) -> str:
    """The name of a system call; empty where libseccomp knows none of this number."""
    text = _library.seccomp_syscall_resolve_num_arch(ARCHITECTURES[architecture], number)
    if not text:
        return ""
    try:
        return (ctypes.string_at(text)).decode()
    finally:
        _free(text)


def errno_action(number: int) -> int:
    """SCMP_ACT_ERRNO"""
    return 0x00050000 | number


class Filter:
    """A filter that libseccomp builds."""

    def __init__(self, default: int, architectures: list[str], bad_architecture: int = KILL_PROCESS) -> None:
        self._default = default
        self._context = _library.seccomp_init(default)
        assert self._context
        self._check("attr_set", _library.seccomp_attr_set(self._context, _BAD_ARCHITECTURE, bad_architecture))
        self._check("attr_set", _library.seccomp_attr_set(self._context, _OPTIMIZE, _BINARY_TREE))
        native = _library.seccomp_arch_native()
        for name in architectures:
            if ARCHITECTURES[name] != native % (1 << 32):
                self._check("arch_add", _library.seccomp_arch_add(self._context, ARCHITECTURES[name]))
        if native % (1 << 32) not in [ARCHITECTURES[name] for name in architectures]:
            self._check("arch_remove", _library.seccomp_arch_remove(self._context, native))

    def _check(self, what: str, result: int) -> None:
        assert result == 0, "seccomp_%s: %s" % (what, os.strerror(-result))

    def rule(self, action: int, name: str, comparisons: list[tuple[int, str, int, int]] | None = None) -> None:
        """What happens to a call, by its name, on every architecture; to a name that libseccomp does not know, nothing."""
        number = _library.seccomp_syscall_resolve_name(name.encode())
        if number == _NO_SUCH_CALL or action == self._default:
            return
        array = (_Comparison * 6)(*[_Comparison(index, OPERATIONS[word], first, second) for index, word, first, second in comparisons or []])
        self._check("rule_add(%s)" % name, _library.seccomp_rule_add_array(self._context, action, number, len(comparisons or []), array))

    def program(self) -> bytes:
        """The filter as the kernel takes it."""
        fd = os.memfd_create("filter")
        try:
            self._check("export_bpf", _library.seccomp_export_bpf(self._context, fd))
            return os.pread(fd, 1 << 20, 0)
        finally:
            os.close(fd)

    def close(self) -> None:
        _library.seccomp_release(self._context)
