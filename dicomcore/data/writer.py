"""Data sets to bytes (PS3.5 sections 7 and 10): the faces of `LevelWriter`, for whole data sets and small ones.

A data set that is deflated where it was read from, and is all that was there, is copied as it is (A.5).
Refuses (`EncodingError`): native pixel data in an encapsulated syntax and the reverse, which is `dicomcore.transcode`'s
work, and text that its character set cannot hold.
"""

from __future__ import annotations

from ..encoding.writer import Lengths
from ..errors import EncodingError
from ..limits import DEFAULT_LIMITS, Limits
from ..vocab.syntaxes import TransferSyntax, transfer_syntax
from ..vocab.tag import format_tag
from .chunks import Chunk, SourceSlice, iter_bytes, iter_deflated
from .dataset import Dataset
from .level_writer import PIXEL_DATA, LevelWriter, Scope, is_encapsulated

__all__ = ["encode_dataset", "encode_group", "is_deflated_copy"]


def encode_dataset(
    dataset: Dataset,
    transfer_syntax_uid: str | TransferSyntax | None = None,
    *,
    charsets: tuple[str, ...] = (),
    limits: Limits | None = None,
    lengths: Lengths | None = None,
    group_lengths: bool | None = None,
    deflate: bool = True,
) -> list[Chunk]:
    """The data set, without file meta information, in its own or another syntax, as chunks that each have a ``len()``.

    ``charsets`` is in effect until the data set says otherwise. ``lengths`` "defined" or "undefined" is what all
    sequences and items get; by default each keeps the kind it has. Group lengths (PS3.5 7.2) stay where nothing
    changes and go where something does; with ``group_lengths`` True those of every level stay and are made right, with
    False none is written. Without ``deflate`` a deflated syntax gives what is to be deflated. ``limits`` are those that
    it was read with.
    """
    wanted = transfer_syntax_uid or dataset.transfer_syntax
    syntax = wanted if isinstance(wanted, TransferSyntax) else transfer_syntax(wanted)
    _check_pixels(dataset, syntax)
    origin = dataset._origin
    if lengths is None and group_lengths is None and deflate and is_deflated_copy(dataset, syntax):
        assert origin is not None
        source, layout = origin.file.source, origin.file.layout
        assert layout is not None
        return [SourceSlice(source, layout.dataset_offset, source.size - layout.dataset_offset)]
    if limits is None:
        limits = origin.file.limits if origin is not None else DEFAULT_LIMITS
    writer = LevelWriter(syntax.explicit, syntax.big_endian, limits, lengths, group_lengths)
    chunks = writer.level(dataset, Scope(charsets, None, ()))
    return [b"".join(iter_deflated(chunks))] if syntax.deflated and deflate else chunks


def is_deflated_copy(dataset: Dataset, syntax: TransferSyntax) -> bool:
    """Whether it was deflated where it was read from, and is all that was there: then that can be copied."""
    origin = dataset._origin
    if origin is None or origin.parent is not None or not syntax.deflated or not origin.file.is_whole:
        return False
    layout = origin.file.layout
    return layout is not None and layout.syntax is syntax and not dataset._is_edited()


def encode_group(dataset: Dataset, charsets: tuple[str, ...] = ()) -> bytes:
    """A small data set in Explicit VR Little Endian, in one piece."""
    chunks = LevelWriter(True, False, DEFAULT_LIMITS).level(dataset, Scope(charsets, None, ()))
    return b"".join(iter_bytes(chunks))


def _check_pixels(dataset: Dataset, syntax: TransferSyntax) -> None:
    edited = dataset._edits.get(PIXEL_DATA)
    if edited is not None:
        encapsulated = is_encapsulated(edited.value)
    elif PIXEL_DATA in dataset:
        if syntax.uid == transfer_syntax(dataset._read_syntax()).uid:
            return
        assert dataset._origin is not None
        index = dataset._origin.index
        encapsulated = index.is_encapsulated(index.find(PIXEL_DATA))
    else:
        return
    if encapsulated != syntax.encapsulated or (encapsulated and edited is None):
        current = transfer_syntax(dataset._read_syntax())
        kind = "encapsulated" if encapsulated else "native"
        raise EncodingError(
            f"pixel data is {kind} ({current}) and cannot be written as {syntax}",
            path=format_tag(PIXEL_DATA),
            clause="PS3.5 A.4",
            hint=f'use dicomcore.transcode(ds, "{syntax.uid}")',
        )
