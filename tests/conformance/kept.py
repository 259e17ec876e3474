# SPDX-FileCopyrightText: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Random values for every limit of a control group: what the core says that the kernel will keep is what the kernel keeps.

The values go through the core as a user's would: parsed, planned, written, and planned once more, which must come out empty.
"""

from __future__ import annotations

import functools
import random
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "plugins/module_utils"))

from _runtime import plan as plans
from _runtime.cgroup import knobs
from _runtime.cgroup.host import Host
from _runtime.cgroup.subject import Groups
from _runtime.errors import BulkheadError

TOP = "bulkhead-kept"
DISK = "/dev/nullb0"
EACH = 6

Value = Callable[[random.Random], Any]


def size(rng: random.Random) -> Any:
    """Sizes as people write them, of all magnitudes."""
    return rng.choice(
        [
            rng.randrange(1 << 16, 1 << rng.randrange(17, 62)),
            "%dK" % rng.randrange(1000, 1 << 30),
            "%d MiB" % rng.randrange(1, 1 << 20),
            "%.1fG" % rng.uniform(0.5, 4096),
            "max",
            (1 << 63) - 1,
            (1 << 62) - 1,
        ]
    )


def limited(value: Value, rng: random.Random) -> Any:
    """A value that is some limit, and not none."""
    return next(one for one in iter(lambda: value(rng), None) if one not in ("max", (1 << 63) - 1))


def bandwidth(rng: random.Random) -> Any:
    period = rng.randrange(1000, 1000001)
    return rng.choice(
        [
            round(rng.uniform(0.01, 300), 3),
            "max",
            "%d %d" % (rng.randrange(1000, 10**9), period),
            {"quota": "%dms" % rng.randrange(1, 10000), "period": period},
            {"quota": "max", "period": period},
        ]
    )


def rate(rng: random.Random) -> Any:
    return rng.choice(["max", rng.randrange(2, 1 << 40), "%dM/s" % rng.randrange(1, 10000), "%d" % rng.randrange(2, 100)])


def operations(rng: random.Random) -> Any:
    return rng.choice(["max", rng.randrange(2, 1 << 33), 0xFFFFFFFE, 0xFFFFFFFF])


def disk_limits(rng: random.Random) -> Any:
    chosen = rng.sample(["rbps", "wbps", "riops", "wiops"], rng.randrange(1, 5))
    return [{"device": DISK, **{name: (rate if name.endswith("bps") else operations)(rng) for name in chosen}}]


def cpus(rng: random.Random) -> str:
    numbers = rng.sample(range(4), rng.randrange(1, 5))
    return rng.choice([",".join(str(number) for number in numbers), "0-%d" % max(numbers), "0-3:1/2"])


def weight(rng: random.Random) -> Any:
    return rng.choice([1, 2, 3, 99, 100, 101, 9999, 10000, rng.randrange(1, 10001), str(rng.randrange(1, 1001))])


VALUES: dict[str, Value] = {
    "memory.max": size,
    "memory.high": size,
    "memory.low": size,
    "memory.min": size,
    "memory.oom_group": lambda rng: rng.choice([True, False, "yes", 0]),
    "cpu.max": bandwidth,
    "cpu.burst": lambda rng: rng.choice([0, "5ms", rng.randrange(1, 10**6)]),
    "cpu.idle": lambda rng: rng.choice([True, False]),
    "cpu.weight": weight,
    "cpuset.cpus": cpus,
    "cpuset.mems": lambda _rng: "0",
    "io.weight": weight,
    "io.max": disk_limits,
    "io.latency": lambda rng: [{"device": DISK, "target": rng.choice([0, "10ms", rng.randrange(1, 10**7), "max"])}],
    "pids.max": lambda rng: rng.choice(["max", 1, "010", rng.randrange(1, 1 << 22)]),
}


def options(option: str, value: Any) -> dict[str, Any]:
    section, _dot, name = option.partition(".")
    return {section: {name: value}}


def cases(host: Host) -> Iterator[tuple[str, Callable[[random.Random], dict[str, Any]], str]]:
    """(what is tried, the options for it at random, why not) for every limit that there is."""
    version = {controller: hierarchy.version for controller, hierarchy in host.by_controller.items()}
    version["io"] = version.get("io", version.get("blkio", 0))
    for option in [knob.option for knob in knobs.KNOBS] + ["io.max", "io.latency"]:
        knob = knobs.BY_OPTION.get(option)
        on_v1 = version[option.partition(".")[0]] == 1
        why = ""
        if on_v1 and (option == "io.latency" or (knob and not knob.v1)):
            why = knob.absent_on_v1 if knob else "v1 has none"
        if option in VALUES:
            draw = functools.partial(limited, VALUES[option]) if option == "memory.low" and on_v1 else VALUES[option]
            yield option, lambda rng, option=option, draw=draw: options(option, draw(rng)), why  # type: ignore[misc]
    yield (
        "memory.swap_max",
        lambda rng: {"memory": {"max": rng.randrange(1 << 20, 1 << 40), "swap_max": rng.choice(["max", 0, "3M", rng.randrange(1 << 40)])}},
        "",
    )
    yield (
        "cpuset.partition",
        lambda rng: {"cpuset": {"cpus": "3", "partition": rng.choice(["member", "root"] if version["cpuset"] == 1 else ["member", "root", "isolated"])}},
        "",
    )
    for page in host.huge_page_sizes():
        yield "hugetlb." + page, lambda rng, page=page: {"hugetlb": {page: size(rng)}}, ""  # type: ignore[misc]
    yield "rdma", lambda rng: {"rdma": {"mlx5_0": {"hca_handle": 2}}}, "the node has no RDMA device"
    yield "misc", lambda rng: {"misc": {"sev": 2}}, "the node has nothing that misc counts (misc.capacity is empty)"
    yield "all together", lambda rng: together(rng, version["memory"] == 1, version["io"] == 1), ""


def together(rng: random.Random, memory_v1: bool, io_v1: bool) -> dict[str, Any]:
    """Several limits at once, also such as the kernel refuses beside each other."""
    there = [
        option
        for option in VALUES
        if option not in ("io.latency", "memory.low") and not (memory_v1 and option in ("memory.high", "memory.min", "memory.oom_group"))
    ]
    chosen: dict[str, Any] = {}
    for option in rng.sample(there, rng.randrange(2, len(there))):
        section, _dot, name = option.partition(".")
        chosen.setdefault(section, {})[name] = VALUES[option](rng)
    if chosen.get("cpu", {}).get("idle"):
        chosen["cpu"].pop("weight", None)
    return chosen


class Kept:
    """One group, set again and again."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.host = Host.observe()
        self.name = ""

    def converge(self, **given: Any) -> str:
        """Empty when the kernel keeps what is foreseen; else what is wrong."""
        subject = Groups()
        try:
            group = subject.parse({"name": self.name, "manager": "cgroupfs", **given})
            group.brought_back = True  # nobody reloads systemd here, so what it would sweep away is no question
            the_plan = subject.plan([group])
        except BulkheadError as error:  # a group that is idle already takes no weight
            return "" if "an idle group has no weight" in str(error) else "%s: refused: %s" % (given, error)
        before = self.state()
        try:
            subject.apply(the_plan)
        except BulkheadError as error:
            if error.undo_failures or self.state() != before:
                return "%s: %s; and it was not undone: %s" % (given, error, error.undo_failures)
            return "" if len(given) > 1 or len(next(iter(given.values()))) > 1 else "%s: %s" % (given, error)
        last = subject.plan([group])
        if last.steps:
            return "%s: after writing, %s" % (given, last.writes())
        for setting in group.settings:
            now = last.seen.now(setting, group.name)
            if not setting.swap_only and now != setting.kept:
                return "%s: %s holds %r, foreseen was %r" % (given, setting.file.name, now, setting.kept)
            # What is reported as effective, asked for, must be no change.
            if len(group.settings) > 1 or now is None or setting.swap_only:  # of one value in two files neither says it alone
                continue
            if setting.file.format.kept(setting.file.format.value(now)) != now:
                return "%s: %s, asked for again, would become another value" % (given, now)
        subject.report([group], last)
        plans.undo(list(the_plan.steps))
        if self.state() != before:
            return "%s: undone, it is %s, and it was %s" % (given, self.state(), before)
        plans.apply(the_plan)
        if subject.plan([group]).steps:
            return "%s: undone and done again, it is another" % given
        return ""

    def refused(self, **given: Any) -> str:
        """Empty when the kernel of this node is seen not to keep it, and that is told."""
        wrong = self.converge(**given)
        return "" if "keeps nothing of it" in wrong and "leave it out" in wrong else wrong or "%s: it was not refused" % given

    def state(self) -> dict[str, str]:
        """What every interface file of the group says that keeps a setting."""
        found = {}
        for hierarchy in self.host.hierarchies:
            group = Path(hierarchy.path) / self.name
            for file in sorted(group.glob("*.*")):
                if file.name in _NAMES or (file.name.startswith("hugetlb.") and file.name.endswith((".max", ".limit_in_bytes"))):
                    try:
                        found[str(file)] = file.read_text()
                    except OSError as error:
                        found[str(file)] = str(error.errno)
        return found

    def remove(self) -> str:
        subject = Groups()
        group = subject.parse({"name": TOP, "manager": "cgroupfs", "state": "absent"})
        subject.apply(subject.plan([group]))
        return "" if not subject.plan([group]).steps else "it is still there"

    def run(self) -> Iterator[tuple[str, str, str]]:
        """(what, what is wrong, why it was not tried) for each limit."""
        # The lab's kernel has no soft limits any more: row 15e of cgroup_table.py.
        gone = "memory.low" if self.host.hierarchy("memory", "memory").version == 1 else ""
        for what, random_options, why in cases(self.host):
            wrong = ""
            # Partitions of CPUs are cut from those of the root, one below the other.
            self.name = TOP if what == "cpuset.partition" else TOP + "/it"
            if not why:
                for _turn in range(EACH):
                    wrong = wrong or (self.refused if what == gone else self.converge)(**random_options(self.rng))
                wrong = wrong or self.remove()
                if wrong:
                    self.remove()
            yield what, wrong, why


_NAMES = {file.name for knob in knobs.KNOBS for file in (knob.v2, *knob.v1)} | {file.name for files in knobs.KEYED_FILES.values() for file in files}
