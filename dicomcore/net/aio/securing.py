"""TLS on the transports of event loops, which keep to themselves why a handshake failed (RFC 8446 6.2).

asyncio and uvloop drop what OpenSSL has to say when a handshake fails: the alert that tells the peer why. `Securing`
takes the place of a context for one connection and sends it. A server then waits a moment for the peer to close, since
a connection that is closed with bytes unread is reset, and the alert may be lost with it.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from contextlib import suppress
from typing import Any, Final

from dicomcore.net.aio.connection import PARTING
from dicomcore.net.tls import SecuritySettings

__all__ = ["Securing", "is_late", "secured"]

BLOCK: Final = 1 << 16  # bytes that are read and forgotten at a time


class Securing:
    """A context, as far as transports use one, for the connection on ``sock``."""

    __class__: Any = property(lambda _: ssl.SSLContext)  # uvloop looks

    def __init__(self, context: ssl.SSLContext, sock: socket.socket) -> None:
        self._context = context
        self._sock = sock
        self.heard = False  # the peer has said something, perhaps no TLS
        self._spare: socket.socket | None = None  # outlives that of the transport

    def wrap_bio(self, incoming: ssl.MemoryBIO, outgoing: ssl.MemoryBIO, *arguments: Any, **options: Any) -> Any:
        """See `ssl.SSLContext`."""
        inner = self._context.wrap_bio(incoming, outgoing, *arguments, **options)
        return _Handshaking(self, inner, incoming, outgoing)

    def tell(self, alert: bytes) -> None:
        """Send the peer the last word of a handshake that failed."""
        with suppress(OSError):
            self._spare = self._sock.dup()
            self._spare.send(alert)
            self._spare.shutdown(socket.SHUT_WR)

    async def part(self) -> None:
        """Give a peer that was told why a moment to close."""
        if self._spare is None:
            return
        loop = asyncio.get_running_loop()
        with suppress(OSError):  # time-outs are one
            async with asyncio.timeout(PARTING):
                while await loop.sock_recv(self._spare, BLOCK):
                    pass

    def close(self) -> None:
        """Always called after a failure."""
        if self._spare is not None:
            self._spare.close()


def secured(settings: SecuritySettings, sock: socket.socket, timeout: float) -> tuple[Securing, dict[str, Any]]:
    """What loops want to know of TLS, and what to do when it fails. ``timeout``: seconds for the handshake."""
    securing = Securing(settings.context, sock)
    return securing, {"ssl": securing, "ssl_handshake_timeout": timeout, "ssl_shutdown_timeout": PARTING}


def is_late(error: OSError) -> bool:
    """A loop gave a handshake up after its time: an error of Python's alone, without a number of the system's."""
    return isinstance(error, ConnectionAbortedError) and error.errno is None


class _Handshaking:
    """An SSLObject that tells why its handshake fails."""

    def __init__(
        self, securing: Securing, inner: ssl.SSLObject, incoming: ssl.MemoryBIO, outgoing: ssl.MemoryBIO
    ) -> None:
        self._securing = securing
        self._inner = inner
        self._incoming = incoming
        self._outgoing = outgoing
        self.read, self.write = inner.read, inner.write  # asked for with each record

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def do_handshake(self) -> None:
        self._securing.heard = self._securing.heard or self._incoming.pending > 0
        try:
            self._inner.do_handshake()
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            raise
        except ssl.SSLError:
            if alert := self._outgoing.read():
                self._securing.tell(alert)
            raise
