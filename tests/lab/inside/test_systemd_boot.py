# SPDX-FileCopyrightText: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What systemd keeps over a reboot, in two runs of this file with a reboot or more between them: the first makes, the second looks and removes.

tests/lab/lab pytest NODE tests/lab/inside/test_systemd_boot.py && tests/lab/lab reboot NODE && tests/lab/lab pytest NODE ...
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import test_systemd_containers as containers
import test_systemd_groups as groups

NOTE = Path("/var/lib/bh-test-boot")
BOOT = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
GROUPS: tuple[dict[str, Any], ...] = (
    {"name": "bhtest/kept", "memory": {"max": "64M"}, "cpu": {"weight": 77}, "pids": {"max": 99}},
    {"name": "systemd-udevd.service", "pids": {"max": 444}},
)
PASSING: dict[str, Any] = {"name": "bhtest-passing", "pids": {"max": 5}}
RUNS: dict[str, Any] = {"name": "bh-runs", "command": ["sh", "-c", containers.LOOP], "resources": {"memory": {"max": "32M"}, "pids": {"max": 20}}}
STAYS: dict[str, Any] = {"name": "bh-stays", "command": ["sh", "-c", containers.LOOP]}


def test_units_come_back_with_the_boot() -> None:
    if not NOTE.exists():
        groups.call(*GROUPS)
        groups.call(PASSING, persist=False)
        containers.call(RUNS, STAYS)
        containers.call({"name": "bh-stays", "state": "stopped"})
        NOTE.write_text(BOOT)
        return
    assert NOTE.read_text() != BOOT, "this is to run again after a reboot"
    try:
        # Nobody but systemd has done anything since.
        assert groups.call(*GROUPS, check=True)[0] == []
        assert groups.held("bhtest-kept.slice", "pids.max") == "99"
        assert not groups.HOST.hierarchy("pids", "pids").tree.exists("bhtest\\x2dpassing.slice")
        running = containers.until(lambda: (seen := containers.look("bh-runs"))["status"] == "running" and seen)
        assert running["unit"]["enabled"] and running["started"] > "2"
        assert containers.held("bh-runs", "memory.max", "memory.limit_in_bytes") == str(32 << 20)
        assert containers.call(RUNS, check=True)[0] == []
        # One that was stopped stays so, is still known, and starts as it was.
        assert containers.look("bh-stays")["status"] == "stopped"
        assert containers.call({"name": "bh-stays", "state": "stopped"}, check=True)[0] == []
        assert containers.call(STAYS)[1][0]["status"] == "running"
    finally:
        containers.call({"name": "bh-runs", "state": "absent"}, {"name": "bh-stays", "state": "absent"})
        groups.call({"name": "bhtest", "state": "absent"}, {"name": "systemd-udevd.service", "state": "absent"})
        NOTE.unlink()
    assert [path for path in containers.traces() + groups.traces() if not path.endswith(("/bulkhead", "/bulkhead.slice", "bh-cut"))] == []
