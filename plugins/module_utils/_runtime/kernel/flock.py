# Copyright: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""flock(2) on a directory or file that several programs agree to lock, shared to look and exclusive to change.

What is locked is there anyway, so that locking writes nothing and leaves nothing.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import time

from ..errors import BulkheadError
from .files import read_text
from .processes import described

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

_LONGEST_PAUSE = 0.1


def take(fd: int, exclusive: bool, patience: float, path: str) -> bool:
    """Lock what a descriptor refers to; returns whether it was to be had at once.

    A lock that the descriptor holds already is converted. flock(2) may let others in between, so who is told that he had to
    wait must look again. Raises BulkheadError with the name of the holder when it is not to be had within the patience (seconds).
    """
    kind = fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH
    deadline = time.monotonic() + patience
    pause = 0.001
    at_once = True
    while True:
        try:
            fcntl.flock(fd, kind | fcntl.LOCK_NB)
            return at_once
        except BlockingIOError:
            at_once = False
        if time.monotonic() > deadline:
            raise BulkheadError(
                "the lock on %s was not to be had within %d seconds" % (path, patience),
                target=path,
                hint="held by %s; wait until it is done" % (described(_holders(fd)) or "another program"),
            )
        time.sleep(pause)
        pause = min(pause * 2, _LONGEST_PAUSE)


def take_path(path: str, exclusive: bool, patience: float) -> int:
    """Lock what a path leads to; returns the descriptor that holds the lock until it is closed.

    What is there may be replaced, or removed and made again, while somebody waits for it: a lock counts only when what was
    locked is still what the path leads to, else the new one is locked. Raises FileNotFoundError where nothing is there.
    """
    while True:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            take(fd, exclusive, patience, path)
            if os.path.samestat(os.stat(path), os.fstat(fd)):
                return fd
        except FileNotFoundError:
            pass  # removed meanwhile: open() says so
        except BaseException:
            os.close(fd)
            raise
        os.close(fd)


@contextlib.contextmanager
def held(path: str, exclusive: bool, patience: float, why: str = "") -> Iterator[None]:
    """The same, for the time of a `with` block; why: in the place of the sentence of the error when the lock is not to be had."""
    try:
        fd = take_path(path, exclusive, patience)
    except BulkheadError as error:
        error.problem = why % patience if why else error.problem
        raise
    try:
        yield
    finally:
        os.close(fd)


def give_back(fd: int) -> None:
    """Unlock."""
    fcntl.flock(fd, fcntl.LOCK_UN)


def _holders(fd: int) -> list[int]:
    """The processes that hold a lock on the same file, as /proc/locks has them (proc_locks(5))."""
    status = os.fstat(fd)
    ours = "%02x:%02x:%d" % (os.major(status.st_dev), os.minor(status.st_dev), status.st_ino)
    found = []
    for line in (read_text("/proc/locks") or "").splitlines():
        fields = line.split()
        if "->" not in fields and len(fields) > 5 and fields[1] == "FLOCK" and fields[5] == ours and fields[4] != str(os.getpid()):
            found.append(int(fields[4]))
    return found
