# SPDX-FileCopyrightText: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""From the name of a device to the number of a whole disk."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.bulkhead.linux.plugins.module_utils._runtime.errors import InvalidInput
from ansible_collections.bulkhead.linux.plugins.module_utils._runtime.kernel import block


@pytest.fixture(autouse=True)
def devices(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The links of /sys/dev/block for a disk with one partition, as the kernel makes them."""
    disk = tmp_path / "devices/pci/block/sda"
    (disk / "sda1").mkdir(parents=True)
    (disk / "sda1/partition").write_text("1\n")
    numbers = tmp_path / "dev/block"
    numbers.mkdir(parents=True)
    (numbers / "8:0").symlink_to(disk)
    (numbers / "8:1").symlink_to(disk / "sda1")
    monkeypatch.setattr(block, "DEVICES", str(numbers))


@pytest.mark.parametrize("text", ["8:0", " 8:0 ", "08:00"])
def test_a_disk_by_number(text: str) -> None:
    assert block.number_of(text, "io.max") == "8:0"


def test_a_partition_is_refused_with_the_name_of_its_disk() -> None:
    with pytest.raises(InvalidInput, match="8:1 is a partition") as caught:
        block.number_of("8:1", "io.max")
    assert caught.value.hint == "give /dev/sda"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "the device is empty"),
        (" ", "the device is empty"),
        ("8:9", "no block device 8:9"),
        ("/dev/bulkhead-none", "there is no device /dev/bulkhead-none"),
        ("8:x", "there is no device 8:x"),
        (":", "there is no device :"),
        ("/dev/null", "/dev/null is not a block device"),
        ("/", "/ is not a block device"),
        (".", r"\. is not a block device"),
    ],
)
def test_refused(text: str, why: str) -> None:
    with pytest.raises(InvalidInput, match="io.max: .*" + why):
        block.number_of(text, "io.max")
