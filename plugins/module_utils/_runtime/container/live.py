# Copyright: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""What changes of a container while it runs: a few lines beside its record, which whoever
supervises it reads when it needs them.

The record is the supervisor's to write, so a change does not go there. A supervisor loads no code
any more, and JSON is not among what it has: a line is a name and a value.

    restart_policy on-failure:3
    log.max_size 1048576
"""

from __future__ import annotations

import marshal
import os

from .state import text_of as read_text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

FILE = "live"
PACKED = ("healthcheck", "labels", "network.bandwidth", "disk_quota")


def text_of(config: dict[str, Any]) -> str:
    """The lines for a configuration."""
    policy, log = config["restart_policy"], config["log"]
    lines = {
        "restart_policy": "%s:%d" % (policy["name"], policy["max"]),
        "log.max_size": log["max_size"],
        "log.max_files": log["max_files"],
        "stop_signal": config["stop_signal"],
        "stop_timeout": config["stop_timeout"],
    }
    # What has structure goes as the supervisor reads it.
    packed = {name: marshal.dumps(_of(config, name), 2).hex() for name in PACKED}
    return "".join("%s %s\n" % line for line in {**lines, **packed}.items())


def _of(config: dict[str, Any], name: str) -> Any:
    key, _dot, inner = name.partition(".")
    value = config.get(key)
    return (value or {}).get(inner) if inner else value


def over(config: dict[str, Any], text: str) -> dict[str, Any]:
    """A configuration with these lines laid over it."""
    found = dict(config)
    for line in text.splitlines():
        try:
            _lay_over(found, line)
        except (ValueError, TypeError, EOFError):
            continue  # a damaged line changes nothing
    return found


def _lay_over(config: dict[str, Any], line: str) -> None:
    name, _space, value = line.partition(" ")
    key, _dot, inner = name.partition(".")
    if name in PACKED:
        loaded = marshal.loads(bytes.fromhex(value))
        if not inner:
            config[key] = loaded
        elif loaded is not None or inner in config[key]:
            config[key] = {**config[key], inner: loaded}
        return
    if key not in config:
        raise ValueError("%r is no value of a configuration" % key)
    if name == "restart_policy":
        policy, _colon, most = value.partition(":")
        config[key] = {"name": policy, "max": int(most or 0)}
    elif inner:
        config[key] = {**config[key], inner: int(value)}
    else:
        config[key] = int(value)


def read(directory: str, config: dict[str, Any]) -> dict[str, Any]:
    """The configuration of the container with this record as it is now."""
    text = read_text(directory + "/" + FILE)
    return config if text is None else over(config, text)


class Values:
    """The configuration of one container, read again only when something of it has changed."""

    def __init__(self, directory: str, config: dict[str, Any]) -> None:
        self._path = directory + "/" + FILE
        self._made_from = self._now = config
        self._seen: tuple[int, int] | None = None

    def config(self) -> dict[str, Any]:
        """The configuration as it is now."""
        try:
            status = os.stat(self._path)
        except OSError:
            return self._now
        if self._seen != (status.st_ino, status.st_mtime_ns):
            text = read_text(self._path)
            if text is not None:
                self._now = over(self._made_from, text)
                self._seen = (status.st_ino, status.st_mtime_ns)
        return self._now
