# Copyright: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Paths inside a container's root, and what is mounted on them.

A container's root may hold anything, and another process may change it while it is looked at. So a path in it is opened by
openat2(2) with RESOLVE_IN_ROOT, as if the root were "/", through no magic link; and it is the opened thing, not its name,
on which something is mounted (move_mount(2) between two descriptors). No name is ever checked first and used later.
"""

from __future__ import annotations

import errno
import os
import stat

from ..errors import BulkheadError
from ..kernel import syscalls
from .sources import open_real

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

RDONLY = syscalls.MOUNT_ATTR_RDONLY
NOSUID = syscalls.MOUNT_ATTR_NOSUID
NODEV = syscalls.MOUNT_ATTR_NODEV
NOEXEC = syscalls.MOUNT_ATTR_NOEXEC

_IN_ROOT = syscalls.RESOLVE_IN_ROOT | syscalls.RESOLVE_NO_MAGICLINKS
_NO_LINKS = syscalls.RESOLVE_BENEATH | syscalls.RESOLVE_NO_SYMLINKS | syscalls.RESOLVE_NO_MAGICLINKS

# Mount options that set an attribute, and those that clear it again.
ATTRIBUTES = {
    "ro": RDONLY,
    "nosuid": NOSUID,
    "nodev": NODEV,
    "noexec": NOEXEC,
    "noatime": syscalls.MOUNT_ATTR_NOATIME,
    "strictatime": syscalls.MOUNT_ATTR_STRICTATIME,
    "nodiratime": syscalls.MOUNT_ATTR_NODIRATIME,
    "nosymfollow": syscalls.MOUNT_ATTR_NOSYMFOLLOW,
}
CLEARING = {"rw": RDONLY, "suid": NOSUID, "dev": NODEV, "exec": NOEXEC}
# What is mounted where nothing else is said.
DEFAULT = NOSUID | NODEV
# One directory for each CPU, whose counters tell a container when and how hard the machine works.
PER_CPU_THERMAL = "/sys/devices/system/cpu/*/thermal_throttle"
# As many links as the kernel follows in one path (MAXSYMLINKS, include/linux/namei.h).
_MOST_LINKS = 40


class Root:
    """The root of a container while it is being put together.

    fd: its mount, attached. own: {name: descriptor} of the file systems that are the container's own from their making
    (proc, sys, dev): what lies in those is looked up from there, not through the root's names.
    """

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self.own: dict[str, int] = {}

    def open(self, path: str, flags: int = os.O_PATH) -> int:
        """A descriptor of what the container will see under this absolute path, links followed inside the root."""
        first, _slash, rest = path.strip("/").partition("/")
        if rest and first in self.own:
            return syscalls.openat2(self.own[first], rest, flags, 0, _NO_LINKS)
        return syscalls.openat2(self.fd, path.strip("/") or ".", flags, 0, _IN_ROOT)

    def open_real(self, name: str) -> int:
        """A directory right below the root that must be one, and not a link to one; made where it is missing."""
        for _attempt in range(2):
            try:
                return syscalls.openat2(self.fd, name, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW, 0, _NO_LINKS)
            except OSError as error:
                if error.errno in (errno.ELOOP, errno.ENOTDIR):
                    raise BulkheadError(
                        "/%s in the root file system is not a directory but a link or a file" % name,
                        target="/" + name,
                        errno=error.errno,
                        hint="/proc, /sys and /dev must be real directories, or what is mounted there could end up elsewhere",
                    ) from None
                if error.errno != errno.ENOENT:
                    raise
                os.mkdir(name, 0o755, dir_fd=self.fd)
        raise OSError(errno.ENOENT, os.strerror(errno.ENOENT), name)

    def place(self, path: str, directory: bool) -> int:
        """A descriptor of the path to mount on; what is missing of it is made, beneath the root, whatever the root does meanwhile.

        A link on the way whose target is missing is followed inside the root like any other, and the target is made there.
        """
        asked = path
        for _link in range(_MOST_LINKS):
            at, path = self._reach(path, directory)
            if at >= 0:
                break
        else:
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), asked)
        try:
            self._check_place(at, asked, directory)
        except BaseException:
            os.close(at)
            raise
        return at

    def _reach(self, path: str, directory: bool) -> tuple[int, str]:
        """(descriptor of the path, path), or (-1, where it leads) at a link to what is not there."""
        parts = [part for part in path.split("/") if part not in ("", ".")]
        at = syscalls.openat2(self.fd, ".", os.O_PATH | os.O_DIRECTORY, 0, _IN_ROOT)
        try:
            for count, part in enumerate(parts, 1):
                wants_directory = directory or count < len(parts)
                flags = os.O_PATH | (os.O_DIRECTORY if wants_directory else 0)
                try:
                    inner = syscalls.openat2(self.fd, "/".join(parts[:count]), flags, 0, _IN_ROOT)
                except FileNotFoundError:
                    leads_to = self._link(at, part)
                    if leads_to is not None:
                        above = [] if leads_to.startswith("/") else parts[: count - 1]
                        os.close(at)
                        return -1, "/".join([*above, leads_to, *parts[count:]])
                    self._make(at, part, wants_directory)
                    inner = syscalls.openat2(at, part, flags | os.O_NOFOLLOW, 0, _NO_LINKS)
                os.close(at)
                at = inner
        except BaseException:
            os.close(at)
            raise
        return at, path

    @staticmethod
    def _link(at: int, name: str) -> str | None:
        """Where a name leads that is a link; None where it is none."""
        try:
            return os.readlink(name, dir_fd=at)
        except OSError:
            return None

    def _check_place(self, at: int, path: str, directory: bool) -> None:
        status = os.fstat(at)
        for name in ("proc", "sys"):
            if name in self.own and os.fstat(self.own[name]).st_dev == status.st_dev:
                raise BulkheadError("%s leads into the container's /%s, where nothing may be mounted" % (path, name), target=path)
        if not directory and stat.S_ISDIR(status.st_mode):
            raise OSError(errno.EISDIR, "the source is a file and the destination a directory", path)

    @staticmethod
    def _make(at: int, name: str, directory: bool) -> None:
        try:
            if directory:
                os.mkdir(name, 0o755, dir_fd=at)
            else:
                os.close(os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644, dir_fd=at))
        except FileExistsError:
            # Made by somebody else since, or a link to nowhere: opening it without following links tells which.
            pass

    def close(self) -> None:
        for fd in [self.fd, *self.own.values()]:
            os.close(fd)
        self.own = {}


def new_filesystem(kind: str, attributes: int, options: dict[str, str | None] | None = None) -> int:
    """A new mount of a new file system, attached nowhere yet."""
    configured = syscalls.fsopen(kind)
    try:
        for key, value in (options or {}).items():
            syscalls.fsconfig(configured, key, value)
        syscalls.fsconfig_create(configured)
        return syscalls.fsmount(configured, attributes)
    finally:
        os.close(configured)


def copy_of(directory: int, path: str, attributes: int = 0, clear: int = 0, recursive: bool = False) -> int:
    """A new mount of what is there already (a bind mount), private, with these attributes, attached nowhere yet."""
    tree = syscalls.open_tree(directory, path, syscalls.OPEN_TREE_CLONE | (syscalls.AT_RECURSIVE if recursive else 0))
    try:
        # Which of the several times a kernel keeps is one choice of several bits, so it is cleared as a whole.
        if attributes & syscalls.MOUNT_ATTR__ATIME:
            clear |= syscalls.MOUNT_ATTR__ATIME
        syscalls.mount_setattr(tree, attributes, clear, syscalls.MS_PRIVATE, recursive)
    except BaseException:
        os.close(tree)
        raise
    return tree


def attach(mounted: int, place: int) -> None:
    """Attach a mount and give the place's descriptor back; the mount's stays open."""
    try:
        syscalls.move_mount(mounted, place)
    finally:
        os.close(place)


def attach_below(mounted: int, directory: int, name: str) -> None:
    """Attach a mount to a name in a file system that is our own and that nobody else can reach, and let go of it."""
    try:
        syscalls.move_mount(mounted, directory, name)
    finally:
        os.close(mounted)


def attributes_of(options: list[str], default: int) -> tuple[int, int]:
    """(attributes to set, attributes to clear) from mount options, on top of a default."""
    attributes, clear = default, 0
    for option in options:
        if option in ATTRIBUTES:
            attributes |= ATTRIBUTES[option]
        elif option in CLEARING:
            attributes &= ~CLEARING[option]
            clear |= CLEARING[option]
    return attributes, clear


def source_of(mount: dict[str, Any]) -> int:
    """The mount that the user asked for, attached nowhere yet; the source is opened in the machine's own file system, through no link."""
    options: list[str] = mount["options"]
    attributes, clear = attributes_of(options, DEFAULT)
    if mount["type"] == "tmpfs":
        settings: dict[str, str | None] = {"mode": "1777"}
        for option in options:
            key, equals, value = option.partition("=")
            if equals:
                settings[key] = value
        return new_filesystem("tmpfs", attributes, settings)
    opened = open_real(mount["source"])
    try:
        return copy_of(opened, "", attributes, clear, recursive="bind" not in options)
    finally:
        os.close(opened)


def mount_on(root: Root, mounted: int, mount: dict[str, Any]) -> None:
    """Attach what source_of() made where the user wants it."""
    directory = stat.S_ISDIR(os.fstat(mounted).st_mode)
    try:
        attach(mounted, root.place(mount["destination"], directory))
    except OSError as error:
        # By the name that the user gave, not by the part of it at which it ended.
        raise OSError(error.errno, error.strerror, mount["destination"]) from None
    os.close(mounted)


def _place_if_there(root: Root, path: str) -> int | None:
    """A descriptor of the path; None where there is nothing. A path that cannot be followed is not passed over: it was to be protected."""
    try:
        return root.open(path)
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ENOTDIR):
            return None
        if error.errno != errno.ELOOP:
            raise
        raise BulkheadError.from_os("%s leads through a link that is not followed" % path, error, target=path, hint="name the path to which it leads") from None


def _with_each_cpu(root: Root, paths: list[str]) -> list[str]:
    """The same paths, with the one that stands for every CPU as one for each."""
    if PER_CPU_THERMAL not in paths:
        return paths
    above, _star, below = PER_CPU_THERMAL.partition("*")
    try:
        fd = root.open(above, os.O_RDONLY | os.O_DIRECTORY)
    except FileNotFoundError:
        names = []
    else:
        try:
            names = sorted(name for name in os.listdir(fd) if name[:3] == "cpu" and name[3:].isdigit())
        finally:
            os.close(fd)
    return [path for path in paths if path != PER_CPU_THERMAL] + [above + name + below for name in names]


def hide(root: Root, paths: list[str]) -> None:
    """Put an empty read-only directory on each directory and the container's own null device on each file; what is not there stays so."""
    empty = -1
    for path in _with_each_cpu(root, paths):
        place = _place_if_there(root, path)
        if place is None:
            continue
        if stat.S_ISDIR(os.fstat(place).st_mode):
            # One empty file system for all of them.
            cover = empty if empty >= 0 else new_filesystem("tmpfs", RDONLY | NOSUID | NODEV | NOEXEC, {"size": "0", "mode": "555"})
            if empty < 0:
                empty = cover
                attach(cover, place)
                continue
            cover = syscalls.open_tree(empty, "", syscalls.OPEN_TREE_CLONE)
        else:
            cover = syscalls.open_tree(root.own["dev"], "null", syscalls.OPEN_TREE_CLONE)
        attach(cover, place)
        os.close(cover)
    if empty >= 0:
        os.close(empty)


def make_read_only(root: Root, paths: list[str]) -> None:
    """Put a read-only mount of itself on each path; what is not there stays so."""
    for path in paths:
        place = _place_if_there(root, path)
        if place is None:
            continue
        again = copy_of(place, "", RDONLY | NOSUID | NODEV | NOEXEC if path.startswith("/proc/") else RDONLY, recursive=True)
        attach(again, place)
        os.close(again)
