# SPDX-FileCopyrightText: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the lab promises to those who use it: a disk that lasts, power cuts, fleets, and words where something does not boot."""

from __future__ import annotations

import json
import subprocess
import time

import pytest
from nodes import accel, images, plays
from nodes.node import LabError, Node


def test_a_second_build_takes_no_time():
    started = time.monotonic()
    found = images.build()
    assert time.monotonic() - started < 10
    assert found.kernel.exists()
    assert found.root.exists()


def test_reboot_and_power_cut(fresh_node):
    """A reboot keeps the disk and is a new boot. A power cut keeps what was synced, and the next boot runs on the same disk.

    A node that is started afresh has nothing of all that, though it has the name.
    """
    mine = fresh_node()
    first = mine.run("echo kept >/root/kept; echo gone >/run/gone; cat /proc/sys/kernel/random/boot_id").stdout.strip()
    second = mine.reboot()
    assert second != first
    assert mine.run("cat /proc/sys/kernel/random/boot_id; cat /root/kept; ls /run/gone", check=False).stdout.split() == [second, "kept"]

    mine.run("echo synced >/root/synced; sync; echo late >/root/late")  # ext4 keeps the last for seconds in memory
    mine.cut()
    assert not mine.pid
    with pytest.raises(LabError):
        mine.cut()
    mine.start(tied=True)
    after = mine.run("cat /proc/sys/kernel/random/boot_id /root/kept /root/synced; cat /root/late", check=False).stdout.split()
    assert after[0] not in (first, second)
    assert after[1:3] == ["kept", "synced"]
    assert "late" not in after, "what was not synced was lost with the power"

    mine.down()
    assert not mine.path.exists()
    mine.start(fresh=True, tied=True)
    assert mine.run("ls /root").stdout == ""


def test_fleet(lab):
    """Three nodes at once, started together, and one playbook with one task on all of them."""
    members = lab.fleet(("intel", "v2"), ("amd", "v2"), ("intel", "hybrid"))
    assert len({member.pid for member in members}) == 3
    said = plays.tasks(members, {"ansible.builtin.command": "uname -n", "register": "it", "failed_when": "it.stdout != inventory_hostname"})
    for member in members:
        assert "changed: [%s]" % member.name in said


def test_inventory(node):
    """The command is an inventory for Ansible: the running nodes, by kind and by mode of control groups."""
    it = node("intel", "v2")
    listed = json.loads(subprocess.run([str(images.HERE / "lab"), "--list"], check=True, capture_output=True, text=True).stdout)
    for group in ("lab", "intel", "cgroup_v2"):
        assert it.name in listed[group]["hosts"]
    assert it.name not in listed.get("amd", {"hosts": []})["hosts"]
    assert listed["_meta"]["hostvars"][it.name]["lab_cgroup"] == "v2"


def test_a_boot_that_fails_gives_the_last_words(fresh_node):
    with pytest.raises(LabError) as caught:
        fresh_node(append="root=/dev/nowhere")
    assert "does not boot (kernel panic)" in str(caught.value)
    assert "Unable to mount root fs" in str(caught.value)


def test_a_machine_that_cannot_be_made_says_why(fresh_node):
    with pytest.raises(LabError, match="memory"):
        fresh_node(memory=1 << 40)


def test_kvm_that_does_not_work_is_noticed():
    """On this machine: KVM runs guests, or the probe says how it does not, within seconds; and emulation does."""
    kernel = images.build().kernel
    started = time.monotonic()
    works, why = accel.probe(kernel)
    assert time.monotonic() - started < accel.PATIENCE + 5
    assert why
    chosen, _why = accel.choose(kernel)
    assert accel.remembered() is None or accel.remembered()[0] == chosen
    if not works:
        assert chosen == "tcg"
        assert accel.probe(kernel, "tcg")[0]


def test_a_node_that_hangs_under_kvm_is_emulated(fresh_node):
    """Told to use KVM where it does not work, the node is up all the same."""
    if accel.choose(images.build().kernel)[0] == "kvm":
        pytest.skip("KVM works on this machine, so that no guest can be seen to hang under it")
    mine = fresh_node(accelerator="kvm")
    assert mine.facts["accelerator"] == "tcg"
    assert mine.run("true").returncode == 0


def test_names():
    for name in ("", "../up", "a b", "-a", "a/b"):
        with pytest.raises(LabError):
            Node(name)
