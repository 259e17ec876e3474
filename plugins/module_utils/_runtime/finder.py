# Copyright: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Modules that are imported from memory: those of the packed core that lie before its archive (corefile.py tells why).

This runs by itself, before anything of the core can be imported, so it imports nothing of it.
"""

from __future__ import annotations

import marshal
from _frozen_importlib import ModuleSpec  # importlib.machinery, without its package

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class Finder:
    """Finder and loader of importlib in one."""

    def __init__(self, archive: str, modules: dict[str, tuple[bool, bytes]]) -> None:
        """modules: {name: (whether it is a package, its code)}."""
        self.archive = archive
        self.modules = modules

    def find_spec(self, name: str, _path: Any = None, _target: Any = None) -> Any:
        """Return the module's spec; None for one that is not at hand, which is then found in the archive."""
        if name not in self.modules:
            return None
        is_package = self.modules[name][0]
        place = "%s/%s" % (self.archive, name.replace(".", "/"))
        loader: Any = self
        spec = ModuleSpec(name, loader, origin=place, is_package=is_package)
        if is_package:
            spec.submodule_search_locations = [place]
        return spec

    def create_module(self, _spec: Any) -> None:
        """Have importlib make the module as usual."""

    def exec_module(self, module: Any) -> None:
        """Run the module's code."""
        exec(marshal.loads(self.modules[module.__name__][1]), module.__dict__)
