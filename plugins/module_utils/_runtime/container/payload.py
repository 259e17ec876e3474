# Copyright: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""The two groups inside a container's control group, by the names that systemd-nspawn(1) gives them.

payload is where the container lives: the root of its cgroup namespace, so that the group above, which carries the limits,
cannot be named or written from inside. supervisor holds the process that watches the container and writes its log, so that
output is paid for by whoever writes it.

This runs in the supervisor, which loads nothing any more: system calls only.
"""

from __future__ import annotations

import errno
import os
import time

from ..cgroup import shown
from ..kernel import cgroupfs

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

PAYLOAD = "payload"
SUPERVISOR = "supervisor"
# The v1 files that hold for a group and not for those below it, so that both groups get what the limits say: a cpuset
# without CPUs takes no process (cpuset_can_attach(), kernel/cgroup/cpuset.c), and throttling is flat (block/blk-throttle.c).
COPIED = {
    "cpuset": ("cpuset.cpus", "cpuset.mems"),
    "blkio": tuple("blkio.throttle.%s_%s_device" % (way, unit) for way in ("read", "write") for unit in ("bps", "iops")),
}
# How long, in seconds, the kernel may take until the dead have left their group.
_PATIENCE = 5.0


def renew(places: dict[str, Any]) -> None:
    """Make the groups inside those that carry the limits; what an earlier life of the container left there is removed first.

    places: what groups.places() says. limits: the groups; handed: {group of v2: controllers for those inside};
    copied: {group: files that both groups inside get a copy of}; looked_up: {group: files of limits that programs look up}.
    """
    for directory in places["limits"]:
        remove(directory, PAYLOAD)
        if places["handed"].get(directory):
            cgroupfs.write(directory + "/cgroup.subtree_control", places["handed"][directory])
        for name in (PAYLOAD, SUPERVISOR):
            try:
                os.mkdir("%s/%s" % (directory, name), 0o755)
            except FileExistsError:
                continue
            for file in places["copied"].get(directory, ()):
                _copy("%s/%s" % (directory, file), "%s/%s/%s" % (directory, name, file))
        for file in places["looked_up"].get(directory, ()):
            _show(directory, file)


def _copy(source: str, target: str) -> None:
    """Write each line of one file to another; a file that this kernel does not have is no loss."""
    try:
        lines = cgroupfs.read(source).splitlines()
    except FileNotFoundError:
        return
    for line in lines:
        cgroupfs.write(target, line)


def _show(directory: str, file: str) -> None:
    """Have the payload show a limit of the group above it, unless that is unlimited."""
    held = cgroupfs.read("%s/%s" % (directory, file)).strip()
    inside = "%s/%s/" % (directory, PAYLOAD)
    if file == shown.QUOTA:
        if held != "-1":
            period = cgroupfs.read("%s/%s" % (directory, shown.PERIOD)).strip()
            quota, period = shown.cpu_share(held, period)
            cgroupfs.write(inside + shown.PERIOD, period)
            cgroupfs.write(inside + shown.QUOTA, quota)
    elif not held.startswith("max"):
        cgroupfs.write(inside + file, shown.copy_of(file, held))


def clear(limits: Iterable[str]) -> None:
    """Remove both groups, in which no process is any more."""
    for directory in limits:
        for name in (PAYLOAD, SUPERVISOR):
            remove(directory, name)


def remove(directory: str, name: str) -> None:
    """Remove one group with all that is below it, once the dead have left it."""
    deadline = time.monotonic() + _PATIENCE
    while True:
        try:
            cgroupfs.remove_tree(directory, name)
            return
        except OSError as error:
            if error.errno != errno.EBUSY or time.monotonic() > deadline:
                raise
        time.sleep(0.002)


def oom_kills(path: str) -> int:
    """Return the number of OOM kills that memory.events (v2) or memory.oom_control (v1) counts.

    v1 counts where the killed process was, so there the groups below are added (memcg_memory_event(), linux/memcontrol.h).
    """
    directory, _slash, file = path.rpartition("/")
    if file == "memory.events":
        return _oom_kill_of(path)
    return sum(_oom_kill_of(file, group) for group in cgroupfs.walk(directory))


def _oom_kill_of(path: str, directory: int | None = None) -> int:
    try:
        lines = cgroupfs.read(path, directory).splitlines()
    except OSError:
        return 0  # it was removed meanwhile
    return next((int(line.split()[1]) for line in lines if line.startswith("oom_kill ")), 0)


def end_all(directory: str) -> bool:
    """Kill what is in a group and below it until nothing is left; return False if something does not end."""
    deadline = time.monotonic() + _PATIENCE
    while cgroupfs.kill(directory):
        thaw(directory)
        if time.monotonic() > deadline:
            return False
        time.sleep(0.002)
    return True


def thaw(directory: str) -> None:
    """Thaw a group and each one below it, which a process inside may have frozen: what is frozen on v1 does not die."""
    for group in cgroupfs.walk(directory):
        for file, text in (("freezer.state", "THAWED"), ("cgroup.freeze", "0")):
            try:
                cgroupfs.write(file, text, group)
            except OSError:
                continue  # the other hierarchy's file, or the root of a hierarchy


def enter_supervisor(limits: Iterable[str], version_2: str) -> None:
    """Move this process, which has one thread, into the supervisor's group of each hierarchy.

    version_2: the payload of the v2 hierarchy, empty where there is none.
    """
    for directory in limits:
        # On v1 a thread moves itself by "tasks" without the lock that every fork on the machine takes.
        file = "cgroup.procs" if version_2.startswith(directory + "/") else "tasks"
        cgroupfs.write("%s/%s/%s" % (directory, SUPERVISOR, file), "0")
