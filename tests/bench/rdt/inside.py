# SPDX-FileCopyrightText: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""On a node with resctrl: seven classes set, read and removed, by the core and by its peers; prints what it took as JSON.

inside.py measure | inside.py set | inside.py read | inside.py remove
"""

from __future__ import annotations

import json
import os
import re
import statistics
import subprocess
import sys
import time
from pathlib import Path

SOURCES = Path(__file__).resolve().parents[3]
sys.path.insert(0, str(SOURCES / "plugins/module_utils"))

ROOT = "/sys/fs/resctrl"
COUNT = 7
ROUNDS = 3
# Monitoring ids of groups that are gone are free again when the kernel has looked, once a second.
LIMBO = 2.5
CLASSES = [
    {"name": "bh%d" % number, "schemata": ["L3:0=%x;1=%x" % ((1 << number,) * 2), "MB:0=%d;1=%d" % ((10 * number + 10,) * 2)]} for number in range(COUNT)
]
GONE = [{"name": item["name"], "state": "absent"} for item in CLASSES]
SCRIPT = {
    "set": "".join("mkdir %s/%s\nprintf '%s\\n' > %s/%s/schemata\n" % (ROOT, c["name"], "\\n".join(c["schemata"]), ROOT, c["name"]) for c in CLASSES),
    "read": "cat %s/*/schemata > /dev/null\n" % ROOT,
    "remove": "".join("rmdir %s/%s\n" % (ROOT, c["name"]) for c in CLASSES),
}
PQOS = {
    "set": [
        "pqos --iface=os -e '%s;%s' > /dev/null"
        % (
            ";".join("llc@0,1:%d=0x%x" % (number + 1, 1 << number) for number in range(COUNT)),
            ";".join("mba@0,1:%d=%d" % (number + 1, 10 * number + 10) for number in range(COUNT)),
        )
    ],
    "read": ["pqos --iface=os -s > /dev/null"],
    "remove": ["pqos --iface=os -R > /dev/null"],
}


def converge(items: list[dict]) -> None:
    """As a module does it."""
    from _runtime.resctrl.subject import Schemata

    subject = Schemata()
    objects = [subject.parse(item) for item in items]
    last = subject.plan(objects)
    if last.steps:
        subject.apply(last)
        last = subject.plan(objects)
        assert not last.steps
    subject.report(objects, last)


def took(call) -> float:
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


def shell(text: str):
    return lambda: subprocess.run(["sh", "-ec", text], check=True)


def on_resctrl(verb: str) -> dict[str, int]:
    """The system calls on resctrl that one run makes, by name."""
    trace = "/tmp/bh-bench.trace"
    subprocess.run(["strace", "-f", "-y", "-s", "300", "-o", trace, sys.executable, __file__, verb], check=True)
    found: dict[str, int] = {}
    for line in Path(trace).read_text(errors="replace").splitlines():
        match = re.match(r"(?:\d+ +)?(\w+)\(", line)
        if match and ROOT in line and "ENOENT" not in line:
            found[match[1]] = found.get(match[1], 0) + 1
    return found


def measure() -> None:
    subprocess.run(["mount", "-t", "resctrl", "resctrl", ROOT], check=True)
    converge(CLASSES)  # imports everything, and makes the file of facts
    converge(GONE)
    time.sleep(LIMBO)
    times: dict[str, dict[str, list[float]]] = {"core": {}, "script": {}, "pqos": {}}
    for _round in range(ROUNDS):
        for verb, items in (("set", CLASSES), ("read", CLASSES), ("remove", GONE)):
            times["core"].setdefault(verb, []).append(took(lambda items=items: converge(items)))
        time.sleep(LIMBO)
        for verb, text in SCRIPT.items():
            times["script"].setdefault(verb, []).append(took(shell(text)))
        time.sleep(LIMBO)
    calls = {verb: on_resctrl(verb) for verb in ("set", "read", "remove")}
    # Last, as it makes a group for every class that is free. To remove is to reset for it: it leaves them, so that the next to set would find them.
    for _round in range(ROUNDS):
        for verb in ("set", "read", "remove"):
            times["pqos"].setdefault(verb, []).append(took(shell("; ".join(PQOS[verb]))))
        subprocess.run(["sh", "-c", "rmdir %s/COS*" % ROOT], check=True)
        time.sleep(LIMBO)
    medians = {who: {verb: statistics.median(values) for verb, values in verbs.items()} for who, verbs in times.items()}
    print(json.dumps({"seconds": medians, "calls": calls, "count": COUNT}))


if __name__ == "__main__":
    os.chdir("/")
    {"measure": measure, "set": lambda: converge(CLASSES), "read": lambda: converge(CLASSES), "remove": lambda: converge(GONE)}[sys.argv[1]]()
