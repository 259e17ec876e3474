# Copyright: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
name: containers
short_description: The containers of machines as hosts
description:
  - Asks machines of the inventory for their containers, those that M(bulkhead.linux.container_run)
    makes, and adds each as a host, with its state and its labels.
  - A machine is asked as a task would ask it, with M(bulkhead.linux.container_info), by its own
    connection with its own user, key, interpreter and privileges. Nothing need be installed there
    but Python. It needs root, so C(ansible_become) where one does not log in as root.
  - The configuration is a file with a name that ends with C(.bulkhead.yml) or C(.bulkhead.yaml).
  - A container is called C(NAME@NODE), as in C(web@edge-1), NODE being the name of the machine in
    the inventory. So two machines may have containers of the same name, a container cannot take the
    name of another host, whatever it is called, and the name can be that of a file, as in
    C(host_vars/web@edge-1.yml).
  - Each is in the group C(bulkhead_containers) and in one for its state,
    C(bulkhead_containers_running), C(bulkhead_containers_stopped), C(bulkhead_containers_paused),
    C(bulkhead_containers_restarting) or C(bulkhead_containers_creating). More groups are made with
    O(groups) and O(keyed_groups).
  - Those that do not run are listed and nothing connects to them. A play for
    C(bulkhead_containers_running) leaves them out; for a task that is run on one they are
    unreachable.
version_added: 0.2.0
author:
  - bulkhead.linux contributors (@bulkhead-linux)
extends_documentation_fragment:
  - ansible.builtin.constructed
  - ansible.builtin.inventory_cache
options:
  plugin:
    description: The name of this plugin.
    type: str
    required: true
    choices: [bulkhead.linux.containers]
  nodes:
    description:
      - Which machines to ask, as patterns such as C(hosts) of a play takes. V(localhost) is this
        machine also where no inventory names it.
      - They come from the sources of the inventory that were read before this one, C(-i nodes.yml
        -i site.bulkhead.yml). The files of a directory are read in the order of their names.
      - Containers are no machines to ask, so V(all) is all hosts but those.
    type: list
    elements: str
    default: [localhost]
  unreachable:
    description:
      - What becomes of a machine that cannot be reached, or cannot tell its containers.
      - V(fail), the whole source fails, and none of its hosts are there. V(warn), the others'
        containers are there, and a warning names the machine and the reason. V(ignore), the same
        without a warning.
      - Ansible goes on without a source that has failed, with a warning, unless
        C(any_unparsed_is_failed) in the section C([inventory]) of its configuration is set.
    type: str
    choices: [fail, warn, ignore]
    default: warn
  timeout:
    description: Within how many seconds a machine must have answered.
    type: int
    default: 60
  forks:
    description: How many machines are asked at the same time; by default as many as a play would.
    type: int
  join_existing_groups:
    description:
      - Whether O(keyed_groups) may put a container into a group that has other hosts than
        containers already, or that has the name of a host.
      - Whoever makes a container chooses its labels. With a label that gives the name of a group of
        machines, it would be handed what these get. So by default such a group is left out, with a
        warning, or an error with O(strict=true). O(groups) is not concerned, as no label chooses
        its names, and no label chooses one of these or a group of a state, whatever is said here.
    type: bool
    default: false
notes:
  - Each host has the variables C(bulkhead_node), C(bulkhead_container), C(bulkhead_status),
    C(bulkhead_labels), C(bulkhead_health) (empty without a healthcheck) and C(bulkhead_addresses)
    (those on a bridge), for O(compose), O(groups) and O(keyed_groups), and for plays.
  - Names and labels are text. What looks like a template in them is not one.
  - What the connection needs to get to the machine is taken from the variables of the machine at
    the moment when a task runs, as C(ansible_bulkhead_node_host), C(ansible_bulkhead_node_user) and
    so on for each C(ansible_) variable that the inventory has of it. Nothing of that is copied or
    cached, no password either.
  - Passwords for which Ansible asks, with C(-k) and C(-K), are not known while an inventory is
    read. Give C(ansible_password) and C(ansible_become_password), as variables of the machines,
    from a vault.
seealso:
  - module: bulkhead.linux.container_run
  - module: bulkhead.linux.container_info
"""

EXAMPLES = r"""
# This machine: local.bulkhead.yml
plugin: bulkhead.linux.containers

---
# The machines of two groups, and groups by the label `team`: label_team_shop
plugin: bulkhead.linux.containers
nodes: [edge, "lab:!lab-9"]
unreachable: fail
keyed_groups:
  - key: bulkhead_labels.team
    prefix: label_team
  - key: bulkhead_node
    prefix: node

---
# What is not healthy, the address of each, and what was found is kept for ten minutes
plugin: bulkhead.linux.containers
nodes: [all]
groups:
  sick: bulkhead_health == 'unhealthy'
compose:
  address: bulkhead_addresses | first | default('')
cache: true
cache_plugin: ansible.builtin.jsonfile
cache_connection: /tmp/bulkhead-inventory
cache_timeout: 600
"""

import typing as t

from ansible import constants as C
from ansible import context
from ansible.errors import AnsibleParserError
from ansible.inventory.data import InventoryData
from ansible.inventory.group import to_safe_group_name
from ansible.plugins.inventory import BaseInventoryPlugin, Cacheable, Constructable
from ansible_collections.bulkhead.linux.plugins.plugin_utils import _found
from ansible_collections.bulkhead.linux.plugins.plugin_utils._fleet import Fleet
from ansible_collections.bulkhead.linux.plugins.plugin_utils._merge import is_taken, put
from ansible_collections.bulkhead.linux.plugins.plugin_utils._underneath import underneath


def _transport() -> str:
    """What a host is reached by that says nothing of it."""
    return "ssh" if C.DEFAULT_TRANSPORT == "smart" else str(C.DEFAULT_TRANSPORT)


class InventoryModule(BaseInventoryPlugin, Constructable, Cacheable):
    """Containers as hosts."""

    NAME = "bulkhead.linux.containers"

    # A label is no group name: what is not for one is replaced, whatever the configuration says.
    @staticmethod
    def _sanitize_group_name(name: str) -> str:
        return str(to_safe_group_name(name, force=True, silent=True))

    def verify_file(self, path: str) -> bool:
        """Whether the file may be a configuration of this plugin."""
        ends = (".bulkhead.yml", ".bulkhead.yaml")
        return bool(super().verify_file(path)) and str(path).endswith(ends)

    def parse(self, inventory: t.Any, loader: t.Any, path: str, cache: bool = True) -> None:
        """Ask the machines, and add what they have. Nothing is added where this fails."""
        super().parse(inventory, loader, path, cache)
        self._read_config_data(path)
        fleet = Fleet(inventory, loader)
        nodes = fleet.machines(self.get_option("nodes"), "bulkhead_container")
        told = self._told(fleet, nodes, path, cache)
        found = [each for node in nodes for each in self._read(node.name, told.get(node.name))]
        below = {
            node.name: underneath(node.name, fleet.names_of_variables(node), _transport())
            for node in nodes
        }
        self._add(found, below)

    def _read(self, node: str, answer: object) -> list[_found.Found]:
        found, wrong = _found.read(node, answer)
        for problem in wrong:
            self.display.warning("%s; it is left out" % problem)
        return found

    def _told(self, fleet: Fleet, nodes: list[t.Any], path: str, cache: bool) -> dict[str, t.Any]:
        """{machine: what it says of its containers}, of the cache where it is to be used."""
        key = self.get_cache_key(path)
        wanted = bool(self.get_option("cache"))
        told: dict[str, t.Any] = {}
        if wanted and cache:
            try:
                told = dict(self._cache[key])
            except KeyError:
                pass
        missing = [node for node in nodes if node.name not in told]
        if missing:
            told.update(self._ask(fleet, missing))
            if wanted:
                self._cache[key] = told
        return told

    def _ask(self, fleet: Fleet, nodes: list[t.Any]) -> dict[str, t.Any]:
        answers = fleet.ask(
            nodes,
            "bulkhead.linux.container_info",
            {"subset": []},
            timeout=self.get_option("timeout"),
            forks=self.get_option("forks") or context.CLIARGS.get("forks") or C.DEFAULT_FORKS,
        )
        self._complain(answers.failures)
        return {
            name: _found.kept(result.get("containers")) for name, result in answers.results.items()
        }

    def _complain(self, failures: dict[str, str]) -> None:
        problems = ["the containers of %s are not known: %s" % each for each in failures.items()]
        if problems and self.get_option("unreachable") == "fail":
            raise AnsibleParserError("; ".join(problems))
        for problem in problems if self.get_option("unreachable") == "warn" else ():
            self.display.warning(problem)

    def _add(self, found: list[_found.Found], below: dict[str, dict[str, t.Any]]) -> None:
        """Make all hosts and groups beside the inventory, and put them in when all went well."""
        real, self.inventory = self.inventory, InventoryData()
        self.inventory.current_source = real.current_source
        chosen: dict[str, set[str]] = {}
        try:
            for one in found:
                self._add_host(one, below[one.node])
                before = set(self.inventory.get_host(one.host).groups)
                self._construct_groups(one.host)
                for group in set(self.inventory.get_host(one.host).groups) - before:
                    chosen.setdefault(group.name, set()).add(one.host)
            made = self.inventory
        finally:
            self.inventory = real
        self._withdraw(made, {name: chosen[name] for name in chosen if self._may_not_join(name)})
        real.add_group(_found.ALL)
        put(made, real)

    def _add_host(self, one: _found.Found, below: dict[str, t.Any]) -> None:
        """A host, its variables, and the groups whose names no label chooses."""
        for group in one.groups:
            self.inventory.add_group(group)
        self.inventory.add_child(*one.groups)
        self.inventory.add_host(one.host, one.groups[-1])
        for name, value in {**below, **one.variables()}.items():
            self.inventory.set_variable(one.host, name, value)
        host, strict = self.inventory.get_host(one.host), self.get_option("strict")
        self._set_composite_vars(self.get_option("compose"), host.get_vars(), one.host, strict)
        groups = self.get_option("groups")
        self._add_host_to_composed_groups(groups, host.get_vars(), one.host, strict, False)

    def _construct_groups(self, host: str) -> None:
        """The groups that its values name."""
        variables = self.inventory.get_host(host).get_vars()
        keyed, strict = self.get_option("keyed_groups"), self.get_option("strict")
        self._add_host_to_keyed_groups(keyed, variables, host, strict, False)

    def _may_not_join(self, group: str) -> bool:
        """Whether no label may choose this group: it is not for what the label says."""
        if group in _found.GROUPS or group in map(
            self._sanitize_group_name, self.get_option("groups")
        ):
            return True
        return not self.get_option("join_existing_groups") and is_taken(self.inventory, group)

    def _withdraw(self, made: InventoryData, taken: dict[str, set[str]]) -> None:
        """Take containers out of groups that their values have named and may not."""
        for name, hosts in sorted(taken.items()):
            problem = "keyed_groups: values of %s name the group %s, which is one of %s" % (
                ", ".join(sorted(hosts)),
                name,
                "other hosts, or the name of one (join_existing_groups allows it)"
                if is_taken(self.inventory, name)
                else "a state, or of the option groups",
            )
            if self.get_option("strict"):
                raise AnsibleParserError(problem)
            self.display.warning(problem + ". They are left out of it")
            for host in hosts:
                made.groups[name].remove_host(made.get_host(host))
