# SPDX-FileCopyrightText: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Lets the tests import this checkout by the name under which Ansible knows it, wherever the checkout lies.

    from ansible_collections.bulkhead.linux.plugins.module_utils._runtime import units

The name stands for the directory itself, no copy in between: what is edited is what is tested, at once and without root.
Where ansible-test has already made the name (`ansible-test units`), it is left alone.
"""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).resolve().parents[3]


def _package(name: str, *path: Path) -> None:
    module = ModuleType(name)
    module.__path__ = [str(directory) for directory in path]
    sys.modules[name] = module
    parent = sys.modules.get(name.rpartition(".")[0])
    if parent:
        setattr(parent, name.rpartition(".")[2], module)


if "ansible_collections" not in sys.modules:
    _package("ansible_collections")
    _package("ansible_collections.bulkhead")
    _package("ansible_collections.bulkhead.linux", ROOT)
