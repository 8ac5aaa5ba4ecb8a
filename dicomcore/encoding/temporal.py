"""Dates and times as Python's own (PS3.5 section 6.2: DA, TM, DT), partial ones and ranges (PS3.4 C.2.2.2.5) included.

Values of a data set stay text, as they were written; these functions say what the text means. A partial value, such as
``2026`` or ``1030``, is a span; `bounds` gives its first and its last moment, and does the same for ``A-B``, ``A-``,
``-B``; `moment_text` writes Python's own. Refuses (ValueError) what is no value of the VR. A leap second is taken as
second 59, which Python has.
"""

from __future__ import annotations

import re
from datetime import date, datetime, time, timedelta, timezone

__all__ = ["bounds", "moment_text", "parse_date", "parse_datetime", "parse_time"]

_DATE = re.compile(r"(\d{4})(\d\d)(\d\d)|(\d{4})\.(\d\d)\.(\d\d)")  # with dots as ACR-NEMA wrote them
_TIME = re.compile(r"(\d\d)(?::?(\d\d)(?::?(\d\d)(?:\.(\d{1,6}))?)?)?")
_DATETIME = re.compile(r"(\d{4})(?:(\d\d)(?:(\d\d)(?:(\d\d)(?:(\d\d)(?:(\d\d)(?:\.(\d{1,6}))?)?)?)?)?)?([+-]\d{4})?")


def parse_date(text: str) -> date:
    """The day of a DA value."""
    match = _DATE.fullmatch(text.strip(" "))
    if match is None:
        raise ValueError(f"{text!r} is no date of PS3.5 6.2")
    year, month, day = (int(part) for part in match.groups() if part is not None)
    return date(year, month, day)


def parse_time(text: str, *, last: bool = False) -> time:
    """The first moment that a TM value names, or the last."""
    match = _TIME.fullmatch(text.strip(" "))
    if match is None:
        raise ValueError(f"{text!r} is no time of PS3.5 6.2")
    hour, minute, second, fraction = match.groups()
    micro = _part(_micro(fraction, last), 999_999, last)
    return time(int(hour), _part(minute, 59, last), _second(second, last), micro)


def parse_datetime(text: str, *, last: bool = False) -> datetime:
    """The first moment that a DT value names, or the last; aware when the value gives its offset from UTC."""
    match = _DATETIME.fullmatch(text.strip(" "))
    if match is None:
        raise ValueError(f"{text!r} is no date and time of PS3.5 6.2")
    year, month, day, hour, minute, second, fraction, offset = match.groups()
    month_number = _part(month, 12, last, 1)
    if day is None and last:
        following = date(int(year) + month_number // 12, month_number % 12 + 1, 1) if int(year) < 9999 else None
        day = f"{(following - timedelta(1)).day if following else 31}"
    zone = None
    if offset is not None:
        away = timedelta(hours=int(offset[1:3]), minutes=int(offset[3:]))
        if away > timedelta(hours=12 if offset[0] == "-" else 14) or int(offset[3:]) > 59:
            raise ValueError(f"{offset} in {text!r} is no offset from UTC")  # so 2024-2025 is a range
        zone = timezone(-away if offset[0] == "-" else away)
    return datetime(
        int(year),
        month_number,
        int(day or 1),
        _part(hour, 23, last),
        _part(minute, 59, last),
        _second(second, last),
        _part(_micro(fraction, last), 999_999, last),
        zone,
    )


def bounds(vr: str, text: str) -> tuple[date | time | datetime | None, date | time | datetime | None]:
    """First and last moment of a value or range of DA, TM or DT; None where a range is open.

    ValueError for dates that end before they begin; a range of times may pass midnight.
    """
    if vr not in ("DA", "TM", "DT"):
        raise ValueError(f"values of {vr} are no moments")
    try:
        return _one(vr, text, False), _one(vr, text, True)
    except ValueError:
        for match in _dashes(text):
            first, last = text[:match].strip(" "), text[match + 1 :].strip(" ")
            try:
                start, end = _one(vr, first, False) if first else None, _one(vr, last, True) if last else None
            except ValueError:
                continue
            if isinstance(start, date) and isinstance(end, date) and _is_before(end, start):
                raise ValueError(f"{text!r} is no range: it ends before it begins") from None
            if first or last:
                return start, end
        raise


def moment_text(vr: str, value: date | time) -> str:
    """The value of DA, TM or DT for a date, time or datetime: to the second, or microsecond where it has them.

    What remembers how it was written (``original_string``, as pydicom's values do) stays so. ValueError for an offset
    from UTC that is no whole minute.
    """
    original = getattr(value, "original_string", None)
    if isinstance(original, str) and original:
        return original
    day = f"{value.year:04}{value.month:02}{value.day:02}" if isinstance(value, date) else ""  # %Y does not pad
    if vr == "DA" or not isinstance(value, (time, datetime)):
        return day
    text = f"{value.hour:02}{value.minute:02}{value.second:02}"
    if value.microsecond:
        text += f".{value.microsecond:06}"
    if vr == "TM":
        return text
    zone = value.strftime("%z")
    if len(zone) > 5:
        raise ValueError(f"{value} is {zone} from UTC, which DT gives in hours and minutes")
    return day + text + zone


def _is_before(one: date, other: date) -> bool:
    """Of two dates, or two datetimes; without offsets from UTC where one has none."""
    if isinstance(one, datetime) and isinstance(other, datetime) and (one.tzinfo is None) != (other.tzinfo is None):
        return one.replace(tzinfo=None) < other.replace(tzinfo=None)
    return one < other


def _dashes(text: str) -> list[int]:
    """Where a range may be parted; an offset has a dash too, so the last one comes last."""
    return [at for at, character in enumerate(text) if character == "-"]


def _one(vr: str, text: str, last: bool) -> date | time | datetime:
    if vr == "DA":
        return parse_date(text)
    return parse_time(text, last=last) if vr == "TM" else parse_datetime(text, last=last)


def _part(text: str | None, greatest: int, last: bool, least: int = 0) -> int:
    return int(text) if text is not None else greatest if last else least


def _second(text: str | None, last: bool) -> int:
    return 59 if text == "60" else _part(text, 59, last)


def _micro(fraction: str | None, last: bool) -> str | None:
    return fraction.ljust(6, "9" if last else "0") if fraction is not None else None
