# SPDX-FileCopyrightText: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whether the limits hold: measure.py HOST CONTAINER PLAN

HOST and CONTAINER are network namespaces with a pair of interfaces v0 and v1 between them. The plan is JSON, a list of
{from, port, group, counter, mbit}: who sends datagrams to which port, from which control group of v2, and which queue
("qdisc v0", "class v0 7002:e51") must then pass how much. Each sends twice as much as may pass, once over IPv4 and once
over IPv6. What passed is counted by the kernel's counters of the queue, within 5 %.
"""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
import time
from typing import Any

SECONDS, WINDOWS, TOLERANCE, PAYLOAD = 4.0, 4, 0.05, 1400
ADDRESSES = {"v0": ("10.97.0.2", "fd97::2"), "v1": ("10.97.0.1", "fd97::1")}


def inside(namespace: str, *words: str) -> list[str]:
    return ["nsenter", "--net=/run/netns/" + namespace, *words]


def send(address: str, port: int, mbit: float, seconds: float, group: str) -> None:
    """Datagrams at twice the rate that may pass, so that the limit is what is seen."""
    if group:
        with open(group + "/cgroup.procs", "w") as file:
            file.write(str(os.getpid()))
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as door:
        sent, began = 0, time.monotonic()
        while (now := time.monotonic() - began) < seconds:
            while sent * 8 < now * mbit * 2e6:
                try:
                    door.sendto(bytes(PAYLOAD), (address, port))
                except OSError:
                    pass  # nobody listens (ECONNREFUSED), or the queue is full (ENOBUFS)
                sent += PAYLOAD
            time.sleep(0.001)


def counter(namespace: str, name: str) -> int:
    """The bytes that a queue has passed."""
    kind, device, *number = name.split()
    words = ["tc", "-s", kind, "show", "dev", device, *(["root"] if kind == "qdisc" else [])]
    text = subprocess.run(inside(namespace, *words), capture_output=True, text=True, check=True).stdout
    if number:
        text = next(part for part in re.split(r"\n\n+", text) if part.split()[2:3] == number)
    found = re.search(r"Sent (\d+) bytes", text)
    assert found, text
    return int(found.group(1))


def timed(namespace: str, name: str) -> tuple[float, int, float]:
    """The counter, and the times between which it was read: on a busy machine, starting tc takes a while."""
    before = time.monotonic()
    return before, counter(namespace, name), time.monotonic()


def passed(host: str, plan: list[dict[str, Any]]) -> list[tuple[float, float]]:
    """(at least, at most) what passed each queue within one window, in Mbit/s."""
    first = [timed(host, one["counter"]) for one in plan]
    time.sleep(SECONDS)
    last = [timed(host, one["counter"]) for one in plan]
    return [
        ((after[1] - before[1]) * 8e-6 / (after[2] - before[0]), (after[1] - before[1]) * 8e-6 / (after[0] - before[2]))
        for before, after in zip(first, last)
    ]


def measure(host: str, container: str, plan: list[dict[str, Any]], version: int) -> list[str]:
    senders = []
    for one in plan:
        namespace, address = (host, ADDRESSES["v0"][version]) if one["from"] == "host" else (container, ADDRESSES["v1"][version])
        words = ["send", address, str(one["port"]), str(one["mbit"]), str(SECONDS * WINDOWS * 2), one.get("group", "")]
        senders.append(subprocess.Popen(inside(namespace, sys.executable, os.path.abspath(__file__), *words)))
    time.sleep(1)  # the bucket is empty then, and the queue full
    wrong: list[str] = []
    try:
        for _window in range(WINDOWS):
            wrong, over = [], False
            for one, (least, most) in zip(plan, passed(host, plan)):
                seen = (one["counter"], least, most, one["mbit"])
                print("IPv%d to port %d: " % (6 if version else 4, one["port"]) + "%s passed %.3f to %.3f of %s Mbit/s" % seen)
                over = over or least / one["mbit"] > 1 + TOLERANCE
                if over or most / one["mbit"] < 1 - TOLERANCE:
                    wrong.append("%s passed %.3f to %.3f Mbit/s, and %s is its limit" % seen)
            if over or not wrong:
                break
    finally:
        for sender in senders:
            assert sender.poll() is None, "a sender ended early"
            sender.kill()
            sender.wait()
    return wrong


if __name__ == "__main__":
    if sys.argv[1] == "send":
        send(sys.argv[2], int(sys.argv[3]), float(sys.argv[4]), float(sys.argv[5]), sys.argv[6])
    else:
        asked = json.loads(sys.argv[3])
        sys.exit("\n".join(measure(*sys.argv[1:3], asked, 0) + measure(*sys.argv[1:3], asked, 1)) or None)
