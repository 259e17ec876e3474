# Copyright: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""The file from which a container's unit starts it: written whole, and shown without what nobody may read."""

from __future__ import annotations

import json

from .. import hidden
from ..plan import ReplaceFile
from .wire import to_json

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class WriteSpec(ReplaceFile):
    """Write the file, or remove it."""

    def __init__(self, path: str, before: str | None, after: str | None) -> None:
        super().__init__(path, before, after, shown=_shown(_parsed(before), _parsed(after)))


def _parsed(text: str | None) -> dict[str, Any] | None:
    """What the container is made from, in one dictionary; empty where the file is damaged."""
    if text is None:
        return None
    try:
        spec = json.loads(text)
        return {**spec["config"], "resources": spec["resources"]}
    except (ValueError, KeyError, TypeError):
        return {}


def _shown(held: dict[str, Any] | None, wanted: dict[str, Any] | None) -> tuple[str | None, str | None]:
    """What differs between the two; of a whole file, that it is there."""
    if held is None or wanted is None:
        whole = "what the container is made from"
        return None if held is None else whole, None if wanted is None else whole
    keys = [key for key in {**held, **wanted} if held.get(key) != wanted.get(key)]
    before, after = hidden.pair({key: held[key] for key in keys if key in held}, {key: wanted[key] for key in keys if key in wanted})

    def told(part: dict[str, Any] | None) -> str:
        return ", ".join("%s=%s" % (key, to_json(value)) for key, value in sorted((part or {}).items()))

    return told(before), told(after)
