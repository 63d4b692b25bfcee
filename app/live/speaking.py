"""What the agent is about to say, while it may be told to stop at any moment."""

import threading
from collections import deque
from collections.abc import Callable

import numpy as np
from jaxtyping import Float

from audio2motion.hearing.audio import SAMPLE_RATE, Sound
from audio2motion.voice.agent_voice import AgentVoice
from weights.errors import LimitError, VisavisError

_MOST_S = 600.0
_AHEAD_S = 8.0
"""A speaker that is faster than speech is kept waiting when so much is there."""
_MOST_SPEAKERS = 4
"""Threads of one conversation; one that was told to stop counts until it has heard of it."""
_PIECE = SAMPLE_RATE
"""Samples in a part before the next one begins: a visitor may send them one by one."""


class SpeechQueue:
    """Sound waiting to be said, filled by threads and emptied chunk by chunk. Close it at the end.

    `failed` is told in a sentence when a speaker breaks off.
    """

    def __init__(self, failed: Callable[[str], None]) -> None:
        self._failed = failed
        self._parts: deque[np.ndarray] = deque()
        self._changed = threading.Condition()
        self._turn = 0  # grows when what is being said is dropped
        self._speakers = 0
        self._order: deque[object] = deque()  # of who is speaking, and who does so afterwards

    def say(self, sound: Sound) -> None:
        """Say a sound (16 kHz) after all that waits. Raises LimitError when that is too much."""
        with self._changed:
            if self._seconds + sound.seconds > _MOST_S:
                raise LimitError(f"more than {_MOST_S:g} s of speech would be waiting")
            self._add(np.asarray(sound.read(0, len(sound)), np.float32))

    def say_from(self, speaker: AgentVoice) -> None:
        """Say what a speaker gives, in a thread, as it comes, after the speakers before it. Raises
        LimitError while too many speak.
        """
        with self._changed:
            if self._speakers >= _MOST_SPEAKERS:
                raise LimitError(
                    f"got one more thing to answer while {self._speakers} are being answered; wait "
                    "for an answer"
                )
            turn = self._turn
            self._speakers += 1
            ticket = object()
            self._order.append(ticket)
        threading.Thread(
            target=self._pump, args=(speaker, turn, ticket), name="visavis-voice", daemon=True
        ).start()

    def take(self, count: int) -> Float[np.ndarray, "count"]:
        """The next `count` samples; silence where nothing is there."""
        out, filled = np.zeros(count, np.float32), 0
        with self._changed:
            while filled < count and self._parts:
                part = self._parts.popleft()
                used = min(len(part), count - filled)
                out[filled : filled + used] = part[:used]
                filled += used
                if used < len(part):
                    self._parts.appendleft(part[used:])
            self._changed.notify_all()
        return out

    def drop(self) -> None:
        """Say nothing of what is waiting, and let speakers go."""
        with self._changed:
            self._turn += 1
            self._parts.clear()
            self._order.clear()
            self._changed.notify_all()

    close = drop

    @property
    def waiting(self) -> Float[np.ndarray, "n"]:
        """Everything that waits, as one piece; a speaker's unsaid rest is not in it."""
        with self._changed:
            return np.concatenate([np.empty(0, np.float32), *self._parts])

    @property
    def busy(self) -> bool:
        """Whether anything waits or a speaker is at work."""
        with self._changed:
            return bool(self._parts) or self._speakers > 0

    def _add(self, samples: np.ndarray) -> None:
        """After all that waits, in few parts. The lock is held."""
        if self._parts and len(self._parts[-1]) + len(samples) <= _PIECE:
            samples = np.concatenate([self._parts.pop(), samples])
        if len(samples):
            self._parts.append(samples)

    def _pump(self, speaker: AgentVoice, turn: int, ticket: object) -> None:
        pieces = None
        try:
            with self._changed:
                while self._turn == turn and self._order[0] is not ticket:
                    self._changed.wait()
                if self._turn != turn:
                    return
            pieces = speaker.speak()
            for piece in pieces:
                with self._changed:
                    while self._turn == turn and self._seconds > _AHEAD_S:
                        self._changed.wait()
                    if self._turn != turn:
                        return
                    self._add(np.asarray(piece.sound.samples, np.float32))
        except VisavisError as error:
            self._failed(str(error))
        finally:
            if pieces is not None:
                pieces.close()
            with self._changed:
                self._speakers -= 1
                if self._turn == turn:
                    self._order.remove(ticket)
                self._changed.notify_all()

    @property
    def _seconds(self) -> float:
        return sum(map(len, self._parts)) / SAMPLE_RATE
