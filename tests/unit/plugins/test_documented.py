# SPDX-FileCopyrightText: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""ansible-doc prints every module, plugin and role, and every option that they take is documented."""

from __future__ import annotations

import importlib
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils.basic import AnsibleModule

ROOT = Path(__file__).resolve().parents[3]
PACKAGE = "ansible_collections.bulkhead.linux.plugins.modules."
NOT_FOR_USERS = ("doc_fragments", "module_utils", "plugin_utils")


def _there() -> dict[str, list[str]]:
    """{kind, as ansible-doc calls it: the names of all that the sources have of it}"""
    found = {"role": sorted(path.name for path in (ROOT / "roles").iterdir())}
    for directory in sorted(path for path in (ROOT / "plugins").iterdir() if path.is_dir() and path.name not in (*NOT_FOR_USERS, "__pycache__")):
        kind = "module" if directory.name == "modules" else directory.name
        found[kind] = sorted({path.stem for path in directory.iterdir() if path.suffix in (".py", ".yml")} - {"__init__"})
    return found


THERE = _there()
EACH = [(kind, name) for kind, names in THERE.items() for name in names]
PLUGINS = [each for each in EACH if each[0] not in ("module", "role")]


@pytest.fixture(scope="module")
def ansible_doc(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Run ansible-doc on the sources as they lie here."""
    top = tmp_path_factory.mktemp("collections")
    (top / "ansible_collections/bulkhead").mkdir(parents=True)
    (top / "ansible_collections/bulkhead/linux").symlink_to(ROOT)
    kept = {name: value for name, value in os.environ.items() if not name.startswith("ANSIBLE_")}
    ours = {"COLLECTIONS_PATH": str(top), "HOME": str(top / "home"), "NOCOLOR": "1", "DEPRECATION_WARNINGS": "0"}
    environment = {**kept, "LC_ALL": "C.UTF-8", **{"ANSIBLE_" + name: value for name, value in ours.items()}}

    def run(*words: str) -> str:
        command = [str(Path(sys.executable).parent / "ansible-doc"), *words]
        done = subprocess.run(command, check=False, env=environment, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr
        assert "WARNING" not in done.stderr and "ERROR" not in done.stderr, done.stderr
        return done.stdout

    return run


@pytest.fixture(scope="module")
def documentation(ansible_doc: Any) -> dict[tuple[str, str], dict[str, Any]]:
    """What ansible-doc has of each."""
    found = {}
    for kind, names in THERE.items():
        said = json.loads(ansible_doc("--json", "--type", kind, *("bulkhead.linux.%s" % name for name in names)))
        found.update({(kind, name): said["bulkhead.linux.%s" % name] for name in names})
    return found


def _options(kind: str, documented: dict[str, Any]) -> dict[str, Any]:
    options: dict[str, Any] = documented["entry_points"]["main"]["options"] if kind == "role" else documented["doc"].get("options", {})
    return options


def _inner(option: dict[str, Any]) -> dict[str, Any]:
    inner: dict[str, Any] = option.get("suboptions") or option.get("options") or {}
    return inner


def _names(options: dict[str, Any], before: str = "") -> set[str]:
    """The full name of every option, those within others too."""
    found = set()
    for name, option in options.items():
        found |= {before + name} | _names(_inner(option), "%s%s." % (before, name))
    return found


def _undescribed(options: dict[str, Any]) -> list[str]:
    """The options that nothing is said of."""
    empty = [name for name, option in options.items() if not "".join(option.get("description") or []).strip()]
    return empty + ["%s.%s" % (name, inner) for name, option in options.items() for inner in _undescribed(_inner(option))]


@pytest.mark.parametrize("kind", THERE)
def test_all_are_listed(kind: str, ansible_doc: Any) -> None:
    listed = json.loads(ansible_doc("--json", "--list", "--type", kind, "bulkhead.linux"))
    assert sorted(listed) == ["bulkhead.linux.%s" % name for name in THERE[kind]]


@pytest.mark.parametrize("kind", THERE)
def test_all_are_printed(kind: str, ansible_doc: Any) -> None:
    printed = ansible_doc("--type", kind, *("bulkhead.linux.%s" % name for name in THERE[kind]))
    assert [name for name in THERE[kind] if "bulkhead.linux.%s" % name not in printed] == []


@pytest.mark.parametrize(("kind", "name"), EACH)
def test_each_option_is_described(kind: str, name: str, documentation: Any) -> None:
    assert _undescribed(_options(kind, documentation[kind, name])) == []


@pytest.mark.parametrize("name", THERE["module"])
def test_a_module_documents_what_it_takes(name: str, documentation: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    taken: dict[str, Any] = {}

    def stop(_module: AnsibleModule, argument_spec: dict[str, Any], **_more: Any) -> None:
        taken.update(argument_spec)
        raise SystemExit

    monkeypatch.setattr(AnsibleModule, "__init__", stop)
    with pytest.raises(SystemExit):
        importlib.import_module(PACKAGE + name).main()
    assert _names(taken) == _names(_options("module", documentation["module", name]))


@pytest.mark.parametrize(("kind", "name"), PLUGINS)
def test_a_plugin_documents_what_it_asks_for(kind: str, name: str, documentation: Any) -> None:
    source = ROOT / "plugins" / kind / (name + ".py")
    text = source.read_text(encoding="utf-8") if source.exists() else ""  # else it is in the file of another one, and this documents it
    asked = set(re.findall(r"""get_option\(["']([a-z]\w*)["']""", text))
    assert asked - set(_options(kind, documentation[kind, name])) == set()
