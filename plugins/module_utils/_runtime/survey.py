# Copyright: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""What is kept for this machine, read and planned kind by kind; one bad file or object never stops the others."""

from __future__ import annotations

from . import desired, kinds
from .errors import BulkheadError
from .plan import Plan
from .subject import Subject

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class Failure:
    """What could not be read, planned or done, and why.

    kind, name: which object; no name for a whole kind. target: the file or kernel object that it is about.
    """

    def __init__(self, kind: str, name: str, error: Exception) -> None:
        self.kind = kind
        self.name = name
        if isinstance(error, BulkheadError):
            self.target, self.problem = error.target, str(error)
        elif isinstance(error, OSError):
            told = BulkheadError.from_os("the machine could not be read or changed", error)
            self.target, self.problem = told.target, str(told)
        else:  # options of a type that Ansible would not have let through, or an error of ours: this object's alone
            self.target, self.problem = "", "it cannot be understood: %s: %s" % (type(error).__name__, error)

    def facts(self) -> dict[str, str]:
        return {"kind": self.kind, "name": self.name, "target": self.target, "problem": self.problem}

    def __str__(self) -> str:
        return "%s%s: %s" % (self.kind, " " + self.name if self.name else "", self.problem)


class Kept:
    """The objects of one kind that are kept.

    options: {name: options} as they are kept; objects: {name: desired object} of those that can be read on this machine.
    left: {name: why} of those that are not as desired and stay so, see Subject.left_alone().
    warnings: what plans had to say.
    """

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.options: dict[str, dict[str, Any]] = {}
        self.objects: dict[str, Any] = {}
        self.left: dict[str, str] = {}
        self.failures: list[Failure] = []
        self.warnings: list[str] = []
        self.subject: Subject | None = None
        if kind not in kinds.KINDS:
            hint = "it was kept by a newer one, or is not a file of ours"
            self.fail("", BulkheadError("this version of the core knows no such kind", target=desired.path_of(kind), hint=hint))
            return
        lacking: Exception | None = None
        try:
            self.subject = self.make_subject()
        except Exception as error:
            lacking = error
        try:
            self.options = desired.kept(self.subject) if self.subject else desired.read(kind)
        except Exception as error:
            self.fail("", error)
        if lacking is not None and self.options:  # a machine without what a kind needs fails only where something of that kind is kept
            self.fail("", lacking)
        if self.subject is None:
            return
        for name in sorted(self.options):
            try:
                thing = self.parse(self.subject, name)
                why = self.subject.left_alone(thing)
            except Exception as error:
                self.fail(name, error)
                continue
            self.objects[name] = thing
            if why:
                self.left[name] = why

    def make_subject(self) -> Subject:
        """A subject of this kind, which looks at the machine as it is now."""
        subject = kinds.KINDS[self.kind]()()
        subject.replaying = True
        return subject

    def parse(self, subject: Subject, name: str) -> Any:
        return subject.parse({**self.options[name], subject.key: name})

    def fail(self, name: str, error: Exception) -> None:
        self.failures.append(Failure(self.kind, name, error))

    def heed(self, plan: Plan) -> Plan:
        """Take from a plan what is to be told: its warnings, and what of an object this machine cannot have any more."""
        self.warnings += [warning for warning in plan.warnings if warning not in self.warnings]
        told = {(failure.name, failure.problem) for failure in self.failures}
        for name, losses in plan.lost.items():
            problem = "only a part of it could be brought back: %s" % "; ".join(losses)
            if losses and (name, problem) not in told:
                self.fail(name, BulkheadError(problem))
        return plan

    def close(self) -> None:
        if self.subject is not None:
            self.subject.finish()

    def missing(self) -> tuple[dict[str, Plan], Plan | None]:
        """Nothing is done: ({name: plan} of each object that is not as it should be, one plan for all, where one can be made)."""
        subject = self.subject
        if subject is None:
            return {}, None
        wanted = {name: thing for name, thing in self.objects.items() if name not in self.left}
        if not wanted:
            return {}, None
        whole: Plan | None = None
        try:
            whole = self.heed(subject.plan(list(wanted.values())))
            if not whole.steps:
                return {}, whole
        except Exception:
            whole = None  # who it is that cannot be planned for is found out below
        alone = {}
        for name, thing in wanted.items():
            try:
                plan = subject.plan([thing])
            except Exception as error:
                self.fail(name, error)
                continue
            if plan.steps:
                alone[name] = plan
        return alone, whole


def kept_kinds() -> tuple[list[str], list[Failure]]:
    """The kinds of which something is kept, in the order in which they come back; unknown ones last, to be named."""
    try:
        there = desired.kinds()
    except Exception as error:
        return [], [Failure("desired state", "", error)]
    return [kind for kind in kinds.KINDS if kind in there] + [kind for kind in there if kind not in kinds.KINDS], []


def all_kinds() -> list[str]:
    """Every kind that this version knows."""
    return list(kinds.KINDS)
