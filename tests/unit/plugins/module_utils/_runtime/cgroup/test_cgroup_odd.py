# SPDX-FileCopyrightText: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whatever is given, what comes out is a group or an error that a user can read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ansible_collections.bulkhead.linux.plugins.module_utils._runtime.cgroup.group import parse_group
from ansible_collections.bulkhead.linux.plugins.module_utils._runtime.errors import InvalidInput
from fake_kernel import FakeHost, make_host
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

RELAXED = settings(
    deadline=None,
    max_examples=100,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
TEXTS = st.text(max_size=8) | st.sampled_from(["\0", "-1", "9" * 40, "max", "1.5", "8:0", "0-3"])
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | TEXTS
ODD = SCALARS | st.lists(SCALARS, max_size=2) | st.dictionaries(TEXTS, SCALARS, max_size=2)


def section(*names: str) -> Any:
    """A dictionary with these options, as Ansible lets it through: their names are right, their values are anything."""
    return st.fixed_dictionaries({}, optional=dict.fromkeys(names, ODD))


OPTIONS = {
    "name": TEXTS | st.just("web"),
    "memory": section("max", "high", "low", "min", "swap_max", "oom_group"),
    "cpu": section("max", "weight", "burst", "idle"),
    "cpuset": section("cpus", "mems", "partition"),
    "pids": section("max"),
    "io": st.fixed_dictionaries(
        {},
        optional={
            "weight": ODD,
            "max": st.lists(
                st.fixed_dictionaries(
                    {"device": TEXTS}, optional=dict.fromkeys(("rbps", "wbps", "riops", "wiops"), ODD)
                ),
                max_size=2,
            ),
            "latency": st.lists(st.fixed_dictionaries({"device": TEXTS, "target": ODD}), max_size=2),
        },
    ),
    "hugetlb": st.dictionaries(TEXTS, ODD, max_size=2),
    "rdma": st.dictionaries(TEXTS, ODD, max_size=2),
    "misc": st.dictionaries(TEXTS, ODD, max_size=2),
    "files": st.dictionaries(TEXTS | st.just("memory.max"), ODD, max_size=2),
    "devices": st.lists(
        st.fixed_dictionaries({}, optional=dict.fromkeys(("type", "major", "minor", "access", "allow"), SCALARS)),
        max_size=2,
    ),
    "controllers": st.lists(TEXTS | st.just("cpu"), max_size=2),
    "processes": st.lists(st.integers(), max_size=2),
}


@pytest.fixture(scope="module")
def odd_host(tmp_path_factory: pytest.TempPathFactory) -> FakeHost:
    return make_host(Path(tmp_path_factory.mktemp("odd")), "hybrid")


@given(st.fixed_dictionaries({}, optional=OPTIONS))
@RELAXED
def test_whatever_is_given_is_parsed_or_refused(odd_host: FakeHost, options: dict[str, Any]) -> None:
    try:
        parse_group(options, odd_host)
    except InvalidInput as error:
        assert str(error)
