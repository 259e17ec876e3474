# SPDX-FileCopyrightText: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a table of kernel answers is made of: rows, each a few acts with the answer that a real kernel gave to them.

The tables are data that two sides read: the node, which does the acts (interpreter.py), and the controller, which makes
one test of each row. Text in acts is filled in with facts of the node by str.format(): "{full:x}" is its full mask.
"""

from __future__ import annotations

from typing import Any, NamedTuple


class Stale(NamedTuple):
    """The kernel's words after an act that does not clear them first: the older ones, and these behind them."""

    added: str = ""


UNCHANGED = Stale()


class Act(NamedTuple):
    """One thing done to the kernel, and its answer.

    errno: the name of the number, empty for success.
    words: what info/last_cmd_status says afterwards; None where that is not looked at.
    """

    verb: str
    args: tuple[Any, ...]
    errno: str = ""
    words: str | Stale | None = None


class Row(NamedTuple):
    """One fact about the kernel.

    name: a number that stays the same, with a letter where a fact has several cases.
    says: the fact in words.
    on: the kinds of node on which it is so, all of them when empty; each kind of node has a test of it.
    setting: what the node has to be set to (the mount options of resctrl).
    skip: why it is not tried.
    """

    name: str
    says: str
    acts: list[Act]
    on: tuple[str, ...] = ()
    setting: str = ""
    skip: str = ""


def chosen(rows: list[Row], kind: str) -> list[Row]:
    """The rows for one kind of node."""
    return [row for row in rows if not row.on or kind in row.on]


# The acts


def write(path: str, text: str, errno: str = "", words: str | Stale | None = None) -> Act:
    """One write(2) of the text."""
    return Act("write", (path, text), errno, words)


def write_as_nobody(path: str, text: str, errno: str = "", words: str | Stale | None = None) -> Act:
    """The same by an unprivileged user, through a descriptor that was opened as root."""
    return Act("write_as_nobody", (path, text), errno, words)


def write_back(path: str, words: str | Stale | None = None) -> Act:
    """Read the file, write what it said, and find it saying the same."""
    return Act("write_back", (path,), "", words)


def opened(path: str, errno: str) -> Act:
    """Open for writing."""
    return Act("opened", (path,), errno)


def mkdir(path: str, errno: str = "", words: str | Stale | None = None) -> Act:
    return Act("mkdir", (path,), errno, words)


def rmdir(path: str, errno: str = "", words: str | Stale | None = None) -> Act:
    return Act("rmdir", (path,), errno, words)


def rename(path: str, to: str, errno: str = "", words: str | Stale | None = None) -> Act:
    return Act("rename", (path, to), errno, words)


def mount(options: str, errno: str = "", words: str | Stale | None = None) -> Act:
    """Mount resctrl, where it is not mounted or once more where it is."""
    return Act("mount", (options,), errno, words)


def remount(options: str, errno: str = "") -> Act:
    return Act("remount", (options,), errno)


def unmount() -> Act:
    return Act("unmount", ())


def fill(path: str, count: str, errno: str, words: str | Stale | None = None) -> Act:
    """Make directories path1, path2, ...: `count` of them can be made, the next is answered as said."""
    return Act("fill", (path, count), errno, words)


def task(name: str, group: str = "") -> Act:
    """Start a process that sleeps; {name} is its number; with a group, write that to its tasks or cgroup.procs."""
    return Act("task", (name, group))


def gone(name: str) -> Act:
    """A number that no process has any more."""
    return Act("gone", (name,))


def thread(name: str, of: str, by: str) -> Act:
    """Let a thread of a process start another; {name} is its number. by: the process's name for its leader, or a thread's."""
    return Act("thread", (name, of, by))


def takes(name: str, mebibytes: int) -> Act:
    """Let a process touch that much memory."""
    return Act("takes", (name, mebibytes))


def kill(name: str) -> Act:
    """Send SIGKILL, and do not wait."""
    return Act("kill", (name,))


def lives(name: str) -> Act:
    """The process is there, also a little later."""
    return Act("lives", (name,))


def dies(name: str, signal: str = "SIGKILL") -> Act:
    """The process comes to end by the signal."""
    return Act("dies", (name, signal))


def cpu(number: str, online: bool) -> Act:
    """Take a CPU (or a list of them) away, or give it back."""
    return Act("cpu", (number, online))


# The looks


def holds(path: str, *lines: str) -> Act:
    """A schemata file has these values, compared as numbers: "L3:0=f"."""
    return Act("holds", (path, lines))


def lacks(path: str, *words: str) -> Act:
    """A file does not have these words in it."""
    return Act("lacks", (path, words))


def reads(path: str, text: str) -> Act:
    """A file says just this, but for the newline at its end."""
    return Act("reads", (path, text))


def matches(path: str, pattern: str) -> Act:
    """The whole of what a file says matches the regular expression."""
    return Act("matches", (path, pattern))


def comes_to(path: str, pattern: str) -> Act:
    """The same, if not at once, then within some seconds."""
    return Act("comes_to", (path, pattern))


def has(path: str, *names: str) -> Act:
    """A file of lines has these."""
    return Act("has", (path, names))


def has_not(path: str, *names: str) -> Act:
    """A file of lines does not have these."""
    return Act("has_not", (path, names))


def covers(path: str, numbers: str) -> Act:
    """A file with a list of CPUs has all of these."""
    return Act("covers", (path, numbers))


def spares(path: str, numbers: str) -> Act:
    """A file with a list of CPUs has none of these."""
    return Act("spares", (path, numbers))


def there(*paths: str) -> Act:
    return Act("there", paths)


def not_there(*paths: str) -> Act:
    return Act("not_there", paths)


def rounds(path: str, form: str, values: str, kept: str) -> Act:
    """Write each value of range(*values) in the form, and read back what the expression over v says."""
    return Act("rounds", (path, form, values, kept))
