# Copyright: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""A directory tree as a project: which id it has or gets, and the steps that put it into the
project and take it out.

Everybody who numbers projects must agree on the numbers, so they stand in /etc/projid and
/etc/projects, where xfs_quota and repquota read them too.
"""

from __future__ import annotations

import errno
import os

from ..errors import BulkheadError, InvalidInput
from ..kernel import quotactl
from . import projects
from .tree import TagTree, Walk
from .wanted import PROJECT

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ..plan import Step
    from .filesystem import FileSystem
    from .planning import QuotaPlan
    from .wanted import Quota


class Steps:
    """What is to be done about a directory: first before its limits are set, last afterwards.

    identity: the project, None where it has none. shared: whether other directories are in it too.
    """

    def __init__(self, identity: int | None) -> None:
        self.identity: Any = identity
        self.first: list[Step] = []
        self.last: list[Step] = []
        self.facts: dict[str, Any] = {}
        self.shared = False


def plan_directory(plan: QuotaPlan, quota: Quota, fs: FileSystem) -> Steps:
    """The id of a directory's project, the lines in the files, and the tags of what is not tagged
    yet.
    """
    files = plan.seen.projects
    listed = files.id_of_directory(quota.directory)
    but = _other_roots(plan, quota)
    known = listed if quota.made_later else _known_id(plan, quota, fs, listed)
    walk = Walk()
    if not quota.made_later:
        walk = _walk(plan, quota, known, but)
    identity = _free_id(plan, fs, walk.seen) if known is None else known
    plan.taken[identity] = quota.directory
    found = Steps(identity)
    name = files.name_of(identity)
    if not name:
        name = quota.name or files.free_name(quota.directory, identity, plan.names)
        plan.names.add(name)
        found.first.append(
            projects.Line(projects.PROJID, "%s:%d" % (name, identity), True, identity)
        )
    if listed is None:
        found.first.append(
            projects.Line(projects.PROJECTS, "%d:%s" % (identity, quota.directory), True, identity)
        )
    if quota.made_later:
        found.last.append(TagTree(quota.directory, None, identity, None, but))
    elif walk.missing:
        found.last.append(TagTree(quota.directory, _words(plan, walk), identity, None, but))
        if walk.out_of_reach:
            plan.warn(
                "%s: %d links, sockets, fifos or devices cannot be put into a project by this kernel, and are not counted (Linux 6.17 can)"
                % (quota.called, walk.out_of_reach)
            )
    found.facts = {"name": name, "inodes": walk.inodes, "out_of_reach": walk.out_of_reach}
    return found


def _walk(plan: QuotaPlan, quota: Quota, known: int | None, but: list[str]) -> Walk:
    """What is to be tagged; of a directory whose files are known to inherit, itself alone."""
    if quota.top_only and known and plan.seen.project_of(quota.directory) == (known, True):
        return Walk()
    return plan.seen.tree(quota.directory, -1 if known is None else known, but)


def _words(plan: QuotaPlan, walk: Walk) -> str:
    """What the inodes of a tree that are to change are in now; a tree of another project is named."""
    parts = []
    for project, number in sorted(walk.wrong.items()):
        name = plan.seen.projects.name_of(project)
        parts.append(
            "%d in %s"
            % (
                number,
                "project %d%s" % (project, " (%s)" % name if name else "")
                if project
                else "no project",
            )
        )
    return "of %d inodes %s" % (walk.inodes, ", ".join(parts))


def _other_roots(plan: QuotaPlan, quota: Quota) -> list[str]:
    """The directories below this one that are projects of their own."""
    below = quota.directory.rstrip("/") + "/"
    listed = [os.path.normpath(directory) for _number, directory in plan.seen.projects.directories]
    return [one for one in [*listed, *plan.taken.values()] if one.startswith(below)]


def _known_id(plan: QuotaPlan, quota: Quota, fs: FileSystem, listed: int | None) -> int | None:
    """The id that a directory has or was asked to have; None where a free one is to be found."""
    tagged, inherited = plan.seen.project_of(quota.directory)
    if quota.id is not None:
        _check_asked(plan, quota, fs, listed, tagged)
        return quota.id
    if listed is not None:
        if quota.name:
            raise _listed_already(quota, listed)
        return listed
    if quota.name or not tagged or not inherited:
        return None
    # A project that somebody has made by hand is kept, where it begins at this directory and is
    # written down nowhere.
    above = (
        plan.seen.project_of(os.path.dirname(quota.directory))[0]
        if quota.directory != fs.path
        else 0
    )
    return (
        tagged
        if above != tagged and tagged not in plan.seen.projects.used() and tagged not in plan.taken
        else None
    )


def _listed_already(quota: Quota, listed: int) -> InvalidInput:
    return InvalidInput(
        "%s: the directory is project %d, by %s" % (quota.called, listed, projects.PROJECTS),
        target=quota.directory,
        hint="leave the id out to keep it, or remove the quota first (state: absent)",
    )


def _check_asked(
    plan: QuotaPlan, quota: Quota, fs: FileSystem, listed: int | None, tagged: int
) -> None:
    """Refuse an id that another tree uses: both would share one limit."""
    files, identity = plan.seen.projects, quota.id or 0
    if listed not in (None, identity):
        raise _listed_already(quota, listed or 0)
    others = [
        one for one in files.directories_of(identity) if os.path.normpath(one) != quota.directory
    ]
    if identity in plan.taken:
        others.append(plan.taken[identity])
    if others:
        raise InvalidInput(
            "%s: project %d is that of %s" % (quota.called, identity, ", ".join(others)),
            target=quota.directory,
            hint="leave id out, and a free one is found",
        )
    used = plan.seen.dquot(fs, PROJECT, identity)
    if tagged != identity and used.inodes:
        raise InvalidInput(
            "%s: project %d is used already: %d inodes that are not this directory's are in it"
            % (quota.called, identity, used.inodes),
            target=quota.directory,
            hint="leave id out, and a free one is found",
        )


def _free_id(plan: QuotaPlan, fs: FileSystem, seen: set[int]) -> int:
    """The first id that is in neither file, has no usage and no limit, and that no inode of the
    tree has.
    """
    used = plan.seen.projects.used() | seen | set(plan.taken)
    candidate = projects.FIRST
    while candidate <= projects.LAST:
        while candidate in used:
            candidate += 1
        following = _next_used(plan, fs, candidate)
        if following is None or following > candidate:
            return candidate
        candidate += 1
    raise BulkheadError("there is no free project id on %s" % fs.path, target=fs.path)


def _next_used(plan: QuotaPlan, fs: FileSystem, candidate: int) -> int | None:
    """The first id from this one on that has usage or limits."""
    try:
        found = quotactl.following(fs.place, quotactl.PROJECT, candidate)
    except OSError as error:
        if error.errno not in (errno.ENOSYS, errno.EINVAL):
            raise
        # Before Linux 4.6 nobody could ask for the next one.
        return None if plan.seen.is_unused(fs, PROJECT, candidate) else candidate
    return None if found is None else found.id


def plan_removal(plan: QuotaPlan, quota: Quota, fs: FileSystem) -> Steps:
    """Take a tree out of its project, and the project out of the files."""
    files = plan.seen.projects
    there = os.path.isdir(quota.directory)
    identity = files.id_of_directory(quota.directory)
    if identity is None:
        identity = quota.id
    if identity is None and there:
        known = _known_id(plan, quota, fs, None)
        identity = known
    found = Steps(identity)
    if identity is None:
        return found
    lines = [
        one for one in files.directories_of(identity) if os.path.normpath(one) == quota.directory
    ]
    found.shared = len(files.directories_of(identity)) > len(lines)
    if there:
        but = _other_roots(plan, quota)
        walk = plan.seen.tree(quota.directory, 0, but)
        number = walk.wrong.get(identity, 0)
        if number:
            found.first.append(
                TagTree(
                    quota.directory,
                    "%d inodes in project %d" % (number, identity),
                    0,
                    identity,
                    but,
                )
            )
    found.last += [
        projects.Line(projects.PROJECTS, "%d:%s" % (identity, one), False, identity)
        for one in lines
    ]
    name = files.name_of(identity)
    if name and lines and not found.shared:
        found.last.append(
            projects.Line(projects.PROJID, "%s:%d" % (name, identity), False, identity)
        )
    return found
