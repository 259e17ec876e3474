# SPDX-FileCopyrightText: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Random valid limits against this machine's own kernel: converge.py COUNT [SEED]

Each is set on top of the one before, in a network namespace of this process's own. The second plan must
be empty, and a refused plan must leave the queues as they were. The state of the kernel is then judged
by what was asked for and not by the core's own reading.
"""

from __future__ import annotations

import os
import random
import sys
import time

_COLLECTIONS = os.path.abspath(__file__).partition("/ansible_collections/")
if _COLLECTIONS[1]:
    sys.path.insert(0, _COLLECTIONS[0])

from ansible_collections.bulkhead.linux.plugins.module_utils._runtime.errors import InvalidInput  # noqa: E402
from ansible_collections.bulkhead.linux.plugins.module_utils._runtime.kernel import (  # noqa: E402
    netdevice,
    netlink,
    syscalls,
)
from ansible_collections.bulkhead.linux.plugins.module_utils._runtime.tc.subject import Bandwidth  # noqa: E402

UNITS = {"bit": 1, "kbit": 10**3, "Mbit": 10**6, "gbit": 10**9, "kibit": 1024, "mibit/s": 1 << 20}

# What a random setting may run into, with its bucket or with the classes that are there.
REFUSALS = ("274.8 s", "no full frame", "4 GiB - 1", "there are classes")


def a_rate(low: float = 8e3, high: float = 4e11) -> str:
    """A rate between two, in a random spelling."""
    bits = (
        random.uniform(low, high)
        if random.random() < 0.3
        else low * (high / low) ** random.random()
    )
    unit = random.choice([name for name in UNITS if UNITS[name] <= bits])
    digits = random.choice([0, 1, 3])
    return "%.*f%s" % (digits, max(bits / UNITS[unit], low / UNITS[unit] + 1), unit)


def a_bucket(high: float = 4e11) -> dict[str, object]:
    found: dict[str, object] = {"rate": a_rate(8e3, high)}
    if random.random() < 0.5:
        found["burst"] = random.choice(
            [1514, 1600, 32768, "64K", "1M", random.randrange(1514, 1 << 20)]
        )
    if random.random() < 0.3:
        found["latency"] = random.choice(["1ms", "25ms", "0.4s", "800us"])
    elif random.random() < 0.2:
        found["limit"] = random.choice([10000, "1M", random.randrange(1514, 1 << 30)])
    return found


def a_match(number: int) -> dict[str, object]:
    """A match that no other number has."""
    choices: list[dict[str, object]] = [
        {"destination": "10.%d.%d.0/%d" % (number >> 8, number & 255, random.choice([24, 24, 24]))},
        {"source": "2001:db8:%x::/48" % number},
        {"protocol": random.choice(["tcp", "udp", "sctp"]), "port": 1000 + number},
        {"source_port": 1000 + number, "destination_port": 7},
        {"protocol": 100 + number % 100, "destination": "192.0.2.%d" % (number & 255)},
        {"mark": "0x%x/0xffff" % number},
        {"mark": str(number), "protocol": "udp", "destination": "2001:db8::/33"},
    ]
    return random.choice(choices)


def some_classes() -> list[dict[str, object]]:
    """Up to twelve classes, some of which are below others."""
    classes: list[dict[str, object]] = []
    for number in random.sample(range(1, 60), random.randrange(1, 12)):
        rate = a_rate(8e3, 1e10)
        one: dict[str, object] = {"name": "c%d" % number, "rate": rate, "match": a_match(number)}
        if random.random() < 0.5:
            one["ceil"] = "400gbit"
        if random.random() < 0.3:
            one["burst"] = random.choice([2000, 30000, "100K"])
        if random.random() < 0.3:
            one["priority"] = random.randrange(8)
        if classes and random.random() < 0.4:
            parent = random.choice(classes)
            parent.pop("match", None)
            one["parent"] = parent["name"]
        classes.append(one)
    if random.random() < 0.3:
        classes.append({"name": "others", "rate": a_rate(8e3, 1e9)})
    # Whoever is below another must not be what lost its match to become the class of the rest.
    inner = {one.get("parent") for one in classes}
    return [
        one for one in classes if "match" in one or one["name"] in inner or one["name"] == "others"
    ]


def some_options() -> dict[str, object]:
    options: dict[str, object] = {"interface": random.choice(["a0", "b0"]), "overcommit": "allow"}
    kind = random.random()
    if kind < 0.05:
        return {**options, "state": "absent"}
    if kind < 0.6:
        options["egress"] = a_bucket() if random.random() < 0.9 else {"rate": "max"}
    if kind > 0.3:
        options["ingress"] = a_bucket() if random.random() < 0.9 else {"rate": "max"}
    if random.random() < 0.5:
        egress = options.get("egress")
        if isinstance(egress, dict):
            for name in ("latency", "limit"):
                egress.pop(name, None)
        options["classes"] = some_classes() if random.random() < 0.9 else []
    return options


def main(count: int, seed: int) -> None:
    random.seed(seed)
    syscalls.unshare(syscalls.CLONE_NEWNET)
    with netlink.Socket() as door:
        door.do(netdevice.add_veth("a0", "b0"))
    refused = changed = 0
    began = time.monotonic()
    for number in range(count):
        options = some_options()
        subject = Bandwidth()
        try:
            try:
                limit = subject.parse(options)
                plan = subject.plan([limit])
            except InvalidInput as error:
                refused += 1
                assert any(known in str(error) for known in REFUSALS), error
                continue
            subject.apply(plan)
            changed += bool(plan.steps)
            again = subject.plan([limit])
            assert not again.steps, (number, options, [step.facts() for step in again.steps])
            subject.report([limit], again)
        except Exception:
            print("seed %d, number %d: %r" % (seed, number, options), file=sys.stderr)
            raise
        finally:
            subject.finish()
    spent = time.monotonic() - began
    print(
        "%d settings, %d of them refused, %d changed something: every second plan was empty (%.1f s)"
        % (count, refused, changed, spent)
    )
    assert refused < count / 4 and changed > count / 2


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else random.randrange(1 << 30))
