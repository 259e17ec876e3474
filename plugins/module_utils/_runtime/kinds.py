# Copyright: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Every kind of object that can be kept for the next boot, in the order in which a replay brings them back.

Each comes after what it may need: classes before the groups whose processes are put into them, groups before the quotas
and bandwidth of what runs in them, all of these before containers. Each is imported when it is used; Ansible puts what is
imported anywhere into a module's payload, inside functions too.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from .subject import Subject


def _resctrl_schema() -> type[Subject]:
    from .resctrl.subject import Schemata

    return Schemata


def _cgroup_group() -> type[Subject]:
    from .cgroup.subject import Groups

    return Groups


def _disk_quota() -> type[Subject]:
    from .quota.subject import Quotas

    return Quotas


def _tc_bandwidth() -> type[Subject]:
    from .tc.subject import Bandwidth

    return Bandwidth


def _container_run() -> type[Subject]:
    from .container.subject import Containers

    return Containers


KINDS: dict[str, Callable[[], type[Subject]]] = {
    "resctrl_schema": _resctrl_schema,
    "cgroup_group": _cgroup_group,
    "disk_quota": _disk_quota,
    "tc_bandwidth": _tc_bandwidth,
    "container_run": _container_run,
}
