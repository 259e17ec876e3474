# Copyright: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""The end of all imports: whoever looks at a container's files must never load code from there."""

from __future__ import annotations

import sys

# The descriptor by which a sealed interpreter holds the core, until it has imported all that it will.
HOLD = 3


def seal() -> None:
    """From here on, nothing is ever loaded."""
    # The codecs that os.fsencode() and str.encode() look up on their first use.
    for codec in ("utf-8", "ascii", "latin-1"):
        "".encode(codec).decode(codec)
    sys.meta_path.clear()
    sys.path_hooks.clear()
    sys.path.clear()
    sys.path_importer_cache.clear()
