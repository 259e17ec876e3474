# Copyright: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Network namespaces: how one is found, and how something is done inside without staying there.

setns(2) moves one thread. So whatever must happen inside another namespace happens in a thread made
for it, which ends with it: no failure can leave the process in the wrong namespace.
"""

from __future__ import annotations

import os
import threading

from . import syscalls

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import TypeVar

    T = TypeVar("T")

# Where ip-netns(8) keeps those that have a name.
NAMED = "/run/netns"


def path_of(name: str) -> str:
    """The file of a namespace: a name of ip-netns(8), a path, or the number of a process."""
    if name.isascii() and name.isdigit():
        return "/proc/%s/ns/net" % name
    return name if "/" in name else os.path.join(NAMED, name)


def open_network(name: str = "") -> int:
    """A descriptor of a network namespace, this process's own for no name; the caller closes it.

    It keeps the namespace alive, and means no other one when the name is given anew.
    """
    return os.open(path_of(name) if name else "/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC)


def same(one: int, other: int) -> bool:
    """Whether two descriptors are of one namespace."""
    return os.path.samestat(os.fstat(one), os.fstat(other))


def names() -> Iterator[str]:
    """The names of all that have one."""
    try:
        yield from sorted(os.listdir(NAMED))
    except FileNotFoundError:
        return


def inside(namespace: int, function: Callable[[], T]) -> T:
    """What the function answers in the network namespace behind a descriptor.

    It runs in a thread of its own, which is the only one that is moved.
    """
    results: list[T] = []
    errors: list[BaseException] = []

    def run() -> None:
        try:
            syscalls.setns(namespace, syscalls.CLONE_NEWNET)
            results.append(function())
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    if errors:
        raise errors[0]
    return results[0]
