# SPDX-FileCopyrightText: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whatever is asked for: when it is done, the plan is empty; and when the kernel refuses, everything is as it was."""

from __future__ import annotations

import itertools
import tempfile
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.bulkhead.linux.plugins.module_utils._runtime import plan as plans
from ansible_collections.bulkhead.linux.plugins.module_utils._runtime.cgroup.group import parse_group
from ansible_collections.bulkhead.linux.plugins.module_utils._runtime.cgroup.planning import GroupPlan, plan_groups
from ansible_collections.bulkhead.linux.plugins.module_utils._runtime.cgroup.report import report
from ansible_collections.bulkhead.linux.plugins.module_utils._runtime.errors import BulkheadError, InvalidInput
from fake_kernel import CPUS, DISK, OTHER_DISK, FakeHost, cpulist, make_host
from hypothesis import example, given, settings
from hypothesis import strategies as st

Options = dict[str, Any]
MAX = st.sampled_from(["max", "max", -1, "unlimited"])
SIZES = st.integers(1 << 16, 1 << 36) | st.builds("{}{}".format, st.integers(1, 999), st.sampled_from(["M", "G", "MiB", "gb"])) | MAX


def some(**strategies: st.SearchStrategy[Any]) -> st.SearchStrategy[Options]:
    return st.fixed_dictionaries({}, optional=strategies)


def memory(host_mode: str) -> st.SearchStrategy[Options]:
    limits = {"max": SIZES, "low": SIZES}
    if host_mode == "v2":
        limits |= {"high": SIZES, "min": SIZES, "swap_max": SIZES, "oom_group": st.booleans()}
        return some(**limits)
    # On v1 swap can be limited beside memory only.
    return some(**limits) | st.fixed_dictionaries({"max": SIZES, "swap_max": SIZES.filter(lambda size: size not in (-1, "max", "unlimited"))}).filter(
        lambda given: given["max"] not in (-1, "max", "unlimited")
    )


PERIODS = st.sampled_from(["", " 100ms", " 20ms", " 1s"])
BANDWIDTH = st.sampled_from([0.5, 1, "1.5", 2, 4]) | st.builds("{}ms{}".format, st.integers(1, 400), PERIODS.filter(bool)) | MAX
CPU = some(max=BANDWIDTH, weight=st.integers(1, 10000)) | some(idle=st.booleans()) | some(idle=st.just(False), weight=st.integers(1, 10000), max=BANDWIDTH)
RATES = st.integers(2, 10**12) | st.sampled_from(["10M", "1G/s", "max"])
COUNTS = st.integers(2, 10**12) | st.just("max")
DEVICE = st.fixed_dictionaries(
    {"device": st.sampled_from([DISK, OTHER_DISK])}, optional={"rbps": RATES, "wbps": RATES, "riops": COUNTS, "wiops": COUNTS}
).filter(lambda entry: len(entry) > 1)
SPANS = st.sampled_from([str(number) for number in sorted(cpulist(CPUS))[:3]] + [CPUS])


def group_options(mode: str) -> st.SearchStrategy[Options]:
    return some(
        memory=memory(mode),
        cpu=CPU,
        cpuset=some(cpus=SPANS, mems=st.just(0)),
        io=some(weight=st.integers(1, 10000), max=st.lists(DEVICE, max_size=2, unique_by=lambda entry: entry["device"])),
        pids=some(max=st.integers(0, 4194304) | MAX),
        hugetlb=some(**{"2MB": SIZES}),
        controllers=st.lists(st.sampled_from(["memory", "cpu", "io", "pids", "cpuacct"]), max_size=2, unique=True),
        frozen=st.booleans(),
        files=some(
            **({"memory.swappiness": st.integers(0, 100), "notify_on_release": st.booleans()} if mode != "v2" else {"cgroup.max.depth": st.integers(0, 9)})
        ),
    )


# Beside limits; a group that is removed and comes back must have them again.
FILES = {mode: {"notify_on_release": True, "memory.swappiness": 7} for mode in ("v1", "hybrid")} | {"v2": {"cgroup.max.depth": 3}}
SMALL = str(min(cpulist(CPUS)))
NAMES = ["a", "a/b", "a/b/c", "a/d", "e"]


def calls(mode: str) -> st.SearchStrategy[list[Options]]:
    """The groups of one call."""
    present = st.builds(lambda name, options: {"name": name, **options}, st.sampled_from(NAMES), group_options(mode))
    absent = st.builds(lambda name: {"name": name, "state": "absent"}, st.sampled_from(NAMES))
    return st.lists(present | present | present | absent, min_size=1, max_size=3, unique_by=lambda group: group["name"])


def planned(host: FakeHost, groups: list[Options]) -> GroupPlan:
    return plan_groups(host, [parse_group(group, host) for group in groups])


# What only the kernel can know: on v1, that a child would have more than its parent, or CPUs that its parent lacks.
REFUSALS = {"EINVAL", "EACCES", "EBUSY"}


@pytest.mark.parametrize("mode", ["v1", "v2", "hybrid"])
def test_the_plan_of_the_result_is_empty(mode: str) -> None:
    outcomes = {"done": 0, "refused by us": 0, "refused by the kernel": 0}
    places = itertools.count()

    @settings(max_examples=60, deadline=None, database=None)
    @given(st.lists(calls(mode), min_size=1, max_size=3))
    @example([[{"name": "a/b/c", "files": FILES[mode]}], [{"name": "a/b/c", "state": "absent"}, {"name": "a", "cpuset": {"cpus": SMALL}}]])
    def check(sequence: list[list[Options]]) -> None:
        host = make_host(Path(base) / str(next(places)), mode)
        for groups in sequence:
            before = host.snapshot()
            try:
                the_plan = planned(host, groups)
            except InvalidInput:
                outcomes["refused by us"] += 1
                assert host.snapshot() == before
                continue
            try:
                plans.apply(the_plan)
            except BulkheadError as error:
                outcomes["refused by the kernel"] += 1
                assert mode != "v2", str(error)
                assert error.facts()["errno"] in REFUSALS
                assert any(word in error.target for word in ("cpu.cfs_", "cpuset.", "cpu.shares")), str(error)
                assert error.undo_failures == []
                assert host.snapshot() == before
                continue
            outcomes["done"] += 1
            objects = [parse_group(group, host) for group in groups]
            left = plan_groups(host, objects)
            assert left.writes() == []
            for entry in report(left, objects):
                assert set(entry["rounded"]) <= set(entry["effective"]) == set(entry["asked"])
            # The same again writes nothing, however often.
            done = len(host.log())
            plans.apply(planned(host, groups))
            assert len(host.log()) == done
            # And all of it can be undone.
            after = host.snapshot()
            if not any(group.get("state") == "absent" for group in groups):
                assert plans.undo(the_plan.steps) == []
                assert host.snapshot() == before
                plans.apply(planned(host, groups))
                assert host.snapshot() == after

    with tempfile.TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None) as base:
        check()
    # Most of what is asked for can be done, or this has shown little.
    assert outcomes["done"] > 2 * outcomes["refused by us"] + 2 * outcomes["refused by the kernel"], outcomes
