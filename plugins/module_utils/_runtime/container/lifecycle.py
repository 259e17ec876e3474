# Copyright: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""From desired containers to the steps that make them so: what changes in place, what is made anew, what goes."""

from __future__ import annotations

import contextlib
import errno
import json
import os

from .. import hidden, records
from ..cgroup import canonical
from ..cgroup.group import Group
from ..cgroup.host import Host
from ..cgroup.planning import GroupPlan, plan_groups
from ..cgroup.report import report as report_groups
from ..cgroup.steps import Freeze, GiveBack
from ..errors import BulkheadError, InvalidInput
from ..foreseen import Missing, warning
from ..plan import Plan, Step
from ..plan import apply as apply_plan
from ..subject import Waits
from . import (
    base,
    classes,
    config,
    envfile,
    groups,
    lifting,
    live,
    locks,
    lookup,
    mountpoints,
    nesting,
    network,
    options,
    private,
    state,
    steps,
    territory,
    unitfiles,
    units,
    waiting,
    words,
)
from .log import tail
from .paths import Paths
from .payload import PAYLOAD
from .seccomp import filters
from .seccomp import profile as seccomp
from .wire import to_json

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .addresses import Addresses
    from .interfaces import Shaped

_LIVE = ("running", "paused", "restarting")
# What a run or a supervisor that was killed has left behind.
_ORPHANED = ("creating", "broken", "unsupervised")
# How often a plan is made of containers that end while they are looked at.
_LOOKS = 5
_STATES = ("started", "healthy", "restarted", "stopped", "paused", "absent")
# What a state comes to once it is reached; so it is kept for the boot.
LASTING = {"restarted": "started", "healthy": "started"}
# The most processes and threads of a container for which nothing is said: as many as podman gives.
DEFAULT_PIDS = 2048


class Container:
    """One container as it is desired.

    config: the whole configuration; None when only the name was given, and the container stays what it is, but for `laid_over`: the
    options resources and rdt that were given with the name. renews: what of the configuration makes the container that is there anew;
    lives: what of it changes while it runs.
    """

    def __init__(self, name: str, wanted: str, settings: dict[str, Any] | None, resources: dict[str, Any], wait: bool) -> None:
        self.name = name
        self.wanted = wanted
        self.config = settings
        self.resources = resources
        self.wait = wait
        self.laid_over: dict[str, Any] = {}
        self.waiting = waiting.Waiting({})
        self.state = wanted  # in the word of the option
        self.signal = 0  # to be sent to it, if it runs already
        self.asked_group = ""  # by the options, where what is there does not say it any more
        self.group: Group | None = None
        self.lifts = False  # whether the group is asked to let go of limits
        self.seen = Seen(name)
        self.renews: list[str] = []
        self.lives: list[str] = []


class Seen:
    """One container as it is.

    phase: absent, creating (by a run that is at it), broken (left behind by one that was killed), stopped, restarting, running,
    paused, unsupervised (it runs, and its supervisor was killed).
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.phase = "absent"
        self.record: dict[str, Any] | None = None
        self.resources: str | None = None
        self.has_files = False
        self.has_group = False


def look(name: str, paths: Paths, host: Host) -> Seen:
    """A container as the record and the kernel show it, with what was changed since the record was made."""
    seen = _look(name, paths, host)
    if seen.record is not None and seen.record.get("config"):
        seen.record = {**seen.record, "config": live.read(paths.state(name), seen.record["config"])}
    return seen


def _look(name: str, paths: Paths, host: Host) -> Seen:
    seen = Seen(name)
    seen.record = record = state.read(paths.state(name))
    seen.has_files = os.path.isdir(paths.own(name)) or os.path.isdir(paths.aside(name))
    damaged = bool(record and record.get("damaged"))
    if record is not None and damaged:
        _complete_damaged(record, name, paths)
    if record is None or damaged or units.ours(record):
        spec = unitfiles.spec_of(name, paths) if host.systemd else None
        if spec is not None and (record is None or damaged):
            # After a reboot: what systemd starts, or is told to start, is still known; so is what a damaged record was about.
            seen.record = record = {
                "id": name,
                "status": "stopped",
                "pid": 0,
                "created": "",
                "config": spec["config"],
                "cgroup": groups.name_of(spec["config"]),
                **({"damaged": True} if damaged else {"unstarted": True}),
            }
            seen.resources = to_json(spec["resources"])
    if record is None:
        return seen
    seen.resources = state.resources(paths.state(name)) or seen.resources
    group = str(record.get("cgroup") or "")
    seen.has_group = bool(group) and groups.exists(group, host)
    status, monitored = record["status"], state.is_alive(record.get("monitor"))
    alive = state.is_alive({"pid": int(record.get("pid") or 0), "start": int(record.get("start") or 0)})
    if _is_outdated(record, alive and monitored) and state.read(paths.state(name)) != record:
        return _look(name, paths, host)  # what ended has written so before it ended, and after it was read
    if record.get("damaged") or not group:
        seen.phase = "broken"
    elif units.ours(record) and not (status == "running" and alive and monitored):
        seen.phase = units.phase(name, record)
        if seen.phase == "running" or state.read(paths.state(name)) not in (None, record):  # it came up meanwhile, or how it ended was written
            return _look(name, paths, host)
        if seen.phase == "stopped":
            units.complete(name, record, paths)
    elif status == "running" and alive and monitored:
        seen.phase = "paused" if groups.frozen_by(record, host) else "running"
    elif status == "running" and not alive and monitored:
        # It ended this moment, and its monitor is about to write so; where it cannot (a full /run), it has ended all the same.
        if steps.is_written(paths.state(name), record):
            return _look(name, paths, host)
        _without_supervisor(seen, record, alive, "its end could not be written down: is /run full?")
    elif status == "stopped":
        restarts = monitored and state.is_restarting(record) and not os.path.exists(paths.state(name) + "/" + state.STOPPING)
        seen.phase = "restarting" if restarts else "stopped"
    elif status == "running":
        _without_supervisor(seen, record, alive, "the process that supervised the container was killed, and the container with it")
    else:
        seen.phase = "creating" if state.is_alive(record.get("creator")) else "broken"
    return seen


def _is_outdated(record: dict[str, Any], runs: bool) -> bool:
    """Return whether what a record says of processes is no longer so. runs: whether the first process and the supervisor live."""
    if record.get("damaged"):
        return False
    return (record["status"] == "running" and not runs) or (record["status"] == "creating" and not state.is_alive(record.get("creator")))


def _complete_damaged(record: dict[str, Any], name: str, paths: Paths) -> None:
    """Say of a container with a damaged record where it is, by what else is kept of it; what units keep is seen to by itself."""
    try:
        if not record["cgroup"]:
            record["cgroup"] = groups.name_of(json.loads(state.text_of(paths.own(name) + "/config.json") or ""))
    except (ValueError, KeyError, TypeError):
        pass  # then what is asked for says it, where it does


def _without_supervisor(seen: Seen, record: dict[str, Any], alive: bool, problem: str) -> None:
    """Judge a container whose supervisor was killed: its first process goes with it, but for one that is frozen."""
    if alive:
        seen.phase = "unsupervised"
        return
    seen.phase = "stopped"
    record.update(status="stopped", pid=0, exit={"code": 137, "signal": 9, "killed_by": ""}, taken_down=True)
    record.setdefault("error", {"problem": problem})


class ContainerPlan(Plan):
    """A plan with what was seen of the groups when it was made."""

    groups: GroupPlan | None = None


class Lifecycle:
    """The containers of one module call."""

    def __init__(self, paths: Paths | None = None) -> None:
        self.paths = paths or Paths()
        self.host = Host.observe()
        self.call = steps.Call(self.paths, self.host)
        self.classes = classes.Classes()
        self.territory = territory.Territory(self.paths)
        self.limits = private.Limits(self.paths)
        # What only containers on a bridge need is imported for these alone: it takes time.
        self._addresses: Addresses | None = None
        self._shaped: Shaped | None = None
        self._network: tuple[set[str], dict[str, dict[str, Any]]] = (set(), {})
        self.made: dict[str, str] = {}  # {name: when it was made}, of those that this call made
        self._fingerprint = ""
        self.persist: bool | None = True
        self.replaying = False
        self.checking = False
        self.foreseen: list[str] = []  # warnings of check mode
        self.failures: dict[str, str] = {}  # {container: what is wrong with it}, where everything was done and came to a bad end
        self.warnings: list[str] = []  # of what was waited for

    # What is desired

    def parse(self, given: dict[str, Any]) -> Container:
        """A desired container from a module's options; writes nothing."""
        name = words.parse_name(given.get("name"))
        wanted = given.get("state") or "started"
        if wanted not in _STATES:
            raise InvalidInput("container %s: state %r is none of %s" % (name, wanted, ", ".join(_STATES)))
        wait = words.boolean(given.get("wait"), "wait", False)
        container = self._parse(name, LASTING.get(wanted, wanted), wait, given)
        container.state = wanted
        try:
            container.waiting = waiting.Waiting(given)
            container.signal = 0 if given.get("signal") is None else words.parse_signal(given["signal"], "signal")
            if container.signal and wanted not in ("started", "healthy", "paused"):
                raise InvalidInput("signal: it is sent to a container that goes on, and this one is to be %s" % wanted)
        except InvalidInput as error:
            error.problem = "container %s: %s" % (name, error.problem)
            raise
        container.asked_group = "%s/%s" % (given.get("cgroup_parent") or "bulkhead", name)
        return container

    def _parse(self, name: str, wanted: str, wait: bool, given: dict[str, Any]) -> Container:
        if given.get("command") is None:
            return self._parse_name_only(name, wanted, wait, given)
        ends = wanted in ("absent", "stopped")
        settings = self._parse_config(given, not ends)
        if wait and settings["restart_policy"]["name"] not in ("no", "on-failure"):
            raise InvalidInput("container %s: with restart_policy %s there is no end to wait for" % (name, settings["restart_policy"]["name"]))
        if ends:
            # What it is to be is checked, and not needed: what ends may have lost its volumes, its root or its devices.
            return Container(name, wanted, None, {}, wait)
        self._settle(settings)
        self._add_variables(settings, envfile.paths(given.get("env_file")))
        resources = settings.pop("resources")
        self.limit_processes(resources)
        container = Container(name, wanted, settings, resources, wait)
        self._find_group(container)
        return container

    def _parse_name_only(self, name: str, wanted: str, wait: bool, given: dict[str, Any]) -> Container:
        """A container of which only the name is given, and perhaps what is to change of it while it runs."""
        container = Container(name, wanted, None, {}, wait)
        if wanted in ("started", "paused"):
            laid_over = {key: words.mapping(given[key], key) for key in ("resources", "rdt", "disk_quota") if given.get(key) is not None}
            container.laid_over = records.without_none(laid_over)
            if state.read(self.paths.state(name)) is None:
                missing = InvalidInput("container %s: command is required to make it" % name)
                if not self.checking:
                    raise missing
                self._foresee(missing)
        return container

    def _parse_config(self, given: dict[str, Any], look_at_machine: bool) -> dict[str, Any]:
        try:
            return config.parse(given, self.paths.log, self.host.systemd, look_at_machine)
        except Missing as missing:
            if not self.checking:
                raise
            self._foresee(missing)
            return config.parse(given, self.paths.log, self.host.systemd, False)

    def _foresee(self, missing: BulkheadError) -> None:
        """In check mode, an earlier task of the play may be about to make what is not there."""
        self.foreseen.append(warning(missing))

    def _add_variables(self, settings: dict[str, Any], files: list[str]) -> None:
        """Take the variables of files; those that are given by themselves hold."""
        try:
            settings["env"] = {**envfile.read(files, settings, self.territory), **settings["env"]}
        except InvalidInput as error:
            error.problem = "container %s: %s" % (settings["name"], error.problem)
            if not (isinstance(error, Missing) and self.checking):
                raise
            self._foresee(error)

    def _settle(self, settings: dict[str, Any]) -> None:
        """Look what is behind the paths of the machine."""
        resolved = dict(settings, mounts=[dict(mount) for mount in settings["mounts"]])
        try:
            try:
                territory.settle(settings, self.territory)
            except Missing as missing:
                if not self.checking:
                    raise
                missing.problem = "container %s: %s" % (settings["name"], missing.problem)
                self._foresee(missing)
                settings.update(resolved)
                territory.settle(settings, self.territory, True)
        except InvalidInput as error:
            error.problem = "container %s: %s" % (settings["name"], error.problem)
            raise

    def limit_processes(self, resources: dict[str, Any]) -> None:
        """Limit processes where nothing is said of them: without a limit, one container takes all that the machine can number."""
        said = {**words.mapping(resources.get("pids"), "resources.pids"), **words.mapping(resources.get("files"), "resources.files")}
        if self.host.has("pids") and "max" not in said and "pids.max" not in said:
            resources["pids"] = {"max": DEFAULT_PIDS}

    def _find_group(self, container: Container) -> None:
        if container.config is not None:
            try:
                container.group = self._group_of(container)
                container.group.brought_back = self.replaying
            except InvalidInput as error:
                name = "container %s: " % container.name  # what is wrong with a limit says it itself
                error.problem = "%sresources: %s" % (name, error.problem[len(name) if error.problem.startswith(name) else 0 :])
                raise

    def _group_of(self, container: Container) -> Group:
        """The group that a container is to have; of one that stays, with what is lifted of it."""
        settings, container.lifts = container.config or {}, self._lifts(container)
        if not container.lifts:
            return groups.desired(settings, container.resources, self.host)
        lifted = lifting.find(json.loads(container.seen.resources or "{}"), container.resources, settings, self.host)
        return lifting.desired(settings, container.resources, lifted, self.host)

    def _lifts(self, container: Container) -> bool:
        """Whether a container that stays was given something else than it is to have."""
        held = container.seen.resources
        if held is None or container.renews or container.seen.phase in ("absent", "broken"):
            return False
        return bool(json.loads(held) != container.resources)

    # What there is to do

    def plan(self, containers: list[Container]) -> ContainerPlan:
        """Observe, compare, and answer with the steps that are missing. What ended while its group was looked at is looked at again."""
        for _attempt in range(_LOOKS):
            plan, standing = self._plan_once(containers)
            if plan.groups is None or not plan.groups.steps or not any(_has_ended(container.seen) for container in standing):
                break
        return plan

    def _plan_once(self, containers: list[Container]) -> tuple[ContainerPlan, list[Container]]:
        """The steps that are missing, and the containers that were seen to run."""
        names = [container.name for container in containers]
        for name in names:
            if names.count(name) > 1:
                raise InvalidInput("the container %s is named twice in one call" % name)
        work = _Work()
        self.call.stops = []
        self.limits.close()
        self.limits = private.Limits(self.paths)
        self._network = (
            {container.name for container in containers if container.wanted == "absent"},
            {container.name: network.on_bridge(container.config) for container in containers},
        )
        if self._addresses is not None:
            self._addresses.begin(*self._network)
        for container in containers:
            container.seen = look(container.name, self.paths, self.host)
            self._find_damaged(container)
            self._complete(container)
            if container.state == "healthy" and container.config is not None and not container.config.get("healthcheck"):
                raise InvalidInput("container %s: healthcheck is required to wait until it is healthy" % container.name)
            self._compare(container)
            if container.config is not None and (container.group is None or container.lifts or self._lifts(container)):
                self._find_group(container)
            self._plan_one(container, work)
        self._check_nesting(containers, work)
        return self._assemble(containers, work), work.standing

    def _find_damaged(self, container: Container) -> None:
        """Where nothing that is kept of a damaged container tells its control group any more, the options do."""
        record = container.seen.record
        if record and record.get("damaged") and not record["cgroup"] and groups.has_payload(container.asked_group, self.host):
            record["cgroup"] = container.asked_group
            container.seen.has_group = True

    def _check_nesting(self, containers: list[Container], work: _Work) -> None:
        """Refuse a container in the control group of another one, before anything is written."""
        made = {container.name: container.group.name for container in containers if container.group is not None and container.name in work.renewed}
        if made:
            nesting.check(made, {container.name for container in containers if container.wanted == "absent"}, self.paths)

    def _complete(self, container: Container) -> None:
        """Where only a name was given: what the container is made from already, with what is to change of it."""
        record = container.seen.record
        if container.config is not None or not record or record.get("damaged") or container.wanted not in ("started", "paused"):
            return
        container.config = record["config"]
        container.resources = json.loads(container.seen.resources) if container.seen.resources else {"devices": config.DEVICE_RULES}
        if container.laid_over:
            self._lay_over(container, container.config)

    def _lay_over(self, container: Container, settings: dict[str, Any]) -> None:
        """Change of a container what was given with its name: of its limits those that are named, as in a group."""
        given = dict(container.laid_over.get("resources") or {})
        fixed = len(config.DEVICE_RULES) + len(settings["devices"])
        rules = container.resources["devices"][:fixed] + given.pop("devices", container.resources["devices"][fixed:])
        shares = container.resources.get("rdt") or {}
        try:
            container.resources = {**canonical.merge(container.resources, given, self.host), "devices": rules}
            if "rdt" in container.laid_over:
                container.config, shares = classes.lay_over(settings, shares, container.laid_over["rdt"])
            if "disk_quota" in container.laid_over:
                limits = private.laid_over(settings, container.laid_over["disk_quota"])
                container.config = {**(container.config or settings), "disk_quota": limits}
        except InvalidInput as error:
            error.problem = "container %s: %s" % (container.name, error.problem)
            raise
        if shares:
            container.resources["rdt"] = shares

    def _compare(self, container: Container) -> None:
        """What of a container is to be another than it is, and how it becomes so."""
        container.renews, container.lives = [], []
        if container.config is None or container.wanted in ("absent", "stopped"):
            return
        record = container.seen.record
        if record is not None and not record.get("damaged"):
            self._adopt_resources(container)
            _adopt_bandwidth(container.config, record.get("config"))
            differing = options.differences(record.get("config") or {}, container.config)
            # A supervisor of an earlier release does not look for changes.
            changes = () if container.seen.phase in _LIVE and not record.get("live") else options.live_keys()
            container.lives = [name for name in differing if name in changes]
            container.renews = [name for name in differing if name not in changes]
            if self._must_renew_group(container):
                container.renews.append("resources")

    def _adopt_resources(self, container: Container) -> None:
        """Take the words of the record where they ask for the same."""
        held = json.loads(container.seen.resources or "{}")
        try:
            if self.same_resources(held, container.resources):
                container.resources = held
        except InvalidInput:
            pass  # what was asked for, or what is, cannot be had on this machine: then it is not the same

    def same_resources(self, one: dict[str, Any], other: dict[str, Any]) -> bool:
        """Whether two requests limit a container and its class alike. Raises InvalidInput."""
        shares = [resources.get("rdt") or {} for resources in (one, other)]
        if shares[0] != shares[1] and (not all(shares) or classes.canonical(shares[0]) != classes.canonical(shares[1])):
            return False
        return one == other or canonical.same(one, other, self.host)

    def _must_renew_group(self, container: Container) -> bool:
        """Whether something is not asked for any more of which only a new group is rid."""
        held = json.loads(container.seen.resources or "{}")
        if held == container.resources or container.config is None:
            return False
        if _options_of(held.get("rdt") or {}) - _options_of(container.resources.get("rdt") or {}):
            return True
        try:
            return bool(lifting.find(held, container.resources, container.config, self.host).kept)
        except InvalidInput as error:
            error.problem = "container %s: resources: %s" % (container.name, error.problem)
            raise

    def _plan_one(self, container: Container, work: _Work) -> None:
        seen = container.seen
        if container.wanted == "absent":
            self._remove(container, work)
        elif container.wanted == "stopped":
            self._stop(container, work)
        elif seen.record is not None and container.name in self.made and self.made[container.name] == seen.record.get("created"):
            # Made by this call; that it may have ended since is not ours to mend.
            self._adjust_limits(container, None, work)
            if seen.phase in ("running", "paused") or not units.ours(seen.record):
                work.standing.append(container)  # else its group went with the unit, which makes it when it starts again
        elif container.config is None and seen.record is None:
            work.last.append(steps.Foreseen(container.name, container.wanted))
        elif seen.phase in _LIVE and not container.renews and container.state == "restarted":
            self._end_process(seen, work)
            self._make(container, work)
        elif seen.phase in _LIVE and not container.renews:
            self._adjust(container, work)
        else:
            self._make(container, work)

    def _persists(self, container: Container) -> bool:
        """Whether the container's unit is to be there after a reboot; a job is not, unless it was said."""
        return not container.wait if self.persist is None else self.persist

    def differences(self, container: Container) -> list[str]:
        """What of the configuration is another than what the container was made from, and cannot be changed in place."""
        self._compare(container)
        return container.renews

    def _thaw(self, seen: Seen, work: _Work) -> None:
        if seen.phase in ("paused", "unsupervised") and seen.record is not None:
            work.thaws += units.thaws(seen.record, self.host)

    def _stop(self, container: Container, work: _Work) -> None:
        seen = container.seen
        if seen.phase in _LIVE and seen.record is not None:
            self._end_process(seen, work)
        elif seen.phase in _ORPHANED and seen.record is not None:
            self._put_to_rest(seen, work)
        if units.ours(seen.record):
            work.files += unitfiles.not_at_boot(container.name)

    def _put_to_rest(self, seen: Seen, work: _Work) -> None:
        """End what a killed run or supervisor left running; its private files and its log stay."""
        record = seen.record or {}
        self._end_process(seen, work)
        group = str(record.get("cgroup") or "")
        if group and groups.has_payload(group, self.host):
            work.first.append(steps.EmptyGroup(self.call, group))
        if record.get("damaged"):
            if group and seen.has_group and not units.ours(record):
                work.emptied |= groups.inner(group)
                work.gone.append(group)
            work.last.append(steps.Forget(self.call, seen.name, group, "", seen.phase))

    def _end_process(self, seen: Seen, work: _Work) -> None:
        """End what runs, by whoever supervises it."""
        if seen.record is None:
            return
        self._thaw(seen, work)
        stop = units.StopUnit if units.ours(seen.record) else steps.Stop
        work.first.append(stop(self.call, seen.record, seen.phase))

    def _end(self, container: Container, work: _Work) -> None:
        """End what runs and remove its group, but keep the record."""
        seen = container.seen
        if seen.record is None:
            return
        if seen.phase in (*_LIVE, *_ORPHANED):
            self._end_process(seen, work)
        group = seen.record.get("cgroup")
        if units.ours(seen.record):
            if group and units.left_over(self.host, str(group)):
                work.first.append(units.Sweep(self.host, str(group), self.paths))
        elif group and seen.has_group:
            if groups.has_payload(str(group), self.host):
                work.first.append(steps.EmptyGroup(self.call, str(group)))
                work.emptied |= groups.inner(str(group))
            work.gone.append(str(group))

    def _remove(self, container: Container, work: _Work) -> None:
        seen, own = container.seen, self.paths.own(container.name)
        self._end(container, work)
        if self.host.systemd:
            work.files += units.removal(container.name, self.paths)
        work.files += mountpoints.forget(container.name, self.paths)
        for path in (own, self.paths.aside(container.name)):
            work.last += self._discard(path)
        if seen.record is not None or seen.has_files:
            record = seen.record or {}
            self._leave_bridge(container.name, record, {}, work)
            # What is damaged, or was put to rest as such, does not tell its log.
            log = str(record["config"]["log"]["path"] or "") if "config" in record else config.default_log(self.paths.log, container.name)
            work.last.append(steps.Forget(self.call, container.name, str(record.get("cgroup") or ""), log, seen.phase))
            self._remove_class(seen.record, None, work)

    def _remove_class(self, record: dict[str, Any] | None, settings: dict[str, Any] | None, work: _Work) -> None:
        """The class or monitoring group that was a container's own goes after it, unless who takes its place has the same."""
        if record is not None:
            held = (record.get("config") or {}).get("rdt")
            work.last += classes.left_behind(self.classes, record["id"], held, (settings or {}).get("rdt"))

    def _adjust(self, container: Container, work: _Work) -> None:
        """A container that runs as it should: its resources, and whether it is paused."""
        seen = container.seen
        if seen.phase != "restarting" or not units.ours(seen.record):
            work.standing.append(container)  # of one that waits to be started by systemd, its unit makes the group
        loop = waiting.again_and_again(describe(seen), seen.record or {})
        if loop:
            work.warnings.append(loop)
        text = to_json(container.resources)
        held = (seen.record or {}).get("config")
        if container.config is not None and held is not None:
            container.config = options.as_held(container.config, held)
        self._adjust_limits(container, held, work)
        if container.config is not None and container.lives:
            directory = self.paths.state(container.name)
            work.trial.append(steps.KeepLive(directory, state.text_of(directory + "/" + live.FILE), live.text_of(container.config)))
        self._adjust_bandwidth(container, held, work)
        if container.config is not None and units.ours(container.config):
            work.files += unitfiles.files(container.config, container.resources, True, self._persists(container), self.paths)
        if text != seen.resources:
            work.trial.append(steps.KeepResources(self.paths.state(container.name), seen.resources, text))
        if seen.record is not None and (seen.phase == "paused") != (container.wanted == "paused"):
            if container.wanted == "paused":
                work.trial.append(Freeze(*groups.freezing(seen.record, self.host), True, False))
            else:
                work.trial += units.thaws(seen.record, self.host)
        if container.signal and seen.record is not None and seen.phase in ("running", "paused") and container.name not in self.call.signalled:
            work.last.append(steps.Signal(self.call, seen.record, container.signal))

    def _make(self, container: Container, work: _Work) -> None:
        """A container that is to be started: for the first time, again, or anew because it is to be another."""
        seen, settings, group = container.seen, container.config, container.group
        if settings is None or group is None:
            raise InvalidInput("container %s: command is required: what is left of it cannot be started again" % container.name)
        if not self.replaying:
            mountpoints.check(settings, self.paths)
        self._resolve_addresses(container, settings)
        differs = container.renews
        anew = seen.phase in ("absent", "creating", "broken") or bool(differs)
        own = self.paths.own(container.name)
        if not anew and seen.phase in _ORPHANED:
            self._end_process(seen, work)
        if anew:
            self._look_up(settings)
            self._announce(container, settings, work)
            self._end(container, work)
            if units.ours(seen.record) and not units.ours(settings):
                work.files += units.removal(container.name, self.paths)
            work.last += units.leaving(seen.record, settings, self.host)
            if not units.ours(settings) and group.name not in work.gone and groups.exists(group.name, self.host):
                work.gone.append(group.name)
        record = self._record(container)
        before = seen.phase if seen.record is not None else None
        after = "running" if before is not None else "running with " + options.shown(settings, {}, ["rootfs", "command"])
        if container.state == "restarted" and seen.phase in _LIVE:
            after = "running, restarted"
        work.reserve.append(steps.Reserve(self.call, record, seen.record, before, after, differs))
        _go_with_the_start([step for step in work.first if isinstance(step, (steps.Stop, units.StopUnit)) and step.record is seen.record])
        changed = state.text_of(self.paths.state(container.name) + "/" + live.FILE)
        if changed is not None:
            work.reserve.append(steps.KeepLive(self.paths.state(container.name), changed, None))
        work.reserve.append(steps.KeepResources(self.paths.state(container.name), seen.resources, to_json(container.resources)))
        self._join_bridge(container, settings, work)
        if settings["rootfs"] == "host":
            aside = self.paths.aside(container.name)
            work.first += self._discard(aside, "what an earlier run put aside")
            if self._may_keep_files(container, anew):
                whole = seen.record is None or "disk_quota" in container.lives
                work.own[container.name] = self.limits.steps(settings, False, whole)
            else:
                self._make_files(container, settings, work)
            _go_with_the_start(work.own[container.name])
            work.warnings += private.unguarded(settings, {"guarded": True})
        else:
            work.last += self._discard(own)
        spec = {
            "config": settings,
            "own": own,
            "base": "",
            "base_fingerprint": record["base"],
            "views": base.views() if settings["rootfs"] == "host" else [],
            "state": self.paths.state(container.name),
            "mount_points": sorted(set(mountpoints.wanted(settings, self.paths).values())),
            "waits_for_mounts": self.replaying,
            "classes": classes.files(settings["rdt"], container.name),
            "record": record,
            "wires": self._wires(container.name, settings),
            "wait": container.wait,
            **groups.places(group),
        }
        self._remove_class(seen.record, settings, work)
        if units.ours(settings):
            work.files += unitfiles.files(settings, container.resources, True, self._persists(container), self.paths)
            work.by_unit.append(container)
            work.bases[container.name] = record["base"]
        else:
            work.reserve += mountpoints.keep(settings, self.paths)
            work.starts.append(steps.Start(self.call, spec))
            work.starts[-1].bookkeeping = bool(differs)
            (work.fresh if anew else work.standing).append(container)
        if anew:
            work.renewed.add(container.name)
        if container.wanted == "paused":
            freezer = self.host.hierarchy_of("freezer")
            work.trial_end.append(Freeze(freezer, "%s/%s" % (group.name, PAYLOAD), True, False))

    def _make_files(self, container: Container, settings: dict[str, Any], work: _Work) -> None:
        """The private files of a container; those that are there are put aside until these have proved themselves."""
        name, own, aside = container.name, self.paths.own(container.name), self.paths.aside(container.name)
        if os.path.isdir(own):
            work.aside += [steps.PutAside(self.paths, name), *self.limits.move_aside(name)]
            first, after = self.limits.release(aside, own)
            work.last += [*first, steps.Discard(aside), *after]
        made = steps.MakePrivate(self.paths, name, self.limits.needs_subvolume(settings))
        limited: list[Step] = []
        try:
            limited = self.limits.steps(settings, True, True)
        except BulkheadError as error:
            if not self.checking:
                raise
            self._foresee(error)  # a file system may be about to be mounted there
        work.own[name] = [made, *limited, steps.MakeOwn(self.call, settings, base.views(), container.wait)]

    def _discard(self, path: str, before: str = "private files") -> list[Step]:
        """Remove private files, with the limits that they have."""
        first, after = self.limits.release(path)
        return [*first, steps.Discard(path, before), *after] if os.path.isdir(path) else first

    def _adjust_limits(self, container: Container, held: dict[str, Any] | None, work: _Work) -> None:
        """The limits of private files that are in use. Nothing is written to them while they are put into a project: what is renamed
        between a part that is in it and one that is not yet would be refused (EXDEV).
        """
        settings, record = container.config, container.seen.record
        if settings is None or record is None or not (settings.get("disk_quota") or (held or {}).get("disk_quota")):
            return
        found = self.limits.steps(settings, False, "disk_quota" in container.lives)
        if container.seen.phase == "running" and private.walks(found):
            where = groups.freezing(record, self.host)
            found = [Freeze(*where, True, False), *found, Freeze(*where, False, True)]
        work.trial += found
        work.warnings += private.unguarded(settings, record)

    def _resolve_addresses(self, container: Container, settings: dict[str, Any]) -> None:
        """Find the addresses of a container on a bridge, before anything is stopped for it."""
        value = network.on_bridge(settings)
        if not value:
            return
        from . import addresses

        held = addresses.held_by(container.name, container.seen.record, self.paths)
        try:
            settings["network"] = self.addresses.resolve(container.name, value, held)
        except Missing as missing:
            if not self.checking:
                raise
            self._foresee(missing)

    @property
    def addresses(self) -> Addresses:
        """Which addresses containers on a bridge get."""
        if self._addresses is None:
            from .addresses import Addresses

            self._addresses = Addresses(self.paths)
            self._addresses.begin(*self._network)
        return self._addresses

    def _wires(self, name: str, settings: dict[str, Any]) -> dict[str, str]:
        """By what the interfaces of a container on a bridge are found."""
        if not network.on_bridge(settings):
            return {}
        from . import addresses

        return addresses.marks(name, self.paths)

    def _join_bridge(self, container: Container, settings: dict[str, Any], work: _Work) -> None:
        """The bridge of a container that is started, and the one that it had before."""
        value = network.on_bridge(settings)
        if value.get("resolved"):
            self.call.bridges = True
            if self.addresses.is_to_be_made(value):
                from . import bridges

                work.reserve.append(bridges.MakeBridge(container.name, value, self.paths))
        self._leave_bridge(container.name, container.seen.record or {}, value, work)

    def _leave_bridge(self, name: str, record: dict[str, Any], value: dict[str, Any], work: _Work) -> None:
        """What there is to do about the bridge that a container had. value: the network that it is to have."""
        held = network.on_bridge(record.get("config"))
        leaves = held.get("bridge") != value.get("bridge") if held else bool(record.get("damaged"))
        if leaves:
            from . import bridges

            work.last.append(bridges.LeaveBridge(name, held.get("bridge", ""), value, self.paths))

    def _adjust_bandwidth(self, container: Container, held: dict[str, Any] | None, work: _Work) -> None:
        """The limits of an interface that is there: as asked, also where somebody has changed them."""
        value, before = network.on_bridge(container.config), network.on_bridge(held)
        if container.seen.phase not in ("running", "paused") or not (value.get("bandwidth") or before.get("bandwidth")):
            return
        if value.get("bandwidth") and before:
            from . import shaping

            shaping.check(container.name, value["bandwidth"], before["resolved"]["bridge_mtu"])
        if self._shaped is None:
            from .interfaces import Shaped

            self._shaped = Shaped()
        plan = self._shaped.plan(container.name, value.get("bandwidth"), self.paths)
        work.trial += plan.steps
        work.warnings += plan.warnings

    def _look_up(self, settings: dict[str, Any]) -> None:
        """Refuse a container whose user, directory or command are certainly not there, before anything is stopped for it."""
        view = lookup.View(settings)
        try:
            lookup.check(settings, view)
        except BulkheadError as error:
            if not self.checking or not self.foreseen:
                raise
            self.foreseen.append(str(error))
        finally:
            view.close()

    def _announce(self, container: Container, settings: dict[str, Any], work: _Work) -> None:
        """Say first that a container is made anew, why, and what is lost with it."""
        record, differs = container.seen.record, container.renews
        if record is None or not differs:
            return
        held, resources = record.get("config") or {}, json.loads(container.seen.resources or "{}")
        old, new = hidden.pair(held, settings)
        before, after = options.shown(old or {}, resources, differs), options.shown(new or {}, container.resources, differs)
        work.announced.append(steps.Announce(container.name, before, after))
        if os.path.isdir(self.paths.own(container.name)) and not state.is_job(record):
            work.warnings.append("container %s is made anew, because %s differs: its private files are discarded" % (container.name, ", ".join(differs)))

    def _may_keep_files(self, container: Container, anew: bool) -> bool:
        """Whether the private files that are there are those of the very container that is started. A job gets new ones each time."""
        own = self.paths.own(container.name)
        if not os.path.isdir(own + "/upper") or container.wait or state.is_job(container.seen.record):
            return False
        if not anew:
            return True
        damaged = (container.seen.record or {}).get("damaged")
        if container.config is None or not (container.seen.phase == "absent" or damaged):
            return False
        try:
            with open(own + "/config.json", encoding="utf-8") as file:
                made_from = json.load(file)
        except (OSError, ValueError):
            return False
        return not set(options.differences(made_from, container.config)) - set(options.live_keys())

    def _record(self, container: Container) -> dict[str, Any]:
        settings = container.config or {}
        if settings["rootfs"] == "host" and not self._fingerprint:
            self._fingerprint = base.fingerprint()
        return {
            "ociVersion": state.OCI_VERSION,
            "id": container.name,
            "status": "creating",
            "pid": 0,
            "bundle": self.paths.own(container.name) if settings["rootfs"] == "host" else settings["rootfs"],
            "annotations": {},
            "created": state.now(),
            "config": settings,
            "cgroup": groups.name_of(settings),
            "base": self._fingerprint if settings["rootfs"] == "host" else "",
            "job": container.wait,
            "live": True,  # its supervisor looks for what changes (live.py)
        }

    def _assemble(self, containers: list[Container], work: _Work) -> ContainerPlan:
        """One plan: what must end, what goes, the groups, the private files, the starts, and what has no way back."""
        plan = ContainerPlan()
        standing = [container.group for container in work.standing if container.group is not None]
        fresh = [container.group for container in work.fresh if container.group is not None]
        emptied = groups.host_without(self.host, work.emptied)
        removed = plan_groups(emptied, [groups.gone(name, self.host) for name in work.gone])
        _go_with_the_start(removed.steps if fresh else [])
        plan.groups = plan_groups(self.host, standing)
        plan.steps = [*work.announced, *work.thaws, *work.first, *work.aside, *removed.steps, *work.reserve, *units.reloaded(work.files), *plan.groups.steps]
        plan.warnings = [*self.foreseen, *work.warnings, *plan.groups.warnings, *(word for container in work.standing for word in self._overruled(container))]
        steps_of: dict[str, list[Step]] = {container.name: [] for container in containers}
        if fresh:
            host = groups.host_without(self.host, set(work.gone))
            renewed = []
            for container in work.fresh:
                if container.config is not None:
                    renewed.append(groups.desired(container.config, container.resources, host))
                    renewed[-1].brought_back = self.replaying
            made = plan_groups(host, renewed)
            _go_with_the_start(made.steps)
            plan.steps += _sorted_out(made.steps, host, {group.name: steps_of[container.name] for container, group in zip(work.fresh, renewed)})
            plan.warnings += made.warnings
        self.classes.replaying = self.replaying
        plan.steps += self.classes.plan(
            [
                (container.name, container.config["rdt"], container.resources.get("rdt") or {}, groups.name_of(container.config))
                for container in work.standing + work.fresh + work.by_unit
                if container.config is not None and container.config.get("rdt")
            ]
        )
        if self.classes.plan_made is not None:
            plan.warnings += self.classes.plan_made.warnings
            plan.lost = {container.name: self.classes.lost((container.config or {}).get("rdt")) for container in containers}
        if work.by_unit:
            self._assemble_units(plan, work)
        # While one container starts, the groups and files of the next are made.
        for name, own in work.own.items():
            steps_of[name] += own
        for start in work.starts:
            plan.steps += [*steps_of[start.name], start]
        if work.starts:
            plan.needs_core = True
            plan.steps.append(steps.Settle(self.call, [start.name for start in work.starts]))
        plan.steps += work.trial + work.trial_end + work.last
        plan.steps += [steps.Collect(self.call, name) for name in self._unused_bases(containers, work)]
        # What tc_bandwidth has set of one that is made anew goes on, and so does what is kept of it.
        limited = {one.name for one in containers if network.set_by_tc_bandwidth(one.config)}
        plan.fresh = set(work.renewed) - limited
        plan.warnings += [*_without_filter([*work.fresh, *work.by_unit]), *self.limits.warnings]
        return plan

    def _overruled(self, container: Container) -> list[str]:
        """Return what to tell of limits that do not hold, because the container's unit has smaller ones."""
        if container.group is None or not units.ours(container.config) or container.seen.phase not in _LIVE:
            return []
        unit = container.group.name.rpartition("/")[0]
        return [
            "container %s: %s is %s in force, by the group of its unit (%s), whatever is asked for" % (container.name, option, limit, unit)
            for option, (limit, group) in groups.overruled(container.group.name, self.host).items()
            if group == unit
        ]

    def _unused_bases(self, containers: list[Container], work: _Work) -> list[str]:
        """Return the bases that are not needed any more when this plan is done."""
        begun = {**work.bases, **{start.name: str(start.spec["base_fingerprint"]) for start in work.starts}}
        leaving = [container for container in containers if container.wanted == "absent" or container.name in begun]
        if not any(_base_of(container.seen) != begun.get(container.name, "") for container in leaving):
            return []
        users = {**dict.fromkeys(container.name for container in leaving), **begun}
        used = {*users.values(), *(name for container, name in base.users(self.paths).items() if container not in users)}
        return base.unused(self.paths, {str(name) for name in used if name})

    def _assemble_units(self, plan: ContainerPlan, work: _Work) -> None:
        """Of containers that systemd starts: their private files, what their units will write, and one start for all."""
        names = [container.name for container in work.by_unit]
        host = groups.host_without(self.host, {container.group.name for container in work.by_unit if container.group is not None})
        desired = []
        for container in work.by_unit:
            if container.config is not None:
                group = groups.desired(container.config, container.resources, host)
                group.awaited = True
                group.brought_back = self.replaying
                desired.append(group)
        made = plan_groups(host, desired)
        _go_with_the_start(made.steps)
        for name in names:
            plan.steps += work.own.pop(name, [])
        plan.needs_core = True
        plan.steps += [step for step in made.steps if isinstance(step, GiveBack)]
        plan.steps.append(units.StartUnits(self.call, names, [group.name for group in desired]))
        plan.steps += [units.ByUnit(step) for step in made.steps if not isinstance(step, GiveBack)]
        plan.warnings += made.warnings

    # Doing it

    def apply(self, plan: Plan, containers: list[Container], mine: ContainerPlan) -> None:
        """Do the plan, with every container of it locked; a plan that another run made stale meanwhile is made again."""
        self.paths.make()
        given = self._addresses.locked() if self._addresses is not None else contextlib.nullcontext()
        with locks.Locks(self.paths, [container.name for container in containers]), given:
            before = [(container.seen.record or {}).get("created") for container in containers], [container.seen.phase for container in containers]
            for container in containers:
                container.seen = look(container.name, self.paths, self.host)
            stale = not self.classes.lock() or (self._addresses is not None and self._addresses.is_stale())
            now = [(container.seen.record or {}).get("created") for container in containers], [container.seen.phase for container in containers]
            if stale or before != now:
                again = self.plan(containers)
                others = [step for step in plan.steps if step not in mine.steps]
                plan.steps[:] = again.steps + others
            try:
                apply_plan(plan)
            except BulkheadError as error:
                self._tell_what_was_done(error)
                raise
            self.classes.finish()
            for step in plan.steps:
                if isinstance(step, steps.Start):
                    self.made[step.name] = step.spec["record"]["created"]
                elif isinstance(step, units.StartUnits):
                    self.made.update((name, (state.read(self.paths.state(name)) or {}).get("created", "")) for name in step.containers)

    def _tell_what_was_done(self, error: BulkheadError) -> None:
        """A container that was stopped for what failed, and was started again, is another process than before."""
        if self.call.restarted:
            error.result = {"changed": True, "restarted": self.call.restarted}
            error.hint = "%s%s stopped for it and started again, as before" % (
                error.hint + "; " if error.hint else "",
                "container %s was" % self.call.restarted[0] if len(self.call.restarted) == 1 else "containers %s were" % ", ".join(self.call.restarted),
            )

    def wait(self, containers: list[Container]) -> None:
        """Wait until the services that this call started have settled and its jobs have ended, and judge how they are then."""
        made = [container for container in containers if container.name in self.made]
        services = {container.name: container.waiting.settle for container in made if container.wanted == "started" and not container.wait}
        for name in sorted(waiting.settle(services, self.paths.state)):
            self._judge_early_end(name)
        jobs = [container for container in made if container.wait and container.name not in self.call.ended]
        limits = {container.name: container.waiting.timeout for container in jobs if container.waiting.timeout is not None}
        for name in waiting.until(limits, self._is_over):
            self.failures[name] = "did not end within %g seconds, and goes on" % limits[name]
        self._wait_for_ends({container.name for container in jobs} - set(limits))
        self._wait_for_health([container for container in containers if container.state == "healthy" and container.name not in self.failures])

    def _wait_for_health(self, containers: list[Container]) -> None:
        limits = {container.name: container.waiting.timeout or 0.0 for container in containers}
        late = waiting.until(limits, self._health_is_known)
        for name in limits:
            seen = look(name, self.paths, self.host)
            known = (seen.record or {}).get("health") or {}
            words_of_check = ": its check says: %s" % known["output"].strip() if known.get("output") else ""
            if seen.phase not in _LIVE:
                self.failures[name] = "%s before it was healthy" % waiting.how_it_ended(describe(seen))
            elif known.get("status") == "unhealthy":
                self.failures[name] = "is unhealthy%s" % words_of_check
            elif name in late:
                self.failures[name] = "did not become healthy within %g seconds%s" % (limits[name], words_of_check)

    def _health_is_known(self, name: str) -> bool:
        record = state.read(self.paths.state(name)) or {}
        if (record.get("health") or {}).get("status") in ("healthy", "unhealthy"):
            return True
        return record.get("status") != "running" and look(name, self.paths, self.host).phase not in _LIVE

    def _is_over(self, name: str) -> bool:
        record = state.read(self.paths.state(name)) or {}
        return record.get("status") == "stopped" and look(name, self.paths, self.host).phase not in _LIVE

    def _wait_for_ends(self, names: set[str]) -> None:
        """Wait until these jobs have ended, however long it takes."""
        for name in sorted(names):
            if units.ours(state.read(self.paths.state(name))):
                self.call.ended[name] = units.wait_for_end(name, self.paths)
                names.discard(name)
        while names:
            message = self.call.helper().receive()
            if message is None:
                raise BulkheadError("the helper that watches %s ended unexpectedly" % ", ".join(sorted(names)))
            if message["event"] in ("ended", "gone"):
                self.call.ended[message["name"]] = message.get("exit") or {}
                names.discard(message["name"])

    def _judge_early_end(self, name: str) -> None:
        """A service whose first process has ended right after its start: it has failed, but where it ended well or runs again."""
        seen = look(name, self.paths, self.host)
        found = describe(seen)
        how = waiting.how_it_ended(found)
        well = "error" not in found and not (found.get("exit") or {}).get("code")
        if found["status"] not in ("running", "paused") and not well:
            again = ", and is to be started again by its restart policy" if found["status"] == "restarting" else ""
            self.failures[name] = "%s right after its start%s" % (how, again)
        elif found["status"] in ("running", "paused"):
            self.warnings.append("container %s %s right after its start, and was started again" % (name, how))
        else:
            self.warnings.append("container %s %s right after its start: is it a job (wait: true)?" % (name, how))

    def left_alone(self, container: Container) -> str:
        """Why a container that is to run and does not is left so by a replay; see Subject."""
        if container.wanted == "started" and container.config is not None and units.ours(container.config):
            awaited = units.awaited(container.name, self.paths)
            if awaited:
                return awaited
        seen = look(container.name, self.paths, self.host)
        record = seen.record
        bridge = network.on_bridge(container.config)
        if bridge and seen.phase not in _LIVE:
            from . import addresses

            missing = addresses.awaited(bridge)
            if missing:
                return Waits(missing)
        if container.wanted != "started" or container.config is None or record is None or seen.phase != "stopped":
            return ""
        if os.path.exists(self.paths.state(container.name) + "/" + state.STOPPING):
            return ""  # it was stopped
        if record.get("unstarted"):
            return ""  # its unit was not started in this boot yet
        container.seen = seen
        policy = (record.get("config") or {}).get("restart_policy") or {}
        if policy.get("name", "no") not in ("no", "on-failure") or self.differences(container):
            return ""
        ended = record.get("exit")
        if not ended or record.get("taken_down"):
            return ""  # what is not known to have ended by itself was taken down, with its monitor or with the machine
        return "it ended by itself, with status %s, and its restart policy leaves it so" % ended["code"]

    def finish(self) -> None:
        """Let go of the helper and of the lock on the classes."""
        self.call.abandon()
        self.classes.finish()
        self.limits.close()
        if self._shaped is not None:
            self._shaped.finish()

    # What is returned

    def report(self, containers: list[Container], plan: ContainerPlan) -> list[dict[str, Any]]:
        """What there is now, or in check mode would be, of each container."""
        found = []
        for container in containers:
            if container.group is not None and plan.groups is not None and container.wanted not in ("absent", "stopped"):
                report: dict[str, Any] = dict(report_groups(plan.groups, [container.group])[0])
                report.pop("hierarchies", None)
                report["cgroup"] = report["name"]
                overruled = groups.overruled(container.group.name, self.host)
                report["effective"] = {**report["effective"], **{key: overruled[key][0] for key in overruled if key in report["effective"]}}
            else:
                report = {"asked": {}, "effective": {}, "rounded": []}
            report.update({"name": container.name, "state": container.state, **describe(container.seen)})
            if plan.steps:
                report["status"] = {"absent": "absent", "stopped": "stopped", "paused": "paused"}.get(container.wanted, "running")
            rdt = self.classes.report((container.config or {}).get("rdt"))
            if rdt is not None:
                report["rdt"] = rdt
            limits = self.limits.told(container.config)
            if limits is not None:
                report["disk_quota"] = limits
            written = "log_written" in (container.seen.record or {}) or units.ours(container.seen.record)
            # Of a run that goes on it is not known yet where in the log it began.
            if (container.wait or container.name in self.failures) and container.name in self.made and written:
                most = container.waiting.max_output
                text = output_of(container.seen, most + 1, True)
                report["output"], report["output_truncated"] = waiting.last_of(text, most)
                if not text and (container.seen.record or {}).get("log_written"):
                    report["output_truncated"] = True  # the journal has not taken it in yet
            if container.wait and container.name in self.made and container.name not in self.failures and (report.get("exit") or {}).get("code"):
                self.failures[container.name] = waiting.how_it_ended(report)
            found.append(report)
        return found


def _adopt_bandwidth(wanted: dict[str, Any], held: dict[str, Any] | None) -> None:
    """What tc_bandwidth has set stays with a container for which nothing else is asked."""
    value, limits = network.on_bridge(wanted), network.set_by_tc_bandwidth(held)
    if limits and value and not value.get("bandwidth"):
        wanted["network"] = {**value, "bandwidth": limits}


def output_of(seen: Seen, most: int, of_the_run: bool = False) -> str:
    """The last bytes that a container wrote: of its log, or of what the journal has of its last run. of_the_run: no more than its last run wrote."""
    record = seen.record or {}
    path = ((record.get("config") or {}).get("log") or {}).get("path") or ""
    if path == "journal":
        return units.output(seen.name, str(record.get("invocation") or ""), most, of_the_run and bool(record.get("log_written")))
    return tail(path, min(most, int(record.get("log_written", most))) if of_the_run else most)


def _has_ended(seen: Seen) -> bool:
    """Whether a container that was seen to run does not do so any more. systemd removes the group of a unit that has ended."""
    record = seen.record or {}
    return seen.phase in ("running", "paused") and not state.is_alive({"pid": int(record.get("pid") or 0), "start": int(record.get("start") or 0)})


def describe(seen: Seen) -> dict[str, Any]:
    """The state of a container, in the words of the OCI runtime specification and a few more."""
    record = seen.record or {}
    status = {"broken": "stopped", "unsupervised": "running"}.get(seen.phase, seen.phase)
    there = seen.phase in (*_LIVE, "unsupervised")
    found: dict[str, Any] = {"status": status, "pid": record.get("pid") or 0 if there else 0}
    for key in ("created", "started", "finished", "exit", "restarts", "oom_kills", "output_lost", "bundle"):
        if key in record:
            found[key] = record[key]
    if record.get("health"):
        found["health"] = record["health"]
    if "error" in record:
        number = record["error"].get("errno")
        found["error"] = {**record["error"], "errno": errno.errorcode.get(number, str(number)) if number else ""}
    if record.get("config"):
        found["log"] = record["config"]["log"]["path"]
        found["labels"] = record["config"].get("labels") or {}
        if network.on_bridge(record["config"]):
            from . import addresses

            found["network"] = addresses.told(record["config"])
    if seen.phase in ("broken", "unsupervised"):
        found["broken"] = True
    return found


class _Work:
    """Steps and containers of a plan, by phase."""

    def __init__(self) -> None:
        self.thaws: list[Step] = []
        self.announced: list[Step] = []
        self.warnings: list[str] = []
        self.first: list[Step] = []
        self.gone: list[str] = []
        self.emptied: set[str] = set()  # the groups inside those, which go before them
        self.reserve: list[Step] = []
        self.aside: list[Step] = []
        self.own: dict[str, list[Step]] = {}
        self.starts: list[steps.Start] = []
        self.trial: list[Step] = []
        self.trial_end: list[Step] = []
        self.last: list[Step] = []
        self.files: list[Step] = []
        self.by_unit: list[Container] = []
        self.bases: dict[str, str] = {}  # of those
        self.renewed: set[str] = set()
        self.standing: list[Container] = []
        self.fresh: list[Container] = []


def _without_filter(containers: list[Container]) -> list[str]:
    """What there is to say of containers that are made without the default seccomp filter because it cannot be had."""
    names = [container.name for container in containers if (container.config or {}).get("seccomp") == seccomp.DEFAULT]
    reason = filters.why_not() if names else ""
    return ["no seccomp filter for %s: %s" % (", ".join(names), reason)] if reason else []


def _base_of(seen: Seen) -> str | None:
    """Which base a container has; None where a damaged record, or none, does not tell."""
    if seen.record is None:
        return None if seen.has_files else ""
    return None if seen.record.get("damaged") else str(seen.record.get("base", ""))


def _options_of(resources: dict[str, Any], above: str = "") -> set[str]:
    """The options that are set, as paths."""
    found = set()
    for key, value in resources.items():
        if isinstance(value, dict):
            found |= _options_of(value, above + key + ".")
        elif value is not None:
            found.add(above + key)
    return found


def _go_with_the_start(made: list[Step]) -> None:
    """Of a container that does not run it is told that it does not, and not every file that its start will write."""
    for step in made:
        step.bookkeeping = True


def _sorted_out(made: list[Step], host: Host, by_group: dict[str, list[Step]]) -> list[Step]:
    """Give each container the steps that concern its group, in their order; returns those that concern all, which come first."""
    common: list[Step] = []
    roots = [hierarchy.path + "/" for hierarchy in host.hierarchies]
    for step in made:
        mine, target = None, step.target
        for root in roots:
            if target.startswith(root):
                parts = target[len(root) :].split("/")
                mine = next((by_group[name] for name in ("/".join(parts[:end]) for end in range(len(parts), 0, -1)) if name in by_group), mine)
        (common if mine is None else mine).append(step)
    return common
