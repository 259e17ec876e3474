# SPDX-FileCopyrightText: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Random sequences of sets of classes on the machine's resctrl, through the core.

Whatever was before, one run comes to what was asked, and a second one has nothing to do; no exclusive class overlaps another
group after any step; the group of somebody else stays as it is; a set that is refused changes nothing; and all goes away.
"""

from __future__ import annotations

import random
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "plugins/module_utils"))

from _runtime.errors import BulkheadError
from _runtime.resctrl.subject import Schemata
from resctrl_machine import ROOT, Resctrl, values

NAMES = ["c1", "c2", "c3", "c4", "c5"]
FOREIGN = "somebodys"
SECONDS = 12.0
OPTIONS = {"intel": ["", "cdp", "mba_MBps"], "amd": ["", "cdp"]}
CACHES = ("L3", "L3CODE", "L3DATA")


class Wrong(Exception):
    """What the kernel shows is not what must hold."""


class Classes:
    """One mount of resctrl, and the classes in it."""

    def __init__(self, machine: Resctrl, options: str, seed: int) -> None:
        self.machine = machine
        self.options = options
        self.rng = random.Random(seed)
        self.domains: list[int] = machine.facts["domains"]  # type: ignore[assignment]
        self.converged = self.refused = self.steps = 0

    # What is asked for

    def item(self, name: str) -> dict[str, Any]:
        """One class at random, or that it is to go."""
        rng = self.rng
        if rng.random() < 0.25:
            return {"name": name, "state": "absent"}
        item: dict[str, Any] = {"name": name}
        if self.options == "cdp" and rng.random() < 0.5:
            item["l3code"], item["l3data"] = self.share(), self.share()
        elif rng.random() < 0.9:
            item["l3"] = self.share()
        if rng.random() < 0.6:
            item["mb"] = self.bandwidth() if rng.random() < 0.7 else {rng.choice(self.domains): self.bandwidth()}
        if rng.random() < 0.6:
            item["mode"] = rng.choice(["exclusive", "exclusive", "shareable"])
        if rng.random() < 0.2:
            item["cpus"] = str(rng.randrange(4))
        return item

    def share(self) -> Any:
        rng = self.rng
        kind = rng.randrange(4)
        if kind == 0:
            return {rng.choice(self.domains): rng.randrange(1, 5)}
        return "%d%%" % rng.randrange(10, 60) if kind == 1 else rng.randrange(1, 4)

    def bandwidth(self) -> Any:
        if self.options == "mba_MBps":
            return self.rng.choice(["max", "%dMBps" % self.rng.randrange(1, 1 << 20)])
        least, most = (int(self.machine.facts[which]) for which in ("least", "most"))  # type: ignore[call-overload]
        return self.rng.choice(["max", self.rng.randrange(max(1, least), most + 1)])

    # What is there

    def groups(self) -> list[str]:
        return ["", *sorted(path.parent.name for path in ROOT.glob("*/schemata"))]

    def state(self) -> dict[str, str]:
        return {"%s/%s" % (group, file): (ROOT / group / file).read_text() for group in self.groups() for file in ("schemata", "mode", "cpus_list")}

    def of_others(self) -> dict[str, str]:
        return {file: (ROOT / FOREIGN / file).read_text() for file in ("schemata", "mode", "cpus_list", "tasks")}

    def look(self, after: str) -> None:
        """No exclusive group overlaps another, in any domain, code and data of a cache taken together."""
        masks: dict[str, dict[int, int]] = {}
        for group in self.groups():
            for (resource, domain), value in values((ROOT / group / "schemata").read_text()).items():
                if resource in CACHES:
                    masks.setdefault(group, {}).setdefault(domain, 0)
                    masks[group][domain] |= int(value, 16)
        for group in masks:
            if (ROOT / group / "mode").read_text() != "exclusive\n":
                continue
            for other in masks:
                for domain in masks[group]:
                    if other != group and masks[group][domain] & masks[other].get(domain, 0):
                        raise Wrong("after %s: %s, which is exclusive, and %s overlap in domain %d" % (after, group, other or "the default group", domain))

    # Runs

    def converge(self, items: list[dict[str, Any]]) -> None:
        before, others = self.state(), self.of_others()
        subject = Schemata()
        try:
            objects = [subject.parse(item) for item in items]
            try:
                the_plan = subject.plan(objects)
            except BulkheadError as error:
                self.refused += 1
                if self.state() != before:
                    raise Wrong("refused, and yet changed: %s" % error) from error
                return
            for step in the_plan.steps:
                self.watch(step)
            try:
                subject.apply(the_plan)
            except BulkheadError as error:
                raise Wrong("the plan failed: %s%s" % (error, "" if self.state() == before else "; and it was not undone")) from error
            self.steps += len(the_plan.steps)
            again = subject.plan(objects)
            if again.steps:
                raise Wrong("the second plan has steps: %s" % again.writes())
            subject.report(objects, again)
        finally:
            subject.finish()
        self.converged += 1
        if self.of_others() != others:
            raise Wrong("the group of somebody else was %s and is %s" % (others, self.of_others()))
        for item in items:
            self.check(item)

    def watch(self, step: Any) -> None:
        do = step.do

        def observed() -> None:
            do()
            self.look(step.target)

        step.do = observed

    def check(self, item: dict[str, Any]) -> None:
        """What was asked is what the files say."""
        group = ROOT / item["name"]
        if item.get("state") == "absent":
            if group.exists():
                raise Wrong("%s is still there" % item["name"])
            return
        if "mode" in item and (group / "mode").read_text().strip() != item["mode"]:
            raise Wrong("%s is %s" % (item, (group / "mode").read_text()))
        ways = bin(int(self.machine.facts["full"])).count("1")  # type: ignore[call-overload]
        for (resource, domain), value in values((group / "schemata").read_text()).items():
            asked = item.get(resource.lower(), item.get("l3") if resource in CACHES else None)
            if isinstance(asked, dict):
                asked = asked.get(domain)
            if asked is None or resource not in CACHES:
                continue
            wanted = ways * int(asked[:-1]) // 100 if isinstance(asked, str) else asked
            if bin(int(value, 16)).count("1") != wanted:
                raise Wrong("%s: %s of domain %d is %s, which is not %d ways" % (item, resource, domain, value, wanted))

    def run(self) -> str:
        """Empty, or what is wrong, and how it came to it."""
        self.machine.mount_anew(self.options)
        self.machine.fresh(FOREIGN)
        lines = ["%s:*=1" % name for name in (("L3CODE", "L3DATA") if self.options == "cdp" else ("L3",))]
        self.machine.put(FOREIGN + "/schemata", "\n".join(lines) + "\n")
        self.machine.put("%s/tasks" % FOREIGN, "%d\n" % self.machine.tasks.start("somebodys"))
        deadline = time.monotonic() + SECONDS
        history: list[list[dict[str, Any]]] = []
        try:
            while time.monotonic() < deadline:
                history.append([self.item(name) for name in sorted(self.rng.sample(NAMES, self.rng.randrange(1, 5)))])
                self.converge(history[-1])
            history.append([{"name": name, "state": "absent"} for name in NAMES])
            self.converge(history[-1])
            if self.groups() != ["", FOREIGN]:
                raise Wrong("these are left: %s" % self.groups())
            if self.converged < 5:
                raise Wrong("only %d sets in %.0f s, %d refused" % (self.converged, SECONDS, self.refused))
        except Wrong as wrong:
            return "%s. The last three sets of %d: %s" % (wrong, len(history), history[-3:])
        finally:
            print("%s: %d sets in %d steps, %d refused" % (self.options or "plain", self.converged, self.steps, self.refused), file=sys.stderr)
            self.machine.tasks.end()
            self.machine.close()
        return ""


def run(kind: str, seed: int) -> Iterator[tuple[str, str, str]]:
    """(mount options, what is wrong, why it was not tried)."""
    machine = Resctrl()
    machine.close()
    for number, options in enumerate(OPTIONS[kind]):
        yield options or "plain", Classes(machine, options, seed + number).run(), ""
