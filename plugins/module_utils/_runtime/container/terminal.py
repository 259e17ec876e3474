# Copyright: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""A terminal for an added command: made in the container's own devpts, watched from outside.

What lies at /dev/pts/ptmx is the container's to choose, so it is opened as a place only, looked at,
and then opened by that descriptor: nothing but the multiplexer of terminals will do. The end for
the command comes from the kernel (TIOCGPTPEER) and not from a name. The caller's own terminal is
never passed on (streams.py tells why).
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat
import termios

from ..errors import BulkheadError
from ..kernel import ioctls, syscalls

# include/uapi/asm-generic/ioctls.h
_TIOCSPTLCK = ioctls.writes(ord("T"), 0x31, 4)
_TIOCGPTPEER = ioctls.plain(ord("T"), 0x41)
# Unix98 terminals: the number of /dev/ptmx (Documentation/admin-guide/devices.txt).
_PTMX = os.makedev(5, 2)
_WHERE = "dev/pts/ptmx"
_SAFELY = syscalls.RESOLVE_IN_ROOT | syscalls.RESOLVE_NO_MAGICLINKS
_SIZE_BYTES = 8  # struct winsize


def make(pid: int, name: str) -> tuple[int, int]:
    """(our end, the command's end) of a new terminal in the container with this first process."""
    try:
        place = _find(pid)
    except OSError as error:
        raise _unusable(name, error.errno or 0) from None
    try:
        status = os.fstat(place)
        if not stat.S_ISCHR(status.st_mode) or status.st_rdev != _PTMX:
            raise _unusable(name, errno.ENOTTY)
        ours = os.open("/proc/self/fd/%d" % place, os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)
    except OSError as error:
        raise _unusable(name, error.errno or 0) from None
    finally:
        os.close(place)
    try:
        fcntl.ioctl(ours, _TIOCSPTLCK, b"\0\0\0\0")
        flags = os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC
        return ours, fcntl.ioctl(ours, _TIOCGPTPEER, flags)
    except OSError as error:
        os.close(ours)
        raise _unusable(name, error.errno or 0) from None


def _find(pid: int) -> int:
    root = os.open("/proc/%d/root" % pid, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        return syscalls.openat2(root, _WHERE, os.O_PATH | os.O_NOFOLLOW, 0, _SAFELY)
    finally:
        os.close(root)


def _unusable(name: str, number: int) -> BulkheadError:
    return BulkheadError(
        "container %s: it has no terminals: /%s cannot be used" % (name, _WHERE),
        target="/" + _WHERE,
        errno=number,
        hint="do without tty, or let the container have its own /dev",
    )


def copy_size(source: int, target: int) -> None:
    """Give a terminal the size of another one; a descriptor of something else has none."""
    try:
        fcntl.ioctl(target, termios.TIOCSWINSZ, fcntl.ioctl(source, termios.TIOCGWINSZ, bytes(_SIZE_BYTES)))
    except OSError:
        pass


class Raw:
    """The caller's terminal, for the time of a command: each key goes on as it is."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._before = termios.tcgetattr(fd)
        mode = termios.tcgetattr(fd)
        # cfmakeraw() of termios(3)
        mode[0] &= ~(
            termios.IGNBRK | termios.BRKINT | termios.PARMRK | termios.ISTRIP
            | termios.INLCR | termios.IGNCR | termios.ICRNL | termios.IXON
        )
        mode[1] &= ~termios.OPOST
        mode[2] = mode[2] & ~(termios.CSIZE | termios.PARENB) | termios.CS8
        mode[3] &= ~(termios.ECHO | termios.ECHONL | termios.ICANON | termios.ISIG | termios.IEXTEN)
        termios.tcsetattr(fd, termios.TCSAFLUSH, mode)

    def restore(self) -> None:
        termios.tcsetattr(self._fd, termios.TCSAFLUSH, self._before)
