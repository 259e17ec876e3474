# SPDX-FileCopyrightText: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Published attacks that have no better place: races for the kernel's file systems, packed fields, sockets, modes, terminals."""

from __future__ import annotations

import fcntl
import os
import pty
import stat
import termios
import time
from pathlib import Path

import pytest
from ansible_collections.bulkhead.linux.plugins.module_utils._runtime.container import state
from ansible_collections.bulkhead.linux.plugins.module_utils._runtime.errors import BulkheadError

from .conftest import runtimes
from .test_escapes import USR, swapping


def try_again_and_again(seconds, attempt):
    """How many of the attempts came through; the others were refused."""
    through = 0
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            attempt()
            through += 1
        except BulkheadError:
            pass
    return through


@pytest.mark.parametrize("name", ["proc", "sys", "dev"])
def test_top_directory_that_changes(node, rootfs, outside, name):
    """CVE-2019-19921, CVE-2023-28642: /proc of the root is swapped for a link while the container is made."""
    (rootfs / name).mkdir()
    (rootfs / "b").symlink_to("../" * 20 + str(outside).lstrip("/"))
    tests = {"proc": "test -e /proc/self/status", "sys": "test -d /sys/kernel", "dev": "test -c /dev/null -a -d /dev/pts"}

    def attempt():
        # The directory may be under its other name by now; what is mounted on it is there, and nowhere else.
        script = "d=/%s; [ -L $d ] && d=/b; %s || echo wrong; ls -d /proc/1/cwd" % (name, tests[name].replace("/" + name, "$d"))
        report = node.run("race", script, rootfs=str(rootfs), volumes=USR, log={"path": "none"})
        assert report["exit"]["code"] in (0, 2)
        assert not list(outside.iterdir())

    with swapping(rootfs, (name, "b")):
        assert try_again_and_again(4, attempt)


def test_parameter_that_is_redirected(node, rootfs, share):
    """CVE-2025-52881: a volume that gets below /proc by way of a link that changes, so that a parameter is written to its file."""
    (rootfs / "a" / "sys" / "net" / "ipv4").mkdir(parents=True)
    (rootfs / "b").symlink_to("proc")
    (share / "ip_unprivileged_port_start").write_text("mine", encoding="utf-8")
    before = Path("/proc/sys/net/ipv4/ip_unprivileged_port_start").read_text(encoding="utf-8")

    def attempt():
        output = node.output(
            "race",
            "cat /proc/sys/net/ipv4/ip_unprivileged_port_start",
            rootfs=str(rootfs),
            volumes=[*USR, "%s:/a/sys/net/ipv4" % share],
            sysctls={"net.ipv4.ip_unprivileged_port_start": "81"},
        )
        assert output == "81\n"
        assert (share / "ip_unprivileged_port_start").read_text(encoding="utf-8") == "mine"

    with swapping(rootfs):
        assert try_again_and_again(4, attempt)
    assert Path("/proc/sys/net/ipv4/ip_unprivileged_port_start").read_text(encoding="utf-8") == before


def test_fields_that_are_too_long(node):
    """CVE-2021-43784: a length that does not fit into its field makes what follows it something else; here nothing is cut and nothing shifts."""
    long = "x" * 70000
    env = {"A%d" % number: long for number in range(20)} | {"LAST": "end"}
    report = node.run("long", "echo ${#A0} ${#A19} $LAST; id -u; grep CapEff /proc/self/status", user="7:8", env=env, capabilities={"drop": ["ALL"]})
    assert report["output"].split() == ["70000", "70000", "end", "7", "CapEff:", "0000000000000000"]
    with pytest.raises(BulkheadError):
        node.run("longer", "true", env={"A": "x" * (16 << 20)})


def sockets_of(pid):
    """The inodes of the sockets that a process has open."""
    found = set()
    for name in os.listdir("/proc/%d/fd" % pid):
        target = os.readlink("/proc/%d/fd/%s" % (pid, name))
        if target.startswith("socket:["):
            found.add(target[len("socket:[") : -1])
    return found


def test_sockets_of_the_runtime(node):
    """CVE-2020-15257: with the machine's network, a container reaches abstract sockets; the runtime listens on none, nor on any other."""
    node.serve("network", network={"mode": "host"})
    watching = {state.read(node.paths.state("network"))["monitor"]["pid"], *runtimes(node.prefix)}
    held = set().union(*(sockets_of(pid) for pid in watching))
    named = [line for line in Path("/proc/net/unix").read_text(encoding="utf-8").splitlines()[1:] if line.split()[6] in held and len(line.split()) > 7]
    assert not named
    for family in ("tcp", "tcp6", "udp", "udp6", "netlink", "packet"):
        table = Path("/proc/net/" + family)
        inodes = {word for line in (table.read_text(encoding="utf-8").splitlines() if table.exists() else []) for word in line.split()}
        assert not inodes & held, family


def test_modes_of_what_is_kept(node):
    """CVE-2021-41103, CVE-2024-25621: nobody but root gets to the records, the logs and the private files, setuid programs among them."""
    old = os.umask(0)
    try:
        node.serve("modes")
        node.exec("modes", ["sh", "-c", "cp /usr/bin/id /root/id; chmod 4755 /root/id; echo said >/proc/1/fd/1"])
        node.run("job", "echo said")
    finally:
        os.umask(old)
    for top in (node.paths.run, node.paths.lib, node.paths.log):
        status = os.stat(top)
        assert status.st_uid == 0 and stat.S_IMODE(status.st_mode) == 0o700, top
    inside = [Path(node.paths.state("modes")), Path(node.paths.own("modes"))]
    kept = [*inside, inside[0] / "state.json", Path(node.paths.log, "job.log")]
    assert not [path for path in kept if path.lstat().st_mode & 0o077]


TERMINAL = """
import fcntl, os, termios
for path in ("/dev/tty", "/dev/console"):
    try:
        os.open(path, os.O_RDWR)
        print("GOT", path)
    except OSError as error:
        print("refused", path)
for fd in (0, 1, 2):
    print("GOT" if os.isatty(fd) else "refused", fd)
    for request in (termios.TIOCSTI, termios.TIOCSTI | 1 << 32, 0x541C):
        try:
            fcntl.ioctl(fd, request, b"x")
            print("GOT", fd, request)
        except (OSError, OverflowError, ValueError):
            pass
print("session", os.getsid(0), os.getpgid(0))
"""


def test_terminal_of_the_caller(node):
    """CVE-2017-5226, CVE-2019-10063: whoever runs Ansible has a terminal; nothing inside can type into it."""
    node.serve("served")
    pid, ours = pty.fork()
    if pid == 0:
        code = 1
        try:
            os.close(os.open("/dev/tty", os.O_RDWR))  # there is one
            texts = [node.output("terminal", ["/usr/bin/python3", "-c", TERMINAL]), node.exec("served", ["/usr/bin/python3", "-c", TERMINAL])["stdout"]]
            for text in texts:
                assert "session" in text and "GOT" not in text, text
            code = 0
        except BaseException as error:
            os.write(2, repr(error).encode())
        finally:
            os._exit(code)
    node.names.add("terminal")
    said = b""
    while True:
        try:
            data = os.read(ours, 4096)
        except OSError:
            break
        said += data
    assert os.waitpid(pid, 0)[1] == 0, said
    assert fcntl.ioctl(ours, termios.FIONREAD, b"\0" * 4) == b"\0" * 4
    os.close(ours)
