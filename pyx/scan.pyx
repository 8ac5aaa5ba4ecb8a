"""The scan: one pass over the headers of a data set (PS3.5 7), giving tables of fixed rows and never touching a value.

The pass is resumable: `Scanner.feed` takes any block of the source, goes on from ``position`` as far as the block reaches
and says why it stopped. It keeps an explicit stack, so nesting costs no recursion. Elements of defined length are skipped,
sequences among them; those of undefined length are walked to find their end, and the rows below them go into a child table
in pre-order, each with the number of rows below it. `ElementIndex.descend` lifts one level out of that table.

Nothing read from the data is trusted: a length is held against the end of its parent and against the limits before it moves
the position. Faults are queued, repaired as lenient reading wants, and handed to the caller after each step.
"""

cimport cython
from cpython.mem cimport PyMem_RawFree, PyMem_RawMalloc, PyMem_RawRealloc
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t

from bits cimport load_tag
from cursor cimport FORM_ALIEN, TAG_ITEM, TAG_PIXEL_DATA, UNDEFINED, VR_SQ, VR_UN, Header, settle_length, view_header
from frames cimport (
    ALIEN_VR, DATASET, ISLAND, NEVER_UNDEFINED, NO_VR, ODD, ORDER, OVERRUN, PADDING, PIECES, SEEK, SEQUENCE, TRAILING,
    UNCLOSED, ZERO_RUN, Fault, Frame, Rows, Scan, _add, _bound, _close, _end_zeros, _fault, _finish, _grow, _leave,
    _may_be_undefined, _opener, _push,
)
from lenient cimport ISLAND_LEVEL, ISLAND_UNSEEN, NO_ISLAND, IslandSign, view_island
from ordinary cimport skip_ordinary
from row cimport (
    BIG, CUT, DELIMITED, EXPLICIT, FRAGMENTS, OFFSET_BITS, PLAIN, WALKED, Row, end_of, header_offset_of, length_of,
    row_of, span_of, value_offset_of,
)
from status cimport (
    STATUS_COUNT, STATUS_DEPTH, STATUS_LENGTH, STATUS_MALFORMED, STATUS_MEMORY, STATUS_OK, STATUS_SHORT, Status,
)
from structure cimport step_seek, step_structure

DONE = <int>STATUS_OK
NEED = <int>STATUS_SHORT
FAULT = <int>STATUS_MALFORMED
DEPTH = <int>STATUS_DEPTH
COUNT = <int>STATUS_COUNT
LENGTH = <int>STATUS_LENGTH
MEMORY = <int>STATUS_MEMORY
OFFSET_LIMIT = <uint64_t>1 << OFFSET_BITS  # bytes of a source that rows can tell

cdef Status _scan(Scan *s, const uint8_t *block, uint64_t block_start, uint64_t block_stop) noexcept nogil:
    cdef Frame *f
    cdef Row *row
    cdef Header h
    cdef Status status
    cdef uint64_t left, at_hand, value_offset
    cdef uint64_t position = s.position, seen = s.position - 1  # up to there by skip_ordinary
    cdef const uint8_t *p
    cdef bint big, opens
    cdef IslandSign island
    h.tag = 0

    while True:
        s.position = position
        if s.fault_count:
            return STATUS_MALFORMED
        f = s.frames + s.depth
        if s.zeros and f.stop < position + 8:  # to the end of their level
            s.zeros = False
            _fault(s, PADDING, s.zero_start, 0, 0, f.stop - s.zero_start)
            position = _leave(s, s.zero_start)
            continue
        if f.kind == SEEK:
            status = step_seek(s, block, block_start, block_stop, &position)
            if status != STATUS_OK:
                return status
            continue
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
            position = _leave(s, position)
            continue
        if position < block_start or position >= block_stop:
            return STATUS_SHORT
        if position != seen and f.kind == DATASET and not f.big and not f.probe and not s.zeros:
            seen = skip_ordinary(s, block, block_start, block_stop, position)
            if position != seen:
                position = seen
                continue
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
            _end_zeros(s, position)
            _fault(s, TRAILING, position, h.tag, 0, left)
            position = _leave(s, position)
            continue
        if h.tag == 0 and h.length == 0 and h.vr == 0:
            if not s.zeros:
                s.zeros = True
                s.zero_start = position
            position += 8
            if position - s.zero_start >= ZERO_RUN:
                position = f.stop
            continue
        if s.zeros and h.tag >> 16 == 0:  # the run is not of whole headers
            position += 2
            continue
        _end_zeros(s, position)
        if f.kind == DATASET:
            if settle_length(p, at_hand, left, f.big, &h) != STATUS_OK:
                return STATUS_SHORT
        if not f.explicit and f.kind == DATASET and h.tag >> 16 != 0xFFFE:
            island = view_island(p, at_hand, left, f.big, f.undefined, &h)
            if island == ISLAND_UNSEEN:
                return STATUS_SHORT
            if island != NO_ISLAND:
                _fault(s, ISLAND, position, h.tag, h.vr, 0)
            if island == ISLAND_LEVEL and s.depth > 0:
                f.explicit = True
                _opener(s).flags |= EXPLICIT
        value_offset = position + h.size
        left -= h.size

        if h.tag >> 16 == 0xFFFE or f.kind != DATASET:
            status = step_structure(s, &h, &position, left)
            if status != STATUS_OK:
                return status
            continue

        # an element
        if h.tag >= s.stop_tag and s.depth == 0 and s.stops:
            position = _leave(s, position)
            continue
        if <int64_t>h.tag <= f.last_tag:
            if not f.unordered:
                _fault(s, ORDER, position, h.tag, 0, 0)
            f.unordered = True
        f.last_tag = h.tag
        if h.form >= FORM_ALIEN:
            _fault(s, ALIEN_VR if h.form == FORM_ALIEN else NO_VR, position, h.tag, h.vr, 0)
        opens = False
        if h.length > left and h.length != UNDEFINED and left >= 8:  # an overlong sequence is walked to find its end
            opens = h.vr == VR_SQ
            if h.vr == 0 or h.vr == VR_UN:
                if at_hand < <uint64_t>h.size + 4:
                    return STATUS_SHORT
                opens = load_tag(p + h.size, f.big and h.vr == 0) == TAG_ITEM
        if s.rows_left == 0:
            return STATUS_COUNT
        s.rows_left -= 1
        row = _add(s, &h, value_offset)
        if row == NULL:
            return STATUS_MEMORY
        if h.length != UNDEFINED:
            if h.length > s.length_limit:
                return STATUS_LENGTH
            _bound(s, row, position, left)
            if not opens:
                position = value_offset + row.span
                continue
        big = f.big
        if opens or h.vr == VR_SQ or ((h.vr == 0 or h.vr == VR_UN) and h.tag != TAG_PIXEL_DATA):
            status = _push(s, row, SEQUENCE, f.explicit and h.vr != VR_UN, big and h.vr != VR_UN, f.stop)
            if status == STATUS_OK:
                s.frames[s.depth].probe = big and h.vr == VR_UN and not opens
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
        PyMem_RawFree(self.rows)


cdef Table _table(Rows *rows):
    """Takes the rows over, in no more memory than they need."""
    cdef Table table = Table.__new__(Table)
    cdef Row *kept = rows.at
    if rows.count == 0:
        PyMem_RawFree(rows.at)
        kept = NULL
    elif rows.count < rows.capacity:
        kept = <Row *>PyMem_RawRealloc(rows.at, rows.count * sizeof(Row))
        if kept == NULL:
            kept = rows.at
    table.rows = kept
    table.count = rows.count
    rows.at = NULL
    rows.count = rows.capacity = 0
    return table


@cython.final
@cython.no_gc  # refers to tables only; there may be many
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
    cdef readonly bint is_irregular  # some of it, or below it, is not encoded as its level is, or is cut
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
        cdef size_t at = 0
        if self.ascending:
            at = row_of(self.rows, self.count, tag)
        else:
            while at < self.count and self.rows[at].tag != tag:
                at += 1
        return <Py_ssize_t>at if at < self.count and self.rows[at].tag == tag else -1

    def row(self, Py_ssize_t i) -> tuple:
        """(tag, VR code or 0, length or FFFFFFFF, value_offset, header_offset, end_offset)"""
        cdef Row *row = self._at(i)
        return row.tag, row.vr, length_of(row), value_offset_of(row), header_offset_of(row), end_of(row)

    def lookup(self, uint32_t tag) -> tuple | None:
        """(VR code or 0, value_offset, length or FFFFFFFF) of the first row with this tag: what reading a value needs."""
        cdef Py_ssize_t i = self._find(tag)
        if i < 0:
            return None
        return self.rows[i].vr, value_offset_of(self.rows + i), length_of(self.rows + i)

    def tag_at(self, Py_ssize_t i) -> int:
        return self._at(i).tag

    def vr_at(self, Py_ssize_t i) -> int:
        """First letter << 8 | second letter; 0 when the header has no VR."""
        return self._at(i).vr

    def length_at(self, Py_ssize_t i) -> int:
        """Bytes of the value that are there; FFFFFFFF when undefined."""
        return length_of(self._at(i))

    def value_offset_at(self, Py_ssize_t i) -> int:
        return value_offset_of(self._at(i))

    def header_offset_at(self, Py_ssize_t i) -> int:
        return header_offset_of(self._at(i))

    def end_offset_at(self, Py_ssize_t i) -> int:
        """Behind the value, and behind the delimiter of an undefined length."""
        return end_of(self._at(i))

    def content_end_at(self, Py_ssize_t i) -> int:
        """Behind the value, before the delimiter."""
        cdef Row *row = self._at(i)
        return end_of(row) - (8 if row.flags & (DELIMITED | CUT) == DELIMITED else 0)

    def is_sequence(self, Py_ssize_t i) -> bool:
        """SQ by its VR, or by its undefined length."""
        cdef Row *row = self._at(i)
        return not row.flags & PLAIN and (row.vr == VR_SQ or (row.flags & (WALKED | FRAGMENTS)) == WALKED)

    def is_encapsulated(self, Py_ssize_t i) -> bool:
        """The value is in fragments (PS3.5 A.4)."""
        return (self._at(i).flags & FRAGMENTS) != 0

    def is_plain(self, Py_ssize_t i) -> bool:
        """An undefined length without items: the value is all bytes up to the delimiter."""
        return (self._at(i).flags & PLAIN) != 0

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
        cdef uint64_t end
        cdef int64_t last = -1
        cdef ElementIndex index
        if not row.flags & WALKED:
            raise ValueError(f"row {i} was skipped by the scan")
        index = ElementIndex.__new__(ElementIndex)
        end = end_of(row)
        source = self.below.rows
        total = self.below.count
        rows.at = NULL
        rows.count = rows.capacity = 0
        index.ascending = True
        j = row.link
        while j < total and header_offset_of(source + j) < end:
            if rows.count == rows.capacity and _grow(&rows) != STATUS_OK:
                PyMem_RawFree(rows.at)
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
        index.is_irregular = self.is_irregular
        index.explicit = (row.flags & EXPLICIT) != 0
        index.big_endian = (row.flags & BIG) != 0
        index.depth = self.depth + (1 if row.tag == TAG_ITEM else 0)
        index.start_offset = value_offset_of(row)
        index.end_offset = self.content_end_at(i)
        return index

    def copy_spans(self, int64_t[::1] offsets, int64_t[::1] lengths) -> None:
        """Value offsets and lengths of all rows, into two arrays of ``len(self)``."""
        cdef size_t i
        if <size_t>offsets.shape[0] != self.count or <size_t>lengths.shape[0] != self.count:
            raise ValueError(f"two arrays of {self.count} are wanted")
        for i in range(self.count):
            offsets[i] = <int64_t>value_offset_of(self.rows + i)
            lengths[i] = <int64_t>span_of(self.rows + i)

    def locate(self, uint32_t tag, int64_t[:, ::1] found) -> None:
        """The element with this tag in every item of a sequence: value offset, length and VR code, a row for each item.

        Offset -1: the item has none. VR -1: look at it singly (cut, nested, in another byte order, not walked).
        """
        cdef size_t i, j, total = self.below.count
        cdef uint64_t end
        cdef Row *item
        cdef Row *row
        if <size_t>found.shape[0] != self.count or found.shape[1] != 3:
            raise ValueError(f"an array of {self.count} x 3 is wanted")
        for i in range(self.count):
            item = self.rows + i
            found[i, 0] = -1
            found[i, 1] = found[i, 2] = 0
            if not item.flags & WALKED:
                found[i, 2] = -1
                continue
            end = end_of(item)
            j = item.link
            while j < total and header_offset_of(self.below.rows + j) < end:
                row = self.below.rows + j
                if row.tag == tag:
                    found[i, 0] = <int64_t>value_offset_of(row)
                    found[i, 1] = <int64_t>span_of(row)
                    found[i, 2] = row.vr
                    if row.flags & (WALKED | FRAGMENTS | CUT | PLAIN | DELIMITED) or (item.flags & BIG != 0) != self.big_endian:
                        found[i, 2] = -1
                    break
                j += 1 + row.link

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
        if stop >> OFFSET_BITS:
            raise OverflowError(f"rows reach {OFFSET_LIMIT} bytes, not {stop}")
        cdef Scan *s = &self.scan
        cdef long long levels = min(nesting_depth, 1 << 24) - depth
        if items and levels < 1:
            levels = 0
        s.frame_limit = <size_t>(2 * max(levels, 0) + (0 if items else 1))
        s.frame_capacity = 8
        s.frames = <Frame *>PyMem_RawMalloc(s.frame_capacity * sizeof(Frame))
        if s.frames == NULL:
            raise MemoryError
        s.frames[0] = Frame(
            stop=stop, row=0, last_tag=-1, tag=0, count=0, kind=SEQUENCE if items else DATASET, explicit=explicit,
            big=big_endian, undefined=False, unordered=False, probe=False, pieces=False, sought=0,
        )
        s.position = start
        s.barren = 0xFFFFFFFFFFFFFFFF
        s.rows_left = <size_t>min(element_count, 0xFFFFFFF0)  # a link has 32 bits
        s.length_limit = <uint32_t>min(value_length, 0xFFFFFFFE)
        s.stops = stop_tag is not None
        s.stop_tag = stop_tag if stop_tag is not None else 0xFFFFFFFF
        self.explicit = explicit
        self.big_endian = big_endian
        self.depth = depth
        self.start = start

    def __dealloc__(self) -> None:
        PyMem_RawFree(self.scan.frames)
        PyMem_RawFree(self.scan.level.at)
        PyMem_RawFree(self.scan.below.at)

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
        index.is_irregular = s.irregular
        index.start_offset = self.start
        index.end_offset = s.end
        return index
