# Copyright: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

# This is private to the collection: it may change at any time without notice.

"""What every module of the collection shares with Ansible: bulk, check mode, diff, results, errors, persistence.

A module is documentation, an argument spec and a Subject: how its objects are read from options, planned and reported.
Everything else, from the first validation to the proof that a second run would find nothing to do, is here once.
"""

from __future__ import annotations

import contextlib
import gc
import typing as t

from ansible.module_utils.basic import AnsibleModule

from ._runtime import cli as _cli  # noqa: F401  (all of the core, so that it is in the payload and can be left on the node)
from ._runtime import desired, pack, plan, records
from ._runtime.errors import BulkheadError, InvalidInput
from ._runtime.subject import Subject


def argument_spec(subject: type[Subject], options: dict[str, t.Any]) -> dict[str, t.Any]:
    """The whole argument spec: one object's options at the top, and a list of the same under the plural."""
    item = {name: dict(spec) for name, spec in options.items()}
    item[subject.key]["required"] = True
    spec = {name: {field: value for field, value in entry.items() if field != "required"} for name, entry in options.items()}
    spec[subject.plural] = {"type": "list", "elements": "dict", "options": item}
    if subject.persists:
        spec["persist"] = {"type": "bool"} if subject.persist_default is None else {"type": "bool", "default": subject.persist_default}
    return spec


def run(subject_class: type[Subject], options: dict[str, t.Any]) -> None:
    """The whole life of a module that manages objects."""
    # A module lives for a second and makes no cycles worth collecting; with a thousand objects the collector takes a fifth of it.
    gc.disable()
    module = AnsibleModule(
        argument_spec=argument_spec(subject_class, options),
        supports_check_mode=True,
        required_one_of=[(subject_class.key, subject_class.plural)],
        mutually_exclusive=[(subject_class.key, subject_class.plural)],
    )
    try:
        module.exit_json(**_converge(module, subject_class, options))
    except BulkheadError as error:
        module.fail_json(msg=str(error), error=error.facts(), **error.result)
    except OSError as error:
        module.fail_json(msg=str(BulkheadError.from_os("the machine could not be read", error, hint="run as root (become: true)")))


def _converge(module: AnsibleModule, subject_class: type[Subject], options: dict[str, t.Any]) -> dict[str, t.Any]:
    """Observe, plan, apply, and look again."""
    subject = subject_class()
    subject.persist = module.params.get("persist", True)
    try:
        # What a replay is just bringing back is neither missing nor to be made a second time.
        with contextlib.nullcontext() if module.check_mode else desired.changing():
            items = _items(module, subject, options)
            objects = _parse_all(subject, items)
            last = subject.plan(objects)
            the_plan = _whole_plan(module, subject, items, last)
            if the_plan.steps and not module.check_mode:
                subject.apply(the_plan)
        if the_plan.steps and not module.check_mode:
            subject.wait(objects)
            if last.steps:
                last = _look_again(subject, objects, the_plan)
        return _result(module, subject, objects, the_plan, last)
    finally:
        subject.finish()


def _whole_plan(module: AnsibleModule, subject: Subject, items: list[dict[str, t.Any]], last: plan.Plan) -> plan.Plan:
    """What the subject would do, and what lasts: the core on the node, and the desired state for the next boot."""
    whole = plan.Plan()
    whole.warnings = last.warnings
    kept: list[plan.Step] = []
    comes_back = False
    persist = module.params["persist"] if subject.persists else False
    if persist is not False:
        kept = desired.steps(subject, items, last.fresh, persist)
        comes_back = any(item.get("state") != "absent" and subject.kept({}, item, persist) is not None for item in items)
    whole.steps = [*(pack.steps() if comes_back or last.needs_core else []), *last.steps, *kept]
    return whole


def _result(module: AnsibleModule, subject: Subject, objects: list[t.Any], the_plan: plan.Plan, last: plan.Plan) -> dict[str, t.Any]:
    result: dict[str, t.Any] = {"changed": bool(the_plan.steps), "writes": the_plan.writes()}
    if module._diff:
        result["diff"] = the_plan.diff()
    for warning in the_plan.warnings:
        module.warn(warning)
    reports = subject.report(objects, last)
    result[subject.plural] = reports
    # Ansible echoes the arguments; those of a thousand objects would be mostly what was not given.
    result["invocation"] = {"module_args": records.without_none(module.params)}
    if module.params[subject.plural] is None:
        result.update((name, reports[0][name]) for name in ("asked", "effective", "rounded") if name in reports[0])
    return result


def _items(module: AnsibleModule, subject: Subject, options: dict[str, t.Any]) -> list[dict[str, t.Any]]:
    bulk: list[dict[str, t.Any]] | None = module.params[subject.plural]
    if bulk is not None:
        return bulk
    return [{name: module.params[name] for name in options}]


def _parse_all(subject: Subject, items: list[dict[str, t.Any]]) -> list[t.Any]:
    """Every object, or one error that names all that is wrong with any of them."""
    objects, errors = [], []
    for item in items:
        try:
            objects.append(subject.parse(item))
        except InvalidInput as error:
            errors.append(error)
    if not errors:
        return objects
    wrong = errors[0]
    if len(errors) > 1:
        wrong = InvalidInput("nothing was changed, because %d of %d are wrong: %s" % (len(errors), len(items), "; ".join(str(error) for error in errors)))
    wrong.input = True
    raise wrong


def _look_again(subject: Subject, objects: list[t.Any], done: plan.Plan) -> plan.Plan:
    """After applying, a new plan must be empty, and is returned. If not, undo, and say what the kernel kept instead."""
    again = subject.plan(objects)
    left = again.steps
    if not left:
        return again
    kept = "; ".join("%s holds %r where %r was asked for" % (step.target, step.before, step.after) for step in left[:5])
    error = BulkheadError(
        "the kernel took every write and kept something else: %s" % kept, target=left[0].target, value=left[0].after, hint="everything was put back as it was"
    )
    error.undo_failures = plan.undo(done.steps)
    raise error
