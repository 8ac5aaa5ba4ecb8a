"""A file that is to be sent, opened in one step: descriptor, size, beginning, and what its meta information says
(PS3.10 7.1), where all of that is as it should be.

Only what is beyond doubt is taken: preamble and prefix, a group length that is true, elements in order with their VR,
UIDs of digits and dots, a transfer syntax that the caller knows, and a first element that is encoded in it. For
anything else the answer is None, and the ordinary reader decides, which also says what is wrong.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from cpython.unicode cimport PyUnicode_DecodeASCII
from libc.errno cimport EINTR, errno
from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcmp, memset, strlen

from bits cimport load_tag, load_u32
from cursor cimport FORM_LONG, are_letters, vr_form
from meta_header cimport META_OVER, next_meta
from status cimport STATUS_OK

cdef extern from "Python.h":
    bytes PyUnicode_EncodeFSDefault(object text)
    int PySys_Audit(const char *event, const char *format, ...) except -1

cdef extern from "<sys/types.h>" nogil:
    ctypedef long ssize_t
    ctypedef long long off_t

cdef extern from "<sys/stat.h>" nogil:
    struct stat_of "stat":
        unsigned int st_mode
        off_t st_size
    int fstat(int file, stat_of *status)
    bint S_ISREG(unsigned int mode)

cdef extern from "<fcntl.h>" nogil:
    int O_RDONLY, O_NONBLOCK, O_CLOEXEC
    int c_open "open"(const char *path, int flags)

cdef extern from "<unistd.h>" nogil:
    ssize_t pread(int file, void *buffer, size_t count, off_t offset)
    int c_close "close"(int file)

cdef enum:
    ROOM = 32 * 1024  # files up to this are read whole
    HEAD = 4096       # of others: more than file meta information takes
    COUNT_LIMIT = 64  # no meta group has as many elements
    UID_LENGTH = 64
    CLASS = 0
    INSTANCE = 1
    SYNTAX = 2

cdef struct Part:
    const uint8_t *start
    uint64_t length

cdef struct Found:
    Part uids[3]
    uint64_t offset  # of the data set
    bint explicit    # its first element has a VR


cdef bint _uid(const uint8_t *p, uint64_t length, Part *uid) noexcept nogil:
    """Digits and dots, padded or not (PS3.5 9.1)."""
    cdef uint64_t i
    if length and p[length - 1] == 0:
        length -= 1
    if not 0 < length <= UID_LENGTH:
        return False
    for i in range(length):
        if not (48 <= p[i] <= 57 or p[i] == 46):
            return False
    uid.start = p
    uid.length = length
    return True


cdef bint _first(const uint8_t *p, bint *explicit) noexcept nogil:
    """Whether the first element is one of group 0008, and whether it has a VR of the standard."""
    cdef uint32_t tag = load_tag(p, False)
    if tag >> 16 != 8:
        return False
    explicit[0] = vr_form(p[4], p[5]) <= FORM_LONG
    return explicit[0] or tag in (
        <uint32_t>0x00080000, <uint32_t>0x00080005, <uint32_t>0x00080008, <uint32_t>0x00080012, <uint32_t>0x00080016
    )


cdef bint _walk(const uint8_t *head, uint64_t size, Found *found) noexcept nogil:
    """The meta information in the first bytes of a file; False when there is anything to say about it."""
    cdef uint64_t at = 132, header = 0, length = 0, claimed
    cdef uint16_t element = 0
    cdef int status, count, last = -1, which
    memset(found, 0, sizeof(Found))
    if size < 144 or memcmp(head + 128, b"DICM\2\0\0\0UL\4\0", 12):
        return False
    claimed = load_u32(head + 140, False)
    for count in range(COUNT_LIMIT):
        status = next_meta(head + at, size - at, &element, &header, &length)
        if status == META_OVER:
            found.offset = at
            return (
                at - 144 == claimed
                and found.uids[CLASS].length
                and found.uids[INSTANCE].length
                and found.uids[SYNTAX].length
                and _first(head + at, &found.explicit)
            )
        if (
            status != STATUS_OK
            or element <= last
            or not are_letters(head[at + 4], head[at + 5])
            or length > size - at - header
        ):
            return False
        which = CLASS if element == 2 else INSTANCE if element == 3 else SYNTAX if element == 0x10 else -1
        if which >= 0 and not _uid(head + at + header, length, &found.uids[which]):
            return False
        last = element
        at += header + length
    return False


cdef int _open(const char *path, uint8_t *head, uint64_t *size, uint64_t *length, Found *found) noexcept nogil:
    """The descriptor of a file of which everything is known, or -1."""
    cdef stat_of status
    cdef ssize_t got
    cdef int file = c_open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC)  # the opener of a FIFO would wait for its writer
    if file < 0:
        return -1
    if fstat(file, &status) == 0 and S_ISREG(status.st_mode):
        size[0] = <uint64_t>status.st_size
        length[0] = size[0] if size[0] <= ROOM else <uint64_t>HEAD
        got = -1
        while got < 0:
            got = pread(file, head, length[0], 0)
            if got < 0 and errno != EINTR:
                break
        if got >= 0 and <uint64_t>got == length[0] and _walk(head, length[0], found):
            return file
    c_close(file)
    return -1


cdef inline object _text(Part *uid):
    return PyUnicode_DecodeASCII(<const char *>uid.start, <Py_ssize_t>uid.length, NULL)


def open_plain(str path not None, dict syntaxes not None):
    """(SOP class, SOP instance, transfer syntax, data set, offset, length, descriptor), or None: not plain, or not there.

    The data set is in memory and the descriptor -1 where the file is small; else it begins at ``offset`` of a file
    that is open and the caller's to close. ``syntaxes``: those that are plain, as they stand in a file without
    padding: (UID, whether explicit). Raises what an audit hook raises for "open", and for a path that is none.
    """
    cdef uint8_t head[ROOM]
    cdef uint64_t size = 0, length = 0
    cdef Found found
    cdef int file
    cdef bytes name = PyUnicode_EncodeFSDefault(path)
    cdef const char *raw = PyBytes_AS_STRING(name)
    cdef tuple syntax
    if strlen(raw) != <size_t>len(name):
        return None
    PySys_Audit(b"open", b"OOi", <void *>path, <void *>None, O_RDONLY | O_NONBLOCK | O_CLOEXEC)
    with nogil:
        file = _open(raw, head, &size, &length, &found)
    if file < 0:
        return None
    try:
        syntax = syntaxes.get(found.uids[SYNTAX].start[: found.uids[SYNTAX].length])
        if syntax is None or <bint>syntax[1] != found.explicit:
            return None
        sop_class, sop_instance = _text(&found.uids[CLASS]), _text(&found.uids[INSTANCE])
        if length == size:
            data = PyBytes_FromStringAndSize(<char *>head + found.offset, <Py_ssize_t>(size - found.offset))
            return sop_class, sop_instance, syntax[0], data, found.offset, size - found.offset, -1
        opened = sop_class, sop_instance, syntax[0], None, found.offset, size - found.offset, file
        file = -1
        return opened
    finally:
        if file >= 0:
            c_close(file)
