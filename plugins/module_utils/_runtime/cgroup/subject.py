# Copyright: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Control groups as something that can be managed."""

from __future__ import annotations

from ..subject import Subject
from .group import Group, parse_group
from .host import Host
from .managers import plan
from .planning import GroupPlan
from .report import report

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class Groups(Subject):
    """Control groups."""

    kind = "cgroup_group"
    plural = "groups"
    singular = "group"

    def __init__(self) -> None:
        self.host = Host.observe()

    def parse(self, options: dict[str, Any]) -> Group:
        group = parse_group({**options, "manager": options.get("manager") or "auto"}, self.host)
        group.brought_back = self.replaying
        return group

    def plan(self, objects: list[Group]) -> GroupPlan:
        return plan(self.host, objects, self.persist is not False)

    def report(self, objects: list[Group], last: GroupPlan) -> list[dict[str, Any]]:
        return report(last, objects)
