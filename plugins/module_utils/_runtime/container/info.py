# Copyright: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Looking at containers: their state, what they were made from, what they use. Nothing is written."""

from __future__ import annotations

import json
import os

from .. import hidden
from ..cgroup import info as cgroup_info
from ..cgroup.host import Host
from ..kernel import processes
from ..kernel.files import read_text
from . import groups, lifecycle, state, units
from .config import parse_name
from .paths import Paths
from .seccomp import profile

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def names(paths: Paths) -> list[str]:
    """Every container that has a record."""
    try:
        found = {name for name in os.listdir(paths.states) if os.path.exists(paths.state(name) + "/" + state.FILE)}
    except FileNotFoundError:
        found = set()
    return sorted(found | set(units.names(paths)))


def holding(pid: int, paths: Paths, host: Host) -> str | None:
    """The container in whose control group a process is."""
    group = host.hierarchy_of("freezer").group_of(pid)
    for name in names(paths) if group else []:
        record = state.read(paths.state(name)) or {}
        if group == record.get("cgroup") or str(group).startswith("%s/" % record.get("cgroup")):
            return name
    return None


def describe(name: str, paths: Paths, host: Host, log_size: int = 0) -> dict[str, Any]:
    """One container; status absent where there is none."""
    seen = lifecycle.look(parse_name(name), paths, host)
    found: dict[str, Any] = {"name": name, "exists": seen.record is not None, **lifecycle.describe(seen)}
    if seen.record is None:
        return found
    found["ociVersion"] = seen.record.get("ociVersion", state.OCI_VERSION)
    found["config"] = hidden.hide(seen.record.get("config") or {})
    found["config"]["resources"] = json.loads(seen.resources) if seen.resources else {}
    found["seccomp"] = _filter_of(seen)
    found["cgroup"] = seen.record.get("cgroup") or ""
    if units.ours(seen.record):
        found["unit"] = units.describe(name)
        found["restarts"] = found["unit"]["restarts"]
    if seen.has_group:
        stats = cgroup_info.describe(host, found["cgroup"])
        inside = groups.processes_in(found["cgroup"], host)
        found["processes"] = [{"pid": pid, "name": processes.name_of(pid)} for pid in inside]
        found["stats"] = {key: stats[key] for key in ("limits", "memory", "cpu", "io", "pids", "pressure", "events") if key in stats}
    if log_size and found.get("log"):
        found["output"] = lifecycle.output_of(seen, log_size)
    return found


def _filter_of(seen: lifecycle.Seen) -> str:
    """Which seccomp filter is in force: of a container that runs, what the kernel says goes before what was asked for."""
    asked = ((seen.record or {}).get("config") or {}).get("seccomp") or profile.UNCONFINED
    status = read_text("/proc/%d/status" % int((seen.record or {}).get("pid") or 0)) or ""
    if "\nSeccomp:\t0\n" in status:
        return profile.UNCONFINED
    return "profile" if isinstance(asked, dict) else str(asked)


def look(paths: Paths, host: Host, name: str | None = None, pid: int | None = None, log_size: int = 0) -> list[dict[str, Any]]:
    """One container by name or process, or all of them."""
    if pid is not None:
        name = holding(pid, paths, host)
        return [describe(name, paths, host, log_size)] if name else []
    return [describe(each, paths, host, log_size) for each in ([name] if name is not None else names(paths))]
