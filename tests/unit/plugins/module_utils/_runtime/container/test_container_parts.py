# SPDX-FileCopyrightText: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The small parts that containers are made with."""

from __future__ import annotations

import json
import os
import threading

import pytest
from ansible_collections.bulkhead.linux.plugins.module_utils._runtime.container import base, locks, paths, process, state, wire
from ansible_collections.bulkhead.linux.plugins.module_utils._runtime.container.mounts import Root
from ansible_collections.bulkhead.linux.plugins.module_utils._runtime.errors import BulkheadError
from hypothesis import given
from hypothesis import strategies as st

PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers(-(1 << 63), 1 << 63) | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


@given(PLAIN)
def test_json_is_json(value):
    assert json.loads(wire.to_json(value)) == value


@given(st.text())
def test_quoting_without_the_accelerator(text):
    assert json.loads(wire._python_quoted(text)) == text


def test_messages():
    import socket

    one, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with one, other:
        wire.send(one.fileno(), {"a": [1, b"\0", None], "b": "ä"})
        assert wire.receive(other.fileno()) == {"a": [1, b"\0", None], "b": "ä"}
        one.close()
        assert wire.receive(other.fileno()) is None


@pytest.fixture
def root(tmp_path):
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/passwd").write_text(
        "root:x:0:0:root:/root:/bin/sh\nweb:x:33:34::/srv:/bin/sh\nbad:x:-1:0::/:\nhuge:x:4294967296:0::/:\nshort:x\n", encoding="utf-8"
    )
    (tmp_path / "etc/group").write_text("root:x:0:\nweb:x:34:\nlog:x:4:web,other\nadm:x:5:other\nbad:x:z:web\n", encoding="utf-8")
    root = Root(os.open(tmp_path, os.O_PATH | os.O_DIRECTORY))
    yield root
    root.close()


@pytest.mark.parametrize(
    ("asked", "more", "expected"),
    [
        ("0", [], (0, 0, [0], "/root")),
        ("root", [], (0, 0, [0], "/root")),
        ("web", [], (33, 34, [4, 34], "/srv")),
        ("33", [], (33, 34, [4, 34], "/srv")),
        ("web:adm", [], (33, 5, [5], "/srv")),
        ("33:7", ["log"], (33, 7, [4, 7], "/srv")),
        ("1000", [], (1000, 0, [0], "/")),
        ("1000:1000", ["8"], (1000, 1000, [8, 1000], "/")),
    ],
)
def test_users(root, asked, more, expected):
    user = process.find_user(asked, more, root)
    assert (user.uid, user.gid, user.groups, user.home) == expected


@pytest.mark.parametrize(("asked", "more"), [("nobody", []), ("bad", []), ("huge", []), ("short", []), ("web:none", []), ("web", ["none"]), ("web:bad", [])])
def test_users_that_are_not_there(root, asked, more):
    with pytest.raises(BulkheadError):
        process.find_user(asked, more, root)


@pytest.fixture
def linked(tmp_path):
    """(Root, its directory): with links out of it, to nothing, to each other and in a circle."""
    inside, outside = tmp_path / "root", tmp_path / "outside"
    for directory in (inside, outside, inside / "run", inside / "var"):
        directory.mkdir()
    links = {
        "absolute": str(outside / "missing"),
        "relative": "../" * 20 + str(outside).lstrip("/") + "/missing",
        "dangling": "nowhere",
        "var/lock": "/run/lock",
        "var/next": "../dangling/next",
        "circle": "spiral",
        "spiral": "circle",
    }
    for name, target in links.items():
        (inside / name).symlink_to(target)
    (inside / "file").touch()
    root = Root(os.open(inside, os.O_PATH | os.O_DIRECTORY))
    yield root, inside
    root.close()
    assert not list(outside.iterdir())


def _placed(root, path, directory):
    place = root.place(path, directory)
    try:
        return os.readlink("/proc/self/fd/%d" % place)
    finally:
        os.close(place)


@pytest.mark.parametrize(
    ("path", "directory", "reached"),
    [
        ("/a/b", True, "a/b"),
        ("/a/c", False, "a/c"),
        ("/file", False, "file"),
        ("/a/../../../x", True, "x"),
        ("/dangling", True, "nowhere"),
        ("/dangling", False, "nowhere"),
        ("/dangling/x", True, "nowhere/x"),
        ("/var/lock", True, "run/lock"),
        ("/var/lock/app/file", False, "run/lock/app/file"),
        ("/var/next/x", True, "nowhere/next/x"),
    ],
)
def test_places(linked, path, directory, reached):
    root, inside = linked
    assert _placed(root, path, directory) == str(inside / reached)
    assert (inside / reached).is_dir() is directory


@pytest.mark.parametrize("name", ["absolute", "relative"])
def test_links_out_of_the_root_lead_to_places_inside(linked, name):
    root, inside = linked
    assert _placed(root, "/%s/x" % name, True).startswith(str(inside) + "/")
    with pytest.raises(BulkheadError):
        os.close(root.open_real(name))


@pytest.mark.parametrize(("path", "directory"), [("/file", True), ("/file/x", True), ("/run", False), ("/circle", True), ("/circle/x", False)])
def test_places_that_cannot_be(linked, path, directory):
    with pytest.raises(OSError):
        os.close(linked[0].place(path, directory))


def test_records(tmp_path):
    assert state.read(str(tmp_path)) is None
    state.write(str(tmp_path), {"status": "running", "pid": 1, "config": {}})
    assert state.read(str(tmp_path)) == {"status": "running", "pid": 1, "config": {}}
    (tmp_path / state.FILE).write_text('{"status": "runn', encoding="utf-8")
    assert state.read(str(tmp_path))["damaged"]


def test_processes_by_start_time():
    me = state.identity(os.getpid())
    assert state.is_alive(me)
    assert not state.is_alive({**me, "start": me["start"] + 1})
    assert not state.is_alive(None)
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    assert state.start_time(pid) == 0, "what waits to be reaped is not alive"
    os.waitpid(pid, 0)


def test_locks_exclude(tmp_path):
    node = paths.Paths(str(tmp_path))
    os.makedirs(node.locks)
    count = [0, 0]

    def work():
        for _turn in range(50):
            with locks.Locks(node, ["b", "a"]):
                count[0] += 1
                seen = count[0]
                os.stat(node.locks)
                count[1] += seen != count[0]

    threads = [threading.Thread(target=work) for _turn in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert count == [150, 0]
    assert not os.listdir(node.locks)


def test_base_holds_what_everybody_may_read(tmp_path, monkeypatch):
    node = paths.Paths(str(tmp_path))
    os.makedirs(node.bases)
    first = base.fingerprint()
    assert base.fingerprint() == first
    monkeypatch.setattr(base, "_copy_file", lambda name, directory, copy: open(copy, "w", encoding="utf-8").close())
    monkeypatch.setattr(os, "chown", lambda *arguments, **options: None)
    made = base.make(node, first)
    assert sorted(os.listdir(node.bases)) == [first]
    for path in ("etc/shadow", "etc/gshadow", "etc/ssl/private", "etc/hostname"):
        assert not os.path.lexists(made + "/" + path)
    assert os.path.lexists(made + "/etc/passwd")
    assert os.stat(made + "/root").st_mode & 0o777 == 0o700
    assert os.stat(made + "/tmp").st_mode & 0o7777 == 0o1777
    os.makedirs(node.state("web"))
    state.write(node.state("web"), {"status": "running", "base": first, "config": {}})
    os.mkdir(node.bases + "/" + base._UNFINISHED + "0")  # of a run that is gone
    os.mkdir(node.bases + "/" + base._UNFINISHED + str(os.getpid()))
    base.collect(node)
    assert sorted(os.listdir(node.bases)) == [base._UNFINISHED + str(os.getpid()), first]
    os.unlink(node.state("web") + "/state.json")
    base.collect(node)
    assert sorted(os.listdir(node.bases)) == [base._UNFINISHED + str(os.getpid()), first], "it serves the next container"
    os.mkdir(node.bases + "/later")
    base.collect(node)
    assert sorted(os.listdir(node.bases)) == [base._UNFINISHED + str(os.getpid()), "later"]
    assert base.unused(node, {"to be made"}) == ["later"]


def test_base_holds_no_units_of_the_machine(tmp_path):
    """They say what else runs here, and a copy would be another one after each container that systemd supervises."""
    (tmp_path / "systemd/system/multi-user.target.wants").mkdir(parents=True)
    (tmp_path / "systemd/system/web.service").write_text("[Service]")
    (tmp_path / "systemd/journald.conf").write_text("[Journal]")
    source = os.open(tmp_path, os.O_RDONLY)
    try:
        assert [path for path, _status, _at in base._readable(source)] == ["systemd", "systemd/journald.conf"]
    finally:
        os.close(source)


def test_a_resource_limit_that_is_refused_is_named():
    """No process may have 2^40 files open, whoever starts it; the resource module has another word for that."""
    with pytest.raises(BulkheadError) as refused:
        process.set_limits({"nofile": [1 << 40, 1 << 40]})
    assert "nofile" in str(refused.value) and "EPERM" in str(refused.value) and str(1 << 40) in str(refused.value)
    assert refused.value.hint
