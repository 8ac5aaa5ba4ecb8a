# Header only. The VRs of the dictionaries by hashed keys, as reencode.pyx looks them up: a tag; a tag under the mask of
# a repeating group; a private tag without its block under the number of its creator. A key has its highest bit set.

from libc.stdint cimport int32_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcmp

cdef enum:
    MASKS = 8  # shapes of repeating groups


ctypedef struct Table:
    uint64_t *keys
    uint16_t *vrs
    uint64_t limit      # slots - 1
    uint32_t masks[MASKS]
    uint32_t mask_count
    char *names         # all creators, one after the other
    uint32_t *name_stops
    int32_t *name_slots  # open addressing, -1 empty
    uint32_t name_limit

cdef inline uint64_t spread(uint64_t key) noexcept nogil:
    return (key * <uint64_t>0x9E3779B97F4A7C15) >> 40


cdef inline uint16_t known(const Table *table, uint64_t key) noexcept nogil:
    cdef uint64_t slot = spread(key) & table.limit
    while table.keys[slot]:
        if table.keys[slot] == (key | <uint64_t>1 << 63):
            return table.vrs[slot]
        slot = (slot + 1) & table.limit
    return 0


cdef inline uint32_t name_hash(const uint8_t *name, size_t length) noexcept nogil:
    cdef uint32_t value = 2166136261u
    cdef size_t at
    for at in range(length):
        value = (value ^ name[at]) * 16777619u
    return value


cdef inline int32_t creator_number(const Table *table, const uint8_t *name, size_t length) noexcept nogil:
    cdef uint32_t slot, start
    cdef int32_t number
    while length and (name[length - 1] == 0x20 or name[length - 1] == 0):
        length -= 1
    slot = name_hash(name, length) & table.name_limit
    while table.name_slots[slot] >= 0:
        number = table.name_slots[slot]
        start = table.name_stops[number - 1] if number else 0
        if table.name_stops[number] - start == length and memcmp(table.names + start, name, length) == 0:
            return number
        slot = (slot + 1) & table.name_limit
    return -1
