"""Directory records of a DICOMDIR as a tree, and the tree as bytes (PS3.3 annex F, PS3.10 section 8.6).

Promises: every record is linked at most once, so that a loop or a shared branch of a hostile file is cut with an Issue
and nothing is walked for ever; records that no link reaches come back as orphans; private and unknown records and
elements are written as they were read; offsets are counted from the first byte of the file, preamble included.
Refuses (`LimitExceeded`): trees deeper than ``Limits.nesting_depth`` and directories over 4 GiB.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

from ..encoding.index import read_index
from ..encoding.policy import LENIENT, Policy
from ..encoding.source import BytesSource
from ..encoding.writer import element_header, item_header
from ..errors import EncodingError, Issue, LimitExceeded
from ..limits import DEFAULT_LIMITS, Limits
from ..vocab.dictionary import tag_for_keyword
from ..vocab.tag import format_tag
from ..vocab.uids import UID
from .dataset import Dataset
from .file_ids import Folder
from .files import dcmread
from .writer import encode_group

__all__ = ["LEVELS", "Criterion", "Record", "descend", "encode_directory", "meets", "read_records"]

LEVELS = ("PATIENT", "STUDY", "SERIES")
CLAUSE = "PS3.3 F.3.2"
_FIRST, _LAST, _CONSISTENCY, _SEQUENCE = 0x00041200, 0x00041202, 0x00041212, 0x00041220
_NEXT, _IN_USE, _LOWER, _MRDR = 0x00041400, 0x00041410, 0x00041420, 0x00041504
_ACTIVE = 0xFFFF
# What a record says of its file, by the name that it has in the file.
_IN_FILE = {
    "SOPClassUID": "ReferencedSOPClassUIDInFile",
    "SOPInstanceUID": "ReferencedSOPInstanceUIDInFile",
    "TransferSyntaxUID": "ReferencedTransferSyntaxUIDInFile",
}
_ABSENT: Any = object()

Criterion = str | int | float | Callable[[Any], bool]


class Record:
    """A directory record. ``dataset`` holds its own elements; ``record.PatientID`` also looks into those above it."""

    __slots__ = ("_children", "_folder", "dataset", "in_use", "parent", "type")

    def __init__(self, dataset: Dataset, folder: Folder) -> None:
        self.dataset = dataset
        self.parent: Record | None = None
        self.type = str(dataset.get("DirectoryRecordType") or "").strip()
        self.in_use = dataset.get("RecordInUseFlag") != 0
        self._children: list[Record] = []
        self._folder = folder

    @property
    def children(self) -> list[Record]:
        """The records right below it that are in use."""
        return [child for child in self._children if child.in_use]

    @property
    def ancestors(self) -> list[Record]:
        """Those above it, the nearest first."""
        found = []
        record = self.parent
        while record is not None:
            found.append(record)
            record = record.parent
        return found

    def walk(self) -> Iterator[Record]:
        """Itself and every record in use below it, depth first."""
        return descend([self], active=True)

    def instances(self) -> Iterator[Record]:
        """The records from here on down that reference a file."""
        return (record for record in self.walk() if record.is_instance)

    def get(self, keyword: str, default: Any = None) -> Any:
        """The value of a key of this record, else of the nearest record above that has it; UIDs by plain names."""
        keyword = _IN_FILE.get(keyword, keyword)
        record: Record | None = self
        while record is not None:
            value = record.dataset.get(keyword, _ABSENT)
            if value is not _ABSENT:
                return value
            record = record.parent
        return default

    def __getattr__(self, name: str) -> Any:
        if not name.startswith("_") and tag_for_keyword(name) is not None:
            value = self.get(name, _ABSENT)
            if value is not _ABSENT:
                return value
        raise AttributeError(f"neither the {self.type} record nor those above it have {name!r}", name=name, obj=self)

    @property
    def is_instance(self) -> bool:
        return self.type not in LEVELS and bool(self.file_id)

    @property
    def file_id(self) -> tuple[str, ...]:
        """Referenced File ID (0004,1500), component by component; empty when it references none."""
        value = self.dataset.get("ReferencedFileID")
        if not value:
            return ()
        return (value,) if isinstance(value, str) else tuple(map(str, value))

    @property
    def path(self) -> Path:
        """The referenced file, which need not exist. `EncodingError` when the File ID leaves the file-set's folder."""
        if not self.file_id:
            raise EncodingError(f"the {self.type} record references no file", path="(0004,1500)", clause=CLAUSE)
        return self._folder.path_of(self.file_id)

    def read(self, **options: Any) -> Dataset:
        """The referenced file, as `dicomcore.dcmread` reads it."""
        return dcmread(self.path, **options)

    @property
    def sop_class_uid(self) -> UID:
        return UID(self.dataset.get("ReferencedSOPClassUIDInFile") or "")

    @property
    def sop_instance_uid(self) -> UID:
        return UID(self.dataset.get("ReferencedSOPInstanceUIDInFile") or "")

    @property
    def transfer_syntax_uid(self) -> UID:
        return UID(self.dataset.get("ReferencedTransferSyntaxUIDInFile") or "")

    @property
    def offset(self) -> int | None:
        """Where its item starts in the DICOMDIR that it was read from."""
        origin = self.dataset._origin
        return origin.span.header_offset if origin is not None and origin.span is not None else None

    def __repr__(self) -> str:
        return f"<Record {self.type} {'/'.join(self.file_id) or len(self._children)}>"


def descend(records: Iterable[Record], *, active: bool = False) -> Iterator[Record]:
    """These records and all below, depth first; with ``active`` only those in use, and none below others."""
    pending = list(records)[::-1]
    while pending:
        record = pending.pop()
        if record.in_use or not active:
            yield record
            pending += reversed(record._children)


def meets(value: Any, wanted: Criterion) -> bool:
    """Whether a value, or one of several, is what a search wants: a pattern, a number, or a function's consent."""
    if callable(wanted):
        return value is not None and bool(wanted(value))
    values = value if isinstance(value, list) else [value]
    if isinstance(wanted, str):
        pattern = re.compile("".join({"*": ".*", "?": "."}.get(c, re.escape(c)) for c in wanted), re.DOTALL)
        return any(one is not None and pattern.fullmatch(str(one)) is not None for one in values)
    return any(one == wanted for one in values)


class _Linker:
    """Takes records by their offset, each once."""

    def __init__(self, records: dict[int, Record], policy: Policy, issues: list[Issue], limits: Limits) -> None:
        self.left = records
        self.known = frozenset(records)
        self.policy = policy
        self.issues = issues
        self.limits = limits

    def tree(self, first: int, at: int, tag: int) -> list[Record]:
        """The records that ``first`` leads to, with all below them."""
        roots: list[Record] = []
        pending: list[tuple[Record | None, int, int, int]] = [(None, first, at, 0)]
        while pending:
            parent, position, source, depth = pending.pop()
            if depth > self.limits.nesting_depth:
                raise LimitExceeded(
                    f"directory records are nested deeper than {self.limits.nesting_depth}",
                    offset=position,
                    hint="raise Limits.nesting_depth if this is meant",
                )
            siblings = roots if parent is None else parent._children
            link = tag if parent is None else _LOWER
            while position:
                record = self.left.pop(position, None)
                if record is None:
                    self.fault(position, source, link)
                    break
                record.parent = parent
                siblings.append(record)
                lower = _offset(record.dataset, _LOWER)
                if lower:
                    pending.append((record, lower, position, depth + 1))
                source, link, position = position, _NEXT, _offset(record.dataset, _NEXT)
        return roots

    def fault(self, position: int, source: int, tag: int) -> None:
        if position in self.known:
            message = f"the record at byte {position} is linked a second time: a loop, or a branch that is shared"
        else:
            message = f"no directory record starts at byte {position}"
        self.policy.accept(Issue(f"{message}; the link is cut", source, format_tag(tag), CLAUSE), self.issues)


def _offset(dataset: Dataset, tag: int) -> int:
    element = dataset.get(tag)
    value = element.value if element is not None else None
    return value if isinstance(value, int) else 0


def read_records(
    dataset: Dataset, folder: Folder, *, policy: Policy = LENIENT, limits: Limits = DEFAULT_LIMITS
) -> tuple[list[Record], list[Record]]:
    """The records below the root directory entity of a DICOMDIR, and those that no link reaches.

    Wrong links become issues of the data set, or `EncodingError` by a strict policy.
    """
    records = {}
    for item in dataset.get("DirectoryRecordSequence") or ():
        record = Record(item, folder)
        records[record.offset or 0] = record
    _resolve_multiple(records)
    linker = _Linker(records, policy, dataset.issues, limits)
    roots = linker.tree(_offset(dataset, _FIRST), 0, _FIRST)
    last = _offset(dataset, _LAST)
    if roots and roots[-1].offset != last:
        message = f"the last record of the root entity is at byte {roots[-1].offset}, not {last}"
        policy.accept(Issue(message, None, format_tag(_LAST), CLAUSE), dataset.issues)
    orphans: list[Record] = []
    if linker.left:
        message = f"{len(linker.left)} of {len(linker.known)} directory records are linked from nowhere"
        policy.accept(Issue(message, min(linker.left), format_tag(_SEQUENCE), CLAUSE), dataset.issues)
        quiet = _Linker(records, LENIENT, [], limits)
        targets = {_offset(record.dataset, tag) for record in records.values() for tag in (_NEXT, _LOWER)}
        for position in [*(one for one in sorted(records) if one not in targets), *sorted(records)]:
            if position in records:
                orphans += quiet.tree(position, 0, _FIRST)
    return roots, orphans


def _resolve_multiple(records: dict[int, Record]) -> None:
    """Retired multi-referenced file records (MRDR): what they say moves into the records that point at them."""
    shared = {position: record for position, record in records.items() if record.type == "MRDR"}
    if not shared:
        return
    for record in records.values():
        target = shared.get(_offset(record.dataset, _MRDR))
        if target is not None and target is not record:
            for keyword in ("ReferencedFileID", *_IN_FILE.values()):
                if keyword in target.dataset:
                    record.dataset.update({keyword: target.dataset.get(keyword)})
            record.dataset.pop(_MRDR, None)
    for position in shared:
        del records[position]


def encode_directory(dataset: Dataset, roots: list[Record], orphans: list[Record], start: int) -> bytes:
    """The data set of a DICOMDIR with these records, links made anew; ``start`` is its offset in the file.

    Explicit VR Little Endian with defined lengths (PS3.10 section 8.6). Orphans are written, and stay unlinked.
    """
    charsets = dataset._charsets()
    before, after = _whole(dataset), _whole(dataset)
    for tag in list(dataset.keys()):
        if tag >= _SEQUENCE:
            del before[tag]
        if tag <= _SEQUENCE:
            del after[tag]
    before.add_new(_FIRST, "UL", 0)
    before.add_new(_LAST, "UL", 0)
    before.add_new(_CONSISTENCY, "US", 0)
    records = [*descend(roots), *descend(orphans)]
    head = bytearray(encode_group(before, charsets))
    bodies = [_encode_record(record, charsets) for record in records]
    length = sum(map(len, bodies)) + 8 * len(bodies)
    header = element_header(_SEQUENCE, "SQ", min(length, 0xFFFFFFFE), explicit=True, big_endian=False)
    positions: dict[int, int] = {}
    position = start + len(head) + len(header)
    if position + length > 0xFFFFFFFE:
        raise LimitExceeded("a directory of over 4 GiB has no offsets", clause=CLAUSE)
    for record, body in zip(records, bodies, strict=True):
        positions[id(record)] = position
        position += 8 + len(body)
    followers = _followers(roots)
    for record, body in zip(records, bodies, strict=True):
        followers |= _followers(record._children)
        lower = record._children[0] if record._children else None
        follower = followers.get(id(record))
        links = {_NEXT: follower, _LOWER: lower}
        _patch(body, {tag: positions[id(target)] for tag, target in links.items() if target is not None})
    if roots:
        _patch(head, {_FIRST: positions[id(roots[0])], _LAST: positions[id(roots[-1])]})
    items = [part for body in bodies for part in (item_header(len(body), big_endian=False), body)]
    return b"".join([head, header, *items, encode_group(after, charsets)])


def _whole(dataset: Dataset) -> Dataset:
    """A copy in which no element claims more bytes than there are: verbatim, it would swallow what follows."""
    copy, origin = dataset.copy(), dataset._origin
    if origin is not None:
        for row in range(len(origin.index)):
            element = copy.get(origin.index.tag_at(row)) if origin.index.is_cut(row) else None
            if element is not None:
                copy.add(element)
    return copy


def _followers(siblings: list[Record]) -> dict[int, Record]:
    return {id(one): other for one, other in pairwise(siblings)}


def _encode_record(record: Record, charsets: tuple[str, ...]) -> bytearray:
    """Its elements, with links of 0."""
    dataset = _whole(record.dataset)
    dataset.add_new(_NEXT, "UL", 0)
    dataset.add_new(_IN_USE, "US", _ACTIVE if record.in_use else 0)
    dataset.add_new(_LOWER, "UL", 0)
    return bytearray(encode_group(dataset, charsets))


def _patch(encoded: bytearray, offsets: dict[int, int]) -> None:
    """Put offsets into value fields that were encoded as 0."""
    if not offsets:
        return
    index = read_index(BytesSource(bytes(encoded)), explicit=True, big_endian=False, issues=[])
    for tag, value in offsets.items():
        at = index.value_offset_at(index.find(tag))
        encoded[at : at + 4] = value.to_bytes(4, "little")
