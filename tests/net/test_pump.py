"""Bodies that go from the socket to their file in compiled code: as the plain twin, and as the ordinary path, whatever
comes and wherever it is cut (PS3.8 9.3.5, Annex E)."""

from __future__ import annotations

import errno
import os
import resource
import signal
import socket
import struct
import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dicomcore.dimse.command import CommandField, command, encode_command
from dicomcore.encoding.sink import FileSink
from dicomcore.encoding.source import FileSlice
from dicomcore.errors import AssociationAborted, LimitExceeded, SourceChanged
from dicomcore.limits import Limits
from dicomcore.net import AE, Server
from dicomcore.net.connection import Connection
from dicomcore.net.poller import Facilities
from dicomcore.net.transport import Outbox
from dicomcore.services.base import Receive, Received, Request, Response, Router, ServiceContext
from dicomcore.services.storage import StorageSCP
from dicomcore.ul import Accept, Acceptance, Associate, Association, encode, negotiate, propose
from dicomcore.ul.pdu import Abort, ReleaseRQ
from dicomcore.vocab.syntaxes import EXPLICIT_LE, IMPLICIT_LE
from tests.reference import pump as twin
from tests.ul.wire import feed, flush, p_data, pdv

from .conftest import CT, PATIENCE, RawPeer, Scripted, element, even, eventually, raw_socket, read_to_end, write_ct

pump = pytest.importorskip("dicomcore._core.pump", reason="this platform has no pump")

pytestmark = pytest.mark.skipif(not hasattr(socket, "socketpair"), reason="sockets in pairs")

REASONS = ("AGAIN", "LAST", "OTHER", "ENDED", "BROKEN", "MORE")
LONGEST = (200, 120)
CUT = Limits(received_pdu_length=4096, received_pdv_length=3000, object_length=100_000)


def test_the_twin_numbers_reasons_alike() -> None:
    assert [getattr(pump, name) for name in REASONS] == [getattr(twin, name) for name in REASONS]


# --- the kernel beside its twin ---------------------------------------------------------------------------------------


@contextmanager
def sockets() -> Iterator[tuple[socket.socket, socket.socket]]:
    near, far = socket.socketpair()
    with near, far:
        near.setblocking(False)
        yield near, far


def both(
    chunks: Sequence[bytes | None],
    files: tuple[int, int],
    *,
    size: int,
    state: twin.State,
    held: bytes = b"",
    most: int = 99,
) -> list[Any]:
    """Feed chunks (None: the peer closes) to kernel and twin by turns; all that they answered, which is the same."""
    answers: list[Any] = []
    with sockets() as (near, far), sockets() as (plain_near, plain_far):
        blocks = bytearray(size), bytearray(size)
        for block in blocks:
            block[: len(held)] = held
        count = len(held)
        for chunk in chunks:
            for end in (far, plain_far):
                if chunk is None:
                    end.shutdown(socket.SHUT_WR)
                else:
                    end.sendall(chunk)
            while True:
                answer = pump.receive(near.fileno(), files[0], blocks[0], count, state, LONGEST, most)
                assert answer == twin.receive(plain_near, files[1], blocks[1], count, state, LONGEST, most)
                count, state = answer[5], answer[6]
                assert blocks[0][:count] == blocks[1][:count]
                answers.append((answer, bytes(blocks[0][:count])))
                if answer[0] not in (pump.AGAIN, pump.MORE):
                    return answers
                if answer[0] == pump.AGAIN:
                    break
    return answers


def cut(data: bytes, *places: int) -> list[bytes]:
    ends = sorted({0, len(data), *(place % (len(data) + 1) for place in places)})
    return [data[start:stop] for start, stop in pairwise(ends)]


PDVS = st.builds(
    pdv,
    st.sampled_from([1, 1, 1, 1, 1, 3]),
    st.sampled_from([0, 0, 0, 0, 0, 4, 2, 1, 3]),
    st.integers(0, 130).map(lambda length: bytes(range(length))),
)
PDUS = st.one_of(
    st.lists(PDVS, min_size=1, max_size=6).map(lambda parts: p_data(*parts)),
    st.lists(PDVS, min_size=1, max_size=3).map(lambda parts: p_data(*parts)),
    st.builds(  # lengths that do not fit
        lambda outer, inner: struct.pack(">BxIIBB", 4, outer, inner, 1, 0) + bytes(20),
        st.sampled_from([0, 4, 5, 6, 7, 11, 26, 200, 201, 1 << 31, 0xFFFFFFFF]),
        st.sampled_from([0, 1, 2, 3, 6, 22, 24, 122, 123, 1 << 31, 0xFFFFFFFF]),
    ),
    st.sampled_from([encode(ReleaseRQ()), encode(Abort(0, 0)), b"\xff", b"GET / HTTP/1.0\r\n\r\n"]),
)


@given(
    st.lists(PDUS, min_size=1, max_size=5).map(b"".join),
    st.lists(st.integers(0, 2000), max_size=12),
    st.sampled_from([13, 20, 64, 100, 1000]),
    st.sampled_from([(1, 0, 0, False), (1, 40, 7, False), (1, 40, 40, True), (1, 3, 0, False), (1, 3, 3, False)]),
    st.booleans(),
)
def test_as_its_twin(data: bytes, cuts: list[int], size: int, state: twin.State, ended: bool) -> None:
    with open_memory() as file, open_memory() as plain_file:
        chunks: list[bytes | None] = [*cut(data, *cuts), *([None] if ended else [])]
        both(chunks, (file, plain_file), size=size, state=state)
        assert contents(file) == contents(plain_file)


@contextmanager
def open_memory() -> Iterator[int]:
    file = os.open(os.environ.get("TMPDIR", "/tmp"), os.O_RDWR | os.O_TMPFILE)
    try:
        yield file
    finally:
        os.close(file)


def contents(file: int) -> bytes:
    return os.pread(file, 1 << 24, 0)


def test_more_fragments_than_a_vector_takes() -> None:
    data = b"".join(p_data(*(pdv(1, 0, bytes([number])) for number in range(20))) for _ in range(30))
    with open_memory() as file, open_memory() as plain_file:
        answers = both([data + p_data(pdv(1, 2, b"end"))], (file, plain_file), size=8000, state=(1, 0, 0, False))
        assert answers[-1][0][0] == pump.LAST
        assert contents(file) == contents(plain_file) == bytes(range(20)) * 30 + b"end"


def test_what_is_held_is_part_of_what_comes() -> None:
    data = p_data(pdv(1, 2, b"body"))
    for held in range(12):
        with open_memory() as file, open_memory() as plain_file:
            both([data[held:]], (file, plain_file), size=64, state=(1, 0, 0, False), held=data[:held])
            assert contents(file) == contents(plain_file) == b"body"


@pytest.mark.parametrize("file", ["full", "closed", "read only", "pipe"])
def test_a_file_that_fails_loses_nothing_of_the_stream(file: str) -> None:
    data = p_data(pdv(1, 0, bytes(100)), pdv(1, 0, bytes(50))) + p_data(pdv(1, 2, b"end"), pdv(3, 3, b"next"))
    opened: list[int] = []
    expected = errno.EBADF
    for _ in range(2):
        if file == "full":
            expected = errno.ENOSPC
            opened.append(os.open("/dev/full", os.O_WRONLY))
        elif file == "read only":
            opened.append(os.open("/dev/null", os.O_RDONLY))
        elif file == "closed":
            opened.append(1 << 20)
        else:
            expected = errno.EAGAIN
            reader, writer = os.pipe()
            os.set_blocking(writer, False)
            with suppress(BlockingIOError):
                while True:
                    os.write(writer, bytes(4096))
            opened += [writer, reader]
    files = (opened[0], opened[2]) if file == "pipe" else (opened[0], opened[1])
    try:
        for place in range(1, len(data)):
            answers = both(cut(data, place), files, size=1000, state=(1, 0, 0, False))
            assert [row[0][2] for row in answers if row[0][2]][:1] == [expected]
            last, left = answers[-1]
            assert (last[0], sum(row[0][4] for row in answers)) == (pump.LAST, 153)
            assert pdv(3, 3, b"next").startswith(left)
    finally:
        if file != "closed":
            for descriptor in opened:
                os.close(descriptor)


def test_a_pipe_that_takes_a_part_gets_the_rest() -> None:
    """Short writes: a blocking pipe takes what it has room for, and its reader is slow."""
    body = bytes(range(256)) * 1000
    data = b"".join(p_data(pdv(1, 0, body[at : at + 100])) for at in range(0, len(body), 100)) + p_data(pdv(1, 2, b""))
    reader, writer = os.pipe()
    got = bytearray()

    def drain() -> None:
        while part := os.read(reader, 777):
            got.extend(part)

    thread = threading.Thread(target=drain)
    thread.start()
    with sockets() as (near, far):
        feeder = threading.Thread(target=far.sendall, args=(data,))
        feeder.start()
        block, held, state = bytearray(1 << 16), 0, (1, 0, 0, False)
        reason = pump.AGAIN
        while reason in (pump.AGAIN, pump.MORE):
            reason, _, error, _, _, held, state = pump.receive(
                near.fileno(), writer, block, held, state, LONGEST, 1 << 20
            )
            assert error == 0
        feeder.join()
    os.close(writer)
    thread.join()
    os.close(reader)
    assert (reason, bytes(got)) == (pump.LAST, body)


def test_a_file_of_limited_size(tmp_path: Path) -> None:
    """RLIMIT_FSIZE: the first part is written, the rest refused."""
    data = p_data(pdv(1, 0, bytes(100))) + p_data(pdv(1, 2, bytes(100)))
    old = resource.getrlimit(resource.RLIMIT_FSIZE)
    with open(tmp_path / "a", "wb") as file, open(tmp_path / "b", "wb") as plain_file:
        resource.setrlimit(resource.RLIMIT_FSIZE, (150, old[1]))
        try:
            answers = both([data], (file.fileno(), plain_file.fileno()), size=500, state=(1, 0, 0, False))
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, old)
        assert answers[-1][0][:3] == (pump.LAST, True, errno.EFBIG)
    assert os.path.getsize(tmp_path / "a") == os.path.getsize(tmp_path / "b") == 150


def test_a_socket_that_is_broken() -> None:
    block = bytearray(100)
    assert pump.receive(1 << 20, -1, block, 0, (1, 0, 0, False), LONGEST, 9)[0] == pump.BROKEN


@pytest.mark.parametrize(
    ("held", "state", "error"),
    [
        (100, (1, 0, 0, False), ValueError),
        (101, (1, 0, 0, False), ValueError),
        (-1, (1, 0, 0, False), OverflowError),
        (0, (1, 5, 6, False), ValueError),
        (0, (1, -1, 0, False), OverflowError),
        (0, (1, 0, 0), ValueError),
    ],
)
def test_arguments_that_make_no_sense(held: int, state: Any, error: type[Exception]) -> None:
    with pytest.raises(error):
        pump.receive(0, -1, bytearray(100), held, state, LONGEST, 9)


# --- the connection beside itself, with and without -------------------------------------------------------------------


class World:
    """A connection of a server on one end of a pair of sockets, and all that comes of what it is fed."""

    def __init__(self, folder: Path, through: bool, limits: Limits = CUT, open_sink: Any = FileSink) -> None:
        self.log: list[Any] = []
        self.folder = folder
        self.sinks: list[Any] = []

        def provider(request: Request, context: ServiceContext) -> Generator[Any, Any, None]:
            sink = open_sink(folder / str(len(self.sinks)))
            self.sinks.append(sink)
            try:
                received: Received = yield Receive(sink)
                self.log.append((received.length, received.error is None and sink.length, repr(received.error)))
                if received.error is None:
                    sink.commit()
                yield Response(0 if received.error is None else 0xA700)
            finally:
                sink.discard()

        router = Router([Scripted(provider, CT, CommandField.C_STORE_RQ)])
        acceptance = Acceptance("SERVER", {CT: (EXPLICIT_LE.uid, IMPLICIT_LE.uid)}, max_pdu_length=4096)
        core = Association(requestor=False, limits=limits, acceptance=acceptance)
        core.connected()
        request = propose([(CT, [EXPLICIT_LE.uid]), (CT, [IMPLICIT_LE.uid])], calling_ae="A", called_ae="SERVER")
        feed(core, encode(request))
        core.request(Accept())
        flush(core)
        core.events()
        near, self.far = socket.socketpair()
        near.setblocking(False)
        self.far.setblocking(False)
        facilities = Facilities() if through else Facilities.portable()
        self.connection = Connection(near, core, limits, facilities, router)
        self.through = through
        self.answers = b""
        self.last: Any = None  # outcome before it was closed

    def feed(self, data: bytes | None) -> None:
        if data is None:
            self.far.shutdown(socket.SHUT_WR)
        else:
            self.far.sendall(data)
        connection = self.connection
        while connection.pull(through=self.through):
            self.work()
        self.work()

    def work(self) -> None:
        connection = self.connection
        while connection.orphans:
            connection.operations.advance(connection.orphans.pop())
        try:
            while (operation := connection.operations.next(room=True)) is not None:
                assert connection.operations.advance(operation) is None
        except LimitExceeded as error:
            connection.abort(error)
            self.work()
        connection.flush()
        try:
            while part := self.far.recv(1 << 16):
                self.answers += part
        except (BlockingIOError, ConnectionResetError):
            pass

    def outcome(self) -> Any:
        connection = self.connection
        inbound = connection.core._inbound
        failed = any(operation.error for operation in connection.operations.running.values())
        files = {path.name: path.read_bytes() for path in sorted(self.folder.iterdir())}
        unfinished = sorted(data for name, data in files.items() if name.startswith("."))
        whole = {name: data for name, data in files.items() if not name.startswith(".")}
        return {
            "log": self.log,
            # How far a body came that will never be whole is nobody's concern.
            "unfinished": unfinished if connection.over is None and not failed else None,
            "files": whole,
            "answers": self.answers,
            "over": (repr(connection.over), vars(connection.over) if connection.over else None),
            "ended": connection.ended,
            "state": connection.core.state,
            "at": inbound.offset + inbound.start,
            "left": inbound.stop - inbound.start,
            "rests": (inbound.pdu_rest, inbound.pdv_rest),
        }

    def close(self) -> None:
        self.connection.close()
        self.work()
        self.far.close()


def store(number: int, *, context_id: int = 1) -> bytes:
    """A C-STORE-RQ with a body to come."""
    request = command(
        "C-STORE-RQ",
        MessageID=number,
        AffectedSOPClassUID=CT,
        AffectedSOPInstanceUID=f"2.25.{number}",
        Priority=0,
        CommandDataSetType=1,
    )
    return p_data(pdv(context_id, 3, encode_command(request)))


@contextmanager
def worlds(folder: Path, name: str, **options: Any) -> Iterator[tuple[World, World]]:
    made = []
    for through in (True, False):
        place = folder / f"{name}-{through}"
        place.mkdir()
        made.append(World(place, through, **options))
    try:
        yield made[0], made[1]
    finally:
        for world in made:
            world.close()


def alike(folder: Path, name: str, chunks: Sequence[bytes | None], **options: Any) -> World:
    """The same chunks to both; after each of them all that can be seen is the same."""
    with worlds(folder, name, **options) as (fast, plain):
        for chunk in chunks:
            fast.feed(chunk)
            plain.feed(chunk)
            fast.last = fast.outcome()
            assert fast.last == plain.outcome()
    return fast


BODY = bytes(range(90))
HEAD = store(1) + p_data(pdv(1, 0, b"head"))
STREAMS = {
    "one PDV a PDU": HEAD + p_data(pdv(1, 0, BODY)) + p_data(pdv(1, 2, b"end")) + store(2),
    "several PDVs a PDU": HEAD + p_data(pdv(1, 0, b"ab"), pdv(1, 0, BODY), pdv(1, 0, b"c"), pdv(1, 2, b"end")),
    "fragments of nothing": HEAD + p_data(pdv(1, 0, b""), pdv(1, 0, b"a"), pdv(1, 0, b"")) + p_data(pdv(1, 2, b"")),
    "the next in the same PDU": HEAD + p_data(pdv(1, 2, b"end"), store(2)[6:]) + p_data(pdv(1, 2, b"second")),
    "a command within": HEAD + p_data(pdv(1, 0, b"a"), pdv(1, 1, b"b")),
    "another context": HEAD + p_data(pdv(1, 0, b"a"), pdv(3, 0, b"b")),
    "another context from the start": store(1) + p_data(pdv(3, 0, BODY), pdv(3, 2, b"b")),
    "nothing of another context first": store(1) + p_data(pdv(3, 0, b""), pdv(3, 0, BODY), pdv(3, 2, b"b")),
    "no context": HEAD + p_data(pdv(1, 0, b"a"), pdv(5, 0, b"b")),
    "an abort": HEAD + p_data(pdv(1, 0, b"a")) + encode(Abort(0, 0)) + b"more",
    "a release": HEAD + p_data(pdv(1, 0, b"a")) + encode(ReleaseRQ()),
    "a type that is none": HEAD + p_data(pdv(1, 0, b"a")) + b"\x77\0\0\0\0\x06",
    "an association request": HEAD + p_data(pdv(1, 0, b"a")) + b"\x01\0\0\0\0\x50" + bytes(80),
    "a short PDU": HEAD + p_data(pdv(1, 0, b"a")) + b"\x04\0\0\0\0\x05" + bytes(30),
    "a long PDU": HEAD + p_data(pdv(1, 0, b"a")) + b"\x04\0\0\0\x10\x01" + bytes(30),
    "a vast PDU": HEAD + p_data(pdv(1, 0, b"a")) + b"\x04\0\xff\xff\xff\xff" + b"\xff" * 30,
    "a short PDV": HEAD + b"\x04\0\0\0\0\x0c" + pdv(1, 0, b"a") + b"\0\0\0\x01\x01" + bytes(30),
    "a long PDV": HEAD + b"\x04\0\0\0\0\x10" + pdv(1, 0, b"a") + b"\0\0\0\x06\x01\0" + bytes(30),
    "the longest PDV": HEAD + p_data(pdv(1, 0, bytes(3000))) + p_data(pdv(1, 2, b"")),
    "a PDV over the limit": HEAD + p_data(pdv(1, 0, bytes(3001))) + p_data(pdv(1, 2, b"")),
    "no room for a PDV": HEAD + b"\x04\0\0\0\0\x0c" + pdv(1, 0, b"a") + bytes(5) + p_data(pdv(1, 2, b"")),
}


@pytest.mark.parametrize("name", STREAMS)
def test_every_cut_in_two(tmp_path: Path, name: str) -> None:
    data = STREAMS[name]
    places = range(len(store(1)), len(data), 1 if len(data) < 1000 else 101)
    for place in places:
        alike(tmp_path, str(place), cut(data, place))


@pytest.mark.parametrize("name", STREAMS)
def test_byte_by_byte_and_then_the_end(tmp_path: Path, name: str) -> None:
    data = STREAMS[name]
    begin = len(store(1))
    step = 1 if len(data) < 1000 else 97
    alike(tmp_path, "a", [data[:begin], *(data[at : at + step] for at in range(begin, len(data), step)), None])


@pytest.mark.parametrize("name", ["one PDV a PDU", "several PDVs a PDU", "the next in the same PDU"])
def test_the_peer_leaves_anywhere(tmp_path: Path, name: str) -> None:
    data = STREAMS[name]
    for place in range(len(HEAD), len(data)):
        world = alike(tmp_path, str(place), [data[: len(HEAD)], data[len(HEAD) : place], None])
        assert isinstance(world.connection.over, AssociationAborted)
        assert world.last["ended"]


@given(
    st.lists(
        st.tuples(st.integers(1, 3), st.lists(st.integers(0, 3000), min_size=1, max_size=8), st.integers(1, 4096)),
        min_size=1,
        max_size=3,
    ),
    st.lists(st.integers(0, 60000), max_size=10),
    st.binary(max_size=20),
)
def test_messages_cut_anywhere(
    tmp_path_factory: pytest.TempPathFactory, messages: list[tuple[int, list[int], int]], cuts: list[int], junk: bytes
) -> None:
    data = b""
    for number, (per_pdu, lengths, most) in enumerate(messages, 1):
        pdvs = [
            pdv(1, 2 if index == len(lengths) - 1 else 0, bytes([index]) * min(length, most))
            for index, length in enumerate(lengths)
        ]
        data += store(number)
        while pdvs:
            count = max(1, per_pdu if sum(map(len, pdvs[:per_pdu])) <= 4096 else 1)
            data += p_data(*pdvs[:count])
            del pdvs[:count]
    # Junk comes by itself: it ends what is read with it, and how much that is differs.
    alike(tmp_path_factory.mktemp("cuts"), "a", [*cut(data, *cuts), junk, None])


def test_a_body_over_its_limit(tmp_path: Path) -> None:
    limits = Limits(object_length=5000, received_pdu_length=4096)
    part = p_data(pdv(1, 0, bytes(1000)))
    for count in (4, 6, 9, 12):
        data = HEAD + part * count + p_data(pdv(1, 2, b"end"))
        world = alike(tmp_path, str(count), [*cut(data, len(HEAD), 2500, 7000)], limits=limits)
        assert (world.last["over"][1] is not None) == (count > 9)


class Failing(FileSink):
    """Its descriptor goes bad behind its back."""

    __slots__ = ()

    def fileno(self) -> int:
        return FULL if self.length >= 10 else super().fileno()


FULL = os.open("/dev/full" if os.path.exists("/dev/full") else os.devnull, os.O_WRONLY)


def test_a_disk_that_is_full(tmp_path: Path) -> None:
    data = HEAD + p_data(pdv(1, 0, BODY)) + p_data(pdv(1, 0, BODY), pdv(1, 2, b"end"))
    second = store(2) + p_data(pdv(1, 2, b"short"))
    for place in range(len(HEAD), len(data)):
        folder = tmp_path / str(place)
        folder.mkdir()
        world = World(folder, through=True, open_sink=Failing)
        for chunk in cut(data, len(HEAD) + 20, place):
            world.feed(chunk)
        world.feed(second)
        assert [(row[0], "ENOSPC" in row[2] or "No space" in row[2]) for row in world.log] == [
            (4 + 90 + 90 + 3, True),
            (5, False),
        ]
        assert world.outcome()["files"] == {"1": b"short"}
        assert world.connection.over is None
        world.close()


# --- from a file to a socket ------------------------------------------------------------------------------------------


@given(st.integers(0, 20), st.integers(0, 500), st.integers(1, 200), st.integers(0, 300), st.booleans(), st.data())
def test_frames_as_its_twin(offset: int, stop: int, size: int, most: int, last: bool, data: st.DataObject) -> None:
    position = data.draw(st.integers(0, stop))
    room = data.draw(st.integers(12 + min(size, stop - position), 700))
    with open_memory() as file:
        os.write(file, bytes(number * 7 % 251 for number in range(data.draw(st.sampled_from([600, 600, 300])))))
        outs = bytearray(room), bytearray(room)
        told = position, stop, size, 5, 0, last
        answer = pump.frame(file, offset, *told, outs[0], most)
        wanted = twin.frame(file, offset, *told, outs[1], most)
        whole = offset + stop <= os.fstat(file).st_size
        if whole:
            assert answer == wanted
        else:  # the kernel reads many at a time, so a file that is too short is noticed sooner
            assert answer[0] == 0
            assert answer[1] <= wanted[1]
            assert answer[2] <= wanted[2]
        assert outs[0][: answer[2]] == outs[1][: answer[2]]


def test_more_fragments_than_are_read_at_a_time(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(os.urandom(3000))
    outs = bytearray(50_000), bytearray(50_000)
    with open(path, "rb") as file:
        told = 1, 0, 2900, 10, 5, 0, True
        assert pump.frame(file.fileno(), *told, outs[0], 40_000) == (0, 2900, 290 * 22)
        assert twin.frame(file.fileno(), *told, outs[1], 40_000) == (0, 2900, 290 * 22)
    assert outs[0] == outs[1]


@pytest.mark.parametrize(
    ("told", "room"),
    [
        ((0, 0, 10, 0, 1, 0, True), 100),
        ((0, 0, 10, 0xFFFFFFFF, 1, 0, True), 100),
        ((0, 11, 10, 5, 1, 0, True), 100),
        ((1 << 62, 0, 1 << 62, 5, 1, 0, True), 100),
        ((0, 0, 10, 10, 1, 0, True), 21),
        ((0, 0, 10, 5, 1, 0, True), 16),
    ],
)
def test_stretches_that_make_no_sense(told: Any, room: int) -> None:
    with pytest.raises(ValueError, match=r"."):
        pump.frame(0, *told, bytearray(room), 100)


def test_a_file_that_cannot_be_read() -> None:
    assert pump.frame(1 << 20, 0, 0, 10, 5, 1, 0, True, bytearray(50), 50) == (errno.EBADF, 0, 0)


class Readable:
    """A payload that only its owner can read, and no file."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def __len__(self) -> int:
        return len(self._data)

    def read(self, start: int, stop: int) -> bytes:
        return self._data[start:stop]


def requestor(limits: Limits) -> Association:
    """With an association on which nothing has been sent."""
    core = Association(requestor=True, limits=limits)
    request = propose([(CT, [EXPLICIT_LE.uid])], calling_ae="A", called_ae="SERVER")
    core.request(Associate(request))
    core.connected()
    flush(core)
    answer = negotiate(request, Acceptance("SERVER", {CT: (EXPLICIT_LE.uid,)}, max_pdu_length=0)).accept
    assert answer is not None
    feed(core, encode(answer))
    core.events()
    return core


@given(
    st.lists(
        st.tuples(st.sampled_from(["file", "bytes", "readable", "descriptor"]), st.integers(0, 70_000), st.booleans()),
        min_size=1,
        max_size=5,
    ),
    st.sampled_from([20, 1000, 4096, 16384, 300_000]),
    st.sets(st.integers(0, 4)),
)
def test_what_leaves_is_the_same_however_it_is_framed(
    tmp_path_factory: pytest.TempPathFactory, payloads: list[tuple[str, int, bool]], pdu: int, read_ahead: set[int]
) -> None:
    folder = tmp_path_factory.mktemp("out")
    left = []
    for facilities, ahead in ((Facilities(), ()), (Facilities(), read_ahead), (Facilities.portable(), read_ahead)):
        core = requestor(Limits(pdu_length=pdu))
        outbox = Outbox(core, facilities)
        for number, (kind, length, last) in enumerate(payloads):
            length = length // 50 if pdu == 20 else length
            data = bytes([number + 1]) * length
            path = folder / str(number)
            path.write_bytes(b"head" + data + b"tail")
            payload: Any = {"bytes": data, "readable": Readable(data)}.get(kind) or FileSlice(path, 4, length)
            if number in ahead:
                outbox.read_ahead(1, payload)
            core.send(1, False, payload, last or number == len(payloads) - 1)
        arrived = b""
        one, other = socket.socketpair()
        with one, other:
            one.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
            one.setblocking(False)
            other.setblocking(False)
            while not outbox.flush(one):
                arrived += other.recv(1 << 20)
            with suppress(BlockingIOError):
                while part := other.recv(1 << 20):
                    arrived += part
        left.append(arrived)
        assert core.queued_length == 0
    assert left[0] == left[1] == left[2]


def test_what_was_read_ahead_is_sent_only_as_what_it_is(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old" * 1000)
    one, other = socket.socketpair()
    with one, other, FileSlice(path, 0, 3000) as asked, FileSlice(path, 0, 3000) as another:
        one.setblocking(False)
        for context_id, payload, found in ((1, asked, b"old"), (3, asked, b"new"), (1, another, b"new")):
            path.write_bytes(b"old" * 1000)
            core = requestor(Limits(pdu_length=4096))
            outbox = Outbox(core, Facilities())
            outbox.read_ahead(context_id, asked)
            path.write_bytes(b"new" * 1000)
            core.send(1, False, payload, True)
            assert outbox.flush(one)
            assert other.recv(1 << 16)[12:] == found * 1000
        with FileSlice(path, 0, 4000) as longer:
            outbox.read_ahead(1, longer)  # whoever sends it is told
            core.send(1, False, longer, True)
            with pytest.raises(SourceChanged):
                outbox.flush(one)


def test_a_file_that_became_shorter(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(bytes(100_000))
    core = requestor(Limits(pdu_length=4096))
    outbox = Outbox(core, Facilities())
    core.send(1, False, FileSlice(path, 0, 100_000))
    os.truncate(path, 10_000)
    one, other = socket.socketpair()
    with one, other:
        one.setblocking(False)
        with pytest.raises(SourceChanged):
            outbox.flush(one)


# --- both ends on real sockets: what ends an association in the middle of a body --------------------------------------


class Far:
    """A requestor that has sent half of an object to a server that stores into a folder."""

    def __init__(self, server: Server, folder: Path) -> None:
        self.peer = RawPeer(server.port, CT)
        self.folder = folder
        self.peer.sock.sendall(HEAD_OF_FILE)
        for _ in range(20):
            self.peer.sock.sendall(p_data(pdv(1, 0, bytes(10_000))))
        eventually(lambda: self.arrived() >= 200_000)

    def arrived(self) -> int:
        """Bytes of the unfinished file."""
        return sum(path.stat().st_size for path in self.folder.iterdir())


HEAD_OF_FILE = store(1) + p_data(
    pdv(1, 0, element(8, 0x16, b"UI", even(CT)) + element(8, 0x18, b"UI", even("2.25.1"))),
    pdv(1, 0, element(8, 0x20, b"DA", b"")),
)


@pytest.mark.parametrize("how", ["abort", "release", "close", "reset", "silence", "server closes"])
def test_nothing_is_left_of_half_a_body(serving: Callable[..., Server], tmp_path: Path, how: str) -> None:
    limits = Limits(network_timeout=1.5) if how == "silence" else Limits()
    folder = tmp_path / "out"
    server = serving(StorageSCP(folder), limits=limits)
    far = Far(server, folder)
    with far.peer as peer:
        if how == "abort":
            peer.sock.sendall(encode(Abort(0, 0)))
        elif how == "release":
            peer.sock.sendall(encode(ReleaseRQ()))
        elif how == "close":
            peer.sock.shutdown(socket.SHUT_WR)
        elif how == "reset":
            peer.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            peer.sock.close()
        elif how == "server closes":
            server.close(0.0)
        if how not in ("reset", "server closes"):
            said = read_to_end(peer.sock)
            assert said[:1] == (b"" if how in ("abort", "close") else b"\x07")
        eventually(lambda: not os.listdir(folder))
    if how != "server closes":
        eventually(lambda: server.connection_count == 0)


def test_the_rest_makes_it_whole(serving: Callable[..., Server], tmp_path: Path) -> None:
    far = Far(serving(StorageSCP(tmp_path / "out")), tmp_path / "out")
    with far.peer as peer, peer.sock.makefile("rb") as answer:
        peer.sock.sendall(p_data(pdv(1, 2, b"end!")))
        length = struct.unpack(">BxI", answer.read(6))[1]
        assert b"2.25.1" in answer.read(length)
        (path,) = (tmp_path / "out").iterdir()
        assert path.read_bytes().endswith(bytes(200_000) + b"end!")


def test_an_interrupt_in_the_middle_of_sending(serving: Callable[..., Server], tmp_path: Path) -> None:
    """Ctrl-C while a large object leaves: the association is aborted, and no part of it stays."""
    folder = tmp_path / "out"
    server = serving(StorageSCP(folder))
    write_ct(tmp_path / "a", 64 << 20)
    main = threading.get_ident()
    interrupted = threading.Event()

    def relay(listener: socket.socket) -> None:
        """Between both: nothing more passes once the object has begun, until the interrupt has been seen."""
        near, _ = listener.accept()
        with near, raw_socket(server.port) as far:
            back = threading.Thread(target=pass_on, args=(far, near))
            back.start()
            passed = 0
            while passed < 4 << 20 and (data := near.recv(1 << 16)):
                far.sendall(data)
                passed += len(data)
            eventually(lambda: any(path.stat().st_size > 1 << 20 for path in folder.iterdir()))
            signal.pthread_kill(main, signal.SIGINT)
            interrupted.wait(PATIENCE)
            pass_on(near, far)
            back.join(PATIENCE)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=relay, args=(listener,))
        thread.start()
        association = AE("USER").associate("127.0.0.1", listener.getsockname()[1], contexts=tmp_path / "a")
        with pytest.raises(KeyboardInterrupt):
            association.c_store(tmp_path / "a")
        interrupted.set()
        thread.join(PATIENCE)
    assert not association.is_open
    eventually(lambda: not os.listdir(folder))


def pass_on(one: socket.socket, other: socket.socket) -> None:
    """All that comes, up to the end of the direction."""
    with suppress(OSError):
        while data := one.recv(1 << 16):
            other.sendall(data)
    with suppress(OSError):
        other.shutdown(socket.SHUT_WR)
