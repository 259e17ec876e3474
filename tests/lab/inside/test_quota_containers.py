# SPDX-FileCopyrightText: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Disk quotas of containers on the real ext4 and XFS: measured inside as root, at every start, and attacked from there.

tests/attack has the same on btrfs, which needs no node.
"""

from __future__ import annotations

import errno
import json
import os
import time

import converging
import pytest
from ansible_collections.bulkhead.linux.plugins.module_utils._runtime.cgroup.host import Host
from ansible_collections.bulkhead.linux.plugins.module_utils._runtime.container import commands, info
from ansible_collections.bulkhead.linux.plugins.module_utils._runtime.container.paths import Paths
from ansible_collections.bulkhead.linux.plugins.module_utils._runtime.container.subject import Containers
from ansible_collections.bulkhead.linux.plugins.module_utils._runtime.errors import BulkheadError
from ansible_collections.bulkhead.linux.plugins.module_utils._runtime.quota import projects
from quota_node import dquot, mounted, project_of, run

PROJECT = 2
START = {"systemd": "StartUnits", "builtin": "Start"}
FULL = {"ext4": errno.EDQUOT, "xfs": errno.ENOSPC}
# Writes until that is refused, and tries to leave the project.
INSIDE = r"""
import fcntl, json, os, struct, ctypes
GET, SET, GETFLAGS, SETFLAGS = 0x801C581F, 0x401C5820, 0x80086601, 0x40086602
libc = ctypes.CDLL(None, use_errno=True)
def fill(path, most=16 << 20):
    size = code = 0
    try:
        fd = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_TRUNC)
        while size < most:
            size += os.write(fd, b"x" * 65536)
        os.fsync(fd)
    except OSError as error:
        code = error.errno
    os.path.exists(path) and (os.close(fd), os.unlink(path))
    return [size, code]
def attempt(way, *arguments):
    try:
        way(*arguments)
        return 0
    except OSError as error:
        return error.errno
def leave(fd, request):
    raw = list(struct.unpack("=IIIII8s", fcntl.ioctl(fd, GET, bytes(28))))
    raw[0], raw[3] = raw[0] & ~0x200, 0
    ioctl(fd, request, struct.pack("=IIIII8s", *raw))
def ioctl(fd, request, data):
    room = ctypes.create_string_buffer(data, max(len(data), 4096))
    if libc.ioctl(fd, ctypes.c_ulong(request), room) < 0:
        raise OSError(ctypes.get_errno(), "")
def disinherit(fd, request):
    flags = struct.unpack("=Q", fcntl.ioctl(fd, GETFLAGS, bytes(8)))[0]
    ioctl(fd, request, struct.pack("=Q", flags & ~0x20000000))
def by_name(path):
    room = ctypes.create_string_buffer(struct.pack("=QIIII", 0, 0, 0, 0, 0))
    if libc.syscall(469, -100, path.encode(), room, 24, 0) < 0:
        raise OSError(ctypes.get_errno(), "")
def attack():
    os.makedirs("/srv/mine", exist_ok=True)
    fd = os.open("/srv/mine", os.O_RDONLY)
    found = {"xattr": attempt(leave, fd, SET), "xattr high": attempt(leave, fd, SET | 1 << 32), "flags": attempt(disinherit, fd, SETFLAGS),
        "flags high": attempt(disinherit, fd, SETFLAGS | 1 << 32), "by name": attempt(by_name, "/srv/mine")}
    os.makedirs("/usr/local/mine", exist_ok=True)
    os.utime("/usr/bin/env")  # copied up, which renames from work to upper
    found["written"] = [fill("/srv/mine/full"), fill("/usr/local/mine/full"), fill("/usr/share/full"), fill("/tmp/full")]
    return found
"""


def converge(*items, check=False):
    """(plan, reports); the plan afterwards must be empty."""
    subject = Containers()
    subject.checking = check
    return converging.converge(subject, [{"stop_timeout": 0, "settle": 0, **item} for item in items], check)


def inside(name, expression):
    """What an expression says as root in a container."""
    answer = commands.run({"name": name, "command": ["python3", "-c", INSIDE + "print(json.dumps(%s))" % expression]}, Paths(), Host.observe())
    assert answer["rc"] == 0, answer
    return json.loads(answer["stdout"])


def limit(name, supervisor="builtin", **limits):
    return {"name": name, "command": ["sleep", "1000"], "supervisor": supervisor, "disk_quota": limits}


def absent(*names):
    return converge(*({"name": name, "state": "absent"} for name in names))


@pytest.fixture(params=["ext4", "xfs"], scope="module")
def disk(request):
    """(type of the file system, where private files are kept, with all quotas in force)."""
    with mounted("private-" + request.param, request.param) as place:
        os.makedirs(Paths().lib, exist_ok=True)
        run("mount --bind %s %s" % (place, Paths().lib))
        try:
            yield request.param, place
        finally:
            run("umount %s" % Paths().lib)


@pytest.fixture(autouse=True)
def clean():
    """Containers of a test that failed do not stand in the way of the next one."""
    yield
    left = [one["name"] for one in info.look(Paths(), Host.observe(), {"filters": {"name": ["bh-*"]}})]
    if left:
        absent(*left)


def near(found, limit, fs):
    """Whether writing ended at the limit, less what is there already."""
    return found[1] == FULL[fs] and limit * 0.7 < found[0] <= limit


def nothing_is_left(place):
    assert not os.path.exists(projects.PROJID) and not os.path.exists(projects.PROJECTS)
    said = run("repquota -P -n %s" % place).splitlines()
    assert [line for line in said if line.startswith("#") and not line.startswith("#0 ")] == []


@pytest.mark.parametrize("supervisor", START)
def test_root_inside_is_limited_at_every_start_and_cannot_leave(disk, supervisor):
    fs, place = disk
    wanted = limit("bh-disk", supervisor=supervisor, block_hard="4M")
    foreseen, _reports = converge(wanted, check=True)
    done, (report,) = converge(wanted)
    assert [step.facts() for step in foreseen.steps] == [step.facts() for step in done.steps]
    assert not [text for text in done.warnings if "bh-disk" in text]
    assert report["disk_quota"]["effective"] == {"block_hard": 4 << 20}
    kinds = [type(step).__name__ for step in done.steps]
    order = ["MakePrivate", "Line", "SetLimits", "TagTree", "MakeOwn", START[supervisor]]
    assert [kinds.index(kind) for kind in order] == sorted(kinds.index(kind) for kind in order), kinds
    found = inside("bh-disk", "attack()")
    assert all(found[way] == errno.EPERM for way in ("xattr", "xattr high", "flags", "flags high")), found
    assert found["by name"] in (errno.EPERM, errno.ENOSYS), found
    assert all(near(one, 4 << 20, fs) for one in found["written"]), found["written"]
    told = info.look(Paths(), Host.observe(), {"name": "bh-disk"})[0]["disk_quota"]
    assert told["block_hard"] == 4 << 20 and 0 < told["block_used"] < 1 << 20
    # The same in other words is no change; another limit is one in place.
    wanted["disk_quota"] = {"block_hard": "4096KiB"}
    assert converge(wanted)[0].steps == []
    wanted.update(disk_quota={"block_hard": "2M"}, restart_policy="always")
    _done, (changed,) = converge(wanted)
    assert changed["pid"] == report["pid"]
    # Killed and started again by its supervisor, and then by a task.
    os.kill(changed["pid"], 9)
    deadline = time.monotonic() + 60
    while info.look(Paths(), Host.observe(), {"name": "bh-disk"})[0].get("pid") in (0, changed["pid"]) and time.monotonic() < deadline:
        time.sleep(0.2)
    found = inside("bh-disk", "attack()")
    assert found["flags"] == errno.EPERM and near(found["written"][0], 2 << 20, fs), found
    run("setquota -P %d 0 0 0 0 %s" % (report["disk_quota"]["id"], place))  # what is lifted by hand is back at a start
    _done, (restarted,) = converge({**wanted, "state": "restarted"})
    assert restarted["pid"] != changed["pid"] and near(inside("bh-disk", "fill('/srv/full')"), 2 << 20, fs)
    absent("bh-disk")
    nothing_is_left(place)


def test_a_limit_comes_to_files_that_are_there_and_is_lifted_and_remade(disk):
    fs, place = disk
    bare = {"name": "bh-later", "command": ["sleep", "1000"], "supervisor": "builtin"}
    _done, (report,) = converge(bare)
    inside("bh-later", "[os.makedirs('/srv/deep/er'), open('/srv/deep/er/file', 'w').write('x' * 100000)]")
    changed, (limited,) = converge(limit("bh-later", block_hard="4M", inode_hard=1000))
    identity, own = limited["disk_quota"]["id"], os.path.realpath(Paths().own("bh-later"))
    assert limited["pid"] == report["pid"] and project_of(own + "/upper/srv/deep/er/file") == identity
    assert dquot(place, PROJECT, identity)[1:5] == (4 << 20, 0, 1000, 0)
    with open(projects.PROJECTS, encoding="utf-8") as file:
        assert file.read() == "%d:%s\n" % (identity, own)
    assert near(inside("bh-later", "fill('/srv/full')"), 4 << 20, fs)
    # A command that is added has the filter. What was there before the quota has not, which is said, and so the attack works from there.
    assert any("can leave the disk quota" in text for text in changed.warnings)
    code = INSIDE + "print(json.dumps(attack()))"
    found = json.loads(run("nsenter", "-t", str(report["pid"]), "-m", "-r", "python3", "-c", code))
    assert found["xattr"] == found["flags"] == 0 and found["written"][0] == [16 << 20, 0], found
    # Of the name alone: what is not given stays.
    converge({"name": "bh-later", "disk_quota": {"block_hard": "8M"}})
    assert dquot(place, PROJECT, identity)[1:5] == (8 << 20, 0, 1000, 0)
    # Made anew, it has the limit on other files, and nothing of the old ones is left.
    anew = {**limit("bh-later", block_hard="3M"), "env": {"NEW": "1"}}
    done, (report,) = converge(anew)
    assert not any("can leave" in text for text in done.warnings) and report["disk_quota"]["id"] != identity
    assert not any(dquot(place, PROJECT, identity)[1:5]) and near(inside("bh-later", "fill('/srv/full')"), 3 << 20, fs)
    # Left out, there is none.
    converge({**bare, "env": {"NEW": "1"}})
    assert inside("bh-later", "fill('/srv/full')") == [16 << 20, 0]
    absent("bh-later")
    nothing_is_left(place)


def test_a_refusal_undoes_all_of_it(disk):
    _fs, place = disk
    with pytest.raises(BulkheadError):
        converge(limit("bh-one", block_hard="4M"), {**limit("bh-two", block_hard="4M"), "sysctls": {"net.ipv4.nothing": "1"}})
    assert os.listdir(Paths().lib + "/containers") == []
    nothing_is_left(place)


def test_a_file_system_without_quotas_is_refused_with_what_mends_it():
    for fs, make, what, hint in (
        ("ext4", "mkfs.ext4 -q -O ^quota,^project", "has no quotas of type project", "tune2fs"),
        ("xfs", None, "was not mounted with pquota", "mount -o"),
    ):
        with mounted("lacks-" + fs, fs, "rw", make) as place:
            run("mount --bind %s %s" % (place, Paths().lib))
            try:
                with pytest.raises(BulkheadError) as refused:
                    converge(limit("bh-none", block_hard="4M"))
                assert what in refused.value.problem and hint in refused.value.hint, str(refused.value)
                assert not os.path.exists(Paths().own("bh-none")) and not os.path.exists(Paths().state("bh-none"))
            finally:
                run("umount %s" % Paths().lib)
