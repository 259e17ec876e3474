# SPDX-FileCopyrightText: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""File systems with quotas that answer as the real ones were seen to, and do what they are asked.

What is kept, refused and rounded is what tests/lab/inside/test_quota.py sees the kernel do: do_set_dqblk() of fs/quota/dquot.c for
ext4, xfs_qm_scall_setqlim() for XFS.
"""

from __future__ import annotations

import errno

from ansible_collections.bulkhead.linux.plugins.module_utils._runtime.kernel import quotactl

WEEK = 7 * 86400
MOST = (1 << 63) - 1


class Disk:
    """One mounted file system.

    flags: what is counted and enforced; unit: to which it rounds up; format: of the quota files.
    """

    def __init__(self, path, fstype="ext4", flags=0o77, unit=1024, number=quotactl.FORMAT_V1):
        self.path, self.fstype, self.flags, self.unit, self.number = path, fstype, flags, unit, number
        self.ids = {}
        self.graces = {}
        self.writes = []
        self.now = 1000

    def put(self, kind, identity, **values):
        now = self.ids.get((kind, identity), quotactl.Dquot(identity, *[0] * 8))
        self.ids[kind, identity] = now._replace(**values)


class Kernel:
    """The door kernel/quotactl.py, to these disks. A Place's device is the path of the disk."""

    def __init__(self, monkeypatch, *disks):
        self.disks = {disk.path: disk for disk in disks}
        for name in ("state", "enforce", "format_of", "grace", "set_grace", "get", "following", "set_limits"):
            monkeypatch.setattr(quotactl, name, getattr(self, name))

    def disk(self, place):
        return self.disks[place.device]

    def state(self, place, kind):
        flags = self.disk(place).flags
        if not flags:
            raise OSError(errno.ENOSYS, "no quotas")
        return flags

    def enforce(self, place, kind, on):
        disk = self.disk(place)
        disk.writes.append(("enforce", kind, on))
        disk.flags = disk.flags | quotactl.enforced(kind) if on else disk.flags & ~quotactl.enforced(kind)

    def format_of(self, place, kind):
        if self.disk(place).fstype == "xfs":
            raise OSError(errno.ESRCH, "none")
        return self.disk(place).number

    def grace(self, place, kind):
        return self.disk(place).graces.get(kind, (WEEK, WEEK))

    def set_grace(self, place, kind, block, inode):
        disk = self.disk(place)
        disk.writes.append(("grace", kind))
        now = self.grace(place, kind)
        disk.graces[kind] = (now[0] if block is None else block, now[1] if inode is None else inode)

    def get(self, place, kind, identity):
        disk = self.disk(place)
        if (kind, identity) not in disk.ids and disk.fstype == "xfs":
            raise OSError(errno.ENOENT, "nothing")
        return disk.ids.get((kind, identity), quotactl.Dquot(identity, *[0] * 8))

    def following(self, place, kind, identity):
        later = [one for this, one in self.disk(place).ids if this == kind and one >= identity]
        return self.disk(place).ids[kind, min(later)] if later else None

    def set_limits(self, place, kind, wanted, blocks, inodes, times):
        disk = self.disk(place)
        disk.writes.append(("limits", kind, wanted.id))
        now = self.disk(place).ids.get((kind, wanted.id), quotactl.Dquot(wanted.id, *[0] * 8))
        for chosen, hard, soft, used, end, grace in (
            (blocks, "block_hard", "block_soft", "blocks", "block_time", 0),
            (inodes, "inode_hard", "inode_soft", "inodes", "inode_time", 1),
        ):
            if not chosen:
                continue
            limits = [getattr(wanted, name) for name in (hard, soft)]
            if max(limits) > MOST or (disk.number == quotactl.FORMAT_V0 and max(limits) > (0xFFFFFFFF << 10 if blocks else 0xFFFFFFFF)):
                raise OSError(errno.ERANGE, "too large")
            if grace == 0:
                limits = [-(-limit // disk.unit) * disk.unit for limit in limits]
            if disk.fstype == "xfs" and limits[0] and limits[0] < limits[1]:
                continue  # with success, and nothing changes
            now = now._replace(**{hard: limits[0], soft: limits[1]})
            over = now._asdict()[soft] and now._asdict()[used] > now._asdict()[soft]
            given = wanted._asdict()[end] if times else 0
            begun = now._asdict()[end] if disk.fstype == "xfs" and now._asdict()[end] else disk.now + self.grace(place, kind)[grace]
            now = now._replace(**{end: (given or begun) if over else 0})
        disk.ids[kind, wanted.id] = now
