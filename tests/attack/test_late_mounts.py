# SPDX-FileCopyrightText: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A container whose volume is on a file system that is not mounted yet writes nothing to the one below it."""

from __future__ import annotations

import contextlib
import subprocess

import pytest
from ansible_collections.bulkhead.linux.plugins.module_utils._runtime.container import info, lifecycle
from ansible_collections.bulkhead.linux.plugins.module_utils._runtime.errors import BulkheadError

from .conftest import PARENT, is_gone

WRITES = {"command": ["sh", "-c", "echo here >/data/file; sleep 1000"], "cgroup_parent": PARENT, "stop_timeout": 0}


@pytest.fixture
def data(tmp_path):
    """A directory, a function that mounts a file system on it, and one that takes that away."""
    directory = tmp_path / "data"
    directory.mkdir()

    def mount():
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1M", "late", str(directory)], check=True)

    def umount():
        subprocess.run(["umount", "-l", str(directory)], check=True, stderr=subprocess.DEVNULL)

    yield directory, mount, umount
    while subprocess.run(["umount", "-l", str(directory)], check=False, stderr=subprocess.DEVNULL).returncode == 0:
        pass


def status(node, name):
    return info.look(node.paths, lifecycle.Lifecycle(node.paths).host, {"name": name})[0]


def replay(node, **options):
    """What a boot does: the same with what is kept, and nothing is a mistake that may still come."""
    life = lifecycle.Lifecycle(node.paths)
    life.replaying = True
    with contextlib.closing(contextlib.ExitStack()) as stack:
        stack.callback(life.finish)
        wanted = [life.parse(options)]
        plan = life.plan(wanted)
        life.apply(plan, wanted, plan)
        assert not life.plan(wanted).steps


@pytest.mark.parametrize("policy", ["no", "always"])
def test_it_waits_for_its_mount(node, data, policy):
    """Asked for again it is refused with the reason; a boot has it wait; the mount starts it, and another restart policy than none, too."""
    directory, mount, umount = data
    options = {**WRITES, "name": "late", "volumes": ["%s:/data" % directory], "restart_policy": policy}
    mount()
    node.converge(options)
    assert is_gone((directory / "file").exists)
    node.converge({"name": "late", "state": "stopped"})
    umount()
    with pytest.raises(BulkheadError, match="is not mounted, and was when the container was asked for") as caught:
        node.converge(options)
    assert caught.value.target == str(directory)
    replay(node, **options)
    seen = status(node, "late")
    assert seen["status"] == "restarting" and "is not mounted" in seen["error"]["problem"]
    assert not list(directory.iterdir())
    mount()
    assert is_gone(lambda: status(node, "late")["status"] == "running")
    assert is_gone((directory / "file").exists)
    assert "error" not in status(node, "late")


def test_a_mount_that_goes_is_missed_at_the_next_start(node, data):
    """Also when the restart policy makes it, and a container that waits can be stopped."""
    directory, mount, umount = data
    mount()
    node.converge({**WRITES, "name": "late", "volumes": ["%s:/data" % directory], "restart_policy": "always", "command": ["sh", "-c", "sleep 0.3"]})
    umount()
    assert is_gone(lambda: "is not mounted" in status(node, "late").get("error", {}).get("problem", ""))
    assert status(node, "late")["status"] == "restarting"
    node.converge({"name": "late", "state": "stopped"})
    assert status(node, "late")["status"] == "stopped"
    assert not list(directory.iterdir())
