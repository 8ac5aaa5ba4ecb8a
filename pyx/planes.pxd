# Header only. Bytes of several planes into pixels and back: byte j of each pixel is one of plane j. Two, three and four
# planes, which is nearly all that images have, go sixteen pixels at a time where the processor can; the rest byte by byte.

from libc.stdint cimport uint8_t

cdef extern from *:
    """
    #include <stddef.h>
    #include <stdint.h>
    #include <string.h>
    #if defined(__SSE2__)
    #include <emmintrin.h>
    #endif
    #if defined(__x86_64__) && defined(__GNUC__)
    #include <tmmintrin.h>
    #define DC_SHUFFLES
    #endif

    typedef void (*dc_weaver)(const uint8_t *const *planes, size_t count, uint8_t *out);
    typedef void (*dc_unweaver)(const uint8_t *pixels, size_t count, uint8_t *const *planes);

    /* -- any number of planes, from pixel `i` on ---------------------------------------------------------------------- */
    static inline void dc_weave_from(const uint8_t *const *planes, size_t k, size_t i, size_t count, uint8_t *out) {
        size_t j, at;
        for (j = 0; j < k; j++) {
            const uint8_t *plane = planes[j];
            uint8_t *to = out + j;
            for (at = i; at < count; at++) to[at * k] = plane[at];
        }
    }
    static inline void dc_unweave_from(const uint8_t *pixels, size_t k, size_t i, size_t count, uint8_t *const *planes) {
        size_t j, at;
        for (j = 0; j < k; j++) {
            const uint8_t *from = pixels + j;
            uint8_t *plane = planes[j];
            for (at = i; at < count; at++) plane[at] = from[at * k];
        }
    }

    /* -- two and four ------------------------------------------------------------------------------------------------ */
    static void dc_weave_2(const uint8_t *const *planes, size_t count, uint8_t *out) {
        size_t i = 0;
    #if defined(__SSE2__)
        for (; i + 16 <= count; i += 16) {
            __m128i a = _mm_loadu_si128((const __m128i *)(planes[0] + i)), b = _mm_loadu_si128((const __m128i *)(planes[1] + i));
            _mm_storeu_si128((__m128i *)(out + 2 * i), _mm_unpacklo_epi8(a, b));
            _mm_storeu_si128((__m128i *)(out + 2 * i + 16), _mm_unpackhi_epi8(a, b));
        }
    #endif
        dc_weave_from(planes, 2, i, count, out);
    }
    static void dc_unweave_2(const uint8_t *pixels, size_t count, uint8_t *const *planes) {
        size_t i = 0;
    #if defined(__SSE2__)
        const __m128i low = _mm_set1_epi16(0xFF);
        for (; i + 16 <= count; i += 16) {
            __m128i a = _mm_loadu_si128((const __m128i *)(pixels + 2 * i));
            __m128i b = _mm_loadu_si128((const __m128i *)(pixels + 2 * i + 16));
            _mm_storeu_si128((__m128i *)(planes[0] + i), _mm_packus_epi16(_mm_and_si128(a, low), _mm_and_si128(b, low)));
            _mm_storeu_si128((__m128i *)(planes[1] + i), _mm_packus_epi16(_mm_srli_epi16(a, 8), _mm_srli_epi16(b, 8)));
        }
    #endif
        dc_unweave_from(pixels, 2, i, count, planes);
    }
    static void dc_weave_4(const uint8_t *const *planes, size_t count, uint8_t *out) {
        size_t i = 0;
    #if defined(__SSE2__)
        for (; i + 16 <= count; i += 16) {
            __m128i a = _mm_loadu_si128((const __m128i *)(planes[0] + i)), b = _mm_loadu_si128((const __m128i *)(planes[1] + i));
            __m128i c = _mm_loadu_si128((const __m128i *)(planes[2] + i)), d = _mm_loadu_si128((const __m128i *)(planes[3] + i));
            __m128i ab = _mm_unpacklo_epi8(a, b), cd = _mm_unpacklo_epi8(c, d);
            __m128i *to = (__m128i *)(out + 4 * i);
            _mm_storeu_si128(to, _mm_unpacklo_epi16(ab, cd));
            _mm_storeu_si128(to + 1, _mm_unpackhi_epi16(ab, cd));
            ab = _mm_unpackhi_epi8(a, b);
            cd = _mm_unpackhi_epi8(c, d);
            _mm_storeu_si128(to + 2, _mm_unpacklo_epi16(ab, cd));
            _mm_storeu_si128(to + 3, _mm_unpackhi_epi16(ab, cd));
        }
    #endif
        dc_weave_from(planes, 4, i, count, out);
    }
    static void dc_unweave_4(const uint8_t *pixels, size_t count, uint8_t *const *planes) {
        size_t i = 0;
    #if defined(__SSE2__)
        const __m128i low = _mm_set1_epi16(0xFF);
        for (; i + 16 <= count; i += 16) {
            const __m128i *from = (const __m128i *)(pixels + 4 * i);
            __m128i a = _mm_loadu_si128(from), b = _mm_loadu_si128(from + 1);
            __m128i c = _mm_loadu_si128(from + 2), d = _mm_loadu_si128(from + 3);
            __m128i even = _mm_packus_epi16(_mm_and_si128(a, low), _mm_and_si128(b, low));  /* bytes 0 and 2 of pixels */
            __m128i odd = _mm_packus_epi16(_mm_srli_epi16(a, 8), _mm_srli_epi16(b, 8));     /* bytes 1 and 3 */
            __m128i more_even = _mm_packus_epi16(_mm_and_si128(c, low), _mm_and_si128(d, low));
            __m128i more_odd = _mm_packus_epi16(_mm_srli_epi16(c, 8), _mm_srli_epi16(d, 8));
            _mm_storeu_si128((__m128i *)(planes[0] + i),
                             _mm_packus_epi16(_mm_and_si128(even, low), _mm_and_si128(more_even, low)));
            _mm_storeu_si128((__m128i *)(planes[1] + i),
                             _mm_packus_epi16(_mm_and_si128(odd, low), _mm_and_si128(more_odd, low)));
            _mm_storeu_si128((__m128i *)(planes[2] + i),
                             _mm_packus_epi16(_mm_srli_epi16(even, 8), _mm_srli_epi16(more_even, 8)));
            _mm_storeu_si128((__m128i *)(planes[3] + i),
                             _mm_packus_epi16(_mm_srli_epi16(odd, 8), _mm_srli_epi16(more_odd, 8)));
        }
    #endif
        dc_unweave_from(pixels, 4, i, count, planes);
    }

    /* -- three ------------------------------------------------------------------------------------------------------- */
    static void dc_weave_3_bytes(const uint8_t *const *planes, size_t count, uint8_t *out) {
        dc_weave_from(planes, 3, 0, count, out);
    }
    static void dc_unweave_3_bytes(const uint8_t *pixels, size_t count, uint8_t *const *planes) {
        dc_unweave_from(pixels, 3, 0, count, planes);
    }
    #ifdef DC_SHUFFLES
    #define DC_N -1
    /* Where byte n of the three vectors of sixteen pixels comes from in plane j: pixel (n - j) / 3. */
    __attribute__((target("ssse3"))) static void dc_weave_3(const uint8_t *const *planes, size_t count, uint8_t *out) {
        size_t i = 0;
        const __m128i a0 = _mm_setr_epi8(0, DC_N, DC_N, 1, DC_N, DC_N, 2, DC_N, DC_N, 3, DC_N, DC_N, 4, DC_N, DC_N, 5);
        const __m128i a1 = _mm_setr_epi8(DC_N, DC_N, 6, DC_N, DC_N, 7, DC_N, DC_N, 8, DC_N, DC_N, 9, DC_N, DC_N, 10, DC_N);
        const __m128i a2 = _mm_setr_epi8(DC_N, 11, DC_N, DC_N, 12, DC_N, DC_N, 13, DC_N, DC_N, 14, DC_N, DC_N, 15, DC_N, DC_N);
        const __m128i b0 = _mm_setr_epi8(DC_N, 0, DC_N, DC_N, 1, DC_N, DC_N, 2, DC_N, DC_N, 3, DC_N, DC_N, 4, DC_N, DC_N);
        const __m128i b1 = _mm_setr_epi8(5, DC_N, DC_N, 6, DC_N, DC_N, 7, DC_N, DC_N, 8, DC_N, DC_N, 9, DC_N, DC_N, 10);
        const __m128i b2 = _mm_setr_epi8(DC_N, DC_N, 11, DC_N, DC_N, 12, DC_N, DC_N, 13, DC_N, DC_N, 14, DC_N, DC_N, 15, DC_N);
        const __m128i c0 = _mm_setr_epi8(DC_N, DC_N, 0, DC_N, DC_N, 1, DC_N, DC_N, 2, DC_N, DC_N, 3, DC_N, DC_N, 4, DC_N);
        const __m128i c1 = _mm_setr_epi8(DC_N, 5, DC_N, DC_N, 6, DC_N, DC_N, 7, DC_N, DC_N, 8, DC_N, DC_N, 9, DC_N, DC_N);
        const __m128i c2 = _mm_setr_epi8(10, DC_N, DC_N, 11, DC_N, DC_N, 12, DC_N, DC_N, 13, DC_N, DC_N, 14, DC_N, DC_N, 15);
        for (; i + 16 <= count; i += 16) {
            __m128i a = _mm_loadu_si128((const __m128i *)(planes[0] + i)), b = _mm_loadu_si128((const __m128i *)(planes[1] + i));
            __m128i c = _mm_loadu_si128((const __m128i *)(planes[2] + i));
            __m128i *to = (__m128i *)(out + 3 * i);
            _mm_storeu_si128(to, _mm_or_si128(_mm_or_si128(_mm_shuffle_epi8(a, a0), _mm_shuffle_epi8(b, b0)),
                                              _mm_shuffle_epi8(c, c0)));
            _mm_storeu_si128(to + 1, _mm_or_si128(_mm_or_si128(_mm_shuffle_epi8(a, a1), _mm_shuffle_epi8(b, b1)),
                                                  _mm_shuffle_epi8(c, c1)));
            _mm_storeu_si128(to + 2, _mm_or_si128(_mm_or_si128(_mm_shuffle_epi8(a, a2), _mm_shuffle_epi8(b, b2)),
                                                  _mm_shuffle_epi8(c, c2)));
        }
        dc_weave_from(planes, 3, i, count, out);
    }
    /* Of plane j, the first vector of sixteen pixels holds some bytes, the second and the third the others. */
    __attribute__((target("ssse3"))) static void dc_unweave_3(const uint8_t *pixels, size_t count, uint8_t *const *planes) {
        size_t i = 0;
        const __m128i a0 = _mm_setr_epi8(0, 3, 6, 9, 12, 15, DC_N, DC_N, DC_N, DC_N, DC_N, DC_N, DC_N, DC_N, DC_N, DC_N);
        const __m128i a1 = _mm_setr_epi8(DC_N, DC_N, DC_N, DC_N, DC_N, DC_N, 2, 5, 8, 11, 14, DC_N, DC_N, DC_N, DC_N, DC_N);
        const __m128i a2 = _mm_setr_epi8(DC_N, DC_N, DC_N, DC_N, DC_N, DC_N, DC_N, DC_N, DC_N, DC_N, DC_N, 1, 4, 7, 10, 13);
        const __m128i b0 = _mm_setr_epi8(1, 4, 7, 10, 13, DC_N, DC_N, DC_N, DC_N, DC_N, DC_N, DC_N, DC_N, DC_N, DC_N, DC_N);
        const __m128i b1 = _mm_setr_epi8(DC_N, DC_N, DC_N, DC_N, DC_N, 0, 3, 6, 9, 12, 15, DC_N, DC_N, DC_N, DC_N, DC_N);
        const __m128i b2 = _mm_setr_epi8(DC_N, DC_N, DC_N, DC_N, DC_N, DC_N, DC_N, DC_N, DC_N, DC_N, DC_N, 2, 5, 8, 11, 14);
        const __m128i c0 = _mm_setr_epi8(2, 5, 8, 11, 14, DC_N, DC_N, DC_N, DC_N, DC_N, DC_N, DC_N, DC_N, DC_N, DC_N, DC_N);
        const __m128i c1 = _mm_setr_epi8(DC_N, DC_N, DC_N, DC_N, DC_N, 1, 4, 7, 10, 13, DC_N, DC_N, DC_N, DC_N, DC_N, DC_N);
        const __m128i c2 = _mm_setr_epi8(DC_N, DC_N, DC_N, DC_N, DC_N, DC_N, DC_N, DC_N, DC_N, DC_N, 0, 3, 6, 9, 12, 15);
        for (; i + 16 <= count; i += 16) {
            const __m128i *from = (const __m128i *)(pixels + 3 * i);
            __m128i x = _mm_loadu_si128(from), y = _mm_loadu_si128(from + 1), z = _mm_loadu_si128(from + 2);
            _mm_storeu_si128((__m128i *)(planes[0] + i),
                             _mm_or_si128(_mm_or_si128(_mm_shuffle_epi8(x, a0), _mm_shuffle_epi8(y, a1)),
                                          _mm_shuffle_epi8(z, a2)));
            _mm_storeu_si128((__m128i *)(planes[1] + i),
                             _mm_or_si128(_mm_or_si128(_mm_shuffle_epi8(x, b0), _mm_shuffle_epi8(y, b1)),
                                          _mm_shuffle_epi8(z, b2)));
            _mm_storeu_si128((__m128i *)(planes[2] + i),
                             _mm_or_si128(_mm_or_si128(_mm_shuffle_epi8(x, c0), _mm_shuffle_epi8(y, c1)),
                                          _mm_shuffle_epi8(z, c2)));
        }
        dc_unweave_from(pixels, 3, i, count, planes);
    }
    #undef DC_N
    #endif

    /* -- which of them; `plain` keeps to bytes, as on processors that lack vectors ------------------------------------- */
    static inline void dc_weave(const uint8_t *const *planes, size_t k, size_t count, uint8_t *out, int plain) {
        if (k == 1) { memcpy(out, planes[0], count); return; }
        if (k == 2 && !plain) { dc_weave_2(planes, count, out); return; }
        if (k == 4 && !plain) { dc_weave_4(planes, count, out); return; }
    #ifdef DC_SHUFFLES
        if (k == 3 && !plain && __builtin_cpu_supports("ssse3")) { dc_weave_3(planes, count, out); return; }
    #endif
        if (k == 3) { dc_weave_3_bytes(planes, count, out); return; }
        dc_weave_from(planes, k, 0, count, out);
    }
    static inline void dc_unweave(const uint8_t *pixels, size_t k, size_t count, uint8_t *const *planes, int plain) {
        if (k == 1) { memcpy(planes[0], pixels, count); return; }
        if (k == 2 && !plain) { dc_unweave_2(pixels, count, planes); return; }
        if (k == 4 && !plain) { dc_unweave_4(pixels, count, planes); return; }
    #ifdef DC_SHUFFLES
        if (k == 3 && !plain && __builtin_cpu_supports("ssse3")) { dc_unweave_3(pixels, count, planes); return; }
    #endif
        if (k == 3) { dc_unweave_3_bytes(pixels, count, planes); return; }
        dc_unweave_from(pixels, k, 0, count, planes);
    }
    """
    void dc_weave(const uint8_t *const *planes, size_t k, size_t count, uint8_t *out, int plain) noexcept nogil
    void dc_unweave(const uint8_t *pixels, size_t k, size_t count, uint8_t *const *planes, int plain) noexcept nogil
