"""What `GET /metrics` shows: this process's measures, and the work that waits in the database, as Prometheus reads it.

No tenant, no conversation and nothing that a client has written is a label.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final, TypeAlias

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from ..broker.counting import Live
from ..broker.measures import BOUNDS, Durations, Measures

MEDIA_TYPE: Final = CONTENT_TYPE_LATEST
Described: TypeAlias = tuple[str, str, tuple[str, ...], str]

COUNTS: Final[tuple[Described, ...]] = (  # what is counted, its name, its labels, what it is
    ("request", "frontdesk_http_requests", ("method", "route", "status"), "Requests over HTTP that were answered."),
    ("message", "frontdesk_messages", ("type",), "Messages of clients over WebSockets."),
    ("error", "frontdesk_errors", ("code",), "Errors that clients were told."),
    ("cut_off", "frontdesk_cut_off_connections", (), "Connections that were ended because their client did not read."),
    ("written", "frontdesk_written_functions", (), "Functions that were committed."),
    ("claim", "frontdesk_claims", ("slot",), "Turns and tasks that workers of this process have begun."),
)
DURATIONS: Final[tuple[Described, ...]] = (
    ("request", "frontdesk_http_request_seconds", ("method", "route"), "Until an answer began."),
    ("commit", "frontdesk_commit_seconds", (), "Transactions of the writer, from their beginning to their commit."),
    ("lag", "frontdesk_event_lag_seconds", (), "From hearing of a commit to having given its events to the socket."),
    ("run", "frontdesk_run_seconds", ("kind",), "Runs of turns and tasks, each until it ended or was parked."),
    ("model", "frontdesk_model_call_seconds", ("model",), "Calls of models."),
)


def page(measures: Measures, connections: int, live: Sequence[Live]) -> bytes:
    """The text that Prometheus reads."""
    registry = CollectorRegistry()
    registry.register(_Collected(measures, connections, live))
    ProcessCollector(registry=registry)
    return generate_latest(registry)


class _Collected(Collector):
    def __init__(self, measures: Measures, connections: int, live: Sequence[Live]) -> None:
        self._measures, self._connections, self._live = measures, connections, live

    def collect(self) -> Iterator[Metric]:
        yield GaugeMetricFamily("frontdesk_connections", "Clients that are connected here.", self._connections)
        work = GaugeMetricFamily(
            "frontdesk_tasks", "Live turns and tasks in the database.", labels=("kind", "queue", "state")
        )
        for one in self._live:
            work.add_metric([one.kind, one.queue, one.state], one.number)
        yield work
        for what, name, labels, text in COUNTS:
            counted = CounterMetricFamily(name, text, labels=labels)
            for label, number in self._measures.counts(what).items():
                counted.add_metric(_labels(label, labels), number)
            yield counted
        for what, name, labels, text in DURATIONS:
            took = HistogramMetricFamily(name, text, labels=labels)
            for label, found in self._measures.durations(what).items():
                took.add_metric(_labels(label, labels), _buckets(found), found.seconds)
            yield took


def _labels(text: str, names: Sequence[str]) -> list[str]:
    """A label is one word for each name."""
    found = text.split(" ") if names else []
    return (found + [""] * len(names))[: len(names)]


def _buckets(found: Durations) -> list[tuple[str, float]]:
    buckets: list[tuple[str, float]] = []
    total = 0
    for bound, number in zip((*map(str, BOUNDS), "+Inf"), found.counts, strict=True):
        total += number
        buckets.append((bound, total))
    return buckets
