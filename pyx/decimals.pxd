# Header only. Value fields of many decimal strings (PS3.5 6.2, DS): where their backslashes are, sixty-four bytes at once,
# and the value of one that is known to end at a place, by the sixteen bytes before it. No branch hangs on how many digits
# there are, which no processor can guess. Two readers of equal results: words of eight bytes, and vectors where they are.

from libc.stdint cimport int64_t, uint8_t, uint64_t

from decimal cimport dc_powers

cdef extern from *:
    """
    #include <stdint.h>
    #include <string.h>
    #if defined(__SSE2__)
    #include <emmintrin.h>
    #endif
    #if defined(__x86_64__) && defined(__GNUC__)
    #include <smmintrin.h>
    #define DC_VECTORS
    #endif

    /* [-]digits[.digits] of at most 16 characters behind the sign, from `at` to `end`, with 16 bytes before `end` that may
       be read. 1 and the nearest double, or 0: look at it singly. A function of its own, for with one of them inlined into
       its loop GCC 12 is half as fast. */
    typedef int (*dc_reader)(const uint8_t *at, const uint8_t *end, double *out);

    /* One bit for each of the 64 bytes that is a backslash. */
    static inline uint64_t dc_backslashes(const uint8_t *at) {
    #if defined(__SSE2__)
        const __m128i wanted = _mm_set1_epi8(0x5C);
        uint64_t bits = 0;
        int i;
        for (i = 0; i < 4; i++) {
            __m128i found = _mm_cmpeq_epi8(_mm_loadu_si128((const __m128i *)(at + 16 * i)), wanted);
            bits |= (uint64_t)(uint32_t)_mm_movemask_epi8(found) << 16 * i;
        }
        return bits;
    #else
        uint64_t bits = 0;
        int i;
        for (i = 0; i < 64; i++) bits |= (uint64_t)(at[i] == 0x5C) << i;
        return bits;
    #endif
    }

    static inline int64_t dc_ones(uint64_t bits) {
        bits -= bits >> 1 & 0x5555555555555555ull;
        bits = (bits & 0x3333333333333333ull) + (bits >> 2 & 0x3333333333333333ull);
        bits = (bits + (bits >> 4)) & 0x0F0F0F0F0F0F0F0Full;
        return (int64_t)(bits * 0x0101010101010101ull >> 56);
    }

    #if defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ && defined(__GNUC__)
    static inline int dc_lowest(uint64_t bits) { return __builtin_ctzll(bits); }

    /* Words hold eight characters XOR '0', the last one highest. A full stop is 1E then: a bit above each, lowest exact. */
    static inline uint64_t dc_stops(uint64_t word) {
        uint64_t other = word ^ 0x1E1E1E1E1E1E1E1Eull;
        return (other - 0x0101010101010101ull) & ~other & 0x8080808080808080ull;
    }
    /* Without the character of the lowest bit of `stops`: what is before it moves up, `before` comes in. */
    static inline uint64_t dc_without(uint64_t word, uint64_t stops, uint64_t before) {
        uint64_t one = (stops & (0 - stops)) >> 7;
        return (word & (0 - (one << 8))) | (word & (one - 1)) << 8 | before;
    }
    static inline uint64_t dc_not_digits(uint64_t word) {
        return (word | (word + 0x0606060606060606ull)) & 0xF0F0F0F0F0F0F0F0ull;
    }
    static inline uint64_t dc_eight(uint64_t word) {
        word = word * 2561 >> 8;
        word = (word & 0x00FF00FF00FF00FFull) * 6553601 >> 16;
        return (word & 0x0000FFFF0000FFFFull) * 42949672960001ull >> 32;
    }

    __attribute__((noinline)) static int dc_read_words(const uint8_t *at, const uint8_t *end, double *out) {
        uint64_t negative, low, high, stops, bits, number;
        int64_t count;
        int decimals;
        double value;
        if (at == end) return 0;
        negative = *at == 0x2D;
        count = end - at - (int64_t)negative;
        if ((uint64_t)(count - 1) >= 16) return 0;
        memcpy(&low, end - 8, 8);
        low ^= 0x3030303030303030ull;
        if (count <= 8) {
            int drop = 64 - 8 * (int)count;
            low = low >> drop << drop;
            stops = dc_stops(low);
            if (stops) low = dc_without(low, stops, 0);
            decimals = 7 - (dc_lowest(stops | 1ull << 63) >> 3);
            if (dc_not_digits(low) || count == (stops != 0)) return 0;
            number = dc_eight(low);
        } else {
            int drop = 128 - 8 * (int)count;
            memcpy(&high, end - 16, 8);
            high = (high ^ 0x3030303030303030ull) >> drop << drop;
            decimals = 0;
            if ((stops = dc_stops(low))) {
                low = dc_without(low, stops, high >> 56);
                high <<= 8;
                decimals = 7 - (dc_lowest(stops) >> 3);
            } else if ((stops = dc_stops(high))) {
                high = dc_without(high, stops, 0);
                decimals = 15 - (dc_lowest(stops) >> 3);
            }
            if (dc_not_digits(low) | dc_not_digits(high)) return 0;
            number = dc_eight(high) * 100000000 + dc_eight(low);
            if (number > 1ull << 53) return 0;  /* one division is exact up to here */
        }
        value = (double)(int64_t)number / dc_powers[decimals];
        memcpy(&bits, &value, 8);
        bits |= negative << 63;
        memcpy(out, &bits, 8);
        return 1;
    }
    #else
    static inline int dc_lowest(uint64_t bits) {
        int at = 0;
        while (!(bits >> at & 1)) at++;
        return at;
    }
    static int dc_read_words(const uint8_t *at, const uint8_t *end, double *out) { return 0; }
    #endif

    #ifdef DC_VECTORS
    static const uint8_t dc_slide[32] = {255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255};
    static const double dc_units[17] = {1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15,
                                        1e0};  /* by the places behind the full stop; 16: there is none */

    __attribute__((noinline, target("sse4.1")))
    static int dc_read_vector(const uint8_t *at, const uint8_t *end, double *out) {
        uint64_t negative, count, halves, number, bits;
        unsigned stops, before, has;
        double value;
        __m128i text, order;
        if (at == end) return 0;
        negative = *at == 0x2D;
        count = (uint64_t)(end - at) - negative;
        if (count - 1 >= 16) return 0;
        text = _mm_sub_epi8(_mm_loadu_si128((const __m128i *)(end - 16)), _mm_set1_epi8(0x30));
        stops = (unsigned)_mm_movemask_epi8(_mm_cmpeq_epi8(text, _mm_set1_epi8((char)0xFE))) >> (16 - count) << (17 - count);
        before = 31 ^ (unsigned)__builtin_clz(stops | 1);  /* bytes up to the last full stop and with it */
        has = before != 0;
        order = _mm_set_epi8(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0);
        order = _mm_add_epi8(order, _mm_loadu_si128((const __m128i *)(dc_slide + 16 - before)));  /* they move up by one */
        order = _mm_or_si128(order, _mm_loadu_si128((const __m128i *)(dc_slide + count - has)));  /* zeros lead the digits */
        text = _mm_shuffle_epi8(text, order);
        order = _mm_subs_epu8(text, _mm_set1_epi8(9));
        if (!_mm_testz_si128(order, order) || count == has) return 0;
        text = _mm_maddubs_epi16(text, _mm_set1_epi16(0x010A));
        text = _mm_madd_epi16(text, _mm_set1_epi32(0x00010064));
        text = _mm_packus_epi32(text, text);
        text = _mm_madd_epi16(text, _mm_set1_epi32(0x00012710));
        halves = (uint64_t)_mm_cvtsi128_si64(text);
        number = (halves & 0xFFFFFFFF) * 100000000 + (halves >> 32);
        if (number > 1ull << 53) return 0;  /* one division is exact up to here */
        value = (double)(int64_t)number / dc_units[16 - before];
        memcpy(&bits, &value, 8);
        bits |= negative << 63;
        memcpy(out, &bits, 8);
        return 1;
    }
    #endif

    static inline dc_reader dc_best_reader(int words) {
    #ifdef DC_VECTORS
        if (!words && __builtin_cpu_supports("sse4.1")) return dc_read_vector;
    #endif
        return dc_read_words;
    }
    """
    uint64_t dc_backslashes(const uint8_t *at) noexcept nogil
    int64_t dc_ones(uint64_t bits) noexcept nogil
    int dc_lowest(uint64_t bits) noexcept nogil
    ctypedef int (*dc_reader)(const uint8_t *at, const uint8_t *end, double *out) noexcept nogil
    dc_reader dc_best_reader(int words) noexcept nogil
