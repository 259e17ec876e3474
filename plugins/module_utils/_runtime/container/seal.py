# Copyright: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""A read-only interpreter: what a process of a container finds as /proc/PID/exe of ours must not be writable, ever.

Until it executes the container's command, the first process of a container runs our interpreter, and a command such as
"#!/proc/self/exe" keeps running it. Whoever gets a writable handle on that file owns the machine (CVE-2019-5736). So the
helper runs from a read-only overlay over the interpreter's directory, which is attached nowhere: a file reached through it
cannot be opened for writing by anybody, and no path leads from it to the file beneath. Where the kernel refuses that, from a
sealed copy in memory. The overlay costs 0.1 ms, the copy 4 ms.
"""

from __future__ import annotations

import os
import sys

from .. import corefile
from ..errors import BulkheadError
from ..kernel import syscalls

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

# Without runpy, which costs 3 ms, and without this process's own import path.
CODE = "import sys; sys.path.insert(0, sys.argv[1]); from %s.cli import main; sys.exit(main(sys.argv[2:]))" % corefile.PACKAGE
# A library that the interpreter finds by its own place would be sought beside the sealed one.
ENVIRONMENT = {"LC_ALL": "C.UTF-8", "LD_LIBRARY_PATH": os.path.join(sys.base_prefix, "lib")}
# fcntl(2); the fcntl module of Python 3.9 has them only where it was built against new headers
_F_ADD_SEALS = 1033
_SEALS = 0x01 | 0x02 | 0x04 | 0x08  # seal, shrink, grow, write


def sealed(path: str, empty: str) -> int:
    """A descriptor of the program at `path` through which it cannot be written; for execve of /proc/self/fd/N.

    empty: an empty directory, because an overlay without an upper layer needs two lower ones.
    """
    reasons = []
    attempts: tuple[Callable[[str, str], int], ...] = (_overlay, _copy)
    for attempt in attempts:
        try:
            return attempt(path, empty)
        except OSError as error:
            reasons.append(str(error))
    raise BulkheadError("the interpreter %s could not be made read-only for containers" % path, target=path, kernel="; ".join(reasons))


def _overlay(path: str, empty: str) -> int:
    directory, name = os.path.split(path)
    if any(character in directory + empty for character in ":\\,"):
        raise OSError(22, "a name with one of : , \\ cannot be a layer", directory)
    configured = syscalls.fsopen("overlay")
    try:
        syscalls.fsconfig(configured, "lowerdir", directory + ":" + empty)
        syscalls.fsconfig_create(configured)
        root = syscalls.fsmount(configured, syscalls.MOUNT_ATTR_RDONLY | syscalls.MOUNT_ATTR_NOSUID | syscalls.MOUNT_ATTR_NODEV)
    finally:
        os.close(configured)
    try:
        return os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=root)
    finally:
        os.close(root)


def _copy(path: str, _empty: str) -> int:
    import fcntl

    # MFD_EXEC (0x10) says that it is meant to be run; kernels before 6.3 do not know the flag.
    for flags in (os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING | 0x10, os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING):
        try:
            copy = os.memfd_create("bulkhead", flags)
            break
        except OSError as error:
            if error.errno != 22 or not flags & 0x10:
                raise
    try:
        with open(path, "rb", buffering=0) as source:
            size = os.fstat(source.fileno()).st_size
            sent = 0
            while sent < size:
                count = os.sendfile(copy, source.fileno(), sent, size - sent)
                if not count:
                    raise OSError(5, "the file became shorter while it was read", path)
                sent += count
        os.fchmod(copy, 0o500)
        fcntl.fcntl(copy, _F_ADD_SEALS, _SEALS)
        # Only a descriptor without the right to write can be executed.
        return os.open("/proc/self/fd/%d" % copy, os.O_RDONLY | os.O_CLOEXEC)
    finally:
        os.close(copy)
