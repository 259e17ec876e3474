# SPDX-FileCopyrightText: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""How values are spelled in the interface files of both versions, and back."""

from __future__ import annotations

import os

import pytest
from ansible_collections.bulkhead.linux.plugins.module_utils._runtime.cgroup import knobs, values
from hypothesis import given
from hypothesis import strategies as st

PAGE = os.sysconf("SC_PAGE_SIZE")
MAX = values.MAX


def v1(option: str, which: int = 0) -> values.Format:
    return knobs.BY_OPTION[option].v1[which].format


def v2(option: str) -> values.Format:
    return knobs.BY_OPTION[option].v2.format


def test_every_cpu_weight_comes_back_from_its_shares() -> None:
    shares = v1("cpu.weight")
    for weight in range(1, 10001):
        written = shares.written(str(weight))
        assert written == shares.kept(str(weight)) == shares.normal(written + "\n")
        assert 2 <= int(written) <= 262144
        assert shares.value(written) == str(weight)


def test_the_default_weight_is_the_default_number_of_shares() -> None:
    assert v1("cpu.weight").written("100") == "1024"


def test_every_io_weight_has_one_bfq_weight_and_keeps_its_order() -> None:
    bfq = v1("io.weight")
    previous = 0
    for weight in range(1, 10001):
        written = int(bfq.written(str(weight)))
        assert previous <= written <= 1000
        assert written >= 1
        # What is reported for it leads to the same file again.
        assert bfq.written(bfq.value(str(written))) == str(written)
        previous = written
    assert (bfq.written("1"), bfq.written("100"), bfq.written("10000")) == ("1", "100", "1000")


@pytest.mark.parametrize("text", ["100", "default 100", "default 100\n8:0 50"])
def test_bfq_weight_is_read_in_both_spellings(text: str) -> None:
    assert v1("io.weight").normal(text) == "100"


@given(st.integers(0, 2**63 - 1))
def test_bytes_are_rounded_down_to_pages(size: int) -> None:
    for option in ("memory.max", "memory.low", "memory.swap_max"):
        for format in (v1(option), v2(option)):
            kept = format.kept(str(size))
            assert kept == MAX or (int(kept) % PAGE == 0 and 0 <= size - int(kept) < PAGE)
            assert format.kept(kept) == kept


@given(st.integers(0, 2**40), st.integers(0, 2**40))
def test_rounding_keeps_the_order(one: int, other: int) -> None:
    format = v2("memory.max")
    small, large = sorted((one, other))
    assert int(format.kept(str(small))) <= int(format.kept(str(large)))


@pytest.mark.parametrize("page", [4096, 16384, 65536])
def test_no_limit_is_known_by_its_size_whatever_the_page(page: int) -> None:
    assert v1("memory.max").normal("%d\n" % ((2**63 - 1) // page * page)) == MAX
    assert v1("memory.max").normal("-1") == MAX
    assert v2("memory.max").normal("max\n") == MAX


def test_no_limit_is_written_as_each_version_wants_it() -> None:
    assert v1("memory.max").written(MAX) == "-1"
    assert v2("memory.max").written(MAX) == "max"
    assert v1("pids.max").written(MAX) == v2("pids.max").written(MAX) == "max"


@pytest.mark.parametrize(("version", "no_limit", "shown"), [(1, "-1", str((2**63 - 1) // (2 << 20) * (2 << 20))), (2, "max", "max")])
def test_hugetlb_is_rounded_down_to_huge_pages(version: int, no_limit: str, shown: str) -> None:
    file = knobs.hugetlb_file("2MB", version)
    assert file.format.kept(str(5 << 20)) == str(4 << 20)
    assert file.format.kept(str((2 << 20) - 1)) == "0"
    assert file.format.written(MAX) == no_limit
    assert file.format.normal(shown) == MAX


@pytest.mark.parametrize(
    ("value", "quota", "period"),
    [("150000 100000", "150000", "100000"), ("max 100000", "-1", "100000"), ("1000 1000000", "1000", "1000000")],
)
def test_v1_keeps_quota_and_period_apart(value: str, quota: str, period: str) -> None:
    first, second = v1("cpu.max", 0), v1("cpu.max", 1)
    assert (first.written(value), second.written(value)) == (quota, period)
    assert "%s %s" % (first.value(first.normal(quota)), second.value(second.normal(period))) == value
    assert (first.normal(quota), second.normal(period)) == (first.kept(value), second.kept(value))
    assert (first.restored(first.normal(quota)), second.restored(second.normal(period))) == (quota, period)


@pytest.mark.parametrize(
    ("option", "version", "before", "after", "grows"),
    [
        ("memory.max", 2, "4096", "8192", True),
        ("memory.max", 2, "8192", "4096", False),
        ("memory.max", 2, "max", "4096", False),
        ("memory.max", 2, "4096", "max", True),
        ("cpu.max", 2, "50000 100000", "20000 20000", True),
        ("cpu.max", 2, "20000 20000", "50000 100000", False),
        ("cpu.max", 2, "max 100000", "50000 100000", False),
        ("cpuset.cpus", 2, "0-1", "0", False),
        ("cpuset.cpus", 2, "0", "0-1", True),
        ("cpuset.cpus", 2, "0", "1", False),
        ("io.weight", 2, "100", "50", False),
    ],
)
def test_what_gives_and_what_takes(option: str, version: int, before: str, after: str, grows: bool) -> None:
    assert v2(option).grows(before, after) is grows


def test_a_longer_period_takes() -> None:
    assert v1("cpu.max", 1).grows("100000", "200000") is False
    assert v1("cpu.max", 0).grows("100000", "200000") is True
    assert v1("cpu.max", 0).grows("100000", MAX) is True


def test_a_set_is_spelled_as_the_kernel_does() -> None:
    format = v2("cpuset.cpus")
    assert format.kept("3,0-1,2") == "0-3"
    assert format.normal("0-3\n") == "0-3"
    assert format.restored("") == "\n"


def test_partition_on_v1_is_exclusive_or_not() -> None:
    format = v1("cpuset.partition")
    assert (format.written("root"), format.written("member")) == ("1", "0")
    assert (format.value("1"), format.value("0")) == ("root", "member")


def test_an_invalid_partition_is_not_the_one_that_was_asked_for() -> None:
    format = v2("cpuset.partition")
    assert format.normal("root invalid (Cpu list in cpuset.cpus not exclusive)\n") != format.kept("root")


def test_io_weight_of_v2_is_the_default_line() -> None:
    format = v2("io.weight")
    assert format.normal("default 250\n8:0 50\n") == "250"
    assert format.written("250") == "default 250"


IO_MAX = "8:0 rbps=max wbps=1048576 riops=max wiops=100\n8:16 rbps=2 wbps=max riops=max wiops=max\n"


@pytest.mark.parametrize(
    ("key", "held"), [("8:0 wbps", "1048576"), ("8:0 rbps", MAX), ("8:0 wiops", "100"), ("8:16 rbps", "2"), ("8:1 rbps", MAX), ("8:32 wbps", MAX)]
)
def test_io_max_is_read_by_device_and_name(key: str, held: str) -> None:
    assert knobs.IO_MAX_V2.format.normal(IO_MAX, key) == held


def test_io_max_is_written_one_name_at_a_time() -> None:
    assert knobs.IO_MAX_V2.format.written("1048576", "8:0 wbps") == "8:0 wbps=1048576"
    assert knobs.IO_MAX_V2.format.written(MAX, "8:0 wbps") == "8:0 wbps=max"
    assert knobs.IO_MAX_V2.format.restored(MAX, "8:0 wbps") == "8:0 wbps=max"


def test_throttling_of_v1_is_a_line_for_each_device() -> None:
    format = knobs.IO_MAX_V1["wbps"].format
    assert format.normal("8:0 1048576\n8:16 5\n", "8:16") == "5"
    assert format.normal("8:0 1048576\n", "8:16") == MAX
    assert format.normal("", "8:0") == MAX
    assert format.written("5", "8:16") == "8:16 5"
    assert format.written(MAX, "8:16") == "8:16 0"


def test_io_latency_without_a_line_is_no_target() -> None:
    format = knobs.IO_LATENCY.format
    assert format.normal("8:0 target=10000\n", "8:0 target") == "10000"
    assert format.normal("", "8:0 target") == format.kept("0")
    assert format.written("10000", "8:0 target") == "8:0 target=10000"


def test_rdma_and_misc() -> None:
    assert knobs.RDMA_MAX.format.normal("mlx4_0 hca_handle=2 hca_object=max\n", "mlx4_0 hca_handle") == "2"
    assert knobs.RDMA_MAX.format.written("5", "mlx4_0 hca_handle") == "mlx4_0 hca_handle=5"
    assert knobs.MISC_MAX.format.normal("sev max\nsev_es 5\n", "sev_es") == "5"
    assert knobs.MISC_MAX.format.written("7", "sev") == "sev 7"


@pytest.mark.parametrize("knob", knobs.KNOBS, ids=lambda knob: knob.option)
def test_each_row_is_whole(knob: knobs.Knob) -> None:
    assert knob.v1 or knob.absent_on_v1
    assert knobs.file_by_name(knob.v2.name) == (knob, knob.v2)
    assert knobs.BY_OPTION[knob.option] is knob
