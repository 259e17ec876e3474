# SPDX-FileCopyrightText: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Links that a container makes where the runtime, as the machine's root, opens a path later on."""

from __future__ import annotations

import os
import stat
import time
from pathlib import Path

import pytest
from ansible_collections.bulkhead.linux.plugins.module_utils._runtime.container import config, sources, state, territory
from ansible_collections.bulkhead.linux.plugins.module_utils._runtime.errors import BulkheadError, InvalidInput

from .conftest import is_gone
from .test_escapes import USR, swapping

# Tells whether /w is the machine's root, takes a secret from there, and puts a link to / in the place of the source of /w.
FIRST_LIFE = """
[ -e /w/etc/shadow ] && cp /w/etc/shadow /v/got
echo life >> /v/lives
rmdir /v/sub 2>/dev/null
ln -sfn / /v/sub
"""


@pytest.fixture
def inner(share):
    (share / "sub").mkdir()
    return ["%s:/v" % share, "%s/sub:/w" % share]


def has_ended(node, name):
    """Whether it has, and with it whoever watched it."""
    record = state.read(node.paths.state(name))
    return record["status"] == "stopped" and not state.is_alive(record.get("monitor"))


def assert_no_escape(share, lives):
    assert not (share / "got").exists(), "the machine's root was mounted"
    assert (share / "lives").read_text(encoding="utf-8") == "life\n" * lives
    assert (share / "sub").is_symlink()


def test_second_life_of_a_container(node, share, inner):
    """By its options, by its name alone, and as a copy of another name."""
    item = {"name": "first", "command": ["/bin/sh", "-c", FIRST_LIFE], "volumes": inner}
    node.converge(item)
    assert is_gone(lambda: has_ended(node, "first"))
    with pytest.raises(InvalidInput, match=r"sub is a symbolic link to /, and container first.*may have made it"):
        node.converge(item)
    with pytest.raises(BulkheadError, match=r"sub is a symbolic link to / now"):
        node.converge({"name": "first", "state": "started"})
    with pytest.raises(InvalidInput, match="may have made it"):
        node.converge({**item, "name": "second"})
    assert_no_escape(share, 1)
    # What is to be ended is ended, whatever it has done.
    for wanted in ("stopped", "absent"):
        node.converge({**item, "state": wanted})
    assert not os.path.exists(node.paths.state("first"))


def test_second_life_by_restart_policy(node, share, inner):
    report = node.converge({"name": "again", "command": ["/bin/sh", "-c", FIRST_LIFE + "exit 1"], "volumes": inner, "restart_policy": "on-failure:2"})[1][0]
    assert report["name"] == "again"
    assert is_gone(lambda: "error" in state.read(node.paths.state("again")))
    assert "is a symbolic link to / now" in str(state.read(node.paths.state("again"))["error"])
    assert_no_escape(share, 1)


ASKING = [
    lambda share: {"volumes": ["%s/sub:/w" % share]},
    lambda share: {"volumes": ["%s/sub/etc:/w:ro" % share]},
    lambda share: {"rootfs": "%s/sub" % share},
    lambda share: {"log": {"path": "%s/sub/x.log" % share}},
]


@pytest.mark.parametrize("asking", ASKING)
def test_link_of_another_container(node, share, asking):
    """It is there before the second container is ever asked for; the first has ended, but is not gone."""
    node.run("maker", "ln -s / /v/sub", volumes=["%s:/v" % share])
    with pytest.raises(InvalidInput, match=r"sub is a symbolic link to /, and container maker.*may have made it|own root cannot be"):
        node.run("user", "true", **asking(share))
    assert not Path("/x.log").exists()


def test_link_in_a_root_directory(node, rootfs):
    """A root directory is the container's to write to, by whatever name it was given."""
    (rootfs.parent / "name").symlink_to(rootfs)
    node.run("maker", "ln -s / /tmp/sub", rootfs=str(rootfs.parent / "name"), volumes=USR)
    for path in (rootfs, rootfs.parent / "name"):
        with pytest.raises(InvalidInput, match="container maker"):
            node.run("user", "true", volumes=["%s/tmp/sub:/w" % path])


def test_link_in_private_files(node):
    node.run("maker", "ln -s / /srv/sub")
    with pytest.raises(InvalidInput, match="may have made it"):
        node.run("user", "true", volumes=["%s/upper/srv/sub:/w" % node.paths.own("maker")])


def test_link_in_tmp(node, tmp_path):
    """Everybody's directory: root's links are followed, nobody else's."""
    sticky, goal = tmp_path / "sticky", tmp_path / "goal"
    sticky.mkdir()
    sticky.chmod(0o1777)
    goal.mkdir()
    (goal / "file").write_text("seen", encoding="utf-8")
    (sticky / "mine").symlink_to(goal)
    (sticky / "theirs").symlink_to(goal)
    os.chown(sticky / "theirs", 1000, 1000, follow_symlinks=False)
    assert node.output("mine", "cat /w/file", volumes=["%s/mine:/w:ro" % sticky]) == "seen"
    with pytest.raises(InvalidInput, match="others than root may have put it there"):
        node.run("theirs", "true", volumes=["%s/theirs:/w" % sticky])


def test_links_of_the_administrator(node, tmp_path):
    """They are followed; pointing one elsewhere is a change, and leaving it is none."""
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_text(name, encoding="utf-8")
    current = tmp_path / "current"
    current.symlink_to("one")
    item = {"name": "web", "command": ["sleep", "1000"], "volumes": ["%s:/w" % current]}
    for name in ("one", "two"):
        assert node.converge(item)[0] > 0
        assert node.exec("web", ["cat", "/w/file"])["stdout"] == name
        assert node.converge(item)[0] == 0
        current.unlink()
        current.symlink_to("two")


@pytest.fixture
def swapper(share, outside):
    """share/a is a directory and, every other microsecond, a link out of it."""
    (share / "a").mkdir()
    (share / "b").symlink_to(outside)
    with swapping(share):
        yield share


def test_source_that_changes(swapper, tmp_path):
    """Thousands of look-ups of a source that is swapped for a link meanwhile: what is taken is the directory itself, or nothing."""
    node_paths = territory.Paths(str(tmp_path / "node"))
    asked = config.parse({"name": "x", "command": "true", "volumes": ["%s:/v" % swapper, "%s/a:/w" % swapper]}, "/tmp")
    taken = refused = 0
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline and taken + refused < 5000:
        settings = {**asked, "mounts": [dict(mount) for mount in asked["mounts"]], "log": dict(asked["log"])}
        try:
            territory.settle(settings, territory.Territory(node_paths))
            fd = sources.open_real(settings["mounts"][1]["source"])
        except BulkheadError:
            refused += 1
            continue
        taken += 1
        try:
            # While it is being swapped, the kernel may tell either name of the directory.
            assert os.readlink("/proc/self/fd/%d" % fd) in ("%s/a" % swapper, "%s/b" % swapper)
        finally:
            os.close(fd)
    assert taken > 50 and refused > 50, "%d were taken and %d refused" % (taken, refused)


def test_containers_with_a_source_that_changes(node, swapper, outside):
    """The same with whole containers, which write into what they got."""
    started = 0
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        try:
            node.run("race", "touch /w/written", volumes=["%s:/v" % swapper, "%s/a:/w" % swapper], log={"path": "none"})
            started += 1
        except BulkheadError:
            pass
        assert not list(outside.iterdir())
    assert started


# Logs


def test_log_directory_that_is_swapped(node, share, outside):
    """While it runs, and before its next start: nothing is written elsewhere."""
    script = "mv /v/logs /v/aside; ln -s %s /v/logs; seq 1 5000; exit %%d" % outside
    logs = {"log": {"path": "%s/logs/x.log" % share, "max_size": 4096, "max_files": 2}, "volumes": ["%s:/v" % share]}
    node.run("swap", script % 0, **logs)
    assert not list(outside.iterdir())
    assert sorted(os.listdir(share / "aside")) == ["x.log", "x.log.1"]
    with pytest.raises(BulkheadError, match="may have made it"):
        node.run("swap", "echo", **logs)
    # What starts again by its restart policy is not asked for anew.
    (share / "logs").unlink()
    os.rename(share / "aside", share / "logs")
    node.converge({"name": "swap", "command": ["/bin/sh", "-c", script % 1], "restart_policy": "on-failure:2", **logs})
    assert is_gone(lambda: state.read(node.paths.state("swap"))["status"] == "stopped" and state.read(node.paths.state("swap")).get("restarts", 0) == 0)
    assert is_gone((share / "logs").is_symlink)
    assert not list(outside.iterdir())


@pytest.mark.parametrize(
    ("plant", "kind"),
    [
        ("ln -s %s/x /v/x.log", "a symbolic link"),
        ("ln -s /dev/null /v/x.log", "a symbolic link"),
        ("mkdir /v/x.log", "a directory"),
        ("mknod /v/x.log c 1 1", "a device"),
        ("mknod /v/x.log b 259 99", "a block device"),
    ],
)
def test_log_that_the_container_has_replaced(node, share, outside, plant, kind):
    """The next start is refused and says why; removing the container is not."""
    options = {"log": {"path": "%s/x.log" % share}, "volumes": ["%s:/v" % share], "capabilities": {"add": ["MKNOD"]}}
    script = "echo one; while [ ! -e /v/x.log ]; do sleep 0.01; done; rm /v/x.log; %s" % (plant % outside if "%s" in plant else plant)
    node.run("plant", script, **options)
    planted = os.lstat(share / "x.log")
    with pytest.raises(BulkheadError, match=kind):
        node.run("plant", "echo two", **options)
    assert os.lstat(share / "x.log").st_ino == planted.st_ino
    assert not list(outside.iterdir())


def test_log_that_is_somebody_elses_file(node, share):
    """A second name of a file that the container may not write to is no way to have the supervisor write to it."""
    (share / "theirs").write_text("kept", encoding="utf-8")
    (share / "theirs").chmod(0o600)
    os.link(share / "theirs", share / "x.log")
    node.run("link", "seq 1 5000", log={"path": "%s/x.log" % share, "max_size": 4096, "max_files": 3}, volumes=["%s:/v" % share])
    assert (share / "theirs").read_text(encoding="utf-8") == "kept"


def test_log_on_a_device(node, tmp_path):
    """A null device of our own is written to and stays what it is."""
    device = tmp_path / "null"
    os.mknod(device, 0o666 | stat.S_IFCHR, os.makedev(1, 3))
    os.chmod(device, 0o666)
    before = os.stat(device)
    report = node.run("device", "seq 1 5000", log={"path": str(device), "max_size": 4096})
    assert report["exit"]["code"] == 0 and report["output"] == ""
    after = os.stat(device)
    assert (before.st_ino, before.st_mode, before.st_rdev) == (after.st_ino, after.st_mode, after.st_rdev)
    assert sorted(path.name for path in tmp_path.glob("null*")) == ["null"]


def test_log_on_a_fifo(node, tmp_path):
    """Nobody reads it: the container does not wait, and the fifo stays one."""
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    assert node.run("fifo", "seq 1 50000", log={"path": str(fifo), "max_size": 4096})["exit"]["code"] == 0
    assert stat.S_ISFIFO(os.lstat(fifo).st_mode)
    assert sorted(path.name for path in tmp_path.glob("fifo*")) == ["fifo"]


@pytest.mark.parametrize("kind", ["directory", "link", "dangling", "below a file", "below a link"])
def test_log_that_cannot_be_written(node, tmp_path, kind, outside):
    """It is refused before anything is done, and not silently lost."""
    path = tmp_path / "x.log"
    if kind == "directory":
        path.mkdir()
    elif kind in ("link", "dangling"):
        path.symlink_to("/dev/null" if kind == "link" else outside / "x")
    elif kind == "below a file":
        path.write_text("", encoding="utf-8")
        path = path / "x"
    else:
        path.symlink_to("/proc/self/cwd")
        path = path / "x"
    with pytest.raises(InvalidInput, match="log"):
        node.run("log", "echo lost", log={"path": str(path)})
    assert not os.path.exists(node.paths.state("log"))


# What a run wrote


def test_output_across_the_files_of_a_log(node):
    report = node.run("rotated", ["seq", "1", "2000"], log={"max_size": 4096, "max_files": 5})
    assert report["output"] == "".join("%d\n" % number for number in range(1, 2001))
    again = node.run("rotated", "printf %0200d 7", log={"max_size": 4096, "max_files": 5})
    assert again["output"] == "%0200d" % 7
    few = node.run("rotated", ["seq", "1", "2000"], log={"max_size": 4096, "max_files": 2})["output"]
    assert 4096 < len(few) <= 8192 and few.endswith("1999\n2000\n"), "what was removed is not there, and all that was not is"


def test_output_of_every_try(node):
    """A job that is tried again: what all of its tries wrote, and nothing that an earlier job did."""
    node.run("tries", "echo earlier")
    with_tries = node.run("tries", "echo run; exit 3", restart_policy="on-failure:2")
    assert with_tries["output"] == "run\n" * 3
