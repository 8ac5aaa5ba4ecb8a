from collections.abc import Callable, Iterable
from typing import Any, Self, TypeVar

from ..errors import Issue

T = TypeVar("T")

class MultiValue(list[T]):
    owner: Callable[[MultiValue[T]], object] | None
    @property
    def field(self) -> bytes | None: ...
    def __init__(self, values: Iterable[T] = (), /) -> None: ...
    def twin(self) -> MultiValue[T] | None: ...

class DS(float):
    def __new__(cls, value: object = 0.0, /) -> Self: ...
    def __init__(self, value: object = 0.0, /) -> None: ...
    @property
    def original_string(self) -> str: ...

def decimals_of(values: Iterable[Any], form: Callable[[float], str]) -> MultiValue[Any] | None: ...

class Decoder:
    def __init__(
        self,
        *,
        uid: Callable[[str], object],
        tag: Callable[[int], object],
        name: Callable[[str], object],
        integer: Callable[[int], object],
        integer_text: Callable[[str], object],
        text: Callable[[bytes, tuple[str, ...], str, list[Issue] | None], str],
        fallback: Callable[[str, bytes, list[Issue] | None], object],
    ) -> None: ...
    def decode(
        self,
        vr: str,
        raw: bytes | bytearray | memoryview,
        big_endian: bool,
        charsets: tuple[str, ...],
        issues: list[Issue] | None = None,
    ) -> Any: ...
