# Copyright: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# This is private to the collection: it may change at any time without notice.

"""The options of a disk quota, as Ansible's argument spec; what they mean is in the runtime."""

from __future__ import annotations

import typing as t

_RAW: dict[str, t.Any] = {"type": "raw"}

# What a quota may limit; containers take the same.
LIMITS: dict[str, t.Any] = dict.fromkeys(
    ("block_soft", "block_hard", "inode_soft", "inode_hard"), _RAW
)

QUOTA: dict[str, t.Any] = {
    "path": {"type": "path"},
    "type": {"type": "str", "choices": ["user", "group", "project", "subvolume"]},
    "id": {"type": "str"},
    "directory": {"type": "path"},
    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
    **LIMITS,
    "block_grace": {"type": "str"},
    "inode_grace": {"type": "str"},
    "enable": {"type": "bool", "default": False},
    "accounting": {"type": "str", "choices": ["full", "simple"]},
    "allow_id_zero": {"type": "bool", "default": False},
}
