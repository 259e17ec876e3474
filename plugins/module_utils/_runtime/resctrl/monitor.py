# Copyright: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""What the hardware counted: cache occupancy and memory traffic of a group, by domain (mon_data, resctrl.rst).

A count is a number of bytes, or a word of the kernel's: Unavailable right after a group was made or when the hardware has no
count yet, Error, and on newer kernels Unassigned where no counter is assigned. Words are values here, never a failure.
"""

from __future__ import annotations

import re
import time

from .observation import Observation

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Union

    Count = Union[int, str]
    # {domain: {event: count}}
    Counts = dict[str, dict[str, Count]]

_DOMAIN = re.compile(r"mon_(sub_)?([A-Za-z0-9]+)_(\d+)")
GONE = "Gone"


def counts(seen: Observation, group: str) -> Counts:
    """What was counted of a group until now. Domains are named by number; those of clusters within an L3 (SNC) as "0/sub_1"."""
    found: Counts = {}
    top = seen.path(group, "mon_data")
    for name in _names(seen, top):
        match = _DOMAIN.fullmatch(name)
        if not match:
            continue
        domain = str(int(match[3]))
        if match[2] != "L3":
            domain = "%s:%s" % (match[2], domain)
        events: dict[str, Count] = {}
        for file in _names(seen, top + "/" + name):
            inner = _DOMAIN.fullmatch(file)
            if inner:  # a cluster of its own counts
                cluster = top + "/" + name + "/" + file
                found["%s/sub_%d" % (domain, int(inner[3]))] = {event: count(seen, cluster + "/" + event) for event in _names(seen, cluster)}
            else:
                events[file] = count(seen, top + "/" + name + "/" + file)
        found[domain] = events
    return found


def _names(seen: Observation, path: str) -> list[str]:
    try:
        return seen.tree.names(path)
    except FileNotFoundError:
        return []


def count(seen: Observation, path: str) -> Count:
    """One count: bytes, or the kernel's word."""
    try:
        text = seen.tree.read_short(path)
    except OSError:
        return "Error"
    if text is None:
        return GONE
    text = text.strip()
    return int(text) if text.isascii() and text.isdigit() else text


class Meter:
    """Two looks at the counts of some groups, and the traffic in between."""

    def __init__(self, seen: Observation, groups: list[str]) -> None:
        self.seen = seen
        self.first = {group: (time.monotonic(), counts(seen, group)) for group in groups}

    def measure(self, group: str) -> dict[str, Any]:
        """{interval in seconds, domains: {domain: the second counts, and bandwidths in bytes per second under event names without _bytes}}"""
        began, before = self.first[group]
        now = time.monotonic()
        after = counts(self.seen, group)
        interval = now - began
        domains: dict[str, dict[str, Count]] = {}
        for domain, events in after.items():
            domains[domain] = dict(events)
            for event, count_now in events.items():
                if event.endswith("_bytes"):
                    domains[domain][event[: -len("_bytes")] + "_bandwidth"] = _rate(before.get(domain, {}).get(event, GONE), count_now, interval)
        return {"interval": round(interval, 3), "domains": domains}


def _rate(before: Count, after: Count, interval: float) -> Count:
    if isinstance(before, str) or isinstance(after, str):
        return after if isinstance(after, str) else before
    if after < before or interval <= 0:  # a new group under the old name, or a counter that was cleared
        return "Unavailable"
    return int((after - before) / interval)
