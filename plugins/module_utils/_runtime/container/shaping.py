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

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ..kernel.netdevice import Link
    from ..tc.planning import BandwidthPlan

WAYS = ("egress", "ingress")
_NO_LIMIT = {"rate": "max"}


def limit_of(name: str, asked: dict[str, Any] | None) -> Limit:
    """What is desired of a container as a whole: a way that is not named has no limit.

    Raises InvalidInput.
    """
    state = "present" if asked else "absent"
    ways = {way: (asked or {}).get(way, _NO_LIMIT) for way in WAYS}
    return Limit({"container": name, "state": state, **(ways if asked else {})})


def check(name: str, asked: dict[str, Any] | None, mtu: int) -> None:
    """Refuse what the kernel would not take on an interface with packets of this size."""
    limit = limit_of(name, asked)
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
        targets.bucket(wanted, mtu, what)


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
    return None if found == [None, None] else found


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
