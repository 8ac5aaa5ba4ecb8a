"""Storage on both sides: what is stored, what is refused and how, what is visible when, and what leaves the user."""

from __future__ import annotations

import errno
import io
import os
import tracemalloc
from pathlib import Path
from typing import Any

import pydicom
import pytest

from dicomcore.data.part10 import read_header
from dicomcore.dimse.exchange import RequestReceived, ResponseReceived
from dicomcore.encoding.sink import FileSink, Sink
from dicomcore.errors import LimitExceeded, ServiceError
from dicomcore.services.base import Answer, Invoke, Received, Request, Response, ServiceContext
from dicomcore.services.sending import StorageSCU
from dicomcore.services.storage import StorageSCP, Stored, storage_syntaxes
from dicomcore.services.stores import FolderStore, NewInstance
from tests.dimse.wire import Held, Wire
from tests.services.driver import (
    BIG_ENDIAN,
    CT,
    DEFLATED,
    EXPLICIT,
    IMPLICIT,
    INSTANCE,
    JPEG,
    RT_PLAN,
    Run,
    begin,
    encoded,
    file_bytes,
    plan,
    store_request,
)

PLAIN = [IMPLICIT, EXPLICIT, BIG_ENDIAN, DEFLATED]


def names(folder: Path) -> list[str]:
    return sorted(os.listdir(folder))


def pieces(data: bytes, size: int) -> list[bytes]:
    return [data[start : start + size] for start in range(0, len(data), size)]


# --- the provider: what is stored -----------------------------------------------------------------------------------


@pytest.mark.parametrize("syntax", PLAIN)
@pytest.mark.parametrize("size", [1, 7, 100, 1 << 20])
@pytest.mark.parametrize("gather", [True, False])
def test_stored_file_is_what_came_behind_the_negotiated_meta(
    tmp_path: Path, syntax: str, size: int, gather: bool
) -> None:
    body = encoded(plan(), syntax)
    run = begin(StorageSCP(tmp_path), store_request(syntax=syntax)).feed(pieces(body, size), gather=gather)
    assert all(name.startswith(".") for name in names(tmp_path))  # nothing is visible before the commit
    assert [response.status for response in run.finish()] == [0]
    assert names(tmp_path) == [INSTANCE + ".dcm"]
    raw = (tmp_path / (INSTANCE + ".dcm")).read_bytes()
    assert raw.endswith(body)
    assert raw[:132] == bytes(128) + b"DICM"
    stored = pydicom.dcmread(io.BytesIO(raw))
    assert stored.file_meta.TransferSyntaxUID == syntax
    assert stored.file_meta.MediaStorageSOPInstanceUID == INSTANCE
    assert stored.file_meta.SendingApplicationEntityTitle == "SENDER"
    assert stored.BeamSequence[0].BeamName == "AP"


def test_encapsulated_syntax_is_kept(tmp_path: Path) -> None:
    body = encoded(plan(), EXPLICIT)
    begin(StorageSCP(tmp_path), store_request(syntax=JPEG)).feed([body]).finish()
    assert pydicom.dcmread(tmp_path / (INSTANCE + ".dcm")).file_meta.TransferSyntaxUID == JPEG


@pytest.mark.parametrize("uid", ["../../x", "/tmp/x", "1.2/3", "..", "A" * 64])
def test_hostile_uids_stay_in_the_folder(tmp_path: Path, uid: str) -> None:
    folder = tmp_path / "in" / "here"
    with pytest.warns(UserWarning, match="Invalid value for VR UI"):
        body = encoded(plan(uid))
    run = begin(StorageSCP(folder), store_request(uid)).feed([body])
    assert [response.status for response in run.finish()] == [0]
    assert names(tmp_path) == ["in"]
    [name] = names(folder)
    assert name.startswith("sha256-")
    assert read_header(folder / name).sop_instance_uid == uid


def test_what_is_supported_by_default(tmp_path: Path) -> None:
    scp = StorageSCP(tmp_path)
    assert {RT_PLAN, CT, "1.2.840.10008.5.1.4.1.1.66.4", "1.2.840.10008.5.1.4.38.1"} <= set(scp.supported)
    assert "1.2.840.10008.1.1" not in scp.supported
    assert scp.supported[CT] == storage_syntaxes()
    assert set(storage_syntaxes()[:4]) == set(PLAIN)
    assert {JPEG, "1.2.840.10008.1.2.5", "1.2.840.10008.1.2.4.90"} <= set(storage_syntaxes())
    assert StorageSCP(tmp_path, supported={CT: (IMPLICIT,)}).supported == {CT: (IMPLICIT,)}


# --- the provider: what is refused ----------------------------------------------------------------------------------


def refused(tmp_path: Path, body: bytes, size: int = 1 << 20, **request: Any) -> tuple[int, str]:
    """The status and comment of the only response, nothing being left in the folder; the body is drained to its end."""
    run = begin(StorageSCP(tmp_path), store_request(**request)).feed(pieces(body, size))
    [response] = run.finish()
    assert run.length == len(body)
    assert names(tmp_path) == []
    return response.status, response.elements.get("ErrorComment", "")


@pytest.mark.parametrize("size", [1, 64, 1 << 20])
@pytest.mark.parametrize("syntax", PLAIN)
def test_a_data_set_that_is_not_the_commands(tmp_path: Path, size: int, syntax: str) -> None:
    other_class = refused(tmp_path, encoded(plan(sop_class=CT), syntax), size, syntax=syntax)
    assert other_class == (0xA900, f"(0008,0016) data set has {CT}")
    other_instance = refused(tmp_path, encoded(plan("2.25.98"), syntax), size, syntax=syntax)
    assert other_instance == (0xA900, "(0008,0018) data set has 2.25.98")
    without = plan()
    del without.SOPInstanceUID
    assert refused(tmp_path, encoded(without, syntax), size, syntax=syntax)[0] == 0xA900


def test_a_body_that_ends_too_soon(tmp_path: Path) -> None:
    assert refused(tmp_path, b"")[0] == 0xA900
    assert refused(tmp_path, encoded(plan())[:60])[0] == 0xA900


@pytest.mark.parametrize("syntax", [EXPLICIT, DEFLATED])
def test_a_body_that_is_no_data_set(tmp_path: Path, syntax: str) -> None:
    assert refused(tmp_path, b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n" * 9, 5, syntax=syntax)[0] == 0xC000


def test_uids_hidden_behind_much_else_are_not_waited_for(tmp_path: Path) -> None:
    """A data set whose head is long is accepted as it is, rather than held in memory."""
    body = b"\x08\x00\x06\x00" + (40_000).to_bytes(4, "little") + bytes(40_000) + encoded(plan())
    run = begin(StorageSCP(tmp_path)).feed(pieces(body, 1000))
    assert run.finish()[0].status == 0
    assert (tmp_path / (INSTANCE + ".dcm")).read_bytes().endswith(body)


def test_a_command_for_another_context(tmp_path: Path) -> None:
    run = begin(StorageSCP(tmp_path), store_request(sop_class=RT_PLAN, context_class=CT))
    assert [response.status for response in run.responses] == [0x0122]
    assert run.receive is None


@pytest.mark.parametrize(("rule", "status"), [("replace", 0), ("keep", 0), ("refuse", 0x0111)])
def test_duplicates(tmp_path: Path, rule: Any, status: int) -> None:
    told: list[Stored] = []
    scp = StorageSCP(tmp_path, duplicates=rule, on_stored=told.append)
    for label, expected in (("one", 0), ("two", status)):
        run = begin(scp).feed([encoded(plan(RTPlanLabel=label))])
        assert run.finish()[0].status == expected
    assert names(tmp_path) == [INSTANCE + ".dcm"]
    stored = pydicom.dcmread(tmp_path / (INSTANCE + ".dcm"))
    assert stored.RTPlanLabel == ("two" if rule == "replace" else "one")
    assert len(told) == (2 if rule == "replace" else 1)


# --- the provider: faults -------------------------------------------------------------------------------------------


class Faulty:
    """A folder whose n-th operation fails; ``count`` tells how many there were."""

    def __init__(self, folder: Path, fails_at: int, error: Exception) -> None:
        self.inner = FolderStore(folder)
        self.fails_at = fails_at
        self.error = error
        self.count = 0

    def tick(self) -> None:
        self.count += 1
        if self.count == self.fails_at:
            raise self.error

    def create(self, instance: NewInstance, /) -> Sink:
        self.tick()
        sink = self.inner.create(instance)
        store = self

        class FaultySink:
            path = sink.path

            def write(self, view: Any, /) -> None:
                store.tick()
                sink.write(view)

            def commit(self) -> None:
                store.tick()
                sink.commit()

            def discard(self) -> None:
                sink.discard()

        return FaultySink()


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (OSError(errno.ENOSPC, "No space left on device", "/secret/place"), 0xA700),
        (OSError(errno.EDQUOT, "Quota exceeded"), 0xA700),
        (OSError(errno.EMFILE, "Too many open files"), 0xA700),
        (PermissionError(errno.EACCES, "Permission denied", "/secret/place"), 0x0110),
        (OSError("strange"), 0x0110),
        (LimitExceeded("too much"), 0xA700),
        (ServiceError("not you", answer=0x0124), 0x0124),
        (ServiceError("no reason"), 0x0110),
    ],
)
def test_the_nth_failure_leaves_nothing_and_is_answered(tmp_path: Path, error: Exception, status: int) -> None:
    body = encoded(plan(RTPlanDescription="x" * 1000))
    fails_at = 0
    while True:
        fails_at += 1
        store = Faulty(tmp_path, fails_at, error)
        run = begin(StorageSCP(store)).feed(pieces(body, 300))
        [response] = run.finish()
        assert run.length == len(body)
        if store.count < fails_at:
            assert response.status == 0
            break
        assert response.status == status
        assert "secret" not in response.elements["ErrorComment"]
        assert names(tmp_path) == []
    assert fails_at == len(pieces(body, 300)) + 3  # create, writes, commit, and one that never came
    assert names(tmp_path) == [INSTANCE + ".dcm"]


def test_a_full_disk_below_the_sink(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written = 0
    real_write = os.write

    def write(descriptor: int, data: Any) -> int:
        nonlocal written
        if written >= 1000:
            raise OSError(errno.ENOSPC, "No space left on device")
        count = real_write(descriptor, memoryview(data)[: 1000 - written])
        written += count
        return count

    monkeypatch.setattr("dicomcore.encoding.sink.os.write", write)
    assert refused(tmp_path, encoded(plan(RTPlanDescription="x" * 900)), 100) == (0xA700, "No space left on device")


def test_what_was_begun_is_taken_back_before_the_answer_and_once(tmp_path: Path) -> None:
    seen: list[str] = []

    class Recorder:
        fails = True

        def create(self, instance: NewInstance, /) -> Sink:
            return self

        def write(self, view: Any, /) -> None:
            seen.append("write")

        def commit(self) -> None:
            seen.append("commit")
            if self.fails:
                raise OSError(errno.ENOSPC, "full")

        def discard(self) -> None:
            seen.append("discard")

    store = Recorder()
    for fails, expected in ((True, ["write", "commit", "discard"]), (False, ["write", "commit"])):
        store.fails = fails
        provider = StorageSCP(store).handle(store_request(), ServiceContext())
        receive: Any = next(provider)
        receive.sink.write(memoryview(encoded(plan())))
        commit: Any = provider.send(Received(1))
        try:
            commit.fn()
        except OSError as error:
            answer = provider.throw(error)
        else:
            answer = provider.send(None)
        assert seen == expected
        assert answer == Response(0xA700 if fails else 0, elements={"ErrorComment": "full"} if fails else {})
        seen.clear()
        with pytest.raises(StopIteration):
            next(provider)
    assert seen == []


def test_a_bug_in_a_store_is_not_hidden(tmp_path: Path) -> None:
    run = begin(StorageSCP(Faulty(tmp_path, 2, ZeroDivisionError("bug")))).feed([encoded(plan())])
    with pytest.raises(ZeroDivisionError):
        run.finish()
    assert names(tmp_path) == []


@pytest.mark.parametrize("fed", [0, 1, 60, 400])
def test_a_peer_that_leaves_mid_body_leaves_nothing(tmp_path: Path, fed: int) -> None:
    body = encoded(plan(RTPlanDescription="x" * 1000))
    run = begin(StorageSCP(tmp_path)).feed(pieces(body[:fed], 50))
    run.leave()
    assert names(tmp_path) == []


def test_two_associations_store_one_instance(tmp_path: Path) -> None:
    scp = StorageSCP(tmp_path)
    bodies = [encoded(plan(RTPlanLabel=label, RTPlanDescription=label * 500)) for label in ("A", "B")]
    runs = [begin(scp), begin(scp)]
    for parts in zip(*(pieces(body, 97) for body in bodies), strict=True):
        for run, part in zip(runs, parts, strict=True):
            run.feed([part])
    assert len(names(tmp_path)) == 2
    for run, body in zip(reversed(runs), reversed(bodies), strict=True):
        assert run.finish()[0].status == 0
        assert names(tmp_path)[-1] == INSTANCE + ".dcm"
        assert (tmp_path / (INSTANCE + ".dcm")).read_bytes().endswith(body)
    assert names(tmp_path) == [INSTANCE + ".dcm"]


@pytest.mark.parametrize(("durability", "count"), [("process", 0), ("power", 2)])
def test_durability(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, durability: Any, count: int) -> None:
    synced: list[bool] = []
    monkeypatch.setattr(
        "dicomcore.encoding.sink.os.fsync", lambda _: synced.append((tmp_path / (INSTANCE + ".dcm")).exists())
    )
    run = begin(StorageSCP(tmp_path, durability=durability)).feed([encoded(plan())])
    assert run.finish()[0].status == 0
    assert synced == [False, True][:count]  # the file before its rename, the folder after it


def test_memory_does_not_grow_with_the_object(tmp_path: Path) -> None:
    head = encoded(plan()) + b"\xe0\x7f\x10\x00" + (32 << 20).to_bytes(4, "little")
    block = memoryview(bytes(256 * 1024))
    run = begin(StorageSCP(tmp_path))
    tracemalloc.start()
    try:
        run.feed([head])
        for _ in range(128):
            run.feed([block])
        assert run.finish()[0].status == 0
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 100_000
    assert (tmp_path / (INSTANCE + ".dcm")).stat().st_size > 32 << 20


# --- the provider: being told ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(("answer", "status"), [(None, 0), (0, 0), (0xB000, 0xB000)])
def test_on_stored_runs_as_a_call_after_the_commit_and_before_the_answer(
    tmp_path: Path, answer: int | None, status: int
) -> None:
    told: list[Stored] = []

    def on_stored(stored: Stored) -> int | None:
        assert stored.path is not None
        assert Path(stored.path).exists()
        told.append(stored)
        return answer

    run = begin(StorageSCP(tmp_path, on_stored=on_stored)).feed([encoded(plan())])
    assert run.finish()[0].status == status
    assert run.log == ["Receive", "Call", "Call", "Response"]
    path = str(tmp_path / (INSTANCE + ".dcm"))
    length = len(encoded(plan()))
    assert told == [Stored(path, RT_PLAN, INSTANCE, IMPLICIT, length, "SENDER", "STORE", ("127.0.0.1", 1))]


def test_an_exception_in_on_stored_leaves_the_file(tmp_path: Path) -> None:
    def on_stored(stored: Stored) -> None:
        raise ZeroDivisionError

    run = begin(StorageSCP(tmp_path, on_stored=on_stored)).feed([encoded(plan())])
    with pytest.raises(ZeroDivisionError):
        run.finish()
    assert names(tmp_path) == [INSTANCE + ".dcm"]


# --- both, over two upper layers ------------------------------------------------------------------------------------


@pytest.mark.parametrize("splits", [(1 << 20,), (1, 5, 300), (17,)])
def test_from_file_to_file(tmp_path: Path, splits: tuple[int, ...]) -> None:
    path = tmp_path / "plan.dcm"
    path.write_bytes(file_bytes(plan(), IMPLICIT))
    wire = Wire(splits=splits, pdu_length=200)
    assert wire.user.core.negotiated is not None
    user = StorageSCU(wire.user.core.negotiated).c_store(path)
    invoke = next(user)
    assert isinstance(invoke, Invoke)
    wire.user.exchange.request(invoke.context_id, invoke.command, invoke.body)
    wire.run()
    asked, *fragments = wire.provider.take()
    assert isinstance(asked, RequestReceived)
    negotiated = wire.provider.core.negotiated
    assert negotiated is not None
    request = Request(asked.context_id, asked.command, asked.has_body, negotiated.contexts[asked.context_id])
    run = Run(StorageSCP(tmp_path / "in").handle(request, ServiceContext()))
    for fragment in fragments:
        assert isinstance(fragment, Held)
        run.feed([fragment.data])
    [response] = run.finish()
    wire.provider.exchange.respond(asked.context_id, response.command(asked.command), response.body)
    wire.run()
    [answered] = wire.user.take()
    assert isinstance(answered, ResponseReceived)
    with pytest.raises(StopIteration) as end:
        user.send(Answer(answered.command.Status, answered.command))
    assert end.value.value.status == 0
    stored = read_header(tmp_path / "in" / (INSTANCE + ".dcm"))
    source = read_header(path)
    assert stored.transfer_syntax_uid == source.transfer_syntax_uid
    assert Path(stored.path).read_bytes()[stored.dataset_offset :] == path.read_bytes()[source.dataset_offset :]


def test_sink_of_a_folder_is_a_file_sink(tmp_path: Path) -> None:
    """A driver may write to its descriptor."""
    sink = FolderStore(tmp_path).create(NewInstance(RT_PLAN, INSTANCE, IMPLICIT))
    assert isinstance(sink, FileSink)
    sink.discard()


def test_prompt_is_a_folder_that_is_not_synced_and_tells_nobody(tmp_path: Path) -> None:
    """Anything else may take its time, so that the driver has to look out for the peer meanwhile."""
    assert StorageSCP(tmp_path).prompt
    assert not StorageSCP(tmp_path, durability="power").prompt
    assert not StorageSCP(tmp_path, on_stored=lambda stored: None).prompt

    class Store:
        def create(self, instance: NewInstance, /) -> Sink:
            raise AssertionError

    assert not StorageSCP(Store()).prompt
