# Copyright: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""What was asked for and what the kernel holds, by option."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .planning import QuotaPlan
    from .wanted import Quota


def report(quotas: list[Quota], last: QuotaPlan) -> list[dict[str, Any]]:
    """What modules return for each quota.

    last: the last plan made. After a run it has no steps, so what it wanted is what holds; in check
    mode it is what will.
    """
    return [last.found[quota.called] for quota in quotas]
