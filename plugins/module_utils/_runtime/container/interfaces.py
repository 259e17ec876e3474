# Copyright: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""The interface of a container on a bridge as the kernel shows it, from both sides."""

from __future__ import annotations

import os

from ..kernel import bridgeport, namespaces, netdevice, netlink
from ..plan import Plan
from . import addresses, network, state, wiring

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ..kernel.netdevice import Link
    from ..kernel.netlink import Socket
    from ..tc.observation import Place
    from .paths import Paths

_PAIRS = (("received", "sent"), ("sent", "received"))


def host_end(door: Socket, name: str, paths: Paths) -> Link | None:
    """The interface on the machine's side, found by its mark; None where there is none."""
    marked = addresses.marks(name, paths)
    ends = [link for link in netdevice.links(door, "veth") if wiring.is_end_of(link, marked)]
    return ends[-1] if ends else None


class Shaped:
    """The limits of bandwidth of containers that run, for the time of one call."""

    def __init__(self) -> None:
        self._place: Place | None = None

    def plan(self, name: str, asked: dict[str, Any] | None, paths: Paths) -> Plan:
        """The steps to what is asked; none where the interface is not there: the next start sets it."""
        from ..tc.observation import Place
        from . import shaping

        if self._place is None:
            self._place = Place()
        self._place.forget()
        end = host_end(self._place.door, name, paths)
        return shaping.plan(name, asked, self._place, end) if end else Plan()

    def finish(self) -> None:
        if self._place is not None:
            self._place.close()
            self._place = None


def describe(name: str, record: dict[str, Any], paths: Paths) -> dict[str, Any]:
    """What there is beside what was asked for; nothing where the container does not run."""
    pid, start = int(record.get("pid") or 0), int(record.get("start") or 0)
    if not state.is_alive({"pid": pid, "start": start}):
        return {}
    with netlink.Socket() as door:
        end = host_end(door, name, paths)
        if end is None:
            return {}
        found = {
            "host_interface": end.name,
            "mtu": end.mtu,
            "counters": _turned(bridgeport.counters(door, end.index)),
        }
    return {**found, **_inside(pid, start, network.on_bridge(record.get("config"))["interface"])}


def _turned(counters: dict[str, int]) -> dict[str, int]:
    """Counters of the host's end as the container sees them: what one end sent, the other received."""
    found = {}
    for name, value in counters.items():
        way, _underscore, what = name.partition("_")
        found["%s_%s" % (dict(_PAIRS)[way], what)] = value
    return dict(sorted(found.items()))


def _inside(pid: int, start: int, interface: str) -> dict[str, Any]:
    """What the container's own end has."""
    try:
        namespace = namespaces.open_network(str(pid))
    except OSError:
        return {}  # it has ended
    try:
        if state.start_time(pid) != start:
            return {}
        with netlink.Socket(namespace=namespace) as door:
            link = netdevice.link(door, interface)
            if link is None:
                return {}
            found = [str(address) for address in netdevice.addresses(door, link.index) if not address.ip.is_link_local]
            return {"addresses": found, "mtu": link.mtu, "hardware_address": link.address.hex(":")}
    finally:
        os.close(namespace)
