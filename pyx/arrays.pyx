"""Numeric strings (PS3.5 section 6.2, DS and IS) to arrays of numbers and back, a whole value field in one pass.

Each function goes as far as it can and says where it stopped; a value that needs more than a machine word is the caller's.
"""

from libc.stdint cimport int64_t, uint8_t

from decimal cimport parse_decimal, write_decimal, write_integer


cdef inline const uint8_t *_blanks(const uint8_t *at, const uint8_t *end) noexcept nogil:
    while at < end and at[0] == 0x20:
        at += 1
    return at


cdef inline int _parse_integer(const uint8_t **position, const uint8_t *end, int64_t *value) noexcept nogil:
    cdef const uint8_t *at = position[0]
    cdef const uint8_t *first
    cdef int64_t number = 0
    cdef bint negative = False
    if at < end and (at[0] == 45 or at[0] == 43):
        negative = at[0] == 45
        at += 1
    first = at
    while at < end and 48 <= at[0] <= 57 and at - first < 19:
        if at - first == 18:
            return 0
        number = number * 10 + (at[0] - 48)
        at += 1
    if at == first:
        return 0
    value[0] = -number if negative else number
    position[0] = at
    return 1


cdef Py_ssize_t _read_decimals(const uint8_t *text, const uint8_t *end, double *out, Py_ssize_t *count,
                               Py_ssize_t room) noexcept nogil:
    """The bytes that were understood; -1 when that is all of them."""
    cdef const uint8_t *at = text
    cdef const uint8_t *value = text
    while count[0] < room:
        value = at
        if at < end and at[0] == 0x20:
            at = _blanks(at, end)
        if not parse_decimal(&at, end, out + count[0]):
            return value - text
        if at < end and at[0] == 0x20:
            at = _blanks(at, end)
        if at == end:
            count[0] += 1
            return -1
        if at[0] != 0x5C:
            return value - text
        count[0] += 1
        at += 1
    return at - text


cdef Py_ssize_t _read_integers(const uint8_t *text, const uint8_t *end, int64_t *out, Py_ssize_t *count,
                               Py_ssize_t room) noexcept nogil:
    cdef const uint8_t *at = text
    cdef const uint8_t *value = text
    while count[0] < room:
        value = at
        at = _blanks(at, end)
        if not _parse_integer(&at, end, out + count[0]):
            return value - text
        at = _blanks(at, end)
        if at == end:
            count[0] += 1
            return -1
        if at[0] != 0x5C:
            return value - text
        count[0] += 1
        at += 1
    return at - text


def count_values(const uint8_t[::1] text not None) -> tuple:
    """(values, bytes without the padding behind them) of a value field of text."""
    cdef Py_ssize_t i, count = 1, length = text.shape[0]
    cdef const uint8_t *bytes
    if length == 0:
        return 0, 0
    bytes = &text[0]
    with nogil:
        while length and (bytes[length - 1] == 0x20 or bytes[length - 1] == 0):
            length -= 1
        for i in range(length):
            count += bytes[i] == 0x5C
    return count if length else 0, length


def read_decimals(const uint8_t[::1] text not None, double[::1] out not None, Py_ssize_t count, Py_ssize_t start) -> tuple:
    """Values from byte ``start`` on into ``out[count:]``: (count, where it stopped, or -1 at the end)."""
    cdef Py_ssize_t stopped = 0
    if not (0 <= start < text.shape[0] and 0 <= count < out.shape[0]):
        return count, start
    with nogil:
        stopped = _read_decimals(&text[start], &text[0] + text.shape[0], &out[0], &count, out.shape[0])
    return count, stopped if stopped < 0 else start + stopped


def read_integers(const uint8_t[::1] text not None, int64_t[::1] out not None, Py_ssize_t count, Py_ssize_t start) -> tuple:
    """As `read_decimals`."""
    cdef Py_ssize_t stopped = 0
    if not (0 <= start < text.shape[0] and 0 <= count < out.shape[0]):
        return count, start
    with nogil:
        stopped = _read_integers(&text[start], &text[0] + text.shape[0], &out[0], &count, out.shape[0])
    return count, stopped if stopped < 0 else start + stopped


cdef Py_ssize_t _write_decimals(const double *values, Py_ssize_t count, uint8_t *out, Py_ssize_t *end) noexcept nogil:
    cdef Py_ssize_t i
    cdef int length
    for i in range(count):
        length = write_decimal(values[i], out + end[0])
        if length == 0:
            return i
        end[0] += length
        out[end[0]] = 0x5C
        end[0] += 1
    return count


def write_decimals(const double[::1] values not None, uint8_t[::1] out not None, Py_ssize_t start, Py_ssize_t at) -> tuple:
    """``values[start:]`` as text, a backslash behind each, into ``out[at:]``: (values written so far, bytes so far).

    ``out`` has 24 bytes for every value.
    """
    cdef Py_ssize_t count = values.shape[0] - start, done = 0
    if start < 0 or at < 0 or count < 1 or (out.shape[0] - at) // 24 < count:
        return start, at
    with nogil:
        done = _write_decimals(&values[start], count, &out[0], &at)
    return start + done, at


def write_integers(const int64_t[::1] values not None, uint8_t[::1] out not None) -> int:
    """All values as text, a backslash behind each; how many bytes. ``out`` has 24 bytes for every value."""
    cdef Py_ssize_t i, at = 0, count = values.shape[0]
    if count < 1 or out.shape[0] // 24 < count:
        return 0
    with nogil:
        for i in range(count):
            at += write_integer(values[i], &out[at])
            out[at] = 0x5C
            at += 1
    return at


def format_decimal(double value) -> str | None:
    """The text of one value, None where the caller knows better (see `decimal.pxd`)."""
    cdef uint8_t[32] out
    cdef int length = write_decimal(value, out)
    return (<char *>out)[:length].decode("ascii") if length else None
