# Copyright: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Limits of network bandwidth as something that can be managed."""

from __future__ import annotations

from ..errors import InvalidInput
from ..foreseen import Foreseen, Missing, warning
from ..kernel import flock, namespaces
from ..plan import Plan
from ..records import without_none
from ..subject import Subject, Waits
from . import steps
from .limit import Limit, named
from .observation import CONTAINER, Place
from .planning import BandwidthPlan, Seen, check_together, find, missing, plan_limits
from .report import asked_of, report

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ..kernel.netdevice import Link

_NAMES = ("interface", "netns", "container")
_PATIENCE = 60.0


class Bandwidth(Subject):
    """Limits of interfaces, in this network namespace or in another."""

    kind = "tc_bandwidth"
    plural = "limits"
    singular = "limit"
    key = "interface"
    named_by = ("container",)
    needs_root = True

    def __init__(self) -> None:
        self._places: dict[str, Place] = {}
        self._planned: list[Limit] = []
        self._steps: list[Any] = []

    def parse(self, options: dict[str, Any]) -> Limit:
        name = str(options.get("interface") or "")
        limit = Limit({**options, **named(name)} if " " in name else options)
        limit.brought_back, limit.foreseen = self.replaying, self.checking
        return limit

    def plan(self, objects: list[Limit]) -> BandwidthPlan:
        check_together(objects)
        self._planned = objects
        for place in self._each_place():
            place.forget()
        awaited: list[tuple[Limit, Missing]] = []
        found = []
        for limit in objects:
            try:
                found.append(self._found(limit))
            except Missing as error:
                if not self.checking:
                    raise
                awaited.append((limit, error))
        plan = plan_limits(found)
        for limit, why in awaited:
            plan.warnings.append(warning(why))
            plan.steps += [Foreseen(limit.name, str(asked_of(limit)))] if limit.present else []
        self._steps = list(plan.steps)
        return plan

    def _found(self, limit: Limit) -> tuple[Limit, Place, Link]:
        place = self._place(limit.namespace)
        link = find(place, limit)
        if link is None:
            raise missing(limit)
        return limit, place, link

    def _place(self, name: str) -> Place:
        """The namespace of this name; one that has been opened under another name is that one."""
        if name not in self._places:
            place = Place(name)
            for other in self._places.values():
                if namespaces.same(place.fd, other.fd):
                    place.close()
                    place = other
                    break
            self._places[name] = place
        return self._places[name]

    def _each_place(self) -> list[Place]:
        return list({id(place): place for place in self._places.values()}.values())

    def apply(self, the_plan: Plan) -> None:
        """Do the plan under a lock on each namespace; what changed meanwhile is planned anew."""
        at_once = True
        for name in sorted({limit.namespace for limit in self._planned}):
            place = self._place(name)
            at_once = flock.take(place.fd, True, _PATIENCE, place.called("the network")) and at_once
        if not at_once:
            ours = set(map(id, self._steps))
            at = next((at for at, step in enumerate(the_plan.steps) if id(step) in ours), 0)
            others = [step for step in the_plan.steps if id(step) not in ours]
            the_plan.steps = [*others[:at], *self.plan(self._planned).steps, *others[at:]]
        try:
            the_plan.warnings += steps.apply(the_plan)
        finally:
            for place in self._each_place():
                flock.give_back(place.fd)

    def report(self, objects: list[Limit], last: Any) -> list[dict[str, Any]]:
        return report(objects, last)

    def finish(self) -> None:
        for place in self._each_place():
            place.close()
        self._places = {}

    # What lasts

    def kept_name(self, name: str, options: dict[str, Any]) -> str:
        if options.get("container"):
            return "container %s" % options["container"]
        return "%s in %s" % (name, options["netns"]) if options.get("netns") else name

    def canonical(self, options: dict[str, Any]) -> dict[str, Any]:
        """Without what the name of the record says already."""
        return {name: value for name, value in without_none(options).items() if name not in _NAMES}

    def laid_over(self, held: dict[str, Any], given: dict[str, Any]) -> dict[str, Any]:
        """A direction is one thing: what is not given of it is not kept from earlier."""
        return {**held, **given}

    def left_alone(self, wanted: Limit) -> str:
        """An interface that is not there yet is waited for."""
        try:
            self._found(wanted)
        except InvalidInput as error:
            return Waits(error.problem)
        return ""

    def others(self, names: set[str]) -> list[dict[str, Any]]:
        """Limits of ours that are there and not kept."""
        found = []
        for namespace in ("", *namespaces.names()):
            try:
                place = self._place(namespace)
                found += [name for name in limited(place) if name not in names]
            except (InvalidInput, OSError):
                continue  # a namespace that went away, or is only a name
        return [{"name": name, "state": "present"} for name in found]


def limited(place: Place) -> list[str]:
    """The interfaces that have a limit of ours, as a record names them; those of containers are told
    with their containers."""
    helped = {link.index for link in place.helpers()}
    found = []
    for link in place.links():
        if link.index in helped or link.alias.startswith(CONTAINER % ""):
            continue
        if not Seen(place, link).nothing:
            found.append(place.called(link.name))
    return found
