# SPDX-FileCopyrightText: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A thousand groups with five limits each: made, looked at again, removed; by cgroup_group and by its peers, in one run.

The peers are libcgroup's cgconfigparser, a shell loop, and a loop of Ansible `shell` tasks (over fewer groups, scaled up).
What is printed are ratios; the seconds beside them are those of this machine on this day.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

TOP = "bh-bench"
COUNT = 1000
LOOP = 20
ROOT = "/sys/fs/cgroup"
COLLECTIONS = str(Path(__file__).resolve().parents[3] / "build/collections")
# The module, run as it runs on a node, that tells how long it took from its parsed arguments to its result.
RUN = """
import sys, time
from ansible.module_utils import basic
basic._ANSIBLE_ARGS, basic._ANSIBLE_PROFILE = sys.stdin.buffer.read(), "legacy"
from ansible_collections.bulkhead.linux.plugins.module_utils import _module
from ansible_collections.bulkhead.linux.plugins.modules import cgroup_group
converge = _module._converge
def timed(*arguments):
    began = time.perf_counter()
    result = converge(*arguments)
    result["seconds"] = time.perf_counter() - began
    return result
_module._converge = timed
cgroup_group.main()
"""
LIMITS = {"memory": {"max": "512M"}, "cpu": {"max": 1.5, "weight": 200}, "pids": {"max": 100}}
FILES = {
    "memory": {"memory.limit_in_bytes": 536870912},
    "cpu": {"cpu.cfs_quota_us": 150000, "cpu.cfs_period_us": 100000, "cpu.shares": 2048},
    "pids": {"pids.max": 100},
}


def seconds(command: list[str], **options: object) -> float:
    began = time.perf_counter()
    subprocess.run(command, check=True, **options)
    return time.perf_counter() - began


def ours(groups: list[dict], prefix: str) -> tuple[float, float]:
    """(seconds inside the module, seconds of the whole process)"""
    environment = dict(os.environ, PYTHONPATH=COLLECTIONS, BULKHEAD_PREFIX=prefix)
    began = time.perf_counter()
    arguments = json.dumps({"ANSIBLE_MODULE_ARGS": {"groups": groups}}).encode()
    done = subprocess.run([sys.executable, "-c", RUN], input=arguments, capture_output=True, env=environment, check=True)
    return json.loads(done.stdout)["seconds"], time.perf_counter() - began


def shell(name: str) -> str:
    """What a shell loop says for one group."""
    lines = []
    for controller, files in FILES.items():
        lines.append("mkdir -p %s/%s/%s/%s" % (ROOT, controller, TOP, name))
        lines += ["echo %d > %s/%s/%s/%s/%s" % (value, ROOT, controller, TOP, name, file) for file, value in files.items()]
    return "\n".join(lines)


def remove() -> None:
    for controller in FILES:
        for directory, _names, _files in os.walk("%s/%s/%s" % (ROOT, controller, TOP), topdown=False):
            os.rmdir(directory)


def main() -> int:
    if any(not os.path.isdir(ROOT + "/" + controller) for controller in FILES):
        print("SKIP: cgconfigparser and the loops speak cgroup v1, and this machine has no v1 hierarchies")
        return 0
    if not shutil.which("cgconfigparser"):
        subprocess.run(["apt-get", "install", "-y", "-qq", "cgroup-tools"], check=True, stdout=subprocess.DEVNULL, stdin=subprocess.DEVNULL)
    names = ["g%d" % number for number in range(COUNT)]
    rows: list[tuple[str, float, float, float]] = []  # who, seconds to make, to look again, to remove
    with tempfile.TemporaryDirectory() as work:
        remove()
        groups = [{"name": TOP + "/" + name, **LIMITS} for name in names]
        gone = [{"name": TOP + "/" + name, "state": "absent"} for name in names]
        for what in (groups[:1], gone[:1]):
            ours(what, work)  # the first call that keeps something also leaves the core on the node, once
        timings = [ours(what, work) for what in (groups, groups, gone)]
        rows.append(("cgroup_group, inside", *(inside for inside, _whole in timings)))
        rows.append(("cgroup_group, process", *(whole for _inside, whole in timings)))
        remove()

        config = work + "/cgconfig.conf"
        with open(config, "w") as file:
            for name in names:
                sections = "".join("%s { %s } " % (c, " ".join("%s = %d;" % entry for entry in files.items())) for c, files in FILES.items())
                file.write("group %s/%s { %s}\n" % (TOP, name, sections))
        make = ["cgconfigparser", "-l", config]
        rows.append(("cgconfigparser", seconds(make), seconds(make), seconds(["cgclear", "-l", config])))
        remove()

        script = work + "/loop.sh"
        Path(script).write_text("\n".join(shell(name) for name in names))
        undo = work + "/undo.sh"
        Path(undo).write_text("\n".join("rmdir %s/%s/%s/%s" % (ROOT, controller, TOP, name) for name in names for controller in FILES))
        rows.append(("shell loop", seconds(["sh", script]), seconds(["sh", script]), seconds(["sh", undo])))
        remove()

        playbook = work + "/loop.yml"
        tasks = [{"ansible.builtin.shell": shell("{{ item }}"), "loop": names[:LOOP]}]
        Path(playbook).write_text(json.dumps([{"hosts": "localhost", "connection": "local", "gather_facts": False, "tasks": tasks}]))
        play = [str(Path(sys.executable).parent / "ansible-playbook"), "-i", "localhost,", "-e", "ansible_python_interpreter=/usr/bin/python3", playbook]
        loop = seconds(play, stdout=subprocess.DEVNULL) * COUNT / LOOP
        rows.append(("Ansible shell tasks, from %d" % LOOP, loop, loop, float("nan")))
        remove()

    base = next(row for row in rows if row[0] == "cgconfigparser")
    print("%d groups with %d limits each; ratios to cgconfigparser, seconds in parentheses" % (COUNT, sum(len(files) for files in FILES.values())))
    print("%-30s %20s %20s %20s" % ("", "make", "again, no change", "remove"))
    for who, *values in rows:
        print("%-30s" % who + "".join("%10.2f (%7.2f s)" % (value / reference, value) for value, reference in zip(values, base[1:])))
    return 0


sys.exit(main())
