# SPDX-FileCopyrightText: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Changes for which there is an order that the kernel takes, on v1: that one is found, and everything can be undone."""

from __future__ import annotations

import errno
import itertools
import os
import tempfile
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.bulkhead.linux.plugins.module_utils._runtime import plan as plans
from ansible_collections.bulkhead.linux.plugins.module_utils._runtime.cgroup import steps
from ansible_collections.bulkhead.linux.plugins.module_utils._runtime.cgroup.group import parse_group
from ansible_collections.bulkhead.linux.plugins.module_utils._runtime.cgroup.planning import GroupPlan, plan_groups
from ansible_collections.bulkhead.linux.plugins.module_utils._runtime.errors import InvalidInput
from ansible_collections.bulkhead.linux.plugins.module_utils._runtime.kernel import cgroupfs
from fake_kernel import CPUS, DISK, FakeHost, cpulist, make_host
from hypothesis import given, settings
from hypothesis import strategies as st

TWO = pytest.mark.skipif(len(cpulist(CPUS)) < 2, reason="this machine has one CPU: there is nothing to pass on")
QUOTA, PERIOD = "cpu.cfs_quota_us", "cpu.cfs_period_us"


def planned(host: FakeHost, *groups: dict[str, Any], follows: tuple[str, ...] = ()) -> GroupPlan:
    objects = [parse_group(group, host) for group in groups]
    for group in objects:
        group.follows = group.name in follows
    return plan_groups(host, objects)


def converge(host: FakeHost, *groups: dict[str, Any], follows: tuple[str, ...] = ()) -> list[tuple[str, str | None]]:
    """Plan, apply, see that nothing is left, that it can be undone and done once more; returns (file, value) of each step."""
    before = host.snapshot()
    the_plan = planned(host, *groups, follows=follows)
    plans.apply(the_plan)
    after = host.snapshot()
    assert planned(host, *groups, follows=follows).writes() == []
    assert plans.undo(the_plan.steps) == []
    assert host.snapshot() == before
    plans.apply(planned(host, *groups, follows=follows))
    assert host.snapshot() == after
    roots = tuple(hierarchy.path + "/" for hierarchy in host.hierarchies)
    return [(next(step.target[len(root) :] for root in roots if step.target.startswith(root)), step.after) for step in the_plan]


def cpu(name: str, most: str) -> dict[str, Any]:
    return {"name": name, "cpu": {"max": most}}


# Quota and period


def test_a_period_changes_above_a_group_with_a_limit(v1: FakeHost) -> None:
    child = cpu("a/c", "60ms 100ms")
    converge(v1, cpu("a", "100ms 100ms"), child)
    assert converge(v1, cpu("a", "140ms 200ms")) == [("a/" + QUOTA, "140000"), ("a/" + PERIOD, "200000")]
    assert converge(v1, cpu("a", "100ms 100ms")) == [("a/" + PERIOD, "100000"), ("a/" + QUOTA, "100000")]
    converge(v1, cpu("a", "140ms 200ms"), child)


def test_neither_order_fits_between_a_parent_and_a_child(v1: FakeHost) -> None:
    """The group has no limit of its own for a moment: it is within that of its parent all the while."""
    converge(v1, cpu("a", "120ms 100ms"), cpu("a/b", "100ms 100ms"), cpu("a/b/c", "60ms 100ms"))
    assert converge(v1, cpu("a/b", "140ms 200ms")) == [
        ("a/b/" + QUOTA, "-1"),
        ("a/b/" + PERIOD, "200000"),
        ("a/b/" + QUOTA, "140000"),
    ]


def test_parent_and_child_change_their_periods_together(v1: FakeHost) -> None:
    converge(v1, cpu("a", "100ms 100ms"), cpu("a/c", "90ms 100ms"))
    converge(v1, cpu("a", "20ms 50ms"), cpu("a/c", "300ms 1s"))
    converge(v1, cpu("a", "200ms 50ms"), cpu("a/c", "10ms 10ms"))
    converge(v1, cpu("a", "max"), cpu("a/c", "90ms 100ms"))
    converge(v1, cpu("a", "100ms 100ms"), cpu("a/c", "max 50ms"))


def test_any_tree_of_quotas_becomes_any_other() -> None:
    """Whenever both ends are allowed, there is a way."""
    places = itertools.count()
    quota = st.sampled_from(["10ms 10ms", "5ms 50ms", "60ms 100ms", "100ms 100ms", "140ms 200ms", "400ms 1s", "900ms 1s", "150ms 100ms", "max", "max 20ms"])
    tree = st.fixed_dictionaries({"a": quota, "a/b": quota, "a/b/c": quota, "a/d": quota})

    def clipped(quotas: dict[str, str]) -> dict[str, str]:
        """The same without limits that are above that of the parent."""
        worth: dict[str, float] = {"": float("inf")}
        found = {}
        for name, text in sorted(quotas.items()):
            most, _space, period = text.replace("ms", "").replace("1s", "1000").partition(" ")
            above = worth[name.rpartition("/")[0]]
            own = above if most == "max" else int(most) / int(period)
            found[name] = text if own <= above else "max"
            worth[name] = min(own, above)
        return found

    @settings(max_examples=60, deadline=None, database=None)
    @given(tree.map(clipped), tree.map(clipped))
    def check(one: dict[str, str], other: dict[str, str]) -> None:
        host = make_host(Path(base) / str(next(places)), "v1")
        converge(host, *(cpu(*item) for item in one.items()))
        converge(host, *(cpu(*item) for item in other.items()))

    with tempfile.TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None) as base:
        check()


def test_a_burst_in_the_way_is_named_before_the_first_write(v1: FakeHost, v2: FakeHost) -> None:
    for host in (v1, v2):
        converge(host, {"name": "a", "cpu": {"max": 1, "burst": "80ms"}})
        before = host.snapshot()
        with pytest.raises(InvalidInput, match=r"group a: the quota of cpu.max, 50000 us, is less than the burst that the group has, 80000 us") as caught:
            planned(host, cpu("a", "0.5"))
        assert "cpu.burst can be as much as the quota" in caught.value.hint
        with pytest.raises(InvalidInput, match=r"is less than the burst that is asked for, 200000 us"):
            planned(host, {"name": "a", "cpu": {"burst": "200ms"}})
        with pytest.raises(InvalidInput, match=r"is less than the burst that is asked for, 200000 us"):
            planned(host, {"name": "new", "cpu": {"burst": "200ms", "max": 1}})
        assert host.snapshot() == before
        converge(host, {"name": "a", "cpu": {"max": 0.5, "burst": "50ms"}})
        converge(host, {"name": "a", "cpu": {"max": "max", "burst": "200ms"}})


# Sets of CPUs


def cpus(name: str, text: str) -> dict[str, Any]:
    return {"name": name, "cpuset": {"cpus": text}}


@TWO
def test_nested_groups_move_to_other_cpus(v1: FakeHost) -> None:
    converge(v1, cpus("a", "0"), cpus("a/b", "0"))
    assert converge(v1, cpus("a", "1"), cpus("a/b", "1")) == [("a/cpuset.cpus", "0-1"), ("a/b/cpuset.cpus", "1"), ("a/cpuset.cpus", "1")]
    converge(v1, cpus("a", "0-1"), cpus("a/b", "0"))


@TWO
def test_any_tree_of_sets_becomes_any_other() -> None:
    places = itertools.count()
    sets = st.sampled_from(["0", "1", "0-1"])
    tree = st.fixed_dictionaries({"a": sets, "a/b": sets, "a/b/c": sets, "a/d": sets})

    def clipped(asked: dict[str, str]) -> dict[str, str]:
        """The same, no group with more than its parent."""
        found: dict[str, str] = {}
        for name, text in sorted(asked.items()):
            above = found.get(name.rpartition("/")[0], "0-1")
            found[name] = text if cpulist(text) <= cpulist(above) else above
        return found

    @settings(max_examples=40, deadline=None, database=None)
    @given(tree.map(clipped), tree.map(clipped))
    def check(one: dict[str, str], other: dict[str, str]) -> None:
        host = make_host(Path(base) / str(next(places)), "v1")
        converge(host, *(cpus(*item) for item in one.items()))
        converge(host, *(cpus(*item) for item in other.items()))

    with tempfile.TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None) as base:
        check()


def test_an_empty_cpuset_on_the_way_is_filled(v1: FakeHost) -> None:
    tree = v1.tree("cpuset")
    tree.mkdir("theirs")
    tree.mkdir("theirs/inner")
    found = converge(v1, cpus("theirs/inner/a", "0"))
    assert found == [
        ("theirs/cpuset.cpus", CPUS),
        ("theirs/cpuset.mems", "0"),
        ("theirs/inner/cpuset.cpus", CPUS),
        ("theirs/inner/cpuset.mems", "0"),
        ("theirs/inner/a/", "directory"),
        ("theirs/inner/a/cpuset.mems", "0"),
        ("theirs/inner/a/cpuset.cpus", "0"),
    ]


def test_an_empty_cpuset_itself_is_filled(v1: FakeHost) -> None:
    v1.tree("cpuset").mkdir("theirs")
    assert converge(v1, {"name": "theirs", "controllers": ["cpuset"]}) == [("theirs/cpuset.cpus", CPUS), ("theirs/cpuset.mems", "0")]
    v1.tree("cpuset").mkdir("other")
    converge(v1, {"name": "other", "cpuset": {"cpus": "0"}}, {"name": "other/a", "controllers": ["cpuset"]})
    assert v1.tree("cpuset").get("other/a/cpuset.cpus") == "0"


# Groups below that give way


def container(host: FakeHost, **options: Any) -> dict[str, Any]:
    """A group that follows, with what a container has below it and what is made inside of the container."""
    group = {"name": "p/box", **options}
    converge(
        host,
        group,
        {"name": "p/box/payload", "controllers": ["cpu", "cpuset"]},
        {"name": "p/box/supervisor", "controllers": ["cpu", "cpuset"]},
        follows=("p/box",),
    )
    for tree in (host.tree("cpu"), host.tree("cpuset")):
        tree.mkdir("p/box/payload/own")
        tree.mkdir("p/box/payload/own/deep")
    return group


def test_a_quota_inside_does_not_hold_up_one_above(v1: FakeHost) -> None:
    container(v1, cpu={"max": 1})
    tree = v1.tree("cpu")
    for group in ("p/box/payload", "p/box/payload/own", "p/box/payload/own/deep"):
        tree.write(group + "/" + QUOTA, "90000")
    assert converge(v1, cpu("p/box", "0.5"), follows=("p/box",))[-1] == ("p/box/" + QUOTA, "50000")
    assert tree.get("p/box/payload/own/" + QUOTA) == "-1"


def test_nor_one_further_above_that_knows_nothing_of_containers(v1: FakeHost) -> None:
    container(v1, controllers=["cpu", "cpuset"])
    tree = v1.tree("cpu")
    tree.write("p/box/payload/own/" + QUOTA, "90000")
    converge(v1, cpu("p", "0.5"))
    assert tree.get("p/box/payload/own/" + QUOTA) == "-1"


def test_a_group_that_was_given_a_quota_keeps_it(v1: FakeHost) -> None:
    container(v1, cpu={"max": "60ms 100ms"})
    with pytest.raises(Exception, match="EINVAL"):
        plans.apply(planned(v1, cpu("p", "0.5")))


def test_what_changes_inside_between_plan_and_write_gives_way_too(v1: FakeHost, monkeypatch: pytest.MonkeyPatch) -> None:
    def write(file: str, text: str, directory: int) -> None:
        path = os.readlink("/proc/self/fd/%d" % directory)
        tree = next(tree for tree in v1.trees if path.startswith(tree.path + "/"))
        tree.write("%s/%s" % (path[len(tree.path) + 1 :], file), text)

    monkeypatch.setattr(cgroupfs, "write", write)
    container(v1, cpu={"max": 1}, cpuset={"cpus": CPUS})
    the_plan = planned(v1, {"name": "p/box", "cpu": {"max": 0.5}, "cpuset": {"cpus": "0"}}, follows=("p/box",))
    v1.tree("cpu").write("p/box/payload/own/" + QUOTA, "90000")
    for group in ("p/box/payload/own", "p/box/payload/own/deep"):
        v1.tree("cpuset").write(group + "/cpuset.cpus", CPUS)
    plans.apply(the_plan)
    assert v1.tree("cpu").get("p/box/" + QUOTA) == "50000"
    assert {v1.tree("cpuset").get(group + "/cpuset.cpus") for group in ("p/box", "p/box/payload/own", "p/box/payload/own/deep")} == {"0"}


@TWO
def test_sets_inside_follow_or_are_made_to_fit(v1: FakeHost) -> None:
    container(v1, cpuset={"cpus": "0-1"})
    tree = v1.tree("cpuset")
    for group, text in (("p/box/payload/own", "0-1"), ("p/box/payload/own/deep", "1")):
        tree.write(group + "/cpuset.cpus", text)
    names = ("p/box", "p/box/payload", "p/box/supervisor", "p/box/payload/own", "p/box/payload/own/deep")
    held = {}
    for text in ("0", "0-1", "1", "0"):
        converge(v1, cpus("p/box", text), follows=("p/box",))
        held[text] = [tree.get(name + "/cpuset.cpus") for name in names]
        assert held[text][:3] == [text] * 3
    assert held["0"] == ["0"] * 5
    assert held["1"] == ["1"] * 5


@TWO
def test_exclusive_cpus_inside_are_let_go(v1: FakeHost) -> None:
    converge(v1, {"name": "p", "cpuset": {"cpus": "0-1", "partition": "root"}})
    container(v1, cpuset={"cpus": "0-1", "partition": "root"})
    tree = v1.tree("cpuset")
    tree.write("p/box/supervisor/cpuset.cpus", "1")
    tree.write("p/box/payload/cpuset.cpus", "0")
    tree.write("p/box/payload/cpuset.cpu_exclusive", "1")
    converge(v1, {"name": "p/box", "cpuset": {"partition": "member"}}, follows=("p/box",))
    assert tree.get("p/box/payload/cpuset.cpu_exclusive") == "0"


def test_only_a_group_that_follows_is_marked(v1: FakeHost) -> None:
    container(v1, cpu={"max": 1})
    assert {path for path, _name in v1.tree("cpu").marks} == {"p/box"}


def test_a_group_that_fights_on_is_told_of(v1: FakeHost, monkeypatch: pytest.MonkeyPatch) -> None:
    container(v1, cpu={"max": 1})
    v1.tree("cpu").write("p/box/payload/own/" + QUOTA, "90000")
    the_plan = planned(v1, cpu("p/box", "0.5"), follows=("p/box",))
    monkeypatch.setattr(steps.Fit, "do", lambda _step: None)
    for step in the_plan:
        if isinstance(step, steps.SetKnob):
            step.clear = lambda: None
    with pytest.raises(Exception, match=os.strerror(errno.EINVAL)):
        plans.apply(the_plan)


def test_rates_of_disks_are_passed_on(v1: FakeHost) -> None:
    """They hold for a group and not for those below it: what is inside of a container is given the container's."""
    rate = {"io": {"max": [{"device": DISK, "rbps": "10M"}]}}
    container(v1, **rate, controllers=["cpu", "cpuset"])
    tree = v1.tree("io")
    for name in ("p/box/payload", "p/box/supervisor", "p/box/payload/own"):
        tree.mkdir(name)
    found = converge(v1, {"name": "p/box", "io": {"max": [{"device": DISK, "rbps": "20M"}]}}, follows=("p/box",))
    file = "blkio.throttle.read_bps_device"
    assert sorted(path for path, _text in found) == sorted("%s/%s" % (name, file) for name in ("p/box", "p/box/payload", "p/box/supervisor"))
    assert tree.get("p/box/payload/" + file) == "%s %d" % (DISK, 20 << 20)
    converge(v1, {"name": "p/box", "io": {"max": [{"device": DISK, "rbps": "max"}]}}, follows=("p/box",))
    assert tree.get("p/box/payload/" + file) == ""


NULL, TTY = {"type": "c", "major": 1, "minor": 3}, {"type": "c", "major": 5, "minor": 0}


def test_devices_are_passed_on(v1: FakeHost) -> None:
    container(v1, devices=[NULL], controllers=["cpu", "cpuset"])
    tree = v1.tree("devices")
    for name in ("p/box/payload", "p/box/supervisor", "p/box/payload/own"):
        tree.mkdir(name)
    converge(v1, {"name": "p/box", "devices": [NULL, TTY]}, follows=("p/box",))
    assert tree.get("p/box/payload/devices.list") == tree.get("p/box/supervisor/devices.list") == "c 1:3 rwm\nc 5:0 rwm"
    assert tree.get("p/box/payload/own/devices.list") == "c 1:3 rwm"
    converge(v1, {"name": "p/box", "devices": [TTY]}, follows=("p/box",))
    assert tree.get("p/box/payload/devices.list") == "c 5:0 rwm"
    converge(v1, {"name": "p/box", "devices": [{"type": "a"}]}, follows=("p/box",))
    with pytest.raises(InvalidInput, match=r"it may use everything and has groups below it") as caught:
        planned(v1, {"name": "p/box", "devices": [NULL]})
    assert "when it is stopped" in caught.value.hint


# Ending what runs


def test_all_kills_of_a_plan_begin_before_the_first_is_waited_for(host: FakeHost, monkeypatch: pytest.MonkeyPatch) -> None:
    names = ["a", "b", "c/d"]
    for name in names:
        converge(host, {"name": name, "pids": {"max": 5}})
        host.tree("pids").put(name + "/cgroup.procs", "4194000")
    the_plan = planned(host, *({"name": name, "state": "absent", "force": True} for name in names))
    events: list[tuple[str, str]] = []

    def signal(kill: steps.KillGroup, number: int) -> bool:
        events.append((kill.group, "begin" if not events or (number == 0 and (kill.group, "begin") not in events) else "look"))
        return len(events) <= len(names)

    monkeypatch.setattr(steps.KillGroup, "_signal", signal)
    kills = [step for step in the_plan if isinstance(step, steps.KillGroup)]
    assert [kill.group for kill in kills] == ["c/d", "a", "b"] and the_plan.steps[: len(kills)] == kills
    for kill in kills:
        kill.do()
    assert [what for _name, what in events[:3]] == ["begin"] * 3
    assert [name for name, _what in events[:3]] == [kill.group for kill in kills]


def test_a_group_that_appears_is_removed_with_the_one_it_is_in(host: FakeHost, monkeypatch: pytest.MonkeyPatch) -> None:
    converge(host, {"name": "a", "pids": {"max": 5}})
    the_plan = planned(host, {"name": "a", "state": "absent"})
    tree = host.tree("pids")
    tree.mkdir("a/late")
    monkeypatch.setattr(cgroupfs, "remove_tree", lambda parent, name: [tree.rmdir(group) for group in ("a/late", "a")])
    plans.apply(the_plan)
    assert tree.groups() == []
