# Copyright: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""A container's place on a bridge: what is made for it when its first process starts.

The first process makes it by itself, while it still may: so it is made anew at each start, whoever
starts it, and goes with the network namespace, whatever ends it. It loads nothing: whoever starts
it has imported this before.

The pair is made inside the new namespace, where no name is taken and nothing is somebody else's.
The host's end has its mark before it is moved out. So no interface of the machine is ever ours
without the mark, and none of another owner is touched because it has the name.
"""

from __future__ import annotations

import errno
import ipaddress
import os

from ..errors import BulkheadError
from ..kernel import bridgeport, flock, namespaces, netdevice, netlink, syscalls

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ..kernel.netdevice import Link
    from ..kernel.netlink import Message, Socket

# The number that a bridge of ours is made with. Its alias comes with a second request: a bridge
# with the number and no alias was left by a run that was killed between the two.
GROUP = 0x62686272
_PATIENCE = 30.0
_ATTEMPTS = 8
_EVERYTHING = {4: ipaddress.ip_network("0.0.0.0/0"), 6: ipaddress.ip_network("::/0")}
# What a machine must not take from whoever is on a bridge: routers and redirections.
_DISTRUST = (("ipv6", "accept_ra"), ("ipv6", "accept_redirects"), ("ipv4", "accept_redirects"))
_LARGEST_ALIAS = 255  # IFALIASZ of include/uapi/linux/if.h, without the zero byte


def marks(name: str, prefix: str, lock: str) -> dict[str, str]:
    """By what the things of a container are found. lock: the directory that is locked for changes.

    prefix: of the node's directories, so that the things of another one are not taken for ours.
    """
    from ..tc.observation import container_alias

    where = " below %s" % prefix if prefix else ""
    return {
        "name": name,
        "alias": container_alias(name, prefix),
        "bridge_alias": ("bulkhead container_run: bridge%s" % where)[:_LARGEST_ALIAS],
        "lock": lock,
    }


def is_ours(link: Link, marked: dict[str, str]) -> bool:
    """Whether a bridge was made by this node."""
    unfinished = link.group == GROUP and not link.alias
    return link.kind == "bridge" and (unfinished or link.alias == marked["bridge_alias"])


def is_end_of(link: Link, marked: dict[str, str]) -> bool:
    """Whether an interface is the host's end of this container."""
    return link.kind == "veth" and link.alias == marked["alias"]


def locked(marked: dict[str, str]) -> Any:
    """Nobody else makes, fills or removes a bridge meanwhile; as a context manager."""
    return flock.held(marked["lock"], True, _PATIENCE)


def make_bridge(door: Socket, network: dict[str, Any], marked: dict[str, str]) -> Link:
    """The bridge; made where there is none, completed where it is ours. One of another owner is
    left as it is."""
    name, resolved = network["bridge"], network["resolved"]
    link = netdevice.link(door, name)
    if link is None and resolved["bridge_addresses"]:
        hardware = b"\2" + os.urandom(5)
        door.do(bridgeport.add_bridge(name, hardware, resolved["bridge_mtu"], GROUP), name)
        link = netdevice.link(door, name)
    if link is None or link.kind != "bridge":
        raise BulkheadError("there is no bridge %s" % name, target=name)
    if is_ours(link, marked):
        _complete(door, link, resolved["bridge_addresses"], marked)
    return link


def _complete(door: Socket, link: Link, addresses: list[str], marked: dict[str, str]) -> None:
    """Give a bridge of ours what it lacks."""
    if link.alias and link.up:
        return
    for family, setting in _DISTRUST:
        _set(family, link.name, setting, "0")
    there = netdevice.addresses(door, link.index)
    wanted = [ipaddress.ip_interface(text) for text in addresses]
    if any(address.version == 6 for address in wanted):
        _set("ipv6", link.name, "disable_ipv6", "0")
    for address in wanted:
        if address not in there:
            door.do(netdevice.add_address(link.index, address), "%s on %s" % (address, link.name))
    door.do(netdevice.set_up(link.index), link.name)
    door.do(netdevice.set_alias(link.name, marked["bridge_alias"]), link.name)


def _set(family: str, interface: str, setting: str, value: str) -> None:
    """Set a parameter of an interface of this process's namespace; one that is not there is left."""
    path = "/proc/sys/net/%s/conf/%s/%s" % (family, interface, setting)
    try:
        fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return  # a kernel without IPv6
    try:
        os.write(fd, value.encode())
    finally:
        os.close(fd)


def unplug(door: Socket, marked: dict[str, str]) -> None:
    """Remove what there is of a container's interfaces, by the end on the machine's side."""
    for link in netdevice.links(door, "veth"):
        if is_end_of(link, marked):
            answer = door.send([netdevice.delete(link.index)])[0]
            if answer.errno not in (0, errno.ENODEV):  # it may go with its namespace meanwhile
                raise netlink.NetlinkError(answer, link.name)


def _there(door: Socket, name: str) -> Link:
    link = netdevice.link(door, name)
    if link is None:
        raise BulkheadError("the interface %s was taken away" % name, target=name)
    return link


class Wires:
    """What a container gets: join() before its process leaves the machine's network namespace,
    plug() in the new one."""

    def __init__(self, network: dict[str, Any], marked: dict[str, str]) -> None:
        self.network = network
        self.resolved: dict[str, Any] = network["resolved"]
        self.marks = marked

    def join(self) -> None:
        self._lock = flock.take_path(self.marks["lock"], True, _PATIENCE)
        self._home = namespaces.open_network()
        self._door = netlink.Socket()
        self._bridge = make_bridge(self._door, self.network, self.marks)
        unplug(self._door, self.marks)

    def plug(self) -> None:
        with netlink.Socket() as inside:
            index = self._make_pair(inside)
            if self.network.get("bandwidth"):
                self._limit()
            self._furnish(inside, index)
        os.close(self._home)
        self._door.close()
        os.close(self._lock)

    def _make_pair(self, inside: Socket) -> int:
        """The two ends; returns the index of the one that stays inside."""
        name, hardware = self.network["interface"], bytes.fromhex(self.resolved["hardware"])
        # An address above all others, so that a bridge without one of its own does not take it.
        outer = b"\xfe" + hardware[1:]
        ends = (name, hardware, self.resolved["mtu"]), ("outer", outer, self.resolved["bridge_mtu"])
        if name == "outer":
            ends = ends[0], ("outer0", *ends[1][1:])
        inside.do(bridgeport.add_pair(*ends), name)
        inside.do(netdevice.set_alias(ends[1][0], self.marks["alias"]), name)
        self._join_port(self._move(inside, _there(inside, ends[1][0]).index), hardware)
        return int(_there(inside, name).index)

    def _join_port(self, port: int, hardware: bytes) -> None:
        """Make the host's end a port that nothing but the container's own address is behind."""
        for message in (
            netdevice.enslave(port, self._bridge.index),
            bridgeport.set_static_port(port),
            bridgeport.set_address_behind(port, hardware),
            netdevice.set_up(port),
        ):
            self._door.do(message, self.network["bridge"])

    def _limit(self) -> None:
        """Set the limits of bandwidth, on the machine's side: this process has one thread, which
        goes there for that, before anything of the container runs."""
        from . import shaping

        here = namespaces.open_network()
        try:
            syscalls.setns(self._home, syscalls.CLONE_NEWNET)
            try:
                shaping.apply(self.marks["name"], self.network["bandwidth"], self._end)
            finally:
                syscalls.setns(here, syscalls.CLONE_NEWNET)
        finally:
            os.close(here)

    def _move(self, inside: Socket, index: int) -> int:
        """Move the host's end out; returns its index there."""
        for _attempt in range(_ATTEMPTS):
            name = "bh" + os.urandom(6).hex()
            answer = inside.send([bridgeport.move(index, self._home, name)])[0]
            if not answer.errno:
                self._end = name
                return int(_there(self._door, name).index)
            if answer.errno != errno.EEXIST:
                raise netlink.NetlinkError(answer, name)
        raise BulkheadError("no name is free for an interface")

    def _furnish(self, inside: Socket, index: int) -> None:
        """Addresses and routes."""
        name = self.network["interface"]
        addresses = [ipaddress.ip_interface(text) for text in self.resolved["addresses"]]
        for setting in ("accept_ra", "accept_redirects"):
            _set("ipv6", name, setting, "0")
        if any(address.version == 6 for address in addresses):
            _set("ipv6", name, "disable_ipv6", "0")
        gateways = [ipaddress.ip_address(text) for text in self.resolved["gateways"]]
        messages: list[Message] = [netdevice.add_address(index, address) for address in addresses]
        messages.append(netdevice.set_up(index))
        messages += [
            netdevice.add_route(index, _EVERYTHING[gateway.version], gateway)
            for gateway in gateways
        ]
        for message in messages:
            inside.do(message, name)
