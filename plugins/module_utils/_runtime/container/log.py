# Copyright: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""A container's log file: what the container wrote, byte for byte, never larger than agreed."""

from __future__ import annotations

import os


class Log:
    """A file that is appended to and put aside as FILE.1, FILE.2, ... when it is full; the oldest one is removed.

    What cannot be written (a full disk) is lost: the container is never made to wait for its log.
    """

    def __init__(self, path: str, largest: int, files: int) -> None:
        """largest: bytes in one file; files: how many there are at most, the current one included."""
        self.path = path
        self.largest = largest
        self.files = files
        self.fd = -1
        self.size = 0

    def _open(self) -> None:
        # Root's own directory; a link there was not put by us.
        self.fd = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, 0o600)
        self.size = os.fstat(self.fd).st_size

    def write(self, data: bytes) -> None:
        try:
            if self.fd < 0:
                self._open()
            while data:
                room = self.largest - self.size
                if room <= 0:
                    self._rotate()
                    continue
                written = os.write(self.fd, data[:room])
                self.size += written
                data = data[written:]
        except OSError:
            pass

    def _rotate(self) -> None:
        self.close()
        if self.files <= 1:
            os.truncate(self.path, 0)
        for number in range(self.files - 1, 0, -1):
            older = self.path if number == 1 else "%s.%d" % (self.path, number - 1)
            try:
                os.rename(older, "%s.%d" % (self.path, number))
            except FileNotFoundError:
                pass
        self._open()

    def close(self) -> None:
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1


def size_of(path: str) -> int:
    """How large a log is now, in bytes; 0 where there is none."""
    try:
        return os.stat(path).st_size
    except OSError:
        return 0


def tail(path: str, most: int, since: int = 0) -> str:
    """The last bytes of a log, as text; empty where there is none. since: how large it was before what is asked for was written."""
    try:
        with open(path, "rb", buffering=0) as file:
            size = os.fstat(file.fileno()).st_size
            file.seek(max(since if since <= size else 0, size - most))
            return file.read(most).decode("utf-8", "replace")
    except OSError:
        return ""
