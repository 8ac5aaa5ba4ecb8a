MORE: int
DECIDED: int
STRAY: int
NO_VR: int

def walk(
    head: bytes | bytearray | memoryview, explicit: bool, big_endian: bool
) -> tuple[int, int, str | None, str | None]: ...
