# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Sizes: what is read, what is refused and with which hint."""

from __future__ import annotations

import re

import pytest
from ansible_collections.xen.blockdev.plugins.module_utils.errors import BlockdevError
from ansible_collections.xen.blockdev.plugins.module_utils.units import (
    MAX_DISK_SIZE,
    SECTOR,
    SizeError,
    checked_seconds,
    format_about,
    format_size,
    parse_size,
    round_up,
)
from hypothesis import given
from hypothesis import strategies as st


@pytest.mark.parametrize(
    ("value", "size"),
    [
        (512, 512),
        ("512", 512),
        ("4096", 4096),
        (16777216, 16777216),
        ("1K", 1024),
        ("512KiB", 524288),
        ("16M", 16777216),
        ("16MiB", 16777216),
        ("2G", 2147483648),
        ("2GiB", 2147483648),
        ("1T", 1099511627776),
        ("1PiB", 1125899906842624),
        ("7E", 8070450532247928832),
        (MAX_DISK_SIZE - 511, MAX_DISK_SIZE - 511),
        (str(MAX_DISK_SIZE - 511), MAX_DISK_SIZE - 511),
    ],
)
def test_that_a_size_is_read(value: object, size: int) -> None:
    assert parse_size(value) == size


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ("16MB", "'16MB' is not a size: the unit is decimal (did you mean 16MiB?); use bytes"),
        ("16kB", "the unit is decimal (did you mean 16KiB?)"),
        ("2GB", "(did you mean 2GiB?)"),
        ("2 GB", "(did you mean 2GiB?)"),
        ("16m", "the unit is misspelt (did you mean 16MiB?)"),
        ("16 MiB", "(did you mean 16MiB?)"),
        ("16MIB", "(did you mean 16MiB?)"),
        ("16Mi", "(did you mean 16MiB?)"),
        ("1.5G", "a fraction needs a smaller unit, such as 1536MiB for 1.5GiB"),
        ("1,5G", "a fraction"),
        (".5G", "a fraction"),
        ("", "'' is not a size: it is empty"),
        (" 512", "leading or trailing whitespace"),
        (" 512\n512", "leading or trailing whitespace"),
        ("512\n", "leading or trailing whitespace"),
        ("0", "it must be greater than zero"),
        ("-512", "it must be greater than zero"),
        ("0512", "it starts with 0"),
        ("0x200", "it is not a number"),
        ("1e9", "it is not a number"),
        ("512B", "it is not a number"),
        ("+512", "it is not a number"),
        ("MiB", "it is not a number"),
        ("1\u017f", "it is not a number"),
        ("1\u212a", "it is not a number"),
        ("\u0665\u0661\u0662", "it is not a number"),
        (0, "0 is not a size: it must be greater than zero"),
        (-512, "-512 is not a size"),
        (1000000, "1000000 is not a multiple of 512 bytes (a sector): use 999936 or 1000448"),
        ("1000", "'1000' is not a multiple of 512 bytes (a sector): use 512 or 1024"),
        (100, "use 512"),
        (1, "1 is not a multiple of 512 bytes (a sector): use 512"),
        (MAX_DISK_SIZE, f"use {MAX_DISK_SIZE - 511}"),
        (2**63, "9223372036854775808 is too large: a file has at most"),
        (2**64 - 1, "18446744073709551615 is too large"),
        (2**64, "a number of 65 bits is too large"),
        ("10000000000000000000", "'10000000000000000000' is too large"),
        ("8E", "'8E' is too large"),
        pytest.param(10**5000, "a number of 16610 bits is too large", id="huge-1"),
        pytest.param("9" * 5000, "is too large", id="huge-2"),
        (True, "a size must be a string or an integer, not bool"),
        (512.0, "not float"),
        (None, "not NoneType"),
        ([512], "not list"),
    ],
)
def test_that_the_error_says_what_is_wrong(value: object, problem: str) -> None:
    with pytest.raises(SizeError, match=re.escape(problem)):
        parse_size(value)


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 bytes"),
        (512, "512 bytes"),
        (1023, "1023 bytes"),
        (1024, "1KiB"),
        (1000448, "977KiB"),
        (1000960, "1000960 bytes"),
        (16777216, "16MiB"),
        (16777216 + 1024, "16385KiB"),
        (2**40, "1TiB"),
        (7 * 2**60, "7EiB"),
    ],
)
def test_that_a_size_is_written_exactly(size: int, text: str) -> None:
    assert format_size(size) == text


@given(st.integers(1, MAX_DISK_SIZE // 1024).map(lambda kibibytes: kibibytes * 1024))
def test_that_what_is_written_with_a_unit_is_read_back(size: int) -> None:
    assert parse_size(format_size(size)) == size


@given(st.integers(1, 2000), st.sampled_from("KMGTPE"), st.sampled_from(["", "iB"]))
def test_that_units_are_powers_of_1024(number: int, unit: str, suffix: str) -> None:
    size = number * 1024 ** ("KMGTPE".index(unit) + 1)
    if size <= MAX_DISK_SIZE:
        assert parse_size(f"{number}{unit}{suffix}") == size
    else:
        with pytest.raises(SizeError, match="too large"):
            parse_size(f"{number}{unit}{suffix}")


@given(st.integers(0, MAX_DISK_SIZE), st.integers(1, 2**20))
def test_that_a_number_is_rounded_up_to_the_next_multiple(number: int, unit: int) -> None:
    rounded = round_up(number, unit)
    assert rounded % unit == 0
    assert number <= rounded < number + unit


@given(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.text("0123456789.,-+ kKmMgGiIbB\n", max_size=8)
    | st.binary()
    | st.lists(st.integers())
)
def test_that_anything_is_a_size_or_the_documented_error(value: object) -> None:
    try:
        size = parse_size(value)
    except SizeError as error:
        assert str(error)
    else:
        assert 0 < size <= MAX_DISK_SIZE
        assert size % SECTOR == 0


@pytest.mark.parametrize("seconds", [-1.0, float("nan"), float("inf"), float("-inf")])
def test_a_timeout_that_never_ends_or_never_begins(seconds: float) -> None:
    with pytest.raises(BlockdevError, match=r"timeout .* is not a number of seconds; set 0 "):
        checked_seconds(seconds)


def test_a_timeout() -> None:
    assert [checked_seconds(value) for value in (0, 0.5, 30.0)] == [0, 0.5, 30.0]


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 bytes"),
        (1023, "1023 bytes"),
        (1024, "1KiB"),
        (1536, "1.5KiB"),
        (1048524, "1023.9KiB"),
        (1048525, "1MiB"),
        (1048576, "1MiB"),
        (21 * 2**30 - 2**28, "20.8GiB"),
        (100 * 2**40, "100TiB"),
        (MAX_DISK_SIZE, "8EiB"),
    ],
)
def test_that_a_size_is_shown_in_round_numbers(size: int, text: str) -> None:
    assert format_about(size) == text
