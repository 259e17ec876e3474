# Copyright: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""That no container lives in the control group of another one.

Each may have any name and any cgroup_parent; what cannot be is a parent that is, or lies below, the group of another
container: that holds the other's own groups and is limited, frozen and removed with it.
"""

from __future__ import annotations

import os

from ..errors import InvalidInput
from . import state
from .paths import Paths


def check(wanted: dict[str, str], ending: set[str], paths: Paths) -> None:
    """Raise InvalidInput where one of these containers would be in the group of another one, or another one in its group.

    wanted: {container: its group} of those that a call makes; ending: those that it removes.
    """
    there = {name: group for name, group in _known(paths).items() if name not in ending}
    there.update(wanted)
    by_group = {group: name for name, group in there.items()}
    for name in wanted:
        parts = there[name].split("/")
        for end in range(1, len(parts)):
            other = by_group.get("/".join(parts[:end]))
            if other is not None:
                raise _refusal(name, other, "/".join(parts[:end]))
    for other, group in there.items():
        parts = group.split("/")
        for end in range(1, len(parts)):
            name = by_group.get("/".join(parts[:end]), "")
            if name in wanted and name != other:
                raise _refusal(other, name, "/".join(parts[:end]), name)


def _known(paths: Paths) -> dict[str, str]:
    """Return {container: its group} of those that there are."""
    found = {}
    for name in os.listdir(paths.states) if os.path.isdir(paths.states) else []:
        group = state.text_of("%s/%s" % (paths.state(name), state.GROUP))
        if group:
            found[name] = group
    return found


def _refusal(inner: str, outer: str, group: str, asked: str = "") -> InvalidInput:
    return InvalidInput(
        "container %s: container %s would be in the control group %s of container %s" % (asked or inner, inner, group, outer),
        hint="give container %s another cgroup_parent: the group of a container is its own" % inner,
    )
