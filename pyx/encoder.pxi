# Included by level.pyx: the encoder of data sets whose elements were assigned (PS3.5 sections 6.2, 7.1, 7.5).
#
# One pass into one buffer, lengths filled in behind. What that costs is fetching objects that lie all over the memory,
# so they are asked for ahead, breadth first, a batch of items at a time (`warm`).

from cpython.object cimport PyTypeObject
from cpython.ref cimport Py_CLEAR, Py_XDECREF
from decimal cimport dc_many, write_integer

cdef extern from "Python.h":
    """
    #define dc_set_size(bytes, size) Py_SET_SIZE((PyVarObject *)(bytes), size)
    #if defined(__GNUC__) && !defined(PYPY_VERSION)
    #define dc_fetch(at) __builtin_prefetch((const char *)(at))
    #define dc_entries(dict) ((const char *)((PyDictObject *)(dict))->ma_keys)
    #define dc_slots(list) ((const char *)((PyListObject *)(list))->ob_item)
    #else
    #define dc_fetch(at) ((void)(at))
    #define dc_entries(dict) ((const char *)(dict))
    #define dc_slots(list) ((const char *)(list))
    #endif
    """
    void dc_fetch(const void *at) noexcept
    const char *dc_entries(PyObject *dict) noexcept
    const char *dc_slots(PyObject *list) noexcept
    PyTypeObject *Py_TYPE(PyObject *one) noexcept
    void Py_SET_SIZE "dc_set_size"(PyObject *one, Py_ssize_t size) noexcept
    int _PyBytes_Resize(PyObject **bytes, Py_ssize_t size) except -1
    PyObject *PyBytes_New "PyBytes_FromStringAndSize"(const char *data, Py_ssize_t size) except NULL
    int _next "PyDict_Next"(PyObject *dict, Py_ssize_t *at, PyObject **key, PyObject **value) noexcept
    Py_ssize_t _list_size "PyList_GET_SIZE"(PyObject *list) noexcept
    PyObject *_list_item "PyList_GET_ITEM"(PyObject *list, Py_ssize_t at) noexcept
    bint _is_text "PyUnicode_Check"(PyObject *one) noexcept
    const char *_text_of "(const char *)PyUnicode_DATA"(PyObject *text) noexcept
    bint PyUnicode_Check(object text)
    bint PyUnicode_CheckExact(object text)
    bint PyUnicode_IS_ASCII(object text)
    const char *PyUnicode_DATA(object text)
    Py_ssize_t PyUnicode_GET_LENGTH(object text)

cdef enum:
    WIDE = 512  # objects of a kind that are fetched together
    BATCH = 8  # items of a sequence
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

ctypedef struct Form:
    uint8_t kind
    uint8_t pad
    uint8_t long_header
    uint8_t size
    uint8_t letter  # of struct's formats, for numbers

cdef Form[1024] _forms


def setup_forms(rows, decimal, integer) -> None:
    """Once, at import: (VR, kind, padding, whether the header is long, size, format) of each VR; the types of numeric
    strings."""
    global _decimal, _integer
    _decimal = decimal
    _integer = integer
    for vr, kind, pad, long_header, size, letter in rows:
        _forms[(ord(vr[0]) & 31) << 5 | ord(vr[1]) & 31] = Form(kind, pad, long_header, size, letter)


@cython.final
cdef class Encoder:
    """Writes data sets whose every element was assigned, little endian, sequences as they are to be delimited.

    ``left(tag, element, levels)`` encodes what is left to Python, and answers chunks.
    """

    cdef uint8_t *out  # of the bytes object that is being filled
    cdef PyObject *filled
    cdef size_t length
    cdef size_t room
    cdef bint explicit
    cdef bint warmed  # everything below is fetched already
    cdef int depth_limit
    cdef int depth
    cdef size_t bulk_length
    cdef object left
    cdef list chunks
    cdef PyObject *levels[DEEPEST + 1]  # that are being written, outermost first
    cdef PyObject *wave[WIDE]
    cdef PyObject *cells[WIDE]

    def __init__(self, bint explicit, int depth_limit, size_t bulk_length, left) -> None:
        self.explicit = explicit
        self.depth_limit = min(depth_limit, DEEPEST)
        self.bulk_length = bulk_length
        self.left = left
        self.chunks = []

    def __dealloc__(self):
        Py_XDECREF(self.filled)

    def encode(self, Level level not None) -> list:
        self.write_level(level)
        self.flush()
        return self.chunks

    cdef int flush(self) except -1:
        if self.length:
            if self.room - self.length > self.length >> 3:
                _PyBytes_Resize(&self.filled, <Py_ssize_t>self.length)
            else:  # a little room is left behind: the next buffer then finds this one's pages, and no system call is made
                Py_SET_SIZE(self.filled, <Py_ssize_t>self.length)
                self.out[self.length] = 0
            self.chunks.append(<object>self.filled)
            Py_CLEAR(self.filled)
            self.out = NULL
            self.length = self.room = 0
        return 0

    cdef int grow(self, size_t more) except -1:
        cdef size_t room = self.length + more
        if room <= self.room:
            return 0
        room = max(room + 4096, self.room + (self.room if self.room < STEEP else self.room >> 3))
        self.room = 0
        if self.filled == NULL:
            self.filled = PyBytes_New(NULL, <Py_ssize_t>room)
        else:
            _PyBytes_Resize(&self.filled, <Py_ssize_t>room)
        self.out = <uint8_t *>PyBytes_AS_STRING(<object>self.filled)
        self.room = room
        return 0

    cdef int put(self, const void *data, size_t length) except -1:
        if length == 0:
            return 0
        self.grow(length)
        memcpy(self.out + self.length, data, length)
        self.length += length
        return 0

    cdef int write_level(self, Level level) except -1:
        cdef int64_t last = -1
        cdef size_t start = self.length
        cdef Py_ssize_t at = 0
        cdef PyObject *key
        cdef PyObject *value
        cdef bint checked = False
        cdef dict edits = level.edits
        if edits is None:
            return 0
        self.levels[self.depth] = <PyObject *>level
        self.depth += 1
        while PyDict_Next(edits, &at, &key, &value):  # in the order of assignment, which mostly is that of the tags
            if value == <PyObject *>None:
                continue
            if not is_cell(value) or (<Cell>value).number <= last:
                break
            if not checked and Py_TYPE(<PyObject *>(<Cell>value).held) == <PyTypeObject *>_sequence:
                if not in_order(edits):  # before anything below is written, or each level would double the work
                    break
                checked = True
            last = (<Cell>value).number
            self.write(<Cell>value)
        else:
            self.depth -= 1
            return 0
        self.length = start
        if self.depth == 1:
            self.chunks.clear()
            self.length = 0
        for tag in sorted(edits):
            element = edits[tag]
            if element is not None:
                self.write(<Cell?>element)
        self.depth -= 1
        return 0

    cdef int write(self, Cell cell) except -1:
        cdef const Form *form
        cdef const char *letters
        cdef uint32_t tag = cell.number, length
        cdef uint16_t words[2]
        cdef size_t start = self.length, header = 8
        if not PyUnicode_CheckExact(cell.VR) or PyUnicode_GET_LENGTH(cell.VR) != 2 or not PyUnicode_IS_ASCII(cell.VR):
            return self.leave(cell)
        letters = PyUnicode_DATA(cell.VR)
        form = _forms + ((letters[0] & 31) << 5 | letters[1] & 31)
        if form.kind == LEFT or cell.held is _unread or (tag == PIXEL_DATA and form.kind != OCTETS):
            return self.leave(cell)
        value = cell.held
        if self.explicit and form.long_header:
            header = 12
        self.grow(header + 24)
        words[0] = <uint16_t>(tag >> 16)
        words[1] = <uint16_t>tag
        memcpy(self.out + start, words, 4)
        self.length += header
        if PyBytes_CheckExact(value):
            length = <uint32_t>PyBytes_GET_SIZE(value)
            if PyBytes_GET_SIZE(value) > 0xFFFFFFFE or (tag == PIXEL_DATA and length >= 4 and
                                                        memcmp_mark(PyBytes_AS_STRING(value))):
                self.length = start
                return self.leave(cell)
            if length >= self.bulk_length and form.kind == OCTETS and self.depth == 1:
                length += length & 1
                memcpy(self.out + start + header - 4, &length, 4)
                if header == 12:
                    memcpy(self.out + start + 4, letters, 2)
                    memcpy(self.out + start + 6, b"\0\0", 2)
                self.flush()
                self.chunks.append(value)
                if PyBytes_GET_SIZE(value) & 1:
                    self.put(&form.pad, 1)
                return 0
            self.put(PyBytes_AS_STRING(value), length)
        elif value is not None and not self.write_value(tag, form, value):
            self.length = start
            return self.leave(cell)
        length = <uint32_t>(self.length - start - header)
        if length & 1:
            self.put(&form.pad, 1)
            length += 1
        if form.kind == ITEMS and value is not None and (<Items>value).is_undefined_length:
            self.put(b"\xfe\xff\xdd\xe0\0\0\0\0", 8)
            length = UNDEFINED
        if not self.explicit:
            memcpy(self.out + start + 4, &length, 4)
            return 0
        if header == 8 and length > 0xFFFE:  # PS3.5 6.2.2: such values are UN
            self.grow(4)
            memmove(self.out + start + 12, self.out + start + 8, self.length - start - 8)
            self.length += 4
            header = 12
            letters = b"UN"
        memcpy(self.out + start + 4, letters, 2)
        if header == 12:
            memcpy(self.out + start + 6, b"\0\0", 2)
            memcpy(self.out + start + 8, &length, 4)
        else:
            words[0] = <uint16_t>length
            memcpy(self.out + start + 6, words, 2)
        return 0

    cdef int leave(self, Cell cell) except -1:
        cdef int i
        levels = tuple([<object>self.levels[i] for i in range(self.depth)])
        for chunk in self.left(cell.number, cell, levels):  # a single one of bytes within items
            if PyBytes_CheckExact(chunk) and (self.depth > 1 or PyBytes_GET_SIZE(chunk) < <Py_ssize_t>self.bulk_length):
                self.put(PyBytes_AS_STRING(chunk), PyBytes_GET_SIZE(chunk))
            else:
                self.flush()
                self.chunks.append(chunk)
        return 0

    cdef int write_value(self, uint32_t tag, const Form *form, object value) except -1:
        """1, or 0 where Python has to see to it; what was put so far is then dropped."""
        cdef list values
        cdef Py_ssize_t i
        if form.kind == ITEMS:
            return self.write_items(tag, <Items>value) if isinstance(value, Items) else 0
        if not isinstance(value, list):
            return self.write_one(form, value)
        if form.kind == TEXT:
            return 0
        values = <list>value
        if form.kind == DECIMALS and type(value) is _many:
            if (<const dc_many *><PyObject *>value).field != <PyObject *>None:
                field = <object>(<const dc_many *><PyObject *>value).field
                self.put(PyBytes_AS_STRING(field), PyBytes_GET_SIZE(field))
                return 1
        for i in range(PyList_GET_SIZE(values)):
            if i and form.kind != NUMBERS:
                self.put(b"\\", 1)
            one = <object>PyList_GET_ITEM(values, i)
            if form.kind == TEXTS and PyUnicode_Check(one) and memchr(PyUnicode_DATA(one), 0x5C, PyUnicode_GET_LENGTH(one)):
                return 0
            if not self.write_one(form, one):
                return 0
        return 1

    cdef int write_one(self, const Form *form, object value) except -1:
        cdef const uint8_t *at
        cdef const uint8_t *end
        cdef const dc_decimal *decimal
        cdef Py_ssize_t length
        cdef int64_t number
        cdef int overflow = 0
        cdef double real
        cdef float single
        if form.kind == TEXTS or form.kind == TEXT:
            if not PyUnicode_Check(value) or not PyUnicode_IS_ASCII(value):
                return 0
            self.put(PyUnicode_DATA(value), PyUnicode_GET_LENGTH(value))
            return 1
        if form.kind == NUMBERS:
            if form.letter == 102 or form.letter == 100:  # f, d
                if not PyFloat_Check(value):
                    return 0
                real = PyFloat_AS_DOUBLE(value)
                if form.letter == 100:
                    self.put(&real, 8)
                    return 1
                if not -3.4e38 < real < 3.4e38:
                    return 0
                single = <float>real
                self.put(&single, 4)
                return 1
            if not PyLong_Check(value):
                return 0
            number = PyLong_AsLongLongAndOverflow(value, &overflow)
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
            if type(value) is not _decimal:
                return 0
            decimal = <const dc_decimal *><PyObject *>value
            if decimal.text == NULL:
                self.grow(24)
                length = write_decimal(PyFloat_AS_DOUBLE(value), self.out + self.length)
                self.length += length
                return length != 0
            text = <object>decimal.text
            if PyBytes_CheckExact(text):
                at = <const uint8_t *>PyBytes_AS_STRING(text) + decimal.start
                length = <Py_ssize_t>decimal.stop - decimal.start
            elif PyUnicode_IS_ASCII(text):
                at = <const uint8_t *>PyUnicode_DATA(text)
                length = PyUnicode_GET_LENGTH(text)
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
        if form.kind == INTEGERS and type(value) is _integer:
            number = PyLong_AsLongLongAndOverflow(value, &overflow)
            if overflow or not -99999999999 <= number <= 999999999999 or value._text is not None:
                return 0
            self.grow(24)
            self.length += write_integer(number, self.out + self.length)
            return 1
        return 0

    cdef int write_items(self, uint32_t tag, Items sequence) except -1:
        cdef Py_ssize_t number = 0
        cdef size_t start
        cdef uint32_t length
        cdef bint was_warmed = self.warmed
        cdef Level level
        cdef list items = sequence._items
        if self.depth >= self.depth_limit:
            return 0
        for number in range(PyList_GET_SIZE(items)):
            if not is_fresh(<PyObject *>PyList_GET_ITEM(items, number)):
                return 0
        number = 0
        try:
            while number < PyList_GET_SIZE(items):
                if not was_warmed and number % BATCH == 0:
                    self.warmed = self.warm(<PyObject *>items, number)
                level = <Level?><object>PyList_GET_ITEM(items, number)
                start = self.length
                self.put(b"\xfe\xff\x00\xe0\0\0\0\0", 8)
                self.write_level(level)
                if self.length - start - 8 > 0xFFFFFFFE:
                    return 0
                length = <uint32_t>(self.length - start - 8)
                memcpy(self.out + start + 4, &length, 4)
                number += 1
        except EncodingError as error:
            where = f"({tag >> 16:04X},{tag & 0xFFFF:04X})[{number}]"
            error.path = f"{where}.{error.path}" if error.path else where
            raise
        self.warmed = was_warmed
        return 1

    cdef bint warm(self, PyObject *items, Py_ssize_t first) noexcept:
        """Ask for the memory of a batch of items and what is below, so that it comes while the next is asked for.

        Whether that was everything; if not, the sequences below see to their own.
        """
        cdef PyObject **wave = self.wave
        cdef PyObject **cells = self.cells
        cdef PyObject *key
        cdef PyObject *one
        cdef const char *entries
        cdef Py_ssize_t at, count = 0, wide, i, size
        cdef int depth
        for at in range(first, min(first + BATCH, _list_size(items))):
            wave[count] = _list_item(items, at)
            dc_fetch(wave[count])
            count += 1
        for depth in range(DEEPEST):
            wide = 0
            for i in range(count):
                if Py_TYPE(wave[i]) == <PyTypeObject *>_dataset:
                    one = <PyObject *>(<Level>wave[i]).edits
                    if one != <PyObject *>None:
                        dc_fetch(one)
                        wave[wide] = one
                        wide += 1
            for i in range(wide):
                entries = dc_entries(wave[i])
                for at in range(0, 56 + 24 * PyDict_Size(<object>wave[i]), 64):
                    dc_fetch(entries + at)
            count = 0
            for i in range(wide):
                at = 0
                while _next(wave[i], &at, &key, &one):
                    if count == WIDE:
                        return False
                    dc_fetch(one)
                    dc_fetch(<char *>one + 40)
                    cells[count] = one
                    count += 1
            wide = 0
            for i in range(count):
                if Py_TYPE(cells[i]) == <PyTypeObject *>_element:
                    one = <PyObject *>(<Cell>cells[i]).held
                    dc_fetch(one)
                    dc_fetch(<char *>one + 48)
                    cells[wide] = one
                    wide += 1
            count = wide
            wide = 0
            for i in range(count):
                one = cells[i]
                if Py_TYPE(one) == <PyTypeObject *>_sequence:
                    one = <PyObject *>(<Items>one)._items
                    if one != <PyObject *>None:
                        dc_fetch(one)
                        cells[wide] = one
                        wide += 1
                elif Py_TYPE(one) == <PyTypeObject *>_decimal:
                    key = <PyObject *>(<const dc_decimal *>one).text
                    dc_fetch(key)
                    dc_fetch(<char *>key + 48)
                elif Py_TYPE(one) == <PyTypeObject *>_many:
                    key = (<const dc_many *>one).field
                    if key != <PyObject *>None:
                        dc_fetch(key)
                        dc_fetch(<char *>key + 48)
                    else:
                        dc_fetch(dc_slots(one))
                elif _is_text(one):
                    dc_fetch(_text_of(one))
            if wide == 0:
                return True
            for i in range(wide):
                dc_fetch(dc_slots(cells[i]))
            count = 0
            for i in range(wide):
                size = _list_size(cells[i])
                if count + size > WIDE:
                    return False
                for at in range(size):
                    wave[count] = _list_item(cells[i], at)
                    dc_fetch(wave[count])
                    dc_fetch(<char *>wave[count] + 40)
                    count += 1
        return False


cdef inline bint is_cell(PyObject *one) noexcept:
    return Py_TYPE(one) == <PyTypeObject *>_element or isinstance(<object>one, Cell)


cdef inline bint is_fresh(PyObject *one) noexcept:
    """A data set that was not read."""
    if Py_TYPE(one) != <PyTypeObject *>_dataset and not isinstance(<object>one, Level):
        return False
    return <PyObject *>(<Level>one)._origin == <PyObject *>None


cdef bint in_order(dict edits) noexcept:
    cdef int64_t last = -1
    cdef Py_ssize_t at = 0
    cdef PyObject *key
    cdef PyObject *value
    while PyDict_Next(edits, &at, &key, &value):
        if value == <PyObject *>None:
            continue
        if not is_cell(value) or (<Cell>value).number <= last:
            return False
        last = (<Cell>value).number
    return True


cdef inline bint memcmp_mark(const char *data) noexcept:
    """An item header: the value is encapsulated."""
    return data[0] == <char>0xFE and data[1] == <char>0xFF and data[2] == 0 and data[3] == <char>0xE0
