AGAIN: int
LAST: int
OTHER: int
ENDED: int
BROKEN: int
MORE: int

State = tuple[int, int, int, bool]

def receive(
    sock: int,
    file: int,
    block: bytearray,
    held: int,
    state: State,
    longest: tuple[int, int],
    most: int,
) -> tuple[int, bool, int, int, int, int, State]: ...
