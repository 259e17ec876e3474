# SPDX-FileCopyrightText: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Classes of cache and bandwidth on a real resctrl, mounted in each way that the node can be mounted.

Every call goes as a module's does: plan, apply, plan again. What is asserted is what the kernel's files say.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import importlib.util
import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.bulkhead.linux.plugins.module_utils._runtime import desired, replay, views
from ansible_collections.bulkhead.linux.plugins.module_utils._runtime import plan as plans
from ansible_collections.bulkhead.linux.plugins.module_utils._runtime.errors import BulkheadError
from ansible_collections.bulkhead.linux.plugins.module_utils._runtime.resctrl import facts, info, mounting, schemata
from ansible_collections.bulkhead.linux.plugins.module_utils._runtime.resctrl import subject as subjects
from resctrl_node import IS_INTEL, ROOT, groups, is_mounted, mount, unmount

SOURCES = Path(__file__).resolve().parents[3]
MOUNTS = ["", "cdp", "mba_MBps"] if IS_INTEL else ["", "cdp"]
ONLY_INTEL = pytest.mark.skipif(not IS_INTEL, reason="shown on the Intel node")
CPU_WITH_DOMAIN = ((2, 3), 1) if IS_INTEL else ((3,), 3)


def read(name: str, file: str = "schemata") -> str:
    return (ROOT / name / file).read_text()


def cells(name: str) -> dict[tuple[str, int], int]:
    return schemata.flat(schemata.parse(read(name)))


def everything() -> dict[str, str]:
    files = ("schemata", "mode", "cpus_list")
    found = {"%s/%s" % (name, file): read(name, file) for name in ["", *groups()] for file in files}
    found.update(("%s/mon_groups" % name, " ".join(sorted(os.listdir(ROOT / name / "mon_groups")))) for name in ["", *groups()])
    return found


@contextlib.contextmanager
def a_subject():
    subject = subjects.Schemata()
    try:
        yield subject
    finally:
        subject.finish()


def plan(*items: dict[str, Any]) -> plans.Plan:
    """In check mode."""
    with a_subject() as subject:
        return subject.plan([subject.parse(item) for item in items])


def run(*items: dict[str, Any], progress: Any = None) -> list[dict[str, Any]]:
    """Converge; the plan afterwards must be empty. Returns the reports."""
    with a_subject() as subject:
        objects = [subject.parse(item) for item in items]
        first = subject.plan(objects)
        if progress:
            for step in first.steps:
                do = step.do
                step.do = lambda do=do, step=step: (do(), progress(step))
        if first.steps:
            subject.apply(first)
        again = subject.plan(objects)
        assert [step.facts() for step in again.steps] == []
        return subject.report(objects, again)


def refused(*items: dict[str, Any]) -> BulkheadError:
    before = everything()
    with pytest.raises(BulkheadError) as caught:
        run(*items)
    assert everything() == before
    assert caught.value.undo_failures == []
    return caught.value


@pytest.fixture(scope="module", params=MOUNTS, ids=lambda options: options or "plain")
def mounted(request: pytest.FixtureRequest):
    """The file system, mounted in each way."""
    mount(request.param)
    yield request.param
    unmount()


@pytest.fixture
def clean(mounted: str):
    """Nothing but the default group, before and after."""
    start = everything()
    yield mounted
    for name in groups():
        (ROOT / name).rmdir()
    run({"name": "", "state": "absent"})
    Path(facts.path()).unlink(missing_ok=True)
    assert everything() == start


def half(mounted: str) -> Any:
    return "2000MBps" if mounted == "mba_MBps" else "25%" if IS_INTEL else "16GBps"


def sets(mounted: str) -> list[list[dict[str, Any]]]:
    """Some sets of classes that fit the node."""
    if not IS_INTEL:
        more = [
            [{"name": "a", "l3": "50%", "mode": "exclusive", "mb": "16GBps", "smba": 100}, {"name": "b", "mb": {0: 3, "all": "max"}, "l3": "0x5a0"}],
            [{"name": "a", "mb": 1}, {"name": "b", "schemata": ["MB:0=2048;1=7;2=0;3=2", "SMBA:3=9"], "mode": "shareable"}],
            [{"name": "b", "l3": 4, "mode": "exclusive"}, {"name": "a", "l3": 2, "mode": "exclusive"}, {"name": "", "l3": 2}, {"name": "c", "l3": "30%"}],
        ]
        if mounted == "cdp":
            more.append([{"name": "a", "l3code": 2, "l3data": 1, "mode": "exclusive"}, {"name": "b", "schemata": ["L3CODE:0=280"], "mode": "shareable"}])
        return more
    more = [
        [{"name": "a", "l3": "50%", "mb": half(mounted), "mode": "exclusive"}, {"name": "b", "l3": "20%", "mb": "max"}, {"name": "c"}],
        [{"name": "a", "l3": 2, "mode": "exclusive"}, {"name": "b", "l3": {"0": 3, "1": "0x180"}, "mode": "exclusive"}, {"name": "c", "l3": "max"}],
        [{"name": "b", "l3": 5, "mode": "exclusive"}, {"name": "a", "l3": 1, "mode": "exclusive"}, {"name": "", "l3": 2}, {"name": "c", "l3": 2}],
        [{"name": "a", "l3": "max", "mode": "shareable"}, {"name": "c", "l3": "30%", "shareable_bits": "avoid"}, {"name": "b", "state": "absent"}],
    ]
    if mounted == "cdp":
        more.append([{"name": "a", "l3code": 2, "l3data": 3, "mode": "exclusive"}, {"name": "b", "schemata": ["L3CODE:0=180", "L3DATA:0=600;1=600"]}])
    else:
        more.append([{"name": "a", "schemata": ["L3:0=7f;1=7f", "MB:0=%d" % (1500 if mounted else 20)]}])
    return more


def test_check_run_again_check_again(clean: str) -> None:
    for items in sets(clean):
        before = everything()
        predicted = plan(*items).writes()
        assert everything() == before
        done: list[dict[str, Any]] = []
        run(*items, progress=lambda step, done=done: done.append(step.facts()))
        assert done == predicted
        assert plan(*items).writes() == []
    run(*({"name": name, "state": "absent"} for name in groups()))


def test_no_exclusive_way_is_shared_between_any_two_writes(clean: str) -> None:
    def look(_step: plans.Step) -> None:
        exclusive = [name for name in groups() if read(name, "mode") == "exclusive\n"]
        held = {name: cells(name) for name in ["", *groups()]}
        for name in exclusive:
            for (resource, domain), mask in held[name].items():
                if not resource.startswith("L3"):
                    continue
                for other in held:
                    for twin in ("L3", "L3CODE", "L3DATA"):
                        assert other == name or not mask & held[other].get((twin, domain), 0), (name, other, resource, domain)

    for items in sets(clean) + sets(clean)[::-1]:
        run({"name": "", "state": "absent"}, progress=look)  # which may have been given ways of its own
        run(*items, progress=look)


def test_a_second_run_writes_nothing_as_strace_sees_it(clean: str, tmp_path: Path) -> None:
    items = sets(clean)[0]
    run(*items)
    script = tmp_path / "again.py"
    script.write_text(
        "import sys\nsys.path[:0] = [%r]\n"
        "from _runtime.resctrl.subject import Schemata\n"
        "subject = Schemata()\nobjects = [subject.parse(item) for item in %r]\n"
        "last = subject.plan(objects)\nassert not last.steps\nsubject.report(objects, last)\n" % (str(SOURCES / "plugins/module_utils"), items)
    )
    trace = tmp_path / "trace"
    calls = "trace=%file,write,pwrite64,writev,mount,umount2,move_mount,fsopen,fsmount,flock"
    subprocess.run(
        ["strace", "-f", "--seccomp-bpf", "-y", "-s", "200", "-o", str(trace), "-e", calls, sys.executable, str(script)], check=True, cwd=str(SOURCES)
    )
    spec = importlib.util.spec_from_file_location("writes", SOURCES / "tests/integration/targets/setup_strace/files/writes.py")
    writes = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(writes)
    lines = trace.read_text().splitlines()
    assert any("/sys/fs/resctrl/a/schemata" in line for line in lines), "the trace does not show that anything was looked at"
    assert any("LOCK_SH" in line for line in lines)
    assert not any("LOCK_EX" in line for line in lines)
    assert [line for line in lines if writes.is_write(line) or "fsmount" in line] == []


def test_rounding_is_told_and_is_no_change(clean: str) -> None:
    (report,) = run({"name": "a", "mb": half(clean)})
    kept = 2000 if clean == "mba_MBps" else 30 if IS_INTEL else 128
    assert set(report["effective"]["mb"].values()) == {kept}
    assert report["rounded"] == (["mb"] if kept == 30 else [])


def test_no_limit_has_two_spellings(clean: str) -> None:
    if clean != "mba_MBps":
        assert plan({"name": "", "mb": "max"}).steps == []
        return
    run({"name": "a", "mb": "max"})
    (ROOT / "a/schemata").write_text("MB:0=4294967290\n")  # as pqos writes it
    assert plan({"name": "a", "mb": "max"}).steps == []


REFUSED_BY_ALL: list[tuple[dict[str, Any], str]] = [
    ({"mb": ""}, "is empty"),
    ({"mb": "110%"}, "more than everything"),
    ({"mb": "5Gbps"}, "counts in bits"),
    ({"mb": {"9": "max"}}, "has no domain 9"),
    ({"schemata": ["XX:0=1"]}, "cannot divide XX"),
    ({"schemata": ["MB:0=abc"]}, "'abc' is not a whole number"),
    ({"schemata": ["MB:0=4294967296"]}, "is not within"),
    ({"schemata": ["MB:0=50\nMB:1=x"]}, "holds a newline"),
    ({"schemata": ["MB:0=50", ""]}, "it is empty"),
    ({"schemata": ["MB"]}, "there is no ':'"),
    ({"schemata": ["MB:0=50;0=60"]}, "given twice"),
    ({"schemata": ["MB:9=50"]}, "has no domain 9"),
    ({"tasks": [4194303]}, "there is no task"),
    ({"cgroup": "no/such"}, "there is no control group"),
    ({"cpus": "77"}, "this machine has no CPU"),
    ({"l2": 2}, "cannot divide L2"),
]
REFUSED_BY_INTEL: list[tuple[dict[str, Any], str]] = [
    ({"l3": "0x0"}, "the mask is empty"),
    ({"l3": "0xfff"}, "wider than"),
    ({"l3": "0x5"}, "has holes"),
    ({"l3": "5%"}, "less than one way"),
    ({"l3": 12}, "12 ways of"),
    ({"l3": {"7": 1}}, "has no domain 7"),
    ({"l3": "0x600", "mode": "exclusive"}, "because devices use 600"),
    ({"l3": 10, "mode": "exclusive"}, "too few"),
    ({"mode": "exclusive"}, "nothing is said of"),
    ({"smba": 10}, "cannot divide SMBA"),
]


def test_bad_input_is_refused_with_nothing_applied(clean: str) -> None:
    for bad, says in REFUSED_BY_ALL + (REFUSED_BY_INTEL if IS_INTEL else [({"mb": "80%"}, "counted in 1/8 GB/s"), ({"l3": "5%"}, "less than one way")]):
        error = refused({"name": "first", "mb": "max"}, {"name": "bad", **bad})
        assert says in str(error), (bad, str(error))
        assert error.errno == 0  # the kernel was not asked


def test_the_kernel_s_own_words_and_everything_undone(clean: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Changes by somebody else between the plan and the writes."""
    run({"name": "a", "mb": half(clean)})
    with pytest.raises(OSError, match="Invalid"):  # old words, which must not be taken for those of what follows
        (ROOT / "schemata").write_text("XX:0=1\n")
    number = min(int(path.read_text()) for path in (ROOT / "info").glob("*/num_closids"))
    with a_subject() as subject:
        objects = [subject.parse(item) for item in ({"name": "a", "mb": "max"}, {"name": "x"})]
        the_plan = subject.plan(objects)
        for taken in range(number - 2):
            (ROOT / ("COS%d" % taken)).mkdir()
        before = everything()
        with pytest.raises(BulkheadError) as caught:
            plans.apply(the_plan)
        assert caught.value.errno == errno.ENOSPC
        assert caught.value.kernel == "Out of CLOSIDs"
        assert everything() == before
    error = refused({"name": "x"}, {"name": "y"})
    assert "2 too few" in str(error)
    assert "COS0" in str(error)


def test_groups_of_others_stay_as_they_are(clean: str) -> None:
    (ROOT / "foreign").mkdir()
    line = "MB:0=%d\n" % (90 if IS_INTEL else 9)
    (ROOT / "foreign/schemata").write_text(line)
    before = {path: text for path, text in everything().items() if path.startswith("foreign")}
    assert "not made by this collection" in str(refused({"name": "foreign", "mb": "max"}))
    assert "not made by this collection" in str(refused({"name": "foreign", "state": "absent"}))
    run({"name": "a", "mb": "max"})
    if IS_INTEL:
        assert "foreign holds 7ff" in str(refused({"name": "a", "l3": 2, "mode": "exclusive"}))
    run({"name": "foreign", "tasks": [os.getpid()]})  # who is named may be joined
    assert str(os.getpid()) in read("foreign", "tasks").split()
    assert {path: text for path, text in everything().items() if path.startswith("foreign")} == before
    assert "foreign" in info.look(interval=0)["host"]["foreign"]


def test_cpus_are_taken_visibly_and_monitoring_groups_keep_theirs(clean: str) -> None:
    run({"name": "a", "cpus": "1-3", "monitor_groups": [{"name": "m", "cpus": "2"}]})
    steps = [(step.target, step.before, step.after) for step in plan({"name": "b", "cpus": "3"}).steps if step.target.endswith("cpus_list")]
    assert steps == [
        ("%s/a/cpus_list" % ROOT, "1-3", "1-2"),
        ("%s/a/mon_groups/m/cpus_list" % ROOT, "", "2"),  # the write to a emptied it
        ("%s/b/cpus_list" % ROOT, "", "3"),
    ]
    run({"name": "b", "cpus": "3"})
    assert (read("", "cpus_list"), read("a", "cpus_list"), read("b", "cpus_list")) == ("0\n", "1-2\n", "3\n")
    assert read("a/mon_groups/m", "cpus_list") == "2\n"
    run({"name": "a", "cpus": "1", "monitor_groups": [{"name": "m", "state": "absent"}]})
    assert os.listdir(ROOT / "a/mon_groups") == []
    run({"name": "a", "cpus": "none"}, {"name": "b", "state": "absent"})
    assert read("", "cpus_list") == "0-3\n"


def test_every_thread_of_a_process_that_keeps_making_threads(clean: str) -> None:
    script = (
        "import threading, time\n"
        "def more(left):\n"
        "    time.sleep(0.05)\n"
        "    if left: threading.Thread(target=more, args=(left - 1,)).start()\n"
        "    time.sleep(4)\n"
        "for _ in range(20): threading.Thread(target=more, args=(20,)).start()\n"
        "print('ready', flush=True)\n"
    )
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE) as process:
        try:
            process.stdout.readline()
            run({"name": "a"})
            with a_subject() as subject:
                objects = [subject.parse({"name": "a", "tasks": [process.pid]})]
                subject.apply(subject.plan(objects))
            time.sleep(0.3)
            inside = set(read("a", "tasks").split())
            assert len(inside) > 20
            outside = set(os.listdir("/proc/%d/task" % process.pid)) - set(read("a", "tasks").split())
            assert [tid for tid in outside if os.path.exists("/proc/%d/task/%s" % (process.pid, tid))] == []
            (gone,) = run({"name": "a", "state": "absent"})
        finally:
            process.kill()
    assert gone["state"] == "absent"


def test_a_control_group_with_those_below_it(clean: str) -> None:
    base = Path("/sys/fs/cgroup/bh-test-resctrl")
    (base / "below").mkdir(parents=True)
    with subprocess.Popen(["sleep", "60"]) as first, subprocess.Popen(["sleep", "60"]) as second:
        try:
            (base / "cgroup.procs").write_text(str(first.pid))
            (base / "below/cgroup.procs").write_text(str(second.pid))
            run({"name": "a", "cgroup": "bh-test-resctrl"})
            assert {str(first.pid), str(second.pid)} == set(read("a", "tasks").split())
            run({"name": "a", "monitor_groups": [{"name": "m", "cgroup": "bh-test-resctrl/below"}]})
            assert read("a/mon_groups/m", "tasks").split() == [str(second.pid)]
            report = {group["name"]: group for group in info.look(interval=0.1)["groups"]}["a"]
            assert report["task_count"] == 2
            assert report["monitor_groups"][0]["tasks"] == [second.pid]
            events = report["monitoring"]["domains"]["0"]
            assert set(events) >= {"llc_occupancy", "mbm_total_bytes", "mbm_total_bandwidth"}
            the_plan = plan({"name": "a", "state": "absent"})
            assert next(step.after for step in the_plan.steps if step.target.endswith("/a/")) == "2 tasks go to the default group"
            run({"name": "a", "state": "absent"})
            assert str(first.pid) in read("", "tasks").split()
        finally:
            first.kill()
            second.kill()
    (base / "below").rmdir()
    base.rmdir()


# What was asked last, after a boot


def keep(*items: dict[str, Any]) -> list[dict[str, Any]]:
    """Converge and keep it, as a module does."""
    with a_subject() as subject:
        objects = [subject.parse(item) for item in items]
        first = subject.plan(objects)
        first.steps += desired.steps(subject, list(items), first.fresh)
        subject.apply(first)
        again = subject.plan(objects)
        assert [step.facts() for step in again.steps] == []
        return subject.report(objects, again)


def later(mounted: str) -> list[list[dict[str, Any]]]:
    """Requests for one class, one after another, of which the later ones say the same thing in another way."""
    first, second, line = (half(mounted), "4000MBps" if mounted == "mba_MBps" else "50%" if IS_INTEL else "32GBps", 1500 if mounted == "mba_MBps" else 20)
    found = [
        [{"mb": first}, {"schemata": ["MB:0=%d;1=%d" % (line, line)]}],
        [{"mb": second, "l3": 4}, {"mb": {"1": first}, "l3": {"1": 2}}],
        [{"mb": {"0": first}}, {"mb": {"all": second}}],
        [{"l3": 3, "cpus": "2-3", "monitor_groups": [{"name": "m", "cpus": "2"}]}, {"monitor_groups": [{"name": "n", "cpus": "3"}]}, {"cpus": "3"}],
        [{"l3": 2, "mode": "exclusive"}, {"l3": 3}, {"mode": "shareable"}],
    ]
    if mounted == "cdp":
        found += [[{"l3": 4}, {"l3code": 2, "l3data": 3}], [{"l3": 4}, {"l3code": {"1": 2}}], [{"l3code": 2, "l3data": 3}, {"l3": "30%"}]]
    return found


def test_a_boot_brings_back_what_was_asked_last(clean: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "etc").mkdir()
    monkeypatch.setattr(desired, "DIRECTORY", str(tmp_path / "etc/desired.d"))
    monkeypatch.setattr(desired, "RUN", str(tmp_path / "run"))
    for requests in later(clean):
        for request in requests:
            keep({"name": "a", **request})
        assert views.drift() == {"drift": [], "failures": []}, requests
        before = everything()
        mount(clean)
        said: list[str] = []
        report = replay.replay(lambda text, _failed, said=said: said.append(text))
        assert report["failures"] == [], said
        assert everything() == before, (requests, desired.read("resctrl_schema"))
        assert replay.replay(lambda _text, _failed: None)["kinds"]["resctrl_schema"]["changes"] == 0
        keep({"name": "a", "state": "absent"})
    keep({"name": "a", "cpus": "2-3"})
    keep({"name": "b", "cpus": "3"})
    before = everything()
    mount(clean)
    assert replay.replay(lambda _text, _failed: None)["failures"] == []
    assert everything() == before
    keep({"name": "a", "state": "absent"}, {"name": "b", "state": "absent"})


def test_where_the_tasks_of_a_removed_class_go_is_told(clean: str) -> None:
    with subprocess.Popen(["sleep", "1000"]) as process:
        try:
            run({"name": "a", "tasks": [process.pid]})
            (report,) = run({"name": "a", "state": "absent"})
            assert report["tasks_go"] == "1 tasks go to the default group"
            assert run({"name": "a", "state": "absent"})[0]["tasks_go"] == ""
        finally:
            process.kill()


def test_a_domain_that_went_and_returned_is_healed(clean: str) -> None:
    cpus, domain = CPU_WITH_DOMAIN
    items = sets(clean)[0]
    items[0]["cpus"] = "%d" % cpus[-1]
    run(*items)
    before = everything()

    def switch(on: int) -> None:
        for cpu in cpus:
            Path("/sys/devices/system/cpu/cpu%d/online" % cpu).write_text(str(on))

    switch(0)
    try:
        assert ("MB", domain) not in cells("a")
        assert plan(*items).steps == []  # what is offline is no drift
    finally:
        switch(1)
    assert everything() != before
    assert plan(*items).steps != []
    run(*items)
    assert everything() == before


def test_a_lock_that_another_holds_is_waited_for_and_then_named(clean: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subjects, "_PATIENCE", 1.0)
    with subprocess.Popen(["flock", str(ROOT), "sleep", "4"]) as other:
        time.sleep(1.0)
        with pytest.raises(BulkheadError, match=r"lock on /sys/fs/resctrl.*within"):
            plan({"name": "a"})
        other.wait()
    run({"name": "a"})
    fd = os.open(ROOT, os.O_RDONLY)
    fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)  # and it is given back
    os.close(fd)


def test_who_waited_for_the_lock_plans_again(clean: str) -> None:
    with a_subject() as first, a_subject() as second:
        objects = [first.parse({"name": "a", "mb": "max"})]
        others = [second.parse({"name": "a", "mb": "max"})]
        mine, theirs = first.plan(objects), second.plan(others)
        assert theirs.steps
        failures: list[BaseException] = []

        def apply_first() -> None:
            try:
                first.apply(mine)
                first.finish()
            except BaseException as error:
                failures.append(error)

        thread = threading.Thread(target=apply_first)
        thread.start()
        time.sleep(0.3)
        second.apply(theirs)  # one of the two finds the group made, and nothing left to do
        second.finish()
        thread.join()
        assert failures == []
    assert groups() == ["a"]


@ONLY_INTEL
def test_other_mount_options_are_refused_and_with_force_all_that_is_managed_comes_back() -> None:
    unmount()
    Path(facts.path()).unlink(missing_ok=True)
    try:
        # Not mounted: check mode says what would be written, and mounts nothing.
        items = [{"name": "a", "l3": "50%", "mb": "25%", "mode": "exclusive"}, {"name": "b", "l3": 2}]
        predicted = plan(*items).writes()
        assert not is_mounted()
        assert predicted[0]["after"] == "mount -t resctrl"
        done: list[dict[str, Any]] = []
        run(*items, progress=lambda step: done.append(step.facts()))
        assert done == predicted
        with subprocess.Popen(["sleep", "60"]) as process:
            try:
                run({"name": "b", "tasks": [process.pid], "cpus": "3"})
                (ROOT / "foreign").mkdir()
                change = {"name": "a", "l3": "50%", "mb": "25%", "mode": "exclusive", "mount_options": {"cdp": True}}
                assert "destroys every group: a b foreign" in str(refused(change))
                the_plan = plan({**change, "force": True})
                assert "foreign" in the_plan.steps[0].before
                assert any("groups of others are destroyed: foreign" in warning for warning in the_plan.warnings)
                run({**change, "force": True})
                assert mounting.find().options == {"cdp"}
                assert groups() == ["a", "b"]
                assert read("a", "mode") == "exclusive\n"
                assert cells("a")["L3CODE", 0] == cells("a")["L3DATA", 0] == 0x1F
                assert bin(cells("b")["L3CODE", 1]).count("1") == 2
                assert read("b", "tasks").split() == [str(process.pid)]
                assert read("b", "cpus_list") == "3\n"
                assert "a percentage" in str(refused({"name": "a", "mb": "25%", "mount_options": {"mba_mbps": True, "cdp": False}, "force": True}))
                assert mounting.find().options == {"cdp"}
            finally:
                process.kill()
    finally:
        unmount()
        Path(facts.path()).unlink(missing_ok=True)


@ONLY_INTEL
def test_a_remount_that_fails_later_brings_everything_back(monkeypatch: pytest.MonkeyPatch) -> None:
    mount()
    try:
        run({"name": "a", "l3": 3, "mode": "exclusive"}, {"name": "b", "l3": 2})
        (ROOT / "foreign").mkdir()
        before = everything()
        with a_subject() as subject:
            objects = [subject.parse({"name": "a", "l3": 3, "mode": "exclusive", "mount_options": {"cdp": True}, "force": True})]
            the_plan = subject.plan(objects)

            def fails() -> None:
                raise OSError(errno.EIO, "for the test")

            monkeypatch.setattr(the_plan.steps[-1], "do", fails)
            with pytest.raises(BulkheadError) as caught:
                subject.apply(the_plan)
            assert caught.value.undo_failures == []
        assert mounting.find().options == frozenset()
        assert everything() == before
    finally:
        unmount()
        Path(facts.path()).unlink(missing_ok=True)


def test_why_nothing_is_mounted_is_told() -> None:
    unmount()
    host = info.look(interval=0)["host"]
    assert not host["mounted"]
    assert host["reason"] == "resctrl is not mounted"
    with pytest.raises(BulkheadError, match="there is no group gold: resctrl is not mounted"):
        info.look("gold")
