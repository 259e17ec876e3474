# SPDX-FileCopyrightText: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Keeps things on a node as modules do, without Ansible, so that it costs seconds: keeping.py some | forever | limits NAME... | guest BRIDGE

some: groups and containers, made and kept. forever: the same sixty objects again and again, each time with the number
of the turn, and the core replaced each time, until the power is cut; the first line says that it has begun. limits: 1 Gbit/s
for these interfaces. guest: a container on a bridge, which sends at most 2 Mbit/s.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
import conftest  # noqa: F401  # pylint: disable=unused-import
from ansible_collections.bulkhead.linux.plugins.module_utils._runtime import cli, desired, kinds, pack, plan  # noqa: F401  # pylint: disable=unused-import

# Without io: on v1, systemd removes empty groups of others from the hierarchies that it needs none of its own in, such as blkio.
GROUPS = [
    {"name": "labgroup/a", "manager": "cgroupfs", "memory": {"max": "64M"}, "pids": {"max": 100}},
    {"name": "labgroup/a/below", "manager": "cgroupfs", "pids": {"max": 40}, "frozen": True},
    {"name": "labgroup/b", "manager": "cgroupfs", "cpu": {"max": 0.5}, "cpuset": {"cpus": "1-2"}},
    {"name": "bhslice/a", "manager": "auto", "memory": {"max": "96M"}, "pids": {"max": 70}},
]
CONTAINERS = [
    {"name": "web", "command": ["sleep", "100000"], "stop_timeout": 0, "resources": {"pids": {"max": 20}}},
    {"name": "own", "command": ["sleep", "100000"], "stop_timeout": 0, "supervisor": "builtin"},
    {"name": "idle", "command": ["sleep", "100000"], "state": "stopped"},
    {"name": "job", "command": ["true"], "wait": True},
]


def converge(kind: str, items: list[dict[str, object]]) -> None:
    """What a module does with its options."""
    subject = kinds.KINDS[kind]()()
    objects = [subject.parse(item) for item in items]
    made = subject.plan(objects)
    kept = desired.steps(subject, items, made.fresh, subject.persist_default)
    made.steps = [*pack.steps(), *made.steps, *kept]
    subject.apply(made)
    subject.wait(objects)
    left = subject.plan(objects).writes()
    subject.finish()
    if left:
        raise SystemExit("it does not hold: %s" % left)


def forever() -> None:
    turn = 0
    for step in pack.steps():
        step.do()
    core = Path(pack.PATH).read_bytes()
    while True:
        turn += 1
        items = [{"name": "bh-cut/%d" % number, "manager": "cgroupfs", "pids": {"max": turn}} for number in range(60)]
        for step in desired.steps(kinds.KINDS["cgroup_group"]()(), items, set()):
            step.do()
        pack._replace(pack.PATH + ".cut", core)
        if turn == 1:
            print("begun", flush=True)


if sys.argv[1] == "some":
    converge("cgroup_group", GROUPS)
    converge("container_run", CONTAINERS)
elif sys.argv[1] == "limits":
    converge("tc_bandwidth", [{"interface": name, "egress": {"rate": "1gbit"}} for name in sys.argv[2:]])
elif sys.argv[1] == "guest":
    network = {"mode": "bridge", "bridge": sys.argv[2], "bandwidth": {"egress": {"rate": "2mbit"}}}
    converge("container_run", [{"name": "guest", "command": ["sleep", "100000"], "stop_timeout": 0, "network": network}])
else:
    forever()
