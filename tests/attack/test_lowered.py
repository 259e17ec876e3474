# SPDX-FileCopyrightText: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Keeping one's limits from being lowered by what is in the groups below one's own, and outliving the removal of a group."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from ansible_collections.bulkhead.linux.plugins.module_utils._runtime import plan as plans
from ansible_collections.bulkhead.linux.plugins.module_utils._runtime.cgroup import devices
from ansible_collections.bulkhead.linux.plugins.module_utils._runtime.cgroup.subject import Groups
from ansible_collections.bulkhead.linux.plugins.module_utils._runtime.kernel import files

from .conftest import PARENT, is_gone

ROOT = Path("/sys/fs/cgroup")
V1 = (ROOT / "cpuset" / "cpuset.cpus").exists()
ONLY_V1 = pytest.mark.skipif(not V1, reason="on v2 a group below never holds up one above")

# Has groups of its own, as deep as a path cannot name, with all that its limits allow, and takes it again as soon as it has less.
CLING = """
import ctypes, os, sys, time
libc = ctypes.CDLL(None, use_errno=True)
libc.unshare(0x00020000 | 0x02000000)
places = {}
for line in open("/proc/self/cgroup").read().splitlines():
    number, controllers, path = line.split(":", 2)
    if not {"cpu", "cpuset"} & set(controllers.split(",")):
        continue
    place = "/tmp/h" + number
    os.makedirs(place, exist_ok=True)
    if libc.mount(b"none", place.encode(), b"cgroup", 0, controllers.encode()) != 0:
        print("not mounted", controllers, flush=True)
        continue
    os.chdir(place)
    for _depth in range(int(sys.argv[1])):
        os.mkdir("deep" * 40)
        os.chdir("deep" * 40)
        for file in ("cpuset.cpus", "cpuset.mems"):
            if os.path.exists(file):
                open(file, "w").write(open("../" + file).read())
    places[controllers] = os.open(".", os.O_RDONLY)
print("clinging", sorted(places), flush=True)
while True:
    for place in places.values():
        os.fchdir(place)
        for file, text in (("cpu.cfs_quota_us", "90000"), ("cpuset.cpus", "0-1"), ("cpuset.cpus", "1"), ("cpuset.cpus", "0")):
            try:
                with open(file, "w") as handle:
                    handle.write(text)
            except OSError:
                pass
    time.sleep(float(sys.argv[2]))
"""


def held(controller, name, file):
    return (ROOT / controller / PARENT / name / file).read_text(encoding="utf-8").strip()


def group(**options):
    """Converge one control group, as the module does it, without keeping it."""
    subject = Groups()
    subject.persist = False
    objects = [subject.parse(options)]
    plans.apply(subject.plan(objects))
    assert subject.plan(objects).writes() == []


def cling(node, share, depth, pause, **resources):
    (share / "cling.py").write_text(CLING, encoding="utf-8")
    options = {
        "command": ["python3", "/x/cling.py", depth, pause],
        "volumes": ["%s:/x" % share],
        "capabilities": {"add": ["SYS_ADMIN"]},
        "seccomp": "unconfined",
    }
    node.serve("cling", **options, resources=resources)
    log = Path(node.paths.log + "/cling.log")
    assert is_gone(lambda: log.exists() and "clinging" in log.read_text(encoding="utf-8"))
    assert "not mounted" not in log.read_text(encoding="utf-8")
    return options


@ONLY_V1
@pytest.mark.parametrize(("depth", "pause"), [("2", "0"), ("40", "0.01")], ids=["fast", "deep"])
def test_limits_are_lowered_below_what_is_inside(node, share, depth, pause):
    options = cling(node, share, depth, pause, cpu={"max": 1}, cpuset={"cpus": "0-1"})
    pid = node.converge({"name": "cling", **options, "resources": {"cpu": {"max": 1}, "cpuset": {"cpus": "0-1"}}})[1][0]["pid"]
    for cpus, quota in (("0", 0.5), ("1", 0.2), ("0-1", 0.8), ("1", 0.3)):
        _count, (report,) = node.converge({"name": "cling", **options, "resources": {"cpu": {"max": quota}, "cpuset": {"cpus": cpus}}})
        assert report["pid"] == pid, "it was made anew"
        assert held("cpuset", "cling", "cpuset.cpus") == cpus
        assert held("cpu", "cling", "cpu.cfs_quota_us") == str(int(quota * 100000))
        status = Path("/proc/%d/status" % pid).read_text(encoding="utf-8")
        allowed = next(line.split()[1] for line in status.splitlines() if line.startswith("Cpus_allowed_list:"))
        assert allowed == cpus, "the container does not run where its group may"
        assert held("cpuset", "cling/supervisor", "cpuset.cpus") == cpus


@ONLY_V1
def test_limits_further_above_are_lowered_too(node, share):
    """By somebody who knows nothing of containers: a quota for the group in which they are."""
    cling(node, share, "2", "0")
    group(name=PARENT, cpu={"max": 0.5})
    assert held("cpu", "", "cpu.cfs_quota_us") == "50000"
    group(name=PARENT, cpu={"max": "max"})


@ONLY_V1
def test_devices_reach_a_running_container(node, share):
    fuse, tun = {"type": "c", "major": 10, "minor": 229}, {"type": "c", "major": 10, "minor": 200}
    node.serve("box", resources={"devices": [fuse]})
    node.serve("box", resources={"devices": [fuse, tun]})
    for name in ("box", "box/payload", "box/supervisor"):
        assert "c 10:200 rwm" in held("devices", name, "devices.list").splitlines(), name
    node.serve("box", resources={"devices": [tun]})
    for name in ("box", "box/payload", "box/supervisor"):
        assert "c 10:229 rwm" not in held("devices", name, "devices.list").splitlines(), name


@ONLY_V1
def test_a_group_that_was_just_removed_does_not_hold_up_devices():
    """The kernel counts it as a child for a moment longer, and refuses everything at once as long as it does."""
    top = ROOT / "devices" / PARENT
    tree = files.Tree(str(ROOT / "devices"))
    top.mkdir()
    try:
        step = devices.DeviceWrite(tree, PARENT, "deny", "a")
        step.do()
        (top / "inner").mkdir()
        (top / "inner").rmdir()
        step.undo()
        assert (top / "devices.list").read_text(encoding="utf-8").strip() == "a *:* rwm"
    finally:
        top.rmdir()


# Forks and ends all the time, makes groups, moves into them and freezes some of them.
UNRULY = """
import os, random, sys, time
tops = sys.argv[1:]
places = list(tops)
while True:
    if os.fork() == 0:
        os.setsid()
        place = random.choice(tops) + "/g%d" % os.getpid()
        try:
            os.mkdir(place)
            for file in ("cpuset.cpus", "cpuset.mems"):
                if os.path.exists(place + "/" + file):
                    open(place + "/" + file, "w").write(open(os.path.dirname(place) + "/" + file).read())
            open(place + "/cgroup.procs", "w").write("0")
            if os.path.exists(place + "/freezer.state"):
                open(place + "/freezer.state", "w").write("FROZEN")
        except OSError:
            pass
        continue
    if random.random() < 0.7:
        os._exit(0)
"""


@pytest.fixture
def unruly():
    """Groups in which such a program runs, at most 40 processes of it in each; returns their names."""
    names = ["%s/unruly%d" % (PARENT, number) for number in range(4)]
    controllers = ["pids", "freezer"] if (ROOT / "pids").exists() else ["pids"]
    for name in names:
        group(name=name, pids={"max": 40}, controllers=controllers)
        tops = [str(ROOT / controller / name) for controller in controllers] if (ROOT / "pids").exists() else [str(ROOT / name)]
        enter = "import os, sys\nfor top in sys.argv[1:]: open(top + '/cgroup.procs', 'w').write('0')\n"
        subprocess.Popen([sys.executable, "-c", enter + UNRULY, *tops], stderr=subprocess.DEVNULL, start_new_session=True)
    time.sleep(1)
    yield names
    group(name=PARENT, state="absent", force=True)


def test_what_forks_and_makes_groups_is_killed_and_removed(unruly):
    """All of them at once, with whatever they make while they are being killed."""
    subject = Groups()
    subject.persist = False
    objects = [subject.parse({"name": name, "state": "absent", "force": True}) for name in unruly]
    began = time.monotonic()
    plans.apply(subject.plan(objects))
    assert time.monotonic() - began < 30
    assert subject.plan(objects).writes() == []
    for name in unruly:
        assert not [mount for mount in ROOT.glob("*") if (mount / name).exists()]
    own = os.fsencode(UNRULY[:40])
    assert is_gone(lambda: not [pid for pid in os.listdir("/proc") if pid.isdigit() and own in _command(pid)])


def _command(pid):
    try:
        return Path("/proc/%s/cmdline" % pid).read_bytes()
    except OSError:
        return b""
