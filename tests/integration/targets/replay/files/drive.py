# SPDX-FileCopyrightText: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Drives the command `bulkhead` of a node: drive.py [DIRECTORY WITH writes.py]

The node is below BULKHEAD_PREFIX. Without an argument: see that nothing is kept and nothing is managed any more.
"""

from __future__ import annotations

import glob
import json
import os
import shutil
import signal
import subprocess
import sys
import time

NODE = os.environ["BULKHEAD_PREFIX"]
DESIRED = NODE + "/etc/bulkhead/desired.d"
COMMAND = NODE + "/usr/local/bin/bulkhead"
GROUP = "bh-test-replay"
GROUPS_FILE = DESIRED + "/cgroup_group.json"


def bulkhead(verb: str, status: int, *before: str) -> tuple[dict, str]:
    """Run a verb that must end with this status; what it says as data, and in words."""
    done = subprocess.run([*before, COMMAND, verb, "--json"], capture_output=True, text=True, check=False)
    if done.returncode != status:
        raise SystemExit("bulkhead %s ended with %d, not %d: %s%s" % (verb, done.returncode, status, done.stdout, done.stderr))
    return json.loads(done.stdout) if done.stdout else {}, done.stderr


def check(condition: object, why: object) -> None:
    if not condition:
        raise SystemExit("line %d: %s" % (sys._getframe(1).f_lineno, why))


def files(name: str) -> list[str]:
    """An interface file or directory of our groups, in every hierarchy that has it."""
    return sorted(glob.glob("/sys/fs/cgroup/*/%s/%s" % (GROUP, name)) + glob.glob("/sys/fs/cgroup/%s/%s" % (GROUP, name)))


def read(path: str) -> str:
    with open(path) as file:
        return file.read().strip()


def write(path: str, text: str) -> None:
    with open(path, "w") as file:
        file.write(text)


def containers() -> dict[str, dict]:
    found, _words = bulkhead("status", 0)
    return {one["name"]: one for one in found["kinds"]["container_run"]}


def heal(expect: int = 0) -> dict:
    report, _words = bulkhead("replay", expect)
    return report


def nothing_drifts() -> None:
    found, _words = bulkhead("drift", 0)
    check(found == {"drift": [], "failures": []}, found)
    shown = containers()
    check(shown["bh-replay-on"]["in_effect"] and shown["bh-replay-on"]["actual"]["status"] == "running", shown)
    check(shown["bh-replay-off"]["in_effect"] and shown["bh-replay-off"]["actual"]["status"] == "stopped", shown)
    check("ended by itself, with status 3" in shown["bh-replay-once"]["left_alone"], shown)
    check(shown["bh-replay-job"]["kept"] is False, "the job is there and does not come back: %s" % shown)


def kill_monitor(name: str) -> None:
    """The container dies with it, and nobody writes down how."""
    record = json.loads(read("%s/run/bulkhead/containers/%s/state.json" % (NODE, name)))
    if record["status"] != "running":
        return
    os.kill(record["monitor"]["pid"], signal.SIGKILL)
    deadline = time.monotonic() + 10
    while os.path.exists("/proc/%d" % record["pid"]):
        check(time.monotonic() < deadline, "the container outlives its monitor")
        time.sleep(0.02)


def by_hand() -> None:
    """What is changed behind our back is drift, in the words of the kernel, and healed."""
    for path in files("a/below") + files("a"):
        if path.endswith("/below") and os.path.exists(path + "/freezer.state"):
            write(path + "/freezer.state", "THAWED")
        os.rmdir(path)
    quota = next(path for path in files("b/cpu.cfs_quota_us") + files("b/cpu.max"))
    was = read(quota)
    write(quota, "70000" if quota.endswith("us") else "70000 100000")
    found, _words = bulkhead("drift", 1)
    drift = {entry["target"]: entry for entry in found["drift"]}
    check(drift[quota]["before"].split()[0] == "70000" and drift[quota]["after"].split()[0] == "50000", drift)
    check(drift[quota]["name"] == GROUP + "/b", drift[quota])
    limits = [entry for target, entry in drift.items() if target.endswith("%s/a/below/pids.max" % GROUP)]
    check([(entry["before"], entry["after"], entry["name"]) for entry in limits] == [(None, "40", GROUP + "/a/below")], drift)
    check(found["failures"] == [], found)
    heal()
    check(read(quota) == was, read(quota))
    check([read(path) for path in files("a/pids.max") + files("a/below/pids.max")] == ["100", "40"], "the limits are back")
    nothing_drifts()
    print("a group removed and a limit changed by hand: %d differences told, healed" % len(drift))


def killed() -> None:
    """A container whose monitor was killed is drift and healed; one that was stopped by a module stays so."""
    kill_monitor("bh-replay-on")
    found, _words = bulkhead("drift", 1)
    check({entry["name"] for entry in found["drift"]} == {"bh-replay-on"}, found)
    heal()
    nothing_drifts()
    print("a container whose monitor was killed: drift, healed")


def silent(library: str) -> None:
    """A replay that finds all in place writes its report and nothing else."""
    sys.path.insert(0, library)
    import writes

    writes.WATCHED += (NODE,)
    trace = NODE + ".trace"
    calls = sorted(writes.OPENS | writes.NAMES | writes.DESCRIPTORS | writes.MOUNTS | {"bpf"})
    heal_under = ["strace", "-f", "-y", "-s", "200", "-qq", "-o", trace, "-e", "trace=" + ",".join(calls)]
    report, _words = bulkhead("replay", 0, *heal_under)
    check(sum(kind["changes"] for kind in report["kinds"].values()) == 0, report)
    lines = read(trace).splitlines()
    own = (NODE + "/run/bulkhead/replay.json", NODE + "/run/bulkhead/.replay.json.new")
    wrote = [line for line in lines if writes.is_write(line) and not any(path in line for path in own)]
    check(len(lines) > 100 and any(own[0] in line for line in lines), "the trace shows a whole run")
    # The descriptor of /run/bulkhead is synchronised, which is none of these calls; nothing else may be there.
    check([line for line in wrote if "mkdir" not in line or "EEXIST" not in line] == [], "\n".join(wrote))
    os.unlink(trace)
    print("a replay with nothing to do: no write in %d system calls that could be one" % len(lines))


def hostile() -> None:
    """A file that may be another's, is cut short, or is of no kind known is named and skipped, and stops no other."""
    whole = read(GROUPS_FILE) + "\n"

    def expect(what: str) -> None:
        for path in files("b"):
            os.rmdir(path)
        kill_monitor("bh-replay-on")
        report, words = bulkhead("replay", 2)
        problems = [failure["problem"] for failure in report["failures"]]
        check(len(problems) == 1 and what in problems[0], problems)
        check(what in words, words)
        check(files("b") == [], "what the file asks for was done")
        for verb in ("drift", "status"):
            _found, words = bulkhead(verb, 2)
            check(what in words, words)

    seen = []
    for mode in (0o666, 0o620):
        os.chmod(GROUPS_FILE, mode)
        expect("others may write to it (mode %04o)" % mode)
        seen.append("mode %04o" % mode)
        os.chmod(GROUPS_FILE, 0o600)
        heal()
    os.chown(GROUPS_FILE, 65534, 0)
    expect("it belongs to user 65534")
    os.chown(GROUPS_FILE, 0, 0)
    heal()
    write(GROUPS_FILE, whole[: len(whole) // 2])
    expect("cannot be read as desired state")
    os.rename(GROUPS_FILE, NODE + "/moved")
    os.symlink(NODE + "/moved", GROUPS_FILE)
    write(NODE + "/moved", whole)
    expect("it is a symbolic link")
    os.unlink(GROUPS_FILE)
    os.mkfifo(GROUPS_FILE)
    expect("it is not an ordinary file")
    os.unlink(GROUPS_FILE)
    write(GROUPS_FILE, whole)
    os.chmod(GROUPS_FILE, 0o600)
    write(DESIRED + "/wings.json", whole)
    report, words = bulkhead("replay", 2)
    check("wings" in words and "no such kind" in words, words)
    check(files("b") != [], "the groups came back beside it")
    os.unlink(DESIRED + "/wings.json")
    heal()
    os.chmod(DESIRED, 0o777)
    for path in files("b"):
        os.rmdir(path)
    report, words = bulkhead("replay", 2)
    check("%s is not trusted" % DESIRED in words and report["kinds"] == {} and files("b") == [], words)
    os.chmod(DESIRED, 0o755)
    heal()
    nothing_drifts()
    seen += ["another's", "cut short", "link", "fifo", "unknown", "directory"]
    print("files that are not to be trusted: named, skipped, and the others replayed (%s)" % ", ".join(seen))


def one_by_one() -> None:
    """Objects that cannot be had here do not stop the others of their kind."""
    whole = read(GROUPS_FILE)
    content = json.loads(whole)
    content["objects"][GROUP + "/odd"] = {"memory": {"max": "12 parsecs"}}
    content["objects"][GROUP + "/disk"] = {"io": {"max": [{"device": "/dev/bh-no-such-disk", "rbps": "1M"}]}}
    content["objects"][GROUP + "/type"] = {"memory": "all of it"}
    content["objects"]["../escape"] = {"pids": {"max": 1}}
    # This one can be planned, and the kernel refuses it: a file that is there and takes no such value.
    content["objects"][GROUP + "/refused"] = {"files": {"cpu.shares" if files("b/cpu.shares") else "cpu.max": "nonsense"}, "pids": {"max": 7}}
    write(GROUPS_FILE, json.dumps(content))
    for path in files("b"):
        os.rmdir(path)
    report = heal(2)
    failed = {failure["name"] for failure in report["failures"]}
    check(failed == {GROUP + "/odd", GROUP + "/disk", GROUP + "/type", "../escape", GROUP + "/refused"}, report["failures"])
    check(files("b") != [] and files("odd") == [] and files("refused") == [], "all that can be had is there, and nothing half")
    write(GROUPS_FILE, whole + "\n")
    nothing_drifts()
    print("five bad objects: each named, nothing of them made, the others replayed")


def reboot() -> None:
    """As after a reboot: no processes, no groups, no live state."""
    for name in containers():
        kill_monitor(name)
    for path in sorted(files("**") + files("*/*") + files("*"), key=len, reverse=True):
        if os.path.isdir(path):
            if os.path.exists(path + "/freezer.state"):
                write(path + "/freezer.state", "THAWED")
            for inner in ("payload", "supervisor"):
                if os.path.isdir(path + "/" + inner):
                    os.rmdir(path + "/" + inner)
            os.rmdir(path)
    for path in files(""):
        os.rmdir(path)
    shutil.rmtree(NODE + "/run")
    report = heal()
    check(report["kinds"]["cgroup_group"]["changes"] > 8, report)
    found, _words = bulkhead("drift", 0)
    check(found == {"drift": [], "failures": []}, found)
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        after = containers()
        if after["bh-replay-once"]["left_alone"]:
            break
        time.sleep(0.1)
    check(after["bh-replay-on"]["actual"]["status"] == "running", after)
    check(after["bh-replay-off"]["actual"]["status"] == "absent" and after["bh-replay-off"]["in_effect"], after)
    check("status 3" in after["bh-replay-once"]["left_alone"], "what is to be started was: %s" % after)
    check("bh-replay-job" not in after, "a job does not come back: %s" % after)
    print("as after a reboot: groups and containers are back, what was stopped stays so, the job does not run again")


def gone() -> None:
    check(not os.path.isdir(DESIRED) or os.listdir(DESIRED) == [], "something is still kept")
    check(files("") == [], "groups are left")
    found, _words = bulkhead("status", 0)
    check(found["kinds"] == {}, found)


def main() -> None:
    if len(sys.argv) == 1:
        gone()
        return
    nothing_drifts()
    silent(sys.argv[1])
    by_hand()
    killed()
    hostile()
    one_by_one()
    reboot()


main()
