# Copyright: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Containers as something that can be managed."""

from __future__ import annotations

from ..cgroup import canonical
from ..errors import BulkheadError, InvalidInput
from ..plan import Plan
from ..records import NOT_KEPT, given_of
from ..subject import Subject
from . import classes, config, info, network, waiting
from . import options as table
from .lifecycle import LASTING, Container, ContainerPlan, Lifecycle, describe, look

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class Containers(Subject):
    """Containers."""

    kind = "container_run"
    plural = "containers"
    singular = "container"
    persist_default = None
    needs_root = True
    not_kept: tuple[str, ...] = (*NOT_KEPT, "settle", "signal", "wait_timeout", "max_output")

    def __init__(self) -> None:
        self.lifecycle = Lifecycle()
        self.containers: list[Container] = []
        self.last = ContainerPlan()
        self.applied = False

    def parse(self, options: dict[str, Any]) -> Container:
        self.lifecycle.replaying = self.replaying
        self.lifecycle.checking = self.checking
        return self.lifecycle.parse(options)

    def plan(self, objects: list[Container]) -> ContainerPlan:
        self.lifecycle.persist = self.persist
        self.containers, self.last = objects, self.lifecycle.plan(objects)
        return self.last

    def apply(self, the_plan: Plan) -> None:
        self.lifecycle.apply(the_plan, self.containers, self.last)
        self.applied = True

    def wait(self, objects: list[Container]) -> None:
        self.lifecycle.wait(objects)
        self.last.warnings += self.lifecycle.warnings

    def finish(self) -> None:
        self.lifecycle.finish()

    def report(self, objects: list[Container], last: ContainerPlan) -> list[dict[str, Any]]:
        self.lifecycle.finish()
        reports = self.lifecycle.report(objects, last)
        failures = self.lifecycle.failures
        failed = [report for report in reports if report["name"] in failures]
        if failed:
            error = BulkheadError(
                "; ".join("container %s %s" % (report["name"], failures[report["name"]]) for report in failed),
                target=failed[0].get("log", ""),
                hint=waiting.hint(failed),
            )
            error.result = {"changed": self.applied, self.plural: reports}
            raise error
        return reports

    def kept(self, held: dict[str, Any], options: dict[str, Any], persist: bool | None) -> dict[str, Any] | None:
        """A container is given as a whole, or by its name to be paused, stopped or started as it is, with what is to change of it.

        A job is over when it has ended: unless it was said, it does not come back.
        """
        if options.get("wait") and persist is None:
            return None
        given = given_of(options, self.not_kept)
        if "state" in given:
            given["state"] = LASTING.get(given["state"], given["state"])
        if "command" in given:
            _keep_bandwidth(held, given)
            return held if self._says_the_same(held, given) else given
        if "command" not in held:
            return held or None
        kept = {**held, "state": given.get("state", held.get("state"))}
        if kept["state"] == "stopped":
            return kept  # what ends is not changed
        if given.get("resources"):
            kept["resources"] = canonical.merge(held.get("resources") or {}, given["resources"], self.lifecycle.host)
        if given.get("rdt"):
            kept["rdt"] = classes.laid_over(held.get("rdt") or {}, given["rdt"])
        if given.get("disk_quota"):
            kept["disk_quota"] = {**(held.get("disk_quota") or {}), **given["disk_quota"]}
        return held if self._says_the_same(held, kept) else kept

    def _says_the_same(self, held: dict[str, Any], given: dict[str, Any]) -> bool:
        """Whether two requests ask for the same container, in whatever words."""
        if held == given:
            return True
        if "command" not in held or any(held.get(key) != given.get(key) for key in ("state", "env_file")):
            return False
        try:
            one, other = (config.parse({**asked, "name": "x"}, "/", True, False) for asked in (held, given))
            if table.differences(one, other):
                return False
            for settings in (one, other):
                self.lifecycle.limit_processes(settings["resources"])
            return self.lifecycle.same_resources(one["resources"], other["resources"])
        except InvalidInput:
            return False

    def left_alone(self, wanted: Container) -> str:
        return self.lifecycle.left_alone(wanted)

    def others(self, names: set[str]) -> list[dict[str, Any]]:
        paths, host = self.lifecycle.paths, self.lifecycle.host
        return [{"name": name, **describe(look(name, paths, host))} for name in info.names(paths) if name not in names]


def _keep_bandwidth(held: dict[str, Any], given: dict[str, Any]) -> None:
    """What tc_bandwidth has set is kept where nothing else is asked, as it stays in force."""
    limits, value = network.set_by_tc_bandwidth(held), network.on_bridge(given)
    if limits and value:
        given["network"] = {"bandwidth": limits, **value}
