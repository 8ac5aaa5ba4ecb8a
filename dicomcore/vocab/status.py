"""DIMSE status codes (PS3.7 annex C, PS3.4) and their classes."""

from __future__ import annotations

from enum import StrEnum
from functools import cache

from ._tables import read_table

__all__ = ["CANCELLED", "PENDING", "SUCCESS", "StatusCategory", "category", "describe"]

SUCCESS = 0x0000
PENDING = 0xFF00
CANCELLED = 0xFE00

_WARNINGS = frozenset({0x0001, 0x0107, 0x0116})


class StatusCategory(StrEnum):
    SUCCESS = "Success"
    PENDING = "Pending"
    CANCEL = "Cancel"
    WARNING = "Warning"
    FAILURE = "Failure"


@cache
def category(status: int) -> StatusCategory:
    """The class of a status (PS3.7 C.1); a code outside every range of the standard counts as a failure."""
    if status == SUCCESS:
        return StatusCategory.SUCCESS
    if status in (PENDING, 0xFF01):
        return StatusCategory.PENDING
    if status == CANCELLED:
        return StatusCategory.CANCEL
    if status in _WARNINGS or 0xB000 <= status <= 0xBFFF:
        return StatusCategory.WARNING
    return StatusCategory.FAILURE


@cache
def _meanings() -> tuple[tuple[str, str, int, int, str], ...]:
    rows = []
    for service, dimse, status, _category, meaning in read_table("statuses"):
        first, _, last = status.partition("-")
        rows.append((service, dimse, int(first, 16), int(last or first, 16), meaning))
    return tuple(rows)


def describe(status: int, service: str | None = None) -> str:
    """``A700 Failure: Out of resources``; ``service`` is a service class or a DIMSE service such as C-STORE."""
    hits = [row for row in _meanings() if row[2] <= status <= row[3]]
    own = [row for row in hits if service and (service == row[0] or service in row[1].split(","))]
    meaning = (own or hits)[0][4] if hits else ""
    text = f"{status:04X} {category(status)}"
    return f"{text}: {meaning}" if meaning and meaning != category(status) else text
