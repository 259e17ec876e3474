# Copyright: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""By what a directory shows that it may have a disk quota. The doors to quotas take time to load, and
most directories have none: so this asks without them.
"""

from __future__ import annotations

import os

# projects(5): the directories of projects.
PROJECTS = os.environ.get("BULKHEAD_PREFIX", "").rstrip("/") + "/etc/projects"
# BTRFS_FIRST_FREE_OBJECTID of linux/btrfs_tree.h: the root of every subvolume.
ROOT_INODE = 256


def is_subvolume(directory: str) -> bool:
    """Whether a directory of btrfs is a subvolume."""
    return os.stat(directory).st_ino == ROOT_INODE
