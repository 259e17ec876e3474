# SPDX-FileCopyrightText: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is told of groups and of the host, from the files of either version."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from ansible_collections.bulkhead.linux.plugins.module_utils._runtime import plan as plans
from ansible_collections.bulkhead.linux.plugins.module_utils._runtime.cgroup import capacity, info, inforce
from ansible_collections.bulkhead.linux.plugins.module_utils._runtime.cgroup.group import parse_group
from ansible_collections.bulkhead.linux.plugins.module_utils._runtime.cgroup.host import Hierarchy
from ansible_collections.bulkhead.linux.plugins.module_utils._runtime.cgroup.planning import plan_groups
from ansible_collections.bulkhead.linux.plugins.module_utils._runtime.cgroup.steps import pids_in
from ansible_collections.bulkhead.linux.plugins.module_utils._runtime.errors import InvalidInput
from fake_kernel import DISK, FakeHost

MIB = 1 << 20
LIMITS = {
    "memory": {"max": "100M", "low": "1M"},
    "cpu": {"max": 0.5, "weight": 250},
    "pids": {"max": 7},
    "io": {"max": [{"device": DISK, "wbps": "1M", "riops": 9}]},
}


def make(host: FakeHost, *groups: dict[str, object]) -> None:
    plans.apply(plan_groups(host, [parse_group(group, host) for group in groups]))


def test_limits_in_the_vocabulary_of_v2(host: FakeHost) -> None:
    make(host, {"name": "web", **LIMITS})
    limits = info.describe(host, "web")["limits"]
    wanted = {
        "memory.max": str(100 * MIB),
        "memory.low": str(MIB),
        "cpu.max": "50000 100000",
        "cpu.weight": "250",
        "pids.max": "7",
        "cpu.burst": "0",
        "cpu.idle": "0",
    }
    assert {option: limits[option] for option in wanted} == wanted
    if host.mode == "v2":
        assert limits["io.max"] == ["%s rbps=max wbps=%d riops=9 wiops=max" % (DISK, MIB)]
        assert limits["memory.high"] == "max"
    else:
        assert limits["io.max"] == ["%s riops=9" % DISK, "%s wbps=%d" % (DISK, MIB)]
        assert "memory.high" not in limits


def test_swap_is_told_without_the_memory(host: FakeHost) -> None:
    make(host, {"name": "web", "memory": {"max": "100M", "swap_max": "10M"}})
    assert info.describe(host, "web")["limits"]["memory.swap_max"] == str(10 * MIB)


def test_a_group_that_is_nowhere(host: FakeHost) -> None:
    assert info.describe(host, "none") == {"name": "none", "exists": False}


def test_a_group_that_is_removed_while_it_is_looked_at(host: FakeHost, monkeypatch: pytest.MonkeyPatch) -> None:
    make(host, {"name": "web", "pids": {"max": 5}})
    monkeypatch.setattr(info.steps, "pids_in", lambda hierarchy, name: hierarchy.tree.rmdir(name) or [])
    assert info.describe(host, "web") == {"name": "web", "exists": False}
    assert info.below(host, "web") == []


def test_where_a_group_is_and_what_is_below(hybrid: FakeHost) -> None:
    make(hybrid, {"name": "a/b", "pids": {"max": 5}}, {"name": "a/c", "memory": {"max": "1M"}})
    found = info.describe(hybrid, "a")
    assert found["hierarchies"] == {name: hybrid.tree(name).full("a") for name in ("memory", "pids")}
    assert found["children"] == ["b", "c"]
    assert info.below(hybrid, "a") == ["a/b", "a/c"]
    assert info.below(hybrid, "") == ["a", "a/b", "a/c"]
    assert info.below(hybrid, "none") == []


STAT_V1 = (
    "cache 1\nrss 1\ntotal_cache 4096\ntotal_rss 8192\ntotal_mapped_file 1024\n"
    "total_active_anon 5\ntotal_inactive_anon 6\ntotal_active_file 7\ntotal_inactive_file 8\n"
)
STAT_V2 = "anon 8192\nfile 4096\nfile_mapped 1024\nactive_anon 5\ninactive_anon 6\nactive_file 7\ninactive_file 8\n"


def test_memory_in_use(v1: FakeHost, v2: FakeHost) -> None:
    for host, stat, current in ((v1, STAT_V1, "memory.usage_in_bytes"), (v2, STAT_V2, "memory.current")):
        make(host, {"name": "web", "memory": {"max": "1G"}})
        tree = host.tree("memory")
        tree.put("web/memory.stat", stat)
        tree.put("web/" + current, "20480")
        if host is v1:
            tree.put("web/memory.memsw.usage_in_bytes", "24576")
        else:
            tree.put("web/memory.swap.current", "4096")
        memory = info.describe(host, "web")["memory"]
        wanted = {"anon": 8192, "file": 4096, "file_mapped": 1024, "active": 12, "inactive": 14, "current": 20480, "swap": 4096}
        assert {name: memory[name] for name in wanted} == wanted


def test_events(v1: FakeHost, v2: FakeHost) -> None:
    make(v1, {"name": "web", **LIMITS})
    v1.tree("memory").put("web/memory.failcnt", "31")
    v1.tree("memory").put("web/memory.oom_control", "oom_kill_disable 0\nunder_oom 0\noom_kill 2")
    v1.tree("pids").put("web/pids.events", "max 4")
    v1.tree("cpu").put("web/cpu.stat", "nr_periods 12\nnr_throttled 9\nthrottled_time 450000000")
    found = info.describe(v1, "web")
    assert found["events"] == {"memory.max": 31, "oom_kill": 2, "under_oom": 0, "pids.max": 4, "cpu.max": 9}
    assert found["cpu"]["throttled_usec"] == 450000
    make(v2, {"name": "web", **LIMITS})
    v2.trees[0].put("web/memory.events", "low 0\nhigh 5\nmax 31\noom 3\noom_kill 2")
    v2.trees[0].put("web/pids.events", "max 4")
    v2.trees[0].put("web/cpu.stat", "usage_usec 20143\nnr_periods 12\nnr_throttled 9\nthrottled_usec 450000")
    found = info.describe(v2, "web")
    assert found["events"] == {"memory.low": 0, "memory.high": 5, "memory.max": 31, "oom": 3, "oom_kill": 2, "pids.max": 4, "cpu.max": 9}
    assert found["cpu"]["usage_usec"] == 20143


def test_io_and_pressure(v2: FakeHost, v1: FakeHost) -> None:
    make(v2, {"name": "web", **LIMITS})
    v2.trees[0].put("web/io.stat", "8:0 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=0 dios=0")
    v2.trees[0].put("web/memory.pressure", "some avg10=1.50 avg60=0.00 avg300=0.00 total=77\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=7")
    found = info.describe(v2, "web")
    assert found["io"]["8:0"]["wbytes"] == 2
    assert found["pressure"]["memory"]["some"] == {"avg10": 1.5, "avg60": 0.0, "avg300": 0.0, "total": 77}
    make(v1, {"name": "web", **LIMITS})
    v1.tree("io").put("web/blkio.throttle.io_service_bytes_recursive", "8:0 Read 1\n8:0 Write 2\n8:0 Sync 3\nTotal 3")
    assert info.describe(v1, "web")["io"] == {"8:0": {"rbytes": 1, "wbytes": 2}}


def test_a_list_of_processes_that_is_longer_than_one_read(host: FakeHost) -> None:
    make(host, {"name": "web", "pids": {"max": 5}})
    pids = list(range(1000000, 1003000))
    host.tree("pids").put("web/cgroup.procs", "\n".join(map(str, pids)))
    hierarchy = host.hierarchy("pids", "test")
    assert pids_in(hierarchy, "web") == pids
    assert info.describe(host, "web")["processes"] == pids


def test_modes(v1: FakeHost, v2: FakeHost, hybrid: FakeHost) -> None:
    assert [host.mode for host in (v1, v2, hybrid)] == ["v1", "v2", "hybrid"]
    assert info.describe_host(hybrid)["controllers"]["memory"] == hybrid.tree("memory").path
    assert info.describe_host(v1)["controllers"]["cpuacct"] == info.describe_host(v1)["controllers"]["cpu"]


def test_sums_against_what_there_is(host: FakeHost) -> None:
    make(
        host,
        {"name": "a", "memory": {"max": "100M"}, "cpu": {"max": 0.5}, "pids": {"max": 5}},
        {"name": "b", "memory": {"max": "50M"}},
        {"name": "a/x", "memory": {"max": "30M"}},
    )
    memory = capacity.sums(host)["memory.max"]
    assert (memory["sum"], memory["limited"]) == (150 * MIB, 2)
    below = capacity.sums(host, "a")["memory.max"]
    assert (below["sum"], below["capacity"]) == (30 * MIB, 100 * MIB)
    assert capacity.sums(host)["cpu.max"]["sum"] == 0.5
    told = info.describe_host(host)
    assert told["sums"]["pids.max"]["sum"] == 5
    assert told["sums"]["pids.max"]["fits"]
    assert told["capacity"]["cpu.max"] == os.cpu_count()


def test_the_group_of_a_process(tmp_path: Path) -> None:
    """By /proc/PID/cgroup of this very process, in a hierarchy whose root is elsewhere."""
    own = Path("/proc/self/cgroup").read_text().splitlines()
    _number, controllers, path = own[-1].split(":", 2)
    version = 2 if own[-1].startswith("0::") else 1
    hierarchy = Hierarchy(version, str(tmp_path), controllers.split(",") if controllers else [])
    assert hierarchy.group_of(os.getpid()) == path.strip("/")
    assert hierarchy.group_of(4194000) is None
    assert Hierarchy(version, str(tmp_path), controllers.split(",") if controllers else [], root="/bh-nowhere").group_of(os.getpid()) is None
    assert Hierarchy(1, str(tmp_path), ["bh_nothing"]).group_of(os.getpid()) is None


def test_a_controller_that_is_bound_elsewhere_is_told(v2: FakeHost) -> None:
    with pytest.raises(InvalidInput, match="x needs the controller 'bh_nothing', which this machine does not offer: its kernel was built without it"):
        v2.hierarchy("bh_nothing", "x")


def test_the_smallest_limit_on_the_way_up_is_in_force(host: FakeHost) -> None:
    make(host, {"name": "a", "memory": {"max": "64M"}, "cpu": {"max": 2}}, {"name": "a/b", "memory": {"max": "100M"}, "cpu": {"max": 0.5}, "pids": {"max": 7}})
    make(host, {"name": "a/b/c", "cpu": {"max": "40ms 100ms"}, "pids": {"max": 9}})
    assert inforce.above("a/b/c") == ["a/b/c", "a/b", "a"]
    found = inforce.limits(host, inforce.above("a/b/c"))
    assert found["memory.max"] == (str(64 * MIB), "a")
    assert found["cpu.max"] == ("40000 100000", "a/b/c")
    assert found["pids.max"] == ("7", "a/b")


@pytest.mark.parametrize("frozen", [["a"], ["a/b"], ["a", "a/b/c"], []])
def test_frozen_is_what_a_group_above_is(frozen: list[str], host: FakeHost) -> None:
    """The fake kernel does not hand it down, so what the kernel shows below is written here."""
    make(host, {"name": "a/b/c", "pids": {"max": 9}, "frozen": False})
    tree = host.hierarchy_of("freezer").tree
    for name in inforce.above("a/b/c"):
        if host.hierarchy_of("freezer").version == 2:
            texts = {"cgroup.freeze": str(int(name in frozen)), "cgroup.events": "populated 1\nfrozen %d\n" % bool(frozen)}
        else:
            texts = {"freezer.self_freezing": str(int(name in frozen)), "freezer.state": "FROZEN" if frozen else "THAWED"}
        for file, text in texts.items():
            Path(tree.full("%s/%s" % (name, file))).write_text(text)
    assert sorted(inforce.frozen_by(host.hierarchy_of("freezer"), "a/b/c")) == frozen


def test_processes_of_the_groups_below(host: FakeHost) -> None:
    make(host, {"name": "box/payload/own", "pids": {"max": 5}}, {"name": "box", "pids": {"max": 9}})
    tree = host.tree("pids")
    tree.put("box/payload/cgroup.procs", "4194001\n4194002")
    tree.put("box/payload/own/cgroup.procs", "4194000")
    found = info.describe(host, "box")
    assert found["processes"] == [] and found["processes_below"] == [4194000, 4194001, 4194002]


def test_what_has_ended_and_still_counts(host: FakeHost, monkeypatch: pytest.MonkeyPatch) -> None:
    make(host, {"name": "box/payload", "pids": {"max": 5}}, {"name": "box", "pids": {"max": 9}})
    tree = host.tree("pids")
    tree.put("box/payload/%s" % ("tasks" if tree.version == 1 else "cgroup.threads"), "4194001\n4194002")
    for known, count in ((False, "2"), (True, "3")):
        tree.put("box/pids.current", count)
        looked: list[int] = []
        monkeypatch.setattr(info.processes, "every", lambda seen=looked: seen.append(1) or [os.getpid(), 7])
        monkeypatch.setattr(info.processes, "ended", lambda pid: 1 if pid == 7 else None)
        monkeypatch.setattr(Hierarchy, "group_of", lambda _self, _pid: "box/payload")
        assert info.describe(host, "box")["zombies"] == ([7] if known else [])
        assert bool(looked) is known  # all processes are looked at only where one is missing
