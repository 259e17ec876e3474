# SPDX-FileCopyrightText: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""An error as text: sentences, each with one end."""

from __future__ import annotations

import errno

import pytest
from ansible_collections.bulkhead.linux.plugins.module_utils._runtime.errors import BulkheadError


@pytest.mark.parametrize(
    ("kernel", "hint", "expected"),
    [
        ("", "", "it ended; the kernel answered ENOMEM (Cannot allocate memory). Undoing the earlier steps failed for: a; b"),
        ("", "is memory.max too low?", "(Cannot allocate memory). Is memory.max too low? Undoing the earlier steps failed for: a; b"),
        ("no room.", "give it more", "its words: no room. Give it more. Undoing the earlier steps failed for: a; b"),
    ],
)
def test_each_sentence_ends_once(kernel: str, hint: str, expected: str) -> None:
    error = BulkheadError("it ended", errno=errno.ENOMEM, kernel=kernel, hint=hint)
    error.undo_failures = ["a", "b"]
    assert str(error).endswith(expected)


@pytest.mark.parametrize(
    ("hint", "begun"),
    [("give it more", "Give it more"), ("memory.max is too low", "memory.max is too low"), ("disk_quota enables them", "disk_quota enables them")],
)
def test_names_keep_their_spelling(hint: str, begun: str) -> None:
    assert str(BulkheadError("it failed", hint=hint)) == "it failed. " + begun
