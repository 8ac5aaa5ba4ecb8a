# Header only. What a `noexcept nogil` body answers instead of raising; the Python-visible shell turns it into an error
# with its offset. 0 is success, so `if status:` reads as "stop here". A kernel may go on from STATUS_OWN.

cdef enum Status:
    STATUS_OK = 0
    STATUS_SHORT = 1      # the bytes at hand end before the thing that is read; more may follow
    STATUS_DEPTH = 2      # more nesting than Limits.nesting_depth
    STATUS_COUNT = 3      # more things than Limits.element_count
    STATUS_LENGTH = 4     # a value longer than Limits.value_length, or a result longer than its field or buffer
    STATUS_MEMORY = 5     # malloc said no
    STATUS_MALFORMED = 6  # bytes that the standard does not allow here
    STATUS_OWN = 16
