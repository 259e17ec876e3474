# Copyright: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""The groups below a group, and which of them give way when its limits change.

On v1 a group may not have less than a group below it. Whoever runs in a container can make groups below its own and give
them values, and so could keep the limits above from being lowered. A group that follows (Group.follows) carries a mark
that only the machine's root can set; what is below it is made to fit.
"""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..kernel.files import Tree

# PATH_MAX, without what the name of an interface file may take.
_LONGEST = 4096 - 256
MARK = "trusted.bulkhead.follows"


def below(tree: Tree, group: str) -> list[str]:
    """The groups below a group, each before those inside of it, as far as a path can name them."""
    found: list[str] = []
    todo = _inside(tree, group)
    while todo:
        path = todo.pop()
        found.append(path)
        todo += _inside(tree, path)
    return found


def _inside(tree: Tree, group: str) -> list[str]:
    """The groups right below a group, the last one first; none where a path to their files would be too long.

    Whoever runs in a container may nest groups so deep. What must reach them goes by descriptor (cgroupfs.walk()).
    """
    found = [group + "/" + name if group else name for name in reversed(tree.directories(group))]
    return [path for path in found if len(os.fsencode(path)) < _LONGEST]


def deepest_first(tree: Tree, group: str) -> list[str]:
    """The groups below a group, each after those inside of it."""
    found: list[str] = []
    todo = _inside(tree, group)[::-1]
    while todo:
        path = todo.pop()
        found.append(path)
        todo += reversed(_inside(tree, path))
    return found[::-1]


class Yielding:
    """A group below another one that gives way to it.

    child: whether it only divides what the group above it has, and so is given the same.
    """

    def __init__(self, name: str, child: bool) -> None:
        self.name = name
        self.child = child


def yielding(tree: Tree, group: str, follows: bool = False) -> list[Yielding]:
    """Those of the groups below a group that give way, each before those inside of it. follows: whether all of them do."""
    found = []
    for top in [group] if follows else marked_below(tree, group):
        for child in reversed(_inside(tree, top)):
            found += [Yielding(child, True), *(Yielding(inner, False) for inner in below(tree, child))]
    return found


def marked_below(tree: Tree, group: str) -> list[str]:
    """The groups to which those below them give way, of a group and those below it; none that is inside of another."""
    found, todo = [], [group]
    while todo:
        path = todo.pop()
        if tree.marked(path, MARK):
            found.append(path)
        else:
            todo += _inside(tree, path)
    return found
