# SPDX-FileCopyrightText: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Killing what makes and watches containers, at any moment: the next run puts everything right, and nothing is left."""

from __future__ import annotations

import os
import random
import signal
import time
from pathlib import Path

import pytest
from ansible_collections.bulkhead.linux.plugins.module_utils._runtime.container import state
from ansible_collections.bulkhead.linux.plugins.module_utils._runtime.errors import BulkheadError

from .conftest import groups, is_gone, runtimes


def items(generation):
    options = {"command": ["sleep", "1000"], "hostname": "generation-%d" % generation, "resources": {"pids": {"max": 20}}}
    return [{"name": "kill-%d" % number, **options} for number in range(3)]


def in_another_process(node, wanted):
    """Converge as a module does, in a process that can be killed."""
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            node.converge(*wanted)
            code = 0
        finally:
            os._exit(code)
    return pid


def all_run(node, generation):
    for item in items(generation):
        record = state.read(node.paths.state(item["name"]))
        assert record["status"] == "running" and state.is_alive(record["monitor"])
        assert node.exec(item["name"], ["hostname"])["stdout"] == "generation-%d\n" % generation


@pytest.mark.parametrize("seed", range(50))
def test_module_is_killed(node, seed):
    """SIGKILL at a random moment of making three containers; the next run has them, and a further one finds nothing to do."""
    chance = random.Random(seed)
    if seed % 3 == 0:
        node.converge(*items(0))  # the killed run replaces them
    node.names |= {item["name"] for item in items(1)}
    pid = in_another_process(node, items(1))
    time.sleep(chance.uniform(0, 0.4))
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    node.converge(*items(1))
    all_run(node, 1)
    assert node.converge(*items(1))[0] == 0


@pytest.mark.parametrize("seed", range(10))
def test_helper_is_killed(node, seed):
    """SIGKILL for the helper: the run fails and says so, or is done; the next one has them."""
    chance = random.Random(seed)
    node.names |= {item["name"] for item in items(1)}
    pid = in_another_process(node, items(1))
    time.sleep(chance.uniform(0.02, 0.3))
    killed = set(runtimes(node.prefix))
    for helper in killed:
        try:
            os.kill(helper, signal.SIGKILL)
        except ProcessLookupError:
            pass
    os.waitpid(pid, 0)
    # Supervisors were among them: one that is not gone yet would still be taken for alive.
    assert is_gone(lambda: not killed & set(runtimes(node.prefix)))
    node.converge(*items(1))
    all_run(node, 1)
    assert node.converge(*items(1))[0] == 0


def test_monitor_is_killed(node):
    """A container does not run on without its monitor, and the next run starts both."""
    node.serve("watched")
    record = state.read(node.paths.state("watched"))
    os.kill(record["monitor"]["pid"], signal.SIGKILL)
    assert is_gone(lambda: not state.start_time(record["pid"]))
    assert node.converge({"name": "watched", "command": ["sleep", "1000"]}, check=True)[0] > 0
    assert node.serve("watched")["status"] == "running"


def test_killed_monitor_costs_no_files(node):
    """A container whose monitor was killed is stopped: its private files and its log stay, whatever is asked for next."""
    command = ["sh", "-c", "echo said; sleep 1000"]
    for number, wanted in enumerate(("started", "stopped")):
        name = "kept-%d" % number
        node.serve(name, command=command)
        node.exec(name, ["sh", "-c", "echo kept > /root/file"])
        record = state.read(node.paths.state(name))
        os.kill(record["monitor"]["pid"], signal.SIGKILL)
        assert is_gone(lambda record=record: not state.start_time(record["pid"]))
        report = node.converge({"name": name, "state": wanted, "command": command})[1][0]
        assert report["status"] == {"started": "running", "stopped": "stopped"}[wanted]
        assert "said" in Path(node.paths.log, name + ".log").read_text(encoding="utf-8")
        assert node.serve(name, command=command)["status"] == "running"
        assert node.exec(name, ["cat", "/root/file"])["stdout"].strip() == "kept"


@pytest.mark.parametrize("damage", ["", "{", "[]", "\0\0\0", '{"status": 7}'])
@pytest.mark.parametrize("wanted", ["started", "stopped", "absent"])
def test_damaged_record(node, damage, wanted):
    """A record that cannot be read is healed: nothing runs on that nobody knows of, and private files stay unless told."""
    node.serve("torn")
    node.exec("torn", ["sh", "-c", "echo kept > /root/file"])
    old = state.read(node.paths.state("torn"))
    Path(node.paths.state("torn"), state.FILE).write_text(damage, encoding="utf-8")
    node.converge({"name": "torn", "state": wanted, "command": ["sleep", "1000"]})
    assert not state.is_alive({"pid": old["pid"], "start": old["start"]})
    assert is_gone(lambda: not state.is_alive(old["monitor"]))
    if wanted != "absent":
        node.serve("torn")
        assert node.exec("torn", ["cat", "/root/file"])["stdout"].strip() == "kept"


def test_name_that_looks_like_ours(node):
    """A container may be called as the files of another one might be that are put aside."""
    node.serve("web.old")
    node.exec("web.old", ["sh", "-c", "echo kept > /root/file"])
    node.serve("web")
    node.serve("web", hostname="another")
    assert node.exec("web.old", ["cat", "/root/file"])["stdout"].strip() == "kept"


def test_first_process_is_killed(node):
    node.serve("first")
    os.kill(state.read(node.paths.state("first"))["pid"], signal.SIGKILL)
    assert is_gone(lambda: state.read(node.paths.state("first"))["status"] == "stopped")
    assert state.read(node.paths.state("first"))["exit"] == {"code": 137, "signal": 9, "killed_by": ""}
    assert node.serve("first")["status"] == "running"


@pytest.mark.parametrize(
    "options",
    [
        {"command": ["/does/not/exist"]},
        {"command": ["true"], "user": "nobody-of-that-name"},
        {"command": ["true"], "cwd": "/does/not/exist"},
        {"command": ["/etc/passwd"]},
        {"command": ["true"], "volumes": ["/etc/passwd:/etc"]},
        {"command": ["true"], "resources": {"pids": {"max": 1}}, "user": "0", "sysctls": {"net.ipv4.no_such_thing": 1}},
        {"command": ["sleep", "1000"], "resources": {"memory": {"max": "512K"}}},
    ],
)
def test_failed_start(node, options):
    """A start that fails says why and leaves nothing; of several containers it leaves none."""
    with pytest.raises(BulkheadError) as refused:
        node.converge({"name": "good", "command": ["sleep", "1000"]}, {"name": "bad", **options})
    assert not refused.value.undo_failures
    assert not groups() or not any(Path(group, name).exists() for group in groups() for name in ("good", "bad"))
    assert not list(Path(node.paths.states).glob("*"))
    assert not list(Path(node.paths.lib + "/containers").glob("*"))
    assert is_gone(lambda: not runtimes(node.prefix))


def test_failed_replacement(node):
    """When the new container cannot be started, the old one runs again, with its files and its limits."""
    node.serve("web", resources={"memory": {"max": "64M"}})
    node.exec("web", ["sh", "-c", "echo kept > /root/file"])
    with pytest.raises(BulkheadError, match="nope"):
        node.converge({"name": "web", "command": ["nope"]})
    assert node.exec("web", ["cat", "/root/file"])["stdout"] == "kept\n"
    assert node.converge({"name": "web", "command": ["sleep", "1000"], "resources": {"memory": {"max": "64M"}}})[0] == 0
