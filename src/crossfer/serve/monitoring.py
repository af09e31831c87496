"""What Prometheus can ask for: counts, sizes and durations; nothing about any person."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4 as CONTENT_TYPE

__all__ = ["CONTENT_TYPE", "Monitoring"]

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
_SIZES = (1, 2, 4, 8, 16, 32, 64, 128)


class Monitoring:
    """The service's own registry, so that two services in one process do not mix."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = self._counter(
            "requests", "Requests answered, streams among them as they end.", "endpoint", "status"
        )
        self.seconds = Histogram(
            "crossfer_request_seconds",
            "From a request's headers to the end of its answer.",
            ["endpoint"],
            registry=self.registry,
            buckets=_SECONDS,
        )
        self.images = self._counter("images", "Images by outcome: answered, refused or late.", "outcome")
        self.faces = self._counter("faces", "Faces recognised.")
        self.frames = self._counter(
            "frames", "Frames of streams by outcome: answered, refused, late or dropped.", "outcome"
        )
        self.batches = Histogram(
            "crossfer_batch_faces",
            "Faces that went through the model together.",
            registry=self.registry,
            buckets=_SIZES,
        )
        self.in_flight = Gauge(
            "crossfer_requests_in_flight",
            "Recognition requests being received, waiting or worked on.",
            registry=self.registry,
        )
        self.streams = Gauge("crossfer_streams", "Streams that are open.", registry=self.registry)
        ProcessCollector(registry=self.registry)

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(f"crossfer_{name}", text, labels, registry=self.registry)

    def text(self) -> bytes:
        """Everything in Prometheus's text format."""
        return generate_latest(self.registry)
