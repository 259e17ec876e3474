# SPDX-FileCopyrightText: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is refused before the machine is looked at, and what a match comes to."""

from __future__ import annotations

import struct
from typing import Any

import pytest
from ansible_collections.bulkhead.linux.plugins.module_utils._runtime.errors import InvalidInput
from ansible_collections.bulkhead.linux.plugins.module_utils._runtime.kernel import traffic
from ansible_collections.bulkhead.linux.plugins.module_utils._runtime.tc import limit, matches
from ansible_collections.bulkhead.linux.plugins.module_utils._runtime.tc.matches import Match

RATE = {"rate": "10mbit"}


def one(name: str = "a", **more: Any) -> dict[str, Any]:
    return {"name": name, "rate": "1mbit", "match": {"port": 80 + len(name) + ord(name[0])}, **more}


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"interface": "a/b"}, "is not the name of an interface"),
        ({"interface": "sixteen-or-more-x"}, "is not the name of an interface"),
        ({"interface": "a b"}, "is not the name of an interface"),
        ({}, "neither an interface nor a container"),
        ({"interface": "v0", "container": "web"}, "cannot be named beside it"),
        ({"interface": "v0", "egress": {}}, "egress: rate is missing"),
        ({"interface": "v0", "egress": {"rate": "10M"}}, "egress.rate"),
        ({"interface": "v0", "egress": {"rate": "max", "burst": 2000}}, "without a rate"),
        ({"interface": "v0", "egress": {**RATE, "latency": "1ms", "limit": 3000}}, "two ways"),
        ({"interface": "v0", "egress": {**RATE, "peakrate": "9mbit"}}, "not above the rate"),
        (
            {"interface": "v0", "ingress": {**RATE, "method": "police", "latency": "1ms"}},
            "no latency",
        ),
        (
            {"interface": "v0", "egress": {**RATE, "latency": "1ms"}, "classes": [one()]},
            "of one queue",
        ),
        ({"interface": "v0", "classes": [one(), one()]}, "class a is named twice"),
        ({"interface": "v0", "classes": [one(parent="z")]}, "its parent z is not among"),
        (
            {"interface": "v0", "classes": [one("a", parent="b"), one("b", parent="a")]},
            "go round: a b a",
        ),
        ({"interface": "v0", "classes": [one("a", parent="a")]}, "go round: a a"),
        ({"interface": "v0", "classes": [one("a"), one("b", parent="a")]}, "no traffic of its own"),
        (
            {"interface": "v0", "classes": [one("a", match=None), one("b", match=None)]},
            "one class of all the rest",
        ),
        (
            {
                "interface": "v0",
                "classes": [one("a", match={"port": 5}), one("b", match={"port": 5})],
            },
            "the same match",
        ),
        ({"interface": "v0", "classes": [one(ceil="0.5mbit")]}, "ceil 0.5mbit is below rate 1mbit"),
        ({"interface": "v0", "classes": [one(priority=8)]}, "priority"),
        ({"interface": "v0", "classes": [one(match={})]}, "match is empty"),
        ({"interface": "v0", "classes": [one(match={"source": "10.0.0.1/24"})]}, "host bits set"),
        ({"interface": "v0", "classes": [one(match={"protocol": "tpc"})]}, "'tpc' is not known"),
        (
            {"interface": "v0", "classes": [one(match={"protocol": "icmp", "port": 5})]},
            "has no ports",
        ),
        ({"interface": "v0", "classes": [one(match={"port": 70000})]}, "70000"),
        ({"interface": "v0", "classes": [one(match={"mark": "0x1ff/0xff"})]}, "outside its mask"),
        (
            {"interface": "v0", "classes": [one(match={"cgroup": "../x"})]},
            "not the name of a control group",
        ),
        (
            {
                "interface": "v0",
                "classes": [one(match={"source": "10.0.0.0/8", "destination": "fd00::/8"})],
            },
            "no packet can match",
        ),
        (
            {
                "interface": "v0",
                "classes": [one(match={"port": 1, "source_port": 2, "destination_port": 3})],
            },
            "neither source_port nor destination_port",
        ),
    ],
)
def test_refused(options: dict[str, Any], says: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        limit.Limit(options)
    assert says in str(refused.value)


def test_two_spellings_of_one_match_are_one() -> None:
    classes = [one("a", match={"port": 53}), one("b", match={"port": 53, "protocol": "tcp"})]
    limit.Limit({"interface": "v0", "classes": classes})  # udp makes the difference
    with pytest.raises(InvalidInput, match="the same match"):
        limit.Limit(
            {
                "interface": "v0",
                "classes": [
                    one("a", match={"protocol": "6", "source": "192.0.2.1"}),
                    one("b", match={"protocol": "TCP", "source": "192.0.2.1/32"}),
                ],
            }
        )


@pytest.mark.parametrize("name", ["v0", "v0 in blue", "v0 in /run/netns/my blue", "container web"])
def test_what_an_object_is_called_names_it_again(name: str) -> None:
    assert limit.Limit(limit.named(name)).name == name


def test_a_port_at_either_end_of_tcp_is_four_filters() -> None:
    rules = Match({"protocol": "tcp", "port": 443}, "x").rules()
    assert [kind for kind, _keys in rules] == [
        traffic.IPV4,
        traffic.IPV4,
        traffic.IPV6,
        traffic.IPV6,
    ]
    assert rules[0][1][-1] == (0xFFFF0000, 443 << 16, 20)
    assert rules[1][1][-1] == (0x0000FFFF, 443, 20)
    assert rules[3][1] == ((0x0000FF00, 6 << 8, 4), (0x0000FFFF, 443, 40))


def ipv4(
    source: str, to: str, protocol: int, rest: bytes, options: bytes = b"", offset: int = 0
) -> bytes:
    """A packet from its header on."""
    words = 5 + len(options) // 4
    addresses = b"".join(bytes(map(int, address.split("."))) for address in (source, to))
    return (
        struct.pack(">BBHHHBBH", 0x40 | words, 0, 99, 7, offset, 64, protocol, 0)
        + addresses
        + options
        + rest
    )


def sent_to(rules: list[matches.Rule], kind: int, packet: bytes) -> bool:
    """What cls_u32 does (u32_classify()): every key of a filter must match."""
    return any(
        all(struct.unpack_from(">I", packet, at)[0] & mask == value for mask, value, at in keys)
        for of, keys in rules
        if of == kind
    )


PORTS = struct.pack(">HHII", 1024, 80, 0, 0)


def test_the_keys_see_what_is_meant_and_nothing_else() -> None:
    rules = Match({"protocol": "tcp", "destination_port": 80, "source": "10.1.0.0/16"}, "x").rules()
    assert sent_to(rules, traffic.IPV4, ipv4("10.1.2.3", "192.0.2.1", 6, PORTS))
    assert not sent_to(rules, traffic.IPV4, ipv4("10.2.2.3", "192.0.2.1", 6, PORTS))
    assert not sent_to(rules, traffic.IPV4, ipv4("10.1.2.3", "192.0.2.1", 17, PORTS))
    # What stands in the place of a port and is none: options, and a later fragment.
    assert not sent_to(rules, traffic.IPV4, ipv4("10.1.2.3", "192.0.2.1", 6, b"", PORTS))
    assert not sent_to(rules, traffic.IPV4, ipv4("10.1.2.3", "192.0.2.1", 6, PORTS, offset=185))


def test_networks_of_ipv6_are_words() -> None:
    rules = Match({"destination": "2001:db8::/33"}, "x").rules()
    assert rules == [(traffic.IPV6, ((0xFFFFFFFF, 0x20010DB8, 24), (0x80000000, 0, 28)))]
    assert Match({"source": "::/0"}, "x").rules() == [(traffic.IPV6, ((0, 0, 0),))]


def test_a_mark_and_a_group_need_nftables() -> None:
    assert Match({"mark": "7"}, "x").needs_nftables
    assert Match({"cgroup": "/a/b/"}, "x").cgroup == "a/b"
    assert not Match({"port": 7}, "x").needs_nftables
