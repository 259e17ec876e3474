# Copyright: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""What the kernel can do, tried where it touches nothing: in a network namespace that only this asks.

The namespace goes with the thread that made it.
"""

from __future__ import annotations

import threading

from ..kernel import netlink, syscalls, traffic

_LOOPBACK = 1
_known: dict[str, bool] = {}


def has_qdisc(kind: str) -> bool:
    """Whether the kernel has a queueing discipline; one that is a module is loaded by this."""
    if kind not in _known:
        thread = threading.Thread(target=_try, args=(kind,))
        thread.start()
        thread.join()
    return _known.get(kind, False)


def _try(kind: str) -> None:
    syscalls.unshare(syscalls.CLONE_NEWNET)
    with netlink.Socket() as door:
        message = traffic.add_qdisc(_LOOPBACK, traffic.ROOT, 0x10000, kind)
        _known[kind] = not door.send([message])[0].errno


def leaf_kind() -> str:
    """The best queue for a class: one that is fair among flows and keeps waiting short, or a plain one."""
    return "fq_codel" if has_qdisc("fq_codel") else "pfifo"
