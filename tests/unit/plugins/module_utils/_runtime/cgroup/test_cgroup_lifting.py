# SPDX-FileCopyrightText: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Limits of a container that are left out are given the kernel's defaults, by the objects that held them."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.bulkhead.linux.plugins.module_utils._runtime.container import lifting
from fake_kernel import DISK, FakeHost

CONFIG = {"name": "web", "cgroup_parent": "bulkhead"}


def lifted(host: FakeHost, held: dict[str, Any], wanted: dict[str, Any]) -> lifting.Lifting:
    return lifting.find(held, wanted, CONFIG, host)


@pytest.mark.parametrize(
    ("held", "options"),
    [
        ({"memory": {"max": "64M"}}, {"memory": {"max": "max"}}),
        ({"cpu": {"max": 0.5, "burst": "10ms"}}, {"cpu": {"max": "max", "burst": 0}}),
        ({"cpu": {"weight": 50}, "pids": {"max": 5}}, {"cpu": {"weight": 100}, "pids": {"max": "max"}}),
        ({"files": {"pids.max": 5}}, {"pids": {"max": "max"}}),
        (
            {"io": {"max": [{"device": DISK, "rbps": "10M", "wiops": 5}]}},
            {"io": {"max": [{"device": DISK, "rbps": "max", "wiops": "max"}]}},
        ),
        ({"hugetlb": {"2MB": "64M"}}, {"hugetlb": {"2MB": "max"}}),
    ],
)
def test_each_has_its_default(host: FakeHost, held: dict[str, Any], options: dict[str, Any]) -> None:
    found = lifted(host, held, {})
    assert found.options == options
    assert found.kept == []
    group = lifting.desired(CONFIG, {}, found, host)
    assert {setting.option for setting in group.settings} != set()


def test_what_is_still_asked_for_stays(host: FakeHost) -> None:
    held = {"memory": {"max": "64M"}, "pids": {"max": 5}, "cpu": {"weight": 50}}
    assert lifted(host, held, {"files": {"pids.max": 6}, "memory": {"max": "1G"}}).options == {"cpu": {"weight": 100}}
    assert lifted(host, held, held).options == {}


def test_an_idle_group_gets_no_weight(host: FakeHost) -> None:
    assert lifted(host, {"cpu": {"weight": 50}}, {"cpu": {"idle": True}}).options == {}


def test_what_has_no_default_that_is_known(host: FakeHost) -> None:
    assert lifted(host, {"files": {"memory.swappiness": 10}}, {}).kept == ["files memory.swappiness"]


def test_what_cannot_be_had_any_more_needs_no_lifting(host: FakeHost) -> None:
    assert lifted(host, {"io": {"max": [{"device": "/dev/gone", "rbps": 5}]}}, {}).options == {}


def test_memory_low_is_none_on_v2_and_all_on_v1(v1: FakeHost, v2: FakeHost) -> None:
    assert lifted(v1, {"memory": {"low": "1M"}}, {}).options == {"memory": {"low": "max"}}
    assert lifted(v2, {"memory": {"low": "1M"}}, {}).options == {"memory": {"low": 0}}


def test_cpus_are_those_of_the_group_above(v1: FakeHost, v2: FakeHost, monkeypatch: pytest.MonkeyPatch) -> None:
    """v2 has a word for that, which follows the group above; on v1 its CPUs are named."""
    for host, file in ((v1, "bulkhead/cpuset.cpus"), (v2, "bulkhead/cpuset.cpus.effective")):
        monkeypatch.setattr(host.tree("cpuset"), "read_short", {file: "0-1"}.get)
        found = lifted(host, {"cpuset": {"cpus": "0"}}, {})
        assert found.options == {"cpuset": {"cpus": "0-1"}}
        group = lifting.desired(CONFIG, {}, found, host)
        values = [setting.value for setting in group.settings if setting.option == "cpuset.cpus"]
        assert values == ["0-1" if host is v1 else ""]
        monkeypatch.setattr(host.tree("cpuset"), "read_short", {}.get)
        assert lifted(host, {"cpuset": {"cpus": "0"}}, {}).kept == ["cpuset.cpus"], "it does not tell"
