# Copyright: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Where the containers of this node can write, and the judgement over links that lie there.

A container runs as the machine's root unless it was told otherwise, so the owner of a link does not
tell who made it. What tells is where it lies: in the source of a volume that some container can
write to, in a root directory of one, or in the private files. Whoever is known counts: those with a
record, those that a unit starts, those that are kept for the boot, and the container that is asked
for.
"""

from __future__ import annotations

import json
import os
import stat

from .. import desired
from ..errors import BulkheadError, InvalidInput
from ..kernel.files import read_text, real_path
from ..kernel.mounts import mounts
from . import log, sources, state
from .mounts import RDONLY, attributes_of
from .paths import Paths
from .sources import Place, Source

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import Any

_KIND = "container_run"
_NULL = os.makedev(1, 3)


def writable_by(config: dict[str, Any]) -> list[str]:
    """The directories of the machine in which the container of this configuration can write."""
    rootfs = str(config.get("rootfs") or "host")
    found = [rootfs] if rootfs != "host" else []
    remounts = "SYS_ADMIN" in (config.get("capabilities") or [])
    for mount in config.get("mounts") or []:
        if mount.get("type") == "bind" and (remounts or not attributes_of(mount["options"], 0)[0] & RDONLY):
            found.append(str(mount["source"]))
    return found


def _asked_for(options: dict[str, Any]) -> list[str]:
    """The same of options that are kept and were not read yet; what cannot be read will not run."""
    found = [str(options["rootfs"])] if options.get("rootfs") not in (None, "host") else []
    for volume in options.get("volumes") or []:
        parts = str(volume).split(":")
        if len(parts) < 3 or "ro" not in parts[2].split(","):
            found.append(parts[0])
    for mount in options.get("mounts") or []:
        if mount.get("source") and "ro" not in (mount.get("options") or []):
            found.append(str(mount["source"]))
    return [path for path in found if path.startswith("/")]


class Territory:
    """What the containers of a node can write to; read from the node when the first link is to be
    judged."""

    def __init__(self, paths: Paths) -> None:
        self.paths = paths
        self.asked: list[dict[str, Any]] = []  # the configurations that were settled before, by the same call
        self._places: list[tuple[str, str, Place]] | None = None

    def _holders(self) -> Iterator[tuple[str, str]]:
        """(who, directory)"""
        yield "a container", self.paths.lib + "/containers"
        for name in os.listdir(self.paths.states) if os.path.isdir(self.paths.states) else []:
            for path in writable_by((state.read(self.paths.state(name)) or {}).get("config") or {}):
                yield "container " + name, path
        for directory in self.paths.unit_specs:
            for name in os.listdir(directory) if os.path.isdir(directory) else []:
                for path in writable_by(_config(read_text(directory + "/" + name))):
                    yield "container " + name.replace(".json", ""), path
        for name, options in desired.read(_KIND).items():
            for path in _asked_for(options):
                yield "container " + name, path

    def places(self) -> list[tuple[str, str, Place]]:
        """(who, directory, place on its file system) of all that containers can write to."""
        if self._places is None:
            self._places = places_of(self._holders())
        return self._places

    def judge(self, settings: dict[str, Any], found: list[tuple[str, Source]]) -> None:
        """Refuse a link that a container may have made: one that is there, one of the same call, or
        the very one that is asked for."""
        mine = [("container " + config["name"], path) for config in [*self.asked, settings] for path in writable_by(config)]
        places = [*places_of(mine), *self.places()]
        for what, source in found:
            for link in source.links:
                for who, path, place in places:
                    if link.place.is_within(place):
                        raise link.refused(what, "%s, which can write to %s, may have made it" % (who, path))


def _config(text: str | None) -> dict[str, Any]:
    try:
        spec = json.loads(text or "{}")
        config: dict[str, Any] = spec.get("config") or {}
        return config
    except (ValueError, AttributeError):
        return {}


def places_of(holders: Iterable[tuple[str, str]]) -> list[tuple[str, str, Place]]:
    """Where these directories lie on their file systems, and what is mounted below them; those that
    are not there are left out.

    Who can write to the whole of the machine needs no link, so that one is left out, too.
    """
    mounted = mounts()
    found = []
    for who, path in holders:
        real = real_path(path)
        if real == "/":
            continue
        try:
            fd = sources.open_real(real)
        except BulkheadError:
            continue
        try:
            found.append((who, path, sources.place_of(fd, real, mounted)))
        finally:
            os.close(fd)
        found += [(who, path, Place(mount.device, mount.root, mount.fstype)) for mount in mounted if mount.path.startswith(real + "/")]
    return found


def settle(settings: dict[str, Any], territory: Territory, may_miss: bool = False) -> None:
    """Replace every path of the machine in a container's configuration by the real path behind it.

    Raises Missing for a source that is not there, unless that is right (may_miss), and InvalidInput
    for a link that was not certainly made by root. The directory of a log may always be missing: it
    is made.
    """
    found: list[tuple[str, Source]] = []

    def real(path: str, what: str, missing: bool) -> str:
        source = sources.resolve(path, what, missing)
        if source.links:
            found.append((what, source))
        return source.path

    if settings["rootfs"] != "host":
        settings["rootfs"] = root = _directory(real(settings["rootfs"], "rootfs", may_miss), "rootfs")
        if root == "/":
            raise InvalidInput(
                "rootfs: the machine's own root cannot be a container's",
                hint="use rootfs: host for a private view of it",
            )
    for mount in settings["mounts"]:
        if mount["type"] == "bind":
            mount["source"] = real(mount["source"], "volume %s:%s" % (mount["source"], mount["destination"]), may_miss)
    directory, slash, file = settings["log"]["path"].rpartition("/")
    if slash:
        directory = _directory(real(directory or "/", "log.path", True), "log.path")
        settings["log"]["path"] = path = directory.rstrip("/") + "/" + file
        log.kind_of(path)
    if found:
        territory.judge(settings, found)
    territory.asked.append(settings)


def _directory(path: str, what: str) -> str:
    if os.path.exists(path) and not os.path.isdir(path):
        raise InvalidInput("%s: %s is not a directory" % (what, path), target=path)
    return path


def prepare_log(config: dict[str, Any], territory: Territory) -> list[int]:
    """Have a container's log in place before it is started; returns what it is where it is no
    regular file, for the supervisor to insist on.

    A device must be root's: a container with CAP_MKNOD could have made one, to have the supervisor
    write to it.
    """
    path = config["log"]["path"]
    if not path.startswith("/"):
        return []
    kind = log.kind_of(path)
    if kind and stat.S_ISCHR(kind[0]) and kind[1] != _NULL:
        directory = log.open_directory(os.path.dirname(path))
        try:
            place = sources.place_of(directory, os.path.dirname(path), mounts())
        finally:
            os.close(directory)
        for who, where, held in [
            *places_of(("this container", path) for path in writable_by(config)),
            *territory.places(),
        ]:
            if place.is_within(held):
                raise BulkheadError(
                    "the log %s is a device, and %s, which can write to %s, may have made it" % (path, who, where),
                    target=path,
                    hint="name a file in log.path",
                )
    log.prepare(path, config["log"]["max_size"], config["log"]["max_files"], kind)
    return kind
