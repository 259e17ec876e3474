# SPDX-FileCopyrightText: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The network of a container: what is asked for, what is refused, and which addresses are given."""

from __future__ import annotations

import ipaddress

import pytest
from ansible_collections.bulkhead.linux.plugins.module_utils._runtime.container import (
    addresses,
    network,
    options,
    shaping,
    wiring,
)
from ansible_collections.bulkhead.linux.plugins.module_utils._runtime.errors import InvalidInput
from ansible_collections.bulkhead.linux.plugins.module_utils._runtime.tc.limit import Limit
from hypothesis import given
from hypothesis import strategies as st


def parsed(**asked):
    return network.parse({"mode": "bridge", **asked}, [])


def test_a_word_and_a_dictionary_mean_the_same():
    for mode in ("none", "host"):
        assert network.parse(mode, []) == network.parse({"mode": mode}, []) == {"mode": mode}
    assert network.parse(None, []) == network.parse({}, []) == {"mode": "none"}
    assert network.parse("bridge", []) == parsed()


def test_what_is_left_out():
    assert parsed() == {
        "mode": "bridge",
        "bridge": "bulkhead0",
        "subnet": [],
        "address": [],
        "gateway": None,
        "interface": "eth0",
        "mtu": None,
    }


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ("bridged", "none of none, host, bridge"),
        ({"mode": "host", "address": "10.0.0.2/24"}, "network.address: it is for"),
        ({"bridge": "br0"}, "network.bridge: it is for"),
        ({"mode": "bridge", "ports": [80]}, "ports is none of"),
        ({"mode": "bridge", "address": "10.0.0.300/24"}, "is not an address"),
        ({"mode": "bridge", "address": "web"}, "is not an address"),
        ({"mode": "bridge", "address": "10.0.0.2"}, "lacks the length"),
        ({"mode": "bridge", "address": "10.0.0.0/24"}, "address of a network"),
        ({"mode": "bridge", "address": "10.0.0.255/24"}, "address of a network"),
        ({"mode": "bridge", "address": "127.0.0.2/8"}, "loopback"),
        ({"mode": "bridge", "address": "fe80::2/64"}, "link-local"),
        ({"mode": "bridge", "address": "ff02::2/64"}, "multicast"),
        ({"mode": "bridge", "address": ["10.0.0.2/24", "10.0.0.2/16"]}, "twice"),
        ({"mode": "bridge", "subnet": "10.0.0.0/31"}, "no room"),
        ({"mode": "bridge", "subnet": ["10.0.0.0/16", "10.0.5.0/24"]}, "twice, or in part"),
        ({"mode": "bridge", "gateway": "10.0.0.0/24"}, "is not an address"),
        ({"mode": "bridge", "gateway": ["10.0.0.1", "10.0.0.2"]}, "one for IPv4 and one"),
        ({"mode": "bridge", "interface": "lo"}, "no name that an interface"),
        ({"mode": "bridge", "interface": "a" * 16}, "no name that an interface"),
        ({"mode": "bridge", "bridge": "br/0"}, "no name that an interface"),
        ({"mode": "bridge", "bridge": "br%d"}, "no name that an interface"),
        ({"mode": "bridge", "mtu": 60}, "mtu"),
        ({"mode": "bridge", "bandwidth": {"up": {"rate": "1mbit"}}}, "none of egress, ingress"),
        ({"mode": "bridge", "bandwidth": {"egress": {}}}, "rate is missing"),
        ({"mode": "bridge", "bandwidth": {"egress": {"rate": "10M"}}}, "10M"),
        ({"mode": "bridge", "bandwidth": {"egress": {"rate": "1mbit", "speed": 1}}}, "speed"),
        ({"mode": "host", "bandwidth": {"egress": {"rate": "1mbit"}}}, "network.bandwidth: it is"),
        ({"mode": "bridge", "mtu": 1000, "address": "fd00::2/64"}, "1280"),
    ],
)
def test_what_cannot_be_meant_is_refused(asked, words):
    with pytest.raises(InvalidInput, match=words):
        network.parse(asked, [])


def test_net_admin_is_refused():
    with pytest.raises(InvalidInput, match="NET_ADMIN"):
        network.parse("bridge", ["CHOWN", "NET_ADMIN"])
    assert network.parse("none", ["NET_ADMIN"]) == {"mode": "none"}


def test_what_follows_from_the_machine_is_no_difference_and_is_not_told():
    held = {**parsed(), "resolved": {"addresses": ["10.98.107.7/24"]}}
    row = options.BY_NAME["network"]
    assert row.says_the_same({"network": held}, {"network": parsed()})
    assert row.told(held) == {"mode": "bridge", "bridge": "bulkhead0", "interface": "eth0"}
    assert row.told(parsed(gateway="none"))["gateway"] == "none"


@given(
    st.text(min_size=1, max_size=12),
    st.integers(2, 30),
    st.sets(st.integers(0, 300), max_size=20),
)
def test_a_free_address_is_in_the_network_and_free(name, bits, offsets):
    subnet = ipaddress.ip_network("10.0.0.0/%d" % max(bits, 8))
    hosts = subnet.num_addresses - 2
    taken = {subnet.network_address + 1 + offset % hosts for offset in offsets}
    if len(taken) == hosts:
        with pytest.raises(InvalidInput, match="no address"):
            addresses._free(name, subnet, taken, "br0")
        return
    found = addresses._free(name, subnet, taken, "br0")
    assert found.network == subnet and found.ip not in taken
    assert found.ip not in (subnet.network_address, subnet.broadcast_address)
    assert addresses._free(name, subnet, taken, "br0") == found, "the same again"


def test_marks_fit_and_tell_nodes_apart():
    long = wiring.marks("n" * 64, "/" + "p" * 300, "/run")
    assert all(len(long[name]) <= 255 for name in ("alias", "bridge_alias"))
    assert wiring.marks("a", "", "/run") != wiring.marks("a", "/x", "/run")
    assert wiring.marks("a", "", "/run")["alias"] != wiring.marks("ab", "", "/run")["alias"]


def test_hardware_addresses_are_local_unicast_and_differ():
    texts = ["10.0.0.%d/24" % last for last in range(1, 255)]
    texts += ["fd00::%x/64" % last for last in range(1, 255)]
    found = {addresses._hardware(ipaddress.ip_interface(text)) for text in texts}
    assert len(found) == len(texts)
    assert all(len(one) == 6 and one[0] & 3 == 2 for one in found)


# What tc_bandwidth makes of it


WEB = {"name": "web", "rate": "1mbit", "match": {"port": 443}}


def by_name(**asked):
    return Limit({"container": "x", **asked})


def test_what_is_not_given_by_name_stays():
    held = {"egress": {"rate": "1mbit"}, "ingress": {"rate": "2mbit"}}
    found = shaping.laid_over(held, by_name(ingress={"rate": "3mbit"}))
    assert found == {**held, "ingress": {"rate": "3mbit"}, "set_by": "tc_bandwidth"}
    assert shaping.laid_over({"egress": {"rate": "1mbit"}}, by_name(egress={"rate": "max"})) is None
    assert shaping.laid_over(held, by_name(state="absent")) is None
    with_classes = shaping.laid_over(held, by_name(classes=[WEB]))
    assert with_classes["classes"] == [WEB] and with_classes["egress"] == held["egress"]
    assert shaping.same(with_classes) != shaping.same(held)
    assert shaping.same(shaping.laid_over(with_classes, by_name(classes=[]))) == shaping.same(held)


def test_classes_take_what_is_of_one_queue_away():
    held = {"egress": {"rate": "8mbit", "latency": "1ms", "burst": "9K"}}
    found = shaping.laid_over(held, by_name(classes=[WEB]))
    assert found["egress"] == {"rate": "8mbit", "burst": "9K"}
    assert held["egress"]["latency"] == "1ms"


def test_what_was_set_by_name_can_be_asked_for_again():
    found = shaping.laid_over({}, by_name(egress={"rate": "8mbit"}, classes=[WEB]))
    value = parsed(bandwidth=found)
    told = network.told_bandwidth(value["bandwidth"])
    assert "set_by" not in told
    assert shaping.same(parsed(bandwidth=told)["bandwidth"]) == shaping.same(found)
    shaping.check("x", value["bandwidth"], 1500)


@pytest.mark.parametrize(
    ("classes", "words"),
    [
        ([{**WEB, "rate": "9mbit"}], "9mbit together, and it has 8mbit"),
        ([{**WEB, "match": {"mark": "7"}}], "has lost its control group and mark"),
        ([{**WEB, "burst": 100}], "no full frame"),
        ([WEB, WEB], "named twice"),
    ],
)
def test_classes_that_cannot_be_had(classes, words):
    with pytest.raises(InvalidInput, match=words):
        value = parsed(bandwidth={"egress": {"rate": "8mbit"}, "classes": classes})
        shaping.check("x", value["bandwidth"], 1500)
