"""A live conversation: the visitor's sound goes in as it is recorded, the portrait comes out.

    session = LiveSession(avatar, portrait)
    session.say(Waveform(...))                 # whenever the agent has something to say
    for event in session.push(samples):        # 16 kHz, any length, about every 20 to 200 ms
        ...                                    # LiveChunk: 5 frames and 200 ms of the agent's voice

The clock is the visitor's sound: 3,200 samples in, one chunk out. Chunk k shows how the agent
reacts to chunk k - 1 of the visitor's sound and says what was waiting then; the first one leaves
as soon as 200 ms of sound are there. When the visitor begins to talk while the agent does, an
Interruption leaves at once, before the chunk is full: whoever plays the sound drops what they have
of the agent's, and the chunks that follow are silent.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float, UInt8

from app.live.config import LiveConfig
from app.live.ear import Ear
from app.live.speaking import Caption, SpeechQueue
from app.live.visitor import VisitorFace
from app.render.pipeline import Avatar
from audio2motion.hearing.audio import (
    SAMPLE_RATE,
    SAMPLES_PER_FRAME,
    Dyad,
    Sound,
    VoiceActivityState,
    Waveform,
)
from audio2motion.network.gate import SPEECH_CHANNELS
from audio2motion.network.state_codec import decode, encode
from audio2motion.network.stream import GeneratorState
from audio2motion.saveable import saveable
from audio2motion.voice.agent_voice import AgentVoice
from motion2video.motion import Motion
from motion2video.portrait.portrait import Portrait
from weights.errors import InputError, StateError

CHUNK_FRAMES = 5
CHUNK_SAMPLES = CHUNK_FRAMES * SAMPLES_PER_FRAME
_FADE = 80  # samples, 5 ms: sound that stops at once clicks
_AUDIBLE = 1e-4


@dataclass(frozen=True, eq=False)
class LiveChunk:
    """200 ms of the agent: `frames` [5, h, w, 3] RGB and `agent` [3200] samples that belong to
    them, the `index`-th of the conversation. `latency_s` is the time from the call that brought the
    last sample it needed to its being ready; `agent_speaks` and `visitor_speaks` what goes on;
    `captions` the sentences that the agent begins in it, at samples of the chunk.
    """

    index: int
    frames: UInt8[np.ndarray, "5 h w 3"]
    agent: Float[np.ndarray, "3200"]
    latency_s: float
    agent_speaks: bool
    visitor_speaks: bool
    captions: tuple[Caption, ...] = ()


@dataclass(frozen=True)
class Interruption:
    """The visitor talks into the agent's words: play nothing more of them. `onset` and `heard` are
    samples of the visitor's sound: where the talking began, and how far it had been heard when
    this was noticed; their difference is the time to the barge-in. `ends` is the sample at which
    the agent is silent even where all chunks are played to their end.
    """

    onset: int
    heard: int
    ends: int

    @property
    def seconds(self) -> float:
        """From the visitor's first sound to this event, in time of the sound."""
        return (self.heard - self.onset) / SAMPLE_RATE

    @property
    def seconds_played_out(self) -> float:
        """The same to the agent's last sound, for whoever plays every chunk to its end."""
        return (self.ends - self.onset) / SAMPLE_RATE


LiveEvent = LiveChunk | Interruption


@saveable
@dataclass(frozen=True, eq=False)
class LiveState:
    """Where a conversation stands, but for the portrait: plain values, see LiveSession.save."""

    config: LiveConfig
    generator: GeneratorState
    activity: VoiceActivityState
    rest: Float[np.ndarray, "n"]
    held: Float[np.ndarray, "3200"]
    waiting: Float[np.ndarray, "m"]
    received: int
    chunks: int
    loud: int
    quiet: int
    onset_at: int
    visitor_speaks: bool
    muted: bool
    playing: bool


class LiveSession:
    """One conversation with one portrait. One thread pushes; `say` and `stop` may come from any."""

    def __init__(
        self, avatar: Avatar, portrait: Portrait, config: LiveConfig | None = None
    ) -> None:
        self.config = config or LiveConfig()
        self.portrait = portrait
        self._avatar = avatar
        self._renderer = avatar.renderer.at(self.config.quality)
        self._render = self._renderer.init_state(portrait, self.config.seed)
        self._generator = avatar.generator.init_state(self.config.seed, self.config.controls)
        self.ear = Ear(self.config)
        """What follows whether the visitor talks; see `Ear.copy`."""
        self._face = VisitorFace(avatar.renderer.basis)
        self.problems: list[str] = []
        """Sentences about voices that broke off, oldest first; whoever reads them empties it."""
        self._speech = SpeechQueue(self.problems.append)
        self._rest = np.empty(0, np.float32)
        self._held = np.zeros(CHUNK_SAMPLES, np.float32)
        self._captions: tuple[Caption, ...] = ()  # of `_held`
        self._chunks = 0
        self._muted = self._playing = self._stopped = False
        # A chunk of silence first: the generator hears the agent's voice a chunk ahead.
        silence = Waveform(np.zeros(CHUNK_SAMPLES, np.float32))
        self._generator, _ = avatar.generator.step(
            self._generator, Dyad(silence, silence), self._face.motion(CHUNK_FRAMES)
        )

    # -- what goes in ----------------------------------------------------------------------

    def say(self, sound: Sound) -> None:
        """Say a sound at 16 kHz after all that is waiting."""
        if sound.sample_rate != SAMPLE_RATE:
            raise InputError(f"got a voice at {sound.sample_rate} Hz; wanted {SAMPLE_RATE}")
        self._stopped = False
        self._speech.say(sound)

    def say_from(self, speaker: AgentVoice) -> None:
        """Say what a voice gives as it comes; a barge-in stops it."""
        self._stopped = False
        self._speech.say_from(speaker)

    def stop(self) -> None:
        """Say nothing of what is waiting."""
        self._stopped = True
        self._speech.drop()
        self._muted = True

    @property
    def agent_speaks(self) -> bool:
        """Whether there is anything that the agent is saying or about to say, and was not stopped:
        the picture of its last word may still be drawn.
        """
        return not self._stopped and (self._playing or self._speech.busy or _audible(self._held))

    @property
    def waiting(self) -> int:
        """Samples of the visitor's sound that wait for the rest of their chunk."""
        return len(self._rest)

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) of the frames in pixels."""
        return self._render.size

    def push(
        self,
        interlocutor: Float[np.ndarray, "n"],
        interlocutor_frames: Sequence[UInt8[np.ndarray, "H W 3"]] = (),
        pictures: int = CHUNK_FRAMES,
        *,
        barge_in: bool = True,
    ) -> list[LiveEvent]:
        """Take in the visitor's sound and pictures; what is ready, in order.

        Of several pictures for one chunk the last one counts. `pictures` 1 to 5 is how many of a
        chunk's frames are drawn, the others repeat them: for a machine that has fallen behind.
        Without `barge_in` nothing stops the agent here: whoever pushes listens ahead, with a copy
        of the ear.
        """
        if not 1 <= pictures <= CHUNK_FRAMES:
            raise InputError(f"got {pictures} pictures a chunk; wanted 1 to {CHUNK_FRAMES}")
        arrived = time.perf_counter()
        for frame in interlocutor_frames[-1:]:
            self._face.look(frame)
        events: list[LiveEvent] = []
        at = 0
        while at < len(interlocutor):
            room = CHUNK_SAMPLES - len(self._rest)
            piece = np.asarray(interlocutor[at : at + room], np.float32)
            at += len(piece)
            self._rest = np.concatenate([self._rest, piece])
            began = self.ear.hear(piece)
            if began and barge_in and self.config.barge_in and self.agent_speaks:
                events.append(self._interrupt())
            if len(self._rest) == CHUNK_SAMPLES:
                events.append(self._make(arrived, pictures))
        return events

    # -- what comes out --------------------------------------------------------------------

    def _interrupt(self) -> Interruption:
        self.stop()
        heard = self.ear.received
        chunk_end = -(-heard // CHUNK_SAMPLES) * CHUNK_SAMPLES
        return Interruption(self.ear.onset_at, heard, chunk_end + _FADE)

    def _make(self, arrived: float, pictures: int) -> LiveChunk:
        """The chunk whose time has come, now that the visitor's sound of the next one is full."""
        muted, self._muted = self._muted, False
        said, captions = self._speech.take(CHUNK_SAMPLES)
        dyad = Dyad(Waveform(said), Waveform(self._rest))
        self._generator, motion = self._avatar.generator.step(
            self._generator, dyad, self._face.motion(CHUNK_FRAMES)
        )
        agent, self._held = self._held, said
        begun, self._captions = self._captions, captions
        if muted:
            agent, motion = _hushed(agent, motion)
        drawn, shows = _fewer(pictures)
        shown = Motion(motion.values[drawn], motion.fps, motion.mask[drawn])
        self._render, frames = self._renderer.step(self._render, shown)
        frames = frames[shows]
        if self._muted:  # while this was drawn; the next chunk closes the mouth
            agent, _ = _hushed(agent, motion)
        self._playing = _audible(agent)
        chunk = LiveChunk(
            index=self._chunks,
            frames=frames,
            agent=agent,
            latency_s=time.perf_counter() - arrived,
            agent_speaks=self._playing,
            visitor_speaks=self.ear.speaks,
            captions=() if muted or self._muted else begun,
        )
        self._chunks += 1
        self._rest = np.empty(0, np.float32)
        return chunk

    def change_portrait(self, portrait: Portrait) -> None:
        """Go on with the same motion in another picture, e.g. a larger one of the same person."""
        self.portrait = portrait
        self._render = self._renderer.init_state(portrait, self.config.seed)

    def close(self) -> None:
        """Let voices go."""
        self._speech.close()

    # -- state -----------------------------------------------------------------------------

    def save(self) -> bytes:
        """Where the conversation stands; `restore` goes on from there with the same bits. What a
        voice has not said yet is lost, what waits is kept.
        """
        return encode(
            LiveState(
                config=self.config,
                generator=self._generator,
                activity=self.ear.activity,
                rest=self._rest,
                held=self._held,
                waiting=self._speech.waiting,
                received=self.ear.received,
                chunks=self._chunks,
                loud=self.ear.loud,
                quiet=self.ear.quiet,
                onset_at=self.ear.onset_at,
                visitor_speaks=self.ear.speaks,
                muted=self._muted,
                playing=self._playing,
            )
        )

    @staticmethod
    def restore(avatar: Avatar, portrait: Portrait, data: bytes) -> "LiveSession":
        """Go on with a conversation that was saved. Raises StateError for other bytes."""
        state = decode(data, avatar.generator.device)
        if not isinstance(state, LiveState):
            raise StateError("this is no state of a conversation")
        session = LiveSession(avatar, portrait, state.config)
        generator = state.generator  # its ticket is a fresh one: nobody has used this state yet
        session._generator = replace(generator, serial=generator.ticket.latest)
        ear = session.ear = Ear(state.config, state.activity, state.received)
        ear.loud, ear.quiet, ear.onset_at = state.loud, state.quiet, state.onset_at
        ear.speaks = state.visitor_speaks
        session._rest, session._held = state.rest, state.held
        if len(state.waiting):
            session.say(Waveform(state.waiting))
        session._chunks, session._muted, session._playing = (
            state.chunks,
            state.muted,
            state.playing,
        )
        return session


def pictures_for(late: int) -> int:
    """How many frames of a chunk to draw when that many samples of the visitor's sound wait beyond
    the chunk: all five, or fewer, down to one, until the conversation has caught up.
    """
    for pictures, most in ((5, 0.05), (4, 0.15), (2, 0.3)):
        if late < most * SAMPLE_RATE:
            return pictures
    return 1


def _fewer(pictures: int) -> tuple[list[int], list[int]]:
    """Which frames of a chunk to draw, spread over it, and which of these each frame shows."""
    drawn = [(2 * k + 1) * CHUNK_FRAMES // (2 * pictures) for k in range(pictures)]
    shows = [min(range(pictures), key=lambda k: abs(drawn[k] - i)) for i in range(CHUNK_FRAMES)]
    return drawn, shows


def _audible(sound: Float[np.ndarray, "n"]) -> bool:
    return bool(np.abs(sound).max(initial=0.0) > _AUDIBLE)


def _hushed(
    agent: Float[np.ndarray, "3200"], motion: Motion
) -> tuple[Float[np.ndarray, "3200"], Motion]:
    """A chunk in which the agent falls silent: its sound fades at once, its mouth closes."""
    quiet = np.zeros_like(agent)
    quiet[:_FADE] = agent[:_FADE] * np.linspace(1, 0, _FADE, dtype=np.float32)
    values = motion.values.copy()
    closing = np.linspace(0.8, 0.0, len(values), dtype=np.float32)
    values[:, list(SPEECH_CHANNELS)] *= closing[:, None]
    return quiet, Motion(values, motion.fps, motion.mask)
