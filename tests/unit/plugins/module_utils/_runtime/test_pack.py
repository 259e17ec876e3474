# SPDX-FileCopyrightText: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The core as one file: whole, replaced only when it is another, and never under somebody who runs from it."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
import threading
import time
import zipfile
from pathlib import Path

import pytest
from ansible_collections.bulkhead.linux.plugins.module_utils._runtime import corefile, pack
from ansible_collections.bulkhead.linux.plugins.module_utils._runtime.errors import BulkheadError
from ansible_collections.bulkhead.linux.plugins.module_utils._runtime.kernel import flock

PLUGINS = Path(__file__).resolve().parents[5] / "plugins"
CORE = PLUGINS / "module_utils/_runtime"


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr(pack, "PATH", str(tmp_path / "local/libexec/bulkhead.pyz"))
    return pack.PATH


def test_it_is_written_once(path: str) -> None:
    assert pack.ensure(path) is True
    assert pack.ensure(path) is False, "what is there already is not written again"
    with zipfile.ZipFile(path) as packed:
        names = packed.namelist()
        assert "__main__.py" in names
        assert "bulkhead/container/helper.pyc" in names
        assert all(entry.compress_type == zipfile.ZIP_STORED for entry in packed.infolist())
    with open(path, "ab") as file:
        file.write(b"x")
    assert pack.ensure(path) is True, "what was changed is made anew"
    assert os.listdir(os.path.dirname(path)) == ["bulkhead.pyz"]


def test_the_step_leaves_it_as_a_command(path: str, tmp_path: Path) -> None:
    (step,) = pack.steps()
    assert (step.target, step.before) == (path, None)
    assert (step.after or "").startswith("core ")
    step.do()
    assert pack.steps() == []
    command = tmp_path / "local/bin/bulkhead"
    done = subprocess.run([command, "--help"], capture_output=True, text=True, check=False, env={})
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("usage: bulkhead VERB")
    refused = subprocess.run([sys.executable, "-IS", path, "nonsense"], capture_output=True, text=True, check=False, env={})
    assert (refused.returncode, refused.stdout) == (2, "")
    command.unlink()
    (step,) = pack.steps()
    assert step.before == step.after, "only the link is missing"
    step.do()
    assert command.is_symlink()
    step.undo()
    assert pack.steps() == [], "it stays, because another run may rely on it"


def test_a_file_of_somebody_else_that_is_called_as_the_command_is_left_alone(path: str, tmp_path: Path) -> None:
    command = tmp_path / "local/bin/bulkhead"
    command.parent.mkdir(parents=True)
    command.write_text("mine")
    (step,) = pack.steps()
    step.do()
    assert command.read_text() == "mine"
    assert pack.steps() == []


def test_another_version_is_replaced_and_named(path: str) -> None:
    pack.ensure(path)
    content = Path(path).read_bytes()
    Path(path).write_bytes(content[:-64] + b"0" * 64)
    assert [step.before for step in pack.steps()] == ["core 000000000000"]
    Path(path).write_bytes(b"something " * 20)
    assert [step.before for step in pack.steps()] == ["another file"]


def test_it_is_not_replaced_while_it_is_in_use(path: str) -> None:
    pack.ensure(path)
    done = []

    def replace() -> None:
        with flock.held(path, True, 10):
            done.append(time.monotonic())

    with pack.in_use(path):
        other = threading.Thread(target=replace)
        other.start()
        time.sleep(0.2)
        assert not done
        released = time.monotonic()
    other.join()
    assert done[0] >= released
    pack._replace(path, Path(path).read_bytes()[:-64] + b"0" * 64)
    with pack.in_use(path):
        assert pack.steps()[1:] == [], "it is the right version by now, but for the link"


HOLD = """
import runpy, sys
sys.path.insert(0, sys.argv[1])
sys.argv[1:] = ["--help"]
try:
    runpy.run_path(sys.path[0], run_name="__main__")
except SystemExit:
    sys.stdout.flush()
sys.stdin.read()
"""


def test_whoever_runs_from_it_locks_it_first(path: str) -> None:
    """Until its end, because any of its imports may open the file again."""
    pack.ensure(path)
    with subprocess.Popen([sys.executable, "-IS", "-c", HOLD, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline().startswith(b"usage")
        with pytest.raises(BulkheadError, match=r"Held by \d+ \(python"):
            flock.take_path(path, True, 0.2)
        process.communicate()
    os.close(flock.take_path(path, True, 1))


def test_what_is_at_hand_is_what_a_command_in_a_container_imports(path: str) -> None:
    """All of it without a look into the archive, and nothing more but what a terminal takes."""
    pack.ensure(path)
    program = "import os, sys; path = sys.argv[1]; hold = os.open(path, os.O_RDONLY)" + corefile.FIND
    program += "from bulkhead.container import attend, session\n"
    program += "ours = {name for name in sys.modules if name.split('.')[0] == 'bulkhead'}\n"
    program += "print(quick, sorted(ours - set(modules)), sorted(set(modules) - ours), 'zipimport' in sys.modules and path in sys.path)"
    program += "\nfrom bulkhead import kinds\nprint(kinds.__file__)"
    done = subprocess.run([sys.executable, "-IS", "-c", program, path], capture_output=True, text=True, check=True)
    at_hand, rest = done.stdout.splitlines()
    assert at_hand == "True [] ['bulkhead.container.terminal', 'bulkhead.kernel.ioctls'] False"
    assert rest.startswith(path), "what is not at hand comes from the archive"


def test_programs_go_through_a_shell_as_they_are() -> None:
    assert not set("'\"$`\\!") & set(corefile.ENTER)
    script = corefile.on_node("web", [b"exec", b"web", b"--", b"true"], has_input=False)
    assert subprocess.run(["/bin/sh", "-n", "-c", script], capture_output=True, check=True).stderr == b""
    assert "'" not in script, "each shell on the way would multiply them"


def _imports(file: Path, module: str) -> set[str]:
    """The modules that a file may import from somewhere in it, as Ansible finds them for a payload."""
    package = module.split(".")[:-1] if file.name != "__init__.py" else module.split(".")
    found = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.level:
            base = package[: len(package) - node.level + 1] + (node.module.split(".") if node.module else [])
            found |= {".".join(base)} | {".".join([*base, alias.name]) for alias in node.names}
    return found


def test_the_command_knows_every_file_of_the_core() -> None:
    """What a module leaves behind is what its payload holds: with cli.py all of the core, whatever the module itself needs.

    Else two modules would replace the core by turns.
    """
    files = {"core." + ".".join(file.relative_to(CORE).with_suffix("").parts): file for file in CORE.rglob("*.py") if file.name != "__init__.py"}
    todo, seen = ["core.cli"], set()
    while todo:
        module = todo.pop()
        if module in files and module not in seen:
            seen.add(module)
            todo += _imports(files[module], module)
    assert sorted(set(files) - seen) == [], "these belong into cli.the_rest()"


def test_modules_that_leave_the_core_behind_import_all_of_it() -> None:
    whole = "_runtime import cli as _cli"
    assert whole in (PLUGINS / "module_utils/_module.py").read_text(encoding="utf-8")
    leave = 0
    for file in sorted((PLUGINS / "modules").glob("*.py")):
        text = file.read_text(encoding="utf-8")
        if "_module.run(" in text:
            leave += 1
        elif "commands.run(" in text:  # starts a helper, from the packed core
            assert whole in text, file.name
            leave += 1
    assert leave >= 3
