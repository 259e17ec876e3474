# Copyright: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# This is private to the collection: it may change at any time without notice.

"""The options of a limit of bandwidth, as Ansible's argument spec; what they mean is in the runtime."""

from __future__ import annotations

import typing as t

_RAW: dict[str, t.Any] = {"type": "raw"}
_BUCKET: dict[str, t.Any] = {
    "rate": {"type": "raw", "required": True},
    **dict.fromkeys(("burst", "latency", "limit", "peakrate"), _RAW),
}

# What an interface may have; containers take the same.
BANDWIDTH: dict[str, t.Any] = {
    "egress": {"type": "dict", "options": _BUCKET},
    "ingress": {
        "type": "dict",
        "options": {**_BUCKET, "method": {"type": "str", "choices": ["ifb", "police"]}},
    },
    "classes": {
        "type": "list",
        "elements": "dict",
        "options": {
            "name": {"type": "str", "required": True},
            "parent": {"type": "str"},
            "rate": {"type": "raw", "required": True},
            "ceil": _RAW,
            "burst": _RAW,
            "priority": {"type": "int"},
            "match": {
                "type": "dict",
                "options": {
                    "cgroup": {"type": "str"},
                    "source": {"type": "str"},
                    "destination": {"type": "str"},
                    "protocol": {"type": "str"},
                    "port": {"type": "int"},
                    "source_port": {"type": "int"},
                    "destination_port": {"type": "int"},
                    "mark": {"type": "str"},
                },
            },
        },
    },
    "overcommit": {"type": "str", "choices": ["allow", "warn", "deny"], "default": "deny"},
}

LIMIT: dict[str, t.Any] = {
    "interface": {"type": "str"},
    "netns": {"type": "str"},
    "container": {"type": "str"},
    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
    **BANDWIDTH,
    "force": {"type": "bool", "default": False},
}
