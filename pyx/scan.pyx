"""The scan: one pass over the headers of a data set (PS3.5 7), giving tables of fixed rows and never touching a value.

The pass is resumable: `Scanner.feed` takes any block of the source, goes on from ``position`` as far as the block reaches
and says why it stopped. It keeps an explicit stack, so nesting costs no recursion. Elements of defined length are skipped,
sequences among them; those of undefined length are walked to find their end, and the rows below them go into a child table
in pre-order, each with the number of rows below it. `ElementIndex.descend` lifts one level out of that table.

Nothing read from the data is trusted: a length is held against the end of its parent and against the limits before it moves
the position. Faults are queued, repaired as lenient reading wants, and handed to the caller after each step.
"""

cimport cython
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport free, malloc, realloc

from cursor cimport (
    FORM_ALIEN, FORM_BINARY, TAG_ITEM, TAG_ITEM_END, TAG_PIXEL_DATA, TAG_SEQUENCE_END, UNDEFINED, VR_SQ, VR_UN, Header,
    view_header,
)
from row cimport BIG, CUT, EXPLICIT, FRAGMENTS, WALKED, Row
from status cimport (
    STATUS_COUNT, STATUS_DEPTH, STATUS_LENGTH, STATUS_MALFORMED, STATUS_MEMORY, STATUS_OK, STATUS_SHORT, Status,
)

DONE = <int>STATUS_OK
NEED = <int>STATUS_SHORT
FAULT = <int>STATUS_MALFORMED
DEPTH = <int>STATUS_DEPTH
COUNT = <int>STATUS_COUNT
LENGTH = <int>STATUS_LENGTH
MEMORY = <int>STATUS_MEMORY

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

cdef enum FrameKind:
    DATASET = 0    # elements wanted: the data set itself, or an item
    SEQUENCE = 1   # items wanted
    PIECES = 2     # fragments wanted

ctypedef struct Rows:
    Row *at
    size_t count
    size_t capacity

ctypedef struct Frame:
    uint64_t stop        # no byte of this level lies at or behind it
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
    uint32_t length_limit
    uint32_t stop_tag
    bint stops           # at stop_tag, in the outermost data set
    bint muted
    bint done
    size_t fault_count
    Fault faults[8]      # one step makes at most five


cdef inline void _fault(Scan *s, uint32_t code, uint64_t offset, uint32_t tag, uint32_t claimed,
                        uint64_t available) noexcept nogil:
    cdef Fault *fault
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


cdef Status _grow(Rows *rows) noexcept nogil:
    cdef size_t capacity = rows.capacity * 2 if rows.capacity else 64
    cdef Row *grown = <Row *>realloc(rows.at, capacity * sizeof(Row))
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
    row.value_offset = value_offset
    row.end_offset = value_offset
    row.tag = h.tag
    row.length = h.length
    row.link = 0
    row.vr = h.vr
    row.size = h.size
    row.flags = 0
    return row


cdef Status _push(Scan *s, Row *row, uint8_t kind, bint explicit, bint big, uint64_t stop) noexcept nogil:
    """Go below `row`, the newest of its table."""
    cdef Frame *frames
    cdef Frame *f
    cdef size_t capacity
    if s.depth + 1 >= s.frame_limit and kind != PIECES:
        return STATUS_DEPTH
    if s.depth + 1 == s.frame_capacity:
        capacity = s.frame_capacity * 2
        frames = <Frame *>realloc(s.frames, capacity * sizeof(Frame))
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
    f.undefined = row.length == UNDEFINED
    f.unordered = False
    f.probe = False
    return STATUS_OK


cdef inline Row *_opener(Scan *s) noexcept nogil:
    cdef size_t row = s.frames[s.depth].row
    return (s.level.at if s.depth == 1 else s.below.at) + row


cdef void _close(Scan *s, uint64_t end, bint cut) noexcept nogil:
    """Leave the innermost frame; its row ends at `end`."""
    cdef Row *row = _opener(s)
    row.end_offset = end
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


cdef inline bint _may_be_undefined(uint16_t vr) noexcept nogil:
    """OB, OD, OF, OL, OV, OW: what PS3.5 Table 7.1-1 lets have an undefined length, beside SQ and UN."""
    return vr >> 8 == 0x4F and (vr & 0xFF) in (0x42, 0x44, 0x46, 0x4C, 0x56, 0x57)


cdef Status _structure(Scan *s, const Header *h, uint64_t *position, uint64_t left) noexcept nogil:
    """One step that is not an element: items, fragments, delimiters (7.5, A.4), zeros, and whatever stands there instead.

    `left` bytes follow the header at this level. Moves the position, or leaves a level, or both.
    """
    cdef Frame *f = s.frames + s.depth
    cdef Row *row
    cdef uint64_t at = position[0], behind = at + 8, stop = f.stop
    cdef bint delimiter = h.tag == TAG_ITEM_END or h.tag == TAG_SEQUENCE_END
    cdef uint32_t closer = TAG_ITEM_END if f.kind == DATASET else TAG_SEQUENCE_END

    if h.tag == 0 and h.length == 0 and h.vr == 0:
        _fault(s, PADDING, at, 0, 0, f.stop - at)
        if s.depth == 0:
            _finish(s, at)
        position[0] = f.stop
        return STATUS_OK

    if delimiter and f.undefined and h.tag == closer:
        if h.length != 0:
            _fault(s, DELIMITER_LENGTH, at, h.tag, h.length, 0)
        _close(s, behind, False)
        position[0] = behind
        return STATUS_OK

    if f.kind == DATASET:
        if f.undefined and (h.tag == TAG_ITEM or (h.tag == TAG_SEQUENCE_END and s.frames[s.depth - 1].undefined)):
            _fault(s, UNCLOSED, at, h.tag, 0, 0)
            _close(s, at, True)
            return STATUS_OK
        _fault(s, STRAY, at, h.tag, h.length, 0)
        if not delimiter and h.length <= left:  # FFFFFFFF may be less than what is left, yet it is no length
            behind += h.length if h.length != UNDEFINED else 0
        position[0] = behind
        return STATUS_OK

    if h.tag == TAG_ITEM and (f.kind == SEQUENCE or h.length != UNDEFINED):
        if s.rows_left == 0:
            return STATUS_COUNT
        s.rows_left -= 1
        row = _add(s, h, behind)
        if row == NULL:
            return STATUS_MEMORY
        f.count += 1
        if h.length != UNDEFINED:
            if h.length & 1:
                _fault(s, ODD, at, h.tag, h.length, 0)
            if h.length > left:
                _fault(s, OVERRUN, at, h.tag, h.length, left)
                row.length = <uint32_t>left
                row.flags = CUT
            stop = behind + row.length
        if f.kind == PIECES:
            row.end_offset = stop
            position[0] = stop
            return STATUS_OK
        position[0] = behind
        return _push(s, row, DATASET, f.explicit, f.big, stop)

    if delimiter and f.kind == SEQUENCE:
        _fault(s, STRAY, at, h.tag, h.length, 0)
        position[0] = behind
        return STATUS_OK

    _fault(s, NOT_ITEM, at, h.tag, 0, 0)
    if f.kind == PIECES:  # nothing says where the rest belongs, so it stays in the value
        _opener(s).flags |= CUT
        f.undefined = False
        position[0] = f.stop
    elif s.depth == 0:
        _finish(s, at)
        position[0] = f.stop
    else:  # the delimiter was forgotten: go on one level up
        _close(s, at, True)
    return STATUS_OK


cdef Status _scan(Scan *s, const uint8_t *block, uint64_t block_start, uint64_t block_stop) noexcept nogil:
    cdef Frame *f
    cdef Row *row
    cdef Header h
    cdef Status status
    cdef uint64_t left, at_hand, value_offset
    cdef uint64_t position = s.position
    cdef const uint8_t *p
    cdef bint big
    h.tag = 0

    while True:
        s.position = position
        if s.fault_count:
            return STATUS_MALFORMED
        f = s.frames + s.depth
        if position >= f.stop:
            if s.depth == 0:
                _finish(s, position)
                return STATUS_OK
            if f.undefined:
                _fault(s, UNCLOSED, position, f.tag, UNDEFINED, 0)
            _close(s, position, f.undefined)
            continue

        left = f.stop - position
        if left < 8:
            _fault(s, TRAILING, position, 0, 0, left)
            if s.depth == 0:
                _finish(s, position)
            position = f.stop
            continue
        if position < block_start or position >= block_stop:
            return STATUS_SHORT
        at_hand = block_stop - position
        if at_hand < 12 and at_hand < left:
            return STATUS_SHORT
        p = block + (position - block_start)
        if f.probe:  # 6.2.2: such items are little endian, but some writers kept the order of the file
            f.probe = False
            if p[0] == 0xFF and p[1] == 0xFE:
                f.big = True
                _opener(s).flags |= BIG
        status = view_header(p, <size_t>(at_hand if at_hand < left else left), f.explicit, f.big, &h)
        if status != STATUS_OK:  # eight to eleven bytes where a long header has twelve
            _fault(s, TRAILING, position, h.tag, 0, left)
            if s.depth == 0:
                _finish(s, position)
            position = f.stop
            continue
        value_offset = position + h.size
        left -= h.size

        if h.tag >> 16 == 0xFFFE or f.kind != DATASET or (h.tag == 0 and h.length == 0 and h.vr == 0):
            status = _structure(s, &h, &position, left)
            if status != STATUS_OK:
                return status
            continue

        # an element
        if h.tag >= s.stop_tag and s.depth == 0 and s.stops:
            _finish(s, position)
            position = f.stop
            continue
        if <int64_t>h.tag <= f.last_tag:
            if not f.unordered:
                _fault(s, ORDER, position, h.tag, 0, 0)
            f.unordered = True
        f.last_tag = h.tag
        if h.form >= FORM_ALIEN:
            _fault(s, ALIEN_VR if h.form == FORM_ALIEN else NO_VR, position, h.tag, h.vr, 0)
        if s.rows_left == 0:
            return STATUS_COUNT
        s.rows_left -= 1
        row = _add(s, &h, value_offset)
        if row == NULL:
            return STATUS_MEMORY
        if h.length != UNDEFINED:
            if h.length > s.length_limit:
                return STATUS_LENGTH
            if h.length & 1:
                _fault(s, ODD, position, h.tag, h.length, 0)
            if h.length > left:
                _fault(s, OVERRUN, position, h.tag, h.length, left)
                row.length = <uint32_t>left
                row.flags = CUT
            position = value_offset + row.length
            row.end_offset = position
            continue

        big = f.big
        if h.vr == VR_SQ or ((h.vr == 0 or h.vr == VR_UN) and h.tag != TAG_PIXEL_DATA):
            status = _push(s, row, SEQUENCE, f.explicit and h.vr != VR_UN, big and h.vr != VR_UN, f.stop)
            if status == STATUS_OK:
                s.frames[s.depth].probe = big and h.vr == VR_UN
        else:
            if h.vr != 0 and h.vr != VR_UN and not _may_be_undefined(h.vr):
                _fault(s, NEVER_UNDEFINED, position, h.tag, h.vr, 0)
            status = _push(s, row, PIECES, f.explicit, big, f.stop)
        if status != STATUS_OK:
            return status
        position = value_offset


@cython.final
cdef class Table:
    """Owns rows. Nothing changes them after they were made."""

    cdef Row *rows
    cdef size_t count

    def __dealloc__(self) -> None:
        free(self.rows)


cdef Table _table(Rows *rows):
    """Takes the rows over, in no more memory than they need."""
    cdef Table table = Table.__new__(Table)
    cdef Row *kept = rows.at
    if rows.count == 0:
        free(rows.at)
        kept = NULL
    elif rows.count < rows.capacity:
        kept = <Row *>realloc(rows.at, rows.count * sizeof(Row))
        if kept == NULL:
            kept = rows.at
    table.rows = kept
    table.count = rows.count
    rows.at = NULL
    rows.count = rows.capacity = 0
    return table


@cython.final
cdef class ElementIndex:
    """One level of a data set as a table: its elements, the items of a sequence, or the fragments of a value.

    Offsets count bytes from the start of the source. Immutable, so any thread may read it.
    """

    cdef Row *rows
    cdef size_t count
    cdef Table level
    cdef Table below
    cdef readonly bint explicit
    cdef readonly bint big_endian
    cdef readonly bint ascending
    cdef readonly int depth
    cdef readonly uint64_t start_offset
    cdef readonly uint64_t end_offset

    def __len__(self) -> int:
        return self.count

    cdef Row *_at(self, Py_ssize_t i) except NULL:
        if i < 0 or <size_t>i >= self.count:
            raise IndexError(f"row {i} of {self.count}")
        return self.rows + i

    @property
    def address(self) -> int:
        """Of the first `Row`, for kernels; good while this index lives."""
        return <size_t>self.rows

    def tags(self) -> list:
        """The tags in file order."""
        cdef size_t i
        cdef list tags = []
        for i in range(self.count):
            tags.append(self.rows[i].tag)
        return tags

    def find(self, uint32_t tag) -> int:
        """The first row with this tag, or -1. By halving when tags ascend, as they should (PS3.5 7.1)."""
        return self._find(tag)

    cdef Py_ssize_t _find(self, uint32_t tag) noexcept:
        cdef size_t low = 0, high = self.count, middle
        if self.ascending:
            while low < high:
                middle = (low + high) >> 1
                if self.rows[middle].tag < tag:
                    low = middle + 1
                else:
                    high = middle
        else:
            while low < high and self.rows[low].tag != tag:
                low += 1
        return <Py_ssize_t>low if low < self.count and self.rows[low].tag == tag else -1

    def row(self, Py_ssize_t i) -> tuple:
        """(tag, VR code or 0, length or FFFFFFFF, value_offset, header_offset, end_offset)"""
        cdef Row *row = self._at(i)
        return row.tag, row.vr, row.length, row.value_offset, row.value_offset - row.size, row.end_offset

    def lookup(self, uint32_t tag) -> tuple | None:
        """(VR code or 0, value_offset, length or FFFFFFFF) of the first row with this tag: what reading a value needs."""
        cdef Py_ssize_t i = self._find(tag)
        if i < 0:
            return None
        return self.rows[i].vr, self.rows[i].value_offset, self.rows[i].length

    def tag_at(self, Py_ssize_t i) -> int:
        return self._at(i).tag

    def vr_at(self, Py_ssize_t i) -> int:
        """First letter << 8 | second letter; 0 when the header has no VR."""
        return self._at(i).vr

    def length_at(self, Py_ssize_t i) -> int:
        """Bytes of the value that are there; FFFFFFFF when undefined."""
        return self._at(i).length

    def value_offset_at(self, Py_ssize_t i) -> int:
        return self._at(i).value_offset

    def header_offset_at(self, Py_ssize_t i) -> int:
        cdef Row *row = self._at(i)
        return row.value_offset - row.size

    def end_offset_at(self, Py_ssize_t i) -> int:
        """Behind the value, and behind the delimiter of an undefined length."""
        return self._at(i).end_offset

    def content_end_at(self, Py_ssize_t i) -> int:
        """Behind the value, before the delimiter."""
        cdef Row *row = self._at(i)
        return row.end_offset - (8 if row.length == UNDEFINED and not row.flags & CUT else 0)

    def is_sequence(self, Py_ssize_t i) -> bool:
        """SQ by its VR, or by its undefined length."""
        cdef Row *row = self._at(i)
        return row.vr == VR_SQ or (row.flags & (WALKED | FRAGMENTS)) == WALKED

    def is_encapsulated(self, Py_ssize_t i) -> bool:
        """The value is in fragments (PS3.5 A.4)."""
        return (self._at(i).flags & FRAGMENTS) != 0

    def is_walked(self, Py_ssize_t i) -> bool:
        """`descend` works: the scan has been below this row."""
        return (self._at(i).flags & WALKED) != 0

    def is_cut(self, Py_ssize_t i) -> bool:
        """The header claims more than is there, or the delimiter is missing."""
        return (self._at(i).flags & CUT) != 0

    def descend(self, Py_ssize_t i) -> ElementIndex:
        """The level below a walked row: items below a sequence, elements below an item, fragments below a value."""
        cdef Row *row = self._at(i)
        cdef Row *source
        cdef Row *child
        cdef Rows rows
        cdef size_t j, total
        cdef int64_t last = -1
        cdef ElementIndex index
        if not row.flags & WALKED:
            raise ValueError(f"row {i} was skipped by the scan")
        index = ElementIndex.__new__(ElementIndex)
        source = self.below.rows
        total = self.below.count
        rows.at = NULL
        rows.count = rows.capacity = 0
        index.ascending = True
        j = row.link
        while j < total and source[j].value_offset - source[j].size < row.end_offset:
            if rows.count == rows.capacity and _grow(&rows) != STATUS_OK:
                free(rows.at)
                raise MemoryError
            child = rows.at + rows.count
            rows.count += 1
            child[0] = source[j]
            child.link = <uint32_t>(j + 1)
            if <int64_t>child.tag <= last:
                index.ascending = False
            last = child.tag
            j += 1 + source[j].link
        index.level = _table(&rows)
        index.rows = index.level.rows
        index.count = index.level.count
        index.below = self.below
        index.explicit = (row.flags & EXPLICIT) != 0
        index.big_endian = (row.flags & BIG) != 0
        index.depth = self.depth + (1 if row.tag == TAG_ITEM else 0)
        index.start_offset = row.value_offset
        index.end_offset = self.content_end_at(i)
        return index

    def copy_spans(self, int64_t[::1] offsets, int64_t[::1] lengths) -> None:
        """Value offsets and lengths of all rows, into two arrays of ``len(self)``."""
        cdef size_t i
        if <size_t>offsets.shape[0] != self.count or <size_t>lengths.shape[0] != self.count:
            raise ValueError(f"two arrays of {self.count} are wanted")
        for i in range(self.count):
            offsets[i] = <int64_t>self.rows[i].value_offset
            lengths[i] = <int64_t>(self.rows[i].end_offset - self.rows[i].value_offset)

    def __sizeof__(self) -> int:
        return object.__sizeof__(self) + (self.count + (self.below.count if self.below is not None else 0)) * sizeof(Row)

    def __repr__(self) -> str:
        return f"<ElementIndex of {self.count} rows, bytes {self.start_offset} to {self.end_offset}>"


@cython.final
cdef class Scanner:
    """One pass over bytes [start, stop) of a source; `feed` it blocks until it answers DONE."""

    cdef Scan scan
    cdef bint explicit
    cdef bint big_endian
    cdef int depth
    cdef uint64_t start

    def __cinit__(self, uint64_t start, uint64_t stop, bint explicit, bint big_endian, *, bint items, int depth,
                  object stop_tag, object nesting_depth, object element_count, object value_length) -> None:
        """``items``: the bytes are items, not elements. ``depth``: sequences around them already."""
        cdef Scan *s = &self.scan
        cdef long long levels = min(nesting_depth, 1 << 24) - depth
        if items and levels < 1:
            levels = 0
        s.frame_limit = <size_t>(2 * max(levels, 0) + (0 if items else 1))
        s.frame_capacity = 8
        s.frames = <Frame *>malloc(s.frame_capacity * sizeof(Frame))
        if s.frames == NULL:
            raise MemoryError
        s.frames[0] = Frame(
            stop=stop, row=0, last_tag=-1, tag=0, count=0, kind=SEQUENCE if items else DATASET, explicit=explicit,
            big=big_endian, undefined=False, unordered=False, probe=False,
        )
        s.position = start
        s.rows_left = <size_t>min(element_count, 0xFFFFFFF0)  # a link has 32 bits
        s.length_limit = <uint32_t>min(value_length, 0xFFFFFFFE)
        s.stops = stop_tag is not None
        s.stop_tag = stop_tag if stop_tag is not None else 0xFFFFFFFF
        self.explicit = explicit
        self.big_endian = big_endian
        self.depth = depth
        self.start = start

    def __dealloc__(self) -> None:
        free(self.scan.frames)
        free(self.scan.level.at)
        free(self.scan.below.at)

    @property
    def position(self) -> int:
        """Where the next header is wanted; after a refusal, where the refused thing stands."""
        return self.scan.position

    def mute(self) -> None:
        """Repair faults from now on without telling."""
        self.scan.muted = True

    def feed(self, const uint8_t[::1] block, uint64_t offset) -> int:
        """Go on over ``block``, which stands at ``offset`` of the source. DONE, NEED (a block at `position`), FAULT
        (take `faults`, then feed again), or a refusal: DEPTH, COUNT, LENGTH, MEMORY."""
        cdef const uint8_t *data = &block[0] if block.shape[0] else NULL
        cdef uint64_t stop = offset + <uint64_t>block.shape[0]
        cdef Status status
        with nogil:
            status = _scan(&self.scan, data, offset, stop)
        return status

    def faults(self) -> list:
        """What was queued: (code, offset, tag, claimed, available, steps). ``steps`` leads there: tag, item number, tag ..."""
        cdef Scan *s = &self.scan
        cdef size_t i
        cdef list queued = [], steps
        cdef Fault *fault
        for i in range(s.fault_count):
            fault = &s.faults[i]
            steps = self._steps(fault.depth)
            if fault.tag == TAG_ITEM and fault.code in (OVERRUN, ODD):
                steps.append(<long long>s.frames[fault.depth].count - 1)
            queued.append((<int>fault.code, fault.offset, fault.tag, fault.claimed, fault.available, tuple(steps)))
        s.fault_count = 0
        return queued

    def where(self) -> tuple:
        """The steps to the current position."""
        return tuple(self._steps(self.scan.depth))

    cdef list _steps(self, size_t depth):
        cdef size_t k
        cdef Frame *frames = self.scan.frames
        cdef list steps = []
        for k in range(1, depth + 1):
            if frames[k].kind == DATASET:
                steps.append(<long long>frames[k - 1].count - 1)
            else:
                steps.append(frames[k].tag)
        return steps

    def finish(self) -> ElementIndex:
        """The tables, once; the scanner is empty afterwards."""
        cdef Scan *s = &self.scan
        cdef ElementIndex index
        if not s.done or s.depth != 0:
            raise ValueError("the scan is not done")
        index = ElementIndex.__new__(ElementIndex)
        index.ascending = not s.frames[0].unordered and s.frames[0].kind == DATASET
        index.level = _table(&s.level)
        index.rows = index.level.rows
        index.count = index.level.count
        index.below = _table(&s.below)
        index.explicit = self.explicit
        index.big_endian = self.big_endian
        index.depth = self.depth
        index.start_offset = self.start
        index.end_offset = s.end
        return index
