# Header only. Where text begins and ends within a value field (PS3.5 6.2), and whole numbers in it.

from libc.stdint cimport int64_t, uint8_t, uint64_t
from libc.string cimport memchr, memcpy


cdef inline int parse_integer(const uint8_t *text, Py_ssize_t length, int64_t *value) noexcept nogil:
    """1 for a number as ``str`` writes it, of at most 18 digits; 0 leaves it to the caller."""
    cdef Py_ssize_t at = 0
    cdef int64_t number = 0
    cdef bint negative = length > 0 and text[0] == 45
    if negative:
        at = 1
    if at == length or length - at > 18 or (text[at] == 48 and (length > 1)):
        return 0
    while at < length:
        if not 48 <= text[at] <= 57:
            return 0
        number = number * 10 + (text[at] - 48)
        at += 1
    value[0] = -number if negative else number
    return 1


cdef inline bint is_ascii(const uint8_t *data, Py_ssize_t length) noexcept nogil:
    """True when no byte needs a character set: below 80 and not ESC."""
    cdef Py_ssize_t at = 0
    cdef uint64_t block, folded
    while at + 8 <= length:
        memcpy(&block, data + at, 8)
        folded = block ^ <uint64_t>0x1B1B1B1B1B1B1B1B
        if (block | ((folded - <uint64_t>0x0101010101010101) & ~folded)) & <uint64_t>0x8080808080808080:
            return False
        at += 8
    while at < length:
        if data[at] >= 0x80 or data[at] == 0x1B:
            return False
        at += 1
    return True


cdef inline Py_ssize_t stripped(const uint8_t *data, Py_ssize_t start, Py_ssize_t stop) noexcept nogil:
    """``stop`` without the padding in front of it: spaces and NULs."""
    while stop > start and (data[stop - 1] == 0x20 or data[stop - 1] == 0):
        stop -= 1
    return stop


cdef inline Py_ssize_t skipped(const uint8_t *data, Py_ssize_t start, Py_ssize_t stop) noexcept nogil:
    """``start`` after leading white space, as ``str.strip`` sees it."""
    while start < stop and (data[start] == 0x20 or 9 <= data[start] <= 13 or 28 <= data[start] <= 31):
        start += 1
    return start


cdef inline Py_ssize_t trimmed(const uint8_t *data, Py_ssize_t start, Py_ssize_t stop) noexcept nogil:
    while stop > start and (data[stop - 1] == 0x20 or 9 <= data[stop - 1] <= 13 or 28 <= data[stop - 1] <= 31):
        stop -= 1
    return stop


cdef inline Py_ssize_t value_end(const uint8_t *data, Py_ssize_t start, Py_ssize_t stop) noexcept nogil:
    cdef const void *found = memchr(data + start, 0x5C, <size_t>(stop - start)) if stop > start else NULL
    return <const uint8_t *>found - data if found != NULL else stop
