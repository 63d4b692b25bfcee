"""From what the user gave to the voices of two people, and the sound of the video."""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from jaxtyping import Float

from app.render.dialogue import hold
from app.render.order import TAIL, Arranged, agent_start, arrange, tail
from app.render.reading import HERE, Reader
from app.render.request import SERVERS_OWN, MotionRequest, Notify, Progress, Source
from audio2motion.gestures.transcript import Transcript
from audio2motion.hearing.audio import SAMPLE_RATE, SAMPLES_PER_FRAME, Dyad, Sound, Waveform
from audio2motion.voice.agent_voice import AgentVoice, Pieces, SpokenReply, TextVoice, listen
from audio2motion.voice.endpoint import Endpoint
from motion2video.motion import Motion

See = Callable[[Path], Motion]
"""Turns a video into the motion of the face in it, at 25 fps."""


@dataclass(frozen=True, eq=False)
class Voices:
    """Who is heard and seen: `agent` None when nobody speaks for the agent; `reply` is what the
    agent says, where it was spoken here from words. All are on the clock of the video: the agent's
    voice begins at `agent_start` seconds with what was read or spoken. `order` is that of the two
    voices, None where there are not two of them.
    """

    agent: Sound | None
    interlocutor: Sound | None
    interlocutor_motion: Motion | None = None
    reply: SpokenReply | None = None
    order: Arranged | None = None
    agent_start: float = 0.0

    @property
    def transcript(self) -> Transcript | None:
        """What the agent says, where it was spoken here from words."""
        return None if self.reply is None else self.reply.transcript

    @property
    def _lengths(self) -> dict[str, int]:
        return {
            f"the {name}": round(part.seconds * SAMPLE_RATE)
            for name, part in (
                ("agent's audio", self.agent),
                ("interlocutor's audio", self.interlocutor),
                ("interlocutor's video", self.interlocutor_motion),
            )
            if part is not None
        }

    @property
    def samples(self) -> int:
        """Length of the longest part in samples at 16 kHz."""
        return max(self._lengths.values())

    @property
    def frames(self) -> int:
        """Motion frames that the longest part reaches into."""
        return -(-self.samples // SAMPLES_PER_FRAME)

    @property
    def seconds(self) -> float:
        """Length of the longest part."""
        return self.samples / SAMPLE_RATE

    @property
    def notices(self) -> tuple[str, ...]:
        """What there is to tell about parts that are shorter than the longest; in turns the other
        is over before the agent.
        """
        return tuple(
            f"{name} is {(self.samples - length) / SAMPLE_RATE:.2f} s shorter than the rest: "
            + ("nobody is seen then" if name.endswith("video") else "silence was added at its end")
            for name, length in self._lengths.items()
            if self.samples - length >= SAMPLES_PER_FRAME
            and not (self.order == "turns" and "interlocutor" in name)
        )

    def dyads(self, frames: int) -> Iterator[Dyad]:
        """Both voices in pieces of `frames` motion frames, at the length of the longest part; the
        last may be shorter. Silence where a voice is missing or over.
        """
        step = frames * SAMPLES_PER_FRAME
        for start in range(0, self.samples, step):
            count = min(step, self.samples - start)
            agent = _read(self.agent, start, count)
            other = self.interlocutor
            yield Dyad(agent, None if other is None else _read(other, start, count))

    def seen(self, frames: int) -> Motion | None:
        """The interlocutor's motion, exactly `frames` long; what is missing is not valid."""
        motion = self.interlocutor_motion
        if motion is None or len(motion) >= frames:
            return motion and motion[:frames]
        missing = frames - len(motion)
        last = np.repeat(motion.values[-1:], missing, 0)
        return Motion.concat([motion, Motion(last, motion.fps, np.zeros(missing, bool))])

    def mixed(self, both: bool) -> Sound | None:
        """What is heard in the video: the agent, or both; None when nobody is."""
        if self.agent is None or not both or self.interlocutor is None:
            return self.interlocutor if both and self.agent is None else self.agent
        return Mix(self.agent, self.interlocutor)

    def lasting(self, seconds: float) -> "Voices":
        """The same for exactly so long: what is longer is cut, and silence follows what is over.
        There is an agent then, who may be silent.
        """
        samples = round(seconds * SAMPLE_RATE)
        other, motion = self.interlocutor, self.interlocutor_motion
        return replace(
            self,
            agent=Lasting(self.agent, samples),
            interlocutor=None if other is None else Lasting(other, samples),
            interlocutor_motion=motion and motion[: samples // SAMPLES_PER_FRAME],
        )


class Mix(Sound):
    """Two voices at once, as loud as they are where that does not clip."""

    def __init__(self, one: Sound, two: Sound) -> None:
        if one.sample_rate != two.sample_rate:
            raise ValueError(f"got voices at {one.sample_rate} and {two.sample_rate} Hz")
        self.sample_rate, self._one, self._two, self._scale = one.sample_rate, one, two, 1.0
        self._scale = 1 / max(1.0, max(float(np.abs(b).max()) for b in self.blocks()))

    def __len__(self) -> int:
        return max(len(self._one), len(self._two))

    def read(self, start: int, count: int) -> Float[np.ndarray, "n"]:
        """float32 samples `start` to `start + count`; fewer, or none, at the end."""
        count = max(0, min(count, len(self) - start))
        both = [_read(voice, start, count).samples for voice in (self._one, self._two)]
        return (both[0] + both[1]) * np.float32(self._scale)


class Delayed(Sound):
    """A voice after `start` seconds of silence, read piece by piece as the voice itself is."""

    def __init__(self, voice: Sound, start: float) -> None:
        self.sample_rate, self._voice = voice.sample_rate, voice
        self._before = round(start * voice.sample_rate)

    def __len__(self) -> int:
        return self._before + len(self._voice)

    def read(self, start: int, count: int) -> Float[np.ndarray, "n"]:
        """float32 samples `start` to `start + count`; fewer, or none, at the end."""
        silent = min(count, max(0, self._before - start))
        there = self._voice.read(max(0, start - self._before), count - silent)
        return np.concatenate([np.zeros(silent, np.float32), there]) if silent else there


class Lasting(Sound):
    """The first `samples` of a voice, followed by silence where it has fewer."""

    def __init__(self, voice: Sound | None, samples: int) -> None:
        self.sample_rate, self._voice, self._samples = SAMPLE_RATE, voice, samples

    def __len__(self) -> int:
        return self._samples

    def read(self, start: int, count: int) -> Float[np.ndarray, "n"]:
        """float32 samples `start` to `start + count`; fewer, or none, at the end."""
        return _read(self._voice, start, max(0, min(count, self._samples - start))).samples


def _read(voice: Sound | None, start: int, count: int) -> Waveform:
    """`count` samples of a voice, silence where it has none."""
    there = np.zeros(0, np.float32) if voice is None else voice.read(start, count)
    return Waveform(there if len(there) == count else np.pad(there, (0, count - len(there))))


def load_sound(request: MotionRequest, reader: Reader = HERE) -> Voices:
    """The voices of a request as sound that is only heard, each when `hear` has it: nobody needs to
    speak in it.
    """
    if request.has_turns:
        return _dialogue(request, reader)
    agent, reply = _agent(request, reader)
    other = _load(request.interlocutor_audio, reader)
    if other is None and request.interlocutor_video is not None:
        other = _sound_of(Path(request.interlocutor_video), reader)
    return _on_one_clock(request, Voices(agent, other, reply=reply))


def hear(
    request: MotionRequest,
    see: See,
    notify: Notify,
    endpoint: Endpoint | None = None,
    reader: Reader = HERE,
    progress: Progress | None = None,
) -> Voices:
    """Read, speak and look at what a request names, so that it can move a face. `endpoint` is asked
    where the request itself names no language model. An order of the voices that the request leaves
    open is told. What `progress` raises ends the work, also between two sentences of a voice.

    Raises InputError when it names nothing, MediaError for recordings that cannot be read, for
    an agent's voice in which nobody speaks, and for such an interlocutor's when there is nothing
    else.
    """
    request.require_voice()
    if request.has_turns:
        return _dialogue(request, reader, progress, notify)
    agent, reply = _agent(request, reader, progress, notify)
    if request.driving_video is not None:
        _tell_unheard(request, agent, notify)
    elif agent is not None:
        hint = " (for an agent that only listens, give the interlocutor's audio alone)"
        agent.require_speech(_name(request.agent_audio, "the agent's audio") + hint)
    interlocutor = _load(request.interlocutor_audio, reader)
    name = _name(request.interlocutor_audio, "the interlocutor's audio")
    motion = None
    if request.interlocutor_video is not None:
        path = Path(request.interlocutor_video)
        if interlocutor is None:
            interlocutor = _sound_of(path, reader)
            name = str(path)
            if interlocutor is None:
                notify(f"{path} has no sound track: the interlocutor is seen but not heard")
        motion = see(path)
    if interlocutor is not None and not (interlocutor.peak and interlocutor.has_speech):
        if agent is None and motion is None:
            interlocutor.require_speech(name)
        notify(f"nobody speaks in {name}: there is nothing to listen to")
    if request.ask is not None:
        reply = _ask(request, notify, endpoint, progress)
        reply.sound.require_speech("the speech of the language model's reply")
        agent = reply.sound
    voices = _on_one_clock(request, Voices(agent, interlocutor, motion, reply))
    if request.order == "auto" and voices.order is not None and request.driving_video is None:
        notify(_told(voices))
    return voices


def _dialogue(
    request: MotionRequest,
    reader: Reader,
    progress: Progress | None = None,
    notify: Notify | None = None,
) -> Voices:
    """The voices of turns, which are on one clock already."""
    told = set[str]()

    def tell(notice: str) -> None:  # of several turns once
        if notify is not None and notice not in told:
            notify(notice)
        told.add(notice)

    def speak(text: str, voice: str) -> SpokenReply:
        said = listen(StoppableVoice(TextVoice(text, voice, tell), progress))
        return _wanted(said, request)

    held = hold(request.dialogue(), request.voice, request.pause, TAIL, speak, reader.sound)
    both = held.agent is not None and held.interlocutor is not None
    order: Arranged | None = "turns" if both else None
    return Voices(
        held.agent, held.interlocutor, reply=held.reply, order=order, agent_start=held.agent_start
    )


def _on_one_clock(request: MotionRequest, voices: Voices) -> Voices:
    """The same with the agent's voice where the order of the request has it. Who says nothing is
    not waited for.
    """
    agent, other, reply = voices.agent, voices.interlocutor, voices.reply
    if agent is None:
        return voices
    order, ended, from_words = None, 0.0, reply is not None
    if other is not None:
        wanted = "together" if request.driving_video is not None else request.order
        order = arrange(wanted, from_words, agent.seconds, other.seconds)
        ended = other.speech_end if order == "turns" else 0.0
    if order == "turns" and not ended:
        order = None
    start = agent_start(order, from_words, ended, request.pause)
    if reply is not None:
        reply = reply.delayed(start, tail(from_words))
        agent = reply.sound
    elif start:
        agent = Delayed(agent, start)
    return replace(voices, agent=agent, reply=reply, order=order, agent_start=start)


def _told(voices: Voices) -> str:
    """A sentence on the order that was chosen, and how to have the other."""
    if voices.order == "turns":
        return (
            f"the other person speaks first and the agent from {voices.agent_start:.2f} s on; give "
            "the order together for two tracks of one conversation"
        )
    return (
        "both recordings are of one length and start at 0 s, as two tracks of one conversation; "
        "give the order turns for a question and its answer"
    )


def preparing(progress: Progress | None) -> None:
    """Say that something is done before the first frame, which nobody counts: a chance to stop."""
    if progress is not None:
        progress("preparing", 0, 1)


class StoppableVoice(AgentVoice):
    """A voice that is given up between two pieces when `progress` raises."""

    def __init__(self, voice: AgentVoice, progress: Progress | None) -> None:
        self._voice, self._progress = voice, progress
        self.language = voice.language

    def speak(self) -> Pieces:
        """As the voice does."""
        pieces = self._voice.speak()
        try:
            for piece in pieces:
                preparing(self._progress)
                yield piece
        finally:
            pieces.close()


def _agent(
    request: MotionRequest,
    reader: Reader,
    progress: Progress | None = None,
    notify: Notify | None = None,
) -> tuple[Sound | None, SpokenReply | None]:
    """The agent's voice, read or spoken, and its words where they are known."""
    if request.agent_audio is None and request.driving_video is not None:
        return _sound_of(Path(request.driving_video), reader), None
    if request.text is None:
        return _load(request.agent_audio, reader), None
    voice = StoppableVoice(TextVoice(request.text, request.voice, notify), progress)
    said = _wanted(listen(voice), request)
    return said.sound, said


def _ask(
    request: MotionRequest,
    notify: Notify,
    endpoint: Endpoint | None,
    progress: Progress | None,
) -> SpokenReply:
    """A language model's reply."""
    from audio2motion.voice.language import LanguageVoice

    if endpoint is None or any(getattr(request, name) is not None for name in SERVERS_OWN):
        endpoint = Endpoint.find(
            request.llm_url,
            request.llm_model,
            request.llm_key_file,
            request.speech_model,
            request.speech_voice,
        )
    elif request.speech_voice is not None:
        endpoint = replace(endpoint, speech_voice=request.speech_voice)
    voice = LanguageVoice(
        endpoint,
        request.ask or "",
        persona=request.persona,
        voice=request.voice,
        codes=request.reply_codes,
        notify=notify,
    )
    return _wanted(listen(StoppableVoice(voice, progress)), request)


def _wanted(said: SpokenReply, request: MotionRequest) -> SpokenReply:
    """With those codes alone that the user has not overridden."""
    codes = tuple(
        code
        for code in said.codes
        if request.reply_codes and not (code.kind == "emotion" and request.emotion_given)
    )
    return replace(said, codes=codes)


def _load(source: Source | Waveform | None, reader: Reader) -> Sound | None:
    if source is None or isinstance(source, Waveform):
        return source
    return reader.sound(Path(source))


def _name(source: Source | Waveform | None, fallback: str) -> str:
    return os.fspath(source) if isinstance(source, str | os.PathLike) else fallback


def _sound_of(path: Path, reader: Reader) -> Sound | None:
    """The sound of a video, or None when it has no sound track."""
    return None if reader.info(path).audio_codec is None else reader.sound(path)


def _tell_unheard(request: MotionRequest, agent: Sound | None, notify: Notify) -> None:
    """A driven face needs no voice; say what comes of having none."""
    if agent is None:
        notify(f"{request.driving_video} has no sound track: the video is silent")
    silent = agent is None or not (agent.peak and agent.has_speech)
    if silent and request.driving_regions == "head":
        notify("nobody speaks: the lips, which follow the sound, stay closed")
