# Copyright: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Limits of a container that are not asked for any more, lifted while it runs.

The options of a container describe it as a whole, so what is left out has its default: a limit is
none. What is asked of the group of such a container is what is wanted, and beside it the kernel's
own default for each object that was limited and is not to be. It is asked once, until the record
says that the limit is gone.
"""

from __future__ import annotations

from ..cgroup import canonical
from ..cgroup.group import Group, parse_group
from ..cgroup.host import Host
from ..errors import InvalidInput
from . import groups

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

# The kernel's defaults (Documentation/admin-guide/cgroup-v2.rst), as options take them.
_DEFAULTS: dict[str, Any] = {
    "memory.max": "max",
    "memory.high": "max",
    "memory.swap_max": "max",
    "memory.low": 0,
    "memory.min": 0,
    "memory.oom_group": False,
    "cpu.max": "max",
    "cpu.burst": 0,
    "cpu.idle": False,
    "cpu.weight": 100,
    "cpuset.partition": "member",
    "io.weight": 100,
    "pids.max": "max",
}
_SETS = ("cpuset.cpus", "cpuset.mems")


class Lifting:
    """What is lifted of one container. kept: the limits that only a new group is rid of."""

    def __init__(self) -> None:
        self.options: dict[str, Any] = {}
        self.kept: list[str] = []

    def _put(self, option: str, value: Any) -> None:
        section, _dot, name = option.partition(".")
        self.options.setdefault(section, {})[name] = value

    def _add(self, option: str, parent: str, host: Host) -> None:
        """Lift one limit, by the name that its setting has (group.py)."""
        words = option.split(" ")
        if option in _DEFAULTS:
            default = (
                "max"
                if option == "memory.low" and host.hierarchy_of("memory").version == 1
                else _DEFAULTS[option]
            )
            self._put(option, default)
        elif option in _SETS and _of_parent(option, parent, host):
            self._put(option, _of_parent(option, parent, host))
        elif words[0] == "io.max" and len(words) == 3:
            self._put_entry("max", words[1], words[2])
        elif words[0] == "io.latency" and len(words) == 2:
            self._put_entry("latency", words[1], "target")
        elif words[0] == "rdma" and len(words) == 3:
            self.options.setdefault("rdma", {}).setdefault(words[1], {})[words[2]] = "max"
        elif option.partition(".")[0] in ("hugetlb", "misc"):
            self._put(option, "max")
        else:
            self.kept.append(option)

    def _put_entry(self, kind: str, device: str, name: str) -> None:
        entries = self.options.setdefault("io", {}).setdefault(kind, [])
        entry = next((entry for entry in entries if entry["device"] == device), None)
        if entry is None:
            entry = {"device": device}
            entries.append(entry)
        entry[name] = "max"


def _of_parent(option: str, parent: str, host: Host) -> str:
    """The CPUs or memory nodes of the group above, which one without its own has; empty where it
    does not tell.
    """
    hierarchy = host.by_controller.get("cpuset")
    if hierarchy is None:
        return ""
    return (
        hierarchy.tree.read_short(
            "%s/%s%s" % (parent, option, ".effective" if hierarchy.version == 2 else "")
        )
        or ""
    )


def find(
    held: dict[str, Any], wanted: dict[str, Any], config: dict[str, Any], host: Host
) -> Lifting:
    """What was asked for and is not any more."""
    found = Lifting()
    try:
        before = parse_group(
            {**held, "name": "x", "state": "present", "force": True}, host
        ).settings
    except InvalidInput:  # what was asked for cannot be had any more: the device is gone
        return found
    now = canonical.objects(wanted, host)
    gone = {setting.option for setting in before if setting.place not in now}
    parent = groups.name_of(config).rpartition("/")[0]
    for option in sorted(gone):
        if option == "cpu.weight" and now.get("cpu.idle") == "1":
            continue  # an idle group has none
        if any(setting.option == option and setting.place in now for setting in before):
            found.kept.append(option)  # half of it is another option's now
        else:
            found._add(option, parent, host)
    return found


def desired(config: dict[str, Any], wanted: dict[str, Any], lifting: Lifting, host: Host) -> Group:
    """The group that a container is to have, with what is lifted."""
    group = groups.desired(config, canonical.merge(wanted, lifting.options, host), host)
    for setting in group.settings:
        if (
            setting.option in _SETS
            and setting.hierarchy.version == 2
            and setting.option.partition(".")[2] in lifting.options.get("cpuset", {})
        ):
            setting.value = setting.kept = (
                ""  # as many as the group above has, whatever becomes of it
            )
    return group
