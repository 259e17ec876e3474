# SPDX-FileCopyrightText: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is systemd's is asked of systemd: groups and containers as its units, on v2, hybrid and v1. What of them a reboot brings back: test_replay.py.

The questions are asked inside of the nodes, on all at a time: systemd's every reload takes seconds there.
"""

from __future__ import annotations

import concurrent.futures
import contextlib

import pytest
from nodes import plays
from nodes.images import HERE

INSIDE = "tests/lab/inside/test_systemd_%s.py"
MODES = ("v2", "hybrid", "v1")
LIMITS = ("limits", "care")
QUESTIONS = ("groups", "containers", "services", *LIMITS)


def part(mode, question):
    """Return in whose turn a question is asked on a kind of node; "" for every run."""
    if mode == "v2":
        containers = "" if question == "groups" else "containers under systemd"
        return "limits and care under systemd" if question in LIMITS else containers
    return "limits and care on " + mode if question in LIMITS else "systemd on " + mode


def turns(mode, question):
    turn = part(mode, question)
    return [pytest.mark.turns(turn)] if turn else []


@pytest.fixture(scope="module")
def outcomes(lab, request):
    """What becomes of each question that this run asks: futures. Each node answers one after the other."""
    asked = {}
    for item in request.session.items:
        if getattr(item, "originalname", "") == "test_on_each_kind_of_node" and not item.get_closest_marker("skip"):
            asked.setdefault(item.callspec.params["mode"], []).append(item.callspec.params["question"])
    nodes = dict(zip(asked, lab.fleet(*(("intel", mode) for mode in asked))))
    with contextlib.ExitStack() as stack:
        pools = {mode: stack.enter_context(concurrent.futures.ThreadPoolExecutor(1)) for mode in asked}
        yield {
            (mode, question): pools[mode].submit(plays.pytest, nodes[mode], INSIDE % question) for mode, questions in asked.items() for question in questions
        }


@pytest.mark.parametrize(("mode", "question"), [pytest.param(mode, question, marks=turns(mode, question)) for mode in MODES for question in QUESTIONS])
def test_on_each_kind_of_node(mode, question, outcomes):
    outcomes[mode, question].result()


@pytest.mark.parametrize("mode", [pytest.param(mode, marks=turns(mode, "containers")) for mode in MODES])
def test_playbooks_find_nothing_to_do_the_second_time(mode, node):
    """The same through Ansible, under strace: no write, no drop-in, and nothing asked of systemd but what it knows."""
    plays.ansible([node("intel", mode)], HERE / "systemd.yml")
