"""What Prometheus may ask: requests, jobs, frames and live conversations of one server."""

from collections.abc import Iterable
from typing import get_args

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from app.jobs.queue import JobQueue, State

_FAST = (0.02, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.6, 1.0, 2.0)


class Metrics:
    """The figures of one app, in a registry of its own: several apps may live in one process."""

    def __init__(self, queue: JobQueue) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self.registry.register(_Jobs(queue))
        self.requests = Counter(
            "visavis_requests",
            "Requests by route and status.",
            ("method", "route", "status"),
            registry=self.registry,
        )
        self.seconds = Histogram(
            "visavis_request_seconds", "Time to answer.", ("route",), registry=self.registry
        )
        self.live = Gauge(
            "visavis_live_sessions", "Live conversations now.", registry=self.registry
        )
        self.chunk_seconds = Histogram(
            "visavis_live_chunk_seconds",
            "From the sound of a chunk to its frames.",
            buckets=_FAST,
            registry=self.registry,
        )
        self.barge_in_seconds = Histogram(
            "visavis_live_barge_in_seconds",
            "From the visitor's first sound to the agent being told to stop.",
            buckets=_FAST,
            registry=self.registry,
        )


class _Jobs(Collector):
    """Read when asked for: the queue knows best."""

    def __init__(self, queue: JobQueue) -> None:
        self._queue = queue

    def collect(self) -> Iterable[Metric]:
        jobs = GaugeMetricFamily("visavis_jobs", "Jobs that are remembered.", labels=["state"])
        counts = self._queue.jobs.counts()
        for state in get_args(State):
            jobs.add_metric([state], counts.get(state, 0))
        yield jobs
        replaced = CounterMetricFamily(
            "visavis_job_threads_replaced",
            "Threads that do jobs and were replaced.",
            labels=["reason"],
        )
        for reason in ("died", "froze"):
            replaced.add_metric([reason], self._queue.crew.replaced[reason])
        yield replaced
        threads = GaugeMetricFamily(
            "visavis_job_threads", "Threads that do jobs.", labels=["condition"]
        )
        threads.add_metric(["living"], self._queue.crew.living)
        threads.add_metric(["frozen"], self._queue.crew.frozen)
        yield threads
        yield CounterMetricFamily("visavis_frames", "Frames drawn.", value=self._queue.frames)
