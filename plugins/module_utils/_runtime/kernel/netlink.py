# Copyright: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""netlink(7): many requests in one send, an answer for each, and whole dumps.

A message is (type, flags, body). What it asks for is the caller's business; this file knows the
framing (include/uapi/linux/netlink.h), attributes, acknowledgements and namespaces.
"""

from __future__ import annotations

import errno
import os
import socket
import struct

from . import namespaces

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import Any

    Message = tuple[int, int, bytes]

ROUTE, NETFILTER = 0, 12  # NETLINK_ROUTE, NETLINK_NETFILTER

REQUEST, ACK, DUMP = 0x1, 0x4, 0x300
REPLACE, EXCL, CREATE, APPEND = 0x100, 0x200, 0x400, 0x800
_DUMP_INTERRUPTED, _CAPPED, _ACK_TLVS = 0x10, 0x100, 0x200
_ERROR, _DONE = 2, 3
_ATTRIBUTE_MESSAGE = 1  # NLMSGERR_ATTR_MSG
NESTED, _ATTRIBUTE_TYPE = 0x8000, 0x3FFF

_SOL_NETLINK, _CAP_ACK, _EXT_ACK, _STRICT = 270, 10, 11, 12
_SO_RCVBUFFORCE = 33
_RECEIVE_BYTES = 8 << 20
# One send must fit into the send buffer (net.core.wmem_default is 208 KiB), and its answers into
# the receive buffer: a queued acknowledgement takes up to 1 KiB there.
_SEND_BYTES, _SEND_MESSAGES = 128 << 10, 2000
_FEW_MESSAGES = 100
# The kernel fills at most 32 KiB of a dump at once (netlink_dump()).
_LONGEST_ANSWER, _LONGEST_OBJECT = 64 << 10, 256 << 10
_REPEATS = 20

_header = struct.Struct("=IHHII")
_attribute = struct.Struct("=HH")
_error = struct.Struct("=i")


class Answer:
    """What the kernel answered to one message: errno (0 for done) and its own words, which may be
    a warning about something that was done."""

    __slots__ = ("errno", "words")

    def __init__(self, errno: int, words: str = "") -> None:
        self.errno = errno
        self.words = words

    def __repr__(self) -> str:
        return "Answer(%r, %r)" % (self.errno, self.words)


_DONE_SILENTLY = Answer(0)


class NetlinkError(OSError):
    """A message that was refused; words: what the kernel said beside the errno."""

    def __init__(self, answer: Answer, what: str) -> None:
        super().__init__(answer.errno, os.strerror(answer.errno), what)
        self.words = answer.words


class Socket:
    """A netlink socket of one network namespace; it stays in that one whatever the process does."""

    def __init__(self, protocol: int = ROUTE, namespace: int | None = None) -> None:
        """namespace: the descriptor of one; without it, the caller's."""
        self.protocol = protocol

        def make() -> socket.socket:
            kind = socket.SOCK_RAW | socket.SOCK_CLOEXEC
            return socket.socket(socket.AF_NETLINK, kind, protocol)

        self._socket = make() if namespace is None else namespaces.inside(namespace, make)
        for option in (_CAP_ACK, _EXT_ACK, _STRICT):
            try:
                self._socket.setsockopt(_SOL_NETLINK, option, 1)
            except OSError:
                pass  # older kernels lack the last one, and then dump more than was asked for
        self._most = _SEND_MESSAGES
        try:
            self._socket.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _RECEIVE_BYTES)
        except OSError:
            self._most = _FEW_MESSAGES
        self._sequence = 0

    def close(self) -> None:
        self._socket.close()

    def __enter__(self) -> Socket:
        return self

    def __exit__(self, *_unused: object) -> None:
        self.close()

    def send(self, messages: Iterable[Message], warnings: bool = True) -> list[Answer]:
        """Send all messages, as many at once as fit; returns the answer to each.

        The kernel goes on after one that it refuses: what follows must bear that.
        warnings: whether to hear what it says to those that it does; errors are always told.
        """
        answers: list[Answer] = []
        for part in self._parts(list(messages)):
            answers += self._exchange(part) if warnings else self._tersely(part)
        return answers

    def _tersely(self, messages: list[Message]) -> list[Answer]:
        """Only the last message is acknowledged, and so ends the answers to those before it."""
        kind, own, body = messages[-1]
        whole = [*messages[:-1], (kind, own | ACK, body)]
        answers = self._exchange(whole, REQUEST)
        if answers[-1].errno == errno.EPROTO:  # nothing is known then
            return answers
        return [_DONE_SILENTLY if answer.errno == errno.EPROTO else answer for answer in answers]

    def _parts(self, messages: list[Message]) -> Iterator[list[Message]]:
        part: list[Message] = []
        size = 0
        for message in messages:
            length = len(message[2]) + _header.size
            if part and (size + length > _SEND_BYTES or len(part) >= self._most):
                yield part
                part, size = [], 0
            part.append(message)
            size += length
        if part:
            yield part

    def _exchange(self, messages: list[Message], common: int = REQUEST | ACK) -> list[Answer]:
        first = self._sequence + 1
        pack = _header.pack
        parts = []
        for kind, own, body in messages:
            self._sequence += 1
            parts.append(pack(_header.size + len(body), kind, common | own, self._sequence, 0))
            parts.append(body)
        self._socket.send(b"".join(parts))
        found: dict[int, Answer] = {}
        # When send() returns, all of it is done (netlink_rcv_skb()) and every answer is there.
        while len(found) < len(messages):
            try:
                data = self._socket.recv(_LONGEST_ANSWER, socket.MSG_DONTWAIT)
            except BlockingIOError:
                break
            for kind, flags, sequence, at, end in frames(data):
                if kind == _ERROR and sequence >= first:
                    found[sequence] = _answer(data, flags, at, end)
        missing = Answer(errno.EPROTO, "no answer came")
        return [found.get(number, missing) for number in range(first, first + len(messages))]

    def batch(self, begin: Message, messages: list[Message], end: Message) -> list[Answer]:
        """Send a transaction of nfnetlink, which is done as a whole or not at all.

        Returns the answer to each of the messages within; what is wrong with the whole is told
        for each of them.
        """
        everything = [begin, *((kind, own | ACK, body) for kind, own, body in messages), end]
        answers = self._exchange(everything, REQUEST)
        whole = answers[0] if answers[0].errno not in (0, errno.EPROTO) else None
        return [whole or answer for answer in answers[1:-1]]

    def do(self, message: Message, what: str = "") -> Answer:
        """Send one message. Raises NetlinkError where it is refused."""
        answer = self.send([message])[0]
        if answer.errno:
            raise NetlinkError(answer, what)
        return answer

    def get(self, kind: int, body: bytes) -> bytes | None:
        """The body of the one object that is asked for; None where there is none."""
        self._sequence += 1
        length = _header.size + len(body)
        self._socket.send(_header.pack(length, kind, REQUEST, self._sequence, 0) + body)
        data = self._socket.recv(_LONGEST_OBJECT)
        for kind, flags, sequence, at, end in frames(data):
            if sequence != self._sequence:
                continue
            if kind != _ERROR:
                return data[at:end]
            answer = _answer(data, flags, at, end)
            if answer.errno not in (errno.ENODEV, errno.ENOENT, errno.ENXIO):
                raise NetlinkError(answer, "")
        return None

    def dump(self, kind: int, body: bytes) -> list[bytes]:
        """The bodies of all objects that are asked for, as of one moment: a dump in which
        something changed is made again. Raises NetlinkError where it is refused."""
        for _again in range(_REPEATS):
            found, whole = self._dump_once(kind, body)
            if whole:
                return found
        raise OSError(errno.EBUSY, "what was listed kept changing")

    def _dump_once(self, kind: int, body: bytes) -> tuple[list[bytes], bool]:
        self._sequence += 1
        length = _header.size + len(body)
        header = _header.pack(length, kind, REQUEST | DUMP, self._sequence, 0)
        self._socket.send(header + body)
        found: list[bytes] = []
        whole = True
        while True:
            data = self._socket.recv(_LONGEST_OBJECT)
            for got, flags, sequence, at, end in frames(data):
                if sequence != self._sequence:
                    continue
                whole = whole and not flags & _DUMP_INTERRUPTED
                if got in (_DONE, _ERROR):
                    answer = _answer(data, flags, at, end, echo=got == _ERROR)
                    if answer.errno:
                        raise NetlinkError(answer, "")
                    return found, whole
                found.append(data[at:end])


def frames(data: bytes) -> Iterator[tuple[int, int, int, int, int]]:
    """(type, flags, sequence, begin and end of the body) of each message in what was received."""
    at = 0
    while at + _header.size <= len(data):
        length, kind, flags, sequence, _port = _header.unpack_from(data, at)
        yield kind, flags, sequence, at + _header.size, at + length
        at += (length + 3) & ~3


def _answer(data: bytes, flags: int, at: int, end: int, echo: bool = True) -> Answer:
    """struct nlmsgerr: an errno, the request or its head, attributes.

    echo: whether the request is there; it is not at the end of a dump (netlink_dump_done()).
    """
    code = -_error.unpack_from(data, at)[0] if end - at >= _error.size else 0
    if not flags & _ACK_TLVS:
        return Answer(code) if code else _DONE_SILENTLY
    behind = at + _error.size
    if echo and _header.size <= end - behind:
        echoed = _header.unpack_from(data, behind)[0]
        behind += _header.size if flags & _CAPPED else (echoed + 3) & ~3
    text = attributes(data, behind, end).get(_ATTRIBUTE_MESSAGE, b"")
    return Answer(code, text.rstrip(b"\0").decode("utf-8", "replace"))


# Attributes


def attribute(kind: int, value: bytes = b"") -> bytes:
    """One attribute, padded."""
    return _attribute.pack(4 + len(value), kind) + value + b"\0" * (-len(value) & 3)


def nested(kind: int, *inner: bytes) -> bytes:
    """An attribute that holds others."""
    return attribute(kind | NESTED, b"".join(inner))


def text(kind: int, value: str) -> bytes:
    """An attribute that holds a text, which ends with a zero byte."""
    return attribute(kind, value.encode() + b"\0")


def number(kind: int, value: int) -> bytes:
    """An attribute of 32 bits, in the order of this machine."""
    return attribute(kind, struct.pack("=I", value))


def each_attribute(data: bytes, at: int = 0, end: int | None = None) -> Iterator[tuple[int, bytes]]:
    """(kind, value) of each attribute, also of those of one kind."""
    end = len(data) if end is None else end
    while at + 4 <= end:
        length, kind = _attribute.unpack_from(data, at)
        if length < 4:
            return
        yield kind & _ATTRIBUTE_TYPE, data[at + 4 : at + length]
        at += (length + 3) & ~3


def attributes(data: bytes, at: int = 0, end: int | None = None) -> dict[int, bytes]:
    """{kind: value}; of several of one kind the last. Dumps are long, so this is a plain loop."""
    end = len(data) if end is None else end
    found = {}
    unpack = _attribute.unpack_from
    while at + 4 <= end:
        length, kind = unpack(data, at)
        if length < 4:
            break
        found[kind & _ATTRIBUTE_TYPE] = data[at + 4 : at + length]
        at += (length + 3) & ~3
    return found


def as_text(value: bytes | None) -> str:
    """The text in an attribute; empty where there is none."""
    return (value or b"").split(b"\0", 1)[0].decode("utf-8", "replace")


def as_number(value: bytes | None, default: int = 0) -> int:
    """The number of 1, 2, 4 or 8 bytes in an attribute, in the order of this machine."""
    if not value:
        return default
    unpacked: tuple[Any, ...] = struct.unpack(
        {1: "=B", 2: "=H", 4: "=I", 8: "=Q"}[len(value)], value
    )
    return int(unpacked[0])
