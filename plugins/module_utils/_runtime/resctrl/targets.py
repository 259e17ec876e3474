# Copyright: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""What each class shall hold, worked out for this hardware: masks for every cache and domain, numbers for bandwidth.

Three kinds of masks come together here. Those that are asked for now are laid out. Those of classes that are not in the call,
or of caches that it does not mention, stand as they are. And masks that nobody ever asked for, such as those of the default
group, follow: exclusive ways are taken from them, and given back when nobody has them exclusively any more.
"""

from __future__ import annotations

from ..errors import InvalidInput
from . import schemata
from .asks import Ask
from .facts import Facts
from .group import Group
from .hardware import Cache, Hardware
from .layout import Demand, Held, bits, lay_out, rest
from .observation import EXCLUSIVE, LOCKED, Observation

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .schemata import Cell, Cells


class Wanted:
    """What a class shall hold. cells: all values that were asked for; rounded: the options of which the machine has no exact value.

    auto: masks that nobody asked for and that follow.
    """

    def __init__(self) -> None:
        self.cells: Cells = {}
        self.auto: Cells = {}
        self.rounded: set[str] = set()
        self.offline: list[Cell] = []  # of domains of which no CPU is online
        self.left_out: dict[str, str] = {}  # {resource, or mode: why}, of what the machine cannot do


def asks_of(group: Group, hardware: Hardware, seen: Observation, facts: Facts) -> tuple[dict[Cell, Ask], list[Cell]]:
    """({cell: ask} with `all` spelled out, cells of domains that are offline). Raises InvalidInput for what the machine does not have.

    What names a domain says more than `all`, and what names code or data more than what stands for both.
    """
    spread: dict[Cell, Ask] = {}
    named: dict[Cell, Ask] = {}
    offline: list[Cell] = []
    for resource, asks in sorted(group.asks.items(), key=lambda item: item[0].endswith(("CODE", "DATA"))):
        for name in _names_of(resource, asks, hardware):
            there = seen.domains(name)
            known = facts.domains(group.name, name)
            for domain, ask in asks.items():
                if domain is None:
                    spread.update(((name, each), ask) for each in there)
                    offline += [(name, each) for each in known if each not in there]
                elif domain in there:
                    named[name, domain] = ask
                elif domain in known or group.brought_back:
                    offline.append((name, domain))
                else:
                    raise InvalidInput("%s: %s has no domain %d here" % (ask.what, name, domain), hint="its domains are %s" % ", ".join(map(str, there)))
    return {**spread, **named}, sorted(set(offline))


def _names_of(resource: str, asks: dict[int | None, Ask], hardware: Hardware) -> list[str]:
    """The resources of this machine that an option stands for."""
    if resource in hardware.resources:
        return [resource]
    twins = [cache.name for cache in hardware.of_level(resource)]
    by_line = any(ask.what.startswith("schemata") for ask in asks.values())
    if not twins or by_line:
        raise _no_resource(resource, hardware, by_line)
    return twins


def _no_resource(resource: str, hardware: Hardware, by_line: bool) -> InvalidInput:
    there = ", ".join(sorted(hardware.resources)) or "nothing"
    hint = "it can divide %s" % there
    level = schemata.level_of(resource)
    if level != resource and hardware.of_level(level):
        hint += "; code and data apart need the mount option %s" % ("cdp" if level == "L3" else "cdpl2")
    elif by_line and hardware.of_level(resource):
        hint += "; it is mounted with %s, where lines name code and data; the option %s stands for both" % (
            "cdp" if level == "L3" else "cdpl2",
            resource.lower(),
        )
    elif resource == "L3":
        hint += "; on first-generation Xeon Scalable processors the kernel must be booted with rdt=l3cat"
    return InvalidInput("this machine cannot divide %s as it is mounted" % resource, hint=hint)


class Targets:
    """The whole of what is to hold after a call."""

    def __init__(
        self, hardware: Hardware, seen: Observation, facts: Facts, groups: list[Group], gone: set[str], ours: set[str], released: bool = False
    ) -> None:
        """gone: names of groups that are removed; ours: names of groups that were made here, there or not; released: the default group is to be unlimited."""
        self.hardware = hardware
        self.seen = seen
        self.facts = facts
        self.groups = {group.name: group for group in groups if group.present}
        self.names = ["", *(name for name in seen.groups if name not in gone)]
        self.names += [name for name in self.groups if name not in self.names]
        self.gone = gone
        self.ours = ours
        self.released = released
        self.wanted = {name: Wanted() for name in self.names}
        self.asks: dict[str, dict[Cell, Ask]] = {}

    def work_out(self) -> None:
        """Raises InvalidInput with everything that is wrong with any of the groups."""
        errors = []
        for name, group in self.groups.items():
            try:
                if group.leaves_out or group.brought_back:
                    self._leave_out(group)
                self.asks[name], self.wanted[name].offline = asks_of(group, self.hardware, self.seen, self.facts)
                self._check_asks(name)
                self._check_exclusive(group)
            except InvalidInput as error:
                error.problem = "%s: %s" % (group.called, error.problem)
                errors.append(error)
        if self.released:
            for name, bandwidth in self.hardware.bandwidths.items():
                if bandwidth.unlimited is not None:
                    self.wanted[""].auto.update(((name, domain), bandwidth.unlimited) for domain in self.seen.domains(name))
        if not errors and self._concerns_caches():
            for level in self.hardware.levels:
                errors += self._masks_everywhere(level)
        texts = list(dict.fromkeys(str(error) for error in errors))
        if len(texts) == 1:
            raise errors[0]
        if texts:
            raise InvalidInput("nothing was changed, because of %d mistakes: %s" % (len(texts), "; ".join(texts)))

    def _leave_out(self, group: Group) -> None:
        """Drop what this hardware cannot give to anybody, and say why. What does not fit beside others is refused all the same."""
        left = self.wanted[group.name].left_out
        alone = Group(group.name)
        alone.brought_back = group.brought_back
        for resource in list(group.asks):
            alone.asks = {resource: group.asks[resource]}
            try:
                for cell, ask in asks_of(alone, self.hardware, self.seen, self.facts)[0].items():
                    ask.check(self.hardware.resources[cell[0]])
            except InvalidInput as error:
                left[resource] = str(error)
                del group.asks[resource]
        if group.mode == EXCLUSIVE:
            asked = {schemata.level_of(resource) for resource in group.asks}
            missing = [level for level in self.hardware.levels if level not in asked]
            if missing or not self.hardware.caches:
                left["mode"] = "nothing is said of %s, which can be divided too" % ", ".join(missing) if missing else "no cache can be divided here"
                group.mode = None

    def _masks_everywhere(self, level: str) -> list[InvalidInput]:
        """One cache in all of its domains; what is wrong in several of them is told once."""
        twins = self.hardware.of_level(level)
        found: dict[str, tuple[InvalidInput, list[int]]] = {}
        for domain in self.seen.domains(twins[0].name):
            try:
                self._masks(level, twins, domain)
            except InvalidInput as error:
                found.setdefault(str(error), (error, []))[1].append(domain)
        for refused, domains in found.values():
            refused.problem = "%s (in domain%s %s)" % (refused.problem, "" if len(domains) == 1 else "s", ", ".join(map(str, domains)))
        return [refused for refused, _domains in found.values()]

    def _concerns_caches(self) -> bool:
        """Whether masks can change at all; where not, those of groups that are not in the call need not be read."""
        if self.gone or self.released or any(group.mode or not self.seen.exists(group.name) for group in self.groups.values()):
            return True
        return any(cell[0] in self.hardware.caches for asks in self.asks.values() for cell in asks)

    def is_exclusive(self, name: str) -> bool:
        """Whether the class is exclusive when all is done."""
        group = self.groups.get(name)
        if group and group.mode:
            return group.mode == EXCLUSIVE
        return bool(self.seen.exists(name)) and self.seen.mode(name) in (EXCLUSIVE, LOCKED)

    def _check_asks(self, name: str) -> None:
        """Bandwidths are known when they are checked; masks only when all classes are laid out together."""
        for cell, ask in self.asks[name].items():
            resource = self.hardware.resources[cell[0]]
            if isinstance(resource, Cache):
                ask.check(resource)
            else:
                self.wanted[name].cells[cell] = ask.bandwidth_of(resource)

    def _check_exclusive(self, group: Group) -> None:
        if not self.is_exclusive(group.name):
            return
        if not group.name:
            raise InvalidInput("it is what tasks without a class have, so it cannot be exclusive")
        if not self.hardware.caches:
            raise InvalidInput("it cannot be exclusive: this machine divides no cache, and bandwidth is never exclusive")
        for name in self.hardware.caches:
            for domain in self.seen.domains(name):
                cell = (name, domain)
                if cell not in self.asks[group.name] and self.facts.placed(group.name, cell) is None and not self.seen.exists(group.name):
                    raise InvalidInput(
                        "it is to be exclusive, and nothing is said of %s of domain %d" % (name, domain),
                        hint="exclusive is so in every cache that can be divided: %s" % ", ".join(self.hardware.caches),
                    )

    def _follows(self, name: str, cell: Cell) -> bool:
        """Whether this mask was never asked for and is ours to fit in; so is one of a shared class that shall have all there is."""
        if name in self.asks and cell in self.asks[name]:
            return self.asks[name][cell].kind == "max" and not self.is_exclusive(name)
        if name and name not in self.ours and self.seen.exists(name):
            return False
        return self.facts.placed(name, cell) is None and not self.is_exclusive(name)

    def _masks(self, level: str, twins: list[Cache], domain: int) -> None:
        """One cache of one domain."""
        cache = twins[0]
        where = level
        demands: list[Demand] = []
        twice: dict[tuple[str, str], list[Cell]] = {}
        held: list[Held] = []
        following: list[tuple[str, Cell]] = []
        for name in self.names:
            exclusive = self.is_exclusive(name)
            asks = self.asks.get(name, {})
            whole: dict[int, Demand] = {}
            for twin in twins:
                cell = (twin.name, domain)
                ask = asks.get(cell)
                if self._follows(name, cell):
                    following.append((name, cell))
                elif ask is not None:
                    if id(ask) in whole:  # one ask for code and data: one mask for both
                        twice[whole[id(ask)].place].append(cell)
                        continue
                    group = self.groups[name]
                    avoid = 0 if group.shareable_bits else cache.shareable
                    try:
                        demand = self._demand(name, twin, cell, ask, exclusive, avoid)
                    except InvalidInput as error:
                        error.problem = "%s: %s" % (group.called, error.problem)
                        raise
                    whole[id(ask)] = demand
                    twice[demand.place] = [cell]
                    demands.append(demand)
                elif self.seen.exists(name) and cell in self.seen.cells(name):
                    held.append(Held(name, self.seen.cells(name)[cell], exclusive))
        self._check_held(cache, where, held)
        placed = lay_out(cache, where, demands, held, bool(following))
        exclusive_ways = 0
        for demand in demands:
            for cell in twice[demand.place]:
                self.wanted[demand.name].cells[cell] = placed[demand.place]
            if demand.exclusive:
                exclusive_ways |= placed[demand.place]
        for holder in held:
            if holder.exclusive:
                exclusive_ways |= holder.mask
        for name, cell in following:
            self.wanted[name].auto[cell] = self._left_of(cache, name, cell, exclusive_ways)

    def _check_held(self, cache: Cache, where: str, held: list[Held]) -> None:
        """Refuse to make a group exclusive, as it is, that overlaps another."""
        for holder in held:
            if holder.exclusive and holder.name in self.groups and self.groups[holder.name].mode == EXCLUSIVE:
                if holder.mask & cache.shareable:
                    raise InvalidInput(
                        "%s: group %s cannot be exclusive: devices use %x of its %x" % (where, holder.name, holder.mask & cache.shareable, holder.mask)
                    )
                for other in held:
                    if other.name != holder.name and other.mask & holder.mask:
                        raise InvalidInput(
                            "%s: group %s cannot be exclusive: %s has %x of its %x too"
                            % (where, holder.name, other.name or "the default group", other.mask & holder.mask, holder.mask)
                        )

    def _demand(self, name: str, cache: Cache, cell: Cell, ask: Ask, exclusive: bool, avoid: int) -> Demand:
        if ask.kind == "mask":
            mask = ask.mask_of(cache)
            if mask & avoid:
                raise InvalidInput("%s: the mask %x has ways that devices use (%x), and shareable_bits is avoid" % (ask.what, mask, mask & avoid))
            return Demand(name, cell[0], mask=mask, exclusive=exclusive)
        ways = ask.ways_of(cache)
        if ask.is_rounded(cache, ways):
            self.wanted[name].rounded.add(cell[0])
        before = self.facts.placed(name, cell) or 0
        return Demand(name, cell[0], ways, None, exclusive, avoid, before)

    def base_of(self, name: str, cell: Cell) -> int:
        """What a following mask would be without our exclusive classes."""
        if not self.seen.exists(name) or (self.released and not name) or cell in self.asks.get(name, {}):
            return self.hardware.caches[cell[0]].mask
        now = self.seen.cells(name).get(cell, self.hardware.caches[cell[0]].mask)
        reduced = self.facts.reduced(name, cell)
        return reduced[0] if reduced and reduced[1] == now else now

    def _left_of(self, cache: Cache, name: str, cell: Cell, exclusive: int) -> int:
        left = rest(cache, self.base_of(name, cell) & ~exclusive)
        if bits(left) < cache.least:
            left = rest(cache, cache.mask & ~exclusive)
        return left
