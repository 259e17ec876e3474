# Copyright: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# This is private to the collection: it may change at any time without notice.

"""The options of a container, as Ansible's argument spec; what they mean is in the runtime."""

from __future__ import annotations

import typing as t

from ._cgroup_options import RESOURCES
from ._quota_options import LIMITS
from ._resctrl_options import SHARES

_TEXTS: dict[str, t.Any] = {"type": "list", "elements": "str"}

CONTAINER: dict[str, t.Any] = {
    "name": {"type": "str"},
    "state": {"type": "str", "choices": ["started", "healthy", "restarted", "stopped", "paused", "absent"], "default": "started"},
    "rootfs": {"type": "str", "default": "host"},
    "command": {"type": "raw"},
    "init": {"type": "bool", "default": False},
    "env": {"type": "dict"},
    "env_file": _TEXTS,
    "cwd": {"type": "str", "default": "/"},
    "user": {"type": "str", "default": "0"},
    "groups": _TEXTS,
    "umask": {"type": "raw", "default": "022"},
    "hostname": {"type": "str"},
    "network": {"type": "raw"},
    "volumes": _TEXTS,
    "tmpfs": {"type": "dict"},
    "mounts": {
        "type": "list",
        "elements": "dict",
        "options": {
            "type": {"type": "str", "choices": ["bind", "tmpfs"], "default": "bind"},
            "source": {"type": "str"},
            "destination": {"type": "str", "required": True},
            "options": _TEXTS,
        },
    },
    "readonly": {"type": "bool", "default": False},
    "masked_paths": _TEXTS,
    "readonly_paths": _TEXTS,
    "devices": {
        "type": "list",
        "elements": "dict",
        "options": {
            "path": {"type": "str", "required": True},
            "type": {"type": "str", "choices": ["b", "c"]},
            "major": {"type": "int"},
            "minor": {"type": "int"},
            "access": {"type": "str", "default": "rwm"},
            "mode": {"type": "raw"},
            "uid": {"type": "int"},
            "gid": {"type": "int"},
        },
    },
    "sysctls": {"type": "dict"},
    "capabilities": {"type": "dict", "options": {"add": _TEXTS, "drop": _TEXTS}},
    "no_new_privileges": {"type": "bool", "default": True},
    "seccomp": {"type": "raw"},
    "rlimits": {"type": "dict"},
    "oom_score_adj": {"type": "int"},
    "cgroup_parent": {"type": "str", "default": "bulkhead"},
    "resources": {"type": "dict", "options": RESOURCES},
    "rdt": {"type": "dict", "options": {"class": {"type": "str"}, "monitor": {"type": "bool", "default": False}, **SHARES}},
    "disk_quota": {"type": "dict", "options": LIMITS},
    "healthcheck": {
        "type": "dict",
        "options": {
            "command": {"type": "raw", "aliases": ["test"]},
            "interval": {"type": "float", "default": 30.0},
            "timeout": {"type": "float", "default": 30.0},
            "retries": {"type": "int", "default": 3},
            "start_period": {"type": "float", "default": 0.0},
        },
    },
    "labels": {"type": "dict"},
    "restart_policy": {"type": "raw", "default": "no"},
    "supervisor": {"type": "str", "choices": ["auto", "systemd", "builtin"]},
    "log": {
        "type": "dict",
        "options": {"path": {"type": "str"}, "max_size": {"type": "raw", "default": "16M"}, "max_files": {"type": "int", "default": 2}},
    },
    "stop_signal": {"type": "str", "default": "TERM"},
    "stop_timeout": {"type": "int", "default": 10},
    "signal": {"type": "str"},
    "wait": {"type": "bool", "default": False},
    "wait_timeout": {"type": "float"},
    "max_output": {"type": "raw", "default": "64K"},
    "settle": {"type": "float", "default": 1.0},
}
