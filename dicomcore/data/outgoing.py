"""Files on their way out: opened once, for what is to be known of them and for the data set, sent as it lies there.

What a compiled kernel finds to be beyond doubt needs nothing else; of any other file the ordinary reader decides.
"""

from __future__ import annotations

import os
from typing import Any, Final, NamedTuple

from ..encoding.source import FileSlice, FileSource
from ..errors import EncodingError
from ..limits import DEFAULT_LIMITS, Limits
from ..vocab.syntaxes import SYNTAXES
from .part10 import read_header

try:
    from .._core.opening import open_plain
except ImportError:  # pragma: no cover - a platform without pread

    def open_plain(
        path: str, syntaxes: dict[bytes, tuple[str, bool]]
    ) -> tuple[str, str, str, bytes | None, int, int, int] | None:
        return None


__all__ = ["Outgoing", "check_uids", "open_instance"]

_UID_LENGTH: Final = 64
_PLAIN: Final = {
    uid.encode(): (uid, syntax.explicit)
    for uid, syntax in SYNTAXES.items()
    if not syntax.big_endian and not syntax.deflated
}
_new: Final[Any] = tuple.__new__  # a NamedTuple without a call of its own in Python


class Outgoing(NamedTuple):
    """An instance of a file: its UIDs, and its data set, which is in memory or a slice of the open file."""

    sop_class_uid: str
    sop_instance_uid: str
    transfer_syntax_uid: str
    body: bytes | memoryview | FileSlice


def open_instance(path: str | os.PathLike[str], *, limits: Limits = DEFAULT_LIMITS) -> Outgoing:
    """What is to be sent of a file: in memory when it came with the beginning, else a slice that the caller closes.

    Raises as `read_header` does, and EncodingError for UIDs that cannot be sent.
    """
    name = path if type(path) is str else os.fspath(path)
    found = open_plain(name, _PLAIN) if type(name) is str else None
    if found is None:
        return _read_instance(path, limits)
    sop_class, sop_instance, syntax, body, offset, length, descriptor = found
    if body is None:
        return Outgoing(sop_class, sop_instance, syntax, FileSlice(name, offset, length, descriptor=descriptor))
    opened: Outgoing = _new(Outgoing, (sop_class, sop_instance, syntax, body))
    return opened


def _read_instance(path: str | os.PathLike[str], limits: Limits) -> Outgoing:
    """The ordinary way."""
    source, descriptor = FileSource.kept_open(path)
    head = source.head
    try:
        header = read_header(source, limits=limits)
        uids = header.sop_class_uid, header.sop_instance_uid, header.transfer_syntax_uid
        check_uids(header.path, *uids)
        start, size = header.dataset_offset, header.file_size
        if size <= len(head):
            return Outgoing(*uids, head[start:])
        piece = FileSlice(source.path, start, size - start, descriptor=descriptor)
        descriptor = -1
        return Outgoing(*uids, piece)
    finally:
        if descriptor >= 0:
            os.close(descriptor)


def check_uids(name: str, *uids: str | None) -> None:
    """EncodingError unless SOP Class, SOP Instance and transfer syntax UID are there, and can be in a command."""
    if not all(uids):
        what = "SOP Instance UID" if uids[0] else "SOP Class UID"
        raise EncodingError(f"{name} has no {what}, so it cannot be sent", clause="PS3.4 B.3")
    for uid in uids:
        if not isinstance(uid, str) or len(uid) > _UID_LENGTH or not uid.isascii():
            raise EncodingError(f"{name} has {uid!r} for a UID, so it cannot be sent", clause="PS3.5 9.1")
