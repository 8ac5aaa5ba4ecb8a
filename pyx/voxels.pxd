# Header only. Runs of voxels (PS3.3 C.8.8.3.4): stored integers of any byte order to floating dose and back, their extent,
# their counts in bins. One loop for each task, written once, instantiated for every order of bytes, type and processor.
#
# A stored number of n bits is moved to the top of 32, its highest bit flipped if it is unsigned, and moved down again with
# its sign: x = value - bias, an int32 whatever it was, so that garbage above Bits Stored falls off on the way, a cast to
# double is one instruction on all processors, and both signs share one loop. value = x + bias is exact in a double.

from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t

cdef extern from *:
    """
    #include <stdint.h>
    #include <string.h>
    #if defined(__GNUC__)
    #define DV_INLINE static inline __attribute__((always_inline))
    #define DV_RESTRICT __restrict__
    #define DV_RARELY(x) __builtin_expect(!!(x), 0)
    #else
    #define DV_INLINE static inline
    #define DV_RESTRICT
    #define DV_RARELY(x) (x)
    #endif
    #if defined(__x86_64__) && defined(__GNUC__)
    #define DV_CLONES  /* the plain instance has no 32-bit maximum and no sign extension to 64 bits in vectors */
    #endif

    /* How bytes make a stored number. Words: two 16-bit numbers in the file's order, the less significant first. */
    enum { DV_16, DV_16_SWAPPED, DV_32, DV_32_SWAPPED, DV_32_WORDS };
    typedef struct { int kind, shift; uint32_t flip; double bias; } dv_coding;
    typedef struct { int32_t low, high; int64_t total; } dv_extent;  /* of x */

    DV_INLINE int32_t dv_load(const uint8_t *at, int64_t i, const int kind, const int shift, const uint32_t flip) {
        uint32_t v;
        if (kind == DV_16 || kind == DV_16_SWAPPED) {
            uint16_t half;
            memcpy(&half, at + 2 * i, 2);
            if (kind == DV_16_SWAPPED) half = (uint16_t)(half << 8 | half >> 8);
            v = half;
        } else {
            memcpy(&v, at + 4 * i, 4);
            if (kind == DV_32_SWAPPED) {
                v = v << 24 | (v & 0xFF00u) << 8 | (v >> 8 & 0xFF00u) | v >> 24;
            } else if (kind == DV_32_WORDS) {
    #if defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
                v = v << 16 | v >> 16;
    #else
                v = (v & 0x00FF00FFu) << 8 | (v >> 8 & 0x00FF00FFu);
    #endif
            }
        }
        return (int32_t)(v << shift ^ flip) >> shift;
    }

    DV_INLINE void dv_scale_loop(const uint8_t *DV_RESTRICT in, void *DV_RESTRICT out, int64_t count, const dv_coding *coding,
                                 double scaling, dv_extent *extent, const int kind, const int wide, const int measured) {
        const int shift = coding->shift;
        const uint32_t flip = coding->flip;
        const double bias = coding->bias;
        float *DV_RESTRICT singles = (float *)out;
        double *DV_RESTRICT doubles = (double *)out;
        int32_t low = extent->low, high = extent->high;
        int64_t i, total = extent->total;
        for (i = 0; i < count; i++) {
            const int32_t x = dv_load(in, i, kind, shift, flip);
            if (measured) {
                low = x < low ? x : low;
                high = x > high ? x : high;
                total += x;
            }
            if (wide == 1) doubles[i] = ((double)x + bias) * scaling;
            if (wide == 0) singles[i] = (float)(((double)x + bias) * scaling);
        }
        extent->low = low;
        extent->high = high;
        extent->total = total;
    }

    /* wide: 0 to float, 1 to double, 2 to nothing. */
    #define DV_SCALE_CASE(KIND)                                                                                             \\
        case KIND:                                                                                                          \\
            if (measured) {                                                                                                 \\
                if (wide == 0) dv_scale_loop(in, out, count, coding, scaling, extent, KIND, 0, 1);                          \\
                else if (wide == 1) dv_scale_loop(in, out, count, coding, scaling, extent, KIND, 1, 1);                     \\
                else dv_scale_loop(in, out, count, coding, scaling, extent, KIND, 2, 1);                                    \\
            } else if (wide == 0) dv_scale_loop(in, out, count, coding, scaling, extent, KIND, 0, 0);                       \\
            else dv_scale_loop(in, out, count, coding, scaling, extent, KIND, 1, 0);                                        \\
            break;
    #define DV_SCALE(NAME, TARGET)                                                                                          \\
        TARGET static void NAME(const uint8_t *in, void *out, int64_t count, const dv_coding *coding, double scaling,       \\
                                dv_extent *extent, int wide, int measured) {                                                \\
            switch (coding->kind) {                                                                                         \\
                DV_SCALE_CASE(DV_16) DV_SCALE_CASE(DV_16_SWAPPED)                                                           \\
                DV_SCALE_CASE(DV_32) DV_SCALE_CASE(DV_32_SWAPPED) DV_SCALE_CASE(DV_32_WORDS)                                \\
            }                                                                                                               \\
        }
    DV_SCALE(dv_scale_plain, )
    #ifdef DV_CLONES
    DV_SCALE(dv_scale_avx2, __attribute__((target("avx2"))))
    #endif

    static void dv_scale(const uint8_t *in, void *out, int64_t count, const dv_coding *coding, double scaling,
                         dv_extent *extent, int wide, int measured) {
    #ifdef DV_CLONES
        if (__builtin_cpu_supports("avx2")) { dv_scale_avx2(in, out, count, coding, scaling, extent, wide, measured); return; }
    #endif
        dv_scale_plain(in, out, count, coding, scaling, extent, wide, measured);
    }

    /* Bins of x. Slot 0 is below, 1 to bins are the bins, bins + 1 is above, starts[s] the first x of slot s (starts[0] is
       below and starts[bins + 2] above every x). (x - origin) * inverse, cut to 0..bins, is the slot or the one before it if
       `near`; else the slot is looked for from there. Four tables, since a run of equal voxels would wait for its own
       last count. */
    typedef struct { int64_t bins; double origin, inverse; int near; const int64_t *starts; } dv_bins;

    DV_INLINE int32_t dv_guess(int32_t x, double origin, double inverse, double bins) {
        double slot = ((double)x - origin) * inverse;
        slot = slot > 0.0 ? slot : 0.0;
        slot = slot < bins ? slot : bins;
        return (int32_t)slot;
    }

    #define DV_BLOCK 512
    DV_INLINE void dv_count_loop(const uint8_t *in, int64_t count, const dv_coding *coding, const dv_bins *bins,
                                 const uint8_t *mask, uint32_t *counts, const int kind, const int masked) {
        const int shift = coding->shift;
        const uint32_t flip = coding->flip;
        const double origin = bins->origin, inverse = bins->inverse, last = (double)bins->bins;
        const int64_t *starts = bins->starts;
        const int64_t width = bins->bins + 2;
        int32_t x[DV_BLOCK], guess[DV_BLOCK];
        int64_t at, i;
        for (at = 0; at < count; at += DV_BLOCK) {
            const int64_t length = count - at < DV_BLOCK ? count - at : DV_BLOCK;
            for (i = 0; i < length; i++) {
                const int32_t one = dv_load(in, at + i, kind, shift, flip);
                x[i] = one;
                guess[i] = dv_guess(one, origin, inverse, last);
            }
            if (!masked && bins->near && length == DV_BLOCK) {
                for (i = 0; i < DV_BLOCK; i += 4) {
                    int64_t a = guess[i], b = guess[i + 1], c = guess[i + 2], d = guess[i + 3];
                    a += x[i] >= starts[a + 1];
                    b += x[i + 1] >= starts[b + 1];
                    c += x[i + 2] >= starts[c + 1];
                    d += x[i + 3] >= starts[d + 1];
                    counts[a]++;
                    counts[width + b]++;
                    counts[2 * width + c]++;
                    counts[3 * width + d]++;
                }
            } else {
                for (i = 0; i < length; i++) {
                    int64_t slot = guess[i];
                    if (masked && !mask[at + i]) continue;
                    while (x[i] < starts[slot]) slot--;
                    while (x[i] >= starts[slot + 1]) slot++;
                    counts[(i & 3) * width + slot]++;
                }
            }
        }
    }

    #define DV_COUNT_CASE(KIND)                                                                                             \\
        case KIND:                                                                                                          \\
            if (mask) dv_count_loop(in, count, coding, bins, mask, counts, KIND, 1);                                        \\
            else dv_count_loop(in, count, coding, bins, mask, counts, KIND, 0);                                             \\
            break;
    #define DV_COUNT(NAME, TARGET)                                                                                          \\
        TARGET static void NAME(const uint8_t *in, int64_t count, const dv_coding *coding, const dv_bins *bins,             \\
                                const uint8_t *mask, uint32_t *counts) {                                                    \\
            switch (coding->kind) {                                                                                         \\
                DV_COUNT_CASE(DV_16) DV_COUNT_CASE(DV_16_SWAPPED)                                                           \\
                DV_COUNT_CASE(DV_32) DV_COUNT_CASE(DV_32_SWAPPED) DV_COUNT_CASE(DV_32_WORDS)                                \\
            }                                                                                                               \\
        }
    DV_COUNT(dv_count_plain, )
    #ifdef DV_CLONES
    DV_COUNT(dv_count_avx2, __attribute__((target("avx2"))))
    #endif

    static void dv_count(const uint8_t *in, int64_t count, const dv_coding *coding, const dv_bins *bins,
                         const uint8_t *mask, uint32_t *counts) {
    #ifdef DV_CLONES
        if (__builtin_cpu_supports("avx2")) { dv_count_avx2(in, count, coding, bins, mask, counts); return; }
    #endif
        dv_count_plain(in, count, coding, bins, mask, counts);
    }

    /* To stored numbers: the nearest, ties to even, by the sum that leaves no room for a fraction; low and high bound them.
       Answers the greatest |stored * scaling - value|. */
    DV_INLINE double dv_store_loop(const void *DV_RESTRICT in, void *DV_RESTRICT out, int64_t count, double scaling,
                                   double low, double high, const int wide, const int bits) {
        const float *DV_RESTRICT singles = (const float *)in;
        const double *DV_RESTRICT doubles = (const double *)in;
        uint16_t *DV_RESTRICT halves = (uint16_t *)out;
        uint32_t *DV_RESTRICT words = (uint32_t *)out;
        const double room = 6755399441055744.0;
        double worst[8] = {0, 0, 0, 0, 0, 0, 0, 0};
        int64_t at, i;
        for (at = 0; at < count; at += 8) {
            const int64_t length = count - at < 8 ? count - at : 8;
            double nearest[8];
            for (i = 0; i < length; i++) {
                const double value = wide ? doubles[at + i] : (double)singles[at + i];
                double one = value / scaling, error;
                one = one < high ? one : high;
                one = one > low ? one : low;
                one = (one + room) - room;
                error = one * scaling - value;
                error = error < 0 ? -error : error;
                worst[i] = error > worst[i] ? error : worst[i];
                nearest[i] = one;
            }
            for (i = 0; i < length; i++) {
                if (bits == 16) halves[at + i] = (uint16_t)(int32_t)nearest[i];
                if (bits == 32) words[at + i] = (uint32_t)(int64_t)nearest[i];
            }
        }
        for (i = 1; i < 8; i++) worst[0] = worst[i] > worst[0] ? worst[i] : worst[0];
        return worst[0];
    }

    /* bits: 16, 32, or 0 to only measure. */
    static double dv_store(const void *in, void *out, int64_t count, double scaling, double low, double high, int wide,
                           int bits) {
        if (wide) {
            if (bits == 16) return dv_store_loop(in, out, count, scaling, low, high, 1, 16);
            if (bits == 32) return dv_store_loop(in, out, count, scaling, low, high, 1, 32);
            return dv_store_loop(in, out, count, scaling, low, high, 1, 0);
        }
        if (bits == 16) return dv_store_loop(in, out, count, scaling, low, high, 0, 16);
        if (bits == 32) return dv_store_loop(in, out, count, scaling, low, high, 0, 32);
        return dv_store_loop(in, out, count, scaling, low, high, 0, 0);
    }
    """
    ctypedef struct dv_coding:
        int kind
        int shift
        uint32_t flip
        double bias
    ctypedef struct dv_extent:
        int32_t low
        int32_t high
        int64_t total
    ctypedef struct dv_bins:
        int64_t bins
        double origin
        double inverse
        int near
        const int64_t *starts
    int32_t dv_guess(int32_t, double, double, double) noexcept nogil
    void dv_scale(const uint8_t *, void *, int64_t, const dv_coding *, double, dv_extent *, int, int) noexcept nogil
    void dv_count(const uint8_t *, int64_t, const dv_coding *, const dv_bins *, const uint8_t *, uint32_t *) noexcept nogil
    double dv_store(const void *, void *, int64_t, double, double, double, int, int) noexcept nogil
