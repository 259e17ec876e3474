# Copyright: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""From desired groups to the steps that make them so, for any mixture of v1 and v2 hierarchies.

The order of a plan, and why:

1. groups that are to go (they free what others may need);
2. what takes something from groups, from the leaves up: a v1 child may never have more than its parent, and exclusive
   CPUs must be let go before another group can have them;
3. from the root down: new groups, controllers handed down to them, their settings, and what gives groups more;
4. device policies, then processes moved in, then freezing.
"""

from __future__ import annotations

import os

from ..errors import BulkheadError, InvalidInput
from ..kernel import processes
from ..kernel.files import Tree
from ..plan import Plan, Step
from ..units import format_list, format_size, parse_list
from . import capacity, devices, steps
from .group import Group, Setting
from .host import SYSTEMD_V2, THREADED, Hierarchy, Host
from .observation import Observation
from .swap import with_memsw
from .values import MAX

# Files that take more than one write to be set.
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
            raise InvalidInput("the group %s is named twice in one call" % group.name)
        seen[group.name] = group
    for group in groups:
        parts = group.name.split("/")
        for end in range(1, len(parts)):
            above = seen.get("/".join(parts[:end]))
            if above and not above.present and group.present:
                raise InvalidInput("the group %s is to be present and the group %s above it absent" % (group.name, above.name))


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
        self.removals: list[Step] = []
        self.shrinks: list[tuple[int, int, Step]] = []
        self.grows: list[Step] = []
        self.last: list[Step] = []
        self.freezes: list[Step] = []
        self.fresh: set[str] = set()
        self._made: set[tuple[Tree, str]] = set()
        self._removed: set[tuple[Tree, str]] = set()
        self._handed_down: dict[tuple[Tree, str], set[str]] = {}
        self._enabled: set[tuple[Tree, str, str]] = set()  # the same, of those that this plan enables

    def plan(self) -> GroupPlan:
        plan = GroupPlan(self.seen)
        plan.fresh = self.fresh
        taking = [step for _depth, _order, step in sorted(self.shrinks, key=lambda entry: entry[:2])]
        plan.steps = self.removals + taking + self.grows + self.last + self.freezes
        return plan

    # Groups that are to go

    def remove(self, group: Group) -> None:
        """Remove the group, and the empty groups below it, wherever it is; with force, kill what runs there first."""
        kills: list[Step] = []
        removals: list[Step] = []
        killed: set[int] = set()
        for hierarchy in self.host.hierarchies:
            tree = hierarchy.tree
            if not self.seen.exists(hierarchy, group.name):
                continue
            below = [name for name in descendants(tree, group.name) if (tree, name) not in self._removed]
            inside = [pid for name in [*below, group.name] for pid in steps.pids_in(hierarchy, name)]
            if inside:
                own = set(processes.ancestors_of(os.getpid())) & set(inside)
                if own:
                    raise InvalidInput(
                        "group %s holds %s, from which this very run comes" % (group.name, processes.described(sorted(own))),
                        hint="move the session to another group first",
                    )
                if not group.force:
                    raise InvalidInput(
                        "group %s cannot be removed: it holds %s" % (tree.full(group.name), processes.described(inside)),
                        hint="stop them or move them elsewhere first, or add force: true to kill them",
                    )
                if not set(inside) <= killed:  # one kill ends a process in all of its hierarchies
                    kills.append(steps.KillGroup(hierarchy, group.name, below, inside, self.host.by_controller.get("freezer")))
                    killed.update(inside)
            for name in [*below, group.name]:
                self._removed.add((tree, name))
                removals.append(steps.RemoveGroup(hierarchy, name))
            if group.boundary and not self.host.is_systemds(hierarchy):
                removals += self._remove_path(hierarchy, group)
        self.removals += kills + removals

    def _remove_path(self, hierarchy: Hierarchy, group: Group) -> list[Step]:
        """The groups above, where systemd has none and so removes none, as far as nothing else is in them."""
        removals: list[Step] = []
        parts = group.name.split("/")
        for end in range(len(parts) - 1, 0, -1):
            name = "/".join(parts[:end])
            others = [child for child in descendants(hierarchy.tree, name) if (hierarchy.tree, child) not in self._removed]
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
        if len(new) == len(group.hierarchies):
            self.fresh.add(group.title)
        for hierarchy in group.hierarchies:
            if group.brought_back and hierarchy.version == 1 and "cpuset" in hierarchy.controllers:
                self._give_back(hierarchy, group)
            self._make_path(hierarchy, group)
        self._settings(group, new)
        if group.devices is not None:
            self._devices(group.name, group.devices, new)
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
        if not wanted and self._is_there(hierarchy, group.name):
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
                self.grows.append(steps.MakeGroup(hierarchy.tree, name))
                if "cpuset" in hierarchy.controllers and hierarchy.version == 1:
                    self._inherit_cpuset(hierarchy, name)
            if end < len(parts) and wanted:
                self._hand_down(hierarchy, name, wanted)

    def _check_delegated(self, hierarchy: Hierarchy, group: Group, wanted: set[str]) -> None:
        """Refuse what a unit that delegates to us does not have itself."""
        if not self._is_there(hierarchy, group.boundary):
            raise InvalidInput("group %s: systemd made no group for the unit above it in %s" % (group.title, hierarchy.path), hint="is the unit running?")
        if wanted & set(SYSTEMD_V2):
            missing = wanted & set(SYSTEMD_V2) - set((self.seen.text(hierarchy, group.boundary + "/cgroup.controllers") or "").split())
            if missing:
                raise InvalidInput(
                    "group %s: the unit above it does not have the controller %s" % (group.title, ", ".join(sorted(missing))),
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

    def _inherit_cpuset(self, hierarchy: Hierarchy, name: str) -> None:
        """A new v1 cpuset is empty and takes no process: it starts with what its parent has, unless that is set anyway."""
        for which in ("cpuset.cpus", "cpuset.mems"):
            if (name, which) in self._cpusets:
                continue
            parent = name.rpartition("/")[0]
            text = self._cpusets.get((parent, which)) or (self.seen.text(hierarchy, (parent + "/" if parent else "") + which) or "").strip()
            self._cpusets[name, which] = text
            if text:
                self.grows.append(steps.WriteCore(hierarchy.tree, "%s/%s" % (name, which), None, text))

    def _give_back(self, hierarchy: Hierarchy, group: Group) -> None:
        """Let the groups above have what this one is to have, as far as their own parents do.

        The kernel takes a CPU that goes out of every v1 cpuset and gives it back to none (cpuset_update_active_cpus(),
        kernel/cgroup/cpuset.c). Groups that were made on the way to this one have nobody else to see to it.
        """
        parts = group.name.split("/")
        for which in ("cpuset.cpus", "cpuset.mems"):
            wanted = parse_list(self._cpusets.get((group.name, which)) or "")
            have = parse_list((self.seen.text(hierarchy, which) or "").strip()) if wanted else frozenset()
            for end in range(1, len(parts)):
                name = "/".join(parts[:end])
                if not have or not self._is_there(hierarchy, name):
                    break
                if (name, which) in self._asked:
                    have = parse_list(self._cpusets[name, which])
                    continue
                now = (self._cpusets.get((name, which)) or self.seen.text(hierarchy, name + "/" + which) or "").strip()
                held = parse_list(now)
                have = held | (wanted & have)
                if have > held:
                    self._cpusets[name, which] = format_list(have)
                    self.grows.append(steps.GiveBack(hierarchy.tree, "%s/%s" % (name, which), now, format_list(have)))

    def _settings(self, group: Group, new: list[Hierarchy]) -> None:
        """Steps for every setting that differs, sorted by what takes and what gives."""
        taking: list[tuple[int, Step]] = []
        giving: list[tuple[int, Step]] = []
        for setting in with_memsw(group, self.seen, new):
            before = None if setting.hierarchy in new else self.seen.now(setting, group.name)
            if before is None and not self._will_be_there(setting, group, new):
                raise self._no_file(setting, group)
            # An idle group reads as of the least weight, and has the default one when it is idle no more: what is asked is written after that.
            wakes = setting.option == "cpu.weight" and self._stops_idling(group, new)
            if before == setting.kept and not wakes:
                continue
            if setting.option == "cpu.weight" and not wakes and before is not None:
                self._check_idle(group, setting)
            grows = setting.starts_low if before is None else wakes or setting.file.format.grows(before, setting.kept)
            step = _STEPS.get(setting.file.name, steps.SetKnob)(group.name, setting, before)
            if not grows and before is not None:
                self._check_usage(group, setting)
            (giving if grows else taking).append((setting.order if grows else -setting.order, step))
        # A value that v1 keeps in two files is taken in reverse too: a quota is less only when its period is there.
        taking.reverse()
        for order, taker in sorted(taking, key=lambda entry: entry[0]):
            if taker.before is None:
                self.grows.append(taker)
            else:
                self.shrinks.append((-group.depth, order, taker))
        self.grows += [step for _order, step in sorted(giving, key=lambda entry: entry[0])]

    def _stops_idling(self, group: Group, new: list[Hierarchy]) -> bool:
        idle = next((setting for setting in group.settings if setting.option == "cpu.idle"), None)
        return idle is not None and idle.hierarchy not in new and idle.kept == "0" and self.seen.now(idle, group.name) == "1"

    def _check_idle(self, group: Group, setting: Setting) -> None:
        """Refuse a weight for a group that is idle already and stays so (sched_group_set_shares(), kernel/sched/fair.c)."""
        if (self.seen.text(setting.hierarchy, group.name + "/cpu.idle") or "").strip() == "1":
            raise InvalidInput(
                "group %s: cpu.weight cannot be set: the group is idle, and an idle group has no weight" % group.name,
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
            "group %s: %s cannot be set: this kernel has no %s"
            % (group.name, setting.option, setting.hierarchy.tree.full(group.name + "/" + setting.file.name)),
            hint="swap limits need CONFIG_SWAP and swapaccount=1"
            if "swap" in setting.file.name or "memsw" in setting.file.name
            else "the feature is not built in, or switched off at boot",
        )

    def _check_usage(self, group: Group, setting: Setting) -> None:
        """Refuse a limit below what is in use: on v2 the kernel would kill until it fits."""
        if not setting.file.usage or group.force or setting.kept == MAX:
            return
        usage = self.seen.text(setting.hierarchy, "%s/%s" % (group.name, setting.file.usage))
        if usage is None or int(usage) <= int(setting.kept):
            return
        show = str if setting.option.startswith("pids") else lambda number: "%s (%d bytes)" % (format_size(number), number)
        raise InvalidInput(
            "group %s: %s of %s is below the %s in use now" % (group.name, setting.option, show(int(setting.kept)), show(int(usage))),
            target=setting.hierarchy.tree.full("%s/%s" % (group.name, setting.file.name)),
            hint="set it above that, or add force: true, and the kernel reclaims and, on v2, kills until it fits",
        )

    def _devices(self, name: str, policy: devices.Policy, new: list[Hierarchy]) -> None:
        hierarchy = self.host.hierarchy_of("devices")
        if hierarchy.version == 1:
            # A new group has what its parent has.
            place = name
            while (hierarchy.tree, place) in self._made:
                place = place.rpartition("/")[0]
            text = self.seen.text(hierarchy, (place + "/" if place else "") + "devices.list") or ""
            self.last += devices.steps_v1(hierarchy.tree, name, devices.read_v1(text), policy)
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
                raise InvalidInput("group %s: there is no process %d" % (group.name, pid))
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


def descendants(tree: Tree, group: str) -> list[str]:
    """Return the names of the groups below a group, deepest first."""
    found = []
    for name in tree.directories(group):
        path = group + "/" + name
        found += [*descendants(tree, path), path]
    return found
