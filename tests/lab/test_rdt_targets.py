# SPDX-FileCopyrightText: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Integration targets of classes of cache and bandwidth on both vendors, mounted in each way that the vendor can be mounted.

A target runs whole as resctrl is mounted by itself; with other options, one set of classes comes: what differs is what is
divided, and not how mistakes are told.
"""

from __future__ import annotations

import concurrent.futures

import pytest
from nodes import plays, rotation

ONE_SET = {"resctrl_schema_parts": []}
CDP = {"resctrl_schema_mount": {"cdp": True}, **ONE_SET}
MBPS = {"resctrl_schema_mount": {"mba_mbps": True}, **ONE_SET}
EXAMPLES = {"examples_only": ["resctrl_schema", "resctrl_info"]}
# In the order in which a node runs them.
WORK = {
    "intel": [
        ("resctrl_schema", "plain", {}),
        ("resctrl_schema", "cdp", CDP),
        ("resctrl_schema", "mba_MBps", MBPS),
        ("resctrl_info", "", {}),
        ("examples", "", EXAMPLES),
    ],
    "amd": [("resctrl_schema", "plain", {}), ("resctrl_schema", "cdp", CDP), ("role_rdt", "", {})],
}
CASES = [(kind, target, how) for kind, targets in WORK.items() for target, how, _more in targets]


def part(kind):
    return "classes on %s" % kind


@pytest.fixture(scope="module")
def work(lab):
    """What becomes of each target on each node: futures."""
    outcome = {case: concurrent.futures.Future() for case in CASES}
    now = [kind for kind in WORK if rotation.runs(part(kind))]
    members = dict(zip(now, lab.fleet(*((kind, "v2") for kind in now))))

    def run(kind):
        for target, how, more in WORK[kind]:
            try:
                members[kind].run("umount /sys/fs/resctrl; rm -f /run/bulkhead/resctrl.json", check=False)
                said = plays.target([members[kind]], target, **more)
                assert "SKIP: " not in said, said
                outcome[kind, target, how].set_result(said)
            except BaseException as error:
                outcome[kind, target, how].set_exception(error)

    with concurrent.futures.ThreadPoolExecutor(len(WORK)) as pool:
        for kind in now:
            pool.submit(run, kind)
        yield outcome


@pytest.mark.parametrize(("kind", "target", "how"), [pytest.param(*case, marks=pytest.mark.turns(part(case[0]))) for case in CASES])
def test_target(kind, target, how, work):
    work[kind, target, how].result()
