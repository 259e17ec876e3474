# Copyright: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""What is desired of one interface, from options, checked as far as it can be without the machine."""

from __future__ import annotations

from .. import units as common
from ..errors import InvalidInput
from ..records import without_none
from . import units
from .matches import Match

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

METHODS = ("ifb", "police")
DEFAULT_LATENCY = 50000000  # nanoseconds that a packet waits at most
OF_A_WAY = ("rate", "burst", "latency", "limit", "peakrate", "method")


class Direction:
    """A limit of all that goes one way. rate: None for no limit; latency in nanoseconds."""

    def __init__(self, options: dict[str, Any], what: str) -> None:
        given = without_none(options)
        if "rate" not in given:
            hint = "give one such as 10mbit, or max to lift the limit"
            raise InvalidInput("%s: rate is missing" % what, hint=hint)
        self.asked = given
        self.method = str(given.get("method") or METHODS[0])
        self.rate = _rate(given["rate"], what + ".rate")
        self.burst = _size(given, "burst", what)
        self.limit = _size(given, "limit", what)
        self.latency = _time(given, "latency", what)
        self.peakrate = (
            _rate(given["peakrate"], what + ".peakrate") if "peakrate" in given else None
        )
        if self.rate is None and len(given) > 1 + ("method" in given):
            raise InvalidInput(
                "%s: without a rate there is nothing that %s could be of" % (what, _more(given))
            )
        if self.limit is not None and self.latency is not None:
            raise InvalidInput("%s: limit and latency are two ways to say one thing" % what)
        if self.peakrate is not None and self.rate is not None and self.peakrate <= self.rate:
            raise InvalidInput("%s: peakrate %s is not above the rate" % (what, given["peakrate"]))
        if self.method == "police":
            self._check_police(given, what)

    def _check_police(self, given: dict[str, Any], what: str) -> None:
        wrong = [name for name in ("latency", "limit", "peakrate") if name in given]
        if wrong:
            hint = "use method: ifb"
            raise InvalidInput(
                "%s: policing has no queue and so no %s" % (what, wrong[0]), hint=hint
            )


def _more(given: dict[str, Any]) -> str:
    return ", ".join(name for name in given if name not in ("rate", "method"))


def _rate(value: Any, what: str) -> int | None:
    return (
        None
        if common.is_max(value) and str(value).strip() != "-1"
        else units.parse_rate(value, what)
    )


def _size(given: dict[str, Any], name: str, what: str) -> int | None:
    return units.parse_bytes(given[name], "%s.%s" % (what, name)) if name in given else None


def _time(given: dict[str, Any], name: str, what: str) -> int | None:
    return units.parse_time(given[name], "%s.%s" % (what, name)) if name in given else None


class Class:
    """One class of what goes out. match: None for a class of all the rest, or with classes below."""

    def __init__(self, options: dict[str, Any]) -> None:
        given = without_none(options)
        self.asked = given
        self.name = str(given.get("name", ""))
        what = "class %s" % self.name
        if not self.name:
            raise InvalidInput("a class has no name")
        if "rate" not in given:
            raise InvalidInput("%s: rate is missing" % what)
        self.parent = str(given.get("parent") or "")
        self.rate = units.parse_rate(given["rate"], what + ": rate")
        self.ceil = (
            units.parse_rate(given["ceil"], what + ": ceil") if "ceil" in given else self.rate
        )
        self.burst = (
            units.parse_bytes(given["burst"], what + ": burst") if "burst" in given else None
        )
        self.priority = common.parse_count(given.get("priority", 0), what + ": priority", 0, 7)
        self.match = Match(given["match"], what) if "match" in given else None
        if self.match:
            self.match.check(what)
        if self.ceil < self.rate:
            raise InvalidInput(
                "%s: ceil %s is below rate %s" % (what, given["ceil"], given["rate"])
            )


class Limit:
    """What is desired of an interface, as its user sees its directions.

    interface, namespace, container: which; the last alone, or the first with or without the second.
    egress, ingress, classes: None leaves what is there. brought_back: by a replay; foreseen: in check
    mode.
    """

    def __init__(self, options: dict[str, Any]) -> None:
        self.container = str(options.get("container") or "")
        self.namespace = str(options.get("netns") or "")
        self.interface = str(options.get("interface") or "")
        self.present = options.get("state") != "absent"
        self.overcommit = str(options.get("overcommit") or "deny")
        self.force = bool(options.get("force"))
        self.brought_back = False
        self.foreseen = False
        if self.container and (self.namespace or self.interface):
            raise InvalidInput(
                "container %s: an interface cannot be named beside it" % self.container
            )
        if not self.container:
            _check_name(self.interface)
        self.egress = self._direction(options, "egress")
        self.ingress = self._direction(options, "ingress")
        given = options.get("classes")
        self.classes = None if given is None else [Class(one) for one in given]
        self._check()

    def _direction(self, options: dict[str, Any], name: str) -> Direction | None:
        given = options.get(name)
        return Direction(given, name) if given is not None else None

    @property
    def name(self) -> str:
        """What it is called in results, and under which it is kept."""
        if self.container:
            return "container " + self.container
        return "%s in %s" % (self.interface, self.namespace) if self.namespace else self.interface

    def _check(self) -> None:
        shaped = self.egress
        if self.classes and shaped and (shaped.latency or shaped.limit or shaped.peakrate):
            raise InvalidInput(
                "%s: latency, limit and peakrate are of one queue, and classes have one each"
                % self.name,
                hint="leave them out, or leave classes out",
            )
        if self.classes is not None:
            check_classes(self.classes)


def named(name: str) -> dict[str, Any]:
    """The options that name an object, from what it is called."""
    first, _space, rest = name.partition(" ")
    if first == "container" and rest:
        return {"container": rest}
    if rest.startswith("in "):
        return {"interface": first, "netns": rest[len("in ") :]}
    return {"interface": name}


_LONGEST_NAME = 15


def _check_name(name: str) -> None:
    """What the kernel takes as the name of an interface (dev_valid_name(), net/core/dev.c)."""
    if not name:
        raise InvalidInput("neither an interface nor a container is named")
    if (
        len(name.encode()) > _LONGEST_NAME
        or name in (".", "..")
        or any(c in "/:" or c.isspace() for c in name)
    ):
        raise InvalidInput(
            "%r is not the name of an interface" % name,
            hint="at most 15 characters, without / and :",
        )


def check_classes(classes: list[Class]) -> None:
    """Refuse classes that contradict each other."""
    by_name: dict[str, Class] = {}
    for one in classes:
        if one.name in by_name:
            raise InvalidInput("class %s is named twice" % one.name)
        by_name[one.name] = one
    inner = {one.parent for one in classes}
    for one in classes:
        _check_parents(one, by_name)
        if one.match and one.name in inner:
            raise InvalidInput(
                "class %s has classes below it, and so carries no traffic of its own" % one.name,
                hint="give match to the classes below it",
            )
    _check_matches([one for one in classes if one.name not in inner])


def _check_parents(one: Class, by_name: dict[str, Class]) -> None:
    seen = [one.name]
    while one.parent:
        if one.parent not in by_name:
            raise InvalidInput(
                "class %s: its parent %s is not among the classes" % (one.name, one.parent)
            )
        one = by_name[one.parent]
        if one.name in seen:
            raise InvalidInput(
                "the parents of class %s go round: %s" % (seen[0], " ".join([*seen, one.name]))
            )
        seen.append(one.name)
    if len(seen) > _MOST_LEVELS:
        raise InvalidInput(
            "class %s is at level %d, and the kernel has %d" % (seen[0], len(seen), _MOST_LEVELS)
        )


# TC_HTB_MAXDEPTH is 8, and one level is the class of everything.
_MOST_LEVELS = 7


def _check_matches(leaves: list[Class]) -> None:
    seen: dict[object, str] = {}
    for one in leaves:
        key = one.match.key() if one.match else None
        if key in seen:
            what = "the same match" if key else "no match, and there is one class of all the rest"
            raise InvalidInput("classes %s and %s have %s" % (seen[key], one.name, what))
        seen[key] = one.name
