# Header only. One row of an ElementIndex: kernels that look elements up read the table that the scan made.

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t

cdef enum RowFlag:
    WALKED = 1     # the rows below are in the child table
    FRAGMENTS = 2  # ... and they are fragments of an encapsulated value (A.4)
    CUT = 4        # the claimed length, or the delimiter, is not there
    EXPLICIT = 8   # how the rows below are encoded
    BIG = 16
    PLAIN = 32     # an undefined length without items: plain bytes up to the delimiter
    DELIMITED = 64 # the length is undefined

cdef enum:
    OFFSET_BITS = 48

ctypedef struct Row:  # 24 bytes: a data set that was opened costs little more than this for each element
    uint64_t place     # OFFSET_BITS of the value's offset, and the high 16 bits of its span
    uint32_t span      # bytes from there to the end: the value, and the delimiter of an undefined length
    uint32_t tag
    uint32_t link      # in the child table: number of rows below; at a level: where in the child table they start
    uint16_t vr
    uint8_t size       # of the header: 8 or 12
    uint8_t flags


cdef inline uint64_t value_offset_of(const Row *row) noexcept nogil:
    return row.place >> 16


cdef inline uint64_t header_offset_of(const Row *row) noexcept nogil:
    return (row.place >> 16) - row.size


cdef inline uint64_t span_of(const Row *row) noexcept nogil:
    return (row.place & 0xFFFF) << 32 | row.span


cdef inline uint64_t end_of(const Row *row) noexcept nogil:
    """Behind the value, and behind the delimiter of an undefined length."""
    return value_offset_of(row) + span_of(row)


cdef inline uint32_t length_of(const Row *row) noexcept nogil:
    """Bytes of the value; FFFFFFFF when undefined."""
    return <uint32_t>0xFFFFFFFF if row.flags & DELIMITED else row.span


cdef inline size_t row_of(const Row *rows, size_t count, uint32_t tag) noexcept nogil:
    """Where the first row with this tag is or belongs; tags ascend."""
    cdef size_t low = 0, high = count, middle
    while low < high:
        middle = (low + high) >> 1
        if rows[middle].tag < tag:
            low = middle + 1
        else:
            high = middle
    return low


cdef inline void end_at(Row *row, uint64_t end) noexcept nogil:
    cdef uint64_t span = end - value_offset_of(row)
    row.place = (row.place & ~<uint64_t>0xFFFF) | span >> 32
    row.span = <uint32_t>span
