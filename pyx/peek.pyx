"""The walk over the first headers of a data set up to (0008,0018), nested items included (PS3.5 7.1, 7.5)."""

from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.unicode cimport PyUnicode_DecodeLatin1
from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t

from bits cimport load_tag, load_u16, load_u32
from cursor cimport FORM_LONG, TAG_ITEM, TAG_ITEM_END, TAG_SEQUENCE_END, UNDEFINED, are_letters, vr_form

cdef enum Outcome:
    O_MORE = 0      # more bytes may bring what is not here
    O_DECIDED = 1   # what is not here will not come
    O_ITEM = 2      # an item outside a sequence
    O_VR = 3        # two bytes that are no VR where one is due

    SOP_CLASS = 0x00080016
    SOP_INSTANCE = 0x00080018
    ITEM_GROUP = 0xFFFE

MORE = <int>O_MORE
DECIDED = <int>O_DECIDED
STRAY = <int>O_ITEM
NO_VR = <int>O_VR


cdef struct Found:
    uint64_t position       # of the header that was looked at last
    uint64_t start[2]       # of the values of SOP Class and Instance UID
    uint64_t length[2]
    bint here[2]


cdef int _walk(const uint8_t *p, uint64_t end, bint explicit, bint big, Found *found) noexcept nogil:
    cdef uint64_t at = 0, start, length, depth = 0
    cdef uint32_t tag
    cdef int which
    while at + 8 <= end:
        found.position = at
        tag = load_tag(p + at, big)
        start = at + 8
        if tag >> 16 == ITEM_GROUP:
            length = load_u32(p + at + 4, big)
            if not depth or tag not in (<uint32_t>TAG_ITEM, <uint32_t>TAG_ITEM_END, <uint32_t>TAG_SEQUENCE_END):
                return O_ITEM
            if tag != <uint32_t>TAG_ITEM:
                depth -= 1
            elif length == <uint32_t>UNDEFINED:
                depth += 1
            else:
                start += length
            at = start
            continue
        if not explicit:
            length = load_u32(p + at + 4, big)
        elif vr_form(p[at + 4], p[at + 5]) == FORM_LONG:
            if at + 12 > end:
                return O_MORE
            length = load_u32(p + start, big)
            start += 4
        elif are_letters(p[at + 4], p[at + 5]):
            length = load_u16(p + at + 6, big)
        else:
            return O_VR
        if not depth:
            if tag > SOP_INSTANCE:
                return O_DECIDED
            if tag == SOP_CLASS or tag == SOP_INSTANCE:
                if start + length > end:
                    return O_MORE
                which = tag == SOP_INSTANCE
                found.start[which] = start
                found.length[which] = length
                found.here[which] = True
                if which:
                    return O_DECIDED
        if length == <uint32_t>UNDEFINED:
            depth += 1
            length = 0
        at = start + length
    return O_MORE


cdef object _text(const uint8_t *p, uint64_t start, uint64_t length):
    while length and (p[start + length - 1] == 0 or p[start + length - 1] == 0x20):
        length -= 1
    while length and (p[start] == 0 or p[start] == 0x20):
        start += 1
        length -= 1
    return PyUnicode_DecodeLatin1(<const char *>p + start, <Py_ssize_t>length, NULL)


def walk(head, bint explicit, bint big_endian):
    """(outcome, position of the last header, SOP Class UID, SOP Instance UID) of the bytes of a data set.

    A UID that was not met is None; MORE: further bytes may bring it, DECIDED: none will. STRAY, NO_VR: a fault there.
    """
    cdef Py_buffer view
    cdef Found found
    cdef int outcome
    found.position = 0
    found.here[0] = found.here[1] = False
    PyObject_GetBuffer(head, &view, PyBUF_SIMPLE)
    try:
        outcome = _walk(<const uint8_t *>view.buf, <uint64_t>view.len, explicit, big_endian, &found)
        return (
            outcome,
            found.position,
            _text(<const uint8_t *>view.buf, found.start[0], found.length[0]) if found.here[0] else None,
            _text(<const uint8_t *>view.buf, found.start[1], found.length[1]) if found.here[1] else None,
        )
    finally:
        PyBuffer_Release(&view)
