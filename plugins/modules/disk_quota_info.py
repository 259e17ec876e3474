#!/usr/bin/python
# Copyright: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: disk_quota_info
short_description: Look at what users, groups, projects and subvolumes use of a disk, and at their limits
description:
  - Tells what each file system counts and enforces and, where it does not, what exactly is missing and the commands that mend it.
  - Tells usage, limits and the time that is left of a grace, for one user, group, project or subvolume, or for all of them.
  - The kernel itself is asked for one id after the other, so that only those are asked for that have something.
version_added: 0.2.0
author:
  - bulkhead.linux contributors (@bulkhead-linux)
requirements:
  - root, in the first user namespace
extends_documentation_fragment:
  - bulkhead.linux.attributes.info
options:
  path:
    description:
      - Where the file system is mounted, or a subvolume of btrfs. At the top level of btrfs, all subvolumes are told.
      - Without it, every file system that is mounted from a device, and tmpfs.
    type: path
  type:
    description: Only this type.
    type: str
    choices: [user, group, project, subvolume]
  id:
    description: Only this user, group or project, by name or number. Needs O(type).
    type: str
  ids:
    description: Whether usage and limits are told. V(false) tells of file systems only.
    type: bool
    default: true
seealso:
  - module: bulkhead.linux.disk_quota
"""

EXAMPLES = r"""
- name: See what is counted and limited
  bulkhead.linux.disk_quota_info:
    ids: false
  register: disk

- name: Say what is missing for quotas of users, and what mends it
  ansible.builtin.debug:
    msg: "{{ item.path }}: {{ item.types.user.missing }}; {{ item.types.user.hint }}"
  loop: "{{ disk.filesystems | rejectattr('fstype', 'eq', 'btrfs') | list }}"
  loop_control:
    label: "{{ item.path }}"

- name: Look at everybody
  bulkhead.linux.disk_quota_info:
  register: disk

- name: Name who is beyond a soft limit
  ansible.builtin.debug:
    msg: "{{ item.path }}: {{ item.type }} {{ item.name or item.id }} has {{ item.block_grace_left }} s left"
  loop: "{{ disk.quotas | selectattr('block_grace_left', 'defined') | rejectattr('block_grace_left', 'none') | list }}"
"""

RETURN = r"""
filesystems:
  description: Each file system.
  returned: success
  type: list
  elements: dict
  contains:
    path:
      description: Where it is mounted; the first place, where there are several.
      type: str
      returned: success
      sample: /home
    device:
      description: The device.
      type: str
      returned: success
      sample: /dev/sda2
    fstype:
      description: Its type.
      type: str
      returned: success
      sample: xfs
    types:
      description:
        - What there is of each type of quota. C(accounting) is whether usage is counted and C(enforced) whether limits hold; C(missing)
          says what is missing for both, and C(hint) what mends it.
        - Where usage is counted, C(block_grace) and C(inode_grace) are the grace times in seconds, C(format) the format of the quota files
          (empty on XFS, which has none), C(unit) the bytes to which limits are rounded up, C(block_max) and C(inode_max) the largest limits.
        - On btrfs there is C(subvolume) only, with C(counts), V(full) or V(simple).
      type: dict
      returned: success
      sample:
        user:
          accounting: true
          enforced: true
          missing: ""
          hint: ""
          block_grace: 604800
          inode_grace: 604800
          format: ""
          unit: 4096
          block_max: 9223372036854771712
          inode_max: 9223372036854775807
quotas:
  description: Whoever uses something, or has a limit.
  returned: success
  type: list
  elements: dict
  contains:
    path:
      description: The path of the file system, or the subvolume that was asked for.
      type: str
      returned: success
      sample: /home
    type:
      description: Whose files are counted.
      type: str
      returned: success
      sample: user
    id:
      description: The number of the user, group, project or subvolume.
      type: int
      returned: success
      sample: 1000
    name:
      description: The name; of a subvolume its path below the top level. Empty where it has none.
      type: str
      returned: success
      sample: alice
    group:
      description: The quota group that limits a subvolume.
      type: str
      returned: for subvolumes
      sample: 0/256
    block_used:
      description: How many bytes are used.
      type: int
      returned: success
      sample: 1503232
    block_soft:
      description: The soft limit in bytes, 0 for none.
      type: int
      returned: for users, groups and projects
      sample: 0
    block_hard:
      description: The hard limit in bytes, 0 for none.
      type: int
      returned: success
      sample: 2097152
    inode_used:
      description: How many inodes are used.
      type: int
      returned: for users, groups and projects
      sample: 4
    inode_soft:
      description: The soft limit of inodes, 0 for none.
      type: int
      returned: for users, groups and projects
      sample: 0
    inode_hard:
      description: The hard limit of inodes, 0 for none.
      type: int
      returned: for users, groups and projects
      sample: 0
    block_grace_left:
      description: For how many seconds the soft limit may still be exceeded; 0 when the time is over, null when it is not exceeded.
      type: int
      returned: for users, groups and projects
      sample: 590000
    inode_grace_left:
      description: The same for the soft limit of inodes.
      type: int
      returned: for users, groups and projects
"""

import os
import typing as t

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.bulkhead.linux.plugins.module_utils._answer import answer
from ansible_collections.bulkhead.linux.plugins.module_utils._runtime.errors import needs_root
from ansible_collections.bulkhead.linux.plugins.module_utils._runtime.quota import info


def look(params: dict[str, t.Any]) -> dict[str, t.Any]:
    """The answer to the module's question."""
    if os.geteuid() != 0:
        raise needs_root()
    return {"changed": False, **info.look(params["path"], params["type"], params["id"], params["ids"])}


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "path": {"type": "path"},
            "type": {"type": "str", "choices": ["user", "group", "project", "subvolume"]},
            "id": {"type": "str"},
            "ids": {"type": "bool", "default": True},
        },
        supports_check_mode=True,
    )
    answer(module, lambda: look(module.params))


if __name__ == "__main__":
    main()
