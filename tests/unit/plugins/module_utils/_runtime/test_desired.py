# SPDX-FileCopyrightText: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is kept for the next boot."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.bulkhead.linux.plugins.module_utils._runtime import desired, records
from ansible_collections.bulkhead.linux.plugins.module_utils._runtime.errors import BulkheadError
from hypothesis import given
from hypothesis import strategies as st

KIND = "cgroup_group"


class Groups(records.Rules):
    kind = KIND


RULES = Groups()
UNIT = Path(__file__).resolve().parents[3]


@pytest.fixture(autouse=True)
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(desired, "DIRECTORY", str(tmp_path / "desired.d"))
    return tmp_path / "desired.d"


def keep(*items: dict[str, Any], fresh: set[str] = frozenset()) -> int:
    """Do the steps for these items; how many there were."""
    steps = desired.steps(RULES, list(items), fresh)
    for step in steps:
        step.do()
    return len(steps)


def test_nothing_is_kept_yet() -> None:
    assert desired.read(KIND) == {}


def test_what_is_given_is_kept_and_what_is_not_given_is_not() -> None:
    item = {"name": "web", "state": "present", "memory": {"max": "512M", "low": None}, "cpu": None, "force": True, "processes": [1], "overcommit": "allow"}
    assert keep(item) == 1
    assert desired.read(KIND) == {"web": {"state": "present", "memory": {"max": "512M"}, "overcommit": "allow"}}
    assert keep(item) == 0


def test_the_file_is_json_with_its_format_and_a_line_for_each_object(directory: Path) -> None:
    keep({"name": "b", "pids": {"max": 5}}, {"name": "a", "pids": {"max": 6}})
    text = (directory / "cgroup_group.json").read_text()
    assert json.loads(text) == {"format": 1, "kind": KIND, "objects": {"a": {"pids": {"max": 6}}, "b": {"pids": {"max": 5}}}}
    assert [line.strip()[:4] for line in text.splitlines()[1:3]] == ['"a":', '"b":']


def test_a_later_call_is_laid_over_the_earlier() -> None:
    keep({"name": "web", "memory": {"max": "512M", "low": "1M"}, "pids": {"max": 5}})
    assert keep({"name": "web", "memory": {"max": "1G"}, "cpu": {"max": 1}}) == 1
    assert desired.read(KIND)["web"] == {"memory": {"max": "1G", "low": "1M"}, "pids": {"max": 5}, "cpu": {"max": 1}}


def test_a_list_replaces_a_list() -> None:
    keep({"name": "web", "devices": [{"major": 1}, {"major": 2}]})
    keep({"name": "web", "devices": []})
    assert desired.read(KIND)["web"] == {"devices": []}


def test_a_fresh_object_forgets_what_was_kept_of_an_earlier_one() -> None:
    keep({"name": "web", "memory": {"max": "512M"}})
    keep({"name": "web", "pids": {"max": 5}}, fresh={"web"})
    assert desired.read(KIND)["web"] == {"pids": {"max": 5}}


def test_absent_forgets_the_object_and_what_lies_below(directory: Path) -> None:
    keep(*({"name": name, "pids": {"max": 5}} for name in ("web", "web/a", "web/a/b", "webmail", "other/web")))
    assert keep({"name": "web", "state": "absent"}) == 1
    assert sorted(desired.read(KIND)) == ["other/web", "webmail"]
    assert keep({"name": "web", "state": "absent"}) == 0
    keep({"name": "webmail", "state": "absent"}, {"name": "other", "state": "absent"})
    assert not (directory / "cgroup_group.json").exists()


def test_absent_writes_nothing_where_nothing_is_kept(directory: Path) -> None:
    assert keep({"name": "web", "state": "absent"}) == 0
    assert not directory.exists()


def test_undone_it_is_as_before(directory: Path) -> None:
    keep({"name": "web", "pids": {"max": 5}})
    before = (directory / "cgroup_group.json").read_text()
    (step,) = desired.steps(RULES, [{"name": "mail", "pids": {"max": 6}}], set())
    step.do()
    assert (directory / "cgroup_group.json").read_text() != before
    step.undo()
    assert (directory / "cgroup_group.json").read_text() == before


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "{}",
        '{"format": 2, "kind": "cgroup_group", "objects": {}}',
        '{"format": 1, "kind": "tc", "objects": {}}',
        '{"format": 1, "kind": "cgroup_group", "objects": 5}',
    ],
)
def test_a_file_of_others_is_refused_and_left_alone(directory: Path, text: str) -> None:
    directory.mkdir()
    (directory / "cgroup_group.json").write_text(text)
    with pytest.raises(BulkheadError, match="cannot be read as desired state") as caught:
        desired.steps(RULES, [{"name": "web"}], set())
    assert "move the file away" in caught.value.hint
    assert (directory / "cgroup_group.json").read_text() == text


# Several runs at the same time

RUN = """
import sys
sys.path.insert(0, sys.argv[1])
import conftest
from ansible_collections.bulkhead.linux.plugins.module_utils._runtime import desired, records
desired.DIRECTORY = sys.argv[2]
rules = records.Rules()
rules.kind = "cgroup_group"
mine = sys.argv[3]
for turn in range(40):
    for step in desired.steps(rules, [{"name": "%s-%d" % (mine, turn), "pids": {"max": turn}}], set()):
        step.do()
    if turn % 4 == 3:
        for step in desired.steps(rules, [{"name": "%s-%d" % (mine, turn - 1), "state": "absent"}], set()):
            step.do()
"""


def test_runs_at_the_same_time_lose_nothing(directory: Path) -> None:
    runs = [subprocess.Popen([sys.executable, "-c", RUN, str(UNIT), str(directory), mine]) for mine in ("a", "b", "c")]
    assert [run.wait() for run in runs] == [0, 0, 0]
    assert set(desired.read(KIND)) == {"%s-%d" % (mine, turn) for mine in "abc" for turn in range(40) if turn % 4 != 2}
    assert [entry.name for entry in directory.iterdir()] == ["cgroup_group.json"]


def test_a_step_changes_its_own_objects_in_what_is_there_when_it_is_done() -> None:
    keep({"name": "mine", "pids": {"max": 1}}, {"name": "gone", "pids": {"max": 1}})
    steps = desired.steps(RULES, [{"name": "mine", "pids": {"max": 2}}, {"name": "gone", "state": "absent"}, {"name": "new", "pids": {"max": 3}}], set())
    keep({"name": "other", "pids": {"max": 9}}, {"name": "mine", "memory": {"max": "1M"}})
    steps[0].do()
    assert desired.read(KIND) == {"mine": {"pids": {"max": 2}, "memory": {"max": "1M"}}, "new": {"pids": {"max": 3}}, "other": {"pids": {"max": 9}}}


def test_undone_it_leaves_what_others_have_kept_meanwhile() -> None:
    keep({"name": "mine", "pids": {"max": 1}}, {"name": "gone", "pids": {"max": 1}})
    items = [{"name": "mine", "pids": {"max": 2}}, {"name": "gone", "state": "absent"}, {"name": "new", "pids": {"max": 3}}]
    (step,) = desired.steps(RULES, items, set())
    step.do()
    keep({"name": "other", "pids": {"max": 9}})
    step.undo()
    assert desired.read(KIND) == {"mine": {"pids": {"max": 1}}, "gone": {"pids": {"max": 1}}, "other": {"pids": {"max": 9}}}


def test_undoing_what_another_run_had_done_already_changes_nothing(directory: Path) -> None:
    item = {"name": "web", "pids": {"max": 1}}
    (step,) = desired.steps(RULES, [item], set())
    keep(item)
    text = (directory / "cgroup_group.json").read_text()
    step.do()
    step.undo()
    assert (directory / "cgroup_group.json").read_text() == text


def test_while_a_replay_is_at_work_nothing_is_changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(desired, "RUN", str(tmp_path / "run"))
    monkeypatch.setattr(desired, "_PATIENCE", 0.1)
    with desired.changing():
        pass  # before the first replay there is nothing to wait for
    with desired.replaying():
        with pytest.raises(BulkheadError, match="a replay of the desired state has been running"), desired.changing():
            pass
        with pytest.raises(BulkheadError, match="another run has been changing this machine"), desired.replaying():
            pass
    with desired.changing(), desired.changing(), pytest.raises(BulkheadError, match="another run"), desired.replaying():
        pass
    assert not list((tmp_path / "run").iterdir())


def test_what_is_kept_of_an_object_is_for_its_kind_to_say() -> None:
    class Jobs(Groups):
        def kept(self, held: dict[str, Any], options: dict[str, Any], persist: bool | None) -> dict[str, Any] | None:
            return None if options.get("wait") else {**held, "size": options["size"]}

    def steps(item: dict[str, Any]) -> list[Any]:
        return desired.steps(Jobs(), [item], set())

    assert steps({"name": "a", "wait": True}) == []
    steps({"name": "a", "size": 5})[0].do()
    assert desired.read(KIND) == {"a": {"size": 5}}
    steps({"name": "a", "wait": True})[0].do()
    assert desired.read(KIND) == {}


# Files that nobody should trust


def _hostile(directory: Path, what: str) -> Path:
    file = directory / "cgroup_group.json"
    if what == "a symbolic link":
        file.rename(directory / "real")
        file.symlink_to(directory / "real")
    elif what == "may write to it (mode 0666)":
        file.chmod(0o666)
    elif what == "may write to it (mode 0620)":
        file.chmod(0o620)
    elif what == "belongs to user 12345":
        os.chown(file, 12345, 0)
    elif what == "not an ordinary file":
        file.unlink()
        os.mkfifo(file)
    elif what == "may write to it (mode 0777)":
        directory.chmod(0o777)
        return directory
    elif what == "may write to it (mode 0775)":
        directory.parent.chmod(0o775)
        return directory.parent
    elif what == "larger than":
        os.truncate(file, (64 << 20) + 1)
    return file


@pytest.mark.parametrize(
    "what",
    [
        "a symbolic link",
        "may write to it (mode 0666)",
        "may write to it (mode 0620)",
        "belongs to user 12345",
        "not an ordinary file",
        "may write to it (mode 0777)",
        "may write to it (mode 0775)",
        "larger than",
    ],
)
def test_a_file_that_may_be_another_s_is_refused_by_who_reads_and_who_keeps(directory: Path, what: str) -> None:
    keep({"name": "web", "pids": {"max": 5}})
    if "user" in what and os.geteuid() != 0:
        pytest.skip("needs root")
    target = _hostile(directory, what)
    for refused in (lambda: desired.read(KIND), lambda: desired.steps(RULES, [{"name": "mail", "pids": {"max": 5}}], set())):
        with pytest.raises(BulkheadError) as caught:
            refused()
        assert what in str(caught.value)
        assert caught.value.target == str(target)
        assert caught.value.hint
    if target != directory / "cgroup_group.json":
        with pytest.raises(BulkheadError):
            desired.kinds()
    directory.chmod(0o755)
    directory.parent.chmod(0o700)


def test_a_file_cut_short_at_any_byte_is_refused(directory: Path) -> None:
    keep({"name": "web", "pids": {"max": 5}}, {"name": "mail", "cpu": {"max": "1.5"}})
    whole = (directory / "cgroup_group.json").read_bytes()
    for length in range(len(whole.rstrip(b"\n"))):
        (directory / "cgroup_group.json").write_bytes(whole[:length])
        with pytest.raises(BulkheadError, match="cannot be read as desired state"):
            desired.read(KIND)


@pytest.mark.parametrize("content", [b"\xff\xfe", b"[" * 100000, b'{"format": 1, "kind": "cgroup_group", "objects": {"web": []}}'])
def test_what_is_not_of_this_format_is_refused(directory: Path, content: bytes) -> None:
    directory.mkdir()
    (directory / "cgroup_group.json").write_bytes(content)
    with pytest.raises(BulkheadError, match="cannot be read as desired state"):
        desired.read(KIND)


def test_kinds_are_the_files_of_the_directory(directory: Path) -> None:
    assert desired.kinds() == []
    keep({"name": "web"})
    for name in ("other.json", ".cgroup_group.json.new", "README"):
        (directory / name).touch()
    assert desired.kinds() == ["cgroup_group", "other"]


_values = st.recursive(
    st.none() | st.integers(0, 9) | st.text("ab", max_size=2), lambda inner: st.dictionaries(st.sampled_from("xyz"), inner, max_size=3), max_leaves=6
)
_options = st.dictionaries(st.sampled_from("xyz"), _values, max_size=3)


@given(_options, _options)
def test_merging_again_changes_nothing(held: dict[str, Any], given_: dict[str, Any]) -> None:
    held, given_ = records.without_none(held), records.without_none(given_)
    merged = records.merge(held, given_)
    assert records.merge(merged, given_) == merged
    assert all(merged[name] == value for name, value in held.items() if name not in given_)
    assert records.merge({}, given_) == given_
