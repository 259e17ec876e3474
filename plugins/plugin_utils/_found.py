# Copyright: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# This is private to the collection: it may change at any time without notice.

"""What a machine says of its containers, as hosts.

A machine may be another's by the time it is asked, and whoever makes a container there chooses its
name and its labels. So nothing of an answer is taken as it is: what is no name of a container is
left out, and all text stays text, whatever braces are in it.
"""

from __future__ import annotations

import re
import typing as t

from ansible.utils.unsafe_proxy import wrap_var

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.\-]{0,63}")
STATUSES = ("running", "paused", "stopped", "restarting", "creating")
ALL = "bulkhead_containers"
# The groups that containers are in whatever is configured.
GROUPS = (ALL, *("%s_%s" % (ALL, status) for status in STATUSES))


class Found(t.NamedTuple):
    """One container: on which machine it is, and what is told of it."""

    node: str
    name: str
    status: str
    labels: dict[str, str]
    addresses: list[str]
    health: str

    @property
    def host(self) -> str:
        """Its name as a host. No name of a container holds an @, so that two are never the same."""
        return "%s@%s" % (self.name, self.node)

    @property
    def groups(self) -> tuple[str, str]:
        """The groups that it is in whatever is configured."""
        return ALL, "%s_%s" % (ALL, self.status)

    def variables(self) -> dict[str, t.Any]:
        """What its host has as variables."""
        return {
            "ansible_connection": "bulkhead.linux.container",
            "bulkhead_node": self.node,
            "bulkhead_container": self.name,
            "ansible_bulkhead_container": self.name,
            "bulkhead_status": self.status,
            "bulkhead_labels": wrap_var(self.labels),
            "bulkhead_addresses": wrap_var(self.addresses),
            "bulkhead_health": self.health,
        }


def read(node: str, answer: object) -> tuple[list[Found], list[str]]:
    """The containers in an answer of container_info, and what is wrong with others."""
    found, wrong = [], []
    told = answer if isinstance(answer, list) else []
    for one in told:
        name = one.get("name") if isinstance(one, dict) else None
        if not isinstance(name, str) or not NAME.fullmatch(name):
            wrong.append("%s names a container %r, which is no name" % (node, name))
        elif one.get("status") in STATUSES:
            found.append(_container(node, str(name), one))
        elif one.get("status") != "absent":
            wrong.append("%s calls container %s %r" % (node, name, one.get("status")))
    return found, wrong


def _container(node: str, name: str, told: dict[str, t.Any]) -> Found:
    labels = told.get("labels")
    network = told.get("network")
    health = told.get("health")
    addresses = network.get("addresses") if isinstance(network, dict) else None
    status = health.get("status") if isinstance(health, dict) else None
    return Found(
        node,
        name,
        str(told["status"]),
        _texts(labels),
        [str(each) for each in addresses] if isinstance(addresses, list) else [],
        status if status in ("starting", "healthy", "unhealthy") else "",
    )


def _texts(labels: object) -> dict[str, str]:
    pairs = labels.items() if isinstance(labels, dict) else ()
    return {str(name): str(text) for name, text in pairs}


def kept(answer: object) -> list[dict[str, t.Any]]:
    """Of an answer, what a cache need hold: no variable of a machine is in it."""
    told = answer if isinstance(answer, list) else []
    keys = ("name", "status", "labels", "network", "health")
    return [{key: one[key] for key in keys if key in one} for one in told if isinstance(one, dict)]
