# SPDX-FileCopyrightText: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What others do to a container's unit on a node of systemd's, and what becomes of it: mounts that come late, units of the same name,
limits and freezing of the unit, signals, restarts, reloads, records that are damaged, and failures that must not stay.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.bulkhead.linux.plugins.module_utils._runtime.container import commands, state
from ansible_collections.bulkhead.linux.plugins.module_utils._runtime.container.subject import Containers
from ansible_collections.bulkhead.linux.plugins.module_utils._runtime.errors import BulkheadError, InvalidInput
from test_systemd_containers import HOST, LOOP, PATHS, UNITS, call, held, look, sh, until

NAMES = ("bh-late", "bh-own", "bh-care", "bh-two", "bh-three", "replay")
DATA = Path("/srv/bh-data")
MOUNT = Path("/etc/systemd/system/srv-bh\\x2ddata.mount")
WRITES = ["sh", "-c", "date >>/data/file; exec sleep 1000"]
V2 = HOST.mode == "v2"


def unit(name: str, what: str) -> str:
    return sh("systemctl show -p %s --value bulkhead-%s" % (what, name))


def replay(*containers: dict[str, Any]) -> dict[str, str]:
    """What a boot does with these; {name: why} of those that are left alone."""
    subject = Containers()
    subject.replaying = True
    try:
        objects = [subject.parse(container) for container in containers]
        left = {thing.name: why for thing in objects if (why := subject.left_alone(thing))}
        wanted = [thing for thing in objects if thing.name not in left]
        plan = subject.plan(wanted)
        if plan.steps:
            subject.apply(plan)
            assert not subject.plan(wanted).steps
        return left
    finally:
        subject.finish()


@pytest.fixture(autouse=True, scope="module")
def _clean() -> Iterator[None]:
    DATA.mkdir(parents=True, exist_ok=True)
    yield
    call(*({"name": name, "state": "absent"} for name in NAMES))
    sh("while umount -l %s 2>/dev/null; do :; done; rm -f '%s' %s/file; systemctl daemon-reload; rmdir %s" % (DATA, MOUNT, DATA, DATA))


def late(**options: Any) -> dict[str, Any]:
    return {"name": "bh-late", "command": WRITES, "stop_timeout": 0, "volumes": ["%s:/data" % DATA], **options}


def mount() -> None:
    sh("mount -t tmpfs -o size=1M bhlate %s" % DATA)


@pytest.mark.parametrize("policy", ["no", "always"])
def test_a_mount_by_hand_is_waited_for(policy: str) -> None:
    mount()
    call(late(restart_policy=policy))
    until((DATA / "file").exists)
    # It was stopped with the machine, and the boot has no such file system yet.
    sh("systemctl stop bulkhead-bh-late; umount %s" % DATA)
    sh("systemctl start bulkhead-bh-late")
    assert unit("bh-late", "StatusText") == "waiting until %s is mounted" % DATA and not list(DATA.iterdir())
    seen = look("bh-late")
    assert seen["status"] == "restarting" and "%s is not mounted" % DATA in seen["error"]["problem"]
    assert call(late(restart_policy=policy), check=True)[0] == []
    sh("systemctl stop bulkhead-bh-late")
    assert look("bh-late")["status"] == "stopped"
    with pytest.raises(BulkheadError, match="is not mounted, and was when the container was asked for"):
        call(late(restart_policy=policy))
    sh("systemctl start bulkhead-bh-late")
    assert replay(late(restart_policy=policy)) == {"bh-late": "it waits until %s is mounted" % DATA}
    assert "bulkhead" not in sh("systemctl --failed --plain --no-legend")
    mount()
    until(lambda: look("bh-late")["status"] == "running")
    until((DATA / "file").exists)
    # One that was stopped is not started by it.
    call({"name": "bh-late", "state": "stopped"})
    sh("umount %s" % DATA)
    mount()
    time.sleep(3)
    assert look("bh-late")["status"] == "stopped"
    call({"name": "bh-late", "state": "absent"})
    sh("umount %s" % DATA)
    assert not list(UNITS.rglob("*bh-late*")) and not Path("/var/lib/bulkhead/mounts/bh-late.json").exists()


def test_a_mount_unit_is_waited_for() -> None:
    """One that takes its time; whoever starts the container at boot waits for it, and a replay leaves that to systemd."""
    mount()
    call(late())
    sh("systemctl stop bulkhead-bh-late; umount %s" % DATA)
    MOUNT.write_text("[Unit]\nRequires=bh-slow.service\nAfter=bh-slow.service\n[Mount]\nWhat=bhlate\nWhere=%s\nType=tmpfs\n" % DATA)
    slow = UNITS / "bh-slow.service"
    slow.write_text("[Service]\nType=oneshot\nExecStart=/bin/sleep 8\n")
    try:
        sh("systemctl daemon-reload; systemctl start --no-block bulkhead-bh-late")
        assert replay(late()) == {"bh-late": "systemd is starting it"}
        assert not list(DATA.iterdir())
        until(lambda: look("bh-late")["status"] == "running")
        assert os.path.ismount(DATA)
        until((DATA / "file").exists)
    finally:
        call({"name": "bh-late", "state": "absent"})
        slow.unlink()
        sh("umount %s; rm '%s'; systemctl daemon-reload" % (DATA, MOUNT))


def test_the_built_in_supervisor_waits_too() -> None:
    own = {**late(name="bh-own", supervisor="builtin")}
    mount()
    call(own)
    call({"name": "bh-own", "state": "stopped"})
    sh("umount %s" % DATA)
    assert replay(own) == {}
    assert look("bh-own")["status"] == "restarting" and not list(DATA.iterdir())
    mount()
    until(lambda: look("bh-own")["status"] == "running")
    call({"name": "bh-own", "state": "absent"})
    sh("umount %s" % DATA)


def test_somebody_elses_unit_stays() -> None:
    theirs = UNITS / "bulkhead-bh-care.service"
    theirs.write_text("[Service]\nExecStart=/bin/sleep 1000\n")
    drop_in = UNITS / "bulkhead-bh-care.service.d/theirs.conf"
    try:
        with pytest.raises(InvalidInput, match="was not made by this collection"):
            call({"name": "bh-care", "command": ["sleep", "1000"]})
        assert call({"name": "bh-care", "state": "absent"})[0] == []
        assert "sleep 1000" in theirs.read_text()
        theirs.unlink()
        drop_in.parent.mkdir()
        drop_in.write_text("[Service]\nNice=5\n")
        sh("systemctl daemon-reload")
        call({"name": "bh-care", "command": ["sleep", "1000"], "stop_timeout": 0})
        assert unit("bh-care", "Nice") == "5"
        call({"name": "bh-care", "state": "absent"})
        assert drop_in.read_text() == "[Service]\nNice=5\n"
    finally:
        sh("rm -rf '%s' '%s'; systemctl daemon-reload" % (theirs, drop_in.parent))


def test_a_failure_goes_with_the_container() -> None:
    call({"name": "bh-care", "command": ["sh", "-c", "sleep 0.5; exit 7"], "settle": 0})
    until(lambda: unit("bh-care", "ActiveState") == "failed")
    assert look("bh-care")["exit"]["code"] == 7
    assert "bulkhead-bh-care" in sh("systemctl --failed --plain --no-legend")
    call({"name": "bh-care", "state": "absent"})
    assert "bulkhead" not in sh("systemctl --failed --plain --no-legend")
    assert call({"name": "bh-care", "state": "absent"})[0] == []


def test_a_container_called_replay() -> None:
    """Its unit was that of role node."""
    role = Path("/etc/systemd/system/bulkhead.service")
    call({"name": "replay", "command": ["sleep", "1000"], "stop_timeout": 0}, persist=False)
    assert unit("replay", "ActiveState") == "active" and (not role.exists() or "bulkhead keeps" in role.read_text())
    call({"name": "replay", "state": "absent"})


CARE: dict[str, Any] = {
    "name": "bh-care",
    "command": ["sh", "-c", LOOP],
    "restart_policy": "on-failure",
    "stop_timeout": 5,
    "resources": {"memory": {"max": "64M"}, "pids": {"max": 30}, "cpu": {"max": 1}},
}


def test_limits_of_the_unit_are_told() -> None:
    """Set by others for reasons of theirs, they are in force whatever the container's own group holds."""
    call(CARE)
    try:
        sh("systemctl set-property --runtime bulkhead-bh-care MemoryMax=48M TasksMax=20")
        until(lambda: look("bh-care")["stats"]["limits"]["memory.max"] == str(48 << 20))
        stats = look("bh-care")["stats"]
        unit_group = "bulkhead.slice/bulkhead-bh-care.service"
        assert stats["limits"]["pids.max"] == "20" and stats["limited_by"] == {"memory.max": unit_group, "pids.max": unit_group}
        assert held("bh-care", "memory.max", "memory.limit_in_bytes") == str(64 << 20)
        writes, reports = call(CARE, check=True)
        assert writes == [] and reports[0]["effective"]["memory.max"] == str(48 << 20)
        subject = Containers()
        warnings = subject.plan([subject.parse(CARE)]).warnings
        subject.finish()
        assert len(warnings) == 2 and "memory.max is %d in force, by the group of its unit" % (48 << 20) in warnings[0]
    finally:
        sh("systemctl revert bulkhead-bh-care; rm -rf /run/systemd/system.control/bulkhead-bh-care.service.d; systemctl daemon-reload")
    until(lambda: "limited_by" not in look("bh-care")["stats"])


def freezer(group: str, frozen: bool) -> None:
    hierarchy = HOST.hierarchy_of("freezer")
    file, word = ("cgroup.freeze", str(int(frozen))) if hierarchy.version == 2 else ("freezer.state", "FROZEN" if frozen else "THAWED")
    Path(hierarchy.tree.full(group), file).write_text(word)


def test_a_frozen_unit_is_told_and_thawed() -> None:
    call(CARE)
    group = "bulkhead.slice/bulkhead-bh-care.service"
    if HOST.hierarchy_of("freezer").version == 2:
        sh("systemctl freeze bulkhead-bh-care")
    else:
        freezer(group, True)
    assert until(lambda: look("bh-care")["status"] == "paused")
    assert call(CARE)[1][0]["status"] == "running"
    assert commands.run({"name": "bh-care", "command": ["true"]}, PATHS, HOST)["rc"] == 0
    # By a group that is not its own: told, and not thawed behind somebody's back.
    freezer("bulkhead.slice", True)
    try:
        assert until(lambda: look("bh-care")["status"] == "paused")
        with pytest.raises(BulkheadError, match=r"frozen with the group \S*bulkhead.slice above it"):
            call(CARE)
    finally:
        freezer("bulkhead.slice", False)
    until(lambda: look("bh-care")["status"] == "running")


def test_the_supervisor_is_out_of_the_oom_killers_choice() -> None:
    call(CARE)
    main, pid = int(unit("bh-care", "MainPID")), look("bh-care")["pid"]
    assert Path("/proc/%d/oom_score_adj" % main).read_text().strip() == "-1000"
    assert Path("/proc/%d/oom_score_adj" % pid).read_text().strip() == "0"


def agrees(name: str) -> str:
    """The status, on which record, kernel and systemd agree."""
    seen, record = look(name), state.read(PATHS.state(name)) or {}
    active = unit(name, "ActiveState")
    if seen["status"] == "running":
        assert active == "active" and record["status"] == "running" and Path("/proc/%d" % seen["pid"]).exists()
        assert record["monitor"]["pid"] == int(unit(name, "MainPID"))
    else:
        assert active in ("inactive", "failed") and not seen["pid"]
        assert seen["stats"]["pids"]["current"] in (0, None) if "stats" in seen else True
    return str(seen["status"])


def test_what_systemctl_does_is_what_is_told() -> None:
    call(CARE)
    sh("systemctl daemon-reload; systemctl daemon-reexec")
    pid = look("bh-care")["pid"]
    assert agrees("bh-care") == "running" and call(CARE, check=True)[0] == []
    sh("systemctl restart bulkhead-bh-care")
    assert agrees("bh-care") == "running" and look("bh-care")["pid"] != pid
    sh("systemctl kill bulkhead-bh-care")  # SIGTERM for all in it: a stop that was asked for
    until(lambda: unit("bh-care", "ActiveState") in ("inactive", "failed"))
    assert agrees("bh-care") == "stopped"
    call(CARE)
    pid = look("bh-care")["pid"]
    sh("systemctl kill -s KILL bulkhead-bh-care")  # a failure: it is started again
    until(lambda: look("bh-care")["status"] == "running" and look("bh-care")["pid"] != pid)
    assert agrees("bh-care") == "running"
    os.kill(int(unit("bh-care", "MainPID")), signal.SIGKILL)
    until(lambda: look("bh-care")["status"] == "running" and unit("bh-care", "NRestarts") == "2")
    assert agrees("bh-care") == "running"
    sh("systemctl stop bulkhead-bh-care")
    assert agrees("bh-care") == "stopped" and look("bh-care")["exit"]["code"] == 3


def test_private_files_outlive_a_killed_supervisor() -> None:
    call(CARE)
    commands.run({"name": "bh-care", "command": ["sh", "-c", "echo mine >/root/note"]}, PATHS, HOST)
    sh("systemctl kill -s KILL bulkhead-bh-care; systemctl stop bulkhead-bh-care")
    call(CARE)
    assert commands.run({"name": "bh-care", "command": ["cat", "/root/note"]}, PATHS, HOST)["stdout"] == "mine\n"


@pytest.mark.parametrize("damage", ["", "{", "null", '{"status": 5}'])
def test_a_damaged_record_is_healed(damage: str) -> None:
    call(CARE)
    commands.run({"name": "bh-care", "command": ["sh", "-c", "echo mine >/root/note"]}, PATHS, HOST)
    record = Path(PATHS.state("bh-care"), state.FILE)
    record.write_text(damage)
    assert call(CARE)[1][0]["status"] == "running"
    assert agrees("bh-care") == "running"
    assert commands.run({"name": "bh-care", "command": ["cat", "/root/note"]}, PATHS, HOST)["stdout"] == "mine\n"
    record.write_text(damage)
    call({"name": "bh-care", "state": "stopped"})
    assert agrees("bh-care") == "stopped"
    call(CARE)


def test_a_start_that_fails_is_tried_again_with_growing_pauses() -> None:
    tool = Path("/srv/bh-data/tool")
    tool.write_text("#!/bin/sh\nsleep 1\nexit 1\n")
    tool.chmod(0o755)
    call({"name": "bh-two", "command": ["/data/tool"], "volumes": ["%s:/data" % DATA], "restart_policy": "always", "stop_timeout": 0})
    tool.rename("/srv/bh-data/away")
    failed = until(lambda: (state.read(PATHS.state("bh-two")) or {}).get("failed_starts", 0) >= 3 and look("bh-two"))
    assert failed["status"] == "restarting" and "/data/tool" in failed["error"]["problem"]
    count = int(unit("bh-two", "NRestarts"))
    time.sleep(5)
    assert int(unit("bh-two", "NRestarts")) - count <= 2, "it is started again every second"
    Path("/srv/bh-data/away").rename(tool)
    until(lambda: look("bh-two")["status"] == "running")
    assert "error" not in look("bh-two")
    call({"name": "bh-two", "state": "absent"})
    tool.unlink()


def test_stops_of_one_call_wait_at_the_same_time() -> None:
    deaf = {"command": ["sh", "-c", "trap '' TERM; while :; do sleep 1; done"], "stop_timeout": 6}
    three = [{"name": name, **deaf} for name in ("bh-two", "bh-three")] + [{"name": "bh-own", **deaf, "supervisor": "builtin"}]
    call(*three, persist=False)
    began = time.monotonic()
    call(*({"name": one["name"], "state": "stopped"} for one in three), persist=False)
    assert 6 <= time.monotonic() - began < 17
    assert [look(str(one["name"]))["exit"]["code"] for one in three] == [137] * 3
    call(*({"name": one["name"], "state": "absent"} for one in three))


def test_nothing_is_left() -> None:
    call(*({"name": name, "state": "absent"} for name in NAMES))
    assert [str(path) for path in UNITS.rglob("*bulkhead-bh-*")] == []
    assert "bulkhead" not in sh("systemctl --failed --plain --no-legend")
