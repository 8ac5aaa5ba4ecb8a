"""The budget of memory, over every driver: many senders and room for two, one that stalls, one that waits in vain.

What waits to be sent counts as well, whoever produced it: peers that ask for much and read nothing get no more of it
than one answer each goes beyond the budget, or one for each provider that runs at the time.
"""

from __future__ import annotations

import threading
import tracemalloc
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from dicomcore.dimse.command import CommandField, command
from dicomcore.dimse.exchange import Fragment, ResponseReceived
from dicomcore.limits import Limits
from dicomcore.services.base import Receive, Request, Response, ServiceContext
from dicomcore.services.storage import StorageSCP
from dicomcore.ul import AsyncWindow
from tests.net.conftest import CT, PATIENCE, RawPeer, Scripted, element, even, eventually, read_to_end, write_ct

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


# what waits to be sent

LONG = 1_000_000
ASKED = 16


class Lengthy(Scripted):
    """Each N-GET is answered with a megabyte: by a provider, by one that never waits, or at once."""

    def __init__(self, manner: str) -> None:
        super().__init__(self.provide, CT, CommandField.N_GET_RQ)
        self.prompt = self.commands if manner == "prompt" else frozenset()
        if manner == "at once":
            self.prompt, self.at_once = self.commands, self.answer
        self.made = 0

    def provide(self, request: Request, context: ServiceContext) -> Generator[Any, Any, None]:
        yield self.answer(request, context)

    def answer(self, request: Request, context: ServiceContext, views: object = ()) -> Response:
        self.made += 1
        return Response(0, bytes(LONG))


def ask(peer: RawPeer, times: int) -> None:
    wanted = command("N-GET-RQ", RequestedSOPClassUID=CT, RequestedSOPInstanceUID="1.2.3")
    for _ in range(times):
        peer.exchange.request(1, wanted)
    peer.flush()


@pytest.mark.parametrize("manner", ["provider", "prompt", "at once"])
def test_peers_that_read_nothing_hold_little(driver: Driver, manner: str) -> None:
    service = Lengthy(manner)
    workers, peers, budget = 2, 5, 200_000
    limits = Limits(memory_budget=budget, network_timeout=1.0, artim=1.0)
    server = driver.serve(service, limits=limits, window=ASKED, workers=workers)
    window = AsyncWindow(ASKED, ASKED)
    tracemalloc.start()
    try:
        mute = [RawPeer(server.port, CT, window=window) for _ in range(peers)]
        for peer in mute:
            ask(peer, ASKED)
        with RawPeer(server.port, CT, window=window) as other:  # others are served meanwhile
            ask(other, 1)
            while not (isinstance(last := other.receive()[-1], Fragment) and last.last):
                pass
        eventually(lambda: server.connection_count == 0)  # they were waited for long enough
        held = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    for peer in mute:
        peer.sock.close()
    bound = budget + (peers + 1 + workers) * LONG
    peak = server.metrics.peak_memory
    assert peak is not None
    assert LONG // 2 < peak <= bound
    assert held <= bound + 2_000_000
    assert service.made < peers * ASKED
    eventually(lambda: server.metrics.memory == 0)


@pytest.mark.parametrize(("budget", "least", "most"), [(64 << 20, 64 << 10, 256 << 10), (100_000, 0, 0)])
def test_a_block_is_long_only_where_there_is_memory(
    driver: Driver, ram_path: Path, budget: int, least: int, most: int
) -> None:
    """Sinks that hold nothing, so that only blocks count."""
    lengths: list[int] = []

    class Forgetful:
        def write(self, view: memoryview) -> None:
            lengths.append(len(view))

    def provider(request: Request, context: ServiceContext) -> Generator[Any, Any, None]:
        yield Receive(Forgetful())
        yield Response(0)

    write_ct(ram_path / "ct", 3_000_000)
    limits = Limits(memory_budget=budget, memory_object=1_000_000)
    server = driver.serve(Scripted(provider, CT, CommandField.C_STORE_RQ), limits=limits)
    with driver.associate(server.port, contexts=ram_path / "ct") as association:
        assert association.c_store(ram_path / "ct") == 0
    assert sum(lengths) >= 3_000_000
    assert least <= (server.metrics.peak_memory or 0) <= most + 1000  # and the answer
    eventually(lambda: server.metrics.memory == 0)
