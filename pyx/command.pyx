"""The codec of command sets (PS3.7 6.3.1): group 0000, Implicit VR Little Endian, by a table that `dimse.command` hands in.

It knows the bytes, not the words: what is wrong comes out as a status, or as the keyword that cannot be encoded, and
`dimse.command` says it in full.
"""

from cpython.bytes cimport PyBytes_FromStringAndSize
from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.dict cimport PyDict_GetItem
from cpython.mem cimport PyMem_Free, PyMem_Malloc
from cpython.object cimport PyObject
from cpython.tuple cimport PyTuple_GET_ITEM
from cpython.unicode cimport PyUnicode_DecodeASCII, PyUnicode_DecodeLatin1
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy

from bits cimport load_u16, load_u32, store_tag, store_u16, store_u32
from borrowed cimport integer_of, is_ascii, is_int, is_just_text, text_length, text_of

cdef extern from "Python.h":
    const char *PyUnicode_AsUTF8AndSize(object text, Py_ssize_t *size) except NULL

cdef enum:
    ROWS = 40
    MESSAGE_ROWS = 64
    FIXED = 1792  # bytes for every element but those of unbounded length: fewer than 24 of 8 + 64
    ENOUGH = 2560
    FIELD = 0x0100
    NO_DATA_SET = 0x0101

    # of a response that holds nothing but a status
    RESPONSE = 0x8000
    SOP_CLASS = 0x0002
    RESPONDED_TO = 0x0120
    DATA_SET_TYPE = 0x0800
    STATUS = 0x0900
    SOP_INSTANCE = 0x1000
    UID_LENGTH = 64
    ANSWER = 256  # bytes: 12 of the group length, four numbers of 10, two UIDs of 8 + 64

    KIND_US = 0
    KIND_UI = 1
    KIND_AE = 2
    KIND_LO = 3
    KIND_AT = 4

    FAULT_SHORT = 1  # the command set ends inside an element header
    FAULT_BEYOND = 2  # or inside of a value
    FAULT_GROUP = 3  # an element of another group
    FAULT_TWICE = 4
    FAULT_LENGTH = 5
    FAULT_ASCII = 6
    FAULT_FRAME = 7  # (0000,0000) or (0000,0100) twice or of a wrong length
    FAULT_FIELD = 8  # no group length, no command field, or none that is known
    FAULT_MISSING = 9
    FAULT_BODY = 10

    BODY_NEVER = 0
    BODY_ALWAYS = 1
    BODY_EITHER = 2

SHORT, BEYOND, GROUP, TWICE, LENGTH = FAULT_SHORT, FAULT_BEYOND, FAULT_GROUP, FAULT_TWICE, FAULT_LENGTH
ASCII, FRAME, NO_FIELD, MISSING, BODY = FAULT_ASCII, FAULT_FRAME, FAULT_FIELD, FAULT_MISSING, FAULT_BODY

KINDS = ("US", "UI", "AE", "LO", "AT")
BODIES = ("never", "always", "either")


cdef inline bint _is_pad(uint8_t byte) noexcept nogil:
    return byte == 0x20 or byte == 0


cdef inline Py_ssize_t _piece(const uint8_t *p, Py_ssize_t there, Py_ssize_t most, int flags) noexcept nogil:
    """Bytes of the fragment that is all of the P-DATA-TF at ``p``, has these flags and is all there (PS3.8 9.3.5).

    -1 for anything else.
    """
    cdef uint32_t length
    if there < 12 or p[0] != 4 or p[11] & 3 != flags:
        return -1
    length = load_u32(p + 2, True)
    if length < 6 or <Py_ssize_t>length - 6 > most or length > there - 6 or load_u32(p + 6, True) != length - 4:
        return -1
    return <Py_ssize_t>length - 6


cdef inline bint _is_ascii(const uint8_t *p, Py_ssize_t length) noexcept nogil:
    cdef uint8_t seen = 0
    cdef Py_ssize_t i
    for i in range(length):
        seen |= p[i]
    return seen < 0x80


cdef class Codec:
    """``rows``: (element, VR, keyword), ascending; ``messages``: (field, body, required keywords)."""

    cdef uint16_t _elements[ROWS]
    cdef uint8_t _kinds[ROWS]
    cdef Py_ssize_t _longest[ROWS]
    cdef int _count
    cdef int _data_set  # row of Command Data Set Type
    cdef uint16_t _fields[MESSAGE_ROWS]
    cdef uint8_t _bodies[MESSAGE_ROWS]
    cdef uint64_t _required[MESSAGE_ROWS]
    cdef int _messages
    cdef tuple _keywords
    cdef tuple _names  # the fields as they were handed in

    def __cinit__(self, rows, messages):
        if len(rows) > ROWS or len(messages) > MESSAGE_ROWS:
            raise ValueError("more rows than the codec has room for")
        self._keywords = tuple([keyword for _, _, keyword in rows])
        self._names = tuple([field for field, _, _ in messages])
        self._count = self._messages = 0
        for element, vr, keyword in rows:
            self._elements[self._count] = element
            self._kinds[self._count] = KINDS.index(vr)
            self._longest[self._count] = 16 if vr == "AE" else 64
            self._count += 1
        self._data_set = self._keywords.index("CommandDataSetType")
        for field, body, required in messages:
            self._fields[self._messages] = field
            self._bodies[self._messages] = BODIES.index(body)
            self._required[self._messages] = 0
            for keyword in required:
                self._required[self._messages] |= <uint64_t>1 << <int>self._keywords.index(keyword)
            self._messages += 1

    cdef inline int _row(self, uint16_t element, int near) noexcept nogil:
        """The row of an element, or -1; the search begins at ``near``, since elements ascend."""
        cdef int i
        for i in range(near, self._count):
            if self._elements[i] == element:
                return i
        for i in range(near):
            if self._elements[i] == element:
                return i
        return -1

    cdef inline int _message(self, uint16_t field) noexcept nogil:
        cdef int i
        for i in range(self._messages):
            if self._fields[i] == field:
                return i
        return -1

    cdef inline int _unfit(self, int message, uint64_t present, int data_set) noexcept nogil:
        """What the row of the message says against these elements: a fault, or 0."""
        if self._required[message] & ~present:
            return FAULT_MISSING
        if self._bodies[message] != BODY_EITHER and (self._bodies[message] == BODY_ALWAYS) != (data_set != NO_DATA_SET):
            return FAULT_BODY
        return 0

    def decode(self, data):
        """(fault or 0, its offset, field, elements by keyword, unknown elements). An empty value counts as absent."""
        cdef Py_buffer view
        PyObject_GetBuffer(data, &view, PyBUF_SIMPLE)
        try:
            return self._decode(<const uint8_t *>view.buf, view.len)
        finally:
            PyBuffer_Release(&view)

    def whole(self, data, Py_ssize_t start, Py_ssize_t stop, longest_pdu, longest_pdv, longest_command):
        """The message that begins at ``start``, if its command is there, sound, and one PDV that is one P-DATA-TF.

        None, or (context id, field, elements by keyword, unknown elements, begin of its data set, end): the data set
        begins at 0 if there is none, or if it is not there likewise in one piece; the message ends before it then.
        The longest are bytes of the variable field of a P-DATA-TF, of a fragment and of a command set.
        """
        cdef Py_buffer view
        cdef const uint8_t *p
        cdef Py_ssize_t most, command, end, body = 0
        cdef tuple decoded
        cdef int data_set
        most = min(<Py_ssize_t>longest_pdv, <Py_ssize_t>longest_pdu - 6)
        PyObject_GetBuffer(data, &view, PyBUF_SIMPLE)
        try:
            p = <const uint8_t *>view.buf
            if not 0 <= start <= stop <= view.len:
                raise ValueError("what is received lies in the block")
            command = _piece(p + start, stop - start, most, 3)
            if command < 0 or command > <Py_ssize_t>longest_command:
                return None
            decoded = self._decode(p + start + 12, command)
            if decoded[0]:
                return None
            end = start + 12 + command
            data_set = (<dict>decoded[3])[self._keywords[self._data_set]]
            if data_set != NO_DATA_SET:
                command = _piece(p + end, stop - end, most, 2)
                if command >= 0 and p[end + 10] == p[start + 10]:
                    body = end + 12
                    end = body + command
            return p[start + 10], decoded[2], decoded[3], decoded[4], body, end
        finally:
            PyBuffer_Release(&view)

    cdef tuple _decode(self, const uint8_t *p, Py_ssize_t end):
        cdef const uint8_t *value
        cdef Py_ssize_t position = 0, length, i
        cdef uint16_t element
        cdef int row = 0, near = 0, message, data_set = 0, fault
        cdef int field = -1
        cdef bint framed = False
        cdef uint64_t present = 0
        cdef dict elements = {}
        cdef list unknown = None
        cdef object decoded
        while position < end:
            if end - position < 8:
                return FAULT_SHORT, position, None, elements, ()
            element = load_u16(p + position + 2, False)
            length = load_u32(p + position + 4, False)
            if load_u16(p + position, False):
                return FAULT_GROUP, position, None, elements, ()
            if length > end - position - 8:
                return FAULT_BEYOND, position, None, elements, ()
            value = p + position + 8
            row = self._row(element, near) if element & 0xFEFF else -1
            if row >= 0:
                near = row + 1
                if present >> row & 1:
                    return FAULT_TWICE, position, self._keywords[row], elements, ()
                if length:
                    if self._kinds[row] == KIND_US:
                        if length != 2:
                            return FAULT_LENGTH, position, self._keywords[row], elements, ()
                        i = load_u16(value, False)
                        if row == self._data_set:
                            data_set = <int>i
                        decoded = i
                    elif self._kinds[row] == KIND_AT:
                        if length & 3:
                            return FAULT_LENGTH, position, self._keywords[row], elements, ()
                        decoded = tuple(
                            [<uint32_t>load_u16(value + i, False) << 16 | load_u16(value + i + 2, False)
                             for i in range(0, length, 4)]
                        )
                    else:
                        i = length
                        while i and _is_pad(value[i - 1]):
                            i -= 1
                        while i and _is_pad(value[0]):
                            value += 1
                            i -= 1
                        if self._kinds[row] == KIND_LO:
                            decoded = PyUnicode_DecodeLatin1(<char *>value, i, NULL)
                        elif _is_ascii(value, i):
                            decoded = PyUnicode_DecodeASCII(<char *>value, i, NULL)
                        else:
                            return FAULT_ASCII, position, self._keywords[row], elements, ()
                        if not i:
                            decoded = None
                    if decoded is not None:
                        present |= <uint64_t>1 << row
                        elements[self._keywords[row]] = decoded
            elif element == FIELD and length == 2 and field < 0:
                field = load_u16(value, False)
            elif element == 0 and length == 4 and not framed:
                framed = True
            elif element == 0 or element == FIELD:
                return FAULT_FRAME, position, element, elements, ()
            else:
                if unknown is None:
                    unknown = []
                unknown.append((element, value[:length]))
            position += 8 + length
        message = -1 if field < 0 else self._message(<uint16_t>field)
        if message < 0 or not framed:
            return FAULT_FIELD, None, None if field < 0 else field, elements, ()
        fault = self._unfit(message, present, data_set)
        return fault, None, self._names[message], elements, () if unknown is None else tuple(unknown)

    def answer(self, field, dict asked not None, status):
        """The bytes of a response that holds nothing but a status, to a request with this field and these elements.

        What `encode` makes of `dimse.command.response`. None for anything out of the ordinary.
        """
        cdef uint8_t out[ANSWER]
        cdef Py_ssize_t at = 12
        cdef int request = _u16(<PyObject *>field)
        cdef int code = _u16(<PyObject *>status)
        cdef int message_id = _u16(PyDict_GetItem(asked, "MessageID"))
        if not 0 <= request < RESPONSE or self._message(<uint16_t>(request | RESPONSE)) < 0:
            return None
        if message_id < 0 or code < 0:
            return None
        if PyDict_GetItem(asked, "RequestedSOPClassUID") != NULL:
            return None
        if PyDict_GetItem(asked, "RequestedSOPInstanceUID") != NULL:
            return None
        at = _uid(out, at, SOP_CLASS, PyDict_GetItem(asked, "AffectedSOPClassUID"))
        if at < 0:
            return None
        at = _number(out, at, FIELD, <uint16_t>(request | RESPONSE))
        at = _number(out, at, RESPONDED_TO, <uint16_t>message_id)
        at = _number(out, at, DATA_SET_TYPE, NO_DATA_SET)
        at = _number(out, at, STATUS, <uint16_t>code)
        at = _uid(out, at, SOP_INSTANCE, PyDict_GetItem(asked, "AffectedSOPInstanceUID"))
        if at < 0:
            return None
        store_tag(out, 0, False)
        store_u32(out + 4, 4, False)
        store_u32(out + 8, <uint32_t>(at - 12), False)
        return PyBytes_FromStringAndSize(<char *>out, at)

    def encode(self, field, dict elements, tuple unknown, dict changes):
        """The bytes of a command set, group length first. ``changes`` go before ``elements``; None is absent.

        Otherwise a fault of its message (MISSING, BODY), or the keyword of the value that does not fit.
        """
        cdef uint8_t ready[ENOUGH]
        cdef uint8_t *out = ready
        cdef Py_ssize_t limit
        cdef Py_ssize_t at = 12
        cdef Py_ssize_t size = 0
        cdef int row, fault, data_set = 0
        cdef int message = self._message(field)
        cdef Py_ssize_t tag_count = 0
        cdef long number
        cdef uint64_t present = 0
        cdef bint due = True
        cdef const char *text
        cdef object value, tag
        cdef PyObject *found
        cdef list waiting = None
        if message < 0:
            return FAULT_FIELD
        for row in range(self._count):
            if self._kinds[row] == KIND_AT:
                tags = elements.get(self._keywords[row])
                if tags is not None:
                    tag_count += len(tags) if isinstance(tags, (tuple, list)) else 1
        limit = FIXED + 4 * tag_count
        if unknown:
            waiting = sorted(unknown, key=_element_of, reverse=True)
            limit += sum([8 + len(raw) for _, raw in unknown])
        if limit > ENOUGH:
            out = <uint8_t *>PyMem_Malloc(limit)
            if out == NULL:
                raise MemoryError
        try:
            store_tag(out, 0, False)
            store_u32(out + 4, 4, False)
            for row in range(self._count):
                keyword = <object>PyTuple_GET_ITEM(self._keywords, row)
                found = NULL
                if changes is not None:
                    found = PyDict_GetItem(changes, keyword)
                if found == NULL:
                    found = PyDict_GetItem(elements, keyword)
                if due and self._elements[row] > FIELD:
                    due = False
                    while waiting and waiting[len(waiting) - 1][0] < FIELD:
                        at = _raw(out, at, waiting.pop())
                    at = _number(out, at, FIELD, field)
                if found == NULL or <object>found is None:
                    continue
                value = <object>found
                while waiting and waiting[len(waiting) - 1][0] < self._elements[row]:
                    at = _raw(out, at, waiting.pop())
                if self._kinds[row] == KIND_US:
                    try:
                        number = value
                    except (TypeError, OverflowError):
                        return keyword
                    if not 0 <= number <= 0xFFFF:
                        return keyword
                    at = _number(out, at, self._elements[row], <uint16_t>number)
                    if row == self._data_set:
                        data_set = <int>number
                elif self._kinds[row] == KIND_AT:
                    size = at
                    at += 8
                    if not isinstance(value, (int, tuple, list)):
                        return keyword
                    for tag in (value,) if isinstance(value, int) else value:
                        if not isinstance(tag, int) or not 0 <= tag <= 0xFFFFFFFF or not tag_count:
                            return keyword
                        tag_count -= 1
                        store_tag(out + at, tag, False)
                        at += 4
                    store_tag(out + size, self._elements[row], False)
                    store_u32(out + size + 4, <uint32_t>(at - size - 8), False)
                else:
                    if self._kinds[row] == KIND_LO:  # free text about an error: cut and ASCII rather than refused
                        value = str(value)[:64].encode("ascii", "replace").decode("ascii")
                    elif not isinstance(value, str):
                        return keyword
                    text = PyUnicode_AsUTF8AndSize(value, &size)
                    if size > self._longest[row] or not _is_ascii(<const uint8_t *>text, size):
                        return keyword
                    memcpy(out + at + 8, text, size)
                    if size & 1:
                        out[at + 8 + size] = 0 if self._kinds[row] == KIND_UI else 0x20
                        size += 1
                    store_tag(out + at, self._elements[row], False)
                    store_u32(out + at + 4, <uint32_t>size, False)
                    at += 8 + size
                present |= <uint64_t>1 << row
            while waiting:
                at = _raw(out, at, waiting.pop())
            fault = self._unfit(message, present, data_set)
            if fault:
                return fault
            store_u32(out + 8, <uint32_t>(at - 12), False)
            return PyBytes_FromStringAndSize(<char *>out, at)
        except UnicodeEncodeError:  # a lone surrogate
            return keyword
        finally:
            if out != ready:
                PyMem_Free(out)


cdef inline int _u16(PyObject *value) except -2:
    """The number, -1 for anything else."""
    cdef int overflow = 0
    cdef int64_t number
    if value == NULL or not is_int(value):
        return -1
    number = integer_of(value, &overflow)
    return -1 if overflow or not 0 <= number <= 0xFFFF else <int>number


cdef inline Py_ssize_t _uid(uint8_t *out, Py_ssize_t at, uint16_t element, PyObject *text) noexcept:
    """An element with this UID; -1 for what is none. One that is too long is left out (`dimse.command.response`)."""
    cdef Py_ssize_t size
    if text == NULL:
        return at
    if not is_just_text(text) or not is_ascii(text):
        return -1
    size = text_length(text)
    if not 0 < size <= UID_LENGTH:
        return at
    memcpy(out + at + 8, text_of(text), size)
    if size & 1:
        out[at + 8 + size] = 0
        size += 1
    store_tag(out + at, element, False)
    store_u32(out + at + 4, <uint32_t>size, False)
    return at + 8 + size


cdef inline Py_ssize_t _number(uint8_t *out, Py_ssize_t at, uint16_t element, uint16_t number) noexcept nogil:
    store_tag(out + at, element, False)
    store_u32(out + at + 4, 2, False)
    store_u16(out + at + 8, number, False)
    return at + 10


def _element_of(row):
    return row[0]


cdef Py_ssize_t _raw(uint8_t *out, Py_ssize_t at, tuple row) except -1:
    cdef bytes raw = row[1]
    cdef const char *source = raw
    store_tag(out + at, <uint32_t><uint16_t>row[0], False)
    store_u32(out + at + 4, <uint32_t>len(raw), False)
    memcpy(out + at + 8, source, len(raw))
    return at + 8 + len(raw)
