# SPDX-FileCopyrightText: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What role workload asks the modules for, and what it records of what they made."""

from __future__ import annotations

from ansible_collections.bulkhead.linux.plugins.filter.workload_calls import workload_calls
from ansible_collections.bulkhead.linux.plugins.filter.workload_record import workload_record

WEB = {"name": "web", "command": ["sleep", "1"], "wait": True, "rdt": {"l3": "50%"}, "resources": {"memory": {"max": "64M"}}}
BATCH = {"name": "batch", "resources": {"memory": {"max": "1G"}, "io": {"weight": 50}}, "frozen": True}
RECORD = {"containers": ["old", "batch"], "groups": {"web": "web.slice", "gone": "gone", "needed": "needed"}}


def test_a_container_gets_every_option_it_was_given_over_the_defaults():
    calls = workload_calls([WEB], {"resources": {"memory": {"high": "32M"}, "pids": {"max": 5}}, "user": "nobody"})
    resources = {"memory": {"max": "64M", "high": "32M"}, "pids": {"max": 5}}
    assert calls["containers"] == [{**WEB, "user": "nobody", "resources": resources}]
    assert calls["groups"] == [] and not calls["strange"] and not calls["twice"]


def test_a_group_has_its_limits_at_the_top():
    assert workload_calls([BATCH])["groups"] == [
        {"name": "batch", "frozen": True, "memory": {"max": "1G"}, "io": {"weight": 50}, "state": "present"}
    ]


def test_what_only_containers_have_is_refused_for_groups():
    bad = [{"name": "a", "user": "nobody"}, {"name": "b", "state": "paused"}]
    good = [{"name": "c", "state": "absent", "user": "x"}, {"name": "d", "manager": "cgroupfs"}]
    assert workload_calls(bad + good)["strange"] == ["a", "b"]


def test_a_name_that_is_given_twice():
    assert workload_calls([WEB, {"name": "web"}, BATCH])["twice"] == ["web"]


def test_what_is_to_be_gone_goes_as_what_it_was():
    calls = workload_calls([{"name": "a", "state": "absent"}, {"name": "b/c", "state": "absent"}])
    assert calls["containers"] == [{"name": "a", "state": "absent"}]
    assert calls["groups"] == [{"name": "a", "state": "absent"}, {"name": "b/c", "state": "absent"}]


def test_a_workload_of_another_kind_than_before():
    calls = workload_calls([{**WEB, "force": True}, BATCH], recorded=RECORD)
    assert {"name": "batch", "state": "absent"} in calls["containers"]
    assert {"name": "web", "state": "absent", "force": True} in calls["groups"]
    absent = workload_calls([{**WEB, "state": "absent"}], recorded=RECORD)
    assert absent["groups"] == [{"name": "web", "state": "absent", "force": False}]
    # Nobody else's group: it is not recorded.
    assert workload_calls([{**WEB, "state": "absent"}])["groups"] == []
    # The group holds one that stays.
    assert workload_calls([WEB, {"name": "web/in"}], recorded=RECORD)["groups"] == [{"name": "web/in", "state": "present"}]


def test_what_is_not_in_the_list_any_more():
    calls = workload_calls([WEB, {"name": "needed/in"}], recorded=RECORD, prune=True)
    assert calls["unlisted"] == {"containers": ["old", "batch"], "groups": {"gone": "gone"}}
    left_out = {entry["name"] for entry in calls["promises"] if entry.get("state") == "absent"}
    assert left_out == {"bulkhead/old", "bulkhead/batch"}
    assert not [entry for entry in workload_calls([WEB], recorded=RECORD)["promises"] if entry.get("state") == "absent"]


def test_the_sum_is_that_of_what_stays():
    calls = workload_calls([WEB, BATCH, {"name": "x", "state": "absent"}])
    assert calls["promises"] == [
        {"name": "bulkhead/web", "overcommit": "deny", "memory": {"max": "64M"}},
        {"name": "bulkhead/batch", "overcommit": "deny", "memory": {"max": "1G"}},
        {"name": "bulkhead/x", "state": "absent", "force": True},
    ]


def test_the_record_follows_what_was_made():
    containers = [{"name": "new", "state": "started"}, {"name": "batch", "state": "absent"}]
    groups = [{"name": "web", "state": "absent"}, {"name": "fresh", "state": "present", "cgroup": "fresh.slice"}]
    record = workload_record(RECORD, containers, groups, {"groups": ["gone"]})
    assert record == {"containers": ["new", "old"], "groups": {"fresh": "fresh.slice", "needed": "needed"}}
    assert workload_record(record) == record


def test_one_group_under_two_names_is_recorded_once():
    record = workload_record({"groups": {"batch": "batch.slice"}}, [], [{"name": "batch.slice", "state": "present", "cgroup": "batch.slice"}])
    assert record["groups"] == {"batch.slice": "batch.slice"}
    assert workload_calls([{"name": "batch.slice"}], recorded=record)["unlisted"]["groups"] == {}
