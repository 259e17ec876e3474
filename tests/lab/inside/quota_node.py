# SPDX-FileCopyrightText: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""File systems with quotas on loop files of a node, and the core asked as a module asks it."""

from __future__ import annotations

import contextlib
import os
import subprocess
from pathlib import Path

import converging
from ansible_collections.bulkhead.linux.plugins.module_utils._runtime.kernel import quotactl
from ansible_collections.bulkhead.linux.plugins.module_utils._runtime.quota.subject import Quotas

BEGIN = Path("/quota")
MAKE = {
    "ext4": "mkfs.ext4 -q -O quota,project -E quotatype=usrquota:grpquota:prjquota",
    "xfs": "mkfs.xfs -q",
    "btrfs": "mkfs.btrfs -q",
}
ENFORCED = {"ext4": "usrquota,grpquota,prjquota", "xfs": "uquota,gquota,pquota", "btrfs": "rw"}
NOBODY = 65534


def run(*command, check=True, **more):
    """Run a program; its standard output."""
    words = command if len(command) > 1 else ["sh", "-ec", command[0]]
    done = subprocess.run(words, capture_output=True, text=True, check=False, **more)
    assert not check or done.returncode == 0, (command, done.stdout, done.stderr)
    return done.stdout


@contextlib.contextmanager
def mounted(name, kind, options=None, make=None):
    """A new file system of 400 MB, mounted at a place of its own."""
    place, image = BEGIN / name, BEGIN / (name + ".img")
    place.mkdir(parents=True, exist_ok=True)
    run("truncate -s 400M %s; %s %s" % (image, make or MAKE[kind], image))
    run("mount -o loop,%s %s %s" % (options or ENFORCED[kind], image, place))
    try:
        yield place
    finally:
        run("umount -l %s; rm -f %s" % (place, image), check=False)


def remount(place, options):
    """Mount the file system at a place anew, with other options."""
    run("umount %s; mount -o loop,%s %s.img %s" % (place, options, place, place))


class Converged:
    """What a call came to: steps that were done, reports and warnings."""

    def __init__(self, steps, reports, warnings):
        self.steps, self.reports, self.warnings = steps, reports, warnings
        self.targets = [step.target for step in steps]


def converge(*items, check=False):
    """What a module does with these quotas: observe, plan, apply, look again."""
    planned, reports = converging.converge(Quotas(), items, check)
    return Converged(planned.steps, reports, planned.warnings)


def dquot(place, kind, identity):
    """What the kernel has of an id."""
    where = quotactl.Place(os.open(place, os.O_RDONLY), "")
    try:
        return quotactl.get(where, kind, identity)
    except FileNotFoundError:
        return quotactl.Dquot(identity, *[0] * 8)
    finally:
        where.close()


def fill(path, uid=NOBODY, chunk=4096, most=64 << 20, gid=None):
    """Write to a new file as a user until it is refused: (its size, the errno)."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        code = 255
        try:
            os.setgroups([])
            os.setresgid(*[NOBODY if gid is None else gid] * 3)
            os.setresuid(uid, uid, uid)
            fd = os.open(path, os.O_WRONLY | os.O_CREAT, 0o644)
            code, written = 0, 0
            try:
                while written < most:
                    written += os.write(fd, b"x" * chunk)
                os.fsync(fd)
            except OSError as error:
                code = error.errno
        except OSError as error:
            code = error.errno
        finally:
            os.write(writing, b"%d" % code)
            os._exit(0)
    os.close(writing)
    os.waitpid(pid, 0)
    code = int(os.read(reading, 16))
    os.close(reading)
    return (os.stat(path).st_size if os.path.exists(path) else None), code


def project_of(path):
    """The project of a file, by an independent program."""
    return int(run("lsattr", "-pd", str(path)).split()[0])
