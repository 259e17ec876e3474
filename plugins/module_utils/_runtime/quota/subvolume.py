# Copyright: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""A subvolume of btrfs, and the quota group that limits it.

With full accounting that is the subvolume's own group, 0/ID. With simple quotas it is a group 1/ID
that holds the subvolume: a subvolume that somebody makes in it is then put into the same group by
the kernel, and does not escape (qgroup_auto_inherit(), fs/btrfs/qgroup.c).
"""

from __future__ import annotations

import errno
import os

from ..errors import BulkheadError, InvalidInput
from ..foreseen import Missing
from ..kernel import block, btrfs, mounts
from ..kernel.traces import ROOT_INODE
from .wanted import FULL, SIMPLE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..kernel.mounts import Mount

_SIMPLE_MODE = "squota"


class Accounting:
    """What a btrfs file system as a whole says of its quotas; each thing is asked for once.

    way: how data is counted; kernels that do not say so know one way only. inconsistent: whether
    the numbers are known to be wrong; limits are not looked at then.
    """

    def __init__(self, uuid: str) -> None:
        self.enabled = btrfs.told(uuid, "enabled") == "1"
        self.way = SIMPLE if btrfs.told(uuid, "mode") == _SIMPLE_MODE else FULL
        self.inconsistent = btrfs.told(uuid, "inconsistent") == "1"
        self._relations: list[tuple[int, int]] | None = None
        self._parents: dict[int, int] | None = None

    def relations(self, fd: int) -> list[tuple[int, int]]:
        if self._relations is None:
            self._relations = btrfs.relations(fd)
        return self._relations

    def parents(self, fd: int) -> dict[int, int]:
        if self._parents is None:
            self._parents = btrfs.parents(fd)
        return self._parents


class Subvolume:
    """One subvolume, and what its file system counts; open as long as the object lives."""

    def __init__(self, path: str, mount: Mount, told: dict[str, Accounting]) -> None:
        """told: what was found out about file systems, by their UUID."""
        self.path = path
        self.mount = mount
        self.device = block.path_of(mount.device) or mount.source
        self.fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        self.id = btrfs.subvolume_of(self.fd)
        self.uuid = btrfs.uuid_of(self.fd)
        if self.uuid not in told:
            told[self.uuid] = Accounting(self.uuid)
        self._whole = told[self.uuid]

    def __del__(self) -> None:
        self.close()

    def close(self) -> None:
        fd, self.fd = getattr(self, "fd", -1), -1
        if fd >= 0:
            os.close(fd)

    @property
    def enabled(self) -> bool:
        return self._whole.enabled

    @property
    def accounting(self) -> str:
        return self._whole.way

    @property
    def inconsistent(self) -> bool:
        return self._whole.inconsistent

    @property
    def own(self) -> int:
        return btrfs.group(0, self.id)

    def limiting(self, accounting: str) -> int:
        """The group that limits the subvolume and what is made in it."""
        return btrfs.group(1, self.id) if accounting == SIMPLE else self.own

    def exists(self, group: int) -> bool:
        return btrfs.told_of(self.uuid, group, "limit_flags") is not None

    def limit(self, group: int) -> int | None:
        """The limit of a group in bytes; None where it has none. Zero with its flag is a limit,
        zero without is none.
        """
        flags = btrfs.told_of(self.uuid, group, "limit_flags") or 0
        return (
            btrfs.told_of(self.uuid, group, "max_referenced")
            if flags & btrfs.LIMIT_REFERENCED
            else None
        )

    def used(self, group: int) -> int:
        return btrfs.told_of(self.uuid, group, "referenced") or 0

    def members(self, group: int) -> list[int]:
        """The groups that are in a group."""
        if not self.enabled:
            return []
        return [one for one, other in self._whole.relations(self.fd) if other == group]

    def nested(self) -> list[int]:
        """The subvolumes that lie in this one, at any depth."""
        above = self._whole.parents(self.fd)
        found = []
        for one in above:
            at: int | None = one
            while at is not None and at != self.id:
                at = above.get(at)
            if at is not None and one != self.id:
                found.append(one)
        return sorted(found)

    def is_counted_whole(self) -> bool:
        """Whether all of it was written since simple quotas were enabled, which count nothing
        older.
        """
        return btrfs.created_at(self.fd, self.id) >= btrfs.enabled_at(self.fd)


def open_subvolume(path: str, mounted: dict[int, Mount], told: dict[str, Accounting]) -> Subvolume:
    """The subvolume at a path. Raises InvalidInput where there is none.

    mounted: what is mounted, by the id of the mount. told: what was found out about file systems.
    """
    try:
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError) as error:
        problem = "there is no directory %s" % path
        raise Missing(problem, target=path, errno=error.errno or 0) from None
    try:
        here = mounts.mount_id(fd)
        inode = os.fstat(fd).st_ino
    finally:
        os.close(fd)
    mount = mounted.get(here)
    if mount is None or mount.fstype != "btrfs":
        kind = mount.fstype if mount else "unknown"
        raise Missing(
            "%s is not on btrfs but on %s" % (path, kind),
            target=path,
            hint="there, give type: user, group or project",
        )
    if inode != ROOT_INODE:
        hint = (
            "a limit would be one of the whole subvolume around it; make one: btrfs subvolume create %s"
            % path
        )
        raise InvalidInput(
            "%s is an ordinary directory and no subvolume" % path, target=path, hint=hint
        )
    return Subvolume(path, mount, told)


def not_enabled(path: str) -> BulkheadError:
    """The error where a subvolume at or around a path cannot be limited."""
    return BulkheadError(
        "quotas are off on the btrfs file system of %s" % path,
        target=path,
        errno=errno.ENOTCONN,
        hint="disk_quota with enable: true enables them, as does: btrfs quota enable %s" % path,
    )
