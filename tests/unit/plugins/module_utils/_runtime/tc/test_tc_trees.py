# SPDX-FileCopyrightText: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""From one queue to another, without a kernel: which steps there are, in which order, and what stays."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.bulkhead.linux.plugins.module_utils._runtime.errors import InvalidInput
from ansible_collections.bulkhead.linux.plugins.module_utils._runtime.kernel import traffic
from ansible_collections.bulkhead.linux.plugins.module_utils._runtime.tc import targets, tree, trees
from ansible_collections.bulkhead.linux.plugins.module_utils._runtime.tc.limit import (
    Class,
    Direction,
)
from ansible_collections.bulkhead.linux.plugins.module_utils._runtime.tc.tree import (
    DEFAULT,
    WHOLE,
    Filter,
    Tree,
)

NOTHING = Tree()
MTU = 1500


def queue(
    egress: dict[str, Any] | None, classes: list[dict[str, Any]] | None, seen: Tree = NOTHING
) -> Any:
    direction = Direction(egress, "egress") if egress else None
    made = [Class(one) for one in classes] if classes is not None else None
    return targets.queue_of(direction, made, seen, MTU, "v0", lambda: 0x7001, lambda: "pfifo")


def changes(seen: Tree, wanted: Any) -> list[tuple[str, bool, bool]]:
    """(what, whether it was there, whether it will be) of each step."""
    device = trees.Device(None, 7, "v0")
    steps = trees.tree_steps(device, seen, wanted.tree, wanted.names)
    return [
        (step.target[len("v0: ") :], step.before is not None, step.after is not None)
        for step in steps
    ]


def numbered(held: Tree) -> Tree:
    """The tree as the kernel would show it after it was made: filters have numbers."""
    for kind, filters in held.filters.items():
        preference = trees.GENERATIONS[0][kind]
        held.filters[kind] = [
            Filter(one.keys, one.minor, 0x80000000 | (at + 1) * 16, preference)
            for at, one in enumerate(filters)
        ]
    return held


WEB = {"name": "web", "rate": "5mbit", "match": {"destination": "10.0.0.1"}}
MAIL = {"name": "mail", "rate": "3mbit", "ceil": "20mbit", "match": {"destination": "10.0.0.2"}}


def test_what_is_not_given_stays() -> None:
    assert queue(None, None) is None


def test_a_bucket_is_made_changed_in_place_and_taken_away() -> None:
    first, second = queue({"rate": "10mbit"}, None), queue({"rate": "20mbit"}, None)
    assert changes(NOTHING, first) == [("root queue", False, True)]
    assert changes(first.tree, second) == [("root queue", True, True)]
    assert changes(first.tree, queue({"rate": "10000kbit"}, None)) == []
    assert changes(first.tree, queue({"rate": "max"}, None)) == [("root queue", True, False)]


def test_the_class_of_the_rest_comes_before_all_others() -> None:
    steps = changes(NOTHING, queue({"rate": "20mbit"}, [WEB, MAIL]))
    assert [what for what, _was, _is in steps[:3]] == [
        "root queue",
        "class 7001:1",
        "class 7001:ffff",
    ]
    assert [what for what, _was, _is in steps[-2:]] == [
        "filter ip pref 100 node 10",
        "filter ip pref 100 node 20",
    ]


def test_the_rest_gets_what_is_left_and_may_borrow_all() -> None:
    wanted = queue({"rate": "20mbit"}, [WEB, MAIL]).tree
    rest = wanted.nodes[DEFAULT].values
    assert (rest.rate, rest.ceil) == (12 * 125000, 20 * 125000)
    assert wanted.nodes[DEFAULT].parent == WHOLE


def test_without_a_rate_of_all_the_rest_is_unlimited_and_that_is_known() -> None:
    assert queue(None, [WEB]).unlimited
    assert not queue(None, [WEB, {"name": "others", "rate": "1mbit"}]).unlimited
    assert not queue({"rate": "20mbit"}, [WEB]).unlimited


def test_a_class_that_comes_touches_no_other() -> None:
    seen = numbered(queue({"rate": "20mbit"}, [WEB]).tree)
    steps = changes(seen, queue({"rate": "20mbit"}, [WEB, MAIL], seen))
    mail = tree.minors(["web", "mail"])["mail"]
    assert ("class 7001:%x" % mail, False, True) in steps
    assert ("class 7001:ffff", True, True) in steps  # less is left
    assert all(was == (what == "class 7001:ffff") for what, was, _is in steps)


def test_the_last_filter_goes_with_its_table() -> None:
    seen = numbered(queue({"rate": "20mbit"}, [WEB, MAIL]).tree)
    device = trees.Device(None, 7, "v0")

    def handles(classes: list[dict[str, Any]]) -> list[int]:
        wanted = queue({"rate": "20mbit"}, classes, seen)
        steps = trees.tree_steps(device, seen, wanted.tree, wanted.names)
        gone = [step for step in steps if "filter" in step.target and step.after is None]
        return [traffic.Item(step.messages[0][2]).handle & 0xFFF for step in gone]

    assert 0 not in handles([WEB])
    rest = {"name": "others", "rate": "1mbit"}
    kinds = [kind for kind, held in seen.filters.items() if held]
    assert handles([rest]).count(0) == len(kinds)


def test_a_class_that_goes_loses_its_filter_first() -> None:
    seen = numbered(queue({"rate": "20mbit"}, [WEB, MAIL]).tree)
    steps = [
        what
        for what, _was, there in changes(seen, queue({"rate": "20mbit"}, [WEB], seen))
        if not there
    ]
    assert steps == ["filter ip pref 100 node 20", "class 7001:%x" % tree.minors(["mail"])["mail"]]


def test_another_limit_of_all_leaves_the_classes() -> None:
    seen = numbered(queue({"rate": "20mbit"}, [WEB, MAIL]).tree)
    steps = changes(seen, queue({"rate": "30mbit"}, None, seen))
    assert steps == [("class 7001:1", True, True), ("class 7001:ffff", True, True)]


def test_what_is_of_one_queue_is_refused_while_there_are_classes() -> None:
    seen = queue({"rate": "20mbit"}, [WEB]).tree
    with pytest.raises(InvalidInput, match="there are classes"):
        queue({"rate": "20mbit", "latency": "5ms"}, None, seen)


def test_the_highest_rate_is_a_limit() -> None:
    assert not queue({"rate": "400gbit"}, [WEB]).unlimited
    assert queue({"rate": "max"}, [WEB]).unlimited


def test_classes_alone_keep_the_limit_of_the_bucket_that_was_there() -> None:
    bucket = queue({"rate": "20mbit", "burst": 30000}, None).tree
    wanted = queue(None, [WEB], bucket)
    assert wanted.tree.nodes[WHOLE].values.rate == 20 * 125000
    assert not wanted.unlimited
    assert "milliseconds of traffic are lost" in str(
        trees.tree_steps(trees.Device(None, 7, "v0"), bucket, wanted.tree, wanted.names)[0].after
    )


def test_without_classes_any_more_what_they_shared_stays() -> None:
    seen = queue({"rate": "20mbit"}, [WEB]).tree
    assert queue(None, [], seen).tree.bucket.rate == 20 * 125000
    assert queue(None, [], queue(None, [WEB]).tree).tree.kind == ""


def test_a_class_under_another_parent_is_made_anew() -> None:
    inner = {"name": "all", "rate": "10mbit"}
    seen = numbered(queue({"rate": "20mbit"}, [inner, {**WEB, "parent": "all"}, MAIL]).tree)
    wanted = queue({"rate": "20mbit"}, [inner, WEB, {**MAIL, "parent": "all"}], seen)
    numbers = tree.minors(["all", "web", "mail"])
    steps = changes(seen, wanted)
    for name in ("web", "mail"):
        one = "class 7001:%x" % numbers[name]
        removed, made = steps.index((one, True, False)), steps.index((one, False, True))
        assert removed < made
        gone = [
            at
            for at, (what, _was, there) in enumerate(steps)
            if what.startswith("filter") and not there
        ]
        assert max(gone) < removed


def test_numbers_of_classes_are_of_their_names_alone() -> None:
    few, many = tree.minors(["a", "b"]), tree.minors([*map(str, range(200)), "a", "b"])
    assert few["a"] == many["a"] and few["b"] == many["b"]
    assert len(set(tree.minors(map(str, range(4000))).values())) == 4000


def test_a_filter_between_two_gets_a_number_between_theirs() -> None:
    asked = [Filter(((0, at, 0),), at) for at in range(3)]
    held = [Filter(asked[0].keys, 0, 16, 100), Filter(asked[2].keys, 2, 32, 100)]
    stays = trees._common(held, asked)
    assert sorted(stays) == [0, 2]
    numbers = trees._numbered(asked, stays, set())
    assert numbers is not None and numbers[0] == 16 < numbers[1] < 32 == numbers[2]


def test_where_no_number_is_free_there_is_none() -> None:
    asked = [Filter(((0, at, 0),), at) for at in range(3)]
    held = {0: Filter(asked[0].keys, 0, 16, 100), 2: Filter(asked[2].keys, 2, 17, 100)}
    assert trees._numbered(asked, held, set()) is None
    held[2].handle = 18
    assert trees._numbered(asked, held, {17}) is None


def test_as_many_filters_as_can_stay_in_their_order() -> None:
    asked = [Filter(((0, at, 0),), at) for at in range(5)]
    held = [
        Filter(asked[at].keys, at, node, 100)
        for at, node in ((0, 50), (1, 10), (2, 20), (3, 30), (4, 5))
    ]
    assert sorted(trees._common(held, asked)) == [1, 2, 3]


@pytest.mark.parametrize(
    ("egress", "says"),
    [
        ({"rate": "10mbit", "burst": 1513}, "lets no full frame through"),
        ({"rate": "8kbit", "burst": "1M"}, "274.8 s"),
        ({"rate": "10mbit", "limit": 1000}, "holds no full frame"),
        ({"rate": "400gbit", "latency": "1s"}, "4 GiB - 1"),
    ],
)
def test_what_the_kernel_would_cut_is_refused(egress: dict[str, Any], says: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        queue(egress, None)
    assert says in str(refused.value)


def test_a_rate_that_passes_no_full_frame_of_the_interface_is_refused() -> None:
    with pytest.raises(InvalidInput, match="no packet of 65550 bytes"):
        targets.bucket(Direction({"rate": "100kbit"}, "egress"), 65536, "lo")


def test_more_than_there_is_is_known() -> None:
    both = queue({"rate": "10mbit"}, [{**WEB, "rate": "8mbit"}, {**MAIL, "rate": "8mbit"}])
    assert targets.overcommitted(both, True) == [
        "the classes of egress have 16mbit together, and it has 10mbit"
    ]
    assert (
        targets.overcommitted(
            queue({"rate": "16mbit"}, [{**WEB, "rate": "8mbit"}, {**MAIL, "rate": "8mbit"}]), True
        )
        == []
    )
