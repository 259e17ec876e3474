# SPDX-FileCopyrightText: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A directory tree that takes writes as the kernel's resctrl does, for tests without root.

The rules are written down here from the kernel's document and from what a real kernel answered, not from the code under
test: what is refused, what the kernel says about it and when it forgets what it said, what is rounded, what a new group
starts with. After every change it is asserted that no way of an exclusive group belongs to another group too.
"""

from __future__ import annotations

import errno
import os
from pathlib import Path

from ansible_collections.bulkhead.linux.plugins.module_utils._runtime.kernel.files import Tree

NOT_GROUPS = ("info", "mon_groups", "mon_data")


def refuse(code: int) -> OSError:
    return OSError(code, os.strerror(code))


class Machine:
    """What the hardware has."""

    def __init__(
        self,
        ways: int = 11,
        domains: tuple[int, ...] = (0, 1),
        shareable: int = 0x600,
        least: int = 1,
        sparse: bool = False,
        closids: int = 16,
        rmids: int = 32,
        cdp: bool = False,
        l2: int = 0,
        bandwidth: str = "percent",
    ) -> None:
        """l2: ways of an L2 that can be divided too, 0 for none; bandwidth: percent, eighths, MBps or mpam (with bands of 1/16)."""
        self.full = (1 << ways) - 1
        self.domains = domains
        self.shareable = shareable
        self.least = least
        self.sparse = sparse
        self.cdp = cdp
        self.closids = closids // 2 if cdp else closids
        self.rmids = rmids
        self.bandwidth = bandwidth
        self.caches = dict.fromkeys(("L3CODE", "L3DATA") if cdp else ("L3",), (self.full, shareable))
        if l2:
            self.caches["L2"] = ((1 << l2) - 1, 0)
        self.most = {"percent": 100, "eighths": 2048, "MBps": 0xFFFFFFFF, "mpam": 100}[bandwidth]

    def rounded(self, value: int) -> int:
        if self.bandwidth == "percent":
            return -(-value // 10) * 10
        if self.bandwidth == "mpam":  # up to a step of 7, then the nearest band of 16, which reads back as its top
            stepped = -(-value // 7) * 7
            band = max(1, round(stepped * 16 / 100))
            return min(100, -(-band * 100 // 16))
        return value


class FakeResctrl(Tree):
    """A mounted file system. `log` holds what was done: ("write", path, text), ("mkdir", path), ("rmdir", path)."""

    def __init__(self, path: Path, machine: Machine | None = None) -> None:
        super().__init__(str(path))
        path.mkdir(parents=True)
        self.base = path
        self.machine = machine or Machine()
        self.online = self.machine.domains
        self.log: list[tuple[str, ...]] = []
        self.reads: list[str] = []
        self.said = ""
        self.values: dict[str, dict[tuple[str, int], int]] = {}
        self.modes: dict[str, str] = {}
        self.watch = True
        self._info()
        self._make("")

    def _info(self) -> None:
        machine = self.machine
        for name, (full, shareable) in machine.caches.items():
            files = {"cbm_mask": "%x" % full, "min_cbm_bits": machine.least, "shareable_bits": "%x" % shareable}
            files.update({"sparse_masks": int(machine.sparse), "num_closids": machine.closids})
            for file, value in files.items():
                self._put("info/%s/%s" % (name, file), str(value))
        minimum, step, linear = {"percent": (10, 10, 1), "eighths": (0, 1, 0), "MBps": (10, 10, 1), "mpam": (1, 7, 1)}[machine.bandwidth]
        files = {"min_bandwidth": minimum, "bandwidth_gran": step, "delay_linear": linear, "num_closids": machine.closids}
        for file, value in files.items():
            self._put("info/MB/%s" % file, str(value))
        self._put("info/L3_MON/num_rmids", str(machine.rmids))
        self._put("info/last_cmd_status", "ok")

    def _put(self, path: str, text: str) -> None:
        file = self.base / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text + "\n")

    def _make(self, name: str) -> None:
        (self.base / name / "mon_groups").mkdir(parents=True)
        self.values[name] = {}
        for resource, (full, shareable) in self.machine.caches.items():
            for domain in self.online:
                self.values[name][resource, domain] = self._first_run(resource, domain, full, shareable, name) if name else full
        for domain in self.online:
            self.values[name]["MB", domain] = self.machine.most
        self.modes[name] = "shareable"
        self._put(name + "/cpus_list" if name else "cpus_list", "0-3" if not name else "")
        self._put(name + "/tasks" if name else "tasks", "")
        self._show()

    def _twins(self, resource: str) -> list[str]:
        return ["L3CODE", "L3DATA"] if resource.startswith("L3") and self.machine.cdp else [resource]

    def _first_run(self, resource: str, domain: int, full: int, shareable: int, name: str) -> int:
        used, may = shareable, shareable
        for other, values in self.values.items():
            if other != name:
                for twin in self._twins(resource):
                    used |= values.get((twin, domain), 0)
                    if self.modes[other] == "shareable":
                        may |= values.get((twin, domain), 0)
        may |= full & ~used
        lowest = may & -may
        run = may & ~(may + lowest)
        if bin(run).count("1") < self.machine.least:
            self.said += "No space on %s:%d\n" % (resource, domain)
            raise refuse(errno.ENOSPC)
        return run

    def _show(self) -> None:
        """What reading gives, and what must be true at any instant."""
        for name, values in self.values.items():
            lines = []
            for resource in ["MB", *reversed(list(self.machine.caches))]:
                spelled = "%d=%4d" if resource == "MB" else "%d=%04x"
                lines.append("%6s:%s" % (resource, ";".join(spelled % (domain, values[resource, domain]) for domain in self.online)))
            self._put(name + "/schemata" if name else "schemata", "\n".join(lines))
            self._put(name + "/mode" if name else "mode", self.modes[name])
        for resource in self.machine.caches:
            usage = []
            for domain in self.online:
                exclusive = any(mode == "exclusive" and self.values[name][resource, domain] for name, mode in self.modes.items())
                usage.append("%d=%s" % (domain, "E" if exclusive else "S"))
            self._put("info/%s/bit_usage" % resource, ";".join(usage))
        if self.watch:
            assert not self.shared(), "an exclusive group shares ways: %s" % self.shared()

    def shared(self) -> list[tuple[str, str, str, int]]:
        """(exclusive group, other group, resource, domain) of what must not be."""
        return [
            (name, other, resource, domain)
            for name, mode in self.modes.items()
            if mode == "exclusive"
            for other in self.values
            if other != name
            for resource in self.machine.caches
            for twin in self._twins(resource)
            for domain in self.online
            if self.values[name][resource, domain] & self.values[other][twin, domain]
        ]

    def names(self, path: str = "") -> list[str]:
        self.reads.append(path + "/")
        return super().names(path)

    def read_short(self, path: str) -> str | None:
        self.reads.append(path)
        if path == "info/last_cmd_status":
            return (self.said or "ok\n").rstrip("\n")
        return super().read_short(path)

    def snapshot(self) -> dict[str, str]:
        files = [file for file in sorted(self.base.rglob("*")) if file.is_file() and "last_cmd_status" not in file.name]
        return {str(file.relative_to(self.base)): file.read_text() for file in files}

    # What a module does

    def mkdir(self, path: str, mode: int = 0o755) -> None:
        if (self.base / path).exists():
            raise refuse(errno.EEXIST)
        if "/" not in path:
            if len(self.values) >= self.machine.closids:
                self.said += "Out of CLOSIDs\n"
                raise refuse(errno.ENOSPC)
            try:
                self._make(path)
            except OSError:
                self.values.pop(path, None)
                (self.base / path / "mon_groups").rmdir()
                (self.base / path).rmdir()
                raise
        else:
            (self.base / path).mkdir()
            self._put(path + "/cpus_list", "")
            self._put(path + "/tasks", "")
        self.log.append(("mkdir", path))

    def rmdir(self, path: str) -> None:
        if not (self.base / path).exists():
            raise refuse(errno.ENOENT)
        for file in sorted((self.base / path).rglob("*"), reverse=True):
            file.unlink() if file.is_file() else file.rmdir()
        (self.base / path).rmdir()
        if "/" not in path:
            del self.values[path], self.modes[path]
            self._show()
        self.log.append(("rmdir", path))

    def write(self, path: str, text: str) -> None:
        if path.endswith("/cpus_list") and "/mon_groups/" not in path:
            # A new mask clears those of the monitoring groups (rdtgroup_cpus_write(), fs/resctrl/rdtgroup.c).
            for file in (self.base / path).parent.glob("mon_groups/*/cpus_list"):
                self._put(str(file.relative_to(self.base)), "")
        if not (self.base / path).exists():
            raise refuse(errno.ENOENT)
        group, _slash, file = path.rpartition("/")
        if file == "schemata":
            self._write_schemata(group, text)
        elif file == "mode":
            self._write_mode(group, text)
        else:
            self._put(path, text.rstrip("\n"))
        self.log.append(("write", path, text))

    def _say(self, text: str) -> OSError:
        self.said += text + "\n"
        return refuse(errno.EINVAL)

    def _write_mode(self, group: str, text: str) -> None:
        if not text.endswith("\n"):
            raise refuse(errno.EINVAL)
        self.said = ""
        mode = text[:-1]
        if mode not in ("shareable", "exclusive"):
            raise self._say("Unknown or unsupported mode")
        if mode == "exclusive" and self.modes[group] != mode:
            for (resource, domain), mask in self.values[group].items():
                if resource in self.machine.caches and self._meets(group, resource, domain, mask, False):
                    raise self._say("Schemata overlaps")
        self.modes[group] = mode
        self._show()

    def _meets(self, group: str, resource: str, domain: int, mask: int, exclusive_only: bool) -> bool:
        if not exclusive_only and mask & self.machine.caches[resource][1]:
            return True
        return any(
            mask & self.values[other][twin, domain]
            for other in self.values
            for twin in self._twins(resource)
            if other != group and (not exclusive_only or self.modes[other] == "exclusive")
        )

    def _write_schemata(self, group: str, text: str) -> None:
        if not text.endswith("\n"):
            raise refuse(errno.EINVAL)
        self.said = ""
        staged: dict[tuple[str, int], int] = {}
        for line in text[:-1].split("\n"):
            name, colon, entries = line.partition(":")
            name = name.strip()
            if not colon:
                raise self._say("Missing ':'")
            if not entries:
                raise self._say("Missing '%s' value" % name)
            if name != "MB" and name not in self.machine.caches:
                raise self._say("Unknown or unsupported resource name '%s'" % name)
            for entry in entries.split(";"):
                domain, equals, value = entry.partition("=")
                if not equals or not domain.isdigit():
                    raise self._say("Missing '=' or non-numeric domain")
                if int(domain) not in self.online:
                    raise refuse(errno.EINVAL)
                cell = (name, int(domain))
                if cell in staged:
                    raise self._say("Duplicate domain %s" % domain)
                staged[cell] = self._bandwidth(value) if name == "MB" else self._mask(group, cell, value)
                if self.machine.bandwidth == "MBps" and name == "MB":
                    self.values[group][cell] = staged[cell]  # taken as it is read
        self.values[group].update(staged)
        self._show()

    def _bandwidth(self, text: str) -> int:
        if not text.isdigit() or int(text) > 0xFFFFFFFF:
            raise self._say("Invalid MB value %s" % text)
        value = int(text)
        least = {"percent": 10, "eighths": 0, "MBps": 0, "mpam": 1}[self.machine.bandwidth]
        if not least <= value <= self.machine.most:
            raise self._say("MB value %d out of range [%d,%d]" % (value, least, self.machine.most))
        return self.machine.rounded(value)

    def _mask(self, group: str, cell: tuple[str, int], text: str) -> int:
        try:
            mask = int(text, 16)
        except ValueError:
            raise self._say("Non-hex character in the mask %s" % text) from None
        full = self.machine.caches[cell[0]][0]
        if (self.machine.least and not mask) or mask > full:
            raise self._say("Mask out of range")
        spelled = bin(mask)[2:].rstrip("0")
        if not self.machine.sparse and "0" in spelled:
            raise self._say("The mask %x has non-consecutive 1-bits" % mask)
        if len(spelled) - len(spelled.rstrip("1")) < self.machine.least:
            raise self._say("Need at least %d bits in the mask" % self.machine.least)
        if self._meets(group, cell[0], cell[1], mask, True):
            raise self._say("Overlaps with exclusive group")
        if self.modes[group] == "exclusive" and self._meets(group, cell[0], cell[1], mask, False):
            raise self._say("Overlaps with other group")
        return mask

    # What happens to a machine

    def offline(self, domain: int) -> None:
        self.online = tuple(other for other in self.online if other != domain)
        self._show()

    def back_online(self, domain: int) -> None:
        """The domain returns with everything for everyone, the exclusive groups not excepted."""
        self.online = tuple(sorted((*self.online, domain)))
        for values in self.values.values():
            values.update({(resource, domain): full for resource, (full, _shareable) in self.machine.caches.items()})
            values["MB", domain] = self.machine.most
        self.watch = False
        self._show()
