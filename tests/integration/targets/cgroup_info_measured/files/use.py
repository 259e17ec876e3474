# SPDX-FileCopyrightText: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Uses known amounts of memory and CPU time in a group, and stays there: use.py DIRECTORY_FOR_A_FILE GROUP_PROCS_FILE...

Prints its process id when everything is in use: 24 MiB of anonymous memory, 16 MiB of page cache of which 8 MiB are mapped.
"""

from __future__ import annotations

import mmap
import os
import sys
import time

MIB = 1 << 20


def main(directory: str, *procs: str) -> None:
    for path in procs:
        with open(path, "w") as file:
            file.write("0")
    anonymous = bytearray(os.urandom(1 << 16) * (24 * 16))
    path = os.path.join(directory, "page-cache")
    with open(path, "wb") as file:
        file.write(os.urandom(MIB) * 16)
        os.fsync(file.fileno())
    fd = os.open(path, os.O_RDONLY)
    mapped = mmap.mmap(fd, 8 * MIB, mmap.MAP_SHARED, mmap.PROT_READ)
    assert sum(mapped[at] for at in range(0, len(mapped), mmap.PAGESIZE)) > 0
    began = time.process_time()
    while time.process_time() < began + 0.5:
        pass
    print(os.getpid(), flush=True)
    os.close(1)
    os.close(2)
    time.sleep(600)
    del anonymous


if os.fork() == 0:
    os.setsid()
    main(*sys.argv[1:])
