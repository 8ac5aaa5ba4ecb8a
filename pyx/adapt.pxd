# Header only. Stored values to numbers and back (PS3.5 8.1.1): byte order, bits above Bits Stored, planes of wide samples,
# chrominance of every second pixel, single bits, YCbCr and RGB. Loops so plain that compilers make vectors of them; built
# twice where wider vectors may be had at run time. Little-endian processors only: pixels.pyx has a way for the others.

from libc.stdint cimport uint8_t, uint64_t

cdef extern from *:
    """
    #include <stddef.h>
    #include <stdint.h>
    #include <string.h>
    #if defined(__x86_64__) && defined(__GNUC__)
    #include <tmmintrin.h>
    #define DC_WIDE
    #endif
    #if defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    #define DC_BIG_ENDIAN 1
    #else
    #define DC_BIG_ENDIAN 0
    #endif

    enum { DC_KEEP = 0, DC_SWAP_FIRST = 1, DC_SWAP_LAST = 2 };

    static inline uint8_t dc_swapped_1(uint8_t v) { return v; }
    static inline uint16_t dc_swapped_2(uint16_t v) { return (uint16_t)(v >> 8 | v << 8); }
    static inline uint32_t dc_swapped_4(uint32_t v) {
        return v >> 24 | (v >> 8 & 0xFF00u) | (v << 8 & 0xFF0000u) | v << 24;
    }
    static inline uint64_t dc_swapped_8(uint64_t v) {
        return (uint64_t)dc_swapped_4((uint32_t)v) << 32 | dc_swapped_4((uint32_t)(v >> 32));
    }

    /* ((v & mask) ^ sign) - sign: unused bits become zero, or the sign where `sign` is the highest bit that is used. */
    #define DC_ADAPT_ONE(TYPE, SIZE, FIRST, LAST)                                                                          \\
        for (i = 0; i < count; i++) {                                                                                      \\
            TYPE v;                                                                                                        \\
            memcpy(&v, in + SIZE * i, SIZE);                                                                               \\
            v = FIRST(v);                                                                                                  \\
            v = (TYPE)(((v & (TYPE)mask) ^ (TYPE)sign) - (TYPE)sign);                                                      \\
            v = LAST(v);                                                                                                   \\
            memcpy(out + SIZE * i, &v, SIZE);                                                                              \\
        }
    #define DC_ADAPT_SIZE(TYPE, SIZE)                                                                                      \\
        if (swap == DC_SWAP_FIRST) DC_ADAPT_ONE(TYPE, SIZE, dc_swapped_##SIZE, )                                           \\
        else if (swap == DC_SWAP_LAST) DC_ADAPT_ONE(TYPE, SIZE, , dc_swapped_##SIZE)                                       \\
        else DC_ADAPT_ONE(TYPE, SIZE, , )
    #define DC_ADAPT_ALL(IN, OUT)                                                                                          \\
        size_t i;                                                                                                          \\
        switch (size) {                                                                                                    \\
            case 1: DC_ADAPT_SIZE(uint8_t, 1) break;                                                                       \\
            case 2: DC_ADAPT_SIZE(uint16_t, 2) break;                                                                      \\
            case 4: DC_ADAPT_SIZE(uint32_t, 4) break;                                                                      \\
            default: DC_ADAPT_SIZE(uint64_t, 8) break;                                                                     \\
        }
    /* `in` and `out` apart; and the same place, which a compiler must know to make vectors of it */
    #define DC_ADAPTERS(NAME, TARGET)                                                                                      \\
        TARGET static void dc_move_##NAME(const uint8_t *__restrict in, uint8_t *__restrict out, size_t count, size_t size,    \\
                                          int swap, uint64_t mask, uint64_t sign) { DC_ADAPT_ALL(in, out) }                \\
        TARGET static void dc_stay_##NAME(uint8_t *out, size_t count, size_t size, int swap, uint64_t mask,                \\
                                          uint64_t sign) {                                                                 \\
            uint8_t *const in = out;                                                                                       \\
            DC_ADAPT_ALL(in, out)                                                                                          \\
        }
    DC_ADAPTERS(any, )
    #ifdef DC_WIDE
    DC_ADAPTERS(wide, __attribute__((target("avx2"))))
    #endif
    #undef DC_ADAPTERS
    #undef DC_ADAPT_ALL
    #undef DC_ADAPT_SIZE
    #undef DC_ADAPT_ONE

    static inline int dc_is_wide(int plain) {
    #ifdef DC_WIDE
        return !plain && __builtin_cpu_supports("avx2");
    #else
        (void)plain;
        return 0;
    #endif
    }

    static inline void dc_adapt(const uint8_t *in, uint8_t *out, size_t count, size_t size, int swap, uint64_t mask,
                                uint64_t sign, int plain) {
    #ifdef DC_WIDE
        if (dc_is_wide(plain)) {
            if (in == out) dc_stay_wide(out, count, size, swap, mask, sign);
            else dc_move_wide(in, out, count, size, swap, mask, sign);
            return;
        }
    #endif
        (void)plain;
        if (in == out) dc_stay_any(out, count, size, swap, mask, sign);
        else dc_move_any(in, out, count, size, swap, mask, sign);
    }

    /* -- planes of samples of 2, 4 or 8 bytes --------------------------------------------------------------------------- */
    #define DC_PLANES(SIZE, FROM, TO)                                                                                      \\
        for (i = 0; i < count; i++)                                                                                        \\
            for (j = 0; j < k; j++) memcpy(TO, FROM, SIZE);
    #define DC_BY_SIZE(FROM, TO)                                                                                           \\
        size_t i, j;                                                                                                       \\
        if (size == 2) { if (k == 3) { enum { k = 3 }; DC_PLANES(2, FROM, TO) } else { DC_PLANES(2, FROM, TO) } }          \\
        else if (size == 4) { DC_PLANES(4, FROM, TO) }                                                                     \\
        else { DC_PLANES(8, FROM, TO) }
    static inline void dc_weave_samples(const uint8_t *in, size_t plane, size_t k, size_t size, size_t count, uint8_t *out) {
        DC_BY_SIZE(in + j * plane + i * size, out + (i * k + j) * size)
    }
    static inline void dc_unweave_samples(const uint8_t *in, size_t plane, size_t k, size_t size, size_t count, uint8_t *out) {
        DC_BY_SIZE(in + (i * k + j) * size, out + j * plane + i * size)
    }
    #undef DC_BY_SIZE
    #undef DC_PLANES

    /* -- Y1 Y2 Cb Cr for two pixels (PS3.3 C.7.6.3.1.2) ------------------------------------------------------------------ */
    static inline void dc_spread_from(const uint8_t *in, size_t i, size_t pairs, size_t size, uint8_t *out) {
        for (; i < pairs; i++) {
            const uint8_t *y = in + 4 * size * i;
            uint8_t *to = out + 6 * size * i;
            memcpy(to, y, size);
            memcpy(to + size, y + 2 * size, 2 * size);
            memcpy(to + 3 * size, y + size, size);
            memcpy(to + 4 * size, y + 2 * size, 2 * size);
        }
    }
    #ifdef DC_WIDE
    __attribute__((target("ssse3"))) static void dc_spread_bytes(const uint8_t *in, size_t pairs, uint8_t *out) {
        const __m128i low = _mm_setr_epi8(0, 2, 3, 1, 2, 3, 4, 6, 7, 5, 6, 7, 8, 10, 11, 9);
        const __m128i high = _mm_setr_epi8(10, 11, 12, 14, 15, 13, 14, 15, -1, -1, -1, -1, -1, -1, -1, -1);
        size_t i = 0;
        for (; i + 4 <= pairs; i += 4) {
            __m128i v = _mm_loadu_si128((const __m128i *)(in + 4 * i));
            _mm_storeu_si128((__m128i *)(out + 6 * i), _mm_shuffle_epi8(v, low));
            _mm_storel_epi64((__m128i *)(out + 6 * i + 16), _mm_shuffle_epi8(v, high));
        }
        dc_spread_from(in, i, pairs, 1, out);
    }
    #endif
    static inline void dc_spread(const uint8_t *in, size_t pairs, size_t size, uint8_t *out, int plain) {
    #ifdef DC_WIDE
        if (size == 1 && !plain && __builtin_cpu_supports("ssse3")) { dc_spread_bytes(in, pairs, out); return; }
    #endif
        (void)plain;
        if (size == 1) dc_spread_from(in, 0, pairs, 1, out);
        else if (size == 2) dc_spread_from(in, 0, pairs, 2, out);
        else dc_spread_from(in, 0, pairs, size, out);
    }
    /* the way back, 8 bits: chrominance is the mean of both pixels, halves going up */
    static inline void dc_halve(const uint8_t *in, size_t pairs, uint8_t *out) {
        size_t i;
        for (i = 0; i < pairs; i++) {
            out[4 * i] = in[6 * i];
            out[4 * i + 1] = in[6 * i + 3];
            out[4 * i + 2] = (uint8_t)((in[6 * i + 1] + in[6 * i + 4] + 1) >> 1);
            out[4 * i + 3] = (uint8_t)((in[6 * i + 2] + in[6 * i + 5] + 1) >> 1);
        }
    }

    /* -- single bits, the first in the lowest place; `flip` is 1 where bytes have traded places in pairs ------------------ */
    static inline void dc_unpack_bits(const uint8_t *in, size_t bit, size_t flip, size_t count, uint8_t *out) {
        size_t i, at;
        for (i = 0; i + 8 <= count; i += 8) {
            uint64_t byte, v;
            at = (bit + i) / 8;
            byte = in[at ^ flip];
            if (bit & 7) byte = (byte | (uint64_t)in[(at + 1) ^ flip] << 8) >> (bit & 7) & 0xFF;
            v = byte * 0x0101010101010101ull & 0x8040201008040201ull;
            v = (v + 0x7F7F7F7F7F7F7F7Full) >> 7 & 0x0101010101010101ull;
            memcpy(out + i, &v, 8);
        }
        for (; i < count; i++) out[i] = in[((bit + i) / 8) ^ flip] >> ((bit + i) & 7) & 1;
    }
    /* Values other than 0 are 1. Bits before `bit` of the first byte stay as they are, bits behind the last become 0. */
    static inline void dc_pack_bits(const uint8_t *in, size_t bit, size_t flip, size_t count, uint8_t *out) {
        size_t i = 0, at = bit / 8;
        uint64_t v, left = bit & 7 ? out[at ^ flip] & ((1u << (bit & 7)) - 1) : 0;
        bit &= 7;
        for (; i + 8 <= count; i += 8, at++) {
            memcpy(&v, in + i, 8);
            v = (((v & 0x7F7F7F7F7F7F7F7Full) + 0x7F7F7F7F7F7F7F7Full) | v) >> 7 & 0x0101010101010101ull;
            left |= v * 0x0102040810204080ull >> 56 << bit;
            out[at ^ flip] = (uint8_t)left;
            left >>= 8;
        }
        for (; i < count; i++) left |= (uint64_t)(in[i] != 0) << (bit + (i & 7));
        for (count = bit + (count & 7); count; count -= count < 8 ? count : 8, left >>= 8) out[at++ ^ flip] = (uint8_t)left;
    }

    /* -- YCbCr of full range (PS3.3 C.7.6.3.1.2), 8 bits, planes apart; rounded as exact fractions are: halves up ----------- */
    #define DC_CLAMP(v) (uint8_t)((v) < 0 ? 0 : (v) > 255 ? 255 : (v))
    #define DC_COLOURS(NAME, TARGET)                                                                                       \\
        TARGET static void dc_to_rgb_##NAME(uint8_t *__restrict a, uint8_t *__restrict b, uint8_t *__restrict c, size_t count) { \\
            size_t i;                                                                                                      \\
            for (i = 0; i < count; i++) {                                                                                  \\
                int32_t y = a[i], u = b[i] - 128, v = c[i] - 128;                                                          \\
                int32_t red = y + ((DC_RED_V * v + DC_HALF_UP) >> DC_SHIFT);                                                  \\
                int32_t green = y + ((DC_HALF_GREEN - DC_GREEN_U * u - DC_GREEN_V * v) >> DC_SHIFT);                             \\
                int32_t blue = y + ((DC_BLUE_U * u + DC_HALF_UP) >> DC_SHIFT);                                                \\
                a[i] = DC_CLAMP(red);                                                                                      \\
                b[i] = DC_CLAMP(green);                                                                                    \\
                c[i] = DC_CLAMP(blue);                                                                                     \\
            }                                                                                                              \\
        }                                                                                                                  \\
        TARGET static void dc_to_ybr_##NAME(uint8_t *__restrict a, uint8_t *__restrict b, uint8_t *__restrict c, size_t count) { \\
            size_t i;                                                                                                      \\
            for (i = 0; i < count; i++) {                                                                                  \\
                int32_t red = a[i], green = b[i], blue = c[i];                                                             \\
                int32_t y = (DC_Y_R * red + DC_Y_G * green + DC_Y_B * blue + DC_HALF_LUMA) >> DC_SHIFT;                         \\
                int32_t u = 128 + ((DC_CHROMA * blue - DC_U_R * red - DC_U_G * green + DC_HALF) >> DC_SHIFT);              \\
                int32_t v = 128 + ((DC_CHROMA * red - DC_V_G * green - DC_V_B * blue + DC_HALF) >> DC_SHIFT);              \\
                a[i] = (uint8_t)y;                                                                                         \\
                b[i] = DC_CLAMP(u);                                                                                        \\
                c[i] = DC_CLAMP(v);                                                                                        \\
            }                                                                                                              \\
        }
    enum {
        DC_SHIFT = 20,
        DC_HALF = 1 << 19,
        DC_HALF_UP = DC_HALF + 60, DC_HALF_GREEN = DC_HALF + 14, DC_HALF_LUMA = DC_HALF + 400,  /* so that halves do go up */
        DC_RED_V = 1470104,    /* 1.402 */
        DC_GREEN_U = 360854,   /* 0.114 x 1.772 / 0.587 */
        DC_GREEN_V = 748827,   /* 0.299 x 1.402 / 0.587 */
        DC_BLUE_U = 1858077,   /* 1.772 */
        DC_Y_R = 313524, DC_Y_G = 615514, DC_Y_B = 119538,  /* 0.299, 0.587, 0.114 */
        DC_CHROMA = 524288,    /* 0.5 */
        DC_U_R = 176932, DC_U_G = 347356,  /* 0.299 / 1.772, 0.587 / 1.772 */
        DC_V_G = 439026, DC_V_B = 85262    /* 0.587 / 1.402, 0.114 / 1.402 */
    };
    DC_COLOURS(any, )
    #ifdef DC_WIDE
    DC_COLOURS(wide, __attribute__((target("avx2"))))
    #endif
    #undef DC_COLOURS
    #undef DC_CLAMP

    static inline void dc_convert(uint8_t *const *planes, size_t count, int to_rgb, int plain) {
    #ifdef DC_WIDE
        if (dc_is_wide(plain)) {
            if (to_rgb) dc_to_rgb_wide(planes[0], planes[1], planes[2], count);
            else dc_to_ybr_wide(planes[0], planes[1], planes[2], count);
            return;
        }
    #endif
        (void)plain;
        if (to_rgb) dc_to_rgb_any(planes[0], planes[1], planes[2], count);
        else dc_to_ybr_any(planes[0], planes[1], planes[2], count);
    }
    """
    bint DC_BIG_ENDIAN
    enum:
        DC_KEEP
        DC_SWAP_FIRST
        DC_SWAP_LAST
    void dc_adapt(const uint8_t *given, uint8_t *out, size_t count, size_t size, int swap, uint64_t mask, uint64_t sign,
                  int plain) noexcept nogil
    void dc_weave_samples(const uint8_t *given, size_t plane, size_t k, size_t size, size_t count, uint8_t *out) noexcept nogil
    void dc_unweave_samples(const uint8_t *given, size_t plane, size_t k, size_t size, size_t count, uint8_t *out) noexcept nogil
    void dc_spread(const uint8_t *given, size_t pairs, size_t size, uint8_t *out, int plain) noexcept nogil
    void dc_halve(const uint8_t *given, size_t pairs, uint8_t *out) noexcept nogil
    void dc_unpack_bits(const uint8_t *given, size_t bit, size_t flip, size_t count, uint8_t *out) noexcept nogil
    void dc_pack_bits(const uint8_t *given, size_t bit, size_t flip, size_t count, uint8_t *out) noexcept nogil
    void dc_convert(uint8_t *const *planes, size_t count, int to_rgb, int plain) noexcept nogil
