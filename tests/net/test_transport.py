"""Writing in pieces: whatever the socket takes at a time, the bytes are those that were framed."""

from __future__ import annotations

import errno
import os
import socket
from collections import deque
from pathlib import Path
from typing import Any

import pytest

from dicomcore.encoding.source import FileSlice
from dicomcore.errors import PeerTimeout, SourceChanged
from dicomcore.net.poller import Facilities
from dicomcore.net.transport import Outbox, connect, listen
from dicomcore.ul import Slice


class Core:
    """Stands in for an association: hands out prepared batches."""

    def __init__(self, *batches: list[Any]) -> None:
        self.queue = deque(batches)

    def segments(self, max_bytes: int, *, slices: bool = True) -> list[Any]:
        return self.queue.popleft() if slices else []

    def stretch(self) -> None:
        return None  # nothing that could be framed elsewhere


def sent_through(outbox: Outbox, read_length: int) -> bytes:
    """What arrives at the other end of a socket with small buffers, read so many bytes at a time."""
    one, other = socket.socketpair()
    with one, other:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        one.setblocking(False)
        other.setblocking(False)
        found = b""
        done = False
        while True:
            done = done or outbox.flush(one)
            try:
                found += other.recv(read_length)
            except BlockingIOError:
                if done:
                    return found


@pytest.mark.parametrize("read_length", [997, 100_000])
def test_views_and_runs_of_files_leave_in_order(facilities: Facilities, tmp_path: Path, read_length: int) -> None:
    data = os.urandom(50_000)
    path = tmp_path / "data"
    path.write_bytes(data)
    file, again = FileSlice(path, 1000, 40_000), FileSlice(path, 0, 50_000)

    class Readable:
        def __len__(self) -> int:
            return len(data)

        def read(self, start: int, stop: int) -> bytes:
            return data[start:stop]

    other = Readable()
    batches: list[list[Any]] = [
        [b"head", memoryview(data)[:10], Slice(file, 0, 100), b"-", Slice(file, 100, 20_000), b"+", Slice(again, 7, 9)],
        [Slice(file, 20_000, 20_001), Slice(file, 30_000, 40_000), b"", Slice(other, 5, 25), b"end"],
        [b"tail"],
    ]
    wanted = b"".join(
        bytes(part)
        if not isinstance(part, Slice)
        else data[{id(file): 1000}.get(id(part.payload), 0) :][part.start : part.stop]
        for batch in batches
        for part in batch
    )
    core: Any = Core(*batches)
    outbox = Outbox(core, facilities)
    assert sent_through(outbox, read_length) == wanted
    assert outbox.empty
    outbox.release_memory()
    file.close()
    again.close()


def test_a_file_that_ends_early_is_told_before_anything_of_it_leaves(facilities: Facilities, tmp_path: Path) -> None:
    path = tmp_path / "data"
    path.write_bytes(bytes(10))
    core: Any = Core([b"head", Slice(FileSlice(path, 0, 100), 0, 100)])
    with pytest.raises(SourceChanged):
        sent_through(Outbox(core, facilities), 1000)
    path.unlink()
    core = Core([b"head", Slice(FileSlice(path, 0, 100), 0, 100)])
    with pytest.raises(SourceChanged):
        sent_through(Outbox(core, facilities), 1000)


def test_listening_and_connecting_within_time() -> None:
    (listener,) = listen("127.0.0.1", 0, 0)
    port = listener.getsockname()[1]
    waiting = [connect("127.0.0.1", port, 5)]
    with pytest.raises(PeerTimeout):  # a backlog that is full answers nothing
        waiting += [connect("127.0.0.1", port, 0.05) for _ in range(10)]
    for sock in (*waiting, listener):
        sock.close()


def test_a_port_that_is_taken_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(OSError, match="in use") as caught:
            listen("127.0.0.1", port)
    assert caught.value.errno == errno.EADDRINUSE
    assert caught.value.__notes__ == [f"listening on 127.0.0.1:{port}"]


def test_one_port_for_every_family() -> None:
    sockets = listen("", 0)
    assert len({sock.getsockname()[1] for sock in sockets}) == 1
    for sock in sockets:
        sock.close()
