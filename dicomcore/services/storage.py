"""The provider of Storage (PS3.4 Annex B, GG): C-STORE answered, without ever holding an object in memory.

The first bytes are looked at: SOP Class and Instance UID must be those of the command, else A900. Then a sink of the
`InstanceStore` gets preamble and file meta information with the *negotiated* transfer syntax, and the body as it comes.
The sink is committed after the last fragment and before the success status; anything else discards it. No room: the
rest of the body is drained and A700 answered. The user stands in `sending`.
"""

from __future__ import annotations

import errno
import os
import zlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final, Literal, NamedTuple, TypeAlias

from dicomcore.data.dataset import Dataset
from dicomcore.data.files import dcmread
from dicomcore.data.part10 import encode_file_meta
from dicomcore.dimse.command import CommandField
from dicomcore.encoding.sink import FileSink, Sink, SpillSink
from dicomcore.errors import (
    DicomError,
    EncodingError,
    LimitExceeded,
    ServiceError,
)
from dicomcore.limits import Limits
from dicomcore.vocab.sop_classes import storage_uids
from dicomcore.vocab.syntaxes import SYNTAXES, UNCOMPRESSED, transfer_syntax

from .base import (
    Call,
    Provider,
    Receive,
    Received,
    Request,
    Response,
    ServiceContext,
    is_coroutine_function,
)
from .peek import PEEK_LENGTH, SopUids, has_sop_uids, peek_sop_uids
from .stores import FolderStore, InstanceStore, NewInstance, put_pieces, write_views

__all__ = ["StorageSCP", "Stored", "storage_syntaxes"]

OUT_OF_RESOURCES: Final = 0xA700
DATA_SET_MISMATCH: Final = 0xA900
CANNOT_UNDERSTAND: Final = 0xC000
PROCESSING_FAILURE: Final = 0x0110
SOP_CLASS_NOT_SUPPORTED: Final = 0x0122

_NO_ROOM: Final = frozenset(
    getattr(errno, name)
    for name in ("ENOSPC", "EDQUOT", "EFBIG", "ENOMEM", "EMFILE", "ENFILE", "ENOBUFS")
    if hasattr(errno, name)
)
_STORED: Final = Response(0x0000)
_NOT_OF_THE_CONTEXT: Final = Response(
    SOP_CLASS_NOT_SUPPORTED, elements={"ErrorComment": "not the SOP Class of the context"}
)
_new: Final[Any] = tuple.__new__  # a NamedTuple without a call of its own in Python
_JOINED_LENGTH: Final = 32 * 1024  # a first fragment up to this is copied behind the file meta: one write less
_FIRST_PEEK: Final = 256
# these encode no data set that a file could hold: MIME and XML envelopes, live streams, Papyrus
_NO_FILES: Final = ("1.2.840.10008.1.2.6.", "1.2.840.10008.1.2.7.", "1.2.840.10008.1.20")


def storage_syntaxes() -> tuple[str, ...]:
    """Every transfer syntax that an instance may be stored with, uncompressed ones first."""
    first = tuple(syntax.uid for syntax in UNCOMPRESSED)
    return first + tuple(uid for uid in SYNTAXES if uid not in first and not uid.startswith(_NO_FILES))


# The provider


class Stored(NamedTuple):
    """What ``on_stored`` is told, after the commit and before the response; ``length`` is the data set's, in bytes."""

    path: str | None
    sop_class_uid: str
    sop_instance_uid: str
    transfer_syntax_uid: str
    length: int
    calling_ae: str
    called_ae: str
    peer: Any


class _Intake:
    """The sink of one C-STORE: holds the first bytes back until they are known to fit the command."""

    __slots__ = ("_head", "_instance", "_peek_at", "_store", "sink")

    def __init__(self, store: InstanceStore, instance: NewInstance) -> None:
        self._store = store
        self._instance = instance
        self._head = b""
        self._peek_at = 0
        self.sink: Sink | None = None

    def write(self, view: memoryview, /) -> None:
        if self.sink is not None:
            self.sink.write(view)
        else:
            self._look(view, [])

    def writev(self, views: list[memoryview], /) -> None:
        if self.sink is not None:
            write_views(self.sink, views)
            return
        for position, view in enumerate(views, 1):
            if self._look(view, views[position:]):
                return

    def fileno(self) -> int:
        """Where the body may be written to directly; -1 while its head is looked at, or when it goes to no file."""
        sink = self.sink
        return sink.fileno() if isinstance(sink, FileSink | SpillSink) and not sink.done else -1

    def passed(self, length: int) -> None:
        """So much was written there."""
        if isinstance(self.sink, FileSink | SpillSink):
            self.sink.passed(length)

    def needs_memory(self, length: int) -> int:
        """How many more bytes of memory it takes to write `length` bytes more."""
        if self.sink is None:
            return length if isinstance(self._store, _Memory) else 0
        needs = getattr(self.sink, "needs_memory", None)
        return needs(length) if needs is not None else 0

    def complete(self) -> Sink:
        """After the last fragment: the sink, with everything in it."""
        if self.sink is None:
            self._open(_peek_all([self._head], self._instance), self._head, [])
        assert self.sink is not None
        return self.sink

    def discard(self) -> None:
        """Take back what was begun."""
        if self.sink is not None:
            self.sink.discard()

    def _look(self, view: memoryview, rest: list[memoryview]) -> bool:
        """Whether that is enough of a head: then it is written, and the ``rest`` of what is here as well."""
        head: bytes | memoryview = view
        if self._head:
            head = self._head + bytes(view)
        if len(head) >= self._peek_at:
            uids = _peek(head, self._instance)
            if uids.decided or len(head) >= PEEK_LENGTH:
                self._open(uids, head, rest)
                return True
            self._peek_at = max(_FIRST_PEEK, 2 * len(head))
        self._head = bytes(head)
        return False

    def _open(self, uids: SopUids, head: bytes | memoryview, rest: list[memoryview]) -> None:
        _check_uids(uids, self._instance)
        meta = _file_meta(self._instance)
        self.sink = sink = self._store.create(self._instance)
        self._head = b""
        if len(head) <= _JOINED_LENGTH and not rest:
            sink.write(b"".join((meta, head)))
        else:
            write_views(sink, [memoryview(meta), memoryview(head), *rest])


def _peek(head: bytes | bytearray | memoryview, instance: NewInstance) -> SopUids:
    """The UIDs in the first bytes of a data set."""
    syntax = transfer_syntax(instance.transfer_syntax_uid)
    if syntax.deflated:
        try:
            head = zlib.decompressobj(-zlib.MAX_WBITS).decompress(head, PEEK_LENGTH)
        except zlib.error as error:
            raise EncodingError(f"not deflated: {error}", clause="PS3.5 A.5") from None
    return peek_sop_uids(head, explicit=syntax.explicit, big_endian=syntax.big_endian)


def _peek_all(views: Sequence[bytes | memoryview], instance: NewInstance) -> SopUids:
    """The UIDs of a whole data set."""
    uids = _peek(views[0], instance)
    if uids.decided:
        return uids
    head = bytearray()
    for view in views:
        head += view
        if len(head) >= PEEK_LENGTH:
            break
    uids = _peek(head, instance)
    return uids if len(head) >= PEEK_LENGTH else uids._replace(decided=True)


def _file_meta(instance: NewInstance) -> bytes:
    """What stands before the data set in a file."""
    sop_class_uid, sop_instance_uid, transfer_syntax_uid, calling_ae, called_ae = instance
    return encode_file_meta(
        sop_class_uid, sop_instance_uid, transfer_syntax_uid, sending_ae=calling_ae, receiving_ae=called_ae
    )


def _check_whole(views: Sequence[bytes | memoryview], instance: NewInstance) -> None:
    """As `_check_uids`, for a data set of which there is no more."""
    sop_class_uid, sop_instance_uid, transfer_syntax_uid, _, _ = instance
    syntax = SYNTAXES.get(transfer_syntax_uid)
    if (
        syntax is None
        or syntax.deflated
        or not has_sop_uids(
            views[0], sop_class_uid, sop_instance_uid, explicit=syntax.explicit, big_endian=syntax.big_endian
        )
    ):
        _check_uids(_peek_all(views, instance), instance)


def _check_uids(uids: SopUids, instance: NewInstance) -> None:
    """What the data set says is what the command says, or ServiceError; what lies further on is not asked for."""
    for tag, found, wanted in (
        ("(0008,0016)", uids.sop_class_uid, instance.sop_class_uid),
        ("(0008,0018)", uids.sop_instance_uid, instance.sop_instance_uid),
    ):
        if found != wanted and (found is not None or uids.decided):
            what = f"data set has {found}" if found else "data set has none"
            raise ServiceError(f"{tag} {what}", path=tag, clause="PS3.4 B.2.3", answer=DATA_SET_MISMATCH)


Verdict: TypeAlias = int | Awaitable[int | None] | None
Handler: TypeAlias = Callable[[Dataset, Stored], Verdict]


class _Memory:
    """An `InstanceStore` that keeps nothing: what a handler is to see."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits

    def create(self, instance: NewInstance, /) -> SpillSink:
        return SpillSink(self._limits.memory_object)


class StorageSCP:
    """Stores what it is sent, into a folder or an `InstanceStore`; or shows it to a handler and stores nothing.

    ``supported``: abstract syntax -> transfer syntaxes; by default every Storage SOP Class with every syntax. For a
    folder, ``duplicates`` and ``durability`` are those of `FolderStore`. ``on_stored(stored)`` runs on a worker after
    the commit; a status that it returns is answered instead of success.

    ``handler(dataset, stored)`` runs on a worker with each instance as a lazy Dataset in memory, file meta information
    included, so that it can be saved as it is; it returns the status to answer, or None for success. One that is longer
    than `Limits.memory_object` lies in a temporary file, which goes when the handler has returned.

    Both may be coroutine functions in `dicomcore.aio`.
    """

    commands = frozenset({CommandField.C_STORE_RQ})

    def __init__(
        self,
        store: InstanceStore | str | os.PathLike[str] | None = None,
        *,
        handler: Handler | None = None,
        supported: Mapping[str, tuple[str, ...]] | None = None,
        duplicates: Literal["replace", "keep", "refuse"] = "replace",
        durability: Literal["process", "power"] = "process",
        on_stored: Callable[[Stored], Verdict] | None = None,
    ) -> None:
        if (store is None) == (handler is None):
            raise ValueError("a StorageSCP has either a store or a handler")
        if isinstance(store, str | os.PathLike):
            store = FolderStore(store, durability=durability, duplicates=duplicates)
        self.store = store
        self._handler = handler
        self.supported = MappingProxyType(
            dict.fromkeys(sorted(storage_uids()), storage_syntaxes()) if supported is None else dict(supported)
        )
        self._on_stored = on_stored
        self.coroutines = is_coroutine_function(on_stored) or is_coroutine_function(handler)
        # a close and a rename; all else may take its time
        self.prompt = on_stored is None and isinstance(store, FolderStore) and store.durability == "process"

    def handle(self, request: Request, context: ServiceContext, /) -> Provider:
        instance = _announced(request)
        if instance is None:
            yield _NOT_OF_THE_CONTEXT
            return
        intake = _Intake(self.store or _Memory(context.limits), instance)
        refusal = None
        committed = False
        try:
            received: Received = yield Receive(intake)
            if received.error is not None:
                raise received.error
            sink = intake.complete()
            if self._handler is not None:
                assert isinstance(sink, SpillSink)
                sink.commit()
                dataset = dcmread(sink.path or sink.value, limits=context.limits)
            else:
                yield Call(sink.commit)
            committed = True
        except (OSError, DicomError) as error:
            refusal = _refusal(error)
        finally:
            if not committed:
                intake.discard()
        if refusal is not None:
            yield refusal
            return
        if self._handler is None and self._on_stored is None:
            yield _STORED
            return
        status = None
        path = getattr(sink, "path", None)
        stored = Stored(path, *instance[:3], received.length, *instance[3:], request.peer)
        if self._handler is not None:
            try:
                status = yield Call(self._handler, dataset, stored)
            finally:
                intake.discard()
        elif self._on_stored is not None:
            status = yield Call(self._on_stored, stored)
        yield Response(status or 0x0000)

    def at_once(self, request: Request, context: ServiceContext, views: list[memoryview], /) -> Response:
        """The same for a body that is here, when it goes to a folder and nobody is told."""
        instance = _announced(request)
        if instance is None:
            return _NOT_OF_THE_CONTEXT
        store = self.store
        try:
            _check_whole(views, instance)
            pieces: list[bytes | memoryview] = [_file_meta(instance), *views]
            if isinstance(store, FolderStore):
                store.put(instance, pieces)
            else:  # it was a folder when the server was made
                put_pieces(store or _Memory(context.limits), instance, pieces)
        except (OSError, DicomError) as error:
            return _refusal(error)
        return _STORED


def _announced(request: Request) -> NewInstance | None:
    """The instance that a command announces, both of whose UIDs are mandatory; None if the context is for others."""
    _, command, _, agreed, calling_ae, called_ae, _ = request
    asked = command.elements
    sop_class_uid = agreed.abstract_syntax
    if asked["AffectedSOPClassUID"] != sop_class_uid:
        return None
    titles = calling_ae, called_ae
    announced: NewInstance = _new(
        NewInstance, (sop_class_uid, asked["AffectedSOPInstanceUID"], agreed.transfer_syntax, *titles)
    )
    return announced


def _refusal(error: OSError | DicomError) -> Response:
    """The status for what went wrong (PS3.4 table B.2-1), with a comment that tells nothing about our file system."""
    if isinstance(error, OSError):
        status = OUT_OF_RESOURCES if error.errno in _NO_ROOM else PROCESSING_FAILURE
        comment = error.strerror or type(error).__name__
    else:
        comment = error.message
        if isinstance(error.answer, int):
            status = error.answer
        elif isinstance(error, LimitExceeded):
            status = OUT_OF_RESOURCES
        else:
            status = CANNOT_UNDERSTAND if isinstance(error, EncodingError) else PROCESSING_FAILURE
    return Response(status, elements={"ErrorComment": comment} if status else {})
