# Copyright: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""What can be managed: the one interface that each room of the core offers to modules and to the node's command.

A room that implements it has bulk, check mode, diff, results, persistence, replay after a reboot, status and drift for
nothing: all of them read options, observe and plan through it.
"""

from __future__ import annotations

from .plan import Plan
from .plan import apply as apply_plan
from .records import Rules

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class Waits(str):
    """Why an object is left as it is, where that is something that may still come."""

    __slots__ = ()


class Subject(Rules):
    """A kind of object; each room has a subclass, which lives as long as one call.

    kind, key and not_kept are those of the rules by which its objects are kept. plural: its bulk option; singular: the key under
    which the result of one object stands.
    named_by: further options, of which one can name an object in the place of the key.
    persists: whether there is anything to keep for the next boot.
    needs_root: whether nothing of it can be done, or foreseen, without root.
    persist_default: what the option `persist` is when it is not given; None where it depends on the object.
    persist: whether what this call makes is to outlast the boot, for rooms whose objects are kept by somebody else (systemd).
    """

    plural = ""
    singular = ""
    named_by: tuple[str, ...] = ()
    persists = True
    needs_root = False
    persist_default: bool | None = True
    persist: bool | None = True
    # Whether what is kept is being brought back: what is not there yet at that time is no mistake of anybody's.
    replaying = False
    # Whether this is check mode: what is not there yet may be made by an earlier task of the same play.
    checking = False

    def parse(self, options: dict[str, Any]) -> Any:
        """One desired object from its options. Raises InvalidInput; reads the machine at most, writes nothing."""
        raise NotImplementedError

    def plan(self, objects: list[Any]) -> Plan:
        """Observe, compare, and answer with the steps that are missing."""
        raise NotImplementedError

    def apply(self, the_plan: Plan) -> None:
        """Do the plan; a subject whose steps share something (a helper process) starts it here."""
        apply_plan(the_plan)

    def wait(self, objects: list[Any]) -> None:
        """Wait for what takes its own time once everything stands (a job); others may change the machine meanwhile."""

    def finish(self) -> None:
        """Let go of what was started for this call; called at its end, also after a failure."""

    def report(self, objects: list[Any], last: Any) -> list[dict[str, Any]]:
        """What is to be returned for each object; last: the last plan that was made, without steps unless in check mode."""
        raise NotImplementedError

    # What lasts

    def left_alone(self, wanted: Any) -> str:
        """Why a replay leaves an object that is not as it was asked for; empty when it does not.

        It brings back what a reboot or an accident took away, and not what came to its own end. For
        what may still come it waits, which is said with Waits().
        """
        return ""

    def others(self, names: set[str]) -> list[dict[str, Any]]:
        """What there is of this kind beside the objects of these names, for a view of all."""
        return []
