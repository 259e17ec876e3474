# Copyright: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""The control groups of containers, through the room of control groups.

A container is in one group of one name, in every hierarchy that can count, limit, freeze or confine it: on v1 those of
freezer, memory, pids, cpu, cpuacct and devices, and wherever else its resources put it; on v2 in the one tree.
"""

from __future__ import annotations

import contextlib
import os

from ..cgroup import group as groups
from ..cgroup import slices
from ..cgroup.host import Hierarchy, Host
from ..errors import InvalidInput
from ..kernel import flock
from ..kernel.files import Tree
from .paths import Paths

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

_PATIENCE = 120.0
_COUNTED = ("memory", "pids", "cpu")
_ALWAYS_V1 = ("freezer", "memory", "pids", "cpu", "cpuacct", "devices")


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
    group = groups.parse_group({**resources, "name": name_of(config)}, host)
    for controller in _COUNTED:
        if host.has(controller):
            group.needs(controller, host, controller)
    for controller in _ALWAYS_V1:
        hierarchy = host.by_controller.get(controller)
        if hierarchy and hierarchy.version == 1:
            group.joins(hierarchy)
    if host.v2:
        group.joins(host.v2)
    if config.get("supervisor") == "systemd":
        group.boundary = group.name.rpartition("/")[0]
        group.place = None
        for hierarchy in host.hierarchies:
            if not hierarchy.controllers and "systemd" in hierarchy.name:
                group.joins(hierarchy)
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


def places(group: groups.Group) -> dict[str, Any]:
    """Where the group is, as the process that makes the container needs it."""
    v1 = [hierarchy for hierarchy in group.hierarchies if hierarchy.version == 1]
    v2 = next((hierarchy for hierarchy in group.hierarchies if hierarchy.version == 2), None)
    memory = next((hierarchy for hierarchy in group.hierarchies if "memory" in hierarchy.controllers), None)
    mounts = [
        {
            "name": os.path.basename(hierarchy.path),
            "path": hierarchy.tree.full(group.name),
            "version": hierarchy.version,
            "controllers": hierarchy.controllers if hierarchy.version == 1 else [],
        }
        for hierarchy in group.hierarchies
        if hierarchy.version == 2 or hierarchy.controllers
    ]
    return {
        "group": group.name,
        "v1": [hierarchy.tree.full(group.name) for hierarchy in v1],
        "v2": v2.tree.full(group.name) if v2 else "",
        "oom": memory.tree.full(group.name) + ("/memory.oom_control" if memory.version == 1 else "/memory.events") if memory else "",
        "cgroup_mounts": mounts,
    }
