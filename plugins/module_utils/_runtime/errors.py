# Copyright: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""The one error type of the runtime core.

An error says what was asked, what the kernel answered and what to do about it, and carries the same as data, so that a
module can return it and a log can be searched for it.
"""

from __future__ import annotations

import errno as _errno
import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class BulkheadError(Exception):
    """Something that was asked for could not be done.

    problem: one sentence: what was asked and what is wrong with it.
    target: the kernel object (a path, a process) that it concerns.
    value: what was to be written there.
    errno: the kernel's answer as a number of errno.h, 0 when the kernel was not asked.
    kernel: the kernel's own words, where it has any.
    hint: what the reader can do about it.
    input: whether the options could not be understood, on whatever machine.
    result: what a module returns beside the error, where what was asked was done and came to a bad end.
    """

    def __init__(self, problem: str, *, target: str = "", value: str | None = None, errno: int = 0, kernel: str = "", hint: str = "") -> None:
        super().__init__(problem)
        self.problem = problem
        self.target = target
        self.value = value
        self.errno = errno
        self.kernel = kernel
        self.hint = hint
        self.undo_failures: list[str] = []
        self.input = False
        self.result: dict[str, Any] = {}

    @classmethod
    def from_os(cls, problem: str, error: OSError, *, target: str = "", value: str | None = None, kernel: str = "", hint: str = "") -> BulkheadError:
        """The same, from the OSError in which a system call ended."""
        return cls(problem, target=target or str(error.filename or ""), value=value, errno=error.errno or 0, kernel=kernel, hint=hint)

    def __str__(self) -> str:
        parts = [self.problem]
        if self.errno:
            parts.append("the kernel answered %s (%s)" % (_errno.errorcode.get(self.errno, str(self.errno)), os.strerror(self.errno)))
        if self.kernel:
            parts.append("its words: %s" % self.kernel)
        text = "; ".join(parts)
        if self.hint:
            text = _ended(text) + " " + _begun(self.hint)
        if self.undo_failures:
            text = _ended(text) + " Undoing the earlier steps failed for: " + "; ".join(self.undo_failures)
        return text

    def facts(self) -> dict[str, Any]:
        """The error as data, for a module's result."""
        return {
            "problem": self.problem,
            "target": self.target,
            "value": self.value,
            "errno": _errno.errorcode.get(self.errno, str(self.errno)) if self.errno else "",
            "kernel": self.kernel,
            "hint": self.hint,
            "undo_failures": self.undo_failures,
            "input": self.input,
        }


def _begun(text: str) -> str:
    """A sentence with what begins it: a capital, but for a name that is spelled as it is (memory.max, shareable_bits)."""
    first = text.split(maxsplit=1)[0]
    return text if any(mark in first for mark in "._/=") else text[0].upper() + text[1:]


def _ended(text: str) -> str:
    """A sentence with what ends it: a question has that already, as may words of the kernel."""
    return text if text.endswith((".", "?", "!")) else text + "."


def without_root(error: BulkheadError | OSError) -> BulkheadError | None:
    """The one sentence for whoever has forgotten to become root; None where that is not what is wrong."""
    if os.geteuid() == 0 or error.errno not in (_errno.EACCES, _errno.EPERM):
        return None
    target = error.target if isinstance(error, BulkheadError) else str(error.filename or "")
    return needs_root(target, error.errno)


def needs_root(target: str = "", errno: int = 0) -> BulkheadError:
    """The same where it is known before the kernel is asked."""
    problem = "this needs root, and it ran as user %d" % os.geteuid()
    return BulkheadError(problem, target=target, errno=errno, hint="add become: true to the task or to the play")


def check_text(value: str, what: str) -> None:
    """Refuse what no system call and no file of ours can hold. The text itself is not shown: it may be secret."""
    if "\0" in value:
        raise InvalidInput("%s holds a zero byte" % what)
    try:
        value.encode()
    except UnicodeError:
        raise InvalidInput("%s holds a character that is no text in UTF-8" % what) from None


def check_texts(value: object, what: str = "") -> None:
    """The same for every text in a value, of whatever shape."""
    if isinstance(value, str):
        check_text(value, what)
    elif isinstance(value, dict):
        for name, inner in value.items():
            check_text(str(name), "a name in %s" % (what or "the options"))
            check_texts(inner, "%s.%s" % (what, name) if what else str(name))
    elif isinstance(value, (list, tuple)):
        for number, inner in enumerate(value, 1):
            check_texts(inner, "%s, number %d" % (what, number))


class InvalidInput(BulkheadError):
    """What was asked cannot be right on any account; nothing was written."""


class Unsupported(InvalidInput):
    """What was asked is well said, and this machine has no such thing; another may have it."""
