# Copyright: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Two views of a machine, for people and, as data, for tools: all that is managed here, and what of it is not as it should be.

Drift is the plan that a replay would do, in the words of the kernel. Nothing is written.
"""

from __future__ import annotations

from . import hidden, survey
from .replay import last_report
from .subject import Waits

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .plan import Plan


def status() -> dict[str, Any]:
    """Every object of every kind: what is desired, what there is, and whether it is in effect."""
    there, failures = survey.kept_kinds()
    found: dict[str, Any] = {"kinds": {}, "failures": [], "warnings": [], "last_replay": None, "drift": 0}
    for kind in dict.fromkeys([*survey.all_kinds(), *there]):
        kept = survey.Kept(kind)
        try:
            objects = _objects(kept)
        finally:
            kept.close()
        if objects or kept.failures:
            found["kinds"][kind] = objects
        found["drift"] += sum(1 for one in objects if one["in_effect"] is False and not one["problem"])
        found["warnings"] += ["%s: %s" % (kind, warning) for warning in kept.warnings]
        failures += kept.failures
    last = last_report()
    if last is not None:
        found["last_replay"] = {key: last.get(key) for key in ("time", "seconds", "failures")}
    found["failures"] = [failure.facts() for failure in failures]
    return found


def _objects(kept: survey.Kept) -> list[dict[str, Any]]:
    """The objects of one kind; in_effect is None for what is there and not kept, and for what came to its own end."""
    missing, _whole = kept.missing()
    problems = {failure.name: failure.problem for failure in kept.failures}
    actual = _actual(kept)
    objects = []
    for name in sorted(kept.options):
        problem = problems.get(name) or (problems.get("", "") if name not in kept.objects else "")
        left = kept.left.get(name, "")
        changes = [step.facts() for step in missing[name].steps if step.differences()] if name in missing else []
        one: dict[str, Any] = {"name": name, "kept": True, "in_effect": None if left else not changes and not problem, "left_alone": left, "problem": problem}
        if left:
            one["left_word"] = "waiting" if isinstance(left, Waits) else "ended"
        one.update(desired=hidden.hide(kept.options[name]), actual=actual.get(name, {}), changes=changes)
        if changes:  # what is reported of limits that are not there is what they would be
            one["actual"] = {key: value for key, value in one["actual"].items() if key not in ("effective", "rounded")}
        objects.append(one)
    if kept.subject is not None:
        for other in kept.subject.others(set(kept.options)):
            one = {"name": other["name"], "kept": False, "in_effect": None, "left_alone": "", "problem": "", "desired": {}, "actual": other, "changes": []}
            objects.append(one)
    return objects


def _actual(kept: survey.Kept) -> dict[str, dict[str, Any]]:
    """What the subject reports of each object as it is; nothing of one that cannot be looked at."""
    found = {}
    for name, thing in kept.objects.items():
        if kept.subject is None:
            break
        try:
            plan = kept.subject.plan([thing])
            plan.steps = []  # what is, and not what would be
            found[name] = kept.subject.report([thing], plan)[0]
        except Exception:
            continue  # its plan has failed before, and that is told
    return found


def drift() -> dict[str, Any]:
    """Every difference between what is desired and what there is, in the order in which it would be mended."""
    there, failures = survey.kept_kinds()
    differences: list[dict[str, Any]] = []
    warnings: list[str] = []
    waiting: list[dict[str, str]] = []
    for kind in there:
        kept = survey.Kept(kind)
        try:
            alone, whole = kept.missing()
        finally:
            kept.close()
        for name, why in kept.left.items():
            if isinstance(why, Waits):
                waiting.append({"kind": kind, "name": name, "problem": str(why)})
        differences += _differences(kind, alone, whole)
        warnings += ["%s: %s" % (kind, warning) for warning in kept.warnings]
        failures += kept.failures
    found = {"drift": differences, "failures": [failure.facts() for failure in failures]}
    more = {"warnings": warnings, "waiting": waiting}
    return {**found, **{key: value for key, value in more.items() if value}}


def _differences(kind: str, alone: dict[str, Plan], whole: Plan | None) -> list[dict[str, Any]]:
    """The steps of the plan for all, each with the object that it is for; where there is no such plan, those of each object."""
    owner: dict[str, str] = {}
    for name, plan in alone.items():
        for step in plan.steps:
            owner.setdefault(step.target, name)
    if whole is not None:
        steps = whole.steps
    else:
        steps, seen = [], set()
        for plan in alone.values():
            for step in plan.steps:
                if (step.target, step.after) not in seen:
                    seen.add((step.target, step.after))
                    steps.append(step)
    return [
        {"kind": kind, "name": owner.get(step.target, ""), "target": target, "before": before, "after": after}
        for step in steps
        for target, before, after in step.differences()
    ]


# For people


def line_of(difference: dict[str, Any]) -> str:
    """One difference as one line."""
    owner = " ".join(word for word in (difference["kind"], difference["name"]) if word)
    return "%s: %s where %s is desired (%s)" % (difference["target"], _words(difference["before"]), _words(difference["after"]), owner)


_LONGEST = 200


def _words(value: str | None) -> str:
    """A value on one line, cut where it is long."""
    if value is None:
        return "nothing"
    text = "; ".join(part.strip() for part in value.splitlines()) or "empty"
    return text if len(text) <= _LONGEST else text[:_LONGEST] + "..."


def limits_of(effective: dict[str, Any]) -> str:
    """What an object is limited to, on one line; of an option with a value for each domain, as the kernel writes them."""
    parts = []
    for option, value in effective.items():
        if isinstance(value, dict):
            parts.append("%s:%s" % (option, ";".join("%s=%s" % entry for entry in value.items())))
        else:
            parts.append("%s=%s" % (option, ",".join(str(value).splitlines())))
    return " ".join(parts)
