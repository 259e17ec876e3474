# Copyright: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Limits of a directory that another room makes and removes: what a container may write, for one.

The upper and the work directory of an overlay must be in one project, or the kernel cannot rename
between them (EXDEV). So the directory that holds both is put into the project before they are made,
and they inherit it.
"""

from __future__ import annotations

import os

from ..errors import BulkheadError
from ..kernel import mounts
from . import wanted
from .observation import Observation
from .planning import QuotaPlan, plan_quotas

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def limit(directory: str, limits: dict[str, Any], made_later: bool) -> QuotaPlan:
    """The steps that make a directory a project with these limits, and what is told of it.

    limits: block_soft, block_hard, inode_soft and inode_hard. made_later: the directory is made by
    steps of the caller, which are done before these; then it is empty. Steps of a directory that is
    there and limited already are those of what has changed.
    """
    quota = wanted.parse({**limits, **_whose(directory)})
    quota.made_later = made_later
    return plan_quotas(Observation(), [quota])


def release(directory: str) -> QuotaPlan:
    """The steps that take limits, project and lines away, also when the directory is gone already.

    No step is there where the directory is no project.
    """
    return plan_quotas(Observation(), [wanted.parse({**_whose(directory), "state": "absent"})])


def _whose(directory: str) -> dict[str, Any]:
    """The options that name the project of a directory, which lies wherever its nearest parent that
    is there does.
    """
    directory = os.path.realpath(directory)
    at = directory
    while not os.path.isdir(at):
        at = os.path.dirname(at)
    fd = os.open(at, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        here = mounts.mount_id(fd)
    finally:
        os.close(fd)
    for mount in mounts.mounts():
        if mount.id == here:
            return {"path": mount.path, "type": wanted.PROJECT, "directory": directory}
    raise BulkheadError("it cannot be told what %s is mounted from" % at, target=at)
