"""Voices: sound from any container as mono samples, two of them aligned, cut into chunks.

16 kHz against 25 motion frames a second is 640 samples a frame, without a remainder: a stream
never drifts against its picture.
"""

import io
import os
import secrets
import wave
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache, cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float

from audio2motion.hearing.decoding import decode_sound
from audio2motion.saveable import saveable
from motion2video.motion import FPS
from weights.errors import DependencyError, InputError, MediaError, OutputError, StateError
from weights.telemetry import import_onnxruntime

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

SAMPLE_RATE = 16_000
SAMPLES_PER_FRAME = 640
MAX_SECONDS = 2 * 3600.0
SILENT_PEAK = 1e-4
"""A peak below this (-80 dB) is an unplugged microphone, not a quiet voice."""

# The file of the `silero-vad` package that takes the recurrent state from outside.
_VOICE_MODEL = "silero_vad_16k_sequence.onnx"
_WINDOW, _CONTEXT = 512, 64
# Hysteresis of speech segments, in probability and motion frames.
_SPEECH_ON, _SPEECH_OFF = 0.5, 0.35
_SHORTEST_SPEECH, _SHORTEST_PAUSE = 4, 5


class Sound(ABC):
    """Mono sound at `sample_rate` hertz that is read piece by piece: a Waveform in memory, a
    Recording on disk.
    """

    sample_rate: int

    @abstractmethod
    def __len__(self) -> int:
        """Samples in all."""

    @abstractmethod
    def read(self, start: int, count: int) -> Float[np.ndarray, "n"]:
        """float32 samples `start` to `start + count`; fewer, or none, at the end."""

    def blocks(self) -> Iterator[Float[np.ndarray, "n"]]:
        """All samples, a second or less at a time."""
        for start in range(0, len(self), self.sample_rate):
            yield self.read(start, self.sample_rate)

    @property
    def seconds(self) -> float:
        """Length in seconds."""
        return len(self) / self.sample_rate

    @property
    def frames(self) -> int:
        """Motion frames that the sound reaches into: the last may be partly filled."""
        return -(-len(self) * int(FPS) // self.sample_rate)

    @cached_property
    def peak(self) -> float:
        """Largest magnitude of a sample; 0 for no samples."""
        return max((float(np.abs(block).max()) for block in self.blocks()), default=0.0)

    @cached_property
    def has_speech(self) -> bool:
        """Whether somebody speaks anywhere in it (computed once; needs 16 kHz)."""
        return next(_find_speech(self), None) is not None

    @cached_property
    def speech_end(self) -> float:
        """Seconds at which the last of the speech in it ends; 0 without any (needs 16 kHz)."""
        return max((end for _, end in _find_speech(self)), default=0.0)

    def require_sound(self, name: str = "the sound") -> None:
        """Raise MediaError, calling the recording `name`, when nothing can be heard in it."""
        if self.peak < SILENT_PEAK:
            raise MediaError(
                f"{name} is silent (its peak is {self.peak:.1e} of full scale); "
                "check the microphone or the track, and record it again"
            )

    def require_speech(self, name: str = "the sound") -> None:
        """Raise MediaError, calling the recording `name`, when nobody speaks in it."""
        self.require_sound(name)
        if not self.has_speech:
            raise MediaError(
                f"no speech was found in {name}; wanted a recording of somebody speaking"
            )


@dataclass(frozen=True, eq=False)
class Waveform(Sound):
    """Mono `samples` [N] float32, full scale at -1 and 1, at `sample_rate` hertz.

    Raises MediaError for samples that are not finite or not one row, or a rate below 1.
    """

    samples: Float[np.ndarray, "N"]
    sample_rate: int = SAMPLE_RATE  # pyrefly: ignore[bad-override] # frozen here

    def __post_init__(self) -> None:
        samples = np.ascontiguousarray(self.samples, dtype=np.float32)
        if samples.ndim != 1:
            raise MediaError(f"got sound of shape {samples.shape}; wanted one row of samples")
        if not np.isfinite(samples).all():
            raise MediaError("got sound with values that are not finite numbers")
        if self.sample_rate < 1:
            raise MediaError(f"got a sample rate of {self.sample_rate}; wanted at least 1 Hz")
        object.__setattr__(self, "samples", samples)

    def __len__(self) -> int:
        return len(self.samples)

    def read(self, start: int, count: int) -> Float[np.ndarray, "n"]:
        """float32 samples `start` to `start + count`; fewer, or none, at the end."""
        return self.samples[start : start + count]

    def pad_to(self, count: int) -> "Waveform":
        """The same sound followed by silence, `count` samples in all.

        Raises ValueError when it is longer than that already.
        """
        if count < len(self.samples):
            raise ValueError(f"got {len(self.samples)} samples to pad to {count}")
        padded = np.zeros(count, np.float32)
        padded[: len(self.samples)] = self.samples
        return Waveform(padded, self.sample_rate)

    @staticmethod
    def silence(seconds: float, sample_rate: int = SAMPLE_RATE) -> "Waveform":
        """Nothing to hear for `seconds`."""
        return Waveform(np.zeros(round(seconds * sample_rate), np.float32), sample_rate)

    @staticmethod
    def load(
        path: str | os.PathLike[str],
        sample_rate: int = SAMPLE_RATE,
        max_seconds: float = MAX_SECONDS,
    ) -> "Waveform":
        """Read the sound of any common audio or video file as mono at `sample_rate`.

        Sample 0 is time 0 of the picture, where there is one. Raises MediaError for a file that
        is not there, is not sound, is cut off or damaged, has no samples, or lasts longer than
        `max_seconds`.
        """
        return Waveform(decode_sound(Path(path), sample_rate, max_seconds), sample_rate)

    def to_wav(self) -> bytes:
        """As a 16-bit `.wav` file."""
        data = np.clip(np.rint(self.samples * 32768.0), -32768, 32767).astype("<i2").tobytes()
        file = io.BytesIO()
        with wave.open(file, "wb") as writer:
            writer.setnchannels(1)
            writer.setsampwidth(2)
            writer.setframerate(self.sample_rate)
            writer.writeframes(data)
        return file.getvalue()

    @staticmethod
    def of_wav(data: bytes, name: str) -> "Waveform":
        """What `to_wav` gave; messages call it `name`. Raises MediaError for any other file."""
        try:
            with wave.open(io.BytesIO(data)) as reader:
                if (reader.getnchannels(), reader.getsampwidth()) != (1, 2):
                    raise MediaError(f"{name} is not a 16-bit .wav of one channel")
                rate, held = reader.getframerate(), reader.readframes(reader.getnframes())
        except (wave.Error, EOFError) as error:
            raise MediaError(f"{name} is not a .wav file: {error}") from error
        return Waveform(np.frombuffer(held, "<i2").astype(np.float32) / 32768.0, rate)

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write a 16-bit `.wav` (under a temporary name, then renamed).

        Raises InputError for another ending, OutputError when the place cannot be written.
        """
        path = Path(path)
        if path.suffix.lower() != ".wav":
            raise InputError(f"sound is written as .wav; got the name {path.name}")
        if path.is_dir():
            raise OutputError(f"{path} is a folder; give a file name for the sound")
        temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
        try:
            with temporary.open("xb") as file:
                file.write(self.to_wav())
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)
        except OSError as error:
            raise OutputError(f"cannot write the sound to {path}: {error.strerror}") from error
        finally:
            temporary.unlink(missing_ok=True)
        return path


@dataclass(frozen=True, eq=False)
class Dyad:
    """Two voices on one clock: the agent (who is in the photo) and, maybe, the interlocutor.

    Raises MediaError unless both are at 16 kHz and of the same length; see `Dyad.align`.
    """

    agent: Waveform
    interlocutor: Waveform | None = None

    def __post_init__(self) -> None:
        for voice in (self.agent, self.interlocutor):
            if voice is not None and voice.sample_rate != SAMPLE_RATE:
                raise MediaError(f"got a voice at {voice.sample_rate} Hz; wanted {SAMPLE_RATE}")
        if self.interlocutor is not None and len(self.interlocutor) != len(self.agent):
            raise MediaError(
                f"got {len(self.agent)} samples of the agent and {len(self.interlocutor)} of the "
                "interlocutor; align them with Dyad.align"
            )

    @staticmethod
    def align(
        agent: Waveform, interlocutor: Waveform | None = None
    ) -> "tuple[Dyad, tuple[str, ...]]":
        """Pad the shorter voice with silence. Returns the dyad and what there is to tell."""
        if interlocutor is None or len(interlocutor) == len(agent):
            return Dyad(agent, interlocutor), ()
        count = max(len(agent), len(interlocutor))
        missing = abs(len(agent) - len(interlocutor)) / SAMPLE_RATE
        shorter = "agent" if len(agent) < count else "interlocutor"
        longer = "interlocutor" if shorter == "agent" else "agent"
        notice = (
            f"the {shorter}'s audio is {missing:.3g} s shorter than the {longer}'s: "
            "silence was added at its end"
        )
        return Dyad(agent.pad_to(count), interlocutor.pad_to(count)), (notice,)

    @property
    def frames(self) -> int:
        """Motion frames that the voices reach into."""
        return self.agent.frames

    @property
    def seconds(self) -> float:
        """Length in seconds."""
        return self.agent.seconds

    def chunks(self, frames: int = 5) -> "Iterator[Dyad]":
        """The dyad in pieces of `frames` motion frames; the last may be shorter.

        Nothing is padded: the pieces joined are the dyad. Raises ValueError for frames < 1.
        """
        if frames < 1:
            raise ValueError(f"got chunks of {frames} frames; wanted at least 1")
        step = frames * SAMPLES_PER_FRAME
        for start in range(0, len(self.agent), step):
            agent = Waveform(self.agent.samples[start : start + step])
            other = self.interlocutor
            yield Dyad(agent, other and Waveform(other.samples[start : start + step]))


class Rechunker:
    """Turns pieces of any length into chunks of exactly `size` samples; one per stream."""

    def __init__(self, size: int) -> None:
        if size < 1:
            raise ValueError(f"got chunks of {size} samples; wanted at least 1")
        self.size = size
        self._rest = np.empty(0, np.float32)
        self._finished = False

    def push(self, samples: Float[np.ndarray, "n"]) -> list[Float[np.ndarray, "size"]]:
        """Take `samples` in; returns the chunks that are now full, oldest first.

        Raises StateError after `flush`.
        """
        if self._finished:
            raise StateError("this stream of sound has ended; start a new one")
        joined = np.concatenate([self._rest, np.asarray(samples, np.float32)])
        full = len(joined) // self.size
        self._rest = joined[full * self.size :].copy()
        return [joined[i * self.size : (i + 1) * self.size] for i in range(full)]

    def flush(self) -> tuple[Float[np.ndarray, "size"], int]:
        """End the stream: what was left, padded with silence, and how many samples it was.

        The count is 0 when nothing was left. Raises StateError the second time.
        """
        if self._finished:
            raise StateError("this stream of sound has ended; start a new one")
        self._finished = True
        chunk = np.zeros(self.size, np.float32)
        chunk[: len(self._rest)] = self._rest
        return chunk, len(self._rest)


@saveable
@dataclass(frozen=True, eq=False)
class VoiceActivityState:
    """Where a `VoiceActivity` stream stands, to store it or to go on from it."""

    hidden: Float[np.ndarray, "1 1 128"] = field(
        default_factory=lambda: np.zeros((1, 1, 128), np.float32)
    )
    cell: Float[np.ndarray, "1 1 128"] = field(
        default_factory=lambda: np.zeros((1, 1, 128), np.float32)
    )
    buffer: Float[np.ndarray, "n"] = field(default_factory=lambda: np.zeros(_CONTEXT, np.float32))
    received: int = 0
    probability: float = 0.0


class VoiceActivity:
    """Streaming voice activity of one voice: a probability of speech for every motion frame.

    Silero's network looks at windows of 512 samples with the 64 before them. The value of frame
    t is that of the latest window complete by the end of the frame, sample 640 (t + 1): it is
    causal, at most 31 ms old, and does not depend on how the stream was cut. The network is
    shared; the recurrent state is this object's, one per voice.
    """

    def __init__(self, state: VoiceActivityState | None = None) -> None:
        self._network = _voice_model()
        state = state or VoiceActivityState()
        self._hidden, self._cell = state.hidden, state.cell
        # Everything not yet seen, after the context of the next window.
        self._buffer = state.buffer
        self._received = state.received
        self._frames = state.received // SAMPLES_PER_FRAME
        self._windows = self._frames * SAMPLES_PER_FRAME // _WINDOW
        self._probability = state.probability
        self._finished = False

    @property
    def state(self) -> VoiceActivityState:
        """Where the stream stands; `VoiceActivity(state)` goes on from there."""
        return VoiceActivityState(
            self._hidden, self._cell, self._buffer, self._received, self._probability
        )

    def push(self, samples: Float[np.ndarray, "n"]) -> Float[np.ndarray, "T"]:
        """Take 16 kHz samples in; returns [T] in 0..1 for the frames they complete.

        Raises StateError after `flush`.
        """
        if self._finished:
            raise StateError("this stream of sound has ended; start a new one")
        self._buffer = np.concatenate([self._buffer, np.asarray(samples, np.float32)])
        self._received += len(samples)
        done = self._frames
        self._frames = self._received // SAMPLES_PER_FRAME
        seen = 0
        values = np.empty(self._frames - done, np.float32)
        for i in range(len(values)):
            while self._windows < (done + i + 1) * SAMPLES_PER_FRAME // _WINDOW:
                self._advance(self._buffer[seen : seen + _CONTEXT + _WINDOW])
                seen += _WINDOW
            values[i] = self._probability
        self._buffer = self._buffer[seen:].copy()
        return values

    def flush(self) -> Float[np.ndarray, "T"]:
        """End the stream; [1] for a last frame that was partly filled, else [0]."""
        missing = -self._received % SAMPLES_PER_FRAME
        values = self.push(np.zeros(missing, np.float32))
        self._finished = True
        return values

    def _advance(self, window: Float[np.ndarray, "576"]) -> None:
        outputs = self._network.run(
            ["speech_probs", "hn", "cn"],
            {"input": window.reshape(1, -1), "h": self._hidden, "c": self._cell},
        )
        probability, self._hidden, self._cell = (np.asarray(o) for o in outputs)
        self._probability = float(probability[0])
        self._windows += 1


def speech_probability(sound: Sound) -> Float[np.ndarray, "T"]:
    """[T] probability of speech in 0..1 for every motion frame.

    Raises MediaError unless the sound is at 16 kHz.
    """
    return np.fromiter(_probabilities(sound), np.float32)


def speech_segments(sound: Sound) -> list[tuple[float, float]]:
    """(start, end) in seconds of the stretches in which somebody speaks, in order.

    A stretch begins when the probability reaches 0.5 and ends when it stays below 0.35 for
    200 ms; one shorter than 160 ms is not speech. Raises MediaError unless at 16 kHz.
    """
    return list(_find_speech(sound))


def _find_speech(sound: Sound) -> Iterator[tuple[float, float]]:
    """The segments of `speech_segments`, each as soon as its end is known."""
    start, end = None, 0
    for frame, probability in enumerate(_probabilities(sound)):
        if probability >= (_SPEECH_ON if start is None else _SPEECH_OFF):
            start, end = frame if start is None else start, frame + 1
        elif start is not None and frame - end + 1 >= _SHORTEST_PAUSE:
            if end - start >= _SHORTEST_SPEECH:
                yield start / FPS, end / FPS
            start = None
    if start is not None and end - start >= _SHORTEST_SPEECH:
        yield start / FPS, min(end / FPS, sound.seconds)


def _probabilities(sound: Sound) -> Iterator[float]:
    """The values of `speech_probability`, a second at a time."""
    if sound.sample_rate != SAMPLE_RATE:
        raise MediaError(f"got a voice at {sound.sample_rate} Hz; wanted {SAMPLE_RATE}")
    activity = VoiceActivity()
    for block in sound.blocks():
        yield from activity.push(block).tolist()
    yield from activity.flush().tolist()


@cache
def _voice_model() -> "InferenceSession":
    """Silero's voice activity network (MIT), shared by all streams.

    The package itself is not imported: on import it sets torch's thread count for the process.
    """
    package = find_spec("silero_vad")
    if package is None or package.origin is None:
        raise DependencyError(
            "finding speech needs the package silero-vad: pip install 'silero-vad>=6.2.3'"
        )
    path = Path(package.origin).parent / "data" / _VOICE_MODEL
    if not path.is_file():
        raise DependencyError(
            f"the installed silero-vad has no {_VOICE_MODEL}: pip install 'silero-vad>=6.2.3'"
        )
    onnxruntime = import_onnxruntime()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
