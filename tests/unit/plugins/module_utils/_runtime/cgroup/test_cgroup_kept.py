# SPDX-FileCopyrightText: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is kept of control groups: what was asked last, once for each kernel object; and what a boot makes of it."""

from __future__ import annotations

import itertools
import json
import tempfile
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.bulkhead.linux.plugins.module_utils._runtime import plan as plans
from ansible_collections.bulkhead.linux.plugins.module_utils._runtime import records
from ansible_collections.bulkhead.linux.plugins.module_utils._runtime.cgroup import canonical
from ansible_collections.bulkhead.linux.plugins.module_utils._runtime.cgroup.group import Group, parse_group
from ansible_collections.bulkhead.linux.plugins.module_utils._runtime.cgroup.planning import plan_groups
from ansible_collections.bulkhead.linux.plugins.module_utils._runtime.cgroup.subject import Groups
from ansible_collections.bulkhead.linux.plugins.module_utils._runtime.errors import BulkheadError, InvalidInput
from fake_kernel import FakeHost, make_host
from hypothesis import example, given, settings
from hypothesis import strategies as st
from test_cgroup_converges import calls

Options = dict[str, Any]


class Rules(Groups):
    def __init__(self, host: FakeHost) -> None:
        self.host = host


def keep(host: FakeHost, held: Options, *items: Options, fresh: set[str] = frozenset()) -> Options:
    """The records after a call, as the file holds them."""
    rules = Rules(host)
    return json.loads(json.dumps(records.changed(rules, records.in_one_form(rules, held), list(items), set(fresh), True)))


def test_two_options_for_one_file(host: FakeHost) -> None:
    held = keep(host, {}, {"name": "a", "pids": {"max": 5}, "memory": {"max": "64M"}})
    held = keep(host, held, {"name": "a", "files": {"pids.max": 6}})
    assert held == {"a": {"memory": {"max": "64M"}, "files": {"pids.max": 6}}}
    assert keep(host, held, {"name": "a", "pids": {"max": 7}}) == {"a": {"memory": {"max": "64M"}, "pids": {"max": 7}}}


def test_what_an_earlier_version_kept_twice_is_kept_once(host: FakeHost) -> None:
    released = {"a": {"state": "present", "pids": {"max": 5}, "files": {"pids.max": 6}, "memory": {"max": "64M"}}}
    found = records.in_one_form(Rules(host), released)
    assert found == {"a": {"state": "present", "files": {"pids.max": 6}, "memory": {"max": "64M"}}}
    assert records.in_one_form(Rules(host), found) == found


def test_the_same_in_other_words_is_kept_already(host: FakeHost) -> None:
    held = keep(host, {}, {"name": "a", "memory": {"max": "64M"}, "cpu": {"max": 1.5}})
    assert keep(host, held, {"name": "a", "memory": {"max": 67108864}, "cpu": {"max": "150ms 100ms"}}) == held


def test_a_unit_under_two_names_is_kept_once(host: FakeHost) -> None:
    host.systemd = True
    held = keep(host, {}, {"name": "brdt", "memory": {"max": "512M"}}, {"name": "brdt/night", "memory": {"max": "256M"}})
    held = keep(host, held, {"name": "brdt.slice", "memory": {"max": "400M"}}, {"name": "brdt-night.slice", "memory": {"low": "1M"}})
    assert held == {"brdt": {"memory": {"max": "400M"}}, "brdt/night": {"memory": {"max": "256M", "low": "1M"}}}
    assert keep(host, held, {"name": "brdt.slice", "state": "absent"}) == {}
    released = {
        "brdt": {"memory": {"max": "512M"}},
        "brdt.slice": {"memory": {"max": "400M"}, "pids": {"max": 5}},
        "system.slice/x.service": {"pids": {"max": 1}},
    }
    found = records.in_one_form(Rules(host), released)
    assert found == {"brdt": {"memory": {"max": "400M"}, "pids": {"max": 5}}, "x.service": {"pids": {"max": 1}}}


def test_elsewhere_they_are_two_groups(host: FakeHost) -> None:
    held = keep(host, {}, {"name": "brdt", "pids": {"max": 5}}, {"name": "brdt.slice", "pids": {"max": 6}})
    assert list(held) == ["brdt", "brdt.slice"]


def test_a_group_that_gets_a_limit_in_another_hierarchy_is_no_new_one(v1: FakeHost) -> None:
    held: Options = {}
    for options in ({"memory": {"max": "64M"}}, {"pids": {"max": 5}}):
        plan = plan_groups(v1, [parse_group({"name": "a", **options}, v1)])
        plans.apply(plan)
        held = keep(v1, held, {"name": "a", **options}, fresh=plan.fresh)
    assert held == {"a": {"memory": {"max": "64M"}, "pids": {"max": 5}}}


# Ask, apply, boot, compare

# What depends on the groups around, and what only shows what other files hold.
_NOT_COMPARED = ("cgroup.subtree_control", "cgroup.controllers", "cgroup.events", "cpuset.cpus.effective", "cpuset.mems.effective")
_FILES = {
    "v1": {"pids.max": 7, "cpu.shares": 300, "memory.limit_in_bytes": "96M", "memory.memsw.limit_in_bytes": "128M", "cpu.cfs_quota_us": 70000},
    "v2": {"pids.max": 7, "memory.max": "96M"},
}
# On v1 swap is a part of a sum: it goes when the other part has no limit, and stays when the other part changes.
_SWAP = {"name": "a", "memory": {"max": "64K", "swap_max": "64K"}}
_TOTAL = {"name": "a", "memory": {"max": "64K"}, "files": {"memory.memsw.limit_in_bytes": "128K"}}
_LIFTED, _RAISED = ({"name": "a", "memory": {"max": value}} for value in ("max", "1M"))


def _calls(mode: str) -> st.SearchStrategy[list[Options]]:
    """The calls of the other test, some of them with the kernel's own files."""
    files = st.fixed_dictionaries({}, optional={name: st.just(value) for name, value in _FILES["v2" if mode == "v2" else "v1"].items()})
    by_file = st.builds(lambda name, chosen: [{"name": name, "files": chosen}], st.sampled_from(["a", "a/b", "e"]), files)
    return (calls(mode) | calls(mode) | by_file).map(_without_core)


def _without_core(items: list[Options]) -> list[Options]:
    """Without files of the core: in which v1 hierarchies they are written depends on what else a call asks for."""
    for item in items:
        item.get("files", {}).pop("notify_on_release", None)
    return items


def _kept(host: FakeHost, held: Options) -> list[Group]:
    groups = [parse_group({**options, "name": name}, host) for name, options in sorted(held.items())]
    for group in groups:
        group.brought_back = True
    return groups


def _state(host: FakeHost, held: Options) -> dict[tuple[str, str], str | None]:
    """Every file of the groups that are kept, by hierarchy."""
    found = {}
    for number, tree in enumerate(host.trees):
        for path, text in tree.snapshot().items():
            group, _slash, file = path.rpartition("/")
            if group in held and text is not None and file not in _NOT_COMPARED:
                found[str(number), path] = text
    return found


@pytest.mark.parametrize("mode", ["v1", "v2", "hybrid"])
def test_a_boot_brings_back_what_was_asked_last(mode: str) -> None:
    places = itertools.count()
    done = {"calls": 0, "boots": 0}

    @settings(max_examples=60, deadline=None, database=None)
    @given(st.lists(_calls(mode), min_size=1, max_size=4))
    @example([[_SWAP], [_LIFTED], [_RAISED]])
    @example([[_SWAP], [_RAISED]])
    @example([[_SWAP if mode == "v2" else _TOTAL], [_LIFTED], [_RAISED]])
    @example([[_SWAP if mode == "v2" else _TOTAL], [_RAISED]])
    def check(sequence: list[list[Options]]) -> None:
        host = make_host(Path(base) / str(next(places)), mode)
        held: Options = {}
        asked: dict[str, dict[str, str]] = {}
        for items in sequence:
            try:
                plan = plan_groups(host, [parse_group(item, host) for item in items])
                plans.apply(plan)
            except BulkheadError:
                continue
            held = keep(host, held, *items, fresh=plan.fresh)
            done["calls"] += 1
            for item in items:
                gone = [name for name in asked if (name + "/").startswith(item["name"] + "/")] if item.get("state") == "absent" else []
                for name in gone:
                    del asked[name]
                if item.get("state") != "absent":
                    asked.setdefault(item["name"], {}).update(canonical.objects({key: item[key] for key in item if key not in ("name", "state")}, host))
            for name, objects in asked.items():
                # Of these one ends the other, another list is laid over the first, or it is a sum in which the other part changed.
                idle = {"cpu.weight", "cpu.shares", "cpu.idle", "controllers", "memory.memsw.limit_in_bytes"}
                assert {key: value for key, value in canonical.objects(held[name], host).items() if key not in idle} == {
                    key: value for key, value in objects.items() if key not in idle
                }
            left = plan_groups(host, _kept(host, held)).writes()
            assert left == [], ("a replay right after it does something", items, held, left)
        after_boot = make_host(Path(base) / str(next(places)), mode)
        try:
            plans.apply(plan_groups(after_boot, _kept(after_boot, held)))
        except InvalidInput:
            raise
        except BulkheadError:
            assert mode != "v2"  # only the kernel knows what v1 refuses for the sake of a parent, and the order of calls can be such
            return
        done["boots"] += 1
        before, after = _state(host, held), _state(after_boot, held)
        assert {path: (before.get(path), text) for path, text in after.items() if before.get(path) != text} == {}, (sequence, held)

    with tempfile.TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None) as base:
        check()
    assert done["calls"] > 60, done
    assert done["boots"] > 40, done
