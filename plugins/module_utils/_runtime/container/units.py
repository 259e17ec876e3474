# Copyright: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Containers as units of systemd: their unit files, the steps that start, stop and remove them, and what systemd knows of them.

The container web is bulkhead-web.service in bulkhead.slice, with Delegate=yes. Its main process is ours (unit.py), and the
container's control group is below the unit's, where systemd writes nothing: the limits there are the container's alone,
not its supervisor's too, can be all that the kernel has, and outlast every daemon-reload.
"""

from __future__ import annotations

import json
import os
import select
import time

from .. import pack
from ..cgroup import slices
from ..cgroup.host import Host
from ..cgroup.units import PERSISTENT, RUNTIME, Reload, UnitFile
from ..errors import BulkheadError
from ..kernel import syscalls, systemd
from ..kernel.files import read_text
from ..plan import MakeLink, Step
from . import enter as _enter  # noqa: F401  (part of what is left on the node)
from . import groups, payload, state
from . import unit as _unit  # noqa: F401
from .paths import Paths
from .specfile import WriteSpec
from .wire import to_json

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .steps import Call

_WANTS = "multi-user.target.wants"
_SYSTEM_PYTHON = "/usr/bin/python3"
_MARK = "# Made by bulkhead.linux (container_run)"
_RESTARTS = {"no": "no", "on-failure": "on-failure", "always": "always", "unless-stopped": "always"}
# How long systemd may take beyond the container's own time to end, and how long a unit may be between two states.
_MARGIN = 15
_PATIENCE = 600.0
_SHOWN = ("ActiveState", "SubState", "Result", "NRestarts")


def ours(record: dict[str, Any] | None) -> bool:
    """Whether systemd supervises the container of this record or configuration."""
    return bool(record) and ((record or {}).get("config") or record or {}).get("supervisor") == "systemd"


def name_of(container: str) -> str:
    return "bulkhead-%s.service" % container


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
        "enabled": os.path.islink("%s/%s/%s" % (PERSISTENT, _WANTS, name_of(container))),
    }


def spec_path(container: str, root: str, paths: Paths) -> str:
    """The file that says what the container is made of, kept as long as its unit is."""
    return "%s/%s.json" % (paths.unit_specs[root != PERSISTENT], container)


def spec_of(container: str, paths: Paths) -> dict[str, Any] | None:
    """What the container's unit starts; None where it has none, or it cannot be read."""
    for root in (PERSISTENT, RUNTIME):
        text = read_text(spec_path(container, root, paths)) if os.path.exists("%s/%s" % (root, name_of(container))) else None
        try:
            if text:
                spec: dict[str, Any] = json.loads(text)
                return spec
        except ValueError:
            pass
    return None


def names(paths: Paths) -> list[str]:
    """The containers that have such a file."""
    found = set()
    for directory in paths.unit_specs:
        for name in os.listdir(directory) if os.path.isdir(directory) else []:
            if name.endswith(".json") and not name.startswith("."):
                found.add(name[: -len(".json")])
    return sorted(found)


def _python() -> str:
    """The interpreter by the name that outlives an upgrade of the machine, where it has one."""
    return _SYSTEM_PYTHON if os.path.realpath(_SYSTEM_PYTHON) == pack.interpreter() else pack.interpreter()


def unit_text(config: dict[str, Any], resources: dict[str, Any], spec: str, paths: Paths) -> str:
    """The unit file of a container."""
    policy = config["restart_policy"]
    once = policy["name"] == "on-failure" and policy["max"]
    group_dies = str((resources.get("memory") or {}).get("oom_group") or "0").lower() in ("1", "true", "yes", "on")
    lines = [
        "%s; what is changed here is lost." % _MARK,
        "[Unit]",
        "Description=Container %s" % config["name"],
        "RequiresMountsFor=%s" % paths.lib,
    ]
    if config["network"]["mode"] == "host":
        lines.append("After=network.target")
    # However often it ends it may be started again, but where a number of times was given.
    lines += ["StartLimitIntervalSec=infinity", "StartLimitBurst=%d" % (policy["max"] + 1)] if once else ["StartLimitIntervalSec=0"]
    lines += [
        "",
        "[Service]",
        "Type=notify",
        "NotifyAccess=main",
        "ExecStart=%s -I -S %s run-unit %s" % (_python(), paths.core, spec),
        "Slice=%s" % groups.slice_of(config),
        "Delegate=yes",
        "Restart=%s" % _RESTARTS[policy["name"]],
        "RestartSec=1",
        "KillMode=mixed",
        "TimeoutStartSec=%d" % _PATIENCE,
        "TimeoutStopSec=%d" % (config["stop_timeout"] + _MARGIN),
        # One process that is killed for want of memory does not end a container, unless all of it is to be killed.
        "OOMPolicy=%s" % ("stop" if group_dies else "continue"),
        "TasksMax=infinity",
        "SyslogIdentifier=%s" % config["name"],
        "StandardOutput=journal",
        "StandardError=journal",
    ]
    if paths.prefix:
        lines.append("Environment=BULKHEAD_PREFIX=%s" % paths.prefix)
    return "\n".join([*lines, "", "[Install]", "WantedBy=multi-user.target", ""])


def files(config: dict[str, Any], resources: dict[str, Any], at_boot: bool, persist: bool, paths: Paths) -> list[Step]:
    """The steps that keep a container's unit; none when it is kept already. at_boot: whether boot starts it."""
    name = config["name"]
    unit = name_of(name)
    root = PERSISTENT if persist or os.path.exists("%s/%s" % (PERSISTENT, unit)) else RUNTIME
    spec = spec_path(name, root, paths)
    found: list[Step] = []
    content = to_json({"config": config, "resources": resources}) + "\n"
    held = read_text(spec)
    if held != content:
        found.append(WriteSpec(spec, held, content))
    path = "%s/%s" % (root, unit)
    text, wanted = read_text(path), unit_text(config, resources, spec, paths)
    if text != wanted:
        found.append(UnitFile(path, text, wanted))
    link = "%s/%s/%s" % (PERSISTENT, _WANTS, unit)
    if root == PERSISTENT and os.path.islink(link) != at_boot:
        found.append(MakeLink(link, path, remove=not at_boot))
    if root == PERSISTENT:
        found += _removals(name, (RUNTIME,), paths)
    return found


def _removals(name: str, roots: tuple[str, ...], paths: Paths) -> list[Step]:
    found: list[Step] = []
    unit = name_of(name)
    link = "%s/%s/%s" % (PERSISTENT, _WANTS, unit)
    if PERSISTENT in roots and os.path.islink(link):
        found.append(MakeLink(link, "%s/%s" % (PERSISTENT, unit), remove=True))
    for root in roots:
        path = "%s/%s" % (root, unit)
        text = read_text(path)
        if text is not None and text.startswith(_MARK):
            found.append(UnitFile(path, text, None))
        spec = spec_path(name, root, paths)
        held = read_text(spec)
        if held is not None:
            found.append(WriteSpec(spec, held, None))
    return found


def removal(name: str, paths: Paths) -> list[Step]:
    """The steps that take a container's unit away."""
    return _removals(name, (PERSISTENT, RUNTIME), paths)


def not_at_boot(name: str) -> list[Step]:
    """The step after which boot does not start it."""
    unit = name_of(name)
    link = "%s/%s/%s" % (PERSISTENT, _WANTS, unit)
    return [MakeLink(link, "%s/%s" % (PERSISTENT, unit), remove=True)] if os.path.islink(link) else []


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
    """Have systemd stop a container."""

    after = "stopped"

    def __init__(self, call: Call, record: dict[str, Any], before: str) -> None:
        self.call = call
        self.record = record
        self.target = name_of(record["id"])
        self.before = before

    def do(self) -> None:
        systemd.stop([self.target])
        systemd.forget_failures([self.target])
        _note_end(self.call.paths.state(self.record["id"]))

    def undo(self) -> None:
        if self.before in ("running", "paused", "restarting"):
            systemd.start([self.target])
            self.call.restarted.append(self.record["id"])


def _killed(by: str = "") -> dict[str, Any]:
    """How a container ended that was killed together with whoever writes it down."""
    return {"code": 137, "signal": 9, "killed_by": by}


def complete(container: str, record: dict[str, Any]) -> None:
    """Say in the record of a container that has ended how it did, where who writes that was killed with it; systemd knows why.

    So it is when the kernel kills a whole group for want of memory: at the second event of the same kill, systemd goes from
    SIGTERM to SIGKILL (service_notify_cgroup_oom_event(), src/core/service.c).
    """
    if record.get("status") == "running":
        starved = show([container])[container].get("Result") == "oom-kill"
        record.update(status="stopped", pid=0, exit=_killed("memory" if starved else ""))
        record["oom_kills"] = max(int(record.get("oom_kills") or 0), int(starved))


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


def phase(container: str, record: dict[str, Any]) -> str:
    """Where a container is that does not run now: stopped, restarting, or broken; waits while its unit is between two states."""
    deadline = time.monotonic() + _PATIENCE
    while True:
        shown = show([container])[container]
        active, sub = shown.get("ActiveState", "inactive"), shown.get("SubState", "")
        if sub == "auto-restart":
            return "restarting"
        if active in ("inactive", "failed"):
            return "stopped" if record.get("status") in ("stopped", "running") else "broken"
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
            complete(container, record)
            exit_status: dict[str, Any] = record.get("exit") or _killed()
            return exit_status


def output(container: str, invocation: str, most: int) -> str:
    """The last bytes that the container wrote to the journal; of one run, where its invocation is given."""
    command = ["journalctl", "-q", "-o", "cat", "-n", "2000", "_SYSTEMD_UNIT=" + name_of(container), "SYSLOG_IDENTIFIER=" + container]
    if invocation:
        command.append("_SYSTEMD_INVOCATION_ID=" + invocation)
    return systemd.journal(command)[-most:]
