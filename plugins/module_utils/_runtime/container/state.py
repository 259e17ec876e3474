# Copyright: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""What is known of a container: its state.json, in the words of the OCI runtime specification and a few more.

The record is written before anything else is made and removed after everything else is gone, so that at whatever point a
run is killed, the next one reads there what may have been left behind. Processes are named by number and start time,
because numbers are used again.

OCI status values: creating, running, stopped (and paused, which is not recorded but read from the kernel).
"""

from __future__ import annotations

import os

from ..kernel import syscalls
from ..kernel.files import read_text
from .wire import to_json

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

OCI_VERSION = "1.2.0"
FILE = "state.json"
# What resources were asked for.
RESOURCES = "resources.json"
# The name of the container's control group once more, so that a damaged record can be healed.
GROUP = "cgroup"
# While this file lies beside the record, the container is meant to end and its monitor does not restart it.
STOPPING = "stopping"
# The container of a record with this file beside it has left its bridge, and only waits to be forgotten.
LEFT = "left-bridge"


def start_time(pid: int) -> int:
    """When the process started, in clock ticks since boot; 0 when it is gone or only waits to be reaped."""
    stat = read_text("/proc/%d/stat" % pid) if pid > 0 else None
    if not stat:
        return 0
    fields = stat.rpartition(")")[2].split()
    # Fields 3 (state) and 22 (starttime) of proc(5), counted behind the name.
    return 0 if fields[0] in "ZX" else int(fields[19])


def age(start: int) -> float:
    """Return how many seconds ago a process started, by its start time."""
    import time

    return time.clock_gettime(time.CLOCK_BOOTTIME) - start / os.sysconf("SC_CLK_TCK")


def identity(pid: int) -> dict[str, int]:
    """A process by number and start time."""
    return {"pid": pid, "start": start_time(pid)}


def is_alive(process: dict[str, int] | None) -> bool:
    """Whether exactly this process runs."""
    return bool(process and process["pid"] and process["start"] and start_time(process["pid"]) == process["start"])


def open_process(pid: int, start: int) -> int:
    """Return a pidfd of exactly this process; -1 where it is gone."""
    try:
        pidfd = syscalls.pidfd_open(pid)
    except ProcessLookupError:
        return -1
    if start_time(pid) != start:
        os.close(pidfd)
        return -1
    return pidfd


def is_restarting(record: dict[str, Any]) -> bool:
    """Return whether a container that has ended waits to be started again; earlier releases told it by the policy alone."""
    policy = (record.get("config") or {}).get("restart_policy") or {}
    return bool(record.get("restarting", policy.get("name", "no") != "no" and not record.get("shared_monitor")))


def is_job(record: dict[str, Any] | None) -> bool:
    """Return whether somebody waited for the container's end; earlier releases called it by how it was supervised."""
    return bool(record and record.get("job", record.get("shared_monitor")))


def write(directory: str, record: dict[str, Any]) -> None:
    """Replace the record. A reader sees the old one or the new one, whole.

    Without fsync: the directory does not outlive the boot. Raises OSError where it cannot be written; the old one stays then.
    """
    replace(directory, FILE, (to_json(record) + "\n").encode())


def replace(directory: str, name: str, data: bytes) -> None:
    """Put this into a file of a container's state at once; on an error, what was there stays."""
    neighbour = "%s/.%s" % (directory, name)
    try:
        fd = os.open(neighbour, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            while data:
                data = data[os.write(fd, data) :]
        finally:
            os.close(fd)
        os.rename(neighbour, directory + "/" + name)
    except OSError:
        try:
            os.unlink(neighbour)  # a half of a record would hold what is left of a full file system
        except OSError:
            pass
        raise


def text_of(path: str) -> str | None:
    """The text of a file of ours; None where there is none, and nothing where something else is in its place."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError:
        return ""
    try:
        data = b""
        while more := os.read(fd, 65536):
            data += more
        return data.decode("utf-8", "replace")
    except OSError:
        return ""
    finally:
        os.close(fd)


def read(directory: str) -> dict[str, Any] | None:
    """The record; None where there is none. A damaged record reads as one that nobody owns, so that it is healed."""
    import json

    text = text_of(directory + "/" + FILE)
    if text is None:
        return None
    try:
        record = json.loads(text)
        if _is_sound(record):
            found: dict[str, Any] = record
            return found
    except (ValueError, RecursionError):
        pass
    name = os.path.basename(directory)
    return {"ociVersion": OCI_VERSION, "id": name, "status": "creating", "damaged": True, "cgroup": _group_of(directory, name)}


def resources(directory: str) -> str | None:
    """The resources that were asked for, as JSON; None where they are not known (any more)."""
    import json

    text = text_of(directory + "/" + RESOURCES)
    try:
        return text if text and isinstance(json.loads(text), dict) else None
    except (ValueError, RecursionError):
        return None


def _is_sound(record: object) -> bool:
    """Return whether a record has what everything else relies on."""
    if not isinstance(record, dict) or record.get("status") not in ("creating", "running", "stopped"):
        return False
    types = {"id": str, "pid": int, "created": str, "config": dict, "cgroup": str, "monitor": dict, "creator": dict}
    processes = [record[key] for key in ("monitor", "creator") if isinstance(record.get(key), dict)]
    return (
        "config" in record
        and all(isinstance(record[key], kind) for key, kind in types.items() if key in record)
        and all(isinstance(process.get(key), int) for process in processes for key in ("pid", "start"))
    )


def _group_of(directory: str, name: str) -> str:
    """Return the control group that is noted beside a damaged record; nothing where that cannot be the container's."""
    group = text_of(directory + "/" + GROUP) or ""
    parts = group.split("/")
    ends = parts[-1] == name or (parts[-1] == "container" and parts[-2:-1] == ["bulkhead-%s.service" % name])
    return group if ends and len(parts) > 1 and not {"", ".", ".."} & set(parts) else ""


def now() -> str:
    """This moment in the form of RFC 3339."""
    import time

    seconds, nanoseconds = divmod(time.time_ns(), 1000000000)
    return "%04d-%02d-%02dT%02d:%02d:%02d" % time.gmtime(seconds)[:6] + ".%06dZ" % (nanoseconds // 1000)
