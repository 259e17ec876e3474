# SPDX-FileCopyrightText: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Directories as a command in a container means them: what Python's own expansion makes of them with the same variables."""

from __future__ import annotations

import os

import pytest
from ansible_collections.bulkhead.linux.plugins.module_utils._runtime.container import process
from ansible_collections.bulkhead.linux.plugins.module_utils._runtime.errors import BulkheadError

ENV = {"HOME": "/home/it", "A": "usr", "A_1": "bin", "EMPTY": ""}


@pytest.mark.parametrize(
    "asked",
    [
        *("/a", "a/b", "./..", "~", "~/x", "a~", "~root", "~root/x", "$A/x", "/$A_1", "${A}_1", "${A", "$", "$$A"),
        *("$NONE/x", "${NONE}", "${}", "~$EMPTY", "a$A$A", "/ä$A"),
    ],
)
def test_as_python_has_it(asked: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in os.environ:
        monkeypatch.delenv(name)
    for name, value in ENV.items():
        monkeypatch.setenv(name, value)
    expected = os.path.join("/base", os.path.expanduser(os.path.expandvars(asked)))
    assert process.directory(asked, "/base", ENV, process.User(0, 0, [], "/nowhere")) == expected


def test_home_of_nobody() -> None:
    with pytest.raises(BulkheadError, match="knows no user 'no-such-user'"):
        process.directory("~no-such-user", "/", ENV, process.User(0, 0, [], "/"))
    assert process.directory("~/x", "/", {}, process.User(0, 0, [], "/home/of")) == "/home/of/x"
