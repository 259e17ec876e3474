# Copyright: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Supervision: the loop that watches a container, keeps its log and its record, and starts it again.

Each container has a monitor of its own, which is a copy of the helper and outlives it. It is in the container's control
group, so that what it does for the container (writing its log) is limited with it.

Until the call commits, a container belongs to it: the kernel kills the first process of a container when its monitor dies,
a monitor when the helper dies and the helper when the module dies (PR_SET_PDEATHSIG). With the commit the monitor writes
the record and cuts the tie to what is above it.
"""

from __future__ import annotations

import _signal as signal  # type: ignore[import-not-found]  # as in process.py
import os
import select
import time

from ..errors import BulkheadError
from ..kernel import syscalls
from . import becoming, entrance, health, launch, live, mountpoints, payload, process, reaper, state, wire
from .log import Log

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

# Seconds before a container is started again: doubled from the first to the last, and the first again after it ran for a while.
_FIRST_DELAY, _LAST_DELAY, _LONG_RUN = 0.1, 60.0, 10.0
# How many times 64 KiB of output are read before the loop looks at what else there is.
_FAIR_SHARE = 16
# How often, in milliseconds, a supervisor looks whether a container that waits to be started again is not wanted any more.
_LOOK = 200


class Watched:
    """One container under supervision."""

    def __init__(self, spec: dict[str, Any]) -> None:
        self.spec = spec
        self.name: str = spec["config"]["name"]
        self.record: dict[str, Any] = spec["record"]
        log = spec["config"]["log"]
        self.log = Log(log["path"], log["max_size"], log["max_files"], spec.get("log_special")) if log["path"] else None
        self.values = live.Values(self.directory, spec["config"])
        self.started: launch.Started | None = None
        self.running = False  # the command was executed
        self.ended = False
        self.unwritten = False  # whether the file lacks what the record says
        self.kills_before = 0  # of this start, see oom_kills()
        self.start_at = 0.0  # when it is to be started again; 0 for never
        self.began = 0.0
        self.delay = _FIRST_DELAY
        self.restarts = 0
        self.waits_for: list[str] = []  # mount points that are missing

    @property
    def directory(self) -> str:
        directory: str = self.spec["state"]
        return directory

    def _is_current(self) -> bool:
        """Whether the record in the file is still that of this making of the container, and not of a later one or none."""
        text = state.text_of(self.directory + "/" + state.FILE)
        return text is not None and '"created": "%s"' % self.record["created"] in text

    def write(self) -> None:
        """Bring the record to the file. It may be gone, or another's: then the container was removed or made anew, and that is right."""
        self.unwritten = False
        if self._is_current():
            try:
                state.write(self.directory, self.record)
                if self.record["status"] == "running":
                    entrance.write(self.directory, self.spec, self.record, process.Privileges(self.spec["config"]).made())
            except OSError:
                # Its file system is full: the container goes on, and this is written when there is room.
                self.unwritten = True

    def unwanted(self) -> bool:
        """Whether somebody is stopping it, or has replaced it."""
        return os.path.exists(self.directory + "/" + state.STOPPING) or not self._is_current()

    def copy_output(self) -> None:
        """Write to the log what the container wrote, up to a fair share: other things wait to be seen to."""
        if self.started is None or self.started.output < 0 or self.log is None:
            return
        for _turn in range(_FAIR_SHARE):
            try:
                data = os.read(self.started.output, 65536)
            except BlockingIOError:
                return
            if not data:
                os.close(self.started.output)
                self.started.output = -1
                return
            self._adapt_log()
            self.log.write(data)

    def _adapt_log(self) -> None:
        """How large the log may become is among what changes while the container runs."""
        log = self.values.config()["log"]
        if isinstance(self.log, Log):
            self.log.largest, self.log.files = log["max_size"], log["max_files"]

    def oom_kills(self) -> int:
        """Return how many processes the kernel killed for want of memory in the group and below it."""
        path = self.spec["oom"]
        return payload.oom_kills(path) if path else 0

    def note_end(self, status: int) -> None:
        """Write down how the first process ended (the status of waitpid(2)), and what killed it."""
        number = status & 0x7F or (reaper.signal_of(status >> 8) if self.values.config().get("init") else 0)
        kills = self.oom_kills() - self.kills_before
        stopped = os.path.exists(self.directory + "/" + state.STOPPING)
        self.record.pop("error", None)
        self.record.pop("health", None)
        self.record.update(
            status="stopped",
            pid=0,
            exit={
                "code": 128 + number if number else status >> 8,
                "signal": number,
                # A stop that ran out of patience killed it, whatever the kernel did before.
                "killed_by": "memory" if number == 9 and kills > 0 and not stopped else "",
            },
            oom_kills=self.record.get("oom_kills", 0) + max(0, kills),
            log_written=self.log.written if self.log else 0,
            finished=state.now(),
        )

    def over(self) -> bool:
        """Return whether it runs no more and is not to be started again."""
        return self.started is None and not self.start_at

    def again(self) -> bool:
        """Return whether its restart policy asks for another start, after an end or after a start that failed."""
        policy = self.values.config()["restart_policy"]
        if self.waits_for and self.spec.get("waits_for_mounts"):
            return not self.unwanted()
        if self.unwanted() or policy["name"] == "no":
            return False
        if policy["name"] == "on-failure":
            failed = "error" in self.record or bool(self.record["exit"]["code"])
            return failed and (policy["max"] == 0 or self.restarts < policy["max"])
        return True


class Supervisor:
    """The loop. `control` is the socket to the module, `commit` becomes readable when the call has committed.

    lingers: whether it stays until the end of a container is written down, where there is no room for that.
    """

    lingers = True

    def __init__(self, control: int, commit: int) -> None:
        self.control = control
        self.commit = commit
        self.committed = False
        self.identity = state.identity(os.getpid())
        self.poll = select.poll()
        self.watched: list[Watched] = []
        self.by_fd: dict[int, Watched] = {}
        self.health: health.Health | None = None
        self.limited = False  # whether this process is in the group of the container yet
        if commit >= 0:
            self.poll.register(commit, select.POLLIN)

    def tell(self, message: dict[str, Any]) -> None:
        """Tell the module, if it still listens."""
        if self.control >= 0:
            try:
                wire.send(self.control, message)
            except OSError:
                self.control = -1

    def start(self, watched: Watched) -> None:
        """Begin to start a container."""
        progress = becoming.Progress()
        if watched not in self.watched:
            self.watched.append(watched)
            self.health = health.Health(self, watched)
        watched.running = False
        watched.began = time.monotonic()
        watched.waits_for = mountpoints.missing(watched.spec.get("mount_points", ()))
        if watched.waits_for:
            self._failed(watched, becoming.describe(progress, mountpoints.refused(watched.waits_for)))
            return
        try:
            if watched.log is not None:
                progress.doing("opening the log", watched.log.path)
                watched.log.open()
            # What changed of these since it was made holds for the new interface, and for whoever writes.
            now = watched.values.config()
            watched.spec["config"].update(network=now["network"], disk_quota=now.get("disk_quota"))
            watched.record["guarded"] = bool(now.get("disk_quota"))
            watched.started = started = launch.start(watched.spec, progress)
            watched.kills_before = watched.oom_kills()
            if not self.limited:
                # Not before the first start: where a limit is tight, that is what it is for.
                payload.enter_supervisor(watched.spec["limits"], watched.spec["v2"])
                self.limited = True
        except (OSError, BulkheadError) as error:
            if watched.started is not None:
                self._abandon(watched)
            self._failed(watched, becoming.describe(progress, error))
            return
        if started.output >= 0:
            os.set_blocking(started.output, False)
        for fd in (started.pidfd, started.errors, started.output):
            if fd >= 0:
                self.by_fd[fd] = watched
                self.poll.register(fd, select.POLLIN)

    def _forget(self, fd: int) -> None:
        self.by_fd.pop(fd, None)
        self.poll.unregister(fd)

    def _abandon(self, watched: Watched) -> None:
        """End a first process that has not become the command."""
        started = watched.started
        if started is not None:
            syscalls.pidfd_send_signal(started.pidfd, becoming.SIGKILL)
            os.waitpid(started.pid, 0)
            for fd in (started.pidfd, started.errors, started.output):
                if fd >= 0:
                    os.close(fd)
            watched.started = None

    def _failed(self, watched: Watched, data: bytes) -> None:
        facts = becoming.failure(watched.name, data)
        if not self.committed and watched.waits_for and watched.spec.get("waits_for_mounts"):
            # At boot, what is mounted late is no failure: it is waited for.
            watched.ended = True
            watched.record.update(status="stopped", pid=0, error=facts, monitor=self.identity)
            self.tell({"event": "started", "name": watched.name, "pid": 0, "start": 0})
            return
        if not self.committed:
            self.watched.remove(watched)
            self.tell({"event": "failed", "name": watched.name, "error": facts})
            return
        # A later start of the restart policy: nobody listens, so the record says it, and what failed now may succeed later.
        watched.record.update(status="stopped", pid=0, error=facts)
        self._after_end(watched)

    def handle(self, fd: int) -> None:
        """Something happened on a descriptor."""
        if fd == self.commit:
            self.on_commit()
            return
        watched = self.by_fd.get(fd)
        started = watched.started if watched else None
        if watched is None or started is None:
            return
        if fd == started.output:
            watched.copy_output()
            if started.output < 0:
                self._forget(fd)
        elif fd == started.errors:
            self._hear(watched, started)
        elif fd == started.pidfd:
            while started.errors >= 0:
                self._hear(watched, started)
            if watched.started is not None:
                self._on_end(watched, started)

    def _hear(self, watched: Watched, started: launch.Started) -> None:
        """Take in what the first process says on its way to the command; the pipe ends with it or with the way."""
        data = os.read(started.errors, 65536)
        started.said += data
        if data:
            return
        self._forget(started.errors)
        os.close(started.errors)
        started.errors = -1
        if started.said == launch.READY:
            self._on_running(watched, started)
            return
        self._release(watched)
        _pid, status = os.waitpid(started.pid, 0)
        if started.said:
            self._failed(watched, started.said[started.said.startswith(launch.READY) :])
        else:
            starved = watched.oom_kills() > watched.kills_before
            self._failed(watched, launch.killed(status, starved))

    def _on_running(self, watched: Watched, started: launch.Started) -> None:
        watched.running = True
        # Not before: where memory.max is too low for a start, one of the two processes must give way.
        process.protect_from_oom()
        if self.health is not None:
            self.health.start_over()
        watched.record.pop("error", None)
        watched.record.update(
            status="running",
            pid=started.pid,
            start=state.start_time(started.pid),
            started=state.now(),
            monitor=self.identity,
            restarts=watched.restarts,
            restarting=False,
            wakes=True,  # by SIGHUP, to look at what changes while the container runs
        )
        if self.committed:
            watched.write()
        else:
            self.tell({"event": "started", "name": watched.name, "pid": started.pid, "start": watched.record["start"]})

    def _release(self, watched: Watched) -> None:
        """Close what belonged to one run of the container."""
        started = watched.started
        if started is None:
            return
        watched.copy_output()
        for fd in (started.pidfd, started.errors, started.output):
            if fd >= 0:
                if fd in self.by_fd:
                    self._forget(fd)
                os.close(fd)
        for fd in [fd for fd, other in self.by_fd.items() if other is watched]:
            self._forget(fd)  # closed by copy_output()
        watched.started = None
        if watched.log:
            watched.log.close()

    def _on_end(self, watched: Watched, started: launch.Started) -> None:
        _pid, status = os.waitpid(started.pid, 0)
        self._release(watched)
        watched.ended = True
        watched.note_end(status)
        if self.committed:
            self._after_end(watched)

    def _after_end(self, watched: Watched) -> None:
        """The container has ended and its record may be written: restart it, or be done with it."""
        if watched.again():
            if time.monotonic() - watched.began > _LONG_RUN:
                watched.delay = _FIRST_DELAY
            watched.start_at = time.monotonic() + watched.delay
            watched.delay = min(watched.delay * 2, _LAST_DELAY)
        else:
            watched.start_at = 0.0
        watched.record["restarting"] = bool(watched.start_at)
        watched.write()
        if not watched.start_at:
            self._finish(watched)

    def _finish(self, watched: Watched) -> None:
        """Be done with a container that is not started again, once that is written down."""
        if not (watched.unwritten and self.lingers):
            self.watched.remove(watched)
            self.tell({"event": "ended", "name": watched.name, "exit": watched.record.get("exit")})

    def on_commit(self) -> None:
        """The call stands: cut the tie to it and write the records."""
        if self.commit >= 0:
            self.poll.unregister(self.commit)
            self.commit = -1
        self.committed = True
        syscalls.prctl(syscalls.PR_SET_PDEATHSIG, 0)
        try:
            os.setsid()
        except PermissionError:
            pass  # it leads a session already
        for watched in list(self.watched):
            if watched.ended:
                self._after_end(watched)
            else:
                watched.write()
            self.tell({"event": "committed", "name": watched.name})

    def _start_due(self) -> None:
        moment = time.monotonic()
        for watched in list(self.watched):
            if watched.unwritten:
                watched.write()
                if watched.over():
                    self._finish(watched)
                    continue
            if not watched.start_at:
                continue
            if watched.unwanted():
                watched.start_at = 0.0
                watched.record["restarting"] = False
                watched.write()
                self._finish(watched)
            elif moment >= watched.start_at or (watched.waits_for and not mountpoints.missing(watched.waits_for)):
                watched.start_at = 0.0
                watched.restarts += 1
                watched.ended = False
                self.start(watched)

    def step(self, most: int | None = None) -> list[int]:
        """Wait for something to happen, `most` milliseconds, and see to it; returns the descriptors that are not the loop's own."""
        waiting = any(watched.start_at or watched.unwritten for watched in self.watched)
        pauses = [most, _LOOK if waiting else None, self.health.pause() if self.health else None]
        others = []
        for fd, _events in self.poll.poll(min((pause for pause in pauses if pause is not None), default=None)):
            if fd == self.commit or fd in self.by_fd:
                self.handle(fd)
            elif self.health and fd in self.health.commands.by_fd:
                self.health.commands.handle(fd)
            else:
                others.append(fd)
        if waiting:
            self._start_due()
        if self.health and self.committed:
            self.health.tick()
        return others


def wake_by(signals: tuple[int, ...]) -> int:
    """Have these signals wake the loop; returns a descriptor on which their numbers come, and nothing else happens."""
    woken, wake = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
    signal.set_wakeup_fd(wake)
    for number in signals:
        signal.signal(number, lambda _number, _frame: None)
    return woken


def monitor(spec: dict[str, Any], control: int, commit: int) -> None:
    """Watch one container until it is not to be started again."""
    process.reset_inherited()
    supervisor = Supervisor(control, commit)
    woken = wake_by((signal.SIGHUP,))
    supervisor.poll.register(woken, select.POLLIN)
    watched = Watched(spec)
    try:
        supervisor.start(watched)
        while supervisor.watched:
            if woken in supervisor.step():
                os.read(woken, 64)
            if supervisor.committed and supervisor.control >= 0 and not spec["wait"]:
                # Nobody waits for this one: the module may see its end of the socket close.
                os.close(supervisor.control)
                supervisor.control = -1
    except Exception as error:
        # It ends here, and the container with it: whoever looks is told why.
        watched.record["error"] = {"problem": "the process that supervised the container failed: %r" % error}
        watched.write()
        raise
