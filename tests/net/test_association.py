"""The user's side: results, deadlines, and what is left of an association after something went wrong."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import Any

import pytest

from dicomcore import Dataset
from dicomcore.data.part10 import FileHeader, read_header
from dicomcore.encoding.source import FileSlice
from dicomcore.errors import (
    AssociationAborted,
    EncodingError,
    LocalProtocolError,
    NegotiationError,
    PeerTimeout,
    ServiceError,
    SourceChanged,
)
from dicomcore.limits import Limits
from dicomcore.net import AE, Server, StoreResult, store
from dicomcore.net.transport import listen
from dicomcore.services import sending
from dicomcore.services.base import Call, Request, Response, ServiceContext
from dicomcore.services.storage import StorageSCP
from dicomcore.services.verification import VerificationSCP
from dicomcore.vocab.sop_classes import VERIFICATION

from .conftest import CT, PATIENCE, Scripted, eventually, write_ct

Serving = Callable[..., Server]
MR = "1.2.840.10008.5.1.4.1.1.4"


@pytest.fixture
def silent_port() -> Iterator[int]:
    """A port that takes connections and never says a word."""
    (sock,) = listen("127.0.0.1", 0)
    yield sock.getsockname()[1]
    sock.close()


# asking for an association


def test_nobody_there(user: AE) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        with pytest.raises(NegotiationError, match="refused"):
            user.associate("127.0.0.1", unused.getsockname()[1])


def test_no_such_host(user: AE) -> None:
    with pytest.raises(NegotiationError, match="no address"):
        user.associate("no host has this name", 104)


def test_a_silent_peer_times_out(user: AE, silent_port: int) -> None:
    with pytest.raises(PeerTimeout):
        user.associate("127.0.0.1", silent_port, limits=Limits(association_timeout=0.05))


def test_a_peer_that_closes_at_once(user: AE) -> None:
    (sock,) = listen("127.0.0.1", 0)
    sock.setblocking(True)
    closer = threading.Thread(target=lambda: sock.accept()[0].close())
    closer.start()
    with pytest.raises(AssociationAborted):
        user.associate("127.0.0.1", sock.getsockname()[1])
    closer.join()
    sock.close()


def test_no_context_in_common_is_explained(serving: Serving, user: AE) -> None:
    server = serving(VerificationSCP())
    with pytest.raises(NegotiationError, match=CT):
        user.associate("127.0.0.1", server.port, contexts=[CT])


@pytest.mark.parametrize("title", ["", "SEVENTEEN LETTERS", "BACK\\SLASH"])
def test_bad_titles_are_refused_here(title: str) -> None:
    with pytest.raises(LocalProtocolError):
        AE(title)


def test_contexts_come_from_whatever_is_at_hand(serving: Serving, user: AE, tmp_path: Path) -> None:
    path = tmp_path / "ct"
    write_ct(path)
    server = serving(VerificationSCP(), StorageSCP(tmp_path / "out"))
    contexts: list[Any] = [
        VerificationSCP(),
        (MR, ["1.2.840.10008.1.2"]),
        str(path),
        path,
        read_header(path),
    ]
    with user.associate("127.0.0.1", server.port, contexts=contexts) as association:
        found = {row.abstract_syntax for row in association.negotiated.contexts.values()}
        assert found == {VERIFICATION, MR, CT}
        assert association.c_store(path) == 0
        assert "CT Image Storage" in association.explain()


def test_a_service_with_more_classes_than_contexts_fills_them(serving: Serving, user: AE, tmp_path: Path) -> None:
    """What was asked for by itself has its context; the rest goes to the SOP classes that are most in use."""
    service = StorageSCP(tmp_path / "out")
    assert len(service.supported) > 128
    server = serving(VerificationSCP(), service)
    odd = max(service.supported, key=len)
    with user.associate("127.0.0.1", server.port, contexts=[service, VERIFICATION, odd]) as association:
        found = {row.abstract_syntax for row in association.negotiated.contexts.values()}
        assert len(association.negotiated.request.contexts) == len(association.negotiated.contexts) == 128
        assert {VERIFICATION, odd, CT, MR} <= found


# leaving it


def test_an_association_tells_what_it_is(serving: Serving, user: AE) -> None:
    server = serving(VerificationSCP())
    with user.associate("127.0.0.1", server.port, called_ae="PACS", contexts=[VERIFICATION, MR]) as association:
        name = f"<Association {user.title} -> PACS at 127.0.0.1:{server.port}: "
        assert repr(association) == f"{name}open, 1 of 2 contexts>"
    assert repr(association) == f"{name}released, 1 of 2 contexts>"
    association = user.associate("127.0.0.1", server.port, called_ae="PACS")
    association.abort()
    assert repr(association) == f"{name}this side aborted the association, 1 of 1 contexts>"


def test_the_result_of_a_data_set_is_one_line() -> None:
    ds = Dataset({"SOPClassUID": MR, "SOPInstanceUID": "1.2.3", "PatientName": "A^B", "PixelData": bytes(1000)})
    assert str(StoreResult(ds, 0)) == "MR Image Storage 1.2.3: 0000 Success"
    assert repr(StoreResult(ds, 0xA700)) == "<StoreResult of MR Image Storage 1.2.3: 0xa700>"
    assert str(StoreResult("a.dcm", None, OSError("no"))) == "a.dcm: no"
    assert repr(StoreResult("a.dcm", None, OSError("no"))) == "<StoreResult of a.dcm: OSError('no')>"
    assert str(StoreResult(Dataset(), 0)).startswith("a data set without SOP Class and Instance: ")
    odd = Dataset({"SOPClassUID": MR})
    odd.add_new("SOPInstanceUID", "UI", "1.2\n3")
    assert "\n" not in str(StoreResult(odd, 0))


def test_leaving_by_an_exception_aborts(serving: Serving, user: AE) -> None:
    server = serving(VerificationSCP())
    with pytest.raises(KeyboardInterrupt), user.associate("127.0.0.1", server.port) as association:
        raise KeyboardInterrupt
    assert not association.is_open
    eventually(lambda: server.connection_count == 0)


def test_release_and_abort_twice_do_no_harm(serving: Serving, user: AE) -> None:
    server = serving(VerificationSCP())
    association = user.associate("127.0.0.1", server.port)
    association.release()
    association.release()
    association.abort()
    with pytest.raises(AssociationAborted, match="released"):
        association.c_echo()


def test_abort_from_another_thread_ends_an_operation(serving: Serving, user: AE) -> None:
    running, go_on = threading.Event(), threading.Event()

    def provider(request: Request, context: ServiceContext) -> Generator[Any, Any, None]:
        running.set()
        yield Call(go_on.wait, PATIENCE)
        yield Response(0)

    server = serving(Scripted(provider))
    association = user.associate("127.0.0.1", server.port)

    def abort() -> None:
        running.wait(PATIENCE)
        association.abort()

    other = threading.Thread(target=abort)
    other.start()
    with pytest.raises(AssociationAborted):
        association.c_echo()
    other.join()
    go_on.set()


# operations


def test_a_second_thread_waits(serving: Serving, user: AE) -> None:
    server = serving(VerificationSCP())
    with user.associate("127.0.0.1", server.port) as association:
        results: list[int] = []
        threads = [
            threading.Thread(target=lambda: results.extend(association.c_echo() for _ in range(50))) for _ in range(4)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(PATIENCE)
        assert results == [0] * 200


def test_no_answer_in_time_aborts(serving: Serving, user: AE) -> None:
    go_on = threading.Event()

    def provider(request: Request, context: ServiceContext) -> Generator[Any, Any, None]:
        yield Call(go_on.wait, PATIENCE)
        yield Response(0)

    server = serving(Scripted(provider))
    association = user.associate("127.0.0.1", server.port, limits=Limits(dimse_timeout=0.05))
    with pytest.raises(PeerTimeout):
        association.c_echo()
    assert not association.is_open
    go_on.set()


def test_a_failure_is_returned_or_raised_as_asked(serving: Serving, user: AE) -> None:
    def provider(request: Request, context: ServiceContext) -> Generator[Any, Any, None]:
        yield Response(0x0122)

    server = serving(Scripted(provider))
    with user.associate("127.0.0.1", server.port) as association:
        assert association.c_echo() == 0x0122
        with pytest.raises(ServiceError) as caught:
            association.c_echo(check=True)
        assert caught.value.answer == 0x0122
        assert association.is_open


def test_wait_returns_when_the_time_or_the_association_is_over(serving: Serving, user: AE) -> None:
    server = serving(VerificationSCP())
    association = user.associate("127.0.0.1", server.port)
    assert association.wait(0.01)
    server.close(0)
    assert not association.wait(PATIENCE)
    association.release()


# storing


def test_store_arrives_byte_for_byte(serving: Serving, user: AE, tmp_path: Path) -> None:
    server = serving(StorageSCP(tmp_path / "out"))
    for length in (2, 1000, 262_000, 262_144, 1_000_000):
        path = tmp_path / f"{length}.dcm"
        uid = write_ct(path, length)
        with user.associate("127.0.0.1", server.port, contexts=[path]) as association:
            assert association.c_store(path, check=True) == 0
        sent, received = read_header(path), read_header(tmp_path / "out" / f"{uid}.dcm")
        assert (
            path.read_bytes()[sent.dataset_offset :]
            == (tmp_path / "out" / f"{uid}.dcm").read_bytes()[received.dataset_offset :]
        )


@pytest.mark.parametrize("length", [4096, 16384, 65536])
def test_pdu_lengths_of_either_side_are_kept(serving: Serving, user: AE, tmp_path: Path, length: int) -> None:
    server = serving(StorageSCP(tmp_path / "out"), limits=Limits(pdu_length=length))
    path = tmp_path / "ct.dcm"
    uid = write_ct(path, 300_000)
    with user.associate("127.0.0.1", server.port, contexts=[path]) as association:
        assert association.negotiated.send_length == length
        assert association.c_store(path) == 0
    assert path.read_bytes()[-300_000:] == (tmp_path / "out" / f"{uid}.dcm").read_bytes()[-300_000:]


def test_store_many_tells_of_each(serving: Serving, user: AE, tmp_path: Path) -> None:
    server = serving(StorageSCP(tmp_path / "out"), VerificationSCP())
    paths = [tmp_path / f"{number}.dcm" for number in range(6)]
    for number, path in enumerate(paths):
        write_ct(path, sop_class=MR if number == 2 else CT)
    paths[4].unlink()
    with user.associate("127.0.0.1", server.port, contexts=[paths[0], VERIFICATION]) as association:
        results = []
        for result in association.c_store_many(paths, window=4):
            results.append(result)
            assert association.c_echo() == 0
        assert [result.stored for result in results] == [True, True, False, True, False, True]
        assert isinstance(results[2].error, NegotiationError)
        assert isinstance(results[4].error, OSError | EncodingError)
        assert "Success" in str(results[0])


def test_store_many_may_be_left_early(serving: Serving, user: AE, tmp_path: Path) -> None:
    server = serving(StorageSCP(tmp_path / "out"), VerificationSCP())
    paths = [tmp_path / f"{number}.dcm" for number in range(4)]
    for path in paths:
        write_ct(path)
    with user.associate("127.0.0.1", server.port, contexts=[*paths, VERIFICATION]) as association:
        for result in association.c_store_many(paths):
            assert result.stored
            break
        assert association.c_echo() == 0
    assert len(os.listdir(tmp_path / "out")) == 1


def test_a_file_that_shrinks_while_it_is_sent(
    serving: Serving, user: AE, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = serving(StorageSCP(tmp_path / "out"))
    path = tmp_path / "ct.dcm"
    write_ct(path, 3_000_000)
    header = read_header(path)
    opened = sending._file_slice

    def shrinking(header: FileHeader) -> FileSlice:
        body = opened(header)
        os.truncate(path, 1_500_000)
        return body

    monkeypatch.setattr(sending, "_file_slice", shrinking)
    association = user.associate("127.0.0.1", server.port, contexts=[header])
    with pytest.raises(SourceChanged):
        association.c_store(header)
    assert not association.is_open
    eventually(lambda: server.connection_count == 0)
    assert os.listdir(tmp_path / "out") == []


def test_a_server_that_dies_amid_a_store(serving: Serving, user: AE, tmp_path: Path) -> None:
    path = tmp_path / "ct.dcm"
    write_ct(path, 5_000_000)
    stored = threading.Event()

    class Refusing:
        def create(self, instance: Any, /) -> Any:
            stored.set()
            raise OSError(28, "No space left on device")

    server = serving(StorageSCP(Refusing()))
    with user.associate("127.0.0.1", server.port, contexts=[path]) as association:
        assert association.c_store(path) == 0xA700
        assert association.c_store(path) == 0xA700
        server.close(0)
        with pytest.raises(AssociationAborted):
            association.c_store(path)
    assert stored.is_set()


def test_store_in_one_call(serving: Serving, tmp_path: Path) -> None:
    server = serving(StorageSCP(tmp_path / "out"))
    folder = tmp_path / "in" / "below"
    folder.mkdir(parents=True)
    for number in range(5):
        write_ct(folder / f"{number}", sop_class=MR if number % 2 else CT)
    (folder / "readme.txt").write_text("no DICOM here")
    seen: list[StoreResult] = []
    report = store(tmp_path / "in", f"127.0.0.1:{server.port}", progress=seen.append)
    assert len(report.stored) == len(seen) == len(os.listdir(tmp_path / "out")) == 5
    assert report.failed == []
    assert [Path(path).name for path, _ in report.skipped] == ["readme.txt"]
    assert str(report).startswith("5 stored")
    with pytest.raises(LocalProtocolError):
        store([], "nowhere")


_BIG = """
import os, sys
from pathlib import Path
from dicomcore.net import AE
from dicomcore.services.storage import StorageSCP
def peak():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmHWM"))
if sys.argv[1] == "serve":
    def handler(dataset, stored):
        assert dataset.SOPInstanceUID == stored.sop_instance_uid
    to = {"store": sys.argv[2]} if sys.argv[2] else {"handler": handler}
    with AE("SERVER").serve(0, host="127.0.0.1", services=[StorageSCP(**to)]) as server:
        print(server.port, flush=True)
        before = peak()
        sys.stdin.readline()
        print((peak() - before) // 1024)
else:
    before = peak()
    with AE("USER").associate("127.0.0.1", int(sys.argv[2]), contexts=[sys.argv[3]]) as association:
        association.c_store(sys.argv[3], check=True)
    print((peak() - before) // 1024)
"""


@pytest.mark.footprint
@pytest.mark.parametrize("to", ["folder", "handler"])
def test_memory_stays_flat_for_a_large_object(ram_path: Path, to: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(ram_path))
    if not Path("/proc/self/status").exists():
        pytest.skip("peak memory is read from /proc")
    big = ram_path / "big.dcm"
    write_ct(big, 256)
    head = big.read_bytes()[:-260]
    with big.open("wb") as file:
        file.write(head + (200 << 20).to_bytes(4, "little"))
        file.truncate(len(head) + 4 + (200 << 20))
    server = subprocess.Popen(
        [sys.executable, "-c", _BIG, "serve", str(ram_path / "out") if to == "folder" else ""],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert server.stdout is not None
    port = server.stdout.readline().strip()
    sent = subprocess.run(
        [sys.executable, "-c", _BIG, "send", port, str(big)], capture_output=True, text=True, check=True
    )
    kept, _ = server.communicate("\n")
    assert int(sent.stdout) < 20
    if to == "handler":  # below `Limits.memory_object` it may lie in memory
        assert int(kept) < 40
        return
    assert int(kept) < 20
    (stored,) = (ram_path / "out").iterdir()
    assert stored.stat().st_size > 200 << 20
