"""Plain twin of pyx/dose.pyx: one voxel at a time, integers by `int.from_bytes`, bins and bounds by comparison."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

LITTLE, BIG, WORDS = range(3)


def numbers(stored: bytes, allocated: int, bits: int, signed: bool, order: int) -> list[int]:
    """The stored numbers; what is above ``bits`` of them does not count."""
    width = allocated // 8
    found = []
    for at in range(0, len(stored), width):
        raw = stored[at : at + width]
        if order == WORDS:  # big-endian words, the least significant first
            raw = b"".join(raw[i : i + 2][::-1] for i in range(0, width, 2))
        value = int.from_bytes(raw, "big" if order == BIG else "little") & ((1 << bits) - 1)
        found.append(value - (1 << bits) if signed and value >> (bits - 1) else value)
    return found


def scale(values: Iterable[int], scaling: float) -> list[float]:
    return [value * scaling for value in values]


def measure(values: Sequence[int]) -> tuple[int, int, int]:
    return min(values), max(values), sum(values)


def count(values: Sequence[float], starts: Sequence[float], mask: Sequence[bool] | None = None) -> list[int]:
    """Below, the bins, above; bin b holds ``starts[b] <= value < starts[b + 1]``."""
    counts = [0] * (len(starts) + 1)
    for i, value in enumerate(values):
        if mask is None or mask[i]:
            counts[sum(start <= value for start in starts)] += 1
    return counts


def count_values(values: Sequence[float], edges: Sequence[float], mask: Sequence[bool] | None = None) -> list[int]:
    """The same of floating values, the last bin with its upper edge; NaN is nowhere."""
    counts = [0] * (len(edges) + 1)
    for i, value in enumerate(values):
        if math.isnan(value) or (mask is not None and not mask[i]):
            continue
        counts[len(edges) - 1 if value == edges[-1] else sum(edge <= value for edge in edges)] += 1
    return counts


def store(values: Sequence[float], scaling: float, low: int, high: int) -> tuple[list[int], float]:
    """The nearest stored numbers, ties to even, and the greatest error."""
    found = [round(min(max(value / scaling, low), high)) for value in values]
    return found, max((abs(one * scaling - value) for one, value in zip(found, values, strict=True)), default=0.0)


def sample(
    grid: Sequence[Sequence[Sequence[float]]], offsets: Sequence[float], index: tuple[float, float, float]
) -> float:
    """Trilinear at ``index`` (mm along the normal, row, column); NaN outside."""
    axes: list[list[tuple[int, float]]] = []
    for known, at in (
        (offsets, index[0]),
        (range(len(grid[0])), index[1]),
        (range(len(grid[0][0])), index[2]),
    ):
        if not known[0] <= at <= known[-1]:
            return math.nan
        below = max(i for i, one in enumerate(known) if one <= at)
        if below == len(known) - 1:
            axes.append([(below, 1.0)])
        else:
            part = (at - known[below]) / (known[below + 1] - known[below])
            axes.append([(below, 1.0 - part), (below + 1, part)])
    return sum(grid[f][r][c] * of_f * of_r * of_c for f, of_f in axes[0] for r, of_r in axes[1] for c, of_c in axes[2])
