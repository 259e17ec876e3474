# SPDX-FileCopyrightText: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Writes to a file as a user without privileges until it is refused: fill.py PATH BYTES; prints its size and the error."""

from __future__ import annotations

import errno
import os
import sys

NOBODY = 65534


def main(path: str, most: int) -> None:
    os.setgroups([])
    os.setgid(NOBODY)
    os.setuid(NOBODY)
    refused = "none"
    try:
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o644)
        written = 0
        while written < most:
            written += os.write(fd, b"x" * 4096)
        os.fsync(fd)
    except OSError as error:
        refused = errno.errorcode[error.errno]
    print(os.stat(path).st_size if os.path.exists(path) else 0, refused)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
