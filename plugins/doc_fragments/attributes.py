# Copyright: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Documentation that every module of the collection shares."""

from __future__ import annotations


class ModuleDocFragment:
    """Attributes of modules that change state, and of those that only look."""

    DOCUMENTATION = r"""
options: {}
attributes:
  check_mode:
    support: full
    description: Can run in C(check_mode) and return what would change, as the exact kernel writes in their order, without writing.
  diff_mode:
    support: full
    description: Returns the kernel writes of the run, before and after, when in diff mode.
  idempotent:
    support: full
    description: When run again with the same options, finds nothing to do and writes nothing.
  platform:
    platforms: linux
    support: full
    description: The target operating systems.
  action_group:
    support: full
    membership:
      - bulkhead.linux.isolation
    description: Use C(group/bulkhead.linux.isolation) in C(module_defaults) to set defaults for this module, such as C(persist).
"""

    INFO = r"""
options: {}
attributes:
  check_mode:
    support: full
    description: Only looks, so that check mode is the same as any other run.
  diff_mode:
    support: N/A
    description: Only looks, so that there is nothing to compare.
  idempotent:
    support: full
    description: Changes nothing.
  platform:
    platforms: linux
    support: full
    description: The target operating systems.
  action_group:
    support: none
    membership: []
    description: Use C(group/bulkhead.linux.isolation) in C(module_defaults) to set defaults for modules; this one has no option in common with them.
"""
