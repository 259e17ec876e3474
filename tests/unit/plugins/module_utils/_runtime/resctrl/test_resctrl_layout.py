# SPDX-FileCopyrightText: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Masks and the order in which they are written, whatever is asked on whatever hardware."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.bulkhead.linux.plugins.module_utils._runtime.errors import BulkheadError, InvalidInput
from ansible_collections.bulkhead.linux.plugins.module_utils._runtime.resctrl import schemata
from ansible_collections.bulkhead.linux.plugins.module_utils._runtime.resctrl.asks import Ask
from ansible_collections.bulkhead.linux.plugins.module_utils._runtime.resctrl.hardware import Cache
from ansible_collections.bulkhead.linux.plugins.module_utils._runtime.resctrl.layout import Demand, Held, bits, lay_out
from conftest import Node
from fake_resctrl import Machine
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st


@st.composite
def caches(draw: st.DrawFn) -> Cache:
    ways = draw(st.integers(4, 20))
    shared = draw(st.integers(0, 3))
    least = draw(st.integers(0, 2))
    return Cache("L3", (1 << ways) - 1, least, ((1 << shared) - 1) << (ways - shared), draw(st.booleans()))


@st.composite
def requests(draw: st.DrawFn) -> tuple[Cache, list[Demand], list[Held]]:
    cache = draw(caches())
    demands = []
    for number in range(draw(st.integers(1, 6))):
        avoid = draw(st.sampled_from((0, cache.shareable)))
        demands.append(Demand("class%d" % number, "L3", draw(st.integers(cache.least, cache.ways)), None, draw(st.booleans()), avoid))
    held = [Held("other%d" % number, draw(st.integers(1, 3)) << draw(st.integers(0, cache.ways - 2)), False) for number in range(draw(st.integers(0, 2)))]
    return cache, demands, held


def is_valid(cache: Cache, mask: int) -> bool:
    """As the kernel judges it."""
    spelled = bin(mask)[2:].rstrip("0")
    if "0" in spelled and not cache.sparse:
        return False
    return 0 < mask <= cache.mask and len(spelled) - len(spelled.rstrip("1")) >= cache.min_bits


@given(requests())
def test_layouts_are_valid_or_refused(request: tuple[Cache, list[Demand], list[Held]]) -> None:
    cache, demands, held = request
    try:
        placed = lay_out(cache, "L3", demands, held)
    except InvalidInput as error:
        assert "too few" in str(error) or "would leave" in str(error)
        return
    assert placed == lay_out(cache, "L3", demands, held)
    exclusive = 0
    for demand in demands:
        mask = placed[demand.place]
        assert is_valid(cache, mask)
        assert bits(mask) == demand.ways
        assert not mask & demand.avoid
        if demand.exclusive:
            assert not mask & cache.shareable
            assert not any(mask & other.mask for other in held)
            assert not any(mask & placed[other.place] for other in demands if other is not demand)
            exclusive |= mask
    # Who was put somewhere stays there.
    for demand in demands:
        demand.before = placed[demand.place]
    assert lay_out(cache, "L3", demands, held) == placed
    assert bits(cache.mask & ~exclusive) >= cache.least


@given(st.dictionaries(st.tuples(st.sampled_from(("L3", "L3CODE", "L2", "MB", "SMBA")), st.integers(0, 200)), st.integers(1, 0xFFFF)))
def test_what_is_written_reads_the_same(cells: dict[tuple[str, int], int]) -> None:
    assert schemata.flat(schemata.parse(schemata.format(cells))) == cells


def test_what_the_kernel_prints_is_read() -> None:
    text = "    MB:0= 20;1=100\n  L3CODE:0=007ff;12=00001\n    L3:uninitialized\n"
    assert schemata.parse(text) == {"MB": {0: 20, 1: 100}, "L3CODE": {0: 0x7FF, 12: 1}, "L3": {}}


@given(st.integers(1, 100), st.integers(2, 32))
def test_shares_are_rounded_down_and_fit_together(percent: int, ways: int) -> None:
    cache = Cache("L3", (1 << ways) - 1)
    ask, rest = (Ask.of_option("L3", "%d%%" % share, "l3") if share else None for share in (percent, 100 - percent))
    got = 0
    for each in (ask, rest):
        if each:
            try:
                got += each.ways_of(cache)
            except InvalidInput as error:
                assert "less than one way" in str(error)
    assert got <= ways


@pytest.mark.parametrize(("percent", "ways", "got"), [("29%", 100, 29), ("50%", 11, 5), ("33.4%", 3, 1), ("100%", 20, 20), ("99.9%", 20, 19)])
def test_shares_are_exact(percent: str, ways: int, got: int) -> None:
    assert Ask.of_option("L3", percent, "l3").ways_of(Cache("L3", (1 << ways) - 1)) == got


NAMES = ("a", "b", "c", "d")


@st.composite
def histories(draw: st.DrawFn) -> tuple[Machine, list[list[dict[str, Any]]]]:
    machine = Machine(
        ways=draw(st.integers(6, 12)),
        domains=(0, 3),
        shareable=draw(st.sampled_from((0, 0x600, 0x3))),
        least=draw(st.integers(0, 2)),
        sparse=draw(st.booleans()),
        cdp=draw(st.booleans()),
        closids=12,
    )
    machine.caches = {name: (full, shareable & full) for name, (full, shareable) in machine.caches.items()}
    calls = []
    for _call in range(draw(st.integers(1, 5))):
        items: list[dict[str, Any]] = []
        for name in draw(st.lists(st.sampled_from(NAMES), unique=True, min_size=1)):
            if draw(st.integers(0, 4)) == 0:
                items.append({"name": name, "state": "absent"})
                continue
            item: dict[str, Any] = {"name": name, "mode": draw(st.sampled_from(("exclusive", "shareable", None)))}
            item["l3"] = draw(st.sampled_from((1, 2, 3, "30%", "50%", "max", {"0": 2, "3": 1}, None)))
            item["mb"] = draw(st.sampled_from(("25%", "100%", None)))
            if machine.cdp and item["l3"] is None and draw(st.booleans()):
                item.update(l3code=draw(st.integers(1, 3)), l3data=draw(st.integers(1, 3)))
            items.append(item)
        calls.append(items)
    return machine, calls


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture])
@given(histories())
def test_any_history_of_classes_converges(monkeypatch: pytest.MonkeyPatch, history: tuple[Machine, list[list[dict[str, Any]]]]) -> None:
    """One run each; nothing left to do; no exclusive way shared at any write (the fake kernel asserts it); groups of others as they were."""
    machine, calls = history
    with tempfile.TemporaryDirectory() as directory:
        monkeypatch.setenv("BULKHEAD_PREFIX", directory)
        node = Node(Path(directory), machine)
        start = dict(node.tree.values[""])
        node.tree.mkdir("others")
        for resource in machine.caches:
            node.tree.write("others/schemata", "%s:0=%x;3=%x\n" % (resource, 0x3, 0x3))
        held = dict(node.tree.values["others"])
        for items in calls:
            try:
                plan = node.plan(*items)
            except BulkheadError as error:
                assert not isinstance(error, OSError)
                assert "without sharing some for a moment" not in str(error)
                continue
            names = {item["name"] for item in items if item.get("state") != "absent"}
            node.run(*items)
            assert plan.targets.hardware.closids >= len(node.tree.values)
            assert names <= set(node.tree.values)
            assert node.tree.values["others"] == held
        node.run(*({"name": name, "state": "absent"} for name in NAMES))
        assert set(node.tree.values) == {"", "others"}
        assert node.tree.values[""] == start
