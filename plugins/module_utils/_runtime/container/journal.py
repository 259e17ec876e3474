# Copyright: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""A container's output on its way to the journal: handed on up to a rate, and what is beyond it is counted and told.

The journal's own limit would do, but it reads every line before it drops one, on the machine's CPU time. This runs in the
supervisor, which loads nothing any more and pays with the container's limits.
"""

from __future__ import annotations

import os
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

# What a container may write to the journal: so many messages and bytes in so many seconds.
RATE_INTERVAL, RATE_LINES, RATE_BYTES = 30, 10000, 16 << 20
# The journal cuts longer lines in pieces (LineMax= in journald.conf(5)).
_LINE_MAX = 48 << 10
_NOTICE = b"bulkhead: more than %d lines or %d bytes of output in %d seconds: the rest of this time is not logged\n" % (RATE_LINES, RATE_BYTES, RATE_INTERVAL)
_COUNT = b"bulkhead: %d bytes of output in %d lines were not logged\n"


class Journal:
    """Where the container's output goes when no file was asked for: this process's own, which systemd has tied to the journal.

    lost: how many bytes were not handed on; told: is called when that has become more.
    """

    path = "journal"

    def __init__(self, told: Callable[[], None], fd: int = 1) -> None:
        self.lost = 0
        self.written = 0
        self._told = told
        self._fd = fd
        self._until = 0.0  # the end of the present interval
        self._lines = self._bytes = 0  # handed on in it
        self._lost_lines = self._lost_bytes = 0  # in it

    def open(self) -> None:
        """It is open."""

    def write(self, data: bytes) -> None:
        """Hand on as much as the rate allows."""
        if time.monotonic() >= self._until:
            self._settle()
            self._until = time.monotonic() + RATE_INTERVAL
            self._lines = self._bytes = 0
        lines = data.count(b"\n") + len(data) // _LINE_MAX
        if self._lost_bytes or self._lines + lines > RATE_LINES or self._bytes + len(data) > RATE_BYTES:
            data = self._cut(data)
        else:
            self._lines += lines
            self._bytes += len(data)
        self._put(data)

    def _cut(self, data: bytes) -> bytes:
        """Return what of the data still has room, in whole lines, and count the rest."""
        room = b""
        if not self._lost_bytes:
            head = data[: max(0, RATE_BYTES - self._bytes)].split(b"\n", RATE_LINES - self._lines)[: RATE_LINES - self._lines]
            room = data[: sum(len(line) + 1 for line in head)]
            room = room[: room.rfind(b"\n") + 1]
        rest = data[len(room) :]
        if not self._lost_bytes:
            room += _NOTICE
        self._lost_bytes += len(rest)
        self._lost_lines += rest.count(b"\n")
        return room

    def _settle(self) -> None:
        """Tell what was lost in an interval that is over."""
        if self._lost_bytes:
            self._put(_COUNT % (self._lost_bytes, self._lost_lines))
            self.lost += self._lost_bytes
            self._lost_lines = self._lost_bytes = 0
            self._told()

    def _put(self, data: bytes) -> None:
        try:
            while data:
                count = os.write(self._fd, data)
                self.written += count
                data = data[count:]
        except OSError:
            pass  # the journal is gone; the container does not end for that

    def close(self) -> None:
        """Tell what is left to be told; it stays open as long as the unit lives."""
        self._settle()
