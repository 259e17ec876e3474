# Copyright: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""bpf(2) for programs that decide over device access of a control group (include/uapi/linux/bpf.h).

Only what that needs: load a BPF_PROG_TYPE_CGROUP_DEVICE program, attach, replace, detach, list, and read names.
Programs on interfaces are listed, too, and never touched.
"""

from __future__ import annotations

import ctypes
import errno
import os
import struct

from . import syscalls

_PROG_LOAD, _PROG_ATTACH, _PROG_DETACH, _PROG_GET_FD_BY_ID, _OBJ_GET_INFO_BY_FD, _PROG_QUERY = 5, 8, 9, 13, 15, 16
_CGROUP_DEVICE_PROGRAM = 15
_CGROUP_DEVICE_ATTACH = 6
_ALLOW_MULTI, _REPLACE = 2, 4
_NAME_LENGTH = 16


def _bpf(command: int, attributes: bytes, buffer: ctypes.Array[ctypes.c_char] | None = None) -> tuple[int, bytes]:
    """One bpf(2) call; returns its result and the attributes as the kernel left them."""
    union = ctypes.create_string_buffer(attributes, max(len(attributes), 128))
    result: int = syscalls.libc.syscall(ctypes.c_long(syscalls.number_of("bpf")), ctypes.c_int(command), union, ctypes.c_uint(len(union)))
    if result < 0:
        raise syscalls.failed("bpf")
    return result, union.raw


def load_device_program(instructions: bytes, name: str) -> int:
    """Load a program; returns its descriptor. name: at most 15 letters, digits, _ and ., kept by the kernel."""
    code = ctypes.create_string_buffer(instructions, len(instructions))
    licence = ctypes.create_string_buffer(b"GPL")
    attributes = struct.pack(
        "=IIQQIIQII16sII",
        _CGROUP_DEVICE_PROGRAM,
        len(instructions) // 8,
        ctypes.addressof(code),
        ctypes.addressof(licence),
        0,
        0,
        0,
        0,
        0,
        name.encode()[: _NAME_LENGTH - 1],
        0,
        _CGROUP_DEVICE_ATTACH,
    )
    return _bpf(_PROG_LOAD, attributes)[0]


def attach(group: int, program: int, replaces: int | None = None) -> None:
    """Attach a program to the group beside those of others, or in the place of one of ours."""
    flags = _ALLOW_MULTI | (_REPLACE if replaces is not None else 0)
    _bpf(_PROG_ATTACH, struct.pack("=IIIII", group, program, _CGROUP_DEVICE_ATTACH, flags, replaces or 0))


def detach(group: int, program: int) -> None:
    """Take a program from the group."""
    _bpf(_PROG_DETACH, struct.pack("=IIIII", group, program, _CGROUP_DEVICE_ATTACH, 0, 0))


def attached(group: int) -> list[tuple[int, str]]:
    """(id, name) of each device program attached to the group itself."""
    return _listed(group, _CGROUP_DEVICE_ATTACH)


# Where programs are attached to an interface (enum bpf_attach_type), by what people call it.
INTERFACE_HOOKS = {
    "tcx ingress": 46,
    "tcx egress": 47,
    "netkit primary": 54,
    "netkit peer": 55,
}


def on_interface(index: int, hook: str) -> list[tuple[int, str]]:
    """(id, name) of each program on an interface of the caller's network namespace.

    None where the kernel, or the kind of interface, knows no such hook (tcx: Linux 6.6).
    """
    try:
        return _listed(index, INTERFACE_HOOKS[hook])
    except OSError as error:
        if error.errno in (errno.EINVAL, errno.EOPNOTSUPP, errno.ENODEV, errno.ENXIO, errno.EACCES):
            return []
        raise


def _listed(target: int, kind: int) -> list[tuple[int, str]]:
    ids = (ctypes.c_uint32 * 64)()
    attributes = struct.pack("=IIIIQI", target, kind, 0, 0, ctypes.addressof(ids), len(ids))
    count = struct.unpack_from("=I", _bpf(_PROG_QUERY, attributes)[1], 24)[0]
    found = []
    for number in ids[:count]:
        fd = open_program(number)
        try:
            found.append((number, _name_of(fd)))
        finally:
            os.close(fd)
    return found


def open_program(number: int) -> int:
    """A descriptor of the program with this id; the caller closes it."""
    return _bpf(_PROG_GET_FD_BY_ID, struct.pack("=III", number, 0, 0))[0]


def _name_of(program: int) -> str:
    # struct bpf_prog_info: the name is at byte 64.
    info = ctypes.create_string_buffer(80)
    _bpf(_OBJ_GET_INFO_BY_FD, struct.pack("=IIQ", program, len(info), ctypes.addressof(info)))
    return info.raw[64:80].split(b"\0")[0].decode("ascii", "replace")
