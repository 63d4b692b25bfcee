"""Nods, blinks, smiles and looks, found in a motion, and whether two people's come together.

A nod is a run of peaks of the head's pitch above 0.3 Hz, of a prominence of at least 1.5 degrees,
that follow each other within a second. Gaze is where eyes and head together point; within 4.5
degrees of the camera it is at the partner; a look away begins where it leaves them for a fifth of
a second or more. Events of two motions are matched within half a second;
`chance` says how often as many events at random times would be.
"""

import numpy as np
from jaxtyping import Bool, Float
from scipy.optimize import linear_sum_assignment
from scipy.signal import butter, find_peaks, sosfiltfilt

from app.quality.activity import bridged
from motion2video.motion import EYE_TURN_DEGREES, FPS, ROTATION, channel_index

PROMINENCE = 1.5
SAME_NOD = 25
"""Frames within which the next peak belongs to the same nod."""
AT_PARTNER = 4.5
SHORTEST_LOOK = 5
"""Frames (0.2 s); a shorter look, at the partner or away from them, is none."""
SMILE = [channel_index(f"mouthSmile{side}") for side in ("Left", "Right")]
SMILE_RISE, SMILE_FRAMES = 0.12, 12
MATCHED_S = 0.5
CHANCE_DRAWS = 100
_SHORTEST = 12  # frames that a filter can be run over


def peaks(pitch: Float[np.ndarray, "T"], prominence: float = PROMINENCE) -> np.ndarray:
    """Frames of the nodding peaks of a pitch in radians (down positive)."""
    return find_peaks(fast(pitch), prominence=prominence)[0]


def fast(angle: Float[np.ndarray, "T"], fps: float = FPS) -> Float[np.ndarray, "T"]:
    """Degrees above 0.3 Hz."""
    degrees = np.degrees(np.asarray(angle, np.float64))
    if len(degrees) < _SHORTEST:
        return degrees - (degrees.mean() if len(degrees) else 0)
    return sosfiltfilt(butter(2, 0.3, "high", fs=fps, output="sos"), degrees)


def grouped(found: np.ndarray) -> list[np.ndarray]:
    """Peaks as nods."""
    return np.split(found, np.flatnonzero(np.diff(found) > SAME_NOD) + 1) if len(found) else []


def nods(values: Float[np.ndarray, "T 90"]) -> np.ndarray:
    """Frames at which nods begin."""
    return np.array([nod[0] for nod in grouped(peaks(values[:, ROTATION.start]))], int)


def blinks(values: Float[np.ndarray, "T 90"]) -> np.ndarray:
    """Frames at which the lids are down."""
    return find_peaks(values[:, channel_index("eyeBlinkLeft")], height=0.5, distance=5)[0]


def smile_onsets(values: Float[np.ndarray, "T 90"]) -> np.ndarray:
    """Frames at which smiles rise."""
    level = np.convolve(values[:, SMILE].mean(1), np.ones(5) / 5, "same")
    if len(level) <= SMILE_FRAMES:
        return np.zeros(0, int)
    rise = level[SMILE_FRAMES:] - level[:-SMILE_FRAMES] > SMILE_RISE
    return np.flatnonzero(rise[1:] & ~rise[:-1]) + SMILE_FRAMES // 2


def gaze_angle(values: Float[np.ndarray, "T 90"]) -> Float[np.ndarray, "T"]:
    """Degrees between where eyes and head point and the camera."""
    look = {
        k: values[:, channel_index(f"eyeLook{k}")]
        for k in ("OutLeft", "InLeft", "UpLeft", "DownLeft")
    }
    yaw, pitch = (np.degrees(values[:, ROTATION.start + i]) for i in (1, 0))
    right = (look["OutLeft"] - look["InLeft"]) * EYE_TURN_DEGREES + yaw
    up = (look["UpLeft"] - look["DownLeft"]) * EYE_TURN_DEGREES - pitch
    return np.hypot(right, up)


def looks_away(values: Float[np.ndarray, "T 90"]) -> np.ndarray:
    """Frames at which gaze leaves the partner."""
    away = gaze_angle(values) >= AT_PARTNER
    away = bridged(away, SHORTEST_LOOK - 1)
    away = ~bridged(~away, SHORTEST_LOOK - 1)
    return np.flatnonzero(away[1:] & ~away[:-1]) + 1


def per_minute(count: int, frames: int, fps: float = FPS) -> float:
    """A rate; nan for no frames."""
    return float(count / frames * 60 * fps) if frames else float("nan")


def event_f1(
    made: Float[np.ndarray, "n"], real: Float[np.ndarray, "m"], within_s: float = MATCHED_S
) -> float:
    """Harmonic mean of precision and recall of event times in seconds, each matched to at most one
    of the other motion, as many as can be; nan where there are no events at all.
    """
    if not len(made) + len(real):
        return float("nan")
    if not len(made) or not len(real):
        return 0.0
    apart = np.abs(made[:, None] - real[None])
    # Half-way between all or nothing and the nearest: first of all as many as can be.
    rows, columns = linear_sum_assignment(np.where(apart <= within_s, apart / within_s, 1e3))
    hits = int((apart[rows, columns] <= within_s).sum())
    return 2 * hits / (len(made) + len(real))


def chance(
    count: int,
    real: Float[np.ndarray, "m"],
    allowed: Bool[np.ndarray, "T"],
    fps: float = FPS,
    within_s: float = MATCHED_S,
    seed: int = 0,
) -> float:
    """Mean `event_f1` of `count` events at random among the allowed frames: the floor at the same
    density.
    """
    where = np.flatnonzero(allowed) / fps
    if not len(where) or count > len(where):
        return float("nan")
    rng = np.random.default_rng(seed)
    found = [
        event_f1(np.sort(rng.choice(where, count, replace=False)), real, within_s)
        for _ in range(CHANCE_DRAWS)
    ]
    return float(np.mean(found))
