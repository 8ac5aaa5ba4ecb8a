"""A whole file in one step, without the interpreter: written under a name of its own, then renamed (PS3.10 7).

The steps are those of `encoding.sink.FileSink` where the process may end at any moment: a new file is made and locked as
being written, gets every piece, is closed, and only then gets its name. Whatever fails before that leaves nothing.
Since everything is at hand, whoever takes the file for a leftover before it has its name is no harm: that is noticed,
and the caller gives it another name to begin with.
"""

from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from libc.errno cimport EAGAIN, EEXIST, EINTR, ENOENT, errno
from libc.string cimport strlen

from vectors cimport iovec, write_all

cdef extern from "Python.h":
    object PyUnicode_EncodeFSDefault(object text)

cdef extern from "<fcntl.h>" nogil:
    enum:
        O_CLOEXEC
        O_CREAT
        O_EXCL
        O_WRONLY
    int open(const char *path, int flags, int mode)

cdef extern from "<sys/file.h>" nogil:
    enum:
        LOCK_EX
        LOCK_NB
    int flock(int file, int operation)

cdef extern from "<unistd.h>" nogil:
    int close(int file)
    int unlink(const char *path)

cdef extern from "<stdio.h>" nogil:
    int rename(const char *source, const char *target)

cdef enum:
    PIECE_COUNT = 64
    MODE = 0o666    # less what the umask takes
    TAKEN = -1

ANOTHER = <int>TAKEN
MOST = <int>PIECE_COUNT


cdef int _make(const char *temporary) noexcept nogil:
    """A new file; its descriptor, or the error number as a negative number."""
    cdef int file
    while True:
        file = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, MODE)
        if file >= 0:
            return file
        if errno != EINTR:
            return -errno


cdef int _deposit(const char *temporary, const char *final, iovec *vector, int count) noexcept nogil:
    cdef int file = _make(temporary), error
    if file < 0:
        return TAKEN if file == -EEXIST else -file
    if flock(file, LOCK_EX | LOCK_NB) and errno == EAGAIN:  # any other fault: a file system without locks
        close(file)
        unlink(temporary)
        return TAKEN
    error = write_all(file, vector, count)
    if close(file) and not error and errno != EINTR:  # a network file system may report a full disk only here
        error = errno
    if not error:
        if not rename(temporary, final):
            return 0
        error = errno
        if error == ENOENT and unlink(temporary) and errno == ENOENT:  # somebody has removed it
            return TAKEN
    unlink(temporary)
    return error


cdef bytes _encoded(str path):
    """As the file system has it."""
    cdef bytes encoded = PyUnicode_EncodeFSDefault(path)
    if strlen(encoded) != <size_t>len(encoded):
        raise ValueError("embedded null byte")
    return encoded


def deposit(str temporary not None, str final not None, list pieces not None):
    """Make a file of at most MOST ``pieces`` and give it its final name, which may be taken.

    0, an error number, or ANOTHER: the temporary name is taken, or was taken for that of a leftover.
    """
    cdef Py_buffer views[PIECE_COUNT]
    cdef iovec vector[PIECE_COUNT]
    cdef int count = 0, taken = 0, error
    cdef bytes begun = _encoded(temporary), named = _encoded(final)
    cdef const char *source = begun
    cdef const char *target = named
    try:
        for piece in pieces:
            if taken == PIECE_COUNT:
                raise ValueError(f"more than {PIECE_COUNT} pieces")
            PyObject_GetBuffer(piece, &views[taken], PyBUF_SIMPLE)
            taken += 1
            if views[taken - 1].len:
                vector[count].iov_base = views[taken - 1].buf
                vector[count].iov_len = views[taken - 1].len
                count += 1
        with nogil:
            error = _deposit(source, target, vector, count)
    finally:
        while taken:
            taken -= 1
            PyBuffer_Release(&views[taken])
    return error
