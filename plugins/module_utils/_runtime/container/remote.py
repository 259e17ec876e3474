# Copyright: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""The module's side of the helper: start it, talk to it, let go of it."""

from __future__ import annotations

import fcntl
import os
import select
import socket

from .. import pack
from ..errors import BulkheadError
from . import seal, wire
from .helper import CONTROL, STREAMS
from .paths import Paths

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

# How long a helper may take from its start to its first word.
_PATIENCE = 30
_BUFFER = 8 << 20


class Helper:
    """One helper, from its start to its end; it dies with this process."""

    def __init__(self, paths: Paths, bridges: bool = False, streams: list[int] | None = None) -> None:
        """bridges: whether it is to start containers with a place on a bridge.

        streams: the standard streams of a command that it is to run; they stay open here.
        """
        self._bridges = bridges
        self._streams = streams or []
        interpreter = pack.interpreter()
        # Its first word comes when it has imported all that it will ever need.
        with pack.in_use(paths.core):
            self._start(paths, interpreter)
            ready = self.receive(_PATIENCE)
        if ready is None:
            self.close()
            raise BulkheadError("the helper that makes containers ended at once", target=interpreter, hint="try: %s -I -S %s" % (interpreter, paths.core))

    def _start(self, paths: Paths, interpreter: str) -> None:
        empty = paths.lib + "/empty"
        os.makedirs(empty, mode=0o700, exist_ok=True)
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        for end in (ours, theirs):
            # One packet carries a whole container; large environments need room (SO_SNDBUFFORCE is for root).
            end.setsockopt(socket.SOL_SOCKET, 32, _BUFFER)
        program = seal.sealed(interpreter, empty)
        # Out of the way of the numbers that the helper expects.
        moved = [fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, STREAMS[-1] + 1) for fd in (program, *self._streams)]
        os.close(program)
        high = moved[0]
        arguments = [interpreter, "-I", "-S", "-c", seal.CODE, paths.core, "helper", str(os.getpid())]
        arguments += ["bridges"] if self._bridges else []
        arguments += ["streams"] if self._streams else []
        null = os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC)
        actions = [(os.POSIX_SPAWN_DUP2, null, 0), (os.POSIX_SPAWN_DUP2, null, 1), (os.POSIX_SPAWN_DUP2, null, 2)]
        actions.append((os.POSIX_SPAWN_DUP2, theirs.fileno(), CONTROL))
        actions += [(os.POSIX_SPAWN_DUP2, fd, number) for fd, number in zip(moved[1:], STREAMS)]
        try:
            self.pid = os.posix_spawn("/proc/self/fd/%d" % high, arguments, seal.ENVIRONMENT, file_actions=actions)
        except OSError as error:
            raise BulkheadError.from_os("the helper that makes containers could not be started", error, target=interpreter) from None
        finally:
            for fd in (*moved, null):
                os.close(fd)
            theirs.close()
        self._socket = ours
        self.control = ours.fileno()

    def send(self, message: dict[str, Any]) -> None:
        try:
            wire.send(self.control, message)
        except OSError as error:
            raise BulkheadError.from_os(
                "the helper that makes containers does not listen any more",
                error,
                hint="if a container's configuration is larger than %d MiB, make it smaller" % (_BUFFER >> 20),
            ) from None

    def receive(self, timeout: float | None = None) -> dict[str, Any] | None:
        """The next message; None when the helper is gone, or the time is up."""
        if timeout is not None:
            poll = select.poll()
            poll.register(self.control, select.POLLIN)
            if not poll.poll(timeout * 1000):
                return None
        return wire.receive(self.control)

    def close(self) -> None:
        """Let it go: without a commit it ends at once and what it began with it, else when the containers it watches have ended."""
        self._socket.close()

    def wait(self) -> None:
        """Wait for its end. Only where nothing keeps it: after a failure, or when no container is watched by it."""
        try:
            os.waitpid(self.pid, 0)
        except ChildProcessError:
            pass
