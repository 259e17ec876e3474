# Copyright: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# This is private to the collection: it may change at any time without notice.

"""The options of a class of cache and memory bandwidth, as Ansible's argument spec; what they mean is in the runtime."""

from __future__ import annotations

import typing as t

_RAW: dict[str, t.Any] = {"type": "raw"}

# What a class may have; containers take the same.
SHARES: dict[str, t.Any] = {
    **dict.fromkeys(("l3", "l2", "l3code", "l3data", "l2code", "l2data", "mb", "smba"), _RAW),
    "schemata": {"type": "list", "elements": "str"},
    "mode": {"type": "str", "choices": ["shareable", "exclusive"]},
    "shareable_bits": {"type": "str", "choices": ["allow", "avoid"], "default": "allow"},
}

_MEMBERS: dict[str, t.Any] = {
    "cpus": {"type": "str"},
    "tasks": {"type": "list", "elements": "int"},
    "cgroup": {"type": "list", "elements": "str"},
}

GROUP: dict[str, t.Any] = {
    "name": {"type": "str"},
    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
    **SHARES,
    **_MEMBERS,
    "monitor_groups": {
        "type": "list",
        "elements": "dict",
        "options": {
            "name": {"type": "str", "required": True},
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            **_MEMBERS,
        },
    },
    "mount_options": {"type": "dict", "options": {"cdp": {"type": "bool"}, "cdpl2": {"type": "bool"}, "mba_mbps": {"type": "bool"}}},
    "unsupported": {"type": "str", "choices": ["refuse", "leave_out"], "default": "refuse"},
    "force": {"type": "bool", "default": False},
}
