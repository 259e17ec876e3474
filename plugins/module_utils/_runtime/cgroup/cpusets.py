# Copyright: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Sets of CPUs and memory nodes on v1, where a group has no more than the group above it and no less than one below it."""

from __future__ import annotations

from ..units import format_list, parse_list
from .subtree import Yielding, yielding

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from ..kernel.files import Tree

    Numbers = frozenset[int]

FILES = ("cpuset.cpus", "cpuset.mems")


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


def bring_into_line(tree: Tree, group: str, file: str, then: Numbers, follows: bool) -> None:
    """Do so at once: something inside has changed its values since they were looked at."""
    top = Change(group, parse_list(tree.read_short("%s/%s" % (group, file)) or ""), then)
    changes = following(top, yielding(tree, group, follows), lambda name: tree.read_short("%s/%s" % (name, file)))
    for change in changes:
        if change.between != change.now:
            _write(tree, change.group, file, change.between)
    for change in reversed(changes):
        _write(tree, change.group, file, change.then)


def _write(tree: Tree, group: str, file: str, numbers: Numbers) -> None:
    try:
        tree.write("%s/%s" % (group, file), format_list(numbers) or "\n")
    except OSError:
        pass  # it is gone, or changes again: the write above it tells
