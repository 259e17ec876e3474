# Copyright: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""CPU quotas of v1, where a group may have no more than the group above it, and quota and period are two files.

Between the two writes a group has the one value with the other's past. Which of them goes first is chosen so that no group
has more than the one above it or less than one below it at any time (tg_cfs_schedulable_down(), kernel/sched/core.c).
"""

from __future__ import annotations

from .shown import PERIOD, QUOTA
from .values import MAX

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from .group import Group
    from .host import Hierarchy
    from .observation import Observation

    # Quota and period in microseconds; quota None for no limit.
    Quota = tuple["int | None", int]

UNLIMITED = float("inf")


def ratio(quota: int | None, period: int) -> float:
    """What a quota is worth, in the kernel's fixed point: to_ratio(), kernel/sched/core.c."""
    return UNLIMITED if quota is None else (quota << 20) // period


def _number(text: str | None) -> int | None:
    return None if text in (None, "", "-1", MAX) else int(text or 0)


class Quotas:
    """Quotas of v1 groups as they are, and as one call makes them."""

    def __init__(self, hierarchy: Hierarchy, seen: Observation, groups: list[Group]) -> None:
        self.hierarchy = hierarchy
        self.seen = seen
        self._asked: dict[str, dict[str, int | None]] = {}
        for group in groups:
            for setting in group.settings:
                if setting.file.name in (QUOTA, PERIOD) and setting.hierarchy is hierarchy:
                    self._asked.setdefault(group.name, {})[setting.file.name] = _number(setting.kept)

    def now(self, group: str) -> Quota:
        text = self.seen.text(self.hierarchy, "%s/%s" % (group, QUOTA))
        return _number(text), int(self.seen.text(self.hierarchy, "%s/%s" % (group, PERIOD)) or 100000)

    def then(self, group: str) -> Quota:
        quota, period = self.now(group)
        asked = self._asked.get(group, {})
        return asked.get(QUOTA, quota), asked.get(PERIOD) or period

    def takes(self, group: str) -> bool:
        """Whether the group is to have less than now."""
        return ratio(*self.then(group)) < ratio(*self.now(group))

    def comes_early(self, group: str) -> bool:
        """Whether its turn is with what takes, from the leaves up, and not with what gives, from the root down.

        A group without a limit holds nobody up: one that loses its limit is freed early, one that gets one waits for the group above it.
        """
        if self.then(group)[0] is None:
            return True
        return self.now(group)[0] is not None and self.takes(group)

    def bounds(self, group: str, below: list[str]) -> tuple[float, float]:
        """The least and the most that the group can have when its turn comes."""
        both = [(self.now(name), self.then(name)) for name in below]
        limited = [min(ratio(*now), ratio(*then)) for now, then in both if now[0] is not None and then[0] is not None]
        high, above = UNLIMITED, group.rpartition("/")[0]
        while above and high == UNLIMITED:
            high = ratio(*(self.now(above) if self.comes_early(group) else self.then(above)))
            above = above.rpartition("/")[0]
        return max(limited, default=0.0), high

    def writes(self, group: str, below: Callable[[], list[str]]) -> list[tuple[str, str]]:
        """(file, value) of each write from what the group has to what it is to have, in an order that the kernel takes."""
        (quota, period), (new_quota, new_period) = self.now(group), self.then(group)
        to_quota, to_period = (QUOTA, _word(new_quota)), (PERIOD, str(new_period))
        if quota == new_quota or period == new_period:
            return ([to_quota] if quota != new_quota else []) + ([to_period] if period != new_period else [])
        if quota is None or new_quota is None:
            return [to_period, to_quota] if quota is None else [to_quota, to_period]
        ends = sorted((ratio(quota, period), ratio(new_quota, new_period)))
        quota_first, period_first = ratio(new_quota, period), ratio(quota, new_period)
        orders = ((quota_first, [to_quota, to_period]), (period_first, [to_period, to_quota]))
        within = [order for between, order in orders if ends[0] <= between <= ends[1]]
        if not within:
            low, high = self.bounds(group, below())
            within = [order for between, order in orders if low <= between <= high]
        return within[0] if within else [(QUOTA, "-1"), to_period, to_quota]


def _word(quota: int | None) -> str:
    return "-1" if quota is None else str(quota)
