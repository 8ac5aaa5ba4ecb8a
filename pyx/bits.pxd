# Header only. Loads, stores and swaps of unaligned integers in either byte order. Compilers turn the shifts into one
# move (and one swap). The caller has checked the bounds.

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t


cdef inline uint16_t load_u16(const uint8_t *p, bint big) noexcept nogil:
    if big:
        return <uint16_t>((<uint32_t>p[0] << 8) | p[1])
    return <uint16_t>((<uint32_t>p[1] << 8) | p[0])


cdef inline uint32_t load_u32(const uint8_t *p, bint big) noexcept nogil:
    if big:
        return (<uint32_t>p[0] << 24) | (<uint32_t>p[1] << 16) | (<uint32_t>p[2] << 8) | p[3]
    return (<uint32_t>p[3] << 24) | (<uint32_t>p[2] << 16) | (<uint32_t>p[1] << 8) | p[0]


cdef inline uint32_t load_tag(const uint8_t *p, bint big) noexcept nogil:
    """Group and element as ggggeeee (PS3.5 7.1: two 16-bit integers, so no plain 32-bit load in little endian)."""
    return (<uint32_t>load_u16(p, big) << 16) | load_u16(p + 2, big)


cdef inline void store_u16(uint8_t *p, uint16_t value, bint big) noexcept nogil:
    p[0] = <uint8_t>(value >> 8 if big else value & 0xFF)
    p[1] = <uint8_t>(value & 0xFF if big else value >> 8)


cdef inline void store_u32(uint8_t *p, uint32_t value, bint big) noexcept nogil:
    if big:
        store_u16(p, <uint16_t>(value >> 16), True)
        store_u16(p + 2, <uint16_t>(value & 0xFFFF), True)
    else:
        store_u16(p, <uint16_t>(value & 0xFFFF), False)
        store_u16(p + 2, <uint16_t>(value >> 16), False)


cdef inline void store_tag(uint8_t *p, uint32_t tag, bint big) noexcept nogil:
    store_u16(p, <uint16_t>(tag >> 16), big)
    store_u16(p + 2, <uint16_t>(tag & 0xFFFF), big)


cdef inline uint16_t swap_u16(uint16_t value) noexcept nogil:
    return <uint16_t>((value >> 8) | (<uint32_t>value << 8))


cdef inline uint32_t swap_u32(uint32_t value) noexcept nogil:
    return (value >> 24) | ((value >> 8) & 0xFF00) | ((value & 0xFF00) << 8) | (value << 24)


cdef inline uint64_t swap_u64(uint64_t value) noexcept nogil:
    return (<uint64_t>swap_u32(<uint32_t>value) << 32) | swap_u32(<uint32_t>(value >> 32))
