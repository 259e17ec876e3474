# SPDX-FileCopyrightText: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""One inventory, one playbook, machines of both vendors and one that can divide nothing: this one, which the policy leaves alone.

Each has a share of what was asked, in its own masks and units, and says what it has otherwise; the second run changes nothing.
"""

from __future__ import annotations

import json
import re
import sys
import types
from pathlib import Path

import pytest
from nodes import plays
from nodes.images import LabError

pytestmark = pytest.mark.turns("fleet")

CLASSES = {
    "gold": {"l3": "50%", "exclusive": True, "mb": ["80%", "64GBps"], "smba": "32GBps", "workloads": ["bh-web", "bh-absent"]},
    "batch": {"l3": "20%", "mb": ["20%", "16GBps"], "cgroups": ["bh-batch"], "cpus": "3"},
}
# {kind: {class: lines that must be in its schemata}}
HELD = {
    "intel": {"gold": {"L3:0=01f;1=01f", "MB:0=80;1=80"}, "batch": {"MB:0=20;1=20"}},
    "amd": {"gold": {"L3:0=001f;1=001f;2=001f;3=001f", "MB:0=512;1=512;2=512;3=512", "SMBA:0=256;1=256;2=256;3=256"}, "batch": {"MB:0=128;1=128;2=128;3=128"}},
}
BARE = types.SimpleNamespace(name="bare")  # this machine


def changed(said):
    """{machine: how many tasks changed it}"""
    return {name: int(number) for name, number in re.findall(r"^(\S+) +: ok=\d+ +changed=(\d+)", said, re.MULTILINE)}


@pytest.fixture
def fleet(lab, tmp_path):
    """(the machines by kind, rollout(machines, options))."""
    members = dict(zip(("intel", "amd"), lab.fleet(("intel", "v2"), ("amd", "v2"))))
    local = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable}
    every = {"hosts": {"bare": {**local, "rdt_policy": "skip"}}, "vars": {"ansible_user": "root", "rdt_classes": CLASSES, "rdt_policy": "prefer"}}
    inventory = tmp_path / "fleet.json"
    inventory.write_text(json.dumps({"all": every}), encoding="utf-8")

    def rollout(machines, *options, **variables):
        return plays.ansible(machines, Path("bulkhead.linux.rdt_rollout"), ["-i", str(inventory), *options], **variables)

    yield members, rollout
    gone = {name: {"state": "absent"} for name in CLASSES}
    plays.tasks(
        list(members.values()),
        {"bulkhead.linux.container_run": {"name": "bh-web", "state": "absent"}},
        {"bulkhead.linux.resctrl_schema": {"groups": [{"name": name, **what} for name, what in gone.items()]}},
        {"bulkhead.linux.cgroup_group": {"name": "bh-batch", "manager": "cgroupfs", "state": "absent", "force": True}},
    )
    for node in members.values():
        node.run("umount /sys/fs/resctrl", check=False)


def test_one_inventory_for_machines_that_differ(fleet):
    members, rollout = fleet
    nodes = list(members.values())
    for node in nodes:
        node.run("umount /sys/fs/resctrl; rm -f /run/bulkhead/resctrl.json", check=False)
    plays.tasks(
        nodes,
        {"bulkhead.linux.container_run": {"name": "bh-web", "command": ["sleep", "1000"], "stop_timeout": 0, "persist": False}},
        {"bulkhead.linux.cgroup_group": {"name": "bh-batch/below", "manager": "cgroupfs", "persist": False}},
        {
            "ansible.builtin.shell": "(echo $BASHPID > /sys/fs/cgroup/bh-batch/below/cgroup.procs; exec sleep 1000) > /dev/null 2>&1 &",
            "args": {"executable": "/bin/bash"},
        },
    )
    everyone = [*nodes, BARE]

    foreseen = rollout(everyone, "--check")
    assert all(not node.run("ls -d /sys/fs/resctrl/gold", check=False).stdout for node in nodes)
    said = rollout(everyone)
    again = rollout(everyone)

    names = {node.name for node in nodes}
    assert {name for name, number in changed(said).items() if number} == {name for name, number in changed(foreseen).items() if number} == names, (
        foreseen + said
    )
    assert set(changed(again).values()) == {0}, again
    for kind, node in members.items():
        for group, lines in HELD[kind].items():
            held = node.run("tr -d ' ' < /sys/fs/resctrl/%s/schemata" % group).stdout.split()
            assert set(lines) <= set(held), (kind, group, held)
        assert node.run("cat /sys/fs/resctrl/gold/mode /sys/fs/resctrl/batch/cpus_list").stdout == "exclusive\n3\n"
        for group, member in (("gold", "bh-web"), ("batch", "bh-batch")):
            inside = node.run("cat $(sed 's,.*,/proc/&/cgroup,' /sys/fs/resctrl/%s/tasks)" % group).stdout
            assert member in inside, (kind, group, inside)
    # What each has otherwise than was asked is said, and only that.
    told = dict(re.findall(r"ok: \[(\S+)\] => .*?\n +\"msg\": \"(.*)\"", said))
    assert "no classes were made: " in told["bare"]
    assert "smba" in told[members["intel"].name] and "cannot divide SMBA" in told[members["intel"].name]
    assert members["amd"].name not in told, told


def test_what_is_required_and_cannot_be_had(fleet):
    """Policy require: the machine that can divide nothing fails, with the reason; so does the one without SMBA, and both write nothing."""
    members, rollout = fleet
    with pytest.raises(LabError, match=r"(?s)Require a machine that can divide something.*bare.*FAILED"):
        rollout([BARE], "-e", "rdt_policy=require")
    with pytest.raises(LabError, match="cannot divide SMBA"):
        rollout([members["intel"]], "-e", "rdt_policy=require")
    said = rollout([members["intel"]], "-e", "rdt_policy=skip")
    assert changed(said) == {members["intel"].name: 0}
    assert "no classes were made" in said and "cannot divide SMBA" in said
    assert not members["intel"].run("ls -d /sys/fs/resctrl/gold", check=False).stdout


def test_roles_workload_and_rdt_fit_together(node):
    """A workload without a command is a slice under systemd, and a class finds it by the workload's name; in check mode before it is there, too."""
    node = node("intel", "v2")
    both = {
        "workload_list": [{"name": "bh-fit", "resources": {"pids": {"max": 50}}}],
        "rdt_classes": {"batch": {"l3": "20%", "cgroups": ["bh-fit"]}},
    }
    roles = [{"role": "bulkhead.linux.workload"}, {"role": "bulkhead.linux.rdt"}]
    play = [{"hosts": "all", "gather_facts": False, "roles": roles, "vars": both}]

    node.run("umount /sys/fs/resctrl; rm -f /run/bulkhead/resctrl.json", check=False)
    foreseen = plays.ansible([node], play, ["--check"])
    assert "check mode leaves them out: bh-fit" in foreseen
    assert not node.run("ls -d /sys/fs/resctrl/batch", check=False).stdout
    plays.ansible([node], play)
    node.run("systemd-run --quiet --unit bh-inside --slice 'bh\\x2dfit.slice' sleep 1000")
    plays.ansible([node], play)
    pid = node.run("systemctl show --value -p MainPID bh-inside").stdout.strip()
    assert pid in node.run("cat /sys/fs/resctrl/batch/tasks").stdout.split()
    again = plays.ansible([node], play)
    assert changed(again) == {node.name: 0}, again

    typo = {**both, "rdt_classes": {"batch": {"l33": "20%"}}, "rdt_policy": "skip"}
    for wrong in (typo, {**typo, "rdt_classes": {"batch": {"l3": "20&"}}}):
        with pytest.raises(LabError, match=r"l33|'20&' is neither"):
            plays.ansible([node], [{**play[0], "vars": wrong, "roles": roles[1:]}])

    node.run("systemctl stop bh-inside")
    both["rdt_classes"]["batch"] = {"state": "absent"}
    both["workload_list"] = []
    said = plays.ansible([node], [{**play[0], "vars": {**both, "workload_prune": True}}])
    assert "not in workload_list any more: group bh-fit" in said
    assert not node.run("ls -d /sys/fs/cgroup/bh*fit*", check=False).stdout
