# SPDX-FileCopyrightText: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is left on the machine of a container whose record was damaged or whose supervisor was killed, and names that get in the way."""

from __future__ import annotations

import os
import shutil
import signal
from pathlib import Path

import pytest
from ansible_collections.bulkhead.linux.plugins.module_utils._runtime.container import info, lifecycle, state
from ansible_collections.bulkhead.linux.plugins.module_utils._runtime.errors import InvalidInput

from .conftest import PARENT, groups, is_gone

SERVICE = {"name": "web", "command": ["sh", "-c", "echo started; exec sleep 1000"], "restart_policy": "always"}


def wanted(**options):
    return {**SERVICE, **options}


def described(node, name="web"):
    return info.describe(name, node.paths, lifecycle.Lifecycle(node.paths).host, info.Question({}))


def kill_supervisor(node):
    record = state.read(node.paths.state("web"))
    os.kill(record["monitor"]["pid"], signal.SIGKILL)
    assert is_gone(lambda: not state.start_time(record["pid"]))
    return record


def log_of(node):
    return Path(node.paths.log, "web.log").read_text(encoding="utf-8")


@pytest.mark.parametrize("state_between", [None, "stopped"])
def test_killed_supervisor_costs_nothing(node, state_between):
    """Private files and the log outlast a supervisor that was killed, whether it is stopped or started next."""
    node.converge(wanted())
    node.exec("web", ["sh", "-c", "echo kept > /root/file"])
    kill_supervisor(node)
    assert described(node)["status"] == "stopped"
    if state_between:
        report = node.converge({"name": "web", "state": "stopped"})[1][0]
        assert report["status"] == "stopped" and report["exit"]["code"] == 137
        assert Path(node.paths.own("web"), "upper/root/file").exists() or Path(node.paths.own("web"), "root/file").exists()
        assert "started" in log_of(node)
    node.converge(wanted())
    assert node.exec("web", ["cat", "/root/file"])["stdout"] == "kept\n"
    assert is_gone(lambda: log_of(node).count("started") == 2)
    assert node.converge(wanted())[0] == 0


def damage(path, how):
    text = path.read_bytes() if path.is_file() else b""
    path.unlink(missing_ok=True)
    if how == "directory":
        path.mkdir()
        (path / "inside").write_text("x", encoding="utf-8")
    elif how == "link":
        path.symlink_to("/etc/passwd")
    else:
        path.write_bytes(
            {
                "truncated": text[: len(text) // 2],
                "empty": b"",
                "binary": bytes(range(256)) * 8,
                "another type": b"[1, 2]",
                "without its fields": b'{"status": "running"}',
                "with other types": b'{"status": "running", "pid": "x", "monitor": 3, "config": [], "cgroup": {}}',
            }[how]
        )


DAMAGES = ["truncated", "empty", "binary", "directory", "link", "another type", "without its fields", "with other types"]


def processes():
    """Whatever still runs in a group of the container."""
    found = []
    for group in groups():
        for path in Path(group, "web").rglob("cgroup.procs"):
            found += path.read_text(encoding="ascii").split()
    return found


@pytest.mark.parametrize("how", DAMAGES)
def test_damaged_record_is_healed_by_started(node, how):
    node.converge(wanted())
    node.exec("web", ["sh", "-c", "echo kept > /root/file"])
    pid = state.read(node.paths.state("web"))["pid"]
    damage(Path(node.paths.state("web"), state.FILE), how)
    assert described(node)["broken"] is True
    assert node.converge(wanted())[1][0]["status"] == "running"
    assert not state.start_time(pid)
    assert node.exec("web", ["cat", "/root/file"])["stdout"] == "kept\n"
    assert node.converge(wanted())[0] == 0


@pytest.mark.parametrize("how", DAMAGES)
def test_damaged_record_is_healed_by_stopped(node, how):
    node.converge(wanted())
    record = state.read(node.paths.state("web"))
    damage(Path(node.paths.state("web"), state.FILE), how)
    assert node.converge({"name": "web", "state": "stopped"})[0] > 0
    assert not state.start_time(record["pid"]) and is_gone(lambda: not state.start_time(record["monitor"]["pid"]))
    assert not processes()
    assert node.converge({"name": "web", "state": "stopped"})[0] == 0
    assert Path(node.paths.own("web"), "upper").is_dir()


@pytest.mark.parametrize("how", DAMAGES)
def test_damaged_record_is_healed_by_absent(node, how):
    """The node's own proof follows: no process, group or file is left."""
    node.converge(wanted())
    damage(Path(node.paths.state("web"), state.FILE), how)
    assert node.converge({"name": "web", "state": "absent"})[0] > 0
    assert not processes()
    assert node.converge({"name": "web", "state": "absent"})[0] == 0


@pytest.mark.parametrize("file", ["resources.json", "live", state.GROUP, state.STOPPING])
@pytest.mark.parametrize("how", ["binary", "directory"])
def test_damaged_neighbours_of_the_record(node, file, how):
    node.converge(wanted(stop_timeout=1))
    damage(Path(node.paths.state("web"), file), how)
    node.converge(wanted(stop_timeout=0))
    node.converge(wanted(stop_timeout=0))
    assert node.exec("web", ["true"])["rc"] == 0
    node.converge({"name": "web", "state": "absent"})


def test_whole_directory_of_the_record_is_gone(node):
    """Somebody cleared /run: what still runs is found by its control group."""
    node.converge(wanted())
    record = state.read(node.paths.state("web"))
    shutil.rmtree(node.paths.state("web"))
    node.converge(wanted())
    assert not state.start_time(record["pid"])
    assert node.converge(wanted())[0] == 0


NAMES = ["web", "web.old", "web.new", "payload", "supervisor", "empty", "base", "locks", "aside", "containers", "units", "helper", "replay", "container"]


def test_names_that_the_house_could_use(node):
    """Each name is a container's own: its files outlast the making anew of every other one."""
    for name in NAMES:
        node.serve(name)
        node.exec(name, ["sh", "-c", "echo %s > /root/file" % name])
    for name in ("web", "payload", "empty"):
        node.serve(name, hostname="other")
    for name in NAMES:
        expected = "" if name in ("web", "payload", "empty") else name + "\n"
        assert node.exec(name, ["sh", "-c", "cat /root/file || true"])["stdout"] == expected


@pytest.mark.parametrize("name", ["tasks", "cgroup.procs", "memory.max", "cgroup.controllers", "notify_on_release"])
def test_names_that_the_kernel_uses(node, name):
    """A control group cannot be called as a file of its parent: refused with a reason, or made."""
    try:
        node.serve(name)
    except InvalidInput as refused:
        assert name in str(refused) and "interface file" in str(refused)
    else:
        assert node.exec(name, ["true"])["rc"] == 0


@pytest.mark.parametrize("below", ["", "/payload", "/supervisor", "/inner/deeper"])
@pytest.mark.parametrize("name", ["payload", "supervisor", "other"])
def test_group_below_that_of_another_container(node, below, name):
    """A container cannot live in the group of another one, whichever of the two is made first, and both or neither in one call."""
    node.serve("web")
    inside = {"name": name, "command": ["sleep", "1000"], "cgroup_parent": "%s/web%s" % (PARENT, below)}
    with pytest.raises(InvalidInput, match="web"):
        node.converge(inside)
    assert node.exec("web", ["true"])["rc"] == 0
    node.converge({"name": "web", "state": "absent"})
    with pytest.raises(InvalidInput, match="web"):
        node.converge({"name": "web", "command": ["sleep", "1000"]}, inside)
    node.converge(inside)
    with pytest.raises(InvalidInput, match=name):
        node.serve("web")
    assert node.exec(name, ["true"])["rc"] == 0
    node.converge({"name": name, "state": "absent"})
    for path in Path("/sys/fs/cgroup").glob("*/" + PARENT):
        for directory, _names, _files in os.walk(path / "web", topdown=False):
            os.rmdir(directory)
