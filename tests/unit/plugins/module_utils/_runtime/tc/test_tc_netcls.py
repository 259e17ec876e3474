# SPDX-FileCopyrightText: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which numbers of control groups change, on a directory tree."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.bulkhead.linux.plugins.module_utils._runtime.errors import BulkheadError
from ansible_collections.bulkhead.linux.plugins.module_utils._runtime.tc import netcls

OURS, OTHER = 0x70030000, 0x70040000
A, B = OURS | 0x101, OURS | 0x202


@pytest.fixture
def groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(netcls, "root", lambda: str(tmp_path))
    monkeypatch.setattr(netcls, "_is_there", lambda major: major == OTHER >> 16)
    return tmp_path


def make(root: Path, **numbers: int) -> None:
    for name, number in numbers.items():
        path = root / name.replace("__", "/")
        path.mkdir()
        (path / netcls.FILE).write_text("%d\n" % number)


def changes(wanted: dict[str, int], force: bool = False) -> dict[str, tuple[int, int]]:
    return {
        step.path.rpartition("/")[0]: (int(step.before or "", 0), int(step.after or "", 0))
        for step in netcls.steps(OURS, wanted, force)
    }


def test_a_group_and_those_below_it_get_the_number(groups: Path) -> None:
    make(groups, a=0, a__below=0, a__below__it=0, a__other=0x10001, b=0)
    assert changes({"a": A}) == {"a": (0, A), "a/below": (0, A), "a/below/it": (0, A)}


def test_the_nearest_class_counts(groups: Path) -> None:
    make(groups, a=A, a__b=A, a__b__c=A)
    assert changes({"a": A, "a/b": B}) == {"a/b": (A, B), "a/b/c": (A, B)}


def test_what_is_not_wanted_is_taken_back(groups: Path) -> None:
    make(groups, a=A, a__below=A, b=B, c=0x10001, d=OTHER | 5)
    assert changes({"b": B}) == {"a": (A, 0), "a/below": (A, 0)}
    assert changes({}) == {"a": (A, 0), "a/below": (A, 0), "b": (B, 0)}


@pytest.mark.parametrize("number", [0x10001, OTHER | 5])
def test_a_number_of_others_is_refused(number: int, groups: Path) -> None:
    make(groups, a=number, a__inherited=number)
    with pytest.raises(BulkheadError, match="belongs to class"):
        changes({"a": A})
    assert changes({"a": A}, force=True) == {"a": (number, A), "a/inherited": (number, A)}


def test_a_number_of_a_tree_that_is_gone_is_nobodys(groups: Path) -> None:
    make(groups, a=0x7BD00001)
    assert changes({"a": A}) == {"a": (0x7BD00001, A)}
