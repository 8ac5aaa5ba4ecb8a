"""The data set: a mapping from tags to elements over (origin, edits), used as pydicom's is.

Promises: reading decodes one value and leaves the bytes untouched; an edit lives in a small overlay; what is not edited
is written back byte for byte where PS3.5 lets it (see `writer`). Elements come in tag order, group lengths included.
Refuses: attributes that are no keyword (`AttributeError` with the nearest one), values that no reading could give.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Callable, ItemsView, Iterator, KeysView, Mapping
from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Self

from .._core.level import Level, setup, setup_types
from ..encoding.index import read_index
from ..encoding.values import MultiValue, decode, encode
from ..encoding.vrs import NO_CONTEXT, VRContext, dictionary_vr, single_vrs, vr_for_value
from ..errors import Issue
from ..vocab.dictionary import keyword_for_tag, keyword_table, lookup, lookup_private, suggest
from ..vocab.syntaxes import EXPLICIT_LE, TransferSyntax
from ..vocab.tag import Tag, format_tag, is_private_creator, parse_tag
from ..vocab.uids import UID
from ..vocab.vr import VRS
from ._late import late
from .convert import ELSEWHERE, Convertible
from .deep import copy_deep, is_edited, iter_all
from .element import Element, coerce, restore_element
from .equality import is_equal
from .origin import CHARSET, PLAIN_VRS, TEXT_VRS, Origin, as_charsets, in_order
from .private import PrivateBlock
from .sequence import Sequence

__all__ = ["Dataset"]

_KEYWORDS = dict(keyword_table())
setup(_KEYWORDS, dict(PLAIN_VRS), single_vrs(), TEXT_VRS, decode, MultiValue, Tag)
_set = object.__setattr__
_ABSENT: Any = object()
_TRANSFER_SYNTAX = 0x00020010


class Dataset(Level, Convertible):
    """A data set or an item of a sequence. ``Dataset()`` is empty; `dicomcore.dcmread` makes one from a file."""

    __slots__ = ()
    _edits: dict[int, Element | None]  # None: deleted
    _meta: Dataset | None
    _origin: Origin | None
    _sequences: dict[int, Sequence]  # those of the origin that were touched

    if TYPE_CHECKING:

        def __iter__(self) -> Iterator[Element]: ...

    def __init__(self, elements: Dataset | Mapping[Any, Any] | None = None) -> None:
        if elements is not None:
            self.update(elements)

    @classmethod
    def _over(cls, origin: Origin) -> Self:
        dataset = cls.__new__(cls)
        _set(dataset, "_origin", origin)
        return dataset

    # -- reading ----------------------------------------------------------------------------------------------------

    def _read(self, tag: int, name: str) -> Any:
        """The value of an attribute; `Level` comes here with all but the plain cases."""
        value = self._value(tag, _ABSENT)
        if value is _ABSENT:
            raise AttributeError(f"the data set has no {name} {format_tag(tag)}", name=name, obj=self)
        return value

    def _value(self, tag: int, default: Any) -> Any:
        if self._edits and tag in self._edits:
            element = self._edits[tag]
            return default if element is None else element.value
        origin = self._origin
        if origin is None:
            return default
        row = origin.index.find(tag)
        return default if row < 0 else self._from_row(origin, row, tag, origin.vr(row, tag))

    def _read_value(self, tag: int, vr: str) -> Any:
        """The value of an element of the origin, whatever the edits say; `Element` asks for it on first touch."""
        origin = self._origin
        assert origin is not None
        return self._from_row(origin, origin.index.find(tag), tag, vr)

    def _from_row(self, origin: Origin, row: int, tag: int, vr: str) -> Any:
        if vr == "SQ":
            return self._sequence(tag, row)
        value = origin.value(tag, vr, origin.raw(row))
        if type(value) is MultiValue:
            value.owner = partial(self._adopt, tag, vr)
        return value

    def _adopt(self, tag: int, vr: str, value: Any) -> None:
        """A list of values that was read here has been changed in place: it becomes an edit."""
        self._edits[tag] = Element._of(self, tag, vr, value)

    def _element(self, tag: int) -> Element | None:
        if self._edits and tag in self._edits:
            element = self._edits[tag]
            if element is not None and " or " in element.VR:
                return Element._of(self, tag, vr_for_value(tag, self._context()), element.value)
            return element
        origin = self._origin
        row = origin.index.find(tag) if origin is not None else -1
        if row < 0:
            return None
        assert origin is not None
        return Element._of(self, tag, origin.vr(row, tag))

    def _tags(self) -> list[int]:
        """All tags present, ascending, each once."""
        origin, edits = self._origin, self._edits
        tags = origin.index.tags() if origin is not None else []
        if any(one >= other for one, other in pairwise(tags)):
            tags = sorted(set(tags))
        for tag, element in edits.items():
            if element is None:
                tags = [one for one in tags if one != tag]
            elif origin is None or origin.index.find(tag) < 0:
                insort(tags, tag)
        return tags

    def __getitem__(self, key: Any) -> Element:
        try:
            element = self._element(parse_tag(key))
        except ValueError:  # what is no key is in no data set
            element = None
        if element is None:
            raise KeyError(key)
        return element

    def __contains__(self, key: object) -> bool:
        tag = _KEYWORDS.get(key) if isinstance(key, str) else None
        if tag is None:
            try:
                tag = parse_tag(key)
            except ValueError:
                return False
        if tag in self._edits:
            return self._edits[tag] is not None
        return self._origin is not None and self._origin.index.find(tag) >= 0

    def _iterate(self) -> Iterator[Element]:
        for tag in self._tags():
            element = self._element(tag)
            if element is not None:
                yield element

    def __len__(self) -> int:
        return len(self._tags())

    def __bool__(self) -> bool:
        return True

    def get(self, key: Any, default: Any = None) -> Any:
        """By keyword the value, by tag the `Element`; else ``default``."""
        tag = _KEYWORDS.get(key) if isinstance(key, str) else None
        if tag is not None:
            return self._value(tag, default)
        try:
            element = self._element(parse_tag(key))
        except ValueError:
            return default
        if element is None:
            return default
        return element.value if isinstance(key, str) else element

    def keys(self) -> KeysView[Tag]:
        """Tags in ascending order."""
        return dict.fromkeys(map(Tag, self._tags())).keys()

    def values(self) -> list[Element]:
        return list(self)

    def items(self) -> ItemsView[Tag, Element]:
        return {element.tag: element for element in self}.items()

    def iterall(self) -> Iterator[Element]:
        """Every element, those of items after the sequence that holds them."""
        return iter_all(self)

    def walk(self, callback: Callable[[Dataset, Element], object], recursive: bool = True) -> None:
        """Call ``callback(level, element)`` on each, which may edit and delete; `dicomcore.walk` tells the path too."""
        late("call_on_each")(self, callback, recursive)

    def dir(self, *parts: str) -> list[str]:
        """Keywords of this level, sorted; with ``parts`` those that hold one of them in upper or lower case."""
        names = filter(None, map(keyword_for_tag, self._tags()))
        return sorted({name for name in names if not parts or any(part.lower() in name.lower() for part in parts)})

    def view(self, key: Any) -> memoryview:
        """The value field as it would stand in the file: for an unedited element its bytes, not copied."""
        tag = parse_tag(key)
        if tag not in self._edits and self._origin is not None and (row := self._origin.index.find(tag)) >= 0:
            return self._origin.raw(row)
        element = self[tag]
        if isinstance(element.value, bytes):
            return memoryview(element.value)
        return memoryview(encode(element.VR[:2], element.value, False, self._charsets()))

    # -- editing ----------------------------------------------------------------------------------------------------

    def __setattr__(self, name: str, value: Any) -> None:
        tag = _KEYWORDS.get(name)
        if tag is not None:
            self._assign(tag, value)
        elif name == "file_meta":
            _set(self, "file_meta", value)
        else:
            raise self._no_attribute(name)

    def _assign(self, tag: int, value: Any) -> None:
        # The file's VR stands where the dictionary allows it; a damaged one does not decide what may be assigned.
        present, entry = self._element(tag), lookup(tag)
        if present is not None and present.VR != "UN" and (entry is None or present.VR in entry.vr):
            vr = present.VR
        else:
            # Only the dictionary of a private creator depends on what is around the element.
            vr = dictionary_vr(tag, self._context() if tag & 0x10000 else NO_CONTEXT) or "UN"
        self._store(Element._of(self, tag, vr, coerce(vr, value, tag)))

    def _remove(self, tag: int) -> bool:
        origin = self._origin
        if origin is not None and origin.index.find(tag) >= 0:
            present = self._edits.get(tag, _ABSENT) is not None
            self._edits[tag] = None
            self._sequences.pop(tag, None)
            return present
        return self._edits.pop(tag, None) is not None

    def __delattr__(self, name: str) -> None:
        tag = _KEYWORDS.get(name)
        if tag is None:
            raise self._no_attribute(name)
        if not self._remove(tag):
            raise AttributeError(f"the data set has no {name} {format_tag(tag)}", name=name, obj=self)

    def __setitem__(self, key: Any, element: Element) -> None:
        if not isinstance(element, Element):
            raise TypeError(f"ds[tag] = takes an Element, not {type(element).__name__}; use ds[tag].value or add_new")
        if parse_tag(key) != element.tag:
            raise ValueError(f"the element {format_tag(element.tag)} is set under the key {key!r}")
        self.add(element)

    def __delitem__(self, key: Any) -> None:
        if key not in self:
            raise KeyError(key)
        self._remove(parse_tag(key))

    def add(self, element: Element) -> None:
        """Set an element; one that belongs to another data set is copied, a sequence with the items that it holds."""
        value, owner = element.value, element._owner
        if isinstance(owner, Dataset) and owner is not self:
            if isinstance(value, MultiValue):
                value = MultiValue(value)
            elif isinstance(value, bytes) and owner.is_big_endian != self.is_big_endian:
                value = in_order(value, VRS[element.VR].word, True)
        self._store(Element._of(self, element.tag, element.VR, value))

    def add_new(self, tag: Any, vr: str, value: Any) -> None:
        """Set an element by tag, VR and value; this is how private elements are made."""
        self._store(Element(tag, vr, value))

    def update(self, elements: Dataset | Mapping[Any, Any]) -> None:
        """Set all elements of another data set, or values by keyword, or `Element` objects by tag."""
        if isinstance(elements, Dataset):
            for element in elements:
                self.add(element)
            return
        for key, value in elements.items():
            if isinstance(value, Element):
                self[key] = value
            else:
                self._assign(parse_tag(key), value)

    def pop(self, key: Any, default: Any = _ABSENT) -> Any:
        """Remove an element and answer it."""
        if key not in self:
            if default is _ABSENT:
                raise KeyError(key)
            return default
        element = self[key]
        element = restore_element(element.tag, element.VR, element.value)
        self._remove(int(element.tag))
        return element

    def setdefault(self, key: Any, default: Any = None) -> Element:
        """The element; set to ``default`` (a value, or an `Element`) first when it is absent."""
        tag = parse_tag(key)
        if tag not in self:
            self.update({tag: default})
        return self[tag]

    def clear(self) -> None:
        for tag in self._tags():
            self._remove(tag)

    # -- private elements, PS3.5 section 7.8 -----------------------------------------------------------------------

    def private_block(self, group: int, creator: str, *, create: bool = False) -> PrivateBlock:
        """The elements that ``creator`` has reserved in an odd group; KeyError when it has not, unless ``create``."""
        return PrivateBlock.find(self, group, creator, create)

    def private_creators(self, group: int) -> list[str]:
        """Who has reserved a block in this group."""
        tags = range(group << 16 | 0x10, group << 16 | 0x100)
        return [str(self._value(tag, "")) for tag in self._tags() if tag in tags]

    def _private_name(self, tag: int) -> str:
        if not tag & 0x10000 or tag & 0xFFFF < 0x1000:
            return ""
        creator = self._value(tag & 0xFFFF0000 | (tag & 0xFFFF) >> 8, None)
        entry = lookup_private(str(creator).strip(), tag) if creator else None
        return entry.name if entry else ""

    # -- contexts ---------------------------------------------------------------------------------------------------

    def _is_edited(self) -> bool:
        """Whether writing it must differ from the bytes that it was read from."""
        return is_edited(self)

    @property
    def is_big_endian(self) -> bool:
        """The byte order of values that are bytes: that of the file it was read from."""
        return self._origin is not None and self._origin.big_endian

    def _little_endian(self, vr: str, value: bytes) -> bytes:
        return in_order(value, VRS[vr].word, self.is_big_endian)

    def _charsets(self) -> tuple[str, ...]:
        if CHARSET in self._edits or self._origin is None:
            return as_charsets(self._value(CHARSET, None))
        return self._origin.charsets

    def _context(self, inherited: VRContext | None = None) -> VRContext:
        """What decides VRs of new values: this level's attributes as they are now, then what it inherits."""
        base = self._origin.context if self._origin is not None else inherited or VRContext()
        if not self._edits and inherited is None:
            return base
        outer = inherited or base

        def number(tag: int, fallback: int | None) -> int | None:
            value = self._value(tag, None)
            if isinstance(value, list):
                value = value[0] if value else None
            return int(value) if isinstance(value, int) else fallback

        return VRContext(
            number(0x00280103, outer.pixel_representation),
            number(0x00280100, outer.bits_allocated),
            number(0x54001004, outer.waveform_bits_allocated),
            number(0x00283002, outer.lut_entries),
            {tag: str(self._value(tag, "")).strip() for tag in self._tags() if is_private_creator(tag)},
        )

    # -- the file ---------------------------------------------------------------------------------------------------

    @property
    def filename(self) -> str | None:
        """Where it was read from, as it was named there; None when that has no name."""
        return (self._origin.file.source.name or None) if self._origin is not None else None

    @property
    def file_meta(self) -> Dataset:
        """The file meta information, group 0002 (PS3.10 section 7.1); it can be set."""
        if self._meta is None:
            _set(self, "_meta", self._read_meta())
        assert self._meta is not None
        return self._meta

    @file_meta.setter
    def file_meta(self, meta: Dataset | Mapping[Any, Any]) -> None:
        _set(self, "_meta", meta if isinstance(meta, Dataset) else Dataset(meta))

    def _read_meta(self) -> Dataset:
        file = self._origin.file if self._origin is not None and self._origin.parent is None else None
        layout = file.layout if file is not None else None
        if file is None or layout is None or layout.meta_start == layout.dataset_offset:
            return Dataset()
        index = read_index(
            file.source,
            layout.meta_start,
            layout.dataset_offset,
            explicit=bytes(file.source.view(layout.meta_start + 4, 2)).isalpha(),
            big_endian=file.source.view(layout.meta_start, 1)[0] == 0,
            limits=file.limits,
            policy=file.policy,
            issues=file.issues,
        )
        return Dataset._over(Origin(file, file.source, index, None, ""))

    @property
    def transfer_syntax(self) -> UID:
        """How it is encoded: as ``file_meta`` was told, else as it was read, else Explicit VR Little Endian."""
        meta, origin = self._meta, self._origin
        if meta is not None:
            was_read = origin is not None and meta._origin is not None and meta._origin.file is origin.file
            if not was_read or meta._edits.get(_TRANSFER_SYNTAX) is not None:
                return UID(meta._value(_TRANSFER_SYNTAX, None) or self._read_syntax())
        return UID(self._read_syntax())

    def _read_syntax(self) -> str:
        layout = self._origin.file.layout if self._origin is not None else None
        return layout.syntax.uid if layout is not None else EXPLICIT_LE.uid

    @property
    def issues(self) -> list[Issue]:
        """Faults that reading passed over so far, those of nested items included; `check` finds the others."""
        return self._origin.file.issues if self._origin is not None else []

    def check(self) -> list[Issue]:
        """Hold every value at every depth against PS3.5 6.2, then answer `issues`; see `dicomcore.data.check`."""
        found: list[Issue] = late("check")(self)
        return found

    def save_as(self, path: Any, transfer_syntax: str | TransferSyntax | None = None, **options: Any) -> None:
        """Write a Part 10 file, atomically; see `dicomcore.data.files.save_as`."""
        late("save_as")(self, path, transfer_syntax, **options)

    def to_bytes(self, transfer_syntax: str | TransferSyntax | None = None) -> bytes:
        """The data set without file meta information, as it travels in DIMSE."""
        return b"".join(late("iter_bytes")(late("encode_dataset")(self, transfer_syntax)))

    def as_array(self, key: Any) -> Any:
        """All numbers of an element as an array of shape (VM,); see `dicomcore.data.arrays.as_array`."""
        return late("as_array")(self, key)

    @property
    def pixel_array(self) -> Any:
        """All frames as a new array: ([frames,] rows, columns [, samples])."""
        return late("pixel_array")(self)

    # -- as a value -------------------------------------------------------------------------------------------------

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Dataset):
            return NotImplemented
        return is_equal(self, other)

    __hash__ = None  # type: ignore[assignment]

    def copy(self) -> Dataset:
        """A second data set with the same values; items and lists are shared, as in `copy.copy`."""
        copy = Dataset.__new__(type(self))
        _set(copy, "_origin", self._origin)
        _set(copy, "_sequences", dict(self._sequences))
        _set(copy, "_meta", self._meta)
        edits = {
            tag: None if element is None else Element._of(copy, tag, element.VR, element.value)
            for tag, element in self._edits.items()
        }
        _set(copy, "_edits", edits)
        return copy

    __copy__ = copy

    def __deepcopy__(self, memo: dict[int, Any]) -> Dataset:
        copy: Dataset = copy_deep(self, memo)
        return copy

    def __reduce__(self) -> tuple[Any, ...]:
        return late("restore"), late("freeze")(self)

    def __str__(self) -> str:
        text: str = late("dump")(self)
        return text

    __repr__ = __str__

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), *filter(None, map(keyword_for_tag, self._tags()))})

    def _missing(self, name: str) -> None:
        raise self._no_attribute(name)

    def _no_attribute(self, name: str) -> AttributeError:
        if name in ELSEWHERE:
            return AttributeError(f"there is no {name} here; {ELSEWHERE[name]}", name=name, obj=self)
        near = None if name.startswith("_") else suggest(name, [one for one in dir(type(self)) if one[0] != "_"])
        hint = f"; did you mean {near}?" if near else ""
        what = "no keyword of the data dictionary" if name[:1].isupper() else "no attribute of a data set"
        return AttributeError(f"{name!r} is {what}{hint}", name=name, obj=self)


setup_types(Dataset, Element, Sequence)
