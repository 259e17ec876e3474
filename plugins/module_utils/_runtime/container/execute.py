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
import fcntl
import os
import select
import termios

from ..errors import BulkheadError
from ..kernel import syscalls
from . import becoming, process, state

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .attend import Session
    from .health import Health
    from .monitor import Supervisor

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


class Commands:
    """The commands of one caller, watched by its loop."""

    def __init__(self, supervisor: Supervisor | Health | Session) -> None:
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

    def start(self, request: dict[str, Any], streams: list[int] | None = None) -> None:
        """Begin to run a command.

        streams: its standard input, output and error: ends of pipes, or a terminal, that were made
        for it and that nobody else has. They are closed here, also when this fails. None: what it
        writes is told, and it has no input.
        """
        command = _Command(request)
        progress = becoming.Progress()
        try:
            self._start(command, progress, streams)
        except (OSError, BulkheadError) as error:
            facts = becoming.failure(request["config"]["name"], becoming.describe(progress, error))
            self.supervisor.tell({"event": "failed", "id": command.id, "error": facts})

    def _start(
        self, command: _Command, progress: becoming.Progress, streams: list[int] | None
    ) -> None:
        request = command.request
        inherited: list[int] = list(streams or [])
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
            if streams is None:
                streams = self._make_streams(command, inherited)
            privileges = process.Privileges(request["config"], request.get("filters"))
            command.first = os.fork()
            if command.first == 0:
                _join(request, target, (groups, procs), streams, errors_in, pids_in, privileges)
        finally:
            for fd in set(inherited):
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

    def _make_streams(self, command: _Command, inherited: list[int]) -> list[int]:
        """The streams of a command that nobody feeds; the ends for it are added to `inherited`."""
        if command.request["detach"]:
            from . import devices  # imported already, by whoever lets commands be left running

            null = devices.open_null_of_machine()
            inherited.append(null)
            return [null, null, null]
        stdin, stdin_in = os.pipe2(os.O_CLOEXEC)
        os.close(stdin_in)
        stdout, stdout_in = os.pipe2(os.O_CLOEXEC)
        stderr, stderr_in = os.pipe2(os.O_CLOEXEC)
        inherited += [stdin, stdout_in, stderr_in]
        command.streams = {stdout: 1, stderr: 2}
        return [stdin, stdout_in, stderr_in]

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
        if fd in command.streams:
            self._drain(command, fd)
        elif fd == command.errors:
            data = os.read(fd, 65536)
            self._close(fd)
            command.errors = -1
            if data:
                self._finish(command, {"event": "failed", "error": becoming.failure(command.request["config"]["name"], data)})
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
        pidfd, command.pidfd = command.pidfd, -1
        for fd in (pidfd, command.errors):
            if fd >= 0:
                self._close(fd)
        message["id"] = command.id
        self.supervisor.tell(message)

    def signal(self, identifier: int, number: int) -> None:
        """Send a signal to a command, unless it has ended."""
        for command in set(self.by_fd.values()):
            if command.id == identifier and command.pidfd >= 0:
                try:
                    syscalls.pidfd_send_signal(command.pidfd, number)
                except ProcessLookupError:
                    pass

    def kill(self, identifier: int) -> None:
        """End a command and its session: its time is up."""
        for command in set(self.by_fd.values()):
            if command.id == identifier and command.pid:
                # It leads a process group of its own, and its number stays its own until it is reaped here.
                for target in (-command.pid, command.pid):
                    try:
                        os.kill(target, becoming.SIGKILL)
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
    progress = becoming.Progress()
    try:
        config = request["config"]
        helper_pipe = errors
        syscalls.prctl(syscalls.PR_SET_PDEATHSIG, becoming.SIGKILL)
        progress.doing("leaving the priorities and limits of the caller", "")
        process.default_signals()
        process.reset_inherited()
        process.set_oom_score(config["oom_score_adj"])
        progress.doing("joining the namespaces", str(request["pid"]))
        syscalls.setns(target, _NAMESPACES)
        os.chdir("/")
        progress.doing("looking up the user", config["user"])
        user = process.find_user(config["user"], config["groups"])
        env = becoming.environment(config, user)
        if request.get("chdir"):
            config = {**config, "cwd": process.directory(request["chdir"], config["cwd"], env, user)}
        progress.doing("opening the standard streams", "")
        for number, fd in enumerate(streams):
            if not request["detach"]:
                # A terminal stays in the group of terminals.
                os.fchown(fd, user.uid, -1 if request.get("tty") else user.gid)
            os.dup2(fd, number)
        if request["detach"]:
            _use_container_null()
        becoming.leave_keys(progress)
        becoming.become_user(config, user, privileges, helper_pipe, progress)
        progress.doing("making the process", "")
        pid = syscalls.clone_sibling()
        if pid:
            os.write(pids, b"%d" % pid)
            os._exit(0)
        progress.doing("joining the control groups", "")
        _enter_groups(*groups)
        os.setsid()
        if request.get("tty"):
            progress.doing("making the terminal that of the session", "")
            fcntl.ioctl(0, termios.TIOCSCTTY, 0)
        if not request["detach"]:
            syscalls.prctl(syscalls.PR_SET_PDEATHSIG, becoming.SIGKILL)
        progress.doing("executing the command %r" % config["command"][0], config["command"][0])
        process.execute(config["command"], env)
    except BaseException as error:
        try:
            os.write(errors, becoming.describe(progress, error))
        except BaseException:
            pass
    os._exit(becoming.FAILED)


def _use_container_null() -> None:
    """A detached command keeps its streams: the container's own null device, if it is one, and not the machine's."""
    fd = os.open("/dev/null", os.O_RDWR | os.O_NOFOLLOW | os.O_NOCTTY | os.O_NONBLOCK | os.O_CLOEXEC)
    if os.fstat(fd).st_rdev != os.makedev(1, 3):
        raise BulkheadError("/dev/null in the container is not the null device", target="/dev/null")
    for number in range(3):
        os.dup2(fd, number)
