# Header only. One row of an ElementIndex: kernels that look elements up read the table that the scan made.

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t

cdef enum RowFlag:
    WALKED = 1    # the rows below are in the child table
    FRAGMENTS = 2 # ... and they are fragments of an encapsulated value (A.4)
    CUT = 4       # the claimed length, or the delimiter, is not there
    EXPLICIT = 8  # how the rows below are encoded
    BIG = 16
    PLAIN = 32    # an undefined length without items: plain bytes up to the delimiter

ctypedef struct Row:  # 32 bytes
    uint64_t value_offset
    uint64_t end_offset  # behind the value, and behind the delimiter of an undefined length
    uint32_t tag
    uint32_t length
    uint32_t link        # in the child table: number of rows below; at a level: where in the child table they start
    uint16_t vr
    uint8_t size         # of the header: 8 or 12
    uint8_t flags
