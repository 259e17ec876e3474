# Copyright: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Quotas as something that can be managed."""

from __future__ import annotations

import os

from ..subject import Subject, Waits
from . import records
from .observation import Observation
from .planning import QuotaPlan, is_waiting, plan_quotas
from .report import report
from .wanted import Quota, parse

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any


class Quotas(Subject):
    """Limits of users, groups, projects and subvolumes."""

    kind = "disk_quota"
    key = "path"
    plural = "quotas"
    singular = "quota"
    needs_root = True

    def __init__(self) -> None:
        self._seen: list[Observation] = []

    def parse(self, options: dict[str, Any]) -> Quota:
        if self.replaying:  # then it stands under the name of its record
            options = {**options, "path": records.path_of(str(options["path"]), options)}
        quota = parse(options, self.checking)
        # An earlier task of the same play may make the directory, which check mode only foresees.
        quota.made_later = (
            self.checking
            and quota.present
            and bool(quota.directory)
            and not os.path.lexists(quota.directory)
        )
        return quota

    def plan(self, objects: list[Quota]) -> QuotaPlan:
        seen = Observation()
        self._seen.append(seen)
        return plan_quotas(seen, objects)

    def report(self, objects: list[Quota], last: QuotaPlan) -> list[dict[str, Any]]:
        return report(objects, last)

    def finish(self) -> None:
        """Let go of the file systems, so that they can be unmounted."""
        for seen in self._seen:
            seen.close()
        self._seen.clear()

    # What lasts

    def left_alone(self, wanted: Quota) -> str:
        """A file system that is not mounted, or a directory that is not there, is waited for."""
        return Waits(is_waiting(wanted))

    def kept_name(self, name: str, options: dict[str, Any]) -> str:
        return records.kept_name(name, options)

    def canonical(self, options: dict[str, Any]) -> dict[str, Any]:
        return records.canonical(options)

    def settled(
        self, objects: dict[str, dict[str, Any]], asked: Iterable[str]
    ) -> dict[str, dict[str, Any]]:
        return records.settled(objects, asked)
