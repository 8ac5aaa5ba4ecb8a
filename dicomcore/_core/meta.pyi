DONE: int
NEED: int
OVERRUN: int

def walk(head: memoryview | bytes, start: int, size: int) -> tuple[int, int, dict[int, bytes] | None]: ...
