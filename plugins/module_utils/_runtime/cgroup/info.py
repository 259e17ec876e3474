# Copyright: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""What there is to know of a group: limits, usage, statistics, pressure, limit hits, processes; in the vocabulary of v2.

Sources: cgroup-v2.rst (memory.stat, memory.events, cpu.stat, io.stat, pids.events, *.pressure) and, for v1,
cgroup-v1/memory.rst (5.2 stat file: the total_ values count the groups below, as v2 does), cpuacct.rst, blkio-controller.rst.
"""

from __future__ import annotations

from .. import slices
from ..kernel import cgroupfs, processes
from . import capacity, devices, steps, subtree
from .host import Hierarchy, Host
from .knobs import IO_MAX_V1, KNOBS
from .values import MAX

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

# What is told of memory: our name, the key of memory.stat on v2, the key on v1.
_MEMORY = (
    ("anon", "anon", "total_rss"),
    ("file", "file", "total_cache"),
    ("file_mapped", "file_mapped", "total_mapped_file"),
    ("shmem", "shmem", "total_shmem"),
    ("active_anon", "active_anon", "total_active_anon"),
    ("inactive_anon", "inactive_anon", "total_inactive_anon"),
    ("active_file", "active_file", "total_active_file"),
    ("inactive_file", "inactive_file", "total_inactive_file"),
    ("unevictable", "unevictable", "total_unevictable"),
    ("pgfault", "pgfault", "total_pgfault"),
    ("pgmajfault", "pgmajfault", "total_pgmajfault"),
)
_IO = {"Read": "rbytes", "Write": "wbytes", "Discard": "dbytes"}
_IOS = {"Read": "rios", "Write": "wios", "Discard": "dios"}


def flat(text: str | None) -> dict[str, int]:
    """A flat keyed file, "KEY NUMBER" a line, as numbers."""
    found = {}
    for line in (text or "").splitlines():
        key, _space, value = line.partition(" ")
        if value.strip().lstrip("-").isdigit():
            found[key] = int(value)
    return found


class Reader:
    """The files of one group, in whichever hierarchy they are."""

    def __init__(self, host: Host, name: str) -> None:
        self.host = host
        self.name = name

    def place(self, controller: str) -> Hierarchy | None:
        """The hierarchy of a controller (v2 name), where there is one."""
        return self.host.hierarchy(controller, controller) if self.host.has(controller) else None

    def text(self, hierarchy: Hierarchy | None, file: str) -> str | None:
        """The text of a file of the group; None where it is not there."""
        if hierarchy is None:
            return None
        return hierarchy.tree.read_short("%s/%s" % (self.name, file) if self.name else file)

    def total(self, hierarchy: Hierarchy, file: str, key: str) -> int:
        """Return a count of the group and, on v1, which counts where it happens, of the groups below it."""
        if hierarchy.version == 2:
            return flat(self.text(hierarchy, file)).get(key, 0)
        count = 0
        for group in cgroupfs.walk(hierarchy.tree.full(self.name)):
            try:
                count += flat(cgroupfs.read(file, group)).get(key, 0)
            except OSError:
                continue  # it was removed meanwhile, or is the root, which has no such file
        return count

    def number(self, hierarchy: Hierarchy | None, file: str) -> int | None:
        """The number in a file; None where it is not there or has none."""
        text = self.text(hierarchy, file)
        return int(text) if text is not None and text.lstrip("-").isdigit() else None


def describe(host: Host, name: str) -> dict[str, Any]:
    """Everything about one group. A group that is nowhere, or is removed meanwhile, has `exists` false and nothing else."""
    places = [hierarchy for hierarchy in host.hierarchies if not name or hierarchy.tree.exists(name)]
    found: dict[str, Any] = {"name": name, "exists": bool(places)}
    if not places:
        return found
    reader = Reader(host, name)
    inside = sorted({pid for hierarchy in places for pid in steps.pids_in(hierarchy, name)}) if name else []
    below = processes_below(host, name) if name else []
    found.update(
        hierarchies={hierarchy.name: hierarchy.tree.full(name) for hierarchy in places},
        limits=_limits(reader),
        memory=_memory(reader),
        cpu=_cpu(reader),
        io=_io(reader),
        pids={"current": reader.number(reader.place("pids"), "pids.current"), "peak": reader.number(reader.place("pids"), "pids.peak")},
        pressure=_pressure(reader),
        events=_events(reader),
        processes=inside,
        processes_below=sorted({*inside, *below}),
        zombies=zombies(reader) if name else [],
        frozen=any(bool(steps.is_frozen(hierarchy, name)) for hierarchy in places if name and (hierarchy is host.hierarchy_of("freezer"))),
        children=sorted({child for hierarchy in places for child in hierarchy.tree.directories(name)}),
    )
    if name and not any(hierarchy.tree.exists(name) for hierarchy in places):
        return {"name": name, "exists": False}
    return found


def processes_below(host: Host, name: str) -> list[int]:
    """The processes in the groups below a group, in whichever hierarchy; those of a container are in such groups."""
    found: set[int] = set()
    for hierarchy in host.hierarchies:
        for group in subtree.below(hierarchy.tree, name):
            found.update(steps.pids_in(hierarchy, group))
    return sorted(found)


def zombies(reader: Reader) -> list[int]:
    """The processes that have ended in a group or below it and wait to be reaped: they count in pids.current and are listed nowhere.

    All processes of the machine are looked at, but only where the count says that there is one.
    """
    hierarchy = reader.place("pids")
    counted = reader.number(hierarchy, "pids.current")
    if hierarchy is None or not counted:
        return []
    groups = [reader.name, *subtree.below(hierarchy.tree, reader.name)]
    file = "cgroup.threads" if hierarchy.version == 2 else "tasks"
    if counted <= sum(len(_words(hierarchy, "%s/%s" % (group, file))) for group in groups):
        return []
    dead = [pid for pid in processes.every() if processes.ended(pid) is not None]
    return [pid for pid in dead if hierarchy.group_of(pid) in groups]


def _words(hierarchy: Hierarchy, file: str) -> list[str]:
    try:
        return hierarchy.tree.read(file).split()
    except OSError:
        return []  # the group is gone


def find(host: Host, name: str) -> str:
    """Return the path of the group that is called so, in any hierarchy."""
    return slices.find(name, lambda path: any(hierarchy.tree.exists(path) for hierarchy in host.hierarchies))


def below(host: Host, name: str) -> list[str]:
    """Return the names of all groups below one, in every hierarchy, parents before children, as far as a path can name them."""
    return sorted({path for hierarchy in host.hierarchies for path in subtree.below(hierarchy.tree, name)})


def groups_of(host: Host, pid: int) -> dict[str, str] | None:
    """{hierarchy: group} of a process; None when there is no such process."""
    if not processes.threads_of(pid):
        return None
    found = {hierarchy.name: hierarchy.group_of(pid) for hierarchy in host.hierarchies}
    return {name: group for name, group in found.items() if group is not None}


def describe_host(host: Host) -> dict[str, Any]:
    """The machine: mode, hierarchies, what it has to give and what the limits of its topmost groups add up to."""
    sums = capacity.sums(host)
    for entry in sums.values():
        entry["fits"] = (entry["sum"] or 0) <= (entry["capacity"] or 0)
    return {
        "mode": host.mode,
        "hierarchies": [
            {"name": hierarchy.name, "version": hierarchy.version, "path": hierarchy.path, "controllers": hierarchy.controllers}
            for hierarchy in host.hierarchies
        ],
        "controllers": {controller: hierarchy.path for controller, hierarchy in sorted(host.by_controller.items())},
        "page_size": host.page_size,
        "huge_page_sizes": host.huge_page_sizes(),
        "capacity": {option: value for option, value in capacity.machine().items() if option in ("memory.max", "cpu.max", "pids.max")},
        "sums": sums,
    }


def _limits(reader: Reader) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for knob in KNOBS:
        hierarchy = reader.place(knob.controller)
        if hierarchy is None:
            continue
        values = []
        for place in knob.files(hierarchy.version):
            text = reader.text(hierarchy, place.name)
            if text is not None:
                values.append(place.format.value(place.format.normal(text)))
        if values:
            found[knob.option] = " ".join(values)
    both, alone = found.get("memory.swap_max"), found.get("memory.max")
    memory = reader.place("memory")
    if memory and memory.version == 1 and both not in (None, MAX) and alone not in (None, MAX):
        found["memory.swap_max"] = str(int(both) - int(alone))
    limited = [(reader.place("hugetlb"), "hugetlb.%s." % size, "hugetlb.%s" % size) for size in reader.host.huge_page_sizes()]
    for hierarchy, stem, option in limited:
        number = reader.number(hierarchy, stem + ("max" if hierarchy and hierarchy.version == 2 else "limit_in_bytes"))
        if number is not None:
            found[option] = MAX if number >= 1 << 62 else str(number)
    for controller, names in (("io", ("io.max", "io.latency")), ("rdma", ("rdma.max",)), ("misc", ("misc.max",))):
        for name in names:
            text = reader.text(reader.place(controller), name)
            if text:
                found[name] = text.splitlines()
    blkio = reader.place("io")
    if blkio and blkio.version == 1:
        lines = []
        for which, file in IO_MAX_V1.items():
            for line in (reader.text(blkio, file.name) or "").splitlines():
                device, _space, value = line.partition(" ")
                lines.append("%s %s=%s" % (device, which, value))
        if lines:
            found["io.max"] = sorted(lines)
    rules = _devices(reader)
    if rules is not None:
        found["devices"] = rules
    return found


def _devices(reader: Reader) -> list[str] | None:
    """The rules of v1, or the name of our program on v2; None where nothing tells."""
    place = reader.host.by_controller.get("devices") or reader.host.v2
    if place is None or not reader.name or not place.tree.exists(reader.name):
        return None
    if place.version == 1:
        return (reader.text(place, "devices.list") or "").splitlines()
    try:
        held = devices.attached_policy(place.tree, reader.name)
    except OSError:  # without CAP_BPF, or on a kernel without CONFIG_CGROUP_BPF
        return None
    return ["program %s" % held[1]] if held else None


def _memory(reader: Reader) -> dict[str, Any]:
    hierarchy = reader.place("memory")
    if hierarchy is None:
        return {}
    old = hierarchy.version == 1
    stat = flat(reader.text(hierarchy, "memory.stat"))
    found: dict[str, Any] = {name: stat[v1 if old else v2] for name, v2, v1 in _MEMORY if (v1 if old else v2) in stat}
    for side in ("active", "inactive"):
        if side + "_anon" in found and side + "_file" in found:
            found[side] = found[side + "_anon"] + found[side + "_file"]
    found["current"] = reader.number(hierarchy, "memory.usage_in_bytes" if old else "memory.current")
    found["peak"] = reader.number(hierarchy, "memory.max_usage_in_bytes" if old else "memory.peak")
    swap = reader.number(hierarchy, "memory.memsw.usage_in_bytes" if old else "memory.swap.current")
    found["swap"] = max(0, swap - (found["current"] or 0)) if old and swap is not None else swap
    return found


def _cpu(reader: Reader) -> dict[str, Any]:
    hierarchy = reader.place("cpu") or reader.host.v2
    found: dict[str, Any] = {}
    if hierarchy is not None:
        found.update(flat(reader.text(hierarchy, "cpu.stat")))
    if "throttled_time" in found:  # v1 counts nanoseconds
        found["throttled_usec"] = found.pop("throttled_time") // 1000
    accounting = reader.host.by_controller.get("cpuacct")
    if accounting is not None:
        for ours, theirs in (("usage_usec", "cpuacct.usage"), ("user_usec", "cpuacct.usage_user"), ("system_usec", "cpuacct.usage_sys")):
            number = reader.number(accounting, theirs)
            if number is not None:
                found[ours] = number // 1000
    elif "usage_usec" not in found and reader.host.v2 is not None:  # on hybrid hosts, v2 counts CPU time in every group
        found.update(flat(reader.text(reader.host.v2, "cpu.stat")))
    return found


def _io(reader: Reader) -> dict[str, dict[str, int]]:
    hierarchy = reader.place("io")
    found: dict[str, dict[str, int]] = {}
    if hierarchy is None:
        return found
    if hierarchy.version == 2:
        for line in (reader.text(hierarchy, "io.stat") or "").splitlines():
            device, *pairs = line.split()
            found[device] = {name: int(value) for name, _e, value in (pair.partition("=") for pair in pairs) if value.isdigit()}
        return found
    for file, names in (("blkio.throttle.io_service_bytes_recursive", _IO), ("blkio.throttle.io_serviced_recursive", _IOS)):
        for line in (reader.text(hierarchy, file) or "").splitlines():
            words = line.split()
            if len(words) == 3 and words[1] in names:
                found.setdefault(words[0], {})[names[words[1]]] = int(words[2])
    return found


def _pressure(reader: Reader) -> dict[str, Any]:
    """Pressure stall information (Documentation/accounting/psi.rst), where the kernel measures it."""
    found: dict[str, Any] = {}
    for resource in ("cpu", "memory", "io"):
        text = reader.text(reader.host.v2, resource + ".pressure")
        for line in (text or "").splitlines():
            kind, *pairs = line.split()
            values = dict(pair.split("=") for pair in pairs)
            found.setdefault(resource, {})[kind] = {name: int(value) if name == "total" else float(value) for name, value in values.items()}
    return found


def _events(reader: Reader) -> dict[str, int]:
    """How often limits were hit: memory.max, memory.high, oom, oom_kill, pids.max, cpu.max (periods throttled)."""
    found: dict[str, int] = {}
    memory = reader.place("memory")
    if memory and memory.version == 2:
        events = flat(reader.text(memory, "memory.events"))
        found.update({("memory." + key if key in ("max", "high", "low") else key): value for key, value in events.items()})
        swap = flat(reader.text(memory, "memory.swap.events"))
        if "max" in swap:
            found["memory.swap_max"] = swap["max"]
    elif memory:
        hits = reader.number(memory, "memory.failcnt")
        if hits is not None:
            found["memory.max"] = hits
        control = flat(reader.text(memory, "memory.oom_control"))
        if "under_oom" in control:
            found["under_oom"] = control["under_oom"]
        if "oom_kill" in control:
            found["oom_kill"] = reader.total(memory, "memory.oom_control", "oom_kill")
    pids = reader.place("pids")
    if pids and "max" in flat(reader.text(pids, "pids.events")):
        found["pids.max"] = reader.total(pids, "pids.events", "max")
    cpu = flat(reader.text(reader.place("cpu"), "cpu.stat"))
    if "nr_throttled" in cpu:
        found["cpu.max"] = cpu["nr_throttled"]
    for size in reader.host.huge_page_sizes():
        place = reader.place("hugetlb")
        if place and place.version == 2:
            hits = flat(reader.text(place, "hugetlb.%s.events" % size)).get("max")
        else:
            hits = reader.number(place, "hugetlb.%s.failcnt" % size)
        if hits is not None:
            found["hugetlb.%s" % size] = hits
    return found
