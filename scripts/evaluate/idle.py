"""How portraits are seen before a live conversation: alive, quiet, in an endless loop.

Written are a video of each example, and the motion with which a photo of one's own is drawn there.

python -m scripts.evaluate.idle app/assets/portraits/idle [--size 256] [--seconds 3]
"""

import argparse
from pathlib import Path

import numpy as np

from app.render.demo import EXAMPLES
from app.render.pipeline import Avatar
from app.render.request import MotionRequest, RenderRequest
from audio2motion.hearing.audio import SAMPLE_RATE, Waveform
from audio2motion.voice.synthesis import synthesize
from motion2video.motion import FPS, Motion

_SETTLED_S = 5.0
"""After the other's words somebody is quiet again."""


def quiet(avatar: Avatar, seconds: float, seed: int) -> Motion:
    """Somebody who has listened and now waits, there and back so that it has no end."""
    silence = np.zeros(round((_SETTLED_S + seconds) * SAMPLE_RATE), np.float32)
    heard = Waveform(np.concatenate([synthesize("Hello.").samples, silence]))
    motion = avatar.motion(MotionRequest(interlocutor_audio=heard, gaze=(0, 0), seed=seed))
    there = motion.values[-round(seconds * FPS) :]
    return Motion(np.concatenate([there, there[-2:0:-1]]), motion.fps)


def main() -> None:
    """Parse the command line, write the motion and a video for each example."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--seconds", type=float, default=3.0)
    args = parser.parse_args()
    avatar = Avatar.load()
    quiet(avatar, args.seconds, 0).save(args.folder / "quiet.npz")
    for seed, portrait in enumerate(EXAMPLES):
        motion = quiet(avatar, args.seconds, seed)
        request = RenderRequest(portrait=portrait, motion=motion, size=args.size, seed=seed)
        avatar.render(request, args.folder / f"{portrait.stem}.mp4")
        print(f"{portrait.stem}: {len(motion)} frames", flush=True)


if __name__ == "__main__":
    main()
