# SPDX-FileCopyrightText: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Drives the core on this machine's v2 hierarchy alone, as if there were no v1, and looks at what it does to real processes."""

from __future__ import annotations

import errno
import os
import signal
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

# Where Ansible finds the collection, Python finds it too.
sys.path += os.environ["ANSIBLE_COLLECTIONS_PATH"].split(":")

from ansible_collections.bulkhead.linux.plugins.module_utils._runtime import plan as plans
from ansible_collections.bulkhead.linux.plugins.module_utils._runtime.cgroup import devices, info
from ansible_collections.bulkhead.linux.plugins.module_utils._runtime.cgroup.group import parse_group
from ansible_collections.bulkhead.linux.plugins.module_utils._runtime.cgroup.host import Host
from ansible_collections.bulkhead.linux.plugins.module_utils._runtime.cgroup.planning import plan_groups
from ansible_collections.bulkhead.linux.plugins.module_utils._runtime.errors import BulkheadError, InvalidInput
from ansible_collections.bulkhead.linux.plugins.module_utils._runtime.kernel import bpf

TOP = "bh-test-v2"
HOST = Host([hierarchy for hierarchy in Host.observe().hierarchies if hierarchy.version == 2])
ROOT = HOST.hierarchies[0].path


def converge(*groups: dict[str, Any]) -> int:
    """Plan, apply, see that nothing is left to do; how many steps it took."""
    the_plan = plan_groups(HOST, [parse_group(group, HOST) for group in groups])
    plans.apply(the_plan)
    left = plan_groups(HOST, [parse_group(group, HOST) for group in groups]).writes()
    assert not left, left
    return len(the_plan)


def refused(says: str, *groups: dict[str, Any]) -> None:
    try:
        converge(*groups)
    except BulkheadError as error:
        assert says in str(error), str(error)
        return
    raise AssertionError("this was not refused: %s" % (groups,))


def held(path: str) -> str:
    with open("%s/%s/%s" % (ROOT, TOP, path)) as file:
        return file.read().rstrip("\n")


@contextmanager
def running(code: str) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        try:
            yield process
        finally:
            process.kill()


BUSY = """
import threading
print("ready", flush=True)
def busy():
    while True:
        pass
for _number in range(3):
    threading.Thread(target=busy, daemon=True).start()
busy()
"""
FORKS = """
import os, time
print("ready", flush=True)
os.close(1)
while True:
    if os.fork() == 0:
        time.sleep(0.05)
        os._exit(0)
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        pass
    time.sleep(0.001)
"""
OPENS = """
import os, sys
print("ready", flush=True)
for line in sys.stdin:
    path, flags = line.split()
    try:
        if path.startswith("mknod:"):
            os.mknod(path[6:], 0o20600, os.makedev(1, int(flags)))
        else:
            os.close(os.open(path, int(flags)))
        print("done", flush=True)
    except OSError as error:
        print(error.errno, flush=True)
"""


def freezing() -> None:
    """A frozen group stands still, all threads of it, and goes on when thawed."""
    with running(BUSY) as process:
        converge({"name": TOP + "/busy", "processes": [process.pid]})
        wait_for(lambda: len(os.listdir("/proc/%d/task" % process.pid)) == 4)
        assert places(process.pid) == {"0::/%s/busy" % TOP}, places(process.pid)
        assert converge({"name": TOP + "/busy", "frozen": True}) == 1
        assert "frozen 1" in held("busy/cgroup.events")
        assert info.describe(HOST, TOP + "/busy")["frozen"] is True
        used = time_of(process.pid)
        time.sleep(0.3)
        assert time_of(process.pid) == used
        assert converge({"name": TOP + "/busy", "frozen": False}) == 1
        wait_for(lambda: time_of(process.pid) > used)


def places(pid: int) -> set[str]:
    """In which groups the threads of a process are."""
    found = set()
    for thread in os.listdir("/proc/%d/task" % pid):
        with open("/proc/%d/task/%s/cgroup" % (pid, thread)) as file:
            found.add(file.read().splitlines()[-1])
    return found


def time_of(pid: int) -> int:
    with open("/proc/%d/stat" % pid) as file:
        fields = file.read().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline, "it never came"
        time.sleep(0.01)


def killing() -> None:
    """Removing with force kills what is there by cgroup.kill, also what is frozen and what forks; without force it is refused."""
    with running(BUSY) as one, running(FORKS) as other:
        for process in (one, other):
            threading.Thread(target=process.wait, daemon=True).start()
        converge({"name": TOP + "/kill", "processes": [one.pid]}, {"name": TOP + "/kill/deeper", "processes": [other.pid]})
        converge({"name": TOP + "/kill", "frozen": True})
        refused("cannot be removed: it holds", {"name": TOP + "/kill", "state": "absent"})
        assert converge({"name": TOP + "/kill", "state": "absent", "force": True}) == 3
        assert not os.path.exists("%s/%s/kill" % (ROOT, TOP))
        wait_for(lambda: one.poll() == other.poll() == -signal.SIGKILL)


def device_program() -> None:
    """The program lets through what the rules allow, is known again, is replaced when they change, and stays with others' programs."""
    null, zero = {"type": "c", "major": 1, "minor": 3}, {"type": "c", "major": 1, "minor": 5, "access": "r"}
    group = TOP + "/devices"
    place = "%s/%s" % (ROOT, group)

    def programs() -> list[str]:
        fd = os.open(place, os.O_RDONLY)
        try:
            return [name for _number, name in bpf.attached(fd)]
        finally:
            os.close(fd)

    with running(OPENS) as process:
        converge({"name": group, "processes": [process.pid]})

        def ask(path: str, flags: int) -> int:
            assert process.stdin is not None and process.stdout is not None
            process.stdin.write("%s %d\n" % (path, flags))
            process.stdin.flush()
            answer = process.stdout.readline().strip()
            return 0 if answer == "done" else int(answer)

        def answers() -> list[int]:
            return [
                ask("/dev/null", os.O_RDWR),
                ask("/dev/zero", os.O_RDONLY),
                ask("/dev/zero", os.O_WRONLY),
                ask("/dev/full", os.O_RDONLY),
                ask("/proc/self/stat", os.O_RDONLY),
            ]

        no = errno.EPERM
        assert answers() == [0, 0, 0, 0, 0]
        stranger = bpf.load_device_program(devices.program(devices.Policy(True)), "stranger")
        fd = os.open(place, os.O_RDONLY)
        bpf.attach(fd, stranger)
        os.close(fd)
        assert converge({"name": group, "devices": [null, zero]}) == 1
        assert answers() == [0, 0, no, no, 0]
        ours = devices.program_name(devices.parse_rules([null, zero]))
        assert sorted(programs()) == sorted(["stranger", ours]), programs()
        assert ask("mknod:/tmp/bh-test-v2-null", 3) == 0 and stat.S_ISCHR(os.stat("/tmp/bh-test-v2-null").st_mode)
        os.unlink("/tmp/bh-test-v2-null")
        assert ask("mknod:/tmp/bh-test-v2-zero", 5) == no
        # Everything but one device, which v1 could not show.
        assert converge({"name": group, "devices": [{"type": "a"}, {**zero, "access": "w", "allow": False}]}) == 1
        assert answers() == [0, 0, no, 0, 0]
        assert len(programs()) == 2
        assert converge({"name": group, "devices": []}) == 1
        assert answers() == [no, no, no, no, 0]
        # Undone, the earlier program is back.
        the_plan = plan_groups(HOST, [parse_group({"name": group, "devices": [null]}, HOST)])
        plans.apply(the_plan)
        assert answers() == [0, no, no, no, 0]
        assert plans.undo(the_plan.steps) == []
        assert answers() == [no, no, no, no, 0]
        assert converge({"name": group, "devices": []}) == 0
        assert info.describe(HOST, group)["limits"]["devices"] == ["program %s" % devices.program_name(devices.Policy())]


def controllers() -> None:
    """A controller that v1 has taken is not to be had here, and the error says where it is; hugetlb is, where the kernel has it."""
    for controller in ("memory", "pids"):
        if controller not in HOST.hierarchies[0].controllers:
            refused("needs the controller %r" % controller, {"name": TOP + "/x", controller: {"max": 4096}})
    if "hugetlb" not in HOST.hierarchies[0].controllers:
        print("SKIP: hugetlb is not in the v2 hierarchy of this machine")
        return
    converge({"name": TOP + "/huge/deep", "hugetlb": {"2MB": "5M"}})
    assert held("huge/deep/hugetlb.2MB.max") == str(4 << 20)
    assert "hugetlb" in held("huge/cgroup.subtree_control") and held("huge/deep/cgroup.subtree_control") == ""
    # A group with a process hands nothing down.
    with running(BUSY) as process:
        converge({"name": TOP + "/full", "processes": [process.pid]})
        refused("so hugetlb cannot be handed down", {"name": TOP + "/full/below", "hugetlb": {"2MB": "5M"}})
        assert not os.path.exists("%s/%s/full/below" % (ROOT, TOP))
        refused("so on cgroup v2 it may hold no processes", {"name": TOP + "/huge", "processes": [process.pid]})
        converge({"name": TOP + "/full", "state": "absent", "force": True})


def threaded() -> None:
    """A threaded group takes no whole process, and the error says so."""
    converge({"name": TOP + "/threaded/part"})
    with open("%s/%s/threaded/part/cgroup.type" % (ROOT, TOP), "w") as file:
        file.write("threaded")
    with running(BUSY) as process:
        refused("is of type 'threaded'", {"name": TOP + "/threaded/part", "processes": [process.pid]})


def many() -> None:
    """More processes than fit one read of the list are all moved, and all counted."""
    sleepers = []
    try:
        while sum(len("%d\n" % pid) for pid in sleepers) <= 4200:
            pid = os.fork()
            if pid == 0:
                signal.pause()
                os._exit(0)
            sleepers.append(pid)
        converge({"name": TOP + "/many", "processes": sleepers})
        assert len(held("many/cgroup.procs")) > 4096
        assert info.describe(HOST, TOP + "/many")["processes"] == sorted(sleepers)
        converge({"name": TOP + "/many", "state": "absent", "force": True})
    finally:
        for pid in sleepers:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
            os.waitpid(pid, 0)


if __name__ == "__main__":
    try:
        for part in (freezing, killing, device_program, controllers, threaded, many):
            began = time.monotonic()
            part()
            print("%s: as it should be (%.1f s)" % (part.__name__, time.monotonic() - began), flush=True)
    finally:
        try:
            converge({"name": TOP, "state": "absent", "force": True})
        except InvalidInput as error:
            sys.exit(str(error))
