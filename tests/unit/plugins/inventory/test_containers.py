# SPDX-FileCopyrightText: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What becomes of the answers of machines, honest and otherwise, in an inventory."""

from __future__ import annotations

import json

import pytest
from ansible.errors import AnsibleParserError
from ansible.inventory.data import InventoryData
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar
from ansible_collections.bulkhead.linux.plugins.inventory import containers
from ansible_collections.bulkhead.linux.plugins.plugin_utils import _found
from ansible_collections.bulkhead.linux.plugins.plugin_utils._underneath import (
    trust_as_template,
    underneath,
)

HOSTILE = "{{ lookup('pipe', 'touch /tmp/bulkhead-never') }}"
OPTIONS = {
    "compose": {},
    "groups": {},
    "keyed_groups": [],
    "strict": False,
    "leading_separator": True,
    "use_extra_vars": False,
    "join_existing_groups": False,
    "unreachable": "warn",
}


def trusted(value):
    """What a configuration has, whose author may write templates."""
    if isinstance(value, dict):
        return {key: trusted(each) for key, each in value.items()}
    if isinstance(value, list):
        return [trusted(each) for each in value]
    return trust_as_template(value) if isinstance(value, str) else value


class Displayed:
    """What users are warned of."""

    def __init__(self):
        self.warnings = []

    def warning(self, text):
        self.warnings.append(text)


@pytest.fixture
def inventory():
    """Two machines, one in a group."""
    data = InventoryData()
    for host in ("edge-1", "edge-2"):
        data.add_host(host)
    data.add_group("web")
    data.add_child("web", "edge-1")
    data.add_group("empty")
    data.reconcile_inventory()
    return data


@pytest.fixture
def add(inventory):
    """Add what machines have answered: add({machine: answer}, option=value)."""

    def adds(answers, **options):
        plugin = containers.InventoryModule()
        plugin.inventory, plugin.display = inventory, Displayed()
        plugin.templar = Templar(loader=DataLoader())
        plugin._options = trusted({**OPTIONS, **options})
        found = [each for node, answer in answers.items() for each in plugin._read(node, answer)]
        plugin._add(found, {node: underneath(node, {"ansible_host"}) for node in answers})
        inventory.reconcile_inventory()
        return plugin.display.warnings

    return adds


def told(name="web", status="running", **more):
    return {"name": name, "status": status, **more}


def names(inventory, group):
    return sorted(host.name for host in inventory.groups[group].get_hosts())


def test_same_name_on_two_machines_is_two_hosts(inventory, add):
    add({"edge-1": [told()], "edge-2": [told(status="stopped")]})
    assert names(inventory, "bulkhead_containers") == ["web@edge-1", "web@edge-2"]
    assert names(inventory, "bulkhead_containers_running") == ["web@edge-1"]
    assert names(inventory, "bulkhead_containers_stopped") == ["web@edge-2"]
    assert names(inventory, "web") == ["edge-1"]
    variables = inventory.get_host("web@edge-2").vars
    assert variables["ansible_connection"] == "bulkhead.linux.container"
    assert (variables["bulkhead_node"], variables["bulkhead_container"]) == ("edge-2", "web")


def test_no_container_is_no_error(inventory, add):
    assert add({"edge-1": []}) == []
    assert names(inventory, "bulkhead_containers") == []


@pytest.mark.parametrize(
    "name",
    [
        HOSTILE,
        "",
        "a b",
        "../x",
        "web@edge-2",
        "edge-2:&x",
        "all,edge-2",
        "-x",
        "x" * 65,
        None,
        7,
        ["x"],
        "web\n",
    ],
)
def test_what_is_no_name_is_left_out(inventory, add, name):
    warnings = add({"edge-1": [told(name), told("fine")]})
    assert names(inventory, "bulkhead_containers") == ["fine@edge-1"]
    assert "which is no name" in warnings[0]


@pytest.mark.parametrize("answer", [None, "x", {"name": "web"}, 3, [None], ["web"], [[]], [{}]])
def test_what_is_no_answer_is_nothing(inventory, add, answer):
    add({"edge-1": answer})
    assert names(inventory, "bulkhead_containers") == []


@pytest.mark.parametrize("status", ["gone", HOSTILE, None, ["running"], {}])
def test_a_state_that_there_is_not_is_left_out(inventory, add, status):
    warnings = add({"edge-1": [told(status=status)]})
    assert "edge-1 calls container web" in warnings[0]
    assert set(inventory.groups) == {"all", "ungrouped", "web", "empty", "bulkhead_containers"}


def test_odd_parts_of_an_answer_are_nothing(inventory, add):
    odd = {"labels": ["x"], "network": "x", "health": {"status": HOSTILE}}
    add({"edge-1": [told(**odd), told("other", network={"addresses": {"a": 1}}, health=3)]})
    for host in ("web@edge-1", "other@edge-1"):
        variables = inventory.get_host(host).vars
        assert variables["bulkhead_labels"] == {} and variables["bulkhead_addresses"] == []
        assert variables["bulkhead_health"] == ""


def test_a_label_is_no_variable_and_no_template(inventory, add):
    labels = {"ansible_connection": "local", "note": HOSTILE, HOSTILE: "x", "number": 1}
    add({"edge-1": [told(labels=labels)]}, compose={"note": "bulkhead_labels.note"})
    variables = inventory.get_host("web@edge-1").vars
    assert variables["ansible_connection"] == "bulkhead.linux.container"
    assert variables["bulkhead_labels"]["number"] == "1"
    templar = Templar(loader=DataLoader(), variables=variables)
    for name in ("note", "bulkhead_labels"):
        assert templar.template(variables[name]) == variables[name]
    assert variables["note"] == HOSTILE


def test_groups_by_label(inventory, add):
    keyed = [{"key": "bulkhead_labels.team", "prefix": "team", "parent_group": "teams"}]
    answers = [told(labels={"team": "shop"}), told("odd", labels={"team": "a b:!c"}), told("none")]
    assert add({"edge-1": answers}, keyed_groups=keyed) == []
    assert names(inventory, "team_shop") == ["web@edge-1"]
    assert names(inventory, "team_a_b__c") == ["odd@edge-1"]
    assert names(inventory, "teams") == ["odd@edge-1", "web@edge-1"]


@pytest.mark.parametrize("group", ["web", "edge-1", "edge_1", "bulkhead_containers_paused", "sick"])
def test_no_label_chooses_a_group_of_others(inventory, add, group):
    """Not one of machines, nor the name of one, nor what a state or a condition is for."""
    keyed = [{"key": "bulkhead_labels.role", "separator": ""}]
    inventory.add_host("edge_1")
    options = {"keyed_groups": keyed, "groups": {"sick": "bulkhead_health == 'unhealthy'"}}
    answers = {"edge-1": [told(labels={"role": group})]}
    warnings = add(answers, **options)
    where = [each.name for each in inventory.get_host("web@edge-1").groups if each.name != "all"]
    assert sorted(where) == ["bulkhead_containers", "bulkhead_containers_running"]
    assert "keyed_groups: values of web@edge-1 name the group" in warnings[0]
    with pytest.raises(AnsibleParserError, match="keyed_groups: values of"):
        add(answers, strict=True, **options)


def test_a_user_may_allow_it(inventory, add):
    keyed = [{"key": "bulkhead_labels.role", "separator": ""}]
    add({"edge-1": [told(labels={"role": "empty"})]}, keyed_groups=keyed)
    assert names(inventory, "empty") == ["web@edge-1"]
    add({"edge-1": [told(labels={"role": "web"})]}, keyed_groups=keyed, join_existing_groups=True)
    assert names(inventory, "web") == ["edge-1", "web@edge-1"]


def test_nothing_is_added_where_it_fails(inventory, add):
    before = (set(inventory.hosts), set(inventory.groups))
    with pytest.raises(Exception, match="Could not set x for host"):
        add({"edge-1": [told()]}, compose={"x": "nonsense.of"}, strict=True)
    assert (set(inventory.hosts), set(inventory.groups)) == before


def test_variables_of_the_machine_are_read_when_they_are_needed():
    names = {"ansible_host", "ansible_port", "secret", "ansible_bad name", "ansible_bulkhead_x"}
    found = underneath("edge-1", names, "paramiko")
    prefix = "ansible_bulkhead_node_"
    assert sorted(found) == [prefix + "connection", prefix + "host", prefix + "port"]
    hostvars = {"edge-1": {"ansible_host": "192.0.2.1", "ansible_port": 2222}}
    templar = Templar(loader=DataLoader(), variables={"hostvars": hostvars})
    assert templar.template(found[prefix + "host"]) == "192.0.2.1"
    assert templar.template(found[prefix + "port"]) == 2222
    assert templar.template(found[prefix + "connection"]) == "paramiko"
    hostvars["edge-1"] = {"ansible_connection": "local"}
    assert templar.template(found[prefix + "host"]) == "edge-1"
    assert templar.template(found[prefix + "connection"]) == "local"


@pytest.mark.parametrize("choice", ["fail", "warn", "ignore"])
def test_a_machine_that_gives_no_answer(choice):
    plugin = containers.InventoryModule()
    plugin.display, plugin._options = Displayed(), {"unreachable": choice}
    if choice == "fail":
        with pytest.raises(AnsibleParserError, match="the containers of edge-1 are not known: it"):
            plugin._complain({"edge-1": "it gave no answer"})
    else:
        plugin._complain({"edge-1": "it gave no answer"})
    assert len(plugin.display.warnings) == (choice == "warn")


@pytest.mark.parametrize(
    ("name", "takes"),
    [
        ("a.bulkhead.yml", True),
        ("a.bulkhead.yaml", True),
        ("bulkhead.yml", False),
        ("a.yml", False),
    ],
)
def test_files(tmp_path, name, takes):
    (tmp_path / name).write_text("plugin: bulkhead.linux.containers\n")
    assert containers.InventoryModule().verify_file(str(tmp_path / name)) is takes
    assert not containers.InventoryModule().verify_file(str(tmp_path / ("no-" + name)))


def test_what_a_cache_holds_can_be_read_again():
    answer = [told(labels={"a": HOSTILE}, pid=3, bundle="/x", health={"status": "healthy"})]
    kept = json.loads(json.dumps(_found.kept(answer)))
    assert "pid" not in kept[0]
    assert _found.read("edge-1", kept) == _found.read("edge-1", answer)
