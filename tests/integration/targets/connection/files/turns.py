# SPDX-FileCopyrightText: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Other versions of the collection at work on the node: turns.py CORE DIRECTORY

The packed core is replaced again and again, as a module of another version does it, by one whose files lie elsewhere and by one
that has no modules at hand, as those of earlier releases, until there is a file `stop` in the directory. The core is then as it
was. Says how many times it was another.
"""

from __future__ import annotations

import os
import shutil
import sys
import time

core, directory = sys.argv[1:]
copy = directory + "/core.pyz"
shutil.copy(core, copy)
sys.path.insert(0, copy)

from bulkhead import pack  # noqa: E402
from bulkhead.kernel import flock  # noqa: E402

with open(core, "rb") as file:
    before = file.read()
files = pack.sources()
moved = pack._packed({"__aside.py": b"'''%s'''\n" % (b"x" * 5000), **files}, b"1" * 64)
at_hand = pack._at_hand
pack._at_hand = lambda _files: b""
earlier = pack._packed(files, b"2" * 64)
turns = 0
deadline = time.monotonic() + 900
try:
    while not os.path.exists(directory + "/stop") and time.monotonic() < deadline:
        for content in (moved, earlier, before):
            with flock.held(os.path.dirname(core), True, 60), flock.held(core, True, 60):
                pack._replace(core, content)
            turns += 1
            time.sleep(0.1)
finally:
    with flock.held(os.path.dirname(core), True, 60), flock.held(core, True, 60):
        pack._replace(core, before)
print(turns)
