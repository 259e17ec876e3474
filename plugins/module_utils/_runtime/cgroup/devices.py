# Copyright: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Which devices a group may use: rules folded into one policy, and the policy as v1 files or as an eBPF program.

v1 keeps a default (allow or deny everything) and exceptions to it (security/device_cgroup.c). v2 has no files: programs
attached to the group decide (cgroup-v2.rst, "Device controller"). Both start here from the same Policy.
"""

from __future__ import annotations

import errno
import os
import struct

from .. import units
from ..errors import InvalidInput
from ..kernel import bpf
from ..kernel.files import Tree
from ..patience import wait_until
from ..plan import Step

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Device = tuple[str, str, str]

_EVERYTHING = "a *:* rwm"
_PREFIX = "bh_"
# How long, in seconds, a group that was removed may count as one below.
_PATIENCE = 2.0


class Policy:
    """What is allowed: everything but the exceptions, or nothing but the exceptions.

    exceptions: {(type b or c, major or *, minor or *): access, some of r w m}.
    """

    def __init__(self, allow: bool = False, exceptions: dict[Device, str] | None = None) -> None:
        self.allow = allow
        self.exceptions = exceptions or {}

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Policy) and (self.allow, self.exceptions) == (other.allow, other.exceptions)

    __hash__ = None  # type: ignore[assignment]

    def lines(self) -> list[str]:
        """The exceptions as the v1 files spell them."""
        return ["%s %s:%s %s" % (*device, access) for device, access in sorted(self.exceptions.items())]

    def __str__(self) -> str:
        word = "all but" if self.allow else "only"
        return "%s %s" % (word, ", ".join(self.lines()) or "nothing")


def _ordered(access: str) -> str:
    return "".join(letter for letter in "rwm" if letter in access)


# A call makes many groups with the same rules, those of a container; a policy is not changed once it is parsed.
_parsed: dict[str, Policy] = {}


def parse_rules(rules: list[dict[str, Any]]) -> Policy:
    """A policy from rules in order, each {type, major, minor, access, allow}; what no rule allows is denied."""
    key = repr(rules)
    if key not in _parsed:
        _parsed[key] = _parse_rules(rules)
    return _parsed[key]


def _parse_rules(rules: list[dict[str, Any]]) -> Policy:
    policy = Policy()
    for rule in rules:
        kind = str(rule.get("type") or "a")
        allow = True if rule.get("allow") is None else units.parse_boolean(rule["allow"], "devices: allow")
        access = str(rule.get("access") or "rwm")
        if kind not in ("a", "b", "c") or not access or set(access) - set("rwm"):
            raise InvalidInput("devices: %r is not a rule" % (rule,), hint="type is a, b or c; access is made of r, w and m")
        numbers = []
        for which, bits in (("major", 12), ("minor", 20)):  # include/linux/kdev_t.h
            number = rule.get(which)
            star = number is None or str(number).strip() == "*"
            numbers.append("*" if star else str(units.parse_count(number, "devices: " + which, 0, (1 << bits) - 1)))  # type: ignore[arg-type]
        if kind == "a":
            if numbers != ["*", "*"] or _ordered(access) != "rwm":
                raise InvalidInput("devices: type a stands for all devices and any access", hint="write one rule for b and one for c")
            policy = Policy(allow)
            continue
        device = (kind, numbers[0], numbers[1])
        held = policy.exceptions.get(device, "")
        if allow != policy.allow:
            policy.exceptions[device] = _ordered(held + access)
            continue
        overlapping = [other for other in policy.exceptions if other != device and _overlap(other, device)]
        if overlapping:
            raise InvalidInput(
                "devices: a rule for %s %s:%s is an exception from the one for %s %s:%s" % (*device, *overlapping[0]),
                hint="the kernel keeps exceptions from one default only; name the devices one by one",
            )
        rest = _ordered("".join(set(held) - set(access)))
        policy.exceptions.pop(device, None)
        if rest:
            policy.exceptions[device] = rest
    return policy


def _overlap(one: Device, other: Device) -> bool:
    return all(a == b or "*" in (a, b) for a, b in zip(one, other))


def read_v1(text: str) -> Policy:
    """The policy that devices.list shows. Where everything is allowed it does not show exceptions."""
    policy = Policy()
    for line in text.splitlines():
        kind, numbers, access = line.split()
        if kind == "a":
            return Policy(True)
        major, minor = numbers.split(":")
        policy.exceptions[kind, major, minor] = _ordered(access)
    if all(policy.exceptions.get((kind, "*", "*")) == "rwm" for kind in "bc"):
        return Policy(True)
    return policy


class DeviceWrite(Step):
    """Allow or deny one thing on v1.

    lost: lines that were allowed and that the kernel forgets with the write, as it does when everything is allowed.
    """

    def __init__(self, tree: Tree, group: str, verb: str, line: str, lost: list[str] | None = None) -> None:
        self.tree = tree
        self.group = group
        self.verb = verb
        self.line = line
        self.target = tree.full("%s/devices.%s" % (group, verb))
        self.before, self.after = None, line
        self.lost = lost or []

    def _write(self, verb: str, line: str) -> None:
        path = "%s/devices.%s" % (self.group, verb)

        def written() -> bool:
            try:
                self.tree.write(path, line)
            except OSError as error:
                if error.errno != errno.EINVAL:
                    raise
                return False
            return True

        # A group below that was removed counts for a moment longer (css_has_online_children(), kernel/cgroup/cgroup.c).
        if line != "a" or not wait_until(written, _PATIENCE):
            self.tree.write(path, line)

    def do(self) -> None:
        self._write(self.verb, self.line)

    def undo(self) -> None:
        self._write("deny" if self.verb == "allow" else "allow", self.line)
        for line in self.lost:
            self._write("allow", line)


class Inside:
    """A group below one whose policy changes. child: whether it is given what that is given."""

    def __init__(self, group: str, child: bool, now: Policy) -> None:
        self.group = group
        self.child = child
        self.now = now


def steps_v1(tree: Tree, group: str, now: Policy, wanted: Policy, children: bool = False, inside: list[Inside] | None = None) -> list[Step]:
    """The writes from one policy to the other: what is taken away first.

    children: whether there are groups below it; inside: those of them that give way to it.
    """
    found: list[Step] = []
    for step in _writes_v1(tree, group, now, wanted, children):
        same = [write for one in inside or [] for write in _inside(tree, one, step.verb, step.line)]
        found += [*same, step] if step.verb == "deny" else [step, *same]
    return found


def _inside(tree: Tree, one: Inside, verb: str, line: str) -> list[Step]:
    """The same for a group below. What is taken from a group the kernel takes from that as well, and gives back to none: so it is
    taken by name, and comes back when it is undone."""
    kind, numbers, access = line.split()
    major, minor = numbers.split(":")
    held = set(one.now.exceptions.get((kind, major, minor), ""))
    letters = _ordered("".join(set(access) & held if verb == "deny" else set(access) - held))
    if one.now.allow or not letters or (verb == "allow" and not one.child):
        return []
    return [DeviceWrite(tree, one.group, verb, "%s %s %s" % (kind, numbers, letters))]


def _writes_v1(tree: Tree, group: str, now: Policy, wanted: Policy, children: bool) -> list[DeviceWrite]:
    if wanted.allow and wanted.exceptions:
        raise InvalidInput(
            "devices of %s: with everything else allowed, v1 does not show which devices are denied" % group,
            hint="list what is allowed instead: v1 shows that, so that a second run can tell",
        )
    if wanted.allow:
        if now.allow:
            return []
        if children:  # everything at once can be allowed only while nothing is below
            return [DeviceWrite(tree, group, "allow", "%s *:* rwm" % kind) for kind in "bc"]
        return [DeviceWrite(tree, group, "allow", "a", now.lines())]
    steps: list[DeviceWrite] = []
    held = now.exceptions
    if now.allow and children:
        raise InvalidInput(
            "devices of %s: it may use everything and has groups below it, and on v1 the kernel then takes no other rule" % group,
            target=tree.full(group + "/devices.deny"),
            hint="remove the groups below it first; those of a container go when it is stopped",
        )
    if now.allow:
        steps.append(DeviceWrite(tree, group, "deny", "a"))
        held = {}
    for verb, one, other in (("deny", held, wanted.exceptions), ("allow", wanted.exceptions, held)):
        for device in sorted(one):
            access = _ordered("".join(set(one[device]) - set(other.get(device, ""))))
            if access:
                steps.append(DeviceWrite(tree, group, verb, "%s %s:%s %s" % (*device, access)))
    return steps


# eBPF: struct bpf_insn is (opcode, registers, offset, immediate); opcodes of include/uapi/linux/bpf_common.h.
_LOAD_WORD, _MOVE, _MOVE_REGISTER, _AND, _SHIFT_RIGHT, _EXIT = 0x61, 0xB7, 0xBF, 0x57, 0x77, 0x95
_IF_NOT_EQUAL, _IF_NOT_EQUAL_REGISTER, _IF_EQUAL = 0x55, 0x5D, 0x15
_ACCESS_BITS = {"m": 1, "r": 2, "w": 4}
_TYPE_NUMBERS = {"b": 1, "c": 2}


def _instruction(code: int, target: int = 0, source: int = 0, offset: int = 0, value: int = 0) -> bytes:
    return struct.pack("=BBhi", code, target | source << 4, offset, value)


def program(policy: Policy) -> bytes:
    """The policy as a BPF_PROG_TYPE_CGROUP_DEVICE program over struct bpf_cgroup_dev_ctx; returns 1 to allow."""
    code = [
        _instruction(_LOAD_WORD, 2, 1, 0),  # r2: type in the low half, access in the high one
        _instruction(_MOVE_REGISTER, 3, 2),
        _instruction(_AND, 3, value=0xFFFF),  # r3: type
        _instruction(_SHIFT_RIGHT, 2, value=16),  # r2: access asked for
        _instruction(_LOAD_WORD, 4, 1, 4),  # r4: major
        _instruction(_LOAD_WORD, 5, 1, 8),  # r5: minor
    ]
    for (kind, major, minor), access in sorted(policy.exceptions.items()):
        bits = sum(_ACCESS_BITS[letter] for letter in access)
        tests = [(_IF_NOT_EQUAL, 3, 0, _TYPE_NUMBERS[kind])]
        tests += [(_IF_NOT_EQUAL, register, 0, int(number)) for register, number in ((4, major), (5, minor)) if number != "*"]
        block = []
        # An allowed exception must cover all that is asked; a denied one need only touch it (match_exception_partial()).
        masks = [_instruction(_MOVE_REGISTER, 6, 2), _instruction(_AND, 6, value=bits)]
        access_test = (_IF_EQUAL, 6, 0, 0) if policy.allow else (_IF_NOT_EQUAL_REGISTER, 6, 2, 0)
        length = len(tests) + len(masks) + 1 + 2
        for index, (opcode, target, source, value) in enumerate(tests):
            block.append(_instruction(opcode, target, source, length - index - 1, value))
        block += masks
        block.append(_instruction(access_test[0], access_test[1], access_test[2], 2, access_test[3]))
        block += [_instruction(_MOVE, 0, value=int(not policy.allow)), _instruction(_EXIT)]
        code += block
    code += [_instruction(_MOVE, 0, value=int(policy.allow)), _instruction(_EXIT)]
    return b"".join(code)


def program_name(policy: Policy) -> str:
    """A name that says which policy the program is, so that a second run knows it again: the kernel keeps 15 letters."""
    import hashlib

    return _PREFIX + hashlib.sha256(str(policy).encode()).hexdigest()[:12]


class AttachPolicy(Step):
    """Attach the program of a policy to a v2 group, in the place of an earlier one of ours."""

    def __init__(self, tree: Tree, group: str, policy: Policy, held: tuple[int, str] | None) -> None:
        self.tree = tree
        self.group = group
        self.policy = policy
        self.held = held
        self.target = tree.full(group) + "/(device program)"
        self.before = held[1] if held else None
        self.after = "%s: %s" % (program_name(policy), policy)
        self._old = self._new = -1

    def do(self) -> None:
        group = self.tree.open(self.group)
        try:
            self._new = bpf.load_device_program(program(self.policy), program_name(self.policy))
            self._old = bpf.open_program(self.held[0]) if self.held else -1
            bpf.attach(group, self._new, self._old if self.held else None)
        finally:
            os.close(group)

    def undo(self) -> None:
        group = self.tree.open(self.group)
        try:
            if self.held:
                bpf.attach(group, self._old, self._new)
            else:
                bpf.detach(group, self._new)
        finally:
            os.close(group)

    def __del__(self) -> None:
        for fd in (self._old, self._new):
            if fd >= 0:
                os.close(fd)


def attached_policy(tree: Tree, group: str) -> tuple[int, str] | None:
    """(id, name) of our program on a v2 group, if there is one."""
    fd = tree.open(group)
    try:
        return next(((number, name) for number, name in bpf.attached(fd) if name.startswith(_PREFIX)), None)
    finally:
        os.close(fd)
