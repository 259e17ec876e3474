# SPDX-FileCopyrightText: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The kernel's own answers, row by row: the tables of tests/conformance, run as one program on each kind of node."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from nodes.node import SOURCES

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "conformance"))

import cgroup_table
import classes
import resctrl_table
from table import chosen

SEED = 1
MODES = ("v2", "hybrid", "v1")


@pytest.fixture(scope="session")
def answers(node):
    """answers(program, kind, cgroup): {row: (what is wrong, why it was not tried)}, from one run of the program on the node."""
    known = {}

    def run(program, kind, cgroup):
        key = (program, kind, cgroup)
        if key not in known:
            place = node(kind, cgroup)
            place.sync()
            which = kind if program in ("resctrl", "classes") else cgroup
            done = place.run(
                "mountpoint -q /sys/fs/resctrl && umount /sys/fs/resctrl; cd %s/tests/conformance && timeout 400 python3 -B run.py %s %s %d"
                % (SOURCES, program, which, SEED),
                check=False,
            )
            lines = [json.loads(line) for line in done.stdout.splitlines()]
            known[key] = {line["row"]: (line["wrong"], line["skipped"]) for line in lines}, done.stderr
        return known[key]

    return run


def judge(answers, program, kind, cgroup, row):
    rows, said = answers(program, kind, cgroup)
    assert row in rows, "the program ended before this row: %s" % said[-3000:]
    wrong, skipped = rows[row]
    if skipped:
        pytest.skip(skipped)
    assert not wrong, wrong


def named(rows, kind):
    return [pytest.param(kind, row.name, id="%s-%s" % (kind, row.name)) for row in chosen(rows, kind)]


@pytest.mark.parametrize(("kind", "row"), [case for kind in ("intel", "amd") for case in named(resctrl_table.ROWS, kind)])
def test_resctrl(answers, kind, row):
    judge(answers, "resctrl", kind, "v2", row)


@pytest.mark.parametrize(("cgroup", "row"), [case for cgroup in MODES for case in named(cgroup_table.ROWS, cgroup)])
def test_cgroup(answers, cgroup, row):
    judge(answers, "cgroup", "intel", cgroup, row)


def test_every_fact_about_resctrl_has_its_rows():
    assert {int(row.name[:2]) for row in resctrl_table.ROWS} >= set(range(1, 55))


@pytest.mark.parametrize("table", [resctrl_table, cgroup_table])
def test_rows_have_names_of_their_own(table):
    names = [row.name for row in table.ROWS]
    assert len(names) == len(set(names))
    assert all(row.acts or row.skip for row in table.ROWS)


@pytest.mark.parametrize("cgroup", ["v2", *(pytest.param(mode, marks=pytest.mark.turns("fleet")) for mode in ("hybrid", "v1"))])
def test_what_is_foreseen_of_a_limit_is_what_the_kernel_keeps(answers, cgroup):
    """Random values of every limit; each is read back as foreseen, undone and done again. One that cannot be on this node says why."""
    rows, said = answers("kept", "intel", cgroup)
    assert "all together" in rows, "the program ended early: %s" % said[-3000:]
    assert not {row: wrong for row, (wrong, _skipped) in rows.items() if wrong}


@pytest.mark.parametrize(("kind", "options"), [(kind, options or "plain") for kind, them in classes.OPTIONS.items() for options in them])
def test_any_sequence_of_classes(answers, kind, options):
    """Sets of classes at random: one run comes to each, a second has nothing to do, and none is ever where an exclusive one is."""
    judge(answers, "classes", kind, "v2", options)
