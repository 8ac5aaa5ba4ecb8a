AGAIN: int
LAST: int
OTHER: int
ENDED: int
BROKEN: int
MORE: int
HEADER: int

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
def frame(
    file: int,
    offset: int,
    position: int,
    stop: int,
    size: int,
    context_id: int,
    flags: int,
    last: bool,
    out: bytearray,
    most: int,
) -> tuple[int, int, int]: ...
