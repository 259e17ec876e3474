# Copyright: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Where the packed core is, and the texts of programs by which an interpreter comes to run it (pack.py makes it).

The texts go through shells, by way of a container's connection. Each shell on the way would multiply quotes, until a command
is longer than the kernel takes: so nothing in them is in quotes, or means something to a shell within double quotes.
"""

from __future__ import annotations

import binascii
import os

PACKAGE = "bulkhead"
_PREFIX = os.environ.get("BULKHEAD_PREFIX", "").rstrip("/")
PATH = _PREFIX + "/usr/local/libexec/bulkhead.pyz"
# A directory in it for each container (container/paths.py has the other places).
STATES = _PREFIX + "/run/bulkhead/containers/"
# The first line of the core names its interpreter, in no more bytes than the kernel reads of it (BINPRM_BUF_SIZE,
# include/uapi/linux/binfmts.h). Behind it lie the modules that are at hand (finder.py), then the archive.
LONGEST_LINE = 256

# Take a hold of the core at `path`: nobody replaces it between two of its files that are read.
HOLD = """
import fcntl, os, sys
while True:
    hold = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    fcntl.flock(hold, fcntl.LOCK_SH)
    if os.path.samestat(os.stat(path), os.fstat(hold)):
        break
    os.close(hold)
"""
# Have its modules found, those that are at hand without a look into the archive: to read its directory takes as long as to
# import them all, and nothing is garbage by then. They are byte code, so `quick` is true only on the version of the interpreter that they are of. Behind the
# first line are the number of that version, the size of what is at hand (4 bytes), and itself.
FIND = """
import gc, marshal
from _frozen_importlib_external import MAGIC_NUMBER
head = os.pread(hold, %d, 0)
place = head.index(bytes([10])) + 5
quick = head[place - 4:place] == MAGIC_NUMBER
if quick:
    gc.disable()
    size = int.from_bytes(head[place:place + 4], sys.byteorder)
    finder, modules = marshal.loads(os.pread(hold, size, place + 4))
    exec(finder)
    sys.meta_path.insert(0, Finder(path, modules))
else:
    sys.path.insert(0, path)
from %s.cli import main
""" % (LONGEST_LINE, PACKAGE)

# The main program of the archive. Its directory may have been replaced since it was read.
MAIN = """import importlib, os
path = os.path.dirname(__file__)
%simportlib.invalidate_caches()
from %s.cli import main

sys.exit(main(sys.argv[1:]))
""" % (HOLD, PACKAGE)
# For a sealed interpreter, which inherits a hold (seal.py). Arguments: the path of the core, the number of the hold's descriptor,
# and the words of the command.
SEALED = """
import os, sys
path, hold = sys.argv[1], int(sys.argv[2])
%ssys.exit(main(sys.argv[3:]))
""" % FIND
# For the shell of a connection. Arguments: the path of the core, and the words of a command, encoded. On a sealed interpreter
# there are two more: the verb to go on with at once, which only a core with modules at hand knows, and the interpreter that is
# not sealed, which is to be sealed again where the core has none.
ENTER = """
import sys
path = sys.argv[1]
%s%s
import binascii
words = [os.fsdecode(word) for word in binascii.a2b_base64(sys.argv[2]).split(bytes(1))]
if sys.argv[3:]:
    sys.executable = sys.argv[4]
if quick and sys.argv[3:]:
    words = [sys.argv[3], str(hold), *words[1:]]
sys.exit(main(words))
""" % (HOLD, FIND)

# The interpreter is the one that the core's first line names. Where the container's supervisor is the process that a file beside
# its record names, its own interpreter is taken, which no process of a container can write (container/entrance.py): so only one
# is started. Descriptor 9 is the supervisor's directory in /proc, which is never that of a later process of the same number.
_ON_NODE = """core="${BULKHEAD_PREFIX:-}/usr/local/libexec/bulkhead.pyz"
entry="${BULKHEAD_PREFIX:-}/run/bulkhead/containers/%(name)s/entry"
program="%(enter)s"
words=%(words)s
sealed() {
IFS= read -r stat </proc/self/fd/9/stat && set -- ${stat##*) } && [ "${20}" = "$start" ] && [ -x /proc/self/fd/9/exe ]
} 2>/dev/null
plain() {
$first -c "$program" "$core" $words%(input)s
}
enter() {
entered=yes
sealed || { plain; return; }
env -i LC_ALL=C.UTF-8 BULKHEAD_PREFIX="${BULKHEAD_PREFIX:-}" /proc/self/fd/9/exe -I -S -c "$program" "$core" $words \
exec-here "${first%%%% *}"%(input)s
status=$?
[ $status != 127 ] || [ -x /proc/self/fd/9/exe ] || {
echo "bulkhead: container %(name)s ended before the command ran" >&2
return 255
}
return $status
}
entered= start= library=
if IFS= read -r first 2>/dev/null <"$core"; then
first=${first#??}
IFS=" " read -r pid start library 2>/dev/null <"$entry"
[ -e "$library" ] && [ -d "/proc/$pid" ] || start=
if [ "$start" ]; then
enter 9<"/proc/$pid"
status=$?
[ "$entered" ] || start=
fi
[ "$start" ] || { plain; status=$?; }
else
echo "bulkhead: $core is not there: no module of bulkhead.linux has made a container here" >&2
status=255
fi
printf "\\nbulkhead-status:%%d\\n" $status >&2"""
_NAME = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-"


def on_node(container: str, words: list[bytes], has_input: bool) -> str:
    """The script for /bin/sh by which a node runs these words, the first of which is `exec`, for this container.

    Its last line on the standard error is `bulkhead-status:N`. has_input: whether the command gets what the script gets.
    """
    plain = set(container) <= set(_NAME) and not container.startswith(".")
    encoded = binascii.b2a_base64(b"\0".join(words), newline=False).decode()
    return _ON_NODE % {
        "name": container if plain else "",
        "enter": ENTER,
        "words": encoded,
        "input": "" if has_input else " </dev/null",
    }
