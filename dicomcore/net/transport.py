"""TCP as DICOM needs it (PS3.8 9.1.4): connecting and listening with deadlines, and sending without ever blocking.

`Outbox` writes what an upper-layer core has framed: a small message is one piece, headers and larger bodies leave in
one gathered system call, never joined in memory, and a body that lies in a file is read block by block into one buffer
that is used again and again. TCP_NODELAY is always on: a DICOM peer waits for the end of a message, so holding back its
last segment only ever costs time. Under TLS there is no gathered call: `RecordOutbox` fills records instead.

An address is "host:port", with the brackets of RFC 3986 around IPv6: "[::1]:104", "[fe80::1%eth0]:104".
"""

from __future__ import annotations

import errno
import os
import socket
import sys
from collections.abc import Sequence
from contextlib import suppress
from functools import cache, cached_property
from time import monotonic
from typing import Any, cast

from dicomcore.encoding.source import FileSlice
from dicomcore.errors import DicomError, LocalProtocolError, NegotiationError, PeerTimeout, SourceChanged
from dicomcore.net.poller import Facilities
from dicomcore.net.tls_socket import RECORD, Wire
from dicomcore.ul import Association, Segment, Slice, Stretch

__all__ = [
    "Outbox",
    "RecordOutbox",
    "bare_host",
    "connect",
    "join_address",
    "listen",
    "no_address",
    "no_connection",
    "read_slice",
    "split_address",
    "tune",
]

INHERITED = sys.platform == "linux"  # a connection has the options of the socket that accepted it
KiB = 1024
BATCH = 256 * KiB  # bytes framed and read from a file at a time: fits the second-level cache
FIRST_BATCH = 64 * KiB
MANY = 512  # buffers in one gathered write; IOV_MAX is 1,024 or more everywhere


def split_address(text: str) -> tuple[str, int]:
    """Host and port of "host:port"; the host of an IPv6 address without its brackets, with its scope."""
    host, _, port = text.strip().rpartition(":")
    bracketed = host.startswith("[") and host.endswith("]")
    bare = host[1:-1] if bracketed else host
    if not bare or "[" in bare or "]" in bare or not port.isdecimal() or (":" in bare) != bracketed:
        raise LocalProtocolError(f"{text!r} is no address", hint='an address is "host:port" or "[IPv6 address]:port"')
    return bare, int(port)


def join_address(host: str, port: int) -> str:
    """The other way round."""
    return f"[{host.strip('[]')}]:{port}" if isinstance(host, str) and ":" in host else f"{host}:{port}"


def bare_host(host: object, port: object) -> str:
    """The host, without the brackets of an IPv6 address. NegotiationError for what cannot be connected to."""
    if not isinstance(host, str) or not host:
        raise NegotiationError(f"no host {host!r}", hint="a name or an address, such as 127.0.0.1")
    if not isinstance(port, int) or not 0 < port <= 0xFFFF:  # the system would take it modulo 65,536
        raise NegotiationError(f"no port {port!r}", hint="a port is a number from 1 to 65535")
    return host[1:-1] if host.startswith("[") and host.endswith("]") else host


def no_address(where: str, error: OSError | UnicodeError) -> NegotiationError:
    """A host that nobody knows; a name with an empty or overlong label is not even looked up."""
    return NegotiationError(f"no address for {where}: {getattr(error, 'strerror', None) or error}")


def no_connection(where: str, timeout: float, failure: OSError | None) -> DicomError:
    """Why there is no connection, by what the last address of a host came to."""
    if isinstance(failure, TimeoutError):
        return PeerTimeout(f"no connection to {where} within {timeout:g} s")
    number = failure.errno if failure is not None else None
    reason = os.strerror(number) if number else str(failure)  # event loops have words of their own
    return NegotiationError(f"no connection to {where}: {reason}", hint="is the server running there?")


def tune(sock: socket.socket, *, accepted: bool = False) -> None:
    """What every connection gets: no delay, no blocking, and a probe that finds a dead peer behind a silent network.

    One that was ``accepted`` from a socket of `listen` has some of that from there.
    """
    if not (accepted and INHERITED):
        _set_options(sock)
    sock.setblocking(False)


def _set_options(sock: socket.socket) -> None:
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)


def connect(host: str, port: int, timeout: float) -> socket.socket:
    """Connect within `timeout` seconds over all addresses of `host`. NegotiationError or PeerTimeout says why not."""
    deadline = monotonic() + timeout
    host = bare_host(host, port)
    where = join_address(host, port)
    # As bytes it passes by the codec of international names, whose tables take milliseconds to load.
    name = host.encode() if host.isascii() and host.isprintable() else host
    try:
        addresses = socket.getaddrinfo(name, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise no_address(where, error) from error
    failure: OSError | None = None
    for family, kind, protocol, _, address in addresses:
        sock = socket.socket(family, kind, protocol)
        try:
            sock.settimeout(max(0.001, deadline - monotonic()))
            sock.connect(address)
            tune(sock)
        except OSError as error:
            sock.close()
            failure = error
        except BaseException:
            sock.close()
            raise
        else:
            return sock
    raise no_connection(where, timeout, failure) from failure


class _Listener(socket.socket):
    """Knows its family and type: `accept` asks for both each time, and the system's numbers become enums each time."""

    @cached_property
    def family(self) -> socket.AddressFamily:
        return super().family

    @cached_property
    def type(self) -> socket.SocketKind:
        return super().type


def listen(host: str, port: int, backlog: int = 1024) -> list[socket.socket]:
    """Listening sockets, non-blocking, one for each address of `host`; "" listens on every interface, IPv4 and IPv6."""
    if not isinstance(port, int) or not 0 <= port <= 0xFFFF:
        raise LocalProtocolError(f"no port {port!r}", hint="a number from 1 to 65535, or 0 for one that is free")
    try:
        found = socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except UnicodeError as error:  # a label that is empty or too long is not even looked up
        raise OSError(errno.EINVAL, f"no address {host!r}: {error}") from error
    # IPv4 first, so that a port of 0 is chosen there and IPv6 follows it.
    addresses = sorted({(row[0], row[4]) for row in found}, key=lambda row: row[0] != socket.AF_INET)
    sockets: list[socket.socket] = []
    try:
        for family, address in addresses:
            try:
                sock = _Listener(family, socket.SOCK_STREAM)
            except OSError:
                if sockets or len(addresses) == 1:
                    continue  # a machine without IPv6
                raise
            sockets.append(sock)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            chosen = port or (sockets[0].getsockname()[1] if len(sockets) > 1 else 0)
            sock.bind((address[0], chosen, *address[2:]))
            _set_options(sock)
            sock.listen(backlog)
            sock.setblocking(False)
    except BaseException as error:
        for opened in sockets:
            opened.close()
        error.add_note(f"listening on {join_address(host or '*', port)}")
        raise
    return sockets


class Outbox:
    """What one association still has to write. `flush` writes as much as the socket takes and never blocks."""

    def __init__(self, core: Association, facilities: Facilities) -> None:
        self._core = core
        self._queue = core.queue  # looked at so often that a call would count
        self._gather = facilities.sendmsg
        self._views: list[bytes | memoryview] = []
        self._buffer: bytearray | None = None
        self._ahead: tuple[Stretch, int, int] | None = None  # what `_buffer` begins with already, as `_frame` tells it
        self._pump = load_pump() if facilities.pump else None
        self._sent = 0  # bytes that the socket took, in all

    @property
    def held_length(self) -> int:
        """Bytes in memory that wait, here or in the core; what is still to be read from a file is not among them."""
        core = self._core
        return core.waiting_length + core.sent_length - self._sent

    @property
    def empty(self) -> bool:
        """Nothing waits here or in the core."""
        return not (self._views or self._queue)

    def release_memory(self) -> None:
        """Give the read buffer back; an idle association holds none."""
        if not self._views:
            self._buffer = self._ahead = None

    def read_ahead(self, context_id: int, payload: Any) -> None:
        """While there is nothing else to do: frame the beginning of a data set that is perhaps sent next."""
        self._ahead = None
        size = self._core.fragment_length
        if self._pump is None or type(payload) is not FileSlice or not self.empty:
            return
        stretch = Stretch(payload, 0, len(payload), size, context_id, 0, True)
        with suppress(SourceChanged):  # whoever sends it finds that again
            self._ahead = stretch, *self._frame(stretch, FIRST_BATCH)

    def flush(self, sock: Wire) -> bool:
        """True when all is written, False when the socket takes no more now. OSError when it is broken."""
        queue = self._queue
        batch = FIRST_BATCH  # the peer is to have something to do while the next is read
        while True:
            views = self._views
            if not views:
                if not queue:
                    return True
                views = self._views = self._next(batch)
                batch = BATCH
            try:
                sent = sock.send(views[0]) if len(views) == 1 else self._put(sock, views)
            except (BlockingIOError, InterruptedError):
                return False
            self._sent += sent
            if len(views) == 1 and sent == len(views[0]):
                views.clear()
            else:
                self._drop(sent)

    def _put(self, sock: Any, views: list[bytes | memoryview]) -> int:
        """Send from the front of several; how much."""
        if not self._gather:
            return int(sock.send(views[0]))
        return int(sock.sendmsg(views if len(views) <= MANY else views[:MANY]))

    def _drop(self, sent: int) -> None:
        views = self._views
        for position, view in enumerate(views):
            if sent < len(view):
                views[position] = memoryview(view)[sent:]
                del views[:position]
                return
            sent -= len(view)
        views.clear()

    def _next(self, batch: int) -> list[bytes | memoryview]:
        """Whole PDUs, at least one; a body that lies in a file is framed in the buffer while it is read."""
        core = self._core
        ahead, self._ahead = self._ahead, None
        if self._pump is None:
            return self._load(core.segments(batch))
        views = cast("list[bytes | memoryview]", core.segments(batch, slices=False))
        if views and not self._queue:
            return views
        stretch = core.stretch()
        if stretch is None or type(stretch.payload) is not FileSlice:
            return views or self._load(core.segments(batch))
        if ahead is not None and ahead[0] == stretch:
            _, reached, used = ahead
        else:
            reached, used = self._frame(stretch, batch)
        core.framed(reached, used)
        views.append(memoryview(self._buffer)[:used])  # type: ignore[arg-type]
        return views

    def _frame(self, stretch: Stretch, batch: int) -> tuple[int, int]:
        """Read PDUs of a file's stretch into the buffer: the position reached, and their length. Or SourceChanged."""
        payload, position, stop, size, *headers = stretch
        file: Any = payload
        pump: Any = self._pump
        room = max(batch, size + pump.HEADER)
        if self._buffer is None or len(self._buffer) < room:
            self._buffer = bytearray(max(room, BATCH + pump.HEADER * MANY))
        try:
            error, reached, used = pump.frame(
                file.fileno(), file.offset, position, stop, size, *headers, self._buffer, batch
            )
            if error:
                raise OSError(error, os.strerror(error))
        except OSError as error:
            raise SourceChanged(f"a file could not be read while it was sent: {error}") from error
        if reached == position:
            raise SourceChanged("a file has become shorter while it was sent", hint="its owner wrote to it")
        return reached, used

    def _load(self, parts: Sequence[Segment]) -> list[bytes | memoryview]:
        """Parts as views; what lies in a file is read into the buffer that the last batch used."""
        views, reads = self._lay_out(parts)
        for run, target in reads:
            read_slice(run, target)
        return views

    def _lay_out(self, parts: Sequence[Segment]) -> tuple[list[bytes | memoryview], Sequence[tuple[Slice, memoryview]]]:
        """Parts as views, and what is to be read before they can be sent: each run of one file with one call."""
        total = 0
        ready: list[bytes | memoryview] = []
        for part in parts:
            if isinstance(part, Slice):
                total += part.stop - part.start
            else:
                ready.append(part)
        if not total:
            return ready, ()
        if self._buffer is None or len(self._buffer) < total:
            self._buffer = bytearray(max(total, BATCH))
        target = memoryview(self._buffer)
        views: list[bytes | memoryview] = []
        reads: list[tuple[Slice, memoryview]] = []
        used = 0
        run: Slice | None = None  # from here on the file is read in one piece
        run_at = run_stop = 0
        for part in parts:
            if not isinstance(part, Slice):
                views.append(part)
                continue
            if run is None or part.payload is not run.payload or part.start != run_stop:
                if run is not None:
                    reads.append((run, target[run_at:used]))
                run, run_at = part, used
            run_stop = part.stop
            length = part.stop - part.start
            views.append(target[used : used + length])
            used += length
        if run is not None:
            reads.append((run, target[run_at:used]))
        return views, reads


class RecordOutbox(Outbox):
    """An outbox for TLS: headers and the ends of bodies fill records in a small buffer, the rest is sent from where it
    lies. What could not be sent is put together the same way again, as TLS wants it."""

    def __init__(self, core: Association, facilities: Facilities) -> None:
        super().__init__(core, facilities)
        self._record: bytearray | None = None

    def release_memory(self) -> None:
        super().release_memory()
        if not self._views:
            self._record = None

    def _put(self, sock: Any, views: list[bytes | memoryview]) -> int:
        first = views[0]
        if whole := len(first) // RECORD * RECORD:
            return int(sock.send(memoryview(first)[:whole]))
        if self._record is None:
            self._record = bytearray(RECORD)
        record, used = self._record, 0
        for view in views:
            stop = used + len(view)
            if stop > RECORD:
                record[used:] = memoryview(view)[: RECORD - used]
                used = RECORD
                break
            record[used:stop] = view
            used = stop
        return int(sock.send(memoryview(record)[:used]))


@cache
def load_pump() -> Any:
    """The compiled data path. ImportError where the platform has none: see `Facilities.pump`."""
    from dicomcore._core import pump

    return pump


def read_slice(run: Slice, target: memoryview) -> None:
    """Fill `target` from where a run begins in its payload."""
    payload: Any = run.payload  # a FileSlice, or anything else with ``read(start, stop)``
    try:
        if isinstance(payload, FileSlice):
            payload.read_into(run.start, target)
        else:
            target[:] = payload.read(run.start, run.start + len(target))
    except (OSError, ValueError) as error:
        if isinstance(error, DicomError):
            raise
        raise SourceChanged(f"a file could not be read while it was sent: {error}") from error
