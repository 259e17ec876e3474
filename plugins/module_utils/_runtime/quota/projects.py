# Copyright: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""The names and directories of projects: /etc/projid and /etc/projects, as xfs_quota(8) reads them
(projid(5), projects(5)).
"""

from __future__ import annotations

import os
import re

from ..errors import BulkheadError, InvalidInput
from ..kernel import flock, traces
from ..kernel.files import read_text
from ..plan import ReplaceFile, Step

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

PROJECTS = traces.PROJECTS
PROJID = os.path.join(os.path.dirname(PROJECTS), "projid")
# People number projects by hand from 1 on, and old tools knew 16 bits only.
FIRST = 1 << 16
LAST = 0xFFFFFFFE
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.+-]{0,62}")
_PATIENCE = 30.0


def check_name(name: str, what: str) -> str:
    """Refuse what cannot stand in the file, or be told from a number."""
    if not _NAME.fullmatch(name):
        raise InvalidInput(
            "%s: %r cannot be the name of a project" % (what, name),
            hint="letters, digits and _ . + - are taken, a letter first",
        )
    return name


class Projects:
    """What the two files hold.

    names: {name: id}, directories: [(id, directory)], both in their order.
    """

    def __init__(self, names: list[tuple[str, int]], directories: list[tuple[int, str]]) -> None:
        self.names = names
        self.directories = directories

    @classmethod
    def read(cls) -> Projects:
        """Read them; what is no entry is passed over, as the tools do."""
        names = [
            (name, int(number)) for name, number in _entries(PROJID) if number.strip().isdigit()
        ]
        directories = [
            (int(number), directory)
            for number, directory in _entries(PROJECTS)
            if number.strip().isdigit()
        ]
        return cls(names, directories)

    def id_of(self, name: str) -> int | None:
        return next((number for one, number in self.names if one == name), None)

    def name_of(self, identity: int) -> str:
        return next((name for name, number in self.names if number == identity), "")

    def directories_of(self, identity: int) -> list[str]:
        return [directory for number, directory in self.directories if number == identity]

    def id_of_directory(self, directory: str) -> int | None:
        return next(
            (number for number, one in self.directories if os.path.normpath(one) == directory), None
        )

    def used(self) -> set[int]:
        """The ids that stand in either file."""
        return {number for _name, number in self.names} | {
            number for number, _directory in self.directories
        }

    def free_name(self, directory: str, identity: int, taken: Iterable[str]) -> str:
        """A name for the project of a directory: that of the directory, with the id where another
        project has it.
        """
        name = re.sub(r"[^A-Za-z0-9_.+-]", "_", os.path.basename(directory))[:40]
        if not name or not _NAME.fullmatch(name):
            name = "project" + ("_" + name if name else "")
        return "%s-%d" % (name, identity) if self.id_of(name) is not None or name in taken else name


def _entries(path: str) -> list[tuple[str, str]]:
    """The two fields of each line; a directory may have a colon in it."""
    found = (_entry(line) for line in (read_text(path) or "").splitlines())
    return [entry for entry in found if entry is not None]


def _entry(line: str) -> tuple[str, str] | None:
    """The two fields of one line; None for a comment and the like."""
    first, colon, second = line.lstrip().partition(":")
    return (first, second) if colon and not first.startswith("#") else None


class Line(Step):
    """Add a line to one of the files, or take it out. All other lines stay as they are.

    identity: the project; where a line with it is to be added and one was added meanwhile by
    somebody else, the step fails.
    """

    def __init__(self, path: str, line: str, add: bool, identity: int) -> None:
        self.target = path
        self.line = line
        self.add = add
        self.identity = identity
        self.before, self.after = (None, line) if add else (line, None)

    def do(self) -> None:
        self._change(self.add)

    def undo(self) -> None:
        self._change(not self.add)

    def _change(self, add: bool) -> None:
        with flock.held(
            os.path.dirname(self.target),
            True,
            _PATIENCE,
            "another run has been changing projects for %d seconds",
        ):
            text = read_text(self.target)
            lines = (text or "").splitlines()
            entry = _entry(self.line)
            if add == any(_entry(line) == entry for line in lines):
                return
            if add:
                self._check_free()
                lines.append(self.line)
            else:
                lines = [line for line in lines if _entry(line) != entry]
            after = "".join(line + "\n" for line in lines) if lines else None
            ReplaceFile(self.target, text, after, _mode(self.target)).do()

    def _check_free(self) -> None:
        for first, second in _entries(self.target):
            if (second if self.target == PROJID else first).strip() == str(self.identity):
                raise BulkheadError(
                    "project %d was given to another one meanwhile: %s has %s:%s"
                    % (self.identity, self.target, first, second),
                    target=self.target,
                    hint="run it again",
                )


def _mode(path: str) -> int:
    try:
        return os.stat(path).st_mode & 0o777
    except FileNotFoundError:
        return 0o644
