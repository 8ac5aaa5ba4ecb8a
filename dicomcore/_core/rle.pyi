from typing import Any

from numpy.typing import NDArray

DONE: int
SHORT: int
HEADER: int
OFFSET: int
LONGER: int
SEGMENTS: int

def decode(
    data: bytes | bytearray | memoryview, out: NDArray[Any] | memoryview, samples: int, size: int, plain: int = 0
) -> tuple[int, int, int]: ...
def encode(
    frame: NDArray[Any] | bytes | memoryview, rows: int, samples: int, size: int, plain: int = 0
) -> bytes | None: ...
