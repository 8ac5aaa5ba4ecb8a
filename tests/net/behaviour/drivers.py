"""One face for every driver: what a test asks of the blocking one directly, it asks of an event loop in a thread.

A loop runs in debug mode, and its end is part of the test: no task, no descriptor and no complaint may be left.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from contextlib import suppress
from time import monotonic
from types import TracebackType
from typing import Any, Self

import pytest

from dicomcore import aio
from dicomcore.limits import Limits
from dicomcore.net import AE, Association, Server, StoreResult
from dicomcore.net.metrics import Metrics
from dicomcore.services.base import User
from tests.net.conftest import PATIENCE, hurry

DRIVERS = ("blocking", "asyncio", "uvloop")


class Driver:
    """The blocking driver; ``serve`` and ``associate`` take what those of `AE` take."""

    def __init__(self) -> None:
        self._servers: list[Any] = []

    def serve(self, *services: Any, limits: Limits = Limits(), **options: Any) -> Server:  # noqa: B008
        server = AE("SERVER", limits=limits).serve(0, host="127.0.0.1", services=services, **options)
        self._servers.append(server)
        return server

    def associate(self, port: int, **options: Any) -> Association:
        return AE("USER").associate("127.0.0.1", port, **options)

    def hurry(self, association: Any, **limits: float) -> None:
        hurry(association, **limits)

    def shift(self, monkeypatch: pytest.MonkeyPatch, seconds: Callable[[], float]) -> bool:
        """The clock of whoever associates is ahead by so much, each time that it is looked at; whether timers are."""
        monkeypatch.setattr("dicomcore.net.association.monotonic", lambda: monotonic() + seconds())
        return True

    def close(self) -> None:
        for server in self._servers:
            server.close(0.0)


class LoopDriver(Driver):
    """asyncio, or uvloop, in a thread of its own."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.complaints: list[Any] = []
        new_loop(kind).close()  # the first one of a kind keeps descriptors of its own
        self._descriptors = descriptors()
        self._loop = new_loop(kind)
        self._loop.set_debug(True)
        self._loop.slow_callback_duration = PATIENCE
        self._loop.set_exception_handler(lambda loop, context: self.complaints.append(context))
        self._sockets = sockets()  # those of the loop itself are among them
        self._thread = threading.Thread(target=self._loop.run_forever, name="loop", daemon=True)
        self._thread.start()

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(2 * PATIENCE)

    def call(self, function: Callable[..., Any], *arguments: Any) -> Any:
        async def work() -> Any:
            return function(*arguments)

        return self.run(work())

    def serve(self, *services: Any, limits: Limits = Limits(), **options: Any) -> Any:  # noqa: B008
        async def work() -> aio.Server:
            return await aio.AE("SERVER", limits=limits).serve(0, host="127.0.0.1", services=services, **options)

        server = LoopServer(self, self.run(work()))
        self._servers.append(server)
        return server

    def associate(self, port: int, **options: Any) -> Any:
        async def work() -> aio.Association:
            return await aio.AE("USER").associate("127.0.0.1", port, **options)

        return LoopAssociation(self, self.run(work()))

    def hurry(self, association: Any, **limits: float) -> None:
        link = association._association._link
        link.limits = link.core.limits = link.limits.but(**limits)

    def shift(self, monkeypatch: pytest.MonkeyPatch, seconds: Callable[[], float]) -> bool:
        clock = self._loop.time
        monkeypatch.setattr(self._loop, "time", lambda: clock() + seconds())
        return isinstance(self._loop, asyncio.BaseEventLoop)  # uvloop's timers are the system's

    def close(self) -> None:
        try:
            super().close()
            left = self.run(self._left())
        finally:
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(PATIENCE)
            self._loop.run_until_complete(self._loop.shutdown_default_executor())
            self._loop.close()
        assert not left, left
        assert not self.complaints, self.complaints
        more = descriptors().items() - self._descriptors.items()
        assert not more, more

    async def _left(self) -> list[Any]:
        """Tasks and transports that do not end by themselves."""
        deadline = monotonic() + PATIENCE
        while left := [*(asyncio.all_tasks() - {asyncio.current_task()}), *(sockets() - self._sockets)]:
            if monotonic() > deadline:
                break
            await asyncio.sleep(0.001)
        return left


class LoopServer:
    """A server in a loop, as if it were a blocking one."""

    def __init__(self, driver: LoopDriver, server: aio.Server) -> None:
        self._driver = driver
        self._server = server
        self.port = server.port

    @property
    def association_count(self) -> int:
        return self._server.association_count

    @property
    def connection_count(self) -> int:
        return self._server.connection_count

    @property
    def metrics(self) -> Metrics:
        return self._server.metrics

    def wait(self, timeout: float | None = None) -> bool:
        closed: bool = self._driver.run(self._server.wait(timeout))
        return closed

    def close(self, grace: float = 5.0) -> None:
        self._driver.run(self._server.close(grace))


class LoopAssociation:
    """An association in a loop, as if it were a blocking one."""

    def __init__(self, driver: LoopDriver, association: aio.Association) -> None:
        self._driver = driver
        self._association = association
        self.negotiated = association.negotiated

    @property
    def is_open(self) -> bool:
        return self._association.is_open

    @property
    def cipher(self) -> tuple[str, str] | None:
        return self._association.cipher

    @property
    def metrics(self) -> Metrics:
        return self._association.metrics

    def explain(self) -> str:
        return self._association.explain()

    def c_echo(self, **options: Any) -> int:
        status: int = self._driver.run(self._association.c_echo(**options))
        return status

    def c_store(self, source: Any, **options: Any) -> int:
        status: int = self._driver.run(self._association.c_store(source, **options))
        return status

    def c_store_many(self, sources: Iterable[Any], *, window: int = 1) -> list[StoreResult]:
        async def work() -> list[StoreResult]:
            return [result async for result in self._association.c_store_many(sources, window=window)]

        results: list[StoreResult] = self._driver.run(work())
        return results

    def c_find(self, *arguments: Any, **options: Any) -> LoopResponses:
        return LoopResponses(self._driver, self._association.c_find(*arguments, **options))

    def c_get(self, *arguments: Any, **options: Any) -> LoopResponses:
        return LoopResponses(self._driver, self._association.c_get(*arguments, **options))

    def c_move(self, *arguments: Any, **options: Any) -> LoopResponses:
        return LoopResponses(self._driver, self._association.c_move(*arguments, **options))

    def n_get(self, *arguments: Any, **options: Any) -> Any:
        return self._driver.run(_settled(self._association.n_get(*arguments, **options)))

    def n_set(self, *arguments: Any, **options: Any) -> Any:
        return self._driver.run(_settled(self._association.n_set(*arguments, **options)))

    def n_action(self, *arguments: Any, **options: Any) -> Any:
        return self._driver.run(_settled(self._association.n_action(*arguments, **options)))

    def n_create(self, *arguments: Any, **options: Any) -> Any:
        return self._driver.run(_settled(self._association.n_create(*arguments, **options)))

    def perform(self, user: User) -> Any:
        return self._driver.run(self._association.perform(user))

    def wait(self, timeout: float) -> bool:
        stands: bool = self._driver.run(self._association.wait(timeout))
        return stands

    def release(self) -> None:
        self._driver.run(self._association.release())

    def abort(self) -> None:
        self._driver.run(self._association.abort())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._driver.run(self._association.__aexit__(kind, error, trace))


async def _settled(outcome: Awaitable[Any]) -> Any:
    return await outcome


class LoopResponses:
    """Responses in a loop, as if they came from a blocking iterator."""

    def __init__(self, driver: LoopDriver, responses: Any) -> None:
        self._driver = driver
        self._responses = responses

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Any:
        async def step() -> tuple[Any, ...]:
            try:
                return (await anext(self._responses),)
            except StopAsyncIteration:
                return ()

        found = self._driver.run(step())
        if not found:
            raise StopIteration
        return found[0]

    def close(self) -> None:
        self._driver.run(self._responses.aclose())


def new_loop(kind: str) -> asyncio.AbstractEventLoop:
    """A fresh loop; one that is not installed fails in CI and is passed over elsewhere."""
    if kind == "asyncio":
        return asyncio.new_event_loop()
    if os.environ.get("CI"):
        import uvloop
    else:
        uvloop = pytest.importorskip("uvloop", reason="uvloop is not installed")
    loop: asyncio.AbstractEventLoop = uvloop.new_event_loop()
    return loop


def sockets() -> set[str]:
    return {what for what in descriptors().values() if what.startswith("socket:")}


def descriptors() -> dict[str, str]:
    """Those that the process has open, and what they are, where that can be seen."""
    found: dict[str, str] = {}
    folder = "/proc/self/fd"
    for name in os.listdir(folder) if os.path.isdir(folder) else ():
        with suppress(FileNotFoundError):  # that of the listing itself
            found[name] = os.readlink(os.path.join(folder, name))
    return found
