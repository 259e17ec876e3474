# Copyright: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""A container's log file: what the container wrote, byte for byte, never larger than agreed.

A log may lie where the container itself can write. So its directory is opened once, through no
link, and held; everything in it is opened, put aside and removed by name in that directory,
following no link. Only a regular file is ever put aside. A device or a fifo is written to as it is,
if it was there when the container was started and no container can have made it.
"""

from __future__ import annotations

import errno
import os
import stat

from ..errors import BulkheadError, InvalidInput
from ..kernel import syscalls
from .sources import open_real

# A terminal must not become the supervisor's own, and nothing that is opened may keep it waiting.
_FLAGS = os.O_APPEND | os.O_NONBLOCK | os.O_NOCTTY | os.O_NOFOLLOW | os.O_CLOEXEC
_BENEATH = syscalls.RESOLVE_BENEATH | syscalls.RESOLVE_NO_SYMLINKS | syscalls.RESOLVE_NO_MAGICLINKS
_KINDS = {
    stat.S_IFLNK: "a symbolic link",
    stat.S_IFDIR: "a directory",
    stat.S_IFSOCK: "a socket",
    stat.S_IFBLK: "a block device",
    stat.S_IFCHR: "a character device",
    stat.S_IFIFO: "a fifo",
}
_SPECIAL = (stat.S_IFCHR, stat.S_IFIFO)
# As many files as one log may have (config.py).
MOST_FILES = 100


def _kind_of(status: os.stat_result) -> list[int]:
    """[type, device number] of what is no regular file; empty for a regular one."""
    return [] if stat.S_ISREG(status.st_mode) else [stat.S_IFMT(status.st_mode), status.st_rdev]


def kind_of(path: str) -> list[int]:
    """The same of a log's path; empty where there is nothing yet. Raises InvalidInput for what can
    be no log."""
    try:
        kind = _kind_of(os.lstat(path))
    except OSError:
        return []
    if kind and kind[0] not in _SPECIAL:
        raise _refused(path, kind)
    return kind


def _refused(path: str, kind: list[int]) -> InvalidInput:
    hint = "remove it, if it is nobody's of yours" if kind[0] in (*_SPECIAL, stat.S_IFLNK) else "name a file in log.path"
    return InvalidInput(
        "the log %s is not a file but %s" % (path, _KINDS.get(kind[0], "something else")),
        target=path,
        hint=hint,
    )


def _make_directories(path: str) -> None:
    """Make what is missing of a directory, for root alone, following no link."""
    at = open_real("/")
    try:
        for part in path.strip("/").split("/"):
            try:
                os.mkdir(part, 0o700, dir_fd=at)
            except FileExistsError:
                pass
            inner = syscalls.openat2(at, part, os.O_PATH | os.O_DIRECTORY, 0, _BENEATH)
            os.close(at)
            at = inner
    finally:
        os.close(at)


def open_directory(path: str, make: bool = False) -> int:
    """A descriptor (O_PATH) of the directory of a log, opened through no link; made where it is
    missing, if that is said."""
    try:
        fd = open_real(path)
    except BulkheadError as error:
        if error.errno != errno.ENOENT or not make:
            raise
        try:
            _make_directories(path)
        except OSError as refused:
            raise BulkheadError.from_os("the log's directory %s cannot be made" % path, refused, target=path) from None
        fd = open_real(path)
    if not stat.S_ISDIR(os.fstat(fd).st_mode):
        os.close(fd)
        raise BulkheadError(
            "the log's directory %s is not a directory" % path,
            target=path,
            hint="name another file in log.path",
        )
    return fd


class Log:
    """A file that is appended to and put aside as FILE.1, FILE.2, ... when it is full; the oldest
    one is removed.

    What cannot be written (a full disk, a fifo that nobody reads) is lost: the container is never
    made to wait for its log. written: how many bytes went to the log since this object was made.
    """

    def __init__(self, path: str, largest: int, files: int, special: list[int] | None = None) -> None:
        """largest: bytes in one file; files: how many there are at most, the current one included.

        special: what the log is where it is to be no regular file, as prepare() returned it.
        """
        self.path = path
        self.largest = largest
        self.files = files
        self.special = special or []
        self.fd = -1
        self.size = 0
        self.written = 0
        self._directory = -1
        self._regular = True

    def __del__(self) -> None:
        self.close()
        if self._directory >= 0:
            os.close(self._directory)

    @property
    def _name(self) -> str:
        return os.path.basename(self.path)

    def open(self) -> None:
        """Open what is there, before anything is started. Raises BulkheadError where the log cannot
        be written.

        A file that is missing is made when there is something to write.
        """
        if self._directory < 0:
            self._directory = open_directory(os.path.dirname(self.path) or "/")
        try:
            if self.fd < 0 and not self._take(self._find()) and not os.access(".", os.W_OK | os.X_OK, dir_fd=self._directory):
                raise OSError(errno.EACCES, os.strerror(errno.EACCES))
        except OSError as error:
            hint = "see that its file system is not read-only and that nothing forbids root to write there"
            raise BulkheadError.from_os("the log %s cannot be written" % self.path, error, target=self.path, hint=hint) from None

    def _take(self, fd: int) -> bool:
        """Write to this descriptor from now on, if it is one."""
        self.fd = fd
        if fd >= 0:
            status = os.fstat(fd)
            self._regular = stat.S_ISREG(status.st_mode)
            self.size = status.st_size
        return fd >= 0

    def _find(self) -> int:
        """A descriptor to write to what is there; -1 where nothing is."""
        try:
            seen = os.open(self._name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=self._directory)
        except FileNotFoundError:
            return -1
        try:
            status = os.fstat(seen)
            kind = _kind_of(status)
            if kind and kind != self.special:
                raise _refused(self.path, kind)
            if not kind and status.st_nlink > 1:
                self._put_aside()  # it is somebody else's file, too, by another name
                return -1
            # A fifo is opened for reading too: it needs no reader then, and nobody's going away
            # makes it fail.
            mode = os.O_RDWR if stat.S_ISFIFO(status.st_mode) else os.O_WRONLY
            return os.open("/proc/self/fd/%d" % seen, mode | _FLAGS & ~os.O_NOFOLLOW)
        finally:
            os.close(seen)

    def _create(self) -> int:
        return os.open(self._name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _FLAGS, 0o600, dir_fd=self._directory)

    def write(self, data: bytes) -> None:
        """Append to the log."""
        try:
            while data:
                self._have()
                room = self.largest - self.size if self._regular else len(data)
                if room <= 0:
                    self._rotate()
                    continue
                count = os.write(self.fd, data[:room])
                self.size += count
                self.written += count
                data = data[count:]
        except (OSError, BulkheadError):
            pass

    def _have(self) -> None:
        """Have a file to write to."""
        if self.fd < 0:
            self.open()
            if self.fd < 0:
                self._take(self._create())

    def _put_aside(self) -> None:
        """Every file of the log gets the next number, the last one goes; so do those beyond it, of
        a time when there were to be more."""
        at = self._directory
        numbered = [self._name] + ["%s.%d" % (self._name, number) for number in range(1, self.files)]
        for older, newer in zip(numbered[-2::-1], numbered[:0:-1]):
            try:
                os.rename(older, newer, src_dir_fd=at, dst_dir_fd=at)
            except FileNotFoundError:
                pass
        try:
            os.unlink(self._name, dir_fd=at)  # still there if there is only one, or if both names were the same file
        except FileNotFoundError:
            pass
        try:
            for number in range(self.files, MOST_FILES):
                os.unlink("%s.%d" % (self._name, number), dir_fd=at)
        except OSError:
            pass

    def _rotate(self) -> None:
        """Begin a new file, or empty this one where that cannot be."""
        if self.files > 1:
            try:
                self._put_aside()
                self.close()
                return
            except OSError:
                pass
        os.ftruncate(self.fd, 0)
        self.size = 0

    def close(self) -> None:
        """Close the file, but keep its directory."""
        if self.fd >= 0:
            if self._regular:
                left = os.fstat(self.fd).st_size
                if left < self.size:
                    self.written = min(self.written, left)  # somebody else has cut it
            os.close(self.fd)
            self.fd = -1


def prepare(path: str, largest: int, files: int, special: list[int]) -> None:
    """Make a log's directory and file where they are missing, and see that it can be written;
    before anything is started."""
    os.close(open_directory(os.path.dirname(path), make=True))
    log = Log(path, largest, files, special)
    log.open()
    log.close()


def _open_regular(directory: int, name: str) -> int:
    """A descriptor to read one file of a log; -1 where there is none, or another thing: a device
    may act on being opened."""
    try:
        seen = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=directory)
    except OSError:
        return -1
    try:
        return os.open("/proc/self/fd/%d" % seen, os.O_RDONLY | os.O_CLOEXEC) if stat.S_ISREG(os.fstat(seen).st_mode) else -1
    except OSError:
        return -1
    finally:
        os.close(seen)


def _last(fd: int, most: int) -> bytes:
    """The last bytes of a file."""
    left = os.fstat(fd).st_size
    found = b""
    at = max(0, left - most)
    while data := os.pread(fd, most - len(found), at + len(found)):
        found += data
    return found


def tail(path: str, most: int) -> str:
    """The last bytes of a log, across its files, as text; empty where there is none."""
    try:
        directory = open_real(os.path.dirname(path) or "/")
    except BulkheadError:
        return ""
    name, text, seen = os.path.basename(path), b"", set()
    try:
        for number in range(MOST_FILES):
            if len(text) >= most:
                break
            fd = _open_regular(directory, "%s.%d" % (name, number) if number else name)
            if fd < 0:
                continue
            try:
                status = os.fstat(fd)
                # One that was put aside since it was read is met a second time.
                if (status.st_dev, status.st_ino) not in seen:
                    seen.add((status.st_dev, status.st_ino))
                    text = _last(fd, most - len(text)) + text
            finally:
                os.close(fd)
    finally:
        os.close(directory)
    return text.decode("utf-8", "replace")


def remove(path: str) -> None:
    """Remove the files of a log, and nothing else that has such a name."""
    try:
        directory = open_real(os.path.dirname(path))
    except BulkheadError:
        return
    name = os.path.basename(path)
    try:
        for each in os.listdir("/proc/self/fd/%d" % directory):
            number = each[len(name) + 1 :]
            of_the_log = each == name or (each.startswith(name + ".") and number.isdigit())
            if of_the_log and stat.S_ISREG(os.stat(each, dir_fd=directory, follow_symlinks=False).st_mode):
                os.unlink(each, dir_fd=directory)
    except FileNotFoundError:
        pass
    finally:
        os.close(directory)
