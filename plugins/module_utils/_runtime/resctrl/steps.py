# Copyright: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""The changes that can be made to the file system, each with its undoing and with the error that a user reads when it is refused."""

from __future__ import annotations

import errno
from functools import partial

from .. import units
from ..errors import BulkheadError
from ..kernel import processes
from ..kernel.files import Tree
from ..plan import MakeDirectory, ReplaceFile, Step
from . import schemata, words
from .facts import Facts
from .observation import EXCLUSIVE, SHAREABLE, Observation

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from .schemata import Cell, Cells

# kernfs takes no more than a page in one write (E2BIG, fs/kernfs/file.c).
_LONGEST_WRITE = 4095


def _called(name: str) -> str:
    return "group " + name if name else "the default group"


def _beneath(group: str, file: str) -> str:
    return group + "/" + file if group else file


class WriteSchemata(Step):
    """Write some cells of a group's schemata, in one write, which the kernel takes as a whole or not at all."""

    def __init__(self, tree: Tree, group: str, before: Cells | None, after: Cells, restore: Cells | None = None, undoable: bool = True) -> None:
        """before: None in a new group. restore: what to write to bring before back, where a value that is read must not be written."""
        self.tree = tree
        self.group = group
        self.path = _beneath(group, "schemata")
        self.target = tree.full(self.path)
        self.before = None if before is None else schemata.format(before)
        self.after = schemata.format(after)
        self.cells = after
        self._back = restore if restore is not None else before

    def do(self) -> None:
        try:
            for text in _chunks(self.after or ""):
                words.attempt(self.tree, partial(self.tree.write, self.path, text + "\n"), clears=True)
        except OSError:
            # Under mba_MBps the kernel takes bandwidth as it reads, so what stood before the refused value holds already (parse_bw()).
            bandwidth = {cell: value for cell, value in (self._back or {}).items() if not schemata.is_cache(cell[0])}
            if bandwidth:
                try:
                    self.tree.write(self.path, schemata.format(bandwidth) + "\n")
                except OSError:
                    pass
            raise

    def undo(self) -> None:
        if self._back:
            for text in _chunks(schemata.format(self._back)):
                try:
                    self.tree.write(self.path, text + "\n")
                except FileNotFoundError:
                    return

    def differences(self) -> list[tuple[str, str | None, str | None]]:
        """One for each line of the file."""
        held = {line.partition(":")[0]: line for line in (self.before or "").splitlines()}
        return [(self.target, held.get(line.partition(":")[0]), line) for line in (self.after or "").splitlines()]

    def explain(self, error: OSError) -> BulkheadError:
        said = words.of(error)
        line = next((line for line in (self.after or "").splitlines() if _is_about(line, said)), "")
        problem = "%s: %s could not be written to %s" % (_called(self.group), ("the line %r" % line) if line else repr(self.after), self.target)
        return BulkheadError.from_os(problem, error, target=self.target, value=self.after, kernel=said, hint=words.hint_for(error))


def _is_about(line: str, said: str) -> bool:
    """Whether the kernel's words can only be about this line."""
    return ("'%s'" % line.partition(":")[0]) in said or (said.startswith("MB value") and line.startswith(("MB", "SMBA")))


def _chunks(text: str) -> list[str]:
    """The text in parts that the kernel takes in one write: one in nearly every case, cut between lines."""
    if len(text) <= _LONGEST_WRITE:
        return [text]
    return text.split("\n")


class SetMode(Step):
    """Make a group exclusive or shareable."""

    def __init__(self, tree: Tree, group: str, before: str, after: str, overlaps: Callable[[], str] | None = None) -> None:
        """overlaps: who is in the way, asked only when the kernel refuses."""
        self.tree = tree
        self.group = group
        self.path = _beneath(group, "mode")
        self.target = tree.full(self.path)
        self.before = before
        self.after = after
        self._overlaps = overlaps

    def do(self) -> None:
        words.attempt(self.tree, partial(self.tree.write, self.path, "%s\n" % self.after), clears=True)

    def undo(self) -> None:
        try:
            self.tree.write(self.path, "%s\n" % self.before)
        except FileNotFoundError:
            pass

    def explain(self, error: OSError) -> BulkheadError:
        who = self._overlaps() if self._overlaps else ""
        return BulkheadError.from_os(
            "%s could not be made %s" % (_called(self.group), self.after),
            error,
            target=self.target,
            value=self.after,
            kernel=words.of(error),
            hint=who or words.hint_for(error),
        )


class MakeGroup(MakeDirectory):
    """Make a class or a monitoring group."""

    def __init__(self, tree: Tree, path: str, who_holds: Callable[[bool], str]) -> None:
        """who_holds: who has all the classes, or the monitoring ids too, asked only when none is left."""
        super().__init__(tree, path)
        self._who_holds = who_holds

    def do(self) -> None:
        words.attempt(self.tree, partial(self.tree.mkdir, self.path), clears=False)

    def explain(self, error: OSError) -> BulkheadError:
        hint = words.hint_for(error)
        if error.errno == errno.ENOSPC:
            who = "there are %s" % self._who_holds("RMIDs" in words.of(error))
            hint = "%s; %s" % (hint, who) if hint else who
        return BulkheadError.from_os("the group %s could not be made" % self.target, error, target=self.target, kernel=words.of(error), hint=hint)


class Kept:
    """Everything that a group is, so that it can come back: masks, mode, CPUs, tasks, and the same of its monitoring groups."""

    def __init__(self, seen: Observation, name: str) -> None:
        self.name = name
        self.cells = dict(seen.cells(name))
        self.mode = seen.mode(name)
        self.cpus = seen.cpus(name)
        self.tasks = seen.tasks(name)
        self.monitors = {monitor: (seen.cpus(path), seen.tasks(path)) for monitor in seen.monitors(name) for path in [_beneath(name, "mon_groups/" + monitor)]}

    def described(self) -> str:
        """In words, for a plan."""
        parts = [" ".join(schemata.format(self.cells).splitlines()) or "pseudo-locked"]
        if self.mode != SHAREABLE:
            parts.append(self.mode)
        if self.cpus:
            parts.append("CPUs " + units.format_list(self.cpus))
        if self.tasks:
            parts.append("%d tasks" % len(self.tasks))
        if self.monitors:
            parts.append("monitoring groups " + " ".join(sorted(self.monitors)))
        return ", ".join(parts)

    def bring_back(self, tree: Tree, cells: Cells | None = None) -> None:
        """Make the group again as it was."""
        if self.name:
            tree.mkdir(self.name)
        for text in _chunks(schemata.format(self.cells if cells is None else cells)):
            if text:
                tree.write(_beneath(self.name, "schemata"), text + "\n")
        if self.mode == EXCLUSIVE:
            tree.write(_beneath(self.name, "mode"), "exclusive\n")
        if self.cpus and self.name:
            tree.write(_beneath(self.name, "cpus_list"), units.format_list(self.cpus) + "\n")
        if self.name:
            put_tasks(tree, self.name, sorted(self.tasks))
        for monitor, (cpus, tasks) in self.monitors.items():
            path = _beneath(self.name, "mon_groups/" + monitor)
            tree.mkdir(path)
            if cpus:
                tree.write(path + "/cpus_list", units.format_list(cpus) + "\n")
            put_tasks(tree, path, sorted(tasks))


class RemoveGroup(Step):
    """Remove a class with its monitoring groups; its tasks and CPUs go to the default group."""

    def __init__(self, tree: Tree, seen: Observation, group: str, restore: Cells | None = None) -> None:
        """restore: as for WriteSchemata."""
        self.tree = tree
        self.group = group
        self.target = tree.full(group) + "/"
        self._kept = Kept(seen, group)
        self._restore = {**self._kept.cells, **restore} if restore else None
        self.before = self._kept.described()
        going = [part for part in ("%d tasks" % len(self._kept.tasks) if self._kept.tasks else "", "its CPUs" if self._kept.cpus else "") if part]
        self.goes = "%s go to the default group" % " and ".join(going) if going else ""
        self.after = self.goes or None

    def do(self) -> None:
        try:
            words.attempt(self.tree, partial(self.tree.rmdir, self.group), clears=False)
        except FileNotFoundError:
            pass

    def undo(self) -> None:
        self._kept.bring_back(self.tree, self._restore)

    def explain(self, error: OSError) -> BulkheadError:
        return BulkheadError.from_os(
            "the group %s could not be removed" % self.target, error, target=self.target, kernel=words.of(error), hint=words.hint_for(error)
        )


class RemoveMonitor(Step):
    """Remove a monitoring group; its tasks and CPUs stay in the class."""

    def __init__(self, tree: Tree, seen: Observation, path: str) -> None:
        self.tree = tree
        self.path = path
        self.target = tree.full(path) + "/"
        self._cpus, self._tasks = seen.cpus(path), seen.tasks(path)
        self.before = "directory"

    def do(self) -> None:
        try:
            words.attempt(self.tree, partial(self.tree.rmdir, self.path), clears=False)
        except FileNotFoundError:
            pass

    def undo(self) -> None:
        self.tree.mkdir(self.path)
        if self._cpus:
            self.tree.write(self.path + "/cpus_list", units.format_list(self._cpus) + "\n")
        put_tasks(self.tree, self.path, sorted(self._tasks))


class WriteCpus(Step):
    """Give a group its CPUs. What it takes from others, other steps have taken before."""

    def __init__(self, tree: Tree, group: str, before: frozenset[int], after: frozenset[int]) -> None:
        self.tree = tree
        self.path = _beneath(group, "cpus_list")
        self.group = group
        self.target = tree.full(self.path)
        self.before = units.format_list(before)
        self.after = units.format_list(after)

    def _write(self, text: str) -> None:
        self.tree.write(self.path, text + "\n")

    def do(self) -> None:
        words.attempt(self.tree, partial(self._write, self.after or ""), clears=False)

    def undo(self) -> None:
        try:
            self._write(self.before or "")
        except FileNotFoundError:
            pass

    def explain(self, error: OSError) -> BulkheadError:
        return BulkheadError.from_os(
            "%s could not be given the CPUs %s" % (_called(self.group), self.after or "none"),
            error,
            target=self.target,
            value=self.after,
            kernel=words.of(error),
            hint=words.hint_for(error),
        )


class MoveTasks(Step):
    """Move tasks into a group, and go on until a look finds none that is outside: threads are made while others are moved."""

    _MOST_PASSES = 100

    def __init__(self, tree: Tree, group: str, wanted: Callable[[], set[int]], homes: dict[int, str], optional: bool) -> None:
        """wanted: the threads that belong there, by a new look each time. homes: {thread: group} of those that are elsewhere now.

        optional: whether a thread that is gone is nothing to complain about, as it came from a look and not from the user.
        """
        self.tree = tree
        self.group = group
        self.wanted = wanted
        self.homes = homes
        self.optional = optional
        self.target = tree.full(_beneath(group, "tasks"))
        counts: dict[str, int] = {}
        for home in homes.values():
            counts[home] = counts.get(home, 0) + 1
        self.before = ", ".join("%d in %s" % (count, home or "the default group") for home, count in sorted(counts.items()))
        self.after = _listed(sorted(homes))
        self._moved: dict[int, str] = {}

    def do(self) -> None:
        missing = sorted(self.homes)
        for _pass in range(self._MOST_PASSES):
            gone = put_tasks(self.tree, self.group, missing)
            if gone and not self.optional and _pass == 0 and not self.wanted():
                raise ProcessLookupError(errno.ESRCH, "No such process", self.target)
            self._moved.update((tid, self.homes.get(tid, "")) for tid in missing if tid not in gone)
            inside = {int(line) for line in self.tree.read(_beneath(self.group, "tasks")).split()}
            missing = sorted(self.wanted() - inside)
            if not missing:
                return
        raise BulkheadError("%s: tasks are made faster than they can be moved" % self.target, target=self.target, hint="%d are still outside" % len(missing))

    def differences(self) -> list[tuple[str, str | None, str | None]]:
        return [(self.target, self.before, "%d here" % len(self.homes))]

    def undo(self) -> None:
        by_home: dict[str, list[int]] = {}
        for tid, home in self._moved.items():
            by_home.setdefault(home, []).append(tid)
        for home, tids in by_home.items():
            try:
                if "mon_groups/" in home:  # which takes tasks of its own class only
                    put_tasks(self.tree, home.partition("mon_groups/")[0].rstrip("/"), tids)
                put_tasks(self.tree, home, tids)
            except FileNotFoundError:
                put_tasks(self.tree, "", tids)

    def explain(self, error: OSError) -> BulkheadError:
        return BulkheadError.from_os(
            "tasks could not be moved into %s" % _called(self.group),
            error,
            target=self.target,
            value=self.after,
            kernel=words.of(error) or words.read(self.tree),
            hint=words.hint_for(error),
        )


def _listed(tids: list[int], most: int = 20) -> str:
    return ",".join(str(tid) for tid in tids[:most]) + (" and %d more" % (len(tids) - most) if len(tids) > most else "")


def put_tasks(tree: Tree, group: str, tids: list[int]) -> set[int]:
    """Move threads, many in a write; returns those that were gone. A write stops at the first that cannot be moved.

    Kernels before 6.7 take one number in a write only, and refuse a list with EINVAL.
    """
    gone: set[int] = set()
    path = _beneath(group, "tasks")
    at_a_time = 400
    waiting = list(tids)
    while waiting:
        batch, waiting = waiting[:at_a_time], waiting[at_a_time:]
        try:
            tree.write(path, ",".join(map(str, batch)) + "\n")
        except OSError as error:
            if len(batch) == 1 and error.errno == errno.ESRCH:
                gone.add(batch[0])
            elif len(batch) > 1 and error.errno in (errno.ESRCH, errno.EINVAL):
                at_a_time = 1  # what was moved already is moved again without harm
                waiting = batch + waiting
            else:
                error.words = words.read(tree)  # type: ignore[attr-defined]
                raise
    return gone


def home_of(seen: Observation, tid: int) -> str | None:
    """The group of a thread, a monitoring group as class/mon_groups/name; None when the thread is gone."""
    try:
        found = processes.resctrl_group_of(tid)
    except OSError:
        found = None
    if found is not None and (found[0] or found[1] or tid in seen.tasks("")):
        return _beneath(found[0], "mon_groups/" + found[1]) if found[1] else found[0]
    if processes.leader_of(tid) is None:
        return None
    return next((name for name in seen.groups if tid in seen.tasks(name)), "")


class KeepFacts(Step):
    """Write down what was done. What the kernel made of bandwidths whose rounding is not known is read for it first."""

    bookkeeping = True

    def __init__(self, path: str, facts: Facts, signature: str, unsure: list[tuple[str, Cell, int]], tree: Tree) -> None:
        """unsure: (group, cell, value that was asked) of bandwidths to be read back."""
        self.target = path
        self._facts = facts
        self._signature = signature
        self._unsure = unsure
        self._tree = tree
        self.before = _known(facts.held)
        self.after = _known(facts.groups)

    def do(self) -> None:
        seen: dict[str, Cells] = {}
        for group, cell, asked in self._unsure:
            if group not in seen:
                seen[group] = schemata.flat(schemata.parse(self._tree.read(_beneath(group, "schemata"))))
            if cell in seen[group]:
                self._facts.ask(group, cell, asked, seen[group][cell])
        ReplaceFile(self.target, self._facts.text, self._facts.spelled(self._signature)).do()

    def undo(self) -> None:
        ReplaceFile(self.target, None, self._facts.text).do()


def _known(groups: dict[str, dict[str, Any]]) -> str | None:
    """Of which groups something is written down, for a plan."""
    names = sorted(name or "the default group" for name, entry in groups.items() if any(entry.values()))
    return "what was done to " + ", ".join(names) if names else None
