# Copyright: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""What tc_bandwidth asks of a container of ours, as a part of the container.

The limits of a container are one record, its option network.bandwidth: so they are there at each of
its starts, and gone with it. They are written where the container's own are: beside its record, in
what its unit starts, and in what is kept of it for the next boot.

What only a container needs is imported for one.
"""

from __future__ import annotations

import contextlib

from .. import desired, records
from ..tc.subject import Bandwidth

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ..plan import Plan, Step
    from ..records import Records
    from ..tc.limit import Limit
    from ..tc.planning import BandwidthPlan

_KIND = "container_run"


class Limits(Bandwidth):
    """Limits of interfaces and of containers."""

    def plan(self, objects: list[Limit]) -> BandwidthPlan:
        plan = super().plan(objects)
        for limit in objects:
            if limit.container:
                plan.steps += self._noted(limit)
        self._steps = list(plan.steps)
        return plan

    def apply(self, the_plan: Plan) -> None:
        """Nobody else changes a container meanwhile."""
        names = [limit.container for limit in self._planned if limit.container]
        with contextlib.ExitStack() as stack:
            if names:
                from . import locks
                from .paths import Paths

                paths = Paths()
                paths.make()
                stack.enter_context(locks.Locks(paths, names))
            super().apply(the_plan)

    def kept(
        self, held: dict[str, Any], options: dict[str, Any], persist: bool | None
    ) -> dict[str, Any] | None:
        """The limits of a container are kept with it."""
        return None if options.get("container") else super().kept(held, options, persist)

    def _noted(self, limit: Limit) -> list[Step]:
        from . import live, network, shaping, state, steps, unitfiles, units
        from .paths import Paths

        paths = Paths()
        directory = paths.state(limit.container)
        record = state.read(directory)
        config = live.read(directory, (record or {}).get("config") or {})
        value = network.on_bridge(config)
        if record is None or record.get("damaged") or not value:
            return []  # made by somebody else, who has given the interface our alias
        held = value.get("bandwidth") or {}
        wanted = shaping.laid_over(held, limit)
        found: list[Step] = []
        if shaping.same(wanted) != shaping.same(held):
            config = {**config, "network": {**value, "bandwidth": wanted}}
            text = state.text_of(directory + "/" + live.FILE)
            found.append(steps.KeepLive(directory, text, live.text_of(config)))
            if units.ours(config):
                found += unitfiles.changed_spec(config, paths)
        return found + (self._kept_with(limit) if self.persist else [])

    def _kept_with(self, limit: Limit) -> list[Step]:
        """The step that changes what is kept of the container, if anything is kept of it."""

        def change(objects: Records) -> Records:
            options = _changed(objects.get(limit.container), limit)
            return {**objects, limit.container: options} if options else objects

        before = desired.read(_KIND)
        after = change(before)
        if after == before:
            return []
        return [desired.Keep(_KIND, change, *records.shown(before, after))]


def _changed(options: dict[str, Any] | None, limit: Limit) -> dict[str, Any] | None:
    """What is kept of a container, with other limits; None where that is the same."""
    from . import network, shaping

    value = network.on_bridge(options)
    if not value:
        return None
    held = value.get("bandwidth") or {}
    wanted = shaping.laid_over(held, limit)
    if shaping.same(wanted) == shaping.same(held):
        return None
    others = {name: given for name, given in value.items() if name != "bandwidth"}
    return {**(options or {}), "network": {**others, "bandwidth": wanted} if wanted else others}
