# Copyright: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""What was asked for and what the kernel holds, in the units of people and in ticks."""

from __future__ import annotations

from ..kernel import traffic
from . import units
from .limit import Class, Direction, Limit
from .planning import BandwidthPlan, Seen
from .targets import Names
from .tree import DEFAULT, WHOLE, Tree, minors

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def report(limits: list[Limit], last: BandwidthPlan) -> list[dict[str, Any]]:
    """What modules return for each limit.

    last: the last plan made: what it saw is what holds; where it still has steps (check mode), what
    they would make is told.
    """
    return [_report_one(limit, last) for limit in limits]


def _report_one(limit: Limit, last: BandwidthPlan) -> dict[str, Any]:
    facts: dict[str, Any] = {"name": limit.name, "state": "present" if limit.present else "absent"}
    facts.update(asked=asked_of(limit), effective={}, rounded=[], others=[])
    seen = last.seen.get(limit.name)
    if seen is None:
        return facts
    facts["others"] = seen.others()
    facts["interface"] = seen.link.name
    if not limit.present:
        return facts
    outgoing, incoming = last.wanted[limit.name]
    names = Names(names_of(limit.classes))
    out = outgoing.tree if last.steps and outgoing else seen.outgoing
    inside = incoming.tree if last.steps and incoming else seen.incoming
    received = tree_facts(inside, names) or policed(seen)
    if last.steps and limit.ingress and limit.ingress.method == "police":
        received = {"ingress": limit.ingress.asked}
    facts["effective"] = merged(tree_facts(out, names), received, bool(limit.container))
    facts["rounded"] = _rounded(limit, facts["effective"])
    facts["summary"] = summary(facts["effective"])
    return facts


def summary(effective: dict[str, Any]) -> str:
    """One line about what holds."""
    parts = [
        "%s %s" % (name, effective[name]["rate"])
        for name in ("egress", "ingress")
        if effective.get(name)
    ]
    for name, facts in effective.get("classes", {}).items():
        up_to = " up to %s" % facts["ceil"] if facts["ceil"] != facts["rate"] else ""
        parts.append("%s %s%s" % (name, facts["rate"], up_to))
    return ", ".join(parts) or "not limited"


def merged(out: dict[str, Any], received: dict[str, Any], container: bool) -> dict[str, Any]:
    """Both directions by the names that they have for whoever asked."""
    first, second = ("ingress", "egress") if container else ("egress", "ingress")
    found: dict[str, Any] = {}
    for name, facts in ((first, out), (second, received)):
        if facts:
            found[name] = facts["whole"]
        if facts.get("classes"):
            found["classes"] = facts["classes"]
    return {name: found[name] for name in ("egress", "ingress", "classes") if name in found}


def names_of(classes: list[Class] | None) -> dict[str, int]:
    """The numbers of classes, by name, as they are when these are asked for."""
    if not classes:
        return {}
    inner = {one.parent for one in classes}
    rest = next((one.name for one in classes if one.match is None and one.name not in inner), None)
    found = minors(one.name for one in classes if one.name != rest)
    return {**found, **({rest: DEFAULT} if rest else {})}


def asked_of(limit: Limit) -> dict[str, Any]:
    """What was asked for, by option."""
    found: dict[str, Any] = {}
    for name, direction in (("egress", limit.egress), ("ingress", limit.ingress)):
        if direction is not None:
            found[name] = direction.asked
    if limit.classes is not None:
        found["classes"] = [one.asked for one in limit.classes]
    return found


def tree_facts(tree: Tree, names: Names) -> dict[str, Any]:
    """{whole: ..., classes: ...} of a queue of ours; nothing of another one."""
    if tree.foreign or not tree.kind:
        return {}
    if tree.bucket:
        return {"whole": bucket_facts(tree.bucket)}
    whole = tree.nodes.get(WHOLE)
    found: dict[str, Any] = {"whole": class_facts(whole.values) if whole else {}}
    found["classes"] = {}
    for minor, node in tree.nodes.items():
        if minor == WHOLE:
            continue
        facts = class_facts(node.values)
        facts["class"] = "%x:%x" % (tree.major, minor)
        if node.parent != WHOLE:
            facts["parent"] = names(node.parent)
        found["classes"][names(minor)] = facts
    return found


def bucket_facts(bucket: traffic.Bucket) -> dict[str, Any]:
    """One bucket, for people and in ticks."""
    facts: dict[str, Any] = {
        "rate": units.format_rate(bucket.rate),
        "burst": units.bytes_of(bucket.buffer, bucket.rate),
        "burst_ticks": bucket.buffer,
        "limit": bucket.limit,
    }
    if bucket.peakrate:
        facts["peakrate"] = units.format_rate(bucket.peakrate)
    return facts


def class_facts(values: traffic.HtbClass) -> dict[str, Any]:
    """One class, for people and in ticks."""
    unlimited = values.rate == units.UNLIMITED
    return {
        "rate": "max" if unlimited else units.format_rate(values.rate),
        "ceil": "max" if values.ceil == units.UNLIMITED else units.format_rate(values.ceil),
        "burst": units.bytes_of(values.buffer, values.rate),
        "burst_ticks": values.buffer,
        "priority": values.prio,
    }


def policed(seen: Seen) -> dict[str, Any]:
    """A limit by policing on what is received."""
    for item in seen.hook.ours:
        done = traffic.Action(item.options)
        if done.kind == "police":
            burst = units.bytes_of(done.burst, done.rate)
            rate = units.format_rate(done.rate)
            return {
                "whole": {
                    "rate": rate,
                    "burst": burst,
                    "burst_ticks": done.burst,
                    "method": "police",
                }
            }
    return {}


def _rounded(limit: Limit, effective: dict[str, Any]) -> list[str]:
    """The options for which the kernel has no exact number."""
    found = []
    for name, direction in (("egress", limit.egress), ("ingress", limit.ingress)):
        if direction is not None and direction.rate is not None:
            found += _rounded_in(name, direction, effective.get(name, {}))
    for one in limit.classes or []:
        facts = effective.get("classes", {}).get(one.name, {})
        if not all(
            units.is_exact(one.asked[rate]) for rate in ("rate", "ceil") if rate in one.asked
        ):
            found.append("classes.%s.rate" % one.name)
        if one.burst is not None and facts.get("burst") != one.burst:
            found.append("classes.%s.burst" % one.name)
    return found


def _rounded_in(name: str, direction: Direction, facts: dict[str, Any]) -> list[str]:
    found = []
    for option in ("rate", "peakrate"):
        if option in direction.asked and not units.is_exact(direction.asked[option]):
            found.append("%s.%s" % (name, option))
    if direction.burst is not None and facts.get("burst") != direction.burst:
        found.append(name + ".burst")
    return found
