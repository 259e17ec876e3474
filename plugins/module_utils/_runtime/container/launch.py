# Copyright: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""The start of a container: one clone3(2), and what the new process does until it is the container's command.

The new process makes its own mounts, devices and limits and gives up its privileges in a fixed order. Whatever fails there
comes back through a pipe that closes by itself when the command is executed: an empty pipe is success.
"""

from __future__ import annotations

import marshal
import os

from ..kernel import network, syscalls
from . import becoming, devices, payload, process, reaper, rootfs

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

# What the new process leaves by itself once it is in its control groups: so these are made on its CPU time and not on the
# supervisor's, which starts the next container meanwhile (a network namespace alone takes a millisecond), and are charged to it.
_NAMESPACES = syscalls.CLONE_NEWNS | syscalls.CLONE_NEWUTS | syscalls.CLONE_NEWIPC | syscalls.CLONE_NEWCGROUP
# What the first process says right before it becomes the command: by this its end is told from that of one killed earlier.
READY = b"+"


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


def start(spec: dict[str, Any], progress: becoming.Progress) -> Started:
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
    progress = becoming.Progress()
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
            os.write(errors, becoming.describe(progress, error))
        except BaseException:
            pass
    os._exit(becoming.FAILED)


def _prepare(spec: dict[str, Any], output: int, errors: int, privileges: process.Privileges, progress: becoming.Progress) -> dict[str, str]:
    """Make the new process what it is to be; returns the environment of its command."""
    config = spec["config"]
    syscalls.prctl(syscalls.PR_SET_PDEATHSIG, becoming.SIGKILL)
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
    becoming.leave_keys(progress)
    becoming.become_user(config, user, privileges, errors, progress)
    return becoming.environment(config, user)


def _join_bridge(spec: dict[str, Any], progress: becoming.Progress) -> Any:
    """Begin what gives the container a place on a bridge; None where it has none."""
    if not spec.get("wires"):
        return None
    from . import wiring  # imported already, by whoever starts a container with a bridge

    connection = spec["config"]["network"]
    progress.doing("joining the bridge %s" % connection["bridge"], connection["bridge"])
    wires = wiring.Wires(connection, spec["wires"])
    wires.join()
    return wires
