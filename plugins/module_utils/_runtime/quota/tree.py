# Copyright: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""The project of every inode of a directory tree: looked at, and set.

A tree may belong to somebody who changes it meanwhile. So each directory is reached by a descriptor
of the one above it, no link is followed, no fifo, socket or device is opened, and where something
else is mounted the walk ends.
"""

from __future__ import annotations

import contextlib
import errno
import os
import resource

from ..errors import BulkheadError
from ..kernel import fileattr, mounts, syscalls
from ..plan import Step

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    # (project, whether what is made in it inherits that)
    Tag = tuple[int, bool]

# What has gone meanwhile, or cannot be in a project.
_GONE = (errno.ENOENT, errno.ENOTDIR, errno.ESTALE)
_NOT_TAGGED = (errno.ELOOP, errno.ENXIO, errno.EOPNOTSUPP, errno.ENOTTY)
_TOLD_EVERY = 1000


class Walk:
    """What a walk over a tree found.

    inodes: all; wrong: {project: number of inodes} of those that are not in the project that was
    looked for, or that hand nothing on; out_of_reach: how many cannot be in a project on this
    kernel. seen: every project that an inode has.
    """

    def __init__(self) -> None:
        self.inodes = 0
        self.out_of_reach = 0
        self.wrong: dict[int, int] = {}
        self.seen: set[int] = set()

    @property
    def missing(self) -> int:
        return sum(self.wrong.values())


def observe(directory: str, project: int, inherited: bool = True, but: Iterable[str] = ()) -> Walk:
    """Look at every inode of a tree; project: the one that all should be in.

    but: directories below it that are other projects' own, into which the walk does not go.
    """
    found = Walk()

    def look(parent: int, name: bytes, is_directory: bool) -> None:
        now = fileattr.get_at(parent, name)
        found.seen.add(now[0])
        if now != (project, inherited and is_directory):
            found.wrong[now[0]] = found.wrong.get(now[0], 0) + 1

    _walk(directory, look, found, but)
    return found


def tag(
    directory: str, project: int, inherited: bool, only: int | None = None, but: Iterable[str] = ()
) -> tuple[Walk, list[tuple[str, Tag]]]:
    """Put every inode of a tree into a project; returns what was found, and how each that changed
    was before.

    only: change no others than those of this project. Directories come before what is in them, so
    that what is made meanwhile inherits. Where it fails in the middle, all is put back.
    """
    found = Walk()
    changed: list[tuple[str, Tag]] = []
    path = [b""]

    def change(parent: int, name: bytes, is_directory: bool) -> None:
        wanted = (project, inherited and is_directory)
        now = fileattr.change_at(parent, name, wanted, only)
        if now == wanted or only not in (None, now[0]):
            return
        changed.append((os.fsdecode(os.path.join(path[0], name)), now))
        if len(changed) % _TOLD_EVERY == 0:
            syscalls.set_name("quota %d" % len(changed))  # for whoever asks ps(1) how far it is

    try:
        _walk(directory, change, found, but, path)
    except BaseException:
        put_back(directory, changed)
        raise
    return found, changed


def put_back(directory: str, changed: list[tuple[str, Tag]]) -> None:
    """Give inodes the project that they had; what has gone meanwhile has gone."""
    held: dict[str, int] = {}
    root = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for name, before in reversed(changed):
            above, _slash, last = name.rpartition("/")
            try:
                if above not in held:
                    for fd in held.values():
                        os.close(fd)
                    held.clear()
                    flags = os.O_RDONLY | os.O_DIRECTORY
                    beneath = syscalls.RESOLVE_BENEATH | syscalls.RESOLVE_NO_SYMLINKS
                    held[above] = syscalls.openat2(root, above or ".", flags, 0, beneath)
                fileattr.set_at(held[above], os.fsencode(last or "."), *before)
            except OSError as error:
                if error.errno not in _GONE:
                    raise
    finally:
        for fd in (root, *held.values()):
            os.close(fd)


def _walk(
    directory: str,
    visit: Callable[[int, bytes, bool], None],
    found: Walk,
    but: Iterable[str],
    where: list[bytes] | None = None,
) -> None:
    """Call with every inode of a tree, by a descriptor of the directory it is in and its name
    there.

    where: is told the path of that directory, below the tree's root.
    """
    real = os.path.realpath(directory)
    elsewhere = _below(real, (mount.path for mount in mounts.mounts())) | _below(real, but)
    with _many_files(), contextlib.closing(_Walker(visit, found, elsewhere, where)) as walker:
        walker.go(directory)


@contextlib.contextmanager
def _many_files() -> Iterator[None]:
    """As many open files as this process may have, for a tree with as many levels."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


class _Walker:
    """One walk; it holds a descriptor of each directory from the root to where it is."""

    def __init__(
        self,
        visit: Callable[[int, bytes, bool], None],
        found: Walk,
        elsewhere: set[bytes],
        where: list[bytes] | None,
    ) -> None:
        self.visit = visit
        self.found = found
        self.elsewhere = elsewhere
        self.where = where
        self.reaches_all = fileattr.reaches_all()
        # (descriptor, path, the names in it that are directories to go to)
        self.stack: list[tuple[int, bytes, Iterator[bytes]]] = []

    def close(self) -> None:
        for fd, _path, _inner in self.stack:
            os.close(fd)
        self.stack.clear()

    def go(self, directory: str) -> None:
        """The directory itself, and all that is in it."""
        top = self._open(directory, None)
        self.stack.append((top, b"", iter(())))
        self.found.inodes += 1
        self.visit(top, b".", True)
        self.stack[-1] = (top, b"", iter(self._visit_all(top, b"")))
        while self.stack:
            fd, path, inner = self.stack[-1]
            name = next(inner, None)
            if name is None:
                os.close(self.stack.pop()[0])
                continue
            with contextlib.suppress(FileNotFoundError, NotADirectoryError):  # it was replaced
                below, deeper = self._open(name, fd), os.path.join(path, name)
                self.stack.append((below, deeper, iter(())))
                self.stack[-1] = (below, deeper, iter(self._visit_all(below, deeper)))

    def _open(self, name: str | bytes, above: int | None) -> int:
        flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
        return os.open(name, flags, dir_fd=above)

    def _visit_all(self, fd: int, path: bytes) -> list[bytes]:
        """What is in one directory; returns the names of the directories there."""
        if self.where is not None:
            self.where[0] = path
        inner = []
        with os.scandir(fd) as entries:
            for entry in entries:
                name = os.fsencode(entry.name)
                if os.path.join(path, name) in self.elsewhere:
                    continue
                is_directory = entry.is_dir(follow_symlinks=False)
                self.found.inodes += 1
                if is_directory or self.reaches_all or entry.is_file(follow_symlinks=False):
                    self._visit_one(fd, name, is_directory)
                else:
                    self.found.out_of_reach += 1
                if is_directory:
                    inner.append(name)
        return inner

    def _visit_one(self, fd: int, name: bytes, is_directory: bool) -> None:
        try:
            self.visit(fd, name, is_directory)
        except OSError as error:
            if error.errno in _GONE:
                return
            if is_directory or error.errno not in _NOT_TAGGED:
                raise
            self.found.out_of_reach += 1


def _below(directory: str, paths: Iterable[str]) -> set[bytes]:
    """The paths that are below a directory, seen from there."""
    prefix = directory.rstrip("/") + "/"
    return {os.fsencode(path[len(prefix) :]) for path in paths if path.startswith(prefix)}


def project_of(directory: str) -> tuple[int, bool]:
    """The project of a directory, and whether what is made in it inherits that."""
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        return fileattr.get(fd)
    finally:
        os.close(fd)


class TagTree(Step):
    """Put every inode of a directory tree into a project, or (project 0) out of the one that it is
    in.

    before: what it is now, in words.
    """

    def __init__(
        self, directory: str, before: str | None, project: int, only: int | None, but: list[str]
    ) -> None:
        """only: change no others than those of this project; but: directories that are other
        projects' own.
        """
        self.directory = directory
        self.but = but
        self.target = directory + "/"
        self.project = project
        self.only = only
        self.before = before
        self.after = "project %d" % project if project else "in no project"
        self._changed: list[tuple[str, Tag]] = []

    def do(self) -> None:
        _found, self._changed = tag(
            self.directory, self.project, bool(self.project), self.only, self.but
        )

    def undo(self) -> None:
        put_back(self.directory, self._changed)

    def explain(self, error: OSError) -> BulkheadError:
        hint = ""
        if error.errno == errno.EOPNOTSUPP:
            hint = "the file system has no projects"
        elif error.errno == errno.EMFILE:
            hint = "the tree has more levels than this process may have open files: raise its limit (ulimit -n)"
        what = "the tree %s could not be put into project %d" % (self.directory, self.project)
        return BulkheadError.from_os(what, error, target=self.target, value=self.after, hint=hint)
