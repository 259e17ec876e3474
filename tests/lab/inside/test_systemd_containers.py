# SPDX-FileCopyrightText: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Containers that systemd supervises, on a node that it runs: started, watched, changed, restarted, judged and removed."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.bulkhead.linux.plugins.module_utils._runtime import cli  # noqa: F401  # pylint: disable=unused-import
from ansible_collections.bulkhead.linux.plugins.module_utils._runtime.cgroup.host import Host
from ansible_collections.bulkhead.linux.plugins.module_utils._runtime.container import commands, info
from ansible_collections.bulkhead.linux.plugins.module_utils._runtime.container.paths import Paths
from ansible_collections.bulkhead.linux.plugins.module_utils._runtime.container.subject import Containers
from ansible_collections.bulkhead.linux.plugins.module_utils._runtime.errors import BulkheadError

HOST, PATHS = Host.observe(), Paths()
UNITS = Path("/etc/systemd/system")
NAMES = ("bh-web", "bh-job", "bh-bad", "bh-old", "bh-more")
GROUP = "bulkhead.slice/bulkhead-%s.service/container"
# It ends at SIGTERM with a status of its own, and tells when.
LOOP = "echo hello; echo trouble >&2; trap 'echo bye; exit 3' TERM; while :; do sleep 0.3; done"


def sh(command: str) -> str:
    return subprocess.run(["sh", "-ec", command], check=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True).stdout.strip()


def call(*containers: dict[str, Any], persist: bool | None = None, check: bool = False) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """What the module does: (writes, reports). After applying, a second plan is empty."""
    subject = Containers()
    subject.persist = persist
    try:
        objects = [subject.parse(container) for container in containers]
        plan = subject.plan(objects)
        writes = plan.writes()
        if not check:
            if plan.steps:
                subject.apply(plan)
            subject.wait(objects)
            if plan.steps:
                plan = subject.plan(objects)
                assert plan.writes() == []
        return writes, subject.report(objects, plan)
    finally:
        subject.finish()


def look(name: str, log: int = 0) -> dict[str, Any]:
    return info.look(PATHS, HOST, {"name": name, "log_bytes": log})[0]


def groups_of(pid: int | str) -> set[str]:
    """The groups of a process, in all hierarchies."""
    return {line.split(":", 2)[2] for line in Path("/proc/%s/cgroup" % pid).read_text().splitlines()}


def held(name: str, v2: str, v1: str) -> str:
    hierarchy = HOST.hierarchy(v2.partition(".")[0], v2)
    return Path(hierarchy.path, GROUP % name, v2 if hierarchy.version == 2 else v1).read_text().strip()


def until(condition: Callable[[], Any]) -> Any:
    deadline = time.monotonic() + 240
    while not (found := condition()):
        assert time.monotonic() < deadline, "not within four minutes"
        time.sleep(0.3)
    return found


def traces() -> list[str]:
    """Units, links, drop-ins, groups, records and files of these containers."""
    roots = (
        UNITS,
        Path("/run/systemd/system"),
        Path("/sys/fs/cgroup"),
        Path("/run/bulkhead/containers"),
        Path("/run/bulkhead/units"),
        Path("/var/lib/bulkhead"),
    )
    found = [str(path) for root in roots if root.exists() for path in root.rglob("*bh-*")]
    found += [str(path) for name in ("bulkhead", "bulkhead.slice") for path in Path("/sys/fs/cgroup").rglob(name)]
    return sorted(path for path in found if "/base/" not in path)


@pytest.fixture(scope="module", autouse=True)
def _clean() -> Iterator[None]:
    yield
    call(*({"name": name, "state": "absent"} for name in NAMES))


WEB: dict[str, Any] = {
    "name": "bh-web",
    "command": ["sh", "-c", LOOP],
    "restart_policy": "always",
    "resources": {"memory": {"max": "32M"}, "cpu": {"max": 0.5}, "pids": {"max": 20}, "hugetlb": {"2MB": "4M"}},
}


def test_a_container_is_a_unit() -> None:
    foreseen = call(WEB, check=True)
    assert traces() == []
    writes, reports = call(WEB)
    assert writes == foreseen[0]
    assert reports[0]["status"] == "running" and reports[0]["cgroup"] == GROUP % "bh-web"
    assert reports[0]["effective"]["memory.max"] == str(32 << 20) and reports[0]["log"] == "journal"
    unit = look("bh-web")["unit"]
    assert unit == {"name": "bulkhead-bh-web.service", "active": "active", "sub": "running", "result": "success", "restarts": 0, "enabled": True}
    # The group of the limits holds the group in which the container lives and the one of its supervisor, in every hierarchy.
    assert held("bh-web", "memory.max", "memory.limit_in_bytes") == str(32 << 20)
    supervisor = int(sh("systemctl show -p MainPID --value bulkhead-bh-web"))
    for pid, inner in ((supervisor, "supervisor"), (reports[0]["pid"], "payload")):
        assert groups_of(pid) == {"/%s/%s" % (GROUP % "bh-web", inner)}


def test_its_supervisor_gives_nothing_away() -> None:
    """What holds for the built-in monitor: no descriptor too many, a sealed interpreter, nothing of it to be looked into."""
    supervisor = int(sh("systemctl show -p MainPID --value bulkhead-bh-web"))
    pid = look("bh-web")["pid"]
    assert sorted(int(fd) for fd in os.listdir("/proc/%d/fd" % pid)) == [0, 1, 2]
    assert [os.readlink("/proc/%d/fd/%d" % (pid, fd)).partition(":")[0] for fd in (1, 2)] == ["pipe", "pipe"]
    with pytest.raises(OSError):
        os.open("/proc/%d/exe" % supervisor, os.O_RDWR)
    with open("/proc/%d/status" % supervisor) as file:
        status = dict(line.rstrip("\n").split(":\t", 1) for line in file if ":\t" in line)
    assert status["Name"] == "bulkhead-unit"
    # Not dumpable: its files under /proc are root's in the machine's own sense, and it leaves no core.
    sh("setpriv --reuid 65534 --clear-groups ls /proc/%d/fd >/dev/null 2>&1 && exit 1 || true" % supervisor)
    assert "INVOCATION_ID" not in Path("/proc/%d/environ" % pid).read_text() and "NOTIFY" not in Path("/proc/%d/environ" % pid).read_text()


def test_again_nothing_is_written() -> None:
    before = sh("systemctl show -p UnitsLoadTimestampMonotonic"), look("bh-web")["pid"], (UNITS / "bulkhead-bh-web.service").stat().st_mtime_ns
    assert call(WEB)[0] == []
    sh("systemctl daemon-reload; systemctl set-property --runtime bulkhead-bh-web.service CPUWeight=44")
    assert call(WEB, check=True)[0] == []
    assert held("bh-web", "memory.max", "memory.limit_in_bytes") == str(32 << 20)
    after = look("bh-web")["pid"], (UNITS / "bulkhead-bh-web.service").stat().st_mtime_ns
    assert after == before[1:]
    sh("rm -r /run/systemd/system.control/bulkhead-bh-web.service.d; systemctl daemon-reload")


def test_its_output_is_in_the_journal_and_commands_run_in_it() -> None:
    lines = sh("journalctl --sync; journalctl -q -o cat -t bh-web").splitlines()
    assert {"hello", "trouble"} <= set(lines)
    assert "hello" in look("bh-web", log=1000)["output"]
    done = commands.run({"name": "bh-web", "command": ["sh", "-c", "cat /proc/1/comm; cat /proc/self/cgroup"]}, PATHS, HOST)
    assert done["rc"] == 0 and done["stdout"].startswith("sh\n")


def test_limits_change_while_it_runs_and_it_pauses() -> None:
    pid = look("bh-web")["pid"]
    changed = {**WEB, "resources": {**WEB["resources"], "memory": {"max": "48M"}}}
    writes, _reports = call(changed)
    assert any(write["after"] == str(48 << 20) for write in writes)
    assert held("bh-web", "memory.max", "memory.limit_in_bytes") == str(48 << 20)
    assert '"max": "48M"' in Path("/var/lib/bulkhead/units/bh-web.json").read_text()
    assert call({**changed, "state": "paused"})[1][0]["status"] == "paused"
    assert call({"name": "bh-web", "state": "started"})[1][0]["status"] == "running"
    assert look("bh-web")["pid"] == pid


def test_systemd_starts_it_again_and_stops_it_in_its_own_way() -> None:
    pid = look("bh-web")["pid"]
    os.kill(pid, signal.SIGKILL)
    again = until(lambda: (now := look("bh-web"))["status"] == "running" and now["pid"] not in (0, pid) and now)
    assert again["restarts"] == 1 and held("bh-web", "memory.max", "memory.limit_in_bytes") == str(48 << 20)
    # An administrator's stop: the container gets its own signal, and ends in its own way.
    sh("systemctl stop bulkhead-bh-web")
    ended = look("bh-web")
    assert ended["status"] == "stopped" and ended["exit"] == {"code": 3, "signal": 0, "killed_by": ""} and ended["unit"]["result"] == "success"
    assert "bye" in sh("journalctl --sync; journalctl -q -o cat -t bh-web")
    assert call({"name": "bh-web", "state": "started"})[1][0]["status"] == "running"
    call({"name": "bh-web", "state": "stopped"})
    assert look("bh-web")["unit"]["enabled"] is False
    assert call({"name": "bh-web", "state": "stopped"})[0] == []


def test_jobs_are_judged() -> None:
    eat = "x = b'x' * (200 << 20)"
    job: dict[str, Any] = {"name": "bh-job", "wait": True, "resources": {"memory": {"max": "24M"}}}
    if HOST.hierarchy("memory", "memory").version == 2:
        job["resources"]["memory"]["swap_max"] = 0
    with pytest.raises(BulkheadError, match=r"bh-job ended with status 137, killed for want of memory"):
        call({**job, "command": ["python3", "-c", eat]})
    assert look("bh-job")["exit"] == {"code": 137, "signal": 9, "killed_by": "memory"}
    assert not (UNITS / "bulkhead-bh-job.service").exists()  # a job does not come back at boot
    _writes, reports = call({**job, "command": ["sh", "-c", "echo result; exit 0"]})
    assert reports[0]["exit"]["code"] == 0 and reports[0]["output"] == "result\n"


def test_who_was_killed_for_want_of_memory_says_so() -> None:
    """The container's own record says it everywhere; systemd's result does where the kernel kills the group as one."""
    v2 = HOST.hierarchy("memory", "memory").version == 2
    # It eats when it is told to: by then systemd knows that it runs.
    waits, eats = "until [ -e /tmp/eat ]; do sleep 0.2; done; ", "python3 -c \"x = b'x' * (200 << 20)\""
    bad: dict[str, Any] = {"name": "bh-bad", "resources": {"memory": {"max": "24M", **({"swap_max": 0} if v2 else {})}}}

    def killed(container: dict[str, Any]) -> dict[str, Any]:
        call(container, persist=False)
        assert commands.run({"name": "bh-bad", "command": ["touch", "/tmp/eat"]}, PATHS, HOST)["rc"] == 0
        ended: dict[str, Any] = until(lambda: (now := look("bh-bad"))["status"] == "stopped" and now)
        assert ended["exit"] == {"code": 137, "signal": 9, "killed_by": "memory"} and ended["oom_kills"] >= 1
        return ended

    killed({**bad, "command": ["sh", "-c", waits + "exec " + eats]})
    if v2:
        # Its first process would live on, and has to go with the other.
        bad["resources"]["memory"]["oom_group"] = True
        assert killed({**bad, "command": ["sh", "-c", waits + eats + "; sleep 1000"]})["unit"]["result"] == "oom-kill"
    call({"name": "bh-bad", "state": "absent"})


def test_what_cannot_start_leaves_nothing() -> None:
    before = [path for path in traces() if not path.startswith("/sys/fs/cgroup/")]
    with pytest.raises(BulkheadError, match=r"container bh-bad: executing the command 'no-such-program' failed") as caught:
        call({"name": "bh-bad", "command": ["no-such-program"], "restart_policy": "always"}, {"name": "bh-more", "command": ["sleep", "1000"]})
    assert "no such program" in caught.value.hint and caught.value.undo_failures == []
    assert [path for path in traces() if "bh-bad" in path or "bh-more" in path or not path.startswith("/sys/fs/cgroup/")] == before
    assert sh("systemctl list-units --all --plain --no-legend 'bulkhead-bh-bad*' 'bulkhead-bh-more*'") == ""


def test_the_built_in_monitor_is_still_to_be_had_and_may_be_left() -> None:
    old = {"name": "bh-old", "command": ["sh", "-c", LOOP]}
    call({**old, "supervisor": "builtin"}, persist=False)
    assert look("bh-old")["cgroup"] == "bulkhead/bh-old" and not [path for path in traces() if "bulkhead-bh-old" in path]
    writes, _reports = call(old, persist=False)
    assert any("supervisor" in str(write["before"]) for write in writes)
    assert look("bh-old")["unit"]["active"] == "active" and Path("/run/systemd/system/bulkhead-bh-old.service").exists()
    # A slice that it was alone in goes when it leaves it.
    call({**old, "cgroup_parent": "bhpods"}, persist=False)
    assert look("bh-old")["cgroup"] == "bhpods.slice/bulkhead-bh-old.service/container"
    call({**old, "supervisor": "builtin"}, persist=False)
    assert not list(Path("/sys/fs/cgroup").rglob("bhpods.slice"))


def test_removed_they_leave_nothing() -> None:
    assert len(traces()) > 5
    call(*({"name": name, "state": "absent"} for name in NAMES))
    assert traces() == []
    assert call(*({"name": name, "state": "absent"} for name in NAMES))[0] == []
    assert sh("systemctl list-units --all --plain --no-legend 'bulkhead-bh-*'") == ""
