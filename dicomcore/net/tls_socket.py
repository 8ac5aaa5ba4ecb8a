"""A socket under TLS that looks to a driver like the plain one below it (RFC 8446, PS3.15 annex B).

OpenSSL works in memory here, and several records at a time pass between it and the socket: left to itself it makes two
system calls for each record that it reads, and one for each that it writes.

It never blocks: what TLS cannot go on with is a BlockingIOError, and `TLSSocket.needs` says what to wait for, since a
write may have to read first and a read to write. The handshake goes on whenever something has arrived, by `handshake`
or by the first reads, so that a peer that stalls it costs a descriptor and a timer. A connection that ends is a lost
connection, with close_notify or without: only a release ends an association in good order.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable
from contextlib import suppress
from time import monotonic
from typing import Any, TypeAlias

from dicomcore.errors import DicomError, PeerTimeout
from dicomcore.net.poller import Facilities, Waiter
from dicomcore.net.tls import SecuritySettings, why_no_tls

__all__ = ["DEPARTURES", "RECORD", "TLSSocket", "Wire", "secure"]

RECORD = 16 * 1024  # bytes in a TLS record (RFC 8446 5.1)
DEPARTURES = (ssl.SSLEOFError, ssl.SSLZeroReturnError, ConnectionError)  # the peer just left
BATCH = 64 * 1024  # bytes that pass between the socket and OpenSSL at a time
EMPTY = memoryview(b"")
CRUMB = 1024  # bytes for which no read is worth while


class TLSSocket:
    """A connected, non-blocking socket under TLS, with those methods of a socket that the drivers use.

    The first reads and writes do the handshake as far as it goes. Not thread-safe.
    """

    def __init__(self, sock: socket.socket, settings: SecuritySettings, *, server_side: bool) -> None:
        """Takes the socket over, which is closed by this on failure. OSError when the connection is gone."""
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        try:
            sock.getpeername()
            self._tls = settings.context.wrap_bio(
                self._incoming,
                self._outgoing,
                server_side=server_side,
                server_hostname=None if server_side else settings.server_name,
            )
        except BaseException as error:
            sock.close()
            if isinstance(error, ValueError):  # a name that is none
                raise OSError(f"no server name {settings.server_name!r}: {error}") from error
            raise
        self._sock = sock
        self.open = False  # the handshake is done
        self.heard = False  # the peer has said something, perhaps no TLS
        self.short = True  # the last read took all that had arrived
        self.failure: OSError | None = None  # what ended TLS
        self._ended = False
        self._silent = False  # our close_notify is sent
        self._sealed = EMPTY  # encrypted, and still to be sent
        self._owed = 0  # bytes of the caller's in there: told as sent when they are
        self._write_waits = False  # a write cannot go on before something is read

    def fileno(self) -> int:
        return self._sock.fileno()

    def getpeername(self) -> Any:
        return self._sock.getpeername()

    def setsockopt(self, level: int, option: int, value: int) -> None:
        self._sock.setsockopt(level, option, value)

    def version(self) -> str | None:
        """``TLSv1.3``; None before the handshake."""
        return self._tls.version()

    def cipher(self) -> str | None:
        """OpenSSL's name of the cipher suite; None before the handshake."""
        found = self._tls.cipher()
        return found[0] if found else None

    @property
    def refused(self) -> bool:
        """One side broke TLS off, and said why: it did not just leave."""
        return isinstance(self.failure, ssl.SSLError) and not isinstance(self.failure, DEPARTURES)

    @property
    def pending(self) -> bool:
        """There is something to read of which the system knows no more."""
        if self._ended or self.failure is not None:
            return True
        return self.open and not self._crammed and (self._incoming.pending > 0 or self._tls.pending() > 0)

    @property
    def _crammed(self) -> bool:
        """The peer makes us answer, and takes no answers: it is not read before it does."""
        return self._outgoing.pending > RECORD

    def needs(self, read: bool, write: bool) -> tuple[bool, bool]:
        """What the socket has to be ready for, to go on reading and writing."""
        unsent = bool(self._sealed) or self._outgoing.pending > 0
        if not self.open or self._write_waits:
            return read or write, (read or write) and unsent
        return read and not self._crammed, write or (read and unsent)

    def handshake(self) -> None:
        """Go on with the handshake; BlockingIOError when that has to wait, another OSError when it failed."""
        if self.failure is not None:
            raise self.failure
        try:
            while True:
                try:
                    self._tls.do_handshake()
                    break
                except ssl.SSLWantReadError:
                    if not self._push() or not self._fill(memoryview(bytearray(RECORD))):
                        raise BlockingIOError from None
                    self.heard = self.heard or self._incoming.pending > 0
            self._push()
        except BlockingIOError:
            raise
        except (OSError, ValueError) as error:
            with suppress(OSError):
                self._push()  # the alert
            failure = error if isinstance(error, OSError) else OSError(str(error))
            self._fail(failure)
            if failure is error:
                raise
            raise failure from error
        self.open = True

    def _push(self) -> bool:
        """Send what is encrypted; True when all of it is gone."""
        while self._sealed or self._outgoing.pending:
            if not self._sealed:
                self._sealed = memoryview(self._outgoing.read())
            try:
                sent = self._sock.send(self._sealed)
            except (BlockingIOError, InterruptedError):
                return False
            except OSError:  # nobody is to wait until the socket takes that
                self._sealed = EMPTY
                self._outgoing.read()
                raise
            self._sealed = self._sealed[sent:]
        return True

    def _fill(self, room: memoryview) -> int:
        """Hand OpenSSL what has arrived, or its end, by way of ``room``; how much, 0: there is nothing now."""
        try:
            count = self._sock.recv_into(room)
        except (BlockingIOError, InterruptedError):
            return 0
        if count:
            return self._incoming.write(room[:count])
        self._incoming.write_eof()
        return len(room)

    def _fail(self, error: OSError) -> None:
        if self.failure is None:
            self.failure = error

    def recv_into(self, view: memoryview) -> int:
        """Fill as much as has arrived. 0: the peer closed. BlockingIOError when there is nothing now."""
        if not self.open:
            self.handshake()
        if self._ended:
            return 0
        read: Callable[[int, memoryview], Any] = self._tls.read  # a number, as it fills a buffer
        incoming = self._incoming
        total, room = 0, len(view)
        self.short = self._write_waits = False
        try:
            if not self._owed:
                self._push()  # what TLS itself has to say
            while total < room:
                if self._crammed:
                    break
                rest = view[total:] if total else view
                if not (incoming.pending or self._tls.pending()):
                    if self.short or (total and len(rest) < CRUMB):
                        break
                    # What is encrypted lies for a moment where it will lie decrypted.
                    place = rest[:BATCH] if len(rest) >= CRUMB else memoryview(bytearray(CRUMB))
                    self.short = (count := self._fill(place)) < len(place)
                    if not count:
                        break
                try:
                    count = read(len(rest), rest)
                except ssl.SSLWantReadError:
                    continue  # a record has arrived in part
                if not count:
                    self._ended = True
                    return total
                total += count
        except ssl.SSLEOFError:  # without close_notify
            self._ended = True
            return total
        except OSError as error:
            self._fail(error)
            self._ended = True
            with suppress(OSError):
                self._push()  # the alert
            if not total:
                raise
        if not total:
            raise BlockingIOError
        return total

    def send(self, data: bytes | bytearray | memoryview) -> int:
        """How much from the front is sent, or BlockingIOError: then the same has to be sent again."""
        if not self.open:
            self.handshake()
        try:
            if not self._owed:
                part = data if len(data) < BATCH + RECORD else memoryview(data)[:BATCH]  # no crumbs
                self._owed = self._tls.write(part)
            if not self._push():
                raise BlockingIOError
        except ssl.SSLWantReadError:
            self._write_waits = True
            self._push()
            raise BlockingIOError from None
        except BlockingIOError:
            raise
        except OSError as error:
            self._fail(error)
            raise
        sent, self._owed = self._owed, 0
        return sent

    def recv(self, count: int) -> bytes:
        """What arrives after our last word, not decrypted: it is only to be read, and forgotten."""
        return self._sock.recv(count)

    def shutdown(self, how: int) -> None:
        """Tell the peer by close_notify that nothing more comes, as far as the socket takes it, and close."""
        if how == socket.SHUT_WR:
            self._say_goodbye()
        self._sock.shutdown(how)

    def close(self) -> None:
        self._say_goodbye()
        self._sock.close()

    def _say_goodbye(self) -> None:
        if self.open and not self._silent and self.failure is None:
            self._silent = True
            with suppress(ssl.SSLError, ValueError):  # the peer's close_notify is not waited for
                self._tls.unwrap()
            with suppress(OSError):
                self._push()


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
