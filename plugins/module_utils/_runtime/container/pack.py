# Copyright: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""The runtime core as one file, so that processes which outlive the module can be started from it.

Inside a running Ansible module the core is part of the module's payload, an archive that is deleted when the module ends;
from a checkout it is a directory. Either way its files are put, uncompressed and with their byte code, into one zip file
whose package is called `bulkhead`.
"""

from __future__ import annotations

import os
import sys

from ..errors import BulkheadError
from ..kernel.files import read_text

# Everything that runs from the packed file has to be part of the payload, so it has to be imported by what packs it.
from . import helper as _helper  # noqa: F401

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

PACKAGE = "bulkhead"
_MAIN = "import sys\nfrom %s.cli import main\n\nsys.exit(main(sys.argv[1:]))\n" % PACKAGE


def sources() -> dict[str, bytes]:
    """{path below the core's package: source} of every file of the core that this process can see."""
    package = sys.modules[__name__.rpartition(".container.")[0]]
    archive: str | None = getattr(package.__loader__, "archive", None)
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


def _fingerprint(files: dict[str, bytes]) -> bytes:
    import hashlib

    # Byte code belongs to one version of the interpreter.
    digest = hashlib.sha256(sys.version.encode() + sys.executable.encode())
    for name in sorted(files):
        digest.update(b"%s\0%d\0" % (name.encode(), len(files[name])))
        digest.update(files[name])
    return digest.hexdigest().encode()


def _comment_of(path: str, length: int) -> bytes:
    """The last bytes of a zip file: its comment, where it has one of this length."""
    try:
        with open(path, "rb") as file:
            file.seek(-length, os.SEEK_END)
            return file.read()
    except OSError:
        return b""


def _byte_code(source: bytes, name: str) -> bytes:
    """What import would write for this source: never checked against it (PEP 552), because both are replaced together."""
    import importlib.util
    import marshal

    code: Any = compile(source, name, "exec", dont_inherit=True, optimize=0)
    return importlib.util.MAGIC_NUMBER + (1).to_bytes(4, "little") + importlib.util.source_hash(source) + marshal.dumps(code)


def ensure(path: str) -> bool:
    """Have the core of this very version at `path`; returns whether it had to be written."""
    files = sources()
    if "cli.py" not in files:
        raise BulkheadError("the runtime core is not whole", target=path, hint="the module that needs it must import all of it")
    fingerprint = _fingerprint(files)
    if _comment_of(path, len(fingerprint)) == fingerprint:
        return False
    import io
    import zipfile

    buffer = io.BytesIO(b"#!%s -IS\n" % os.path.realpath(sys.executable).encode())
    buffer.seek(0, os.SEEK_END)
    with zipfile.ZipFile(buffer, "a", zipfile.ZIP_STORED) as packed:
        for name, source in [("__main__.py", _MAIN.encode())] + [(PACKAGE + "/" + name, files[name]) for name in sorted(files)]:
            for entry, content in ((name + "c", _byte_code(source, name)), (name, source)):
                packed.writestr(zipfile.ZipInfo(entry, (1980, 1, 1, 0, 0, 0)), content)
        packed.comment = fingerprint
    os.makedirs(os.path.dirname(path), mode=0o755, exist_ok=True)
    neighbour = "%s.%d" % (path, os.getpid())
    fd = os.open(neighbour, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o755)
    try:
        with os.fdopen(fd, "wb") as file:
            file.write(buffer.getvalue())
            file.flush()
            os.fsync(file.fileno())
        os.rename(neighbour, path)
    except OSError:
        os.unlink(neighbour)
        raise
    return True


def interpreter() -> str:
    """The interpreter that runs this process, with links followed: what the byte code was made for."""
    path = os.path.realpath(sys.executable or read_text("/proc/self/exe") or "/usr/bin/python3")
    if not os.access(path, os.X_OK):
        raise BulkheadError("the Python interpreter %r cannot be run" % path, target=path)
    return path
