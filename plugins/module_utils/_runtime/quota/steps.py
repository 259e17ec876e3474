# Copyright: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""The changes to quotas."""

from __future__ import annotations

import errno

from ..errors import BulkheadError
from ..kernel import btrfs, quotactl
from ..plan import Step

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..kernel.quotactl import Dquot, Place
    from .observation import TopLevel

_HINTS = {
    errno.ERANGE: "a limit is above what the format of the quota files can hold",
    errno.EPERM: "this needs root (CAP_SYS_ADMIN) in the first user namespace",
    errno.EROFS: "the file system is mounted read-only",
    errno.EDQUOT: "the subvolume is full; free some space first",
}


def spell(soft: int, hard: int) -> str:
    """A pair of limits."""
    return "soft %s hard %s" % (soft or "none", hard or "none")


class _Refused(Step):
    """A change whose refusal is told with what can be done about it."""

    def explain(self, error: OSError) -> BulkheadError:
        what = "%s could not be changed from %r to %r" % (self.target, self.before, self.after)
        return BulkheadError.from_os(
            what, error, target=self.target, value=self.after, hint=_HINTS.get(error.errno or 0, "")
        )


class SetLimits(_Refused):
    """Give one user, group or project its limits, soft and hard in one request.

    A grace that is running goes on: its end is sent along, as ext4 would begin anew
    (do_set_dqblk(), fs/quota/dquot.c).
    """

    def __init__(self, place: Place, kind: int, what: str, now: Dquot, then: Dquot) -> None:
        self.place = place
        self.kind = kind
        self.target = what
        self.now = now
        self.then = then
        self.blocks = (now.block_soft, now.block_hard) != (then.block_soft, then.block_hard)
        self.inodes = (now.inode_soft, now.inode_hard) != (then.inode_soft, then.inode_hard)
        self.before, self.after = self._spell(now), self._spell(then)

    def _spell(self, limits: Dquot) -> str:
        parts = ["blocks " + spell(limits.block_soft, limits.block_hard)] if self.blocks else []
        return ", ".join(
            parts
            + (["inodes " + spell(limits.inode_soft, limits.inode_hard)] if self.inodes else [])
        )

    def do(self) -> None:
        self._set(self.then, self._running())

    def undo(self) -> None:
        self._set(self.now, self.now)

    def _running(self) -> Dquot:
        """What the kernel has at this moment, with the ends of graces."""
        try:
            return quotactl.get(self.place, self.kind, self.now.id)
        except OSError as error:
            if error.errno != errno.ENOENT:
                raise
            return self.now

    def _set(self, limits: Dquot, times: Dquot) -> None:
        wanted = limits._replace(block_time=times.block_time, inode_time=times.inode_time)
        # With id 0 the times would be the grace times of everybody (quota_setxquota(),
        # fs/quota/quota.c).
        quotactl.set_limits(self.place, self.kind, wanted, self.blocks, self.inodes, wanted.id != 0)


class SetGrace(_Refused):
    """Say for how long soft limits of a type may be exceeded."""

    def __init__(
        self, place: Place, kind: int, what: str, now: tuple[int, int], then: tuple[int, int]
    ) -> None:
        self.place = place
        self.kind = kind
        self.target = what
        self.now, self.then = now, then
        self.before, self.after = ("blocks %d s, inodes %d s" % pair for pair in (now, then))

    def do(self) -> None:
        self._set(self.then)

    def undo(self) -> None:
        self._set(self.now)

    def _set(self, pair: tuple[int, int]) -> None:
        changed = [
            value if now != then else None for value, now, then in zip(pair, self.now, self.then)
        ]
        quotactl.set_grace(self.place, self.kind, *changed)


class Enforce(_Refused):
    """Have limits of a type enforced where usage is counted."""

    before, after = "limits not enforced", "limits enforced"

    def __init__(self, place: Place, kind: int, what: str) -> None:
        self.place = place
        self.kind = kind
        self.target = what

    def do(self) -> None:
        quotactl.enforce(self.place, self.kind, True)

    def undo(self) -> None:
        quotactl.enforce(self.place, self.kind, False)


class OnBtrfs(_Refused):
    """A change to the quotas of a btrfs file system; requests go through its top level, which is
    never full.
    """

    def __init__(self, top: TopLevel, what: str) -> None:
        self.top = top
        self.target = what


class Enable(OnBtrfs):
    """Count what subvolumes use; in full, wait until what is there is counted."""

    before = "quotas off"

    def __init__(self, top: TopLevel, what: str, simple: bool) -> None:
        super().__init__(top, what)
        self.simple = simple
        self.after = "simple quotas" if simple else "full accounting"

    def do(self) -> None:
        btrfs.enable(self.top.fd, self.simple)
        if not self.simple:
            btrfs.wait_for_rescan(self.top.fd)

    def undo(self) -> None:
        btrfs.disable(self.top.fd)


class Rescan(OnBtrfs):
    """Count anew what subvolumes use, and wait for it."""

    before, after = "inconsistent", "counted anew"

    def do(self) -> None:
        try:
            btrfs.rescan(self.top.fd)
        except OSError as error:
            if error.errno != errno.EINPROGRESS:
                raise
        btrfs.wait_for_rescan(self.top.fd)

    def undo(self) -> None:
        """Right numbers stay right."""


class SetLimit(OnBtrfs):
    """Limit how much a quota group may refer to."""

    def __init__(
        self, top: TopLevel, what: str, group: int, now: int | None, then: int | None
    ) -> None:
        super().__init__(top, what)
        self.group = group
        self.now, self.then = now, then
        self.before, self.after = (
            "no limit" if size is None else str(size) for size in (now, then)
        )

    def do(self) -> None:
        btrfs.limit(self.top.fd, self.group, self.then)

    def undo(self) -> None:
        btrfs.limit(self.top.fd, self.group, self.now)


class MakeGroup(OnBtrfs):
    """Make a quota group, or remove one, which had no more than a limit."""

    def __init__(
        self, top: TopLevel, what: str, group: int, remove: bool = False, limit: int | None = None
    ) -> None:
        super().__init__(top, what)
        self.group = group
        self.remove = remove
        self.limit = limit
        self.before, self.after = ("quota group", None) if remove else (None, "quota group")

    def do(self) -> None:
        if self.remove:
            btrfs.remove(self.top.fd, self.group)
        else:
            btrfs.create(self.top.fd, self.group)

    def undo(self) -> None:
        if not self.remove:
            btrfs.remove(self.top.fd, self.group)
            return
        btrfs.create(self.top.fd, self.group)
        if self.limit is not None:
            btrfs.limit(self.top.fd, self.group, self.limit)


class Assign(OnBtrfs):
    """Put a quota group into another, or take it out."""

    def __init__(self, top: TopLevel, what: str, member: int, group: int, on: bool) -> None:
        super().__init__(top, what)
        self.member, self.group, self.on = member, group, on
        text = "in " + btrfs.spell(group)
        self.before, self.after = (None, text) if on else (text, None)

    def do(self) -> None:
        btrfs.assign(self.top.fd, self.member, self.group, self.on)

    def undo(self) -> None:
        btrfs.assign(self.top.fd, self.member, self.group, not self.on)
