AGAIN: int
LAST: int
OTHER: int
ENDED: int
BROKEN: int
REFUSED: int
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
) -> tuple[int, int, int, int, int, State]: ...
