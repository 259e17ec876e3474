# Copyright: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""The steps about bridges: made for the first container on one, gone with the last."""

from __future__ import annotations

import errno
import os

from ..errors import BulkheadError
from ..kernel import bridgeport, netdevice, netlink
from ..plan import Step
from . import addresses, state, wiring
from .paths import Paths

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ..kernel.netlink import Socket


def _remove_unused(door: Socket, name: str, marked: dict[str, str]) -> None:
    """Remove a bridge of ours that has no port."""
    link = netdevice.link(door, name)
    if link is None or not wiring.is_ours(link, marked) or bridgeport.ports(door, link.index):
        return
    answer = door.send([netdevice.delete(link.index)])[0]
    if answer.errno not in (0, errno.ENODEV):
        raise netlink.NetlinkError(answer, name)


class MakeBridge(Step):
    """Make a bridge of ours; each start would, but so it is told, and undone."""

    before = None

    def __init__(self, name: str, value: dict[str, Any], paths: Paths) -> None:
        self.name = name
        self.value = value
        self.paths = paths
        self.marks = addresses.marks(name, paths)
        self.target = "bridge %s" % value["bridge"]
        self.after = ", ".join(value["resolved"]["bridge_addresses"])

    def do(self) -> None:
        with wiring.locked(self.marks), netlink.Socket() as door:
            try:
                wiring.make_bridge(door, self.value, self.marks)
            except BaseException:
                _remove_unused(door, self.value["bridge"], self.marks)
                raise

    def undo(self) -> None:
        with wiring.locked(self.marks), netlink.Socket() as door:
            wiring.unplug(door, self.marks)
            if not addresses.is_used(self.value["bridge"], self.paths, self.name):
                _remove_unused(door, self.value["bridge"], self.marks)

    def explain(self, error: OSError) -> BulkheadError:
        words = getattr(error, "words", "")
        problem = "container %s: the bridge could not be made" % self.name
        return BulkheadError.from_os(problem, error, target=self.target, kernel=words)


class LeaveBridge(Step):
    """Take a container's interface away, and a bridge of ours with its last container; there is no
    way back, so it comes last.

    bridge: empty where it is not known; then: the network that the container is to have, which is
    empty where it goes.
    """

    bookkeeping = True
    after = None

    def __init__(self, name: str, bridge: str, then: dict[str, Any], paths: Paths) -> None:
        self.name = name
        self.paths = paths
        self.then = then
        self.marks = addresses.marks(name, paths)
        self.target = "bridge %s" % bridge if bridge else "interfaces of container %s" % name
        self.before = "container %s" % name

    def do(self) -> None:
        if not os.path.isdir(self.paths.states):
            return
        from . import shaping

        with wiring.locked(self.marks), netlink.Socket() as door:
            if not self.then:
                wiring.unplug(door, self.marks)
                shaping.sweep()
                self._note()
            for link in netdevice.links(door, "bridge"):
                if wiring.is_ours(link, self.marks) and not addresses.is_used(
                    link.name, self.paths
                ):
                    _remove_unused(door, link.name, self.marks)

    def _note(self) -> None:
        """Say beside the record that it has left, so that of two that leave at the same time the
        second one knows that it is the last."""
        path = "%s/%s" % (self.paths.state(self.name), state.LEFT)
        try:
            os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600))
        except FileNotFoundError:
            pass  # it has no record

    def undo(self) -> None:
        """What is removed stays so; the next start makes it again."""
