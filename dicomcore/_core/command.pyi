from collections.abc import Sequence
from typing import Any

SHORT: int
BEYOND: int
GROUP: int
TWICE: int
LENGTH: int
ASCII: int
FRAME: int
NO_FIELD: int
MISSING: int
BODY: int

class Codec:
    def __init__(
        self, rows: Sequence[tuple[int, str, str]], messages: Sequence[tuple[int, str, frozenset[str]]]
    ) -> None: ...
    def decode(
        self, data: bytes | bytearray | memoryview
    ) -> tuple[int, int | None, Any, dict[str, Any], tuple[tuple[int, bytes], ...]]: ...
    def answer(self, field: int, asked: dict[str, Any], status: int) -> bytes | None: ...
    def whole(
        self,
        data: bytes | bytearray | memoryview,
        start: int,
        stop: int,
        longest_pdu: int,
        longest_pdv: int,
        longest_command: int,
    ) -> tuple[int, Any, dict[str, Any], tuple[tuple[int, bytes], ...], int, int] | None: ...
    def encode(
        self,
        field: int,
        elements: dict[str, Any],
        unknown: tuple[tuple[int, bytes], ...],
        changes: dict[str, Any] | None,
    ) -> bytes | str | int: ...
