# Copyright: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""What is kept of a quota for the next boot."""

from __future__ import annotations

import os

from ..errors import InvalidInput
from .wanted import GRACES, called, id_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    Options = dict[str, Any]


def _id(options: Options) -> str:
    """The number of an id that has one on this machine, so that a user has one record under his
    name and his number.
    """
    text = "" if options.get("id") is None else str(options["id"]).strip()
    try:
        number = id_of(str(options.get("type")), text) if text else None
    except InvalidInput:
        number = None
    return text if number is None else str(number)


def _suffix(options: Options) -> str:
    directory = os.path.normpath(str(options["directory"])) if options.get("directory") else ""
    return called("", str(options.get("type")), directory, "" if directory else _id(options))


def path_of(name: str, options: Options) -> str:
    """The path in the name of a record; a name that is no record's is the path itself."""
    suffix = _suffix(options)
    return name[: -len(suffix)] if name.endswith(suffix) else name


def kept_name(name: str, options: Options) -> str:
    """The one name of a quota: its path, its type, and the id or the directory."""
    path = path_of(name, options)
    return (os.path.normpath(path) if path else path) + _suffix(options)


def canonical(options: Options) -> Options:
    """The options without what says nothing, and with the number of an id."""
    found = {
        name: value
        for name, value in options.items()
        if value is not False and (name, value) != ("state", "present")
    }
    if found.get("directory"):
        found["directory"] = os.path.normpath(str(found["directory"]))
    if found.get("id") is not None:
        found["id"] = _id(options)
    return found


def settled(records: dict[str, Options], asked: Iterable[str]) -> dict[str, Options]:
    """Grace times belong to a type of a file system: what was asked last is taken from the others."""
    records = dict(records)
    for name in asked:
        mine = records[name]
        given = [option for option in GRACES if option in mine]
        path = path_of(name, mine)
        for other, options in list(records.items()):
            if (
                other == name
                or not given
                or options.get("type") != mine.get("type")
                or path_of(other, options) != path
            ):
                continue
            left = {option: value for option, value in options.items() if option not in given}
            if set(left) - {"type", "id", "directory"}:
                records[other] = left
            else:
                del records[other]  # it held nothing else
    return records
