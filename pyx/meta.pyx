"""The walk over file meta information (PS3.10 7.1): header by header, whatever its group length says."""

from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from libc.stdint cimport uint8_t, uint16_t, uint64_t

from meta_header cimport META_OVER, next_meta
from status cimport STATUS_LENGTH, STATUS_OK, STATUS_SHORT

DONE = <int>STATUS_OK
NEED = <int>STATUS_SHORT
OVERRUN = <int>STATUS_LENGTH

cdef enum:
    PRIVATE_INFORMATION = 0x0102
    COUNT_LIMIT = 64  # no meta group has as many elements


def walk(head, uint64_t start, uint64_t size):
    """(status, position, values by element number) over ``head``, the bytes of a source of ``size`` from its offset 0.

    DONE: group 0002 ends at ``position``. NEED: bytes up to ``position`` are wanted. OVERRUN: the value of the element at
    ``position`` ends behind the source. Private information (0002,0102) is not among the values.
    """
    cdef Py_buffer view
    cdef const uint8_t *data
    cdef uint64_t at = start, header = 0, length = 0, stop
    cdef uint16_t element = 0
    cdef int status, count = 0
    cdef dict values = {}
    PyObject_GetBuffer(head, &view, PyBUF_SIMPLE)
    try:
        data = <const uint8_t *>view.buf
        stop = <uint64_t>view.len if <uint64_t>view.len < size else size
        while at < size and count < COUNT_LIMIT:
            status = STATUS_SHORT
            if at < stop:
                status = next_meta(data + at, stop - at, &element, &header, &length)
            if status == META_OVER:
                break
            if status == STATUS_SHORT:
                if stop == size:
                    break  # too few bytes for an element: the data set's affair
                return NEED, min(at + 4096, size), None
            if length > size - at - header:
                return OVERRUN, at, values
            if at + header + length > stop:
                return NEED, min(at + header + length + 4096, size), None
            if element != PRIVATE_INFORMATION:
                values[element] = data[at + header : at + header + length]
            at += header + length
            count += 1
        return DONE, at, values
    finally:
        PyBuffer_Release(&view)
