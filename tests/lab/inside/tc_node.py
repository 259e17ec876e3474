# SPDX-FileCopyrightText: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Two network namespaces of a node with a pair of interfaces between them, the core asked as by a
module, and traffic that is counted by the kernel."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import time

import converging
import pytest
from ansible_collections.bulkhead.linux.plugins.module_utils._runtime.kernel import (
    netlink,
    syscalls,
    traffic,
)
from ansible_collections.bulkhead.linux.plugins.module_utils._runtime.tc.subject import Bandwidth

HERE, THERE = "tc-here", "tc-there"  # v0 is in the first, v1 in the second
ADDRESSES = {"v0": ("10.96.0.1", "fd96::1"), "v1": ("10.96.0.2", "fd96::2")}
PLACES = ("/sys/fs/cgroup", "/sys/fs/cgroup/unified")
NET_CLS = "/sys/fs/cgroup/net_cls,net_prio"
# Where sockets are matched by control group: the hierarchy of v2, and where there is none, net_cls.
GROUPS = next((one for one in PLACES if os.path.exists(one + "/cgroup.procs")), NET_CLS)
SECONDS, WINDOWS, TOLERANCE, PAYLOAD = 3.0, 12, 0.05, 1400


def run(command, check=True, namespace=None):
    """Run a line of a shell; its standard output."""
    words = ["sh", "-ec", command]
    if namespace:
        words = ["nsenter", "--net=/run/netns/" + namespace, *words]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert not check or done.returncode == 0, (command, done.stdout, done.stderr)
    return done.stdout


def tc(words, namespace=HERE):
    """What `tc` shows, as data."""
    return json.loads(run("tc -j -d %s" % words, namespace=namespace) or "[]")


@contextlib.contextmanager
def wires():
    """The two namespaces."""
    run("ip netns add %s; ip netns add %s" % (HERE, THERE))
    try:
        run("ip link add v0 netns %s type veth peer name v1 netns %s" % (HERE, THERE))
        for name, namespace in (("v0", HERE), ("v1", THERE)):
            four, six = ADDRESSES[name]
            line = "ip addr add %s/24 dev {0}; ip addr add %s/64 dev {0} nodad; ip link set {0} up"
            run((line % (four, six)).format(name), namespace=namespace)
        yield
    finally:
        run("ip netns del %s; ip netns del %s" % (HERE, THERE), check=False)


def converge(*items, check=False, replaying=False):
    """What a module does with these limits: observe, plan, apply, look again: (steps, reports)."""
    subject = Bandwidth()
    subject.replaying = replaying
    planned, reports = converging.converge(subject, items, check)
    return planned.steps, reports


def here(**options):
    return {"interface": "v0", "netns": HERE, **options}


@pytest.fixture(scope="module")
def two_namespaces():
    with wires():
        yield


@pytest.fixture
def nothing_left():
    """Nothing is there when a test has taken its limits away."""
    yield
    converge(here(state="absent"))
    assert tc("qdisc show dev v0 root")[0]["kind"] == "noqueue"
    assert not tc("qdisc show dev v0 ingress") and not run("nft list tables", namespace=HERE)


@pytest.fixture
def group():
    """A control group, where its sockets are matched."""
    path = GROUPS + "/tc-lab"
    os.mkdir(path)
    yield path
    os.rmdir(path)


# Traffic


@contextlib.contextmanager
def inside(namespace):
    """This process, which has one thread, in a network namespace."""
    home, to = (
        os.open(path, os.O_RDONLY) for path in ("/proc/self/ns/net", "/run/netns/" + namespace)
    )
    try:
        syscalls.setns(to, syscalls.CLONE_NEWNET)
        yield
    finally:
        syscalls.setns(home, syscalls.CLONE_NEWNET)
        os.close(home)
        os.close(to)


def _send(address, port, mbit, mark):
    """Datagrams at twice the rate that may pass, until it is killed."""
    door = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM)
    if mark:
        door.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, mark)
    sent, began = 0, time.monotonic()
    while True:
        while sent * 8 < (time.monotonic() - began) * mbit * 2e6:
            with contextlib.suppress(OSError):  # nobody listens, or the queue is full
                door.sendto(bytes(PAYLOAD), (address, port))
            sent += PAYLOAD
        time.sleep(0.002)


class Sender:
    """A process that sends more than may pass. group: the directory of its control group."""

    def __init__(self, namespace, address, port, mbit, group="", mark=0):
        self.pid = os.fork()
        if self.pid:
            return
        try:
            if group:
                with open(group + "/cgroup.procs", "w", encoding="ascii") as file:
                    file.write(str(os.getpid()))
            with inside(namespace):
                _send(address, port, mbit, mark)
        finally:
            os._exit(1)

    def stop(self):
        os.kill(self.pid, signal.SIGKILL)
        return os.waitpid(self.pid, 0)[1] == signal.SIGKILL


def queue_bytes(minor=None):
    """A counter of the bytes that v0 has sent, in all or by one class."""

    def count(door, index):
        if minor is None:
            items = [item for item in traffic.qdiscs(door) if item.parent == traffic.ROOT]
        else:
            items = [item for item in traffic.classes(door, index) if item.handle & 0xFFFF == minor]
        return next(item for item in items if item.index == index).counters()["bytes"]

    return count


def received_bytes(door, index):
    """The bytes of packets that have come as far as IP in the namespace of v0."""
    four = [
        line.split()
        for line in run("cat /proc/net/netstat", namespace=HERE).splitlines()
        if line.startswith("IpExt")
    ]
    six = run("cat /proc/net/snmp6", namespace=HERE).split()
    return int(dict(zip(*four))["InOctets"]) + int(six[six.index("Ip6InOctets") + 1])


def measure(senders, counters):
    """See that each counter goes at its rate, in Mbit/s, within 5 %.

    senders: functions that start one, given 0 for IPv4 or 1 for IPv6. In a window in which the
    machine was too busy to send, a counter says nothing, so that some are tried until each has said
    what it had to; one that is over its limit is wrong at once.
    """
    for version in (0, 1):
        running = [start(version) for start in senders]
        try:
            time.sleep(1.5)  # the buckets are empty then, and the queues full
            best = [0.0] * len(counters)
            for _window in range(WINDOWS):
                seen = _window_of(counters)
                print("IPv%d:" % (6 if version else 4), seen)
                assert all(least < 1 + TOLERANCE for least, _most in seen), seen
                best = [max(held, most) for held, (_least, most) in zip(best, seen)]
                if min(best) > 1 - TOLERANCE:
                    break
            assert min(best) > 1 - TOLERANCE, best
        finally:
            assert [one.stop() for one in running] == [True] * len(running), "a sender ended early"


def _window_of(counters):
    """(at least, at most) of its rate that each counter has counted in a window."""
    with inside(HERE), netlink.Socket() as door:
        index = socket.if_nametoindex("v0")
        first, last = (
            [_timed(count, door, index) for count, _rate in counters] for _wait in _waits()
        )
    return [
        (
            (after[1] - before[1]) * 8e-6 / (after[2] - before[0]) / rate,
            (after[1] - before[1]) * 8e-6 / (after[0] - before[2]) / rate,
        )
        for before, after, (_count, rate) in zip(first, last, counters)
    ]


def _waits():
    yield
    time.sleep(SECONDS)
    yield


def _timed(count, door, index):
    began = time.monotonic()
    return began, count(door, index), time.monotonic()
