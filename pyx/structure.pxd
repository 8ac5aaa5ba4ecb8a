# Header only. The steps of a scan that are no elements: items, fragments and delimiters (PS3.5 7.5, A.4), what stands in
# their place, and the search for a delimiter behind it.

from libc.stdint cimport uint8_t, uint32_t, uint64_t

from cursor cimport TAG_ITEM, TAG_ITEM_END, TAG_SEQUENCE_END, UNDEFINED, Header
from frames cimport (
    BARE, DATASET, DELIMITER_LENGTH, NOT_ITEM, PIECES, SEEK, SEQUENCE, STRAY, UNCLOSED, Frame, Scan, _add, _bound, _close,
    _fault, _leave, _opener, _push,
)
from lenient cimport find_end
from row cimport CUT, FRAGMENTS, PLAIN, WALKED, Row
from status cimport STATUS_COUNT, STATUS_MEMORY, STATUS_OK, STATUS_SHORT, Status


cdef inline void _lost(Scan *s, uint64_t at, uint32_t tag, uint64_t *position) noexcept nogil:
    """No item or delimiter at `at`, and nothing to be found by seeking."""
    cdef Frame *f = s.frames + s.depth
    _fault(s, NOT_ITEM, at, tag, 0, 0)
    if f.kind == PIECES:  # nothing says where the rest belongs, so it stays in the value
        _opener(s).flags |= CUT
        f.undefined = False
        position[0] = f.stop
    elif s.depth == 0:
        position[0] = _leave(s, at)
    else:  # the delimiter was forgotten: go on one level up
        position[0] = at
        _close(s, at, True)


cdef inline Status step_structure(Scan *s, const Header *h, uint64_t *position, uint64_t left) noexcept nogil:
    """One step that is not an element: items, fragments, delimiters (7.5, A.4), zeros, and whatever stands there instead.

    `left` bytes follow the header at this level. Moves the position, or leaves a level, or both.
    """
    cdef Frame *f = s.frames + s.depth
    cdef Row *row
    cdef uint64_t at = position[0], behind = at + 8, stop = f.stop
    cdef bint delimiter = h.tag == TAG_ITEM_END or h.tag == TAG_SEQUENCE_END
    cdef uint32_t closer = TAG_ITEM_END if f.kind == DATASET else TAG_SEQUENCE_END

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
            _bound(s, row, at, left)
            stop = behind + row.span
        if f.kind == PIECES:
            position[0] = stop
            return STATUS_OK
        position[0] = behind
        return _push(s, row, DATASET, f.explicit, f.big, stop)

    if delimiter and f.kind == SEQUENCE:
        _fault(s, STRAY, at, h.tag, h.length, 0)
        position[0] = behind
        return STATUS_OK

    if f.undefined and (f.kind == PIECES or f.count == 0) and not (s.barren <= at and f.stop <= s.barren_stop):
        f.pieces = f.kind == PIECES
        f.kind = SEEK
        f.sought = at
        f.last_tag = h.tag
        return STATUS_OK
    _lost(s, at, h.tag, position)
    return STATUS_OK


cdef inline Status step_seek(Scan *s, const uint8_t *block, uint64_t block_start, uint64_t block_stop,
                             uint64_t *position) noexcept nogil:
    """One step of the search for a delimiter behind something that is no item."""
    cdef Frame *f = s.frames + s.depth
    cdef Row *row
    cdef uint64_t at = position[0], stop = block_stop if block_stop < f.stop else f.stop
    cdef const uint8_t *end
    if f.stop - at < 8:
        s.barren = f.sought
        s.barren_stop = f.stop
        f.kind = PIECES if f.pieces else SEQUENCE
        _lost(s, f.sought, <uint32_t>f.last_tag, position)
        return STATUS_OK
    if at < block_start or stop < at + 8:
        return STATUS_SHORT
    end = find_end(block + (at - block_start), stop - at, f.big)
    if end == NULL:
        position[0] = stop - 7
        return STATUS_OK
    at = block_start + <uint64_t>(end - block)
    _fault(s, BARE, f.sought, f.tag, 0, at - f.sought)
    row = _opener(s)
    if f.count == 0:
        row.flags = (row.flags & ~(WALKED | FRAGMENTS)) | PLAIN
    position[0] = at + 8
    _close(s, at + 8, False)
    return STATUS_OK
