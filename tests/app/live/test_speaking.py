"""What waits to be said is bounded, however it is sent."""

import threading
import time
from collections.abc import Generator

import numpy as np
import pytest

from app.live.speaking import SpeechQueue
from audio2motion.hearing.audio import Waveform
from audio2motion.voice.agent_voice import AgentVoice, SpokenPiece
from weights.errors import LimitError


@pytest.mark.slow
def test_empty_and_tiny_sounds_make_no_long_queue_and_keep_their_order():
    speech = SpeechQueue(lambda problem: None)
    for number in range(20_000):
        speech.say(Waveform(np.zeros(0, np.float32)))
        if number % 10 == 0:
            speech.say(Waveform(np.full(1, number, np.float32)))
    assert len(speech._parts) <= 2
    assert np.array_equal(speech.waiting, np.arange(0, 20_000, 10, dtype=np.float32))
    assert np.array_equal(speech.take(3), [0, 10, 20])


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
    with pytest.raises(LimitError, match="while 4 are being answered"):
        speech.say_from(Slow())
    go.set()
    for thread in threading.enumerate():
        if thread.name == "visavis-voice":
            thread.join(10)
    speech.say_from(Slow())
    assert len(started) <= 5


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
