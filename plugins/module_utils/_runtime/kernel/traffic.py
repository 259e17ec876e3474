# Copyright: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Queueing disciplines, classes and filters by rtnetlink(7): what there is, and what changes it.

A function that is named after a change returns the message for it. Structures and constants are of
include/uapi/linux/pkt_sched.h, pkt_cls.h and tc_act/*.h.
"""

from __future__ import annotations

import struct

from . import netlink
from .netlink import attribute, nested, text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .netlink import Message, Socket

_NEWQDISC, _DELQDISC, _GETQDISC = 36, 37, 38
_NEWCLASS, _DELCLASS, _GETCLASS = 40, 41, 42
_NEWFILTER, _DELFILTER, _GETFILTER = 44, 45, 46
_KIND, _OPTIONS, _STATS2, _CHAIN = 1, 2, 7, 11
_BASIC, _QUEUE = 1, 3  # TCA_STATS_BASIC, TCA_STATS_QUEUE
_basic, _queue = struct.Struct("=QI"), struct.Struct("=IIIII")

ROOT = 0xFFFFFFFF  # TC_H_ROOT
HOOK = 0xFFFF0000  # the handle of the ingress and clsact disciplines
HOOK_PARENT = 0xFFFFFFF1  # TC_H_INGRESS, which is TC_H_CLSACT
INGRESS, EGRESS = 0xFFFFFFF2, 0xFFFFFFF3  # where the filters of clsact hang

_tcmsg = struct.Struct("=BxxxiIII")
_ratespec = struct.Struct("=BBHhHI")
_ETHERNET = 1  # TC_LINKLAYER_ETHERNET: the kernel then needs no table of rates
_NARROW = (1 << 32) - 1

ALL, IPV4, IPV6 = 0x0003, 0x0800, 0x86DD  # include/uapi/linux/if_ether.h


class Item:
    """A queueing discipline, class or filter as the kernel shows it."""

    __slots__ = ("_held", "body", "handle", "index", "info", "parent")

    def __init__(self, body: bytes) -> None:
        _family, self.index, self.handle, self.parent, self.info = _tcmsg.unpack_from(body)
        self.body = body
        self._held: dict[int, bytes] | None = None

    def _attributes(self) -> dict[int, bytes]:
        if self._held is None:
            self._held = netlink.attributes(self.body, _tcmsg.size)
        return self._held

    @property
    def kind(self) -> str:
        return netlink.as_text(self._attributes().get(_KIND))

    @property
    def options(self) -> bytes:
        return self._attributes().get(_OPTIONS, b"")

    @property
    def chain(self) -> int:
        return netlink.as_number(self._attributes().get(_CHAIN))

    @property
    def preference(self) -> int:
        """Of a filter: the lower, the earlier."""
        return int(self.info >> 16)

    @property
    def protocol(self) -> int:
        """Of a filter: the type of frames that it sees."""
        return int((self.info & 0xFF) << 8 | (self.info >> 8) & 0xFF)

    def counters(self) -> dict[str, int]:
        """What was sent and dropped, and what waits (struct gnet_stats_basic, gnet_stats_queue)."""
        held = netlink.attributes(self._attributes().get(_STATS2, b""))
        sent = _basic.unpack_from(held[_BASIC]) if len(held.get(_BASIC, b"")) >= 12 else (0, 0)
        queue = _queue.unpack_from(held[_QUEUE]) if len(held.get(_QUEUE, b"")) >= 20 else (0,) * 5
        return {
            "bytes": sent[0],
            "packets": sent[1],
            "dropped": queue[2],
            "overlimits": queue[4],
            "backlog_bytes": queue[1],
            "backlog_packets": queue[0],
        }


def _head(index: int, handle: int = 0, parent: int = 0, info: int = 0) -> bytes:
    return _tcmsg.pack(0, index, handle, parent, info)


def _dump(door: Socket, kind: int, index: int, parent: int = 0) -> list[Item]:
    """Kernels differ in whether they filter by interface, so it is done here as well."""
    found = [Item(body) for body in door.dump(kind, _head(index, 0, parent))]
    return [item for item in found if not index or item.index == index]


def qdiscs(door: Socket) -> list[Item]:
    """The queueing disciplines of all interfaces; those that the kernel made itself have handle 0."""
    return _dump(door, _GETQDISC, 0)


def classes(door: Socket, index: int) -> list[Item]:
    """The classes of an interface."""
    return _dump(door, _GETCLASS, index)


def filters(door: Socket, index: int, parent: int) -> list[Item]:
    """The filters that hang on a queueing discipline, class or hook; without the heads of tables."""
    return [item for item in _dump(door, _GETFILTER, index, parent) if item.handle]


# Messages


def add_qdisc(index: int, parent: int, handle: int, kind: str, options: bytes = b"") -> Message:
    """Put a discipline in the place of whatever is there, which goes with all below it.

    The same kind with the same handle is changed in place.
    """
    return (
        _NEWQDISC,
        netlink.CREATE | netlink.REPLACE,
        _described(index, handle, parent, kind, options),
    )


def add_hook(index: int, kind: str = "clsact") -> Message:
    """Make the place where filters see what an interface receives."""
    head = _described(index, HOOK, HOOK_PARENT, kind, b"")
    return _NEWQDISC, netlink.CREATE | netlink.EXCL, head


def delete_qdisc(index: int, parent: int, handle: int = 0) -> Message:
    """Remove a discipline with all below it; the interface's own one comes back at the root."""
    return _DELQDISC, 0, _head(index, handle, parent)


def add_class(index: int, parent: int, handle: int, kind: str, options: bytes) -> Message:
    """Make a class, or change the one that is there."""
    return _NEWCLASS, netlink.CREATE, _described(index, handle, parent, kind, options)


def delete_class(index: int, handle: int) -> Message:
    """Remove a class."""
    return _DELCLASS, 0, _head(index, handle)


def add_filter(
    index: int, parent: int, handle: int, preference: int, protocol: int, kind: str, options: bytes
) -> Message:
    """Make a filter."""
    info = _filter_info(preference, protocol)
    body = _head(index, handle, parent, info) + text(_KIND, kind) + nested(_OPTIONS, options)
    return _NEWFILTER, netlink.CREATE | netlink.EXCL, body


def delete_filter(
    index: int, parent: int, handle: int, preference: int, protocol: int, kind: str = ""
) -> Message:
    """Remove one filter, or with handle 0 all of a preference."""
    body = _head(index, handle, parent, _filter_info(preference, protocol))
    return _DELFILTER, 0, body + (text(_KIND, kind) if kind else b"")


def _filter_info(preference: int, protocol: int) -> int:
    return preference << 16 | (protocol & 0xFF) << 8 | protocol >> 8


def _described(index: int, handle: int, parent: int, kind: str, options: bytes) -> bytes:
    more = nested(_OPTIONS, options) if options else b""
    return _head(index, handle, parent) + text(_KIND, kind) + more


# struct tc_ratespec


def _spec(rate: int, cell_log: int = 0) -> bytes:
    return _ratespec.pack(cell_log, _ETHERNET if rate else 0, 0, 0, 0, min(rate, _NARROW))


def _rate_in(data: bytes, at: int, wide: bytes | None) -> int:
    """The rate in a ratespec, or beside it where it needs more than 32 bits."""
    return netlink.as_number(wide) if wide else int(_ratespec.unpack_from(data, at)[5])


def _wide(kind: int, rate: int) -> bytes:
    return attribute(kind, struct.pack("=Q", rate)) if rate > _NARROW else b""


# Token bucket (sch_tbf)

_TBF_PARMS, _TBF_RATE64, _TBF_PRATE64 = 1, 4, 5
_tbf = struct.Struct("=12s12sIII")


class Bucket:
    """struct tc_tbf_qopt: rates in bytes per second, limit in bytes, buffer and mtu in ticks."""

    __slots__ = ("buffer", "limit", "mtu", "peakrate", "rate")

    def __init__(self, rate: int, buffer: int, limit: int, peakrate: int = 0, mtu: int = 0) -> None:
        self.rate = rate
        self.buffer = buffer
        self.limit = limit
        self.peakrate = peakrate
        self.mtu = mtu

    @classmethod
    def read(cls, options: bytes) -> Bucket:
        held = netlink.attributes(options)
        data = held[_TBF_PARMS]
        _rate, _peakrate, limit, buffer, mtu = _tbf.unpack_from(data)
        rate, peakrate = (
            _rate_in(data, 0, held.get(_TBF_RATE64)),
            _rate_in(data, 12, held.get(_TBF_PRATE64)),
        )
        return cls(rate, buffer, limit, peakrate, mtu)

    def options(self) -> bytes:
        """The attributes that make the kernel keep exactly these numbers."""
        data = _tbf.pack(_spec(self.rate), _spec(self.peakrate), self.limit, self.buffer, self.mtu)
        wide = _wide(_TBF_RATE64, self.rate) + _wide(_TBF_PRATE64, self.peakrate)
        return attribute(_TBF_PARMS, data) + wide

    def key(self) -> tuple[int, ...]:
        return self.rate, self.buffer, self.limit, self.peakrate, self.mtu

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Bucket) and self.key() == other.key()

    __hash__ = None  # type: ignore[assignment]


# Hierarchical token buckets (sch_htb)

_HTB_PARMS, _HTB_INIT, _HTB_DIRECT_QLEN, _HTB_RATE64, _HTB_CEIL64 = 1, 2, 5, 6, 7
_htb = struct.Struct("=12s12sIIIII")
_htb_init = struct.Struct("=IIIII")
_HTB_VERSION, _HTB_RATE_TO_QUANTUM = 3, 10


class HtbClass:
    """struct tc_htb_opt: rate and ceil in bytes per second, their buffers in ticks."""

    __slots__ = ("buffer", "cbuffer", "ceil", "prio", "quantum", "rate")

    def __init__(
        self, rate: int, ceil: int, buffer: int, cbuffer: int, quantum: int, prio: int = 0
    ) -> None:
        self.rate = rate
        self.ceil = ceil
        self.buffer = buffer
        self.cbuffer = cbuffer
        self.quantum = quantum
        self.prio = prio

    @classmethod
    def read(cls, options: bytes) -> HtbClass:
        held = netlink.attributes(options)
        data = held[_HTB_PARMS]
        _rate, _ceil, buffer, cbuffer, quantum, _level, prio = _htb.unpack_from(data)
        rate, ceil = (
            _rate_in(data, 0, held.get(_HTB_RATE64)),
            _rate_in(data, 12, held.get(_HTB_CEIL64)),
        )
        return cls(rate, ceil, buffer, cbuffer, quantum, prio)

    def options(self) -> bytes:
        """The attributes that make the kernel keep exactly these numbers."""
        rate, ceil = _spec(self.rate), _spec(self.ceil)
        data = _htb.pack(rate, ceil, self.buffer, self.cbuffer, self.quantum, 0, self.prio)
        wide = _wide(_HTB_RATE64, self.rate) + _wide(_HTB_CEIL64, self.ceil)
        return attribute(_HTB_PARMS, data) + wide

    def key(self) -> tuple[int, ...]:
        return self.rate, self.ceil, self.buffer, self.cbuffer, self.quantum, self.prio

    def same(self, other: HtbClass, leaf: bool) -> bool:
        """Whether the kernel does the same by both. leaf: whether there are no classes below."""
        return self.key()[: None if leaf else 4] == other.key()[: None if leaf else 4]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, HtbClass) and self.key() == other.key()

    __hash__ = None  # type: ignore[assignment]


def htb_options(default: int, direct_packets: int) -> bytes:
    """A tree whose unclassified packets go to the class of this minor number.

    direct_packets: how many may wait to pass unlimited while that class is not there.
    """
    init = _htb_init.pack(_HTB_VERSION, _HTB_RATE_TO_QUANTUM, default, 0, 0)
    return attribute(_HTB_INIT, init) + netlink.number(_HTB_DIRECT_QLEN, direct_packets)


def htb_direct_packets(options: bytes) -> int:
    """How many packets have passed unlimited."""
    data = netlink.attributes(options).get(_HTB_INIT, b"")
    return int(_htb_init.unpack_from(data)[4]) if len(data) >= _htb_init.size else 0


# Leaves


def pfifo_options(limit: int) -> bytes:
    """struct tc_fifo_qopt: a queue of so many packets."""
    return struct.pack("=I", limit)


def pfifo_limit(options: bytes) -> int:
    """How many packets the queue takes."""
    return int(struct.unpack_from("=I", options)[0]) if len(options) >= 4 else 0


# Universal 32-bit filters (cls_u32) and their actions

_U32_CLASSID, _U32_SEL, _U32_ACT = 1, 5, 7
_U32_MORE = {3, 4, 8, 10}  # a link, the head of a table, an interface, a mark
_selector = struct.Struct("=BBB1xHHhhI")
_key = struct.Struct(">IIii")
_TERMINAL = 1
_ACT_KIND, _ACT_OPTIONS, _FIRST_ACTION = 1, 2, 1
_mirred = struct.Struct("=IIiiiiI")
_MIRRED_PARMS, _STOLEN, _EGRESS_REDIRECT = 2, 4, 1
_police = struct.Struct("=IiIII12s12siiI")
_POLICE_TBF, _POLICE_RATE, _POLICE_RESULT, _POLICE_RATE64 = 1, 2, 5, 8
_SHOT, _CONTINUE = 2, -1
_RATE_TABLE_BYTES, _CELL_LOG = 1024, 3

EVERYTHING = ((0, 0, 0),)


def u32_options(
    keys: tuple[tuple[int, int, int], ...], classid: int = 0, action: bytes = b""
) -> bytes:
    """A filter of (mask, value, offset from the network header), all of which must match."""
    data = _selector.pack(_TERMINAL, 0, len(keys), 0, 0, 0, 0, 0)
    for mask, value, offset in keys:
        data += struct.pack(">II", mask, value) + struct.pack("=ii", offset, 0)
    target = netlink.number(_U32_CLASSID, classid) if classid else b""
    return target + attribute(_U32_SEL, data) + (nested(_U32_ACT, action) if action else b"")


def u32_keys(options: bytes) -> tuple[tuple[int, int, int], ...] | None:
    """What a filter matches as the kernel holds it; None where it is more than keys alone."""
    held = netlink.attributes(options)
    data = held.get(_U32_SEL, b"")
    if len(data) < _selector.size or set(held) & _U32_MORE:
        return None
    flags, _shift, count, *moved = _selector.unpack_from(data)
    if flags != _TERMINAL or any(moved):
        return None
    keys = []
    for number in range(count):
        at = _selector.size + number * _key.size
        mask, value = struct.unpack_from(">II", data, at)
        offset, variable = struct.unpack_from("=ii", data, at + 8)
        if variable:
            return None
        keys.append((mask, value, offset))
    return tuple(keys)


def u32_class(options: bytes) -> int:
    """The class that a filter sends to."""
    return netlink.as_number(netlink.attributes(options).get(_U32_CLASSID))


def redirect(index: int) -> bytes:
    """The action that sends a packet out of another interface (act_mirred)."""
    data = _mirred.pack(0, 0, _STOLEN, 0, 0, _EGRESS_REDIRECT, index)
    return _action("mirred", attribute(_MIRRED_PARMS, data))


def police(rate: int, burst: int) -> bytes:
    """The action that drops what exceeds a rate (act_police); burst in ticks.

    The kernel insists on a table of rates, and on the size of its cells (qdisc_get_rtab()); of an
    ethernet it reads nothing in it.
    """
    spec = _spec(rate, _CELL_LOG)
    data = _police.pack(0, _SHOT, 0, burst, _NARROW, spec, _spec(0), 0, 0, 0)
    table = attribute(_POLICE_RATE, bytes(_RATE_TABLE_BYTES))
    passed = attribute(_POLICE_RESULT, struct.pack("=i", _CONTINUE))
    wide = _wide(_POLICE_RATE64, rate)
    return _action("police", attribute(_POLICE_TBF, data) + table + passed + wide)


def _action(kind: str, options: bytes) -> bytes:
    return nested(_FIRST_ACTION, text(_ACT_KIND, kind), nested(_ACT_OPTIONS, options))


class Action:
    """The first action of a u32 filter: a redirection (index) or a limit (rate, burst in ticks)."""

    def __init__(self, options: bytes) -> None:
        first = netlink.attributes(netlink.attributes(options).get(_U32_ACT, b"")).get(
            _FIRST_ACTION, b""
        )
        held = netlink.attributes(first)
        inner = netlink.attributes(held.get(_ACT_OPTIONS, b""))
        self.kind = netlink.as_text(held.get(_ACT_KIND))
        self.index = self.rate = self.burst = 0
        if self.kind == "mirred" and _MIRRED_PARMS in inner:
            *_unused, what, index = _mirred.unpack_from(inner[_MIRRED_PARMS])
            self.index = index if what == _EGRESS_REDIRECT else 0
        if self.kind == "police" and _POLICE_TBF in inner:
            data = inner[_POLICE_TBF]
            self.burst = _police.unpack_from(data)[3]
            self.rate = _rate_in(data, 20, inner.get(_POLICE_RATE64))
