ANOTHER: int
MOST: int

def deposit(temporary: bytes, final: bytes, pieces: list[bytes | memoryview]) -> int: ...
