# Copyright: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""The filter of a container with a disk quota, beside whatever other filter it has.

A file belongs to a project, and its owner may give it another one, which takes it out of the limits
of the first; so may who takes from a directory the flag by which new files inherit the project
(fileattr_set_prepare(), fs/file_attr.c). An overlay hands both requests on to its upper layer
(ovl_fileattr_set()). Their data is in memory, where no filter sees it: they are refused as a whole,
with EPERM, as chattr(1) knows it. Of several filters the strictest decides (seccomp(2)).
"""

from __future__ import annotations

from ...kernel.seccomp import RET_ALLOW, Filter
from . import default, filters

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .assembler import Decision

# include/uapi/linux/fs.h: FS_IOC_SETFLAGS and FS_IOC32_SETFLAGS are the other two.
REQUESTS = (default.SET_PROJECT, 0x40086602, 0x40046602)
_ALLOWED: Decision = (((), RET_ALLOW),)
_DECISIONS: dict[str, Decision] = {
    "ioctl": default.without_requests(REQUESTS),
    "file_setattr": (((), default.REFUSED),),
}
_made: list[Filter] = []


def why_not() -> str:
    """Why it cannot be in force on this machine; empty where it can."""
    return filters.why_not()


def of(config: dict[str, object]) -> Filter | None:
    """The filter of a container; None where it needs none, or none can be had."""
    if not config.get("disk_quota") or why_not():
        return None
    if not _made:
        _made.append(Filter(filters.program(_DECISIONS, _ALLOWED)))
    return _made[0]
