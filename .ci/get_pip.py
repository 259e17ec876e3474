# SPDX-FileCopyrightText: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Stands in for the get-pip.py that ansible-test would fetch from the web, where only a package index is in reach.

The same interface: installs pip into the interpreter that runs it, at the versions given as arguments. The pip that
comes with Python takes the first step, and then fetches those versions from the index.
"""

from __future__ import annotations

import ensurepip
import os
import subprocess
import sys


def main() -> int:
    environment = dict(os.environ)  # ensurepip changes os.environ: it makes pip ignore its configuration
    ensurepip.bootstrap()
    ours = [argument for argument in sys.argv[1:] if argument not in ("--no-setuptools", "--no-wheel")]
    return subprocess.run([sys.executable, "-m", "pip", "install", *ours], env=environment, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
