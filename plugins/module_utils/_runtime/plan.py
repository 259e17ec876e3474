# Copyright: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""The one idea of the collection: a change is a plan, and a plan is a list of steps.

A room observes, compares with what is desired and answers with steps in the order in which they must be done. Check mode
and diff are the steps, printed. Applying does them in order; when one fails, those done before it are undone in reverse
and the error says which step failed. Nothing else writes to the kernel.
"""

from __future__ import annotations

import contextlib
import errno
import os

from .errors import BulkheadError
from .kernel.files import Tree

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any


_HINTS = {
    errno.EROFS: "the file system is read-only: mount it writable",
    errno.EACCES: "run as root (become: true)",
    errno.EPERM: "run as root (become: true); as root, see whether the file or its directory is immutable (lsattr)",
    errno.ENOSPC: "the file system is full",
}


class Step:
    """One change to one kernel object.

    target: what it touches, as a path.
    before, after: what is there and what will be there; None for "nothing".
    """

    target = ""
    before: str | None = None
    after: str | None = None
    # Whether it only keeps books, so that nothing of the machine is other than desired while it is not done.
    bookkeeping = False

    def do(self) -> None:
        """Make the change; a step that raises must have changed nothing."""
        raise NotImplementedError

    def undo(self) -> None:
        """Bring back what was before."""
        raise NotImplementedError

    def explain(self, error: OSError) -> BulkheadError:
        """The error that a user reads when the kernel refuses this step."""
        return BulkheadError.from_os(
            "%s could not be changed from %r to %r" % (self.target, self.before, self.after), error, target=self.target, value=self.after
        )

    def differences(self) -> list[tuple[str, str | None, str | None]]:
        """What of the machine is not as desired while the step is not done: (what, as it is, as it should be), in the kernel's terms."""
        return [] if self.bookkeeping else [(self.target, self.before, self.after)]

    def facts(self) -> dict[str, Any]:
        """The step as data, as modules return it in C(writes)."""
        return {"target": self.target, "before": self.before, "after": self.after}


class WriteFile(Step):
    """Write one value to one file of a kernel file system."""

    def __init__(self, tree: Tree, path: str, before: str | None, after: str, restore: str | None = None) -> None:
        """restore: what to write to bring `before` back, where that is spelled in another way than it reads."""
        self.tree = tree
        self.path = path
        self.before = before
        self.after = after
        self.restore = before if restore is None else restore

    @property
    def target(self) -> str:  # type: ignore[override]
        return self.tree.full(self.path)

    def do(self) -> None:
        self.tree.write(self.path, self.after or "")

    def undo(self) -> None:
        if self.restore is not None:
            self.tree.write(self.path, self.restore)


class MakeDirectory(Step):
    """Make one directory on a kernel file system."""

    after = "directory"

    def __init__(self, tree: Tree, path: str) -> None:
        self.tree = tree
        self.path = path

    @property
    def target(self) -> str:  # type: ignore[override]
        return self.tree.full(self.path) + "/"

    def do(self) -> None:
        self.tree.mkdir(self.path)

    def undo(self) -> None:
        try:
            self.tree.rmdir(self.path)
        except FileNotFoundError:
            pass


class ReplaceFile(Step):
    """Give one ordinary file new content, or remove it (content None), so that a crash leaves the old or the new.

    The new content is written to a hidden neighbour, brought to the disk and renamed over the old one.
    """

    def __init__(self, path: str, before: str | None, after: str | None, mode: int = 0o600, shown: tuple[str | None, str | None] | None = None) -> None:
        """shown: what may be read of the content before and after, where that is not all of it."""
        self.target = path
        self.content = before, after
        self.before, self.after = shown or self.content
        self.mode = mode

    def _put(self, content: str | None) -> None:
        directory, name = os.path.split(self.target)
        if content is None:
            try:
                os.unlink(self.target)
            except FileNotFoundError:
                pass
        else:
            os.makedirs(directory, mode=0o755, exist_ok=True)
            # One fixed name for the neighbour: what a killed run left there is overwritten by the next.
            neighbour = os.path.join(directory, ".%s.new" % name)
            try:
                fd = os.open(neighbour, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, self.mode)
                with os.fdopen(fd, "wb", buffering=0) as file:
                    file.write(content.encode())
                    os.fsync(file.fileno())
                os.replace(neighbour, self.target)
            except BaseException:
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(neighbour)
                raise
        if os.path.isdir(directory):
            fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                os.fsync(fd)
            finally:
                os.close(fd)

    def do(self) -> None:
        self._put(self.content[1])

    def undo(self) -> None:
        self._put(self.content[0])

    def differences(self) -> list[tuple[str, str | None, str | None]]:
        before, after = self.content
        return [] if self.bookkeeping else [(self.target, None if before is None else "another text", None if after is None else "its own text")]

    def explain(self, error: OSError) -> BulkheadError:
        what = "%s could not be %s" % (self.target, "removed" if self.content[1] is None else "written")
        return BulkheadError.from_os(what, error, target=self.target, hint=_HINTS.get(error.errno or 0, ""))


class MakeLink(Step):
    """Make a symbolic link of an ordinary file system, or remove it. The directory comes and goes with its last link."""

    def __init__(self, path: str, points_to: str, remove: bool = False) -> None:
        self.target = path
        self.points_to = points_to
        self.remove = remove
        self.before, self.after = ("-> " + points_to, None) if remove else (None, "-> " + points_to)

    def _make(self) -> None:
        os.makedirs(os.path.dirname(self.target), mode=0o755, exist_ok=True)
        os.symlink(self.points_to, self.target)

    def _take(self) -> None:
        try:
            os.unlink(self.target)
            os.rmdir(os.path.dirname(self.target))
        except OSError:
            pass  # it is gone, or the directory has other links

    def do(self) -> None:
        if self.remove:
            self._take()
        else:
            self._make()

    def undo(self) -> None:
        if self.remove:
            self._make()
        else:
            self._take()


class Plan:
    """Steps in the order in which they must be done, and what the user should know about them.

    fresh: the names of objects that are not there yet, of which nothing that was known earlier holds.
    needs_core: whether doing it starts something that outlives this process, and so needs the core on the node.
    lost: {object: what of it this machine cannot have any more}, of objects that are brought back as far as they can be.
    """

    def __init__(self) -> None:
        self.steps: list[Step] = []
        self.warnings: list[str] = []
        self.fresh: set[str] = set()
        self.needs_core = False
        self.lost: dict[str, list[str]] = {}

    def __iter__(self) -> Iterator[Step]:
        return iter(self.steps)

    def __len__(self) -> int:
        return len(self.steps)

    def writes(self) -> list[dict[str, Any]]:
        """Every step as data."""
        return [step.facts() for step in self.steps]

    def diff(self) -> dict[str, str]:
        """Before and after as text, one line for each step, for Ansible's diff mode."""

        def lines(which: str) -> str:
            chosen = ((step.target, getattr(step, which)) for step in self.steps)
            return "".join("%s: %s\n" % (target, text) for target, text in chosen if text is not None)

        return {"before": lines("before"), "after": lines("after")}


def apply(plan: Plan, progress: Callable[[Step], None] | None = None) -> None:
    """Do the steps of a plan in order; on failure undo the earlier ones in reverse.

    progress: called with each step when it is done.
    Raises BulkheadError for the step that failed, with what could not be undone.
    """
    done: list[Step] = []
    try:
        for step in plan.steps:
            step.do()
            done.append(step)
            if progress:
                progress(step)
    except BaseException as error:  # also a signal in the middle must leave nothing half done
        failures = undo(done)
        if isinstance(error, OSError):
            refused = step.explain(error)
        elif isinstance(error, BulkheadError):
            refused = error
        else:
            raise
        refused.undo_failures = failures
        raise refused from error


def undo(done: list[Step]) -> list[str]:
    """Undo steps in reverse; returns what could not be undone, in words."""
    failures = []
    for step in reversed(done):
        try:
            step.undo()
        except (OSError, BulkheadError) as error:
            failures.append("%s: %s" % (step.target, error))
    return failures
