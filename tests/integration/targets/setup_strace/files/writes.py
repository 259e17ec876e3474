# SPDX-FileCopyrightText: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Finds in a trace of `strace -f -y` what a module has changed: writes.py TRACE MODULE

Says how often the module was seen to run, and quotes each line that is a write. Fails when there is one, and when the
trace does not show a whole run of the module, so that it cannot pass on nothing. The trace is read once: it is removed.

A write is: opening a file beneath a watched directory for writing, or creating, removing, renaming or changing one there;
mounting or unmounting anything; loading or attaching a BPF program; changing quotas or the project of
a file; asking systemd for anything but what it knows; asking netlink for anything but what there is.
An attempt that the kernel refuses counts as well.
Opening a lock file does not.
"""

from __future__ import annotations

import os
import re
import sys

WATCHED = (
    "/sys/fs/cgroup",
    "/sys/fs/resctrl",
    "/etc/bulkhead",
    "/run/bulkhead",
    "/var/lib/bulkhead",
    "/usr/local/bin/bulkhead",
    "/usr/local/libexec/bulkhead.pyz",
    "/etc/systemd/system",
    "/run/systemd/system",
    "/etc/projid",
    "/etc/projects",
)
LOCK = re.compile(r"/(run|var/lib)/bulkhead/(.+/)?([^/]+\.)?lock")

OPENS = {"open", "openat", "openat2"}
NAMES = {
    "creat", "mkdir", "mkdirat", "mknod", "mknodat", "rmdir", "unlink", "unlinkat", "rename", "renameat", "renameat2",
    "link", "linkat", "symlink", "symlinkat", "truncate", "chmod", "fchmodat", "chown", "lchown", "fchownat",
}  # fmt: skip
DESCRIPTORS = {"write", "pwrite64", "writev", "pwritev", "pwritev2", "ftruncate", "fchmod", "fchown"}
SENDS = {"sendto", "sendmsg"}
QUOTA_CHANGE = re.compile(r"QCMD\(Q_X?(SET|QUOTAO)|\b(BTRFS_IOC_(QGROUP|QUOTA)_|FS_IOC_FSSETXATTR)")
FILE_SETATTR = {"file_setattr", "syscall_0x1d5"}  # the number is what an older strace knows of it
MOUNTS = {"fsmount", "mount", "umount2", "move_mount", "mount_setattr", "pivot_root"}

SYSTEMD = re.compile(r'execve\("[^"]*/(?:systemctl|systemd-run|busctl)", \["[^"]*", "([^"]*)"')
QUESTIONS = {"show", "is-active", "is-enabled", "cat", "list-units", "status", "get-property"}

CALL = re.compile(r"(?:\d+ +)?(\w+)\((.*)")
STRING = r'"((?:[^"\\]|\\.)*)"'
NAMED = re.compile(r"(?:(?:AT_FDCWD|\d+)<([^>]*)>, )?" + STRING)  # a path, relative to a descriptor or not
DESCRIPTOR = re.compile(r"\d+<([^>]*)>")
RESULT = re.compile(r"= \d+<([^>]*)>")
FOR_WRITING = re.compile(r"\bO_(WRONLY|RDWR|CREAT|TRUNC|TMPFILE)\b")
BPF_CHANGE = re.compile(r"BPF_(PROG_LOAD|PROG_ATTACH|PROG_DETACH|LINK_CREATE|LINK_UPDATE|LINK_DETACH|MAP_CREATE|OBJ_PIN)\b")
NETLINK = re.compile(r"nlmsg_type=([^,}]+)")
NFTABLES = 10  # NFNL_SUBSYS_NFTABLES; of its first requests, every third asks (enum nf_tables_msg_types)
NFTABLES_QUESTIONS = {1, 4, 7, 10, 13, 16, 19, 21}


def asks(kind: str) -> bool:
    """Whether a message of netlink only asks; strace gives its name, or its number where it does not know the protocol."""
    number = re.match(r"0x[0-9a-f]+", kind)
    if not number:
        return "_GET" in kind or kind.startswith(("NLMSG_", "NFNL_MSG_BATCH_END"))
    value = int(number.group(), 16)
    if value >> 8:
        return value >> 8 == NFTABLES and value & 0xFF in NFTABLES_QUESTIONS
    return value % 4 == 2  # of rtnetlink, NEW, DEL, GET and SET follow each other (linux/rtnetlink.h)


def named(arguments: str) -> set[str]:
    """The paths that a call names. A relative one without a directory stays relative: the trace does not tell to what."""
    return {os.path.normpath(os.path.join(directory, name)) for directory, name in NAMED.findall(arguments)}


def watched(path: str) -> bool:
    return any(path == root or path.startswith(root + "/") for root in WATCHED)


def is_write(line: str) -> bool:
    match = CALL.match(line)
    if not match:
        return False
    call, arguments = match.groups()
    unquoted = re.sub(STRING, "", arguments)
    if call in MOUNTS | FILE_SETATTR:
        return True
    if call in ("quotactl", "quotactl_fd", "ioctl"):
        return QUOTA_CHANGE.search(arguments) is not None
    if call == "execve":
        asked = SYSTEMD.search(line)
        return asked is not None and asked.group(1) not in QUESTIONS
    if call in SENDS:
        return not all(asks(kind) for kind in NETLINK.findall(unquoted))
    if call == "bpf":
        return BPF_CHANGE.search(unquoted) is not None
    if call in OPENS:
        opened = named(arguments) | set(RESULT.findall(unquoted))
        return FOR_WRITING.search(unquoted) is not None and any(watched(path) and not LOCK.fullmatch(path) for path in opened)
    if call in NAMES:
        return any(watched(path) or not path.startswith("/") for path in named(arguments))
    if call in DESCRIPTORS:
        return any(watched(path) and not LOCK.fullmatch(path) for path in DESCRIPTOR.findall(unquoted)[:1])
    return False


def main(trace: str, module: str) -> str | None:
    """Judge a trace: nothing, or why it does not pass."""
    if not os.path.exists(trace):
        return "there is no trace: nothing ran under strace"
    with open(trace, encoding="utf-8", errors="replace") as file:
        lines = file.read().splitlines()
    os.unlink(trace)

    payload = re.compile(r'"[^"]*/(ansible_[^"/]*[._]%s_payload_[^"/]+)/[^"]*"' % re.escape(module))
    runs = {match.group(1) for line in lines for match in payload.finditer(line)}
    print("%s was seen to run: %d times" % (module, len(runs)))
    if not runs or not re.search(r"\+\+\+ (exited|killed)", lines[-1]):
        return "the trace does not show a whole run of %s" % module

    writes = [line for line in lines if is_write(line)]
    return "\n".join(["%s wrote:" % module, *writes]) if writes else None


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
