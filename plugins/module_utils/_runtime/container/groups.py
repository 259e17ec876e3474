# Copyright: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""The control groups of containers, through the room of control groups.

A container has a group of one name in every hierarchy that is mounted: where it had none, the root of its cgroup namespace
would be the machine's. The group carries the limits and holds no process itself; the container lives in one group inside it
and its supervisor in another (payload.py), so what is written from inside reaches no limit, and output counts too.
"""

from __future__ import annotations

import contextlib
import os

from .. import slices
from ..cgroup import group as groups
from ..cgroup import inforce, shown
from ..cgroup.host import Hierarchy, Host
from ..cgroup.steps import pids_in
from ..cgroup.subtree import deepest_first
from ..cgroup.values import MAX
from ..errors import InvalidInput
from ..kernel import flock
from ..kernel.files import Tree
from .paths import Paths
from .payload import COPIED, PAYLOAD, SUPERVISOR

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

_PATIENCE = 120.0
_COUNTED = ("memory", "pids", "cpu")

# The container's group below that of its unit, where systemd supervises it.
_IN_UNIT = "container"


def name_of(config: dict[str, Any]) -> str:
    if config.get("supervisor") == "systemd":
        return "%s/bulkhead-%s.service/%s" % (slices.path_of(slice_of(config)), config["name"], _IN_UNIT)
    return "%s/%s" % (config["cgroup_parent"], config["name"])


def slice_of(config: dict[str, Any]) -> str:
    """The slice in which a container's unit is. Raises InvalidInput where cgroup_parent cannot be one."""
    place = slices.place_of(config["cgroup_parent"])
    if place.below or place.section != "Slice":
        raise InvalidInput("cgroup_parent: %s is no slice, and systemd keeps units in slices only" % config["cgroup_parent"])
    return place.unit


def desired(config: dict[str, Any], resources: dict[str, Any], host: Host) -> groups.Group:
    """The group that a container is to have. Raises InvalidInput for resources that this machine cannot give."""
    group = groups.parse_group({**resources, "name": name_of(config)}, host, "container %s" % config["name"], may_force=False)
    group.follows = True
    group.shown_in = PAYLOAD
    for controller in _COUNTED:
        if host.has(controller):
            group.needs(controller, host, controller)
    for hierarchy in host.hierarchies:
        group.joins(hierarchy)
    if config.get("supervisor") == "systemd":
        group.boundary = group.name.rpartition("/")[0]
        group.place = None
    return group


@contextlib.contextmanager
def making(paths: Paths) -> Iterator[None]:
    """Groups on the way to those of containers are shared: while units make theirs, each by itself, none removes one that is empty just now."""
    os.makedirs(paths.locks, mode=0o700, exist_ok=True)
    with flock.held(paths.locks, True, _PATIENCE, "other containers have been making their control groups for %d seconds"):
        yield


def gone(name: str, host: Host) -> groups.Group:
    """The same group when it is not to be there, whatever runs in it."""
    return groups.parse_group({"name": name, "state": "absent", "force": True}, host)


def exists(name: str, host: Host) -> bool:
    """Whether any hierarchy has the group."""
    return any(hierarchy.tree.exists(name) for hierarchy in host.hierarchies)


class _Without(Tree):
    """A hierarchy as it will be when some of its groups are removed."""

    def __init__(self, tree: Tree, names: set[str]) -> None:
        super().__init__(tree.path)
        self._gone = names

    def _is_gone(self, path: str) -> bool:
        return any(path == name or path.startswith(name + "/") for name in self._gone)

    def exists(self, path: str) -> bool:
        return not self._is_gone(path) and super().exists(path)

    def directories(self, path: str = "") -> list[str]:
        below = path + "/" if path else ""
        return [name for name in super().directories(path) if not self._is_gone(below + name)]

    def read_short(self, path: str) -> str | None:
        return None if self._is_gone(path) else super().read_short(path)


def host_without(host: Host, names: set[str]) -> Host:
    """The machine as it will be when these groups are removed, to plan for groups that are made anew."""
    hierarchies = []
    for hierarchy in host.hierarchies:
        copy = Hierarchy(hierarchy.version, hierarchy.path, hierarchy.controllers, hierarchy.name, hierarchy.root)
        copy.tree = _Without(hierarchy.tree, names)
        hierarchies.append(copy)
    return Host(hierarchies, host.page_size)


def freezing(record: dict[str, Any], host: Host) -> tuple[Hierarchy, str]:
    """Return where a container is frozen: its payload alone, so that its supervisor goes on."""
    hierarchy, group = host.hierarchy_of("freezer"), str(record["cgroup"])
    return hierarchy, payload_of(group, hierarchy)


def frozen_by(record: dict[str, Any], host: Host) -> list[str]:
    """Return the groups by which a container is frozen: its payload, or any above; empty where it is not."""
    return inforce.frozen_by(*freezing(record, host))


def limits_in_force(group: str, host: Host) -> dict[str, tuple[str, str]]:
    """Return {option: (limit, group)} of a container: the smallest of its payload, its own group and those above."""
    memory = host.by_controller.get("memory") or host.hierarchy_of("freezer")
    return inforce.limits(host, [*inforce.above(group), payload_of(group, memory)])


def overruled(group: str, host: Host) -> dict[str, tuple[str, str]]:
    """Return what of limits_in_force() is of another group than the container's own."""
    return {option: found for option, found in limits_in_force(group, host).items() if found[1] != group and found[0] != MAX}


def inner(group: str) -> set[str]:
    """Return the names of the groups that a supervisor makes inside a container's group."""
    return {"%s/%s" % (group, name) for name in (PAYLOAD, SUPERVISOR)}


def has_payload(group: str, host: Host) -> bool:
    """Return whether the group of a container has groups inside it in any hierarchy."""
    return any(exists(name, host) for name in inner(group))


def processes_in(group: str, host: Host) -> list[int]:
    """Return the processes of a container: those of its payload and below it, without its supervisor."""
    hierarchy = host.hierarchy_of("freezer")
    top = payload_of(group, hierarchy)
    return sorted({pid for name in [top, *deepest_first(hierarchy.tree, top)] for pid in pids_in(hierarchy, name)})


def payload_of(group: str, hierarchy: Hierarchy) -> str:
    """Return the group in which the container lives; the group itself where a release without payloads made it."""
    inner = group + "/" + PAYLOAD
    return inner if hierarchy.tree.exists(inner) or not hierarchy.tree.exists(group) else group


def entries(record: dict[str, Any], host: Host) -> dict[str, list[str]]:
    """Return the files by which a further process joins a running container, those that must be written one after the other.

    procs: of v2, the second where the first refuses: a container that hands controllers down holds no process in its payload, so
    the process goes where the container's first one is.
    """
    group, tasks, procs = str(record["cgroup"]), [], []
    for hierarchy in host.hierarchies:
        if not hierarchy.tree.exists(group):
            continue
        inside = payload_of(group, hierarchy)
        if hierarchy.version == 1:
            tasks.append(hierarchy.tree.full(inside) + "/tasks")
        else:
            first = hierarchy.group_of(int(record["pid"])) or inside
            names = [inside, first] if first.startswith(inside + "/") else [inside]
            procs = [hierarchy.tree.full(name) + "/cgroup.procs" for name in names]
    return {"tasks": tasks, "procs": procs}


def _copied(group: groups.Group) -> dict[str, tuple[str, ...]]:
    """Return {directory of the group: files that the groups in it get a copy of}."""
    found: dict[str, tuple[str, ...]] = {}
    for hierarchy in group.hierarchies:
        for controller in hierarchy.controllers if hierarchy.version == 1 else ():
            path = hierarchy.tree.full(group.name)
            found[path] = found.get(path, ()) + COPIED.get(controller, ())
    return found


def _looked_up(group: groups.Group) -> dict[str, list[str]]:
    """Return {directory of the group: files of limits that programs look up}."""
    found: dict[str, list[str]] = {}
    for hierarchy in group.hierarchies:
        if hierarchy.version == 2:
            files = [file for name, file in shown.FILES_V2.items() if name in group.controllers]
        else:
            files = [shown.QUOTA] if "cpu" in hierarchy.controllers else []
        found[hierarchy.tree.full(group.name)] = files
    return found


def _handed(group: groups.Group) -> dict[str, str]:
    """Return {directory of the v2 group: its controllers as cgroup.subtree_control takes them}.

    What is inside sees how much it uses, and can divide it further where it may write there.
    """
    return {
        hierarchy.tree.full(group.name): " ".join("+" + name for name in sorted(group.controllers))
        for hierarchy in group.hierarchies
        if hierarchy.version == 2
    }


def places(group: groups.Group) -> dict[str, Any]:
    """Return where the group is, as the process that makes the container needs it.

    limits: the directories of the group, of v1 and of v2; v1, v2: those in which the container lives.
    """
    memory = next((hierarchy for hierarchy in group.hierarchies if "memory" in hierarchy.controllers), None)
    inner = {hierarchy: "%s/%s" % (hierarchy.tree.full(group.name), PAYLOAD) for hierarchy in group.hierarchies}
    mounts = [
        {
            "name": os.path.basename(hierarchy.path),
            "path": path,
            "version": hierarchy.version,
            "controllers": hierarchy.controllers if hierarchy.version == 1 else [],
        }
        for hierarchy, path in inner.items()
        if hierarchy.version == 2 or hierarchy.controllers
    ]
    return {
        "group": group.name,
        "limits": [hierarchy.tree.full(group.name) for hierarchy in group.hierarchies],
        "v1": [path for hierarchy, path in inner.items() if hierarchy.version == 1],
        "v2": next((path for hierarchy, path in inner.items() if hierarchy.version == 2), ""),
        "copied": _copied(group),
        "looked_up": _looked_up(group),
        "handed": _handed(group),
        "oom": memory.tree.full(group.name) + ("/memory.oom_control" if memory.version == 1 else "/memory.events") if memory else "",
        "cgroup_mounts": mounts,
    }
