# SPDX-FileCopyrightText: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Roles and playbooks: their options are those of the modules, their tables are true, and nothing forces become."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest
import yaml
from ansible_collections.bulkhead.linux.plugins.filter.workload_calls import OF_GROUPS
from ansible_collections.bulkhead.linux.plugins.module_utils._cgroup_options import GROUP, RESOURCES
from ansible_collections.bulkhead.linux.plugins.module_utils._container_options import CONTAINER
from ansible_collections.bulkhead.linux.plugins.module_utils._module import without_defaults

ROOT = Path(__file__).resolve().parents[3]
ROLES = ("node", "workload", "rdt", "cgroups")


def load(path):
    return yaml.safe_load((ROOT / path).read_text(encoding="utf-8"))


def options_of(role):
    return load("roles/%s/meta/argument_specs.yml" % role)["argument_specs"]["main"]["options"]


def spec(options):
    """An argument spec without its documentation, as Ansible compares it."""
    found = {}
    for name, entry in options.items():
        dropped = ("aliases", "description", "options", "no_log")
        kept = {key: value for key, value in entry.items() if key not in dropped and (key, value) != ("required", False)}
        if "options" in entry:
            kept["options"] = spec(entry["options"])
        found[name] = kept
    return found


def test_a_workload_has_every_option_of_a_container():
    asked = spec(options_of("workload")["workload_list"]["options"])
    wanted = spec(without_defaults({**CONTAINER, "name": {"type": "str", "required": True}}))
    assert {name: asked.get(name) for name in wanted} == wanted


def test_a_workload_has_every_option_of_a_group():
    asked = spec(options_of("workload")["workload_list"]["options"])
    alone = {name: entry for name, entry in GROUP.items() if name not in RESOURCES and name not in ("name", "state", "overcommit")}
    assert {name: asked.get(name) for name in alone} == spec(without_defaults(alone))
    assert set(OF_GROUPS) == {*alone, "name", "state", "resources"}
    assert load("roles/workload/vars/main.yml")["workload_group_options"] == list(OF_GROUPS)


def test_what_is_written_by_a_program_is_what_it_writes():
    """`make role-docs` writes it anew."""
    found = importlib.util.spec_from_file_location("role_docs", ROOT / ".ci/role_docs.py")
    role_docs = importlib.util.module_from_spec(found)
    found.loader.exec_module(role_docs)
    for path, text in role_docs.files().items():
        assert path.read_text(encoding="utf-8") == text, "make role-docs has not been run since %s changed" % path.name


@pytest.mark.parametrize("role", ROLES)
def test_defaults_are_those_that_are_documented(role):
    documented = {name: entry["default"] for name, entry in options_of(role).items() if "default" in entry}
    assert load("roles/%s/defaults/main.yml" % role) == documented


@pytest.mark.parametrize("path", [*sorted(ROOT.glob("playbooks/*.yml")), *sorted(ROOT.glob("roles/*/tasks/*.yml"))], ids=lambda path: path.name)
def test_nothing_forces_become(path):
    """Who is root already needs no sudo, which a machine may not have."""

    def forced(value):
        if isinstance(value, dict):
            return value.get("become") is True or any(forced(inner) for inner in value.values())
        return isinstance(value, list) and any(forced(inner) for inner in value)

    assert not forced(yaml.safe_load(path.read_text(encoding="utf-8")))
