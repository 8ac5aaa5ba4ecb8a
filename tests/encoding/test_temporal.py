"""DA, TM and DT as Python's own: whole, partial, with offsets, and in ranges."""

from __future__ import annotations

from datetime import date, datetime, time, timedelta, timezone
from typing import Any

import pytest

from dicomcore.encoding.temporal import bounds, parse_date, parse_datetime, parse_time

WEST = timezone(-timedelta(hours=5))


def test_whole_values() -> None:
    assert parse_date("20240229") == parse_date("2024.02.29 ") == date(2024, 2, 29)
    assert parse_time("101112.5") == parse_time("10:11:12.500000") == time(10, 11, 12, 500_000)
    assert parse_datetime("20240229101112.000001-0500") == datetime(2024, 2, 29, 10, 11, 12, 1, WEST)
    assert parse_time("235960") == time(23, 59, 59)


@pytest.mark.parametrize(
    ("vr", "text", "first", "last"),
    [
        ("TM", "10", time(10), time(10, 59, 59, 999_999)),
        ("TM", "1011", time(10, 11), time(10, 11, 59, 999_999)),
        ("TM", "101112.5", time(10, 11, 12, 500_000), time(10, 11, 12, 599_999)),
        ("DA", "20240101-20240131", date(2024, 1, 1), date(2024, 1, 31)),
        ("DA", "20240101-", date(2024, 1, 1), None),
        ("DA", "-20240131", None, date(2024, 1, 31)),
        ("TM", "23-0130", time(23), time(1, 30, 59, 999_999)),
        ("TM", "10-1130", time(10), time(11, 30, 59, 999_999)),
        ("DT", "2024", datetime(2024, 1, 1), datetime(2024, 12, 31, 23, 59, 59, 999_999)),
        ("DT", "202402", datetime(2024, 2, 1), datetime(2024, 2, 29, 23, 59, 59, 999_999)),
        ("DT", "999912", datetime(9999, 12, 1), datetime(9999, 12, 31, 23, 59, 59, 999_999)),
        ("DT", "20240101-2025", datetime(2024, 1, 1), datetime(2025, 12, 31, 23, 59, 59, 999_999)),
        ("DT", "2024010110-0500-", datetime(2024, 1, 1, 10, tzinfo=WEST), None),
        (
            "DT",
            "2024010110-0500-2024010111-0500",
            datetime(2024, 1, 1, 10, tzinfo=WEST),
            datetime(2024, 1, 1, 11, 59, 59, 999_999, tzinfo=WEST),
        ),
    ],
)
def test_partial_values_and_ranges(vr: str, text: str, first: Any, last: Any) -> None:
    assert bounds(vr, text) == (first, last)


NONE = [
    ("DA", "2024"),
    ("DA", "20241301"),
    ("DA", "-"),
    ("DA", "20240102-20240101"),
    ("TM", "25"),
    ("DT", ""),
    ("DT", "x-y"),
    ("DT", "2024-1300"),  # no offset from UTC, which goes to -1200, and no range
    ("DT", "20240101+0100-2023"),
    ("LO", "1"),
]


@pytest.mark.parametrize(("vr", "text"), NONE)
def test_what_is_no_moment(vr: str, text: str) -> None:
    with pytest.raises(ValueError, match=r"is no|are no|must be"):
        bounds(vr, text)
