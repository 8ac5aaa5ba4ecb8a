# Included by level.pyx: the encoder of data sets whose elements were assigned (PS3.5 sections 6.2, 7.1, 7.5).
#
# One pass into one buffer, lengths filled in behind. What that costs is fetching objects that lie all over the memory,
# so they are asked for ahead (`warm`), and no reference to them is counted, for that would write to every one. They
# stay where they are as long as no Python code runs; before any does (`leave`), all that is open is held (`hold`).

from cpython.ref cimport Py_CLEAR, Py_XDECREF
from cpython.unicode cimport PyUnicode_AsUTF8String
from borrowed cimport (
    Py_SET_SIZE, Py_TYPE, PyBytes_New, PyTypeObject, _PyBytes_Resize, bytes_of, bytes_size, double_of, find_entry,
    integer_of, is_ascii, is_bytes, is_float, is_int, is_just_text, is_list, is_text, list_item, list_size, next_entry,
    text_length, text_of, text_width,
)
from decimal cimport dc_many, write_integer

cdef enum:
    DEEPEST = 64
    STEEP = 1 << 20  # bytes up to which the buffer doubles
    PIXEL_DATA = 0x7FE00010

cdef enum Kind:
    LEFT = 0  # to Python
    TEXTS = 1
    TEXT = 2
    DECIMALS = 3
    INTEGERS = 4
    NUMBERS = 5
    OCTETS = 6
    ITEMS = 7

cdef enum Coding:  # of text that is not ASCII
    OTHER = 0  # to Python
    LATIN = 1
    UTF = 2

ctypedef struct Form:
    uint8_t kind
    uint8_t pad
    uint8_t long_header
    uint8_t size
    uint8_t letter  # of struct's formats, for numbers
    uint8_t is_text  # of a character set

cdef Form[1024] _forms
cdef object _charset_tag = 0x00080005
cdef dict _codings = {"ISO_IR 100": LATIN, "ISO_IR 192": UTF}


def setup_forms(rows, decimal, integer) -> None:
    """Once, at import: (VR, kind, padding, whether the header is long, size, format, whether it has a character set) of
    each VR; the types of numeric strings."""
    global _decimal, _integer
    _decimal = decimal
    _integer = integer
    for vr, kind, pad, long_header, size, letter, is_text in rows:
        _forms[(ord(vr[0]) & 31) << 5 | ord(vr[1]) & 31] = Form(kind, pad, long_header, size, letter, is_text)


@cython.final
cdef class Encoder:
    """Writes data sets whose every element was assigned, little endian, sequences as they are to be delimited.

    ``charsets`` are in effect until the data set says otherwise. ``left(tag, element, levels)`` encodes what is left to
    Python, and answers chunks.
    """

    cdef uint8_t *out  # of the bytes object that is being filled
    cdef PyObject *filled
    cdef size_t length
    cdef size_t room
    cdef bint explicit
    cdef bint warmed  # everything below is fetched already
    cdef int coding  # around everything
    cdef int depth_limit
    cdef int depth
    cdef size_t bulk_length
    cdef object left
    cdef list held
    cdef list chunks
    cdef PyObject *levels[DEEPEST + 1]  # that are being written, outermost first
    cdef PyObject *edits[DEEPEST + 1]
    cdef PyObject *items[DEEPEST + 1]  # lists that they are in
    cdef uint32_t tags[DEEPEST + 1]  # and of which sequence, and where
    cdef Py_ssize_t numbers[DEEPEST + 1]
    cdef PyObject *wave[WIDE]
    cdef PyObject *cells[WIDE]

    def __init__(self, bint explicit, int depth_limit, size_t bulk_length, tuple charsets not None, left) -> None:
        self.explicit = explicit
        self.depth_limit = min(depth_limit, DEEPEST)
        self.bulk_length = bulk_length
        self.coding = _codings.get(charsets[0], OTHER) if len(charsets) == 1 else OTHER
        self.left = left
        self.chunks = []

    def __dealloc__(self):
        Py_XDECREF(self.filled)

    def encode(self, Level level not None) -> list:
        self.write_level(<PyObject *>level)
        self.flush()
        return self.chunks

    cdef int flush(self) except -1:
        if self.length:
            if self.room - self.length > self.length >> 3:
                _PyBytes_Resize(&self.filled, <Py_ssize_t>self.length)
            else:  # a little room is left behind: the next buffer then finds this one's pages, without a system call
                Py_SET_SIZE(self.filled, <Py_ssize_t>self.length)
                self.out[self.length] = 0
            self.chunks.append(<object>self.filled)
            Py_CLEAR(self.filled)
            self.out = NULL
            self.length = self.room = 0
        return 0

    cdef inline int reserve(self, size_t more) except -1:
        return 0 if more <= self.room - self.length else self.grow(more)

    cdef int grow(self, size_t more) except -1:
        cdef size_t room = self.length + more
        room = max(room + 4096, self.room + (self.room if self.room < STEEP else self.room >> 3))
        self.room = self.length
        if self.filled == NULL:
            self.filled = PyBytes_New(NULL, <Py_ssize_t>room)
        else:
            _PyBytes_Resize(&self.filled, <Py_ssize_t>room)
        self.out = <uint8_t *>bytes_of(self.filled)
        self.room = room
        return 0

    cdef inline int put(self, const void *data, size_t length) except -1:
        self.reserve(length)
        if length:
            memcpy(self.out + self.length, data, length)
        self.length += length
        return 0

    cdef int write_level(self, PyObject *level) except -1:
        cdef int64_t last = -1
        cdef size_t start = self.length
        cdef Py_ssize_t at = 0
        cdef PyObject *key
        cdef PyObject *cell
        cdef PyObject *edits = <PyObject *>(<Level>level).edits
        cdef bint checked = False
        if edits == <PyObject *>None:
            return 0
        self.levels[self.depth] = level
        self.edits[self.depth] = edits
        self.depth += 1
        while next_entry(edits, &at, &key, &cell):  # in the order of assignment, which mostly is that of the tags
            if cell == <PyObject *>None:
                continue
            if not is_cell(cell) or (<Cell>cell).number <= last:
                break
            if not checked and Py_TYPE(<PyObject *>(<Cell>cell).held) == <PyTypeObject *>_sequence:
                if not in_order(edits):  # before anything below is written, or each level would double the work
                    break
                checked = True
            last = (<Cell>cell).number
            self.write(cell)
        else:
            self.depth -= 1
            return 0
        self.length = start
        if self.depth == 1:
            self.chunks.clear()
            self.length = 0
        self.write_sorted(<dict>edits)
        self.depth -= 1
        return 0

    cdef int write_sorted(self, dict edits) except -1:
        for tag in sorted(edits):
            element = edits.get(tag)
            if element is not None:
                self.write(<PyObject *><Cell?>element)
        return 0

    cdef int write(self, PyObject *cell) except -1:
        cdef const Form *form
        cdef PyObject *vr = <PyObject *>(<Cell>cell).VR
        cdef PyObject *value = <PyObject *>(<Cell>cell).held
        cdef uint32_t tag = (<Cell>cell).number, length
        cdef uint16_t letters
        cdef uint16_t words[2]
        cdef size_t start = self.length, header = 8
        cdef bint delimited = False
        if not is_just_text(vr) or text_length(vr) != 2 or not is_ascii(vr):
            return self.leave(cell)
        form = _forms + ((text_of(vr)[0] & 31) << 5 | text_of(vr)[1] & 31)
        if form.kind == LEFT or value == <PyObject *>_unread or (tag == PIXEL_DATA and form.kind != OCTETS):
            return self.leave(cell)
        memcpy(&letters, text_of(vr), 2)
        if self.explicit and form.long_header:
            header = 12
        self.reserve(header + 24)
        words[0] = <uint16_t>(tag >> 16)
        words[1] = <uint16_t>tag
        memcpy(self.out + start, words, 4)
        self.length += header
        if is_bytes(value):
            length = <uint32_t>bytes_size(value)
            if bytes_size(value) > 0xFFFFFFFE or (tag == PIXEL_DATA and length >= 4 and memcmp_mark(bytes_of(value))):
                self.length = start
                return self.leave(cell)
            if length >= self.bulk_length and form.kind == OCTETS and self.depth == 1:
                self.write_header(start, header, letters, length + (length & 1))
                self.flush()
                self.chunks.append(<object>value)
                if length & 1:
                    self.put(&form.pad, 1)
                return 0
            self.put(bytes_of(value), length)
        elif value != <PyObject *>None:
            delimited = form.kind == ITEMS and isinstance(<object>value, Items) and (<Items>value).is_undefined_length
            if not self.write_value(tag, form, value):
                self.length = start
                return self.leave(cell)  # with items, no Python code ran yet
        length = <uint32_t>(self.length - start - header)
        if length & 1:
            self.put(&form.pad, 1)
            length += 1
        if delimited:
            self.put(b"\xfe\xff\xdd\xe0\0\0\0\0", 8)
            length = UNDEFINED
        elif header == 8 and length > 0xFFFE and self.explicit:  # PS3.5 6.2.2: such values are UN
            self.reserve(4)
            memmove(self.out + start + 12, self.out + start + 8, self.length - start - 8)
            self.length += 4
            header = 12
            memcpy(&letters, b"UN", 2)
        self.write_header(start, header, letters, length)
        return 0

    cdef inline void write_header(self, size_t start, size_t header, uint16_t letters, uint32_t length) noexcept:
        """What follows the tag."""
        cdef uint8_t *at = self.out + start + 4
        cdef uint16_t short_length = <uint16_t>length
        if not self.explicit:
            memcpy(at, &length, 4)
            return
        memcpy(at, &letters, 2)
        if header == 8:
            memcpy(at + 2, &short_length, 2)
        else:
            memcpy(at + 2, b"\0\0", 2)
            memcpy(at + 4, &length, 4)

    cdef int hold(self) except -1:
        """Keep alive what is being written, for Python code is to run."""
        cdef int i
        held = [<object>self.levels[i] for i in range(self.depth)]
        held += [<object>self.edits[i] for i in range(self.depth)]
        held += [<object>self.items[i] for i in range(1, self.depth)]
        self.held = held  # not before the new one is there: they may be the last references
        return 0

    cdef int leave(self, PyObject *left) except -1:
        cdef int i
        cell = <Cell>left
        self.hold()
        levels = tuple(self.held[: self.depth])
        try:
            chunks = self.left(cell.number, cell, levels)
        except EncodingError as error:
            for i in range(self.depth - 1, 0, -1):
                where = place_of(self.tags[i], self.numbers[i])
                error.path = f"{where}.{error.path}" if error.path else where
            raise
        for chunk in chunks:  # a single one of bytes within items
            if PyBytes_CheckExact(chunk) and (self.depth > 1 or PyBytes_GET_SIZE(chunk) < <Py_ssize_t>self.bulk_length):
                self.put(PyBytes_AS_STRING(chunk), PyBytes_GET_SIZE(chunk))
            else:
                self.flush()
                self.chunks.append(chunk)
        return 0

    cdef int write_value(self, uint32_t tag, const Form *form, PyObject *value) except -1:
        """1, or 0 where Python has to see to it; what was put so far is then dropped."""
        cdef PyObject *one
        cdef Py_ssize_t i
        if form.kind == ITEMS:
            return self.write_items(tag, value) if isinstance(<object>value, Items) else 0
        if not is_list(value):
            return self.write_one(form, value)
        if form.kind == TEXT:
            return 0
        if form.kind == DECIMALS and Py_TYPE(value) == <PyTypeObject *>_many:
            one = (<const dc_many *>value).field
            if one != <PyObject *>None:
                self.put(bytes_of(one), bytes_size(one))
                return 1
        for i in range(list_size(value)):
            if i and form.kind != NUMBERS:
                self.put(b"\\", 1)
            one = list_item(value, i)
            if form.kind == TEXTS and is_text(one) and (
                text_width(one) != 1 or memchr(text_of(one), 0x5C, text_length(one))
            ):
                return 0
            if not self.write_one(form, one):
                return 0
        return 1

    cdef int write_one(self, const Form *form, PyObject *value) except -1:
        cdef const uint8_t *at
        cdef const uint8_t *end
        cdef const dc_decimal *decimal
        cdef PyObject *text
        cdef Py_ssize_t length
        cdef int64_t number
        cdef int overflow = 0
        cdef double real
        cdef float single
        if form.kind == TEXTS or form.kind == TEXT:
            if not is_text(value):
                return 0
            if not is_ascii(value):
                return self.write_foreign(value) if form.is_text else 0
            self.put(text_of(value), text_length(value))
            return 1
        if form.kind == NUMBERS:
            if form.letter == 102 or form.letter == 100:  # f, d
                if not is_float(value):
                    return 0
                real = double_of(value)
                if form.letter == 100:
                    self.put(&real, 8)
                    return 1
                if not -3.4e38 < real < 3.4e38:
                    return 0
                single = <float>real
                self.put(&single, 4)
                return 1
            if not is_int(value):
                return 0
            number = integer_of(value, &overflow)
            if overflow:
                return 0
            if form.letter == 72 and not 0 <= number <= 0xFFFF:
                return 0
            if form.letter == 73 and not 0 <= number <= 0xFFFFFFFF:
                return 0
            if form.letter == 104 and not -0x8000 <= number <= 0x7FFF:
                return 0
            if form.letter == 105 and not -0x80000000 <= number <= 0x7FFFFFFF:
                return 0
            if form.letter == 81 and number < 0:
                return 0
            self.put(&number, form.size)  # little endian, as everything here
            return 1
        if form.kind == DECIMALS:
            if Py_TYPE(value) != <PyTypeObject *>_decimal:
                return 0
            decimal = <const dc_decimal *>value
            text = <PyObject *>decimal.text
            if text == NULL:
                self.reserve(24)
                length = write_decimal(double_of(value), self.out + self.length)
                self.length += length
                return length != 0
            if is_bytes(text):
                at = <const uint8_t *>bytes_of(text) + decimal.start
                length = <Py_ssize_t>decimal.stop - decimal.start
            elif is_ascii(text):
                at = <const uint8_t *>text_of(text)
                length = text_length(text)
                end = at + length
                if not parse_decimal(&at, end, &real) or at != end:
                    return 0
                at = end - length
            else:
                return 0
            if not 0 < length <= 16:
                return 0
            self.put(at, length)
            return 1
        if form.kind == INTEGERS and Py_TYPE(value) == <PyTypeObject *>_integer:
            number = integer_of(value, &overflow)
            if overflow or not -99999999999 <= number <= 999999999999 or (<object>value)._text is not None:
                return 0
            self.reserve(24)
            self.length += write_integer(number, self.out + self.length)
            return 1
        return 0

    cdef int write_foreign(self, PyObject *text) except -1:
        """Text that is not ASCII, in the character set that is in effect here."""
        cdef PyObject *found
        cdef int level = self.depth, coding = self.coding
        while level:
            level -= 1
            found = find_entry(self.edits[level], <PyObject *>_charset_tag)
            if found != NULL and is_cell(found):
                found = <PyObject *>(<Cell>found).held
                coding = _codings.get(<object>found, OTHER) if is_just_text(found) else OTHER
                break
        if coding == LATIN and text_width(text) == 1:
            self.put(text_of(text), text_length(text))
            return 1
        if coding != UTF:
            return 0
        try:
            raw = PyUnicode_AsUTF8String(<object>text)
        except UnicodeEncodeError:
            return 0
        self.put(PyBytes_AS_STRING(raw), PyBytes_GET_SIZE(raw))
        return 1

    cdef int write_items(self, uint32_t tag, PyObject *sequence) except -1:
        cdef Py_ssize_t number
        cdef size_t start
        cdef uint32_t length
        cdef bint was_warmed = self.warmed
        cdef int depth = self.depth
        cdef PyObject *level
        cdef PyObject *items = <PyObject *>(<Items>sequence)._items
        if depth >= self.depth_limit or items == <PyObject *>None:
            return 0
        for number in range(list_size(items)):
            if not is_fresh(list_item(items, number)):
                return 0
        self.items[depth] = items
        self.tags[depth] = tag
        number = 0
        while number < list_size(items):
            if not was_warmed and number % BATCH == 0:
                self.warmed = warm(items, number, self.wave, self.cells)
            level = list_item(items, number)
            if not is_fresh(level):
                raise RuntimeError("a sequence changed while it was written")
            self.numbers[depth] = number
            start = self.length
            self.put(b"\xfe\xff\x00\xe0\0\0\0\0", 8)
            self.write_level(level)
            if self.length - start - 8 > 0xFFFFFFFE:
                where = place_of(tag, number)
                raise EncodingError("an item is longer than a length can say", path=where, clause="PS3.5 7.5")
            length = <uint32_t>(self.length - start - 8)
            memcpy(self.out + start + 4, &length, 4)
            number += 1
        self.warmed = was_warmed
        return 1


cdef str place_of(uint32_t tag, Py_ssize_t number):
    return f"({tag >> 16:04X},{tag & 0xFFFF:04X})[{number}]"


cdef inline bint is_cell(PyObject *one) noexcept:
    return Py_TYPE(one) == <PyTypeObject *>_element or isinstance(<object>one, Cell)


cdef inline bint is_fresh(PyObject *one) noexcept:
    """A data set that was not read."""
    if Py_TYPE(one) != <PyTypeObject *>_dataset and not isinstance(<object>one, Level):
        return False
    return <PyObject *>(<Level>one)._origin == <PyObject *>None


cdef bint in_order(PyObject *edits) noexcept:
    cdef int64_t last = -1
    cdef Py_ssize_t at = 0
    cdef PyObject *key
    cdef PyObject *value
    while next_entry(edits, &at, &key, &value):
        if value == <PyObject *>None:
            continue
        if not is_cell(value) or (<Cell>value).number <= last:
            return False
        last = (<Cell>value).number
    return True


cdef inline bint memcmp_mark(const char *data) noexcept:
    """An item header: the value is encapsulated."""
    return data[0] == <char>0xFE and data[1] == <char>0xFF and data[2] == 0 and data[3] == <char>0xE0
