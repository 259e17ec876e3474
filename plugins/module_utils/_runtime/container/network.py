# Copyright: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""The network of a container, as it is asked for: one word, or what its interface is to be.

Nothing of the machine is looked at here. What follows from the machine is added to the value under
`resolved` when the container is made (addresses.py), and is no part of what is compared.
"""

from __future__ import annotations

import re

from ..errors import InvalidInput
from ..records import without_none
from . import words

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

DEFAULT_BRIDGE = "bulkhead0"
# Of the bridge of this name, where nothing else is asked for: private networks (RFC 1918, RFC 4193).
DEFAULT_SUBNETS = ("10.98.107.1/24", "fd5c:9a3e:71b4::1/64")
_MODES = ("none", "host", "bridge")
_OF_A_BRIDGE = ("bridge", "subnet", "address", "gateway", "interface", "mtu", "bandwidth")
# dev_valid_name() of the kernel, and no "%", by which it would number interfaces.
_INTERFACE = re.compile(r"[^\s/:%\0]{1,15}")
_TAKEN = ("lo", ".", "..", "all", "default")
_SMALLEST, _SMALLEST_6, _LARGEST = 68, 1280, 65535
# Under this key limits say that tc_bandwidth set them, and not whoever made the container.
SET_BY = "set_by"


def parse(value: object, capabilities: list[str]) -> dict[str, Any]:
    """The value of the configuration. Raises InvalidInput."""
    asked = {"mode": value} if isinstance(value, str) else words.mapping(value, "network")
    asked = {name: given for name, given in asked.items() if given is not None}
    unknown = sorted(str(name) for name in asked if name not in ("mode", *_OF_A_BRIDGE))
    if unknown:
        raise InvalidInput(
            "network: %s is none of mode, %s" % (unknown[0], ", ".join(_OF_A_BRIDGE))
        )
    mode = asked.get("mode", "none")
    if mode not in _MODES:
        raise InvalidInput("network.mode: %r is none of %s" % (mode, ", ".join(_MODES)))
    if mode != "bridge":
        for name in _OF_A_BRIDGE:
            if name in asked:
                raise InvalidInput("network.%s: it is for network.mode bridge alone" % name)
        return {"mode": str(mode)}
    if "NET_ADMIN" in capabilities:
        raise InvalidInput(
            "network.mode: bridge cannot be had with the capability NET_ADMIN",
            hint="without a user namespace, the kernel lets a process with NET_ADMIN reach the "
            "machine's own interfaces by the other end of its own: drop one of the two",
        )
    return _parse_bridge(asked)


def _parse_bridge(asked: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {
        "mode": "bridge",
        "bridge": _interface(asked.get("bridge", DEFAULT_BRIDGE), "network.bridge"),
        "subnet": _subnets(asked.get("subnet")),
        "address": _addresses(asked.get("address")),
        "gateway": _gateways(asked.get("gateway")),
        "interface": _interface(asked.get("interface", "eth0"), "network.interface"),
        "mtu": None,
    }
    bandwidth = _bandwidth(asked.get("bandwidth"))
    if bandwidth:
        found["bandwidth"] = bandwidth
    if asked.get("mtu") is not None:
        found["mtu"] = words.whole(asked["mtu"], "network.mtu", _SMALLEST, _LARGEST)
    version_6 = any(":" in address for address in found["address"])
    if version_6 and found["mtu"] is not None and found["mtu"] < _SMALLEST_6:
        raise InvalidInput("network.mtu: IPv6 takes %d bytes at least" % _SMALLEST_6)
    return found


def _interface(value: object, what: str) -> str:
    name = words.text(value, what)
    if not _INTERFACE.fullmatch(name) or name in _TAKEN:
        raise InvalidInput("%s: %r is no name that an interface can have" % (what, name))
    return name


def _texts(value: object, what: str) -> list[str]:
    if isinstance(value, str):
        return [value]
    return [words.text(item, what) for item in words.items(value, what)]


def _interfaces_of(value: object, what: str) -> list[Any]:
    """Addresses with the length of their network, each once."""
    import ipaddress

    found: list[Any] = []
    for text in _texts(value, what):
        try:
            address = ipaddress.ip_interface(text)
        except ValueError:
            raise InvalidInput("%s: %r is not an address" % (what, text)) from None
        if "/" not in text:
            raise InvalidInput(
                "%s: %r lacks the length of its network" % (what, text),
                hint="as in %s/%d" % (text, 24 if address.version == 4 else 64),
            )
        found.append(address)
    return found


def _check_usable(address: Any, text: str, what: str) -> None:
    kinds = ("is_multicast", "is_loopback", "is_unspecified", "is_link_local")
    for kind in kinds:
        if getattr(address, kind):
            word = kind[len("is_") :].replace("_", "-")
            raise InvalidInput("%s: %s is a %s address" % (what, text, word))


def in_order(addresses: list[Any]) -> list[Any]:
    """IPv4 first, each once."""

    def place(address: Any) -> tuple[int, int, str]:
        return address.version, int(getattr(address, "ip", address)), str(address)

    return sorted(set(addresses), key=place)


def _addresses(value: object) -> list[str]:
    found = _interfaces_of(value, "network.address")
    for address in found:
        _check_usable(address.ip, str(address), "network.address")
        _check_host(address, "network.address")
    if len({address.ip for address in found}) < len(found):
        raise InvalidInput("network.address: an address is named twice")
    return [str(address) for address in in_order(found)]


def _check_host(address: Any, what: str) -> None:
    """Refuse what means the network itself, or all in it."""
    network = address.network
    if network.prefixlen >= network.max_prefixlen - 1:
        return
    if address.ip == network.network_address or (
        address.version == 4 and address.ip == network.broadcast_address
    ):
        raise InvalidInput("%s: %s is the address of a network, not of one in it" % (what, address))


def _subnets(value: object) -> list[str]:
    """The addresses of a bridge that is made: those given, or the first of each network."""
    import ipaddress

    found: list[Any] = []
    for address in _interfaces_of(value, "network.subnet"):
        network = address.network
        _check_usable(network.network_address, str(network), "network.subnet")
        if network.prefixlen > network.max_prefixlen - 2:
            raise InvalidInput("network.subnet: %s has no room for a container" % network)
        if address.ip == network.network_address:
            text = "%s/%d" % (network.network_address + 1, network.prefixlen)
            address = ipaddress.ip_interface(text)
        _check_host(address, "network.subnet")
        if any(
            address.network.overlaps(other.network)
            for other in found
            if other.version == address.version
        ):
            raise InvalidInput("network.subnet: %s is there twice, or in part" % network)
        found.append(address)
    return [str(address) for address in in_order(found)]


def _gateways(value: object) -> list[str] | None:
    """None: what the bridge has; an empty list: no default route."""
    import ipaddress

    if value is None:
        return None
    if value == "none":
        return []
    found: list[Any] = []
    for text in _texts(value, "network.gateway"):
        try:
            address = ipaddress.ip_address(text)
        except ValueError:
            raise InvalidInput("network.gateway: %r is not an address" % text) from None
        _check_usable(address, text, "network.gateway")
        found.append(address)
    versions = [address.version for address in in_order(found)]
    if len(set(versions)) < len(versions):
        raise InvalidInput("network.gateway: there can be one for IPv4 and one for IPv6")
    return [str(address) for address in in_order(found)]


def _bandwidth(value: object) -> dict[str, Any] | None:
    """The limits, as tc_bandwidth takes them."""
    if value is None:
        return None
    from ..tc.limit import OF_A_WAY
    from . import shaping

    given: dict[str, Any] = {}
    for way, asked in words.mapping(value, "network.bandwidth").items():
        known = (*shaping.WAYS, *shaping.MORE)
        if way not in (*known, SET_BY):
            raise InvalidInput("network.bandwidth: %s is none of %s" % (way, ", ".join(known)))
        if asked is None:
            continue
        if way not in shaping.WAYS:
            given[way] = _more(way, asked)
            continue
        given[way] = without_none(words.mapping(asked, "network.bandwidth.%s" % way))
        for name in given[way]:
            if name not in OF_A_WAY:
                what = "network.bandwidth.%s: %s is none of %s"
                raise InvalidInput(what % (way, name, ", ".join(OF_A_WAY)))
    try:
        shaping.limit_of("x", given)
    except InvalidInput as error:
        error.problem = "network.bandwidth: %s" % error.problem
        raise
    return given


def _more(name: str, asked: Any) -> Any:
    """What is not of one way: classes of what the container sends, and a word."""
    what = "network.bandwidth.%s" % name
    if name != "classes":
        return words.text(asked, what)
    return [without_none(words.mapping(one, what)) for one in words.items(asked, what)]


def told_bandwidth(value: dict[str, Any]) -> dict[str, Any]:
    """The limits in the words of the option."""
    return {name: given for name, given in value.items() if name != SET_BY}


def set_by_tc_bandwidth(config: dict[str, Any] | None) -> dict[str, Any] | None:
    """The limits that tc_bandwidth has set, if it was the last to do so; None if not."""
    found = on_bridge(config).get("bandwidth")
    return found if isinstance(found, dict) and found.get(SET_BY) else None


def same_bandwidth(value: dict[str, Any] | None) -> Any:
    """The limits in the one spelling by which they are compared."""
    if not value:
        return None
    from . import shaping

    return shaping.same(value)


def on_bridge(config: dict[str, Any] | None) -> dict[str, Any]:
    """The network in a configuration, of whatever age, or in options; one with a bridge or an empty one."""
    value = (config or {}).get("network")
    value = {"mode": value} if isinstance(value, str) else value
    return value if isinstance(value, dict) and value.get("mode") == "bridge" else {}


def foreign_bridge(value: dict[str, Any]) -> str:
    """The bridge on which a container is and that somebody else makes; empty where it is one of ours, or none."""
    ours = value.get("subnet") or value.get("bridge") == DEFAULT_BRIDGE
    return "" if ours else str(value.get("bridge") or "")


def asked(value: dict[str, Any]) -> dict[str, Any]:
    """What was asked for and makes the interface, without what follows from the machine."""
    return {name: given for name, given in value.items() if name not in ("resolved", "bandwidth")}


def told(value: dict[str, Any]) -> dict[str, Any]:
    """The value in the words of the option."""
    found = {name: given for name, given in asked(value).items() if given not in (None, [])}
    if value.get("gateway") == []:
        found["gateway"] = "none"
    return found


def private(value: dict[str, Any]) -> bool:
    """Whether the container has a network namespace of its own."""
    return bool(value["mode"] != "host")
