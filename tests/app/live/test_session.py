"""A live conversation: its clock, its laws, barge-in, and going on from a saved state."""

from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save

from app.live.session import (
    CHUNK_SAMPLES,
    Interruption,
    LiveChunk,
    LiveConfig,
    LiveEvent,
    LiveSession,
    pictures_for,
)
from app.quality.events import blinks, gaze_angle
from app.render.pipeline import Avatar
from audio2motion.gestures.controls import Controls
from audio2motion.hearing.audio import SAMPLE_RATE, Waveform
from audio2motion.network.state_codec import decode, encode
from audio2motion.voice.agent_voice import FileVoice
from audio2motion.voice.synthesis import synthesize
from motion2video.motion import ROTATION, Motion, channel_index
from motion2video.portrait.portrait import Portrait
from tests.app.serving import small_avatar
from weights.errors import InputError, StateError

pytestmark = pytest.mark.weights("face_landmarker", "autoencoder", "denoiser")
BARGE_IN_S = 0.3


@pytest.fixture(scope="module")
def small() -> Avatar:
    return small_avatar()


@pytest.fixture(scope="module")
def face(small: Avatar, portrait: Path) -> Portrait:
    return Portrait.load(portrait, tracker=small.tracker, size=128)


@pytest.fixture(scope="module")
def story() -> Waveform:
    """Some seconds of the agent's voice."""
    return synthesize("I will tell you a very long story about a man who lived by the sea.")


def visitor(words: str, voice: str, silence: float) -> np.ndarray:
    """Words that begin exactly after so many seconds of silence, at their first audible sample."""
    said = synthesize(words, voice).samples
    said = said[np.argmax(np.abs(said) > 0.02) :]
    lead = np.zeros(round(silence * SAMPLE_RATE), np.float32)
    return np.concatenate([lead, said, np.zeros(SAMPLE_RATE, np.float32)])


def play(session: LiveSession, sound: np.ndarray, size: int, pictures: int = 5) -> list[LiveEvent]:
    pieces = (sound[at : at + size] for at in range(0, len(sound), size))
    return [event for piece in pieces for event in session.push(piece, pictures=pictures)]


def listen(session: LiveSession, sound: np.ndarray, size: int) -> list[LiveEvent]:
    """The same where only what is heard matters: a picture a chunk is drawn."""
    return play(session, sound, size, pictures=1)


def chunks(events: list[LiveEvent]) -> list[LiveChunk]:
    return [event for event in events if isinstance(event, LiveChunk)]


def same(one: list[LiveChunk], two: list[LiveChunk]) -> bool:
    return [c.index for c in one] == [c.index for c in two] and all(
        np.array_equal(a.frames, b.frames) and np.array_equal(a.agent, b.agent)
        for a, b in zip(one, two, strict=True)
    )


def test_who_was_stopped_does_not_speak_until_something_new_is_said(
    small: Avatar, face: Portrait, story: Waveform
) -> None:
    """Also while the chunk is not drawn yet in which the last word fades."""
    session = LiveSession(small, face, LiveConfig())
    session.say(story)
    listen(session, np.zeros(3 * CHUNK_SAMPLES, np.float32), CHUNK_SAMPLES)
    assert session.agent_speaks
    session.stop()
    assert not session.agent_speaks
    session.say(story)
    assert session.agent_speaks
    session.close()


def test_who_listens_ahead_stops_the_agent_alone(
    small: Avatar, face: Portrait, story: Waveform
) -> None:
    """What was said after the visitor was noticed is not dropped when their sound is drawn."""
    session = LiveSession(small, face, LiveConfig())
    session.say(story)
    sound = visitor("Wait, stop please.", "en-us", 1.0)
    events = session.push(sound, pictures=1, barge_in=False)
    assert not any(isinstance(event, Interruption) for event in events)
    assert chunks(events)[-1].agent_speaks
    session.close()


@pytest.mark.slow
def test_any_cut_of_the_sound_gives_the_same_chunks(
    small: Avatar, face: Portrait, story: Waveform
) -> None:
    sound = visitor("Yes, I see.", "en-us", 0.3)[: 7 * CHUNK_SAMPLES + 99]
    config = LiveConfig(barge_in=False)

    def take(size: int) -> list[LiveChunk]:
        session = LiveSession(small, face, config)
        session.say(story)
        return chunks(play(session, sound, size))

    whole = take(len(sound))
    assert len(whole) == len(sound) // CHUNK_SAMPLES
    assert whole[0].frames.shape == (5, *face.image.shape)
    assert same(whole, take(320)) and same(whole, take(3333))


def test_the_agents_voice_comes_out_a_chunk_later_and_whole(
    small: Avatar, face: Portrait, story: Waveform
) -> None:
    session = LiveSession(small, face)
    session.say_from(FileVoice(story))
    while len(session._speech.waiting) < len(story):
        pass
    heard = chunks(listen(session, np.zeros(len(story) + 3 * CHUNK_SAMPLES, np.float32), 3200))
    voice = np.concatenate([chunk.agent for chunk in heard])[CHUNK_SAMPLES:]
    assert np.array_equal(voice[: len(story)], story.samples)
    assert not voice[len(story) :].any() and not session.agent_speaks


@pytest.mark.parametrize("silence", [1.0, 1.05, 1.1, 1.15, 1.19])
@pytest.mark.parametrize(
    ("words", "voice"),
    [
        ("Wait, stop please.", "en-us"),
        ("Excuse me, I have a question.", "en-gb+f3"),
        ("Nein, warte mal.", "de"),
    ],
)
def test_the_agent_stops_when_the_visitor_talks(
    small: Avatar, face: Portrait, story: Waveform, words: str, voice: str, silence: float
) -> None:
    """Within 300 ms of the visitor's first sound, in packets of 20 ms as browsers send them."""
    session = LiveSession(small, face)
    session.say(story)
    sound = visitor(words, voice, silence)[: round((silence + 1.2) * SAMPLE_RATE)]
    events = listen(session, sound, 320)
    (at,) = [i for i, event in enumerate(events) if isinstance(event, Interruption)]
    found = events[at]
    assert isinstance(found, Interruption)
    took = found.heard / SAMPLE_RATE - silence
    assert 0 < took < BARGE_IN_S
    assert any(chunk.agent_speaks for chunk in chunks(events[:at]))
    after = chunks(events[at:])
    assert not np.concatenate([chunk.agent for chunk in after])[80:].any()
    assert found.seconds_played_out <= found.seconds + CHUNK_SAMPLES / SAMPLE_RATE + 0.005
    assert any(chunk.visitor_speaks for chunk in after)


@pytest.mark.slow
def test_no_barge_in_without_speech_or_when_it_is_off(
    small: Avatar, face: Portrait, story: Waveform
) -> None:
    noise = np.random.default_rng(0).normal(0, 0.05, 3 * SAMPLE_RATE).astype(np.float32)
    noise[::4000] = 0.9  # clicks
    session = LiveSession(small, face)
    session.say(story)
    assert len(chunks(listen(session, noise, 320))) == 15
    polite = LiveSession(small, face, LiveConfig(barge_in=False))
    polite.say(story)
    events = listen(polite, visitor("Wait, stop please.", "en-us", 1.0), 320)
    assert len(chunks(events)) == len(events) and chunks(events)[-1].agent_speaks


@pytest.mark.slow
class Watching:
    """In place of a renderer: keeps what it is to draw."""

    def __init__(self) -> None:
        self.rows: list[np.ndarray] = []

    def step(self, state: object, motion: Motion) -> tuple[object, np.ndarray]:
        self.rows.append(motion.values)
        return state, np.zeros((len(motion), 2, 2, 3), np.uint8)


def test_in_half_a_minute_of_silence_it_waits_as_a_person_does(
    avatar: Avatar, face: Portrait, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody says a word: it looks at the visitor, blinks, stirs, and keeps its mouth shut."""
    session, watching = LiveSession(avatar, face, LiveConfig(seed=3)), Watching()
    monkeypatch.setattr(session, "_renderer", watching)
    session.push(np.zeros(31 * SAMPLE_RATE, np.float32))
    seen = np.concatenate(watching.rows)[25:]
    assert len(seen) == 750
    assert 2 <= len(blinks(seen)) <= 25, "4 to 50 a minute"
    assert (np.abs(gaze_angle(seen)) < 12).mean() > 0.5, "it looks at the visitor"
    assert np.percentile(seen[:, channel_index("jawOpen")], 95) < 0.1
    turned = np.degrees(seen[:, ROTATION])
    for second in range(0, 30, 5):
        part = turned[25 * second : 25 * second + 125]
        assert 0.05 < part.std(0).max() < 8, "it neither freezes nor tosses about"
    assert np.abs(np.diff(turned, axis=0)).max() < 4


def test_a_saved_conversation_goes_on_with_the_same_bits(
    small: Avatar, face: Portrait, story: Waveform
) -> None:
    sound = visitor("Is that so?", "en-us", 0.35)
    config = LiveConfig(seed=4, controls=Controls(emotion="happiness", gaze=(3.0, 0.0)))
    session = LiveSession(small, face, config)
    session.say(story)
    play(session, sound[:7777], 320)
    data = session.save()
    ahead = chunks(play(session, sound[7777:], 320))
    again = LiveSession.restore(small, face, data)
    assert again.config == config
    assert same(ahead, chunks(play(again, sound[7777:], 320)))
    assert len(data) < 4_000_000


def test_a_foreign_state_is_refused(small: Avatar, face: Portrait) -> None:
    tree = b'{"class": "audio2motion.os:system", "fields": {}}'
    evil = save({"tree": np.frombuffer(tree, np.uint8)})
    for data in (b"", b"PK\x03\x04", evil, evil[:-3], encode((1, "x"))):
        with pytest.raises(StateError):
            LiveSession.restore(small, face, data)
    with pytest.raises(StateError, match="cannot be saved"):
        encode(small)
    assert decode(encode(Controls(emotion="anger"))) == Controls(emotion="anger")


def test_the_visitor_is_seen(small: Avatar, face: Portrait, tmp_path: Path) -> None:
    session = LiveSession(small, face)
    sound = np.zeros(CHUNK_SAMPLES, np.float32)
    for _ in range(3):
        (chunk,) = session.push(sound, [face.image])
        assert isinstance(chunk, LiveChunk)
    waiting = session._generator.waiting
    assert waiting is not None and bool(waiting.motion_present.all())
    session.push(sound, [np.zeros_like(face.image)])
    waiting = session._generator.waiting
    assert waiting is not None and not bool(waiting.motion_present.any())
    session.close()


@pytest.mark.parametrize(("pictures", "different"), [(1, 1), (2, 2), (4, 4), (5, 5)])
def test_who_is_late_draws_fewer_pictures_and_the_sound_goes_on(
    small: Avatar, face: Portrait, story: Waveform, pictures: int, different: int
) -> None:
    session = LiveSession(small, face)
    session.say(story)
    found = chunks(session.push(np.zeros(3 * CHUNK_SAMPLES, np.float32), pictures=pictures))
    assert all(len(chunk.frames) == 5 for chunk in found)
    seen = {frame.tobytes() for frame in found[-1].frames}
    assert len(seen) == different
    assert np.array_equal(found[2].agent, story.samples[CHUNK_SAMPLES : 2 * CHUNK_SAMPLES])
    with pytest.raises(InputError, match="wanted 1 to 5"):
        session.push(np.zeros(1, np.float32), pictures=6)


def test_the_later_the_fewer_pictures() -> None:
    counts = [pictures_for(round(late * SAMPLE_RATE)) for late in (0, 0.04, 0.1, 0.2, 0.5)]
    assert counts == [5, 5, 4, 2, 1]


def test_a_voice_at_another_rate_is_refused(small: Avatar, face: Portrait) -> None:
    with pytest.raises(InputError, match="8000 Hz"):
        LiveSession(small, face).say(Waveform.silence(1.0, 8000))
    with pytest.raises(InputError, match="wanted them to rise"):
        LiveConfig(rest=0.6)
