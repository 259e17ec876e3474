# SPDX-FileCopyrightText: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A container's log: how it is written, put aside, read and removed, whatever lies in its directory."""

from __future__ import annotations

import errno
import os
import pty
import socket
import stat

import pytest
from ansible_collections.bulkhead.linux.plugins.module_utils._runtime.container import log
from ansible_collections.bulkhead.linux.plugins.module_utils._runtime.errors import BulkheadError, InvalidInput

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="making devices needs root")


@pytest.fixture
def path(tmp_path):
    (tmp_path / "logs").mkdir()
    return tmp_path / "logs" / "x.log"


def names(path):
    return sorted(os.listdir(path.parent))


def written(path, data, largest=100, files=3, special=None):
    writer = log.Log(str(path), largest, files, special)
    writer.open()
    for at in range(0, len(data), 7):
        writer.write(data[at : at + 7])
    writer.close()
    return writer


DATA = b"".join(b"%09d\n" % number for number in range(100))


@pytest.mark.parametrize("files", [1, 2, 3, 9])
def test_log_is_never_larger_than_agreed(path, files):
    writer = written(path, DATA, 100, files)
    assert names(path) == ["x.log", *("x.log.%d" % number for number in range(1, files))]
    assert all(os.path.getsize(path.parent / name) <= 100 for name in names(path))
    assert all(stat.S_IMODE(os.stat(path.parent / name).st_mode) == 0o600 for name in names(path))
    assert writer.written == len(DATA) == 1000
    kept = b"".join((path.parent / name).read_bytes() for name in reversed(names(path)))
    assert DATA.endswith(kept)
    assert len(kept) == 100 * files


@pytest.mark.parametrize("most", [0, 1, 99, 100, 101, 250, 300, 301, 5000])
def test_end_of_a_log_across_its_files(path, most):
    written(path, DATA)
    assert log.tail(str(path), most) == DATA[len(DATA) - min(most, 300) :].decode()


def test_end_of_what_is_no_log(path):
    for make in (lambda: None, lambda: os.mkfifo(path), path.mkdir, lambda: path.symlink_to("/etc/passwd")):
        make()
        assert log.tail(str(path), 100) == ""
        if os.path.lexists(path):
            path.rmdir() if path.is_dir() and not path.is_symlink() else path.unlink()
    assert log.tail(str(path.parent / "none" / "x.log"), 100) == ""
    assert log.tail("/dev/zero", 100) == ""
    (path.parent / "link").symlink_to(path.parent)
    path.write_text("x", encoding="utf-8")
    assert log.tail(str(path.parent / "link" / "x.log"), 100) == ""


def test_end_of_a_log_that_is_put_aside_meanwhile(path, monkeypatch):
    """A file that was read is met again under its next number: it counts once."""
    written(path, DATA[:250])
    opened = log._open_regular

    def moving(directory, name):
        fd = opened(directory, name)
        if name == "x.log":
            for older, newer in (("x.log.1", "x.log.2"), ("x.log", "x.log.1")):
                os.rename(path.parent / older, path.parent / newer)
        return fd

    (path.parent / "x.log.2").unlink()
    monkeypatch.setattr(log, "_open_regular", moving)
    assert log.tail(str(path), 1000) == DATA[100:250].decode()


def test_what_a_run_wrote(path):
    """A log that is nearly full by earlier runs."""
    written(path, b"x" * 90)
    assert written(path, b"y" * 30).written == 30
    assert log.tail(str(path), 30) == "y" * 30


def test_file_that_somebody_else_cuts(path):
    writer = log.Log(str(path), 100, 2)
    writer.write(b"x" * 60)
    os.truncate(path, 0)
    writer.write(b"y" * 10)
    writer.close()
    assert writer.written == 10


def test_fewer_files_than_before(path):
    written(path, DATA, 100, 5)
    written(path, DATA, 100, 2)
    assert names(path) == ["x.log", "x.log.1"]


def test_nothing_is_made_before_something_is_written(path):
    assert written(path, b"").written == 0
    assert names(path) == []


# What is no file


def make_socket(path):
    with socket.socket(socket.AF_UNIX) as end:
        end.bind(str(path))


REFUSED = [
    ("a symbolic link", lambda path: path.symlink_to(path.parent.parent / "outside")),
    ("a symbolic link", lambda path: path.symlink_to("/dev/null")),
    ("a directory", lambda path: path.mkdir()),
    ("a socket", make_socket),
    pytest.param("a block device", lambda path: os.mknod(path, 0o600 | stat.S_IFBLK, os.makedev(259, 1048575)), marks=as_root),
]


@pytest.mark.parametrize(("kind", "make"), REFUSED)
def test_what_can_be_no_log(path, kind, make):
    make(path)
    for attempt in (lambda: log.kind_of(str(path)), lambda: log.prepare(str(path), 100, 2, []), lambda: log.Log(str(path), 100, 2).open()):
        with pytest.raises(InvalidInput, match="is not a file but " + kind):
            attempt()
    log.Log(str(path), 100, 2).write(b"x" * 1000)
    assert names(path) == ["x.log"]
    assert not (path.parent.parent / "outside").exists()


@as_root
def test_device(path):
    """A null device of our own stays one, however much is written to it."""
    os.mknod(path, 0o666 | stat.S_IFCHR, os.makedev(1, 3))
    os.chmod(path, 0o666)
    kind = log.kind_of(str(path))
    assert kind == [stat.S_IFCHR, os.makedev(1, 3)]
    log.prepare(str(path), 100, 2, kind)
    assert written(path, DATA, special=kind).written == len(DATA)
    status = path.stat()
    assert names(path) == ["x.log"]
    assert stat.S_ISCHR(status.st_mode) and stat.S_IMODE(status.st_mode) == 0o666
    log.remove(str(path))
    assert names(path) == ["x.log"]
    # Another device than was there when it was asked for, or none.
    for other in ([], [stat.S_IFCHR, os.makedev(1, 5)], [stat.S_IFIFO, 0]):
        with pytest.raises(InvalidInput, match="a character device"):
            log.Log(str(path), 100, 2, other).open()


@as_root
def test_full_device(path):
    os.mknod(path, 0o600 | stat.S_IFCHR, os.makedev(1, 7))
    assert written(path, DATA, special=log.kind_of(str(path))).written == 0


def test_fifo(path):
    """It needs no reader, it never waits for one, and it stays a fifo."""
    os.mkfifo(path)
    kind = log.kind_of(str(path))
    writer = log.Log(str(path), 100, 2, kind)
    writer.open()
    writer.write(b"x" * 1000)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    assert os.read(reader, 5000) == b"x" * 1000
    os.close(reader)
    for _turn in range(5):
        writer.write(b"y" * 65536)  # more than it holds
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    assert len(os.read(reader, 1 << 20)) == 65536
    os.close(reader)
    writer.close()
    assert names(path) == ["x.log"]
    assert stat.S_ISFIFO(path.stat().st_mode)


def test_terminal():
    """It does not become this process's own, and nothing is put aside."""
    ours, theirs = pty.openpty()
    name = os.ttyname(theirs)
    pid = os.fork()
    if pid == 0:
        os.setsid()
        code = 1
        try:
            writer = log.Log(name, 4, 2, log.kind_of(name))
            writer.open()
            writer.write(b"hello, terminal")
            with open("/proc/self/stat", encoding="ascii") as file:
                code = int(file.read().rpartition(")")[2].split()[4])  # tty_nr
        finally:
            os._exit(code != 0)
    assert os.waitpid(pid, 0)[1] == 0
    assert os.read(ours, 100) == b"hello, terminal"
    os.close(ours)
    os.close(theirs)


# A directory in which somebody else is at work


def test_directory_is_swapped_for_a_link(path):
    outside = path.parent.parent / "outside"
    outside.mkdir()
    writer = log.Log(str(path), 100, 3)
    writer.write(b"x" * 50)
    os.rename(path.parent, path.parent.parent / "aside")
    path.parent.symlink_to(outside)
    writer.write(DATA)
    writer.close()
    writer.write(DATA)
    writer.close()
    assert not list(outside.iterdir())
    assert sorted(os.listdir(path.parent.parent / "aside")) == ["x.log", "x.log.1", "x.log.2"]
    with pytest.raises(BulkheadError, match=r"logs is a symbolic link to .* now"):
        log.Log(str(path), 100, 3).open()
    with pytest.raises(BulkheadError, match="is a symbolic link to"):
        log.prepare(str(path), 100, 3, [])
    assert not list(outside.iterdir())


@pytest.mark.parametrize("name", ["x.log", "x.log.1", "x.log.2", "x.log.3"])
@pytest.mark.parametrize("thing", ["link", "directory"])
def test_names_of_the_log_are_taken(path, name, thing):
    """Whatever has the name of one of the files, nothing is written outside, and what is kept is not more than agreed."""
    outside = path.parent.parent / "outside"
    outside.write_text("kept", encoding="utf-8")
    writer = log.Log(str(path), 100, 3)
    writer.write(b"x" * 10)
    taken = path.parent / name
    if name == "x.log":
        taken.unlink()
    if thing == "link":
        taken.symlink_to(outside)
    else:
        (taken / "inner").mkdir(parents=True)
    for _turn in range(3):
        writer.write(DATA)
    writer.close()
    log.remove(str(path))
    assert outside.read_text(encoding="utf-8") == "kept"
    assert sum(status.st_size for each in path.parent.iterdir() if stat.S_ISREG((status := each.lstat()).st_mode)) <= 300
    assert not any(stat.S_ISREG(each.lstat().st_mode) for each in path.parent.iterdir())


@pytest.mark.parametrize("other", ["y", "x.log.1"])
@pytest.mark.parametrize("files", [1, 2, 3])
def test_log_with_a_second_name(path, other, files):
    """What another name stands for, too, may be somebody else's file: it is left as it is."""
    path.write_text("theirs", encoding="utf-8")
    os.link(path, path.parent / other)
    assert written(path, b"ours", files=files).written == 4
    assert path.read_text(encoding="utf-8") == "ours"
    if other == "y" or files > 1:
        assert (path.parent / other).read_text(encoding="utf-8") == "theirs"


def test_full_disk(path, monkeypatch):
    """What does not fit is lost, and what fits later is not."""
    real = os.write
    writer = log.Log(str(path), 100, 2)
    writer.write(b"one\n")

    def full(fd, data):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "write", full)
    writer.write(b"two\n")
    monkeypatch.setattr(os, "write", real)
    writer.write(b"three\n")
    writer.close()
    assert path.read_text(encoding="utf-8") == "one\nthree\n"
    assert writer.written == 10


# The directory


def test_directory_is_made(path):
    deep = path.parent / "a" / "b" / "x.log"
    log.prepare(str(deep), 100, 2, [])
    assert deep.parent.is_dir()
    assert stat.S_IMODE(deep.parent.stat().st_mode) == 0o700
    assert stat.S_IMODE((path.parent / "a").stat().st_mode) == 0o700


def test_directory_that_cannot_be(path):
    (path.parent / "file").write_text("x", encoding="utf-8")
    (path.parent / "link").symlink_to(path.parent.parent)
    with pytest.raises(BulkheadError, match="is not a directory"):
        log.prepare(str(path.parent / "file" / "x.log"), 100, 2, [])
    for name in ("file/deep/x.log", "link/x.log", "link/deep/x.log"):
        with pytest.raises(BulkheadError):
            log.prepare("%s/%s" % (path.parent, name), 100, 2, [])
    assert sorted(os.listdir(path.parent.parent)) == ["logs"]
    with pytest.raises(BulkheadError, match="proc"):
        log.prepare("/proc/bulkhead/x.log", 100, 2, [])


def test_directory_that_cannot_be_written(path, monkeypatch):
    """As on a file system that is read-only, for root too."""
    monkeypatch.setattr(os, "access", lambda *_arguments, **_more: False)
    with pytest.raises(BulkheadError, match=r"x\.log cannot be written.*read-only"):
        log.prepare(str(path), 100, 2, [])


def test_removal(path):
    kept = ["x.log.old", "x.logger", "xx.log", "x.log.1.gz", "x.log."]
    for name in ["x.log", "x.log.1", "x.log.2", "x.log.77", *kept]:
        (path.parent / name).write_text("x", encoding="utf-8")
    (path.parent / "x.log.3").symlink_to("xx.log")
    (path.parent / "x.log.4").mkdir()
    log.remove(str(path))
    assert names(path) == sorted([*kept, "x.log.3", "x.log.4"])
    log.remove(str(path.parent / "none" / "x.log"))


def test_removal_through_a_link(path):
    (path.parent.parent / "link").symlink_to(path.parent)
    path.write_text("x", encoding="utf-8")
    log.remove(str(path.parent.parent / "link" / "x.log"))
    assert names(path) == ["x.log"]


def test_descriptors_are_given_back(path):
    before = len(os.listdir("/proc/self/fd"))
    written(path, DATA)
    log.prepare(str(path), 100, 3, [])
    log.tail(str(path), 1000)
    log.remove(str(path))
    path.mkdir()
    for attempt in (lambda: log.prepare(str(path), 1, 1, []), lambda: log.prepare(str(path.parent / "x.log" / "y" / "z"), 1, 1, [])):
        try:
            attempt()
        except BulkheadError:
            pass
    assert len(os.listdir("/proc/self/fd")) == before
