# Copyright: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Steps for a subvolume that steps before them make, so that its id is not known when they are
planned, and for one that steps before them remove.
"""

from __future__ import annotations

import contextlib
import errno

from ..kernel import btrfs
from ..plan import Step, apply, undo
from .observation import Observation
from .planning import plan_quotas
from .steps import OnBtrfs

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .observation import TopLevel
    from .wanted import Quota


class LimitLater(Step):
    """Limit a subvolume that was made by then."""

    before = None

    def __init__(self, quota: Quota) -> None:
        self.quota = quota
        self.quota.sealed = True
        self.target = "%s: quota group" % quota.path
        self.after = "limit %d" % quota.limits["block_hard"]
        self._done: list[Step] = []

    def do(self) -> None:
        seen = Observation()
        try:
            plan = plan_quotas(seen, [self.quota])
            apply(plan)
        finally:
            seen.close()
        self._done = plan.steps

    def undo(self) -> None:
        try:
            undo(self._done)
        finally:
            for step in self._done:
                if isinstance(step, OnBtrfs):
                    step.top.close()  # which was opened anew


class DropGroup(OnBtrfs):
    """Remove the quota group that a removed subvolume leaves on kernels before 6.12.

    Later ones remove it with the last of its data, and refuse to do so before (EBUSY;
    can_delete_qgroup(), fs/btrfs/qgroup.c).
    """

    bookkeeping = True
    before, after = "quota group", None

    def __init__(self, top: TopLevel, what: str, group: int) -> None:
        super().__init__(top, "%s: quota group %s" % (what, btrfs.spell(group)))
        self.group = group

    def do(self) -> None:
        try:
            btrfs.remove(self.top.fd, self.group)
        except OSError as error:
            if error.errno not in (errno.EBUSY, errno.ENOENT, errno.ENOTCONN):
                raise

    def undo(self) -> None:
        """It was that of a subvolume that is gone."""
        with contextlib.suppress(OSError):
            btrfs.create(self.top.fd, self.group)
