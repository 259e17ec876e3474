# SPDX-FileCopyrightText: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The order of a plan, what it refuses, and that it leads where it should, on trees that behave like the kernel's."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from typing import Any

import pytest
from ansible_collections.bulkhead.linux.plugins.module_utils._runtime import plan as plans
from ansible_collections.bulkhead.linux.plugins.module_utils._runtime.cgroup import steps, usage
from ansible_collections.bulkhead.linux.plugins.module_utils._runtime.cgroup.group import parse_group
from ansible_collections.bulkhead.linux.plugins.module_utils._runtime.cgroup.planning import GroupPlan, plan_groups
from ansible_collections.bulkhead.linux.plugins.module_utils._runtime.cgroup.report import report
from ansible_collections.bulkhead.linux.plugins.module_utils._runtime.errors import BulkheadError, InvalidInput
from ansible_collections.bulkhead.linux.plugins.module_utils._runtime.kernel import processes
from fake_kernel import CPUS, DISK, NODES, OTHER_DISK, RULES, FakeHost, cpulist

MIB = 1 << 20


def planned(host: FakeHost, *groups: dict[str, Any]) -> GroupPlan:
    return plan_groups(host, [parse_group(group, host) for group in groups])


def writes(host: FakeHost, *groups: dict[str, Any]) -> list[tuple[str, str | None]]:
    """(path below its hierarchy, what is written) of each step of the plan."""
    roots = sorted((hierarchy.path + "/" for hierarchy in host.hierarchies), key=len, reverse=True)
    found = []
    for step in planned(host, *groups):
        root = next(root for root in roots if step.target.startswith(root))
        found.append((step.target[len(root) :], step.after))
    return found


def converge(host: FakeHost, *groups: dict[str, Any]) -> GroupPlan:
    """Plan, apply, and see that nothing is left to do."""
    the_plan = planned(host, *groups)
    plans.apply(the_plan)
    left = planned(host, *groups)
    assert left.writes() == []
    return the_plan


def web(**options: Any) -> dict[str, Any]:
    return {"name": "web", **options}


# Making groups


def test_a_new_group_is_made_once_and_then_nothing(host: FakeHost) -> None:
    made = converge(host, web(pids={"max": 5}))
    assert made.fresh == {"web"}
    assert host.tree("pids").get("web/pids.max") == "5"
    assert planned(host, web(pids={"max": 5})).fresh == set()


def test_planning_writes_nothing(host: FakeHost) -> None:
    before = host.snapshot()
    assert writes(host, web(pids={"max": 5}, memory={"max": "1G"}))
    assert host.snapshot() == before
    assert host.log() == []


def test_groups_above_are_made_first(hybrid: FakeHost) -> None:
    assert writes(hybrid, {"name": "a/b/c", "pids": {"max": 5}}) == [
        ("a/", "directory"),
        ("a/b/", "directory"),
        ("a/b/c/", "directory"),
        ("a/b/c/pids.max", "5"),
    ]


def test_two_groups_below_one_new_parent_make_it_once(hybrid: FakeHost) -> None:
    found = writes(hybrid, {"name": "a/b", "pids": {"max": 5}}, {"name": "a/c", "pids": {"max": 6}}, {"name": "a"})
    assert found == [("a/", "directory"), ("a/", "directory"), ("a/b/", "directory"), ("a/b/pids.max", "5"), ("a/c/", "directory"), ("a/c/pids.max", "6")]
    plans.apply(planned(hybrid, {"name": "a/b", "pids": {"max": 5}}, {"name": "a/c", "pids": {"max": 6}}, {"name": "a"}))


def test_the_same_name_twice_in_one_call_is_refused(host: FakeHost) -> None:
    with pytest.raises(InvalidInput, match=r"group web is named twice in one call"):
        planned(host, web(pids={"max": 5}), web(memory={"max": "1G"}))


def test_present_below_absent_is_refused(host: FakeHost) -> None:
    with pytest.raises(InvalidInput, match=r"group web/a is to be present and group web above it absent"):
        planned(host, web(state="absent"), {"name": "web/a", "pids": {"max": 5}})


# v2: controllers handed down


def test_controllers_are_handed_down_from_the_root_and_no_more_than_needed(v2: FakeHost) -> None:
    assert writes(v2, {"name": "a/b", "pids": {"max": 5}, "memory": {"max": "1G"}}) == [
        ("cgroup.subtree_control", "+memory +pids"),
        ("a/", "directory"),
        ("a/cgroup.subtree_control", "+memory +pids"),
        ("a/b/", "directory"),
        ("a/b/pids.max", "5"),
        ("a/b/memory.max", str(1 << 30)),
    ]
    converge(v2, {"name": "a/b", "pids": {"max": 5}, "memory": {"max": "1G"}})
    # a/b itself hands nothing down, and what is there already is not written again.
    assert v2.trees[0].get("a/b/cgroup.subtree_control") == ""
    assert writes(v2, {"name": "a/b", "pids": {"max": 6}, "cpu": {"weight": 50}})[:2] == [
        ("cgroup.subtree_control", "+cpu"),
        ("a/cgroup.subtree_control", "+cpu"),
    ]


def test_a_group_of_the_hybrid_v2_hierarchy_gets_no_v1_controller(hybrid: FakeHost) -> None:
    assert sorted(writes(hybrid, web(hugetlb={"2MB": "4M"}, pids={"max": 5}))) == [
        ("cgroup.subtree_control", "+hugetlb"),
        ("web/", "directory"),
        ("web/", "directory"),
        ("web/hugetlb.2MB.max", str(4 * MIB)),
        ("web/pids.max", "5"),
    ]


def test_a_group_with_processes_cannot_hand_memory_down_and_the_reason_is_told(v2: FakeHost) -> None:
    converge(v2, web(pids={"max": 5}))
    v2.trees[0].put("web/cgroup.procs", str(os.getpid()))
    before = v2.snapshot()
    with pytest.raises(InvalidInput, match=r"holds %d \(.*\), so memory cannot be handed down" % os.getpid()) as caught:
        planned(v2, {"name": "web/a", "memory": {"max": "1G"}})
    assert "either processes or children" in caught.value.hint
    assert v2.snapshot() == before


def test_processes_are_refused_where_controllers_are_handed_down(v2: FakeHost) -> None:
    converge(v2, {"name": "web/a", "memory": {"max": "1G"}})
    with pytest.raises(InvalidInput, match=r"hands memory down to its child groups, so on cgroup v2 it may hold no processes") as caught:
        planned(v2, web(processes=[os.getpid()]))
    assert "child group" in caught.value.hint


@pytest.mark.parametrize("kind", ["threaded", "domain invalid", "domain threaded"])
def test_groups_of_another_type_take_no_processes(v2: FakeHost, kind: str) -> None:
    converge(v2, web(controllers=["cpu"]))
    v2.trees[0].put("web/cgroup.type", kind)
    with pytest.raises(InvalidInput, match=r"of type '%s'" % kind):
        planned(v2, web(processes=[os.getpid()]))


def test_a_process_that_is_not_there_is_named(host: FakeHost) -> None:
    with pytest.raises(InvalidInput, match=r"group web: there is no process 4194000"):
        planned(host, web(controllers=["pids"], processes=[4194000]))


# v1


def test_a_new_cpuset_has_what_its_parent_has(v1: FakeHost) -> None:
    assert writes(v1, {"name": "a/b", "cpuset": {"cpus": "0"}}) == [
        ("a/", "directory"),
        ("a/cpuset.cpus", CPUS),
        ("a/cpuset.mems", NODES),
        ("a/b/", "directory"),
        ("a/b/cpuset.mems", NODES),
        ("a/b/cpuset.cpus", "0"),
    ]


def test_a_new_cpuset_below_a_new_and_smaller_one_has_what_that_will_have(v1: FakeHost) -> None:
    converge(v1, {"name": "a", "cpuset": {"cpus": "0"}}, {"name": "a/b", "cpuset": {"mems": "0"}}, {"name": "a/b/c", "controllers": ["cpuset"]})
    assert v1.tree("cpuset").get("a/b/cpuset.cpus") == v1.tree("cpuset").get("a/b/c/cpuset.cpus") == "0"


def test_what_is_brought_back_gives_the_groups_above_the_cpus_that_they_lost(v1: FakeHost) -> None:
    group = {"name": "a/b/c", "cpuset": {"cpus": "0-1"}}
    converge(v1, group)
    tree = v1.tree("cpuset")
    names = ["a/b/c/cpuset.cpus", "a/b/cpuset.cpus", "a/cpuset.cpus"]
    for name in names:  # a CPU goes and returns
        tree.put(name, "0")
    with pytest.raises(BulkheadError, match="The parent group does not have all of these CPUs"):
        plans.apply(planned(v1, group))
    back = parse_group(group, v1)
    back.brought_back = True
    the_plan = plan_groups(v1, [back])
    assert [(step.target[len(tree.path) + 1 :], step.after) for step in the_plan] == [(name, "0-1") for name in reversed(names)]
    plans.apply(the_plan)
    assert plan_groups(v1, [back]).writes() == []
    plans.undo(the_plan.steps)
    assert [tree.get(name) for name in names] == ["0"] * 3


def test_what_was_made_with_all_of_the_group_above_follows_that(v1: FakeHost) -> None:
    """A container that no CPUs are asked for has them all again when one has gone and returned, and so have those inside it."""
    tree = v1.tree("cpuset")
    tree.mkdir("foreign")
    for file in ("cpuset.cpus", "cpuset.mems"):
        tree.put("foreign/" + file, "0")
    groups = [{"name": name, "controllers": ["cpuset"]} for name in ("bulkhead/own", "foreign/own", "asked/own")]
    converge(v1, *groups)
    tree.mkdir("bulkhead/own/payload")
    for name in ("bulkhead", "bulkhead/own", "bulkhead/own/payload", "foreign/own", "asked/own"):
        tree.put(name + "/cpuset.cpus", "0")
    converge(v1, {"name": "asked", "cpuset": {"cpus": "0"}})
    back = [parse_group(group, v1) for group in groups]
    for one in back:
        one.brought_back = one.follows = True
    the_plan = plan_groups(v1, back)
    assert [(step.target[len(tree.path) + 1 :], step.after) for step in the_plan if step.target.endswith("cpus")] == [
        ("bulkhead/cpuset.cpus", "0-1"),
        ("bulkhead/own/cpuset.cpus", "0-1"),
        ("bulkhead/own/payload/cpuset.cpus", "0-1"),
    ]
    plans.apply(the_plan)
    assert plan_groups(v1, back).writes() == []
    plans.undo(the_plan.steps)
    assert tree.get("bulkhead/own/payload/cpuset.cpus") == tree.get("bulkhead/cpuset.cpus") == "0"


def test_a_group_above_that_was_given_less_keeps_it(v1: FakeHost) -> None:
    above, group = {"name": "a", "cpuset": {"cpus": "0"}}, {"name": "a/b", "cpuset": {"cpus": "0-1"}}
    back = [parse_group(options, v1) for options in (above, group)]
    for one in back:
        one.brought_back = True
    with pytest.raises(BulkheadError, match="The parent group does not have all of these CPUs"):
        plans.apply(plan_groups(v1, back))


def test_a_soft_limit_that_the_kernel_does_not_keep_is_refused(v1: FakeHost, monkeypatch: pytest.MonkeyPatch) -> None:
    converge(v1, web(memory={"low": "1M"}))
    monkeypatch.setitem(RULES, next(rule for rule in RULES if "soft_limit" in rule), lambda *_write: None)
    before = v1.snapshot()
    with pytest.raises(BulkheadError, match=r"memory\.low cannot be had: .* keeps nothing of it") as caught:
        plans.apply(planned(v1, web(pids={"max": 5}, memory={"low": "2M"})))
    assert "leave it out" in caught.value.hint and v1.snapshot() == before


def memory_files(host: FakeHost, *groups: dict[str, Any]) -> list[tuple[str, str | None]]:
    return [(path.rpartition("/")[2], after) for path, after in writes(host, *groups) if "memory" in path]


def test_memory_and_swap_grow_together_with_the_sum_first(v1: FakeHost) -> None:
    converge(v1, web(memory={"max": "100M", "swap_max": "10M"}))
    assert memory_files(v1, web(memory={"max": "200M", "swap_max": "20M"})) == [
        ("memory.memsw.limit_in_bytes", str(220 * MIB)),
        ("memory.limit_in_bytes", str(200 * MIB)),
    ]
    converge(v1, web(memory={"max": "200M", "swap_max": "20M"}))


def test_memory_and_swap_shrink_together_with_memory_first(v1: FakeHost) -> None:
    converge(v1, web(memory={"max": "200M", "swap_max": "20M"}))
    assert memory_files(v1, web(memory={"max": "100M", "swap_max": "10M"})) == [
        ("memory.limit_in_bytes", str(100 * MIB)),
        ("memory.memsw.limit_in_bytes", str(110 * MIB)),
    ]
    converge(v1, web(memory={"max": "100M", "swap_max": "10M"}))


def test_memory_alone_takes_the_swap_beside_it_along(v1: FakeHost) -> None:
    converge(v1, web(memory={"max": "100M", "swap_max": "10M"}))
    for size in ("200M", "50M"):
        converge(v1, web(memory={"max": size}))
        tree = v1.tree("memory")
        assert int(tree.get("web/memory.memsw.limit_in_bytes")) - int(tree.get("web/memory.limit_in_bytes")) == 10 * MIB
    converge(v1, web(memory={"max": "max"}))


def test_swap_alone_is_added_to_the_memory_there_is(v1: FakeHost) -> None:
    converge(v1, web(memory={"max": "100M"}))
    converge(v1, web(memory={"swap_max": "10M"}))
    assert v1.tree("memory").get("web/memory.memsw.limit_in_bytes") == str(110 * MIB)
    converge(v1, web(memory={"swap_max": "max"}))


def test_swap_without_memory_is_refused_on_v1(v1: FakeHost, v2: FakeHost) -> None:
    with pytest.raises(InvalidInput, match=r"memory.swap_max needs memory.max beside it"):
        planned(v1, web(memory={"swap_max": "10M"}))
    converge(v2, web(memory={"swap_max": "10M"}))


def names(host: FakeHost, *groups: dict[str, Any]) -> list[str]:
    return [path for path, after in writes(host, *groups) if after != "directory" and "subtree" not in path]


def test_a_quota_grows_before_its_burst_and_shrinks_after_it(v1: FakeHost, v2: FakeHost) -> None:
    for host, quota, burst in ((v1, "cpu.cfs_quota_us", "cpu.cfs_burst_us"), (v2, "cpu.max", "cpu.max.burst")):
        small, large = web(cpu={"max": 0.5, "burst": "50ms"}), web(cpu={"max": 1, "burst": "100ms"})
        converge(host, small)
        assert names(host, large) == ["web/" + quota, "web/" + burst]
        converge(host, large)
        assert names(host, small) == ["web/" + burst, "web/" + quota]
        converge(host, small)


def test_a_new_group_gets_its_period_before_its_quota(v1: FakeHost) -> None:
    """150 ms in the default period would be more than the parent has, in the second that is asked for it is less."""
    converge(v1, {"name": "a", "cpu": {"max": 0.2}}, {"name": "a/b", "cpu": {"max": "150ms 1s"}})


def test_a_limit_comes_to_an_unlimited_group_period_first(v1: FakeHost) -> None:
    converge(v1, {"name": "a", "cpu": {"max": 0.2}}, {"name": "a/b", "controllers": ["cpu"]})
    converge(v1, {"name": "a/b", "cpu": {"max": "150ms 1s"}})
    converge(v1, {"name": "a/b", "cpu": {"max": "max"}})


@pytest.mark.parametrize("mode", ["v1", "v2"])
def test_nested_groups_shrink_from_the_leaves_and_grow_from_the_root(v1: FakeHost, v2: FakeHost, mode: str) -> None:
    host = {"v1": v1, "v2": v2}[mode]
    file = {"v1": "cpu.cfs_quota_us", "v2": "cpu.max"}[mode]

    def nest(cores: float) -> list[dict[str, Any]]:
        return [{"name": name, "cpu": {"max": cores}} for name in ("a", "a/b", "a/b/c")]

    converge(host, *nest(0.5))
    assert names(host, *nest(2)) == ["a/" + file, "a/b/" + file, "a/b/c/" + file]
    converge(host, *reversed(nest(2)))
    assert names(host, *nest(0.25)) == ["a/b/c/" + file, "a/b/" + file, "a/" + file]
    converge(host, *nest(0.25))


def test_one_gives_and_another_takes_in_one_call(v1: FakeHost) -> None:
    if len(cpulist(CPUS)) < 2:
        pytest.skip("this machine has one CPU: there is nothing to pass on")
    one, other = sorted(cpulist(CPUS))[:2]
    converge(v1, {"name": "a", "cpuset": {"cpus": str(one), "partition": "root"}}, {"name": "b", "cpuset": {"cpus": str(other)}})
    found = writes(v1, {"name": "a", "cpuset": {"partition": "member"}}, {"name": "b", "cpuset": {"cpus": str(one)}})
    assert found[0] == ("a/cpuset.cpu_exclusive", "0")
    converge(v1, {"name": "a", "cpuset": {"partition": "member"}}, {"name": "b", "cpuset": {"cpus": str(one)}})


def test_an_idle_group_becomes_one_with_a_weight_and_back(v1: FakeHost, v2: FakeHost) -> None:
    """While a group is idle the kernel takes no weight, and when it is no longer it has the default."""
    for host in (v1, v2):
        for weight in (250, 1):  # 1 is what an idle group reads as
            converge(host, web(cpu={"idle": True}))
            converge(host, web(cpu={"idle": False, "weight": weight}))
        converge(host, web(cpu={"idle": True}))


def test_a_weight_for_a_group_that_is_idle_already_is_refused(v1: FakeHost, v2: FakeHost) -> None:
    for host in (v1, v2):
        converge(host, web(cpu={"idle": True}))
        before = host.snapshot()
        with pytest.raises(InvalidInput, match=r"cpu.weight cannot be set: the group is idle"):
            converge(host, web(cpu={"weight": 250}))
        assert host.snapshot() == before


def test_a_weight_for_an_idle_group_is_refused(host: FakeHost) -> None:
    with pytest.raises(InvalidInput, match=r"cpu.weight.*idle"):
        planned(host, web(cpu={"idle": True, "weight": 250}))


def test_a_failure_after_idle_brings_the_weight_back(host: FakeHost) -> None:
    converge(host, web(cpu={"weight": 250}))
    before = host.snapshot()
    the_plan = planned(host, web(cpu={"idle": True}))

    class Fails(plans.Step):
        target = "nothing"

        def do(self) -> None:
            raise OSError(errno.EIO, "it broke")

    the_plan.steps.append(Fails())
    with pytest.raises(BulkheadError):
        plans.apply(the_plan)
    assert host.snapshot() == before


# Limits with keys


def test_io_max_changes_one_name_and_leaves_the_others(host: FakeHost) -> None:
    converge(host, web(io={"max": [{"device": DISK, "rbps": "10M", "wiops": 100}, {"device": OTHER_DISK, "wbps": 5}]}))
    made = converge(host, web(io={"max": [{"device": DISK, "rbps": "20M"}]}))
    assert len(made) == 1
    assert planned(host, web(io={"max": [{"device": DISK, "rbps": "20M", "wiops": 100}, {"device": OTHER_DISK, "wbps": 5}]})).writes() == []
    converge(host, web(io={"max": [{"device": DISK, "rbps": "max", "wiops": "max"}]}))
    assert planned(host, web(io={"max": [{"device": OTHER_DISK, "wbps": 5}]})).writes() == []


def test_files(v1: FakeHost, v2: FakeHost) -> None:
    converge(v1, web(files={"memory.swappiness": 10, "notify_on_release": 1}))
    assert planned(v1, web(files={"memory.swappiness": "0xa"})).writes() == []
    assert names(v1, web(files={"memory.swappiness": 20})) == ["web/memory.swappiness"]
    converge(v2, web(files={"cgroup.max.depth": 3}))
    assert names(v2, web(files={"cgroup.max.depth": "max"})) == ["web/cgroup.max.depth"]


def test_a_file_that_this_kernel_lacks_is_refused_before_anything_is_written(v1: FakeHost) -> None:
    os.unlink(os.path.join(v1.tree("memory").path, "memory.memsw.limit_in_bytes"))
    before = v1.snapshot()
    with pytest.raises(InvalidInput, match=r"this kernel has no .*memory.memsw.limit_in_bytes") as caught:
        planned(v1, web(memory={"max": "1G", "swap_max": "1G"}))
    assert "swapaccount=1" in caught.value.hint
    assert v1.snapshot() == before


# What would hurt


@pytest.mark.parametrize(("section", "file_v1", "file_v2"), [("memory", "memory.usage_in_bytes", "memory.current"), ("pids", "pids.current", "pids.current")])
def test_a_limit_below_what_is_in_use_is_refused_unless_forced(v1: FakeHost, v2: FakeHost, section: str, file_v1: str, file_v2: str) -> None:
    for host, file in ((v1, file_v1), (v2, file_v2)):
        converge(host, web(**{section: {"max": 1 << 21}}))
        host.tree(section).put("web/" + file, str(1 << 20))
        if section == "memory":
            host.tree(section).put("web/cgroup.events", "populated 1")
            host.tree(section).put("web/memory.stat", "total_unevictable %d" % (1 << 20))
        with pytest.raises(InvalidInput, match=r"group web: %s.max of .* is below the .*(1M|1048576).* in use now" % section) as caught:
            planned(host, web(**{section: {"max": 4096}}))
        assert "force: true" in caught.value.hint
        assert len(planned(host, web(**{section: {"max": 4096}}, force=True))) == 1
        assert len(planned(host, web(**{section: {"max": 1 << 20}}))) == 1


@pytest.mark.parametrize("limit", ["max", "high"])
def test_page_cache_is_no_hindrance(v2: FakeHost, limit: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernel reclaims it at once; what is left when that is done counts."""
    monkeypatch.setattr(usage, "_swap_free", lambda: 0)
    tree = v2.tree("memory")
    converge(v2, web(memory={limit: "8M"}))
    tree.put("web/memory.current", str(5 * MIB))
    tree.put("web/memory.stat", "anon %d\nactive_anon %d\nactive_file %d\ninactive_file %d\nslab_reclaimable %d" % (MIB, 2 * MIB, MIB, MIB, MIB))
    tree.put("web/cgroup.events", "populated 1\nfrozen 0")
    converge(v2, web(memory={limit: 2 * MIB}))
    if limit == "max":
        with pytest.raises(InvalidInput, match=r"memory.max of 1.5M .* is below the 2M \(2097152 bytes\) in use now"):
            planned(v2, web(memory={"max": 1572864}))
        monkeypatch.setattr(usage, "_swap_free", lambda: MIB)
        tree.put("web/memory.swap.max", "max")
        assert planned(v2, web(memory={"max": 1572864})).writes()
        monkeypatch.setattr(usage, "_swap_free", lambda: 0)
        tree.put("web/cgroup.events", "populated 0\nfrozen 0")
        assert planned(v2, web(memory={"max": 4096})).writes()


def test_v1_refuses_by_itself_what_it_cannot_reclaim(v1: FakeHost, monkeypatch: pytest.MonkeyPatch) -> None:
    """So a limit is refused beforehand only where it is certain to be: with page cache, the kernel is asked."""
    monkeypatch.setattr(usage, "_swap_free", lambda: 0)
    tree = v1.tree("memory")
    converge(v1, web(memory={"max": "8M"}))
    tree.put("web/memory.usage_in_bytes", str(5 * MIB))
    tree.put("web/memory.stat", "active_anon 0\ntotal_active_anon %d\ntotal_inactive_file %d" % (2 * MIB, 3 * MIB))
    assert planned(v1, web(memory={"max": "2M"})).writes()
    with pytest.raises(InvalidInput, match=r"memory.max of 1M .* is below the 2M"):
        planned(v1, web(memory={"max": "1M"}))
    with pytest.raises(BulkheadError, match=r"EBUSY.*More than that is in use and could not be reclaimed"):
        plans.apply(planned(v1, web(memory={"max": "1M"}, force=True)))


def test_force_is_named_only_to_those_who_have_it(v2: FakeHost) -> None:
    converge(v2, web(pids={"max": 50}))
    v2.tree("pids").put("web/pids.current", "9")
    for may, words in ((True, True), (False, False)):
        group = parse_group(web(pids={"max": 5}), v2, called="container web", may_force=may)
        with pytest.raises(InvalidInput, match=r"^container web: pids.max of 5 is below the 9 in use now") as caught:
            plan_groups(v2, [group])
        assert ("force" in caught.value.hint) is words
        with pytest.raises(InvalidInput, match=r"^container web: memory.max of 512 is less than the kernel counts in") as caught:
            parse_group(web(memory={"max": 512}), v2, called="container web", may_force=may)
        assert ("force" in caught.value.hint) is words


def nest_memory(parent: str, *children: str, overcommit: str) -> list[dict[str, Any]]:
    return [{"name": "a", "memory": {"max": parent}}] + [
        {"name": "a/%d" % number, "memory": {"max": size}, "overcommit": overcommit} for number, size in enumerate(children)
    ]


def test_overcommit_is_denied_warned_of_or_allowed(host: FakeHost) -> None:
    assert planned(host, *nest_memory("100M", "50M", "50M", overcommit="deny")).warnings == []
    with pytest.raises(InvalidInput, match=r"memory.max of the groups below /a adds up to 101M, and there is 100M"):
        planned(host, *nest_memory("100M", "50M", "51M", overcommit="deny"))
    (warning,) = planned(host, *nest_memory("100M", "50M", "51M", overcommit="warn")).warnings
    assert "adds up to 101M, and there is 100M" in warning
    assert planned(host, *nest_memory("100M", "50M", "51M", overcommit="allow")).warnings == []


def test_overcommit_counts_what_is_there_already(host: FakeHost) -> None:
    converge(host, *nest_memory("100M", "60M", overcommit="allow"))
    with pytest.raises(InvalidInput, match=r"adds up to 110M"):
        planned(host, {"name": "a/other", "memory": {"max": "50M"}, "overcommit": "deny"})
    assert len(planned(host, {"name": "a/other", "memory": {"max": "40M"}, "overcommit": "deny"})) > 0
    with pytest.raises(InvalidInput, match=r"below /a adds up to 60M, and there is 50M"):
        planned(host, {"name": "a", "memory": {"max": "50M"}, "overcommit": "deny"})


def test_overcommit_does_not_count_what_goes_in_the_same_call(host: FakeHost) -> None:
    converge(host, *nest_memory("100M", "60M", overcommit="allow"))
    other = {"name": "a/other", "memory": {"max": "60M"}, "overcommit": "deny"}
    with pytest.raises(InvalidInput, match=r"adds up to 120M"):
        planned(host, other)
    assert len(planned(host, {"name": "a/0", "state": "absent"}, other)) > 0


def test_overcommit_of_the_whole_machine(host: FakeHost) -> None:
    with pytest.raises(InvalidInput, match=r"cpu.max of the groups below / adds up to"):
        planned(host, web(cpu={"max": (os.cpu_count() or 1) + 1}, overcommit="deny"))


# Removing


def test_removing_goes_from_the_leaves_and_twice_does_nothing(host: FakeHost) -> None:
    group = {"name": "a/b/c", "pids": {"max": 5}, "memory": {"max": "1G"}}
    converge(host, group, {"name": "a/d", "pids": {"max": 5}})
    removed = converge(host, {"name": "a", "state": "absent"})
    for tree in host.trees:
        assert tree.groups() == []
    targets = [step.target for step in removed if step.target.startswith(host.tree("pids").path)]
    assert [target[len(host.tree("pids").path) :] for target in targets] == ["/a/b/c/", "/a/b/", "/a/d/", "/a/"]
    assert planned(host, {"name": "a", "state": "absent"}).writes() == []


def test_a_group_and_its_child_removed_in_one_call(host: FakeHost) -> None:
    converge(host, {"name": "a/b", "pids": {"max": 5}})
    converge(host, {"name": "a", "state": "absent"}, {"name": "a/b", "state": "absent"})


def test_one_removed_and_another_made_in_one_call(host: FakeHost) -> None:
    converge(host, {"name": "a", "pids": {"max": 5}})
    converge(host, {"name": "a", "state": "absent"}, {"name": "b", "pids": {"max": 5}})


def test_a_group_that_holds_processes_is_not_removed(host: FakeHost) -> None:
    converge(host, web(pids={"max": 5}))
    host.tree("pids").put("web/cgroup.procs", "4194000")
    with pytest.raises(InvalidInput, match=r"cannot be removed: it holds 4194000 \(gone\)") as caught:
        planned(host, web(state="absent"))
    assert "force: true" in caught.value.hint
    kill, *_removals = planned(host, web(state="absent", force=True))
    assert kill.after == "no processes"


def test_not_even_force_kills_the_run_itself(host: FakeHost) -> None:
    converge(host, web(pids={"max": 5}))
    host.tree("pids").put("web/cgroup.procs", "%d\n4194000" % os.getppid())
    with pytest.raises(InvalidInput, match=r"from which this very run comes"):
        planned(host, web(state="absent", force=True))


def test_a_removal_undone_brings_the_limits_back(host: FakeHost) -> None:
    group = web(pids={"max": 5}, memory={"max": "100M", "swap_max": "10M"}, cpu={"max": 0.5, "burst": "10ms", "weight": 250}, io={"weight": 300})
    converge(host, group)
    the_plan = planned(host, web(state="absent"))
    plans.apply(the_plan)
    assert plans.undo(the_plan.steps) == []
    assert planned(host, group).writes() == []


# What is reported


def test_check_mode_reports_what_would_hold(host: FakeHost) -> None:
    options = web(memory={"max": "100001"}, cpu={"max": 1.5, "weight": 33}, pids={"max": "max"}, io={"max": [{"device": DISK, "wbps": "10M"}]})
    groups = [parse_group(options, host)]
    (before,) = report(plan_groups(host, groups), groups)
    converge(host, options)
    (after,) = report(plan_groups(host, groups), groups)
    assert before == after
    page = os.sysconf("SC_PAGE_SIZE")
    assert after["asked"] == {"memory.max": "100001", "cpu.max": 1.5, "cpu.weight": 33, "pids.max": "max", "io.max %s wbps" % DISK: "10M"}
    assert after["effective"] == {
        "memory.max": str(100001 // page * page),
        "cpu.max": "150000 100000",
        "cpu.weight": "33",
        "pids.max": "max",
        "io.max %s wbps" % DISK: str(10 * MIB),
    }
    assert after["rounded"] == ["memory.max"]


def test_swap_is_reported_without_the_memory_on_v1(v1: FakeHost) -> None:
    options = web(memory={"max": "100M", "swap_max": "10M"})
    converge(v1, options)
    groups = [parse_group(options, v1)]
    (found,) = report(plan_groups(v1, groups), groups)
    assert found["effective"] == {"memory.max": str(100 * MIB), "memory.swap_max": str(10 * MIB)}
    assert found["rounded"] == []


def test_freezing_is_last_and_thawing_is_not(host: FakeHost) -> None:
    freezer = "web/cgroup.freeze" if host.mode == "v2" else "web/freezer.state"
    found = writes(host, web(pids={"max": 5}, frozen=True))
    assert found[-1][0] == freezer
    converge(host, web(pids={"max": 5}, frozen=True))
    converge(host, web(pids={"max": 6}, frozen=False))


def test_systemd_is_warned_of(v2: FakeHost) -> None:
    v2.systemd = True  # type: ignore[misc]
    assert "systemd owns" in planned(v2, web(pids={"max": 5})).warnings[0]


def test_a_process_that_has_ended_is_called_so(host: FakeHost) -> None:
    child = os.fork()
    if not child:
        os._exit(0)
    try:
        os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT)
        with pytest.raises(InvalidInput, match=r"process %d \(.*\) has ended and waits to be reaped by its parent, %d \(" % (child, os.getpid())):
            planned(host, web(controllers=["pids"], processes=[child]))
    finally:
        os.waitpid(child, 0)


def test_a_first_thread_that_has_ended_is_no_end_of_the_process() -> None:
    program = "import ctypes, threading, time; threading.Thread(target=time.sleep, args=(60,)).start(); print(flush=True); ctypes.CDLL(None).pthread_exit(None)"
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout and process.stdout.readline()
            assert steps.wait_until(lambda: (processes.read_text("/proc/%d/stat" % process.pid) or "").rpartition(")")[2].split()[0] == "Z", 10)
            assert processes.ended(process.pid) is None
            assert len(processes.live_threads_of(process.pid)) == 1
        finally:
            process.kill()
