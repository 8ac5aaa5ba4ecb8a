"""DICOM files to Datasets and back (PS3.10): reading opens, looks at the head and closes; saving replaces atomically.

Promises: `dcmread` reads no value that nobody asked for and holds no descriptor; a file written here is complete under
its name or not there, starts with preamble and file meta information, and repeats what was read byte for byte where
nothing was changed. Refuses: deflated data over ``Limits.inflated_length``, and what `part10` refuses.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable
from contextlib import suppress
from typing import Any, Literal

from ..encoding.index import ElementIndex, read_index
from ..encoding.policy import LENIENT, Policy
from ..encoding.sink import FileSink
from ..encoding.source import BytesSource, FileSource, Source, open_source
from ..encoding.stream import Inflater, StreamEnded, StreamSource
from ..encoding.writer import Lengths
from ..errors import EncodingError, Issue
from ..limits import DEFAULT_LIMITS, Limits
from ..vocab.dictionary import keyword_for_tag
from ..vocab.syntaxes import EXPLICIT_LE, TransferSyntax, transfer_syntax
from ..vocab.tag import format_tag, parse_tag
from ..vocab.uids import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME
from ._late import late
from .chunks import iter_bytes, iter_deflated
from .dataset import Dataset
from .element import element_name
from .origin import FileState, Origin
from .part10 import Layout, is_island, read_layout
from .writer import encode_dataset, encode_group, is_deflated_copy

__all__ = ["dcmread", "dcmwrite", "encode_head", "freeze", "read_dataset", "restore", "save_as"]

_BEFORE_PIXELS = 0x7FE00008  # Float Pixel Data; Double Float Pixel Data and Pixel Data follow
_CHARSET = 0x00080005
_UIDS = ((0x00020002, 0x00080016), (0x00020003, 0x00080018))
_TRANSFER_SYNTAX = 0x00020010


def dcmread(
    origin: Any,
    stop_before_pixels: bool = False,
    specific_tags: Iterable[Any] | None = None,
    policy: Policy | None = None,
    limits: Limits = DEFAULT_LIMITS,
) -> Dataset:
    """A Dataset over a path, bytes, or a binary file, which need not seek.

    ``specific_tags`` keeps only these elements and Specific Character Set. With it or ``stop_before_pixels`` a binary
    file is read (and a deflated one inflated) only as far as that needs, in blocks of 4 KiB; else to its end.
    ``policy`` decides whether faults become ``ds.issues`` or are raised; a strict one reads every value at once.
    Raises OSError as `open` does, `EncodingError`.
    """
    if policy is None:
        policy = LENIENT
    wanted = None
    stop_tag = _BEFORE_PIXELS if stop_before_pixels else None
    if specific_tags is not None:
        wanted = {_CHARSET, *map(int, map(parse_tag, specific_tags))}
        stop_tag = min(max(wanted) + 1, stop_tag or 0xFFFFFFFF)
    issues: list[Issue] = []
    source: BytesSource | FileSource
    if stop_tag is not None and hasattr(origin, "read"):
        stream = StreamSource(origin, limits=limits)
        try:
            layout, _ = read_layout(stream, policy=policy, issues=issues)
            body, index = _read_body(stream, layout, stop_tag, limits, policy, issues)
            source = stream.whole() if layout.syntax.deflated else body
        except StreamEnded:
            issues.clear()
            source = stream.whole()
            layout, _ = read_layout(source, policy=policy, issues=issues)
            body, index = _read_body(source, layout, stop_tag, limits, policy, issues)
    else:
        source = open_source(origin, limits=limits)
        layout, _ = read_layout(source, policy=policy, issues=issues)
        body, index = _read_body(source, layout, stop_tag, limits, policy, issues)
        if isinstance(source, FileSource):
            _trim(source, index, body is source)
    file = FileState(source, layout, limits, policy, issues, is_whole=stop_tag is None)
    dataset = Dataset._over(Origin(file, body, index))
    if wanted is not None:
        dataset._edits.update({tag: None for tag in index.tags() if tag not in wanted})
    if not policy.lenient:
        dataset.check()
    return dataset


def _read_body(
    source: Source, layout: Layout, stop_tag: int | None, limits: Limits, policy: Policy, issues: list[Issue]
) -> tuple[Any, ElementIndex]:
    """The source that holds the data set, inflated where need be, and its index."""
    syntax, start = layout.syntax, layout.dataset_offset
    if syntax.deflated:
        stream = StreamSource(Inflater(source, start, limits=limits, policy=policy, issues=issues), limits=limits)
        source, start = stream if stop_tag is not None else stream.whole(to_end=True), 0
    found: list[Issue] = []
    explicit = syntax.explicit
    if syntax.deflated and len(source.head) >= 8:
        explicit = bytes(source.head[4:6]).isalpha() and bytes(source.head[4:6]).isupper()
        explicit = explicit or is_island(source, start, False)
        if not explicit:
            policy.accept(Issue("the deflated data set is Implicit VR", start, clause="PS3.5 A.5"), issues)

    def index() -> ElementIndex:
        return read_index(
            source,
            start,
            explicit=explicit,
            big_endian=syntax.big_endian,
            limits=limits,
            policy=policy,
            issues=found,
            stop_tag=stop_tag,
        )

    try:
        made = index()
    except StreamEnded:
        if not syntax.deflated:
            raise  # the layout may change too
        assert isinstance(source, StreamSource)
        source = source.whole()
        found.clear()
        made = index()
    for issue in found:
        policy.accept(issue, issues)
    return source.whole() if isinstance(source, StreamSource) else source, made


def _trim(source: FileSource, index: Any, is_body: bool) -> None:
    """Keep of the head what small reads will ask for: up to a last, long value."""
    if not is_body or not len(index):
        return
    last = len(index) - 1
    offset = index.value_offset_at(last)
    if index.end_offset_at(last) > len(source.head) > 2 * offset:
        source.trim(offset)


def read_dataset(
    data: Any, transfer_syntax_uid: str, *, policy: Policy | None = None, limits: Limits = DEFAULT_LIMITS
) -> Dataset:
    """A Dataset over bytes without file meta information, such as a DIMSE body, in a known transfer syntax."""
    policy = policy or LENIENT
    issues: list[Issue] = []
    source = open_source(data, limits=limits)
    syntax = transfer_syntax(transfer_syntax_uid)
    layout = Layout(False, 0, 0, syntax, syntax.uid)
    body, index = _read_body(source, layout, None, limits, policy, issues)
    dataset = Dataset._over(Origin(FileState(source, layout, limits, policy, issues), body, index))
    if not policy.lenient:
        dataset.check()
    return dataset


def save_as(
    dataset: Dataset,
    path: Any,
    transfer_syntax_uid: str | TransferSyntax | None = None,
    *,
    durability: Literal["process", "power"] = "process",
    replace: bool = True,
    lengths: Lengths | None = None,
    group_lengths: bool | None = None,
    conform: bool = False,
    enforce_file_format: bool = True,
) -> None:
    """Write a Part 10 file, or to anything with a ``write`` method. The data set goes on from where it was read.

    EncodingError for a new data set without SOP Class or Instance UID, which a file must name (PS3.10 7.1), but not
    with ``enforce_file_format=False``. One that was read without them is written so, which is told in ``ds.issues``.
    A file saved over its own source is re-opened in place, and items and sequences that were handed out stay good.
    A file that is replaced keeps its permissions; a symbolic link stays one, and what it leads to is replaced.
    FileExistsError with ``replace=False`` when the name is taken. ``lengths`` ("defined", "undefined") and
    ``group_lengths`` are those of `writer.encode_dataset`; a deflated data set is deflated as it is written.
    ``conform`` mends the faulty values that else are written as they were read (see `dicomcore.data.conform`).
    """
    wanted = transfer_syntax_uid or dataset.transfer_syntax
    uid = wanted.uid if isinstance(wanted, TransferSyntax) else str(wanted)
    _check_groups(dataset)
    written = late("conformed")(dataset) if conform else dataset
    is_plain = lengths is None and group_lengths is None
    is_copy = transfer_syntax(uid).deflated and is_plain and is_deflated_copy(written, transfer_syntax(uid))
    chunks = encode_dataset(written, uid, lengths=lengths, group_lengths=group_lengths, deflate=is_copy)
    deflates = transfer_syntax(uid).deflated and not is_copy
    views = iter_deflated(chunks) if deflates else iter_bytes(chunks)
    head = encode_head(written, uid, enforce_file_format)
    if hasattr(path, "write"):
        path.write(head)
        for view in views:
            path.write(view)
        return
    own = dataset._origin.file.source if dataset._origin is not None else None
    is_own = isinstance(own, FileSource) and os.path.exists(path) and os.path.samefile(path, own.path)
    target = os.path.realpath(path) if os.path.islink(path) else path
    with FileSink(target, durability=durability, replace=replace) as sink:
        if hasattr(os, "fchmod"):  # who may not read the old file is not to read the new one
            with suppress(OSError):
                os.fchmod(sink.fileno(), stat.S_IMODE(os.stat(target).st_mode))
        sink.write(head)
        for view in views:
            sink.write(view)
    if is_own:
        assert dataset._origin is not None
        file = dataset._origin.file
        fresh = dcmread(path, policy=LENIENT, limits=file.limits)
        assert fresh._origin is not None
        _rebase(dataset, fresh)
        if dataset._meta is not None:
            object.__setattr__(dataset, "_meta", None)


def dcmwrite(path: Any, dataset: Dataset, transfer_syntax: str | TransferSyntax | None = None, **options: Any) -> None:
    """`Dataset.save_as` under the name, and with the arguments in the order, that pydicom has."""
    dataset.save_as(path, transfer_syntax, **options)


def _check_groups(dataset: Dataset) -> None:
    """Group 0002 in front of a data set would be read back as file meta information, and what is there be lost."""
    for tag, element in dataset._edits.items():
        if element is not None and tag >> 16 <= 2:
            raise EncodingError(
                f"{element.name} stands in the data set itself",
                path=format_tag(tag),
                clause="PS3.10 7.1",
                hint=f"set file_meta.{element.keyword}" if tag >> 16 == 2 else "it belongs into a command set",
            )


def _rebase(dataset: Dataset, fresh: Dataset) -> None:
    """Put a data set that was just written on the bytes that it was written to, and its items likewise."""
    touched = dict(dataset._sequences)
    touched.update({tag: one.value for tag, one in dataset._edits.items() if one is not None and one.VR == "SQ"})
    assert fresh._origin is not None
    for tag, sequence in touched.items():
        row = fresh._origin.index.find(tag)
        new = fresh._sequence(tag, row)
        for number, item in enumerate(sequence._items):
            if isinstance(item, Dataset):
                _rebase(item, new[number])
                new._items[number] = item
        sequence._items = new._items
        sequence._make = new._make
        sequence._reshaped = False
    object.__setattr__(dataset, "_origin", fresh._origin)
    object.__setattr__(dataset, "_edits", {})
    object.__setattr__(dataset, "_sequences", touched)


def encode_head(dataset: Dataset, uid: str, enforce_file_format: bool = True) -> bytes:
    """Preamble, prefix and meta group: as they were read when they still say the truth, else made anew."""
    origin = dataset._origin
    layout = origin.file.layout if origin is not None and origin.parent is None else None
    meta = dataset.file_meta
    preamble = b"\0" * 128
    if origin is not None and layout is not None and layout.has_preamble:
        source = origin.file.source
        preamble = bytes(source.view(0, 128))
        rows = meta._origin.index if meta._origin is not None else None
        cut = rows is not None and len(rows) and rows.is_cut(len(rows) - 1)  # it would swallow what follows
        kept = not (cut or meta._is_edited() or any(tag in dataset._edits for _, tag in _UIDS))
        if uid == layout.declared_syntax and 0x00020000 in meta and kept:
            return bytes(source.view(0, layout.dataset_offset))
    written = Dataset()
    for element in meta:
        if element.tag >> 16 == 2 and element.tag & 0xFFFF:
            written.add(element)
    written.FileMetaInformationVersion = b"\0\1"
    for own, tag in _UIDS:
        if value := dataset._value(tag, None):
            written._assign(own, str(value))
    _check_head(dataset, written, enforce_file_format)
    written.TransferSyntaxUID = uid
    written.ImplementationClassUID = IMPLEMENTATION_CLASS_UID
    written.ImplementationVersionName = IMPLEMENTATION_VERSION_NAME
    group = encode_group(written)
    written = Dataset()
    written.FileMetaInformationGroupLength = len(group)
    return b"".join((preamble, b"DICM", encode_group(written), group))


def _check_head(dataset: Dataset, meta: Dataset, enforced: bool) -> None:
    """A file must name its SOP Class and Instance; one that was read without them may go on, and that is told."""
    for tag, own in _UIDS:
        if meta._value(tag, None):
            continue
        message, path = f"the file is written without {element_name(tag)}", format_tag(tag)
        if dataset._origin is None and enforced:
            keyword = keyword_for_tag(own)
            raise EncodingError(
                f"the data set has no {keyword} {format_tag(own)}, which a file must name",
                path=path,
                clause="PS3.10 7.1",
                hint=f"set {keyword} or file_meta.{keyword_for_tag(tag)}; or give enforce_file_format=False",
            )
        issue = Issue(message, None, path, "PS3.10 7.1")
        if dataset._origin is not None and enforced:
            dataset._origin.report(issue)


def freeze(dataset: Dataset) -> tuple[bytes, str, tuple[str, ...], bytes | None]:
    """What `restore` needs: the encoded data set, its syntax, the character set it inherits, its meta group."""
    origin = dataset._origin
    uid = dataset._read_syntax() if origin is not None and origin.parent is None else EXPLICIT_LE.uid
    syntax = transfer_syntax(uid)
    if syntax.deflated or (origin is not None and origin.index.explicit and not syntax.explicit):  # else VRs are lost
        uid = EXPLICIT_LE.uid
    has_meta = dataset._meta is not None or (origin is not None and origin.parent is None)
    charsets = origin.charsets if origin is not None and origin.parent is not None else ()
    meta = encode_group(dataset.file_meta) if has_meta and len(dataset.file_meta) else None
    try:
        chunks = encode_dataset(dataset, uid, charsets=charsets)
    except EncodingError:  # text that waits for a character set, such as that of the level where an item will go
        if charsets or dataset._charsets():
            raise
        charsets = ("ISO_IR 192",)
        chunks = encode_dataset(dataset, uid, charsets=charsets)
    return b"".join(iter_bytes(chunks)), uid, charsets, meta


def restore(data: bytes, uid: str, charsets: tuple[str, ...], meta: bytes | None) -> Dataset:
    """The data set that `freeze` took apart; this is how a Dataset is unpickled."""
    dataset = read_dataset(data, uid)
    assert dataset._origin is not None
    if charsets:
        dataset._origin.inherit(charsets)
    if meta is not None:
        dataset.file_meta = read_dataset(meta, EXPLICIT_LE.uid)
    return dataset
