# SPDX-FileCopyrightText: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Limits of bandwidth with what the machine's own kernel may lack, by mode of control groups."""

from __future__ import annotations

from nodes import plays


def test_tc(node):
    plays.pytest(node("intel", "v2"), "tests/lab/inside/test_tc.py")
