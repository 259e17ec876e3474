# Copyright: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""From what there is to what is asked for."""

from __future__ import annotations

import os

from .. import units
from ..errors import InvalidInput
from ..foreseen import Foreseen, Missing, warning
from ..plan import Plan
from . import steps
from .directory import plan_directory, plan_removal
from .observation import check_directory
from .subvolume_planning import plan_subvolume
from .wanted import COUNTS, GRACES, KINDS, LIMITS, PROJECT, SIZES, SUBVOLUME, check_pair

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ..kernel.quotactl import Dquot
    from .filesystem import FileSystem
    from .observation import Observation
    from .wanted import Quota


class QuotaPlan(Plan):
    """A plan, with what was seen and what each quota comes to.

    found: {name of a quota: what is told of it}. taken: ids of projects that this plan gives away.
    """

    def __init__(self, seen: Observation) -> None:
        super().__init__()
        self.seen = seen
        self.found: dict[str, dict[str, Any]] = {}
        self.taken: dict[int, str] = {}
        self.names: set[str] = set()
        self._ids: dict[tuple[str, str, int], str] = {}
        self._graces: dict[tuple[str, str], dict[str, int]] = {}
        self._enforced: set[tuple[str, str]] = set()
        # What of a btrfs file system this plan has begun already, by its UUID.
        self.enabled: dict[str, str] = {}

    def warn(self, text: str) -> None:
        if text not in self.warnings:
            self.warnings.append(text)

    def warn_inconsistent(self, called: str, path: str) -> None:
        """Say that a btrfs file system looks at no limit now."""
        self.warn(
            "%s: what subvolumes use is not counted rightly (inconsistent), and limits are not looked at until it is: "
            "disk_quota with enable: true counts anew, or: btrfs quota rescan -w %s"
            % (called, path)
        )

    def once(self, quota: Quota, fs: FileSystem, identity: int) -> None:
        """Refuse a second quota for the same id in one call."""
        key = (fs.mount.device, quota.type, identity)
        if key in self._ids:
            raise InvalidInput("%s is given twice, also as %s" % (quota.called, self._ids[key]))
        self._ids[key] = quota.called

    def enforce(self, quota: Quota, fs: FileSystem) -> None:
        """See that limits of the type are enforced, once for each type of a file system."""
        key = (fs.mount.device, quota.type)
        if fs.require(quota.type, quota.enable) and key not in self._enforced:
            self._enforced.add(key)
            self.steps.append(steps.Enforce(fs.place, KINDS[quota.type], _of_type(fs, quota.type)))

    def graces(self, quota: Quota, fs: FileSystem) -> dict[str, int]:
        """The grace times that are asked for of a type by now; two different ones in one call are
        refused.
        """
        asked = self._graces.setdefault((fs.mount.device, quota.type), {})
        for option, seconds in quota.graces.items():
            if asked.setdefault(option, seconds) != seconds:
                problem = "%s: %s is asked to be %d s and %d s" % (
                    quota.called,
                    option,
                    asked[option],
                    seconds,
                )
                raise InvalidInput(problem, hint="a file system has one for each type")
        return asked


def plan_quotas(seen: Observation, quotas: list[Quota]) -> QuotaPlan:
    """The steps that are missing. Raises what is wrong with any quota before a step is done."""
    plan = QuotaPlan(seen)
    for quota in quotas:
        plan_quota(plan, quota)
    return plan


def plan_quota(plan: QuotaPlan, quota: Quota) -> None:
    """Add the steps of one quota."""
    if quota.called in plan.found:
        raise InvalidInput("%s is given twice" % quota.called)
    try:
        if quota.nobody is not None:
            raise quota.nobody
        _plan_quota(plan, quota)
    except Missing as missing:
        if not quota.checking:
            raise
        plan.warn(warning(missing))
        plan.found[quota.called] = told(quota, quota.id, {}, [])
        if quota.present:
            asked = ", ".join("%s %s" % option for option in quota.asked.items())
            plan.steps.append(Foreseen(quota.called, asked or "no limits"))


def _plan_quota(plan: QuotaPlan, quota: Quota) -> None:
    if quota.type == SUBVOLUME:
        plan_subvolume(plan, quota)
    elif quota.present:
        _plan_present(plan, quota)
    else:
        _plan_absent(plan, quota)


def _of_type(fs: FileSystem, kind: str) -> str:
    return "%s: %s quotas" % (fs.path, kind)


def _plan_present(plan: QuotaPlan, quota: Quota) -> None:
    fs = plan.seen.filesystem(quota.path)
    plan.enforce(quota, fs)
    _plan_graces(plan, quota, fs)
    if quota.of_all:
        plan.found[quota.called] = told(quota, None, dict(quota.graces), [])
        return
    if quota.directory:
        if not quota.made_later:
            check_directory(fs, quota.directory, quota.called)
        with_tree = plan_directory(plan, quota, fs)
        identity = with_tree.identity
        plan.steps += with_tree.first
    else:
        with_tree = None
        identity = quota.id or 0
    plan.once(quota, fs, identity)
    effective, rounded = _plan_limits(plan, quota, fs, identity)
    plan.found[quota.called] = told(quota, identity, {**effective, **quota.graces}, rounded)
    if with_tree is not None:
        plan.steps += with_tree.last
        plan.found[quota.called].update(with_tree.facts)


def told(
    quota: Quota, identity: int | None, effective: dict[str, Any], rounded: list[str]
) -> dict[str, Any]:
    """What is returned of one quota."""
    found = {
        "path": quota.path,
        "type": quota.type,
        "state": "present" if quota.present else "absent",
    }
    return {
        **found,
        "id": identity,
        "directory": quota.directory or None,
        "asked": quota.asked,
        "effective": effective,
        "rounded": rounded,
    }


def _plan_graces(plan: QuotaPlan, quota: Quota, fs: FileSystem) -> None:
    """One step for the grace times of a type, whoever asks for them."""
    if not quota.graces:
        return
    asked = plan.graces(quota, fs)
    now = plan.seen.grace(fs, quota.type)
    then = (asked.get(GRACES[0], now[0]), asked.get(GRACES[1], now[1]))
    target = _of_type(fs, quota.type) + ": grace"
    plan.steps = [step for step in plan.steps if step.target != target]
    if now != then:
        plan.steps.append(steps.SetGrace(fs.place, KINDS[quota.type], target, now, then))


def _plan_limits(
    plan: QuotaPlan, quota: Quota, fs: FileSystem, identity: int
) -> tuple[dict[str, int], list[str]]:
    """(what the limits will be, which of them were rounded)."""
    now = plan.seen.dquot(fs, quota.type, identity)
    wanted = _kept(quota, fs) if quota.limits else {}
    held = dict(zip(LIMITS, (now.block_soft, now.block_hard, now.inode_soft, now.inode_hard)))
    effective = {**held, **wanted}
    if effective != held:
        _check_pairs(quota, effective)
        then = now._replace(**wanted)
        plan.steps.append(steps.SetLimits(fs.place, KINDS[quota.type], quota.called, now, then))
        _warn_of_use(plan, quota, then)
    rounded = [option for option, value in quota.limits.items() if effective[option] != value]
    return effective, rounded


def _check_pairs(quota: Quota, effective: dict[str, int]) -> None:
    for soft, hard in (SIZES, COUNTS):
        if soft in quota.limits or hard in quota.limits:
            hint = "a limit that is not given stays as it is: give both"
            check_pair(quota.called, soft, effective[soft], hard, effective[hard], hint)


def _warn_of_use(plan: QuotaPlan, quota: Quota, then: Dquot) -> None:
    for limit, used, what in (
        (then.block_hard, then.blocks, "bytes"),
        (then.inode_hard, then.inodes, "inodes"),
    ):
        if 0 < limit < used:
            plan.warn(
                "%s: %d %s are used already, which is more than the hard limit of %d"
                % (quota.called, used, what, limit)
            )


def _kept(quota: Quota, fs: FileSystem) -> dict[str, int]:
    """The limits as the file system keeps them: rounded up, and no more than its format holds."""
    most_bytes, most_inodes = fs.maximum(quota.type)
    found = {}
    for option, value in quota.limits.items():
        kept = -(-value // fs.unit) * fs.unit if option in SIZES else value
        most = most_bytes if option in SIZES else most_inodes
        if kept > most:
            text = units.format_size(most) if option in SIZES else str(most)
            what = (
                "%s (%s)" % (fs.type, fs.format(quota.type)) if fs.format(quota.type) else fs.type
            )
            problem = "%s: %s: %s is more than %s can hold, which is %s" % (
                quota.called,
                option,
                quota.asked[option],
                what,
                text,
            )
            raise InvalidInput(problem, hint="max lifts the limit")
        found[option] = kept
    return found


def _plan_absent(plan: QuotaPlan, quota: Quota) -> None:
    """Lift every limit of an id; of a directory also its project."""
    fs = plan.seen.filesystem(quota.path)
    plan.found[quota.called] = told(quota, quota.id, {}, [])
    counts, _enforces = fs.state(quota.type)
    removal = plan_removal(plan, quota, fs) if quota.type == PROJECT and quota.directory else None
    identity = quota.id if removal is None else removal.identity
    plan.found[quota.called]["id"] = identity
    if removal is not None:
        plan.steps += removal.first
    if identity is not None and counts and not (removal and removal.shared):
        plan.once(quota, fs, identity)
        now = plan.seen.dquot(fs, quota.type, identity)
        then = now._replace(**dict.fromkeys(LIMITS, 0))
        if now != then:
            plan.steps.append(steps.SetLimits(fs.place, KINDS[quota.type], quota.called, now, then))
    if removal is not None:
        plan.steps += removal.last


def is_waiting(quota: Quota) -> str:
    """What a quota that is being brought back waits for, in words; empty where all is there."""
    real = os.path.realpath(quota.path)
    if not os.path.isdir(real):
        return "there is no directory %s" % quota.path
    if quota.type == SUBVOLUME:
        return ""
    if not os.path.ismount(real):
        return "nothing is mounted at %s" % quota.path
    if quota.directory and quota.present and not os.path.isdir(quota.directory):
        return "there is no directory %s" % quota.directory
    return ""
