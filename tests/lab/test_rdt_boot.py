# SPDX-FileCopyrightText: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Classes that are kept, with a container in one of them: a real reboot brings them back, and so does the return of CPUs."""

from __future__ import annotations

import re

import pytest
from nodes import plays

# One that its unit starts at boot, and that must find its class.
CONTAINER = {"name": "bh-in", "command": ["sleep", "100000"], "stop_timeout": 0, "restart_policy": "always", "rdt": {"class": "bh-gold"}}
GROUPS = [
    {"name": "bh-gold", "l3": "50%", "mode": "exclusive", "mb": "80%", "monitor_groups": [{"name": "bh-seen"}]},
    {"name": "bh-batch", "l3": 2, "mb": "20%", "cpus": "3"},
]
# Classes, their masks and CPUs as the kernel shows them, and whether the container's first process is in its class.
LOOK = """
cd /sys/fs/resctrl && for g in bh-gold bh-batch; do tr -d ' ' <$g/schemata; cat $g/mode $g/cpus_list; ls $g/mon_groups; done
pid=$(grep -o '"pid": [0-9]*' /run/bulkhead/containers/bh-in/state.json | cut -d ' ' -f 2)
grep -qx "$pid" bh-gold/tasks && echo inside
"""

pytestmark = pytest.mark.turns("classes, quotas and bandwidth after a reboot")


def test_what_is_kept_comes_back_after_a_reboot_and_with_its_cpus(fresh_node):
    node = fresh_node("intel", "v2")
    plays.tasks(
        [node],
        {"ansible.builtin.include_role": {"name": "bulkhead.linux.node"}, "vars": {"node_report": False}},
        {"bulkhead.linux.resctrl_schema": {"groups": GROUPS}},
        {"bulkhead.linux.container_run": CONTAINER},
    )

    def look():
        return node.run(LOOK, check=False).stdout

    before = look()
    assert {"L3:0=01f;1=01f", "MB:0=80;1=80", "exclusive", "bh-seen", "L3:0=060;1=060", "MB:0=20;1=20", "3", "inside"} <= set(before.split()), before
    assert plays.bulkhead(node, "drift") == (0, {"drift": [], "failures": []})

    node.reboot()
    plays.boot_is_done(node)
    assert look() == before
    assert plays.bulkhead(node, "drift") == (0, {"drift": [], "failures": []})

    # The second domain goes with its CPUs, which is no drift of its masks, and returns with the kernel's own settings.
    cpus = "/sys/devices/system/cpu/cpu%d/online"
    node.run("".join("echo 0 >%s; " % cpus % cpu for cpu in (2, 3)))
    assert "1=" not in look()
    status, told = plays.bulkhead(node, "drift")
    assert not [one for one in told["drift"] if one["target"].endswith("schemata")], (status, told)
    node.run("".join("echo 1 >%s; " % cpus % cpu for cpu in (2, 3)))
    assert plays.until(lambda: look() == before), "%s\nwas\n%s\n%s" % (look(), before, node.run("journalctl -b -u bulkhead -o cat").stdout)
    assert plays.bulkhead(node, "drift") == (0, {"drift": [], "failures": []})
    assert len(re.findall("^Finished", node.run("journalctl -b -u bulkhead.service -o cat").stdout, re.MULTILINE)) >= 2
