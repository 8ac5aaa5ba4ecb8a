ANOTHER: int
MOST: int

def deposit(temporary: str, final: str, pieces: list[bytes | memoryview]) -> int: ...
