# SPDX-FileCopyrightText: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Disk quotas of containers on the real ext4, XFS and btrfs: measured inside as root, at every start, and attacked from there."""

from __future__ import annotations

import errno
import json
import os
import time

import pytest
from ansible_collections.bulkhead.linux.plugins.module_utils._runtime import pack, plan
from ansible_collections.bulkhead.linux.plugins.module_utils._runtime.cgroup.host import Host
from ansible_collections.bulkhead.linux.plugins.module_utils._runtime.container import commands, info
from ansible_collections.bulkhead.linux.plugins.module_utils._runtime.container.paths import Paths
from ansible_collections.bulkhead.linux.plugins.module_utils._runtime.container.seccomp import guard
from ansible_collections.bulkhead.linux.plugins.module_utils._runtime.container.subject import Containers
from ansible_collections.bulkhead.linux.plugins.module_utils._runtime.errors import BulkheadError
from ansible_collections.bulkhead.linux.plugins.module_utils._runtime.quota import projects
from quota_node import dquot, mounted, project_of, run

PROJECT = 2
# Either supervisor has its turn; systemd takes much longer on a node.
SUPERVISOR = {"ext4": "systemd", "xfs": "builtin", "btrfs": "builtin"}
START = {"systemd": "StartUnits", "builtin": "Start"}
FULL = {"ext4": errno.EDQUOT, "xfs": errno.ENOSPC, "btrfs": errno.EDQUOT}
# Each line of its standard input, but for the last: write until it is refused, or try to leave the project.
INSIDE = r"""
import fcntl, json, os, struct, ctypes
GET, SET, GETFLAGS, SETFLAGS, SUBVOLUME = 0x801C581F, 0x401C5820, 0x80086601, 0x40086602, 0x5000940E
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
        "flags high": attempt(disinherit, fd, SETFLAGS | 1 << 32), "by name": attempt(by_name, "/srv/mine"),
        "subvolume": attempt(ioctl, fd, SUBVOLUME, struct.pack("=q", 0) + b"nested\0")}
    os.makedirs("/usr/local/mine", exist_ok=True)
    os.utime("/usr/bin/env")  # copied up, which renames from work to upper
    found["written"] = [fill("/srv/mine/full"), fill("/usr/local/mine/full"), fill("/usr/share/full"), fill("/tmp/full")]
    return found
"""


def converge(*items, check=False):
    """(plan, reports); the plan afterwards must be empty."""
    subject = Containers()
    subject.checking = check
    try:
        objects = [subject.parse({"stop_timeout": 0, "settle": 0, **item}) for item in items]
        whole, last = plan.Plan(), subject.plan(objects)
        made = last
        whole.steps = [*pack.steps(), *last.steps] if last.needs_core else list(last.steps)
        if whole.steps and not check:
            subject.apply(whole)
            subject.wait(objects)
            last = subject.plan(objects)
            assert last.writes() == []
        return made, subject.report(objects, last)
    finally:
        subject.finish()


def inside(name, expression):
    """What an expression says as root in a container."""
    answer = commands.run({"name": name, "command": ["python3", "-c", INSIDE + "print(json.dumps(%s))" % expression]}, Paths(), Host.observe())
    assert answer["rc"] == 0, answer
    return json.loads(answer["stdout"])


def limit(name, supervisor="builtin", **limits):
    return {"name": name, "command": ["sleep", "1000"], "supervisor": supervisor, "disk_quota": limits}


def absent(*names):
    return converge(*({"name": name, "state": "absent"} for name in names))


@pytest.fixture(params=["ext4", "xfs", "btrfs"], scope="module")
def disk(request):
    """(type of the file system, where private files are kept, with all quotas in force)."""
    with mounted("private-" + request.param, request.param) as place:
        if request.param == "btrfs":
            run("btrfs quota enable %s" % place)
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


def nothing_is_left(place, fs):
    assert not os.path.exists(projects.PROJID) and not os.path.exists(projects.PROJECTS)
    if fs == "btrfs":
        run("btrfs subvolume sync %s; sync" % place)
        deadline = time.monotonic() + 20
        while "0/2" in run("btrfs qgroup show %s" % place) and time.monotonic() < deadline:
            time.sleep(0.5)
        assert run("btrfs qgroup show %s" % place).count("0/") == 1
    else:
        assert [line for line in run("repquota -P -n %s" % place).splitlines() if line.startswith("#") and not line.startswith("#0 ")] == []


def test_root_inside_is_limited_at_every_start_and_cannot_leave(disk):
    fs, place = disk
    foreseen, _reports = converge(limit("bh-disk", supervisor=SUPERVISOR[fs], block_hard="4M"), check=True)
    done, (report,) = converge(limit("bh-disk", supervisor=SUPERVISOR[fs], block_hard="4M"))
    assert [step.facts() for step in foreseen.steps] == [step.facts() for step in done.steps]
    assert not [text for text in done.warnings if "bh-disk" in text]
    assert report["disk_quota"]["effective"] == {"block_hard": 4 << 20}
    kinds = [type(step).__name__ for step in done.steps]
    order = ["MakePrivate", *(["LimitLater"] if fs == "btrfs" else ["Line", "SetLimits", "TagTree"]), "MakeOwn", START[SUPERVISOR[fs]]]
    assert [kinds.index(kind) for kind in order] == sorted(kinds.index(kind) for kind in order), kinds
    assert near(inside("bh-disk", "fill('/srv/full')"), 4 << 20, fs)
    found = inside("bh-disk", "attack()")
    assert all(found[way] == errno.EPERM for way in ("xattr", "xattr high", "flags", "flags high")), found
    assert found["by name"] in (errno.EPERM, errno.ENOSYS) and found["subvolume"] in (errno.ENOTTY, errno.EPERM), found
    assert all(near(one, 4 << 20, fs) for one in found["written"]), found["written"]
    told = info.look(Paths(), Host.observe(), {"name": "bh-disk"})[0]["disk_quota"]
    assert told["block_hard"] == 4 << 20 and 0 < told["block_used"] < 1 << 20
    # The same in other words is no change; another limit is one in place.
    assert converge(limit("bh-disk", supervisor=SUPERVISOR[fs], block_hard="4096KiB"))[0].steps == []
    _done, (again,) = converge(limit("bh-disk", supervisor=SUPERVISOR[fs], block_hard="2M"))
    assert again["pid"] == report["pid"] and near(inside("bh-disk", "fill('/srv/full')"), 2 << 20, fs)
    # Killed and started again by its supervisor, and by a task.
    converge({**limit("bh-disk", supervisor=SUPERVISOR[fs], block_hard="2M"), "restart_policy": "always"})
    os.kill(again["pid"], 9)
    deadline = time.monotonic() + 30
    while info.look(Paths(), Host.observe(), {"name": "bh-disk"})[0].get("pid") in (0, again["pid"]) and time.monotonic() < deadline:
        time.sleep(0.2)
    assert near(inside("bh-disk", "attack()")["written"][0], 2 << 20, fs)
    _done, (restarted,) = converge({**limit("bh-disk", supervisor=SUPERVISOR[fs], block_hard="2M"), "state": "restarted"})
    assert restarted["pid"] != again["pid"] and near(inside("bh-disk", "attack()")["written"][0], 2 << 20, fs)
    absent("bh-disk")
    nothing_is_left(place, fs)


def test_the_attack_works_where_nothing_guards_against_it(disk, monkeypatch):
    fs, place = disk
    if fs == "btrfs":
        pytest.skip("btrfs has no projects, and an overlay hands no request of btrfs on")
    monkeypatch.setattr(guard, "_made", [])
    converge({"name": "bh-open", "command": ["sleep", "1000"], "supervisor": "builtin"})
    changed, (report,) = converge(limit("bh-open", block_hard="4M"))
    assert any("can leave the disk quota" in text for text in changed.warnings)
    found = inside("bh-open", "fill('/srv/full')")
    assert near(found, 4 << 20, fs)
    # An added command has the filter; what ran before the quota has not, as here.
    pid = report["pid"]
    code = INSIDE + "print(json.dumps(attack()))"
    answer = json.loads(run("nsenter", "-t", str(pid), "-m", "-r", "python3", "-c", code))
    assert answer["xattr"] == 0 and answer["written"][0] == [16 << 20, 0], answer
    absent("bh-open")
    nothing_is_left(place, fs)


def test_a_limit_comes_to_files_that_are_there_and_is_lifted_and_remade(disk):
    fs, place = disk
    bare = {"name": "bh-later", "command": ["sleep", "1000"], "supervisor": "builtin"}
    converge(bare)
    inside("bh-later", "[os.makedirs('/srv/deep/er'), open('/srv/deep/er/file', 'w').write('x' * 100000)]")
    if fs == "btrfs":
        with pytest.raises(BulkheadError, match="ordinary directory of btrfs"):
            converge(limit("bh-later", block_hard="4M"))
        absent("bh-later")
        converge(limit("bh-later", block_hard="4M"))
    else:
        _done, (report,) = converge(limit("bh-later", block_hard="4M", inode_hard=1000))
        identity = report["disk_quota"]["id"]
        assert project_of(Paths().own("bh-later") + "/upper/srv/deep/er/file") == identity
        assert dquot(place, PROJECT, identity)[1:5] == (4 << 20, 0, 1000, 0)
        with open(projects.PROJECTS, encoding="utf-8") as file:
            assert file.read() == "%d:%s\n" % (identity, os.path.realpath(Paths().own("bh-later")))
    assert near(inside("bh-later", "fill('/srv/full')"), 4 << 20, fs)
    # Of the name alone: what is not given stays.
    converge({"name": "bh-later", "disk_quota": {"block_hard": "8M"}})
    assert near(inside("bh-later", "fill('/srv/full')"), 8 << 20, fs)
    # Made anew, it has the same limit on other files, and nothing of the old ones is left.
    converge({**limit("bh-later", block_hard="3M"), "env": {"NEW": "1"}})
    assert near(inside("bh-later", "fill('/srv/full')"), 3 << 20, fs)
    assert converge({**limit("bh-later", block_hard="3M"), "env": {"NEW": "1"}})[0].steps == []
    # Left out, there is none.
    converge({**bare, "env": {"NEW": "1"}})
    assert inside("bh-later", "fill('/srv/full')") == [16 << 20, 0]
    absent("bh-later")
    nothing_is_left(place, fs)


def test_a_refusal_undoes_all_of_it(disk):
    fs, place = disk
    with pytest.raises(BulkheadError):
        converge(limit("bh-one", block_hard="4M"), {**limit("bh-two", block_hard="4M"), "command": ["/nowhere"], "cwd": "/"})
    with pytest.raises(BulkheadError):
        converge(limit("bh-one", block_hard="4M"), {**limit("bh-two", block_hard="4M"), "sysctls": {"net.ipv4.nothing": "1"}})
    assert os.listdir(Paths().lib + "/containers") == []
    nothing_is_left(place, fs)


def test_a_job_has_new_files_each_time(disk):
    fs, place = disk
    job = {**limit("bh-job", block_hard="4M"), "command": ["python3", "-c", INSIDE + "print(json.dumps(fill('/srv/full')))"], "wait": True}
    for _run in range(2):
        subject = Containers()
        try:
            objects = [subject.parse({"stop_timeout": 0, **job})]
            made = subject.plan(objects)
            subject.apply(made)
            subject.wait(objects)
            report = subject.report(objects, subject.plan(objects))[0]
        finally:
            subject.finish()
        assert near(json.loads(report["output"]), 4 << 20, fs), report
    absent("bh-job")
    nothing_is_left(place, fs)


def test_a_file_system_without_quotas_is_refused_with_what_mends_it():
    for fs, options, what, hint in (
        ("ext4", "rw", "has no quotas of type project", "tune2fs"),
        ("xfs", "rw", "was not mounted with pquota", "mount -o"),
        ("btrfs", "rw", "quotas are off", "btrfs quota enable"),
    ):
        with mounted("lacks-" + fs, fs, options, "mkfs.ext4 -q -O ^quota,^project" if fs == "ext4" else None) as place:
            run("mount --bind %s %s" % (place, Paths().lib))
            try:
                with pytest.raises(BulkheadError) as refused:
                    converge(limit("bh-none", block_hard="4M"))
                assert what in refused.value.problem and hint in refused.value.hint, str(refused.value)
                assert not os.path.exists(Paths().own("bh-none")) and not os.path.exists(Paths().state("bh-none"))
            finally:
                run("umount %s" % Paths().lib)
