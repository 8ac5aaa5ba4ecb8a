"""Numeric strings (PS3.5 section 6.2, DS and IS) to arrays of numbers and back, a whole value field in one pass.

Each function goes as far as it can and says where it stopped; a value that needs more than a machine word is the caller's.
"""

from libc.stdint cimport int64_t, uint8_t, uint64_t
from libc.string cimport memcpy, memset

from decimal cimport parse_decimal, write_decimal, write_integer
from decimals cimport dc_backslashes, dc_best_reader, dc_lowest, dc_ones, dc_reader


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


cdef inline int _parse_padded(const uint8_t *at, const uint8_t *stop, double *value) noexcept nogil:
    """What is not as plain as most: blanks around it, a plus, an exponent, many digits."""
    at = _blanks(at, stop)
    return parse_decimal(&at, stop, value) and _blanks(at, stop) == stop


cdef Py_ssize_t _read_decimals(dc_reader read, const uint8_t *first, const uint8_t *text, const uint8_t *end, double *out,
                               Py_ssize_t *done, Py_ssize_t room) noexcept nogil:
    """The bytes that were understood; -1 when that is all of them. Bytes from ``first`` on may be read."""
    cdef const uint8_t *block = text
    cdef const uint8_t *value = text
    cdef const uint8_t *stop
    cdef Py_ssize_t left = end - block, count = done[0]
    cdef uint64_t ends
    cdef uint8_t[64] tail
    while True:
        if left >= 64:
            ends = dc_backslashes(block)
        else:
            memset(tail, 0, 64)
            memcpy(tail, block, left)
            ends = dc_backslashes(tail) | <uint64_t>1 << left
        while ends:
            stop = block + dc_lowest(ends)
            ends &= ends - 1
            if count == room:
                done[0] = count
                return value - text
            if stop - first < 16 or not read(value, stop, out + count):
                if not _parse_padded(value, stop, out + count):
                    done[0] = count
                    return value - text
            count += 1
            value = stop + 1
        if left < 64:
            done[0] = count
            return -1
        block += 64
        left -= 64


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


cdef Py_ssize_t _count(const uint8_t *text, Py_ssize_t *length) noexcept nogil:
    """How many values; ``length`` becomes that without the padding behind them."""
    cdef Py_ssize_t at = 0, count = 1, stop = length[0]
    while stop and (text[stop - 1] == 0x20 or text[stop - 1] == 0):
        stop -= 1
    length[0] = stop
    if stop == 0:
        return 0
    while stop - at >= 64:
        count += dc_ones(dc_backslashes(text + at))
        at += 64
    while at < stop:
        count += text[at] == 0x5C
        at += 1
    return count


def read_decimals(const uint8_t[::1] text not None, double[::1] out not None, Py_ssize_t count, Py_ssize_t start,
                  bint words=False) -> tuple:
    """Values from byte ``start`` on into ``out[count:]``: (count, where it stopped, or -1 at the end).

    ``words``: without vector instructions, as on processors that lack them.
    """
    cdef Py_ssize_t stopped = 0
    if not (0 <= start < text.shape[0] and 0 <= count < out.shape[0]):
        return count, start
    with nogil:
        stopped = _read_decimals(
            dc_best_reader(words), &text[0], &text[start], &text[0] + text.shape[0], &out[0], &count, out.shape[0]
        )
    return count, stopped if stopped < 0 else start + stopped


def read_integers(const uint8_t[::1] text not None, int64_t[::1] out not None, Py_ssize_t count, Py_ssize_t start) -> tuple:
    """As `read_decimals`."""
    cdef Py_ssize_t stopped = 0
    if not (0 <= start < text.shape[0] and 0 <= count < out.shape[0]):
        return count, start
    with nogil:
        stopped = _read_integers(&text[start], &text[0] + text.shape[0], &out[0], &count, out.shape[0])
    return count, stopped if stopped < 0 else start + stopped


def read_text(const uint8_t[::1] text not None, bint decimal, make) -> tuple:
    """A whole value field: (array of ``make(count, type)``, values read, where that stopped or -1)."""
    cdef Py_ssize_t total = 0, count = 0, stopped = -1, length = text.shape[0]
    cdef double[::1] decimals
    cdef int64_t[::1] integers
    if length:
        total = _count(&text[0], &length)
    if decimal:
        array = make(total, float)
        if total:
            decimals = array
            total = decimals.shape[0]
            with nogil:
                stopped = _read_decimals(
                    dc_best_reader(False), &text[0], &text[0], &text[0] + length, &decimals[0], &count, total
                )
    else:
        array = make(total, "i8")
        if total:
            integers = array
            total = integers.shape[0]
            with nogil:
                stopped = _read_integers(&text[0], &text[0] + length, &integers[0], &count, total)
    return array, count, stopped


cdef int _check_fields(Py_ssize_t size, const int64_t[::1] offsets, const int64_t[::1] lengths, Py_ssize_t wanted) except -1:
    cdef Py_ssize_t i
    if offsets.shape[0] != lengths.shape[0] or offsets.shape[0] != wanted:
        raise ValueError("an offset and a length for every field are wanted")
    for i in range(offsets.shape[0]):
        if not (0 <= lengths[i] <= size and 0 <= offsets[i] <= size - lengths[i]):
            raise ValueError(f"field {i} is not within {size} bytes")
    return 0


def count_fields(const uint8_t[::1] block not None, const int64_t[::1] offsets not None, int64_t[::1] lengths not None,
                 int64_t[::1] counts not None) -> int:
    """How many values each field of a block holds, into ``counts``; ``lengths`` become those without padding; the sum."""
    cdef Py_ssize_t i, length, total = 0
    _check_fields(block.shape[0], offsets, lengths, counts.shape[0])
    with nogil:
        for i in range(offsets.shape[0]):
            length = lengths[i]
            counts[i] = _count(&block[0] + offsets[i], &length) if length else 0
            lengths[i] = length
            total += counts[i]
    return total


def read_fields(const uint8_t[::1] block not None, const int64_t[::1] offsets not None, const int64_t[::1] lengths not None,
                const int64_t[::1] counts not None, double[::1] decimals, int64_t[::1] integers,
                uint8_t[::1] left not None) -> None:
    """Fields that `count_fields` has counted, one behind the other, as ``decimals`` or, where that is None, ``integers``.

    ``left`` becomes 1 where a field holds something that only `read_decimals` by steps and its caller can tell.
    """
    cdef Py_ssize_t i, count, stopped, at = 0, room = decimals.shape[0] if decimals is not None else integers.shape[0]
    cdef const uint8_t *text
    cdef dc_reader read = dc_best_reader(False)
    _check_fields(block.shape[0], offsets, lengths, left.shape[0])
    if counts.shape[0] != left.shape[0]:
        raise ValueError("a count for every field is wanted")
    for i in range(counts.shape[0]):
        if not 0 <= counts[i] <= room - at:
            raise ValueError(f"no room for field {i}")
        at += counts[i]
    at = 0
    with nogil:
        for i in range(counts.shape[0]):
            left[i] = 0
            if counts[i] == 0:
                continue
            count = 0
            text = &block[0] + offsets[i]
            if decimals is not None:
                stopped = _read_decimals(read, &block[0], text, text + lengths[i], &decimals[at], &count, counts[i])
            else:
                stopped = _read_integers(text, text + lengths[i], &integers[at], &count, counts[i])
            left[i] = stopped >= 0
            at += counts[i]


def join_fields(const uint8_t[::1] block not None, const int64_t[::1] offsets not None, const int64_t[::1] lengths not None,
                uint8_t[::1] out not None) -> None:
    """The bytes of fields, one behind the other."""
    cdef Py_ssize_t i, at = 0
    _check_fields(block.shape[0], offsets, lengths, offsets.shape[0])
    for i in range(lengths.shape[0]):
        if lengths[i] > out.shape[0] - at:
            raise ValueError(f"no room for field {i}")
        if lengths[i]:
            memcpy(&out[at], &block[0] + offsets[i], lengths[i])
        at += lengths[i]


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
