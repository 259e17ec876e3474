# Copyright: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# This is private to the collection: it may change at any time without notice.

"""Asking machines with a module while an inventory is still being read.

The module runs as a task does, with the connection, the user, the interpreter and the privileges
that the machine has as a host, on many machines at a time. Ansible documents for this what is used
here: a play that a TaskQueueManager runs (developer guide, "Python API").
"""

from __future__ import annotations

import contextlib
import typing as t

from ansible import constants as C
from ansible import context
from ansible.errors import AnsibleError, AnsibleParserError
from ansible.executor.task_queue_manager import TaskQueueManager
from ansible.inventory.helpers import get_group_vars
from ansible.inventory.manager import InventoryManager
from ansible.module_utils.common.collections import ImmutableDict
from ansible.playbook.play import Play
from ansible.plugins.callback import CallbackBase
from ansible.vars.manager import VariableManager
from ansible.vars.plugins import get_vars_from_inventory_sources

# What a command line says of the play that somebody is about to run says nothing of this one.
_NOT_OURS = {
    "tags": ["all"],
    "skip_tags": [],
    "start_at_task": None,
    "step": False,
    "check": False,
    "diff": False,
    "subset": None,
}

# What a play has of its command line even where nobody says it; ansible-inventory has no such options.
_USUAL = {"connection": C.DEFAULT_TRANSPORT, "become_method": C.DEFAULT_BECOME_METHOD}

_ORDER = (
    "The sources that name the nodes come before this one; those of a directory are read in the"
    " order of their names."
)


class Answers(CallbackBase):  # type: ignore[misc]
    """What became of the task, by machine."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "stdout"
    CALLBACK_NAME = "bulkhead.linux.answers"

    def __init__(self) -> None:
        super().__init__()
        self.results: dict[str, dict[str, t.Any]] = {}
        self.failures: dict[str, str] = {}

    def v2_runner_on_ok(self, result: t.Any) -> None:
        self.results[result._host.name] = result._result

    def v2_runner_on_failed(self, result: t.Any, ignore_errors: bool = False) -> None:
        self.failures[result._host.name] = "it failed: %s" % _words(result._result)

    def v2_runner_on_unreachable(self, result: t.Any) -> None:
        self.failures[result._host.name] = "it cannot be reached: %s" % _words(result._result)


def _words(result: t.Mapping[str, t.Any]) -> str:
    text = " ".join(str(result.get("msg") or result.get("module_stderr") or "no reason").split())
    return text if len(text) <= 500 else text[:500] + "..."


class Fleet(InventoryManager):  # type: ignore[misc]
    """The machines that earlier sources of the inventory have named, with their variables."""

    def __init__(self, data: t.Any, loader: t.Any) -> None:
        super().__init__(loader=loader, sources=list(data.processed_sources), parse=False)
        self._data = getattr(data, "__wrapped__", data)
        self._inventory = self._data
        source = self._data.current_source
        self.reconcile_inventory()  # before that, no group belongs to `all`
        self._data.current_source = source

    def machines(self, patterns: list[str], leave_out: str) -> list[t.Any]:
        """The hosts that fit a pattern. leave_out: a variable; hosts that have it are none."""
        try:
            hosts = self.get_hosts(patterns)
        except AnsibleError as error:  # as a user may have chosen for patterns that fit nobody
            raise AnsibleParserError("nodes: %s. %s" % (error, _ORDER)) from None
        found = [host for host in hosts if leave_out not in host.vars]
        if not found:
            asked = ", ".join(patterns)
            raise AnsibleParserError("nodes: no host fits %s. %s" % (asked, _ORDER))
        return found

    def names_of_variables(self, host: t.Any) -> set[str]:
        """What the inventory sets for a host and its groups."""
        groups = host.get_groups()
        plugins = get_vars_from_inventory_sources(
            self._loader, self._sources, [*groups, host], "all"
        )
        return {*get_group_vars(groups), *host.vars, *plugins}

    def ask(
        self, hosts: list[t.Any], module: str, arguments: dict[str, t.Any], **limits: int
    ) -> Answers:
        """Run a module on each. limits: timeout, in seconds for a task, and forks."""
        variables = VariableManager(loader=self._loader, inventory=self)
        answers = Answers()
        with _own_command_line():
            play = Play().load(
                {
                    "name": module,
                    "hosts": [host.name for host in hosts],
                    "gather_facts": False,
                    "strategy": "ansible.builtin.linear",
                    "any_errors_fatal": False,
                    "tasks": [{module: arguments, "timeout": limits["timeout"]}],
                },
                variable_manager=variables,
                loader=self._loader,
            )
            self._run(play, variables, answers, limits["forks"])
        for host in hosts:
            if host.name not in answers.results and host.name not in answers.failures:
                answers.failures[host.name] = "it gave no answer"
        return answers

    def _run(self, play: t.Any, variables: t.Any, answers: Answers, forks: int) -> None:
        manager = TaskQueueManager(
            inventory=self,
            variable_manager=variables,
            loader=self._loader,
            passwords={},
            run_additional_callbacks=False,
            forks=forks,
        )
        _listen(manager, answers)
        try:
            manager.run(play)
        finally:
            manager.cleanup()


def _listen(manager: t.Any, answers: Answers) -> None:
    """Have the results told to nobody else: users do not watch this play."""
    if hasattr(answers, "_init_callback_methods"):  # ansible-core 2.19 or newer
        answers._init_callback_methods()
        manager._callback_plugins = [answers]
    else:
        manager._stdout_callback = answers
        manager._callbacks_loaded = True


@contextlib.contextmanager
def _own_command_line() -> t.Iterator[None]:
    given = context.CLIARGS
    context.CLIARGS = ImmutableDict({**_USUAL, **given, **_NOT_OURS})
    try:
        yield
    finally:
        context.CLIARGS = given
