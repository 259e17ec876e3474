# SPDX-FileCopyrightText: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Containers in classes of cache and memory bandwidth: joined before the command runs, changed while it runs, removed last."""

from __future__ import annotations

import os
import signal
import time
from typing import Any

import converging
import pytest
from ansible_collections.bulkhead.linux.plugins.module_utils._runtime.cgroup.host import Host
from ansible_collections.bulkhead.linux.plugins.module_utils._runtime.container import classes, commands
from ansible_collections.bulkhead.linux.plugins.module_utils._runtime.container.paths import Paths
from ansible_collections.bulkhead.linux.plugins.module_utils._runtime.container.subject import Containers
from ansible_collections.bulkhead.linux.plugins.module_utils._runtime.errors import BulkheadError
from ansible_collections.bulkhead.linux.plugins.module_utils._runtime.resctrl import schemata
from resctrl_node import IS_INTEL, ROOT, groups, mount, unmount

SLEEP = {"name": "bh-rdt", "command": ["sleep", "1000"], "stop_timeout": 0}
DOMAINS = "01" if IS_INTEL else "0123"


def run(*items: dict[str, Any], check: bool = False) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """(writes, reports); the plan afterwards must be empty."""
    planned, reports = converging.converge(Containers(), items, check)
    return planned.writes(), reports


def tasks(path: str) -> list[str]:
    return (ROOT / path / "tasks").read_text().split()


@pytest.fixture(autouse=True)
def clean():
    mount()
    yield
    run({"name": "bh-rdt", "state": "absent"}, {"name": "bh-other", "state": "absent"})
    for name in groups():
        (ROOT / name).rmdir()
    unmount()


def test_a_class_of_its_own() -> None:
    item = {**SLEEP, "rdt": {"l3": "30%", "mb": ["25%", "16GBps"], "monitor": True}}
    predicted, _reports = run(item, check=True)
    assert "%s/bh-rdt/" % ROOT in [write["target"] for write in predicted]
    _writes, (report,) = run(item)
    assert tasks("bh-rdt") == tasks("bh-rdt/mon_groups/bh-rdt") == [str(report["pid"])]
    assert report["rdt"]["effective"]["mb"] == dict.fromkeys(DOMAINS, 30 if IS_INTEL else 128)
    assert report["rdt"]["rounded"] == (["l3", "mb"] if IS_INTEL else ["l3"])
    # What is started in it later is there too.
    answer = commands.run({"name": "bh-rdt", "command": ["cat", "/proc/self/cpu_resctrl_groups"]}, Paths(), Host.observe())
    assert answer["stdout"] == "res:bh-rdt\nmon:bh-rdt\n"
    # In place: the same process goes on.
    writes, (changed,) = run({**SLEEP, "rdt": {"l3": "50%", "mb": ["50%", "32GBps"], "monitor": True}})
    assert changed["pid"] == report["pid"]
    lines = [";".join("%s=%s" % (domain, value) for domain in DOMAINS) for value in ("1f", "50" if IS_INTEL else "256")]
    assert "L3:%s\nMB:%s" % tuple(lines) in [write["after"] for write in writes]
    writes, _reports = run({"name": "bh-rdt", "state": "absent"})
    targets = [write["target"] for write in writes]
    assert targets.index("%s/bh-rdt/" % ROOT) > targets.index("/run/bulkhead/containers/bh-rdt")
    assert not (ROOT / "bh-rdt").exists()


def test_a_class_that_several_share_and_that_stays() -> None:
    with pytest.raises(BulkheadError, match="there is no class gold"):
        run({**SLEEP, "rdt": {"class": "gold"}})
    shares = {"class": "gold", "l3": 3, "mode": "exclusive"}
    _writes, reports = run({**SLEEP, "rdt": shares}, {**SLEEP, "name": "bh-other", "rdt": {"class": "gold"}})
    assert sorted(tasks("gold")) == sorted(str(report["pid"]) for report in reports)
    # Who was moved elsewhere by hand is brought back.
    (ROOT / "tasks").write_text(str(reports[0]["pid"]))
    writes, _reports = run({**SLEEP, "rdt": shares}, {**SLEEP, "name": "bh-other", "rdt": {"class": "gold"}})
    assert [write["target"] for write in writes] == ["%s/gold/tasks" % ROOT]
    run({"name": "bh-rdt", "state": "absent"}, {"name": "bh-other", "state": "absent"})
    assert (ROOT / "gold").exists()


def test_another_class_makes_the_container_anew_and_takes_the_old_one_away() -> None:
    run({**SLEEP, "rdt": {"l3": 2}})
    run({**SLEEP, "rdt": {"class": "gold", "l3": 2}})
    assert not (ROOT / "bh-rdt").exists()
    run(SLEEP)
    assert (ROOT / "gold").exists()
    assert tasks("gold") == []


def test_what_is_counted_for_a_container_alone_goes_with_it_however_it_ended() -> None:
    names = ["bh-rdt", "bh-other", "bh-ended"]
    shared = {"class": "gold", "l3": 3, "monitor": True}
    _writes, reports = run(*({**SLEEP, "name": name, "command": ["sleep", "1" if name == "bh-ended" else "1000"], "rdt": shared} for name in names))
    counted = ROOT / "gold/mon_groups"
    assert sorted(path.name for path in counted.iterdir()) == sorted(names)
    os.kill(reports[1]["pid"], signal.SIGKILL)
    deadline = time.monotonic() + 30
    while any(os.path.exists("/proc/%d" % report["pid"]) for report in reports[1:]) and time.monotonic() < deadline:
        time.sleep(0.1)
    # Another that is not counted takes the place of the first; what is stopped is counted again when it is started.
    run({**SLEEP, "rdt": {"class": "gold"}})
    assert sorted(path.name for path in counted.iterdir()) == ["bh-ended", "bh-other"]
    run(*({"name": name, "state": "absent"} for name in names))
    assert list(counted.iterdir()) == []
    assert (ROOT / "gold").exists()


def test_a_class_that_cannot_be_had_leaves_nothing_behind() -> None:
    with pytest.raises(BulkheadError, match="less than one way"):
        run({**SLEEP, "rdt": {"l3": "2%"}})
    assert not (ROOT / "bh-rdt").exists()
    with pytest.raises(BulkheadError):
        run({"name": "bh-rdt", "command": ["/no/such/program"], "rdt": {"l3": 2}})
    assert not (ROOT / "bh-rdt").exists()


def test_the_words_of_the_oci_specification() -> None:
    options = classes.from_oci({"closID": "gold", "l3CacheSchema": "L3:0=7f;1=7f", "memBwSchema": "MB:0=20;1=70", "enableMonitoring": True})
    _writes, (report,) = run({**SLEEP, "rdt": options})
    held = schemata.flat(schemata.parse((ROOT / "gold/schemata").read_text()))
    assert {cell: value for cell, value in held.items() if cell[1] < 2 and cell[0] in ("L3", "MB")} == {
        ("L3", 0): 127,
        ("L3", 1): 127,
        ("MB", 0): 20,
        ("MB", 1): 70,
    }
    assert tasks("gold/mon_groups/bh-rdt") == [str(report["pid"])]
