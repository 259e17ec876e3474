# SPDX-FileCopyrightText: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Rates, sizes and times as people write them, and ticks as the kernel keeps them."""

from __future__ import annotations

import pytest
from ansible_collections.bulkhead.linux.plugins.module_utils._runtime.errors import InvalidInput
from ansible_collections.bulkhead.linux.plugins.module_utils._runtime.tc import units
from hypothesis import given
from hypothesis import strategies as some


@pytest.mark.parametrize(
    ("text", "rate"),
    [
        ("8kbit", 1000),
        ("10mbit", 1250000),
        ("10Mbit/s", 1250000),
        ("10 MBIT", 1250000),
        ("1.5Gbit", 187500000),
        ("0.4tbit", 50000000000),
        ("400gbit", 50000000000),
        ("8000000bit", 1000000),
        ("100kibit", 12800),
        ("1MiBit/s", 131072),
        ("12.5MB/s", 12500000),
        ("1500 kB/s", 1500000),
        ("2MiB/s", 2097152),
        ("8.001kbit", 1000),
        ("0.0000001tbit", 12500),
    ],
)
def test_rates(text: str, rate: int) -> None:
    assert units.parse_rate(text) == rate


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("10", "10bit"),
        (10, "10B/s"),
        ("10M", "10mbit"),
        ("10m", "10MB/s"),
        ("10k", "10kB/s"),
        ("10mbps", "10mbit"),
        ("10Mbps", "10MB/s"),
        ("10Mb/s", "10mbit"),
        ("10mb", "10mbit"),
        ("10MB", "10MB/s"),
        ("1Gbits", "1gbit"),
        ("1bps", "1bit"),
        ("10 parsec", "mbit"),
    ],
)
def test_what_reads_in_two_ways_is_refused_with_what_is_meant(text: object, meant: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        units.parse_rate(text, "egress.rate")
    assert "egress.rate" in refused.value.problem
    assert meant in refused.value.hint


@pytest.mark.parametrize(
    "text",
    [
        "-5mbit",
        "0mbit",
        "0",
        "7999bit",
        "401gbit",
        "400gibit",
        "",
        "mbit",
        "1e3mbit",
        "1.2.3mbit",
        ".mbit",
        "\u0661mbit",
        True,
        None,
        {},
        "9" * 40 + "bit",
    ],
)
def test_rates_that_are_none(text: object) -> None:
    with pytest.raises(InvalidInput):
        units.parse_rate(text)


@pytest.mark.parametrize(
    ("text", "size"),
    [(1514, 1514), ("32KiB", 32768), ("32K", 32768), ("1.5M", 1572864), ("2MB", 2097152)],
)
def test_sizes(text: object, size: int) -> None:
    assert units.parse_bytes(text, "burst") == size


@pytest.mark.parametrize(
    "text", ["256Mb", "32kb", "10mbit", "1Mbps", "10mb/s", 0, "0K", "-1", "", True]
)
def test_sizes_that_may_be_bits_or_nothing_are_refused(text: object) -> None:
    with pytest.raises(InvalidInput):
        units.parse_bytes(text, "burst")


@pytest.mark.parametrize(
    ("text", "time"), [("50ms", 50000000), ("1.5s", 1500000000), ("800us", 800000)]
)
def test_times(text: str, time: int) -> None:
    assert units.parse_time(text, "latency") == time


@pytest.mark.parametrize("text", [50, "50", "5m", "1h", "-1ms", "ms"])
def test_times_without_a_unit_are_refused(text: object) -> None:
    with pytest.raises(InvalidInput):
        units.parse_time(text, "latency")


@pytest.mark.parametrize(
    ("size", "rate", "ticks"),
    [
        (1514, 1250000000, 19),
        (1600, 124875, 200201),
        (10000000, 5000000000, 31250),
        (1600, 1000, 25000000),
    ],
)
def test_ticks_are_rounded_up(size: int, rate: int, ticks: int) -> None:
    assert units.ticks(size, rate) == ticks


@given(some.integers(units.LEAST_RATE, units.MOST_RATE), some.integers(1, 1 << 31))
def test_a_bucket_never_holds_less_than_was_asked(rate: int, size: int) -> None:
    ticks = units.ticks(size, rate)
    assert ticks * units.TICK * rate >= size * 10**9
    assert (ticks - 1) * units.TICK * rate < size * 10**9


@given(some.integers(units.LEAST_RATE, units.MOST_RATE))
def test_a_rate_is_shown_in_the_grammar_in_which_it_is_read(rate: int) -> None:
    assert units.parse_rate(units.format_rate(rate)) == rate


def test_what_is_no_whole_byte_is_known() -> None:
    assert units.is_exact("10mbit") and units.is_exact("12.5kB/s")
    assert not units.is_exact("8.001kbit")
