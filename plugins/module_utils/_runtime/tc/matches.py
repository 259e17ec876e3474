# Copyright: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Which packets belong to a class: what a user names of them, and the same as keys of u32 and as
expressions of nftables.

u32 sees every packet that leaves a queue, also what a bridge forwards. nftables alone knows the
control group of a socket, and a mark on every kernel; it sees what this machine sends itself, and
what it routes.
"""

from __future__ import annotations

import ipaddress
import struct

from .. import units
from ..errors import InvalidInput
from ..kernel import nftables, traffic

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Union

    from ..kernel.nftables import Expression

    Network = Union[ipaddress.IPv4Network, ipaddress.IPv6Network]
    Key = tuple[int, int, int]
    # (type of frame, keys)
    Rule = tuple[int, tuple[Key, ...]]

# /etc/protocols of every system; the first five have ports at the beginning of their header.
_WITH_PORTS = {"tcp": 6, "udp": 17, "dccp": 33, "sctp": 132, "udplite": 136}
_PROTOCOLS = {**_WITH_PORTS, "icmp": 1, "igmp": 2, "gre": 47, "esp": 50, "ah": 51, "icmpv6": 58}
_PORT_NAMES = ("port", "source_port", "destination_port")


class Match:
    """What a packet must be; what is None or empty is not looked at.

    cgroup: a control group of v2, by its name; protocols: any of these; port: at either end.
    mark: (value, mask).
    """

    def __init__(self, options: dict[str, Any], what: str) -> None:
        given = {name: value for name, value in options.items() if value is not None}
        if not given:
            raise InvalidInput(
                "%s: match is empty" % what, hint="leave match out for the class of all the rest"
            )
        self.cgroup = _cgroup(given["cgroup"], what) if "cgroup" in given else ""
        self.source = _network(given.get("source"), what + ": source")
        self.destination = _network(given.get("destination"), what + ": destination")
        ports = {name: _port(given.get(name), "%s: %s" % (what, name)) for name in _PORT_NAMES}
        self.port, self.source_port, self.destination_port = ports.values()
        self.protocols = _protocols(given.get("protocol"), any(ports.values()), what)
        self.mark = _mark(given["mark"], what + ": mark") if "mark" in given else None
        if self.source and self.destination and self.source.version != self.destination.version:
            raise InvalidInput(
                "%s: source is of IPv%d and destination of IPv%d, so that no packet can match"
                % (what, self.source.version, self.destination.version)
            )

    def key(self) -> tuple[object, ...]:
        """The same for two matches that mean the same packets."""
        nets = (self.source, self.destination)
        ports = (self.port, self.source_port, self.destination_port)
        return (self.cgroup, *nets, self.protocols, *ports, self.mark)

    @property
    def needs_nftables(self) -> bool:
        return bool(self.cgroup) or self.mark is not None

    def _versions(self) -> tuple[int, ...]:
        net = self.source or self.destination
        return (net.version,) if net else (4, 6)

    def _ends(self) -> list[tuple[int, int]]:
        """(source port, destination port) of each way to match, 0 for any."""
        own, to = self.source_port, self.destination_port
        if not self.port:
            return [(own, to)]
        ways = [(self.port, to)] if not own or own == self.port else []
        if not to or to == self.port:
            ways.append((own, self.port))
        return list(dict.fromkeys(ways))

    def check(self, what: str) -> None:
        if not self._ends():
            raise InvalidInput("%s: port is neither source_port nor destination_port" % what)

    # For u32

    def rules(self) -> list[Rule]:
        """Each way to match, as the keys of a filter of its own."""
        return [
            (_IPV4 if version == 4 else _IPV6, _keys(self, version, protocol, ends))
            for version in self._versions()
            for protocol in self.protocols or (None,)
            for ends in self._ends()
        ]

    # For nftables

    def expressions(self, group: tuple[int, int] | None) -> list[list[Expression]]:
        """Each way to match. group: (level, id) of the control group."""
        return [
            [*self._place(), *_transport(protocol, ends), *self._marked(), *_grouped(group)]
            for protocol in self.protocols or (None,)
            for ends in self._ends()
        ]

    def _place(self) -> list[Expression]:
        found: list[Expression] = []
        for net, offsets in ((self.source, (12, 8)), (self.destination, (16, 24))):
            if net is None:
                continue
            found += [
                nftables.load_meta(nftables.L3_PROTOCOL),
                nftables.equals(_NFPROTO[net.version]),
            ]
            offset, packed = offsets[net.version == 6], net.network_address.packed
            found.append(nftables.load_payload(nftables.NETWORK, offset, len(packed)))
            if net.prefixlen < net.max_prefixlen:
                found.append(nftables.mask(net.netmask.packed))
            found.append(nftables.equals(packed))
        return found

    def _marked(self) -> list[Expression]:
        if self.mark is None:
            return []
        value, bits = self.mark
        masked = [] if bits == _ALL_BITS else [nftables.mask(struct.pack("=I", bits))]
        wanted = nftables.equals(struct.pack("=I", value))
        return [nftables.load_meta(nftables.MARK), *masked, wanted]


_IPV4, _IPV6 = traffic.IPV4, traffic.IPV6
_NFPROTO = {4: b"\x02", 6: b"\x0a"}
_ALL_BITS = 0xFFFFFFFF


def _transport(protocol: int | None, ends: tuple[int, int]) -> list[Expression]:
    if protocol is None:
        return []
    found = [nftables.load_meta(nftables.L4_PROTOCOL), nftables.equals(bytes([protocol]))]
    for offset, port in zip((0, 2), ends):
        if port:
            found.append(nftables.load_payload(nftables.TRANSPORT, offset, 2))
            found.append(nftables.equals(struct.pack(">H", port)))
    return found


def _grouped(group: tuple[int, int] | None) -> list[Expression]:
    if group is None:
        return []
    level, number = group
    return [nftables.load_control_group(level), nftables.equals(struct.pack("=Q", number))]


def _keys(
    match: Match, version: int, protocol: int | None, ends: tuple[int, int]
) -> tuple[Key, ...]:
    """Words of the packet that must have these bits: struct iphdr, struct ipv6hdr, struct tcphdr.

    Ports are read only where they are for certain: a header of IPv4 without options, and no later
    fragment, which has no ports and other bytes in their place.
    """
    keys: list[Key] = []
    ported = any(ends)
    if version == 4:
        if ported:
            keys += [(0x0F000000, 0x05000000, 0), (0x00001FFF, 0, 4)]
        if protocol is not None:
            keys.append((0x00FF0000, protocol << 16, 8))
        keys += _words(match.source, 12) + _words(match.destination, 16)
    else:
        if protocol is not None:
            keys.append((0x0000FF00, protocol << 8, 4))
        keys += _words(match.source, 8) + _words(match.destination, 24)
    if ported:
        own, to = ends
        bits = (0xFFFF0000 if own else 0) | (0xFFFF if to else 0)
        keys.append((bits, own << 16 | to, 20 if version == 4 else 40))
    return tuple(keys) or ((0, 0, 0),)


def _words(net: Network | None, offset: int) -> list[Key]:
    """A network as words of 32 bits; those of which nothing counts are left out."""
    if net is None:
        return []
    masks, values = net.netmask.packed, net.network_address.packed
    found = []
    for at in range(0, len(masks), 4):
        bits, value = (struct.unpack_from(">I", data, at)[0] for data in (masks, values))
        if bits:
            found.append((bits, value, offset + at))
    return found


# What users write


def _network(value: Any, what: str) -> Network | None:
    if value is None:
        return None
    try:
        return ipaddress.ip_network(str(value).strip())
    except ValueError as error:
        hint = "use for example 10.0.0.0/24, 192.0.2.7 or 2001:db8::/32"
        raise InvalidInput("%s: %s" % (what, error), hint=hint) from None


def _port(value: Any, what: str) -> int:
    return 0 if value is None else units.parse_count(value, what, 1, 65535)


def _protocols(value: Any, ported: bool, what: str) -> tuple[int, ...]:
    if value is None:
        return (_WITH_PORTS["tcp"], _WITH_PORTS["udp"]) if ported else ()
    text = str(value).strip().lower()
    if text.isascii() and text.isdigit():
        number = units.parse_count(text, what + ": protocol", 0, 255)
    elif text in _PROTOCOLS:
        number = _PROTOCOLS[text]
    else:
        known = " ".join(_PROTOCOLS)
        raise InvalidInput(
            "%s: protocol %r is not known" % (what, text), hint="use a number or one of: " + known
        )
    if ported and number not in _WITH_PORTS.values():
        raise InvalidInput("%s: protocol %s has no ports" % (what, text))
    return (number,)


def _mark(value: Any, what: str) -> tuple[int, int] | None:
    """A mark, as in 7, 0x10 or 0x10/0xff."""
    if value is None:
        return None
    try:
        parts = [int(part, 0) for part in str(value).strip().split("/")]
    except ValueError:
        parts = []
    if not 1 <= len(parts) <= 2 or not all(0 <= part <= _ALL_BITS for part in parts):
        raise InvalidInput("%s: %r is not a mark such as 7 or 0x10/0xff" % (what, str(value)))
    number, bits = parts[0], parts[1] if len(parts) == 2 else _ALL_BITS
    if number & ~bits:
        raise InvalidInput(
            "%s: %s has bits outside its mask, so that no packet can match" % (what, value)
        )
    return number, bits


def _cgroup(value: Any, what: str) -> str:
    name = str(value).strip().strip("/")
    if not name or any(part in ("", ".", "..") for part in name.split("/")):
        hint = "name a group below the root of the v2 hierarchy, such as batch/night"
        raise InvalidInput(
            "%s: cgroup: %r is not the name of a control group" % (what, str(value)), hint=hint
        )
    return name
