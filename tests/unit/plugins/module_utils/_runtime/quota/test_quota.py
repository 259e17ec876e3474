# SPDX-FileCopyrightText: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""From options and what the kernel holds to the requests that are missing."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

import pytest
from ansible_collections.bulkhead.linux.plugins.module_utils._runtime import records as kept
from ansible_collections.bulkhead.linux.plugins.module_utils._runtime.errors import BulkheadError, InvalidInput
from ansible_collections.bulkhead.linux.plugins.module_utils._runtime.kernel import mounts, quotactl
from ansible_collections.bulkhead.linux.plugins.module_utils._runtime.quota import filesystem, observation, private, projects, tree, wanted
from ansible_collections.bulkhead.linux.plugins.module_utils._runtime.quota.subject import Quotas
from hypothesis import given, settings
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).parent))
from quota_kernel import Disk, Kernel

USER, GROUP, PROJECT = 0, 1, 2
MIB = 1 << 20


@pytest.fixture
def places(tmp_path, monkeypatch):
    """Mount points, by name, of the disks that a test asks for, and files of projects of its own."""
    monkeypatch.setattr(projects, "PROJID", str(tmp_path / "etc/projid"))
    monkeypatch.setattr(projects, "PROJECTS", str(tmp_path / "etc/projects"))
    (tmp_path / "etc").mkdir()

    def make(**disks):
        found = {}
        for name, options in disks.items():
            (tmp_path / name).mkdir()
            found[name] = Disk(str(tmp_path / name), **options)
        Kernel(monkeypatch, *found.values())

        def mount_at(path):
            disk = next((disk for disk in found.values() if disk.path == path), None)
            if disk is None:
                return None
            mount = mounts.Mount(disk.path, "/", disk.fstype, disk.path, ["rw"])
            mount.device = disk.path
            return mount

        monkeypatch.setattr(observation, "mount_at", mount_at)
        monkeypatch.setattr(filesystem.FileSystem, "unit", property(lambda self: found[os.path.basename(self.path)].unit))
        return found

    return make


def converge(*items, check=False):
    subject = Quotas()
    subject.checking = check
    objects = [subject.parse(item) for item in items]
    plan = subject.plan(objects)
    steps, last = list(plan.steps), plan
    if steps and not check:
        subject.apply(plan)
        last = subject.plan(objects)
        assert not last.steps, [step.facts() for step in last.steps]
    reports = subject.report(objects, last)
    subject.finish()
    return steps, reports, plan.warnings


def user(disk, number=7, **options):
    return {"path": disk.path, "type": "user", "id": str(number), **options}


def test_soft_and_hard_are_one_request_and_what_is_equal_is_none(places):
    disk = places(a={})["a"]
    steps, reports, _warnings = converge(user(disk, block_soft="1M", block_hard="2M", inode_hard=100))
    assert disk.writes == [("limits", USER, 7)]
    assert steps[0].facts()["after"] == "blocks soft 1048576 hard 2097152, inodes soft none hard 100"
    assert reports[0]["effective"] == {"block_soft": MIB, "block_hard": 2 * MIB, "inode_soft": 0, "inode_hard": 100}
    assert converge(user(disk, block_hard=2 * MIB, inode_hard="100"))[0] == []
    assert len(disk.writes) == 1


@pytest.mark.parametrize(("fstype", "unit"), [("ext4", 1024), ("xfs", 4096)])
def test_rounding_is_told_and_no_change(places, fstype, unit):
    disk = places(a={"fstype": fstype, "unit": unit})["a"]
    _steps, reports, _warnings = converge(user(disk, block_hard=1500))
    assert reports[0]["asked"] == {"block_hard": 1500}
    assert reports[0]["effective"]["block_hard"] == -(-1500 // unit) * unit
    assert reports[0]["rounded"] == ["block_hard"]
    assert converge(user(disk, block_hard=1500))[0] == []


@pytest.mark.parametrize("fstype", ["ext4", "xfs"])
def test_a_running_grace_goes_on(places, fstype):
    disk = places(a={"fstype": fstype})["a"]
    disk.put(USER, 7, blocks=2 * MIB, block_soft=MIB, block_hard=4 * MIB, block_time=1234)
    for change in ({"block_hard": "8M"}, {"inode_hard": 5}, {"block_soft": "1500k"}):
        converge(user(disk, **change))
        assert disk.ids[USER, 7].block_time == 1234
    converge(user(disk, block_soft="3M"))
    assert disk.ids[USER, 7].block_time == 0


def test_the_grace_of_everybody_is_not_touched_by_the_limits_of_root(places, monkeypatch):
    disk = places(a={})["a"]
    asked = []
    real = quotactl.set_limits
    monkeypatch.setattr(quotactl, "set_limits", lambda *arguments: asked.append(arguments[-1]) or real(*arguments))
    converge(user(disk, 0, block_hard="1G", allow_id_zero=True))
    converge(user(disk, 1, block_hard="1G"))
    assert asked == [False, True]


def test_a_hard_limit_below_the_soft_one_that_stays_is_refused(places):
    disk = places(a={})["a"]
    disk.put(USER, 7, block_soft=MIB)
    with pytest.raises(InvalidInput, match="block_hard 512000 is less than block_soft 1048576"):
        converge(user(disk, block_hard="500k"))
    with pytest.raises(InvalidInput, match="inode_hard 5 is less than inode_soft 6"):
        converge(user(disk, inode_soft=6, inode_hard=5))
    assert disk.writes == []


@pytest.mark.parametrize(
    ("number", "option", "size", "most"),
    [
        (quotactl.FORMAT_V0, "block_hard", "4T", "4T"),
        (quotactl.FORMAT_V0, "inode_hard", 1 << 32, "4294967295"),
        (quotactl.FORMAT_V1, "block_soft", (1 << 63) - 1, "8E"),
    ],
)
def test_what_the_format_cannot_hold_is_refused(places, number, option, size, most):
    disk = places(a={"number": number})["a"]
    with pytest.raises(InvalidInput, match="can hold, which is %s" % most):
        converge(user(disk, **{option: size}))
    assert disk.writes == []


def test_one_wrong_quota_of_many_changes_nothing(places):
    disk = places(a={}, none={"flags": 0, "fstype": "weird"})
    with pytest.raises(BulkheadError, match="has no quotas of type user: the kernel knows of none here"):
        converge(user(disk["a"], block_hard="1M"), user(disk["none"], block_hard="1M"))
    assert disk["a"].writes == []


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"type": None}, "type is missing"),
        ({"path": "relative"}, "is not an absolute path"),
        ({"id": "0", "block_hard": "1M"}, "id 0 is root"),
        ({"id": "no-such-user-here", "block_hard": "1M"}, "there is no user 'no-such-user-here'"),
        ({"id": "4294967295", "block_hard": "1M"}, "is not within 0 to 4294967294"),
        ({"id": "-1", "block_hard": "1M"}, "is not within"),
        ({"id": None, "block_hard": "1M"}, "whose limits these are is missing"),
        ({"id": None}, "nothing is asked for"),
        ({"block_hard": ""}, "is empty"),
        ({"block_hard": "-5"}, "is not a number with a unit"),
        ({"block_hard": "1.5Q"}, "unknown unit"),
        ({"block_hard": "9E"}, "more than the kernel can count"),
        ({"inode_hard": "1k"}, "is not a whole number"),
        ({"inode_hard": 1.5}, "is not a whole number"),
        ({"block_grace": "7 fortnights"}, "is not a time"),
        ({"block_grace": "0"}, "is not within"),
        ({"block_grace": "8000w"}, "is not within"),
        ({"directory": "/srv"}, "directory goes with type: project only"),
        ({"accounting": "simple", "block_hard": "1M"}, "accounting is for type: subvolume only"),
        ({"type": "subvolume", "id": None, "inode_hard": 5}, "btrfs limits bytes, by a hard limit only"),
        ({"type": "subvolume", "id": None, "block_soft": "1M"}, "btrfs limits bytes, by a hard limit only"),
        ({"type": "subvolume", "id": None, "block_hard": 0}, "0 lets nothing be written at all"),
        ({"type": "subvolume", "id": "5", "block_hard": "1M"}, "has no other id"),
        ({"type": "project", "id": "0", "directory": "/srv"}, "project 0 is what belongs to no project"),
        ({"type": "project", "id": "not a name", "directory": "/srv"}, "cannot be the name of a project"),
    ],
)
def test_bad_input_is_refused_before_anything_is_asked(options, problem):
    with pytest.raises(InvalidInput, match=problem):
        wanted.parse({"path": "/srv", "type": "user", "id": "7", **options})


def test_grace_times_belong_to_the_type(places):
    disk = places(a={})["a"]
    whole = {"path": disk.path, "type": "user"}
    converge({**whole, "block_grace": "3d"}, {**whole, "id": "7", "inode_grace": "36h"})
    assert disk.graces == {USER: (3 * 86400, 36 * 3600)} and disk.writes == [("grace", USER)]
    assert converge({**whole, "block_grace": 3 * 86400, "inode_grace": "36h"})[0] == []
    with pytest.raises(InvalidInput, match="is asked to be 86400 s and 172800 s"):
        converge({**whole, "id": "7", "block_grace": "1d"}, {**whole, "id": "8", "block_grace": "2d"})


def test_enforcement_is_begun_once_and_only_when_asked_for(places):
    disk = places(a={"flags": 1})["a"]
    with pytest.raises(BulkheadError, match="limits are not enforced"):
        converge(user(disk, block_hard="1M"))
    steps, _reports, _warnings = converge(user(disk, 7, block_hard="1M", enable=True), user(disk, 8, block_hard="1M", enable=True))
    assert [step.after for step in steps].count("limits enforced") == 1
    assert disk.flags == 3


def test_absent_lifts_all_limits_and_is_done_once(places):
    disk = places(a={})["a"]
    disk.put(USER, 7, block_hard=MIB, inode_soft=4)
    assert len(converge(user(disk, state="absent"))[0]) == 1
    assert disk.ids[USER, 7][1:5] == (0, 0, 0, 0)
    assert converge(user(disk, state="absent"))[0] == []


def test_the_same_id_twice_is_refused(places):
    disk = places(a={})["a"]
    with pytest.raises(InvalidInput, match="is given twice"):
        converge(user(disk, 7, block_hard="1M"), user(disk, 7, block_hard="2M"))


def test_more_than_the_limit_in_use_is_told(places):
    disk = places(a={})["a"]
    disk.put(USER, 7, blocks=5 * MIB)
    _steps, _reports, warnings = converge(user(disk, block_hard="1M"))
    assert warnings == ["%s: user 7: 5242880 bytes are used already, which is more than the hard limit of 1048576" % disk.path]


def test_where_nothing_is_mounted_the_right_path_is_said(places, tmp_path):
    places(a={})
    (tmp_path / "plain").mkdir()
    with pytest.raises(InvalidInput) as refused:
        converge({"path": str(tmp_path / "plain"), "type": "user", "id": "7", "block_hard": "1M"})
    assert "is no mount point" in refused.value.problem and "give that as path" in refused.value.hint


# Any settings: the kernel has them after one call, and a second has nothing to do

SIZES = st.one_of(st.integers(0, (1 << 62)), st.integers(0, 5000))


@st.composite
def pairs(draw):
    """Limits of which any may be left out, the hard one no less than the soft one."""
    found = {}
    for names, most in ((wanted.SIZES, 1 << 62), (wanted.COUNTS, 1 << 62)):
        values = sorted(draw(st.one_of(st.integers(1, most), st.integers(1, 5000))) for _each in names)
        found.update({name: value for name, value in zip(names, values) if draw(st.booleans())})
    return found


@settings(max_examples=200, deadline=None)
@given(st.lists(pairs(), min_size=50, max_size=50), st.sampled_from([("ext4", 1024), ("xfs", 4096), ("xfs", 1024)]))
def test_any_settings_are_there_after_one_call(every, kind):
    with pytest.MonkeyPatch.context() as monkeypatch:
        disk = Disk("/", fstype=kind[0], unit=kind[1])
        Kernel(monkeypatch, disk)
        mount = mounts.Mount("/", "/", kind[0], "/", ["rw"])
        monkeypatch.setattr(observation, "mount_at", lambda path: mount)
        monkeypatch.setattr(filesystem.FileSystem, "unit", property(lambda self: disk.unit))
        items = [user(disk, number + 1, **limits) for number, limits in enumerate(every)]
        _steps, reports, _warnings = converge(*items)
        for number, (limits, report) in enumerate(zip(every, reports)):
            held = disk.ids.get((USER, number + 1), quotactl.Dquot(0, *[0] * 8))._asdict()
            for option, value in limits.items():
                unit = disk.unit if option in wanted.SIZES else 1
                assert held[option] == -(-value // unit) * unit == report["effective"][option]


# Projects


@pytest.fixture
def tags(monkeypatch):
    """{path: (project, inherited)} in the place of the attributes of inodes, which this machine's file system may not have."""
    held = {}

    def key(directory, name):
        return os.path.normpath(os.path.join(os.readlink("/proc/self/fd/%d" % directory), os.fsdecode(name)))

    monkeypatch.setattr(tree.fileattr, "reaches_all", lambda: True)

    def change_at(fd, name, wanted, only=None):
        before = held.get(key(fd, name), (0, False))
        if wanted is not None and before != wanted and only in (None, before[0]):
            held[key(fd, name)] = wanted
        return before

    monkeypatch.setattr(tree.fileattr, "change_at", change_at)
    monkeypatch.setattr(tree.fileattr, "get", lambda fd: held.get(key(fd, b"."), (0, False)))
    return held


def project(disk, directory, **options):
    return {"path": disk.path, "type": "project", "directory": str(directory), **options}


def test_two_directories_are_two_projects_and_go_again(places, tags):
    disk = places(a={})["a"]
    one, two = (Path(disk.path) / name for name in ("one", "two"))
    (one / "below").mkdir(parents=True)
    (one / "below/file").write_text("x")
    two.mkdir()
    steps, reports, _warnings = converge(project(disk, one, block_hard="1M"), project(disk, two, block_hard="2M"))
    assert [report["id"] for report in reports] == [projects.FIRST, projects.FIRST + 1]
    # The lines, the limits, then the tag.
    assert [step.target for step in steps[:4]] == [projects.PROJID, projects.PROJECTS, "%s: project (%s)" % (disk.path, one), "%s/" % one]
    assert tags == {
        str(one): (projects.FIRST, True),
        str(one / "below"): (projects.FIRST, True),
        str(one / "below/file"): (projects.FIRST, False),
        str(two): (projects.FIRST + 1, True),
    }
    assert Path(projects.PROJID).read_text() == "one:65536\ntwo:65537\n"
    assert Path(projects.PROJECTS).read_text() == "65536:%s\n65537:%s\n" % (one, two)
    (one / "late").write_text("x")  # which the kernel would have given the project: so it is drift
    assert [step.facts()["before"] for step in converge(project(disk, one, block_hard="1M"))[0]] == ["of 4 inodes 1 in no project"]
    converge(project(disk, one, state="absent"), project(disk, two, state="absent"))
    assert set(tags.values()) == {(0, False)} and not os.path.exists(projects.PROJID) and not os.path.exists(projects.PROJECTS)
    assert converge(project(disk, one, state="absent"))[0] == []


@pytest.fixture
def room(monkeypatch):
    """The limits of private directories of one plan, on a disk; and what does their steps."""

    def make(disk):
        mount = mounts.Mount(disk.path, "/", disk.fstype, disk.path, ["rw"])
        monkeypatch.setattr(private, "_mount_of", lambda directory: (disk.path, mount))
        return private.Private()

    return make


def do(steps):
    for step in steps:
        step.do()


def test_private_files_made_anew_have_a_project_of_their_own_beside_the_old_one(places, tags, room):
    disk = places(a={})["a"]
    own, aside = (Path(disk.path) / name for name in ("own", "aside"))
    one = room(disk)
    steps = one.limit(str(own), {"block_hard": MIB}, made_later=True)
    own.mkdir()
    do(steps)
    first = projects.FIRST
    assert tags[str(own)] == (first, True) and disk.ids[PROJECT, first].block_hard == MIB
    assert room(disk).limit(str(own), {"block_hard": MIB}, made_later=False) == []
    # What is not asked for is lifted, and the project stays as long as the directory.
    do(room(disk).limit(str(own), {"inode_hard": 7}, made_later=False))
    assert disk.ids[PROJECT, first][1:5] == (0, 0, 7, 0)
    two = room(disk)
    moved = two.move(str(own), str(aside))
    before, after = two.release(str(aside), str(own))
    made = two.limit(str(own), {"block_hard": 2 * MIB}, made_later=True)
    own.rename(aside)
    do(moved)
    assert Path(projects.PROJECTS).read_text() == "%d:%s\n" % (first, aside)
    own.mkdir()
    do(made)
    assert tags[str(own)] == (first + 1, True) and disk.ids[PROJECT, first + 1].block_hard == 2 * MIB
    do(before)
    aside.rmdir()
    do(after)
    assert Path(projects.PROJECTS).read_text() == "%d:%s\n" % (first + 1, own)
    assert Path(projects.PROJID).read_text() == "own-%d:%d\n" % (first + 1, first + 1)
    assert disk.ids[PROJECT, first][1:5] == (0, 0, 0, 0)
    three = room(disk)
    before, after = three.release(str(own))
    do([*before, *after])
    assert not os.path.exists(projects.PROJECTS) and not os.path.exists(projects.PROJID)
    assert room(disk).release(str(own)) == ([], [])


def test_two_private_directories_of_one_plan_are_two_projects(places, tags, room):
    disk = places(a={})["a"]
    both = room(disk)
    steps = [step for name in ("one", "two") for step in both.limit("%s/%s" % (disk.path, name), {"block_hard": MIB}, made_later=True)]
    for name in ("one", "two"):
        (Path(disk.path) / name).mkdir()
    do(steps)
    assert [tags["%s/%s" % (disk.path, name)][0] for name in ("one", "two")] == [projects.FIRST, projects.FIRST + 1]
    for step in reversed(steps):
        step.undo()
    assert not os.path.exists(projects.PROJECTS) and not any(disk.ids[PROJECT, projects.FIRST][1:5])


def test_of_private_files_that_inherit_only_the_directory_is_looked_at(places, tags, room):
    disk = places(a={})["a"]
    own = Path(disk.path) / "own"
    (own / "below").mkdir(parents=True)
    do(room(disk).limit(str(own), {"block_hard": MIB}, made_later=False))
    assert tags[str(own / "below")] == (projects.FIRST, True)
    tags[str(own / "below")] = (0, False)
    assert room(disk).limit(str(own), {"block_hard": MIB}, made_later=False, whole=False) == []
    assert len(room(disk).limit(str(own), {"block_hard": MIB}, made_later=False)) == 1
    tags[str(own)] = (0, False)
    assert len(room(disk).limit(str(own), {"block_hard": MIB}, made_later=False, whole=False)) == 1


def test_a_free_id_is_in_no_file_has_no_usage_and_is_on_no_inode(places, tags):
    disk = places(a={})["a"]
    one = Path(disk.path) / "one"
    (one / "strange").mkdir(parents=True)
    first = projects.FIRST
    Path(projects.PROJID).write_text("# ours\none:%d\n" % first)
    Path(projects.PROJECTS).write_text("%d:/elsewhere\n" % (first + 1))
    disk.put(PROJECT, first + 2, inodes=1)
    disk.put(PROJECT, first + 3, block_hard=MIB)
    tags[str(one / "strange")] = (first + 4, True)
    _steps, reports, _warnings = converge(project(disk, one, block_hard="1M"))
    assert reports[0]["id"] == first + 5 and reports[0]["name"] == "one-%d" % (first + 5)
    assert Path(projects.PROJID).read_text().startswith("# ours\n")


def test_an_id_that_another_tree_uses_is_refused(places, tags):
    disk = places(a={})["a"]
    one = Path(disk.path) / "one"
    one.mkdir()
    Path(projects.PROJECTS).write_text("500:/elsewhere\n")
    disk.put(PROJECT, 600, inodes=3)
    with pytest.raises(InvalidInput, match="project 500 is that of /elsewhere"):
        converge(project(disk, one, id="500", block_hard="1M"))
    with pytest.raises(InvalidInput, match="project 600 is used already: 3 inodes"):
        converge(project(disk, one, id="600", block_hard="1M"))
    assert disk.writes == [] and tags == {}


def test_a_tree_of_another_project_is_named(places, tags):
    disk = places(a={})["a"]
    one = Path(disk.path) / "one"
    one.mkdir()
    (one / "file").write_text("x")
    Path(projects.PROJID).write_text("theirs:9\n")
    tags[str(one / "file")] = (9, False)
    steps, _reports, _warnings = converge(project(disk, one, block_hard="1M"), check=True)
    assert steps[-1].before == "of 2 inodes 1 in no project, 1 in project 9 (theirs)"
    assert tags == {str(one / "file"): (9, False)}


def test_the_walk_puts_back_what_it_changed_where_it_fails(places, tags, monkeypatch):
    disk = places(a={})["a"]
    one = Path(disk.path) / "one"
    one.mkdir()
    (one / "file").write_text("x")
    tags[str(one / "file")] = (9, False)
    before, real = dict(tags), tree.fileattr.change_at

    def refuse(fd, name, wanted, only=None):
        if name == b"file" and wanted is not None and wanted[0] != 9:
            raise OSError(5, "for the test")
        return real(fd, name, wanted, only)

    monkeypatch.setattr(tree.fileattr, "change_at", refuse)
    with pytest.raises(BulkheadError, match="could not be put into project"):
        converge(project(disk, one, block_hard="1M"))
    assert {path: tag for path, tag in tags.items() if tag != (0, False)} == before
    assert not os.path.exists(projects.PROJECTS) and disk.ids[PROJECT, projects.FIRST].block_hard == 0


def test_a_link_does_not_lead_out_of_the_tree(places, tags, tmp_path):
    disk = places(a={})["a"]
    one = Path(disk.path) / "one"
    one.mkdir()
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/file").write_text("x")
    (one / "link").symlink_to(tmp_path / "outside")
    converge(project(disk, one, block_hard="1M"))
    assert set(tags) == {str(one), str(one / "link")}
    (Path(disk.path) / "alias").symlink_to(one)
    with pytest.raises(InvalidInput, match=r"there is no directory|goes through a symbolic link"):
        converge(project(disk, Path(disk.path) / "alias", block_hard="1M"))


# What is kept


def test_a_user_has_one_record_under_his_name_and_his_number():
    rules = Quotas()
    item = {"type": "user", "block_soft": "1M", "state": "present", "enable": False}
    found = kept.changed(rules, {}, [{"path": "/srv/", "id": "root", **item}], set(), True)
    found = kept.changed(rules, found, [{"path": "/srv", "id": "0", "block_hard": "2M", **item}], set(), True)
    assert found == {"/srv: user 0": {"type": "user", "id": "0", "block_soft": "1M", "block_hard": "2M"}}
    assert kept.in_one_form(rules, found) == found


def test_a_record_comes_back_as_what_was_asked_for(places):
    disk = places(a={})["a"]
    rules = Quotas()
    items = [user(disk, block_hard="1M"), project(disk, disk.path + "/x", block_hard="2M"), {"path": disk.path, "type": "group", "inode_grace": "2d"}]
    found = kept.changed(rules, {}, items, set(), True)
    replayed = Quotas()
    replayed.replaying = True
    for item, (name, options) in zip(sorted(items, key=lambda one: one["type"]), sorted(found.items())):
        quota = replayed.parse({**options, "path": name})
        assert (quota.path, quota.type) == (item["path"], item["type"]) and quota.called == name


def test_to_forget_one_forgets_no_other():
    rules = Quotas()
    base = {"type": "project", "block_hard": "1M"}
    items = [{"path": "/srv", "directory": "/srv/a", **base}, {"path": "/srv", "directory": "/srv/a/b", **base}, {"path": "/srv/a", "type": "user", "id": "1"}]
    found = kept.changed(rules, {}, items, set(), True)
    assert len(found) == 3
    found = kept.changed(rules, found, [{**items[0], "state": "absent"}], set(), True)
    assert sorted(found) == ["/srv/a: user 1", "/srv: project (/srv/a/b)"]


def test_grace_times_are_kept_once():
    rules = Quotas()
    first = {"path": "/srv", "type": "user", "block_grace": "1d", "inode_grace": "1d"}
    found = kept.changed(rules, {}, [first], set(), True)
    found = kept.changed(rules, found, [{"path": "/srv", "type": "user", "id": "7", "block_grace": "2d"}], set(), True)
    assert found == {
        "/srv: user": {"type": "user", "inode_grace": "1d"},
        "/srv: user 7": {"type": "user", "id": "7", "block_grace": "2d"},
    }


def test_what_is_not_mounted_is_waited_for_by_a_replay(places, tmp_path):
    (tmp_path / "not-mounted").mkdir()
    subject = Quotas()
    subject.replaying = True
    quota = subject.parse({"path": "%s/not-mounted: user 7" % tmp_path, "type": "user", "id": "7", "block_hard": "1M"})
    assert subject.left_alone(quota) == "nothing is mounted at %s/not-mounted" % tmp_path
    quota = subject.parse({"path": "/nowhere/at/all: user 7", "type": "user", "id": "7", "block_hard": "1M"})
    assert subject.left_alone(quota) == "there is no directory /nowhere/at/all"


# What an earlier task of a play may be about to make


def missing(path, **options):
    return {"path": str(path), "type": "user", "id": "7", "block_hard": "1M", **options}


@pytest.mark.parametrize(
    ("where", "options", "words"),
    [
        ("nowhere", {}, "there is no .*nowhere"),
        ("unmounted", {}, "unmounted is no mount point"),
        ("a", {"id": "nobody-of-this-name"}, "there is no user 'nobody-of-this-name'"),
        ("a", {"type": "project", "id": "no-such-project"}, "there is no project 'no-such-project'"),
        ("nowhere", {"type": "subvolume", "id": None}, "there is no directory .*nowhere"),
        ("unmounted", {"type": "subvolume", "id": None}, "unmounted is not on btrfs but on"),
    ],
)
def test_check_mode_foresees_what_is_not_there_yet(places, tmp_path, where, options, words):
    places(a={})
    (tmp_path / "unmounted").mkdir()
    ask = missing(tmp_path / where, **options)
    steps, reports, warnings = converge(ask, check=True)
    assert [step.after for step in steps] == ["block_hard 1M"] and reports[0]["asked"] == {"block_hard": "1M"}
    assert len(warnings) == 1 and re.search(words + ".*; unless an earlier task of the play makes it, this task fails", warnings[0]), warnings
    with pytest.raises(InvalidInput, match=words):
        converge(ask)


def test_check_mode_foresees_that_there_is_nothing_to_lift(places, tmp_path):
    places(a={})
    ask = {**missing(tmp_path / "nowhere", state="absent"), "block_hard": None}
    steps, _reports, warnings = converge(ask, check=True)
    assert steps == [] and len(warnings) == 1


def test_check_mode_refuses_what_no_task_can_mend(places, tmp_path):
    disk = places(a={"flags": 0})["a"]
    asked = {"block_hard": user(disk, block_hard="nonsense"), "has no quotas": user(disk, block_hard="1M"), "id 0": user(disk, 0, block_hard=1)}
    for words, ask in asked.items():
        with pytest.raises(BulkheadError, match=words):
            converge(ask, check=True)
