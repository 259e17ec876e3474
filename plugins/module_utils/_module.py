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
import errno
import gc
import os
import typing as t

from ansible.module_utils.basic import AnsibleModule

from ._answer import answer
from ._runtime import cli as _cli  # noqa: F401  (all of the core, so that it is in the payload and can be left on the node)
from ._runtime import desired, hidden, pack, plan, records
from ._runtime.errors import BulkheadError, InvalidInput, Unsupported, needs_root
from ._runtime.subject import Subject


class Module(AnsibleModule):
    """A module that tells nobody what environment variables hold, neither in a result nor in the machine's log.

    With `no_log`, Ansible would replace the text of every value wherever it occurs in a result: a variable that is `1` or `web`
    would make the rest of it unreadable. So the values are left out of what is told, by the name of the option.
    """

    def _log_invocation(self) -> None:
        whole = self.params
        self.params = hidden.hide(whole)
        try:
            super()._log_invocation()
        finally:
            self.params = whole

    def _return_formatted(self, kwargs: dict[str, t.Any]) -> None:
        # Ansible echoes the arguments; those of a thousand objects would be mostly what was not given.
        kwargs["invocation"] = {"module_args": hidden.hide(records.without_none(self.params))}
        super()._return_formatted(kwargs)


def argument_spec(subject: type[Subject], options: dict[str, t.Any]) -> dict[str, t.Any]:
    """The whole argument spec: one object's options at the top, and a list of the same under the plural.

    In the list nothing has a default of its own: what an item does not give is what stands beside the list.
    """
    item = without_defaults(options)
    item[subject.key]["required"] = not subject.named_by
    spec = {name: {field: value for field, value in entry.items() if field != "required"} for name, entry in options.items()}
    spec[subject.plural] = {"type": "list", "elements": "dict", "options": item}
    if subject.persists:
        spec["persist"] = {"type": "bool"} if subject.persist_default is None else {"type": "bool", "default": subject.persist_default}
    return spec


def without_defaults(options: dict[str, t.Any]) -> dict[str, t.Any]:
    """The same options, and those within them, without their defaults; what is in a list within stays whole."""
    bare = {}
    for name, entry in options.items():
        bare[name] = {field: value for field, value in entry.items() if field != "default"}
        if entry.get("type") == "dict" and "options" in entry:
            bare[name]["options"] = without_defaults(entry["options"])
    return bare


def filled(given: dict[str, t.Any], beside: dict[str, t.Any], options: dict[str, t.Any]) -> dict[str, t.Any]:
    """An item of the list: what it does not give is what stands beside the list, and else the default.

    Dictionaries are filled option by option, also those that have no options of their own (env, sysctls); a list is one value.
    """
    whole: dict[str, t.Any] = {}
    for name, entry in options.items():
        value, default = given.get(name), beside.get(name)
        if isinstance(value, dict) and entry.get("type") == "dict":
            default = default if isinstance(default, dict) else {}
            value = filled(value, default, entry["options"]) if "options" in entry else {**default, **value}
        elif value is None:
            value = default if default is not None else entry.get("default")
        whole[name] = value
    return whole


def run(subject_class: type[Subject], options: dict[str, t.Any]) -> None:
    """The whole life of a module that manages objects."""
    # A module lives for a second and makes no cycles worth collecting; with a thousand objects the collector takes a fifth of it.
    gc.disable()
    names = (subject_class.key, *subject_class.named_by)
    module = Module(
        argument_spec=argument_spec(subject_class, options),
        supports_check_mode=True,
        required_one_of=[(*names, subject_class.plural)],
        mutually_exclusive=[(*names, subject_class.plural)],
    )
    answer(module, lambda: _converge(module, subject_class, options))


def _converge(module: AnsibleModule, subject_class: type[Subject], options: dict[str, t.Any]) -> dict[str, t.Any]:
    """Observe, plan, apply, and look again."""
    subject = subject_class()
    subject.persist = module.params.get("persist", True)
    subject.checking = module.check_mode
    if subject.needs_root and os.geteuid() != 0:
        raise needs_root()
    try:
        # What a replay is just bringing back is neither missing nor to be made a second time.
        with contextlib.nullcontext() if module.check_mode else desired.changing():
            items = _items(module, subject, options)
            objects = _parse_all(subject, items)
            last = subject.plan(objects)
            the_plan = _whole_plan(module, subject, items, last)
            if module.check_mode:
                _check_rights(the_plan)
            elif the_plan.steps:
                subject.apply(the_plan)
        if not module.check_mode:
            subject.wait(objects)
            if last.steps:
                last = _look_again(subject, objects, the_plan)
        return _result(module, subject, objects, the_plan, last)
    finally:
        subject.finish()


def _check_rights(the_plan: plan.Plan) -> None:
    """In check mode, say what the run would say to somebody who is not root and may not write there."""
    for step in the_plan.steps if os.geteuid() != 0 else []:
        path = step.target.rstrip("/")
        while path.startswith("/") and not os.path.exists(path):
            path = os.path.dirname(path)
        if path.startswith("/") and not os.access(path, os.W_OK):
            raise needs_root(step.target, errno.EACCES)


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
    if module.params[subject.plural] is None:
        result[subject.singular] = reports[0]
        result.update((name, reports[0][name]) for name in ("asked", "effective", "rounded") if name in reports[0])
    return result


def _items(module: AnsibleModule, subject: Subject, options: dict[str, t.Any]) -> list[dict[str, t.Any]]:
    """The objects of the call, each with all of its options."""
    bulk: list[dict[str, t.Any]] | None = module.params[subject.plural]
    if bulk is None:
        return [{name: module.params[name] for name in options}]
    return [filled(item, module.params, options) for item in bulk]


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
    wrong.input = not all(isinstance(error, Unsupported) for error in errors)
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
