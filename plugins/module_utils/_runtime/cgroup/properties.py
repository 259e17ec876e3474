# Copyright: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Limits as properties of systemd's units (systemd.resource-control(5)): what to write into a drop-in, and what of it reaches the kernel.

Lines are kept by key: the name of a property, and of those with a line for each device the device too. What systemd rounds
on the way is applied to the setting itself, so that the kernel's file is compared with what will really be there.
"""

from __future__ import annotations

from ..errors import InvalidInput
from ..kernel import block
from . import devices
from .group import Group, Setting
from .values import MAX

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Lines = dict[str, tuple[str, ...]]

_HEADER = "# Written by bulkhead.linux, which keeps what it was asked for; make changes of your own in another file.\n"
_INFINITY = "infinity"
_PLAIN = {
    "memory.max": "MemoryMax",
    "memory.high": "MemoryHigh",
    "memory.low": "MemoryLow",
    "memory.min": "MemoryMin",
    "memory.swap_max": "MemorySwapMax",
    "cpu.weight": "CPUWeight",
    "cpuset.cpus": "AllowedCPUs",
    "cpuset.mems": "AllowedMemoryNodes",
    "io.weight": "IOWeight",
    "pids.max": "TasksMax",
}
_IO_MAX = {"rbps": "IOReadBandwidthMax", "wbps": "IOWriteBandwidthMax", "riops": "IOReadIOPSMax", "wiops": "IOWriteIOPSMax"}
_LATENCY = "IODeviceLatencyTargetSec"
_BY_DEVICE = (*_IO_MAX.values(), _LATENCY)
_ACCOUNTING = {"memory": "MemoryAccounting", "io": "IOAccounting", "pids": "TasksAccounting"}
# What systemd passes on to v1 as it was meant. cpuset it does not manage there; weights of block devices it scales in a way of its own.
_ON_V1 = ("memory.max", "cpu.max", "cpu.weight", "pids.max")
_BELOW = "set it on a group below a service or scope that has Delegate=yes, such as name.service/worker, where systemd writes nothing"
_NO_PROPERTY = {
    "memory.oom_group": "systemd has it for services only: OOMPolicy=kill in the unit's own file",
    "cpu.burst": "",
    "cpuset.partition": "",
    "hugetlb": "",
    "rdma": "",
    "misc": "",
    "files": "",
}


def lines_of(group: Group, wanted: dict[str, Any]) -> Lines:
    """The lines that make the group as it is asked for. Raises InvalidInput for what systemd has no property for.

    An empty tuple takes a line away. The settings are changed to what the kernel will hold.
    """
    found: Lines = {}
    for setting in group.settings:
        key, lines = _line(group, setting, wanted)
        found[key] = lines
    for controller in sorted(group.controllers_asked):
        if controller not in _ACCOUNTING:
            raise InvalidInput(
                "group %s: controllers: systemd enables %s when a limit of it is set, and not without" % (group.title, controller),
                hint="with systemd, controllers takes %s; for others, %s" % (", ".join(_ACCOUNTING), _BELOW),
            )
        found[_ACCOUNTING[controller]] = ("%s=yes" % _ACCOUNTING[controller],)
    if group.devices is not None:
        found["DeviceAllow"] = _devices(group, group.devices)
    return found


def _line(group: Group, setting: Setting, wanted: dict[str, Any]) -> tuple[str, tuple[str, ...]]:
    option, value = setting.option, setting.value
    by_device = option.startswith(("io.max ", "io.latency "))
    family = option.partition(" ")[0] if by_device else option
    reason = next((reason for name, reason in _NO_PROPERTY.items() if option == name or option.startswith((name + ".", name + " "))), None)
    if reason is not None:
        raise InvalidInput("group %s: systemd has no property for %s%s" % (group.title, option, ": " + reason if reason else ""), hint=_BELOW)
    if setting.hierarchy.version == 1 and family not in (*_ON_V1, "io.max"):
        raise InvalidInput(
            "group %s: %s cannot be had of systemd on this machine: its %s controller is on cgroup v1, for which systemd does not manage that"
            % (group.title, option, option.partition(".")[0]),
            hint=_upgrade(),
        )
    if by_device and setting.hierarchy.version == 1 and option.endswith("iops"):
        raise InvalidInput(
            "group %s: %s: on cgroup v1, which has the io controller here, systemd limits bytes and no operations" % (group.title, option), hint=_upgrade()
        )
    if by_device:
        return _device_line(setting, option)
    if option == "cpu.max":
        return option, _quota(setting)
    if option == "cpu.idle":
        if value == "1":
            return "CPUWeight", ("CPUWeight=idle",)
        return ("CPUWeight", ()) if "cpu.weight" not in wanted else ("cpu.idle", ())
    if option == "pids.max" and value == "0":
        raise InvalidInput("group %s: systemd cannot express a pids.max of 0" % group.title, hint="give at least 1, or %s" % _BELOW)
    if option == "cpu.weight" and setting.hierarchy.version == 1:
        setting.kept = str(max(2, int(value) * 1024 // 100))  # cgroup_cpu_weight_to_shares(), src/core/cgroup.c, rounds down
    name = _PLAIN[option]
    return name, ("%s=%s" % (name, _INFINITY if value == MAX else value),)


def _upgrade() -> str:
    return "boot with cgroup v2 (systemd.unified_cgroup_hierarchy=1), or " + _BELOW


def _quota(setting: Setting) -> tuple[str, ...]:
    """CPUQuota= counts in hundredths of a percent; the period has bounds (cgroup_cpu_adjust_period(), src/core/cgroup.c)."""
    quota, period = setting.value.split()
    if quota == MAX:
        # Nothing enables the controller then, so the period goes back to the kernel's own.
        setting.kept = setting.file.format.kept("max 100000")
        return ("CPUQuota=", "CPUQuotaPeriodSec=")
    hundredths = max(1, int(quota) * 10000 // int(period))
    per_second = hundredths * 100
    length = min(max(int(period), 1000, 1000 * 1000000 // per_second), 1000000)
    setting.kept = setting.file.format.kept("%d %d" % (max(per_second * length // 1000000, 1000), length))
    percent = ("%d.%02d" % divmod(hundredths, 100)).rstrip("0").rstrip(".")
    return ("CPUQuota=%s%%" % percent, "CPUQuotaPeriodSec=%dus" % length)


def _device_line(setting: Setting, option: str) -> tuple[str, tuple[str, ...]]:
    words = option.split(" ")
    if len(words) > 3 or set(option) & set("%\"'\\"):
        raise InvalidInput("%s: a path with such letters cannot be given to systemd" % option, hint="give another path to the same device, or its number")
    # A number would mean another device after a reboot; a path that was given stays what it is.
    path = words[1] if words[1].startswith("/") else "/dev/block/" + words[1]
    if words[0] == "io.latency":
        name, value = _LATENCY, _INFINITY if setting.value in ("0", MAX) else setting.value + "us"
    else:
        name, value = _IO_MAX[words[2]], _INFINITY if setting.value == MAX else setting.value
    return "%s %s" % (name, path), ("%s=%s %s" % (name, path, value),)


def _devices(group: Group, policy: devices.Policy) -> tuple[str, ...]:
    if policy.allow:
        if policy.exceptions:
            raise InvalidInput("group %s: devices: systemd can allow some devices and deny the rest, or allow all" % group.title, hint="list what is allowed")
        return ("DevicePolicy=auto", "DeviceAllow=")
    lines = ["DevicePolicy=strict", "DeviceAllow="]
    for (kind, major, minor), access in sorted(policy.exceptions.items()):
        word = "char" if kind == "c" else "block"
        if major == "*" and minor != "*":
            raise InvalidInput(
                "group %s: devices: systemd has no rule for one minor number of every major one" % group.title, hint="name the devices one by one"
            )
        lines.append("DeviceAllow=%s %s" % ("%s-%s" % (word, major) if minor == "*" else "/dev/%s/%s:%s" % (word, major, minor), access))
    return tuple(lines)


def policy_lines(unit: dict[str, str]) -> list[str]:
    """The same, sorted, from what systemd says of a unit (DevicePolicy, DeviceAllow)."""
    allowed = ["DeviceAllow=" + line for line in unit.get("DeviceAllow", "").splitlines() if line]
    return sorted(["DevicePolicy=" + unit.get("DevicePolicy", "auto"), *allowed])


# Files


def read(text: str | None) -> Lines:
    """The lines of a drop-in of ours by key."""
    found: dict[str, list[str]] = {}
    for line in (text or "").splitlines():
        name, equals, value = line.partition("=")
        if not equals or line.startswith(("#", "[")):
            continue
        found.setdefault(_key(name, value), []).append(line)
    return {key: tuple(lines) for key, lines in found.items()}


def _key(name: str, value: str) -> str:
    if name in _BY_DEVICE:
        return "%s %s" % (name, value.rpartition(" ")[0])
    if name in ("CPUQuota", "CPUQuotaPeriodSec"):
        return "cpu.max"
    return "DeviceAllow" if name in ("DevicePolicy", "DeviceAllow") else name


def text_of(section: str, lines: Lines) -> str | None:
    """The drop-in that holds these lines; None where there is none to hold."""
    held = [line for key in sorted(lines) for line in lines[key]]
    return "%s[%s]\n%s\n" % (_HEADER, section, "\n".join(held)) if held else None


def merge(held: Lines, asked: Lines) -> Lines:
    """What is held, with what is asked for laid over it; an empty tuple takes a line away."""
    return {key: lines for key, lines in {**held, **asked}.items() if lines}


def named_as(held: Lines, asked: Lines) -> Lines:
    """What is asked for, with devices called as they are in what is held already: systemd takes another name for another limit."""
    found = {}
    for key, lines in asked.items():
        name, _space, path = key.partition(" ")
        twin = next((other for other in held if _by_device(key) and other.startswith(name + " ") and _number(other.partition(" ")[2]) == _number(path)), key)
        found[twin] = tuple(line.replace("=%s " % path, "=%s " % twin.partition(" ")[2], 1) for line in lines) if twin != key else lines
    return found


def _by_device(key: str) -> bool:
    return key.partition(" ")[0] in _BY_DEVICE


def _number(path: str) -> str:
    try:
        return block.number_of(path, path)
    except InvalidInput:
        return path


def lifted(before: str | None, after: str | None, section: str) -> str | None:
    """The text to be in force for a moment between two others: limits of devices that only the first has, as unlimited.

    When such a line is simply gone, systemd leaves the kernel as it is. None where there is no such line.
    """
    old, new = read(before), read(after)
    gone = [key for key in old if _by_device(key) and key not in new]
    if not gone:
        return None
    return text_of(section, {**new, **{key: ("%s=%s %s" % (*key.split(" ", 1), _INFINITY),) for key in gone}})
