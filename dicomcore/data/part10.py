"""The frame of a DICOM file (PS3.10 section 7.1): preamble, prefix, file meta information, start of the data set.

Promises: the meta group is walked header by header and never trusted for its group length; a file without preamble,
without meta, or whose first element contradicts the declared syntax is laid out as its bytes say, with an `Issue`.
Refuses (`EncodingError`): what starts neither with a prefix nor with an element of the dictionary, and gzip.
"""

from __future__ import annotations

import os
from dataclasses import replace
from functools import lru_cache
from struct import Struct
from typing import Literal, NamedTuple

from .._core.meta import NEED, OVERRUN, walk
from ..encoding.index import read_index
from ..encoding.policy import LENIENT, Policy
from ..encoding.source import FileSource, Source, open_source
from ..encoding.vrs import UNDEFINED_LENGTH
from ..errors import EncodingError, Issue
from ..limits import DEFAULT_LIMITS, Limits
from ..vocab.dictionary import lookup
from ..vocab.syntaxes import EXPLICIT_BE, EXPLICIT_LE, IMPLICIT_LE, SYNTAXES, TransferSyntax, transfer_syntax
from ..vocab.uids import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME, UID
from ..vocab.vr import VRS

__all__ = ["FileHeader", "Layout", "encode_file_meta", "read_header", "read_layout"]

META_CLAUSE = "PS3.10 7.1"
_SHORT = Struct("<HH2sH")
_LENGTH = Struct("<L")
_LONG_VRS = frozenset(row.code.encode() for row in VRS.values() if row.long_header)
_VR_BYTES = frozenset(code.encode() for code in VRS)
_PREFIX = memoryview(b"DICM")
_UL = memoryview(b"UL")
_GROUP_8 = memoryview(b"\x08\0")


class Layout(NamedTuple):
    """Where the parts of a file are. ``meta_start`` equals ``dataset_offset`` when there is no meta group."""

    has_preamble: bool
    meta_start: int
    dataset_offset: int
    syntax: TransferSyntax
    declared_syntax: str  # empty when the meta group does not name one


class FileHeader(NamedTuple):
    """What a Storage SCU needs of a file: nothing of the data set is read when the meta group names its UIDs."""

    path: str
    sop_class_uid: UID
    sop_instance_uid: UID
    transfer_syntax_uid: UID
    dataset_offset: int
    file_size: int


def _walk_meta(source: Source, start: int, policy: Policy, issues: list[Issue]) -> tuple[int, dict[int, bytes]]:
    """Offset after group 0002 and the values of its elements but private information (0002,0102)."""
    status, position, values = walk(source.head, start, source.size)
    while status == NEED:
        status, position, values = walk(source.view(0, position), start, source.size)
    if status == OVERRUN or (start == position < source.size and source.view(start, 1)[0] == 0):
        return _walk_odd_meta(source, start, position, values or {}, policy, issues)
    return position, values or {}


def _walk_odd_meta(
    source: Source, start: int, position: int, values: dict[int, bytes], policy: Policy, issues: list[Issue]
) -> tuple[int, dict[int, bytes]]:
    """A meta group that breaks off, or that is in big endian."""
    if position > start:
        message = "the file ends within the file meta information"
        policy.accept(Issue(message, position, None, META_CLAUSE, True), issues)
        return source.size, values
    if bytes(source.view(start, min(4, source.size - start)))[:2] != b"\0\2":
        return position, values
    policy.accept(Issue("file meta information in big endian", start, clause=META_CLAUSE), issues)
    index = read_index(source, start, explicit=True, big_endian=True, issues=[], stop_tag=0x00030000)
    rows = [row for row in range(len(index)) if index.tag_at(row) >> 16 == 2 and not index.is_walked(row)]
    found = {index.tag_at(row) & 0xFFFF: (index.value_offset_at(row), index.length_at(row)) for row in rows}
    end = max((sum(span) for span in found.values()), default=start)
    return end, {number: bytes(source.view(*span)) for number, span in found.items() if number != 0x102}


def _uid(raw: bytes) -> UID:
    return UID(raw.rstrip(b"\0 ").decode("ascii", "replace").strip())


def _looks_like(source: Source, offset: int, declared_big: bool | None = None) -> tuple[bool, bool] | None:
    """(explicit, big endian) of the data set at ``offset`` by its first element; None when that is no DICOM.

    A declared byte order stands unless only the other one gives a tag of the dictionary.
    """
    if source.size - offset < 8:
        return None
    head = bytes(source.view(offset, 8))
    explicit = head[4:6] in _VR_BYTES
    little, big = (
        int.from_bytes(head[:2], order) << 16 | int.from_bytes(head[2:4], order) for order in ("little", "big")
    )
    known = {False: _is_plausible(little), True: _is_plausible(big)}
    if declared_big is not None:
        return explicit, declared_big if known[declared_big] or not known[not declared_big] else not declared_big
    if known[False] or known[True]:
        return explicit, not known[False]
    return (explicit, False) if explicit and little >> 16 else None


def is_island(source: Source, offset: int, big_endian: bool) -> bool:
    """Whether an element without VR is alone so: its 32-bit length leads nowhere, or to an element that has a VR."""
    order: Literal["little", "big"] = "big" if big_endian else "little"
    length = int.from_bytes(source.view(offset + 4, 4), order)
    if length == UNDEFINED_LENGTH:
        return False
    behind = offset + 8 + length
    if behind + 8 > source.size:
        return behind > source.size
    return bytes(source.view(behind + 4, 2)) in _VR_BYTES


def _is_plausible(tag: int) -> bool:
    """In the dictionary, or a group length; no command element."""
    return tag >> 16 > 0 and (lookup(tag) is not None or (not tag & 0xFFFF and tag >> 16 < 0x100))


# the ordinary case: an explicit little endian syntax as it stands in the file, padded or not
_PLAIN = {
    uid.encode() + pad: syntax
    for uid, syntax in SYNTAXES.items()
    if syntax.explicit and not syntax.big_endian and not syntax.deflated
    for pad in (b"", b"\0")
}
# implicit big endian (ACR-NEMA) is read as explicit, of elements without their VR
_BY_LOOKS = {(True, False): EXPLICIT_LE, (False, False): IMPLICIT_LE, (True, True): EXPLICIT_BE}


def _checked_syntax(source: Source, offset: int, declared: str, policy: Policy, issues: list[Issue]) -> TransferSyntax:
    """The declared syntax, or what the first element of the data set shows when that cannot be."""
    syntax = SYNTAXES.get(declared) or (transfer_syntax(declared) if declared else None)
    if syntax is not None and (syntax.deflated or source.size - offset < 8):
        return syntax
    looks = _looks_like(source, offset, syntax.big_endian if syntax else None)
    if syntax is None:
        issue = Issue("no transfer syntax is declared; taken from the first element", offset, clause=META_CLAUSE)
        policy.accept(issue, issues)
        return _BY_LOOKS.get(looks or (False, False), EXPLICIT_BE)
    if looks is None or looks == (syntax.explicit, syntax.big_endian):
        return syntax
    found, name = _BY_LOOKS.get(looks, EXPLICIT_BE), str(_BY_LOOKS.get(looks, "Implicit VR Big Endian"))
    if syntax.explicit and not looks[0] and is_island(source, offset, looks[1]):
        return syntax
    issue = Issue(f"{syntax} is declared, but the data set is {name}", offset, clause="PS3.10 7.1")
    policy.accept(issue, issues)
    return replace(syntax, explicit=found.explicit, big_endian=found.big_endian)  # the pixel data may be as declared


def read_layout(source: Source, *, policy: Policy, issues: list[Issue]) -> tuple[Layout, dict[int, bytes]]:
    """The layout of a file, and the raw values of its meta group by element number."""
    head = source.head
    if head[128:132] == _PREFIX:
        start = 132
    elif head[:4] == _PREFIX:
        start = 4
        policy.accept(Issue("no preamble before the DICM prefix", 0, clause=META_CLAUSE), issues)
    else:
        start = 0
        _check_bare(source, policy, issues)
    end, values = _walk_meta(source, start, policy, issues)
    length = values.get(0)
    if length is None or int.from_bytes(length, "little") != end - start - 12 or head[start + 4 : start + 6] != _UL:
        _check_meta(source, start, end, length, policy, issues)
    raw = values.get(0x10, b"")
    syntax = _PLAIN.get(raw)
    # an explicit header of group 0008: nothing else to ask
    if syntax is None or head[end : end + 2] != _GROUP_8 or head[end + 4 : end + 6].tobytes() not in _VR_BYTES:
        declared = _uid(raw)
        return Layout(
            start == 132, start, end, _checked_syntax(source, end, declared, policy, issues), declared
        ), values
    return Layout(start == 132, start, end, syntax, syntax.uid), values


def _check_meta(
    source: Source, start: int, end: int, length: bytes | None, policy: Policy, issues: list[Issue]
) -> None:
    """What is wrong with a meta group that does not begin with its true length."""
    if end == start:
        policy.accept(Issue("no file meta information", start, clause=META_CLAUSE), issues)
        return
    order: Literal["little", "big"] = "big" if source.view(start, 1)[0] == 0 else "little"
    if not bytes(source.view(start + 4, 1)).isalpha():
        policy.accept(Issue("file meta information in Implicit VR", start, clause=META_CLAUSE), issues)
    if length is None:
        policy.accept(Issue("file meta information without its group length", start, clause=META_CLAUSE), issues)
    elif int.from_bytes(length, order) != end - start - 12:
        message = f"the group length says {int.from_bytes(length, order)}, the meta group has {end - start - 12} bytes"
        policy.accept(Issue(message, start, "(0002,0000)", META_CLAUSE), issues)


def _check_bare(source: Source, policy: Policy, issues: list[Issue]) -> None:
    """Without prefix: is there an element at the start?"""
    head = bytes(source.view(0, min(8, source.size)))
    if head[:2] == b"\x1f\x8b":
        raise EncodingError("a gzip file", offset=0, clause=META_CLAUSE, hint="decompress it first")
    if head[:2] != b"\2\0" and _looks_like(source, 0) is None:
        raise EncodingError(
            "not a DICOM file: neither a DICM prefix nor an element of the data dictionary at its start",
            offset=0,
            clause=META_CLAUSE,
        )
    policy.accept(Issue("no preamble and no DICM prefix", 0, clause=META_CLAUSE), issues)


def read_header(
    path: str | os.PathLike[str] | FileSource, *, policy: Policy | None = None, limits: Limits = DEFAULT_LIMITS
) -> FileHeader:
    """The UIDs, syntax and data set offset of a file, whose data set is scanned only when the meta group lacks them.

    UIDs that the file does not hold are empty. Raises EncodingError for what is not DICOM, OSError as `open` does.
    """
    policy = policy or LENIENT
    issues: list[Issue] = []
    source = open_source(path)
    try:
        layout, values = read_layout(source, policy=policy, issues=issues)
        sop_class, sop_instance = _uid(values.get(2, b"")), _uid(values.get(3, b""))
        syntax = layout.syntax
        if not (sop_class and sop_instance) and not syntax.deflated:
            index = read_index(
                source,
                layout.dataset_offset,
                source.size,
                explicit=syntax.explicit,
                big_endian=syntax.big_endian,
                limits=limits,
                policy=policy,
                issues=issues,
                stop_tag=0x00080019,
            )
            found = []
            for tag in (0x00080016, 0x00080018):
                row = index.find(tag)
                raw = b"" if row < 0 else bytes(source.view(index.value_offset_at(row), index.length_at(row)))
                found.append(_uid(raw))
            sop_class, sop_instance = sop_class or found[0], sop_instance or found[1]
        return FileHeader(source.name, sop_class, sop_instance, syntax.uid, layout.dataset_offset, source.size)
    finally:
        source.close()


def _element(element: int, vr: bytes, value: bytes) -> bytes:
    if vr in _LONG_VRS:
        return _SHORT.pack(2, element, vr, 0) + _LENGTH.pack(len(value)) + value
    return _SHORT.pack(2, element, vr, len(value)) + value


def _even(value: str, pad: bytes) -> bytes:
    raw = value.encode("ascii")
    return raw + pad if len(raw) & 1 else raw


_OWN = _element(0x12, b"UI", _even(IMPLEMENTATION_CLASS_UID, b"\0")) + _element(
    0x13, b"SH", _even(IMPLEMENTATION_VERSION_NAME, b" ")
)
_VERSION = _element(0x01, b"OB", b"\0\1")
_TITLES = (0x16, 0x17, 0x18)


def encode_file_meta(
    sop_class_uid: str,
    sop_instance_uid: str,
    transfer_syntax_uid: str,
    *,
    source_ae: str = "",
    sending_ae: str = "",
    receiving_ae: str = "",
    preamble: bytes = b"\0" * 128,
) -> bytes:
    """Preamble, prefix and file meta information (PS3.10 7.1) with this implementation's own UID and version name."""
    value = sop_instance_uid.encode("ascii")
    if len(value) & 1:
        value += b"\0"
    titles = source_ae, sending_ae, receiving_ae
    before, after = _around_instance(sop_class_uid, transfer_syntax_uid, titles, len(value))
    return b"".join((preamble, before, value, after))


@lru_cache(maxsize=1024)
def _around_instance(
    sop_class_uid: str, transfer_syntax_uid: str, titles: tuple[str, ...], length: int
) -> tuple[bytes, bytes]:
    """What is before, from the prefix on, and after a SOP Instance UID of ``length``: the same for many instances."""
    rows = [_element(number, b"AE", _even(title, b" ")) for number, title in zip(_TITLES, titles, strict=True) if title]
    syntax = _element(0x10, b"UI", _even(transfer_syntax_uid, b"\0"))
    after = b"".join([syntax, _OWN, *rows])
    sop_class = _VERSION + _element(0x02, b"UI", _even(sop_class_uid, b"\0"))
    before = sop_class + _SHORT.pack(2, 0x03, b"UI", length)
    group_length = _element(0x00, b"UL", _LENGTH.pack(len(before) + length + len(after)))
    return b"DICM" + group_length + before, after
