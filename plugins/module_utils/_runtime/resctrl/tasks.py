# Copyright: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Which threads a number or a control group stands for.

The file `tasks` takes threads. Who gives the number of a process means all of its threads; the number of another thread is
that thread alone. Of a control group, all threads in it and below it are meant, in whichever hierarchies it is.
"""

from __future__ import annotations

import os

from .. import slices
from ..errors import InvalidInput
from ..kernel import processes
from ..kernel.mounts import mounts

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable


def threads(numbers: Iterable[int]) -> set[int]:
    """The threads that these numbers stand for now; those that are gone stand for none."""
    found: set[int] = set()
    for number in numbers:
        leader = processes.leader_of(number)
        if leader == number:
            found.update(processes.threads_of(number))
        elif leader is not None:
            found.add(number)
    return found


def alive(tids: Iterable[int]) -> set[int]:
    """Those of some threads that are still there."""
    return {tid for tid in tids if processes.leader_of(tid) is not None}


def check(numbers: Iterable[int], what: str) -> None:
    """Refuse tasks that are not there."""
    for number in numbers:
        if processes.leader_of(number) is None:
            raise InvalidInput("%s: there is no task %d (any more)" % (what, number))


def roots() -> list[str]:
    """Where hierarchies of control groups are mounted."""
    return [mount.path for mount in mounts("cgroup", "cgroup2")]


def directories(cgroup: str, what: str, may_be_missing: bool = False) -> list[str]:
    """Where a control group is, in each hierarchy that has it. Raises InvalidInput where none does."""
    base = roots()
    name = slices.find(cgroup, lambda path: bool(_existing(base, path)))
    found = _existing(base, name)
    if not found and not may_be_missing:
        raise InvalidInput("%s: there is no control group %s" % (what, cgroup), hint="hierarchies are mounted at %s" % (", ".join(base) or "no place"))
    return found


def _existing(base: list[str], name: str) -> list[str]:
    return [path for path in ("%s/%s" % (root, name) for root in base) if os.path.isdir(path)]


def threads_in(paths: Iterable[str]) -> set[int]:
    """The threads in these directories and below them; those of a directory that goes away meanwhile are elsewhere."""
    found: set[int] = set()
    for top in paths:
        for directory, _names, files in os.walk(top):
            name = "cgroup.threads" if "cgroup.threads" in files else "tasks"
            try:
                with open(os.path.join(directory, name), "rb", buffering=0) as file:
                    found.update(int(line) for line in file.read().split())
            except (FileNotFoundError, OSError):
                continue
    found.discard(0)  # a task of another PID namespace
    return found
