# SPDX-FileCopyrightText: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Nodes for tests: one of each kind for the whole session, and clean ones of one's own.

    def test_something(node):            # node(kind, cgroup): shared by all tests, so leave it as it was
        v2 = node("intel", "v2")
        assert v2.run("uname -n").stdout
        plays.tasks([v2], {"ansible.builtin.ping": {}})
        plays.pytest(v2, "tests/lab/inside/test_something.py")

    def test_reboot(fresh_node):         # fresh_node(kind, cgroup): a clean disk, thrown away after the test
        mine = fresh_node("amd", "hybrid")
        mine.reboot()

Tests in inside/ are not run by this machine, but on a node.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import itertools
import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import pytest
from nodes import images, rotation
from nodes.node import Node

collect_ignore = ["inside"]
_WHY = images.obstacle()
_NUMBERS = itertools.count(1)
_PREFIX = os.environ.get("BULKHEAD_LAB_PREFIX", "test")


def pytest_collection_modifyitems(items):
    for item in items:
        if Path(__file__).parent / "inside" in Path(str(item.fspath)).parents:  # those are on a node already
            continue
        if _WHY:
            item.add_marker(pytest.mark.skip(reason="the lab needs QEMU and root: %s" % _WHY))
            continue
        for mark in item.iter_markers("turns"):
            if not rotation.runs(*mark.args):
                item.add_marker(pytest.mark.skip(reason=rotation.WHY % rotation.turn()))


def pytest_report_header():
    return "of the long tests, this run has: %s" % ", ".join(part for part in rotation.PARTS if rotation.runs(part))


class Lab:
    """The nodes of this session."""

    def __init__(self):
        self.shared = {}
        self.pool = concurrent.futures.ThreadPoolExecutor()  # a node ends with the thread that started it, so they stay

    def node(self, kind="intel", cgroup="v2"):
        known = self.shared.get((kind, cgroup))
        if known is None or not known.pid:
            known = Node("%s-%s-%s" % (_PREFIX, kind, cgroup))
            known.down()
            self.shared[kind, cgroup] = known.start(kind, cgroup, fresh=True, tied=True)
        return known

    def fleet(self, *them):
        """Several nodes, those that do not run yet started together."""
        return list(self.pool.map(lambda which: self.node(*which), them))

    def down(self):
        for node in self.shared.values():
            node.down()
        self.pool.shutdown()


@pytest.fixture(scope="session")
def lab():
    rooms = Lab()
    yield rooms
    rooms.down()


@pytest.fixture(scope="session")
def node(lab):
    """node(kind="intel", cgroup="v2"): the node of this session that is such a one, booted when it is first asked for."""
    return lab.node


def _fresh():
    with contextlib.ExitStack() as stack:

        def start(kind="intel", cgroup="v2", append="", **more):
            mine = Node("%s-fresh-%d" % (_PREFIX, next(_NUMBERS)))
            mine.down()
            stack.callback(mine.down)
            return mine.start(kind, cgroup, append=append, fresh=True, tied=True, **more)

        yield start


@pytest.fixture
def fresh_node():
    """fresh_node(kind="intel", cgroup="v2", append=""): a node with a clean disk, for one test."""
    yield from _fresh()


@pytest.fixture(scope="module")
def fresh_nodes():
    """The same, for the tests of one file."""
    yield from _fresh()
