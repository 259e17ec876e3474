# Copyright: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""The bandwidth of a container on a bridge, with the code of tc_bandwidth, on the machine's end.

It is set when the interface is made, before the container's command runs, and changed while the
container runs. Whoever starts a container imports this before, and nothing of it imports later.
"""

from __future__ import annotations

from ..errors import BulkheadError, InvalidInput
from ..kernel import netdevice
from ..tc import planning, steps, targets
from ..tc.limit import Limit
from ..tc.observation import Place
from ..tc.tree import FIRST_TREE, Tree
from .network import SET_BY

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ..kernel.netdevice import Link
    from ..tc.limit import Class
    from ..tc.planning import BandwidthPlan

WAYS = ("egress", "ingress")
MORE = ("classes", "overcommit")
_NO_LIMIT = {"rate": "max"}
# What a queue has and classes have not.
_OF_A_QUEUE = ("latency", "limit", "peakrate")


def limit_of(name: str, asked: dict[str, Any] | None) -> Limit:
    """What is desired of a container as a whole: a way that is not named has no limit.

    Raises InvalidInput.
    """
    state = "present" if asked else "absent"
    ways = {way: (asked or {}).get(way, _NO_LIMIT) for way in WAYS}
    more = {"classes": [], **{key: value for key, value in (asked or {}).items() if key in MORE}}
    return Limit({"container": name, "state": state, **({**ways, **more} if asked else {})})


def laid_over(held: dict[str, Any], limit: Limit) -> dict[str, Any] | None:
    """What a container is limited to when tc_bandwidth asks for this: what it does not give stays.

    None where nothing is limited any more.
    """
    given: dict[str, Any] = {way: getattr(limit, way).asked for way in WAYS if getattr(limit, way)}
    if limit.classes is not None:
        given["classes"] = [one.asked for one in limit.classes]
        given["overcommit"] = limit.overcommit
    found = {key: value for key, value in {**held, **given}.items() if key != SET_BY}
    if found.get("classes") and "egress" in held and "egress" not in given:
        kept = found["egress"]
        found["egress"] = {key: value for key, value in kept.items() if key not in _OF_A_QUEUE}
    if not limit.present or same(found) is None:
        return None
    return {**found, SET_BY: "tc_bandwidth"}


def check(name: str, asked: dict[str, Any] | None, mtu: int) -> None:
    """Refuse what the kernel would not take on an interface with packets of this size."""
    limit = limit_of(name, asked)
    if limit.classes:
        _check_classes(limit, mtu)
    for way, wanted in (("egress", limit.egress), ("ingress", limit.ingress)):
        if wanted is None or wanted.rate is None:
            continue
        what = "network.bandwidth.%s" % way
        if wanted.method == "police":
            if way == "ingress":
                raise InvalidInput(
                    "%s: the method police is for what a container sends" % what,
                    hint="on the machine's end of its interface, what it receives is sent, and has a queue",
                )
            continue
        if not (limit.classes and way == "egress"):
            targets.bucket(wanted, mtu, what)


def _check_classes(limit: Limit, mtu: int) -> None:
    """Refuse what would be refused on the interface, which is not there yet."""
    what, asked = "network.bandwidth", (limit.egress, limit.classes, Tree())
    queue = targets.queue_of(*asked, mtu, what, lambda: FIRST_TREE, lambda: "pfifo")
    if queue is not None:
        planning.refuse_steered(queue)
        planning.check_sums(what, queue, limit.classes, limit.overcommit, mtu)


def same(asked: dict[str, Any] | None) -> Any:
    """The value in the one spelling by which it is compared."""
    if not asked:
        return None
    limit = limit_of("x", asked)
    found: list[Any] = []
    for wanted in (limit.egress, limit.ingress):
        if wanted is None or wanted.rate is None:
            found.append(None)
            continue
        numbers = (wanted.rate, wanted.burst, wanted.limit, wanted.latency, wanted.peakrate)
        found.append((wanted.method, *numbers))
    classes = sorted(map(_same_class, limit.classes or []))
    return None if found == [None, None] and not classes else [*found, *classes]


def _same_class(one: Class) -> tuple[Any, ...]:
    key = str(one.match.key()) if one.match else ""
    return (one.name, one.parent, one.rate, one.ceil, one.burst or 0, one.priority, key)


def plan(name: str, asked: dict[str, Any] | None, place: Place, link: Link) -> BandwidthPlan:
    """What is missing on the machine's end of a container's interface."""
    return planning.plan_limits([(limit_of(name, asked), place, link)])


def apply(name: str, asked: dict[str, Any], interface: str) -> None:
    """Set the limits on an interface of this process's network namespace."""
    place = Place()
    try:
        link = place.link(interface)
        if link is None:
            raise BulkheadError("the interface %s was taken away" % interface, target=interface)
        steps.apply(plan(name, asked, place, link))
    finally:
        place.close()


def sweep() -> None:
    """Remove the helper devices of interfaces that are gone."""
    place = Place()
    try:
        place.door.send([netdevice.delete(link.index) for link in place.orphans()])
    finally:
        place.close()
