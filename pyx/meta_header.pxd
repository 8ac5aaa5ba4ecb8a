# Header only. The element headers of file meta information (PS3.10 7.1), for those who walk over it.

from libc.stdint cimport uint8_t, uint16_t, uint64_t

from bits cimport load_u16, load_u32
from cursor cimport FORM_LONG, are_letters, vr_form
from status cimport STATUS_OK, STATUS_SHORT

cdef enum:
    META_OVER = -1


cdef inline int next_meta(
    const uint8_t *p, uint64_t left, uint16_t *element, uint64_t *header, uint64_t *length
) noexcept nogil:
    """The header at ``p``: STATUS_OK, STATUS_SHORT, or META_OVER where group 0002 has ended."""
    if left < 8:
        return STATUS_SHORT
    if load_u16(p, False) != 2:
        return META_OVER
    element[0] = load_u16(p + 2, False)
    header[0] = 8
    if not are_letters(p[4], p[5]):  # implicit VR: not allowed here, and seen
        length[0] = load_u32(p + 4, False)
    elif vr_form(p[4], p[5]) == FORM_LONG:
        if left < 12:
            return STATUS_SHORT
        header[0] = 12
        length[0] = load_u32(p + 8, False)
    else:
        length[0] = load_u16(p + 6, False)
    return STATUS_OK
