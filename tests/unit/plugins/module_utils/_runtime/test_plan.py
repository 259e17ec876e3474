# SPDX-FileCopyrightText: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Applying and undoing, and the replacement of ordinary files."""

from __future__ import annotations

import errno
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from ansible_collections.bulkhead.linux.plugins.module_utils._runtime import plan
from ansible_collections.bulkhead.linux.plugins.module_utils._runtime.errors import BulkheadError, InvalidInput
from ansible_collections.bulkhead.linux.plugins.module_utils._runtime.kernel.files import Tree
from hypothesis import given, settings
from hypothesis import strategies as st

UNIT = Path(__file__).parents[3]


class Put(plan.Step):
    """Sets one key of a dictionary, or fails as told."""

    def __init__(self, world: dict[str, str], key: str, after: str, fails: BaseException | None = None, undo_fails: BaseException | None = None) -> None:
        self.world, self.target, self.after = world, key, after
        self.before = world.get(key)
        self.fails, self.undo_fails = fails, undo_fails
        self.undone: list[str] = []

    def do(self) -> None:
        if self.fails:
            raise self.fails
        self.before = self.world.get(self.target)
        self.world[self.target] = self.after

    def undo(self) -> None:
        self.undone.append(self.target)
        if self.undo_fails:
            raise self.undo_fails
        if self.before is None:
            del self.world[self.target]
        else:
            self.world[self.target] = self.before


def make(steps: list[plan.Step]) -> plan.Plan:
    made = plan.Plan()
    made.steps = steps
    return made


def test_steps_are_done_in_order_and_told_as_they_are_done() -> None:
    world: dict[str, str] = {}
    seen: list[str] = []
    the_plan = make([Put(world, "a", "1"), Put(world, "a", "2"), Put(world, "b", "3")])
    plan.apply(the_plan, lambda step: seen.append(step.after))
    assert world == {"a": "2", "b": "3"}
    assert seen == ["1", "2", "3"]


@settings(deadline=None)
@given(st.lists(st.tuples(st.sampled_from("abc"), st.text("xyz", min_size=1, max_size=2)), min_size=1, max_size=8), st.data())
def test_whichever_step_fails_everything_is_as_before(writes: list[tuple[str, str]], data: st.DataObject) -> None:
    world = {"a": "old"}
    steps: list[plan.Step] = [Put(world, key, value) for key, value in writes]
    failing = data.draw(st.integers(0, len(steps) - 1))
    steps[failing].fails = OSError(errno.EIO, "it broke")
    with pytest.raises(BulkheadError) as caught:
        plan.apply(make(steps))
    assert world == {"a": "old"}
    assert caught.value.target == writes[failing][0]
    assert caught.value.value == writes[failing][1]
    assert caught.value.errno == errno.EIO
    assert caught.value.undo_failures == []


def test_undone_in_reverse() -> None:
    world: dict[str, str] = {}
    order: list[str] = []
    steps = [Put(world, key, "1") for key in "abc"]
    for step in steps:
        step.undone = order
    with pytest.raises(BulkheadError):
        plan.apply(make([*steps, Put(world, "d", "1", OSError(errno.EBUSY, ""))]))
    assert order == ["c", "b", "a"]


def test_what_cannot_be_undone_is_told_and_the_rest_is_undone() -> None:
    world: dict[str, str] = {}
    steps = [
        Put(world, "a", "1"),
        Put(world, "b", "1", undo_fails=OSError(errno.EACCES, "no")),
        Put(world, "c", "1", undo_fails=BulkheadError("never")),
        Put(world, "d", "1", InvalidInput("stop")),
    ]
    with pytest.raises(InvalidInput) as caught:
        plan.apply(make(steps))
    assert world == {"b": "1", "c": "1"}
    assert [text.partition(":")[0] for text in caught.value.undo_failures] == ["c", "b"]
    assert "Undoing the earlier steps failed for: c: never; b:" in str(caught.value)
    assert caught.value.facts()["undo_failures"] == caught.value.undo_failures


@pytest.mark.parametrize("interruption", [KeyboardInterrupt(), SystemExit(1), RuntimeError("a bug")])
def test_an_interruption_undoes_and_goes_on(interruption: BaseException) -> None:
    world = {"a": "old"}
    with pytest.raises(type(interruption)):
        plan.apply(make([Put(world, "a", "new"), Put(world, "b", "1", interruption)]))
    assert world == {"a": "old"}


def test_a_plan_is_its_writes_and_its_diff() -> None:
    world = {"b": "old"}
    gone = plan.Step()
    gone.target, gone.before = "c/", "directory"
    the_plan = make([Put(world, "a", "1"), Put(world, "b", "2"), gone])
    assert the_plan.writes() == [
        {"target": "a", "before": None, "after": "1"},
        {"target": "b", "before": "old", "after": "2"},
        {"target": "c/", "before": "directory", "after": None},
    ]
    assert the_plan.diff() == {"before": "b: old\nc/: directory\n", "after": "a: 1\nb: 2\n"}
    assert len(the_plan) == 3
    assert [step.target for step in the_plan] == ["a", "b", "c/"]


def test_write_file_and_back(tmp_path: Path) -> None:
    (tmp_path / "knob").write_text("9223372036854771712")
    step = plan.WriteFile(Tree(str(tmp_path)), "knob", "max", "4096", "-1")
    step.do()
    assert (tmp_path / "knob").read_text().startswith("4096")
    step.undo()
    assert (tmp_path / "knob").read_text().startswith("-1")
    assert step.target == str(tmp_path / "knob")


def test_a_write_that_had_nothing_before_is_left_by_undo(tmp_path: Path) -> None:
    (tmp_path / "knob").write_text("")
    step = plan.WriteFile(Tree(str(tmp_path)), "knob", None, "1")
    step.do()
    step.undo()
    assert (tmp_path / "knob").read_text() == "1"


def test_make_directory_and_back(tmp_path: Path) -> None:
    step = plan.MakeDirectory(Tree(str(tmp_path)), "group")
    step.do()
    assert (tmp_path / "group").is_dir()
    step.undo()
    step.undo()  # gone already: nothing to undo
    assert list(tmp_path.iterdir()) == []


def test_the_error_names_step_value_errno_and_hint() -> None:
    error = BulkheadError.from_os("it could not be set", OSError(errno.EINVAL, ""), target="/x", value="1", kernel="no such cache id", hint="use another")
    assert str(error) == "it could not be set; the kernel answered EINVAL (Invalid argument); its words: no such cache id. Use another"
    assert error.facts() == {
        "problem": "it could not be set",
        "target": "/x",
        "value": "1",
        "errno": "EINVAL",
        "kernel": "no such cache id",
        "hint": "use another",
        "undo_failures": [],
        "input": False,
    }


# Ordinary files


@pytest.mark.parametrize("before", [None, "old\n"])
@pytest.mark.parametrize("after", [None, "new\n"])
def test_replace_file_and_back(tmp_path: Path, before: str | None, after: str | None) -> None:
    file = tmp_path / "deep" / "er" / "desired.json"
    if before is not None:
        file.parent.mkdir(parents=True)
        file.write_text(before)

    def content() -> str | None:
        return file.read_text() if file.exists() else None

    step = plan.ReplaceFile(str(file), before, after)
    step.do()
    assert content() == after
    if after is not None:
        assert file.stat().st_mode & 0o777 == 0o600
    step.undo()
    assert content() == before
    assert not list(tmp_path.rglob(".*"))


def test_a_failed_write_leaves_the_old_file(tmp_path: Path) -> None:
    """The neighbour is written first: here it cannot be, since a directory is in its place."""
    file = tmp_path / "desired.json"
    file.write_text("old")
    (tmp_path / ".desired.json.new").mkdir()
    with pytest.raises(OSError):
        plan.ReplaceFile(str(file), "old", "new").do()
    assert file.read_text() == "old"


def test_a_link_in_the_place_of_the_neighbour_is_not_followed(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("precious")
    (tmp_path / ".desired.json.new").symlink_to(victim)
    with pytest.raises(OSError):
        plan.ReplaceFile(str(tmp_path / "desired.json"), None, "new").do()
    assert victim.read_text() == "precious"


WRITER = """
import itertools, sys
sys.path.insert(0, sys.argv[1])
import conftest
from ansible_collections.bulkhead.linux.plugins.module_utils._runtime.plan import ReplaceFile
print("ready", flush=True)
for which in itertools.cycle("ab"):
    ReplaceFile(sys.argv[2], None, which * 300000).do()
"""


def test_a_killed_writer_leaves_the_old_or_the_new(tmp_path: Path) -> None:
    """And the next one is not disturbed by what the killed one left."""
    file = tmp_path / "desired.json"
    dice = random.Random(7)
    for _attempt in range(6):
        with subprocess.Popen([sys.executable, "-c", WRITER, str(UNIT), str(file)], stdout=subprocess.PIPE, cwd=tmp_path) as writer:
            assert writer.stdout is not None
            assert writer.stdout.readline() == b"ready\n"
            while not file.exists():
                assert writer.poll() is None
            time.sleep(dice.random() * 0.02)
            os.kill(writer.pid, signal.SIGKILL)
        assert file.read_text() in ("a" * 300000, "b" * 300000, "new")
        plan.ReplaceFile(str(file), None, "new").do()
        assert [entry.name for entry in tmp_path.iterdir()] == ["desired.json"]
        assert file.read_text() == "new"
