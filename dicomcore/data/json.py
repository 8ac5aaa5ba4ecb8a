"""The DICOM JSON model (PS3.18 annex F), both ways.

Promises: text is UTF-8, so Specific Character Set, where present, says ISO_IR 192; group lengths and the file meta
information are left out, as F.2.2 demands; numbers that JSON lacks are the strings NaN, Infinity and -Infinity. Byte
values are inline unless the caller's handler gives a URI for them. Refuses (`EncodingError`): what is no such model.
"""

from __future__ import annotations

import json
import math
from base64 import b64decode, b64encode
from binascii import Error as Base64Error
from collections.abc import Callable, Mapping
from typing import Any

from ..encoding.person_name import PersonName
from ..encoding.values import DS, IS
from ..errors import EncodingError
from ..vocab.tag import format_tag
from ..vocab.vr import VRS
from .dataset import Dataset
from .element import Element
from .origin import CHARSET
from .sequence import Sequence

__all__ = ["from_json", "to_json", "to_json_dict"]

_CLAUSE = "PS3.18 F.2"
_BINARY = frozenset({"OB", "OD", "OF", "OL", "OV", "OW", "UN"})
_INTEGERS = frozenset({"IS", "SL", "SS", "SV", "UL", "US", "UV"})
_DECIMALS = frozenset({"DS", "FD", "FL"})
_GROUPS = ("Alphabetic", "Ideographic", "Phonetic")
_NON_FINITE = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf, "inf": math.inf, "-inf": -math.inf}


def to_json_dict(
    dataset: Dataset, bulk_data: Callable[[Element], str] | None = None, threshold: int = 1024
) -> dict[str, Any]:
    """The model as a dict; byte values over ``threshold`` go to ``bulk_data``, which answers their URI."""
    return {
        f"{element.tag:08X}": _row(dataset, element, bulk_data, threshold)
        for element in dataset
        if element.tag & 0xFFFF and element.tag >> 16 != 2
    }


def to_json(dataset: Dataset, bulk_data: Callable[[Element], str] | None = None, threshold: int = 1024) -> str:
    return json.dumps(to_json_dict(dataset, bulk_data, threshold), ensure_ascii=False, allow_nan=False)


def _row(
    dataset: Dataset, element: Element, bulk_data: Callable[[Element], str] | None, threshold: int
) -> dict[str, Any]:
    vr, value = element.VR, element.value
    row: dict[str, Any] = {"vr": vr}
    if vr == "SQ":
        if len(value):
            row["Value"] = [to_json_dict(item, bulk_data, threshold) for item in value]
    elif isinstance(value, bytes):
        if bulk_data is not None and len(value) > threshold:
            row["BulkDataURI"] = bulk_data(element)
        elif value:
            row["InlineBinary"] = b64encode(dataset._little_endian(vr, value)).decode("ascii")
    elif element.tag == CHARSET:
        row["Value"] = ["ISO_IR 192"]
    elif value is not None and value != "":
        values = value if isinstance(value, list) else [value]
        row["Value"] = [_value(vr, one) for one in values]
    return row


def _value(vr: str, value: Any) -> Any:
    if value is None or value == "":
        return None
    if vr == "PN":
        groups = PersonName(value).components
        return {name: group for name, group in zip(_GROUPS, groups, strict=False) if group}
    if vr == "AT":
        return f"{value:08X}"
    if isinstance(value, float):
        value = float(value)
        return value if math.isfinite(value) else "NaN" if value != value else "Infinity" if value > 0 else "-Infinity"
    return int(value) if isinstance(value, int) else str(value)


def from_json(model: str | bytes | Mapping[str, Any], bulk_data: Callable[[str], bytes] | None = None) -> Dataset:
    """A Dataset from the model; without ``bulk_data`` a value held elsewhere is empty."""
    if isinstance(model, (str, bytes)):
        try:
            model = json.loads(model)
        except (ValueError, RecursionError) as error:
            raise EncodingError(f"no JSON: {error}", clause=_CLAUSE) from None
    if not isinstance(model, Mapping):
        raise EncodingError("the JSON model of a data set is an object", clause=_CLAUSE)
    dataset = Dataset()
    for key, row in model.items():
        try:
            tag = int(key, 16)
            if len(key) != 8 or not isinstance(row, Mapping):
                raise ValueError(f"{key!r} with {type(row).__name__}")
            vr = row.get("vr", "UN")
            dataset.add_new(tag, vr, _read(vr, row, bulk_data))
        except (ValueError, TypeError, Base64Error, AttributeError) as error:
            if isinstance(error, EncodingError):
                raise
            path = format_tag(int(key, 16)) if len(key) == 8 and key.isalnum() and _is_hex(key) else str(key)
            raise EncodingError(f"no element of the JSON model: {error}", path=path, clause=_CLAUSE) from error
    return dataset


def _is_hex(key: str) -> bool:
    try:
        return int(key, 16) >= 0
    except ValueError:
        return False


def _read(vr: str, row: Mapping[str, Any], bulk_data: Callable[[str], bytes] | None) -> Any:
    if "InlineBinary" in row:
        return b64decode(row["InlineBinary"], validate=True)
    if "BulkDataURI" in row:
        return bulk_data(row["BulkDataURI"]) if bulk_data is not None else None
    values = row.get("Value", [])
    if not isinstance(values, list):
        raise ValueError("Value is no array")
    if vr == "SQ":
        return Sequence([from_json(item or {}, bulk_data) for item in values])
    if vr in _BINARY and values:
        raise ValueError(f"{vr} has no Value but InlineBinary")
    read = [_read_value(vr, one) for one in values]
    if not read:
        return None if vr in _BINARY or not VRS[vr].is_string or vr in ("DS", "IS") else ""
    return read[0] if len(read) == 1 else read


def _read_value(vr: str, value: Any) -> Any:
    if value is None:
        return "" if VRS[vr].is_string else None
    if vr == "PN":
        if isinstance(value, str):
            return PersonName(value)
        return PersonName("=".join(str(value.get(name, "")) for name in _GROUPS))
    if vr == "AT":
        return int(value, 16)
    if vr in _INTEGERS:
        return IS(value) if vr == "IS" else int(value)
    if vr in _DECIMALS:
        number = _NON_FINITE.get(value) if isinstance(value, str) else None
        return number if number is not None else DS(value) if vr == "DS" else float(value)
    return str(value)
