from collections.abc import Callable, Iterable
from typing import Any

def setup(
    keywords: dict[str, int],
    vrs: dict[int, str],
    texts: Iterable[str],
    decode: Callable[..., Any],
    many: type,
) -> None: ...

class Level:
    _origin: Any
    _edits: dict[int, Any]
    _sequences: dict[int, Any]
    _meta: Any
    def __getattr__(self, name: str) -> Any: ...
