# Copyright: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""One lock for each container, so that two runs never change the same one at the same time."""

from __future__ import annotations

import errno
import fcntl
import os
import time

from ..errors import BulkheadError
from .paths import Paths

_PATIENCE = 120.0


class Locks:
    """The locks of some containers, taken in the order of their names, for the time of a `with` block.

    A lock's file is removed with the lock: who waited for it finds that the file he locked is not the one under its name
    any more, and takes the new one.
    """

    def __init__(self, paths: Paths, names: list[str]) -> None:
        self.files = [paths.locks + "/" + name for name in sorted(names)]
        self.held: list[int] = []

    def __enter__(self) -> Locks:
        try:
            for path in self.files:
                self.held.append(_take(path))
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_exception: object) -> None:
        for path, fd in zip(self.files, self.held):
            os.unlink(path)
            os.close(fd)
        self.held = []


def _take(path: str) -> int:
    deadline = time.monotonic() + _PATIENCE
    pause = 0.001
    while True:
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.stat(path).st_ino == os.fstat(fd).st_ino:
                return fd
        except FileNotFoundError:
            pass
        except OSError as error:
            if error.errno not in (errno.EAGAIN, errno.EACCES):
                os.close(fd)
                raise
            if time.monotonic() > deadline:
                os.close(fd)
                raise BulkheadError(
                    "another run has been changing the container for %d seconds" % _PATIENCE, target=path, hint="wait until it is done"
                ) from None
            time.sleep(pause)
            pause = min(pause * 2, 0.1)
        os.close(fd)
