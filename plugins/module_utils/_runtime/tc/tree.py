# Copyright: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""The queue of an interface as a value: what it holds, or what it is to hold.

Handles tell what is ours. The kernel numbers its own disciplines from 8001: upward and people begin
at 1:, so the numbers between 7000: and 7bf0: are free in practice. A tree of classes has a number
that no other one of the network namespace has: a priority that names a class is carried from one
interface to the next (skb->priority), and must not be taken for a class there.
"""

from __future__ import annotations

import binascii

from ..kernel import traffic

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from ..kernel.traffic import Bucket, HtbClass, Item
    from .matches import Key

    Filters = dict[int, "list[Filter]"]

TBF = 0x7BF0
FIRST_TREE, TREES = 0x7000, 0xBE0
WHOLE, DEFAULT = 0x0001, 0xFFFF  # the class of everything, and that of all the rest
_FIRST_CLASS, _CLASSES = 0x100, 0x5F00
_DEFAULT_LEAF, _FIRST_LEAF = 0x0FFF, 0x1000
LEAF_PACKETS = 1000


def is_ours(handle: int) -> bool:
    """Whether a discipline is one that this collection makes."""
    return FIRST_TREE <= handle >> 16 < FIRST_TREE + TREES or handle >> 16 == TBF


def leaf_handle(minor: int) -> int:
    """The handle of the queue of a class."""
    return (_DEFAULT_LEAF if minor == DEFAULT else _FIRST_LEAF + minor) << 16


def minors(names: Iterable[str]) -> dict[str, int]:
    """A number for each class, from its name alone, so that one that comes or goes moves no other.

    Where two names fall on one number, the later in the alphabet takes the next that is free.
    """
    found: dict[str, int] = {}
    taken: set[int] = set()
    for name in sorted(names):
        minor = binascii.crc32(name.encode()) % _CLASSES
        while minor in taken:
            minor = (minor + 1) % _CLASSES
        taken.add(minor)
        found[name] = _FIRST_CLASS + minor
    return found


class Node:
    """A class: its parent's number (0 for the discipline itself) and its numbers."""

    __slots__ = ("item", "parent", "values")

    def __init__(self, parent: int, values: HtbClass, item: Item | None = None) -> None:
        self.parent = parent
        self.values = values
        self.item = item


class Leaf:
    """The queue of a class. limit: packets, of a pfifo.

    choose: tells the kind of one to be made, and is asked only when it is made.
    """

    __slots__ = ("_choose", "_kind", "_limit", "handle", "item")

    def __init__(
        self,
        handle: int,
        kind: str = "",
        limit: int = 0,
        item: Item | None = None,
        choose: Callable[[], str] | None = None,
    ) -> None:
        self.handle = handle
        self.item = item
        self._kind = kind
        self._limit = limit
        self._choose = choose

    @property
    def kind(self) -> str:
        if not self._kind and self._choose:
            self._kind = self._choose()
        return self._kind

    @property
    def limit(self) -> int:
        return LEAF_PACKETS if self._choose and self.kind == "pfifo" else self._limit

    def options(self) -> bytes:
        return traffic.pfifo_options(self.limit) if self.kind == "pfifo" else b""

    def serves(self, minor: int) -> bool:
        """Whether it is one that we would have made: there is no need of another."""
        if self.handle != leaf_handle(minor):
            return False
        return self.kind == "fq_codel" or (self.kind, self.limit) == ("pfifo", LEAF_PACKETS)

    def __str__(self) -> str:
        return "%s limit %dp" % (self.kind, self.limit) if self.kind == "pfifo" else self.kind


class Filter:
    """What sends packets to a class. handle: as the kernel numbers it, 0 for one to be made."""

    __slots__ = ("handle", "keys", "minor", "preference")

    def __init__(
        self, keys: tuple[Key, ...], minor: int, handle: int = 0, preference: int = 0
    ) -> None:
        self.keys = keys
        self.minor = minor
        self.handle = handle
        self.preference = preference

    @property
    def node(self) -> int:
        """Its place among those of its preference: the lower is looked at first."""
        return self.handle & 0xFFF

    def key(self) -> tuple[tuple[Key, ...], int]:
        return self.keys, self.minor


class Tree:
    """One queue. kind: "" for the interface's own one, "tbf" or "htb"; others: what is not ours.

    nodes, leaves: by the number of the class; filters: by the type of frames. by_group: whether
    packets go to the class that the control group of their socket (v1) has the number of.
    """

    def __init__(self, kind: str = "", handle: int = 0) -> None:
        self.kind = kind
        self.handle = handle
        self.bucket: Bucket | None = None
        self.nodes: dict[int, Node] = {}
        self.leaves: dict[int, Leaf] = {}
        self.filters: Filters = {}
        self.by_group = False
        self.item: Item | None = None
        self.foreign = ""
        self.foreign_filters: list[str] = []

    @property
    def major(self) -> int:
        return self.handle >> 16

    def inner(self) -> set[int]:
        """The classes that have others below them."""
        return {node.parent for node in self.nodes.values()}

    def depth(self, minor: int) -> int:
        """How many classes stand above one."""
        count = 0
        while minor in self.nodes and count < len(self.nodes):
            minor = self.nodes[minor].parent
            count += 1
        return count
