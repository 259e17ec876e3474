# SPDX-FileCopyrightText: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The machine's resctrl, for the table's acts."""

from __future__ import annotations

import ctypes
import os
import re
import time
from pathlib import Path

from interpreter import Machine, Mismatch, calculated, cpu_list
from table import Row

ROOT = Path("/sys/fs/resctrl")
_THRESHOLD = "info/L3_MON/max_threshold_occupancy"
_MS_REMOUNT = 32
_libc = ctypes.CDLL(None, use_errno=True)


def _mount(options: str, flags: int = 0) -> None:
    if _libc.mount(b"resctrl", bytes(ROOT), b"resctrl", flags, options.encode()):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def _unmount() -> None:
    if _libc.umount2(bytes(ROOT), 0):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def mounted() -> str | None:
    """The options that resctrl is mounted with, None where it is not."""
    for line in Path("/proc/self/mounts").read_text().splitlines():
        words = line.split()
        if words[2] == "resctrl":
            return ",".join(option for option in words[3].split(",") if option in ("cdp", "cdpl2", "mba_MBps", "debug"))
    return None


def values(text: str) -> dict[tuple[str, int], str]:
    """{(resource, domain): value as text} of a schemata file."""
    found = {}
    for line in text.splitlines():
        name, _colon, rest = line.strip().partition(":")
        for pair in rest.split(";"):
            domain, _equals, value = pair.partition("=")
            found[name, int(domain)] = value.strip()
    return found


def _as_number(resource: str, value: str) -> int:
    return int(value, 10 if resource in ("MB", "SMBA") else 16)


class Resctrl(Machine):
    """resctrl as it is after mounting, with two more groups for each row."""

    def __init__(self) -> None:
        super().__init__()
        if mounted() is not None:
            raise SystemExit("resctrl is mounted here, and somebody may use it: unmount it first")
        _mount("")
        if self.text(_THRESHOLD) == "0\n":
            # A number counts as free below this occupancy, so with 0 none that was used once would ever be free again.
            self.put(_THRESHOLD, "65536\n")
        self.facts = self._observe()

    def _observe(self) -> dict[str, object]:
        info = ROOT / "info"

        def number(path: str, base: int = 10) -> int:
            return int((info / path).read_text(), base)

        held = values((ROOT / "schemata").read_text())
        domains = sorted(domain for name, domain in held if name == "L3")
        cpus_of = {
            int((cpu / "cache/index3/id").read_text()): cpu_list((cpu / "cache/index3/shared_cpu_list").read_text())
            for cpu in Path("/sys/devices/system/cpu").glob("cpu[0-9]*")
        }
        full = number("L3/cbm_mask", 16)
        shared = number("L3/shareable_bits", 16)
        most = int(held["MB", domains[0]])
        classes = number("L3/num_closids")
        last = sorted(cpus_of[domains[-1]])
        return {
            "domains": domains,
            "d0": domains[0],
            "d1": domains[-1],
            "none": domains[-1] + 77,
            "full": full,
            "own": full & ~shared,
            "shared": shared,
            "wide": full + 1,
            "least": number("MB/min_bandwidth"),
            "step": number("MB/bandwidth_gran"),
            "most": most,
            "above": most + 1,
            "stride": 1 if most <= 100 else 7,
            "closids": min(int(path.read_text()) for path in info.glob("*/num_closids")),
            "closids_cdp": classes // 2,
            "rmids": number("L3_MON/num_rmids"),
            "threshold": number("L3_MON/max_threshold_occupancy"),
            "cpu0": min(cpus_of[domains[0]]),
            "cpu1": last[-1],
            "cpus1": "%d-%d" % (last[0], last[-1]) if len(last) > 1 else "%d" % last[0],
            "cpus": (ROOT / "cpus_list").read_text().strip(),
            "page": "x" * os.sysconf("SC_PAGE_SIZE"),
        }

    def path(self, path: str) -> str:
        return path if path.startswith("/") else "%s/%s" % (ROOT, path)

    def written(self, text: str) -> bytes:
        """The text, with each domain in place of a star."""
        return re.sub(r"\*=(\w+)", lambda star: ";".join("%d=%s" % (domain, star.group(1)) for domain in self.facts["domains"]), text).encode()

    def enter(self, group: str, pid: int) -> None:
        self.put(group + "/tasks", "%d\n" % pid)

    def stain(self) -> str:
        if mounted() is None:
            raise Mismatch("resctrl is not mounted")
        try:
            self.put("mode", "nonsense\n")
        except OSError:
            return self.words()
        raise Mismatch("nonsense was taken as a mode")

    def words(self) -> str:
        return self.text("info/last_cmd_status")[:-1]

    def mount_anew(self, options: str) -> None:
        if mounted() is not None:
            _unmount()
        _mount(options)

    def prepare(self, row: Row) -> None:
        if mounted() != row.setting:
            self.mount_anew(row.setting)
        for group in ("g", "h"):
            self.fresh(group)

    def fresh(self, path: str) -> None:
        """Make a group; where numbers to monitor with are resting, wait for one."""
        deadline = time.monotonic() + 10
        while True:
            try:
                os.mkdir(self.path(path))
                return
            except OSError as error:
                if error.strerror != os.strerror(16) or time.monotonic() > deadline:
                    raise
            time.sleep(0.1)

    def clean(self) -> None:
        """As it was mounted, or unmounted altogether where that is not to be had by removing groups."""
        if mounted() is None:
            return
        self.do_cpu("".join(Path("/sys/devices/system/cpu/offline").read_text().split()), True)
        for group in [path.parent for path in ROOT.glob("*/schemata")] + list(ROOT.glob("mon_groups/*/")):
            group.rmdir()
        self.put("mode", "shareable\n")
        if values(self.text("schemata")) != self._defaults():
            _unmount()

    def _defaults(self) -> dict[tuple[str, int], str]:
        """What the default group has after mounting."""
        now = values(self.text("schemata"))
        widest = {"L3": "%x" % self.facts["full"], "MB": "%d" % self.facts["most"], "SMBA": "2048"}
        widest["L3CODE"] = widest["L3DATA"] = widest["L3"]
        if mounted() == "mba_MBps":
            widest["MB"] = "4294967295"
        return {key: value if _as_number(key[0], value) == _as_number(key[0], widest[key[0]]) else "" for key, value in now.items()}

    def close(self) -> None:
        if mounted() is not None:
            _unmount()

    def do_holds(self, path: str, lines: tuple[str, ...]) -> None:
        text = self.text(path)
        now = values(text)
        for line in lines:
            for (resource, domain), value in values(line).items():
                if (resource, domain) not in now or _as_number(resource, now[resource, domain]) != _as_number(resource, value):
                    raise Mismatch("it says %r" % text)

    def do_mount(self, options: str) -> None:
        _mount(options)

    def do_remount(self, options: str) -> None:
        _mount(options, _MS_REMOUNT)

    def do_unmount(self) -> None:
        _unmount()

    def do_fill(self, path: str, count: str) -> None:
        for number in range(1, calculated(count, {}) + 1):
            self.fresh("%s%d" % (path, number))
        self.stain()  # waiting for a number leaves words behind
        os.mkdir(self.path("%s%d" % (path, number + 1)))

    def number(self, path: str) -> int:
        return int(values(self.text(path))["MB", self.facts["d0"]])
