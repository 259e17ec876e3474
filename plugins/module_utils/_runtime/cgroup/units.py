# Copyright: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Groups that are units of systemd: asked of systemd by drop-ins, never written behind its back.

A limit is a line in a drop-in of ours, 50-bulkhead.conf, which sorts behind those that `systemctl set-property` writes
(50-MemoryMax.conf) and is nobody else's. systemd reads it at its next reload and gives the kernel the value; what the kernel
then holds is looked at, and is what decides whether there is anything to do. What is not to outlast the boot lies below
/run, in 55-bulkhead.conf, because of two files of one name systemd reads the one below /etc only.

The order of a plan: units that are to go; files; one reload; units that are to come; then for each file of the kernel the
value that it must have got by that; freezing last.
"""

from __future__ import annotations

import os
import time

from .. import slices
from ..errors import BulkheadError, InvalidInput
from ..kernel import bpf, processes, systemd
from ..patience import wait_until
from ..plan import MakeLink, ReplaceFile, Step
from . import capacity, devices, properties, steps, usage
from .group import Group, Setting
from .host import Hierarchy, Host
from .observation import Observation
from .planning import GroupPlan
from .values import MAX

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

PERSISTENT = "/etc/systemd/system"
RUNTIME = "/run/systemd/system"
_DROP_INS = {PERSISTENT: "50-bulkhead.conf", RUNTIME: "55-bulkhead.conf"}
_WANTS = "slices.target.wants"
_MARK = "# Made by bulkhead.linux"
_SHOWN = ("LoadState", "LoadError", "ActiveState", "ControlGroup", "FragmentPath", "DropInPaths", "Delegate", "DevicePolicy", "DeviceAllow", "FreezerState")
# How long systemd may take to hand its values to the kernel after it has answered.
_PATIENCE = 5.0


def drop_in(unit: str, root: str) -> str:
    """Our drop-in of a unit, of those that last or of those that do not."""
    return "%s/%s.d/%s" % (root, unit, _DROP_INS[root])


class UnitFile(ReplaceFile):
    """A unit file or drop-in. The directory of a unit's drop-ins comes and goes with what is in it.

    first: of the files of a plan, the one that is put back last: systemd then reads them again.
    """

    def __init__(self, path: str, before: str | None, after: str | None, section: str = "") -> None:
        super().__init__(path, before, after, mode=0o644)
        self.section = section
        self.first = False

    def _put(self, content: str | None) -> None:
        directory = os.path.dirname(self.target)
        if self.section:
            held = _text(self.target)
            between = properties.lifted(held, content, self.section)
            if between is not None:
                super()._put(between)
                systemd.reload()
        super()._put(content)
        if content is None and directory.endswith((".d", ".wants")):
            try:
                os.rmdir(directory)
            except OSError:
                pass  # something else is in it

    def undo(self) -> None:
        super().undo()
        if self.first:
            systemd.reload()


class Reload(Step):
    """Have systemd read the files, and give the kernel what they say."""

    target = "systemd"
    before: str | None = None
    after = "daemon-reload"
    bookkeeping = True

    def do(self) -> None:
        systemd.reload()

    def undo(self) -> None:
        """The first of the files sees to it, when all of them are as they were."""


class StartUnits(Step):
    """Have systemd make groups that are not there, with those above them."""

    after = "active"

    def __init__(self, units: list[str]) -> None:
        self.units = units
        self.target = ", ".join(units)
        self.before = "inactive"
        self._above: list[str] = []

    def do(self) -> None:
        above = sorted({"-".join(unit[: -len(".slice")].split("-")[:end]) + ".slice" for unit in self.units for end in range(1, unit.count("-") + 1)})
        shown = systemd.show(above, ["ActiveState"])
        self._above = [unit for unit in above if unit not in self.units and (shown.get(unit) or {}).get("ActiveState") == "inactive"]
        try:
            systemd.start(self.units)
        except BulkheadError:
            self.undo()  # some of them may have come up
            raise

    def undo(self) -> None:
        systemd.stop([*self.units, *self._above])


class StopUnits(Step):
    """Have systemd remove groups, with the units in them."""

    after = "inactive"

    def __init__(self, units: list[str], slices_below: list[str], groups: list[tuple[Hierarchy, str]], inside: list[int]) -> None:
        """units: all of them are stopped at once, so that systemd waits for all of them together."""
        self.units = units
        self.again = [*units, *slices_below]
        self.groups = groups
        self.inside = inside
        self.target = ", ".join(units)
        self.before = "active" + (" with processes " + processes.described(inside) if inside else "")

    @classmethod
    def together(cls, several: list[StopUnits]) -> StopUnits:
        """One step for several."""
        units = [unit for step in several for unit in step.units]
        again = [unit for step in several for unit in step.again if unit not in units]
        inside = sorted({pid for step in several for pid in step.inside})
        return cls(units, again, [place for step in several for place in step.groups], inside)

    def do(self) -> None:
        systemd.stop(self.units)
        for hierarchy, group in self.groups:
            if not wait_until(lambda where=hierarchy, name=group: not where.tree.exists(name), _PATIENCE):  # type: ignore[misc]
                raise BulkheadError(
                    "the group %s is still there after its unit was stopped" % hierarchy.tree.full(group),
                    target=hierarchy.tree.full(group),
                    hint="it holds %s, which systemd did not start" % processes.described(steps.pids_in(hierarchy, group)),
                )

    def undo(self) -> None:
        systemd.start(self.again)


class FreezeUnit(Step):
    """Freeze or thaw a unit."""

    def __init__(self, unit: str, frozen: bool) -> None:
        self.unit = unit
        self.frozen = frozen
        self.target = unit
        self.before, self.after = ("running", "frozen") if frozen else ("frozen", "running")

    def do(self) -> None:
        systemd.freeze(self.unit, self.frozen)

    def undo(self) -> None:
        systemd.freeze(self.unit, not self.frozen)


class Takes(Step):
    """The value that a file of the kernel has got from systemd. Nothing is written here: it is seen to, and refused if it is not so."""

    def __init__(self, group: Group, setting: Setting, path: str, before: str | None) -> None:
        self.group = group
        self.setting = setting
        self.path = path + "/" + setting.file.name
        self.target = setting.hierarchy.tree.full(self.path)
        self.before = before
        self.after = setting.file.format.restored(setting.kept, setting.key).strip()
        self._since = time.time()

    def _holds(self) -> str | None:
        text = self.setting.hierarchy.tree.read_short(self.path)
        return None if text is None else self.setting.file.format.normal(text, self.setting.key)

    def do(self) -> None:
        if wait_until(lambda: _same(self._holds(), self.setting), _PATIENCE):
            return
        unit = self.group.place.unit if self.group.place else ""
        words = systemd.complaints(unit, self._since)
        others = (systemd.show([unit], ["DropInPaths"]).get(unit) or {}).get("DropInPaths", "")
        raise BulkheadError(
            "group %s: %s was asked of %s, and the kernel holds %s in %s%s"
            % (self.group.title, self.setting.option, unit, self._holds(), self.target, "; systemd says: " + words if words else ""),
            target=self.target,
            value=self.after,
            hint="another drop-in of the unit may say otherwise (%s), or a unit above it may have less" % (others or "it has none"),
        )

    def undo(self) -> None:
        """It goes with the drop-in."""


def _same(now: str | None, setting: Setting) -> bool:
    """Whether the kernel holds what is asked for; a file that is not there limits nothing."""
    if now is None:
        return setting.value.split()[0] == MAX or (setting.value == "0" and setting.option in ("memory.low", "memory.min", "cpu.idle"))
    return now == setting.kept


def _text(path: str) -> str | None:
    try:
        with open(path, encoding="utf-8") as file:
            return file.read()
    except (FileNotFoundError, NotADirectoryError):
        return None


def look(groups: Iterable[Group]) -> dict[str, dict[str, str]]:
    """What systemd knows of the units of these groups, and of the slices inside of those that are to go; one call."""
    names = []
    for group in groups:
        if group.place is not None:
            names.append(group.place.unit)
            if not group.present and group.place.unit.endswith(".slice"):
                names.append(_inside(group.place.unit))
    return systemd.show(names, _SHOWN)


def _inside(unit: str) -> str:
    """The pattern of the slices inside of a slice."""
    stem = unit[: -len(".slice")]
    for special in "\\[*?":
        stem = stem.replace(special, "[%s]" % special if special != "\\" else "\\\\")
    return stem + "-*.slice"


def resolve(groups: Iterable[Group], known: dict[str, dict[str, str]]) -> None:
    """Find where the groups are. Raises InvalidInput for a unit that is not there, and for groups below one that is systemd's alone."""
    for group in groups:
        place = group.place
        if place is None:
            continue
        unit = known.get(place.unit) or {}
        where = unit.get("ControlGroup", "").strip("/")
        if not where and place.unit.endswith(".slice"):
            where = slices.path_of(place.unit)
        if place.above and where and place.above != where.rpartition("/")[0]:
            raise InvalidInput(
                "group %s: the unit %s is in /%s" % (group.title, place.unit, where.rpartition("/")[0]),
                hint="name the unit alone, and it is found wherever it is",
            )
        if not place.below:
            if unit.get("LoadState") in ("not-found", "error", "bad-setting", None) and group.present:
                raise InvalidInput(
                    "group %s: systemd has no unit %s%s"
                    % (group.title, place.unit, ": " + unit["LoadError"] if unit.get("LoadError", '""').strip('" ') else ""),
                    hint="limits can be kept for a unit that is installed; install it first, or give a plain name, such as web, for a slice of its own",
                )
            group.name = where or place.unit
            continue
        if unit.get("Delegate") != "yes" and (group.present or where):
            raise InvalidInput(
                "group %s: %s does not delegate its control group, so systemd would undo what is written below it" % (group.title, place.unit),
                hint="give the unit Delegate=yes in a drop-in and restart it, or name the unit itself: its limits become properties of the unit",
            )
        if not where and group.present:
            raise InvalidInput("group %s: %s does not run, so there is nothing below it" % (group.title, place.unit), hint="start the unit first")
        group.boundary = where or place.unit
        group.name = group.boundary + "/" + place.below


def plan_units(host: Host, groups: list[Group], known: dict[str, dict[str, str]], persist: bool) -> GroupPlan:
    """The plan for groups that are units. Raises InvalidInput for what can be known to fail before the first change."""
    planner = _Planner(host, known, PERSISTENT if persist else RUNTIME)
    seen: dict[str, str] = {}
    placed = [(group, group.place) for group in groups if group.place is not None]
    for group, place in placed:
        if place.unit in seen:
            raise InvalidInput("the groups %s and %s are one unit, %s" % (seen[place.unit], group.title, place.unit))
        seen[place.unit] = group.title
    for group, place in placed:
        if group.present:
            planner.make(group, place)
        else:
            planner.remove(group, place)
    plan = planner.plan()
    plan.warnings += capacity.check(host, [group for group in groups if group.present])
    return plan


class _Planner:
    """Collects steps by phase; one for each call."""

    def __init__(self, host: Host, known: dict[str, dict[str, str]], root: str) -> None:
        self.host = host
        self.known = known
        self.root = root
        self.seen = Observation(host)
        self.first: list[Step] = []
        self.stops: list[StopUnits] = []
        self.files: list[Step] = []
        self.starting: list[str] = []
        self.thaws: list[Step] = []
        self.takes: list[Step] = []
        self.freezes: list[Step] = []
        self.reload = False
        self.fresh: set[str] = set()

    def plan(self) -> GroupPlan:
        plan = GroupPlan(self.seen)
        plan.fresh = self.fresh
        for step in self.files:
            if isinstance(step, UnitFile):
                step.first = True
                break
        plan.steps = [*self.first, *([StopUnits.together(self.stops)] if self.stops else []), *self.files]
        if self.files or self.reload:
            plan.steps.append(Reload())
        if self.starting:
            plan.steps.append(StartUnits(self.starting))
        plan.steps += self.thaws + self.takes + self.freezes
        return plan

    # Groups that are to be there

    def make(self, group: Group, place: slices.Place) -> None:
        unit = self.known[place.unit]
        self._check(group, place)
        active = unit.get("ActiveState") in ("active", "activating", "reloading")
        if place.unit.endswith(".slice"):
            if not active:
                self.starting.append(place.unit)
                self.fresh.add(group.title)
            if self.root == PERSISTENT:
                self._keep_slice(group, place.unit, unit)
        wanted = properties.lines_of(group, {setting.option: setting for setting in group.settings})
        if self._drop_ins(place, unit, wanted) and not active and not place.unit.endswith(".slice"):
            self.reload = True
        will_be_there = active or place.unit.endswith(".slice")
        for setting in group.settings if will_be_there else ():
            now = self.seen.now(setting, group.name) if active else None
            if (active and not _same(now, setting)) or (not active and not _same(None, setting)):
                self._check_usage(group, setting, now)
                self.reload = self.reload or active
                self.takes.append(Takes(group, setting, group.name, now))
        if group.devices is not None and active and properties.policy_lines(unit) != _policy(wanted):
            self.reload = True
        if group.devices is not None and active and not self._has_policy(group, group.devices):
            self.reload = True
        self._freeze(group, place.unit, active)

    def _check(self, group: Group, place: slices.Place) -> None:
        if group.processes:
            raise InvalidInput(
                "group %s: processes cannot be moved into %s: systemd decides what runs in its units" % (group.title, place.unit),
                hint="start them there (Slice=%s in their unit, or systemd-run --scope --slice=%s), or name a group below a unit with Delegate=yes"
                % (place.unit, place.unit)
                if place.unit.endswith(".slice")
                else "name a group below a unit with Delegate=yes",
            )
        if group.frozen is not None and self.host.hierarchy_of("freezer").version == 1:
            raise InvalidInput("group %s: systemd freezes units on cgroup v2 only, and this machine's freezer is on v1" % group.title)
        if place.unit.endswith(".scope") and self.root == PERSISTENT:
            raise InvalidInput("group %s: a scope does not outlast the boot, so its limits cannot" % group.title, hint="add persist: false")

    def _keep_slice(self, group: Group, unit: str, shown: dict[str, str]) -> None:
        """Have the slice made at boot, if it is nobody else's."""
        path = "%s/%s" % (PERSISTENT, unit)
        held = shown.get("FragmentPath") or ""
        if unit in slices.PERPETUAL or (held and held != path):
            return
        before = _text(path)
        if before is not None and not before.startswith(_MARK):
            return
        after = "%s for the control group %s. Its limits are in %s.d.\n[Unit]\nDescription=%s\n\n[Install]\nWantedBy=slices.target\n" % (
            _MARK,
            group.title.replace("\\", "\\\\"),
            unit.replace("\\", "\\\\"),
            group.title.replace("%", "%%").replace("\\", "\\\\"),
        )
        if before is None:
            self.files.append(UnitFile(path, before, after))
        link = "%s/%s/%s" % (PERSISTENT, _WANTS, unit)
        if not os.path.islink(link):
            self.files.append(MakeLink(link, path))

    def _drop_ins(self, place: slices.Place, shown: dict[str, str], wanted: properties.Lines) -> bool:
        """Steps for our drop-ins; returns whether systemd has yet to read one of them."""
        texts = {root: _text(drop_in(place.unit, root)) for root in (PERSISTENT, RUNTIME)}
        held = {root: properties.read(texts[root]) for root in texts}
        then = dict(held)
        asked = {root: properties.named_as(held[root], wanted) for root in held}
        if self.root == PERSISTENT:
            then[PERSISTENT] = properties.merge(held[PERSISTENT], asked[PERSISTENT])
            then[RUNTIME] = {key: lines for key, lines in held[RUNTIME].items() if key not in asked[RUNTIME]}
        else:
            # What lasts already need not be said again for this boot.
            then[RUNTIME] = properties.merge(
                held[RUNTIME], {key: () if _lasts(key, lines, held[PERSISTENT]) else lines for key, lines in asked[RUNTIME].items()}
            )
        # A name with a backslash comes in quotes and escaped once more.
        known = [word.strip('"').replace("\\\\", "\\") for word in shown.get("DropInPaths", "").split()]
        unread = False
        for root in (PERSISTENT, RUNTIME):
            path = drop_in(place.unit, root)
            if then[root] != held[root]:
                after = properties.text_of(place.section, then[root])
                self.files.append(UnitFile(path, texts[root], after, place.section))
            elif (texts[root] is not None) != (path in known):
                unread = True
        return unread

    def _has_policy(self, group: Group, policy: devices.Policy) -> bool:
        """Whether the kernel has a device policy of systemd: on v1 which one can be seen, on v2 that there is one."""
        hierarchy = self.host.hierarchy_of("devices")
        if hierarchy.version == 1:
            text = self.seen.text(hierarchy, group.name + "/devices.list")
            return text is None or devices.read_v1(text) == policy
        if policy.allow:
            return True
        fd = hierarchy.tree.open(group.name)
        try:
            return bool(bpf.attached(fd))
        finally:
            os.close(fd)

    def _check_usage(self, group: Group, setting: Setting, now: str | None) -> None:
        """Refuse a limit below what is in use: the kernel would kill until it fits."""
        if now is not None and not setting.file.format.grows(now, setting.kept):
            usage.check(group, setting, self.seen)

    def _freeze(self, group: Group, unit: str, active: bool) -> None:
        if group.frozen is None:
            return
        was = active and bool(steps.is_frozen(self.host.hierarchy_of("freezer"), group.name))
        if was is not group.frozen:
            (self.freezes if group.frozen else self.thaws).append(FreezeUnit(unit, group.frozen))

    # Groups that are to go

    def remove(self, group: Group, place: slices.Place) -> None:
        """A slice goes with all that is in it; any other unit stays, without the limits that were given to it here."""
        units, stays = [place.unit], True
        if place.unit.endswith(".slice"):
            stem = place.unit[: -len(".slice")] + "-"
            units += sorted(unit for unit in self.known if unit.startswith(stem) and unit.endswith(".slice"))
            stopped = len(self.stops)
            if self._is_ours(place.unit):
                self._stop(group, place.unit, units[1:])
            stays = len(self.stops) == stopped
        for unit in units:
            for root in (PERSISTENT, RUNTIME):
                path = drop_in(unit, root)
                text = _text(path)
                if text is not None:
                    self.files.append(UnitFile(path, text, None, slices.Place(unit).section if stays else ""))
            path = "%s/%s" % (PERSISTENT, unit)
            text = _text(path)
            if unit.endswith(".slice") and text is not None and text.startswith(_MARK):
                self.files.append(UnitFile(path, text, None))
                link = "%s/%s/%s" % (PERSISTENT, _WANTS, unit)
                if os.path.islink(link):
                    self.files.append(MakeLink(link, path, remove=True))

    def _is_ours(self, unit: str) -> bool:
        """Whether a slice may be stopped: one that we made, or that came to be because of what is inside of it."""
        held = (self.known.get(unit) or {}).get("FragmentPath") or ""
        return unit not in slices.PERPETUAL and (not held or (_text(held) or "").startswith(_MARK))

    def _stop(self, group: Group, unit: str, below: list[str]) -> None:
        shown = self.known.get(unit) or {}
        if shown.get("ActiveState") in (None, "inactive", "failed"):
            return
        for name in below:
            if not self._is_ours(name):
                raise InvalidInput(
                    "group %s cannot be removed: %s inside of it is not of this collection's making" % (group.title, name), hint="remove that first"
                )
        places = [(hierarchy, group.name) for hierarchy in self.host.hierarchies if self.host.is_systemds(hierarchy) and hierarchy.tree.exists(group.name)]
        inside: set[int] = set()
        for hierarchy, name in places:
            inside |= _processes(hierarchy, name)
        own = set(processes.ancestors_of(os.getpid())) & inside
        if own:
            raise InvalidInput(
                "group %s holds %s, from which this very run comes" % (group.title, processes.described(sorted(own))),
                hint="move the session to another group first",
            )
        if inside and not group.force:
            raise InvalidInput(
                "group %s cannot be removed: %s holds %s" % (group.title, unit, processes.described(sorted(inside))),
                hint="stop them first, or add force: true, and systemd stops every unit in the slice",
            )
        active = [name for name in below if self.known[name].get("ActiveState") == "active"]
        for name in (unit, *active):
            if self.known[name].get("FreezerState") == "frozen":
                self.first.append(FreezeUnit(name, False))
        self.stops.append(StopUnits([unit], active, places, sorted(inside)))


def _lasts(key: str, lines: tuple[str, ...], held: properties.Lines) -> bool:
    """Whether a line is in what lasts, whatever its device is called there; a line that is taken away is where none is."""
    name, said = next(iter(properties.named_as(held, {key: lines}).items()))
    return held.get(name, ()) == said


def _policy(lines: properties.Lines) -> list[str]:
    return sorted(line for line in lines.get("DeviceAllow", ()) if line != "DeviceAllow=")


def _processes(hierarchy: Hierarchy, group: str) -> set[int]:
    found = set(steps.pids_in(hierarchy, group))
    for name in hierarchy.tree.directories(group):
        found |= _processes(hierarchy, group + "/" + name)
    return found
