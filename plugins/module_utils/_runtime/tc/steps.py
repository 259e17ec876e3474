# Copyright: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""The changes that can be made, each with its undoing and with the error that a user reads when it
is refused. Those that follow each other in one namespace go to the kernel in one send."""

from __future__ import annotations

import errno
import os

from ..errors import BulkheadError
from ..kernel import nftables, traffic
from ..plan import Plan, Step
from ..plan import apply as apply_plan

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Union

    from ..kernel.netlink import Answer, Message
    from ..kernel.nftables import Chain
    from .observation import Place

    Text = Union[str, None, Callable[[], str]]

_HINTS = {
    errno.EPERM: "run as root (become: true)",
    errno.ENODEV: "the interface went away meanwhile",
}
# Of more messages in one send, warnings are not worth what an acknowledgement for each costs.
_FEW = 64
# What the kernel says when it was built without something, and the option that it lacks.
_LACKING = (
    ("Specified qdisc kind is unknown", "the kernel has no such queue: CONFIG_NET_SCH_%s"),
    ("Specified qdisc not found", "the kernel has no such queue: CONFIG_NET_SCH_%s"),
    ("TC classifier not found", "the kernel has no such filters: CONFIG_NET_CLS_%s"),
    ("Failed to load TC action module", "the kernel lacks the action: CONFIG_NET_ACT_%s"),
    ("Unknown device type", "the kernel lacks the device: CONFIG_IFB"),
)


class Change(Step):
    """Some messages of rtnetlink for one object.

    before, after: may be functions, which are called only when somebody reads the step.
    back: the messages that bring back what was; kind: of the object, for messages about it.
    lazy_back: the same, worked out when it comes to that.
    """

    def __init__(
        self,
        place: Place,
        target: str,
        before: Text,
        after: Text,
        messages: list[Message],
        back: list[Message],
        kind: str = "",
        lazy_back: Callable[[], list[Message]] | None = None,
    ) -> None:
        self.place = place
        self.target = target
        self._texts = before, after
        self.messages = messages
        self.kind = kind
        self._back = back
        self._lazy_back = lazy_back

    @property
    def before(self) -> str | None:  # type: ignore[override]
        return _told(self._texts[0])

    @property
    def after(self) -> str | None:  # type: ignore[override]
        return _told(self._texts[1])

    def back(self) -> list[Message]:
        return self._lazy_back() if self._lazy_back else self._back

    def do(self) -> None:
        Together([self]).do()

    def undo(self) -> None:
        _check(self, self.place.door.send(self.back()))

    def refused(self, answer: Answer) -> BulkheadError:
        what = "%s could not be %s" % (self.target, _verb(self.before, self.after))
        return BulkheadError(
            what,
            target=self.target,
            value=self.after,
            errno=answer.errno,
            kernel=answer.words,
            hint=self._hint(answer),
        )

    def _hint(self, answer: Answer) -> str:
        for words, hint in _LACKING:
            if words in answer.words:
                # A filter is named after what it does, and is a u32 one but for control groups.
                filters = "CLS" in hint and self.kind != "cgroup"
                return hint % ("U32" if filters else self.kind.upper()) if "%s" in hint else hint
        return _HINTS.get(answer.errno, "")


def _told(text: Text) -> str | None:
    return text() if callable(text) else text


def _verb(before: str | None, after: str | None) -> str:
    if after is None:
        return "removed"
    return "made: %s" % after if before is None else "changed to: %s" % after


def _check(step: Change, answers: list[Answer]) -> None:
    """Raise for what could not be undone; what is gone already is undone."""
    for answer in answers:
        if answer.errno not in (0, errno.ENOENT, errno.ENODEV):
            raise OSError(answer.errno, os.strerror(answer.errno), step.target)


class Together(Step):
    """Changes in one network namespace, done in one send.

    The kernel goes on after one that it refuses, so those that it did are undone here.
    warnings: what it said to those that it did.
    """

    def __init__(self, changes: list[Change]) -> None:
        self.changes = changes
        self.place = changes[0].place
        self.target = changes[0].target
        self.warnings: list[str] = []

    def do(self) -> None:
        messages = [one for step in self.changes for one in step.messages]
        answers = self.place.door.send(messages, len(messages) <= _FEW)
        done: list[Change] = []
        failed: BulkheadError | None = None
        at = 0
        for step in self.changes:
            own = answers[at : at + len(step.messages)]
            at += len(step.messages)
            wrong = next((answer for answer in own if answer.errno), None)
            if wrong is None or any(not answer.errno for answer in own):
                done.append(step)
            if wrong is not None:
                failed = failed or step.refused(wrong)
            self.warnings += [
                "%s: %s" % (step.target, one.words) for one in own if one.words and not one.errno
            ]
        if failed:
            failed.undo_failures = _undo(done)
            raise failed

    def undo(self) -> None:
        failures = _undo(self.changes)
        if failures:
            raise BulkheadError("; ".join(failures))


def _undo(done: list[Change]) -> list[str]:
    failures = []
    for step in reversed(done):
        try:
            step.undo()
        except OSError as error:
            failures.append("%s: %s" % (step.target, error))
    return failures


class Steer(Step):
    """Put rules of nftables in the place of those that are there, in one transaction."""

    def __init__(
        self,
        place: Place,
        table: str,
        before: tuple[str | None, list[Chain]],
        after: tuple[str | None, list[Chain]],
    ) -> None:
        """before, after: the rules for people, and as the kernel takes them."""
        self.place = place
        self.table = table
        self.target = place.called("nftables table inet " + table)
        self.before, self._old = before
        self.after, self._new = after

    def _put(self, chains: list[Chain]) -> None:
        door = self.place.nft()
        if door is None:
            raise _no_nftables(self.target)
        for answer in nftables.replace_table(door, self.table, chains):
            if answer.errno:
                raise self._refused(answer)

    def do(self) -> None:
        self._put(self._new)

    def undo(self) -> None:
        self._put(self._old)

    def _refused(self, answer: Answer) -> BulkheadError:
        lacking = answer.errno in (errno.ENOENT, errno.EOPNOTSUPP, errno.EINVAL)
        hint = "the kernel needs CONFIG_NF_TABLES_INET, and for control groups CONFIG_NFT_SOCKET (Linux 5.13)"
        return BulkheadError(
            "%s could not be %s" % (self.target, _verb(self.before, self.after)),
            target=self.target,
            value=self.after,
            errno=answer.errno,
            kernel=answer.words,
            hint=hint if lacking else _HINTS.get(answer.errno, ""),
        )


def _no_nftables(target: str) -> BulkheadError:
    return BulkheadError(
        "%s cannot be made: the kernel has no nftables" % target,
        target=target,
        hint="matches on control groups and marks need CONFIG_NF_TABLES_INET",
    )


def apply(plan: Plan) -> list[str]:
    """Do a plan, with as few sends as the order of its steps allows; returns the kernel's warnings."""
    whole = Plan()
    for step in plan.steps:
        last = whole.steps[-1] if whole.steps else None
        if isinstance(step, Change):
            if isinstance(last, Together) and last.place is step.place:
                last.changes.append(step)
                continue
            step = Together([step])
        whole.steps.append(step)
    apply_plan(whole)
    return [text for step in whole.steps if isinstance(step, Together) for text in step.warnings]


# For diffs: the words of tc, with the numbers of the kernel


def bucket_text(bucket: traffic.Bucket) -> str:
    peak = " peakrate %dB/s mtu %d ticks" % (bucket.peakrate, bucket.mtu) if bucket.peakrate else ""
    numbers = (bucket.rate, bucket.buffer, bucket.limit)
    return "tbf rate %dB/s burst %d ticks limit %dB" % numbers + peak


def class_text(values: traffic.HtbClass, parent: str) -> str:
    numbers = (parent, values.rate, values.ceil, values.buffer, values.cbuffer)
    text = "htb parent %s rate %dB/s ceil %dB/s burst %d ticks cburst %d ticks" % numbers
    return text + " quantum %dB prio %d" % (values.quantum, values.prio)
