# Copyright: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""From desired classes to the steps that make them so.

The order of a plan, and why:

1. what is known is written down, so that a killed run leaves no group of which nobody knows who made it;
2. groups that are to go: they free classes, ways and CPUs;
3. groups that shall no longer be exclusive: they let others in;
4. masks of groups that are there, each once, in an order in which no exclusive way is shared at any instant;
5. new groups, each with its schemata: the kernel gives a new group no way that is exclusive to another;
6. groups that shall be exclusive: by now nothing overlaps them;
7. CPUs: taken first, then given; monitoring groups; and tasks last, which then find everything as it shall be.
"""

from __future__ import annotations

from functools import partial

from .. import units
from ..errors import BulkheadError, InvalidInput
from ..kernel.files import Tree
from ..plan import Plan, Step
from . import facts as facts_file
from . import mounting, schemata, steps, tasks
from .facts import Facts
from .group import Group, Monitor
from .hardware import EIGHTHS, Hardware
from .observation import EXCLUSIVE, LOCKED, LOCKSETUP, SHAREABLE, Observation, online_cpus, present_cpus
from .schedule import Schedule
from .targets import Targets

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .schemata import Cell, Cells


class GroupPlan(Plan):
    """A plan that keeps what was seen and worked out when it was made."""

    def __init__(self, seen: Observation, targets: Targets) -> None:
        super().__init__()
        self.seen = seen
        self.targets = targets
        self.removed: dict[str, str] = {}
        self.overlaps: dict[str, dict[str, list[str]]] = {}


def check_together(groups: list[Group]) -> None:
    """Refuse what contradicts itself within one call."""
    seen: set[str] = set()
    owners: dict[int, str] = {}
    for group in groups:
        if group.name in seen:
            raise InvalidInput("%s is named twice in one call" % group.called)
        seen.add(group.name)
        for cpu in group.cpus or ():
            if cpu in owners:
                raise InvalidInput("CPU %d is given to %s and to %s" % (cpu, owners[cpu], group.called))
            owners[cpu] = group.called


def plan_groups(
    hardware: Hardware, seen: Observation, facts: Facts, groups: list[Group], desired: set[str], first: list[Step], file_of_facts: str = ""
) -> GroupPlan:
    """The plan that makes the groups as desired.

    desired: names of groups that shall be there after a boot, which are ours too. first: steps that come before all others.
    Raises InvalidInput or BulkheadError for what can be known to fail, before the first write.
    """
    check_together(groups)
    hardware.learn(facts.greatest())
    planner = _Planner(hardware, seen, facts, groups, desired)
    return planner.plan(first, file_of_facts or facts_file.path())


class _Planner:
    """Collects steps by phase; one for each call."""

    def __init__(self, hardware: Hardware, seen: Observation, facts: Facts, groups: list[Group], desired: set[str]) -> None:
        self.hardware = hardware
        self.seen = seen
        self.tree: Tree = seen.tree
        self.before = facts
        self.facts = facts.copy()
        self.facts.forget_gone(seen.groups)
        # The default group cannot go; that it is to be absent means that nothing limits it any more.
        self.released = any(not group.name and not group.present for group in groups)
        if self.released:
            self.facts.groups.pop("", None)
        self.groups = groups
        self.desired = desired
        self.steps: list[Step] = []
        self.warnings: list[str] = []
        self.fresh: set[str] = set()
        self.unsure: list[tuple[str, Cell, int]] = []
        self.broken: set[str] = set()
        self.moving: dict[str, frozenset[int]] = {}  # the tasks that steps move into a class
        self.shall: dict[str, frozenset[int]] = {}  # the CPUs of classes, when all is done
        self.gone = {group.name for group in groups if group.name and not group.present and seen.exists(group.name)}
        self.ours = {name for name in ("", *seen.groups, *(group.name for group in groups)) if self._is_ours(name)}
        self.targets = Targets(hardware, seen, self.facts, groups, self.gone, self.ours, self.released)
        self.result = GroupPlan(seen, self.targets)

    def _is_ours(self, name: str) -> bool:
        return not name or self.facts.made(name) or name in self.desired or not self.seen.exists(name)

    def plan(self, first: list[Step], file_of_facts: str) -> GroupPlan:
        present = [group for group in self.groups if group.present]
        if present and not self.hardware.resources and any(group.name for group in present):
            raise BulkheadError("this machine can monitor and cannot divide", hint=mounting.why_not()[1])
        self._check_ownership()
        self.targets.work_out()
        self._check_capacity()
        for group in self.groups:
            if group.name in self.gone:
                self._remove(group)
        for group in present:
            self._remove_monitors(group)
        self._write_masks()
        self._set_modes(EXCLUSIVE)
        self._assign_cpus()
        for group in present:
            self._monitors(group)
        for group in present:
            self._tasks(group.name, group.tasks, self._places(group, group.called), group.threads)
            for monitor in group.monitors:
                if monitor.present:
                    path = self.seen.path(group.name, "mon_groups/" + monitor.name)
                    self._monitor_tasks(group, monitor, path)
        self._overlaps()
        self._tell_what_is_missing()
        plan = self.result
        plan.steps = [*first, *self._with_facts(file_of_facts)]
        plan.warnings = self.warnings
        plan.fresh = self.fresh
        return plan

    # What can be known before the first write

    def _check_ownership(self) -> None:
        for group in self.groups:
            if group.name in self.ours or group.force or not self.seen.exists(group.name):
                continue
            if not group.present or group.resizes:
                what = "removed" if not group.present else "changed"
                raise BulkheadError(
                    "%s was not made by this collection, and is not %s" % (group.called, what),
                    target=self.tree.full(group.name),
                    hint="it belongs to another program (pqos, a container engine, libvirt); with force: true it is taken over",
                )
        for group in self.groups:
            mode = self.seen.mode(group.name) if group.present and self.seen.exists(group.name) else SHAREABLE
            if mode in (LOCKED, LOCKSETUP):
                raise BulkheadError("%s is %s" % (group.called, mode), target=self.tree.full(group.name), hint="remove it by hand first")
            tasks.check(group.tasks, "%s: tasks" % group.called)
            for monitor in group.monitors:
                tasks.check(monitor.tasks, "%s: monitor_groups %s: tasks" % (group.called, monitor.name))

    def _check_capacity(self) -> None:
        new = [group.name for group in self.groups if group.present and not self.seen.exists(group.name)]
        monitors = [
            monitor.name for group in self.groups if group.present for monitor in group.monitors if monitor.present and not self._has_monitor(group, monitor)
        ]
        left = [name for name in self.seen.groups if name not in self.gone]
        if new:
            limit = self.hardware.closids - 1
            missing = len(left) + len(new) - limit
            if missing > 0:
                missing -= sum(1 for name in left if self.seen.mode(name) == LOCKED)
            if missing > 0:
                raise BulkheadError(
                    "%d new groups are wanted, and the hardware has classes for %d beside the default group%s: %d too few"
                    % (len(new), limit, " (code and data apart take two each)" if self.hardware.options & {"cdp", "cdpl2"} else "", missing),
                    target=self.tree.path,
                    hint="there are %s" % self._who_holds(),
                )
        if (new or monitors) and self.hardware.rmids:
            used = 1 + len(left) + sum(self.seen.monitor_count(name) for name in ("", *left))
            used -= sum(1 for group in self.groups for monitor in group.monitors if not monitor.present and self._has_monitor(group, monitor))
            missing = used + len(new) + len(monitors) - self.hardware.rmids
            if missing > 0:
                raise BulkheadError(
                    "%d new groups and monitoring groups are wanted, and %d of %d monitoring ids are in use: %d too few"
                    % (len(new) + len(monitors), used, self.hardware.rmids, missing),
                    target=self.tree.path,
                    hint="there are %s" % self._who_holds(True),
                )
        if monitors and not self.hardware.rmids:
            raise BulkheadError("this machine cannot monitor, so it has no monitoring groups", target=self.tree.path, hint="the flags cqm and cqm_llc tell")

    def _has_monitor(self, group: Group, monitor: Monitor) -> bool:
        return self.seen.exists(group.name) and monitor.name in self.seen.monitors(group.name)

    def _who_holds(self, monitors: bool = False) -> str:
        """Who has the classes, or the monitoring ids, for messages; looked up anew. A class has one id, and each of its monitoring groups another."""
        seen = Observation(self.tree, self.hardware)
        names = [name for name in seen.groups if name not in self.gone]
        parts = []
        for whose, mine in (("this collection", True), ("others", False)):
            made = [name for name in names if (name in self.ours) is mine]
            if made:
                parts.append("%s, made by %s" % (" ".join(made), whose))
        if monitors:
            for name in ("", *names):
                counted = seen.monitors(name)
                if counted:
                    parts.append("monitoring group%s %s in %s" % ("" if len(counted) == 1 else "s", " ".join(counted), name or "the default group"))
        return "; ".join(parts) or "no other groups"

    # Steps, phase by phase

    def _remove(self, group: Group) -> None:
        step = steps.RemoveGroup(self.tree, self.seen, group.name, self._back(group.name, self.seen.cells(group.name)))
        self.result.removed[group.name] = step.goes
        self.steps.append(step)
        self.facts.groups.pop(group.name, None)

    def _back(self, name: str, cells: Cells) -> Cells:
        """What to write so that these values come back: what was asked, where a value that is read is not to be written."""
        back = dict(cells)
        for cell in cells:
            pair = self.before.asked(name, cell)
            if pair and pair[1] == cells[cell]:
                back[cell] = pair[0]
        return back

    def _set_modes(self, mode: str) -> None:
        for group in self.groups:
            if not group.present:
                continue
            now = self.seen.mode(group.name) if self.seen.exists(group.name) else SHAREABLE
            if group.name in self.broken:
                now = EXCLUSIVE if mode == SHAREABLE else SHAREABLE
            elif group.mode != mode or now == mode:
                continue
            self.steps.append(steps.SetMode(self.tree, group.name, now, mode, partial(self._in_the_way, group.name)))

    def _find_broken(self) -> set[str]:
        """Exclusive groups of the call that overlap others already, as all do in a cache whose CPUs were offline (domain_setup_ctrlval(), core.c).

        The kernel takes no new mask for them nor for those they overlap, so they are made shareable meanwhile.
        """
        broken = set()
        for name in self.targets.groups:
            if self.seen.exists(name) and self.targets.is_exclusive(name) and self.seen.mode(name) == EXCLUSIVE:
                for (resource, domain), mask in self.seen.cells(name).items():
                    cache = self.hardware.caches.get(resource)
                    if cache is None:
                        continue
                    others = cache.shareable
                    for other in ("", *self.seen.groups):
                        if other != name and other not in self.gone:
                            for twin in self.hardware.of_level(cache.level):
                                others |= self.seen.cells(other).get((twin.name, domain), 0)
                    if mask & others:
                        broken.add(name)
        return broken

    def _in_the_way(self, name: str) -> str:
        """Who holds ways that the group wants for itself, looked up anew."""
        seen = Observation(self.tree, self.hardware)
        found = []
        mine = seen.cells(name)
        for other in ("", *seen.groups):
            if other == name:
                continue
            for (resource, domain), mask in seen.cells(other).items():
                level = schemata.level_of(resource)
                common = 0
                if resource in self.hardware.caches:
                    for twin in self.hardware.of_level(level):
                        common |= mask & mine.get((twin.name, domain), 0)
                if common:
                    found.append("%s has %x of %s of domain %d too" % (other or "the default group", common, resource, domain))
        return "in the way: " + "; ".join(found[:5]) if found else ""

    def _write_masks(self) -> None:
        """Modes to shareable, then every schemata."""
        self.broken = self._find_broken()
        self._set_modes(SHAREABLE)
        caches: dict[str, Cells] = {}
        bandwidths: dict[str, Cells] = {}
        new: list[str] = []
        for name, wanted in self.targets.wanted.items():
            there = self.seen.exists(name)
            changes: Cells = {}
            for cell, value in {**wanted.auto, **wanted.cells}.items():
                if not there or not self._holds(name, cell, value):
                    changes[cell] = value
            self._remember(name, changes)
            if not there:
                new.append(name)
            if changes:
                caches[name] = {cell: value for cell, value in changes.items() if schemata.is_cache(cell[0])}
                bandwidths[name] = {cell: value for cell, value in changes.items() if not schemata.is_cache(cell[0])}
        here = [name for name in caches if name not in new]
        if any(caches[name] for name in here):
            all_the_while = {
                name
                for name in self.targets.names
                if name not in self.broken and self.seen.exists(name) and self.targets.is_exclusive(name) and self.seen.mode(name) in (EXCLUSIVE, LOCKED)
            }
            now = {name: self.seen.cells(name) for name in self.targets.names if self.seen.exists(name)}
            writes = Schedule(self.hardware, now, all_the_while).order({name: caches[name] for name in here})
        else:
            writes = []
        held = {name: dict(self.seen.cells(name)) for name in here}
        last = {name: number for number, (name, _cells) in enumerate(writes)}
        for number, (name, cells) in enumerate(writes):
            self._write(name, held, {**cells, **(bandwidths[name] if last[name] == number else {})})
        for name in here:
            if name not in last:
                self._write(name, held, bandwidths[name])
        for name in new:
            self.steps.append(steps.MakeGroup(self.tree, name, self._who_holds))
            self.fresh.add(name)
            after = {**caches.get(name, {}), **bandwidths.get(name, {})}
            if after:
                self.steps.append(steps.WriteSchemata(self.tree, name, None, after))

    def _write(self, name: str, held: dict[str, Cells], cells: Cells) -> None:
        before = {cell: held[name][cell] for cell in cells if cell in held[name]}
        self.steps.append(steps.WriteSchemata(self.tree, name, before, cells, self._back(name, before)))
        held[name].update(cells)

    def _holds(self, name: str, cell: Cell, value: int) -> bool:
        """Whether the kernel has this already, as far as it can have it."""
        now = self.seen.cells(name).get(cell)
        if now is None:
            return False
        resource = self.hardware.bandwidths.get(cell[0])
        if resource is None:
            return now == value
        pair = self.facts.asked(name, cell)
        if pair is not None and pair == (value, now):
            return True
        return now == schemata.normal(cell[0], resource.kept(value) if resource.exact else value)

    def _remember(self, name: str, changes: Cells) -> None:
        """Write into the new facts what will hold."""
        wanted = self.targets.wanted[name]
        there = self.seen.exists(name)
        if name in self.targets.groups and name and (not there or name in self.ours or self.targets.groups[name].force):
            self.facts.entry(name)["made"] = True
        for cell, value in wanted.cells.items():
            resource = self.hardware.bandwidths.get(cell[0])
            if resource is None:
                self.facts.place(name, cell, value)
                self.facts.reduce(name, cell, None)
            elif cell in changes or (not resource.exact and not self._known(name, cell, value)):
                self.facts.ask(name, cell, value, schemata.normal(cell[0], resource.kept(value)))
                if not name and resource.unit == EIGHTHS and resource.maximum:
                    self.facts.entry(name).setdefault("greatest", {})[cell[0]] = resource.maximum
                if not resource.exact:
                    self.unsure.append((name, cell, value))
        for cell, value in wanted.auto.items():
            if cell[0] not in self.hardware.caches:
                continue
            base = self.targets.base_of(name, cell)
            self.facts.place(name, cell, None)
            self.facts.reduce(name, cell, (base, value) if base != value else None)

    def _known(self, name: str, cell: Cell, value: int) -> bool:
        pair = self.facts.asked(name, cell)
        return pair is not None and pair[0] == value and pair[1] == self.seen.cells(name).get(cell)

    # CPUs

    def _assign_cpus(self) -> None:
        """Give CPUs to groups, after taking them from those that have them; the kernel would take them silently (cpus_ctrl_write(), rdtgroup.c)."""
        asking = [group for group in self.groups if group.present and group.cpus is not None]
        self.shall = {
            group.name: self.seen.cpus(group.name) if self.seen.exists(group.name) else frozenset()
            for group in self.groups
            if group.present and any(monitor.cpus for monitor in group.monitors)
        }
        if not asking:
            return
        online, present = online_cpus(), present_cpus()
        shall: dict[str, frozenset[int]] = {}
        for group in asking:
            cpus = group.cpus or frozenset()
            unknown = cpus - present
            if unknown:
                raise InvalidInput(
                    "%s: cpus: this machine has no CPU %s" % (group.called, units.format_list(unknown)), hint="it has %s" % units.format_list(present)
                )
            if cpus - online:
                self.warnings.append(
                    "%s: the CPUs %s are offline, and join it when they are back and this runs again" % (group.called, units.format_list(cpus - online))
                )
            shall[group.name] = cpus & online
        now = {name: self.seen.cpus(name) for name in self.targets.names if self.seen.exists(name)}
        given = frozenset().union(*shall.values())
        losing = {name: cpus - given for name, cpus in now.items() if name and name not in shall and cpus & given}
        for name in losing:
            if name not in self.ours:
                takers = [group for group in asking if (group.cpus or frozenset()) & now[name]]
                if not all(group.force for group in takers):
                    raise BulkheadError(
                        "%s wants the CPUs %s, which group %s has, and that was not made by this collection"
                        % (takers[0].called, units.format_list(shall[takers[0].name] & now[name]), name),
                        hint="with force: true they are taken",
                    )
        losing.update({name: cpus & now[name] for name, cpus in shall.items() if name in now and now[name] - cpus})
        for name, cpus in sorted(losing.items()):
            self._write_cpus(name, now[name], cpus)
            now[name] = cpus
        for name, cpus in shall.items():
            has = now.get(name, frozenset())
            if cpus != has:
                self._write_cpus(name, has, cpus)
        self.shall.update(now)
        self.shall.update(shall)

    def _write_cpus(self, name: str, before: frozenset[int], after: frozenset[int]) -> None:
        self.steps.append(steps.WriteCpus(self.tree, name, before, after))
        if not self.seen.exists(name):
            return
        # A write to the class empties the CPUs of its monitoring groups: give back what they had and may still have.
        for monitor in self.seen.monitors(name):
            path = self.seen.path(name, "mon_groups/" + monitor)
            had = self.seen.cpus(path)
            asked = next((each.cpus for each in self._asked_monitors(name) if each.name == monitor and each.present), None)
            if asked is None and had & after:
                self.steps.append(steps.WriteCpus(self.tree, path, frozenset(), had & after))

    def _asked_monitors(self, name: str) -> list[Monitor]:
        group = self.targets.groups.get(name)
        return group.monitors if group else []

    # Monitoring groups

    def _remove_monitors(self, group: Group) -> None:
        known = self.facts.groups.get(group.name, {}).get("monitors", [])
        for monitor in group.monitors:
            if monitor.present:
                continue
            if self._has_monitor(group, monitor):
                path = self.seen.path(group.name, "mon_groups/" + monitor.name)
                if monitor.name not in known and not monitor.ours and not group.force and group.name not in self.desired:
                    raise BulkheadError(
                        "%s: the monitoring group %s was not made by this collection, and is not removed" % (group.called, monitor.name),
                        target=self.tree.full(path),
                        hint="with force: true it is removed",
                    )
                self.steps.append(steps.RemoveMonitor(self.tree, self.seen, path))
            if monitor.name in known:
                known.remove(monitor.name)

    def _monitors(self, group: Group) -> None:
        rewritten = any(isinstance(step, steps.WriteCpus) and step.group == group.name for step in self.steps)
        for monitor in group.monitors:
            if not monitor.present:
                continue
            path = self.seen.path(group.name, "mon_groups/" + monitor.name)
            there = self._has_monitor(group, monitor)
            if not there:
                self.steps.append(steps.MakeGroup(self.tree, path, self._who_holds))
                known = self.facts.entry(group.name).setdefault("monitors", [])
                known.append(monitor.name)
                known.sort()
            if monitor.cpus is not None:
                outside = (monitor.cpus & online_cpus()) - self.shall.get(group.name, frozenset())
                if outside:
                    raise InvalidInput(
                        "%s: monitor_groups %s: it cannot have the CPUs %s, which the class does not have"
                        % (group.called, monitor.name, units.format_list(outside))
                    )
                has = frozenset() if rewritten or not there else self.seen.cpus(path)
                shall = monitor.cpus & online_cpus()
                if shall != has:
                    self.steps.append(steps.WriteCpus(self.tree, path, has, shall))

    # Tasks

    def _places(self, members: Group | Monitor, called: str) -> list[str]:
        """Where the control group is whose threads are meant; nowhere when none is meant."""
        found = [place for name in members.members for place in tasks.directories(name, called, True)]
        for cgroup in members.cgroups:
            places = tasks.directories(cgroup, "%s: cgroup" % called, members.cgroup_may_be_missing)
            if not places:
                self.warnings.append("%s: there is no control group %s yet" % (called, cgroup))
            found += places
        return found

    def _tasks(self, name: str, numbers: list[int], places: list[str], exactly: frozenset[int] = frozenset()) -> None:
        """exactly: threads that are meant by themselves, and may be gone."""
        if not (numbers or places or exactly):
            return

        def wanted() -> set[int]:
            return tasks.threads(numbers) | (tasks.threads_in(places) if places else set()) | tasks.alive(exactly)

        inside = self._inside(name) if self.seen.exists(name) else frozenset()
        inside |= self.moving.get(name, frozenset())
        outside = sorted(wanted() - inside)
        homes = {}
        for tid in outside:
            home = steps.home_of(self.seen, tid)
            if home is not None:
                homes[tid] = home
        if homes:
            self.moving[name] = self.moving.get(name, frozenset()) | frozenset(homes)
            self.steps.append(steps.MoveTasks(self.tree, name, wanted, homes, optional=bool(places or exactly)))

    def _inside(self, name: str) -> frozenset[int]:
        try:
            return self.seen.tasks(name)
        except FileNotFoundError:
            return frozenset()

    def _monitor_tasks(self, group: Group, monitor: Monitor, path: str) -> None:
        """Tasks of a monitoring group are of its class first: the kernel does not move a task from one class into a monitoring group of another."""
        called = "%s: monitor_groups %s" % (group.called, monitor.name)
        if not (monitor.tasks or monitor.cgroups or monitor.members):
            return
        places = self._places(monitor, called)
        self._tasks(group.name, monitor.tasks, places)

        def wanted() -> set[int]:
            return tasks.threads(monitor.tasks) | (tasks.threads_in(places) if places else set())

        inside = self._inside(path) if self._has_monitor(group, monitor) else frozenset()
        homes = dict.fromkeys(sorted(wanted() - inside), group.name)
        if homes:
            self.steps.append(steps.MoveTasks(self.tree, path, wanted, homes, optional=bool(places)))

    # What is told beside the steps

    def _tell_what_is_missing(self) -> None:
        """Domains that are offline, and what a class that is brought back cannot have on this machine any more."""
        for group in self.groups:
            if not group.present:
                continue
            wanted = self.targets.wanted[group.name]
            if wanted.offline:
                self.warnings.append(
                    "%s: no CPU of these domains is online, so what was asked for them does not hold: %s; it is set when they are back"
                    " and this runs again, or the desired state is replayed"
                    % (group.called, ", ".join("%s of domain %d" % cell for cell in wanted.offline))
                )
            if group.brought_back and not group.leaves_out:
                self.result.lost.setdefault(group.name, []).extend(wanted.left_out.values())

    def _overlaps(self) -> None:
        """Ways that a class of the call shares with groups of others."""
        others = [name for name in self.seen.groups if name not in self.ours and name not in self.gone and name not in self.targets.groups]
        for group in self.groups:
            if not group.present or not group.name:
                continue
            mine = self.targets.wanted[group.name].cells
            for other in others:
                common = [
                    "%s:%d=%x" % (cell[0], cell[1], mask & self.seen.cells(other).get(cell, 0))
                    for cell, mask in sorted(mine.items())
                    if cell[0] in self.hardware.caches and mask & self.seen.cells(other).get(cell, 0)
                ]
                if common:
                    self.result.overlaps.setdefault(group.name, {})[other] = common
        for name, found in self.result.overlaps.items():
            self.warnings.append(
                "group %s shares ways with groups of others: %s" % (name, "; ".join("%s (%s)" % (other, " ".join(cells)) for other, cells in found.items()))
            )

    def _with_facts(self, path: str) -> list[Step]:
        """The steps with those that write down what was done: what is new before it is made, what is gone after it went."""
        signature = self.hardware.signature()
        final = Facts(self.facts.groups, self.before.text, self.before.held)
        concerned = {group.name for group in self.groups if group.present or self.released}
        if not self.steps and all(_kept(final, name) == _kept(self.before, name) for name in concerned):
            return []
        if not self.gone and not self.unsure:
            return [step for step in (self._keep(path, final, []),) if step] + self.steps
        going = {name: self.before.groups[name] for name in self.gone if name in self.before.groups}
        early = Facts({**self.facts.copy().groups, **going}, self.before.text, self.before.held)
        first = self._keep(path, early, []) if self.fresh else None
        if first:
            final.text, final.held = early.spelled(signature), early.groups
        last = self._keep(path, final, self.unsure)
        return [*([first] if first else []), *self.steps, *([last] if last else [])]

    def _keep(self, path: str, facts: Facts, unsure: list[tuple[str, Cell, int]]) -> Step | None:
        signature = self.hardware.signature()
        if not unsure and facts.spelled(signature) == (facts.text or Facts().spelled(signature)):
            return None
        return steps.KeepFacts(path, facts, signature, unsure, self.tree)


def _kept(facts: Facts, name: str) -> dict[str, Any]:
    return {key: value for key, value in facts.groups.get(name, {}).items() if value}
