# Copyright: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Classes of cache and memory bandwidth as something that can be managed.

The file system is locked as the kernel's document says ("Locking", resctrl.rst): shared from the first look, exclusively from
the first write to the look afterwards. Who had to wait for the exclusive lock looks and plans again.
"""

from __future__ import annotations

import copy
import errno

from .. import desired
from ..errors import BulkheadError, InvalidInput
from ..kernel import flock
from ..kernel.files import Tree
from ..plan import Plan
from ..plan import apply as apply_plan
from ..records import without_none
from ..subject import Subject
from . import mounting, records
from .asks import Ask
from .facts import Facts
from .group import MODES, Group, Monitor, parse_group
from .hardware import Hardware
from .layout import bits
from .observation import Fresh, Observation
from .planning import GroupPlan, check_together, plan_groups
from .report import report
from .schemata import level_of
from .steps import Kept

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    from ..plan import Step

_PATIENCE = 10.0


class Schemata(Subject):
    """Classes, and their monitoring groups."""

    kind = "resctrl_schema"
    plural = "groups"
    singular = "group"
    needs_root = True

    def __init__(self) -> None:
        self._tree: Tree | None = None
        self._mounted: mounting.Mounted | None = None
        self._hardware: Hardware | None = None
        self._locked = ""
        self._refused_options: dict[str, bool] = {}  # {mount option: whether it was to be on}
        self._removed: dict[str, str] = {}
        self._planned: list[Group] = []
        self._steps: list[Step] = []

    def parse(self, options: dict[str, Any]) -> Group:
        group = parse_group(options)
        group.brought_back = group.cgroup_may_be_missing = self.replaying
        for monitor in group.monitors:
            monitor.cgroup_may_be_missing = self.replaying
        return group

    def canonical(self, options: dict[str, Any]) -> dict[str, Any]:
        return records.canonical(options)

    def laid_over(self, held: dict[str, Any], given: dict[str, Any]) -> dict[str, Any]:
        return records.laid_over(held, given)

    def settled(self, objects: dict[str, dict[str, Any]], asked: Iterable[str]) -> dict[str, dict[str, Any]]:
        return records.settled(objects, asked)

    def others(self, names: set[str]) -> list[dict[str, Any]]:
        """Classes that are there beside those that are kept."""
        mounted = mounting.find()
        if mounted is None:
            return []
        tree = Tree(mounted.path)
        try:
            seen = Observation(tree, Hardware([], [], mounted.options))
            return [{"name": name, "state": "present"} for name in seen.groups if name not in names]
        finally:
            tree.close()

    def plan(self, objects: list[Group]) -> GroupPlan:
        self._planned = objects
        # What is left out is so on this machine as it is mounted; the next plan judges anew.
        self._refused_options = {}
        plan = self._plan_all([_copy(group) if group.leaves_out or group.brought_back else group for group in objects])
        for group in objects:
            for option, on in self._refused_options.items():
                if group.mount_options.get(option) is on:
                    text = "mount_options: the file system could not be mounted %s %s" % ("with" if on else "without", option)
                    plan.lost.setdefault(group.name, []).append(text)
        self._steps = list(plan.steps)
        # The plan that follows the removal of a class finds nothing to remove; what went where is still to be told.
        self._removed.update(plan.removed)
        plan.removed = dict(self._removed)
        return plan

    def _plan_all(self, objects: list[Group]) -> GroupPlan:
        check_together(objects)
        options, forced = _options_asked(objects)
        if self._mounted is None:
            self._mounted = mounting.find()
        if self._mounted is None:
            return self._plan_unmounted(objects, options)
        wanted = frozenset(option for option in (*self._mounted.options, *options) if options.get(option, option in self._mounted.options))
        if wanted != self._mounted.options and self.replaying:  # to mount it anew would destroy what is there
            self._refused_options = {option: option in wanted for option in wanted ^ self._mounted.options}
        elif wanted != self._mounted.options:
            return self._plan_remount(objects, self._mounted, wanted, forced)
        tree = self._open(self._mounted.path)
        default = tree.read_short("schemata")
        if self._hardware is None:
            self._hardware = Hardware.observe(tree, self._mounted.options, default)
        seen = Observation(tree, self._hardware, default)
        return self._plan(self._hardware, seen, objects, [])

    def _plan(self, hardware: Hardware, seen: Observation, objects: list[Group], first: list[Step], facts: Facts | None = None) -> GroupPlan:
        ours = set(desired.read(self.kind))
        return plan_groups(hardware, seen, facts or Facts.read(hardware.signature()), objects, ours, first)

    def _plan_unmounted(self, objects: list[Group], options: dict[str, bool]) -> GroupPlan:
        """Mount first. What will be there is looked at by mounting it at no path for a moment."""
        if not any(group.present for group in objects):
            nothing = Hardware([], [])
            return self._plan(nothing, Fresh(Tree(mounting.PLACE), nothing, {}), objects, [])
        if mounting.why_not()[0] != mounting.NOT_MOUNTED:
            raise mounting.absent()
        wanted = frozenset(option for option, on in options.items() if on)
        if self.replaying:
            wanted = self._possible(wanted)
        with_file = mounting.probe(wanted)
        try:
            default = with_file.read_short("schemata")
            hardware = Hardware.observe(with_file, wanted, default)
            domains = _domains(hardware, Observation(with_file, hardware, default))
        finally:
            with_file.close()
        tree = Tree(mounting.PLACE)
        self._tree = tree
        return self._plan(hardware, Fresh(tree, hardware, domains), objects, [mounting.Mount(tree, wanted)], Facts(None, Facts.read("").text))

    def _possible(self, wanted: frozenset[str]) -> frozenset[str]:
        """Of some mount options those that this machine has; after a boot it may have fewer."""
        for option in sorted(wanted):
            try:
                mounting.probe(frozenset((option,))).close()
            except BulkheadError as error:
                if error.errno != errno.EINVAL:
                    raise
                self._refused_options[option] = True
        return wanted - set(self._refused_options)

    def _plan_remount(self, objects: list[Group], mounted: mounting.Mounted, wanted: frozenset[str], forced: bool) -> GroupPlan:
        """Other mount options: unmount, mount, and make everything that is managed anew."""
        tree = self._open(mounted.path)
        now = Hardware.observe(tree, mounted.options, tree.read_short("schemata"))
        seen = Observation(tree, now)
        if not forced:
            raise BulkheadError(
                "resctrl is mounted with %s, and %s is asked for, which needs a new mount that destroys every group: %s"
                % (_spell(mounted.options), _spell(wanted), " ".join(seen.groups) or "there is none at present"),
                target=mounted.path,
                value=_spell(wanted),
                hint="with force: true it is done, and what this collection manages is made anew",
            )
        kept = {name: Kept(seen, name) for name in ("", *seen.groups)}
        facts = Facts.read(now.signature())
        now.learn(facts.greatest())
        hardware = now.mounted_with(wanted)
        # What the kernel forgets is what was kept for the next boot, with what is asked now laid over it.
        lasting = desired.kept(self)
        everything = {group.name: _with_lasting(group, lasting.get(group.name)) for group in objects}
        everything.update((name, parse_group({**options, "name": name})) for name, options in lasting.items() if name not in everything)
        for name in seen.groups:
            if facts.made(name):
                before = _as_it_was(kept[name], facts, now, hardware)
                group = everything.setdefault(name, before)
                if group.present:
                    group.mode = group.mode or before.mode
                    group.asks = {**(before.asks if name not in lasting else {}), **group.asks}
        foreign = [name for name in seen.groups if name not in everything]
        groups = [_with_members(group, kept.get(name)) for name, group in everything.items()]
        fresh = Fresh(tree, hardware, _domains(now, seen))
        first: list[Step] = [mounting.Unmount(tree, mounted.options, list(kept.values())), mounting.Mount(tree, wanted)]
        plan = self._plan(hardware, fresh, groups, first, Facts(None, facts.text, facts.held))
        if foreign:
            plan.warnings.append("these groups of others are destroyed: %s" % " ".join(foreign))
        return plan

    def apply(self, the_plan: Plan) -> None:
        """Do the plan under the exclusive lock; what changed while it was waited for is planned anew."""
        if not self.lock():
            ours = set(map(id, self._steps))
            at = next((number for number, step in enumerate(the_plan.steps) if id(step) in ours), len(the_plan.steps))
            others = [step for step in the_plan.steps if id(step) not in ours]
            the_plan.steps = [*others[:at], *self.plan(self._planned).steps, *others[at:]]
        mounts = any(isinstance(step, mounting.Mount) for step in the_plan.steps)
        if mounts:
            self._locked = ""
        apply_plan(the_plan)
        if mounts:
            self._mounted = self._hardware = None
            if self._tree:
                self._tree.close()

    def lock(self) -> bool:
        """Lock for changing; False when it had to be waited for, so that what was planned may be stale."""
        return self._tree is None or self._locked != "shared" or self._lock(self._tree, True)

    def report(self, objects: list[Group], last: Any) -> list[dict[str, Any]]:
        self.finish()
        return report(objects, last)

    def finish(self) -> None:
        """Give the lock back."""
        if self._tree:
            self._tree.close()
        self._locked = ""

    def _open(self, path: str) -> Tree:
        if self._tree is None:
            self._tree = Tree(path)
        if not self._locked:
            self._lock(self._tree, False)
        return self._tree

    def _lock(self, tree: Tree, exclusive: bool) -> bool:
        at_once = flock.take(tree.fd, exclusive, _PATIENCE, tree.path)
        self._locked = "exclusive" if exclusive else "shared"
        return at_once


def _options_asked(groups: list[Group]) -> tuple[dict[str, bool], bool]:
    """(the mount options of all groups together, whether one that asks for them has force)."""
    options: dict[str, bool] = {}
    forced = False
    for group in groups:
        for option, on in group.mount_options.items():
            if options.setdefault(option, on) is not on:
                raise InvalidInput("mount_options: %s is asked to be on and off in one call" % option)
        forced = forced or bool(group.mount_options and group.force)
    return options, forced


def _copy(group: Group) -> Group:
    """A group of which asks may be dropped."""
    group = copy.copy(group)
    group.asks = dict(group.asks)
    return group


def _with_lasting(group: Group, lasting: dict[str, Any] | None) -> Group:
    """The group with the options that were kept and are not given now."""
    if not lasting or not group.present:
        return copy.copy(group)
    given = {name: value for name, value in without_none(group.options).items() if name != "name"}
    tasks = {name: given[name] for name in ("tasks", "force") if name in given}
    return parse_group({**records.laid_over(lasting, records.canonical(given)), **tasks, "name": group.name})


def _as_it_was(held: Kept, facts: Facts, now: Hardware, then: Hardware) -> Group:
    """A group of which only the kernel and the facts tell what it was asked for: as many ways, and the same bandwidth where the unit is the same."""
    group = Group(held.name)
    group.mode = held.mode if held.mode in MODES else None
    group.monitors = [Monitor(name, True, [], [], cpus or None) for name, (cpus, _tasks) in held.monitors.items()]
    for (resource, domain), value in held.cells.items():
        placed, pair = facts.placed(held.name, (resource, domain)), facts.asked(held.name, (resource, domain))
        if placed:
            names = [resource] if resource in then.caches else [cache.name for cache in then.of_level(level_of(resource))]
            for name in names:
                group.asks.setdefault(name, {})[domain] = Ask("ways", bits(placed), bits(placed), name)
        elif pair and now.bandwidths[resource].unit == then.bandwidths[resource].unit:
            group.asks.setdefault(resource, {})[domain] = Ask("number", pair[0], value, resource)
    return group


def _with_members(group: Group, held: Kept | None) -> Group:
    """The group with the tasks and CPUs that it had."""
    if held is None or not group.name or not group.present:
        return group
    group = copy.copy(group)
    group.threads = held.tasks
    if group.cpus is None and held.cpus:
        group.cpus = held.cpus
    return group


def _domains(hardware: Hardware, seen: Observation) -> dict[str, list[int]]:
    """The domains by cache and bandwidth; code and data of a cache have the same."""
    found = {level: seen.domains(hardware.of_level(level)[0].name) for level in hardware.levels}
    found.update((name, seen.domains(name)) for name in hardware.bandwidths)
    return found


def _spell(options: frozenset[str]) -> str:
    return ",".join(sorted(options)) or "no options"
