# Copyright: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Which ways of a cache each class gets: a pure function of the cache, of what is asked and of what others hold.

Exclusive classes are placed first, from the lowest way up, in the order in which they were given, beside everything that
anyone holds and beside the ways that devices use. What is left is for the shared classes: each where it meets the fewest
others. A class that was placed before stays where it was put, as long as that still fits; when all fit only by moving, all
are placed anew. The same input gives the same masks.
"""

from __future__ import annotations

from ..errors import InvalidInput

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from .hardware import Cache

    # (class, resource)
    Place = tuple[str, str]


class Demand:
    """What one class wants of one cache of one domain.

    resource: L3, L3CODE, ...; ways: how many, or mask: which exactly; avoid: ways that it must not have.
    before: where it was put last time, 0 for nowhere.
    """

    __slots__ = ("avoid", "before", "exclusive", "mask", "name", "resource", "ways")

    def __init__(self, name: str, resource: str, ways: int = 0, mask: int | None = None, exclusive: bool = False, avoid: int = 0, before: int = 0) -> None:
        self.name = name
        self.resource = resource
        self.ways = ways
        self.mask = mask
        self.exclusive = exclusive
        self.avoid = avoid
        self.before = before

    @property
    def place(self) -> Place:
        return (self.name, self.resource)


class Held:
    """What a class that is not laid out here has. exclusive: nobody may share it."""

    __slots__ = ("exclusive", "mask", "name")

    def __init__(self, name: str, mask: int, exclusive: bool) -> None:
        self.name = name
        self.mask = mask
        self.exclusive = exclusive


def bits(mask: int) -> int:
    """How many ways a mask has."""
    return bin(mask).count("1")


def longest_run(mask: int) -> int:
    """The longest run of adjacent ways in a mask; of two as long, the higher one."""
    best = 0
    while mask:
        lowest = mask & -mask
        run = mask & ~(mask + lowest)
        if bits(run) >= bits(best):
            best = run
        mask &= ~run
    return best


def rest(cache: Cache, mask: int) -> int:
    """What a class can have of these ways at the most: all of them where masks may have holes, the longest run where not."""
    if not cache.sparse:
        return longest_run(mask)
    first = mask // (mask & -mask) if mask else 0
    run = (~first & (first + 1)).bit_length() - 1
    return mask if run >= cache.min_bits else longest_run(mask)


def lay_out(cache: Cache, where: str, demands: list[Demand], held: list[Held], others: bool = True) -> dict[Place, int]:
    """{(class, resource): mask} for every demand. Raises InvalidInput that says how much is missing and who has it.

    where: for messages, such as "L3"; others: whether classes that are not here need some way too (the default group does).
    """
    _check_fixed(cache, where, demands, held)
    for attempt in (_in_place, _in_order):
        try:
            return _place(cache, where, attempt(demands), held, others)
        except InvalidInput:
            continue
    return _place(cache, where, _largest_first(demands), held, others)


def _in_place(demands: list[Demand]) -> list[Demand]:
    return sorted(demands, key=lambda demand: not demand.before)


def _in_order(demands: list[Demand]) -> list[Demand]:
    return [_anew(demand) for demand in demands]


def _largest_first(demands: list[Demand]) -> list[Demand]:
    return sorted(_in_order(demands), key=lambda demand: -demand.ways)


def _anew(demand: Demand) -> Demand:
    return Demand(demand.name, demand.resource, demand.ways, demand.mask, demand.exclusive, demand.avoid)


def _called(name: str) -> str:
    return name or "the default group"


def _check_fixed(cache: Cache, where: str, demands: list[Demand], held: list[Held]) -> None:
    """Refuse masks, given as such, that cannot all be had."""
    fixed = [demand for demand in demands if demand.mask is not None]
    for index, demand in enumerate(fixed):
        mask = demand.mask or 0
        if demand.exclusive and mask & cache.shareable:
            raise InvalidInput(
                "%s: %s cannot have %x of %s exclusively, because devices use %x" % (where, demand.name, mask, cache.level, mask & cache.shareable),
                hint="shareable_bits is %x here" % cache.shareable,
            )
        for other in fixed[:index]:
            common = mask & (other.mask or 0)
            if common and other.name != demand.name and (demand.exclusive or other.exclusive):
                raise InvalidInput("%s: %s and %s both claim %x, one of them exclusively" % (where, _called(other.name), _called(demand.name), common))
        for holder in held:
            if mask & holder.mask and (demand.exclusive or holder.exclusive):
                raise InvalidInput(
                    "%s: %s cannot have %x%s, because %s holds %x%s"
                    % (
                        where,
                        _called(demand.name),
                        mask,
                        " exclusively" if demand.exclusive else "",
                        _called(holder.name),
                        holder.mask,
                        " exclusively" if holder.exclusive else "",
                    )
                )


def _place(cache: Cache, where: str, demands: list[Demand], held: list[Held], others: bool) -> dict[Place, int]:
    placed: dict[Place, int] = {demand.place: demand.mask for demand in demands if demand.mask is not None}
    taken = _union(holder.mask for holder in held)
    exclusive = _union(holder.mask for holder in held if holder.exclusive)
    alone = [demand for demand in demands if demand.exclusive]
    shared = [demand for demand in demands if not demand.exclusive]
    exclusive |= _union(demand.mask or 0 for demand in alone)

    for demand in alone:
        if demand.mask is not None:
            continue
        # Code and data of one class may lie upon each other, but that is the last resort: they are apart to be apart.
        forbidden = taken | cache.shareable | demand.avoid | _union(mask for place, mask in placed.items() if place[0] != demand.name)
        own = _union(mask for place, mask in placed.items() if place[0] == demand.name)
        free = cache.mask & ~forbidden
        if demand.before and bits(demand.before) == demand.ways and not demand.before & ~free:
            mask = demand.before
        else:
            mask = _lowest(cache, free & ~own, demand.ways) or _lowest(cache, free, demand.ways)
        if not mask:
            raise _no_room(cache, where, demand, alone, held, free)
        placed[demand.place] = mask
        exclusive |= mask

    free = cache.mask & ~exclusive
    if (others or shared) and bits(rest(cache, free)) < cache.least:
        raise InvalidInput(
            "%s: the exclusive classes would leave %d of %d ways to all others, who need %d" % (where, bits(free), cache.ways, cache.least),
            hint="make them smaller by %d ways" % (cache.least - bits(rest(cache, free))),
        )
    weights = [
        sum(1 for holder in held if holder.mask >> way & 1) + sum(1 for mask in placed.values() if mask >> way & 1) + (cache.shareable >> way & 1)
        for way in range(cache.ways)
    ]
    # The default group has what nobody wanted for himself, which is at the upper end.
    for demand in sorted(shared, key=lambda demand: demand.name == ""):
        if demand.mask is not None:
            continue
        usable = free & ~demand.avoid
        if demand.before and bits(demand.before) == demand.ways and not demand.before & ~usable:
            mask = demand.before
        else:
            mask = _lightest(cache, usable, demand.ways, weights, demand.name == "")
        if not mask:
            found = bits(rest(cache, usable))
            raise InvalidInput(
                "%s: %s wants %d ways, and there are %d that are not exclusive to another class%s: %d too few"
                % (where, _called(demand.name), demand.ways, found, " (in one run)" if not cache.sparse else "", demand.ways - found),
                hint=_who(cache, placed, held),
            )
        placed[demand.place] = mask
        for way in range(cache.ways):
            weights[way] += mask >> way & 1
    return placed


def _union(masks: Iterable[int]) -> int:
    union = 0
    for mask in masks:
        union |= mask
    return union


def _runs(cache: Cache, free: int, ways: int) -> list[int]:
    """Every run of so many ways within the free ones, from the lowest up."""
    run = (1 << ways) - 1
    return [run << low for low in range(cache.ways - ways + 1) if not (run << low) & ~free]


def _lowest(cache: Cache, free: int, ways: int) -> int:
    """So many of the free ways, as low as they can be had; 0 when they cannot."""
    runs = _runs(cache, free, ways)
    return runs[0] if runs else _scattered(cache, free, ways)


def _lightest(cache: Cache, free: int, ways: int, weights: list[int], high: bool) -> int:
    """So many of the free ways, where the fewest others are; 0 when they cannot be had."""
    runs = _runs(cache, free, ways)
    if not runs:
        return _scattered(cache, free, ways)
    runs = runs[::-1] if high else runs
    return min(runs, key=lambda run: sum(weight for way, weight in enumerate(weights) if run >> way & 1))


def _scattered(cache: Cache, free: int, ways: int) -> int:
    """Where masks may have holes: the lowest free ways, beginning with a run as long as the hardware wants it."""
    if not cache.sparse or bits(free) < ways:
        return 0
    for low in range(cache.ways):
        mask, left = 0, ways
        for way in range(low, cache.ways):
            if left and free >> way & 1:
                mask |= 1 << way
                left -= 1
        if not left and mask and bits(mask & ~(mask + (mask & -mask))) >= cache.min_bits:
            return mask
    return 0


def _no_room(cache: Cache, where: str, demand: Demand, alone: list[Demand], held: list[Held], free: int) -> InvalidInput:
    wanted = sum(other.ways or bits(other.mask or 0) for other in alone)
    usable = bits(cache.mask & ~cache.shareable & ~_union(holder.mask for holder in held))
    missing = max(wanted - usable, demand.ways - bits(rest(cache, free)), 1)
    return InvalidInput(
        "%s: there is no room for %s: the exclusive classes want %d ways, and %d of %d can be had exclusively%s: %d too few"
        % (where, demand.name, wanted, usable, cache.ways, "" if cache.sparse else ", in one run each", missing),
        hint=_who(cache, {}, held),
    )


def _who(cache: Cache, placed: dict[Place, int], held: list[Held]) -> str:
    """Who has the ways, for messages."""
    parts = ["%s holds %x" % (_called(holder.name), holder.mask) for holder in held if holder.mask]
    parts += ["%s gets %x" % (_called(name), mask) for (name, _resource), mask in placed.items()]
    if cache.shareable:
        parts.append("devices use %x, which no class can have exclusively" % cache.shareable)
    return "in the way: " + "; ".join(dict.fromkeys(parts)) if parts else ""
