# SPDX-FileCopyrightText: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A node of its own for each test, and the proof that nothing is left on the machine after it.

These tests start real containers, as root, on the machine's own kernel, and attack from inside. Everything they keep is
below a temporary directory (BULKHEAD_PREFIX) and in control groups below one of this run's own.
"""

from __future__ import annotations

import contextlib
import gc
import importlib.util
import os
import shutil
import sys
import time
from pathlib import Path

import pytest

if "ansible_collections" not in sys.modules:
    _names = importlib.util.spec_from_file_location("collection_names", Path(__file__).parents[1] / "unit" / "conftest.py")
    _names.loader.exec_module(importlib.util.module_from_spec(_names))

from ansible_collections.bulkhead.linux.plugins.module_utils._runtime import pack
from ansible_collections.bulkhead.linux.plugins.module_utils._runtime.container import commands, lifecycle, paths, state, wiring
from ansible_collections.bulkhead.linux.plugins.module_utils._runtime.container import groups as groups_of_containers

# A name of this run's own, so that two checkouts can be tested side by side.
PARENT = "bulkhead-attack-%d" % os.getpid()


def pytest_collection_modifyitems(items):
    if os.geteuid() != 0:
        for item in items:
            item.add_marker(pytest.mark.skip(reason="needs root"))


def namespaces():
    """Every namespace that some process is in; but those of other containers that run on this machine."""
    found = set()
    for pid in os.listdir("/proc"):
        if pid.isdigit():
            with contextlib.suppress(OSError):
                groups_of = Path("/proc/%s/cgroup" % pid).read_text(encoding="utf-8")
                if "/payload" in groups_of and ":/%s/" % PARENT not in groups_of:
                    continue
                found |= {os.readlink("/proc/%s/ns/%s" % (pid, name)) for name in os.listdir("/proc/%s/ns" % pid)}
    return found


def mounts():
    return Path("/proc/self/mountinfo").read_text(encoding="utf-8")


def descriptors():
    """What this process has open; but the hierarchies, which the error of a test that is being reported may still hold."""
    found = set()
    for name in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):
            target = os.readlink("/proc/self/fd/" + name)
            if not target.startswith(("/sys/fs/cgroup/", "/proc/")):
                found.add((name, target))
    return found


def groups():
    return [str(path) for path in Path("/sys/fs/cgroup").glob("*/" + PARENT)] + [str(path) for path in Path("/sys/fs/cgroup").glob(PARENT)]


def runtimes(prefix):
    """Processes that run the packed core of this node."""
    found = []
    for pid in os.listdir("/proc"):
        with contextlib.suppress(OSError):
            if pid.isdigit() and prefix.encode() in Path("/proc/%s/cmdline" % pid).read_bytes() and b"helper" in Path("/proc/%s/cmdline" % pid).read_bytes():
                found.append(int(pid))
    return found


def interfaces(prefix):
    """The machine's interfaces that are this node's by their mark, and those of our kind that lack any."""
    found = set()
    for path in Path("/sys/class/net").iterdir():
        with contextlib.suppress(OSError):
            alias = (path / "ifalias").read_text(encoding="utf-8").strip()
            unfinished = not alias and (path.name.startswith("bh") or (path / "netdev_group").read_text(encoding="utf-8").strip() == str(wiring.GROUP))
            if prefix in alias or unfinished:
                found.add(path.name)
    return found


class Node:
    """A machine's containers, in a directory of their own."""

    def __init__(self, prefix):
        self.prefix = str(prefix)
        self.paths = paths.Paths(self.prefix)
        self.names = set()

    def converge(self, *items, check=False):
        """As the module does it: observe, plan, apply, look again; returns (number of steps, reports)."""
        self.life = life = lifecycle.Lifecycle(self.paths)
        try:
            wanted = []
            for item in items:
                self.names.add(item["name"])
                wanted.append(life.parse({"cgroup_parent": PARENT, "stop_timeout": 0, "settle": 0, **item}))
            plan = life.plan(wanted)
            count = len(plan.steps)
            life.warnings += plan.warnings
            if count and not check:
                life.apply(plan, wanted, plan)
                life.wait(wanted)
                plan = life.plan(wanted)
                assert not plan.steps, [step.facts() for step in plan.steps]
            return count, life.report(wanted, plan)
        finally:
            life.finish()

    def run(self, name, script, **options):
        """Run a shell script as a job and return its report."""
        command = script if isinstance(script, list) else ["/bin/sh", "-c", script]
        return self.converge({"name": name, "command": command, "wait": True, **options})[1][0]

    def output(self, name, script, **options):
        return self.run(name, script, **options)["output"]

    def serve(self, name, **options):
        """A container that just is there."""
        return self.converge({"name": name, "command": ["sleep", "1000"], **options})[1][0]

    def exec(self, name, command, **options):
        life = lifecycle.Lifecycle(self.paths)
        return commands.run({"name": name, "command": command, **options}, self.paths, life.host)

    def life_record(self, name):
        """What is recorded of a container."""
        return state.read(self.paths.state(name))

    def inside(self, name):
        """The processes in a container's control groups."""
        life = lifecycle.Lifecycle(self.paths)
        return groups_of_containers.processes_in(self.life_record(name)["cgroup"], life.host)

    def clear(self):
        if self.names:
            self.converge(*({"name": name, "state": "absent"} for name in sorted(self.names)))
        for group in groups():
            os.rmdir(group)


def is_gone(condition, patience=5.0):
    """Whether it comes to hold in time; what the kernel takes down it takes down on its own time."""
    deadline = time.monotonic() + patience
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


@pytest.fixture(scope="session")
def warm(tmp_path_factory):
    """What a node has once the collection was used on it: the packed core, and the copy of /etc that containers share."""
    place = paths.Paths(str(tmp_path_factory.mktemp("warm")))
    os.makedirs(place.bases, mode=0o700)
    pack.ensure(place.core)
    return place


@pytest.fixture
def node(tmp_path, warm):
    """A node, and after the test the proof that nothing of it is left but its own empty directories."""
    before = mounts(), namespaces(), descriptors()
    node = Node(tmp_path)
    os.makedirs(os.path.dirname(node.paths.core))
    shutil.copy2(warm.core, node.paths.core)
    os.makedirs(os.path.dirname(node.paths.bases))
    os.symlink(warm.bases, node.paths.bases)
    yield node
    node.clear()
    assert is_gone(lambda: mounts() == before[0]), "mounts are left"
    assert is_gone(lambda: not runtimes(node.prefix)), "processes are left: %s" % runtimes(node.prefix)
    assert is_gone(lambda: namespaces() <= before[1]), "namespaces are left"
    assert not groups(), "control groups are left"
    assert is_gone(lambda: not interfaces(node.prefix)), "interfaces are left: %s" % interfaces(node.prefix)
    gc.collect()
    assert descriptors() <= before[2], "descriptors are left"
    left = [
        str(path)
        for top in (node.paths.states, node.paths.locks, node.paths.lib + "/containers", node.paths.log)
        for path in Path(top).glob("*")
    ]
    assert not left, "files are left"


@pytest.fixture
def share(tmp_path):
    """A directory that containers get as /x."""
    directory = tmp_path / "share"
    directory.mkdir()
    return directory


@pytest.fixture
def outside(tmp_path):
    """A directory of the machine that no container may reach; it must stay empty."""
    directory = tmp_path / "outside"
    directory.mkdir()
    yield directory
    assert not list(directory.iterdir()), "something was made outside of the container's root"


@pytest.fixture
def rootfs(tmp_path):
    """A root file system of our own, with the machine's programs by way of volumes."""
    directory = tmp_path / "rootfs"
    for name in ("etc", "tmp", "usr"):
        (directory / name).mkdir(parents=True)
    for name in ("bin", "lib", "lib64", "sbin"):
        if os.path.islink("/" + name):
            (directory / name).symlink_to("usr/" + name)
    return directory
