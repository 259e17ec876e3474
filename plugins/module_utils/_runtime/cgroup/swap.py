# Copyright: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Swap on v1, which counts memory and swap together (memory.memsw) where v2 counts swap alone.

memory.memsw.limit_in_bytes = memory.max + memory.swap_max; cgroup-v1/memory.rst, 2.4.
"""

from __future__ import annotations

from ..errors import InvalidInput
from .group import Group, Setting
from .host import Hierarchy
from .knobs import BY_OPTION
from .observation import Observation
from .values import MAX


def memory_limit(hierarchy: Hierarchy) -> Setting:
    """The file of memory.max on v1, to be read."""
    return _setting("memory.max", None, hierarchy, MAX)


def _setting(option: str, asked: object, hierarchy: Hierarchy, value: str) -> Setting:
    knob = BY_OPTION[option]
    return Setting(option, asked, hierarchy, knob.v1[0], value, order=knob.order)


def with_memsw(group: Group, seen: Observation, new: list[Hierarchy]) -> list[Setting]:
    """The settings of a group, with the sum in place of the swap that was asked for.

    When memory.max alone is to change, the swap allowed beside it stays: the sum moves along.
    """
    limit = next((setting for setting in group.settings if setting.option == "memory.max" and setting.hierarchy.version == 1), None)
    swap = next((setting for setting in group.settings if setting.swap_only), None)
    one = swap or limit
    if one is None or (swap is None and any(setting.file.name == "memory.memsw.limit_in_bytes" for setting in group.settings)):
        return group.settings
    hierarchy = one.hierarchy
    limit_now = MAX if hierarchy in new else seen.now(memory_limit(hierarchy), group.name) or MAX
    limit_then = limit.kept if limit else limit_now
    if swap is not None:
        allowed = swap.value
        if MAX not in (allowed, limit_then):
            total = str(int(limit_then) + int(allowed))
        elif allowed == MAX:
            total = MAX
        else:
            raise InvalidInput("%s: memory.swap_max needs memory.max beside it, because cgroup v1 limits memory and swap together" % group.called)
        others = [setting for setting in group.settings if setting is not swap]
        return [*others, _setting("memory.swap_max", swap.asked, hierarchy, total)]
    if limit_then == limit_now or limit_now == MAX:
        return group.settings
    total_now = seen.now(_setting("memory.swap_max", None, hierarchy, MAX), group.name) or MAX
    if total_now == MAX:
        return group.settings
    total = MAX if limit_then == MAX else str(int(limit_then) + int(total_now) - int(limit_now))
    return [*group.settings, _setting("memory.swap_max", "as before", hierarchy, total)]
