# SPDX-FileCopyrightText: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Hosts of each kind on directory trees."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.bulkhead.linux.plugins.module_utils._runtime.kernel import block
from fake_kernel import DISK, OTHER_DISK, FakeHost, make_host


@pytest.fixture(autouse=True)
def disks(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two whole disks and a partition, as /sys/dev/block shows them."""
    base = tmp_path_factory.mktemp("block")
    for name, number in (("sda", DISK), ("sdb", OTHER_DISK)):
        (base / name).mkdir()
        (base / number).symlink_to(name)
    (base / "sda/sda1").mkdir()
    (base / "sda/sda1/partition").write_text("1\n")
    (base / "8:1").symlink_to("sda/sda1")
    monkeypatch.setattr(block, "DEVICES", str(base))


@pytest.fixture
def v1(tmp_path: Path) -> FakeHost:
    return make_host(tmp_path / "v1", "v1")


@pytest.fixture
def v2(tmp_path: Path) -> FakeHost:
    return make_host(tmp_path / "v2", "v2")


@pytest.fixture
def hybrid(tmp_path: Path) -> FakeHost:
    return make_host(tmp_path / "hybrid", "hybrid")


@pytest.fixture(params=["v1", "v2", "hybrid"])
def host(request: pytest.FixtureRequest, tmp_path: Path) -> FakeHost:
    """Each kind in turn."""
    return make_host(tmp_path, request.param)
