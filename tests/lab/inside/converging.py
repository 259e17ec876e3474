# SPDX-FileCopyrightText: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a module does with its options, without Ansible."""

from __future__ import annotations

import conftest  # noqa: F401  # pylint: disable=unused-import
from ansible_collections.bulkhead.linux.plugins.module_utils._runtime import pack, plan


def converge(subject, items, check=False):
    """(what was planned, reports): parse, plan, apply and look again, which must find nothing to do."""
    try:
        objects = [subject.parse(item) for item in items]
        first = last = subject.plan(objects)
        whole = plan.Plan()
        whole.steps = [*pack.steps(), *first.steps] if first.needs_core else list(first.steps)
        if whole.steps and not check:
            subject.apply(whole)
            subject.wait(objects)
            last = subject.plan(objects)
            assert not last.steps, [step.facts() for step in last.steps]
        return first, subject.report(objects, last)
    finally:
        subject.finish()
