"""What a render gives back: plain values, ready for JSON."""

import dataclasses
import resource
import sys
from dataclasses import dataclass, field
from importlib import metadata
from typing import Any

from app.quality.verdict import Report
from app.render.order import Arranged
from app.render.subtitles import Cue
from audio2motion.gestures.gestures import Gesture
from audio2motion.voice.agent_voice import SpokenReply
from audio2motion.voice.reply_codes import ReplyCode
from motion2video.reference.families import FAMILIES
from motion2video.reference.store import known_hashes
from weights import load_manifest

PATH_ROLES = (
    "face_landmarker",
    "face_basis",
    "matte",
    "autoencoder",
    "denoiser",
    "painter",
    "speech_encoder",
    "motion_generator",
)
"""The weights that the main path cannot do without."""
_PACKAGES = ("visavis", "torch", "numpy", "av", "onnxruntime")


@dataclass(frozen=True)
class Reply:
    """What the agent said, where its words are known: a text, or a language model's reply.

    `text` is without its codes; `codes` are those that were followed, with times in seconds of the
    video and characters of `text`.
    """

    text: str
    codes: tuple[ReplyCode, ...]

    @staticmethod
    def of(spoken: SpokenReply | None) -> "Reply | None":
        """The words of what was spoken, without its sound."""
        return None if spoken is None else Reply(spoken.text, spoken.codes)


@dataclass(frozen=True)
class RenderResult:
    """A finished video. `size` is (width, height) in pixels, `seconds` the length of the video,
    `wall_seconds` how long the call took, `render_fps` frames a second of drawing and encoding,
    `peak_memory_mb` the most memory that the process has held so far (resident, 10^6 bytes),
    `face_box` where the face is, (x0, y0, x1, y1) in pixels of the video's first frame,
    `gestures` all that were placed or found in the agent's words, each of the latter with its
    `source` there, `weights` role to SHA-256, `order` that of the two voices (None: there are not
    two), `agent_start` the second of the video at which the agent's voice begins, `subtitles` those
    that were wanted, `report` what was measured of the video, each figure beside its bar,
    `provenance` what the file says of where it comes from (see docs/provenance.md): the `id` in its
    mark, whether there is a `watermark`, how it is `signed` (embedded, sidecar or None), and the
    `consent`. Known of some videos only: `sync_offset_ms`, by how much the lips are behind the
    agent's voice, and `identity`, how much the face is that of the photo, up to 1 (see
    app/render/measuring.py).
    """

    out: str
    frames: int
    fps: float
    seconds: float
    wall_seconds: float
    render_fps: float
    peak_memory_mb: float
    size: tuple[int, int]
    seed: int
    face_box: tuple[float, float, float, float]
    gestures: tuple[Gesture, ...]
    notices: tuple[str, ...]
    settings: dict[str, Any]
    weights: dict[str, str]
    versions: dict[str, str]
    reply: Reply | None = None
    order: Arranged | None = None
    agent_start: float = 0.0
    sync_offset_ms: float | None = None
    identity: float | None = None
    subtitles: tuple[Cue, ...] = ()
    report: Report | None = None
    provenance: dict[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """The result as an object of plain JSON values."""
        told = None if self.report is None else self.report.to_json()
        return dataclasses.asdict(self) | {"report": told}

    def __str__(self) -> str:
        width, height = self.size
        return (
            f"{self.out}: {self.seconds:.2f} s of video ({self.frames} frames at {self.fps:g} "
            f"fps, {width} x {height}) made in {self.wall_seconds:.1f} s, "
            f"{self.render_fps:.1f} frames/s"
        )


def peak_memory_mb() -> float:
    """The most memory that this process has held, in 10^6 bytes."""
    unit = 1 if sys.platform == "darwin" else 1024  # bytes there, kilobytes elsewhere
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6, 1)


def used_weights(renderer: str = "embedded") -> dict[str, str]:
    """Role to SHA-256 of the weights of the main path, as the manifest has them; of a public
    checkpoint what was written down when it was fetched.
    """
    roles = load_manifest().roles
    used = {name: roles[name].sha256 for name in PATH_ROLES}
    if renderer in FAMILIES:
        used |= known_hashes(FAMILIES[renderer])
    return used


def versions() -> dict[str, str]:
    """Installed versions of what a result depends on; a package that is not there is left out."""
    found = {}
    for package in _PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found
