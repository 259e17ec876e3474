# SPDX-FileCopyrightText: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Writes the table of system calls that the core carries, from what libseccomp knows: seccomp_calls.py > .../seccomp/calls.py

A later libseccomp knows more calls. What is refused and what is allowed does not change with that: see default.py beside the table.
"""

from __future__ import annotations

import sys

import libseccomp

# The highest number that is looked at, and the few calls of arm that have numbers of their own far above.
_HIGHEST = 1023
_ARM = range(0x0F0000, 0x0F0010)
# Calls that came after the libseccomp of the oldest system that this runs on. Numbers from 424 on are the same everywhere
# (scripts/syscall.tbl, arch/x86/entry/syscalls, arch/arm/tools/syscall.tbl).
_LATER = {
    451: "cachestat",
    452: "fchmodat2",
    453: "map_shadow_stack",
    454: "futex_wake",
    455: "futex_wait",
    456: "futex_requeue",
    457: "statmount",
    458: "listmount",
    459: "lsm_get_self_attr",
    460: "lsm_set_self_attr",
    461: "lsm_list_modules",
    462: "mseal",
    463: "setxattrat",
    464: "getxattrat",
    465: "listxattrat",
    466: "removexattrat",
    467: "open_tree_attr",
    468: "file_getattr",
    469: "file_setattr",
}
_OF_X86_64 = {335: "uretprobe"}  # and of x32
_HEAD = '''# Copyright: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""The system calls that are known, with their number on each architecture; written by tests/conformance/seccomp_calls.py."""

from __future__ import annotations

# x32 without the bit that marks its calls
ARCHITECTURES = (%s)
CALLS = """
'''


def calls_of(architecture: str) -> dict[str, int]:
    """{name: number} of one architecture; x32 without its bit."""
    bit = libseccomp.X32_BIT if architecture == "x32" else 0
    found = {**_LATER, **(_OF_X86_64 if architecture in ("x86_64", "x32") else {})}
    for number in [*range(_HIGHEST + 1), *(_ARM if architecture == "arm" else ())]:
        name = libseccomp.name_of(architecture, number | bit)
        if name:
            found[number] = name
    return {name: number for number, name in found.items()}


def table() -> str:
    """The text of the module."""
    by_architecture = {architecture: calls_of(architecture) for architecture in libseccomp.ARCHITECTURES}
    names = sorted({name for calls in by_architecture.values() for name in calls})
    lines = [" ".join([name, *(str(calls.get(name, "-")) for calls in by_architecture.values())]) for name in names]
    return _HEAD % ", ".join('"%s"' % name for name in by_architecture) + "\n".join(lines) + '\n"""\n'


if __name__ == "__main__":
    sys.stdout.write(table())
