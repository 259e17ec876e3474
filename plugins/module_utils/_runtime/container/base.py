# Copyright: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""The ground of `rootfs: host`: a skeleton of a root, with a copy of what everybody on the machine may read of its /etc.

The machine's root is not shown to a container; a new one is composed. Private and empty: /home, /root, /srv, /opt, /mnt,
/media, /var, /run, /tmp. From the machine, each as a private writable view: /usr, and /bin, /sbin and /lib* where these
are directories of their own. /etc is copied, and not viewed, because what is in it changes while containers run: a key that
is put there tomorrow must not appear in a container of today. The copy holds only what an unprivileged user of the machine
could read; so password hashes, host keys, sudo rules, private TLS keys and the like are left out by a rule and not by a list.

One copy serves all containers, until the machine's /etc changes. It stays for the next one when the last of them goes: to
copy some thousand files takes longer than everything else that starts a container.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import stat

from ..errors import BulkheadError
from . import state
from .paths import Paths

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

_PRIVATE = (
    ("dev", 0o755),
    ("etc", 0o755),
    ("home", 0o755),
    ("media", 0o755),
    ("mnt", 0o755),
    ("opt", 0o755),
    ("proc", 0o555),
    ("root", 0o700),
    ("run", 0o755),
    ("run/lock", 0o1777),
    ("srv", 0o755),
    ("sys", 0o555),
    ("tmp", 0o1777),
    ("var", 0o755),
    ("var/cache", 0o755),
    ("var/lib", 0o755),
    ("var/log", 0o755),
    ("var/spool", 0o755),
    ("var/tmp", 0o1777),
)
_VIEWS = ("usr", "bin", "sbin", "lib", "lib32", "lib64", "libx32")
# In /etc and readable by all, but about this machine and not about what runs on it; the container gets its own or none.
# systemd's units change with each container that systemd supervises, and say what else runs here.
_NOT_COPIED = (
    "bulkhead",
    "fstab",
    "hostname",
    "hosts",
    "machine-id",
    "mtab",
    "resolv.conf",
    "systemd/system",
)
_LARGEST_FILE = 16 << 20
_UNFINISHED = ".new."  # and the process that is at it


def views() -> list[str]:
    """The directories of the machine of which a container gets a view."""
    return [name for name in _VIEWS if os.path.isdir("/" + name) and not os.path.islink("/" + name)]


def _links() -> list[tuple[str, str]]:
    return [(name, os.readlink("/" + name)) for name in _VIEWS if os.path.islink("/" + name)]


def skeleton() -> dict[str, str | None]:
    """What is there beside the views and /etc: directories (None) and links, by path and where these lead."""
    return {**{name: None for name, _mode in _PRIVATE}, **dict(_links())}


def _readable(source: int, below: str = "") -> Iterator[tuple[str, os.stat_result, int]]:
    """(path, status, directory descriptor) of everything in a directory that others may read, directories before their content."""
    with os.scandir(source) as entries:
        names = sorted(entry.name for entry in entries)
    for name in names:
        path = below + name
        if path in _NOT_COPIED:
            continue
        try:
            status = os.stat(name, dir_fd=source, follow_symlinks=False)
        except FileNotFoundError:
            continue
        if stat.S_ISDIR(status.st_mode):
            if status.st_mode & 0o005 != 0o005:
                continue
            try:
                inner = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=source)
            except (FileNotFoundError, NotADirectoryError):
                continue
            try:
                yield path, status, source
                yield from _readable(inner, path + "/")
            finally:
                os.close(inner)
        elif stat.S_ISLNK(status.st_mode) or (stat.S_ISREG(status.st_mode) and status.st_mode & 0o004 and status.st_size <= _LARGEST_FILE):
            yield path, status, source


def fingerprint() -> str:
    """What a copy made now would hold, in short: it changes with any name, mode, owner, size or time in /etc."""
    import hashlib

    digest = hashlib.sha256(repr((_PRIVATE, views(), _links(), _NOT_COPIED)).encode())
    source = os.open("/etc", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for path, status, _directory in _readable(source):
            numbers = (
                status.st_mode,
                status.st_uid,
                status.st_gid,
                status.st_size if not stat.S_ISDIR(status.st_mode) else 0,
                status.st_mtime_ns,
                status.st_ino,
            )
            digest.update(os.fsencode(path) + repr(numbers).encode())
    finally:
        os.close(source)
    return digest.hexdigest()[:16]


@contextlib.contextmanager
def _locked(paths: Paths) -> Iterator[None]:
    """Nobody else makes or removes a base meanwhile. A record names its base before the base is made, so what is named is kept."""
    fd = os.open(paths.bases, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield
    finally:
        os.close(fd)


def make(paths: Paths, print_: str) -> str:
    """Have the base of this fingerprint, and return its directory. It comes to be under its name only when it is whole."""
    directory = paths.bases + "/" + print_
    with _locked(paths):
        if not os.path.isdir(directory):
            _make(paths, directory)
    return directory


def _make(paths: Paths, directory: str) -> None:
    unfinished = "%s/%s%d" % (paths.bases, _UNFINISHED, os.getpid())
    old = os.umask(0)
    try:
        os.mkdir(unfinished, 0o755)
        for name, mode in _PRIVATE:
            os.mkdir(unfinished + "/" + name, mode)
        for name in views():
            os.mkdir(unfinished + "/" + name, 0o755)
        for name, target in _links():
            os.symlink(target, unfinished + "/" + name)
        _copy(unfinished + "/etc")
        os.rename(unfinished, directory)
    except OSError as error:
        remove(unfinished)
        raise BulkheadError.from_os("the base of containers with the machine's own root could not be made", error, target=directory) from None
    finally:
        os.umask(old)


def _copy(target: str) -> None:
    source = os.open("/etc", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for path, status, directory in _readable(source):
            name = path.rpartition("/")[2]
            copy = target + "/" + path
            if stat.S_ISDIR(status.st_mode):
                os.mkdir(copy, stat.S_IMODE(status.st_mode))
            elif stat.S_ISLNK(status.st_mode):
                os.symlink(os.readlink(name, dir_fd=directory), copy)
            else:
                _copy_file(name, directory, copy)
                continue
            os.chown(copy, status.st_uid, status.st_gid, follow_symlinks=False)
    finally:
        os.close(source)
    with open(target + "/machine-id", "w", encoding="utf-8"):
        pass  # "uninitialised", machine-id(5)
    os.symlink("/proc/self/mounts", target + "/mtab")


def _copy_file(name: str, directory: int, copy: str) -> None:
    """One file, if it is readable by all at the moment in which it is open."""
    try:
        fd = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=directory)
    except OSError:
        return
    try:
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode) or not status.st_mode & 0o004:
            return
        new = os.open(copy, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            while os.sendfile(new, fd, None, 1 << 20):
                pass
            os.fchown(new, status.st_uid, status.st_gid)
            os.fchmod(new, stat.S_IMODE(status.st_mode))
        finally:
            os.close(new)
    finally:
        os.close(fd)


def remove(directory: str) -> None:
    """Remove a directory with all that is in it, following no link; nothing to do when it is not there."""
    import shutil

    try:
        shutil.rmtree(directory)
    except FileNotFoundError:
        pass


def users(paths: Paths) -> dict[str, str]:
    """{container: the base that its record names}."""
    found = {}
    for name in os.listdir(paths.states) if os.path.isdir(paths.states) else []:
        record = state.read(paths.state(name))
        if record and record.get("base"):
            found[name] = str(record["base"])
    return found


def names(paths: Paths) -> list[str]:
    """The bases that there are, unfinished ones of runs that are gone among them."""
    found = os.listdir(paths.bases) if os.path.isdir(paths.bases) else []
    return [name for name in found if not (name.startswith(_UNFINISHED) and os.path.exists("/proc/" + name[len(_UNFINISHED) :]))]


def unused(paths: Paths, used: set[str]) -> list[str]:
    """Return the bases that may go: those not in use, but for the last that was made, which serves the next container.

    used: the bases that containers have, and those that are about to be made.
    """
    there = names(paths)
    whole = [name for name in there if not name.startswith(_UNFINISHED)]
    if whole and used <= set(there):
        used = used | {max(whole, key=lambda name: os.stat(paths.bases + "/" + name).st_ctime_ns)}
    return [name for name in there if name not in used]


def collect(paths: Paths) -> None:
    """Remove the bases that are not needed any more, and what unfinished runs left."""
    if not os.path.isdir(paths.bases):
        return
    with _locked(paths):
        if any((state.read(paths.state(name)) or {}).get("damaged") for name in os.listdir(paths.states)):
            return  # one that nobody can tell may be in use
        for name in unused(paths, set(users(paths).values())):
            remove(paths.bases + "/" + name)


def write_own_files(upper: str, hostname: str, shares_network: bool) -> None:
    """The files of /etc that are about one container."""
    etc = upper + "/etc"
    os.makedirs(etc, mode=0o755, exist_ok=True)
    resolver = ""
    if shares_network:
        try:
            with open("/etc/resolv.conf", encoding="utf-8", errors="replace") as file:
                resolver = file.read(65536)
        except OSError:
            pass
    hosts = "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n127.0.1.1\t%s\n" % hostname
    for name, text in (("hostname", hostname + "\n"), ("hosts", hosts), ("resolv.conf", resolver)):
        fd = os.open(etc + "/" + name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
        try:
            os.write(fd, text.encode())
            os.fchmod(fd, 0o644)
        finally:
            os.close(fd)
