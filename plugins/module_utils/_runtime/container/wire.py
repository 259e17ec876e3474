# Copyright: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Data between the processes of one call, and the little JSON that is written without the json package.

The module, its helper and the monitors run the same interpreter from the same file, and trust each other; what passes
between them is marshal, which costs no import (json costs 6 ms of the start). Nothing of a container ever sends any: its
descriptors are closed before it runs. Files for others to read are JSON.
"""

from __future__ import annotations

import marshal
import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

# No message is larger; a message is one packet of a SOCK_SEQPACKET pair.
LARGEST = 8 << 20
_VERSION = 2


def send(fd: int, message: dict[str, Any]) -> None:
    """One message, as one packet."""
    os.write(fd, marshal.dumps(message, _VERSION))


def receive(fd: int) -> dict[str, Any] | None:
    """The next message; None when the other end is gone."""
    try:
        data = os.read(fd, LARGEST)
    except ConnectionResetError:
        return None
    if not data:
        return None
    message: dict[str, Any] = marshal.loads(data)
    return message


def to_json(value: object) -> str:
    """JSON text of plain data: dicts with text keys, lists, text, finite numbers, booleans and None."""
    if value is None:
        return "null"
    if value is True:
        return "true"
    if value is False:
        return "false"
    if isinstance(value, (int, float)):
        return repr(value)
    if isinstance(value, str):
        return _quoted(value)
    if isinstance(value, dict):
        return "{" + ", ".join("%s: %s" % (_quoted(key), to_json(value[key])) for key in value) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(to_json(item) for item in value) + "]"
    raise TypeError("no JSON for %r" % (value,))


def _python_quoted(text: str) -> str:
    out = []
    for character in text:
        code = ord(character)
        if character in '"\\':
            out.append("\\" + character)
        elif 0x20 <= code < 0x7F:
            out.append(character)
        elif code < 0x10000:
            out.append("\\u%04x" % code)
        else:
            out.append("\\u%04x\\u%04x" % (0xD800 + ((code - 0x10000) >> 10), 0xDC00 + (code & 0x3FF)))
    return '"' + "".join(out) + '"'


try:
    from _json import encode_basestring_ascii as _quoted
except ImportError:
    _quoted = _python_quoted
