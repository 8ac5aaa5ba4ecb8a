"""What a server or an association has done, as plain frozen values, and as text for Prometheus.

Histograms have the same buckets everywhere, three a decade from 10 microseconds to 100 seconds, so those of several
servers can be added. `prometheus_text` writes the text exposition format, version 0.0.4; serving it over HTTP is
for others. Nothing here names a patient or an instance.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final, NamedTuple

from dicomcore.dimse.command import MESSAGES, CommandField
from dicomcore.vocab.status import StatusCategory

__all__ = ["BOUNDS", "CATEGORIES", "Histogram", "Metrics", "OperationMetrics", "prometheus_text"]

# Seconds: the upper bounds of all buckets but the last, which has none.
BOUNDS: Final = (*(float(f"{digits}e{power}") for power in range(-5, 2) for digits in ("1", "2.5", "5")), 100.0)

CATEGORIES: Final = (
    StatusCategory.SUCCESS,
    StatusCategory.WARNING,
    StatusCategory.FAILURE,
    StatusCategory.CANCEL,
    StatusCategory.PENDING,
)

_NOTHING: Final[Mapping[str, int]] = MappingProxyType({})
_NO_LABELS: Final[Mapping[str, str]] = MappingProxyType({})


def _nothing() -> Mapping[str, int]:
    return _NOTHING


class Histogram(NamedTuple):
    """How often a time fell into each bucket of `BOUNDS` (seconds, bounds included), the last one open; their sum."""

    counts: tuple[int, ...] = (0,) * (len(BOUNDS) + 1)
    total: float = 0.0

    @property
    def observed(self) -> int:
        """How many times there were."""
        return sum(self.counts)

    @property
    def mean(self) -> float:
        """Seconds; 0.0 of none."""
        return self.total / (self.observed or 1)

    def quantile(self, share: float) -> float:
        """The upper bound of the bucket in which this share (0 to 1) of all times is reached; 0.0 of none."""
        wanted, passed = share * self.observed, 0
        for bound, number in zip(BOUNDS, self.counts, strict=False):
            passed += number
            if passed >= wanted:
                return bound if passed else 0.0
        return float("inf")

    def merged(self, other: Histogram) -> Histogram:
        """Both together."""
        counts = tuple(mine + its for mine, its in zip(self.counts, other.counts, strict=True))
        return Histogram(counts, self.total + other.total)


class OperationMetrics(NamedTuple):
    """All operations of one kind: responses by category of their status, and times in seconds.

    ``queue_time``: from the arrival of a request until its provider began (nothing for those that this side asked
    for). ``service_time``: from there, or from the request's leaving, to the final response.
    """

    role: str
    """``provider``: the peer asked; ``user``: this side did."""
    command: str
    """Such as C-STORE."""
    statuses: Mapping[str, int]
    queue_time: Histogram
    service_time: Histogram

    @property
    def completed(self) -> int:
        """Final responses."""
        return sum(number for name, number in self.statuses.items() if name != StatusCategory.PENDING)


@dataclass(frozen=True, slots=True)
class Metrics:
    """Counters since the beginning, of one association or of a server; what is ``open`` or ``running`` is so now.

    Bytes are those of the upper layer: PDU headers included, TLS and TCP not.
    """

    received_bytes: int = 0
    sent_bytes: int = 0
    received_objects: int = 0
    """Instances taken by a C-STORE whose answer was success or a warning."""
    sent_objects: int = 0
    """Instances given, alike."""
    connections_opened: int = 0
    connections_open: int = 0
    connections_refused: int = 0
    """Closed at once, since they came too fast or were too many."""
    handshakes_failed: int = 0
    """Those of TLS that came to nothing; connections that were closed before the peer said a word do not count."""
    associations_accepted: int = 0
    associations_open: int = 0
    associations_rejected: Mapping[str, int] = field(default_factory=_nothing)
    """By reason, in words."""
    associations_ended: Mapping[str, int] = field(default_factory=_nothing)
    """``released``, ``aborted`` (by this side), ``aborted by peer`` or ``lost``."""
    associations_failed: int = 0
    """Requested, and aborted or lost before they were accepted or rejected."""
    operations: tuple[OperationMetrics, ...] = ()
    operations_running: int = 0
    events_dropped: int = 0
    """Events for which there was no room, since the hook is too slow."""
    peak_memory: int | None = None
    """The most bytes of the memory budget that were taken at a time: received objects in memory, long receive blocks,
    and what waited to be sent. None without a budget."""
    memory: int | None = None
    """Bytes of the budget that are taken now."""
    seconds: float = field(default=0.0, compare=False)
    """Since the beginning; of an association that is over, how long it stood."""

    def operation(self, command: str, role: str = "provider") -> OperationMetrics:
        """Of one command, such as ``C-STORE``; nothing but zeros if there was none."""
        for row in self.operations:
            if (row.command, row.role) == (command, role):
                return row
        return OperationMetrics(role, command, _NOTHING, Histogram(), Histogram())


class Row:
    """Counters of the operations of one kind, changed in place; what a time is counted in is told by `BOUNDS`."""

    __slots__ = ("queue", "queue_total", "service", "service_total", "statuses")

    def __init__(self) -> None:
        self.statuses = [0] * len(CATEGORIES)
        self.queue = [0] * (len(BOUNDS) + 1)
        self.service = [0] * (len(BOUNDS) + 1)
        self.queue_total = self.service_total = 0.0

    def add(self, other: Row) -> None:
        for mine, its in (
            (self.statuses, other.statuses),
            (self.queue, other.queue),
            (self.service, other.service),
        ):
            mine[:] = map(int.__add__, mine, its)
        self.queue_total += other.queue_total
        self.service_total += other.service_total

    def value(self, role: str, command: str) -> OperationMetrics:
        statuses = {str(name): number for name, number in zip(CATEGORIES, self.statuses, strict=True) if number}
        return OperationMetrics(
            role,
            command,
            MappingProxyType(statuses),
            Histogram(tuple(self.queue), self.queue_total),
            Histogram(tuple(self.service), self.service_total),
        )


class Tally:
    """Counters, changed in place."""

    __slots__ = (
        "accepted",
        "asked",
        "ended",
        "failed",
        "opened",
        "performed",
        "received_bytes",
        "received_objects",
        "refused",
        "rejected",
        "sent_bytes",
        "sent_objects",
        "unsecured",
    )

    def __init__(self) -> None:
        self.opened = self.refused = self.unsecured = self.accepted = self.failed = 0
        self.received_bytes = self.sent_bytes = self.received_objects = self.sent_objects = 0
        self.rejected: dict[str, int] = {}
        self.ended: dict[str, int] = {}
        self.performed: dict[int, Row] = {}  # by the command field of the request
        self.asked: dict[int, Row] = {}

    def add(self, other: Tally) -> None:
        self.opened += other.opened
        self.refused += other.refused
        self.unsecured += other.unsecured
        self.accepted += other.accepted
        self.failed += other.failed
        self.received_objects += other.received_objects
        self.sent_objects += other.sent_objects
        self.received_bytes += other.received_bytes
        self.sent_bytes += other.sent_bytes
        for mine, its in ((self.rejected, other.rejected), (self.ended, other.ended)):
            if its:
                for key, number in its.copy().items():
                    mine[key] = mine.get(key, 0) + number
        for rows, more in ((self.performed, other.performed), (self.asked, other.asked)):
            if more:
                for command, row in more.copy().items():
                    rows.setdefault(command, Row()).add(row)

    def metrics(self, **now: Any) -> Metrics:
        """A frozen copy; ``now``: what is no counter."""
        rows = [("provider", field, row) for field, row in sorted(self.performed.copy().items())]
        rows += [("user", field, row) for field, row in sorted(self.asked.copy().items())]
        return Metrics(
            received_bytes=self.received_bytes,
            sent_bytes=self.sent_bytes,
            received_objects=self.received_objects,
            sent_objects=self.sent_objects,
            connections_opened=self.opened,
            connections_refused=self.refused,
            handshakes_failed=self.unsecured,
            associations_accepted=self.accepted,
            associations_rejected=MappingProxyType(self.rejected.copy()),
            associations_ended=MappingProxyType(self.ended.copy()),
            associations_failed=self.failed,
            operations=tuple(row.value(role, service_name(field)) for role, field, row in rows),
            **now,
        )


def service_name(field: int) -> str:
    """``C-STORE`` of the command field of its request."""
    return MESSAGES[CommandField(field)].name.removesuffix("-RQ")


# --- Prometheus -------------------------------------------------------------------------------------------------------

_Labels = tuple[tuple[str, str], ...]
_Sample = tuple[str, _Labels, float]  # what follows the family's name, labels, value


def prometheus_text(metrics: Metrics, *, prefix: str = "dicomcore", labels: Mapping[str, str] = _NO_LABELS) -> str:
    """The text exposition format 0.0.4 (``text/plain; version=0.0.4``); ``labels`` are put on every sample."""
    fixed = tuple(labels.items())
    lines: list[str] = []
    for name, kind, text, samples in _families(metrics):
        family = f"{prefix}_{name}"
        rows = list(samples)
        if rows:
            lines += [f"# HELP {family} {_escape(text)}", f"# TYPE {family} {kind}"]
            lines += [f"{family}{suffix}{_labels(fixed + own)} {_number(value)}" for suffix, own, value in rows]
    return "\n".join(lines) + "\n"


def _families(metrics: Metrics) -> Iterator[tuple[str, str, str, Iterable[_Sample]]]:
    """Name, type, help and samples of each family."""
    plain = (
        ("received_bytes_total", "counter", "Bytes received, PDU headers included.", metrics.received_bytes),
        ("sent_bytes_total", "counter", "Bytes sent, PDU headers included.", metrics.sent_bytes),
        ("received_objects_total", "counter", "Instances received and stored.", metrics.received_objects),
        ("sent_objects_total", "counter", "Instances sent and stored by the peer.", metrics.sent_objects),
        ("connections_total", "counter", "Connections opened.", metrics.connections_opened),
        ("connections_open", "gauge", "Connections open now.", metrics.connections_open),
        ("connections_refused_total", "counter", "Connections closed at once.", metrics.connections_refused),
        ("handshakes_failed_total", "counter", "TLS handshakes that came to nothing.", metrics.handshakes_failed),
        ("associations_accepted_total", "counter", "Associations accepted.", metrics.associations_accepted),
        ("associations_open", "gauge", "Associations that stand now.", metrics.associations_open),
        ("associations_failed_total", "counter", "Associations lost before they stood.", metrics.associations_failed),
        ("operations_running", "gauge", "Operations without a final response.", metrics.operations_running),
        ("events_dropped_total", "counter", "Events that a slow hook has missed.", metrics.events_dropped),
        ("memory_bytes", "gauge", "Bytes of the memory budget in use.", metrics.memory),
        ("memory_peak_bytes", "gauge", "The most bytes of the memory budget in use so far.", metrics.peak_memory),
    )
    for name, kind, text, value in plain:
        yield name, kind, text, [] if value is None else [("", (), value)]
    for name, text, label, counts in (
        ("associations_rejected_total", "Associations rejected, by reason.", "reason", metrics.associations_rejected),
        ("associations_ended_total", "Associations that have ended, by how.", "how", metrics.associations_ended),
    ):
        yield name, "counter", text, [("", ((label, key),), value) for key, value in counts.items()]
    rows = [((("role", row.role), ("command", row.command)), row) for row in metrics.operations]
    yield (
        "responses_total",
        "counter",
        "Responses by command and category of the status; all but Pending end an operation.",
        [("", (*own, ("status", name)), number) for own, row in rows for name, number in row.statuses.items()],
    )
    yield (
        "queue_seconds",
        "histogram",
        "From the arrival of a request until its provider began.",
        [sample for own, row in rows if row.role == "provider" for sample in _buckets(own, row.queue_time)],
    )
    yield (
        "service_seconds",
        "histogram",
        "From the beginning of an operation to its final response.",
        [sample for own, row in rows for sample in _buckets(own, row.service_time)],
    )


def _buckets(labels: _Labels, histogram: Histogram) -> Iterator[_Sample]:
    below = 0
    for bound, number in zip((*map(_number, BOUNDS), "+Inf"), histogram.counts, strict=True):
        below += number
        yield "_bucket", (*labels, ("le", bound)), below
    yield "_sum", labels, histogram.total
    yield "_count", labels, below


def _labels(pairs: _Labels) -> str:
    if not pairs:
        return ""
    return "{" + ",".join(f'{name}="{_escape(value, quotes=True)}"' for name, value in pairs) + "}"


def _escape(text: str, *, quotes: bool = False) -> str:
    text = text.replace("\\", "\\\\").replace("\n", "\\n")
    return text.replace('"', '\\"') if quotes else text


def _number(value: float) -> str:
    return str(value) if isinstance(value, int) else repr(value)
