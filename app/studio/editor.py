"""Editing a motion by hand: scale, shift, smooth, trim, add a gesture. No screen, no files.

Every edit of a range fades in and out inside it, by a raised cosine over `BLEND_S`, and leaves
every row outside bit-identical. That is what lets a video be mended without drawing it anew: see
frame_cache.py for which frames are drawn, and project.py for how the file is put together.
"""

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float

from audio2motion.gestures.controls import REGION_CHANNELS
from audio2motion.gestures.gestures import KINDS, LOOK_KINDS, Gesture, GestureSchedule
from motion2video.motion import FPS, ROTATION, TRANSLATION, Motion, channel_index
from weights.errors import InputError

BLEND_S = 0.12
"""Seconds over which an edit fades at each end of its range; less where the range is short."""
SHORTEST_TRIM_S = 0.2
GESTURES = tuple(kind for kind in KINDS if kind not in LOOK_KINDS)
"""What can be inserted: looks steer the process that makes the gaze, so they come before it."""
REGIONS = tuple(REGION_CHANNELS)


@dataclass(frozen=True)
class Curve:
    """One curve of the editor: the mean of `columns`, times `scale`, in `unit`."""

    columns: tuple[int, ...]
    unit: str = ""
    scale: float = 1.0


def _sides(name: str) -> Curve:
    return Curve((channel_index(f"{name}Left"), channel_index(f"{name}Right")))


_DEGREES = float(np.degrees(1))
CURVES: dict[str, Curve] = {
    "jaw open": Curve((channel_index("jawOpen"),)),
    "smile": _sides("mouthSmile"),
    "pucker": Curve((channel_index("mouthPucker"),)),
    "brows up": Curve((channel_index("browInnerUp"),)),
    "brows down": _sides("browDown"),
    "blink": _sides("eyeBlink"),
    "head pitch": Curve((ROTATION.start,), "°", _DEGREES),
    "head yaw": Curve((ROTATION.start + 1,), "°", _DEGREES),
    "head roll": Curve((ROTATION.start + 2,), "°", _DEGREES),
    "head across": Curve((TRANSLATION.start,), " eye distances"),
    "head up": Curve((TRANSLATION.start + 1,), " eye distances"),
}


@dataclass(frozen=True, eq=False)
class Take:
    """A motion under the editor's hands. `start` is how many seconds of the sound come before it,
    `gestures` are those known to be in it, `edits` what was done so far, in words.
    """

    motion: Motion
    gestures: tuple[Gesture, ...] = ()
    start: float = 0.0
    edits: tuple[str, ...] = ()

    @property
    def seconds(self) -> float:
        """Length in seconds."""
        return self.motion.seconds

    def curve(self, name: str) -> Float[np.ndarray, "T"]:
        """One of CURVES, in its unit."""
        curve = CURVES[name]
        return self.motion.values[:, list(curve.columns)].mean(1) * curve.scale


def scale(take: Take, region: str, start: float, end: float, factor: float) -> Take:
    """Make a region of the face move `factor` (0..3) times as far between two times in seconds.

    Raises InputError for a region or factor that is not there, or a range without a frame.
    """
    if not 0 <= factor <= 3:
        raise InputError(f"got the factor {factor:g}; wanted 0 (still) to 3")
    columns = _columns(region)
    weight = _weight(take, start, end)
    values = take.motion.values[:, columns]
    changed = values * (1 + weight * np.float32(factor - 1))
    return _edited(take, columns, changed, weight, f"{region} × {factor:g}", start, end)


def shift(take: Take, curve: str, start: float, end: float, amount: float) -> Take:
    """Add `amount`, in the curve's unit, to one of CURVES. Raises InputError."""
    if curve not in CURVES:
        raise InputError(f"there is no curve {curve!r}; wanted one of {', '.join(CURVES)}")
    if not abs(amount) <= 45:
        raise InputError(f"got an offset of {amount:g}; wanted -45 to 45")
    shown = CURVES[curve]
    columns = list(shown.columns)
    weight = _weight(take, start, end)
    changed = take.motion.values[:, columns] + weight * np.float32(amount / shown.scale)
    what = f"{curve} {amount:+g}{shown.unit}"
    return _edited(take, columns, changed, weight, what, start, end)


def smooth(take: Take, region: str, start: float, end: float, seconds: float) -> Take:
    """Take out what is faster than about `seconds` (0.02..1, the standard deviation of a Gaussian
    in time). Raises InputError.
    """
    from scipy.ndimage import gaussian_filter1d

    if not 0.02 <= seconds <= 1:
        raise InputError(f"got a smoothing of {seconds:g} s; wanted 0.02 to 1 s")
    columns = _columns(region)
    weight = _weight(take, start, end)
    values = take.motion.values[:, columns]
    even = gaussian_filter1d(values, seconds * take.motion.fps, axis=0, mode="nearest")
    changed = values + weight * (even - values)
    return _edited(take, columns, changed, weight, f"{region} smoothed", start, end)


def insert_gesture(take: Take, gesture: Gesture) -> Take:
    """Add a gesture to what the face does. Raises InputError for a look, or one that would start
    after the end.
    """
    if gesture.kind not in GESTURES:
        raise InputError(
            f"a {gesture.kind} cannot be added to a finished motion; set it when the motion is made"
        )
    if gesture.start >= take.seconds:
        raise InputError(
            f"got the {gesture.kind} at {gesture.start:g} s; the motion ends at {take.seconds:.2f}"
        )
    motion = take.motion
    frames = -(-round(take.seconds * FPS * 1000) // 1000) + 1  # one more, to interpolate towards
    offsets = GestureSchedule((gesture,)).offsets(0, frames)
    added = Motion(offsets).resample(motion.fps).values
    added = np.pad(added, ((0, max(0, len(motion) - len(added))), (0, 0)))[: len(motion)]
    values = motion.values + added
    rows = (added != 0).any(1)
    values[rows] = _within(values[rows], motion.values[rows])
    values[~rows] = motion.values[~rows]
    return replace(
        take,
        motion=Motion(values, motion.fps, motion.mask, motion.rest),
        gestures=tuple(sorted((*take.gestures, gesture), key=lambda g: g.start)),
        edits=(*take.edits, f"{gesture.kind} at {gesture.start:.2f} s"),
    )


def trim(take: Take, start: float, end: float) -> Take:
    """Keep what lies between two times; the sound is cut at the same places. Raises InputError."""
    first, last = _frames(take, start, end)
    rate = take.motion.fps
    if (last - first) / rate < SHORTEST_TRIM_S:
        raise InputError(
            f"got {start:g} to {end:g} s; a trimmed clip lasts at least {SHORTEST_TRIM_S:g} s"
        )
    offset = first / rate
    kept = tuple(
        replace(g, start=max(0.0, g.start - offset))
        for g in take.gestures
        if g.end > offset and g.start < last / rate
    )
    return Take(
        take.motion[first:last],
        kept,
        take.start + offset,
        (*take.edits, f"trimmed to {start:.2f}-{end:.2f} s"),
    )


def _columns(region: str) -> list[int]:
    if region not in REGION_CHANNELS:
        raise InputError(f"there is no region {region!r}; wanted one of {', '.join(REGIONS)}")
    return list(REGION_CHANNELS[region])


def _frames(take: Take, start: float, end: float) -> tuple[int, int]:
    """First frame and the one after the last between two times."""
    rate, count = take.motion.fps, len(take.motion)
    if not (np.isfinite(start) and np.isfinite(end)):
        raise InputError(f"got the range {start} to {end}; wanted two times in seconds")
    first, last = max(0, round(start * rate)), min(count, round(end * rate))
    if last <= first:
        raise InputError(
            f"no frame lies between {start:g} and {end:g} s; choose a range within 0 to "
            f"{take.seconds:.2f} s"
        )
    return first, last


def _weight(take: Take, start: float, end: float) -> Float[np.ndarray, "T 1"]:
    """0 outside the range, 1 inside, and never quite 0 within it. A range that reaches the end of
    the clip does not fade there: nothing follows."""
    first, last = _frames(take, start, end)
    count = len(take.motion)
    blend = max(1.0, min(BLEND_S * take.motion.fps, (last - first) / 3))
    frame = np.arange(count)
    rise = np.full(count, 1.0) if first == 0 else (frame - first + 1) / (blend + 1)
    fall = np.full(count, 1.0) if last == count else (last - frame) / (blend + 1)
    ramp = np.clip(np.minimum(rise, fall), 0, 1)
    weight = 0.5 - 0.5 * np.cos(np.pi * ramp)
    weight[:first] = weight[last:] = 0
    return weight.astype(np.float32)[:, None]


def _edited(
    take: Take,
    columns: list[int],
    changed: Float[np.ndarray, "T c"],
    weight: Float[np.ndarray, "T 1"],
    what: str,
    start: float,
    end: float,
) -> Take:
    """The take with other values in some columns, where the weight is not 0."""
    rows = weight[:, 0] > 0
    values = take.motion.values.copy()
    values[np.flatnonzero(rows)[:, None], columns] = changed[rows]
    values[rows] = _within(values[rows], take.motion.values[rows])
    motion = Motion(values, take.motion.fps, take.motion.mask, take.motion.rest)
    return replace(take, motion=motion, edits=(*take.edits, f"{what}, {start:.2f}-{end:.2f} s"))


def _within(
    values: Float[np.ndarray, "n 90"], before: Float[np.ndarray, "n 90"]
) -> Float[np.ndarray, "n 90"]:
    """Coefficients back in 0..1, unless they were outside before."""
    out = values.copy()
    coefficients = np.s_[:, : ROTATION.start]
    old = before[coefficients]
    out[coefficients] = np.clip(out[coefficients], np.minimum(old, 0), np.maximum(old, 1))
    return out
