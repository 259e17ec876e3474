# SPDX-FileCopyrightText: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is kept for the next boot."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.bulkhead.linux.plugins.module_utils._runtime import desired
from ansible_collections.bulkhead.linux.plugins.module_utils._runtime.errors import BulkheadError
from hypothesis import given
from hypothesis import strategies as st

KIND = "cgroup_group"


@pytest.fixture(autouse=True)
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(desired, "DIRECTORY", str(tmp_path / "desired.d"))
    return tmp_path / "desired.d"


def keep(*items: dict[str, Any], fresh: set[str] = frozenset()) -> int:
    """Do the steps for these items; how many there were."""
    steps = desired.steps(KIND, "name", list(items), fresh)
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
    (step,) = desired.steps(KIND, "name", [{"name": "mail", "pids": {"max": 6}}], set())
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
        desired.steps(KIND, "name", [{"name": "web"}], set())
    assert "move the file away" in caught.value.hint
    assert (directory / "cgroup_group.json").read_text() == text


_values = st.recursive(
    st.none() | st.integers(0, 9) | st.text("ab", max_size=2), lambda inner: st.dictionaries(st.sampled_from("xyz"), inner, max_size=3), max_leaves=6
)
_options = st.dictionaries(st.sampled_from("xyz"), _values, max_size=3)


@given(_options, _options)
def test_merging_again_changes_nothing(held: dict[str, Any], given_: dict[str, Any]) -> None:
    held, given_ = desired.without_none(held), desired.without_none(given_)
    merged = desired.merge(held, given_)
    assert desired.merge(merged, given_) == merged
    assert all(merged[name] == value for name, value in held.items() if name not in given_)
    assert desired.merge({}, given_) == given_
