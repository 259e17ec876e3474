# SPDX-FileCopyrightText: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Machines of several kinds, and a run of the core on them as a module does it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.bulkhead.linux.plugins.module_utils._runtime.errors import BulkheadError
from ansible_collections.bulkhead.linux.plugins.module_utils._runtime.plan import Step, apply
from ansible_collections.bulkhead.linux.plugins.module_utils._runtime.resctrl.facts import Facts
from ansible_collections.bulkhead.linux.plugins.module_utils._runtime.resctrl.group import parse_group
from ansible_collections.bulkhead.linux.plugins.module_utils._runtime.resctrl.hardware import Hardware
from ansible_collections.bulkhead.linux.plugins.module_utils._runtime.resctrl.observation import Observation
from ansible_collections.bulkhead.linux.plugins.module_utils._runtime.resctrl.planning import GroupPlan, plan_groups
from ansible_collections.bulkhead.linux.plugins.module_utils._runtime.resctrl.report import report
from fake_resctrl import FakeResctrl, Machine


class Node:
    """One machine."""

    def __init__(self, base: Path, machine: Machine) -> None:
        self.tree = FakeResctrl(base / "resctrl", machine)
        self.options = {"cdp"} if machine.cdp else {"mba_MBps"} if machine.bandwidth == "MBps" else set()
        self.exact = machine.bandwidth != "mpam"
        self.desired: set[str] = set()

    def plan(self, *items: dict[str, Any]) -> GroupPlan:
        default = self.tree.read_short("schemata")
        hardware = Hardware.observe(self.tree, self.options, default)
        for bandwidth in hardware.bandwidths.values():
            bandwidth.exact = self.exact
        seen = Observation(self.tree, hardware, default)
        return plan_groups(hardware, seen, Facts.read(hardware.signature()), [parse_group(item) for item in items], self.desired, [])

    def steps(self, *items: dict[str, Any]) -> list[tuple[str, str | None]]:
        return [(step.target.replace(self.tree.path, "").lstrip("/"), step.after) for step in self.plan(*items).steps]

    def run(self, *items: dict[str, Any], progress: Any = None) -> list[Step]:
        """Converge, and see that a second plan is empty; returns the steps."""
        plan = self.plan(*items)
        apply(plan, progress)
        left = self.plan(*items).steps
        assert left == [], [step.facts() for step in left]
        return plan.steps

    def report(self, *items: dict[str, Any]) -> list[dict[str, Any]]:
        return report([parse_group(item) for item in items], self.plan(*items))

    def refused(self, *items: dict[str, Any]) -> str:
        """What the refusal says; nothing may have been written."""
        before, log = self.tree.snapshot(), list(self.tree.log)
        with pytest.raises(BulkheadError) as caught:
            self.plan(*items)
        assert self.tree.snapshot() == before
        assert self.tree.log == log
        return str(caught.value)


@pytest.fixture(autouse=True)
def prefix(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BULKHEAD_PREFIX", str(tmp_path / "prefix"))
    monkeypatch.setattr(os, "fsync", lambda _fd: None)  # what lies in /run is on no disk


@pytest.fixture
def intel(tmp_path: Path) -> Node:
    return Node(tmp_path, Machine())


@pytest.fixture
def cdp(tmp_path: Path) -> Node:
    return Node(tmp_path, Machine(cdp=True))


@pytest.fixture
def amd(tmp_path: Path) -> Node:
    return Node(tmp_path, Machine(ways=16, domains=(0, 1, 2, 3), shareable=0, least=0, sparse=True, bandwidth="eighths"))


@pytest.fixture
def mpam(tmp_path: Path) -> Node:
    return Node(tmp_path, Machine(ways=16, domains=(1, 7), shareable=0xFFFF, sparse=True, bandwidth="mpam"))
