# Copyright: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Paths of the machine that are opened for a container: sources of volumes, root directories, logs.

Whoever can write to a directory can put a symbolic link there, and the machine's root would follow
it to wherever it leads. So such a path is resolved once, when options are read: component by
component, each opened by descriptor and held until the end. A link is followed only where root
alone could have made it (territory.py adds: and no container). What is kept is the real path, and
that one is opened through no link at all (open_real()), at every start.
"""

from __future__ import annotations

import errno
import os
import stat

from ..errors import BulkheadError, InvalidInput
from ..foreseen import Missing
from ..kernel import syscalls
from ..kernel.mounts import Mount, mount_id, mounts

_DIRECTORY = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_ANYTHING = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC
_NO_LINKS = syscalls.RESOLVE_NO_SYMLINKS | syscalls.RESOLVE_NO_MAGICLINKS
_AT_FDCWD = -100
# As many as the kernel follows in one path (MAXSYMLINKS, include/linux/namei.h).
_MOST_LINKS = 40


class Place:
    """Where something lies on its file system, by whatever mount it was reached."""

    def __init__(self, device: str, path: str, fstype: str) -> None:
        self.device = device
        self.path = path
        self.fstype = fstype

    def is_within(self, other: Place) -> bool:
        """Whether it is the other one or lies below it."""
        return self.device == other.device and (other.path == "/" or (self.path + "/").startswith(other.path + "/"))


class Link:
    """A symbolic link that was followed. place: the directory that holds it."""

    def __init__(self, path: str, target: str, place: Place) -> None:
        self.path = path
        self.target = target
        self.place = place

    def refused(self, what: str, why: str) -> InvalidInput:
        """The error of a link that somebody may have made who must not."""
        return InvalidInput(
            "%s: %s is a symbolic link to %s, and %s" % (what, self.path, self.target, why),
            target=self.path,
            hint="name the directory or file that is meant by its real path; remove the link if it is nobody's of yours",
        )


class Source:
    """A path as it was resolved. path: the real one; links: those that led there."""

    def __init__(self, path: str, links: list[Link]) -> None:
        self.path = path
        self.links = links


def _join(directory: str, name: str) -> str:
    return directory.rstrip("/") + "/" + name


def place_of(fd: int, path: str, mounted: list[Mount]) -> Place:
    """Where the thing that was opened under this real path lies on its file system."""
    number = mount_id(fd)
    for mount in mounted:
        if mount.id == number and (path + "/").startswith(mount.path.rstrip("/") + "/"):
            rest = path[len(mount.path.rstrip("/")) :].strip("/")
            return Place(mount.device, _join(mount.root, rest).rstrip("/") or "/", mount.fstype)
    raise BulkheadError(
        "on which file system %s lies could not be told" % path,
        target=path,
        hint="it was mounted or moved meanwhile: try again",
    )


def _is_roots(uid: int) -> bool:
    return uid in (0, os.geteuid())


def _owner_who_may(directory: os.stat_result, link: os.stat_result) -> int | None:
    """The user whose link this is if it is not root's: None for root's, -1 where anybody may have
    put it there."""
    others_write = directory.st_mode & 0o002 or (directory.st_mode & 0o020 and directory.st_gid)
    if _is_roots(directory.st_uid) and (not others_write or (directory.st_mode & stat.S_ISVTX and _is_roots(link.st_uid))):
        return None
    if directory.st_uid == link.st_uid and not _is_roots(link.st_uid) and not directory.st_mode & 0o002:
        return link.st_uid
    return -1


class _Walk:
    """The way from the root along a path. opened: a descriptor of each real directory on it, the
    one it is at last."""

    def __init__(self, what: str) -> None:
        self.what = what
        self.names: list[str] = []
        self.opened = [os.open("/", _DIRECTORY)]
        self.links: list[Link] = []
        self.owners: list[tuple[Link, int]] = []  # links of other users than root
        self._mounted: list[Mount] | None = None

    def close(self) -> None:
        for fd in self.opened:
            os.close(fd)

    @property
    def path(self) -> str:
        return "/" + "/".join(self.names)

    def mounted(self) -> list[Mount]:
        if self._mounted is None:
            self._mounted = mounts()
        return self._mounted

    def go(self, path: str) -> list[str]:
        """Follow the path as far as it is there; returns the components that are not."""
        parts = _parts(path)
        while parts:
            part = parts.pop(0)
            if part == "..":
                os.close(os.open(".", _DIRECTORY, dir_fd=self.opened[-1]))  # of a file there is no way back
                self._back(len(self.names) - 1)
                continue
            try:
                target = self._enter(part)
            except FileNotFoundError:
                return [part, *parts]
            if target.startswith("/"):
                self._back(0)
            parts = _parts(target) + parts
        return []

    def _back(self, count: int) -> None:
        """Go back to where this many names were left behind."""
        while len(self.names) > max(0, count):
            self.names.pop()
            os.close(self.opened.pop())

    def _enter(self, part: str) -> str:
        """Go one component further, or stay where it is a link; returns where that leads."""
        try:
            # So that what is mounted on demand is mounted.
            fd = os.open(part, _DIRECTORY, dir_fd=self.opened[-1])
        except NotADirectoryError:
            fd = os.open(part, _ANYTHING, dir_fd=self.opened[-1])
        status = os.fstat(fd)
        if not stat.S_ISLNK(status.st_mode):
            self.opened.append(fd)
            self.names.append(part)
            return ""
        try:
            target = os.readlink("", dir_fd=fd)
        finally:
            os.close(fd)
        self._note_link(part, target, status)
        return target

    def _note_link(self, part: str, target: str, status: os.stat_result) -> None:
        directory = self.opened[-1]
        link = Link(_join(self.path, part), target, place_of(directory, self.path, self.mounted()))
        if link.place.fstype == "proc":
            raise link.refused(self.what, "what lies below /proc means another thing for each process")
        holder = os.fstat(directory)
        owner = _owner_who_may(holder, status)
        if owner == -1:
            raise link.refused(
                self.what,
                "others than root may have put it there (its directory belongs to user %d and has mode %04o)" % (holder.st_uid, stat.S_IMODE(holder.st_mode)),
            )
        if owner is not None:
            self.owners.append((link, owner))
        self.links.append(link)
        if len(self.links) > _MOST_LINKS:
            raise InvalidInput(
                "%s: more than %d symbolic links lead on from one to the next" % (self.what, _MOST_LINKS),
                target=link.path,
            )

    def judge_owners(self) -> None:
        """A user's link may lead to what is that user's own, and nowhere else."""
        reached = os.fstat(self.opened[-1]).st_uid
        for link, owner in self.owners:
            if reached != owner:
                raise link.refused(
                    self.what,
                    "user %d, whose it is, could have it lead to what belongs to user %d" % (owner, reached),
                )


def _parts(path: str) -> list[str]:
    return [part for part in path.split("/") if part not in ("", ".")]


def resolve(path: str, what: str, may_miss: bool = False) -> Source:
    """The real path behind an absolute path; raises Missing where there is nothing, InvalidInput
    for a link that is not to be trusted.

    what: the option and what was asked, for the error. may_miss: what is not there yet is to be
    made, and stays in the path as it is.
    """
    walk = _Walk(what)
    try:
        left = walk.go(path)
        if left and (not may_miss or ".." in left):
            raise _missing(what, path, _join(walk.path, "/".join(left)))
        walk.judge_owners()
        return Source(_join(walk.path, "/".join(left)).rstrip("/") or "/", walk.links)
    except OSError as error:
        raise InvalidInput.from_os("%s: %s cannot be opened" % (what, path), error, target=walk.path) from None
    finally:
        walk.close()


def _missing(what: str, path: str, real: str) -> Missing:
    return Missing(
        "%s: %s is not there%s" % (what, path, "" if real == path else ": it leads to " + real),
        target=path,
    )


def open_real(path: str) -> int:
    """A descriptor (O_PATH) of a path that was resolved when it was asked for, opened through no
    link.

    Raises BulkheadError that tells what is there now instead.
    """
    try:
        try:
            # So that what is mounted on demand is mounted.
            return syscalls.openat2(_AT_FDCWD, path, os.O_PATH | os.O_DIRECTORY, 0, _NO_LINKS)
        except NotADirectoryError:
            return syscalls.openat2(_AT_FDCWD, path, os.O_PATH, 0, _NO_LINKS)
    except OSError as error:
        raise _changed(path, error) from None


def _changed(path: str, error: OSError) -> BulkheadError:
    """What became of a path since it was resolved."""
    if error.errno == errno.ENOENT:
        return BulkheadError(
            "%s is not there" % path,
            target=path,
            errno=errno.ENOENT,
            hint="make it, or mount what holds it",
        )
    at = ""
    for part in _parts(path) if error.errno == errno.ELOOP else []:
        at += "/" + part
        try:
            target = os.readlink(at)
        except OSError:
            continue
        return BulkheadError(
            "%s is a symbolic link to %s now, and was none when the container was made" % (at, target),
            target=path,
            errno=errno.ELOOP,
            hint="a container that can write there may have made it: remove it; if it is yours, run the task again, which resolves the path anew",
        )
    return BulkheadError.from_os("%s cannot be opened" % path, error, target=path)
