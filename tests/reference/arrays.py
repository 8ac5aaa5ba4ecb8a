"""Plain twin of pyx/arrays.pyx and pyx/decimal.pxd: strings by `float`, decimals by exact rational arithmetic."""

from __future__ import annotations

import re
from decimal import ROUND_HALF_EVEN, Decimal

NUMBER = re.compile(r" *[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)? *")
INTEGER = re.compile(r" *[+-]?\d+ *")


def read_decimals(text: str) -> list[float]:
    """ValueError at the first value that is no number."""
    values = text.split("\\")
    if not all(NUMBER.fullmatch(value) for value in values):
        raise ValueError(text)
    return [float(value) for value in values]


def read_integers(text: str) -> list[int]:
    values = text.split("\\")
    if not all(INTEGER.fullmatch(value) for value in values):
        raise ValueError(text)
    return [int(value) for value in values]


def format_decimal(value: float) -> str | None:
    """What Python shows where that fits 16 characters, else the nearest that does; None beyond plain numbers."""
    if value and not 1e-4 <= abs(value) < 1e14:
        return None
    shown = repr(value)
    if len(shown) <= 16:
        return shown
    if abs(value) < 1e-3:
        return None
    sign, whole = ("-" if value < 0 else ""), len(str(int(abs(value))))
    places = 15 - whole - len(sign)
    rounded = Decimal(abs(value)).quantize(Decimal(1).scaleb(-places), ROUND_HALF_EVEN)
    text = f"{sign}{rounded:f}"
    if "." in text:
        text = text.rstrip("0")
        text += "0" if text.endswith(".") else ""
    return text
