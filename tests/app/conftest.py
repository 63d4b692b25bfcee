"""Voices, photos and a loaded Avatar that the app's tests share."""

from pathlib import Path

import pytest

from app.render.demo import DEFAULT_PORTRAIT
from app.render.pipeline import Avatar
from audio2motion.hearing.audio import Waveform
from audio2motion.voice.synthesis import synthesize


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
