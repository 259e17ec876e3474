# SPDX-FileCopyrightText: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Containers that run `true`: ours, crun's and runc's, in turns, in one run; milliseconds for each container, and ratios.

The second figure is the CPU time that it took, of all processes together: what is left of it on a machine that is busy.

    python3 tests/bench/containers/run.py [--count 100] [--rounds 5] [--ansible]

The same root file system (a directory, the machine's /usr as a read-only volume), network, process, mount, IPC, host name
and control group namespaces, no output. What is compared:

    crun, runc        `run` one after the other, each a process, as an engine calls them
    crun, two at once the same with as many at a time as the machine has CPUs
    ours              one call with the containers as a list and wait: true. Read, planned, made, run, waited for, recorded.
                      That is all that the module does, without Ansible around it. What crun and runc remove at the end we
                      keep until the container is removed, so that is shown as well.
    ours, host        the same with `rootfs: host`, which is a writable view and not a directory
    ours, unfiltered  the same with `seccomp: unconfined`, as the peers here: what the filter of system calls costs at a start
    ours, one by one  one call for each container: what the start of a helper costs
    as shipped        one Ansible task, its own cost included (--ansible)

Everything runs in a mount namespace of its own, where /run is a tmpfs, as on any machine that boots; the peers in one
without the v2 hierarchy, for crun refuses to work on a host that has both.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[3]
sys.path.insert(0, str(ROOT / "plugins/module_utils"))

from _runtime.container import lifecycle, paths  # noqa: E402

PARENT = "bulkhead-bench"

PEER = """
import os, sys, time
runtime, bundle, count, at_once = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
os.chdir(bundle)
null = os.open("/dev/null", os.O_RDWR)
actions = [(os.POSIX_SPAWN_DUP2, null, number) for number in range(3)]
running = set()
started = time.perf_counter()
for number in range(count):
    if len(running) >= at_once:
        pid, status = os.wait()
        running.discard(pid)
        assert status == 0, status
    running.add(os.posix_spawn(runtime, [runtime, "run", "bulkhead-bench-%d" % number], os.environ, file_actions=actions))
while running:
    pid, status = os.wait()
    running.discard(pid)
    assert status == 0, status
print((time.perf_counter() - started) / count * 1000)
"""


class Cost(NamedTuple):
    """What it took for each container, in milliseconds: time that passed, and time of CPUs."""

    passed: float
    cpu: float


def cpu() -> float:
    """Milliseconds of CPU time of this process and of those that it has waited for."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used) * 1000


def settle() -> None:
    """Let the kernel take down what the last turn left to it (network namespaces go later, on a kernel thread)."""
    time.sleep(2)


def make_bundle(directory: Path) -> Path:
    """A bundle with the machine's /usr, as `crun spec` makes one."""
    rootfs = directory / "rootfs"
    for name in ("usr", "proc", "sys", "dev", "tmp", "etc"):
        (rootfs / name).mkdir(parents=True)
    for name in ("bin", "lib", "lib64", "sbin"):
        if os.path.islink("/" + name):
            (rootfs / name).symlink_to("usr/" + name)
    subprocess.run(["crun", "spec"], cwd=directory, check=True)
    config = json.loads((directory / "config.json").read_text(encoding="utf-8"))
    config["process"].update(args=["/usr/bin/true"], terminal=False)
    config["root"]["readonly"] = False
    config["mounts"].append({"destination": "/usr", "source": "/usr", "type": "bind", "options": ["rbind", "ro"]})
    (directory / "config.json").write_text(json.dumps(config), encoding="utf-8")
    return rootfs


def peer(runtime: str, bundle: Path, count: int, at_once: int) -> Cost:
    program = shutil.which(runtime)
    script = 'umount /sys/fs/cgroup/unified 2>/dev/null; exec python3 -c "$0" "$@"'
    settle()
    before = cpu()
    said = subprocess.run(
        ["unshare", "-m", "sh", "-c", script, PEER, str(program), str(bundle), str(count), str(at_once)], check=True, capture_output=True, text=True
    )
    return Cost(float(said.stdout), (cpu() - before) / count)


def converge(node: paths.Paths, items: list[dict[str, object]]) -> Cost:
    """One call of the module, without Ansible; milliseconds for all of them."""
    started, before = time.perf_counter(), cpu()
    life = lifecycle.Lifecycle(node)
    wanted = [life.parse(item) for item in items]
    plan = life.plan(wanted)
    life.apply(plan, wanted, plan)
    life.wait(wanted)
    again = life.plan(wanted)
    assert not again.steps
    reports = life.report(wanted, again)
    life.finish()
    took = time.perf_counter() - started
    try:
        os.wait()  # the helper
    except ChildProcessError:
        pass
    assert all(report["status"] == "absent" or report["exit"]["code"] == 0 for report in reports)
    return Cost(took * 1000, cpu() - before)


def ours(node: paths.Paths, options: dict[str, object], count: int, one_by_one: bool = False) -> tuple[Cost, Cost]:
    """(run, run and remove), milliseconds for each container."""
    items = [
        {"name": "bench-%d" % number, "command": ["/usr/bin/true"], "wait": True, "log": {"path": "none"}, "cgroup_parent": PARENT, **options}
        for number in range(count)
    ]
    settle()
    runs = [converge(node, [item]) for item in items] if one_by_one else [converge(node, items)]
    removed = converge(node, [{"name": item["name"], "state": "absent"} for item in items])
    run = Cost(sum(one.passed for one in runs) / count, sum(one.cpu for one in runs) / count)
    return run, Cost(run.passed + removed.passed / count, run.cpu + removed.cpu / count)


def as_shipped(rootfs: Path, count: int) -> Cost:
    """One task in a play, from the start of ansible-playbook to its end, less the same play without the task."""
    items = [
        {"name": "bench-%d" % number, "command": ["/usr/bin/true"], "wait": True, "log": {"path": "none"}, "rootfs": str(rootfs), "volumes": ["/usr:/usr:ro"]}
        for number in range(count)
    ]
    play = [{"hosts": "localhost", "gather_facts": False, "tasks": [{"bulkhead.linux.container_run": {"containers": items, "persist": False}}]}]
    empty = [{**play[0], "tasks": []}]
    gone = [{**play[0], "tasks": [{"bulkhead.linux.container_run": {"containers": [{"name": i["name"], "state": "absent"} for i in items], "persist": False}}]}]
    took = []
    used = []
    with tempfile.TemporaryDirectory() as directory:
        for number, content in enumerate((empty, play, gone)):
            path = Path(directory, "%d.json" % number)
            path.write_text(json.dumps(content), encoding="utf-8")
            started, before = time.perf_counter(), cpu()
            subprocess.run(["ansible-playbook", "-i", "localhost,", "-c", "local", str(path)], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            took.append(time.perf_counter() - started)
            used.append(cpu() - before)
    return Cost((took[1] - took[0]) * 1000 / count, (used[1] - used[0]) / count)


def mount_tmpfs(path: str) -> None:
    os.makedirs(path, exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "none", path], check=True)


def remove_groups() -> None:
    """Remove our control groups, and those of a run that was killed; they are empty, for our containers die with us."""
    for parent in Path("/sys/fs/cgroup").glob("*/" + PARENT):
        for group in parent.glob("bench-*"):
            group.rmdir()
        parent.rmdir()


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--count", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--ansible", action="store_true")
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if "--inside" not in sys.argv:
        # The Python of a node, and not one that was built for a developer: a fork of the latter may cost three times as much.
        os.execvp("unshare", ["unshare", "--mount", "/usr/bin/python3", __file__, *sys.argv[1:], "--inside"])
    mount_tmpfs("/run")
    cpus = os.cpu_count() or 1
    found: dict[str, list[Cost]] = {}
    remove_groups()

    def note(name: str, cost: Cost) -> None:
        found.setdefault(name, []).append(cost)

    with tempfile.TemporaryDirectory(dir="/var/tmp") as directory:
        bundle = Path(directory, "bundle")
        rootfs = make_bundle(bundle)
        node = paths.Paths(directory + "/node")
        mount_tmpfs(node.prefix + "/run")
        options = {"rootfs": str(rootfs), "volumes": ["/usr:/usr:ro"]}
        for turn in range(arguments.rounds + 1):
            note("crun", peer("crun", bundle, arguments.count, 1))
            run, both = ours(node, options, arguments.count)
            note("ours", run)
            note("ours, and removed", both)
            note("ours, unfiltered", ours(node, {**options, "seccomp": "unconfined"}, arguments.count)[0])
            note("crun, %d at once" % cpus, peer("crun", bundle, arguments.count, cpus))
            run, both = ours(node, {}, arguments.count)
            note("ours, host", run)
            note("ours, host, and removed", both)
            note("runc", peer("runc", bundle, max(10, arguments.count // 4), 1))
            note("ours, one by one", ours(node, options, max(10, arguments.count // 10), one_by_one=True)[0])
            if arguments.ansible:
                note("as shipped", as_shipped(rootfs, arguments.count))
            if turn == 0:
                found.clear()  # the first turn warms the caches
        subprocess.run(["umount", node.prefix + "/run"], check=True)
    remove_groups()

    def median(name: str, which: int) -> float:
        return statistics.median(cost[which] for cost in found[name])

    print("%-26s %8s %8s %8s   of crun's      CPU   of crun's" % ("ms for each container", "least", "median", "most"))
    for name, costs in found.items():
        passed = [cost.passed for cost in costs]
        ratios = [median(name, which) / median("crun", which) for which in (0, 1)]
        print("%-26s %8.2f %8.2f %8.2f   %9.2f %8.2f   %9.2f" % (name, min(passed), median(name, 0), max(passed), ratios[0], median(name, 1), ratios[1]))
    with_filter = [median("ours", which) / median("ours, unfiltered", which) for which in (0, 1)]
    print("with the filter a start takes %.2f of the time and %.2f of the CPU time that it takes without" % tuple(with_filter))
    pairs = [mine.passed / theirs.passed for mine, theirs in zip(found["ours"], found["crun"])]
    print("turn by turn, ours is %s of crun's; the aim is 0.40" % ", ".join("%.2f" % ratio for ratio in pairs))
    return 0


if __name__ == "__main__":
    sys.exit(main())
