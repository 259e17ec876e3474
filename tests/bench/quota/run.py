# SPDX-FileCopyrightText: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Quotas set by the core, by setquota, chattr and btrfs: ratios of CPU time.

Trees and subvolumes are measured on this machine. Quotas of users need a kernel that has them, so they are measured on a node of
the lab. That is emulated, where all that is interpreted takes longer than all that is not: the ratio to setquota is the worse for it.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
LAB = [str(ROOT / "tests/lab/lab")]
NODE = "bench-quota"
# (what is measured, whose time, divided by whose, at most, what it is)
ASKED = (
    ("users", "core", "loop", 1 / 5, "5,000 users: the core, of setquota for each"),
    ("users", "core", "batch", 1.5, "5,000 users: the core, of setquota -b"),
    ("users", "same", "batch", None, "5,000 users that have their limits: the core, of setquota -b, which writes"),
    ("trees", "core", "chattr", 0.5, "10,000 files into a project: the walk, of chattr -R -p and chattr -R +P"),
    ("trees", "same", "chattr", None, "10,000 files that are in it: the look, of the same"),
    ("subvolumes", "core", "loop", 1 / 5, "100 subvolumes: the core, of btrfs qgroup limit for each"),
    ("subvolumes", "same", "loop", None, "100 subvolumes that have their limits: the core, of the same"),
)
HERE = [sys.executable, str(ROOT / "tests/bench/quota/inside.py"), "trees", "subvolumes"]
THERE = "python3 /src/tests/bench/quota/inside.py users"


def measure() -> dict[str, dict[str, float]]:
    found: dict[str, dict[str, float]] = json.loads(subprocess.run(HERE, check=True, stdout=subprocess.PIPE, text=True).stdout.splitlines()[-1])
    subprocess.run([*LAB, "up", NODE, "--kind", "amd", "--cgroup", "v2", "--fresh"], check=True, stdout=subprocess.DEVNULL)
    try:
        subprocess.run([*LAB, "sync", NODE], check=True, stdout=subprocess.DEVNULL)
        done = subprocess.run([*LAB, "ssh", NODE, THERE], check=True, stdout=subprocess.PIPE, text=True)
    finally:
        subprocess.run([*LAB, "down", NODE], check=False, stdout=subprocess.DEVNULL)
    return found | json.loads(done.stdout.splitlines()[-1])


def main() -> int:
    found = measure()
    missed = 0
    for what, ours, theirs, most, text in ASKED:
        ratio = found[what][ours] / found[what][theirs]
        goal = "" if most is None else " (at most %.2f)" % most
        print("  %-90s %.2f%s" % (text, ratio, goal))
        missed += most is not None and ratio > most
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
