# Header only. The one place that knows the three shapes of a data element header (PS3.5 7.1.2, 7.1.3) and reads one only
# where its bytes are: `view_header` answers STATUS_SHORT when they do not suffice.

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t

from bits cimport load_tag, load_u16, load_u32
from status cimport STATUS_OK, STATUS_SHORT, Status

cdef extern from *:
    """
    #include <stdint.h>
    /* One bit per second letter, one row per first letter; PS3.5 Table 7.1-1 (long form) and 7.1-2 (short form). */
    #define DC_(c) (1u << ((c) - 'A'))
    static const uint32_t dc_vr_long[26] = {
        ['O' - 'A'] = DC_('B') | DC_('D') | DC_('F') | DC_('L') | DC_('V') | DC_('W'),
        ['S' - 'A'] = DC_('Q') | DC_('V'),
        ['U' - 'A'] = DC_('C') | DC_('N') | DC_('R') | DC_('T') | DC_('V'),
    };
    static const uint32_t dc_vr_short[26] = {
        ['A' - 'A'] = DC_('E') | DC_('S') | DC_('T'),
        ['C' - 'A'] = DC_('S'),
        ['D' - 'A'] = DC_('A') | DC_('S') | DC_('T'),
        ['F' - 'A'] = DC_('D') | DC_('L'),
        ['I' - 'A'] = DC_('S'),
        ['L' - 'A'] = DC_('O') | DC_('T'),
        ['P' - 'A'] = DC_('N'),
        ['S' - 'A'] = DC_('H') | DC_('L') | DC_('S') | DC_('T'),
        ['T' - 'A'] = DC_('M'),
        ['U' - 'A'] = DC_('I') | DC_('L') | DC_('S'),
    };
    #undef DC_
    """
    const uint32_t dc_vr_long[26]
    const uint32_t dc_vr_short[26]

cdef enum:
    UNDEFINED = 0xFFFFFFFF
    TAG_ITEM = 0xFFFEE000
    TAG_ITEM_END = 0xFFFEE00D
    TAG_SEQUENCE_END = 0xFFFEE0DD
    TAG_PIXEL_DATA = 0x7FE00010
    VR_SQ = 0x5351
    VR_UN = 0x554E
    PEEK_LENGTH = 64  # the next header is looked at behind values up to this long

cdef enum VRForm:
    FORM_SHORT = 0   # known: 16-bit length, 8-byte header
    FORM_LONG = 1    # known: two reserved bytes, 32-bit length, 12-byte header
    FORM_ALIEN = 2   # printable but not a VR of the standard: a 16-bit length, or 32 bits when only that can be
    FORM_BINARY = 3  # not text: the element was written without a VR in an explicit data set, or its VR is damaged


ctypedef struct Header:
    uint32_t tag
    uint32_t length     # UNDEFINED when FFFFFFFF
    uint16_t vr         # 0 when the header has none
    uint8_t size        # 8 or 12
    uint8_t form        # VRForm


cdef inline bint are_letters(uint8_t first, uint8_t second) noexcept nogil:
    """Whether a VR may stand there, known or not."""
    return 0x41 <= first <= 0x5A and 0x41 <= second <= 0x5A


cdef inline VRForm vr_form(uint8_t first, uint8_t second) noexcept nogil:
    cdef int i = <int>first - 65
    cdef int j = <int>second - 65
    if 0 <= i < 26 and 0 <= j < 26:
        if (dc_vr_short[i] >> j) & 1:
            return FORM_SHORT
        if (dc_vr_long[i] >> j) & 1:
            return FORM_LONG
    if 32 <= first < 127 and 32 <= second < 127:
        return FORM_ALIEN
    return FORM_BINARY


cdef inline Status view_header(const uint8_t *p, size_t left, bint explicit, bint big, Header *out) noexcept nogil:
    """The header at `p`, of which `left` bytes may be read. Items and delimiters (FFFE,xxxx) never have a VR (7.5)."""
    if left < 8:
        return STATUS_SHORT
    out.tag = load_tag(p, big)
    out.size = 8
    out.form = FORM_SHORT
    if explicit and (out.tag >> 16) != 0xFFFE:
        out.form = <uint8_t>vr_form(p[4], p[5])
        if out.form != FORM_BINARY:
            out.vr = <uint16_t>((<uint32_t>p[4] << 8) | p[5])
            if out.form != FORM_LONG:
                out.length = load_u16(p + 6, big)
                if out.form == FORM_SHORT or out.length or left < 12 or load_tag(p + 8, big) > out.tag:
                    return STATUS_OK  # VRs to come have the long form (6.2): what follows is then no header but a length
            if left < 12:
                return STATUS_SHORT
            out.length = load_u32(p + 8, big)
            out.size = 12
            return STATUS_OK
    out.vr = 0
    out.length = load_u32(p + 4, big)
    return STATUS_OK


cdef inline Status settle_length(const uint8_t *p, uint64_t at_hand, uint64_t left, bint big, Header *h) noexcept nogil:
    """What `view_header` took for an element without VR has a damaged one where its length overruns the level, 16 bits of it
    do not, and either an element or the end follows these or, where that is far, one letter is left of the VR.

    `at_hand` of the `left` bytes of the level may be read; at least 12 of them, or all. STATUS_SHORT when more are wanted.
    """
    cdef uint64_t behind
    cdef uint32_t length, tag
    if h.form != FORM_BINARY or h.length <= left - 8 or h.length == UNDEFINED:
        return STATUS_OK
    length = load_u16(p + 6, big)
    behind = 8 + <uint64_t>length
    if behind > left or (left >= 12 and load_tag(p + 8, big) == TAG_ITEM):  # an overlong sequence stays what it is
        return STATUS_OK
    if behind < left and length <= PEEK_LENGTH:
        if left - behind < 8:
            return STATUS_OK
        if at_hand < behind + 8:
            return STATUS_SHORT
        tag = load_tag(p + behind, big)
        if tag != TAG_ITEM_END and (tag <= h.tag or vr_form(p[behind + 4], p[behind + 5]) >= FORM_ALIEN):
            return STATUS_OK
    elif behind < left and not (65 <= p[4] <= 90 or 65 <= p[5] <= 90):
        return STATUS_OK
    h.form = FORM_ALIEN
    h.vr = <uint16_t>((<uint32_t>p[4] << 8) | p[5])
    h.length = length
    return STATUS_OK
