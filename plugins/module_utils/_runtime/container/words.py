# Copyright: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Single values of a container's options: text, names, paths, octal modes, users and signals.

YAML turns what is not in quotes into numbers, booleans and nothing. Where only one text can have
become such a value, that text is taken; where several can, the value is refused, with the advice to
quote it. Every parser here raises InvalidInput and nothing else, whatever it is given.
"""

from __future__ import annotations

import re
import signal

from .. import units
from ..errors import BulkheadError, InvalidInput, check_text
from .process import parse_id

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

QUOTE = "put it in quotes, so that it arrives as you wrote it"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.\-]{0,63}")
_ACCOUNT = re.compile(r"[A-Za-z_][A-Za-z0-9_.\-]*\$?")
_REAL_TIME = re.compile(r"RT(MIN|MAX)([+-][0-9]{1,2})?")
# The largest mode of a file, with its set-user-ID, set-group-ID and sticky bits.
_LARGEST_MODE = 0o7777


def kind_of(value: object) -> str:
    """What a value is, for a message."""
    if isinstance(value, dict):
        return "a dictionary"
    if isinstance(value, (list, tuple)):
        return "a list"
    if isinstance(value, bool):
        return "the boolean %s, as YAML reads yes, no, on and off" % str(value).lower()
    if value is None:
        return "nothing, as YAML reads null, ~ and an empty value"
    return (
        "a number with a fraction"
        if isinstance(value, float)
        else "a whole number"
        if isinstance(value, int)
        else "text"
    )


def text(value: object, what: str) -> str:
    """Text, or a whole number as text. Fractions, booleans and nothing may have been written in
    several ways.
    """
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if not isinstance(value, str):
        scalar = value is None or isinstance(value, (bool, float))
        raise InvalidInput(
            "%s: it is %s, and not text" % (what, kind_of(value)), hint=QUOTE if scalar else ""
        )
    check_text(value, what)
    return value


def items(value: object, what: str) -> list[Any]:
    """A list; nothing is an empty one."""
    if value is None:
        return []
    if not isinstance(value, (list, tuple)):
        raise InvalidInput("%s: it is %s, and not a list" % (what, kind_of(value)))
    return list(value)


def mapping(value: object, what: str) -> dict[str, Any]:
    """A dictionary; nothing is an empty one."""
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise InvalidInput("%s: it is %s, and not a dictionary" % (what, kind_of(value)))
    return value


def boolean(value: object, what: str, default: bool) -> bool:
    """True or False."""
    return default if value is None else units.parse_boolean(value, what)


def whole(value: object, what: str, low: int, high: int) -> int:
    """A whole number from low to high; text may have a sign."""
    given = text(value, what).strip()
    if not re.fullmatch(r"[+-]?[0-9]{1,20}", given, re.ASCII):
        raise InvalidInput("%s: %r is not a whole number" % (what, given))
    if not low <= int(given) <= high:
        raise InvalidInput("%s: %d is not within %d to %d" % (what, int(given), low, high))
    return int(given)


def parse_name(value: object) -> str:
    """A container's name: it is a directory, a control group and a host name."""
    given = "" if value is None else text(value, "name")
    if not _NAME.fullmatch(given):
        raise InvalidInput(
            "%r cannot be the name of a container" % given,
            hint="use letters, digits, '_', '.' and '-', at most 64,"
            " and begin with a letter or digit",
        )
    return given


def parse_path(value: object, what: str) -> str:
    """An absolute path without parts that lead back."""
    given = "" if value is None else text(value, what)
    if not given.startswith("/") or ".." in given.split("/"):
        raise InvalidInput("%s: %r is not an absolute path without '..'" % (what, given))
    return "/" + "/".join(part for part in given.split("/") if part not in ("", "."))


def parse_directory(value: object, what: str) -> str:
    """A path as a command means it: relative to where it runs, with ~ and with variables (process.directory())."""
    given = text(value, what)
    if not given:
        raise InvalidInput("%s: it is empty" % what, hint="leave it out for the container's own")
    return given


def is_usual_mask(mask: int) -> bool:
    """Whether this is a mask that people use."""
    return mask in (0, 0o2, 0o6, 0o7, 0o22, 0o26, 0o27, 0o37, 0o66, 0o67, 0o77)


def is_usual_mode(mode: int) -> bool:
    """Whether this is a mode that people give a device: others have no more than the group, and the
    group no more than the owner; and those of terminals.
    """
    owner, group, other = (mode >> 6, mode >> 3 & 7, mode & 7)
    falling = (
        all(digits in (0, 4, 6, 7) for digits in (owner, group, other)) and owner >= group >= other
    )
    return falling or mode in (0o620, 0o622)


def _from_number(value: int, what: str, is_usual: Callable[[int], bool]) -> int:
    """A mode from the number that YAML has made of it, if it is certain which text became it.

    YAML hands 0640 over as 416, and 640 as 640. Digits with an 8 or a 9 among them were octal ones
    behind a zero. Of any others, the reading is taken that alone is usual.
    """
    digits = str(value)
    if 0 <= value <= _LARGEST_MODE:
        if value < 8 or set(digits) & set("89"):
            return value
        if is_usual(value) and not is_usual(int(digits, 8)):
            return value
    raise InvalidInput(
        "%s: it arrived as the number %d, and whether %s or 0%o was meant cannot be told"
        % (what, value, digits, abs(value)),
        hint="write it in quotes, such as '%s'" % digits.rjust(4, "0"),
    )


def octal(value: object, what: str, is_usual: Callable[[int], bool]) -> int:
    """A mode from text in octal ("0640", "640", "0o640") or from a number."""
    if isinstance(value, int) and not isinstance(value, bool):
        return _from_number(value, what, is_usual)
    given = text(value, what)
    if not re.fullmatch(r"0?o?[0-7]{1,4}", given):
        raise InvalidInput(
            "%s: %r is not an octal mode" % (what, given), hint="write it in quotes, such as '0660'"
        )
    return int(given.replace("o", ""), 8)


def account(value: object, what: str) -> str:
    """A user or a group: a number, or a name that the container knows. root is 0 by definition."""
    given = text(value, what)
    try:
        number = parse_id(given)
    except BulkheadError as error:
        raise InvalidInput("%s: %s" % (what, error.problem)) from None
    if number is None and not _ACCOUNT.fullmatch(given):
        raise InvalidInput("%s: %r is neither a number nor a name" % (what, given))
    return "0" if given == "root" else given if number is None else str(number)


def parse_user(value: object, what: str = "user") -> str:
    """name, uid, name:group or uid:gid; numbers strictly, names for the container to know."""
    given = "0" if value is None else text(value, what)
    parts = given.split(":")
    if len(parts) > 2 or not all(parts):
        raise InvalidInput("%s: %r is not of the form user or user:group" % (what, given))
    return ":".join(account(part, what) for part in parts)


def parse_signal(value: object, what: str = "stop_signal") -> int:
    """A signal by name or number: TERM, SIGTERM, 15, RTMIN+3, SIGRTMAX-2."""
    given = text(value, what).upper()
    name = given[3:] if given.startswith("SIG") else given
    number = 0
    found = _REAL_TIME.fullmatch(name)
    if name.isascii() and name.isdigit() and given == name:
        number = int(name[:20])
    elif found:
        number = (signal.SIGRTMIN if found.group(1) == "MIN" else signal.SIGRTMAX) + int(
            found.group(2) or 0
        )
        if not signal.SIGRTMIN <= number <= signal.SIGRTMAX:
            number = 0
    else:
        known = getattr(signal, "SIG" + name, None)
        number = int(known) if isinstance(known, signal.Signals) else 0
    if not 1 <= number < signal.NSIG:
        raise InvalidInput(
            "%s: there is no signal called %r" % (what, str(value)),
            hint="give a name such as TERM or RTMIN+3, or a number from 1 to %d" % (signal.NSIG - 1),
        )
    return number


def signal_name(number: int) -> str:
    """The name of a signal, as kill(1) spells it."""
    if signal.SIGRTMIN <= number <= signal.SIGRTMAX:
        return "RTMIN+%d" % (number - signal.SIGRTMIN)
    try:
        return signal.Signals(number).name[len("SIG") :]
    except ValueError:
        return str(number)
