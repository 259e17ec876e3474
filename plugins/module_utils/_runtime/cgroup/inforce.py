# Copyright: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""What is in force for a group, whatever it holds itself: the smallest limit among it and the groups above, frozen by any of them."""

from __future__ import annotations

from .host import Host
from .knobs import KNOBS
from .values import MAX

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from .host import Hierarchy

# Limits of which the smallest on the way to the root holds.
_SMALLEST = [knob for knob in KNOBS if knob.option in ("memory.max", "memory.high", "pids.max", "cpu.max")]
_PERIOD = 100000


def _size(option: str, text: str) -> float:
    """Return a limit as a number; CPU time as a share of one CPU."""
    words = text.split()
    if not words or words[0] == MAX:
        return float("inf")
    return float(words[0]) / (float(words[1]) if len(words) > 1 else _PERIOD) if option == "cpu.max" else float(words[0])


def above(name: str) -> list[str]:
    """Return a group and those above it, from it up; without the root."""
    parts = name.split("/")
    return ["/".join(parts[:end]) for end in range(len(parts), 0, -1)]


def _held(host: Host, name: str) -> dict[str, str]:
    """Return {option: limit} as a group holds it itself."""
    found = {}
    for knob in _SMALLEST:
        if not host.has(knob.controller):
            continue
        hierarchy = host.hierarchy(knob.controller, knob.option)
        texts = [(file, hierarchy.tree.read_short("%s/%s" % (name, file.name))) for file in knob.files(hierarchy.version)]
        values = [file.format.value(file.format.normal(text)) for file, text in texts if text is not None]
        if values:
            found[knob.option] = " ".join(values)
    return found


def limits(host: Host, groups: Iterable[str]) -> dict[str, tuple[str, str]]:
    """Return {option: (limit, group)}: the smallest of these groups, the first of them where several have it."""
    found: dict[str, tuple[str, str]] = {}
    for name in groups:
        for option, text in _held(host, name).items():
            if option not in found or _size(option, text) < _size(option, found[option][0]):
                found[option] = (text, name)
    return found


def frozen_by(hierarchy: Hierarchy, name: str) -> list[str]:
    """Return the group and those above it that are frozen by themselves; empty where it is not frozen, by whichever."""
    tree = hierarchy.tree
    if hierarchy.version == 2:
        if "frozen 1" not in (tree.read_short(name + "/cgroup.events") or ""):
            return []
        return [group for group in above(name) if tree.read_short(group + "/cgroup.freeze") == "1"]
    if tree.read_short(name + "/freezer.state") != "FROZEN":
        return []
    return [group for group in above(name) if tree.read_short(group + "/freezer.self_freezing") == "1"]
