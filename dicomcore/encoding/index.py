"""From a source to an `ElementIndex`: which elements there are and where their values lie (PS3.5 7), never the values.

Reading touches headers only: one block at the head, further blocks as the scan needs them. A sequence of defined length
is skipped and scanned when `items` is asked for it; one of undefined length was walked by the same pass. Faults are
repaired as the field's readers do and told as Issues, or raised under a strict policy; what breaks `Limits` is always
`LimitExceeded`.
"""

from __future__ import annotations

from dicomcore._core.level import ItemSpan
from dicomcore._core.scan import COUNT, DEPTH, DONE, FAULT, LENGTH, NEED, OFFSET_LIMIT, ElementIndex, Scanner
from dicomcore.encoding.policy import LENIENT, Policy
from dicomcore.encoding.source import Source
from dicomcore.encoding.stream import StreamSource
from dicomcore.errors import EncodingError, Issue, LimitExceeded
from dicomcore.limits import DEFAULT_LIMITS, Limits
from dicomcore.vocab.tag import format_tag

__all__ = ["UNDEFINED_LENGTH", "ElementIndex", "ItemSpan", "items", "read_index"]

UNDEFINED_LENGTH = 0xFFFFFFFF
_VR_UN = 0x554E
_FIRST_BLOCK = 4 * 1024  # after a hop over a value: a few headers are wanted
_LAST_BLOCK = 1024 * 1024  # where headers lie close together blocks double up to this

# what the kernel reports (FaultCode in scan.pyx): words over {tag}, {vr}, {claimed}, {available}; and the clause
_FAULTS = {
    1: ("the value of {tag} claims {claimed} bytes where its parent has {available}; cut there", "PS3.5 7.1.1"),
    2: ("{available} bytes at the end are too few for an element; left out", "PS3.5 7.1"),
    3: ("{tag} has the odd length {claimed}", "PS3.5 7.1.1"),
    4: ("{tag} is out of order or repeated", "PS3.5 7.1"),
    5: ("{tag} has the unknown VR {vr!r}; read by what is known of its tag", "PS3.5 6.2"),
    6: ("{tag} has no VR in an explicit VR data set; read with a 32-bit length", "PS3.5 7.1.2"),
    7: ("stray {tag}; left out", "PS3.5 7.5"),
    8: ("{tag} stands where an item or a delimiter has to", "PS3.5 7.5"),
    9: ("an undefined length without its delimiter; ended here", "PS3.5 7.5.2"),
    10: ("the delimiter {tag} has the length {claimed}", "PS3.5 7.5"),
    11: ("zeros where an element has to be; the {available} bytes from here are left out", "PS3.5 7.1"),
    12: ("{tag} of VR {vr} may not have an undefined length", "PS3.5 7.1.1"),
    13: ("{tag} has the VR {vr} in an implicit VR data set; read as explicit", "PS3.5 7.1.3"),
    14: ("no item of {tag} here, {available} bytes before its delimiter; kept in the value as they are", "PS3.5 7.5"),
    15: ("{available} zero bytes between elements; left out", "PS3.5 7.1"),
}
_BROKEN = frozenset({1, 2, 8, 9, 14})  # something is missing, or where it belongs is a guess
_REFUSALS = {
    DEPTH: ("sequences are nested deeper than {limits.nesting_depth} levels", "Limits.nesting_depth"),
    COUNT: ("more than {limits.element_count} elements", "Limits.element_count"),
    LENGTH: ("a value longer than {limits.value_length} bytes", "Limits.value_length"),
}


def _path(prefix: str, steps: tuple[int, ...], tag: int, *, items: bool) -> str | None:
    """``prefix``.(gggg,eeee)[n].(gggg,eeee); tags and item numbers alternate in ``steps``."""
    path = prefix
    is_item = items
    for step in steps:
        path += f"[{step}]" if is_item else f"{'.' if path else ''}{format_tag(step)}"
        is_item = not is_item
    if tag and tag >> 16 != 0xFFFE and not is_item:
        path += f"{'.' if path else ''}{format_tag(tag)}"
    return path or None


def read_index(
    source: Source,
    start: int = 0,
    stop: int | None = None,
    *,
    explicit: bool,
    big_endian: bool = False,
    limits: Limits = DEFAULT_LIMITS,
    policy: Policy = LENIENT,
    issues: list[Issue],
    stop_tag: int | None = None,
    path: str = "",
    depth: int = 0,
) -> ElementIndex:
    """Index the elements in bytes [start, stop) of the source.

    ``stop_tag`` ends it before the first element with that tag or a higher one; ``end_offset`` of the index tells where
    it ended. ``path`` and ``depth`` say where in the root data set these elements are.
    """
    return _scan(source, start, stop, explicit, big_endian, limits, policy, issues, stop_tag, path, depth, False)


def _scan(
    source: Source,
    start: int,
    stop: int | None,
    explicit: bool,
    big_endian: bool,
    limits: Limits,
    policy: Policy,
    issues: list[Issue],
    stop_tag: int | None,
    path: str,
    depth: int,
    items: bool,
) -> ElementIndex:
    stop = source.size if stop is None else min(stop, source.size)
    if not 0 <= start <= stop:
        raise EncodingError(
            f"bytes {start} to {stop} are not in a source of {source.size}", offset=start, path=path or None
        )
    if stop >= OFFSET_LIMIT:
        raise LimitExceeded(f"more than {OFFSET_LIMIT} bytes", offset=start, path=path or None)
    scanner = Scanner(
        start,
        stop,
        explicit,
        big_endian,
        items=items,
        depth=depth,
        stop_tag=stop_tag,
        nesting_depth=limits.nesting_depth,
        element_count=limits.element_count,
        value_length=limits.value_length,
    )
    block, offset = source.head, 0
    status = scanner.feed(block, offset)
    if status == FAULT:
        status = _tell(scanner, block, offset, policy, issues, path, items)
    if status == NEED:
        with source.session() as opened:
            length = _FIRST_BLOCK
            most = _FIRST_BLOCK if isinstance(source, StreamSource) else _LAST_BLOCK
            while status == NEED:
                position = scanner.position
                near = position <= offset + 2 * len(block)  # as far again as the block was long
                length = min(length * 2, most) if near else _FIRST_BLOCK
                block, offset = opened.view(position, min(length, stop - position)), position
                status = scanner.feed(block, offset)
                if status == FAULT:
                    status = _tell(scanner, block, offset, policy, issues, path, items)
    if status == DONE:
        return scanner.finish()
    if status not in _REFUSALS:
        raise MemoryError
    text, hint = _REFUSALS[status]
    raise LimitExceeded(
        text.format(limits=limits),
        offset=scanner.position,
        path=_path(path, scanner.where(), 0, items=items),
        hint=f"raise {hint} if this is meant",
    )


def _tell(
    scanner: Scanner, block: memoryview, offset: int, policy: Policy, issues: list[Issue], path: str, items: bool
) -> int:
    """Put the queued faults into Issues and go on in the block, until something else stops the scan."""
    status = FAULT
    while status == FAULT:
        for code, at, tag, claimed, available, steps in scanner.faults():
            text, clause = _FAULTS[code]
            vr = bytes(((claimed >> 8) & 0xFF, claimed & 0xFF)).decode("ascii", "replace")
            message = text.format(tag=format_tag(tag), vr=vr, claimed=claimed, available=available)
            where = _path(path, steps, tag, items=items)
            policy.accept(Issue(message, at, where, clause, code in _BROKEN), issues)
        if len(issues) > policy.issue_count:
            scanner.mute()
        status = scanner.feed(block, offset)
    return status


def items(
    index: ElementIndex,
    row: int,
    source: Source,
    *,
    limits: Limits = DEFAULT_LIMITS,
    policy: Policy = LENIENT,
    issues: list[Issue],
    path: str = "",
) -> list[ItemSpan]:
    """The items of the sequence in this row; ``path`` is the sequence's own, such as ``(300A,00B0)``.

    A value of VR UN holds implicit VR little endian items (PS3.5 6.2.2). Faults that are found on this touch come once
    into ``issues``, however often the sequence is touched.
    """
    if index.is_encapsulated(row):
        raise EncodingError(
            "encapsulated data has fragments, not items",
            offset=index.header_offset_at(row),
            path=path or None,
            clause="PS3.5 A.4",
        )
    if index.is_walked(row):
        below = index.descend(row)
    else:
        start = index.value_offset_at(row)
        is_un = index.vr_at(row) == _VR_UN
        found: list[Issue] = []
        below = _scan(
            source,
            start,
            start + index.length_at(row),
            index.explicit and not is_un,
            index.big_endian and not is_un,
            limits,
            policy,
            found,
            None,
            path,
            index.depth,
            True,
        )
        for issue in found:
            if issue not in issues:
                policy.accept(issue, issues)
    return [ItemSpan(below, number) for number in range(len(below))]
