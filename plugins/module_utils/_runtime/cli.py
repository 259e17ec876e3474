# Copyright: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""The node's command, `bulkhead`: the way into the packed core."""

from __future__ import annotations


def main(arguments: list[str]) -> int:
    """Run one verb; what a verb needs is imported only for it."""
    if len(arguments) == 2 and arguments[0] == "helper":
        from .container import helper

        return helper.main(int(arguments[1]))
    import sys

    sys.stderr.write("usage: bulkhead VERB ...\n")
    return 2
