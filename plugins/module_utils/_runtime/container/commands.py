# Copyright: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""container_exec from the module's side: what to run, as whom, in which container."""

from __future__ import annotations

import os
import select
import time

from ..cgroup.host import Host
from ..errors import BulkheadError, InvalidInput
from ..foreseen import warning
from . import becoming, config, entrance, entry, lookup, process, terminal, waiting, words
from .mounts import Root
from .paths import Paths
from .remote import Helper
from .streams import Streams, Tail

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

# A year: more is a mistake, and much more is none that poll(2) can count.
_LONGEST = 366 * 86400.0
# How much of the output of a command is returned unless it is said.
_MOST = 4 << 20


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
    cwd = words.parse_directory(options["cwd"], "cwd") if options.get("cwd") is not None else ""
    user = words.parse_user(options["user"]) if options.get("user") is not None else ""
    detach, tty = bool(options.get("detach")), bool(options.get("tty"))
    if detach and (tty or options.get("stdin")):
        raise InvalidInput("detach: a command that is left running has neither input nor a terminal")
    record = entry.find(name, paths, host)
    asked = entrance.Asked(command, env, cwd, user, tty)
    return {
        **entry.request(record, asked, host),
        "detach": detach,
        "timeout": _timeout(options.get("timeout")),
        "most": waiting.parse_most(options.get("max_output"), _MOST),
    }


def _root(wanted: dict[str, Any]) -> Root | None:
    """The root of the container, to look at from outside; None where it has ended this moment."""
    try:
        return Root(os.open("/proc/%d/root" % wanted["pid"], os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC))
    except FileNotFoundError:
        return None


def _inside(wanted: dict[str, Any], root: Root) -> Callable[[str], str]:
    """How paths are meant by the command (process.directory())."""
    config = wanted["config"]
    user = process.find_user(config["user"], config["groups"], root)
    env = becoming.environment(config, user)
    cwd: str = config["cwd"]
    if wanted["chdir"]:
        cwd = process.directory(wanted["chdir"], cwd, env, user, root)
    return lambda path: process.directory(path, cwd, env, user, root)


def reason_to_skip(options: dict[str, Any], paths: Paths, host: Host) -> str:
    """Why the command is not to be run, by the options `creates` and `removes`; empty where it is."""
    asked = {name: words.parse_directory(options[name], name) for name in ("creates", "removes") if options.get(name) is not None}
    wanted = request(options, paths, host) if asked else {}
    root = _root(wanted) if asked else None
    if root is None:
        return ""
    try:
        meant = _inside(wanted, root)
        for name, path in asked.items():
            is_there = _is_there(meant(path), root)
            if is_there == (name == "creates"):
                return "%s %s" % (path, "exists" if is_there else "does not exist")
    finally:
        root.close()
    return ""


def _is_there(path: str, root: Root) -> bool:
    try:
        os.close(root.open(path))
    except OSError:
        return False
    return True


def foresee(options: dict[str, Any], paths: Paths, host: Host) -> list[str]:
    """For check mode: raise what a run would certainly end in; what an earlier task may put right is returned, as warnings."""
    try:
        wanted = request(options, paths, host)
    except entry.NotRunning as missing:
        return [warning(missing, "starts")]
    root = _root(wanted)
    if root is None:
        return []
    try:
        config = wanted["config"]
        if wanted["chdir"]:
            config = {**config, "cwd": _inside(wanted, root)("")}
        lookup.check(config, root)
    finally:
        root.close()
    return []


def run(options: dict[str, Any], paths: Paths, host: Host) -> dict[str, Any]:
    """Run the command; {rc, stdout, stderr, timed_out}, or {pid} of one that is left running."""
    wanted = request(options, paths, host)
    paths.make()
    answer = _run(wanted, _input(options), paths)
    if "error" in answer:
        raise lookup.as_error(answer["error"])
    for stream in ("stdout", "stderr"):
        if stream in answer:
            answer[stream] = answer[stream].decode("utf-8", "replace")
    return answer


def _input(options: dict[str, Any]) -> bytes:
    if options.get("stdin") is None:
        return b""
    return str(options["stdin"]).encode() + (b"\n" if options.get("stdin_add_newline") else b"")


def _run(wanted: dict[str, Any], data: bytes, paths: Paths) -> dict[str, Any]:
    """Have a helper run it: {rc, stdout, stderr} as bytes, {pid} where it is detached, or {error}."""
    most = wanted["most"]
    kept = Tail(most), Tail(most)
    poll = select.poll()
    streams = None
    if not wanted["detach"]:
        pair = terminal.make(wanted["pid"], wanted["config"]["name"]) if wanted["tty"] else None
        streams = Streams(poll, (kept[0].add, kept[1].add), data=data, terminal=pair)
    theirs = streams.theirs if streams else []
    try:
        try:
            helper = Helper(paths, streams=theirs)
        finally:
            for fd in set(theirs):
                os.close(fd)
        try:
            answer = _attend(helper, wanted, poll, streams)
        finally:
            helper.close()
    finally:
        if streams:
            streams.close()
    if "rc" not in answer:
        return answer
    found = {**answer, "stdout": kept[0].bytes(), "stderr": kept[1].bytes()}
    truncated = {"stdout_truncated": kept[0].truncated, "stderr_truncated": kept[1].truncated}
    return {**found, **truncated}


def _attend(
    helper: Helper, wanted: dict[str, Any], poll: select.poll, streams: Streams | None
) -> dict[str, Any]:
    """See to a command's streams until it ends, fails or is left running."""
    helper.send(wanted)
    poll.register(helper.control, select.POLLIN)
    timeout = wanted["timeout"]
    deadline = None if timeout is None else time.monotonic() + timeout
    timed_out = False
    while True:
        left = None if deadline is None or timed_out else deadline - time.monotonic()
        # Looked at each time: one that writes without end always has something to hear.
        ready = poll.poll(None if left is None else max(0, int(left * 1000) + 1))
        if left is not None and (left <= 0 or not ready):
            timed_out = True
            helper.send({"do": "kill", "id": wanted["id"]})
            continue
        for fd, _events in ready:
            if fd != helper.control:
                if streams:
                    streams.handle(fd)
                continue
            message = helper.receive()
            if message is None:
                raise BulkheadError("the helper that runs commands in containers ended unexpectedly")
            if message["event"] == "failed":
                return {"error": message["error"]}
            if message["event"] == "running":
                return {"pid": message["pid"]}
            if message["event"] == "ended":
                if streams:
                    streams.finish()
                return {"rc": message["rc"], "timed_out": timed_out}
