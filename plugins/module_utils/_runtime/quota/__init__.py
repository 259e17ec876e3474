# Copyright: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Disk quotas: users, groups and projects of any file system that has them, and subvolumes of
btrfs.
"""

from __future__ import annotations
