# Copyright: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""The command of `bulkhead exec` while it runs: the caller's streams, signals and terminal."""

from __future__ import annotations

import _signal as signal  # type: ignore[import-not-found]  # as in process.py
import gc
import os
import select

from .. import corefile
from ..errors import BulkheadError
from . import entrance, execute, imports, session, state
from .streams import Streams

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from . import terminal

# What somebody sends to end a program or to tell it something: HUP INT QUIT USR1 USR2 ALRM TERM CONT.
_HANDED_ON = (1, 2, 3, 10, 12, 14, 15, 18)
_SIGKILL, _SIGWINCH = 9, 28
# How long, in milliseconds, a container may take to end after one of its processes was killed.
_LAST_BREATH = 100


def request(options: dict[str, Any]) -> dict[str, Any]:
    """What is to be run, in which container. Raises BulkheadError where it cannot be entered."""
    name, env, cwd, user = str(options["name"]), dict(options["env"]), "", ""
    if "cwd" in options or "user" in options:
        from . import words

        cwd = words.parse_directory(options["cwd"], "cwd") if "cwd" in options else ""
        user = words.parse_user(options["user"]) if "user" in options else ""
    if options["tty"]:
        from . import terminal  # noqa: F401  (before nothing can be loaded any more)

        if "TERM" in os.environ:
            env.setdefault("TERM", os.environ["TERM"])
    asked = entrance.Asked(options["command"], env, cwd, user, options["tty"])
    found = entrance.read(corefile.STATES + name) if _is_name(name) else None
    if found is None:
        return _look_closer(name, asked)
    wanted = entrance.request(found["pid"], found["start"], entrance.places(found), found["config"], asked)
    return {**wanted, "filters": found["filters"]}


def _is_name(name: str) -> bool:
    """Whether it can be a directory's own name; what else the name of a container may not be is told by a closer look."""
    return "/" not in name and not name.startswith(".")


def _look_closer(name: str, asked: entrance.Asked) -> dict[str, Any]:
    """The same from the container's record and what the machine is now."""
    from ..cgroup.host import Host
    from . import entry, words
    from .paths import Paths
    from .seccomp import filters, guard  # noqa: F401  (before nothing can be loaded any more)

    host = Host.observe()
    return entry.request(entry.find(words.parse_name(name), Paths(), host), asked, host)


def _to(fd: int, data: bytes) -> bool:
    """Write all of it to one of the caller's streams; returns False when nobody reads any more."""
    while data:
        try:
            data = data[os.write(fd, data) :]
        except BlockingIOError:  # by a flag of whoever shares the stream with us
            poll = select.poll()
            poll.register(fd, select.POLLOUT)
            poll.poll()
        except OSError:
            return False
    return True


class Session:
    """One command, from its start to the exit status. To the commands it is what they belong to (execute.py)."""

    def __init__(self, wanted: dict[str, Any]) -> None:
        self.wanted = wanted
        self.name: str = wanted["config"]["name"]
        self.poll = select.poll()
        self.commands = execute.Commands(self)
        self._raw: terminal.Raw | None = None
        self._master = -1
        self._end: dict[str, Any] | None = None

    def tell(self, message: dict[str, Any]) -> None:
        """Hear of the command's end."""
        self._end = message

    def run(self) -> int:
        """Run it; returns the exit status."""
        imports.seal()
        os.close(imports.HOLD)
        gc.disable()
        try:
            streams = self._open()
        except BulkheadError as error:
            return session.say(error, session.UNREACHED)
        try:
            self._listen()
            self.commands.start(self.wanted, streams.theirs)
            while self._end is None:
                for fd, _events in self.poll.poll():
                    if not streams.handle(fd):
                        self.commands.handle(fd)
            streams.finish()
        finally:
            if self._raw:
                self._raw.restore()
        return self._status(self._end)

    def _open(self) -> Streams:
        """The command's streams; the caller's terminal, if it gets one of its own, hands each key on."""
        sinks = (lambda data: _to(1, data)), (lambda data: _to(2, data))
        pair = None
        if self.wanted["tty"]:
            from . import terminal

            pair = terminal.make(self.wanted["pid"], self.name)
            self._master = pair[0]
            if os.isatty(0):
                terminal.copy_size(0, pair[0])
                self._raw = terminal.Raw(0)
        return Streams(self.poll, sinks, source=0, terminal=pair)

    def _listen(self) -> None:
        """Hand signals on; one that the caller has ignored, as nohup(1) does, is ignored here too."""
        for number in _HANDED_ON:
            if signal.getsignal(number) != signal.SIG_IGN:
                signal.signal(number, lambda got, _frame: self.commands.signal(1, got))
        if self._raw:
            from . import terminal

            signal.signal(_SIGWINCH, lambda _got, _frame: terminal.copy_size(0, self._master))

    def _status(self, end: dict[str, Any]) -> int:
        if end["event"] == "failed":
            return self._refused(end["error"])
        status: int = end["rc"]
        if status == 128 + _SIGKILL and self._is_gone(_LAST_BREATH):
            problem = "container %s ended while the command ran" % self.name
            return session.say(BulkheadError(problem), session.UNREACHED)
        return status

    def _refused(self, facts: dict[str, Any]) -> int:
        """Say why the command did not begin."""
        known = ("target", "value", "errno", "kernel", "hint")
        error = BulkheadError(facts["problem"], **{key: facts[key] for key in known if key in facts})
        missing = error.errno == 2 and error.target == self.wanted["config"]["command"][0]
        status = session.NOT_FOUND if missing else session.NOT_RUNNABLE
        return session.say(error, session.UNREACHED if self._is_gone(0) else status)

    def _is_gone(self, patience: int) -> bool:
        """Whether the container's first process has ended, or does so within this many milliseconds."""
        pidfd = state.open_process(self.wanted["pid"], self.wanted["start"])
        if pidfd < 0:
            return True
        poll = select.poll()
        poll.register(pidfd, select.POLLIN)
        gone = bool(poll.poll(patience))
        os.close(pidfd)
        return gone
