# SPDX-FileCopyrightText: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Limits of bandwidth that many kernels lack: policing, fair queues, marks and control groups.

What is written is read back by `tc` and by pyroute2, and traffic between two namespaces is counted.
"""

from __future__ import annotations

import os
import socket

import pytest
import tc_node
from ansible_collections.bulkhead.linux.plugins.module_utils._runtime.errors import BulkheadError
from ansible_collections.bulkhead.linux.plugins.module_utils._runtime.kernel import netlink
from ansible_collections.bulkhead.linux.plugins.module_utils._runtime.tc.tree import minors
from tc_node import ADDRESSES, HERE, THERE, Sender, converge, here, measure, run, tc

pytest_plugins = ("tc_node",)
pytestmark = pytest.mark.usefixtures("two_namespaces", "nothing_left")


def policed():
    """What `tc` shows of the one policing on v0."""
    shown = run("tc filter show dev v0 ingress", namespace=HERE)
    assert shown.count("action order") == shown.count("police") == 1, shown
    return shown


def to_v0(mbit):
    return lambda version: Sender(THERE, ADDRESSES["v0"][version], 5600, mbit)


def test_what_is_received_is_policed():
    converge(here(ingress={"rate": "4mbit", "method": "police"}))
    assert "rate 4Mbit burst 64Kb" in policed() and "action drop" in policed()
    measure([to_v0(4)], [(tc_node.received_bytes, 4)])
    steps, _reports = converge(
        here(ingress={"rate": "2mbit", "method": "police", "burst": "128KiB"})
    )
    # The new filter stands before the old one goes.
    assert [step.before is None for step in steps] == [True, False]
    assert "rate 2Mbit burst 128Kb" in policed()
    measure([to_v0(2)], [(tc_node.received_bytes, 2)])


def test_policing_is_exact_over_the_whole_range():
    for rate in ("8kbit", "999999bit", "1.5mbit", "33333333kbit", "40gbit", "400gbit"):
        steps, _reports = converge(here(ingress={"rate": rate, "method": "police"}))
        assert steps, rate
        assert not converge(here(ingress={"rate": rate, "method": "police"}))[0]
    assert "rate 400Gbit" in policed()


def test_policing_makes_way_for_a_queue_and_back():
    asked = {"rate": "5mbit"}
    converge(here(ingress={**asked, "method": "police"}))
    converge(here(ingress=asked))
    assert [one["kind"] for one in tc("qdisc show")].count("tbf") == 1
    converge(here(ingress={**asked, "method": "police"}))
    assert not run("ip -br link show type ifb", namespace=HERE)


def queue_kinds():
    return {
        one["parent"].partition(":")[2]: one["kind"]
        for one in tc("qdisc show dev v0")
        if "parent" in one
    }


def test_each_class_has_a_fair_queue():
    classes = [
        {"name": name, "rate": "1mbit", "match": {"port": port}}
        for name, port in (("a", 1), ("b", 2))
    ]
    converge(here(egress={"rate": "10mbit"}, classes=classes))
    numbers = {name: "%x" % minor for name, minor in minors(["a", "b"]).items()}
    assert queue_kinds() == {numbers["a"]: "fq_codel", numbers["b"]: "fq_codel", "ffff": "fq_codel"}
    mine = next(
        one for one in tc("qdisc show dev v0") if one.get("parent", "").endswith(":" + numbers["a"])
    )
    line = "tc qdisc del dev v0 parent {0}; tc qdisc add dev v0 parent {0} handle {1} pfifo limit 5"
    run(line.format(mine["parent"], mine["handle"]), namespace=HERE)
    steps, _reports = converge(here(egress={"rate": "10mbit"}, classes=classes))
    assert [(step.before, step.after) for step in steps] == [("pfifo limit 5p", "fq_codel")]
    assert queue_kinds()[numbers["a"]] == "fq_codel"


def test_classes_by_port_mark_and_control_group_have_what_they_may(group):
    options = {"burst": "32K"}
    classes = [
        {"name": "port", "rate": "1mbit", "match": {"destination_port": 5601}, **options},
        {"name": "mark", "rate": "500kbit", "match": {"mark": "0x10/0xf0"}, **options},
        {"name": "group", "rate": "750kbit", "match": {"cgroup": "tc-lab"}, **options},
    ]
    converge(here(egress={"rate": "4mbit", "burst": "64K"}, classes=classes))
    assert read_by_pyroute2() == {"1": 4, "port": 1, "mark": 0.5, "group": 0.75, "ffff": 1.75}
    to = ADDRESSES["v1"]
    numbers = minors(["port", "mark", "group"])
    senders = [
        lambda version: Sender(HERE, to[version], 5601, 1),
        lambda version: Sender(HERE, to[version], 5602, 0.5, mark=0x1F),
        lambda version: Sender(HERE, to[version], 5603, 0.75, group=group),
        lambda version: Sender(HERE, to[version], 5604, 4, mark=0x2F),
    ]
    counters = [(numbers["port"], 1), (numbers["mark"], 0.5), (numbers["group"], 0.75), (1, 4)]
    measure(senders, [(tc_node.queue_bytes(minor), rate) for minor, rate in counters])


def test_a_network_has_its_class_and_a_class_up_to_its_ceil():
    networks = {"four": "10.96.0.0/24", "six": "fd96::/64"}
    classes = [
        {
            "name": name,
            "rate": "500kbit",
            "ceil": "1mbit",
            "burst": "16K",
            "match": {"destination": to},
        }
        for name, to in networks.items()
    ]
    converge(here(egress={"rate": "8mbit"}, classes=classes))
    count_four, count_six = (tc_node.queue_bytes(minors(networks)[name]) for name in networks)

    def both(door, index):
        return count_four(door, index) + count_six(door, index)

    def sender(version):
        return Sender(HERE, ADDRESSES["v1"][version], 5610, 1)

    measure([sender], [(both, 1)])
    with tc_node.inside(HERE), netlink.Socket() as door:
        index = socket.if_nametoindex("v0")
        assert count_four(door, index) > 300000 and count_six(door, index) > 300000


def read_by_pyroute2():
    """{class: Mbit/s}, by an independent reader."""
    pyroute2 = pytest.importorskip("pyroute2")
    names = {minor: name for name, minor in minors(["port", "mark", "group"]).items()}
    with tc_node.inside(HERE), pyroute2.IPRoute() as door:
        found = {}
        for one in door.get_classes(socket.if_nametoindex("v0")):
            if one.get_attr("TCA_KIND") != "htb":
                continue  # a flow of a fair queue
            parms = one.get_attr("TCA_OPTIONS").get_attr("TCA_HTB_PARMS")
            minor = one["handle"] & 0xFFFF
            found[names.get(minor, "%x" % minor)] = parms["rate"] * 8 / 1e6
    return found


def test_a_control_group_that_was_made_again_is_a_change(group):
    asked = here(
        egress={"rate": "8mbit"},
        classes=[{"name": "g", "rate": "1mbit", "match": {"cgroup": "tc-lab"}}],
    )
    converge(asked)
    assert not converge(asked)[0]
    os.rmdir(group)
    with pytest.raises(BulkheadError, match="there is no control group %s" % group):
        converge(asked)
    converge(asked, replaying=True)  # which waits for it
    os.mkdir(group)
    assert converge(asked)[0]
    # systemd runs the node, so the name is also that of a slice.
    os.rmdir(group)
    slice_of_it = group.replace("tc-lab", "tc\\x2dlab.slice")
    os.mkdir(slice_of_it)
    try:
        assert converge(asked)[0] and not converge(asked)[0]
    finally:
        os.rmdir(slice_of_it)
        os.mkdir(group)
