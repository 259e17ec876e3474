# Copyright: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Where the containers of a node keep what: the only place that knows these directories.

BULKHEAD_PREFIX in the environment puts all of them below another directory, so that tests touch nothing else.
"""

from __future__ import annotations

import os

from .. import corefile


class Paths:
    """The directories of this node."""

    def __init__(self, prefix: str | None = None) -> None:
        self.prefix = (os.environ.get("BULKHEAD_PREFIX", "") if prefix is None else prefix).rstrip("/")
        self.run = self.prefix + "/run/bulkhead"
        self.lib = self.prefix + "/var/lib/bulkhead"
        self.log = self.prefix + "/var/log/bulkhead"
        self.core = corefile.PATH if prefix is None else self.prefix + "/usr/local/libexec/bulkhead.pyz"

    @property
    def states(self) -> str:
        """One directory for each container, with its state.json."""
        return self.run + "/containers"

    @property
    def locks(self) -> str:
        return self.run + "/locks"

    @property
    def bases(self) -> str:
        """What containers with the machine's own root share, one directory for each content."""
        return self.lib + "/base"

    @property
    def unit_specs(self) -> tuple[str, str]:
        """What says what the containers are that systemd starts: at every boot, and in this one."""
        return self.lib + "/units", self.run + "/units"

    def state(self, name: str) -> str:
        return self.states + "/" + name

    def own(self, name: str) -> str:
        """A container's own files."""
        return self.lib + "/containers/" + name

    def aside(self, name: str) -> str:
        """Return where a container's own files wait until those of a new one have proved themselves."""
        return self.lib + "/aside/" + name

    def make(self) -> None:
        """Make the directories that are always there, for root alone."""
        for path in (self.states, self.locks, self.lib + "/containers", self.lib + "/aside", self.bases):
            os.makedirs(path, mode=0o700, exist_ok=True)
        for path in (self.run, self.lib):
            os.chmod(path, 0o700)
