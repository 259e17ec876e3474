# SPDX-FileCopyrightText: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Messages and answers of netlink, asked of this machine's kernel, which lets anybody look."""

from __future__ import annotations

import errno
import os
import struct

import pytest
from ansible_collections.bulkhead.linux.plugins.module_utils._runtime.kernel import (
    namespaces,
    netdevice,
    netlink,
)

GETLINK = 18
HEAD = struct.pack("=BxHiII", 0, 0, 0, 0, 0)


def test_the_loopback_interface_is_listed_and_found_by_name() -> None:
    with netlink.Socket() as door:
        assert "lo" in [link.name for link in netdevice.links(door)]
        found = netdevice.link(door, "lo")
        assert found is not None and found.index == 1 and found.queue_length >= 0
        assert netdevice.link(door, "not-there") is None
        assert netdevice.link(door, "a-name-of-more-than-sixteen") is None


def test_each_message_of_one_send_has_its_answer_and_the_kernels_words() -> None:
    # A type of message that does not exist, between two about an interface that is not there.
    unknown = (GETLINK, 0, HEAD + netlink.text(3, "not-there"))
    with netlink.Socket() as door:
        answers = door.send([unknown, (1000, 0, HEAD), unknown])
    assert [answer.errno for answer in answers] == [errno.ENODEV, errno.EOPNOTSUPP, errno.ENODEV]


def test_the_kernels_own_words_come_with_the_errno() -> None:
    # Strict checking (rtnl_valid_dump_ifinfo_req()) does not let a dump be filtered by index.
    with netlink.Socket() as door, pytest.raises(netlink.NetlinkError) as refused:
        door.dump(GETLINK, struct.pack("=BxHiII", 0, 0, 0, 1, 1))
    assert refused.value.errno == errno.EINVAL
    assert refused.value.words == "Invalid values in header for link dump request"


def test_many_messages_go_in_parts_and_lose_no_answer() -> None:
    message = (GETLINK, 0, HEAD + netlink.text(3, "not-there"))
    with netlink.Socket() as door:
        answers = door.send([message] * 5000)
    assert len(answers) == 5000
    assert {answer.errno for answer in answers} == {errno.ENODEV}


def test_attributes_are_padded_and_read_back() -> None:
    data = netlink.text(1, "tbf") + netlink.nested(2, netlink.number(3, 7), netlink.attribute(4))
    assert len(data) % 4 == 0
    found = netlink.attributes(data)
    assert netlink.as_text(found[1]) == "tbf"
    assert netlink.as_number(netlink.attributes(found[2])[3]) == 7
    assert netlink.attributes(found[2])[4] == b""


def test_cut_attributes_end_the_reading() -> None:
    assert netlink.attributes(b"\0\0\1\0") == {}


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("blue", "/run/netns/blue"),
        ("4711", "/proc/4711/ns/net"),
        ("/some/where", "/some/where"),
    ],
)
def test_a_namespace_is_a_name_a_path_or_a_process(name: str, path: str) -> None:
    assert namespaces.path_of(name) == path


def test_this_process_is_in_its_own_namespace() -> None:
    one = namespaces.open_network()
    other = namespaces.open_network(str(os.getpid()))
    try:
        assert namespaces.same(one, other)
    finally:
        os.close(one)
        os.close(other)


@pytest.mark.skipif(os.geteuid() != 0, reason="setns(2) needs root")
def test_what_fails_inside_a_namespace_leaves_the_process_where_it_was() -> None:
    before = os.readlink("/proc/self/ns/net")
    own = namespaces.open_network()

    def fail() -> None:
        raise LookupError("inside")

    try:
        with pytest.raises(LookupError):
            namespaces.inside(own, fail)
        assert namespaces.inside(own, lambda: os.readlink("/proc/thread-self/ns/net")) == before
    finally:
        os.close(own)
    assert os.readlink("/proc/self/ns/net") == before
