# Copyright: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""What a machine can divide and count, who has what of it, and, where it can do nothing, why."""

from __future__ import annotations

import time

from .. import desired, units
from ..errors import InvalidInput
from ..kernel import flock
from ..kernel.files import Tree, read_text
from . import mounting, schemata
from .facts import Facts
from .hardware import Cache, Hardware
from .layout import bits
from .monitor import Meter, counts
from .observation import Observation, online_cpus

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_PATIENCE = 10.0
_KIND = "resctrl_schema"


def look(name: str | None = None, interval: float = 0.0, tasks: bool = True) -> dict[str, Any]:
    """{host: ..., groups: [...]}. name: one group only, empty for the default one. interval: seconds over which bandwidth is measured."""
    mounted = mounting.find()
    host = _machine(mounted)
    if mounted is None:
        if name:
            raise InvalidInput("there is no group %s: %s" % (name, host["reason"]), hint=host["hint"])
        return {"host": host, "groups": []}
    tree = Tree(mounted.path)
    try:
        flock.take(tree.fd, False, _PATIENCE, tree.path)
        default = tree.read_short("schemata")
        hardware = Hardware.observe(tree, mounted.options, default)
        seen = Observation(tree, hardware, default)
        if name is not None and not seen.exists(name):
            raise InvalidInput("there is no group %s" % name, hint="there are %s" % (", ".join(seen.groups) or "none beside the default one"))
        everyone = ["", *seen.groups]
        names = everyone if name is None else [name]
        facts = Facts.read(hardware.signature())
        hardware.learn(facts.greatest())
        ours = {group for group in seen.groups if facts.made(group)} | set(desired.read(_KIND))
        host.update(_host(seen, everyone, ours))
        groups = [_group(seen, group, ours, tasks) for group in names]
        paths = {group: [seen.path(group, "mon_groups/" + monitor) for monitor in seen.monitors(group)] for group in names}
        counted = [path for group in names for path in (group, *paths[group])]
        measures = {path: {"interval": 0.0, "domains": counts(seen, path)} for path in counted} if not interval else {}
        meter = Meter(seen, counted) if interval else None
        flock.give_back(tree.fd)
        if meter:
            time.sleep(interval)
            flock.take(tree.fd, False, _PATIENCE, tree.path)
            measures = {path: meter.measure(path) for path in counted}
        for entry in groups:
            entry["monitoring"] = measures[entry["name"]]
            for monitor in entry["monitor_groups"]:
                monitor["monitoring"] = measures[seen.path(entry["name"], "mon_groups/" + monitor["name"])]
        return {"host": host, "groups": groups}
    finally:
        tree.close()


def _machine(mounted: mounting.Mounted | None) -> dict[str, Any]:
    """What is known without the file system."""
    vendor, flags = mounting.cpu_flags()
    reason, hint = ("", "") if mounted else mounting.why_not()
    return {
        "mounted": mounted is not None,
        "available": mounted is not None or reason == mounting.NOT_MOUNTED,
        "path": mounted.path if mounted else "",
        "options": sorted(mounted.options) if mounted else [],
        "reason": reason,
        "hint": hint,
        "vendor": vendor,
        "cpu_flags": flags,
        "kernel_config": mounting.kernel_config(),
    }


def _host(seen: Observation, everyone: list[str], ours: set[str]) -> dict[str, Any]:
    hardware = seen.hardware
    used = sum(1 for name in everyone if seen.mode(name) != "pseudo-locked")
    rmids = sum(1 + seen.monitor_count(name) for name in everyone)
    return {
        "classes": {"total": hardware.closids, "used": used, "free": max(0, hardware.closids - used)} if hardware.resources else {},
        "monitoring_ids": {"total": hardware.rmids, "used": rmids, "free": max(0, hardware.rmids - rmids)} if hardware.rmids else {},
        "caches": {cache.name: _cache(seen, cache) for cache in hardware.caches.values()},
        "bandwidths": {
            bandwidth.name: {
                "unit": bandwidth.unit,
                "minimum": 0 if bandwidth.unit == "MBps" else bandwidth.minimum,
                "maximum": bandwidth.maximum,
                "step": 1 if bandwidth.unit == "MBps" else bandwidth.step,
                "linear": bandwidth.linear,
                "throttle_mode": seen.tree.read_short("info/%s/thread_throttle_mode" % bandwidth.name) or "",
                "classes": bandwidth.closids,
                "domains": seen.domains(bandwidth.name),
            }
            for bandwidth in hardware.bandwidths.values()
        },
        "events": _events(seen),
        "foreign": [name for name in everyone if name and name not in ours],
    }


def _cache(seen: Observation, cache: Cache) -> dict[str, Any]:
    usage = dict(entry.split("=") for entry in (seen.tree.read_short("info/%s/bit_usage" % cache.name) or "").split(";") if "=" in entry)
    sizes = _cache_sizes(cache.level, seen.domains(cache.name))
    domains = {str(domain): {"usage": usage.get(str(domain), ""), "size": sizes.get(domain, 0)} for domain in seen.domains(cache.name)}
    return {
        "ways": cache.ways,
        "mask": "%x" % cache.mask,
        "min_cbm_bits": cache.min_bits,
        "shareable_bits": "%x" % cache.shareable,
        "sparse_masks": cache.sparse,
        "classes": cache.closids,
        "domains": domains,
    }


def _cache_sizes(level: str, domains: list[int]) -> dict[int, int]:
    """Bytes of each cache of a level by its id, from /sys (Documentation/ABI/testing/sysfs-devices-system-cpu); CPUs are asked until all are known."""
    found: dict[int, int] = {}
    for cpu in sorted(online_cpus()):
        base = "/sys/devices/system/cpu/cpu%d/cache" % cpu
        for index in range(5):
            path = "%s/index%d/" % (base, index)
            text, size, number = (read_text(path + name) for name in ("level", "size", "id"))
            if text and size and number and text.strip() == level[1:]:
                found.setdefault(int(number), units.parse_size(size, path + "size"))
        if set(domains) <= set(found):
            break
    return found


def _events(seen: Observation) -> dict[str, Any]:
    """What can be counted, and, where that can be chosen, which traffic an event counts, by domain."""
    features = (seen.tree.read_short("info/L3_MON/mon_features") or "").split()
    found: dict[str, Any] = {}
    for event in features:
        if event.endswith("_config"):
            text = seen.tree.read_short("info/L3_MON/" + event) or ""
            found[event[: -len("_config")]] = dict(entry.strip().split("=") for entry in text.split(";") if "=" in entry)
        else:
            found.setdefault(event, {})
    return found


def _sizes(seen: Observation, name: str) -> dict[tuple[str, int], int]:
    """Bytes by cell, from the file that mirrors schemata."""
    found = {}
    for line in (seen.tree.read_short(seen.path(name, "size")) or "").splitlines():
        resource, _colon, values = line.strip().partition(":")
        for entry in values.split(";"):
            domain, _equals, value = entry.partition("=")
            if domain.isdigit() and value.strip().isdigit():
                found[resource.strip(), int(domain)] = int(value)
    return found


def draw(mask: int, cache: Cache) -> str:
    """A mask with a letter for each way, the highest first: X one that it has, S one that it has and devices use too, . one that it has not."""
    ways = range(cache.ways - 1, -1, -1)
    return "".join("." if not mask >> way & 1 else "S" if cache.shareable >> way & 1 else "X" for way in ways)


def _group(seen: Observation, name: str, ours: set[str], with_tasks: bool) -> dict[str, Any]:
    sizes = _sizes(seen, name)
    values: dict[str, dict[str, Any]] = {}
    for (resource, domain), value in sorted(seen.cells(name).items()):
        cache = seen.hardware.caches.get(resource)
        entry: Any = value
        if cache:
            entry = {"mask": "%x" % value, "value": value, "ways": bits(value), "drawn": draw(value, cache), "size": sizes.get((resource, domain), 0)}
        elif value == schemata.UNLIMITED_MBPS:
            entry = "max"
        values.setdefault(resource, {})[str(domain)] = entry
    inside = sorted(seen.tasks(name))
    monitors = []
    for monitor in seen.monitors(name):
        path = seen.path(name, "mon_groups/" + monitor)
        counted = sorted(seen.tasks(path))
        monitors.append({"name": monitor, "cpus": units.format_list(seen.cpus(path)), "tasks": counted, "task_count": len(counted)})
    return {
        "name": name,
        "ours": not name or name in ours,
        "mode": seen.mode(name),
        "schemata": values,
        "cpus": units.format_list(seen.cpus(name)),
        # Everything that runs is in the default group, unless it is elsewhere: to list it tells nothing.
        "tasks": inside if with_tasks and name else [],
        "task_count": len(inside),
        "monitor_groups": monitors,
    }
