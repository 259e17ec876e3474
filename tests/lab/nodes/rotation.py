# SPDX-FileCopyrightText: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Tests that take too long for every run take turns: the commit says whose turn it is, so that a run can be repeated.

`make lab-test` runs all of them (BULKHEAD_LAB=whole), and BULKHEAD_LAB_TURN names one. What a run leaves out is skipped, by name.
"""

from __future__ import annotations

import os
import subprocess

from .images import ROOT

# Each takes some six minutes, on two processors and with a kernel that is built.
PARTS = (
    "containers on v2",
    "services on v2",
    "commands on v2",
    "groups on v2",
    "targets on hybrid",
    "containers on v1",
    "groups on v1",
    "classes on intel",
    "classes on amd",
    "fleet",
    "reboots",
    "classes, quotas and bandwidth after a reboot",
    "quotas",
    "containers under systemd",
    "systemd on hybrid",
    "systemd on v1",
    "limits and care under systemd",
    "limits and care on hybrid",
    "limits and care on v1",
)
WHY = "the long tests take turns: at this commit it is that of '%s'; make lab-test runs all"


def commit() -> str:
    """The commit of this checkout as hexadecimal digits; 0 where it has none."""
    command = ["git", "-c", "safe.directory=*", "rev-parse", "--verify", "--quiet", "HEAD"]
    try:
        said = subprocess.run(command, cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False).stdout.strip()
    except OSError:
        return "0"
    return said or "0"


def turn() -> str:
    """Whose turn it is."""
    asked = os.environ.get("BULKHEAD_LAB_TURN", "")
    if asked and asked not in PARTS:
        raise ValueError("BULKHEAD_LAB_TURN is %r; there are: %s" % (asked, ", ".join(PARTS)))
    return asked or PARTS[int(commit(), 16) % len(PARTS)]


def runs(part: str) -> bool:
    """Whether a part runs now."""
    if part not in PARTS:
        raise ValueError("there is no part %r; there are: %s" % (part, ", ".join(PARTS)))
    return os.environ.get("BULKHEAD_LAB", "") == "whole" or turn() == part
