"""Gestures with a time: nods, shakes, raised brows, smiles, winks, looks.

A gesture is placed by a person, a timeline or a transcript, and lands on its frame: frame f shows
it as it is at f / 25 s. Shapes start and end at zero, without a jump:

nod         pitch, 2 cycles a second (Hadar 1983: ordinary nods 1.9-3.6 Hz), the first the largest
            and the last with a third of it (Mori 2025); 6 degrees, about the most that listeners of
            video calls do
shake       yaw, 1.8 cycles a second, 8 degrees, swelling and dying away; a little roll
tilt        roll of 8 degrees, held
brow-raise  AU 1 + 2, up in 200 ms, down in 300 ms
smile       AU 12 + 6, an onset of half a second (Schmidt 2003), and a slower end
frown       AU 4 and a little AU 15
blink       the curve of spontaneous ones (see events.py)
wink        one lid, its cheek and the corner of the mouth, in about half a second
look-away   the eyes leave for 12 degrees, the head follows by a part, and both come back in time
look-at     the eyes go to a direction (the camera when none is named) and stay

Looks are targets, not offsets: the process of gaze follows them with its own saccades and head
share. In a nod or shake the eyes turn against the head and stay where they look (the vestibulo-
ocular reflex). What the head and the lids do by themselves goes on below gestures.
"""

import math
from bisect import bisect_left, bisect_right
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Float

from audio2motion.behaviour.events import BROW_CHANNEL, CHEEK_CHANNELS, SMILE_CHANNELS
from audio2motion.behaviour.eyes import BLINK_CHANNELS, BLINK_DEPTH, blink_curve
from audio2motion.saveable import saveable
from motion2video.motion import (
    EYE_TURN_DEGREES,
    FPS,
    MOTION_DIM,
    ROTATION,
    TRANSLATION,
    channel_index,
)
from weights.errors import InputError

Aim = tuple[float, float]
"""A direction in degrees: to the picture's right, and up."""

SHORTEST_S, LONGEST_S = 0.08, 60.0
STRONGEST = 2.0
WIDEST = 40.0
"""Degrees: the farthest look."""
LATEST_S = 24 * 3600.0
PITCH, YAW, ROLL = range(ROTATION.start, ROTATION.stop)
LOOK_KINDS = ("look-away", "look-at")
REGIONS: dict[str, str] = {
    "nod": "head",
    "shake": "head",
    "tilt": "head",
    "brow-raise": "brows",
    "frown": "brows",
    "smile": "mouth",
    "blink": "lids",
    "wink": "lids",
    "look-away": "gaze",
    "look-at": "gaze",
}
"""What a gesture moves: two of the same region cannot be seen at once."""
# Kind: (seconds, aim) unless told otherwise.
DEFAULTS: dict[str, tuple[float, Aim]] = {
    "nod": (1.0, (0.0, 0.0)),
    "shake": (1.2, (0.0, 0.0)),
    "tilt": (1.4, (1.0, 0.0)),
    "brow-raise": (0.7, (0.0, 0.0)),
    "smile": (2.0, (0.0, 0.0)),
    "frown": (1.5, (0.0, 0.0)),
    "blink": (0.3, (0.0, 0.0)),
    "wink": (0.5, (1.0, 0.0)),
    "look-away": (1.2, (-12.0, -3.0)),
    "look-at": (1.5, (0.0, 0.0)),
}
KINDS = tuple(DEFAULTS)
AIMED = ("tilt", "wink", *LOOK_KINDS)
"""Kinds for which the aim counts; of a tilt or wink only whether it is left or right."""

NOD_HZ, NOD_DEGREES, NOD_END = 2.0, 6.0, 0.35
SHAKE_HZ, SHAKE_DEGREES, SHAKE_ROLL = 1.8, 8.0, 0.12
TILT_DEGREES = 8.0
RETURN_S = 0.2
"""At the end of a look-away: the time that the eyes need to be back."""


@saveable
@dataclass(frozen=True)
class Span:
    """Where a gesture comes from: characters `first` to `last` (exclusive) of the transcript, the
    word (or words) there, and what they were taken for, such as "negation"; "code" for a code.
    """

    first: int
    last: int
    word: str
    meaning: str


@saveable
@dataclass(frozen=True)
class Gesture:
    """One gesture: `kind` is one of KINDS, from `start` for `duration` seconds, at `intensity`
    0..2, towards `aim` for those in AIMED; `source` is None when a person placed it. See
    `Gesture.at` for defaults. Raises InputError for values outside.
    """

    kind: str
    start: float
    duration: float
    intensity: float
    aim: Aim
    source: Span | None = None

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise InputError(f"there is no gesture {self.kind!r}; wanted one of {', '.join(KINDS)}")
        for name, value, low, high, unit in (
            ("start", self.start, 0.0, LATEST_S, " s"),
            ("duration", self.duration, SHORTEST_S, LONGEST_S, " s"),
            ("intensity", self.intensity, 0.0, STRONGEST, ""),
        ):
            if not low <= value <= high:
                raise InputError(
                    f"got the {self.kind} with {name} {value:g}{unit}; wanted {low:g} to "
                    f"{high:g}{unit}"
                )
        if not all(abs(a) <= WIDEST for a in self.aim):
            raise InputError(
                f"got the {self.kind} towards {self.aim[0]:g},{self.aim[1]:g}; wanted two angles "
                f"within {WIDEST:g} degrees"
            )

    @staticmethod
    def at(
        kind: str,
        start: float,
        duration: float | None = None,
        intensity: float = 1.0,
        aim: Aim | None = None,
        source: Span | None = None,
    ) -> "Gesture":
        """A gesture with the duration and aim of its kind where they are None."""
        seconds, towards = DEFAULTS.get(kind, (1.0, (0.0, 0.0)))
        return Gesture(
            kind,
            float(start),
            seconds if duration is None else float(duration),
            float(intensity),
            towards if aim is None else aim,
            source,
        )

    @property
    def end(self) -> float:
        """When it is over, in seconds."""
        return self.start + self.duration

    @property
    def region(self) -> str:
        """Which of REGIONS it moves."""
        return REGIONS[self.kind]

    def __str__(self) -> str:
        return f"{self.kind}@{self.start:g}"


@dataclass(frozen=True)
class GestureSchedule:
    """All gestures of a stream as functions of the frame; nothing depends on how frames are cut."""

    gestures: tuple[Gesture, ...] = ()

    def offsets(self, first: int, count: int) -> Float[np.ndarray, "n 90"]:
        """What they add to frames `first`, `first + 1`, ... of a motion, looks excepted.

        Of several of one kind at once the strongest counts in each channel; different kinds add
        up.
        """
        t = _seconds(first, count)
        kinds: dict[str, Float[np.ndarray, "n 90"]] = {}
        for gesture in self._near(t):
            if gesture.kind in LOOK_KINDS:
                continue
            shape = _shape(gesture, t - gesture.start)
            best = kinds.setdefault(gesture.kind, shape)
            kinds[gesture.kind] = np.where(np.abs(shape) > np.abs(best), shape, best)
        return sum(kinds.values(), np.zeros((count, MOTION_DIM), np.float32))

    def gaze(self, first: int, count: int, otherwise: Aim | None) -> list[Aim | None]:
        """Per frame where looks send the eyes; `otherwise` where none does. The last one placed
        wins. The end of a look-away leads back to `otherwise`, or to the partner.
        """
        found: list[Aim | None] = [otherwise] * count
        t = _seconds(first, count)
        for gesture in self._near(t):
            if gesture.kind not in LOOK_KINDS:
                continue
            gain = gesture.intensity if gesture.kind == "look-away" else 1.0
            aim = (_bounded(gain * gesture.aim[0]), _bounded(gain * gesture.aim[1]))
            back = gesture.end - min(RETURN_S, 0.5 * gesture.duration)
            for i in np.flatnonzero((t >= gesture.start) & (t < gesture.end)):
                leaving = gesture.kind == "look-at" or t[i] < back
                found[i] = aim if leaving else otherwise or (0.0, 0.0)
        return found

    def _near(self, t: Float[np.ndarray, "n"]) -> list[Gesture]:
        """Those that can matter at the times `t`."""
        if not len(t):
            return []
        room = 1 / FPS
        starts, places = self._by_start
        near = slice(
            bisect_left(starts, t[0] - room - LONGEST_S), bisect_right(starts, t[-1] + room)
        )
        found = (self.gestures[i] for i in sorted(places[near]))
        return [g for g in found if g.start - room <= t[-1] and t[0] <= g.end + room]

    @cached_property
    def _by_start(self) -> tuple[list[float], list[int]]:
        """When gestures start, in order of time, and which of `gestures` each is."""
        places = sorted(range(len(self.gestures)), key=lambda i: self.gestures[i].start)
        return [self.gestures[i].start for i in places], places


def _seconds(first: int, count: int) -> Float[np.ndarray, "n"]:
    return np.arange(first, first + count) / FPS


def _bounded(degrees: float) -> float:
    return max(-WIDEST, min(WIDEST, degrees))


def _shape(gesture: Gesture, t: Float[np.ndarray, "n"]) -> Float[np.ndarray, "n 90"]:
    """What one gesture adds, `t` seconds after its start."""
    out = np.zeros((len(t), MOTION_DIM), np.float32)
    on = (t > 0) & (t < gesture.duration)
    if on.any():
        part = np.zeros((int(on.sum()), MOTION_DIM))
        _DRAW[gesture.kind](part, t[on], gesture)
        out[on] = part
    return out


def _held(
    t: Float[np.ndarray, "n"], duration: float, rise: float, fall: float
) -> Float[np.ndarray, "n"]:
    """0..1: up in a raised cosine, held, and down again; squeezed when there is no room."""
    squeeze = min(1.0, duration / (rise + fall))
    up = np.clip(t / (rise * squeeze), 0, 1)
    down = np.clip((duration - t) / (fall * squeeze), 0, 1)
    return (0.5 - 0.5 * np.cos(np.pi * up)) * (0.5 - 0.5 * np.cos(np.pi * down))


def _nod(out: np.ndarray, t: np.ndarray, gesture: Gesture) -> None:
    cycles = max(1, round(gesture.duration * NOD_HZ))
    phase = t / gesture.duration * cycles
    fade = 1 - (1 - NOD_END) * np.clip((phase - 1) / max(cycles - 1, 1), 0, 1)
    size = math.radians(NOD_DEGREES) * gesture.intensity
    pitch = size * fade * (0.5 - 0.5 * np.cos(2 * np.pi * phase))
    out[:, PITCH] = pitch
    # A nodding head moves down with the chin.
    out[:, TRANSLATION.start + 1] = -0.3 * pitch
    _keep_gaze(out)


def _shake(out: np.ndarray, t: np.ndarray, gesture: Gesture) -> None:
    cycles = max(1, round(gesture.duration * SHAKE_HZ))
    size = math.radians(SHAKE_DEGREES) * gesture.intensity
    swell = _held(t, gesture.duration, 0.2, 0.45)
    out[:, YAW] = size * swell * np.sin(2 * np.pi * t / gesture.duration * cycles)
    out[:, ROLL] = -SHAKE_ROLL * out[:, YAW]
    _keep_gaze(out)


def _tilt(out: np.ndarray, t: np.ndarray, gesture: Gesture) -> None:
    size = math.radians(TILT_DEGREES) * gesture.intensity * math.copysign(1, gesture.aim[0])
    held = _held(t, gesture.duration, 0.4, 0.5)
    # A positive turn about the axis towards the camera goes to the picture's left.
    out[:, ROLL] = -size * held
    out[:, TRANSLATION.start] = 0.25 * size * held


def _brow_raise(out: np.ndarray, t: np.ndarray, gesture: Gesture) -> None:
    held = gesture.intensity * _held(t, gesture.duration, 0.2, 0.3)
    out[:, BROW_CHANNEL] = 0.55 * held
    out[:, _both("browOuterUp")] = 0.5 * held[:, None]
    out[:, _both("eyeWide")] = 0.12 * held[:, None]


def _smile(out: np.ndarray, t: np.ndarray, gesture: Gesture) -> None:
    held = gesture.intensity * _held(t, gesture.duration, 0.5, 0.7)[:, None]
    out[:, list(SMILE_CHANNELS)] = 0.5 * held
    out[:, list(CHEEK_CHANNELS)] = 0.3 * held
    out[:, _both("eyeSquint")] = 0.15 * held


def _frown(out: np.ndarray, t: np.ndarray, gesture: Gesture) -> None:
    held = gesture.intensity * _held(t, gesture.duration, 0.3, 0.4)[:, None]
    out[:, _both("browDown")] = 0.6 * held
    out[:, _both("mouthFrown")] = 0.25 * held
    out[:, _both("eyeSquint")] = 0.15 * held


def _blink(out: np.ndarray, t: np.ndarray, gesture: Gesture) -> None:
    out[:, list(BLINK_CHANNELS)] = _lid(t, gesture)[:, None]


def _wink(out: np.ndarray, t: np.ndarray, gesture: Gesture) -> None:
    # The picture's right is the person's left.
    side = "Left" if gesture.aim[0] >= 0 else "Right"
    lid = _lid(t, gesture)
    with_it = gesture.intensity * _held(t, gesture.duration, 0.15, 0.25)
    out[:, channel_index(f"eyeBlink{side}")] = lid
    for name, amount in (("cheekSquint", 0.45), ("mouthSmile", 0.25), ("browDown", 0.2)):
        out[:, channel_index(f"{name}{side}")] = amount * with_it


def _lid(t: np.ndarray, gesture: Gesture) -> Float[np.ndarray, "n"]:
    """A lid that shuts: 90 ms down, 170 ms up and shut between, faster when there is less time."""
    ms = 1000 * gesture.duration
    close, rise = min(90.0, 0.3 * ms), min(170.0, 0.55 * ms)
    depth = BLINK_DEPTH * min(1.0, gesture.intensity)
    curve = [blink_curve(1000 * s, close, ms - close - rise, rise) for s in t.tolist()]
    return depth * np.array(curve)


def _keep_gaze(out: np.ndarray) -> None:
    """Turn the eyes against the head, so that they stay where they look."""
    up = np.degrees(out[:, PITCH]) / EYE_TURN_DEGREES
    right = -np.degrees(out[:, YAW]) / EYE_TURN_DEGREES
    for names, turn in (
        (("eyeLookUpLeft", "eyeLookUpRight"), up),
        (("eyeLookDownLeft", "eyeLookDownRight"), -up),
        (("eyeLookOutLeft", "eyeLookInRight"), right),
        (("eyeLookInLeft", "eyeLookOutRight"), -right),
    ):
        for name in names:
            out[:, channel_index(name)] = np.maximum(turn, 0)


def _both(name: str) -> list[int]:
    return [channel_index(f"{name}{side}") for side in ("Left", "Right")]


_DRAW: dict[str, Callable[[np.ndarray, np.ndarray, Gesture], None]] = {
    "nod": _nod,
    "shake": _shake,
    "tilt": _tilt,
    "brow-raise": _brow_raise,
    "smile": _smile,
    "frown": _frown,
    "blink": _blink,
    "wink": _wink,
}
