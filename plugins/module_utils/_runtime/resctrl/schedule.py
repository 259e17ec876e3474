# Copyright: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""In which order masks are written, so that no write is refused and no exclusive class shares a way at any instant.

The kernel takes a mask only if it meets no class that is exclusive at that moment, and none at all where the class written to
is exclusive itself (parse_cbm(), ctrlmondata.c); code and data of one cache count as one. Most often there is an order in
which each class is written once. Where classes would have to change places, one of them is first made smaller, or put aside.
"""

from __future__ import annotations

from ..errors import BulkheadError
from .layout import bits, longest_run, rest
from .schemata import level_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .hardware import Hardware
    from .schemata import Cell, Cells

_MOST_ROUNDS = 200


class Schedule:
    """now: what every class holds, by name; exclusive: the classes that are so all the while."""

    def __init__(self, hardware: Hardware, now: dict[str, Cells], exclusive: set[str]) -> None:
        self.hardware = hardware
        self.now = {name: dict(cells) for name, cells in now.items()}
        self.exclusive = exclusive
        self.writes: list[tuple[str, Cells]] = []
        self._aside: set[tuple[str, Cell]] = set()

    def order(self, targets: dict[str, Cells]) -> list[tuple[str, Cells]]:
        """The writes that bring the classes to their targets. Raises BulkheadError when there is no way without sharing."""
        waiting = {name: dict(cells) for name, cells in targets.items() if cells}
        for _round in range(_MOST_ROUNDS):
            if not waiting:
                return self.writes
            if not (self._finish_some(waiting) or self._advance(waiting) or self._shrink(waiting) or self._put_aside(waiting)):
                break
        raise BulkheadError(
            "%s cannot get new ways without sharing some for a moment, and one of them is exclusive"
            % " and ".join(sorted(name or "the default group" for name in waiting)),
            hint="make an exclusive group smaller first, or remove it and make it again",
        )

    def _finish_some(self, waiting: dict[str, Cells]) -> bool:
        """Write every class that can have all it shall have now."""
        some = False
        for name in list(waiting):
            if all(self._allowed(name, cell, mask) for cell, mask in waiting[name].items()):
                self._write(name, waiting.pop(name))
                some = True
        return some

    def _advance(self, waiting: dict[str, Cells]) -> bool:
        """Write one class as far as it can be: what it shall have where it can have that, and elsewhere what it has of it already."""
        for name, cells in waiting.items():
            step: Cells = {}
            for cell, target in cells.items():
                held = self.now[name].get(cell, 0)
                cache = self.hardware.caches[cell[0]]
                kept = rest(cache, held & target)
                if self._allowed(name, cell, target):
                    step[cell] = target
                elif kept != held and bits(kept) >= cache.least:
                    step[cell] = kept
            if step:
                self._write(name, step)
                waiting[name] = {cell: target for cell, target in cells.items() if step.get(cell) != target}
                return True
        return False

    def _shrink(self, waiting: dict[str, Cells]) -> bool:
        """Reduce one class to as little as it may have."""
        for name, cells in waiting.items():
            step: Cells = {}
            for cell in cells:
                held = self.now[name].get(cell, 0)
                least = self.hardware.caches[cell[0]].least
                if bits(held) > least:
                    step[cell] = _lowest_bits(longest_run(held), least)
            if step:
                self._write(name, step)
                return True
        return False

    def _put_aside(self, waiting: dict[str, Cells]) -> bool:
        """Move one class to ways that nobody minds: such as it shall have, or any others, the latter once only."""
        for name, cells in waiting.items():
            step: Cells = {}
            for cell, target in cells.items():
                cache = self.hardware.caches[cell[0]]
                held = self.now[name].get(cell, 0)
                free = cache.mask & ~self._forbidden(name, cell)
                within = longest_run(free & target)
                if bits(within) >= cache.least and within & ~held and held & ~target:
                    step[cell] = within
                elif (name, cell) not in self._aside and bits(longest_run(free & ~held)) >= cache.least:
                    self._aside.add((name, cell))
                    step[cell] = _lowest_bits(longest_run(free & ~held), cache.least)
            if step:
                self._write(name, step)
                return True
        return False

    def _forbidden(self, name: str, cell: Cell) -> int:
        """The ways that the kernel would not let the class have now."""
        level, domain = level_of(cell[0]), cell[1]
        alone = name in self.exclusive
        forbidden = self.hardware.caches[cell[0]].shareable if alone else 0
        for other, cells in self.now.items():
            if other != name and (alone or other in self.exclusive):
                for twin in self.hardware.of_level(level):
                    forbidden |= cells.get((twin.name, domain), 0)
        return forbidden

    def _allowed(self, name: str, cell: Cell, mask: int) -> bool:
        return not mask & self._forbidden(name, cell)

    def _write(self, name: str, cells: Cells) -> None:
        self.now[name].update(cells)
        self.writes.append((name, cells))


def _lowest_bits(run: int, count: int) -> int:
    """The lowest ways of a run."""
    low = run & -run
    return run & ((low << count) - low) if run else 0
