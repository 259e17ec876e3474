# Copyright: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""A mounted file system, what quotas it has, and, where it has none, what exactly is missing and
what mends it.

The file system is asked; neither its type nor its mount options say what it counts.
"""

from __future__ import annotations

import errno
import os

from ..errors import BulkheadError
from ..foreseen import Missing
from ..kernel import block, ext4, mounts, quotactl
from .wanted import GROUP, KINDS, PROJECT, USER

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..kernel.mounts import Mount

_MAX_V0 = (0xFFFFFFFF << 10, 0xFFFFFFFF)  # v2_read_file_info(), fs/quota/quota_v2.c
_MAX = ((1 << 63) - 1, (1 << 63) - 1)
_LEAST_UNIT = 1024  # the quota files of all formats but that of XFS count in it (QIF_DQBLKSIZE)
_OPTIONS = {USER: "usrquota", GROUP: "grpquota", PROJECT: "prjquota"}
_XFS_OPTIONS = {USER: "uquota", GROUP: "gquota", PROJECT: "pquota"}
_FLAGS = {USER: "u", GROUP: "g", PROJECT: "P"}
_FORMATS = {quotactl.FORMAT_OLD: "vfsold", quotactl.FORMAT_V0: "vfsv0", quotactl.FORMAT_V1: "vfsv1"}


def mount_at(path: str) -> Mount | None:
    """What is mounted at a path; None where nothing is. Of several it is the one on top."""
    real = os.path.realpath(path)
    found = [mount for mount in mounts.mounts() if mount.path == real]
    return found[-1] if found else None


class FileSystem:
    """One mounted file system, open as long as the object lives."""

    def __init__(self, path: str, mount: Mount) -> None:
        self.path = path
        self.mount = mount
        self.device = block.path_of(mount.device) or mount.source
        # A loop device goes when it is unmounted: what is said about mounting it names the file.
        self.image = block.file_of_loop(mount.device)
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        self.place = quotactl.Place(fd, self.device)
        self.type = mount.fstype
        self._states: dict[str, tuple[bool, bool]] = {}
        self._maxima: dict[str, tuple[int, int]] = {}
        self._units: int | None = None

    @property
    def fd(self) -> int:
        """A descriptor of its root directory."""
        return self.place.fd

    def close(self) -> None:
        """Let go of it, so that it can be unmounted."""
        self.place.close()

    @property
    def unit(self) -> int:
        """To how many bytes the file system rounds limits up: XFS keeps them in its own blocks
        (XFS_B_TO_FSB()).
        """
        if self._units is None:
            self._units = (
                max(_LEAST_UNIT, os.fstatvfs(self.fd).f_bsize)
                if self.type == "xfs"
                else _LEAST_UNIT
            )
        return self._units

    def state(self, kind: str) -> tuple[bool, bool]:
        """(whether usage of a kind is counted, whether limits are enforced)."""
        if kind not in self._states:
            number = KINDS[kind]
            try:
                flags = quotactl.state(self.place, number)
            except OSError as error:
                # What there is no quota of at all, not of this kind, or not now.
                if error.errno not in (
                    errno.ENOSYS,
                    errno.EINVAL,
                    errno.ESRCH,
                    errno.EOPNOTSUPP,
                    errno.ENODEV,
                    errno.ENOTBLK,
                ):
                    raise
                flags = 0
            self._states[kind] = (
                bool(flags & quotactl.counted(number)),
                bool(flags & quotactl.enforced(number)),
            )
        return self._states[kind]

    def format(self, kind: str) -> str:
        """The format of the quota files, empty where the file system has one of its own."""
        return _FORMATS.get(self._format(kind), "")

    def _format(self, kind: str) -> int:
        try:
            return quotactl.format_of(self.place, KINDS[kind])
        except OSError:
            return 0  # XFS has no such files: ESRCH

    def maximum(self, kind: str) -> tuple[int, int]:
        """The largest limits that can be kept, of bytes and of inodes."""
        if kind not in self._maxima:
            small = self._format(kind) in (quotactl.FORMAT_V0, quotactl.FORMAT_OLD)
            most_bytes, most_inodes = _MAX_V0 if small else _MAX
            self._maxima[kind] = (most_bytes - most_bytes % self.unit, most_inodes)
        return self._maxima[kind]

    def require(self, kind: str, enable: bool) -> bool:
        """Refuse where a kind is not counted, or not enforced and not to be; returns whether it is
        to be enforced first.
        """
        counts, enforces = self.state(kind)
        if not counts:
            raise self._missing(kind)
        if not enforces and not enable:
            raise BulkheadError(
                "%s counts what each %s uses, and limits are not enforced" % (self.path, kind),
                target=self.path,
                hint="disk_quota with enable: true enforces them until the next mount; for good, mount with %s"
                % self.option(kind),
            )
        return not enforces

    def option(self, kind: str) -> str:
        return (_XFS_OPTIONS if self.type == "xfs" else _OPTIONS)[kind]

    def _missing(self, kind: str) -> BulkheadError:
        """What is missing where nothing is counted."""
        problem, hint = _WHY.get(self.type, _why_other)(self, kind)
        return BulkheadError(
            "%s (%s on %s) has no quotas of type %s: %s"
            % (self.path, self.type, self.mount.source, kind, problem),
            target=self.path,
            hint=hint,
        )

    def lacks(self, kind: str) -> tuple[str, str]:
        """(what is missing, what mends it), both empty where a kind is counted and enforced."""
        counts, enforces = self.state(kind)
        try:
            if not (counts and enforces):
                self.require(kind, False)
        except BulkheadError as error:
            return error.problem, error.hint
        return "", ""


def _remount(fs: FileSystem, change: str, option: str) -> str:
    """Commands for what can be done on an unmounted file system only; change: a program with its
    options, run on the device in between.
    """
    what, option = (fs.image, "loop," + option) if fs.image else (fs.device, option)
    first = "umount %s" % fs.path + (" && %s %s" % (change, what) if change else "")
    return "%s && mount -o %s %s %s; and the option into /etc/fstab" % (
        first,
        option,
        what,
        fs.path,
    )


def _why_xfs(fs: FileSystem, kind: str) -> tuple[str, str]:
    option = fs.option(kind)
    if not os.path.exists("/proc/fs/xfs/xqm"):
        return "this kernel was built without CONFIG_XFS_QUOTA", "boot a kernel that has it"
    problem = (
        "it was not mounted with %s, and XFS decides at the first mount what it counts; a remount changes nothing"
        % option
    )
    if fs.path == "/":
        return problem, "add rootflags=%s to the kernel's command line, and reboot" % option
    return problem, _remount(fs, "", option)


def _why_ext4(fs: FileSystem, kind: str) -> tuple[str, str]:
    """What the superblock says about it."""
    made = ext4.superblock(fs.device)
    if made is None:
        problem = "its feature is missing or it is not mounted with %s" % fs.option(kind)
        return problem, _give_features(
            fs, kind, ["quota", *(["project"] if kind == PROJECT else [])]
        )
    missing = [] if made.quota else ["quota"]
    if kind == PROJECT and not made.project:
        missing.append("project")
        if made.inode_size <= 128:
            problem = "it was made with inodes of %d bytes, which have no room for a project"
            hint = "make it anew (mkfs.ext4 -I 256 -O quota,project) and bring its files back"
            return problem % made.inode_size, hint
    if missing:
        what = "feature" if len(missing) == 1 else "features"
        problem = "it was made without the %s %s" % (what, " and ".join(missing))
        return problem, _give_features(fs, kind, missing)
    if "ro" in fs.mount.options:
        problem = "it is mounted read-only, and quotas are read when it is writable"
        hint = "mount -o remount,rw %s; a kernel without CONFIG_QFMT_V2 refuses that" % fs.path
        return problem, hint
    return "its quotas were switched off", "quotaon %s" % fs.path


def _give_features(fs: FileSystem, kind: str, features: list[str]) -> str:
    """Features can be given to an unmounted file system only (tune2fs(8))."""
    command = "tune2fs -O %s" % ",".join(features)
    if fs.path != "/":
        return _remount(fs, command, fs.option(kind))
    return "boot another system, and: %s %s; mount it with %s" % (
        command,
        fs.device,
        fs.option(kind),
    )


def _why_btrfs(fs: FileSystem, kind: str) -> tuple[str, str]:
    return (
        "btrfs limits subvolumes, and neither users nor groups nor projects",
        "give type: subvolume, and the subvolume as path",
    )


def _why_overlay(fs: FileSystem, kind: str) -> tuple[str, str]:
    upper = next((option[9:] for option in fs.mount.options if option.startswith("upperdir=")), "")
    hint = "give the file system that holds %s" % upper if upper else ""
    return "an overlay has none of its own", hint


def _why_tmpfs(fs: FileSystem, kind: str) -> tuple[str, str]:
    if kind == PROJECT:
        return "tmpfs has none of projects", "give the mount a size (mount -o remount,size=...)"
    hint = "on Linux 6.6 or newer with CONFIG_TMPFS_QUOTA, mount it anew with %s" % _OPTIONS[kind]
    return "it was not mounted with %s" % _OPTIONS[kind], hint


def _why_other(fs: FileSystem, kind: str) -> tuple[str, str]:
    hint = "see whether %s has quotas of this type, and mount it with %s" % (
        fs.type,
        _OPTIONS[kind],
    )
    return "the kernel knows of none here", hint


_WHY = {
    "xfs": _why_xfs,
    "ext4": _why_ext4,
    "ext3": _why_ext4,
    "ext2": _why_ext4,
    "btrfs": _why_btrfs,
    "overlay": _why_overlay,
    "tmpfs": _why_tmpfs,
}


def nothing_there(path: str) -> BulkheadError:
    """The error where nothing is mounted at the path of a quota."""
    hint = ""
    if os.path.exists(path):
        at = os.path.realpath(path)
        while not os.path.ismount(at):
            at = os.path.dirname(at)
        hint = (
            "it lies on the file system at %s: give that as path, so that no other one is limited when it is not mounted"
            % at
        )
    problem = "%s is no mount point" % path if os.path.exists(path) else "there is no %s" % path
    return Missing(problem, target=path, hint=hint)
