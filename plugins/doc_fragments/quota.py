# Copyright: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""The options of a disk quota, written once: for one quota, and again below the list of several."""

from __future__ import annotations

import textwrap

from ansible_collections.bulkhead.linux.plugins.doc_fragments.resources import BESIDE as _BESIDE
from ansible_collections.bulkhead.linux.plugins.doc_fragments.resources import in_list as _in_list

_PATH = """
path:
  description:
    - Where the file system is mounted. It must be a mount point, so that no other file system is limited when this one is not mounted.
    - With O(type=subvolume), the subvolume, which need not be mounted by itself.
    - Either this or O(quotas) is required.
  type: path
"""

_PATH_IN_LIST = """
path:
  description: Where the file system is mounted; with C(type=subvolume), the subvolume.
  type: path
  required: true
"""

_WHOSE = """
type:
  description:
    - Whose files are counted. V(user) counts what a user owns, V(group) what a group owns, V(project) what lies in a directory tree, and V(subvolume) a
      subvolume of btrfs, which has no other quotas.
    - It is required; for several quotas it can stand once beside O(quotas).
  type: str
  choices: [user, group, project, subvolume]
id:
  description:
    - The user, group or project, by name or number. Names of projects are those in C(/etc/projid).
    - With O(directory) it can be left out; then a free number is found.
    - Without it and without O(directory), only O(block_grace), O(inode_grace) and O(enable) can be given, which concern the whole type.
  type: str
directory:
  description:
    - The directory tree that is the project. It lies on the file system at O(path), and O(path) without links leads to it.
    - Without O(id), the project is the one that C(/etc/projects) names for the directory, else the one that the directory has
      been given already, else a free one, which is in neither C(/etc/projid) nor C(/etc/projects), has no usage and no limit, and
      is on no inode of the tree. It is written into both files.
    - Limits are set first. Then the directory is given the project, which what is made in it inherits, and at last all that lies
      there already is given it too. Mounts in the tree are not entered, nor are directories that are projects of their own.
    - Links, sockets, fifos and devices are counted on Linux 6.17 or newer only; RV(quotas[].out_of_reach) tells how many are not.
    - After this, files cannot be linked or renamed into the tree from elsewhere on the file system (EXDEV); C(mv) copies them.
    - A project is no wall. Who owns a file may take it out of its project (C(chattr -p)), as the kernel has it. Where that must not be, limit users or
      groups, or use C(disk_quota) of M(bulkhead.linux.container_run), which forbids it to the container.
    - With O(state=absent), the tree is taken out of the project, and the project out of both files.
  type: path
state:
  description: Whether there are limits. V(absent) lifts all limits of the id, and leaves the grace times of the type.
  type: str
  choices: [present, absent]
  default: present
"""

LIMITS = """
block_soft:
  description:
    - How many bytes may be exceeded for the grace time only, such as V(10G). V(max) lifts the limit; V(0) does too, as for other tools.
    - A limit that is not given stays as it is. It is rounded up to what the file system keeps, 1 KiB, or a block on XFS, which is reported and no change.
    - Not on btrfs.
  type: raw
block_hard:
  description:
    - How many bytes can never be exceeded. On btrfs, how many the subvolume may refer to, to the byte.
    - A hard limit below the soft one, also below one that is there already, is refused.
  type: raw
inode_soft:
  description: How many files, directories and the like may be exceeded for the grace time only. Not on btrfs.
  type: raw
inode_hard:
  description: How many can never be exceeded. Not on btrfs.
  type: raw
"""

_MORE = """
block_grace:
  description:
    - For how long O(block_soft) may be exceeded, in seconds or as V(90m), V(36h), V(7d) or V(2w). A file system has one for each type.
    - A grace that is running is not prolonged by it, and no other change begins it anew.
  type: str
inode_grace:
  description: The same for O(inode_soft).
  type: str
enable:
  description:
    - Do what can be done on a mounted file system where quotas are not in force. On ext4 and XFS that counts without limiting,
      limits are enforced until the next mount. On btrfs, quotas are enabled, or counted anew where they are inconsistent.
    - What cannot be done on a mounted file system is refused either way, with the commands that do it.
  type: bool
  default: false
accounting:
  description:
    - With O(type=subvolume), how the file system is to count. V(full) counts what subvolumes share for each of them, and what was
      there before. V(simple), of Linux 6.7 or newer, counts what is written from now on for the subvolume that wrote it, is much
      faster with many snapshots, and counts subvolumes that are made within the subvolume.
    - Used with O(enable); V(full) when it is not given. A file system that counts in the other way is refused, as changing it forgets every limit.
  type: str
  choices: [full, simple]
allow_id_zero:
  description:
    - Allow O(id=0). That is root, who is not limited, and on XFS its limits are the defaults of everybody who has none.
  type: bool
  default: false
"""


def _options(path: str) -> str:
    return "".join(part.lstrip("\n") for part in (path, _WHOSE, LIMITS, _MORE))


class ModuleDocFragment:
    """The options of one quota, and of a list of them."""

    # Annotated, because tools that read documentation without running it take a plain assignment for a literal.
    DOCUMENTATION: str = (
        "options:\n"
        + textwrap.indent(_options(_PATH), "  ")
        + "  quotas:\n"
        + "    description:\n"
        + "      - Several quotas in one call, each with the options above; all are set or none.\n"
        + "      - %s\n" % _BESIDE
        + "    type: list\n"
        + "    elements: dict\n"
        + "    suboptions:\n"
        + textwrap.indent(_in_list(_options(_PATH_IN_LIST)), "      ")
    )
