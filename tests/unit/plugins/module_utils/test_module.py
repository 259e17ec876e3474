# SPDX-FileCopyrightText: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What all modules share: bulk, check mode, diff, results, errors, persistence; with a subject whose kernel is a dictionary."""

from __future__ import annotations

import errno
import json
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils.testing import patch_module_args
from ansible_collections.bulkhead.linux.plugins.module_utils import _module
from ansible_collections.bulkhead.linux.plugins.module_utils._runtime import desired, pack, plan, records
from ansible_collections.bulkhead.linux.plugins.module_utils._runtime.errors import InvalidInput
from ansible_collections.bulkhead.linux.plugins.module_utils._runtime.subject import Subject

KERNEL: dict[str, int] = {}
REFUSES: set[str] = set()
ROUNDS: dict[str, int] = {}
OPTIONS = {
    "name": {"type": "str"},
    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
    "size": {"type": "int"},
    "wait": {"type": "int"},
    "env": {"type": "dict"},
    "log": {"type": "dict", "options": {"path": {"type": "str"}, "max": {"type": "int", "default": 7}, "many": {"type": "int", "default": 2}}},
    "devices": {"type": "list", "elements": "dict", "options": {"path": {"type": "str"}, "access": {"type": "str", "default": "rw"}}},
}


class Put(plan.Step):
    """Sets one entry of the kernel; a kernel that is told to may refuse it, or keep something else."""

    def __init__(self, name: str, size: int | None) -> None:
        self.target, self.name, self.size = "/kernel/" + name, name, size
        self.held = KERNEL.get(name)
        self.before = None if self.held is None else str(self.held)
        self.after = None if size is None else str(size)

    def do(self) -> None:
        if self.name in REFUSES:
            raise OSError(16, "Device or resource busy")
        self._put(ROUNDS.get(self.name, self.size))

    def undo(self) -> None:
        self._put(self.held)

    def _put(self, size: int | None) -> None:
        KERNEL.pop(self.name, None)
        if size is not None:
            KERNEL[self.name] = size


class Things(Subject):
    kind = "things"
    plural = "things"
    singular = "thing"

    def parse(self, options: dict[str, Any]) -> dict[str, Any]:
        if options["size"] is not None and options["size"] < 0:
            raise InvalidInput("thing %s: a size below nothing" % options["name"])
        return options

    def plan(self, objects: list[Any]) -> plan.Plan:
        made = plan.Plan()
        for thing in objects:
            size = None if thing["state"] == "absent" else thing["size"]
            if KERNEL.get(thing["name"]) != size:
                made.steps.append(Put(thing["name"], size))
            if thing["name"] not in KERNEL:
                made.fresh.add(thing["name"])
            if size == 13:
                made.warnings.append("13 brings bad luck")
        return made

    def report(self, objects: list[Any], last: Any) -> list[dict[str, Any]]:
        return [{"name": thing["name"], "asked": {"size": thing["size"]}, "effective": {"size": KERNEL.get(thing["name"])}, "rounded": []} for thing in objects]


class Mortals(Things):
    """Of these, some come back after a reboot and some do not, unless it is said."""

    kind = "mortals"
    plural = "mortals"
    singular = "mortal"
    persist_default = None

    def kept(self, held: dict[str, Any], options: dict[str, Any], persist: bool | None) -> dict[str, Any] | None:
        return None if options["wait"] and persist is None else super().kept(held, options, persist)


@pytest.fixture(scope="session")
def core(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The packed core, written once."""
    path = str(tmp_path_factory.mktemp("node") / "libexec/bulkhead.pyz")
    pack.LeaveCore(path, None, "").do()
    return path


@pytest.fixture(autouse=True)
def clean(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, core: str) -> Path:
    for store in (KERNEL, REFUSES, ROUNDS):
        store.clear()
    monkeypatch.setattr(desired, "DIRECTORY", str(tmp_path))
    monkeypatch.setattr(desired, "RUN", str(tmp_path / "run"))
    monkeypatch.setattr(pack, "PATH", core)
    return tmp_path / "things.json"


def asked(capsys: pytest.CaptureFixture[str], **arguments: Any) -> list[dict[str, Any]]:
    """The options of each object, as the subject gets them."""
    seen: list[dict[str, Any]] = []

    class Watched(Things):
        def parse(self, options: dict[str, Any]) -> dict[str, Any]:
            seen.append(records.without_none(options))
            return super().parse(options)

    run(capsys, subject=Watched, check=True, **arguments)
    return seen


def run(capsys: pytest.CaptureFixture[str], check: bool = False, diff: bool = False, subject: type[Subject] = Things, **arguments: Any) -> dict[str, Any]:
    with patch_module_args({**arguments, "_ansible_check_mode": check, "_ansible_diff": diff}), pytest.raises(SystemExit) as ended:
        _module.run(subject, OPTIONS)
    result: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert bool(ended.value.code) is bool(result.get("failed"))
    return result


def test_one_object(capsys: pytest.CaptureFixture[str]) -> None:
    result = run(capsys, name="a", size=5, persist=False)
    assert result["changed"] is True
    assert result["writes"] == [{"target": "/kernel/a", "before": None, "after": "5"}]
    assert (result["asked"], result["effective"], result["rounded"]) == ({"size": 5}, {"size": 5}, [])
    assert result["things"][0]["name"] == "a"
    assert result["thing"] == result["things"][0]
    assert "diff" not in result
    assert KERNEL == {"a": 5}


def test_again_changes_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    run(capsys, name="a", size=5)
    result = run(capsys, name="a", size=5, diff=True)
    assert (result["changed"], result["writes"], result["diff"]) == (False, [], {"before": "", "after": ""})


def test_check_mode_and_diff_are_the_plan(capsys: pytest.CaptureFixture[str], clean: Path) -> None:
    KERNEL["a"] = 4
    foreseen = run(capsys, check=True, diff=True, name="a", size=5)
    assert KERNEL == {"a": 4}
    assert not clean.exists()
    done = run(capsys, diff=True, name="a", size=5)
    assert (foreseen["changed"], foreseen["writes"], foreseen["diff"]) == (done["changed"], done["writes"], done["diff"])
    assert done["diff"]["before"] == "/kernel/a: 4\n"
    assert done["diff"]["after"].startswith("/kernel/a: 5\n%s: " % clean)


def test_several_in_one_call(capsys: pytest.CaptureFixture[str], clean: Path) -> None:
    result = run(capsys, things=[{"name": "a", "size": 5}, {"name": "b", "size": 6}])
    assert KERNEL == {"a": 5, "b": 6}
    assert [thing["name"] for thing in result["things"]] == ["a", "b"]
    assert "asked" not in result
    assert len([write for write in result["writes"] if write["target"] == str(clean)]) == 1
    assert result["invocation"]["module_args"]["things"] == [{"name": "a", "size": 5}, {"name": "b", "size": 6}]
    assert "thing" not in result


def test_all_that_is_wrong_is_named_before_anything_is_written(capsys: pytest.CaptureFixture[str]) -> None:
    result = run(capsys, things=[{"name": "a", "size": 5}, {"name": "b", "size": -1}, {"name": "c", "size": -1}])
    assert result["msg"] == "nothing was changed, because 2 of 3 are wrong: thing b: a size below nothing; thing c: a size below nothing"
    assert KERNEL == {}
    result = run(capsys, things=[{"name": "a", "size": 5}, {"name": "b", "size": -1}])
    assert result["msg"] == "thing b: a size below nothing"
    assert KERNEL == {}


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        ({}, "one of the following is required: name, things"),
        ({"name": "a", "things": []}, "mutually exclusive: name|things"),
        ({"things": [{"size": 5}]}, "missing required arguments: name found in things"),
        ({"things": [{"name": "a", "colour": "red"}]}, "Unsupported parameters"),
    ],
)
def test_arguments(capsys: pytest.CaptureFixture[str], arguments: dict[str, Any], why: str) -> None:
    assert why in run(capsys, **arguments)["msg"]


def test_a_refused_write_undoes_the_others(capsys: pytest.CaptureFixture[str], clean: Path) -> None:
    KERNEL["a"] = 4
    REFUSES.add("c")
    result = run(capsys, things=[{"name": name, "size": 5} for name in "abcd"])
    assert KERNEL == {"a": 4}
    assert not clean.exists()
    assert "/kernel/c could not be changed from None to '5'; the kernel answered EBUSY" in result["msg"]
    assert (result["error"]["target"], result["error"]["errno"], result["error"]["undo_failures"]) == ("/kernel/c", "EBUSY", [])


def test_what_the_kernel_kept_instead_is_told_and_undone(capsys: pytest.CaptureFixture[str], clean: Path) -> None:
    KERNEL["a"] = 4
    ROUNDS["a"] = 1000
    result = run(capsys, things=[{"name": "a", "size": 5}, {"name": "b", "size": 6}])
    assert result["msg"].startswith("the kernel took every write and kept something else: /kernel/a holds '1000' where '5' was asked for")
    assert KERNEL == {"a": 4}
    assert not clean.exists()


def test_what_is_asked_for_is_kept_for_the_next_boot(capsys: pytest.CaptureFixture[str], clean: Path) -> None:
    run(capsys, name="a", size=5, wait=3)
    assert desired.read("things") == {"a": {"size": 5, "state": "present"}}
    # It is kept even where the kernel holds it already.
    KERNEL["b"] = 6
    result = run(capsys, name="b", size=6)
    assert [write["target"] for write in result["writes"]] == [str(clean)]
    run(capsys, things=[{"name": "a", "state": "absent"}, {"name": "b", "state": "absent"}])
    assert not clean.exists()
    assert KERNEL == {}


def test_without_persist_nothing_is_kept(capsys: pytest.CaptureFixture[str], clean: Path) -> None:
    run(capsys, name="a", size=5, persist=False)
    assert not clean.exists()


def test_where_there_is_no_default_each_object_says_whether_it_comes_back(capsys: pytest.CaptureFixture[str]) -> None:
    both = [{"name": "a", "size": 5, "wait": 3}, {"name": "b", "size": 6}]
    run(capsys, subject=Mortals, mortals=both)
    assert list(desired.read("mortals")) == ["b"]
    run(capsys, subject=Mortals, mortals=both, persist=True)
    assert list(desired.read("mortals")) == ["a", "b"]
    run(capsys, subject=Mortals, mortals=both, persist=False)
    assert list(desired.read("mortals")) == ["a", "b"]
    run(capsys, subject=Mortals, mortals=both)
    assert list(desired.read("mortals")) == ["b"]


def test_the_core_is_left_behind_with_what_is_kept(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    new = tmp_path / "node/libexec/bulkhead.pyz"
    monkeypatch.setattr(pack, "PATH", str(new))
    for arguments in ({"name": "a", "state": "absent"}, {"name": "a", "size": 5, "persist": False}):
        run(capsys, **arguments)
        assert not new.exists()
    foreseen = run(capsys, check=True, name="a", size=5)
    assert not new.exists()
    done = run(capsys, name="a", size=5)
    assert foreseen["writes"] == done["writes"]
    assert [write["target"] for write in done["writes"]] == [str(new), str(tmp_path / "things.json")]
    assert new.exists()
    assert run(capsys, name="a", size=5)["changed"] is False


def test_a_run_waits_for_a_replay(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(desired, "_PATIENCE", 0.1)
    with desired.replaying():
        assert "a replay of the desired state has been running" in run(capsys, name="a", size=5)["msg"]
        assert run(capsys, check=True, name="a", size=5)["changed"] is True
    assert KERNEL == {}
    run(capsys, name="a", size=5)
    assert KERNEL == {"a": 5}


def test_warnings_reach_the_user(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    # Other tests import what only the controller has, and from then on it is taken for one.
    monkeypatch.setattr("ansible.module_utils._internal.is_controller", False)
    assert "13 brings bad luck" in json.dumps(run(capsys, name="a", size=13)["warnings"])


# What stands beside the list


def test_what_stands_beside_the_list_holds_for_items_that_do_not_give_it(capsys: pytest.CaptureFixture[str]) -> None:
    found = asked(capsys, things=[{"name": "a"}, {"name": "b", "size": 6, "state": "present"}], size=5, state="absent")
    assert found == [{"name": "a", "size": 5, "state": "absent"}, {"name": "b", "size": 6, "state": "present"}]
    assert asked(capsys, things=[{"name": "a", "size": 5}]) == [{"name": "a", "size": 5, "state": "present"}]


def test_dictionaries_are_filled_option_by_option_and_lists_are_not(capsys: pytest.CaptureFixture[str]) -> None:
    beside = {"log": {"path": "/x", "max": 9}, "env": {"A": "1", "B": "2"}, "devices": [{"path": "/dev/a"}, {"path": "/dev/b"}]}
    items = [
        {"name": "a", "log": {"many": 3}, "env": {"B": "3"}, "devices": [{"path": "/dev/c"}]},
        {"name": "b", "log": {"path": "/y", "max": 1}},
        {"name": "c"},
    ]
    a, b, c = asked(capsys, things=items, size=5, **beside)
    assert (a["log"], a["env"]) == ({"path": "/x", "max": 9, "many": 3}, {"A": "1", "B": "3"})
    assert a["devices"] == [{"path": "/dev/c", "access": "rw"}]
    assert b["log"] == {"path": "/y", "max": 1, "many": 2}
    assert (c["log"], c["env"]) == ({"path": "/x", "max": 9, "many": 2}, {"A": "1", "B": "2"})
    assert asked(capsys, things=[{"name": "a", "size": 5, "log": {"path": "/x"}}])[0]["log"] == {"path": "/x", "max": 7, "many": 2}
    assert "log" not in asked(capsys, things=[{"name": "a", "size": 5}])[0]


def test_the_name_of_one_object_stands_beside_no_list(capsys: pytest.CaptureFixture[str]) -> None:
    assert "mutually exclusive" in run(capsys, name="a", things=[{"name": "b", "size": 5}])["msg"]


# What nobody may read

SECRET = "geheim-4711"


def hides(result: Any, secret: str = SECRET) -> None:
    assert secret not in json.dumps(result), json.dumps(result, indent=1)


@pytest.mark.parametrize("check", [False, True])
def test_the_values_of_variables_are_in_no_result(capsys: pytest.CaptureFixture[str], check: bool) -> None:
    run(capsys, things=[{"name": "other", "size": 1, "env": {"OTHER": SECRET}}, {"name": "a", "size": 4, "env": {"A": "x", "B": "y", "C": "z"}}])
    result = run(capsys, check=check, diff=True, name="a", size=5, env={"A": SECRET, "B": "y", "D": SECRET})
    hides(result)
    assert result["invocation"]["module_args"]["env"] == dict.fromkeys("ABD", "VALUE_SPECIFIED_IN_NO_LOG_PARAMETER")
    (kept,) = [write for write in result["writes"] if write["target"].endswith("things.json")]
    assert kept["before"] == '"a": {"env": ["A", "B", "C"], "size": 4, "state": "present"}'
    assert kept["after"] == '"a": {"env": ["A (changed)", "B", "C", "D (added)"], "size": 5, "state": "present"}'
    assert "other" not in json.dumps(result)


def test_the_values_of_variables_are_in_no_error(capsys: pytest.CaptureFixture[str], clean: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    environment = {"A": SECRET}
    REFUSES.add("a")
    hides(run(capsys, name="a", size=5, env=environment))
    hides(run(capsys, name="a", size=-5, env=environment))
    hides(run(capsys, things=[{"name": "a", "size": -5, "env": environment}], env=environment))
    hides(run(capsys, name="a", colour="red", env=environment))
    hides(run(capsys, name="a", env="A=%s" % SECRET, size=-5))
    hides(run(capsys, name="a", env=["A=%s" % SECRET], size=5))
    hides(run(capsys, things=[{"name": "a", "env": "A=%s" % SECRET, "state": "neither"}]))
    REFUSES.clear()
    ROUNDS["a"] = 7
    hides(run(capsys, name="a", size=5, env=environment))
    ROUNDS.clear()

    def read_only(*_arguments: Any) -> None:
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(plan.ReplaceFile, "_put", read_only)
    refused = run(capsys, name="a", size=5, env=environment)
    hides(refused)
    assert "the desired state could not be kept in %s; the kernel answered EROFS" % clean in refused["msg"]
    assert KERNEL == {}


def test_the_values_of_variables_are_in_no_log(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    logged: list[Any] = []
    monkeypatch.setattr(_module.AnsibleModule, "log", lambda _self, *arguments, **more: logged.append((arguments, more)))
    run(capsys, name="a", size=5, env={"A": SECRET})
    run(capsys, things=[{"name": "b", "size": 5, "env": {"A": SECRET}}])
    assert len(logged) == 2
    assert SECRET not in str(logged)
    assert "A" in str(logged)


def test_one_of_many_kept_objects_makes_a_small_result(capsys: pytest.CaptureFixture[str]) -> None:
    run(capsys, things=[{"name": "n%d" % number, "size": 5, "env": {"A": "x" * 200}} for number in range(300)])
    result = run(capsys, diff=True, name="n7", size=6)
    assert result["changed"] is True
    assert len(json.dumps(result)) < 3000
