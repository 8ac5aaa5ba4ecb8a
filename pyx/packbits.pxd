# Header only. The byte runs of RLE Lossless (PS3.5 G.3): a control byte n, then n + 1 bytes as they are (0 to 127), or one
# byte to repeat 1 - n times (-1 to -127); -128 stands for nothing. Packets are short, so what costs is guessing wrong how
# long the next one is: copies and fills have a few fixed sizes and run over their end, into room that the caller has left.

from libc.stdint cimport uint8_t, uint64_t

cdef extern from *:
    """
    #include <stddef.h>
    #include <stdint.h>
    #include <string.h>
    #if defined(__SSE2__)
    #include <emmintrin.h>
    #endif

    enum { DC_PACKET = 128, DC_ROOM = 2 * DC_PACKET };

    /* Packets from `*at` to `out + have` until `want` bytes are there; how many are: less when `end` came first, up to 127
       more when the last packet held them. Room for `want` + DC_ROOM bytes. */
    static size_t dc_unpack(const uint8_t **from, const uint8_t *end, uint8_t *out, size_t have, size_t want) {
        const uint8_t *at = *from;
        while (have < want && end - at > DC_PACKET) {
            unsigned control = *at;
            uint8_t *to = out + have;
            if (control < 128) {
                memcpy(to, at + 1, 32);
                if (control >= 32) {
                    memcpy(to + 32, at + 33, 32);
                    if (control >= 64) memcpy(to + 64, at + 65, 64);
                }
                have += control + 1;
                at += control + 2;
            } else if (control > 128) {
                memset(to, at[1], 32);
                if (control <= 257 - 33) {
                    memset(to + 32, at[1], 32);
                    if (control <= 257 - 65) memset(to + 64, at[1], 64);
                }
                have += 257 - control;
                at += 2;
            } else {
                at++;
            }
        }
        while (have < want && at < end) {
            unsigned control = *at;
            if (control < 128) {
                if ((size_t)(end - at) < control + 2) break;
                memcpy(out + have, at + 1, control + 1);
                have += control + 1;
                at += control + 2;
            } else if (control > 128) {
                if (end - at < 2) break;
                memset(out + have, at[1], 257 - control);
                have += 257 - control;
                at += 2;
            } else {
                at++;
            }
        }
        *from = at;
        return have;
    }

    /* A bit for each of the 64 bytes that equals the one behind it; 65 bytes are read. */
    static inline uint64_t dc_pairs(const uint8_t *at) {
        uint64_t bits = 0;
        int i;
    #if defined(__SSE2__)
        for (i = 0; i < 64; i += 16) {
            __m128i found = _mm_cmpeq_epi8(_mm_loadu_si128((const __m128i *)(at + i)),
                                           _mm_loadu_si128((const __m128i *)(at + i + 1)));
            bits |= (uint64_t)(uint32_t)_mm_movemask_epi8(found) << i;
        }
    #else
        for (i = 0; i < 64; i++) bits |= (uint64_t)(at[i] == at[i + 1]) << i;
    #endif
        return bits;
    }
    #if defined(__GNUC__)
    static inline unsigned dc_first(uint64_t bits) { return (unsigned)__builtin_ctzll(bits); }
    #else
    static inline unsigned dc_first(uint64_t bits) {
        unsigned i = 0;
        while (!(bits >> i & 1)) i++;
        return i;
    }
    #endif

    static inline uint8_t *dc_literal(uint8_t *to, const uint8_t *from, size_t count) {
        for (; count > DC_PACKET; count -= DC_PACKET) {
            *to = DC_PACKET - 1;
            memcpy(to + 1, from, DC_PACKET);
            to += DC_PACKET + 1;
            from += DC_PACKET;
        }
        if (!count) return to;
        *to++ = (uint8_t)(count - 1);
        memcpy(to, from, 32);
        if (count > 32) {
            memcpy(to + 32, from + 32, 32);
            if (count > 64) memcpy(to + 64, from + 64, 64);
        }
        return to + count;
    }

    /* One row as packets; the bytes behind the last. Three and more of a kind are a run, two only where no literal takes
       them along (G.3.1). `bits` has a word for each 64 bytes and one more; `row` may be read, and `to` written, DC_ROOM
       bytes beyond what is there. Never more than `count` + (`count` + 127) / 128 bytes: the byte that a literal costs is
       saved again by the run before it. */
    static uint8_t *dc_pack(const uint8_t *row, size_t count, uint64_t *bits, uint8_t *to) {
        size_t words = (count + 63) / 64, word, done = 0, start, stop;
        uint64_t left;
        for (word = 0; word < words; word++) bits[word] = dc_pairs(row + 64 * word);
        bits[words] = 0;
        bits[words - 1] &= ((uint64_t)1 << ((count - 1) & 63)) - 1;  /* the last byte has none behind it */
        while (done < count) {
            /* the next byte that equals the two behind it */
            word = done / 64;
            left = bits[word] & (bits[word] >> 1 | bits[word + 1] << 63) & ~(uint64_t)0 << (done & 63);
            while (!left && ++word < words) left = bits[word] & (bits[word] >> 1 | bits[word + 1] << 63);
            start = left ? 64 * word + dc_first(left) : count;
            if (start - done == 2 && row[done] == row[done + 1]) {
                to[0] = 255;
                to[1] = row[done];
                to += 2;
            } else {
                to = dc_literal(to, row + done, start - done);
            }
            if (start == count) break;
            /* the first byte from there on that does not equal the next one ends the run */
            word = start / 64;
            left = ~bits[word] & ~(uint64_t)0 << (start & 63);
            while (!left) left = ~bits[++word];
            stop = 64 * word + dc_first(left) + 1;
            for (done = start; stop - done > DC_PACKET; done += DC_PACKET) {
                to[0] = 257 - DC_PACKET;
                to[1] = row[start];
                to += 2;
            }
            if (stop - done > 1) {  /* a single byte that is left goes into the next literal */
                to[0] = (uint8_t)(257 - (stop - done));
                to[1] = row[start];
                to += 2;
                done = stop;
            }
        }
        return to;
    }
    """
    enum:
        DC_PACKET
        DC_ROOM
    size_t dc_unpack(const uint8_t **at, const uint8_t *end, uint8_t *out, size_t have, size_t want) noexcept nogil
    uint8_t *dc_pack(const uint8_t *row, size_t count, uint64_t *bits, uint8_t *to) noexcept nogil
