"""Voices: what is read, spoken, padded, mixed and told."""

from pathlib import Path

import numpy as np
import pytest

from app.render.demo import DEFAULT_PORTRAIT
from app.render.pipeline import Avatar
from app.render.request import MotionRequest
from app.render.voices import Voices, hear
from audio2motion.hearing.audio import Dyad, Waveform
from audio2motion.hearing.recording import Recording
from motion2video.motion import Motion
from motion2video.portrait.portrait import Portrait
from scripts.benchmarks.memory import measure
from weights.errors import InputError, MediaError


def no_video(path: Path) -> Motion:
    raise AssertionError(f"{path} should not have been tracked")


def tone(seconds: float, level: float = 0.5) -> Waveform:
    t = np.arange(round(seconds * 16_000)) / 16_000
    return Waveform((level * np.sin(2 * np.pi * 440 * t)).astype(np.float32))


def joined(voices: Voices) -> Dyad:
    """What `dyads` gives, as one."""
    parts = list(voices.dyads(5))
    others = [part.interlocutor.samples for part in parts if part.interlocutor is not None]
    agent = np.concatenate([part.agent.samples for part in parts])
    return Dyad(Waveform(agent), Waveform(np.concatenate(others)) if others else None)


def test_a_text_is_spoken() -> None:
    notices: list[str] = []
    voices = hear(MotionRequest(text="Good morning.", voice="en-us"), no_video, notices.append)
    assert voices.agent is not None and voices.agent.has_speech
    assert voices.interlocutor is None and not notices


def test_a_missing_natural_voice_is_told_once_and_espeak_speaks() -> None:
    notices: list[str] = []
    voices = hear(MotionRequest(text="Good. Morning."), no_video, notices.append)
    assert voices.agent is not None and voices.agent.has_speech
    assert len(notices) == 1 and "espeak-ng speaks instead" in notices[0]


def test_nothing_to_hear_is_refused() -> None:
    with pytest.raises(InputError, match="nothing was given to move the face"):
        hear(MotionRequest(), no_video, print)


@pytest.mark.parametrize(
    ("sound", "said"),
    [(Waveform.silence(1.0), "is silent"), (tone(1.0), "no speech was found in")],
)
def test_an_agent_without_speech_is_refused(sound: Waveform, said: str, tmp_path: Path) -> None:
    path = sound.save(tmp_path / "agent.wav")
    with pytest.raises(MediaError, match=said) as caught:
        hear(MotionRequest(agent_audio=path), no_video, print)
    assert "give the interlocutor's audio alone" in str(caught.value)


def test_an_interlocutor_without_speech_is_told(speech: Waveform) -> None:
    notices: list[str] = []
    request = MotionRequest(agent_audio=speech, interlocutor_audio=Waveform.silence(1.0))
    hear(request, no_video, notices.append)
    assert notices == ["nobody speaks in the interlocutor's audio: there is nothing to listen to"]


def test_a_lone_interlocutor_without_speech_is_refused() -> None:
    with pytest.raises(MediaError, match="is silent"):
        hear(MotionRequest(interlocutor_audio=Waveform.silence(1.0)), no_video, print)


def test_a_lone_interlocutor_is_listened_to(speech: Waveform) -> None:
    voices = hear(MotionRequest(interlocutor_audio=speech), no_video, print)
    heard = joined(voices)
    assert voices.agent is None and not voices.notices
    assert heard.agent.peak == 0 and len(heard.agent) == len(speech)
    assert heard.interlocutor is not None
    assert np.array_equal(heard.interlocutor.samples, speech.samples)


@pytest.mark.parametrize(("a", "b", "shorter"), [(1.0, 1.5, "agent"), (1.5, 1.0, "interlocutor")])
def test_the_shorter_voice_is_padded_and_it_is_said(a: float, b: float, shorter: str) -> None:
    voices = Voices(tone(a), tone(b))
    dyad = joined(voices)
    assert dyad.interlocutor is not None
    assert len(dyad.agent) == len(dyad.interlocutor) == 24_000
    padded = dyad.agent if shorter == "agent" else dyad.interlocutor
    assert np.all(padded.samples[16_000:] == 0) and padded.peak > 0.4
    assert voices.notices == (
        f"the {shorter}'s audio is 0.50 s shorter than the rest: silence was added at its end",
    )


def test_less_than_a_frame_is_nothing_to_tell() -> None:
    voices = Voices(tone(1.0), tone(1.03))
    assert joined(voices).seconds == 1.03 and voices.frames == 26 and voices.notices == ()


def test_a_longer_interlocutor_video_prolongs_the_voices() -> None:
    voices = Voices(tone(1.0), tone(1.0), Motion.neutral(50))
    assert joined(voices).seconds == 2.0 and voices.frames == 50
    assert len(voices.notices) == 2
    assert all("is 1.00 s shorter" in notice for notice in voices.notices)


def test_a_shorter_interlocutor_video_is_unseen_at_the_end() -> None:
    voices = Voices(tone(1.0), None, Motion.neutral(10))
    seen = voices.seen(25)
    assert seen is not None and len(seen) == 25
    assert seen.mask.tolist() == [True] * 10 + [False] * 15
    assert "video is 0.60 s shorter than the rest: nobody is seen then" in voices.notices[0]


def test_only_a_video_of_the_interlocutor_is_enough() -> None:
    voices = Voices(None, None, Motion.neutral(50))
    assert voices.frames == 50 and joined(voices).agent.peak == 0


def test_the_mix_has_both_without_clipping() -> None:
    a, b = tone(1.0, 0.8), tone(0.5, 0.8)
    voices = Voices(a, b)
    assert voices.mixed(both=False) is a
    both = voices.mixed(both=True)
    assert both is not None and both.peak == pytest.approx(1.0) and both.seconds == 1.0
    assert both.read(12_000, 1)[0] == pytest.approx(a.samples[12_000] / 1.6, abs=1e-3)
    assert len(both.read(15_990, 99)) == 10 and len(both.read(16_000, 1)) == 0


def test_the_mix_of_one_voice_is_that_voice() -> None:
    a = tone(1.0)
    assert Voices(a, None).mixed(both=True) is a
    assert Voices(None, a).mixed(both=True) is a
    assert Voices(None, a).mixed(both=False) is None


def test_a_file_is_read_as_it_is_needed(speech: Waveform, tmp_path: Path) -> None:
    path = speech.save(tmp_path / "agent.wav")
    recording, whole = Recording.load(path), Waveform.load(path)
    assert len(recording) == len(whole) and recording.peak == whole.peak
    for size in (1, 777, 16_000):
        starts = range(0, len(whole) + size, size)
        read = np.concatenate([recording.read(start, size) for start in starts])
        assert np.array_equal(read, whole.samples)


class Counted(Waveform):
    """Remembers how far it was read."""

    reached = 0

    def read(self, start: int, count: int) -> np.ndarray:
        Counted.reached = max(Counted.reached, start + count)
        return super().read(start, count)


def test_the_first_frame_comes_before_the_last_sound(avatar: Avatar, speech: Waveform) -> None:
    voices = Voices(Counted(np.resize(speech.samples, 20 * 16_000)), None)
    portrait = Portrait.load(DEFAULT_PORTRAIT, tracker=avatar.tracker, size=128)
    motions = avatar.generator.stream(voices.dyads(avatar.generator.frame_size))
    frames = avatar.renderer.stream(portrait, motions)
    assert next(frames).shape == (*portrait.image.shape[:2], 3)
    assert 0 < Counted.reached < 2 * 16_000, "two seconds of sound at most for the first frame"
    del frames


@pytest.mark.endurance
def test_memory_does_not_grow_with_the_length(tmp_path: Path) -> None:
    short, long = (measure(minutes, 128, 0, tmp_path) for minutes in (0.1, 1.0))
    assert long["peak_memory_mb"] < 1.03 * short["peak_memory_mb"]
