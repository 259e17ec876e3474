# Copyright: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""System calls that Python's os module lacks, each under its own name; the only file that touches libc.

Numbers from 403 on are the same on every architecture (include/uapi/asm-generic/unistd.h); older ones differ and stand in
a table here. A call that fails raises OSError with the errno; a call that the kernel does not have raises ENOSYS.
"""

from __future__ import annotations

import ctypes
import os

# openat2(2), include/uapi/linux/openat2.h
RESOLVE_NO_XDEV = 0x01
RESOLVE_NO_MAGICLINKS = 0x02
RESOLVE_NO_SYMLINKS = 0x04
RESOLVE_BENEATH = 0x08
RESOLVE_IN_ROOT = 0x10

# clone3(2), include/uapi/linux/sched.h
_SIGCHLD = 17
CLONE_PIDFD = 0x00001000
CLONE_PARENT = 0x00008000
CLONE_NEWNS = 0x00020000
CLONE_NEWCGROUP = 0x02000000
CLONE_NEWUTS = 0x04000000
CLONE_NEWIPC = 0x08000000
CLONE_NEWUSER = 0x10000000
CLONE_NEWPID = 0x20000000
CLONE_NEWNET = 0x40000000
CLONE_INTO_CGROUP = 0x200000000

# mount(2) and the calls that replaced it, include/uapi/linux/mount.h
MS_REC = 0x4000
MS_PRIVATE = 1 << 18
MS_SLAVE = 1 << 19
MNT_DETACH = 2
OPEN_TREE_CLONE = 1
AT_RECURSIVE = 0x8000
AT_EMPTY_PATH = 0x1000
MOUNT_ATTR_RDONLY = 0x01
MOUNT_ATTR_NOSUID = 0x02
MOUNT_ATTR_NODEV = 0x04
MOUNT_ATTR_NOEXEC = 0x08
MOUNT_ATTR__ATIME = 0x70
MOUNT_ATTR_NOATIME = 0x10
MOUNT_ATTR_STRICTATIME = 0x20
MOUNT_ATTR_NODIRATIME = 0x80
MOUNT_ATTR_NOSYMFOLLOW = 0x200000
_FSCONFIG_SET_FLAG = 0
_FSCONFIG_SET_STRING = 1
_FSCONFIG_CMD_CREATE = 6
_FSOPEN_CLOEXEC = _FSMOUNT_CLOEXEC = 1
_OPEN_TREE_CLOEXEC = os.O_CLOEXEC
_MOVE_MOUNT_FROM_FD, _MOVE_MOUNT_TO_FD = 0x04, 0x40  # the descriptors themselves, with an empty path

# prctl(2), include/uapi/linux/prctl.h
PR_SET_PDEATHSIG = 1
PR_SET_DUMPABLE = 4
PR_SET_KEEPCAPS = 8
PR_SET_NAME = 15
PR_CAPBSET_DROP = 24
PR_SET_TIMERSLACK = 29
PR_SET_NO_NEW_PRIVS = 38
PR_SET_THP_DISABLE = 41
PR_CAP_AMBIENT = 47
PR_CAP_AMBIENT_RAISE = 2
PR_CAP_AMBIENT_CLEAR_ALL = 4

CLOSE_RANGE_CLOEXEC = 4
_KEYCTL_JOIN_SESSION_KEYRING = 1
_IOPRIO_WHO_PROCESS = 1
_SIGACTION_BYTES = 32  # the kernel's struct sigaction, at most
_CPU_MASK_BYTES = 1024  # for 8192 CPUs, the most that a kernel is built for
_CAPABILITY_VERSION_3 = 0x20080522

_NR = {
    "pidfd_send_signal": 424,
    "open_tree": 428,
    "move_mount": 429,
    "fsopen": 430,
    "fsconfig": 431,
    "fsmount": 432,
    "pidfd_open": 434,
    "clone3": 435,
    "close_range": 436,
    "openat2": 437,
    "mount_setattr": 442,
    "quotactl_fd": 443,
    "file_getattr": 468,
    "file_setattr": 469,
}
_NR_BY_MACHINE = {
    "bpf": {"x86_64": 321, "aarch64": 280, "riscv64": 280, "ppc64le": 361, "s390x": 351},
    "rt_sigaction": {"x86_64": 13, "aarch64": 134, "riscv64": 134, "ppc64le": 173, "s390x": 174},
    "ioprio_set": {"x86_64": 251, "aarch64": 30, "riscv64": 30, "ppc64le": 273, "s390x": 282},
    "set_mempolicy": {"x86_64": 238, "aarch64": 237, "riscv64": 237, "ppc64le": 261, "s390x": 270},
    "clone": {"x86_64": 56, "aarch64": 220, "riscv64": 220, "ppc64le": 120, "s390x": 120},
    "keyctl": {"x86_64": 250, "aarch64": 219, "riscv64": 219, "ppc64le": 271, "s390x": 280},
    "pivot_root": {"x86_64": 155, "aarch64": 41, "riscv64": 41, "ppc64le": 203, "s390x": 217},
    "seccomp": {"x86_64": 317, "aarch64": 277, "riscv64": 277, "ppc64le": 358, "s390x": 348},
    "quotactl": {"x86_64": 179, "aarch64": 60, "riscv64": 60, "ppc64le": 131, "s390x": 131},
}

_MACHINE = os.uname().machine

libc = ctypes.CDLL(None, use_errno=True)
# The same functions, called without giving up the interpreter's lock: what returns in a second process must find it held.
_libc_with_lock = ctypes.PyDLL(None, use_errno=True)
_syscall = libc.syscall
_syscall.restype = ctypes.c_long
_get_errno = ctypes.get_errno


class _OpenHow(ctypes.Structure):
    """struct open_how"""

    _fields_ = [("flags", ctypes.c_uint64), ("mode", ctypes.c_uint64), ("resolve", ctypes.c_uint64)]


_HOW_SIZE = ctypes.sizeof(_OpenHow)
# openat2(2) is the call of which there are thousands: argument types said once spare a conversion each time, and the few
# ways of opening are kept as the structures the kernel reads.
_openat2 = ctypes.CFUNCTYPE(ctypes.c_long, ctypes.c_long, ctypes.c_int, ctypes.c_char_p, ctypes.c_void_p, ctypes.c_size_t, use_errno=True)(("syscall", libc))
_ways: dict[tuple[int, int, int], tuple[_OpenHow, int]] = {}


def number_of(name: str) -> int:
    """The number of the system call on this machine; OSError ENOSYS where it is not known."""
    by_machine = _NR_BY_MACHINE.get(name)
    number = by_machine.get(_MACHINE) if by_machine else _NR.get(name)
    if number is None:
        import errno

        raise OSError(errno.ENOSYS, "the number of %s() on %s is not known" % (name, _MACHINE))
    return number


def failed(call: str, filename: str | None = None) -> OSError:
    """The OSError of the call that just failed."""
    code = _get_errno()
    return OSError(code, "%s: %s" % (call, os.strerror(code)), filename)


def openat2(directory: int, path: str, flags: int, mode: int = 0, resolve: int = 0) -> int:
    """openat2(2): open a path with a say over how it is resolved; returns a descriptor (close-on-exec)."""
    way = _ways.get((flags, mode, resolve))
    if way is None:
        how = _OpenHow(flags | os.O_CLOEXEC, mode, resolve)
        way = _ways[flags, mode, resolve] = (how, ctypes.addressof(how))
    fd: int = _openat2(_NR["openat2"], directory, os.fsencode(path), way[1], _HOW_SIZE)
    if fd < 0:
        raise failed("openat2", path)
    return fd


def _call(name: str, *arguments: object, filename: str | None = None) -> int:
    """The system call of this name; OSError where it fails. A number is passed as an int, which is what all of these take."""
    result: int = _syscall(number_of(name), *arguments)
    if result < 0:
        raise failed(name, filename)
    return result


class _CloneArgs(ctypes.Structure):
    """struct clone_args"""

    _fields_ = [
        (name, ctypes.c_uint64)
        for name in ("flags", "pidfd", "child_tid", "parent_tid", "exit_signal", "stack", "stack_size", "tls", "set_tid", "set_tid_size", "cgroup")
    ]


def clone3(flags: int, cgroup: int = -1) -> tuple[int, int]:
    """clone3(2) without a stack of its own: returns (process id, pidfd) in the parent and (0, -1) in the child, as fork(2) does.

    cgroup: the descriptor of a directory of cgroup v2 in which the child is to be born.
    The interpreter is told of the fork as os.fork() tells it, so that its locks and its idea of the main thread are right
    in both processes.
    """
    pidfd = ctypes.c_int(-1)
    # The child of the caller's parent (CLONE_PARENT) ends with the signal that was chosen for the caller.
    arguments = _CloneArgs(flags=flags | CLONE_PIDFD, pidfd=ctypes.addressof(pidfd), exit_signal=0 if flags & CLONE_PARENT else _SIGCHLD)
    if cgroup >= 0:
        arguments.flags |= CLONE_INTO_CGROUP
        arguments.cgroup = cgroup
    number, size, api = ctypes.c_long(number_of("clone3")), ctypes.c_size_t(ctypes.sizeof(arguments)), ctypes.pythonapi
    api.PyOS_BeforeFork()
    pid: int = _libc_with_lock.syscall(number, ctypes.byref(arguments), size)
    if pid == 0:
        api.PyOS_AfterFork_Child()
        return 0, -1
    code = _get_errno()
    api.PyOS_AfterFork_Parent()
    if pid < 0:
        raise OSError(code, "clone3: %s" % os.strerror(code))
    return pid, pidfd.value


def clone_sibling() -> int:
    """clone(2) with CLONE_PARENT: a child of the caller's parent; returns its process id, and 0 in it.

    For a process that a seccomp filter is in force for already: a filter cannot see the flags of clone3(2), and so allows it to few.
    """
    flags = CLONE_PARENT | _SIGCHLD
    # On s390x the stack comes before the flags (CONFIG_CLONE_BACKWARDS2).
    first, second = (0, flags) if _MACHINE == "s390x" else (flags, 0)
    number, api = ctypes.c_long(number_of("clone")), ctypes.pythonapi
    zero = ctypes.c_long(0)
    api.PyOS_BeforeFork()
    pid: int = _libc_with_lock.syscall(number, ctypes.c_long(first), ctypes.c_long(second), zero, zero, zero)
    if pid == 0:
        api.PyOS_AfterFork_Child()
        return 0
    code = _get_errno()
    api.PyOS_AfterFork_Parent()
    if pid < 0:
        raise OSError(code, "clone: %s" % os.strerror(code))
    return pid


def seccomp(operation: int, flags: int, argument: int) -> None:
    """seccomp(2); the argument is an address."""
    _call("seccomp", ctypes.c_uint(operation), ctypes.c_uint(flags), ctypes.c_void_p(argument))


def unshare(flags: int) -> None:
    """unshare(2): leave the namespaces of these kinds for new ones."""
    if libc.unshare(ctypes.c_int(flags)) < 0:
        raise failed("unshare")


def setns(fd: int, flags: int) -> None:
    """setns(2): enter the namespaces of these kinds of the process behind a pidfd (Linux 5.8), or the one behind a file of /proc."""
    if libc.setns(ctypes.c_int(fd), ctypes.c_int(flags)) < 0:
        raise failed("setns")


def pidfd_open(pid: int) -> int:
    """pidfd_open(2): a descriptor of a process (close-on-exec), which never comes to mean another one."""
    return _call("pidfd_open", pid, 0)


def pidfd_send_signal(pidfd: int, signal: int) -> None:
    """pidfd_send_signal(2): a signal to exactly this process."""
    _call("pidfd_send_signal", pidfd, signal, None, 0)


def close_range(first: int, last: int = 0x7FFFFFFF, flags: int = 0) -> None:
    """close_range(2): close descriptors, or (CLOSE_RANGE_CLOEXEC) have the next exec close them.

    Kernels before 5.9 lack the call and those before 5.11 the flag; there each open descriptor is treated by itself.
    """
    if _syscall(ctypes.c_long(_NR["close_range"]), ctypes.c_uint(first), ctypes.c_uint(last), ctypes.c_uint(flags)) == 0:
        return
    for name in os.listdir("/proc/self/fd"):
        fd = int(name)
        if first <= fd <= last:
            try:
                if flags & CLOSE_RANGE_CLOEXEC:
                    os.set_inheritable(fd, False)
                else:
                    os.close(fd)
            except OSError:
                pass  # the descriptor of the listing itself, which is gone by now


def prctl(option: int, argument: int = 0, second: int = 0) -> int:
    """prctl(2): one property of this process."""
    result: int = libc.prctl(ctypes.c_int(option), ctypes.c_ulong(argument), ctypes.c_ulong(second), ctypes.c_ulong(0), ctypes.c_ulong(0))
    if result < 0:
        raise failed("prctl")
    return result


def set_name(name: str) -> None:
    """prctl(2) PR_SET_NAME: what this process is called in listings (at most 15 characters)."""
    libc.prctl(ctypes.c_int(PR_SET_NAME), name.encode()[:15], ctypes.c_ulong(0), ctypes.c_ulong(0), ctypes.c_ulong(0))


def capset(effective: int, permitted: int, inheritable: int) -> None:
    """capset(2): the capabilities of this thread, as masks with bit n for capability n."""
    words = []
    for shift in (0, 32):
        words += [(mask >> shift) & 0xFFFFFFFF for mask in (effective, permitted, inheritable)]
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION_3, 0)
    data = (ctypes.c_uint32 * 6)(*words)
    if libc.capset(ctypes.byref(header), ctypes.byref(data)) < 0:
        raise failed("capset")


def join_new_session_keyring() -> None:
    """keyctl(2) KEYCTL_JOIN_SESSION_KEYRING: leave the session's keys for a new keyring without a name."""
    _call("keyctl", _KEYCTL_JOIN_SESSION_KEYRING, None, 0, 0, 0)


def default_action(signal: int) -> None:
    """rt_sigaction(2) SIG_DFL, also for the signals that the C library keeps for itself and hands on ignored (posix_spawn(3))."""
    _call("rt_sigaction", signal, bytes(_SIGACTION_BYTES), None, ctypes.c_size_t(8))


def allow_all_cpus() -> None:
    """sched_setaffinity(2): any CPU that the control groups allow; the kernel cuts the mask to the CPUs it knows."""
    if libc.sched_setaffinity(ctypes.c_int(0), ctypes.c_size_t(_CPU_MASK_BYTES), b"\xff" * _CPU_MASK_BYTES) < 0:
        raise failed("sched_setaffinity")


def reset_io_priority() -> None:
    """ioprio_set(2): no I/O priority of this thread's own, so that it follows nice."""
    _call("ioprio_set", _IOPRIO_WHO_PROCESS, 0, 0)


def reset_memory_policy() -> None:
    """set_mempolicy(2) MPOL_DEFAULT: memory from the node on which the thread runs."""
    _call("set_mempolicy", 0, None, 0)


def reset_personality() -> None:
    """personality(2) PER_LINUX: addresses are randomized and uname(2) is that of the machine."""
    if libc.personality(ctypes.c_ulong(0)) < 0:
        raise failed("personality")


def sethostname(name: str) -> None:
    """sethostname(2), for the UTS namespace of this process."""
    data = name.encode()
    if libc.sethostname(data, ctypes.c_size_t(len(data))) < 0:
        raise failed("sethostname")


def mount(source: str | None, target: str, kind: str | None, flags: int, data: str | None = None) -> None:
    """mount(2); here for what has no newer call: the propagation of what is mounted."""
    encoded = [None if text is None else os.fsencode(text) for text in (source, target, kind, data)]
    if libc.mount(encoded[0], encoded[1], encoded[2], ctypes.c_ulong(flags), encoded[3]) < 0:
        raise failed("mount", target)


def umount2(target: str, flags: int = 0) -> None:
    """umount2(2)"""
    if libc.umount2(os.fsencode(target), ctypes.c_int(flags)) < 0:
        raise failed("umount2", target)


def pivot_root(new_root: str, put_old: str) -> None:
    """pivot_root(2)"""
    _call("pivot_root", os.fsencode(new_root), os.fsencode(put_old))


def fsopen(kind: str) -> int:
    """fsopen(2): begin to make a file system; returns a descriptor to configure it by."""
    return _call("fsopen", kind.encode(), _FSOPEN_CLOEXEC, filename=kind)


def fsconfig(fd: int, key: str, value: str | None = None) -> None:
    """fsconfig(2): one parameter of the file system to be made; a flag where there is no value."""
    if value is None:
        _call("fsconfig", fd, _FSCONFIG_SET_FLAG, key.encode(), None, 0, filename=key)
    else:
        _call("fsconfig", fd, _FSCONFIG_SET_STRING, key.encode(), os.fsencode(value), 0, filename=key)


def fsconfig_create(fd: int) -> None:
    """fsconfig(2) FSCONFIG_CMD_CREATE: make the file system as configured."""
    _call("fsconfig", fd, _FSCONFIG_CMD_CREATE, None, None, 0)


def fsmount(fd: int, attributes: int) -> int:
    """fsmount(2): mount what was made, attached nowhere yet; returns a descriptor of its root."""
    return _call("fsmount", fd, _FSMOUNT_CLOEXEC, attributes)


def open_tree(directory: int, path: str, flags: int = 0) -> int:
    """open_tree(2): a descriptor of a path; with OPEN_TREE_CLONE of a new mount of it, attached nowhere yet."""
    return _call("open_tree", directory, os.fsencode(path), flags | _OPEN_TREE_CLOEXEC | (AT_EMPTY_PATH if not path else 0), filename=path)


def move_mount(mounted: int, place: int, name: str = "") -> None:
    """move_mount(2): attach what the first descriptor has mounted on what the second one has open; no name is looked up.

    name: one right below the place, for a file system in which nobody else can put another thing under it. No link is followed.
    """
    _call("move_mount", mounted, b"", place, name.encode(), _MOVE_MOUNT_FROM_FD | (0 if name else _MOVE_MOUNT_TO_FD), filename=name or None)


class _MountAttr(ctypes.Structure):
    """struct mount_attr"""

    _fields_ = [(name, ctypes.c_uint64) for name in ("attr_set", "attr_clr", "propagation", "userns_fd")]


def mount_setattr(fd: int, attributes: int, clear: int = 0, propagation: int = 0, recursive: bool = False) -> None:
    """mount_setattr(2): the attributes of the mount behind a descriptor (Linux 5.12)."""
    wanted = _MountAttr(attributes, clear, propagation, 0)
    _call("mount_setattr", fd, b"", AT_EMPTY_PATH | (AT_RECURSIVE if recursive else 0), ctypes.byref(wanted), ctypes.c_size_t(ctypes.sizeof(wanted)))


# Of these calls there are thousands, as of openat2(2): one for each user of a file system, or each file of a tree.
_quotactl_fd = ctypes.CFUNCTYPE(
    ctypes.c_long, ctypes.c_long, ctypes.c_int, ctypes.c_uint, ctypes.c_uint, ctypes.c_void_p, use_errno=True
)(("syscall", libc))
_file_attr = ctypes.CFUNCTYPE(
    ctypes.c_long,
    ctypes.c_long,
    ctypes.c_int,
    ctypes.c_char_p,
    ctypes.c_void_p,
    ctypes.c_size_t,
    ctypes.c_uint,
    use_errno=True,
)(("syscall", libc))


def quotactl_fd(fd: int, command: int, identity: int, address: int) -> None:
    """quotactl_fd(2): a request to the quotas of the file system behind a descriptor (Linux 5.14)."""
    if _quotactl_fd(_NR["quotactl_fd"], fd, command, identity, address) < 0:
        raise failed("quotactl_fd")


def quotactl(device: str, command: int, identity: int, address: int) -> None:
    """quotactl(2): the same by the path of the block device."""
    arguments = (ctypes.c_uint(command), os.fsencode(device), ctypes.c_uint(identity))
    _call("quotactl", *arguments, ctypes.c_void_p(address), filename=device)


def file_getattr(directory: int, name: bytes, address: int, size: int, flags: int) -> None:
    """file_getattr(2): the attributes of an inode, which is not opened for it (Linux 6.17)."""
    if _file_attr(_NR["file_getattr"], directory, name, address, size, flags) < 0:
        raise failed("file_getattr", os.fsdecode(name))


def file_setattr(directory: int, name: bytes, address: int, size: int, flags: int) -> None:
    """file_setattr(2): set them (Linux 6.17)."""
    if _file_attr(_NR["file_setattr"], directory, name, address, size, flags) < 0:
        raise failed("file_setattr", os.fsdecode(name))
