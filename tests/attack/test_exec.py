# SPDX-FileCopyrightText: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""`bulkhead exec`: what goes through it, what comes of it, and what a container does not get by it."""

from __future__ import annotations

import gc
import hashlib
import os
import pty
import resource
import select
import signal
import subprocess
import sys
import termios
import time
from pathlib import Path

import pytest
from ansible_collections.bulkhead.linux.plugins.module_utils._runtime.container import terminal
from ansible_collections.bulkhead.linux.plugins.module_utils._runtime.errors import BulkheadError

from .conftest import is_gone

MIB = 1 << 20


def words(node, *arguments):
    return [sys.executable, "-I", "-S", node.paths.core, "exec", *arguments]


def environment(node):
    return {**os.environ, "BULKHEAD_PREFIX": node.prefix}


def begin(node, *arguments, **options):
    streams = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    return subprocess.Popen(words(node, *arguments), env=environment(node), **{**streams, **options})


def run(node, *arguments, **options):
    given = {} if "input" in options else {"stdin": subprocess.DEVNULL}
    taken = {} if "stdout" in options else {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.run(words(node, *arguments), env=environment(node), timeout=60, check=False, **{**given, **taken, **options})


def test_streams_status_and_options(node):
    node.serve("web", env={"KEPT": "1"}, user="33:34")
    script = 'cat; echo error >&2; pwd; id -u; echo "$KEPT $MORE"; exit 9'
    ended = run(node, "-u", "44:45", "--cwd=/usr", "-e", "MORE=a b", "web", "--", "sh", "-c", script, input=b"\0\xff in\n")
    assert (ended.returncode, ended.stderr) == (9, b"error\n")
    assert ended.stdout == b"\0\xff in\n/usr\n44\n1 a b\n"
    assert run(node, "web", "id", "-u").stdout == b"33\n"


@pytest.mark.parametrize(
    ("arguments", "status", "told"),
    [
        (("none", "true"), 255, b"does not run: it is absent"),
        (("web", "/no/such"), 127, b"no such program"),
        (("web", "--", "/etc"), 126, b"executing the command"),
        (("-u", "nobody-of-that-name", "web", "true"), 126, b"knows no user"),
        (("-w", "/no/such", "web", "true"), 126, b"working directory"),
        (("web",), 255, b"name a container and a command"),
        (("--no-such", "web", "true"), 255, b"no option"),
        (("../web", "true"), 255, b"name"),
        (("web", "sh", "-c", "kill -9 $$"), 137, b""),
    ],
)
def test_statuses(node, arguments, status, told):
    node.serve("web")
    ended = run(node, *arguments)
    assert ended.returncode == status and told in ended.stderr, ended
    assert ended.stderr.startswith(b"bulkhead: ") == bool(told) and ended.stderr.count(b"\n") == bool(told)


def test_container_that_is_stopped_or_paused(node):
    node.serve("web")
    node.converge({"name": "web", "state": "paused"})
    assert run(node, "web", "true").returncode == 255
    node.converge({"name": "web", "state": "stopped"})
    ended = run(node, "web", "true")
    assert ended.returncode == 255 and b"it is stopped" in ended.stderr


def test_container_that_ends_meanwhile(node):
    node.serve("web")
    process = begin(node, "web", "sh", "-c", "echo up; sleep 100")
    assert process.stdout.readline() == b"up\n"
    node.converge({"name": "web", "state": "stopped"})
    _output, errors = process.communicate(timeout=20)
    assert process.returncode == 255 and b"ended while the command ran" in errors


def test_gigabyte_in_little_memory(node, tmp_path):
    """One GiB goes in and comes out, in at most 64 MiB for all that runs for it."""
    node.serve("web")
    size, piece = 1024 * MIB, bytes(range(256)) * 4096
    measured = tmp_path / "peak"
    code = (
        "import os, resource, subprocess, sys\n"
        "status = subprocess.call(sys.argv[2:])\n"
        "open(sys.argv[1], 'w').write(str(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss))\n"
        "sys.exit(status)\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(measured), *words(node, "web", "cat")],
        env=environment(node),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    if os.fork() == 0:
        process.stdout.close()
        for _number in range(size // len(piece)):
            process.stdin.write(piece)
        os._exit(0)
    process.stdin.close()
    came, digest, wanted = 0, hashlib.sha256(), hashlib.sha256()
    while data := process.stdout.read(MIB):
        came += len(data)
        digest.update(data)
    for _number in range(size // len(piece)):
        wanted.update(piece)
    os.wait()
    assert process.wait() == 0 and came == size and digest.digest() == wanted.digest()
    assert int(measured.read_text(encoding="utf-8")) < 64 << 10


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGINT, signal.SIGUSR1, signal.SIGTERM])
def test_signals_are_handed_on(node, number):
    node.serve("web")
    script = "for s in HUP INT USR1 TERM; do trap \"echo got $s; exit 7\" $s; done; echo up; while :; do sleep 0.1; done"
    process = begin(node, "web", "sh", "-c", script)
    assert process.stdout.readline() == b"up\n"
    process.send_signal(number)
    output, _errors = process.communicate(timeout=20)
    assert process.returncode == 7 and output == b"got %s\n" % number.name[3:].encode()


def test_signal_that_ends_the_command(node):
    node.serve("web")
    process = begin(node, "web", "sh", "-c", "echo up; exec sleep 100")
    assert process.stdout.readline() == b"up\n"
    process.terminate()
    assert process.wait(20) == 128 + signal.SIGTERM
    process.communicate()


def test_command_ends_with_whoever_asked_for_it(node):
    """Also when that is killed; what was put in the background stays."""
    node.serve("web")
    process = begin(node, "web", "sh", "-c", "sleep 4711 > /dev/null 2>&1 & echo up; sleep 4712; true")
    assert process.stdout.readline() == b"up\n"
    process.kill()
    process.communicate()

    def found(seconds):
        return subprocess.run(["pgrep", "-f", "^sleep %s$" % seconds], stdout=subprocess.DEVNULL, check=False).returncode == 0

    assert is_gone(lambda: not Path("/proc/%d" % process.pid).exists())
    assert found("4711")


def test_background_process_with_the_streams_keeps_nobody_waiting(node):
    node.serve("web")
    ended = run(node, "web", "sh", "-c", "(sleep 100; yes) & echo done")
    assert ended.returncode == 0 and ended.stdout == b"done\n"


def test_reader_that_goes_away_ends_the_command(node):
    node.serve("web")
    process = begin(node, "web", "yes")
    process.stdout.read(10)
    process.stdout.close()
    assert process.wait(20) == 128 + signal.SIGPIPE
    process.communicate()


def test_input_that_nobody_reads(node):
    node.serve("web")
    assert run(node, "web", "true", input=b"x" * (3 * MIB)).returncode == 0


@pytest.mark.parametrize("closed", ["<&-", "<&- 2>&-", "2>&-"])
def test_closed_streams(node, closed):
    node.serve("web")
    command = ["sh", "-c", 'exec "$@" ' + closed, "sh", *words(node, "web", "sh", "-c", "cat; echo out")]
    ended = subprocess.run(command, env=environment(node), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, timeout=30, check=False)
    assert ended.returncode == 0 and ended.stdout == b"out\n"


STATUS = "grep -E '^(Cap|NoNewPrivs|Seccomp|Groups)' /proc/%s/status; cat /proc/%s/cgroup /proc/%s/oom_score_adj /proc/%s/limits"


@pytest.mark.parametrize(
    "options",
    [{}, {"capabilities": {"add": ["SYS_PTRACE", "NET_ADMIN"]}, "no_new_privileges": False}, {"seccomp": "unconfined", "groups": ["44"]}],
    ids=["default", "more", "unconfined"],
)
def test_same_as_the_first_process(node, options):
    """Capabilities, no_new_privs, seccomp, limits and control groups, from inside and from outside."""
    report = node.serve("web", **options)
    inside = run(node, "web", "sh", "-c", (STATUS + "; echo ====; " + STATUS) % (("self",) * 4 + ("1",) * 4)).stdout
    own, first = inside.split(b"====\n")
    assert own == first and b"CapEff" in own and b"Seccomp" in own
    process = begin(node, "web", "sh", "-c", "echo up; read x")
    assert process.stdout.readline() == b"up\n"
    [child] = Path("/proc/%d/task/%d/children" % (process.pid, process.pid)).read_text(encoding="utf-8").split()
    for file in ("cgroup", "uid_map"):
        assert Path("/proc/%s/%s" % (child, file)).read_text(encoding="utf-8") == Path("/proc/%d/%s" % (report["pid"], file)).read_text(encoding="utf-8")
    names = os.listdir("/proc/%s/ns" % child)
    assert {name: os.readlink("/proc/%s/ns/%s" % (child, name)) for name in names} == {
        name: os.readlink("/proc/%d/ns/%s" % (report["pid"], name)) for name in names
    }
    process.communicate(b"\n", timeout=20)


def test_environment_of_the_caller_stays_outside(node):
    node.serve("web", env={"A": "1"})
    output = subprocess.run(words(node, "web", "env"), env={**environment(node), "SECRET": "x"}, capture_output=True, timeout=30, check=True).stdout
    assert b"A=1" in output and b"SECRET" not in output and b"BULKHEAD" not in output


def test_no_descriptor_of_the_machine(node, tmp_path):
    """Neither a file given as input or output, nor anything else that the caller had open."""
    node.serve("web")
    secret = tmp_path / "secret"
    secret.write_text("held\n", encoding="utf-8")
    out, more = tmp_path / "out", os.open("/etc/passwd", os.O_RDONLY)
    attack = "cat; echo overwritten > /proc/self/fd/0; echo > /proc/self/fd/7; chmod 777 /proc/self/fd/0; : > /proc/self/fd/1; readlink /proc/self/fd/*"
    with secret.open("rb") as given, out.open("wb") as taken:
        os.fchmod(taken.fileno(), 0o600)
        taken.write(b"before\n")
        taken.flush()
        run(node, "web", "sh", "-c", attack, stdin=given, stdout=taken, stderr=subprocess.STDOUT, pass_fds=[more])
    os.close(more)
    told = out.read_text(encoding="utf-8")
    assert secret.read_text(encoding="utf-8") == "held\n" and secret.stat().st_mode & 0o777 == 0o644
    assert told.startswith("before\nheld\n") and "pipe:" in told and "passwd" not in told and str(tmp_path) not in told
    assert out.stat().st_mode & 0o777 == 0o600


def test_terminal_is_the_containers_own(node):
    """The caller's terminal is not reachable: nothing can be typed into it, and its settings stay."""
    node.serve("web")
    master, slave = pty.openpty()
    name = os.ttyname(slave)
    script = "readlink /proc/self/fd/0; tty; stty size; test -t 0 && echo is-terminal; echo a > /dev/tty"
    process = begin(node, "-t", "web", "sh", "-c", script, stdin=slave, stdout=slave, stderr=slave, start_new_session=True)
    assert process.wait(20) == 0
    output = b""
    while select.select([master], [], [], 0.5)[0]:
        output += os.read(master, 65536)
    os.close(master)
    os.close(slave)
    lines = output.decode().split()
    assert "is-terminal" in lines and "/dev/pts/0" in lines and lines.count("a") == 1
    assert name == "/dev/pts/0" or name not in lines


def test_terminal_follows_the_size_of_the_callers(node):
    node.serve("web")
    master, slave = pty.openpty()
    termios.tcsetwinsize(slave, (24, 80))
    script = "trap 'stty size' WINCH; echo up; while :; do sleep 0.1; done"
    process = begin(node, "-t", "web", "sh", "-c", script, stdin=slave, stdout=slave, stderr=slave, start_new_session=True)
    output = b""
    try:
        for wanted, size in ((b"up", (50, 132)), (b"50 132", None)):
            while wanted not in output and select.select([master], [], [], 20)[0]:
                output += os.read(master, 65536)
            assert wanted in output and process.poll() is None, output
            if size:
                termios.tcsetwinsize(slave, size)
                process.send_signal(signal.SIGWINCH)
    finally:
        process.kill()
        process.wait()
        os.close(master)
        os.close(slave)


def test_terminal_with_input_from_a_pipe(node):
    node.serve("web")
    ended = run(node, "--tty", "web", "sh", "-c", "stty -echo; cat; exit 3", input=b"one\ntwo")
    assert ended.returncode == 3 and ended.stdout.replace(b"\r", b"").endswith(b"one\ntwo"), ended


def test_large_output_through_a_terminal(node):
    node.serve("web")
    ended = run(node, "--tty", "web", "sh", "-c", "head -c 3000000 /dev/zero | tr '\\0' x; echo end")
    assert ended.returncode == 0 and len(ended.stdout) == 3000005 and ended.stdout.endswith(b"xend\r\n")


@pytest.mark.parametrize("trap", ["mkfifo pts/ptmx", "ln -s /etc/passwd pts/ptmx", "mknod pts/ptmx c 1 3", "ln -s /proc/1/root/etc/passwd pts/ptmx"])
def test_multiplexer_that_is_something_else(node, trap):
    """The container puts something of its own where terminals are made: it is told, and nothing waits or is opened."""
    node.serve("web", capabilities={"add": ["SYS_ADMIN", "MKNOD"]}, seccomp="unconfined")
    made = node.exec("web", ["sh", "-c", "umount /dev/pts && cd /dev && %s" % trap])
    assert made["rc"] == 0, made
    ended = run(node, "-t", "web", "true")
    assert ended.returncode == 255 and b"has no terminals" in ended.stderr, ended
    with pytest.raises(BulkheadError, match="no terminals"):
        terminal.make(node.life_record("web")["pid"], "web")


WATCH = """
import os, time
end = time.time() + 6
while time.time() < end:
    for pid in os.listdir("/proc"):
        try:
            os.close(os.open("/proc/%s/exe" % pid, os.O_WRONLY))
            print("OPENED", pid, flush=True)
        except OSError:
            pass
"""


def test_interpreter_cannot_be_written(node):
    """While a command is on its way, what runs it may be looked at; through /proc/PID/exe nothing can be written (CVE-2019-5736)."""
    node.serve("web", volumes=[], capabilities={"add": ["SYS_PTRACE", "DAC_OVERRIDE"]}, seccomp="unconfined")
    watcher = begin(node, "web", "python3", "-c", WATCH)
    for _number in range(20):
        assert run(node, "web", "true").returncode == 0
    output, _errors = watcher.communicate(timeout=30)
    assert b"OPENED" not in output, output


def test_core_is_replaced_while_a_command_runs(node):
    """A long command keeps nobody from replacing the core, and goes on."""
    node.serve("web")
    process = begin(node, "web", "sh", "-c", "echo up; read x; echo $x")
    assert process.stdout.readline() == b"up\n"
    code = "import fcntl, os, sys; fcntl.flock(os.open(sys.argv[1], os.O_RDONLY), fcntl.LOCK_EX | fcntl.LOCK_NB)"
    assert is_gone(lambda: subprocess.run([sys.executable, "-c", code, node.paths.core], capture_output=True, check=False).returncode == 0)
    os.rename(node.paths.core, node.paths.core + ".old")
    try:
        output, _errors = process.communicate(b"on\n", timeout=20)
    finally:
        os.rename(node.paths.core + ".old", node.paths.core)
    assert process.returncode == 0 and output == b"on\n"


def test_module_takes_the_same_way(node):
    node.serve("web")
    script = "tty; stty -echo; cat"
    answer = node.exec("web", ["sh", "-c", script], tty=True, stdin="typed\n")
    assert answer["rc"] == 0 and "/dev/pts/0" in answer["stdout"] and "typed" in answer["stdout"], answer
    with pytest.raises(BulkheadError, match="detach"):
        node.exec("web", ["true"], tty=True, detach=True)


def test_module_memory_does_not_grow_with_the_output(node):
    node.serve("web")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    answer = node.exec("web", ["head", "-c", "300000000", "/dev/zero"], max_output="1M")
    assert answer["stdout_truncated"] and resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 40 << 10


def test_nothing_is_left_after_many(node):
    node.serve("web")

    def own():
        gc.collect()
        return len(os.listdir("/proc/self/fd"))

    monitor = next(iter(Path(node.paths.state("web")).glob("state.json")))
    before = own(), monitor.read_bytes()
    for _number in range(10):
        node.exec("web", ["true"])
        assert run(node, "web", "true").returncode == 0
    assert (own(), monitor.read_bytes()) == before
    began = time.monotonic()
    assert is_gone(lambda: len(node.inside("web")) == 1) and time.monotonic() - began < 5
