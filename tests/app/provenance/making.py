"""Videos of a face that does not move, for tests of what is said of them."""

from pathlib import Path
from typing import Any

from app.render.pipeline import Avatar
from motion2video.media.video import EncoderConfig, VideoWriter, read_video
from motion2video.motion import Motion

SIDE = 512
CONSENT = "I am the person shown"


def made(maker: Avatar, portrait: Path, out: Path, **more: Any) -> dict:
    """The result of a video of a face that does not move."""
    asked: dict[str, Any] = {
        "portrait": portrait,
        "motion": Motion.neutral(10),
        "size": SIDE,
        **more,
    }
    return maker.animate(out=out, **asked).to_json()


def coded_again(video: Path, out: Path) -> Path:
    """At CRF 28, which drops what was signed."""
    with (
        read_video(video) as frames,
        VideoWriter(out, frames.size, config=EncoderConfig(crf=28)) as writer,
    ):
        for frame in frames:
            writer.write(frame[None])
    return out
