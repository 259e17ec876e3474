# Copyright: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""What nobody may read in a result, a diff, an error or a log: the values of environment variables, which hold passwords.

Their names may be read, and whether a value was added, removed or changed. What a command reads from its standard input
is nobody's either.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

# The word that Ansible itself uses.
HIDDEN = "VALUE_SPECIFIED_IN_NO_LOG_PARAMETER"
_KEY = "env"
_WHOLE = "stdin"


def hide(value: Any) -> Any:
    """The same, with the values of every `env` in it replaced. What stands there and is no dictionary is hidden as a whole."""
    if isinstance(value, dict):
        return {key: _names_of(inner) if key in (_KEY, _WHOLE) else hide(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [hide(inner) for inner in value]
    return value


def _names_of(env: Any) -> Any:
    if env is None:
        return None
    return dict.fromkeys(env, HIDDEN) if isinstance(env, dict) else HIDDEN


def pair(before: dict[str, Any] | None, after: dict[str, Any] | None) -> tuple[dict[str, Any] | None, dict[str, Any] | None]:
    """Two states of one object as they may be shown: of `env` the names, and behind each what becomes of it."""
    held, wanted = ((options or {}).get(_KEY) for options in (before, after))
    shown_before, shown_after = hide(before), hide(after)
    if isinstance(held, dict) and shown_before is not None:
        shown_before[_KEY] = sorted(held)
    if isinstance(wanted, dict) and shown_after is not None:
        shown_after[_KEY] = changes(held if isinstance(held, dict) else None, wanted)
    return shown_before, shown_after


def changes(held: dict[str, Any] | None, wanted: dict[str, Any]) -> list[str]:
    """The names of the variables, with what happens to each where there were others before."""
    if held is None:
        return sorted(wanted)
    gone = ["%s (removed)" % name for name in sorted(held) if name not in wanted]
    return [name + ("" if held.get(name) == value else " (changed)" if name in held else " (added)") for name, value in sorted(wanted.items())] + gone
