# Copyright: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Processes as /proc shows them: names, threads, ancestors and control groups (Documentation/filesystems/proc.rst)."""

from __future__ import annotations

import os

from .files import read_text


def name_of(pid: int) -> str:
    """The name of a process as the kernel logs it (at most 15 characters); empty when it is gone."""
    return (read_text("/proc/%d/comm" % pid) or "").rstrip("\n")


def described(pids: list[int], most: int = 5) -> str:
    """Some processes for a message: "1234 (sleep), 1235 (python3) and 7 more"."""
    shown = ", ".join("%d (%s)" % (pid, name_of(pid) or "gone") for pid in pids[:most])
    return shown + (" and %d more" % (len(pids) - most) if len(pids) > most else "")


def every() -> list[int]:
    """The ids of all processes."""
    return sorted(int(name) for name in os.listdir("/proc") if name.isdigit())


def threads_of(pid: int) -> list[int]:
    """The thread ids of a process; none when it is gone."""
    try:
        return sorted(int(name) for name in os.listdir("/proc/%d/task" % pid))
    except (FileNotFoundError, ProcessLookupError):
        return []


def _stat(pid: int, tid: int) -> list[str]:
    """What /proc/PID/stat says behind the name: state, parent, ...; empty when the task is gone."""
    text = read_text("/proc/%d/task/%d/stat" % (pid, tid)) or ""
    # The name in parentheses may hold anything; what follows the last one is regular.
    return text.rpartition(")")[2].split()


def ended(pid: int) -> int | None:
    """The parent that has yet to reap a process that has ended (a zombie); None for one that runs or is gone.

    A process whose first thread alone has ended looks like one too, and is none.
    """
    leader = _stat(pid, pid)
    if leader[:1] != ["Z"] or live_threads_of(pid):
        return None
    return int(leader[1])


def live_threads_of(pid: int) -> list[int]:
    """The threads of a process that have not ended."""
    return [tid for tid in threads_of(pid) if _stat(pid, tid)[:1] not in ([], ["Z"], ["X"])]


def ancestors_of(pid: int) -> list[int]:
    """The process itself, its parent, and so on up to the first process."""
    found = []
    while pid > 0:
        found.append(pid)
        stat = read_text("/proc/%d/stat" % pid)
        if stat is None:
            break
        # The name in parentheses may hold anything; what follows the last one is regular.
        pid = int(stat.rpartition(")")[2].split()[1])
    return found


def groups_of(pid: int, tid: int | None = None) -> dict[int, tuple[str, str]] | None:
    """{hierarchy id: (controllers, path)} of a process or one of its threads (cgroups(7)); None when it is gone."""
    text = read_text("/proc/%d/cgroup" % pid if tid is None else "/proc/%d/task/%d/cgroup" % (pid, tid))
    if text is None:
        return None
    found = {}
    for line in text.splitlines():
        number, controllers, path = line.split(":", 2)
        found[int(number)] = (controllers, path)
    return found


def resctrl_group_of(tid: int) -> tuple[str, str] | None:
    """(class, monitoring group) of a task, empty for the default ones (CONFIG_PROC_CPU_RESCTRL, proc_resctrl_show()); None when it is gone."""
    text = read_text("/proc/%d/cpu_resctrl_groups" % tid)
    if text is None:
        return None
    fields = dict(line.partition(":")[::2] for line in text.splitlines())
    return fields.get("res", "").strip("/"), fields.get("mon", "")


def leader_of(tid: int) -> int | None:
    """The process to which a task belongs; None when it is gone."""
    text = read_text("/proc/%d/status" % tid)
    if text is None:
        return None
    return next((int(line.split()[1]) for line in text.splitlines() if line.startswith("Tgid:")), None)
