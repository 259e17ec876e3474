# Copyright: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""The numbers of ioctl(2) requests, from what they are made of (include/uapi/asm-generic/ioctl.h)."""

from __future__ import annotations

import os

# Only powerpc, of the machines that the core runs on, has numbers of its own here
# (arch/powerpc/include/uapi/asm/ioctl.h).
_POWER = os.uname().machine.startswith("ppc")
_NONE, _WRITE, _READ = (1, 4, 2) if _POWER else (0, 1, 2)
_DIRECTION_SHIFT = 29 if _POWER else 30


def _number(direction: int, kind: int, number: int, size: int) -> int:
    return (direction << _DIRECTION_SHIFT) | (size << 16) | (kind << 8) | number


def plain(kind: int, number: int) -> int:
    """_IO(): a request without data."""
    return _number(_NONE, kind, number, 0)


def reads(kind: int, number: int, size: int) -> int:
    """_IOR(): a request that the kernel answers."""
    return _number(_READ, kind, number, size)


def writes(kind: int, number: int, size: int) -> int:
    """_IOW(): a request that tells the kernel something."""
    return _number(_WRITE, kind, number, size)


def both(kind: int, number: int, size: int) -> int:
    """_IOWR(): both."""
    return _number(_READ | _WRITE, kind, number, size)
