# Copyright: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Quotas of users, groups and projects: quotactl_fd(2) and quotactl(2).

Limits are read and set by the commands of XFS (include/uapi/linux/dqblk_xfs.h), which every file
system with quotas takes: they count in units of 512 bytes, and reading them needs no writable
mount. All else is in include/uapi/linux/quota.h.
"""

from __future__ import annotations

import ctypes
import errno
import os
import struct

from . import syscalls

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NamedTuple
else:
    from collections import namedtuple

USER, GROUP, PROJECT = 0, 1, 2

_GETFMT, _GETINFO, _SETINFO = 0x800004, 0x800005, 0x800006
_XQUOTAON, _XQUOTAOFF, _XGETQUOTA, _XSETQLIM = 0x5801, 0x5802, 0x5803, 0x5804
_XGETQSTATV, _XGETNEXTQUOTA = 0x5808, 0x5809

# The formats that Q_GETFMT names.
FORMAT_OLD, FORMAT_V0, FORMAT_V1 = 1, 2, 4

# What Q_XSETQLIM is to change.
_ISOFT, _IHARD, _BSOFT, _BHARD, _BTIMER, _ITIMER, _BIGTIME = 1, 2, 4, 8, 64, 128, 1 << 15
_UNIT = 512

_DQUOT = struct.Struct("=bbHI6QiiHHbbbb3QiHh8x")  # struct fs_disk_quota
_STATE = struct.Struct("=bBH156x")  # struct fs_quota_statv, of which the flags count
_INFO = struct.Struct("=QQII")  # struct if_dqinfo
_BGRACE, _IGRACE = 1, 2

_buffer = ctypes.create_string_buffer(256)
_address = ctypes.addressof(_buffer)

if TYPE_CHECKING:

    class Dquot(NamedTuple):
        """What the kernel keeps of one user, group or project: sizes in bytes, times as seconds
        since 1970, 0 for none.
        """

        id: int
        block_hard: int
        block_soft: int
        inode_hard: int
        inode_soft: int
        blocks: int
        inodes: int
        block_time: int
        inode_time: int

else:
    Dquot = namedtuple(
        "Dquot",
        "id block_hard block_soft inode_hard inode_soft blocks inodes block_time inode_time",
    )


class Place:
    """Where requests go to: a descriptor on the mounted file system; the path of its block device
    for kernels before 5.14.
    """

    __slots__ = ("by_device", "device", "fd")

    def __init__(self, fd: int, device: str) -> None:
        """fd: it belongs to this object from now on, and lives as long as that."""
        self.fd = fd
        self.device = device
        self.by_device = False

    def __del__(self) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the file system, so that it can be unmounted."""
        fd, self.fd = self.fd, -1
        if fd >= 0:
            os.close(fd)

    def ask(self, command: int, kind: int, identity: int = 0) -> None:
        """One request; what it takes and what is answered stands in the buffer of this file."""
        number = (command << 8) | kind
        if not self.by_device:
            try:
                return syscalls.quotactl_fd(self.fd, number, identity, _address)
            except OSError as error:
                # ENOSYS is also the answer of a file system that has no quotas; then the other call
                # gives it too.
                if error.errno != errno.ENOSYS or _known():
                    raise
            self.by_device = True
        return syscalls.quotactl(self.device, number, identity, _address)


_is_known: list[bool] = []


def _known() -> bool:
    """Return whether this kernel has quotactl_fd(2): it then looks at the descriptor before all
    else.
    """
    if not _is_known:
        try:
            syscalls.quotactl_fd(-1, (_XGETQSTATV << 8) | USER, 0, _address)
        except OSError as error:
            _is_known.append(error.errno != errno.ENOSYS)
    return bool(_is_known and _is_known[0])


def state(place: Place, kind: int) -> int:
    """Q_XGETQSTATV: the flags of all kinds. OSError where nothing is counted, or that kind never
    can be.
    """
    _STATE.pack_into(_buffer, 0, 1, 0, 0)
    place.ask(_XGETQSTATV, kind)
    flags: int = _STATE.unpack_from(_buffer)[2]
    return flags


def counted(kind: int) -> int:
    """The flag of a kind that says that usage is counted."""
    return 1 << (2 * kind)


def enforced(kind: int) -> int:
    """The flag of a kind that says that limits are enforced."""
    return 2 << (2 * kind)


def enforce(place: Place, kind: int, on: bool) -> None:
    """Q_XQUOTAON, Q_XQUOTAOFF: start or end the enforcement of limits where usage is counted."""
    struct.pack_into("=I", _buffer, 0, enforced(kind))
    place.ask(_XQUOTAON if on else _XQUOTAOFF, kind)


def format_of(place: Place, kind: int) -> int:
    """Q_GETFMT: how quotas are kept on the disk."""
    place.ask(_GETFMT, kind)
    number: int = struct.unpack_from("=I", _buffer)[0]
    return number


def grace(place: Place, kind: int) -> tuple[int, int]:
    """Q_GETINFO: for how many seconds a soft limit may be exceeded, of blocks and of inodes."""
    place.ask(_GETINFO, kind)
    found: tuple[int, int] = _INFO.unpack_from(_buffer)[:2]
    return found


def set_grace(place: Place, kind: int, block: int | None, inode: int | None) -> None:
    """Q_SETINFO: set one of them or both."""
    valid = (_BGRACE if block is not None else 0) | (_IGRACE if inode is not None else 0)
    _INFO.pack_into(_buffer, 0, block or 0, inode or 0, 0, valid)
    place.ask(_SETINFO, kind)


def _read() -> Dquot:
    fields = _DQUOT.unpack_from(_buffer)
    mask, identity, bhard, bsoft, ihard, isoft, blocks, inodes, itime, btime = fields[2:12]
    if mask & _BIGTIME:
        itime, btime = (
            (itime & 0xFFFFFFFF) | fields[14] << 32,
            (btime & 0xFFFFFFFF) | fields[15] << 32,
        )
    return Dquot(
        identity, bhard * _UNIT, bsoft * _UNIT, ihard, isoft, blocks * _UNIT, inodes, btime, itime
    )


def get(place: Place, kind: int, identity: int) -> Dquot:
    """Q_XGETQUOTA: what is kept of one id; XFS answers ENOENT where there is nothing."""
    place.ask(_XGETQUOTA, kind, identity)
    return _read()


def following(place: Place, kind: int, identity: int) -> Dquot | None:
    """Q_XGETNEXTQUOTA: the same of the first id from this one on of which there is something; None
    where there is none.
    """
    try:
        place.ask(_XGETNEXTQUOTA, kind, identity)
    except OSError as error:
        if error.errno == errno.ENOENT:
            return None
        raise
    return _read()


def set_limits(
    place: Place, kind: int, wanted: Dquot, blocks: bool, inodes: bool, times: bool
) -> None:
    """Q_XSETQLIM: soft and hard limit of blocks, of inodes or of both, in one request.

    times: also the times at which the running grace ends, of what is set and has one.
    """
    mask = (_BSOFT | _BHARD if blocks else 0) | (_ISOFT | _IHARD if inodes else 0)
    btime, itime = (
        (wanted.block_time if blocks and times else 0),
        (wanted.inode_time if inodes and times else 0),
    )
    mask |= (_BTIMER if btime else 0) | (_ITIMER if itime else 0)
    if btime > 0x7FFFFFFF or itime > 0x7FFFFFFF:
        mask |= _BIGTIME
    limits = (
        wanted.block_hard // _UNIT,
        wanted.block_soft // _UNIT,
        wanted.inode_hard,
        wanted.inode_soft,
    )
    times_low = (_signed(itime), _signed(btime))
    times_high = (itime >> 32, btime >> 32) if mask & _BIGTIME else (0, 0)
    _DQUOT.pack_into(
        _buffer,
        0,
        1,
        0,
        mask,
        wanted.id,
        *limits,
        0,
        0,
        *times_low,
        0,
        0,
        *times_high,
        0,
        0,
        0,
        0,
        0,
        0,
        0,
        0,
    )
    place.ask(_XSETQLIM, kind, wanted.id)


def _signed(number: int) -> int:
    """The lower 32 bits as the signed number that the structure has."""
    low = number & 0xFFFFFFFF
    return low - (1 << 32) if low > 0x7FFFFFFF else low
