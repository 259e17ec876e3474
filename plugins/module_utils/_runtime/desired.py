# Copyright: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""What must hold after a reboot: /etc/bulkhead/desired.d, one file for each kind of object, written atomically.

A file is JSON with a format version, the kind, and the options of each object by its name, as they were asked for: what
they come to is worked out on the machine of the day, whose page size or disks may be others.
"""

from __future__ import annotations

import json
import os

from .errors import BulkheadError
from .plan import ReplaceFile, Step

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

DIRECTORY = os.environ.get("BULKHEAD_DESIRED", "/etc/bulkhead/desired.d")
FORMAT = 1
# What an option of the moment asks for is not state that should come back.
_NOT_KEPT = ("force", "processes", "tasks", "wait")


def path_of(kind: str) -> str:
    """The file that keeps what must hold of one kind of object."""
    return os.path.join(DIRECTORY, kind + ".json")


def read(kind: str) -> dict[str, dict[str, Any]]:
    """{name: options} of one kind. Raises BulkheadError where the file is not what this collection writes."""
    text = _text(kind)
    return _objects(kind, text) if text is not None else {}


def _text(kind: str) -> str | None:
    try:
        with open(path_of(kind), encoding="utf-8") as file:
            return file.read()
    except FileNotFoundError:
        return None


def _objects(kind: str, text: str) -> dict[str, dict[str, Any]]:
    try:
        content = json.loads(text)
        if content["format"] != FORMAT or content["kind"] != kind:
            raise ValueError("format %r of kind %r" % (content["format"], content["kind"]))
        objects: dict[str, dict[str, Any]] = content["objects"]
        return dict(objects)
    except (ValueError, KeyError, TypeError) as error:
        raise BulkheadError(
            "%s cannot be read as desired state: %s" % (path_of(kind), error),
            target=path_of(kind),
            hint="move the file away, and the next run writes a new one",
        ) from error


def steps(kind: str, key: str, items: list[dict[str, Any]], fresh: set[str]) -> list[Step]:
    """The steps that keep these objects for the next boot, and forget those that are to be absent; none when kept already.

    fresh: objects that are made anew, so that what was kept of an earlier one of the same name is gone.
    """
    before = _text(kind)
    objects = _objects(kind, before) if before is not None else {}
    gone = set()
    for item in items:
        name = str(item[key])
        if item.get("state") == "absent":
            gone.add(name)
        else:
            given = {option: value for option, value in without_none(item).items() if option != key and option not in _NOT_KEPT}
            objects[name] = given if name in fresh else merge(objects.get(name, {}), given)
    if gone:  # with what lies below them
        objects = {name: options for name, options in objects.items() if not any(above in gone for above in _with_ancestors(name))}
    after = _format(kind, objects) if objects else None
    if after == before:
        return []
    return [ReplaceFile(path_of(kind), before, after)]


def _with_ancestors(name: str) -> list[str]:
    parts = name.split("/")
    return ["/".join(parts[:end]) for end in range(1, len(parts) + 1)]


def _format(kind: str, objects: dict[str, dict[str, Any]]) -> str:
    """JSON with a line for each object, for people who read it and for tools that compare lines."""
    encode = json.JSONEncoder(sort_keys=True).encode
    lines = ",\n".join("  %s: %s" % (encode(name), encode(objects[name])) for name in sorted(objects))
    return '{"format": %d, "kind": "%s", "objects": {\n%s\n}}\n' % (FORMAT, kind, lines)


def without_none(value: Any) -> Any:
    """The options that were given: the same without those that are None."""
    if isinstance(value, dict):
        return {name: without_none(inner) for name, inner in value.items() if inner is not None}
    if isinstance(value, list):
        return [without_none(inner) for inner in value]
    return value


def merge(held: dict[str, Any], given: dict[str, Any]) -> dict[str, Any]:
    """What was kept, with what is given now laid over it: an option that is not given stays, as it does in the kernel."""
    merged = dict(held)
    for name, value in given.items():
        inner = merged.get(name)
        merged[name] = merge(inner, value) if isinstance(inner, dict) and isinstance(value, dict) else value
    return merged
