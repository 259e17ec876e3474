# SPDX-FileCopyrightText: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Runs on a node: run.py TABLE KIND [SEED]. Says one line of JSON for each row: its name, what is wrong, why it was not tried.

It needs nothing but Python and this checkout, and root on a machine that nobody else uses.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterator

HOME = "/run/bulkhead-conformance"


def rows(which: str, kind: str, seed: int) -> Iterator[tuple[str, str, str]]:
    if which == "kept":
        from kept import Kept

        yield from Kept(seed).run()
        return
    if which == "classes":
        # What the core remembers of its own classes is none of the node's.
        os.environ.update(BULKHEAD_PREFIX=HOME, BULKHEAD_DESIRED=HOME + "/desired.d")
        from classes import run

        yield from run(kind, seed)
        return
    if which == "resctrl":
        from resctrl_machine import Resctrl as Machine
        from resctrl_table import ROWS
    else:
        from cgroup_machine import Groups as Machine  # type: ignore[assignment]
        from cgroup_table import ROWS
    from table import chosen

    machine = Machine()
    try:
        for row in chosen(ROWS, kind):
            yield row.name, "" if row.skip else machine.run(row), row.skip
    finally:
        machine.close()


def main() -> None:
    which, kind, seed = [*sys.argv[1:], "1"][:3]
    started = time.monotonic()
    for name, wrong, skipped in rows(which, kind, int(seed)):
        now = time.monotonic()
        print(json.dumps({"row": name, "wrong": wrong, "skipped": skipped, "seconds": round(now - started, 2)}), flush=True)
        started = now


if __name__ == "__main__":
    main()
