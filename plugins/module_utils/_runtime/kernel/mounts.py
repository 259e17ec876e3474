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

    __slots__ = ("fstype", "options", "path", "root", "source")

    def __init__(self, path: str, root: str, fstype: str, source: str, options: list[str]) -> None:
        """path: where it is mounted; root: which part of the file system; options: those of the file system itself."""
        self.path = path
        self.root = root
        self.fstype = fstype
        self.source = source
        self.options = options


def _unescape(text: str) -> str:
    """Spaces and the like stand in mountinfo as three octal digits."""
    return _OCTAL.sub(lambda match: chr(int(match.group(1), 8)), text)


def mounts(*fstypes: str) -> list[Mount]:
    """The mounts of these types in this mount namespace, in the order in which they were made."""
    found = []
    for line in (read_text("/proc/self/mountinfo") or "").splitlines():
        left, _separator, right = line.partition(" - ")
        tail = right.split(" ")
        if tail[0] not in fstypes:
            continue
        fields = left.split(" ")
        if len(fields) >= 6 and len(tail) >= 3:
            found.append(Mount(_unescape(fields[4]), _unescape(fields[3]), tail[0], _unescape(tail[1]), tail[2].split(",")))
    return found
