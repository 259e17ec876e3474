# SPDX-FileCopyrightText: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the kernel holds, read by two others: numbers.py NAMESPACE INTERFACE newest|older

pyroute2 reads queues and classes in the kernel's own units, `tc` reads filters. Where both read the same thing,
they must agree. The answer is JSON.
"""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

OLDER = len(sys.argv) > 3 and sys.argv[3] == "older"
if OLDER:  # as .ci/prepare puts it there
    sys.path.insert(0, sys.prefix + "/older")

import pyroute2  # noqa: E402
from pyroute2 import IPRoute, netns  # noqa: E402

assert pyroute2.__version__.startswith("0.7.") == OLDER, pyroute2.__version__
FULL = 0xFFFFFFFF


def handle(number: int) -> str:
    return "%x:%x" % (number >> 16, number & 0xFFFF)


def rate(parms: dict[str, Any], wide: int | None, name: str) -> int:
    return wide if wide is not None else parms[name]


def passed(message: Any) -> dict[str, int]:
    stats = message.get_attr("TCA_STATS2")
    return {"bytes": stats.get_attr("TCA_STATS_BASIC")["bytes"], "drops": stats.get_attr("TCA_STATS_QUEUE")["drops"]}


def queue(message: Any) -> dict[str, Any]:
    kind = message.get_attr("TCA_KIND")
    found = {"kind": kind, "handle": handle(message["handle"]), "parent": handle(message["parent"]), **passed(message)}
    options = message.get_attr("TCA_OPTIONS")
    if kind == "tbf":
        parms = options.get_attr("TCA_TBF_PARMS")
        found.update(rate=parms["rate"], peakrate=parms["peak"])
        found.update(burst_ticks=parms["buffer"], limit=parms["limit"], mtu_ticks=parms["mtu"])
    if kind == "htb":
        found["direct"] = options.get_attr("TCA_HTB_INIT")["direct_pkts"]
        found["default"] = options.get_attr("TCA_HTB_INIT")["defcls"]
    return found


def a_class(message: Any) -> dict[str, Any]:
    options = message.get_attr("TCA_OPTIONS")
    parms = options.get_attr("TCA_HTB_PARMS")
    found = {"parent": handle(message["parent"]), **passed(message)}
    found["rate"] = rate(parms, options.get_attr("TCA_HTB_RATE64"), "rate")
    found["ceil"] = rate(parms, options.get_attr("TCA_HTB_CEIL64"), "ceil")
    found.update(burst_ticks=parms["buffer"], cburst_ticks=parms["cbuffer"], quantum=parms["quantum"], prio=parms["prio"])
    return found


def tc(*words: str) -> str:
    return subprocess.run(["tc", *words], capture_output=True, text=True, check=True).stdout


def read(interface: str) -> dict[str, Any]:
    with IPRoute() as door:
        index = door.link_lookup(ifname=interface)[0]
        queues = [queue(one) for one in door.get_qdiscs() if one["index"] == index]
        classes = {handle(one["handle"]): a_class(one) for one in door.get_classes(index) if one.get_attr("TCA_KIND") == "htb"}
        devices = [one.get_attr("IFLA_IFNAME") for one in door.get_links()]
    shown = json.loads(tc("-j", "qdisc", "show", "dev", interface))
    for one in queues:
        alike = next(other for other in shown if other["handle"].rstrip(":") == one["handle"].partition(":")[0])
        assert alike["kind"] == one["kind"], (alike, one)
        if one["kind"] == "tbf":
            if one["rate"] == FULL:  # 32 bits are too few, and pyroute2 knows no TCA_TBF_RATE64
                one["rate"] = alike["options"]["rate"]
            assert alike["options"]["rate"] == one["rate"], (alike, one)
    lines = tc("class", "show", "dev", interface).splitlines()
    assert sorted(line.split()[2] for line in lines if line.startswith("class htb")) == sorted(classes), (lines, classes)
    filters = [line.strip() for line in tc("filter", "show", "dev", interface).splitlines()]
    hook = [line.strip() for line in tc("filter", "show", "dev", interface, "ingress").splitlines()]
    return {"queues": queues, "classes": classes, "filters": filters, "hook": hook, "devices": devices}


if __name__ == "__main__":
    netns.setns(sys.argv[1])
    print(json.dumps(read(sys.argv[2])))
