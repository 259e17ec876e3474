# Copyright: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""container_exec from the module's side: what to run, as whom, in which container."""

from __future__ import annotations

from ..cgroup.host import Host
from ..errors import BulkheadError, InvalidInput
from . import classes, config, execute, groups, lifecycle
from .paths import Paths
from .remote import Helper

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def request(options: dict[str, Any], paths: Paths, host: Host) -> dict[str, Any]:
    """What the helper is asked for. Raises InvalidInput where there is no such running container."""
    name = config.parse_name(options.get("name"))
    words = config.parse_command(options.get("command"))
    env = config.parse_environment(options.get("env"))
    seen = lifecycle.look(name, paths, host)
    if seen.record is None or seen.phase not in ("running", "paused"):
        raise InvalidInput("container %s does not run: it is %s" % (name, seen.phase), hint="start it first, with container_run")
    if seen.phase == "paused":
        raise InvalidInput("container %s is paused: a command in it would never end" % name, hint="start it first, with container_run and state: started")
    held = seen.record["config"]
    text = options.get("stdin")
    wanted = {
        **{key: held[key] for key in ("name", "capabilities", "no_new_privileges", "rlimits", "umask", "groups", "oom_score_adj")},
        "seccomp": held.get("seccomp"),
        "command": words,
        "env": {**held["env"], **env},
        "cwd": config.parse_path(options.get("cwd") or held["cwd"], "cwd"),
        "user": config.parse_user(options["user"]) if options.get("user") is not None else held["user"],
    }
    if options.get("user") is not None:
        wanted["groups"] = []
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
    }


def run(options: dict[str, Any], paths: Paths, host: Host) -> dict[str, Any]:
    """Run the command; {rc, stdout, stderr, timed_out}, or {pid} of one that is left running."""
    wanted = request(options, paths, host)
    paths.make()
    helper = Helper(paths)
    try:
        answer = execute.run(helper.control, wanted, options.get("timeout"))
    finally:
        helper.close()
    if "error" in answer:
        facts = answer["error"]
        raise BulkheadError(facts["problem"], **{key: facts[key] for key in ("target", "value", "errno", "kernel", "hint") if key in facts})
    for stream in ("stdout", "stderr"):
        if stream in answer:
            answer[stream] = answer[stream].decode("utf-8", "replace")
    return answer
