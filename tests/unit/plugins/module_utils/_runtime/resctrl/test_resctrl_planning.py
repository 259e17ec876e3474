# SPDX-FileCopyrightText: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""From options to writes, on machines of several kinds, and what is refused before the first of them."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.bulkhead.linux.plugins.module_utils._runtime.errors import BulkheadError
from ansible_collections.bulkhead.linux.plugins.module_utils._runtime.plan import apply
from ansible_collections.bulkhead.linux.plugins.module_utils._runtime.resctrl import facts
from conftest import Node
from fake_resctrl import Machine, refuse

GOLD = {"name": "gold", "l3": "50%", "mb": "25%", "mode": "exclusive"}
BATCH = {"name": "batch", "l3": "20%", "mb": "20%"}


def writes(node: Node) -> list[tuple[str, ...]]:
    return [entry for entry in node.tree.log if "last_cmd" not in entry[1]]


def test_a_set_of_classes_is_laid_out_and_written_in_a_safe_order(intel: Node) -> None:
    assert [step for step in intel.steps(GOLD, BATCH) if not step[0].endswith(".json")] == [
        ("schemata", "L3:0=7e0;1=7e0"),
        ("gold/", "directory"),
        ("gold/schemata", "L3:0=1f;1=1f\nMB:0=25;1=25"),
        ("batch/", "directory"),
        ("batch/schemata", "L3:0=60;1=60\nMB:0=20;1=20"),
        ("gold/mode", "exclusive"),
    ]
    intel.run(GOLD, BATCH)
    assert intel.tree.modes["gold"] == "exclusive"


def test_what_the_kernel_rounds_is_told_and_no_change(intel: Node) -> None:
    intel.run(GOLD)
    (gold,) = intel.report(GOLD)
    assert gold["effective"]["mb"] == {"0": 30, "1": 30}
    assert gold["rounded"] == ["l3", "mb"]
    assert gold["asked"] == {"l3": "50%", "mb": "25%", "mode": "exclusive"}


def test_ways_that_were_exclusive_are_given_back(intel: Node) -> None:
    before = intel.tree.snapshot()
    intel.run(GOLD, BATCH)
    intel.run({"name": "gold", "state": "absent"}, {"name": "batch", "state": "absent"})
    assert intel.tree.snapshot() == before


def test_a_default_group_that_somebody_made_smaller_is_not_made_larger(intel: Node) -> None:
    intel.tree.write("schemata", "L3:0=7f0;1=7f0\n")
    intel.run({"name": "gold", "l3": 2, "mode": "exclusive"})
    assert intel.tree.values[""]["L3", 0] == 0x7F0
    intel.run({"name": "gold", "state": "absent"})
    assert intel.tree.values[""]["L3", 0] == 0x7F0


def test_the_default_group_is_managed_by_its_empty_name(intel: Node) -> None:
    intel.run({"name": "", "l3": 2, "mb": "50%"})
    assert intel.tree.values[""] == {("L3", 0): 0x180, ("L3", 1): 0x180, ("MB", 0): 50, ("MB", 1): 50}
    intel.run({"name": "", "state": "absent"})
    assert intel.tree.values[""] == {("L3", 0): 0x7FF, ("L3", 1): 0x7FF, ("MB", 0): 100, ("MB", 1): 100}


def test_classes_change_places_without_sharing_a_way(intel: Node) -> None:
    first, second = {"name": "a", "l3": 3, "mode": "exclusive"}, {"name": "b", "l3": 6, "mode": "exclusive"}
    intel.run(first, second)
    assert (intel.tree.values["a"]["L3", 0], intel.tree.values["b"]["L3", 0]) == (0x7, 0x1F8)
    intel.run({**first, "l3": 6}, {**second, "l3": 3})  # the fake kernel asserts at each write
    assert (intel.tree.values["a"]["L3", 0], intel.tree.values["b"]["L3", 0]) == (0x3F, 0x1C0)
    intel.run({**first, "l3": "0x1c0"}, {**second, "l3": "0x3f"})
    assert (intel.tree.values["a"]["L3", 0], intel.tree.values["b"]["L3", 0]) == (0x1C0, 0x3F)


def test_a_class_stays_where_it_was_put(intel: Node) -> None:
    intel.run({"name": "a", "l3": 2})
    intel.run({"name": "b", "l3": 2})
    intel.run({"name": "a", "state": "absent"})
    assert intel.tree.values["b"]["L3", 0] == 0xC
    assert intel.steps({"name": "b", "l3": 2}) == []
    intel.tree.write("b/schemata", "L3:0=180\n")  # as many ways, in another place: somebody else did that
    assert intel.steps({"name": "b", "l3": 2}) == [("b/schemata", "L3:0=c")]


def test_an_option_that_is_not_given_stays(intel: Node) -> None:
    intel.run(GOLD)
    assert intel.steps({"name": "gold"}) == []
    intel.run({"name": "gold", "mb": "50%"})
    assert intel.tree.values["gold"]["L3", 0] == 0x1F
    assert intel.tree.modes["gold"] == "exclusive"


def test_values_for_each_domain(intel: Node) -> None:
    intel.run({"name": "a", "l3": {"all": 2, "1": "0x70"}, "mb": {1: "70%"}})
    assert intel.tree.values["a"] == {("L3", 0): 0x3, ("L3", 1): 0x70, ("MB", 0): 100, ("MB", 1): 70}


def test_lines_as_the_kernel_writes_them(intel: Node) -> None:
    intel.run({"name": "a", "schemata": ["L3:0=7f;1=7f", "MB:0=20;1=70"]})
    assert intel.tree.values["a"] == {("L3", 0): 0x7F, ("L3", 1): 0x7F, ("MB", 0): 20, ("MB", 1): 70}
    assert intel.steps({"name": "a", "schemata": ["  L3 :0= 07f;1=0x7f;", "MB:1=70"]}) == []


def test_code_and_data(cdp: Node) -> None:
    cdp.run({"name": "a", "l3code": 2, "l3data": 3, "mode": "exclusive"}, {"name": "b", "l3": 2, "mode": "exclusive"})
    assert cdp.tree.values["a"]["L3CODE", 0] & cdp.tree.values["a"]["L3DATA", 0] == 0
    assert cdp.tree.values["b"]["L3CODE", 0] == cdp.tree.values["b"]["L3DATA", 0]
    assert "mounted with cdp, where lines name code and data" in cdp.refused({"name": "c", "schemata": ["L3:0=f"]})


def test_bandwidth_of_amd(amd: Node) -> None:
    amd.run({"name": "a", "mb": "16GBps", "l3": "0x5"}, {"name": "b", "mb": "max"}, {"name": "c", "mb": 3})
    assert [amd.tree.values[name]["MB", 3] for name in "abc"] == [128, 2048, 3]
    assert "counted in 1/8 GB/s" in amd.refused({"name": "d", "mb": "80%"})


@pytest.mark.parametrize("vendor", ["intel", "amd"])
def test_what_is_foreseen_of_a_class_is_what_it_has(vendor: str, request: pytest.FixtureRequest) -> None:
    node = request.getfixturevalue(vendor)
    for items in ([{"name": "a", "l3": 3}, {"name": "b", "l3": "max"}], [{"name": "a", "mb": {"1": 70}}]):
        foreseen = node.report(*items)
        node.run(*items)
        assert node.report(*items) == foreseen
        assert set(foreseen[0]["effective"]) >= {"l3", "mb"}


def test_no_limit_is_still_known_once_the_default_group_is_limited(amd: Node) -> None:
    for limit in (512, 100):  # a power of two, which could be the greatest value, and one that cannot
        amd.run({"name": "", "mb": limit})
        amd.run({"name": "a", "mb": "max"}, {"name": "b", "mb": 1024})
        assert [amd.tree.values[name]["MB", 3] for name in ("", "a", "b")] == [limit, 2048, 1024]
    amd.run({"name": "", "mb": "max"})
    assert amd.tree.values[""]["MB", 0] == 2048
    amd.run({"name": "", "mb": 256})
    amd.run({"name": "", "state": "absent"})
    assert amd.tree.values[""]["MB", 0] == 2048


def test_bandwidth_in_bytes_and_its_spellings_of_no_limit(tmp_path: Path) -> None:
    node = Node(tmp_path, Machine(bandwidth="MBps"))
    node.run({"name": "a", "mb": "2000MBps"}, {"name": "b", "mb": "max"})
    assert node.tree.values["a"]["MB", 0] == 2000
    node.tree.write("b/schemata", "MB:0=4294967290\n")  # as pqos spells it
    assert node.steps({"name": "b", "mb": "max"}) == []
    assert "a percentage, and MB is counted in MBps" in node.refused({"name": "a", "mb": "50%"})


def test_a_value_that_was_read_is_never_written_back(mpam: Node) -> None:
    group = {"name": "a", "mb": "29%"}
    mpam.run(group)
    kept = mpam.tree.values["a"]["MB", 1]
    assert kept != 29
    assert mpam.tree.machine.rounded(kept) != kept  # so writing it back would raise it
    mpam.tree.log.clear()
    for _again in range(3):
        mpam.run(group)
    assert writes(mpam) == []
    # An undone change brings back what was asked, not what was read.
    plan = mpam.plan({"name": "a", "mb": "50%"})
    done = []
    apply(plan, done.append)
    for step in reversed(done):
        step.undo()
    assert ("write", "a/schemata", "MB:1=29;7=29\n") in mpam.tree.log
    assert mpam.tree.values["a"]["MB", 1] == kept


def test_an_offline_domain_is_no_drift_and_one_that_returned_is(intel: Node) -> None:
    intel.run(GOLD, BATCH)
    intel.tree.offline(1)
    assert intel.steps(GOLD, BATCH) == []
    assert intel.steps({**GOLD, "l3": {0: "50%", 1: "50%"}}) == []
    intel.tree.back_online(1)
    assert intel.tree.shared()
    intel.run(GOLD, BATCH)
    assert intel.tree.shared() == []
    assert intel.tree.values["gold"]["L3", 1] == 0x1F


def test_groups_of_others_are_left_alone(intel: Node) -> None:
    intel.tree.mkdir("COS1")
    intel.tree.write("COS1/schemata", "L3:0=f;1=f\n")
    before = {path: text for path, text in intel.tree.snapshot().items() if path.startswith("COS1")}
    intel.run({"name": "gold", "l3": 3, "mode": "exclusive"}, {"name": "wide", "l3": "0x780"})
    assert intel.tree.values["gold"]["L3", 0] == 0x70  # beside what others hold
    plan = intel.plan({"name": "wide", "l3": "0x8"})
    assert plan.overlaps == {"wide": {"COS1": ["L3:0=8", "L3:1=8"]}}
    assert "shares ways with groups of others: COS1" in plan.warnings[0]
    assert {path: text for path, text in intel.tree.snapshot().items() if path.startswith("COS1")} == before
    assert "was not made by this collection, and is not changed" in intel.refused({"name": "COS1", "l3": 2})
    assert "was not made by this collection, and is not removed" in intel.refused({"name": "COS1", "state": "absent"})
    said = intel.refused({"name": "gold", "l3": 8, "mode": "exclusive"})
    assert "the exclusive classes want 8 ways, and 3 of 11 can be had exclusively" in said
    assert "COS1 holds f" in said
    intel.run({"name": "COS1", "l3": 2, "force": True})
    intel.run({"name": "COS1", "state": "absent"})  # it is ours now


def test_what_was_made_is_ours_after_a_reboot_only_if_it_was_kept(intel: Node) -> None:
    intel.run(BATCH)
    Path(facts.path()).unlink()
    assert "was not made by this collection" in intel.refused({**BATCH, "mb": "30%"})
    intel.desired.add("batch")
    intel.run({**BATCH, "mb": "30%"})


@pytest.mark.parametrize("content", ["", "{", "[]", '{"format":1,"groups":3}', '{"format":9}'])
def test_facts_that_cannot_be_read_are_written_anew(intel: Node, content: str) -> None:
    Path(facts.path()).parent.mkdir(parents=True)
    Path(facts.path()).write_text(content)
    intel.run(BATCH)


REFUSED: list[tuple[list[dict[str, Any]], str]] = [
    ([{"name": "a", "l3": "0x0"}], "the mask is empty"),
    ([{"name": "a", "l3": "0xfff"}], "wider than L3"),
    ([{"name": "a", "l3": "0x5"}], "has holes"),
    ([{"name": "a", "l3": "zz"}], "neither a percentage, a number of ways nor a mask"),
    ([{"name": "a", "l3": "0xzz"}], "not a mask in hexadecimal"),
    ([{"name": "a", "l3": ""}], "is empty"),
    ([{"name": "a", "l3": {}}], "is empty"),
    ([{"name": "a", "l3": 127}], "A mask is written in quotes: '0x7f'"),
    ([{"name": "a", "l3": 0}], "is not within 1"),
    ([{"name": "a", "l3": "101%"}], "more than everything"),
    ([{"name": "a", "l3": "0%"}], "nothing at all"),
    ([{"name": "a", "l3": "9%"}], "less than one way"),
    ([{"name": "a", "l3": {"7": 2}}], "has no domain 7 here"),
    ([{"name": "a", "l3": "2000MBps"}], "neither a percentage"),
    ([{"name": "a", "l2": 2}], "cannot divide L2"),
    ([{"name": "a", "l3code": 2}], "need the mount option cdp"),
    ([{"name": "a", "l3": 2, "l3data": 2}], "cannot be given beside"),
    ([{"name": "a", "smba": 2}], "cannot divide SMBA"),
    ([{"name": "a", "mb": "5%"}], "takes from 10 to 100"),
    ([{"name": "a", "mb": "2000MBps"}], "counted in percent"),
    ([{"name": "a", "mb": "20Gbps"}], "counts in bits"),
    ([{"name": "a", "mb": "10XBps"}], "is not a bandwidth"),
    ([{"name": "a", "mb": "110%"}], "more than everything"),
    ([{"name": "a", "schemata": []}], "schemata is empty"),
    ([{"name": "a", "schemata": [""]}], "it is empty"),
    ([{"name": "a", "schemata": ["L3:0=f\nMB:0=5"]}], "holds a newline"),
    ([{"name": "a", "schemata": ["L3"]}], "there is no ':'"),
    ([{"name": "a", "schemata": ["L3:"]}], "there is no value"),
    ([{"name": "a", "schemata": ["L3:0"]}], "is not a cache id"),
    ([{"name": "a", "schemata": ["L3:x=f"]}], "is not a cache id"),
    ([{"name": "a", "schemata": ["L3: 0=f;; 1=f"]}], "is not a cache id"),
    ([{"name": "a", "schemata": ["L3:0=f;0=f"]}], "is given twice"),
    ([{"name": "a", "schemata": ["L3:0="]}], "is empty"),
    ([{"name": "a", "schemata": ["L3:9=f"]}], "has no domain 9"),
    ([{"name": "a", "schemata": ["XX:0=f"]}], "cannot divide XX"),
    ([{"name": "a", "schemata": ["MB:0=4294967296"]}], "is not within"),
    ([{"name": "a", "schemata": ["L3:0=f", "MB:0=5"]}], "takes from 10 to 100"),
    ([{"name": "a/b"}], "is not a plain name"),
    ([{"name": ".."}], "is not a plain name"),
    ([{"name": "info"}], "the kernel has a file or directory"),
    ([{"name": "a\nb"}], "holds a newline"),
    ([{"name": "a"}, {"name": "a"}], "named twice"),
    ([{"name": "a", "mode": "pseudo-locksetup"}], "neither shareable nor exclusive"),
    ([{"name": "", "l3": 2, "mode": "exclusive"}], "cannot be exclusive"),
    ([{"name": "a", "mode": "exclusive"}], "nothing is said of L3"),
    ([{"name": "a", "l3": "0x600", "mode": "exclusive"}], "because devices use 600"),
    ([{"name": "a", "l3": "0x600", "shareable_bits": "avoid"}], "shareable_bits is avoid"),
    ([{"name": "a", "l3": "0xf", "mode": "exclusive"}, {"name": "b", "l3": "0x8", "mode": "exclusive"}], "both claim 8, one of them exclusively"),
    ([{"name": "a", "l3": "0xf", "mode": "exclusive"}, {"name": "b", "l3": "0x18"}], "both claim 8"),
    ([{"name": "a", "l3": "60%", "mode": "exclusive"}, {"name": "b", "l3": "40%", "mode": "exclusive"}], "1 too few"),
    ([{"name": "a", "l3": "80%", "mode": "exclusive"}, {"name": "b", "l3": 4}], "b wants 4 ways, and there are 3"),
    ([{"name": "n%d" % number} for number in range(16)], "1 too few"),
    ([{"name": "a", "monitor_groups": [{"name": "m%d" % number} for number in range(31)]}], "1 too few"),
    ([{"name": "a", "tasks": [0]}], "is not within 1"),
    ([{"name": "a", "tasks": [4194304]}], "there is no task"),
    ([{"name": "a", "cgroup": "no/such/group"}], "there is no control group"),
    ([{"name": "a", "cgroup": "../up"}], "is not a path relative"),
    ([{"name": "a", "cpus": ""}], "cpus is empty"),
    ([{"name": "a", "cpus": "60000"}], "this machine has no CPU"),
    ([{"name": "a", "cpus": "0"}, {"name": "b", "cpus": "0"}], "CPU 0 is given to group a and to group b"),
    ([{"name": "", "cpus": "0"}], "no other group has"),
]


@pytest.mark.parametrize(("items", "says"), REFUSED, ids=lambda value: value if isinstance(value, str) else "")
def test_refused_before_the_first_write(intel: Node, items: list[dict[str, Any]], says: str) -> None:
    assert says in intel.refused(*items)


def test_all_that_is_wrong_is_told_at_once(intel: Node) -> None:
    said = intel.refused({"name": "a", "mb": "5%"}, {"name": "b", "l3": "9%"})
    assert "takes from 10 to 100" in said
    intel.refused({"name": "a", "l3": "9%"})


def test_classes_are_halved_by_cdp_and_who_holds_them_is_told(cdp: Node) -> None:
    cdp.run(*({"name": "n%d" % number} for number in range(5)))
    cdp.tree.mkdir("COS1")
    said = cdp.refused({"name": "x"}, {"name": "y"})
    assert "classes for 7 beside the default group (code and data apart take two each): 1 too few" in said
    assert "n0 n1 n2 n3 n4, made by this collection; COS1, made by others" in said
    cdp.run({"name": "n0", "state": "absent"}, {"name": "x"}, {"name": "y"})  # what goes makes room


def test_exclusive_needs_every_cache(tmp_path: Path) -> None:
    node = Node(tmp_path, Machine(l2=8))
    assert "Exclusive is so in every cache that can be divided: L2, L3" in node.refused({"name": "a", "l3": 2, "mode": "exclusive"})
    node.run({"name": "a", "l3": 2, "l2": "50%", "mode": "exclusive"})
    assert node.tree.values[""]["L2", 0] == 0xF0


def test_a_refused_write_undoes_the_others_and_has_the_kernel_s_own_words(intel: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    intel.run(BATCH)
    before = intel.tree.snapshot()
    intel.tree.said = "old words of another command\n"
    write = intel.tree._write_mode

    def refuses(group: str, text: str) -> None:
        if group == "gold":
            intel.tree.said = "Schemata overlaps\n"
            raise refuse(errno.EINVAL)
        write(group, text)

    monkeypatch.setattr(intel.tree, "_write_mode", refuses)
    with pytest.raises(BulkheadError) as caught:
        apply(intel.plan(GOLD, {**BATCH, "mb": "70%"}))
    assert caught.value.kernel == "Schemata overlaps"
    assert caught.value.undo_failures == []
    assert intel.tree.snapshot() == before


def test_old_words_are_not_taken_for_those_of_a_refused_mkdir(intel: Node) -> None:
    plan = intel.plan(*({"name": "n%d" % number} for number in range(3)))
    for number in range(13):
        intel.tree.mkdir("COS%d" % number)
    intel.tree.said = "old words of another command\n"
    with pytest.raises(BulkheadError) as caught:
        apply(plan)
    assert caught.value.kernel == "Out of CLOSIDs"
    assert "COS" in caught.value.hint or "no other groups" in caught.value.hint
    assert sorted(intel.tree.values) == sorted(["", *("COS%d" % number for number in range(13))])


def test_busy_is_tried_again_and_no_space_is_not(intel: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    tries = []
    make = type(intel.tree).mkdir

    def limbo(path: str, mode: int = 0o755) -> None:
        tries.append(path)
        if len(tries) < 3:
            raise refuse(errno.EBUSY)
        make(intel.tree, path, mode)

    monkeypatch.setattr(intel.tree, "mkdir", limbo)
    intel.run({"name": "a"})
    assert tries == ["a", "a", "a"]


def test_under_mba_mbps_what_a_refused_write_had_taken_already_is_put_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    node = Node(tmp_path, Machine(bandwidth="MBps"))
    node.run({"name": "a", "mb": "1000MBps"})
    plan = node.plan({"name": "a", "mb": "2000MBps"})
    node.tree.offline(1)
    with pytest.raises(BulkheadError):
        apply(plan)
    assert node.tree.values["a"]["MB", 0] == 1000


def test_one_write_for_each_group_and_nothing_read_twice(intel: Node) -> None:
    items = [{"name": "n%d" % number, "l3": 1, "mb": "%d%%" % (10 * number + 10)} for number in range(7)]
    plan = intel.plan(*items)
    apply(plan)
    assert [entry[0] for entry in writes(intel)] == ["mkdir", "write"] * 7
    intel.tree.reads.clear()
    intel.plan(*items)
    schemata = [path for path in intel.tree.reads if path.endswith("schemata")]
    assert len(schemata) == len(set(schemata)) == 8


def test_a_killed_run_leaves_no_group_of_which_nobody_knows(intel: Node) -> None:
    plan = intel.plan(BATCH)

    class Killed(Exception):
        pass

    done = []

    def kill(step: Any) -> None:
        done.append(step)
        if step.target.endswith("batch/"):
            raise Killed

    for step in plan.steps:  # as a kill does: nothing is undone
        step.do()
        try:
            kill(step)
        except Killed:
            break
    intel.run(BATCH)
