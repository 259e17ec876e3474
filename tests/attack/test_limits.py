# SPDX-FileCopyrightText: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Lifting or going round the limits of one's own container, or changing those of another one."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest

from .conftest import PARENT, is_gone

MIB = 1 << 20

# Makes a user, mount and cgroup namespace where it may, mounts every hierarchy anew and tries to lift whatever limit it can name.
LIFT = """
import ctypes, json, os, sys
libc = ctypes.CDLL(None, use_errno=True)
USER, MOUNT, CGROUP = 0x10000000, 0x00020000, 0x02000000
outcome = {"uid": os.getuid(), "unshare": libc.unshare(USER | MOUNT | CGROUP), "written": [], "seen": [], "foreign": []}
if outcome["unshare"] != 0:
    libc.unshare(MOUNT | CGROUP)
WANTED = {
    "memory.limit_in_bytes": "-1", "memory.memsw.limit_in_bytes": "-1", "pids.max": "max", "cpu.cfs_quota_us": "-1",
    "memory.max": "max", "memory.high": "max", "cpu.max": "max", "cpuset.cpus": "0", "blkio.throttle.write_bps_device": "",
}
held = json.loads(sys.argv[1])
for line in open("/proc/self/cgroup").read().splitlines():
    number, controllers, path = line.split(":", 2)
    outcome["seen"].append(path)
    place = "/tmp/h" + number
    os.makedirs(place, exist_ok=True)
    kind, options = ("cgroup2", "") if number == "0" else ("cgroup", controllers)
    if libc.mount(b"none", place.encode(), kind.encode(), 0, options.encode() or None) != 0:
        continue
    for name in os.listdir(place):
        if os.path.isdir(place + "/" + name):
            outcome["foreign"].append(controllers + ":" + name)
    for top in (place, place + "/..", place + "/../.."):
        for file, value in WANTED.items():
            try:
                text = open(top + "/" + file).read().strip()
                if top != place and text in held.get(file, []):  # at the root there is a copy to look up
                    outcome["seen"].append("limit %s=%s" % (file, text))
                with open(top + "/" + file, "w") as handle:
                    handle.write(value)
                outcome["written"].append(file)
            except OSError:
                pass
print(json.dumps(outcome))
sys.stdout.flush()
if len(sys.argv) > 2:
    memory = []
    for _turn in range(int(sys.argv[2])):
        memory.append(b"x" * (1 << 20))
    print("GOT it all")
"""

RESOURCES = {"memory": {"max": "64M"}, "cpu": {"max": 0.5}, "pids": {"max": 50}}
HELD = {"memory.limit_in_bytes": ["67108864"], "memory.max": ["67108864"], "pids.max": ["50"], "cpu.cfs_quota_us": ["50000"], "cpu.max": ["50000 100000"]}


def hierarchies():
    """{mount: version} of every hierarchy of this machine."""
    words = [line.split() for line in Path("/proc/mounts").read_text(encoding="utf-8").splitlines()]
    return {fields[1]: 2 if fields[2] == "cgroup2" else 1 for fields in words if fields[2] in ("cgroup", "cgroup2")}


def limits(name):
    """{file: text} of the limits that the kernel holds for a container."""
    found = {}
    for mount in hierarchies():
        for file in (*HELD, "cpuset.cpus"):
            path = Path(mount, PARENT, name, file)
            if path.exists():
                found[str(path)] = path.read_text(encoding="utf-8").strip()
    return found


# Without the filter of system calls, which refuses most of this by itself: the groups must do.
WHO = {
    "filtered": {},
    "root": {"seccomp": "unconfined"},
    "nobody": {"seccomp": "unconfined", "user": "65534:65534"},
    "nothing": {"seccomp": "unconfined", "capabilities": {"drop": ["ALL"]}},
    "nobody with nothing": {"seccomp": "unconfined", "user": "65534:65534", "capabilities": {"drop": ["ALL"]}},
    "may mount": {"seccomp": "unconfined", "capabilities": {"add": ["SYS_ADMIN"]}},
    "old privileges": {"seccomp": "unconfined", "no_new_privileges": False},
}


@pytest.mark.parametrize("who", WHO)
def test_own_limits(node, share, who):
    """What a container can mount and write of its hierarchies lifts none of its limits; the group that holds them is not to be seen."""
    (share / "lift.py").write_text(LIFT, encoding="utf-8")
    options = {"volumes": ["%s:/x" % share], "resources": RESOURCES, **WHO[who]}
    node.serve("held", **options)
    before = limits("held")
    assert any("memory" in path for path in before)
    answer = node.exec("held", ["python3", "/x/lift.py", json.dumps(HELD)])
    outcome = json.loads(answer["stdout"].splitlines()[0])
    assert set(outcome["seen"]) == {"/"}, outcome
    assert outcome["foreign"] == [], outcome
    assert limits("held") == before
    report = node.run("greedy", ["python3", "/x/lift.py", json.dumps(HELD), "200"], **options)
    assert "GOT it all" not in report["output"], report
    assert report["exit"]["code"] == 137 and report["exit"]["killed_by"] == "memory", report


def test_limits_of_another(node, share):
    """In no hierarchy is the root of a container's namespace the machine's, or holds the group of another container."""
    (share / "lift.py").write_text(LIFT, encoding="utf-8")
    node.serve("victim", resources={**RESOURCES, "cpuset": {"cpus": "0"}})
    before = limits("victim")
    free = {"seccomp": "unconfined", "capabilities": {"add": ["SYS_ADMIN"]}}
    node.serve("thief", volumes=["%s:/x" % share], **free)
    outcome = json.loads(node.exec("thief", ["python3", "/x/lift.py", json.dumps(HELD)])["stdout"])
    assert outcome["foreign"] == [] and set(outcome["seen"]) == {"/"}, outcome
    assert limits("victim") == before
    pid = node.serve("thief", volumes=["%s:/x" % share], **free)["pid"]
    for line in Path("/proc/%d/cgroup" % pid).read_text(encoding="utf-8").splitlines():
        assert line.endswith(":/%s/thief/payload" % PARENT), line


def groups_of(pid):
    lines = Path("/proc/%d/cgroup" % pid).read_text(encoding="utf-8").splitlines()
    return {line.split(":", 2)[2] for line in lines}


def test_supervisor_is_in_the_group(node):
    """In every hierarchy, so that what is done for a container is counted and limited with it; a job's supervisor, too."""
    from ansible_collections.bulkhead.linux.plugins.module_utils._runtime.container import state

    node.serve("watched")
    supervisor = state.read(node.paths.state("watched"))["monitor"]["pid"]
    assert groups_of(supervisor) == {"/%s/watched/supervisor" % PARENT}
    status = dict(line.split(":", 1) for line in Path("/proc/%d/status" % supervisor).read_text(encoding="utf-8").splitlines())
    assert status["NSsid"].split()[0] == str(supervisor), "it is in the session of whoever ran it"


def test_output_is_limited(node):
    """A container that writes as fast as it can uses no more CPU time than it may, its supervisor's included."""
    node.serve("flood", command=["sh", "-c", "exec yes"], resources={"cpu": {"max": 0.1}}, log={"max_size": "1M"})
    from ansible_collections.bulkhead.linux.plugins.module_utils._runtime.container import state

    pid, supervisor = (state.read(node.paths.state("flood"))[key] for key in ("pid", "monitor"))

    def used():
        ticks = 0
        for one in (pid, supervisor["pid"]):
            fields = Path("/proc/%d/stat" % one).read_text(encoding="utf-8").rpartition(")")[2].split()
            ticks += int(fields[11]) + int(fields[12])
        return ticks / os.sysconf("SC_CLK_TCK")

    before, began = used(), time.monotonic()
    time.sleep(3)
    share_of_cpu = (used() - before) / (time.monotonic() - began)
    assert 0.02 < share_of_cpu < 0.15, share_of_cpu


# Makes groups of its own below its root, as deep as it gets, and stays in the last one.
NEST = """
import ctypes, os, sys, time
libc = ctypes.CDLL(None, use_errno=True)
libc.unshare(0x10000000 | 0x00020000 | 0x02000000) == 0 or libc.unshare(0x00020000 | 0x02000000)
for line in open("/proc/self/cgroup").read().splitlines():
    number, controllers, path = line.split(":", 2)
    place = "/tmp/h" + number
    os.makedirs(place, exist_ok=True)
    kind, options = ("cgroup2", "") if number == "0" else ("cgroup", controllers)
    if libc.mount(b"none", place.encode(), kind.encode(), 0, options.encode() or None) != 0:
        continue
    os.chdir(place)
    try:
        for _depth in range(int(sys.argv[1])):
            os.mkdir("deep" * 40)
            os.chdir("deep" * 40)
            for file in ("cpuset.cpus", "cpuset.mems"):
                if os.path.exists(file):
                    open(file, "w").write(open("../" + file).read())
        open("tasks" if os.path.exists("tasks") else "cgroup.procs", "w").write("0")
        if os.path.exists("freezer.state"):
            os.mkdir("frozen")
            child = os.fork()
            if child == 0:
                time.sleep(1000)
            open("frozen/tasks", "w").write(str(child))
            open("frozen/freezer.state", "w").write("FROZEN")
    except OSError as error:
        print(controllers, error)
print("nested", flush=True)
time.sleep(1000)
"""


def test_groups_inside_do_not_hold_the_end_up(node, share):
    """A container that nests groups deeper than a path can name, and freezes its own, is seen whole, stops, starts and goes."""
    (share / "nest.py").write_text(NEST, encoding="utf-8")
    command = ["python3", "/x/nest.py", "40"]
    options = {"command": command, "volumes": ["%s:/x" % share], "capabilities": {"add": ["SYS_ADMIN"]}, "seccomp": "unconfined"}
    node.serve("nest", **options)
    log = Path(node.paths.log + "/nest.log")
    assert is_gone(lambda: log.exists() and "nested" in log.read_text(encoding="utf-8"))
    assert node.exec("nest", ["sh", "-c", "echo $PPID; cat /proc/self/cgroup"])["rc"] == 0
    node.converge({"name": "nest", "state": "stopped"})
    assert node.serve("nest", **options)["status"] == "running"
    node.converge({"name": "nest", "state": "absent"})
    assert not [mount for mount in hierarchies() if Path(mount, PARENT, "nest").exists()]
