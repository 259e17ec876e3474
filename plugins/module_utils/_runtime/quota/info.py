# Copyright: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""What file systems count and enforce, and what users, groups, projects and subvolumes use of their
limits.

All ids of a file system are found by asking the kernel for the next one each time, so that a
machine with many users and a file system with few of them costs little.
"""

from __future__ import annotations

import errno
import os
import time

from ..errors import BulkheadError, InvalidInput
from ..kernel import btrfs, mounts, quotactl
from . import wanted
from .filesystem import FileSystem
from .observation import Observation

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from ..kernel.quotactl import Dquot
    from .subvolume import Subvolume

_LAST = 0xFFFFFFFE
# File systems of a kernel's own, which are asked only where they are named.
_ON_DEVICES = ("ext4", "ext3", "ext2", "xfs", "btrfs", "tmpfs", "f2fs", "gfs2", "ocfs2", "jfs")


def look(path: str | None, kind: str | None, identity: str | None, ids: bool) -> dict[str, Any]:
    """{filesystems: [...], quotas: [...]}.

    path: one mount point or subvolume only; kind, identity: these only; ids: whether anybody's
    usage is asked for at all.
    """
    if identity is not None and kind not in wanted.KINDS:
        raise InvalidInput(
            "id: whose id %s is cannot be told" % identity,
            hint="give type: user, group or project, too",
        )
    seen = Observation()
    found: dict[str, Any] = {"filesystems": [], "quotas": []}
    try:
        for place in [wanted.path_of(path, "path")] if path is not None else _mounted():
            _look_at(seen, place, path is not None, kind, identity, ids, found)
    finally:
        seen.close()
    return found


def _mounted() -> list[str]:
    """A mount point of each file system that can have quotas, the first where there are several."""
    places: dict[str, str] = {}
    for mount in mounts.mounts(*_ON_DEVICES):
        places.setdefault(mount.device, mount.path)
    return sorted(set(places.values()))


def _look_at(
    seen: Observation,
    path: str,
    named: bool,
    kind: str | None,
    identity: str | None,
    ids: bool,
    found: dict[str, Any],
) -> None:
    if _is_btrfs(path):
        if identity is None and kind in (None, wanted.SUBVOLUME):
            _look_at_btrfs(seen, path, ids, found)
        return
    try:
        fs = seen.filesystem(path)
    except (BulkheadError, OSError):
        if named:
            raise
        return  # it was unmounted meanwhile, or cannot be entered
    types = {one: _type_of(seen, fs, one) for one in wanted.KINDS if kind in (None, one)}
    found["filesystems"].append(
        {"path": path, "device": fs.device, "fstype": fs.type, "types": types}
    )
    for one, facts in types.items():
        if ids and facts["accounting"]:
            found["quotas"] += [
                _told(path, one, dquot) for dquot in _dquots(seen, fs, one, identity)
            ]


def _is_btrfs(path: str) -> bool:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        here = mounts.mount_id(fd)
    finally:
        os.close(fd)
    return any(mount.id == here for mount in mounts.mounts("btrfs"))


def _type_of(seen: Observation, fs: FileSystem, kind: str) -> dict[str, Any]:
    """What there is of one type."""
    counts, enforces = fs.state(kind)
    missing, hint = fs.lacks(kind)
    facts: dict[str, Any] = {
        "accounting": counts,
        "enforced": enforces,
        "missing": missing,
        "hint": hint,
    }
    if counts:
        block, inode = seen.grace(fs, kind)
        most_bytes, most_inodes = fs.maximum(kind)
        facts.update(
            block_grace=block,
            inode_grace=inode,
            format=fs.format(kind),
            unit=fs.unit,
            block_max=most_bytes,
            inode_max=most_inodes,
        )
    return facts


def _dquots(seen: Observation, fs: FileSystem, kind: str, identity: str | None) -> Iterator[Dquot]:
    if identity is not None:
        number = wanted.id_of(kind, identity)
        if number is None:
            raise InvalidInput("id: there is no %s %r on this machine" % (kind, identity))
        yield seen.dquot(fs, kind, number)
        return
    number = 0
    while number <= _LAST:
        try:
            dquot = quotactl.following(fs.place, wanted.KINDS[kind], number)
        except OSError as error:
            if error.errno == errno.ENOSYS:
                raise BulkheadError(
                    "this kernel cannot tell who has quotas on %s" % fs.path,
                    target=fs.path,
                    hint="name an id",
                ) from None
            raise
        if dquot is None:
            return
        if any(dquot[1:]):
            yield dquot
        number = dquot.id + 1


def _told(path: str, kind: str, dquot: Dquot) -> dict[str, Any]:
    """Usage and limits of one id, and how much of a grace is left."""
    found: dict[str, Any] = {
        "path": path,
        "type": kind,
        "id": dquot.id,
        "name": wanted.name_of(kind, dquot.id),
    }
    found.update(block_used=dquot.blocks, block_soft=dquot.block_soft, block_hard=dquot.block_hard)
    found.update(inode_used=dquot.inodes, inode_soft=dquot.inode_soft, inode_hard=dquot.inode_hard)
    found.update(block_grace_left=_left(dquot.block_time), inode_grace_left=_left(dquot.inode_time))
    return found


def _left(end: int) -> int | None:
    """Seconds until a grace ends; 0 where it has ended, None where none is running."""
    return max(0, int(end - time.time())) if end else None


def _look_at_btrfs(seen: Observation, path: str, ids: bool, found: dict[str, Any]) -> None:
    """One btrfs file system, and the subvolume at the path, or, at its top level, every quota group
    of a subvolume.
    """
    volume = seen.subvolume(path)
    try:
        enabled = volume.enabled
        facts: dict[str, Any] = {
            "accounting": enabled,
            "enforced": enabled and not volume.inconsistent,
            "missing": "",
            "hint": "",
        }
        if not enabled:
            facts.update(missing="quotas are off", hint="btrfs quota enable %s" % path)
        else:
            facts["counts"] = volume.accounting
            if volume.inconsistent:
                facts.update(
                    missing="what is counted is inconsistent, and limits are not looked at",
                    hint="btrfs quota rescan -w %s" % path,
                )
        types = {wanted.SUBVOLUME: facts}
        found["filesystems"].append(
            {"path": path, "device": volume.device, "fstype": "btrfs", "types": types}
        )
        if enabled and ids:
            found["quotas"] += _subvolumes(volume)
    finally:
        volume.close()


def _subvolumes(volume: Subvolume) -> list[dict[str, Any]]:
    everyone = [volume.id]
    if volume.id == btrfs.TOP_LEVEL:
        everyone += sorted(btrfs.parents(volume.fd))
    accounting = volume.accounting
    return [
        _told_of(volume, number, accounting)
        for number in everyone
        if volume.exists(btrfs.group(0, number))
    ]


def _told_of(volume: Subvolume, number: int, accounting: str) -> dict[str, Any]:
    """Usage and limit of one subvolume; simple quotas have the limit on the group that holds it."""
    own = btrfs.group(0, number)
    group = (
        own
        if accounting == wanted.FULL or not volume.exists(btrfs.group(1, number))
        else btrfs.group(1, number)
    )
    found: dict[str, Any] = {
        "path": volume.path,
        "type": wanted.SUBVOLUME,
        "id": number,
        "group": btrfs.spell(group),
    }
    found.update(
        name=btrfs.name_of(volume.fd, number),
        block_used=volume.used(group),
        block_hard=volume.limit(group) or 0,
    )
    return found
