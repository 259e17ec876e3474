# SPDX-FileCopyrightText: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is waited for, what is returned of an output, checks of health and files of variables, as far as they are parsed."""

from __future__ import annotations

import pytest
from ansible_collections.bulkhead.linux.plugins.module_utils._runtime.container import config, envfile, health, streams, waiting
from ansible_collections.bulkhead.linux.plugins.module_utils._runtime.container.paths import Paths
from ansible_collections.bulkhead.linux.plugins.module_utils._runtime.container.territory import Territory
from ansible_collections.bulkhead.linux.plugins.module_utils._runtime.errors import InvalidInput


def test_defaults():
    asked = waiting.Waiting({})
    assert (asked.settle, asked.timeout, asked.max_output, asked.healthy) == (1.0, None, 65536, False)
    assert waiting.Waiting({"state": "healthy"}).timeout == 60


@pytest.mark.parametrize(
    "options",
    [
        {"settle": -1},
        {"settle": "soon"},
        {"settle": True},
        {"wait_timeout": 0},
        {"wait_timeout": "inf"},
        {"wait_timeout": "nan"},
        {"max_output": "1T"},
    ],
)
def test_times_that_cannot_be(options):
    with pytest.raises(InvalidInput, match=next(iter(options))):
        waiting.Waiting(options)


@pytest.mark.parametrize(
    ("text", "most", "kept", "truncated"),
    [("abc", 3, "abc", False), ("abcd", 3, "bcd", True), ("", 0, "", False), ("a", 0, "", True), ("\u00e4b", 2, "\ufffdb", True)],
)
def test_end_of_a_text(text, most, kept, truncated):
    assert waiting.last_of(text, most) == (kept, truncated)


@pytest.mark.parametrize("most", [0, 1, 10, 100000])
def test_end_of_a_stream(most):
    tail = streams.Tail(most)
    whole = b""
    for number in range(50):
        piece = bytes([number]) * 5000
        tail.add(piece)
        whole += piece
    assert tail.bytes() == (whole[-most:] if most else b"") and tail.truncated


def test_health_check():
    found = health.parse({"command": "curl -f http://localhost", "retries": 5}, config.parse_command)
    assert found == {"command": ["curl", "-f", "http://localhost"], "interval": 30.0, "timeout": 30.0, "start_period": 0.0, "retries": 5}


@pytest.mark.parametrize(
    ("command", "words"), [(["CMD", "true"], ["true"]), (["CMD-SHELL", "a && b"], ["/bin/sh", "-c", "a && b"]), (["NONE"], None), (["true"], ["true"])]
)
def test_health_check_as_docker_spells_it(command, words):
    found = health.parse({"command": command}, config.parse_command)
    assert (found and found["command"]) == words


@pytest.mark.parametrize("check", [{"interval": 1}, {"command": "x", "retries": 0}, {"command": "x", "timeout": 0}, {"command": {"a": 1}}, "true"])
def test_health_check_that_cannot_be(check):
    with pytest.raises(InvalidInput, match="healthcheck"):
        health.parse(check, config.parse_command)


def test_variables_of_a_file():
    text = "# comment\n\n  A=1\nB= two words \nC='quoted'\nD=a=b\nALONE\nE=\n"
    assert envfile.variables(text, "x") == {"A": "1", "B": " two words ", "C": "'quoted'", "D": "a=b", "E": ""}


@pytest.mark.parametrize("line", ["=x", "A B=x", "A\x01=x"])
def test_lines_that_are_refused_are_not_quoted(line):
    with pytest.raises(InvalidInput, match="line 2") as refused:
        envfile.variables("A=1\n%s\n" % line, "env_file: x")
    assert line not in str(refused.value)


@pytest.mark.parametrize("content", [b"\xff=1", b"A=\0"])
def test_files_that_are_no_text(tmp_path, content):
    (tmp_path / "env").write_bytes(content)
    with pytest.raises(InvalidInput, match="env_file"):
        envfile.read([str(tmp_path / "env")], {"name": "x"}, Territory(Paths(str(tmp_path))))


def test_files_in_their_order(tmp_path):
    (tmp_path / "one").write_text("A=1\nB=1\n", encoding="utf-8")
    (tmp_path / "two").write_text("B=2\n", encoding="utf-8")
    files = envfile.paths([str(tmp_path / "one"), str(tmp_path / "two")])
    assert envfile.read(files, {"name": "x"}, Territory(Paths(str(tmp_path)))) == {"A": "1", "B": "2"}
