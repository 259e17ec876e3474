# SPDX-FileCopyrightText: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Single values: what YAML has made of them is taken where it is certain what was written, and
refused where it is not.
"""

from __future__ import annotations

import os

import pytest
from ansible_collections.bulkhead.linux.plugins.module_utils._runtime import errors
from ansible_collections.bulkhead.linux.plugins.module_utils._runtime.container import config, words
from ansible_collections.bulkhead.linux.plugins.module_utils._runtime.errors import (
    BulkheadError,
    InvalidInput,
)


def parsed(**options):
    return config.parse({"name": "web", "command": ["true"], **options}, "/logs")


@pytest.mark.parametrize("mask", [0o0, 0o2, 0o7, 0o22, 0o27, 0o37, 0o77])
def test_masks_without_quotes(mask):
    """Written with the zero that makes YAML read it in octal."""
    assert parsed(umask=mask)["umask"] == mask


@pytest.mark.parametrize(
    "mode", [0o400, 0o440, 0o600, 0o622, 0o640, 0o644, 0o660, 0o664, 0o666, 0o777]
)
def test_modes_without_quotes(mode):
    assert words.octal(mode, "mode", words.is_usual_mode) == mode


@pytest.mark.parametrize(
    ("value", "mode"),
    [("27", 0o27), ("027", 0o27), ("0o27", 0o27), ("0660", 0o660), ("7777", 0o7777)],
)
def test_modes_in_quotes(value, mode):
    assert words.octal(value, "mode", words.is_usual_mode) == mode


@pytest.mark.parametrize(
    "value", [22, 27, 66, 77, 10, 640, -1, 4096, 18.0, True, None, "", "8", "0x1f", "12345", [7]]
)
def test_masks_are_refused(value):
    with pytest.raises(InvalidInput) as refused:
        words.octal(value, "umask", words.is_usual_mask)
    if isinstance(value, int) and not isinstance(value, bool):
        assert "quotes" in refused.value.hint


@pytest.mark.parametrize("value", [400, 440, 444, 600, 640, 644, 660, 666, 777, 0o1777])
def test_modes_without_their_zero_are_refused(value):
    with pytest.raises(InvalidInput, match="quotes"):
        words.octal(value, "mode", words.is_usual_mode)


def test_octal_says_both_readings():
    with pytest.raises(
        InvalidInput,
        match=r"umask: it arrived as the number 22, and whether 22 or 026 was meant cannot",
    ):
        parsed(umask=22)


@pytest.mark.parametrize(
    ("value", "number"),
    [
        ("RTMIN", 34),
        ("SIGRTMIN", 34),
        ("SIGRTMIN+3", 37),
        ("rtmin+3", 37),
        ("RTMAX-2", 62),
        ("RTMAX", 64),
        ("37", 37),
        (37, 37),
        ("SIGCHLD", 17),
        ("cld", 17),
    ],
)
def test_signals(value, number):
    assert words.parse_signal(value) == number
    assert words.parse_signal(words.signal_name(number)) == number


@pytest.mark.parametrize(
    "value",
    [
        "RTMIN+31",
        "RTMIN-1",
        "RTMAX+1",
        "RTMIN+",
        "RTMIN+x",
        "SIG15",
        "65",
        "0",
        0,
        True,
        None,
        1.5,
        "\u0661",
        "9" * 5000,
    ],
)
def test_signals_are_refused(value):
    with pytest.raises(InvalidInput):
        words.parse_signal(value)


@pytest.mark.parametrize(
    ("value", "user"),
    [("root", "0"), ("root:root", "0:0"), (0, "0"), ("007", "7"), ("www-data:033", "www-data:33")],
)
def test_users(value, user):
    assert words.parse_user(value) == user


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"command": {"a": 1}}, "command: it is a dictionary"),
        (
            {"command": ["echo", True, None]},
            "command: word 2: it is the boolean true, as YAML reads yes",
        ),
        ({"command": ["echo", None]}, "command: word 2: it is nothing, as YAML reads null"),
        ({"command": ["sleep", float("nan")]}, "command: word 2: it is a number with a fraction"),
        ({"env": {"V": 1.10}}, "env: the value of V: it is a number with a fraction"),
        ({"env": {"V": None}}, "env: the value of V: it is nothing"),
        ({"env": {"A\nB": "x"}}, r"env: 'A\\nB' cannot be the name of a variable"),
        ({"env": {"V": {"a": 1}}}, "env: the value of V: it is a dictionary"),
        ({"groups": [99999999999]}, "groups: the id 99999999999 is larger"),
        ({"groups": ["a:b"]}, "groups: 'a:b' is neither a number nor a name"),
        ({"stop_timeout": -1}, "stop_timeout: -1 is not within 0 to 86400"),
        ({"stop_timeout": "soon"}, "stop_timeout: 'soon' is not a whole number"),
        (
            {"devices": [{"path": "/dev/x", "type": "c", "major": -1, "minor": 0}]},
            "devices: major: -1 is not within 0 to 4095",
        ),
        (
            {"devices": [{"path": "/dev/x", "type": "c", "major": 1, "minor": 3}] * 2},
            "devices: /dev/x is asked for twice",
        ),
        (
            {"sysctls": {"kernel.sem": True}},
            "sysctls: the value of kernel.sem: it is the boolean true",
        ),
        ({"volumes": "/etc:/a"}, "volumes: it is text, and not a list"),
        (
            {"capabilities": {"add": ["NONE_SUCH"]}},
            "capabilities.add: there is no capability called 'NONE_SUCH'",
        ),
        (
            {
                "mounts": [
                    {"source": "/etc", "destination": "/a", "options": ["noatime", "strictatime"]}
                ]
            },
            "noatime and strictatime exclude each other",
        ),
        ({"tmpfs": {"/t": 5.5}}, "tmpfs: /t: it is a number with a fraction"),
        ({"cwd": "/a\0b"}, "cwd holds a zero byte"),
        ({"restart_policy": ["no"]}, "restart_policy: it is a list"),
    ],
)
def test_what_is_told(options, told):
    with pytest.raises(InvalidInput, match=told):
        parsed(**options)


def test_whole_numbers_are_text_where_text_is_meant():
    found = parsed(command=["sleep", 10], env={"PORT": 8080})
    assert (found["command"], found["env"]) == (["sleep", "10"], {"PORT": "8080"})


def test_files_that_no_process_can_have_open(monkeypatch):
    monkeypatch.setattr(config, "_most_open_files", lambda: 1000)
    assert parsed(rlimits={"nofile": 1000, "nproc": "max"})["rlimits"] == {
        "nofile": [1000, 1000],
        "nproc": [-1, -1],
    }
    for value in ("max", 1001, {"soft": 1, "hard": "unlimited"}, -1):
        with pytest.raises(
            InvalidInput,
            match=r"rlimits.nofile: .*the most is 1000|rlimits.nofile: .*[Tt]he most is 1000",
        ):
            parsed(rlimits={"nofile": value})


# Every module


def test_no_zero_byte_gets_further_than_the_door():
    for value in (
        {"name": "a\0b"},
        {"groups": [{"name": "x", "files": {"a": "\0"}}]},
        {"env": {"\0": "x"}},
        {"a": ["\ud800"]},
    ):
        with pytest.raises(InvalidInput, match=r"zero byte|no text in UTF-8"):
            errors.check_texts(value)
    errors.check_texts({"a": ["text", 1, None, {"b": True}]})
    with pytest.raises(InvalidInput) as refused:
        errors.check_texts({"env": {"TOKEN": "s3cret\0"}})
    assert "s3cret" not in str(refused.value) and "env.TOKEN" in str(refused.value)


def test_who_forgot_to_become_root_is_told_so(monkeypatch):
    denied = PermissionError(13, "Permission denied", "/run/bulkhead/containers")
    assert errors.without_root(denied) is None, "root was refused for another reason"
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    told = str(errors.without_root(denied))
    assert "this needs root, and it ran as user 1000" in told and "become: true" in told
    assert errors.without_root(BulkheadError("x", errno=1)) is not None
    assert errors.without_root(FileNotFoundError(2, "x")) is None


def test_fractions_in_a_command_are_numbers():
    assert config.parse_command(["sleep", 0.5, 3]) == ["sleep", "0.5", "3"]
