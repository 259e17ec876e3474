# SPDX-FileCopyrightText: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Two spellings of one request are the same request, and of two requests for one object the later one holds."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.bulkhead.linux.plugins.module_utils._runtime.cgroup import canonical
from fake_kernel import DISK, FakeHost

SAME: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({"memory": {"max": "64MiB"}}, {"memory": {"max": 67108864}}),
    ({"memory": {"max": "0.0625G", "low": None}}, {"memory": {"max": "64M"}, "cpu": None}),
    ({"cpu": {"max": "1.5"}}, {"cpu": {"max": "150ms 100ms"}}),
    ({"cpu": {"max": {"quota": 150000, "period": "100ms"}}}, {"cpu": {"max": 1.5}}),
    ({"pids": {"max": 5}}, {"files": {"pids.max": "5"}}),
    ({"cpuset": {"cpus": "1,0"}}, {"cpuset": {"cpus": "0-1"}}),
    ({"hugetlb": {"2MB": "64M"}}, {"hugetlb": {"2M": 67108864}}),
    (
        {"devices": [{"type": "c", "major": 1, "minor": 3}, {"type": "c", "major": "1", "minor": "5"}]},
        {"devices": [{"type": "c", "major": 1, "minor": 5, "access": "mrw"}, {"type": "c", "major": 1, "minor": 3, "allow": True}]},
    ),
    ({"controllers": ["cpu", "memory"]}, {"controllers": ["memory", "cpu", "cpu"]}),
]


@pytest.mark.parametrize(("one", "other"), SAME, ids=str)
def test_spellings_of_one_request(host: FakeHost, one: dict[str, Any], other: dict[str, Any]) -> None:
    assert canonical.objects(one, host) == canonical.objects(other, host) != {}
    assert canonical.same(one, other, host)


def test_different_requests_differ(host: FakeHost) -> None:
    assert not canonical.same({"pids": {"max": 5}}, {"pids": {"max": 6}}, host)
    assert not canonical.same({"pids": {"max": 5}}, {}, host)
    assert not canonical.same({"devices": []}, {}, host)


def test_what_is_given_last_is_kept(host: FakeHost) -> None:
    held = {"memory": {"max": "64M", "low": "1M"}, "pids": {"max": 5}, "overcommit": "deny"}
    merged = canonical.merge(held, {"files": {"pids.max": 6}, "memory": {"max": "1G"}, "cpu": None}, host)
    assert merged == {"memory": {"max": "1G", "low": "1M"}, "files": {"pids.max": 6}, "overcommit": "deny"}
    merged = canonical.merge(merged, {"pids": {"max": 7}, "overcommit": "warn"}, host)
    assert merged == {"memory": {"max": "1G", "low": "1M"}, "pids": {"max": 7}, "overcommit": "warn"}


def test_one_disk_by_two_names(host: FakeHost, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(canonical.parse_group.__globals__["block"], "number_of", lambda device, _what: DISK)
    held = {"io": {"max": [{"device": "/dev/sda", "rbps": "10M", "wiops": 5}], "weight": 50}}
    merged = canonical.merge(held, {"io": {"max": [{"device": DISK, "rbps": "20M"}]}}, host)
    assert merged == {"io": {"max": [{"device": "/dev/sda", "wiops": 5}, {"device": DISK, "rbps": "20M"}], "weight": 50}}


def test_a_disk_that_is_gone_is_told_apart_by_its_name(host: FakeHost) -> None:
    held = {"io": {"max": [{"device": "/dev/gone", "rbps": "10M"}]}}
    assert canonical.merge(held, {"pids": {"max": 5}}, host) == {**held, "pids": {"max": 5}}
    assert canonical.merge(held, {"io": {"max": [{"device": "/dev/gone", "rbps": 5}]}}, host) == {"io": {"max": [{"device": "/dev/gone", "rbps": 5}]}}


def test_half_of_an_option_that_v1_has_in_two_files(v1: FakeHost) -> None:
    merged = canonical.merge({"cpu": {"max": "150ms 50ms"}}, {"files": {"cpu.cfs_quota_us": 20000}}, v1)
    assert merged == {"files": {"cpu.cfs_quota_us": 20000, "cpu.cfs_period_us": "50000"}}
    assert canonical.merge(merged, {"cpu": {"max": 2}}, v1) == {"cpu": {"max": 2}}


def test_an_idle_group_has_no_weight(host: FakeHost) -> None:
    assert canonical.merge({"cpu": {"weight": 250, "max": 1}}, {"cpu": {"idle": True}}, host) == {"cpu": {"max": 1, "idle": True}}
