# SPDX-FileCopyrightText: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Containers as units of systemd: what is written for systemd to read. What it does with it, the lab shows."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.bulkhead.linux.plugins.module_utils._runtime.container import config, groups, units
from ansible_collections.bulkhead.linux.plugins.module_utils._runtime.container.paths import Paths
from ansible_collections.bulkhead.linux.plugins.module_utils._runtime.errors import InvalidInput


def asked(**options: Any) -> dict[str, Any]:
    return config.parse({"name": "web", "command": ["true"], **options}, "/var/log/bulkhead", systemd_runs=True)


def lines(settings: dict[str, Any], resources: dict[str, Any] | None = None) -> dict[str, str]:
    text = units.unit_text(settings, resources or {}, "/var/lib/bulkhead/units/web.json", Paths(""))
    return dict(line.split("=", 1) for line in text.splitlines() if "=" in line)


def test_who_supervises() -> None:
    assert asked()["supervisor"] == "systemd" and asked()["log"]["path"] == "journal"
    assert "supervisor" not in asked(supervisor="builtin") and asked(supervisor="builtin")["log"]["path"] == "/var/log/bulkhead/web.log"
    assert asked(log={"path": "/var/log/web"})["log"]["path"] == "/var/log/web" and asked(log={"path": "none"})["log"]["path"] == ""
    assert "supervisor" not in config.parse({"name": "web", "command": ["true"]}, "/var/log/bulkhead")
    with pytest.raises(InvalidInput, match="systemd does not run this machine"):
        config.parse({"name": "web", "command": ["true"], "supervisor": "systemd"}, "/var/log/bulkhead")


@pytest.mark.parametrize(
    ("policy", "restart", "interval", "burst"),
    [
        ("no", "no", "0", None),
        ("always", "always", "0", None),
        ("unless-stopped", "always", "0", None),
        ("on-failure", "on-failure", "0", None),
        ("on-failure:3", "on-failure", "infinity", "4"),
    ],
)
def test_the_restart_policy_is_systemds(policy: str, restart: str, interval: str, burst: str | None) -> None:
    found = lines(asked(restart_policy=policy))
    assert (found["Restart"], found["StartLimitIntervalSec"], found.get("StartLimitBurst")) == (restart, interval, burst)


def test_what_the_unit_says() -> None:
    found = lines(asked(stop_timeout=30, network={"mode": "host"}))
    assert found["TimeoutStopSec"] == "45" and found["After"] == "network.target" and found["SyslogIdentifier"] == "web"
    assert found["Delegate"] == "yes" and found["Type"] == "notify" and found["KillMode"] == "mixed" and found["Slice"] == "bulkhead.slice"
    assert found["ExecStart"].endswith(" -I -S /usr/local/libexec/bulkhead.pyz run-unit /var/lib/bulkhead/units/web.json")
    assert found["OOMPolicy"] == "continue" and lines(asked(), {"memory": {"oom_group": True}})["OOMPolicy"] == "stop"


@pytest.mark.parametrize(
    ("parent", "group"),
    [
        ("bulkhead", "bulkhead.slice/bulkhead-web.service/container"),
        ("batch/night", "batch.slice/batch-night.slice/bulkhead-web.service/container"),
        ("system.slice", "system.slice/bulkhead-web.service/container"),
    ],
)
def test_where_its_group_is(parent: str, group: str) -> None:
    assert groups.name_of(asked(cgroup_parent=parent)) == group


def test_a_unit_is_in_a_slice_only() -> None:
    with pytest.raises(InvalidInput, match=r"nginx.service is no slice"):
        groups.name_of(asked(cgroup_parent="nginx.service"))


@pytest.mark.parametrize(("result", "killed_by", "kills"), [("oom-kill", "memory", 1), ("signal", "", 0)])
def test_how_it_ended_where_its_supervisor_was_killed_with_it(result: str, killed_by: str, kills: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(units, "show", lambda names: {name: {"Result": result} for name in names})
    record: dict[str, Any] = {"status": "running", "pid": 7, "oom_kills": 0}
    units.complete("web", record)
    assert record == {"status": "stopped", "pid": 0, "exit": {"code": 137, "signal": 9, "killed_by": killed_by}, "oom_kills": kills}
    written = {"status": "stopped", "pid": 0, "exit": {"code": 3, "signal": 0, "killed_by": ""}}
    units.complete("web", known := dict(written))
    assert known == written
