# Copyright: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""What is kept of an object: one record for each object of the kernel, in one form.

A call gives some options, and what it does not give stays as an earlier call left it. Two options can mean the same kernel
object, as can two keys of one option, two spellings of a value, and two names of the object itself. If records were laid over
each other as they were written, an earlier call would win over a later one at the next boot. So every record is brought into
its one form first, and there the same name always means the same thing.
"""

from __future__ import annotations

import contextlib
import json

from . import hidden
from .errors import BulkheadError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    Options = dict[str, Any]
    Records = dict[str, Options]

# What an option of the moment asks for is not state that should come back.
NOT_KEPT = ("force", "processes", "tasks", "wait")


class Rules:
    """How the objects of one kind are kept.

    kind: the module's name; key: the option that names an object; not_kept: options that are not state, but of the moment.
    """

    kind = ""
    key = "name"
    not_kept: tuple[str, ...] = NOT_KEPT

    def kept_name(self, name: str, options: Options) -> str:
        """The one name under which an object is kept, of all names by which it can be asked for."""
        return name

    def canonical(self, options: Options) -> Options:
        """The options of one object in their one form; a record in this form is not changed."""
        return options

    def laid_over(self, held: Options, given: Options) -> Options:
        """What was kept, with what is given now laid over it; both are in their one form, and so is the answer."""
        return merge(held, given)

    def kept(self, held: Options, options: Options, persist: bool | None) -> Options | None:
        """What to keep of an object when it is asked for with these options; None for nothing.

        held: what is kept of it so far. persist: the option, None when it was not given and has no default.
        """
        return self.laid_over(held, self.canonical(given_of(options, self.not_kept)))

    def settled(self, objects: Records, asked: Iterable[str]) -> Records:
        """All records of the kind, where what one object was given is taken from others: what was asked last holds.

        asked: the objects that are asked for, in their order.
        """
        return objects


def in_one_form(rules: Rules, objects: Records) -> Records:
    """Records as a file holds them, brought into their one form.

    An earlier version kept options as they were given, and an object under each of its names. It brought them back in the order
    of their names, so the last of them is what held.
    """
    found: Records = {}
    for name in sorted(objects):
        one, options = rules.kept_name(name, objects[name]), _tidy(rules, objects[name])
        with contextlib.suppress(*_GARBAGE):
            options = rules.laid_over(found[one], options) if one in found else options
        found[one] = options
    with contextlib.suppress(*_GARBAGE):
        return rules.settled(found, list(found))
    return found


# What comes of options that were edited into the file and are of another type than any call lets through.
_GARBAGE = (BulkheadError, AttributeError, KeyError, TypeError, ValueError)


def _tidy(rules: Rules, options: Options) -> Options:
    """The one form of what is kept; what nobody can understand stays as it is, and whoever brings it back says so."""
    try:
        return rules.canonical(options)
    except _GARBAGE:
        return options


def changed(rules: Rules, records: Records, items: list[Options], fresh: set[str], persist: bool | None) -> Records:
    """The records after a call. fresh: objects that are made anew, so that what was kept of an earlier one is gone."""
    records, gone, asked = dict(records), set(), []
    for item in items:
        name = rules.kept_name(str(item[rules.key]), item)
        if item.get("state") == "absent":
            gone.add(name)
            continue
        held = {} if name in fresh or item[rules.key] in fresh else records.get(name, {})
        try:
            options = rules.kept(held, {option: value for option, value in item.items() if option != rules.key}, persist)
        except _GARBAGE as error:
            raise BulkheadError(
                "what is kept of %s for the next boot cannot be understood: %s" % (name, error),
                hint="bulkhead status names the file; take the object out of it, or remove the object with state: absent first",
            ) from None
        if options is None:
            records.pop(name, None)
        else:
            records[name] = options
            asked.append(name)
    if gone:  # with what lies below them
        records = {name: options for name, options in records.items() if gone.isdisjoint(_with_ancestors(name))}
    with contextlib.suppress(*_GARBAGE):
        return rules.settled(records, asked)
    return records


def _with_ancestors(name: str) -> list[str]:
    parts = name.split("/")
    return ["/".join(parts[:end]) for end in range(1, len(parts) + 1)]


def shown(before: Records, after: Records) -> tuple[str | None, str | None]:
    """The records that differ, as lines for people who read a diff."""
    lines: tuple[list[str], list[str]] = ([], [])
    for name in sorted({*before, *after}):
        if before.get(name) != after.get(name):
            for options, text in zip(hidden.pair(before.get(name), after.get(name)), lines):
                if options is not None:
                    text.append(line(name, options))
    return "\n".join(lines[0]) or None, "\n".join(lines[1]) or None


def line(name: str, options: Options) -> str:
    """One record as a line of the file."""
    encode = json.JSONEncoder(sort_keys=True).encode
    return "%s: %s" % (encode(name), encode(options))


def given_of(options: Options, not_kept: tuple[str, ...] = NOT_KEPT) -> Options:
    """Of the options of a call those that were given and are state."""
    return {option: value for option, value in without_none(options).items() if option not in not_kept}


def without_none(value: Any) -> Any:
    """The options that were given: the same without those that are None."""
    if isinstance(value, dict):
        return {name: without_none(inner) for name, inner in value.items() if inner is not None}
    if isinstance(value, list):
        return [without_none(inner) for inner in value]
    return value


def merge(held: Options, given: Options) -> Options:
    """What was kept, with what is given now laid over it: an option that is not given stays, as it does in the kernel."""
    merged = dict(held)
    for name, value in given.items():
        inner = merged.get(name)
        merged[name] = merge(inner, value) if isinstance(inner, dict) and isinstance(value, dict) else value
    return merged
