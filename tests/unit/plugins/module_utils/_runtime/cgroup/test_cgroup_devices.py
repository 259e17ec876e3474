# SPDX-FileCopyrightText: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Device rules as v1 files and as an eBPF program, which must both decide as the rules say."""

from __future__ import annotations

import itertools
import struct
from typing import Any

import pytest
from ansible_collections.bulkhead.linux.plugins.module_utils._runtime.cgroup import devices
from ansible_collections.bulkhead.linux.plugins.module_utils._runtime.cgroup.devices import Policy, parse_rules
from ansible_collections.bulkhead.linux.plugins.module_utils._runtime.errors import InvalidInput
from fake_kernel import FakeHost
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

Rule = dict[str, Any]
MASK = (1 << 64) - 1
BITS = {"m": 1, "r": 2, "w": 4}
TYPES = {"b": 1, "c": 2}


def execute(code: bytes, kind: int, access: int, major: int, minor: int) -> int:
    """What an eBPF program over struct bpf_cgroup_dev_ctx returns: an interpreter of what instruction-set.rst says."""
    assert len(code) % 8 == 0
    instructions = [struct.unpack("=BBhi", code[at : at + 8]) for at in range(0, len(code), 8)]
    memory = struct.pack("=III", access << 16 | kind, major, minor)
    registers: list[int | None] = [None] * 11
    registers[1] = 0  # the address of the context
    at = 0
    for _step in range(10000):
        opcode, both, offset, immediate = instructions[at]
        target, source = both & 15, both >> 4
        value = immediate & MASK  # sign-extended, as 64 bits
        at += 1
        if opcode == 0x95:  # exit
            assert registers[0] is not None
            return registers[0]
        if opcode == 0x61:  # ldxw
            place = registers[source] + offset
            registers[target] = struct.unpack_from("=I", memory, place)[0]
        elif opcode == 0xB7:  # mov64, immediate
            registers[target] = value
        elif opcode == 0xBF:  # mov64, register
            registers[target] = registers[source]
        elif opcode == 0x57:  # and64, immediate
            registers[target] &= value
        elif opcode == 0x77:  # rsh64, immediate
            registers[target] >>= immediate
        elif opcode in (0x15, 0x55):  # jeq, jne, immediate
            if (registers[target] == value) is (opcode == 0x15):
                at += offset
        elif opcode == 0x5D:  # jne, register
            if registers[target] != registers[source]:
                at += offset
        else:
            raise AssertionError("the interpreter does not know opcode %#x" % opcode)
        assert 0 <= at < len(instructions), "a jump out of the program"
    raise AssertionError("the program does not end")


def decide(rules: list[Rule], kind: str, access: str, major: int, minor: int) -> bool:
    """The model, after devices.rst: a rule for all devices starts anew; rules for the same numbers add up, letter by letter.

    Where all is denied, one of them must allow the whole access; where all is allowed, none may deny a part of it.
    """
    starts = [number for number, rule in enumerate(rules) if rule["type"] == "a"]
    default = rules[starts[-1]]["allow"] if starts else False
    rest = rules[starts[-1] + 1 :] if starts else rules
    matching = [
        (rule["major"], rule["minor"]) for rule in rest if rule["type"] == kind and rule["major"] in ("*", str(major)) and rule["minor"] in ("*", str(minor))
    ]
    for numbers in matching:
        verdicts = [default] * len(access)
        for rule in rest:
            if rule["type"] == kind and (rule["major"], rule["minor"]) == numbers:
                verdicts = [rule["allow"] if letter in rule["access"] else verdict for letter, verdict in zip(access, verdicts)]
        if default and not all(verdicts):
            return False
        if not default and all(verdicts):
            return True
    return default


NUMBERS = ["*", "0", "1", "5", "4095"]
_rule = st.fixed_dictionaries(
    {
        "type": st.sampled_from(["b", "c", "b", "c", "a"]),
        "major": st.sampled_from(NUMBERS),
        "minor": st.sampled_from(NUMBERS),
        "access": st.sampled_from(["r", "w", "m", "rw", "rm", "wm", "rwm", "mwr"]),
        "allow": st.booleans(),
    }
).map(lambda rule: {**rule, "major": "*", "minor": "*", "access": "rwm"} if rule["type"] == "a" else rule)
_rules = st.lists(_rule, max_size=6)
ACCESSES = ["".join(letters) for size in (1, 2, 3) for letters in itertools.combinations("rwm", size)]


def understood(rules: list[Rule]) -> Policy:
    try:
        return parse_rules(rules)
    except InvalidInput as error:
        assert "is an exception from" in str(error)
        assume(False)
        raise


@settings(suppress_health_check=[HealthCheck.filter_too_much], deadline=None, max_examples=40)
@given(_rules)
def test_the_program_decides_as_the_rules_say(rules: list[Rule]) -> None:
    """For every combination of type, access, major and minor number."""
    policy = understood(rules)
    code = devices.program(policy)
    for kind, access, major, minor in itertools.product("bc", ACCESSES, (0, 1, 5, 7, 4095), (0, 1, 5, 7, 4095)):
        verdict = execute(code, TYPES[kind], sum(BITS[letter] for letter in access), major, minor)
        assert verdict == int(decide(rules, kind, access, major, minor)), (str(policy), kind, access, major, minor)


@pytest.mark.parametrize(("allow", "verdict"), [(True, 1), (False, 0)])
def test_a_policy_without_exceptions(allow: bool, verdict: int) -> None:
    code = devices.program(Policy(allow))
    assert {execute(code, kind, access, 1, 3) for kind in (1, 2) for access in range(1, 8)} == {verdict}


def test_no_rules_deny_everything() -> None:
    assert parse_rules([]) == Policy(False)


@pytest.mark.parametrize("numbers", [{"major": 4096}, {"minor": 1 << 20}, {"major": -1}, {"major": "1.5"}])
def test_numbers_that_no_device_has_are_refused(numbers: dict[str, object]) -> None:
    """They would also be compared wrongly: the program compares with sign-extended 32 bits."""
    with pytest.raises(InvalidInput, match=r"devices: (major|minor)"):
        parse_rules([{"type": "c", **numbers}])


def test_the_name_of_a_program_says_which_policy_it_is() -> None:
    one = parse_rules([{"type": "c", "major": 1, "minor": 3}, {"type": "b", "major": 8}])
    same = parse_rules([{"type": "b", "major": 8, "minor": "*"}, {"type": "c", "major": "1", "minor": "3", "access": "mwr"}])
    assert devices.program_name(one) == devices.program_name(same)
    assert devices.program_name(one) != devices.program_name(parse_rules([]))
    assert len(devices.program_name(one)) <= 15


NULL = {"type": "c", "major": 1, "minor": 3}
ZERO = {"type": "c", "major": 1, "minor": 5, "access": "r"}


def steps(host: FakeHost, rules: list[Rule]) -> list[tuple[str, str]]:
    tree = host.tree("devices")
    now = devices.read_v1(tree.get("web/devices.list"))
    found = devices.steps_v1(tree, "web", now, parse_rules(rules))
    for step in found:
        step.do()
    return [(step.verb, step.line) for step in found]


def test_v1_denies_everything_and_allows_what_is_listed(v1: FakeHost) -> None:
    v1.tree("devices").mkdir("web")
    assert steps(v1, [NULL, ZERO]) == [("deny", "a"), ("allow", "c 1:3 rwm"), ("allow", "c 1:5 r")]
    assert steps(v1, [ZERO, NULL]) == []
    assert steps(v1, [{**NULL, "access": "rw"}, ZERO]) == [("deny", "c 1:3 m")]
    assert steps(v1, [{**NULL, "access": "rw"}]) == [("deny", "c 1:5 r")]
    assert steps(v1, []) == [("deny", "c 1:3 rw")]
    assert steps(v1, [{"type": "a"}]) == [("allow", "a")]
    assert steps(v1, [{"type": "a"}]) == []


def test_v1_takes_before_it_gives(v1: FakeHost) -> None:
    v1.tree("devices").mkdir("web")
    steps(v1, [NULL])
    assert steps(v1, [ZERO]) == [("deny", "c 1:3 rwm"), ("allow", "c 1:5 r")]


def test_v1_does_not_show_exceptions_from_everything(v1: FakeHost) -> None:
    v1.tree("devices").mkdir("web")
    with pytest.raises(InvalidInput, match=r"v1 does not show which devices are denied"):
        steps(v1, [{"type": "a"}, {**NULL, "allow": False}])


@settings(suppress_health_check=[HealthCheck.filter_too_much, HealthCheck.function_scoped_fixture], deadline=None, max_examples=60)
@given(_rules, _rules)
def test_v1_from_any_policy_to_any_other_and_back(v1: FakeHost, one: list[Rule], other: list[Rule]) -> None:
    tree = v1.tree("devices")
    if not tree.has("web"):
        tree.mkdir("web")
    for rules in (one, other):
        policy = understood(rules)
        assume(not (policy.allow and policy.exceptions))
        before = tree.get("web/devices.list")
        found = devices.steps_v1(tree, "web", devices.read_v1(before), policy)
        for step in found:
            step.do()
        after = tree.get("web/devices.list")
        assert devices.read_v1(after) == policy
        assert devices.steps_v1(tree, "web", devices.read_v1(after), policy) == []
        for step in reversed(found):
            step.undo()
        assert devices.read_v1(tree.get("web/devices.list")) == devices.read_v1(before)
        for step in found:
            step.do()
