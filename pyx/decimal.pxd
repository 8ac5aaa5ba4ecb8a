# Header only. Decimal strings (PS3.5 6.2, DS) to doubles and back, exactly: a decimal of at most 2^53 over a power of ten
# of at most 22 is one correctly rounded division, a longer one is divided in 128 bits, and a double times a power of five
# is an integer of 128 bits.

from cpython.object cimport PyObject
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy

cdef extern from *:
    """
    #include <math.h>
    #include <stdint.h>
    #include <string.h>
    typedef struct { PyFloatObject number; PyObject *text; uint32_t start, stop; } dc_decimal;  /* DS of values.pyx */
    typedef struct { PyListObject list; void *methods; PyObject *owner, *field; } dc_many;  /* and MultiValue */
    static const double dc_powers[23] = {1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14,
                                         1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};

    /* The number that up to eight leading digits of the eight bytes at `at` make; answers how many those are. */
    static inline int dc_digits(const uint8_t *at, uint64_t *number) {
    #if defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ && defined(__GNUC__)
        uint64_t word, other;
        int count;
        memcpy(&word, at, 8);
        word ^= 0x3030303030303030ull;  /* digits become 0 to 9 */
        other = (word | (word + 0x0606060606060606ull)) & 0xF0F0F0F0F0F0F0F0ull;
        count = other ? __builtin_ctzll(other) >> 3 : 8;
        if (count == 0) { *number = 0; return 0; }
        word <<= 64 - 8 * count;  /* the digits end the word, zeros lead it */
        word = (word & 0x0F0F0F0F0F0F0F0Full) * 2561 >> 8;
        word = (word & 0x00FF00FF00FF00FFull) * 6553601 >> 16;
        *number = (word & 0x0000FFFF0000FFFFull) * 42949672960001ull >> 32;
        return count;
    #else
        *number = 0;
        return 0;  /* one digit after the other, then */
    #endif
    }
    static const uint64_t dc_tens[9] = {1, 10, 100, 1000, 10000, 100000, 1000000, 10000000, 100000000};

    /* The double nearest to digits * 10^exponent, ties to even; digits not zero, exponent -19 to 19. The product or quotient
       has more than 64 bits that matter; the lowest of those kept tells whether any were lost. */
    static double dc_nearest(uint64_t digits, int exponent) {
        static const uint64_t tens[20] = {1ull, 10ull, 100ull, 1000ull, 10000ull, 100000ull, 1000000ull, 10000000ull,
            100000000ull, 1000000000ull, 10000000000ull, 100000000000ull, 1000000000000ull, 10000000000000ull,
            100000000000000ull, 1000000000000000ull, 10000000000000000ull, 100000000000000000ull, 1000000000000000000ull,
            10000000000000000000ull};
        unsigned __int128 wide;
        uint64_t kept, ten = tens[exponent < 0 ? -exponent : exponent];
        int shift = 0, lost = 0;
        while (!(digits >> 63)) { digits <<= 1; shift--; }
        if (exponent < 0) {
            wide = (unsigned __int128)digits << 64;
            shift -= 64;
            lost = wide % ten != 0;
            wide /= ten;
        } else {
            wide = (unsigned __int128)digits * ten;
        }
        while (wide >> 64) {
            int most = wide >> 96 ? 32 : wide >> 72 ? 8 : 1;
            lost |= (wide & (((unsigned __int128)1 << most) - 1)) != 0;
            wide >>= most;
            shift += most;
        }
        kept = (uint64_t)wide;
        return ldexp((double)(kept | (uint64_t)lost), shift);
    }

    /* round-half-even(mantissa * 5^power / 2^shift); power 0 to 15, shift 1 to 127 */
    static inline uint64_t dc_scaled(uint64_t mantissa, int power, int shift) {
        static const uint64_t fives[16] = {1ull, 5ull, 25ull, 125ull, 625ull, 3125ull, 15625ull, 78125ull, 390625ull,
            1953125ull, 9765625ull, 48828125ull, 244140625ull, 1220703125ull, 6103515625ull, 30517578125ull};
        unsigned __int128 product = (unsigned __int128)mantissa * fives[power];
        unsigned __int128 half = (unsigned __int128)1 << (shift - 1);
        unsigned __int128 rest = product & (half + (half - 1));
        uint64_t whole = (uint64_t)(product >> shift);
        return whole + (rest > half || (rest == half && (whole & 1)));
    }
    """
    ctypedef struct dc_decimal:
        void *text
        uint32_t start
        uint32_t stop
    ctypedef struct dc_many:
        PyObject *field
    const double *dc_powers
    const uint64_t *dc_tens
    double dc_nearest(uint64_t digits, int exponent) noexcept nogil
    int dc_digits(const uint8_t *at, uint64_t *number) noexcept nogil
    uint64_t dc_scaled(uint64_t mantissa, int power, int shift) noexcept nogil


cdef inline int parse_decimal(const uint8_t **position, const uint8_t *end, double *value) noexcept nogil:
    """1 and the nearest double for a plain decimal at ``position``, which moves behind it; 0 leaves it to the caller."""
    cdef const uint8_t *at = position[0]
    cdef const uint8_t *first
    cdef uint64_t digits = 0, part = 0
    cdef uint32_t digit
    cdef Py_ssize_t count
    cdef int exponent = 0, given = 0, at_once
    cdef bint negative = False, exponent_negative = False
    if at < end and (at[0] == 45 or at[0] == 43):
        negative = at[0] == 45
        at += 1
    first = at
    if end - at >= 8:
        at += dc_digits(at, &digits)
    while at < end:
        digit = <uint32_t>at[0] - 48
        if digit > 9:
            break
        digits = digits * 10 + digit
        at += 1
    count = at - first
    if at < end and at[0] == 46:
        at += 1
        first = at
        if end - at >= 8:
            at_once = dc_digits(at, &part)
            digits = digits * dc_tens[at_once] + part
            at += at_once
        while at < end:
            digit = <uint32_t>at[0] - 48
            if digit > 9:
                break
            digits = digits * 10 + digit
            at += 1
        if at - first > 19:
            return 0
        exponent = -<int>(at - first)
        count += at - first
    if count == 0 or count > 19:
        return 0
    if at < end and (at[0] == 69 or at[0] == 101):
        at += 1
        if at < end and (at[0] == 43 or at[0] == 45):
            exponent_negative = at[0] == 45
            at += 1
        first = at
        while at < end and at - first < 5:
            digit = <uint32_t>at[0] - 48
            if digit > 9:
                break
            given = given * 10 + <int>digit
            at += 1
        if at == first or at - first == 5:
            return 0
        exponent += -given if exponent_negative else given
    if digits > <uint64_t>1 << 53:
        if exponent < -19 or exponent > 19:
            return 0
        value[0] = dc_nearest(digits, exponent)
    elif exponent < -22 or exponent > 22:
        return 0
    else:
        value[0] = <double>digits / dc_powers[-exponent] if exponent < 0 else <double>digits * dc_powers[exponent]
    if negative:
        value[0] = -value[0]
    position[0] = at
    return 1


cdef inline int write_digits(uint64_t number, uint8_t *out) noexcept nogil:
    """The decimal digits of ``number``, at most 20; answers how many."""
    cdef uint8_t[20] reverse
    cdef int count = 0, at
    cdef uint32_t low
    while number >= 100:
        low = <uint32_t>(number % 100)
        number //= 100
        reverse[count] = <uint8_t>(48 + low % 10)
        reverse[count + 1] = <uint8_t>(48 + low // 10)
        count += 2
    low = <uint32_t>number
    reverse[count] = <uint8_t>(48 + low % 10)
    count += 1
    if low >= 10:
        reverse[count] = <uint8_t>(48 + low // 10)
        count += 1
    for at in range(count):
        out[at] = reverse[count - 1 - at]
    return count


cdef inline int write_decimal(double value, uint8_t *out) noexcept nogil:
    """At most 16 characters into ``out``: the shortest that reads back equal, else the nearest; 0 leaves it to the caller.

    For zero and magnitudes from 1e-3 (1e-4 when it reads back equal) to 1e14, where a plain number says at least as
    much as one with an exponent.
    """
    cdef uint64_t bits, mantissa, whole, scaled
    cdef uint8_t[20] digits
    cdef int shift, count, power, at = 0, kept
    cdef double magnitude = -value if value < 0 else value
    memcpy(&bits, &value, 8)
    if bits >> 63:
        out[0] = 45
        at = 1
    if magnitude == 0:
        out[at] = 48
        out[at + 1] = 46
        out[at + 2] = 48
        return at + 3
    if not (1e-4 <= magnitude < 1e14):
        return 0
    mantissa = bits & ((<uint64_t>1 << 52) - 1) | <uint64_t>1 << 52
    shift = 1075 - <int>(bits >> 52 & 0x7FF)  # the magnitude is mantissa / 2^shift; 6 to 66 here
    whole = <uint64_t>magnitude
    count = 1
    scaled = 10
    while scaled <= whole:
        scaled *= 10
        count += 1
    power = 15 - count - at  # so many decimals fit
    shift -= power  # ten is five times two; still positive
    scaled = dc_scaled(mantissa, power, shift)
    if magnitude < 1e-3 and <double>scaled / dc_powers[power] != magnitude:
        return 0
    count = write_digits(scaled, digits)
    if count <= power:  # 0.xxx
        out[at] = 48
        out[at + 1] = 46
        at += 2
        for kept in range(power - count):
            out[at] = 48
            at += 1
        memcpy(out + at, digits, count)
        at += count
    else:
        memcpy(out + at, digits, count - power)
        at += count - power
        out[at] = 46
        memcpy(out + at + 1, digits + (count - power), power)
        at += 1 + power
    while out[at - 1] == 48 and out[at - 2] != 46:
        at -= 1
    if out[at - 1] == 46:
        at -= 1
    return at


cdef inline int write_integer(int64_t value, uint8_t *out) noexcept nogil:
    """The number in decimal; answers how many characters, at most 20."""
    cdef int at = 0
    cdef uint64_t magnitude = <uint64_t>value
    if value < 0:
        out[0] = 45
        at = 1
        magnitude = 0 - magnitude
    return at + write_digits(magnitude, out + at)
