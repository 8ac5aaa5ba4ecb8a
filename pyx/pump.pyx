"""The data path of a bulk transfer without the interpreter: socket -> P-DATA-TF -> file (PS3.8 9.3.5, Annex E), and
file -> P-DATA-TF in a buffer that is sent as it is.

`receive` moves the data set fragments of one presentation context from a non-blocking socket into a file, through a
block that the caller owns, and comes back as soon as anything else is due: it answers why, and leaves bytes that it did
not understand at the front of the block, for the ordinary path to judge. Nothing is decided here, and nothing is
waited for. What a file refuses is dropped, as is the rest of that data set, since the peer has to be answered after its
last fragment.
"""

from libc.errno cimport EAGAIN, EINTR, errno
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.string cimport memmove

from bits cimport load_u32, store_u32
from vectors cimport iovec, passed, ssize_t, write_all

cdef extern from "<sys/types.h>" nogil:
    ctypedef long long off_t

cdef extern from "<sys/socket.h>" nogil:
    ssize_t recv(int socket, void *buffer, size_t length, int flags)

cdef extern from "<sys/uio.h>" nogil:
    ssize_t preadv(int file, const iovec *vector, int count, off_t offset)

cdef enum Reason:
    R_AGAIN = 0     # the socket is empty, or probably so
    R_LAST = 1      # the last fragment is written
    R_OTHER = 2     # what comes next is for the ordinary path
    R_ENDED = 3     # the peer closed its direction
    R_BROKEN = 4    # the socket failed
    R_MORE = 5      # as much as was asked for has been moved

cdef enum:
    VECTOR_COUNT = 64
    PDV_HEADER = 6
    PDU_HEADER = 6
    P_DATA_TF = 4
    COMMAND = 1
    LAST_FRAGMENT = 2

AGAIN = <int>R_AGAIN
LAST = <int>R_LAST
OTHER = <int>R_OTHER
ENDED = <int>R_ENDED
BROKEN = <int>R_BROKEN
MORE = <int>R_MORE
HEADER = <int>PDU_HEADER + <int>PDV_HEADER


cdef struct Frame:
    uint64_t pdu_rest      # bytes of the current PDU not passed yet, header of the next fragment included
    uint64_t pdv_rest      # bytes of the current fragment not passed yet
    uint64_t longest_pdu
    uint64_t longest_pdv
    uint32_t context_id
    bint last              # the current fragment is the last


cdef struct Span:
    uint64_t start         # first byte of the block that is not passed
    uint64_t stop          # end of what was received


cdef int _scatter(
    const uint8_t *block, Span *span, Frame *frame, iovec *vector, int *count, uint64_t *length
) noexcept nogil:
    """Take whole and partial fragments off the front of the span, as many as the vector takes.

    R_MORE: the vector is full. R_AGAIN: bytes are missing. R_LAST, R_OTHER: as they say.
    """
    cdef uint64_t at = span.start, pdu_rest, header, size, left
    cdef int reason = R_AGAIN
    count[0] = 0
    length[0] = 0
    while True:
        if frame.pdv_rest:
            if at == span.stop:
                break
            if count[0] == VECTOR_COUNT:
                reason = R_MORE
                break
            size = min(frame.pdv_rest, span.stop - at)
            vector[count[0]].iov_base = <void *>(block + at)
            vector[count[0]].iov_len = size
            count[0] += 1
            length[0] += size
            at += size
            frame.pdv_rest -= size
            frame.pdu_rest -= size
            if frame.pdv_rest:
                break
            if frame.last:
                reason = R_LAST
                break
            continue
        left = span.stop - at
        pdu_rest = frame.pdu_rest
        if pdu_rest and pdu_rest < PDV_HEADER:  # no fragment fits in: a fault that needs no further byte
            reason = R_OTHER
            break
        if not left:
            break
        header = PDV_HEADER
        if not pdu_rest:
            if block[at] != P_DATA_TF:
                reason = R_OTHER
                break
            header += PDU_HEADER
        if left < header:
            break
        if not pdu_rest:
            pdu_rest = load_u32(block + at + 2, True)
            if pdu_rest > frame.longest_pdu:
                reason = R_OTHER
                break
        size = load_u32(block + at + header - 6, True)
        if (
            pdu_rest < PDV_HEADER
            or size < 2
            or size - 2 > pdu_rest - PDV_HEADER
            or size - 2 > frame.longest_pdv
            or block[at + header - 2] != frame.context_id
            or block[at + header - 1] & COMMAND
        ):
            reason = R_OTHER
            break
        frame.last = (block[at + header - 1] & LAST_FRAGMENT) != 0
        frame.pdu_rest = pdu_rest - PDV_HEADER
        frame.pdv_rest = size - 2
        at += header
        if not frame.pdv_rest and frame.last:
            reason = R_LAST
            break
    span.start = at
    return reason


cdef int _receive(
    int sock, int file, uint8_t *block, uint64_t size, uint64_t most, Frame *frame, Span *span, uint64_t *moved,
    uint64_t *received, int *error, bint *short_read
) noexcept nogil:
    cdef iovec vector[VECTOR_COUNT]
    cdef int count = 0, reason
    cdef uint64_t length = 0, room
    cdef ssize_t got
    while True:
        room = size - span.stop
        got = recv(sock, block + span.stop, room, 0)
        if got <= 0:
            short_read[0] = True
            if got == 0:
                return R_ENDED
            return R_AGAIN if errno == EAGAIN or errno == EINTR else R_BROKEN
        span.stop += got
        received[0] += got
        short_read[0] = <uint64_t>got < room
        while True:
            reason = _scatter(block, span, frame, vector, &count, &length)
            moved[0] += length
            if file >= 0 and count:
                error[0] = write_all(file, vector, count)
                if error[0]:
                    file = -1
            if reason != R_MORE:
                break
        if span.start:
            memmove(block, block + span.start, span.stop - span.start)
            span.stop -= span.start
            span.start = 0
        if reason != R_AGAIN or short_read[0]:
            return reason
        if moved[0] >= most:
            return R_MORE


def receive(
    int sock,
    int file,
    uint8_t[::1] block not None,
    uint64_t held,
    tuple state not None,
    tuple longest not None,
    uint64_t most,
):
    """Move about ``most`` bytes of fragments, or fewer: (reason, short, error, bytes received, moved, held, state).

    ``block`` begins with ``held`` bytes that were received before and not understood (less than the headers of a
    fragment), and so it does afterwards. ``state``: (context id, rest of the PDU, rest of the fragment, whether that is
    the last). ``longest``: PDU, as its length field counts, and fragment without headers. ``file`` -1 drops what comes.
    ``short``: the last read left room, so the socket is probably empty. ``error``: the errno of the file, or 0.
    """
    cdef Frame frame
    cdef Span span
    cdef uint64_t moved = 0, received = 0, size = block.shape[0]
    cdef int error = 0, reason
    cdef bint short_read = False
    frame.context_id, frame.pdu_rest, frame.pdv_rest, frame.last = state
    frame.longest_pdu, frame.longest_pdv = longest
    if held >= size:
        raise ValueError("the block has no room")
    if frame.pdv_rest > frame.pdu_rest:
        raise ValueError("a fragment is not longer than its PDU")
    span.start = 0
    span.stop = held
    with nogil:
        reason = _receive(
            sock, file, &block[0], size, most, &frame, &span, &moved, &received, &error, &short_read
        )
    rest = frame.context_id, frame.pdu_rest, frame.pdv_rest, bool(frame.last)
    return reason, bool(short_read), error, received, moved, span.stop, rest


cdef int _read(int file, uint64_t at, iovec *vector, int count, bint *shorter) noexcept nogil:
    """Fill all of it from there; 0, or the error number."""
    cdef int done = 0
    cdef ssize_t got
    while done < count:
        got = preadv(file, vector + done, count - done, <off_t>at)
        if got > 0:
            done += passed(vector + done, count - done, got)
            at += got
        elif got == 0:
            shorter[0] = True
            return 0
        elif errno != EINTR:
            return errno
    return 0


cdef int _frame(
    int file, uint64_t offset, uint64_t *position, uint64_t stop, uint64_t size, int context_id, int flags, bint last,
    uint8_t *out, uint64_t room, uint64_t most, uint64_t *used
) noexcept nogil:
    cdef iovec vector[VECTOR_COUNT]
    cdef int count, error
    cdef uint64_t start, begin, length, filled = 0
    cdef bint shorter = False
    cdef uint8_t *header
    while position[0] < stop and filled < most:
        count = 0
        begin = start = position[0]
        while start < stop and count < VECTOR_COUNT and filled < most:
            length = min(size, stop - start)
            if room - filled < PDU_HEADER + PDV_HEADER + length:
                break
            header = out + filled
            header[0] = P_DATA_TF
            header[1] = 0
            store_u32(header + 2, <uint32_t>(length + PDV_HEADER), True)
            store_u32(header + 6, <uint32_t>(length + 2), True)
            header[10] = context_id
            header[11] = flags | (LAST_FRAGMENT if last and start + length == stop else 0)
            vector[count].iov_base = header + PDU_HEADER + PDV_HEADER
            vector[count].iov_len = length
            count += 1
            filled += PDU_HEADER + PDV_HEADER + length
            start += length
        if not count:
            break
        error = _read(file, offset + begin, vector, count, &shorter)
        if error or shorter:  # whole PDUs that were framed before may be sent; the next call finds this again
            return error if not used[0] else 0
        position[0] = start
        used[0] = filled
    return 0


def frame(
    int file,
    uint64_t offset,
    uint64_t position,
    uint64_t stop,
    uint64_t size,
    uint8_t context_id,
    uint8_t flags,
    bint last,
    uint8_t[::1] out not None,
    uint64_t most,
):
    """Frame the bytes ``position`` to ``stop`` of what begins at ``offset`` of a file: (error number, reached, used).

    ``out`` is filled with whole P-DATA-TF of one fragment of ``size`` bytes each, the last perhaps shorter, until
    ``most`` bytes are reached or the next does not fit. Nothing reached without an error: the file is shorter.
    """
    cdef uint64_t used = 0, room = out.shape[0]
    cdef int error
    if not 0 < size <= 0xFFFFFFFF - PDV_HEADER or position > stop or stop > 0x7FFFFFFFFFFFFFFF - offset:
        raise ValueError("a stretch that cannot be framed")
    if room < PDU_HEADER + PDV_HEADER + min(size, stop - position):
        raise ValueError("the buffer has no room for one PDU")
    with nogil:
        error = _frame(file, offset, &position, stop, size, context_id, flags, last, &out[0], room, most, &used)
    return error, position, used
