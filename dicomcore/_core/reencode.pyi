from collections.abc import Iterable

FAULTS: dict[int, tuple[str, str]]

class VRTable:
    def __init__(
        self,
        rows: Iterable[tuple[int, str]],
        repeating: Iterable[tuple[int, int, str]],
        private: Iterable[tuple[str, int, str]],
    ) -> None: ...

def reencode(
    view: bytes | bytearray | memoryview,
    source_explicit: bool,
    source_big: bool,
    target_explicit: bool,
    target_big: bool,
    table: VRTable,
    *,
    pixel_representation: int = -1,
    lut_entries: int = -1,
    private_creators: Iterable[tuple[int, str]] = (),
    nesting_depth: int = 128,
    lengths: int = 0,
    faults: list[tuple[int, int, int]] | None = None,
) -> bytes: ...
