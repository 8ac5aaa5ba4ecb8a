"""What data sets, elements and sequences are made of, so that walking a file costs little more than its values do.

`Place` is one level of what was read: its table of rows and the bytes at hand. `Level` is the base of Dataset, `Cell` of
Element, `Items` of Sequence; `Place` of Origin. They do what nearly every read is (a short, unedited value of a VR that its
header or the dictionary tells; items that lie in the bytes at hand) and leave the rest, and every fault, to the Python
methods that know it all: ``_read``, ``_element``, ``_read_value``, ``spans``.
"""

cimport cython
from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_CheckExact, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.dict cimport PyDict_GetItem, PyDict_Size
from cpython.list cimport PyList_GET_ITEM, PyList_GET_SIZE
from cpython.long cimport PyLong_FromUnsignedLong
from cpython.object cimport PyObject, PyObject_GenericGetAttr
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t
from libc.string cimport memchr, memcpy, memmove
from decimal cimport dc_decimal, parse_decimal, write_decimal
from row cimport CUT, DELIMITED, FRAGMENTS, PLAIN, WALKED, Row, end_of, row_of, value_offset_of

from ..errors import EncodingError
from .scan import DONE, Scanner

cdef enum:
    LONGEST = 1 << 16  # of the values that are copied here
    VR_SQ = 0x5351
    VR_SS = 0x5353
    VR_UN = 0x554E
    UNDEFINED = 0xFFFFFFFF

cdef dict _keywords = {}
cdef dict _dictionary = {}
cdef list _vrs = [None] * 1024  # by the five low bits of both letters; upper case only
cdef set _texts = set()
cdef object _decode = None
cdef object _many = None
cdef object _make_tag = None
cdef object _dataset = None
cdef object _element = None
cdef object _sequence = None
cdef object _decimal = None
cdef object _integer = None
cdef object _unread = object()
cdef object _done = DONE
cdef object _scanner = Scanner
cdef str _sq = "SQ"


def setup(dict keywords not None, dict vrs not None, dict dictionary not None, texts, decode, many, tag) -> None:
    """Once, at import: keyword -> tag, VR code -> VR, tag -> VR, the VRs that need a character set, the decoder, its list
    type, the type of tags."""
    global _keywords, _decode, _many, _make_tag
    _keywords = keywords
    _make_tag = tag
    for code, vr in vrs.items():
        _vrs[(code >> 8 & 31) << 5 | code & 31] = vr
    _texts.update(texts)
    _dictionary.update({number: _sq if vr == _sq else vr for number, vr in dictionary.items()})  # known by identity
    _decode = decode
    _many = many


def setup_types(dataset, element, sequence) -> None:
    """Once, at import: what levels, cells and items are made as."""
    global _dataset, _element, _sequence
    _dataset = dataset
    _element = element
    _sequence = sequence


@cython.final
cdef class Keeper:
    """The owner of a list that was read: when the list changes, the data set adopts it as an edit."""

    cdef object level
    cdef object tag
    cdef object vr

    def __call__(self, value) -> None:
        self.level._adopt(self.tag, self.vr, value)


@cython.final
@cython.no_gc
cdef class ItemSpan:
    """One item of a sequence. ``start`` to ``stop`` are its elements; the header and delimiter lie around them."""

    cdef readonly object items
    cdef readonly Py_ssize_t number
    cdef object level

    def __init__(self, items, Py_ssize_t number) -> None:
        self.items = items
        self.number = number

    @property
    def header_offset(self):
        return self.items.header_offset_at(self.number)

    @property
    def start(self):
        return self.items.value_offset_at(self.number)

    @property
    def stop(self):
        return self.items.content_end_at(self.number)

    @property
    def end_offset(self):
        return self.items.end_offset_at(self.number)

    @property
    def length_undefined(self):
        return self.items.length_at(self.number) == <uint32_t>UNDEFINED

    @property
    def index(self):
        """The item's own level; lifted out of the scan on first use."""
        index = self.level
        if index is None:  # two threads may both do this, and get equal tables
            self.level = index = self.items.descend(self.number)
        return index

    def __repr__(self):
        return f"<ItemSpan {self.number}, bytes {self.start} to {self.stop}>"


@cython.no_gc
cdef class Place:
    """One level of what was read: the base of Origin."""

    cdef public object file
    cdef public object source
    cdef public object index
    cdef readonly Place parent
    cdef readonly object span
    cdef readonly object head  # a memoryview; it keeps its exporter from moving the bytes
    cdef readonly bint big_endian
    cdef public object _charsets
    cdef public object _context
    cdef object _path
    cdef uint32_t tag          # of the sequence that holds it, and its number there
    cdef Py_ssize_t number
    cdef const Row *rows       # NULL: to be left to Python
    cdef size_t count
    cdef bint explicit
    cdef const char *bytes
    cdef size_t length

    def __init__(self, file, source, index, Place parent=None, path="", span=None) -> None:
        self.file = file
        self.source = source
        self.parent = parent
        self._path = path
        self.span = span
        self.head = source.head
        self.attach(index)

    cdef int attach(self, index) except -1:
        """Take hold of the table and the head."""
        cdef Py_buffer view
        self.index = index
        self.big_endian = index.big_endian
        self.explicit = index.explicit
        if not index.ascending:
            return 0
        if self.parent is not None and self.parent.bytes != NULL and self.parent.head is self.head:
            self.bytes = self.parent.bytes
            self.length = self.parent.length
        else:
            PyObject_GetBuffer(self.head, &view, PyBUF_SIMPLE)
            self.bytes = <const char *>view.buf
            self.length = <size_t>view.len
            PyBuffer_Release(&view)
        self.count = len(index)
        self.rows = <const Row *><size_t>index.address
        return 0

    @property
    def path(self):
        """Of the item, such as (300A,00B0)[2]; empty at the root."""
        cdef Place place = self
        if self._path is None:
            steps = []  # no recursion: items may be nested deep
            while place._path is None:
                steps.append(f"({place.tag >> 16:04X},{place.tag & 0xFFFF:04X})[{place.number}]")
                place = place.parent
            if place._path:
                steps.append(place._path)
            self._path = ".".join(reversed(steps))
        return self._path

    @property
    def charsets(self):
        """Terms in effect here: its own, else those of the enclosing level (PS3.3 C.12.1.1.2)."""
        if self._charsets is None:
            place, inherits, found = self, [], ()  # no recursion: items may be nested deep
            while place is not None:
                if place._charsets is None and place.index.find(0x00080005) >= 0:
                    place._charsets = place._own_charsets()
                if place._charsets is not None:
                    found = place._charsets
                    break
                inherits.append(place)
                place = place.parent
            for place in inherits:
                place._charsets = found
        return self._charsets

    cdef const Row *find(self, uint32_t wanted) noexcept:
        cdef size_t at
        if self.rows == NULL:
            return NULL
        at = row_of(self.rows, self.count, wanted)
        return self.rows + at if at < self.count and self.rows[at].tag == wanted else NULL

    cdef str vr_of(self, const Row *row):
        """The VR where header or dictionary alone tell it, else None."""
        cdef PyObject *known
        if row.flags & (PLAIN | FRAGMENTS | CUT):
            return None
        if row.vr == VR_SQ:
            return _sq
        if row.vr == 0:
            known = PyDict_GetItem(_dictionary, PyLong_FromUnsignedLong(row.tag))
            return None if known == NULL or (row.flags & DELIMITED and <object>known is not _sq) else <str>known
        return _vrs[(row.vr >> 8 & 31) << 5 | row.vr & 31] if row.vr & 0xE0E0 == 0x4040 and not row.flags & DELIMITED else None

    cdef object value_of(self, const Row *row, str vr, Level level, object tag):
        """The value, or None when Python has to see to it."""
        cdef list faults
        cdef tuple charsets = ()
        cdef Keeper keeper
        if row.span > LONGEST or end_of(row) > self.length or row.flags & (WALKED | DELIMITED):
            return None
        if vr in _texts:
            charsets = self._charsets
            if charsets is None:
                charsets = self.charsets
        faults = []
        raw = PyBytes_FromStringAndSize(self.bytes + value_offset_of(row), row.span)
        value = _decode(vr, raw, self.big_endian, charsets, faults)
        if PyList_GET_SIZE(faults):
            return None
        if type(value) is _many:
            if row.vr == VR_SS and row.tag >> 16 == 0x0028 and value[0] < 0:
                return None  # it may be a LUT Descriptor, whose first value is never negative
            keeper = <Keeper>Keeper.__new__(Keeper)
            keeper.level = level
            keeper.tag = tag
            keeper.vr = vr
            value.owner = keeper
        return value

    cdef object sequence_of(self, const Row *row, object tag):
        """The items of a sequence, none of them made yet."""
        cdef Maker maker
        cdef Items made
        cdef Py_ssize_t number
        cdef ItemSpan span
        cdef list spans
        cdef size_t i = row - self.rows
        below = None
        if row.flags & WALKED:
            below = self.index.descend(i)
        elif row.vr != VR_UN and end_of(row) <= self.length and not row.flags & (PLAIN | CUT | FRAGMENTS):
            limits = self.file.limits
            scanner = _scanner(
                value_offset_of(row), end_of(row), self.explicit, self.big_endian, items=True,
                depth=self.index.depth, stop_tag=None, nesting_depth=limits.nesting_depth,
                element_count=limits.element_count, value_length=limits.value_length,
            )
            if scanner.feed(self.head, 0) == _done:
                below = scanner.finish()
        if below is None:
            spans = self.spans(i, tag)
        else:
            spans = []
            for number in range(len(below)):
                span = <ItemSpan>ItemSpan.__new__(ItemSpan)
                span.items = below
                span.number = number
                spans.append(span)
        maker = <Maker>Maker.__new__(Maker)
        maker.place = self
        maker.tag = row.tag
        made = <Items>_sequence.__new__(_sequence)
        made._items = spans
        made._make = maker
        made.is_undefined_length = row.flags & DELIMITED != 0
        return made


@cython.final
@cython.no_gc
cdef class Maker:
    """Makes the Datasets of a sequence from their spans."""

    cdef readonly Place place
    cdef uint32_t tag

    cdef object make(self, ItemSpan span, Py_ssize_t number):
        cdef Place parent = self.place, place
        cdef Level level
        kind = type(parent)
        place = <Place>kind.__new__(kind)
        place.file = parent.file
        place.source = parent.source
        place.parent = parent
        place.span = span
        place.head = parent.head
        place.tag = self.tag
        place.number = number
        place.attach(span.index)
        level = <Level>_dataset.__new__(_dataset)
        level._origin = place
        return level


cdef class Level:
    """What a Dataset is made of: its origin, edits, touched sequences, and file meta information."""

    cdef object __weakref__
    cdef public Place _origin
    cdef dict edits
    cdef dict sequences
    cdef public object _meta

    @property
    def _edits(self):
        if self.edits is None:
            self.edits = {}
        return self.edits

    @_edits.setter
    def _edits(self, dict edits) -> None:
        self.edits = edits

    @property
    def _sequences(self):
        if self.sequences is None:
            self.sequences = {}
        return self.sequences

    @_sequences.setter
    def _sequences(self, dict sequences) -> None:
        self.sequences = sequences

    def _store(self, Cell element not None) -> None:
        """Make it an edit of this level; what was read under its tag is forgotten."""
        tag = PyLong_FromUnsignedLong(element.number)
        if self.edits is None:
            self.edits = {}
        self.edits[tag] = element
        element._owner = self
        if self.sequences is not None:
            self.sequences.pop(tag, None)

    cdef inline bint is_edited(self) noexcept:
        return self.edits is not None and PyDict_Size(self.edits) != 0

    def __getattribute__(self, name):
        cdef PyObject *tag = PyDict_GetItem(_keywords, name)
        cdef const Row *row
        if tag == NULL:
            try:
                return PyObject_GenericGetAttr(self, name)
            except AttributeError:
                if hasattr(type(self), name):
                    raise  # from within a property
                return PyObject_GenericGetAttr(self, "_missing")(name)
        if self._origin is not None and not self.is_edited():
            row = self._origin.find(<object>tag)
            if row != NULL:
                value = self.quick(row, <object>tag)
                if value is not None:
                    return value
        return PyObject_GenericGetAttr(self, "_read")(<object>tag, name)

    cdef object quick(self, const Row *row, object tag):
        """The value of a row of the origin, or None when Python has to see to it."""
        cdef str vr = self._origin.vr_of(row)
        cdef PyObject *known
        if vr is None:
            return None
        if vr is _sq:
            if self.sequences is None:
                self.sequences = {}
            known = PyDict_GetItem(self.sequences, tag)
            if known != NULL:
                return <object>known
            # two first touches share one
            return self.sequences.setdefault(tag, self._origin.sequence_of(row, tag))
        return self._origin.value_of(row, vr, self, tag)

    def _sequence(self, tag, Py_ssize_t row):
        """The sequence in this row of the origin, the same object each time."""
        found = self._sequences.get(tag)
        if found is None:
            if self._origin.rows != NULL:
                made = self._origin.sequence_of(self._origin.rows + row, tag)
            else:
                made = _sequence._lazy(
                    self._origin.spans(row, tag), self._origin, tag, self._origin.index.length_at(row) == <uint32_t>UNDEFINED
                )
            found = self._sequences.setdefault(tag, made)
        return found

    def __iter__(self):
        cdef Cells cells
        if self._origin is None or self._origin.rows == NULL or self.is_edited():
            return self._iterate()
        cells = <Cells>Cells.__new__(Cells)
        cells.level = self
        cells.place = self._origin
        return cells


@cython.final
@cython.no_gc
cdef class Cells:
    """The elements of a level in the order of its rows. What is edited meanwhile is shown as it is then."""

    cdef Level level
    cdef Place place
    cdef size_t at

    def __iter__(self):
        return self

    def __next__(self):
        cdef const Row *row
        cdef Cell cell
        cdef str vr
        while self.at < self.place.count:
            row = self.place.rows + self.at
            self.at += 1
            vr = self.place.vr_of(row) if not self.level.is_edited() else None
            if vr is None:
                element = self.level._element(PyLong_FromUnsignedLong(row.tag))
                if element is None:
                    continue
                return element
            cell = <Cell>_element.__new__(_element)
            cell.number = row.tag
            cell.VR = vr
            cell._owner = self.level
            cell.held = _unread
            return cell
        raise StopIteration


cdef class Cell:
    """One element: the base of Element."""

    cdef public object VR
    cdef public object _owner
    cdef object held
    cdef uint32_t number

    @staticmethod
    def _of(owner, uint32_t tag, vr, value=_unread):
        """An element of a data set, its value not yet read unless given."""
        cdef Cell cell = <Cell>_element.__new__(_element)
        cell.number = tag
        cell.VR = vr
        cell._owner = owner
        cell.held = value
        return cell

    @property
    def tag(self):
        return _make_tag(self.number)

    @tag.setter
    def tag(self, uint32_t tag) -> None:
        self.number = tag

    @property
    def value(self):
        """As the table in `dicomcore.encoding.values` has it; setting it edits the data set that the element is of."""
        cdef Level level
        cdef const Row *row
        if self.held is not _unread:
            return self.held
        level = <Level?>self._owner
        tag = PyLong_FromUnsignedLong(self.number)
        row = level._origin.find(self.number)
        value = level.quick(row, tag) if row != NULL else None
        if value is None:
            value = level._read_value(tag, self.VR)
        if not (PyBytes_CheckExact(value) and PyBytes_GET_SIZE(value) > 1024):  # nothing big is kept
            self.held = value
        return value

    @value.setter
    def value(self, value) -> None:
        self._change(value)

    @property
    def _value(self):
        """What is held; assigned without a word to the data set."""
        return self.held

    @_value.setter
    def _value(self, value) -> None:
        self.held = value


cdef class Items:
    """The items of a sequence, Datasets or the spans that they will be made from: the base of Sequence."""

    cdef public list _items
    cdef public object _make
    cdef public bint _reshaped
    cdef public bint is_undefined_length

    def __len__(self):
        return PyList_GET_SIZE(self._items)

    def __iter__(self):
        cdef ItemsInOrder items = <ItemsInOrder>ItemsInOrder.__new__(ItemsInOrder)
        items.of = self
        return items

    cpdef object _item(self, Py_ssize_t number):
        """The Dataset, made now if this is the first to ask."""
        cdef list items = self._items
        cdef Py_ssize_t count = PyList_GET_SIZE(items)
        if number < 0:
            number += count
        if not 0 <= number < count:
            raise IndexError(f"item {number} of {count}")
        item = <object>PyList_GET_ITEM(items, number)
        if type(item) is ItemSpan:
            item = items[number] = (<Maker>self._make).make(<ItemSpan>item, number)
        return item

    def _is_edited(self):
        """Whether writing it must differ from the bytes that it was read from."""
        return self._reshaped or any([isinstance(item, Level) and item._is_edited() for item in self._items])

    @staticmethod
    def _lazy(list spans, Place place, uint32_t tag, bint undefined):
        cdef Items made = <Items>_sequence.__new__(_sequence)
        cdef Maker maker = <Maker>Maker.__new__(Maker)
        maker.place = place
        maker.tag = tag
        made._items = spans
        made._make = maker
        made.is_undefined_length = undefined
        return made


@cython.final
@cython.no_gc
cdef class ItemsInOrder:
    cdef Items of
    cdef Py_ssize_t at

    def __iter__(self):
        return self

    def __next__(self):
        if self.at >= PyList_GET_SIZE(self.of._items):
            raise StopIteration
        self.at += 1
        return self.of._item(self.at - 1)


include "warm.pxi"
include "encoder.pxi"
