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


@pytest.mark.turns("groups on v1")
def test_net_cls(node):
    """Where only v1 is mounted, control groups are matched in another way, and measured again."""
    plays.pytest(node("intel", "v1"), INSIDE + "_net_cls.py", INSIDE + ".py", "-k", QUESTIONS)


BOOT = """
for i in late0 late1; do ip link add $i type dummy; done
python3 /src/tests/lab/inside/keeping.py limits eth0 late0 late1
%s
python3 /src/tests/lab/inside/keeping.py guest lan0
"""
BRIDGE = "ip link add lan0 type bridge; ip address add 10.201.0.1/24 dev lan0; ip link set lan0 up"
# How often it ran: at boot, and once more where udev sees eth0 later than that.
RUNS = "journalctl -b -u bulkhead.limits.service -o cat | grep -c -e Finished -e Starting"
# Microseconds since the boot.
WHEN = "systemctl show --value -p %sTimestampMonotonic %s"

TIMED = "s=$(date +%%s%%N); %s; echo $(($(date +%%s%%N) - s))"
COMES = "ip link add late0 type dummy; until tc qdisc show dev late0 root | grep -q tbf; do sleep 0.02; done"


def is_limited(it, name):
    return "tbf" in it.run("tc qdisc show dev %s root" % name).stdout


@pytest.mark.turns("classes, quotas and bandwidth after a reboot")
def test_boot(fresh_node):
    """What is there early is limited before it goes up; what comes later, or gets its name later, within a moment.

    A container on a bridge of somebody else's waits for it, and is limited as it was.
    """
    it = fresh_node("intel", "v2")
    plays.install_units(it)
    it.run(BOOT % BRIDGE)
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
    late = [{"kind": "tc_bandwidth", "name": name, "problem": "there is no interface " + name} for name in ("late0", "late1")]
    late += [{"kind": "container_run", "name": "guest", "problem": "there is no bridge lan0"}]
    assert plays.bulkhead(it, "drift") == (0, {"drift": [], "failures": [], "waiting": late})
    before = it.run(RUNS).stdout
    it.run("ip link add other type dummy; udevadm settle")
    runs = it.run(RUNS).stdout
    it.run("ip link set other name late1")
    assert plays.until(lambda: is_limited(it, "late1"))
    # From its coming to its limit, against a replay that has nothing to do: nodes are emulated, so a ratio says more than a time.
    late, nothing = (float(it.run(TIMED % what).stdout) for what in (COMES, "bulkhead replay tc_bandwidth >&2"))
    assert late < 4 * nothing, (late, nothing)
    assert not is_limited(it, "dummy0")
    assert runs == before, "an interface for which nothing is kept starts nothing"
    it.run(BRIDGE)
    assert plays.until(lambda: guest(it)["status"] == "running"), guest(it)
    assert "rate 2Mbit" in it.run("tc qdisc show; tc filter show dev $(ls /sys/class/net/lan0/brif) ingress").stdout
    assert plays.bulkhead(it, "drift") == (0, {"drift": [], "failures": []})


def guest(it):
    """What is told of the container."""
    (found,) = plays.bulkhead(it, "status")[1]["kinds"]["container_run"]
    return found["actual"]
