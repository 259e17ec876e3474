# Copyright: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""What a container's first process and one that is added to it have in common: how each becomes the command, and how it
says what failed on the way.
"""

from __future__ import annotations

import errno
import marshal
import os
import select

from ..errors import BulkheadError
from ..kernel import syscalls
from . import process

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

SIGKILL = 9
# The exit status of a first process that could not become the command.
FAILED = 127


class Progress:
    """Which step the new process is at, for the error."""

    def __init__(self) -> None:
        self.step = ""
        self.target = ""
        self.under_profile = False  # a seccomp profile of the user's own may be in force

    def doing(self, step: str, target: str) -> None:
        self.step = step
        self.target = target


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
