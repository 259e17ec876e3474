# Copyright: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Looking at containers: their state, what they were made from, what they use. Nothing is written."""

from __future__ import annotations

import fnmatch
import json
import os

from .. import hidden
from ..cgroup import info as cgroup_info
from ..cgroup.host import Host
from ..errors import InvalidInput
from ..kernel import processes
from ..kernel.files import read_text
from . import groups, lifecycle, options, private, state, unitfiles, units, words
from .paths import Paths
from .seccomp import profile

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

# What is told of a container beside its state; each is looked up only when it is asked for.
PARTS = ("config", "disk_quota", "network", "processes", "stats", "unit")
# More of a log than this is read better from the log itself.
_MOST_OF_A_LOG = 64 << 20


def names(paths: Paths) -> list[str]:
    """Every container that has a record."""
    try:
        found = {name for name in os.listdir(paths.states) if os.path.exists(paths.state(name) + "/" + state.FILE)}
    except FileNotFoundError:
        found = set()
    return sorted(found | set(unitfiles.names(paths)))


def holding(pid: int, paths: Paths, host: Host) -> str | None:
    """The container in whose control group a process is."""
    group = host.hierarchy_of("freezer").group_of(pid)
    for name in names(paths) if group else []:
        record = state.read(paths.state(name)) or {}
        if group == record.get("cgroup") or str(group).startswith("%s/" % record.get("cgroup")):
            return name
    return None


class Question:
    """What is to be told, of which containers. Raises InvalidInput.

    subset: PARTS, or all; filters: what must hold of a container, by name; log_bytes: how much of the end of its log.
    """

    def __init__(self, options: dict[str, Any]) -> None:
        subset = options.get("subset")
        self.parts = set(PARTS) if subset is None or "all" in subset else set(subset)
        self.log_bytes = words.whole(options.get("log_bytes") or 0, "log_bytes", 0, _MOST_OF_A_LOG)
        filters = words.mapping(options.get("filters"), "filters")
        self.names = [words.text(name, "filters.name") for name in words.items(filters.get("name"), "filters.name")]
        self.statuses = words.items(filters.get("status"), "filters.status")
        self.labels = [
            words.text(label, "filters.label")
            for label in words.items(filters.get("label"), "filters.label")
        ]

    def takes_name(self, name: str) -> bool:
        """Whether a container of this name may be meant."""
        return not self.names or any(fnmatch.fnmatchcase(name, pattern) for pattern in self.names)

    def takes(self, found: dict[str, Any]) -> bool:
        """Whether a container with this state is meant."""
        if self.statuses and found["status"] not in self.statuses:
            return False
        labels = found.get("labels") or {}
        return all(_has_label(labels, asked) for asked in self.labels)


def _has_label(labels: dict[str, str], asked: str) -> bool:
    """Whether one is there: by its name, or as NAME=TEXT. A name may hold an equals sign itself."""
    return asked in labels or any("%s=%s" % pair == asked for pair in labels.items())


def describe(name: str, paths: Paths, host: Host, question: Question) -> dict[str, Any] | None:
    """One container; status absent where there is none. None where it is not meant."""
    seen = lifecycle.look(words.parse_name(name), paths, host)
    found: dict[str, Any] = {"name": name, "exists": seen.record is not None, **lifecycle.describe(seen)}
    if not question.takes(found):
        return None
    if seen.record is None:
        return found
    found["ociVersion"] = seen.record.get("ociVersion", state.OCI_VERSION)
    found["seccomp"] = _filter_of(seen)
    found["cgroup"] = seen.record.get("cgroup") or ""
    config = seen.record.get("config") or {}
    if "config" in question.parts and config:
        found["config"] = hidden.hide(options.as_options(config, json.loads(seen.resources or "{}"), paths.log))
    if "unit" in question.parts and units.ours(seen.record):
        found["unit"] = units.describe(name)
        found["restarts"] = found["unit"]["restarts"]
    if "network" in question.parts and "network" in found:
        from . import interfaces

        found["network"].update(interfaces.describe(seen.name, seen.record, paths))
    limits = private.describe(config, paths) if "disk_quota" in question.parts else None
    if limits is not None:
        found["disk_quota"] = limits
    if seen.has_group:
        _describe_group(found, host, question)
    if question.log_bytes and found.get("log"):
        found["output"] = lifecycle.output_of(seen, question.log_bytes)
    return found


def _filter_of(seen: lifecycle.Seen) -> str:
    """Which seccomp filter is in force: of a container that runs, what the kernel says goes before what was asked for."""
    asked = ((seen.record or {}).get("config") or {}).get("seccomp") or profile.UNCONFINED
    status = read_text("/proc/%d/status" % int((seen.record or {}).get("pid") or 0)) or ""
    if "\nSeccomp:\t0\n" in status:
        return profile.UNCONFINED
    return "profile" if isinstance(asked, dict) else str(asked)


def _describe_group(found: dict[str, Any], host: Host, question: Question) -> None:
    if "processes" in question.parts:
        found["processes"] = [{"pid": pid, "name": processes.name_of(pid)} for pid in groups.processes_in(found["cgroup"], host)]
    if "stats" in question.parts:
        stats = cgroup_info.describe(host, found["cgroup"])
        found["stats"] = {key: stats[key] for key in ("limits", "memory", "cpu", "io", "pids", "pressure", "events") if key in stats}
        overruled = groups.overruled(found["cgroup"], host)
        if overruled and "limits" in found["stats"]:
            found["stats"]["limits"].update({option: limit for option, (limit, _group) in overruled.items()})
            found["stats"]["limited_by"] = {option: group for option, (_limit, group) in overruled.items()}


def look(paths: Paths, host: Host, asked: dict[str, Any]) -> list[dict[str, Any]]:
    """One container by name or process, or all of them. Raises InvalidInput."""
    question, name, pid = Question(asked), asked.get("name"), asked.get("pid")
    if pid is not None:
        if pid <= 0 or not processes.threads_of(pid):
            raise InvalidInput("there is no process %d" % pid)
        name = holding(pid, paths, host)
        if name is None:
            return []
    found = [describe(each, paths, host, question) for each in ([name] if name is not None else names(paths)) if question.takes_name(each)]
    return [one for one in found if one is not None]
