# Copyright: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""What a user wants of one container: options, checked as a whole, as one plain configuration.

The configuration holds nothing but text, numbers, lists and dicts: it is compared with what a running container was made
from, written into its record and sent to the process that makes it. Nothing is written here, and nothing of a container's
root file system is looked at. Paths of the machine are as they were given; territory.settle() looks what is behind them.
"""

from __future__ import annotations

import os
import re
import signal
import stat

from .. import units
from ..cgroup.group import check_name
from ..desired import without_none
from ..errors import BulkheadError, InvalidInput
from . import classes
from .mounts import ATTRIBUTES, CLEARING
from .process import CAPABILITIES, RLIMITS, parse_id
from .seccomp import filters

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

# What podman leaves a container.
DEFAULT_CAPABILITIES = ("CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "NET_BIND_SERVICE", "SETFCAP", "SETGID", "SETPCAP", "SETUID", "SYS_CHROOT")
MASKED = (
    "/proc/acpi",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/sys/dev/block",
    "/sys/devices/virtual/powercap",
    "/sys/firmware",
    "/sys/fs/selinux",
)
READ_ONLY = ("/proc/asound", "/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger")
# What a container may do with device files: make any, use the harmless ones (the OCI specification's default devices and terminals).
DEVICE_RULES = [
    {"type": "c", "major": "*", "minor": "*", "access": "m"},
    {"type": "b", "major": "*", "minor": "*", "access": "m"},
    *({"type": "c", "major": major, "minor": minor, "access": "rwm"} for major, minor in ((1, 3), (1, 5), (1, 7), (1, 8), (1, 9), (5, 0), (5, 2), (136, "*"))),
]
# Kernel parameters that a namespace of the container has for itself (sysctl of the ipc, uts and net namespaces).
_OWN_PARAMETERS = re.compile(r"(net\.[A-Za-z0-9_.\-/]+|fs\.mqueue\.[a-z_]+|kernel\.(msgmax|msgmnb|msgmni|sem|shmall|shmmax|shmmni|shm_rmid_forced|domainname))")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.\-]{0,63}")
_HOST_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9\-.]{0,62}[A-Za-z0-9])?")
_TMPFS = re.compile(r"(size=[0-9]+[kKmMgG%]?|mode=[0-7]{3,4}|uid=[0-9]+|gid=[0-9]+|nr_inodes=[0-9]+[kKmMgG]?)")
_POLICIES = ("no", "on-failure", "always", "unless-stopped")


def parse_name(value: object) -> str:
    """A container's name: it is a directory, a control group and a host name."""
    text = str(value if value is not None else "")
    if not _NAME.fullmatch(text):
        raise InvalidInput(
            "%r cannot be the name of a container" % text, hint="use letters, digits, '_', '.' and '-', at most 64, and begin with a letter or digit"
        )
    return text


def parse_path(value: object, what: str) -> str:
    """An absolute path without parts that lead back."""
    text = str(value or "")
    if not text.startswith("/") or "\0" in text or ".." in text.split("/"):
        raise InvalidInput("%s: %r is not an absolute path without '..'" % (what, text))
    return "/" + "/".join(part for part in text.split("/") if part not in ("", "."))


def _text(value: object, what: str) -> str:
    text = str(value)
    if "\0" in text:
        raise InvalidInput("%s holds a zero byte" % what)
    return text


def parse_command(value: object) -> list[str]:
    if isinstance(value, str):
        import shlex

        try:
            words = shlex.split(value)
        except ValueError as error:
            raise InvalidInput("command: %r cannot be split into words: %s" % (value, error)) from None
    elif isinstance(value, (list, tuple)):
        words = [_text(word, "command") for word in value]
    else:
        words = []
    if not words or not words[0]:
        raise InvalidInput("command is empty", hint="give a list, such as [sleep, infinity]")
    return words


def _capability(value: object) -> str:
    name = str(value).upper()
    if name.startswith("CAP_"):
        name = name[4:]
    if name not in CAPABILITIES:
        raise InvalidInput("there is no capability called %r" % str(value))
    return name


def parse_capabilities(asked: dict[str, Any] | None) -> list[str]:
    """The capabilities to keep, in the order of their numbers."""
    asked = asked or {}
    keep = set(DEFAULT_CAPABILITIES)
    drop = [str(name).upper() for name in asked.get("drop") or []]
    add = [str(name).upper() for name in asked.get("add") or []]
    if "ALL" in drop:
        keep = set()
    if "ALL" in add:
        keep = set(CAPABILITIES)
    keep |= {_capability(name) for name in add if name != "ALL"}
    keep -= {_capability(name) for name in drop if name != "ALL"}
    return [name for name in CAPABILITIES if name in keep]


def parse_user(value: object) -> str:
    """name, uid, name:group or uid:gid; numbers strictly, names for the container to know."""
    text = "0" if value is None else str(value)
    parts = text.split(":")
    if len(parts) > 2 or not all(parts):
        raise InvalidInput("user: %r is not of the form user or user:group" % text)
    for part in parts:
        try:
            if parse_id(part) is None and not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_.\-]*\$?", part):
                raise InvalidInput("user: %r is neither a number nor a name" % part)
        except InvalidInput:
            raise
        except BulkheadError as error:
            raise InvalidInput("user: %s" % error.problem) from None
    return text


def parse_rlimits(asked: dict[str, Any] | None) -> dict[str, list[int]]:
    """{name: [soft, hard]}, -1 for none."""
    found = {}
    for key, value in sorted((asked or {}).items()):
        name = str(key).lower()
        if name not in RLIMITS:
            raise InvalidInput("there is no resource limit called %r" % str(key), hint="there are %s" % ", ".join(sorted(RLIMITS)))
        pair = value if isinstance(value, dict) else {"soft": value, "hard": value}
        numbers = []
        for side in ("soft", "hard"):
            one = pair.get(side, pair.get("hard" if side == "soft" else "soft"))
            numbers.append(-1 if units.is_max(one if one is not None else "") else units.parse_size(one if one is not None else "", "rlimits.%s" % name))
        if numbers[1] != -1 and (numbers[0] == -1 or numbers[0] > numbers[1]):
            raise InvalidInput("rlimits.%s: the soft limit is above the hard one" % name)
        found[name] = numbers
    return found


def _destination(value: object, what: str) -> str:
    path = parse_path(value, what)
    first = path.split("/")[1]
    if path == "/" or first in ("proc", "sys") or path in ("/dev", "/dev/pts"):
        raise InvalidInput("%s: nothing may be mounted on %s" % (what, path), hint="/, /proc, /sys, /dev and /dev/pts are the container's own")
    return path


def _options(values: list[str], kind: str, what: str) -> list[str]:
    for option in values:
        known = option in ATTRIBUTES or option in CLEARING or (option in ("bind", "rbind") and kind == "bind") or (kind == "tmpfs" and _TMPFS.fullmatch(option))
        if not known:
            raise InvalidInput("%s: %r is not a mount option for %s" % (what, option, kind))
    return values


def _bind(source: object, destination: object, options: list[str], what: str) -> dict[str, Any]:
    return {"type": "bind", "source": parse_path(source, what), "destination": _destination(destination, what), "options": _options(options, "bind", what)}


def parse_mounts(options: dict[str, Any]) -> list[dict[str, Any]]:
    """volumes, tmpfs and mounts as one list; what lies higher comes first."""
    found = []
    for volume in options.get("volumes") or []:
        what = "volumes: %r" % volume
        parts = str(volume).split(":")
        if len(parts) not in (2, 3):
            raise InvalidInput("%s is not of the form source:destination or source:destination:options" % what)
        found.append(_bind(parts[0], parts[1], parts[2].split(",") if len(parts) == 3 else [], what))
    for destination, text in sorted((options.get("tmpfs") or {}).items()):
        what = "tmpfs: %s" % destination
        words = [word for word in str(text or "").split(",") if word]
        found.append({"type": "tmpfs", "source": "", "destination": _destination(destination, what), "options": _options(words, "tmpfs", what)})
    for mount in options.get("mounts") or []:
        what = "mounts: %s" % mount.get("destination")
        words = [str(word) for word in mount.get("options") or []]
        if (mount.get("type") or "bind") == "bind":
            found.append(_bind(mount.get("source"), mount.get("destination"), words, what))
        else:
            found.append(
                {"type": "tmpfs", "source": "", "destination": _destination(mount.get("destination"), what), "options": _options(words, "tmpfs", what)}
            )
    places = [mount["destination"] for mount in found]
    for place in places:
        if places.count(place) > 1:
            raise InvalidInput("%s is mounted on twice" % place)
    return sorted(found, key=lambda mount: mount["destination"].count("/"))


def parse_devices(asked: list[dict[str, Any]] | None) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """(devices to make, rules that allow their use)."""
    made, rules = [], []
    for device in asked or []:
        path = parse_path(device.get("path"), "devices")
        if not path.startswith("/dev/"):
            raise InvalidInput("devices: %s is not below /dev" % path)
        kind, major, minor = device.get("type"), device.get("major"), device.get("minor")
        mode, uid, gid = 0o660, 0, 0
        if kind is None or major is None or minor is None:
            try:
                status = os.stat(path)
            except OSError as error:
                raise InvalidInput(
                    "devices: %s is not on this machine: %s" % (path, error.strerror), hint="give type, major and minor to make it anyway"
                ) from None
            if not (stat.S_ISCHR(status.st_mode) or stat.S_ISBLK(status.st_mode)):
                raise InvalidInput("devices: %s is not a device" % path)
            kind = "b" if stat.S_ISBLK(status.st_mode) else "c"
            major, minor = os.major(status.st_rdev), os.minor(status.st_rdev)
            mode, uid, gid = stat.S_IMODE(status.st_mode), status.st_uid, status.st_gid
        access = str(device.get("access") or "rwm")
        if not access or set(access) - set("rwm"):
            raise InvalidInput("devices: access %r is not made of r, w and m" % access)
        if device.get("mode") is not None:
            mode = _mode(device["mode"], "devices: mode")
        made.append(
            {
                "path": path,
                "type": str(kind),
                "major": int(major),
                "minor": int(minor),
                "mode": mode,
                "uid": int(device["uid"] if device.get("uid") is not None else uid),
                "gid": int(device["gid"] if device.get("gid") is not None else gid),
            }
        )
        rules.append({"type": str(kind), "major": int(major), "minor": int(minor), "access": access})
    return made, rules


def _mode(value: object, what: str) -> int:
    text = str(value)
    if isinstance(value, bool) or not re.fullmatch(r"0?o?[0-7]{1,4}", text):
        raise InvalidInput("%s: %r is not an octal mode" % (what, text), hint="write it in quotes, such as '0660'")
    return int(text.replace("o", ""), 8)


def _or(value: Any, default: Any) -> Any:
    """The value, or the default where none was given; 0 and the empty text are values."""
    return default if value is None else value


def parse_signal(value: object) -> int:
    """A signal by name or number."""
    text = str(value).upper()
    if text.isdigit() and 1 <= int(text) < signal.NSIG:
        return int(text)
    number = getattr(signal, text if text.startswith("SIG") else "SIG" + text, None)
    if not isinstance(number, signal.Signals):
        raise InvalidInput("there is no signal called %r" % str(value))
    return int(number)


def parse_policy(value: object) -> dict[str, Any]:
    """no, always, unless-stopped, on-failure or on-failure:N; YAML reads a bare no as false."""
    text = "no" if value is None or value is False else str(value)
    name, colon, most = text.partition(":")
    if name not in _POLICIES or (colon and name != "on-failure"):
        raise InvalidInput("restart_policy: %r is not one of %s" % (text, ", ".join(_POLICIES)))
    return {"name": name, "max": units.parse_count(most, "restart_policy", 1) if colon else 0}


def parse_environment(asked: dict[str, Any] | None) -> dict[str, str]:
    """Variables, as text."""
    env = {}
    for key, value in sorted((asked or {}).items()):
        name = _text(key, "env")
        if not name or "=" in name:
            raise InvalidInput("env: %r cannot be the name of a variable" % name)
        if isinstance(value, bool) or value is None:
            raise InvalidInput("env: the value of %s is not text" % name, hint="put it in quotes, so that it arrives as you wrote it")
        env[name] = _text(value, "env")
    return env


def _parameters(asked: dict[str, Any] | None, private_network: bool) -> dict[str, str]:
    found = {}
    for key, value in sorted((asked or {}).items()):
        name = str(key)
        if not _OWN_PARAMETERS.fullmatch(name) or "//" in name or ".." in name:
            raise InvalidInput("sysctls: %s is not a parameter of the container's own namespaces" % name)
        if name.startswith("net.") and not private_network:
            raise InvalidInput("sysctls: %s would be set for the machine: the container shares its network" % name)
        text = str(value)
        if "\n" in text or not text.strip():
            raise InvalidInput("sysctls: %r is no value for %s" % (text, name))
        found[name] = text
    return found


def _paths(values: list[Any] | None, default: tuple[str, ...], what: str) -> list[str]:
    """The default and what is asked for in addition."""
    return list(default) + sorted({parse_path(value, what) for value in values or []} - set(default))


def parse_supervisor(asked: object, systemd_runs: bool) -> str:
    """Who supervises a container: systemd or builtin."""
    text = str(asked or "auto")
    if text not in ("auto", "systemd", "builtin"):
        raise InvalidInput("supervisor: %r is none of auto, systemd, builtin" % text)
    if text == "systemd" and not systemd_runs:
        raise InvalidInput("supervisor: systemd does not run this machine", hint="leave supervisor out: auto takes what is there")
    return "systemd" if systemd_runs and text != "builtin" else "builtin"


def parse(options: dict[str, Any], log_directory: str, systemd_runs: bool = False) -> dict[str, Any]:
    """The configuration of a container from a module's options. Raises InvalidInput that names the container."""
    name = parse_name(options.get("name"))
    try:
        settings = _parse(name, options, log_directory)
        if parse_supervisor(options.get("supervisor"), systemd_runs) == "systemd":
            settings["supervisor"] = "systemd"
            if not (options.get("log") or {}).get("path"):
                settings["log"]["path"] = "journal"
        return settings
    except InvalidInput as error:
        error.problem = "container %s: %s" % (name, error.problem)
        raise


def _parse(name: str, options: dict[str, Any], log_directory: str) -> dict[str, Any]:
    rootfs = str(options.get("rootfs") or "host")
    if rootfs != "host":
        rootfs = parse_path(rootfs, "rootfs")
    hostname = str(options.get("hostname") or re.sub(r"[^A-Za-z0-9\-]", "-", name).strip("-") or "container")
    if not _HOST_NAME.fullmatch(hostname):
        raise InvalidInput("hostname: %r is not a host name" % hostname)
    network = str((options.get("network") or {}).get("mode") or "none")
    if network not in ("none", "host"):
        raise InvalidInput("network.mode: %r is neither none nor host" % network)
    devices, rules = parse_devices(options.get("devices"))
    resources = without_none(options.get("resources") or {})
    rdt, shares = classes.parse(options.get("rdt"), name)
    if shares:
        resources["rdt"] = shares
    resources["devices"] = DEVICE_RULES + rules + list(resources.get("devices") or [])
    log = options.get("log") or {}
    path = log.get("path")
    capabilities = parse_capabilities(options.get("capabilities"))
    score = options.get("oom_score_adj")
    if score is not None and not -1000 <= int(score) <= 1000:
        raise InvalidInput("oom_score_adj: %s is not within -1000 to 1000" % score)
    return {
        "name": name,
        "rootfs": rootfs,
        "readonly": bool(options.get("readonly")),
        "command": parse_command(options.get("command")),
        "env": parse_environment(options.get("env")),
        "cwd": parse_path(options.get("cwd") or "/", "cwd"),
        "user": parse_user(options.get("user")),
        "groups": [parse_user(group) for group in options.get("groups") or []],
        "umask": _mode(_or(options.get("umask"), "022"), "umask"),
        "hostname": hostname,
        "network": {"mode": network},
        "mounts": parse_mounts(options),
        "masked_paths": _paths(options.get("masked_paths"), MASKED, "masked_paths"),
        "readonly_paths": _paths(options.get("readonly_paths"), READ_ONLY, "readonly_paths"),
        "devices": devices,
        "sysctls": _parameters(options.get("sysctls"), network == "none"),
        "capabilities": capabilities,
        "seccomp": filters.parse(options.get("seccomp"), capabilities, options.get("state") not in ("absent", "stopped")),
        "no_new_privileges": options.get("no_new_privileges") is not False,
        "rlimits": parse_rlimits(options.get("rlimits")),
        "oom_score_adj": None if score is None else int(score),
        "cgroup_parent": check_name(options.get("cgroup_parent") or "bulkhead"),
        "resources": resources,
        "rdt": rdt,
        "restart_policy": parse_policy(options.get("restart_policy")),
        "log": {
            "path": "" if path == "none" else parse_path(path, "log.path") if path else "%s/%s.log" % (log_directory, name),
            "max_size": max(4096, units.parse_size(_or(log.get("max_size"), "16M"), "log.max_size")),
            "max_files": units.parse_count(_or(log.get("max_files"), 2), "log.max_files", 1, 100),
        },
        "stop_signal": parse_signal(options.get("stop_signal") or "TERM"),
        "stop_timeout": units.parse_count(_or(options.get("stop_timeout"), 10), "stop_timeout", 0, 86400),
    }
