# SPDX-FileCopyrightText: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Quotas of ext4 and XFS, which the machine's own kernel may lack; and a reboot of what is kept of them."""

from __future__ import annotations

import pytest
from nodes import plays

# Writes as root inside until that is refused.
FILL = "nsenter -t %d -m -r dd if=/dev/zero of=/srv/full bs=64k count=200 oflag=sync"
FSTAB = "/quota-{0}.img /quota-{0} {0} loop,nofail,{1} 0 0"
MADE = {"ext4": ("mkfs.ext4 -q -O quota,project", "usrquota,prjquota"), "xfs": ("mkfs.xfs -q", "uquota,pquota")}


@pytest.mark.turns("quotas")
def test_quota(node):
    plays.pytest(node("amd", "v2"), "tests/lab/inside/test_quota.py")


@pytest.mark.turns("quotas")
def test_quota_containers(node):
    plays.pytest(node("amd", "v2"), "tests/lab/inside/test_quota_containers.py")


@pytest.mark.turns("classes, quotas and bandwidth after a reboot")
def test_reboot(fresh_node):
    """Limits, projects and containers with quotas are there after a boot, drift is mended, and what is not mounted is waited for."""
    it = fresh_node("amd", "v2")
    plays.install_units(it)
    for fs, (make, options) in MADE.items():
        it.run("mkdir /quota-%s; truncate -s 400M /quota-%s.img; %s /quota-%s.img" % (fs, fs, make, fs))
        it.run("echo '%s' >> /etc/fstab; mount /quota-%s; mkdir /quota-%s/tree" % (FSTAB.format(fs, options), fs, fs))
    quotas = [{"path": "/quota-%s" % fs, "type": "user", "id": "nobody", "block_soft": "1M", "block_hard": "2M"} for fs in MADE]
    quotas += [{"path": "/quota-%s" % fs, "type": "project", "directory": "/quota-%s/tree" % fs, "block_hard": "3M"} for fs in MADE]
    it.run("mkdir -p /quota-ext4/private /var/lib/bulkhead; mount --bind /quota-ext4/private /var/lib/bulkhead")
    it.run("echo '/quota-ext4/private /var/lib/bulkhead none bind,x-systemd.requires-mounts-for=/quota-ext4 0 0' >> /etc/fstab")
    limited = [
        {"name": "by-" + which, "supervisor": which, "command": ["sleep", "1000000"], "disk_quota": {"block_hard": "4M"}} for which in ("systemd", "builtin")
    ]
    plays.tasks(
        [it],
        {"bulkhead.linux.disk_quota": {"quotas": quotas}},
        {"bulkhead.linux.container_run": {"containers": limited}},
    )
    it.reboot()
    plays.boot_is_done(it)
    code, found = plays.bulkhead(it, "status")
    assert code == 0 and [one["in_effect"] for one in found["kinds"]["disk_quota"]] == [True] * 4, found
    containers = {one["name"]: one["actual"] for one in found["kinds"]["container_run"]}
    assert {name: one["status"] for name, one in containers.items()} == {"by-builtin": "running", "by-systemd": "running"}
    for one in containers.values():
        refused = it.run(FILL % one["pid"], check=False)
        assert refused.returncode == 1 and "Disk quota exceeded" in refused.stderr, (one, refused)
        it.run("nsenter -t %d -m -r rm /srv/full" % one["pid"])
    it.run("setquota -u nobody 0 0 0 0 /quota-ext4; umount /quota-xfs")
    code, found = plays.bulkhead(it, "drift")
    assert code == 1 and not found["failures"], found
    assert [one["target"] for one in found["drift"]] == ["/quota-ext4: user 65534"]
    code, found = plays.bulkhead(it, "replay")
    assert code == 0, found
    left = found["kinds"]["disk_quota"]["left_alone"]
    assert len(left) == 2 and all(why == "nothing is mounted at /quota-xfs" for why in left.values()), found
    assert "waiting" in it.run("bulkhead status").stdout
    it.run("mount /quota-xfs")
    assert plays.bulkhead(it, "drift")[0] == 0
