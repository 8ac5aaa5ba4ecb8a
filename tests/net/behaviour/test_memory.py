"""The budget of memory, over every driver: many senders and room for two, one that stalls, one that waits in vain."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from dicomcore.dimse.command import command
from dicomcore.dimse.exchange import ResponseReceived
from dicomcore.limits import Limits
from dicomcore.services.storage import StorageSCP
from tests.net.conftest import CT, PATIENCE, RawPeer, element, even, eventually, read_to_end, write_ct

from .drivers import Driver


def instance(uid: str, pixels: int) -> bytes:
    head = element(8, 0x16, b"UI", even(CT)) + element(8, 0x18, b"UI", even(uid))
    return head + element(0x7FE0, 0x10, b"OW", bytes(pixels))


def begin_store(peer: RawPeer, uid: str, body: bytes) -> None:
    """All of the request but its last fragment."""
    asked = command("C-STORE-RQ", AffectedSOPClassUID=CT, AffectedSOPInstanceUID=uid, Priority=0)
    peer.exchange.request(1, asked, [body, b""])
    peer.core._outbound.queue.pop()  # the last fragment
    peer.flush()


def go_on_with(peer: RawPeer, body: bytes, *, last: bool) -> None:
    peer.core._outbound.send(1, False, body, last)
    peer.flush()


def test_many_senders_and_room_for_two(driver: Driver, ram_path: Path) -> None:
    senders = 64
    seen: list[int] = []
    write_ct(ram_path / "ct", 300_000)
    limits = Limits(memory_object=400_000, memory_budget=800_000)
    handler: Any = lambda dataset, stored: seen.append(len(dataset.PixelData))  # noqa: E731
    server = driver.serve(StorageSCP(handler=handler), limits=limits, workers=4)
    together = threading.Barrier(16)

    def send(_: int) -> int:
        with driver.associate(server.port, contexts=ram_path / "ct") as association:
            together.wait(PATIENCE)
            return association.c_store(ram_path / "ct")

    with ThreadPoolExecutor(16) as pool:
        assert list(pool.map(send, range(senders))) == [0] * senders
    assert len(seen) == senders
    metrics = server.metrics
    assert metrics.peak_memory is not None
    assert metrics.peak_memory <= limits.memory_budget
    eventually(lambda: server.metrics.memory == 0)


def test_one_that_stalls_starves_nobody(driver: Driver, ram_path: Path) -> None:
    write_ct(ram_path / "ct", 300_000)
    limits = Limits(memory_object=400_000, memory_budget=800_000, budget_wait=PATIENCE)
    server = driver.serve(StorageSCP(handler=lambda dataset, stored: None), limits=limits)
    with RawPeer(server.port, CT) as stalled:
        begin_store(stalled, "1.2.3", instance("1.2.3", 300_000)[:200_000])
        eventually(lambda: (server.metrics.memory or 0) > 100_000)
        with driver.associate(server.port, contexts=ram_path / "ct") as association:
            assert [association.c_store(ram_path / "ct") for _ in range(5)] == [0] * 5
    eventually(lambda: server.metrics.memory == 0)


def test_the_clocks_on_a_peer_stand_still_while_it_is_not_read(driver: Driver) -> None:
    """A handler holds all memory for longer than any peer may be silent; another's object waits, and is taken."""
    limits = Limits(
        memory_object=400_000, memory_budget=400_000, budget_wait=PATIENCE, network_timeout=1.0, message_timeout=1.0
    )
    go_on = threading.Event()
    handler: Any = lambda dataset, stored: go_on.wait(PATIENCE) and None  # noqa: E731
    server = driver.serve(StorageSCP(handler=handler), limits=limits)
    with RawPeer(server.port, CT) as first, RawPeer(server.port, CT) as second:
        begin_store(first, "1.2.3", instance("1.2.3", 300_000))
        go_on_with(first, b"", last=True)
        eventually(lambda: (server.metrics.memory or 0) >= 300_000)
        begin_store(second, "1.2.4", instance("1.2.4", 300_000))
        go_on_with(second, b"", last=True)
        for _ in range(2):  # the time that a silent peer has passes, and passes again
            with RawPeer(server.port, CT) as silent:
                silent.sock.sendall(b"\x04\0\0\0\0\xff")
                assert read_to_end(silent.sock)[:1] == b"\x07"
        go_on.set()
        assert first.receive()[0].command.Status == 0
        assert second.receive()[0].command.Status == 0
    eventually(lambda: server.metrics.memory == 0)


def test_who_waits_in_vain_is_told(driver: Driver) -> None:
    limits = Limits(memory_object=400_000, memory_budget=400_000, budget_wait=0.05)
    server = driver.serve(StorageSCP(handler=lambda dataset, stored: None), limits=limits)
    with RawPeer(server.port, CT) as first, RawPeer(server.port, CT) as second:
        whole = instance("1.2.3", 300_000)
        begin_store(first, "1.2.3", whole[:200_000])
        eventually(lambda: (server.metrics.memory or 0) > 100_000)
        begin_store(second, "1.2.4", whole[:200_000])
        go_on_with(second, whole[200_000:], last=True)
        (answer,) = second.receive()
        assert isinstance(answer, ResponseReceived)
        assert answer.command.Status == 0xA700
        go_on_with(first, whole[200_000:], last=True)
        assert first.receive()[0].command.Status == 0
    eventually(lambda: server.metrics.memory == 0)
