# Header only. VRs as numbers (PS3.5 6.2): their two letters, the first one high. DS_ and IS_ are not the types DS and IS.

from libc.stdint cimport uint16_t, uint32_t

cdef enum:
    AE = 0x4145
    AS = 0x4153
    AT = 0x4154
    CS = 0x4353
    DA = 0x4441
    DS_ = 0x4453
    DT = 0x4454
    FD = 0x4644
    FL = 0x464C
    IS_ = 0x4953
    LO = 0x4C4F
    LT = 0x4C54
    OB = 0x4F42
    OD = 0x4F44
    OF = 0x4F46
    OL = 0x4F4C
    OV = 0x4F56
    OW = 0x4F57
    PN = 0x504E
    SH = 0x5348
    SL = 0x534C
    SS = 0x5353
    ST = 0x5354
    SV = 0x5356
    TM = 0x544D
    UC = 0x5543
    UI = 0x5549
    UL = 0x554C
    UN = 0x554E
    UR = 0x5552
    US = 0x5553
    UT = 0x5554
    UV = 0x5556


cdef inline uint32_t word_of(uint16_t vr) noexcept nogil:
    """The unit in bytes that the byte order turns round."""
    if vr == US or vr == SS or vr == OW or vr == AT:
        return 2
    if vr == UL or vr == SL or vr == FL or vr == OF or vr == OL:
        return 4
    if vr == FD or vr == OD or vr == SV or vr == UV or vr == OV:
        return 8
    return 1
