"""Numeric strings to arrays and back, against exact arithmetic."""

from __future__ import annotations

import math
import random
import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dicomcore._core.arrays import read_decimals
from dicomcore.encoding.arrays import decode_array, encode_array
from dicomcore.encoding.values import decode, format_decimal
from dicomcore.errors import EncodingError
from tests.reference import arrays as twin

DECIMALS = st.floats(-1e300, 1e300) | st.integers(-(10**9), 10**9).map(lambda n: n / 1000)


@given(st.lists(DECIMALS, min_size=1, max_size=20))
def test_decimals_there_and_back(values: list[float]) -> None:
    text = encode_array("DS", np.array(values))
    parts = text.decode("ascii").split("\\")
    assert parts == [format_decimal(value) for value in values]
    assert all(len(part) <= 16 for part in parts)
    assert decode_array("DS", text).tolist() == twin.read_decimals(text.decode("ascii"))
    for value, part in zip(values, parts, strict=True):
        expected = twin.format_decimal(value)
        assert expected is None or part == expected
        shown = repr(value)
        assert float(part) == value if len(shown) <= 16 else math.isclose(float(part), value, rel_tol=6e-9)


def test_many_decimals_against_exact_arithmetic() -> None:
    dice = random.Random(5)
    for _ in range(20_000):
        value: float = dice.choice(
            (
                dice.uniform(-1000, 1000),
                round(dice.uniform(-1000, 1000), dice.randint(0, 12)),
                struct.unpack("<d", dice.randbytes(8))[0],
                10 ** dice.uniform(-5, 16),
                dice.randint(-(10**9), 10**9) / 1024,
            )
        )
        if math.isfinite(value):
            expected = twin.format_decimal(value)
            assert expected is None or format_decimal(value) == expected


def long_text(dice: random.Random) -> str:
    """A decimal with more digits than a double has, or near 2^53, halfway between two doubles, or with an exponent."""
    kind = dice.randrange(4)
    if kind == 0:
        text = str((2**53 + dice.randrange(-3, 4)) << dice.randrange(12))
    elif kind == 1:
        text = str((2**54 + 2 * dice.randrange(2**53) + 1) << dice.randrange(9))  # a tie
    else:
        text = "".join(dice.choices("0123456789", k=dice.choice([15, 16, 17, 18, 19, 20, 22, 25])))
    if kind != 1 and dice.random() < 0.7:
        at = dice.randint(0, len(text))
        text = f"{text[:at]}.{text[at:]}"
    if dice.random() < 0.3:
        text += f"e{dice.choice([dice.randint(-25, 25), dice.randint(-330, 270)])}"
    return dice.choice(["-", ""]) + text


def test_many_digits_are_rounded_as_python_rounds_them() -> None:
    dice = random.Random(8)
    for _ in range(1000):
        texts = [long_text(dice) for _ in range(100)]
        expected = [*map(float, texts)]
        field = "\\".join(texts).encode("ascii")
        assert decode_array("DS", field).tolist() == expected
        assert [*map(float, decode("DS", field, False, ()))] == expected


@given(st.from_regex(r"-?[0-9]{1,25}(\.[0-9]{0,25})?([eE][+-]?[0-9]{1,2})?", fullmatch=True))
def test_any_digits_are_rounded_as_python_rounds_them(text: str) -> None:
    assert decode_array("DS", text.encode("ascii")).tolist() == [float(text)]
    assert float(decode("DS", text.encode("ascii"), False, ())) == float(text)


def plain_text(dice: random.Random) -> str:
    """A decimal as planning systems write them: up to 18 digits, a full stop anywhere or nowhere, zeros, signs."""
    digits = "".join(dice.choices("0123456789", k=dice.randint(1, 18)))
    at = dice.randint(0, len(digits))
    stop = dice.choice([".", ".", ".", ""])
    return (
        dice.choice(["-", "", "", "+", " ", "-0"])
        + digits[:at]
        + stop
        + digits[at:]
        + dice.choice(["", "", " ", "E-3"])
    )


@pytest.mark.parametrize("words", [False, True])
def test_both_readers_are_correctly_rounded(words: bool) -> None:
    dice = random.Random(9)
    for length in (1, 2, 3, 50, 20_000):
        parts = [plain_text(dice) for _ in range(length)]
        text, done, values = "\\".join(parts).encode(), 0, np.empty(length)
        done, at = read_decimals(text, values, 0, 0, words)
        while at >= 0:  # more digits than a double holds: the caller's
            values[done] = float(parts[done])
            assert len(parts[done].strip()) > 15
            at = sum(map(len, parts[: done + 1])) + done + 1
            if at > len(text):
                break
            done, at = read_decimals(text, values, done + 1, at, words)
        assert values.tobytes() == np.array(list(map(float, parts))).tobytes()


@pytest.mark.parametrize("words", [False, True])
def test_both_readers_stop_at_any_other_character(words: bool) -> None:
    texts = ["", "-", ".", "-.", "1.2.3", "1234567.8.9", "..", "1.23456789.1", "--1", "1-"]
    for character in {chr(code) for code in range(1, 256)} - set("0123456789. \\"):
        for number in ("12345678", "123456789012345", "-1.25", "1234567.12345678"):
            texts += [number[:at] + character + number[at:] for at in range(number[0] == "-", len(number) + 1)]
    for text in texts:
        if not twin.NUMBER.fullmatch(text):
            field = f"1111111111\\2222222222\\{text}\\3".encode("latin-1")
            assert read_decimals(field, np.empty(4), 0, 0, words) == (2, 22)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0.0"),
        (-0.0, "-0.0"),
        (12.3456, "12.3456"),
        (12.300000000000001, "12.3"),
        (9.9999999999999999, "10.0"),
        (-12345678901234.5, "-12345678901234"),  # half to even
        (-12345678901235.5, "-12345678901236"),
        (0.0005, "0.0005"),
        (1 / 3, "0.33333333333333"),
        (-1 / 3, "-0.3333333333333"),
        (1e-7, "1e-07"),
        (-1.2345678901234567e-200, "-1.23456789e-200"),
    ],
)
def test_decimals_known(value: float, text: str) -> None:
    assert format_decimal(value) == text
    assert encode_array("DS", np.array([value])) == text.encode()


@given(st.lists(st.integers(-99_999_999_999, 999_999_999_999), min_size=1, max_size=20))
def test_integers_there_and_back(values: list[int]) -> None:
    text = encode_array("IS", np.array(values))
    assert text == "\\".join(map(str, values)).encode()
    assert decode_array("IS", text).tolist() == twin.read_integers(text.decode("ascii")) == values


@pytest.mark.parametrize("text", [b"1\\ 2 \\+3.5e1", b" 1", b"1e300\\-1E-300", b"123456789012345678901234\\1.", b".5 "])
def test_decimals_as_others_write_them(text: bytes) -> None:
    assert decode_array("DS", text + b" ").tolist() == twin.read_decimals(text.decode("ascii"))


@pytest.mark.parametrize(
    ("vr", "text", "offset"),
    [
        ("DS", b"1\\two\\3", 2),
        ("DS", b"1\\\\3", 2),
        ("DS", b"1\\2\\", 4),
        ("DS", b"\\", 0),
        ("DS", b"nan", 0),
        ("DS", b"1\\1_000", 2),
        ("DS", b"1.2.3", 0),
        ("DS", b"1\\inf", 2),
        ("IS", b"1\\2.5", 2),
        ("IS", b"99999999999999999999", 0),
    ],
)
def test_what_is_no_number_is_told_where_it_stands(vr: str, text: bytes, offset: int) -> None:
    with pytest.raises(EncodingError) as caught:
        decode_array(vr, text)
    assert caught.value.offset == offset
    assert caught.value.clause == f"PS3.5 6.2 {vr}"


def test_every_prefix_is_read_or_refused() -> None:
    text = b" 12.5e-3\\-0.25 \\123456789012345678\\7"
    for end in range(len(text) + 1):
        prefix = text[:end].decode("ascii").rstrip(" ")
        try:
            expected = twin.read_decimals(prefix) if prefix else []
        except ValueError:
            with pytest.raises(EncodingError):
                decode_array("DS", text[:end])
        else:
            assert decode_array("DS", text[:end]).tolist() == expected


@pytest.mark.parametrize(("vr", "form"), [("US", "H"), ("SS", "h"), ("FL", "f"), ("FD", "d"), ("SV", "q"), ("OW", "H")])
@pytest.mark.parametrize("big_endian", [False, True])
def test_binary_numbers_in_either_order(vr: str, form: str, big_endian: bool) -> None:
    raw = struct.pack(f"{'<>'[big_endian]}3{form}", 1, 2, 77)
    array = decode_array(vr, raw, big_endian)
    assert array.tolist() == [1, 2, 77]
    assert array.dtype.isnative
    with pytest.raises(EncodingError):
        decode_array(vr, raw + b"\0", big_endian)


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_no_decimal_string_for_what_is_not_finite(value: float) -> None:
    with pytest.raises(EncodingError, match="value 2"):
        encode_array("DS", np.array([1.0, value]))


def test_integers_that_do_not_fit() -> None:
    for values in ([1, 10**12], [1, -(10**11)], [1, 1.5], [1, math.nan]):
        with pytest.raises(EncodingError, match="value 2"):
            encode_array("IS", np.array(values))
    assert encode_array("IS", np.zeros((0, 3))) == encode_array("DS", np.zeros((0, 3))) == b""
    with pytest.raises(EncodingError):
        decode_array("LO", b"1")
