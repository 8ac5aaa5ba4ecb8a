"""Dose grids (PS3.3 C.8.8.3): stored integers to dose in one pass, their counts in bins, dose at points, and back.

Every function works on one run of voxels and lets go of the GIL; several at once on parts of a grid are as right as one.
A `Coding` says how a stored number lies in its bytes. Floating arrays come as flat buffers of float or double.
"""

cimport cython
from libc.math cimport NAN
from libc.stdint cimport int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t

from voxels cimport dv_bins, dv_coding, dv_count, dv_extent, dv_guess, dv_scale, dv_store

ctypedef fused real:
    float
    double

cdef enum:
    TABLES = 4
    MOST = 0x7FFFFFFF  # voxels a call, so that no count overflows

cdef int64_t FAR = <int64_t>1 << 33  # beyond every 32-bit number
cdef int64_t INT32_MOST = 0x7FFFFFFF
cdef int64_t INT32_LEAST = -INT32_MOST - 1

LITTLE = 0
BIG = 1
WORDS = 2


@cython.final
cdef class Coding:
    """How stored numbers lie in bytes: ``allocated`` bits (16 or 32) of which the lower ``stored`` count, in two's
    complement if ``signed``; ``order`` is LITTLE, BIG, or WORDS: big-endian words of 16 bits, the lower one first."""

    cdef dv_coding c
    cdef readonly int allocated
    cdef readonly int stored
    cdef readonly bint signed
    cdef readonly int order

    def __init__(self, int allocated, int stored, bint signed, int order) -> None:
        cdef uint16_t probe = 1
        cdef bint big_host = (<uint8_t *>&probe)[0] == 0
        if allocated not in (16, 32) or not 1 <= stored <= allocated or not 0 <= order <= 2:
            raise ValueError("16 or 32 bits are allocated, 1 to all of them stored")
        self.allocated, self.stored, self.signed, self.order = allocated, stored, signed, order
        if allocated == 16:
            self.c.kind = 1 if (order != 0) != big_host else 0
        else:
            self.c.kind = 4 if order == 2 else 3 if (order == 1) != big_host else 2
        self.c.shift = 32 - stored
        self.c.flip = 0 if signed else 0x80000000
        self.c.bias = 0.0 if signed else <double>(<uint64_t>1 << (stored - 1))

    @property
    def lowest(self) -> int:
        """The lowest number that can be stored."""
        return -(<int64_t>1 << (self.stored - 1)) if self.signed else 0

    @property
    def highest(self) -> int:
        """The highest number that can be stored."""
        return (<int64_t>1 << (self.stored - self.signed)) - 1


cdef int64_t _count_of(const uint8_t[::1] stored, Coding coding) except -1:
    cdef int64_t width = coding.allocated >> 3
    if stored.shape[0] % width:
        raise ValueError("stored bytes are no whole number of voxels")
    if stored.shape[0] // width > MOST:
        raise ValueError("too many voxels for one call")
    return stored.shape[0] // width


cdef tuple _extent(dv_extent found, Coding coding, int64_t count):
    cdef int64_t bias = <int64_t>coding.c.bias
    return found.low + bias, found.high + bias, found.total + count * bias


def scale(const uint8_t[::1] stored not None, Coding coding not None, double scaling, real[::1] out not None,
          bint measured=False) -> tuple | None:
    """``out[i] = stored[i] * scaling``, multiplied as doubles, then rounded to the type of ``out``.

    With ``measured`` the (lowest, highest, sum) of the stored numbers, exactly.
    """
    cdef int64_t count = _count_of(stored, coding)
    cdef dv_extent found
    if out.shape[0] != count:
        raise ValueError("out holds another number of voxels")
    if count == 0:
        return None
    found.low, found.high, found.total = 0x7FFFFFFF, -0x7FFFFFFF - 1, 0
    with nogil:
        dv_scale(&stored[0], &out[0], count, &coding.c, scaling, &found, real is double, measured)
    return _extent(found, coding, count) if measured else None


def measure(const uint8_t[::1] stored not None, Coding coding not None) -> tuple | None:
    """(lowest, highest, sum) of the stored numbers; None when there are none."""
    cdef int64_t count = _count_of(stored, coding)
    cdef dv_extent found
    if count == 0:
        return None
    found.low, found.high, found.total = 0x7FFFFFFF, -0x7FFFFFFF - 1, 0
    with nogil:
        dv_scale(&stored[0], NULL, count, &coding.c, 1.0, &found, 2, True)
    return _extent(found, coding, count)


def count(const uint8_t[::1] stored not None, Coding coding not None, const int64_t[::1] starts not None,
          uint32_t[:, ::1] counts not None, const uint8_t[::1] mask=None) -> None:
    """Add to ``counts`` (4 x bins + 2: below, the bins, above) how many stored numbers lie in each bin.

    Bin b holds ``starts[b] <= number < starts[b + 1]``; ``starts`` ascends. Sum the four rows: they are parts. Where
    ``mask`` is 0 nothing is counted.
    """
    cdef int64_t total = _count_of(stored, coding), bins = starts.shape[0] - 1, i, bias = <int64_t>coding.c.bias
    cdef int64_t[::1] slots
    cdef dv_bins c
    if not 1 <= bins < MOST - 1 or counts.shape[0] != TABLES or counts.shape[1] != bins + 2:
        raise ValueError("counts is 4 x (bins + 2)")
    if mask is not None and mask.shape[0] != total:
        raise ValueError("the mask is of another number of voxels")
    for i in range(bins):
        if starts[i] > starts[i + 1]:
            raise ValueError("starts do not ascend")
    if total == 0:
        return
    slots = cython.view.array((bins + 3,), itemsize=8, format="q")
    slots[0], slots[bins + 2] = -FAR, FAR
    for i in range(bins + 1):  # what no stored number reaches is drawn near
        slots[i + 1] = min(max(starts[i] - bias, -FAR), FAR)
    c.bins = bins
    c.starts = &slots[0]
    c.inverse = bins / <double>max(slots[bins + 1] - slots[1], 1)
    c.origin = <double>slots[1] + 1.0 - 1.0 / c.inverse
    c.near = True
    for i in range(1, bins + 2):  # guesses ascend, so these are the worst
        if slots[i] > INT32_LEAST and _guess(slots[i] - 1, &c) > i - 1:
            c.near = False
        if slots[i] <= INT32_MOST and _guess(slots[i], &c) < i - 1:
            c.near = False
    with nogil:
        dv_count(&stored[0], total, &coding.c, &c, &mask[0] if mask is not None else NULL, &counts[0, 0])


cdef inline int64_t _guess(int64_t x, const dv_bins *bins) noexcept nogil:
    return dv_guess(<int32_t>min(max(x, INT32_LEAST), INT32_MOST), bins.origin, bins.inverse, <double>bins.bins)


def count_values(const real[::1] values not None, const double[::1] edges not None, uint32_t[:, ::1] counts not None,
                 const uint8_t[::1] mask=None) -> None:
    """As `count`, of floating values between ``edges``, equally far apart; the last bin holds its upper edge. No NaN counts.
    """
    cdef int64_t total = values.shape[0], bins = edges.shape[0] - 1, i, slot
    cdef double low, high, inverse, value
    if bins < 1 or counts.shape[0] != TABLES or counts.shape[1] != bins + 2 or not edges[0] < edges[bins]:
        raise ValueError("counts is 4 x (bins + 2), and edges ascend")
    if mask is not None and mask.shape[0] != total:
        raise ValueError("the mask is of another number of voxels")
    low, high = edges[0], edges[bins]
    inverse = bins / (high - low)
    with nogil:
        for i in range(total):
            if mask is not None and not mask[i]:
                continue
            value = values[i]
            if low <= value <= high:
                slot = <int64_t>((value - low) * inverse)
                if slot >= bins:
                    slot = bins - 1
                while value < edges[slot]:
                    slot -= 1
                while slot < bins - 1 and value >= edges[slot + 1]:
                    slot += 1
                counts[i & 3, slot + 1] += 1
            elif value < low:
                counts[i & 3, 0] += 1
            elif value > high:
                counts[i & 3, bins + 1] += 1


def store(const real[::1] values not None, double scaling, int64_t lowest, int64_t highest,
          uint8_t[::1] out=None, int bits=0) -> float:
    """Stored numbers ``values / scaling`` in this machine's byte order into ``out``: the nearest, within the bounds.

    ``bits`` is 16 or 32, or 0 with no ``out``. Answers the greatest ``|stored * scaling - value|``.
    """
    cdef int64_t total = values.shape[0]
    cdef double worst = 0.0
    if bits not in (0, 16, 32) or (out is None) != (bits == 0) or (bits and out.shape[0] != total * (bits >> 3)):
        raise ValueError("out holds another number of voxels")
    if total == 0:
        return 0.0
    with nogil:
        worst = dv_store(&values[0], &out[0] if out is not None else NULL, total, scaling, lowest, highest, real is double,
                         bits)
    return worst


cdef inline int _place(double at, int64_t count, double slack, int64_t *below, double *part) noexcept nogil:
    """The voxel at or below an index and the part of the way to the next; 0 when that is outside (NaN too)."""
    cdef double last = <double>(count - 1)
    if not -slack <= at <= last + slack:
        return 0
    at = min(max(at, 0.0), last)
    below[0] = <int64_t>at
    if below[0] > 0 and below[0] == count - 1:
        below[0] -= 1
    part[0] = at - <double>below[0]
    return 1


cdef inline double _frame_index(const double *offsets, int64_t frames, double offset, double slack) noexcept nogil:
    """Where ``offset`` (mm) lies among those of the frames, which ascend; NaN when outside by more than ``slack``."""
    cdef int64_t low = 0, high = frames - 1, middle
    if not offsets[0] - slack <= offset <= offsets[high] + slack:
        return NAN
    if frames == 1 or offset <= offsets[0]:
        return 0.0
    if offset >= offsets[high]:
        return <double>high
    middle = <int64_t>((offset - offsets[0]) / (offsets[high] - offsets[0]) * <double>high)  # right, when all are equal
    if middle < high and offsets[middle] <= offset < offsets[middle + 1]:
        low, high = middle, middle + 1
    while high - low > 1:
        middle = (low + high) >> 1
        if offsets[middle] <= offset:
            low = middle
        else:
            high = middle
    return <double>low + (offset - offsets[low]) / (offsets[low + 1] - offsets[low])


def sample(const real[:, :, ::1] grid not None, const double[::1] offsets not None, const double[:, ::1] points not None,
           const double[::1] origin not None, const double[:, ::1] axes not None, double slack, double fill,
           double[::1] out not None) -> None:
    """Dose at ``points`` (n x 3, mm) between the eight voxels around each; ``fill`` outside of the grid of centres.

    ``axes``: what (point - origin) is multiplied with to become mm along the normal, rows and columns of index; ``offsets``
    of the frames ascend. A point outside by no more than ``slack`` mm is taken to the border.
    """
    cdef int64_t frames = grid.shape[0], rows = grid.shape[1], columns = grid.shape[2], i
    cdef int64_t f = 0, r = 0, c = 0, next_f, next_r, next_c
    cdef double x, y, z, at, df = 0.0, dr = 0.0, dc = 0.0, row_slack, column_slack, near, far
    if points.shape[1] != 3 or origin.shape[0] != 3 or axes.shape[0] != 3 or axes.shape[1] != 3:
        raise ValueError("points are n x 3")
    if out.shape[0] != points.shape[0] or offsets.shape[0] != frames or not (frames and rows and columns):
        raise ValueError("out, offsets and grid do not fit")
    with nogil:
        row_slack = slack * _length(&axes[1, 0])
        column_slack = slack * _length(&axes[2, 0])
        for i in range(points.shape[0]):
            x, y, z = points[i, 0] - origin[0], points[i, 1] - origin[1], points[i, 2] - origin[2]
            out[i] = fill
            at = _frame_index(&offsets[0], frames, axes[0, 0] * x + axes[0, 1] * y + axes[0, 2] * z, slack)
            if not _place(at, frames, 0.0, &f, &df):
                continue
            if not _place(axes[1, 0] * x + axes[1, 1] * y + axes[1, 2] * z, rows, row_slack, &r, &dr):
                continue
            if not _place(axes[2, 0] * x + axes[2, 1] * y + axes[2, 2] * z, columns, column_slack, &c, &dc):
                continue
            next_f, next_r, next_c = f + (frames > 1), r + (rows > 1), c + (columns > 1)
            near = _between(_between(grid[f, r, c], grid[f, r, next_c], dc),
                            _between(grid[f, next_r, c], grid[f, next_r, next_c], dc), dr)
            far = _between(_between(grid[next_f, r, c], grid[next_f, r, next_c], dc),
                           _between(grid[next_f, next_r, c], grid[next_f, next_r, next_c], dc), dr)
            out[i] = _between(near, far, df)


cdef inline double _between(double near, double far, double part) noexcept nogil:
    return near * (1.0 - part) + far * part


cdef inline double _length(const double *vector) noexcept nogil:
    return (vector[0] * vector[0] + vector[1] * vector[1] + vector[2] * vector[2]) ** 0.5
