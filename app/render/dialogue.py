"""The turns of a dialogue as two voices on one clock, of one length, each silent while the other
speaks.
"""

from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from jaxtyping import Float

from app.render.turns import Turn, at_turn
from audio2motion.gestures.transcript import Transcript
from audio2motion.hearing.audio import SAMPLE_RATE, Sound, Waveform
from audio2motion.voice.agent_voice import SpokenReply
from audio2motion.voice.natural import NATURAL
from audio2motion.voice.reply_codes import ReplyCode
from audio2motion.voice.speakers import DEFAULT_VOICE, MANS_VOICE

Speak = Callable[[str, str], SpokenReply]
"""Says a text in a voice."""
Load = Callable[[Path], Sound]
"""Reads a recording, at 16 kHz."""


@dataclass(frozen=True, eq=False)
class Dialogue:
    """Both voices; None for who says nothing. `reply` is what the agent says from words, None where
    there are none; `agent_start` is when the agent first speaks, in seconds.
    """

    agent: Sound | None
    interlocutor: Sound | None
    reply: SpokenReply | None
    agent_start: float


class Track(Sound):
    """One voice of a dialogue: recordings at their samples, in order and apart, and silence."""

    def __init__(self, parts: Sequence[tuple[int, Sound]], samples: int) -> None:
        self.sample_rate, self._samples = SAMPLE_RATE, samples
        self._parts, self._starts = tuple(parts), [start for start, _ in parts]

    def __len__(self) -> int:
        return self._samples

    def read(self, start: int, count: int) -> Float[np.ndarray, "n"]:
        """float32 samples `start` to `start + count`; fewer, or none, at the end."""
        read = np.zeros(max(0, min(count, self._samples - start)), np.float32)
        end = start + len(read)
        for first, sound in self._parts[max(0, bisect_right(self._starts, start) - 1) :]:
            if first >= end:
                break
            skipped = max(0, start - first)
            there = sound.read(skipped, end - first - skipped)
            at = first + skipped - start
            read[at : at + len(there)] = there
        return read


def voice_of(turn: Turn, agents_voice: str) -> str:
    """The voice of a turn that is said from words: its own, the agent's, or for the other person
    who has none one that is not a woman's where the agent's is, or the other way round.
    """
    if turn.voice is not None:
        return turn.voice
    if turn.who == "agent":
        return agents_voice
    agents = NATURAL.get(agents_voice.strip().lower())
    return MANS_VOICE if agents is None or agents.woman else DEFAULT_VOICE


def hold(
    turns: Sequence[Turn], voice: str, pause: float, tail: float, speak: Speak, load: Load
) -> Dialogue:
    """Say and read the turns, each `pause` seconds after the one before it unless it has a pause of
    its own (before the first one it is a silence too), and `tail` seconds of silence at the end.

    Raises what `speak` and `load` raise, and MediaError for a recording in which nobody speaks,
    with the number of the turn.
    """
    parts: dict[str, list[tuple[int, Sound]]] = {"agent": [], "interlocutor": []}
    said, codes, at = Transcript(""), list[ReplyCode](), 0
    for number, turn in enumerate(turns, 1):
        at += round((pause if turn.pause is None else turn.pause) * SAMPLE_RATE)
        with at_turn(number):
            sound, spoken = _heard(turn, voice, speak, load)
        parts[turn.who].append((at, sound))
        if spoken is not None and turn.who == "agent":
            start = at / SAMPLE_RATE
            joined = said.followed_by(spoken.transcript, start)
            codes += (_moved(c, start, len(joined.text) - len(spoken.text)) for c in spoken.codes)
            said = joined
        at += len(sound)
    samples = at + round(tail * SAMPLE_RATE)
    agent: Sound | None
    other: Sound | None
    agent, other = (Track(own, samples) if own else None for own in parts.values())
    reply = None
    if agent is not None and said.text:
        agent = Waveform(agent.read(0, samples))
        reply = SpokenReply(agent, said, tuple(codes))
    start = parts["agent"][0][0] / SAMPLE_RATE if agent is not None else 0.0
    return Dialogue(agent, other, reply, start)


def seconds_of(
    turns: Sequence[Turn], pause: float, tail: float, length: Callable[[Turn], float]
) -> float:
    """How long a dialogue is, from the `length` of each turn, as `hold` makes it; raises as that
    does.
    """
    whole = tail
    for number, turn in enumerate(turns, 1):
        with at_turn(number):
            whole += length(turn) + (pause if turn.pause is None else turn.pause)
    return whole


def _heard(turn: Turn, voice: str, speak: Speak, load: Load) -> tuple[Sound, SpokenReply | None]:
    """The sound of a turn, and its words where it has any."""
    if turn.text is not None:
        spoken = speak(turn.text, voice_of(turn, voice))
        return spoken.sound, spoken
    if isinstance(turn.audio, Waveform):
        sound, name = turn.audio, "its recording"
    else:
        assert turn.recording is not None
        sound, name = load(turn.recording), str(turn.recording)
    sound.require_speech(name)
    return sound, None


def _moved(code: ReplyCode, seconds: float, characters: int) -> ReplyCode:
    first, last = code.span
    return replace(code, time=code.time + seconds, span=(first + characters, last + characters))
