# Copyright: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Network interfaces, addresses and routes by rtnetlink(7): what there is, and what changes it.

A function that is named after a change returns the message for it, so that many go in one send.
Constants are of include/uapi/linux/if_link.h, if_addr.h and rtnetlink.h.
"""

from __future__ import annotations

import ipaddress
import socket
import struct

from . import netlink
from .netlink import attribute, nested, number, text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Union

    from .netlink import Message, Socket

    Interface = Union[ipaddress.IPv4Interface, ipaddress.IPv6Interface]
    Network = Union[ipaddress.IPv4Network, ipaddress.IPv6Network]
    Address = Union[ipaddress.IPv4Address, ipaddress.IPv6Address]

_NEWLINK, _DELLINK, _GETLINK, _SETLINK, _NEWADDR, _DELADDR, _GETADDR = 16, 17, 18, 19, 20, 21, 22
_NEWROUTE, _DELROUTE = 24, 25
_ADDRESS, _IFNAME, _MTU, _LINK, _MASTER, _TXQLEN, _LINKINFO = 1, 3, 4, 5, 10, 13, 18
_IFALIAS, _GROUP, _NET_NS_FD, _EXT_MASK, _TX_QUEUES, _PROPERTIES, _ALT_NAME = (
    20,
    27,
    28,
    29,
    31,
    52,
    53,
)
_INFO_KIND, _INFO_DATA, _VETH_PEER = 1, 2, 1
_SKIP_STATS = 8  # RTEXT_FILTER_SKIP_STATS
UP = 0x1  # IFF_UP
_IFA_ADDRESS, _IFA_LOCAL, _IFA_FLAGS = 1, 2, 8
_NO_DUPLICATE_CHECK = 0x02  # IFA_F_NODAD
_RTA_DST, _RTA_OIF, _RTA_GATEWAY = 1, 4, 5
_MAIN_TABLE, _PROTOCOL_BOOT, _SCOPE_UNIVERSE, _SCOPE_LINK, _UNICAST = 254, 3, 0, 253, 1

_ifinfomsg = struct.Struct("=BxHiII")
_ifaddrmsg = struct.Struct("=BBBBI")
_rtmsg = struct.Struct("=BBBBBBBBI")


class Link:
    """An interface as the kernel shows it.

    group: a number by which several are found, or removed in one request.
    alias: a text of whoever made it.
    peer: the index of its other end or lower device, in whatever namespace that is.
    """

    def __init__(self, body: bytes) -> None:
        _family, _type, self.index, self.flags, _change = _ifinfomsg.unpack_from(body)
        found = netlink.attributes(body, _ifinfomsg.size)
        info = netlink.attributes(found.get(_LINKINFO, b""))
        self.name = netlink.as_text(found.get(_IFNAME))
        self.kind = netlink.as_text(info.get(_INFO_KIND))
        self.alias = netlink.as_text(found.get(_IFALIAS))
        self.mtu = netlink.as_number(found.get(_MTU))
        self.queue_length = netlink.as_number(found.get(_TXQLEN))
        self.queues = netlink.as_number(found.get(_TX_QUEUES), 1)
        self.group = netlink.as_number(found.get(_GROUP))
        self.master = netlink.as_number(found.get(_MASTER))
        self.peer = netlink.as_number(found.get(_LINK))
        self.address = found.get(_ADDRESS, b"")
        properties = netlink.each_attribute(found.get(_PROPERTIES, b""))
        self.other_names = [
            netlink.as_text(value) for kind, value in properties if kind == _ALT_NAME
        ]

    @property
    def up(self) -> bool:
        return bool(self.flags & UP)


def _head(index: int = 0, flags: int = 0, change: int = 0) -> bytes:
    return _ifinfomsg.pack(0, 0, index, flags, change)


def link(door: Socket, name: str) -> Link | None:
    """The interface of this name or other name; None where there is none."""
    named = text(_IFNAME if len(name) < 16 else _ALT_NAME, name)
    body = door.get(_GETLINK, _head() + named + number(_EXT_MASK, _SKIP_STATS))
    return Link(body) if body else None


def links(door: Socket, kind: str = "") -> list[Link]:
    """Every interface, or those of one kind ("ifb", "veth", "bridge")."""
    only = nested(_LINKINFO, text(_INFO_KIND, kind)) if kind else b""
    bodies = door.dump(_GETLINK, _head() + number(_EXT_MASK, _SKIP_STATS) + only)
    found = [Link(body) for body in bodies]
    return [one for one in found if one.kind == kind] if kind else found


# Interfaces


def add(
    name: str, kind: str, *more: bytes, data: bytes = b"", group: int = 0, index: int = 0
) -> Message:
    """Make an interface of this kind. more: its attributes; data: those that its kind has.

    index: its number, for what is to be sent along that needs to know it; else the kernel's choice.
    """
    info = nested(_LINKINFO, text(_INFO_KIND, kind), *([nested(_INFO_DATA, data)] if data else []))
    marked = number(_GROUP, group) if group else b""
    flags = netlink.CREATE | netlink.EXCL
    return _NEWLINK, flags, b"".join((_head(index), text(_IFNAME, name), marked, *more, info))


def add_ifb(
    name: str, group: int = 0, queue_length: int = 0, mtu: int = 0, index: int = 0
) -> Message:
    """Make an intermediate functional block: a queue for what another interface receives."""
    length = number(_TXQLEN, queue_length) if queue_length else b""
    size = number(_MTU, mtu) if mtu else b""
    return add(name, "ifb", length, size, group=group, index=index)


def add_veth(name: str, peer: str, namespace: int = -1, group: int = 0, mtu: int = 0) -> Message:
    """Make a pair of interfaces. namespace: the descriptor of where the peer is made, -1: here."""
    size = number(_MTU, mtu) if mtu else b""
    other = _head() + text(_IFNAME, peer) + size
    if namespace >= 0:
        other += number(_NET_NS_FD, namespace)
    return add(name, "veth", size, data=nested(_VETH_PEER, other), group=group)


def set_up(index: int, up: bool = True) -> Message:
    """Bring an interface up or down."""
    return _SETLINK, 0, _head(index, UP if up else 0, UP)


def set_alias(name: str, alias: str) -> Message:
    """Set the text that whoever made an interface gives it, by the name of the interface."""
    return _SETLINK, 0, _head() + text(_IFNAME, name) + attribute(_IFALIAS, alias.encode())


def set_group(index: int, group: int) -> Message:
    """Set the number by which several interfaces are found."""
    return _SETLINK, 0, _head(index) + number(_GROUP, group)


def enslave(index: int, master: int) -> Message:
    """Make an interface a port of a bridge; 0 takes it out."""
    return _SETLINK, 0, _head(index) + number(_MASTER, master)


def delete(index: int) -> Message:
    """Remove an interface; of a pair both."""
    return _DELLINK, 0, _head(index)


def delete_several(indexes: list[int], group: int) -> list[Message]:
    """Remove several interfaces in one request, so that the kernel waits once for all of them.

    group: a number that no other interface has; the kernel removes all that have it.
    """
    if len(indexes) < 2:
        return [delete(index) for index in indexes]
    return [
        *(set_group(index, group) for index in indexes),
        (_DELLINK, 0, _head() + number(_GROUP, group)),
    ]


# Addresses and routes


def _family(version: int) -> int:
    return socket.AF_INET if version == 4 else socket.AF_INET6


def add_address(index: int, address: Interface, remove: bool = False) -> Message:
    """Give an interface an address. It can be used at once: no duplicate of it is looked for."""
    packed = address.ip.packed
    own = attribute(_IFA_LOCAL, packed) if address.version == 4 else b""
    checks = number(_IFA_FLAGS, _NO_DUPLICATE_CHECK) if address.version == 6 else b""
    head = _ifaddrmsg.pack(
        _family(address.version), address.network.prefixlen, 0, _SCOPE_UNIVERSE, index
    )
    kind, flags = (_DELADDR, 0) if remove else (_NEWADDR, netlink.CREATE | netlink.EXCL)
    return kind, flags, head + own + attribute(_IFA_ADDRESS, packed) + checks


def addresses(door: Socket, index: int) -> list[Interface]:
    """The addresses of an interface."""
    found: list[Interface] = []
    for body in door.dump(_GETADDR, _ifaddrmsg.pack(0, 0, 0, 0, index)):
        _address_family, prefix, _flags, _scope, of = _ifaddrmsg.unpack_from(body)
        held = netlink.attributes(body, _ifaddrmsg.size)
        packed = held.get(_IFA_LOCAL) or held.get(_IFA_ADDRESS)
        if of == index and packed:
            found.append(ipaddress.ip_interface((packed, prefix)))
    return found


def add_route(
    index: int, to: Network, gateway: Address | None = None, remove: bool = False
) -> Message:
    """Route a network through an interface; all addresses for 0.0.0.0/0 or ::/0."""
    scope = _SCOPE_UNIVERSE if gateway or to.version == 6 else _SCOPE_LINK
    head = _rtmsg.pack(
        _family(to.version), to.prefixlen, 0, 0, _MAIN_TABLE, _PROTOCOL_BOOT, scope, _UNICAST, 0
    )
    where = attribute(_RTA_DST, to.network_address.packed) if to.prefixlen else b""
    through = attribute(_RTA_GATEWAY, gateway.packed) if gateway else b""
    kind, flags = (_DELROUTE, 0) if remove else (_NEWROUTE, netlink.CREATE | netlink.EXCL)
    return kind, flags, head + where + through + number(_RTA_OIF, index)
