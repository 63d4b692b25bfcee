"""What waits to be said is bounded, however it is sent."""

import threading
import time
from collections.abc import Generator

import numpy as np
import pytest

from app.live.speaking import Caption, MadeVoice, SpeechQueue
from audio2motion.hearing.audio import Waveform
from audio2motion.voice.agent_voice import AgentVoice, SpokenPiece
from weights.errors import InputError, LimitError


@pytest.mark.slow
def test_empty_and_tiny_sounds_make_no_long_queue_and_keep_their_order():
    speech = SpeechQueue(lambda problem: None)
    for number in range(20_000):
        speech.say(Waveform(np.zeros(0, np.float32)))
        if number % 10 == 0:
            speech.say(Waveform(np.full(1, number, np.float32)))
    assert len(speech._parts) <= 2
    assert np.array_equal(speech.waiting, np.arange(0, 20_000, 10, dtype=np.float32))
    assert np.array_equal(speech.take(3)[0], [0, 10, 20])


def test_silence_that_lasts_no_time_is_nothing_to_say():
    speech = SpeechQueue(lambda problem: None)
    speech.say(Waveform(np.zeros(0, np.float32)))
    assert not speech.busy


def test_more_answers_at_once_than_there_may_be_are_refused():
    go, started = threading.Event(), []

    class Slow(AgentVoice):
        def speak(self) -> Generator[SpokenPiece, None, None]:
            started.append(1)
            go.wait(20)
            yield from ()

    speech = SpeechQueue(lambda problem: None)
    for _ in range(4):
        speech.say_from(Slow())
        speech.drop()
    with pytest.raises(LimitError, match="while 4 are being said"):
        speech.say_from(Slow())
    go.set()
    for thread in threading.enumerate():
        if thread.name == "visavis-voice":
            thread.join(10)
    speech.say_from(Slow())
    assert len(started) <= 5


def test_a_line_of_speakers_has_an_end():
    go = threading.Event()

    class Slow(AgentVoice):
        def speak(self) -> Generator[SpokenPiece, None, None]:
            go.wait(20)
            yield from ()

    speech = SpeechQueue(lambda problem: None)
    for _ in range(32):
        speech.say_from(Slow())
    with pytest.raises(LimitError, match="while 32 are being said"):
        speech.say_from(Slow())
    assert sum(thread.name == "visavis-voice" for thread in threading.enumerate()) <= 5
    speech.drop()
    go.set()


def test_no_sound_comes_between_the_sentences_of_who_speaks():
    go = threading.Event()

    class Two(AgentVoice):
        def speak(self) -> Generator[SpokenPiece, None, None]:
            yield SpokenPiece(Waveform(np.full(2, 0.25, np.float32)), 0.0, "One.", (0, 4))
            go.wait(20)
            yield SpokenPiece(Waveform(np.full(2, 0.25, np.float32)), 0.0, " Two.", (4, 9))

    speech = SpeechQueue(lambda problem: None)
    speech.say_from(Two())
    for _ in range(2):
        speech.say(Waveform(np.full(1, 0.5, np.float32)))
    go.set()
    speech.say_from(MadeVoice(Two()))
    while speech._speakers:
        time.sleep(0.01)
    assert speech.waiting.tolist() == [0.25] * 4 + [0.5] * 2 + [0.25] * 4
    sound, begun = speech.take(7)
    assert begun == (Caption("One.", 0), Caption("Two.", 2), Caption("One.", 6))
    assert sound[6] == 0.25
    sound, begun = speech.take(7)
    assert begun == (Caption("Two.", 1),) and sound.tolist() == [0.25] * 3 + [0.0] * 4


def test_a_voice_that_breaks_off_lets_the_next_speak():
    class Broken(AgentVoice):
        def __init__(self, error: Exception) -> None:
            self.error = error

        def speak(self) -> Generator[SpokenPiece, None, None]:
            raise self.error
            yield

    told: list[str] = []
    speech = SpeechQueue(told.append)
    for error in (InputError("no words"), RuntimeError("a fault of ours")):
        speech.say_from(Broken(error))
    speech.say(Waveform(np.full(3, 0.5, np.float32)))
    while speech._speakers:
        time.sleep(0.01)
    assert told == ["no words", "a voice broke off (RuntimeError)"]
    assert speech.waiting.tolist() == [0.5] * 3


def test_who_was_asked_first_speaks_first():
    """Sentence by sentence, and never two at once, however slow the first is."""

    class Two(AgentVoice):
        def __init__(self, value: float) -> None:
            self.value = value

        def speak(self) -> Generator[SpokenPiece, None, None]:
            for _ in range(2):
                time.sleep(0.02 / self.value)
                yield SpokenPiece(Waveform(np.full(2, self.value, np.float32)), 0.0)

    speech = SpeechQueue(lambda problem: None)
    for value in (0.25, 0.5, 1.0):
        speech.say_from(Two(value))
    while speech._speakers:
        time.sleep(0.01)
    assert speech.waiting.tolist() == [0.25] * 4 + [0.5] * 4 + [1.0] * 4
