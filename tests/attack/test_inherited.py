# SPDX-FileCopyrightText: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What whoever runs Ansible has of priorities, limits and keys does not reach a container, nor a command that is added."""

from __future__ import annotations

import ctypes
import json
import os
import resource
import signal
import sys

import pytest
from ansible_collections.bulkhead.linux.plugins.module_utils._runtime.container import process

TELL = """
import json, os, resource
def text(path):
    return open(path).read().strip()
limits = {name: resource.getrlimit(getattr(resource, name)) for name in dir(resource) if name.startswith("RLIMIT_")}
status = dict(line.split(":", 1) for line in text("/proc/self/status").splitlines())
mask = os.umask(0)
print(json.dumps({
    "nice": os.getpriority(os.PRIO_PROCESS, 0), "policy": os.sched_getscheduler(0), "cpus": len(os.sched_getaffinity(0)),
    "oom_score_adj": text("/proc/self/oom_score_adj"), "umask": mask, "slack": text("/proc/self/timerslack_ns"),
    "personality": text("/proc/self/personality"), "ignored": int(status["SigIgn"], 16), "blocked": int(status["SigBlk"], 16),
    "coredump": text("/proc/self/coredump_filter"), "thp": status.get("THP_enabled", "1").strip(), "limits": limits,
}))
"""
# SCHED_BATCH, the idle class of I/O priorities, no address randomization.
_BATCH, _IDLE_IO, _NO_RANDOM = 3, 3 << 13, 0x0040000


def strange():
    """Give this process everything that a login or a job may have, and what a container must not get of it."""
    libc = ctypes.CDLL(None, use_errno=True)
    os.nice(7)
    os.sched_setscheduler(0, _BATCH, os.sched_param(0))
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    with open("/proc/self/oom_score_adj", "w", encoding="ascii") as file:
        file.write("500")
    with open("/proc/self/coredump_filter", "w", encoding="ascii") as file:
        file.write("0x7f")
    os.umask(0o077)
    libc.prctl(29, ctypes.c_ulong(5000000), 0, 0, 0)
    libc.personality(ctypes.c_ulong(_NO_RANDOM))
    libc.syscall(ctypes.c_long(251), 1, 0, _IDLE_IO)
    libc.prctl(41, ctypes.c_ulong(1), 0, 0, 0)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, 4096))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_MEMLOCK, (65536, 65536))
    resource.setrlimit(resource.RLIMIT_CPU, (3600, 3600))


def in_strange_process(work):
    """Return what the work returns when a process that is strange does it."""
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            os.close(read)
            strange()
            os.write(write, json.dumps(work()).encode())
            code = 0
        finally:
            os._exit(code)
    os.close(write)
    with os.fdopen(read, "rb") as pipe:
        text = pipe.read()
    assert os.waitpid(pid, 0)[1] == 0
    return json.loads(text)


def may_raise_limits():
    """Whether this process has CAP_SYS_RESOURCE, without which hard limits stay where they were put."""
    with open("/proc/self/status", encoding="ascii") as file:
        effective = next(int(line.split()[1], 16) for line in file if line.startswith("CapEff"))
    return bool(effective >> 24 & 1)


def judge(seen):
    assert seen["nice"] == 0 and seen["policy"] == 0, seen
    assert seen["cpus"] == len(os.sched_getaffinity(0)), seen
    assert seen["oom_score_adj"] == "0" and seen["umask"] == 0o022, seen
    assert seen["slack"] in ("50000", "0") and int(seen["personality"], 16) == 0, seen
    assert seen["ignored"] & ~(1 << 12 | 1 << 24) == 0 and seen["blocked"] == 0, seen  # Python's own: SIGPIPE, SIGXFSZ
    assert int(seen["coredump"], 16) == 0x33 and seen["thp"] == "1", seen
    if not may_raise_limits():
        return
    for name, (soft, hard) in process.DEFAULT_LIMITS.items():
        assert seen["limits"]["RLIMIT_" + name.upper()] == [soft, hard], name


@pytest.fixture
def tell(share):
    (share / "tell.py").write_text(TELL, encoding="utf-8")
    return {"volumes": ["%s:/x" % share]}


def test_defaults_of_a_container(node, tell):
    node.names.add("strange")
    command = ["python3", "/x/tell.py"]
    judge(json.loads(in_strange_process(lambda: node.run("strange", command, **tell))["output"]))


def test_defaults_of_an_added_command(node, tell):
    node.serve("plain", **tell)
    judge(json.loads(in_strange_process(lambda: node.exec("plain", ["python3", "/x/tell.py"]))["stdout"]))


KEYS = """
import ctypes, sys
libc = ctypes.CDLL(None, use_errno=True)
def keyctl(*arguments):
    return libc.syscall(ctypes.c_long(250), *arguments)
for keyring in (-3, -5):
    found = keyctl(10, keyring, b"user", b"bulkhead-attack", 0)
    print("GOT" if found >= 0 else "no key", ctypes.get_errno())
if len(sys.argv) > 1:
    print("joined", keyctl(1, sys.argv[1].encode(), 0, 0, 0))
    found = keyctl(10, -3, b"user", b"bulkhead-attack", 0)
    print("GOT" if found >= 0 else "no key", ctypes.get_errno())
"""


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="the numbers of the system calls are those of x86_64")
def test_keys_of_the_caller(node, share, tmp_path):
    """A key in the session keyring of whoever runs this is found neither by a container nor by a command that is added.

    And a session keyring cannot be joined by its name: another container could have made it first, or read what is in it.
    """
    (share / "keys.py").write_text(KEYS, encoding="utf-8")
    options = {"volumes": ["%s:/x" % share], "seccomp": "unconfined"}  # which refuses keyctl(2)

    def work():
        libc = ctypes.CDLL(None, use_errno=True)
        assert libc.syscall(ctypes.c_long(250), 1, b"bulkhead-attack-session", 0, 0, 0) >= 0
        assert libc.syscall(ctypes.c_long(248), b"user", b"bulkhead-attack", b"secret", 6, -3) >= 0
        node.serve("holder", **options)
        added = node.exec("holder", ["python3", "/x/keys.py", "bulkhead.holder"])["stdout"]
        job = node.run("job", ["python3", "/x/keys.py", "bulkhead.holder"], **options)["output"]
        return [added, job]

    node.names |= {"holder", "job"}
    for text in in_strange_process(work):
        assert "GOT" not in text and "no key" in text, text


def test_session_is_not_that_of_the_caller(node):
    """Ending the session, or the control group, of whoever runs this ends no container."""
    started = in_strange_process(lambda: node.serve("stays"))
    node.names.add("stays")
    with open("/proc/%d/stat" % started["pid"], encoding="ascii") as file:
        session = int(file.read().rpartition(")")[2].split()[3])
    assert session not in (os.getsid(0), 0), sys.argv
