"""SOP Class and Instance UID from the first bytes of a data set (PS3.3 C.12.1), without an index and without the rest.

It walks top-level headers up to (0008,0018), passing over what lies before, nested items included. It answers as soon
as it can and says when it needs more bytes; what is no data set in the given encoding is an `EncodingError`.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from dicomcore._core.peek import DECIDED, NO_VR, STRAY, walk
from dicomcore.errors import EncodingError

__all__ = ["PEEK_LENGTH", "SopUids", "has_sop_uids", "peek_sop_uids"]

PEEK_LENGTH: Final = 16 * 1024  # both UIDs lie in the first few hundred bytes of what the field produces

_VR: Final = "PS3.5 7.1.2"
_new: Final[Any] = tuple.__new__  # a NamedTuple without a call of its own in Python


class SopUids(NamedTuple):
    """The two UIDs as far as the data set has them; ``decided`` is False when more bytes may bring them."""

    sop_class_uid: str | None
    sop_instance_uid: str | None
    decided: bool


def has_sop_uids(
    head: bytes | memoryview, sop_class_uid: str, sop_instance_uid: str, *, explicit: bool, big_endian: bool
) -> bool:
    """Whether these bytes settle that the data set has these two UIDs."""
    outcome, _, found_class, found_instance = walk(head, explicit, big_endian)
    return outcome == DECIDED and found_class == sop_class_uid and found_instance == sop_instance_uid


def peek_sop_uids(head: bytes | bytearray | memoryview, *, explicit: bool, big_endian: bool) -> SopUids:
    """(0008,0016) and (0008,0018) in the first bytes of a data set. EncodingError when they are no data set."""
    outcome, position, sop_class_uid, sop_instance_uid = walk(head, explicit, big_endian)
    if outcome == STRAY:
        raise EncodingError("an item outside a sequence", offset=position, clause="PS3.5 7.5")
    if outcome == NO_VR:
        raise EncodingError(f"{bytes(head[position + 4 : position + 6])!r} is no VR", offset=position, clause=_VR)
    found: SopUids = _new(SopUids, (sop_class_uid, sop_instance_uid, outcome == DECIDED))
    return found
