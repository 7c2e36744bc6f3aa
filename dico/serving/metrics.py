"""Metrics for Prometheus at /metrics; one registry per server."""

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    GCCollector,
    Histogram,
    PlatformCollector,
    ProcessCollector,
)

_SECONDS = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)
_SIZES = (1, 2, 4, 8, 16, 32, 64, 128)


class Metrics:
    """Counts and durations of one server."""

    def __init__(self, max_queue: int) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        GCCollector(registry=self.registry)
        self.requests = Counter(
            "dico_requests", "Answered requests.", ["route", "status"], registry=self.registry
        )
        self.request_seconds = Histogram(
            "dico_request_seconds",
            "From a request's first byte to its answer.",
            ["route"],
            buckets=_SECONDS,
            registry=self.registry,
        )
        self.batch_size = Histogram(
            "dico_batch_size", "Images per batch.", buckets=_SIZES, registry=self.registry
        )
        self.batch_seconds = Histogram(
            "dico_batch_seconds",
            "Captioning of one batch.",
            buckets=_SECONDS,
            registry=self.registry,
        )
        self.refused_images = Counter(
            "dico_refused_images", "Images that could not be used.", ["code"],
            registry=self.registry,
        )  # fmt: skip
        self.under_way = Gauge(
            "dico_images_under_way", "Images admitted, unanswered.", registry=self.registry
        )
        self.queue_limit = Gauge(
            "dico_images_limit", "Most images under way.", registry=self.registry
        )
        self.queue_limit.set(max_queue)
        self.model = Gauge(
            "dico_model", "The served version.", ["name", "version", "digest"],
            registry=self.registry,
        )  # fmt: skip

    def observe_batch(self, size: int, seconds: float) -> None:
        """Counts one batch."""
        self.batch_size.observe(size)
        self.batch_seconds.observe(seconds)
