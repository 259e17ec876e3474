# Copyright: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Who is asked for a group: the kernel, by its files, or systemd, by its units. One call may have both."""

from __future__ import annotations

from . import units
from .group import Group
from .host import Host
from .planning import GroupPlan, plan_groups


def plan(host: Host, groups: list[Group], persist: bool = True) -> GroupPlan:
    """The plan that makes the groups as desired. Raises InvalidInput for what can be known to fail before the first write.

    persist: whether what systemd is asked for is to outlast the boot.
    """
    known = units.look(groups)
    units.resolve(groups, known)
    whole = plan_groups(host, [group for group in groups if not group.is_unit])
    asked = [group for group in groups if group.is_unit]
    if asked:
        of_units = units.plan_units(host, asked, known, persist)
        whole.steps += of_units.steps
        whole.warnings += of_units.warnings
        whole.fresh |= of_units.fresh
    return whole
