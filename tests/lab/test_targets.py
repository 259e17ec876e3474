# SPDX-FileCopyrightText: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Integration targets on nodes that systemd runs: pure v2, hybrid as systemd mounts it, and pure v1.

A task costs ten times what it costs on the machine itself, so a target runs whole where that is affordable, and otherwise
goes through what differs from one mode of control groups to the next. Two nodes work at a time, as long as there is work.
"""

from __future__ import annotations

import concurrent.futures

import pytest
from nodes import plays, rotation

CGROUP_GROUP = {"cgroup_group_only": ["memory"], "cgroup_group_parts": ["bite", "processes", "nested"]}
CONTAINER_RUN = {"container_run_only": ["made", "limited in place", "paused", "given mounts", "removed"]}
# Not memory: this kernel keeps no soft limit on v1.
ON_V1 = {"cgroup_group_only": ["number of CPUs", "CPUs and memory nodes"], "cgroup_group_parts": ["processes", "nested"]}
CONTAINER_RUN_ON_V1 = {"container_run_only": ["made", "limited in place", "paused", "removed"]}
ROLE_NODE = {"role_node_here": False}  # the rest of it is test_role_node_twice
# In the order in which a node runs them; the first have the longest.
WORK = {
    ("intel", "v2"): [("container_run", CONTAINER_RUN), ("container_exec", {})],
    ("amd", "v2"): [("cgroup_v2", {}), ("cgroup_group", CGROUP_GROUP), ("cgroup_info", {}), ("role_node", ROLE_NODE)],
    ("intel", "hybrid"): [("cgroup_info", {}), ("container_exec", {}), ("role_node", ROLE_NODE)],
    ("intel", "v1"): [("cgroup_group", ON_V1), ("container_run", CONTAINER_RUN_ON_V1), ("cgroup_info", {})],
}


def part(which):
    return "targets on v2" if which[1] == "v2" else "targets on v1 and hybrid"


@pytest.fixture(scope="module")
def work(lab):
    """What becomes of each target on each node: futures."""
    outcome = {(which, name): concurrent.futures.Future() for which, targets in WORK.items() for name, _more in targets}
    now = [which for which in WORK if rotation.runs(part(which))]
    members = dict(zip(now, lab.fleet(*now)))

    def run(which):
        for name, more in WORK[which]:
            try:
                outcome[which, name].set_result(plays.target([members[which]], name, **more))
            except BaseException as error:
                outcome[which, name].set_exception(error)

    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        for which in now:
            pool.submit(run, which)
        yield outcome


@pytest.mark.parametrize(
    ("which", "target"),
    [
        pytest.param(which, name, id="%s-%s-%s" % (*which, name), marks=pytest.mark.turns(part(which)))
        for which, them in WORK.items()
        for name, _more in them
    ],
)
def test_target(which, target, work):
    work[which, target].result()


@pytest.mark.turns("targets on v2")
def test_role_node_twice(node):
    """Role node says in check mode what it then does, and has nothing to do the second time."""
    it = node("intel", "v2")
    play = [{"hosts": "all", "gather_facts": False, "roles": [{"role": "bulkhead.linux.node", "node_report": False}]}]
    foreseen, done, again = (plays.ansible([it], play, options=options) for options in (["--check"], [], []))
    recap = [line.split() for said in (foreseen, done, again) for line in said.splitlines() if line.startswith(it.name + " ")]
    assert recap[2][3] == "changed=0", again
    assert recap[0][3] == recap[1][3], foreseen + done
