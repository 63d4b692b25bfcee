"""Metrics of a batch for Prometheus: served on a port, or as a file for its textfile collector."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from app.batch.events import Event, Listener
from weights.errors import OutputError


@contextlib.contextmanager
def metrics(port: int | None, host: str, file: Path | None) -> Iterator[Listener]:
    """A listener whose counts are at http://host:port/metrics, and in `file` after every event.

    Raises OutputError for a port that is taken or a file that cannot be written.
    """
    from prometheus_client import (
        CollectorRegistry,
        Counter,
        Gauge,
        Histogram,
        generate_latest,
        start_http_server,
    )

    own = CollectorRegistry()  # the process may have another batch, or metrics of its own
    state = Gauge("visavis_batch_items", "Items of the batch", ["state"], registry=own)
    workers = Gauge("visavis_batch_workers", "Workers of the engine", ["engine"], registry=own)
    ends = Counter("visavis_batch_ends", "What became of attempts", ["what"], registry=own)
    seconds = Histogram(
        "visavis_batch_item_seconds",
        "Work for a video",
        buckets=(0.1, 0.3, 1, 3, 10, 30, 100, 300, 1000, 3000),
        registry=own,
    )
    video = Counter("visavis_batch_video_seconds", "Length of the videos made", registry=own)
    frames = Counter("visavis_batch_frames", "Frames of the videos made", registry=own)

    def listen(event: Event) -> None:
        for name, count in event.counts.items():
            state.labels(name).set(count)
        if event.name == "started":
            workers.labels(event.data["engine"]).set(event.data["workers"])
        else:
            ends.labels(event.name).inc()
        if event.name == "done":
            seconds.observe(event.data["seconds"])
            video.inc(event.data["video_seconds"])
            frames.inc(event.data["frames"])
        if file is not None:
            _write(file, generate_latest(own))

    if port is None:
        yield listen
        return
    try:
        server, thread = start_http_server(port, host, own)
    except OSError as error:
        raise OutputError(
            f"metrics cannot be served on {host}:{port}: {error.strerror}; choose another port"
        ) from error
    try:
        yield listen
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _write(file: Path, data: bytes) -> None:
    beside = file.with_name(f".{file.name}.part")
    try:
        beside.write_bytes(data)
        os.replace(beside, file)
    except OSError as error:
        raise OutputError(f"cannot write the metrics to {file}: {error.strerror}") from error
