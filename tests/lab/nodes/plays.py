# SPDX-FileCopyrightText: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Playbooks, integration targets and Python tests, run on nodes by a program on this side."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from .images import HERE, ROOT, LabError
from .node import SOURCES, Node

LOGS = ROOT / "build/logs"
TARGETS = "tests/integration/targets"
# What systemd runs at each of its reloads, which takes seconds under emulation and finds nothing on these nodes; until the next boot.
IDLE = "cryptsetup gpt-auto hibernate-resume integritysetup rc-local run system-update sysv veritysetup"
QUICK = "mkdir -p /run/systemd/system-generators; for g in %s; do ln -sf /dev/null /run/systemd/system-generators/systemd-$g-generator; done; " % IDLE


def ansible(nodes: Sequence[Node], plays: Path | list[dict[str, Any]], options: Sequence[str] = (), **variables: Any) -> str:
    """Run a playbook, the file or what would be in it, on these nodes alone: what Ansible said. It must not fail.

    The collection is the one of `build/collections`, as .ci/artefact installs it.
    """
    program = Path(sys.prefix) / "bin/ansible-playbook"
    with tempfile.TemporaryDirectory(prefix="bulkhead-play-") as directory:
        if isinstance(plays, Path):
            path = plays
        else:
            path = Path(directory) / "play.json"  # which is YAML as well
            path.write_text(json.dumps(plays), encoding="utf-8")
        command = [
            str(program),
            "-i",
            str(HERE / "lab"),
            "-l",
            ",".join(node.name for node in nodes),
            str(path),
            "--extra-vars",
            json.dumps(variables),
            *options,
        ]
        clean = {name: value for name, value in os.environ.items() if not name.startswith("ANSIBLE_")}
        settings = {"ANSIBLE_CONFIG": str(ROOT / ".ci/ansible.cfg"), "ANSIBLE_NOCOLOR": "1", "LC_ALL": "C.UTF-8", "ANSIBLE_FORKS": "3"}
        settings["ANSIBLE_ROLES_PATH"] = str(ROOT / "build/collections/ansible_collections/bulkhead/linux" / TARGETS)
        done = subprocess.run(
            command, cwd=ROOT, env=clean | settings, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
        )
    if done.returncode:
        raise LabError("ansible-playbook ended with exit status %d:\n%s" % (done.returncode, done.stdout[-8000:]))
    seen = set(re.findall(r"^(\S+) +: ok=[1-9]", done.stdout, re.MULTILINE))
    if seen != {node.name for node in nodes}:
        raise LabError("the playbook did not run on each of %s:\n%s" % ([node.name for node in nodes], done.stdout[-8000:]))
    return done.stdout


def tasks(nodes: Sequence[Node], *them: dict[str, Any], **variables: Any) -> str:
    """Run tasks on these nodes."""
    return ansible(nodes, [{"hosts": "all", "gather_facts": False, "tasks": list(them)}], **variables)


def target(nodes: Sequence[Node], name: str, **variables: Any) -> str:
    """Run an integration target, as ansible-test does it, on these nodes, and keep what was said in build/logs.

    What targets start on a node out of their own directories is there under the same path as here.
    """
    for node in nodes:
        node.run("mountpoint -q '%s' || { mkdir -p '%s' && mount --bind /bulkhead '%s'; }" % ((ROOT,) * 3))
    play: dict[str, Any] = {"hosts": "all", "gather_facts": True, "roles": [name]}
    play["environment"] = {"ANSIBLE_COLLECTIONS_PATH": str(ROOT / "build/collections")}
    said = ""
    try:
        said = ansible(nodes, [play], **variables)
    except LabError as error:
        said = str(error)
        raise
    finally:
        LOGS.mkdir(parents=True, exist_ok=True)
        (LOGS / ("lab-target-%s-%s.log" % (name, "-".join(node.name for node in nodes)))).write_text(said, encoding="utf-8")
    return said


def pytest(node: Node, *arguments: str, timeout: float = 1200) -> str:
    """Copy the sources to a node and run pytest there: what it said. Its tests must pass.

    Each of them is counted: its results come back as build/logs/lab-inside-*.xml, which tests/run reads.
    """
    report = "/tmp/inside.xml"
    name = re.sub(r"[^\w.-]+", "-", "-".join([node.name, *arguments]))
    command = QUICK + "cd %s && python3 -m pytest --junitxml %s %s" % (node.sync() or SOURCES, report, " ".join(arguments))
    done = node.run(command, check=False, timeout=timeout)
    LOGS.mkdir(parents=True, exist_ok=True)
    (LOGS / ("lab-inside-%s.log" % name)).write_text(done.stdout + done.stderr, encoding="utf-8")
    if done.returncode in (0, 1):
        (LOGS / ("lab-inside-%s.xml" % name)).write_text(node.get(report), encoding="utf-8")
    if done.returncode or not re.search(r"\b[1-9]\d* passed", done.stdout):
        raise LabError("pytest on %s ended with exit status %d:\n%s%s" % (node.name, done.returncode, done.stdout[-12000:], done.stderr[-2000:]))
    return done.stdout


def bulkhead(node: Node, verb: str) -> tuple[int, dict[str, Any]]:
    """`bulkhead VERB --json` on a node: its exit status, and what it says."""
    done = node.run("/usr/local/bin/bulkhead %s --json" % verb, check=False)
    return done.returncode, json.loads(done.stdout)


# What role node installs so that a boot brings back what is kept, and udev what comes later.
UNITS = """
install -Dm644 -t /etc/systemd/system {0}/bulkhead.*service {0}/bulkhead.*path
install -Dm644 -t /etc/udev/rules.d {0}/90-bulkhead.rules
install -Dm644 -t /etc/tmpfiles.d {0}/bulkhead.conf
mkdir -pm 755 /etc/bulkhead/desired.d
systemctl daemon-reload
systemctl -q enable bulkhead.service bulkhead.path bulkhead.limits.service bulkhead.limits.path
"""


def install_units(node: Node) -> None:
    """Have the node's boot bring back what is kept, as role node does."""
    node.run(UNITS.format(node.sync() + "/roles/node/files"))


def boot_is_done(node: Node) -> None:
    """Wait for it: a node answers by ssh before all of its boot is done, and what the boot brings back is part of that."""
    node.run("systemctl is-system-running --wait", check=False)


def until(condition: Callable[[], Any], patience: float = 120.0) -> bool:
    """Whether it comes to hold in time."""
    deadline = time.monotonic() + patience
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.5)
    return True
