# Copyright: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""A seccomp profile of a user's own: linux.seccomp of the OCI runtime specification, or the form that the engines' files have.

The engines' form adds conditions (includes, excludes) and a table of architectures (archMap) to it. A profile is checked as a
whole, its conditions are decided for this container and this machine, and what remains is kept in one spelling of the OCI form.
"""

from __future__ import annotations

import errno
import os

from ...errors import InvalidInput
from ...foreseen import Missing
from ...kernel import seccomp
from . import calls

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .assembler import Comparison, Decision

DEFAULT, UNCONFINED = "default", "unconfined"
ACTIONS = {
    "SCMP_ACT_KILL": seccomp.RET_KILL_THREAD,
    "SCMP_ACT_KILL_THREAD": seccomp.RET_KILL_THREAD,
    "SCMP_ACT_KILL_PROCESS": seccomp.RET_KILL_PROCESS,
    "SCMP_ACT_TRAP": seccomp.RET_TRAP,
    "SCMP_ACT_ERRNO": seccomp.RET_ERRNO,
    "SCMP_ACT_TRACE": seccomp.RET_TRACE,
    "SCMP_ACT_LOG": seccomp.RET_LOG,
    "SCMP_ACT_ALLOW": seccomp.RET_ALLOW,
}
# These carry a number. The kernel's own limits: MAX_ERRNO, SECCOMP_RET_DATA.
_WITH_NUMBER = {"SCMP_ACT_ERRNO": 4095, "SCMP_ACT_TRACE": 0xFFFF}
# What lets a call through.
_OPEN = (seccomp.RET_ALLOW, seccomp.RET_LOG)
OPERATIONS = ("NE", "LT", "LE", "EQ", "GE", "GT", "MASKED_EQ")
_FLAGS = {
    "SECCOMP_FILTER_FLAG_TSYNC": 0,  # for several threads; there is one
    "SECCOMP_FILTER_FLAG_LOG": seccomp.FLAG_LOG,
    "SECCOMP_FILTER_FLAG_SPEC_ALLOW": seccomp.FLAG_SPEC_ALLOW,
}
# {machine: (its own architecture, those that it can run as well, its name in Go)}
_MACHINES = {
    "x86_64": ("SCMP_ARCH_X86_64", ("SCMP_ARCH_X86", "SCMP_ARCH_X32"), "amd64"),
    "i686": ("SCMP_ARCH_X86", (), "386"),
    "aarch64": ("SCMP_ARCH_AARCH64", ("SCMP_ARCH_ARM",), "arm64"),
    "armv7l": ("SCMP_ARCH_ARM", (), "arm"),
}
WAYS = {
    "SCMP_ARCH_X86_64": "x86_64",
    "SCMP_ARCH_X32": "x32",
    "SCMP_ARCH_X86": "i386",
    "SCMP_ARCH_AARCH64": "aarch64",
    "SCMP_ARCH_ARM": "arm",
}
_TOP = {"defaultAction", "defaultErrnoRet", "defaultErrno", "architectures", "archMap", "flags", "syscalls"}
_ENTRY = {"names", "name", "action", "errnoRet", "errno", "args", "comment", "includes", "excludes"}
_LARGEST_FILE = 4 << 20


def _refuse(what: str, hint: str = "") -> InvalidInput:
    return InvalidInput("seccomp: " + what, hint=hint)


def parse(value: object, capabilities: list[str], machine: str) -> str | dict[str, Any]:
    """The option: default, unconfined, or a profile of one's own, in one spelling. Raises InvalidInput."""
    if value is None or value in (DEFAULT, UNCONFINED):
        return DEFAULT if value is None else str(value)
    profile = _read(value)
    if machine not in _MACHINES:
        raise _refuse(
            "a profile of one's own needs a table of the system calls of %s, and there is none" % machine,
            "leave seccomp out, or say unconfined",
        )
    try:
        return _Reader(capabilities, machine).read(profile)
    except InvalidInput as error:
        if isinstance(value, str) and value.startswith("/"):
            error.problem = "%s (in %s)" % (error.problem, value)
        raise


def held(earlier: dict[str, Any], wanted: dict[str, Any]) -> object:
    """What of seccomp an earlier configuration is compared by.

    One of before there were filters has nothing of it, and its container runs without: the default leaves that as it is, so that
    an upgrade makes no container anew. A profile of one's own does not.
    """
    asked = wanted.get("seccomp")
    return earlier.get("seccomp", asked if isinstance(asked, str) else UNCONFINED)


def shown(value: object) -> object:
    """The option for people who read a diff: of a profile no more than what tells it from others."""
    import zlib

    return "profile %08x" % zlib.crc32(repr(value).encode()) if isinstance(value, dict) else value or UNCONFINED


def _read(value: object) -> dict[str, Any]:
    """The profile as data: given as such, as JSON text, or as the path of a file."""
    import json

    text = value
    if isinstance(value, str) and value.startswith("/"):
        try:
            with open(value, "rb") as file:
                text = file.read(_LARGEST_FILE + 1)
        except FileNotFoundError as error:
            raise Missing("seccomp: %s cannot be read: %s" % (value, error.strerror), target=value) from None
        except OSError as error:
            raise _refuse("%s cannot be read: %s" % (value, error.strerror)) from None
        if len(text) > _LARGEST_FILE:
            raise _refuse("%s is larger than %d MiB" % (value, _LARGEST_FILE >> 20))
    elif isinstance(value, str) and not value.lstrip().startswith("{"):
        raise _refuse("%r is none of default, unconfined, the absolute path of a profile, a profile" % value)
    if isinstance(text, (str, bytes)):
        try:
            text = json.loads(text)
        except ValueError as error:
            raise _refuse("%s is not JSON: %s" % (value if value != text else "the profile", error)) from None
    if not isinstance(text, dict):
        raise _refuse("a profile is a dictionary such as {defaultAction: SCMP_ACT_ERRNO, syscalls: [...]}")
    return text


def _list(value: object, what: str) -> list[Any]:
    if value is None:
        return []
    if not isinstance(value, list):
        raise _refuse("%s is not a list" % what)
    return value


def _names(value: object, what: str) -> list[str]:
    found = _list(value, what)
    if not all(isinstance(name, str) and name for name in found):
        raise _refuse("%s is not a list of names" % what)
    return found


def _number(value: object, most: int, what: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= most:
        raise _refuse("%s: %r is not a whole number of 0 to %d" % (what, value, most))
    return value


def _known_keys(value: object, known: set[str], what: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise _refuse("%s is not a dictionary" % what)
    for key in value:
        if key in ("listenerPath", "listenerMetadata"):
            raise _refuse("%s: %s is not supported, there is nobody to notify" % (what, key))
        if key not in known:
            raise _refuse("%s has no key %r" % (what, key), "there are %s" % ", ".join(sorted(known)))
    return value


def _action(name: object, what: str) -> str:
    if name == "SCMP_ACT_NOTIFY":
        raise _refuse("%s: SCMP_ACT_NOTIFY is not supported, there is nobody to notify" % what)
    if name not in ACTIONS:
        raise _refuse("%s: there is no action %r" % (what, name), "there are %s" % ", ".join(sorted(ACTIONS)))
    return str(name)


def _result(action: str, number: object, word: object, what: str) -> dict[str, Any]:
    """An action and its number: given as a number, as the name of an errno, or EPERM."""
    if action not in _WITH_NUMBER:
        return {"action": action}
    if number is None and word is not None:
        number = getattr(errno, str(word), None)
        if number is None:
            raise _refuse("%s: there is no errno called %r" % (what, word))
    return {"action": action, "errnoRet": errno.EPERM if number is None else _number(number, _WITH_NUMBER[action], what + ": errnoRet")}


def _version(text: object) -> tuple[int, int]:
    major, _dot, minor = str(text).partition(".")
    digits = [part[: len(part) - len(part.lstrip("0123456789"))] for part in (major, minor)]
    if not all(digits):
        raise _refuse("minKernel: %r is not a version such as 5.12" % (text,))
    return int(digits[0]), int(digits[1])


class _Reader:
    """The profile of one container on one machine."""

    def __init__(self, capabilities: list[str], machine: str) -> None:
        self.capabilities = {"CAP_" + name for name in capabilities}
        self.native, self.others, self.go_name = _MACHINES[machine]

    def read(self, profile: dict[str, Any]) -> dict[str, Any]:
        """The same profile in the one spelling that is kept."""
        _known_keys(profile, _TOP, "the profile")
        action = _action(profile.get("defaultAction"), "defaultAction")
        result = _result(action, profile.get("defaultErrnoRet"), profile.get("defaultErrno"), "defaultAction")
        found: dict[str, Any] = {"defaultAction": action}
        if "errnoRet" in result:
            found["defaultErrnoRet"] = result["errnoRet"]
        found["architectures"] = self._architectures(profile)
        if profile.get("flags") is not None:
            found["flags"] = self._flags(_names(profile["flags"], "flags"))
        rules: dict[str, list[dict[str, Any]]] = {}
        for index, entry in enumerate(_list(profile.get("syscalls"), "syscalls")):
            self._read_entry(entry, "syscalls[%d]" % index, rules)
        found["syscalls"] = _entries(rules)
        _check_names(found)
        _check_start(found)
        return found

    def _architectures(self, profile: dict[str, Any]) -> list[str]:
        """Those of this machine that the profile is for; the machine's own always is."""
        asked = _names(profile.get("architectures"), "architectures")
        if profile.get("archMap"):
            if asked:
                raise _refuse("the profile has both architectures and archMap")
            for row in _list(profile["archMap"], "archMap"):
                _known_keys(row, {"architecture", "subArchitectures"}, "archMap")
                if row.get("architecture") == self.native:
                    asked = _names(row.get("subArchitectures"), "subArchitectures")
        return [self.native, *(name for name in self.others if name in asked)]

    @staticmethod
    def _flags(asked: list[str]) -> list[str]:
        for name in asked:
            if name not in _FLAGS:
                raise _refuse("there is no flag %r" % name, "there are %s" % ", ".join(sorted(_FLAGS)))
        return sorted(set(asked))

    def _applies(self, entry: dict[str, Any], what: str) -> bool:
        """Whether the conditions of an entry hold here."""
        kernel = _version(os.uname().release)
        for key in ("includes", "excludes"):
            asked = _known_keys(entry.get(key) or {}, {"caps", "arches", "minKernel"}, "%s.%s" % (what, key))
            capabilities = set(_names(asked.get("caps"), "caps"))
            arches = _names(asked.get("arches"), "arches")
            newer = asked.get("minKernel") is not None and kernel >= _version(asked["minKernel"])
            if key == "includes":
                if capabilities - self.capabilities or (arches and self.go_name not in arches) or (asked.get("minKernel") is not None and not newer):
                    return False
            elif capabilities & self.capabilities or self.go_name in arches or newer:
                return False
        return True

    def _read_entry(self, entry: object, what: str, rules: dict[str, list[dict[str, Any]]]) -> None:
        found = _known_keys(entry, _ENTRY, what)
        names = _names(found.get("names"), what + ".names")
        if found.get("name"):
            names = [*names, *_names([found["name"]], what + ".name")]
        if not names:
            raise _refuse("%s names no call" % what)
        result = _result(_action(found.get("action"), what), found.get("errnoRet"), found.get("errno"), what)
        arguments = [_argument(one, what) for one in _list(found.get("args"), what + ".args")]
        if not self._applies(found, what):
            return
        indexes = [argument["index"] for argument in arguments]
        # One argument compared twice: either of the two, as runc has it.
        alternatives = [[argument] for argument in arguments] if len(set(indexes)) < len(indexes) else [arguments]
        for name in names:
            for alternative in alternatives:
                rule = {**result, "args": sorted(alternative, key=lambda argument: int(argument["index"]))}
                if rule not in rules.setdefault(name, []):
                    rules[name].append(rule)


def _argument(value: object, what: str) -> dict[str, Any]:
    what += ".args"
    found = _known_keys(value, {"index", "value", "valueTwo", "op"}, what)
    word = str(found.get("op") or "")
    if word.replace("SCMP_CMP_", "", 1) not in OPERATIONS or not word.startswith("SCMP_CMP_"):
        raise _refuse("%s: there is no operator %r" % (what, word), "there are %s" % ", ".join("SCMP_CMP_" + name for name in OPERATIONS))
    largest = (1 << 64) - 1
    argument = {"index": _number(found.get("index"), 5, what + ": index"), "value": _number(found.get("value"), largest, what + ": value"), "op": word}
    if word == "SCMP_CMP_MASKED_EQ":
        argument["valueTwo"] = _number(found.get("valueTwo") or 0, largest, what + ": valueTwo")
    return argument


def _entries(rules: dict[str, list[dict[str, Any]]]) -> list[dict[str, Any]]:
    """The rules of all calls, those that have the same ones together. A rule without arguments goes before all others of its call."""
    groups: dict[str, tuple[list[str], list[dict[str, Any]]]] = {}
    for name in sorted(rules):
        plain = [rule for rule in rules[name] if not rule["args"]]
        kept = plain[:1] or rules[name]
        groups.setdefault(repr(kept), ([], kept))[0].append(name)
    return [{"names": names, **rule} for names, kept in groups.values() for rule in kept]


def _check_names(profile: dict[str, Any]) -> None:
    """A rule for a call that is not known does nothing, which is right but for one that was to refuse it."""
    if not is_open(default_of(profile)):
        return
    for entry in profile["syscalls"]:
        for name in entry["names"] if ACTIONS[entry["action"]] not in _OPEN else ():
            if "\n%s " % name not in calls.CALLS:
                raise _refuse("there is no system call %r that is known here, so that it cannot be refused" % name)


def _check_start(profile: dict[str, Any]) -> None:
    """Without these calls nothing would ever run: they are made after the filter was loaded."""
    decided = decisions(profile)
    for name in ("execve", "write"):
        decision = decided.get(name) or default_of(profile)
        if not any(result in _OPEN for _comparisons, result in decision):
            raise _refuse("the profile refuses %s, so that no command could be started" % name, "allow it")


def _value(entry: dict[str, Any], action: str, number: str) -> int:
    return ACTIONS[entry[action]] | int(entry.get(number, 0))


def default_of(profile: dict[str, Any]) -> Decision:
    """What becomes of a call that the profile does not name."""
    return (((), _value(profile, "defaultAction", "defaultErrnoRet")),)


def is_open(decision: Decision) -> bool:
    """Whether it lets a call through, or leaves that to a tracer."""
    return decision[-1][1] in _OPEN or decision[-1][1] & 0xFFFF0000 == seccomp.RET_TRACE


def decisions(profile: dict[str, Any]) -> dict[str, Decision]:
    """What becomes of each call that the profile names, by its name; of several rules the first that fits counts."""
    found: dict[str, list[tuple[tuple[Comparison, ...], int]]] = {}
    for entry in profile["syscalls"]:
        comparisons = tuple(_comparison(argument) for argument in entry["args"])
        for name in entry["names"]:
            found.setdefault(name, []).append((comparisons, _value(entry, "action", "errnoRet")))
    default = default_of(profile)
    once: dict[Decision, Decision] = {}
    made = {name: tuple(rules) if not rules[-1][0] else (*rules, *default) for name, rules in found.items()}
    return {name: once.setdefault(decision, decision) for name, decision in made.items()}


def _comparison(argument: dict[str, Any]) -> Comparison:
    operation = str(argument["op"])[len("SCMP_CMP_") :]
    if operation == "MASKED_EQ":
        return argument["index"], "EQ", argument["value"], argument["valueTwo"]
    return argument["index"], operation, (1 << 64) - 1, argument["value"]


def flags(profile: dict[str, Any]) -> int:
    """The flags to load it with. As runc and crun do, where none are said: no slower speculation for the container's sake."""
    if "flags" not in profile:
        return seccomp.FLAG_SPEC_ALLOW
    mask = 0
    for name in profile["flags"]:
        mask |= _FLAGS[name]
    return mask
