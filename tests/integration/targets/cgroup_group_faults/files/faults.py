# SPDX-FileCopyrightText: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""All or nothing, on the machine's own kernel: faults.py refuse|kill [SEED]

refuse: for each kernel write of a plan, run the module with exactly that system call failing (strace -e inject), and see
that every limit, process and directory is as before, that the error names the step, and that the next run converges.

kill: end the module with SIGKILL at random moments, and see that the next run converges and leaves nothing behind.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import time

TOP = "bh-test-faults"
ROOT = "/sys/fs/cgroup"
# The module, run as it runs on a node, with its arguments from standard input.
RUN = """
import sys
from ansible.module_utils import basic
basic._ANSIBLE_ARGS, basic._ANSIBLE_PROFILE = sys.stdin.buffer.read(), "legacy"
from ansible_collections.bulkhead.linux.plugins.modules import cgroup_group
cgroup_group.main()
"""
# Writable files that count or act and are no settings.
NOT_SETTINGS = re.compile(
    r".*(usage|failcnt|peak|pressure|reset|force_empty|reclaim|event_control|numa|stat|max_usage|devices\.(allow|deny)|kill|kmem).*|tasks|cgroup\.threads"
)


class Machine:
    """The module under test, and the state that it must keep whole."""

    def __init__(self, node: str) -> None:
        desired = node + "/desired.d"
        os.mkdir(desired)
        self.environment = dict(os.environ, BULKHEAD_PREFIX=node, BULKHEAD_DESIRED=desired, PYTHONDONTWRITEBYTECODE="1")
        collections, found, _rest = os.path.abspath(__file__).partition("/ansible_collections/")
        if found:
            self.environment["PYTHONPATH"] = collections
        self.desired = desired

    def rescue(self) -> None:
        """Bring the process that the plans move back to the roots, so that one lives through all of them."""
        for hierarchy in os.listdir(ROOT):
            for directory, _names, _files in os.walk("%s/%s/%s" % (ROOT, hierarchy, TOP)):
                if os.path.exists(directory + "/freezer.state"):
                    with open(directory + "/freezer.state", "w") as file:
                        file.write("THAWED")
                with open(directory + "/cgroup.procs") as file:
                    inside = file.read().split()
                for pid in inside:
                    with open("%s/%s/cgroup.procs" % (ROOT, hierarchy), "w") as file:
                        file.write(pid)

    def command(self, groups: list[dict], before: list[str]) -> tuple[list[str], bytes]:
        arguments = json.dumps({"ANSIBLE_MODULE_ARGS": {"groups": groups}}).encode()
        return [*before, sys.executable, "-c", RUN], arguments

    def run(self, groups: list[dict], *before: str) -> dict:
        command, arguments = self.command(groups, list(before))
        done = subprocess.run(command, input=arguments, capture_output=True, env=self.environment, check=False)
        try:
            return json.loads(done.stdout)
        except ValueError:
            raise SystemExit("the module said no JSON: %r %r" % (done.stdout, done.stderr)) from None

    def snapshot(self) -> dict[str, str]:
        """Every setting and every process below our groups, in every hierarchy, and what is kept for the next boot."""
        found = {}
        for hierarchy in sorted(os.listdir(ROOT)):
            for directory, _names, files in os.walk("%s/%s/%s" % (ROOT, hierarchy, TOP)):
                found[directory] = "directory"
                for name in files:
                    path = directory + "/" + name
                    mode = os.stat(path).st_mode
                    if (mode & 0o600 == 0o600 and not NOT_SETTINGS.fullmatch(name)) or name in ("devices.list", "cgroup.procs"):
                        try:
                            with open(path) as file:
                                found[path] = file.read()
                        except OSError as error:
                            found[path] = str(error.errno)
        for name in os.listdir(self.desired):
            with open(self.desired + "/" + name) as file:
                found[self.desired + "/" + name] = file.read()
        with open(ROOT + "/unified/cgroup.subtree_control") as file:
            found["root"] = file.read()
        return found

    def remove(self) -> None:
        self.rescue()
        gone = self.run([{"name": TOP, "state": "absent"}])
        if gone.get("failed"):
            raise SystemExit("the groups could not be removed: %s" % gone["msg"])

    def begin(self, groups: list[dict]) -> None:
        """Only these groups are there."""
        self.remove()
        if groups and self.run(groups).get("failed"):
            raise SystemExit("the groups to begin with could not be made")


def difference(before: dict[str, str], after: dict[str, str]) -> list[str]:
    paths = sorted(set(before) | set(after))
    return ["%s: %r became %r" % (path, before.get(path), after.get(path)) for path in paths if before.get(path) != after.get(path)]


def kernel_writes(machine: Machine, groups: list[dict]) -> list[tuple[str, int, str]]:
    """(system call, its number among those of the same name, what it touched) of each write of a run that succeeds."""
    with tempfile.NamedTemporaryFile("r") as trace:
        names = ["write", "mkdirat", "unlinkat", "rename", "renameat"]
        done = machine.run(groups, "strace", "-f", "-y", "-qq", "-s", "200", "-e", "signal=none", "-e", "trace=" + ",".join(names), "-o", trace.name)
        if done.get("failed") or not done["changed"]:
            raise SystemExit("the plan that is to be broken does not run: %s" % done)
        counts = dict.fromkeys(names, 0)
        found = []
        for line in trace.read().splitlines():
            match = re.match(r"\d+ +(\w+)\((.*)", line)
            if not match or match.group(1) not in counts:
                continue
            counts[match.group(1)] += 1
            if re.match(r'(?:\d+<|")(?:%s|%s)' % (ROOT, machine.desired), match.group(2)):
                found.append((match.group(1), counts[match.group(1)], match.group(2)[:120]))
    return found


def plans(sleeper: int) -> dict[str, tuple[list[dict], list[dict]]]:
    """{what: (groups that are there before, groups that are asked for)}."""
    a, b = TOP + "/a", TOP + "/a/b"
    limits = {"memory": {"max": "64M", "low": "8M"}, "cpu": {"max": 0.5, "weight": 200}, "pids": {"max": 50}}
    return {
        "making": (
            [],
            [
                {"name": a, **limits, "cpuset": {"cpus": "0"}, "hugetlb": {"2MB": "4M"}},
                {"name": b, "memory": {"max": "32M"}, "pids": {"max": 20}, "processes": [sleeper], "frozen": True, "devices": [{"type": "c", "major": 1}]},
            ],
        ),
        "changing": (
            [{"name": a, **limits}, {"name": b, "memory": {"max": "32M", "swap_max": "16M"}, "cpu": {"max": 0.4}, "pids": {"max": 20}}],
            [
                {"name": a, "memory": {"max": "48M", "low": "16M"}, "cpu": {"max": "60ms 200ms", "weight": 100}, "pids": {"max": 30}},
                {"name": b, "memory": {"max": "40M"}, "cpu": {"max": 0.2}, "pids": {"max": 25}, "files": {"memory.swappiness": 10}},
            ],
        ),
        "removing": (
            [{"name": a, **limits}, {"name": b, "memory": {"max": "32M", "swap_max": "16M"}, "cpu": {"max": 0.4}, "pids": {"max": 20}}],
            [{"name": TOP, "state": "absent"}],
        ),
    }


def refuse(machine: Machine, sleeper: int) -> None:
    # The first run of a version leaves the core behind; those that are compared find it there.
    machine.begin([{"name": TOP}])
    for what, (before, asked) in plans(sleeper).items():
        machine.begin(before)
        writes = kernel_writes(machine, asked)
        if len(writes) < 8:
            raise SystemExit("%s: a plan of %d writes is too short to show anything" % (what, len(writes)))
        for call, number, touched in writes:
            machine.begin(before)
            held = machine.snapshot()
            inject = "inject=%s:error=EIO:when=%d" % (call, number)
            broken = machine.run(asked, "strace", "-f", "-qq", "-o", "/dev/null", "-e", "trace=" + call, "-e", inject)
            where = "%s, with %s(%s) refused" % (what, call, touched)
            if not broken.get("failed") or broken.get("error", {}).get("errno") != "EIO":
                raise SystemExit("%s: the module did not fail with EIO: %s" % (where, broken))
            if broken["error"]["undo_failures"]:
                raise SystemExit("%s: could not undo %s" % (where, broken["error"]["undo_failures"]))
            changed = difference(held, machine.snapshot())
            if changed:
                raise SystemExit("%s: not everything was put back: %s" % (where, changed))
            if machine.run(asked).get("failed"):
                raise SystemExit("%s: the next run does not converge" % where)
            again = machine.run(asked)
            if again["changed"]:
                raise SystemExit("%s: the run after the next still changes something: %s" % (where, again["writes"]))
        print("%s: %d writes, each refused once; state restored and converged %d times" % (what, len(writes), len(writes)))


def kill(machine: Machine, sleeper: int, seed: int) -> None:
    moments = random.Random(seed)
    _before, asked = plans(sleeper)["making"]
    # The first run of a version leaves the core behind, which takes longer: those that are killed, and measured, find it there.
    machine.begin([{"name": TOP}])
    machine.remove()
    began = time.monotonic()
    machine.run(asked)
    length = time.monotonic() - began
    whole = sorted(path for path in machine.snapshot())
    reached = 0
    for number in range(50):
        machine.remove()
        command, arguments = machine.command(asked, [])
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=machine.environment) as process:
            process.stdin.write(arguments)
            process.stdin.close()
            # Most of a run is Python getting up: aim at its second half.
            time.sleep(length * moments.uniform(0.5, 1.0))
            os.kill(process.pid, signal.SIGKILL)
        reached += bool(difference({}, machine.snapshot()) and sorted(machine.snapshot()) != whole)
        if machine.run(asked).get("failed"):
            raise SystemExit("seed %d, kill %d: the next run does not converge" % (seed, number))
        if machine.run(asked)["changed"]:
            raise SystemExit("seed %d, kill %d: the run after the next still changes something" % (seed, number))
        if sorted(machine.snapshot()) != whole:
            raise SystemExit("seed %d, kill %d: not what a whole run leaves" % (seed, number))
    if reached < 5:
        raise SystemExit("seed %d: only %d of 50 kills came half way: that shows too little" % (seed, reached))
    print("seed %d: killed 50 times, %d of them half way; the next run converged each time" % (seed, reached))


def main() -> None:
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else random.randrange(1 << 32)
    with tempfile.TemporaryDirectory() as node, contextlib.ExitStack() as last:
        machine = Machine(node)
        sleeper = last.enter_context(subprocess.Popen(["sleep", "infinity"]))
        last.callback(sleeper.kill)
        last.callback(machine.remove)
        if sys.argv[1] == "refuse":
            refuse(machine, sleeper.pid)
        else:
            kill(machine, sleeper.pid, seed)


main()
