# Copyright: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""The start of a container: one clone3(2), and what the new process does until it is the container's command.

The new process makes its own mounts, devices and limits and gives up its privileges in a fixed order. Whatever fails there
comes back through a pipe that closes by itself when the command is executed: an empty pipe is success.
"""

from __future__ import annotations

import errno
import marshal
import os
import select

from ..errors import BulkheadError
from ..kernel import network, syscalls
from . import devices, payload, process, reaper, rootfs

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

# What the new process leaves by itself once it is in its control groups: so these are made on its CPU time and not on the
# supervisor's, which starts the next container meanwhile (a network namespace alone takes a millisecond), and are charged to it.
_NAMESPACES = syscalls.CLONE_NEWNS | syscalls.CLONE_NEWUTS | syscalls.CLONE_NEWIPC | syscalls.CLONE_NEWCGROUP
SIGKILL = 9
# The exit status of a first process that could not become the command.
FAILED = 127
# What the first process says right before it becomes the command: by this its end is told from that of one killed earlier.
READY = b"+"


class Progress:
    """Which step the new process is at, for the error."""

    def __init__(self) -> None:
        self.step = ""
        self.target = ""
        self.under_profile = False  # a seccomp profile of the user's own may be in force

    def doing(self, step: str, target: str) -> None:
        self.step = step
        self.target = target


class Started:
    """A first process that is on its way to become the command.

    errors: the pipe on which a failure would come; output: what the command writes, -1 for nothing.
    """

    def __init__(self, pid: int, pidfd: int, errors: int, output: int) -> None:
        self.pid = pid
        self.pidfd = pidfd
        self.errors = errors
        self.output = output
        self.said = b""  # what came through the pipe so far


def failure(name: str, data: bytes) -> dict[str, Any]:
    """The facts of an error that came through the pipe, as BulkheadError takes them."""
    facts: dict[str, Any] = marshal.loads(data)
    facts["problem"] = "container %s: %s" % (name, facts["problem"])
    return facts


def describe(progress: Progress, error: BaseException) -> bytes:
    """An error of the new process as data."""
    if isinstance(error, BulkheadError):
        facts = {"problem": error.problem, "target": error.target, "value": error.value, "errno": error.errno, "kernel": error.kernel, "hint": error.hint}
    else:
        number = error.errno if isinstance(error, OSError) and error.errno else 0
        where = (str(error.filename) if isinstance(error, OSError) and error.filename else "") or progress.target
        problem = "%s failed%s" % (progress.step, " for " + where if where and where not in progress.step else "")
        kernel = getattr(error, "words", "") if number else repr(error)
        facts = {"problem": problem, "target": where, "value": None, "errno": number, "kernel": kernel, "hint": _hint(progress, number)}
    return marshal.dumps(facts, 2)


def killed(status: int, starved: bool) -> bytes:
    """Return, as data, the error of a first process that was killed before it could become the command.

    status: as waitpid(2) gives it; starved: whether the kernel killed in its control group for want of memory.
    """
    facts: dict[str, Any] = {
        "problem": "the first process was killed by signal %d before it became the command" % (status & 0x7F),
        "target": "",
        "value": None,
        "errno": 0,
        "kernel": "out of memory in its control group" if starved else "",
        "hint": "memory.max is too low to start it: give it more" if starved else "look who killed it",
    }
    return marshal.dumps(facts, 2)


def _hint(progress: Progress, number: int) -> str:
    if progress.under_profile and not progress.step.startswith("executing"):
        return "does the container's seccomp profile allow it? What a start needs is in the documentation of the option"
    if progress.step.startswith("executing"):
        if number == errno.ENOENT:
            return "there is no such program in the container, or not the interpreter or loader that it names"
        if number == errno.EACCES:
            return "the file is not executable for the container's user"
        if number == errno.ENOEXEC:
            return "the file is neither a program of this machine's architecture nor a script with a #! line"
    if progress.step == "setting oom_score_adj" and number == errno.EACCES:
        return "only CAP_SYS_RESOURCE may make a process less likely to be killed than whoever runs Ansible is"
    if number == errno.ENOSYS:
        return "containers need Linux 5.12 or newer"
    if number == errno.EPERM:
        return "containers need root with all capabilities; something around this machine (a container, a security module) forbids it"
    return ""


def start(spec: dict[str, Any], progress: Progress) -> Started:
    """Begin to start a container; it runs when its error pipe has closed empty."""
    config = spec["config"]
    opened: list[int] = []
    progress.doing("making the groups inside the container's control group", spec["group"])
    payload.renew(spec)
    try:
        progress.doing("opening the control group", spec["v2"])
        v2 = os.open(spec["v2"], os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC) if spec["v2"] else -1
        if v2 >= 0:
            opened.append(v2)
        output, output_in = os.pipe2(os.O_CLOEXEC) if config["log"]["path"] else (-1, -1)
        if output_in >= 0:
            opened.append(output_in)
        errors, errors_in = os.pipe2(os.O_CLOEXEC)
        opened.append(errors_in)
        privileges = process.Privileges(config)
        progress.doing("making the program that stays as the first process", "")
        init = reaper.program() if config.get("init") else -1
        if init >= 0:
            opened.append(init)
        progress.doing("making the process", "")
        pid, pidfd = syscalls.clone3(syscalls.CLONE_NEWPID, v2)
        if pid == 0:
            _become(spec, (output_in, errors_in, init), privileges)
    finally:
        for fd in opened:
            os.close(fd)
    return Started(pid, pidfd, errors, output)


def _become(spec: dict[str, Any], pipes: tuple[int, int, int], privileges: process.Privileges) -> None:
    """The new process, from its birth to its command. Never returns.

    pipes: for its output, for errors, and the program that stays as the first process; -1 for none.
    """
    progress = Progress()
    output, errors, init = pipes
    try:
        env = _prepare(spec, output, errors, privileges, progress)
        os.write(errors, READY)
        if init >= 0:
            progress.doing("leaving the program that stays as the first process", "")
            reaper.stay_behind(init)
        command = spec["config"]["command"]
        progress.doing("executing the command %r" % command[0], command[0])
        process.execute(command, env)
    except BaseException as error:
        try:
            os.write(errors, describe(progress, error))
        except BaseException:
            pass
    os._exit(FAILED)


def _prepare(spec: dict[str, Any], output: int, errors: int, privileges: process.Privileges, progress: Progress) -> dict[str, str]:
    """Make the new process what it is to be; returns the environment of its command."""
    config = spec["config"]
    syscalls.prctl(syscalls.PR_SET_PDEATHSIG, SIGKILL)
    os.umask(0)  # the modes of what is made are those that are said
    # Before it can meet the limits: where no process may be killed, the kernel lets one that wants memory try for ever.
    progress.doing("setting oom_score_adj", "/proc/self/oom_score_adj")
    process.set_oom_score(config["oom_score_adj"])
    progress.doing("joining the control groups", spec["group"])
    # A lone thread that writes 0 to "tasks" moves itself without the lock that every fork on the machine takes to write
    # a process id to "cgroup.procs" (cgroup_procs_write_start(), kernel/cgroup/cgroup.c).
    for path in [path + "/tasks" for path in spec["v1"]] + spec.get("classes", []):
        group = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
        os.write(group, b"0")
        os.close(group)
    wires = _join_bridge(spec, progress)
    progress.doing("making the namespaces", "")
    # The groups that it is in now are the roots of what it will see of the hierarchies.
    shared = config["network"]["mode"] == "host"
    syscalls.unshare(_NAMESPACES | (0 if shared else syscalls.CLONE_NEWNET))
    if not shared:
        progress.doing("bringing up the loopback interface", "lo")
        network.set_up("lo")
    if wires:
        progress.doing("making the interface on the bridge %s" % config["network"]["bridge"], config["network"]["interface"])
        wires.plug()
    progress.doing("setting the host name", config["hostname"])
    syscalls.sethostname(config["hostname"])
    root = rootfs.build(spec, progress)
    progress.doing("looking up the user", config["user"])
    user = process.find_user(config["user"], config["groups"], root)
    progress.doing("opening the standard streams", "/dev/null")
    own_null = devices.open_null(root)
    for number, fd in enumerate((own_null, output if output >= 0 else own_null, output if output >= 0 else own_null)):
        os.dup2(fd, number)
    if output >= 0:
        # So that a program of another user can open /dev/stdout.
        os.fchown(output, user.uid, user.gid)
    os.set_inheritable(errors, False)
    progress.doing("entering the root file system", "/")
    rootfs.enter(root)
    os.setsid()
    leave_keys(progress)
    become_user(config, user, privileges, errors, progress)
    return environment(config, user)


def _join_bridge(spec: dict[str, Any], progress: Progress) -> Any:
    """Begin what gives the container a place on a bridge; None where it has none."""
    if not spec.get("wires"):
        return None
    from . import wiring  # imported already, by whoever starts a container with a bridge

    connection = spec["config"]["network"]
    progress.doing("joining the bridge %s" % connection["bridge"], connection["bridge"])
    wires = wiring.Wires(connection, spec["wires"])
    wires.join()
    return wires


def leave_keys(progress: Progress) -> None:
    """Leave the keys of whoever runs this behind, for a session keyring without a name, which nobody else can join."""
    progress.doing("making a keyring for the session", "")
    try:
        syscalls.join_new_session_keyring()
    except OSError as error:
        if error.errno not in (errno.ENOSYS, errno.EPERM):  # a kernel without keys, a sandbox that hides them
            raise


def become_user(config: dict[str, Any], user: process.User, privileges: process.Privileges, errors: int, progress: Progress) -> None:
    """Limits, directory, user and capabilities; the same for a container's first process and for one that is added."""
    progress.doing("setting resource limits", "")
    process.set_default_limits(config["rlimits"])
    process.set_limits(config["rlimits"])
    os.umask(config["umask"])
    progress.doing("changing to the working directory", config["cwd"])
    process.change_directory(config["cwd"])
    # All that is still open, the error pipe too, closes with the execution of the command (CVE-2024-21626).
    syscalls.close_range(3, flags=syscalls.CLOSE_RANGE_CLOEXEC)
    process.default_broken_pipe()
    progress.under_profile = isinstance(config.get("seccomp"), dict)
    progress.doing("dropping privileges", "")
    privileges.drop(user)
    # A change of user has cleared it. If whoever supervises died before this line, the other end of the pipe is closed.
    syscalls.prctl(syscalls.PR_SET_PDEATHSIG, SIGKILL)
    poll = select.poll()
    poll.register(errors, 0)
    if poll.poll(0):
        os._exit(FAILED)
    progress.doing("loading the seccomp filter", "")
    privileges.filter_calls()


def environment(config: dict[str, Any], user: process.User) -> dict[str, str]:
    """What was asked for, and the few variables that every program may count on."""
    return {"HOME": user.home, **environment_of(config)}


def environment_of(config: dict[str, Any]) -> dict[str, str]:
    """The same but for what depends on the user."""
    return {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "container": "bulkhead", **config["env"]}
