# SPDX-FileCopyrightText: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is kept of classes: what was asked last, in one form; and what a boot makes of it."""

from __future__ import annotations

import itertools
import json
import tempfile
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.bulkhead.linux.plugins.module_utils._runtime import records
from ansible_collections.bulkhead.linux.plugins.module_utils._runtime.errors import BulkheadError
from ansible_collections.bulkhead.linux.plugins.module_utils._runtime.plan import apply
from ansible_collections.bulkhead.linux.plugins.module_utils._runtime.resctrl import facts, planning
from ansible_collections.bulkhead.linux.plugins.module_utils._runtime.resctrl.facts import Facts
from ansible_collections.bulkhead.linux.plugins.module_utils._runtime.resctrl.group import parse_group
from ansible_collections.bulkhead.linux.plugins.module_utils._runtime.resctrl.hardware import Hardware
from ansible_collections.bulkhead.linux.plugins.module_utils._runtime.resctrl.observation import Observation
from ansible_collections.bulkhead.linux.plugins.module_utils._runtime.resctrl.planning import GroupPlan, plan_groups
from ansible_collections.bulkhead.linux.plugins.module_utils._runtime.resctrl.schemata import is_cache
from ansible_collections.bulkhead.linux.plugins.module_utils._runtime.resctrl.subject import Schemata
from fake_resctrl import FakeResctrl, Machine
from hypothesis import given, settings
from hypothesis import strategies as st

RULES = Schemata()


def keep(held: dict[str, Any], *items: dict[str, Any], fresh: set[str] = frozenset()) -> dict[str, Any]:
    """The records after a call, as the file holds them."""
    return json.loads(json.dumps(records.changed(RULES, records.in_one_form(RULES, held), list(items), set(fresh), True)))


def kept(*requests: dict[str, Any]) -> dict[str, Any]:
    """What is kept of one class after these requests."""
    held: dict[str, Any] = {}
    for request in requests:
        held = keep(held, {"name": "be", **request})
    return held["be"]


@pytest.mark.parametrize(
    ("requests", "result"),
    [
        ([{"mb": "50%"}, {"schemata": ["MB:0=20"]}], {"mb": {"all": "50%", "0": 20}}),
        ([{"mb": "50%", "l3": 4}, {"schemata": ["MB:0=20;1=20", "L3:0=3"]}], {"mb": {"all": "50%", "0": 20, "1": 20}, "l3": {"all": 4, "0": "0x3"}}),
        ([{"schemata": ["MB:0=20", "L3:1=7F"]}, {"mb": "30%"}], {"mb": {"all": "30%"}, "l3": {"1": "0x7f"}}),
        ([{"schemata": ["MB:0=20"]}, {"schemata": ["MB:1=30"]}], {"mb": {"0": 20, "1": 30}}),
        ([{"mb": {0: "50%"}}, {"mb": {"all": "30%"}}], {"mb": {"all": "30%"}}),
        ([{"mb": "50%"}, {"mb": {"1": "30%"}}], {"mb": {"all": "50%", "1": "30%"}}),
        ([{"l3": "50%"}, {"l3code": 3, "l3data": 2}], {"l3code": {"all": 3}, "l3data": {"all": 2}}),
        ([{"l3": "50%"}, {"l3code": 3}], {"l3code": {"all": 3}, "l3data": {"all": "50%"}}),
        ([{"l3": "50%"}, {"l3code": {1: 3}}], {"l3": {"all": "50%"}, "l3code": {"1": 3}}),
        ([{"l3": {0: 4, "all": 2}}, {"l3data": {0: 3}}], {"l3": {"all": 2}, "l3code": {"0": 4}, "l3data": {"0": 3}}),
        ([{"l3code": 3, "l3data": 2}, {"l3": "50%"}], {"l3": {"all": "50%"}}),
        ([{"l3code": 3, "l3data": 2}, {"l3": {0: 4}}], {"l3": {"0": 4}, "l3code": {"all": 3}, "l3data": {"all": 2}}),
        ([{"l3code": 3, "l3data": 2}, {"mount_options": {"cdp": False}, "l3": {0: 4}}], {"l3": {"0": 4}, "mount_options": {"cdp": False}}),
        ([{"mb": "16GBps"}, {"mb": "16384MBps"}], {"mb": {"all": "16384MBps"}}),
        ([{"l3": "0x0F"}, {"l3": "050.00%"}], {"l3": {"all": "50%"}}),
        ([{"mb": ["80%", "16GBps"]}], {"mb": {"all": ["80%", "16384MBps"]}}),
        ([{"cpus": "3,1,2"}, {"cpus": None}], {"cpus": "1-3"}),
        ([{"cpus": "1-3"}, {"cpus": "none"}], {"cpus": "none"}),
        ([{"l3": 2, "shareable_bits": "avoid"}, {"mb": 20, "shareable_bits": "allow"}], {"l3": {"all": 2}, "mb": {"all": 20}, "shareable_bits": "avoid"}),
        ([{"l3": 2, "shareable_bits": "avoid"}, {"l3": 3, "shareable_bits": "allow"}], {"l3": {"all": 3}, "shareable_bits": "allow"}),
        (
            [{"monitor_groups": [{"name": "a", "cpus": "1"}]}, {"monitor_groups": [{"name": "b", "tasks": [4]}]}],
            {"monitor_groups": [{"cpus": "1", "name": "a"}, {"name": "b"}]},
        ),
        ([{"monitor_groups": [{"name": "a"}, {"name": "b"}]}, {"monitor_groups": [{"name": "a", "state": "absent"}]}], {"monitor_groups": [{"name": "b"}]}),
        ([{"monitor_groups": [{"name": "a"}]}, {"monitor_groups": [{"name": "a", "state": "absent"}]}], {}),
        (
            [{"monitor_groups": [{"name": "a", "cpus": "1,2"}]}, {"monitor_groups": [{"name": "b", "cpus": "2"}]}],
            {"monitor_groups": [{"cpus": "1", "name": "a"}, {"cpus": "2", "name": "b"}]},
        ),
        ([{"cpus": "0-3", "monitor_groups": [{"name": "a", "cpus": "2-3"}]}, {"cpus": "0-2"}], {"cpus": "0-2", "monitor_groups": [{"cpus": "2", "name": "a"}]}),
        ([{"schemata": ["NEW:0=5;1=6"]}, {"schemata": ["NEW:1=7", "MB:0=20"]}], {"schemata": ["NEW:0=5", "NEW:1=7"], "mb": {"0": 20}}),
    ],
)
def test_what_was_asked_last_is_kept(requests: list[dict[str, Any]], result: dict[str, Any]) -> None:
    found = kept(*requests)
    assert found == result
    assert records.in_one_form(RULES, {"be": found}) == {"be": found}
    parse_group({**found, "name": "be"})


@pytest.mark.parametrize(
    ("requests", "result"),
    [
        ([{"name": "a", "cpus": "0-2"}, {"name": "b", "cpus": "1"}], {"a": {"cpus": "0,2"}, "b": {"cpus": "1"}}),
        ([{"name": "a", "cpus": "1"}, {"name": "b", "cpus": "1-2"}], {"a": {"cpus": "none"}, "b": {"cpus": "1-2"}}),
        ([{"name": "a", "cgroup": ["x", "y"]}, {"name": "b", "cgroup": ["y"]}], {"a": {"cgroup": ["x"]}, "b": {"cgroup": ["y"]}}),
        (
            [{"name": "a", "mount_options": {"cdp": True, "mba_mbps": True}}, {"name": "b", "mount_options": {"cdp": False}}],
            {"a": {"mount_options": {"mba_mbps": True}}, "b": {"mount_options": {"cdp": False}}},
        ),
        (
            [{"name": "a", "cpus": "0-2", "monitor_groups": [{"name": "m", "cpus": "1-2"}]}, {"name": "b", "cpus": "1"}],
            {"a": {"cpus": "0,2", "monitor_groups": [{"name": "m", "cpus": "2"}]}, "b": {"cpus": "1"}},
        ),
    ],
)
def test_what_one_class_was_given_last_is_kept_of_no_other(requests: list[dict[str, Any]], result: dict[str, Any]) -> None:
    held: dict[str, Any] = {}
    for request in requests:
        held = keep(held, request)
    assert held == result


@pytest.mark.parametrize(
    ("released", "result"),
    [
        ({"mb": "50%", "schemata": ["MB:0=20;1=70", "L3:0=3"]}, {"mb": {"all": "50%"}, "l3": {"0": "0x3"}}),
        ({"mb": {"0": "50%"}, "schemata": ["MB:0=20;1=70"]}, {"mb": {"0": "50%", "1": 70}}),
        ({"l3": "50%", "l3code": 3, "l3data": {"0": 2}}, {"l3": {"all": "50%"}, "l3code": {"all": 3}, "l3data": {"0": 2}}),
    ],
)
def test_what_an_earlier_version_kept_is_brought_into_the_form(released: dict[str, Any], result: dict[str, Any]) -> None:
    found = records.in_one_form(RULES, {"be": {"state": "present", **released}})
    if "l3code" in released:
        result = {"l3code": {"all": 3}, "l3data": {"all": "50%", "0": 2}}
    assert found == {"be": {"state": "present", **result}}
    assert records.in_one_form(RULES, found) == found
    parse_group({**found["be"], "name": "be"})


@pytest.mark.parametrize("garbage", [{"mb": "fast"}, {"cpus": "1-"}, {"monitor_groups": 5}, {"cgroup": [""]}, {"mount_options": "cdp"}])
def test_what_nobody_understands_stays_to_be_named(garbage: dict[str, Any]) -> None:
    assert records.in_one_form(RULES, {"be": garbage}) == {"be": garbage}
    assert keep({"be": garbage}, {"name": "fe", "mb": 20, "cpus": "1"}) == {"be": garbage, "fe": {"mb": {"all": 20}, "cpus": "1"}}
    assert keep({"be": garbage}, {"name": "be", "state": "absent"}) == {}


def test_a_call_for_what_nobody_understands_says_so() -> None:
    with pytest.raises(BulkheadError, match="what is kept of be for the next boot cannot be understood"):
        keep({"be": {"monitor_groups": 5, "mb": {"all": 20}}}, {"name": "be", "mb": 30, "monitor_groups": [{"name": "m"}]})


# Ask, apply, boot, compare


class Computer:
    """A machine whose classes come back after a boot."""

    def __init__(self, base: Path, machine: Machine) -> None:
        self.base, self.machine = base, machine
        self.boots = 0
        self.held: dict[str, Any] = {}
        self.boot()

    def boot(self) -> None:
        self.boots += 1
        Path(facts.path()).unlink(missing_ok=True)
        self.tree = FakeResctrl(self.base / ("boot%d" % self.boots), self.machine)

    def plan(self, groups: list[Any]) -> GroupPlan:
        default = self.tree.read_short("schemata")
        options = {"cdp"} if self.machine.cdp else {"mba_MBps"} if self.machine.bandwidth == "MBps" else set()
        hardware = Hardware.observe(self.tree, options, default)
        for bandwidth in hardware.bandwidths.values():
            bandwidth.exact = self.machine.bandwidth != "mpam"
        seen = Observation(self.tree, hardware, default)
        return plan_groups(hardware, seen, Facts.read(hardware.signature()), groups, set(self.held), [])

    def ask(self, *items: dict[str, Any]) -> bool:
        """Whether it was done; what is refused changes nothing."""
        groups = [parse_group(item) for item in items]
        try:
            plan = self.plan(groups)
        except BulkheadError:
            return False
        apply(plan)
        self.held = keep(self.held, *items, fresh=plan.fresh)
        return True

    def kept(self) -> list[Any]:
        groups = [parse_group({**options, "name": name}) for name, options in sorted(self.held.items())]
        for group in groups:
            group.brought_back = True
        return groups

    def replay(self) -> GroupPlan:
        plan = self.plan(self.kept())
        apply(plan)
        return plan

    def state(self) -> dict[str, Any]:
        """What was asked for and holds: bandwidths, numbers of ways of each cache, modes, CPUs and monitoring groups."""
        found: dict[str, Any] = {}
        known = Facts.read(Hardware.observe(self.tree, {"cdp"} if self.machine.cdp else set(), self.tree.read_short("schemata")).signature())
        for name, values in self.tree.values.items():
            ways = {cell: bin(mask).count("1") for cell, mask in values.items() if is_cache(cell[0]) and known.placed(name, cell) is not None}
            path = self.tree.base / name
            monitors = {entry.name: (entry / "cpus_list").read_text().strip() for entry in (path / "mon_groups").iterdir()}
            cpus = (path / "cpus_list").read_text().strip() if name else ""
            found[name] = [{cell: value for cell, value in values.items() if not is_cache(cell[0])}, ways, self.tree.modes[name], cpus, monitors]
        return found


MACHINES = {
    "intel": lambda: Machine(shareable=0),
    "cdp": lambda: Machine(cdp=True, shareable=0),
    "amd": lambda: Machine(ways=16, domains=(0, 1, 2), shareable=0, least=0, sparse=True, bandwidth="eighths"),
}


def _shares(values: st.SearchStrategy[Any], domains: tuple[int, ...]) -> st.SearchStrategy[Any]:
    keys = st.sampled_from([*map(str, domains), "all"])
    return values | st.dictionaries(keys, values, min_size=1, max_size=2)


def _requests(machine: Machine) -> st.SearchStrategy[dict[str, Any]]:
    ways = st.sampled_from([1, 2, 3, "10%", "25%", "0x3", "0x1c"])
    percent = machine.bandwidth == "percent"
    numbers = st.sampled_from([20, "30%", "50.0%", "max"] if percent else [64, "8GBps", "4096MBps", "max"])
    line = st.builds("MB:{}={}".format, st.sampled_from(machine.domains), st.sampled_from([20, 40]))
    masks = st.builds("{}:{}={}".format, st.sampled_from(list(machine.caches)), st.sampled_from(machine.domains), st.sampled_from(["3", "f", "38"]))
    cache = st.fixed_dictionaries({}, optional={"l3": _shares(ways, machine.domains)})
    if machine.cdp:
        cache |= st.fixed_dictionaries({}, optional={name: _shares(ways, machine.domains) for name in ("l3code", "l3data")})
    monitor = st.fixed_dictionaries({"name": st.sampled_from(["m", "n"])}, optional={"cpus": st.sampled_from(["1", "1-2"]), "state": st.just("absent")})
    other = st.fixed_dictionaries(
        {"name": st.sampled_from(["a", "b", "c"]), "state": st.sampled_from(["present"] * 5 + ["absent"])},
        optional={
            "mb": _shares(numbers, machine.domains),
            "schemata": st.lists(line | masks, min_size=1, max_size=2, unique_by=lambda text: text.partition("=")[0]),
            "mode": st.sampled_from(["shareable", "exclusive"]),
            "cpus": st.sampled_from(["1", "1-2", "2-3", "none"]),
            "monitor_groups": st.lists(monitor, max_size=2, unique_by=lambda entry: entry["name"]),
        },
    )
    return st.builds(lambda one, two: {**one, **two}, cache, other)


@pytest.mark.parametrize("kind", MACHINES)
@settings(deadline=None, max_examples=40)
@given(data=st.data())
def test_a_boot_brings_back_what_was_asked_last(kind: str, data: st.DataObject) -> None:
    requests = data.draw(st.lists(_requests(MACHINES[kind]()), min_size=1, max_size=5))
    with tempfile.TemporaryDirectory() as base, pytest.MonkeyPatch.context() as patch:
        patch.setenv("BULKHEAD_PREFIX", base)
        for name in ("online_cpus", "present_cpus"):
            patch.setattr(planning, name, lambda: frozenset(range(4)))
        computer = Computer(Path(base), MACHINES[kind]())
        for request in requests:
            try:
                computer.ask(request)
            except BulkheadError:
                continue  # a mistake in the request itself
            left = [step for step in computer.plan(computer.kept()).steps if not step.bookkeeping]
            assert left == [], ("a replay right after it does something", request, computer.held, [step.facts() for step in left])
        before = computer.state()
        computer.boot()
        plan = computer.replay()
        assert plan.lost == {name: [] for name in plan.lost}
        assert computer.state() == before, (requests, computer.held)
        assert computer.plan(computer.kept()).steps == []


# A machine that has less than it had


def test_after_a_cache_cannot_be_divided_any_more_the_rest_of_a_class_comes_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    computer = Computer(tmp_path, Machine())
    assert computer.ask({"name": "be", "l3": "50%", "mb": "30%", "mode": "exclusive"}, {"name": "fe", "mb": "50%"})
    computer.machine = Machine()
    computer.machine.caches = {}
    computer.boot()
    plan = computer.replay()
    assert dict(computer.tree.values["be"]) == {("MB", 0): 30, ("MB", 1): 30}
    assert "this machine cannot divide L3 as it is mounted" in " ".join(plan.lost["be"])
    assert not plan.lost.get("fe")


def test_a_domain_that_is_offline_is_told_and_gets_its_share_when_it_is_back(tmp_path: Path) -> None:
    computer = Computer(tmp_path, Machine())
    computer.ask({"name": "be", "mb": {0: "30%", 1: "50%"}})
    computer.tree.offline(1)
    for plan in (computer.plan([parse_group({"name": "be", "mb": {1: "50%"}})]), computer.plan(computer.kept())):
        assert plan.steps == []
        assert "group be: no CPU of these domains is online, so what was asked for them does not hold: MB of domain 1" in " ".join(plan.warnings)
    computer.tree.back_online(1)
    computer.replay()
    assert computer.tree.values["be"]["MB", 1] == 50
    computer.machine.domains = (0,)
    computer.boot()
    plan = computer.replay()
    assert computer.tree.values["be"] == {**computer.tree.values["be"], ("MB", 0): 30}
    assert "MB of domain 1" in " ".join(plan.warnings)
    computer.machine.domains = (0, 1)


def test_the_order_in_which_things_are_asked_for_one_by_one_is_the_order_that_counts() -> None:
    for order in itertools.permutations([{"mb": "50%"}, {"mb": {"0": 20}}, {"schemata": ["MB:1=70"]}]):
        found = kept(*order)["mb"]
        at = order.index({"mb": "50%"})
        expected = {"all": "50%"}
        for request in order[at + 1 :]:
            expected.update({"0": 20} if "mb" in request else {"1": 70})
        assert found == expected
