# SPDX-FileCopyrightText: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Sizes, rates, times, counts and CPU lists."""

from __future__ import annotations

import pytest
from ansible_collections.bulkhead.linux.plugins.module_utils._runtime import units
from ansible_collections.bulkhead.linux.plugins.module_utils._runtime.errors import InvalidInput
from hypothesis import given
from hypothesis import strategies as st

LARGEST = 2**63 - 1
PREFIXES = ["", "K", "M", "G", "T", "P", "E"]


@pytest.mark.parametrize(
    ("text", "size"),
    [
        (0, 0),
        ("0", 0),
        (4096, 4096),
        ("4096", 4096),
        (" 512M ", 512 << 20),
        ("512m", 512 << 20),
        ("512MB", 512 << 20),
        ("512MiB", 512 << 20),
        ("512 mib", 512 << 20),
        ("1.5G", 3 << 29),
        (1.5, 1),
        ("64 KB", 64 << 10),
        ("100B", 100),
        ("7E", 7 << 60),
        (LARGEST, LARGEST),
        (str(LARGEST), LARGEST),
    ],
)
def test_size(text: object, size: int) -> None:
    assert units.parse_size(text) == size


@pytest.mark.parametrize(
    "text",
    ["512X", "1KM", "1iB", "10Mi/s", "5 apples", "M", "-5", "-1", "1e6", "0x10", "1,5G", "1.2.3", "١٢", "²", True, False, None, [], "8E", 2**63, "nan", "inf"],
)
def test_size_refuses(text: object) -> None:
    with pytest.raises(InvalidInput, match="the limit"):
        units.parse_size(text, "the limit")


@pytest.mark.parametrize("parse", [units.parse_size, units.parse_rate, units.parse_time, units.parse_count])
@pytest.mark.parametrize("text", ["", " ", "\n", "\t "])
def test_empty_is_refused_everywhere(parse: object, text: str) -> None:
    with pytest.raises(InvalidInput, match="the limit is empty"):
        parse(text, "the limit")


def test_unknown_unit_is_named_with_what_there_is() -> None:
    with pytest.raises(InvalidInput, match="unknown unit 'QB' in '5QB'") as caught:
        units.parse_size("5QB", "memory.max")
    assert "powers of 1024" in str(caught.value)


@pytest.mark.parametrize(("text", "rate"), [("10M", 10 << 20), ("10MiB/s", 10 << 20), ("2KB/sec", 2048), (1000, 1000)])
def test_rate(text: object, rate: int) -> None:
    assert units.parse_rate(text) == rate


@pytest.mark.parametrize("text", ["10Mbit", "10mbit/s", "10mbps", "1Gbits", "10M/h"])
def test_rate_refuses_bits(text: str) -> None:
    with pytest.raises(InvalidInput):
        units.parse_rate(text)


@pytest.mark.parametrize(("text", "microseconds"), [("100ms", 100000), ("50us", 50), ("1.5s", 1500000), (50000, 50000), ("2m", 120000000), ("0.5ms", 500)])
def test_time(text: object, microseconds: int) -> None:
    assert units.parse_time(text) == microseconds


@pytest.mark.parametrize("text", ["100msec", "1h", "5M", "-1s", "ms"])
def test_time_refuses(text: str) -> None:
    with pytest.raises(InvalidInput):
        units.parse_time(text)


def test_count_is_decimal_where_the_kernel_reads_octal() -> None:
    assert units.parse_count("010") == 10


@pytest.mark.parametrize("value", [1.5, "1.5", "1.0", "10K", "0x10", -1, "", True, 11, 0])
def test_count_refuses(value: object) -> None:
    with pytest.raises(InvalidInput):
        units.parse_count(value, "n", 1, 10)


@pytest.mark.parametrize(
    ("value", "meaning"), [(True, True), (1, True), ("yes", True), ("On", True), (False, False), (0, False), ("no", False), ("off", False)]
)
def test_boolean(value: object, meaning: bool) -> None:
    assert units.parse_boolean(value) is meaning


@pytest.mark.parametrize("value", ["", "2", 2, None, "maybe"])
def test_boolean_refuses(value: object) -> None:
    with pytest.raises(InvalidInput):
        units.parse_boolean(value)


@pytest.mark.parametrize("value", ["max", "MAX", " max ", "infinity", "unlimited", -1, "-1"])
def test_words_for_no_limit(value: object) -> None:
    assert units.is_max(value)


@pytest.mark.parametrize(
    ("text", "numbers"),
    [("0", {0}), ("0-3,7", {0, 1, 2, 3, 7}), (" 1 , 2 ", {1, 2}), ("0-7:2/4", {0, 1, 4, 5}), ("", set()), ("\n", set()), ("3,1-2,2", {1, 2, 3}), (2, {2})],
)
def test_list(text: object, numbers: set[int]) -> None:
    assert units.parse_list(text) == numbers


@pytest.mark.parametrize("text", ["a", "3-1", "-1", "1-", "0-3:2", "0-3:3/2", "0-3:0/2", "1 2"])
def test_list_refuses(text: str) -> None:
    with pytest.raises(InvalidInput, match="is not a list"):
        units.parse_list(text)


def test_list_refuses_what_no_machine_has() -> None:
    with pytest.raises(InvalidInput, match="'0-999999' names number 999999"):
        units.parse_list("0-999999")


@given(st.frozensets(st.integers(0, 300)))
def test_list_round_trip(numbers: frozenset[int]) -> None:
    text = units.format_list(numbers)
    assert units.parse_list(text) == numbers
    assert units.format_list(units.parse_list(text)) == text


@given(st.integers(0, LARGEST))
def test_plain_bytes_are_themselves(size: int) -> None:
    assert units.parse_size(size) == units.parse_size(str(size)) == size


@given(st.integers(0, 4096), st.sampled_from(list(enumerate(PREFIXES))), st.sampled_from(["", "B", "iB", "b", "ib"]))
def test_whole_multiples_of_a_unit_are_exact(number: int, prefix: tuple[int, str], ending: str) -> None:
    power, letter = prefix
    if ending.lower() == "ib" and not letter:
        ending = "B"
    if number << (10 * power) > LARGEST:
        with pytest.raises(InvalidInput):
            units.parse_size("%d%s%s" % (number, letter, ending))
    else:
        assert units.parse_size("%d%s%s" % (number, letter, ending)) == number << (10 * power)


@given(st.integers(0, LARGEST))
def test_a_size_for_people_is_the_size_to_a_decimal(size: int) -> None:
    shown = units.format_size(size)
    factor = 1024 ** PREFIXES.index(shown[-1] if shown[-1].isalpha() else "")
    assert abs(units.parse_size(shown) - size) <= factor * 0.0501 + 1 if shown != "8E" else size > LARGEST * 0.99


@given(st.decimals(0, 1000, places=3), st.decimals(0, 1000, places=3), st.sampled_from(PREFIXES[:5]))
def test_more_asked_is_never_less(one: object, other: object, letter: str) -> None:
    """Fractions are rounded down to whole bytes, and that keeps their order."""
    small, large = sorted((one, other))
    assert units.parse_size("%s%s" % (small, letter)) <= units.parse_size("%s%s" % (large, letter))
    assert units.parse_size("%s%s" % (small, letter)) <= float(small) * 1024 ** PREFIXES.index(letter)


@given(st.integers(0, 10**9), st.sampled_from([("us", 1), ("ms", 1000), ("s", 10**6), ("m", 6 * 10**7)]))
def test_times_are_exact(number: int, unit: tuple[str, int]) -> None:
    assert units.parse_time("%d%s" % (number, unit[0])) == number * unit[1]


@given(st.text(max_size=12))
def test_any_text_is_a_size_or_is_refused(text: str) -> None:
    try:
        size = units.parse_size(text)
    except InvalidInput:
        return
    assert 0 <= size <= LARGEST
    assert text.strip()[0] in "0123456789."


@given(st.text(max_size=12))
def test_any_text_is_a_list_or_is_refused(text: str) -> None:
    try:
        numbers = units.parse_list(text)
    except InvalidInput:
        return
    assert all(0 <= number <= 65535 for number in numbers)
