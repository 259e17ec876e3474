# Copyright: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""What was asked for and what the kernel holds, by option, in the vocabulary of v2."""

from __future__ import annotations

from .group import Group, Setting
from .observation import Observation
from .planning import GroupPlan
from .swap import memory_limit
from .values import MAX


def report(the_plan: GroupPlan, groups: list[Group]) -> list[dict[str, object]]:
    """What modules return for each group.

    the_plan: the last plan made: what it saw is what holds; where it still has steps (check mode), what they would make is told.
    """
    return [_report_one(the_plan.seen, not the_plan.steps, group) for group in groups]


def _report_one(seen: Observation, holds: bool, group: Group) -> dict[str, object]:
    asked: dict[str, object] = {}
    effective: dict[str, str] = {}
    rounded = []
    for setting in group.settings:
        value = _value(seen, holds, group, setting)
        if setting.option in asked and setting.file.name.startswith("cpu.cfs_"):  # a value that v1 keeps in two files
            value = effective[setting.option] + " " + value
        asked[setting.option] = setting.asked
        effective[setting.option] = value
    for setting in group.settings:
        if effective[setting.option] != setting.value and setting.option not in rounded:
            rounded.append(setting.option)
    report: dict[str, object] = {
        "name": group.title,
        "state": "present" if group.present else "absent",
        "hierarchies": sorted(hierarchy.name for hierarchy in group.hierarchies),
        "asked": asked,
        "effective": effective,
        "rounded": rounded,
    }
    if group.place is not None:
        report.update(unit=group.place.unit, cgroup=group.name)
    return report


def _value(seen: Observation, holds: bool, group: Group, setting: Setting) -> str:
    now = seen.now(setting, group.name) if holds else None
    if now is None:
        return setting.file.format.value(setting.kept)
    if setting.swap_only and now != MAX:
        limit = seen.now(memory_limit(setting.hierarchy), group.name)
        return str(int(now) - int(limit)) if limit not in (None, MAX) else now
    return setting.file.format.value(now)
