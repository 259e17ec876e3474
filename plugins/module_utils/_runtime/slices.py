# Copyright: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Names of groups and names of systemd's units, and which of them is meant.

A group is a slice: web/frontend is web-frontend.slice, which systemd keeps inside of web.slice (systemd.slice(5)). What a
unit's name cannot hold is escaped as systemd-escape(1) does it, a hyphen too, because hyphens say what is inside of what.
"""

from __future__ import annotations

from .errors import InvalidInput
from .kernel import systemd

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

# Units with a control group of their own, and the section of their files in which its properties are.
SECTIONS = {".slice": "Slice", ".service": "Service", ".scope": "Scope", ".socket": "Socket", ".mount": "Mount", ".swap": "Swap"}
# They are there before the first unit file is read, and cannot be stopped.
PERPETUAL = ("-.slice", "system.slice", "user.slice", "machine.slice", "init.scope")
_PLAIN = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789:_.")
_LONGEST = 255
_CONTROLLERS = ("cgroup", "cpu", "cpuacct", "cpuset", "io", "blkio", "memory", "devices", "pids")


def suffix_of(component: str) -> str:
    """The suffix that makes a component the name of a unit; empty where it is none."""
    stem, dot, suffix = component.rpartition(".")
    return dot + suffix if stem and dot + suffix in SECTIONS else ""


def _escaped(component: str) -> str:
    """unit_name_escape(), src/basic/unit-name.c."""
    parts = []
    for index, byte in enumerate(component.encode()):
        character = chr(byte)
        parts.append(character if character in _PLAIN and not (index == 0 and character == ".") else "\\x%02x" % byte)
    return "".join(parts)


def escape_path(path: str) -> str:
    """Return a path as the name of its mount unit has it (unit_name_path_escape(), src/basic/unit-name.c)."""
    stem = _escaped(path.strip("/").replace("/", "\0")).replace("\\x00", "-")
    return stem or "-"


def slice_of(name: str) -> str:
    """The slice that a group is."""
    unit = "-".join(_escaped(part) for part in name.split("/")) + ".slice"
    if len(unit) > _LONGEST:
        raise InvalidInput("the group %s would be the unit %s, whose name is longer than %d letters" % (name, unit, _LONGEST))
    return unit


def _directory(unit: str) -> str:
    """The name of a unit's control group: what could be an interface file has an underscore before it (cg_escape(), src/basic/cgroup-util.c)."""
    could_be_file = unit.startswith(("_", ".")) or unit.partition(".")[0] in _CONTROLLERS
    return "_" + unit if could_be_file else unit


def path_of(unit: str) -> str:
    """Where a slice's control group is, or will be."""
    parts = unit[: -len(".slice")].split("-")
    return "/".join(_directory("-".join(parts[:end]) + ".slice") for end in range(1, len(parts) + 1))


class Place:
    """What a group's name means where systemd owns the tree.

    unit: the unit it is, or below which it is; below: the path below the unit, empty for the unit itself.
    above: the path that was given before the unit, to be compared with where it really is.
    """

    def __init__(self, unit: str, below: str = "", above: str = "") -> None:
        self.unit = unit
        self.below = below
        self.above = above

    @property
    def section(self) -> str:
        return SECTIONS[suffix_of(self.unit)]


def place_of(name: str) -> Place:
    """What a name means: a unit, a group below a unit, or a slice."""
    parts = name.split("/")
    suffixes = [suffix_of(part) for part in parts]
    if not any(suffixes):
        return Place(slice_of(name))
    for index, suffix in enumerate(suffixes):
        if not suffix:
            before = parts[index - 1] if index else ""
            if not index:
                raise InvalidInput(
                    "group %s: %s is a unit of systemd and %s is none" % (name, next(part for part, found in zip(parts, suffixes) if found), parts[0]),
                    hint="name the unit alone, or its place with units only, such as system.slice/nginx.service",
                )
            raise InvalidInput(
                "group %s: %s is a slice, and systemd delegates no slice: what is written below it would be undone" % (name, before),
                hint="name a slice inside of it as a plain path (web/frontend is web-frontend.slice), or a group below a service with Delegate=yes",
            )
        if suffix != ".slice" or index == len(parts) - 1:
            unit = parts[index]
            if unit == "-.slice":
                raise InvalidInput("the root slice is not managed")
            return Place(unit, "/".join(parts[index + 1 :]), "/".join(parts[:index]))
    raise InvalidInput("group %s names no unit" % name)


def find(name: str, exists: Callable[[str], bool]) -> str:
    """Return the path of the control group that is called so: that path, or where systemd runs the machine, what cgroup_group means by it.

    exists: whether there is a control group of a path. The name itself is returned where there is neither.
    """
    if exists(name) or not systemd.booted():
        return name
    try:
        place = place_of(name)
    except InvalidInput:
        return name
    if place.section == "Slice":
        where = path_of(place.unit)
    else:
        where = systemd.show([place.unit], ["ControlGroup"]).get(place.unit, {}).get("ControlGroup", "").strip("/")
    path = "/".join(part for part in (where, place.below) if part)
    return path if where and exists(path) else name


def plain_name(name: str) -> str:
    """The one name of what a name means: of a slice the plain path, of another unit its own name, wherever it was said to be."""
    try:
        place = place_of(name)
        parts = [_unescaped(part) for part in place.unit[: -len(".slice")].split("-")]
        if not place.below and place.section == "Slice" and all(parts) and place_of("/".join(parts)).unit == place.unit:
            return "/".join(parts)
    except (InvalidInput, ValueError):
        return name
    return place.unit + ("/" + place.below if place.below else "")


def _unescaped(component: str) -> str:
    """unit_name_unescape(), src/basic/unit-name.c. Raises ValueError where it is not what _escaped() makes of anything."""
    parts = component.split("\\x")
    found = parts[0].encode() + b"".join(bytes.fromhex(part[:2]) + part[2:].encode() for part in parts[1:])
    return found.decode()
