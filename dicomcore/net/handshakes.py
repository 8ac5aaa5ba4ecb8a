"""TLS handshakes of the blocking server, on threads of their own: keys are slow, and the selector has others to serve.

A handshake goes on whenever something has arrived for it, as far as that takes it, and never waits for the peer: a
stalled one costs a descriptor and a timer. Workers take no part in it, so that providers which are all busy keep
nobody from associating, nor a rush of handshakes the providers from answering.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from dicomcore.limits import Limits
from dicomcore.net.poller import Facilities
from dicomcore.net.provider import ServedConnection
from dicomcore.net.tls import why_no_tls
from dicomcore.net.tls_socket import DEPARTURES
from dicomcore.net.watch import Log, Watch
from dicomcore.net.workers import Worker, WorkerPool

__all__ = ["Handshakes", "tell_failure", "took_too_long"]

log = Log("net")

THREADS = 4  # at the most; OpenSSL computes without the interpreter's lock


def tell_failure(error: OSError, watch: Watch, *, heard: bool) -> None:
    """Tell why a handshake failed. A health check, which connects and closes unheard, is nothing to talk about."""
    reason = why_no_tls(error, watch.peer)
    level = logging.DEBUG if isinstance(error, DEPARTURES) or not heard else logging.INFO
    log.log(level, "%s", reason, extra=watch.extra)
    if heard:
        watch.unsecured(reason)


def took_too_long(limits: Limits) -> TimeoutError:
    """What ends a handshake that the peer does not finish, PS3.8 9.1.5."""
    return TimeoutError(f"it did not finish the handshake within Limits.artim ({limits.artim:g} s)")


class Handshakes:
    """Threads for the handshakes of one server. ``done(connection)`` is called on them after each step."""

    def __init__(self, facilities: Facilities, done: Callable[[ServedConnection], None]) -> None:
        self._done = done
        self._pool = WorkerPool(self._step, THREADS, "dicomcore-handshake", facilities)

    def go_on(self, connection: ServedConnection) -> None:
        """Take a connection over for the next step."""
        connection.lent = True
        self._pool.submit(connection)

    def _step(self, connection: ServedConnection, worker: Worker[ServedConnection]) -> None:
        try:
            connection.sock.handshake()
        except BlockingIOError:
            pass  # the peer's turn
        except OSError as error:  # the next read finds it, too
            tell_failure(error, connection.watcher, heard=connection.sock.heard)
        except BaseException:
            log.exception("the handshake with %s failed", connection.watcher.peer, extra=connection.watcher.extra)
        self._done(connection)

    def close(self, timeout: float) -> bool:
        """Let the threads end; True when all have within ``timeout`` seconds."""
        return self._pool.close(timeout)
