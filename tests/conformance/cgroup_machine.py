# SPDX-FileCopyrightText: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The machine's control groups, for the table's acts: below directories of our own, in every hierarchy."""

from __future__ import annotations

import contextlib
import fcntl
import os
import struct
import time
from pathlib import Path

from interpreter import Machine
from table import Row

TOP = "bulkhead-conformance"
DISK = "/dev/nullb0"
_BLKPG = 0x1269  # <linux/blkpg.h>
_BLKPG_ADD_PARTITION = 1
_BLKPG_DEL_PARTITION = 2
_V1_PREFIXES = ("cpu", "cpuset", "memory", "blkio", "pids", "hugetlb", "freezer", "devices", "misc", "rdma")


def _number_of(device: str) -> str:
    number = os.stat(device).st_rdev
    return "%d:%d" % (os.major(number), os.minor(number))


def _partition(action: int) -> None:
    """Make or remove the first partition of the disk: struct blkpg_ioctl_arg with a struct blkpg_partition."""
    import ctypes

    partition = ctypes.create_string_buffer(struct.pack("=qqi64s64s4x", 1 << 20, 1 << 20, 1, b"", b""))
    argument = struct.pack("@iiiP", action, 0, len(partition), ctypes.addressof(partition))
    fd = os.open(DISK, os.O_RDONLY)
    try:
        fcntl.ioctl(fd, _BLKPG, argument)
    finally:
        os.close(fd)


class Groups(Machine):
    """Two empty groups for each row."""

    def __init__(self) -> None:
        super().__init__()
        self.hierarchies: dict[str, Path] = {}
        for line in Path("/proc/self/mounts").read_text().splitlines():
            words = line.split()
            if words[2] == "cgroup2":
                self.hierarchies[""] = Path(words[1])
            elif words[2] == "cgroup":
                for controller in set(words[3].split(",")) & set(_V1_PREFIXES):
                    self.hierarchies[controller] = Path(words[1])
        # Control groups with v1 controllers are tried there; the v2 tree beside them has nothing to set.
        self.v2 = "memory" not in self.hierarchies
        self.roots = [self.hierarchies[""]] if self.v2 else sorted({root for name, root in self.hierarchies.items() if name})
        self._handed_down: list[tuple[Path, str]] = []
        _partition(_BLKPG_ADD_PARTITION)
        for root in self.roots:
            (root / TOP).mkdir()
            if self.v2:
                for group in (root, root / TOP):
                    controllers = set((group / "cgroup.controllers").read_text().split()) - set((group / "cgroup.subtree_control").read_text().split())
                    for controller in sorted(controllers):
                        (group / "cgroup.subtree_control").write_text("+" + controller)
                        self._handed_down.append((group, controller))
            for file in ("cpuset.cpus", "cpuset.mems"):
                if not self.v2 and (root / file).exists():
                    (root / TOP / file).write_text((root / file).read_text())
        cpus = Path("/sys/devices/system/cpu/online").read_text().strip()
        page = os.sysconf("SC_PAGE_SIZE")
        self.facts = {
            "disk": _number_of(DISK),
            "part": _number_of(DISK + "p1"),
            "last": cpus.rpartition("-")[2],
            "cpus": cpus,
            "page": page,
            "unlimited": (1 << 63) - page,
        }

    def path(self, path: str) -> str:
        if path.startswith("/"):
            return path
        controller, colon, rest = path.rpartition(":")
        if not colon and not self.v2:
            controller = path.rpartition("/")[2].partition(".")[0]
        root = self.hierarchies["" if self.v2 else controller]
        return str(root / rest[1:]) if rest.startswith("/") else str(root / TOP / rest)

    def enter(self, group: str, pid: int) -> None:
        self.put(group + "/cgroup.procs", "%d" % pid)

    def prepare(self, row: Row) -> None:
        for root in self.roots:
            for group in ("g", "h"):
                (root / TOP / group).mkdir()

    def clean(self) -> None:
        offline = Path("/sys/devices/system/cpu/offline").read_text().strip()
        for number in range(int(self.facts["last"]) + 1):
            if str(number) in offline.replace("-", ",").split(","):
                self.do_cpu(str(number), True)
        for root in self.roots:
            for directory, _directories, _files in os.walk(root / TOP, topdown=False):
                if Path(directory) != root / TOP:
                    self._remove(directory)

    def _remove(self, directory: str) -> None:
        """Processes of the row are dead by now, and their groups empty soon."""
        deadline = time.monotonic() + 10
        while True:
            try:
                os.rmdir(directory)
                return
            except OSError:
                if time.monotonic() > deadline:
                    raise
            time.sleep(0.02)

    def close(self) -> None:
        for root in self.roots:
            for group, controller in reversed(self._handed_down):
                if group != root:
                    (group / "cgroup.subtree_control").write_text("-" + controller)
            self._remove(str(root / TOP))
        for group, controller in reversed(self._handed_down):
            if group in self.roots:
                with contextlib.suppress(OSError):  # somebody else may use it by now
                    (group / "cgroup.subtree_control").write_text("-" + controller)
        _partition(_BLKPG_DEL_PARTITION)

    def stain(self) -> str:
        raise NotImplementedError("control groups have no words")

    words = stain
