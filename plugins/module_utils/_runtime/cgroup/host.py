# Copyright: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""The machine's control group hierarchies: which are mounted, which controllers each has, and what the machine has to give.

A host is in one of three modes (Documentation/admin-guide/cgroup-v2.rst, "Mounting"): v2, one tree with every controller;
v1, several trees with some controllers each; hybrid, both, where every controller is in one of them.
"""

from __future__ import annotations

import os

from ..errors import BulkheadError, Unsupported
from ..kernel import processes, systemd
from ..kernel.files import Tree, read_text
from ..kernel.mounts import mounts

# The v1 names of what v2 calls otherwise or has without a controller.
V1_NAMES = {"io": "blkio"}
# What v1 has controllers for and every v2 group has without one's being enabled (cpu.stat holds what cpuacct counts).
IMPLICIT_V2 = ("cpuacct", "devices", "freezer", "perf_event")
# Of v1 and of v2, those that systemd manages: CGroupController, src/basic/cgroup-util.h. It never touches the others.
SYSTEMD_V1 = ("cpu", "cpuacct", "blkio", "memory", "devices", "pids")
SYSTEMD_V2 = ("cpu", "cpuset", "io", "memory", "pids")
# Those of v2 that a group with threads or processes of its own may hand down (cgroup-v2.rst, "Threads").
THREADED = ("cpu", "cpuset", "perf_event", "pids")


class Hierarchy:
    """One mounted tree of control groups.

    version: 1 or 2; name: for messages ("memory", "cpu,cpuacct", "v2"); controllers: those bound to it.
    root: the part of the tree that is mounted, "/" but in containers without a cgroup namespace of their own.
    """

    def __init__(self, version: int, path: str, controllers: list[str], name: str = "", root: str = "/") -> None:
        self.version = version
        self.tree = Tree(path)
        self.controllers = controllers
        self.name = name or ",".join(controllers) or ("v2" if version == 2 else "v1")
        self.root = root
        # How /proc/PID/cgroup names this hierarchy: its controllers, or name=..., or nothing at all for v2.
        self._label = {""} if version == 2 else set(controllers) or {self.name}

    @property
    def path(self) -> str:
        return self.tree.path

    def group_of(self, pid: int, tid: int | None = None) -> str | None:
        """The name of the group of a process (or thread) below this mount; None when it is gone or outside."""
        found = processes.groups_of(pid, tid)
        for number, (controllers, path) in (found or {}).items():
            if (number == 0) == (self.version == 2) and set(controllers.split(",")) == self._label:
                if self.root != "/":
                    if path != self.root and not path.startswith(self.root + "/"):
                        return None
                    path = path[len(self.root) :]
                return path.strip("/")
        return None


class Host:
    """What this machine offers to control groups; observed once for each call."""

    def __init__(self, hierarchies: list[Hierarchy], page_size: int = 0) -> None:
        self.hierarchies = hierarchies
        self.page_size = page_size or os.sysconf("SC_PAGE_SIZE")
        self.by_controller = {controller: hierarchy for hierarchy in hierarchies for controller in hierarchy.controllers}
        self.v2 = next((hierarchy for hierarchy in hierarchies if hierarchy.version == 2), None)
        self._sizes: list[str] | None = None

    @classmethod
    def observe(cls) -> Host:
        """The host as it is now. Raises BulkheadError where no hierarchy is mounted."""
        hierarchies = []
        seen: set[str] = set()
        for mount in mounts("cgroup", "cgroup2"):
            if mount.fstype == "cgroup2" and "v2" not in seen:
                seen.add("v2")
                controllers = (read_text(mount.path + "/cgroup.controllers") or "").split()
                hierarchies.append(Hierarchy(2, mount.path, controllers, "v2", mount.root))
            elif mount.fstype == "cgroup":
                name = next((option for option in mount.options if option.startswith("name=")), "")
                known = _v1_controllers()
                controllers = [option for option in mount.options if option in known]
                label = ",".join(controllers) or name
                if label not in seen:
                    seen.add(label)
                    hierarchies.append(Hierarchy(1, mount.path, controllers, label, mount.root))
        if not hierarchies:
            raise BulkheadError("no control group hierarchy is mounted on this machine", hint="mount one, for example: mount -t cgroup2 none /sys/fs/cgroup")
        return cls(hierarchies)

    @property
    def mode(self) -> str:
        """v1, v2 or hybrid."""
        versions = {hierarchy.version for hierarchy in self.hierarchies if hierarchy.controllers or hierarchy.version == 2}
        return "hybrid" if len(versions) == 2 else "v%d" % versions.pop() if versions else "v1"

    @property
    def systemd(self) -> bool:
        """Whether systemd runs the machine (sd_booted(3)) and so owns the groups it made."""
        return systemd.booted()

    def is_systemds(self, hierarchy: Hierarchy) -> bool:
        """Whether systemd makes and removes groups in this hierarchy."""
        return self.systemd and (hierarchy.version == 2 or "systemd" in hierarchy.name or bool(set(SYSTEMD_V1) & set(hierarchy.controllers)))

    def is_swept(self, hierarchy: Hierarchy) -> bool:
        """Whether systemd removes empty groups of others in this hierarchy: of v1, where no unit needs one of its own.

        It does so whenever it looks at its root slice, at each daemon-reload: cg_trim_v1_controllers(), src/shared/cgroup-setup.c.
        """
        return hierarchy.version == 1 and bool(hierarchy.controllers) and self.is_systemds(hierarchy) and not hierarchy.tree.exists("init.scope")

    def has(self, controller: str) -> bool:
        """Whether the controller, by its v2 name, is in a mounted hierarchy."""
        return controller in self.by_controller or V1_NAMES.get(controller, "") in self.by_controller

    def hierarchy(self, controller: str, what: str) -> Hierarchy:
        """The hierarchy of a controller, by its v2 name. Raises Unsupported that says where it is bound instead."""
        found = self.by_controller.get(controller) or self.by_controller.get(V1_NAMES.get(controller, ""))
        if found:
            return found
        bound = _binding(V1_NAMES.get(controller, controller)) or _binding(controller)
        there = ", ".join("%s on %s" % (hierarchy.name, hierarchy.path) for hierarchy in self.hierarchies)
        raise Unsupported(
            "%s needs the controller %r, which this machine does not offer: %s" % (what, controller, bound or "its kernel was built without it"),
            hint="mounted here: %s" % there,
        )

    def hierarchy_of(self, controller: str) -> Hierarchy:
        """The hierarchy that does the work of a v1 controller which v2 has built in: the v1 one where that is mounted."""
        return self.by_controller.get(controller) or self.v2 or self.hierarchy(controller, controller)

    def huge_page_sizes(self) -> list[str]:
        """The sizes of huge pages in the words of the hugetlb files ("2MB", "1GB"); hugetlb_cgroup_file_init()."""
        if self._sizes is None:
            try:
                names = os.listdir("/sys/kernel/mm/hugepages")
            except OSError:
                names = []
            self._sizes = []
            for kibibytes in sorted(int(name[len("hugepages-") : -len("kB")]) for name in names):
                size, unit = next((kibibytes >> shift, unit) for shift, unit in ((20, "GB"), (10, "MB"), (0, "KB")) if kibibytes >> shift)
                self._sizes.append("%d%s" % (size, unit))
        return self._sizes


def _v1_controllers() -> set[str]:
    """Every controller the kernel knows, by its v1 name (/proc/cgroups lists v2-only ones not)."""
    lines = (read_text("/proc/cgroups") or "").splitlines()
    return {line.split("\t")[0] for line in lines if line and not line.startswith("#")} | {"cpu", "cpuacct", "memory", "pids"}


def _binding(controller: str) -> str:
    """Why a controller that the kernel knows is in no mounted hierarchy; empty when the kernel does not know it."""
    for line in (read_text("/proc/cgroups") or "").splitlines():
        name, hierarchy, _groups, enabled = [*line.split("\t"), "", "", ""][:4]
        if name == controller:
            if enabled == "0":
                return "it was disabled at boot (cgroup_disable=%s)" % controller
            if hierarchy == "0":
                return "no v1 hierarchy with it is mounted and the v2 hierarchy does not offer it"
            return "it is bound to v1 hierarchy %s, which is not mounted here" % hierarchy
    return ""
