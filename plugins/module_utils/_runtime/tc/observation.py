# Copyright: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""What the kernel holds of a network namespace, read once for each plan."""

from __future__ import annotations

import errno
import os

from ..errors import BulkheadError, InvalidInput
from ..foreseen import Missing
from ..kernel import bpf, namespaces, netdevice, netlink, nftables, traffic
from .tree import Filter, Leaf, Node, Tree, is_ours

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..kernel.netdevice import Link
    from ..kernel.netlink import Socket
    from ..kernel.nftables import Rule
    from ..kernel.traffic import Item

# Filters of ours on the hook of what is received. The second tells that the hook was there before.
OWN_HOOK, OTHERS_HOOK = 30001, 30002
# Those of the two generations of filters on a tree, for IPv4 and IPv6.
GENERATIONS = ({traffic.IPV4: 100, traffic.IPV6: 101}, {traffic.IPV4: 102, traffic.IPV6: 103})
# The one for control groups of v1 looks before them, as on v2 a control group does.
BY_GROUP, GROUP_FILTER = 99, 1
_PREFERENCES = {number: kind for one in GENERATIONS for kind, number in one.items()}
# Helper devices: an index that tells whose they are, and a group and text that tell they are ours.
_HELPERS = 1 << 24
GROUP = 0x62756C6B
_ALIAS = "bulkhead tc_bandwidth: what interface %d receives"
TABLE = "bulkhead_tc_%d"
# The text by which the interface of a container is found, on the host's side of it.
CONTAINER = "bulkhead container %s"


_LARGEST_ALIAS = 255  # IFALIASZ of include/uapi/linux/if.h, without the zero byte


def container_alias(name: str, prefix: str) -> str:
    """The alias of a container's interface. prefix: of the directories of the node that made it, so
    that the containers of another one are not taken for its own."""
    return (CONTAINER % name + (" below " + prefix if prefix else ""))[:_LARGEST_ALIAS]


def helper_index(index: int) -> int:
    """The index of the helper device of an interface."""
    return _HELPERS + index


def helper_name(index: int) -> str:
    return "bhi%d" % index


def helper_alias(index: int) -> str:
    return _ALIAS % index


class Hook:
    """Where an interface receives. kind: "" where there is no hook, "clsact" or "ingress".

    ours, others: the filters there; programs: what stands before all of them.
    """

    def __init__(self) -> None:
        self.kind = ""
        self.ours: list[Item] = []
        self.others: list[str] = []
        self.programs: list[str] = []
        self.outgoing: list[str] = []


class Place:
    """A network namespace. name: as the user names it, empty for this process's own."""

    def __init__(self, name: str = "") -> None:
        self.name = name
        try:
            self.fd = namespaces.open_network(name)
        except OSError as error:
            raise _no_namespace(name, error) from None
        self.own = not name
        self.door = self._enter()
        self._nft: Socket | None = None
        self.forget()

    def _enter(self) -> Socket:
        try:
            return netlink.Socket(netlink.ROUTE, None if self.own else self.fd)
        except OSError as error:
            os.close(self.fd)
            if error.errno == errno.EINVAL:
                raise _no_namespace(self.name, error) from None
            raise

    def forget(self) -> None:
        """Look anew from here on."""
        self._links: dict[str, Link | None] = {}
        self._qdiscs: dict[int, list[Item]] | None = None
        self._helpers: list[Link] | None = None
        self._tables: list[str] | None = None
        # Numbers of trees that a plan has given away and that are not there yet.
        self.promised: dict[int, int] = {}

    def close(self) -> None:
        self.door.close()
        if self._nft:
            self._nft.close()
        os.close(self.fd)

    def called(self, name: str) -> str:
        return "%s in %s" % (name, self.name) if self.name else name

    # Interfaces

    def link(self, name: str) -> Link | None:
        if name not in self._links:
            self._links[name] = netdevice.link(self.door, name)
        return self._links[name]

    def links(self) -> list[Link]:
        return netdevice.links(self.door)

    def helpers(self) -> list[Link]:
        """The helper devices of ours, also those whose interface is gone."""
        if self._helpers is None:
            self._helpers = [one for one in netdevice.links(self.door, "ifb") if one.group == GROUP]
        return self._helpers

    def helper(self, index: int) -> Link | None:
        """The helper device of an interface."""
        found = [one for one in self.helpers() if one.index == helper_index(index)]
        return found[0] if found else None

    def orphans(self) -> list[Link]:
        """Helper devices of interfaces that are gone."""
        helpers = self.helpers()
        if not helpers:
            return []
        there = {one.index for one in self.links()}
        return [one for one in helpers if one.index - _HELPERS not in there]

    # Queues

    def qdiscs(self, index: int) -> list[Item]:
        if self._qdiscs is None:
            self._qdiscs = {}
            for item in traffic.qdiscs(self.door):
                self._qdiscs.setdefault(item.index, []).append(item)
        return self._qdiscs.get(index, [])

    def majors(self) -> dict[int, int]:
        """{number of a tree of ours: the interface that has it}."""
        self.qdiscs(0)
        found = {}
        for index, items in (self._qdiscs or {}).items():
            for item in items:
                if item.parent == traffic.ROOT and is_ours(item.handle):
                    found[item.handle >> 16] = index
        return found

    def tree(self, index: int) -> Tree:
        """The queue of what an interface sends."""
        items = self.qdiscs(index)
        root = next((item for item in items if item.parent == traffic.ROOT), None)
        if root is None or not root.handle:  # the kernel's own one
            tree = Tree()
            tree.item = root
            return tree
        tree = Tree(root.kind, root.handle)
        tree.item = root
        if not is_ours(root.handle) or tree.kind not in ("tbf", "htb"):
            tree.foreign = "%s %x:" % (root.kind, root.handle >> 16)
        elif tree.kind == "tbf":
            tree.bucket = traffic.Bucket.read(root.options)
        else:
            self._read_classes(tree, index, items)
        return tree

    def _read_classes(self, tree: Tree, index: int, items: list[Item]) -> None:
        for item in traffic.classes(self.door, index):
            if item.handle >> 16 == tree.major and item.kind == "htb":
                parent = 0 if item.parent == traffic.ROOT else item.parent & 0xFFFF
                values = traffic.HtbClass.read(item.options)
                tree.nodes[item.handle & 0xFFFF] = Node(parent, values, item)
        for item in items:
            if item.parent >> 16 == tree.major and item.parent & 0xFFFF in tree.nodes:
                limit = traffic.pfifo_limit(item.options) if item.kind == "pfifo" else 0
                tree.leaves[item.parent & 0xFFFF] = Leaf(item.handle, item.kind, limit, item)
        for item in traffic.filters(self.door, index, tree.handle):
            _read_filter(tree, item)
        for held in tree.filters.values():
            held.sort(key=lambda one: (one.preference, one.handle))

    def hook(self, index: int) -> Hook:
        """What looks at what an interface receives."""
        hook = Hook()
        found = [item for item in self.qdiscs(index) if item.parent == traffic.HOOK_PARENT]
        if found:
            hook.kind = found[0].kind
            for item in traffic.filters(self.door, index, traffic.INGRESS):
                if item.kind == "u32" and item.preference in (OWN_HOOK, OTHERS_HOOK):
                    if item.handle & 0xFFF:
                        hook.ours.append(item)
                elif item.kind != "u32" or item.handle & 0xFFF:
                    hook.others.append("filter %s of preference %d" % (item.kind, item.preference))
            if hook.kind == "clsact":
                for item in traffic.filters(self.door, index, traffic.EGRESS):
                    hook.outgoing.append(
                        "filter %s of preference %d" % (item.kind, item.preference)
                    )
        hook.programs = self.programs(index)
        return hook

    def programs(self, index: int) -> list[str]:
        """BPF programs on an interface, of which `tc` shows nothing."""

        def look() -> list[str]:
            return [
                "%s program %s (id %d)" % (hook, name or "without a name", number)
                for hook in bpf.INTERFACE_HOOKS
                for number, name in bpf.on_interface(index, hook)
            ]

        return look() if self.own else namespaces.inside(self.fd, look)

    # Rules for control groups and marks

    def nft(self) -> Socket | None:
        if self._nft is None:
            self._nft = nftables.open_door(None if self.own else self.fd)
        return self._nft

    def tables(self) -> list[str]:
        """The tables of ours; none where the kernel has no nftables."""
        if self._tables is None:
            door = self.nft()
            names = (nftables.tables(door) if door else None) or []
            self._tables = [name for name in names if name.startswith(TABLE.partition("%")[0])]
        return self._tables

    def rules(self, index: int) -> list[Rule]:
        """The rules that send to classes of an interface."""
        door = self.nft()
        if door is None or TABLE % index not in self.tables():
            return []
        return nftables.rules(door, TABLE % index)


def _read_filter(tree: Tree, item: Item) -> None:
    if item.kind == "u32" and not item.handle & 0xFFF:
        return  # the head of a table
    if (item.kind, item.preference, item.handle) == ("cgroup", BY_GROUP, GROUP_FILTER):
        tree.by_group = True
        return
    keys = traffic.u32_keys(item.options) if item.kind == "u32" else None
    target = traffic.u32_class(item.options) if keys else 0
    if (
        keys is None
        or _PREFERENCES.get(item.preference) != item.protocol
        or target >> 16 != tree.major
    ):
        tree.foreign_filters.append("filter %s of preference %d" % (item.kind, item.preference))
        return
    one = Filter(keys, target & 0xFFFF, item.handle, item.preference)
    tree.filters.setdefault(item.protocol, []).append(one)


def _no_namespace(name: str, error: OSError) -> BulkheadError:
    there = " ".join(namespaces.names())
    if error.errno in (errno.ENOENT, errno.ESRCH):
        hint = "there are: %s" % there if there else "there is none with a name"
        return Missing("there is no network namespace %s" % name, hint=hint)
    if error.errno == errno.EINVAL:
        return InvalidInput("%s is not a network namespace" % name)
    return BulkheadError.from_os("network namespace %s could not be entered" % name, error)


def elsewhere(name: str) -> list[str]:
    """The namespaces with a name in which there is an interface of this name."""
    found = []
    for namespace in namespaces.names():
        try:
            place = Place(namespace)
        except (BulkheadError, OSError):
            continue
        try:
            if place.link(name):
                found.append(namespace)
        finally:
            place.close()
    return found
