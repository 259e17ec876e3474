# SPDX-FileCopyrightText: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Limits of bandwidth with what the machine's own kernel may lack, by mode of control groups."""

from __future__ import annotations

import pytest
from nodes import plays

INSIDE = "tests/lab/inside/test_tc"
QUESTIONS = "'control_group or net_cls'"


def test_tc(node):
    plays.pytest(node("intel", "v2"), INSIDE + ".py")


@pytest.mark.turns("targets on v1 and hybrid")
def test_net_cls(node):
    """Where only v1 is mounted, control groups are matched in another way, and measured again."""
    plays.pytest(node("intel", "v1"), INSIDE + "_net_cls.py", INSIDE + ".py", "-k", QUESTIONS)


BOOT = """
install -Dm644 -t /etc/systemd/system {0}/bulkhead.*service {0}/bulkhead.*path
install -Dm644 -t /etc/udev/rules.d {0}/90-bulkhead.rules
install -Dm644 -t /etc/tmpfiles.d {0}/bulkhead.conf
mkdir -pm 755 /etc/bulkhead/desired.d
systemctl daemon-reload
systemctl -q enable bulkhead.service bulkhead.path bulkhead.limits.service bulkhead.limits.path
for i in late0 late1; do ip link add $i type dummy; done
python3 /src/tests/lab/inside/keeping.py limits eth0 late0 late1
"""
# How often it ran: at boot, and once more where udev sees eth0 later than that.
RUNS = "journalctl -b -u bulkhead.limits.service -o cat | grep -c -e Finished -e Starting"
# Microseconds since the boot.
WHEN = "systemctl show --value -p %sTimestampMonotonic %s"


def is_limited(it, name):
    return "tbf" in it.run("tc qdisc show dev %s root" % name).stdout


@pytest.mark.turns("classes, quotas and bandwidth after a reboot")
def test_boot(fresh_node):
    """What is there early is limited before it goes up; what comes later, or gets its name later, within a moment."""
    it = fresh_node("intel", "v2")
    it.run(BOOT.format(it.sync() + "/roles/node/files"))
    it.reboot()
    plays.boot_is_done(it)
    boot(it)


def boot(it):
    """See to it on a node that has been booted."""
    assert is_limited(it, "eth0")
    done = int(it.run(WHEN % ("InactiveEnter", "bulkhead.limits.service")).stdout)
    begun = int(it.run(WHEN % ("InactiveExit", "systemd-networkd.service")).stdout)
    assert 0 < done < begun
    assert it.run("systemctl --failed --no-legend").stdout == ""
    late = [
        {"kind": "tc_bandwidth", "name": name, "problem": "there is no interface " + name}
        for name in ("late0", "late1")
    ]
    assert plays.bulkhead(it, "drift") == (0, {"drift": [], "failures": [], "waiting": late})
    before = it.run(RUNS).stdout
    it.run("ip link add other type dummy; udevadm settle")
    runs = it.run(RUNS).stdout
    it.run("ip link add late0 type dummy; ip link set other name late1")
    for name in ("late0", "late1"):
        assert plays.until(lambda name=name: is_limited(it, name)), name
    assert not is_limited(it, "dummy0")
    assert runs == before, "an interface for which nothing is kept starts nothing"
    assert plays.bulkhead(it, "drift") == (0, {"drift": [], "failures": []})
