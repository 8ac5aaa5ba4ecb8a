# Included by level.pyx: the memory of data sets is asked for ahead, breadth first, a batch of items at a time.

from borrowed cimport Py_TYPE, PyTypeObject, dc_entries, dc_fetch, dc_slots, entry_count, is_text, list_item, list_size
from borrowed cimport next_entry, text_of
from decimal cimport dc_many

cdef enum:
    WIDE = 512  # objects of a kind that are fetched together
    BATCH = 8  # items of a sequence
    FIELD = 4096  # bytes of a long value that are fetched


cdef bint warm(PyObject *items, Py_ssize_t first, PyObject **wave, PyObject **cells) noexcept:
    """Ask for the memory of a batch of items and what is below, so that it comes while the next is asked for.

    Whether that was everything; if not, the sequences below see to their own. ``wave`` and ``cells`` have room for
    ``WIDE`` each.
    """
    cdef PyObject *key
    cdef PyObject *one
    cdef const char *entries
    cdef Py_ssize_t at, count = 0, wide, i, size
    cdef int depth
    for at in range(first, min(first + BATCH, list_size(items))):
        wave[count] = list_item(items, at)
        dc_fetch(wave[count])
        count += 1
    for depth in range(DEEPEST):
        wide = 0
        for i in range(count):
            if Py_TYPE(wave[i]) == <PyTypeObject *>_dataset:
                one = <PyObject *>(<Level>wave[i]).edits
                if one != <PyObject *>None:
                    dc_fetch(one)
                    wave[wide] = one
                    wide += 1
        for i in range(wide):
            entries = dc_entries(wave[i])
            for at in range(0, 56 + 24 * entry_count(wave[i]), 64):
                dc_fetch(entries + at)
        count = 0
        for i in range(wide):
            at = 0
            while next_entry(wave[i], &at, &key, &one):
                if count == WIDE:
                    return False
                dc_fetch(one)
                dc_fetch(<char *>one + 40)
                cells[count] = one
                count += 1
        wide = 0
        for i in range(count):
            if Py_TYPE(cells[i]) == <PyTypeObject *>_element:
                one = <PyObject *>(<Cell>cells[i]).held
                dc_fetch(one)
                dc_fetch(<char *>one + 48)
                cells[wide] = one
                wide += 1
        count = wide
        wide = 0
        for i in range(count):
            one = cells[i]
            if Py_TYPE(one) == <PyTypeObject *>_sequence:
                one = <PyObject *>(<Items>one)._items
                if one != <PyObject *>None:
                    dc_fetch(one)
                    cells[wide] = one
                    wide += 1
            elif Py_TYPE(one) == <PyTypeObject *>_decimal:
                key = <PyObject *>(<const dc_decimal *>one).text
                dc_fetch(key)
                dc_fetch(<char *>key + 48)
            elif Py_TYPE(one) == <PyTypeObject *>_many:
                key = (<const dc_many *>one).field
                if key != <PyObject *>None:
                    for at in range(0, FIELD, 64):  # its length would have to be waited for
                        dc_fetch(<char *>key + at)
                else:
                    dc_fetch(dc_slots(one))
            elif is_text(one):
                dc_fetch(text_of(one))
        if wide == 0:
            return True
        for i in range(wide):
            dc_fetch(dc_slots(cells[i]))
        count = 0
        for i in range(wide):
            size = list_size(cells[i])
            if count + size > WIDE:
                return False
            for at in range(size):
                wave[count] = list_item(cells[i], at)
                dc_fetch(wave[count])
                dc_fetch(<char *>wave[count] + 40)
                count += 1
    return False
