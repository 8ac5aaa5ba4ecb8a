"""One level of a data set to bytes, and all that is below it: what nobody changed stays as it stands in its source.

A run of elements is verbatim while byte order, VR form, the character set in effect and Pixel Representation are those
it was read with; group lengths of a level that changes are dropped (PS3.5 7.2). Else runs go through the re-encoding
kernel, and single elements through `encode`: edits, text whose character set changes, values that Pixel Representation
relabels (only the VR changes, and only when the value fits both). Lengths along the path of an edit are recomputed. A
run in which the kernel finds a fault is written element by element instead, as lenient reading sees it. An item that
was moved under a character set that cannot hold its text keeps its own instead.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from typing import NamedTuple

from .._core.level import Encoder, setup_forms
from ..encoding.text import is_readable
from ..encoding.values import DS, IS, decode, encode
from ..encoding.vrs import UNDEFINED_LENGTH, VRContext, dictionary_vr, vr_for_value
from ..encoding.writer import (
    UNSWAPPED,
    Lengths,
    element_header,
    item_delimiter,
    item_header,
    reencode,
    sequence_delimiter,
)
from ..errors import EncodingError, Issue, LimitExceeded, SourceChanged
from ..limits import Limits
from ..vocab.tag import format_tag
from ..vocab.vr import VRS
from .chunks import Chunk, SourceSlice, iter_bytes, slice_of
from .dataset import Dataset
from .element import Element
from .origin import CHARSET, LUT_DESCRIPTORS, PIXEL_REPRESENTATION, TEXT_VRS, Origin, as_charsets, in_order
from .sequence import Sequence

__all__ = ["PIXEL_DATA", "LevelWriter", "Scope", "is_encapsulated"]

PIXEL_DATA = 0x7FE00010
_UNREADABLE = "text that its character set does not have; its bytes stay as they are in the new one"
_BULK_LENGTH = 1 << 16  # longer values of bytes go apart from their neighbours and are not copied
_WHOLE_LENGTH = 1 << 20  # a shorter run is not searched for them but at its end
_ITEM_MARK = b"\xfe\xff\x00\xe0"
_END_MARK = b"\xfe\xff\xdd\xe0\0\0\0\0"


def _forms() -> Iterator[tuple[str, int, int, bool, int, int, bool]]:
    """What the compiled encoder knows of each VR, by the numbers of its ``Kind`` and struct's letters."""
    numbers = {"FL": b"f", "FD": b"d", "SL": b"i", "SS": b"h", "SV": b"q", "UL": b"I", "US": b"H", "UV": b"Q"}
    for vr, row in VRS.items():
        letter = numbers.get(vr, b"\0")[0]
        if vr in ("DS", "IS", "SQ"):
            kind = {"DS": 3, "IS": 4, "SQ": 7}[vr]
        elif row.is_string:
            kind = 1 if row.is_multi_valued else 2
        else:
            kind = 5 if letter else 6 if vr[0] == "O" or vr == "UN" else 0
        yield vr, kind, row.pad[0], row.long_header, row.word, letter, row.is_text


setup_forms(_forms(), DS, IS)


class Scope(NamedTuple):
    """What a level inherits in the file that is being written."""

    charsets: tuple[str, ...]
    pixel_representation: int | None
    datasets: tuple[Dataset, ...]  # the enclosing levels, outermost first


def is_encapsulated(value: object) -> bool:
    start = value.read(0, 4) if isinstance(value, SourceSlice) else value[:4] if isinstance(value, bytes) else b""
    return bytes(start) == _ITEM_MARK


def _even(raw: bytes, vr: str) -> bytes:
    return raw + VRS[vr].pad if len(raw) & 1 else raw


class LevelWriter:
    """One target encoding. Recursion is as deep as sequences are, and bounded by ``limits.nesting_depth``."""

    def __init__(
        self,
        explicit: bool,
        big_endian: bool,
        limits: Limits,
        lengths: Lengths | None = None,
        group_lengths: bool | None = None,
    ) -> None:
        self.explicit = explicit
        self.big_endian = big_endian
        self.limits = limits
        self.lengths = lengths
        self.group_lengths = group_lengths

    # -- a level ----------------------------------------------------------------------------------------------------

    def level(self, dataset: Dataset, scope: Scope, keep: tuple[str, ...] | None = None) -> list[Chunk]:
        """A data set or item without item header. ``keep``: the character set to declare here and keep the text in."""
        if len(scope.datasets) > self.limits.nesting_depth:
            raise LimitExceeded(
                f"sequences are nested deeper than {self.limits.nesting_depth}", hint="does an item contain itself?"
            )
        origin = dataset._origin
        as_kept = self.lengths is None and self.group_lengths is None
        if origin is None and keep is None and not self.big_endian and as_kept:
            return self.fresh(dataset, scope)
        inner = self.inner(dataset, scope if keep is None else scope._replace(charsets=keep))
        extra = {} if keep is None else {CHARSET: Element(CHARSET, "CS", list(keep))}
        if self.group_lengths:
            chunks = self.counted(dataset, origin, extra, inner)
        elif origin is None:
            edits = {**dataset._edits, **extra}
            chunks = [chunk for tag in sorted(edits) if edits[tag] for chunk in self.edit(tag, edits[tag], inner)]
        else:
            chunks = self.mixed(dataset, origin, extra, inner)
        return chunks

    def fresh(self, dataset: Dataset, scope: Scope) -> list[Chunk]:
        """A level whose every element was assigned: compiled, but for what `edit` has to see to."""

        def left(tag: int, element: Element, levels: tuple[Dataset, ...]) -> list[Chunk]:
            inner = scopes.get(len(levels))
            if inner is None or inner.datasets[-1] is not levels[-1]:
                inner = scope
                for level in levels:
                    inner = self.inner(level, inner)
                scopes[len(levels)] = inner
            chunks = self.edit(tag, element, inner)
            return chunks if len(levels) == 1 else [b"".join(iter_bytes(chunks))]

        scopes: dict[int, Scope] = {}
        depth = self.limits.nesting_depth - len(scope.datasets)
        encoder = Encoder(self.explicit, max(depth, 0), _BULK_LENGTH, scope.charsets, left)
        return [*encoder.encode(dataset)]

    def inner(self, dataset: Dataset, scope: Scope) -> Scope:
        """The scope within a level."""
        charsets = as_charsets(dataset._value(CHARSET, None)) if CHARSET in dataset else scope.charsets
        sign = dataset._value(PIXEL_REPRESENTATION, scope.pixel_representation)
        return Scope(charsets, sign if isinstance(sign, int) else None, (*scope.datasets, dataset))

    def mixed(self, dataset: Dataset, origin: Origin, extra: dict[int, Element], scope: Scope) -> list[Chunk]:
        """A level that was read: runs of its rows, and among them what is not verbatim."""
        index = origin.index
        recharset = scope.charsets != origin.charsets
        relabel = scope.pixel_representation != origin.pixel_representation
        is_inner = len(scope.datasets) > 1  # what is cut there would swallow what follows
        rest = len(index) > 0 and index.is_cut(len(index) - 1) and (is_inner or not self.same_form(origin))
        if not (recharset or relabel or rest or extra or dataset._is_edited()):
            return self.run(origin, 0, len(index))
        edits: dict[int, Element | None] = {**dataset._edits, **extra}
        sequences = {tag: one for tag, one in dataset._sequences.items() if one._is_edited()}
        tags = index.tags()
        order = range(len(tags)) if index.ascending else sorted(range(len(tags)), key=tags.__getitem__)
        new = sorted(tag for tag, element in edits.items() if element is not None and index.find(tag) < 0)
        chunks: list[Chunk] = []
        start = stop = 0  # the run that is open
        done: set[int] = set()
        for row in order:
            tag = tags[row]
            special: list[Chunk] | None = None
            while new and new[0] < tag:
                chunks += self.run(origin, start, stop)
                start = stop = row
                chunks += self.edit(new[0], edits[new.pop(0)], scope)
            if tag in edits:
                special = [] if tag in done else self.edit(tag, edits[tag], scope)
                done.add(tag)
            elif tag & 0xFFFF == 0:
                special = []
            elif tag in sequences:
                special = self.sequence(tag, sequences[tag], scope)
            elif recharset or relabel or index.is_cut(row):
                special = self.changed(dataset, origin, row, tag, scope, recharset, relabel)
            if special is not None or row != stop:
                chunks += self.run(origin, start, stop)
                start = row
            stop = row + 1
            if special is not None:
                chunks += special
                start = stop
        chunks += self.run(origin, start, stop)
        for tag in new:
            chunks += self.edit(tag, edits[tag], scope)
        return chunks

    def counted(self, dataset: Dataset, origin: Origin | None, extra: dict[int, Element], scope: Scope) -> list[Chunk]:
        """A level one by one, with the group lengths that it has counted anew."""
        edits: dict[int, Element | None] = {**dataset._edits, **extra}
        rows = [(tag, row) for row, tag in enumerate(origin.index.tags())] if origin is not None else []
        known = {tag for tag, _ in rows}
        order = sorted([*rows, *((tag, -1) for tag, element in edits.items() if element and tag not in known)])
        chunks: list[Chunk] = []
        for group, members in groupby(order, lambda one: one[0] >> 16):
            body: list[Chunk] = []
            done: set[int] = set()  # an edit stands for all rows of its tag
            counts = False
            for tag, row in members:
                if tag & 0xFFFF == 0:
                    counts = tag not in edits or edits[tag] is not None
                elif tag not in edits:
                    assert origin is not None
                    body += self.unedited(dataset, origin, row, tag, scope)
                elif tag not in done:
                    body += self.edit(tag, edits[tag], scope)
                    done.add(tag)
            if counts:
                length = sum(map(len, body)).to_bytes(4, ("little", "big")[self.big_endian])
                chunks += self.value(group << 16, "UL", length)
            chunks += body
        return chunks

    def unedited(self, dataset: Dataset, origin: Origin, row: int, tag: int, scope: Scope) -> list[Chunk]:
        """One row of a level that is not emitted in runs."""
        recharset = scope.charsets != origin.charsets
        relabel = scope.pixel_representation != origin.pixel_representation
        if origin.vr(row, tag) == "SQ":
            return self.single(dataset, origin, row, tag, scope)
        chunks = self.changed(dataset, origin, row, tag, scope, recharset, relabel)
        return self.run(origin, row, row + 1) if chunks is None else chunks

    def same_form(self, origin: Origin) -> bool:
        """Whether what was read can stand as it is."""
        is_same = origin.index.explicit == self.explicit and origin.big_endian == self.big_endian
        return is_same and self.lengths is None and self.group_lengths is not False

    # -- what is not edited -----------------------------------------------------------------------------------------

    def run(self, origin: Origin, start: int, stop: int) -> list[Chunk]:
        """Consecutive rows as they are, or through the kernel; long values apart, so that they are never copied."""
        if start == stop:
            return []
        index = origin.index
        first = index.header_offset_at(start)
        end = index.end_offset_at(stop - 1)
        if self.same_form(origin):
            return [slice_of(origin.source, first, end - first)]
        pieces: list[list[Chunk]] = []
        rest = stop
        if end - first > _BULK_LENGTH:
            rows = range(stop - 1, start - 1, -1)  # pixel data comes last, and for most files that is all there is
            for row in rows if end - first > _WHOLE_LENGTH else rows[:1]:
                if bulk := self.bulk(origin, row):
                    pieces += [self.converted(origin, row + 1, rest), bulk]
                    rest = row
        pieces.append(self.converted(origin, start, rest))
        return [chunk for piece in reversed(pieces) for chunk in piece]

    def converted(self, origin: Origin, start: int, stop: int) -> list[Chunk]:
        """Consecutive rows through the kernel; where it finds more at fault than byte order, one by one."""
        if start == stop:
            return []
        index = origin.index
        first = index.header_offset_at(start)
        end = index.end_offset_at(stop - 1)
        faults: list[Issue] = []
        raw = b""
        is_whole = not index.is_irregular
        if is_whole:
            try:
                raw = reencode(
                    origin.source.view(first, end - first),
                    source=(index.explicit, origin.big_endian),
                    target=(self.explicit, self.big_endian),
                    context=origin.context,
                    limits=self.limits,
                    lengths=self.lengths,
                    issues=faults,
                )
            except SourceChanged:
                raise
            except EncodingError:
                is_whole = False
        if not is_whole or any(fault.message != UNSWAPPED for fault in faults):
            dataset = Dataset._over(origin)
            tags = [(row, index.tag_at(row)) for row in range(start, stop)]
            scope = Scope(origin.charsets, origin.pixel_representation, ())
            return [
                chunk for row, tag in tags if tag & 0xFFFF for chunk in self.single(dataset, origin, row, tag, scope)
            ]
        for fault in faults:
            path = f"{origin.path}.{fault.path}" if origin.path and fault.path else fault.path or origin.path
            origin.report(Issue(fault.message, first + (fault.offset or 0), path, fault.clause))
        return [raw]

    def single(self, dataset: Dataset, origin: Origin, row: int, tag: int, scope: Scope) -> list[Chunk]:
        """One unedited element as lenient reading sees it."""
        index = origin.index
        vr = origin.vr(row, tag)
        field = origin.raw(row)
        if vr == "SQ":
            sequence = dataset._sequence(tag, row)
            if len(sequence) or len(field) < 8 or index.is_walked(row):
                return self.sequence(tag, sequence, scope)
            vr = "UN"  # no items: kept as it is
        elif chunks := self.bulk(origin, row):
            return chunks
        if index.is_encapsulated(row) and vr[0] == "O":
            below = index.descend(row)
            end = below.end_offset_at(len(below) - 1) if len(below) else index.value_offset_at(row)
            spans = [
                (below.value_offset_at(i), below.end_offset_at(i) - below.value_offset_at(i)) for i in range(len(below))
            ]
            items = [
                part
                for offset, length in spans
                for part in (item_header(length, big_endian=self.big_endian), slice_of(origin.source, offset, length))
            ]
            rest = bytes(field[end - index.value_offset_at(row) :])  # what is no fragment
            delimiter = sequence_delimiter(big_endian=self.big_endian)
            return [self.header(tag, vr, UNDEFINED_LENGTH), *items, rest, delimiter]
        swap = origin.big_endian != self.big_endian
        if swap and vr == "UN" and len(field):
            origin.report(Issue(UNSWAPPED, index.value_offset_at(row), origin.path_of(tag), "PS3.5 6.2.2"))
        return self.value(tag, vr, in_order(field, VRS[vr].word, swap))

    def bulk(self, origin: Origin, row: int) -> list[Chunk] | None:
        """A long value of bytes as header and slice; None when the kernel has to see it."""
        index = origin.index
        length = index.length_at(row)
        if length == UNDEFINED_LENGTH or length < _BULK_LENGTH or index.is_cut(row) or length & 1:
            return None
        tag = index.tag_at(row)
        vr = origin.vr(row, tag)
        if vr[0] != "O" or (VRS[vr].word > 1 and origin.big_endian != self.big_endian):
            return None
        return [self.header(tag, vr, length), slice_of(origin.source, index.value_offset_at(row), length)]

    def changed(
        self, dataset: Dataset, origin: Origin, row: int, tag: int, scope: Scope, recharset: bool, relabel: bool
    ) -> list[Chunk] | None:
        """An unedited element whose surroundings changed; None when that does not touch its bytes."""
        vr = origin.vr(row, tag)
        if vr == "SQ":
            return self.sequence(tag, dataset._sequence(tag, row), scope)
        if recharset and vr in TEXT_VRS:
            raw = bytes(origin.raw(row))
            if raw.isascii() and b"\x1b" not in raw:
                return None
            if not is_readable(raw, origin.charsets, vr):
                offset = origin.index.value_offset_at(row)
                origin.report(Issue(_UNREADABLE, offset, origin.path_of(tag), "PS3.5 6.1.2"))
                return self.value(tag, vr, raw)
            value = decode(vr, raw, origin.big_endian, origin.charsets)
            return self.value(tag, vr, self.text(vr, value, scope, tag))
        if relabel and vr in ("US", "SS") and (dictionary_vr(tag) or "").startswith("US or SS"):
            field = origin.raw(row)
            wanted = "SS" if scope.pixel_representation else "US"
            swapped = in_order(field, 2, origin.big_endian != self.big_endian)
            value = decode(vr, field, origin.big_endian, ())
            if wanted != vr and value == decode(wanted, field, origin.big_endian, ()):
                return self.value(tag, wanted, swapped)
            if wanted != vr:
                kept = f"stays {vr}" if self.explicit else f"will be read as {wanted}, in Implicit VR"
                message = f"a value does not fit the new Pixel Representation and {kept}"
                origin.report(Issue(message, origin.index.value_offset_at(row), origin.path_of(tag), "PS3.5 A.1"))
            return self.value(tag, vr, swapped)
        if origin.index.is_cut(row):
            return self.single(dataset, origin, row, tag, scope)
        return None

    # -- what is ----------------------------------------------------------------------------------------------------

    def edit(self, tag: int, element: Element | None, scope: Scope) -> list[Chunk]:
        if element is None or (self.group_lengths is False and not tag & 0xFFFF):
            return []
        vr, value = element.VR, element.value
        if vr == "SQ":
            return self.sequence(tag, value, scope)
        if " or " in vr:
            vr = vr_for_value(tag, _context(scope))
        if isinstance(value, bytes):
            if tag == PIXEL_DATA and value[:4] == _ITEM_MARK:
                body = value.removesuffix(_END_MARK)
                return [self.header(tag, "OB", UNDEFINED_LENGTH), body, sequence_delimiter()]
            origin = scope.datasets[-1]._origin
            swap = (origin is not None and origin.big_endian) != self.big_endian
            return self.value(tag, vr, in_order(_even(value, vr), VRS[vr].word, swap))
        if isinstance(value, SourceSlice):  # pixel data as they are to be written
            if is_encapsulated(value):
                return [self.header(tag, "OB", UNDEFINED_LENGTH), value]
            return [self.header(tag, vr, len(value)), value]
        return self.value(tag, vr, self.text(vr, value, scope, tag))

    def text(self, vr: str, value: object, scope: Scope, tag: int) -> bytes:
        if vr == "SS" and tag in LUT_DESCRIPTORS and isinstance(value, list) and value and 0x7FFF < value[0] <= 0xFFFF:
            value = [value[0] - 0x10000, *value[1:]]
        try:
            return encode(vr, value, self.big_endian, scope.charsets)
        except EncodingError as error:
            error.path = error.path or format_tag(tag)
            raise

    def value(self, tag: int, vr: str, raw: bytes) -> list[Chunk]:
        raw = _even(raw, vr)
        header = self.header(tag, vr, len(raw))
        return [header + raw] if len(raw) < _BULK_LENGTH else [header, raw]

    def header(self, tag: int, vr: str, length: int) -> bytes:
        return element_header(tag, vr, length, explicit=self.explicit, big_endian=self.big_endian)

    def sequence(self, tag: int, sequence: Sequence, scope: Scope) -> list[Chunk]:
        """All items, each converted from its own context into this one."""
        chunks: list[Chunk] = []
        big = self.big_endian
        for number, item in enumerate(sequence):
            try:
                body = self.item(item, scope)
            except EncodingError as error:
                error.path = f"{format_tag(tag)}[{number}]" + (f".{error.path}" if error.path else "")
                raise
            span = item._origin.span if item._origin is not None else None
            is_open = span is not None and span.length_undefined
            if is_open if self.lengths is None else self.lengths == "undefined":
                chunks += [item_header(big_endian=big), *body, item_delimiter(big_endian=big)]
            else:
                chunks += [item_header(sum(map(len, body)), big_endian=big), *body]
        if sequence.is_undefined_length if self.lengths is None else self.lengths == "undefined":
            return [self.header(tag, "SQ", UNDEFINED_LENGTH), *chunks, sequence_delimiter(big_endian=big)]
        return [self.header(tag, "SQ", sum(map(len, chunks))), *chunks]

    def item(self, item: Dataset, scope: Scope) -> list[Chunk]:
        try:
            return self.level(item, scope)
        except EncodingError:
            own = item._origin.charsets if item._origin is not None else ()
            if not own or own == scope.charsets or CHARSET in item:
                raise
            return self.level(item, scope, keep=own)


def _context(scope: Scope) -> VRContext:
    """The attributes that decide VRs at the innermost level, as they are being written."""
    context = VRContext()
    for dataset in scope.datasets:
        context = dataset._context(context)
    return context
