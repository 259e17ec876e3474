# Copyright: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""What a container would find, looked up from outside before it is made: its command, its user and
its directory.

So a mistake is told before a container that runs is stopped for a new one, and in check mode. Only
what is certain is refused: what cannot be told from outside (/proc, /dev, what others may change
meanwhile) is left for the start to find out.

Every directory that the container gets from the machine is opened once, and what lies in it is
looked up beneath that descriptor, one component at a time and through no link (openat2(2)); links
are followed here, as the container's root would follow them.
"""

from __future__ import annotations

import errno
import os
import stat

from ..errors import BulkheadError
from ..kernel import syscalls
from . import base, becoming, process

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_BENEATH = syscalls.RESOLVE_BENEATH | syscalls.RESOLVE_NO_SYMLINKS | syscalls.RESOLVE_NO_MAGICLINKS
_MOST_LINKS = 40
_KERNELS = ("proc", "sys", "dev")


class Unknown(Exception):
    """It cannot be told from outside."""


class View:
    """The files of a container that is yet to be made. Paths in it are absolute; close() gives
    every descriptor back.
    """

    def __init__(self, config: dict[str, Any]) -> None:
        self._opened: dict[str, int] = {}
        self._mounts: list[tuple[list[str], str | None]] = []
        self._rootfs: str = config["rootfs"]
        self._skeleton = base.skeleton() if self._rootfs == "host" else {}
        for mount in config["mounts"]:
            self._mounts.append(
                (
                    self._place(mount["destination"]),
                    mount["source"] if mount["type"] == "bind" else None,
                )
            )

    def close(self) -> None:
        for fd in self._opened.values():
            os.close(fd)
        self._opened = {}

    def _place(self, destination: str) -> list[str]:
        """The real path on which something is mounted; of what cannot be told, the path as it was
        given.
        """
        try:
            place, fd = self._resolve(destination, True)
        except (OSError, Unknown):
            return _parts(destination)
        if fd >= 0:
            os.close(fd)
        return place

    def open(self, path: str, flags: int = os.O_PATH) -> int:
        """A descriptor of what the container will see under this path. Raises OSError where it is
        not there, and Unknown.
        """
        fd = self._resolve(path, False)[1]
        if fd < 0:
            raise Unknown(path)
        if flags == os.O_PATH:
            return fd
        try:
            return os.open("/proc/self/fd/%d" % fd, flags | os.O_CLOEXEC)
        finally:
            os.close(fd)

    def _resolve(self, path: str, may_miss: bool) -> tuple[list[str], int]:
        """(the components of the real path, a descriptor of what is there); -1 for a directory of
        which only the name is certain.
        """
        done: list[str] = []
        left = _parts(path)
        links = 0
        fd = -1
        while left:
            part = left.pop(0)
            if part == "..":
                done = done[:-1]
                continue
            if fd >= 0:
                os.close(fd)
                fd = -1
            try:
                fd = self._step([*done, part])
            except FileNotFoundError:
                if may_miss:
                    return [*done, part, *left], -1
                raise
            target = self._link(fd, [*done, part])
            if target is None:
                done.append(part)
                continue
            fd = -1  # closed with the link
            links += 1
            if links > _MOST_LINKS:
                raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path)
            done = [] if target.startswith("/") else done
            left = _parts(target) + left
        return done, fd

    def _link(self, fd: int, parts: list[str]) -> str | None:
        """Where it leads when it is a link; the descriptor is closed then."""
        if fd < 0:
            return self._skeleton.get("/".join(parts))
        if not stat.S_ISLNK(os.fstat(fd).st_mode):
            return None
        try:
            return os.readlink("", dir_fd=fd)
        finally:
            os.close(fd)

    def _step(self, parts: list[str]) -> int:
        """A descriptor of one name, not followed; -1 for a directory or link of the skeleton, or
        one that is made for a mount.
        """
        covering = [
            (place, source) for place, source in self._mounts if parts[: len(place)] == place
        ]
        if covering:
            place, source = max(covering, key=lambda mount: len(mount[0]))
            return self._beneath(source, parts[len(place) :], parts)
        if any(place[: len(parts)] == parts for place, _source in self._mounts):
            return -1
        if parts[0] in _KERNELS:
            raise Unknown("/" + "/".join(parts))
        if self._rootfs != "host":
            return self._beneath(self._rootfs, parts, parts)
        if parts[0] in base.views():
            return self._beneath("/" + parts[0], parts[1:], parts)
        if parts[0] == "etc" and len(parts) > 1:
            if parts[1:] in (["passwd"], ["group"]):
                return self._beneath("/etc", parts[1:], parts)
            raise Unknown("/" + "/".join(parts))
        if "/".join(parts) in self._skeleton:
            return -1
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), "/" + "/".join(parts))

    def _beneath(self, top: str | None, below: list[str], parts: list[str]) -> int:
        """What lies below a directory of the machine; below a file system in memory (None), nothing
        does but what is mounted there.
        """
        if any(place[: len(parts)] == parts and place != parts for place, _source in self._mounts):
            return -1
        if top is None:
            if below:
                raise FileNotFoundError(
                    errno.ENOENT, os.strerror(errno.ENOENT), "/" + "/".join(parts)
                )
            return -1
        try:
            if top not in self._opened:
                self._opened[top] = os.open(top, os.O_PATH | os.O_CLOEXEC)
            if not below:
                return os.dup(self._opened[top])
            return syscalls.openat2(
                self._opened[top], "/".join(below), os.O_PATH | os.O_NOFOLLOW, 0, _BENEATH
            )
        except OSError as error:
            if top in self._opened and error.errno in (errno.ENOENT, errno.ENOTDIR):
                raise FileNotFoundError(
                    errno.ENOENT, os.strerror(errno.ENOENT), "/" + "/".join(parts)
                ) from None
            raise Unknown("/" + "/".join(parts)) from None


def _parts(path: str) -> list[str]:
    return [part for part in path.split("/") if part not in ("", ".")]


def _refusal(name: str, step: str, target: str, number: int) -> BulkheadError:
    """The error in which the start would end."""
    progress = becoming.Progress()
    progress.doing(step, target)
    return as_error(
        becoming.failure(
            name, becoming.describe(progress, OSError(number, os.strerror(number), target))
        )
    )


def as_error(facts: dict[str, Any]) -> BulkheadError:
    """An error from its facts."""
    return BulkheadError(
        facts["problem"],
        **{
            key: facts[key]
            for key in ("target", "value", "errno", "kernel", "hint")
            if key in facts
        },
    )


def check(config: dict[str, Any], root: Any) -> None:
    """Raise BulkheadError for a user, directory or command that is certainly not there. root: View,
    or mounts.Root of one that runs.
    """
    for look in (_check_user, _check_directory, _check_command):
        try:
            look(config, root)
        except Unknown:
            continue


def _check_user(config: dict[str, Any], root: Any) -> None:
    try:
        process.find_user(config["user"], config["groups"], root)
    except BulkheadError as error:
        error.problem = "container %s: %s" % (config["name"], error.problem)
        raise


def _status(root: Any, path: str) -> os.stat_result | None:
    """The status of a path; None where it is not there. Raises Unknown."""
    try:
        fd = root.open(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise Unknown(path) from error
    try:
        return os.fstat(fd)
    finally:
        os.close(fd)


def _check_directory(config: dict[str, Any], root: Any) -> None:
    if config["cwd"] == "/":
        return
    status = _status(root, config["cwd"])
    number = (
        errno.ENOENT if status is None else 0 if stat.S_ISDIR(status.st_mode) else errno.ENOTDIR
    )
    if number:
        raise _refusal(config["name"], "changing to the working directory", config["cwd"], number)


def _check_command(config: dict[str, Any], root: Any) -> None:
    name = config["command"][0]
    places = [""] if "/" in name else becoming.environment_of(config).get("PATH", "").split(":")
    number = errno.ENOENT
    for place in places:
        path = "%s/%s" % (place or ".", name) if place or "/" not in name else name
        status = _status(root, path if path.startswith("/") else "%s/%s" % (config["cwd"], path))
        if status is None:
            continue
        if stat.S_ISREG(status.st_mode) and status.st_mode & 0o111:
            return
        number = errno.EACCES
    raise _refusal(config["name"], "executing the command %r" % name, name, number)
