#!/usr/bin/python
# Copyright: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: disk_quota
short_description: Limit how much of a disk users, groups, directory trees and subvolumes may use
description:
  - Sets soft and hard limits of bytes and inodes, and grace times, for users, groups and projects on ext4, XFS and every other
    file system with the kernel's quotas, and limits subvolumes of btrfs. It asks the kernel itself, and needs no C(setquota),
    C(xfs_quota) or C(btrfs).
  - One call makes a directory tree a project, with a free id, its lines in C(/etc/projid) and C(/etc/projects), its limits, and the tag of everything in it.
  - What the file system supports is asked of it before the first change. What is missing is said exactly, with the commands that mend it.
  - An option that is not given stays as it is in the kernel, and a limit that is as asked for is not written, so that no grace time begins anew.
  - All or nothing. If the kernel refuses one change, those before it are undone.
version_added: 0.2.0
author:
  - bulkhead.linux contributors (@bulkhead-linux)
requirements:
  - Linux 4.6 or newer, built with C(CONFIG_QUOTA) and C(CONFIG_QFMT_V2) for ext4, C(CONFIG_XFS_QUOTA) for XFS
  - root, in the first user namespace
extends_documentation_fragment:
  - bulkhead.linux.attributes
  - bulkhead.linux.quota
options:
  persist:
    description:
      - Also keep the options in C(/etc/bulkhead/desired.d/disk_quota.json), and the runtime core as the command C(bulkhead), so that C(bulkhead status) and
        C(bulkhead drift) know of them and a boot mends what has changed. File systems keep limits themselves, but not O(enable).
      - A quota that is V(absent) is not kept any more. With V(false), what is kept stays as it is.
      - A file system that is not mounted at that time is waited for, and is no failure.
    type: bool
    default: true
notes:
  - While a large tree is walked, the name of the process (C(ps -o comm)) tells how many of its files were given the project so far.
  - The kernel never limits processes with C(CAP_SYS_RESOURCE), such as those of root, on ext4; XFS limits projects of root, too.
seealso:
  - module: bulkhead.linux.disk_quota_info
  - name: quotactl(2)
    description: The system call.
    link: https://man7.org/linux/man-pages/man2/quotactl.2.html
"""

EXAMPLES = r"""
# Quotas are in force where the file system was mounted for it, which disk_quota_info tells. Each example looks first.
- name: Look at what is mounted
  bulkhead.linux.disk_quota_info:
    ids: false
  register: disk

- name: Say which file systems limit what users, groups and projects use
  ansible.builtin.set_fact:
    with_users: "{{ limited | selectattr('types.user.enforced') | map(attribute='path') | list }}"
    with_groups: "{{ limited | selectattr('types.group.enforced') | map(attribute='path') | list }}"
    with_projects: "{{ limited | selectattr('types.project.enforced') | map(attribute='path') | list }}"
  vars:
    limited: "{{ disk.filesystems | rejectattr('fstype', 'eq', 'btrfs') | list }}"

- name: 10 GiB for one user, exceeded by up to 1 GiB for the grace time
  bulkhead.linux.disk_quota:
    path: "{{ with_users[0] }}"
    type: user
    id: nobody
    block_soft: 10G
    block_hard: 11G
  when: with_users | length > 0

- name: Two users in one call, and three days of grace for everybody
  bulkhead.linux.disk_quota:
    type: user
    quotas:
      - path: "{{ with_users[0] }}"
        id: nobody
        block_hard: 20G
        inode_hard: 100000
      - path: "{{ with_users[0] }}"
        id: daemon
        block_hard: 5G
      - path: "{{ with_users[0] }}"
        block_grace: 3d
  when: with_users | length > 0

- name: Make a directory
  ansible.builtin.file:
    path: "{{ with_projects[0] }}/tenant"
    state: directory
    mode: "0755"
  when: with_projects | length > 0

- name: A directory tree that can hold no more than 2 GiB, as a project with a free id
  bulkhead.linux.disk_quota:
    path: "{{ with_projects[0] }}"
    type: project
    directory: "{{ with_projects[0] }}/tenant"
    block_hard: 2G
  when: with_projects | length > 0

- name: Lift every limit of a group
  bulkhead.linux.disk_quota:
    path: "{{ with_groups[0] }}"
    type: group
    id: daemon
    state: absent
  when: with_groups | length > 0

- name: A subvolume of btrfs, with quotas enabled where they are not
  bulkhead.linux.disk_quota:
    path: /srv/subvolume
    type: subvolume
    block_hard: 5G
    enable: true
  when: disk.filesystems | selectattr('path', 'eq', '/srv/subvolume') | length > 0
"""

RETURN = r"""
writes:
  description: The changes that were made, or in check mode would be made, in their order.
  returned: success
  type: list
  elements: dict
  contains:
    target:
      description: What was changed, a quota, a file or a directory tree.
      type: str
      returned: success
      sample: "/home: user 1000"
    before:
      description: What was there, null for nothing.
      type: str
      returned: success
      sample: blocks soft none hard none
    after:
      description: What was written.
      type: str
      returned: success
      sample: blocks soft 10737418240 hard 11811160064
quotas:
  description: Each quota, in the order in which they were given.
  returned: success
  type: list
  elements: dict
  contains:
    path:
      description: Where the file system is mounted, or the subvolume.
      type: str
      returned: success
      sample: /home
    type:
      description: Whose files are counted.
      type: str
      returned: success
      sample: user
    id:
      description: The number of the user, group, project or subvolume; null for what concerns a whole type.
      type: int
      returned: success
      sample: 1000
    directory:
      description: The directory of a project; null where none was given.
      type: str
      returned: success
    name:
      description: The name of the project.
      type: str
      returned: when O(quotas[].directory) is used
      sample: tenant
    state:
      description: Whether there are limits.
      type: str
      returned: success
      sample: present
    asked:
      description: What was asked for, by option.
      type: dict
      returned: success
      sample: {block_hard: 1500}
    effective:
      description: What the file system holds, in bytes, inodes and seconds; 0 is no limit.
      type: dict
      returned: success
      sample: {block_hard: 2048, block_soft: 0, inode_hard: 0, inode_soft: 0}
    rounded:
      description: The options that the file system keeps as a larger value.
      type: list
      elements: str
      returned: success
      sample: [block_hard]
    inodes:
      description: How many inodes the tree has.
      type: int
      returned: when O(quotas[].directory) is used
      sample: 10051
    out_of_reach:
      description: How many of them the kernel cannot put into a project.
      type: int
      returned: when O(quotas[].directory) is used
      sample: 0
    accounting:
      description: How the file system counts what subvolumes use, V(full) or V(simple).
      type: str
      returned: when O(quotas[].type=subvolume)
      sample: full
quota:
  description: The one quota that was asked for, as in RV(quotas).
  returned: when O(path) is used
  type: dict
asked:
  description: As RV(quotas[].asked).
  returned: when O(path) is used
  type: dict
  sample: {block_hard: 1500}
effective:
  description: As RV(quotas[].effective).
  returned: when O(path) is used
  type: dict
  sample: {block_hard: 2048}
rounded:
  description: As RV(quotas[].rounded).
  returned: when O(path) is used
  type: list
  elements: str
  sample: [block_hard]
error:
  description: What went wrong, as data.
  returned: on failure
  type: dict
  contains:
    problem:
      description: What was asked and what is wrong with it.
      type: str
      returned: on failure
    target:
      description: The quota, file or directory.
      type: str
      returned: on failure
    value:
      description: What was to be written.
      type: str
      returned: on failure
    errno:
      description: The kernel's answer.
      type: str
      returned: on failure
      sample: ERANGE
    kernel:
      description: The kernel's own words.
      type: str
      returned: on failure
    hint:
      description: What can be done about it.
      type: str
      returned: on failure
    undo_failures:
      description: What could not be put back.
      type: list
      elements: str
      returned: on failure
    input:
      description: Whether the options could not be understood, before anything else was looked at.
      type: bool
      returned: on failure
"""

from ansible_collections.bulkhead.linux.plugins.module_utils import _module, _quota_options
from ansible_collections.bulkhead.linux.plugins.module_utils._runtime.quota.subject import Quotas


def main() -> None:
    _module.run(Quotas, _quota_options.QUOTA)


if __name__ == "__main__":
    main()
