# Header only. How values of DS are made and go, and how a list takes over what another holds: values.pyx alone uses it.

from cpython.object cimport PyObject, PyTypeObject
from libc.stdint cimport uint32_t

from decimal cimport dc_decimal

cdef extern from *:
    """
    /* Decimals come and go by the hundred thousand: those that went are kept for the next, as CPython keeps floats. */
    static PyObject *dc_spare[4096];
    static int dc_spare_count = 0;
    static PyTypeObject *dc_decimal_type = NULL;

    static inline PyObject *dc_new_decimal(double value, PyObject *text, uint32_t start, uint32_t stop) {
        PyObject *made;
        if (dc_spare_count > 0) {
            made = PyObject_Init(dc_spare[--dc_spare_count], dc_decimal_type);
        } else {
            made = dc_decimal_type->tp_alloc(dc_decimal_type, 0);
            if (made == NULL) return NULL;
        }
        ((PyFloatObject *)made)->ob_fval = value;
        Py_XINCREF(text);
        ((dc_decimal *)made)->text = text;
        ((dc_decimal *)made)->start = start;
        ((dc_decimal *)made)->stop = stop;
        return made;
    }

    static void dc_free_decimal(PyObject *self) {
        PyObject *text = ((dc_decimal *)self)->text;
        ((dc_decimal *)self)->text = NULL;
        if (Py_TYPE(self) == dc_decimal_type && dc_spare_count < 4096) dc_spare[dc_spare_count++] = self;
        else Py_TYPE(self)->tp_free(self);
        Py_XDECREF(text);
    }

    static int dc_setup_decimal(PyTypeObject *type) {
        if (type->tp_basicsize != sizeof(dc_decimal)) return 0;
        dc_decimal_type = type;
        type->tp_dealloc = dc_free_decimal;
        return 1;
    }

    /* Moves the values of one list into another, which is empty. */
    static inline void dc_move_items(PyObject *to, PyObject *from) {
        PyListObject *a = (PyListObject *)to, *b = (PyListObject *)from;
        PyObject **items = a->ob_item;
        Py_ssize_t size = Py_SIZE(a), allocated = a->allocated;
        a->ob_item = b->ob_item; a->allocated = b->allocated; Py_SET_SIZE(a, Py_SIZE(b));
        b->ob_item = items; b->allocated = allocated; Py_SET_SIZE(b, size);
    }
    """
    object dc_new_decimal(double value, object text, uint32_t start, uint32_t stop)  # float.__new__ makes a second float
    object dc_bare_decimal "dc_new_decimal"(double value, PyObject *text, uint32_t start, uint32_t stop)
    int dc_setup_decimal(PyTypeObject *type)
    void dc_move_items(object to, object source)
