# SPDX-FileCopyrightText: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Classes for control groups where only v1 is mounted: the numbers that net_cls keeps."""

from __future__ import annotations

import os

import pytest
from ansible_collections.bulkhead.linux.plugins.module_utils._runtime.errors import BulkheadError
from ansible_collections.bulkhead.linux.plugins.module_utils._runtime.tc.tree import minors
from tc_node import HERE, converge, here, run, tc

pytest_plugins = ("tc_node",)
pytestmark = pytest.mark.usefixtures("two_namespaces", "nothing_left")


def number(path):
    with open(path + "/net_cls.classid", encoding="ascii") as file:
        return int(file.read())


def by_group(**more):
    classes = [{"name": "g", "rate": "1mbit", "match": {"cgroup": "tc-lab", **more}}]
    return here(egress={"rate": "8mbit"}, classes=classes)


def test_a_group_has_the_number_of_its_class_and_what_is_below_it_too(group):
    os.mkdir(group + "/before")
    steps, _reports = converge(by_group())
    (tree,) = tc("qdisc show dev v0 root")
    mine = int(tree["handle"].rstrip(":"), 16) << 16 | minors(["g"])["g"]
    assert steps[-1].target.endswith("net_cls.classid")
    assert "all pref 99 cgroup chain 0 handle 0x1" in run("tc filter show dev v0", namespace=HERE)
    os.mkdir(group + "/after")
    assert [number(group + name) for name in ("", "/before", "/after")] == [mine] * 3
    assert not converge(by_group())[0]
    os.rmdir(group + "/after")
    converge(here(classes=[]))
    assert [number(group), number(group + "/before")] == [0, 0]
    converge(by_group())
    converge(here(state="absent"))
    assert [number(group), number(group + "/before")] == [0, 0]
    os.rmdir(group + "/before")


def test_a_group_in_a_class_of_somebody_else_is_refused(group):
    run("echo 0x10010 > %s/net_cls.classid" % group)
    with pytest.raises(BulkheadError, match="belongs to class 1:10 already"):
        converge(by_group())
    assert number(group) == 0x10010
    assert tc("qdisc show dev v0 root")[0]["kind"] == "noqueue"
    converge({**by_group(), "force": True})
    assert number(group) != 0x10010
    run("ip link add d0 type dummy", namespace=HERE)
    with pytest.raises(BulkheadError, match=r"belongs to class 7[0-9a-f]*:[0-9a-f]* already"):
        converge({**by_group(), "interface": "d0"})
    with pytest.raises(BulkheadError, match="matched by net_cls, for all that it sends"):
        converge(by_group(protocol="tcp"))
