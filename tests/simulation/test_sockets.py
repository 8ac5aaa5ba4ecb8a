"""The same invariants over real sockets, threads, event loop and files, where the system chooses the order: seeded
clients that store, ask, abort and vanish, all at once. Nothing is left behind: files, threads, descriptors."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from random import Random
from typing import Any

import pytest

from dicomcore.data.files import dcmread
from dicomcore.errors import DicomError
from dicomcore.limits import Limits
from dicomcore.net.ae import AE
from dicomcore.net.poller import Facilities
from dicomcore.services.storage import StorageSCP
from dicomcore.services.verification import VerificationSCP
from dicomcore.vocab.sop_classes import VERIFICATION
from tests.net.conftest import PATIENCE, eventually

from .services import CT, IMPLICIT, Object, make_object

CLIENTS = 8
ROUNDS = 6
WINDOW = 4
LIMITS = Limits().but(pdu_length=4096)


class Client(threading.Thread):
    """Several associations, one after the other, each with some objects; some end in the middle of one."""

    def __init__(self, seed: int, port: int) -> None:
        super().__init__(name=f"client {seed}", daemon=True)
        self.random = Random(seed)
        self.port = port
        self.seed = seed
        self.sent: dict[str, bytes] = {}
        self.acknowledged: list[str] = []
        self.error: Exception | None = None

    def run(self) -> None:
        try:
            for number in range(ROUNDS):
                if self.random.random() < 0.2:
                    self._vanish()
                else:
                    self._associate(number)
        except Exception as error:
            self.error = error

    def _vanish(self) -> None:
        with socket.create_connection(("127.0.0.1", self.port), PATIENCE) as sock:
            sock.sendall(self.random.randbytes(self.random.choice((0, 5, 500))))

    def _associate(self, number: int) -> None:
        chance = self.random
        items: list[Object] = []
        for position in range(chance.randint(1, 20)):
            pixels = chance.randbytes(chance.choice((0, 100, 5000, 300_000)))
            items.append(make_object(f"2.25.{self.seed}.{number}.{position}", pixels))
        wholes = [item.file(f"CLIENT{self.seed}", "ANY-SCP") for item in items]
        self.sent |= {item.uid: whole for item, whole in zip(items, wholes, strict=True)}
        ends = chance.random() < 0.3
        ae = AE(f"CLIENT{self.seed}", limits=LIMITS)
        association = ae.associate(
            "127.0.0.1", self.port, contexts=[(CT, [IMPLICIT]), (VERIFICATION, [IMPLICIT])], window=WINDOW
        )
        if ends:
            killer = threading.Timer(chance.random() * 0.02, association.abort)
            killer.start()
        with suppress(DicomError) if ends else _nothing(), association:
            assert association.c_echo() == 0
            datasets = [dcmread(whole) for whole in wholes]
            for result in association.c_store_many(datasets, window=chance.choice((1, WINDOW))):
                if result.status == 0:
                    self.acknowledged.append(result.source.SOPInstanceUID)  # type: ignore[union-attr]
                elif not ends:
                    raise AssertionError(result)
        if ends:
            killer.join()


@contextmanager
def _nothing() -> Iterator[None]:
    yield


def _descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="no list of open descriptors on this system")
@pytest.mark.parametrize("durability", ["process", "power"])
@pytest.mark.parametrize("fast", [True, False])
@pytest.mark.parametrize("start", [0, 100])
def test_many_clients_at_once(ram_path: Path, durability: Any, fast: bool, start: int) -> None:
    threads, descriptors = threading.active_count(), _descriptors()
    facilities = Facilities() if fast else Facilities.portable()
    services: list[Any] = [StorageSCP(ram_path, durability=durability), VerificationSCP()]
    server = AE("SERVER", limits=LIMITS, facilities=facilities).serve(
        0, host="127.0.0.1", services=services, workers=3, window=WINDOW
    )
    clients = [Client(seed, server.port) for seed in range(start, start + CLIENTS)]
    with server:
        for client in clients:
            client.start()
        for client in clients:
            client.join(4 * PATIENCE)
            assert not client.is_alive()
        eventually(lambda: server.connection_count == 0)
    for client in clients:
        if client.error is not None:
            raise client.error
    assert any(client.acknowledged for client in clients)
    names = {path.name for path in ram_path.iterdir()}
    for client in clients:
        assert {f"{uid}.dcm" for uid in client.acknowledged} <= names
        for uid, whole in client.sent.items():
            if f"{uid}.dcm" in names:
                assert (ram_path / f"{uid}.dcm").read_bytes() == whole
    assert all(name.endswith(".dcm") for name in names)
    eventually(lambda: threading.active_count() <= threads)
    eventually(lambda: _descriptors() <= descriptors)
