# Copyright: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""What the kernel holds now, each file read once and only when it is asked for."""

from __future__ import annotations

import errno

from .. import units
from ..kernel.files import Tree, read_text
from . import schemata
from .hardware import Hardware

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .schemata import Cells

# Directories of the root that are not classes.
_NOT_GROUPS = ("info", "mon_data", "mon_groups")
SHAREABLE, EXCLUSIVE, LOCKSETUP, LOCKED = "shareable", "exclusive", "pseudo-locksetup", "pseudo-locked"


class Observation:
    """The mounted file system. The default group has the name ""."""

    def __init__(self, tree: Tree, hardware: Hardware, default: str | None = None) -> None:
        """default: the text of the default group's schemata, where it has been read already."""
        self.tree = tree
        self.hardware = hardware
        self._groups: list[str] | None = None
        self._cells: dict[str, Cells] = {}
        self._modes: dict[str, str] = {}
        self._cpus: dict[str, frozenset[int]] = {}
        self._tasks: dict[str, frozenset[int]] = {}
        self._monitors: dict[str, list[str]] = {}
        self._all_shareable: bool | None = None
        if default is not None:
            self._cells[""] = schemata.flat(schemata.parse(default))

    @property
    def groups(self) -> list[str]:
        """The classes beside the default one."""
        if self._groups is None:
            self._groups = [name for name in self.tree.directories() if name not in _NOT_GROUPS]
        return self._groups

    def exists(self, name: str) -> bool:
        return not name or name in self.groups

    def path(self, name: str, file: str) -> str:
        """A file of a group; a monitoring group is named group/mon_groups/name."""
        return name + "/" + file if name else file

    def cells(self, name: str) -> Cells:
        """Its schemata; none of what waits to be pseudo-locked."""
        if name not in self._cells:
            text = self.tree.read_short(self.path(name, "schemata")) or ""  # no such file where nothing can be divided
            self._cells[name] = {cell: schemata.normal(cell[0], value) for cell, value in schemata.flat(schemata.parse(text)).items()}
        return self._cells[name]

    def domains(self, resource: str) -> list[int]:
        """The domains of a resource that are there now: those of CPUs that are online."""
        return sorted(domain for name, domain in self.cells("") if name == resource)

    def mode(self, name: str) -> str:
        """Its mode. When bit_usage shows that no way is exclusive or locked anywhere, no group need be asked."""
        if name not in self._modes:
            if self._nothing_exclusive() and (not name or self.cells(name)):
                return SHAREABLE
            self._modes[name] = self.tree.read_short(self.path(name, "mode")) or SHAREABLE
        return self._modes[name]

    def _nothing_exclusive(self) -> bool:
        if self._all_shareable is None:
            self._all_shareable = True
            for name in self.hardware.caches:
                usage = self.tree.read_short("info/%s/bit_usage" % name)
                if usage is None or "E" in usage or "P" in usage:
                    self._all_shareable = False
                    break
        return self._all_shareable

    def cpus(self, name: str) -> frozenset[int]:
        if name not in self._cpus:
            self._cpus[name] = units.parse_list(self.tree.read_short(self.path(name, "cpus_list")) or "")
        return self._cpus[name]

    def tasks(self, name: str) -> frozenset[int]:
        """The tasks, by thread, as this process's PID namespace numbers them; none of a group that went since it was listed."""
        if name not in self._tasks:
            try:
                text = self.tree.read(self.path(name, "tasks"))
            except OSError as error:
                if error.errno not in (errno.ENOENT, errno.ENODEV):
                    raise
                text = ""
            self._tasks[name] = frozenset(map(int, text.split()))
        return self._tasks[name]

    def monitors(self, name: str) -> list[str]:
        """Its monitoring groups; none where nothing can be monitored."""
        if name not in self._monitors:
            # Most classes have none, and to count costs one system call where to list costs nine.
            self._monitors[name] = self.tree.directories(self.path(name, "mon_groups")) if self.monitor_count(name) else []
        return self._monitors[name]

    def monitor_count(self, name: str) -> int:
        """How many monitoring groups it has, without listing them."""
        if name in self._monitors:
            return len(self._monitors[name])
        try:
            return max(0, self.tree.links(self.path(name, "mon_groups")) - 2)
        except FileNotFoundError:
            return 0


class Fresh(Observation):
    """What there will be right after mounting: the default group, which has everything."""

    def __init__(self, tree: Tree, hardware: Hardware, domains: dict[str, list[int]]) -> None:
        """domains: of each cache and bandwidth; code and data have those of their cache."""
        super().__init__(tree, hardware)
        self._groups = []
        cells: Cells = {}
        for cache in hardware.caches.values():
            for domain in domains.get(cache.name) or domains.get(cache.level) or []:
                cells[cache.name, domain] = cache.mask
        for bandwidth in hardware.bandwidths.values():
            for domain in domains.get(bandwidth.name) or []:
                cells[bandwidth.name, domain] = bandwidth.unlimited or 0
        self._cells = {"": cells}
        self._modes = {"": SHAREABLE}
        self._cpus = {"": online_cpus()}
        self._tasks = {"": frozenset()}
        self._monitors = {"": []}

    def monitor_count(self, name: str) -> int:
        return 0


def online_cpus() -> frozenset[int]:
    return units.parse_list(read_text("/sys/devices/system/cpu/online") or "")


def present_cpus() -> frozenset[int]:
    return units.parse_list(read_text("/sys/devices/system/cpu/present") or "")
