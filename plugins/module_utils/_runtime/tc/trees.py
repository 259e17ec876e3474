# Copyright: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""From the queue that there is to the queue that is wanted, on one device.

What can stay is changed in place: counters go on and no packet is lost. The order within a tree:
filters and classes that must move go first, then classes from the root down, then their queues, then
new filters, and last the filters and classes that are no longer wanted. A packet whose filter is
not there at some moment goes to the class of the rest.
"""

from __future__ import annotations

import bisect
from functools import partial

from ..kernel import traffic
from .observation import BY_GROUP, GENERATIONS, GROUP_FILTER, Place
from .steps import Change, bucket_text, class_text
from .targets import MOST_FILTERS, Names
from .tree import DEFAULT, Filter, Leaf, Node, Tree

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..kernel.netlink import Message

_PROTOCOL_NAMES = {traffic.IPV4: "ip", traffic.IPV6: "ipv6"}
# Between two filters of one send there is room for some that come later.
_GAP = 16


class Device:
    """Whose queue it is. label: as diffs call it."""

    def __init__(self, place: Place, index: int, label: str) -> None:
        self.place = place
        self.index = index
        self.label = label

    def root(self) -> str:
        return "%s: root queue" % self.label

    def of_class(self, tree: Tree, minor: int) -> str:
        return "%s: class %x:%x" % (self.label, tree.major, minor)

    def of_leaf(self, tree: Tree, minor: int) -> str:
        return "%s: queue of class %x:%x" % (self.label, tree.major, minor)

    def of_filter(self, tree: Tree, kind: int, preference: int, node: int) -> str:
        where = (self.label, _PROTOCOL_NAMES[kind], preference, node)
        return "%s: filter %s pref %d node %x" % where


# Texts and messages of one thing


def root_text(tree: Tree) -> str | None:
    """The queue itself, without what lies below it; None for the interface's own one."""
    if tree.foreign:
        return tree.foreign
    if not tree.kind:
        return None
    if tree.bucket:
        return "%x: %s" % (tree.major, bucket_text(tree.bucket))
    return "%x: htb default %x" % (tree.major, DEFAULT)


def _class_text(tree: Tree, node: Node) -> str:
    return class_text(node.values, "%x:%x" % (tree.major, node.parent))


def _filter_text(tree: Tree, one: Filter, names: Names) -> str:
    keys = " ".join("match %08x/%08x at %d" % (value, mask, at) for mask, value, at in one.keys)
    return "u32 %s flowid %x:%x (%s)" % (keys, tree.major, one.minor, names(one.minor))


def _root_message(index: int, tree: Tree) -> Message:
    if tree.bucket:
        options = tree.bucket.options()
    elif tree.foreign and tree.item:
        options = tree.item.options
    else:
        # No packet passes while the class of the rest is not there yet: direct ones have no room.
        options = traffic.htb_options(DEFAULT, 0)
    return traffic.add_qdisc(index, traffic.ROOT, tree.handle, tree.kind, options)


def _class_message(index: int, tree: Tree, minor: int, node: Node) -> Message:
    parent = tree.handle | node.parent
    if not node.parent:
        parent = traffic.ROOT
    return traffic.add_class(index, parent, tree.handle | minor, "htb", node.values.options())


def _leaf_message(index: int, tree: Tree, minor: int, leaf: Leaf) -> Message:
    parent = tree.handle | minor
    return traffic.add_qdisc(index, parent, leaf.handle, leaf.kind, leaf.options())


def _filter_message(index: int, tree: Tree, kind: int, preference: int, one: Filter) -> Message:
    options = traffic.u32_options(one.keys, tree.handle | one.minor)
    return traffic.add_filter(index, tree.handle, one.node, preference, kind, "u32", options)


def _group_filter(index: int, tree: Tree, there: bool = True) -> Message:
    """Make the filter that sends by control group, or remove it."""
    where = (index, tree.handle, GROUP_FILTER, BY_GROUP, traffic.ALL, "cgroup")
    return traffic.add_filter(*where, b"") if there else traffic.delete_filter(*where)


def _top_down(tree: Tree, minors: set[int]) -> list[int]:
    """Parents before their classes, and the class of the rest as early as it can be."""
    return sorted(minors, key=lambda minor: (tree.depth(minor), minor != DEFAULT, minor))


def _rebuilt(index: int, tree: Tree) -> list[Message]:
    """The messages that make a whole queue as it was, or as well as it can be."""
    if not tree.kind:
        return [traffic.delete_qdisc(index, traffic.ROOT)]
    found = [_root_message(index, tree)]
    for minor in _top_down(tree, set(tree.nodes)):
        found.append(_class_message(index, tree, minor, tree.nodes[minor]))
        leaf = tree.leaves.get(minor)
        if leaf and leaf.handle:
            found.append(_leaf_message(index, tree, minor, leaf))
    for kind, held in tree.filters.items():
        found += [_filter_message(index, tree, kind, one.preference, one) for one in held]
    return [*found, _group_filter(index, tree)] if tree.by_group else found


# The plan


def tree_steps(device: Device, seen: Tree, wanted: Tree, names: Names) -> list[Change]:
    """From one queue to the other."""
    if (seen.kind, seen.handle) != (wanted.kind, wanted.handle) or seen.foreign:
        return _replaced(device, seen, wanted, names)
    if wanted.kind == "tbf":
        return _changed_bucket(device, seen, wanted)
    return _changed_tree(device, seen, wanted, names) if wanted.kind else []


def _changed_bucket(device: Device, seen: Tree, wanted: Tree) -> list[Change]:
    if seen.bucket == wanted.bucket:
        return []
    messages, back = ([_root_message(device.index, tree)] for tree in (wanted, seen))
    step = Change(
        device.place, device.root(), root_text(seen), root_text(wanted), messages, back, "tbf"
    )
    return [step]


def _replaced(device: Device, seen: Tree, wanted: Tree, names: Names) -> list[Change]:
    """Another kind of queue: one replacement, in which what waits is lost."""
    after = root_text(wanted)
    if after and seen.kind:
        after += " (in the place of %s: some milliseconds of traffic are lost)" % seen.kind
    if wanted.kind:
        messages = [_root_message(device.index, wanted)]
    else:
        messages = [traffic.delete_qdisc(device.index, traffic.ROOT)]
    back = _rebuilt(device.index, seen)
    first = Change(device.place, device.root(), root_text(seen), after, messages, back, wanted.kind)
    if wanted.kind != "htb":
        return [first]
    empty = Tree("htb", wanted.handle)
    return [first, *_changed_tree(device, empty, wanted, names, fresh=True)]


def _changed_tree(
    device: Device, seen: Tree, wanted: Tree, names: Names, fresh: bool = False
) -> list[Change]:
    """Classes, their queues and their filters. fresh: undone with the tree itself.

    A class that loses the last class below it is changed after that, when it is a leaf again.
    """
    moved = _moved(seen, wanted)
    gone = set(seen.nodes) - set(wanted.nodes) - moved
    filters = _Filters(device, seen, wanted, names, moved, fresh)
    steps = filters.early()
    steps += _deleted_classes(device, seen, moved)
    late = {parent for parent in seen.inner() if parent in wanted.leaves}
    steps += _made_classes(device, seen, wanted, moved, set(wanted.nodes) - late, fresh)
    steps += _made_leaves(device, seen, wanted, moved, set(wanted.leaves) - late, fresh)
    steps += filters.made() + filters.late()
    if seen.by_group != wanted.by_group:
        steps.append(_changed_group_filter(device, wanted, fresh))
    steps += _deleted_classes(device, seen, gone)
    steps += _made_classes(device, seen, wanted, moved, late, fresh)
    return steps + _made_leaves(device, seen, wanted, moved, late, fresh)


def _changed_group_filter(device: Device, wanted: Tree, fresh: bool) -> Change:
    there = wanted.by_group
    message = _group_filter(device.index, wanted, there)
    back = [] if fresh else [_group_filter(device.index, wanted, not there)]
    before, after = (None, "cgroup") if there else ("cgroup", None)
    target = "%s: filter all pref %d" % (device.label, BY_GROUP)
    return Change(device.place, target, before, after, [message], back, "cgroup")


def _moved(seen: Tree, wanted: Tree) -> set[int]:
    """Classes under another parent, which the kernel cannot change, with all that is below them."""
    found = {
        minor
        for minor, node in wanted.nodes.items()
        if minor in seen.nodes and seen.nodes[minor].parent != node.parent
    }
    more = set(found)
    while more:
        more = {minor for minor, node in seen.nodes.items() if node.parent in more} - found
        found |= more
    return found


def _made_classes(
    device: Device, seen: Tree, wanted: Tree, moved: set[int], minors: set[int], fresh: bool
) -> list[Change]:
    inner = wanted.inner()
    steps = []
    for minor in _top_down(wanted, minors):
        node = wanted.nodes[minor]
        held = None if minor in moved else seen.nodes.get(minor)
        # Of a class with others below, the kernel takes no quantum and no priority (htb_change_class()).
        if held and held.values.same(node.values, minor not in inner):
            continue
        before = partial(_class_text, seen, held) if held else None
        after = partial(_class_text, wanted, node)
        message = _class_message(device.index, wanted, minor, node)
        if held:
            back = [_class_message(device.index, seen, minor, held)]
        else:
            back = [] if fresh else [traffic.delete_class(device.index, wanted.handle | minor)]
        target = device.of_class(wanted, minor)
        steps.append(Change(device.place, target, before, after, [message], back, "htb"))
    return steps


def _made_leaves(
    device: Device, seen: Tree, wanted: Tree, moved: set[int], minors: set[int], fresh: bool
) -> list[Change]:
    steps = []
    for minor in sorted(minors):
        leaf = wanted.leaves[minor]
        held = seen.leaves.get(minor) if minor not in moved else None
        if held is leaf:
            continue
        messages = [_leaf_message(device.index, wanted, minor, leaf)]
        remove = traffic.delete_qdisc(device.index, wanted.handle | minor, leaf.handle)
        if held and held.handle == leaf.handle and held.kind != leaf.kind:
            messages.insert(0, remove)
        back = [] if fresh or minor not in seen.nodes or minor in moved else [remove]
        before = str(held) if held and held.handle else None
        target = device.of_leaf(wanted, minor)
        steps.append(Change(device.place, target, before, str(leaf), messages, back, leaf.kind))
    return steps


def _deleted_classes(device: Device, seen: Tree, minors: set[int]) -> list[Change]:
    steps = []
    for minor in reversed(_top_down(seen, minors)):
        node = seen.nodes[minor]
        back = [_class_message(device.index, seen, minor, node)]
        leaf = seen.leaves.get(minor)
        if leaf and leaf.handle:
            back.append(_leaf_message(device.index, seen, minor, leaf))
        before = partial(_class_text, seen, node)
        message = traffic.delete_class(device.index, seen.handle | minor)
        target = device.of_class(seen, minor)
        steps.append(Change(device.place, target, before, None, [message], back, "htb"))
    return steps


class _Filters:
    """The filters of a tree: which stay, which come and which go.

    Those of classes that move go early, so that the kernel lets the classes go.
    """

    def __init__(
        self, device: Device, seen: Tree, wanted: Tree, names: Names, moved: set[int], fresh: bool
    ) -> None:
        self.device = device
        self.seen = seen
        self.wanted = wanted
        self.names = names
        self.fresh = fresh
        self._early: list[tuple[int, Filter]] = []
        self._late: list[tuple[int, Filter]] = []
        self._made: list[tuple[int, int, Filter]] = []
        for kind in GENERATIONS[0]:
            held, asked = seen.filters.get(kind, []), wanted.filters.get(kind, [])
            if [one.key() for one in held] != [one.key() for one in asked] or moved:
                self._compare(kind, held, asked, moved)

    def _compare(self, kind: int, held: list[Filter], asked: list[Filter], moved: set[int]) -> None:
        usable = [
            one for one in held if one.preference == held[0].preference and one.minor not in moved
        ]
        stays = _common(usable, asked)
        kept = set(map(id, stays.values()))
        for one in held:
            if one.minor in moved:
                self._early.append((kind, one))
            elif id(one) not in kept:
                self._late.append((kind, one))
        nodes = _numbered(asked, stays, {one.node for _kind, one in self._late if _kind == kind})
        generation = 0
        if held:
            generation = 0 if GENERATIONS[0][kind] == held[0].preference else 1
        if (
            nodes is None
        ):  # no number is free where one is needed: all anew, beside those that are there
            generation = 1 - generation
            self._late += [(kind, one) for one in stays.values()]
            stays, nodes = {}, _numbered(asked, {}, set()) or []
        preference = GENERATIONS[generation][kind]
        for at, (one, node) in enumerate(zip(asked, nodes)):
            if at not in stays:
                self._made.append((kind, preference, Filter(one.keys, one.minor, node, preference)))

    def made(self) -> list[Change]:
        steps = []
        for kind, preference, one in self._made:
            target = self.device.of_filter(self.wanted, kind, preference, one.node)
            message = _filter_message(self.device.index, self.wanted, kind, preference, one)
            lazy = (
                None
                if self.fresh
                else _Removal(self.device, self.wanted, kind, preference, one.node)
            )
            after = partial(_filter_text, self.wanted, one, self.names)
            steps.append(Change(self.device.place, target, None, after, [message], [], "u32", lazy))
        return steps

    def early(self) -> list[Change]:
        return self._deleted(self._early)

    def late(self) -> list[Change]:
        return self._deleted(self._late)

    def _lasts(self) -> set[int]:
        """The filters that go as the last of their preference, and so with the whole of it: the
        kernel keeps the table of filters that went one by one (u32_delete())."""
        going = [*self._early, *self._late]
        gone = {id(one) for _kind, one in going}
        stays = {
            (kind, one.preference)
            for kind, held in self.seen.filters.items()
            for one in held
            if id(one) not in gone
        }
        stays |= {(kind, preference) for kind, preference, _one in self._made}
        lasts = {(kind, one.preference): id(one) for kind, one in going}
        return {last for key, last in lasts.items() if key not in stays}

    def _deleted(self, chosen: list[tuple[int, Filter]]) -> list[Change]:
        steps = []
        lasts = self._lasts()
        for kind, one in chosen:
            target = self.device.of_filter(self.seen, kind, one.preference, one.node)
            handle = 0 if id(one) in lasts else one.handle
            message = traffic.delete_filter(
                self.device.index, self.seen.handle, handle, one.preference, kind, "u32"
            )
            back = [_filter_message(self.device.index, self.seen, kind, one.preference, one)]
            before = partial(_filter_text, self.seen, one, self.names)
            steps.append(Change(self.device.place, target, before, None, [message], back, "u32"))
        return steps


class _Removal:
    """The message that removes a filter, of which the kernel alone knows the whole number."""

    def __init__(self, device: Device, tree: Tree, kind: int, preference: int, node: int) -> None:
        self.device = device
        self.tree = tree
        self.place = (kind, preference, node)

    def __call__(self) -> list[Message]:
        device, (kind, preference, node) = self.device, self.place
        return [
            traffic.delete_filter(
                device.index, self.tree.handle, one.handle, preference, kind, "u32"
            )
            for one in traffic.filters(device.place.door, device.index, self.tree.handle)
            if one.preference == preference and one.handle & 0xFFF == node
        ]


def _common(held: list[Filter], asked: list[Filter]) -> dict[int, Filter]:
    """{place among those asked for: filter that serves}, as many as stand in the same order.

    The longest increasing subsequence of their numbers, by patience sorting.
    """
    by_key: dict[object, Filter] = {}
    for one in held:
        by_key.setdefault(one.key(), one)
    pairs = [(at, by_key[one.key()]) for at, one in enumerate(asked) if one.key() in by_key]
    tails: list[int] = []
    ends: list[int] = []
    before: list[int] = []
    for number, (_at, one) in enumerate(pairs):
        place = bisect.bisect_left(tails, one.node)
        before.append(ends[place - 1] if place else -1)
        if place == len(tails):
            tails.append(one.node)
            ends.append(number)
        else:
            tails[place], ends[place] = one.node, number
    found: dict[int, Filter] = {}
    last = ends[-1] if ends else -1
    while last >= 0:
        at, one = pairs[last]
        found[at] = one
        last = before[last]
    return found


def _numbered(asked: list[Filter], stays: dict[int, Filter], taken: set[int]) -> list[int] | None:
    """A number for each filter, in order; None where too few are free between two that stay.

    taken: numbers of filters that are there until the new ones are.
    """
    numbers: list[int] = []
    low = run = 0
    for at in range(len(asked) + 1):
        if at < len(asked) and at not in stays:
            run += 1
            continue
        high = stays[at].node if at < len(asked) else MOST_FILTERS + 1
        if run:
            free = [number for number in range(low + 1, high) if number not in taken]
            if run > len(free):
                return None
            gap = min(len(free) // run, _GAP)
            numbers += [free[gap * (count + 1) - 1] for count in range(run)]
        if at < len(asked):
            numbers.append(high)
        low, run = high, 0
    return numbers
