# SPDX-FileCopyrightText: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The small first process of a container: it ends when it is told to, and gives nothing away."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest
from ansible_collections.bulkhead.linux.plugins.module_utils._runtime.container import state
from ansible_collections.bulkhead.linux.plugins.module_utils._runtime.errors import BulkheadError

from .conftest import is_gone

# Writes to the program of the first process in whatever way it can be named.
WRITE = """
import os
for how in (os.O_WRONLY, os.O_RDWR, os.O_WRONLY | os.O_TRUNC):
    try:
        os.write(os.open("/proc/1/exe", how), b"x")
        print("WRITTEN")
    except OSError as error:
        print(error.errno)
print(os.readlink("/proc/1/exe"), sorted(os.listdir("/proc/1/fd")))
print(open("/proc/1/environ").read() or "no environment")
"""

# Looks for a text in all that the first process has in memory.
READ = """
import sys
found = size = 0
with open("/proc/1/mem", "rb", 0) as memory:
    for line in open("/proc/1/maps"):
        start, end = (int(part, 16) for part in line.split()[0].split("-"))
        try:
            memory.seek(start)
            data = memory.read(end - start)
        except (OSError, ValueError, OverflowError):
            continue
        size += len(data)
        found += data.count(sys.argv[1].encode()[::-1])
print(found, size)
"""


@pytest.mark.parametrize("command", [["sh", "-c", "sleep 1000; true"], ["sleep", "1000"], ["python3", "-m", "http.server", "8080"]])
@pytest.mark.parametrize("user", ["0", "65534"])
def test_ends_at_once(node, command, user):
    report = node.converge({"name": "web", "command": command, "init": True, "stop_timeout": 60, "user": user})[1][0]
    assert Path("/proc/%d/comm" % report["pid"]).read_text(encoding="utf-8") == "init\n"
    time.sleep(1)
    began = time.monotonic()
    stopped = node.converge({"name": "web", "state": "stopped"})[1][0]
    assert time.monotonic() - began < 10
    assert stopped["exit"] == {"code": 143, "signal": 15, "killed_by": ""}


def test_reaps_orphans(node):
    node.converge({"name": "web", "command": ["sh", "-c", "exec sleep 1000"], "init": True})
    node.exec("web", ["sh", "-c", "for i in 1 2 3 4 5; do (sleep 0.1 &) ; done"])
    count = "cat /proc/[0-9]*/stat | grep -c ') Z '"
    assert is_gone(lambda: node.exec("web", ["sh", "-c", count])["stdout"] == "0\n")


def test_gives_nothing_away(node, share):
    (share / "write.py").write_text(WRITE, encoding="utf-8")
    (share / "read.py").write_text(READ, encoding="utf-8")
    secret = "the-secret-of-another-container"
    node.converge(
        {"name": "other", "command": ["sleep", "1000"], "env": {"SECRET": secret}},
        {"name": "web", "command": ["sleep", "1000"], "init": True, "volumes": ["%s:/x" % share], "capabilities": {"add": ["SYS_PTRACE"]}},
    )
    lines = node.exec("web", ["python3", "/x/write.py"])["stdout"].splitlines()
    assert "WRITTEN" not in lines and lines[3] == "/memfd:init (deleted) ['0', '1', '2']" and lines[4] == "no environment", lines
    found, size = map(int, node.exec("web", ["python3", "/x/read.py", secret[::-1]])["stdout"].split())
    assert found == 0 and 4096 <= size <= 1 << 20


def test_has_the_rights_of_the_command(node):
    node.converge({"name": "web", "command": ["sleep", "1000"], "init": True, "user": "65534", "capabilities": {"drop": ["ALL"]}})
    record = state.read(node.paths.state("web"))
    child = Path("/proc/%d/task/%d/children" % (record["pid"], record["pid"])).read_text(encoding="ascii").split()[0]
    kept = ("Uid", "Gid", "Groups", "Cap", "NoNewPrivs", "Seccomp")
    rights = [
        [line for line in Path("/proc/%s/status" % pid).read_text(encoding="utf-8").splitlines() if line.startswith(kept)] for pid in (record["pid"], child)
    ]
    assert rights[0] == rights[1]
    status = Path("/proc/%d/status" % record["pid"]).read_text(encoding="utf-8")
    assert int(status.partition("VmRSS:")[2].split()[0]) <= 64


@pytest.mark.parametrize("command", [["/no/such/program"], ["/etc/passwd"]])
def test_command_that_cannot_be_is_told(node, command):
    with pytest.raises(BulkheadError, match=command[0]):
        node.converge({"name": "web", "command": command, "init": True})
    assert not Path(node.paths.state("web")).exists()


def test_ends_with_its_supervisor(node):
    node.converge({"name": "web", "command": ["sh", "-c", "trap '' TERM HUP; sleep 1000"], "init": True})
    record = state.read(node.paths.state("web"))
    os.kill(record["monitor"]["pid"], signal.SIGKILL)
    assert is_gone(lambda: not state.start_time(record["pid"]))


def test_want_of_memory_is_told(node):
    report = node.run("web", ["python3", "-c", "x = bytearray(200 << 20)"], init=True, resources={"memory": {"max": "32M"}})
    assert report["exit"] == {"code": 137, "signal": 9, "killed_by": "memory"}
