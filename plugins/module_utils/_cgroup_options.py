# Copyright: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# This is private to the collection: it may change at any time without notice.

"""The options of a control group, as Ansible's argument spec; what they mean is in the runtime's table of knobs."""

from __future__ import annotations

import typing as t

_RAW: dict[str, t.Any] = {"type": "raw"}


def _section(*names: str) -> dict[str, t.Any]:
    return {"type": "dict", "options": dict.fromkeys(names, _RAW)}


RESOURCES: dict[str, t.Any] = {
    "memory": _section("max", "high", "low", "min", "swap_max", "oom_group"),
    "cpu": _section("max", "weight", "burst", "idle"),
    "cpuset": _section("cpus", "mems", "partition"),
    "io": {
        "type": "dict",
        "options": {
            "weight": _RAW,
            "max": {
                "type": "list",
                "elements": "dict",
                "options": {"device": {"type": "str", "required": True}, "rbps": _RAW, "wbps": _RAW, "riops": _RAW, "wiops": _RAW},
            },
            "latency": {
                "type": "list",
                "elements": "dict",
                "options": {"device": {"type": "str", "required": True}, "target": {"type": "raw", "required": True}},
            },
        },
    },
    "pids": _section("max"),
    "hugetlb": {"type": "dict"},
    "rdma": {"type": "dict"},
    "misc": {"type": "dict"},
    "devices": {
        "type": "list",
        "elements": "dict",
        "options": {
            "type": {"type": "str", "choices": ["a", "b", "c"], "default": "a"},
            "major": {"type": "str", "default": "*"},
            "minor": {"type": "str", "default": "*"},
            "access": {"type": "str", "default": "rwm"},
            "allow": {"type": "bool", "default": True},
        },
    },
    "files": {"type": "dict"},
}

GROUP: dict[str, t.Any] = {
    "name": {"type": "str"},
    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
    "manager": {"type": "str", "choices": ["auto", "cgroupfs", "systemd"]},
    **RESOURCES,
    "controllers": {"type": "list", "elements": "str"},
    "processes": {"type": "list", "elements": "int"},
    "frozen": {"type": "bool"},
    "force": {"type": "bool", "default": False},
    "overcommit": {"type": "str", "choices": ["allow", "warn", "deny"], "default": "allow"},
}
