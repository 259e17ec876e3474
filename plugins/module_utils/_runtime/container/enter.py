# Copyright: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""The first moment of a container's unit: from the interpreter that systemd started to the sealed one. Imports next to nothing."""

from __future__ import annotations

import os

from .. import pack
from ..kernel import flock
from . import seal
from .paths import Paths

_PATIENCE = 60.0


def main(path: str) -> int:
    """Become the supervisor of the container that the file describes. Does not return."""
    paths = Paths()
    empty = paths.lib + "/empty"
    os.makedirs(empty, mode=0o700, exist_ok=True)
    interpreter = pack.interpreter()
    program = seal.sealed(interpreter, empty)
    # Held until all is imported that ever will be (unit.main() closes it): the core is not replaced meanwhile.
    os.set_inheritable(flock.take_path(paths.core, False, _PATIENCE), True)
    env = {key: os.environ[key] for key in ("NOTIFY_SOCKET", "INVOCATION_ID", "BULKHEAD_PREFIX") if key in os.environ}
    os.execve("/proc/self/fd/%d" % program, [interpreter, "-I", "-S", "-c", seal.CODE, paths.core, "unit", path], {**env, **seal.ENVIRONMENT})
