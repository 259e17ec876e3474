# Copyright: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Files and directories of a control group hierarchy by their whole paths, without anything that must be loaded first."""

from __future__ import annotations

import errno
import os

from . import syscalls

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

_SIGKILL = 9
_CHILD = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def read(path: str, directory: int | None = None) -> str:
    """Return the text of an interface file; of a long one, as much as the kernel gives at once.

    directory: a descriptor that a relative path is below.
    """
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC, dir_fd=directory)
    try:
        return os.read(fd, 65536).decode("ascii", "replace")
    finally:
        os.close(fd)


def write(path: str, text: str, directory: int | None = None) -> None:
    """Write a value by one write(2). OSError names the path."""
    fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC, dir_fd=directory)
    try:
        os.write(fd, text.encode())
    except OSError as error:
        error.filename = path
        raise
    finally:
        os.close(fd)


def walk(top: str, leaves_first: bool = False) -> Iterator[int]:
    """Yield a descriptor of a group and of each group below it, valid until the next one is asked for.

    leaves_first: each group after those inside of it, and not before them.

    Whoever made them may have nested them deeper than a path can name, so this goes down and up one directory at a time.
    """
    try:
        at = os.open(top, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    try:
        if not leaves_first:
            yield at
        waiting = [_directories(at)]  # of each level, what is still to be visited
        while waiting:
            if not waiting[-1]:
                if leaves_first:
                    yield at
                waiting.pop()
                at = _up(at) if waiting else at
                continue
            try:
                inner = os.open(waiting[-1].pop(), _CHILD, dir_fd=at)
            except FileNotFoundError:
                continue  # it was removed meanwhile
            os.close(at)
            at = inner
            if not leaves_first:
                yield at
            waiting.append(_directories(at))
    except FileNotFoundError:
        return  # the group itself was removed meanwhile
    finally:
        os.close(at)


def processes_of(group: int) -> list[int]:
    """Return the processes of a group; of a threaded one, which lists no processes, the threads."""
    for file in ("cgroup.procs", "cgroup.threads"):
        try:
            return [int(pid) for pid in read(file, group).split()]
        except OSError as error:
            if error.errno != errno.EOPNOTSUPP:
                break
    return []  # it was removed meanwhile


def kill(top: str) -> bool:
    """Send SIGKILL to each process in a group and below it; return whether there was any."""
    found = False
    for group in walk(top):
        for pid in processes_of(group):
            try:
                pidfd = syscalls.pidfd_open(pid)
            except OSError:
                continue  # it is gone, or has no number here
            try:
                # The number may be another process's by now: a descriptor of one that is still inside cannot be.
                if pid in processes_of(group):
                    syscalls.pidfd_send_signal(pidfd, _SIGKILL)
                    found = True
            except ProcessLookupError:
                pass
            finally:
                os.close(pidfd)
    return found


def remove_tree(parent: str, name: str) -> None:
    """Remove a group with all groups below it, however deep; nothing to do where it is not there.

    Raises OSError EBUSY where a group holds a process.
    """
    at = os.open(parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    names = [name]  # the way down from `parent` to what is to be removed next
    try:
        while names:
            try:
                inner = os.open(names[-1], _CHILD, dir_fd=at)
            except FileNotFoundError:
                children = []
            else:
                children = _directories(inner)
                if children:
                    os.close(at)
                    at = inner
                    names.append(children[0])
                    continue
                os.close(inner)
                os.rmdir(names[-1], dir_fd=at)
            names.pop()
            if names:
                at = _up(at)
    finally:
        os.close(at)


def _up(directory: int) -> int:
    """Return the directory above in exchange for this one."""
    above = os.open("..", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=directory)
    os.close(directory)
    return above


def _directories(directory: int) -> list[str]:
    """Return the names of the groups right below one."""
    with os.scandir(directory) as entries:
        return [entry.name for entry in entries if entry.is_dir(follow_symlinks=False)]
