# Copyright: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Variables from files of the node, a line NAME=VALUE each, as docker run --env-file reads them.

What is in them becomes part of the environment of the container, whose values are told nowhere; of what is kept for the boot
the paths are a part, and not the content.
"""

from __future__ import annotations

import os
import stat

from ..errors import InvalidInput
from . import sources, words
from .territory import Territory

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_LARGEST = 1 << 20


def paths(value: object) -> list[str]:
    """The files, in the order in which they are read. Raises InvalidInput."""
    given = [value] if isinstance(value, str) else words.items(value, "env_file")
    return [words.parse_path(path, "env_file") for path in given]


def read(files: list[str], settings: dict[str, Any], territory: Territory) -> dict[str, str]:
    """The variables of all files; what comes later holds. Raises Missing for a file that is not there."""
    env: dict[str, str] = {}
    for path in files:
        what = "env_file: %s" % path
        source = sources.resolve(path, what)
        if source.links:
            territory.judge(settings, [(what, source)])
        env.update(variables(_text(source.path, what), what))
    return env


def variables(text: str, what: str) -> dict[str, str]:
    """The variables of one file. Lines that are empty or begin with # say nothing; a name alone is one of the machine's, and there are none."""
    found: dict[str, str] = {}
    for number, line in enumerate(text.splitlines(), 1):
        line = line.lstrip()
        name, equals, value = line.partition("=")
        if not line or line.startswith("#"):
            continue
        if not name or not name.isprintable() or any(character.isspace() for character in name):
            raise InvalidInput("%s: line %d does not begin with the name of a variable" % (what, number))
        if equals:
            found[name] = value
    return found


def _text(path: str, what: str) -> str:
    fd = sources.open_real(path)
    try:
        if not stat.S_ISREG(os.fstat(fd).st_mode) or os.fstat(fd).st_size > _LARGEST:
            raise InvalidInput("%s: it is not a plain file of at most %d MiB" % (what, _LARGEST >> 20))
        with open("/proc/self/fd/%d" % fd, "rb") as file:
            data = file.read(_LARGEST)
    finally:
        os.close(fd)
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        raise InvalidInput("%s: it is not text in UTF-8" % what) from None
    if "\0" in text:
        raise InvalidInput("%s: it holds a zero byte" % what)
    return text
