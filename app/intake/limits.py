"""How much one server takes, of one visitor and of everybody together: one set for every room."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Annotated, Any

from app.render.knobs import Knob
from weights.errors import InputError

_MB, _GB = 10**6, 10**9


@dataclass(frozen=True)
class SetLimits:
    """Those of a server's limits that whoever runs it may set."""

    max_upload_bytes: Annotated[
        int, Knob("Largest file taken, in MB.", option="--max-upload", scale=_MB)
    ] = 64 * _MB
    max_seconds: Annotated[float, Knob("Longest sound, video or result.")] = 300.0
    max_size: Annotated[int, Knob("Largest video, longer side in pixels.")] = 1024
    max_waiting: Annotated[int, Knob("Jobs in the queue at most.")] = 64
    workers: Annotated[int, Knob("Jobs done at a time.")] = 1
    max_live: Annotated[int, Knob("Live conversations at a time.")] = 2
    total_bytes: Annotated[
        int, Knob("Files of all visitors together, in GB.", option="--max-storage", scale=_GB)
    ] = 10 * _GB
    max_stall_seconds: Annotated[
        float,
        Knob("Seconds without progress after which a job is given up.", option="--max-stall"),
    ] = 300.0
    expiry_s: Annotated[
        float, Knob("Minutes that results are kept.", option="--expiry", scale=60)
    ] = 3600.0
    max_connections_each: Annotated[
        int,
        Knob("Connections at a time that one address may have.", option="--max-connections"),
    ] = 320


@dataclass(frozen=True)
class Limits(SetLimits):
    """What one server takes. Bytes, pixels and seconds are of one upload; `max_request_bytes` of a
    whole request body; `quota_bytes` of all files of one owner; `expiry_s` is how long a result
    is kept after its job ended. `max_jobs`, `max_files` and `total_bytes` are of everybody
    together; nothing is taken while the disk has less than `min_free_bytes`; a job without
    progress for `max_stall_seconds` is given up (a language model may be silent for three minutes).

    `max_connections_each` and `max_streams_each` are of one address, streams (WebSockets too) being
    connections; `max_live_each` of one owner. A request's head must be here after `header_s`;
    bodies and answers must move by `min_rate` bytes a second, looked at every `stall_s`.
    `renderers` are those that a video may be drawn by. Raises InputError for values below 1.
    """

    max_request_bytes: int = 128 * _MB
    quota_bytes: int = 512 * _MB
    max_pixels: int = 50 * 10**6
    max_text: int = 4000
    max_waiting_each: int = 16
    max_live_seconds: float = 1800.0
    max_connections: int = 512
    max_jobs: int = 10_000
    max_files: int = 20_000
    min_free_bytes: int = 100 * _MB
    max_streams: int = 256
    max_streams_each: int = 208
    max_live_each: int = 2
    header_s: float = 10.0
    stall_s: float = 20.0
    min_rate: int = 1000
    renderers: tuple[str, ...] = ("embedded",)

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if name != "renderers" and not value >= 1:
                raise InputError(f"got the limit {name}={value}; wanted at least 1")

    @staticmethod
    def having(chosen: Mapping[str, Any]) -> "Limits":
        """With values of SetLimits; a body holds two files of the largest, and all connections
        together are at least those of one address.
        """
        limits = Limits(**chosen)
        return replace(
            limits,
            max_request_bytes=max(limits.max_request_bytes, 2 * limits.max_upload_bytes),
            max_connections=max(limits.max_connections, limits.max_connections_each),
        )
