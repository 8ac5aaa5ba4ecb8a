"""What a blocking driver does for a provider: the effects that take time, each in the thread that runs the provider."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from inspect import iscoroutine
from typing import Any, Protocol

from dicomcore.errors import DicomError, LocalProtocolError
from dicomcore.net.operation import Operation
from dicomcore.net.operations import DriverEffect
from dicomcore.net.watch import Log
from dicomcore.services.base import Associate, At, Call, Perform, ServiceProvider, User

__all__ = ["BlockingChannel", "Effects", "refuse_coroutines"]

log = Log("net")


class BlockingChannel(Protocol):
    """An association of the blocking driver."""

    def perform(self, user: User) -> Any: ...
    def release(self) -> None: ...
    def abort(self) -> None: ...


class Effects:
    """Performs `Call`, `Associate`, `Perform` and `At`.

    ``associate(host, port, **options)`` opens a channel; ``later(delay, work)`` has work done after a while.
    """

    def __init__(
        self,
        associate: Callable[..., BlockingChannel],
        later: Callable[[float, Callable[[], Any]], None] | None = None,
    ) -> None:
        self._associate = associate
        self._later = later

    def perform(self, operation: Operation, effect: DriverEffect) -> None:
        """Do it, and leave the outcome with the operation."""
        try:
            operation.value = self._outcome(effect, operation.channels)
        except Exception as error:
            operation.failure = error

    def close(self, operation: Operation, *, abort: bool) -> None:
        """Release, or abort, what was opened for an operation that is over."""
        _close(operation.channels, abort)

    def run(self, work: Callable[[], Generator[Any, Any, None]]) -> None:
        """Run the work of an `At` to its end."""
        channels: list[BlockingChannel] = []
        value: Any = None
        failure: Exception | None = None
        failed = True
        try:
            generator = work()
            while True:
                effect = generator.send(value) if failure is None else generator.throw(failure)
                value = failure = None
                try:
                    value = self._outcome(effect, channels)
                except Exception as error:
                    failure = error
        except StopIteration:
            failed = False
        except Exception as error:
            log.warning("work that was put off failed: %s", error, exc_info=error)
        finally:
            _close(channels, failed)

    def _outcome(self, effect: DriverEffect, channels: list[Any]) -> Any:
        if type(effect) is Call:
            outcome = effect.fn(*effect.args)
            if outcome is not None and iscoroutine(outcome):
                outcome.close()
                raise LocalProtocolError(f"{effect.fn!r} is a coroutine function", hint="these are for dicomcore.aio")
            return outcome
        if type(effect) is Associate:
            channel = self._associate(effect.host, effect.port, **effect.options)
            channels.append(channel)
            return channel
        if type(effect) is Perform and effect.channel is not None:
            opened: Any = effect.channel
            return opened.perform(effect.user)
        if type(effect) is At and self._later is not None:
            return self._later(effect.delay, effect.work)
        raise LocalProtocolError(
            f"{type(effect).__name__} cannot be performed here", hint="coroutines are for dicomcore.aio, At for servers"
        )


def refuse_coroutines(services: Iterable[ServiceProvider]) -> None:
    """LocalProtocolError for a service that only the asyncio driver can run."""
    for service in services:
        if getattr(service, "coroutines", False):
            raise LocalProtocolError(f"{type(service).__name__} uses coroutines", hint="serve it with dicomcore.aio.AE")


def _close(channels: list[Any], abort: bool) -> None:
    for channel in channels:
        try:
            if abort:
                channel.abort()
            else:
                channel.release()
        except DicomError as error:
            log.info("a channel of a provider: %s", error)
    channels.clear()
