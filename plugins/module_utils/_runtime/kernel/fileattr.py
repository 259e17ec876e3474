# Copyright: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""The project of an inode: file_getattr(2) and file_setattr(2) where the kernel has them, and the
ioctls before (struct fsxattr).

The calls by name reach every kind of file. The ioctls need the file open, so directories and
ordinary files only: a fifo would wait, a device might act, a socket and a symbolic link cannot be
opened (include/uapi/linux/fs.h).
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import struct

from . import ioctls, syscalls

PROJECT_INHERITED = 0x200

_AT_SYMLINK_NOFOLLOW, _AT_EMPTY_PATH = 0x100, 0x1000
_FILE_ATTR = struct.Struct("=QIIII")
_FSXATTR = struct.Struct("=IIIII8s")
_GET, _SET = ioctls.reads(ord("X"), 31, _FSXATTR.size), ioctls.writes(ord("X"), 32, _FSXATTR.size)
_OPEN = os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_NOCTTY | os.O_CLOEXEC

_buffer = ctypes.create_string_buffer(_FILE_ATTR.size)
_address = ctypes.addressof(_buffer)
_size = _FILE_ATTR.size
_by_name: list[bool] = []


def reaches_all() -> bool:
    """Return whether the kernel has the calls by name, so that every kind of file can be in a
    project.
    """
    if not _by_name:
        try:
            syscalls.file_getattr(-1, b"", _address, _size, _AT_EMPTY_PATH)
        except OSError as error:
            _by_name.append(error.errno not in (errno.ENOSYS, errno.EPERM))
    return _by_name[0]


def get(fd: int) -> tuple[int, bool]:
    """The project of an open file or directory, and whether what is made in it inherits that."""
    fields = _FSXATTR.unpack(fcntl.ioctl(fd, _GET, bytes(_FSXATTR.size)))
    return fields[3], bool(fields[0] & PROJECT_INHERITED)


def set(fd: int, project: int, inherited: bool) -> None:
    """Put an open file or directory into a project; its other attributes stay."""
    flags, extent, extents, _project, cow, pad = _FSXATTR.unpack(
        fcntl.ioctl(fd, _GET, bytes(_FSXATTR.size))
    )
    flags = flags | PROJECT_INHERITED if inherited else flags & ~PROJECT_INHERITED
    fcntl.ioctl(fd, _SET, _FSXATTR.pack(flags, extent, extents, project, cow, pad))


def get_at(directory: int, name: bytes) -> tuple[int, bool]:
    """The same of a name in an open directory, which is opened only where the kernel has no call by
    name.
    """
    return change_at(directory, name, None)


def set_at(directory: int, name: bytes, project: int, inherited: bool) -> None:
    """Put what a name in an open directory leads to into a project; a symbolic link itself, and not
    what it points to.
    """
    change_at(directory, name, (project, inherited))


def change_at(
    directory: int, name: bytes, wanted: tuple[int, bool] | None, only: int | None = None
) -> tuple[int, bool]:
    """Both at once: what it was is returned, and is changed where it is something else.

    wanted: None to look only. only: change no other than one of this project.
    """
    if not (_by_name[0] if _by_name else reaches_all()):
        fd = os.open(name, _OPEN, dir_fd=directory)
        try:
            before = get(fd)
            if wanted is not None and before != wanted and only in (None, before[0]):
                set(fd, *wanted)
            return before
        finally:
            os.close(fd)
    syscalls.file_getattr(directory, name, _address, _size, _AT_SYMLINK_NOFOLLOW)
    flags, extent, extents, project, cow = _FILE_ATTR.unpack_from(_buffer)
    before = (project, bool(flags & PROJECT_INHERITED))
    if wanted is not None and before != wanted and only in (None, project):
        flags = flags | PROJECT_INHERITED if wanted[1] else flags & ~PROJECT_INHERITED
        _FILE_ATTR.pack_into(_buffer, 0, flags, extent, extents, wanted[0], cow)
        syscalls.file_setattr(directory, name, _address, _size, _AT_SYMLINK_NOFOLLOW)
    return before
