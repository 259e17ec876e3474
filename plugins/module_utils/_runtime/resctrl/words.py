# Copyright: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""The kernel's own words about a refusal, info/last_cmd_status, made to be trusted; and what to do about them.

The file is emptied by some commands only: in Linux 6.12 making and removing groups and writing cpus do not, so that old words
stand before new ones. Writing to `mode` the mode that is there changes nothing and empties it; so a command of that kind which
was refused is tried once more after that, and the words then are its own (rdt_last_cmd_clear(), rdtgroup.c).
"""

from __future__ import annotations

import errno
import time

from ..kernel.files import Tree

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

# A monitoring id that was used lies in limbo until its cache lines are gone; the kernel looks once a second (CQM_LIMBOCHECK_INTERVAL).
_LIMBO_PATIENCE = 8.0
_LIMBO_PAUSE = 0.25

_HINTS = (
    ("Out of CLOSIDs", "every class of the hardware is taken; remove a group that is not needed"),
    ("Out of RMIDs", "every monitoring id of the hardware is taken; remove a group or a monitoring group that is not needed"),
    ("No space on", "no ways are left that a new group could start with; make an exclusive group smaller"),
    ("Schemata overlaps", "another group, or a device (shareable_bits), uses some of the same ways of some cache"),
    ("Overlaps with exclusive group", "another group has some of these ways exclusively"),
    ("Overlaps with other group", "an exclusive group cannot take ways that another group or a device uses"),
    ("Cannot be exclusive without CAT", "this machine divides bandwidth only, and that is never exclusive"),
    ("Unknown or unsupported resource name", "this machine, mounted as it is, has no such resource; resctrl_info tells which there are"),
    ("Can only assign online CPUs", "a CPU went offline meanwhile"),
    ("No task", "the task has ended"),
    ("pseudo-lock", "the group is pseudo-locked; remove it by hand first"),
)


def read(tree: Tree) -> str:
    """The words, without the last newline; empty where the kernel had nothing to say."""
    try:
        text = (tree.read_short("info/last_cmd_status") or "").strip()
    except OSError:
        return ""
    return "" if text == "ok" else "; ".join(text.splitlines())


def clear(tree: Tree) -> None:
    """Empty the file, without changing anything else."""
    try:
        tree.write("mode", (tree.read_short("mode") or "shareable") + "\n")
    except OSError:
        pass  # where nothing can be divided there are neither modes nor such words


def attempt(tree: Tree, command: Callable[[], None], clears: bool) -> str:
    """Do a command. When it is refused, the OSError that is raised has the kernel's words as `words`.

    clears: whether the kernel itself empties the words before a command of this kind.
    """
    deadline = time.monotonic() + _LIMBO_PATIENCE
    cleared = clears
    while True:
        try:
            command()
            return ""
        except OSError as error:
            if error.errno == errno.EBUSY and time.monotonic() < deadline:
                time.sleep(_LIMBO_PAUSE)
                continue
            if not cleared:
                cleared = True
                clear(tree)
                continue
            error.words = read(tree)  # type: ignore[attr-defined]
            raise


def of(error: OSError) -> str:
    """The words that came with an error."""
    return str(getattr(error, "words", ""))


def hint_for(error: OSError) -> str:
    """What can be done about a refusal."""
    words = of(error)
    if error.errno == errno.EBUSY:
        return "monitoring ids are still in use by cache lines of groups that are gone; wait, or raise info/L3_MON/max_threshold_occupancy"
    for part, hint in _HINTS:
        if part in words:
            return hint
    if error.errno == errno.EROFS or error.errno == errno.EACCES:
        return "run as root, on a file system that is mounted writable"
    if error.errno == errno.EINVAL and not words:
        return "the kernel has no words for it when a cache id is not there (any more)"
    return ""
