"""Runs of whole elements from one of the three encodings of PS3.5 annex A to another, nested items included.

Two passes of one walker: the first finds the size of the result and every fault, the second writes into exactly that many
bytes and fills in the lengths of defined sequences and items as they close. No recursion; each step moves forward.

    implicit -> explicit   VRs from the table: dictionary, repeating groups, private blocks, and the choices of PS3.6;
                           a value over 65,534 bytes under a 16-bit length becomes UN (6.2.2)
    explicit -> implicit   VRs go; what UN was hiding goes back to what it was
    UN                     on a known tag is read as that tag's VR; with undefined length it holds an implicit little
                           endian sequence (6.2.2) and is written as SQ
    byte order             values swap by the word of their VR; unknown content stays as it is, and is noted
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from libc.stdint cimport int32_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free, malloc, realloc
from libc.string cimport memcpy

from bits cimport load_tag, load_u16, load_u32, store_u32
from cursor cimport (
    FORM_ALIEN, Header, TAG_ITEM, TAG_ITEM_END, TAG_PIXEL_DATA, TAG_SEQUENCE_END, UNDEFINED, VR_SQ, VR_UN,
    settle_length, view_header,
)
from rewriting cimport Creator, Frame, State, note, put, put_header, put_plain, put_swapped
from vr_codes cimport LO, OB, OW, SS, US, word_of
from vr_table cimport MASKS, Table, creator_number, known, name_hash, spread
from status cimport STATUS_DEPTH, STATUS_LENGTH, STATUS_MALFORMED, STATUS_MEMORY, STATUS_OK, STATUS_OWN, Status

from ..errors import EncodingError, LimitExceeded, SourceChanged

cdef enum:
    # alternatives of PS3.6, below any pair of letters
    US_OR_SS = 1
    OB_OR_OW = 2
    US_OR_OW = 3
    US_OR_SS_OR_OW = 4
    # levels
    DATA_SET = 0
    SEQUENCE = 1
    # lengths of sequences and items
    KEPT = 0
    CLOSED = 1
    OPEN = 2
    # faults
    TRAILING = 1
    OVERRUN = 2
    STRAY = 3
    UNENDED = 4
    NO_ITEMS = 5
    UNSWAPPED = 6
    STATUS_CHANGED = STATUS_OWN

FAULTS = {
    TRAILING: ("bytes too few for a header were left out", "PS3.5 7.1"),
    OVERRUN: ("a length beyond the end of its parent was cut", "PS3.5 7.1"),
    STRAY: ("a delimiter where none belongs was left out", "PS3.5 7.5"),
    UNENDED: ("a missing delimiter was added", "PS3.5 7.5"),
    NO_ITEMS: ("a sequence without items was kept as it is", "PS3.5 7.5"),
    UNSWAPPED: ("the byte order of unknown content was left as it is", "PS3.5 6.2.2"),
}

AMBIGUOUS = {"US or SS": US_OR_SS, "OB or OW": OB_OR_OW, "US or OW": US_OR_OW, "US or SS or OW": US_OR_SS_OR_OW}


cdef inline uint16_t private_vr(State *s, const Frame *f, uint32_t tag) noexcept nogil:
    cdef uint32_t creator = (tag & 0xFFFF0000u) | ((tag >> 8) & 0xFF)
    cdef uint32_t row, low, high
    cdef int32_t number = -1
    cdef bint found = False
    if (tag >> 16) == f.group:
        for row in range(f.creators, s.creator_count):
            if s.creators[row].tag == creator:
                number = s.creators[row].number
                found = True
                break
    if not found and s.depth == 0:
        low = 0
        high = s.outer_count
        while low < high:
            row = (low + high) // 2
            if s.outer[row].tag < creator:
                low = row + 1
            else:
                high = row
        if low < s.outer_count and s.outer[low].tag == creator:
            number = s.outer[low].number
    if number < 0:
        return 0
    return known(s.table, (<uint64_t>(16 + number) << 32) | (tag & 0xFFFF00FFu))


cdef inline uint16_t dictionary_vr(State *s, const Frame *f, uint32_t tag) noexcept nogil:
    """The VR by tag alone, 0 when nothing is known; alternatives are not decided."""
    cdef uint16_t vr = known(s.table, tag)
    cdef uint32_t element = tag & 0xFFFF, mask
    if vr:
        return vr
    if (tag >> 16) & 1:
        if element < 0x1000:
            return LO if 0x10 <= element <= 0xFF else 0
        return private_vr(s, f, tag)
    for mask in range(s.table.mask_count):
        vr = known(s.table, (<uint64_t>(mask + 1) << 32) | (tag & s.table.masks[mask]))
        if vr:
            return vr
    return 0


cdef inline uint16_t decided(const Frame *f, uint32_t tag, uint16_t vr) noexcept nogil:
    if vr == US_OR_SS:
        return SS if f.pixel_representation > 0 else US
    if vr == US_OR_OW:
        return US if f.lut_entries == 1 else OW
    if vr == OB_OR_OW:
        return OB if (tag & 0xFF00FFFFu) == 0x50003000 else OW
    return OW if vr == US_OR_SS_OR_OW else vr


cdef inline bint plausible(const uint8_t *at, size_t length, bint big) noexcept nogil:
    """Whether a value field may hold items: empty, or an item (or the end of a sequence) first."""
    cdef uint32_t tag
    if length == 0:
        return True
    if length < 8:
        return False
    tag = load_tag(at, big)
    return tag == TAG_ITEM or tag == TAG_SEQUENCE_END


cdef inline bint stays_open(const State *s, bint undefined) noexcept nogil:
    """Whether a level gets an undefined length: as it had, unless one kind is wanted for all."""
    return undefined if s.lengths == KEPT else s.lengths == OPEN


cdef Status push(State *s, uint8_t kind, const uint8_t *stop, bint undefined, bint explicit, bint big) noexcept nogil:
    cdef Frame *f
    if s.depth + 1 >= s.frame_count:
        return STATUS_DEPTH
    s.frames[s.depth + 1] = s.frames[s.depth]
    s.depth += 1
    f = &s.frames[s.depth]
    f.kind = kind
    f.stop = stop
    f.start = s.size
    f.undefined = undefined
    f.open = stays_open(s, undefined)
    f.explicit = explicit
    f.big = big
    f.creators = s.creator_count
    f.group = 0
    f.lut_entries = -1
    return STATUS_OK


cdef Status pop(State *s) noexcept nogil:
    """Closes the level: its delimiter, or its length into the header in front of it."""
    cdef Frame *f = &s.frames[s.depth]
    cdef size_t length = s.size - f.start
    s.creator_count = f.creators
    s.depth -= 1
    if f.open:
        put_plain(s, TAG_ITEM_END if f.kind == DATA_SET else TAG_SEQUENCE_END, 0)
    elif length > 0xFFFFFFFEu:
        return STATUS_LENGTH
    elif s.out != NULL and s.size <= s.capacity:
        store_u32(s.out + f.start - 4, <uint32_t>length, s.big)
    return STATUS_OK


cdef Status remember(State *s, Frame *f, uint32_t tag, const uint8_t *value, size_t length) noexcept nogil:
    """Keeps what later elements of this level, or of items in it, depend on."""
    cdef Creator *grown
    cdef uint32_t row
    if tag == 0x00280103 and length >= 2:
        f.pixel_representation = load_u16(value, f.big)
    elif tag == 0x00283002 and length >= 2:
        f.lut_entries = load_u16(value, f.big)
    elif (tag >> 16) & 1 and 0x10 <= (tag & 0xFFFF) <= 0xFF:
        if f.group != tag >> 16:
            f.group = tag >> 16
            s.creator_count = f.creators
        for row in range(f.creators, s.creator_count):
            if s.creators[row].tag == tag:
                s.creators[row].number = creator_number(s.table, value, length)
                return STATUS_OK
        if s.creator_count == s.creator_room:
            grown = <Creator *>realloc(s.creators, (2 * s.creator_room + 16) * sizeof(Creator))
            if grown == NULL:
                return STATUS_MEMORY
            s.creators = grown
            s.creator_room = 2 * s.creator_room + 16
        s.creators[s.creator_count].tag = tag
        s.creators[s.creator_count].number = creator_number(s.table, value, length)
        s.creator_count += 1
    return STATUS_OK


cdef Status fragments(State *s, const uint8_t *stop, bint big) noexcept nogil:
    """The items of encapsulated pixel data, as they are (PS3.5 A.4), with the delimiter that ends them."""
    cdef uint32_t tag, length
    while True:
        if stop - s.at < 8:
            note(s, UNENDED, s.at, TAG_PIXEL_DATA)
            s.at = stop
            break
        tag = load_tag(s.at, big)
        length = load_u32(s.at + 4, big)
        if tag == TAG_SEQUENCE_END:
            s.at += 8
            break
        if tag != TAG_ITEM or length == UNDEFINED:
            s.fault_tag = tag
            return STATUS_MALFORMED
        s.at += 8
        if length > <size_t>(stop - s.at):
            note(s, OVERRUN, s.at - 8, tag)
            length = <uint32_t>(stop - s.at)
        put_plain(s, TAG_ITEM, length)
        put(s, s.at, length)
        s.at += length
    put_plain(s, TAG_SEQUENCE_END, 0)
    return STATUS_OK


cdef Status delimiter(State *s, Frame *f, const Header *h) noexcept nogil:
    """(FFFE,xxxx) among elements."""
    if h.tag == TAG_ITEM_END and f.undefined:
        s.at += 8
        return pop(s)
    if h.tag == TAG_SEQUENCE_END and f.undefined:
        note(s, UNENDED, s.at, h.tag)
        return pop(s)  # the sequence sees its own end next
    if h.tag == TAG_ITEM_END or h.tag == TAG_SEQUENCE_END:
        note(s, STRAY, s.at, h.tag)
        s.at += 8
        return STATUS_OK
    s.fault_tag = h.tag
    return STATUS_MALFORMED


cdef Status item(State *s, Frame *f) noexcept nogil:
    """The next thing in a sequence: an item, or its end."""
    cdef uint32_t tag = load_tag(s.at, f.big), length = load_u32(s.at + 4, f.big)
    cdef const uint8_t *stop = f.stop
    if tag == TAG_SEQUENCE_END:
        s.at += 8
        if f.undefined:
            return pop(s)
        note(s, STRAY, s.at - 8, tag)
        return STATUS_OK
    if tag != TAG_ITEM:
        s.fault_tag = tag
        return STATUS_MALFORMED
    s.at += 8
    if length != UNDEFINED:
        if length > <size_t>(stop - s.at):
            note(s, OVERRUN, s.at - 8, tag)
        else:
            stop = s.at + length
    put_plain(s, TAG_ITEM, UNDEFINED)
    return push(s, DATA_SET, stop, length == UNDEFINED, f.explicit, f.big)


cdef Status element(State *s, Frame *f) noexcept nogil:
    cdef Header h
    cdef Status status
    cdef size_t length
    cdef uint16_t vr, raw
    cdef uint32_t word
    cdef bint explicit = f.explicit, big = f.big
    if view_header(s.at, <size_t>(f.stop - s.at), explicit, big, &h):
        note(s, TRAILING, s.at, 0)
        s.at = f.stop
        return STATUS_OK
    if (h.tag >> 16) == 0xFFFE:
        return delimiter(s, f, &h)
    settle_length(s.at, <uint64_t>(f.stop - s.at), <uint64_t>(f.stop - s.at), big, &h)
    raw = 0 if h.form == FORM_ALIEN else h.vr
    s.at += h.size
    if (raw == 0 and (h.form != FORM_ALIEN or h.length != UNDEFINED)) or raw == VR_UN:
        vr = dictionary_vr(s, f, h.tag)
        if h.length == UNDEFINED and vr != VR_SQ:
            vr = OB if h.tag == TAG_PIXEL_DATA or vr == OB or vr == OW or vr == OB_OR_OW else VR_SQ
        vr = decided(f, h.tag, vr)
    else:
        vr = raw
        if h.length == UNDEFINED and vr != VR_SQ and vr >> 8 != 0x4F:  # no VR that may have it but SQ, UN and O*
            s.at -= h.size
            s.fault_tag = h.tag
            return STATUS_MALFORMED

    if h.length == UNDEFINED:
        put_header(s, h.tag, vr, UNDEFINED if vr != VR_SQ or stays_open(s, True) else 0)
        if vr != VR_SQ:
            return fragments(s, f.stop, big)
        if raw == VR_UN:
            explicit = big = False
        return push(s, SEQUENCE, f.stop, True, explicit, big)

    length = h.length
    if length > <size_t>(f.stop - s.at):
        note(s, OVERRUN, s.at - h.size, h.tag)
        length = <size_t>(f.stop - s.at)
    if (h.tag & 0xFFFF) == 0:  # group length, PS3.5 section 7.2: optional, and no longer true
        s.at += length
        return STATUS_OK
    if vr == VR_SQ:
        if raw == VR_UN:
            explicit = big = False
        if plausible(s.at, length, big):
            put_header(s, h.tag, VR_SQ, UNDEFINED if stays_open(s, False) else 0)
            return push(s, SEQUENCE, s.at + length, False, explicit, big)
        note(s, NO_ITEMS, s.at - h.size, h.tag)
        vr = VR_UN
    if vr == 0:
        vr = VR_UN
    put_header(s, h.tag, vr, <uint32_t>length)
    word = word_of(vr) if f.big != s.big else 1
    if word > 1:
        put_swapped(s, s.at, length, word)
    else:
        if vr == VR_UN and f.big != s.big and length:
            note(s, UNSWAPPED, s.at - h.size, h.tag)
        put(s, s.at, length)
    status = remember(s, f, h.tag, s.at, length)
    s.at += length
    return status


cdef Status walk(State *s) noexcept nogil:
    """From the start of the run to its end: all levels, on the stack of frames."""
    cdef Frame *f
    cdef Status status = STATUS_OK
    while not status:
        f = &s.frames[s.depth]
        if s.at >= f.stop:
            if s.depth == 0:
                return STATUS_OK
            if f.undefined:
                note(s, UNENDED, s.at, 0)
            status = pop(s)
        elif f.kind == DATA_SET:
            status = element(s, f)
        elif f.stop - s.at < 8:
            note(s, TRAILING, s.at, 0)
            s.at = f.stop
        else:
            status = item(s, f)
    return status


cdef class VRTable:
    """Tag -> VR for the walker: the dictionary, its repeating groups, and the private dictionaries. Immutable."""

    cdef Table table

    def __cinit__(self, rows, repeating, private):
        """``rows``: (tag, VR); ``repeating``: (mask, tag, VR); ``private``: (creator, tag without block, VR)."""
        numbers = {}
        masks = []
        keys = {tag: vr for tag, vr in rows if vr}
        for mask, tag, vr in repeating:
            if mask not in masks:
                masks.append(mask)
            keys[masks.index(mask) + 1 << 32 | tag] = vr
        for creator, tag, vr in private:
            number = numbers.setdefault(creator.encode("utf-8"), len(numbers))
            keys[16 + number << 32 | tag] = vr
        if len(masks) > MASKS:
            raise ValueError("more shapes of repeating groups than the table has room for")
        cdef uint64_t slot, key
        cdef uint32_t stop = 0, name_slot
        cdef uint32_t row
        size = 1 << (2 * len(keys) + 1).bit_length()
        name_size = 1 << (2 * len(numbers) + 1).bit_length()
        names = b"".join(numbers)
        self.table.keys = <uint64_t *>calloc(size, sizeof(uint64_t))
        self.table.vrs = <uint16_t *>calloc(size, sizeof(uint16_t))
        self.table.names = <char *>malloc(len(names) + 1)
        self.table.name_stops = <uint32_t *>calloc(len(numbers) + 1, sizeof(uint32_t))
        self.table.name_slots = <int32_t *>malloc(name_size * sizeof(int32_t))
        if not (
            self.table.keys and self.table.vrs and self.table.names and self.table.name_stops and self.table.name_slots
        ):
            raise MemoryError
        self.table.limit = size - 1
        self.table.name_limit = name_size - 1
        self.table.mask_count = <uint32_t>len(masks)
        for row in range(len(masks)):
            self.table.masks[row] = masks[row]
        for name, vr in keys.items():
            key = name
            slot = spread(key) & self.table.limit
            while self.table.keys[slot]:
                slot = (slot + 1) & self.table.limit
            self.table.keys[slot] = key | <uint64_t>1 << 63
            self.table.vrs[slot] = AMBIGUOUS[vr] if vr in AMBIGUOUS else ord(vr[0]) << 8 | ord(vr[1])
        for row in range(name_size):
            self.table.name_slots[row] = -1
        memcpy(self.table.names, PyBytes_AS_STRING(names), <size_t>len(names))
        for text, row in numbers.items():
            stop += <uint32_t>len(text)
            self.table.name_stops[row] = stop
            name_slot = name_hash(<const uint8_t *>PyBytes_AS_STRING(text), <size_t>len(text)) & self.table.name_limit
            while self.table.name_slots[name_slot] >= 0:
                name_slot = (name_slot + 1) & self.table.name_limit
            self.table.name_slots[name_slot] = <int32_t>row

    def __dealloc__(self):
        free(self.table.keys)
        free(self.table.vrs)
        free(self.table.names)
        free(self.table.name_stops)
        free(self.table.name_slots)


def reencode(
    const uint8_t[::1] view not None,
    bint source_explicit,
    bint source_big,
    bint target_explicit,
    bint target_big,
    VRTable table not None,
    *,
    int pixel_representation=-1,
    int lut_entries=-1,
    private_creators=(),
    Py_ssize_t nesting_depth=128,
    int lengths=KEPT,
    list faults=None,
):
    """The run in its new encoding; ``lengths`` 1 makes those of sequences and items defined, 2 undefined.

    ``faults`` gets rows (kind, offset, tag); without it a fault raises EncodingError.
    """
    cdef State s
    cdef Status status
    cdef Creator *outer = NULL
    cdef bytes result
    if view.shape[0] == 0:
        return b""
    if nesting_depth < 0 or nesting_depth > 1 << 20:
        raise ValueError(f"a nesting depth of {nesting_depth} is out of range")
    creators = sorted(private_creators)
    s.frames = NULL
    s.creators = NULL
    try:
        s.frame_count = 2 * <size_t>nesting_depth + 1
        s.frames = <Frame *>malloc(s.frame_count * sizeof(Frame))
        if s.frames == NULL:
            raise MemoryError
        s.data = &view[0]
        s.table = &table.table
        s.outer = outer = creators_of(creators, &table.table)
        s.outer_count = <uint32_t>len(creators)
        s.creator_room = 0
        s.explicit = target_explicit
        s.big = target_big
        s.lengths = <uint8_t>lengths
        s.fault_count = 0
        s.fault_tag = 0
        s.out = NULL
        s.capacity = 0
        begin(&s, <size_t>view.shape[0], source_explicit, source_big, pixel_representation, lut_entries)
        with nogil:
            status = walk(&s)
        if status:
            raise refusal(status, <size_t>(s.at - s.data), s.fault_tag, nesting_depth)
        tell(&s, faults)
        result = PyBytes_FromStringAndSize(NULL, <Py_ssize_t>s.size)
        s.capacity = s.size
        s.out = <uint8_t *>PyBytes_AS_STRING(result)
        begin(&s, <size_t>view.shape[0], source_explicit, source_big, pixel_representation, lut_entries)
        with nogil:
            status = walk(&s)
        if status or s.size != s.capacity:
            raise SourceChanged("the bytes changed while they were re-encoded")
        return result
    finally:
        free(s.frames)
        free(s.creators)
        free(outer)


cdef Creator *creators_of(list creators, const Table *table) except NULL:
    """Those in effect before the run, for the caller to free."""
    cdef Creator *found = <Creator *>malloc((len(creators) + 1) * sizeof(Creator))
    if found == NULL:
        raise MemoryError
    try:
        for row, (tag, name) in enumerate(creators):
            text = name.encode("utf-8")
            found[<size_t>row].tag = tag
            found[<size_t>row].number = creator_number(
                table, <const uint8_t *>PyBytes_AS_STRING(text), <size_t>len(text)
            )
    except BaseException:
        free(found)
        raise
    return found


cdef int tell(const State *s, list faults) except -1:
    cdef uint32_t row
    for row in range(s.fault_count):
        kind = s.faults[row].kind
        if faults is not None:
            faults.append((kind, s.faults[row].offset, s.faults[row].tag))
        elif kind != UNSWAPPED:
            raise EncodingError(FAULTS[kind][0], offset=s.faults[row].offset, clause=FAULTS[kind][1])
    return 0


cdef void begin(
    State *s, size_t length, bint explicit, bint big, int pixel_representation, int lut_entries
) noexcept nogil:
    cdef Frame *f = &s.frames[0]
    s.at = s.data
    s.size = 0
    s.depth = 0
    s.creator_count = 0
    f.stop = s.data + length
    f.start = 0
    f.creators = 0
    f.group = 0
    f.pixel_representation = pixel_representation
    f.lut_entries = lut_entries
    f.kind = DATA_SET
    f.undefined = False
    f.explicit = explicit
    f.big = big


cdef object refusal(Status status, size_t offset, uint32_t tag, Py_ssize_t depth):
    if status == STATUS_DEPTH:
        return LimitExceeded(f"sequences are nested deeper than {depth}", offset=offset)
    if status == STATUS_LENGTH:
        return EncodingError("a sequence grows beyond what a 32-bit length can say", offset=offset, clause="PS3.5 7.5")
    if status == STATUS_MEMORY:
        return MemoryError()
    return EncodingError(
        f"({tag >> 16:04X},{tag & 0xFFFF:04X}) where an item or an element belongs", offset=offset, clause="PS3.5 7.5"
    )
