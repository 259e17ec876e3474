# Copyright: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Control groups as something that can be managed."""

from __future__ import annotations

from ..errors import InvalidInput
from ..slices import plain_name
from ..subject import Subject
from . import canonical
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

    def kept_name(self, name: str, options: dict[str, Any]) -> str:
        return plain_name(name) if self.host.systemd and options.get("manager") != "cgroupfs" else name

    def canonical(self, options: dict[str, Any]) -> dict[str, Any]:
        """Each kernel object once. Where two options of a record mean one, as an earlier version kept them, the kernel's own file counts."""
        files = options.get("files")
        return canonical.merge({**options, "files": None}, {"files": files}, self.host) if files else options

    def laid_over(self, held: dict[str, Any], given: dict[str, Any]) -> dict[str, Any]:
        merged = canonical.merge(held, given, self.host)
        return held if self._same(held, merged) else merged

    def _same(self, held: dict[str, Any], merged: dict[str, Any]) -> bool:
        """Whether the two differ in their spelling at most."""
        if held == merged or any(held.get(name) != merged.get(name) for name in ("state", "manager", "overcommit")):
            return held == merged
        try:
            return canonical.same(held, merged, self.host)
        except InvalidInput:
            return False  # something of it is not on this machine now

    def report(self, objects: list[Group], last: GroupPlan) -> list[dict[str, Any]]:
        return report(last, objects)
