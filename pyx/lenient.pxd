# Header only. What the scan looks at where PS3.5 7 was not kept to: elements with a VR inside an implicit VR data set, and
# values of undefined length that hold no items, which end at the next sequence delimiter.

from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.string cimport memchr, memcmp

from bits cimport load_tag
from cursor cimport (
    FORM_ALIEN, FORM_LONG, PEEK_LENGTH, TAG_ITEM, TAG_ITEM_END, TAG_SEQUENCE_END, UNDEFINED, VR_SQ, Header, view_header, vr_form,
)
from status cimport STATUS_OK

cdef enum IslandSign:
    NO_ISLAND = 0
    ISLAND_ELEMENT = 1  # this element has a VR
    ISLAND_LEVEL = 2    # and what follows has one too
    ISLAND_UNSEEN = 3   # more bytes are wanted to tell


cdef inline IslandSign view_island(const uint8_t *p, uint64_t at_hand, uint64_t left, bint big, bint undefined,
                                   Header *h) noexcept nogil:
    """Whether the implicit header `h` at `p` is an explicit one in truth; then `h` is made that.

    `at_hand` of the `left` bytes of the level may be read; at least 12 of them, or all. The letters of a VR are the low half of
    an implicit length, so they prove little: the element has to end where its level does or where a header with a VR or the
    delimiter stands, or its implicit length has to overrun the level.
    """
    cdef Header other, behind
    cdef uint64_t stop
    cdef uint32_t tag
    if vr_form(p[4], p[5]) >= FORM_ALIEN:
        return NO_ISLAND
    if view_header(p, <size_t>(at_hand if at_hand < left else left), True, big, &other) != STATUS_OK:
        return NO_ISLAND
    if vr_form(p[4], p[5]) == FORM_LONG and (p[6] or p[7]):
        return NO_ISLAND
    stop = other.size + <uint64_t>other.length
    if other.length == UNDEFINED:
        if other.vr != VR_SQ or left < 20:
            return NO_ISLAND
        if at_hand < 16:
            return ISLAND_UNSEEN
        tag = load_tag(p + 12, big)
        if tag != TAG_ITEM and tag != TAG_SEQUENCE_END:
            return NO_ISLAND
        h[0] = other
        return ISLAND_LEVEL
    if stop > left:
        return NO_ISLAND
    if stop == left:
        h[0] = other
        return ISLAND_LEVEL
    if other.length <= PEEK_LENGTH and left - stop >= 8:
        if at_hand < stop + 8:
            return ISLAND_UNSEEN
        if view_header(p + stop, 8, False, big, &behind) == STATUS_OK and (
            (undefined and behind.tag == TAG_ITEM_END and behind.length == 0)
            or (behind.tag >> 16 != 0xFFFE and behind.tag > h.tag and vr_form(p[stop + 4], p[stop + 5]) < FORM_ALIEN)
        ):
            h[0] = other
            return ISLAND_LEVEL
    if other.vr == VR_SQ and other.length >= 8:
        if at_hand < 16:
            return ISLAND_UNSEEN
        if load_tag(p + 12, big) == TAG_ITEM:
            h[0] = other
            return ISLAND_ELEMENT
    if h.length > left - 8 and (h.length != UNDEFINED):
        h[0] = other
        return ISLAND_ELEMENT
    return NO_ISLAND


cdef inline const uint8_t *find_end(const uint8_t *p, uint64_t length, bint big) noexcept nogil:
    """The first sequence delimiter of length zero in `length` bytes, or NULL."""
    cdef const uint8_t *mark = b"\xFF\xFE\xE0\xDD\0\0\0\0" if big else b"\xFE\xFF\xDD\xE0\0\0\0\0"
    cdef const uint8_t *stop = p + length
    while stop - p >= 8:
        p = <const uint8_t *>memchr(p, mark[0], <size_t>(stop - p - 7))
        if p == NULL:
            return NULL
        if memcmp(p, mark, 8) == 0:
            return p
        p += 1
    return NULL
