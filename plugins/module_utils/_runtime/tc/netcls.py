# Copyright: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Control groups of v1 and the class of what they send: the controller net_cls gives every socket of a
group its number, and one filter on the tree (cls_cgroup) sends each packet to the class of that number.

A group that is made gets the number of the one above it, and one that is there already does not
(cgrp_css_online(), net/core/netclassid_cgroup.c). So the groups below are given it here.
"""

from __future__ import annotations

from ..errors import BulkheadError
from ..kernel import mounts, namespaces
from ..kernel.files import Tree
from ..plan import WriteFile
from .observation import Place
from .tree import is_ours

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

FILE = "net_cls.classid"


def root() -> str:
    """Where the hierarchy with net_cls is mounted; empty where it is not."""
    found = (one.path for one in mounts.mounts("cgroup") if "net_cls" in one.options)
    return next(found, "")


def steps(handle: int, wanted: dict[str, int], force: bool) -> list[WriteFile]:
    """The numbers of groups that are to change, for one tree of classes.

    handle: of the tree. wanted: {group: number of its class}. A number that names a class of this
    tree and is not wanted is taken back. Raises BulkheadError for one that is somebody else's.
    """
    path = root()
    if not path:
        return []
    tree = Tree(path)
    found = []
    for name, held, above in _numbers(tree):
        desired, asked, own = _nearest(name, wanted), name in wanted, _is_of(handle, held)
        if held == desired:
            continue
        if not (asked or own) and not (desired and held in (0, above)):
            continue  # somebody else's
        if asked and held and not (own or force):
            _check_free(tree.full(name), held)
        file = "%s/%s" % (name, FILE)
        found.append(WriteFile(tree, file, _text(held), _text(desired)))
    return found


def _is_of(handle: int, number: int) -> bool:
    """Whether a number names a class of a tree."""
    return number >> 16 == handle >> 16


def _text(number: int) -> str:
    """As the kernel takes it, and as people write classes: 0xMAJORMINOR."""
    return "0x%08x" % number


def _numbers(tree: Tree) -> Iterator[tuple[str, int, int]]:
    """(group, its number, that of the group above) of every group, the upper ones first."""
    todo = [("", 0)]
    while todo:
        above, number = todo.pop()
        for name in tree.directories(above):
            path = above + "/" + name if above else name
            held = tree.read_short("%s/%s" % (path, FILE))
            if held is not None:
                yield path, int(held), number
                todo.append((path, int(held)))


def _nearest(name: str, wanted: dict[str, int]) -> int:
    """The number of a group, or of the nearest one above it that has one; 0 for none."""
    while name:
        if name in wanted:
            return wanted[name]
        name = name.rpartition("/")[0]
    return 0


def _check_free(path: str, held: int) -> None:
    """Refuse to take a group out of another class; one whose tree is gone is nobody's."""
    if is_ours(held) and not _is_there(held >> 16):
        return
    raise BulkheadError(
        "control group %s belongs to class %x:%x already, and in net_cls a group has one class"
        % (path, held >> 16, held & 0xFFFF),
        target="%s/%s" % (path, FILE),
        hint="with force: true it is taken out of that one",
    )


def _is_there(major: int) -> bool:
    """Whether any network namespace with a name has a tree of ours with this number."""
    for name in ("", *namespaces.names()):
        try:
            place = Place(name)
        except (BulkheadError, OSError):
            continue  # it went away, or is only a name
        try:
            if major in place.majors():
                return True
        finally:
            place.close()
    return False
