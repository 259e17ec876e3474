# Copyright: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""What an earlier task of the same play may be about to make, which check mode cannot see."""

from __future__ import annotations

from .errors import BulkheadError, InvalidInput
from .plan import Step


class Missing(InvalidInput):
    """Something that is not there; it may be made before it is needed."""


class Foreseen(Step):
    """In check mode: what is to be done to something that is not there yet."""

    def __init__(self, what: str, after: str) -> None:
        self.target = what
        self.after = after

    def do(self) -> None:
        raise BulkheadError("%s: it is not there" % self.target, target=self.target)

    def undo(self) -> None:
        """It is never done."""


def warning(error: BulkheadError, does: str = "makes") -> str:
    """What check mode says of what is missing. does: what an earlier task may do about it."""
    return "%s; unless an earlier task of the play %s it, this task fails" % (error.problem, does)
