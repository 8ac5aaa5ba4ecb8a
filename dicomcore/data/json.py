"""The DICOM JSON model (PS3.18 annex F), both ways.

Promises: group lengths and file meta information are left out, as F.2.2 demands; Specific Character Set says what the
source used (note 3 there), while the text is Unicode. A number of DS, IS, SV or UV is a string where a reader of
floating point numbers would lose digits (F.2.3); numbers that JSON lacks are the strings NaN, Infinity and -Infinity.
Byte values are inline unless the caller's handler gives a URI for them. What comes back is held against its VR.
Refuses (`EncodingError` with the path, `LimitExceeded` for depth): what is no such model.
"""

from __future__ import annotations

import json
import math
from base64 import b64encode
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal
from typing import Any

from ..encoding.person_name import PersonName
from ..errors import EncodingError
from ..limits import DEFAULT_LIMITS, Limits
from ..vocab.tag import format_tag
from .dataset import Dataset
from .fields import (
    GROUPS,
    BulkReader,
    BulkWriter,
    FailingAt,
    Field,
    charsets_in,
    check_depth,
    checked_vr,
    is_within,
    iter_fields,
    place,
    settle,
    tag_of,
    value_of,
)
from .sequence import Sequence

__all__ = ["from_json", "from_json_array", "to_json", "to_json_array", "to_json_dict"]

_CLAUSE = "PS3.18 F.2"
_EXACT = 1 << 53  # integers up to here are exact as floating point numbers
_MEMBERS = ("Value", "InlineBinary", "BulkDataURI")


def to_json_dict(dataset: Dataset, bulk_data: BulkWriter | None = None, threshold: int = 1024) -> dict[str, Any]:
    """The model as a dict; ``bulk_data`` is offered values over ``threshold`` bytes, and answers a URI or None."""
    return _object(dataset, bulk_data, threshold, (), 0)


def to_json(dataset: Dataset, bulk_data: BulkWriter | None = None, threshold: int = 1024) -> str:
    """The model as text."""
    return _text(to_json_dict(dataset, bulk_data, threshold))


def to_json_array(datasets: Iterable[Dataset], bulk_data: BulkWriter | None = None, threshold: int = 1024) -> str:
    """An array of data sets, as DICOMweb answers searches (PS3.18 F.2.1)."""
    return _text([to_json_dict(dataset, bulk_data, threshold) for dataset in datasets])


def _text(model: Any) -> str:
    return json.dumps(model, ensure_ascii=False, allow_nan=False)


def _object(
    dataset: Dataset, bulk_data: BulkWriter | None, threshold: int, charsets: tuple[str, ...], depth: int
) -> dict[str, Any]:
    check_depth(depth, DEFAULT_LIMITS, "")
    charsets = charsets_in(dataset, charsets)
    found: dict[str, Any] = {}
    for field in iter_fields(dataset, bulk_data, threshold, is_within, charsets):
        row = found[f"{field.tag:08X}"] = _row(field)
        if field.vr == "SQ" and field.values:
            row["Value"] = [_object(item, bulk_data, threshold, charsets, depth + 1) for item in field.values]
    return found


def _row(field: Field) -> dict[str, Any]:
    row: dict[str, Any] = {"vr": field.vr}
    if field.uri is not None:
        row["BulkDataURI"] = field.uri
    elif field.inline:
        row["InlineBinary"] = b64encode(field.inline).decode("ascii")
    elif field.values and field.vr != "SQ":
        write = _WRITERS.get(field.vr, str)
        row["Value"] = [None if one is None else write(one) for one in field.values]
    return row


def _name(value: Any) -> dict[str, str] | None:
    groups = PersonName(value).components
    return {name: group for name, group in zip(GROUPS, groups, strict=False) if group} or None


def _real(value: Any) -> float | str:
    number = float(value)
    return number if math.isfinite(number) else "NaN" if number != number else "Infinity" if number > 0 else "-Infinity"


def _number_string(value: Any) -> float | int | str:
    """DS or IS: a number where that says the same, else the text."""
    text = str(value).strip()
    if isinstance(value, int):
        return int(value) if -_EXACT <= value <= _EXACT else text
    number = float(value) if isinstance(value, float) else math.nan
    if math.isfinite(number) and (len(text) <= 15 or Decimal(text) == Decimal(repr(number))):
        return number
    return text


def _long(value: Any) -> int | str:
    return int(value) if -_EXACT <= value <= _EXACT else str(value)


_WRITERS: Mapping[str, Callable[[Any], Any]] = {
    **dict.fromkeys(("SL", "SS", "UL", "US"), int),
    **dict.fromkeys(("SV", "UV"), _long),
    **dict.fromkeys(("DS", "IS"), _number_string),
    "AT": "{:08X}".format,
    "FD": _real,
    "FL": _real,
    "PN": _name,
}


def from_json(
    model: str | bytes | Mapping[str, Any], bulk_data: BulkReader | None = None, limits: Limits = DEFAULT_LIMITS
) -> Dataset:
    """A Dataset from the model, or from an array of one. Without ``bulk_data`` a value held elsewhere is empty."""
    found = from_json_array(model, bulk_data, limits)
    if len(found) != 1:
        raise EncodingError(f"{len(found)} data sets where one is wanted", clause=_CLAUSE, hint="see from_json_array")
    return found[0]


def from_json_array(model: Any, bulk_data: BulkReader | None = None, limits: Limits = DEFAULT_LIMITS) -> list[Dataset]:
    """The Datasets of an array, as DICOMweb answers searches; a single object is an array of one (PS3.18 F.2.1)."""
    if isinstance(model, (str, bytes, bytearray)):
        try:
            model = json.loads(model, object_pairs_hook=_unique)
        except EncodingError:
            raise
        except (ValueError, RecursionError) as error:
            raise EncodingError(f"no JSON: {error}", clause=_CLAUSE) from None
    models = model if isinstance(model, list) else [model]
    return [settle(_dataset(one, bulk_data, limits, "", 0)) for one in models]


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        twice = Counter(name for name, _ in pairs).most_common(1)[0][0]
        raise EncodingError(f"{twice!r:.40} is there twice in one object", clause=_CLAUSE)
    return found


def _dataset(model: Any, bulk_data: BulkReader | None, limits: Limits, path: str, depth: int) -> Dataset:
    check_depth(depth, limits, path)
    if not isinstance(model, Mapping):
        raise EncodingError("the JSON model of a data set is an object", path=path or None, clause=_CLAUSE)
    dataset = Dataset()
    for key, row in model.items():
        with FailingAt(_path(path, key), _CLAUSE):
            tag = tag_of(key)
            if not isinstance(row, Mapping):
                raise TypeError(f"{type(row).__name__} where an object belongs")
            vr = checked_vr(row.get("vr"), tag)
            members = [row.get(name) for name in _MEMBERS]
            if sum(member is not None for member in members) > 1:
                raise ValueError("more than one of Value, InlineBinary and BulkDataURI")
            values, inline, uri = members
            if values is not None and not isinstance(values, list):
                raise TypeError("Value is no array")
            if vr == "SQ" and inline is None and uri is None:
                inner = _path(path, key)
                place(dataset, tag, vr, _items(values or [], bulk_data, limits, inner, depth + 1))
            else:
                place(dataset, tag, vr, value_of(vr, values, inline, uri, bulk_data))
    return dataset


def _items(models: list[Any], bulk_data: BulkReader | None, limits: Limits, path: str, depth: int) -> Sequence:
    return Sequence(
        _dataset({} if model is None else model, bulk_data, limits, f"{path}[{number}]", depth)
        for number, model in enumerate(models)
    )


def _path(path: str, key: object) -> str:
    try:
        own = format_tag(int(key, 16)) if isinstance(key, str) and len(key) == 8 and key.isalnum() else f"{key!s:.40}"
    except ValueError:
        own = f"{key!s:.40}"
    return f"{path}.{own}" if path else own
