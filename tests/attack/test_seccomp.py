# SPDX-FileCopyrightText: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""System calls that a container has no business with: in the machine's own way of calling, in the 32-bit one and in that of x32."""

from __future__ import annotations

import errno
import json
import os
import shutil

import pytest
from ansible_collections.bulkhead.linux.plugins.module_utils._runtime.container import info, lifecycle, state
from ansible_collections.bulkhead.linux.plugins.module_utils._runtime.container.seccomp import filters
from ansible_collections.bulkhead.linux.plugins.module_utils._runtime.errors import BulkheadError, InvalidInput

from .conftest import PARENT

PYTHON = "/usr/bin/python3"
MACHINE = os.uname().machine
X86 = pytest.mark.skipif(MACHINE != "x86_64", reason="needs a machine that runs calls of i386 and x32: x86_64")
# Makes each call and says what it answered: 0 or an errno. The 32-bit ones go through int 0x80, in memory of its own.
PROBE = """
import ctypes, json, mmap, sys
libc = ctypes.CDLL(None, use_errno=True)
libc.syscall.restype = ctypes.c_long
CODE = bytes.fromhex("53 89f8 89f3 87ca 4489c6 4489cf cd80 5b 4898 c3")

def native(number, *arguments):
    result = libc.syscall(ctypes.c_long(number), *[ctypes.c_ulong(argument) for argument in arguments])
    return ctypes.get_errno() if result < 0 else 0

def narrow(number, *arguments):
    code = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    code.write(CODE)
    call = ctypes.CFUNCTYPE(ctypes.c_long, *[ctypes.c_long] * 6)(ctypes.addressof(ctypes.c_char.from_buffer(code)))
    result = call(number, *(list(arguments) + [0] * 5)[:5])
    return -result if result < 0 else 0

WAYS = {"native": native, "x32": lambda number, *rest: native(number | 0x40000000, *rest), "i386": narrow}
asked = json.loads(sys.argv[1])
print(json.dumps([WAYS[way](number, *arguments) for way, number, arguments in asked]))
"""
NEWUSER, FS = 0x10000000, 0x200
# What each call would get without a filter is another answer than EPERM where root asks; the arguments do no harm.
REFUSED = {
    "unshare": (0,),
    "clone": (NEWUSER | FS,),
    "setns": (-1 & 0xFFFFFFFF, 0),
    "mount": (0, 0, 0, 0, 0),
    "umount2": (0, 0),
    "fsopen": (0, 0),
    "open_tree": (0, 0, 0),
    "move_mount": (0, 0, 0, 0, 0),
    "mount_setattr": (0, 0, 0, 0, 0),
    "pivot_root": (0, 0),
    "keyctl": (0xFFFF, 0),
    "add_key": (0, 0, 0, 0, 0),
    "request_key": (0, 0, 0, 0),
    "bpf": (0xFFFF, 0, 0),
    "perf_event_open": (0, 0, 0, 0, 0),
    "userfaultfd": (0xFFFF,),
    "io_uring_setup": (0, 0),
    "io_uring_enter": (0xFFFFFFFF, 0, 0, 0, 0),
    "io_uring_register": (0xFFFFFFFF, 0, 0, 0),
    "open_by_handle_at": (0xFFFFFFFF, 0, 0),
    "kexec_load": (0, 0, 0, 0),
    "init_module": (0, 0, 0),
    "finit_module": (0xFFFFFFFF, 0, 0),
    "delete_module": (0, 0),
    "quotactl": (0, 0, 0, 0),
    "swapon": (0, 0),
    "swapoff": (0,),
    "clock_settime": (0, 0),
    "settimeofday": (0, 0),
    "reboot": (0, 0, 0, 0),
    "syslog": (11, 0, 0),
    "acct": (1,),
    "move_pages": (0, 0, 0, 0, 0),
    "mbind": (0, 0, 0, 0, 0),
    "ioperm": (0, 0, 0),
    "kcmp": (0, 0, 0, 0, 0),
    "vhangup": (),
    "personality": (0x0040000,),
    "socket": (40, 1, 0),  # AF_VSOCK
    "ioctl": (0, 0x5412, 0),  # TIOCSTI
}


def asked_for(way):
    """[(name, [way, number, arguments])] of all that is refused in one way of calling."""
    numbers = filters._numbers(("x86_64", "x32", "i386") if MACHINE == "x86_64" else ("aarch64",))
    known = numbers[{"native": MACHINE}.get(way, way)]
    return [(name, [way, known[name], arguments]) for name, arguments in REFUSED.items() if name in known]


def probe(node, calls, run=None, **options):
    command = [PYTHON, "-c", PROBE, json.dumps(calls)]
    return json.loads(run(command) if run else node.output("probe", command, **options))


@pytest.mark.parametrize("way", ["native", pytest.param("i386", marks=X86), pytest.param("x32", marks=X86)])
def test_calls_are_refused(node, way):
    asked = asked_for(way)
    answers = probe(node, [call for _name, call in asked])
    wrong = {name: errno.errorcode.get(answer, answer) for (name, _call), answer in zip(asked, answers) if answer != errno.EPERM}
    assert not wrong
    assert len(asked) > 30


@pytest.mark.parametrize("way", ["native", pytest.param("i386", marks=X86)])
def test_it_is_the_filter_that_refuses(node, way):
    asked = asked_for(way)
    answers = probe(node, [call for _name, call in asked], seccomp="unconfined")
    open_ = {name for (name, _call), answer in zip(asked, answers) if answer != errno.EPERM}
    assert {"unshare", "clone", "setns", "keyctl", "add_key", "request_key", "io_uring_enter", "personality"} <= open_


@pytest.mark.parametrize("way", ["native", pytest.param("i386", marks=X86), pytest.param("x32", marks=X86)])
def test_unknown_calls_do_not_exist(node, way):
    number = filters._numbers((MACHINE,))[MACHINE]["clone3"]
    assert probe(node, [[way, number, (0, 0)], [way, 600, ()], [way, 0x3FFFFFFF, ()]]) == [errno.ENOSYS] * 3


def test_a_further_command_is_under_the_filter(node):
    node.serve("served")
    asked = [call for way in ("native", *(("i386", "x32") if MACHINE == "x86_64" else ())) for _name, call in asked_for(way)]
    answers = probe(node, asked, lambda command: node.exec("served", command)["stdout"])
    assert set(answers) == {errno.EPERM}
    assert "\nSeccomp:\t2\n" in node.exec("served", ["cat", "/proc/1/status"])["stdout"]


def test_a_namespace_of_users_cannot_be_made(node):
    text = node.output("maker", "unshare -U true; unshare -m true; mount -t tmpfs none /mnt; echo $?")
    assert text.count("Operation not permitted") >= 2
    assert text.endswith(("32\n", "1\n"))


def test_a_capability_opens_its_calls(node):
    script = "mount -t tmpfs none /mnt && unshare -m true && echo mounted; grep ^Seccomp: /proc/self/status"
    assert node.output("admin", script, capabilities={"add": ["SYS_ADMIN"]}) == "mounted\nSeccomp:\t2\n"
    asked = dict(asked_for("native"))
    opened = {"SYS_ADMIN": "setns", "SYS_PTRACE": "kcmp", "SYS_NICE": "mbind", "SYS_TIME": "clock_settime", "DAC_READ_SEARCH": "open_by_handle_at"}
    for capability, name in opened.items():
        keyctl, answer = probe(node, [asked["keyctl"], asked[name]], capabilities={"add": [capability]})
        assert keyctl == errno.EPERM
        assert answer not in (errno.EPERM, errno.ENOSYS), capability


@pytest.mark.parametrize("user", ["0", "1000:1000"])
@pytest.mark.parametrize("locked", [True, False])
def test_the_filter_is_there_whatever_the_user_may_gain(node, user, locked):
    script = "grep -E '^(NoNewPrivs|Seccomp):' /proc/self/status; unshare -U true"
    expected = "NoNewPrivs:\t%d\nSeccomp:\t2\n" % locked
    output = node.output("gainer", script, user=user, no_new_privileges=locked)
    assert output.startswith(expected)
    assert "Operation not permitted" in output
    node.serve("served", user=user, no_new_privileges=locked)
    assert node.exec("served", ["sh", "-c", script])["stdout"] == expected
    assert node.exec("served", ["sh", "-c", script], user="1001")["stdout"] == expected


EVERYDAY = (
    """
set -e
cd /tmp
for number in 1 2 3; do (echo $number | cat | tr 1 2 >/dev/null) & done; wait
head -c 100000 /dev/urandom | gzip | gzip -d | sha256sum >/dev/null
mkdir tree && echo text >tree/file && ln -s file tree/link && tar -cf tree.tar tree && tar -xf tree.tar && cp -a tree copy && rm -r copy
find /usr/bin -name 'a*' | sort | uniq -c | wc -l >/dev/null
timeout 5 sleep 0.01
mkfifo pipe && (echo x >pipe &) && cat pipe >/dev/null
perl -e 'fork; wait; print ""'
setpriv --reuid 1000 --regid 1000 --clear-groups id >/dev/null
flock tree true
%s - <<'PYTHON'
import asyncio, concurrent.futures, mmap, multiprocessing, os, select, signal, socket, subprocess, sys, tempfile, threading
threads = [threading.Thread(target=sum, args=([1, 2],)) for _ in range(8)]
[thread.start() for thread in threads], [thread.join() for thread in threads]
assert subprocess.run(["sh", "-c", "exit 3"]).returncode == 3
with concurrent.futures.ProcessPoolExecutor(2) as pool:
    assert list(pool.map(abs, [-1, -2])) == [1, 2]
async def main():
    process = await asyncio.create_subprocess_exec("echo", "x", stdout=-1)
    assert (await process.communicate())[0] == b"x\\n"
    server = await asyncio.start_server(lambda reader, writer: writer.close(), "127.0.0.1", 0)
    reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname()[:2])
    assert await reader.read() == b""
asyncio.run(main())
for family in (socket.AF_UNIX, socket.AF_INET, socket.AF_INET6, socket.AF_NETLINK):
    socket.socket(family, socket.SOCK_RAW if family == socket.AF_NETLINK else socket.SOCK_STREAM).close()
os.sched_setaffinity(0, os.sched_getaffinity(0)), os.getrandom(8), os.memfd_create("x"), select.epoll(), os.pidfd_open(os.getpid())
with tempfile.NamedTemporaryFile() as file:
    os.copy_file_range(os.open("/usr/bin/env", 0), file.fileno(), 100)
PYTHON
echo done
"""
    % PYTHON
)


def test_programs_of_everyday_use_run(node):
    report = node.run("daily", EVERYDAY)
    assert report["output"].endswith("done\n"), report["output"]


def test_programs_of_everyday_use_meet_no_refusal(node):
    """strace in the container sees what the filter answers: nothing but clone3, for which C libraries have another way."""
    script = "strace -f -qq -o /tmp/trace /bin/sh -c '%s' >/dev/null; grep -E ' = -1 (ENOSYS|EPERM)' /tmp/trace" % EVERYDAY.replace("'", "'\\''")
    output = node.output("traced", script + "; wc -l </tmp/trace")
    lines = output.splitlines()
    assert int(lines[-1]) > 5000, output
    assert [line for line in lines[:-1] if "clone3" not in line] == []


@pytest.mark.skipif(not (shutil.which("node") or shutil.which("java")), reason="this machine has neither node nor java")
def test_larger_runtimes_run(node):
    if shutil.which("node"):
        assert node.output("node", [shutil.which("node"), "-e", "setTimeout(() => console.log('x'), 1)"]) == "x\n"
    if shutil.which("java"):
        assert node.run("java", [shutil.which("java"), "-version"])["exit"]["code"] == 0


PROFILE = {
    "defaultAction": "SCMP_ACT_ALLOW",
    "architectures": ["SCMP_ARCH_X86", "SCMP_ARCH_X32", "SCMP_ARCH_ARM"],
    "syscalls": [
        {"names": ["fchmodat", "chmod", "fchmodat2"], "action": "SCMP_ACT_ERRNO", "errnoRet": errno.ENOTTY},
        {"names": ["kill"], "action": "SCMP_ACT_ERRNO", "errnoRet": errno.EXDEV, "args": [{"index": 1, "value": 12, "op": "SCMP_CMP_EQ"}]},
        {"names": ["sethostname"], "action": "SCMP_ACT_KILL_PROCESS"},
    ],
}


def test_a_profile_of_ones_own(node, tmp_path):
    path = tmp_path / "profile.json"
    path.write_text(json.dumps(PROFILE), encoding="utf-8")
    script = "chmod 600 /tmp; /bin/kill -12 $$; /bin/kill -0 $$ && echo alive; %s -c 'import socket; socket.sethostname(\"x\")'; echo $?" % PYTHON
    for profile in (PROFILE, str(path)):
        output = node.output("owner", script, seccomp=profile)
        assert "Inappropriate ioctl" in output
        assert "cross-device" in output
        assert "alive" in output
        assert "159\n" in output  # SIGSYS
    node.serve("served", seccomp=str(path))
    assert "Inappropriate ioctl" in node.exec("served", ["chmod", "600", "/tmp"])["stderr"]
    created = node.serve("served", seccomp=PROFILE)["created"]
    assert node.serve("served", seccomp=str(path))["created"] == created
    path.write_text(json.dumps({**PROFILE, "syscalls": PROFILE["syscalls"][:1]}), encoding="utf-8")
    assert node.serve("served", seccomp=str(path))["created"] != created


def test_a_profile_that_is_too_tight_for_a_start_is_named(node):
    """Without no_new_privileges it is in force before privileges are dropped, and a further command takes a process of its own."""
    tight = {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["capset", "clone"], "action": "SCMP_ACT_ERRNO"}]}
    with pytest.raises(BulkheadError, match="dropping privileges failed") as refused:
        node.run("tight", "true", seccomp=tight, no_new_privileges=False)
    assert "seccomp profile" in refused.value.hint
    node.serve("served", seccomp=tight)
    with pytest.raises(BulkheadError, match="making the process failed") as refused:
        node.exec("served", ["true"])
    assert "seccomp profile" in refused.value.hint


def test_without_its_profile_a_container_can_be_stopped_and_removed(node, tmp_path):
    path = tmp_path / "profile.json"
    path.write_text(json.dumps(PROFILE), encoding="utf-8")
    options = {"name": "served", "command": ["sleep", "1000"], "seccomp": str(path)}
    node.converge(options)
    path.unlink()
    with pytest.raises(InvalidInput, match="cannot be read"):
        node.converge(options)
    assert node.converge({**options, "state": "stopped"})[1][0]["status"] == "stopped"
    assert node.converge({**options, "state": "absent"})[1][0]["status"] == "absent"


def filter_of(node, name):
    return info.describe(name, node.paths, lifecycle.Lifecycle(node.paths).host, info.Question({}))["seccomp"]


def test_what_is_in_force_is_told(node):
    for option, told in ((None, "default"), ("unconfined", "unconfined"), (PROFILE, "profile"), ("default", "default")):
        node.serve("served", seccomp=option)
        assert filter_of(node, "served") == told


def test_an_upgrade_leaves_a_container_of_before_as_it_is(node):
    """Its record knows nothing of filters, and it runs without one; a profile of one's own makes it anew."""
    created = node.serve("served", seccomp="unconfined")["created"]
    record = state.read(node.paths.state("served"))
    del record["config"]["seccomp"]
    state.write(node.paths.state("served"), record)
    assert filter_of(node, "served") == "unconfined"
    assert "\nSeccomp:\t0\n" in node.exec("served", ["cat", "/proc/self/status"])["stdout"]
    assert node.converge({"name": "served", "command": ["sleep", "1000"]})[0] == 0
    assert node.converge({"name": "served", "command": ["sleep", "1000"], "seccomp": "unconfined"})[0] == 0
    assert node.serve("served")["created"] == created
    assert node.serve("served", seccomp=PROFILE)["created"] != created
    assert filter_of(node, "served") == "profile"


def test_a_machine_without_filters_is_warned_of(node, monkeypatch):
    monkeypatch.setattr(filters, "_MACHINE", "riscv64")
    life = lifecycle.Lifecycle(node.paths)
    wanted = [
        life.parse({"name": name, "command": ["true"], "cgroup_parent": PARENT, **more}) for name, more in (("one", {}), ("two", {"seccomp": "unconfined"}))
    ]
    assert life.plan(wanted).warnings == ["no seccomp filter for one: the system calls of riscv64 are not known here"]
    life.finish()


def test_a_profile_with_which_nothing_could_start_is_refused(node):
    with pytest.raises(InvalidInput, match="execve"):
        node.run("owner", "true", seccomp={"defaultAction": "SCMP_ACT_ERRNO"})
