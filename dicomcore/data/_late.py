"""Methods whose work lives in a later or higher module: name -> "module:function", imported on first call.

With the table of ``dicomcore/__init__.py`` this is the only declared upward edge of the package.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache, wraps
from importlib import import_module
from types import MappingProxyType
from typing import Any

from ..errors import LimitExceeded

__all__ = ["LATE", "late"]

LATE: Mapping[str, str] = MappingProxyType(
    {
        "check": "dicomcore.data.check:check",
        "conformed": "dicomcore.data.conform:conformed",
        "as_array": "dicomcore.data.arrays:as_array",
        "as_arrays": "dicomcore.data.arrays:as_arrays",
        "dump": "dicomcore.data.dump:dump",
        "encode_dataset": "dicomcore.data.writer:encode_dataset",
        "call_on_each": "dicomcore.data.paths:call_on_each",
        "from_json": "dicomcore.data.json:from_json",
        "from_pydicom": "dicomcore.data.bridge:from_pydicom",
        "freeze": "dicomcore.data.files:freeze",
        "iter_bytes": "dicomcore.data.chunks:iter_bytes",
        "save_as": "dicomcore.data.files:save_as",
        "pixel_array": "dicomcore.pixels.array:pixel_array",
        "picture": "dicomcore.pixels.render:picture",
        "preview": "dicomcore.pixels.render:preview",
        "transcode_losslessly": "dicomcore.pixels.transcode:transcode_losslessly",
        "sheet": "dicomcore.pixels.render:sheet",
        "from_xml": "dicomcore.data.xml:from_xml",
        "restore": "dicomcore.data.files:restore",
        "to_json": "dicomcore.data.json:to_json",
        "to_json_dict": "dicomcore.data.json:to_json_dict",
        "to_html": "dicomcore.data.html:to_html",
        "to_pydicom": "dicomcore.data.bridge:to_pydicom",
        "to_xml": "dicomcore.data.xml:to_xml",
    }
)


@cache
def late(name: str) -> Callable[..., Any]:
    """The function behind a late name. Where it recurses into items deeper than Python can, it raises LimitExceeded."""
    module, _, function = LATE[name].partition(":")
    found: Callable[..., Any] = getattr(import_module(module), function)
    if name == "restore":  # pickle wants it as it is found under its name
        return found

    @wraps(found)
    def bounded(*arguments: Any, **options: Any) -> Any:
        try:
            return found(*arguments, **options)
        except RecursionError:
            pass
        raise LimitExceeded(
            f"{name}: items are nested too deep", hint="does an item contain itself? else raise sys.setrecursionlimit"
        )

    return bounded
