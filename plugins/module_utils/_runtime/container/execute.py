# Copyright: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""A further command in a running container.

Two processes are made for it. The first joins the container's namespaces and gives up every privilege that the container
does not have, but is itself never inside the container's process namespace, so nobody there can see or trace it. Only then
it makes the second one, as the helper's child, which is born inside, joins the control groups and executes the command. So
what a container with CAP_SYS_PTRACE could catch in the moment before the execution holds nothing that it has not already.
"""

from __future__ import annotations

import errno
import os
import select
import time

from ..errors import BulkheadError
from ..kernel import syscalls
from . import devices, launch, process, state, wire

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .health import Health
    from .monitor import Supervisor

# How much of the input goes in one message: less than any socket takes by default.
PIECE = 64 << 10
# How many times 64 KiB of output are read before the loop looks at what else there is; a pipe holds no more.
_FAIR_SHARE = 16

_NAMESPACES = syscalls.CLONE_NEWNS | syscalls.CLONE_NEWPID | syscalls.CLONE_NEWUTS | syscalls.CLONE_NEWIPC | syscalls.CLONE_NEWNET | syscalls.CLONE_NEWCGROUP


class _Command:
    """One command that runs."""

    def __init__(self, request: dict[str, Any]) -> None:
        self.request = request
        self.id: int = request["id"]
        self.pid = 0
        self.pidfd = -1
        self.errors = -1
        self.first = 0
        self.streams: dict[int, int] = {}
        self.input = -1
        self.to_write: bytes = request["stdin"] or b""
        self.more: bool = request.get("more", False)  # whether the module has more of the input


class Commands:
    """The commands of one module call, watched by the helper's loop."""

    def __init__(self, supervisor: Supervisor | Health) -> None:
        self.supervisor = supervisor
        self.by_fd: dict[int, _Command] = {}

    def _watch(self, fd: int, command: _Command, events: int = select.POLLIN) -> None:
        self.by_fd[fd] = command
        self.supervisor.poll.register(fd, events)

    def _close(self, fd: int) -> None:
        if fd in self.by_fd:
            del self.by_fd[fd]
            self.supervisor.poll.unregister(fd)
        os.close(fd)

    def start(self, request: dict[str, Any]) -> None:
        """Begin to run a command."""
        command = _Command(request)
        progress = launch.Progress()
        try:
            self._start(command, progress)
        except (OSError, BulkheadError) as error:
            self.supervisor.tell({"event": "failed", "id": command.id, "error": launch.failure(request["config"]["name"], launch.describe(progress, error))})

    def _start(self, command: _Command, progress: launch.Progress) -> None:
        request = command.request
        inherited: list[int] = []
        try:
            progress.doing("finding the container's first process", str(request["pid"]))
            target = syscalls.pidfd_open(request["pid"])
            inherited.append(target)
            if state.start_time(request["pid"]) != request["start"]:
                raise BulkheadError("the container's first process is gone")
            progress.doing("opening the control groups", "")
            groups = [os.open(path, os.O_WRONLY | os.O_CLOEXEC) for path in request["tasks"] + request["classes"]]
            procs = _open_each(request["procs"])
            inherited += groups + procs
            errors, errors_in = os.pipe2(os.O_CLOEXEC)
            pids, pids_in = os.pipe2(os.O_CLOEXEC)
            inherited += [errors_in, pids_in]
            command.errors = errors
            if request["detach"]:
                null = devices.open_null_of_machine()
                inherited.append(null)
                streams = [null, null, null]
            else:
                stdin, command.input = os.pipe2(os.O_CLOEXEC)
                stdout, stdout_in = os.pipe2(os.O_CLOEXEC)
                stderr, stderr_in = os.pipe2(os.O_CLOEXEC)
                inherited += [stdin, stdout_in, stderr_in]
                streams = [stdin, stdout_in, stderr_in]
                command.streams = {stdout: 1, stderr: 2}
            privileges = process.Privileges(request["config"])
            command.first = os.fork()
            if command.first == 0:
                _join(request, target, (groups, procs), streams, errors_in, pids_in, privileges)
        finally:
            for fd in inherited:
                os.close(fd)
        # The number comes when the second process is made; the pipe closes without one when that failed.
        number = os.read(pids, 32)
        os.close(pids)
        os.waitpid(command.first, 0)
        if number:
            command.pid = int(number)
            command.pidfd = syscalls.pidfd_open(command.pid)
            self._watch(command.pidfd, command)
        self._watch(errors, command)
        for fd in command.streams:
            os.set_blocking(fd, False)
            self._watch(fd, command)
        if command.input >= 0:
            os.set_blocking(command.input, False)
            self._feed(command)

    def _feed(self, command: _Command) -> None:
        """Give the command more of its input, and ask for the next piece or close it at its end."""
        try:
            while command.to_write:
                command.to_write = command.to_write[os.write(command.input, command.to_write) :]
        except BlockingIOError:
            if command.input not in self.by_fd:
                self._watch(command.input, command, select.POLLOUT)
            return
        except BrokenPipeError:
            command.more = False  # it reads no more
        if command.more:
            if command.input in self.by_fd:
                del self.by_fd[command.input]
                self.supervisor.poll.unregister(command.input)
            self.supervisor.tell({"event": "fed", "id": command.id})
            return
        self._close(command.input)
        command.input = -1

    def feed(self, request: dict[str, Any]) -> None:
        """Take the next piece of a command's input; one that has ended meanwhile needs none."""
        for command in set(self.by_fd.values()):
            if command.id == request["id"] and command.input >= 0:
                command.to_write, command.more = request["data"], request["more"]
                self._feed(command)

    def _drain(self, command: _Command, fd: int) -> None:
        """What the command wrote to one stream, on to the module, up to a fair share."""
        for _turn in range(_FAIR_SHARE):
            if fd not in command.streams:
                return
            try:
                data = os.read(fd, 65536)
            except BlockingIOError:
                return
            if data:
                self.supervisor.tell({"event": "output", "id": command.id, "stream": command.streams[fd], "data": data})
            else:
                del command.streams[fd]
                self._close(fd)

    def handle(self, fd: int) -> None:
        """Something happened on a descriptor of a command."""
        command = self.by_fd.get(fd)
        if command is None:
            return
        if fd == command.input:
            self._feed(command)
        elif fd in command.streams:
            self._drain(command, fd)
        elif fd == command.errors:
            data = os.read(fd, 65536)
            self._close(fd)
            command.errors = -1
            if data:
                self._finish(command, {"event": "failed", "error": launch.failure(command.request["config"]["name"], data)})
            elif not command.pid:
                self._finish(command, {"event": "failed", "error": {"problem": "the command's process could not be made"}})
            elif command.request["detach"]:
                self._finish(command, {"event": "running", "pid": command.pid}, reap=False)
        elif fd == command.pidfd and command.errors < 0:
            self._finish(command, {"event": "ended"})
        elif fd == command.pidfd:
            self.handle(command.errors)

    def _finish(self, command: _Command, message: dict[str, Any], reap: bool = True) -> None:
        if command.pid and reap:
            _pid, status = os.waitpid(command.pid, 0)
            message.setdefault("rc", 128 + (status & 0x7F) if status & 0x7F else status >> 8)
        # A process that the command left behind may hold the streams open for ever: what is there now is all.
        for fd in list(command.streams):
            self._drain(command, fd)
            if fd in command.streams:
                del command.streams[fd]
                self._close(fd)
        for fd in (command.input, command.pidfd, command.errors):
            if fd >= 0:
                self._close(fd)
        message["id"] = command.id
        self.supervisor.tell(message)

    def kill(self, identifier: int) -> None:
        """End a command and its session: its time is up."""
        for command in set(self.by_fd.values()):
            if command.id == identifier and command.pid:
                # It leads a process group of its own, and its number stays its own until it is reaped here.
                for target in (-command.pid, command.pid):
                    try:
                        os.kill(target, launch.SIGKILL)
                    except ProcessLookupError:
                        pass


def _open_each(paths: list[str]) -> list[int]:
    """Return descriptors of the first of these files, and of those after it that can be opened."""
    found: list[int] = []
    for path in paths:
        try:
            found.append(os.open(path, os.O_WRONLY | os.O_CLOEXEC))
        except OSError:
            if not found:
                raise
    return found


def _enter_groups(groups: list[int], procs: list[int]) -> None:
    """Join the container's groups: all of v1, and the first of v2 that takes a process."""
    for fd in groups:
        os.write(fd, b"0")
    for number, fd in enumerate(procs):
        try:
            os.write(fd, b"0")
            return
        except OSError as error:
            if error.errno != errno.EBUSY or number + 1 == len(procs):
                raise


def _join(
    request: dict[str, Any],
    target: int,
    groups: tuple[list[int], list[int]],
    streams: list[int],
    errors: int,
    pids: int,
    privileges: process.Privileges,
) -> None:
    """The first process: into the container and out of all privileges. Never returns."""
    progress = launch.Progress()
    try:
        config = request["config"]
        helper_pipe = errors
        syscalls.prctl(syscalls.PR_SET_PDEATHSIG, launch.SIGKILL)
        progress.doing("leaving the priorities and limits of the caller", "")
        process.reset_inherited()
        process.set_oom_score(config["oom_score_adj"])
        progress.doing("joining the namespaces", str(request["pid"]))
        syscalls.setns(target, _NAMESPACES)
        os.chdir("/")
        progress.doing("looking up the user", config["user"])
        user = process.find_user(config["user"], config["groups"])
        env = launch.environment(config, user)
        progress.doing("opening the standard streams", "")
        for number, fd in enumerate(streams):
            if not request["detach"]:
                os.fchown(fd, user.uid, user.gid)
            os.dup2(fd, number)
        if request["detach"]:
            _use_container_null()
        launch.leave_keys(progress)
        launch.become_user(config, user, privileges, helper_pipe, progress)
        progress.doing("making the process", "")
        pid = syscalls.clone_sibling()
        if pid:
            os.write(pids, b"%d" % pid)
            os._exit(0)
        progress.doing("joining the control groups", "")
        _enter_groups(*groups)
        os.setsid()
        if not request["detach"]:
            syscalls.prctl(syscalls.PR_SET_PDEATHSIG, launch.SIGKILL)
        progress.doing("executing the command %r" % config["command"][0], config["command"][0])
        process.execute(config["command"], env)
    except BaseException as error:
        try:
            os.write(errors, launch.describe(progress, error))
        except BaseException:
            pass
    os._exit(launch.FAILED)


def _use_container_null() -> None:
    """A detached command keeps its streams: the container's own null device, if it is one, and not the machine's."""
    fd = os.open("/dev/null", os.O_RDWR | os.O_NOFOLLOW | os.O_NOCTTY | os.O_NONBLOCK | os.O_CLOEXEC)
    if os.fstat(fd).st_rdev != os.makedev(1, 3):
        raise BulkheadError("/dev/null in the container is not the null device", target="/dev/null")
    for number in range(3):
        os.dup2(fd, number)


class Tail:
    """The end of a stream: no more is kept than is asked for, however much comes."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.truncated = False
        self._pieces: list[bytes] = []
        self._size = 0

    def add(self, data: bytes) -> None:
        """Take in what came next."""
        self._pieces.append(data)
        self._size += len(data)
        if self._size > 2 * self.most + PIECE:
            self._pieces = [self.bytes()]
            self._size = len(self._pieces[0])

    def bytes(self) -> bytes:
        """Return what is kept."""
        whole = b"".join(self._pieces)
        self.truncated = self.truncated or len(whole) > self.most
        return whole[-self.most :] if self.most else b""


class _Input:
    """The input of a command, which goes to the helper piece by piece, each when it asks for it."""

    def __init__(self, request: dict[str, Any]) -> None:
        self._id = request["id"]
        self._data: bytes = request["stdin"] or b""
        self._sent = 0

    def next(self) -> dict[str, Any]:
        """Return the next piece, and whether there are more."""
        data = self._data[self._sent : self._sent + PIECE]
        self._sent += len(data)
        return {"do": "input", "id": self._id, "data": data, "more": self._sent < len(self._data)}


def run(control: int, request: dict[str, Any], timeout: float | None, most: int) -> dict[str, Any]:
    """The module's side of one command: {rc, stdout, stderr} as bytes, or {pid} where it is detached, or {error}.

    most: how many bytes at the end of each stream are kept.
    """
    given = _Input(request)
    first = given.next()
    wire.send(control, {**request, "stdin": first["data"], "more": first["more"]})
    output = {1: Tail(most), 2: Tail(most)}
    poll = select.poll()
    poll.register(control, select.POLLIN)
    deadline = None if timeout is None else time.monotonic() + timeout
    timed_out = False
    while True:
        left = None if deadline is None or timed_out else deadline - time.monotonic()
        # Looked at each time: one that writes without end always has something to hear.
        if (left is not None and left <= 0) or not poll.poll(None if left is None else max(0, int(left * 1000) + 1)):
            timed_out = True
            wire.send(control, {"do": "kill", "id": request["id"]})
            continue
        message = wire.receive(control)
        if message is None:
            raise BulkheadError("the helper that runs commands in containers ended unexpectedly")
        if message["event"] == "output":
            output[message["stream"]].add(message["data"])
        elif message["event"] == "fed":
            wire.send(control, given.next())
        elif message["event"] == "failed":
            return {"error": message["error"]}
        elif message["event"] == "running":
            return {"pid": message["pid"]}
        elif message["event"] == "ended":
            found = {"rc": message["rc"], "stdout": output[1].bytes(), "stderr": output[2].bytes(), "timed_out": timed_out}
            return {**found, "stdout_truncated": output[1].truncated, "stderr_truncated": output[2].truncated}
