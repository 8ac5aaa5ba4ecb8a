"""What a link does when its transport has room again: nothing that a transport cannot bear amid its own writing.

A transport of asyncio asks for more in the middle of a method that goes on to look whether it is to close, by what it
knew before: closed, or shut, in between, it does so twice, and has nobody to tell of the error but the loop.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from dicomcore.aio import AE, Association
from dicomcore.errors import AssociationAborted
from dicomcore.ul import Accept, Acceptance, AssociationRequested
from dicomcore.ul import Association as Core
from dicomcore.vocab.syntaxes import EXPLICIT_LE
from tests.net.conftest import CT, PATIENCE, write_ct

from .conftest import Run


def accept(listener: socket.socket) -> socket.socket:
    """A peer that agrees, and reads no more."""
    sock, _ = listener.accept()
    core = Core(requestor=False, acceptance=Acceptance(supported={CT: (EXPLICIT_LE.uid,)}))
    core.connected()
    while not core.established:
        core.received(sock.recv_into(core.buffer()))
        if any(isinstance(event, AssociationRequested) for event in core.events()):
            core.request(Accept())
            sock.sendall(b"".join(bytes(part) for part in core.segments()))  # type: ignore[arg-type]
    return sock


@asynccontextmanager
async def full(path: Path) -> AsyncIterator[tuple[Association, socket.socket, asyncio.Task[int]]]:
    """An association in the middle of an object, its peer, who takes nothing, and the task that sends."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        accepting = asyncio.create_task(asyncio.to_thread(accept, listener))
        association = await AE("USER").associate("127.0.0.1", listener.getsockname()[1], contexts=path)
        with await accepting as sock:
            sock.setblocking(False)
            storing = asyncio.create_task(association.c_store(path))
            async with asyncio.timeout(PATIENCE):
                while not association._link.outbox.paused:
                    await asyncio.sleep(0)
            yield association, sock, storing


async def take(sock: socket.socket, done: Any) -> None:
    async with asyncio.timeout(PATIENCE):
        while not done():
            with suppress(BlockingIOError):
                if not sock.recv(1 << 16):
                    sock.close()
            await asyncio.sleep(0)


def test_the_peer_resets_when_there_is_room_for_our_abort(
    run: Run, ram_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_ct(ram_path / "ct", 30_000_000)

    async def work() -> None:
        async with full(ram_path / "ct") as (association, sock, storing):
            outbox = association._link.outbox
            push = outbox.push
            aborting = asyncio.create_task(association.abort())
            with pytest.raises(AssociationAborted):
                await storing

            def late(resume: Any) -> bool:
                if not outbox.paused:
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
                    sock.close()
                return push(resume)

            monkeypatch.setattr(outbox, "push", late)
            await take(sock, lambda: sock.fileno() < 0)
            await aborting

    run(work())


def test_the_peer_closes_as_soon_as_we_did(run: Run, ram_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_ct(ram_path / "ct", 30_000_000)

    async def work() -> None:
        async with full(ram_path / "ct") as (association, sock, storing):
            link = association._link
            listen = link._listen

            def drain() -> None:
                with suppress(BlockingIOError):
                    while link.parting_until < float("inf") and sock.fileno() >= 0:
                        if not sock.recv(1 << 16):
                            sock.close()
                listen()

            monkeypatch.setattr(link, "_listen", drain)
            aborting = asyncio.create_task(association.abort())
            with pytest.raises(AssociationAborted):
                await storing
            await take(sock, lambda: sock.fileno() < 0)
            await aborting

    run(work())
