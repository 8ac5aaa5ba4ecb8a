"""Requests that are answered without a provider: nobody can tell, by files, answers, counters, events or the log."""

from __future__ import annotations

import errno
import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dicomcore.dimse.command import Command, CommandField, command
from dicomcore.dimse.exchange import Exchange
from dicomcore.encoding import sink
from dicomcore.errors import DicomError, ServiceError
from dicomcore.limits import DEFAULT_LIMITS, Limits
from dicomcore.net.events import Event
from dicomcore.net.operations import Operations
from dicomcore.net.watch import ServerWatch
from dicomcore.services.base import Call, Response, Router
from dicomcore.services.storage import StorageSCP
from dicomcore.services.stores import FolderStore, NewInstance
from dicomcore.services.verification import VerificationSCP
from dicomcore.ul import Accept, Acceptance, Associate, Association, AsyncWindow, Body, propose
from dicomcore.vocab.sop_classes import VERIFICATION
from tests.services.driver import BIG_ENDIAN, CT, DEFLATED, EXPLICIT, IMPLICIT, encoded, plan

MR = "1.2.840.10008.5.1.4.1.1.4"
ECHO = command("C-ECHO-RQ", AffectedSOPClassUID=VERIFICATION)


def store(uid: str = "2.25.7", sop_class: str = CT) -> Command:
    return command("C-STORE-RQ", AffectedSOPClassUID=sop_class, AffectedSOPInstanceUID=uid)


def data_set(uid: str = "2.25.7", sop_class: str = CT, syntax: str = IMPLICIT, **elements: Any) -> bytes:
    return encoded(plan(uid, sop_class, **elements), syntax)


class Asked(NamedTuple):
    """One request: its body in pieces, the abstract syntax and transfer syntax of its context."""

    command: Command
    pieces: Sequence[bytes] | None
    abstract_syntax: str = CT
    syntax: str = IMPLICIT


class Told(NamedTuple):
    """What somebody outside can see."""

    answers: bytes
    files: dict[str, bytes]
    metrics: Any
    log: list[tuple[str, int, str, str]]
    events: list[Event]
    over: str


class _Records(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.told: list[tuple[str, int, str, str]] = []

    def emit(self, record: logging.LogRecord) -> None:
        kind = record.exc_info[0].__name__ if record.exc_info and record.exc_info[0] else ""
        self.told.append((record.name, record.levelno, record.getMessage(), kind))


class Ordinary:
    """A service that is asked by ``handle`` only."""

    def __init__(self, inner: Any) -> None:
        self.supported, self.commands, self.prompt = inner.supported, inner.commands, inner.prompt
        self.handle = inner.handle


def play(service: Any, folder: Path | None, asked: Sequence[Asked], limits: Limits, *, held_back: int = 0) -> Told:
    """``held_back``: so many of the last bytes that are sent arrive after the rest was worked off."""
    records = _Records()
    events: list[Event] = []
    logger = logging.getLogger("dicomcore")
    level = logger.level
    logger.addHandler(records)
    logger.setLevel(logging.DEBUG)
    try:
        clock = lambda: 1000.0  # noqa: E731
        server = ServerWatch(events.append, clock=clock)
        watch = server.open("peer")
        watch._number = 1
        rows = sorted({(row.abstract_syntax, row.syntax) for row in asked})
        supported: dict[str, tuple[str, ...]] = {}
        for abstract_syntax, syntax in rows:
            supported[abstract_syntax] = (*supported.get(abstract_syntax, ()), syntax)
        window = AsyncWindow(0, 0)
        near = Association(requestor=True)
        far = Association(requestor=False, acceptance=Acceptance(supported=supported, window=window), limits=limits)
        there, here = Exchange(near), Exchange(far, limits)
        watch.attach(far, here)
        contexts = [(abstract_syntax, (syntax,)) for abstract_syntax, syntax in rows]
        near.request(Associate(propose(contexts, calling_ae="US", called_ae="IT", window=window)))
        near.connected()
        far.connected()
        _carry(near, far)
        far.request(Accept())
        _carry(far, near)
        operations = Operations(here, limits, Router([service]), flush=lambda: True, watch=watch)
        operations.calling_ae, operations.called_ae = "US", "IT"
        assert near.negotiated is not None
        ids = {(row.abstract_syntax, row.transfer_syntax): row.id for row in near.negotiated.contexts.values()}
        for row in asked:
            body = None if row.pieces is None else list(row.pieces)
            there.request(ids[row.abstract_syntax, row.syntax], row.command, body)
        sent = _taken(near)
        over = ""
        for data in (sent[: len(sent) - held_back], sent[len(sent) - held_back :]):
            for event in _give(far, data):
                operations.inbox += cast(Any, here.receive(event))
            over = over or _work(operations)
        assert over or not operations.running
        stores = sum(row.command.field == CommandField.C_STORE_RQ for row in asked)
        assert over or operations.over or operations.stores == 2 * stores
        operations.end()
        watch.closed()
        watch.deliver()
        answers = _taken(far)
        files = {} if folder is None else {path.name: path.read_bytes() for path in folder.iterdir()}
        return Told(
            answers, files, server.metrics(), records.told, [replace(event, association="1") for event in events], over
        )
    finally:
        logger.removeHandler(records)
        logger.setLevel(level)


def _work(operations: Operations) -> str:
    try:
        while (operation := operations.next(room=True)) is not None:
            while isinstance(effect := operations.advance(operation), Call):
                try:
                    operation.value = effect.fn(*effect.args)
                except Exception as error:
                    operation.failure = error
            assert effect is None
    except DicomError as error:
        operations.end()
        return str(error)
    return ""


def _give(core: Association, data: bytes) -> list[Body]:
    found: list[Body] = []
    while data:
        view = core.buffer()
        count = min(len(view), len(data))
        view[:count] = data[:count]
        core.received(count)
        # views are valid until the next block only
        for event in core.events():
            assert isinstance(event, Body)
            found.append(event._replace(view=memoryview(bytes(event.view))))
        data = data[count:]
    return found


def _taken(core: Association) -> bytes:
    return b"".join(bytes(cast(Any, part)) for part in core.segments())


def _carry(one: Association, other: Association) -> None:
    data = _taken(one)
    view = other.buffer()
    view[: len(data)] = data
    other.received(len(data))
    other.events()


def both(
    make: Callable[[Path], Any],
    tmp_path: Path,
    *asked: Asked,
    limits: Limits = DEFAULT_LIMITS,
    held_back: int = 0,
) -> Told:
    """What is told, which is the same both ways."""
    told = []
    for name in ("at once", "ordinary"):
        folder = tmp_path / name
        folder.mkdir()
        service = make(folder)
        assert Router([service]).at_once
        if name == "ordinary":
            service = Ordinary(service)
        told.append(play(service, folder, asked, limits, held_back=held_back))
    assert told[0] == told[1]
    return told[0]


def statuses(told: Told) -> list[int]:
    """Of the answers, in their order."""
    return [event.status for event in told.events if hasattr(event, "status")]


def counted(told: Told) -> dict[str, int]:
    (row,) = told.metrics.operations
    return {name: number for name, number in row.statuses.items() if number}


def test_echo(tmp_path: Path) -> None:
    told = both(lambda folder: VerificationSCP(), tmp_path, *[Asked(ECHO, None, VERIFICATION)] * 3)
    assert statuses(told) == [0, 0, 0]
    assert told.metrics.operations_running == 0


@pytest.fixture(params=["one step", "many steps"])
def manner(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """With and without the kernel."""
    if request.param == "many steps":
        monkeypatch.setattr(sink, "DEPOSIT", None)


BODY = data_set()
ODD = b"\x08\x00\x05\x00\x04\x00\x00\x00ISO_" + b"\x08\x00\x06\x00\xff\xff\xff\xff" * 3

CASES: dict[str, tuple[Asked, ...]] = {
    "one": (Asked(store(), [BODY]),),
    "the same again": (Asked(store(), [BODY]), Asked(store(), [data_set(PatientID="other")])),
    "two": (Asked(store(), [BODY]), Asked(store("1.3"), [data_set("1.3")])),
    "pieces": (Asked(store(), [BODY[:1], BODY[1:9], b"", BODY[9:300], BODY[300:]]),),
    "many pieces": (Asked(store(), [BODY[at : at + 2] for at in range(0, len(BODY), 2)]),),
    "an empty last piece": (Asked(store(), [BODY, b""]),),
    "no bytes": (Asked(store(), [b""]),),
    "another instance": (Asked(store("1.3"), [BODY]),),
    "another class in the data set": (Asked(store(), [data_set(sop_class=MR)]),),
    "another class in the command": (Asked(store(sop_class=MR), [BODY]),),
    "no data set": (Asked(store(), [b"GIF89a" * 100]), Asked(store(), [b"GIF89a" * 100], CT, EXPLICIT)),
    "it ends too early": (Asked(store(), [BODY[:30]]),),
    "odd, and ends too early": (Asked(store(), [ODD]),),
    "explicit": (Asked(store(), [data_set(syntax=EXPLICIT)], CT, EXPLICIT),),
    "big endian": (Asked(store(), [data_set(syntax=BIG_ENDIAN)], CT, BIG_ENDIAN),),
    "deflated": (Asked(store(), [data_set(syntax=DEFLATED)], CT, DEFLATED),),
    "deflated in pieces": (
        Asked(store(), [data_set(syntax=DEFLATED)[:9], data_set(syntax=DEFLATED)[9:]], CT, DEFLATED),
    ),
    "not deflated": (Asked(store(), [b"\xff" * 50], CT, DEFLATED),),
    "a UID that names no file": (Asked(store("../1.2"), [BODY.replace(b"2.25.7", b"../1.2")]),),
    "UIDs far behind": (
        Asked(store("1.3"), [b"\x08\x00\x05\x00\x00\x50\x00\x00" + bytes(0x5000) + BODY]),
        Asked(store("1.4"), [b"\x08\x00\x05\x00\x00\x50\x00\x00", bytes(0x4000), bytes(0x1000), BODY]),
    ),
}


@pytest.mark.usefixtures("manner")
@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("duplicates", ["replace", "keep", "refuse"])
def test_a_folder(tmp_path: Path, case: str, duplicates: Any) -> None:
    told = both(lambda folder: StorageSCP(folder, duplicates=duplicates), tmp_path, *CASES[case])
    assert len(statuses(told)) == len(CASES[case])
    assert not any(name.startswith(".") for name in told.files)
    assert told.metrics.operations_running == 0


def test_what_they_tell(tmp_path: Path) -> None:
    """That the two agree is not all: some of what they say."""

    def answers(case: str, **options: Any) -> list[int]:
        folder = tmp_path / f"{case} {options}"
        folder.mkdir()
        return statuses(both(lambda folder: StorageSCP(folder, **options), folder, *CASES[case]))

    assert answers("one") == answers("pieces") == answers("many pieces") == [0]
    assert answers("the same again") == answers("the same again", duplicates="keep") == [0, 0]
    assert answers("the same again", duplicates="refuse") == [0, 0x0111]
    assert answers("another instance") == answers("no bytes") == answers("it ends too early") == [0xA900]
    assert answers("another class in the command") == [0x0122]
    assert answers("no data set") == [0xA900, 0xC000]
    assert answers("not deflated") == [0xC000]


@given(st.lists(st.integers(0, len(BODY)), max_size=6), st.integers(0, len(BODY) + 60))
def test_any_pieces(tmp_path_factory: pytest.TempPathFactory, cuts: list[int], held_back: int) -> None:
    ends = [0, *sorted(cuts), len(BODY)]
    pieces = [BODY[start:stop] for start, stop in pairwise(ends)]
    told = both(StorageSCP, tmp_path_factory.mktemp("cut"), Asked(store(), pieces), held_back=held_back)
    assert statuses(told) == [0]
    assert told.files["2.25.7.dcm"].endswith(BODY)


@pytest.mark.parametrize("most", [len(BODY) - 1, len(BODY), len(BODY) // 2 - 1])
def test_a_body_that_is_too_long(tmp_path: Path, most: int) -> None:
    limits = Limits().but(object_length=most)
    told = both(StorageSCP, tmp_path, Asked(store(), [BODY[:100], BODY[100:]]), limits=limits)
    if most == len(BODY):
        assert statuses(told) == [0]
    elif most == len(BODY) - 1:
        assert statuses(told) == [0xA700]
    else:
        assert "far beyond" in told.over


class _Broken(FolderStore):
    """Fails while a sink is made."""

    failure: BaseException = OSError(errno.ENOSPC, "No space left on device")

    def create(self, instance: NewInstance, /) -> Any:
        raise self.failure


@pytest.mark.parametrize(
    ("failure", "status"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), 0xA700),
        (OSError(errno.EACCES, "Permission denied"), 0x0110),
        (ServiceError("not today", answer=0xA701), 0xA701),
        (ServiceError("enough of these", answer=0), 0),
        (ValueError("a mistake"), 0x0110),
        (KeyError("a mistake"), 0x0110),
    ],
)
def test_a_store_that_fails(tmp_path: Path, failure: Exception, status: int) -> None:
    def make(folder: Path) -> StorageSCP:
        broken = _Broken(folder)
        broken.failure = failure
        return StorageSCP(broken)

    asked = Asked(store(), [BODY])
    told = both(make, tmp_path, asked, asked)
    assert statuses(told) == [status, status]
    assert told.files == {}
    failed = [row for row in told.log if "the provider failed" in row[2]]
    assert bool(failed) == (type(failure) in (ValueError, KeyError))


@pytest.mark.usefixtures("manner")
def test_a_disk_that_fails(tmp_path: Path) -> None:
    """A folder in the place of the file."""

    def make(folder: Path) -> StorageSCP:
        store = FolderStore(folder)
        (tmp_path / "elsewhere").mkdir(exist_ok=True)
        (tmp_path / "elsewhere" / "2.25.7.dcm").mkdir(exist_ok=True)
        store._folder = f"{tmp_path / 'elsewhere'}/"
        store._temporary_paths = sink.TemporaryPaths(store._folder)
        return StorageSCP(store)

    told = both(make, tmp_path, Asked(store(), [BODY]), Asked(store("1.3"), [data_set("1.3")]))
    assert statuses(told) == [0x0110, 0]
    assert sorted(path.name for path in (tmp_path / "elsewhere").iterdir()) == ["1.3.dcm", "2.25.7.dcm"]


def test_another_store_than_that_of_the_beginning(tmp_path: Path) -> None:
    def make(folder: Path) -> StorageSCP:
        service = StorageSCP(folder)
        service.store = cast(Any, _Elsewhere(folder))
        return service

    told = both(make, tmp_path, Asked(store(), [BODY[:50], BODY[50:]]), Asked(store(), [BODY]))
    assert statuses(told) == [0, 0x0110]
    assert list(told.files) == ["elsewhere"]
    assert told.files["elsewhere"].endswith(BODY)


class _Elsewhere:
    """A store that has room for one file, and is no folder."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "elsewhere"

    def create(self, instance: NewInstance, /) -> sink.FileSink:
        return sink.FileSink(self._path, replace=False)


# --- what is asked at once, and what is not ---------------------------------------------------------------------------


class _At(VerificationSCP):
    def __init__(self, answer: Any) -> None:
        self._answer = answer

    def at_once(self, request: Any, context: Any, views: Any, /) -> Response:
        if isinstance(self._answer, BaseException):
            raise self._answer
        answer: Response = self._answer
        return answer


@pytest.mark.parametrize(
    ("answer", "status", "told"),
    [
        (Response(0xB000), 0xB000, ""),
        (Response(0xFF00), 0x0110, "final response"),
        (None, 0x0110, "final response"),
        (ServiceError("no", answer=0xA900), 0xA900, "the provider failed: no"),
        (RuntimeError("a mistake"), 0x0110, "the provider failed: a mistake"),
        (Response(0, body=b"12"), 0x0110, "cannot be sent"),
        (Response(0, elements=cast(Any, [1])), 0x0110, "the provider failed"),
        (Response(0, elements=cast(Any, {1: 2})), 0x0110, "the provider failed"),
    ],
)
def test_what_a_service_may_answer(answer: Any, status: int, told: str) -> None:
    result = play(_At(answer), None, [Asked(ECHO, None, VERIFICATION)], Limits())
    assert statuses(result) == [status]
    assert any(told in row[2] for row in result.log)
    assert not result.over


def test_a_service_that_ends_the_thread_ends_its_association_only() -> None:
    result = play(_At(SystemExit("enough")), None, [Asked(ECHO, None, VERIFICATION)] * 2, Limits())
    assert "serving failed: enough" in result.over
    assert result.answers == b""
    assert result.metrics.operations_running == 0
    with pytest.raises(KeyboardInterrupt):
        play(_At(KeyboardInterrupt()), None, [Asked(ECHO, None, VERIFICATION)], Limits())


def _by_key(service: Any) -> bool:
    return bool(Router([service]).at_once)


def test_who_changes_handle_is_asked_by_handle(tmp_path: Path) -> None:
    class Mine(StorageSCP):
        def handle(self, request: Any, context: Any, /) -> Any:
            return super().handle(request, context)

    class Both(Mine):
        def at_once(self, request: Any, context: Any, views: Any, /) -> Response:
            return super().at_once(request, context, views)

    class Later(Both):
        pass

    patched = StorageSCP(tmp_path)
    patched.handle = patched.handle  # type: ignore[method-assign]
    assert not _by_key(patched)
    assert not _by_key(Mine(tmp_path))
    assert _by_key(Both(tmp_path))
    assert _by_key(Later(tmp_path))
    assert _by_key(StorageSCP(tmp_path))
    assert not _by_key(StorageSCP(tmp_path, durability="power"))
    assert not _by_key(StorageSCP(tmp_path, on_stored=lambda stored: None))
    assert not _by_key(StorageSCP(handler=lambda dataset, stored: None))


def test_a_driver_that_would_rather_not() -> None:
    """It is asked with the length of the body."""
    asked: list[tuple[bool, int]] = []

    def defer(prompt: bool, length: int) -> bool:
        asked.append((prompt, length))
        return True

    class Silent:
        requestor = False
        negotiated: Any = None

        def send(self, *arguments: Any) -> None: ...
        def message(self, *arguments: Any) -> None: ...

    carrier = Silent()
    near = Association(requestor=True)
    far = Association(requestor=False, acceptance=Acceptance(supported={VERIFICATION: (IMPLICIT,)}))
    near.request(Associate(propose([(VERIFICATION, (IMPLICIT,))], calling_ae="A", called_ae="B")))
    near.connected()
    far.connected()
    _carry(near, far)
    far.request(Accept())
    carrier.negotiated = far.negotiated
    exchange = Exchange(cast(Any, carrier))
    operations = Operations(exchange, Limits(), Router([VerificationSCP()]), flush=lambda: True, defer=defer)
    operations.inbox += cast(Any, exchange._message(1, ECHO.but(MessageID=7)))
    assert operations.next(room=True) is not None
    assert asked == [(True, 0)]


def test_the_association_ends_meanwhile(tmp_path: Path) -> None:
    """The object is there, and nobody is told."""

    class Last(FolderStore):
        operations: Any = None

        def put(self, instance: NewInstance, pieces: Any, /) -> None:
            super().put(instance, pieces)
            self.operations.end()

    kept = Last(tmp_path)
    real = Operations.__init__

    def made(self: Operations, *arguments: Any, **options: Any) -> None:
        real(self, *arguments, **options)
        kept.operations = self

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Operations, "__init__", made)
        told = play(StorageSCP(kept), tmp_path, [Asked(store(), [BODY])] * 2, Limits())
    assert told.answers == b""
    assert list(told.files) == ["2.25.7.dcm"]
    assert statuses(told) == [None]
    assert told.metrics.operations_running == 0
