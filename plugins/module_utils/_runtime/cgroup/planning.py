# Copyright: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""From desired groups to the steps that make them so, for any mixture of v1 and v2 hierarchies.

The order of a plan, and why:

1. groups that are to go (they free what others may need);
2. what must be given before something can be taken: a v1 cpuset that is to be another has both in between;
3. what takes something from groups, from the leaves up: a v1 child may never have more than its parent, and exclusive
   CPUs must be let go before another group can have them;
4. from the root down: new groups, controllers handed down to them, their settings, and what gives groups more;
5. device policies, then processes moved in, then freezing.
"""

from __future__ import annotations

import contextlib
import os

from ..errors import BulkheadError, InvalidInput
from ..kernel import cgroupfs, processes
from ..kernel.files import Tree
from ..plan import Plan, Step
from ..units import format_list, parse_list
from . import capacity, cpusets, devices, knobs, shown, steps, subtree, usage
from .bandwidth import Quotas, ratio
from .group import Group, Setting
from .host import SYSTEMD_V2, THREADED, Hierarchy, Host
from .observation import Observation
from .shown import PERIOD, QUOTA
from .swap import with_memsw
from .values import MAX

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

# Files that take more than one write to be set.
_WEIGHTS = ("cpu.weight", "cpu.shares", "cpu.weight.nice")
_STEPS = {"cpu.idle": steps.SetIdle, "memory.soft_limit_in_bytes": steps.SetSoftLimit}


class GroupPlan(Plan):
    """A plan that keeps what was seen when it was made."""

    def __init__(self, seen: Observation) -> None:
        super().__init__()
        self.seen = seen


def plan_groups(host: Host, groups: list[Group]) -> GroupPlan:
    """The plan that makes the groups as desired. Raises InvalidInput for what can be known to fail before the first write."""
    _check_together(groups)
    planner = _Planner(host, groups)
    for group in sorted(groups, key=lambda group: -group.depth):
        if not group.present:
            planner.remove(group)
    for group in sorted(groups, key=lambda group: group.depth):
        if group.present:
            planner.make(group)
    plan = planner.plan()
    if host.systemd and any(not group.boundary for group in groups if group.title in planner.fresh):
        plan.warnings.append("systemd owns the control groups of this machine; groups made beside its own may lose controllers when it reloads")
    plan.warnings += capacity.check(host, groups)
    return plan


def _check_together(groups: list[Group]) -> None:
    seen: dict[str, Group] = {}
    for group in groups:
        if group.name in seen:
            other = seen[group.name].called
            if other == group.called:
                raise InvalidInput("%s is named twice in one call" % other)
            raise InvalidInput("%s and %s are one group" % (other, group.called))
        seen[group.name] = group
    for group in groups:
        parts = group.name.split("/")
        for end in range(1, len(parts)):
            above = seen.get("/".join(parts[:end]))
            if above and not above.present and group.present:
                raise InvalidInput("%s is to be present and %s above it absent" % (group.called, above.called))


class _Planner:
    """Collects steps by phase; one for each call."""

    def __init__(self, host: Host, groups: list[Group]) -> None:
        self.host = host
        self.seen = Observation(host)
        # {(group, cpuset.cpus or .mems): what it will have}, for the new groups below it
        self._cpusets = {
            (group.name, setting.option): setting.kept for group in groups for setting in group.settings if setting.option in ("cpuset.cpus", "cpuset.mems")
        }
        self._asked = frozenset(self._cpusets)
        self._groups = {group.name: group for group in groups}
        self._quotas: Quotas | None = None
        self.kills: list[steps.KillGroup] = []
        self.removals: list[Step] = []
        self.moves: list[Step] = []
        self.shrinks: list[tuple[int, int, Step]] = []
        self.grows: list[Step] = []
        self.last: list[Step] = []
        self.freezes: list[Step] = []
        self.fresh: set[str] = set()
        self._planned: set[tuple[Tree, str, str]] = set()
        self._made: set[tuple[Tree, str]] = set()
        self._removed: set[tuple[Tree, str]] = set()
        self._handed_down: dict[tuple[Tree, str], set[str]] = {}
        self._enabled: set[tuple[Tree, str, str]] = set()  # the same, of those that this plan enables

    def plan(self) -> GroupPlan:
        plan = GroupPlan(self.seen)
        plan.fresh = self.fresh
        taking = [step for _depth, _order, step in sorted(self.shrinks, key=lambda entry: entry[:2])]
        for kill in self.kills:
            kill.together = self.kills
        plan.steps = [*self.kills, *self.removals, *self.moves, *taking, *self.grows, *self.last, *self.freezes]
        return plan

    # Groups that are to go

    def remove(self, group: Group) -> None:
        """Remove the group, and the empty groups below it, wherever it is; with force, kill what runs there first."""
        kills: list[steps.KillGroup] = []
        removals: list[Step] = []
        killed: set[int] = set()
        for hierarchy in self.host.hierarchies:
            tree = hierarchy.tree
            if not self.seen.exists(hierarchy, group.name):
                continue
            below = [name for name in subtree.deepest_first(tree, group.name) if (tree, name) not in self._removed]
            inside = [pid for name in [*below, group.name] for pid in steps.pids_in(hierarchy, name)]
            if inside:
                own = set(processes.ancestors_of(os.getpid())) & set(inside)
                if own:
                    raise InvalidInput(
                        "%s holds %s, from which this very run comes" % (group.called, processes.described(sorted(own))),
                        hint="move the session to another group first",
                    )
                if not group.force:
                    raise InvalidInput(
                        "group %s cannot be removed: it holds %s" % (tree.full(group.name), processes.described(inside)),
                        hint="stop them or move them elsewhere first, or add force: true to kill them",
                    )
                if not set(inside) <= killed:  # one kill ends a process in all of its hierarchies
                    kills.append(steps.KillGroup(hierarchy, group.name, inside, self.host.by_controller.get("freezer")))
                    killed.update(inside)
            for name in [*below, group.name]:
                self._removed.add((tree, name))
                removals.append(steps.RemoveGroup(hierarchy, name))
            if group.boundary and not self.host.is_systemds(hierarchy):
                removals += self._remove_path(hierarchy, group)
        self.kills += kills
        self.removals += removals

    def _remove_path(self, hierarchy: Hierarchy, group: Group) -> list[Step]:
        """The groups above, where systemd has none and so removes none, as far as nothing else is in them."""
        removals: list[Step] = []
        parts = group.name.split("/")
        for end in range(len(parts) - 1, 0, -1):
            name = "/".join(parts[:end])
            others = [child for child in subtree.deepest_first(hierarchy.tree, name) if (hierarchy.tree, child) not in self._removed]
            if others or steps.pids_in(hierarchy, name):
                break
            self._removed.add((hierarchy.tree, name))
            removals.append(steps.RemoveGroup(hierarchy, name))
        return removals

    # Groups that are to be there

    def make(self, group: Group) -> None:
        """Make the group in its hierarchies and set what is set."""
        files = {setting.hierarchy: setting.file.name for setting in group.settings}
        new = [hierarchy for hierarchy in group.hierarchies if not self._is_there(hierarchy, group.name, files.get(hierarchy, ""))]
        # Where it is in another hierarchy already, it is the group of an earlier call, which gets something more.
        if len(new) == len(group.hierarchies) and not any(self._is_there(hierarchy, group.name) for hierarchy in self.host.hierarchies):
            self.fresh.add(group.title)
        for hierarchy in group.hierarchies:
            if group.brought_back and hierarchy.version == 1 and "cpuset" in hierarchy.controllers:
                self._give_back(hierarchy, group)
            self._make_path(hierarchy, group)
        self._settings(group, new)
        if group.devices is not None:
            self._devices(group, group.devices, new)
        self._members(group, new)
        if group.frozen is not None:
            freezer = self.host.hierarchy_of("freezer")
            was = False if freezer in new else bool(steps.is_frozen(freezer, group.name))
            if was is not group.frozen:
                step = steps.Freeze(freezer, group.name, group.frozen, was)
                (self.freezes if group.frozen else self.grows).append(step)

    def _is_there(self, hierarchy: Hierarchy, name: str, a_file: str = "") -> bool:
        return (hierarchy.tree, name) in self._made or self.seen.exists(hierarchy, name, a_file)

    def _make_path(self, hierarchy: Hierarchy, group: Group) -> None:
        """The group and the groups above it, with controllers handed down from the root as far as needed."""
        wanted = group.controllers if hierarchy.version == 2 else set()
        cpuset = hierarchy.version == 1 and "cpuset" in hierarchy.controllers
        if not wanted and not cpuset and self._is_there(hierarchy, group.name):
            return
        parts = group.name.split("/")
        edge = len(group.boundary.split("/")) if group.boundary and self.host.is_systemds(hierarchy) else 0
        if edge and hierarchy.version == 1 and not group.awaited and not self._is_there(hierarchy, group.boundary):
            edge = 0  # systemd makes a unit's group in the v1 hierarchies that the unit needs: it has no part in this one
        if edge and group.awaited:
            self._made.add((hierarchy.tree, group.boundary))
        elif edge:
            self._check_delegated(hierarchy, group, wanted)
        for end in range(len(parts) + 1):
            name = "/".join(parts[:end])
            if end < edge:
                # Not ours to write, but for controllers that systemd does not know and so never takes back.
                self._hand_down(hierarchy, name, wanted - set(SYSTEMD_V2))
                continue
            if name and not self._is_there(hierarchy, name):
                self._made.add((hierarchy.tree, name))
                self.grows.append(steps.MakeGroup(hierarchy.tree, name, group.follows and name == group.name))
                if cpuset:
                    self._inherit_cpuset(hierarchy, name)
            elif name and cpuset and (hierarchy.tree, name) not in self._made:
                self._fill_cpuset(hierarchy, name)
            if end < len(parts) and wanted:
                self._hand_down(hierarchy, name, wanted)

    def _check_delegated(self, hierarchy: Hierarchy, group: Group, wanted: set[str]) -> None:
        """Refuse what a unit that delegates to us does not have itself."""
        if not self._is_there(hierarchy, group.boundary):
            raise InvalidInput("%s: systemd made no group for the unit above it in %s" % (group.called, hierarchy.path), hint="is the unit running?")
        if wanted & set(SYSTEMD_V2):
            missing = wanted & set(SYSTEMD_V2) - set((self.seen.text(hierarchy, group.boundary + "/cgroup.controllers") or "").split())
            if missing:
                raise InvalidInput(
                    "%s: the unit above it does not have the controller %s" % (group.called, ", ".join(sorted(missing))),
                    hint="Delegate=yes in the unit's file gives it every controller that systemd manages; Delegate= with names gives those",
                )

    def _hand_down(self, hierarchy: Hierarchy, parent: str, wanted: set[str]) -> None:
        """Enable controllers for the children of a v2 group: only those that are needed, never disabling any."""
        key = (hierarchy.tree, parent)
        file = (parent + "/" if parent else "") + "cgroup.subtree_control"
        if key not in self._handed_down:
            text = "" if (hierarchy.tree, parent) in self._made else self.seen.text(hierarchy, file) or ""
            self._handed_down[key] = set(text.split())
        missing = sorted(wanted - self._handed_down[key])
        if not missing:
            return
        if parent and (hierarchy.tree, parent) not in self._made:
            inside = steps.pids_in(hierarchy, parent)
            not_threaded = [controller for controller in missing if controller not in THREADED]
            if inside and not_threaded:
                raise InvalidInput(
                    "group %s holds %s, so %s cannot be handed down to its child groups"
                    % (hierarchy.tree.full(parent), processes.described(inside), ", ".join(not_threaded)),
                    hint="on cgroup v2 a group has either processes or children with such limits: move the processes into a child group of their own",
                )
        before = " ".join(sorted(self._handed_down[key]))
        self._handed_down[key] |= set(missing)
        self._enabled |= {(hierarchy.tree, parent, controller) for controller in missing}
        self.grows.append(steps.WriteCore(hierarchy.tree, file, before, " ".join("+" + name for name in missing), " ".join("-" + name for name in missing)))

    def _cpuset(self, hierarchy: Hierarchy, name: str, which: str) -> str:
        """What a v1 cpuset will have once what is planned so far is done; "" is the root."""
        held = self._cpusets.get((name, which)) or self.seen.text(hierarchy, (name + "/" if name else "") + which) or ""
        return held.strip()

    def _inherit_cpuset(self, hierarchy: Hierarchy, name: str) -> None:
        """A new v1 cpuset is empty and takes no process: it starts with what its parent has, unless that is set anyway."""
        for which in ("cpuset.cpus", "cpuset.mems"):
            if (name, which) in self._cpusets:
                continue
            text = self._cpuset(hierarchy, name.rpartition("/")[0], which)
            self._cpusets[name, which] = text
            if text:
                self.grows.append(steps.Inherit(hierarchy.tree, "%s/%s" % (name, which), text))

    def _fill_cpuset(self, hierarchy: Hierarchy, name: str) -> None:
        """A v1 cpuset that somebody has made and left empty gets what the first one above it has."""
        for which in cpusets.FILES:
            held = self.seen.text(hierarchy, "%s/%s" % (name, which))
            if (name, which) in self._cpusets or held is None or held.strip():
                continue
            text = self._cpuset(hierarchy, name.rpartition("/")[0], which)
            if text:
                self._cpusets[name, which] = text
                self.grows.append(steps.Fill(hierarchy.tree, "%s/%s" % (name, which), text))

    def _give_back(self, hierarchy: Hierarchy, group: Group) -> None:
        """Let the groups above have what this one is to have, as far as their own parents do.

        The kernel takes a CPU that goes out of every v1 cpuset and gives it back to none (cpuset_update_active_cpus(),
        kernel/cgroup/cpuset.c). Groups that were made on the way to this one have nobody else to see to it, and neither
        has a container that nothing is asked for: those made with what the group above them has get that again.
        """
        parts = group.name.split("/")
        for which in cpusets.FILES:
            wanted = parse_list(self._cpusets.get((group.name, which)) or "")
            have = parse_list(self._cpuset(hierarchy, "", which))
            for end in range(1, len(parts) + (not wanted)):
                name = "/".join(parts[:end])
                if not self._is_there(hierarchy, name):
                    break
                if (name, which) in self._asked:
                    have = parse_list(self._cpusets[name, which])
                    continue
                held = parse_list(self._cpuset(hierarchy, name, which))
                change = cpusets.Change(name, held, held | (wanted & have))
                if hierarchy.tree.marked(name, cpusets.INHERITS + which):
                    change.then |= have
                if change.then != change.now:
                    self._give(hierarchy, group, which, change)
                have = change.then

    def _give(self, hierarchy: Hierarchy, group: Group, which: str, change: cpusets.Change) -> None:
        """Give a cpuset on the way to a group, or the group's own with those in it, what it has lost."""
        now, then = format_list(change.now), format_list(change.then)
        self._cpusets[change.group, which] = then
        self.grows.append(steps.GiveBack(hierarchy.tree, "%s/%s" % (change.group, which), now, then))
        if change.group == group.name:
            inside = self._yielding(hierarchy, group)
            for one in cpusets.following(change, inside, lambda name: self.seen.text(hierarchy, "%s/%s" % (name, which))):
                self._fit_cpuset(one, hierarchy, which, self.grows)

    def _settings(self, group: Group, new: list[Hierarchy]) -> None:
        """Steps for every setting that differs, sorted by what takes and what gives."""
        taking: list[tuple[int, Step]] = []
        giving: list[tuple[int, Step]] = []
        self._check_burst(group, new)
        for setting in self._each_file_once(group, new):
            before = None if setting.hierarchy in new else self.seen.now(setting, group.name)
            if before is None and not self._will_be_there(setting, group, new):
                raise self._no_file(setting, group)
            # An idle group reads as of the least weight, and has the default one when it is idle no more: what is asked is written after that.
            wakes = setting.file.name in _WEIGHTS and self._stops_idling(group, new)
            if before == setting.kept and not wakes:
                continue
            if setting.file.name in _WEIGHTS and not wakes and before is not None:
                self._check_idle(group, setting)
            if before is not None and setting.hierarchy.version == 1 and setting.file.name in (QUOTA, PERIOD):
                self._change_quota(group, setting.hierarchy)
                continue
            if before is not None and setting.hierarchy.version == 1 and setting.file.name in cpusets.FILES:
                self._change_cpuset(group, setting, before)
                continue
            grows = setting.starts_low if before is None else wakes or setting.file.format.grows(before, setting.kept)
            step = _STEPS.get(setting.file.name, steps.SetKnob)(group, setting, before)
            if not grows and before is not None:
                usage.check(group, setting, self.seen)
                self._let_go(group, setting)
            (giving if grows else taking).append((setting.order if grows else -setting.order, step))
            if before is not None and setting.file in knobs.IO_MAX_V1.values():
                self._throttle_inside(group, setting)
            if before is not None and group.shown_in and setting.file.name in shown.FILES_V2.values():
                self._show(group, setting)
        # A new group has no quota yet, so its period comes before it.
        taking.reverse()
        for order, taker in sorted(taking, key=lambda entry: entry[0]):
            if taker.before is None:
                self.grows.append(taker)
            else:
                self.shrinks.append((-group.depth, order, taker))
        self.grows += [step for _order, step in sorted(giving, key=lambda entry: entry[0])]

    def _each_file_once(self, group: Group, new: list[Hierarchy]) -> list[Setting]:
        """The settings of a group, one for each file: two options may ask for the same."""
        found = {(setting.hierarchy, setting.place): setting for setting in reversed(with_memsw(group, self.seen, new))}
        return list(reversed(found.values()))

    # CPU quotas of v1

    def _change_quota(self, group: Group, hierarchy: Hierarchy) -> None:
        """Quota and period, in the order that the kernel takes, once for both."""
        if (hierarchy.tree, group.name, QUOTA) in self._planned:
            return
        self._planned.add((hierarchy.tree, group.name, QUOTA))
        if self._quotas is None:
            self._quotas = Quotas(hierarchy, self.seen, list(self._groups.values()))
        quotas, then = self._quotas, ratio(*self._quotas.then(group.name))
        inside = self._yielding(hierarchy, group) if quotas.takes(group.name) else []
        lifted = [one.name for one in inside if then < ratio(*quotas.now(one.name)) and quotas.now(one.name)[0] is not None]
        for name in lifted:
            quota = str(quotas.now(name)[0])
            self.shrinks.append((-name.count("/"), 0, steps.Fit(hierarchy.tree, "%s/%s" % (name, QUOTA), quota, "-1")))
        writes = quotas.writes(group.name, lambda: [name for name in self._below(hierarchy, group.name) if name not in lifted])
        order = next(setting.order for setting in group.settings if setting.file.name in (QUOTA, PERIOD))
        for step in self._quota_steps(group, hierarchy, writes):
            step.clear = self._clearing(hierarchy, group, _lift) if inside else None
            if quotas.comes_early(group.name):
                self.shrinks.append((-group.depth, -order, step))
            else:
                self.grows.append(step)
        if group.shown_in:
            self._show_quota(group, hierarchy, lifted)

    def _quota_steps(self, group: Group, hierarchy: Hierarchy, writes: list[tuple[str, str]]) -> list[steps.SetKnob]:
        settings = {setting.file.name: setting for setting in group.settings if setting.hierarchy is hierarchy}
        held = {name: self.seen.now(setting, group.name) for name, setting in settings.items()}
        found = []
        for file, text in writes:
            step = steps.SetKnob(group, settings[file], held[file])
            step.after, held[file] = text, settings[file].file.format.normal(text)
            found.append(step)
        return found

    def _check_burst(self, group: Group, new: list[Hierarchy]) -> None:
        """Refuse a quota below the burst, the one that is asked for or the one that there is."""
        quotas = {setting.file.name: setting for setting in group.settings if setting.file.name in (QUOTA, "cpu.max")}
        for file, name in ((QUOTA, "cpu.cfs_burst_us"), ("cpu.max", "cpu.max.burst")):
            burst = next((setting for setting in group.settings if setting.file.name == name), None)
            either = quotas.get(file) or burst
            if either is None:
                continue
            fresh = either.hierarchy in new
            quota = quotas[file].kept if file in quotas else "max" if fresh else self.seen.text(either.hierarchy, "%s/%s" % (group.name, file)) or "max"
            saved = burst.kept if burst else "0" if fresh else self.seen.text(either.hierarchy, "%s/%s" % (group.name, name)) or "0"
            if quota.split()[0] not in (MAX, "-1") and int(saved) > int(quota.split()[0]):
                raise InvalidInput(
                    "%s: the quota of cpu.max, %s us, is less than the burst %s, %s us"
                    % (group.called, quota.split()[0], "that is asked for" if burst else "that the group has", saved),
                    target=either.hierarchy.tree.full("%s/%s" % (group.name, name)),
                    hint="cpu.burst can be as much as the quota and no more: give both",
                )

    # Sets of CPUs and memory nodes of v1

    def _change_cpuset(self, group: Group, setting: Setting, before: str) -> None:
        """From one set to another: both together where it is neither more nor less, and where groups below or above need it."""
        hierarchy, file = setting.hierarchy, setting.file.name
        top = cpusets.Change(group.name, parse_list(before), parse_list(setting.kept))
        inside = self._yielding(hierarchy, group)
        changes = cpusets.following(top, inside, lambda name: self.seen.text(hierarchy, "%s/%s" % (name, file)))
        grows = top.between == top.then
        first = self.grows if grows and not self._moves_below(group, hierarchy, file) else self.moves
        held = before
        if grows or (not top.then <= top.now and hierarchy.tree.directories(group.name)):
            step = steps.SetCpuset(group, setting, held)
            step.after = held = format_list(top.between)
            first.append(step)
        for change in changes:
            self._fit_cpuset(change, hierarchy, file, first)
        if not grows:
            step = steps.SetCpuset(group, setting, held)
            if inside:
                step.clear = self._clearing(hierarchy, group, lambda path: cpusets.bring_into_line(path, file, top.then))
            self.shrinks.append((-group.depth, -setting.order, step))

    def _fit_cpuset(self, change: cpusets.Change, hierarchy: Hierarchy, file: str, first: list[Step]) -> None:
        path, held = "%s/%s" % (change.group, file), format_list(change.now)
        if change.between != change.now:
            first.append(steps.Fit(hierarchy.tree, path, held, format_list(change.between), held or "\n"))
            held = format_list(change.between)
        if change.then != change.between:
            self.shrinks.append((-change.group.count("/"), 0, steps.Fit(hierarchy.tree, path, held, format_list(change.then))))

    def _moves_below(self, group: Group, hierarchy: Hierarchy, file: str) -> bool:
        """Whether a group below is to have another set in this call, neither more nor less than it has."""
        for name, other in self._groups.items():
            wanted = self._cpusets.get((name, file))
            if other.present and wanted and name.startswith(group.name + "/") and (name, file) in self._asked:
                held = parse_list((self.seen.text(hierarchy, "%s/%s" % (name, file)) or "").strip())
                if not parse_list(wanted) >= held:
                    return True
        return False

    # Groups below that give way

    def _clearing(self, hierarchy: Hierarchy, group: Group, clear: Callable[[str], None]) -> Callable[[], None]:
        """Do the same for every group below that gives way, when it is needed."""

        def do() -> None:
            for top in [group.name] if group.follows else subtree.marked_below(hierarchy.tree, group.name):
                with contextlib.suppress(OSError):
                    clear(hierarchy.tree.full(top))

        return do

    def _yielding(self, hierarchy: Hierarchy, group: Group) -> list[subtree.Yielding]:
        found = subtree.yielding(hierarchy.tree, group.name, group.follows)
        return [one for one in found if one.name not in self._groups and (hierarchy.tree, one.name) not in self._removed]

    def _below(self, hierarchy: Hierarchy, name: str) -> list[str]:
        return [path for path in subtree.below(hierarchy.tree, name) if (hierarchy.tree, path) not in self._removed]

    def _throttle_inside(self, group: Group, setting: Setting) -> None:
        """Rates of disks hold on v1 for a group and not for those below it: the groups that it is divided into get the same."""
        for one in self._yielding(setting.hierarchy, group):
            format, path = setting.file.format, "%s/%s" % (one.name, setting.file.name)
            held = format.normal(self.seen.text(setting.hierarchy, path) or "", setting.key)
            if one.child and held != setting.kept:
                text = format.written(setting.value, setting.key)
                self.grows.append(steps.Fit(setting.hierarchy.tree, path, held, text, format.restored(held, setting.key)))

    def _show(self, group: Group, setting: Setting) -> None:
        """Have programs inside see what a limit of v2 is now."""
        hierarchy, file = setting.hierarchy, setting.file.name
        inside = "%s/%s" % (group.name, group.shown_in)
        if not self.seen.exists(hierarchy, inside):
            return
        self._hand_down(hierarchy, group.name, {file.partition(".")[0]})
        held = (self.seen.text(hierarchy, "%s/%s" % (inside, file)) or MAX).strip()
        text = shown.copy_of(file, setting.kept)
        self.grows.append(steps.Fit(hierarchy.tree, "%s/%s" % (inside, file), held, text))

    def _show_quota(self, group: Group, hierarchy: Hierarchy, lifted: list[str]) -> None:
        """Have programs inside see what the quota of v1 is now. lifted: groups whose quota is lifted before."""
        inside = "%s/%s" % (group.name, group.shown_in)
        if self._quotas is None or not self.seen.exists(hierarchy, inside):
            return
        quota, period = self._quotas.now(inside)
        wanted, over = self._quotas.then(group.name)
        writes = [] if quota is None or inside in lifted else [(QUOTA, str(quota), "-1")]
        if wanted is not None:
            share, length = shown.cpu_share(str(wanted), str(over))
            writes += [(PERIOD, str(period), length), (QUOTA, "-1", share)]
        for file, held, text in writes:
            self.grows.append(steps.Fit(hierarchy.tree, "%s/%s" % (inside, file), held, text))

    def _let_go(self, group: Group, setting: Setting) -> None:
        """Groups below that give way are no longer exclusive when the one above them is not."""
        if setting.file.name != "cpuset.cpu_exclusive" or setting.kept != "0":
            return
        for one in self._yielding(setting.hierarchy, group):
            path = "%s/%s" % (one.name, setting.file.name)
            if self.seen.text(setting.hierarchy, path) == "1":
                self.shrinks.append((-one.name.count("/"), 0, steps.Fit(setting.hierarchy.tree, path, "1", "0")))

    def _stops_idling(self, group: Group, new: list[Hierarchy]) -> bool:
        idle = next((setting for setting in group.settings if setting.option == "cpu.idle"), None)
        return idle is not None and idle.hierarchy not in new and idle.kept == "0" and self.seen.now(idle, group.name) == "1"

    def _check_idle(self, group: Group, setting: Setting) -> None:
        """Refuse a weight for a group that is idle already and stays so (sched_group_set_shares(), kernel/sched/fair.c)."""
        if (self.seen.text(setting.hierarchy, group.name + "/cpu.idle") or "").strip() == "1":
            raise InvalidInput(
                "%s: cpu.weight cannot be set: the group is idle, and an idle group has no weight" % group.called,
                target=setting.hierarchy.tree.full("%s/%s" % (group.name, setting.file.name)),
                hint="set cpu.idle to false with it",
            )

    def _will_be_there(self, setting: Setting, group: Group, new: list[Hierarchy]) -> bool:
        """Whether a file that is not there now will be when its turn comes, as far as that can be known."""
        hierarchy, name = setting.hierarchy, setting.file.name
        if hierarchy.version == 2:  # files come with their controller
            controller = name.partition(".")[0]
            return hierarchy in new or (hierarchy.tree, group.name.rpartition("/")[0], controller) in self._enabled
        if hierarchy not in new:
            return False
        # A new v1 group has the files of the root, and a few more of which these tell.
        witness = {"pids.max": "", "blkio.bfq.weight": "blkio.bfq.io_service_bytes"}.get(name, name)
        return not witness or not name.startswith(("memory.", "cpu.", "hugetlb.", "blkio.")) or self.seen.exists(hierarchy, witness)

    def _no_file(self, setting: Setting, group: Group) -> BulkheadError:
        return InvalidInput(
            "%s: %s cannot be set: this kernel has no %s" % (group.called, setting.option, setting.hierarchy.tree.full(group.name + "/" + setting.file.name)),
            hint="swap limits need CONFIG_SWAP and swapaccount=1"
            if "swap" in setting.file.name or "memsw" in setting.file.name
            else "the feature is not built in, or switched off at boot",
        )

    def _devices(self, group: Group, policy: devices.Policy, new: list[Hierarchy]) -> None:
        name = group.name
        hierarchy = self.host.hierarchy_of("devices")
        if hierarchy.version == 1:
            # A new group has what its parent has.
            place = name
            while (hierarchy.tree, place) in self._made:
                place = place.rpartition("/")[0]
            text = self.seen.text(hierarchy, (place + "/" if place else "") + "devices.list") or ""
            there = hierarchy not in new
            self.last += devices.steps_v1(
                hierarchy.tree,
                name,
                devices.read_v1(text),
                policy,
                there and bool(hierarchy.tree.directories(name)),
                [
                    devices.Inside(one.name, one.child, devices.read_v1(self.seen.text(hierarchy, one.name + "/devices.list") or ""))
                    for one in (self._yielding(hierarchy, group) if there else [])
                ],
            )
            return
        held = None if hierarchy in new else devices.attached_policy(hierarchy.tree, name)
        if held is None or held[1] != devices.program_name(policy):
            self.last.append(devices.AttachPolicy(hierarchy.tree, name, policy, held))

    # Who is inside

    def _members(self, group: Group, new: list[Hierarchy]) -> None:
        """Processes that were named, into every hierarchy of the group; and those inside already, into its new ones."""
        there = (
            [
                hierarchy
                for hierarchy in self.host.hierarchies
                if hierarchy not in group.hierarchies and hierarchy.controllers and self._is_there(hierarchy, group.name)
            ]
            if group.processes
            else []
        )
        for pid in group.processes:
            if not processes.threads_of(pid):
                raise InvalidInput("%s: there is no process %d" % (group.called, pid))
            parent = processes.ended(pid)
            if parent is not None:
                raise InvalidInput(
                    "%s: process %s has ended and waits to be reaped by its parent, %s"
                    % (group.called, processes.described([pid]), processes.described([parent])),
                    hint="what has ended cannot be moved: leave it out",
                )
        for hierarchy in group.hierarchies + there:
            if group.processes and hierarchy.version == 2 and hierarchy not in new:
                self._check_may_hold(hierarchy, group.name)
            for pid in group.processes:
                self._move(hierarchy, group.name, pid)
        if len(group.hierarchies) > 1:
            self._complete(group, new)

    def _complete(self, group: Group, new: list[Hierarchy]) -> None:
        """Where the group is in several hierarchies, one in which it is empty gets the processes of the others.

        So a limit of another controller, set later, holds for what runs in the group already.
        """
        inside = {hierarchy: [] if hierarchy in new else steps.pids_in(hierarchy, group.name) for hierarchy in group.hierarchies}
        members = sorted({pid for pids in inside.values() for pid in pids} - set(group.processes))
        for hierarchy, pids in inside.items():
            if not pids:
                for pid in members:
                    self._move(hierarchy, group.name, pid)

    def _move(self, hierarchy: Hierarchy, group: str, pid: int) -> None:
        homes = steps.outside(hierarchy, group, pid)
        if homes:
            self.last.append(steps.MoveProcess(hierarchy, group, pid, homes))

    def _check_may_hold(self, hierarchy: Hierarchy, name: str) -> None:
        handed = self._handed_down.get((hierarchy.tree, name)) or set((self.seen.text(hierarchy, name + "/cgroup.subtree_control") or "").split())
        blocking = sorted(handed - set(THREADED))
        if blocking:
            raise InvalidInput(
                "group %s hands %s down to its child groups, so on cgroup v2 it may hold no processes" % (hierarchy.tree.full(name), ", ".join(blocking)),
                hint="name a child group for the processes",
            )
        kind = self.seen.text(hierarchy, name + "/cgroup.type")
        if kind not in (None, "domain"):
            raise InvalidInput(
                "group %s is of type '%s', into which whole processes cannot be moved" % (hierarchy.tree.full(name), kind),
                hint="only groups of type 'domain' take processes; cgroup-v2.rst, 'Threads'",
            )


def _lift(group: str) -> None:
    """Lift the quotas of all groups below one, whose own limits them. group: the directory."""
    for inner in cgroupfs.walk(group):
        if not os.path.samestat(os.fstat(inner), os.stat(group)):
            with contextlib.suppress(OSError):  # it is gone
                cgroupfs.write(QUOTA, "-1", inner)
