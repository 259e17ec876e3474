# Copyright: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Where the file system is mounted, how, and, where it is not, why it cannot be.

It is mounted once for the whole machine, and its options cannot be changed: `mount -o remount` answers 0 and changes nothing
(reconfigure_super(), fs/super.c). Other options are had by unmounting, which destroys every group and sends all tasks and all
bandwidth back to the defaults (rdt_kill_sb(), rdtgroup.c).
"""

from __future__ import annotations

import errno
import os
import re
import time

from ..errors import BulkheadError
from ..kernel import flock, syscalls
from ..kernel.files import Tree, read_text
from ..kernel.mounts import mounts
from ..plan import Step
from .hardware import OPTIONS
from .steps import Kept

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

PLACE = "/sys/fs/resctrl"
_FLAGS = ("rdt_a", "cat_l3", "cat_l2", "cdp_l3", "cdp_l2", "cqm_llc", "cqm_occup_llc", "cqm_mbm_total", "cqm_mbm_local", "mba")
NOT_MOUNTED = "resctrl is not mounted"
_BUSY_PATIENCE = 2.0
_LOCK_PATIENCE = 10.0


class Mounted:
    """Where it is mounted. options: those of OPTIONS that are in force, and debug."""

    def __init__(self, path: str, options: frozenset[str], writable: bool = True) -> None:
        self.path = path
        self.options = options
        self.writable = writable


def find() -> Mounted | None:
    """The mount, if there is one here."""
    for mount in mounts("resctrl"):
        if mount.root == "/":
            return Mounted(mount.path, frozenset(option for option in mount.options if option in (*OPTIONS, "debug")), "rw" in mount.options)
    return None


def cpu_flags() -> tuple[str, list[str]]:
    """(vendor, the flags of /proc/cpuinfo that are about dividing and monitoring)."""
    text = read_text("/proc/cpuinfo") or ""
    vendor = re.search(r"^vendor_id\s*:\s*(\S+)", text, re.MULTILINE)
    line = re.search(r"^flags\s*:\s*(.*)", text, re.MULTILINE)
    flags = set(line.group(1).split()) if line else set()
    return vendor.group(1) if vendor else "", [flag for flag in _FLAGS if flag in flags]


def is_skylake_server() -> bool:
    """Whether the kernel switches L3 allocation off here unless it is told otherwise (__check_quirks_intel(), core.c)."""
    text = read_text("/proc/cpuinfo") or ""
    return bool(re.search(r"^cpu family\s*:\s*6$", text, re.MULTILINE) and re.search(r"^model\s*:\s*85$", text, re.MULTILINE))


_CONFIG = ("CONFIG_X86_CPU_RESCTRL", "CONFIG_ARM64_MPAM", "CONFIG_PROC_CPU_RESCTRL")


def kernel_config() -> dict[str, str]:
    """How the kernel was built, as far as it or /boot tells: {option: y or n}; empty where neither does."""
    text = read_text("/boot/config-" + os.uname().release)
    if text is None:
        try:
            import gzip

            with gzip.open("/proc/config.gz", "rt") as file:
                text = file.read()
        except OSError:
            return {}
    lines = set(text.splitlines())
    return {option: "y" if option + "=y" in lines else "n" for option in _CONFIG if option != "CONFIG_ARM64_MPAM" or os.uname().machine == "aarch64"}


def why_not() -> tuple[str, str]:
    """(why nothing can be divided here, what can be done about it), from the processor, the kernel and its arguments."""
    vendor, flags = cpu_flags()
    arguments = (read_text("/proc/cmdline") or "").split()
    switched_off = next((argument for argument in arguments if argument.startswith("rdt=") and "!" in argument), "")
    known = "resctrl" in (read_text("/proc/filesystems") or "").split()
    if known and os.path.isdir(PLACE):
        return NOT_MOUNTED, "mount it: mount -t resctrl resctrl %s, or have resctrl_schema do it" % PLACE
    if switched_off:
        return "resctrl is switched off by the kernel's argument %s" % switched_off, "boot without it"
    if not flags:
        if vendor:
            return (
                "the processor (%s) does not say that it can divide or monitor caches" % vendor,
                "virtual machines rarely do; look at the host's flags rdt_a and cqm",
            )
        return "this machine has nothing that resctrl could divide", ""
    if is_skylake_server() and "cat_l3" not in flags:
        return "this processor divides its L3 only when the kernel is told to", "boot with rdt=l3cat (and rdt=cmt,mbmtotal,mbmlocal to monitor)"
    if not known:
        return (
            "the kernel was built without resctrl, though the processor has %s" % " ".join(flags),
            "it needs CONFIG_X86_CPU_RESCTRL=y (CONFIG_ARM64_MPAM on Arm); there is no module to load",
        )
    hint = "boot with rdt=l3cat" if is_skylake_server() else "look for 'resctrl' in the kernel's log"
    return "the kernel has resctrl and found nothing to divide, though the processor has %s" % " ".join(flags), hint


def absent() -> BulkheadError:
    """The error for who wants what this machine has not."""
    problem, hint = why_not()
    return BulkheadError(problem, target=PLACE, hint=hint)


def probe(options: frozenset[str]) -> Tree:
    """The file system, mounted at no path, so that it can be looked at before it is mounted; gone when the tree is closed."""
    context = syscalls.fsopen("resctrl")
    try:
        for option in sorted(options):
            syscalls.fsconfig(context, option)
        _patiently(lambda: syscalls.fsconfig_create(context))
        return Tree.of(syscalls.fsmount(context, 0), PLACE)
    except OSError as error:
        raise refused(error, options) from error
    finally:
        os.close(context)


def refused(error: OSError, options: frozenset[str]) -> BulkheadError:
    """The error for a mount that the kernel refused."""
    hints = {
        errno.EINVAL: "the hardware lacks one of these options; mba_MBps needs local bandwidth monitoring and linear steps",
        errno.EBUSY: "it is mounted in another mount namespace, and can be mounted once only",
        errno.ENODEV: why_not()[0],
        errno.ENOENT: why_not()[0],
    }
    what = "with %s" % ",".join(sorted(options)) if options else "without options"
    return BulkheadError.from_os(
        "resctrl could not be mounted %s" % what, error, target=PLACE, value=",".join(sorted(options)), hint=hints.get(error.errno or 0, "")
    )


def _patiently(call: Callable[[], None]) -> None:
    """Do it; again while the file system that went away a moment ago is still there."""
    deadline = time.monotonic() + _BUSY_PATIENCE
    while True:
        try:
            call()
            return
        except OSError as error:
            if error.errno != errno.EBUSY or time.monotonic() > deadline:
                raise
            time.sleep(0.05)


def _mount(path: str, options: frozenset[str]) -> None:
    _patiently(lambda: syscalls.mount("resctrl", path, "resctrl", 0, ",".join(sorted(options)) or None))


class Mount(Step):
    """Mount the file system, and lock it."""

    def __init__(self, tree: Tree, options: frozenset[str]) -> None:
        self.tree = tree
        self.options = options
        self.target = tree.path
        self.before = None
        self.after = "mount -t resctrl%s" % (" -o " + ",".join(sorted(options)) if options else "")

    def do(self) -> None:
        self.tree.close()
        _mount(self.tree.path, self.options)
        flock.take(self.tree.fd, True, _LOCK_PATIENCE, self.tree.path)

    def undo(self) -> None:
        self.tree.close()
        _patiently(lambda: syscalls.umount2(self.tree.path))

    def explain(self, error: OSError) -> BulkheadError:
        return refused(error, self.options)


class Unmount(Step):
    """Unmount it, which destroys every group; undone, all of them come back."""

    def __init__(self, tree: Tree, options: frozenset[str], groups: list[Kept]) -> None:
        self.tree = tree
        self.options = options
        self.groups = groups
        self.target = tree.path
        named = ["%s: %s" % (kept.name, kept.described()) for kept in groups if kept.name]
        self.before = "mount -t resctrl%s with %s" % (" -o " + ",".join(sorted(options)) if options else "", "; ".join(named) or "no groups")

    def do(self) -> None:
        self.tree.close()
        _patiently(lambda: syscalls.umount2(self.tree.path))

    def undo(self) -> None:
        self.tree.close()
        _mount(self.tree.path, self.options)
        for kept in sorted(self.groups, key=lambda kept: (kept.name != "", kept.mode == "exclusive", kept.name)):
            kept.bring_back(self.tree)

    def explain(self, error: OSError) -> BulkheadError:
        return BulkheadError.from_os(
            "resctrl could not be unmounted to be mounted with other options",
            error,
            target=self.target,
            hint="something has a file below it open: see with lsof",
        )
