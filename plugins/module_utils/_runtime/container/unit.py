# Copyright: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""What runs as the main process of a container's unit, where systemd is the supervisor.

systemd starts it, at boot too, with the file that says what the container is. It makes the container's control group below
its own, which systemd has delegated to it, starts the container there, tells systemd that it runs, and stays: it hands the
output to the journal, hands a stop on to the container in the way that was asked for, writes the record and ends with the
container's exit status, so that systemd can judge it.

As everywhere, whatever touches a container's files runs on the read-only interpreter and loads nothing any more.
"""

from __future__ import annotations

import _signal as signal  # type: ignore[import-not-found]  # as in process.py
import gc
import json
import os
import select
import sys
import time

from ..cgroup.host import Host
from ..cgroup.planning import plan_groups
from ..errors import BulkheadError
from ..kernel import syscalls, systemd
from ..kernel.files import Tree
from ..plan import apply
from . import base, becoming, classes, groups, imports, launch, live, monitor, mountpoints, private, process, state, territory
from .journal import Journal
from .log import Log
from .paths import Paths
from .payload import PAYLOAD, SUPERVISOR
from .unitfiles import group_dies, name_of
from .wire import to_json

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Sink = Any

JOURNAL = Journal.path
_SIGKILL, _SIGTERM = 9, 15
# The most seconds between two starts that fail.
_LONGEST_PAUSE = 60
# How long, in seconds, systemd may take to see that the kernel has killed for want of memory.
_OOM_PATIENCE = 5


def tell_systemd(text: str) -> None:
    """sd_notify(3)."""
    import _socket

    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address:
        return
    end = _socket.socket(_socket.AF_UNIX, _socket.SOCK_DGRAM | _socket.SOCK_CLOEXEC)
    try:
        end.sendto(text.encode(), "\0" + address[1:] if address.startswith("@") else address)
    finally:
        end.close()


class Watched(monitor.Watched):
    """The container of a unit: whether it is started again is for systemd to say."""

    def __init__(self, spec: dict[str, Any]) -> None:
        super().__init__({**spec, "config": {**spec["config"], "log": {**spec["config"]["log"], "path": ""}}})
        self.spec = spec
        self.values = live.Values(self.directory, spec["config"])
        log = spec["config"]["log"]
        self.log: Sink = Journal(self._note_loss) if log["path"] == JOURNAL else None
        if log["path"] and log["path"] != JOURNAL:
            self.log = Log(log["path"], log["max_size"], log["max_files"], spec["log_special"])
        self.was_killed_as_one = False  # by the kernel, before systemd asked for its end

    def note_end(self, status: int) -> None:
        super().note_end(status)
        if self.was_killed_as_one and self.record["exit"]["signal"] == _SIGKILL:
            self.record["exit"]["killed_by"] = "memory"

    def _note_loss(self) -> None:
        self.record["output_lost"] = self.log.lost
        self.write()

    def again(self) -> bool:
        return False


class Supervisor(monitor.Supervisor):
    """The loop of one container whose end may be asked for by systemd, with SIGTERM."""

    lingers = False

    def __init__(self) -> None:
        super().__init__(-1, -1)
        self.committed = True
        self.failed = False
        self.stopping = False
        self._kill_at = 0.0
        self._asked = monitor.wake_by((_SIGTERM, signal.SIGHUP))
        self.poll.register(self._asked, 1)

    def _on_running(self, watched: monitor.Watched, started: launch.Started) -> None:
        watched.record["failed_starts"] = 0
        super()._on_running(watched, started)
        tell_systemd("READY=1\nSTATUS=process 1 of the container is process %d here" % started.pid)

    def _failed(self, watched: monitor.Watched, data: bytes) -> None:
        watched.record["failed_starts"] = _failed_starts(watched.record) + 1
        super()._failed(watched, data)
        self.failed = True
        error = watched.record["error"]
        sys.stderr.write("%s%s\n" % (error["problem"], ": " + os.strerror(error["errno"]) if error.get("errno") else ""))

    def stop(self, watched: monitor.Watched) -> None:
        """Ask the container to end, and note when it is to be killed if it has not.

        systemd asks as well when the kernel has killed the whole group for want of memory.
        """
        self.stopping = True
        if isinstance(watched, Watched) and watched.spec["group_dies"]:
            watched.was_killed_as_one = watched.oom_kills() > watched.kills_before
        steps_mark(watched.directory)
        thaw(watched.spec)
        config = watched.values.config()
        self._kill_at = time.monotonic() + config["stop_timeout"]
        self._send(watched, config["stop_signal"])

    def _send(self, watched: monitor.Watched, number: int) -> None:
        if watched.started is not None:
            try:
                syscalls.pidfd_send_signal(watched.started.pidfd, number)
            except ProcessLookupError:
                pass

    def _leave_the_kill_to_systemd(self, watched: monitor.Watched) -> None:
        """Let systemd end the unit of a group that was killed as a whole for want of memory: by that, its result says so, too.

        It is told by memory.events, and asks this process, which the kernel spares, to end (OOMPolicy=stop).
        """
        starved = (watched.record.get("exit") or {}).get("killed_by") == "memory"
        if starved and watched.spec["group_dies"] and not self.stopping:
            poll = select.poll()
            poll.register(self._asked, select.POLLIN)
            poll.poll(_OOM_PATIENCE * 1000)

    def run(self, watched: monitor.Watched) -> int:
        """Until the container has ended; returns what this process is to end with."""
        tell_systemd("STATUS=starting the container")
        self.start(watched)
        while self.watched:
            left = None if not self._kill_at else max(0, int((self._kill_at - time.monotonic()) * 1000)) + 1
            for fd in self.step(left):
                if fd == self._asked and _SIGTERM in os.read(fd, 64) and not self.stopping:
                    self.stop(watched)
            if self._kill_at and time.monotonic() >= self._kill_at:
                self._kill_at = 0.0
                self._send(watched, _SIGKILL)
        self._leave_the_kill_to_systemd(watched)
        if self.stopping:
            return 0
        return becoming.FAILED if self.failed else int(watched.record["exit"]["code"])


def steps_mark(directory: str) -> None:
    """Say beside the record that the end is meant."""
    try:
        os.close(os.open(directory + "/" + state.STOPPING, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600))
    except FileNotFoundError:
        pass


def thaw(spec: dict[str, Any]) -> None:
    """What is frozen hears no signal."""
    path, word = spec["thaw"]
    try:
        fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    except OSError:
        return
    try:
        os.write(fd, word)
    except OSError:
        pass
    finally:
        os.close(fd)


def main(path: str) -> int:
    """The supervisor, from what the file says to the container's end."""
    syscalls.prctl(syscalls.PR_SET_DUMPABLE, 0)
    syscalls.close_range(3)
    os.chdir("/")
    syscalls.set_name("bulkhead-unit")
    process.reset_inherited()
    paths = Paths()
    with open(path, encoding="utf-8") as file:
        asked = json.load(file)
    config, resources = asked["config"], asked["resources"]
    directory = paths.state(config["name"])
    _pause(config, directory)
    _wait_for_mounts(config, paths)
    record = _record(config, paths)
    try:
        spec = _prepare(config, resources, record, paths)
    except (BulkheadError, OSError) as error:
        facts = becoming.failure(config["name"], becoming.describe(_progress(), error))
        record.update(status="stopped", pid=0, error=facts, failed_starts=_failed_starts(record) + 1)
        state.write(directory, record)
        sys.stderr.write("%s\n" % error)
        return becoming.FAILED
    import _socket  # noqa: F401  (before nothing can be loaded any more)

    from .seccomp import filters, guard  # noqa: F401

    if spec["wires"]:
        from . import shaping, wiring  # noqa: F401

    imports.seal()
    gc.disable()
    gc.freeze()
    return Supervisor().run(Watched(spec))


def _failed_starts(record: dict[str, Any]) -> int:
    """Return how many starts have failed since the container ran."""
    return int(record.get("failed_starts") or 0)


def _pause(config: dict[str, Any], directory: str) -> None:
    """Let time pass between starts that fail one after the other, twice as much each time; a mount ends the pause.

    A start that somebody asked for is made at once: systemd counts from 0 then.
    """
    record = state.read(directory) or {}
    failed = _failed_starts(record)
    unit = name_of(config["name"])
    if not failed or not int((systemd.show([unit], ["NRestarts"]).get(unit) or {}).get("NRestarts") or 0):
        return
    seconds = min(_LONGEST_PAUSE, 2 ** min(failed - 1, 10))
    record.update(restarting=True, monitor=state.identity(os.getpid()))
    state.write(directory, record)
    tell_systemd("STATUS=the start failed %d times, next in %d seconds" % (failed, seconds))
    with open("/proc/self/mountinfo", "rb") as mounts:
        poll = select.poll()
        poll.register(mounts, select.POLLPRI)
        poll.poll(seconds * 1000)


def _wait_for_mounts(config: dict[str, Any], paths: Paths) -> None:
    """Wait until every file system that holds files of the container is mounted again, whoever mounts it.

    systemd knows of a mount unit only; for it, and so for the boot, the unit is up meanwhile. SIGTERM ends this process.
    """
    points = mountpoints.kept(config["name"], paths).values()
    with open("/proc/self/mountinfo", "rb") as mounts:
        poll = select.poll()
        poll.register(mounts, select.POLLPRI)
        gone: list[str] = []
        while now := mountpoints.missing(points):
            if now != gone:
                gone = now
                record = _record(config, paths)
                problem = "container %s: %s" % (config["name"], mountpoints.refused(gone).problem)
                record.update(status="stopped", restarting=True, error={"problem": problem}, monitor=record["creator"])
                state.write(paths.state(config["name"]), record)
                tell_systemd("READY=1\nSTATUS=waiting until %s is mounted" % " and ".join(gone))
            poll.poll(_LONGEST_PAUSE * 1000)


def _progress() -> becoming.Progress:
    progress = becoming.Progress()
    progress.doing("making the container's control group", "")
    return progress


def _record(config: dict[str, Any], paths: Paths) -> dict[str, Any]:
    """The record that the call has made, or that of an earlier run of the same container, or after a reboot a new one."""
    paths.make()
    directory = paths.state(config["name"])
    os.makedirs(directory, mode=0o700, exist_ok=True)
    record = state.read(directory)
    if record is None or record.get("damaged") or live.read(directory, record.get("config") or {}) != config:
        record = {"ociVersion": state.OCI_VERSION, "id": config["name"], "annotations": {}, "created": state.now(), "config": config}
    for key in ("error", "exit", "finished", "creator", "log_written", "output_lost", "restarting"):
        record.pop(key, None)
    own = config["rootfs"] == "host"
    record.update(
        status="creating",
        config=config,
        live=True,
        pid=0,
        bundle=paths.own(config["name"]) if own else config["rootfs"],
        cgroup=groups.name_of(config),
        base=base.fingerprint() if own else "",
        invocation=os.environ.get("INVOCATION_ID", ""),
        creator=state.identity(os.getpid()),
    )
    record.setdefault("job", False)
    state.write(directory, record)
    for name in (state.STOPPING, state.LEFT):
        try:
            os.unlink(directory + "/" + name)
        except FileNotFoundError:
            pass
    return record


def _prepare(config: dict[str, Any], resources: dict[str, Any], record: dict[str, Any], paths: Paths) -> dict[str, Any]:
    """The control group, and everything else that is made from what this machine is now."""
    directory = paths.state(config["name"])
    if state.resources(directory) is None:
        with open(directory + "/resources.json", "w", encoding="utf-8") as file:
            file.write(to_json(resources))
    host = Host.observe()
    group = groups.desired(config, resources, host)
    if host.v2 is not None:
        _step_aside(host.v2.tree, group.name)
    with groups.making(paths):
        apply(plan_groups(host, [group]))
    classes.make_again(config, resources)
    own = config["rootfs"] == "host"
    if own and not os.path.isdir(paths.own(config["name"]) + "/upper"):
        raise BulkheadError("the container's private files are gone", target=paths.own(config["name"]), hint="make the container again, with container_run")
    private.ensure(config, paths)
    special = territory.prepare_log(config, territory.Territory(paths))
    freezer = host.hierarchy_of("freezer")
    frozen = ("cgroup.freeze", b"0") if freezer.version == 2 else ("freezer.state", b"THAWED")
    return {
        "config": config,
        "own": paths.own(config["name"]),
        "base": base.make(paths, record["base"]) if own else "",
        "base_fingerprint": record["base"],
        "views": base.views() if own else [],
        "state": directory,
        "record": record,
        "wait": False,
        "log_special": special,
        "mount_points": sorted(set(mountpoints.kept(config["name"], paths).values())),
        "group_dies": group_dies(resources),
        "classes": classes.files(config.get("rdt"), config["name"]),
        "wires": _wires(config, paths),
        "thaw": ("%s/%s/%s" % (freezer.tree.full(group.name), PAYLOAD, frozen[0]), frozen[1]),
        **groups.places(group),
    }


def _wires(config: dict[str, Any], paths: Paths) -> dict[str, str]:
    """By what the interfaces of a container on a bridge are found; what this needs is loaded for such a one alone."""
    if config["network"]["mode"] != "bridge":
        return {}
    from . import addresses

    return addresses.marks(config["name"], paths)


def _step_aside(tree: Tree, group: str) -> None:
    """Go from the unit's group into the supervisor's, so that the unit's can hand controllers down: on v2, a group with
    children that have controllers holds no processes.
    """
    for name in (group, "%s/%s" % (group, SUPERVISOR)):
        try:
            tree.mkdir(name)
        except FileExistsError:
            pass
    tree.write("%s/%s/cgroup.procs" % (group, SUPERVISOR), "0")
