# SPDX-FileCopyrightText: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is said of services that end at once, and of those that end again and again."""

from __future__ import annotations

import time

import pytest
from ansible_collections.bulkhead.linux.plugins.module_utils._runtime.container import state

from .conftest import is_gone


def service(script, name="web", **options):
    return {"name": name, "command": ["sh", "-c", script], "settle": 1, **options}


def test_service_that_ends_at_once_fails(node):
    """It stays as it is, with its record and its log, and a further run starts it again and fails again."""
    for _turn in range(2):
        _count, (report,) = node.converge(service("echo no configuration; exit 3"))
        assert node.life.failures == {"web": "ended with status 3 right after its start"}
        assert report["status"] == "stopped" and report["output"].endswith("no configuration\n") and report["exit"]["code"] == 3


def test_service_that_is_killed_for_want_of_memory(node):
    script = "exec python3 -c 'x = bytearray(200 << 20)'"
    node.converge(service(script, resources={"memory": {"max": "32M"}}, settle=20))
    assert "killed for want of memory" in node.life.failures["web"] and "memory.max" in node.life.failures["web"]


def test_service_that_ends_well_is_warned_of(node):
    for _turn in range(2):
        node.converge(service("true"))
        assert not node.life.failures and "is it a job" in "".join(node.life.warnings)


def test_crash_loop_is_told_on_every_run(node):
    wanted = service("exit 7", restart_policy="always")
    node.converge(wanted)
    # On a busy machine the look may fall into one of its short lives.
    told = node.life.failures.get("web", "") or "".join(node.life.warnings)
    assert told.startswith("ended with status 7") or "started again" in told, told
    count, (report,) = node.converge(wanted)
    assert count == 0 and report["restarts"] > 0
    assert "container web" in "".join(node.life.warnings)


def test_service_that_comes_up_the_second_time_is_warned_of(node, share):
    script = "[ -e /x/ready ] || { touch /x/ready; exit 1; }; exec sleep 1000"
    node.converge(service(script, restart_policy="on-failure", volumes=["%s:/x" % share], settle=4))
    assert not node.life.failures
    assert "started again" in "".join(node.life.warnings)


def test_services_settle_at_the_same_time(node):
    items = [service("exec sleep 1000", "web-%d" % number, settle=3) for number in range(5)]
    began = time.monotonic()
    node.converge(*({**item, "settle": 0} for item in items))
    without = time.monotonic() - began
    node.converge(*({"name": item["name"], "state": "absent"} for item in items))
    began = time.monotonic()
    node.converge(*items)
    assert 3 <= time.monotonic() - began < without + 8
    assert not node.life.failures and not node.life.warnings


def test_job_that_takes_too_long_goes_on(node):
    job = {"name": "web", "command": ["sh", "-c", "echo begun; exec sleep 1000"], "wait": True, "wait_timeout": 1}
    _count, (report,) = node.converge(job)
    assert node.life.failures == {"web": "did not end within 1 seconds, and goes on"}
    assert report["status"] == "running" and "output" not in report
    record = state.read(node.paths.state("web"))
    time.sleep(0.5)
    assert state.is_alive(record["monitor"]) and state.start_time(record["pid"])


def test_job_within_its_time(node):
    _count, (report,) = node.converge({"name": "web", "command": ["sh", "-c", "echo done; exit 4"], "wait": True, "wait_timeout": 60})
    assert node.life.failures == {"web": "ended with status 4"} and report["output"] == "done\n"


def test_start_under_a_limit_that_is_too_low_names_it(node):
    """Killed before it became the command: the start has failed, and nothing is left of it."""
    from ansible_collections.bulkhead.linux.plugins.module_utils._runtime.errors import BulkheadError

    with pytest.raises(BulkheadError, match=r"memory\.max") as refused:
        node.serve("web", resources={"memory": {"max": "512K"}})
    assert "before it became the command" in str(refused.value) or "memory" in str(refused.value)
    assert is_gone(lambda: state.read(node.paths.state("web")) is None)
