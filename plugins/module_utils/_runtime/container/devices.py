# Copyright: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""/dev of a container: made whole in a file system that nobody else can reach yet, then attached.

Nodes are made by number and never copied by name, so a root file system with a /dev, a /dev/null or a /dev/pts of its own
making (CVE-2025-31133, CVE-2026-41579) has no say in them.
"""

from __future__ import annotations

import os
import stat

from .mounts import NODEV, NOEXEC, NOSUID, Root, attach, attach_below, new_filesystem

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

# The devices that the OCI runtime specification asks for (config-linux.md, "Default Devices").
DEFAULT = (("null", 1, 3), ("zero", 1, 5), ("full", 1, 7), ("random", 1, 8), ("urandom", 1, 9), ("tty", 5, 0))
_LINKS = (("/proc/self/fd", "fd"), ("/proc/self/fd/0", "stdin"), ("/proc/self/fd/1", "stdout"), ("/proc/self/fd/2", "stderr"), ("pts/ptmx", "ptmx"))
# The group that owns terminals: 5 on every distribution (Documentation/filesystems/devpts.rst).
_TTY_GROUP = "5"


def build(root: Root, asked: list[dict[str, Any]]) -> None:
    """Make /dev with the default devices and those asked for, and attach it."""
    dev = new_filesystem("tmpfs", NOSUID | NOEXEC, {"mode": "755", "size": "64k"})
    for name, major, minor in DEFAULT:
        os.mknod(name, stat.S_IFCHR | 0o666, os.makedev(major, minor), dir_fd=dev)
    for target, name in _LINKS:
        os.symlink(target, name, dir_fd=dev)
    for name in ("pts", "shm", "mqueue"):
        os.mkdir(name, 0o755, dir_fd=dev)
    for device in asked:
        _make(dev, device)
    attach(dev, root.open_real("dev"))
    root.own["dev"] = dev
    terminals: dict[str, str | None] = {"newinstance": None, "ptmxmode": "0666", "mode": "0620", "gid": _TTY_GROUP}
    shared_memory: dict[str, str | None] = {"mode": "1777", "size": "64m"}
    for name, kind, attributes, settings in (("pts", "devpts", 0, terminals), ("shm", "tmpfs", NODEV, shared_memory), ("mqueue", "mqueue", NODEV, {})):
        attach_below(new_filesystem(kind, NOSUID | NOEXEC | attributes, settings), dev, name)


def _make(dev: int, device: dict[str, Any]) -> None:
    """One device at its path below /dev; directories on the way are made."""
    parts = device["path"][len("/dev/") :].split("/")
    at = os.dup(dev)
    try:
        for part in parts[:-1]:
            try:
                os.mkdir(part, 0o755, dir_fd=at)
            except FileExistsError:
                pass
            inner = os.open(part, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=at)
            os.close(at)
            at = inner
        kind = stat.S_IFBLK if device["type"] == "b" else stat.S_IFCHR
        if len(parts) == 1 and parts[0] in (name for name, _major, _minor in DEFAULT):
            os.unlink(parts[0], dir_fd=at)  # one of the usual ones, with another mode or owner
        os.mknod(parts[-1], kind | device["mode"], os.makedev(device["major"], device["minor"]), dir_fd=at)
        os.chown(parts[-1], device["uid"], device["gid"], dir_fd=at, follow_symlinks=False)
    finally:
        os.close(at)


def open_null(root: Root) -> int:
    """The container's own null device: the machine's must not be within its reach, not even as standard input."""
    fd = os.open("null", os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=root.own["dev"])
    status = os.fstat(fd)
    if not stat.S_ISCHR(status.st_mode) or status.st_rdev != os.makedev(1, 3):
        os.close(fd)
        raise OSError(22, "is not the null device", "/dev/null")
    return fd


def open_null_of_machine() -> int:
    """The machine's null device, for the time until the container has its own."""
    fd = os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC)
    if os.fstat(fd).st_rdev != os.makedev(1, 3):
        os.close(fd)
        raise OSError(22, "is not the null device", "/dev/null")
    return fd
