"""The interlocutor's video, at any rate, turned, with gaps: tracked, nodded back, mirrored."""

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from app import Avatar
from app.render.request import MotionRequest
from app.render.tracking import track_video
from app.render.voices import hear
from audio2motion.behaviour.events import SMILE_CHANNELS
from audio2motion.hearing.audio import Dyad, Waveform
from motion2video.media.video import VideoWriter
from motion2video.motion import FPS, ROTATION, Motion
from motion2video.portrait.portrait import Portrait
from tests.audio2motion.behaviour.test_reactions import answers, lost, nods, react

pytestmark = [pytest.mark.slow, pytest.mark.weights("face_landmarker", "denoiser")]

SECONDS = 6.0
SIDE = 256
NOD, SMILE = round(1.2 * FPS), slice(round(2.6 * FPS), round(4.2 * FPS))
RATES = (
    12.0,
    pytest.param(29.97, marks=pytest.mark.endurance),
    pytest.param(60.0, marks=pytest.mark.endurance),
)
Film = Callable[[float], np.ndarray]
"""The picture at a time in seconds."""


@pytest.fixture(scope="module")
def truth() -> Motion:
    """Nods once, then smiles."""
    motion = nods(Motion.neutral(round(SECONDS * FPS)), NOD)
    ramp = np.clip(np.arange(SMILE.stop - SMILE.start) / 5, 0, 1)
    for channel in SMILE_CHANNELS:
        motion.values[SMILE, channel] = 0.9 * np.minimum(ramp, ramp[::-1])
    return motion


@pytest.fixture(scope="module")
def film(avatar: Avatar, portrait: Path, truth: Motion) -> Film:
    """A person in a photo who does that."""
    photo = Portrait.load(portrait, tracker=avatar.tracker, size=SIDE)
    frames = list(avatar.renderer.stream(photo, iter([truth])))
    return lambda seconds: frames[min(int(seconds * FPS + 1e-6), len(frames) - 1)]


def constant(path: Path, film: Film, fps: float) -> Path:
    with VideoWriter(path, (SIDE, SIDE), fps) as out:
        for k in range(round(SECONDS * fps)):
            out.write(film(k / fps)[None])
    return path


def stamped(path: Path, film: Film, times: list[float], turn: int = 0) -> Path:
    """Frames at any times, stored turned by -`turn` degrees with a mark that turns them back."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=1000, options={"crf": "18"})
        stream.width, stream.height, stream.pix_fmt = SIDE, SIDE, "yuv420p"
        stream.time_base = stream.codec_context.time_base = Fraction(1, 1000)
        if turn:
            stream.set_display_rotation(turn)
        for seconds in times:
            pixels = np.ascontiguousarray(np.rot90(film(seconds), -turn // 90))
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            frame.pts, frame.time_base = round(1000 * seconds), Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def tracked(avatar: Avatar, path: Path) -> Motion:
    return track_video(path, avatar.tracker, FPS, "largest", lambda notice: None)


def require_seen(motion: Motion, truth: Motion) -> None:
    """The nod and the smile are where they were, within what the video's frames allow."""
    assert abs(len(motion) - len(truth)) <= 2 and motion.mask.all()
    count = min(len(motion), len(truth))
    smile = motion.values[:count, list(SMILE_CHANNELS)].mean(1)
    assert np.corrcoef(smile, truth.values[:count, SMILE_CHANNELS[0]])[0, 1] > 0.9
    pitch = motion.rotation[NOD - 10 : NOD + 25, 0]
    assert abs(int(np.argmax(pitch)) - 16) <= 3 and np.ptp(pitch) > np.radians(5)


def require_answered(motion: Motion) -> None:
    """The nod is returned in its share of takes, and the smile mirrored in its time."""
    assert 0.4 < answers(motion, NOD) < 0.9
    _, smile = react(motion)
    half = int(np.argmax(smile > smile.max() / 2))
    assert smile.max() > 0.15 and 5 <= half - SMILE.start <= 25


@pytest.mark.parametrize("fps", RATES)
def test_any_rate(avatar: Avatar, film: Film, truth: Motion, tmp_path: Path, fps: float) -> None:
    motion = tracked(avatar, constant(tmp_path / "other.mp4", film, fps))
    require_seen(motion, truth)
    require_answered(motion)


@pytest.mark.parametrize("turn", [pytest.param(0, marks=pytest.mark.endurance), 90])
def test_a_variable_rate_and_a_turned_phone(
    avatar: Avatar, film: Film, truth: Motion, tmp_path: Path, turn: int
) -> None:
    draw = np.random.default_rng(3)
    times = np.concatenate([[0], np.cumsum(draw.uniform(0.015, 0.07, 400))])
    inside = [float(t) for t in times if t < SECONDS - 0.02]
    motion = tracked(avatar, stamped(tmp_path / "other.mp4", film, inside, turn))
    require_seen(motion, truth)
    require_answered(motion)


def test_gaps(avatar: Avatar, film: Film, truth: Motion, tmp_path: Path) -> None:
    """Nobody is there at the start, at the end and for a second in between."""
    # Each is found again long enough before the next nod that an answer to that one is not counted.
    gaps = ((0.0, 0.4), (1.9, 2.9), (5.4, 9.0))
    grey = np.full((SIDE, SIDE, 3), 128, np.uint8)

    def gapped(seconds: float) -> np.ndarray:
        return grey if any(a <= seconds < b for a, b in gaps) else film(seconds)

    motion = tracked(avatar, constant(tmp_path / "other.mp4", gapped, 30.0))
    at = np.arange(len(motion)) / FPS
    hidden = np.any([(a <= at) & (at < b) for a, b in gaps], axis=0)
    edges = np.convolve(np.diff(hidden, prepend=hidden[0]), np.ones(13), "same") > 0
    assert not motion.mask[hidden & ~edges].any(), "nobody is invented"
    assert motion.mask[~hidden & ~edges].all(), "the face is found again within 0.25 s"
    # Where the face is seen the motion is that of the whole video: edges do not leak inwards.
    whole = tracked(avatar, constant(tmp_path / "whole.mp4", film, 30.0))
    apart = np.abs(motion.rotation - whole.rotation)[motion.mask & whole.mask]
    assert apart.max() < np.radians(3)
    assert 0.4 < answers(motion, NOD) < 0.9, "the nod is seen between the gaps"
    for _, found in gaps[:2]:
        assert answers(motion, round(found * FPS)) < 0.05, "being found again is no nod"
    _, smile = react(motion)
    assert np.abs(np.diff(smile)).max() < 0.08


def test_the_whole_path_without_sound(
    avatar: Avatar, film: Film, truth: Motion, tmp_path: Path
) -> None:
    """Through the facade: a video alone moves the agent, and it says that nothing is heard."""
    told: list[str] = []
    video = constant(tmp_path / "other.mp4", film, 24.0)
    request = MotionRequest(interlocutor_video=video)
    voices = hear(request, lambda path: tracked(avatar, path), told.append)
    assert told == [f"{video} has no sound track: the interlocutor is seen but not heard"]
    seen = voices.interlocutor_motion
    assert seen is not None
    silence = Waveform.silence(len(seen) / FPS)
    takes = [
        np.mean([smile_at(avatar, Dyad(silence, silence), other, seed) for seed in range(8)], 0)
        for other in (seen, lost(seen, 0, SECONDS))
    ]
    mirrored = takes[0] - takes[1]
    lags = range(0, 40)
    cause = seen.values[:, list(SMILE_CHANNELS)].mean(1)
    match = [np.corrcoef(cause[: len(cause) - k], mirrored[k:])[0, 1] for k in lags]
    assert max(match) > 0.7 and 5 <= int(np.argmax(match)) <= 30, "200 to 1200 ms"
    assert mirrored[SMILE.start : SMILE.stop + 20].max() > 0.15
    assert np.abs(mirrored[: SMILE.start]).max() < 0.1, "nobody smiles before"


def smile_at(avatar: Avatar, dyad: Dyad, other: Motion, seed: int) -> np.ndarray:
    """How far the agent smiles, [T]."""
    made = avatar.generator.generate(dyad, other, seed=seed)
    return made.values[:, list(SMILE_CHANNELS)].mean(1)


def test_no_jump_at_the_edges_of_a_gap(avatar: Avatar, truth: Motion) -> None:
    """The agent's own motion stays as smooth as without the gap."""
    smiling = Motion.neutral(len(truth))
    smiling.values[25:, list(SMILE_CHANNELS)] = 0.8
    dyad = Dyad(Waveform.silence(SECONDS), None)
    whole, gapped = (
        avatar.generator.generate(dyad, other, seed=3)
        for other in (smiling, lost(smiling, 3.0, 4.0))
    )
    for channels in (list(SMILE_CHANNELS), list(range(ROTATION.start, ROTATION.stop))):
        steps, usual = (np.abs(np.diff(m.values[:, channels], axis=0)) for m in (gapped, whole))
        assert steps[70:105].max() < 1.5 * usual.max() + 0.01
