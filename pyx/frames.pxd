# Header only. What a scan keeps between two blocks: its position, a stack of frames instead of recursion, the tables that it
# fills, and the faults that wait to be told.

from cpython.mem cimport PyMem_RawRealloc  # tracemalloc sees the tables
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t

from cursor cimport UNDEFINED, Header
from row cimport BIG, CUT, DELIMITED, EXPLICIT, FRAGMENTS, WALKED, Row, end_at
from status cimport STATUS_DEPTH, STATUS_MEMORY, STATUS_OK, Status

cdef enum FaultCode:  # index.py has the words
    OVERRUN = 1
    TRAILING = 2
    ODD = 3
    ORDER = 4
    ALIEN_VR = 5
    NO_VR = 6
    STRAY = 7
    NOT_ITEM = 8
    UNCLOSED = 9
    DELIMITER_LENGTH = 10
    PADDING = 11
    NEVER_UNDEFINED = 12
    ISLAND = 13
    BARE = 14
    ZEROS = 15

cdef enum:
    ZERO_RUN = 1024  # so many zeros are padding, whatever follows

cdef enum FrameKind:
    DATASET = 0    # elements wanted: the data set itself, or an item
    SEQUENCE = 1   # items wanted
    PIECES = 2     # fragments wanted
    SEEK = 3       # no items, or no more of them: a delimiter is sought

ctypedef struct Rows:
    Row *at
    size_t count
    size_t capacity

ctypedef struct Frame:
    uint64_t stop        # no byte of this level lies at or behind it
    uint64_t sought      # SEEK: where the search began
    size_t row           # the row that opened it: frame 1 at the level, deeper ones in the child table
    int64_t last_tag     # -1 before the first element
    uint32_t tag
    uint32_t count       # items so far
    uint8_t kind
    uint8_t explicit
    uint8_t big
    uint8_t undefined    # a delimiter ends it
    uint8_t unordered
    uint8_t probe        # UN in big endian: look at the first item for its byte order
    uint8_t pieces       # SEEK: among fragments

ctypedef struct Fault:
    uint64_t offset
    uint64_t available
    uint32_t tag
    uint32_t claimed
    uint32_t depth
    uint32_t code

ctypedef struct Scan:
    uint64_t position
    uint64_t end
    Rows level
    Rows below
    Frame *frames
    size_t depth         # index of the innermost frame
    size_t frame_capacity
    size_t frame_limit
    size_t rows_left
    uint64_t zero_start  # of the zeros that the position is in
    bint zeros
    uint64_t barren      # no delimiter from here to `barren_stop`
    uint64_t barren_stop
    uint32_t length_limit
    uint32_t stop_tag
    bint stops           # at stop_tag, in the outermost data set
    bint muted
    bint irregular       # something is not encoded as its level is
    bint done
    size_t fault_count
    Fault faults[8]      # one step makes at most five


cdef inline void _fault(Scan *s, uint32_t code, uint64_t offset, uint32_t tag, uint32_t claimed,
                        uint64_t available) noexcept nogil:
    cdef Fault *fault
    if code == ISLAND or code == BARE or code == NO_VR or code == OVERRUN:
        s.irregular = True
    if s.muted or s.fault_count == 8:
        return
    fault = &s.faults[s.fault_count]
    s.fault_count += 1
    fault.code = code
    fault.offset = offset
    fault.tag = tag
    fault.claimed = claimed
    fault.available = available
    fault.depth = <uint32_t>s.depth


cdef inline Status _grow(Rows *rows) noexcept nogil:
    cdef size_t capacity = rows.capacity * 2 if rows.capacity else 64
    cdef Row *grown = <Row *>PyMem_RawRealloc(rows.at, capacity * sizeof(Row))
    if grown == NULL:
        return STATUS_MEMORY
    rows.at = grown
    rows.capacity = capacity
    return STATUS_OK


cdef inline Row *_add(Scan *s, const Header *h, uint64_t value_offset) noexcept nogil:
    """A new row, at the level or below it; NULL without memory."""
    cdef Rows *rows = &s.level if s.depth == 0 else &s.below
    cdef Row *row
    if rows.count == rows.capacity and _grow(rows) != STATUS_OK:
        return NULL
    row = rows.at + rows.count
    rows.count += 1
    row.place = value_offset << 16
    row.span = h.length if h.length != UNDEFINED else 0
    row.tag = h.tag
    row.link = 0
    row.vr = h.vr
    row.size = h.size
    row.flags = 0 if h.length != UNDEFINED else DELIMITED
    return row


cdef inline Status _push(Scan *s, Row *row, uint8_t kind, bint explicit, bint big, uint64_t stop) noexcept nogil:
    """Go below `row`, the newest of its table."""
    cdef Frame *frames
    cdef Frame *f
    cdef size_t capacity
    if s.depth + 1 >= s.frame_limit and kind != PIECES:
        return STATUS_DEPTH
    if s.depth + 1 == s.frame_capacity:
        capacity = s.frame_capacity * 2
        frames = <Frame *>PyMem_RawRealloc(s.frames, capacity * sizeof(Frame))
        if frames == NULL:
            return STATUS_MEMORY
        s.frames = frames
        s.frame_capacity = capacity
    if s.depth == 0:
        row.link = <uint32_t>s.below.count
    row.flags |= WALKED | (FRAGMENTS if kind == PIECES else 0) | (EXPLICIT if explicit else 0) | (BIG if big else 0)
    f = s.frames + s.depth + 1
    f.row = (s.level.count if s.depth == 0 else s.below.count) - 1
    s.depth += 1
    f.stop = stop
    f.tag = row.tag
    f.last_tag = -1
    f.count = 0
    f.kind = kind
    f.explicit = explicit
    f.big = big
    f.undefined = row.flags & DELIMITED != 0
    f.unordered = False
    f.probe = False
    f.pieces = False
    f.sought = 0
    return STATUS_OK


cdef inline Row *_opener(Scan *s) noexcept nogil:
    cdef size_t row = s.frames[s.depth].row
    return (s.level.at if s.depth == 1 else s.below.at) + row


cdef inline void _close(Scan *s, uint64_t end, bint cut) noexcept nogil:
    """Leave the innermost frame; its row ends at `end`."""
    cdef Row *row = _opener(s)
    end_at(row, end)
    if cut:
        row.flags |= CUT
    if s.depth > 1:
        row.link = <uint32_t>(s.below.count - (s.frames[s.depth].row + 1))
    s.depth -= 1


cdef inline void _finish(Scan *s, uint64_t end) noexcept nogil:
    """The outermost level ends at `end`; the first reason to end it counts."""
    if not s.done:
        s.end = end
    s.done = True


cdef inline uint64_t _leave(Scan *s, uint64_t at) noexcept nogil:
    """Nothing more of the innermost level from `at` on; where the scan goes on."""
    if s.depth == 0:
        _finish(s, at)
    return s.frames[s.depth].stop


cdef inline void _bound(Scan *s, Row *row, uint64_t at, uint64_t left) noexcept nogil:
    """Tell of a defined length that is odd, and cut one that overruns the `left` bytes of its level."""
    if row.span & 1:
        _fault(s, ODD, at, row.tag, row.span, 0)
    if row.span > left:
        _fault(s, OVERRUN, at, row.tag, row.span, left)
        row.span = <uint32_t>left
        row.flags = CUT


cdef inline void _end_zeros(Scan *s, uint64_t at) noexcept nogil:
    """The run of zeros, if there is one, was between elements."""
    if s.zeros:
        s.zeros = False
        _fault(s, ZEROS, s.zero_start, 0, 0, at - s.zero_start)


cdef inline bint _may_be_undefined(uint16_t vr) noexcept nogil:
    """OB, OD, OF, OL, OV, OW: what PS3.5 Table 7.1-1 lets have an undefined length, beside SQ and UN."""
    return vr >> 8 == 0x4F and (vr & 0xFF) in (0x42, 0x44, 0x46, 0x4C, 0x56, 0x57)
