# Copyright: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Sets of CPUs and memory nodes on v1, where a group has no more than the group above it and no less than one below it."""

from __future__ import annotations

import contextlib
import os

from ..errors import InvalidInput
from ..kernel import cgroupfs
from ..units import format_list, parse_list
from .subtree import Yielding

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    Numbers = frozenset[int]

FILES = ("cpuset.cpus", "cpuset.mems")
# With the file's name behind it, the mark of a group that was made with what the group above it has, and follows that.
INHERITS = "trusted.bulkhead.inherits."


class Change:
    """What one group has, and is to have."""

    def __init__(self, group: str, now: Numbers, then: Numbers) -> None:
        self.group = group
        self.now = now
        self.then = then

    @property
    def between(self) -> Numbers:
        """Both together: what it has once it was given something and before anything is taken."""
        return self.now | self.then


def following(top: Change, below: list[Yielding], read: Callable[[str], str | None]) -> list[Change]:
    """The changes of those below a group that give way to it, each before those inside of it.

    One that only divides what the group has is given the same. Any other keeps what it may, or gets all of it where that is nothing.
    """
    then = {top.group: top.then}
    changes = []
    for one in below:
        above = then.get(one.name.rpartition("/")[0], top.then)
        now = parse_list(read(one.name) or "")
        then[one.name] = above if one.child else (now & above or above) if now else now
        if then[one.name] != now:
            changes.append(Change(one.name, now, then[one.name]))
    return changes


def bring_into_line(group: str, file: str, then: Numbers) -> None:
    """Take what a group is to lose from all groups below it at once: something inside has changed since it was looked at.

    group: the directory. What they are left without, they get of what the group is to have.
    """
    for first in (True, False):
        for inner in cgroupfs.walk(group, leaves_first=not first):
            if os.path.samestat(os.fstat(inner), os.stat(group)):
                continue
            with contextlib.suppress(OSError, InvalidInput):  # it is gone, or changes again: the write above it tells
                now = parse_list(cgroupfs.read(file, inner))
                wanted = now & then or then
                if now and now != wanted:
                    cgroupfs.write(file, format_list(now | wanted if first else wanted), inner)
