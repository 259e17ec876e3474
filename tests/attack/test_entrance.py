# SPDX-FileCopyrightText: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The file by which a container is entered at once: never into another process, and never where it needs a closer look."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import time
from pathlib import Path

import pytest
from ansible_collections.bulkhead.linux.plugins.module_utils._runtime import corefile
from ansible_collections.bulkhead.linux.plugins.module_utils._runtime.container import entrance, state

from .test_exec import environment, run

LOOK = "cat /proc/self/cgroup; grep -E '^(Cap|NoNew|Seccomp|Uid|Gid|Groups|Umask|Sig[IBC])' /proc/self/status; cat /proc/self/limits; env; pwd; id"


def entry(node, name="web"):
    return Path(node.paths.state(name)) / entrance.FILE


def name_supervisor(node, pid=0, start=0):
    """Have the shell of a connection take this process for the supervisor; by default the one that it is."""
    supervisor = node.life_record("web")["monitor"]
    _first, data = entry(node).read_bytes().split(b"\n", 1)
    line = "%d %d %s" % (pid or supervisor["pid"], start or supervisor["start"], os.__file__)
    entry(node).write_bytes(line.encode() + b"\n" + data)


def through_shell(node, *command, name="web", **options):
    """As the connection does it on a node."""
    script = corefile.on_node(name, [b"exec", name.encode(), b"--", *(word.encode() for word in command)], has_input="input" in options)
    given = {"input": None, **options}
    return subprocess.run(["/bin/sh", "-c", script], env=environment(node), capture_output=True, timeout=60, check=False, **given)


def test_it_is_entered_as_by_a_closer_look(node):
    node.serve("web", env={"KEPT": "1"}, cwd="/usr", capabilities={"drop": ["KILL"]})
    assert stat.S_IMODE(entry(node).stat().st_mode) == 0o600
    at_once = run(node, "web", "sh", "-c", LOOK)
    name_supervisor(node)
    by_shell = through_shell(node, "sh", "-c", LOOK, input=b"")
    entry(node).unlink()
    closer = run(node, "web", "sh", "-c", LOOK)
    assert at_once.stdout == closer.stdout == by_shell.stdout and b"KEPT=1" in closer.stdout and not closer.stderr


def test_shell_starts_one_interpreter_and_hands_on_streams_and_status(node):
    node.serve("web")
    name_supervisor(node)
    shutil.move(node.paths.core, node.paths.core + ".away")
    content = Path(node.paths.core + ".away").read_bytes()
    # The interpreter of the first line is not there: what is started is the supervisor's.
    Path(node.paths.core).write_bytes(b"#!/no/such/python -IS\n" + content.partition(b"\n")[2])
    ended = through_shell(node, "sh", "-c", "cat; echo error >&2; exit 9", input=b"\0 in\n")
    os.rename(node.paths.core + ".away", node.paths.core)
    assert (ended.stdout, ended.stderr) == (b"\0 in\n", b"error\n\nbulkhead-status:9\n")


def test_nothing_of_the_caller_is_seen_inside(node):
    node.serve("web")
    name_supervisor(node)
    os.environ["OF_THE_CALLER"] = "1"
    try:
        ended = through_shell(node, "sh", "-c", "env; ls /proc/self/fd | wc -l", input=b"")
    finally:
        del os.environ["OF_THE_CALLER"]
    assert b"CALLER" not in ended.stdout and b"BULKHEAD" not in ended.stdout and ended.stdout.endswith(b"\n4\n"), ended


@pytest.mark.parametrize("start", [1, 0])
def test_another_process_is_never_taken_for_the_supervisor(node, tmp_path, start):
    """Numbers of processes are used again: what has the number now may be of a program that somebody else chose."""
    node.serve("web")
    program = tmp_path / "sleep"
    shutil.copy("/bin/sleep", program)
    with subprocess.Popen([str(program), "100"]) as other:
        name_supervisor(node, other.pid, start or node.life_record("web")["monitor"]["start"])
        ended = through_shell(node, "echo", "in", input=b"")
        name_supervisor(node, (1 << 22) - 1, 1)
        gone = through_shell(node, "echo", "in", input=b"")
        other.kill()
    assert ended.stdout == gone.stdout == b"in\n"
    assert ended.stderr == gone.stderr == b"\nbulkhead-status:0\n"


@pytest.mark.parametrize("content", [b"", b"\n", b"1 1 /\n\0", b"x" * 100000, b"1 1 /\n" + b"\xfb" * 50])
def test_damaged_file_is_passed_over(node, content):
    node.serve("web")
    entry(node).write_bytes(content)
    assert run(node, "web", "echo", "in").stdout == through_shell(node, "echo", "in", input=b"").stdout == b"in\n"


def test_names_lead_nowhere_else(node):
    node.serve("web")
    for name in ("../containers/web", "web/../web", "./web"):
        ended = through_shell(node, "true", name=name, input=b"")
        assert ended.stderr.endswith(b"bulkhead-status:255\n") and b"name" in ended.stderr, ended


def test_after_a_restart_and_a_pause(node):
    node.serve("web")
    before = node.life_record("web")["pid"]
    node.converge({"name": "web", "command": ["sleep", "1000"], "state": "restarted"})
    now = entrance.read(node.paths.state("web"))
    assert now["pid"] == node.life_record("web")["pid"] != before
    assert run(node, "web", "echo", "in").stdout == b"in\n"
    node.converge({"name": "web", "state": "paused"})
    assert entrance.read(node.paths.state("web")) is None
    assert b"is paused" in run(node, "web", "true").stderr
    node.converge({"name": "web", "state": "stopped"})
    name_supervisor(node, os.getpid(), state.start_time(os.getpid()) + 1)
    ended = through_shell(node, "true", input=b"")
    assert b"does not run" in ended.stderr and ended.stderr.endswith(b"bulkhead-status:255\n")


def test_started_again_by_its_policy(node):
    node.serve("web", restart_policy="always")
    os.kill(node.life_record("web")["pid"], 9)
    deadline = time.monotonic() + 10
    while run(node, "web", "echo", "in").stdout != b"in\n" and time.monotonic() < deadline:
        time.sleep(0.1)
    assert entrance.read(node.paths.state("web"))["pid"] == node.life_record("web")["pid"]
