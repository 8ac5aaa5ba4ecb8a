from typing import Any

from numpy.typing import NDArray

LITTLE: int
BIG: int
WORDS: int
NARROW: int
SINGLY: int

def decode(
    data: bytes | bytearray | memoryview,
    out: NDArray[Any] | bytearray | memoryview,
    samples: int,
    size: int,
    stored: int,
    is_signed: bool = False,
    order: int = 0,
    planar: bool = False,
    halved: bool = False,
    bit: int = 0,
    plain: int = 0,
) -> None: ...
def encode(
    frame: NDArray[Any] | bytes | memoryview,
    out: NDArray[Any] | bytearray | memoryview | None,
    samples: int,
    size: int,
    stored: int,
    is_signed: bool = False,
    order: int = 0,
    planar: bool = False,
    halved: bool = False,
    bit: int = 0,
    plain: int = 0,
) -> bytes | None: ...
def ybr_to_rgb(pixels: NDArray[Any] | memoryview, plain: int = 0) -> None: ...
def rgb_to_ybr(pixels: NDArray[Any] | memoryview, plain: int = 0) -> None: ...
