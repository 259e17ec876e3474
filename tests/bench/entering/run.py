# SPDX-FileCopyrightText: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What it costs to enter a container: milliseconds of CPU time, of all processes together, in turns, and ratios.

python3 tests/bench/entering/run.py [--rounds 20] [--ansible]

interpreter   a bare one, started for nothing: the least that anything in Python costs
connection    `true` in a container, as a task's `raw` runs it on the node; the aim is 3 times an interpreter
closer look   the same where the container's entry file is missing: one that an earlier release started
bulkhead exec `true` in a container, as the command of the node
ping          with --ansible, a loop of the module `ping` on this machine, and the same inside, with pipelining; what a play
              costs without it is taken off. The aim is 1.3 times
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
sys.path.insert(0, str(ROOT / "plugins/module_utils"))
sys.dont_write_bytecode = True
# The Python of a node, and not one that was built for a developer.
PYTHON = "/usr/bin/python3"
NAME, PARENT = "bench-enter", "bulkhead-bench-enter"
PINGS = 10


def cpu(*command: str) -> float:
    """Milliseconds of CPU time that a command takes, with all that it waits for."""

    def used() -> float:
        children = resource.getrusage(resource.RUSAGE_CHILDREN)
        return children.ru_utime + children.ru_stime

    before = used()
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL, capture_output=True)
    return (used() - before) * 1000


def converge(item: dict[str, object]) -> None:
    from _runtime.container import lifecycle, paths

    life = lifecycle.Lifecycle(paths.Paths())
    wanted = [life.parse({"name": NAME, **item})]
    plan = life.plan(wanted)
    life.apply(plan, wanted, plan)
    life.finish()


def on_node() -> list[str]:
    from _runtime import corefile

    return ["/bin/sh", "-c", corefile.on_node(NAME, [b"exec", NAME.encode(), b"--", b"/bin/sh", b"-c", b"true"], has_input=False)]


def without_entry() -> float:
    from _runtime import corefile

    entry = corefile.STATES + NAME + "/entry"
    os.rename(entry, entry + ".away")
    try:
        return cpu(*on_node())
    finally:
        os.rename(entry + ".away", entry)


def play(connection: str, pings: int) -> float:
    host = {"ansible_connection": connection, "ansible_python_interpreter": PYTHON, "ansible_pipelining": True, "ansible_bulkhead_container": NAME}
    content = [{"hosts": "all", "gather_facts": False, "tasks": [{"ansible.builtin.ping": {}} for _number in range(pings)]}]
    with tempfile.TemporaryDirectory() as directory:
        for name, what in (("play.json", content), ("hosts.json", {"all": {"hosts": {"it": host}}})):
            Path(directory, name).write_text(json.dumps(what), encoding="utf-8")
        return cpu("ansible-playbook", "-i", directory + "/hosts.json", directory + "/play.json")


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--ansible", action="store_true")
    arguments = parser.parse_args()
    if sys.executable != PYTHON:
        os.execv(PYTHON, [PYTHON, __file__, *sys.argv[1:]])
    from _runtime import pack

    ways = {
        "interpreter": lambda: cpu(PYTHON, "-I", "-S", "-c", "pass"),
        "connection": lambda: cpu(*on_node()),
        "closer look": without_entry,
        "bulkhead exec": lambda: cpu(pack.PATH, "exec", NAME, "--", "/bin/sh", "-c", "true"),
    }
    pings: dict[str, list[float]] = {"ansible.builtin.local": [], "bulkhead.linux.container": []}
    converge({"command": ["sleep", "infinity"], "cgroup_parent": PARENT, "log": {"path": "none"}})
    try:
        turns = [{name: way() for name, way in ways.items()} for _turn in range(arguments.rounds + 1)][1:]
        for _turn in range(3 if arguments.ansible else 0):
            for connection, found in pings.items():
                found.append((play(connection, PINGS) - play(connection, 0)) / PINGS)
    finally:
        converge({"state": "absent"})
        for group in Path("/sys/fs/cgroup").glob("**/" + PARENT):
            group.rmdir()
    bare = statistics.median(turn["interpreter"] for turn in turns)
    for name in ways:
        median = statistics.median(turn[name] for turn in turns)
        print("%-14s %7.1f ms  %5.2f of an interpreter" % (name, median, median / bare))
    for connection, found in pings.items() if arguments.ansible else ():
        median = statistics.median(found)
        print("ping by %-24s %7.1f ms  %5.2f of the node's" % (connection, median, median / statistics.median(pings["ansible.builtin.local"])))
    return 0


if __name__ == "__main__":
    sys.exit(main())
