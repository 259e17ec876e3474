# SPDX-FileCopyrightText: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The reader of traces that the integration targets rely on, against lines as strace writes them."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[1] / "integration/targets/setup_strace/files/writes.py"
_spec = importlib.util.spec_from_file_location("writes", SCRIPT)
writes = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(writes)

SEEN = '7 openat(AT_FDCWD</root>, "/tmp/ansible_bulkhead.linux.cgroup_info_payload_x1/ansible_payload.zip", O_RDONLY) = 3</tmp/z>'
END = "7 +++ exited with 0 +++"


@pytest.mark.parametrize(
    "line",
    [
        '7 openat(3</sys/fs/cgroup/pids>, "a/pids.max", O_WRONLY|O_CLOEXEC) = 4</sys/fs/cgroup/pids/a/pids.max>',
        '7 openat2(3</sys/fs/cgroup>, "a/x", {flags=O_RDWR|O_CLOEXEC, resolve=RESOLVE_BENEATH}, 24) = -1 EACCES (Permission denied)',
        '7 openat(AT_FDCWD</sys/fs/cgroup>, "memory/x", O_WRONLY <unfinished ...>',
        '7 openat(AT_FDCWD</>, "/proc/self/fd/3", O_WRONLY) = 4</sys/fs/cgroup/memory/a/memory.max>',
        '7 openat(AT_FDCWD</>, "/run/../sys/fs/cgroup/x", O_RDONLY|O_CREAT, 0600) = -1 EPERM (Operation not permitted)',
        '7 write(4</sys/fs/cgroup/pids/a/pids.max>, "100", 3) = 3',
        '7 mkdirat(3</sys/fs/cgroup/pids>, "a", 0777) = 0',
        '7 mkdir("/run/bulkhead", 0777) = -1 EEXIST (File exists)',
        '7 mkdir("a", 0777) = 0',
        '7 unlinkat(3</sys/fs/cgroup/pids>, "a", AT_REMOVEDIR) = 0',
        '7 renameat2(3</tmp>, "a", 4</etc/bulkhead/desired.d>, "a.json", 0) = 0',
        '7 mount("proc", "/proc", "proc", 0, NULL) = 0',
        "7 quotactl_fd(4</srv>, QCMD(Q_XSETQLIM, USRQUOTA), 0, {d_version=1, d_flags=0}) = -1 ENOSYS (Function not implemented)",
        "7 quotactl_fd(4</srv>, QCMD(Q_SETINFO, USRQUOTA), {dqi_bgrace=1}) = 0",
        '7 quotactl(QCMD(Q_XQUOTAON, USRQUOTA), "/dev/sda", [FS_QUOTA_UDQ_ENFD]) = 0',
        "7 ioctl(3</srv>, BTRFS_IOC_QGROUP_LIMIT, 0x7ffdb19e1580) = 0",
        "7 ioctl(3</srv>, BTRFS_IOC_QUOTA_CTL, {cmd=BTRFS_QUOTA_CTL_ENABLE}) = 0",
        "7 ioctl(3</srv>, FS_IOC_FSSETXATTR, {fsx_xflags=0, fsx_projid=5}) = 0",
        "7 syscall_0x1d5(0x3, 0x7f113dd51f70, 0x7f113d0157b0, 0x18, 0x100, 0x7) = 0",
        "7 fsmount(3<anon_inode:fscontext>, FSMOUNT_CLOEXEC, 0) = 4</>",
        '7 rename("/etc/.projid.new", "/etc/projid") = 0',
        "7 bpf(BPF_PROG_ATTACH, {target_fd=5, attach_bpf_fd=6}, 16) = 0",
        '7 openat(AT_FDCWD</>, "/etc/systemd/system/a.slice.d/50-bulkhead.conf", O_WRONLY|O_CREAT, 0644) = 4</etc/systemd/system/a.slice.d/50-bulkhead.conf>',
        '7 execve("/usr/bin/systemctl", ["systemctl", "daemon-reload"], 0x7ffd /* 4 vars */) = 0',
        '7 execve("/usr/bin/systemctl", ["systemctl", "set-property", "a.slice", "TasksMax=5"], 0x7ffd /* 4 vars */ <unfinished ...>',
        "7 sendto(3<socket:[1]>, [{nlmsg_len=52, nlmsg_type=RTM_NEWQDISC, nlmsg_flags=NLM_F_REQUEST|NLM_F_ACK}, ...], 52, 0, NULL, 0) = 52",
        '7 sendto(3<socket:[1]>, [{nlmsg_len=48, nlmsg_type=0x13 /* NLMSG_??? */, nlmsg_flags=NLM_F_REQUEST}, "\\x00"], 48, 0, NULL, 0) = 48',
        "7 sendto(3<socket:[1]>, [[{nlmsg_type=RTM_GETLINK, nlmsg_seq=2}, {}], [{nlmsg_type=RTM_DELLINK, nlmsg_seq=3}, {}]], 99, 0, NULL, 0) = 99",
        '7 sendto(4<socket:[2]>, [{nlmsg_len=20, nlmsg_type=0x10 /* NLMSG_??? */, nlmsg_flags=NLM_F_REQUEST}, "\\x00\\x00\\x00\\x0a"], 20, 0, NULL, 0) = 20',
        '7 sendmsg(4<socket:[2]>, {msg_iov=[{iov_base=[{nlmsg_len=20, nlmsg_type=0xa00 /* NLMSG_??? */}, "\\x01"]}]}, 0) = 20',
    ],
)
def test_writes(line: str, tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    trace.write_text("\n".join([SEEN, line, END]))
    assert line in writes.main(str(trace), "cgroup_info")


@pytest.mark.parametrize(
    "line",
    [
        '7 openat(3</sys/fs/cgroup/pids>, "a/pids.max", O_RDONLY|O_CLOEXEC) = 4</sys/fs/cgroup/pids/a/pids.max>',
        '7 openat(AT_FDCWD</sys/fs/cgroup>, "/tmp/x", O_WRONLY|O_CREAT, 0600) = 4</tmp/x>',
        '7 openat(AT_FDCWD</>, "/run/bulkhead/cgroup.lock", O_RDWR|O_CREAT|O_CLOEXEC, 0600) = 4</run/bulkhead/cgroup.lock>',
        '7 write(1<pipe:[17]>, "wrote /sys/fs/cgroup/x", 22) = 22',
        '7 mkdir("/tmp/a", 0777) = 0',
        '7 openat(AT_FDCWD</>, "/sys/fs/cgroups", O_WRONLY) = -1 ENOENT (No such file or directory)',
        "7 quotactl_fd(4</srv>, QCMD(Q_XGETQUOTA, USRQUOTA), 1, 0x7f113d05de30) = 0",
        "7 quotactl_fd(4</srv>, QCMD(Q_XGETQSTATV, USRQUOTA), 0x7f113d05de30) = 0",
        "7 ioctl(3</srv>, BTRFS_IOC_TREE_SEARCH_V2, {key={tree_id=BTRFS_QUOTA_TREE_OBJECTID}}) = 0",
        "7 ioctl(3</srv>, FS_IOC_FSGETXATTR, {fsx_xflags=0, fsx_projid=5}) = 0",
        "7 bpf(BPF_PROG_QUERY, {query={target_fd=5}}, 32) = 0",
        "7 <... openat resumed>) = 4</sys/fs/cgroup/x>",
        "7 sendto(3<socket:[1]>, [{nlmsg_len=36, nlmsg_type=RTM_GETQDISC, nlmsg_flags=NLM_F_REQUEST|NLM_F_DUMP}, {}], 36, 0, NULL, 0) = 36",
        '7 sendto(3<socket:[1]>, [{nlmsg_len=40, nlmsg_type=0x12 /* NLMSG_??? */, nlmsg_flags=NLM_F_REQUEST|0x300}, "\\x00"], 40, 0, NULL, 0) = 40',
        '7 sendto(4<socket:[2]>, [{nlmsg_len=20, nlmsg_type=0xa01 /* NLMSG_??? */, nlmsg_flags=NLM_F_REQUEST|0x300}, "\\x01"], 20, 0, NULL, 0) = 20',
        '7 sendto(5<socket:[3]>, "<13>ansible: nlmsg_type=RTM_NEWLINK", 35, 0, NULL, 0) = 35',
        '7 execve("/usr/bin/systemctl", ["systemctl", "show", "--all", "--property", "Id,Delegate"], 0x7ffd /* 4 vars */) = 0',
        '7 execve("/usr/bin/python3", ["python3", "daemon-reload"], 0x7ffd /* 4 vars */) = 0',
    ],
)
def test_no_writes(line: str, tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    trace.write_text("\n".join([SEEN, line, END]))
    assert writes.main(str(trace), "cgroup_info") is None
    assert not trace.exists()


@pytest.mark.parametrize("lines", [[], [END], [SEEN], [SEEN.replace("cgroup_info", "cgroup_group"), END]])
def test_a_trace_without_a_whole_run_proves_nothing(lines: list[str], tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    trace.write_text("\n".join(lines))
    assert "does not show a whole run" in writes.main(str(trace), "cgroup_info")


def test_no_trace_proves_nothing(tmp_path: Path) -> None:
    assert "no trace" in writes.main(str(tmp_path / "trace"), "cgroup_info")
