# Copyright: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""What limits interfaces have, what passed and was dropped, and how much passes now."""

from __future__ import annotations

import time

from .. import desired
from ..errors import BulkheadError
from ..kernel import traffic
from . import report
from .limit import Limit, named
from .observation import Place
from .planning import Seen, find, missing
from .subject import Bandwidth
from .targets import Names
from .tree import WHOLE, Tree

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ..kernel.netdevice import Link
    from ..kernel.traffic import Item

    Counters = dict[str, int]

_KIND = Bandwidth.kind


def look(options: dict[str, Any], interval: float = 0.0) -> list[dict[str, Any]]:
    """Each interface of a network namespace, or the one that is named.

    options: interface, netns and container, as for a limit. interval: seconds over which the
    traffic is measured.
    """
    place = Place(str(options.get("netns") or ""))
    try:
        links = _links(place, options)
        kept = _kept_names()
        found = [_Interface(place, link, kept) for link in links]
        began = time.monotonic()
        if interval:
            time.sleep(interval)
            place.forget()
        spent = time.monotonic() - began
        for one in found:
            one.measure(spent if interval else 0.0)
        return [one.facts for one in found]
    finally:
        place.close()


def _links(place: Place, options: dict[str, Any]) -> list[Link]:
    if not options.get("interface") and not options.get("container"):
        helpers = {link.index for link in place.helpers()}
        return [link for link in place.links() if link.index not in helpers]
    limit = Limit(options)
    link = find(place, limit)
    if link is None:
        raise missing(limit)
    return [link]


def _kept_names() -> dict[str, dict[str, int]]:
    """The names of classes, by what is kept: the kernel has numbers only."""
    found = {}
    try:
        kept = desired.read(_KIND)
    except BulkheadError:
        return {}
    for name, options in kept.items():
        try:
            found[name] = report.names_of(Limit({**options, **named(name)}).classes)
        except BulkheadError:
            continue  # bulkhead status says what is wrong with it
    return found


class _Interface:
    """One interface: what is configured, and its counters as they were first."""

    def __init__(self, place: Place, link: Link, kept: dict[str, dict[str, int]]) -> None:
        self.place = place
        self.link = link
        seen = Seen(place, link)
        self.names = Names(kept.get(place.called(link.name)))
        self.facts: dict[str, Any] = {
            "interface": link.name,
            "netns": place.name,
            "kind": link.kind,
            "up": link.up,
            "mtu": link.mtu,
            "limited": not seen.nothing,
            "queue": seen.outgoing.item.kind if seen.outgoing.item else "",
            "egress": None,
            "ingress": None,
            "classes": [],
            "others": seen.others(),
            "direct_packets": _direct(seen.outgoing),
        }
        self._configured(seen)
        self._before = _counted(seen)

    def _configured(self, seen: Seen) -> None:
        out = report.tree_facts(seen.outgoing, self.names)
        received = report.tree_facts(seen.incoming, self.names) or report.policed(seen)
        self.facts["egress"] = out.get("whole")
        self.facts["ingress"] = received.get("whole")
        for direction, facts in (("egress", out), ("ingress", received)):
            for name, one in facts.get("classes", {}).items():
                self.facts["classes"].append({"name": name, "direction": direction, **one})

    def measure(self, spent: float) -> None:
        """Add counters, and what passed in the meantime where that was asked for."""
        seen = Seen(self.place, self.link) if spent else None
        after = _counted(seen) if seen else self._before
        for key, counters in after.items():
            facts = self._of(key)
            if facts is None:
                continue
            facts["counters"] = counters
            if spent:
                facts["measured"] = _measured(self._before.get(key, {}), counters, spent)

    def _of(self, key: tuple[str, int]) -> dict[str, Any] | None:
        direction, minor = key
        if minor == WHOLE:
            facts: dict[str, Any] | None = self.facts[direction]
            return facts
        classes: list[dict[str, Any]] = self.facts["classes"]
        for one in classes:
            if one["direction"] == direction and int(one["class"].partition(":")[2], 16) == minor:
                return one
        return None


def _direct(tree: Tree) -> int:
    """Packets that passed beside all classes."""
    return traffic.htb_direct_packets(tree.item.options) if tree.item and tree.kind == "htb" else 0


def _counted(seen: Seen) -> dict[tuple[str, int], Counters]:
    """{(direction, class): counters}; the class of everything stands for the queue itself."""
    found: dict[tuple[str, int], Counters] = {}
    for direction, tree in (("egress", seen.outgoing), ("ingress", seen.incoming)):
        if tree.foreign or not tree.kind or tree.item is None:
            continue
        found[direction, WHOLE] = tree.item.counters()
        for minor, node in tree.nodes.items():
            if minor != WHOLE and node.item is not None:
                found[direction, minor] = _class_counters(node.item, tree, minor)
    return found


def _class_counters(item: Item, tree: Tree, minor: int) -> Counters:
    """Those of a class; its queue knows better what was dropped."""
    counters = item.counters()
    leaf = tree.leaves.get(minor)
    if leaf and leaf.item is not None:
        counters["dropped"] = max(counters["dropped"], leaf.item.counters()["dropped"])
    return counters


def _measured(before: Counters, after: Counters, spent: float) -> dict[str, Any]:
    passed = {
        name: max(after[name] - before.get(name, 0), 0) for name in ("bytes", "packets", "dropped")
    }
    return {
        "interval": round(spent, 3),
        "bits_per_second": round(passed["bytes"] * 8 / spent),
        "packets_per_second": round(passed["packets"] / spent),
        "dropped": passed["dropped"],
    }
