# Copyright: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""The helper: the one process that a module call starts to make containers and to run commands in them.

It runs from the packed core, on a read-only interpreter, without anything of Ansible in its memory; it cannot be traced or
looked into (PR_SET_DUMPABLE), and it dies with the module. What it needs is imported before its first request, and then
importing is made impossible: its children look at file systems that belong to containers, and must never load code from
there.
"""

from __future__ import annotations

import gc
import os
import select

from ..kernel import syscalls
from . import becoming, execute, imports, monitor, process, wire
from .seccomp import filters, guard

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

# The module's end of the socket is this descriptor; everything else that it had open is closed.
CONTROL = 3
# The standard streams of a command, where the module gives some (streams.py).
STREAMS = (4, 5, 6)


def main(parent: int, bridges: bool = False, streams: bool = False) -> int:
    """Serve the module with this process id until it closes the socket.

    bridges: whether to start containers with a place on a bridge; what only they need takes time to import.
    streams: whether it gives the streams of a command.
    """
    syscalls.prctl(syscalls.PR_SET_DUMPABLE, 0)
    syscalls.prctl(syscalls.PR_SET_PDEATHSIG, becoming.SIGKILL)
    if os.getppid() != parent:
        return 1  # the module died before the line above
    inherited = (CONTROL, *STREAMS) if streams else (CONTROL,)
    syscalls.close_range(inherited[-1] + 1)
    for fd in inherited:
        os.set_inheritable(fd, False)
    os.chdir("/")
    process.default_signals()
    syscalls.set_name("bulkhead-helper")
    if bridges:
        from . import shaping, wiring  # noqa: F401
    imports.seal()
    # What is there now stays: the collector must not touch it, so that the copies of this process share its memory.
    gc.disable()
    gc.freeze()
    wire.send(CONTROL, {"event": "ready", "pid": os.getpid()})
    Helper(list(STREAMS) if streams else None).run()
    return 0


class Helper:
    """The requests of one module call."""

    def __init__(self, streams: list[int] | None) -> None:
        self._streams = streams
        self.commit, self._commit_in = os.pipe2(os.O_CLOEXEC)
        self.supervisor = monitor.Supervisor(CONTROL, -1)
        self.supervisor.poll.register(CONTROL, select.POLLIN)
        self.commands = execute.Commands(self.supervisor)
        self._monitors: dict[int, tuple[int, str]] = {}  # {pidfd: (process, container)}
        self._arrived = select.poll()
        self._arrived.register(CONTROL, select.POLLIN)

    def run(self) -> None:
        """Serve until the module is gone; then the kernel kills what was begun and not committed."""
        module_there = True
        while module_there:
            for fd in self.supervisor.step():
                if fd in self._monitors:
                    self._on_monitor_end(fd)
                elif fd != CONTROL:
                    self.commands.handle(fd)
                else:
                    requests, module_there = self._receive()
                    for request in requests:
                        self._serve(request)

    def _on_monitor_end(self, pidfd: int) -> None:
        """Tell the module that a monitor is gone: one that was killed could not tell how its container ended."""
        pid, name = self._monitors.pop(pidfd)
        self.supervisor.poll.unregister(pidfd)
        os.close(pidfd)
        os.waitpid(pid, 0)
        self.supervisor.tell({"event": "gone", "name": name})

    def _receive(self) -> tuple[list[dict[str, Any]], bool]:
        """What has arrived, and whether more may come.

        All of it is read before any is served: after a fork the kernel copies every page that this process writes to, so
        containers are made one right after the other.
        """
        requests: list[dict[str, Any]] = []
        while not requests or self._arrived.poll(0):
            request = wire.receive(CONTROL)
            if request is None:
                return requests, False
            requests.append(request)
        return requests, True

    def _serve(self, request: dict[str, Any]) -> None:
        verb = request["do"]
        if verb == "start":
            self._start_monitor(request["spec"])
        elif verb == "commit":
            os.write(self._commit_in, b"1")
            self.supervisor.on_commit()
            wire.send(CONTROL, {"event": "done"})
        elif verb == "exec":
            self.commands.start(request, self._streams)
        elif verb == "kill":
            self.commands.kill(request["id"])

    def _start_monitor(self, spec: dict[str, Any]) -> None:
        helper = os.getpid()
        filters.of(spec["config"])  # made here once, and not in each monitor
        guard.of(spec["config"])
        pid = os.fork()
        if pid:
            pidfd = syscalls.pidfd_open(pid)
            self._monitors[pidfd] = (pid, spec["config"]["name"])
            self.supervisor.poll.register(pidfd, select.POLLIN)
            return
        try:
            syscalls.prctl(syscalls.PR_SET_PDEATHSIG, becoming.SIGKILL)
            if os.getppid() == helper:
                os.close(self._commit_in)
                for fd in self._monitors:
                    os.close(fd)
                syscalls.set_name("bulkhead-monitor")
                monitor.monitor(spec, CONTROL, self.commit)
        finally:
            os._exit(0)
