# Copyright: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Files of kernel file systems, reached only beneath a directory that was opened once.

A Tree holds one descriptor of its root. Every path given to it is relative, is resolved beneath that root by openat2(2)
and never through a symbolic link, so no name can lead out. Reading is one open, read and close; writing is one write(2),
unbuffered, because on kernel file systems one write is one transaction.
"""

from __future__ import annotations

import errno
import os

from . import syscalls

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

_BENEATH = syscalls.RESOLVE_BENEATH | syscalls.RESOLVE_NO_SYMLINKS | syscalls.RESOLVE_NO_MAGICLINKS
_READ_SIZE = 65536


class Tree:
    """A directory and what lies beneath it, for as long as the object lives.

    path: where it is, for messages only once it is open.
    """

    def __init__(self, path: str) -> None:
        self.path = path.rstrip("/") or "/"
        self._fd = -1
        self._parent = ("", -1)
        self._open = self._openat2

    @classmethod
    def of(cls, fd: int, path: str) -> Tree:
        """The tree below a directory that is open already, and that need not have a path; the descriptor is the tree's from now on."""
        tree = cls(path)
        tree._fd = fd
        return tree

    def __del__(self) -> None:
        self.close()

    def close(self) -> None:
        """Give the descriptors back; the next use opens them again."""
        self._leave_parent()
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    @property
    def fd(self) -> int:
        """The descriptor of the root directory."""
        if self._fd < 0:
            self._fd = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        return self._fd

    def full(self, path: str) -> str:
        """The absolute path of something beneath the root, for messages."""
        return self.path + "/" + path if path and path != "." else self.path

    def _openat2(self, path: str, flags: int) -> int:
        try:
            return syscalls.openat2(self._fd if self._fd >= 0 else self.fd, path or ".", flags, 0, _BENEATH)
        except OSError as error:
            # A sandbox that does not know openat2(2) refuses it with EPERM; no file of the tree answers so to an open.
            if error.errno not in (errno.ENOSYS, errno.EPERM):
                raise
        self._open = self._walk
        return self._walk(path, flags)

    def _walk(self, path: str, flags: int) -> int:
        """The same as openat2(2) one component at a time, for kernels before 5.6."""
        parts = [part for part in path.split("/") if part not in ("", ".")]
        if ".." in parts or path.startswith("/"):
            raise OSError(errno.EXDEV, os.strerror(errno.EXDEV), path)
        parent = os.dup(self.fd)
        try:
            for part in parts[:-1]:
                child = os.open(part, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent)
                os.close(parent)
                parent = child
            return os.open(parts[-1] if parts else ".", flags | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent)
        finally:
            os.close(parent)

    def open(self, path: str, flags: int = os.O_RDONLY) -> int:
        """A descriptor of something beneath the root; the caller closes it. OSError names the full path."""
        try:
            return self._open(path, flags)
        except OSError as error:
            error.filename = self.full(path)
            raise

    def read(self, path: str) -> str:
        """The whole text of a file."""
        fd = self.open(path)
        try:
            text = os.read(fd, _READ_SIZE)
            # Kernel files answer short reads only at their end, but large ones (a process list) come in pages.
            while text and (more := os.read(fd, _READ_SIZE)):
                text += more
        except OSError as error:
            error.filename = self.full(path)
            raise
        finally:
            os.close(fd)
        return text.decode("utf-8", "replace")

    def read_short(self, path: str) -> str | None:
        """The text of a small file in one read, without its last newline; None where there is no such file."""
        try:
            fd = self._open(path, os.O_RDONLY)
        except OSError as error:
            if error.errno in (errno.ENOENT, errno.ENODEV):
                return None
            error.filename = self.full(path)
            raise
        try:
            return os.read(fd, 4096).decode("utf-8", "replace").rstrip("\n")
        except OSError as error:
            # The file of a feature that is compiled in and switched off opens, and answers so to a read.
            if error.errno in (errno.EOPNOTSUPP, errno.ENODEV):
                return None
            error.filename = self.full(path)
            raise
        finally:
            os.close(fd)

    def write(self, path: str, text: str) -> None:
        """Write the text to an existing file by one write(2)."""
        data = text.encode()
        fd = self.open(path, os.O_WRONLY)
        try:
            written = os.write(fd, data)
        except OSError as error:
            error.filename = self.full(path)
            raise
        finally:
            os.close(fd)
        if written != len(data):
            raise OSError(errno.EIO, "only %d of %d bytes were taken" % (written, len(data)), self.full(path))

    def names(self, path: str = "") -> list[str]:
        """The names in a directory, sorted."""
        fd = self.open(path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            return sorted(os.listdir(fd))
        finally:
            os.close(fd)

    def directories(self, path: str = "") -> list[str]:
        """The names of the directories in a directory, sorted; none where it is not there, or is removed while it is read."""
        try:
            fd = self.open(path, os.O_PATH | os.O_DIRECTORY)
        except FileNotFoundError:
            return []
        try:
            # By this name scandir() has one descriptor; of a descriptor it makes a copy, at five more system calls.
            with os.scandir("/proc/self/fd/%d" % fd) as entries:
                return sorted(entry.name for entry in entries if entry.is_dir(follow_symlinks=False))
        except FileNotFoundError:
            return []
        finally:
            os.close(fd)

    def exists(self, path: str) -> bool:
        """Whether the path is there."""
        try:
            os.close(self._open(path, os.O_PATH))
        except OSError as error:
            if error.errno in (errno.ENOENT, errno.ENOTDIR):
                return False
            error.filename = self.full(path)
            raise
        return True

    def mark(self, path: str, name: str) -> None:
        """Set an extended attribute on a directory. One whose name begins with "trusted." is out of reach of other user namespaces."""
        fd = self.open(path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.setxattr(fd, name, b"1")
        finally:
            os.close(fd)

    def unmark(self, path: str, name: str) -> None:
        """Remove an extended attribute from a directory."""
        fd = self.open(path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.removexattr(fd, name)
        finally:
            os.close(fd)

    def marked(self, path: str, name: str) -> bool:
        """Whether a directory has the attribute."""
        try:
            fd = self._open(path, os.O_RDONLY | os.O_DIRECTORY)
        except OSError:
            return False
        try:
            return bool(os.getxattr(fd, name))
        except OSError:
            return False
        finally:
            os.close(fd)

    def _in_parent(self, path: str, call: Callable[[str, int], None]) -> None:
        """Call with the last name of a path and a descriptor of the directory it is in, kept for the next one there."""
        head, _slash, name = path.rpartition("/")
        try:
            if head != self._parent[0] or self._parent[1] < 0:
                self._leave_parent()
                self._parent = (head, self.open(head, os.O_PATH | os.O_DIRECTORY))
            call(name, self._parent[1])
        except OSError as error:
            self._leave_parent()  # it may have been removed and made again meanwhile
            error.filename = self.full(path)
            raise

    def _leave_parent(self) -> None:
        if self._parent[1] >= 0:
            os.close(self._parent[1])
        self._parent = ("", -1)

    def links(self, path: str) -> int:
        """The number of links of a directory: on kernfs, two more than it has directories in it."""
        return os.stat(path or ".", dir_fd=self.fd, follow_symlinks=False).st_nlink

    def mkdir(self, path: str, mode: int = 0o755) -> None:
        """Make one directory; its parent must be there."""
        self._in_parent(path, lambda name, parent: os.mkdir(name, mode, dir_fd=parent))

    def rmdir(self, path: str) -> None:
        """Remove one empty directory (on cgroupfs: without children and processes)."""
        if path == self._parent[0]:
            self._leave_parent()
        self._in_parent(path, lambda name, parent: os.rmdir(name, dir_fd=parent))


def real_path(path: str) -> str:
    """Return the path without links, or the path as given where somebody replaces links on it meanwhile.

    os.path.realpath() asks first whether a component is a link and then where it leads, and raises
    EINVAL when it is none any more.
    """
    try:
        return os.path.realpath(path)
    except OSError:
        return path


def read_text(path: str) -> str | None:
    """The text of a file of /proc or /sys; None where it is not there (any more)."""
    try:
        with open(path, "rb", buffering=0) as file:
            return file.read().decode("utf-8", "replace")
    except (FileNotFoundError, ProcessLookupError):
        return None
