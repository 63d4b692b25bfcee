"""What waits to be said is bounded, however it is sent."""

import threading
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
