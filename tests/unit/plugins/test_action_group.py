# SPDX-FileCopyrightText: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is set for the action group can be set for each of its members."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from ansible_collections.bulkhead.linux.plugins.module_utils import (
    _cgroup_options,
    _container_options,
    _module,
    _quota_options,
    _resctrl_options,
    _tc_options,
)
from ansible_collections.bulkhead.linux.plugins.module_utils._runtime.kinds import KINDS

OPTIONS = {
    "cgroup_group": _cgroup_options.GROUP,
    "resctrl_schema": _resctrl_options.GROUP,
    "disk_quota": _quota_options.QUOTA,
    "tc_bandwidth": _tc_options.LIMIT,
    "container_run": _container_options.CONTAINER,
}
GROUPS = yaml.safe_load((Path(__file__).resolve().parents[3] / "meta/runtime.yml").read_text())["action_groups"]


def test_what_is_kept_is_in_the_group() -> None:
    assert sorted(GROUPS["isolation"]) == sorted(KINDS) == sorted(OPTIONS)


@pytest.mark.parametrize("name", GROUPS["isolation"])
def test_persist_can_be_set_for_all(name: str) -> None:
    assert "persist" in _module.argument_spec(KINDS[name](), OPTIONS[name])
