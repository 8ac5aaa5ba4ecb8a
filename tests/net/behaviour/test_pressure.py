"""Small socket buffers, both ways at once, disks that are slow, and platforms that lack the fast calls: no deadlock."""

from __future__ import annotations

import socket
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import pytest

from dicomcore.dimse.command import CommandField, command
from dicomcore.encoding.sink import MemorySink
from dicomcore.limits import Limits
from dicomcore.net import transport
from dicomcore.net.aio import workers
from dicomcore.net.poller import Facilities
from dicomcore.services.base import Call, Invoke, Perform, Receive, Request, Response, ServiceContext
from dicomcore.services.storage import StorageSCP
from dicomcore.ul import RoleSelection
from tests.net.conftest import CT, Scripted, write_ct

from .drivers import Driver

STORE = CommandField.C_STORE_RQ


@pytest.fixture
def narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every connection has small buffers."""
    tune = transport.tune

    def tighter(sock: socket.socket, *, accepted: bool = False) -> None:
        tune(sock, accepted=accepted)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 64 * 1024)  # less is slow: acknowledgements are delayed

    for module in ("transport", "server", "aio.server", "aio.association"):
        monkeypatch.setattr(f"dicomcore.net.{module}.tune", tighter)


def write_many(folder: Path, count: int, pixels: int) -> list[Path]:
    paths = [folder / f"{number:03}" for number in range(count)]
    for path in paths:
        write_ct(path, pixels)
    return paths


@pytest.mark.usefixtures("narrow")
@pytest.mark.parametrize("prompt", [True, False])
def test_a_wide_window_on_narrow_sockets(driver: Driver, ram_path: Path, prompt: bool) -> None:
    (ram_path / "in").mkdir()
    paths = write_many(ram_path / "in", 40, 30_000)
    service = StorageSCP(ram_path / "out") if prompt else StorageSCP(ram_path / "out", on_stored=lambda stored: None)
    server = driver.serve(service, window=16)
    with driver.associate(server.port, contexts=paths, window=16) as association:
        assert all(result.stored for result in association.c_store_many(paths, window=16))
    assert len(list((ram_path / "out").iterdir())) == 40


@pytest.mark.usefixtures("narrow")
def test_bodies_both_ways_on_narrow_sockets(driver: Driver, ram_path: Path) -> None:
    """Each store that arrives makes the provider send a store of its own on the same association first."""
    received: list[int] = []

    def mirror(context: ServiceContext) -> Generator[Any, Any, int]:
        ask = command("C-STORE-RQ", AffectedSOPClassUID=CT, AffectedSOPInstanceUID="1.2.3", Priority=0)
        answer = yield Invoke(1, ask, bytes(200_000))
        return int(answer.status)

    def back(request: Request, context: ServiceContext) -> Generator[Any, Any, None]:
        yield Receive(MemorySink())
        yield Response((yield Perform(mirror(context))))

    def keep(request: Request, context: ServiceContext) -> Generator[Any, Any, None]:
        got = yield Receive(MemorySink())
        yield Call(received.append, got.length)
        yield Response(0)

    paths = write_many(ram_path, 16, 200_000)
    server = driver.serve(Scripted(back, CT, STORE), window=8, roles={CT: (True, True)})
    with driver.associate(
        server.port,
        contexts=paths[:1],
        window=8,
        services=[Scripted(keep, CT, STORE)],
        roles=[RoleSelection(CT, True, True)],
    ) as association:
        assert [result.status for result in association.c_store_many(paths, window=8)] == [0] * 16
    assert received == [200_000] * 16


def everything_portable(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("ae",):
        monkeypatch.setattr(f"dicomcore.net.{module}.Facilities", Facilities.portable)


def nothing_quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers.Pace, "quick", lambda self: False)


@pytest.mark.parametrize("manner", [everything_portable, nothing_quick])
@pytest.mark.parametrize("pdu_length", [2000, 100_000])
def test_without_the_fast_ways(
    driver: Driver,
    ram_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    manner: Callable[[pytest.MonkeyPatch], None],
    pdu_length: int,
) -> None:
    manner(monkeypatch)
    (ram_path / "in").mkdir()
    paths = write_many(ram_path / "in", 10, 3000)
    write_ct(paths[3], 1_000_000)
    server = driver.serve(StorageSCP(ram_path / "out"), window=3, limits=Limits(pdu_length=pdu_length))
    with driver.associate(server.port, contexts=paths, window=3) as association:
        assert all(result.stored for result in association.c_store_many(paths, window=3))
        assert association.c_store(paths[3]) == 0
    sizes = [sorted(path.stat().st_size // 1000 for path in (ram_path / name).iterdir()) for name in ("in", "out")]
    assert sizes[0] == sizes[1]
