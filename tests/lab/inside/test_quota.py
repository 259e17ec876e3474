# SPDX-FileCopyrightText: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Quotas of users, groups and projects on the real ext4 and XFS: what is enforced, what is kept, what the tools say."""

from __future__ import annotations

import errno
import os
import random
import socket
import time
from pathlib import Path

import pytest
import quota_node
from ansible_collections.bulkhead.linux.plugins.module_utils._runtime.errors import BulkheadError
from ansible_collections.bulkhead.linux.plugins.module_utils._runtime.quota import info, projects
from ansible_collections.bulkhead.linux.plugins.module_utils._runtime.quota.steps import SetLimits
from quota_node import NOBODY, converge, dquot, fill, mounted, project_of, remount, run

USER, GROUP, PROJECT = 0, 1, 2
BOTH = ("ext4", "xfs")
BLOCK = {"ext4": 1024, "xfs": 4096}


@pytest.fixture(scope="module", params=BOTH)
def disk(request):
    """(type of the file system, where it is mounted with all quotas in force)."""
    with mounted("all-" + request.param, request.param) as place:
        place.chmod(0o777)
        yield request.param, place


@pytest.fixture(autouse=True)
def no_projects():
    """Nothing is left in the files of projects."""
    yield
    for path in (projects.PROJID, projects.PROJECTS):
        if os.path.exists(path):
            os.unlink(path)


def of(place, **options):
    return {"path": str(place), **options}


def forget(place, *identities, type="user"):
    converge(*[of(place, type=type, id=str(number), state="absent") for number in identities])


# What is enforced


@pytest.mark.parametrize("kind", ["user", "group"])
def test_writing_ends_at_the_hard_limit(disk, kind):
    _fs, place = disk
    converge(of(place, type=kind, id=str(NOBODY), block_hard="1M"))
    try:
        size, code = fill(place / "full")
        assert (size, code) == (1 << 20, errno.EDQUOT)
        os.unlink(place / "full")
    finally:
        forget(place, NOBODY, type=kind)
    size, code = fill(place / "free", most=2 << 20)
    os.unlink(place / "free")
    assert (size, code) == (2 << 20, 0)


def test_inode_limits_bite(disk):
    _fs, place = disk
    has = dquot(place, USER, NOBODY).inodes
    converge(of(place, type="user", id="nobody", inode_hard=has + 3))
    codes = [fill(place / ("inode%d" % number), most=1)[1] for number in range(4)]
    forget(place, NOBODY)
    run("rm -f %s/inode*" % place)
    assert codes == [0, 0, 0, errno.EDQUOT]


def test_a_soft_limit_starts_its_grace_and_no_other_change_starts_it_again(disk):
    fs, place = disk
    converge(of(place, type="user", id=str(NOBODY), block_soft="512k", block_hard="4M", inode_hard=100))
    try:
        assert fill(place / "soft", most=1 << 20)[1] == 0
        begun = dquot(place, USER, NOBODY).block_time
        assert begun > time.time()
        time.sleep(2.1)
        assert converge(of(place, type="user", id=str(NOBODY), block_soft="512k", block_hard="4M")).steps == []
        converge(of(place, type="user", id=str(NOBODY), block_hard="8M"))
        converge(of(place, type="user", id=str(NOBODY), inode_hard=200))
        converge(of(place, type="user", id=str(NOBODY), block_soft="600k"))
        now = dquot(place, USER, NOBODY)
        assert (now.block_time, now.block_hard, now.block_soft, now.inode_hard) == (begun, 8 << 20, 600 << 10, 200)
        left = info.look(str(place), "user", str(NOBODY), True)["quotas"][0]["block_grace_left"]
        assert 0 < left <= begun - time.time() + 1
        if fs == "ext4":  # the kernel begins anew when the same limits are written, as setquota does
            run("setquota -u %d 600 8192 0 200 %s" % (NOBODY, place))
            assert dquot(place, USER, NOBODY).block_time > begun
    finally:
        forget(place, NOBODY)
        os.unlink(place / "soft")


def test_a_grace_that_is_over_refuses_writing(disk):
    _fs, place = disk
    before = info.look(str(place), "user", None, False)["filesystems"][0]["types"]["user"]
    converge(of(place, type="user", id=str(NOBODY), block_soft="256k", block_hard="8M", block_grace="1s"))
    try:
        assert fill(place / "grace", most=512 << 10)[1] == 0
        time.sleep(2.5)
        assert fill(place / "grace2", most=64 << 10)[1] == errno.EDQUOT
    finally:
        forget(place, NOBODY)
        converge(of(place, type="user", block_grace=str(before["block_grace"])))
        run("rm -f %s/grace*" % place)


def test_writing_into_a_project_ends_at_its_hard_limit(disk):
    fs, place = disk
    tree = place / "bounded"
    tree.mkdir(mode=0o777)
    tree.chmod(0o777)
    converge(of(place, type="project", directory=str(tree), block_hard="1M"))
    used = dquot(place, PROJECT, project_of(tree)).blocks
    size, code = fill(tree / "full")
    assert code == {"ext4": errno.EDQUOT, "xfs": errno.ENOSPC}[fs]
    assert size == ((1 << 20) - used) // 4096 * 4096
    converge(of(place, type="project", directory=str(tree), block_hard="2M"))
    assert fill(tree / "more")[1] == code
    converge(of(place, type="project", directory=str(tree), state="absent"))
    assert project_of(tree) == project_of(tree / "full") == 0
    assert not os.path.exists(projects.PROJID) and not os.path.exists(projects.PROJECTS)
    assert fill(tree / "free", most=4 << 20)[1] == 0
    run("rm -rf %s" % tree)


# What is kept


def test_sizes_round_up_once_and_stay(disk):
    fs, place = disk
    for size in (1, 1023, 1024, 1500, 4097, (1 << 40) + 1, 5 << 40, (1 << 62) + 1):
        done = converge(of(place, type="user", id="3001", block_hard=size))
        kept = -(-size // BLOCK[fs]) * BLOCK[fs]
        assert done.reports[0]["effective"]["block_hard"] == kept == dquot(place, USER, 3001).block_hard
        assert done.reports[0]["rounded"] == (["block_hard"] if kept != size else [])
        assert converge(of(place, type="user", id="3001", block_hard=size)).steps == []
    forget(place, 3001)


def test_what_is_not_given_stays(disk):
    _fs, place = disk
    converge(of(place, type="group", id="3002", block_soft="1M", block_hard="2M", inode_soft=10, inode_hard=20))
    converge(of(place, type="group", id="3002", block_hard="3M"))
    now = dquot(place, GROUP, 3002)
    assert now[1:5] == (3 << 20, 1 << 20, 20, 10)
    with pytest.raises(BulkheadError, match="is less than block_soft 1048576"):
        converge(of(place, type="group", id="3002", block_hard="500k"))
    with pytest.raises(BulkheadError, match="is less than inode_soft 10"):
        converge(of(place, type="group", id="3002", inode_hard=9))
    assert dquot(place, GROUP, 3002) == now
    converge(of(place, type="group", id="3002", block_soft="max", block_hard=0))
    assert dquot(place, GROUP, 3002)[1:5] == (0, 0, 20, 10)
    forget(place, 3002, type="group")
    assert not any(dquot(place, GROUP, 3002)[1:5])


def test_random_settings_are_there_at_once(disk):
    _fs, place = disk
    dice = random.Random(7)
    items = []
    for number in range(5000, 5300):
        item = of(place, type="user", id=str(number))
        for options, most in ((("block_soft", "block_hard"), 1 << 62), (("inode_soft", "inode_hard"), 1 << 62)):
            pair = sorted(dice.randrange(1, dice.choice((10, 5000, 1 << 32, most))) for _each in options)
            item.update({name: value for name, value in zip(options, pair) if dice.random() < 0.8})
        if len(item) > 3:
            items.append(item)
    assert len(converge(*items).steps) == len(items)  # which looks again, and finds nothing to do
    seen = {one["id"]: one for one in info.look(str(place), "user", None, True)["quotas"]}
    assert {int(item["id"]) for item in items} <= set(seen)
    forget(place, *range(5000, 5300))


def test_the_tools_keep_the_same(disk):
    fs, place = disk
    dice = random.Random(11)
    items, batch, limits = [], [], []
    for number in range(4000, 4020):
        soft, hard = sorted(dice.randrange(1, 1 << dice.choice((8, 20, 40))) for _each in range(2))
        isoft, ihard = sorted(dice.randrange(1, 1 << dice.choice((8, 20, 31))) for _each in range(2))
        items.append(of(place, type="user", id=str(number), block_soft=soft << 10, block_hard=hard << 10, inode_soft=isoft, inode_hard=ihard))
        batch.append("%d %d %d %d %d\n" % (number + 100, soft, hard, isoft, ihard))
        limits += ["-c", "limit -u bsoft=%dk bhard=%dk isoft=%d ihard=%d %d" % (soft, hard, isoft, ihard, number + 200)]
    converge(*items)
    run("setquota -u -b %s" % place, input="".join(batch))
    if fs == "xfs":
        run("xfs_quota", "-x", *limits, str(place))
    for number in range(4000, 4020):
        assert dquot(place, USER, number)[1:5] == dquot(place, USER, number + 100)[1:5]
        assert fs != "xfs" or dquot(place, USER, number)[1:5] == dquot(place, USER, number + 200)[1:5]
    forget(place, *range(4000, 4020), *range(4100, 4120), *range(4200, 4220))


def test_grace_times_are_what_the_tools_say(disk):
    _fs, place = disk
    before = info.look(str(place), "group", None, False)["filesystems"][0]["types"]["group"]
    converge(of(place, type="group", block_grace="3d", inode_grace="36h"))
    assert converge(of(place, type="group", block_grace="3d", inode_grace="36h")).steps == []
    now = info.look(str(place), "group", None, False)["filesystems"][0]["types"]["group"]
    assert (now["block_grace"], now["inode_grace"]) == (3 * 86400, 36 * 3600)
    said = run("repquota -g %s" % place)
    assert "Block grace time: 3days; Inode grace time: 36:00" in said, said
    converge(of(place, type="group", block_grace=str(before["block_grace"]), inode_grace=str(before["inode_grace"])))


def test_id_zero_needs_a_word(disk):
    _fs, place = disk
    with pytest.raises(BulkheadError, match="id 0 is root"):
        converge(of(place, type="user", id="0", block_hard="1G"))
    converge(of(place, type="user", id="0", block_hard="300G", allow_id_zero=True))
    assert dquot(place, USER, 0).block_hard == 300 << 30
    converge(of(place, type="user", id="0", block_hard="max", allow_id_zero=True))


# Trees


def make_tree(tree):
    (tree / "below/deep").mkdir(parents=True)
    for path in (tree / "one", tree / "below/two", tree / "below/deep/three"):
        path.write_bytes(b"x" * 100000)
    os.mkfifo(tree / "fifo")
    os.symlink("nowhere", tree / "below/link")
    with socket.socket(socket.AF_UNIX) as one:
        one.bind(str(tree / "socket"))
    (tree / "mounted").mkdir()
    run("mount -t tmpfs none %s/mounted; touch %s/mounted/inside; sync" % (tree, tree))
    return [tree, tree / "below", tree / "below/deep", tree / "one", tree / "below/two", tree / "below/deep/three"]


def test_a_tree_is_counted_whole_and_let_go_whole(disk):
    _fs, place = disk
    tree = place / "tree"
    tree.mkdir()
    inodes = make_tree(tree)
    try:
        done = converge(of(place, type="project", directory=str(tree), block_hard="10M"))
        identity = done.reports[0]["id"]
        assert [project_of(path) for path in inodes] == [identity] * len(inodes)
        now = dquot(place, PROJECT, identity)
        assert 300000 <= now.blocks <= 400000
        # By number, as by any other program: the links, sockets and fifos of this kernel are not in it.
        assert now.inodes == len(inodes) + (3 if done.reports[0]["out_of_reach"] == 0 else 0)
        assert "P" in run("lsattr", "-d", str(tree / "below")).split()[0]
        (tree / "below/new").mkdir()
        assert project_of(tree / "below/new") == identity
        assert converge(of(place, type="project", directory=str(tree), block_hard="10M")).steps == []
        assert (projects.Projects.read().name_of(identity), projects.Projects.read().directories_of(identity)) == ("tree", [str(tree)])
        assert "tree" in run("repquota -P %s" % place)
        with pytest.raises(OSError) as refused:
            (place / "outside").write_text("x")
            os.link(place / "outside", tree / "linked")
        assert refused.value.errno == errno.EXDEV
        converge(of(place, type="project", directory=str(tree), state="absent"))
        assert [project_of(path) for path in inodes] == [0] * len(inodes)
        assert not any(dquot(place, PROJECT, identity)[1:])
        assert converge(of(place, type="project", directory=str(tree), state="absent")).steps == []
    finally:
        run("umount %s/mounted; rm -rf %s %s/outside" % (tree, tree, place))


def test_a_free_id_is_free_everywhere(disk):
    _fs, place = disk
    one, two = place / "one", place / "two"
    one.mkdir()
    two.mkdir()
    first = projects.FIRST
    with open(projects.PROJID, "w", encoding="utf-8") as file:
        file.write("# kept as it is\nsomebody:%d\n" % first)
    with open(projects.PROJECTS, "w", encoding="utf-8") as file:
        file.write("%d:/elsewhere\n" % (first + 1))
    converge(of(place, type="project", id=str(first + 2), block_hard="1G"))  # a limit without a directory
    (place / "used").mkdir()
    (one / "inside").mkdir()
    run("chattr -p %d %s/used; chattr -p %d %s/inside" % (first + 3, place, first + 4, one))
    done = converge(
        of(place, type="project", directory=str(one), block_hard="1M"), of(place, type="project", directory=str(two), block_hard="2M")
    )
    ids = [report["id"] for report in done.reports]
    assert ids[0] >= first + 5 and ids[1] == ids[0] + 1
    assert Path(projects.PROJID).read_text(encoding="utf-8").startswith("# kept as it is\nsomebody:")
    other = {"path": str(place), "type": "project", "directory": str(two), "block_hard": "2M"}
    with pytest.raises(BulkheadError, match="is that of"):
        converge({**of(place, type="project", directory=str(place / "used"), block_hard="1M"), "id": str(ids[0])})
    with pytest.raises(BulkheadError, match="is used already: 1 inodes"):
        (place / "third").mkdir()
        converge({**of(place, type="project", directory=str(place / "third"), block_hard="1M"), "id": str(first + 3)})
    converge({**other, "state": "absent"}, of(place, type="project", directory=str(one), state="absent"))
    converge(of(place, type="project", id=str(first + 2), state="absent"))
    run("rm -rf %s/one %s/two %s/used %s/third" % ((place,) * 4))


def test_a_tree_of_another_project_is_named_and_a_project_within_is_left_alone(disk):
    _fs, place = disk
    outer, inner, other = place / "outer", place / "outer/inner", place / "outer/other"
    inner.mkdir(parents=True)
    other.mkdir()
    (inner / "file").write_text("x")
    run("chattr -R -p 77 %s; chattr -R +P %s" % (other, other))
    ask_inner, ask_outer = (of(place, type="project", directory=str(one), block_hard="1M") for one in (inner, outer))
    converge(ask_inner)
    identity = project_of(inner / "file")
    foreseen = converge(ask_outer, check=True)
    text = next(step.before for step in foreseen.steps if step.target == "%s/" % outer)
    assert "1 in project 77" in text and "in no project" in text
    converge(ask_outer)
    assert project_of(inner / "file") == identity != project_of(outer) == project_of(other)
    assert converge(ask_inner, ask_outer).steps == []
    converge({**ask_outer, "state": "absent"})
    assert project_of(inner / "file") == identity and project_of(outer) == 0
    converge({**ask_inner, "state": "absent"})
    run("rm -rf %s" % outer)


def test_a_refusal_undoes_what_was_done(disk):
    _fs, place = disk
    tree = place / "undone"
    tree.mkdir()
    (tree / "file").write_text("x")
    run("chattr -p 5 %s/file" % tree)
    converge(of(place, type="user", id="3010", block_hard="1M"))
    before = dquot(place, USER, 3010)
    subject = quota_node.Quotas()
    items = [of(place, type="user", id="3010", block_hard="2M"), of(place, type="project", directory=str(tree), block_hard="1M")]
    plan = subject.plan([subject.parse(item) for item in items])

    class Failing(SetLimits):
        def do(self):
            raise OSError(errno.EIO, "for the test")

    plan.steps.append(Failing(plan.steps[0].place, 0, "the last", before, before._replace(block_hard=1)))
    with pytest.raises(BulkheadError) as refused:
        subject.apply(plan)
    subject.finish()
    assert refused.value.undo_failures == []
    assert dquot(place, USER, 3010) == before
    assert (project_of(tree), project_of(tree / "file")) == (0, 5)
    assert not os.path.exists(projects.PROJECTS)
    forget(place, 3010)
    run("rm -rf %s" % tree)


# What is missing


def is_missing(place, kind, problem, hint):
    """See what is said of what is missing; returns the hint."""
    with pytest.raises(BulkheadError) as refused:
        converge(of(place, type=kind, id="77", block_hard="1M"))
    assert problem in refused.value.problem and hint in refused.value.hint, str(refused.value)
    told = info.look(str(place), None, None, True)["filesystems"][0]["types"]
    assert kind not in told or (told[kind]["missing"] == refused.value.problem and not told[kind]["enforced"])
    return refused.value.hint


def is_enabled(place):
    """See that limits of a type that is counted only are refused, and enforced where that is asked for."""
    place.chmod(0o777)
    ask = of(place, type="user", id=str(NOBODY), block_hard="1M")
    with pytest.raises(BulkheadError, match=r"limits are not enforced.*enable: true"):
        converge(ask)
    done = converge({**ask, "enable": True})
    assert [step.after for step in done.steps][:1] == ["limits enforced"]
    assert fill(place / "full") == (1 << 20, errno.EDQUOT)


def test_ext4_with_its_features_counts_and_does_not_enforce():
    with mounted("counts", "ext4", "rw") as place:
        is_enabled(place)


def test_what_an_ext4_without_features_lacks_and_what_mends_it():
    with mounted("lacks", "ext4", "rw", "mkfs.ext4 -q -O ^quota,^project") as place:
        is_missing(place, "user", "made without the feature quota", "tune2fs -O quota /quota/lacks.img")
        hint = is_missing(place, "project", "made without the features quota and project", "tune2fs -O quota,project /quota/lacks.img")
        remount(place, "usrquota")
        refuses_what_the_old_format_cannot_hold(place)
        run(hint.partition(";")[0])
        converge(of(place, type="project", id="77", block_hard="1M"))
        assert dquot(place, PROJECT, 77).block_hard == 1 << 20


def refuses_what_the_old_format_cannot_hold(place):
    run("quotacheck -cu -F vfsv0 %s; quotaon -F vfsv0 -u %s" % (place, place))
    ask = of(place, type="user", id="77")
    converge({**ask, "block_hard": (0xFFFFFFFF << 10)})
    with pytest.raises(BulkheadError, match=r"more than ext4 .vfsv0. can hold, which is 4T"):
        converge({**ask, "block_hard": "4T"})
    with pytest.raises(BulkheadError, match=r"more than ext4 .vfsv0. can hold, which is 4294967295"):
        converge({**ask, "inode_hard": 1 << 32})
    assert dquot(place, USER, 77).block_hard == 0xFFFFFFFF << 10
    run("quotaoff %s" % place)


@pytest.mark.parametrize(
    ("make", "problem", "hint"),
    [
        ("mkfs.ext4 -q -O quota,^project", "made without the feature project", "tune2fs -O project /quota/lacks.img"),
        ("mkfs.ext4 -q -I 128 -O quota,^project", "inodes of 128 bytes", "mkfs.ext4 -I 256"),
    ],
)
def test_what_an_ext4_lacks_for_projects(make, problem, hint):
    with mounted("lacks", "ext4", "usrquota", make) as place:
        is_missing(place, "project", problem, hint)


def test_what_an_xfs_was_not_mounted_with():
    with mounted("lacks", "xfs", "rw") as place:
        is_missing(place, "group", "was not mounted with gquota", "mount -o loop,gquota /quota/lacks.img")
        remount(place, "uquota")
        is_missing(place, "project", "was not mounted with pquota", "mount -o loop,pquota /quota/lacks.img")
        remount(place, "uqnoenforce")
        is_enabled(place)


def test_btrfs_has_other_quotas():
    with mounted("lacks", "btrfs", "rw") as place:
        is_missing(place, "user", "btrfs limits subvolumes", "type: subvolume")


def test_a_directory_below_the_mount_point_is_no_file_system(disk):
    _fs, place = disk
    (place / "plain").mkdir()
    with pytest.raises(BulkheadError, match=r"is no mount point.*give that as path"):
        converge(of(place / "plain", type="user", id="77", block_hard="1M"))
    os.rmdir(place / "plain")
