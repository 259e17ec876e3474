# SPDX-FileCopyrightText: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Much input and much output: in pieces, within a limit, and without keeping anything else waiting."""

from __future__ import annotations

import os
import resource
import time
from pathlib import Path

import pytest
from ansible_collections.bulkhead.linux.plugins.module_utils._runtime.container import remote, state
from ansible_collections.bulkhead.linux.plugins.module_utils._runtime.errors import InvalidInput

MIB = 1 << 20


@pytest.mark.parametrize("buffer", [None, 64 << 10])
@pytest.mark.parametrize("size", [0, 1, 65536, 65537, 9 * MIB])
def test_input_of_any_size(node, monkeypatch, size, buffer):
    """Whatever a socket takes at once."""
    if buffer:
        monkeypatch.setattr(remote, "_BUFFER", buffer)
    node.serve("web")
    answer = node.exec("web", ["sh", "-c", "wc -c; cat > /dev/null"], stdin="x" * size)
    assert answer["rc"] == 0 and int(answer["stdout"]) == size


def test_input_and_output_at_the_same_time(node):
    """One waits for the other nowhere."""
    node.serve("web")
    text = "0123456789abcdef" * (MIB // 4)
    answer = node.exec("web", ["cat"], stdin=text, max_output="8M")
    assert answer["stdout"] == text and not answer["stdout_truncated"]


@pytest.mark.parametrize("script", ["exit 0", "exec <&-; sleep 0.5; exit 0", "head -c 10 > /dev/null"])
def test_input_that_nobody_reads(node, script):
    node.serve("web")
    assert node.exec("web", ["sh", "-c", script], stdin="x" * (3 * MIB))["rc"] == 0


def test_output_is_limited(node):
    """The end is kept, and that it is not all is told; the module's memory does not grow with it."""
    node.serve("web")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    answer = node.exec("web", ["sh", "-c", "head -c 100000000 /dev/zero | tr '\\0' x; echo end; echo error >&2"], max_output="1M")
    assert answer["stdout_truncated"] and not answer["stderr_truncated"]
    assert len(answer["stdout"]) == MIB and answer["stdout"].endswith("xend\n") and answer["stderr"] == "error\n"
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 40 << 10


def test_output_within_the_limit_is_whole(node):
    node.serve("web")
    answer = node.exec("web", ["sh", "-c", "head -c 40000000 /dev/zero | tr '\\0' x"], max_output=40000000)
    assert len(answer["stdout"]) == 40000000 and not answer["stdout_truncated"]


@pytest.mark.parametrize("size", ["-1", "lots", "1T"])
def test_limits_that_cannot_be(node, size):
    node.serve("web")
    with pytest.raises(InvalidInput, match="max_output"):
        node.exec("web", ["true"], max_output=size)


def test_time_is_up_also_for_one_that_writes_without_end(node):
    node.serve("web")
    began = time.monotonic()
    answer = node.exec("web", ["yes"], timeout=2, max_output="1K")
    assert answer["timed_out"] and time.monotonic() - began < 20


def test_output_of_a_job_is_limited(node):
    report = node.run("job", "head -c 300000 /dev/zero | tr '\\0' x; echo end")
    assert len(report["output"]) == 65536 and report["output_truncated"] and report["output"].endswith("xend\n")
    report = node.run("job", "head -c 300000 /dev/zero | tr '\\0' x; echo end", max_output="1M")
    assert len(report["output"]) == 300004 and not report["output_truncated"]


@pytest.mark.parametrize("log", [{}, {"path": "none"}, {"max_size": 65536}])
def test_flood_does_not_delay_a_stop(node, log):
    node.converge({"name": "web", "command": ["sh", "-c", "trap 'exit 3' TERM; yes & wait"], "log": log, "stop_timeout": 30, "init": True})
    time.sleep(2)
    began = time.monotonic()
    report = node.converge({"name": "web", "state": "stopped"})[1][0]
    assert time.monotonic() - began < 15 and report["exit"]["code"] == 3


def test_flood_of_one_does_not_delay_another(node):
    flood = {"name": "flood", "command": ["yes"], "resources": {"cpu": {"max": 0.2}}}
    node.converge(flood, {"name": "web", "command": ["sleep", "1000"], "restart_policy": "always"})
    record = state.read(node.paths.state("web"))
    os.kill(record["pid"], 9)
    deadline = time.monotonic() + 10
    while state.read(node.paths.state("web"))["pid"] in (0, record["pid"]):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    # While the log is rotated, there may be no file of its first name.
    assert any(file.stat().st_size for file in Path(node.paths.log).glob("flood.log*"))
