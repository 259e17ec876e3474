# SPDX-FileCopyrightText: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is kept survives real reboots and power cuts, comes back when a CPU or disk does, and differences are seen.

One node for each way of control groups, both at a time: v2 with modules and the role, as users have it; hybrid, where CPUs take
cpusets with them, with the same calls without Ansible, so that its power can be cut in the middle of one. What systemd keeps by
itself, its units, goes through the same reboots: inside/test_systemd_boot.py, before and after.
"""

from __future__ import annotations

import concurrent.futures
import json
import random
import re
import time

import pytest
from nodes import plays
from nodes.node import Node

UNITS = "tests/lab/inside/test_systemd_boot.py"
DESIRED = "/etc/bulkhead/desired.d/cgroup_group.json"
# Everything that a boot must bring back, as the kernel shows it; the ids of processes and the times are another boot's.
LOOK = """
for d in /sys/fs/cgroup /sys/fs/cgroup/*; do for g in labgroup bhslice.slice bulkhead; do
  [ -d $d/$g ] && find $d/$g -type f \\( -name memory.max -o -name memory.limit_in_bytes -o -name pids.max -o -name cpu.max \\
    -o -name cpu.cfs_quota_us -o -name cpuset.cpus -o -name io.max -o -name blkio.throttle.read_bps_device -o -name cgroup.freeze -o -name freezer.state \\) \\
    -exec grep -H . {} + ; done; done | sort
for c in web own idle job; do
  echo $c $(grep -o '"status": "[a-z]*"' /run/bulkhead/containers/$c/state.json 2>/dev/null || echo nothing)
done
"""
# The units of role node had other names once: as they were left by that release, and what of them is there.
EARLIER = """
cd /etc/systemd/system
for end in service path; do cp /bulkhead/roles/node/files/bulkhead.$end bulkhead-replay.$end; done
systemctl daemon-reload; systemctl -q enable bulkhead-replay.service; systemctl -q enable --now bulkhead-replay.path
"""
LEFT_OF_EARLIER = "find /etc/systemd /run/systemd -name '*bulkhead-replay*'; systemctl list-units --all --plain --no-legend 'bulkhead-replay*'"

pytestmark = pytest.mark.turns("reboots")


def look(node: Node) -> str:
    # A job that is over, and what was stopped, have left a record in the boot in which they ran and none in the next.
    return re.sub(r"^(idle |job |\S*/bulkhead/job/).*\n", "", node.run(LOOK).stdout, flags=re.MULTILINE)


def runs(node: Node) -> int:
    """How often the unit has run in this boot."""
    said = node.run("systemctl is-system-running --wait >/dev/null; journalctl -b -u bulkhead.service -o cat").stdout
    return len(re.findall("^Finished|^Failed", said, re.MULTILINE))


def reboot_on_v2(node: Node) -> None:
    """The role and modules, a reboot, and all is as before; a group removed by hand is told and healed."""
    groups = [
        {"name": "labgroup/a", "manager": "cgroupfs", "memory": {"max": "64M"}, "pids": {"max": 100}},
        {"name": "labgroup/a/below", "manager": "cgroupfs", "pids": {"max": 40}, "frozen": True},
        {"name": "labgroup/b", "manager": "cgroupfs", "cpu": {"max": 0.5}, "cpuset": {"cpus": "1-2"}, "io": {"max": [{"device": "/dev/vda", "rbps": "10M"}]}},
        {"name": "bhslice/a", "memory": {"max": "96M"}, "pids": {"max": 70}},
    ]
    containers = [
        {"name": "web", "command": ["sleep", "100000"], "stop_timeout": 0, "resources": {"pids": {"max": 20}}},
        {"name": "idle", "command": ["sleep", "100000"], "state": "stopped"},
        {"name": "job", "command": ["true"], "wait": True},
    ]
    node.run(EARLIER)
    assert len(node.run(LEFT_OF_EARLIER).stdout.splitlines()) > 4
    plays.tasks(
        [node],
        {"ansible.builtin.include_role": {"name": "bulkhead.linux.node"}, "vars": {"node_report": False}},
        {"bulkhead.linux.cgroup_group": {"groups": groups}},
        {"bulkhead.linux.container_run": {"containers": containers}},
    )
    assert node.run(LEFT_OF_EARLIER).stdout == ""
    before = look(node)
    assert len(before.splitlines()) > 15
    assert plays.bulkhead(node, "drift") == (0, {"drift": [], "failures": []})
    plays.pytest(node, UNITS)

    node.reboot()
    plays.boot_is_done(node)
    assert look(node) == before
    plays.pytest(node, UNITS)
    assert plays.bulkhead(node, "drift") == (0, {"drift": [], "failures": []})
    status, shown = plays.bulkhead(node, "status")
    kept = {one["name"]: one for one in shown["kinds"]["container_run"]}
    assert status == 0
    assert kept["web"]["actual"]["status"] == "running"
    assert (kept["idle"]["actual"]["status"], kept["idle"]["in_effect"]) == ("absent", True)
    assert "job" not in kept
    assert shown["last_replay"]["failures"] == []
    assert runs(node) >= 1

    node.run("rmdir /sys/fs/cgroup/labgroup/a/below /sys/fs/cgroup/labgroup/a")
    status, told = plays.bulkhead(node, "drift")
    assert status == 1
    assert [entry for entry in told["drift"] if entry["target"] == "/sys/fs/cgroup/labgroup/a/below/pids.max"] == [
        {"kind": "cgroup_group", "name": "labgroup/a/below", "target": "/sys/fs/cgroup/labgroup/a/below/pids.max", "before": None, "after": "40"}
    ]
    assert plays.bulkhead(node, "replay")[0] == 0
    assert look(node) == before

    # A disk that is added: the kernel's own event, sent once more.
    node.run("rmdir /sys/fs/cgroup/labgroup/a/below; udevadm trigger --action=add /sys/block/vda")
    assert plays.until(lambda: look(node) == before), "nothing was replayed when a disk was added"

    # The role takes away what it has installed; what is kept stays.
    role = {"ansible.builtin.include_role": {"name": "bulkhead.linux.node"}, "vars": {"node_report": False, "node_replay": False}}
    assert re.search(r"changed=[1-9]", plays.tasks([node], role))
    files = "systemd/system/bulkhead.* systemd/system/*.wants/bulkhead.* udev/rules.d/*bulkhead* tmpfiles.d/bulkhead*"
    left = node.run("cd /etc; ls " + files, check=False)
    assert left.stdout == ""
    assert plays.bulkhead(node, "drift")[0] == 0


def cuts_and_cpus_on_hybrid(node: Node) -> None:
    """The power is cut in the middle of keeping; a boot after that, a reboot as it should be; a CPU that goes and returns."""
    plays.install_units(node)
    node.run("python3 /src/tests/lab/inside/keeping.py some && sync")
    before = look(node)
    assert len(before.splitlines()) > 15
    plays.pytest(node, UNITS)
    kept = json.loads(node.get(DESIRED))["objects"]
    seed = random.randrange(1 << 32)
    where = "seed %d" % seed
    node.run("sync; rm -f /tmp/said; (python3 /src/tests/lab/inside/keeping.py forever >/tmp/said 2>&1 &); until grep -q begun /tmp/said; do sleep 0.1; done")
    time.sleep(random.Random(seed).uniform(0.0, 3.0))
    node.cut()
    node.start(tied=True)
    plays.boot_is_done(node)
    objects = json.loads(node.get(DESIRED))["objects"]
    assert {name: objects[name] for name in kept} == kept, where
    turns = {options["pids"]["max"] for name, options in objects.items() if name.startswith("bh-cut/")}
    assert len(turns) == 1, "%s: neither the old file nor the new one" % where
    assert len(objects) == len(kept) + 60, where
    # The core that was replaced again and again: one that is whole.
    assert node.run("python3 -IS /usr/local/libexec/bulkhead.pyz.cut --help").stdout.startswith("usage: bulkhead"), where
    assert look(node) == before, where
    assert plays.bulkhead(node, "drift") == (0, {"drift": [], "failures": []}), where
    assert set(node.run("cat /sys/fs/cgroup/pids/bh-cut/*/pids.max").stdout.split()) == {str(max(turns))}, where

    node.reboot()
    plays.boot_is_done(node)
    assert look(node) == before
    plays.pytest(node, UNITS)

    cpus = "/sys/fs/cgroup/cpuset/labgroup/b/cpuset.cpus"
    done = runs(node)
    node.run("echo 0 >/sys/devices/system/cpu/cpu2/online")
    assert plays.until(lambda: node.get(cpus).strip() == "1"), "the kernel takes a CPU that is gone out of a cpuset of v1"
    assert plays.bulkhead(node, "drift")[0] in (1, 2)
    node.run("echo 1 >/sys/devices/system/cpu/cpu2/online")
    assert plays.until(lambda: node.get(cpus).strip() == "1-2"), "the CPU has returned, and nothing was replayed"
    assert plays.until(lambda: runs(node) > done)
    assert look(node) == before


STORIES = {"v2": reboot_on_v2, "hybrid": cuts_and_cpus_on_hybrid}


@pytest.fixture(scope="module")
def outcomes(fresh_nodes, request):
    """What becomes of each story that is asked for: futures."""
    modes = {item.callspec.params["mode"] for item in request.session.items if getattr(item, "module", None) is request.module}
    with concurrent.futures.ThreadPoolExecutor(len(STORIES)) as pool:
        yield {mode: pool.submit(lambda mode: STORIES[mode](fresh_nodes("intel", mode)), mode) for mode in modes}


@pytest.mark.parametrize("mode", STORIES)
def test_what_is_kept_survives(mode, outcomes):
    outcomes[mode].result()
