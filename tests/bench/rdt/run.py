# SPDX-FileCopyrightText: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Seven classes of cache and bandwidth set, read and removed: by the core, by pqos and by a shell script, on a node of the lab.

What is printed are ratios, and the system calls on resctrl beside the least that will do: for each class one mkdir, and
open, write and close to set it; open, read and close to see what the kernel kept; open, read and close for each property of
the hardware that a mask depends on. A class that is removed is asked for its tasks, CPUs and monitoring groups (one stat)
too: it is told where they go, and they come back with it when a later step fails.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
LAB = [str(ROOT / "tests/lab/lab")]
NODE = "bench-rdt"
# cbm_mask, min_cbm_bits, shareable_bits, sparse_masks, num_closids; min_bandwidth, bandwidth_gran, num_closids, delay_linear; num_rmids
PROPERTIES = 10


def least(verb: str, count: int) -> int:
    """System calls that nobody who looks before and after can do without: a lock and its conversion, a listing, the default group."""
    look = 3 * count + 3 + 5
    if verb == "set":
        return 2 + 3 * PROPERTIES + 3 + 5 + count + 3 * count + look
    if verb == "read":
        return 1 + 3 * PROPERTIES + look
    return 2 + 3 * PROPERTIES + look + (2 * 3 + 1) * count + count


def main() -> int:
    subprocess.run([*LAB, "up", NODE, "--kind", "intel", "--cgroup", "v2", "--fresh"], check=True, stdout=subprocess.DEVNULL)
    try:
        subprocess.run([*LAB, "sync", NODE], check=True, stdout=subprocess.DEVNULL)
        done = subprocess.run([*LAB, "ssh", NODE, "python3 /src/tests/bench/rdt/inside.py measure"], check=True, stdout=subprocess.PIPE, text=True)
    finally:
        subprocess.run([*LAB, "down", NODE], check=False, stdout=subprocess.DEVNULL)
    found = json.loads(done.stdout.splitlines()[-1])
    seconds, count = found["seconds"], found["count"]
    print("%d classes on an emulated node; the core in its own process, as in a module; the others as processes that are started" % count)
    for verb in ("set", "read", "remove"):
        core = seconds["core"][verb]
        others = ", ".join("%s takes %.1f times as long (%.0f ms)" % (who, seconds[who][verb] / core, 1000 * seconds[who][verb]) for who in ("pqos", "script"))
        calls, needed = sum(found["calls"][verb].values()), least(verb, count)
        print("  %-7s core %.0f ms; %s; %d system calls on resctrl, %.2f times the least possible" % (verb, 1000 * core, others, calls, calls / needed))
    return 0


if __name__ == "__main__":
    sys.exit(main())
