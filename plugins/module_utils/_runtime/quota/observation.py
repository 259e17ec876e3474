# Copyright: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""What the file systems hold now: each thing is asked for once for each plan."""

from __future__ import annotations

import errno
import os

from ..errors import InvalidInput
from ..foreseen import Missing
from ..kernel import btrfs, mounts, quotactl
from . import tree
from .filesystem import FileSystem, mount_at, nothing_there
from .projects import Projects
from .subvolume import Accounting, Subvolume, open_subvolume
from .wanted import KINDS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..kernel.mounts import Mount
    from ..kernel.quotactl import Dquot
    from .tree import Walk


class TopLevel:
    """A descriptor of the top level of one btrfs file system, opened for the first request."""

    def __init__(self, device: str) -> None:
        self.device = device
        self._fd = -1

    @property
    def fd(self) -> int:
        if self._fd < 0:
            self._fd = btrfs.open_top_level(self.device)
        return self._fd

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


class Observation:
    """What there is now."""

    def __init__(self) -> None:
        self._filesystems: dict[str, FileSystem] = {}
        self._mounts: dict[int, Mount] | None = None
        self._accounting: dict[str, Accounting] = {}
        self._tops: dict[str, TopLevel] = {}
        self._graces: dict[tuple[str, str], tuple[int, int]] = {}
        self._projects: Projects | None = None

    def close(self) -> None:
        """Let go of every file system, so that it can be unmounted."""
        for fs in self._filesystems.values():
            fs.close()
        for top in self._tops.values():
            top.close()
        self._filesystems.clear()
        self._tops.clear()

    def filesystem(self, path: str) -> FileSystem:
        """The file system that is mounted at a path. Raises InvalidInput where none is."""
        if path not in self._filesystems:
            mount = mount_at(path)
            if mount is None:
                raise nothing_there(path)
            self._filesystems[path] = FileSystem(path, mount)
        return self._filesystems[path]

    def subvolume(self, path: str) -> Subvolume:
        """The subvolume at a path; whoever asks closes it, as there may be more than open files."""
        if self._mounts is None:
            self._mounts = {mount.id: mount for mount in mounts.mounts()}
        return open_subvolume(path, self._mounts, self._accounting)

    def top_level(self, volume: Subvolume) -> TopLevel:
        """The top level of a subvolume's file system."""
        return self._tops.setdefault(volume.uuid, TopLevel(volume.device))

    def dquot(self, fs: FileSystem, kind: str, identity: int) -> Dquot:
        """What is kept of one id; nothing but zeros where nothing is."""
        try:
            return quotactl.get(fs.place, KINDS[kind], identity)
        except OSError as error:
            if error.errno != errno.ENOENT:
                raise
        return quotactl.Dquot(identity, 0, 0, 0, 0, 0, 0, 0, 0)

    def is_unused(self, fs: FileSystem, kind: str, identity: int) -> bool:
        """Whether an id has neither usage nor limits."""
        return not any(self.dquot(fs, kind, identity)[1:])

    def grace(self, fs: FileSystem, kind: str) -> tuple[int, int]:
        """The grace times of a type, in seconds."""
        key = (fs.mount.device, kind)
        if key not in self._graces:
            self._graces[key] = quotactl.grace(fs.place, KINDS[kind])
        return self._graces[key]

    @property
    def projects(self) -> Projects:
        """The names and directories of projects."""
        if self._projects is None:
            self._projects = Projects.read()
        return self._projects

    def project_of(self, directory: str) -> tuple[int, bool]:
        """The project of a directory, and whether what is made in it inherits that; none where the
        file system knows of no projects.
        """
        try:
            return tree.project_of(directory)
        except OSError as error:
            if error.errno not in (errno.ENOTTY, errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS):
                raise
            return 0, False

    def tree(self, directory: str, project: int, but: list[str]) -> Walk:
        """How much of a tree is not in a project; project 0: how much is in any."""
        return tree.observe(directory, project, bool(project), but)


def check_directory(fs: FileSystem, directory: str, what: str) -> None:
    """Refuse a directory that is not there, is reached through a link, or lies on another file
    system.
    """
    try:
        fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError as error:
        problem = "%s: directory: there is no directory %s" % (what, directory)
        raise Missing(problem, target=directory, errno=error.errno or 0) from None
    try:
        there = os.fstat(fd).st_dev
    finally:
        os.close(fd)
    real = os.path.realpath(directory)
    if real != directory:
        hint = "give %s, which is where it leads to" % real
        raise InvalidInput(
            "%s: directory: %s goes through a symbolic link" % (what, directory),
            target=directory,
            hint=hint,
        )
    if there != os.fstat(fs.fd).st_dev:
        hint = "give as path where the file system of the directory is mounted"
        raise Missing(
            "%s: directory: %s is not on the file system at %s" % (what, directory, fs.path),
            target=directory,
            hint=hint,
        )
