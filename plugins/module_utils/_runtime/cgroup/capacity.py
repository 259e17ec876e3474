# Copyright: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""What the machine has to give, what limits add up to, and whether the sum still fits.

The kernel takes any sum (cgroup-v2.rst, "Limits": limits can be over-committed); whether that is meant is for the user to say.
"""

from __future__ import annotations

import os

from ..errors import InvalidInput
from ..kernel.files import read_text
from ..units import format_size
from .group import Group
from .host import Hierarchy, Host
from .knobs import BY_OPTION
from .values import MAX, cores

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

# The options whose sums mean something: what is given to one group is not there for another.
SUMMED = ("memory.max", "memory.min", "memory.low", "cpu.max", "pids.max")


def machine() -> dict[str, float]:
    """What there is of each summed resource: bytes of memory, CPUs, process ids."""
    memory = 0
    for line in (read_text("/proc/meminfo") or "").splitlines():
        if line.startswith("MemTotal:"):
            memory = int(line.split()[1]) * 1024
    cpus = os.cpu_count() or 1
    pids = int(read_text("/proc/sys/kernel/pid_max") or 32768)
    return {"memory.max": memory, "memory.min": memory, "memory.low": memory, "cpu.max": cpus, "pids.max": pids}


def limit_of(hierarchy: Hierarchy, group: str, option: str) -> float | None:
    """What a group is limited to now; None where there is no limit."""
    files = BY_OPTION[option].files(hierarchy.version)
    values = []
    for file in files:
        text = hierarchy.tree.read_short("%s/%s" % (group, file.name) if group else file.name)
        if text is None:
            return None
        values.append(file.format.value(file.format.normal(text)))
    return amount(option, " ".join(values)) if values else None


def amount(option: str, value: str) -> float | None:
    """A value as a number of bytes, CPUs or process ids; None for no limit (and for no protection)."""
    if option == "cpu.max":
        count = cores(value)
        return None if count == float("inf") else count
    if value == MAX:
        return None
    return float(value) or (None if option in ("memory.min", "memory.low") else 0.0)


def sums(
    host: Host, parent: str = "", planned: dict[str, dict[str, float | None]] | None = None, gone: set[str] | None = None
) -> dict[str, dict[str, float | int | None]]:
    """For each summed option: the sum of the limits of the groups right below `parent`, and what there is to give.

    planned: {group: {option: limit}} that is to hold instead of what holds now; gone: groups that are not to be there.
    Returns {option: {sum, capacity, limited, unlimited}}; capacity is the parent's own limit where it is less than the machine.
    """
    there = machine()
    found: dict[str, dict[str, float | int | None]] = {}
    for option in SUMMED:
        if not host.has(option.partition(".")[0]):
            continue
        hierarchy = host.hierarchy(option.partition(".")[0], option)
        if not BY_OPTION[option].files(hierarchy.version):
            continue
        names = {(parent + "/" if parent else "") + name for name in hierarchy.tree.directories(parent)}
        names -= gone or set()
        names |= {name for name in planned or {} if name.rpartition("/")[0] == parent and option in (planned or {})[name]}
        limits = [planned[name][option] if planned and option in planned.get(name, {}) else limit_of(hierarchy, name, option) for name in sorted(names)]
        capacity = there[option]
        above = parent
        while above and option not in ("memory.min", "memory.low"):
            own = planned[above][option] if planned and option in planned.get(above, {}) else limit_of(hierarchy, above, option)
            capacity = min(capacity, own) if own is not None else capacity
            above = above.rpartition("/")[0]
        given = [limit for limit in limits if limit is not None]
        found[option] = {"sum": sum(given), "capacity": capacity, "limited": len(given), "unlimited": len(limits) - len(given)}
    return found


def check(host: Host, groups: list[Group]) -> list[str]:
    """Warnings for sums that no longer fit, by the `overcommit` of the groups; InvalidInput where one of them says deny."""
    asking = [group for group in groups if group.present and group.overcommit != "allow"]
    if not asking:
        return []
    planned: dict[str, dict[str, float | None]] = {}
    gone = {group.name for group in groups if not group.present}
    for group in groups:
        for setting in group.settings:
            if setting.option in SUMMED and setting.key == "":
                planned.setdefault(group.name, {})[setting.option] = amount(setting.option, setting.value)
    warnings: list[str] = []
    for group in asking:
        changed = planned.get(group.name, {})
        for parent in (group.name.rpartition("/")[0], group.name):
            for option, entry in sums(host, parent, planned, gone).items() if changed else ():
                total, capacity = entry["sum"] or 0, entry["capacity"] or 0
                if option not in changed or total <= capacity:
                    continue
                show = _SHOW[option.partition(".")[0]]
                above = group.title if parent == group.name else group.title.rpartition("/")[0]
                text = "%s of the groups below /%s adds up to %s, and there is %s" % (option, above, show(total), show(capacity))
                if group.overcommit == "deny":
                    raise InvalidInput("%s: %s" % (group.called, text), hint="lower some of them, or allow it with overcommit: allow or warn")
                if text not in warnings:
                    warnings.append(text)
    return warnings


_SHOW: dict[str, Callable[[float], str]] = {
    "memory": lambda number: format_size(int(number)),
    "cpu": lambda number: "%g CPUs" % number,
    "pids": lambda number: "%d process ids" % number,
}
