# SPDX-FileCopyrightText: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a node is made of: a kernel, a root disk and keys, in a cache that all checkouts share."""

from __future__ import annotations

import os
import shutil
import struct
import subprocess
import zlib
from pathlib import Path
from typing import NamedTuple

HERE = Path(__file__).resolve().parents[1]
ROOT = HERE.parents[1]
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "bulkhead/lab"


class LabError(Exception):
    """What went wrong with the lab itself, for people to read."""


class Images(NamedTuple):
    kernel: Path
    root: Path


def obstacle() -> str:
    """Why this machine cannot have a lab; empty where it can."""
    if os.geteuid() != 0:
        return "the lab's root disk can only be built by root"
    lacking = [name for name in ("qemu-system-x86_64", "qemu-img", "mmdebstrap", "mkfs.ext4", "ssh", "ssh-keygen") if not shutil.which(name)]
    return "not installed: %s (.ci/prepare lab installs it)" % ", ".join(lacking) if lacking else ""


def build() -> Images:
    """Build what the cache lacks. What the builds are at goes to standard error; with a warm cache this takes a moment."""
    why = obstacle()
    if why:
        raise LabError(why)
    found = []
    for script in ("root/build-root", "kernel/build-kernel"):
        done = subprocess.run([str(HERE / script)], stdout=subprocess.PIPE, text=True, check=False)
        if done.returncode:
            raise LabError("tests/lab/%s failed with exit status %d; what it said stands above" % (script, done.returncode))
        found.append(Path(done.stdout.strip()))
    return Images(kernel=uncompressed(found[1]), root=found[0])


def uncompressed(image: Path) -> Path:
    """The kernel proper out of a bzImage, kept beside it. QEMU starts it by its PVH entry.

    A kernel that unpacks itself under emulation is slow, and slower at a reboot, where it writes over translated code.
    Where it lies in a bzImage: Documentation/arch/x86/boot.rst.
    """
    kernel = image.with_suffix(".elf")
    if not kernel.exists():
        data = image.read_bytes()
        if data[0x202:0x206] != b"HdrS":
            raise LabError("%s is no kernel image" % image)
        offset, length = struct.unpack_from("<II", data, 0x248)
        start = (data[0x1F1] + 1) * 512 + offset
        new = image.with_suffix(".%d" % os.getpid())
        new.write_bytes(zlib.decompressobj(zlib.MAX_WBITS | 16).decompress(data[start : start + length]))
        new.replace(kernel)
    return kernel
