# Copyright: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""What this collection did on this machine since it booted, in one small file of its own.

It holds which groups were made here, so that those of others are left alone; where classes were put, so that they stay; and
which value the kernel kept when it was asked for which, so that a value that was read is never written back: on Arm that
would raise the bandwidth each time (percent_to_mbw_max() and mbw_max_to_percent() do not undo each other).

The file is of no use after a boot, or with other hardware below, and then counts as empty. Each of its entries is believed
only as long as the kernel still holds what was written.
"""

from __future__ import annotations

import json
import os

from ..kernel.files import read_text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .schemata import Cell

FORMAT = 1


def path() -> str:
    """Where the file is."""
    return os.environ.get("BULKHEAD_PREFIX", "").rstrip("/") + "/run/bulkhead/resctrl.json"


def boot() -> str:
    """What tells this boot from others."""
    return (read_text("/proc/sys/kernel/random/boot_id") or "").strip()


class Facts:
    """groups: {name: its entry}, of those that were made here and of the default one.

    An entry has made (whether it was made here), placed {cell: mask that was put there}, asked {cell: [value that was asked,
    value that was kept]}, reduced {cell: [mask without our exclusive classes, mask that was left of it]} and monitors [names].
    A cell is written "L3:0". The entry of the default group has greatest {resource: what it had before it was limited}.
    """

    def __init__(self, groups: dict[str, dict[str, Any]] | None = None, text: str | None = None, held: dict[str, dict[str, Any]] | None = None) -> None:
        """text: what the file holds, and held: the groups in it."""
        self.groups = groups or {}
        self.text = text
        self.held = held or {}

    @classmethod
    def read(cls, signature: str) -> Facts:
        """From the file. signature: of the hardware, see Hardware.signature()."""
        text = read_text(path())
        try:
            content = json.loads(text or "{}")
            if content.get("format") == FORMAT and content.get("boot") == boot() and content.get("hardware") == signature:
                groups = {str(name): dict(entry) for name, entry in content["groups"].items()}
                return cls(groups, text, groups)
        except (ValueError, KeyError, TypeError, AttributeError):
            pass  # it is ours to write anew
        return cls(None, text)

    def spelled(self, signature: str) -> str:
        """The text of the file."""
        groups = {name: {key: value for key, value in sorted(entry.items()) if value} for name, entry in sorted(self.groups.items())}
        content = {"format": FORMAT, "boot": boot(), "hardware": signature, "groups": {name: entry for name, entry in groups.items() if entry}}
        return json.dumps(content, separators=(",", ":")) + "\n"

    def copy(self) -> Facts:
        return Facts(json.loads(json.dumps(self.groups)), self.text, self.held)

    def forget_gone(self, there: list[str]) -> None:
        """Drop what is known of groups that are not there any more."""
        self.groups = {name: entry for name, entry in self.groups.items() if not name or name in there}

    def entry(self, name: str) -> dict[str, Any]:
        """The entry of a group, made when there is none."""
        return self.groups.setdefault(name, {})

    def made(self, name: str) -> bool:
        return bool(self.groups.get(name, {}).get("made"))

    def made_monitor(self, name: str, monitor: str) -> bool:
        return monitor in self.groups.get(name, {}).get("monitors", [])

    def placed(self, name: str, cell: Cell) -> int | None:
        """The mask that was asked for and put there; None where none was."""
        text = self.groups.get(name, {}).get("placed", {}).get(spell(cell))
        return None if text is None else int(text, 16)

    def asked(self, name: str, cell: Cell) -> tuple[int, int] | None:
        """(asked, kept) of a bandwidth."""
        pair = self.groups.get(name, {}).get("asked", {}).get(spell(cell))
        return None if pair is None else (int(pair[0]), int(pair[1]))

    def domains(self, name: str, resource: str) -> list[int]:
        """The domains of a resource for which something was asked, whether they are there now or not."""
        entry = self.groups.get(name, {})
        cells = [text.rpartition(":") for kind in ("placed", "asked") for text in entry.get(kind, {})]
        return sorted({int(domain) for known, _colon, domain in cells if known == resource})

    def reduced(self, name: str, cell: Cell) -> tuple[int, int] | None:
        """(what it had, what was left of it) of a mask from which exclusive classes were taken."""
        pair = self.groups.get(name, {}).get("reduced", {}).get(spell(cell))
        return None if pair is None else (int(pair[0], 16), int(pair[1], 16))

    def greatest(self) -> dict[str, int]:
        """{resource: what no limit is}, of bandwidths of which nothing tells any more once the default group is limited."""
        return {str(name): int(value) for name, value in self.groups.get("", {}).get("greatest", {}).items()}

    def place(self, name: str, cell: Cell, mask: int | None) -> None:
        self._set(name, "placed", cell, None if mask is None else "%x" % mask)

    def ask(self, name: str, cell: Cell, asked: int, kept: int) -> None:
        self._set(name, "asked", cell, [asked, kept])

    def reduce(self, name: str, cell: Cell, pair: tuple[int, int] | None) -> None:
        self._set(name, "reduced", cell, None if pair is None else ["%x" % pair[0], "%x" % pair[1]])

    def _set(self, name: str, kind: str, cell: Cell, value: Any) -> None:
        if value is None:
            self.groups.get(name, {}).get(kind, {}).pop(spell(cell), None)
        else:
            self.entry(name).setdefault(kind, {})[spell(cell)] = value


def spell(cell: Cell) -> str:
    return "%s:%d" % cell
