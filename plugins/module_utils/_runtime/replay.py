# Copyright: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Bring back what is kept: at boot, when a device or CPU returns, and whenever somebody wants drift to be healed.

Each kind is one plan, as it was one call of its module. Where that cannot be made or done, each object is tried for itself,
so that one that fails costs no other. When something was brought back, a second round looks at all kinds again: a class of
cache takes in what runs in a control group, and the container that runs there comes after both.
"""

from __future__ import annotations

import json
import os
import time

from . import desired, survey
from .errors import BulkheadError
from .plan import ReplaceFile

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from .subject import Subject

REPORT = "replay.json"


def replay(say: Callable[[str, bool], None], only: str = "") -> dict[str, Any]:
    """Bring everything back; returns the report, which is also kept in the directory of live state.

    say: is told each thing that was done or failed, and whether it is a failure. only: one kind, of
    which the report is not kept: it does not tell of the others.
    """
    began = time.time()
    report: dict[str, Any] = {"format": 1, "time": _timestamp(began), "kinds": {}, "failures": []}
    with desired.replaying():
        there, failures = survey.kept_kinds()
        there = [kind for kind in there if only in ("", kind)]
        outcomes = {kind: _bring_back(kind) for kind in there}
        if any(outcome.writes for outcome in outcomes.values()):
            for kind in there[:-1]:
                again = _bring_back(kind)
                again.writes = outcomes[kind].writes + again.writes
                outcomes[kind] = again
        for failure in failures:
            say(str(failure), True)
        for kind, outcome in outcomes.items():
            outcome.tell(say)
            report["kinds"][kind] = outcome.facts()
            failures += outcome.failures
        report["failures"] = [failure.facts() for failure in failures]
        report["seconds"] = round(time.time() - began, 3)
        if not only:
            ReplaceFile(os.path.join(desired.RUN, REPORT), None, json.dumps(report, indent=1) + "\n").do()
    return report


def last_report() -> dict[str, Any] | None:
    """What the last replay of this boot did; None where there was none."""
    try:
        with open(os.path.join(desired.RUN, REPORT), encoding="utf-8") as file:
            report: dict[str, Any] = json.load(file)
            return report
    except (OSError, ValueError):
        return None


def _timestamp(seconds: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))


class Outcome:
    """What became of one kind: what was written, what failed, and what was left alone and why."""

    def __init__(self, kept: survey.Kept, writes: list[dict[str, Any]]) -> None:
        self.kind = kept.kind
        self.objects = len(kept.options)
        self.left = kept.left
        self.failures = kept.failures
        self.warnings = kept.warnings
        self.writes = writes

    def facts(self) -> dict[str, Any]:
        counts = {"objects": self.objects, "changes": len(self.writes), "failed": len(self.failures)}
        return {**counts, "left_alone": self.left, "warnings": self.warnings, "writes": self.writes}

    def tell(self, say: Callable[[str, bool], None]) -> None:
        for failure in self.failures:
            say(str(failure), True)
        for name, why in self.left.items():
            say("%s %s: left alone: %s" % (self.kind, name, why), False)
        for warning in self.warnings:
            say("%s: %s" % (self.kind, warning), False)
        say("%s: %d kept, %d changes made, %d failed" % (self.kind, self.objects, len(self.writes), len(self.failures)), False)


def _bring_back(kind: str) -> Outcome:
    kept = survey.Kept(kind)
    writes: list[dict[str, Any]] = []
    try:
        if kept.subject is not None:
            names = [name for name in kept.objects if name not in kept.left]
            try:
                writes = _converge(kept, kept.subject, [kept.objects[name] for name in names])
            except Exception as error:
                if len(names) == 1:
                    kept.fail(names[0], error)
                else:
                    writes = _one_by_one(kept, names)
    finally:
        kept.close()
    return Outcome(kept, writes)


def _one_by_one(kept: survey.Kept, names: list[str]) -> list[dict[str, Any]]:
    """The same for each object by itself, looking at the machine anew."""
    writes = []
    subject = kept.make_subject()
    try:
        for name in names:
            try:
                writes += _converge(kept, subject, [kept.parse(subject, name)])
            except Exception as error:
                kept.fail(name, error)
    finally:
        subject.finish()
    return writes


def _converge(kept: survey.Kept, subject: Subject, objects: list[Any]) -> list[dict[str, Any]]:
    """Observe, plan, apply and look again, as a module does; returns what was written."""
    plan = kept.heed(subject.plan(objects))
    if not plan.steps:
        return []
    subject.apply(plan)
    writes = plan.writes()
    again = subject.plan(objects)
    if again.steps:
        step = again.steps[0]
        raise BulkheadError("it was written and does not hold: %s holds %r where %r is wanted" % (step.target, step.before, step.after), target=step.target)
    return writes
