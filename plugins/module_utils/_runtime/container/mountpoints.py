# Copyright: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Mount points that a container's volumes, root and log lie below.

What was a mount point when it was asked for must be one again at every start: the directory below a mount that is not
there yet is empty, and what a container writes to it fills the disk of the machine. So the mount points are kept, by source,
beside the container's own files.

Supervisors look before each start, so this loads nothing of what plans.
"""

from __future__ import annotations

import os
import re

from ..errors import BulkheadError
from ..kernel.files import read_text, real_path
from .wire import to_json

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    from ..plan import Step
    from .paths import Paths

_OCTAL = re.compile(r"\\([0-7]{3})")


def sources(config: dict[str, Any]) -> list[str]:
    """Return the paths of the machine that a container uses: sources of volumes, the root, and the directory of the log."""
    found = [mount["source"] for mount in config["mounts"] if mount["source"]]
    if config["rootfs"] != "host":
        found.append(config["rootfs"])
    if config["log"]["path"].startswith("/"):
        found.append(os.path.dirname(config["log"]["path"]))
    return found


def current() -> set[str]:
    """Return every mount point of this mount namespace."""
    lines = (read_text("/proc/self/mountinfo") or "").splitlines()
    return {_OCTAL.sub(lambda match: chr(int(match.group(1), 8)), line.split(" ")[4]) for line in lines}


def _above(path: str, points: set[str]) -> str:
    """Return the nearest mount point at or above a path."""
    path = real_path(path)
    while path not in points and path != "/":
        path = os.path.dirname(path)
    return path


def _file(name: str, paths: Paths) -> str:
    return "%s/mounts/%s.json" % (paths.lib, name)


def kept(name: str, paths: Paths) -> dict[str, str]:
    """Return {source: mount point} as it was when the container was asked for; without those on the machine's root."""
    import json

    try:
        found = json.loads(read_text(_file(name, paths)) or "{}")
    except ValueError:
        return {}
    return {str(source): str(point) for source, point in found.items()} if isinstance(found, dict) else {}


def wanted(config: dict[str, Any], paths: Paths) -> dict[str, str]:
    """Return {source: mount point}: as it was kept for each source that was asked for before, as it is for the others."""
    held, points = kept(config["name"], paths), current()
    found = {source: held.get(source) or _above(source, points) for source in sources(config)}
    return {source: point for source, point in found.items() if point != "/"}


def missing(points: Iterable[str]) -> list[str]:
    """Return those that are not mount points now."""
    asked = set(points)
    return sorted(asked - current()) if asked else []


def keep(config: dict[str, Any], paths: Paths) -> list[Step]:
    """Return the step that keeps the mount points of a container; none where they are kept."""
    from ..plan import ReplaceFile

    path, found = _file(config["name"], paths), wanted(config, paths)
    before, after = read_text(path), to_json(found) + "\n" if found else None
    return [] if before == after else [ReplaceFile(path, before, after)]


def forget(name: str, paths: Paths) -> list[Step]:
    """Return the step that forgets them with the container."""
    from ..plan import ReplaceFile

    before = read_text(_file(name, paths))
    return [] if before is None else [ReplaceFile(_file(name, paths), before, None)]


def refused(points: list[str]) -> BulkheadError:
    """Return the error of a start for which a file system is missing."""
    one = len(points) == 1
    return BulkheadError(
        "%s %s not mounted, and %s when the container was asked for" % (" and ".join(points), "is" if one else "are", "was" if one else "were"),
        target=points[0],
        hint="mount it, and the container starts; if it is meant to be a directory of another file system now, "
        "remove the container with state: absent and make it again",
    )


def check(config: dict[str, Any], paths: Paths) -> None:
    """Refuse to start a container on the empty directory below a mount that is not there. Raises BulkheadError."""
    gone = missing(wanted(config, paths).values())
    if gone:
        error = refused(gone)
        error.problem = "container %s: %s" % (config["name"], error.problem)
        raise error
