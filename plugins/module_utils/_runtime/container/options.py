# Copyright: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""The table of what a configuration holds: how each value is compared, whether it changes live, and
how it is spelled.

A configuration is compared by what it means and not by its text: the order of volumes, groups and
devices says nothing, and `rw` is what a volume is anyway. A record of an earlier release may lack a
value or hold another default list; what it was made with is in the table too, so that an upgrade
makes no container anew. A new value of a configuration is a new row in TABLE.
"""

from __future__ import annotations

from ..kernel.files import real_path
from ..units import parse_size
from . import config as parsed
from . import network, private
from .mounts import DEFAULT, RDONLY, attributes_of
from .seccomp import profile as seccomp
from .words import account, signal_name

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any


def _plain(value: Any) -> Any:
    return value


class Option:
    """One row.

    name: the key of the configuration, LOG.PATH for one in a dictionary. live: a running container
    takes a new value; every other change makes it anew. same: the value in the one spelling by
    which it is compared. missing: what a record without it was made with. told: the value as the
    option of the module takes it. real: the value with the real paths behind those of the machine,
    which an earlier release did not look up.
    """

    __slots__ = ("live", "missing", "name", "real", "same", "told")

    def __init__(
        self,
        name: str,
        same: Callable[[Any], Any] = _plain,
        told: Callable[[Any], Any] = _plain,
        *,
        live: bool = False,
        missing: object = None,
        real: Callable[[Any], Any] | None = None,
    ) -> None:
        self.name = name
        self.same = same
        self.told = told
        self.live = live
        self.missing = missing
        self.real = real

    def says_the_same(self, held: dict[str, Any], wanted: dict[str, Any]) -> bool:
        """Whether two configurations ask for the same here."""
        one, other = self.of(held), self.of(wanted)
        return bool(one == other or self.same(one) == self.same(other))

    def was_the_same(self, held: dict[str, Any], wanted: dict[str, Any]) -> bool:
        """Whether an earlier configuration asked for the same, by the paths of its time."""
        return self.says_the_same(held, wanted) or (
            self.real is not None
            and bool(self.same(self.real(self.of(held))) == self.same(self.of(wanted)))
        )

    def of(self, config: dict[str, Any]) -> Any:
        """The value in a configuration."""
        key, _dot, inner = self.name.partition(".")
        value = config.get(key, self.missing)
        return value.get(inner, self.missing) if inner and isinstance(value, dict) else value

    def put(self, config: dict[str, Any], value: Any) -> None:
        """Set the value in a configuration."""
        key, _dot, inner = self.name.partition(".")
        if inner:
            config[key] = {**config[key], inner: value}
        else:
            config[key] = value


class _Seccomp(Option):
    """The filter of system calls: of a container of before there were any, the default leaves it so."""

    __slots__ = ()

    def says_the_same(self, held: dict[str, Any], wanted: dict[str, Any]) -> bool:
        return bool(seccomp.held(held, wanted) == wanted.get(self.name, seccomp.UNCONFINED))


# How values are compared


def _user(value: str) -> str:
    return ":".join(account(part, "user") for part in str(value).split(":"))


def _tmpfs(options: list[str]) -> list[tuple[str, int | str]]:
    """The settings of a file system in memory, sizes in bytes; the last one of a name holds."""
    found: dict[str, int | str] = {"mode": 0o1777, "uid": 0, "gid": 0}
    for option in options:
        name, equals, value = option.partition("=")
        if name == "mode":
            found[name] = int(value, 8)
        elif equals:
            found[name] = value if value.endswith("%") else parse_size(value)
    return sorted(found.items())


def _mount(mount: dict[str, Any]) -> tuple[Any, ...]:
    """A mount by what it comes to. That it can be written to is so unless it is said otherwise, so
    `rw` by itself says nothing.
    """
    attributes, clear = attributes_of(mount["options"], DEFAULT)
    settings = _tmpfs(mount["options"]) if mount["type"] == "tmpfs" else []
    recursive = mount["type"] == "bind" and "bind" not in mount["options"]
    return (
        mount["destination"],
        mount["type"],
        mount.get("source") or "",
        attributes,
        clear & ~RDONLY & ~attributes,
        recursive,
        settings,
    )


def _mounts(mounts: list[dict[str, Any]]) -> list[Any]:
    """As a set: what lies below another is mounted after it in any case."""
    return sorted(map(_mount, mounts))


def _devices(devices: list[dict[str, Any]]) -> list[Any]:
    return sorted((sorted(device.items()) for device in devices), key=str)


def _without(defaults: tuple[str, ...]) -> Callable[[list[str]], list[str]]:
    """Paths but for those that always are; an earlier release may have had fewer."""
    return lambda paths: sorted(set(paths) - set(defaults))


def _groups(groups: list[str]) -> list[str]:
    return sorted({account(group, "groups") for group in groups})


def _values(parameters: dict[str, str]) -> dict[str, str]:
    return {key: " ".join(value.split()) for key, value in parameters.items()}


def _real_rootfs(path: str) -> str:
    return path if path == "host" else real_path(path)


def _real_mounts(mounts: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [
        {**mount, "source": real_path(mount["source"])} if mount["type"] == "bind" else mount
        for mount in mounts
    ]


def _real_log(path: str) -> str:
    directory, slash, name = path.rpartition("/")
    return real_path(directory or "/").rstrip("/") + "/" + name if slash else path


# How values are spelled


def _told_mounts(mounts: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [
        {key: value for key, value in mount.items() if value or key == "options"}
        for mount in mounts
    ]


def _told_devices(devices: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{**device, "mode": "%04o" % device["mode"]} for device in devices]


def _told_limits(limits: dict[str, list[int]]) -> dict[str, Any]:
    words = {
        name: ["max" if number == -1 else number for number in pair]
        for name, pair in limits.items()
    }
    return {name: {"soft": soft, "hard": hard} for name, (soft, hard) in words.items()}


def _told_policy(policy: dict[str, Any]) -> str:
    return "%s:%d" % (policy["name"], policy["max"]) if policy["max"] else str(policy["name"])


def _told_path(path: str) -> str | None:
    """The journal is where output goes unless a file is given."""
    return {"": "none", "journal": None}.get(path, path)


def _told_class(rdt: dict[str, Any] | None) -> dict[str, Any] | None:
    return rdt and {"class": None if rdt["own"] else rdt["class"], "monitor": rdt["monitor"]}


_NO_POLICY = {"name": "no", "max": 0}
TABLE = (
    Option("name"),
    Option("rootfs", real=_real_rootfs),
    Option("readonly", missing=False),
    Option("command"),
    Option("init", missing=False),
    Option("env", missing={}),
    Option("cwd", missing="/"),
    Option("user", _user, missing="0"),
    Option("groups", _groups, missing=[]),
    Option("umask", told=lambda mask: "%04o" % mask, missing=0o022),
    Option("hostname"),
    Option("network", network.asked, network.told),
    Option("network.bandwidth", network.same_bandwidth, network.told_bandwidth, live=True),
    Option("disk_quota", private.same, live=True),
    Option("mounts", _mounts, _told_mounts, missing=[], real=_real_mounts),
    Option("masked_paths", _without(parsed.MASKED), _without(parsed.MASKED), missing=[]),
    Option("readonly_paths", _without(parsed.READ_ONLY), _without(parsed.READ_ONLY), missing=[]),
    Option("devices", _devices, _told_devices, missing=[]),
    Option("sysctls", _values, missing={}),
    Option("capabilities", sorted, lambda names: {"drop": ["ALL"], "add": names}),
    _Seccomp("seccomp"),
    Option("no_new_privileges", missing=True),
    Option("rlimits", told=_told_limits, missing={}),
    Option("oom_score_adj"),
    Option("cgroup_parent"),
    Option("rdt", told=_told_class),
    Option("healthcheck", live=True),
    Option("labels", live=True, missing={}),
    Option("restart_policy", told=_told_policy, live=True, missing=_NO_POLICY),
    Option("log.path", told=_told_path, real=_real_log),
    Option("log.max_size", live=True, missing=16 << 20),
    Option("log.max_files", live=True, missing=2),
    Option("stop_signal", told=signal_name, live=True, missing=15),
    Option("stop_timeout", live=True, missing=10),
    Option("supervisor", missing="builtin"),
)
BY_NAME = {option.name: option for option in TABLE}


def live_keys() -> list[str]:
    """The values that a running container takes without being made anew."""
    return [option.name for option in TABLE if option.live]


def canonical(config: dict[str, Any]) -> dict[str, Any]:
    """A configuration by what it means: those of the same container are equal."""
    return {option.name: option.same(option.of(config)) for option in TABLE}


def differences(held: dict[str, Any], wanted: dict[str, Any]) -> list[str]:
    """The values that mean something else in the two."""
    return [option.name for option in TABLE if not option.was_the_same(held, wanted)]


def as_held(wanted: dict[str, Any], held: dict[str, Any]) -> dict[str, Any]:
    """What is wanted, in the words of what is held where these say the same: what is written down
    of it does not change then.
    """
    found = dict(held)
    for option in TABLE:
        if option.says_the_same(held, wanted):
            continue
        key = option.name.partition(".")[0]
        if key in wanted:
            option.put(found, option.of(wanted))
        else:
            found.pop(key, None)
    return found


def as_options(config: dict[str, Any], resources: dict[str, Any], logs: str) -> dict[str, Any]:
    """A configuration in the words of the module's options, which can be given to it again.

    logs: the directory of logs; what follows from the name of the container is left out.
    """
    found: dict[str, Any] = {}
    for option in TABLE:
        value = option.of(config)
        value = None if value is None else option.told(value)
        key, _dot, inner = option.name.partition(".")
        if value is None:
            continue
        if inner:
            found.setdefault(key, {})[inner] = value
        else:
            found[key] = value
    if found["hostname"] == parsed.hostname_of(config["name"]):
        del found["hostname"]
    if found["log"].get("path") == "%s/%s.log" % (logs, config["name"]):
        del found["log"]["path"]
    given = dict(resources)
    if found.get("rdt"):
        found["rdt"] = {
            name: value
            for name, value in {**found["rdt"], **given.pop("rdt", {})}.items()
            if value is not None
        }
    _tell_rules(found, given)
    found["resources"] = given
    return found


def _tell_rules(found: dict[str, Any], resources: dict[str, Any]) -> None:
    """Of the rules for devices: what each device may be used for, and those that were asked for
    beside; the rest always is.
    """
    rules = list(resources.pop("devices", []))
    if rules[: len(parsed.DEVICE_RULES)] == parsed.DEVICE_RULES:
        rules = rules[len(parsed.DEVICE_RULES) :]
    for device, rule in zip(found["devices"], rules):
        device["access"] = rule["access"]
    if rules[len(found["devices"]) :]:
        resources["devices"] = rules[len(found["devices"]) :]


def shown(config: dict[str, Any], resources: dict[str, Any], keys: list[str]) -> str:
    """Some of a configuration, for people who read a diff. Of the environment only the names: what
    is in it is often secret.
    """
    from .wire import to_json

    words = []
    for key in keys:
        value = resources if key == "resources" else config.get(key)
        if key in BY_NAME:
            value = BY_NAME[key].of(config)
        if key == "env" and value:
            value = sorted(value)
        elif key == "seccomp":
            value = seccomp.shown(value)
        words.append("%s=%s" % (key, to_json(value)))
    return ", ".join(words)
