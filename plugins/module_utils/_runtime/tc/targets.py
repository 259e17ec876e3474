# Copyright: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""From what is desired of one direction to the numbers that the kernel shall hold."""

from __future__ import annotations

from ..errors import InvalidInput
from ..kernel.traffic import Bucket, HtbClass
from . import units
from .limit import DEFAULT_LATENCY, Class, Direction
from .tree import (
    DEFAULT,
    TBF,
    WHOLE,
    Filter,
    Leaf,
    Node,
    Tree,
    leaf_handle,
    minors,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

_ETHERNET_HEADER = 14
_BURST_TIME = 10000000  # nanoseconds of the rate that a bucket holds when no burst is given
POLICE_BURST = (
    64 << 10
)  # offloads join packets to as much, and a longer one than the bucket never passes
# HTB gives a class in one turn what it has in rate/r2q bytes, within these bounds (sch_htb.c).
_RATE_TO_QUANTUM, _MOST_QUANTUM = 10, 200000
# sch_tbf cuts a bucket at 2^32 - 1 ns when it works out the longest packet (tbf_change()).
_LONGEST_PACKET_TIME = (1 << 32) - 1


def frame(mtu: int) -> int:
    """A full packet on the wire of an ethernet."""
    return mtu + _ETHERNET_HEADER


def default_burst(rate: int, mtu: int) -> int:
    """What a bucket holds when nothing is said: enough for timers, and less than anybody notices."""
    return max(frame(mtu), units.bytes_in(_BURST_TIME, rate))


def buffer_of(burst: int | None, rate: int, mtu: int, what: str) -> int:
    """A bucket in ticks."""
    size = default_burst(rate, mtu) if burst is None else burst
    if size < frame(mtu):
        raise InvalidInput(
            "%s: a burst of %d bytes lets no full frame through: it is less than the MTU %d and %d more"
            % (what, size, mtu, _ETHERNET_HEADER)
        )
    ticks = units.ticks(size, rate)
    if ticks > units.MOST_TICKS:
        raise InvalidInput(
            "%s: a burst of %d bytes takes more than 274.8 s at %s, and the kernel counts no further"
            % (what, size, units.format_rate(rate)),
            hint="the most at this rate is %d bytes" % units.bytes_of(units.MOST_TICKS, rate),
        )
    return ticks


def bucket(wanted: Direction, mtu: int, what: str) -> Bucket:
    """The numbers of a queue with one bucket."""
    rate = wanted.rate or 0
    buffer = buffer_of(wanted.burst, rate, mtu, what)
    burst = default_burst(rate, mtu) if wanted.burst is None else wanted.burst
    if frame(mtu) * 1000000000 > rate * _LONGEST_PACKET_TIME:
        raise InvalidInput(
            "%s: at %s the kernel lets no packet of %d bytes through, which the interface may send"
            % (what, units.format_rate(rate), frame(mtu)),
            hint="set a smaller MTU, or at least %s"
            % units.format_rate(frame(mtu) * 10**9 // _LONGEST_PACKET_TIME + 1),
        )
    latency = DEFAULT_LATENCY if wanted.latency is None else wanted.latency
    limit = units.bytes_in(latency, rate) + burst if wanted.limit is None else wanted.limit
    peak, size = wanted.peakrate or 0, 0
    if peak:
        size = units.ticks(frame(mtu), peak)
        if wanted.limit is None:
            limit = min(limit, units.bytes_in(latency, peak) + frame(mtu))
    limit = max(limit, frame(mtu)) if wanted.limit is None else limit
    if limit < frame(mtu):
        raise InvalidInput("%s: a limit of %d bytes holds no full frame" % (what, limit))
    if limit > units.MOST_BYTES:
        raise InvalidInput(
            "%s: the queue would hold %d bytes, and the kernel counts to 4 GiB - 1" % (what, limit),
            hint="give a smaller latency, or limit",
        )
    return Bucket(rate, buffer, limit, peak, size)


def htb_class(
    rate: int, ceil: int, mtu: int, what: str, burst: int | None = None, prio: int = 0
) -> HtbClass:
    """The numbers of a class; the burst of its ceiling is its own only where the two are one rate."""
    buffer = buffer_of(burst, rate, mtu, what)
    above = buffer_of(burst if ceil == rate else None, ceil, mtu, what)
    return HtbClass(rate, ceil, buffer, above, quantum(rate, mtu), prio)


def quantum(rate: int, mtu: int) -> int:
    """What a class may send in one turn when it borrows. Without one the kernel guesses, and complains."""
    return min(max(rate // _RATE_TO_QUANTUM, frame(mtu)), max(_MOST_QUANTUM, frame(mtu)))


class Names:
    """What the classes of a tree are called: by users where that is known, else by number."""

    def __init__(self, numbers: dict[str, int] | None = None) -> None:
        self.of = {number: name for name, number in (numbers or {}).items()}

    def __call__(self, minor: int) -> str:
        return self.of.get(minor) or {WHOLE: "egress", DEFAULT: "the rest"}.get(minor, "%x" % minor)


class Wanted:
    """A tree that is to be, what its classes are called, and by which classes nftables sends.

    steered: {class: number} of those whose match needs nftables; None where that stays as it is.
    grouped: {control group of v1: number of its class}.
    """

    def __init__(self, tree: Tree) -> None:
        self.tree = tree
        self.names = Names()
        self.steered: list[tuple[Class, int]] | None = []
        self.grouped: dict[str, int] = {}
        self.unlimited = False


def queue_of(
    wanted: Direction | None,
    classes: list[Class] | None,
    seen: Tree,
    mtu: int,
    what: str,
    next_tree: Callable[[], int],
    leaf_kind: Callable[[], str],
) -> Wanted | None:
    """The queue of one direction; None where it stays as it is.

    next_tree: the number for a new tree; leaf_kind: the best queue for a class on this kernel.
    """
    if wanted is None and classes is None:
        return None
    if classes is None and seen.kind == "htb" and not seen.foreign:
        return _kept_classes(wanted, seen, mtu, what)
    if classes:
        return _with_classes(wanted, classes, seen, mtu, what, next_tree, leaf_kind)
    if wanted is None:  # no classes any more: what they shared stays
        if seen.kind != "htb" or seen.foreign:
            return None
        rate = seen.nodes[WHOLE].values.rate if WHOLE in seen.nodes else units.UNLIMITED
        wanted = Direction(
            {"rate": units.format_rate(rate) if rate < units.UNLIMITED else "max"}, what
        )
    tree = Tree()
    if wanted.rate is not None:
        tree = Tree("tbf", TBF << 16)
        tree.bucket = bucket(wanted, mtu, what)
    return Wanted(tree)


def _whole(wanted: Direction | None, seen: Tree, mtu: int, what: str) -> HtbClass:
    """The class of everything: as asked, else as it is, else without a limit."""
    if wanted is not None and wanted.rate is not None:
        return htb_class(wanted.rate, wanted.rate, mtu, what, wanted.burst)
    if wanted is None and not seen.foreign:
        if seen.kind == "htb" and WHOLE in seen.nodes:
            return seen.nodes[WHOLE].values
        if seen.kind == "tbf" and seen.bucket:
            held = seen.bucket
            return htb_class(
                held.rate, held.rate, mtu, what, units.bytes_of(held.buffer, held.rate)
            )
    return htb_class(units.UNLIMITED, units.UNLIMITED, mtu, what)


def _the_rest(tree: Tree, mtu: int, what: str) -> Node:
    """The class of what no other one matches: it has what is left, and may borrow the whole."""
    whole = tree.nodes[WHOLE].values
    given = sum(node.values.rate for node in tree.nodes.values() if node.parent == WHOLE)
    rate = max(whole.rate - given, units.LEAST_RATE)
    return Node(WHOLE, htb_class(min(rate, whole.rate), whole.rate, mtu, what))


def _kept_classes(wanted: Direction | None, seen: Tree, mtu: int, what: str) -> Wanted:
    """The same classes under another limit of all."""
    if wanted is not None and (wanted.latency or wanted.limit or wanted.peakrate):
        raise InvalidInput(
            "%s: latency, limit and peakrate are of one queue, and there are classes" % what,
            hint="leave them out, or remove the classes with classes: []",
        )
    tree = Tree("htb", seen.handle)
    tree.nodes = dict(seen.nodes)
    tree.leaves, tree.filters, tree.by_group = seen.leaves, seen.filters, seen.by_group
    tree.nodes[WHOLE] = Node(0, _whole(wanted, seen, mtu, what))
    if rest_is_generated(seen, mtu, what):
        tree.nodes.pop(DEFAULT, None)
        tree.nodes[DEFAULT] = _the_rest(tree, mtu, what)
    result = Wanted(tree)
    result.steered = None
    result.unlimited = tree.nodes[WHOLE].values.rate == units.UNLIMITED
    return result


def rest_is_generated(seen: Tree, mtu: int, what: str) -> bool:
    """Whether the class of the rest is what it is when no class is asked for in its place."""
    if DEFAULT not in seen.nodes or WHOLE not in seen.nodes:
        return True
    others = Tree()
    others.nodes = {minor: node for minor, node in seen.nodes.items() if minor != DEFAULT}
    alike = _the_rest(others, mtu, what)
    held = seen.nodes[DEFAULT]
    return (held.parent, held.values) == (alike.parent, alike.values)


def _with_classes(
    wanted: Direction | None,
    classes: list[Class],
    seen: Tree,
    mtu: int,
    what: str,
    next_tree: Callable[[], int],
    leaf_kind: Callable[[], str],
) -> Wanted:
    ours = seen.kind == "htb" and not seen.foreign
    tree = Tree("htb", seen.handle if ours else next_tree() << 16)
    result = Wanted(tree)
    inner = {one.parent for one in classes}
    rest = next((one for one in classes if one.match is None and one.name not in inner), None)
    numbers = minors(one.name for one in classes if one is not rest)
    if rest:
        numbers[rest.name] = DEFAULT
    result.names = Names(numbers)
    tree.nodes[WHOLE] = Node(0, _whole(wanted, seen, mtu, what))
    for one in classes:
        parent = numbers[one.parent] if one.parent else WHOLE
        values = htb_class(one.rate, one.ceil, mtu, "class " + one.name, one.burst, one.priority)
        tree.nodes[numbers[one.name]] = Node(parent, values)
    result.unlimited = rest is None and tree.nodes[WHOLE].values.rate == units.UNLIMITED
    if rest is None:
        tree.nodes[DEFAULT] = _the_rest(tree, mtu, what)
    tree.leaves = _leaves(tree, seen, leaf_kind)
    for one in classes:
        if one.match and one.match.needs_nftables and result.steered is not None:
            result.steered.append((one, numbers[one.name]))
        elif one.match:
            for kind, keys in one.match.rules():
                tree.filters.setdefault(kind, []).append(Filter(keys, numbers[one.name]))
    _check_room(tree, what)
    return result


def _leaves(tree: Tree, seen: Tree, leaf_kind: Callable[[], str]) -> dict[int, Leaf]:
    """The queue of each class without classes below; one that serves stays."""
    found = {}
    inner = tree.inner()
    for minor in tree.nodes:
        if minor in inner:
            continue
        held = seen.leaves.get(minor) if seen.handle == tree.handle else None
        if held is None or not held.serves(minor):
            held = Leaf(leaf_handle(minor), choose=leaf_kind)
        found[minor] = held
    return found


# A filter has 12 bits for its place (TC_U32_NODE), of which the first and last are the kernel's.
MOST_FILTERS = 0xFFE


def _check_room(tree: Tree, what: str) -> None:
    for held in tree.filters.values():
        if len(held) > MOST_FILTERS:
            problem = "%s: the classes need %d filters, and the kernel numbers %d"
            raise InvalidInput(problem % (what, len(held), MOST_FILTERS))


def overcommitted(wanted: Wanted, generated: bool) -> list[str]:
    """Where the classes below one are given more together than it has. generated: whether the class
    of the rest is our own, which takes only what is left."""
    tree = wanted.tree
    sums: dict[int, int] = {}
    for minor, node in tree.nodes.items():
        if node.parent and not (generated and minor == DEFAULT):
            sums[node.parent] = sums.get(node.parent, 0) + node.values.rate
    return [
        "the classes of %s have %s together, and it has %s"
        % (
            wanted.names(minor),
            units.format_rate(total),
            units.format_rate(tree.nodes[minor].values.rate),
        )
        for minor, total in sums.items()
        if minor in tree.nodes and total > tree.nodes[minor].values.rate
    ]
