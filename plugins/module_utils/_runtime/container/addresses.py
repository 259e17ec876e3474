# Copyright: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Which addresses a container gets on a bridge, by what is there: looked up before anything is
written, and refused where it cannot be had.

Two containers of this node never get the same one: what each has is in its record, or in what is
kept of it for the next boot. What other machines on a foreign bridge use cannot be seen from here.
"""

from __future__ import annotations

import contextlib
import ipaddress
import json
import os

from .. import desired
from ..errors import BulkheadError, InvalidInput
from ..foreseen import Missing
from ..kernel import bridgeport, flock, netdevice, netlink
from ..kernel.files import read_text
from . import network, state, wiring
from .network import on_bridge
from .paths import Paths

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from ..kernel.netdevice import Link
    from ..kernel.netlink import Socket

_ORDINARY_MTU = 1500
_PATIENCE = 300.0
# How far from the first address of a network one is chosen: a network of IPv6 is too large to look through.
_SPAN = 1 << 16


def marks(name: str, paths: Paths) -> dict[str, str]:
    """By what the things of a container are found."""
    return wiring.marks(name, paths.prefix, paths.states)


def _config_of(text: str | None) -> dict[str, Any]:
    try:
        found = json.loads(text or "{}")
        config = found.get("config", found)
        return config if isinstance(config, dict) else {}
    except (ValueError, AttributeError):
        return {}


def holders(paths: Paths) -> Iterator[tuple[str, dict[str, Any]]]:
    """(container, network) of all that have a place on a bridge, or will have it again."""
    there = set()
    for name in os.listdir(paths.states) if os.path.isdir(paths.states) else []:
        there.add(name)
        if not os.path.exists("%s/%s" % (paths.state(name), state.LEFT)):
            yield name, on_bridge((state.read(paths.state(name)) or {}).get("config"))
    for directory in paths.unit_specs:
        for file in os.listdir(directory) if os.path.isdir(directory) else []:
            name = file.replace(".json", "")
            if name not in there:
                yield name, on_bridge(_config_of(read_text("%s/%s" % (directory, file))))
    own = paths.lib + "/containers"
    for name in os.listdir(own) if os.path.isdir(own) else []:
        if name not in there:
            yield name, on_bridge(_config_of(read_text(paths.own(name) + "/config.json")))


def held_by(name: str, record: dict[str, Any] | None, paths: Paths) -> dict[str, Any]:
    """The network that a container has, or had before the machine was restarted."""
    if record is not None and record.get("config"):
        return on_bridge(record["config"])
    return on_bridge(_config_of(read_text(paths.own(name) + "/config.json")))


def told(config: dict[str, Any]) -> dict[str, Any]:
    """What a container has on its bridge, for people."""
    value = on_bridge(config)
    resolved = value.get("resolved") or {}
    return {
        "bridge": value["bridge"],
        "interface": value["interface"],
        "addresses": resolved.get("addresses", value["address"]),
        "gateways": resolved.get("gateways", []),
    }


def is_used(bridge: str, paths: Paths, but: str = "") -> bool:
    """Whether a container other than this one has a place on a bridge."""
    return any(value.get("bridge") == bridge for name, value in holders(paths) if name != but)


def awaited(value: dict[str, Any]) -> str:
    """Why a container cannot be started yet: its bridge is somebody else's, and not there."""
    bridge = network.foreign_bridge(value)
    if not bridge:
        return ""
    with netlink.Socket() as door:
        there = netdevice.link(door, bridge) is not None
    return "" if there else "there is no bridge %s" % bridge


class _Bridge:
    """A bridge as it is, or as it is to be made.

    link: None where it is to be made. addresses: its own, by which its networks are known.
    """

    def __init__(self, door: Socket, asked: dict[str, Any], marked: dict[str, str]) -> None:
        self.name: str = asked["bridge"]
        self.link: Link | None = netdevice.link(door, self.name)
        self.ours = self.link is None or wiring.is_ours(self.link, marked)
        given = [ipaddress.ip_interface(text) for text in asked["subnet"]]
        if self.link is None or (not self.link.alias and self.ours):
            self.addresses = given or self._defaults()
            self.mtu = max(_ORDINARY_MTU, asked["mtu"] or 0)
            self._check_free(door)
            return
        if self.link.kind != "bridge":
            raise InvalidInput(
                "network.bridge: the interface %s is no bridge%s"
                % (self.name, ", but of the kind " + self.link.kind if self.link.kind else ""),
                target=self.name,
            )
        self.mtu = self.link.mtu
        found = netdevice.addresses(door, self.link.index)
        self.addresses = [address for address in found if not address.ip.is_link_local]
        self._compare(given)

    def _defaults(self) -> list[Any]:
        if self.name != network.DEFAULT_BRIDGE:
            raise Missing(
                "network.bridge: there is no bridge %s" % self.name,
                target=self.name,
                hint="make it, or say in network.subnet which networks one of ours is to have",
            )
        defaults = [ipaddress.ip_interface(text) for text in network.DEFAULT_SUBNETS]
        return [one for one in defaults if one.version == 4 or _has_version_6()]

    def _check_free(self, door: Socket) -> None:
        """Refuse a network that the machine has on another interface."""
        for link in netdevice.links(door):
            if self.link is not None and link.index == self.link.index:
                continue
            for there in netdevice.addresses(door, link.index):
                for address in self.addresses:
                    if there.version == address.version and there.network.overlaps(address.network):
                        raise InvalidInput(
                            "network.subnet: %s overlaps with %s of the interface %s"
                            % (address.network, there.network, link.name),
                            hint="give another one in network.subnet",
                        )

    def _compare(self, given: list[Any]) -> None:
        missing = [str(address) for address in given if address not in self.addresses]
        if missing:
            has = ", ".join(map(str, network.in_order(self.addresses))) or "no address"
            raise InvalidInput(
                "network.subnet: the bridge %s is there and has %s, not %s"
                % (self.name, has, ", ".join(missing)),
                target=self.name,
                hint="it is %s: leave network.subnet out, or name another bridge"
                % ("used by other containers" if self.ours else "not made by this collection"),
            )

    def check_mtu(self, asked: int | None) -> int:
        """The largest packet of a container. Raises InvalidInput."""
        if asked is not None and asked > self.mtu:
            raise InvalidInput(
                "network.mtu: %d is more than the %d of the bridge %s"
                % (asked, self.mtu, self.name)
            )
        return asked or self.mtu


def _has_version_6() -> bool:
    return os.path.exists("/proc/net/if_inet6")


class Addresses:
    """What the containers of one call get.

    given: of those that were seen to before, by container; leaving: the containers that go.
    """

    def __init__(self, paths: Paths) -> None:
        self.paths = paths
        self.given: dict[str, dict[str, Any]] = {}
        self.leaving: set[str] = set()
        self._asked: dict[str, dict[str, Any]] = {}
        self._seen: dict[str, dict[str, Any]] = {}
        self._made: set[str] = set()
        self._can = False

    def begin(self, leaving: set[str], asked: dict[str, dict[str, Any]]) -> None:
        """Forget what an earlier plan of the call has given. asked: for each container of the call."""
        self.given, self.leaving, self._made = {}, leaving, set()
        self._asked = {name: value for name, value in asked.items() if value}
        self._seen = dict(holders(self.paths)) if self._asked else {}

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """No other run gives addresses meanwhile; where this one gives none, nothing is locked."""
        if not self.given:
            yield
            return
        # Not the directory of the records: whoever makes an interface locks that one, for a moment.
        why = "other runs have been giving addresses to containers for %d seconds"
        with flock.held(os.path.dirname(self.paths.own("")), True, _PATIENCE, why):
            yield

    def is_stale(self) -> bool:
        """Whether another run has given addresses, or taken them back, since the plan was made."""
        return bool(self.given) and dict(holders(self.paths)) != self._seen

    def is_to_be_made(self, value: dict[str, Any]) -> bool:
        """Whether the bridge is missing; said once for each."""
        name = value["bridge"]
        if name in self._made:
            return False
        self._made.add(name)
        with netlink.Socket() as door:
            return netdevice.link(door, name) is None

    def resolve(self, name: str, asked: dict[str, Any], held: dict[str, Any]) -> dict[str, Any]:
        """The network of a container with what follows from the machine. Raises InvalidInput.

        held: what the container has, which it keeps where that is as good.
        """
        try:
            with netlink.Socket() as door:
                found = self._resolve(name, asked, held.get("resolved") or {}, door)
        except BulkheadError as error:
            error.problem = "container %s: %s" % (name, error.problem)
            raise
        self.given[name] = found
        return found

    def _resolve(
        self, name: str, asked: dict[str, Any], held: dict[str, Any], door: Socket
    ) -> dict[str, Any]:
        self._check_kernel()
        bridge = _Bridge(door, asked, marks(name, self.paths))
        others = self._others(name, bridge.name)
        self._check_others(bridge, others)
        if asked["address"]:
            addresses = [ipaddress.ip_interface(text) for text in asked["address"]]
            for address in addresses:
                self._check_address(address, bridge, others)
        else:
            addresses = self._allocate(name, bridge, held, others)
        mtu = bridge.check_mtu(asked["mtu"])
        if asked.get("bandwidth"):
            from . import shaping

            shaping.check(name, asked["bandwidth"], bridge.mtu)
        return {
            **{name: value for name, value in asked.items() if name != "resolved"},
            "resolved": {
                "addresses": [str(address) for address in addresses],
                "gateways": _gateways(asked["gateway"], addresses, bridge),
                "bridge_addresses": [str(one) for one in bridge.addresses] if bridge.ours else [],
                "bridge_mtu": bridge.mtu,
                "mtu": mtu,
                "hardware": _hardware(addresses[0]).hex(),
            },
        }

    def _check_kernel(self) -> None:
        if self._can:
            return
        error = bridgeport.why_not()
        if error is not None:
            raise BulkheadError.from_os(
                "this kernel makes no bridge or no pair of interfaces",
                error,
                kernel=getattr(error, "words", ""),
                hint="it needs CONFIG_BRIDGE and CONFIG_VETH",
            )
        self._can = True

    def _others(self, name: str, bridge: str) -> dict[Any, str]:
        """{address: container}, of those on the bridge."""
        values = {other: value for other, value in self._seen.items() if value}
        values = {**values, **self._asked, **self.given}
        found: dict[Any, str] = {}
        for other, value in values.items():
            if other == name or other in self.leaving or value.get("bridge") != bridge:
                continue
            for text in (value.get("resolved") or {}).get("addresses") or value["address"]:
                found[ipaddress.ip_interface(text).ip] = other
        return {**self._kept(name, bridge), **found}

    def _kept(self, name: str, bridge: str) -> dict[Any, str]:
        """The same of those that come back with the next boot."""
        found: dict[Any, str] = {}
        for other, options in desired.read("container_run").items():
            if other == name or other in self.leaving:
                continue
            try:
                value = on_bridge({"network": network.parse(options.get("network"), [])})
            except InvalidInput:
                continue  # it will not run
            if value.get("bridge") == bridge:
                for text in value["address"]:
                    found[ipaddress.ip_interface(text).ip] = other
        return found

    def _check_others(self, bridge: _Bridge, others: dict[Any, str]) -> None:
        """Refuse a bridge that is made with other networks than containers on it have had."""
        if bridge.link is not None:
            return
        for address, other in others.items():
            if not any(address in one.network for one in bridge.addresses):
                raise InvalidInput(
                    "network.subnet: container %s has %s on the bridge %s, which is outside of it"
                    % (other, address, bridge.name)
                )

    def _check_address(self, address: Any, bridge: _Bridge, others: dict[Any, str]) -> None:
        networks = [one.network for one in bridge.addresses]
        if address.version == 6 and not _has_version_6():
            raise InvalidInput("network.address: %s: this kernel has no IPv6" % address)
        # A foreign bridge may have no address, and then any network may be behind it.
        if address.network not in networks and (networks or bridge.ours):
            raise InvalidInput(
                "network.address: %s is outside of %s, which the bridge %s has"
                % (address, " and ".join(map(str, networks)), bridge.name)
            )
        holder = others.get(address.ip)
        if address.ip in [one.ip for one in bridge.addresses]:
            holder = "the bridge %s itself" % bridge.name
        elif holder:
            holder = "container %s" % holder
        if holder:
            raise InvalidInput("network.address: %s has %s already" % (holder, address.ip))

    def _allocate(
        self, name: str, bridge: _Bridge, held: dict[str, Any], others: dict[Any, str]
    ) -> list[Any]:
        """An address of each network of the bridge: what the container has, or a free one."""
        if not bridge.addresses:
            raise InvalidInput(
                "network.address is required: the bridge %s has no address to tell its network by"
                % bridge.name
            )
        before = [ipaddress.ip_interface(text) for text in held.get("addresses") or []]
        found = []
        for own in network.in_order(bridge.addresses):
            if own.version == 6 and not _has_version_6():
                continue
            taken = {own.ip, *others}
            kept = [one for one in before if one.network == own.network and one.ip not in taken]
            found.append(kept[0] if kept else _free(name, own.network, taken, bridge.name))
        return found


def _free(name: str, subnet: Any, taken: set[Any], bridge: str) -> Any:
    """A free address of a network: the place to begin with follows from the name, so that a
    container tends to have the same one again."""
    import hashlib

    most = min(subnet.num_addresses - (2 if subnet.version == 4 else 1), _SPAN)
    begin = int.from_bytes(hashlib.sha256(name.encode()).digest()[:4], "big") % most
    for step in range(most):
        address = subnet.network_address + 1 + (begin + step) % most
        if address not in taken:
            return ipaddress.ip_interface("%s/%d" % (address, subnet.prefixlen))
    raise InvalidInput(
        "network.address: no address of %s on the bridge %s is free" % (subnet, bridge)
    )


def _gateways(asked: list[str] | None, addresses: list[Any], bridge: _Bridge) -> list[str]:
    """Where the default routes go: by default to the bridge, where it has an address."""
    networks = [address.network for address in addresses]
    if asked is None:
        return [str(one.ip) for one in bridge.addresses if one.network in networks][: len(networks)]
    for text in asked:
        gateway = ipaddress.ip_address(text)
        if not any(gateway in one for one in networks if one.version == gateway.version):
            raise InvalidInput("network.gateway: %s is in no network of the container" % text)
        if gateway in [address.ip for address in addresses]:
            raise InvalidInput("network.gateway: %s is the container's own address" % text)
    return asked


def _hardware(address: Any) -> bytes:
    """The address of the link layer: the same at each start, so that neighbours need not ask anew."""
    folded = 0
    number = int(address.ip)
    while number:
        folded ^= number & 0xFFFFFFFF
        number >>= 32
    return b"\x02\x62" + folded.to_bytes(4, "big")
