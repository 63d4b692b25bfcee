"""What the agent is about to say, while it may be told to stop at any moment."""

import logging
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from audio2motion.hearing.audio import SAMPLE_RATE, Sound
from audio2motion.voice.agent_voice import AgentVoice, Pieces
from weights.errors import LimitError, VisavisError

_MOST_S = 600.0
_AHEAD_S = 8.0
"""A speaker that is faster than speech is kept waiting when so much is there."""
_MOST_SPEAKERS = 4
"""Threads of one conversation; one that was told to stop counts until it has heard of it."""
_MOST_IN_LINE = 32
_log = logging.getLogger("visavis.live")
_PIECE = SAMPLE_RATE
"""Samples in a part before the next one begins: a visitor may send them one by one."""


@dataclass(frozen=True)
class Caption:
    """A sentence that the agent says: its first sound is `at` samples after the beginning of the
    sound that it belongs to.
    """

    text: str
    at: int


class MadeVoice(AgentVoice):
    """A voice that has made all that it says before it is asked: for quick ones, whose errors are
    to be known at once. Raises what the voice raises.
    """

    def __init__(self, voice: AgentVoice) -> None:
        pieces = voice.speak()
        try:
            self._pieces = tuple(pieces)
        finally:
            pieces.close()
        self.language = voice.language

    def speak(self) -> Pieces:
        """The pieces, each at once."""
        return (piece for piece in self._pieces)


class SpeechQueue:
    """Sound waiting to be said, filled by a thread and emptied chunk by chunk. Close it at the end.

    Whoever speaks and whatever sound is to be said stand in one line: none talks into another's
    sentences. `failed` is told in a sentence when a speaker breaks off.
    """

    def __init__(self, failed: Callable[[str], None]) -> None:
        self._failed = failed
        self._parts: deque[np.ndarray] = deque()
        self._captions: deque[tuple[int, str]] = deque()  # where they begin, as `_added` counts
        self._added = self._taken = 0  # samples since the line was empty at first
        self._changed = threading.Condition()
        self._turn = 0  # grows when what is being said is dropped
        self._line: deque[AgentVoice | np.ndarray] = deque()  # the first is being said
        self._pumped = False  # a thread looks after the line
        self._speakers = 0

    def say(self, sound: Sound) -> None:
        """Say a sound (16 kHz) after all that waits. Raises LimitError when that is too much."""
        with self._changed:
            lined = sum(len(one) for one in self._line if isinstance(one, np.ndarray))
            if self._seconds + lined / SAMPLE_RATE + sound.seconds > _MOST_S:
                raise LimitError(f"more than {_MOST_S:g} s of speech would be waiting")
            samples = np.asarray(sound.read(0, len(sound)), np.float32)
            if not self._line:
                self._add(samples)
            elif isinstance(last := self._line[-1], np.ndarray):
                self._line[-1] = np.concatenate([last, samples])
            else:
                self._line.append(samples)

    def say_from(self, speaker: AgentVoice) -> None:
        """Say what a speaker gives, in a thread, as it comes, after all that is in the line. Raises
        LimitError while too many are.
        """
        with self._changed:
            voices = sum(not isinstance(one, np.ndarray) for one in self._line)
            new_thread = not self._pumped and self._speakers >= _MOST_SPEAKERS
            if voices >= _MOST_IN_LINE or new_thread:
                raise LimitError(
                    f"got one more thing to say while {max(voices, self._speakers)} are being "
                    "said; wait until some have been"
                )
            self._line.append(speaker)
            if self._pumped:
                return
            self._pumped = True
            self._speakers += 1
            turn = self._turn
        threading.Thread(target=self._pump, args=(turn,), name="visavis-voice", daemon=True).start()

    def take(self, count: int) -> tuple[Float[np.ndarray, "count"], tuple[Caption, ...]]:
        """The next `count` samples, silence where nothing is there, and the sentences that begin
        in them.
        """
        out, filled = np.zeros(count, np.float32), 0
        with self._changed:
            while filled < count and self._parts:
                part = self._parts.popleft()
                used = min(len(part), count - filled)
                out[filled : filled + used] = part[:used]
                filled += used
                if used < len(part):
                    self._parts.appendleft(part[used:])
            begun: list[Caption] = []
            while self._captions and self._captions[0][0] < self._taken + filled:
                at, text = self._captions.popleft()
                begun.append(Caption(text, at - self._taken))
            self._taken += filled
            self._changed.notify_all()
        return out, tuple(begun)

    def drop(self) -> None:
        """Say nothing of what is waiting, and let speakers go."""
        with self._changed:
            self._turn += 1
            self._parts.clear()
            self._captions.clear()
            self._added = self._taken = 0
            self._line.clear()
            self._pumped = False
            self._changed.notify_all()

    close = drop

    @property
    def waiting(self) -> Float[np.ndarray, "n"]:
        """Every sound that waits, as one piece; what speakers have not said yet is not in it."""
        with self._changed:
            lined = [one for one in self._line if isinstance(one, np.ndarray)]
            return np.concatenate([np.empty(0, np.float32), *self._parts, *lined])

    @property
    def busy(self) -> bool:
        """Whether anything waits or is in the line."""
        with self._changed:
            return bool(self._parts) or bool(self._line)

    def _add(self, samples: np.ndarray) -> None:
        """After all that waits, in few parts. The lock is held."""
        self._added += len(samples)
        if self._parts and len(self._parts[-1]) + len(samples) <= _PIECE:
            samples = np.concatenate([self._parts.pop(), samples])
        if len(samples):
            self._parts.append(samples)

    def _pump(self, turn: int) -> None:
        """Say one after the other what is in the line, until it is empty or dropped."""
        try:
            while (first := self._first(turn)) is not None:
                try:
                    self._speak(first, turn)
                except VisavisError as error:
                    self._failed(str(error))
                except Exception as error:  # without this thread the line would stand still
                    _log.exception("a voice broke off")
                    self._failed(f"a voice broke off ({type(error).__name__})")
                finally:
                    with self._changed:
                        if self._turn == turn:
                            self._line.popleft()
                            self._changed.notify_all()
        finally:
            with self._changed:
                self._speakers -= 1
                self._changed.notify_all()

    def _first(self, turn: int) -> AgentVoice | None:
        """Who speaks next; sounds before them are said at once."""
        with self._changed:
            while self._turn == turn and self._line:
                if not isinstance(first := self._line[0], np.ndarray):
                    return first
                self._add(first)
                self._line.popleft()
            if self._turn == turn:
                self._pumped = False  # in one go with the look at the line: who comes now begins
            return None

    def _speak(self, speaker: AgentVoice, turn: int) -> None:
        pieces = speaker.speak()
        try:
            for piece in pieces:
                with self._changed:
                    while self._turn == turn and self._seconds > _AHEAD_S:
                        self._changed.wait()
                    if self._turn != turn:
                        return
                    if text := piece.text.strip():
                        self._captions.append((self._added, text))
                    self._add(np.asarray(piece.sound.samples, np.float32))
        finally:
            pieces.close()

    @property
    def _seconds(self) -> float:
        return sum(map(len, self._parts)) / SAMPLE_RATE
