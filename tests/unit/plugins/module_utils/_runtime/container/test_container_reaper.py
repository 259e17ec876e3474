# SPDX-FileCopyrightText: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The small first process: its bytes are what the assembler makes of its text, and it does what it is for."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time

import pytest
from ansible_collections.bulkhead.linux.plugins.module_utils._runtime.container import reaper

ASSEMBLERS = {
    "x86_64": ("as", "-msyntax=intel", "-mnaked-reg"),
    "aarch64": ("aarch64-linux-gnu-as",),
}
LISTINGS = {"x86_64": reaper.X86_64, "aarch64": reaper.AARCH64}


@pytest.mark.parametrize("machine", LISTINGS)
def test_bytes_are_those_of_the_assembler(tmp_path, machine):
    command = ASSEMBLERS[machine]
    if machine != os.uname().machine and shutil.which(command[0]) is None:
        pytest.skip("no assembler for %s" % machine)
    (tmp_path / "source.s").write_text("\n".join(line[24:].strip() for line in LISTINGS[machine].splitlines()) + "\n", encoding="utf-8")
    subprocess.run([*command, "-o", str(tmp_path / "object"), str(tmp_path / "source.s")], check=True)
    subprocess.run(["objcopy", "-I", "elf64-little", "-O", "binary", "-j", ".text", str(tmp_path / "object"), str(tmp_path / "code")], check=True)
    assert (tmp_path / "code").read_bytes().rstrip(b"\0") == reaper.code_of(LISTINGS[machine]).rstrip(b"\0")


@pytest.mark.parametrize("machine", LISTINGS)
def test_is_small(machine):
    assert len(reaper.executable(machine)) < 512


def run(command):
    """Fork as the start of a container does; returns the process that stays behind."""
    fd = reaper.program()
    pid = os.fork()
    if pid == 0:
        try:
            reaper.stay_behind(fd)
            signal.signal(signal.SIGINT, signal.SIG_DFL)  # a shell starts what it does not wait for with SIGINT ignored
            os.execvp(command[0], command)
        finally:
            os._exit(99)
    os.close(fd)
    return pid


def status_of(pid):
    _pid, status = os.waitpid(pid, 0)
    assert os.WIFEXITED(status)
    return os.WEXITSTATUS(status)


@pytest.mark.parametrize(
    ("script", "code"),
    [("exit 0", 0), ("exit 7", 7), ("exit 255", 255), ("kill -TERM $$", 143), ("kill -KILL $$", 137), ("(sleep 0.2; true) & exit 3", 3)],
)
def test_ends_as_the_command(script, code):
    assert status_of(run(["sh", "-c", script])) == code


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGRTMIN + 3])
def test_hands_signals_on(number):
    pid = run(["sleep", "1000"])
    time.sleep(0.5)
    os.kill(pid, number)
    assert status_of(pid) == 128 + number
    assert reaper.signal_of(128 + number) == number


def test_cannot_be_written():
    fd = reaper.program()
    try:
        with pytest.raises(OSError, match="permitted"):
            os.write(os.open("/proc/self/fd/%d" % fd, os.O_RDWR), b"x")
        with pytest.raises(OSError, match="descriptor"):
            os.write(fd, b"x")
    finally:
        os.close(fd)
