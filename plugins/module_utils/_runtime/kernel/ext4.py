# Copyright: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""What an ext4 file system was made with: its superblock
(Documentation/filesystems/ext4/super.rst).
"""

from __future__ import annotations

import os
import struct

_SUPERBLOCK_AT = 1024
_MAGIC_AT, _MAGIC = 0x38, 0xEF53
_INODE_SIZE_AT, _RO_COMPAT_AT = 0x58, 0x64
_QUOTA, _PROJECT = 0x100, 0x2000


class Superblock:
    """quota, project: whether the file system has these features; inode_size: in bytes."""

    def __init__(self, quota: bool, project: bool, inode_size: int) -> None:
        self.quota = quota
        self.project = project
        self.inode_size = inode_size


def superblock(device: str) -> Superblock | None:
    """Read it from the device of this path; None where that cannot be read, or holds something
    else.
    """
    try:
        fd = os.open(device, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        data = os.pread(fd, 1024, _SUPERBLOCK_AT)
    except OSError:
        return None
    finally:
        os.close(fd)
    if len(data) < 1024 or struct.unpack_from("<H", data, _MAGIC_AT)[0] != _MAGIC:
        return None
    (features,) = struct.unpack_from("<I", data, _RO_COMPAT_AT)
    (inode_size,) = struct.unpack_from("<H", data, _INODE_SIZE_AT)
    return Superblock(bool(features & _QUOTA), bool(features & _PROJECT), inode_size)
