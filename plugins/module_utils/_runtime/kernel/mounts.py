# Copyright: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""What the kernel has mounted, from /proc/self/mountinfo (Documentation/filesystems/proc.rst, 3.5)."""

from __future__ import annotations

import re

from .files import read_text

_OCTAL = re.compile(r"\\([0-7]{3})")


class Mount:
    """One line of mountinfo."""

    __slots__ = ("device", "fstype", "id", "options", "path", "root", "source")

    def __init__(self, path: str, root: str, fstype: str, source: str, options: list[str]) -> None:
        """path: where it is mounted; root: which part of the file system; options: those of the file system itself."""
        self.id = 0  # of the mount, as fdinfo has it, too
        self.device = ""  # the file system, as major:minor
        self.path = path
        self.root = root
        self.fstype = fstype
        self.source = source
        self.options = options


def _unescape(text: str) -> str:
    """Spaces and the like stand in mountinfo as three octal digits."""
    return _OCTAL.sub(lambda match: chr(int(match.group(1), 8)), text)


def mounts(*fstypes: str) -> list[Mount]:
    """The mounts of these types (of all, where none is named) in this mount namespace, in the order in which they were made."""
    found = []
    for line in (read_text("/proc/self/mountinfo") or "").splitlines():
        left, _separator, right = line.partition(" - ")
        tail = right.split(" ")
        if fstypes and tail[0] not in fstypes:
            continue
        fields = left.split(" ")
        if len(fields) >= 6 and len(tail) >= 3:
            mount = Mount(_unescape(fields[4]), _unescape(fields[3]), tail[0], _unescape(tail[1]), tail[2].split(","))
            mount.id, mount.device = int(fields[0]), fields[2]
            found.append(mount)
    return found


def mount_id(fd: int) -> int:
    """The mount in which the thing behind a descriptor was opened."""
    for line in (read_text("/proc/self/fdinfo/%d" % fd) or "").splitlines():
        key, _colon, value = line.partition(":")
        if key == "mnt_id":
            return int(value)
    return 0
