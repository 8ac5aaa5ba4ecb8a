"""The faces of a data set in other forms, as methods: JSON, XML, HTML, pydicom. The work lives in later modules."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Self

from ._late import late

if TYPE_CHECKING:
    from .element import Element

__all__ = ["ELSEWHERE", "Convertible"]

# what a pydicom user may ask a data set for that is done otherwise here: name -> advice
ELSEWHERE: Mapping[str, str] = MappingProxyType(
    {
        "convert_pixel_data": "pixel_array does it",
        "data_element": "use ds[keyword]",
        "ensure_file_meta": "file_meta is always there",
        "formatted_lines": "use str(ds).splitlines()",
        "get_item": "use ds[tag], and ds.view(tag) for the bytes",
        "get_private_item": "use private_block(group, creator)[offset]",
        "group_dataset": "use [element for element in ds if element.tag.group == group]",
        "is_implicit_VR": "see transfer_syntax; save_as(path, transfer_syntax) sets it",
        "is_little_endian": "use not ds.is_big_endian; save_as(path, transfer_syntax) sets it",
        "original_encoding": "see transfer_syntax",
        "remove_private_tags": "use walk(lambda level, one: level.pop(one.tag) if one.tag.is_private else None)",
        "set_original_encoding": "save_as(path, transfer_syntax) does it",
    }
)


class Convertible:
    """Thin methods of `Dataset`; ``bulk_data`` is the caller's handler of values that are held elsewhere.

    On the way out it is offered, as an `Element`, every value field over ``threshold`` bytes whose VR may be held
    elsewhere, and answers its URI, or None to keep it inline. On the way in it is given the URI, and answers the value
    or the bytes of its value field (little endian, text in UTF-8).
    """

    __slots__ = ()

    def to_json_dict(
        self, bulk_data: Callable[[Element], str | None] | None = None, threshold: int = 1024
    ) -> dict[str, Any]:
        """The DICOM JSON model (PS3.18 annex F) as a dict."""
        model: dict[str, Any] = late("to_json_dict")(self, bulk_data, threshold)
        return model

    def to_json(self, bulk_data: Callable[[Element], str | None] | None = None, threshold: int = 1024) -> str:
        """The DICOM JSON model as text."""
        text: str = late("to_json")(self, bulk_data, threshold)
        return text

    @classmethod
    def from_json(cls, model: str | bytes | Mapping[str, Any], bulk_data: Callable[[str], Any] | None = None) -> Self:
        """A data set from the DICOM JSON model."""
        dataset: Self = late("from_json")(model, bulk_data)
        return dataset

    def to_xml(self, bulk_data: Callable[[Element], str | None] | None = None, threshold: int = 1024) -> str:
        """The Native DICOM Model (PS3.19 annex A.1) as text."""
        text: str = late("to_xml")(self, bulk_data, threshold)
        return text

    @classmethod
    def from_xml(cls, document: Any, bulk_data: Callable[[str], Any] | None = None) -> Self:
        """A data set from the Native DICOM Model: text, bytes, or a file that is read block by block."""
        dataset: Self = late("from_xml")(document, bulk_data)
        return dataset

    def to_pydicom(self) -> Any:
        """The same as a pydicom Dataset (a FileDataset's ``file_meta`` included)."""
        return late("to_pydicom")(self)

    @classmethod
    def from_pydicom(cls, dataset: Any) -> Self:
        """The same as a pydicom Dataset, its ``file_meta`` included when it has one."""
        converted: Self = late("from_pydicom")(dataset)
        return converted

    def _repr_html_(self) -> str:
        text: str = late("to_html")(self)
        return text
