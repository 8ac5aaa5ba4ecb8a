"""Storage (PS3.4 Annex B, GG): C-STORE, asked and answered, without ever holding an object in memory.

**Provider.** The first bytes are looked at: SOP Class and Instance UID must be those of the command, else A900. Then a
sink of the `InstanceStore` gets preamble and file meta information with the *negotiated* transfer syntax, and the body
as it comes. The sink is committed after the last fragment and before the success status; anything else discards it. No
room: the rest of the body is drained and A700 answered.

**User.** A file goes out as it lies on disk, from its data set on, if a context with its own transfer syntax was
accepted. Otherwise it is encoded anew, among the four syntaxes that need no codec, or by a transcoder: `transcoded`,
which loses nothing, or another that was handed in.
"""

from __future__ import annotations

import errno
import os
import stat
import zlib
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import Any, Final, Literal, NamedTuple, TypeAlias

from dicomcore.data._late import late
from dicomcore.data.dataset import Dataset
from dicomcore.data.files import dcmread
from dicomcore.data.outgoing import open_instance
from dicomcore.data.part10 import FileHeader, encode_file_meta
from dicomcore.data.writer import encode_dataset
from dicomcore.dimse.command import DATA_SET_PRESENT, Command, CommandField
from dicomcore.encoding.sink import FileSink, Sink, SpillSink
from dicomcore.encoding.source import FileSlice
from dicomcore.errors import (
    DicomError,
    EncodingError,
    LimitExceeded,
    LocalProtocolError,
    NegotiationError,
    PixelError,
    ServiceError,
    SourceChanged,
)
from dicomcore.limits import DEFAULT_LIMITS, Limits
from dicomcore.ul.explain import explain_missing
from dicomcore.ul.negotiation import AgreedContext, Negotiated
from dicomcore.vocab.sop_classes import storage_uids
from dicomcore.vocab.syntaxes import EXPLICIT_LE, SYNTAXES, UNCOMPRESSED, transfer_syntax
from dicomcore.vocab.uids import UID

from .base import (
    PLAIN_SYNTAXES,
    Asking,
    Call,
    Invoke,
    Provider,
    Receive,
    Received,
    Request,
    Response,
    ServiceContext,
    is_coroutine_function,
)
from .peek import PEEK_LENGTH, SopUids, peek_sop_uids
from .stores import FolderStore, InstanceStore, NewInstance

__all__ = ["StorageSCP", "StorageSCU", "Stored", "contexts_for_files", "several", "storage_syntaxes"]

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
_JOINED_LENGTH: Final = 32 * 1024  # a first fragment up to this is copied behind the file meta: one write less
_FIRST_PEEK: Final = 256
UID_LENGTH: Final = 64
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
            _write(self.sink, views)
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
            self._open(self._peek(self._head)._replace(decided=True), self._head, [])
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
            uids = self._peek(head)
            if uids.decided or len(head) >= PEEK_LENGTH:
                self._open(uids, head, rest)
                return True
            self._peek_at = max(_FIRST_PEEK, 2 * len(head))
        self._head = bytes(head)
        return False

    def _peek(self, head: bytes | memoryview) -> SopUids:
        syntax = transfer_syntax(self._instance.transfer_syntax_uid)
        if syntax.deflated:
            try:
                head = zlib.decompressobj(-zlib.MAX_WBITS).decompress(head, PEEK_LENGTH)
            except zlib.error as error:
                raise EncodingError(f"not deflated: {error}", clause="PS3.5 A.5") from None
        return peek_sop_uids(head, explicit=syntax.explicit, big_endian=syntax.big_endian)

    def _open(self, uids: SopUids, head: bytes | memoryview, rest: list[memoryview]) -> None:
        instance = self._instance
        if uids[:2] != instance[:2]:
            _check_uids(uids, instance)
        self.sink = sink = self._store.create(instance)
        self._head = b""
        meta = encode_file_meta(
            instance.sop_class_uid,
            instance.sop_instance_uid,
            instance.transfer_syntax_uid,
            sending_ae=instance.calling_ae,
            receiving_ae=instance.called_ae,
        )
        if len(head) <= _JOINED_LENGTH and not rest:
            sink.write(b"".join((meta, head)))
        else:
            _write(sink, [memoryview(meta), memoryview(head), *rest])


def _write(sink: Sink, views: list[memoryview]) -> None:
    """All of them, at once if the sink can do that."""
    gather = getattr(sink, "writev", None)
    if gather is not None and len(views) > 1:
        gather(views)
    else:
        for view in views:
            sink.write(view)


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
        asked = request.command.elements  # both UIDs are mandatory
        agreed = request.context
        if asked["AffectedSOPClassUID"] != agreed.abstract_syntax:
            yield Response(SOP_CLASS_NOT_SUPPORTED, elements={"ErrorComment": "not the SOP Class of the context"})
            return
        instance = NewInstance(
            agreed.abstract_syntax,
            asked["AffectedSOPInstanceUID"],
            agreed.transfer_syntax,
            request.calling_ae,
            request.called_ae,
        )
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
            yield Response(0x0000)
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


# The user

Transcoder = Callable[[Any, str], Any]


def transcoded(dataset: Any, transfer_syntax_uid: str) -> Any:
    """The transcoder unless another is given: `dicomcore.transcode` to what loses nothing; PixelError else."""
    return late("transcode_losslessly")(dataset, transfer_syntax_uid)


def contexts_for_files(
    headers: Iterable[FileHeader],
    *,
    default_syntaxes: Iterable[str] = PLAIN_SYNTAXES,
    limit: int = 128,
) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """(abstract syntax, transfer syntaxes) to propose for these files, as `ul.negotiation.propose` takes them.

    Each syntax that occurs has a context of its own, so that it is accepted whatever the peer prefers; the default
    syntaxes share one more. When there are over ``limit``, every SOP class keeps at least one, its most frequent first.
    """
    counts: Counter[tuple[str, str]] = Counter((header.sop_class_uid, header.transfer_syntax_uid) for header in headers)
    by_class: dict[str, list[str]] = {}
    for (sop_class, syntax), _ in counts.most_common():
        by_class.setdefault(sop_class, []).append(syntax)
    defaults = tuple(default_syntaxes)
    rows: list[tuple[str, tuple[str, ...]]] = [(sop_class, (syntaxes[0],)) for sop_class, syntaxes in by_class.items()]
    rows += [(sop_class, (syntax,)) for sop_class, syntaxes in by_class.items() for syntax in syntaxes[1:]]
    for sop_class, syntaxes in by_class.items():
        if others := tuple(syntax for syntax in defaults if syntax not in syntaxes):
            rows.append((sop_class, others))
    return tuple(rows[:limit])


class StorageSCU:
    """Sends instances over one association; ``transcoder(dataset, transfer_syntax_uid)`` makes what needs a codec."""

    def __init__(
        self,
        negotiated: Negotiated,
        *,
        transcoder: Transcoder | None = None,
        limits: Limits = DEFAULT_LIMITS,
        requestor: bool = True,
    ) -> None:
        self._transcoder = transcoder
        self._limits = limits
        self._negotiated = negotiated
        self._requestor = requestor
        self._by_class: dict[str, dict[str, AgreedContext]] = {}
        for agreed in negotiated.contexts.values():
            if agreed.requestor_scu if requestor else agreed.requestor_scp:
                self._by_class.setdefault(agreed.abstract_syntax, {}).setdefault(agreed.transfer_syntax, agreed)

    def context_for(self, sop_class_uid: str, transfer_syntax_uid: str) -> AgreedContext:
        """The context to send on: of this syntax, else of one to encode to. NegotiationError if there is none."""
        accepted = self._by_class.get(sop_class_uid)
        if not accepted:
            raise NegotiationError(
                f"no presentation context for {UID(sop_class_uid).name}: "
                + explain_missing(sop_class_uid, None, self._negotiated, requestor=self._requestor),
                clause="PS3.4 B.5",
                hint="name all that is to be sent in contexts= when associating, or ask the peer to accept it",
            )
        agreed = accepted.get(transfer_syntax_uid)
        if agreed is not None:
            return agreed
        plain = [accepted[syntax.uid] for syntax in UNCOMPRESSED if syntax.uid in accepted]
        if plain and _is_plain(transfer_syntax_uid):
            return plain[0]
        if self._transcoder is not None:
            faithful = [one for uid, one in accepted.items() if transfer_syntax(uid).pixel_loss == "lossless"]
            return next(iter((*plain, *faithful, *accepted.values())))
        names = ", ".join(UID(uid).name for uid in accepted)
        raise NegotiationError(
            f"{UID(sop_class_uid).name} in {UID(transfer_syntax_uid).name} cannot be sent: the peer accepted {names}",
            clause="PS3.4 B.5",
            hint="hand in a transcoder, such as dicomcore.transcode",
        )

    def c_store(self, source: Any, *, priority: int = 0, move_originator: tuple[str, int] | None = None) -> Asking:
        """Send a path, a `FileHeader` or a Dataset. ``move_originator``: AE title and message id of a C-MOVE.

        NegotiationError when no accepted context fits, EncodingError and OSError when the file cannot be read.
        """
        piece: Any = None  # the data set as it lies in the file
        body: Any = None
        if isinstance(source, (str, os.PathLike)):
            source, piece = open_instance(source, limits=self._limits)
        try:
            sop_class, sop_instance, syntax = _identity(source)
            agreed = self.context_for(sop_class, syntax)
            if piece is not None and agreed.transfer_syntax == syntax:
                body = piece
            else:
                body, sop_instance = self._body(source, syntax, agreed.transfer_syntax, sop_instance)
            elements = {
                "AffectedSOPClassUID": sop_class,
                "AffectedSOPInstanceUID": sop_instance,
                "Priority": priority,
                "CommandDataSetType": DATA_SET_PRESENT,
            }
            if move_originator is not None:
                title, message_id = move_originator
                elements["MoveOriginatorApplicationEntityTitle"] = title
                elements["MoveOriginatorMessageID"] = message_id
            request = Command(CommandField.C_STORE_RQ, elements)
            return (yield Invoke(agreed.id, request, body))
        finally:
            for opened in (piece, body):
                if isinstance(opened, FileSlice):
                    opened.close()

    def _body(self, source: Any, syntax: str, target: str, sop_instance: str) -> tuple[Any, str]:
        """What goes out in the `target` syntax: a piece of the file, or encoded chunks; and of which instance it is."""
        if isinstance(source, FileHeader):
            if target == syntax:
                return _file_slice(source), sop_instance
            source = dcmread(source.path, limits=self._limits)
        if target == syntax or (_is_plain(syntax) and _is_plain(target)):
            dataset = source
        else:
            assert self._transcoder is not None  # context_for saw to that
            try:
                dataset = self._transcoder(source, target)
            except PixelError as error:
                accepted = f"{UID(target).name}, which the peer accepted"
                raise NegotiationError(
                    f"{UID(syntax).name} cannot be sent as {accepted}: {error.message}",
                    clause="PS3.4 B.5",
                    hint=error.hint or "AE(transcoder=...) decides what else may be done with the pixels",
                ) from error
            # What loses something makes another instance.
            sop_instance = str(dataset.get("SOPInstanceUID") or sop_instance)
        return _joined(encode_dataset(dataset, target, limits=self._limits)), sop_instance


def _file_slice(header: FileHeader) -> FileSlice:
    """The data set of a file, opened. SourceChanged while nothing is sent yet, if it is not what its header said."""
    body = FileSlice(header.path, header.dataset_offset, header.file_size - header.dataset_offset)
    status = os.fstat(body.fileno())
    if status.st_size != header.file_size or not stat.S_ISREG(status.st_mode):
        body.close()
        raise SourceChanged(f"{header.path} has changed since its header was read", hint="send it again")
    return body


def _joined(chunks: Iterable[Any]) -> list[Any]:
    """The same bytes in fewer pieces: each piece becomes a PDU, so small ones are copied together."""
    pieces: list[Any] = []
    small: list[Any] = []
    length = 0
    for chunk in chunks:
        if len(chunk) < _JOINED_LENGTH and isinstance(chunk, bytes | bytearray | memoryview):
            small.append(chunk)
            length += len(chunk)
            if length < 2 * _JOINED_LENGTH:
                continue
            chunk = b""
        if small:
            pieces.append(b"".join(small))
            small, length = [], 0
        if len(chunk):
            pieces.append(chunk)
    if small:
        pieces.append(b"".join(small))
    return pieces


def several(sources: Iterable[Any]) -> Iterator[Any]:
    """What is to be sent one after the other. LocalProtocolError for one instance: it would be taken apart."""
    if isinstance(sources, str | bytes | os.PathLike | FileHeader | Dataset):
        raise LocalProtocolError(f"one {type(sources).__name__} where several instances are expected", hint="a list")
    return iter(sources)


def _is_plain(transfer_syntax_uid: str) -> bool:
    """One of the four syntaxes between which nothing but the encoding of elements changes."""
    return any(transfer_syntax_uid == syntax.uid for syntax in UNCOMPRESSED)


def _identity(source: Any) -> tuple[str, str, str]:
    """SOP Class, SOP Instance and transfer syntax UID of a file or a data set. EncodingError when one is missing."""
    if isinstance(source, FileHeader):
        name, uids = source.path, (source.sop_class_uid, source.sop_instance_uid, source.transfer_syntax_uid)
    elif not isinstance(source, Dataset):
        what = type(source).__name__
        raise EncodingError("what is sent is a path, a FileHeader or a Dataset", hint=f"this is a {what}")
    else:
        name = "the data set"
        uids = (source.get("SOPClassUID"), source.get("SOPInstanceUID"), source.transfer_syntax or EXPLICIT_LE.uid)
    if not all(uids):
        what = "SOP Instance UID" if uids[0] else "SOP Class UID"
        raise EncodingError(f"{name} has no {what}, so it cannot be sent", clause="PS3.4 B.3")
    for uid in uids:
        if not isinstance(uid, str) or len(uid) > UID_LENGTH or not uid.isascii():
            raise EncodingError(f"{name} has {uid!r} for a UID, so it cannot be sent", clause="PS3.5 9.1")
    return uids
