# Copyright: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""container_exec from the module's side: what to run, as whom, in which container."""

from __future__ import annotations

import os

from ..cgroup.host import Host
from ..errors import InvalidInput
from . import classes, config, execute, groups, lifecycle, lookup, waiting, words
from .mounts import Root
from .paths import Paths
from .remote import Helper

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

# A year: more is a mistake, and much more is none that poll(2) can count.
_LONGEST = 366 * 86400.0
# How much of the output of a command is returned unless it is said.
_MOST = 4 << 20


class NotRunning(InvalidInput):
    """There is no such container that runs; in check mode an earlier task of the play may be about to start it."""


def _timeout(value: object) -> float | None:
    """Seconds that a command may take; None for as long as it likes."""
    if value is None:
        return None
    try:
        seconds = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        raise InvalidInput("timeout: %r is not a number of seconds" % (value,)) from None
    if not 0 < seconds <= _LONGEST:
        raise InvalidInput("timeout: %s is not a time that a command can take" % value, hint="give seconds above 0, or leave it out to wait for its end")
    return seconds


def request(options: dict[str, Any], paths: Paths, host: Host) -> dict[str, Any]:
    """What the helper is asked for. Raises InvalidInput where there is no such running container."""
    name = words.parse_name(options.get("name"))
    command = config.parse_command(options.get("command"))
    env = config.parse_environment(options.get("env"))
    seen = lifecycle.look(name, paths, host)
    if seen.record is None or seen.phase not in ("running", "paused"):
        raise NotRunning("container %s does not run: it is %s" % (name, seen.phase), hint="start it first, with container_run")
    if seen.phase == "paused":
        raise NotRunning("container %s is paused: a command in it would never end" % name, hint="start it first, with container_run and state: started")
    held = seen.record["config"]
    text = options.get("stdin")
    wanted = {
        **{key: held[key] for key in ("name", "capabilities", "no_new_privileges", "rlimits", "umask", "groups", "oom_score_adj")},
        "seccomp": held.get("seccomp"),
        "disk_quota": held.get("disk_quota"),
        "command": command,
        "env": {**held["env"], **env},
        "cwd": words.parse_path(options.get("cwd") or held["cwd"], "cwd"),
        "user": words.parse_user(options["user"]) if options.get("user") is not None else held["user"],
    }
    return {
        "do": "exec",
        "id": 1,
        "pid": seen.record["pid"],
        "start": seen.record["start"],
        **groups.entries(seen.record, host),
        "classes": classes.files(held.get("rdt"), held["name"]),
        "config": wanted,
        "stdin": text.encode() if text is not None else None,
        "detach": bool(options.get("detach")),
        "timeout": _timeout(options.get("timeout")),
        "most": waiting.parse_most(options.get("max_output"), _MOST),
    }


def foresee(options: dict[str, Any], paths: Paths, host: Host) -> list[str]:
    """For check mode: raise what a run would certainly end in; what an earlier task may put right is returned, as warnings."""
    try:
        wanted = request(options, paths, host)
    except NotRunning as missing:
        return ["%s; unless an earlier task of the play starts it, this task fails" % missing.problem]
    try:
        root = Root(os.open("/proc/%d/root" % wanted["pid"], os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC))
    except FileNotFoundError:
        return []  # it ended this moment
    try:
        lookup.check(wanted["config"], root)
    finally:
        root.close()
    return []


def run(options: dict[str, Any], paths: Paths, host: Host) -> dict[str, Any]:
    """Run the command; {rc, stdout, stderr, timed_out}, or {pid} of one that is left running."""
    wanted = request(options, paths, host)
    paths.make()
    helper = Helper(paths)
    try:
        answer = execute.run(helper.control, wanted, wanted["timeout"], wanted["most"])
    finally:
        helper.close()
    if "error" in answer:
        raise lookup.as_error(answer["error"])
    for stream in ("stdout", "stderr"):
        if stream in answer:
            answer[stream] = answer[stream].decode("utf-8", "replace")
    return answer
