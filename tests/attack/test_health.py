# SPDX-FileCopyrightText: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Health of containers: checked inside by the supervisor, changed while they run, and waited for."""

from __future__ import annotations

import time

import pytest
from ansible_collections.bulkhead.linux.plugins.module_utils._runtime.container import info, lifecycle, state
from ansible_collections.bulkhead.linux.plugins.module_utils._runtime.errors import InvalidInput

from .conftest import is_gone

READY = {"command": ["test", "-e", "/tmp/ready"], "interval": 0.3, "retries": 2}
SLOW_TO_COME = {"name": "web", "command": ["sh", "-c", "sleep 2; touch /tmp/ready; exec sleep 1000"]}


def described(node, name="web"):
    return info.describe(name, node.paths, lifecycle.Lifecycle(node.paths).host, info.Question({}))


def health(node):
    return described(node).get("health") or {}


def test_healthy_is_waited_for(node):
    wanted = {**SLOW_TO_COME, "state": "healthy", "healthcheck": {**READY, "start_period": 60}, "wait_timeout": 60}
    _count, (report,) = node.converge(wanted)
    assert not node.life.failures and report["health"] == {"status": "healthy", "failures": 0, "output": ""}
    assert node.converge(wanted)[0] == 0 and not node.life.failures


def test_becomes_unhealthy_and_well_again(node):
    node.converge({**SLOW_TO_COME, "healthcheck": {**READY, "command": "sh -c 'cat /tmp/ready; exit $?'"}})
    assert is_gone(lambda: health(node).get("status") == "healthy", 30)
    node.exec("web", ["rm", "/tmp/ready"])
    assert is_gone(lambda: health(node)["status"] == "unhealthy", 30)
    assert health(node)["failures"] >= 2 and "No such file" in health(node)["output"]
    node.exec("web", ["touch", "/tmp/ready"])
    assert is_gone(lambda: health(node)["status"] == "healthy", 30)
    node.converge({"name": "web", "state": "stopped"})
    assert health(node) == {}


def test_unhealthy_fails_the_wait(node):
    wanted = {"name": "web", "command": ["sleep", "1000"], "state": "healthy", "healthcheck": {**READY, "command": ["sh", "-c", "echo not yet; exit 1"]}}
    node.converge({**wanted, "wait_timeout": 60})
    assert node.life.failures == {"web": "is unhealthy: its check says: not yet"}
    assert described(node)["status"] == "running"


def test_time_is_up(node):
    wanted = {"name": "web", "command": ["sleep", "1000"], "state": "healthy", "healthcheck": {**READY, "start_period": 600}, "wait_timeout": 1}
    node.converge(wanted)
    assert "did not become healthy within 1 seconds" in node.life.failures["web"]


def test_check_that_hangs_is_killed(node):
    node.converge({"name": "web", "command": ["sleep", "1000"], "healthcheck": {"command": ["sleep", "500"], "interval": 0.3, "timeout": 0.3, "retries": 2}})
    assert is_gone(lambda: health(node).get("status") == "unhealthy", 30)
    assert "longer than 0.3 seconds" in health(node)["output"]
    count = "for f in /proc/[0-9]*/cmdline; do tr '\\0' ' ' < $f; done | grep -c 'sleep 500' || true"
    assert is_gone(lambda: int(node.exec("web", ["sh", "-c", count])["stdout"]) <= 2)


def test_is_changed_while_it_runs(node):
    """Given, changed and taken away, also where there was none before; labels likewise."""
    wanted = {"name": "web", "command": ["sleep", "1000"], "labels": {"tier": "one"}}
    pid = node.converge(wanted)[1][0]["pid"]
    assert described(node)["config"]["labels"] == {"tier": "one"}
    for check, status in (({**READY, "command": ["true"]}, "healthy"), ({**READY, "command": ["false"]}, "unhealthy"), (None, None)):
        wanted = {**wanted, "healthcheck": check, "labels": {"tier": "two", "check": str(status)}}
        count, (report,) = node.converge(wanted)
        assert count == 1 and report["pid"] == pid
        assert is_gone(lambda status=status: health(node).get("status") == status, 30)
        assert described(node)["config"]["labels"]["check"] == str(status)
        assert node.converge(wanted)[0] == 0


def test_paused_container_is_not_checked(node):
    wanted = {"name": "web", "command": ["sleep", "1000"], "healthcheck": {"command": ["true"], "interval": 0.3, "timeout": 0.5, "retries": 1}}
    node.converge(wanted)
    assert is_gone(lambda: health(node).get("status") == "healthy", 30)
    node.converge({**wanted, "state": "paused"})
    time.sleep(3)
    node.converge(wanted)
    time.sleep(1)
    assert health(node)["status"] == "healthy" and health(node)["failures"] <= 1


def test_checks_leave_nothing_behind(node):
    """Neither processes nor descriptors of the supervisor pile up."""
    import os

    node.converge({"name": "web", "command": ["sleep", "1000"], "healthcheck": {"command": ["true"], "interval": 0.1}})
    assert is_gone(lambda: health(node).get("status") == "healthy", 30)
    monitor = state.read(node.paths.state("web"))["monitor"]["pid"]
    before = len(os.listdir("/proc/%d/fd" % monitor))
    time.sleep(3)
    assert len(os.listdir("/proc/%d/fd" % monitor)) <= before + 6
    assert len(described(node)["processes"]) <= 2


def test_healthy_needs_a_check(node):
    with pytest.raises(InvalidInput, match="healthcheck"):
        node.converge({"name": "web", "command": ["sleep", "1000"], "state": "healthy"})
