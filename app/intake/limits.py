"""How much one server takes, of one visitor and of everybody together: one set for every room."""

from dataclasses import dataclass

from weights.errors import InputError


@dataclass(frozen=True)
class Limits:
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

    max_upload_bytes: int = 64 * 10**6
    max_request_bytes: int = 128 * 10**6
    quota_bytes: int = 512 * 10**6
    max_pixels: int = 50 * 10**6
    max_seconds: float = 300.0
    max_size: int = 1024
    max_text: int = 4000
    max_waiting: int = 64
    max_waiting_each: int = 16
    workers: int = 1
    max_live: int = 2
    max_live_seconds: float = 1800.0
    max_connections: int = 512
    expiry_s: float = 3600.0
    max_jobs: int = 10_000
    max_files: int = 20_000
    total_bytes: int = 10 * 10**9
    min_free_bytes: int = 100 * 10**6
    max_stall_seconds: float = 300.0
    max_connections_each: int = 320
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
