# Copyright: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""The default seccomp policy, with the effect of the container engines' own (moby, containers-common).

What any program may need is allowed. What is refused, always or without a certain capability, is refused with EPERM. Every
other call does not exist (ENOSYS): one that comes with a later kernel, so that programs fall back to an older one, and one that
only regenerating the table of calls brings in.
"""

from __future__ import annotations

import errno

from ...kernel.seccomp import RET_ALLOW, RET_ERRNO

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .assembler import Decision

REFUSED = RET_ERRNO | errno.EPERM
UNKNOWN = RET_ERRNO | errno.ENOSYS
ALLOWED = """
    _llseek _newselect accept accept4 access adjtimex alarm arch_prctl arm_fadvise64_64
    arm_sync_file_range bind breakpoint brk cacheflush cachestat capget capset chdir chmod chown
    chown32 clock_adjtime clock_adjtime64 clock_getres clock_getres_time64 clock_gettime
    clock_gettime64 clock_nanosleep clock_nanosleep_time64 close close_range connect copy_file_range
    creat dup dup2 dup3 epoll_create epoll_create1 epoll_ctl epoll_ctl_old epoll_pwait epoll_pwait2
    epoll_wait epoll_wait_old eventfd eventfd2 execve execveat exit exit_group faccessat faccessat2
    fadvise64 fadvise64_64 fallocate fanotify_mark fchdir fchmod fchmodat fchmodat2 fchown fchown32
    fchownat fcntl fcntl64 fdatasync fgetxattr flistxattr flock fork fremovexattr fsetxattr fstat
    fstat64 fstatat64 fstatfs fstatfs64 fsync ftruncate ftruncate64 futex futex_requeue futex_time64
    futex_wait futex_waitv futex_wake futimesat get_robust_list get_thread_area getcpu getcwd
    getdents getdents64 getegid getegid32 geteuid geteuid32 getgid getgid32 getgroups getgroups32
    getitimer getpeername getpgid getpgrp getpid getppid getpriority getrandom getresgid getresgid32
    getresuid getresuid32 getrlimit getrusage getsid getsockname getsockopt gettid gettimeofday
    getuid getuid32 getxattr getxattrat inotify_add_watch inotify_init inotify_init1
    inotify_rm_watch io_cancel io_destroy io_getevents io_pgetevents io_pgetevents_time64 io_setup
    io_submit ioprio_get ioprio_set ipc kill landlock_add_rule landlock_create_ruleset
    landlock_restrict_self lchown lchown32 lgetxattr link linkat listen listmount listxattr
    listxattrat llistxattr lremovexattr lseek lsetxattr lstat lstat64 madvise map_shadow_stack
    membarrier memfd_create memfd_secret mincore mkdir mkdirat mknod mknodat mlock mlock2 mlockall
    mmap mmap2 modify_ldt mprotect mq_getsetattr mq_notify mq_open mq_timedreceive
    mq_timedreceive_time64 mq_timedsend mq_timedsend_time64 mq_unlink mremap mseal msgctl msgget
    msgrcv msgsnd msync munlock munlockall munmap name_to_handle_at nanosleep newfstatat open openat
    openat2 pause pidfd_open pidfd_send_signal pipe pipe2 pkey_alloc pkey_free pkey_mprotect poll
    ppoll ppoll_time64 prctl pread64 preadv preadv2 prlimit64 process_mrelease process_vm_readv
    process_vm_writev pselect6 pselect6_time64 ptrace pwrite64 pwritev pwritev2 read readahead
    readlink readlinkat readv recv recvfrom recvmmsg recvmmsg_time64 recvmsg remap_file_pages
    removexattr removexattrat rename renameat renameat2 restart_syscall rmdir rseq rt_sigaction
    rt_sigpending rt_sigprocmask rt_sigqueueinfo rt_sigreturn rt_sigsuspend rt_sigtimedwait
    rt_sigtimedwait_time64 rt_tgsigqueueinfo sched_get_priority_max sched_get_priority_min
    sched_getaffinity sched_getattr sched_getparam sched_getscheduler sched_rr_get_interval
    sched_rr_get_interval_time64 sched_setaffinity sched_setattr sched_setparam sched_setscheduler
    sched_yield seccomp select semctl semget semop semtimedop semtimedop_time64 send sendfile
    sendfile64 sendmmsg sendmsg sendto set_robust_list set_thread_area set_tid_address set_tls
    setfsgid setfsgid32 setfsuid setfsuid32 setgid setgid32 setgroups setgroups32 setitimer setpgid
    setpriority setregid setregid32 setresgid setresgid32 setresuid setresuid32 setreuid setreuid32
    setrlimit setsid setsockopt setuid setuid32 setxattr setxattrat shmat shmctl shmdt shmget
    shutdown sigaltstack signalfd signalfd4 sigprocmask sigreturn socketcall socketpair splice stat
    stat64 statfs statfs64 statmount statx symlink symlinkat sync sync_file_range syncfs sysinfo tee
    tgkill time timer_create timer_delete timer_getoverrun timer_gettime timer_gettime64
    timer_settime timer_settime64 timerfd_create timerfd_gettime timerfd_gettime64 timerfd_settime
    timerfd_settime64 times tkill truncate truncate64 ugetrlimit umask uname unlink unlinkat
    uretprobe utime utimensat utimensat_time64 utimes vfork vmsplice wait4 waitid waitpid write
    writev
"""
NEVER = """
    _sysctl add_key afs_syscall bdflush break create_module ftime get_kernel_syms get_tls getpmsg
    gtty idle io_uring_enter io_uring_register io_uring_setup kexec_file_load kexec_load keyctl lock
    migrate_pages move_pages mpx nfsservctl nice oldfstat oldlstat oldolduname oldstat olduname
    pciconfig_iobase pciconfig_read pciconfig_write pivot_root prof profil putpmsg query_module
    readdir request_key security sgetmask sigaction signal sigpending sigsuspend ssetmask stty
    swapoff swapon sysfs tuxcall ulimit uselib userfaultfd usr26 usr32 ustat vm86 vm86old vserver
"""
# With one of these capabilities, a call is allowed.
BY_CAPABILITY = {
    "SYS_ADMIN": """
        bpf clone3 fanotify_init fsconfig fsmount fsopen fspick lookup_dcookie lsm_get_self_attr
        lsm_list_modules lsm_set_self_attr mount mount_setattr move_mount open_tree open_tree_attr
        perf_event_open quotactl quotactl_fd setdomainname sethostname setns syslog umount umount2
        unshare
    """,
    "DAC_READ_SEARCH": "open_by_handle_at",
    "SYS_BOOT": "reboot",
    "SYS_CHROOT": "chroot",
    "SYS_MODULE": "delete_module finit_module init_module",
    "SYS_PACCT": "acct",
    "SYS_PTRACE": "kcmp pidfd_getfd process_madvise",
    "SYS_RAWIO": "ioperm iopl",
    "SYS_TIME": "clock_settime clock_settime64 settimeofday stime",
    "SYS_TTY_CONFIG": "vhangup",
    "SYS_NICE": "get_mempolicy mbind set_mempolicy set_mempolicy_home_node",
    "SYSLOG": "syslog",
    "BPF": "bpf",
    "PERFMON": "perf_event_open",
}
# CLONE_NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID and NEWNET: a clone(2) with one of them makes a namespace.
NAMESPACE_FLAGS = 0x7E020000
# PER_LINUX and PER_LINUX32, each with and without UNAME26; the last one asks what it is.
PERSONALITIES = (0x0, 0x8, 0x20000, 0x20008, 0xFFFFFFFF)
# Dead families, and those that reach the kernel's own or the machine's: AF_DECnet, ECONET, ATMSVC, IRDA, WANPIPE, ISDN, CAIF, ALG, VSOCK.
REFUSED_FAMILIES = (12, 19, 20, 23, 25, 34, 37, 38, 40)
LAST_FAMILY = 45
# FS_IOC_FSSETXATTR (include/uapi/linux/fs.h) gives files to a project, and one of somebody else's would be filled by that; guard.py
# has what takes files out of one.
SET_PROJECT = 0x401C5820
# TIOCSTI and TIOCLINUX put words into the mouth of whoever shares the terminal.
REFUSED_REQUESTS = (0x5412, 0x541C, SET_PROJECT)
# These arguments are int to the kernel: what the upper half of a register holds does not count.
_INT = 0xFFFFFFFF
_ALWAYS: Decision = (((), RET_ALLOW),)
_NEVER: Decision = (((), REFUSED),)


def without_requests(requests: tuple[int, ...]) -> Decision:
    """What becomes of ioctl(2), where these requests are refused and all others let through."""
    return (*((((1, "EQ", _INT, request),), REFUSED) for request in requests), ((), RET_ALLOW))


def decisions(capabilities: list[str]) -> dict[str, Decision]:
    """What becomes of each call, by its name, in a container with these capabilities."""
    found = dict.fromkeys(ALLOWED.split(), _ALWAYS)
    found.update(dict.fromkeys(NEVER.split(), _NEVER))
    for names in BY_CAPABILITY.values():
        found.update(dict.fromkeys(names.split(), _NEVER))
    # Without a look at its flags nothing may be let through, so C libraries are told to use clone(2).
    found["clone3"] = (((), UNKNOWN),)
    for capability in capabilities:
        found.update(dict.fromkeys(BY_CAPABILITY.get(capability, "").split(), _ALWAYS))
    found["personality"] = (*((((0, "EQ", _INT, value),), RET_ALLOW) for value in PERSONALITIES), ((), REFUSED))
    found["socket"] = (
        *((((0, "EQ", _INT, family),), REFUSED) for family in REFUSED_FAMILIES),
        (((0, "GT", _INT, LAST_FAMILY),), REFUSED),
        ((), RET_ALLOW),
    )
    with_everything = "SYS_ADMIN" in capabilities
    found["clone"] = _ALWAYS if with_everything else ((((0, "EQ", NAMESPACE_FLAGS, 0),), RET_ALLOW), ((), REFUSED))
    found["ioctl"] = _ALWAYS if with_everything else without_requests(REFUSED_REQUESTS)
    return found
