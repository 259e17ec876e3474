# SPDX-FileCopyrightText: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Control groups that are units of systemd, on a node that systemd runs: made, left alone, put right, kept and taken back.

Each call is what a module makes of its options; a reload of systemd takes seconds here, so that a call has as much in it as it can.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.bulkhead.linux.plugins.module_utils._runtime.cgroup.host import Host
from ansible_collections.bulkhead.linux.plugins.module_utils._runtime.cgroup.subject import Groups
from ansible_collections.bulkhead.linux.plugins.module_utils._runtime.errors import BulkheadError, InvalidInput

UNITS = Path("/etc/systemd/system")
RUNTIME = Path("/run/systemd/system")
HOST = Host.observe()
V2 = HOST.hierarchy("memory", "memory").version == 2
# Two services of somebody else: one that hands its group over, with its own process out of the way, and one that does not.
SERVICES = {
    "bh-test-lent.service": """[Service]
Delegate=yes
ExecStart=/bin/sh -c 'for d in /sys/fs/cgroup /sys/fs/cgroup/unified; do g=$$d/system.slice/bh-test-lent.service;\
 if [ -e $$g/cgroup.controllers ]; then mkdir $$g/own && echo 0 > $$g/own/cgroup.procs; fi; done; exec sleep infinity'
""",
    "bh-test-plain.service": "[Service]\nExecStart=/bin/sleep infinity\n",
}


def sh(command: str) -> str:
    return subprocess.run(["sh", "-ec", command], check=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True).stdout.strip()


def call(*groups: dict[str, Any], persist: bool = True, check: bool = False) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """What the module does: (writes, reports). After applying, a second plan is empty."""
    subject = Groups()
    subject.persist = persist
    objects = [subject.parse(group) for group in groups]
    plan = subject.plan(objects)
    writes = plan.writes()
    if not check and plan.steps:
        subject.apply(plan)
        plan = subject.plan(objects)
        assert plan.writes() == []
    return writes, subject.report(objects, plan)


def held(unit: str, option: str) -> str:
    """What the kernel holds, by the name of the v2 file or, on v1, of the v1 file."""
    controller = option.partition(".")[0]
    hierarchy = HOST.hierarchy(controller, option) if controller != "cgroup" else HOST.v2
    assert hierarchy is not None
    where = sh("systemctl show -p ControlGroup --value '%s'" % unit)
    return Path(hierarchy.path + where + "/" + option).read_text().strip()


def loaded() -> str:
    """When systemd read its units last."""
    return sh("systemctl show -p UnitsLoadTimestampMonotonic --value")


def traces() -> list[str]:
    """Every unit, drop-in, link and group that these tests may have made, but for the two services."""
    found = [str(path) for root in (UNITS, RUNTIME, Path("/sys/fs/cgroup")) for path in root.rglob("bh*test*")]
    return [path for path in found if not path.endswith(tuple(SERVICES)) and "/bh-test-lent.service/own" not in path]


@pytest.fixture(scope="module", autouse=True)
def _services() -> Iterator[None]:
    for name, text in SERVICES.items():
        (UNITS / name).write_text(text)
    sh("systemctl daemon-reload; systemctl start " + " ".join(SERVICES))
    yield
    sh("systemctl stop bhtest.slice %s || true; rm -rf /etc/systemd/system/bh*test* /run/systemd/system/bh*test*" % " ".join(SERVICES))
    sh("rm -rf /run/systemd/system.control/bh*test* /etc/systemd/system/slices.target.wants/bh*test*; systemctl daemon-reload")


LIMITS: dict[str, Any] = {
    "memory": {"max": "64M"},
    "cpu": {"max": 1.5, "weight": 77},
    "pids": {"max": 99},
    "devices": [{"type": "c", "major": 1, "minor": 3}, {"type": "c", "major": 136}, {"type": "c", "access": "m"}],
    "io": {"max": [{"device": "/dev/vda", "rbps": "10M"}]},
}
if V2:
    LIMITS["memory"].update(high="60M", swap_max=0)
    LIMITS["cpuset"] = {"cpus": "0-1", "mems": "0"}
    LIMITS["io"] = {"weight": 250, "max": [{"device": "/dev/vda", "rbps": "10M", "wiops": 500}], "latency": [{"device": "/dev/vda", "target": "20ms"}]}
FILES = (
    {"memory.max": "67108864", "memory.high": "62914560", "memory.swap.max": "0", "cpu.max": "150000 100000", "cpu.weight": "77", "pids.max": "99"}
    | {"cpuset.cpus": "0-1", "cpuset.mems": "0", "io.weight": "default 250"}
    if V2
    else {"memory.limit_in_bytes": "67108864", "cpu.cfs_quota_us": "150000", "cpu.cfs_period_us": "100000", "cpu.shares": "788", "pids.max": "99"}
)
LEAF = "bhtest-my\\x2dapp.slice"


def test_slices_from_nothing_to_nothing() -> None:
    groups = [{"name": "bhtest/my-app", **LIMITS}, {"name": "bhtest", "memory": {"max": "1G"}}]
    foreseen = call(*groups, check=True)
    assert traces() == []
    writes, reports = call(*groups)
    assert writes == foreseen[0]
    targets = [write["target"] for write in writes]
    assert targets.index("/etc/systemd/system/%s.d/50-bulkhead.conf" % LEAF) < targets.index("systemd")
    assert reports[0]["unit"] == LEAF and reports[0]["cgroup"] == "bhtest.slice/" + LEAF
    assert reports[0]["effective"]["memory.max"] == "67108864" and reports[0]["effective"] == foreseen[1][0]["effective"]
    for file, value in FILES.items():
        assert held(LEAF, file) == value, file
    # Again: nothing is written, and systemd is asked for nothing but what it knows.
    before = loaded(), {path: os.stat(path, follow_symlinks=False).st_mtime_ns for path in traces()}
    assert call(*groups)[0] == []
    assert before == (loaded(), {path: os.stat(path, follow_symlinks=False).st_mtime_ns for path in traces()})
    # What others do to systemd, and to other properties of the unit, changes nothing.
    sh("systemctl daemon-reload; systemctl set-property --runtime '%s' %s" % (LEAF, "IOReadIOPSMax='/dev/vda 777'" if V2 else "CPUAccounting=yes"))
    for file, value in FILES.items():
        assert held(LEAF, file) == value, file
    assert call(*groups, check=True)[0] == []
    # Written behind systemd's back, and asked of systemd by somebody else: both are seen, and put right.
    place = HOST.hierarchy("cpu", "cpu").path + "/bhtest.slice/" + LEAF + ("/cpu.weight" if V2 else "/cpu.shares")
    Path(place).write_text("55")
    sh("systemctl set-property --runtime bhtest.slice MemoryMax=33M")
    writes, _reports = call(*groups)
    assert [write["target"] for write in writes if write["target"].startswith("/etc")] == []
    assert {"target": place, "before": "55", "after": "77" if V2 else "788"} in writes
    assert any(write["before"] == str(33 << 20) and write["after"] == str(1 << 30) for write in writes)
    # A slice with something in it goes when that is meant, with all that is inside.
    sh("systemd-run -q --unit bh-test-inside --slice '%s' sleep 1000" % LEAF)
    with pytest.raises(InvalidInput, match=r"cannot be removed: bhtest.slice holds \d+ \(sleep\)"):
        call({"name": "bhtest", "state": "absent"})
    foreseen = call({"name": "bhtest", "state": "absent", "force": True}, check=True)
    assert call({"name": "bhtest", "state": "absent", "force": True})[0] == foreseen[0] != []
    assert traces() == []
    assert call({"name": "bhtest", "state": "absent"})[0] == []


def test_a_service_keeps_running_while_its_limits_come_and_go() -> None:
    unit = "bh-test-plain.service"
    device = {"device": "/dev/vda", "rbps": "10M"}
    before = sh("grep . /sys/fs/cgroup/system.slice/%s/*.max" % unit) if V2 else ""
    pid = sh("systemctl show -p MainPID --value " + unit)
    call({"name": unit, "pids": {"max": 55}, "io": {"max": [device]}}, persist=False)
    assert held(unit, "pids.max") == "55"
    assert (RUNTIME / (unit + ".d") / "55-bulkhead.conf").exists() and not (UNITS / (unit + ".d")).exists()
    # The same disk by its number, and the unit by its place, is the same.
    number = "%d:%d" % (os.major(os.stat("/dev/vda").st_rdev), os.minor(os.stat("/dev/vda").st_rdev))
    same = {"name": "system.slice/" + unit, "pids": {"max": 55}, "io": {"max": [{**device, "device": number}]}}
    assert call(same, persist=False)[0] == []
    # For good: the drop-in of the day goes.
    call(same)
    assert not (RUNTIME / (unit + ".d")).exists() and (UNITS / (unit + ".d") / "50-bulkhead.conf").exists()
    call({"name": unit, "state": "absent"})
    assert sh("systemctl show -p MainPID --value " + unit) == pid != "0"
    assert traces() == []
    if V2:
        after = sh("grep . /sys/fs/cgroup/system.slice/%s/*.max" % unit)
        assert [line for line in after.splitlines() if "/io.max:" not in line] == before.splitlines() and "10485760" not in after


def test_what_does_not_come_about_is_put_back() -> None:
    unit = "bh-test-plain.service"
    directory = UNITS / (unit + ".d")
    directory.mkdir()
    try:
        (directory / "60-theirs.conf").write_text("[Service]\nTasksMax=50\n")
        with pytest.raises(BulkheadError, match=r"pids.max was asked of bh-test-plain.service, and the kernel holds 50") as caught:
            call({"name": unit, "pids": {"max": 40}}, {"name": "bhtest/new", "pids": {"max": 5}})
        assert "60-theirs.conf" in caught.value.hint and caught.value.undo_failures == []
    finally:
        sh("rm -r %s; systemctl daemon-reload" % directory)
    assert traces() == []


def test_below_a_unit_that_delegates_the_kernel_is_written() -> None:
    group = {"name": "bh-test-lent.service/work/a", "memory": {"max": "5M"}, "cpu": {"max": 0.5}, "hugetlb": {"2MB": "4M"}, "frozen": False}
    writes, reports = call(group, persist=False)
    assert all(write["target"].startswith("/sys/fs/cgroup/") for write in writes)
    assert reports[0]["cgroup"] == "system.slice/bh-test-lent.service/work/a"
    sh("systemctl daemon-reload; systemctl set-property --runtime bh-test-lent.service CPUWeight=44")
    assert call(group, persist=False)[0] == []
    call({"name": "bh-test-lent.service/work", "state": "absent"}, persist=False)
    # systemd has made a drop-in for the property that was set above; none of the groups is left, in whatever hierarchy.
    assert [path for path in traces() if "/sys/fs/cgroup" in path] == []


@pytest.mark.parametrize(
    ("group", "why", "way"),
    [
        ({"name": "bh-test-plain.service/x", "pids": {"max": 5}}, "does not delegate its control group", "Delegate=yes"),
        ({"name": "bhtest.slice", "manager": "cgroupfs", "pids": {"max": 5}}, "would undo what is written behind its back", "manager: systemd"),
        ({"name": "bhtest", "files": {"cgroup.max.depth": 3}}, "no property for files cgroup.max.depth", "Delegate=yes"),
        ({"name": "bhtest", "hugetlb": {"2MB": "4M"}}, "no property for hugetlb.2MB", "Delegate=yes"),
        ({"name": "bhtest", "processes": [1]}, "processes cannot be moved into bhtest.slice", "systemd-run --scope"),
        ({"name": "bh-test-none.service", "pids": {"max": 5}}, "systemd has no unit bh-test-none.service", "install it first"),
        ({"name": "init.scope", "pids": {"max": 500}}, "a scope does not outlast the boot", "persist: false"),
    ],
)
def test_what_systemd_would_undo_or_cannot_do_is_refused(group: dict[str, Any], why: str, way: str) -> None:
    if "files" in group and HOST.v2 is None:
        why, way = "a file of cgroup v2, which is not mounted here", "this machine has cgroup v1"
    with pytest.raises(InvalidInput, match=why) as caught:
        call(group)
    assert way in caught.value.hint
    assert traces() == []


def test_groups_beside_the_units_are_refused_where_systemd_sweeps() -> None:
    """On v1 it removes, when it reloads, whatever is empty in hierarchies that none of its units needs."""
    group = {"name": "bhtest-raw", "manager": "cgroupfs", "io": {"max": [{"device": "/dev/vda", "rbps": "10M"}]}}
    hierarchy = HOST.hierarchy("io", "io")
    if hierarchy.version == 1:
        Path(hierarchy.path, "bhtest-raw").mkdir()
        sh("systemctl daemon-reload")
        assert traces() == []
        with pytest.raises(InvalidInput, match=r"io.max /dev/vda rbps cannot be kept: none of systemd's units needs /sys/fs/cgroup/blkio") as caught:
            call(group)
        assert "manager: systemd" in caught.value.hint and "Delegate=yes" in caught.value.hint
    # What has to be there in none of these stays.
    group = {"name": "bhtest-raw", "manager": "cgroupfs", "pids": {"max": 9}}
    call(group)
    sh("systemctl daemon-reload")
    assert call(group, check=True)[0] == []
    call({"name": "bhtest-raw", "manager": "cgroupfs", "state": "absent"})
    assert traces() == []


def test_units_freeze_where_systemd_can() -> None:
    unit = "bh-test-plain.service"
    if not V2:
        with pytest.raises(InvalidInput, match="systemd freezes units on cgroup v2 only"):
            call({"name": unit, "frozen": True})
        return
    call({"name": unit, "frozen": True}, persist=False)
    assert held(unit, "cgroup.events").endswith("frozen 1")
    assert call({"name": unit, "frozen": True}, persist=False)[0] == []
    call({"name": unit, "frozen": False}, persist=False)
    assert held(unit, "cgroup.events").endswith("frozen 0")


def test_own_units_of_systemd_are_never_stopped() -> None:
    assert call({"name": "system", "state": "absent", "force": True}, {"name": "user", "state": "absent", "force": True}, check=True)[0] == []
