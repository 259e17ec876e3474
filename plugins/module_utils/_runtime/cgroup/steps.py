# Copyright: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""The steps that change control groups, each with the way back and with what to tell when the kernel refuses."""

from __future__ import annotations

import contextlib
import errno
import itertools
import os
import time

from ..errors import BulkheadError
from ..kernel import cgroupfs, processes
from ..kernel.files import Tree
from ..patience import wait_until
from ..plan import MakeDirectory, Step, WriteFile
from .cpusets import INHERITS
from .group import Group, Setting
from .host import Hierarchy
from .knobs import BY_OPTION, KNOBS
from .subtree import MARK

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import NoReturn

# How long the kernel may take for what it does on its own time: freezing, killing, letting go of the dead.
_PATIENCE = 10.0

_HINTS = {
    ("memory.limit_in_bytes", errno.EBUSY): "more than that is in use and could not be reclaimed; free some, or stop what runs in the group",
    ("memory.memsw.limit_in_bytes", errno.EBUSY): "more memory and swap than that is in use and could not be reclaimed",
    ("memory.memsw.limit_in_bytes", errno.EINVAL): "memory and swap together cannot be less than memory alone",
    (
        "cpu.cfs_quota_us",
        errno.EINVAL,
    ): "on v1 a group cannot have more CPU time than its parent, nor less than a child: change the parent first, or put both in one call",
    (
        "cpu.cfs_period_us",
        errno.EINVAL,
    ): "on v1 a group cannot have more CPU time than its parent, nor less than a child: change the parent first, or put both in one call",
    ("cpu.cfs_burst_us", errno.EINVAL): "the burst cannot be more than the quota",
    ("cpu.max.burst", errno.EINVAL): "the burst cannot be more than the quota",
    ("cpu.shares", errno.EINVAL): "the group is idle, and an idle group has no weight: set cpu.idle to false with it",
    ("cpu.weight", errno.EINVAL): "the group is idle, and an idle group has no weight: set cpu.idle to false with it",
    ("cpuset.cpus", errno.EACCES): "the parent group does not have all of these CPUs",
    ("cpuset.mems", errno.EACCES): "the parent group does not have all of these memory nodes",
    ("cpuset.cpus", errno.EBUSY): "a child group still uses CPUs that this would take away",
    ("cpuset.mems", errno.EBUSY): "a child group still uses memory nodes that this would take away",
    ("cpuset.cpus", errno.EINVAL): "these CPUs overlap with those of a sibling that holds them exclusively",
    ("cpuset.cpu_exclusive", errno.EINVAL): "a sibling has some of these CPUs, or the parent is not exclusive itself",
    ("cpuset.cpu_exclusive", errno.EACCES): "a child is exclusive, or the parent is not",
    ("cpuset.cpus", errno.ENOSPC): "processes are inside, so the set cannot be empty",
    ("io.weight", errno.EOPNOTSUPP): "no device distributes by weight: enable io.cost.qos on the root for a device, or use the bfq scheduler",
    ("cgroup.procs", errno.EBUSY): "the group hands controllers down to its children, so on v2 it may hold no processes itself: name a child group",
    (
        "cgroup.procs",
        errno.EOPNOTSUPP,
    ): "the group is of type 'domain invalid' or threaded: processes go where cgroup.type is 'domain'; threads go by cgroup.threads",
    ("cgroup.procs", errno.ENOSPC): "on v1 a cpuset takes processes only when it has CPUs and memory nodes",
    ("cgroup.procs", errno.ESRCH): "the process is gone",
    ("cgroup.procs", errno.EINVAL): "kernel threads bound to a CPU and, without a real-time budget, real-time processes cannot be moved",
    ("cgroup.subtree_control", errno.EBUSY): "on v2 a group that holds processes cannot hand these controllers down: move its processes to a child group first",
    ("cgroup.subtree_control", errno.EOPNOTSUPP): "the group is in a threaded subtree, where only cpu, cpuset, perf_event and pids can be handed down",
    ("cgroup.subtree_control", errno.ENOENT): "the parent does not hand this controller down",
    ("misc.max", errno.EINVAL): "the machine has no such resource: misc.capacity of the root lists those there are",
    ("rdma.max", errno.EINVAL): "no RDMA device of that name is there",
    ("rdma.max", errno.ENODEV): "no RDMA device of that name is there",
    ("io.max", errno.ENODEV): "the device is gone, or is a partition",
    ("devices.allow", errno.EPERM): "on v1 a group can allow only what its parent allows",
    ("devices.allow", errno.EINVAL): "on v1 'everything' can be allowed or denied only while the group has no child groups",
    ("devices.deny", errno.EINVAL): "on v1 'everything' can be allowed or denied only while the group has no child groups",
}


def hint_for(path: str, code: int) -> str:
    """What a refusal means for this file, where that is known."""
    name = path.rpartition("/")[2]
    if code in (errno.ENOENT, errno.ENODEV) and name.count("."):
        return "this kernel has no such file in the group: the feature is not built in, or switched off at boot"
    if code in (errno.EACCES, errno.EPERM, errno.EROFS) and (name, code) not in _HINTS:
        return "run as root (become: true), outside a container that has the hierarchy read-only"
    known = _HINTS.get((name, code), "")
    if not known and code in (errno.EINVAL, errno.ERANGE):
        return "the kernel does not take this value for %s: its document (admin-guide/cgroup-v1 or cgroup-v2.rst) says what it takes" % name
    return known


# After how many rounds of killing a group is frozen for the next.
_FORKS_ON = 5
# How often a write is tried again when something below the group gets in its way in the meantime.
_TRIES = 50


class SetKnob(WriteFile):
    """Write one setting.

    clear: brings the groups below into line, for a group whose limits they must not hold up.
    """

    clear: Callable[[], None] | None = None

    def __init__(self, group: Group, setting: Setting, before: str | None) -> None:
        """before: the canonical spelling of what is there now; None in a new group."""
        format = setting.file.format
        restore = None if before is None else format.restored(before, setting.key)
        super().__init__(setting.hierarchy.tree, group.name + "/" + setting.file.name, before, format.written(setting.value, setting.key), restore)
        self.setting = setting
        self.group = group.name
        self.called = group.called

    def do(self) -> None:
        for _try in range(_TRIES if self.clear else 0):
            try:
                return super().do()
            except OSError as error:
                if error.errno not in (errno.EINVAL, errno.EBUSY) or self.clear is None:
                    raise
                self.clear()
        return super().do()

    def explain(self, error: OSError) -> BulkheadError:
        problem = "%s: %s could not be set to %s (%r written to %s)" % (self.called, self.setting.option, self.setting.asked, self.after, self.target)
        return BulkheadError.from_os(problem, error, target=self.target, value=self.after, hint=hint_for(self.path, error.errno or 0))


class SetCpuset(SetKnob):
    """Give a v1 cpuset one of its own, so that it follows the group above it no longer."""

    _followed = False

    def do(self) -> None:
        super().do()
        mark = INHERITS + self.setting.file.name
        self._followed = self.tree.marked(self.group, mark)
        if self._followed:
            self.tree.unmark(self.group, mark)

    def undo(self) -> None:
        super().undo()
        if self._followed:
            self.tree.mark(self.group, INHERITS + self.setting.file.name)


class SetIdle(SetKnob):
    """Make a group idle, or no longer so. The kernel forgets its weight both times (sched_group_set_idle(), kernel/sched/fair.c)."""

    def do(self) -> None:
        file = BY_OPTION["cpu.weight"].files(self.setting.hierarchy.version)[0]
        self._weight = "%s/%s" % (self.group, file.name)
        self._held = file.format.restored(file.format.normal(self.tree.read(self._weight)))
        super().do()

    def undo(self) -> None:
        super().undo()
        if self.restore == "0":
            self.tree.write(self._weight, self._held)


class SetSoftLimit(SetKnob):
    """Set a soft limit of v1. Some kernels take every value and keep none (mem_cgroup_write(), mm/memcontrol-v1.c), which no file tells beforehand."""

    def do(self) -> None:
        super().do()
        held = self.setting.file.format.normal(self.tree.read(self.path))
        if held != self.setting.kept:
            super().undo()
            raise BulkheadError(
                "%s: %s cannot be had: this kernel takes what is written to %s and keeps nothing of it" % (self.called, self.setting.option, self.target),
                target=self.target,
                value=self.after,
                hint="newer kernels have no soft limits on cgroup v1: leave it out, or boot with cgroup v2, where memory.low and memory.min protect memory",
            )


class WriteCore(WriteFile):
    """Write a file that the plan itself needs: controllers handed down, CPUs that a new v1 cpuset starts with."""

    def explain(self, error: OSError) -> BulkheadError:
        return BulkheadError.from_os(
            "%r could not be written to %s" % (self.after, self.target), error, target=self.target, value=self.after, hint=hint_for(self.path, error.errno or 0)
        )


class Fit(WriteCore):
    """Bring a group below another one into line with what that is to have.

    Whether it worked is told by the write to the group above, which is tried again: what is below may be gone, or change meanwhile.
    """

    _done = False

    def do(self) -> None:
        with contextlib.suppress(OSError):
            super().do()
            self._done = True

    def undo(self) -> None:
        if self._done:
            with contextlib.suppress(OSError):
                super().undo()


class Fill(WriteCore):
    """Give an empty v1 cpuset what the first one above it has: without CPUs and memory nodes it takes no process."""

    def __init__(self, tree: Tree, path: str, after: str) -> None:
        super().__init__(tree, path, "", after, restore="\n")


class Inherit(WriteCore):
    """Give a new v1 cpuset what the group above it has, with the mark of one that follows that group."""

    def __init__(self, tree: Tree, path: str, after: str) -> None:
        super().__init__(tree, path, None, after)

    def do(self) -> None:
        super().do()
        group, _slash, file = self.path.rpartition("/")
        with contextlib.suppress(OSError):  # without it, a CPU that goes and returns does not come back
            self.tree.mark(group, INHERITS + file)


class GiveBack(WriteCore):
    """Give a v1 cpuset above a group the CPUs or memory nodes that it lost while they were gone."""


class MakeGroup(MakeDirectory):
    """Make a group in one hierarchy. One that another run has made since the plan was, on its way to a group of its own, is there and stays."""

    _made = True

    def __init__(self, tree: Tree, path: str, follows: bool = False) -> None:
        """follows: mark it as a group to which those below give way."""
        super().__init__(tree, path)
        self.follows = follows

    def do(self) -> None:
        try:
            super().do()
        except FileExistsError:
            if not os.path.isdir(self.tree.full(self.path)):
                raise
            self._made = False
        if self.follows:
            with contextlib.suppress(OSError):  # without it, a change of the groups above can be held up
                self.tree.mark(self.path, MARK)

    def undo(self) -> None:
        if self._made:
            super().undo()

    def explain(self, error: OSError) -> BulkheadError:
        hint = (
            "cgroup.max.depth or cgroup.max.descendants of a group above allows no more"
            if error.errno == errno.EAGAIN
            else hint_for(self.path, error.errno or 0)
        )
        return BulkheadError.from_os("the group %s could not be made" % self.target, error, target=self.target, hint=hint)


# What a group may have been given by name beside its limits, {version: {controller, "" for every group: files}}.
_BESIDE_LIMITS: dict[int, dict[str, tuple[str, ...]]] = {
    1: {"": ("notify_on_release", "cgroup.clone_children"), "memory": ("memory.swappiness",)},
    2: {"": ("cgroup.max.depth", "cgroup.max.descendants")},
}


class RemoveGroup(Step):
    """Remove one empty group from one hierarchy; undone, it comes back with its limits."""

    before = "directory"

    def __init__(self, hierarchy: Hierarchy, name: str) -> None:
        self.hierarchy = hierarchy
        self.name = name
        self.target = hierarchy.tree.full(name) + "/"
        self.saved: list[tuple[str, str]] = []

    def do(self) -> None:
        self.saved = self._settings()
        # The dead leave a group a moment after they have died.
        if not wait_until(self._gone, 2.0):
            with contextlib.suppress(FileNotFoundError):
                self.hierarchy.tree.rmdir(self.name)

    def _gone(self) -> bool:
        tree = self.hierarchy.tree
        try:
            tree.rmdir(self.name)
        except FileNotFoundError:
            return True
        except OSError as error:
            if error.errno != errno.EBUSY:
                raise
            # Groups that were made in it since it was looked at go with it.
            head, _slash, name = self.name.rpartition("/")
            with contextlib.suppress(OSError):
                cgroupfs.remove_tree(tree.full(head), name)
            return not tree.exists(self.name)
        return True

    def _settings(self) -> list[tuple[str, str]]:
        """(file, text) of what is limited here, to bring it back."""
        tree, version = self.hierarchy.tree, self.hierarchy.version
        found = []
        for knob in KNOBS:
            if not (knob.controller in self.hierarchy.controllers or (knob.controller == "io" and "blkio" in self.hierarchy.controllers)):
                continue
            for file in knob.files(version):
                text = tree.read_short("%s/%s" % (self.name, file.name))
                if text is not None:
                    found.append((file.name, file.format.restored(file.format.normal(text))))
        for controller, files in _BESIDE_LIMITS[version].items():
            for name in files if not controller or controller in self.hierarchy.controllers else ():
                text = tree.read_short("%s/%s" % (self.name, name))
                if text is not None:
                    found.append((name, text.strip()))
        if version == 2:
            enabled = tree.read_short(self.name + "/cgroup.subtree_control")
            if enabled:
                found.append(("cgroup.subtree_control", " ".join("+" + name for name in enabled.split())))
        return found

    def undo(self) -> None:
        tree = self.hierarchy.tree
        tree.mkdir(self.name)
        waiting = self.saved
        # Some limits must come before others (memory before memory and swap): go round while anything is taken.
        while waiting:
            refused = []
            for file, text in waiting:
                try:
                    tree.write("%s/%s" % (self.name, file), text)
                except OSError:
                    refused.append((file, text))
            if len(refused) == len(waiting):
                break
            waiting = refused

    def explain(self, error: OSError) -> BulkheadError:
        inside = pids_in(self.hierarchy, self.name)
        hint = (
            "it holds %s" % processes.described(inside)
            if inside
            else "it has child groups"
            if error.errno == errno.EBUSY
            else hint_for(self.name, error.errno or 0)
        )
        return BulkheadError.from_os("the group %s could not be removed" % self.target, error, target=self.target, hint=hint)


def pids_in(hierarchy: Hierarchy, group: str) -> list[int]:
    """The processes directly in a group; none where it is not there."""
    for file in ("cgroup.procs", "cgroup.threads"):
        try:
            return sorted({int(pid) for pid in hierarchy.tree.read("%s/%s" % (group, file)).split()})
        except OSError as error:
            if error.errno in (errno.ENOENT, errno.ENODEV):
                return []
            if error.errno != errno.EOPNOTSUPP:  # a threaded group lists threads only
                raise
    return []


class MoveProcess(Step):
    """Move a process, with all of its threads, into a group of one hierarchy."""

    def __init__(self, hierarchy: Hierarchy, group: str, pid: int, homes: dict[int, str]) -> None:
        """homes: the group that each thread is in now."""
        self.hierarchy = hierarchy
        self.group = group
        self.pid = pid
        self.homes = homes
        self.target = hierarchy.tree.full(group + "/cgroup.procs")
        self.before = "%d in /%s" % (pid, ", /".join(sorted(set(homes.values()))))
        self.after = "%d" % pid

    def do(self) -> None:
        for _round in range(100):
            self.hierarchy.tree.write(self.group + "/cgroup.procs", str(self.pid))
            # A thread that was being made during the write may have been missed on old kernels: look until none is.
            if not outside(self.hierarchy, self.group, self.pid):
                return
        raise BulkheadError(
            "process %d could not be moved into %s: it makes threads faster than they can be moved" % (self.pid, self.target), target=self.target
        )

    def undo(self) -> None:
        tree = self.hierarchy.tree
        homes = sorted(set(self.homes.values()))
        for home in homes[:1] if homes else []:
            try:
                tree.write((home + "/" if home else "") + "cgroup.procs", str(self.pid))
            except ProcessLookupError:
                return
        if len(homes) > 1:
            file = "tasks" if self.hierarchy.version == 1 else "cgroup.threads"
            for tid, home in self.homes.items():
                try:
                    tree.write((home + "/" if home else "") + file, str(tid))
                except ProcessLookupError:
                    pass

    def explain(self, error: OSError) -> BulkheadError:
        who = "process %d (%s)" % (self.pid, processes.name_of(self.pid) or "gone")
        return BulkheadError.from_os(
            "%s could not be moved into %s" % (who, self.target), error, target=self.target, value=self.after, hint=hint_for("cgroup.procs", error.errno or 0)
        )


def outside(hierarchy: Hierarchy, group: str, pid: int) -> dict[int, str]:
    """{thread: its group} of those threads of a process that are not in the group."""
    found = {}
    for tid in processes.threads_of(pid):
        home = hierarchy.group_of(pid, tid)
        if home is not None and home != group:
            found[tid] = home
    if found:  # the dead are moved nowhere, and wait where they were
        alive = set(processes.live_threads_of(pid))
        found = {tid: home for tid, home in found.items() if tid in alive}
    return found


class Freeze(Step):
    """Freeze or thaw a group and wait until it is so; v2 cgroup.freeze, v1 freezer.state."""

    def __init__(self, hierarchy: Hierarchy, group: str, frozen: bool, was: bool) -> None:
        self.hierarchy = hierarchy
        self.group = group
        self.file = "cgroup.freeze" if hierarchy.version == 2 else "freezer.state"
        self.target = hierarchy.tree.full(group + "/" + self.file)
        self.before, self.after = self._word(was), self._word(frozen)
        self.frozen, self.was = frozen, was

    def _word(self, frozen: bool) -> str:
        if self.hierarchy.version == 2:
            return "1" if frozen else "0"
        return "FROZEN" if frozen else "THAWED"

    def _turn(self, frozen: bool) -> None:
        self.hierarchy.tree.write("%s/%s" % (self.group, self.file), self._word(frozen))

    def do(self) -> None:
        self._turn(self.frozen)
        if not wait_until(lambda: is_frozen(self.hierarchy, self.group) is self.frozen, _PATIENCE):
            self._turn(self.was)
            raise BulkheadError(
                "group %s did not become %s within %d seconds" % (self.group, self._word(self.frozen), _PATIENCE),
                target=self.target,
                hint="a process waits in the kernel where it cannot be stopped, or a group above is frozen: %s"
                % processes.described(pids_in(self.hierarchy, self.group)),
            )

    def undo(self) -> None:
        self._turn(self.was)


def is_frozen(hierarchy: Hierarchy, group: str) -> bool | None:
    """Whether the group is frozen by itself and through; None where it is not there."""
    tree = hierarchy.tree
    if hierarchy.version == 2:
        if tree.read_short(group + "/cgroup.freeze") != "1":
            return False
        return "frozen 1" in (tree.read_short(group + "/cgroup.events") or "")
    asked = tree.read_short(group + "/freezer.self_freezing")
    return None if asked is None else asked == "1" and tree.read_short(group + "/freezer.state") == "FROZEN"


class KillGroup(Step):
    """Kill every process in a group and below it, and wait until the last is gone. What is killed stays so.

    What is below it is looked at when it is killed, and again until nothing is left: a process may fork and make groups meanwhile.
    together: the kills of one plan, all of which begin with the first, so that their waiting is one.
    """

    after = "no processes"

    def __init__(self, hierarchy: Hierarchy, group: str, pids: list[int], freezer: Hierarchy | None = None) -> None:
        """pids: those seen inside, for messages; freezer: the v1 hierarchy in which the same groups may be frozen."""
        self.hierarchy = hierarchy
        self.freezer = freezer or hierarchy
        self.group = group
        self.target = hierarchy.tree.full(group)
        self.before = "processes " + processes.described(pids)
        self.together: list[KillGroup] = [self]
        self._deadline = 0.0

    def do(self) -> None:
        for kill in self.together:
            if not kill._deadline:
                kill._begin()
        rounds = itertools.count()
        if not wait_until(lambda: not self._signal(next(rounds)), max(1.0, self._deadline - time.monotonic())):
            self._fail()

    def _begin(self) -> None:
        self._deadline = time.monotonic() + _PATIENCE
        if self.hierarchy.version == 2:
            with contextlib.suppress(OSError):  # it came with Linux 5.14, and threaded groups have none
                self.hierarchy.tree.write(self.group + "/cgroup.kill", "1")
        self._signal(0)

    def _fail(self) -> NoReturn:
        frozen = self.freezer.version == 1 and self.freezer.tree.read_short(self.group + "/freezer.parent_freezing") == "1"
        raise BulkheadError(
            "%s still holds %s, which SIGKILL did not end" % (self.target, processes.described(self._inside())),
            target=self.target,
            hint="a group above it is frozen: thaw that first" if frozen else "",
        )

    def _inside(self) -> list[int]:
        return sorted({pid for group in cgroupfs.walk(self.target) for pid in cgroupfs.processes_of(group)})

    def _signal(self, round: int) -> bool:
        """Kill what is there now, by number: on v1 there is no other way, so the caller looks again until none is left."""
        if round >= _FORKS_ON:  # they fork faster than they are killed: in a frozen group nobody does
            self._freeze(self.group, "FROZEN")
        found = cgroupfs.kill(self.target)
        if found or round >= _FORKS_ON:  # on v1 what is frozen does not die before it is thawed
            self._freeze(self.group, "THAWED", whole=True)
        return found

    def _freeze(self, name: str, word: str, whole: bool = False) -> None:
        """Freeze or thaw a group on v1, or each group below it as well: what is inside may have frozen itself."""
        for group in cgroupfs.walk(self.freezer.tree.full(name)) if self.freezer.version == 1 else ():
            with contextlib.suppress(OSError):
                if cgroupfs.read("freezer.state", group).strip() != word:
                    cgroupfs.write("freezer.state", word, group)
            if not whole:
                break

    def undo(self) -> None:
        """Processes do not come back; the plan kills only after everything has been checked."""
