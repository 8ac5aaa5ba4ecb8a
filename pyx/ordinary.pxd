# Header only. The elements that nearly all are, in a tight loop: little endian, tags ascending, a VR of the standard where
# there has to be one, an even length that fits. Whatever is otherwise stays where it is, for the scan proper to see to.

from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t

from bits cimport load_tag, load_u16, load_u32
from cursor cimport FORM_ALIEN, FORM_LONG, VRForm, vr_form
from frames cimport Frame, Rows, Scan
from row cimport Row


cdef inline uint64_t skip_ordinary(Scan *s, const uint8_t *block, uint64_t start, uint64_t stop,
                                   uint64_t position) noexcept nogil:
    """Make rows of the ordinary elements from `position` on; where the first other thing stands.

    The block is bytes `start` to `stop` of the source. Neither memory nor a limit is asked for more than is left.
    """
    cdef Frame *f = s.frames + s.depth
    cdef Rows *rows = &s.level if s.depth == 0 else &s.below
    cdef Row *row = rows.at + rows.count
    cdef size_t room = rows.capacity - rows.count, count
    cdef uint64_t end = stop if stop < f.stop else f.stop
    cdef uint32_t tag, length, size, bound = 0xFFFE0000, last = <uint32_t>f.last_tag if f.last_tag > 0 else 0
    cdef bint explicit = f.explicit
    cdef const uint8_t *p
    cdef VRForm form
    if room > s.rows_left:
        room = s.rows_left
    if s.stops and s.depth == 0 and s.stop_tag < bound:
        bound = s.stop_tag
    count = room
    while count and position + 12 <= end:
        p = block + (position - start)
        tag = load_tag(p, False)
        form = vr_form(p[4], p[5])
        if tag <= last or tag >= bound or (form >= FORM_ALIEN) == explicit:  # an implicit length may look like a VR
            break
        size = 8
        if not explicit:
            length = load_u32(p + 4, False)
        elif form == FORM_LONG:
            length = load_u32(p + 8, False)
            size = 12
        else:
            length = load_u16(p + 6, False)
        if length & 1 or length > s.length_limit or length > f.stop - position - size:  # an undefined one is odd
            break
        position += size
        row.place = position << 16
        row.span = length
        row.tag = last = tag
        row.link = 0
        row.vr = (<uint32_t>p[4] << 8 | p[5]) if explicit else 0
        row.size = size
        row.flags = 0
        row += 1
        position += length
        count -= 1
    if count != room:
        rows.count += room - count
        s.rows_left -= room - count
        f.last_tag = last
    return position
