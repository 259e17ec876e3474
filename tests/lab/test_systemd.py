# SPDX-FileCopyrightText: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is systemd's is asked of systemd: groups and containers as its units, on v2 and hybrid, and what of them a real reboot brings back.

The questions are asked inside of the nodes, on two at a time: systemd's every reload takes seconds there.
"""

from __future__ import annotations

import concurrent.futures

import pytest
from nodes import plays

pytestmark = pytest.mark.long

INSIDE = "tests/lab/inside/test_systemd_%s.py"
MODES = ("v2", "hybrid")


@pytest.fixture(scope="module")
def nodes(lab):
    return dict(zip(MODES, lab.fleet(*(("intel", mode) for mode in MODES))))


@pytest.mark.parametrize("what", ["groups", "containers"])
def test_on_v2_and_hybrid(what, nodes):
    with concurrent.futures.ThreadPoolExecutor(len(MODES)) as pool:
        for done in [pool.submit(plays.pytest, nodes[mode], INSIDE % what) for mode in MODES]:
            done.result()


def test_a_reboot_brings_them_back(fresh_node):
    mine = [fresh_node("intel", mode) for mode in MODES]

    def over_a_reboot(node):
        plays.pytest(node, INSIDE % "boot")
        node.reboot()
        plays.pytest(node, INSIDE % "boot")

    with concurrent.futures.ThreadPoolExecutor(len(mine)) as pool:
        for done in [pool.submit(over_a_reboot, node) for node in mine]:
            done.result()
