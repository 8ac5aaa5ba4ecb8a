"""Value fields to Python objects (PS3.5 section 6.2): the path of every attribute read.

Numbers and plain ASCII text are decoded here; whatever is rare or faulty goes to the callables that `Decoder` was given.
"""

from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_CheckExact, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.bytearray cimport PyByteArray_AS_STRING
from cpython.float cimport PyFloat_AS_DOUBLE, PyFloat_Check, PyFloat_FromDouble
from cpython.list cimport PyList_New, PyList_SET_ITEM
from cpython.long cimport PyLong_FromLong, PyLong_FromLongLong, PyLong_FromUnsignedLong, PyLong_FromUnsignedLongLong
from cpython.object cimport PyObject, PyTypeObject
from cpython.ref cimport Py_INCREF, Py_XDECREF
from libc.stdint cimport int16_t, int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy

from decimal cimport dc_decimal, dc_many, parse_decimal, write_decimal
from objects cimport dc_bare_decimal, dc_move_items, dc_new_decimal, dc_setup_decimal
from text cimport is_ascii, parse_integer, skipped, stripped, trimmed, value_end
from vr_codes cimport (
    AE, AS, AT, CS, DA, DS_, DT, FD, FL, IS_, LO, LT, OB, OD, OF, OL, OV, OW, PN, SH, SL, SS, ST, SV, TM, UC, UI, UL, UN,
    UR, US, UT, UV,
)

cdef extern from "Python.h":
    ctypedef object (*richcmpfunc)(object, object, int)
    PyTypeObject PyFloat_Type
    object PyUnicode_New(Py_ssize_t size, unsigned int maxchar)
    bint PyUnicode_IS_ASCII(object text)
    void *PyUnicode_DATA(object text)
    unsigned int PyUnicode_READ_CHAR(object text, Py_ssize_t index)
    Py_ssize_t PyUnicode_GET_LENGTH(object text)


cdef class MultiValue(list):
    """Several values of one element: a list that prints as pydicom's and tells its ``owner`` when it is changed."""

    cdef public object owner
    cdef readonly object field  # the value field that these were read from, as it would be written; None when changed

    cdef int changed(self) except -1:
        self.field = None
        if self.owner is not None:
            self.owner(self)
        return 0

    def append(self, value):
        list.append(self, value)
        self.changed()

    def extend(self, values):
        list.extend(self, values)
        self.changed()

    def insert(self, index, value):
        list.insert(self, index, value)
        self.changed()

    def remove(self, value):
        list.remove(self, value)
        self.changed()

    def pop(self, index=-1):
        value = list.pop(self, index)
        self.changed()
        return value

    def clear(self):
        list.clear(self)
        self.changed()

    def sort(self, *, key=None, reverse=False):
        list.sort(self, key=key, reverse=reverse)
        self.changed()

    def reverse(self):
        list.reverse(self)
        self.changed()

    def __setitem__(self, index, value):
        list.__setitem__(self, index, value)
        self.changed()

    def __delitem__(self, index):
        list.__delitem__(self, index)
        self.changed()

    def __iadd__(self, values):
        list.extend(self, values)
        self.changed()
        return self

    def __imul__(self, count):
        self[:] = list(self) * count
        return self

    def __str__(self):
        return "[" + ", ".join([repr(one) if isinstance(one, (str, bytes)) else str(one) for one in self]) + "]"

    def __repr__(self):
        return self.__str__()

    def __reduce__(self):
        return MultiValue, (list(self),)

    def __copy__(self):
        return MultiValue(self)

    def twin(self):
        """A list of the same values that knows the same field; None when there is no field."""
        cdef MultiValue made
        if self.field is None:
            return None
        made = MultiValue(self)
        made.field = self.field
        return made


cdef class DS(float):
    """A decimal string: a float that remembers how it was written; ``original_string`` exists when made from text."""

    # The string itself, or the bytes that hold it at start:stop; NULL when made from a number. A bare pointer, since
    # neither can be part of a cycle and millions of these should cost the collector nothing. No cdef method either: a
    # table of methods would have to be set where `dc_new_float` makes one.
    cdef PyObject *text
    cdef uint32_t start
    cdef uint32_t stop

    def __init__(self, value=0.0):
        if isinstance(value, str):
            hold(self, value.strip())
        elif isinstance(value, DS) and (<DS>value).text != NULL:
            hold(self, text_of(<DS>value))

    @property
    def original_string(self):
        text = text_of(self)
        if text is None:
            raise AttributeError("this value was not made from text")
        return text

    def __str__(self):
        text = text_of(self)
        return float.__repr__(self) if text is None else text

    def __repr__(self):
        return f"'{self}'"

    def __format__(self, spec):
        return float.__format__(self, spec) if spec else str(self)

    def __hash__(self):
        return float.__hash__(self)

    def __richcmp__(self, other, int operation):
        if isinstance(other, str) and (operation == 2 or operation == 3):
            return (str(self) == other) == (operation == 2)
        return (<richcmpfunc>PyFloat_Type.tp_richcompare)(self, other, operation)

    def __reduce__(self):
        text = text_of(self)
        return DS, (float(self) if text is None else text,)

    def __copy__(self):
        return self

    def __deepcopy__(self, memo):
        return self


cdef void hold(DS self, object text) noexcept:
    cdef PyObject *before = self.text
    Py_INCREF(text)
    self.text = <PyObject *>text
    Py_XDECREF(before)


cdef object text_of(DS self):
    """What the number was made from, None when it was not made from text."""
    if self.text == NULL:
        return None
    if isinstance(<object>self.text, bytes):
        hold(self, (<bytes><object>self.text)[self.start:self.stop].decode("latin-1"))
    return <object>self.text


if not dc_setup_decimal(<PyTypeObject *>DS):
    raise ImportError("DS is not laid out as the code that makes it expects")


cdef int check_layout() except -1:
    cdef MultiValue made = MultiValue()
    made.field = b"field"
    if (<dc_many *><PyObject *>made).field != <PyObject *>made.field:
        raise ImportError("MultiValue is not laid out as the encoder expects")
    return 0


check_layout()


cdef object several(list values):
    """The one value, or a MultiValue that takes the list over."""
    if len(values) == 1:
        return values[0]
    cdef MultiValue made = MultiValue.__new__(MultiValue)
    dc_move_items(made, values)
    return made


def decimals_of(values, form) -> MultiValue | None:
    """Two or more numbers as DS, with the field that they will be written as; None where one needs a closer look.

    ``form`` writes what is too small or too large for `write_decimal`, ValueError when it has no decimal string: then the
    list has no field, and who encodes it is told.
    """
    cdef Py_ssize_t count = len(values), i, length, at = 0
    cdef const dc_decimal *decimal
    cdef const uint8_t *text
    cdef const uint8_t *end
    cdef uint8_t *out
    cdef double value
    cdef bint is_known = True
    cdef list made
    if count < 2 or not (isinstance(values, list) or type(values) is tuple):
        return None
    field = bytearray(17 * count + 32)  # 16 and a backslash; 24 are written to at once
    out = <uint8_t *>PyByteArray_AS_STRING(field)
    made = []
    for one in values:
        text = NULL
        if type(one) is DS:
            decimal = <const dc_decimal *><PyObject *>one
            value = PyFloat_AS_DOUBLE(one)
            if decimal.text != NULL:
                held = <object>decimal.text
                if PyBytes_CheckExact(held):
                    text = <const uint8_t *>PyBytes_AS_STRING(held) + decimal.start
                    length = <Py_ssize_t>decimal.stop - decimal.start
                elif PyUnicode_IS_ASCII(held):
                    text = <const uint8_t *>PyUnicode_DATA(held)
                    length = PyUnicode_GET_LENGTH(held)
                    end = text
                    if not parse_decimal(&end, text + length, &value) or end != text + length:
                        return None
                if text == NULL or not 0 < length <= 16:
                    return None
        elif PyFloat_Check(one) and not isinstance(one, DS):
            value = PyFloat_AS_DOUBLE(one)
            one = dc_bare_decimal(value, NULL, 0, 0)
        elif type(one) is int:
            value = one
            one = dc_bare_decimal(value, NULL, 0, 0)
        elif type(one) is str and PyUnicode_IS_ASCII(one) and 0 < PyUnicode_GET_LENGTH(one) <= 16:
            text = end = <const uint8_t *>PyUnicode_DATA(one)
            length = PyUnicode_GET_LENGTH(one)
            if not parse_decimal(&end, text + length, &value) or end != text + length:
                return None
            one = dc_new_decimal(value, one, 0, 0)
        else:
            return None
        made.append(one)
        if len(made) > count:
            return None  # it grows as it is read
        if not is_known:
            continue
        if text == NULL:
            length = write_decimal(value, out + at)
            if length == 0:
                try:
                    written = form(value).encode("ascii")
                except ValueError:
                    is_known = False
                    continue
                text = <const uint8_t *>PyBytes_AS_STRING(written)
                length = PyBytes_GET_SIZE(written)
                if length > 16:
                    is_known = False
                    continue
        if text != NULL:
            memcpy(out + at, text, length)
        at += length
        out[at] = 0x5C
        at += 1
    if len(made) != count:
        return None
    result = <MultiValue>several(made)
    if is_known:
        (<MultiValue>result).field = PyBytes_FromStringAndSize(<const char *>out, at - 1)
    return result


cdef inline object ascii_text(const uint8_t *data, Py_ssize_t length):
    if length <= 0:
        return ""
    text = PyUnicode_New(length, 127)
    memcpy(PyUnicode_DATA(text), data, length)
    return text


cdef inline object latin_text(const uint8_t *data, Py_ssize_t length):
    return (<char *>data)[:length].decode("latin-1") if length > 0 else ""


cdef inline uint64_t load(const uint8_t *data, int size, bint big_endian) noexcept nogil:
    cdef uint64_t value = 0
    cdef int at
    if big_endian:
        for at in range(size):
            value = value << 8 | data[at]
    else:
        for at in range(size - 1, -1, -1):
            value = value << 8 | data[at]
    return value


cdef inline object number(const uint8_t *data, int code, bint big_endian):
    cdef uint64_t wide
    cdef uint32_t word
    cdef float single
    cdef double double_
    if code == US:
        return PyLong_FromLong(<uint16_t>load(data, 2, big_endian))
    if code == SS:
        return PyLong_FromLong(<int16_t>load(data, 2, big_endian))
    if code == UL:
        return PyLong_FromUnsignedLong(<uint32_t>load(data, 4, big_endian))
    if code == SL:
        return PyLong_FromLong(<int32_t>load(data, 4, big_endian))
    if code == FL:
        word = <uint32_t>load(data, 4, big_endian)
        memcpy(&single, &word, 4)
        return PyFloat_FromDouble(single)
    wide = load(data, 8, big_endian)
    if code == FD:
        memcpy(&double_, &wide, 8)
        return PyFloat_FromDouble(double_)
    if code == SV:
        return PyLong_FromLongLong(<int64_t>wide)
    return PyLong_FromUnsignedLongLong(wide)


cdef class Decoder:
    """Holds the types that values become; `decode` is the one entry. Immutable."""

    cdef object make_uid, make_tag, make_name, make_integer, read_integer, decode_text, fallback

    def __init__(self, *, uid, tag, name, integer, integer_text, text, fallback):
        self.make_uid = uid
        self.make_tag = tag
        self.make_name = name
        self.make_integer = integer
        self.read_integer = integer_text
        self.decode_text = text
        self.fallback = fallback

    def decode(self, str vr not None, raw, bint big_endian, tuple charsets not None, list issues=None):
        """The Python value of a value field; never raises on its bytes (see dicomcore.encoding.values)."""
        cdef Py_buffer view
        cdef int code = 0
        if PyUnicode_GET_LENGTH(vr) == 2:
            code = (PyUnicode_READ_CHAR(vr, 0) << 8 | PyUnicode_READ_CHAR(vr, 1)) & 0xFFFF
        if PyBytes_CheckExact(raw):
            return self.dispatch(
                code, vr, raw, <const uint8_t *>PyBytes_AS_STRING(raw), PyBytes_GET_SIZE(raw), big_endian, charsets, issues
            )
        PyObject_GetBuffer(raw, &view, PyBUF_SIMPLE)
        try:
            return self.dispatch(code, vr, None, <const uint8_t *>view.buf, view.len, big_endian, charsets, issues)
        finally:
            PyBuffer_Release(&view)

    cdef object dispatch(
        self, int code, str vr, bytes raw, const uint8_t *data, Py_ssize_t length, bint big_endian, tuple charsets, list issues
    ):
        cdef int size
        cdef Py_ssize_t at, stop, count
        if length == 0:
            return self.fallback(vr, b"", issues)
        if code == US or code == SS:
            size = 2
        elif code == UL or code == SL or code == FL:
            size = 4
        elif code == FD or code == SV or code == UV:
            size = 8
        else:
            size = 0
        if size:
            if length == size:
                return number(data, code, big_endian)
            if length % size:
                return self.fallback(vr, raw if raw is not None else data[:length], issues)
            count = length // size
            many = PyList_New(count)
            for at in range(count):
                item = number(data + at * size, code, big_endian)
                Py_INCREF(item)
                PyList_SET_ITEM(many, at, item)
            return several(many)
        if code == DS_:
            return self.decimals(vr, raw, data, length, issues)
        if code == IS_:
            return self.integers(vr, raw, data, length, issues)
        if code == CS or code == DA or code == TM or code == DT or code == AS:
            stop = stripped(data, 0, length)
            if value_end(data, 0, stop) == stop:
                return latin_text(data, stop)
            return MultiValue(latin_text(data, stop).split("\\"))
        if code == UI:
            stop = stripped(data, 0, length)
            if value_end(data, 0, stop) == stop:
                return self.make_uid(latin_text(data, stop).strip())
            return MultiValue([self.make_uid(one.strip()) for one in latin_text(data, stop).split("\\")])
        if code == LO or code == SH or code == UC or code == PN or code == ST or code == LT or code == UT:
            return self.texts(code, vr, raw, data, length, charsets, issues)
        if code == OB or code == OW or code == UN or code == OF or code == OD or code == OL or code == OV:
            return raw if raw is not None else PyBytes_FromStringAndSize(<const char *>data, length)
        if code == AE:
            values = [one.strip(" \0\t\n\r\f\v") for one in latin_text(data, length).split("\\")]
            return several(values)
        if code == UR:
            return latin_text(data, length).rstrip(" \0\t\n\r\f\v")
        if code == AT:
            if length == 4:
                return self.tag(data, big_endian)
            if length % 4:
                self.fallback(vr, data[:length], issues)
            return MultiValue([self.tag(data + 4 * at, big_endian) for at in range(length // 4)])
        return self.fallback(vr, raw if raw is not None else data[:length], issues)

    cdef object tag(self, const uint8_t *data, bint big_endian):
        return self.make_tag(load(data, 2, big_endian) << 16 | load(data + 2, 2, big_endian))

    cdef object texts(
        self, int code, str vr, bytes raw, const uint8_t *data, Py_ssize_t length, tuple charsets, list issues
    ):
        cdef Py_ssize_t stop = stripped(data, 0, length)
        cdef bint single = code == ST or code == LT or code == UT
        if is_ascii(data, stop):
            if single or value_end(data, 0, stop) == stop:
                text = ascii_text(data, stop)
                return self.make_name(text.rstrip("=")) if code == PN else text
            text = ascii_text(data, stop)
        else:
            if raw is None:
                raw = data[:length]
            text = self.decode_text(raw, charsets, vr, issues).rstrip(" \0")
            if single:
                return text
        values = text.split("\\")
        if code == PN:
            values = [self.make_name(one.rstrip("=")) for one in values]
        else:
            values = [one.rstrip(" \0") for one in values]
        return several(values)

    cdef object decimals(self, str vr, bytes raw, const uint8_t *data, Py_ssize_t length, list issues):
        cdef Py_ssize_t limit = stripped(data, 0, trimmed(data, 0, length)), at, count, i
        cdef const uint8_t *p
        cdef const uint8_t *end
        cdef double value
        at = skipped(data, 0, limit)
        if length > 0xFFFFFFF0:
            return self.fallback(vr, raw if raw is not None else data[:length], issues)
        if limit <= at:
            return ""
        p = data + at
        end = data + limit
        if limit - at <= 16 and parse_decimal(&p, end, &value) and p == end:
            return dc_new_decimal(value, ascii_text(data + at, limit - at), 0, 0)
        if raw is None:
            raw = data[:length]
            data = <const uint8_t *>PyBytes_AS_STRING(raw)
        count = 1
        for i in range(at, limit):
            count += data[i] == 0x5C
        values = PyList_New(count)
        p = data + at
        end = data + limit
        for i in range(count):
            at = p - data
            if not parse_decimal(&p, end, &value) or (p - data) - at > 16 or not (p == end or p[0] == 0x5C):
                break
            item = dc_new_decimal(value, raw, <uint32_t>at, <uint32_t>(p - data))
            Py_INCREF(item)
            PyList_SET_ITEM(values, i, item)
            p += 1
        else:
            result = several(values)
            if length == limit + (limit & 1) and data[0] != 0x20 and data[length - 1] != 0 and type(result) is MultiValue:
                (<MultiValue>result).field = raw
            return result
        return self.odd_decimals(vr, raw, data, at, limit, values[:i], issues)

    cdef object odd_decimals(
        self, str vr, bytes raw, const uint8_t *data, Py_ssize_t at, Py_ssize_t limit, list values, list issues
    ):
        """What `decimals` did not finish from ``at`` on: blanks, long numbers, large exponents, text that is no number."""
        cdef Py_ssize_t stop, first, last
        cdef const uint8_t *p
        cdef double value
        while True:
            stop = value_end(data, at, limit)
            first = skipped(data, at, stop)
            last = trimmed(data, first, stop)
            p = data + first
            if first == last:
                values.append(latin_text(data + at, stop - at))
            elif parse_decimal(&p, data + last, &value) and p == data + last:
                values.append(dc_new_decimal(value, raw, <uint32_t>first, <uint32_t>last))
            else:
                text = latin_text(data + first, last - first)
                try:
                    value = float(text)
                except ValueError:
                    return self.fallback(vr, raw, issues)
                values.append(dc_new_decimal(value, text, 0, 0))
            if stop == limit:
                return several(values)
            at = stop + 1

    cdef object integers(self, str vr, bytes raw, const uint8_t *data, Py_ssize_t length, list issues):
        cdef Py_ssize_t limit = stripped(data, 0, length), at = 0, stop
        cdef int64_t value
        values = []
        while True:
            stop = value_end(data, at, limit)
            if parse_integer(data + at, stop - at, &value):
                values.append(self.make_integer(PyLong_FromLongLong(value)))
            else:
                try:
                    values.append(self.read_integer(latin_text(data + at, stop - at)))
                except (ValueError, OverflowError):
                    return self.fallback(vr, raw if raw is not None else data[:length], issues)
            if stop == limit:
                break
            at = stop + 1
        return several(values)
