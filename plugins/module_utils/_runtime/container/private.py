# Copyright: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""The limits of a container's private files, through the room of quotas.

They are set on the directory that holds all of the upper layers, before these are made, and the
file system keeps them: a later start finds them there.
"""

from __future__ import annotations

import os

from ..errors import BulkheadError, InvalidInput
from ..kernel.files import read_text
from ..kernel.traces import PROJECTS, is_subvolume
from ..plan import Plan, apply
from . import words
from .seccomp import guard

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ..plan import Step
    from ..quota.private import Private
    from .paths import Paths

_CALLED = "disk_quota"
_HINT = "%s lies in %s: a file system with quotas can be mounted there"


def parse(value: object, rootfs: str) -> dict[str, Any] | None:
    """The option as it is kept, None where nothing is limited. Raises InvalidInput."""
    if value is None:
        return None
    from ..quota import private

    given = {key: one for key, one in words.mapping(value, _CALLED).items() if one is not None}
    for name in given:
        if name not in private.OPTIONS:
            known = ", ".join(private.OPTIONS)
            raise InvalidInput("disk_quota: %s is none of %s" % (name, known))
    if not private.numbers(given, _CALLED):
        return None
    if rootfs != "host":
        raise InvalidInput(
            "disk_quota: it limits private files, and with a directory as rootfs there are none",
            hint="limit the directory: disk_quota with type: project and directory: %s" % rootfs,
        )
    return given


def same(value: dict[str, Any] | None) -> Any:
    """The limits in the one spelling by which they are compared."""
    if not value:
        return None
    from ..quota import private

    return sorted(private.numbers(value, _CALLED).items()) or None


def laid_over(config: dict[str, Any], given: dict[str, Any]) -> dict[str, Any] | None:
    """The limits of a container with those that are given now over them."""
    return parse({**(config.get("disk_quota") or {}), **given}, config["rootfs"])


class Limits:
    """What is to be done about the limits of the containers of one plan.

    The room of quotas is loaded for containers that have limits, or may have had some.
    """

    def __init__(self, paths: Paths) -> None:
        self.paths = paths
        self._private: Private | None = None

    @property
    def _room(self) -> Private:
        if self._private is None:
            from ..quota.private import Private

            self._private = Private()
        return self._private

    @property
    def warnings(self) -> list[str]:
        return self._private.warnings if self._private else []

    def close(self) -> None:
        """Let go of the file systems; what was found out about them stays."""
        if self._private is not None:
            self._private.close()

    def steps(self, config: dict[str, Any], made_later: bool, whole: bool) -> list[Step]:
        """The steps after which the private files of a container have its limits.

        made_later: their directory is made before; whole: look at every file.
        """
        own = self.paths.own(config["name"])
        if not config.get("disk_quota") and (made_later or not _has_traces(own)):
            return []
        try:
            return self._room.limit(own, _numbers(config), made_later, whole)
        except BulkheadError as error:
            error.problem = "container %s: disk_quota: %s" % (config["name"], error.problem)
            hint = _HINT % (own, self.paths.lib)
            error.hint = "%s; %s" % (error.hint, hint) if error.hint else hint
            raise

    def move_aside(self, name: str) -> list[Step]:
        """The steps that go with moving the private files of a container aside."""
        own = self.paths.own(name)
        return self._room.move(own, self.paths.aside(name)) if _has_traces(own) else []

    def release(self, directory: str, now_at: str = "") -> tuple[list[Step], list[Step]]:
        """(what comes before the removal of private files, what comes after).

        now_at: where they lie while the plan is made, if it moves them.
        """
        there = now_at or directory
        return self._room.release(directory, there) if _has_traces(there) else ([], [])

    def needs_subvolume(self, config: dict[str, Any]) -> bool:
        """Whether the private files of a container are to be in a subvolume of their own."""
        if not config.get("disk_quota"):
            return False
        from ..quota.private import on_btrfs

        return on_btrfs(self.paths.own(config["name"]))

    def told(self, config: dict[str, Any] | None) -> dict[str, Any] | None:
        """What is returned of a container's limits."""
        if config is None or not config.get("disk_quota") or self._private is None:
            return None
        own = self.paths.own(config["name"])
        found = self._private.told.get(os.path.realpath(own))
        if found is None:
            return None
        effective = {key: value for key, value in found["effective"].items() if value}
        told = {key: found[key] for key in ("path", "id", "rounded")}
        return {**told, "directory": own, "asked": config["disk_quota"], "effective": effective}


def _has_traces(directory: str) -> bool:
    """Whether a directory of private files may have limits, found out without the room of quotas:
    it is listed as a project, or it is a subvolume of btrfs, of which the root is inode 256.
    """
    if os.path.realpath(directory) in (read_text(PROJECTS) or ""):
        return True
    try:
        return is_subvolume(directory)
    except OSError:
        return False


def _numbers(config: dict[str, Any]) -> dict[str, int]:
    from ..quota import private

    return private.numbers(config.get("disk_quota") or {}, _CALLED)


def walks(found: list[Step]) -> bool:
    """Whether a tree is put into a project by these steps."""
    from ..quota.tree import TagTree

    return any(isinstance(step, TagTree) for step in found)


def ensure(config: dict[str, Any], paths: Paths) -> None:
    """See at a start that the limits of private files hold, which are there already."""
    if not config.get("disk_quota"):
        return
    limits, plan = Limits(paths), Plan()
    try:
        plan.steps = limits.steps(config, False, False)
        apply(plan)
    finally:
        limits.close()


def describe(config: dict[str, Any], paths: Paths) -> dict[str, Any] | None:
    """The limits of a container and what is used of them; None where it has none."""
    if not config.get("disk_quota"):
        return None
    from ..quota.private import Private

    room = Private()
    try:
        return room.describe(paths.own(config["name"]))
    except (BulkheadError, OSError) as error:
        return {"error": str(error)}
    finally:
        room.close()


def unguarded(config: dict[str, Any], record: dict[str, Any]) -> list[str]:
    """What there is to say of a container that has limits, and started without the filter by which
    nobody inside can leave them.
    """
    reason = guard.why_not()
    if not config.get("disk_quota") or (record.get("guarded") and not reason):
        return []
    reason = reason or "it is not forbidden to processes that were started before there was a quota; state: restarted ends that"
    return [
        "container %s: who wants to can leave the disk quota from inside, by taking files out of their project (chattr -p, chattr -P): %s"
        % (config["name"], reason)
    ]
