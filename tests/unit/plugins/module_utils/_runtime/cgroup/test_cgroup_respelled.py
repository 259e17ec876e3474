# SPDX-FileCopyrightText: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whatever is asked for, the same said another way is no change: any respelling of a group plans nothing."""

from __future__ import annotations

import itertools
import random
import tempfile
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.bulkhead.linux.plugins.module_utils._runtime import plan as plans
from ansible_collections.bulkhead.linux.plugins.module_utils._runtime.cgroup import canonical
from ansible_collections.bulkhead.linux.plugins.module_utils._runtime.cgroup.group import parse_group
from ansible_collections.bulkhead.linux.plugins.module_utils._runtime.cgroup.planning import plan_groups
from fake_kernel import DISK, OTHER_DISK, FakeHost, make_host
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

Options = dict[str, Any]


# Every spelling of one value


def sizes(size: int, dice: random.Random) -> object:
    names = [size, str(size), "%dB" % size, " %d " % size]
    for power, letter in enumerate("KMGT", 1):
        if size % (1 << 10 * power) == 0 and size:
            names += ["%d%s%s" % (size >> 10 * power, letter, end) for end in ("", "B", "iB", "b")]
            names += ["%d%s" % (size >> 10 * power, letter.lower())]
        if size % (1 << 10 * power - 4) == 0 and size:
            names.append("%s%s" % (size / (1 << 10 * power), letter))
    return dice.choice(names)


def limits(value: int | None, dice: random.Random) -> object:
    return dice.choice(["max", -1, "-1", "unlimited", "infinity", "Max"]) if value is None else sizes(value, dice)


def counts(value: int | None, dice: random.Random) -> object:
    return dice.choice(["max", -1, "unlimited"]) if value is None else dice.choice([value, str(value), "0%d" % value, " %d" % value])


def times(value: int, dice: random.Random) -> object:
    names: list[object] = [value, str(value), "%dus" % value, "%s ms" % (value / 1000)]
    return dice.choice([*names, "%dms" % (value // 1000)] if value % 1000 == 0 else names)


def flags(value: bool, dice: random.Random) -> object:
    return dice.choice([True, 1, "1", "yes", "true", "On"] if value else [False, 0, "0", "no", "off"])


def quotas(value: tuple[int | None, int], dice: random.Random) -> object:
    quota, period = value
    if quota is None and period == 100000:
        return dice.choice(["max", "max 100ms", {"quota": "max"}, -1])
    if quota is None:
        return dice.choice(["max %d" % period, {"quota": "max", "period": times(period, dice)}])
    names: list[object] = ["%d %d" % (quota, period), {"period": times(period, dice), "quota": times(quota, dice)}]
    names.append("%s  %s" % tuple(str(times(number, dice)).replace(" ", "") for number in (quota, period)))
    if period == 100000:
        names += [quota / 100000, str(quota / 100000), "%.5f" % (quota / 100000), {"quota": quota}]
    return dice.choice(names)


def lists(value: list[int], dice: random.Random) -> object:
    mixed = dice.sample(value, len(value))
    names: list[object] = [mixed, ",".join(map(str, mixed)), [str(number) for number in mixed], "%s,%s" % (mixed[0], ",".join(map(str, mixed)))]
    if value == list(range(value[0], value[-1] + 1)):
        names += ["%d-%d" % (value[0], value[-1]), ["%d-%d" % (value[0], value[-1])]]
    return dice.choice([*names, value[0]] if len(value) == 1 else names)


def rates(value: int | None, dice: random.Random) -> object:
    text = limits(value, dice)
    return text + dice.choice(["", "/s"]) if isinstance(text, str) and value is not None else text


# What is asked for, and one of its spellings

SIZE = st.none() | st.integers(1, 1 << 12).map(lambda pages: pages << 16) | st.integers(1 << 16, 1 << 30)
COUNT = st.none() | st.integers(1, 4000000)
QUOTA = st.tuples(st.none() | st.integers(1, 400).map(lambda number: number * 1000), st.sampled_from([100000, 50000, 1000000]))
RATES = {
    **dict.fromkeys(("rbps", "wbps"), st.none() | st.integers(2, 1 << 30)),
    **dict.fromkeys(("riops", "wiops"), st.none() | st.integers(2, 4000000)),
}


DEVICES = st.dictionaries(st.tuples(st.sampled_from("bc"), st.integers(0, 9), st.integers(0, 9)), st.sets(st.sampled_from("rwm"), min_size=1))


def some(**strategies: st.SearchStrategy[Any]) -> st.SearchStrategy[Options]:
    return st.fixed_dictionaries({}, optional=strategies)


def meant(mode: str) -> st.SearchStrategy[Options]:
    old = mode != "v2"
    return some(
        memory=some(max=SIZE, low=SIZE, **({} if old else {"high": SIZE, "min": SIZE, "swap_max": SIZE, "oom_group": st.booleans()})),
        cpu=some(max=QUOTA, weight=st.integers(1, 10000)) | some(idle=st.booleans()),
        cpuset=some(cpus=st.sampled_from([[0], [1], [0, 1]]), mems=st.just([0])),
        pids=some(max=COUNT),
        hugetlb=some(**{"2MB": st.none() | st.integers(2 << 20, 1 << 30)}),
        io=some(max=st.dictionaries(st.sampled_from([DISK, OTHER_DISK]), some(**RATES).filter(bool), min_size=1), weight=st.integers(1, 10000)),
        # On v2 a program in the kernel holds them.
        **({"devices": DEVICES} if mode == "v1" else {}),
        controllers=st.lists(st.sampled_from(["memory", "io", "pids"]), min_size=1, unique=True),
        files=some(**({"memory.swappiness": st.integers(0, 100), "cpu.uclamp.min": st.integers(0, 99)} if old else {"cpu.uclamp.max": st.integers(0, 99)})),
    )


SPELLINGS = {
    "memory": dict.fromkeys(("max", "low", "high", "min", "swap_max"), limits) | {"oom_group": flags},
    "cpu": {"max": quotas, "weight": counts, "idle": flags},
    "cpuset": {"cpus": lists, "mems": lists},
    "pids": {"max": counts},
}
# The file that an option is, on every version.
BY_FILE = {("pids", "max"): "pids.max", ("cpuset", "cpus"): "cpuset.cpus", ("cpuset", "mems"): "cpuset.mems", ("cpu", "idle"): "cpu.idle"}


def spelled(asked: Options, dice: random.Random) -> Options:
    """One way to ask for it."""
    found: Options = {}
    files: Options = {name: dice.choice([value, str(value), "%d" % value]) for name, value in asked.get("files", {}).items()}
    for section, ways in SPELLINGS.items():
        for name, value in shuffled(asked.get(section, {}), dice).items():
            text = ways[name](value, dice)
            if (section, name) in BY_FILE and dice.random() < 0.3:
                files[BY_FILE[section, name]] = text
            else:
                found.setdefault(section, {})[name] = text
    for size, value in asked.get("hugetlb", {}).items():
        found["hugetlb"] = {dice.choice([size, "2M", "2MiB", "2048K", "2048kB"]): limits(value, dice)}
    if "io" in asked:
        found["io"] = io(asked["io"], dice)
    if "devices" in asked:
        found["devices"] = devices(asked["devices"], dice)
    if "controllers" in asked:
        names = dice.sample(asked["controllers"], len(asked["controllers"]))
        found["controllers"] = [dice.choice([name, "blkio"]) if name == "io" else name for name in names] + names[:1]
    if files:
        found["files"] = shuffled(files, dice)
    nothing = {name: None for name in ("rdma", "misc", "io", "memory", "frozen") if name not in found and dice.random() < 0.3}
    return shuffled({**found, **nothing}, dice)


def shuffled(options: Options, dice: random.Random) -> Options:
    return {name: options[name] for name in dice.sample(sorted(options), len(options))}


def io(asked: Options, dice: random.Random) -> Options:
    entries = []
    for device, limited in shuffled(asked.get("max", {}), dice).items():
        words = {name: rates(value, dice) if name.endswith("bps") else counts(value, dice) for name, value in shuffled(limited, dice).items()}
        major, minor = device.split(":")
        parts = [words] if dice.random() < 0.5 else [{name: word} for name, word in words.items()]
        entries += [{"device": dice.choice([device, "0%s:%s" % (major, minor)]), **part} for part in parts]
    found: Options = {"max": entries} if entries else {}
    if "weight" in asked:
        found["weight"] = counts(asked["weight"], dice)
    return found


def devices(asked: dict[tuple[str, int, int], set[str]], dice: random.Random) -> list[Options]:
    rules = []
    for kind, major, minor in dice.sample(sorted(asked), len(asked)):
        access = sorted(asked[kind, major, minor])
        parts = ["".join(dice.sample(access, len(access)))] if dice.random() < 0.6 else access
        for part in parts:
            rule = {"type": kind, "major": counts(major, dice), "minor": counts(minor, dice), "access": part}
            rules.append(rule if dice.random() < 0.5 else {**rule, "allow": flags(True, dice)})
    first = [{"type": "a", "allow": False}] if dice.random() < 0.3 else []
    return first + rules


def left(host: FakeHost, options: Options) -> list[dict[str, Any]]:
    return plan_groups(host, [parse_group({"name": "a/b", **options}, host)]).writes()


@pytest.mark.parametrize("mode", ["v1", "v2", "hybrid"])
def test_any_respelling_plans_nothing(mode: str) -> None:
    places = itertools.count()

    # What it finds is short enough as it is: to make it shorter takes minutes.
    @settings(max_examples=50, deadline=None, database=None, phases=[Phase.generate])
    @given(meant(mode), st.randoms(use_true_random=False))
    def check(asked: Options, dice: random.Random) -> None:
        host = make_host(Path(base) / str(next(places)), mode)
        first, *others = [spelled(asked, dice) for _spelling in range(4)]
        plans.apply(plan_groups(host, [parse_group({"name": "a/b", **first}, host)]))
        for other in others:
            assert left(host, other) == []
            assert canonical.same(first, other, host)
            assert canonical.objects(canonical.merge(first, other, host), host) == canonical.objects(first, host)

    with tempfile.TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None) as base:
        check()
