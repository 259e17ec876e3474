# SPDX-FileCopyrightText: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Containers as units of systemd: what is written for systemd to read. What it does with it, the lab shows."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.bulkhead.linux.plugins.module_utils._runtime.container import config, groups, journal, mountpoints, steps, unitfiles, units
from ansible_collections.bulkhead.linux.plugins.module_utils._runtime.container.paths import Paths
from ansible_collections.bulkhead.linux.plugins.module_utils._runtime.errors import BulkheadError, InvalidInput
from ansible_collections.bulkhead.linux.plugins.module_utils._runtime.kernel import systemd


def asked(**options: Any) -> dict[str, Any]:
    return config.parse({"name": "web", "command": ["true"], **options}, "/var/log/bulkhead", systemd_runs=True)


def lines(settings: dict[str, Any], resources: dict[str, Any] | None = None) -> dict[str, str]:
    text = unitfiles.unit_text(settings, resources or {}, "/var/lib/bulkhead/units/web.json", Paths(""))
    return dict(line.split("=", 1) for line in text.splitlines() if "=" in line)


def test_who_supervises() -> None:
    assert asked()["supervisor"] == "systemd" and asked()["log"]["path"] == "journal"
    assert "supervisor" not in asked(supervisor="builtin") and asked(supervisor="builtin")["log"]["path"] == "/var/log/bulkhead/web.log"
    assert asked(log={"path": "/var/log/web"})["log"]["path"] == "/var/log/web" and asked(log={"path": "none"})["log"]["path"] == ""
    assert "supervisor" not in config.parse({"name": "web", "command": ["true"]}, "/var/log/bulkhead")
    with pytest.raises(InvalidInput, match="systemd does not run this machine"):
        config.parse({"name": "web", "command": ["true"], "supervisor": "systemd"}, "/var/log/bulkhead")


@pytest.mark.parametrize(
    ("policy", "restart", "interval", "burst"),
    [
        ("no", "no", "0", None),
        ("always", "always", "0", None),
        ("unless-stopped", "always", "0", None),
        ("on-failure", "on-failure", "0", None),
        ("on-failure:3", "on-failure", "infinity", "4"),
    ],
)
def test_the_restart_policy_is_systemds(policy: str, restart: str, interval: str, burst: str | None) -> None:
    found = lines(asked(restart_policy=policy))
    assert (found["Restart"], found["StartLimitIntervalSec"], found.get("StartLimitBurst")) == (restart, interval, burst)


def test_what_the_unit_says() -> None:
    found = lines(asked(stop_timeout=30, network={"mode": "host"}))
    assert found["TimeoutStopSec"] == "45" and found["After"] == "network.target" and found["SyslogIdentifier"] == "web"
    assert found["Delegate"] == "yes" and found["Type"] == "notify" and found["KillMode"] == "mixed" and found["Slice"] == "bulkhead.slice"
    assert found["ExecStart"].endswith(" -I -S /usr/local/libexec/bulkhead.pyz run-unit /var/lib/bulkhead/units/web.json")
    assert found["OOMPolicy"] == "continue" and lines(asked(), {"memory": {"oom_group": True}})["OOMPolicy"] == "stop"


@pytest.mark.parametrize(
    ("parent", "group"),
    [
        ("bulkhead", "bulkhead.slice/bulkhead-web.service/container"),
        ("batch/night", "batch.slice/batch-night.slice/bulkhead-web.service/container"),
        ("system.slice", "system.slice/bulkhead-web.service/container"),
    ],
)
def test_where_its_group_is(parent: str, group: str) -> None:
    assert groups.name_of(asked(cgroup_parent=parent)) == group


def test_a_unit_is_in_a_slice_only() -> None:
    with pytest.raises(InvalidInput, match=r"nginx.service is no slice"):
        groups.name_of(asked(cgroup_parent="nginx.service"))


@pytest.mark.parametrize(("result", "killed_by", "kills"), [("oom-kill", "memory", 1), ("signal", "", 0)])
def test_how_it_ended_where_its_supervisor_was_killed_with_it(
    result: str, killed_by: str, kills: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(units, "show", lambda names: {name: {"Result": result} for name in names})
    record: dict[str, Any] = {"status": "running", "pid": 7, "oom_kills": 0}
    units.complete("web", record, Paths(str(tmp_path)))
    assert record == {"status": "stopped", "pid": 0, "exit": {"code": 137, "signal": 9, "killed_by": killed_by}, "oom_kills": kills}
    written = {"status": "stopped", "pid": 0, "exit": {"code": 3, "signal": 0, "killed_by": ""}}
    units.complete("web", known := dict(written), Paths(str(tmp_path)))
    assert known == written


class System:
    """Directories of units below a temporary one, and what systemd was asked for."""

    def __init__(self, top: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.etc, self.run, self.lib = (top / name for name in ("etc", "run", "lib"))
        for directory in (self.etc, self.run, self.lib):
            directory.mkdir()
        self.paths = Paths(str(top / "prefix"))
        self.calls: list[tuple[str, Any]] = []
        self.shown: dict[str, str] = {"ActiveState": "inactive"}
        self.points = {"/"}
        monkeypatch.setattr(unitfiles, "PERSISTENT", str(self.etc))
        monkeypatch.setattr(unitfiles, "RUNTIME", str(self.run))
        monkeypatch.setattr(unitfiles, "_LOAD_PATH", (str(self.etc), str(self.run), str(self.lib)))
        monkeypatch.setattr(units, "show", lambda names: dict.fromkeys(names, self.shown))
        monkeypatch.setattr(mountpoints, "current", lambda: self.points)
        for name in ("start", "forget_failures"):
            monkeypatch.setattr(systemd, name, lambda asked, name=name: self.calls.append((name, asked)))
        monkeypatch.setattr(systemd, "stop", self.stop)
        self.refused = ""

    def stop(self, asked: list[str], wait: bool = True, patience: float = 0) -> None:
        self.calls.append(("stop" if wait else "begin to stop", asked))
        if self.refused in asked:
            self.refused = ""
            raise BulkheadError("it could not be stopped")


@pytest.fixture
def system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> System:
    return System(tmp_path, monkeypatch)


def keep(system: System, settings: dict[str, Any]) -> list[str]:
    """Do what keeps the unit of a container; the targets of the steps."""
    steps = unitfiles.files(settings, {}, True, True, system.paths)
    for step in steps:
        if not isinstance(step, unitfiles.UnitFile):
            step.do()
        else:
            Path(step.target).write_text(str(step.after))
    return [step.target for step in steps]


@pytest.mark.parametrize("where", ["etc", "run", "lib"])
def test_a_unit_that_is_not_ours_is_refused(where: str, system: System) -> None:
    """It is neither overwritten nor hidden by ours, nor disabled or removed with a container of that name."""
    theirs = getattr(system, where) / "bulkhead-web.service"
    theirs.write_text("[Service]\nExecStart=/bin/true\n")
    wants = system.etc / "multi-user.target.wants/bulkhead-web.service"
    wants.parent.mkdir()
    wants.symlink_to(theirs)
    with pytest.raises(InvalidInput, match="was not made by this collection") as caught:
        unitfiles.files(asked(), {}, True, True, system.paths)
    assert caught.value.target == str(theirs)
    assert units.removal("web", system.paths) == []


def test_a_masked_unit_is_refused(system: System) -> None:
    (system.etc / "bulkhead-web.service").symlink_to("/dev/null")
    with pytest.raises(InvalidInput, match="it is masked"):
        unitfiles.files(asked(), {}, True, True, system.paths)


def test_no_unit_of_the_role_can_be_a_containers() -> None:
    files = Path(__file__).parents[6] / "roles/node/files"
    names = [path.name for path in files.iterdir() if path.suffix in (".service", ".path")]
    assert len(names) == 4
    for name in names:
        stem = name.rpartition(".")[0]
        assert not stem.startswith("bulkhead-"), "a container could be called %s" % stem[len("bulkhead-") :]


def test_a_failure_is_forgotten_with_the_container(system: System) -> None:
    keep(system, asked())
    assert [type(step).__name__ for step in units.removal("web", system.paths)].count("ForgetFailure") == 0
    system.shown = {"ActiveState": "failed"}
    forget = units.removal("web", system.paths)[0]
    forget.do()
    assert system.calls == [("forget_failures", ["bulkhead-web.service"])]


def test_late_mounts(system: System, tmp_path: Path) -> None:
    """What was a mount point must be one at every start; its arrival starts the container."""
    data = tmp_path / "my-data"
    (data / "sub").mkdir(parents=True)
    settings = asked(volumes=["%s/sub:/data" % data, "%s:/etc2" % system.etc], log={"path": "%s/x.log" % system.lib})
    system.points = {"/", str(data)}
    targets = keep(system, settings)
    link = "%s/%s.mount.wants/bulkhead-web.service" % (system.etc, str(data).strip("/").replace("-", "\\x2d").replace("/", "-"))
    assert link in targets and os.path.islink(link)
    text = (system.etc / "bulkhead-web.service").read_text()
    assert 'RequiresMountsFor="%s" "%s/sub" "%s" "%s"' % (system.paths.lib, data, system.etc, system.lib) in text
    assert keep(system, settings) == []
    # It is gone: the unit stays as it is, a start is refused, and whoever asks is told what it waits for.
    system.points = {"/"}
    assert keep(system, settings) == []
    with pytest.raises(BulkheadError, match=r"container web: \S*/my-data is not mounted, and was when the container was asked for"):
        mountpoints.check(settings, system.paths)
    assert units.awaited("web", system.paths) == "it waits until %s is mounted" % data
    record: dict[str, Any] = {"status": "stopped"}
    units.complete("web", record, system.paths)
    assert "my-data is not mounted" in record["error"]["problem"]
    # Stopped, no mount starts it.
    for step in unitfiles.not_at_boot("web"):
        step.do()
    assert not os.path.lexists(link) and units.awaited("web", system.paths) == ""
    for step in mountpoints.forget("web", system.paths):
        step.do()
    mountpoints.check(settings, system.paths)
    assert mountpoints.kept("web", system.paths) == {}


@pytest.mark.parametrize(
    ("shown", "told"),
    [
        ({"ActiveState": "activating", "SubState": "start", "Job": "7"}, "systemd is starting it"),
        ({"ActiveState": "inactive", "SubState": "dead", "Job": "7"}, "systemd is starting it"),
        ({"ActiveState": "activating", "SubState": "auto-restart", "Job": "0"}, ""),
        ({"ActiveState": "inactive", "SubState": "dead", "Job": "0"}, ""),
        ({"ActiveState": "failed", "SubState": "failed", "Job": ""}, ""),
    ],
)
def test_what_systemd_is_starting_is_left_to_it(shown: dict[str, str], told: str, system: System) -> None:
    assert units.awaited("web", system.paths) == ""
    keep(system, asked())
    system.shown = shown
    assert units.awaited("web", system.paths) == told


class Call:
    """Of steps.Call, what a stop needs."""

    def __init__(self, paths: Paths) -> None:
        self.paths = paths
        self.stops: list[Any] = []
        self.restarted: list[str] = []

    restart_asked = steps.Call.restart_asked


def stops(system: System, *names: str) -> list[units.StopUnit]:
    call: Any = Call(system.paths)
    for name in names:
        (Path(system.paths.state(name))).mkdir(parents=True)
        Path(system.paths.state(name), "state.json").write_text(json.dumps({"status": "running", "pid": 7}))
    return [units.StopUnit(call, {"id": name, "config": {"stop_timeout": 5}}, "running") for name in names]


def test_all_stops_are_one_call(system: System) -> None:
    them = stops(system, "a", "b", "c")
    for stop in them:
        stop.do()
    everyone = ["bulkhead-%s.service" % name for name in "abc"]
    assert system.calls == [("stop", everyone), ("forget_failures", everyone)]
    for name in "abc":
        assert json.loads(Path(system.paths.state(name), "state.json").read_text())["status"] == "stopped"


def test_stops_that_fail_start_again_what_was_stopped(system: System) -> None:
    them = stops(system, "a", "b")
    system.refused = "bulkhead-b.service"
    with pytest.raises(BulkheadError, match="could not be stopped"):
        them[0].do()
    assert [asked for verb, asked in system.calls if verb == "start"] == [["bulkhead-a.service"], ["bulkhead-b.service"]]


def flood(monkeypatch: pytest.MonkeyPatch, *writes: tuple[float, bytes]) -> tuple[list[str], journal.Journal]:
    """What arrives of these writes, each at its second."""
    clock = [0.0]
    monkeypatch.setattr(journal.time, "monotonic", lambda: 1000.0 + clock[0])
    told: list[int] = []
    arrived: list[bytes] = []
    sink = journal.Journal(lambda: told.append(sink.lost))
    monkeypatch.setattr(sink, "_put", arrived.append)
    for second, data in writes:
        clock[0] = second
        sink.write(data)
    sink.close()
    assert told[-1:] == ([sink.lost] if sink.lost else [])
    return b"".join(arrived).decode().splitlines(), sink


def test_what_floods_the_journal_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    lines, sink = flood(monkeypatch, (0, b"first\n"), (1, b"y\n" * 32768), (2, b"y\n" * 10), (31, b"later\n"))
    assert lines.count("y") == 9999 and lines[0] == "first" and lines[-1] == "later"
    assert lines[10000].startswith("bulkhead: more than 10000 lines or 16777216 bytes of output in 30 seconds")
    assert lines[10001] == "bulkhead: %d bytes of output in %d lines were not logged" % (sink.lost, sink.lost // 2)
    assert sink.lost == 2 * (32768 + 10 - 9999)


def test_long_lines_count_as_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    lines, sink = flood(monkeypatch, *[(0.0, b"x" * 65535 + b"\n")] * 300)
    kept = sum(len(line) + 1 for line in lines if line.startswith("x"))
    assert kept <= 16 << 20 and kept + sink.lost == 300 * 65536 and "were not logged" in lines[-1]


def test_output_below_the_rate_is_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    lines, sink = flood(monkeypatch, *((float(second * 31), b"z\n" * 9000) for second in range(4)))
    assert lines == ["z"] * 36000 and sink.lost == 0
