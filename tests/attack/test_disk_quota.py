# SPDX-FileCopyrightText: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Disk quotas that root inside cannot leave, on btrfs, which this machine's kernel has; tests/lab/inside has ext4 and XFS."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import time
from pathlib import Path

import pytest
from ansible_collections.bulkhead.linux.plugins.module_utils._runtime.container import info, lifecycle
from ansible_collections.bulkhead.linux.plugins.module_utils._runtime.errors import BulkheadError
from ansible_collections.bulkhead.linux.plugins.module_utils._runtime.kernel import btrfs

LIMIT = 8 << 20
FILL = """
import json, os
def fill(path):
    size = 0
    try:
        fd = os.open(path, os.O_CREAT | os.O_WRONLY)
        while size < 32 << 20:
            size += os.write(fd, b"x" * 65536)
            size % (1 << 20) or os.fsync(fd)
        os.fsync(fd)
        return [size, 0]
    except OSError as error:
        return [size, error.errno]
print(json.dumps(fill("/srv/full")))
"""
# BTRFS_IOC_SUBVOL_CREATE, BTRFS_IOC_SNAP_CREATE, FS_IOC_FSSETXATTR and FS_IOC_SETFLAGS, the last two with an upper half, too.
ATTACK = """
import ctypes, json, os
libc = ctypes.CDLL(None, use_errno=True)
fd = os.open("/srv", os.O_RDONLY)
found = []
for request in (0x5000940E, 0x50009401, 0x401C5820, 0x40086602, 0x401C5820 | 1 << 32, 0x40086602 | 1 << 32):
    room = ctypes.create_string_buffer(b"\\0" * 8 + b"nested", 4096)
    found.append(ctypes.get_errno() if libc.ioctl(fd, ctypes.c_ulong(request), room) < 0 else 0)
print(json.dumps(found))
"""


def sh(text):
    done = subprocess.run(["sh", "-ec", text], capture_output=True, text=True, check=False)
    assert done.returncode == 0, (text, done.stderr)
    return done.stdout


@pytest.fixture(params=["full", "simple"])
def disk(node, tmp_path, request):
    """The private files of a node on a btrfs of their own, with quotas of either kind."""
    if not any(line.split()[-1] == "btrfs" for line in Path("/proc/filesystems").read_text(encoding="utf-8").splitlines()):
        pytest.skip("this kernel has no btrfs")
    place, image, lib = tmp_path / "disk", tmp_path / "disk.img", Path(node.paths.lib)
    place.mkdir()
    sh("truncate -s 400M %s; mkfs.btrfs -q %s; mount -o loop %s %s" % (image, image, image, place))
    try:
        fd = os.open(place, os.O_RDONLY)
        btrfs.enable(fd, request.param == "simple")  # btrfs-progs of Debian 12 cannot ask for simple quotas
        os.close(fd)
        (place / "containers").mkdir(mode=0o700)
        (place / "aside").mkdir(mode=0o700)
        for name in ("containers", "aside"):
            (lib / name).symlink_to(place / name)
        yield place
        node.clear()
    finally:
        for name in ("containers", "aside"):
            if (lib / name).is_symlink():
                (lib / name).unlink()
        sh("umount %s" % place)


def groups_of(place):
    return [line.split()[0] for line in sh("btrfs qgroup show %s" % place).splitlines() if line[:1].isdigit()]


def is_over(found):
    return found[1] == errno.EDQUOT and LIMIT // 2 < found[0] <= LIMIT


def filled(node):
    answer = node.exec("quota", ["python3", "-c", FILL])
    assert answer["rc"] == 0, answer
    node.exec("quota", ["rm", "-f", "/srv/full"])
    return json.loads(answer["stdout"])


def test_root_inside_is_limited_and_cannot_leave(node, disk):
    limits = {"disk_quota": {"block_hard": LIMIT}}
    report = node.serve("quota", **limits)
    assert report["disk_quota"]["effective"] == {"block_hard": LIMIT}
    assert is_over(filled(node))
    found = json.loads(node.exec("quota", ["python3", "-c", ATTACK])["stdout"])
    assert found == [errno.ENOTTY] * 2 + [errno.EPERM] * 4
    assert is_over(filled(node))
    told = info.describe("quota", node.paths, lifecycle.Lifecycle(node.paths).host, info.Question({}))["disk_quota"]
    assert told["block_hard"] == LIMIT and told["block_used"] < LIMIT
    # The same in other words is no change; what is changed is so at once, and after a start.
    command = {"name": "quota", "command": ["sleep", "1000"]}
    assert node.converge({**command, "disk_quota": {"block_hard": "8192KiB"}})[0] == 0
    pid = node.converge({**command, "disk_quota": {"block_hard": "64M"}})[1][0]["pid"]
    assert pid == report["pid"] and filled(node) == [32 << 20, 0]
    node.converge({"name": "quota", "disk_quota": {"block_hard": LIMIT}})
    assert is_over(filled(node))
    node.converge({**command, **limits, "state": "restarted"})
    assert is_over(filled(node))
    node.converge({**command, **limits, "hostname": "another"})  # made anew
    assert is_over(filled(node))
    node.clear()
    sh("btrfs subvolume sync %s; sync" % disk)
    deadline = time.monotonic() + 10
    while len(groups_of(disk)) > 1 and time.monotonic() < deadline:
        time.sleep(0.2)
    assert groups_of(disk) == ["0/5"]


def test_a_job_has_new_files_each_time(node, disk):
    for _run in range(2):
        assert is_over(json.loads(node.output("quota", ["python3", "-c", FILL], disk_quota={"block_hard": LIMIT})))


def test_a_start_that_fails_leaves_no_limit(node, disk):
    with pytest.raises(BulkheadError):
        node.serve("quota", disk_quota={"block_hard": LIMIT}, sysctls={"net.ipv4.nothing": "1"})
    assert os.listdir(disk / "containers") == [] and not [one for one in groups_of(disk) if one.startswith("1/")]


def test_files_in_no_subvolume_are_not_limited_afterwards(node, disk):
    node.serve("quota")
    with pytest.raises(BulkheadError, match="ordinary directory of btrfs"):
        node.serve("quota", disk_quota={"block_hard": LIMIT})


def test_inodes_are_not_limited_on_btrfs(node, disk):
    with pytest.raises(BulkheadError, match="btrfs limits bytes"):
        node.serve("quota", disk_quota={"block_hard": LIMIT, "inode_hard": 10})
    assert os.listdir(disk / "containers") == []


def test_what_is_missing_is_said(node, tmp_path):
    """Where private files lie in memory or on this machine's own file system, without quotas."""
    with pytest.raises(BulkheadError) as refused:
        node.serve("quota", disk_quota={"block_hard": LIMIT})
    assert "quota" in refused.value.problem and "can be mounted there" in refused.value.hint, str(refused.value)
    assert not os.path.exists(node.paths.own("quota")) and not os.path.exists(node.paths.state("quota"))
