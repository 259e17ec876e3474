# Copyright: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""What a user wants of one container: options, checked as a whole, as one plain configuration.

The configuration holds nothing but text, numbers, lists and dicts: it is compared with what a running container was made
from, written into its record and sent to the process that makes it. Nothing is written here, and nothing of a container's
root file system is looked at. Paths of the machine are as they were given; territory.settle() looks what is behind them.
"""

from __future__ import annotations

import math
import os
import re
import stat

from .. import units
from ..cgroup.group import check_name
from ..errors import InvalidInput, check_text
from ..foreseen import Missing
from ..hidden import HIDDEN
from ..kernel.files import read_text
from ..records import without_none
from . import classes, health, network, private, reaper, words
from .mounts import ATTRIBUTES, CLEARING, PER_CPU_THERMAL
from .process import CAPABILITIES, LARGEST_ID, RLIMITS
from .seccomp import filters
from .words import octal, parse_name, parse_path, parse_signal, parse_user

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

# What podman leaves a container.
DEFAULT_CAPABILITIES = ("CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "NET_BIND_SERVICE", "SETFCAP", "SETGID", "SETPCAP", "SETUID", "SYS_CHROOT")
MASKED = (
    "/proc/acpi",
    "/proc/interrupts",
    "/proc/iomem",
    "/proc/kcore",
    "/proc/keys",
    "/proc/kpagecgroup",
    "/proc/kpagecount",
    "/proc/kpageflags",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/slabinfo",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/proc/vmallocinfo",
    "/sys/dev/block",
    PER_CPU_THERMAL,
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
_HOST_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9\-.]{0,62}[A-Za-z0-9])?")
_TMPFS = re.compile(r"(size=[0-9]+[kKmMgG%]?|mode=[0-7]{3,4}|uid=[0-9]+|gid=[0-9]+|nr_inodes=[0-9]+[kKmMgG]?)")
# Of labels, in bytes: a name, a text, and all of a container together.
_LONGEST_LABEL_NAME = 256
_LONGEST_LABEL = 4096
_LARGEST_LABELS = 65536
_POLICIES = ("no", "on-failure", "always", "unless-stopped")


def _word(value: object, what: str) -> str:
    """Return a word of a command. A fraction is taken as the number it is: programs read it as one (sleep 0.5)."""
    return repr(value) if isinstance(value, float) and math.isfinite(value) else words.text(value, what)


def parse_command(value: object) -> list[str]:
    """The words of a command, from a list or from text that is split as a shell would."""
    if isinstance(value, str):
        import shlex

        check_text(value, "command")
        try:
            found = shlex.split(value)
        except ValueError as error:
            raise InvalidInput("command: %r cannot be split into words: %s" % (value, error)) from None
    elif value is None or isinstance(value, (list, tuple)):
        found = [_word(word, "command: word %d" % number) for number, word in enumerate(value or [], 1)]
    else:
        raise InvalidInput("command: it is %s, and neither a list nor text" % words.kind_of(value), hint="give a list, such as [sleep, infinity]")
    if not found or not found[0]:
        raise InvalidInput("command is empty", hint="give a list, such as [sleep, infinity]")
    return found


def _capabilities(values: object, what: str) -> tuple[bool, set[str]]:
    """(whether ALL is among them, the others)."""
    names = set()
    for value in words.items(values, what):
        name = words.text(value, what).upper()
        name = name[4:] if name.startswith("CAP_") else name
        if name != "ALL" and name not in CAPABILITIES:
            raise InvalidInput("%s: there is no capability called %r" % (what, str(value)))
        names.add(name)
    return "ALL" in names, names - {"ALL"}


def parse_capabilities(asked: object) -> list[str]:
    """The capabilities to keep, in the order of their numbers."""
    given = words.mapping(asked, "capabilities")
    drop_all, drop = _capabilities(given.get("drop"), "capabilities.drop")
    add_all, add = _capabilities(given.get("add"), "capabilities.add")
    keep = set(CAPABILITIES) if add_all else set() if drop_all else set(DEFAULT_CAPABILITIES)
    keep = (keep | add) - drop
    return [name for name in CAPABILITIES if name in keep]


def _most_open_files() -> int | None:
    """The most that a process may have open at all (fs.nr_open); None where the kernel does not tell."""
    try:
        return int(read_text("/proc/sys/fs/nr_open") or "")
    except (OSError, ValueError):
        return None


def _rlimit(name: str, value: object) -> list[int]:
    """[soft, hard] of one resource limit, -1 for none."""
    what = "rlimits.%s" % name
    pair = value if isinstance(value, dict) else {"soft": value, "hard": value}
    if set(pair) - {"soft", "hard"}:
        raise InvalidInput("%s: %r is neither a number nor a soft with a hard limit" % (what, value))
    numbers = []
    for side, other in (("soft", "hard"), ("hard", "soft")):
        one = pair.get(side) if pair.get(side) is not None else pair.get(other)
        given = "" if one is None else str(one) if isinstance(one, float) else words.text(one, what)
        numbers.append(-1 if units.is_max(given) else units.parse_size(given, what))
    if numbers[1] != -1 and (numbers[0] == -1 or numbers[0] > numbers[1]):
        raise InvalidInput("%s: the soft limit is above the hard one" % what)
    most = _most_open_files() if name == "nofile" else None
    if most is not None and (numbers[1] == -1 or numbers[1] > most):
        raise InvalidInput(
            "%s: the kernel lets no process have %s files open" % (what, "any number of" if numbers[1] == -1 else numbers[1]),
            hint="the most is %d; to have more, raise the machine's kernel parameter fs.nr_open first" % most,
        )
    return numbers


def parse_rlimits(asked: object) -> dict[str, list[int]]:
    """{name: [soft, hard]}, -1 for none."""
    found: dict[str, list[int]] = {}
    for key, value in words.mapping(asked, "rlimits").items():
        name = words.text(key, "rlimits").lower()
        name = name[len("rlimit_") :] if name.startswith("rlimit_") else name
        if name not in RLIMITS:
            raise InvalidInput("there is no resource limit called %r" % str(key), hint="there are %s" % ", ".join(sorted(RLIMITS)))
        if name in found:
            raise InvalidInput("rlimits.%s is given twice" % name)
        found[name] = _rlimit(name, value)
    return dict(sorted(found.items()))


def _destination(value: object, what: str) -> str:
    path = parse_path(value, what)
    first = path.split("/")[1]
    if path == "/" or first in ("proc", "sys") or path in ("/dev", "/dev/pts"):
        raise InvalidInput("%s: nothing may be mounted on %s" % (what, path), hint="/, /proc, /sys, /dev and /dev/pts are the container's own")
    return path


def _options(values: list[Any], kind: str, what: str) -> list[str]:
    found = [words.text(value, what) for value in values]
    for option in found:
        known = option in ATTRIBUTES or option in CLEARING or (option in ("bind", "rbind") and kind == "bind") or (kind == "tmpfs" and _TMPFS.fullmatch(option))
        if not known:
            raise InvalidInput("%s: %r is not a mount option for %s" % (what, option, kind))
    if "noatime" in found and "strictatime" in found:
        raise InvalidInput("%s: noatime and strictatime exclude each other" % what)
    return found


def _bind(source: object, destination: object, options: list[Any], what: str) -> dict[str, Any]:
    return {"type": "bind", "source": parse_path(source, what), "destination": _destination(destination, what), "options": _options(options, "bind", what)}


def _tmpfs(destination: object, options: list[Any], what: str) -> dict[str, Any]:
    return {"type": "tmpfs", "source": "", "destination": _destination(destination, what), "options": _options(options, "tmpfs", what)}


def parse_mounts(options: dict[str, Any]) -> list[dict[str, Any]]:
    """volumes, tmpfs and mounts as one list; what lies higher comes first."""
    found = []
    for volume in words.items(options.get("volumes"), "volumes"):
        what = "volumes: %r" % (volume,)
        parts = words.text(volume, "volumes").split(":")
        if len(parts) not in (2, 3):
            raise InvalidInput("%s is not of the form source:destination or source:destination:options" % what)
        given = [word for word in parts[2].split(",") if word] if len(parts) == 3 else []
        found.append(_bind(parts[0], parts[1], given, what))
    for destination, text in words.mapping(options.get("tmpfs"), "tmpfs").items():
        what = "tmpfs: %s" % destination
        given = [word for word in words.text("" if text is None else text, what).split(",") if word]
        found.append(_tmpfs(destination, given, what))
    for mount in words.items(options.get("mounts"), "mounts"):
        mount = words.mapping(mount, "mounts")
        what = "mounts: %s" % mount.get("destination")
        given = words.items(mount.get("options"), what)
        kind = "bind" if mount.get("type") is None else mount["type"]
        if kind not in ("bind", "tmpfs"):
            raise InvalidInput("%s: type %r is neither bind nor tmpfs" % (what, kind))
        made = _bind(mount.get("source"), mount.get("destination"), given, what) if kind == "bind" else _tmpfs(mount.get("destination"), given, what)
        found.append(made)
    places = [mount["destination"] for mount in found]
    for place in places:
        if places.count(place) > 1:
            raise InvalidInput("%s is mounted on twice" % place)
    return sorted(found, key=lambda mount: mount["destination"].count("/"))


def _device_of_machine(path: str, look: bool) -> tuple[str, int, int, int, int, int]:
    """(type, major, minor, mode, owner, group) of a device of the machine."""
    if not look:
        return "c", 0, 0, 0o660, 0, 0
    try:
        status = os.stat(path)
    except OSError as error:
        raise Missing("devices: %s is not on this machine: %s" % (path, error.strerror), hint="give type, major and minor to make it anyway") from None
    if not (stat.S_ISCHR(status.st_mode) or stat.S_ISBLK(status.st_mode)):
        raise InvalidInput("devices: %s is not a device" % path)
    kind = "b" if stat.S_ISBLK(status.st_mode) else "c"
    return kind, os.major(status.st_rdev), os.minor(status.st_rdev), stat.S_IMODE(status.st_mode), status.st_uid, status.st_gid


def _device(asked: object, look: bool) -> tuple[dict[str, Any], dict[str, Any]]:
    """(one device to make, the rule that allows its use)."""
    device = words.mapping(asked, "devices")
    path = parse_path(device.get("path"), "devices")
    if not path.startswith("/dev/"):
        raise InvalidInput("devices: %s is not below /dev" % path)
    kind, mode, uid, gid = device.get("type"), 0o660, 0, 0
    if kind not in (None, "b", "c"):
        raise InvalidInput("devices: type %r is neither b nor c" % (kind,))
    if kind is None or device.get("major") is None or device.get("minor") is None:
        kind, major, minor, mode, uid, gid = _device_of_machine(path, look)
    else:
        # include/linux/kdev_t.h
        major = words.whole(device["major"], "devices: major", 0, (1 << 12) - 1)
        minor = words.whole(device["minor"], "devices: minor", 0, (1 << 20) - 1)
    access = words.text(_or(device.get("access"), "rwm"), "devices: access")
    if not access or set(access) - set("rwm"):
        raise InvalidInput("devices: access %r is not made of r, w and m" % access)
    if device.get("mode") is not None:
        mode = octal(device["mode"], "devices: mode", words.is_usual_mode)
    made = {
        "path": path,
        "type": kind,
        "major": major,
        "minor": minor,
        "mode": mode,
        "uid": words.whole(_or(device.get("uid"), uid), "devices: uid", 0, LARGEST_ID),
        "gid": words.whole(_or(device.get("gid"), gid), "devices: gid", 0, LARGEST_ID),
    }
    ordered = "".join(letter for letter in "rwm" if letter in access)
    return made, {"type": kind, "major": major, "minor": minor, "access": ordered}


def parse_devices(asked: object, look: bool = True) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """(devices to make, rules that allow their use), both in the order of the paths."""
    pairs = sorted((_device(device, look) for device in words.items(asked, "devices")), key=lambda pair: str(pair[0]["path"]))
    paths = [made["path"] for made, _rule in pairs]
    for path in paths:
        if paths.count(path) > 1:
            raise InvalidInput("devices: %s is asked for twice" % path)
    return [made for made, _rule in pairs], [rule for _made, rule in pairs]


def _or(value: Any, default: Any) -> Any:
    """The value, or the default where none was given; 0 and the empty text are values."""
    return default if value is None else value


def parse_policy(value: object) -> dict[str, Any]:
    """no, always, unless-stopped, on-failure or on-failure:N; YAML reads a bare no as false."""
    given = "no" if value is None or value is False else words.text(value, "restart_policy")
    name, colon, most = given.partition(":")
    if name not in _POLICIES or (colon and name != "on-failure"):
        raise InvalidInput("restart_policy: %r is not one of %s" % (given, ", ".join(_POLICIES)))
    return {"name": name, "max": units.parse_count(most, "restart_policy", 1) if colon else 0}


def parse_environment(asked: object) -> dict[str, str]:
    """Variables, as text."""
    env = {}
    for key, value in sorted(words.mapping(asked, "env").items(), key=lambda pair: str(pair[0])):
        name = words.text(key, "env: the name of a variable")
        if not name or "=" in name or not name.isprintable():
            raise InvalidInput("env: %r cannot be the name of a variable" % name)
        env[name] = words.text(value, "env: the value of %s" % name)
        if env[name] == HIDDEN:
            raise InvalidInput("env: the value of %s is not told by container_info" % name, hint="give the value itself")
    return env


def _parameters(asked: object, private_network: bool) -> dict[str, str]:
    found: dict[str, str] = {}
    for key, value in sorted(words.mapping(asked, "sysctls").items(), key=lambda pair: str(pair[0])):
        name = words.text(key, "sysctls")
        if not _OWN_PARAMETERS.fullmatch(name) or "//" in name or ".." in name:
            raise InvalidInput("sysctls: %s is not a parameter of the container's own namespaces" % name)
        if name.startswith("net.") and not private_network:
            raise InvalidInput("sysctls: %s would be set for the machine: the container shares its network" % name)
        text = words.text(value, "sysctls: the value of %s" % name)
        if "\n" in text or not text.strip():
            raise InvalidInput("sysctls: %r is no value for %s" % (text, name))
        found[name] = " ".join(text.split())
    return found


def _paths(values: object, default: tuple[str, ...], what: str) -> list[str]:
    """The default and what is asked for in addition."""
    return list(default) + sorted({parse_path(value, what) for value in words.items(values, what)} - set(default))


def parse_supervisor(asked: object, systemd_runs: bool) -> str:
    """Who supervises a container: systemd or builtin."""
    text = words.text(asked or "auto", "supervisor")
    if text not in ("auto", "systemd", "builtin"):
        raise InvalidInput("supervisor: %r is none of auto, systemd, builtin" % text)
    if text == "systemd" and not systemd_runs:
        raise InvalidInput("supervisor: systemd does not run this machine", hint="leave supervisor out: auto takes what is there")
    return "systemd" if systemd_runs and text != "builtin" else "builtin"


def parse_labels(value: object) -> dict[str, str]:
    """Text that is kept with a container, by name.

    It is read by every look at the container and by its supervisor, so that it has bounds.
    """
    found: dict[str, str] = {}
    for key, given in sorted(words.mapping(value, "labels").items(), key=str):
        name = words.text(key, "labels")
        if not name.strip():
            raise InvalidInput("labels: one has no name")
        found[name] = words.text(given, "labels.%s" % name)
        _check_label(name, found[name])
    size = sum(len(text.encode()) for pair in found.items() for text in pair)
    if size > _LARGEST_LABELS:
        raise InvalidInput("labels: they have %d bytes together, and may have %d" % (size, _LARGEST_LABELS))
    return found


def _check_label(name: str, text: str) -> None:
    for what, size, most in (
        ("the name", len(name.encode()), _LONGEST_LABEL_NAME),
        ("the text", len(text.encode()), _LONGEST_LABEL),
    ):
        if size > most:
            raise InvalidInput(
                "labels: %s of %.40s has %d bytes, and may have %d" % (what, name, size, most)
            )


def _init(value: object) -> bool:
    wanted = words.boolean(value, "init", False)
    if wanted:
        reaper.check()
    return wanted


def default_log(directory: str, name: str) -> str:
    """The log of a container that was given none."""
    return "%s/%s.log" % (directory, name)


def parse(options: dict[str, Any], log_directory: str, systemd_runs: bool = False, look: bool = True) -> dict[str, Any]:
    """The configuration of a container from a module's options. Raises InvalidInput that names the container.

    look: whether devices of the machine must be there: they need not for a container that is to be stopped or removed.
    """
    name = parse_name(options.get("name"))
    try:
        settings = _parse(name, options, log_directory, look)
        if parse_supervisor(options.get("supervisor"), systemd_runs) == "systemd":
            settings["supervisor"] = "systemd"
            if not (options.get("log") or {}).get("path"):
                settings["log"]["path"] = "journal"
        return settings
    except InvalidInput as error:
        error.problem = "container %s: %s" % (name, error.problem)
        raise


def _rootfs(value: object) -> str:
    rootfs = words.text(value or "host", "rootfs")
    return rootfs if rootfs == "host" else parse_path(rootfs, "rootfs")


def hostname_of(name: str) -> str:
    """The host name of a container for which none is asked."""
    return re.sub(r"[^A-Za-z0-9\-]", "-", name).strip("-") or "container"


def _hostname(value: object, name: str) -> str:
    hostname = words.text(value or hostname_of(name), "hostname")
    if not _HOST_NAME.fullmatch(hostname):
        raise InvalidInput("hostname: %r is not a host name" % hostname)
    return hostname


def _log(value: object, name: str, directory: str) -> dict[str, Any]:
    log = words.mapping(value, "log")
    path = log.get("path")
    return {
        "path": "" if path == "none" else parse_path(path, "log.path") if path else "%s/%s.log" % (directory, name),
        "max_size": max(4096, units.parse_size(_or(log.get("max_size"), "16M"), "log.max_size")),
        "max_files": words.whole(_or(log.get("max_files"), 2), "log.max_files", 1, 100),
    }


def _parse(name: str, options: dict[str, Any], log_directory: str, look: bool) -> dict[str, Any]:
    devices, rules = parse_devices(options.get("devices"), look)
    resources = without_none(words.mapping(options.get("resources"), "resources"))
    rdt, shares = classes.parse(None if options.get("rdt") is None else words.mapping(options["rdt"], "rdt"), name)
    if shares:
        resources["rdt"] = shares
    resources["devices"] = DEVICE_RULES + rules + words.items(resources.get("devices"), "resources.devices")
    capabilities = parse_capabilities(options.get("capabilities"))
    connection = network.parse(options.get("network"), capabilities)
    score = options.get("oom_score_adj")
    return {
        "name": name,
        "rootfs": _rootfs(options.get("rootfs")),
        "readonly": words.boolean(options.get("readonly"), "readonly", False),
        "command": parse_command(options.get("command")),
        "init": _init(options.get("init")),
        "healthcheck": health.parse(options.get("healthcheck"), parse_command),
        "labels": parse_labels(options.get("labels")),
        "env": parse_environment(options.get("env")),
        "cwd": parse_path(options.get("cwd") or "/", "cwd"),
        "user": parse_user(options.get("user")),
        "groups": sorted({words.account(group, "groups") for group in words.items(options.get("groups"), "groups")}),
        "umask": octal(_or(options.get("umask"), "022"), "umask", words.is_usual_mask),
        "hostname": _hostname(options.get("hostname"), name),
        "network": connection,
        "mounts": parse_mounts(options),
        "masked_paths": _paths(options.get("masked_paths"), MASKED, "masked_paths"),
        "readonly_paths": _paths(options.get("readonly_paths"), READ_ONLY, "readonly_paths"),
        "devices": devices,
        "sysctls": _parameters(options.get("sysctls"), network.private(connection)),
        "capabilities": capabilities,
        "seccomp": filters.parse(options.get("seccomp"), capabilities, options.get("state") not in ("absent", "stopped")),
        "no_new_privileges": words.boolean(options.get("no_new_privileges"), "no_new_privileges", True),
        "rlimits": parse_rlimits(options.get("rlimits")),
        "oom_score_adj": None if score is None else words.whole(score, "oom_score_adj", -1000, 1000),
        "cgroup_parent": check_name(words.text(options.get("cgroup_parent") or "bulkhead", "cgroup_parent")),
        "resources": resources,
        "rdt": rdt,
        "disk_quota": private.parse(options.get("disk_quota"), _rootfs(options.get("rootfs"))),
        "restart_policy": parse_policy(options.get("restart_policy")),
        "log": _log(options.get("log"), name, log_directory),
        "stop_signal": parse_signal(_or(options.get("stop_signal"), "TERM")),
        "stop_timeout": words.whole(_or(options.get("stop_timeout"), 10), "stop_timeout", 0, 86400),
    }
