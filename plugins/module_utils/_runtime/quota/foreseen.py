# Copyright: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""What an earlier task of the same play may be about to make, which check mode cannot see."""

from __future__ import annotations

from ..errors import BulkheadError, InvalidInput
from ..plan import Step


class Missing(InvalidInput):
    """A mount, a directory or an account that is not there; it may be made before it is needed."""


class Foreseen(Step):
    """In check mode: limits of what is not there yet."""

    before = None

    def __init__(self, what: str, asked: dict[str, object]) -> None:
        self.target = what
        self.after = ", ".join("%s %s" % option for option in asked.items()) or "no limits"

    def do(self) -> None:
        raise BulkheadError("%s: it is not there" % self.target, target=self.target)

    def undo(self) -> None:
        """It is never done."""


def warning(missing: Missing) -> str:
    """What check mode says of what is missing."""
    return "%s; unless an earlier task of the play makes it, this task fails" % missing.problem
