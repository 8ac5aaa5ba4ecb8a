"""Native pixels (PS3.5 8.1.1, PS3.3 C.7.6.3.1) to arrays and back, and colours between YCbCr and RGB, in one pass each.

Byte order, planes, chrominance of every second pixel, bits above Bits Stored and single bits: what takes more than one step
goes by blocks that stay in the nearest cache.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy

from adapt cimport (DC_BIG_ENDIAN, DC_KEEP, DC_SWAP_FIRST, DC_SWAP_LAST, dc_adapt, dc_convert, dc_halve, dc_pack_bits,
                    dc_spread, dc_unpack_bits, dc_unweave_samples, dc_weave_samples)
from planes cimport dc_unweave, dc_weave

# Orders of the bytes of stored values.
LITTLE = 0
BIG = 1
WORDS = 2  # big-endian words of 16 bits: bytes have traded places in pairs, whatever lies in them

# How plainly to work, for tests and for other processors: without the widest vectors, and value by value.
NARROW = 1
SINGLY = 2

cdef enum:
    ORDER_LITTLE = 0
    ORDER_BIG = 1
    ORDER_WORDS = 2
    PLAN_SINGLY = 2
    BLOCK = 4096  # pixels
    PLANES = 4

ctypedef uint8_t *bytes_out
ctypedef const uint8_t *bytes_in

ctypedef struct Plan:
    size_t pixels
    size_t samples
    size_t size      # bytes of a value; 0 for single bits
    int order
    bint planar
    bint halved      # Y1 Y2 Cb Cr
    uint64_t mask
    uint64_t sign
    size_t bit
    int plain


cdef size_t _stored_length(const Plan *plan) noexcept nogil:
    """Bytes from the one that bit 0 is in to the end of the frame; whole words where the order is one of words."""
    cdef size_t values = plan.pixels * plan.samples, length
    if plan.size == 0:
        length = (plan.bit + values + 7) // 8
    else:
        length = plan.bit // 8 + (values // 3 * 2 if plan.halved else values) * plan.size
    if plan.order == ORDER_WORDS and plan.size != 2:
        length += length & 1
    return length


cdef inline size_t _place(const Plan *plan, size_t pixel, size_t sample) noexcept nogil:
    """Which of the stored values it is."""
    if plan.halved:
        return pixel // 2 * 4 + (pixel & 1 if sample == 0 else sample + 1)
    if plan.planar:
        return sample * plan.pixels + pixel
    return pixel * plan.samples + sample


cdef inline size_t _byte(const Plan *plan, size_t value, size_t i) noexcept nogil:
    """Where byte i of that value is stored, the least significant one being byte 0."""
    cdef size_t at = plan.bit // 8 + value * plan.size
    if plan.order == ORDER_WORDS:
        return (at + i) ^ 1
    return at + (plan.size - 1 - i if plan.order == ORDER_BIG else i)


cdef void _decode_singly(const Plan *plan, const uint8_t *data, uint8_t *out) noexcept nogil:
    cdef size_t pixel, sample, i, value
    cdef uint64_t number
    cdef uint16_t half
    cdef uint32_t word
    for pixel in range(plan.pixels):
        for sample in range(plan.samples):
            value = _place(plan, pixel, sample)
            number = 0
            for i in range(plan.size):
                number |= <uint64_t>data[_byte(plan, value, i)] << 8 * i
            number = ((number & plan.mask) ^ plan.sign) - plan.sign
            if plan.size == 1:
                out[0] = <uint8_t>number
            elif plan.size == 2:
                half = <uint16_t>number
                memcpy(out, &half, 2)
            elif plan.size == 4:
                word = <uint32_t>number
                memcpy(out, &word, 4)
            else:
                memcpy(out, &number, 8)
            out += plan.size


cdef void _encode_singly(const Plan *plan, const uint8_t *frame, uint8_t *out) noexcept nogil:
    cdef size_t pixel, sample, i, value
    cdef uint64_t number
    cdef uint16_t half
    cdef uint32_t word
    for pixel in range(plan.pixels):
        for sample in range(plan.samples):
            value = _place(plan, pixel, sample)
            if plan.size == 1:
                number = frame[0]
                if plan.halved and sample:
                    number = (frame[0] + frame[-3 if pixel & 1 else 3] + 1) >> 1
            elif plan.size == 2:
                memcpy(&half, frame, 2)
                number = half
            elif plan.size == 4:
                memcpy(&word, frame, 4)
                number = word
            else:
                memcpy(&number, frame, 8)
            number = ((number & plan.mask) ^ plan.sign) - plan.sign
            for i in range(plan.size):
                out[_byte(plan, value, i)] = <uint8_t>(number >> 8 * i)
            frame += plan.size


cdef inline bint _is_whole(const Plan *plan) noexcept nogil:
    """All bits are used."""
    return plan.mask == ~<uint64_t>0 >> (64 - 8 * plan.size)


cdef int _decode(const Plan *plan, const uint8_t *data, uint8_t *out) noexcept nogil:
    """0, or -1 without memory."""
    cdef size_t size = plan.size, k = plan.samples, at = 0, want, j, length
    cdef int swap = DC_SWAP_FIRST if plan.order == ORDER_BIG and size > 1 else DC_KEEP
    cdef bytes_in[PLANES] planes
    cdef uint8_t *turned
    cdef Plan little
    if size == 0:
        dc_unpack_bits(data, plan.bit, plan.order == ORDER_WORDS, plan.pixels * k, out)
        return 0
    if plan.plain == PLAN_SINGLY or DC_BIG_ENDIAN:
        _decode_singly(plan, data, out)
        return 0
    if plan.order == ORDER_WORDS:
        little = plan[0]
        little.order = ORDER_LITTLE
        if size == 2:
            little.order = ORDER_BIG
            return _decode(&little, data, out)
        length = _stored_length(plan)
        turned = <uint8_t *>malloc(length)
        if turned == NULL:
            return -1
        dc_adapt(data, turned, length // 2, 2, DC_SWAP_FIRST, 0xFFFF, 0, plan.plain)
        _decode(&little, turned, out)
        free(turned)
        return 0
    data += plan.bit // 8
    if not (plan.planar or plan.halved):
        if swap == DC_KEEP and _is_whole(plan):
            memcpy(out, data, plan.pixels * k * size)
        else:
            dc_adapt(data, out, plan.pixels * k, size, swap, plan.mask, plan.sign, plan.plain)
        return 0
    while at < plan.pixels:
        want = min(<size_t>BLOCK, plan.pixels - at)
        if plan.halved:
            dc_spread(data + 2 * at * size, want // 2, size, out, plan.plain)
        elif size == 1:
            for j in range(k):
                planes[j] = data + j * plan.pixels + at
            dc_weave(planes, k, want, out, plan.plain)
        else:
            dc_weave_samples(data + at * size, plan.pixels * size, k, size, want, out)
        if swap != DC_KEEP or not _is_whole(plan):
            dc_adapt(out, out, want * k, size, swap, plan.mask, plan.sign, plan.plain)
        at += want
        out += want * k * size
    return 0


cdef void _encode(const Plan *plan, const uint8_t *frame, uint8_t *out) noexcept nogil:
    cdef size_t size = plan.size, k = plan.samples, at = 0, want, j, length
    cdef int swap = DC_SWAP_LAST if plan.order == ORDER_BIG and size > 1 else DC_KEEP
    cdef bytes_out[PLANES] planes
    cdef Plan little
    if size == 0:
        length = (plan.bit + plan.pixels * k + 7) // 8
        if plan.order == ORDER_WORDS and length & 1:
            out[length - 1] = 0  # the last word is half empty, and this is where its other half lies
        dc_pack_bits(frame, plan.bit, plan.order == ORDER_WORDS, plan.pixels * k, out)
        return
    length = _stored_length(plan)
    if plan.order == ORDER_WORDS and size == 1:
        out[length - 2] = out[length - 1] = 0
    if plan.plain == PLAN_SINGLY or DC_BIG_ENDIAN:
        _encode_singly(plan, frame, out)
        return
    if plan.order == ORDER_WORDS:
        little = plan[0]
        if size == 2:
            little.order = ORDER_BIG
            _encode(&little, frame, out)
            return
        little.order = ORDER_LITTLE
        _encode(&little, frame, out)
        dc_adapt(out, out, length // 2, 2, DC_SWAP_FIRST, 0xFFFF, 0, plan.plain)
        return
    out += plan.bit // 8
    if not (plan.planar or plan.halved):
        if swap == DC_KEEP and _is_whole(plan):
            memcpy(out, frame, plan.pixels * k * size)
        else:
            dc_adapt(frame, out, plan.pixels * k, size, swap, plan.mask, plan.sign, plan.plain)
        return
    while at < plan.pixels:
        want = min(<size_t>BLOCK, plan.pixels - at)
        if plan.halved:
            dc_halve(frame + 3 * at, want // 2, out + 2 * at)
            if not _is_whole(plan):
                dc_adapt(out + 2 * at, out + 2 * at, 2 * want, 1, DC_KEEP, plan.mask, plan.sign, plan.plain)
        else:
            for j in range(k):
                planes[j] = out + (j * plan.pixels + at) * size
            if size == 1:
                dc_unweave(frame + at * k, k, want, planes, plan.plain)
            else:
                dc_unweave_samples(frame + at * k * size, plan.pixels * size, k, size, want, planes[0])
            if swap != DC_KEEP or not _is_whole(plan):
                for j in range(k):
                    dc_adapt(planes[j], planes[j], want, size, swap, plan.mask, plan.sign, plan.plain)
        at += want


cdef int _plan(Plan *plan, Py_ssize_t values, Py_ssize_t samples, Py_ssize_t size, Py_ssize_t stored, bint is_signed,
               int order, bint planar, bint halved, Py_ssize_t bit, int plain) except -1:
    """``values``: bytes of the array."""
    if not (1 <= samples <= PLANES and size in (0, 1, 2, 4, 8)):
        raise ValueError(f"{samples} samples of {size} bytes")
    if values % (samples * max(size, 1) * (2 if halved else 1)):
        raise ValueError(f"{values} bytes are no whole number of pixels")
    if not (0 <= order <= 2 and 0 <= bit <= 15 and (size == 0 or bit % 8 == 0)):
        raise ValueError(f"byte order {order}, bit {bit}")
    if (size and not 1 <= stored <= 8 * size) or (halved and (samples != 3 or planar or size == 0)):
        raise ValueError(f"{stored} bits of {size} bytes; halved chrominance has three samples by pixel")
    plan.pixels = values // (samples * max(size, 1))
    plan.samples = samples
    plan.size = size
    plan.order = order
    plan.planar = planar and samples > 1 and size > 0
    plan.halved = halved
    plan.mask = ~<uint64_t>0 >> (64 - stored) if size else 1
    plan.sign = <uint64_t>1 << (stored - 1) if is_signed and size else 0
    plan.bit = bit
    plan.plain = plain
    return 0


def decode(const uint8_t[::1] data not None, uint8_t[::1] out not None, Py_ssize_t samples, Py_ssize_t size,
           Py_ssize_t stored, bint is_signed=False, int order=0, bint planar=False, bint halved=False,
           Py_ssize_t bit=0, int plain=0) -> None:
    """A frame that begins ``bit`` bits (0 to 15) behind the start of ``data`` into all of ``out``, one byte a single bit.

    ``size``: bytes of a value, 0 for single bits; ``stored``: bits used of it, right-aligned.
    """
    cdef Plan plan
    cdef int status
    _plan(&plan, out.shape[0], samples, size, stored, is_signed, order, planar, halved, bit, plain)
    if not plan.pixels:
        return
    if _stored_length(&plan) > <size_t>data.shape[0]:
        raise ValueError(f"{data.shape[0]} bytes are no frame of {_stored_length(&plan)}")
    with nogil:
        status = _decode(&plan, &data[0], &out[0])
    if status:
        raise MemoryError


def encode(const uint8_t[::1] frame not None, uint8_t[::1] out, Py_ssize_t samples, Py_ssize_t size, Py_ssize_t stored,
           bint is_signed=False, int order=0, bint planar=False, bint halved=False, Py_ssize_t bit=0,
           int plain=0) -> bytes | None:
    """All of ``frame`` into ``out``, ``bit`` bits behind its start, or into new bytes; unused bits become 0, or the sign.

    What is before the frame stays as it is. Of single bits, any value but 0 is 1. Halved chrominance, of 8 bits only, is
    the mean of two pixels.
    """
    cdef Plan plan
    cdef Py_ssize_t length
    cdef uint8_t *to = NULL
    cdef bytes made = None
    _plan(&plan, frame.shape[0], samples, size, stored, is_signed, order, planar, halved, bit, plain)
    length = _stored_length(&plan)
    if halved and size > 1:
        raise ValueError("chrominance is halved in 8 bits only")
    if bit and (out is None or (size and order == ORDER_WORDS)):
        raise ValueError("new bytes, and frames of words, begin with the frame")
    if out is None:
        made = PyBytes_FromStringAndSize(NULL, length)
        to = <uint8_t *>PyBytes_AS_STRING(made)
    elif length > out.shape[0]:
        raise ValueError(f"{out.shape[0]} bytes are no room for {length}")
    elif length:
        to = &out[0]
    if plan.pixels:
        with nogil:
            _encode(&plan, &frame[0], to)
    return made


cdef void _convert(uint8_t *pixels, size_t count, bint to_rgb, int plain) noexcept nogil:
    cdef uint8_t[3 * BLOCK] buffer
    cdef bytes_out[3] planes
    cdef size_t want
    planes[0], planes[1], planes[2] = buffer, buffer + BLOCK, buffer + 2 * BLOCK
    while count:
        want = min(<size_t>BLOCK, count)
        dc_unweave(pixels, 3, want, planes, plain)
        dc_convert(planes, want, to_rgb, plain)
        dc_weave(<const uint8_t *const *>planes, 3, want, pixels, plain)
        pixels += 3 * want
        count -= want


cdef int _convert_all(uint8_t[::1] pixels, bint to_rgb, int plain) except -1:
    if pixels.shape[0] % 3:
        raise ValueError(f"{pixels.shape[0]} bytes are no whole number of pixels of three")
    if pixels.shape[0]:
        with nogil:
            _convert(&pixels[0], pixels.shape[0] // 3, to_rgb, plain)
    return 0


def ybr_to_rgb(uint8_t[::1] pixels not None, int plain=0) -> None:
    """YBR_FULL of 8 bits, colour by pixel, into RGB, in place (PS3.3 C.7.6.3.1.2); rounded, halves up, and clipped."""
    _convert_all(pixels, True, plain)


def rgb_to_ybr(uint8_t[::1] pixels not None, int plain=0) -> None:
    """The other way."""
    _convert_all(pixels, False, plain)
