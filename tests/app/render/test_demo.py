"""The embedded demo's conversation."""

from pathlib import Path

import numpy as np

from app.render.demo import conversation, default_output
from audio2motion.hearing.audio import speech_segments


def test_the_turns_alternate_and_do_not_overlap() -> None:
    agent, interlocutor = conversation()
    assert len(agent) == len(interlocutor)
    assert 9.0 <= agent.seconds <= 14.0
    own, others = speech_segments(agent), speech_segments(interlocutor)
    first, last = others[0][0], others[-1][1]
    assert last - first >= 3.0
    assert any(end < first for _, end in own) and any(start > last for start, _ in own)
    assert not np.any((np.abs(agent.samples) > 1e-3) & (np.abs(interlocutor.samples) > 1e-3))


def test_it_goes_to_the_top_of_the_checkout() -> None:
    assert default_output() == Path(__file__).parents[3] / "demo.mp4"
