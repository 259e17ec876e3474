# Copyright: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Bridges, their ports and pairs of interfaces by rtnetlink(7); what netdevice.py has is used.

Constants are of include/uapi/linux/if_link.h, neighbour.h and linux/rtnetlink.h.
"""

from __future__ import annotations

import os
import struct
import threading

from . import netdevice, netlink, syscalls
from .netlink import attribute, nested, number, text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .netdevice import Link
    from .netlink import Message, Socket

_NEWLINK, _GETLINK, _SETLINK, _NEWNEIGH = 16, 18, 19, 28
_ADDRESS, _IFNAME, _MTU, _MASTER, _LINKINFO, _STATS64, _NET_NS_FD = 1, 3, 4, 10, 18, 23, 28
_INFO_KIND, _INFO_DATA, _INFO_SLAVE_KIND, _INFO_SLAVE_DATA, _VETH_PEER = 1, 2, 4, 5, 1
_PORT_LEARNING, _PORT_UNICAST_FLOOD = 8, 9
_NDA_LLADDR = 2
_AF_BRIDGE, _NUD_NOARP, _NTF_MASTER = 7, 0x40, 0x04

_ifinfomsg = struct.Struct("=BxHiII")
_ndmsg = struct.Struct("=BxxxiHBB")
# The first fields of struct rtnl_link_stats64.
_stats = struct.Struct("=8Q")
COUNTERS = (
    "received_packets",
    "sent_packets",
    "received_bytes",
    "sent_bytes",
    "received_errors",
    "sent_errors",
    "received_dropped",
    "sent_dropped",
)


def add_bridge(name: str, hardware: bytes, mtu: int, group: int) -> Message:
    """Make a bridge. hardware: its address, which then does not follow that of a port."""
    more = attribute(_ADDRESS, hardware) + number(_MTU, mtu)
    return netdevice.add(name, "bridge", more, group=group)


def add_pair(one: tuple[str, bytes, int], other: tuple[str, bytes, int]) -> Message:
    """Make a pair of interfaces; each as (name, address, largest packet)."""
    ends = [
        text(_IFNAME, name) + attribute(_ADDRESS, hardware) + number(_MTU, mtu)
        for name, hardware, mtu in (one, other)
    ]
    head = _ifinfomsg.pack(0, 0, 0, 0, 0)
    info = text(_INFO_KIND, "veth") + nested(_INFO_DATA, nested(_VETH_PEER, head + ends[1]))
    return _NEWLINK, netlink.CREATE | netlink.EXCL, head + ends[0] + nested(_LINKINFO, info)


def move(index: int, namespace: int, name: str) -> Message:
    """Move an interface to the network namespace behind a descriptor, under a name; where that is
    taken, nothing is done. Its alias goes with it."""
    head = _ifinfomsg.pack(0, 0, index, 0, 0)
    return _SETLINK, 0, head + number(_NET_NS_FD, namespace) + text(_IFNAME, name)


def set_static_port(index: int) -> Message:
    """Have a port of a bridge learn no addresses, and get nothing that is for an unknown one.

    By that its other end is sent what is for its own address and what is for all.
    """
    settings = attribute(_PORT_LEARNING, b"\0") + attribute(_PORT_UNICAST_FLOOD, b"\0")
    info = text(_INFO_SLAVE_KIND, "bridge") + nested(_INFO_SLAVE_DATA, settings)
    return _NEWLINK, 0, _ifinfomsg.pack(0, 0, index, 0, 0) + nested(_LINKINFO, info)


def set_address_behind(index: int, hardware: bytes) -> Message:
    """Say which address is behind a port of a bridge; whatever port had it before has it no more."""
    head = _ndmsg.pack(_AF_BRIDGE, index, _NUD_NOARP, _NTF_MASTER, 0)
    flags = netlink.CREATE | netlink.REPLACE
    return _NEWNEIGH, flags, head + attribute(_NDA_LLADDR, hardware)


def ports(door: Socket, index: int) -> list[Link]:
    """The interfaces that are ports of this bridge."""
    return [link for link in netdevice.links(door) if link.master == index]


def counters(door: Socket, index: int) -> dict[str, int]:
    """What an interface has received and sent since it was made."""
    body = door.get(_GETLINK, _ifinfomsg.pack(0, 0, index, 0, 0))
    found = netlink.attributes(body or b"", _ifinfomsg.size).get(_STATS64, b"")
    return dict(zip(COUNTERS, _stats.unpack_from(found))) if len(found) >= _stats.size else {}


def why_not() -> OSError | None:
    """Why this kernel makes no bridge or pair; None where it does.

    It is asked in a network namespace that goes with the thread, so that the machine's own does not
    change.
    """
    found: list[OSError] = []

    def ask() -> None:
        try:
            syscalls.unshare(syscalls.CLONE_NEWNET)
            with netlink.Socket() as door:
                own = b"\2" + os.urandom(5)
                door.do(add_bridge("bridge", own, 1500, 0), "a bridge")
                door.do(add_pair(("one", own, 1500), ("two", own, 1500)), "a pair of interfaces")
        except OSError as error:
            found.append(error)

    thread = threading.Thread(target=ask)
    thread.start()
    thread.join()
    return found[0] if found else None
