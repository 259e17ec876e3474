# Copyright: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""What was asked for and what the kernel holds, by option."""

from __future__ import annotations

from .. import units
from . import schemata
from .group import RESOURCES, Group
from .planning import GroupPlan

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .schemata import Cells

_OPTIONS = {resource: option for option, resource in RESOURCES.items()}


def report(groups: list[Group], last: GroupPlan) -> list[dict[str, Any]]:
    """What modules return for each group.

    last: the last plan made: what it saw is what holds; where it still has steps (check mode), what they would make is told.
    """
    return [_report_one(group, last) for group in groups]


def _report_one(group: Group, last: GroupPlan) -> dict[str, Any]:
    facts: dict[str, Any] = {"name": group.name, "state": "present" if group.present else "absent", "asked": {}, "effective": {}, "rounded": []}
    if not group.present:
        facts["tasks_go"] = last.removed.get(group.name, "")
        return facts
    holds = not last.steps and last.seen.exists(group.name)
    wanted = last.targets.wanted[group.name]
    cells = {**_before(group.name, last), **({} if holds else {**wanted.cells, **wanted.auto})}
    for resource, asks in group.asks.items():
        option = _OPTIONS.get(resource, resource.lower())
        values = {"all" if domain is None else str(domain): ask.asked for domain, ask in asks.items()}
        facts["asked"][option] = values["all"] if list(values) == ["all"] else values
    effective: dict[str, dict[str, Any]] = {}
    rounded = set(wanted.rounded)
    for (resource, domain), value in sorted(cells.items()):
        bandwidth = last.targets.hardware.bandwidths.get(resource)
        asked = wanted.cells.get((resource, domain))
        if bandwidth and not holds and asked is not None:
            value = bandwidth.kept(value)
        if bandwidth and asked is not None and schemata.normal(resource, asked) != value:
            rounded.add(resource)
        effective.setdefault(_OPTIONS.get(resource, resource.lower()), {})[str(domain)] = value if bandwidth else "%x" % value
    facts["effective"] = effective
    facts["rounded"] = sorted({_option_of(resource, group) for resource in rounded})
    if group.mode is not None:
        facts["asked"]["mode"] = group.mode
        if "mode" not in wanted.left_out:
            facts["effective"]["mode"] = group.mode
    if group.cpus is not None:
        facts["asked"]["cpus"] = facts["effective"]["cpus"] = units.format_list(group.cpus)
        if holds:
            facts["effective"]["cpus"] = units.format_list(last.seen.cpus(group.name))
    if group.leaves_out:
        facts["left_out"] = {_OPTIONS.get(resource, resource.lower()): why for resource, why in wanted.left_out.items()}
    facts["overlaps"] = last.overlaps.get(group.name, {})
    return facts


def _before(name: str, last: GroupPlan) -> Cells:
    """What the class has, or what a new one begins with beside what is asked for it: no limit of bandwidth (rdtgroup_init_mba(), rdtgroup.c)."""
    if last.seen.exists(name):
        return last.seen.cells(name)
    bandwidths = last.targets.hardware.bandwidths.items()
    return {(resource, domain): bandwidth.unlimited for resource, bandwidth in bandwidths if bandwidth.unlimited for domain in last.seen.domains(resource)}


def _option_of(resource: str, group: Group) -> str:
    """The option that asked for a resource: where code and data are apart, l3 asks for both."""
    level = schemata.level_of(resource)
    return _OPTIONS.get(resource if resource in group.asks or level not in group.asks else level, resource.lower())
