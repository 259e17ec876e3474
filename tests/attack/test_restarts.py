# SPDX-FileCopyrightText: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Starting again what has ended, also where a start fails, and telling how things ended, also where there is no room to write it."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from contextlib import contextmanager
from pathlib import Path

import pytest
from ansible_collections.bulkhead.linux.plugins.module_utils._runtime.container import info, lifecycle, state
from ansible_collections.bulkhead.linux.plugins.module_utils._runtime.errors import BulkheadError, InvalidInput

from .conftest import is_gone


def described(node, name="web"):
    return info.describe(name, node.paths, lifecycle.Lifecycle(node.paths).host, info.Question({}))


def kill(node, name="web"):
    os.kill(state.read(node.paths.state(name))["pid"], 9)


def take_volume(share):
    def take():
        share.rename(share.with_name("gone"))

    def give_back():
        share.with_name("gone").rename(share)

    return take, give_back


def take_program(share):
    program = share / "program"

    def take():
        program.rename(share / "replaced")

    def give_back():
        (share / "replaced").rename(program)

    return take, give_back


@pytest.mark.parametrize(("away", "policy"), [(take_volume, "always"), (take_program, "always"), (take_program, "on-failure"), (take_volume, "unless-stopped")])
def test_start_that_fails_is_tried_again(node, share, away, policy):
    """What is away for a while ends no restart policy; until it is back, the container is restarting and says why."""
    program = share / "program"
    program.write_text("#!/bin/sh\nexec sleep 1000\n", encoding="utf-8")
    program.chmod(0o755)
    node.serve("web", command=["/x/program"], volumes=["%s:/x" % share], restart_policy=policy)
    take, give_back = away(share)
    take()
    kill(node)
    assert is_gone(lambda: "error" in described(node))
    time.sleep(1)
    found = described(node)
    assert found["status"] == "restarting" and found["error"]["errno"] == "ENOENT", found
    assert found["pid"] == 0 and found["exit"]["code"] == 137
    give_back()
    assert is_gone(lambda: described(node)["status"] == "running", 15)
    found = described(node)
    assert "error" not in found and found["restarts"] >= 3
    assert node.exec("web", ["true"])["rc"] == 0


def test_waiting_for_a_start_can_be_stopped(node, share):
    node.serve("web", volumes=["%s:/x" % share], restart_policy="always")
    share.rename(share.with_name("gone"))
    kill(node)
    assert is_gone(lambda: "error" in described(node))
    monitor = state.read(node.paths.state("web"))["monitor"]
    began = time.monotonic()
    report = node.converge({"name": "web", "state": "stopped"})[1][0]
    assert time.monotonic() - began < 5 and report["status"] == "stopped"
    assert is_gone(lambda: not state.is_alive(monitor))
    share.with_name("gone").rename(share)


def test_limited_number_of_tries(node):
    node.converge({"name": "web", "command": ["sh", "-c", "exit 3"], "restart_policy": "on-failure:2", "settle": 0})
    assert is_gone(lambda: described(node)["status"] == "stopped")
    assert described(node)["restarts"] == 2 and described(node)["exit"]["code"] == 3


@pytest.mark.parametrize("policy", ["no", "on-failure:1"])
def test_what_is_not_started_again_is_stopped(node, policy):
    node.serve("web", restart_policy="on-failure" if policy != "no" else "no")
    node.converge({"name": "web", "state": "stopped"})
    assert described(node)["status"] == "stopped"
    assert described(node)["exit"] == {"code": 137, "signal": 9, "killed_by": ""}


def test_a_stop_out_of_patience_is_no_want_of_memory(node):
    """The kernel killed a child for want of memory earlier; that the container was killed by its stop is told as that."""
    script = "trap '' TERM; python3 -c 'x = bytearray(200 << 20)'; echo survived; while :; do sleep 1; done"
    node.converge({"name": "web", "command": ["sh", "-c", script], "resources": {"memory": {"max": "48M"}}, "stop_timeout": 1})
    log = Path(node.paths.log, "web.log")
    assert is_gone(lambda: log.exists() and "survived" in log.read_text(encoding="utf-8"), 20)
    report = node.converge({"name": "web", "state": "stopped"})[1][0]
    assert report["exit"] == {"code": 137, "signal": 9, "killed_by": ""} and report["oom_kills"] == 1


@contextmanager
def small_run(node):
    """A /run of its own for the node, which can be filled without harm to anybody."""
    place = node.prefix + "/run"
    os.makedirs(place, exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", place], check=True)
    try:
        yield Path(place)
    finally:
        node.clear()
        subprocess.run(["umount", place], check=True)
        shutil.rmtree(place)


def fill(place):
    with open(place / "filler", "wb", buffering=0) as file:
        while True:
            try:
                if not file.write(b"x" * 4096):
                    return
            except OSError:
                return


def test_full_run_does_not_end_a_restart_policy(node):
    with small_run(node) as place:
        node.serve("web", restart_policy="always")
        before = state.read(node.paths.state("web"))
        fill(place)
        kill(node)
        assert is_gone(lambda: not state.start_time(before["pid"]))
        time.sleep(1)
        assert state.read(node.paths.state("web"))["created"] == before["created"], "the record is damaged"
        (place / "filler").unlink()
        assert is_gone(lambda: described(node)["status"] == "running", 15)
        assert state.read(node.paths.state("web"))["pid"] != before["pid"]
        assert node.exec("web", ["true"])["rc"] == 0


def test_full_run_does_not_lose_how_a_container_ended(node):
    with small_run(node) as place:
        node.converge({"name": "web", "command": ["sh", "-c", "mkfifo /tmp/pipe; read line < /tmp/pipe; exit 5"]})
        assert is_gone(lambda: node.exec("web", ["test", "-p", "/tmp/pipe"])["rc"] == 0)
        fill(place)
        node.exec("web", ["sh", "-c", "echo > /tmp/pipe"])
        assert is_gone(lambda: described(node)["status"] == "stopped", 30)
        (place / "filler").unlink()
        assert is_gone(lambda: described(node)["exit"]["code"] == 5)


def test_full_run_lets_a_container_be_stopped(node):
    with small_run(node) as place:
        node.serve("web", restart_policy="always")
        fill(place)
        assert node.converge({"name": "web", "state": "stopped"})[1][0]["status"] == "stopped"
        (place / "filler").unlink()


def test_restarted(node):
    """Stopped and started again each time, with its private files; what is not there is made."""
    wanted = {"name": "web", "command": ["sleep", "1000"], "state": "restarted"}
    first = node.converge(wanted)[1][0]
    node.exec("web", ["sh", "-c", "echo kept > /root/file"])
    count, (second,) = node.converge({**wanted, "state": "restarted"})
    assert count and second["pid"] != first["pid"] and second["status"] == "running"
    assert node.exec("web", ["cat", "/root/file"])["stdout"] == "kept\n"
    third = node.converge({"name": "web", "state": "restarted"})[1][0]
    assert third["pid"] != second["pid"] and not state.start_time(second["pid"])
    assert node.converge({**wanted, "state": "started"})[0] == 0


def test_restart_that_fails_brings_the_old_one_back(node, share):
    node.serve("web", volumes=["%s:/x" % share])
    share.rename(share.with_name("gone"))
    with pytest.raises(BulkheadError):
        node.converge({"name": "web", "state": "restarted"})
    share.with_name("gone").rename(share)
    assert node.converge({"name": "web", "state": "started"})[1][0]["status"] == "running"


def test_signal(node):
    script = "trap 'echo heard' HUP; trap 'exit 9' RTMIN+1; echo ready; while :; do sleep 0.1; done"
    wanted = {"name": "web", "command": ["bash", "-c", script]}
    log = Path(node.paths.log, "web.log")
    node.converge({**wanted, "signal": "HUP"})
    assert is_gone(lambda: log.exists() and "ready" in log.read_text(encoding="utf-8"), 20)
    assert "heard" not in log.read_text(encoding="utf-8")
    assert node.converge({**wanted, "signal": "HUP"}, check=True)[0] == 1
    assert node.converge({**wanted, "signal": "HUP"})[0] == 1
    assert is_gone(lambda: "heard" in log.read_text(encoding="utf-8"))
    assert node.converge(wanted)[0] == 0
    node.converge({"name": "web", "signal": "SIGRTMIN+1"})
    assert is_gone(lambda: described(node)["status"] == "stopped") and described(node)["exit"]["code"] == 9
    with pytest.raises(InvalidInput, match="signal"):
        node.converge({"name": "web", "signal": "NONSENSE"})
    with pytest.raises(InvalidInput, match="signal"):
        node.converge({"name": "web", "signal": "HUP", "state": "stopped"})


def test_stops_of_one_call_wait_at_the_same_time(node):
    """Twenty that do not hear a signal are gone after the time that one has."""
    deaf = {"command": ["sh", "-c", "trap '' TERM; while :; do sleep 1; done"], "stop_timeout": 3}
    names = ["deaf-%d" % number for number in range(20)]
    node.converge(*({"name": name, **deaf} for name in names))
    time.sleep(2)
    began = time.monotonic()
    reports = node.converge(*({"name": name, "state": "stopped"} for name in names))[1]
    assert 3 <= time.monotonic() - began < 20  # one after the other would take a minute
    assert {report["exit"]["signal"] for report in reports} == {9}
