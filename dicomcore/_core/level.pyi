from collections.abc import Callable, Iterable, Iterator
from typing import Any, Self

def setup(
    keywords: dict[str, int],
    vrs: dict[int, str],
    dictionary: dict[int, str],
    texts: Iterable[str],
    decode: Callable[..., Any],
    many: type,
    tag: Callable[[int], Any],
) -> None: ...
def setup_types(dataset: type, element: type, sequence: type) -> None: ...
def setup_forms(rows: Iterable[tuple[str, int, int, bool, int, int, bool]], decimal: type, integer: type) -> None: ...

class Encoder:
    def __init__(
        self,
        explicit: bool,
        depth_limit: int,
        bulk_length: int,
        charsets: tuple[str, ...],
        left: Callable[[int, Any, tuple[Any, ...]], Iterable[Any]],
    ) -> None: ...
    def encode(self, level: Level) -> list[bytes]: ...

class ItemSpan:
    items: Any
    number: int
    def __init__(self, items: Any, number: int) -> None: ...
    @property
    def header_offset(self) -> int: ...
    @property
    def start(self) -> int: ...
    @property
    def stop(self) -> int: ...
    @property
    def end_offset(self) -> int: ...
    @property
    def length_undefined(self) -> bool: ...
    @property
    def index(self) -> Any: ...

class Place:
    file: Any
    source: Any
    index: Any
    parent: Any
    _charsets: Any
    _context: Any
    @property
    def span(self) -> ItemSpan | None: ...
    @property
    def head(self) -> memoryview: ...
    @property
    def big_endian(self) -> bool: ...
    @property
    def path(self) -> str: ...
    @property
    def charsets(self) -> tuple[str, ...]: ...
    def __init__(
        self, file: Any, source: Any, index: Any, parent: Any = None, path: str = "", span: ItemSpan | None = None
    ) -> None: ...

class Level:
    _origin: Any
    _edits: dict[int, Any]
    _sequences: dict[int, Any]
    _meta: Any
    def _sequence(self, tag: int, row: int) -> Any: ...
    def _store(self, element: Cell) -> None: ...
    def __iter__(self) -> Iterator[Any]: ...
    def __getattr__(self, name: str) -> Any: ...

class Cell:
    VR: str
    _owner: Any
    _value: Any
    tag: Any
    value: Any
    @classmethod
    def _of(cls, owner: Any, tag: int, vr: str, value: Any = ...) -> Self: ...

class Items:
    _items: list[Any]
    _make: Any
    _reshaped: bool
    is_undefined_length: bool
    def __len__(self) -> int: ...
    def __iter__(self) -> Iterator[Any]: ...
    def _item(self, number: int) -> Any: ...
    def _is_edited(self) -> bool: ...
