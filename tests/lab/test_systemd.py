# SPDX-FileCopyrightText: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is systemd's is asked of systemd: groups and containers as its units, on v2, hybrid and v1. What of them a reboot brings back: test_replay.py.

The questions are asked inside of the nodes, on all at a time: systemd's every reload takes seconds there.
"""

from __future__ import annotations

import concurrent.futures

import pytest
from nodes import plays
from nodes.images import HERE

INSIDE = "tests/lab/inside/test_systemd_%s.py"
MODES = ("v2", "hybrid", "v1")


@pytest.fixture(scope="module")
def nodes(lab):
    return dict(zip(MODES, lab.fleet(*(("intel", mode) for mode in MODES))))


@pytest.mark.parametrize("what", ["groups", "containers", "limits", "care"])
def test_on_each_kind_of_node(what, nodes):
    with concurrent.futures.ThreadPoolExecutor(len(MODES)) as pool:
        for done in [pool.submit(plays.pytest, nodes[mode], INSIDE % what) for mode in MODES]:
            done.result()


def test_playbooks_find_nothing_to_do_the_second_time(nodes):
    """The same through Ansible, under strace: no write, no drop-in, and nothing asked of systemd but what it knows."""
    plays.ansible(list(nodes.values()), HERE / "systemd.yml")
