"""Tasks that are cancelled, loops of answers that are left, and blocks that are left by exceptions."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import AsyncIterator, Generator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from dicomcore.aio import AE, Association, Server
from dicomcore.dimse.command import CommandField, command
from dicomcore.encoding.sink import MemorySink
from dicomcore.errors import AssociationAborted, LimitExceeded, LocalProtocolError, ServiceError
from dicomcore.limits import Limits
from dicomcore.net.aio.link import ANSWER_COST
from dicomcore.net.aio.provider import ServedLink
from dicomcore.net.events import ConnectionClosed, ConnectionOpened, Event
from dicomcore.services.base import Answer, Associate, Await, Call, Invoke, Receive, Request, Response, ServiceContext
from dicomcore.services.storage import StorageSCP
from dicomcore.services.verification import VerificationSCP
from dicomcore.vocab.sop_classes import VERIFICATION
from tests.net.conftest import CT, FIND, PATIENCE, Scripted, write_ct

from .conftest import Run

FINDING = command("C-FIND-RQ", AffectedSOPClassUID=FIND, Priority=0)


@asynccontextmanager
async def serving(*services: Any, **options: Any) -> AsyncIterator[Server]:
    async with AE("SERVER").serve(0, host="127.0.0.1", services=services, **options) as server:
        yield server


async def until(condition: Any) -> None:
    """Wait for what another task or thread does."""
    async with asyncio.timeout(PATIENCE):
        while not condition():
            await asyncio.sleep(0)


class Slow:
    """A provider that waits in a worker until it is let go."""

    def __init__(self) -> None:
        self.running = threading.Event()
        self.go_on = threading.Event()
        self.contexts: list[ServiceContext] = []

    def __call__(self, request: Request, context: ServiceContext) -> Generator[Any, Any, None]:
        self.contexts.append(context)
        if request.has_body:
            yield Receive(MemorySink())
        self.running.set()
        yield Call(self.go_on.wait, PATIENCE)
        yield Response(0)


def test_cancelling_who_waits_for_an_answer_aborts(run: Run) -> None:
    slow = Slow()

    async def work() -> None:
        async with serving(Scripted(slow)) as server:
            association = await AE("USER").associate("127.0.0.1", server.port)
            task = asyncio.create_task(association.c_echo())
            await until(slow.running.is_set)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert not association.is_open
            with pytest.raises(AssociationAborted, match="broken off"):
                await association.c_echo()
            await until(lambda: slow.contexts[0].peer_gone)
            slow.go_on.set()
            await until(lambda: server.connection_count == 0)

    run(work())


def test_cancelling_who_waits_for_a_turn_ends_nothing(run: Run) -> None:
    slow = Slow()

    async def work() -> None:
        async with serving(Scripted(slow)) as server, AE("USER").associate("127.0.0.1", server.port) as association:
            first = asyncio.create_task(association.c_echo())
            await until(slow.running.is_set)
            second, third = (asyncio.create_task(association.c_echo()) for _ in range(2))
            await asyncio.sleep(0)
            second.cancel()
            with pytest.raises(asyncio.CancelledError):
                await second
            slow.go_on.set()
            assert await first == await third == 0

    run(work())


def test_cancelling_a_block_aborts_and_leaves_nothing(run: Run, ram_path: Path) -> None:
    slow = Slow()
    write_ct(ram_path / "ct", 5_000_000)

    async def use(port: int) -> None:
        async with AE("USER").associate("127.0.0.1", port, contexts=ram_path / "ct", window=4) as association:
            async for _ in association.c_store_many([ram_path / "ct"] * 10, window=4):
                pass

    async def work() -> None:
        async with serving(Scripted(slow, CT, CommandField.C_STORE_RQ), window=4) as server:
            task = asyncio.create_task(use(server.port))
            await until(slow.running.is_set)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            slow.go_on.set()
            await until(lambda: server.connection_count == 0)

    run(work())


def test_cancelling_while_it_is_opened_and_released(run: Run) -> None:
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    async def work() -> None:
        server = await asyncio.start_server(silent, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        for turns in range(0, 60, 3):
            task = asyncio.ensure_future(AE("USER").associate("127.0.0.1", port).__aenter__())
            for _ in range(turns):
                await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        server.close()
        await server.wait_closed()
        async with serving(VerificationSCP()) as ours:
            for turns in range(10):
                association = await AE("USER").associate("127.0.0.1", ours.port)
                releasing = asyncio.ensure_future(association.release())
                for _ in range(turns):
                    await asyncio.sleep(0)
                releasing.cancel()
                await asyncio.wait([releasing])
                await association.abort()
            await until(lambda: ours.connection_count == 0)

    run(work())


def test_leaving_by_an_exception_aborts(run: Run) -> None:
    async def work() -> None:
        async def use(port: int) -> None:
            async with AE("USER").associate("127.0.0.1", port) as association:
                used.append(association)
                assert await association.c_echo() == 0
                raise ZeroDivisionError

        used: list[Association] = []
        async with serving(VerificationSCP()) as server:
            with pytest.raises(ZeroDivisionError):
                await use(server.port)
            assert not used[0].is_open
            await until(lambda: server.connection_count == 0)

    run(work())


def test_many_tasks_share_an_association(run: Run, ram_path: Path) -> None:
    for number in range(8):
        write_ct(ram_path / str(number), 40_000)
    paths = sorted(ram_path.iterdir())

    async def work() -> None:
        async with (
            serving(VerificationSCP(), StorageSCP(ram_path / "out"), window=3) as server,
            AE("USER").associate(
                "127.0.0.1", server.port, contexts=[VerificationSCP(), *paths], window=3
            ) as association,
        ):
            jobs = [association.c_store(path) for path in paths] + [association.c_echo() for _ in range(50)]
            assert await asyncio.gather(*jobs) == [0] * 58

    run(work())
    assert len(list((ram_path / "out").iterdir())) == 8


class Finder:
    """A provider of C-FIND that answers until it is cancelled, or so often."""

    def __init__(self, count: int) -> None:
        self.count = count
        self.made = 0
        self.cancelled = False

    def __call__(self, request: Request, context: ServiceContext) -> Generator[Any, Any, None]:
        yield Receive(MemorySink())
        while self.made < self.count and not context.cancelled:
            self.made += 1
            yield Response(0xFF00, {"PatientID": str(self.made), "PatientComments": "x" * 8000})
        self.cancelled = context.cancelled
        yield Response(0xFE00 if self.cancelled else 0)


@pytest.mark.parametrize("primitive", [True, False])
def test_answers_as_they_come(run: Run, primitive: bool) -> None:
    finder = Finder(300)

    async def work() -> None:
        async with (
            serving(Scripted(finder, FIND, CommandField.C_FIND_RQ)) as server,
            AE("USER").associate("127.0.0.1", server.port, contexts=[FIND]) as association,
        ):
            for _ in range(2):
                finder.made = 0
                if primitive:
                    answers = [answer async for answer in association.responses(Invoke(1, FINDING, b""))]
                    assert [answer.status for answer in answers] == [0xFF00] * 300 + [0]
                else:
                    rows = [
                        row
                        async for row in association.c_find(
                            {"PatientID": "*"}, "PatientRootQueryRetrieveInformationModelFind"
                        )
                    ]
                    assert [row[1].PatientID for row in rows[:-1] if row[1] is not None] == [
                        str(number) for number in range(1, 301)
                    ]

    run(work())


@pytest.mark.parametrize("manner", ["break", "close", "release"])
def test_leaving_a_loop_of_answers_cancels(run: Run, manner: str) -> None:
    finder = Finder(10_000_000)

    async def work() -> None:
        async with serving(Scripted(finder, FIND, CommandField.C_FIND_RQ), VerificationSCP()) as server:
            async with AE("USER").associate("127.0.0.1", server.port, contexts=[FIND, VERIFICATION]) as association:
                responses = association.c_find({}, "PatientRootQueryRetrieveInformationModelFind")
                async for status, _ in responses:
                    assert status == 0xFF00
                    break
                if manner == "close":
                    await responses.aclose()
                    assert finder.cancelled
                del responses
                if manner != "release":
                    assert await association.c_echo() == 0
                    assert finder.cancelled
            await until(lambda: server.connection_count == 0)
            assert finder.cancelled

    run(work())


def test_answers_that_nobody_fetches_are_not_read(run: Run) -> None:
    """The peer is paused, not buffered; and goes on when they are fetched again."""
    finder = Finder(5_000)

    async def work() -> None:
        async with (
            serving(Scripted(finder, FIND, CommandField.C_FIND_RQ)) as server,
            AE("USER").associate("127.0.0.1", server.port, contexts=[FIND]) as association,
        ):
            responses = association.responses(Invoke(1, FINDING, b""))
            assert (await anext(responses)).status == 0xFF00
            await until(lambda: not association._link._hears)
            assert finder.made < 5_000
            assert len([answer async for answer in responses]) == 5_000

    run(work())


def test_check_raises(run: Run) -> None:
    def provider(request: Request, context: ServiceContext) -> Generator[Any, Any, None]:
        yield Response(0xC001)

    async def work() -> None:
        async with (
            serving(Scripted(provider), Scripted(provider, FIND, CommandField.C_FIND_RQ)) as server,
            AE("USER").associate("127.0.0.1", server.port, contexts=[FIND, VERIFICATION]) as association,
        ):
            with pytest.raises(ServiceError, match="C001"):
                await association.c_echo(check=True)
            with pytest.raises(ServiceError, match="C001"):
                async for _ in association.c_find({}, "PatientRootQueryRetrieveInformationModelFind", check=True):
                    pass
            assert await association.c_echo() == 0xC001

    run(work())


def test_coroutines_of_providers_and_callbacks(run: Run, ram_path: Path) -> None:
    seen: list[Any] = []

    async def on_stored(stored: Any) -> int:
        await asyncio.sleep(0)
        seen.append((stored.calling_ae, threading.current_thread() is threading.main_thread()))
        return 0

    async def look(number: int) -> int:
        await asyncio.sleep(0)
        if number < 0:
            raise ValueError("negative")
        return number

    def provider(request: Request, context: ServiceContext) -> Generator[Any, Any, None]:
        first = yield Await(look, 0x0107)
        second = yield Call(look, 0x0107)
        third = yield Call(lambda: look(0x0107))
        try:
            yield Await(look, -1)
        except ValueError:
            yield Response(first if first == second == third else 0xC000)

    async def authorize(event: Any) -> bool:
        await asyncio.sleep(0)
        return bool(event.request.calling_ae == "USER")

    write_ct(ram_path / "ct", 100_000)

    async def work() -> None:
        async with serving(
            Scripted(provider), StorageSCP(ram_path / "out", on_stored=on_stored), authorize=authorize
        ) as server:
            contexts: list[Any] = [VERIFICATION, ram_path / "ct"]
            async with AE("USER").associate("127.0.0.1", server.port, contexts=contexts) as association:
                assert await association.c_echo() == 0x0107
                assert await association.c_store(ram_path / "ct") == 0
            with pytest.raises(Exception, match=r"(?i)reject"):
                await AE("OTHER").associate("127.0.0.1", server.port)

    run(work())
    assert seen == [("USER", True)]


def test_a_coroutine_of_a_provider_is_cancelled_when_its_peer_goes(run: Run) -> None:
    happened: list[str] = []

    async def forever() -> None:
        happened.append("began")
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            happened.append("ended")

    def provider(request: Request, context: ServiceContext) -> Generator[Any, Any, None]:
        try:
            yield Await(forever)
        finally:
            happened.append("closed")

    async def work() -> None:
        async with serving(Scripted(provider)) as server:
            association = await AE("USER").associate("127.0.0.1", server.port)
            task = asyncio.create_task(association.c_echo())
            await until(lambda: happened)
            await association.abort()
            with pytest.raises(AssociationAborted):
                await task
            await until(lambda: server.connection_count == 0)
        assert happened == ["began", "ended", "closed"]

    run(work())


def test_the_loop_is_free_while_sinks_and_providers_block(run: Run, ram_path: Path) -> None:
    write_ct(ram_path / "ct", 3_000_000)
    writing, go_on = threading.Event(), threading.Event()

    class Stuck:
        def write(self, view: memoryview) -> None:
            writing.set()
            go_on.wait(PATIENCE)

    def provider(request: Request, context: ServiceContext) -> Generator[Any, Any, None]:
        received = yield Receive(Stuck())
        yield Response(0 if received.length > 3_000_000 else 0xC000)

    async def work() -> None:
        async with (
            serving(Scripted(provider, CT, CommandField.C_STORE_RQ), VerificationSCP()) as server,
            AE("USER").associate("127.0.0.1", server.port, contexts=ram_path / "ct") as storing,
            AE("USER").associate("127.0.0.1", server.port) as echoing,
        ):
            task = asyncio.create_task(storing.c_store(ram_path / "ct"))
            await until(writing.is_set)
            assert [await echoing.c_echo() for _ in range(20)] == [0] * 20
            assert not task.done()
            go_on.set()
            assert await task == 0

    run(work())


def test_a_server_closes_while_a_provider_is_stuck(run: Run) -> None:
    slow = Slow()

    async def work() -> None:
        server = await AE("SERVER").serve(0, host="127.0.0.1", services=[Scripted(slow)])
        association = await AE("USER").associate("127.0.0.1", server.port)
        task = asyncio.create_task(association.c_echo())
        await until(slow.running.is_set)
        closing = asyncio.create_task(server.close(0.0))
        with pytest.raises(AssociationAborted):
            await task
        slow.go_on.set()
        await closing
        assert await server.wait(0)
        await server.close()

    run(work())


@pytest.mark.parametrize("opened", [0, 2])
def test_the_peer_is_gone_when_a_provider_goes_on(run: Run, monkeypatch: pytest.MonkeyPatch, opened: int) -> None:
    """The loop has still to tell of its end when a worker hands the provider back: the task that goes on with it, or
    closes what it has opened, is cancelled before its first step."""
    closed: list[bool] = []

    def provider(request: Request, context: ServiceContext) -> Generator[Any, Any, None]:
        try:
            for _ in range(opened):
                yield Associate("127.0.0.1", ports[0], contexts=[VERIFICATION])
            if not opened:
                yield Await(asyncio.sleep, PATIENCE)
            yield Response(0)
        finally:
            closed.append(True)

    advanced = ServedLink._advanced

    def late(link: Any, operation: Any, effect: Any, error: Any) -> None:
        if link.transport is not None and (operation.over if opened else effect is not None):
            link.transport.abort()
        advanced(link, operation, effect, error)

    monkeypatch.setattr(ServedLink, "_advanced", late)
    ports: list[int] = []

    async def work() -> None:
        async with serving(VerificationSCP()) as destination, serving(Scripted(provider)) as server:
            ports.append(destination.port)
            with suppress(AssociationAborted):
                async with AE("USER").associate("127.0.0.1", server.port) as association:
                    await association.c_echo()
            await until(lambda: not server.connection_count and not destination.connection_count)
            assert closed == [True]

    run(work())


def test_a_server_that_is_closed_at_once_listens_no_more(run: Run) -> None:
    """Before the tasks that accept have begun."""

    async def work() -> None:
        server = await AE("SERVER").serve(0, host="127.0.0.1", services=[VerificationSCP()])
        await server.close(0.0)
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", server.port)).close()

    run(work())


def test_a_server_closes_with_a_connection_that_has_just_come(run: Run) -> None:
    """Its task has not begun: it ends all the same, at once and with all that is told of it."""
    heard: list[Event] = []

    async def work() -> None:
        async with serving(VerificationSCP(), on_event=heard.append) as server:
            with socket.create_server(("127.0.0.1", 0)) as listener:
                peer = socket.create_connection(listener.getsockname())
                sock, address = listener.accept()
            with peer:
                server._welcome(sock, address)
                assert server.connection_count == 1
                await server.close(PATIENCE)
                assert sock.fileno() < 0
                assert server.connection_count == server.metrics.connections_open == 0
                assert peer.recv(1) == b""

    run(work())
    assert [type(event) for event in heard] == [ConnectionOpened, ConnectionClosed]


def test_an_opening_is_awaited_or_entered(run: Run) -> None:
    async def work() -> None:
        server = await AE("SERVER").serve(0, host="127.0.0.1", services=[VerificationSCP()])
        async with server:
            association = await AE("USER").associate("127.0.0.1", server.port)
            async with association:
                assert await association.c_echo() == 0
                assert await association.wait(0.0)
            assert not await association.wait(0.0)
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", server.port)

    run(work())


def test_a_user_generator_runs_on_a_worker(run: Run) -> None:
    threads: set[str] = set()

    def user(association: Any) -> Generator[Invoke, Answer, int]:
        threads.add(threading.current_thread().name)
        ask = command("C-ECHO-RQ", AffectedSOPClassUID=VERIFICATION)
        first = yield Invoke(1, ask)
        threads.add(threading.current_thread().name)
        second = yield Invoke(1, ask)
        return first.status + second.status

    async def work() -> None:
        async with serving(VerificationSCP()) as server, AE("USER").associate("127.0.0.1", server.port) as association:
            assert await association.perform(user(association)) == 0
            with pytest.raises(LocalProtocolError):
                await association.perform(wrong())
            assert await association.c_echo() == 0

    run(work())
    assert threading.main_thread().name not in threads


def wrong() -> Generator[Any, Any, None]:
    from dicomcore.services.base import MORE

    yield MORE


def test_limits_on_connections(run: Run) -> None:
    async def work() -> None:
        limits = Limits(peer_association_count=1)
        async with serving(VerificationSCP(), limits=limits) as server:
            async with AE("USER").associate("127.0.0.1", server.port):
                with pytest.raises(Exception, match=r"(?i)reject"):
                    await AE("USER").associate("127.0.0.1", server.port)
            await until(lambda: server.connection_count == 0)

    run(work())


def test_cancelling_when_the_peer_has_closed_is_a_cancellation(run: Run) -> None:
    """The A-ABORT is answered by a reset at once, of which the loop has not told when our direction is to be closed."""

    async def work() -> None:
        loop = asyncio.get_running_loop()
        with socket.create_server(("127.0.0.1", 0)) as listener:
            listener.setblocking(False)
            for _ in range(20):
                task = asyncio.ensure_future(opened(listener.getsockname()[1]))
                sock, _ = await loop.sock_accept(listener)
                await loop.sock_recv(sock, 1 << 16)
                sock.close()
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task

    async def opened(port: int) -> None:
        await AE("USER").associate("127.0.0.1", port)

    run(work())


def test_answers_that_nobody_fetches_are_not_hoarded(run: Run) -> None:
    """Others wait for their turn, so the answers are read; what that costs is more than the bytes of their bodies."""
    limits = Limits(memory_object=1 << 20)
    kept = 0

    def find(request: Request, context: ServiceContext) -> Generator[Any, Any, None]:
        yield Receive(MemorySink())
        while not context.cancelled:
            yield Response(0xFF00, b"")
        yield Response(0xFE00)

    async def work() -> None:
        nonlocal kept
        service = Scripted(find, FIND, CommandField.C_FIND_RQ)
        async with (
            serving(service, VerificationSCP()) as server,
            AE("USER", limits=limits).associate("127.0.0.1", server.port, contexts=[FIND, VERIFICATION]) as association,
        ):
            responses = association.responses(Invoke(1, FINDING, b""))
            await anext(responses)
            with pytest.raises(LimitExceeded, match="not fetched"):
                await association.c_echo()
            with suppress(LimitExceeded):
                async for _ in responses:
                    kept += 1

    run(work())
    most = limits.memory_object // ANSWER_COST
    together = limits.pdu_length // 64  # what arrived along with the one too many; each takes more on the wire
    assert most - 1 <= kept <= most + together
