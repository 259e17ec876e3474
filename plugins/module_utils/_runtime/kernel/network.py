# Copyright: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Network interfaces, by the ioctl(2) calls of netdevice(7) that need no netlink."""

from __future__ import annotations

import ctypes
import os

from .syscalls import libc

_SIOCGIFFLAGS = 0x8913
_SIOCSIFFLAGS = 0x8914
_IFF_UP = 1


class _InterfaceRequest(ctypes.Structure):
    """struct ifreq, with the flags of its union"""

    _fields_ = [("name", ctypes.c_char * 16), ("flags", ctypes.c_short), ("rest", ctypes.c_char * 22)]


def set_up(name: str) -> None:
    """Bring an interface of this network namespace up."""
    request = _InterfaceRequest(name.encode())
    fd = libc.socket(2, 2 | os.O_CLOEXEC, 0)  # AF_INET, SOCK_DGRAM
    if fd < 0:
        raise OSError(ctypes.get_errno(), "socket: %s" % os.strerror(ctypes.get_errno()), name)
    try:
        for call in (_SIOCGIFFLAGS, _SIOCSIFFLAGS):
            if libc.ioctl(fd, ctypes.c_ulong(call), ctypes.byref(request)) < 0:
                raise OSError(ctypes.get_errno(), "ioctl: %s" % os.strerror(ctypes.get_errno()), name)
            request.flags |= _IFF_UP
    finally:
        os.close(fd)
