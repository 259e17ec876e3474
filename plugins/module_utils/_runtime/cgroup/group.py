# Copyright: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""What a user wants of one group: options, read and checked against the machine, as settings of interface files."""

from __future__ import annotations

import os
import re

from .. import slices, units
from ..errors import InvalidInput, Unsupported
from ..kernel import block
from . import devices, files, knobs
from .host import IMPLICIT_V2, V1_NAMES, Hierarchy, Host
from .knobs import File
from .values import MAX

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

# Directories and files share one name space below a group, so a group must not be called as a file may be.
_INTERFACE = re.compile(
    r"(cgroup|cpu|cpuacct|cpuset|memory|io|blkio|pids|hugetlb|rdma|misc|devices|freezer|net_cls|net_prio|perf_event|debug|irq|dmem)\..*"
    r"|tasks|notify_on_release|release_agent"
)
_FILE_NAME = re.compile(r"[a-z][A-Za-z0-9_]*(\.[A-Za-z0-9_]+)*")
# Files that act when written and keep no value, and those that an option of their own manages.
_NOT_SETTINGS = {
    "cgroup.procs": "processes",
    "cgroup.threads": "processes",
    "tasks": "processes",
    "cgroup.freeze": "frozen",
    "freezer.state": "frozen",
    "cgroup.kill": "state: absent with force: true",
    "cgroup.subtree_control": "controllers",
    "devices.allow": "devices",
    "devices.deny": "devices",
    "cgroup.event_control": "",
    "memory.force_empty": "",
    "memory.reclaim": "",
    "release_agent": "",
}
# Files in which a new group has less than anything that can be asked for.
_START_LOW = ("cpuset.cpus", "cpuset.mems", "cpuset.cpus.partition", "cpuset.cpu_exclusive", "cpu.max.burst", "cpu.cfs_burst_us")
# Files with lines, of which the kernel reads the numbers without units ("rbps=10M" is 10 B/s to it).
_LINES = {file.name: option for option, files in knobs.KEYED_FILES.items() for file in files}


class Setting:
    """One value that one file of the group is to hold.

    option: the option it comes from, asked: the value as the user wrote it, value: the same in the vocabulary of v2.
    said: the option as the user named it, which may be a file.
    key: the line of files that have several. order, starts_low: see Knob. swap_only: the value is swap alone, the file counts memory and swap.
    """

    __slots__ = ("asked", "deadly", "file", "hierarchy", "kept", "key", "option", "order", "said", "starts_low", "swap_only", "value")

    def __init__(self, option: str, asked: object, hierarchy: Hierarchy, file: File, value: str, key: str = "", order: int = 99, deadly: bool = False) -> None:
        self.option = self.said = option
        self.asked = asked
        self.hierarchy = hierarchy
        self.file = file
        self.value = value
        self.key = key
        self.order = order
        self.deadly = deadly
        self.kept = file.format.kept(value)
        self.starts_low = file.name in _START_LOW
        self.swap_only = False

    @property
    def place(self) -> str:
        """What of the kernel holds it, in one spelling: the file, with the line of files that have several."""
        return "%s %s" % (self.file.name, self.key) if self.key else self.file.name


class Group:
    """One group as it is desired.

    title: what the user calls it; called: the same with its kind, for messages.
    name: where it is below the root of each hierarchy, for units of systemd known only when planned.
    place: the unit that it is or below which it is, where systemd manages it. boundary: the group of the unit above it that
    delegates to us: what lies above that is not ours to write. awaited: that unit is yet to be started, and will be before the group is made.
    brought_back: it is as it was asked for once, and what groups above it have lost with CPUs that were gone is given back to them.
    follows: what is below it only divides it, or belongs to somebody who may be hostile (a container): its child groups are
    given what it is given, and no value that any group below it has keeps its own limits from being changed.
    shown_in: the name of its child group in which programs look up the limits (shown.py); empty: there is none.
    may_force: whether whoever asks for it has an option `force`.
    """

    def __init__(self, name: str, present: bool = True, called: str = "") -> None:
        self.name = name
        self.title = name
        self.called = called or "group " + name
        self.place: slices.Place | None = None
        self.boundary = ""
        self.awaited = False
        self.brought_back = False
        self.follows = False
        self.shown_in = ""
        self.present = present
        self.settings: list[Setting] = []
        self.hierarchies: list[Hierarchy] = []
        self.controllers: set[str] = set()  # those of v2 that the group must have, by name
        self.controllers_asked: list[str] = []
        self.processes: list[int] = []
        self.frozen: bool | None = None
        self.devices: devices.Policy | None = None
        self.force = False
        self.may_force = True
        self.overcommit = "allow"

    @property
    def is_unit(self) -> bool:
        """Whether systemd is to be asked for everything about the group."""
        return self.place is not None and not self.place.below

    @property
    def depth(self) -> int:
        return self.name.count("/")

    def joins(self, hierarchy: Hierarchy) -> None:
        """The group is to exist in this hierarchy."""
        if hierarchy not in self.hierarchies:
            self.hierarchies.append(hierarchy)

    def needs(self, controller: str, host: Host, what: str) -> Hierarchy:
        """The group is to have this controller (v2 name); returns the hierarchy in which it is."""
        hierarchy = host.hierarchy(controller, what)
        self.joins(hierarchy)
        if hierarchy.version == 2:
            self.controllers.add(controller)
        return hierarchy


def check_name(name: object) -> str:
    """The name, when it can be a group beneath a root and nothing else; InvalidInput when not."""
    text = str(name if name is not None else "")
    if not text.strip("/"):
        raise InvalidInput(
            "the name of the group is empty", hint="give a path relative to the root, such as web or web/frontend; the root itself is not managed"
        )
    if text.startswith("/"):
        raise InvalidInput("name %r is absolute" % text, hint="names are relative to the root of the hierarchy: leave the first slash out")
    for part in text.split("/"):
        if part in ("", ".", ".."):
            raise InvalidInput("name %r has the component %r" % (text, part), hint="write it as plain names joined by single slashes")
        if "\n" in part or "\0" in part or _length(part) > 255:
            raise InvalidInput("name %r holds a newline, a NUL or a component of more than 255 bytes" % text)
        if _INTERFACE.fullmatch(part):
            raise InvalidInput(
                "name %r: %r could be an interface file of the kernel" % (text, part),
                hint="a group must not be called like a controller and a dot; cgroup-v2.rst, 'Avoid Name Collisions'",
            )
    return text


def _length(part: str) -> int:
    try:
        return len(os.fsencode(part))
    except UnicodeEncodeError:
        raise InvalidInput("name %r holds half of a character" % part) from None


def _place(name: str, manager: str, host: Host) -> slices.Place | None:
    """The unit that the group is or below which it is; None where the kernel's files are written and systemd is not asked."""
    units_named = [part for part in name.split("/") if slices.suffix_of(part)]
    if not host.systemd:
        if manager == "systemd":
            raise InvalidInput("group %s: systemd does not run this machine" % name, hint="leave manager out: auto takes what is there")
        return None
    if manager == "cgroupfs" and not units_named:
        return None
    place = slices.place_of(name)
    if manager == "cgroupfs" and not place.below:
        raise InvalidInput(
            "group %s: %s is a unit of systemd, which would undo what is written behind its back" % (name, place.unit),
            hint="leave manager out, or set manager: systemd, and the limits become properties of the unit",
        )
    return place


def parse_group(options: dict[str, Any], host: Host, called: str = "", may_force: bool = True) -> Group:
    """The desired group from a module's options; None stands for "leave alone". Raises InvalidInput, writes nothing.

    called: what messages call it, where that is not "group NAME" ("container web").
    """
    group = Group(check_name(options.get("name")), options.get("state", "present") != "absent", called)
    group.force, group.may_force = bool(options.get("force")), may_force
    group.place = _place(group.title, options.get("manager") or "cgroupfs", host)
    if not group.present:
        return group
    group.overcommit = options.get("overcommit") or "allow"
    try:
        _parse_table(group, options, host)
        _parse_io(group, options.get("io") or {}, host)
        _parse_keyed(group, options, host)
        _parse_files(group, options.get("files") or {}, host)
        _parse_rest(group, options, host)
        _check_weight(group)
        _check_twice(group)
    except InvalidInput as error:
        error.problem = "%s: %s" % (group.called, error.problem)
        raise
    if not group.hierarchies:
        # Nothing tells where it must be: on v2 the one tree, on pure v1 wherever it could be limited later.
        for hierarchy in [host.v2] if host.v2 else [h for h in host.hierarchies if h.controllers and not host.is_swept(h)]:
            group.joins(hierarchy)
    return group


def _parse_table(group: Group, options: dict[str, Any], host: Host) -> None:
    for section in ("memory", "cpu", "cpuset", "pids"):
        for name, asked in (options.get(section) or {}).items():
            if asked is not None:
                _set(group, _row("%s.%s" % (section, name)), asked, host)


def _row(option: str) -> knobs.Knob:
    try:
        return knobs.BY_OPTION[option]
    except KeyError:
        raise InvalidInput("there is no limit called %s" % option, hint="there are %s" % ", ".join(knobs.BY_OPTION)) from None


def _set(group: Group, knob: knobs.Knob, asked: object, host: Host, said: str = "") -> None:
    option = knob.option
    if str(asked).strip() == "":
        raise InvalidInput(
            "%s is empty, which the kernel would read as 0 or as nothing" % option,
            hint="leave the option out to keep the kernel's value, or give 'max' to lift a limit",
        )
    value = knob.parse(asked, option, host)
    hierarchy = group.needs(knob.controller, host, option)
    if hierarchy.version == 1 and not knob.v1:
        raise Unsupported("%s has no counterpart in cgroup v1, which has %s on this machine: %s" % (option, knob.controller, knob.absent_on_v1))
    if hierarchy.version == 1 and value == "isolated":
        raise Unsupported("%s: cgroup v1 knows member and root (cpuset.cpu_exclusive) only" % option)
    for file in knob.files(hierarchy.version):
        setting = Setting(option, asked, hierarchy, file, value, order=knob.order, deadly=knob.deadly)
        if knob.deadly:
            _check_zero(group, setting)
        setting.said = said or option
        setting.swap_only = hierarchy.version == 1 and option == "memory.swap_max"
        group.settings.append(setting)


def _check_zero(group: Group, setting: Setting) -> None:
    """Refuse a limit that comes to 0, by itself or by the kernel's rounding, unless it is forced."""
    if setting.kept != "0" or group.force:
        return
    if setting.value != "0":
        raise InvalidInput(
            "%s of %s is less than the kernel counts in, and would be 0" % (setting.option, setting.asked),
            hint="a number without a unit is bytes: 512M is 512 MiB" + ("; if 0 is meant, add force: true" if group.may_force else ""),
        )
    if setting.deadly:
        raise InvalidInput(
            "%s of 0 would kill or stop whatever runs in the group" % setting.option,
            hint="if that is meant, add force: true" if group.may_force else "",
        )


def _parse_io(group: Group, section: dict[str, Any], host: Host) -> None:
    if section.get("weight") is not None:
        _set(group, knobs.BY_OPTION["io.weight"], section["weight"], host)
    for entry in section.get("max") or []:
        device = block.number_of(entry.get("device") or "", "io.max")
        hierarchy = group.needs("io", host, "io.max")
        asked = {name: entry[name] for name in knobs.IO_MAX_V1 if entry.get(name) is not None}
        if not asked:
            raise InvalidInput("io.max for %s sets nothing" % entry["device"], hint="give one or more of rbps, wbps, riops, wiops")
        for name, wanted in asked.items():
            option = "io.max %s %s" % (entry["device"], name)
            value = knobs.io_rate(wanted, option, host)
            if hierarchy.version == 2:
                group.settings.append(Setting(option, wanted, hierarchy, knobs.IO_MAX_V2, value, "%s %s" % (device, name)))
            else:
                group.settings.append(Setting(option, wanted, hierarchy, knobs.IO_MAX_V1[name], value, device))
    for entry in section.get("latency") or []:
        device = block.number_of(entry.get("device") or "", "io.latency")
        hierarchy = group.needs("io", host, "io.latency")
        if hierarchy.version == 1:
            raise Unsupported("io.latency has no counterpart in cgroup v1")
        option = "io.latency %s" % entry["device"]
        group.settings.append(
            Setting(option, entry.get("target"), hierarchy, knobs.IO_LATENCY, knobs.latency(entry.get("target"), option, host), device + " target")
        )


def _parse_keyed(group: Group, options: dict[str, Any], host: Host) -> None:
    for size, asked in (options.get("hugetlb") or {}).items():
        option = "hugetlb.%s" % size
        hierarchy = group.needs("hugetlb", host, option)
        there = host.huge_page_sizes()
        name = next((known for known in there if units.parse_size(known) == units.parse_size(size, option)), None)
        if name is None:
            raise Unsupported("%s: this machine has no huge pages of that size" % option, hint="it has %s" % (", ".join(there) or "none"))
        if str(asked).strip() == "":
            raise InvalidInput("%s is empty" % option)
        value = MAX if units.is_max(asked) else str(units.parse_size(asked, option))
        setting = Setting(option, asked, hierarchy, knobs.hugetlb_file(name, hierarchy.version), value)
        _check_zero(group, setting)
        group.settings.append(setting)
    for device, limits in (options.get("rdma") or {}).items():
        if not isinstance(limits, dict):
            raise InvalidInput("rdma %s: %r limits nothing" % (device, limits), hint="give hca_handle, hca_object or both")
        for resource, asked in limits.items():
            option = "rdma %s %s" % (device, resource)
            _check_word(device, "rdma", "a device")
            if resource not in ("hca_handle", "hca_object"):
                raise InvalidInput("%s: rdma limits hca_handle and hca_object" % option)
            hierarchy = group.needs("rdma", host, option)
            value = knobs.rdma_count(asked, option)
            group.settings.append(Setting(option, asked, hierarchy, knobs.RDMA_MAX, value, "%s %s" % (device, resource)))
    for resource, asked in (options.get("misc") or {}).items():
        option = "misc.%s" % resource
        _check_word(resource, "misc", "a resource")
        hierarchy = group.needs("misc", host, option)
        value = MAX if units.is_max(asked) else str(units.parse_count(asked, option))
        group.settings.append(Setting(option, asked, hierarchy, knobs.MISC_MAX, value, str(resource)))


def _check_word(name: object, option: str, what: str) -> None:
    """A name is one word of a line: a space would make another line of it."""
    if not str(name).isprintable() or len(str(name).split()) != 1 or str(name) != str(name).strip():
        raise InvalidInput("%s: %r is not the name of %s" % (option, str(name), what))


def _check_twice(group: Group) -> None:
    """Refuse two options that mean one file of the kernel and do not agree; the same twice is written once."""
    seen: dict[tuple[Hierarchy, str], Setting] = {}
    for setting in group.settings:
        twin = files.TWINS.get(setting.place, setting.place)
        other = seen.setdefault((setting.hierarchy, twin), setting)
        same = other.place == setting.place and comparable(group, other) == comparable(group, setting)
        if other is not setting and not same:
            where = "the same file, %s" % setting.file.name if setting.place == other.place else "two names for one value"
            raise InvalidInput(
                "%s (%s) and %s (%s) are %s" % (other.said, other.asked, setting.said, setting.asked, where),
                hint="leave one of them out",
            )


def comparable(group: Group, setting: Setting) -> str:
    """What the file will hold, as far as that can be known before the machine is looked at: v1 adds memory to swap."""
    if not setting.swap_only:
        return setting.kept
    limit = next((other.kept for other in group.settings if other.option == "memory.max"), MAX)
    if MAX in (limit, setting.value):
        return MAX if setting.value == MAX else "%s beside memory.max" % setting.kept
    return str(int(limit) + int(setting.kept))


def _check_weight(group: Group) -> None:
    """The kernel takes no weight for an idle group (sched_group_set_shares(), kernel/sched/fair.c)."""
    given = {setting.file.name: setting.value for setting in group.settings}
    if given.get("cpu.idle") == "1" and not {"cpu.weight", "cpu.shares", "cpu.weight.nice"}.isdisjoint(given):
        raise InvalidInput("cpu.weight cannot be had with cpu.idle: an idle group has no weight", hint="leave one of them out")


def _parse_files(group: Group, asked_files: dict[str, Any], host: Host) -> None:
    for name, asked in asked_files.items():
        if not _FILE_NAME.fullmatch(str(name)):
            raise InvalidInput("files: %r is not the name of an interface file" % name, hint="give the bare name, such as memory.swappiness")
        if name in _NOT_SETTINGS:
            instead = _NOT_SETTINGS[name]
            raise InvalidInput("files: %s acts when it is written and keeps no setting" % name, hint="use %s" % instead if instead else "")
        if name in _LINES:
            raise InvalidInput("files: %s has a line for each device or resource" % name, hint="use the option %s" % _LINES[name])
        if str(asked).strip() == "":
            raise InvalidInput("files: the value for %s is empty, which the kernel would read as 0 or as nothing" % name)
        _set_file(group, str(name), asked, host)


def _set_file(group: Group, name: str, asked: object, host: Host) -> None:
    """One file by its name: as the option reads it, where an option has it in the same words."""
    prefix, option = name.partition(".")[0], "files %s" % name
    controller = next((new for new, old in V1_NAMES.items() if old == prefix), prefix)
    knob = files.option_of(name)
    if knob and name in [file.name for file in knob.files(host.hierarchy(knob.controller, option).version)]:
        _set(group, knob, asked, host, said=option)
        return
    value, format, deadly = files.read(name, asked)
    file = File(name, format)
    if prefix == "cgroup" or "." not in name:
        # Files of the core are in every v1 hierarchy of the group, or in the v2 one.
        core = [hierarchy for hierarchy in host.hierarchies if (hierarchy.version == 1) == (name in ("notify_on_release", "cgroup.clone_children"))]
        if not core:
            raise Unsupported(
                "%s is a file of cgroup v%d, which is not mounted here" % (option, 1 if host.v2 else 2),
                hint="this machine has cgroup %s" % host.mode,
            )
        for hierarchy in [hierarchy for hierarchy in group.hierarchies if hierarchy in core] or core:
            group.joins(hierarchy)
            group.settings.append(Setting(option, asked, hierarchy, file, value))
        return
    known = knobs.file_by_name(name)
    setting = Setting(option, asked, group.needs(controller, host, option), file, value, order=known[0].order if known else 99)
    if deadly:
        _check_zero(group, setting)
    group.settings.append(setting)


def _parse_rest(group: Group, options: dict[str, Any], host: Host) -> None:
    names = {old: new for new, old in V1_NAMES.items()}
    group.controllers_asked = [names.get(name, name) for name in options.get("controllers") or []]
    for controller in group.controllers_asked:
        if controller in IMPLICIT_V2:
            group.joins(host.hierarchy_of(controller))
        else:
            group.needs(controller, host, "controllers")
    if options.get("devices") is not None:
        group.devices = devices.parse_rules(options["devices"])
        group.joins(host.hierarchy_of("devices"))
    if options.get("frozen") is not None:
        group.frozen = bool(options["frozen"])
        group.joins(host.hierarchy_of("freezer"))
    for pid in options.get("processes") or []:
        group.processes.append(units.parse_count(pid, "processes", 1, 1 << 22))
