# SPDX-FileCopyrightText: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is shown instead of what nobody may read."""

from __future__ import annotations

from ansible_collections.bulkhead.linux.plugins.module_utils._runtime import hidden


def test_the_values_of_variables_are_hidden_wherever_they_stand() -> None:
    value = {"containers": [{"name": "web", "env": {"A": "x"}}, {"env": "A=x"}, {"env": None}], "stdin": "x", "command": ["x"]}
    shown = hidden.hide(value)
    assert shown == {
        "containers": [{"name": "web", "env": {"A": hidden.HIDDEN}}, {"env": hidden.HIDDEN}, {"env": None}],
        "stdin": hidden.HIDDEN,
        "command": ["x"],
    }
    assert value["containers"][0]["env"] == {"A": "x"}, "what it was made from is as it was"


def test_of_two_states_the_names_tell_what_changes() -> None:
    before, after = {"env": {"A": "1", "B": "2", "C": "3"}, "cwd": "/"}, {"env": {"A": "1", "B": "x", "D": "4"}, "cwd": "/srv"}
    assert hidden.pair(before, after) == ({"env": ["A", "B", "C"], "cwd": "/"}, {"env": ["A", "B (changed)", "D (added)", "C (removed)"], "cwd": "/srv"})
    assert hidden.pair(None, after) == (None, {"env": ["A", "B", "D"], "cwd": "/srv"})
    assert hidden.pair(before, None) == ({"env": ["A", "B", "C"], "cwd": "/"}, None)
    assert hidden.pair({}, {"env": {"A": "1"}}) == ({}, {"env": ["A"]})
