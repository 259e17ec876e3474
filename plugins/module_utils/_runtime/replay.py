# Copyright: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Bring back what is kept: at boot, when a device or CPU returns, and whenever somebody wants drift to be healed.

Each kind is one plan, as it was one call of its module. Where that cannot be made or done, each object is tried for itself,
so that one that fails costs no other.
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


def replay(say: Callable[[str, bool], None]) -> dict[str, Any]:
    """Bring everything back; returns the report, which is also kept in the directory of live state.

    say: is told each thing that was done or failed, and whether it is a failure.
    """
    began = time.time()
    report: dict[str, Any] = {"format": 1, "time": _timestamp(began), "kinds": {}, "failures": []}
    with desired.replaying():
        there, failures = survey.kept_kinds()
        for failure in failures:
            say(str(failure), True)
        for kind in there:
            kept = survey.Kept(kind)
            try:
                report["kinds"][kind] = _bring_back(kept, say)
            finally:
                kept.close()
            failures += kept.failures
        report["failures"] = [failure.facts() for failure in failures]
        report["seconds"] = round(time.time() - began, 3)
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


def _bring_back(kept: survey.Kept, say: Callable[[str, bool], None]) -> dict[str, Any]:
    """One kind; returns what is said of it in the report."""
    writes: list[dict[str, Any]] = []
    if kept.subject is not None:
        names = [name for name in kept.objects if name not in kept.left]
        try:
            writes = _converge(kept.subject, [kept.objects[name] for name in names])
        except Exception as error:
            if len(names) == 1:
                kept.fail(names[0], error)
            else:
                writes = _one_by_one(kept, names)
    for failure in kept.failures:
        say(str(failure), True)
    for name, why in kept.left.items():
        say("%s %s: left alone: %s" % (kept.kind, name, why), False)
    failed = len({failure.name for failure in kept.failures if failure.name})
    say("%s: %d kept, %d changes made, %d failed" % (kept.kind, len(kept.options), len(writes), failed or len(kept.failures)), False)
    return {"objects": len(kept.options), "changes": len(writes), "failed": failed, "left_alone": kept.left, "writes": writes}


def _one_by_one(kept: survey.Kept, names: list[str]) -> list[dict[str, Any]]:
    """The same for each object by itself, looking at the machine anew."""
    writes = []
    subject = kept.make_subject()
    try:
        for name in names:
            try:
                writes += _converge(subject, [kept.parse(subject, name)])
            except Exception as error:
                kept.fail(name, error)
    finally:
        subject.finish()
    return writes


def _converge(subject: Subject, objects: list[Any]) -> list[dict[str, Any]]:
    """Observe, plan, apply and look again, as a module does; returns what was written."""
    plan = subject.plan(objects)
    if not plan.steps:
        return []
    subject.apply(plan)
    writes = plan.writes()
    again = subject.plan(objects)
    if again.steps:
        step = again.steps[0]
        raise BulkheadError("it was written and does not hold: %s holds %r where %r is wanted" % (step.target, step.before, step.after), target=step.target)
    return writes
