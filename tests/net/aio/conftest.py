"""Loops in debug mode, each for one test, with a reckoning at the end: no task, descriptor or complaint is left."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeAlias

import pytest

from tests.net.behaviour.drivers import descriptors, new_loop
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
            try:
                return await asyncio.wait_for(work, 2 * PATIENCE)
            finally:
                await settled()

        try:
            return loop.run_until_complete(bounded())
        finally:
            loop.run_until_complete(loop.shutdown_default_executor())
            loop.close()
            assert not complaints, complaints
            left = descriptors().items() - before.items()
            assert not left, left

    return run


async def settled() -> None:
    """Every other task has ended, within a moment."""
    for _ in range(100):
        others = asyncio.all_tasks() - {asyncio.current_task()}
        others = {task for task in others if "bounded" not in repr(task)}
        if not others:
            return
        await asyncio.sleep(0.001)
    raise AssertionError(others)
