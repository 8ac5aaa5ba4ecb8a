"""The way from an attribute's name to its value, for the case that nearly every read is: a short, unedited, explicit value.

`Level` is the base of Dataset. Its attribute lookup tries the keyword table first, finds the row in the table that the scan
made, copies the value field and has it decoded. Whatever is out of the ordinary (edits, sequences, unknown or ambiguous VRs,
long values, values outside the head that is in memory, faults) is left to ``_read``, the Python method that knows it all.
"""

cimport cython
from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_FromStringAndSize
from cpython.dict cimport PyDict_GetItem, PyDict_Size
from cpython.list cimport PyList_GET_SIZE
from cpython.object cimport PyObject, PyObject_GenericGetAttr
from libc.stdint cimport uint32_t
from row cimport CUT, FRAGMENTS, WALKED, Row

cdef enum:
    LONGEST = 4096  # of the values that are copied here

cdef dict _keywords = {}
cdef list _vrs = [None] * 1024  # by the five low bits of both letters; upper case only
cdef set _texts = set()
cdef object _decode = None
cdef object _many = None


def setup(dict keywords not None, dict vrs not None, texts, decode, many) -> None:
    """Once, at import: keyword -> tag, VR code -> VR, the VRs that need a character set, the decoder, its list type."""
    global _keywords, _decode, _many
    _keywords = keywords
    for code, vr in vrs.items():
        _vrs[(code >> 8 & 31) << 5 | code & 31] = vr
    _texts.update(texts)
    _decode = decode
    _many = many


@cython.final
cdef class Keeper:
    """The owner of a list that was read: when the list changes, the data set adopts it as an edit."""

    cdef object level
    cdef object tag
    cdef object vr

    def __call__(self, value) -> None:
        self.level._adopt(self.tag, self.vr, value)


cdef class Level:
    """What a Dataset is made of: its origin, edits, touched sequences, and file meta information."""

    cdef object __weakref__
    cdef object origin
    cdef public dict _edits
    cdef public dict _sequences
    cdef public object _meta
    cdef object index     # keeps `rows` alive
    cdef const Row *rows  # NULL: not looked at yet, or to be left to Python
    cdef size_t count
    cdef bint left
    cdef bint big
    cdef tuple charsets
    cdef object head      # a memoryview; it keeps its exporter from moving the bytes
    cdef const char *bytes
    cdef size_t length

    def __cinit__(self, *_, **__) -> None:
        self._edits = {}
        self._sequences = {}

    @property
    def _origin(self) -> object:
        return self.origin

    @_origin.setter
    def _origin(self, origin) -> None:
        self.origin = origin
        self.rows = NULL
        self.index = self.charsets = self.head = None
        self.left = False

    cdef int attach(self) except -1:
        """Take hold of the table and the head, or leave all reads to Python."""
        cdef Py_buffer view
        self.left = True
        if self.origin is None:
            return 0
        index = self.origin.index
        if not index.ascending:
            return 0
        self.head = self.origin.head
        PyObject_GetBuffer(self.head, &view, PyBUF_SIMPLE)
        self.bytes = <const char *>view.buf
        self.length = <size_t>view.len
        PyBuffer_Release(&view)
        self.index = index
        self.count = len(index)
        self.big = index.big_endian
        self.rows = <const Row *><size_t>index.address
        return 0

    def __getattribute__(self, name):
        cdef PyObject *tag = PyDict_GetItem(_keywords, name)
        if tag == NULL:
            try:
                return PyObject_GenericGetAttr(self, name)
            except AttributeError:
                if hasattr(type(self), name):
                    raise  # from within a property
                return PyObject_GenericGetAttr(self, "_missing")(name)
        if PyDict_Size(self._edits) == 0:
            if self.rows == NULL and not self.left:
                self.attach()
            if self.rows != NULL:
                value = self.quick(<object>tag)
                if value is not None:
                    return value
        return PyObject_GenericGetAttr(self, "_read")(<object>tag, name)

    cdef object quick(self, object tag):
        """The value, or None when Python has to see to it."""
        cdef uint32_t wanted = tag
        cdef size_t low = 0, high = self.count, middle
        cdef const Row *row
        cdef list faults
        cdef tuple charsets = ()
        while low < high:
            middle = (low + high) >> 1
            if self.rows[middle].tag < wanted:
                low = middle + 1
            else:
                high = middle
        if low == self.count:
            return None
        row = self.rows + low
        if row.tag != wanted or row.flags & (WALKED | FRAGMENTS | CUT) or row.length > LONGEST:
            return None
        if row.vr & 0xE0E0 != 0x4040 or row.end_offset > self.length:
            return None
        vr = _vrs[(row.vr >> 8 & 31) << 5 | row.vr & 31]
        if vr is None:
            return None
        if vr in _texts:
            charsets = self.charsets
            if charsets is None:
                charsets = self.charsets = self.origin.charsets
        faults = []
        raw = PyBytes_FromStringAndSize(self.bytes + row.value_offset, row.length)
        value = _decode(vr, raw, self.big, charsets, faults)
        if PyList_GET_SIZE(faults):
            return None
        if type(value) is _many:
            keeper = <Keeper>Keeper.__new__(Keeper)
            keeper.level = self
            keeper.tag = tag
            keeper.vr = vr
            value.owner = keeper
        return value
