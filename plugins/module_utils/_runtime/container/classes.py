# Copyright: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""The classes of cache and memory bandwidth of containers, through the room of resctrl.

A container joins a class that is named, or has one of its own under its own name, which is made before it and removed after
it. Its first process moves itself into the class before it becomes the command, so that everything it starts is born there;
what is found outside later is moved.
"""

from __future__ import annotations

import os

from ..errors import BulkheadError, InvalidInput
from ..plan import Plan, Step
from ..plan import apply as apply_plan
from ..resctrl import mounting, records
from ..resctrl.group import Group, Monitor, check_name
from ..resctrl.planning import GroupPlan
from ..resctrl.report import report as report_classes
from ..resctrl.subject import Schemata
from . import groups, payload

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def parse(options: dict[str, Any] | None, name: str) -> tuple[dict[str, Any] | None, dict[str, Any]]:
    """(what the container is made from, what can be changed while it runs) of the option rdt. Raises InvalidInput."""
    if options is None:
        return None, {}
    given = {key: value for key, value in options.items() if value is not None and key not in ("class", "monitor")}
    if given.get("shareable_bits") == "allow":
        del given["shareable_bits"]
    asked = options.get("class")
    called = check_name(asked if asked is not None else name, "rdt.class")
    if not called:
        raise InvalidInput("rdt.class is empty", hint="without rdt, a container is in the class of whoever starts it, most often the default group")
    if asked is None and not given:
        raise InvalidInput("rdt asks for nothing", hint="give the class to join, or what a class of its own shall have")
    return {"class": called, "own": asked is None, "monitor": bool(options.get("monitor"))}, given


def canonical(options: dict[str, Any]) -> dict[str, Any]:
    """The option rdt in its one form, in which two spellings of the same are equal. Raises InvalidInput."""
    return records.canonical(options)


def laid_over(held: dict[str, Any], given: dict[str, Any]) -> dict[str, Any]:
    """The option rdt as it was given, with what is given now over it."""
    return records.laid_over(records.canonical(held), records.canonical(given))


def lay_over(config: dict[str, Any], shares: dict[str, Any], given: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """(configuration, what the class has) of a container of which only the option rdt was given, and its name. Raises InvalidInput.

    It stays in the class in which it is unless another is named, and what is not given of a class stays.
    """
    held = config.get("rdt")
    asked = {**given, "class": held["class"]} if held and given.get("class") is None else given
    settings, more = parse(asked, config["name"])
    if held and settings:
        settings["own"] = held["own"] if settings["class"] == held["class"] else settings["own"]
        settings["monitor"] = held["monitor"] or settings["monitor"]
        shares = shares if settings["class"] == held["class"] else {}
    return {**config, "rdt": settings}, laid_over(shares, more)


def from_oci(rdt: dict[str, Any]) -> dict[str, Any]:
    """The option rdt from linux.intelRdt of the OCI runtime specification, config-linux.md.

    closID names the class; without it the class is the container's own. l3CacheSchema and memBwSchema are single lines, schemata a
    list of them; enableMonitoring makes a monitoring group of the container's own.
    """
    lines = [str(rdt[key]) for key in ("l3CacheSchema", "memBwSchema") if rdt.get(key)]
    # A line of memory bandwidth in l3CacheSchema is left out, as the specification says: it has a field of its own.
    lines = [line for text in lines for line in text.splitlines() if line.strip()]
    if rdt.get("memBwSchema"):
        lines = [line for line in lines if not line.strip().startswith("MB:") or line in str(rdt["memBwSchema"]).splitlines()]
    lines += [str(line) for line in rdt.get("schemata") or []]
    options: dict[str, Any] = {"schemata": lines or None, "monitor": bool(rdt.get("enableMonitoring") or rdt.get("enableCMT") or rdt.get("enableMBM"))}
    if rdt.get("closID"):
        options["class"] = str(rdt["closID"])
    return options


def files(settings: dict[str, Any] | None, name: str) -> list[str]:
    """The files to which a process writes itself to be where the container is."""
    if not settings:
        return []
    base = "%s/%s" % (_place(), settings["class"])
    return [base + "/tasks", *(["%s/mon_groups/%s/tasks" % (base, name)] if settings["monitor"] else [])]


def make_again(config: dict[str, Any], resources: dict[str, Any]) -> None:
    """Make the class of a container that is started without a module, where it is gone, as after a reboot.

    One that is there is let be: whoever starts the container may be changing it, and holds the lock.
    """
    settings = config.get("rdt")
    if not settings or all(os.path.exists(path) for path in files(settings, config["name"])):
        return
    subject = Classes()
    subject.replaying = True
    try:
        steps = subject.plan([(config["name"], settings, resources.get("rdt") or {}, groups.name_of(config))])
        subject.lock()
        apply_plan(_plan_of(steps))
    finally:
        subject.finish()


def _plan_of(steps: list[Step]) -> Plan:
    plan = Plan()
    plan.steps = steps
    return plan


class Classes:
    """The classes that the containers of one call need."""

    def __init__(self) -> None:
        self._subject: Schemata | None = None
        self.plan_made: GroupPlan | None = None
        self.replaying = False  # whether containers are brought back, with what is left of their classes
        self._groups: dict[str, Group] = {}

    def plan(self, wanted: list[tuple[str, dict[str, Any], dict[str, Any], str]]) -> list[Step]:
        """The steps that are missing. wanted: (name, settings, what its class shall have, control group) of each container with a class."""
        self._groups = {}
        shares: dict[str, dict[str, Any]] = {}
        if not wanted:
            return []
        subject = self._subject = self._subject or Schemata()
        subject.replaying = self.replaying
        for container, settings, given, cgroup in wanted:
            name = settings["class"]
            if shares.get(name) and given and shares[name] != given:
                raise InvalidInput("container %s: rdt: another container of this call gives the class %s other shares" % (container, name))
            shares[name] = shares.get(name) or given
            group = self._groups.get(name)
            if group is None or (given and not group.resizes):
                parsed = subject.parse({**given, "name": name})
                parsed.members = group.members if group else []
                parsed.monitors = group.monitors if group else []
                group = self._groups[name] = parsed
            inside = "%s/%s" % (cgroup, payload.PAYLOAD)  # who watches the container and writes its log is in no class
            group.members.append(inside)
            if settings["monitor"]:
                monitor = Monitor(container, True, [], [], None)
                monitor.members.append(inside)
                group.monitors.append(monitor)
        self.plan_made = subject.plan(list(self._groups.values()))
        for container, settings, given, _cgroup in wanted:
            if not settings["own"] and not given and settings["class"] in self.plan_made.fresh and not shares[settings["class"]]:
                raise BulkheadError(
                    "container %s: rdt: there is no class %s" % (container, settings["class"]),
                    hint="make it with resctrl_schema, or say here what it shall have",
                )
        return list(self.plan_made.steps)

    def lost(self, settings: dict[str, Any] | None) -> list[str]:
        """What of its class a container that is brought back cannot have on this machine any more."""
        return self.plan_made.lost.get(settings["class"], []) if settings and self.plan_made is not None else []

    def lock(self) -> bool:
        """Lock for changing; False when what was planned may be stale by now."""
        return self._subject is None or self.plan_made is None or not self.plan_made.steps or self._subject.lock()

    def finish(self) -> None:
        if self._subject is not None:
            self._subject.finish()

    def report(self, settings: dict[str, Any] | None) -> dict[str, Any] | None:
        """What the class of a container has."""
        if not settings or self.plan_made is None or settings["class"] not in self._groups:
            return None
        found = report_classes([self._groups[settings["class"]]], self.plan_made)[0]
        return {"class": found["name"], **{key: found[key] for key in ("asked", "effective", "rounded", "overlaps") if key in found}}


def left_behind(call: Classes, name: str, held: dict[str, Any] | None, settings: dict[str, Any] | None) -> list[Step]:
    """The steps that remove what was a container's own, unless the container that takes its place has the same.

    held, settings: the settings of its class until now, and from now on. That is its class, or its monitoring group in another.
    """
    if not held:
        return []
    now = settings or {}
    same = held["class"] == now.get("class")
    removal: Step | None = None
    if held.get("own") and not same:
        removal = RemoveClass(call, held["class"])
    elif held.get("monitor") and not (same and now.get("monitor")):
        removal = RemoveMonitor(call, held["class"], name)
    return [removal] if removal is not None and os.path.isdir(removal.target) else []


class RemoveClass(Step):
    """Remove a container's own class, after the container. What is removed stays so."""

    after = None

    def __init__(self, call: Classes, name: str) -> None:
        self._call = call
        self.name = name
        self.target = "%s/%s/" % (_place(), name)
        self.before = "directory"

    def wanted(self, subject: Schemata) -> Group:
        return subject.parse({"name": self.name, "state": "absent"})

    def do(self) -> None:
        if not os.path.isdir(self.target):
            return  # it went with the class of another container of this call
        self._call.finish()  # nothing of the plan writes to other classes any more, and the lock is needed here
        subject = Schemata()
        try:
            subject.apply(subject.plan([self.wanted(subject)]))
        finally:
            subject.finish()

    def undo(self) -> None:
        """It comes last, and the container it belonged to is gone."""


class RemoveMonitor(RemoveClass):
    """Remove a container's own monitoring group in a class that stays."""

    def __init__(self, call: Classes, class_name: str, name: str) -> None:
        super().__init__(call, class_name)
        self.monitor = name
        self.target = "%s/%s/mon_groups/%s/" % (_place(), class_name, name)

    def wanted(self, subject: Schemata) -> Group:
        group = subject.parse({"name": self.name})
        monitor = Monitor(self.monitor, False, [], [], None)
        monitor.ours = True
        group.monitors.append(monitor)
        return group


def _place() -> str:
    mounted = mounting.find()
    return mounted.path if mounted else mounting.PLACE
