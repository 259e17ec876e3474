# SPDX-FileCopyrightText: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Quotas set by the core, by setquota, chattr and btrfs, on a node of the lab, which has quotas where this machine may not.

What is printed are ratios of CPU time in one run. Nothing is absolute there: the node is emulated.
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
    ("trees", "walk", "chattr", 0.5, "10,000 files into a project: the walk, of chattr -R -p and chattr -R +P"),
    ("trees", "whole", "chattr", None, "10,000 files into a project: looking before and after, too, of the same"),
    ("trees", "same", "chattr", None, "10,000 files that are in it: the core, of the same"),
    ("subvolumes", "core", "loop", 1 / 5, "100 subvolumes: the core, of btrfs qgroup limit for each"),
    ("subvolumes", "same", "loop", None, "100 subvolumes that have their limits: the core, of the same"),
)


def measure() -> dict[str, dict[str, float]]:
    subprocess.run([*LAB, "up", NODE, "--kind", "amd", "--cgroup", "v2", "--fresh"], check=True, stdout=subprocess.DEVNULL)
    try:
        subprocess.run([*LAB, "sync", NODE], check=True, stdout=subprocess.DEVNULL)
        command = [*LAB, "ssh", NODE, "python3 /src/tests/bench/quota/inside.py"]
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    finally:
        subprocess.run([*LAB, "down", NODE], check=False, stdout=subprocess.DEVNULL)
    found: dict[str, dict[str, float]] = json.loads(done.stdout.splitlines()[-1])
    return found


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
