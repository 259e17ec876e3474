# Copyright: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Containers as units of systemd: their unit files, the steps that start, stop and remove them, and what systemd knows of them.

The container web is bulkhead-web.service in bulkhead.slice, with Delegate=yes. Its main process is ours (unit.py), and the
container's control group is below the unit's, where systemd writes nothing: the limits there are the container's alone,
not its supervisor's too, can be all that the kernel has, and outlast every daemon-reload.
"""

from __future__ import annotations

import os
import select
import time

from .. import pack, slices
from ..cgroup.host import Host
from ..cgroup.steps import Freeze, is_frozen
from ..cgroup.units import Reload, UnitFile
from ..errors import BulkheadError
from ..kernel import syscalls, systemd
from ..plan import Step
from . import enter as _enter  # noqa: F401  (part of what is left on the node)
from . import groups, mountpoints, payload, state, unitfiles
from . import unit as _unit  # noqa: F401
from .paths import Paths
from .unitfiles import MARGIN, PATIENCE, is_enabled, name_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .steps import Call

# How long the journal may take, in seconds, to write down what a job wrote.
_RESULT_PATIENCE = 30.0
_SHOWN = ("ActiveState", "SubState", "Result", "NRestarts", "Job")


def ours(record: dict[str, Any] | None) -> bool:
    """Whether systemd supervises the container of this record or configuration."""
    return bool(record) and ((record or {}).get("config") or record or {}).get("supervisor") == "systemd"


def show(containers: list[str]) -> dict[str, dict[str, str]]:
    """What systemd knows of the units of these containers; one call."""
    found = systemd.show([name_of(container) for container in containers], _SHOWN)
    return {container: found.get(name_of(container)) or {} for container in containers}


def describe(container: str) -> dict[str, Any]:
    """What systemd tells of a container's unit, for people."""
    shown = show([container])[container]
    return {
        "name": name_of(container),
        "active": shown.get("ActiveState", ""),
        "sub": shown.get("SubState", ""),
        "result": shown.get("Result", ""),
        "restarts": int(shown.get("NRestarts") or 0),
        "enabled": is_enabled(container),
    }


def reloaded(file_steps: list[Step]) -> list[Step]:
    """The same steps with one reload behind them, and none where no unit file is among them."""
    units = [step for step in file_steps if isinstance(step, UnitFile)]
    if units:
        units[0].first = True
        return [*file_steps, Reload()]
    return file_steps


class ByUnit(Step):
    """A write of the kernel that the unit does when it starts: told, and seen to by the look that follows."""

    def __init__(self, step: Step) -> None:
        self.target, self.before, self.after = step.target, step.before, step.after
        self.bookkeeping = step.bookkeeping

    def do(self) -> None:
        """The unit does it."""

    def undo(self) -> None:
        """It goes with the unit."""


class StartUnits(Step):
    """Have systemd start containers, all at once, and see that each of them runs."""

    after = "running"

    def __init__(self, call: Call, containers: list[str], groups_of: list[str]) -> None:
        self.call = call
        self.containers = containers
        self.groups = groups_of
        self.target = ", ".join(name_of(container) for container in containers)
        self.before = "not running"

    def differences(self) -> list[tuple[str, str | None, str | None]]:
        return [(name_of(container), self.before, self.after) for container in self.containers]

    def do(self) -> None:
        pack.ensure(self.call.paths.core)
        units = [name_of(container) for container in self.containers]
        systemd.forget_failures(units)
        try:
            systemd.start(units)
        except BulkheadError as refused:
            self.undo()  # what did start belongs to those that did not
            for container in self.containers:
                facts = (state.read(self.call.paths.state(container)) or {}).get("error")
                if facts:
                    known = {key: facts[key] for key in ("target", "value", "errno", "kernel", "hint") if key in facts}
                    raise BulkheadError(facts["problem"], **known) from None
            raise refused

    def undo(self) -> None:
        systemd.stop([name_of(container) for container in self.containers])
        for container in self.containers:
            _note_end(self.call.paths.state(container))
        systemd.forget_failures([name_of(container) for container in self.containers])
        for group in self.groups:
            sweep(self.call.host, group, self.call.paths)


class StopUnit(Step):
    """Have systemd stop a container.

    The stops of one plan are one call: the first that is done stops all of them, while those of built-in supervisors wait as well.
    """

    after = "stopped"

    def __init__(self, call: Call, record: dict[str, Any], before: str) -> None:
        self.call = call
        self.record = record
        self.target = name_of(record["id"])
        self.before = before
        self._asked = False
        self._done = False
        self._turn_came = False
        call.stops.append(self)

    def _ask(self) -> None:
        """Have systemd begin with this stop and all others of the plan."""
        mine = [stop for stop in self._all() if not stop._asked]
        if mine:
            for stop in mine:
                stop._asked = True
            systemd.stop([stop.target for stop in mine], wait=False)

    def _all(self) -> list[StopUnit]:
        return [stop for stop in self.call.stops if isinstance(stop, StopUnit)]

    def do(self) -> None:
        self._turn_came = True
        if self._done:
            return
        try:
            for stop in self.call.stops:
                if not isinstance(stop, StopUnit):
                    stop._ask()
            self._finish()
        except BaseException:
            self.call.restart_asked()
            raise

    def _finish(self) -> None:
        """Wait until every unit of the plan has stopped, and see that its record says so."""
        left = [stop for stop in self._all() if not stop._done]
        for stop in left:
            stop._asked = True
        longest = max(int((stop.record.get("config") or {}).get("stop_timeout", 0)) for stop in left)
        systemd.stop([stop.target for stop in left], patience=longest + 4 * MARGIN + PATIENCE)
        systemd.forget_failures([stop.target for stop in left])
        for stop in left:
            _note_end(self.call.paths.state(stop.record["id"]))
            stop._done = True

    def restart_if_asked(self) -> None:
        """Undo a stop whose own turn did not come or failed: the plan undoes those before it."""
        if self._asked and not (self._done and self._turn_came):
            systemd.stop([self.target])
            self._done = True
            self.undo()

    def undo(self) -> None:
        if self.before in ("running", "paused", "restarting"):
            systemd.start([self.target])
            self.call.restarted.append(self.record["id"])
            self.call.restarted.append(self.record["id"])


class ForgetFailure(Step):
    """Have systemd forget that the unit of a container has failed: it would stay in its list, and the machine count as degraded."""

    before = "failed"
    after = None

    def __init__(self, unit: str) -> None:
        self.target = unit

    def do(self) -> None:
        systemd.forget_failures([self.target])

    def undo(self) -> None:
        """What it failed of is in the journal."""


def removal(name: str, paths: Paths) -> list[Step]:
    """Return the steps that take a container's unit away, and what systemd remembers of it."""
    found = unitfiles.removal(name, paths)
    if found and show([name])[name].get("ActiveState") == "failed":
        found.insert(0, ForgetFailure(name_of(name)))
    return found


class Thaw(Step):
    """Thaw a group that holds a container from above: that of its unit, by systemd where systemd has frozen it."""

    after = "running"
    before = "frozen"

    def __init__(self, unit: str, freeze: Freeze) -> None:
        self.unit = unit
        self.freeze = freeze
        self.target = freeze.target

    def do(self) -> None:
        systemd.freeze(self.unit, False)
        if is_frozen(self.freeze.hierarchy, self.freeze.group):
            self.freeze.do()

    def undo(self) -> None:
        systemd.freeze(self.unit, True)


def thaws(record: dict[str, Any], host: Host) -> list[Step]:
    """Return the steps that thaw a container, by whatever group of its own it is frozen. Raises BulkheadError for one above those."""
    hierarchy = host.hierarchy_of("freezer")
    own = str(record["cgroup"])
    found: list[Step] = []
    unit = own.rpartition("/")[0] if ours(record) else own
    for group in groups.frozen_by(record, host):
        freeze = Freeze(hierarchy, group, False, True)
        if group == unit and ours(record) and hierarchy.version == 2:
            found.append(Thaw(name_of(record["id"]), freeze))
        elif group == unit or group.startswith(unit + "/"):
            found.append(freeze)
        else:
            problem = "container %s is frozen with the group %s above it" % (record["id"], hierarchy.tree.full(group))
            raise BulkheadError(problem, target=freeze.target, hint="thaw that group: whoever froze it froze all that is in it")
    return list(reversed(found))


def _killed(by: str = "") -> dict[str, Any]:
    """How a container ended that was killed together with whoever writes it down."""
    return {"code": 137, "signal": 9, "killed_by": by}


def complete(container: str, record: dict[str, Any], paths: Paths) -> None:
    """Say in the record of a container that has ended how it did, where who writes that was killed with it; systemd knows why.

    So it is when the kernel kills a whole group for want of memory: at the second event of the same kill, systemd goes from
    SIGTERM to SIGKILL (service_notify_cgroup_oom_event(), src/core/service.c). Said as well: what it waits for.
    """
    if record.get("status") in ("running", "creating"):
        starved = show([container])[container].get("Result") == "oom-kill"
        record.update(status="stopped", pid=0, exit=_killed("memory" if starved else ""))
        record["oom_kills"] = max(int(record.get("oom_kills") or 0), int(starved))
    gone = mountpoints.missing(mountpoints.kept(container, paths).values()) if is_enabled(container) else []
    if gone:
        record["error"] = {"problem": "container %s: %s" % (container, mountpoints.refused(gone).problem)}


def awaited(container: str, paths: Paths) -> str:
    """Return why a container that does not run will do so without anybody's help; empty where it will not."""
    record = state.read(paths.state(container)) or {}
    if (record.get("status") == "running" and state.is_alive(record.get("monitor"))) or unitfiles.spec_of(container, paths) is None:
        return ""
    shown = show([container])[container]
    active = shown.get("ActiveState")
    if (active == "activating" and shown.get("SubState") != "auto-restart") or (active != "active" and shown.get("Job", "0") not in ("", "0")):
        return "systemd is starting it"
    gone = mountpoints.missing(mountpoints.kept(container, paths).values())
    return "it waits until %s is mounted" % " and ".join(gone) if gone and is_enabled(container) else ""


def _note_end(directory: str) -> None:
    """Where whoever writes how a container ended was killed with it: write that it ended."""
    now = state.read(directory)
    if now is not None and now["status"] != "stopped":
        now.update(status="stopped", pid=0, finished=state.now(), exit=_killed())
        state.write(directory, now)


class Sweep(Step):
    """Remove what is left of a stopped container's group in v1 hierarchies in which systemd had none for the unit."""

    before = "directory"
    after = None

    def __init__(self, host: Host, group: str, paths: Paths) -> None:
        self.host = host
        self.paths = paths
        self.group = group
        self.target = ", ".join(hierarchy.tree.full(group) for hierarchy in left_over(host, group))

    def do(self) -> None:
        sweep(self.host, self.group, self.paths)

    def undo(self) -> None:
        """A unit that starts makes its groups itself."""


def left_over(host: Host, group: str) -> list[Any]:
    """The hierarchies in which the group is that may outlive its unit: of v1, as systemd removes what it made."""
    return [hierarchy for hierarchy in host.hierarchies if hierarchy.version == 1 and hierarchy.tree.exists(group)]


def sweep(host: Host, group: str, paths: Paths) -> None:
    """Kill what is in the group, and remove it and what is above it and empty."""
    for hierarchy in left_over(host, group):
        payload.end_all(hierarchy.tree.full(group))
    with groups.making(paths):
        for hierarchy in left_over(host, group):
            payload.clear([hierarchy.tree.full(group)])
            parts = group.split("/")
            for end in range(len(parts), 0, -1):
                try:
                    hierarchy.tree.rmdir("/".join(parts[:end]))
                except OSError:
                    break


def stop_empty_slice(config: dict[str, Any], host: Host) -> None:
    """Have systemd remove the slice of the containers when the last is gone, if it came to be for them only."""
    unit = groups.slice_of(config)
    path = slices.path_of(unit)
    places = [hierarchy for hierarchy in host.hierarchies if host.is_systemds(hierarchy) and hierarchy.tree.exists(path)]
    if not places or any(hierarchy.tree.directories(path) for hierarchy in places):
        return
    if not (systemd.show([unit], ["FragmentPath"]).get(unit) or {}).get("FragmentPath"):
        systemd.stop([unit])


class LeaveSlice(Step):
    """Have systemd remove the slice that a container has left, when it was the last in it."""

    bookkeeping = True
    before = "slice"
    after = None

    def __init__(self, config: dict[str, Any], host: Host) -> None:
        self.config = config
        self.host = host
        self.target = groups.slice_of(config)

    def do(self) -> None:
        stop_empty_slice(self.config, self.host)

    def undo(self) -> None:
        """A unit that is started in it brings it back."""


def leaving(record: dict[str, Any] | None, config: dict[str, Any], host: Host) -> list[Step]:
    """Return what there is to do about the slice of a container that goes to another supervisor or into another slice."""
    if record is None or not ours(record):
        return []
    before: dict[str, Any] = record.get("config") or record
    if ours(config) and groups.slice_of(config) == groups.slice_of(before):
        return []
    return [LeaveSlice(before, host)]


def phase(container: str, record: dict[str, Any]) -> str:
    """Where a container is that does not run now: stopped, restarting, or broken; waits while its unit is between two states."""
    deadline = time.monotonic() + PATIENCE
    while True:
        shown = show([container])[container]
        active, sub = shown.get("ActiveState", "inactive"), shown.get("SubState", "")
        if sub == "auto-restart" or (active in ("activating", "active") and record.get("restarting") and state.is_alive(record.get("monitor"))):
            return "restarting"
        if active in ("inactive", "failed"):
            # What its unit has begun is whole: its files were made before.
            return "stopped" if record.get("status") in ("stopped", "running") or record.get("invocation") else "broken"
        if active == "active":
            return "running"
        if time.monotonic() > deadline:
            return "broken"
        time.sleep(0.1)


def wait_for_end(container: str, paths: Paths) -> dict[str, Any]:
    """Wait until a container has ended for good; how it ended."""
    while True:
        record = state.read(paths.state(container)) or {}
        supervisor = record.get("monitor") or {}
        if state.is_alive(supervisor):
            try:
                pidfd = syscalls.pidfd_open(supervisor["pid"])
            except ProcessLookupError:
                continue
            try:
                poll = select.poll()
                poll.register(pidfd, select.POLLIN)
                poll.poll()
            finally:
                os.close(pidfd)
        if phase(container, record) in ("stopped", "broken"):
            record = state.read(paths.state(container)) or {}
            complete(container, record, paths)
            exit_status: dict[str, Any] = record.get("exit") or _killed()
            return exit_status


def output(container: str, invocation: str, most: int, is_result: bool) -> str:
    """The last bytes that the container wrote to the journal; of one run, where its invocation is given.

    is_result: whether somebody waited for them, and rather waits on than goes without.
    """
    command = ["journalctl", "-q", "-o", "cat", "-n", "2000", "_SYSTEMD_UNIT=" + name_of(container), "SYSLOG_IDENTIFIER=" + container]
    if invocation:
        command.append("_SYSTEMD_INVOCATION_ID=" + invocation)
    return (systemd.journal(command, _RESULT_PATIENCE) if is_result else systemd.journal(command))[-most:]
