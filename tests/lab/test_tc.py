# SPDX-FileCopyrightText: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Limits of bandwidth with what the machine's own kernel may lack, by mode of control groups."""

from __future__ import annotations

import pytest
from nodes import plays

INSIDE = "tests/lab/inside/test_tc"
QUESTIONS = "'control_group or net_cls'"


def test_tc(node):
    plays.pytest(node("intel", "v2"), INSIDE + ".py")


@pytest.mark.turns("targets on v1 and hybrid")
def test_net_cls(node):
    """Where only v1 is mounted, control groups are matched in another way, and measured again."""
    plays.pytest(node("intel", "v1"), INSIDE + "_net_cls.py", INSIDE + ".py", "-k", QUESTIONS)
