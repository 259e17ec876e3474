# Copyright: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# This is private to the collection: it may change at any time without notice.

"""How every module ends: with its answer, or with one error that a user can read."""

from __future__ import annotations

import typing as t

from ansible.module_utils.basic import AnsibleModule

from ._runtime.errors import BulkheadError, check_texts, without_root


def answer(
    module: AnsibleModule, ask: t.Callable[[], dict[str, t.Any]], binary: tuple[str, ...] = ()
) -> None:
    """Exit with what is answered, or fail with what went wrong. binary: the options that may hold
    any byte.
    """
    try:
        check_texts({name: value for name, value in module.params.items() if name not in binary})
        result = ask()
    except (BulkheadError, OSError) as error:
        refused = without_root(error) or (
            error
            if isinstance(error, BulkheadError)
            else BulkheadError.from_os("the machine could not be read", error)
        )
        module.fail_json(msg=str(refused), error=refused.facts(), **getattr(error, "result", {}))
    module.exit_json(**result)
