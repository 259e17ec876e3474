# SPDX-FileCopyrightText: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whatever is given, what comes out is a class or an error that a user can read."""

from __future__ import annotations

from typing import Any

from ansible_collections.bulkhead.linux.plugins.module_utils._runtime.errors import InvalidInput
from ansible_collections.bulkhead.linux.plugins.module_utils._runtime.resctrl import records
from ansible_collections.bulkhead.linux.plugins.module_utils._runtime.resctrl.group import parse_group
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

RELAXED = settings(
    deadline=None,
    max_examples=150,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
TEXTS = st.text(max_size=8) | st.sampled_from(
    ["\0", "-1", "9" * 40, "50%", "7f", "1 ways", "MB:0=20", "L3:0=7f;1", "L3:x=y", "=", "all", "0", "0-3"]
)
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | TEXTS
ODD = SCALARS | st.lists(SCALARS, max_size=2) | st.dictionaries(TEXTS, SCALARS, max_size=2)
SHARES = ("l3", "l2", "l3code", "l3data", "l2code", "l2data", "mb", "smba")
MEMBERS = {
    "cpus": TEXTS,
    "tasks": st.lists(st.integers(), max_size=2),
    "cgroup": st.lists(TEXTS, max_size=2),
}
OPTIONS: dict[str, Any] = {
    "name": TEXTS | st.just("gold"),
    **dict.fromkeys(SHARES, ODD),
    "schemata": st.lists(TEXTS, max_size=2),
    **MEMBERS,
    "monitor_groups": st.lists(st.fixed_dictionaries({"name": TEXTS}, optional=MEMBERS), max_size=2),
}


@given(st.fixed_dictionaries({}, optional=OPTIONS))
@RELAXED
def test_whatever_is_given_is_parsed_or_refused(options: dict[str, Any]) -> None:
    for read in (parse_group, records.canonical):
        try:
            read({"name": "gold", **options})
        except InvalidInput as error:
            assert str(error)
