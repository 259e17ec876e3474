# SPDX-FileCopyrightText: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""From options to a desired group; whatever cannot be right is refused before anything is written, and named."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.bulkhead.linux.plugins.module_utils._runtime.cgroup.group import Group, check_name, parse_group
from ansible_collections.bulkhead.linux.plugins.module_utils._runtime.cgroup.host import Host
from ansible_collections.bulkhead.linux.plugins.module_utils._runtime.errors import InvalidInput, Unsupported
from fake_kernel import DISK, FakeHost


def parsed(host: Host, **options: Any) -> Group:
    return parse_group({"name": "web", **options}, host)


def files(group: Group) -> dict[str, str]:
    """{file: what would be written} for its settings."""
    return {setting.file.name: setting.file.format.written(setting.value, setting.key) for setting in group.settings}


@pytest.mark.parametrize("name", ["web", "web/frontend", "a/b/c", "web.old", "cpu", "memory", "web server", "ünï", "x" * 255, "tasks2", "cpus.max"])
def test_names(name: str) -> None:
    assert check_name(name) == name


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("", "is empty"),
        (None, "is empty"),
        ("/", "is empty"),
        ("//", "is empty"),
        ("/web", "is absolute"),
        ("/sys/fs/cgroup/web", "is absolute"),
        ("..", r"component '\.\.'"),
        ("../web", r"component '\.\.'"),
        ("web/../../etc", r"component '\.\.'"),
        ("web/..", r"component '\.\.'"),
        (".", r"component '\.'"),
        ("web/./x", r"component '\.'"),
        ("web//x", "component ''"),
        ("web/", "component ''"),
        ("web\nx", "newline"),
        ("web\0x", "a NUL"),
        ("web/\ud800", "half of a character"),
        ("x" * 256, "255 bytes"),
        ("ü" * 128, "255 bytes"),
        ("cgroup.procs", "interface file"),
        ("web/memory.max", "interface file"),
        ("cpu.anything", "interface file"),
        ("io.x/web", "interface file"),
        ("blkio.x", "interface file"),
        ("hugetlb.2MB.max", "interface file"),
        ("tasks", "interface file"),
        ("web/notify_on_release", "interface file"),
        ("release_agent", "interface file"),
    ],
)
def test_names_refused(name: object, why: str) -> None:
    with pytest.raises(InvalidInput, match=why):
        check_name(name)


BAD = [
    # empty values, which the kernel reads as 0
    ({"memory": {"max": ""}}, "memory.max is empty"),
    ({"memory": {"swap_max": " "}}, "memory.swap_max is empty"),
    ({"memory": {"max": "\n"}}, "memory.max is empty"),
    ({"cpu": {"max": ""}}, "cpu.max is empty"),
    ({"cpu": {"weight": ""}}, "cpu.weight is empty"),
    ({"pids": {"max": ""}}, "pids.max is empty"),
    ({"cpuset": {"cpus": ""}}, "cpuset.cpus is empty"),
    ({"cpuset": {"cpus": ","}}, "cpuset.cpus is empty"),
    ({"cpuset": {"mems": "\n"}}, "cpuset.mems is empty"),
    ({"io": {"weight": ""}}, "io.weight is empty"),
    ({"io": {"max": [{"device": DISK, "rbps": ""}]}}, "io.max 8:0 rbps is empty"),
    ({"io": {"max": [{"device": "", "rbps": 5}]}}, "io.max: the device is empty"),
    ({"hugetlb": {"2MB": ""}}, "hugetlb.2MB is empty"),
    ({"files": {"memory.swappiness": ""}}, "memory.swappiness is empty"),
    # units that there are not, or that the kernel would misread
    ({"memory": {"max": "512X"}}, "memory.max: unknown unit 'X'"),
    ({"memory": {"max": "lots"}}, "memory.max: 'lots' is not a number"),
    ({"memory": {"max": -5}}, "memory.max: '-5' is not a number"),
    ({"memory": {"max": True}}, "memory.max: True is not a number"),
    ({"memory": {"max": "9E9"}}, "memory.max: '9E9'"),
    ({"memory": {"max": "16E"}}, "more than the kernel can count"),
    ({"io": {"max": [{"device": DISK, "rbps": "10Mbit"}]}}, "counts in bits"),
    ({"io": {"max": [{"device": DISK, "riops": "10K"}]}}, "'10K' is not a whole number"),
    ({"pids": {"max": "1K"}}, "pids.max: '1K' is not a whole number"),
    ({"pids": {"max": 1.5}}, "pids.max: '1.5' is not a whole number"),
    ({"cpu": {"burst": "10 hours"}}, "unknown unit 'hours'"),
    ({"hugetlb": {"2MB": "4 apples"}}, "unknown unit 'apples'"),
    # 0 where it kills or stops
    ({"memory": {"max": 0}}, "memory.max of 0 would kill"),
    ({"memory": {"max": "0"}}, "memory.max of 0 would kill"),
    ({"memory": {"max": "0G"}}, "memory.max of 0 would kill"),
    ({"io": {"max": [{"device": DISK, "rbps": 0}]}}, "would stop the device"),
    ({"io": {"max": [{"device": DISK, "wiops": 1}]}}, "would stop the device"),
    ({"cpu": {"max": 0}}, "cpu.max: 0 is not a number of CPUs"),
    ({"cpu": {"max": "0 100ms"}}, "quota of 0 us is below"),
    ({"cpu": {"max": 0.001}}, "quota of 100 us is below"),
    # ranges
    ({"cpu": {"weight": 0}}, "cpu.weight: 0 is not within 1 to 10000"),
    ({"cpu": {"weight": 10001}}, "cpu.weight: 10001 is not within"),
    ({"io": {"weight": 0}}, "io.weight: 0 is not within"),
    ({"cpu": {"max": "50ms 2s"}}, "period of 2000000 us"),
    ({"cpu": {"max": "50ms 0.5ms"}}, "period of 500 us"),
    ({"cpu": {"max": {"period": "100ms"}}}, "is not a quota with a period"),
    ({"cpu": {"max": {"quota": "50ms", "periods": "100ms"}}}, "is not a quota with a period"),
    ({"cpu": {"max": "50ms 100ms 5"}}, "is not a number of CPUs"),
    ({"cpu": {"idle": "perhaps"}}, "cpu.idle: 'perhaps' is neither true nor false"),
    ({"cpuset": {"cpus": "0-60000"}}, "this machine has no CPU"),
    ({"cpuset": {"mems": "777"}}, "this machine has no memory node 777"),
    ({"cpuset": {"cpus": "one"}}, "'one' is not a list"),
    ({"cpuset": {"partition": "yes"}}, "'yes' is none of member, root, isolated"),
    # devices for io.max
    ({"io": {"max": [{"device": "8:1", "rbps": 5}]}}, "8:1 is a partition"),
    ({"io": {"max": [{"device": "8:99", "rbps": 5}]}}, "no block device 8:99"),
    ({"io": {"max": [{"device": "/dev/null", "rbps": 5}]}}, "/dev/null is not a block device"),
    ({"io": {"max": [{"device": DISK}]}}, "io.max for 8:0 sets nothing"),
    # keys
    ({"hugetlb": {"3MB": 5}}, "no huge pages of that size"),
    ({"files": {"../memory.max": 5}}, "is not the name of an interface file"),
    ({"files": {"a/memory.max": 5}}, "is not the name of an interface file"),
    ({"files": {"io.max": "8:0 rbps=10M"}}, "files: io.max has a line for each device or resource"),
    ({"files": {"blkio.throttle.read_bps_device": "8:0 10M"}}, "files: blkio.throttle.read_bps_device has a line for each"),
    ({"files": {"cgroup.procs": 5}}, "files: cgroup.procs acts when it is written"),
    ({"files": {"cgroup.kill": 1}}, "files: cgroup.kill acts when it is written"),
    ({"files": {"memory.reclaim": "1G"}}, "files: memory.reclaim acts when it is written"),
    ({"files": {"devices.allow": "a"}}, "files: devices.allow acts when it is written"),
    ({"files": {"nosuch.file": 1}}, "needs the controller 'nosuch', which this machine does not offer"),
    ({"controllers": ["nosuch"]}, "controllers needs the controller 'nosuch', which this machine does not offer: its kernel was built without it"),
    # devices
    ({"devices": [{"type": "x"}]}, "is not a rule"),
    ({"devices": [{"type": "c", "major": 1, "access": "rx"}]}, "is not a rule"),
    ({"devices": [{"type": "c", "major": "one"}]}, "devices: major"),
    ({"devices": [{"type": "a", "access": "r"}]}, "type a stands for all devices"),
    ({"devices": [{"type": "c", "major": 1}, {"type": "c", "major": 1, "minor": 3, "allow": False}]}, "is an exception from"),
    ({"processes": [0]}, "processes: 0 is not within"),
    ({"processes": [-1]}, "processes: -1 is not within 1 to"),
    # what has no unit is not said to lack one
    ({"cpu": {"weight": "high"}}, "cpu.weight: 'high' is not a whole number$"),
    ({"pids": {"max": "lots"}}, "pids.max: 'lots' is not a whole number$"),
    ({"devices": [{"type": "c", "major": -1}]}, "devices: major: -1 is not within 0 to 4095"),
    # more than the kernel takes
    ({"pids": {"max": 10**12}}, "pids.max: 1000000000000 is not within 0 to 4194304"),
    ({"pids": {"max": 4194305}}, "pids.max: 4194305 is not within 0 to 4194304"),
    ({"files": {"pids.max": 10**12}}, "pids.max: 1000000000000 is not within"),
    ({"cpu": {"max": 100000}}, "cpu.max: 100000 CPUs are more than any machine has. A plain number is a number of CPUs"),
    ({"cpu": {"max": "inf"}}, "cpu.max: inf CPUs are more than any machine has"),
    ({"cpu": {"max": "nan"}}, "'nan' is not a number of CPUs"),
    ({"cpu": {"max": "900000000s 1s"}}, "more than the kernel counts"),
    ({"cpu": {"burst": "900000000s"}}, "more than the kernel counts"),
    # 0 by the kernel's rounding
    ({"memory": {"max": 512}}, "memory.max of 512 is less than the kernel counts in, and would be 0. A number without a unit is bytes"),
    ({"memory": {"max": "0.5K"}}, "memory.max of 0.5K is less than the kernel counts in"),
    ({"hugetlb": {"2MB": "1M"}}, "hugetlb.2MB of 1M is less than the kernel counts in"),
    ({"cpuset": {"cpus": [0, True]}}, "'0,True' is not a list"),
    ({"cpuset": {"cpus": []}}, "cpuset.cpus is empty"),
    ({"cpuset": {"cpus": "1_0"}}, "'1_0' is not a list"),
    # a NUL, which would end a path or a line
    ({"io": {"max": [{"device": "/dev/sd\0a", "rbps": 5}]}}, r"io.max: '/dev/sd\\x00a' is not the path of a device"),
]


@pytest.mark.parametrize(("options", "why"), BAD, ids=lambda value: str(value)[:60])
def test_refused_with_the_reason_and_before_any_write(host: FakeHost, options: dict[str, Any], why: str) -> None:
    before = host.snapshot()
    with pytest.raises(InvalidInput, match=why) as caught:
        parsed(host, **options)
    assert "web" in str(caught.value)
    assert host.snapshot() == before


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"memory": {"high": "1G"}}, "memory.high has no counterpart in cgroup v1.*does not throttle"),
        ({"memory": {"min": "1G"}}, "memory.min has no counterpart in cgroup v1.*memory.low"),
        ({"memory": {"oom_group": True}}, "memory.oom_group has no counterpart in cgroup v1.*one process at a time"),
        ({"io": {"latency": [{"device": DISK, "target": "10ms"}]}}, "io.latency has no counterpart in cgroup v1"),
        ({"cpuset": {"partition": "isolated"}}, "v1 knows member and root"),
    ],
)
def test_what_v1_has_no_counterpart_for(v1: FakeHost, v2: FakeHost, options: dict[str, Any], why: str) -> None:
    with pytest.raises(InvalidInput, match=why):
        parsed(v1, **options)
    assert len(parsed(v2, **options).settings) == 1


def test_a_missing_controller_is_named_with_what_is_mounted(v1: FakeHost) -> None:
    with pytest.raises(InvalidInput, match=r"misc.sev needs the controller 'misc'") as caught:
        parsed(v1, misc={"sev": 1})
    assert "memory on %s" % v1.tree("memory").path in caught.value.hint


def test_units_of_systemd_are_refused_where_it_runs(v2: FakeHost) -> None:
    assert parse_group({"name": "web.slice"}, v2).name == "web.slice"
    v2.systemd = True  # type: ignore[misc]
    with pytest.raises(InvalidInput, match=r"web.slice is a unit of systemd") as caught:
        parse_group({"name": "web.slice", "manager": "cgroupfs"}, v2)
    assert "manager: systemd" in caught.value.hint
    assert parse_group({"name": "web", "manager": "cgroupfs"}, v2).place is None


def test_systemd_is_not_asked_where_it_does_not_run(v2: FakeHost) -> None:
    assert parse_group({"name": "web", "manager": "auto"}, v2).place is None
    with pytest.raises(InvalidInput, match="systemd does not run this machine"):
        parse_group({"name": "web", "manager": "systemd"}, v2)


def test_force_allows_zero(host: FakeHost) -> None:
    (setting,) = parsed(host, memory={"max": 0}, force=True).settings
    assert setting.value == "0"


ALL = {
    "memory": {"max": "512M", "low": "1M", "swap_max": "64M"},
    "cpu": {"max": 1.5, "weight": 250, "burst": "20ms", "idle": False},
    "cpuset": {"cpus": "0", "mems": 0, "partition": "member"},
    "io": {"weight": 500, "max": [{"device": DISK, "rbps": "10M", "wbps": "max", "riops": 100, "wiops": 200}]},
    "pids": {"max": 100},
    "hugetlb": {"2MB": "5M"},
}


def test_v2_spelling(v2: FakeHost) -> None:
    group = parsed(v2, **ALL)
    assert group.controllers == {"memory", "cpu", "cpuset", "io", "pids", "hugetlb"}
    assert files(group) == {
        "memory.max": "536870912",
        "memory.low": "1048576",
        "memory.swap.max": "67108864",
        "cpu.max": "150000 100000",
        "cpu.weight": "250",
        "cpu.max.burst": "20000",
        "cpu.idle": "0",
        "cpuset.cpus": "0",
        "cpuset.mems": "0",
        "cpuset.cpus.partition": "member",
        "io.weight": "default 500",
        "io.max": "%s wiops=200" % DISK,
        "pids.max": "100",
        "hugetlb.2MB.max": str(5 << 20),
    }
    assert {setting.key: setting.value for setting in group.settings if setting.file.name == "io.max"} == {
        DISK + " rbps": str(10 << 20),
        DISK + " wbps": "max",
        DISK + " riops": "100",
        DISK + " wiops": "200",
    }


def test_v1_spelling(v1: FakeHost) -> None:
    group = parsed(v1, **ALL)
    assert not group.controllers
    assert {hierarchy.name for hierarchy in group.hierarchies} == {"memory", "cpu,cpuacct", "cpuset", "blkio", "pids", "hugetlb"}
    assert files(group) == {
        "memory.limit_in_bytes": "536870912",
        "memory.soft_limit_in_bytes": "1048576",
        "memory.memsw.limit_in_bytes": "67108864",  # to which the plan adds memory.max
        "cpu.cfs_quota_us": "150000",
        "cpu.cfs_period_us": "100000",
        "cpu.shares": "2560",
        "cpu.cfs_burst_us": "20000",
        "cpu.idle": "0",
        "cpuset.cpus": "0",
        "cpuset.mems": "0",
        "cpuset.cpu_exclusive": "0",
        "blkio.bfq.weight": "136",
        "blkio.throttle.read_bps_device": DISK + " 10485760",
        "blkio.throttle.write_bps_device": DISK + " 0",
        "blkio.throttle.read_iops_device": DISK + " 100",
        "blkio.throttle.write_iops_device": DISK + " 200",
        "pids.max": "100",
        "hugetlb.2MB.limit_in_bytes": str(5 << 20),
    }


@pytest.mark.parametrize(
    ("asked", "value"),
    [
        (1.5, "150000 100000"),
        ("1.5", "150000 100000"),
        (2, "200000 100000"),
        ("0.01", "1000 100000"),
        ("150ms 100ms", "150000 100000"),
        ("150000 100000", "150000 100000"),
        ({"quota": "20ms", "period": "10ms"}, "20000 10000"),
        ({"quota": "20ms"}, "20000 100000"),
        ({"quota": "max", "period": "10ms"}, "max 10000"),
        ("max", "max 100000"),
        (-1, "max 100000"),
        ("max 50ms", "max 50000"),
    ],
)
def test_cpu_max_in_its_spellings(v2: FakeHost, asked: object, value: str) -> None:
    (setting,) = parsed(v2, cpu={"max": asked}).settings
    assert setting.value == value
    assert setting.asked == asked


@pytest.mark.parametrize("word", ["max", "infinity", "unlimited", -1])
def test_words_that_lift_a_limit(host: FakeHost, word: object) -> None:
    group = parsed(host, memory={"max": word}, pids={"max": word}, hugetlb={"2MB": word})
    assert {setting.value for setting in group.settings} == {"max"}


def test_too_many_operations_are_no_limit(host: FakeHost) -> None:
    """The kernel keeps operations in 32 bits and would wrap."""
    (setting,) = parsed(host, io={"max": [{"device": DISK, "riops": 5000000000}]}).settings
    assert setting.value == "max"


def test_octal_is_decimal(host: FakeHost) -> None:
    assert files(parsed(host, pids={"max": "010"})) == {"pids.max": "10"}


@pytest.mark.parametrize("cpus", [[0, 1], ["0", "1"], ["0-1"], ("1", 0), "0,1", "0-1", "1,0,0"])
def test_cpus_in_their_spellings(host: FakeHost, cpus: object) -> None:
    (setting,) = parsed(host, cpuset={"cpus": cpus}).settings
    assert setting.kept == "0-1"


def test_a_controller_by_its_name_of_v1(v1: FakeHost, v2: FakeHost) -> None:
    for host in (v1, v2):
        group = parsed(host, controllers=["blkio"])
        assert group.controllers_asked == ["io"]
        assert group.hierarchies == [host.hierarchy("io", "the test")]


def test_names_of_resources_are_one_word(v2: FakeHost) -> None:
    for options in ({"misc": {"sev 1": 2}}, {"misc": {"sev\n": 2}}, {"rdma": {"mlx5_0 hca_handle=1": {"hca_object": 2}}}, {"misc": {"": 2}}):
        with pytest.raises(InvalidInput, match=r"is not the name of"):
            parsed(v2, **options)


def test_the_end_of_what_rdma_counts_is_no_limit(v2: FakeHost) -> None:
    (setting,) = parsed(v2, rdma={"mlx5_0": {"hca_handle": 2**31 - 1}}).settings
    assert setting.value == "max"
    with pytest.raises(InvalidInput, match=r"rdma mlx5_0 hca_handle: 2147483648 is not within"):
        parsed(v2, rdma={"mlx5_0": {"hca_handle": 2**31}})


# One file asked for twice


TWICE_ANYWHERE: list[tuple[dict[str, Any], dict[str, Any]]] = [
    (
        {"io": {"max": [{"device": DISK, "rbps": "10M"}, {"device": "08:0", "rbps": "20M"}]}},
        {"io": {"max": [{"device": DISK, "rbps": "10M"}, {"device": "08:0", "rbps": 10 << 20}]}},
    ),
    ({"hugetlb": {"2MB": "64M", "2M": "32M"}}, {"hugetlb": {"2MB": "64M", "2M": 64 << 20}}),
    ({"pids": {"max": 5}, "files": {"pids.max": 6}}, {"pids": {"max": 5}, "files": {"pids.max": "5"}}),
]
TWICE_V1: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({"memory": {"max": "64M"}, "files": {"memory.limit_in_bytes": "32M"}}, {"memory": {"max": "64M"}, "files": {"memory.limit_in_bytes": 64 << 20}}),
    (
        {"memory": {"max": "64M", "swap_max": "32M"}, "files": {"memory.memsw.limit_in_bytes": "64M"}},
        {"memory": {"max": "64M", "swap_max": "32M"}, "files": {"memory.memsw.limit_in_bytes": "96M"}},
    ),
    ({"cpu": {"max": 0.5}, "files": {"cpu.cfs_quota_us": "10ms"}}, {"cpu": {"max": 0.5}, "files": {"cpu.cfs_quota_us": 50000}}),
    ({"cpu": {"max": 0.5}, "files": {"cpu.cfs_period_us": 50000}}, {"cpu": {"max": 0.5}, "files": {"cpu.cfs_period_us": "100ms"}}),
    ({"cpu": {"weight": 200}, "files": {"cpu.shares": 200}}, {"cpu": {"weight": 200}, "files": {"cpu.shares": 2048}}),
    ({"cpuset": {"partition": "root"}, "files": {"cpuset.cpu_exclusive": 0}}, {"cpuset": {"partition": "root"}, "files": {"cpuset.cpu_exclusive": True}}),
    ({"hugetlb": {"2MB": "64M"}, "files": {"hugetlb.2MB.limit_in_bytes": 0}}, {"hugetlb": {"2MB": "64M"}, "files": {"hugetlb.2MB.limit_in_bytes": "64M"}}),
]
TWICE_V2: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({"memory": {"max": "64M"}, "files": {"memory.max": "32M"}}, {"memory": {"max": "64M"}, "files": {"memory.max": "0.0625G"}}),
    (
        {"io": {"latency": [{"device": DISK, "target": "10ms"}, {"device": "8:00", "target": "20ms"}]}},
        {"io": {"latency": [{"device": DISK, "target": "10ms"}, {"device": "8:00", "target": 10000}]}},
    ),
    ({"misc": {1: 5, "1": 6}}, {"misc": {1: 5, "1": "5"}}),
    ({"cpu": {"max": 0.5}, "files": {"cpu.max": "10000 100000"}}, {"cpu": {"max": 0.5}, "files": {"cpu.max": "50ms 100ms"}}),
    ({"hugetlb": {"2MB": "64M"}, "files": {"hugetlb.2MB.max": "32M"}}, {"hugetlb": {"2MB": "64M"}, "files": {"hugetlb.2MB.max": "64M"}}),
]


@pytest.mark.parametrize(("differ", "agree"), TWICE_ANYWHERE, ids=str)
def test_one_file_asked_for_twice(host: FakeHost, differ: dict[str, Any], agree: dict[str, Any]) -> None:
    check_twice(host, differ, agree)


@pytest.mark.parametrize(("differ", "agree"), TWICE_V1, ids=str)
def test_one_file_of_v1_asked_for_twice(v1: FakeHost, differ: dict[str, Any], agree: dict[str, Any]) -> None:
    check_twice(v1, differ, agree)


@pytest.mark.parametrize(("differ", "agree"), TWICE_V2, ids=str)
def test_one_file_of_v2_asked_for_twice(v2: FakeHost, differ: dict[str, Any], agree: dict[str, Any]) -> None:
    check_twice(v2, differ, agree)


def check_twice(host: FakeHost, differ: dict[str, Any], agree: dict[str, Any]) -> None:
    """Different values are refused by name of both options; the same value is one value."""
    with pytest.raises(InvalidInput, match=r"group web: .* \(.*\) and .* \(.*\) are the same file") as caught:
        parsed(host, **differ)
    assert caught.value.hint == "leave one of them out"
    places = [setting.place for setting in parsed(host, **agree).settings]
    assert len(set(places)) < len(places)


def test_two_names_of_one_value(v2: FakeHost) -> None:
    with pytest.raises(InvalidInput, match=r"cpu.weight \(100\) and files cpu.weight.nice \(0\) are two names for one value"):
        parsed(v2, cpu={"weight": 100}, files={"cpu.weight.nice": 0})


def test_none_is_left_alone(host: FakeHost) -> None:
    group = parsed(host, memory={"max": None, "low": "1M"}, cpu=None, io=None, pids={"max": None}, files=None, devices=None, frozen=None)
    assert [setting.option for setting in group.settings] == ["memory.low"]


def test_rdma_and_misc(v2: FakeHost) -> None:
    group = parsed(v2, rdma={"mlx5_0": {"hca_handle": 2, "hca_object": "max"}}, misc={"sev": 3})
    assert [(setting.key, setting.value) for setting in group.settings] == [("mlx5_0 hca_handle", "2"), ("mlx5_0 hca_object", "max"), ("sev", "3")]
    with pytest.raises(InvalidInput, match=r"rdma limits hca_handle and hca_object"):
        parsed(v2, rdma={"mlx5_0": {"handles": 2}})


# Any other file


def test_files_of_the_table_are_read_like_its_options(v1: FakeHost, v2: FakeHost) -> None:
    assert files(parsed(v2, files={"memory.max": "1G"})) == {"memory.max": str(1 << 30)}
    assert files(parsed(v1, files={"memory.limit_in_bytes": "1G"})) == {"memory.limit_in_bytes": str(1 << 30)}
    assert files(parsed(v1, files={"memory.swappiness": 10})) == {"memory.swappiness": "10"}


def test_files_of_the_table_kill_no_more_than_its_options(v1: FakeHost, v2: FakeHost) -> None:
    for host, file in ((v2, "memory.max"), (v2, "memory.high"), (v1, "memory.limit_in_bytes")):
        with pytest.raises(InvalidInput, match=r"of 0 would kill"):
            parsed(host, files={file: "0"})


def test_files_of_v1_are_read_in_their_own_words(v1: FakeHost) -> None:
    """A share is no weight, and memory and swap together are not swap alone."""
    group = parsed(v1, files={"cpu.shares": 2048, "memory.memsw.limit_in_bytes": "96M", "blkio.bfq.weight": 1000, "cpuset.cpu_exclusive": 1})
    assert [(setting.kept, setting.file.format.written(setting.value)) for setting in group.settings] == [
        ("2048", "2048"),
        (str(96 << 20), str(96 << 20)),
        ("1000", "1000"),
        ("1", "1"),
    ]


@pytest.mark.parametrize("name", ["memory.kmem.tcp.limit_in_bytes", "memory.limit_in_bytes", "memory.memsw.limit_in_bytes", "hugetlb.2MB.limit_in_bytes"])
def test_a_size_by_name_that_is_rounded_to_nothing(v1: FakeHost, name: str) -> None:
    with pytest.raises(InvalidInput, match=r"of 512 is less than the kernel counts in"):
        parsed(v1, files={name: 512})
    assert len(parsed(v1, files={name: 512}, force=True).settings) == 1


PRINTED = [
    ("memory.oom_control", 1, "oom_kill_disable 1\nunder_oom 0\noom_kill 0", "oom_kill_disable 0\nunder_oom 0\noom_kill 0"),
    ("memory.oom_control", "no", "oom_kill_disable 0\nunder_oom 0\noom_kill 7", "oom_kill_disable 1\nunder_oom 0\noom_kill 0"),
    ("memory.kmem.tcp.limit_in_bytes", "64M", str(64 << 20), str(32 << 20)),
    ("memory.kmem.tcp.limit_in_bytes", "max", "9223372036854771712", str(32 << 20)),
    ("cpu.uclamp.min", 20, "20.00", "2.00"),
    ("cpu.uclamp.min", "12.5", "12.50", "12.05"),
    ("cpu.uclamp.max", 100, "max", "99.99"),
    ("cpu.uclamp.max", "max", "max", "0.00"),
    ("memory.swappiness", "0x10", "16", "10"),
    ("hugetlb.2MB.rsvd.limit_in_bytes", "5M", str(4 << 20), str(6 << 20)),
    ("cpuset.nosuch_list", "1,0", "0-1", "0"),
    ("cpu.nosuch_number", 20, "20.00", "20.01"),
    ("memory.nosuch_lines", "eth0 5", "lo 0\neth0 5", "lo 0\neth0 6"),
]


@pytest.mark.parametrize(("name", "asked", "same", "other"), PRINTED, ids=str)
def test_a_file_that_prints_other_than_what_was_written(v1: FakeHost, name: str, asked: object, same: str, other: str) -> None:
    (setting,) = parsed(v1, files={name: asked}).settings
    assert setting.file.format.normal(same, setting.key) == setting.kept
    assert setting.file.format.normal(other, setting.key) != setting.kept


@pytest.mark.parametrize(
    ("name", "asked"), [("cpu.uclamp.min", 101), ("cpu.uclamp.min", "20%"), ("memory.oom_control", 2), ("cpu.cfs_period_us", "2s"), ("memory.nosuch", "a\0b")]
)
def test_values_of_files_that_cannot_be_meant(v1: FakeHost, name: str, asked: object) -> None:
    with pytest.raises(InvalidInput, match=name):
        parsed(v1, files={name: asked})


def test_a_boolean_in_a_file_is_a_digit(v1: FakeHost) -> None:
    assert set(files(parsed(v1, files={"notify_on_release": True})).items()) == {("notify_on_release", "1")}


def test_files_of_the_core_go_where_the_group_is(hybrid: FakeHost) -> None:
    group = parsed(hybrid, pids={"max": 5}, files={"notify_on_release": 1})
    assert {(setting.hierarchy.name, setting.file.name) for setting in group.settings} == {("pids", "pids.max"), ("pids", "notify_on_release")}
    group = parsed(hybrid, files={"cgroup.max.depth": 3})
    assert [(setting.hierarchy.name, setting.file.name) for setting in group.settings] == [("v2", "cgroup.max.depth")]


# Where a group is


def test_a_group_without_limits(v1: FakeHost, v2: FakeHost, hybrid: FakeHost) -> None:
    assert [hierarchy.name for hierarchy in parsed(v2).hierarchies] == ["v2"]
    assert [hierarchy.name for hierarchy in parsed(hybrid).hierarchies] == ["v2"]
    assert len(parsed(v1).hierarchies) == len(v1.hierarchies)


def test_a_group_is_where_its_controllers_are(hybrid: FakeHost) -> None:
    group = parsed(hybrid, memory={"max": "1G"}, hugetlb={"2MB": "4M"}, controllers=["cpuacct"], devices=[], frozen=True)
    assert {hierarchy.name for hierarchy in group.hierarchies} == {"memory", "v2", "cpu,cpuacct", "devices", "freezer"}
    assert group.controllers == {"hugetlb"}


def test_what_v2_has_built_in_needs_no_controller(v2: FakeHost) -> None:
    group = parsed(v2, controllers=["cpuacct", "io"], devices=[], frozen=True)
    assert [hierarchy.name for hierarchy in group.hierarchies] == ["v2"]
    assert group.controllers == {"io"}


def test_absent_needs_nothing_but_the_name(host: FakeHost) -> None:
    group = parse_group({"name": "web", "state": "absent", "memory": {"max": ""}}, host)
    assert not group.present
    assert group.settings == []


@pytest.mark.parametrize(
    ("options", "unsupported"),
    [
        ({"memory": {"high": "64M"}}, True),
        ({"cpuset": {"partition": "isolated"}}, True),
        ({"memory": {"high": "64Q"}}, False),
        ({"memory": {"max": ""}}, False),
    ],
)
def test_what_the_machine_lacks_is_no_typing_error(
    v1: FakeHost, options: dict[str, Any], unsupported: bool
) -> None:
    """Also where the machine lacks it, a value that no machine takes is a typing error."""
    with pytest.raises(InvalidInput) as caught:
        parsed(v1, **options)
    assert isinstance(caught.value, Unsupported) is unsupported
