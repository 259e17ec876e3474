# Copyright: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Limits of directories that another room makes and removes: the private files of containers.

On ext4 and XFS such a directory is a project. The upper and the work directory of an overlay must
be in one project, or the kernel cannot rename between them (EXDEV). So the directory that holds
both is put into the project before they are made, and they inherit it. On btrfs it is a subvolume.
"""

from __future__ import annotations

import os

from ..errors import BulkheadError, InvalidInput
from ..kernel import btrfs, mounts
from ..kernel.traces import is_subvolume
from . import projects, steps, wanted
from .observation import Observation
from .planning import QuotaPlan, plan_quota
from .subvolume import Accounting, not_enabled
from .volumes import DropGroup, LimitLater

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ..kernel.mounts import Mount
    from ..plan import Step
    from .wanted import Quota

OPTIONS = wanted.LIMITS


def numbers(limits: dict[str, Any], called: str) -> dict[str, int]:
    """{option: bytes or inodes}, of those that limit something. Raises InvalidInput."""
    found = {
        option: wanted.limit_of(limits[option], option, called, wanted.PROJECT)
        for option in OPTIONS
        if limits.get(option) is not None
    }
    for soft, hard in (wanted.SIZES, wanted.COUNTS):
        wanted.check_pair(called, soft, found.get(soft, 0), hard, found.get(hard, 0))
    return {option: number for option, number in found.items() if number}


def on_btrfs(directory: str) -> bool:
    """Whether a directory that is there, or is to be made, lies on btrfs."""
    return _mount_of(directory)[1].fstype == "btrfs"


class Private:
    """The limits of such directories in one plan.

    warnings: what there is to know of them. told: {directory: what is returned of it}.
    """

    def __init__(self) -> None:
        self._plan = QuotaPlan(Observation())
        self.told: dict[str, dict[str, Any]] = {}

    @property
    def warnings(self) -> list[str]:
        return self._plan.warnings

    def close(self) -> None:
        """Let go of the file systems, so that they can be unmounted."""
        self._plan.seen.close()

    def limit(
        self, directory: str, limits: dict[str, int], made_later: bool, whole: bool = True
    ) -> list[Step]:
        """The steps after which a directory has these limits, and no others.

        made_later: it is made by steps of the caller, which are done before these. whole: look at
        all that is in it, and not only at the directory, which everything in it inherits from.
        """
        directory = os.path.realpath(directory)
        at, mount = _mount_of(directory)
        asked = {option: limits.get(option) or "max" for option in OPTIONS}
        if mount.fstype == "btrfs":
            return self._limit_subvolume(directory, at, limits, made_later)
        return self._plan_one(
            {**asked, **_project(directory, mount)}, made_later=made_later, top_only=not whole
        )

    def _limit_subvolume(
        self, directory: str, at: str, limits: dict[str, int], made_later: bool
    ) -> list[Step]:
        asked = {"path": directory, "type": wanted.SUBVOLUME, **limits}
        if not made_later and is_subvolume(directory):
            # Without limits nothing is asked of the file system, also where its quotas are off.
            asked["state"] = "present" if limits else "absent"
            return self._plan_one(asked, sealed=True)
        if not made_later and limits:
            raise InvalidInput(
                "%s is an ordinary directory of btrfs, which has limits of subvolumes only"
                % directory,
                target=directory,
                hint="its files are made anew, in a subvolume, when it is removed first",
            )
        if not limits:
            return []
        self._require_accounting(directory, at)
        self.told[directory] = {"path": directory, "id": None, "effective": limits, "rounded": []}
        return [LimitLater(wanted.parse(asked))]

    def _require_accounting(self, directory: str, at: str) -> None:
        fd = os.open(at, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            accounting = Accounting(btrfs.uuid_of(fd))
        finally:
            os.close(fd)
        if not accounting.enabled:
            raise not_enabled(at)
        if accounting.inconsistent and accounting.way == wanted.FULL:
            self._plan.warn_inconsistent(directory, at)

    def _plan_one(self, options: dict[str, Any], **how: bool) -> list[Step]:
        quota: Quota = wanted.parse(options)
        for name, value in how.items():
            setattr(quota, name, value)
        begin = len(self._plan.steps)
        plan_quota(self._plan, quota)
        self.told[quota.directory or quota.path] = self._plan.found[quota.called]
        return self._plan.steps[begin:]

    def move(self, directory: str, to: str) -> list[Step]:
        """The steps after which the project of a directory is that of the place to which another
        step moves it. Where the directory was, another one may get a project in the same plan.
        """
        seen, directory, to = self._plan.seen.projects, *map(os.path.realpath, (directory, to))
        found: list[Step] = []
        for identity, one in list(seen.directories):
            if os.path.normpath(one) == directory:
                lines = [(one, False), (to, True)]
                found += [_line(identity, path, add) for path, add in lines]
                seen.directories.remove((identity, one))
                seen.directories.append((identity, to))
        return found

    def release(self, directory: str, now_at: str = "") -> tuple[list[Step], list[Step]]:
        """(what is to be done before a directory is removed, what after that) so that neither
        limits nor a project nor a quota group are left of it.

        now_at: where it lies while the plan is made, if steps of the plan move it.
        """
        directory, there = os.path.realpath(directory), os.path.realpath(now_at or directory)
        first: list[Step] = []
        identity = self._plan.seen.projects.id_of_directory(directory)
        if identity is not None:
            first = self._release_project(directory, identity)
        if os.path.isdir(there) and on_btrfs(there) and is_subvolume(there):
            return self._release_subvolume(there)
        return first, []

    def _release_project(self, directory: str, identity: int) -> list[Step]:
        """The walk that takes files out of the project is left out: they are removed."""
        found: list[Step] = []
        seen = self._plan.seen
        fs = seen.filesystem(_mount_of(directory)[1].path)
        if fs.state(wanted.PROJECT)[0]:
            now = seen.dquot(fs, wanted.PROJECT, identity)
            then = now._replace(**dict.fromkeys(OPTIONS, 0))
            if now != then:
                called = wanted.called(fs.path, wanted.PROJECT, directory, "")
                kind = wanted.KINDS[wanted.PROJECT]
                found.append(steps.SetLimits(fs.place, kind, called, now, then))
        found.append(_line(identity, directory, False))
        name, listed = seen.projects.name_of(identity), seen.projects.directories
        if name and len(seen.projects.directories_of(identity)) == 1:
            text = "%s:%d" % (name, identity)
            found.append(projects.Line(projects.PROJID, text, False, identity))
        # Another directory may come to this place in the same plan.
        listed[:] = [one for one in listed if os.path.normpath(one[1]) != directory]
        return found

    def _release_subvolume(self, directory: str) -> tuple[list[Step], list[Step]]:
        options = {"path": directory, "type": wanted.SUBVOLUME, "state": "absent"}
        first = self._plan_one(options)
        volume = self._plan.seen.subvolume(directory)
        try:
            if not volume.enabled:
                return first, []
            top = self._plan.seen.top_level(volume)
            return first, [DropGroup(top, directory, volume.own)]
        finally:
            volume.close()

    def describe(self, directory: str) -> dict[str, Any]:
        """What is used, and how much may be."""
        directory = os.path.realpath(directory)
        mount = _mount_of(directory)[1]
        if mount.fstype == "btrfs":
            with_volume = self._plan.seen.subvolume(directory)
            try:
                group = with_volume.limiting(with_volume.accounting)
                used, hard = with_volume.used(group), with_volume.limit(group)
                return {"path": directory, "block_used": used, "block_hard": hard or 0}
            finally:
                with_volume.close()
        identity = self._plan.seen.projects.id_of_directory(directory)
        if identity is None:
            return {}
        dquot = self._plan.seen.dquot(
            self._plan.seen.filesystem(mount.path), wanted.PROJECT, identity
        )
        found: dict[str, Any] = {"path": mount.path, "id": identity}
        found.update({option: getattr(dquot, option) for option in OPTIONS})
        return {**found, "block_used": dquot.blocks, "inode_used": dquot.inodes}


def _line(identity: int, directory: str, add: bool) -> projects.Line:
    return projects.Line(projects.PROJECTS, "%d:%s" % (identity, directory), add, identity)


def _project(directory: str, mount: Mount) -> dict[str, Any]:
    return {"path": mount.path, "type": wanted.PROJECT, "directory": directory}


def _mount_of(directory: str) -> tuple[str, Mount]:
    """Where a directory lies, or will lie: the nearest directory that is there, and its mount."""
    at = os.path.realpath(directory)
    while not os.path.isdir(at):
        at = os.path.dirname(at)
    fd = os.open(at, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        here = mounts.mount_id(fd)
    finally:
        os.close(fd)
    for mount in mounts.mounts():
        if mount.id == here:
            return at, mount
    raise BulkheadError("it cannot be told what %s is mounted from" % at, target=at)
