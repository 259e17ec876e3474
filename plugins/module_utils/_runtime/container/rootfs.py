# Copyright: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""The root file system of a container, with everything that the kernel provides in it.

All of this runs in the container's first process, in its own namespaces, while it still sees the machine's files.
"""

from __future__ import annotations

import errno
import os

from ..errors import BulkheadError
from ..kernel import syscalls
from . import devices
from .mounts import NODEV, NOEXEC, NOSUID, RDONLY, Root, attach, attach_below, copy_of, hide, make_read_only, mount_on, new_filesystem, source_of
from .sources import open_real

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .becoming import Progress


def _overlay(lower: str, layers: str, attributes: int, unsynced: bool) -> int:
    """A writable view of a directory. The features that a later kernel may switch on are off: the layers outlive the mount.

    unsynced: do not bring what is written to the disk. Without that, the end of every view waits until the whole file system
    beneath it is synchronised (ovl_sync_fs()); a job, which is made anew each time, has nothing to lose.
    """
    upper, work = layers + "/upper", layers + "/work"
    settings: dict[str, str | None] = {"lowerdir": lower, "upperdir": upper, "workdir": work, "redirect_dir": "off", "index": "off", "metacopy": "off"}
    try:
        if unsynced:
            settings["volatile"] = None
            _forget_unsynced(work)
        return new_filesystem("overlay", attributes, settings)
    except OSError as error:
        raise BulkheadError.from_os(
            "the private view of %s could not be made" % lower,
            error,
            target=upper,
            hint="the directory %s must be on a file system that can hold the upper layer of an overlay (ext4, xfs, btrfs; not another overlay)"
            % os.path.dirname(upper),
        ) from None


def _forget_unsynced(work: str) -> None:
    """Remove the mark by which the kernel refuses layers that were not synchronised: the machine has not crashed since.

    The record of a container does not outlive the boot, and layers without a record are never used for a job.
    """
    mark = work + "/work/incompat/volatile"
    for remove, path in ((os.unlink, mark + "/dirty"), (os.rmdir, mark), (os.rmdir, work + "/work/incompat")):
        try:
            remove(path)
        except FileNotFoundError:
            pass


def _own_root(spec: dict[str, Any]) -> Root:
    """The machine's own root, privately: a skeleton with a copy of what everybody may read in /etc, and views of /usr and the like."""
    own, base = spec["own"], spec["base"]
    readonly: bool = spec["config"]["readonly"]
    unsynced: bool = spec["wait"]
    top = _overlay(base, own, NODEV, unsynced)
    attach(top, os.open(own + "/root", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC))
    root = Root(top)
    for name in spec["views"]:
        if readonly:
            view = copy_of(-100, "/" + name, RDONLY | NODEV)
        else:
            view = _overlay("/" + name, "%s/views/%s" % (own, name), NODEV, unsynced)
        attach(view, root.open_real(name))
        os.close(view)
    return root


def _directory_root(spec: dict[str, Any]) -> Root:
    """A directory of the machine, as it is, opened through no link."""
    place = open_real(spec["config"]["rootfs"])
    top = copy_of(place, "", recursive=True)
    attach(top, place)
    return Root(top)


def _kernel_filesystems(root: Root, progress: Progress) -> None:
    for name, kind, attributes in (("proc", "proc", NOSUID | NODEV | NOEXEC), ("sys", "sysfs", RDONLY | NOSUID | NODEV | NOEXEC)):
        progress.doing("mounting /%s" % name, "/" + name)
        mounted = new_filesystem(kind, attributes)
        attach(mounted, root.open_real(name))
        root.own[name] = mounted


def _control_groups(root: Root, mounts: list[dict[str, Any]]) -> None:
    """The container's own groups and what is below them, read-only, and nothing above them.

    Each is a copy of what the machine has mounted, and not a new mount of the hierarchy: for that one, the kernel would take the lock
    of all control groups (cgroup1_get_tree(), kernel/cgroup/cgroup-v1.c).
    """
    attributes = RDONLY | NOSUID | NODEV | NOEXEC
    try:
        place = root.open("/sys/fs/cgroup", os.O_PATH | os.O_DIRECTORY)
    except FileNotFoundError:
        return
    if len(mounts) == 1 and mounts[0]["version"] == 2:
        own = copy_of(-100, mounts[0]["path"], attributes)
        attach(own, place)
        os.close(own)
        return
    top = new_filesystem("tmpfs", NOSUID | NODEV | NOEXEC, {"mode": "755", "size": "64k"})
    attach(top, place)
    for mount in mounts:
        name = mount["name"]
        os.mkdir(name, 0o755, dir_fd=top)
        for controller in mount["controllers"]:
            if controller != name:
                os.symlink(name, controller, dir_fd=top)
        attach_below(syscalls.open_tree(-100, mount["path"], syscalls.OPEN_TREE_CLONE), top, name)
    syscalls.mount_setattr(top, attributes, 0, syscalls.MS_PRIVATE, recursive=True)
    os.close(top)


def build(spec: dict[str, Any], progress: Progress) -> Root:
    """Put the root together and mount everything in it; the machine's own root is still the process's."""
    config = spec["config"]
    # What is mounted from here on stays here, and what the machine unmounts meanwhile goes here too.
    progress.doing("leaving the machine's mounts", "/")
    syscalls.mount(None, "/", None, syscalls.MS_REC | syscalls.MS_SLAVE)
    sources = []
    for mount in config["mounts"]:
        progress.doing("opening the source of a mount", mount["source"] or mount["destination"])
        sources.append(source_of(mount))
    progress.doing("making the root file system", config["rootfs"])
    root = _own_root(spec) if config["rootfs"] == "host" else _directory_root(spec)
    _kernel_filesystems(root, progress)
    progress.doing("mounting the control groups", "/sys/fs/cgroup")
    _control_groups(root, spec["cgroup_mounts"])
    progress.doing("making the devices", "/dev")
    devices.build(root, config["devices"])
    for mount, mounted in zip(config["mounts"], sources):
        progress.doing("mounting", mount["destination"])
        mount_on(root, mounted, mount)
    progress.doing("setting kernel parameters", "/proc/sys")
    _set_parameters(root, config["sysctls"])
    progress.doing("hiding paths", "")
    hide(root, config["masked_paths"])
    make_read_only(root, config["readonly_paths"])
    if config["readonly"]:
        syscalls.mount_setattr(root.fd, RDONLY)
    return root


def _set_parameters(root: Root, parameters: dict[str, str]) -> None:
    """Values below /proc/sys, by way of the container's own proc, which shows this process's namespaces."""
    for key in parameters:
        path = "sys/" + key.replace(".", "/")
        try:
            fd = syscalls.openat2(root.own["proc"], path, os.O_WRONLY, 0, syscalls.RESOLVE_BENEATH | syscalls.RESOLVE_NO_SYMLINKS)
            try:
                os.write(fd, parameters[key].encode())
            finally:
                os.close(fd)
        except OSError as error:
            raise BulkheadError.from_os("the kernel parameter %s could not be set" % key, error, target="/proc/" + path, value=parameters[key]) from None


def enter(root: Root) -> None:
    """Make it the process's root, and let go of the machine's."""
    os.fchdir(root.fd)
    # Both names mean the same directory: the old root comes to lie on top of the new one and is then taken away.
    syscalls.pivot_root(".", ".")
    syscalls.umount2(".", syscalls.MNT_DETACH)
    os.chdir("/")
    if os.stat("..").st_ino != os.stat("/").st_ino:
        raise OSError(errno.EXDEV, "the root has a parent")
