# SPDX-FileCopyrightText: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is systemd's is asked of systemd: groups and containers as its units, on v2, hybrid and v1. What of them a reboot brings back: test_replay.py.

The questions are asked inside of the nodes, on all at a time: systemd's every reload takes seconds there.
"""

from __future__ import annotations

import concurrent.futures

import pytest
from nodes import plays, rotation
from nodes.images import HERE

INSIDE = "tests/lab/inside/test_systemd_%s.py"
MODES = ("v2", "hybrid", "v1")


def part(mode):
    return "systemd on " + mode


def modes():
    """Return the kinds of node of this run: v2 always, the others in their turn."""
    return ["v2", *(mode for mode in MODES[1:] if rotation.runs(part(mode)))]


@pytest.fixture(scope="module")
def nodes(lab):
    return dict(zip(modes(), lab.fleet(*(("intel", mode) for mode in modes()))))


CONTAINERS = pytest.mark.turns("containers under systemd")
CARE = pytest.mark.turns("limits and care under systemd")


@pytest.mark.parametrize(
    "what",
    [
        "groups",
        pytest.param("containers", marks=CONTAINERS),
        pytest.param("services", marks=CONTAINERS),
        pytest.param("limits", marks=CARE),
        pytest.param("care", marks=CARE),
    ],
)
def test_on_each_kind_of_node(what, nodes):
    with concurrent.futures.ThreadPoolExecutor(len(nodes)) as pool:
        for done in [pool.submit(plays.pytest, node, INSIDE % what) for node in nodes.values()]:
            done.result()


@pytest.mark.parametrize("mode", [pytest.param(mode, marks=pytest.mark.turns(part(mode))) for mode in MODES[1:]])
def test_this_kind_of_node_is_asked(mode, nodes):
    """Counts, in every run, the kinds of node that it leaves out."""
    assert mode in nodes


@CONTAINERS
def test_playbooks_find_nothing_to_do_the_second_time(nodes):
    """The same through Ansible, under strace: no write, no drop-in, and nothing asked of systemd but what it knows."""
    plays.ansible(list(nodes.values()), HERE / "systemd.yml")
