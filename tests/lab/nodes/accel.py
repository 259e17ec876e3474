# SPDX-FileCopyrightText: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whether guests run on the processor itself (KVM) or have to be emulated (TCG), found out once for each machine.

That /dev/kvm can be opened means little: where this machine is a virtual machine itself, a guest may well start and then
never execute an instruction. So a guest is started, with the kernel alone, and watched until it complains about the lack of a root disk.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import tempfile
import time
from pathlib import Path

from . import qemu
from .images import CACHE

ANSWER = CACHE / "accelerator.json"
SILENCE = 8.0  # seconds without a word from a guest that says something within the first
PATIENCE = 30.0


def fingerprint() -> str:
    """What the answer depends on: this machine, its kernel, its processor and QEMU."""
    facts = [qemu.version(), os.uname().release]
    for path in ("/etc/machine-id", "/proc/cpuinfo"):
        lines = Path(path).read_text(encoding="utf-8").splitlines() if Path(path).exists() else []
        facts += [line for line in lines if not line.startswith(("cpu MHz", "bogomips", "processor", "apicid", "initial apicid", "core id"))]
    return hashlib.sha256("\n".join(facts).encode()).hexdigest()[:16]


def probe(kernel: Path, accelerator: str = "kvm") -> tuple[bool, str]:
    """Whether a guest runs to the point where it misses its root disk, and how that was seen. Takes seconds."""
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="bulkhead-probe-") as directory:
        console = Path(directory) / "console.log"
        console.touch()
        command = [*qemu.machine(kernel, accelerator, "intel", 256, "console=ttyS0 loglevel=7 panic=-1"), "-no-reboot"]
        with subprocess.Popen(command, cwd=directory, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as guest:
            try:
                while True:
                    said = console.read_text(encoding="utf-8", errors="replace")
                    passed = time.monotonic() - started
                    if "Unable to mount root" in said:
                        return True, "a guest booted in %.1f s" % passed
                    if guest.poll() is not None:
                        words = " ".join((guest.stdout.read() if guest.stdout else "").split())
                        return False, "QEMU ended with exit status %d: %s" % (guest.returncode, words or "no reason given")
                    if not said and passed > SILENCE:
                        return False, "a guest that was started said nothing for %.0f s" % passed
                    if passed > PATIENCE:
                        return False, "a guest that was started got no further in %.0f s than: %s" % (passed, said.strip().splitlines()[-1])
                    time.sleep(0.1)
            finally:
                guest.kill()


def remember(accelerator: str, why: str) -> None:
    new = ANSWER.with_suffix(".%d" % os.getpid())
    new.write_text(json.dumps({"machine": fingerprint(), "accelerator": accelerator, "why": why}) + "\n", encoding="utf-8")
    new.replace(ANSWER)


def remembered() -> tuple[str, str] | None:
    try:
        answer = json.loads(ANSWER.read_text(encoding="utf-8"))
        return (answer["accelerator"], answer["why"]) if answer["machine"] == fingerprint() else None
    except (OSError, ValueError, KeyError):
        return None


def choose(kernel: Path) -> tuple[str, str]:
    """The accelerator for this machine and why, from memory where there is one."""
    known = remembered()
    if known:
        return known
    if not os.access("/dev/kvm", os.R_OK | os.W_OK):
        return "tcg", "there is no /dev/kvm that we may use"
    works, why = probe(kernel)
    accelerator = "kvm" if works else "tcg"
    remember(accelerator, why)
    return accelerator, why
