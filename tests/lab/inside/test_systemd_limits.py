# SPDX-FileCopyrightText: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The limits of containers cannot be lifted or gone round from inside, on a node of systemd's: by either supervisor, in every
hierarchy, and on v2 also where it is mounted without nsdelegate. The attacks are those of tests/attack.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import test_systemd_containers as containers
from test_systemd_containers import HOST, PATHS, call, groups_of, look, sh, until

sys.path.insert(0, str(Path(__file__).parents[2]))
from ansible_collections.bulkhead.linux.plugins.module_utils._runtime.container import commands, state
from attack import test_limits as attack

SHARE = Path("/var/tmp/bh-share")
NAMES = ("bh-held", "bh-greedy", "bh-thief", "bh-flood", "bh-nest")
ROOTS = {"systemd": "/bulkhead.slice/bulkhead-%s.service/container", "builtin": "/bulkhead/%s"}
DELEGATIONS = ["as it is", "without nsdelegate"] if HOST.mode == "v2" else ["as it is"]
V2 = "/sys/fs/cgroup"


def hierarchies() -> dict[str, int]:
    return {hierarchy.path: hierarchy.version for hierarchy in HOST.hierarchies}


def limits(supervisor: str, name: str) -> dict[str, str]:
    """{file: text} of the limits that the kernel holds for a container."""
    paths = [Path(mount + ROOTS[supervisor] % name, file) for mount in hierarchies() for file in (*attack.HELD, "cpuset.cpus")]
    return {str(path): path.read_text().strip() for path in paths if path.exists()}


def serve(supervisor: str, name: str, **options: Any) -> dict[str, Any]:
    wanted = {"name": name, "command": ["sleep", "1000"], "stop_timeout": 0, "supervisor": supervisor, "volumes": ["%s:/x" % SHARE], **options}
    report: dict[str, Any] = call(wanted, persist=False)[1][0]
    return report


@pytest.fixture(scope="module", autouse=True)
def _share() -> Iterator[None]:
    SHARE.mkdir(exist_ok=True)
    (SHARE / "lift.py").write_text(attack.LIFT)
    (SHARE / "nest.py").write_text(attack.NEST)
    yield
    call(*({"name": name, "state": "absent"} for name in NAMES))
    sh("rm -r %s" % SHARE)


@pytest.fixture(scope="module", params=DELEGATIONS)
def delegation(request: pytest.FixtureRequest) -> Iterator[None]:
    """v2 as systemd mounts it, and without what keeps a cgroup namespace from the limits of its root."""
    if request.param == "as it is":
        yield
        return
    sh("mount -o remount,rw,nosuid,nodev,noexec,memory_recursiveprot -t cgroup2 cgroup2 %s" % V2)
    assert "nsdelegate" not in sh("grep ' %s cgroup2 ' /proc/mounts" % V2)
    yield
    sh("mount -o remount,rw,nosuid,nodev,noexec,nsdelegate,memory_recursiveprot -t cgroup2 cgroup2 %s" % V2)


@pytest.mark.parametrize("supervisor", ROOTS)
@pytest.mark.parametrize("who", ["filtered", "nothing", "may mount"])
def test_own_limits(delegation: None, supervisor: str, who: str) -> None:
    serve(supervisor, "bh-held", resources=attack.RESOURCES, **attack.WHO[who])
    before = limits(supervisor, "bh-held")
    assert sorted(set(before.values()) & {"67108864", "50"}) == ["50", "67108864"], before
    done = commands.run({"name": "bh-held", "command": ["python3", "/x/lift.py", json.dumps(attack.HELD)]}, PATHS, HOST)
    outcome = json.loads(done["stdout"].splitlines()[0])
    assert set(outcome["seen"]) == {"/"} and outcome["foreign"] == [], outcome
    assert limits(supervisor, "bh-held") == before
    # And what it takes of memory after that is what it may take.
    serve(
        supervisor,
        "bh-greedy",
        command=["sh", "-c", "exec python3 /x/lift.py '%s' 200" % json.dumps(attack.HELD)],
        resources=attack.RESOURCES,
        **attack.WHO[who],
    )
    ended = until(lambda: (now := look("bh-greedy", log=2000))["status"] == "stopped" and now)
    assert ended["exit"] == {"code": 137, "signal": 9, "killed_by": "memory"} and "GOT it all" not in ended["output"], ended


@pytest.mark.parametrize("supervisor", ROOTS)
def test_limits_of_another(delegation: None, supervisor: str) -> None:
    serve(supervisor, "bh-held", resources={**attack.RESOURCES, "cpuset": {"cpus": "0"}})
    before = limits(supervisor, "bh-held")
    serve(supervisor, "bh-thief", capabilities={"add": ["SYS_ADMIN"]})
    done = commands.run({"name": "bh-thief", "command": ["python3", "/x/lift.py", json.dumps(attack.HELD)]}, PATHS, HOST)
    outcome = json.loads(done["stdout"])
    assert outcome["foreign"] == [] and set(outcome["seen"]) == {"/"}, outcome
    assert limits(supervisor, "bh-held") == before


@pytest.mark.parametrize("supervisor", ROOTS)
def test_nothing_of_it_is_outside_of_its_group(supervisor: str) -> None:
    """Its first process, what it starts, commands that are run in it, its supervisor: in every hierarchy below the group of the limits."""
    report = serve(supervisor, "bh-held", command=["sh", "-c", "sleep 1001 & exec sleep 1002"])
    commands.run({"name": "bh-held", "command": ["sleep", "1003"], "detach": True}, PATHS, HOST)
    root = ROOTS[supervisor] % "bh-held"
    watcher = state.read(PATHS.state("bh-held"))["monitor"]["pid"]  # type: ignore[index]
    assert groups_of(watcher) == {root + "/supervisor"}
    inside = [int(pid) for pid in sh("pgrep -f 'sleep 100[123]'").split() if int(pid) != os.getpid() and "sleep" in Path("/proc/%s/comm" % pid).read_text()]
    assert len(inside) == 3 and report["pid"] in inside
    for pid in inside:
        assert groups_of(pid) == {root + "/payload"}, pid
    assert {one["pid"] for one in look("bh-held")["processes"]} == set(inside)
    assert sum(len(sh("cat %s%s/cgroup.procs" % (mount, root)).split()) for mount in hierarchies()) == 0


def cpu_of(*pids: int) -> float:
    ticks = 0
    for pid in pids:
        fields = Path("/proc/%d/stat" % pid).read_text().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def counted(name: str) -> float:
    """The CPU time that the group of the limits counts, in seconds."""
    return float(look(name)["stats"]["cpu"]["usage_usec"]) / 1e6


def idle(pid: int) -> bool:
    """Whether a process does next to nothing for a second."""
    before = cpu_of(pid)
    time.sleep(1)
    return cpu_of(pid) - before < 0.05


@pytest.mark.parametrize("supervisor", ROOTS)
def test_output_is_limited(supervisor: str) -> None:
    """What a container writes costs its own CPU time: neither its supervisor nor the journal works for it in the machine's name."""
    serve(supervisor, "bh-flood", command=["sh", "-c", "exec yes"], resources={"cpu": {"max": 0.2}})
    record = state.read(PATHS.state("bh-flood"))
    assert record is not None
    journald = int(sh("systemctl show -p MainPID --value systemd-journald"))
    both = record["pid"], record["monitor"]["pid"]
    until(lambda: idle(journald))  # what the rate lets through at first takes the journal a while
    before, began = (cpu_of(*both), cpu_of(journald), counted("bh-flood")), time.monotonic()
    time.sleep(10)
    seconds = time.monotonic() - began
    used, journal = cpu_of(*both) - before[0], cpu_of(journald) - before[1]
    assert 0.02 < used / seconds < 0.3, used
    assert journal / seconds < 0.1, journal
    # The CPU time of the supervisor is the container's: its group counts what both have used. The supervisor of a unit
    # enters that group when it has started up, which is seconds under emulation and counts for the unit.
    assert counted("bh-flood") - before[2] > 0.9 * used


def test_a_flood_does_not_hang_who_looks(request: pytest.FixtureRequest) -> None:
    serve("systemd", "bh-flood", command=["sh", "-c", "exec yes"], resources={"cpu": {"max": 1}})
    time.sleep(3)
    began = time.monotonic()
    assert "y\n" in look("bh-flood", log=1000)["output"]
    assert time.monotonic() - began < 30
    job: dict[str, Any] = {"name": "bh-greedy", "command": ["sh", "-c", "echo result"], "wait": True}
    assert call(job)[1][0]["output"] == "result\n"
    # What was left out is told in the journal and counted.
    call({"name": "bh-flood", "state": "stopped"})
    assert look("bh-flood")["output_lost"] > 1 << 20
    said = sh("journalctl --sync; journalctl -q -o cat -t bh-flood | grep -v '^y' | tail -n 2").splitlines()
    assert said[0].startswith("bulkhead: more than 10000 lines") and said[1].endswith("lines were not logged"), said


@pytest.mark.skipif(HOST.mode != "v2", reason="SKIP: controllers are handed down on v2 only")
@pytest.mark.parametrize("moves", [True, False])
def test_commands_run_where_controllers_were_enabled_inside(moves: bool) -> None:
    """Whether its first process went into a group below, as the kernel asks of it, or threads of it are what holds the root."""
    script = [
        "mkdir -p /tmp/c && mount -t cgroup2 none /tmp/c && mkdir /tmp/c/leaf",
        "echo $$ >/tmp/c/leaf/cgroup.procs" if moves else "(echo 0 >/tmp/c/leaf/cgroup.procs; exec sleep 1001) & sleep 0.2",
        "echo +pids +memory >/tmp/c/cgroup.subtree_control; echo status $?; exec sleep 1002",
    ]
    log = SHARE / ("nest-%s.log" % moves)
    serve("systemd", "bh-nest", command=["sh", "-c", "\n".join(script)], capabilities={"add": ["SYS_ADMIN"]}, log={"path": str(log)})
    said = until(lambda: log.exists() and "status" in log.read_text() and log.read_text())
    assert ("status 0" in said) is moves, said
    done = commands.run({"name": "bh-nest", "command": ["cat", "/proc/self/cgroup"]}, PATHS, HOST)
    assert done["rc"] == 0 and done["stdout"].strip() == ("0::/leaf" if moves else "0::/")


@pytest.mark.parametrize("supervisor", ROOTS)
def test_groups_inside_do_not_hold_the_end_up(supervisor: str) -> None:
    options: dict[str, Any] = {"command": ["python3", "/x/nest.py", "40"], "capabilities": {"add": ["SYS_ADMIN"]}}
    serve(supervisor, "bh-nest", **options, log={"path": "/var/tmp/bh-share/deep.log"})
    until(lambda: (SHARE / "deep.log").exists() and "nested" in (SHARE / "deep.log").read_text())
    assert commands.run({"name": "bh-nest", "command": ["true"]}, PATHS, HOST)["rc"] == 0
    call({"name": "bh-nest", "state": "absent"})
    (SHARE / "deep.log").unlink()
    assert not [mount for mount in hierarchies() if Path(mount + ROOTS[supervisor] % "bh-nest").exists()]


def test_nothing_is_left() -> None:
    call(*({"name": name, "state": "absent"} for name in NAMES))
    assert [path for path in containers.traces() if path != str(SHARE)] == []
    assert subprocess.run(["systemctl", "is-failed", "bulkhead-bh-*"], check=False, stdout=subprocess.DEVNULL).returncode != 0
