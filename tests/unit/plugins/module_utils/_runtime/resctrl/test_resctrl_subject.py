# SPDX-FileCopyrightText: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Classes from the first look to what is returned, as a module goes through them, and who has what when nothing is left."""

from __future__ import annotations

import errno
from typing import Any

import pytest
from ansible_collections.bulkhead.linux.plugins.module_utils._runtime import desired
from ansible_collections.bulkhead.linux.plugins.module_utils._runtime.errors import BulkheadError
from ansible_collections.bulkhead.linux.plugins.module_utils._runtime.plan import apply
from ansible_collections.bulkhead.linux.plugins.module_utils._runtime.resctrl import mounting
from ansible_collections.bulkhead.linux.plugins.module_utils._runtime.resctrl.group import Monitor, parse_group
from ansible_collections.bulkhead.linux.plugins.module_utils._runtime.resctrl.subject import Schemata
from conftest import Node
from fake_resctrl import refuse


def run(node: Node, item: dict[str, Any], monkeypatch: pytest.MonkeyPatch, check: bool = False) -> dict[str, Any]:
    """What the module would return of one class."""
    monkeypatch.setattr(mounting, "find", lambda: mounting.Mounted(node.tree.path, frozenset(node.options)))
    monkeypatch.setattr(desired, "read", lambda _kind: {})
    monkeypatch.setattr(Schemata, "_open", lambda _self, _path: node.tree)
    subject = Schemata()
    objects = [subject.parse(item)]
    last = subject.plan(objects)
    if not check:
        subject.apply(last)
        last = subject.plan(objects)
        assert last.steps == []
    return subject.report(objects, last)[0]


def test_where_the_tasks_of_a_removed_class_go_is_told_in_check_mode_and_after(intel: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    run(intel, {"name": "be", "mb": "30%"}, monkeypatch)
    intel.tree.write("be/tasks", "4711\n4712\n")
    told = "2 tasks go to the default group"
    assert run(intel, {"name": "be", "state": "absent"}, monkeypatch, check=True)["tasks_go"] == told
    assert run(intel, {"name": "be", "state": "absent"}, monkeypatch)["tasks_go"] == told
    assert run(intel, {"name": "be", "state": "absent"}, monkeypatch)["tasks_go"] == ""


def test_who_has_the_monitoring_ids_is_told(intel: Node) -> None:
    intel.tree.machine.rmids = 6
    intel.tree._info()
    intel.run({"name": "gold", "l3": 2, "monitor_groups": [{"name": "web"}, {"name": "db"}]})
    intel.tree.mkdir("COS1")
    intel.tree.mkdir("mon_groups/watch")
    said = intel.refused({"name": "late", "l3": 2})
    assert "6 of 6 monitoring ids are in use: 1 too few" in said
    assert "gold, made by this collection; COS1, made by others" in said
    assert "monitoring group watch in the default group; monitoring groups db web in gold" in said


def test_what_goes_in_the_same_call_holds_nothing(intel: Node) -> None:
    intel.tree.machine.closids = 3
    for name in ("a", "b"):
        intel.run({"name": name, "l3": 2})
    intel.tree._info()
    said = intel.refused({"name": "a", "state": "absent"}, {"name": "c", "l3": 2}, {"name": "d", "l3": 2})
    assert "There are b, made by this collection" in said


def test_the_kernel_s_refusal_names_who_has_the_ids_then(intel: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    intel.run({"name": "gold", "l3": 2, "monitor_groups": [{"name": "web"}]})
    plan = intel.plan({"name": "late", "l3": 2})
    intel.tree.mkdir("COS1")

    def full(_path: str, _mode: int = 0o755) -> None:
        intel.tree.said = "Out of RMIDs\n"
        raise refuse(errno.ENOSPC)

    monkeypatch.setattr(intel.tree, "mkdir", full)
    with pytest.raises(BulkheadError) as caught:
        apply(plan)
    assert "COS1, made by others; monitoring group web in gold" in caught.value.hint


def test_a_container_s_monitoring_group_is_removed_though_nothing_is_known_of_it(intel: Node) -> None:
    for path in ("shared", "shared/mon_groups/web", "shared/mon_groups/other"):
        intel.tree.mkdir(path)
    group = parse_group({"name": "shared"})
    monitor = Monitor("web", False, [], [], None)
    group.monitors.append(monitor)
    default = intel.tree.read_short("schemata")
    assert default
    with pytest.raises(BulkheadError, match="not made by this collection"):
        _plan(intel, group)
    monitor.ours = True
    plan = _plan(intel, group)
    assert [step.target for step in plan.steps] == [intel.tree.path + "/shared/mon_groups/web/"]
    apply(plan)
    assert [entry.name for entry in (intel.tree.base / "shared/mon_groups").iterdir()] == ["other"]


def _plan(node: Node, group: Any) -> Any:
    from ansible_collections.bulkhead.linux.plugins.module_utils._runtime.resctrl.facts import Facts
    from ansible_collections.bulkhead.linux.plugins.module_utils._runtime.resctrl.hardware import Hardware
    from ansible_collections.bulkhead.linux.plugins.module_utils._runtime.resctrl.observation import Observation
    from ansible_collections.bulkhead.linux.plugins.module_utils._runtime.resctrl.planning import plan_groups

    default = node.tree.read_short("schemata")
    hardware = Hardware.observe(node.tree, node.options, default)
    return plan_groups(hardware, Observation(node.tree, hardware, default), Facts.read(hardware.signature()), [group], set(), [])
