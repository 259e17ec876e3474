# Copyright: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""The runtime core as one file, for what outlives the module: monitors of containers, and the node's own command.

Inside a running Ansible module the core is part of the module's payload, an archive that is deleted when the module ends;
from a checkout it is a directory. Either way its files are put, uncompressed and with their byte code, into one zip file
whose package is called `bulkhead`. A payload holds what its module imports and no more, so a module that leaves the core
behind imports cli.py, which knows all of it.

Python opens the archive again for each import. So whoever runs from it holds a shared lock on the file until everything is
imported, and whoever replaces it waits for them.
"""

from __future__ import annotations

import contextlib
import functools
import os
import sys

from .corefile import MAIN, PACKAGE, PATH
from .errors import BulkheadError
from .kernel import flock
from .kernel.files import read_text
from .plan import Step

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

_SYSTEM_PYTHON = "/usr/bin/python3"
_DIGITS = 64
# A replay that starts many containers takes its time.
_PATIENCE = 600.0
# What a command in a running container needs (container/session.py), and no more: these modules are at hand (corefile.py).
_AT_HAND = """
    __init__ cli corefile errors
    kernel/__init__ kernel/files kernel/ioctls kernel/seccomp kernel/syscalls
    container/__init__ container/attend container/becoming container/entrance container/execute container/imports container/live
    container/process container/session container/state container/streams container/terminal container/wire
"""


def _archive() -> str | None:
    """The zip file that this process runs the core from; None for a directory."""
    package = sys.modules[__name__.rpartition(".")[0]]
    archive: str | None = getattr(package.__loader__, "archive", None)
    return archive


def sources() -> dict[str, bytes]:
    """{path below the core's package: source} of every file of the core that this process can see."""
    package = sys.modules[__name__.rpartition(".")[0]]
    archive = _archive()
    if archive is None:
        root = os.path.dirname(os.path.abspath(str(package.__file__)))
        found = {}
        for directory, _directories, names in os.walk(root):
            for name in names:
                if name.endswith(".py"):
                    path = os.path.join(directory, name)
                    with open(path, "rb") as file:
                        found[os.path.relpath(path, root)] = file.read()
        return found
    import zipfile

    # The archive's own name for the package's directory.
    prefix = os.path.relpath(os.path.dirname(str(package.__file__)), archive) + "/"
    with zipfile.ZipFile(archive) as payload:
        return {name[len(prefix) :]: payload.read(name) for name in payload.namelist() if name.startswith(prefix) and name.endswith(".py")}


def _first_line() -> bytes:
    """How the packed core is run as a command: by the machine's own Python where that is the one that runs now.

    Its link outlives an upgrade of the machine, the file behind it does not.
    """
    python = interpreter()
    return b"#!%s -IS\n" % (_SYSTEM_PYTHON if os.path.realpath(_SYSTEM_PYTHON) == python else python).encode()


def _fingerprint(files: dict[str, bytes]) -> bytes:
    import hashlib

    # Byte code belongs to one version of the interpreter.
    digest = hashlib.sha256(sys.version.encode() + _first_line() + MAIN.encode())
    for name in sorted(files):
        digest.update(b"%s\0%d\0" % (name.encode(), len(files[name])))
        digest.update(files[name])
    return digest.hexdigest().encode()


def _comment_of(path: str) -> bytes:
    """The last bytes of a zip file: its comment, where it is one of ours; empty where there is no such file."""
    try:
        with open(path, "rb") as file:
            file.seek(-_DIGITS, os.SEEK_END)
            return file.read()
    except OSError:
        return b""


def _byte_code(source: bytes, name: str) -> bytes:
    """What import would write for this source: never checked against it (PEP 552), because both are replaced together."""
    import importlib.util
    import marshal

    code: Any = compile(source, name, "exec", dont_inherit=True, optimize=0)
    return importlib.util.MAGIC_NUMBER + (1).to_bytes(4, "little") + importlib.util.source_hash(source) + marshal.dumps(code)


def _at_hand(files: dict[str, bytes]) -> bytes:
    """The modules that are found without the archive, as the program that finds them expects it (corefile.FIND)."""
    import importlib.util
    import marshal

    found = {}
    for name in _AT_HAND.split():
        module = "/".join([PACKAGE, name]).replace("/__init__", "").replace("/", ".")
        code = compile(files[name + ".py"], name + ".py", "exec", dont_inherit=True, optimize=0)
        found[module] = (name.endswith("__init__"), marshal.dumps(code))
    finder = compile(files["finder.py"], "finder.py", "exec", dont_inherit=True, optimize=0)
    packed = marshal.dumps((finder, found))
    return importlib.util.MAGIC_NUMBER + len(packed).to_bytes(4, sys.byteorder) + packed


def _packed(files: dict[str, bytes], fingerprint: bytes) -> bytes:
    import io
    import zipfile

    buffer = io.BytesIO(_first_line() + _at_hand(files))
    buffer.seek(0, os.SEEK_END)
    with zipfile.ZipFile(buffer, "a", zipfile.ZIP_STORED) as packed:
        for name, source in [("__main__.py", MAIN.encode())] + [(PACKAGE + "/" + name, files[name]) for name in sorted(files)]:
            for entry, content in ((name + "c", _byte_code(source, name)), (name, source)):
                packed.writestr(zipfile.ZipInfo(entry, (1980, 1, 1, 0, 0, 0)), content)
        packed.comment = fingerprint
    return buffer.getvalue()


def _replace(path: str, content: bytes) -> None:
    """Put the content there at once, so that a crash leaves the old file or the new one; only under the lock on the directory."""
    # One fixed name for the neighbour: what a killed run left there is overwritten by the next.
    neighbour = os.path.join(os.path.dirname(path), ".%s.new" % os.path.basename(path))
    fd = os.open(neighbour, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o755)
    try:
        with os.fdopen(fd, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.rename(neighbour, path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(neighbour)
        raise


@functools.lru_cache(maxsize=1)
def _whole() -> tuple[dict[str, bytes], bytes]:
    """Every source of the core, and what tells this version from others."""
    files = sources()
    if "cli.py" not in files:
        raise BulkheadError("the runtime core is not whole", target=PATH, hint="the module that needs it must import all of it")
    return files, _fingerprint(files)


def _runs_from(path: str) -> bool:
    """Whether this very process runs from the packed core there: then it is the right one, and in use."""
    archive = _archive()
    return archive is not None and os.path.exists(path) and os.path.samefile(archive, path)


def ensure(path: str) -> bool:
    """Have the core of this very version at `path`; returns whether it had to be written."""
    if _runs_from(path):
        return False
    files, fingerprint = _whole()
    if _comment_of(path) == fingerprint:
        return False
    content = _packed(files, fingerprint)
    os.makedirs(os.path.dirname(path), mode=0o755, exist_ok=True)
    with flock.held(os.path.dirname(path), True, _PATIENCE), contextlib.ExitStack() as users:
        with contextlib.suppress(FileNotFoundError):
            users.enter_context(flock.held(path, True, _PATIENCE, "the core has been in use for %d seconds"))
        if _comment_of(path) == fingerprint:
            return False  # another run was faster
        _replace(path, content)
    return True


@contextlib.contextmanager
def in_use(path: str) -> Iterator[None]:
    """The core of this very version is at `path`, and is not replaced for the time of the `with` block."""
    while True:
        ensure(path)
        try:
            fd = flock.take_path(path, False, _PATIENCE)
        except FileNotFoundError:
            continue
        if _runs_from(path) or _comment_of(path) == _whole()[1]:
            break
        os.close(fd)
    try:
        yield
    finally:
        os.close(fd)


class LeaveCore(Step):
    """Leave the core on the node, where its boot finds it, and a link to it among the machine's commands."""

    def __init__(self, path: str, before: str | None, after: str) -> None:
        self.target = path
        self.before = before
        self.after = after

    def do(self) -> None:
        ensure(self.target)
        _link(self.target)

    def undo(self) -> None:
        """It stays: another run may rely on it by now, and of itself it does nothing."""


def steps() -> list[Step]:
    """What is to be done to have the core of this version on the node; nothing where it is there."""
    _files, fingerprint = _whole()
    held = _comment_of(PATH)
    if held == fingerprint and _is_linked(PATH):
        return []
    return [LeaveCore(PATH, _shown(held) if held else None, _shown(fingerprint))]


def _shown(fingerprint: bytes) -> str:
    text = fingerprint.decode("ascii", "replace")
    return "core %s" % text[:12] if text.isalnum() else "another file"


def _command(path: str) -> str:
    return os.path.join(os.path.dirname(os.path.dirname(path)), "bin", "bulkhead")


def _is_linked(path: str) -> bool:
    """Whether the command leads to the core. A file of somebody else that is called so is left alone."""
    command = _command(path)
    return os.path.lexists(command) and (not os.path.islink(command) or os.readlink(command) == path)


def _link(path: str) -> None:
    if _is_linked(path):
        return
    command = _command(path)
    os.makedirs(os.path.dirname(command), mode=0o755, exist_ok=True)
    neighbour = "%s.%d" % (command, os.getpid())
    os.symlink(path, neighbour)
    os.rename(neighbour, command)


def interpreter() -> str:
    """The interpreter that runs this process, with links followed: what the byte code was made for."""
    path = os.path.realpath(sys.executable or read_text("/proc/self/exe") or _SYSTEM_PYTHON)
    if not os.access(path, os.X_OK):
        raise BulkheadError("the Python interpreter %r cannot be run" % path, target=path)
    return path
