# Header only. Bytes of several planes into pixels and back: byte j of each pixel is one of plane j. Two, three and four
# planes, which is nearly all that images have, go sixteen or more pixels at a time where the processor can.

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
    #include <immintrin.h>
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
    /* Row 3 j + v: for each byte of vector v of the three that hold sixteen pixels, the pixel of plane j that it is; and for
       each pixel of plane j, the byte of vector v that it is. 128: of none. */
    static const uint8_t dc_weaving[9][16] = {
        {0, 128, 128, 1, 128, 128, 2, 128, 128, 3, 128, 128, 4, 128, 128, 5},
        {128, 128, 6, 128, 128, 7, 128, 128, 8, 128, 128, 9, 128, 128, 10, 128},
        {128, 11, 128, 128, 12, 128, 128, 13, 128, 128, 14, 128, 128, 15, 128, 128},
        {128, 0, 128, 128, 1, 128, 128, 2, 128, 128, 3, 128, 128, 4, 128, 128},
        {5, 128, 128, 6, 128, 128, 7, 128, 128, 8, 128, 128, 9, 128, 128, 10},
        {128, 128, 11, 128, 128, 12, 128, 128, 13, 128, 128, 14, 128, 128, 15, 128},
        {128, 128, 0, 128, 128, 1, 128, 128, 2, 128, 128, 3, 128, 128, 4, 128},
        {128, 5, 128, 128, 6, 128, 128, 7, 128, 128, 8, 128, 128, 9, 128, 128},
        {10, 128, 128, 11, 128, 128, 12, 128, 128, 13, 128, 128, 14, 128, 128, 15},
    };
    static const uint8_t dc_unweaving[9][16] = {
        {0, 3, 6, 9, 12, 15, 128, 128, 128, 128, 128, 128, 128, 128, 128, 128},
        {128, 128, 128, 128, 128, 128, 2, 5, 8, 11, 14, 128, 128, 128, 128, 128},
        {128, 128, 128, 128, 128, 128, 128, 128, 128, 128, 128, 1, 4, 7, 10, 13},
        {1, 4, 7, 10, 13, 128, 128, 128, 128, 128, 128, 128, 128, 128, 128, 128},
        {128, 128, 128, 128, 128, 0, 3, 6, 9, 12, 15, 128, 128, 128, 128, 128},
        {128, 128, 128, 128, 128, 128, 128, 128, 128, 128, 128, 2, 5, 8, 11, 14},
        {2, 5, 8, 11, 14, 128, 128, 128, 128, 128, 128, 128, 128, 128, 128, 128},
        {128, 128, 128, 128, 128, 1, 4, 7, 10, 13, 128, 128, 128, 128, 128, 128},
        {128, 128, 128, 128, 128, 128, 128, 128, 128, 128, 0, 3, 6, 9, 12, 15},
    };

    #define DC_THREE(NAME, TARGET, WIDTH, VECTOR, LOAD, STORE, OR, SHUFFLE, TABLE, JOIN, SPLIT)                              \\
        TARGET static void dc_weave_3_##NAME(const uint8_t *const *planes, size_t count, uint8_t *out) {                   \\
            VECTOR order[9];                                                                                               \\
            size_t i = 0;                                                                                                  \\
            int v;                                                                                                         \\
            for (v = 0; v < 9; v++) order[v] = TABLE(dc_weaving[v]);                                                       \\
            for (; i + WIDTH <= count; i += WIDTH) {                                                                       \\
                const VECTOR a = LOAD((const VECTOR *)(planes[0] + i)), b = LOAD((const VECTOR *)(planes[1] + i));          \\
                const VECTOR c = LOAD((const VECTOR *)(planes[2] + i));                                                    \\
                const VECTOR x = OR(OR(SHUFFLE(a, order[0]), SHUFFLE(b, order[3])), SHUFFLE(c, order[6]));                  \\
                const VECTOR y = OR(OR(SHUFFLE(a, order[1]), SHUFFLE(b, order[4])), SHUFFLE(c, order[7]));                  \\
                const VECTOR z = OR(OR(SHUFFLE(a, order[2]), SHUFFLE(b, order[5])), SHUFFLE(c, order[8]));                  \\
                VECTOR *to = (VECTOR *)(out + 3 * i);                                                                      \\
                JOIN                                                                                                       \\
            }                                                                                                              \\
            dc_weave_from(planes, 3, i, count, out);                                                                       \\
        }                                                                                                                  \\
        TARGET static void dc_unweave_3_##NAME(const uint8_t *pixels, size_t count, uint8_t *const *planes) {              \\
            VECTOR order[9];                                                                                               \\
            size_t i = 0;                                                                                                  \\
            int v;                                                                                                         \\
            for (v = 0; v < 9; v++) order[v] = TABLE(dc_unweaving[v]);                                                     \\
            for (; i + WIDTH <= count; i += WIDTH) {                                                                       \\
                const VECTOR *from = (const VECTOR *)(pixels + 3 * i);                                                     \\
                VECTOR x = LOAD(from), y = LOAD(from + 1), z = LOAD(from + 2);                                             \\
                SPLIT                                                                                                      \\
                for (v = 0; v < 3; v++)                                                                                    \\
                    STORE((VECTOR *)(planes[v] + i), OR(OR(SHUFFLE(x, order[3 * v]), SHUFFLE(y, order[3 * v + 1])),        \\
                                                        SHUFFLE(z, order[3 * v + 2])));                                    \\
            }                                                                                                              \\
            dc_unweave_from(pixels, 3, i, count, planes);                                                                  \\
        }
    #define DC_LOAD_16(row) _mm_loadu_si128((const __m128i *)(row))
    #define DC_LOAD_TWICE(row) _mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *)(row)))
    DC_THREE(16, __attribute__((target("ssse3"))), 16, __m128i, _mm_loadu_si128, _mm_storeu_si128, _mm_or_si128,
             _mm_shuffle_epi8, DC_LOAD_16,
             _mm_storeu_si128(to, x); _mm_storeu_si128(to + 1, y); _mm_storeu_si128(to + 2, z);, )
    /* The halves of wide vectors work on sixteen pixels each, so they change places. */
    DC_THREE(32, __attribute__((target("avx2"))), 32, __m256i, _mm256_loadu_si256, _mm256_storeu_si256, _mm256_or_si256,
             _mm256_shuffle_epi8, DC_LOAD_TWICE,
             _mm256_storeu_si256(to, _mm256_permute2x128_si256(x, y, 0x20));
             _mm256_storeu_si256(to + 1, _mm256_permute2x128_si256(z, x, 0x30));
             _mm256_storeu_si256(to + 2, _mm256_permute2x128_si256(y, z, 0x31));,
             const __m256i first = x; const __m256i second = y;
             x = _mm256_permute2x128_si256(first, second, 0x30);
             y = _mm256_permute2x128_si256(first, z, 0x21);
             z = _mm256_permute2x128_si256(second, z, 0x30);)
    #undef DC_THREE
    #undef DC_LOAD_16
    #undef DC_LOAD_TWICE
    #endif

    /* -- which of them. `plain` 1 keeps to bytes, as on processors that lack vectors; 2 to vectors of sixteen bytes ------ */
    static inline void dc_weave(const uint8_t *const *planes, size_t k, size_t count, uint8_t *out, int plain) {
        if (k == 1) { memcpy(out, planes[0], count); return; }
        if (k == 2 && plain != 1) { dc_weave_2(planes, count, out); return; }
        if (k == 4 && plain != 1) { dc_weave_4(planes, count, out); return; }
    #ifdef DC_SHUFFLES
        if (k == 3 && !plain && __builtin_cpu_supports("avx2")) { dc_weave_3_32(planes, count, out); return; }
        if (k == 3 && plain != 1 && __builtin_cpu_supports("ssse3")) { dc_weave_3_16(planes, count, out); return; }
    #endif
        if (k == 3) { dc_weave_3_bytes(planes, count, out); return; }
        dc_weave_from(planes, k, 0, count, out);
    }
    static inline void dc_unweave(const uint8_t *pixels, size_t k, size_t count, uint8_t *const *planes, int plain) {
        if (k == 1) { memcpy(planes[0], pixels, count); return; }
        if (k == 2 && plain != 1) { dc_unweave_2(pixels, count, planes); return; }
        if (k == 4 && plain != 1) { dc_unweave_4(pixels, count, planes); return; }
    #ifdef DC_SHUFFLES
        if (k == 3 && !plain && __builtin_cpu_supports("avx2")) { dc_unweave_3_32(pixels, count, planes); return; }
        if (k == 3 && plain != 1 && __builtin_cpu_supports("ssse3")) { dc_unweave_3_16(pixels, count, planes); return; }
    #endif
        if (k == 3) { dc_unweave_3_bytes(pixels, count, planes); return; }
        dc_unweave_from(pixels, k, 0, count, planes);
    }
    """
    void dc_weave(const uint8_t *const *planes, size_t k, size_t count, uint8_t *out, int plain) noexcept nogil
    void dc_unweave(const uint8_t *pixels, size_t k, size_t count, uint8_t *const *planes, int plain) noexcept nogil
