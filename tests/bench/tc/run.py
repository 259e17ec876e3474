# SPDX-FileCopyrightText: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Classes with a filter each on one interface: set, looked at again, removed; by the core of tc_bandwidth and by `tc`.

The peers are one `tc -batch` and, over fewer classes and scaled up, a loop that starts `tc` for each line. CPU time is
compared, of this process and of what it starts, since a shared machine says little by the clock. Each is the best of
several rounds. Everything is in a network namespace of this process's own.
"""

from __future__ import annotations

import gc
import os
import resource
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[3] / "build/collections"))

from ansible_collections.bulkhead.linux.plugins.module_utils._runtime.kernel import (
    netdevice,
    netlink,
    syscalls,
    traffic,
)
from ansible_collections.bulkhead.linux.plugins.module_utils._runtime.tc.subject import Bandwidth

COUNTS = (500, 100, 10)
ROUNDS = 5
LOOP = 20
NAME = "bench0"
# What is promised: setting as a multiple of `tc -batch`, and looking again as a multiple of setting.
PROMISED = {500: 1.5, 100: 1.0, 10: 0.5}
LOOKING = 0.2


def cpu() -> float:
    """Seconds of CPU, in user and system mode, of this process and of the children that it has waited for."""
    return sum(sum(resource.getrusage(who)[:2]) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))


def spent(work: Callable[[], Any]) -> float:
    began = cpu()
    work()
    return cpu() - began


def address(number: int) -> str:
    return "10.%d.%d.1" % (number >> 8, number & 255)


def options(count: int) -> dict[str, Any]:
    """Addresses of IPv4, so that both sides need one filter for a class."""
    classes = [{"name": "c%d" % at, "rate": "1mbit", "ceil": "10mbit", "match": {"destination": address(at)}} for at in range(count)]
    return {"interface": NAME, "egress": {"rate": "10gbit"}, "classes": classes}


def converge(asked: dict[str, Any]) -> int:
    """From options to a kernel that holds them, as a module does it; returns how many steps it took."""
    subject = Bandwidth()
    try:
        limit = subject.parse(asked)
        plan = subject.plan([limit])
        if plan.steps:
            subject.apply(plan)
        return len(plan.steps)
    finally:
        subject.finish()


def batch(count: int) -> str:
    """The same for tc."""
    lines = [
        "qdisc replace dev %s root handle 1: htb default ffff" % NAME,
        "class add dev %s parent 1: classid 1:1 htb rate 10gbit ceil 10gbit quantum 1514" % NAME,
        "class add dev %s parent 1:1 classid 1:ffff htb rate 1gbit ceil 10gbit quantum 1514" % NAME,
    ]
    for at in range(count):
        one = (NAME, at + 2)
        lines.append("class add dev %s parent 1:1 classid 1:%x htb rate 1mbit ceil 10mbit quantum 1514" % one)
        lines.append("qdisc add dev %s parent 1:%x pfifo limit 1000" % one)
    for at in range(count):
        lines.append("filter add dev %s parent 1: protocol ip prio 1 u32 match ip dst %s flowid 1:%x" % (NAME, address(at), at + 2))
    return "\n".join(lines) + "\n"


def clear(door: netlink.Socket, index: int) -> None:
    door.send([traffic.delete_qdisc(index, traffic.ROOT)])


def compare(door: netlink.Socket, index: int, count: int, work: str) -> tuple[list[str], list[str]]:
    """What is to be printed, and what broke a promise."""
    script = Path(work) / ("batch%d" % count)
    script.write_text(batch(count))
    asked = options(count)
    rows: dict[str, list[float]] = {"set": [], "again": [], "remove": [], "tc -batch": [], "tc qdisc del": []}
    for _round in range(ROUNDS):
        rows["set"].append(spent(lambda: converge(asked)))
        rows["again"].append(spent(lambda: converge(asked)))
        rows["remove"].append(spent(lambda: converge({"interface": NAME, "state": "absent"})))
        rows["tc -batch"].append(spent(lambda: subprocess.run(["tc", "-batch", str(script)], check=True)))
        rows["tc qdisc del"].append(spent(lambda: subprocess.run(["tc", "qdisc", "del", "dev", NAME, "root"], check=True)))
    best = {name: min(values) for name, values in rows.items()}
    setting, looking = best["set"] / best["tc -batch"], best["again"] / best["set"]
    lines = ["%4d classes  set %5.2f of tc -batch (%.1f ms, %.1f ms)" % (count, setting, best["set"] * 1e3, best["tc -batch"] * 1e3)]
    lines.append("              again %.2f of setting (%.1f ms)" % (looking, best["again"] * 1e3))
    lines.append("              remove %.2f of tc qdisc del (%.1f ms)" % (best["remove"] / best["tc qdisc del"], best["remove"] * 1e3))
    broken = []
    if setting > PROMISED[count]:
        broken.append("setting %d classes takes %.2f of tc -batch, and %.1f is promised" % (count, setting, PROMISED[count]))
    if count == max(COUNTS) and looking > LOOKING:
        broken.append("looking at %d classes again takes %.2f of setting them, and %.1f is promised" % (count, looking, LOOKING))
    return lines, broken


def loop(count: int) -> float:
    """Seconds of CPU for a shell that starts tc for each line, from a few of them."""
    lines = batch(LOOP).splitlines()
    shell = "\n".join("tc " + line for line in lines)
    return spent(lambda: subprocess.run(["sh", "-ec", shell], check=True)) * count / LOOP


def main() -> int:
    if not shutil.which("tc"):
        print("SKIP: tc is not here, with which this is compared")
        return 0
    gc.disable()  # as a module does
    syscalls.unshare(syscalls.CLONE_NEWNET)
    broken: list[str] = []
    with netlink.Socket() as door, tempfile.TemporaryDirectory() as work:
        door.do(netdevice.add_veth(NAME, "bench1"))
        link = netdevice.link(door, NAME)
        assert link is not None
        converge(options(1))  # imports, and what is asked of the kernel once
        clear(door, link.index)
        print("CPU time, the best of %d rounds; an interface with classes, a queue and a filter for each" % ROUNDS)
        for count in COUNTS:
            lines, wrong = compare(door, link.index, count, work)
            print("\n".join(lines))
            broken += wrong
        print(" 500 classes  a loop of tc takes %.1f s" % loop(500))
    for text in broken:
        print("BROKEN: " + text)
    return 1 if broken else 0


if __name__ == "__main__":
    os.environ.setdefault("LC_ALL", "C")
    sys.exit(main())
