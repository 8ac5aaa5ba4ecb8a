"""Loops in debug mode, each for one test, with a reckoning at the end: no task, descriptor or complaint is left."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from time import monotonic
from typing import Any, TypeAlias

import pytest

from tests.net.behaviour.drivers import descriptors, new_loop, sockets
from tests.net.conftest import PATIENCE

Run: TypeAlias = Callable[[Coroutine[Any, Any, Any]], Any]


@pytest.fixture(params=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Run:
    """``run(coroutine)`` is its result."""
    new_loop(request.param).close()  # the first one of a kind keeps descriptors of its own

    def run(work: Coroutine[Any, Any, Any]) -> Any:
        before = descriptors()
        complaints: list[Any] = []
        loop = new_loop(request.param)
        loop.set_debug(True)
        loop.slow_callback_duration = PATIENCE
        loop.set_exception_handler(lambda loop, context: complaints.append(context))

        async def bounded() -> Any:
            inside = sockets()
            try:
                return await asyncio.wait_for(work, 2 * PATIENCE)
            finally:
                await settled(inside)

        try:
            return loop.run_until_complete(bounded())
        finally:
            loop.run_until_complete(loop.shutdown_default_executor())
            loop.close()
            assert not complaints, complaints
            left = descriptors().items() - before.items()
            assert not left, left

    return run


async def settled(before: set[str]) -> None:
    """Every other task has ended, and the transports are closed: by themselves, though not at once."""
    deadline = monotonic() + PATIENCE
    while (others := asyncio.all_tasks() - {asyncio.current_task()}) or sockets() - before:
        assert monotonic() < deadline, (others, sockets() - before)
        await asyncio.sleep(0.001)
