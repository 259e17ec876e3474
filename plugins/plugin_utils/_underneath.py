# Copyright: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# This is private to the collection: it may change at any time without notice.

"""What a container's connection needs to get to the machine below it."""

from __future__ import annotations

import json

try:
    from ansible.template import trust_as_template
except ImportError:  # before ansible-core 2.19, every text is a template that is not marked

    def trust_as_template(value: str) -> str:
        """Return it as it is."""
        return value


# The connection hands these to the connection of the machine, with ansible_ in place of the prefix.
PREFIX = "ansible_bulkhead_node_"
_OURS = "ansible_bulkhead_"


def underneath(node: str, names: set[str], connection: str = "ssh") -> dict[str, str]:
    """Variables of a container's host that stand for those of its machine.

    Each is read from the machine's when a task needs it. So what is set later or kept in a vault
    holds here too, a template in it is about the machine, and no password is copied.
    connection: what the machine is reached by where its variables do not say it.
    """
    fallback = {"ansible_host": node, "ansible_connection": connection}
    found = {}
    for name in sorted({*names, *fallback}):
        if name.startswith("ansible_") and not name.startswith(_OURS) and name.isidentifier():
            words = "hostvars[%s][%s]" % (json.dumps(node), json.dumps(name))
            if name in fallback:
                words += " | default(%s)" % json.dumps(fallback[name])
            found[PREFIX + name[len("ansible_") :]] = trust_as_template("{{ %s }}" % words)
    return found
