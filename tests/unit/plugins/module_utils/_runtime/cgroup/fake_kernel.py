# SPDX-FileCopyrightText: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Directory trees that take writes as the kernel's control groups do, for tests without root.

Reading goes to plain files, as ever. Making a group fills it with interface files; a write is checked, rounded and printed
back by the rules of the kernel, which are written down here from its documentation and from trying them, and not from the
code under test.
"""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Callable
from pathlib import Path

from ansible_collections.bulkhead.linux.plugins.module_utils._runtime.cgroup.host import Hierarchy, Host
from ansible_collections.bulkhead.linux.plugins.module_utils._runtime.kernel.files import Tree

PAGE = os.sysconf("SC_PAGE_SIZE")
NO_LIMIT = (2**63 - 1) // PAGE * PAGE
HUGE = 2 << 20
CPUS = Path("/sys/devices/system/cpu/online").read_text().strip()
NODES = "0"
DISK, OTHER_DISK = "8:0", "8:16"

V1_LAYOUT = ("cpu,cpuacct", "cpuset", "memory", "devices", "freezer", "blkio", "pids", "hugetlb")
V2_CONTROLLERS = "cpuset cpu io memory hugetlb pids rdma misc"

FILES_V1 = {
    "": {"cgroup.procs": "", "tasks": "", "notify_on_release": "0", "cgroup.clone_children": "0"},
    "cpu": {
        "cpu.shares": "1024",
        "cpu.cfs_quota_us": "-1",
        "cpu.cfs_period_us": "100000",
        "cpu.cfs_burst_us": "0",
        "cpu.idle": "0",
        "cpu.uclamp.min": "0.00",
        "cpu.uclamp.max": "max",
    },
    "cpuacct": {"cpuacct.usage": "0"},
    "cpuset": {"cpuset.cpus": "", "cpuset.mems": "", "cpuset.cpu_exclusive": "0"},
    "memory": {
        "memory.limit_in_bytes": str(NO_LIMIT),
        "memory.memsw.limit_in_bytes": str(NO_LIMIT),
        "memory.soft_limit_in_bytes": str(NO_LIMIT),
        "memory.usage_in_bytes": "0",
        "memory.memsw.usage_in_bytes": "0",
        "memory.swappiness": "60",
        "memory.stat": "",
        "memory.oom_control": "oom_kill_disable 0\nunder_oom 0\noom_kill 0",
        "memory.kmem.tcp.limit_in_bytes": str(NO_LIMIT),
    },
    "devices": {"devices.list": "", "devices.allow": "", "devices.deny": ""},
    "freezer": {"freezer.state": "THAWED", "freezer.self_freezing": "0"},
    "blkio": {
        "blkio.bfq.weight": "100",
        "blkio.bfq.io_service_bytes": "Total 0",
        "blkio.throttle.read_bps_device": "",
        "blkio.throttle.write_bps_device": "",
        "blkio.throttle.read_iops_device": "",
        "blkio.throttle.write_iops_device": "",
    },
    "pids": {"pids.max": "max", "pids.current": "0"},
    "hugetlb": {"hugetlb.2MB.limit_in_bytes": str((2**63 - 1) // HUGE * HUGE), "hugetlb.2MB.usage_in_bytes": "0"},
}
FILES_V2 = {
    "": {
        "cgroup.procs": "",
        "cgroup.threads": "",
        "cgroup.subtree_control": "",
        "cgroup.type": "domain",
        "cgroup.freeze": "0",
        "cgroup.events": "populated 0\nfrozen 0",
        "cgroup.max.depth": "max",
    },
    "cpu": {"cpu.max": "max 100000", "cpu.max.burst": "0", "cpu.weight": "100", "cpu.idle": "0", "cpu.uclamp.min": "0.00", "cpu.uclamp.max": "max"},
    "cpuset": {"cpuset.cpus": "", "cpuset.mems": "", "cpuset.cpus.partition": "member"},
    "memory": {
        **{"memory." + name: "max" for name in ("max", "high", "swap.max")},
        **{"memory." + name: "0" for name in ("low", "min", "current", "swap.current", "oom.group")},
        "memory.stat": "",
    },
    "io": {"io.weight": "default 100", "io.max": "", "io.latency": ""},
    "pids": {"pids.max": "max", "pids.current": "0"},
    "hugetlb": {"hugetlb.2MB.max": "max", "hugetlb.2MB.current": "0"},
    "rdma": {"rdma.max": ""},
    "misc": {"misc.max": ""},
}
# On the root, v2 has no limits, and v1 none of these.
NOT_ON_THE_ROOT_V1 = ("freezer.", "pids.max", "blkio.bfq.weight")


def refuse(code: int) -> OSError:
    return OSError(code, os.strerror(code))


def memparse(text: str, none: str) -> int:
    """What the kernel reads as bytes: an empty text is nothing at all, and "10apples" are ten."""
    text = text.strip()
    if text == none:
        return NO_LIMIT
    match = re.match(r"(\d*)([KMGT]?)", text)
    if not match or not text or text[0] == "-":
        raise refuse(errno.EINVAL)
    return min(int(match[1] or 0) << 10 * " KMGT".index(match[2] or " "), NO_LIMIT)


def cpulist(text: str) -> set[int]:
    found: set[int] = set()
    for part in text.strip().split(","):
        if part:
            first, _dash, last = part.partition("-")
            found |= set(range(int(first), int(last or first) + 1))
    return found


def spelled(numbers: set[int]) -> str:
    spans: list[list[int]] = []
    for number in sorted(numbers):
        if spans and spans[-1][1] == number - 1:
            spans[-1][1] = number
        else:
            spans.append([number, number])
    return ",".join(str(first) if first == last else "%d-%d" % (first, last) for first, last in spans)


class KernelTree(Tree):
    """One hierarchy. `log` holds what was done to it: ("write", path, text), ("mkdir", path), ("rmdir", path)."""

    def __init__(self, path: Path, version: int, controllers: list[str]) -> None:
        super().__init__(str(path))
        self.version = version
        self.controllers = controllers
        self.log: list[tuple[str, ...]] = []
        self.marks: set[tuple[str, str]] = set()
        path.mkdir(parents=True)
        self._fill("", set(controllers))
        if version == 2:
            self.put("cgroup.controllers", " ".join(controllers))

    # The files themselves

    def get(self, path: str) -> str:
        return (Path(self.path) / path).read_text().rstrip("\n")

    def put(self, path: str, text: str) -> None:
        (Path(self.path) / path).write_text(text + "\n" if text else "")

    def has(self, path: str) -> bool:
        return (Path(self.path) / path).exists()

    def groups(self, top: str = "") -> list[str]:
        """Every group below one, parents first."""
        base = Path(self.path)
        return sorted(str(path.relative_to(base)) for path in (base / top).rglob("*") if path.is_dir())

    def children(self, group: str) -> list[str]:
        return [name for name in self.groups(group) if name.rpartition("/")[0] == group]

    def snapshot(self) -> dict[str, str | None]:
        base = Path(self.path)
        return {str(path.relative_to(base)): path.read_text() if path.is_file() else None for path in sorted(base.rglob("*"))}

    def _fill(self, group: str, controllers: set[str]) -> None:
        table = FILES_V2 if self.version == 2 else FILES_V1
        for controller in ["", *sorted(controllers)]:
            for name, text in table.get(controller, {}).items():
                if not group and ((self.version == 2 and controller) or (self.version == 1 and name.startswith(NOT_ON_THE_ROOT_V1))):
                    continue
                self.put(os.path.join(group, name), text)
        if not group and self.version == 1:
            for name, text in {"cpuset.cpus": CPUS, "cpuset.mems": NODES, "cpuset.cpu_exclusive": "1", "devices.list": "a *:* rwm"}.items():
                if self.has(name):
                    self.put(name, text)

    # What a module does to them

    def mkdir(self, path: str, mode: int = 0o755) -> None:
        super().mkdir(path, mode)
        self.log.append(("mkdir", path))
        parent = os.path.dirname(path)
        if self.version == 2:
            handed = self.get(os.path.join(parent, "cgroup.subtree_control")).split()
            self._fill(path, set(handed))
            self.put(path + "/cgroup.controllers", " ".join(handed))
        else:
            self._fill(path, set(self.controllers))
            if "devices" in self.controllers:
                self.put(path + "/devices.list", self.get(os.path.join(parent, "devices.list")))

    def mark(self, path: str, name: str) -> None:
        self.marks.add((path, name))

    def unmark(self, path: str, name: str) -> None:
        self.marks.remove((path, name))

    def marked(self, path: str, name: str) -> bool:
        return (path, name) in self.marks

    def rmdir(self, path: str) -> None:
        base = Path(self.path) / path
        if self.children(path) or self.get(path + "/cgroup.procs"):
            raise refuse(errno.EBUSY)
        for file in base.iterdir():
            file.unlink()
        super().rmdir(path)
        self.log.append(("rmdir", path))

    def write(self, path: str, text: str) -> None:
        os.close(self.open(path, os.O_WRONLY))
        group, _slash, name = path.rpartition("/")
        self.log.append(("write", path, text))
        try:
            rule = next(rule for pattern, rule in RULES.items() if re.fullmatch(pattern, name))
            rule(self, group, name, text)
        except OSError as error:
            error.filename = self.full(path)
            self.log.pop()
            raise


Rule = Callable[[KernelTree, str, str, str], None]


def _bytes(step: int) -> Rule:
    def rule(tree: KernelTree, group: str, name: str, text: str) -> None:
        value = memparse(text, "max" if tree.version == 2 else "-1")
        value -= value % step
        limit, both = group + "/memory.limit_in_bytes", group + "/memory.memsw.limit_in_bytes"
        if name == "memory.limit_in_bytes" and (value > int(tree.get(both)) or value < int(tree.get(group + "/memory.usage_in_bytes"))):
            raise refuse(errno.EINVAL if value > int(tree.get(both)) else errno.EBUSY)
        if name == "memory.memsw.limit_in_bytes" and value < int(tree.get(limit)):
            raise refuse(errno.EINVAL)
        tree.put(group + "/" + name, "max" if tree.version == 2 and value >= NO_LIMIT // step * step else str(value))

    return rule


def _ratio(quota: int, period: int) -> int | None:
    return None if quota < 0 else (quota << 20) // period


def _bandwidth(tree: KernelTree, group: str, name: str, text: str) -> None:
    """tg_set_cfs_bandwidth(): ranges, the burst, and on v1 that no group has more than the one above it."""
    old = {file: tree.get(group + "/" + file) for file in FILES_V1["cpu"] if tree.has(group + "/" + file)}
    if tree.version == 2:
        old_quota, old_period = tree.get(group + "/cpu.max").split()
        burst = int(tree.get(group + "/cpu.max.burst"))
        quota, period = (-1 if old_quota == "max" else int(old_quota)), int(old_period)
        if name == "cpu.max":
            words = text.split()
            quota = -1 if words[0] == "max" else int(words[0])
            period = int(words[1]) if len(words) > 1 else period
        else:
            burst = int(text)
    else:
        quota, period, burst = (int(old["cpu.cfs_%s_us" % which]) for which in ("quota", "period", "burst"))
        if name == "cpu.cfs_quota_us":
            quota = int(text)
        elif name == "cpu.cfs_period_us":
            period = int(text)
        else:
            burst = int(text)
    if not 1000 <= period <= 1000000 or (0 <= quota < 1000) or (quota >= 0 and burst > quota):
        raise refuse(errno.EINVAL)
    if tree.version == 2:
        tree.put(group + "/cpu.max", "%s %d" % ("max" if quota < 0 else quota, period))
        tree.put(group + "/cpu.max.burst", str(burst))
        return
    tree.put(group + "/" + name, str(int(text)))
    allowed: dict[str, int | None] = {"": None}
    for each in tree.groups():
        above = allowed[os.path.dirname(each)]
        own = _ratio(int(tree.get(each + "/cpu.cfs_quota_us")), int(tree.get(each + "/cpu.cfs_period_us")))
        if own is not None and above is not None and own > above:
            tree.put(group + "/" + name, old[name])
            raise refuse(errno.EINVAL)
        allowed[each] = above if own is None else own


def _shares(tree: KernelTree, group: str, name: str, text: str) -> None:
    number = int(text)
    if tree.version == 2 and not 1 <= number <= 10000:
        raise refuse(errno.ERANGE)
    if tree.get(group + "/cpu.idle") == "1":
        raise refuse(errno.EINVAL)
    tree.put(group + "/" + name, str(number if tree.version == 2 else min(max(number, 2), 262144)))


def _idle(tree: KernelTree, group: str, name: str, text: str) -> None:
    """An idle group has the least weight and takes no other; one that is no longer idle starts anew with the default."""
    if text.strip() == tree.get(group + "/" + name):
        return
    tree.put(group + "/" + name, text.strip())
    weights = ("3", "1024") if tree.version == 1 else ("1", "100")
    tree.put(group + ("/cpu.shares" if tree.version == 1 else "/cpu.weight"), weights[text.strip() == "0"])


def _cpuset(tree: KernelTree, group: str, name: str, text: str) -> None:
    wanted = cpulist(text)
    if tree.version == 1:
        if not wanted <= cpulist(tree.get(os.path.join(os.path.dirname(group), name))):
            raise refuse(errno.EACCES)
        if any(not cpulist(tree.get(child + "/" + name)) <= wanted for child in tree.children(group)):
            raise refuse(errno.EBUSY)
        if name == "cpuset.cpus":
            _check_exclusive(tree, group, wanted, tree.get(group + "/cpuset.cpu_exclusive") == "1")
    tree.put(group + "/" + name, spelled(wanted))


def _check_exclusive(tree: KernelTree, group: str, wanted: set[int], exclusive: bool) -> None:
    for sibling in tree.children(os.path.dirname(group)):
        if sibling != group and (exclusive or tree.get(sibling + "/cpuset.cpu_exclusive") == "1") and wanted & cpulist(tree.get(sibling + "/cpuset.cpus")):
            raise refuse(errno.EINVAL)


def _exclusive(tree: KernelTree, group: str, name: str, text: str) -> None:
    parent = os.path.dirname(group)
    if text == "1" and tree.get(os.path.join(parent, name)) != "1":
        raise refuse(errno.EACCES)
    if text == "0" and any(tree.get(child + "/" + name) == "1" for child in tree.children(group)):
        raise refuse(errno.EACCES)
    _check_exclusive(tree, group, cpulist(tree.get(group + "/cpuset.cpus")), text == "1")
    tree.put(group + "/" + name, text)


def _lines(tree: KernelTree, path: str) -> dict[str, str]:
    return dict(line.split(" ", 1) for line in tree.get(path).splitlines())


def _put_lines(tree: KernelTree, path: str, lines: dict[str, str]) -> None:
    # In the order of the devices, however they were written.
    tree.put(path, "\n".join("%s %s" % pair for pair in sorted(lines.items(), key=lambda pair: (pair[0] != "default", pair[0]))))


def _throttle_v1(tree: KernelTree, group: str, name: str, text: str) -> None:
    device, value = text.split()
    lines = _lines(tree, group + "/" + name)
    lines.pop(device, None)
    if int(value):
        lines[device] = str(int(value) if "bps" in name else int(value) & 0xFFFFFFFF)
    _put_lines(tree, group + "/" + name, lines)


def _io_max(tree: KernelTree, group: str, name: str, text: str) -> None:
    device, *pairs = text.split()
    lines = _lines(tree, group + "/" + name)
    held = dict(pair.split("=") for pair in lines.get(device, "rbps=max wbps=max riops=max wiops=max").split())
    for pair in pairs:
        key, value = pair.split("=")
        if value != "max" and int(re.match(r"\d+", value)[0]) < 2:  # type: ignore[index]
            raise refuse(errno.ERANGE)
        held[key] = value if value == "max" else re.match(r"\d+", value)[0]  # type: ignore[index]
    lines[device] = " ".join("%s=%s" % pair for pair in held.items())
    if set(held.values()) == {"max"}:
        del lines[device]
    _put_lines(tree, group + "/" + name, lines)


def _io_latency(tree: KernelTree, group: str, name: str, text: str) -> None:
    device, value = text.split()
    lines = _lines(tree, group + "/" + name)
    lines.pop(device, None)
    if value != "target=0":
        lines[device] = value
    _put_lines(tree, group + "/" + name, lines)


def _rdma(tree: KernelTree, group: str, name: str, text: str) -> None:
    device, *pairs = text.split()
    lines = _lines(tree, group + "/" + name)
    held = dict(pair.split("=") for pair in lines.get(device, "hca_handle=max hca_object=max").split())
    held.update(pair.split("=") for pair in pairs)
    lines[device] = " ".join("%s=%s" % pair for pair in held.items())
    _put_lines(tree, group + "/" + name, lines)


def _misc(tree: KernelTree, group: str, name: str, text: str) -> None:
    key, value = text.split()
    _put_lines(tree, group + "/" + name, _lines(tree, group + "/" + name) | {key: value})


def _io_weight(tree: KernelTree, group: str, name: str, text: str) -> None:
    number = text.replace("default", "").strip()
    if not 1 <= int(number) <= (10000 if name == "io.weight" else 1000):
        raise refuse(errno.ERANGE)
    tree.put(group + "/" + name, "default " + number if name == "io.weight" else number)


def _pids(tree: KernelTree, group: str, name: str, text: str) -> None:
    if text.strip() == "max":
        tree.put(group + "/" + name, "max")
        return
    number = int(text, 0) if not re.fullmatch(r"0[0-7]+", text) else int(text, 8)
    if not 0 <= number <= 4194304:
        raise refuse(errno.EINVAL)
    tree.put(group + "/" + name, str(number))


def _subtree_control(tree: KernelTree, group: str, name: str, text: str) -> None:
    path = os.path.join(group, name)
    held = set(tree.get(path).split())
    offered = set(tree.get(os.path.join(group, "cgroup.controllers")).split())
    for word in text.split():
        controller = word[1:]
        if controller not in FILES_V2:
            raise refuse(errno.EINVAL)
        if word[0] == "+":
            if controller not in offered:
                raise refuse(errno.ENOENT)
            if group and tree.get(group + "/cgroup.procs"):
                raise refuse(errno.EBUSY)
            if controller not in held:
                held.add(controller)
                for child in tree.children(group):
                    for file, value in FILES_V2[controller].items():
                        tree.put(child + "/" + file, value)
        elif controller in held:
            for child in tree.children(group):
                if controller in tree.get(child + "/cgroup.subtree_control").split():
                    raise refuse(errno.EBUSY)
                for file in FILES_V2[controller]:
                    os.unlink(os.path.join(tree.path, child, file))
            held.remove(controller)
    tree.put(path, " ".join(sorted(held)))
    for child in tree.children(group):
        tree.put(child + "/cgroup.controllers", " ".join(sorted(held)))


def _freeze(tree: KernelTree, group: str, name: str, text: str) -> None:
    frozen = text in ("1", "FROZEN")
    if name == "cgroup.freeze":
        tree.put(group + "/cgroup.events", "populated 0\nfrozen %d" % frozen)
    else:
        tree.put(group + "/freezer.self_freezing", "%d" % frozen)
    tree.put(group + "/" + name, text)


def _devices(tree: KernelTree, group: str, name: str, text: str) -> None:
    """Only what is asked of it here: everything, or single devices with an access."""
    path = group + "/devices.list"
    lines = set(tree.get(path).splitlines())
    if text == "a" and tree.children(group):
        raise refuse(errno.EINVAL)
    for child in tree.children(group) if name == "devices.deny" else ():  # propagate_exception()
        _devices(tree, child, name, text)
    if text == "a":
        tree.put(path, "a *:* rwm" if name == "devices.allow" else "")
        return
    kind, numbers, access = text.split()
    held = next((line for line in lines if line.startswith("%s %s " % (kind, numbers))), "")
    letters = set(held.split()[2]) if held else set()
    letters = letters | set(access) if name == "devices.allow" else letters - set(access)
    lines.discard(held)
    if letters:
        lines.add("%s %s %s" % (kind, numbers, "".join(letter for letter in "rwm" if letter in letters)))
    tree.put(path, "\n".join(sorted(lines)))


def _oom_control(tree: KernelTree, group: str, name: str, text: str) -> None:
    """It is written with one digit and prints three lines."""
    if text not in ("0", "1"):
        raise refuse(errno.EINVAL)
    tree.put(group + "/" + name, "oom_kill_disable %s\nunder_oom 0\noom_kill 0" % text)


def _uclamp(tree: KernelTree, group: str, name: str, text: str) -> None:
    """Percent with two digits behind the point, and max for all of it."""
    percent = 100.0 if text.strip() == "max" else float(text)
    if not 0 <= percent <= 100:
        raise refuse(errno.ERANGE)
    tree.put(group + "/" + name, "max" if percent == 100 else "%.2f" % percent)


def _plain(tree: KernelTree, group: str, name: str, text: str) -> None:
    tree.put(os.path.join(group, name), text.strip())


RULES: dict[str, Rule] = {
    r"memory\.(max|high|low|min|swap\.max|limit_in_bytes|memsw\.limit_in_bytes|soft_limit_in_bytes)": _bytes(PAGE),
    r"memory\.kmem\.tcp\.limit_in_bytes": _bytes(PAGE),
    r"memory\.oom_control": _oom_control,
    r"cpu\.uclamp\.(min|max)": _uclamp,
    r"hugetlb\.2MB\.(max|limit_in_bytes)": _bytes(HUGE),
    r"cpu\.(max|max\.burst|cfs_.*_us)": _bandwidth,
    r"cpu\.(shares|weight)": _shares,
    r"cpu\.idle": _idle,
    r"cpuset\.(cpus|mems)": _cpuset,
    r"cpuset\.cpu_exclusive": _exclusive,
    r"blkio\.throttle\..*_device": _throttle_v1,
    r"io\.max": _io_max,
    r"io\.latency": _io_latency,
    r"io\.weight|blkio\.bfq\.weight": _io_weight,
    r"rdma\.max": _rdma,
    r"misc\.max": _misc,
    r"pids\.max": _pids,
    r"cgroup\.subtree_control": _subtree_control,
    r"cgroup\.freeze|freezer\.state": _freeze,
    r"devices\.(allow|deny)": _devices,
    r"memory\.(swappiness|oom\.group)|notify_on_release|cgroup\.clone_children|cgroup\.max\.depth|cpuset\.cpus\.partition": _plain,
}


class FakeHost(Host):
    """A host on such trees, which systemd does not run unless it is said so."""

    systemd = False

    @property
    def trees(self) -> list[KernelTree]:
        return [hierarchy.tree for hierarchy in self.hierarchies]  # type: ignore[misc]

    def tree(self, controller: str) -> KernelTree:
        """The tree in which a controller is, by its v2 name."""
        return self.hierarchy(controller, "the test").tree  # type: ignore[return-value]

    def snapshot(self) -> dict[str, dict[str, str | None]]:
        return {tree.path: tree.snapshot() for tree in self.trees}

    def log(self) -> list[tuple[str, ...]]:
        return [entry for tree in self.trees for entry in tree.log]


def _hierarchy(base: Path, version: int, controllers: list[str]) -> Hierarchy:
    name = "v2" if version == 2 else ",".join(controllers)
    hierarchy = Hierarchy(version, str(base / name), controllers, name)
    hierarchy.tree = KernelTree(base / name, version, controllers)
    return hierarchy


def make_host(base: Path, mode: str) -> FakeHost:
    """v1: every controller in v1; v2: every one in v2; hybrid: hugetlb in v2 and the others in v1."""
    hierarchies = []
    if mode != "v2":
        hierarchies = [_hierarchy(base, 1, name.split(",")) for name in V1_LAYOUT if mode == "v1" or name != "hugetlb"]
    if mode != "v1":
        hierarchies.append(_hierarchy(base, 2, V2_CONTROLLERS.split() if mode == "v2" else ["hugetlb"]))
    host = FakeHost(hierarchies)
    host._sizes = ["2MB"]
    return host
