# SPDX-FileCopyrightText: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is kept of a container for the next boot, and which ended containers a replay leaves alone."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.bulkhead.linux.plugins.module_utils._runtime.container import lifecycle, paths, state
from ansible_collections.bulkhead.linux.plugins.module_utils._runtime.container.subject import Containers

WEB = {"name": "web", "state": "started", "command": ["sleep", "1"], "rootfs": "host", "resources": {"pids": {"max": 5}}, "env": None, "wait": False}
KEPT = {"state": "started", "command": ["sleep", "1"], "rootfs": "host", "resources": {"pids": {"max": 5}}}
# What a call by name alone brings: the defaults of everything else.
ALONE = {"name": "web", "state": "stopped", "command": None, "rootfs": "host", "cwd": "/", "wait": False}


def kept(held, options, persist=None):
    subject = Containers.__new__(Containers)  # the machine is not looked at for this
    return subject.kept(held, {name: value for name, value in options.items() if name != "name"}, persist)


def test_a_container_is_kept_as_a_whole():
    assert kept({}, WEB) == KEPT
    held = {"state": "started", "command": ["other"], "resources": {"memory": {"max": "1G"}}, "readonly": True}
    assert kept(held, WEB) == KEPT, "what is not asked for any more does not come back"


def test_by_name_alone_only_its_state_changes():
    held = {**KEPT, "rootfs": "/srv/web", "cwd": "/srv"}
    assert kept(held, ALONE) == {**held, "state": "stopped"}
    assert kept(held, {**ALONE, "state": "paused"}) == {**held, "state": "paused"}
    assert kept({}, ALONE) is None, "of what was not kept, a name is not enough to make it again"


def test_a_job_is_kept_only_when_it_is_said():
    job = {**WEB, "wait": True}
    assert kept({}, job) is None
    assert kept(KEPT, job) is None, "what was a service and is a job now does not come back"
    assert kept({}, job, persist=True) == KEPT


@pytest.mark.parametrize(
    ("policy", "stopping", "alone"),
    [("no", False, True), ("on-failure", False, True), ("always", False, False), ("unless-stopped", False, False), ("no", True, False)],
)
def test_what_ended_by_itself_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, policy: str, stopping: bool, alone: bool) -> None:
    life = lifecycle.Lifecycle.__new__(lifecycle.Lifecycle)
    life.paths, life.host = paths.Paths(str(tmp_path)), None
    directory = Path(life.paths.state("web"))
    directory.mkdir(parents=True)
    if stopping:
        (directory / state.STOPPING).touch()
    settings = {"restart_policy": {"name": policy, "max": 0}}
    seen = lifecycle.Seen("web")
    seen.phase, seen.record = "stopped", {"config": settings, "exit": {"code": 3}}
    monkeypatch.setattr(lifecycle, "look", lambda *_arguments: seen)
    container = lifecycle.Container("web", "started", settings, {}, False)
    assert bool(life.left_alone(container)) is alone
    seen.phase = "broken"
    assert life.left_alone(container) == "", "what died with its monitor did not end by itself"
    seen.phase, seen.record = "absent", None
    assert life.left_alone(container) == "", "after a boot"
    seen.phase, seen.record = "stopped", {"config": {**settings, "command": ["other"]}, "exit": {"code": 3}}
    container.config = {**settings, "command": ["new"]}
    assert life.left_alone(container) == "", "what is to be another is made anew"
