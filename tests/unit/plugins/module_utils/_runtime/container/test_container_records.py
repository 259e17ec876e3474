# SPDX-FileCopyrightText: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Records: whole or not there, and what is read of those that are neither."""

from __future__ import annotations

import errno
import os

import pytest
from ansible_collections.bulkhead.linux.plugins.module_utils._runtime.cgroup.host import Host
from ansible_collections.bulkhead.linux.plugins.module_utils._runtime.container import lifecycle, live, monitor, nesting, state
from ansible_collections.bulkhead.linux.plugins.module_utils._runtime.container.paths import Paths
from ansible_collections.bulkhead.linux.plugins.module_utils._runtime.errors import InvalidInput

RECORD = {"id": "web", "status": "stopped", "pid": 0, "created": "today", "config": {}, "cgroup": "bulkhead/web"}


@pytest.fixture
def paths(tmp_path):
    paths = Paths(str(tmp_path))
    os.makedirs(paths.state("web"))
    return paths


def put(paths, name, text):
    with open("%s/%s" % (paths.state("web"), name), "w", encoding="utf-8") as file:
        file.write(text)


def test_sound_record(paths):
    state.write(paths.state("web"), RECORD)
    assert state.read(paths.state("web")) == RECORD


@pytest.mark.parametrize(
    "change", [{"status": "odd"}, {"pid": "7"}, {"config": []}, {"cgroup": None}, {"monitor": 3}, {"monitor": {"pid": 1}}, {"created": 1}, {"id": None}]
)
def test_unsound_record(paths, change):
    state.write(paths.state("web"), {**RECORD, **change})
    assert state.read(paths.state("web"))["damaged"] is True


@pytest.mark.parametrize(
    ("noted", "group"),
    [
        ("bulkhead/web", "bulkhead/web"),
        ("bulkhead.slice/bulkhead-web.service/container", "bulkhead.slice/bulkhead-web.service/container"),
        ("bulkhead/other", ""),
        ("bulkhead.slice/bulkhead-other.service/container", ""),
        ("bulkhead/../web", ""),
        ("/web", ""),
        ("web", ""),
        ("", ""),
    ],
)
def test_group_of_a_damaged_record(paths, noted, group):
    """Only a group that can be the container's own is believed: it is going to be emptied and removed."""
    put(paths, state.FILE, "{")
    put(paths, state.GROUP, noted)
    assert state.read(paths.state("web"))["cgroup"] == group


def test_write_that_fails_leaves_the_old_record(paths, monkeypatch):
    state.write(paths.state("web"), RECORD)

    def refuse(_fd, _data):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "write", refuse)
    with pytest.raises(OSError, match="No space"):
        state.write(paths.state("web"), {**RECORD, "status": "running"})
    monkeypatch.undo()
    assert state.read(paths.state("web")) == RECORD
    assert os.listdir(paths.state("web")) == [state.FILE]


def test_supervisor_writes_again_when_there_is_room(paths, monkeypatch):
    state.write(paths.state("web"), RECORD)
    log = {"path": "", "max_size": 1, "max_files": 1}
    watched = monitor.Watched({"config": {"name": "web", "log": log}, "record": {**RECORD, "exit": {"code": 5}}, "state": paths.state("web")})
    with monkeypatch.context() as full:
        full.setattr(state, "write", lambda *_: (one for one in ()).throw(OSError(errno.ENOSPC, "full")))
        watched.write()
    assert watched.unwritten and "exit" not in state.read(paths.state("web"))
    watched.write()
    assert not watched.unwritten and state.read(paths.state("web"))["exit"] == {"code": 5}


def test_container_that_a_living_run_makes_is_being_created(paths):
    state.write(paths.state("web"), {**RECORD, "status": "creating", "creator": state.identity(os.getpid())})
    found = lifecycle.describe(lifecycle.look("web", paths, Host([], 4096)))
    assert found["status"] == "creating" and "broken" not in found


def test_container_whose_maker_is_dead_is_broken(paths):
    state.write(paths.state("web"), {**RECORD, "status": "creating", "creator": {"pid": os.getpid(), "start": 1}})
    assert lifecycle.describe(lifecycle.look("web", paths, Host([], 4096)))["broken"] is True


def test_restarting_is_said_only_of_what_is_started_again(paths):
    """Not of one that has ended for good while its supervisor takes its last breath, whatever its policy."""
    supervised = {**RECORD, "monitor": state.identity(os.getpid()), "config": {"restart_policy": {"name": "always", "max": 0}, "log": {"path": ""}}}
    for restarting, status in ((True, "restarting"), (False, "stopped")):
        state.write(paths.state("web"), {**supervised, "restarting": restarting})
        assert lifecycle.describe(lifecycle.look("web", paths, Host([], 4096)))["status"] == status


@pytest.mark.parametrize("text", ["", "\0\1\2", "stop_timeout", "stop_timeout x", "log.max_size 1e3", "nonsense 3", "log 3", "[]"])
def test_damaged_changes_change_nothing(text):
    config = {"stop_timeout": 10, "log": {"max_size": 4096}, "restart_policy": {"name": "no", "max": 0}}
    assert live.over(config, text)["stop_timeout"] == 10


@pytest.mark.parametrize(
    ("wanted", "ending", "who"),
    [
        ({"other": "bulkhead/web/other"}, set(), "other"),
        ({"payload": "bulkhead/web/payload"}, set(), "payload"),
        ({"other": "bulkhead/web/payload/deep/other"}, set(), "other"),
        ({"bulkhead": "bulkhead"}, set(), "bulkhead"),
        ({"a": "x/a", "b": "x/a/b"}, set(), "a"),
        ({"other": "bulkhead/web/other"}, {"web"}, ""),
        ({"other": "bulkhead/webs/other"}, set(), ""),
        ({"web.old": "bulkhead/web.old", "web": "bulkhead/web"}, set(), ""),
        ({"web": "elsewhere/web", "other": "bulkhead/web/other"}, set(), ""),
    ],
)
def test_groups_within_groups(paths, wanted, ending, who):
    put(paths, state.GROUP, "bulkhead/web")
    if not who:
        nesting.check(wanted, ending, paths)
        return
    with pytest.raises(InvalidInput, match="container %s" % who):
        nesting.check(wanted, ending, paths)


@pytest.mark.parametrize("status", ["running", "creating"])
def test_record_that_is_written_while_it_is_looked_at(paths, monkeypatch, status):
    """What ends writes how it ended before it is gone; a look that read the record before that is not taken for the end."""
    mine = state.identity(os.getpid())
    state.write(paths.state("web"), {**RECORD, "status": status, **mine, "monitor": mine, "creator": mine})
    ended = {"code": 137, "signal": 9, "killed_by": "memory"}

    def gone(_identity):
        state.write(paths.state("web"), {**RECORD, "exit": ended})
        return False

    monkeypatch.setattr(state, "is_alive", gone)
    seen = lifecycle.look("web", paths, Host.observe())
    assert seen.phase == "stopped" and seen.record["exit"] == ended and "error" not in seen.record
