# Copyright: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""nftables by nfnetlink: tables of the family inet, read and replaced as a whole.

Constants are of include/uapi/linux/netfilter/nf_tables.h; its numbers are big endian.
"""

from __future__ import annotations

import errno
import socket
import struct

from . import netlink
from .netlink import attribute, nested, text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Union

    from .netlink import Answer, Message, Socket

    # {attribute: what it holds}; a dictionary is a nest of further ones.
    Fields = dict[int, Union[bytes, "Fields"]]
    Expression = tuple[str, Fields]

INET = 1  # NFPROTO_INET
LOCAL_OUT, POST_ROUTING = 3, 4  # enum nf_inet_hooks
_SUBSYSTEM = 10 << 8
_NEWTABLE, _GETTABLE, _DELTABLE, _NEWCHAIN, _NEWRULE, _GETRULE = 0, 1, 2, 3, 6, 7
_BATCH_BEGIN, _BATCH_END = 0x10, 0x11
_TABLE_NAME = 1
_CHAIN_TABLE, _CHAIN_NAME, _CHAIN_HOOK, _CHAIN_TYPE = 1, 3, 4, 7
_HOOK_NUMBER, _HOOK_PRIORITY = 1, 2
_RULE_TABLE, _RULE_CHAIN, _RULE_EXPRESSIONS = 1, 2, 4
_ELEMENT, _EXPRESSION_NAME, _EXPRESSION_DATA = 1, 1, 2
_REGISTER, _VERDICT_REGISTER = 1, 0
_RETURN = -5
# What answers where the kernel has no nftables, or not this family.
_ABSENT = (errno.EPROTONOSUPPORT, errno.EOPNOTSUPP, errno.EINVAL, errno.ENOENT)


class Rule:
    """A rule as the kernel holds it: its chain, and its expressions as they were sent."""

    def __init__(self, chain: str, expressions: bytes) -> None:
        self.chain = chain
        self.expressions = expressions

    def holds(self, wanted: list[Expression]) -> bool:
        """Whether it is these expressions, with all that was asked of each."""
        held = [netlink.attributes(one) for _kind, one in netlink.each_attribute(self.expressions)]
        if len(held) != len(wanted):
            return False
        return all(
            netlink.as_text(one.get(_EXPRESSION_NAME)) == name
            and _within(fields, one.get(_EXPRESSION_DATA, b""))
            for one, (name, fields) in zip(held, wanted)
        )


def _within(fields: Fields, data: bytes) -> bool:
    held = netlink.attributes(data)
    for kind, value in fields.items():
        there = held.get(kind)
        if there is None:
            return False
        if not (_within(value, there) if isinstance(value, dict) else there == value):
            return False
    return True


def _encoded(fields: Fields) -> bytes:
    return b"".join(
        nested(kind, _encoded(value)) if isinstance(value, dict) else attribute(kind, value)
        for kind, value in fields.items()
    )


def encode(expressions: list[Expression]) -> bytes:
    """Expressions as a rule carries them."""
    return b"".join(
        nested(_ELEMENT, text(_EXPRESSION_NAME, name), nested(_EXPRESSION_DATA, _encoded(fields)))
        for name, fields in expressions
    )


def _number(value: int) -> bytes:
    return struct.pack(">I", value)


# Expressions; all of them use the first register.

PRIORITY, MARK, OIF, L3_PROTOCOL, L4_PROTOCOL = 2, 3, 5, 15, 16  # enum nft_meta_keys
NETWORK, TRANSPORT = 1, 2  # enum nft_payload_bases


def load_meta(key: int) -> Expression:
    """What the kernel knows of a packet."""
    return "meta", {2: _number(key), 1: _number(_REGISTER)}


def load_payload(base: int, offset: int, length: int) -> Expression:
    """Bytes of a packet."""
    fields: Fields = {1: _number(_REGISTER), 2: _number(base), 3: _number(offset)}
    fields[4] = _number(length)
    return "payload", fields


def load_control_group(level: int) -> Expression:
    """The id of the control group of a packet's socket, of its ancestor at a level (v2)."""
    return "socket", {1: _number(3), 2: _number(_REGISTER), 3: _number(level)}


def mask(bits: bytes) -> Expression:
    """Only these bits of what was loaded."""
    register, nothing = _number(_REGISTER), bytes(len(bits))
    return "bitwise", {
        1: register,
        2: register,
        3: _number(len(bits)),
        4: {1: bits},
        5: {1: nothing},
    }


def equals(value: bytes) -> Expression:
    """Go on only where what was loaded is this."""
    return "cmp", {1: _number(_REGISTER), 2: _number(0), 3: {1: value}}


def differs(value: bytes) -> Expression:
    """Go on only where what was loaded is not this."""
    return "cmp", {1: _number(_REGISTER), 2: _number(1), 3: {1: value}}


def set_priority(value: int) -> list[Expression]:
    """Give a packet the priority by which classful disciplines choose a class."""
    load: Expression = ("immediate", {1: _number(_REGISTER), 2: {1: struct.pack("=I", value)}})
    return [load, ("meta", {2: _number(PRIORITY), 3: _number(_REGISTER)})]


def leave() -> Expression:
    """Look at no further rule of the chain."""
    return "immediate", {1: _number(_VERDICT_REGISTER), 2: {2: {1: struct.pack(">i", _RETURN)}}}


# What there is


def open_door(namespace: int | None) -> Socket | None:
    """A socket for what follows; None where the kernel has no netfilter."""
    try:
        return netlink.Socket(netlink.NETFILTER, namespace)
    except OSError as error:
        if error.errno in _ABSENT:
            return None
        raise


def _head(family: int = INET, resource: int = 0) -> bytes:
    return struct.pack(">BBH", family, 0, resource)


def tables(door: Socket) -> list[str] | None:
    """The names of the tables of the family; None where the kernel has no nftables."""
    try:
        bodies = door.dump(_SUBSYSTEM | _GETTABLE, _head())
    except netlink.NetlinkError as error:
        if error.errno in _ABSENT:
            return None
        raise
    return [netlink.as_text(netlink.attributes(body, 4).get(_TABLE_NAME)) for body in bodies]


def rules(door: Socket, table: str) -> list[Rule]:
    """The rules of one table, in their order within each chain."""
    found = []
    for body in door.dump(_SUBSYSTEM | _GETRULE, _head() + text(_RULE_TABLE, table)):
        held = netlink.attributes(body, 4)
        if netlink.as_text(held.get(_RULE_TABLE)) == table:
            chain = netlink.as_text(held.get(_RULE_CHAIN))
            found.append(Rule(chain, held.get(_RULE_EXPRESSIONS, b"")))
    return found


# What changes it


class Chain:
    """A chain that the kernel calls at a hook; rules: the expressions of each, encoded."""

    def __init__(self, name: str, hook: int, priority: int, rules: list[bytes]) -> None:
        self.name = name
        self.hook = hook
        self.priority = priority
        self.rules = rules

    def messages(self, table: str) -> list[Message]:
        place = attribute(_HOOK_NUMBER, _number(self.hook))
        order = attribute(_HOOK_PRIORITY, struct.pack(">i", self.priority))
        head = _head() + text(_CHAIN_TABLE, table) + text(_CHAIN_NAME, self.name)
        chain = head + nested(_CHAIN_HOOK, place, order) + text(_CHAIN_TYPE, "filter")
        found: list[Message] = [(_SUBSYSTEM | _NEWCHAIN, netlink.CREATE, chain)]
        for rule in self.rules:
            body = _head() + text(_RULE_TABLE, table) + text(_RULE_CHAIN, self.name)
            body += nested(_RULE_EXPRESSIONS, rule)
            found.append((_SUBSYSTEM | _NEWRULE, netlink.CREATE | netlink.APPEND, body))
        return found


def replace_table(door: Socket, table: str, chains: list[Chain]) -> list[Answer]:
    """Put these chains in the place of the table, or with none of them remove it, in one step."""
    named = _head() + text(_TABLE_NAME, table)
    # The kernel removes only what is there, so it is made first.
    made: Message = (_SUBSYSTEM | _NEWTABLE, netlink.CREATE, named)
    inner: list[Message] = [made, (_SUBSYSTEM | _DELTABLE, 0, named)]
    if chains:
        inner.append(made)
    for chain in chains:
        inner += chain.messages(table)
    bound = _head(socket.AF_UNSPEC, 10)
    return door.batch((_BATCH_BEGIN, 0, bound), inner, (_BATCH_END, 0, bound))
