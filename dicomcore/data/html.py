"""A data set as HTML for notebooks: a table of elements, sequences folded; every text escaped, nothing scripted.

Promises to stay small whatever the data set: long values are cut, and beyond a number of rows and items it says how
much is not shown.
"""

from __future__ import annotations

from collections.abc import Iterator
from html import escape
from itertools import islice

from ..vocab.tag import format_tag
from .dataset import Dataset
from .element import Element, shown_value

__all__ = ["to_html"]

_WIDTH = 200  # characters of a value
_ROWS = 2000  # elements in all
_ITEMS = 100  # of one sequence
_DEPTH = 16
_STYLE = (
    "<style>.dicomcore table{border-collapse:collapse}.dicomcore td{text-align:left;padding:0 .6em;"
    "vertical-align:top}.dicomcore td:first-child,.dicomcore td:nth-child(3){font-family:monospace}"
    ".dicomcore details{margin-left:.6em}.dicomcore summary{cursor:pointer}</style>"
)


def to_html(dataset: Dataset) -> str:
    """The file meta information, when there is any, folded; then the data set."""
    page = _Page(_ROWS)
    parts = [f'<div class="dicomcore">{_STYLE}']
    origin = dataset._origin
    if dataset._meta is not None or (origin is not None and origin.parent is None):
        meta = dataset.file_meta
        if len(meta):
            parts += ["<details><summary>File meta information</summary>", *page.table(meta, 0), "</details>"]
    parts += page.table(dataset, 0)
    if issues := dataset.issues:
        parts.append(f"<details><summary>{len(issues)} issue(s)</summary><ul>")
        parts += [f"<li>{escape(str(issue))}</li>" for issue in islice(issues, _ITEMS)]
        parts.append("</ul></details>")
    return "".join([*parts, "</div>"])


class _Page:
    __slots__ = ("left",)

    def __init__(self, left: int) -> None:
        self.left = left  # rows that may still be shown

    def table(self, dataset: Dataset, depth: int) -> Iterator[str]:
        yield "<table>"
        for shown, element in enumerate(dataset):
            if self.left <= 0:
                yield f'<tr><td colspan="4">and {len(dataset) - shown} more elements</td></tr>'
                break
            self.left -= 1
            yield f"<tr><td>{format_tag(element.tag)}</td><td>{escape(element.name)}</td><td>{element.VR}</td><td>"
            if element.VR == "SQ":
                yield from self._items(element, depth)
            else:
                yield escape(_cut(shown_value(element)))
            yield "</td></tr>"
        yield "</table>"

    def _items(self, element: Element, depth: int) -> Iterator[str]:
        items = element.value
        count = len(items)
        yield f"<details><summary>{count} item{'' if count == 1 else 's'}</summary>"
        shown = 0
        for item in islice(items, _ITEMS):
            if self.left <= 0 or depth >= _DEPTH:
                break
            shown += 1
            yield f"<details><summary>[{shown - 1}]</summary>"
            yield from self.table(item, depth + 1)
            yield "</details>"
        if shown < count:
            yield f"<p>and {count - shown} more</p>"
        yield "</details>"


def _cut(text: str) -> str:
    return text if len(text) <= _WIDTH else text[: _WIDTH - 1] + "…"
