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
import sys
import time

from ..cgroup.host import Host
from ..cgroup.planning import plan_groups
from ..errors import BulkheadError
from ..kernel import syscalls
from ..kernel.files import Tree
from ..plan import apply
from . import base, classes, groups, helper, launch, live, monitor, process, state, territory
from .log import Log
from .paths import Paths
from .payload import PAYLOAD, SUPERVISOR
from .wire import to_json

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Sink = Any

JOURNAL = "journal"
_SIGKILL, _SIGTERM = 9, 15


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


class Journal:
    """Where the container's output goes when no file was asked for: this process's own, which systemd has tied to the journal."""

    path = JOURNAL
    written = 0

    def open(self) -> None:
        """It is open."""

    def write(self, data: bytes) -> None:
        try:
            while data:
                data = data[os.write(1, data) :]
        except OSError:
            pass  # the journal is gone; the container does not end for that

    def close(self) -> None:
        """It stays open as long as the unit lives."""


class Watched(monitor.Watched):
    """The container of a unit: whether it is started again is for systemd to say."""

    def __init__(self, spec: dict[str, Any]) -> None:
        super().__init__({**spec, "config": {**spec["config"], "log": {**spec["config"]["log"], "path": ""}}})
        self.spec = spec
        self.values = live.Values(self.directory, spec["config"])
        log = spec["config"]["log"]
        self.log: Sink = Journal() if log["path"] == JOURNAL else None
        if log["path"] and log["path"] != JOURNAL:
            self.log = Log(log["path"], log["max_size"], log["max_files"], spec["log_special"])

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
        super()._on_running(watched, started)
        tell_systemd("READY=1\nSTATUS=process 1 of the container is process %d here" % started.pid)

    def _failed(self, watched: monitor.Watched, data: bytes) -> None:
        super()._failed(watched, data)
        self.failed = True
        error = watched.record["error"]
        sys.stderr.write("%s%s\n" % (error["problem"], ": " + os.strerror(error["errno"]) if error.get("errno") else ""))

    def stop(self, watched: monitor.Watched) -> None:
        """Ask the container to end, and note when it is to be killed if it has not."""
        self.stopping = True
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
        if self.stopping:
            return 0
        return launch.FAILED if self.failed else int(watched.record["exit"]["code"])


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
    process.protect_from_oom()
    process.reset_inherited()
    paths = Paths()
    with open(path, encoding="utf-8") as file:
        asked = json.load(file)
    config, resources = asked["config"], asked["resources"]
    record = _record(config, paths)
    directory = paths.state(config["name"])
    try:
        spec = _prepare(config, resources, record, paths)
    except (BulkheadError, OSError) as error:
        facts = launch.failure(config["name"], launch.describe(_progress(), error))
        record.update(status="stopped", pid=0, error=facts)
        state.write(directory, record)
        sys.stderr.write("%s\n" % error)
        return launch.FAILED
    import _socket  # noqa: F401  (before nothing can be loaded any more)

    helper.seal_imports()
    gc.disable()
    gc.freeze()
    return Supervisor().run(Watched(spec))


def _progress() -> launch.Progress:
    progress = launch.Progress()
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
    for key in ("error", "exit", "finished", "creator", "log_written"):
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
    try:
        os.unlink(directory + "/" + state.STOPPING)
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
        "classes": classes.files(config.get("rdt"), config["name"]),
        "thaw": ("%s/%s/%s" % (freezer.tree.full(group.name), PAYLOAD, frozen[0]), frozen[1]),
        **groups.places(group),
    }


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
