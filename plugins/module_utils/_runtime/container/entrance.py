# Copyright: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""What it takes to enter a container, in a file beside its record, so that entering reads that and imports next to nothing.

Whoever supervises the container writes it with each start. It is a copy, and it counts only where nothing needs a closer look
(entry.py): the first process and the supervisor are those that it names, and the container is not frozen. The file is root's
alone, as the whole directory is; nothing of it comes from inside the container.

Its first line is for a shell: the supervisor's number and start time, and a file of the interpreter's library. The supervisor
runs on a sealed interpreter (seal.py), so whoever executes /proc/PID/exe of it has one, too. The line is empty where the
interpreter would not find its library by the path that it was built with.
"""

from __future__ import annotations

import marshal
import os
import sys

from . import live, state

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

FILE = "entry"
# Of what is in the file; with another number, it was written by another release and is not understood.
_LAYOUT = 1
# What an added command has of the container's configuration.
_HELD = ("name", "capabilities", "no_new_privileges", "rlimits", "umask", "groups", "oom_score_adj", "seccomp", "disk_quota")
_SYSTEM = ("/usr/bin", "/bin")


class Asked:
    """What is to be run; what is empty is as the container's own command has it."""

    def __init__(self, command: list[str], env: dict[str, str], cwd: str, user: str, tty: bool) -> None:
        self.command = command
        self.env = env
        self.cwd = cwd
        self.user = user
        self.tty = tty


def request(pid: int, start: int, places: dict[str, Any], held: dict[str, Any], asked: Asked) -> dict[str, Any]:
    """What whoever runs the command is asked for (execute.py).

    places: the files by which it joins control groups and classes; held: the container's configuration.
    """
    wanted = {
        **{key: held.get(key) for key in _HELD},
        "command": asked.command,
        "env": {**held["env"], **asked.env},
        "cwd": held["cwd"],
        "user": asked.user or held["user"],
    }
    return {"do": "exec", "id": 1, "pid": pid, "start": start, **places, "config": wanted, "chdir": asked.cwd, "detach": False, "tty": asked.tty}


def write(directory: str, spec: dict[str, Any], record: dict[str, Any], filters: list[tuple[bytes, int]]) -> None:
    """Write the file for a container that was started, from what it was started with (groups.places()).

    One with an RDT class gets none: which class holds is for a closer look. On a full file system there is none either.
    """
    config, path = spec["config"], directory + "/" + FILE
    if config.get("rdt"):
        return
    facts = {
        "layout": _LAYOUT,
        "pid": record["pid"],
        "start": record["start"],
        "monitor": record["monitor"],
        "group": spec["group"],
        "v1": spec["v1"],
        "v2": spec["v2"],
        "frozen": _frozen(spec),
        "config": {key: config.get(key) for key in (*_HELD, "env", "cwd", "user")},
        "filters": filters,
    }
    try:
        state.replace(directory, FILE, _first_line(record["monitor"]).encode() + b"\n" + marshal.dumps(facts, 2))
    except OSError:
        try:
            os.unlink(path)  # what is left is of an earlier start
        except OSError:
            pass


def _first_line(monitor: dict[str, int]) -> str:
    library = str(getattr(os, "__file__", ""))
    known = library and sys.executable and os.path.dirname(os.path.realpath(sys.executable)) in _SYSTEM and " " not in library
    return "%d %d %s" % (monitor["pid"], monitor["start"], library) if known else ""


def _frozen(spec: dict[str, Any]) -> tuple[str, str]:
    """The file that tells whether the container is frozen, by itself or from above, and what it says then."""
    for mount in spec["cgroup_mounts"]:
        if mount["version"] == 1 and "freezer" in mount["controllers"]:
            return mount["path"] + "/freezer.state", "FROZEN"
    return spec["v2"] + "/cgroup.events", "frozen 1"


def read(directory: str) -> dict[str, Any] | None:
    """What the file says, where it is to be relied on; None where the container needs a closer look."""
    try:
        fd = os.open(directory + "/" + FILE, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        with open(fd, "rb") as file:
            file.readline()
            found: dict[str, Any] = marshal.loads(file.read())
        sound = found["layout"] == _LAYOUT and state.is_alive(found["monitor"]) and state.is_alive(found)
    except (OSError, ValueError, EOFError, TypeError, KeyError):
        return None
    return found if sound and _is_plain(found, directory) else None


def _is_plain(found: dict[str, Any], directory: str) -> bool:
    """Whether it is not frozen, and its groups and what changes while it runs are as they were at its start."""
    path, word = found["frozen"]
    text = state.text_of(path)
    quota = found["config"]["disk_quota"]
    now = live.read(directory, {"disk_quota": quota, "network": {}})["disk_quota"]
    return text is not None and word not in text and bool(now) == bool(quota)


def places(found: dict[str, Any]) -> dict[str, Any]:
    """The files by which a further process joins the container's groups, as groups.entries() tells of them."""
    procs = []
    if found["v2"]:
        procs = [found["v2"] + "/cgroup.procs"]
        below = _below(found)
        if below:
            procs.append("%s/%s/cgroup.procs" % (found["v2"], below))
    return {"tasks": [path + "/tasks" for path in found["v1"]], "procs": procs, "classes": []}


def _below(found: dict[str, Any]) -> str:
    """The group of the container's first process below its payload, by v2: what hands controllers down holds no process."""
    for line in (state.text_of("/proc/%d/cgroup" % found["pid"]) or "").splitlines():
        if line.startswith("0::"):
            return line.partition("/%s/%s/" % (found["group"], os.path.basename(found["v2"])))[2]
    return ""
