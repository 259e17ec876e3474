# Copyright: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""The unit file of a container, the links that have it started, and the file that says what the container is made of.

The names are the user's: bulkhead-NAME.service belongs to the container NAME, so whatever else the collection keeps for systemd
is called otherwise (role node: bulkhead.service). A unit of such a name that is not ours is refused, wherever systemd would
find it; drop-ins are the administrator's and are left alone.
"""

from __future__ import annotations

import json
import os

from .. import pack
from ..cgroup.units import PERSISTENT, RUNTIME, UnitFile
from ..errors import InvalidInput
from ..kernel.files import read_text
from ..plan import MakeLink, Step
from ..slices import escape_path
from . import groups, mountpoints, network
from .journal import RATE_INTERVAL, RATE_LINES
from .paths import Paths
from .specfile import WriteSpec
from .wire import to_json

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

_WANTS = "multi-user.target.wants"
_SYSTEM_PYTHON = "/usr/bin/python3"
_MARK = "# Made by bulkhead.linux (container_run)"
_RESTARTS = {"no": "no", "on-failure": "on-failure", "always": "always", "unless-stopped": "always"}
# Where systemd finds unit files (systemd.unit(5)).
_LOAD_PATH = (
    "/etc/systemd/system.control",
    "/run/systemd/system.control",
    "/run/systemd/transient",
    "/run/systemd/generator.early",
    PERSISTENT,
    "/etc/systemd/system.attached",
    RUNTIME,
    "/run/systemd/system.attached",
    "/run/systemd/generator",
    "/usr/local/lib/systemd/system",
    "/usr/lib/systemd/system",
    "/lib/systemd/system",
    "/run/systemd/generator.late",
)
# How long systemd may take beyond the container's own time to end, and how long a unit may take to start.
MARGIN = 15
PATIENCE = 600.0
# Mount points that are there before any unit is started.
_EARLY = ("/proc", "/sys", "/dev", "/run")


def name_of(container: str) -> str:
    """Return the unit of a container."""
    return "bulkhead-%s.service" % container


def spec_path(container: str, root: str, paths: Paths) -> str:
    """Return the file that says what the container is made of, kept as long as its unit is."""
    return "%s/%s.json" % (paths.unit_specs[root != PERSISTENT], container)


def spec_of(container: str, paths: Paths) -> dict[str, Any] | None:
    """Return what the container's unit starts; None where it has none, or it cannot be read."""
    for root in (PERSISTENT, RUNTIME):
        text = read_text(spec_path(container, root, paths)) if os.path.exists("%s/%s" % (root, name_of(container))) else None
        try:
            if text:
                spec: dict[str, Any] = json.loads(text)
                return spec
        except ValueError:
            pass
    return None


def names(paths: Paths) -> list[str]:
    """Return the containers that have such a file."""
    found = set()
    for directory in paths.unit_specs:
        for name in os.listdir(directory) if os.path.isdir(directory) else []:
            if name.endswith(".json") and not name.startswith("."):
                found.add(name[: -len(".json")])
    return sorted(found)


def is_enabled(container: str) -> bool:
    """Return whether boot starts the container."""
    return os.path.islink("%s/%s/%s" % (PERSISTENT, _WANTS, name_of(container)))


def _python() -> str:
    """Return the interpreter by the name that outlives an upgrade of the machine, where it has one."""
    return _SYSTEM_PYTHON if os.path.realpath(_SYSTEM_PYTHON) == pack.interpreter() else pack.interpreter()


def _word(path: str) -> str:
    """Return a path as one word of a list in a unit file; empty where it cannot be one."""
    quote = "'" if '"' in path else '"'
    return "" if "\n" in path or quote in path else quote + path.replace("%", "%%") + quote


def _mount_line(config: dict[str, Any], paths: Paths) -> str:
    """Return what has a container wait for the mount units of the file systems that hold its files; for others its supervisor waits."""
    needed = [_word(path) for path in dict.fromkeys([paths.lib, *mountpoints.sources(config)])]
    return "RequiresMountsFor=%s" % " ".join(word for word in needed if word)


def unit_text(config: dict[str, Any], resources: dict[str, Any], spec: str, paths: Paths) -> str:
    """Return the unit file of a container."""
    policy = config["restart_policy"]
    once = policy["name"] == "on-failure" and policy["max"]
    lines = [
        "%s; what is changed here is lost." % _MARK,
        "[Unit]",
        "Description=Container %s" % config["name"],
        _mount_line(config, paths),
    ]
    bridge = network.foreign_bridge(network.on_bridge(config))
    if bridge:
        # Until it is there a start is no failure: whoever sees it come starts the container (roles/node/files/90-bulkhead.rules).
        lines.append("ConditionPathExists=/sys/class/net/%s" % bridge.replace("%", "%%"))
    if config["network"]["mode"] != "none":
        lines.append("After=network.target")
    # However often it ends it may be started again, but where a number of times was given.
    lines += ["StartLimitIntervalSec=infinity", "StartLimitBurst=%d" % (policy["max"] + 1)] if once else ["StartLimitIntervalSec=0"]
    lines += ["", "[Service]", "Type=notify", "NotifyAccess=main"]
    lines += ["ExecStart=%s -I -S %s run-unit %s" % (_python(), paths.core, spec)]
    lines += _service_lines(config, resources)
    if paths.prefix:
        lines.append("Environment=BULKHEAD_PREFIX=%s" % paths.prefix)
    return "\n".join([*lines, "", "[Install]", "WantedBy=multi-user.target", ""])


def group_dies(resources: dict[str, Any]) -> bool:
    """Return whether the kernel is to kill all of a container where it kills in it for want of memory."""
    return str((resources.get("memory") or {}).get("oom_group") or "0").lower() in ("1", "true", "yes", "on")


def _service_lines(config: dict[str, Any], resources: dict[str, Any]) -> list[str]:
    return [
        "Slice=%s" % groups.slice_of(config),
        "Delegate=yes",
        "Restart=%s" % _RESTARTS[config["restart_policy"]["name"]],
        "RestartSec=1",
        "KillMode=mixed",
        "TimeoutStartSec=%d" % PATIENCE,
        "TimeoutStopSec=%d" % (config["stop_timeout"] + MARGIN),
        # One process that is killed for want of memory does not end a container, unless all of it is to be killed.
        "OOMPolicy=%s" % ("stop" if group_dies(resources) else "continue"),
        "TasksMax=infinity",
        "SyslogIdentifier=%s" % config["name"],
        "StandardOutput=journal",
        "StandardError=journal",
        # The supervisor stays below this and tells what it left out (journal.py); the margin is for what it says itself.
        "LogRateLimitIntervalSec=%d" % RATE_INTERVAL,
        "LogRateLimitBurst=%d" % (RATE_LINES + 1000),
    ]


def _foreign(container: str) -> str:
    """Return where there is a unit of the container's name that is not ours; empty where there is none."""
    for directory in _LOAD_PATH:
        path = "%s/%s" % (directory, name_of(container))
        ours = directory in (PERSISTENT, RUNTIME) and not os.path.islink(path) and (read_text(path) or "").startswith(_MARK)
        if os.path.lexists(path) and not ours:
            return path
    return ""


def refuse_foreign(container: str) -> None:
    """Raise InvalidInput where there is a unit of the container's name that is not ours."""
    path = _foreign(container)
    if path:
        masked = os.path.islink(path) and os.readlink(path) == "/dev/null"
        raise InvalidInput(
            "container %s: the unit %s is there and was not made by this collection%s" % (container, path, ": it is masked" if masked else ""),
            target=path,
            hint="unmask it, with systemctl unmask" if masked else "give the container another name or supervisor: builtin, or remove that unit first",
        )


def _started_by(points: Iterable[str], root: str, unit: str) -> set[str]:
    """Return the links by which systemd starts a unit that failed with one of these mounts, when that is mounted after all.

    It heeds them for mounts that have a unit file or a line in fstab(5).
    """
    late = [point for point in points if point not in _EARLY and not point.startswith(tuple(early + "/" for early in _EARLY[:3]))]
    return {"%s/%s.mount.wants/%s" % (root, escape_path(point), unit) for point in late}


def _links(unit: str) -> list[str]:
    """Return the links by which mounts start a unit."""
    found = []
    for root in (PERSISTENT, RUNTIME):
        for name in os.listdir(root) if os.path.isdir(root) else []:
            path = "%s/%s/%s" % (root, name, unit)
            if name.endswith(".mount.wants") and os.path.islink(path):
                found.append(path)
    return sorted(found)


def _link_steps(unit: str, root: str, at_boot: bool, points: Iterable[str]) -> list[Step]:
    """Return the steps after which boot and mounts start a unit, or do not."""
    path = "%s/%s" % (root, unit)
    found: list[Step] = []
    link = "%s/%s/%s" % (PERSISTENT, _WANTS, unit)
    if root == PERSISTENT and os.path.islink(link) != at_boot:
        found.append(MakeLink(link, path, remove=not at_boot))
    there, wanted = set(_links(unit)), _started_by(points, root, unit) if at_boot else set()
    found += [MakeLink(link, os.readlink(link), remove=True) for link in sorted(there - wanted)]
    return found + [MakeLink(link, path) for link in sorted(wanted - there)]


def files(config: dict[str, Any], resources: dict[str, Any], at_boot: bool, persist: bool, paths: Paths) -> list[Step]:
    """Return the steps that keep a container's unit; none when it is kept already. at_boot: whether boot starts it."""
    name = config["name"]
    unit = name_of(name)
    refuse_foreign(name)
    root = PERSISTENT if persist or os.path.exists("%s/%s" % (PERSISTENT, unit)) else RUNTIME
    spec = spec_path(name, root, paths)
    points = mountpoints.wanted(config, paths).values()
    found = mountpoints.keep(config, paths)
    content = to_json({"config": config, "resources": resources}) + "\n"
    held = read_text(spec)
    if held != content:
        found.append(WriteSpec(spec, held, content))
    path = "%s/%s" % (root, unit)
    text, wanted = read_text(path), unit_text(config, resources, spec, paths)
    if text != wanted:
        found.append(UnitFile(path, text, wanted))
    found += _link_steps(unit, root, at_boot, points)
    if root == PERSISTENT:
        found += _removals(name, (RUNTIME,), paths)
    return found


def changed_spec(config: dict[str, Any], paths: Paths) -> list[Step]:
    """Return the steps that have a container's unit start it with another configuration from now on."""
    found: list[Step] = []
    for root in (PERSISTENT, RUNTIME):
        path = spec_path(config["name"], root, paths)
        held = read_text(path)
        if held:
            content = to_json({**json.loads(held), "config": config}) + "\n"
            found += [WriteSpec(path, held, content)] if content != held else []
    return found


def _removals(name: str, roots: tuple[str, ...], paths: Paths) -> list[Step]:
    found: list[Step] = []
    unit = name_of(name)
    if PERSISTENT in roots and not _foreign(name):
        found += not_at_boot(name)
    for root in roots:
        path = "%s/%s" % (root, unit)
        text = read_text(path)
        if text is not None and text.startswith(_MARK):
            found.append(UnitFile(path, text, None))
        spec = spec_path(name, root, paths)
        held = read_text(spec)
        if held is not None:
            found.append(WriteSpec(spec, held, None))
    return found


def removal(name: str, paths: Paths) -> list[Step]:
    """Return the steps that take a container's unit away."""
    return _removals(name, (PERSISTENT, RUNTIME), paths)


def not_at_boot(name: str) -> list[Step]:
    """Return the steps after which neither boot nor a mount starts it."""
    return _link_steps(name_of(name), PERSISTENT, False, ())
