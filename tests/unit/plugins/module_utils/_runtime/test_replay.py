# SPDX-FileCopyrightText: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Replay, drift and status; with kinds whose kernel is a dictionary."""

from __future__ import annotations

import importlib
import json
import os
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.bulkhead.linux.plugins.module_utils._runtime import cli, desired, kinds, plan, records, replay, survey, views
from ansible_collections.bulkhead.linux.plugins.module_utils._runtime.errors import BulkheadError, InvalidInput
from ansible_collections.bulkhead.linux.plugins.module_utils._runtime.subject import Subject, Waits

KERNEL: dict[str, int] = {}
REFUSES: set[str] = set()
ROUNDS: dict[str, int] = {}
ENDED: set[str] = set()
DONE: list[str] = []
FINISHED: list[str] = []


class Put(plan.Step):
    def __init__(self, name: str, size: int) -> None:
        self.name, self.size, self.held = name, size, KERNEL.get(name)
        self.target = "/kernel/" + name
        self.before, self.after = None if self.held is None else str(self.held), str(size)

    def do(self) -> None:
        if self.name in REFUSES:
            raise OSError(16, "Device or resource busy")
        DONE.append(self.name)
        KERNEL[self.name] = ROUNDS.get(self.name, self.size)

    def undo(self) -> None:
        DONE.append("-" + self.name)
        KERNEL.pop(self.name, None)
        if self.held is not None:
            KERNEL[self.name] = self.held


class Books(plan.Step):
    target, before, after, bookkeeping = "/run/books", "what was done to a", "what was done to a", True

    def do(self) -> None:
        pass


class Things(Subject):
    kind = "things"
    plural = "things"

    def parse(self, options: dict[str, Any]) -> dict[str, Any]:
        if options["size"] < 0:
            raise InvalidInput("thing %s: a size below nothing" % options["name"])
        return options

    def plan(self, objects: list[Any]) -> plan.Plan:
        made = plan.Plan()
        for thing in objects:
            if thing.get("device") == "unplugged":
                raise InvalidInput("thing %s: the device is not there" % thing["name"])
            if KERNEL.get(thing["name"]) != thing["size"]:
                made.steps.append(Put(thing["name"], thing["size"]))
            if thing.get("books"):
                made.steps.append(Books())
            if thing.get("less"):
                made.lost[thing["name"]] = ["the machine has no %s" % thing["less"]]
            if thing.get("warns"):
                made.warnings.append("thing %s: a part of it is asleep" % thing["name"])
        return made

    def report(self, objects: list[Any], last: Any) -> list[dict[str, Any]]:
        return [{"name": thing["name"], "effective": {"size": KERNEL.get(thing["name"])}, "rounded": []} for thing in objects]

    def left_alone(self, wanted: Any) -> str:
        if wanted.get("device") == "awaited":
            return Waits("its device is not there")
        return "it ended by itself" if wanted["name"] in ENDED else ""

    def others(self, names: set[str]) -> list[dict[str, Any]]:
        return [{"name": name} for name in sorted(KERNEL) if name not in names and name.startswith(self.kind)]

    def finish(self) -> None:
        FINISHED.append(self.kind)


class Late(Things):
    kind = "late"


class Broken(Things):
    kind = "broken"

    def __init__(self) -> None:
        raise BulkheadError("this machine has no such thing")


@pytest.fixture(autouse=True)
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for store in (KERNEL, REFUSES, ROUNDS, ENDED, DONE, FINISHED):
        store.clear()
    monkeypatch.setattr(desired, "DIRECTORY", str(tmp_path / "desired.d"))
    monkeypatch.setattr(desired, "RUN", str(tmp_path / "run"))
    monkeypatch.setattr(kinds, "KINDS", {"broken": lambda: Broken, "things": lambda: Things, "late": lambda: Late})
    return tmp_path


def keep(kind: str, **sizes: Any) -> None:
    items = [{"name": name, **(size if isinstance(size, dict) else {"size": size})} for name, size in sizes.items()]
    rules = records.Rules()
    rules.kind = kind
    for step in desired.steps(rules, items, set()):
        step.do()


def said() -> tuple[list[str], dict[str, Any]]:
    """What a replay says, failures with a mark, and its report."""
    words: list[str] = []
    report = replay.replay(lambda text, failed: words.append(("FAILED " if failed else "") + text))
    return words, report


def test_the_table_names_each_kind_and_knows_the_order() -> None:
    for kind, load in importlib.reload(kinds).KINDS.items():
        assert load().kind == kind
        assert load().persists
    order = list(kinds.KINDS)
    assert order.index("cgroup_group") < order.index("container_run")


def test_everything_comes_back_in_the_order_of_the_kinds() -> None:
    keep("late", z=1, a=2)
    keep("things", b=3, x=4)
    words, report = said()
    assert DONE == ["b", "x", "a", "z"]
    assert words == ["things: 2 kept, 2 changes made, 0 failed", "late: 2 kept, 2 changes made, 0 failed"]
    assert report["failures"] == []
    assert report["kinds"]["things"]["writes"][0] == {"target": "/kernel/b", "before": None, "after": "3"}
    assert FINISHED == ["things", "late", "things"], "the first kind is looked at again when all is there"
    assert replay.last_report() == report


def test_a_second_replay_does_nothing() -> None:
    keep("things", a=1, b=2)
    said()
    DONE.clear()
    words, report = said()
    assert (DONE, report["kinds"]["things"]["changes"]) == ([], 0)
    assert words == ["things: 2 kept, 0 changes made, 0 failed"]


def test_one_object_that_fails_costs_no_other() -> None:
    keep("things", a=1, bad=-1, c=3, odd={"size": "text"}, unplugged={"size": 5, "device": "unplugged"}, z=9)
    REFUSES.add("c")
    words, report = said()
    assert KERNEL == {"a": 1, "z": 9}
    assert {failure["name"] for failure in report["failures"]} == {"bad", "c", "odd", "unplugged"}
    assert next(word for word in words if word.startswith("FAILED things c")).endswith("the kernel answered EBUSY (Device or resource busy)")
    assert words[-1] == "things: 6 kept, 2 changes made, 4 failed"


class Early(Things):
    """What it takes in must be there; when it brings things back, that is no failure yet."""

    kind = "early"

    def plan(self, objects: list[Any]) -> plan.Plan:
        return super().plan([thing for thing in objects if thing["takes"] in KERNEL])


def test_what_comes_early_and_needs_what_comes_late_is_seen_to_at_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kinds, "KINDS", {"early": lambda: Early, "late": lambda: Late})
    keep("early", a={"size": 1, "takes": "z"})
    keep("late", z=9)
    words, report = said()
    assert (DONE, report["kinds"]["early"]["changes"]) == (["z", "a"], 1)
    assert words == ["early: 1 kept, 1 changes made, 0 failed", "late: 1 kept, 1 changes made, 0 failed"]


def test_what_one_plan_began_is_undone_before_each_is_tried() -> None:
    keep("things", a=1, b=2, c=3)
    REFUSES.add("c")
    said()
    assert DONE == ["a", "b", "-b", "-a", "a", "b"]
    assert len(FINISHED) == 2


def test_what_the_kernel_does_not_keep_is_a_failure() -> None:
    keep("things", a=1)
    ROUNDS["a"] = 1000
    _words, report = said()
    assert "it was written and does not hold: /kernel/a holds '1000' where '1' is wanted" in report["failures"][0]["problem"]


def test_a_kind_that_cannot_be_had_here_stops_no_other() -> None:
    keep("broken", a=1)
    keep("later_version", a=1)
    keep("late", a=1)
    words, report = said()
    assert KERNEL == {"a": 1}
    assert [failure["kind"] for failure in report["failures"]] == ["broken", "later_version"]
    assert "this version of the core knows no such kind" in report["failures"][1]["problem"]
    assert words[0] == "FAILED broken: this machine has no such thing"


def test_a_bad_file_is_named_and_skipped(machine: Path) -> None:
    keep("things", a=1)
    keep("late", b=1)
    (machine / "desired.d/things.json").chmod(0o666)
    words, report = said()
    assert KERNEL == {"b": 1}
    assert report["failures"][0]["target"] == str(machine / "desired.d/things.json")
    assert "others may write to it (mode 0666)" in words[0]
    (machine / "desired.d").chmod(0o777)
    KERNEL.clear()
    words, report = said()
    assert KERNEL == {}
    assert len(report["failures"]) == 1
    assert "is not trusted" in words[0]


def test_what_came_to_its_own_end_is_left_alone() -> None:
    keep("things", a=1, done=2)
    ENDED.add("done")
    words, report = said()
    assert KERNEL == {"a": 1}
    assert words[0] == "things done: left alone: it ended by itself"
    assert report["kinds"]["things"]["left_alone"] == {"done": "it ended by itself"}
    assert views.drift()["drift"] == []
    assert [(one["name"], one["in_effect"]) for one in views.status()["kinds"]["things"]] == [("a", True), ("done", None)]


def test_what_may_still_come_is_waited_for() -> None:
    keep("things", a={"size": 1, "device": "awaited"}, done=2)
    ENDED.add("done")
    words, report = said()
    assert words[0] == "things a: left alone: its device is not there"
    assert (KERNEL, report["failures"]) == ({}, [])
    waiting = {"kind": "things", "name": "a", "problem": "its device is not there"}
    assert views.drift() == {"drift": [], "failures": [], "waiting": [waiting]}
    them = views.status()["kinds"]["things"]
    assert [one["left_word"] for one in them] == ["waiting", "ended"]


def test_one_kind_alone_is_brought_back_and_the_report_of_all_stays() -> None:
    keep("things", a=1)
    keep("late", b=2)
    words: list[str] = []
    replay.replay(lambda text, failed: words.append(text), "late")
    assert KERNEL == {"b": 2}
    assert words == ["late: 1 kept, 1 changes made, 0 failed"]
    assert replay.last_report() is None


def test_nothing_kept_is_nothing_to_do(machine: Path) -> None:
    assert said() == ([], replay.last_report())
    assert sorted(os.listdir(machine / "run")) == ["replay.json"]


def test_drift_is_the_plan_with_the_object_that_each_step_is_for() -> None:
    keep("things", a=1, b=2)
    keep("late", c=3)
    assert len(views.drift()["drift"]) == 3
    said()
    assert views.drift() == {"drift": [], "failures": []}
    KERNEL["b"] = 7
    del KERNEL["c"]
    assert views.drift()["drift"] == [
        {"kind": "things", "name": "b", "target": "/kernel/b", "before": "7", "after": "2"},
        {"kind": "late", "name": "c", "target": "/kernel/c", "before": None, "after": "3"},
    ]
    assert KERNEL == {"a": 1, "b": 7}


def test_drift_beside_an_object_that_cannot_be_planned_for() -> None:
    keep("things", a=1, unplugged={"size": 5, "device": "unplugged"}, z=2)
    found = views.drift()
    assert [entry["name"] for entry in found["drift"]] == ["a", "z"]
    assert [failure["name"] for failure in found["failures"]] == ["unplugged"]


def test_status_has_everything_in_one_view() -> None:
    keep("things", good=1, bad=-1, drifted=3)
    KERNEL.update(good=1, drifted=4, things_else=5)
    found = views.status()
    assert list(found["kinds"]) == ["things"], "a kind of which there is nothing is not shown"
    shown = {one["name"]: one for one in found["kinds"]["things"]}
    assert {name: (one["kept"], one["in_effect"]) for name, one in shown.items()} == {
        "good": (True, True),
        "bad": (True, False),
        "drifted": (True, False),
        "things_else": (False, None),
    }
    assert shown["good"]["actual"]["effective"] == {"size": 1}
    assert "effective" not in shown["drifted"]["actual"]
    assert shown["drifted"]["changes"] == [{"target": "/kernel/drifted", "before": "4", "after": "3"}]
    assert "a size below nothing" in shown["bad"]["problem"]
    assert (found["drift"], len(found["failures"]), found["last_replay"]) == (1, 1, None)


def test_what_only_keeps_books_is_no_drift() -> None:
    keep("things", a={"size": 1, "books": True})
    KERNEL["a"] = 1
    assert views.drift()["drift"] == []
    (shown,) = views.status()["kinds"]["things"]
    assert (shown["in_effect"], shown["changes"]) == (True, [])


def test_what_a_machine_has_lost_is_a_failure_and_the_rest_comes_back() -> None:
    keep("things", a={"size": 1, "less": "L3"})
    words, report = said()
    assert KERNEL == {"a": 1}
    problem = "only a part of it could be brought back: the machine has no L3"
    assert words[0] == "FAILED things a: %s" % problem
    assert [failure["problem"] for failure in report["failures"]] == [problem]
    for found in (views.drift(), views.status()):
        assert [failure["problem"] for failure in found["failures"]] == [problem]


def test_what_is_to_be_known_is_told() -> None:
    keep("things", a={"size": 1, "warns": True})
    assert "things: thing a: a part of it is asleep" in said()[0]
    assert views.drift()["warnings"] == views.status()["warnings"] == ["things: thing a: a part of it is asleep"]


@pytest.mark.parametrize(
    ("before", "after", "line"),
    [
        ("134217728", "67108864", "/x: 134217728 where 67108864 is desired (things a)"),
        (None, "5", "/x: nothing where 5 is desired (things a)"),
        ("", "0-1", "/x: empty where 0-1 is desired (things a)"),
        ("8:0 rbps=1\n8:16 rbps=2\n", "8:0 rbps=3", "/x: 8:0 rbps=1; 8:16 rbps=2 where 8:0 rbps=3 is desired (things a)"),
        ("x" * 900, None, "/x: %s... where nothing is desired (things a)" % ("x" * 200)),
    ],
)
def test_a_difference_is_one_line(before: str | None, after: str | None, line: str) -> None:
    assert views.line_of({"kind": "things", "name": "a", "target": "/x", "before": before, "after": after}) == line


def test_limits_are_told_as_the_kernel_writes_them() -> None:
    found = views.limits_of({"memory.max": "5", "l3": {"0": "3", "1": "f"}, "io.max": "8:0 rbps=1\n8:16 rbps=2", "mode": "exclusive"})
    assert found == "memory.max=5 l3:0=3;1=f io.max=8:0 rbps=1,8:16 rbps=2 mode=exclusive"


def test_a_file_that_is_not_as_it_was_written_is_told_without_its_text(machine: Path) -> None:
    step = plan.ReplaceFile(str(machine / "x.service"), "[Unit]\nold", "[Unit]\nnew")
    assert step.differences() == [(str(machine / "x.service"), "another text", "its own text")]


@pytest.mark.usefixtures("root")
@pytest.mark.parametrize("verb", ["drift", "status", "replay"])
@pytest.mark.parametrize("form", [[], ["--json"]])
def test_no_verb_tells_what_a_variable_holds(capsys: pytest.CaptureFixture[str], verb: str, form: list[str]) -> None:
    keep("things", a={"size": 1, "env": {"PASSWORD": "geheim"}}, b={"size": -1, "env": {"PASSWORD": "geheim"}})
    cli.main([verb, *form])
    told = capsys.readouterr()
    assert "geheim" not in told.out + told.err
    report = Path(desired.RUN, replay.REPORT)
    assert not report.exists() or ("geheim" not in report.read_text() and report.stat().st_mode & 0o077 == 0)


def test_an_error_of_ours_is_told_as_one() -> None:
    failure = survey.Failure("things", "a", KeyError("size"))
    assert str(failure) == "things a: it cannot be understood: KeyError: 'size'"


# The command


@pytest.fixture
def root(monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.geteuid()
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(os, "getuid", lambda: real)
    monkeypatch.setattr(desired, "_others_may_write", lambda status: "")
    monkeypatch.delenv("JOURNAL_STREAM", raising=False)


@pytest.mark.usefixtures("root")
def test_exit_status_tells_drift_from_failure(capsys: pytest.CaptureFixture[str]) -> None:
    keep("things", a=1)
    assert cli.main(["drift"]) == 1
    assert capsys.readouterr().out == "/kernel/a: nothing where 1 is desired (things a)\n"
    assert cli.main(["status"]) == 1
    assert "a  DRIFT" in capsys.readouterr().out
    assert cli.main(["replay"]) == 0
    assert capsys.readouterr().err == "bulkhead: things: 1 kept, 1 changes made, 0 failed\n"
    assert cli.main(["drift"]) == 0
    assert capsys.readouterr().out == "no drift\n"
    assert cli.main(["status"]) == 0
    assert "a  in effect   size=1" in capsys.readouterr().out
    keep("things", bad=-1)
    for verb in ("drift", "status", "replay"):
        assert cli.main([verb]) == 2
        assert "things bad: thing bad: a size below nothing" in capsys.readouterr().err


@pytest.mark.usefixtures("root")
@pytest.mark.parametrize("verb", ["drift", "status", "replay"])
def test_the_same_as_data(capsys: pytest.CaptureFixture[str], verb: str) -> None:
    keep("things", a=1)
    cli.main([verb, "--json"])
    assert "failures" in json.loads(capsys.readouterr().out)


@pytest.mark.usefixtures("root")
def test_the_journal_is_told_how_grave_it_is(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JOURNAL_STREAM", "8:1")
    keep("things", a=1, bad=-1)
    assert cli.main(["replay"]) == 2
    assert [line[:3] for line in capsys.readouterr().err.splitlines()] == ["<3>", "<5>"]


@pytest.mark.parametrize(("arguments", "status"), [([], 2), (["dance"], 2), (["status", "drift"], 2), (["--json"], 2), (["--help"], 0), (["help"], 0)])
def test_usage(capsys: pytest.CaptureFixture[str], arguments: list[str], status: int) -> None:
    assert cli.main(arguments) == status
    told = capsys.readouterr()
    assert (told.out if status == 0 else told.err).startswith("usage: bulkhead VERB")


def test_not_for_everybody(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert cli.main(["status"]) == 2
    assert capsys.readouterr().err == "bulkhead: status needs root\n"
