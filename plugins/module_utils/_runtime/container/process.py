# Copyright: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""What a process of a container is: its user, its capabilities, its limits.

This runs after the container's root was entered. Names of users are looked up in the container's own /etc/passwd and
/etc/group by code that is here: the C library's look-ups load plug-ins, and those would come out of the container.
"""

from __future__ import annotations

import _signal as signal  # type: ignore[import-not-found]  # without the enums that cost the signal module 5 ms
import errno
import os
import resource
import stat

from ..errors import BulkheadError
from ..kernel import seccomp, syscalls

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .mounts import Root

# include/uapi/linux/capability.h, in the order of their numbers
_NAMES = """
    CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP LINUX_IMMUTABLE NET_BIND_SERVICE
    NET_BROADCAST NET_ADMIN NET_RAW IPC_LOCK IPC_OWNER SYS_MODULE SYS_RAWIO SYS_CHROOT SYS_PTRACE SYS_PACCT
    SYS_ADMIN SYS_BOOT SYS_NICE SYS_RESOURCE SYS_TIME SYS_TTY_CONFIG MKNOD LEASE AUDIT_WRITE AUDIT_CONTROL SETFCAP
    MAC_OVERRIDE MAC_ADMIN SYSLOG WAKE_ALARM BLOCK_SUSPEND AUDIT_READ PERFMON BPF CHECKPOINT_RESTORE
"""
CAPABILITIES = _NAMES.split()
# resource limits by the name that people and the OCI specification use (RLIMIT_NOFILE: nofile)
RLIMITS = {name[len("RLIMIT_") :].lower(): getattr(resource, name) for name in dir(resource) if name.startswith("RLIMIT_") and name != "RLIMIT_OFILE"}
# The largest id that setresuid(2) takes; the next one means "leave it as it is".
LARGEST_ID = (1 << 32) - 2
_LARGEST_DATABASE = 4 << 20


def parse_id(text: str) -> int | None:
    """A user or group number, strictly: digits and nothing else. None where it is not one, and so a name."""
    if not (text.isascii() and text.isdigit()):
        return None
    number = int(text)
    if number > LARGEST_ID:
        raise BulkheadError("the id %s is larger than the kernel can count (%d)" % (text, LARGEST_ID))
    return number


def _lines(root: Root | None, path: str) -> list[list[str]]:
    """The fields of every line of one of the container's databases; none where it is not an ordinary file.

    A fifo or device there must not stop us and a huge file must not fill our memory: the container's owner wrote it.
    """
    flags = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY
    try:
        fd = root.open(path, flags) if root else syscalls.openat2(-100, path, flags, 0, syscalls.RESOLVE_NO_MAGICLINKS)
    except OSError:
        return []
    try:
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode) or status.st_size > _LARGEST_DATABASE:
            return []
        data = b""
        while len(data) <= _LARGEST_DATABASE and (more := os.read(fd, 65536)):
            data += more
    finally:
        os.close(fd)
    return [line.split(":") for line in data.decode("utf-8", "surrogateescape").split("\n")]


def _id_field(fields: list[str], index: int) -> int | None:
    try:
        return parse_id(fields[index]) if len(fields) > index else None
    except BulkheadError:
        return None


class User:
    """Who a process of a container runs as: numbers, and the home directory."""

    def __init__(self, uid: int, gid: int, groups: list[int], home: str) -> None:
        self.uid = uid
        self.gid = gid
        self.groups = groups
        self.home = home


def find_user(asked: str, more_groups: list[str], root: Root | None = None) -> User:
    """The user asked for as name, number, name:group or number:number, from the container's own databases.

    root: where they are looked up; None for the process's own root. A number needs no entry: its group is then 0.
    """
    name, _colon, group = asked.partition(":")
    uid = parse_id(name)
    gid: int | None = None
    home = "/"
    login = ""
    passwd = _lines(root, "/etc/passwd")
    for fields in passwd:
        if len(fields) >= 7 and (fields[0] == name if uid is None else _id_field(fields, 2) == uid):
            uid, gid, home, login = _id_field(fields, 2), _id_field(fields, 3), fields[5] or "/", fields[0]
            break
    if uid is None:
        raise BulkheadError(
            "the container knows no user %r" % name, target="/etc/passwd", hint="give a number, or a name that is in the container's own /etc/passwd"
        )
    database = _lines(root, "/etc/group") if group or more_groups or login else []
    by_name = {fields[0]: number for fields in database if len(fields) >= 4 and (number := _id_field(fields, 2)) is not None}

    def group_id(text: str) -> int:
        number = parse_id(text)
        number = by_name.get(text) if number is None else number
        if number is None:
            raise BulkheadError(
                "the container knows no group %r" % text, target="/etc/group", hint="give a number, or a name that is in the container's own /etc/group"
            )
        return number

    groups = [group_id(text) for text in more_groups]
    if not group and login:
        groups += [by_name[fields[0]] for fields in database if len(fields) >= 4 and fields[0] in by_name and login in fields[3].split(",")]
    gid = group_id(group) if group else gid or 0
    return User(uid, gid, sorted({*groups, gid}), home)


def directory(asked: str, base: str, env: dict[str, str], user: User, root: Root | None = None) -> str:
    """A directory as ansible.builtin.command takes it: with variables of the command's environment, with ~ for the home of its
    user and ~name for that of another one, and if it is relative, from `base` on. root: as in find_user().
    """
    path = _with_variables(asked, env)
    if path.startswith("~"):
        name, slash, rest = path[1:].partition("/")
        home = find_user(name, [], root).home if name else env.get("HOME", user.home)
        path = home.rstrip("/") + slash + rest
    return path if path.startswith("/") else "%s/%s" % (base.rstrip("/"), path)


def _with_variables(text: str, env: dict[str, str]) -> str:
    """The text with $NAME and ${NAME} replaced; a variable that there is not stays as it is written (os.path.expandvars())."""
    found, *parts = text.split("$")
    for part in parts:
        name, brace, rest = part[1:].partition("}")
        if not (part.startswith("{") and brace):
            length = 0
            while length < len(part) and part[length].isascii() and (part[length].isalnum() or part[length] == "_"):
                length += 1
            name, rest = part[:length], part[length:]
        found += env[name] + rest if name in env else "$" + part
    return found


def mask_of(names: list[str]) -> int:
    """Capabilities as a mask."""
    mask = 0
    for name in names:
        mask |= 1 << CAPABILITIES.index(name)
    return mask


def _last_capability() -> int:
    """The highest number that this kernel knows, so that also those are dropped which this table does not name yet."""
    try:
        with open("/proc/sys/kernel/cap_last_cap", "rb", buffering=0) as file:
            return int(file.read())
    except (OSError, ValueError):
        return 63


class Privileges:
    """What is gathered before the container is entered, because it is read from the machine."""

    def __init__(self, config: dict[str, Any], made: list[tuple[bytes, int]] | None = None) -> None:
        """made: the filters of system calls as Privileges of the same configuration told them; None to make them, for which
        their room must have been imported where nothing can be loaded any more.
        """
        self.keep = mask_of(config["capabilities"])
        self.last = _last_capability()
        self.no_new_privileges: bool = config["no_new_privileges"]
        # The guard comes first: the other one may refuse the call that loads filters.
        if made is None:
            from .seccomp import filters, guard

            self.filters = [one for one in (guard.of(config), filters.of(config)) if one]
        else:
            self.filters = [seccomp.Filter(program, flags) for program, flags in made]

    def made(self) -> list[tuple[bytes, int]]:
        """The filters as data, for another process."""
        return [(one.program, one.flags) for one in self.filters]

    def drop(self, user: User) -> None:
        """Become the user with these capabilities and no more; in the order that keeps each step possible.

        The inheritable and ambient sets are empty: a program of an unprivileged user gets nothing (CVE-2022-29162).
        """
        if not self.no_new_privileges:
            self._load()  # this takes CAP_SYS_ADMIN, which may be gone below
        for number in range(self.last + 1):
            if not self.keep >> number & 1:
                try:
                    syscalls.prctl(syscalls.PR_CAPBSET_DROP, number)
                except OSError as error:
                    if error.errno != 22:  # EINVAL: the kernel has no capability of this number
                        raise
        # Always, also when there are none: those of whoever ran the module would stay otherwise (CVE-2023-25173).
        os.setgroups(user.groups)
        os.setresgid(user.gid, user.gid, user.gid)
        os.setresuid(user.uid, user.uid, user.uid)
        keep = self.keep & ((2 << self.last) - 1)
        if user.uid == 0:
            syscalls.capset(keep, keep, 0)
        else:
            # The kernel has emptied all three sets with the change of user; said again so that it does not rest on that.
            syscalls.capset(0, 0, 0)
        syscalls.prctl(syscalls.PR_CAP_AMBIENT, syscalls.PR_CAP_AMBIENT_CLEAR_ALL)
        if self.no_new_privileges:
            syscalls.prctl(syscalls.PR_SET_NO_NEW_PRIVS, 1)
        # The change of user set it to what fs.suid_dumpable says; until the command runs, nobody may look into this process.
        syscalls.prctl(syscalls.PR_SET_DUMPABLE, 0)

    def filter_calls(self) -> None:
        """Put the seccomp filters in force, if drop() has not: as late as can be, so that they need allow little of ours."""
        if self.no_new_privileges:
            self._load()

    def _load(self) -> None:
        for one in self.filters:
            one.load()


# The limits that systemd gives services (systemd-system.conf(5)) and, where it gives none, the kernel's for its first process
# (INIT_RLIMITS, include/asm-generic/resource.h): [soft, hard], -1 for none. Control groups limit what processes there are.
DEFAULT_LIMITS = {
    **{name: [-1, -1] for name in RLIMITS},
    "core": [0, -1],
    "memlock": [8 << 20, 8 << 20],
    "msgqueue": [819200, 819200],
    "nice": [0, 0],
    "nofile": [1024, 524288],
    "rtprio": [0, 0],
    "stack": [8 << 20, -1],
}
# SIGCANCEL and SIGSETXID of the C library, which Python does not show.
_LIBRARY_SIGNALS = (32, 33)
# The kernel's own timer slack, in nanoseconds (init_task, init/init_task.c).
_TIMER_SLACK = 50000
# What the kernel writes into a core dump unless told otherwise (core(5)).
_COREDUMP_FILTER = b"0x33"


def reset_inherited() -> None:
    """Give this process what a service has, whatever the login or job that runs Ansible had: it is handed on to containers."""
    set_oom_score(None)
    os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
    os.setpriority(os.PRIO_PROCESS, 0, 0)
    syscalls.prctl(syscalls.PR_SET_TIMERSLACK, _TIMER_SLACK)
    syscalls.prctl(syscalls.PR_SET_THP_DISABLE, 0)
    syscalls.reset_personality()
    _write("/proc/self/coredump_filter", _COREDUMP_FILTER)
    for reset in (syscalls.allow_all_cpus, syscalls.reset_io_priority, syscalls.reset_memory_policy):
        try:
            reset()
        except OSError:
            pass  # a kernel without the feature has nothing to reset


def set_default_limits(asked: dict[str, list[int]]) -> None:
    """Set the resource limits that are not asked for; where one cannot be raised so far, as far as it can."""
    for name, (soft, hard) in DEFAULT_LIMITS.items():
        if name in asked:
            continue
        try:
            resource.setrlimit(RLIMITS[name], (soft, hard))
        except (OSError, ValueError):
            most = resource.getrlimit(RLIMITS[name])[1]
            resource.setrlimit(RLIMITS[name], (most if soft == -1 or -1 < most < soft else soft, most))


def set_limits(limits: dict[str, list[int]]) -> None:
    """Resource limits as {name: [soft, hard]}, -1 for none; while the process may still raise them."""
    for name, (soft, hard) in limits.items():
        try:
            resource.setrlimit(RLIMITS[name], (soft, hard))
        except (OSError, ValueError):
            # The resource module has words of its own for both errors of setrlimit(2).
            allowed = resource.getrlimit(RLIMITS[name])[1]
            raise _limit_refused(name, soft, hard, allowed) from None


def _limit_refused(name: str, soft: int, hard: int, allowed: int) -> BulkheadError:
    """The error for a resource limit that the kernel refused to whoever starts the container."""
    shown = "%s:%s" % tuple("unlimited" if number == -1 else number for number in (soft, hard))
    if allowed != -1 and (hard == -1 or hard > allowed):
        hint = "the hard limit of whoever runs Ansible is %d, and only CAP_SYS_RESOURCE may raise it: "
        hint = hint % allowed + "ask for no more, or raise it there (limits.conf, LimitXXX= of a service)"
    else:
        hint = "the most that the kernel allows may be in a parameter of the machine, such as fs.nr_open"
    return BulkheadError(
        "the resource limit %s could not be set to %s" % (name, shown),
        target="rlimits.%s" % name,
        value=shown,
        errno=errno.EPERM,
        hint=hint,
    )


def _write(path: str, data: bytes) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(fd, data)
    finally:
        os.close(fd)


def set_oom_score(value: int | None) -> None:
    """Set oom_score_adj of this process; None for 0, if it may be lowered so far."""
    try:
        _write("/proc/self/oom_score_adj", b"%d" % (value or 0))
    except PermissionError:
        if value is not None:
            raise


def protect_from_oom() -> None:
    """Take this process out of the OOM killer's choice, where CAP_SYS_RESOURCE allows it."""
    try:
        set_oom_score(-1000)
    except PermissionError:
        pass


def default_signals() -> None:
    """Every signal as a program expects it, whatever this process was started with; but SIGPIPE, which it is to survive, stays ignored."""
    for number in range(1, signal.NSIG):
        if signal.getsignal(number) not in (signal.SIG_DFL, None) and number != signal.SIGPIPE:
            signal.signal(number, signal.SIG_DFL)
    for number in _LIBRARY_SIGNALS:
        syscalls.default_action(number)
    signal.pthread_sigmask(signal.SIG_SETMASK, [])


def default_broken_pipe() -> None:
    """SIGPIPE as a program expects it: Python ignores it, and that would be inherited."""
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)


def change_directory(path: str) -> None:
    """Go there, and know that it is there: not by a descriptor that leads out of the root (CVE-2024-21626)."""
    os.chdir(path)
    reached = os.getcwd()
    if not reached.startswith("/"):
        raise OSError(2, "is outside of the container's root", path)


def execute(command: list[str], env: dict[str, str]) -> None:
    """Become the command; looked up in the PATH that it will have. Returns never; raises the most telling OSError."""
    name = command[0]
    if "/" in name:
        os.execve(name, command, env)
    refusal: OSError | None = None
    for directory in env.get("PATH", "").split(":"):
        try:
            os.execve((directory or ".") + "/" + name, command, env)
        except OSError as error:
            if error.errno not in (2, 20):  # ENOENT, ENOTDIR: look on
                refusal = error
    raise refusal or OSError(2, os.strerror(2), name)
