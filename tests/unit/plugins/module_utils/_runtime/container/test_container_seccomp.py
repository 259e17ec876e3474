# SPDX-FileCopyrightText: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The filters of system calls, call by call, against filters that libseccomp builds from the same rules."""

from __future__ import annotations

import errno
import random
import sys
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parents[5] / "conformance"))
import bpf
import libseccomp
import seccomp_calls
from ansible_collections.bulkhead.linux.plugins.module_utils._runtime.container.config import DEFAULT_CAPABILITIES
from ansible_collections.bulkhead.linux.plugins.module_utils._runtime.container.process import CAPABILITIES
from ansible_collections.bulkhead.linux.plugins.module_utils._runtime.container.seccomp import calls, default, filters, guard, profile
from ansible_collections.bulkhead.linux.plugins.module_utils._runtime.container.sources import Missing
from ansible_collections.bulkhead.linux.plugins.module_utils._runtime.errors import InvalidInput

ALLOW, EPERM, ENOSYS = 0x7FFF0000, 0x50000 | errno.EPERM, 0x50000 | errno.ENOSYS
# What the oracle says to calls that no rule names: an errno that no rule has.
UNNAMED = libseccomp.errno_action(1000)
KERNEL = {"x86_64": 0xC000003E, "x32": 0xC000003E, "i386": 0x40000003, "aarch64": 0xC00000B7, "arm": 0x40000028}
WAYS = {"x86_64": ["x86_64", "x32", "i386"], "aarch64": ["aarch64", "arm"]}
MACHINE_OF = {way: machine for machine, ways in WAYS.items() for way in ways}
FAMILIES = [*range(12), *range(13, 19), 21, 22, 24, *range(26, 34), 35, 36, 39, *range(41, 46)]
SETS = {
    "default": list(DEFAULT_CAPABILITIES),
    "none": [],
    "admin": [*DEFAULT_CAPABILITIES, "SYS_ADMIN"],
    "several": ["SYS_PTRACE", "SYS_NICE", "SYS_TIME", "BPF", "SYSLOG", "SYS_MODULE"],
    "all": CAPABILITIES,
}
WORD, X32 = 0xFFFFFFFF, 0x40000000


def numbers_of(way: str) -> dict[str, int]:
    return {name: number | (X32 if way == "x32" else 0) for name, number in filters._numbers((way,))[way].items()}


def every_number(way: str) -> list[int]:
    bit = X32 if way == "x32" else 0
    return [*(number | bit for number in (*range(560), 1000, 0x3FFFFFFE)), *(range(0xF0000, 0xF0010) if way == "arm" else ())]


def ask(program: Any, way: str, name: str, *arguments: int) -> int:
    return bpf.run(program, KERNEL[way], numbers_of(way)[name], arguments)


@pytest.mark.parametrize("way", sorted(KERNEL))
def test_the_table_is_that_of_libseccomp(way: str) -> None:
    """A later libseccomp may know more; of what the table has, it says the same."""
    ours, theirs = filters._numbers((way,))[way], seccomp_calls.calls_of(way)
    assert len(ours) > 300
    assert {name: number for name, number in ours.items() if theirs.get(name) != number} == {}
    assert {name: number for name, number in theirs.items() if name not in ours and number <= max(seccomp_calls._LATER)} == {}


def test_the_policy_names_only_calls_that_there_are() -> None:
    known = {line.split()[0] for line in calls.CALLS.splitlines() if line}
    assert set(default.decisions(CAPABILITIES)) <= known
    # What comes with a later libseccomp is to be ENOSYS, until somebody has thought about it.
    assert known - set(default.decisions([])) == {"file_getattr", "file_setattr"}


def oracle_of_default(machine: str, capabilities: list[str]) -> Any:
    """What the policy's rules say, in libseccomp's terms. The rule for ioctl cannot be said in these: it is tested by itself."""
    oracle = libseccomp.Filter(UNNAMED, WAYS[machine])
    rules = default.decisions(capabilities)
    for name, decision in rules.items():
        if name not in ("socket", "personality", "clone", "ioctl") or len(decision) == 1:
            oracle.rule(decision[0][1], name)
    if len(rules["clone"]) > 1:
        oracle.rule(ALLOW, "clone", [(0, "MASKED_EQ", 0x7E020000, 0)])
    for family in FAMILIES:
        oracle.rule(ALLOW, "socket", [(0, "MASKED_EQ", WORD, family)])
    for value in (0, 8, 0x20000, 0x20008, 0xFFFFFFFF):
        oracle.rule(ALLOW, "personality", [(0, "MASKED_EQ", WORD, value)])
    return oracle


SAMPLES = {
    "socket": [(family | high,) for family in (*range(64), 0xFFFFFFFF) for high in (0, 7 << 32, WORD << 32)],
    "personality": [(value | high,) for value in (0, 1, 4, 8, 9, 0x20000, 0x20008, 0x40000, 0xFFFFFFFF) for high in (0, 1 << 32)],
    "clone": [(1 << bit,) for bit in range(64)] + [(0,), (17,), (0x3D0F00,), (0x7E020011,), (0x10000011,)],
}


@pytest.mark.parametrize("machine", sorted(WAYS))
@pytest.mark.parametrize("which", sorted(SETS))
def test_the_default_decides_as_libseccomp_does(machine: str, which: str) -> None:
    program = bpf.instructions(filters.default_program(SETS[which], machine))
    assert len(program) < 600
    oracle = oracle_of_default(machine, SETS[which])
    theirs = bpf.instructions(oracle.program())
    oracle.close()
    compared = 0
    for way in WAYS[machine]:
        ours = {number: name for name, number in numbers_of(way).items()}
        for number in every_number(way):
            name = libseccomp.name_of(way, number)
            if name == "ioctl" or (not name and number in ours):
                continue  # a call that is newer than this libseccomp
            for arguments in SAMPLES.get(name, [()]):
                if way in filters._NARROW and any(argument > WORD for argument in arguments):
                    continue
                expected = bpf.run(theirs, KERNEL[way], number, arguments)
                if expected == UNNAMED:
                    expected = EPERM if name in SAMPLES else ENOSYS
                answer = bpf.run(program, KERNEL[way], number, arguments)
                assert hex(answer) == hex(expected), (way, name, number, arguments)
                compared += 1
    assert compared > 1000


REFUSED = """
    unshare setns mount umount2 fsopen fsconfig fsmount fspick move_mount open_tree mount_setattr pivot_root keyctl add_key
    request_key bpf perf_event_open userfaultfd io_uring_setup io_uring_enter io_uring_register open_by_handle_at kexec_load
    init_module finit_module delete_module quotactl quotactl_fd swapon swapoff clock_settime settimeofday reboot acct syslog
    move_pages migrate_pages mbind set_mempolicy get_mempolicy kcmp pidfd_getfd process_madvise vhangup sethostname setdomainname
    fanotify_init lookup_dcookie nfsservctl
"""


@pytest.mark.parametrize("way", sorted(KERNEL))
def test_what_a_default_container_may_not_do(way: str) -> None:
    program = bpf.instructions(filters.default_program(SETS["default"], MACHINE_OF[way]))
    numbers = numbers_of(way)
    for name in REFUSED.split():
        if name in numbers:
            assert ask(program, way, name) == EPERM, name
    assert ask(program, way, "clone3") == ENOSYS
    assert ask(program, way, "clone", 0x10000011) == EPERM
    assert ask(program, way, "clone", 0x11) == ask(program, way, "clone", 0x3D0F00) == ALLOW
    for name in ("read", "execve", "ptrace", "chroot", "seccomp", "cachestat", "landlock_restrict_self", "prctl"):
        assert ask(program, way, name) == ALLOW, name
    for request in (0x5412, 0x541C, 0x401C5820):
        assert ask(program, way, "ioctl", 0, request) == EPERM
        if way not in filters._NARROW:
            assert ask(program, way, "ioctl", 0, request | 5 << 32) == EPERM
    assert ask(program, way, "ioctl", 0, 0x5401) == ALLOW
    assert bpf.run(program, KERNEL[way], WORD) == ENOSYS


def test_another_architecture_is_killed() -> None:
    program = bpf.instructions(filters.default_program([], "x86_64"))
    assert bpf.run(program, 0xC00000B7, 0) == 0x80000000


@pytest.mark.parametrize(("capability", "names"), sorted(default.BY_CAPABILITY.items()))
def test_a_capability_opens_its_calls_and_no_others(capability: str, names: str) -> None:
    without = bpf.instructions(filters.default_program([], "x86_64"))
    having = bpf.instructions(filters.default_program([capability], "x86_64"))
    for name in names.split():
        if name in numbers_of("x86_64"):
            assert ask(without, "x86_64", name) != ALLOW
            assert ask(having, "x86_64", name) == ALLOW
    opened = {number for number in range(600) if bpf.run(without, KERNEL["x86_64"], number) != bpf.run(having, KERNEL["x86_64"], number)}
    assert opened == {number for name, number in numbers_of("x86_64").items() if name in names.split()}


# Profiles of one's own

VALUES = [0, 1, 2, 0xFF, 0x7FFFFFFF, 0x80000000, WORD, 1 << 32, 0x123456789A, 1 << 63, (1 << 64) - 1]
# How an argument compares with value and valueTwo, from the text of the OCI runtime specification.
OPERATORS = {
    "NE": lambda argument, value, _two: argument != value,
    "LT": lambda argument, value, _two: argument < value,
    "LE": lambda argument, value, _two: argument <= value,
    "EQ": lambda argument, value, _two: argument == value,
    "GE": lambda argument, value, _two: argument >= value,
    "GT": lambda argument, value, _two: argument > value,
    "MASKED_EQ": lambda argument, value, two: argument & value == two,
}
ACTIONS = [
    ("SCMP_ACT_ALLOW", ALLOW),
    ("SCMP_ACT_ERRNO", 0x50005),
    ("SCMP_ACT_KILL_PROCESS", 0x80000000),
    ("SCMP_ACT_LOG", 0x7FFC0000),
    ("SCMP_ACT_TRAP", 0x30000),
]
LATER = [*seccomp_calls._LATER.values(), *seccomp_calls._OF_X86_64.values()]
NAMES = [line.split()[0] for line in calls.CALLS.splitlines() if line]
# libseccomp finds these on i386 behind socketcall(2) and ipc(2) as well.
BEHIND_OTHERS = [
    "accept",
    "accept4",
    "bind",
    "connect",
    "getpeername",
    "getsockname",
    "getsockopt",
    "listen",
    "recv",
    "recvfrom",
    "recvmmsg",
    "recvmsg",
    "send",
    "sendmmsg",
    "sendmsg",
    "sendto",
    "setsockopt",
    "shutdown",
    "socket",
    "socketpair",
    "msgctl",
    "msgget",
    "msgrcv",
    "msgsnd",
    "semctl",
    "semget",
    "semop",
    "semtimedop",
    "shmat",
    "shmctl",
    "shmdt",
    "shmget",
    "recvmmsg_time64",
    "semtimedop_time64",
]


def made_up(source: random.Random) -> tuple[str, dict[str, list[dict[str, Any]]]]:
    """A default action, and for each call one rule or several."""
    default_action = source.choice(ACTIONS[:2])[0]
    rules: dict[str, list[dict[str, Any]]] = {}
    for name in source.sample(sorted(set(NAMES) - {"execve", "write", *BEHIND_OTHERS, *LATER}), 100):
        action = source.choice([action for action, _value in ACTIONS if action != default_action])
        rules[name] = []
        for _turn in range(source.choice((1, 1, 1, 2, 3))):
            arguments = []
            for index in source.sample(range(6), source.choice((0, 1, 1, 2))):
                word = source.choice(sorted(OPERATORS))
                argument: dict[str, Any] = {"index": index, "value": source.choice(VALUES), "op": "SCMP_CMP_" + word}
                if word == "MASKED_EQ":
                    argument["valueTwo"] = source.choice(VALUES) & argument["value"]
                arguments.append(argument)
            rules[name].append({"action": action, "errnoRet": 5, "args": arguments} if action == "SCMP_ACT_ERRNO" else {"action": action, "args": arguments})
    return default_action, rules


def answer_of(rules: list[dict[str, Any]], default_action: str, arguments: list[int], width: int) -> int:
    """What the specification says to a call."""
    for rule in rules:
        words = [(OPERATORS[argument["op"][len("SCMP_CMP_") :]], argument) for argument in rule["args"]]
        if all(compare(arguments[argument["index"]], argument["value"] & width, argument.get("valueTwo", 0) & width) for compare, argument in words):
            return dict(ACTIONS)[rule["action"]]
    return dict(ACTIONS)[default_action]


def oracle_of(rules: dict[str, list[dict[str, Any]]], default_action: str, machine: str) -> Any:
    oracle = libseccomp.Filter(dict(ACTIONS)[default_action], WAYS[machine])
    for name, alternatives in rules.items():
        for rule in alternatives:
            comparisons = [(argument["index"], argument["op"][len("SCMP_CMP_") :], argument["value"], argument.get("valueTwo", 0)) for argument in rule["args"]]
            oracle.rule(dict(ACTIONS)[rule["action"]], name, comparisons)
    return oracle


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("machine", sorted(WAYS))
def test_a_profile_decides_as_the_specification_and_libseccomp_do(machine: str, seed: int) -> None:
    """libseccomp is asked about calls with one rule: of several ranges of one argument, 2.5 makes something else."""
    source = random.Random(seed)
    default_action, rules = made_up(source)
    start = {"names": ["execve", "write"], "action": "SCMP_ACT_ALLOW"}
    entries = [{"names": [name], **rule} for name, alternatives in rules.items() for rule in alternatives]
    everywhere = [name for name, way in profile.WAYS.items() if way in WAYS[machine]]
    parsed = profile.parse({"defaultAction": default_action, "defaultErrnoRet": 5, "architectures": everywhere, "syscalls": [start, *entries]}, [], machine)
    assert isinstance(parsed, dict)
    assert profile.parse(parsed, [], machine) == parsed
    program = bpf.instructions(filters.profile_program(parsed))
    oracle = oracle_of({name: alternatives for name, alternatives in rules.items() if len(alternatives) == 1}, default_action, machine)
    theirs = bpf.instructions(oracle.program())
    oracle.close()
    asked_of_both = 0
    for way in WAYS[machine]:
        width = WORD if way in filters._NARROW else (1 << 64) - 1
        for name, number in numbers_of(way).items():
            for _turn in range(12 if name in rules else 0):
                arguments = [source.choice(VALUES) & width for _turn in range(6)]
                answer = bpf.run(program, KERNEL[way], number, tuple(arguments))
                assert hex(answer) == hex(answer_of(rules[name], default_action, arguments, width)), (way, name, rules[name], arguments)
                if len(rules[name]) == 1:
                    assert hex(answer) == hex(bpf.run(theirs, KERNEL[way], number, tuple(arguments))), (way, name, rules[name], arguments)
                    asked_of_both += 1
    assert asked_of_both > 500


def own(*entries: dict[str, Any], machine: str = "x86_64", capabilities: Any = (), **more: Any) -> Any:
    """A parsed profile that allows what it does not name."""
    found = profile.parse({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": list(entries), **more}, list(capabilities), machine)
    assert isinstance(found, dict)
    return found


def test_a_profile_in_other_words_is_the_same() -> None:
    one = {"names": ["mount", "kill"], "action": "SCMP_ACT_ERRNO"}
    written_out = [{"names": ["kill"], "action": "SCMP_ACT_ERRNO", "errnoRet": 1, "args": []}, {"name": "mount", "errno": "EPERM", "action": "SCMP_ACT_ERRNO"}]
    assert own(one) == own(*written_out) == own(*reversed(written_out)) == own(one, one)
    assert own(one) != own({**one, "errnoRet": 2})


def test_a_rule_without_arguments_goes_before_others() -> None:
    argument = {"index": 0, "value": 1, "op": "SCMP_CMP_EQ"}
    kill = {"names": ["kill"], "action": "SCMP_ACT_KILL_PROCESS"}
    program = bpf.instructions(filters.profile_program(own({"names": ["kill"], "action": "SCMP_ACT_LOG", "args": [argument]}, kill)))
    assert ask(program, "x86_64", "kill", 1) == ask(program, "x86_64", "kill", 2) == 0x80000000


def test_an_argument_that_is_compared_twice_need_match_once() -> None:
    arguments = [{"index": 0, "value": value, "op": "SCMP_CMP_EQ"} for value in (1, 3)]
    program = bpf.instructions(filters.profile_program(own({"names": ["kill"], "action": "SCMP_ACT_ERRNO", "args": arguments})))
    assert [ask(program, "x86_64", "kill", value) for value in range(4)] == [ALLOW, EPERM, ALLOW, EPERM]


def test_newer_calls_do_not_exist_for_a_profile_that_is_older() -> None:
    asked = {"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [{"names": ["read", "write", "execve", "openat2"], "action": "SCMP_ACT_ALLOW"}]}
    program = bpf.instructions(filters.profile_program(profile.parse(asked, [], "x86_64")))
    answers = {name: ask(program, "x86_64", name) for name in ("read", "close", "clone3", "faccessat2", "cachestat")}
    assert answers == {"read": ALLOW, "close": EPERM, "clone3": EPERM, "faccessat2": ENOSYS, "cachestat": ENOSYS}
    assert bpf.run(program, KERNEL["x86_64"], 400) == ENOSYS


def test_only_the_architectures_that_are_named_go_through() -> None:
    program = bpf.instructions(filters.profile_program(own(architectures=["SCMP_ARCH_X86", "SCMP_ARCH_S390X"])))
    assert ask(program, "x86_64", "read") == ask(program, "i386", "read") == ALLOW
    assert ask(program, "x32", "read") == 0x80000000
    assert bpf.run(program, KERNEL["x86_64"], WORD) == ALLOW
    assert ask(bpf.instructions(filters.profile_program(own())), "i386", "read") == 0x80000000
    by_map = [{"architecture": "SCMP_ARCH_X86_64", "subArchitectures": ["SCMP_ARCH_X86", "SCMP_ARCH_X32"]}, {"architecture": "SCMP_ARCH_AARCH64"}]
    assert own(archMap=by_map)["architectures"] == ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"]
    assert own(archMap=by_map, machine="aarch64")["architectures"] == ["SCMP_ARCH_AARCH64"]


@pytest.mark.parametrize(
    ("conditions", "applies"),
    [
        ({}, True),
        ({"includes": {"caps": ["CAP_SYS_ADMIN"]}}, True),
        ({"includes": {"caps": ["CAP_SYS_ADMIN", "CAP_BPF"]}}, False),
        ({"excludes": {"caps": ["CAP_BPF", "CAP_SYS_ADMIN"]}}, False),
        ({"includes": {"arches": ["amd64", "x32"]}}, True),
        ({"includes": {"arches": ["arm64"]}}, False),
        ({"excludes": {"arches": ["s390x"]}}, True),
        ({"includes": {"minKernel": "4.8"}}, True),
        ({"includes": {"minKernel": "99.0"}}, False),
        ({"excludes": {"minKernel": "4.8"}}, False),
        ({"excludes": {"minKernel": "99.0"}, "includes": {}}, True),
    ],
)
def test_conditions_of_the_engines_form(conditions: dict[str, Any], applies: bool) -> None:
    found = own({"names": ["kill"], "action": "SCMP_ACT_ERRNO", "comment": "x", **conditions}, capabilities=["SYS_ADMIN"])
    assert bool(found["syscalls"]) is applies


def test_flags() -> None:
    assert profile.flags(own()) == 4
    assert profile.flags(own(flags=[])) == 0
    assert profile.flags(own(flags=["SECCOMP_FILTER_FLAG_LOG", "SECCOMP_FILTER_FLAG_TSYNC"])) == 2


GOOD = {"names": ["kill"], "action": "SCMP_ACT_ERRNO"}


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("strict", "none of default, unconfined"),
        ("profile.json", "absolute path"),
        ("/nowhere/profile.json", "/nowhere/profile.json cannot be read: No such file"),
        ("{", "is not JSON"),
        (True, "is a dictionary such as"),
        ([], "is a dictionary such as"),
        ({}, "there is no action None"),
        ({"defaultAction": "ALLOW"}, "there is no action 'ALLOW'"),
        ({"defaultAction": "SCMP_ACT_NOTIFY"}, "SCMP_ACT_NOTIFY is not supported"),
        ({"listenerPath": "/run/x"}, "listenerPath is not supported"),
        ({"defaultActoin": "SCMP_ACT_ALLOW"}, "no key 'defaultActoin'"),
        ({"syscalls": {}}, "syscalls is not a list"),
        ({"syscalls": ["kill"]}, "syscalls[0] is not a dictionary"),
        ({"syscalls": [GOOD, {**GOOD, "names": "kill"}]}, "syscalls[1].names is not a list"),
        ({"syscalls": [{**GOOD, "names": []}]}, "syscalls[0] names no call"),
        ({"syscalls": [{**GOOD, "errnoRet": 4096}]}, "errnoRet: 4096 is not a whole number of 0 to 4095"),
        ({"syscalls": [{**GOOD, "errnoRet": True}]}, "errnoRet: True"),
        ({"syscalls": [{**GOOD, "errno": "ENONE"}]}, "no errno called 'ENONE'"),
        ({"syscalls": [{**GOOD, "action": "SCMP_ACT_NOTIFY"}]}, "SCMP_ACT_NOTIFY is not supported"),
        ({"syscalls": [{**GOOD, "args": [{"index": 6, "value": 0, "op": "SCMP_CMP_EQ"}]}]}, "index: 6"),
        ({"syscalls": [{**GOOD, "args": [{"index": 0, "value": -1, "op": "SCMP_CMP_EQ"}]}]}, "value: -1"),
        ({"syscalls": [{**GOOD, "args": [{"index": 0, "value": 1, "op": "EQ"}]}]}, "no operator 'EQ'"),
        ({"syscalls": [{**GOOD, "includes": {"cap": []}}]}, "no key 'cap'"),
        ({"syscalls": [{**GOOD, "includes": {"minKernel": "new"}}]}, "'new' is not a version"),
        ({"flags": ["LOG"]}, "no flag 'LOG'"),
        ({"archMap": [{}], "architectures": ["SCMP_ARCH_X86"]}, "both architectures and archMap"),
        ({"syscalls": [{**GOOD, "names": ["execve"]}]}, "refuses execve"),
        ({"syscalls": [{**GOOD, "names": ["write"]}]}, "refuses write"),
        ({"defaultAction": "SCMP_ACT_ERRNO"}, "refuses execve"),
        ({"syscalls": [{**GOOD, "names": ["unshare", "unsahre"]}]}, "no system call 'unsahre'"),
    ],
)
def test_bad_profiles_are_refused(value: Any, words: str) -> None:
    if isinstance(value, dict) and value and "defaultAction" not in value:
        value = {"defaultAction": "SCMP_ACT_ALLOW", **value}
    with pytest.raises(InvalidInput) as refused:
        profile.parse(value, [], "x86_64")
    assert words in refused.value.problem
    assert refused.value.problem.startswith("seccomp: ")


def test_a_file_that_is_not_there_may_come() -> None:
    with pytest.raises(Missing):
        profile.parse("/nowhere/profile.json", [], "x86_64")


def test_the_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "profile.json"
    path.write_text('{"defaultAction": "x"}', encoding="utf-8")
    with pytest.raises(InvalidInput, match=str(path)):
        profile.parse(str(path), [], "x86_64")


def test_where_calls_are_not_known(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that worked without a filter still does; a profile of one's own is refused."""
    monkeypatch.setattr(filters, "_MACHINE", "riscv64")
    assert profile.parse(None, [], "riscv64") == "default"
    assert filters.of({"seccomp": "default", "capabilities": []}) is None
    assert "riscv64" in filters.why_not()
    with pytest.raises(InvalidInput, match="riscv64"):
        profile.parse({"defaultAction": "SCMP_ACT_ALLOW"}, [], "riscv64")


def test_a_kernel_without_filters(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(filters.seccomp, "is_available", lambda: False)
    monkeypatch.setattr(filters, "_MACHINE", "x86_64")
    assert "CONFIG_SECCOMP_FILTER" in filters.why_not()
    assert filters.of({"seccomp": "default", "capabilities": []}) is None


def test_what_is_made_once_is_used_again() -> None:
    one = {"seccomp": "default", "capabilities": ["KILL"]}
    assert filters.of(one) is filters.of(dict(one))
    assert filters.of({**one, "capabilities": []}) is not filters.of(one)
    assert filters.of({"capabilities": []}) is None
    assert filters.of({**one, "seccomp": "unconfined"}) is None


def test_a_configuration_of_before_there_were_filters() -> None:
    """It is no difference unless a profile of one's own is asked for."""
    assert profile.held({}, {"seccomp": "default"}) == "default"
    assert profile.held({}, {"seccomp": "unconfined"}) == "unconfined"
    assert profile.held({}, {"seccomp": {"defaultAction": "x"}}) == "unconfined"
    assert profile.held({"seccomp": "unconfined"}, {"seccomp": "default"}) == "unconfined"


def test_a_profile_that_is_too_long_is_refused() -> None:
    arguments = [[{"index": 0, "value": value << 33, "op": "SCMP_CMP_EQ"}] for value in range(3000)]
    long = {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{**GOOD, "args": each} for each in arguments]}
    with pytest.raises(InvalidInput, match="instructions, and the kernel takes 4096"):
        filters.profile_program(profile.parse(long, [], "x86_64"))
    short = profile.parse({**long, "syscalls": long["syscalls"][:900]}, [], "x86_64")
    program = bpf.instructions(filters.profile_program(short))
    assert ask(program, "x86_64", "kill", 5 << 33) == EPERM
    assert ask(program, "x86_64", "kill", 5) == ask(program, "x86_64", "read") == ALLOW


@pytest.mark.parametrize("way", sorted(KERNEL))
def test_a_disk_quota_refuses_what_takes_files_out_of_their_project_and_nothing_else(way: str) -> None:
    program = bpf.instructions(filters.program(guard._DECISIONS, guard._ALLOWED, MACHINE_OF[way]))
    numbers = numbers_of(way)
    for name in numbers:
        assert ask(program, way, name) == (EPERM if name == "file_setattr" else ALLOW), name
    for request in (0x401C5820, 0x40086602, 0x40046602):
        assert ask(program, way, "ioctl", 0, request) == EPERM
        if way not in filters._NARROW:  # the kernel looks at the lower half alone
            assert ask(program, way, "ioctl", 0, request | 5 << 32) == EPERM
    for request in (0x801C581F, 0x80086601, 0x5401):  # which only read them
        assert ask(program, way, "ioctl", 0, request) == ALLOW


def test_the_guard_is_for_containers_with_a_disk_quota_whatever_their_other_filter() -> None:
    if guard.why_not():
        pytest.skip(guard.why_not())
    for other in ("default", "unconfined"):
        assert guard.of({"seccomp": other, "disk_quota": {"block_hard": "1G"}}) is guard.of({"disk_quota": {"block_hard": 1}})
        assert guard.of({"seccomp": other, "disk_quota": None}) is None
    assert guard.of({}) is None
