# Copyright: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""From what a btrfs file system holds of a subvolume to what is asked for."""

from __future__ import annotations

import contextlib

from ..errors import InvalidInput
from ..kernel import btrfs
from . import steps
from .subvolume import not_enabled
from .wanted import FULL, SIMPLE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .observation import TopLevel
    from .planning import QuotaPlan
    from .subvolume import Subvolume
    from .wanted import Quota


def plan_subvolume(plan: QuotaPlan, quota: Quota) -> None:
    """The steps for one subvolume, which is open only as long as they are found."""
    with contextlib.closing(plan.seen.subvolume(quota.path)) as volume:
        plan.found[quota.called] = {
            "path": quota.path,
            "type": quota.type,
            "id": volume.id,
            "state": "present" if quota.present else "absent",
            "directory": None,
            "asked": quota.asked,
            "effective": {},
            "rounded": [],
        }
        top = plan.seen.top_level(volume)
        if quota.present:
            _plan_present(plan, quota, volume, top)
        else:
            _plan_absent(plan, quota, volume, top)


def _plan_present(plan: QuotaPlan, quota: Quota, volume: Subvolume, top: TopLevel) -> None:
    accounting = _accounting(plan, quota, volume)
    if not volume.enabled and volume.uuid not in plan.enabled:
        if not quota.enable:
            raise not_enabled(volume.path)
        target = "%s: quotas" % volume.mount.source
        plan.steps.append(steps.Enable(top, target, accounting == SIMPLE))
        plan.enabled[volume.uuid] = accounting
    elif volume.enabled and volume.inconsistent and accounting == FULL:
        _plan_rescan(plan, quota, volume, top)
    if "block_hard" in quota.limits:
        limit = quota.limits["block_hard"] or None
        _plan_limit(plan, quota, volume, top, limit, accounting)
        plan.found[quota.called]["effective"] = {"block_hard": limit or 0}
        plan.found[quota.called]["accounting"] = accounting


def _plan_limit(
    plan: QuotaPlan,
    quota: Quota,
    volume: Subvolume,
    top: TopLevel,
    limit: int | None,
    accounting: str,
) -> None:
    begins = not volume.enabled
    group = volume.limiting(accounting)
    if limit is not None:
        _plan_group(plan, quota, volume, top, group, accounting, begins)
    now = None if begins else volume.limit(group)
    if now != limit:
        plan.steps.append(steps.SetLimit(top, _what(quota, group), group, now, limit))
        _warn(plan, quota, volume, accounting, limit, group, begins)


def _what(quota: Quota, group: int) -> str:
    return "%s: quota group %s" % (quota.path, btrfs.spell(group))


def _accounting(plan: QuotaPlan, quota: Quota, volume: Subvolume) -> str:
    """How data is or will be counted. The kernel takes a request for the other way with success,
    and changes nothing.
    """
    now = plan.enabled.get(volume.uuid) or (volume.accounting if volume.enabled else None)
    if now is None:
        return quota.accounting or FULL
    if quota.accounting not in (None, now):
        raise InvalidInput(
            "%s: accounting: %s is asked for, and the file system has %s"
            % (quota.called, quota.accounting, now),
            target=quota.path,
            hint="leave it out, or change it, which forgets every limit of the file system: btrfs quota disable %s"
            % quota.path,
        )
    return now


def _plan_rescan(plan: QuotaPlan, quota: Quota, volume: Subvolume, top: TopLevel) -> None:
    if not quota.enable:
        plan.warn_inconsistent(quota.called, quota.path)
    elif volume.uuid not in plan.enabled:
        plan.enabled[volume.uuid] = FULL
        plan.steps.append(steps.Rescan(top, "%s: quotas" % volume.mount.source))


def _plan_group(
    plan: QuotaPlan,
    quota: Quota,
    volume: Subvolume,
    top: TopLevel,
    group: int,
    accounting: str,
    begins: bool,
) -> None:
    """See that the group is there; with simple quotas, that it holds the subvolume and those in it."""
    if accounting == FULL:
        if not begins and not volume.exists(group):
            plan.steps.append(steps.MakeGroup(top, _what(quota, group), group))
        return
    there = not begins and volume.exists(group)
    members = volume.members(group) if there else []
    if there and volume.own not in members and (members or volume.limit(group) is not None):
        raise InvalidInput(
            "%s: quota group %s is there, and the subvolume is not in it"
            % (quota.called, btrfs.spell(group)),
            target=quota.path,
            hint="see whose it is (btrfs qgroup show -pc %s), and remove it" % quota.path,
        )
    if not there:
        plan.steps.append(steps.MakeGroup(top, _what(quota, group), group))
    for member in (volume.own, *(btrfs.group(0, number) for number in volume.nested())):
        if member not in members:
            what = "%s: quota group %s" % (quota.path, btrfs.spell(member))
            plan.steps.append(steps.Assign(top, what, member, group, True))


def _warn(
    plan: QuotaPlan,
    quota: Quota,
    volume: Subvolume,
    accounting: str,
    limit: int | None,
    group: int,
    begins: bool,
) -> None:
    """Say what a limit does not hold."""
    if limit is None:
        return
    if accounting == FULL and not quota.sealed:
        nested = volume.nested()
        there = ", as are the %d that are there" % len(nested) if nested else ""
        plan.warn(
            "%s: with full accounting, a subvolume that somebody makes in it is not limited%s; simple quotas (accounting: simple) count it"
            % (quota.called, there)
        )
    elif accounting == SIMPLE and (begins or not volume.is_counted_whole()):
        plan.warn(
            "%s: simple quotas do not count what was written before they were enabled"
            % quota.called
        )
    used = 0 if begins else volume.used(group)
    if used > limit:
        plan.warn(
            "%s: %d bytes are used already, which is more than the limit of %d"
            % (quota.called, used, limit)
        )


def _plan_absent(plan: QuotaPlan, quota: Quota, volume: Subvolume, top: TopLevel) -> None:
    """Lift the limit; with simple quotas the group goes too."""
    if not volume.enabled:
        return
    accounting = volume.accounting
    group = volume.limiting(accounting)
    if not volume.exists(group):
        return
    limit = volume.limit(group)
    members = volume.members(group)
    if accounting == FULL:
        if limit is not None:
            plan.steps.append(steps.SetLimit(top, _what(quota, group), group, limit, None))
        return
    if volume.own not in members:
        return  # somebody else's
    for member in members:
        what = "%s: quota group %s" % (quota.path, btrfs.spell(member))
        plan.steps.append(steps.Assign(top, what, member, group, False))
    plan.steps.append(steps.MakeGroup(top, _what(quota, group), group, True, limit))
