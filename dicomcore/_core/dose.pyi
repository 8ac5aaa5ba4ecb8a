"""Kernel of dose grids; see pyx/dose.pyx."""

from typing import Any, final

from numpy.typing import NDArray

LITTLE: int
BIG: int
WORDS: int

Buffer = bytes | bytearray | memoryview | NDArray[Any]

@final
class Coding:
    def __init__(self, allocated: int, stored: int, signed: bool, order: int) -> None: ...
    @property
    def allocated(self) -> int: ...
    @property
    def stored(self) -> int: ...
    @property
    def signed(self) -> bool: ...
    @property
    def order(self) -> int: ...
    @property
    def lowest(self) -> int: ...
    @property
    def highest(self) -> int: ...

def scale(
    stored: Buffer, coding: Coding, scaling: float, out: NDArray[Any], measured: bool = False
) -> tuple[int, int, int] | None: ...
def measure(stored: Buffer, coding: Coding) -> tuple[int, int, int] | None: ...
def count(
    stored: Buffer, coding: Coding, starts: NDArray[Any], counts: NDArray[Any], mask: NDArray[Any] | None = None
) -> None: ...
def count_values(
    values: NDArray[Any], edges: NDArray[Any], counts: NDArray[Any], mask: NDArray[Any] | None = None
) -> None: ...
def store(
    values: NDArray[Any], scaling: float, lowest: int, highest: int, out: NDArray[Any] | None = None, bits: int = 0
) -> float: ...
def sample(
    grid: NDArray[Any],
    offsets: NDArray[Any],
    points: NDArray[Any],
    origin: NDArray[Any],
    axes: NDArray[Any],
    slack: float,
    fill: float,
    out: NDArray[Any],
) -> None: ...
