"""What providers yield, performed for an event loop: calls where the provider runs, everything else in the loop."""

from __future__ import annotations

from collections.abc import Callable
from inspect import isawaitable
from typing import Any

from dicomcore.errors import DicomError, LocalProtocolError
from dicomcore.net.operation import Operation
from dicomcore.net.operations import Operations
from dicomcore.net.watch import Log
from dicomcore.services.base import Associate, At, Await, Call, Perform, is_coroutine_function

__all__ = ["close_channels", "outcome", "run"]

log = Log("net")


def run(operations: Operations, operation: Operation) -> tuple[Any, BaseException | None]:
    """Advance an operation until it waits or is over, or wants something that only the loop can do."""
    advance = operations.advance
    try:
        while (effect := advance(operation)) is not None:
            if type(effect) is not Call or is_coroutine_function(effect.fn):
                return effect, None
            try:
                value = effect.fn(*effect.args)
            except Exception as error:
                operation.failure = error
            else:
                if isawaitable(value):
                    return value, None
                operation.value = value
    except BaseException as error:
        return None, error
    return None, None


async def outcome(
    effect: Any,
    channels: list[Any],
    associate: Callable[..., Any],
    later: Callable[[float, Callable[[], Any]], None] | None,
) -> Any:
    """Perform an effect in the loop."""
    kind = type(effect)
    if kind is Await or kind is Call:
        return await effect.fn(*effect.args)
    if kind is Associate:
        channel = await associate(effect.host, effect.port, **effect.options)
        channels.append(channel)
        return channel
    if kind is Perform and effect.channel is not None:
        return await effect.channel.perform(effect.user)
    if kind is At and later is not None:
        return later(effect.delay, effect.work)
    if isawaitable(effect):
        return await effect
    raise LocalProtocolError(f"{kind.__name__} cannot be performed here", hint="At is for servers")


async def close_channels(channels: list[Any], *, abort: bool) -> None:
    """Release what was opened for an operation that is over."""
    try:
        while channels:
            channel = channels.pop()
            try:
                await (channel.abort() if abort else channel.release())
            except DicomError as error:
                log.info("a channel of a provider: %s", error)
    finally:
        for channel in channels:  # nobody waits any more
            channel._break_off("its provider has ended")
