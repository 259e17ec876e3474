# Copyright: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""The way into a running container for a further command: which container, which groups, as whom."""

from __future__ import annotations

from ..errors import InvalidInput
from . import entrance, groups, live, state

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ..cgroup.host import Host
    from .entrance import Asked
    from .paths import Paths


class NotRunning(InvalidInput):
    """There is no such container that runs; in check mode an earlier task of the play may be about to start it."""


def find(name: str, paths: Paths, host: Host) -> dict[str, Any]:
    """The record of a container that runs. Raises NotRunning."""
    record = state.read(paths.state(name))
    if record is not None and _certainly_runs(record, host):
        return {**record, "config": live.read(paths.state(name), record["config"])}
    return _look_closer(name, paths, host)


def _certainly_runs(record: dict[str, Any], host: Host) -> bool:
    """Whether nothing needs a closer look: then what that takes need not be imported."""
    alive = state.is_alive({"pid": int(record.get("pid") or 0), "start": int(record.get("start") or 0)})
    sound = record["status"] == "running" and bool(record.get("cgroup")) and not record.get("damaged")
    return sound and alive and state.is_alive(record.get("monitor")) and not groups.frozen_by(record, host)


def _look_closer(name: str, paths: Paths, host: Host) -> dict[str, Any]:
    from . import lifecycle

    seen = lifecycle.look(name, paths, host)
    if seen.record is None or seen.phase not in ("running", "paused"):
        raise NotRunning("container %s does not run: it is %s" % (name, seen.phase), hint="start it first, with container_run")
    if seen.phase == "paused":
        raise NotRunning("container %s is paused: a command in it would never end" % name, hint="start it first, with container_run and state: started")
    return seen.record


def request(record: dict[str, Any], asked: Asked, host: Host) -> dict[str, Any]:
    """What whoever runs the command is asked for (execute.py)."""
    held = record["config"]
    places = {**groups.entries(record, host), "classes": _classes(held)}
    return entrance.request(record["pid"], record["start"], places, held, asked)


def _classes(held: dict[str, Any]) -> list[str]:
    """The files by which a command joins the container's RDT class; what that takes is imported only where there is one."""
    if not held.get("rdt"):
        return []
    from . import classes

    return classes.files(held["rdt"], held["name"])
