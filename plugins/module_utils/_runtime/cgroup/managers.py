# Copyright: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Who is asked for a group: the kernel, by its files, or systemd, by its units. One call may have both."""

from __future__ import annotations

from ..errors import InvalidInput
from . import units
from .group import Group
from .host import Host
from .planning import GroupPlan, plan_groups
from .steps import pids_in


def plan(host: Host, groups: list[Group], persist: bool = True) -> GroupPlan:
    """The plan that makes the groups as desired. Raises InvalidInput for what can be known to fail before the first write.

    persist: whether what systemd is asked for is to outlast the boot.
    """
    known = units.look(groups)
    units.resolve(groups, known)
    for group in groups:
        if group.place is None and group.present and not group.brought_back:
            _check_lasts(host, group)
    whole = plan_groups(host, [group for group in groups if not group.is_unit])
    asked = [group for group in groups if group.is_unit]
    if asked:
        of_units = units.plan_units(host, asked, known, persist)
        whole.steps += of_units.steps
        whole.warnings += of_units.warnings
        whole.fresh |= of_units.fresh
    return whole


def _check_lasts(host: Host, group: Group) -> None:
    """Refuse a group beside systemd's own where systemd would remove it as soon as it looks."""
    for hierarchy in group.hierarchies:
        if group.processes or not host.is_swept(hierarchy) or pids_in(hierarchy, group.name):
            continue
        options = [setting.option for setting in group.settings if setting.hierarchy is hierarchy] or hierarchy.controllers
        raise InvalidInput(
            "group %s: %s cannot be kept: none of systemd's units needs %s, and there it removes every empty group when it reloads"
            % (group.title, ", ".join(options), hierarchy.path),
            target=hierarchy.tree.full(group.name),
            hint="leave manager out, or set manager: systemd, and the group is a unit; or name a group below a service with Delegate=yes",
        )
