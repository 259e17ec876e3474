# SPDX-FileCopyrightText: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The node's resctrl, for tests that run on it."""

from __future__ import annotations

from pathlib import Path

from ansible_collections.bulkhead.linux.plugins.module_utils._runtime.kernel import syscalls
from ansible_collections.bulkhead.linux.plugins.module_utils._runtime.resctrl import facts, mounting

ROOT = Path("/sys/fs/resctrl")
IS_INTEL = mounting.cpu_flags()[0] == "GenuineIntel"
_THRESHOLD = ROOT / "info/L3_MON/max_threshold_occupancy"


def mount(options: str = "") -> None:
    """As it is after a boot; nothing is known of groups made here before.

    Monitoring ids count as free below an occupancy that is 0 on the AMD node, whose counters say 0 forever: there no id that was
    used once would ever be free again.
    """
    unmount()
    Path(facts.path()).unlink(missing_ok=True)
    syscalls.mount("resctrl", str(ROOT), "resctrl", 0, options or None)
    if _THRESHOLD.read_text() == "0\n":
        _THRESHOLD.write_text("65536\n")


def is_mounted() -> bool:
    return mounting.find() is not None


def unmount() -> None:
    if is_mounted():
        syscalls.umount2(str(ROOT))


def groups() -> list[str]:
    return sorted(path.name for path in ROOT.iterdir() if path.is_dir() and path.name not in ("info", "mon_data", "mon_groups"))
