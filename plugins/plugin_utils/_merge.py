# Copyright: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# This is private to the collection: it may change at any time without notice.

"""Hosts and groups that were made beside the inventory are put into it."""

from __future__ import annotations

import typing as t

_GENERAL = ("all", "ungrouped")


def is_taken(inventory: t.Any, name: str) -> bool:
    """Whether a name means hosts that are no containers: as their group, or as one of them.

    A pattern that names both a group and a host means the group.
    """
    group = inventory.groups.get(name)
    hosts = [] if name in _GENERAL or group is None else group.get_hosts()
    return name in inventory.hosts or any("bulkhead_container" not in host.vars for host in hosts)


def put(made: t.Any, inventory: t.Any) -> None:
    """Add what was made: its groups, its hosts with their variables, and who belongs to whom."""
    groups = [group for group in made.groups.values() if group.name not in _GENERAL]
    for group in groups:
        inventory.add_group(group.name)
    for host in made.hosts.values():
        inventory.add_host(host.name)
        for name, value in host.vars.items():
            inventory.set_variable(host.name, name, value)
    for group in groups:
        for child in (*group.child_groups, *group.hosts):
            inventory.add_child(group.name, child.name)
