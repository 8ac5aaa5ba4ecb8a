# Header only. Gathered writes: several pieces of memory to a file, all of them.

from libc.errno cimport EINTR, errno
from libc.stdint cimport uint8_t

cdef extern from "<sys/types.h>" nogil:
    ctypedef long ssize_t

cdef extern from "<sys/uio.h>" nogil:
    struct iovec:
        void *iov_base
        size_t iov_len
    ssize_t writev(int file, const iovec *vector, int count)


cdef inline int passed(iovec *vector, int count, size_t length) noexcept nogil:
    """So many bytes from the front are done with: how many pieces are, the next one being cut to what is left of it."""
    cdef int done = 0
    while done < count and length >= vector[done].iov_len:
        length -= vector[done].iov_len
        done += 1
    if done < count:
        vector[done].iov_base = <uint8_t *>vector[done].iov_base + length
        vector[done].iov_len -= length
    return done


cdef inline int write_all(int file, iovec *vector, int count) noexcept nogil:
    """All of it; 0, or the error number."""
    cdef int done = 0
    cdef ssize_t written
    while done < count:
        written = writev(file, vector + done, count - done)
        if written >= 0:
            done += passed(vector + done, count - done, written)
        elif errno != EINTR:
            return errno
    return 0
