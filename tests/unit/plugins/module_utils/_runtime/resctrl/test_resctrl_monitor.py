# SPDX-FileCopyrightText: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What was counted, and how masks are drawn."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.bulkhead.linux.plugins.module_utils._runtime.resctrl import info, monitor
from ansible_collections.bulkhead.linux.plugins.module_utils._runtime.resctrl.hardware import Cache, Hardware
from ansible_collections.bulkhead.linux.plugins.module_utils._runtime.resctrl.observation import Observation
from conftest import Node


def look_at(node: Node) -> Observation:
    return Observation(node.tree, Hardware([], []))


def count(node: Node, path: str, text: str) -> Path:
    file = Path(node.tree.path) / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    return file


@pytest.mark.parametrize(
    ("text", "value"), [("65536\n", 65536), ("Unavailable\n", "Unavailable"), ("Error\n", "Error"), ("Unassigned\n", "Unassigned"), ("", "")]
)
def test_counts_are_numbers_or_the_kernel_s_words(intel: Node, text: str, value: object) -> None:
    count(intel, "mon_data/mon_L3_00/llc_occupancy", text)
    assert monitor.counts(look_at(intel), "") == {"0": {"llc_occupancy": value}}


def test_clusters_within_a_cache_have_counts_of_their_own(intel: Node) -> None:
    count(intel, "mon_data/mon_L3_01/llc_occupancy", "3\n")
    count(intel, "mon_data/mon_L3_01/mon_sub_L3_02/llc_occupancy", "2\n")
    count(intel, "mon_data/mon_PERF_PKG_00/core_energy", "7\n")  # names that are not known are let be
    assert monitor.counts(look_at(intel), "") == {"1": {"llc_occupancy": 3}, "1/sub_2": {"llc_occupancy": 2}}


def test_bandwidth_is_what_was_counted_over_the_time_that_passed(intel: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    file = count(intel, "mon_data/mon_L3_00/mbm_total_bytes", "1000\n")
    now = iter((10.0, 12.5))
    monkeypatch.setattr(monitor.time, "monotonic", lambda: next(now))
    meter = monitor.Meter(look_at(intel), [""])
    file.write_text("6000\n")
    assert meter.measure("") == {"interval": 2.5, "domains": {"0": {"mbm_total_bytes": 6000, "mbm_total_bandwidth": 2000}}}


@pytest.mark.parametrize(("before", "after", "rate"), [("Unavailable", "5", "Unavailable"), ("5", "Error", "Error"), ("9", "5", "Unavailable")])
def test_no_bandwidth_from_words_or_from_a_counter_that_went_back(intel: Node, before: str, after: str, rate: str) -> None:
    file = count(intel, "mon_data/mon_L3_00/mbm_total_bytes", before + "\n")
    meter = monitor.Meter(look_at(intel), [""])
    file.write_text(after + "\n")
    assert meter.measure("")["domains"]["0"]["mbm_total_bandwidth"] == rate


def test_a_group_that_goes_away_meanwhile_is_no_failure(intel: Node) -> None:
    intel.tree.mkdir("a")
    count(intel, "a/mon_data/mon_L3_00/mbm_total_bytes", "5\n")
    seen = look_at(intel)
    meter = monitor.Meter(seen, ["a"])
    intel.tree.rmdir("a")
    assert meter.measure("a")["domains"] == {}
    assert (seen.tasks("a"), seen.cells("a"), seen.monitors("a"), seen.cpus("a")) == (frozenset(), {}, [], frozenset())


def test_masks_are_drawn_with_the_highest_way_first() -> None:
    cache = Cache("L3", 0x7FF, shareable=0x600)
    assert info.draw(0x61F, cache) == "SS....XXXXX"
    assert info.draw(0x0, cache) == "..........."
    assert info.draw(0x400, cache) == "S.........."
