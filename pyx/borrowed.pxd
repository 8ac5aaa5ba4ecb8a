# Header only. Python objects by borrowed references, which are not counted: counting writes to the object, and where
# many thousands are only looked at, that doubles what goes through the caches. Whoever uses these runs no Python code
# between fetching a reference and using it. `dc_fetch` asks for memory that is needed soon.

from cpython.object cimport PyObject, PyTypeObject
from libc.stdint cimport int64_t

cdef extern from "Python.h":
    """
    #define dc_text(text) ((const char *)PyUnicode_DATA(text))
    #define dc_set_size(bytes, size) Py_SET_SIZE((PyVarObject *)(bytes), size)
    #if defined(__GNUC__) && !defined(PYPY_VERSION)
    #define dc_fetch(at) __builtin_prefetch((const char *)(at))
    #define dc_entries(dict) ((const char *)((PyDictObject *)(dict))->ma_keys)
    #define dc_slots(list) ((const char *)((PyListObject *)(list))->ob_item)
    #define dc_count(dict) ((PyDictObject *)(dict))->ma_used
    #else
    #define dc_fetch(at) ((void)(at))
    #define dc_entries(dict) ((const char *)(dict))
    #define dc_slots(list) ((const char *)(list))
    #define dc_count(dict) PyDict_Size(dict)
    #endif
    """
    void dc_fetch(const void *at) noexcept
    const char *dc_entries(PyObject *dict) noexcept
    const char *dc_slots(PyObject *list) noexcept
    PyTypeObject *Py_TYPE(PyObject *one) noexcept
    void Py_SET_SIZE "dc_set_size"(PyObject *one, Py_ssize_t size) noexcept
    int _PyBytes_Resize(PyObject **bytes, Py_ssize_t size) except -1
    PyObject *PyBytes_New "PyBytes_FromStringAndSize"(const char *data, Py_ssize_t size) except NULL
    int next_entry "PyDict_Next"(PyObject *dict, Py_ssize_t *at, PyObject **key, PyObject **value) noexcept
    Py_ssize_t list_size "PyList_GET_SIZE"(PyObject *list) noexcept
    PyObject *list_item "PyList_GET_ITEM"(PyObject *list, Py_ssize_t at) noexcept
    bint is_text "PyUnicode_Check"(PyObject *one) noexcept
    bint is_just_text "PyUnicode_CheckExact"(PyObject *one) noexcept
    bint is_ascii "PyUnicode_IS_ASCII"(PyObject *text) noexcept
    bint is_bytes "PyBytes_CheckExact"(PyObject *one) noexcept
    bint is_list "PyList_Check"(PyObject *one) noexcept
    bint is_float "PyFloat_Check"(PyObject *one) noexcept
    bint is_int "PyLong_Check"(PyObject *one) noexcept
    int text_width "PyUnicode_KIND"(PyObject *text) noexcept  # bytes a character
    const char *text_of "dc_text"(PyObject *text) noexcept
    Py_ssize_t text_length "PyUnicode_GET_LENGTH"(PyObject *text) noexcept
    char *bytes_of "PyBytes_AS_STRING"(PyObject *one) noexcept
    Py_ssize_t bytes_size "PyBytes_GET_SIZE"(PyObject *one) noexcept
    double double_of "PyFloat_AS_DOUBLE"(PyObject *one) noexcept
    Py_ssize_t entry_count "dc_count"(PyObject *dict) noexcept
    PyObject *find_entry "PyDict_GetItem"(PyObject *dict, PyObject *key) noexcept
    int64_t integer_of "PyLong_AsLongLongAndOverflow"(PyObject *one, int *overflow) except? -1
