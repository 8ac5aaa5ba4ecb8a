"""Plain twin of pyx/pixels.pyx: native pixels as lists of numbers, one value at a time, and colours as fractions."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from math import floor
from typing import Literal

Order = Literal["little", "big", "words"]


def places(pixels: int, samples: int, planar: bool, halved: bool) -> Iterator[int]:
    """Of the stored values, which one belongs to each sample of each pixel (PS3.3 C.7.6.3.1.2, .3)."""
    for pixel in range(pixels):
        for sample in range(samples):
            if halved:
                yield pixel // 2 * 4 + (pixel % 2 if sample == 0 else sample + 1)
            else:
                yield sample * pixels + pixel if planar else pixel * samples + sample


def turned(data: bytes) -> bytes:
    """16-bit words with their bytes exchanged."""
    return b"".join(data[i + 1 : i + 2] + data[i : i + 1] for i in range(0, len(data), 2))


def decode(
    data: bytes, pixels: int, samples: int, size: int, stored: int, is_signed: bool, order: Order, planar: bool,
    halved: bool, bit: int,
) -> list[int]:  # fmt: skip
    if order == "words":
        data, order = turned(data), "little"
    if size == 0:
        return [data[at // 8] >> at % 8 & 1 for at in range(bit, bit + pixels * samples)]
    values = []
    for place in places(pixels, samples, planar, halved):
        at = bit // 8 + place * size
        value = int.from_bytes(data[at : at + size], order) % (1 << stored)
        values.append(value - (1 << stored) if is_signed and value >> (stored - 1) else value)
    return values


def encode(
    values: list[int], pixels: int, samples: int, size: int, stored: int, is_signed: bool, order: Order, planar: bool,
    halved: bool,
) -> bytes:  # fmt: skip
    if size == 0:
        packed = sum((value != 0) << i for i, value in enumerate(values))
        data = packed.to_bytes((len(values) + 7) // 8, "little")
    else:
        if halved:
            for i in range(0, pixels * samples, 6):
                for chroma in (1, 2):
                    values[i + chroma] = values[i + chroma + 3] = (values[i + chroma] + values[i + chroma + 3] + 1) // 2
        cells: dict[int, bytes] = {}
        for place, value in zip(places(pixels, samples, planar, halved), values, strict=True):
            value %= 1 << stored
            if is_signed and value >> (stored - 1):
                value -= 1 << stored
            cells[place] = value.to_bytes(size, "big" if order == "big" else "little", signed=is_signed)
        data = b"".join(cells[place] for place in sorted(cells))
    return turned(data + b"\0" * (len(data) % 2)) if order == "words" else data


def rounded(value: Fraction) -> int:
    return min(max(floor(value + Fraction(1, 2)), 0), 255)


def to_rgb(y: int, cb: int, cr: int) -> tuple[int, int, int]:
    u, v = cb - 128, cr - 128
    return (
        rounded(y + Fraction("1.402") * v),
        rounded(
            y
            - Fraction("0.114") * Fraction("1.772") / Fraction("0.587") * u
            - Fraction("0.299") * Fraction("1.402") / Fraction("0.587") * v
        ),
        rounded(y + Fraction("1.772") * u),
    )


def to_ybr(r: int, g: int, b: int) -> tuple[int, int, int]:
    luma = Fraction("0.299") * r + Fraction("0.587") * g + Fraction("0.114") * b
    return rounded(luma), rounded(128 + (b - luma) / Fraction("1.772")), rounded(128 + (r - luma) / Fraction("1.402"))
