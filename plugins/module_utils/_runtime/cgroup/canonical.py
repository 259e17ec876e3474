# Copyright: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""What options say of kernel objects, whichever way they are spelled: to compare requests, and to lay one over another.

An object is a file of the kernel, or one line of a file that has several. Two options can mean one object (`pids: {max: 5}`
and `files: {pids.max: 5}`, one disk by two names), and one option can mean two (cpu.max is two files on v1).
"""

from __future__ import annotations

from ..errors import InvalidInput
from . import knobs
from .group import comparable, parse_group
from .values import MAX

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from .host import Host

    Path = tuple[str, ...]

_SECTIONS = ("memory", "cpu", "cpuset", "pids", "hugetlb", "misc", "files")


def objects(options: dict[str, Any], host: Host) -> dict[str, str]:
    """{object of the kernel: value} for the options that limit a group; the same for every spelling of the same request.

    options: those of cgroup_group, or `resources` of a container; None is "not said". A value is as the kernel will keep it,
    rounded. Raises InvalidInput for what this machine cannot have, as parse_group() does.
    """
    group = parse_group({**options, "name": "x", "state": "present", "force": True}, host)
    found = {setting.place: comparable(group, setting) for setting in group.settings}
    if group.devices is not None:
        found["devices"] = str(group.devices)
    if group.frozen is not None:
        found["frozen"] = str(group.frozen)
    if group.controllers_asked:
        found["controllers"] = " ".join(sorted(set(group.controllers_asked)))
    return found


def same(one: dict[str, Any], other: dict[str, Any], host: Host) -> bool:
    """Whether two requests ask for the same. Raises InvalidInput for what this machine cannot have."""
    return one == other or objects(one, host) == objects(other, host)


def merge(held: dict[str, Any], given: dict[str, Any], host: Host) -> dict[str, Any]:
    """The options that ask for what `given` asks for and, of every object that it does not name, for what `held` does.

    Each object is named once in the result, as it was spelled last. Options that are no limits are laid over by name.
    What this machine does not know (a disk that is gone) is told apart by its spelling alone.
    """
    held = _with_swap_alone(held, host)
    result = {name: value for name, value in {**held, **given}.items() if value is not None and name not in _LIMITS}
    new = dict(_leaves(given))
    old = {path: value for path, value in _leaves(held) if path not in new}
    if old:
        taken = set().union(*(_places(path, value, host) for path, value in new.items()))
        old = {key: rest for path, value in old.items() for key, rest in _left(path, value, taken, host)}
    for path, value in {**old, **new}.items():
        _put(result, path, value)
    return result


_LIMITS = (*_SECTIONS, "io", "rdma")
_TOTAL = knobs.BY_OPTION["memory.swap_max"].v1[0].name


def _with_swap_alone(held: dict[str, Any], host: Host) -> dict[str, Any]:
    """The options with the swap that they allow, where they give v1's sum of memory and swap: it moves when memory.max changes."""
    if (held.get("files") or {}).get(_TOTAL) is None:
        return held
    try:
        found = {setting.place: setting.kept for setting in parse_group({**held, "name": "x", "force": True}, host).settings}
    except InvalidInput:
        return held
    limit, total = found.get(knobs.BY_OPTION["memory.max"].v1[0].name, MAX), found.get(_TOTAL, MAX)
    if MAX in (limit, total):
        return held
    files = {name: value for name, value in held["files"].items() if name != _TOTAL}
    return {**held, "files": files, "memory": {**(held.get("memory") or {}), "swap_max": int(total) - int(limit)}}


def _leaves(options: dict[str, Any]) -> Iterator[tuple[Path, Any]]:
    """Every single limit, with where it stands in the options."""
    for section in _SECTIONS:
        for name, value in (options.get(section) or {}).items():
            if value is not None:
                yield (section, str(name)), value
    io = options.get("io") or {}
    if io.get("weight") is not None:
        yield ("io", "weight"), io["weight"]
    for which in ("max", "latency"):
        for entry in io.get(which) or []:
            for name, value in entry.items():
                if name != "device" and value is not None:
                    yield ("io", which, str(entry.get("device")), name), value
    for device, limits in (options.get("rdma") or {}).items():
        for name, value in (limits or {}).items():
            if value is not None:
                yield ("rdma", str(device), str(name)), value


def _put(options: dict[str, Any], path: Path, value: Any) -> None:
    """Put one limit where it stands in the options."""
    section = options.setdefault(path[0], {})
    if path[0] == "io" and len(path) > 2:
        entries = section.setdefault(path[1], [])
        entry = next((entry for entry in entries if entry["device"] == path[2]), None)
        if entry is None:
            entry = {"device": path[2]}
            entries.append(entry)
        entry[path[3]] = value
        return
    for name in path[1:-1]:
        section = section.setdefault(name, {})
    section[path[-1]] = value


def _settings(path: Path, value: Any, host: Host) -> list[Any]:
    options: dict[str, Any] = {"name": "x", "force": True}
    _put(options, path, value)
    return parse_group(options, host).settings


def _places(path: Path, value: Any, host: Host) -> set[str]:
    """The objects that one limit sets, or makes the kernel forget."""
    try:
        settings = _settings(path, value, host)
    except InvalidInput:
        return {" ".join(path)}
    found = {setting.place for setting in settings}
    for setting in settings:
        if setting.option == "cpu.idle" and setting.value == "1":
            found |= {file.name for file in knobs.BY_OPTION["cpu.weight"].files(setting.hierarchy.version)}
        if setting.option == "memory.max" and setting.value == MAX and setting.hierarchy.version == 1:
            found.add(_TOTAL)  # nothing limits the sum any more
    return found


def _left(path: Path, value: Any, taken: set[str], host: Host) -> list[tuple[Path, Any]]:
    """What is left of an older limit when some of its objects are taken: itself, a file of its own, or nothing."""
    try:
        settings = _settings(path, value, host)
    except InvalidInput:
        return [] if " ".join(path) in taken else [(path, value)]
    rest = [setting for setting in settings if setting.place not in taken]
    if len(rest) == len(settings):
        return [(path, value)]
    return [(("files", setting.file.name), setting.file.format.written(setting.value, setting.key)) for setting in rest]
