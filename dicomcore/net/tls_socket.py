"""A socket under TLS that looks to a driver like the plain one below it (RFC 8446, PS3.15 annex B).

It never blocks: what TLS cannot go on with is a BlockingIOError, and `TLSSocket.needs` says what to wait for, since a
write may have to read first and a read to write. The handshake is part of the first reads, so that a peer that stalls
it costs a descriptor and a timer. A connection that ends is a lost connection, with close_notify or without: only a
release ends an association in good order.
"""

from __future__ import annotations

import logging
import socket
import ssl
from contextlib import suppress
from time import monotonic
from typing import Any, TypeAlias

from dicomcore.errors import DicomError, PeerTimeout
from dicomcore.net.poller import Facilities, Waiter
from dicomcore.net.tls import SecuritySettings, why_no_tls
from dicomcore.net.watch import Log

__all__ = ["RECORD", "TLSSocket", "Wire", "secure"]

log = Log("net")

RECORD = 16 * 1024  # bytes in a TLS record (RFC 8446 5.1)
DEPARTURES = (ssl.SSLEOFError, ssl.SSLZeroReturnError, ConnectionError)
STREAM = 1024  # a record of so many bytes is part of more, which is read at once


def _close_half_made(error: BaseException) -> None:
    """Close what `ssl` leaves open when a peer resets the connection while its socket is wrapped."""
    trace = error.__traceback__
    while trace is not None:
        if isinstance(owner := trace.tb_frame.f_locals.get("self"), ssl.SSLSocket):
            owner.close()
        trace = trace.tb_next


class TLSSocket:
    """A connected, non-blocking socket under TLS, with those methods of a socket that the drivers use.

    The first reads and writes do the handshake as far as it goes. Not thread-safe.
    """

    def __init__(self, sock: socket.socket, settings: SecuritySettings, *, server_side: bool, peer: Any = "") -> None:
        """Takes the socket over, which is closed by this on failure. OSError when the connection is gone."""
        try:
            sock.getpeername()  # else it would be wrapped without TLS
            self._sock = settings.context.wrap_socket(
                sock,
                server_side=server_side,
                do_handshake_on_connect=False,
                suppress_ragged_eofs=True,
                server_hostname=None if server_side else settings.server_name,
            )
        except BaseException as error:
            _close_half_made(error)
            sock.close()
            if isinstance(error, ValueError):  # a name that is none
                raise OSError(f"no server name {settings.server_name!r}: {error}") from error
            raise
        self._peer = peer
        self._server_side = server_side
        self.open = False  # the handshake is done
        self.short = True  # the last read took all that had arrived
        self.failure: OSError | None = None  # what ended TLS
        self._ended = False
        self._silent = False  # our close_notify is sent
        self._read_waits = False  # a read cannot go on before something is written
        self._write_waits = False  # and the other way round

    def fileno(self) -> int:
        return self._sock.fileno()

    def getpeername(self) -> Any:
        return self._sock.getpeername()

    def version(self) -> str | None:
        """``TLSv1.3``; None before the handshake."""
        return self._sock.version()

    def cipher(self) -> str | None:
        """OpenSSL's name of the cipher suite; None before the handshake."""
        found = self._sock.cipher()
        return found[0] if found else None

    @property
    def refused(self) -> bool:
        """One side broke TLS off, and said why: it did not just leave."""
        return isinstance(self.failure, ssl.SSLError) and not isinstance(self.failure, DEPARTURES)

    @property
    def pending(self) -> bool:
        """There is something to read of which the system knows no more."""
        return self._ended or (self.open and self._sock.pending() > 0)

    def needs(self, read: bool, write: bool) -> tuple[bool, bool]:
        """What the socket has to be ready for, to go on reading and writing."""
        if self._read_waits or self._write_waits:
            return (read and not self._read_waits) or (write and self._write_waits), (
                write and not self._write_waits
            ) or (read and self._read_waits)
        return read, write

    def handshake(self) -> None:
        """Go on with the handshake; BlockingIOError when that has to wait, another OSError when it failed."""
        try:
            self._sock.do_handshake()
        except ssl.SSLWantReadError:
            self._read_waits, self._write_waits = False, True
            raise BlockingIOError from None
        except ssl.SSLWantWriteError:
            self._read_waits, self._write_waits = True, False
            raise BlockingIOError from None
        except (OSError, ValueError) as error:
            failure = error if isinstance(error, OSError) else OSError(str(error))
            self._fail(failure)
            if failure is error:
                raise
            raise failure from error
        self._read_waits = self._write_waits = False
        self.open = True

    def _fail(self, error: OSError) -> None:
        if self.failure is None:
            self.failure = error
            if self._server_side and not self.open:
                # A health check, which connects and closes, is nothing to talk about.
                quiet = isinstance(error, DEPARTURES)
                log.log(logging.DEBUG if quiet else logging.INFO, "%s", why_no_tls(error, str(self._peer)))

    def recv_into(self, view: memoryview) -> int:
        """Fill as much as has arrived. 0: the peer closed. BlockingIOError when there is nothing now."""
        if not self.open:
            self.handshake()
        read = self._sock.read  # one record at a time
        total, room = 0, len(view)
        self._read_waits = False
        self.short = False
        try:
            while True:
                count: int = read(room - total, view[total:] if total else view)  # type: ignore[assignment]
                total += count
                if total == room:
                    return total  # there may be more
                if count < STREAM:
                    if count:
                        self.short = True  # a record was read whole, and another is not expected
                    else:
                        self._ended = True
                    return total
        except ssl.SSLWantReadError:
            self.short = True
        except ssl.SSLWantWriteError:
            self._read_waits = True
        except OSError as error:
            self._fail(error)
            self._ended = True
            if not total:
                raise
        if not total:
            raise BlockingIOError
        return total

    def send(self, data: bytes | bytearray | memoryview) -> int:
        """All of it is sent, or BlockingIOError: then the same has to be sent again."""
        if not self.open:
            self.handshake()
        self._write_waits = False
        try:
            return self._sock.send(data)
        except ssl.SSLWantWriteError:
            raise BlockingIOError from None
        except ssl.SSLWantReadError:
            self._write_waits = True
            raise BlockingIOError from None
        except OSError as error:
            self._fail(error)
            raise

    def recv(self, count: int) -> bytes:
        """What arrives after our last word, not decrypted: it is only to be read, and forgotten."""
        return socket.socket.recv(self._sock, count)

    def shutdown(self, how: int) -> None:
        """Tell the peer by close_notify that nothing more comes, as far as the socket takes it, and close."""
        if how == socket.SHUT_WR:
            self._say_goodbye()
        # That of SSLSocket would forget the keys: who still reads would get what is encrypted.
        socket.socket.shutdown(self._sock, how)

    def close(self) -> None:
        self._say_goodbye()
        self._sock.close()

    def _say_goodbye(self) -> None:
        if self.open and not self._silent and self.failure is None:
            self._silent = True
            with suppress(OSError, ValueError):  # the peer's close_notify is not waited for
                self._sock.unwrap()


Wire: TypeAlias = socket.socket | TLSSocket
"""What an association runs over."""


def secure(
    sock: socket.socket, settings: SecuritySettings, peer: str, deadline: float, facilities: Facilities
) -> TLSSocket:
    """The client's handshake over a connected socket, until ``deadline``. NegotiationError, PeerTimeout: why not."""
    try:
        wire = TLSSocket(sock, settings, server_side=False)
    except OSError as error:
        raise why_no_tls(error, peer) from error
    try:
        waiter = Waiter(facilities)
        while True:
            try:
                wire.handshake()
                return wire
            except BlockingIOError:
                read, write = wire.needs(True, True)
                left = deadline - monotonic()
                if left <= 0 or not waiter.wait(wire.fileno(), read=read, write=write, timeout=left):
                    raise PeerTimeout(f"{peer} did not finish the TLS handshake in time") from None
    except BaseException as error:
        wire.close()
        if isinstance(error, OSError) and not isinstance(error, DicomError):
            raise why_no_tls(error, peer) from error
        raise
