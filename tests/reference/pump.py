"""Plain twin of pyx/pump.pyx: fragments from a socket into a file, one at a time and by the words of PS3.8 9.3.5."""

from __future__ import annotations

import os
import socket

AGAIN, LAST, OTHER, ENDED, BROKEN, MORE = range(6)

State = tuple[int, int, int, bool]


def receive(
    sock: socket.socket,
    file: int,
    block: bytearray,
    held: int,
    state: State,
    longest: tuple[int, int],
    most: int,
) -> tuple[int, bool, int, int, int, int, State]:
    """As the kernel, but for a socket object in place of its descriptor."""
    data = bytes(block[:held])
    received = moved = error = 0
    while True:
        room = len(block) - len(data)
        try:
            got = sock.recv(room)
        except BlockingIOError:
            reason, short = AGAIN, True
            break
        except OSError:
            reason, short = BROKEN, True
            break
        if not got:
            reason, short = ENDED, True
            break
        received += len(got)
        short = len(got) < room
        reason, data, body, state = _take(data + got, state, longest)
        moved += len(body)
        if file >= 0 and not error:
            error = _write(file, body)
        if reason != AGAIN or short:
            break
        if moved >= most:
            reason = MORE
            break
    block[: len(data)] = data
    return reason, short, error, received, moved, len(data), state


def _take(data: bytes, state: State, longest: tuple[int, int]) -> tuple[int, bytes, bytes, State]:
    """(reason, what is left, what belongs to the body, state)."""
    context_id, pdu_rest, pdv_rest, last = state
    body = b""
    while True:
        if pdv_rest:
            part = data[:pdv_rest]
            data = data[len(part) :]
            body += part
            pdv_rest -= len(part)
            pdu_rest -= len(part)
            if pdv_rest:
                return AGAIN, data, body, (context_id, pdu_rest, pdv_rest, last)
            if last:
                return LAST, data, body, (context_id, pdu_rest, 0, last)
        here = context_id, pdu_rest, 0, last
        header, rest = data, pdu_rest
        if not rest:
            if data[:1] not in (b"", b"\x04"):
                return OTHER, data, body, here
            if len(data) < 12:
                return AGAIN, data, body, here
            rest = int.from_bytes(data[2:6], "big")
            header = data[6:]
            if rest > longest[0]:
                return OTHER, data, body, here
        if rest < 6:
            return OTHER, data, body, here
        if len(header) < 6:
            return AGAIN, data, body, here
        length, context, flags = int.from_bytes(header[:4], "big"), header[4], header[5]
        fits = 2 <= length <= rest - 4 and length - 2 <= longest[1]
        if not fits or context != context_id or flags & 1:
            return OTHER, data, body, here
        data = header[6:]
        pdu_rest, pdv_rest, last = rest - 6, length - 2, flags & 2 == 2
        if last and not pdv_rest:
            return LAST, data, body, (context_id, pdu_rest, 0, last)


def _write(file: int, body: bytes) -> int:
    """The error number, 0 when all is written."""
    try:
        while body:
            body = body[os.write(file, body) :]
    except OSError as failure:
        return failure.errno or -1
    return 0


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
) -> tuple[int, int, int]:
    """As the kernel: every fragment read and framed by itself."""
    used = 0
    while position < stop and used < most:
        length = min(size, stop - position)
        if used + 12 + length > len(out):
            break
        try:
            data = os.pread(file, length, offset + position)
        except OSError as failure:
            return (0 if used else failure.errno or -1), position, used
        if len(data) < length:
            break
        position += length
        control = flags | (2 if last and position == stop else 0)
        pdv = (length + 2).to_bytes(4, "big") + bytes([context_id, control]) + data
        pdu = b"\x04\0" + len(pdv).to_bytes(4, "big") + pdv
        out[used : used + len(pdu)] = pdu
        used += len(pdu)
    return 0, position, used
