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
CONTAINERS = {"container_run_only": ["made", "limited in place", "paused", "removed"], "container_run_parts": ["refused"]}
SERVICES = {"container_run_only": [], "container_run_parts": ["jobs", "services"]}
# Not memory: this kernel keeps no soft limit on v1.
ON_V1 = {"cgroup_group_only": ["number of CPUs", "CPUs and memory nodes"], "cgroup_group_parts": ["processes", "nested"]}
ROLE_NODE = {"role_node_here": False}  # the rest of it is test_role_node_twice
# {part: (kind of node, mode of its control groups, targets)}. A part is one node's work, in this order.
WORK = {
    "containers on v2": ("intel", "v2", [("container_run", CONTAINERS)]),
    "services on v2": ("intel", "v2", [("container_run", SERVICES)]),
    "commands on v2": ("amd", "v2", [("container_exec", {}), ("role_node", ROLE_NODE)]),
    "groups on v2": ("amd", "v2", [("cgroup_v2", {}), ("cgroup_group", CGROUP_GROUP), ("cgroup_info", {})]),
    "targets on hybrid": ("intel", "hybrid", [("cgroup_info", {}), ("container_exec", {}), ("role_node", ROLE_NODE)]),
    "containers on v1": ("intel", "v1", [("container_run", CONTAINERS)]),
    "groups on v1": ("intel", "v1", [("cgroup_group", ON_V1), ("cgroup_info", {})]),
}


@pytest.fixture(scope="module")
def work(lab):
    """What becomes of each target of each part: futures."""
    outcome = {(part, name): concurrent.futures.Future() for part, (*_node, targets) in WORK.items() for name, _more in targets}
    now = [part for part in WORK if rotation.runs(part)]
    nodes = list(dict.fromkeys(WORK[part][:2] for part in now))
    members = dict(zip(nodes, lab.fleet(*nodes)))

    def run(node):
        for part, name, more in [(mine, *one) for mine in now if WORK[mine][:2] == node for one in WORK[mine][2]]:
            try:
                outcome[part, name].set_result(plays.target([members[node]], name, **more))
            except BaseException as error:
                outcome[part, name].set_exception(error)

    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        for node in nodes:
            pool.submit(run, node)
        yield outcome


@pytest.mark.parametrize(
    ("part", "target"),
    [
        pytest.param(part, name, id="%s-%s" % (part.replace(" ", "-"), name), marks=pytest.mark.turns(part))
        for part, (*_node, targets) in WORK.items()
        for name, _more in targets
    ],
)
def test_target(part, target, work):
    work[part, target].result()


@pytest.mark.turns("commands on v2")
def test_role_node_twice(node):
    """Role node says in check mode what it then does, and has nothing to do the second time."""
    it = node("amd", "v2")
    play = [{"hosts": "all", "gather_facts": False, "roles": [{"role": "bulkhead.linux.node", "node_report": False}]}]
    foreseen, done, again = (plays.ansible([it], play, options=options) for options in (["--check"], [], []))
    recap = [line.split() for said in (foreseen, done, again) for line in said.splitlines() if line.startswith(it.name + " ")]
    assert recap[2][3] == "changed=0", again
    assert recap[0][3] == recap[1][3], foreseen + done
