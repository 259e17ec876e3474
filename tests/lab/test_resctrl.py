# SPDX-FileCopyrightText: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Classes of cache and memory bandwidth on the real resctrl of both vendors; the questions are asked on the nodes, both at a time."""

from __future__ import annotations

import concurrent.futures

import pytest
from nodes import plays

KINDS = ("intel", "amd")
INSIDE = ("tests/lab/inside/test_resctrl.py", "tests/lab/inside/test_container_rdt.py")


@pytest.fixture(scope="module")
def asked(lab):
    """What becomes of the questions on each kind of node: futures."""
    members = dict(zip(KINDS, lab.fleet(*((kind, "v2") for kind in KINDS))))
    with concurrent.futures.ThreadPoolExecutor(len(KINDS)) as pool:
        yield {kind: pool.submit(plays.pytest, members[kind], *INSIDE) for kind in KINDS}


@pytest.mark.parametrize("kind", KINDS)
def test_resctrl(kind, asked):
    asked[kind].result()
