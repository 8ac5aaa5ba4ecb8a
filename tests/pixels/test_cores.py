"""Decoding and encoding lets other threads compute: the interpreter is theirs while a codec works."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator

import numpy as np
import pytest

from dicomcore import CODECS
from dicomcore.pixels.codec import Codec
from dicomcore.pixels.image_model import ImageModel
from dicomcore.pixels.native import clear_unused_bits, decode_frame

ROOM = 512  # rows and columns: so many that the interpreter is free most of the time
NO_PIXELS = "1.2.840.10008.1.2.4.111"  # it is made from streams


def codecs() -> Iterator[object]:
    seen: set[str] = set()
    for uid, row in CODECS.items():
        codec = row.codec if row.can_decode else None
        if codec is not None and codec.decode is not None and codec.name not in seen and uid != NO_PIXELS:
            seen.add(codec.name)
            yield pytest.param(codec, id=codec.name)


def grey() -> ImageModel:
    return ImageModel(
        keyword="PixelData", frames=1, rows=ROOM, columns=ROOM, samples=1, photometric="MONOCHROME2", planar=False,
        bits_allocated=8, bits_stored=8, high_bit=7, kind="u",
    )  # fmt: skip


def others_compute(work: Callable[[], object], times: int = 100_000) -> bool:
    """Whether another thread gets the interpreter while ``work`` runs, which is done again until one does.

    No thread is asked to give it up within that, so only work that does so by itself lets the other one in. On a busy
    machine the other thread comes late: ``times`` is for giving up.
    """
    gate = threading.Lock()
    came: list[bool] = []

    def wait() -> None:
        with gate:
            came.append(True)

    before = sys.getswitchinterval()
    sys.setswitchinterval(3600)
    with gate:
        other = threading.Thread(target=wait)
        other.start()
    try:
        for _ in range(times):
            work()
            if came:
                return True
        return False
    finally:
        sys.setswitchinterval(before)
        other.join()


def test_plain_work_does_not() -> None:
    """The question is one that has two answers."""
    assert not others_compute(lambda: sum(range(100)), 1_000)


@pytest.mark.parametrize("codec", list(codecs()))
def test_codecs_decode_and_encode_beside_others(codec: Codec) -> None:
    if codec.requires:
        pytest.importorskip(codec.requires)
    model = grey()
    frame = np.add.outer(np.arange(ROOM), np.arange(ROOM)).astype(np.uint8)  # a wrapping ramp
    assert codec.encode is not None
    assert codec.decode is not None
    assert codec.target is not None
    encode, decode, target = codec.encode, codec.decode, codec.target(model, {})
    data, out = encode(frame, model, target, {}), np.empty_like(frame)
    assert others_compute(lambda: decode(data, target, out, lambda message, clause: None))
    assert others_compute(lambda: encode(frame, model, target, {}))


def test_kernels_of_native_pixels_too() -> None:
    model = grey()
    data, out = bytes(ROOM * ROOM), np.empty(model.frame_shape, np.uint8)
    assert others_compute(lambda: decode_frame(data, model, out))
    assert others_compute(lambda: clear_unused_bits(out, model.but(bits_stored=7)))
