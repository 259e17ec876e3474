# Copyright: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""From the interpreter that systemd or a user started to the sealed one. Imports next to nothing."""

from __future__ import annotations

import fcntl
import os

from .. import corefile, pack
from ..kernel import flock
from . import seal
from .imports import HOLD
from .paths import Paths

_PATIENCE = 60.0


def main(path: str) -> int:
    """Become the supervisor of the container that the file describes. Does not return."""
    become(["unit", path], ("NOTIFY_SOCKET", "INVOCATION_ID", "BULKHEAD_PREFIX"))
    return 1


def become(words: list[str], keep: tuple[str, ...]) -> None:
    """Go on as `bulkhead WORDS...` on the sealed interpreter; keep: variables of the environment. Does not return."""
    paths = Paths()
    empty = paths.lib + "/empty"
    os.makedirs(empty, mode=0o700, exist_ok=True)
    interpreter = pack.interpreter()
    program = seal.sealed(interpreter, empty)
    # Out of the way of the number that the hold gets.
    moved = fcntl.fcntl(program, fcntl.F_DUPFD_CLOEXEC, HOLD + 1)
    # Held until all is imported that ever will be, where it is closed: the core is not replaced meanwhile.
    os.dup2(flock.take_path(paths.core, False, _PATIENCE), HOLD)
    env = {key: os.environ[key] for key in keep if key in os.environ}
    code = ["-I", "-S", "-c", corefile.SEALED, paths.core, str(HOLD)]
    os.execve("/proc/self/fd/%d" % moved, [interpreter, *code, *words], {**env, **seal.ENVIRONMENT})
