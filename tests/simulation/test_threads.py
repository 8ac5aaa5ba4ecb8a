"""The blocking server and its blocking users in simulated threads: worlds from seeds, and what these have taught."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable
from random import Random
from typing import Any

import pytest

from dicomcore.dimse.command import command
from dicomcore.dimse.exchange import Exchange
from dicomcore.encoding.sink import MemorySink
from dicomcore.limits import Limits
from dicomcore.net.ae import AE
from dicomcore.net.memory import Conduct, Schedule
from dicomcore.net.server import Server
from dicomcore.services.base import Receive, Response
from dicomcore.services.storage import StorageSCP
from dicomcore.services.stores import FolderStore
from dicomcore.ul import Associate, Association, propose

from .disk import ROOT, Disk, installed
from .services import CT, ECHO, FIND, IMPLICIT, Counted, make_object
from .threaded import FACILITIES, PORT, ThreadedWorld
from .threads import Task, Threads
from .threads import installed as threads_installed

BLOCK = 25
BLOCKS = 1 if "ASAN_OPTIONS" in os.environ else 8  # every world runs the same kernels


@pytest.mark.parametrize("start", range(0, BLOCKS * BLOCK, BLOCK))
def test_worlds_in_threads(start: int) -> None:
    told: Counter[str] = Counter()
    for seed in range(start, start + BLOCK):
        told.update(ThreadedWorld(seed).run().count)
    assert {what for what, number in told.items() if number} >= {"acknowledged", "good", "C-GET-RQ done"}


@pytest.mark.parametrize("seed", range(4))
def test_same_seed_same_run_in_threads(seed: int) -> None:
    one, other = ThreadedWorld(seed).run(), ThreadedWorld(seed).run()
    assert one.trace == other.trace
    assert one.digest == other.digest


def _play(scene: Callable[[Threads], None], disk: Disk | None = None) -> None:
    """Run a scene in simulated threads to its end."""
    threads = Threads(Schedule(1), 0.0)
    director = Task(threads, scene, (threads,), "director")
    with installed(disk or Disk(Random(1))), threads_installed(threads):
        try:
            director.start()
            while not director.over:
                assert threads.schedule.step(), "nothing more happens"
        finally:
            threads.end()


class _Peer:
    """A bare client: a core and a plug, and nothing that is read unless it is asked for."""

    def __init__(self, threads: Threads, *abstract: str) -> None:
        self.core = Association(requestor=True)
        self.exchange = Exchange(self.core)
        self.plug = threads.connect("", PORT, 10.0)
        contexts = [(uid, (IMPLICIT,)) for uid in abstract]
        self.core.request(Associate(propose(contexts, calling_ae="PEER", called_ae="SERVER")))
        self.core.connected()
        self.send()
        while self.core.negotiated is None:
            threads.wait(lambda: self.plug.readable, None)
            self.core.received(self.plug.recv_into(self.core.buffer()))
            self.core.events()

    def send(self, most: int = 1 << 30) -> None:
        data = b"".join(bytes(segment) for segment in self.core.segments())  # type: ignore[arg-type]
        assert self.plug.send(data[:most])


class _Talker:
    """A C-FIND provider that never comes to an end."""

    commands = frozenset({0x0020})
    supported = {FIND: (IMPLICIT,)}  # noqa: RUF012

    def handle(self, request: Any, context: Any, /) -> Any:
        yield Receive(MemorySink(1000))
        while True:
            yield Response(0xFF00, bytes(500))


@pytest.mark.parametrize("silent", [False, True])
def test_a_peer_that_takes_nothing_is_dropped(silent: bool) -> None:
    """Not even our A-ABORT fits into its socket: the connection is closed all the same, and once and for all."""

    def scene(threads: Threads) -> None:
        threads.conduct = lambda: Conduct(capacity=2000)
        generators: list[Any] = []
        limits = Limits().but(network_timeout=20.0, artim=10.0, pdu_length=4096)
        ae = AE("SERVER", limits=limits, facilities=FACILITIES)
        server: Server = ae.serve(PORT, services=[Counted(_Talker(), generators)], workers=2)  # type: ignore[arg-type]
        peer = _Peer(threads, FIND)
        peer.exchange.request(1, command("C-FIND-RQ", AffectedSOPClassUID=FIND), b"\1\0")
        peer.send()
        threads.pause(1.0)
        if silent:
            peer.plug.cut(0, "silence")
        threads.pause(40.0)
        assert server.connection_count == 0
        assert [generator.gi_frame for generator in generators] == [None]
        server.close()

    _play(scene)


def test_what_a_server_gave_up_is_closed_when_its_worker_returns() -> None:
    """The sink of a half-received object is discarded, though the server has long been closed meanwhile."""
    disk = Disk(Random(1))

    def scene(threads: Threads) -> None:
        disk.log = lambda what: threads.pause(60.0)  # a very slow disk
        generators: list[Any] = []
        store = StorageSCP(FolderStore(ROOT), supported={CT: (IMPLICIT,)})
        ae = AE("SERVER", facilities=FACILITIES)
        server = ae.serve(PORT, services=[Counted(store, generators, prompt=True)], workers=1)
        peer = _Peer(threads, CT, ECHO)
        item = make_object("2.25.1", bytes(1000))
        ask = command("C-STORE-RQ", AffectedSOPClassUID=CT, AffectedSOPInstanceUID=item.uid)
        peer.exchange.request(1, ask, item.body)
        peer.send(800)
        threads.pause(1.0)
        server.close(0.0)
        threads.pause(1000.0)
        assert [generator.gi_frame for generator in generators] == [None]
        assert not disk.temporary()
        assert not disk.opened

    _play(scene, disk)
