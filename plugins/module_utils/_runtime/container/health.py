# Copyright: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""The health of a container: a command that its supervisor runs in it again and again, as an added command is run.

It is in the record as {status, failures, output}: starting until the first check succeeds, healthy, and unhealthy after
`retries` failures one after the other. A check that takes too long is killed and has failed. What is frozen is not checked.
"""

from __future__ import annotations

import time

from ..errors import InvalidInput
from ..kernel import cgroupfs
from . import execute, streams, words
from .waiting import seconds

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from .monitor import Supervisor, Watched

# Seconds between checks while a container starts, where its interval is longer.
_EAGER = 1.0
_OUTPUT = 2048


def parse(value: object, command: Callable[[object], list[str]]) -> dict[str, Any] | None:
    """A check from its options, None for none. Raises InvalidInput."""
    given = words.mapping(value, "healthcheck")
    test = given.get("command")
    if test is None or test in (["NONE"], []):
        if given and test is None:
            raise InvalidInput("healthcheck: command is required")
        return None
    if isinstance(test, (list, tuple)) and test[0] in ("CMD", "CMD-SHELL"):
        test = list(test[1:]) if test[0] == "CMD" else ["/bin/sh", "-c", *test[1:]]
    try:
        found: dict[str, Any] = {"command": command(test)}
    except InvalidInput as error:
        error.problem = "healthcheck: %s" % error.problem
        raise
    for key, default, least in (("interval", 30.0, 0.1), ("timeout", 30.0, 0.1), ("start_period", 0.0, 0.0)):
        found[key] = seconds(given.get(key), "healthcheck.%s" % key, default, least)
    found["retries"] = words.whole(3 if given.get("retries") is None else given["retries"], "healthcheck.retries", 1, 1000)
    return found


class Health:
    """The checks of one container. To the commands it is what they belong to: a poll object, and whom they tell of themselves."""

    def __init__(self, supervisor: Supervisor, watched: Watched) -> None:
        self.watched = watched
        self.poll = supervisor.poll
        self.commands = execute.Commands(self)
        self._number = 0
        self._began = self._due = self._until = 0.0
        self._running = self._timed_out = False
        self._output = streams.Tail(_OUTPUT)
        self._asked: dict[str, Any] | None = None

    def start_over(self) -> None:
        """The container was started: nothing is known of its health."""
        self._began = time.monotonic()
        self._due = self._began
        self._running = False
        self._number += 1
        self.watched.record.pop("health", None)
        self._asked = None

    def _check(self) -> dict[str, Any] | None:
        """Return what is to be checked, as it is said now."""
        asked: dict[str, Any] | None = self.watched.values.config().get("healthcheck") if self.watched.running and self.watched.started else None
        if asked != self._asked:
            self._asked = asked
            self.watched.record.pop("health", None)
            self._due = time.monotonic() + (min(asked["interval"], _EAGER) if asked else 0.0)
            if asked:
                self.watched.record["health"] = {"status": "starting", "failures": 0, "output": ""}
            if self.watched.running:
                self.watched.write()
        return asked

    def pause(self) -> int | None:
        """Return how many milliseconds there is nothing to do; None for ever."""
        if not self._asked:
            return None
        return max(0, int((min(self._until, self._due) if self._running else self._due) * 1000 - time.monotonic() * 1000)) + 1 if not self._timed_out else None

    def tick(self) -> None:
        """Do what is due."""
        asked, now = self._check(), time.monotonic()
        if asked is None:
            return
        if self._running:
            if now >= self._until and not self._timed_out:
                self._timed_out = True
                self.commands.kill(self._number)
        elif now >= self._due:
            self._due = now + asked["interval"]
            if not _is_frozen(self.watched.spec):
                self._begin(asked)

    def _begin(self, asked: dict[str, Any]) -> None:
        self._number += 1
        self._running, self._timed_out = True, False
        self._until = time.monotonic() + asked["timeout"]
        self._due = max(self._due, self._until)
        self._output = streams.Tail(_OUTPUT)
        self.commands.start(_request(self._number, self.watched, asked["command"]))

    def tell(self, message: dict[str, Any]) -> None:
        """Hear of a check: of its output, or of its end."""
        if message["id"] != self._number or self._asked is None:
            return  # of an earlier life of the container
        if message["event"] == "output":
            self._output.add(message["data"])
        elif message["event"] == "ended":
            text = "it took longer than %g seconds" % self._asked["timeout"] if self._timed_out else self._output.bytes().decode("utf-8", "replace")
            self._judge(self._asked, message["rc"] == 0 and not self._timed_out, text)
        elif message["event"] == "failed":
            self._judge(self._asked, False, str(message["error"].get("problem")))

    def _judge(self, asked: dict[str, Any], good: bool, output: str) -> None:
        """Note what came of a check, and when the next one is due."""
        self._running = self._timed_out = False
        before = self.watched.record.get("health") or {"status": "starting", "failures": 0}
        now = time.monotonic()
        starting = before["status"] == "starting" and now - self._began < asked["start_period"]
        self._due = now + (min(asked["interval"], _EAGER) if starting and not good else asked["interval"])
        failures = 0 if good else before["failures"] + (not starting)
        status = "healthy" if good else "unhealthy" if failures >= asked["retries"] else before["status"]
        self.watched.record["health"] = {"status": status, "failures": failures, "output": "" if good else output}
        if (status, failures) != (before["status"], before["failures"]) or (not good and output != before.get("output")):
            self.watched.write()


def _request(number: int, watched: Watched, command: list[str]) -> dict[str, Any]:
    """Return what is asked for a check, as for an added command."""
    spec, record = watched.spec, watched.record
    procs = [spec["v2"] + "/cgroup.procs"] if spec["v2"] else []
    if procs:
        # A container that hands controllers down holds no process in its payload: where the first one is, there is room.
        inside = cgroupfs.read("/proc/%d/cgroup" % record["pid"]).partition("0::")[2].splitlines()[0].partition(spec["group"] + "/payload")[2]
        procs += [spec["v2"] + inside + "/cgroup.procs"] if inside else []
    return {
        "do": "exec",
        "id": number,
        "pid": record["pid"],
        "start": record["start"],
        "tasks": [path + "/tasks" for path in spec["v1"]],
        "procs": procs,
        "classes": spec.get("classes", []),
        "config": {**spec["config"], "command": command},
        "stdin": None,
        "detach": False,
    }


def _is_frozen(spec: dict[str, Any]) -> bool:
    """Return whether the container is paused: a check in it would not end."""
    files = [path + "/freezer.state" for path in spec["v1"]] + ([spec["v2"] + "/cgroup.freeze"] if spec["v2"] else [])
    for file in files:
        try:
            if cgroupfs.read(file).strip() in ("1", "FREEZING", "FROZEN"):
                return True
        except OSError:
            continue  # another hierarchy has the freezer
    return False
