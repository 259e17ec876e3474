# SPDX-FileCopyrightText: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A tree is reached beneath its root only, whether by openat2(2) or one component at a time."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest
from ansible_collections.bulkhead.linux.plugins.module_utils._runtime.kernel import files
from ansible_collections.bulkhead.linux.plugins.module_utils._runtime.kernel.files import Tree

OUT = {errno.ELOOP, errno.EXDEV, errno.ENOTDIR}


@pytest.fixture(params=["openat2", "walk"])
def tree(request: pytest.FixtureRequest, tmp_path: Path) -> Tree:
    """A tree with a group, beside a secret; and links that lead there."""
    root = tmp_path / "root"
    (root / "group" / "child").mkdir(parents=True)
    (root / "group" / "knob").write_text("5\n")
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret" / "knob").write_text("precious")
    (root / "absolute").symlink_to(tmp_path / "secret")
    (root / "relative").symlink_to("../secret")
    (root / "group" / "link").symlink_to("knob")
    (root / "group" / "out").symlink_to("../../secret/knob")
    found = Tree(str(root) + "/")
    if request.param == "walk":
        found._open = found._walk
    return found


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def test_read_and_write(tree: Tree) -> None:
    assert tree.read("group/knob") == "5\n"
    assert tree.read_short("group/knob") == "5"
    tree.write("group/knob", "67")
    assert tree.read("group/knob") == "67"
    assert tree.read_short("group/none") is None
    assert tree.names("group") == ["child", "knob", "link", "out"]
    assert tree.directories() == ["group"]
    assert tree.directories("group") == ["child"]


def test_long_files_are_read_whole(tree: Tree, tmp_path: Path) -> None:
    text = "12345\n" * 50000
    (tmp_path / "root" / "group" / "cgroup.procs").write_text(text)
    assert tree.read("group/cgroup.procs") == text


@pytest.mark.parametrize(
    "path", ["..", "../secret", "../secret/knob", "group/../../secret/knob", "absolute/knob", "relative/knob", "group/out", "group/link", "absolute"]
)
def test_nothing_outside_is_reached(tree: Tree, tmp_path: Path, path: str) -> None:
    before = descriptors()
    for attempt in (
        lambda: tree.read(path),
        lambda: tree.read_short(path),
        lambda: tree.write(path, "overwritten"),
        lambda: tree.mkdir(path + "/made"),
        lambda: tree.rmdir(path + "/child"),
        lambda: tree.names(path),
        lambda: tree.directories(path),
    ):
        with pytest.raises(OSError) as caught:
            attempt()
        assert caught.value.errno in OUT
        assert str(caught.value.filename).startswith(str(tmp_path / "root"))
    assert (tmp_path / "secret" / "knob").read_text() == "precious"
    assert os.listdir(tmp_path / "secret") == ["knob"]
    tree.close()
    assert descriptors() <= before


def test_an_absolute_path_is_refused(tree: Tree, tmp_path: Path) -> None:
    for path in (str(tmp_path / "secret" / "knob"), "/etc/passwd"):
        with pytest.raises(OSError) as caught:
            tree.read(path)
        assert caught.value.errno == errno.EXDEV


def test_a_write_makes_no_file(tree: Tree, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        tree.write("group/new", "1")
    assert not (tmp_path / "root/group/new").exists()


def test_exists(tree: Tree) -> None:
    assert tree.exists("group")
    assert tree.exists("group/knob")
    assert not tree.exists("none")
    assert not tree.exists("none/deeper")
    assert not tree.exists("group/knob/below")


def test_directories_come_and_go(tree: Tree, tmp_path: Path) -> None:
    for name in ("a", "a/b", "a/c", "a/b/d"):
        tree.mkdir(name)
    with pytest.raises(FileExistsError):
        tree.mkdir("a/b")
    with pytest.raises(FileNotFoundError):
        tree.mkdir("x/y")
    with pytest.raises(OSError) as caught:
        tree.rmdir("a/b")
    assert caught.value.errno == errno.ENOTEMPTY
    for name in ("a/b/d", "a/b", "a/c", "a"):
        tree.rmdir(name)
    assert not (tmp_path / "root/a").exists()


def test_a_parent_that_was_made_anew_is_found(tree: Tree, tmp_path: Path) -> None:
    """The descriptor that is kept of the last parent must not outlive it."""
    tree.mkdir("a")
    tree.mkdir("a/b")
    os.rmdir(tmp_path / "root/a/b")
    os.rmdir(tmp_path / "root/a")
    os.mkdir(tmp_path / "root/a")
    with pytest.raises(FileNotFoundError):
        tree.mkdir("a/c")  # in the one that is gone: told, not hidden
    tree.mkdir("a/c")
    assert (tmp_path / "root/a/c").is_dir()


def test_descriptors_are_given_back(tree: Tree) -> None:
    before = descriptors()
    tree.read("group/knob")
    tree.mkdir("a")
    tree.mkdir("a/b")
    tree.close()
    assert descriptors() == before
    assert tree.read_short("group/knob") == "5"
    tree.close()


def test_a_sandbox_without_openat2_is_walked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_arguments: object) -> int:
        raise OSError(errno.ENOSYS, "Function not implemented")

    monkeypatch.setattr(files.syscalls, "openat2", refused)
    (tmp_path / "knob").write_text("5\n")
    (tmp_path / "link").symlink_to("knob")
    tree = Tree(str(tmp_path))
    assert tree.read_short("knob") == "5"
    with pytest.raises(OSError):
        tree.read_short("link")


def test_read_text(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x\n")
    assert files.read_text(str(tmp_path / "file")) == "x\n"
    assert files.read_text(str(tmp_path / "none")) is None


def test_real_path_of_a_link_that_is_replaced_meanwhile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "link").symlink_to("there")
    assert files.real_path(str(tmp_path / "link")) == str(tmp_path / "there")

    def readlink(path: str, **_: object) -> str:
        raise OSError(errno.EINVAL, os.strerror(errno.EINVAL), path)

    monkeypatch.setattr(os, "readlink", readlink)
    assert files.real_path(str(tmp_path / "link")) == str(tmp_path / "link")
