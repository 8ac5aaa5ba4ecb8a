"""RLE Lossless (PS3.5 annex G): a frame as byte segments, and back, all planes in one pass.

A frame of n samples of m bytes has n x m segments: of each sample the most significant byte of all pixels first. Pixels
in arrays are colour by pixel and in this machine's byte order, so blocks of all planes, small enough for the nearest
cache, are unpacked and woven, or unwoven and packed.
"""

from cpython.object cimport PyObject
from cpython.ref cimport Py_DECREF
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.stdlib cimport free, malloc
from libc.string cimport memmove, memset

from bits cimport load_u32, store_u32
from packbits cimport DC_ROOM, dc_pack, dc_unpack
from planes cimport dc_unweave, dc_weave
from status cimport STATUS_LENGTH, STATUS_MALFORMED, STATUS_MEMORY, STATUS_OK, STATUS_OWN, STATUS_SHORT

cdef extern from "Python.h":
    PyObject *PyBytes_FromStringAndSize(const char *text, Py_ssize_t length) except NULL
    char *PyBytes_AS_STRING(PyObject *made) nogil
    int _PyBytes_Resize(PyObject **made, Py_ssize_t length) except -1

ctypedef const uint8_t *bytes_in
ctypedef uint8_t *bytes_out

cdef extern from *:
    """
    #if defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    #define DC_BIG 1
    #else
    #define DC_BIG 0
    #endif
    """
    bint DC_BIG

DONE = <int>STATUS_OK
SHORT = <int>STATUS_SHORT          # a segment ends before its plane is full
HEADER = <int>STATUS_MALFORMED     # not as many segments as the pixels have bytes, or no room for the header
OFFSET = <int>STATUS_OWN           # a segment begins in the header, behind the data, or before the one in front of it
LONGER = <int>STATUS_LENGTH        # all planes are full, and a segment had more
SEGMENTS = 15                      # as many as a header can name (G.5)

cdef enum:
    HEADER_LENGTH = 64
    LIMIT = 15
    BLOCK = 24576  # bytes of all planes together


cdef inline size_t _plane(size_t segment, size_t size) noexcept nogil:
    """Which byte of a pixel segment holds: the most significant of each sample first (G.2)."""
    if DC_BIG:
        return segment
    return segment // size * size + size - 1 - segment % size


cdef int _decode(const uint8_t *data, size_t length, uint8_t *out, size_t pixels, size_t count, size_t size,
                 int plain, size_t *segment, size_t *offset) noexcept nogil:
    cdef uint8_t[BLOCK + LIMIT * (DC_ROOM + 64)] buffer
    cdef bytes_in[LIMIT] at
    cdef bytes_in[LIMIT] end
    cdef bytes_in[LIMIT] ordered
    cdef bytes_out[LIMIT] planes
    cdef size_t[LIMIT] have
    cdef size_t i, j, place, block, want, done, after
    segment[0] = offset[0] = 0
    if length < HEADER_LENGTH or load_u32(data, False) != count:
        return STATUS_MALFORMED
    after = HEADER_LENGTH
    for i in range(count):
        segment[0] = i
        offset[0] = 4 + 4 * i
        place = load_u32(data + 4 + 4 * i, False)
        if place < after or place > length:
            return STATUS_OWN
        at[i] = data + place
        if i:
            end[i - 1] = at[i]
        have[i] = 0
        after = place
    end[count - 1] = data + length
    block = BLOCK // count // 64 * 64
    for i in range(count):
        planes[i] = buffer + i * (block + DC_ROOM)
        ordered[_plane(i, size)] = planes[i]
    done = 0
    while done < pixels:
        want = min(block, pixels - done)
        for i in range(count):
            have[i] = dc_unpack(&at[i], end[i], planes[i], have[i], want)
            if have[i] < want:
                segment[0] = i
                offset[0] = at[i] - data
                return STATUS_SHORT
        dc_weave(ordered, count, want, out + done * count, plain)
        for i in range(count):  # what the last packet held beyond the block begins the next one
            have[i] -= want
            for j in range(0, have[i], 32):
                memmove(planes[i] + j, planes[i] + want + j, 32)
        done += want
    for i in range(count):  # an even length may need one byte of padding (G.3.1)
        if have[i] or end[i] - at[i] > 1:
            segment[0] = i
            offset[0] = at[i] - data
            return STATUS_LENGTH
    segment[0] = offset[0] = 0
    return STATUS_OK


def decode(const uint8_t[::1] data not None, uint8_t[::1] out not None, Py_ssize_t samples, Py_ssize_t size,
           int plain=0) -> tuple:
    """(status, segment from 0, offset) of a frame in ``data`` into ``out``: pixels of ``samples`` x ``size`` bytes.

    With `SHORT`, part of ``out`` is undefined; with `LONGER`, it is whole. ``plain``, for tests: 1 without
    vector instructions, 2 with narrow ones.
    """
    cdef size_t segment = 0, offset = 0, count
    cdef int status
    if not (1 <= samples <= LIMIT and 1 <= size <= LIMIT and samples * size <= LIMIT):
        raise ValueError(f"{samples} samples of {size} bytes are more segments than {SEGMENTS}")
    count = samples * size
    if out.shape[0] % count:
        raise ValueError(f"{out.shape[0]} bytes are no whole number of pixels of {count} bytes")
    if not data.shape[0]:
        return HEADER, 0, 0
    if not out.shape[0]:
        return DONE, 0, 0
    with nogil:
        status = _decode(&data[0], data.shape[0], &out[0], out.shape[0] // count, count, size, plain, &segment, &offset)
    return status, segment, offset


cdef size_t _bound(size_t rows, size_t columns) noexcept nogil:
    """Bytes that no segment exceeds, padding included: a control byte for every 128 bytes of a row."""
    return rows * (columns + (columns + 127) // 128) + 1


cdef Py_ssize_t _encode(const uint8_t *frame, size_t rows, size_t columns, size_t count, size_t size, int plain,
                        uint8_t *out) noexcept nogil:
    """The length of the encoded frame; -1 without memory. ``out``: the header and count x (_bound + DC_ROOM) bytes."""
    cdef bytes_out[LIMIT] planes
    cdef bytes_out[LIMIT] ordered
    cdef bytes_out[LIMIT] to
    cdef uint8_t *first
    cdef uint8_t *target
    cdef size_t i, row, length, width = columns + DC_ROOM, room = _bound(rows, columns) + DC_ROOM
    cdef uint8_t *buffer = <uint8_t *>malloc(count * width)
    cdef uint64_t *bits = <uint64_t *>malloc((columns // 64 + 2) * sizeof(uint64_t))
    if buffer == NULL or bits == NULL:
        free(buffer)
        free(bits)
        return -1
    memset(buffer, 0, count * width)
    for i in range(count):
        planes[i] = buffer + i * width
        ordered[_plane(i, size)] = planes[i]
        to[i] = out + HEADER_LENGTH + i * room
    for row in range(rows):
        dc_unweave(frame + row * columns * count, count, columns, ordered, plain)
        for i in range(count):
            to[i] = dc_pack(planes[i], columns, bits, to[i])
    free(buffer)
    free(bits)
    memset(out, 0, HEADER_LENGTH)
    store_u32(out, <uint32_t>count, False)
    target = out + HEADER_LENGTH
    for i in range(count):
        first = out + HEADER_LENGTH + i * room
        length = to[i] - first
        if length & 1:
            to[i][0] = 0
            length += 1
        store_u32(out + 4 + 4 * i, <uint32_t>(target - out), False)
        memmove(target, first, length)
        target += length
    return target - out


def encode(const uint8_t[::1] frame not None, Py_ssize_t rows, Py_ssize_t samples, Py_ssize_t size,
           int plain=0) -> bytes | None:
    """A frame of ``rows`` x any number of pixels of ``samples`` x ``size`` bytes; its length is even.

    None for a frame so large that the offset of a segment might not fit the header. ``plain`` as in `decode`.
    """
    cdef Py_ssize_t count, columns, length
    cdef size_t room
    cdef PyObject *made
    cdef uint8_t *out
    if not (1 <= samples <= LIMIT and 1 <= size <= LIMIT and samples * size <= LIMIT):
        raise ValueError(f"{samples} samples of {size} bytes are more segments than {SEGMENTS}")
    count = samples * size
    if rows < 1 or not frame.shape[0] or frame.shape[0] % (rows * count):
        raise ValueError(f"{frame.shape[0]} bytes are not {rows} rows of pixels of {count} bytes")
    columns = frame.shape[0] // (rows * count)
    room = HEADER_LENGTH + count * (_bound(rows, columns) + DC_ROOM)
    if room > 0xFFFFFFFF:
        return None
    made = PyBytes_FromStringAndSize(NULL, room)
    out = <uint8_t *>PyBytes_AS_STRING(made)
    with nogil:
        length = _encode(&frame[0], rows, columns, count, size, plain, out)
    if length >= 0:
        _PyBytes_Resize(&made, length)
    result = <object>made
    Py_DECREF(result)  # `made` was one reference, and `result` is another
    if length < 0:
        raise MemoryError
    return result
