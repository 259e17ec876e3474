# Copyright: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""What is waited for when everything of a call stands, and what is said of containers that do not do as they should.

A service is looked at again after a short time to settle, all services of a call at the same time; it may be waited for
until it is healthy. A job is waited for until its end. Whatever comes of it, nothing is rolled back: a container that has
failed stays as it is, to be looked at.
"""

from __future__ import annotations

import os
import select
import time

from .. import units
from ..errors import InvalidInput
from . import state

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any

# Seconds.
SETTLE = 1.0
HEALTHY_WITHIN = 60.0
# The most that a module can return without filling the memory of the machine that runs Ansible, and what a job returns by default.
MOST_OUTPUT = 256 << 20
JOB_OUTPUT = 64 << 10
_LONGEST = 366 * 86400.0
_PAUSE = 0.05
# One that was started again less than this ago may be about to end again.
_LONG_RUN = 10.0


class Waiting:
    """What a call waits for of one container.

    settle: how long a service is watched; timeout: how long its end or its health is waited for, None for ever.
    """

    def __init__(self, options: dict[str, Any]) -> None:
        """Raises InvalidInput."""
        self.healthy = options.get("state") == "healthy"
        self.settle = seconds(options.get("settle"), "settle", SETTLE, 0)
        self.max_output = parse_most(options.get("max_output"), JOB_OUTPUT)
        least = 0.001
        self.timeout = seconds(options.get("wait_timeout"), "wait_timeout", HEALTHY_WITHIN, least) if self.healthy else None
        if options.get("wait_timeout") is not None:
            self.timeout = seconds(options["wait_timeout"], "wait_timeout", HEALTHY_WITHIN, least)


def seconds(value: object, what: str, default: float, least: float) -> float:
    """A time in seconds, with or without a fraction."""
    if value is None:
        return default
    try:
        if isinstance(value, bool):
            raise ValueError
        number = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        raise InvalidInput("%s: %r is not a number of seconds" % (what, value)) from None
    if not least <= number <= _LONGEST:
        raise InvalidInput("%s: %s is not a time in seconds from %g to %d" % (what, value, least, _LONGEST))
    return number


def parse_most(value: object, default: int) -> int:
    """How much of an output is returned, in bytes."""
    if value is None:
        return default
    number = units.parse_size(value if isinstance(value, (int, float)) else str(value), "max_output")
    if not 0 <= number <= MOST_OUTPUT:
        raise InvalidInput("max_output: %s is not within 0 to %dM" % (value, MOST_OUTPUT >> 20))
    return number


def last_of(text: str, most: int) -> tuple[str, bool]:
    """Return the end of a text, no longer than so many bytes, and whether something before it was left out."""
    data = text.encode("utf-8", "surrogateescape")
    if len(data) <= most:
        return text, False
    return data[len(data) - most :].decode("utf-8", "replace"), True


def settle(times: dict[str, float], directory_of: Callable[[str], str]) -> set[str]:
    """Watch containers, each for its time and all at once; return those whose first process has ended meanwhile.

    One that has ended and is started again by its policy is given its whole time, to be judged by how it is then.
    """
    began = time.monotonic()
    records = {name: state.read(directory_of(name)) or {} for name, length in times.items() if length > 0}
    watched = {}
    for name, record in records.items():
        pid = int(record.get("pid") or 0)
        pidfd = state.open_process(pid, int(record.get("start") or 0)) if pid else -1
        if pidfd >= 0:
            watched[pidfd] = name
    ended = set(records) - set(watched.values())
    try:
        ended |= _ends({fd: began + times[name] for fd, name in watched.items()}, watched)
    finally:
        for fd in watched:
            os.close(fd)
    again = [times[name] for name in ended if ((records[name].get("config") or {}).get("restart_policy") or {}).get("name", "no") != "no"]
    time.sleep(max(0.0, began + max(again, default=0.0) - time.monotonic()))
    return ended


def _ends(left: dict[int, float], names: dict[int, str]) -> set[str]:
    """Wait for the ends of processes, each until its time; return the names of those that came."""
    poll = select.poll()
    for fd in left:
        poll.register(fd, select.POLLIN)
    ended = set()
    while left:
        came = [fd for fd, _events in poll.poll(max(0.0, min(left.values()) - time.monotonic()) * 1000)]
        ended |= {names[fd] for fd in came}
        for fd in came + [fd for fd, limit in left.items() if fd not in came and limit <= time.monotonic()]:
            poll.unregister(fd)
            del left[fd]
    return ended


def until(limits: dict[str, float], is_over: Callable[[str], bool]) -> set[str]:
    """Wait until it is over with each of these, all at once; return those for which the time was too short."""
    began = time.monotonic()
    waiting, late = set(limits), set()
    while True:
        for name in sorted(waiting):
            if is_over(name):
                waiting.discard(name)
            elif time.monotonic() - began > limits[name]:
                waiting.discard(name)
                late.add(name)
        if not waiting:
            return late
        time.sleep(_PAUSE)


def how_it_ended(described: dict[str, Any]) -> str:
    """Why a container does not run, in words, by what is returned of it."""
    problem = (described.get("error") or {}).get("problem")
    if problem:
        return "could not be started again: %s" % problem
    ended = described.get("exit") or {}
    text = "ended with status %s" % ended.get("code", "unknown")
    return text + ", killed for want of memory: is memory.max too low?" if ended.get("killed_by") == "memory" else text


def again_and_again(described: dict[str, Any], record: dict[str, Any]) -> str:
    """A warning about a container that runs and ends in turns; empty where it does not."""
    restarts = int(described.get("restarts") or 0)
    if described["status"] == "restarting":
        return "container %s waits to be started again: it %s; it was started again %d times" % (record["id"], how_it_ended(described), restarts)
    young = restarts and described["status"] == "running" and state.age(int(record.get("start") or 0)) < _LONG_RUN
    if young:
        return "container %s was started again %d times, the last time a moment ago" % (record["id"], restarts)
    return ""


def hint(found: Iterable[dict[str, Any]]) -> str:
    """The last words of containers that failed."""
    return "; ".join("last words of %s: %s" % (one["name"], one["output"][-2000:].strip() or "none") for one in found if "output" in one)
