# SPDX-FileCopyrightText: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Every key that a module returns is documented."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.bulkhead.linux.plugins.module_utils._runtime import desired, slices
from ansible_collections.bulkhead.linux.plugins.module_utils._runtime.cgroup import info as cgroup_info
from ansible_collections.bulkhead.linux.plugins.module_utils._runtime.cgroup.group import parse_group
from ansible_collections.bulkhead.linux.plugins.module_utils._runtime.cgroup.planning import plan_groups
from ansible_collections.bulkhead.linux.plugins.module_utils._runtime.cgroup.report import report as report_groups
from ansible_collections.bulkhead.linux.plugins.module_utils._runtime.container import classes, info, lifecycle, units
from ansible_collections.bulkhead.linux.plugins.module_utils._runtime.container.paths import Paths
from ansible_collections.bulkhead.linux.plugins.module_utils._runtime.kinds import KINDS
from ansible_collections.bulkhead.linux.plugins.module_utils._runtime.resctrl import info as resctrl_info
from ansible_collections.bulkhead.linux.plugins.module_utils._runtime.resctrl import mounting

RUNTIME = Path(__file__).parent / "module_utils/_runtime"


def _of(directory: str, name: str) -> Any:
    """What the tests of a room pretend to be a machine."""
    sys.path.insert(0, str(RUNTIME / directory))
    try:
        return importlib.import_module(name)
    finally:
        sys.path.pop(0)


def documented(module: str) -> dict[str, Any]:
    found = importlib.import_module("ansible_collections.bulkhead.linux.plugins.modules." + module)
    documentation: dict[str, Any] = yaml.safe_load(found.RETURN)
    return documentation


def undocumented(actual: dict[str, Any], contains: dict[str, Any]) -> list[str]:
    """The keys that are not there, also within what is documented key by key."""
    found = [key for key in actual if key not in contains]
    for key, value in actual.items():
        inner = contains.get(key, {}).get("contains")
        for each in (value if isinstance(value, list) else [value]) if inner else []:
            if isinstance(each, dict):
                found += ["%s.%s" % (key, name) for name in undocumented(each, inner)]
    return found


@pytest.fixture
def host(tmp_path: Path) -> Any:
    return _of("cgroup", "fake_kernel").make_host(tmp_path / "v2", "v2")


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("BULKHEAD_PREFIX", str(tmp_path))
    made = _of("resctrl", "fake_resctrl").FakeResctrl(tmp_path / "resctrl")
    monkeypatch.setattr(mounting, "find", lambda: mounting.Mounted(made.path, frozenset()))
    monkeypatch.setattr(desired, "read", lambda _kind: {})
    monkeypatch.setattr(resctrl_info, "Tree", lambda _path: made)
    return made


@pytest.mark.parametrize("name", KINDS)
def test_one_object_stands_under_a_key_of_its_own(name: str) -> None:
    subject = KINDS[name]()
    documentation = documented(name)
    assert {subject.singular, subject.plural, "writes", "error"} <= set(documentation)
    for key in ("asked", "effective", "rounded"):
        assert key in documentation
        assert key in documentation[subject.plural]["contains"]


def test_control_groups(host: Any) -> None:
    contains = documented("cgroup_group")["groups"]["contains"]
    for options in ({"pids": {"max": 5}}, {"state": "absent"}):
        group = parse_group({"name": "a", **options}, host)
        group.place = slices.Place("a.slice")
        (found,) = report_groups(plan_groups(host, [group]), [group])
        assert undocumented(dict(found), contains) == []


def test_looking_at_control_groups(host: Any) -> None:
    documentation = documented("cgroup_info")
    host.trees[0].mkdir("a")
    found = {"host": cgroup_info.describe_host(host), "groups": [cgroup_info.describe(host, name) for name in ("", "a", "b")]}
    assert undocumented({**found, "group": found["groups"][0], "hierarchies": {}}, documentation) == []


def test_classes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    conftest = importlib.util.spec_from_file_location("resctrl_machines", RUNTIME / "resctrl/conftest.py")
    assert conftest and conftest.loader
    machines = importlib.util.module_from_spec(conftest)
    _of("resctrl", "fake_resctrl")
    conftest.loader.exec_module(machines)
    monkeypatch.setenv("BULKHEAD_PREFIX", str(tmp_path))
    node = machines.Node(tmp_path, machines.Machine())
    contains = documented("resctrl_schema")["groups"]["contains"]
    for options in ({"l3": 2}, {"mb": "33%", "mode": "shareable", "cpus": "none"}, {"l2": 2, "unsupported": "leave_out"}, {"state": "absent"}):
        assert undocumented(node.report({"name": "a", **options})[0], contains) == []


def test_looking_at_classes(tree: Any) -> None:
    tree.mkdir("a")
    tree.mkdir("a/mon_groups/m")
    found = resctrl_info.look()
    assert {group["name"] for group in found["groups"]} == {"", "a"}
    assert undocumented({**found, "group": found["groups"][0]}, documented("resctrl_info")) == []


RECORD = {
    "ociVersion": "1.2.0",
    "id": "web",
    "status": "stopped",
    "pid": 0,
    "bundle": "/b",
    "config": {"name": "web", "env": {"A": "geheim"}, "log": {"path": "/l"}, "supervisor": "systemd"},
    "cgroup": "bulkhead/web",
    **dict.fromkeys(("created", "started", "finished"), "2026-11-23T10:25:26.178150Z"),
    "exit": {"code": 137, "signal": 9, "killed_by": "memory"},
    "restarts": 1,
    "oom_kills": 1,
    "error": {},
}


def test_containers(tmp_path: Path, host: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = lifecycle.Seen("web")
    seen.record, seen.phase, seen.resources = dict(RECORD), "broken", "{}"
    life = lifecycle.Lifecycle.__new__(lifecycle.Lifecycle)
    life.paths, life.host, life.classes, life.made, life.failures = Paths(str(tmp_path)), host, classes.Classes(), {"web": ""}, {}
    life.limits = lifecycle.private.Limits(life.paths)
    told = ("path", "id", "directory", "asked", "effective", "rounded")
    monkeypatch.setattr(life.limits, "told", lambda _settings: dict.fromkeys(told))
    monkeypatch.setattr(life.classes, "report", lambda _settings: dict.fromkeys(("class", "asked", "effective", "rounded", "overlaps")))
    monkeypatch.setattr(lifecycle, "output_of", lambda *_arguments: "")
    container = lifecycle.Container("web", "started", dict(RECORD["config"]), {}, True)
    container.seen, container.group = seen, parse_group({"name": "bulkhead/web", "pids": {"max": 5}}, host)
    container.group.place = slices.Place("bulkhead-web.service")
    plan = lifecycle.ContainerPlan()
    plan.groups = plan_groups(host, [container.group])
    (found,) = life.report([container], plan)
    assert undocumented(found, documented("container_run")["containers"]["contains"]) == []


def test_looking_at_containers(tmp_path: Path, host: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = lifecycle.Seen("web")
    seen.record, seen.phase, seen.resources, seen.has_group = dict(RECORD), "broken", "{}", True
    host.trees[0].mkdir("bulkhead")
    host.trees[0].mkdir("bulkhead/web")
    monkeypatch.setattr(lifecycle, "look", lambda *_arguments: seen)
    monkeypatch.setattr(lifecycle, "output_of", lambda *_arguments: "")
    monkeypatch.setattr(units, "describe", lambda _name: {"restarts": 0})
    monkeypatch.setattr(info.options, "as_options", lambda config, *_more: config)
    monkeypatch.setattr(info.private, "describe", lambda *_arguments: {"path": "/", "id": 65536, "block_hard": 1, "block_used": 0})
    found = info.describe("web", Paths(str(tmp_path)), host, info.Question({"log_bytes": 100}))
    assert {"stats", "processes", "unit", "output"} <= set(found)
    assert undocumented(found, documented("container_info")["containers"]["contains"]) == []
    assert "geheim" not in str(found)
    assert list(found["config"]["env"]) == ["A"]
