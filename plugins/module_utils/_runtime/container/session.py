# Copyright: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""`bulkhead exec`: one command in a running container, with the caller's streams and signals.

It begins on whatever interpreter the caller started, takes a hold of the core and goes on, in the
same process, on a read-only interpreter (seal.py): the command's process is one of this program
until it executes the command, and the container can see it then. What is needed is imported while
the core is held; afterwards the core may be replaced, however long the command takes.
"""

from __future__ import annotations

import fcntl
import os
import sys

from ..errors import BulkheadError, InvalidInput
from ..kernel import syscalls

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


USAGE = """usage: bulkhead exec [-t] [-u USER] [-w DIRECTORY] [-e NAME=VALUE]... CONTAINER [--] COMMAND [WORD]...

  -t, --tty        give the command a terminal
  -u, --user       who runs it: user or user:group, by name or number
  -w, --cwd        the working directory; relative to that of the container, with ~ and $NAME as they are inside
  -e, --env        an environment variable; may be given several times

Exit status: that of the command; 128 and the signal for one that a signal ended. With a message that begins with
"bulkhead: " on the standard error: 255 the container cannot be entered, 127 there is no such command in it, 126 the
command cannot be run otherwise.
"""
# In the words of a shell (XCU 2.8.2 of POSIX), and of ssh(1).
UNREACHED, NOT_RUNNABLE, NOT_FOUND = 255, 126, 127
_FLAGS = {"-t": "tty", "--tty": "tty"}
_VALUES = {"-u": "user", "--user": "user", "-w": "cwd", "--cwd": "cwd", "-e": "env", "--env": "env"}


def begin(words: list[str]) -> int:
    """The first moment: become the read-only interpreter, with the core held. Does not return but for a mistake."""
    if words in (["--help"], ["-h"]):
        sys.stdout.write(USAGE)
        return 0
    try:
        parse(words)
        if os.geteuid() != 0:
            raise InvalidInput("exec needs root")
    except InvalidInput as error:
        return say(error, UNREACHED)
    from . import enter

    try:
        _have_streams()
        # What the caller has open stays here.
        syscalls.close_range(3, flags=syscalls.CLOSE_RANGE_CLOEXEC)
        enter.become(["exec-on", *words], ("BULKHEAD_PREFIX", "TERM"))
    except (BulkheadError, OSError) as error:
        return say(error, UNREACHED)
    return UNREACHED


def _have_streams() -> None:
    """Have the null device where the caller has closed a standard stream.

    Until now, its number may have been given to the core, which was opened to run and to hold it.
    """
    null = fcntl.fcntl(os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC), fcntl.F_DUPFD_CLOEXEC, 3)
    for number in range(3):
        try:
            if os.get_inheritable(number):
                continue
            fcntl.fcntl(number, fcntl.F_DUPFD_CLOEXEC, 3)  # the hold goes on
        except OSError:
            pass
        os.dup2(null, number)


def parse(words: list[str]) -> dict[str, Any]:
    """The words behind `bulkhead exec` as the options of container_exec."""
    found: dict[str, Any] = {"tty": False, "env": {}}
    left = list(words)
    while left and left[0].startswith("-") and left[0] != "--":
        flag, equals, value = left.pop(0).partition("=")
        if flag in _FLAGS and not equals:
            found[_FLAGS[flag]] = True
        elif flag in _VALUES and (equals or left):
            _take(found, _VALUES[flag], value if equals else left.pop(0))
        else:
            raise InvalidInput("exec: %r is no option, or lacks its value" % flag, hint="try: bulkhead exec --help")
    if left and left[0] == "--":
        left.pop(0)
    found["name"] = left.pop(0) if left else None
    if left and left[0] == "--":
        left.pop(0)
    found["command"] = left
    if not left:
        raise InvalidInput("exec: name a container and a command", hint="try: bulkhead exec --help")
    return found


def _take(found: dict[str, Any], key: str, value: str) -> None:
    if key != "env":
        found[key] = value
        return
    name, equals, text = value.partition("=")
    if not equals:
        raise InvalidInput("exec: -e %s: give NAME=VALUE" % value)
    found["env"][name] = text


def say(error: BaseException, status: int) -> int:
    """Tell what is wrong; returns the exit status."""
    try:
        os.write(2, b"bulkhead: %s\n" % str(error).replace("\n", " ").encode("utf-8", "surrogateescape"))
    except OSError:
        pass  # nobody listens
    return status


def here(words: list[str]) -> int:
    """Both moments in one, for whoever was started on a read-only interpreter and with an empty environment.

    The first word is the descriptor by which the core is held.
    """
    from .imports import HOLD

    hold = fcntl.fcntl(int(words[0]), fcntl.F_DUPFD_CLOEXEC, HOLD + 1)
    _have_streams()
    os.dup2(hold, HOLD, inheritable=False)
    # What the caller has open stays with it.
    syscalls.close_range(HOLD + 1)
    return main(words[1:])


def main(words: list[str]) -> int:
    """The second moment, on the read-only interpreter: run the command and end as it did. Returns for a mistake only."""
    syscalls.prctl(syscalls.PR_SET_DUMPABLE, 0)
    syscalls.set_name("bulkhead-exec")
    os.chdir("/")
    from . import attend

    try:
        wanted = attend.request(parse(words))
    except (BulkheadError, OSError) as error:
        return say(error, UNREACHED)
    # Nothing is left to be written, and to take the interpreter down takes as long as to run a short command.
    os._exit(attend.Session(wanted).run())
