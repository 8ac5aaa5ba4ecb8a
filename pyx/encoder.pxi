# Included by level.pyx: the encoder of data sets whose elements were assigned (PS3.5 sections 6.2, 7.1, 7.5).

cdef extern from "Python.h":
    bint PyUnicode_Check(object text)
    bint PyUnicode_IS_ASCII(object text)
    const char *PyUnicode_DATA(object text)
    Py_ssize_t PyUnicode_GET_LENGTH(object text)

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

    cdef uint8_t *out
    cdef size_t length
    cdef size_t room
    cdef bint explicit
    cdef int depth_limit
    cdef size_t bulk_length
    cdef object left
    cdef list chunks
    cdef list levels

    def __init__(self, bint explicit, int depth_limit, size_t bulk_length, left) -> None:
        self.explicit = explicit
        self.depth_limit = min(depth_limit, 64)
        self.bulk_length = bulk_length
        self.left = left
        self.chunks = []
        self.levels = []

    def __dealloc__(self):
        free(self.out)

    def encode(self, Level level not None) -> list:
        self.write_level(level)
        self.flush()
        return self.chunks

    cdef int flush(self) except -1:
        if self.length:
            self.chunks.append(PyBytes_FromStringAndSize(<char *>self.out, self.length))
            self.length = 0
        return 0

    cdef int grow(self, size_t more) except -1:
        cdef size_t room
        cdef uint8_t *grown
        if self.length + more <= self.room:
            return 0
        room = max(2 * self.room, self.length + more + 4096)
        grown = <uint8_t *>realloc(self.out, room)
        if grown == NULL:
            raise MemoryError
        self.out = grown
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
        cdef size_t start = self.length
        cdef int64_t last = -1
        cdef Py_ssize_t at = 0
        cdef PyObject *key
        cdef PyObject *value
        if level.edits is None:
            return 0
        self.levels.append(level)
        while PyDict_Next(level.edits, &at, &key, &value):  # in the order of assignment, which mostly is that of the tags
            if value == <PyObject *>None:
                continue
            if (<Cell><object>value).number <= last:
                break
            last = (<Cell><object>value).number
            self.write(<Cell><object>value)
        else:
            self.levels.pop()
            return 0
        self.length = start
        if len(self.levels) == 1:
            self.chunks.clear()
        for tag in sorted(level.edits):
            element = level.edits[tag]
            if element is not None:
                self.write(<Cell?>element)
        self.levels.pop()
        return 0

    cdef int write(self, Cell cell) except -1:
        cdef Form form
        cdef str vr
        cdef const char *letters
        cdef uint32_t tag = cell.number, length
        cdef uint16_t words[2]
        cdef size_t start = self.length, header = 8
        vr = cell.VR
        if PyUnicode_GET_LENGTH(vr) != 2 or not PyUnicode_IS_ASCII(vr):
            return self.leave(cell)
        letters = PyUnicode_DATA(vr)
        form = _forms[(letters[0] & 31) << 5 | letters[1] & 31]
        value = cell.held
        if form.kind == LEFT or value is _unread or (tag == 0x7FE00010 and form.kind != OCTETS):
            return self.leave(cell)
        if self.explicit and form.long_header:
            header = 12
        self.grow(header)
        words[0] = <uint16_t>(tag >> 16)
        words[1] = <uint16_t>tag
        memcpy(self.out + start, words, 4)
        self.length += header
        if PyBytes_CheckExact(value):
            length = <uint32_t>PyBytes_GET_SIZE(value)
            if PyBytes_GET_SIZE(value) > 0xFFFFFFFE or (tag == 0x7FE00010 and length >= 4 and
                                                        memcmp_mark(PyBytes_AS_STRING(value))):
                self.length = start
                return self.leave(cell)
            if length >= self.bulk_length and form.kind == OCTETS and len(self.levels) == 1:
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
        elif value is not None and not self.write_value(tag, &form, value):
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
        for chunk in self.left(cell.number, cell, tuple(self.levels)):  # a single one of bytes within items
            if PyBytes_CheckExact(chunk) and (len(self.levels) > 1 or PyBytes_GET_SIZE(chunk) < <Py_ssize_t>self.bulk_length):
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
            field = value.field
            if field is not None:
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
            text = value.original_string
            if overflow or not -99999999999 <= number <= 999999999999 or PyUnicode_GET_LENGTH(text) > 12:
                return 0
            if text != int.__repr__(value):
                return 0
            self.put(PyUnicode_DATA(text), PyUnicode_GET_LENGTH(text))
            return 1
        return 0

    cdef int write_items(self, uint32_t tag, Items sequence) except -1:
        cdef Py_ssize_t number
        cdef size_t start
        cdef uint32_t length
        cdef list items = sequence._items
        if len(self.levels) >= self.depth_limit:
            return 0
        for item in items:
            if not isinstance(item, Level) or (<Level>item)._origin is not None:
                return 0
        for number in range(PyList_GET_SIZE(items)):
            start = self.length
            self.put(b"\xfe\xff\x00\xe0\0\0\0\0", 8)
            try:
                self.write_level(<Level><object>PyList_GET_ITEM(items, number))
            except EncodingError as error:
                where = f"({tag >> 16:04X},{tag & 0xFFFF:04X})[{number}]"
                error.path = f"{where}.{error.path}" if error.path else where
                raise
            if self.length - start - 8 > 0xFFFFFFFE:
                return 0
            length = <uint32_t>(self.length - start - 8)
            memcpy(self.out + start + 4, &length, 4)
        return 1


cdef inline bint memcmp_mark(const char *data) noexcept:
    """An item header: the value is encapsulated."""
    return data[0] == <char>0xFE and data[1] == <char>0xFF and data[2] == 0 and data[3] == <char>0xE0
