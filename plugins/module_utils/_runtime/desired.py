# Copyright: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""What must hold after a reboot: /etc/bulkhead/desired.d, one file for each kind of object, written atomically.

A file is JSON with a format version, the kind, and the options of each object by its name, as records.py forms them: what they
come to is worked out on the machine of the day, whose page size or disks may be others.

What is read here is done by root at the next boot. So a file that somebody else may have written is refused, as is one
that is not whole; it is never repaired by guessing.

Several runs may keep objects at the same time: each takes the lock, reads again, changes its own objects and no others,
and replaces the file. While a replay is at work (a lock on the directory of live state), no run changes anything.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import stat

from . import records
from .errors import BulkheadError
from .kernel import flock
from .plan import ReplaceFile, Step

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

    from .records import Records, Rules

_PREFIX = os.environ.get("BULKHEAD_PREFIX", "").rstrip("/")
DIRECTORY = os.environ.get("BULKHEAD_DESIRED", _PREFIX + "/etc/bulkhead/desired.d")
RUN = _PREFIX + "/run/bulkhead"
FORMAT = 1
_LARGEST = 64 << 20
# Others hold the lock for the time of one fsync(2), or of one replay.
_PATIENCE = 120.0


def path_of(kind: str) -> str:
    """The file that keeps what must hold of one kind of object."""
    return os.path.join(DIRECTORY, kind + ".json")


def kinds() -> list[str]:
    """The kinds of which something is kept. Raises BulkheadError where the directory is not to be trusted."""
    try:
        names = os.listdir(DIRECTORY)
    except FileNotFoundError:
        return []
    _check_directory()
    return sorted(name[: -len(".json")] for name in names if name.endswith(".json") and not name.startswith("."))


def read(kind: str) -> Records:
    """{name: options} of one kind, as they stand in the file. Raises BulkheadError where it is not ours, or may be another's."""
    text = _text(kind)
    return _objects(kind, text) if text is not None else {}


def kept(rules: Rules) -> Records:
    """{name: options} of one kind, in their one form."""
    return records.in_one_form(rules, read(rules.kind))


# Whom to trust


def _others_may_write(status: os.stat_result) -> str:
    """Why something is not root's alone (or this process's user's); empty when it is."""
    if status.st_uid not in (0, os.geteuid()):
        return "it belongs to user %d" % status.st_uid
    if status.st_mode & 0o022 and not (stat.S_ISDIR(status.st_mode) and status.st_mode & stat.S_ISVTX):
        return "others may write to it (mode %04o)" % stat.S_IMODE(status.st_mode)
    return ""


def _not_trusted(path: str, why: str, hint: str) -> BulkheadError:
    return BulkheadError("%s is not trusted as desired state: %s" % (path, why), target=path, hint=hint)


def _check_directory() -> None:
    """Whoever may write to a directory can put any file there."""
    for path in (DIRECTORY, os.path.dirname(DIRECTORY)):
        why = _others_may_write(os.stat(path))
        if why:
            raise _not_trusted(path, why, "see who has changed it, then: chown root %s; chmod 755 %s" % (path, path))


def _text(kind: str) -> str | None:
    path = path_of(kind)
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise _not_trusted(path, "it is a symbolic link", "put the file itself there") from None
        raise BulkheadError.from_os("%s cannot be read as desired state" % path, error, target=path) from None
    with os.fdopen(fd, "rb", buffering=0) as file:
        _check_directory()
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode):
            raise _not_trusted(path, "it is not an ordinary file", "move it away")
        why = _others_may_write(status)
        if why:
            raise _not_trusted(path, why, "see what is in it, then: chown root %s; chmod 600 %s" % (path, path))
        if status.st_size > _LARGEST:
            raise _not_trusted(path, "it is larger than %d MiB" % (_LARGEST >> 20), "move it away")
        try:
            return file.read().decode()
        except UnicodeDecodeError as error:
            raise _unreadable(path, error) from None
        except OSError as error:
            raise BulkheadError.from_os("%s cannot be read as desired state" % path, error, target=path) from None


def _unreadable(path: str, why: object) -> BulkheadError:
    return BulkheadError("%s cannot be read as desired state: %s" % (path, why), target=path, hint="move the file away, and the next run writes a new one")


def _objects(kind: str, text: str) -> dict[str, dict[str, Any]]:
    try:
        content = json.loads(text)
        if content["format"] != FORMAT or content["kind"] != kind:
            raise ValueError("format %r of kind %r" % (content["format"], content["kind"]))
        objects = dict(content["objects"])
        for name, options in objects.items():
            if not isinstance(options, dict):
                raise TypeError("%r has no options" % name)
        return objects
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise _unreadable(path_of(kind), error if isinstance(error, ValueError) else repr(error)) from None


# Keeping


class Keep(Step):
    """Keep some objects of a kind, or forget them.

    change: from what is kept of the kind to what is to be kept; it touches this run's objects and no others. It is applied
    to what the file holds when the step is done, which may be more than was there when it was planned.
    before, after: of the objects that change alone, as they may be shown.
    """

    bookkeeping = True

    def __init__(self, kind: str, change: Callable[[Records], Records], before: str | None, after: str | None) -> None:
        self.kind = kind
        self.change = change
        self.target = path_of(kind)
        self.before = before
        self.after = after
        self._done: tuple[str | None, str | None] = (None, None)

    def do(self) -> None:
        with _locked():
            before = _text(self.kind)
            objects = _objects(self.kind, before) if before is not None else {}
            after = _format(self.kind, self.change(objects))
            if after != before:
                ReplaceFile(self.target, before, after).do()
            self._done = (before, after)

    def undo(self) -> None:
        """Put back what was kept of this run's objects; what others have kept meanwhile stays."""
        before, after = self._done
        with _locked():
            now = _text(self.kind)
            if now == after:
                if before != after:
                    ReplaceFile(self.target, now, before).do()
                return
            was, became, objects = ({} if text is None else _objects(self.kind, text) for text in (before, after, now))
            for name in set(was) | set(became):
                if was.get(name) == became.get(name):
                    continue
                if name in was:
                    objects[name] = was[name]
                else:
                    objects.pop(name, None)
            ReplaceFile(self.target, now, _format(self.kind, objects)).do()

    def explain(self, error: OSError) -> BulkheadError:
        return BulkheadError.from_os(
            "the desired state could not be kept in %s" % self.target,
            error,
            target=self.target,
            hint="with persist: false nothing is kept, and nothing comes back after a boot",
        )


@contextlib.contextmanager
def _locked() -> Iterator[None]:
    """The lock under which files of the directory change."""
    os.makedirs(DIRECTORY, mode=0o755, exist_ok=True)
    with flock.held(DIRECTORY, True, _PATIENCE, "another run has been changing the desired state for %d seconds"):
        yield


@contextlib.contextmanager
def changing() -> Iterator[None]:
    """For a run that observes, changes the kernel and keeps what it changed: no replay is at work meanwhile.

    A replay that read what is kept before, and acts upon it after, would bring back what the run has just removed.
    """
    with contextlib.ExitStack() as lock:
        # Before the first replay of a boot there is nothing to wait for; who is not root is refused elsewhere.
        with contextlib.suppress(FileNotFoundError, PermissionError):
            lock.enter_context(flock.held(RUN, False, _PATIENCE, "a replay of the desired state has been running for %d seconds"))
        yield


@contextlib.contextmanager
def replaying() -> Iterator[None]:
    """For a replay: no run is changing anything, and no other replay is at work."""
    os.makedirs(RUN, mode=0o700, exist_ok=True)
    with flock.held(RUN, True, _PATIENCE, "another run has been changing this machine for %d seconds"):
        yield


def steps(rules: Rules, items: list[dict[str, Any]], fresh: set[str], persist: bool | None = True) -> list[Step]:
    """The steps that keep these objects for the next boot, and forget those that are to be absent; none when kept already.

    fresh: objects that are made anew, so that what was kept of an earlier one of the same name is gone.
    A file that an earlier version wrote is brought into its one form by the first call that changes something in it.
    """

    def change(objects: Records) -> Records:
        return records.changed(rules, records.in_one_form(rules, objects), items, fresh, persist)

    before = read(rules.kind)
    held, wanted = records.in_one_form(rules, before), change(before)
    return [] if wanted == held else [Keep(rules.kind, change, *records.shown(held, wanted))]


def _format(kind: str, objects: Records) -> str | None:
    """JSON with a line for each object, for people who read it and for tools that compare lines; None when there are none."""
    if not objects:
        return None
    lines = ",\n".join("  " + records.line(name, objects[name]) for name in sorted(objects))
    return '{"format": %d, "kind": "%s", "objects": {\n%s\n}}\n' % (FORMAT, kind, lines)
