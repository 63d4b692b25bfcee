"""Values out of strangers' files, decoded in a sandbox and checked here, type by type."""

import base64
import dataclasses
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn, get_args

import numpy as np
from jaxtyping import Float, UInt8

from app.intake.inspection import Kind
from app.intake.limits import Limits
from app.intake.sandbox import Check, Sandbox
from app.intake.wire import Message
from app.provenance.credentials import Credentials, State
from app.render.reading import Picture
from audio2motion.gestures.gestures import Gesture, Span
from audio2motion.gestures.transcript import Transcript, Word
from audio2motion.hearing.audio import MAX_SECONDS, SAMPLE_RATE, Sound
from audio2motion.hearing.recording import Recording
from motion2video.media.container import MediaInfo
from motion2video.media.video import MAX_PIXELS
from motion2video.motion import MOTION_DIM, Motion, Rest
from motion2video.portrait.portrait import MAX_SIDE
from weights.errors import InputError, MediaError

_MOST_SOUND, _MOST_WORDS = 64 * 10**6, 32 * 10**6
_MOST_MOTION = 512 * 10**6
_MOST_NOTICES = 8
_SUFFIX = re.compile(r"\.[a-z0-9]{1,8}")


@dataclasses.dataclass(frozen=True, eq=False)
class SandboxReader:
    """A Reader of strangers' files; what `check` raises while a file is read ends that."""

    sandbox: Sandbox
    check: Check | None = None

    def inspect(self, path: Path, wanted: tuple[Kind, ...], limits: Limits) -> tuple[Kind, str]:
        """As app.intake.inspection.inspect."""
        arguments = {
            "wanted": wanted,
            "max_pixels": limits.max_pixels,
            "max_seconds": limits.max_seconds,
        }
        value = self._one("inspect", path, arguments).value
        if not (isinstance(value, list) and len(value) == 2):
            _nonsense(path)
        kind, suffix = value
        known = kind in get_args(Kind) and isinstance(suffix, str)
        if not (known and _SUFFIX.fullmatch(suffix)):
            _nonsense(path)
        return kind, suffix

    def picture(self, path: Path) -> Picture:
        """As motion2video.portrait.portrait.load_image."""
        message = self._one("picture", path, {}, 3 * MAX_SIDE**2)
        told = message.value
        if not isinstance(told, list) or len(told) > _MOST_NOTICES or not _is_texts(told):
            _nonsense(path)
        return _rgb(message, path), tuple(told)

    def sound(self, path: Path, channel: int | None = None) -> Sound:
        """As Recording.load, at 16 kHz."""
        return Recording.of(self._pieces(path, channel), SAMPLE_RATE, path)

    def _pieces(self, path: Path, channel: int | None) -> Iterator[Float[np.ndarray, "n"]]:
        left = round(MAX_SECONDS * SAMPLE_RATE) + SAMPLE_RATE
        arguments = {"sample_rate": SAMPLE_RATE, "max_seconds": MAX_SECONDS, "channel": channel}
        for message in self._messages("sound", path, arguments, _MOST_SOUND):
            samples = _array(message, path, np.float32, 1)
            left -= len(samples)
            if left < 0 or not np.abs(samples).max(initial=0) <= 1:
                _nonsense(path)
            yield samples

    def info(self, path: Path) -> MediaInfo:
        """As motion2video.media.container.probe."""
        value = self._one("info", path, {}).value
        fields = dataclasses.fields(MediaInfo)
        if not isinstance(value, dict) or set(value) != {field.name for field in fields}:
            _nonsense(path)
        size = value["size"]
        try:
            value["size"] = None if size is None else (int(size[0]), int(size[1]))
            float(value["seconds"])
        except (TypeError, ValueError, IndexError, OverflowError):
            _nonsense(path)
        for name, item in value.items():
            if name != "size" and not isinstance(item, str | int | float | None):
                _nonsense(path)
        return MediaInfo(**value)

    def frames(self, path: Path, fps: float | None) -> Iterator[UInt8[np.ndarray, "H W 3"]]:
        """As motion2video.media.video.frames_at; None: as `stored_frames` there."""
        for message in self._messages("frames", path, {"fps": fps}, 3 * MAX_PIXELS):
            yield _rgb(message, path)

    def motion(self, path: Path) -> Motion:
        """As motion2video.exchange.read_motion."""
        message = self._one("motion", path, {}, _MOST_MOTION)
        fps = message.value
        if not isinstance(fps, float) or len(message.arrays) not in (2, 4):
            _nonsense(path)
        values, valid, *rest = message.arrays
        if values.dtype != np.float32 or values.shape[1:] != (MOTION_DIM,) or valid.dtype != bool:
            _nonsense(path)
        return Motion(values, fps, valid, Rest.of_arrays(*rest) if rest else None)

    def gestures(self, path: Path) -> tuple[Gesture, ...]:
        """As audio2motion.gestures.timeline.load_timeline."""
        value = self._one("gestures", path, {}).value
        if not isinstance(value, list):
            _nonsense(path)
        return tuple(_gesture(item, path) for item in value)

    def transcript(self, path: Path) -> Transcript:
        """As Transcript.load."""
        message = self._one("transcript", path, {}, _MOST_WORDS)
        value = message.value
        if not isinstance(value, dict) or not isinstance(value.get("text"), str):
            _nonsense(path)
        text, language = value["text"], value.get("language")
        words = _array(message, path, np.float64, 2)
        fits = words.shape[1] == 4 and np.isfinite(words).all()
        places = words[:, :2] if fits else np.full((1, 2), -1.0)
        inside = (places >= 0) & (places <= len(text)) & (places == np.floor(places))
        if not inside.all() or not isinstance(language, str | None):
            _nonsense(path)
        read = tuple(Word(int(a), int(b), start, end) for a, b, start, end in words.tolist())
        return Transcript(text, read, language)

    def credentials(
        self, path: Path, anchors: str = "", beside: bytes | None = None
    ) -> Credentials | None:
        """As app.provenance.credentials.read."""
        text = None if beside is None else base64.b64encode(beside).decode()
        value = self._one("credentials", path, {"anchors": anchors, "beside": text}).value
        if value is None:
            return None
        names = {field.name for field in dataclasses.fields(Credentials)}
        if not isinstance(value, dict) or set(value) != names:
            _nonsense(path)
        state, synthetic = value.pop("state"), value.pop("synthetic")
        fits = state in get_args(State) and isinstance(synthetic, bool)
        if not fits or not all(isinstance(item, str | None) for item in value.values()):
            _nonsense(path)
        return Credentials(state, synthetic=synthetic, **value)

    def pictures(self, path: Path) -> Iterator[UInt8[np.ndarray, "H W 3"]]:
        """As app.provenance.looking.pictures."""
        for message in self._messages("pictures", path, {}, 3 * MAX_PIXELS):
            yield _rgb(message, path)

    def rows(self, path: Path) -> list[dict[str, Any]]:
        """As app.intake.visitor_manifest.read_rows."""
        value = self._one("manifest", path, {}).value
        if not isinstance(value, list) or not all(isinstance(row, dict) for row in value):
            _nonsense(path)
        return value

    def _messages(
        self, operation: str, path: Path, arguments: dict[str, Any], most_bytes: int
    ) -> Iterator[Message]:
        return self.sandbox.messages(operation, path, arguments, most_bytes, self.check)

    def _one(
        self, operation: str, path: Path, arguments: dict[str, Any], most_bytes: int = 0
    ) -> Message:
        """The only message of an operation."""
        found = None
        for message in self._messages(operation, path, arguments, most_bytes):
            if found is not None:
                _nonsense(path)
            found = message
        return _nonsense(path) if found is None else found


def _nonsense(path: Path) -> NoReturn:
    """A decoder that answers so is not ours any more."""
    raise MediaError(f"{os.fspath(path)} cannot be read: its decoder gave an impossible answer")


def _array(message: Message, path: Path, dtype: Any, axes: int) -> np.ndarray:
    if len(message.arrays) != 1:
        _nonsense(path)
    (array,) = message.arrays
    if array.dtype != dtype or array.ndim != axes:
        _nonsense(path)
    return array


def _rgb(message: Message, path: Path) -> UInt8[np.ndarray, "H W 3"]:
    array = _array(message, path, np.uint8, 3)
    if array.shape[2] != 3 or 0 in array.shape:
        _nonsense(path)
    return array


def _is_texts(value: list[Any]) -> bool:
    return all(isinstance(item, str) for item in value)


def _gesture(item: Any, path: Path) -> Gesture:
    try:
        values = dict(item)
        source, (right, up) = values.pop("source"), values.pop("aim")
        span = None if source is None else Span(**source)
        return Gesture(**values, source=span, aim=(float(right), float(up)))
    except InputError:
        raise
    except (TypeError, ValueError, KeyError):
        _nonsense(path)
