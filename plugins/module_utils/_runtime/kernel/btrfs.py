# Copyright: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Quotas of btrfs: its ioctls (include/uapi/linux/btrfs.h), its trees (btrfs_tree.h) and its
directory in sysfs.

A quota group is a number: the level in the upper 16 bits, and an id in the lower 48, which on level
0 is the subvolume's.
"""

from __future__ import annotations

import fcntl
import os
import struct

from . import ioctls, syscalls
from .files import read_text
from .traces import ROOT_INODE

_MAGIC = 0x94
_SEARCH_KEY = struct.Struct("=7Q4I4Q")
_SEARCH_HEADER = struct.Struct("=QQQII")
_SEARCH_ROOM = 65536
_LIMIT = struct.Struct("=6Q")
_TREE_SEARCH = ioctls.both(_MAGIC, 17, _SEARCH_KEY.size + 8)
_INO_LOOKUP = ioctls.both(_MAGIC, 18, 4096)
_SUBVOLUME_CREATE = ioctls.writes(_MAGIC, 14, 4096)
_FS_INFO = ioctls.reads(_MAGIC, 31, 1024)
_QUOTA_CTL = ioctls.both(_MAGIC, 40, 16)
_GROUP_ASSIGN = ioctls.writes(_MAGIC, 41, 24)
_GROUP_CREATE = ioctls.writes(_MAGIC, 42, 16)
_GROUP_LIMIT = ioctls.reads(_MAGIC, 43, _LIMIT.size)
_RESCAN = ioctls.writes(_MAGIC, 44, 64)
_RESCAN_WAIT = ioctls.plain(_MAGIC, 46)
_ENABLE, _DISABLE, _ENABLE_SIMPLE = 1, 2, 4

_ROOT_TREE, _QUOTA_TREE = 1, 8
_ROOT_ITEM, _ROOT_BACKREF, _STATUS, _RELATION = 132, 144, 240, 246
_CREATED_AT = 303  # of otransid in struct btrfs_root_item

TOP_LEVEL = 5
LIMIT_REFERENCED = 1
NO_LIMIT = (1 << 64) - 1
_LEVEL_SHIFT = 48
_SYSFS = "/sys/fs/btrfs"


def group(level: int, number: int) -> int:
    """The number of a quota group."""
    return (level << _LEVEL_SHIFT) | number


def spell(identity: int) -> str:
    """A quota group as btrfs-progs writes it, level/id."""
    return "%d/%d" % (identity >> _LEVEL_SHIFT, identity & ((1 << _LEVEL_SHIFT) - 1))


def subvolume_of(fd: int) -> int:
    """BTRFS_IOC_INO_LOOKUP: the id of the subvolume that an open file or directory is in."""
    room = bytearray(struct.pack("=QQ", 0, ROOT_INODE) + bytes(4080))
    fcntl.ioctl(fd, _INO_LOOKUP, room)
    number: int = struct.unpack_from("=Q", room)[0]
    return number


def uuid_of(fd: int) -> str:
    """BTRFS_IOC_FS_INFO: the UUID of the file system, as sysfs spells it."""
    text = fcntl.ioctl(fd, _FS_INFO, bytes(1024))[16:32].hex()
    return "-".join((text[:8], text[8:12], text[12:16], text[16:20], text[20:]))


def _search(
    fd: int, tree: int, kind: int, first: int, last: int = NO_LIMIT
) -> list[tuple[int, int, bytes]]:
    """BTRFS_IOC_TREE_SEARCH_V2: (object, offset, item) of every item of a type in a tree, from one
    object to another.

    The kernel answers with all that lies between two keys, whatever its type, as much as there is
    room for.
    """
    found: list[tuple[int, int, bytes]] = []
    start = (first, 0, 0)
    while True:
        room = bytearray(_SEARCH_KEY.size + 8 + _SEARCH_ROOM)
        identity, least, offset = start
        key = (
            tree,
            identity,
            last,
            offset,
            NO_LIMIT,
            0,
            NO_LIMIT,
            least,
            255,
            0xFFFFFFFF,
            0,
            0,
            0,
            0,
            0,
        )
        _SEARCH_KEY.pack_into(room, 0, *key)
        struct.pack_into("=Q", room, _SEARCH_KEY.size, _SEARCH_ROOM)
        fcntl.ioctl(fd, _TREE_SEARCH, room)
        count = _SEARCH_KEY.unpack_from(room)[9]
        if not count:
            return found
        at = _SEARCH_KEY.size + 8
        for _number in range(count):
            _transid, identity, offset, this, length = _SEARCH_HEADER.unpack_from(room, at)
            at += _SEARCH_HEADER.size + length
            if this == kind:
                found.append((identity, offset, bytes(room[at - length : at])))
        start = (identity, this, offset + 1) if offset < NO_LIMIT else (identity, this + 1, 0)


def relations(fd: int) -> list[tuple[int, int]]:
    """(member, group) of each quota group that is in another one. ENOENT where quotas are off."""
    pairs = [(one, other) for one, other, _item in _search(fd, _QUOTA_TREE, _RELATION, ROOT_INODE)]
    # Each stands in the tree twice, by either end.
    return sorted(
        (one, other) for one, other in pairs if one >> _LEVEL_SHIFT < other >> _LEVEL_SHIFT
    )


def enabled_at(fd: int) -> int:
    """The generation in which simple quotas were enabled, of which on data is counted; 0 where the
    item has none.
    """
    for _object, _offset, item in _search(fd, _QUOTA_TREE, _STATUS, 0, 0):
        if len(item) >= 40:
            number: int = struct.unpack_from("=Q", item, 32)[0]
            return number
    return 0


def created_at(fd: int, subvolume: int) -> int:
    """The generation in which a subvolume was made."""
    for _object, _offset, item in _search(fd, _ROOT_TREE, _ROOT_ITEM, subvolume, subvolume):
        if len(item) >= _CREATED_AT + 8:
            number: int = struct.unpack_from("=Q", item, _CREATED_AT)[0]
            return number
    return 0


def parents(fd: int) -> dict[int, int]:
    """{subvolume: the one in which it lies}."""
    return {
        child: parent for child, parent, _item in _search(fd, _ROOT_TREE, _ROOT_BACKREF, ROOT_INODE)
    }


def name_of(fd: int, subvolume: int) -> str:
    """The path of a subvolume below the top level; of one that cannot be found it is empty."""
    parts: list[str] = []
    while subvolume != TOP_LEVEL:
        found = _search(fd, _ROOT_TREE, _ROOT_BACKREF, subvolume, subvolume)
        if not found:
            return ""
        _subvolume, above, item = found[0]
        directory, _sequence, length = struct.unpack_from(
            "=QQH", item
        )  # struct btrfs_root_ref, and the name
        name = os.fsdecode(item[18 : 18 + length])
        room = bytearray(struct.pack("=QQ", above, directory) + bytes(4080))
        fcntl.ioctl(fd, _INO_LOOKUP, room)
        # The path of the directory that it lies in, with a slash at its end.
        parts.append(os.fsdecode(bytes(room[16 : room.index(0, 16)])) + name)
        subvolume = above
    return "/".join(reversed(parts))


# What sysfs has of quotas, which is never behind as the trees are until the next commit.


def told(uuid: str, name: str) -> str | None:
    """A file of the directory of quotas (Documentation/ABI/testing/sysfs-fs-btrfs); None where
    quotas are off.
    """
    text = read_text("%s/%s/qgroups/%s" % (_SYSFS, uuid, name))
    return None if text is None else text.strip()


def told_of(uuid: str, identity: int, name: str) -> int | None:
    """A number of one quota group; None where there is no such group."""
    text = told(uuid, "%s/%s" % (spell(identity).replace("/", "_"), name))
    return int(text) if text else None


# Requests that change something


def make(path: str) -> None:
    """BTRFS_IOC_SUBVOL_CREATE: make an empty subvolume."""
    above, name = os.path.split(path)
    fd = os.open(above, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:  # struct btrfs_ioctl_vol_args: a descriptor that counts elsewhere, and the name
        room = struct.pack("=q", 0) + os.fsencode(name)
        fcntl.ioctl(fd, _SUBVOLUME_CREATE, bytearray(room.ljust(4096, b"\0")))
    finally:
        os.close(fd)


def enable(fd: int, simple: bool) -> None:
    """BTRFS_IOC_QUOTA_CTL: count from now on; in full, what is there is counted by a rescan that
    begins by itself.
    """
    fcntl.ioctl(fd, _QUOTA_CTL, struct.pack("=QQ", _ENABLE_SIMPLE if simple else _ENABLE, 0))


def disable(fd: int) -> None:
    """BTRFS_IOC_QUOTA_CTL: end counting, and forget every group and limit."""
    fcntl.ioctl(fd, _QUOTA_CTL, struct.pack("=QQ", _DISABLE, 0))


def rescan(fd: int) -> None:
    """BTRFS_IOC_QUOTA_RESCAN: count anew; EINPROGRESS where that is being done."""
    fcntl.ioctl(fd, _RESCAN, bytes(64))


def wait_for_rescan(fd: int) -> None:
    """BTRFS_IOC_QUOTA_RESCAN_WAIT: wait until the counting is done."""
    fcntl.ioctl(fd, _RESCAN_WAIT)


def limit(fd: int, identity: int, size: int | None) -> None:
    """BTRFS_IOC_QGROUP_LIMIT: how much a group may refer to; None lifts the limit."""
    # A flag says which of the limits is in force, and with the value -1 the kernel takes the flag
    # away.
    flags, most = LIMIT_REFERENCED, NO_LIMIT if size is None else size
    fcntl.ioctl(fd, _GROUP_LIMIT, _LIMIT.pack(identity, flags, most, 0, 0, 0))


def create(fd: int, identity: int) -> None:
    """BTRFS_IOC_QGROUP_CREATE: make a group."""
    fcntl.ioctl(fd, _GROUP_CREATE, struct.pack("=QQ", 1, identity))


def remove(fd: int, identity: int) -> None:
    """BTRFS_IOC_QGROUP_CREATE: remove a group that has no members."""
    fcntl.ioctl(fd, _GROUP_CREATE, struct.pack("=QQ", 0, identity))


def assign(fd: int, member: int, to: int, on: bool) -> None:
    """BTRFS_IOC_QGROUP_ASSIGN: put a group into another one of a higher level, or take it out."""
    fcntl.ioctl(fd, _GROUP_ASSIGN, struct.pack("=QQQ", on, member, to))


def open_top_level(device: str) -> int:
    """A descriptor of the top level subvolume, by a mount of it that is attached nowhere and goes
    with the descriptor.

    A request through a descriptor in a full subvolume is refused with EDQUOT, also the one that
    would raise its limit.
    """
    configured = syscalls.fsopen("btrfs")
    try:
        syscalls.fsconfig(configured, "source", device)
        syscalls.fsconfig(configured, "subvolid", str(TOP_LEVEL))
        syscalls.fsconfig_create(configured)
        mounted = syscalls.fsmount(configured, 0)
    finally:
        os.close(configured)
    try:  # what fsmount(2) answers with is a path only (O_PATH), on which no ioctl can be done
        return os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=mounted)
    finally:
        os.close(mounted)
