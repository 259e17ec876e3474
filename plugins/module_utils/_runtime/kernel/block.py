# Copyright: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Block devices: from a name to the MAJOR:MINOR of a whole disk, as /sys/dev/block knows them."""

from __future__ import annotations

import os
import stat

from ..errors import InvalidInput
from .files import read_text

DEVICES = "/sys/dev/block"


def number_of(device: str, what: str) -> str:
    """MAJOR:MINOR of a block device given by path or by number.

    A partition is refused by name of its disk: the block layer limits whole disks only (blkg_conf_open_bdev(), block/blk-cgroup.c).
    """
    text = str(device).strip()
    if not text:
        raise InvalidInput("%s: the device is empty" % what)
    major, colon, minor = text.partition(":")
    if not (colon and major.isdigit() and minor.isdigit()):
        try:
            found = os.stat(text)
        except OSError as error:
            raise InvalidInput("%s: there is no device %s" % (what, text), errno=error.errno or 0) from None
        except ValueError:  # a NUL, which no path has
            raise InvalidInput("%s: %r is not the path of a device" % (what, text)) from None
        if not text.startswith("/") or not stat.S_ISBLK(found.st_mode):
            raise InvalidInput("%s: %s is not a block device" % (what, text), hint="give a path such as /dev/sda or a number such as 8:0")
        major, minor = str(os.major(found.st_rdev)), str(os.minor(found.st_rdev))
    number = "%d:%d" % (int(major), int(minor))
    place = DEVICES + "/" + number
    if not os.path.exists(place):
        raise InvalidInput("%s: this machine has no block device %s" % (what, number))
    if os.path.exists(place + "/partition"):
        disk = os.path.basename(os.path.dirname(os.path.realpath(place)))
        raise InvalidInput("%s: %s is a partition, and the kernel limits whole disks only" % (what, text), hint="give /dev/%s" % disk)
    return number


def path_of(number: str) -> str:
    """The path of the device with this MAJOR:MINOR; empty where the kernel has no block device of that number."""
    for line in (read_text("%s/%s/uevent" % (DEVICES, number)) or "").splitlines():
        key, _equals, value = line.partition("=")
        if key == "DEVNAME":
            return "/dev/" + value
    return ""


def file_of_loop(number: str) -> str:
    """The file behind the loop device with this MAJOR:MINOR; empty for every other device."""
    return (read_text("%s/%s/loop/backing_file" % (DEVICES, number)) or "").strip()
