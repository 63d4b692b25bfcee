"""Voices, photos and a loaded Avatar that the app's tests share."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from app.render.demo import DEFAULT_PORTRAIT
from app.render.pipeline import Avatar
from audio2motion.hearing.audio import Waveform
from audio2motion.voice.synthesis import synthesize
from motion2video.media.video import VideoWriter


@pytest.fixture(scope="session")
def speech() -> Waveform:
    """Less than a second of a voice."""
    return synthesize("Hello there.", words_per_minute=200)


@pytest.fixture(scope="session")
def voice(speech: Waveform, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same as a wav file."""
    return speech.save(tmp_path_factory.mktemp("voice") / "agent.wav")


@pytest.fixture(scope="session")
def portrait() -> Path:
    """The embedded photo."""
    return DEFAULT_PORTRAIT


@pytest.fixture(scope="session")
def avatar() -> Avatar:
    """The real one, on the CPU."""
    return Avatar.load(device="cpu")


TILTS = np.r_[np.zeros(4), np.linspace(0, 12, 5), np.full(4, 12)]
"""Degrees by which the head is tilted in each frame of `driving`."""


@pytest.fixture(scope="session")
def driving(speech: Waveform, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A second of somebody at 15 frames a second who tilts the head, with a voice."""
    return tilted(tmp_path_factory.mktemp("driving") / "me.mp4", TILTS, 15.0, speech)


def tilted(path: Path, degrees: np.ndarray, fps: float, sound: Waveform | None = None) -> Path:
    """A video of the embedded photo, turned in its plane; grey where it is turned by nan."""
    with Image.open(DEFAULT_PORTRAIT) as image:
        photo = np.asarray(image.convert("RGB").resize((192, 192)))
    with VideoWriter(path, (192, 192), fps, None if sound is None else sound.samples) as out:
        for angle in degrees:
            turn = cv2.getRotationMatrix2D((96, 96), float(np.nan_to_num(angle)), 1.0)
            shown = cv2.warpAffine(photo, turn, (192, 192), borderMode=cv2.BORDER_REPLICATE)
            out.write((np.full_like(photo, 128) if np.isnan(angle) else shown)[None])
    return path
