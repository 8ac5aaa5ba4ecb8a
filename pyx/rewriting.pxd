# Header only. What a re-encoding keeps while it walks: the levels it is in, private creators, faults; and what it writes.
# Without room, as in the pass that only measures, writing counts.

from libc.stdint cimport int32_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy

from bits cimport store_tag, store_u16, store_u32, swap_u16, swap_u32, swap_u64
from cursor cimport FORM_LONG, VR_UN, vr_form
from vr_table cimport Table

cdef enum:
    FAULT_ROWS = 64

ctypedef struct Creator:
    uint32_t tag    # of the creator element, gggg00xx
    int32_t number  # its row in the table, -1 when it is not known

ctypedef struct Frame:
    const uint8_t *stop
    size_t start         # size of the output where its content begins
    uint32_t creators    # rows of creators held by the levels around it
    uint32_t group       # the private group that its creators are of
    int32_t pixel_representation
    int32_t lut_entries
    uint8_t kind
    uint8_t undefined    # as it is read
    uint8_t open         # as it is written
    uint8_t explicit
    uint8_t big

ctypedef struct Fault:
    uint32_t tag
    uint32_t kind
    size_t offset

ctypedef struct State:
    const uint8_t *data
    const uint8_t *at
    Table *table
    Frame *frames
    size_t depth
    size_t frame_count
    Creator *creators
    uint32_t creator_count
    uint32_t creator_room
    const Creator *outer       # creators in effect before the run, by tag
    uint32_t outer_count
    uint8_t *out
    size_t size
    size_t capacity
    bint explicit
    bint big
    uint8_t lengths
    Fault faults[FAULT_ROWS]
    uint32_t fault_count
    uint32_t fault_tag


cdef inline void note(State *s, uint32_t kind, const uint8_t *where, uint32_t tag) noexcept nogil:
    if s.out == NULL and s.fault_count < FAULT_ROWS:
        s.faults[s.fault_count] = Fault(tag, kind, <size_t>(where - s.data))
        s.fault_count += 1


cdef inline bint room(State *s, size_t length) noexcept nogil:
    return s.out != NULL and s.size <= s.capacity and length <= s.capacity - s.size


cdef inline void put(State *s, const uint8_t *data, size_t length) noexcept nogil:
    if room(s, length):
        memcpy(s.out + s.size, data, length)
    s.size += length


cdef inline void put_plain(State *s, uint32_t tag, uint32_t length) noexcept nogil:
    if room(s, 8):
        store_tag(s.out + s.size, tag, s.big)
        store_u32(s.out + s.size + 4, length, s.big)
    s.size += 8


cdef inline void put_header(State *s, uint32_t tag, uint16_t vr, uint32_t length) noexcept nogil:
    cdef uint8_t *p = s.out + s.size
    cdef bint long_form
    if not s.explicit:
        put_plain(s, tag, length)
        return
    long_form = vr_form(<uint8_t>(vr >> 8), <uint8_t>(vr & 0xFF)) == FORM_LONG
    if not long_form and length > 0xFFFE:
        vr = VR_UN
        long_form = True
    if room(s, 12 if long_form else 8):
        store_tag(p, tag, s.big)
        p[4] = <uint8_t>(vr >> 8)
        p[5] = <uint8_t>(vr & 0xFF)
        if long_form:
            p[6] = p[7] = 0
            store_u32(p + 8, length, s.big)
        else:
            store_u16(p + 6, <uint16_t>length, s.big)
    s.size += 12 if long_form else 8


cdef inline void put_swapped(State *s, const uint8_t *data, size_t length, uint32_t word) noexcept nogil:
    cdef size_t at, count = length // word
    cdef uint8_t *out = s.out + s.size
    cdef uint16_t two
    cdef uint32_t four
    cdef uint64_t eight
    if room(s, length):
        if word == 2:
            for at in range(count):
                memcpy(&two, data + 2 * at, 2)
                two = swap_u16(two)
                memcpy(out + 2 * at, &two, 2)
        elif word == 4:
            for at in range(count):
                memcpy(&four, data + 4 * at, 4)
                four = swap_u32(four)
                memcpy(out + 4 * at, &four, 4)
        else:
            for at in range(count):
                memcpy(&eight, data + 8 * at, 8)
                eight = swap_u64(eight)
                memcpy(out + 8 * at, &eight, 8)
        memcpy(out + count * word, data + count * word, length - count * word)
    s.size += length
