"""C-ECHO and C-STORE over every driver: statuses, results, windows, and what arrives."""

from __future__ import annotations

import threading
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import pytest

from dicomcore.dimse.command import CommandField
from dicomcore.encoding.sink import MemorySink
from dicomcore.errors import NegotiationError, ServiceError
from dicomcore.limits import Limits
from dicomcore.services.base import Call, Receive, Request, Response, ServiceContext
from dicomcore.services.storage import StorageSCP, Stored
from dicomcore.services.verification import VerificationSCP
from tests.net.conftest import CT, PATIENCE, Scripted, write_ct

from .drivers import Driver


def write_many(folder: Path, count: int, pixels: int) -> list[Path]:
    paths = [folder / f"{number:04}" for number in range(count)]
    for path in paths:
        write_ct(path, pixels)
    return paths


def data_sets(folder: Path) -> list[bytes]:
    """What follows the file meta information, which tells who received a file."""
    from dicomcore.data.part10 import read_header

    return sorted(path.read_bytes()[read_header(path).dataset_offset :] for path in folder.iterdir())


def test_echo(driver: Driver) -> None:
    server = driver.serve(VerificationSCP())
    with driver.associate(server.port) as association:
        assert [association.c_echo() for _ in range(50)] == [0] * 50
        assert association.is_open
        assert "Verification" in association.explain()
    assert not association.is_open


@pytest.mark.parametrize("pixels", [100, 30_000, 900_000])
def test_store_one(driver: Driver, ram_path: Path, pixels: int) -> None:
    (ram_path / "in").mkdir()
    (path,) = write_many(ram_path / "in", 1, pixels)
    server = driver.serve(StorageSCP(ram_path / "out"))
    with driver.associate(server.port, contexts=path) as association:
        assert association.c_store(path) == 0
        assert association.c_store(path) == 0
    assert data_sets(ram_path / "out") == data_sets(ram_path / "in")


@pytest.mark.parametrize("pdu_length", [4096, 128 * 1024])
@pytest.mark.parametrize("window", [1, 2, 5, 16])
def test_store_many_with_any_window(driver: Driver, ram_path: Path, window: int, pdu_length: int) -> None:
    (ram_path / "in").mkdir()
    paths = write_many(ram_path / "in", 30, 3000) + write_many(ram_path / "in", 5, 300_000)
    server = driver.serve(StorageSCP(ram_path / "out"), window=16, limits=Limits(pdu_length=pdu_length))
    with driver.associate(server.port, contexts=paths, window=16) as association:
        results = list(association.c_store_many(paths, window=window))
        assert association.c_store(paths[0]) == 0
    assert all(result.stored for result in results)
    assert sorted(result.source for result in results) == sorted(paths)  # type: ignore[type-var]
    assert data_sets(ram_path / "out") == data_sets(ram_path / "in")


def test_a_window_that_was_not_agreed_is_not_used(driver: Driver, ram_path: Path) -> None:
    running: list[int] = []
    most = 0

    def provider(request: Request, context: ServiceContext) -> Generator[Any, Any, None]:
        nonlocal most
        running.append(1)
        yield Receive(MemorySink())
        most = max(most, len(running))
        yield Call(running.pop)
        yield Response(0)

    paths = write_many(ram_path, 12, 2000)
    server = driver.serve(Scripted(provider, CT, CommandField.C_STORE_RQ))
    with driver.associate(server.port, contexts=paths, window=16) as association:
        assert all(result.stored for result in association.c_store_many(paths, window=16))
    assert most == 1


def test_providers_of_one_association_run_together(driver: Driver, ram_path: Path) -> None:
    together = threading.Barrier(3)

    def provider(request: Request, context: ServiceContext) -> Generator[Any, Any, None]:
        yield Receive(MemorySink())
        yield Call(together.wait, PATIENCE)
        yield Response(0)

    paths = write_many(ram_path, 6, 2000)
    server = driver.serve(Scripted(provider, CT, CommandField.C_STORE_RQ), window=3)
    with driver.associate(server.port, contexts=paths, window=3) as association:
        assert all(result.stored for result in association.c_store_many(paths, window=3))


def test_what_cannot_be_sent_is_told_and_the_rest_is_sent(driver: Driver, ram_path: Path) -> None:
    (ram_path / "in").mkdir()
    paths = write_many(ram_path / "in", 4, 1000)
    nothing = ram_path / "nothing"
    server = driver.serve(StorageSCP(ram_path / "out"))
    with driver.associate(server.port, contexts=paths) as association:
        with pytest.raises(OSError, match="No such file"):
            association.c_store(nothing)
        results = list(association.c_store_many([paths[0], nothing, *paths[1:]]))
        assert [result.source for result in results if result.stored] == paths
        (failed,) = [result for result in results if not result.stored]
        assert isinstance(failed.error, OSError)
        assert association.c_store(paths[0]) == 0
    assert data_sets(ram_path / "out") == data_sets(ram_path / "in")


@pytest.mark.parametrize("window", [1, 3])
def test_an_iterable_that_fails_ends_what_was_sent_before(driver: Driver, ram_path: Path, window: int) -> None:
    """Its exception comes behind the results of those, and the association stands."""
    paths = write_many(ram_path, 3, 1000)
    server = driver.serve(StorageSCP(ram_path / "out"), window=3)

    def sources() -> Iterator[Path]:
        yield from paths
        raise KeyError("mine")

    with driver.associate(server.port, contexts=paths, window=window) as association:
        with pytest.raises(KeyError, match="mine"):
            list(association.c_store_many(sources(), window=window))
        assert association.metrics.sent_objects == 3
        assert association.c_store(paths[0]) == 0


def test_no_context_for_it(driver: Driver, ram_path: Path) -> None:
    write_ct(ram_path / "mr", sop_class="1.2.840.10008.5.1.4.1.1.4")
    server = driver.serve(VerificationSCP(), StorageSCP(ram_path / "out"))
    with driver.associate(server.port) as association:
        with pytest.raises(NegotiationError, match="MR Image Storage"):
            association.c_store(ram_path / "mr")
        assert association.c_echo() == 0


def test_statuses_and_check(driver: Driver, ram_path: Path) -> None:
    write_ct(ram_path / "ct")
    server = driver.serve(StorageSCP(ram_path / "out", duplicates="refuse"))
    with driver.associate(server.port, contexts=ram_path / "ct") as association:
        assert association.c_store(ram_path / "ct") == 0
        assert association.c_store(ram_path / "ct") == 0x0111
        with pytest.raises(ServiceError, match="0111"):
            association.c_store(ram_path / "ct", check=True)
        assert association.is_open


def test_on_stored_runs_on_a_worker_and_its_status_is_answered(driver: Driver, ram_path: Path) -> None:
    seen: list[tuple[str, str]] = []

    def on_stored(stored: Stored) -> int:
        seen.append((stored.calling_ae, threading.current_thread().name))
        return 0xB000

    (ram_path / "in").mkdir()
    paths = write_many(ram_path / "in", 3, 400_000)
    server = driver.serve(StorageSCP(ram_path / "out", on_stored=on_stored))
    with driver.associate(server.port, contexts=paths) as association:
        assert [result.status for result in association.c_store_many(paths)] == [0xB000] * 3
    assert [title for title, _ in seen] == ["USER"] * 3
    assert all(name.startswith("dicomcore") for _, name in seen)
    assert data_sets(ram_path / "out") == data_sets(ram_path / "in")


def test_a_sink_that_fails_in_the_middle_is_told_and_the_association_stands(driver: Driver, ram_path: Path) -> None:
    class Full:
        def __init__(self) -> None:
            self.length = 0

        def write(self, view: memoryview) -> None:
            self.length += len(view)
            if self.length > 100_000:
                raise OSError(28, "No space left on device")

    def provider(request: Request, context: ServiceContext) -> Generator[Any, Any, None]:
        received = yield Receive(Full())
        yield Response(0 if received.error is None else 0xA700)

    write_ct(ram_path / "small")
    write_ct(ram_path / "large", 900_000)
    server = driver.serve(Scripted(provider, CT, CommandField.C_STORE_RQ))
    with driver.associate(server.port, contexts=ram_path / "small") as association:
        assert association.c_store(ram_path / "large") == 0xA700
        assert association.c_store(ram_path / "small") == 0


@pytest.mark.parametrize("window", [1, 4])
def test_whatever_a_source_is_the_same_is_stored(
    driver: Driver, ram_path: Path, monkeypatch: pytest.MonkeyPatch, window: int
) -> None:
    """Paths that are opened in one step or by the ordinary reader, headers, data sets: what arrives is the same."""
    from dicomcore._core.opening import open_plain
    from dicomcore.data import outgoing
    from dicomcore.data.files import dcmread
    from dicomcore.data.part10 import read_header

    (ram_path / "in").mkdir()
    paths = write_many(ram_path / "in", 6, 1000) + write_many(ram_path / "in", 3, 200_000)
    names = [str(path) for path in paths]
    ways: list[tuple[Any, list[Any]]] = [(open_plain, paths), (open_plain, names), (lambda *arguments: None, names)]
    ways += [(open_plain, [read_header(path) for path in paths]), (open_plain, [dcmread(path) for path in paths])]
    for number, (opening, sources) in enumerate(ways):
        monkeypatch.setattr(outgoing, "open_plain", opening)
        server = driver.serve(StorageSCP(ram_path / str(number)), window=4)
        with driver.associate(server.port, contexts=paths, window=4) as association:
            results = list(association.c_store_many(sources, window=window))
        assert [result.status for result in results] == [0] * len(paths)
        assert {id(result.source) for result in results} == set(map(id, sources))
        assert data_sets(ram_path / str(number)) == data_sets(ram_path / "in")
