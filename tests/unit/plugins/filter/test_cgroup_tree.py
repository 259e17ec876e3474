# SPDX-FileCopyrightText: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""One tree of control groups, on machines that differ."""

from __future__ import annotations

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.bulkhead.linux.plugins.filter.cgroup_tree import cgroup_limits, cgroup_tree

SMALL = {"memory.max": 1 << 30, "cpu.max": 2, "pids.max": 32768}
TREE = {
    "batch/night": {"pids": {"max": "50%"}, "io": {"weight": 10}, "frozen": False},
    "batch": {"memory": {"max": "50%", "high": "64M"}, "cpu": {"max": "12.5%"}, "force": True},
    "empty": None,
}


def test_shares_are_those_of_the_machine():
    assert cgroup_tree(TREE, SMALL) == [
        {
            "name": "batch",
            "memory": {"max": 1 << 29, "high": "64M"},
            "cpu": {"max": 0.25},
            "force": True,
        },
        {"name": "batch/night", "pids": {"max": 16384}, "io": {"weight": 10}, "frozen": False},
        {"name": "empty"},
    ]


def test_limits_are_named_once():
    more = {**TREE, "other": {"memory": {"max": 1}, "devices": [], "state": "absent"}}
    assert cgroup_limits(more) == [
        "cpu.max",
        "devices",
        "frozen",
        "io.weight",
        "memory.high",
        "memory.max",
        "pids.max",
    ]


def test_one_limit_alone():
    assert cgroup_tree(TREE, SMALL, only="memory.high") == [
        {"name": "batch", "memory": {"high": "64M"}, "force": True}
    ]


def test_limits_that_are_left_out():
    found = cgroup_tree(TREE, SMALL, without=["memory.high", "memory.max", "frozen"])
    assert found[0] == {"name": "batch", "cpu": {"max": 0.25}, "force": True}
    assert "frozen" not in found[1] and found[2] == {"name": "empty"}


def test_each_limit_alone_and_none_is_the_whole():
    """Whatever is asked for is tried, and what is left out is what was tried."""
    limits = cgroup_limits(TREE)
    tried = [group for limit in limits for group in cgroup_tree(TREE, SMALL, only=limit)]
    said = {key for group in tried for key in group}
    assert said == {"name", "memory", "cpu", "pids", "io", "frozen", "force"}
    bare = cgroup_tree(TREE, SMALL, without=limits)
    assert [set(group) - {"name", "force"} for group in bare] == [set(), set(), set()]


@pytest.mark.parametrize(
    ("tree", "why"),
    [
        (["batch"], "no dictionary of groups"),
        ({"batch": "64M"}, "what is said of batch is no dictionary"),
        ({"batch": {"name": "x"}}, "batch has a name by its place"),
        ({"batch": {"memory": {"max": "101%"}}}, "memory.max of batch is 101%"),
        ({"batch": {"memory": {"max": "0%"}}}, "memory.max of batch is 0%"),
        ({"batch": {"memory": {"swap_max": "5%"}}}, "memory.swap_max of batch is 5%"),
        ({"batch": {"cpu": {"weight": "5%"}}}, "cpu.weight of batch is 5%"),
    ],
)
def test_what_cannot_be_meant(tree, why):
    with pytest.raises(AnsibleFilterError, match=why):
        cgroup_tree(tree, SMALL)


def test_a_share_of_what_is_not_known():
    with pytest.raises(AnsibleFilterError, match=r"how much there is of pids\.max"):
        cgroup_tree({"batch": {"pids": {"max": "5%"}}}, {})
