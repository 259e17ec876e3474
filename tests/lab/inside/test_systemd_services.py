# SPDX-FileCopyrightText: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Services under systemd as they are used from day to day: one that ends at once, a check of health, a restart, a signal."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from ansible_collections.bulkhead.linux.plugins.module_utils._runtime.container import commands
from ansible_collections.bulkhead.linux.plugins.module_utils._runtime.container.subject import Containers
from ansible_collections.bulkhead.linux.plugins.module_utils._runtime.errors import BulkheadError
from test_systemd_containers import HOST, PATHS, call, look, sh, until

NAMES = ("bh-ends", "bh-serves")
SERVES = "trap 'echo again >>/tmp/said' HUP; trap 'exit 0' TERM; : >/tmp/ok; while :; do sleep 0.3; done"
SERVICE: dict[str, Any] = {
    "name": "bh-serves",
    "command": ["sh", "-c", SERVES],
    "restart_policy": "always",
    "healthcheck": {"command": ["test", "-e", "/tmp/ok"], "interval": 1, "timeout": 20, "retries": 2},
    "wait_timeout": 120,
}


@pytest.fixture(scope="module", autouse=True)
def _clean() -> Iterator[None]:
    yield
    call(*({"name": name, "state": "absent"} for name in NAMES))
    assert "bulkhead" not in sh("systemctl --failed --plain --no-legend")


def inside(command: str) -> str:
    done = commands.run({"name": "bh-serves", "command": ["sh", "-c", command]}, PATHS, HOST)
    assert done["rc"] == 0, done
    return str(done["stdout"])


def warnings(*containers: dict[str, Any]) -> list[str]:
    """What the module warns of when it is called with these."""
    subject = Containers()
    try:
        objects = [subject.parse(container) for container in containers]
        subject.apply(subject.plan(objects))
        subject.wait(objects)
        return list(subject.last.warnings)
    finally:
        subject.finish()


def test_a_service_that_ends_at_once_is_a_failure() -> None:
    ends: dict[str, Any] = {"name": "bh-ends", "command": ["sh", "-c", "echo no such table >&2; exit 4"], "settle": 3}
    with pytest.raises(BulkheadError, match="container bh-ends ended with status 4 right after its start") as caught:
        call(ends)
    assert "last words of bh-ends: no such table" in caught.value.hint
    # It stays as it is, to be looked at, by people and by systemd.
    seen = look("bh-ends")
    assert seen["status"] == "stopped" and seen["exit"]["code"] == 4 and seen["unit"]["active"] == "failed"
    with pytest.raises(BulkheadError, match=r"is to be started again by its restart policy|ended with status 4"):
        call({**ends, "restart_policy": "always"})
    until(lambda: int(look("bh-ends")["restarts"]) >= 1)
    # One that ended well may be a job.
    told = warnings({**ends, "command": ["true"]})
    assert any("is it a job (wait: true)?" in text for text in told), told


def test_health_is_waited_for_and_told() -> None:
    reports = call({**SERVICE, "state": "healthy"})[1]
    assert reports[0]["status"] == "running" and reports[0]["health"]["status"] == "healthy"
    assert call({**SERVICE, "state": "healthy"}, check=True)[0] == []
    inside("rm /tmp/ok")
    sick = until(lambda: (seen := look("bh-serves"))["health"]["status"] == "unhealthy" and seen)
    assert sick["status"] == "running" and sick["health"]["failures"] >= 2
    with pytest.raises(BulkheadError, match="container bh-serves is unhealthy"):
        call({**SERVICE, "state": "healthy"})
    inside(": >/tmp/ok")
    until(lambda: look("bh-serves")["health"]["status"] == "healthy")


def test_a_restart_is_a_restart_of_the_unit() -> None:
    inside("echo mine >/root/note")
    before = look("bh-serves")
    writes, reports = call({**SERVICE, "state": "restarted"})
    after = look("bh-serves")
    assert writes and reports[0]["status"] == "running" and after["pid"] not in (0, before["pid"])
    assert after["unit"]["active"] == "active" and after["unit"]["enabled"]
    assert inside("cat /root/note") == "mine\n"
    # What is kept for the boot is that it runs.
    assert call(SERVICE, check=True)[0] == []
    assert call({"name": "bh-serves", "state": "restarted"})[0]


def test_a_signal_goes_to_the_container_alone() -> None:
    before = look("bh-serves")["pid"], sh("systemctl show -p MainPID,NRestarts --value bulkhead-bh-serves")
    for count, request in enumerate(({**SERVICE, "signal": "HUP"}, {"name": "bh-serves", "signal": "SIGHUP"}), 1):
        assert call(request)[0]
        assert until(lambda: inside("cat /tmp/said || true").count("again")) == count
    assert before == (look("bh-serves")["pid"], sh("systemctl show -p MainPID,NRestarts --value bulkhead-bh-serves"))
