"""The user of Storage (PS3.4 Annex B): C-STORE asked, without ever holding an object in memory.

A file goes out as it lies on disk, from its data set on, if a context with its own transfer syntax was accepted.
Otherwise it is encoded anew, among the four syntaxes that need no codec, or by a transcoder: `transcoded`, which loses
nothing, or another that was handed in.
"""

from __future__ import annotations

import os
import stat
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any, Final, Self

from dicomcore.data._late import late
from dicomcore.data.dataset import Dataset
from dicomcore.data.files import dcmread
from dicomcore.data.outgoing import check_uids, open_instance
from dicomcore.data.part10 import FileHeader
from dicomcore.data.writer import encode_dataset
from dicomcore.dimse.command import DATA_SET_PRESENT, Command, CommandField
from dicomcore.encoding.source import FileSlice
from dicomcore.errors import EncodingError, LocalProtocolError, NegotiationError, PixelError, SourceChanged
from dicomcore.limits import DEFAULT_LIMITS, Limits
from dicomcore.ul.explain import explain_missing
from dicomcore.ul.negotiation import AgreedContext, Negotiated
from dicomcore.vocab.syntaxes import EXPLICIT_LE, UNCOMPRESSED, transfer_syntax
from dicomcore.vocab.uids import UID

from .base import PLAIN_SYNTAXES, Asking, Invoke

__all__ = ["Several", "StorageSCU", "Transcoder", "contexts_for_files", "let_go", "transcoded"]

_SMALL: Final = 32 * 1024  # pieces below this are copied together
_STORE: Final = CommandField.C_STORE_RQ
_new: Final[Any] = tuple.__new__  # a NamedTuple without a call of its own in Python

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
        invoke = self.prepare(source, priority=priority, move_originator=move_originator)
        try:
            return (yield invoke)
        finally:
            let_go(invoke.body)

    def prepare(self, source: Any, *, priority: int = 0, move_originator: tuple[str, int] | None = None) -> Invoke:
        """The request that `c_store` makes; a body that is a `FileSlice` is open, and the caller's to close."""
        is_path = isinstance(source, (str, os.PathLike))
        if is_path:
            sop_class, sop_instance, syntax, body = open_instance(source, limits=self._limits)
        else:
            (sop_class, sop_instance, syntax), body = _identity(source), None
        try:
            agreed = self.context_for(sop_class, syntax)
            if not is_path or agreed.transfer_syntax != syntax:
                let_go(body)
                body = None
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
        except BaseException:
            let_go(body)
            raise
        invoke: Invoke = _new(Invoke, (agreed.id, _new(Command, (_STORE, elements, ())), body))
        return invoke

    def _body(self, source: Any, syntax: str, target: str, sop_instance: str) -> tuple[Any, str]:
        """What goes out in the `target` syntax: a piece of the file, or encoded chunks; and of which instance it is."""
        if isinstance(source, FileHeader):
            if target == syntax:
                return _file_slice(source), sop_instance
            source = source.path
        if not isinstance(source, Dataset):
            source = dcmread(source, limits=self._limits)
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


def let_go(body: Any) -> None:
    """Close what a prepared body holds open: nothing of it is sent any more."""
    if type(body) is FileSlice:
        body.close()


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
        if len(chunk) < _SMALL and isinstance(chunk, bytes | bytearray | memoryview):
            small.append(chunk)
            length += len(chunk)
            if length < 2 * _SMALL:
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


class Several:
    """What is to be sent one after the other. LocalProtocolError for one instance: it would be taken apart.

    An exception of the caller's iterable is the end of it, and is kept until what came before has been answered.
    """

    def __init__(self, sources: Iterable[Any]) -> None:
        if isinstance(sources, str | bytes | os.PathLike | FileHeader | Dataset):
            what = type(sources).__name__
            raise LocalProtocolError(f"one {what} where several instances are expected", hint="a list")
        self._sources = iter(sources)
        self._failure: Exception | None = None

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Any:
        try:
            return next(self._sources)
        except StopIteration:
            raise
        except Exception as error:
            self._failure = error
            raise StopIteration from None

    def finish(self) -> None:
        """Raise, once, what the iterable raised."""
        failure, self._failure = self._failure, None
        if failure is not None:
            raise failure


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
    check_uids(name, *uids)
    return uids
