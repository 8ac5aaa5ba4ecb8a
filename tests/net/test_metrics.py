"""Histograms, and the text for Prometheus, read back by a small parser of our own and by that of its client."""

from __future__ import annotations

import math
import re
from bisect import bisect_left
from itertools import pairwise
from types import MappingProxyType

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from dicomcore.net.metrics import BOUNDS, Histogram, Metrics, OperationMetrics, Row, prometheus_text

SAMPLE = re.compile(r'([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{((?:[a-zA-Z_][a-zA-Z0-9_]*="(?:\\.|[^"\\\n])*",?)*)\})? (\S+)')
LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:\\.|[^"\\\n])*)"')
KINDS = {"counter": {""}, "gauge": {""}, "histogram": {"_bucket", "_sum", "_count"}}

Labels = tuple[tuple[str, str], ...]


def put(counts: list[int], seconds: float) -> None:
    counts[bisect_left(BOUNDS, seconds)] += 1


def row(role: str, command: str, *seconds: float) -> OperationMetrics:
    made = Row()
    for each in seconds:
        put(made.queue, each / 10)
        put(made.service, each)
        made.statuses[0] += 1
    made.queue_total, made.service_total = sum(seconds) / 10, sum(seconds)
    return made.value(role, command)


FULL = Metrics(
    received_bytes=12,
    connections_open=3,
    handshakes_failed=5,
    associations_rejected=MappingProxyType({'a "quoted" reason\\with a\nline': 4}),
    associations_ended=MappingProxyType({"released": 2, "lost": 1}),
    operations=(row("provider", "C-STORE", 0.001, 0.25, 1000.0), row("user", "C-ECHO", 1e-9)),
    memory=7,
    peak_memory=1 << 40,
)


def read(text: str) -> dict[tuple[str, Labels], float]:
    """Samples of the text format 0.0.4, with everything checked that it demands."""
    assert text.endswith("\n")
    samples: dict[tuple[str, Labels], float] = {}
    told: set[str] = set()
    name, kind = "", ""
    for line in text.splitlines():
        if line.startswith("# HELP "):
            name = line.split(" ")[2]
            assert name not in told
            told.add(name)
            assert len(line.split(" ", 3)[3]) > 5
            continue
        if line.startswith("# TYPE "):
            _, _, again, kind = line.split(" ")
            assert again == name
            continue
        match = SAMPLE.fullmatch(line)
        assert match, line
        full, labels, value = match.groups()
        assert full.removeprefix(name) in KINDS[kind], line
        assert (kind == "counter") == name.endswith("_total")
        pairs = tuple((label, unescape(text)) for label, text in LABEL.findall(labels or ""))
        assert (full, pairs) not in samples
        samples[full, pairs] = float(value)
    return samples


def unescape(text: str) -> str:
    return re.sub(r"\\(.)", lambda match: {"n": "\n"}.get(match[1], match[1]), text)


def test_bounds_are_three_a_decade() -> None:
    assert len(BOUNDS) == 22
    assert (BOUNDS[0], BOUNDS[-1]) == (1e-5, 100.0)
    assert list(BOUNDS) == sorted(set(BOUNDS))
    ratios = {round(later / earlier, 6) for earlier, later in pairwise(BOUNDS)}
    assert ratios == {2.0, 2.5}


@given(st.lists(st.floats(0, 1e4), max_size=50))
def test_a_time_is_in_the_first_bucket_that_holds_it(seconds: list[float]) -> None:
    histogram = row("user", "C-ECHO", *seconds).service_time
    assert histogram.observed == len(seconds)
    assert histogram.total == pytest.approx(math.fsum(seconds))
    for index, bound in enumerate(BOUNDS):
        assert sum(histogram.counts[: index + 1]) == sum(each <= bound for each in seconds)


def test_quantiles_and_means() -> None:
    assert (Histogram().quantile(0.5), Histogram().mean) == (0.0, 0.0)
    histogram = row("user", "C-ECHO", *[0.002] * 90, *[0.2] * 9, 1000.0).service_time
    assert histogram.quantile(0.5) == 0.0025
    assert histogram.quantile(0.95) == 0.25
    assert histogram.quantile(1.0) == math.inf
    assert histogram.mean == pytest.approx((0.18 + 1.8 + 1000) / 100)
    twice = histogram.merged(histogram)
    assert (twice.observed, twice.quantile(0.5)) == (200, 0.0025)


def test_a_snapshot_does_not_change() -> None:
    made = Row()
    put(made.service, 1.0)
    before = made.value("provider", "C-FIND")
    put(made.service, 1.0)
    made.statuses[-1] += 5
    assert before.service_time.observed == 1
    assert before.completed == 0
    assert made.value("provider", "C-FIND").completed == 0  # Pending ends nothing
    with pytest.raises(TypeError):
        before.statuses["Success"] = 1  # type: ignore[index]
    assert hash(before.service_time)


def test_what_never_happened_is_zero() -> None:
    assert FULL.operation("C-MOVE").completed == 0
    assert FULL.operation("C-ECHO").completed == 0
    assert FULL.operation("C-ECHO", "user").completed == 1


def test_text_as_our_own_parser_reads_it() -> None:
    samples = read(prometheus_text(FULL))
    assert samples["dicomcore_received_bytes_total", ()] == 12
    assert samples["dicomcore_memory_peak_bytes", ()] == 1 << 40
    assert samples["dicomcore_handshakes_failed_total", ()] == 5
    reason = (("reason", 'a "quoted" reason\\with a\nline'),)
    assert samples["dicomcore_associations_rejected_total", reason] == 4
    store = (("role", "provider"), ("command", "C-STORE"))
    assert samples["dicomcore_responses_total", (*store, ("status", "Success"))] == 3
    buckets = [samples["dicomcore_service_seconds_bucket", (*store, ("le", repr(bound)))] for bound in BOUNDS]
    assert buckets == sorted(buckets)
    assert buckets[-1] == 2
    assert samples["dicomcore_service_seconds_bucket", (*store, ("le", "+Inf"))] == 3
    assert samples["dicomcore_service_seconds_count", store] == 3
    assert samples["dicomcore_service_seconds_sum", store] == pytest.approx(1000.251)
    assert not any(name.startswith("dicomcore_queue") and ("role", "user") in labels for name, labels in samples)


def test_text_of_nothing() -> None:
    text = prometheus_text(Metrics())
    samples = read(text)
    assert samples["dicomcore_associations_open", ()] == 0
    assert "memory" not in text
    assert "seconds" not in text


@pytest.mark.parametrize("metrics", [Metrics(), FULL])
def test_text_as_prometheus_reads_it(metrics: Metrics) -> None:
    text = prometheus_text(metrics, prefix="pacs", labels={"site": 'a\\b"c\nd'})
    theirs = {
        (sample.name, tuple(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }
    assert theirs == read(text)
    assert all(("site", 'a\\b"c\nd') in labels for _, labels in theirs)


@given(st.text(max_size=30), st.integers(0, 1 << 60))
def test_any_label_and_number_comes_back(text: str, number: int) -> None:
    metrics = Metrics(associations_rejected=MappingProxyType({text: number}))
    made = prometheus_text(metrics)
    family = next(each for each in text_string_to_metric_families(made) if "rejected" in each.name)
    (sample,) = family.samples
    assert sample.labels == {"reason": text}
    assert sample.value == float(number)
