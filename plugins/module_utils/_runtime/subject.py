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

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class Subject:
    """A kind of object; each room has a subclass, which lives as long as one call.

    kind: the module's name, under which desired state is kept; plural: its bulk option; key: the option that names an object.
    """

    kind = ""
    plural = ""
    key = "name"
    persists = True

    def parse(self, options: dict[str, Any]) -> Any:
        """One desired object from its options. Raises InvalidInput; reads the machine at most, writes nothing."""
        raise NotImplementedError

    def plan(self, objects: list[Any]) -> Plan:
        """Observe, compare, and answer with the steps that are missing."""
        raise NotImplementedError

    def apply(self, the_plan: Plan) -> None:
        """Do the plan; a subject whose steps share something (a helper process) starts it here."""
        apply_plan(the_plan)

    def report(self, objects: list[Any], last: Any) -> list[dict[str, Any]]:
        """What is to be returned for each object; last: the last plan that was made, without steps unless in check mode."""
        raise NotImplementedError
