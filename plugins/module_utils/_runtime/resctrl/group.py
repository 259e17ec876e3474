# Copyright: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""What a user wants of one class: options, as they can be read without knowing the machine.

A class (a CTRL_MON group to the kernel) has a share of each cache and of memory bandwidth, and holds tasks and CPUs.
"""

from __future__ import annotations

from .. import units
from ..errors import InvalidInput
from . import schemata
from .asks import Ask

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

# Options and the resources they are about, as the kernel spells them.
RESOURCES = {
    "l3": "L3",
    "l2": "L2",
    "l3code": "L3CODE",
    "l3data": "L3DATA",
    "l2code": "L2CODE",
    "l2data": "L2DATA",
    "mb": "MB",
    "smba": "SMBA",
}
MODES = ("shareable", "exclusive")
MOUNT_OPTIONS = {"cdp": "cdp", "cdpl2": "cdpl2", "mba_mbps": "mba_MBps"}
# Names that the kernel gives to its own files and directories beside those of the classes.
_TAKEN = frozenset(("info", "mon_groups", "mon_data", "tasks", "cpus", "cpus_list", "schemata", "mode", "size", "ctrl_hw_id", "mon_hw_id", "pseudo_lock"))
_LONGEST_NAME = 255
DEFAULT = "the default group"


class Monitor:
    """One monitoring group of a class, as it is desired."""

    def __init__(self, name: str, present: bool, tasks: list[int], cgroups: list[str], cpus: frozenset[int] | None) -> None:
        self.name = name
        self.present = present
        self.tasks = tasks
        self.cgroups = cgroups
        self.cgroup_may_be_missing = False
        self.members: list[str] = []  # control groups whose threads belong here too, once they are there
        self.cpus = cpus
        self.ours = False  # whether it is known for certain that it was made here


class Group:
    """One class as it is desired.

    asks: {resource: {domain, or None for all: Ask}}; mode: None to leave it; cpus: None to leave them.
    shareable_bits: whether ways that devices use too may be given to it.
    mount_options: {option: on}, of those that were given.
    """

    def __init__(self, name: str, present: bool = True) -> None:
        self.name = name
        self.present = present
        self.options: dict[str, Any] = {}  # as they were given
        self.asks: dict[str, dict[int | None, Ask]] = {}
        self.mode: str | None = None
        self.shareable_bits = True
        self.cpus: frozenset[int] | None = None
        self.tasks: list[int] = []
        self.threads: frozenset[int] = frozenset()  # such as were in it before it was destroyed and made anew
        self.cgroups: list[str] = []
        self.cgroup_may_be_missing = False
        self.members: list[str] = []  # control groups whose threads belong here too, once they are there
        self.monitors: list[Monitor] = []
        self.mount_options: dict[str, bool] = {}
        self.force = False
        self.leaves_out = False  # what the machine cannot do, instead of refusing it
        self.brought_back = False  # after a boot, which may have found less than there was: what is left of it comes back

    @property
    def called(self) -> str:
        """How messages call it."""
        return "group %s" % self.name if self.name else DEFAULT

    @property
    def resizes(self) -> bool:
        """Whether more is asked than that tasks join it, or that a monitoring group of ours leaves it."""
        monitors = any(monitor.present or not monitor.ours for monitor in self.monitors)
        return bool(self.asks or self.mode or self.cpus is not None or monitors)


def check_name(name: object, what: str = "the name of the group") -> str:
    """The name, when the kernel takes it for a group; InvalidInput when not. Empty is the default group."""
    text = str(name if name is not None else "")
    if text in (".", "..") or "/" in text:
        raise InvalidInput("%s: %r is not a plain name" % (what, text), hint="groups lie in one directory; leave slashes out")
    if "\n" in text or len(text.encode()) > _LONGEST_NAME:
        raise InvalidInput("%s: %r holds a newline or more than %d bytes" % (what, text, _LONGEST_NAME))
    if text in _TAKEN:
        raise InvalidInput("%s: the kernel has a file or directory called %r there" % (what, text))
    if text.startswith("."):
        raise InvalidInput("%s: %r begins with a dot" % (what, text))
    return text


def parse_group(options: dict[str, Any]) -> Group:
    """The desired class from a module's options; None stands for "leave alone". Raises InvalidInput."""
    group = Group(check_name(options.get("name")), (options.get("state") or "present") != "absent")
    group.options = options
    group.force = bool(options.get("force"))
    for name, on in (options.get("mount_options") or {}).items():
        if name not in MOUNT_OPTIONS:
            raise InvalidInput("there is no mount option %r" % name, hint="there are %s" % ", ".join(MOUNT_OPTIONS))
        if on is not None:
            group.mount_options[MOUNT_OPTIONS[name]] = units.parse_boolean(on, "mount_options.%s" % name)
    if not group.present:
        return group
    try:
        _parse_asks(group, options)
        _parse_rest(group, options)
    except InvalidInput as error:
        error.problem = "%s: %s" % (group.called, error.problem)
        raise
    return group


def _parse_asks(group: Group, options: dict[str, Any]) -> None:
    lines = options.get("schemata")
    if lines is not None:
        if not lines:
            raise InvalidInput("schemata is empty", hint="leave the option out to keep what the kernel holds")
        for resource, values in schemata.read_lines([lines] if isinstance(lines, str) else lines).items():
            group.asks[resource] = {domain: Ask.of_line(resource, value) for domain, value in values.items()}
    for option, resource in RESOURCES.items():
        asked = options.get(option)
        if asked is None:
            continue
        given: dict[int | None, Ask] = {}
        for domain, value in asked.items() if isinstance(asked, dict) else (("all", asked),):
            what = option if domain == "all" else "%s of domain %s" % (option, domain)
            if value is None:
                continue
            given[_domain(domain, option)] = Ask.of_option_or_list(resource, value, what)
        if not given:
            raise InvalidInput("%s is empty" % option, hint="leave the option out to keep what the kernel holds")
        # The option of a resource says more than a line about the same domain.
        group.asks[resource] = given if None in given else {**group.asks.get(resource, {}), **given}
    for level in ("L3", "L2"):
        for twin in (level + "CODE", level + "DATA"):
            for domain in set(group.asks.get(level, {})) & set(group.asks.get(twin, {})):
                where = "" if domain is None else " for domain %d" % domain
                raise InvalidInput("%s stands for code and data, so it cannot be given beside %s%s" % (level.lower(), twin.lower(), where))


def _domain(text: object, option: str) -> int | None:
    if str(text) == "all":
        return None
    return units.parse_count(str(text), "%s: the id of a domain" % option)


def _parse_rest(group: Group, options: dict[str, Any]) -> None:
    mode = options.get("mode")
    if mode is not None:
        if mode not in MODES:
            raise InvalidInput(
                "mode %r is neither shareable nor exclusive" % mode, hint="pseudo-locked regions are no state that can be converged to; make them by hand"
            )
        group.mode = mode
    shareable = options.get("shareable_bits")
    if shareable not in (None, "allow", "avoid"):
        raise InvalidInput("shareable_bits: %r is neither allow nor avoid" % shareable)
    group.shareable_bits = shareable != "avoid"
    group.leaves_out = options.get("unsupported") == "leave_out"
    group.cpus = parse_cpus(options.get("cpus"), "cpus")
    if group.cpus is not None and not group.name:
        raise InvalidInput("its CPUs are those that no other group has", hint="take CPUs back from another group by giving that one fewer, or 'none'")
    group.tasks = parse_tasks(options.get("tasks"), "tasks")
    group.cgroups = parse_cgroups(options.get("cgroup"), "cgroup")
    seen = set()
    for entry in options.get("monitor_groups") or []:
        entry = {"name": entry} if isinstance(entry, str) else entry
        what = "monitor_groups"
        name = check_name(entry.get("name"), what)
        if not name:
            raise InvalidInput("%s: the name of one is empty" % what)
        if name in seen:
            raise InvalidInput("%s: %s is named twice" % (what, name))
        seen.add(name)
        where = "%s %s: " % (what, name)
        group.monitors.append(
            Monitor(
                name,
                (entry.get("state") or "present") != "absent",
                parse_tasks(entry.get("tasks"), where + "tasks"),
                parse_cgroups(entry.get("cgroup"), where + "cgroup"),
                parse_cpus(entry.get("cpus"), where + "cpus"),
            )
        )
    counted: dict[int, str] = {}
    for monitor in group.monitors:
        for cpu in sorted(monitor.cpus or ()):
            if cpu in counted:
                raise InvalidInput("monitor_groups %s: CPU %d is that of %s, and is counted in one of them only" % (monitor.name, cpu, counted[cpu]))
            counted[cpu] = monitor.name
        if monitor.cpus and group.cpus is not None and not monitor.cpus <= group.cpus:
            outside = units.format_list(monitor.cpus - group.cpus)
            raise InvalidInput("monitor_groups %s: it cannot have the CPUs %s, which the class does not have" % (monitor.name, outside))


def parse_cpus(value: object, what: str) -> frozenset[int] | None:
    """CPUs in list format; the word none for none of them."""
    if value is None:
        return None
    text = str(value).strip()
    if text == "none":
        return frozenset()
    if not text:
        raise InvalidInput("%s is empty" % what, hint="leave the option out to keep the CPUs, or give 'none' to hand all of them back")
    return units.parse_list(text, what)


def parse_tasks(value: object, what: str) -> list[int]:
    """Numbers of tasks. "010" is ten and not, as the kernel would read it, eight; 0 would be whoever writes it."""
    found: list[int] = []
    for entry in value if isinstance(value, (list, tuple)) else []:
        number = units.parse_count(entry, what, 1, 1 << 22)
        if number not in found:
            found.append(number)
    return found


def parse_cgroups(value: object, what: str) -> list[str]:
    """Names of control groups relative to the root of their hierarchy, one or several."""
    found = []
    for each in value if isinstance(value, (list, tuple)) else [] if value is None else [value]:
        text = str(each)
        if not text.strip("/"):
            raise InvalidInput("%s is empty" % what)
        if text.startswith("/") or any(part in ("", ".", "..") for part in text.split("/")):
            raise InvalidInput("%s: %r is not a path relative to the root of the hierarchy" % (what, text))
        found.append(text)
    return found
