# Copyright: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""The steps of a container's life; each is planned by the lifecycle and done, or undone, once.

Whatever is made is written down first (Reserve) and forgotten last (Forget): a run that is killed in between leaves a
record whose creator is dead, and the next run knows what to clear away.
"""

from __future__ import annotations

import errno
import json
import os
import select
import signal
import time

from ..cgroup.host import Host
from ..cgroup.planning import plan_groups
from ..errors import BulkheadError
from ..kernel import syscalls
from ..patience import wait_until
from ..plan import Step, apply
from . import base, groups, live, log, payload, state, territory, units, words
from .paths import Paths
from .remote import Helper
from .wire import to_json

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

# How long the kernel and a monitor may take for what must follow a SIGKILL.
_PATIENCE = 10.0


class Call:
    """What the steps of one module call share: the directories, the machine, and one helper, started when it is needed."""

    def __init__(self, paths: Paths, host: Host) -> None:
        self.paths = paths
        self.host = host
        self._helper: Helper | None = None
        self.bridges = False  # whether a container is to be started with a place on a bridge
        self.ended: dict[str, dict[str, Any]] = {}
        self.stops: list[Any] = []  # Stop and units.StopUnit, of the plan that was made last
        self.signalled: set[str] = set()
        self.restarted: list[str] = []  # containers that were stopped for what failed then

    def helper(self) -> Helper:
        if self._helper is None:
            self._helper = Helper(self.paths, self.bridges)
        return self._helper

    def abandon(self) -> None:
        """End the helper, and with it whatever it began and did not commit."""
        helper, self._helper = self._helper, None
        if helper is not None:
            helper.close()

    def restart_asked(self) -> None:
        """Start again what was asked to end for a plan that fails."""
        for stop in self.stops:
            try:
                stop.restart_if_asked()
            except (OSError, BulkheadError):
                continue  # the failure that led here is the one to tell

    def empty(self, group: str) -> None:
        """Kill what is in a container's group, wait until it is gone, and remove the groups inside it."""
        there = self.host.hierarchy_of("freezer").tree.full(group)
        if not payload.end_all(there):
            raise BulkheadError("%s still holds processes, which SIGKILL did not end" % there, target=there)
        payload.clear(one.tree.full(group) for one in self.host.hierarchies if one.tree.exists(group))


def mark_stopping(directory: str) -> None:
    """Tell the monitor that the container's end is meant."""
    try:
        os.close(os.open(directory + "/" + state.STOPPING, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600))
    except (FileNotFoundError, IsADirectoryError):
        pass  # the container is gone, or it is said already


def clear_stopping(directory: str) -> None:
    """Let the monitor restart the container again."""
    remove_any(directory + "/" + state.STOPPING)


def is_written(directory: str, record: dict[str, Any]) -> bool:
    """Wait until the container's monitor has written another record than this one; return False where it cannot."""
    deadline = time.monotonic() + _PATIENCE
    while time.monotonic() < deadline:
        now = state.read(directory)
        if now is None or now.get("pid") != record["pid"]:
            return True
        if not state.is_alive(record.get("monitor")):
            return bool((state.read(directory) or {}).get("pid") != record["pid"])
        time.sleep(0.005)
    return False


def wait_for_monitor(directory: str, record: dict[str, Any]) -> None:
    """Wait until the container's monitor has written how it ended; where it cannot any more, write that it ended."""
    deadline = time.monotonic() + _PATIENCE
    while time.monotonic() < deadline:
        now = state.read(directory)
        if now is None or now.get("damaged") or (now["status"] == "stopped" and not _restarts(now)):
            return
        if not state.is_alive(record.get("monitor")):
            break
        time.sleep(0.005)
    now = state.read(directory)
    if now is not None and now["status"] != "stopped" and not now.get("damaged"):
        now.update(status="stopped", pid=0, finished=state.now(), exit={"code": 137, "signal": 9, "killed_by": ""})
        try:
            state.write(directory, now)
        except OSError:
            pass  # a full /run: that it does not run is seen without the record, too


def _restarts(record: dict[str, Any]) -> bool:
    return state.is_restarting(record) and state.is_alive(record.get("monitor"))


class Stop(Step):
    """Ask the container's first process to end, and kill it when it does not in time.

    The stops of one plan wait at the same time: the first that is done asks every container.
    """

    after = "stopped"

    def __init__(self, call: Call, record: dict[str, Any], before: str) -> None:
        self.call = call
        self.record = record
        self.directory = call.paths.state(record["id"])
        self.target = self.directory
        self.before = before
        self._pidfd = -1
        self._deadline: float | None = None  # None until it was asked
        self._done = False
        call.stops.append(self)

    def _ask(self) -> None:
        if self._deadline is not None:
            return
        config = self.record.get("config") or {}
        self._deadline = time.monotonic() + config.get("stop_timeout", 10)
        mark_stopping(self.directory)
        pid, start = int(self.record.get("pid") or 0), int(self.record.get("start") or 0)
        if state.is_alive({"pid": pid, "start": start}):
            self._pidfd = state.open_process(pid, start)
            self._signal(config.get("stop_signal", 15))

    def _signal(self, number: int) -> None:
        if self._pidfd >= 0:
            try:
                syscalls.pidfd_send_signal(self._pidfd, number)
            except ProcessLookupError:
                pass

    def _has_ended(self, seconds: float) -> bool:
        if self._pidfd < 0:
            return True
        poll = select.poll()
        poll.register(self._pidfd, select.POLLIN)
        return bool(poll.poll(max(0.0, seconds) * 1000))

    def _is_killed(self) -> bool:
        """Kill it, and what it froze of its own in v1: its end waits for that of every process in its namespace."""
        self._signal(9)
        payload.thaw(self.call.host.hierarchy_of("freezer").tree.full(str(self.record["cgroup"])))
        return self._has_ended(0.05)

    def do(self) -> None:
        for stop in self.call.stops:
            stop._ask()
        try:
            self._finish()
        except BaseException:
            self.call.restart_asked()
            raise

    def _finish(self) -> None:
        try:
            in_time = self._has_ended((self._deadline or 0) - time.monotonic())
            if not in_time and not wait_until(self._is_killed, _PATIENCE):
                problem = "container %s did not end %d seconds after SIGKILL"
                raise BulkheadError(problem % (self.record["id"], _PATIENCE), target=self.target)
        finally:
            if self._pidfd >= 0:
                os.close(self._pidfd)
                self._pidfd = -1
        self._done = True
        wait_for_monitor(self.directory, self.record)

    def restart_if_asked(self) -> None:
        """Finish and undo a stop that was asked for and whose own turn never comes: an earlier one has failed."""
        if self._deadline is not None and not self._done:
            self._finish()
            self.undo()

    def undo(self) -> None:
        """Start it again as it was."""
        record = dict(self.record)
        clear_stopping(self.directory)
        if not record.get("spec") or self.before == "broken":
            return
        # The group was made again where it was removed; what confines it is made sure of, from what was asked for.
        resources = json.loads(state.resources(self.directory) or "{}")
        apply(plan_groups(self.call.host, [groups.desired(record["config"], resources, self.call.host)]))
        helper = Helper(self.call.paths, bool(record["spec"].get("wires")))
        try:
            restore = Start(self.call, {**record["spec"], "record": {**record, "status": "creating"}}, helper)
            restore.do()
            settle(helper, [record["id"]])
            self.call.restarted.append(record["id"])
        finally:
            helper.close()


class Signal(Step):
    """Send a signal to the first process of a running container; there is no way back, so it comes last."""

    before = None

    def __init__(self, call: Call, record: dict[str, Any], number: int) -> None:
        self.call = call
        self.record = record
        self.number = number
        self.target = "container %s" % record["id"]
        self.after = "signal %s" % words.signal_name(number)

    def do(self) -> None:
        pidfd = state.open_process(int(self.record["pid"]), int(self.record["start"]))
        try:
            if pidfd < 0:
                raise ProcessLookupError(3, "it has ended")
            syscalls.pidfd_send_signal(pidfd, self.number)
        except ProcessLookupError:
            raise BulkheadError("%s has ended and cannot be sent a signal" % self.target, target=self.target) from None
        finally:
            if pidfd >= 0:
                os.close(pidfd)
        self.call.signalled.add(self.record["id"])

    def undo(self) -> None:
        """What is sent is sent."""


class EmptyGroup(Step):
    """Remove the groups inside a container's group, with whatever is left in them; a start makes them again."""

    bookkeeping = True
    before = "directory"
    after = None

    def __init__(self, call: Call, group: str) -> None:
        self.call = call
        self.group = group
        self.target = "%s/%s/" % (call.host.hierarchy_of("freezer").tree.full(group), payload.PAYLOAD)

    def do(self) -> None:
        self.call.empty(self.group)

    def undo(self) -> None:
        """Stop.undo() starts the container again, which makes them."""


class Reserve(Step):
    """Write down that a container is being made, by whom and of what, before anything else of it is made."""

    def __init__(
        self, call: Call, record: dict[str, Any], old: dict[str, Any] | None, before: str | None, after: str, differs: list[str] | None = None
    ) -> None:
        """differs: what of the configuration the container that is there was made from differently."""
        self.call = call
        self.record = record
        self.old = old
        self.differs = differs or []
        self.directory = call.paths.state(record["id"])
        self.target = self.directory + "/" + state.FILE
        self.before = before
        self.after = after

    def differences(self) -> list[tuple[str, str | None, str | None]]:
        """That it does not run is told by the step that starts it."""
        name = "container %s" % self.record["id"]
        return [(name, "made with another %s" % ", ".join(self.differs), "one as it is kept")] if self.differs else []

    def do(self) -> None:
        self.call.paths.make()
        os.makedirs(self.directory, mode=0o700, exist_ok=True)
        self.record["creator"] = state.identity(os.getpid())
        for name in (state.GROUP, state.FILE, "." + state.FILE):
            if os.path.isdir("%s/%s" % (self.directory, name)):
                remove_any("%s/%s" % (self.directory, name))
        with open("%s/%s" % (self.directory, state.GROUP), "w", encoding="utf-8") as file:
            file.write(self.record["cgroup"])
        state.write(self.directory, self.record)
        clear_stopping(self.directory)
        remove_any("%s/%s" % (self.directory, state.LEFT))

    def undo(self) -> None:
        if self.old is None:
            _remove_state(self.directory)
            base.collect(self.call.paths)
        else:
            mark_stopping(self.directory)
            state.write(self.directory, {**self.old, "status": "stopped", "pid": 0})


class PutAside(Step):
    """Put a container's private files where they are not in the way of new ones, until those have proved themselves."""

    bookkeeping = True
    after = "put aside"

    def __init__(self, paths: Paths, name: str) -> None:
        self.path = self.target = paths.own(name)
        self.aside = paths.aside(name)
        self.before = "private files"

    def do(self) -> None:
        base.remove(self.aside)
        os.rename(self.path, self.aside)

    def undo(self) -> None:
        base.remove(self.path)
        os.rename(self.aside, self.path)


class MakePrivate(Step):
    """Make the directory of a container's private files, empty; whatever limits it has come before what is in it."""

    bookkeeping = True
    before = None

    def __init__(self, paths: Paths, name: str, subvolume: bool) -> None:
        self.target = self.own = paths.own(name)
        self.subvolume = subvolume
        self.after = "subvolume" if subvolume else "directory"

    def do(self) -> None:
        base.remove(self.own)
        if self.subvolume:
            from ..kernel import btrfs

            btrfs.make(self.own)
            os.chmod(self.own, 0o700)
        else:
            os.mkdir(self.own, 0o700)

    def undo(self) -> None:
        base.remove(self.own)


class MakeOwn(Step):
    """Make the private files of a container with the machine's own root: the upper layers of its views."""

    bookkeeping = True
    before = None
    after = "private files"

    def __init__(self, call: Call, config: dict[str, Any], views: list[str], job: bool) -> None:
        self.config = config
        self.views = views
        self.job = job
        self.target = self.own = call.paths.own(config["name"])

    def do(self) -> None:
        for name in ["", *("views/" + name + "/" for name in self.views)]:
            for layer in ("upper", "work"):
                os.makedirs("%s/%s%s" % (self.own, name, layer), mode=0o755)
        os.mkdir(self.own + "/root", 0o700)
        base.write_own_files(self.own + "/upper", self.config["hostname"], self.config["network"]["mode"] == "host")
        # After a reboot the record is gone; by this the next start knows whether the files are those of the same container.
        with open(self.own + "/config.json", "w", encoding="utf-8") as file:
            file.write("" if self.job else to_json(self.config))

    def undo(self) -> None:
        """They go with their directory."""

    def explain(self, error: OSError) -> BulkheadError:
        what = "the private files of container %s could not be made" % self.config["name"]
        hint = "its disk_quota is too small for them" if error.errno in (errno.ENOSPC, errno.EDQUOT) and self.config.get("disk_quota") else ""
        return BulkheadError.from_os(what, error, target=self.own, hint=hint)


class Start(Step):
    """Have the helper begin to start the container; whether it could is learned by Settle."""

    after = "running"

    def __init__(self, call: Call, spec: dict[str, Any], helper: Helper | None = None) -> None:
        self.call = call
        self.spec = spec
        self.helper = helper
        self.name: str = spec["config"]["name"]
        self.before = "not running"
        self.target = "container %s" % self.name

    def do(self) -> None:
        if self.spec["base_fingerprint"]:
            self.spec["base"] = base.make(self.call.paths, self.spec["base_fingerprint"])
        self.spec["log_special"] = territory.prepare_log(self.spec["config"], territory.Territory(self.call.paths))
        # The record keeps what is needed to start it again, but for itself.
        self.spec["record"]["spec"] = {key: value for key, value in self.spec.items() if key != "record"}
        (self.helper or self.call.helper()).send({"do": "start", "spec": self.spec})

    def undo(self) -> None:
        self.call.abandon()
        mark_stopping(self.spec["state"])
        self.call.empty(self.spec["group"])
        record = state.read(self.spec["state"])
        if record is not None and record.get("monitor"):
            wait_for_monitor(self.spec["state"], record)


def settle(helper: Helper, names: list[str], ended: dict[str, dict[str, Any]] | None = None) -> None:
    """Wait until each of these containers runs its command, then commit them all. Raises BulkheadError for the first that failed."""
    waiting = set(names)
    while waiting:
        message = _next(helper)
        if message["event"] == "failed":
            facts = message["error"]
            raise BulkheadError(facts["problem"], **{key: facts[key] for key in ("target", "value", "errno", "kernel", "hint") if key in facts})
        if message["event"] == "started":
            waiting.discard(message["name"])
        if message["event"] == "gone" and message["name"] in waiting:
            raise _monitor_killed(message["name"])
    helper.send({"do": "commit"})
    waiting = set(names)
    while waiting:
        message = _next(helper)
        if message["event"] in ("committed", "gone"):  # one that is killed now has run, and its record says so
            waiting.discard(message["name"])
        elif message["event"] == "ended" and ended is not None:
            ended[message["name"]] = message["exit"]


def _monitor_killed(name: str) -> BulkheadError:
    return BulkheadError(
        "container %s: the process that supervises it was killed while it started it" % name,
        hint="it is in the container's control group: is memory.max too low?",
    )


def _next(helper: Helper) -> dict[str, Any]:
    message = helper.receive(120)
    if message is None:
        raise BulkheadError("the helper that makes containers ended, or did not answer for two minutes")
    return message


class Settle(Step):
    """Learn that every container of the call runs, and let go of them all at once: all, or none."""

    bookkeeping = True

    def __init__(self, call: Call, names: list[str]) -> None:
        self.call = call
        self.names = names
        self.target = call.paths.states
        self.before = "started on trial: " + ", ".join(names)
        self.after = "committed"

    def do(self) -> None:
        settle(self.call.helper(), self.names, self.call.ended)

    def undo(self) -> None:
        """Start.undo() ends each of them."""


class Discard(Step):
    """Remove private files that were put aside or are not wanted any more; there is no way back, so it comes last."""

    bookkeeping = True
    after = None

    def __init__(self, path: str, before: str = "private files") -> None:
        self.target = path
        self.before = before

    def do(self) -> None:
        base.remove(self.target)

    def undo(self) -> None:
        """What is removed stays so."""


class Forget(Step):
    """Remove the record, the very last of a container."""

    bookkeeping = True
    after = None

    def __init__(self, call: Call, name: str, group: str, path: str, before: str) -> None:
        self.call = call
        self.name = name
        self.group = group
        self.log = path
        self.target = call.paths.state(name)
        self.before = before

    def do(self) -> None:
        if self.log and os.path.dirname(self.log) in (self.call.paths.log, os.path.realpath(self.call.paths.log)):
            log.remove(self.log)
        config = (state.read(self.target) or {}).get("config") or {}
        _remove_state(self.target)
        if config.get("supervisor") == "systemd":
            units.stop_empty_slice(config, self.call.host)
        if self.group.startswith("bulkhead/") or config.get("supervisor") == "systemd":  # which may have followed a monitor
            # The default parent goes with the last container; one that is in use, or not empty, refuses.
            for hierarchy in self.call.host.hierarchies:
                try:
                    hierarchy.tree.rmdir("bulkhead")
                except OSError:
                    pass

    def undo(self) -> None:
        """What is removed stays so."""


class Collect(Step):
    """Remove a copy of /etc that containers with the machine's own root shared, and that no later one will have."""

    bookkeeping = True
    before = "shared files"
    after = None

    def __init__(self, call: Call, name: str) -> None:
        self.call = call
        self.target = call.paths.bases + "/" + name

    def do(self) -> None:
        base.collect(self.call.paths)

    def undo(self) -> None:
        """What is removed stays so; whoever needs it makes it again."""


class KeepResources(Step):
    """Note which resources were asked for, beside the record that belongs to the monitor."""

    bookkeeping = True
    name = "resources.json"

    def __init__(self, directory: str, before: str | None, after: str | None) -> None:
        self.target = directory + "/" + self.name
        self.before = before
        self.after = after

    def _put(self, text: str | None) -> None:
        if text is None or os.path.isdir(self.target):
            remove_any(self.target)
        if text is None:
            return
        neighbour = self.target + ".new"
        with open(neighbour, "w", encoding="utf-8") as file:
            file.write(text)
        os.rename(neighbour, self.target)

    def do(self) -> None:
        self._put(self.after)

    def undo(self) -> None:
        if os.path.isdir(os.path.dirname(self.target)):
            self._put(self.before)


class KeepLive(KeepResources):
    """Note what changes while the container runs, for whoever supervises it."""

    bookkeeping = False
    name = live.FILE

    def _put(self, text: str | None) -> None:
        super()._put(text)
        record = state.read(os.path.dirname(self.target)) or {}
        supervisor = record.get("monitor") or {"pid": 0, "start": 0}
        pidfd = state.open_process(supervisor["pid"], supervisor["start"]) if record.get("wakes") and supervisor["pid"] else -1
        if pidfd >= 0:
            try:
                syscalls.pidfd_send_signal(pidfd, signal.SIGHUP)
            except ProcessLookupError:
                pass
            finally:
                os.close(pidfd)


class Announce(Step):
    """Say that a container is made anew, before the steps that do it; nothing by itself."""

    bookkeeping = True

    def __init__(self, name: str, before: str, after: str) -> None:
        self.target = "container %s" % name
        self.before = before
        self.after = "made anew with %s" % after

    def do(self) -> None:
        """The steps that follow do it."""

    def undo(self) -> None:
        """The steps that follow are undone."""


class Foreseen(Step):
    """In check mode: what becomes of a container that is not there yet, and that an earlier task of the play may be about to make."""

    before = None

    def __init__(self, name: str, wanted: str) -> None:
        self.target = "container %s" % name
        self.after = wanted

    def do(self) -> None:
        raise BulkheadError("%s: command is required to make it" % self.target)

    def undo(self) -> None:
        """It is never done."""


def _remove_state(directory: str) -> None:
    """Remove a record's directory: the record after what is beside it, and last that it left its bridge."""
    try:
        names = os.listdir(directory)
    except FileNotFoundError:
        return
    last = (state.FILE, state.LEFT)
    for name in sorted(names, key=lambda name: last.index(name) if name in last else -1):
        remove_any(directory + "/" + name)
    os.rmdir(directory)


def remove_any(path: str) -> None:
    """Remove what is under a name of ours, a directory too, which only an accident can have put there."""
    try:
        os.unlink(path)
    except FileNotFoundError:
        pass
    except (IsADirectoryError, PermissionError):
        base.remove(path)
