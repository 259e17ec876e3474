# Copyright: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""What the hierarchies hold now, read once."""

from __future__ import annotations

from ..kernel.files import Tree
from .group import Setting
from .host import Hierarchy, Host


class Observation:
    """What the hierarchies hold now; every file is read once for each plan."""

    def __init__(self, host: Host) -> None:
        self.host = host
        self._texts: dict[tuple[Tree, str], str | None] = {}
        self._there: dict[tuple[Tree, str], bool] = {}

    def text(self, hierarchy: Hierarchy, path: str) -> str | None:
        """The text of an interface file; None where it is not there."""
        key = (hierarchy.tree, path)
        if key not in self._texts:
            self._texts[key] = hierarchy.tree.read_short(path)
        return self._texts[key]

    def exists(self, hierarchy: Hierarchy, group: str, a_file: str = "") -> bool:
        """Whether the group is there; a file that will be read anyway, if it is there, tells without another look."""
        key = (hierarchy.tree, group)
        if key not in self._there:
            self._there[key] = not group or self._look(hierarchy, group, a_file)
        return self._there[key]

    def _look(self, hierarchy: Hierarchy, group: str, a_file: str) -> bool:
        if not self.exists(hierarchy, group.rpartition("/")[0]):
            return False  # a thousand groups to be made in one that is not there need no look each
        return (bool(a_file) and self.text(hierarchy, group + "/" + a_file) is not None) or hierarchy.tree.exists(group)

    def now(self, setting: Setting, group: str) -> str | None:
        """The canonical spelling of what a setting's file holds; None where it is not there."""
        text = self.text(setting.hierarchy, group + "/" + setting.file.name)
        return None if text is None else setting.file.format.normal(text, setting.key)
