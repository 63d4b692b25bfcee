"""The report of one video: what its motion and a few of its frames say, each beside a bar.

Bars: lips within a frame of the voice (beyond 80 ms late or 160 ms early everybody sees it, after
ITU-R BT.1359); identity .85; rates of blinks and nods as people have them in conversations
(audio2motion/behaviour/statistics.py); a still picture that does not change by more than one grey
level. A rate is told from LEAST_S seconds on: before, chance decides it.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from app.quality.activity import Roles, widened
from app.quality.events import SMILE, blinks, fast, grouped, peaks, per_minute
from app.quality.lip_sync import Sync
from app.quality.verdict import Bar, Check
from motion2video.motion import FPS, MOTION_DIM, ROTATION, channel_index

LEAST_S = 10.0
LEAST_SILENCE_S = 1.0
BARS = {
    "offset": Bar("lips behind the voice", "ms", -40.0, 40.0, -160.0, 80.0),
    "confidence": Bar("lips and voice agree", "", 0.2, None, 0.1, None),
    "identity": Bar("identity", "cosine", 0.85, None, 0.7, None),
    "flicker": Bar("flicker", "grey levels", None, 1.0, None, 2.0),
    "blinks": Bar("blinks", "a minute", 12.0, 32.0, 4.0, 50.0),
    "mouth": Bar("mouth open in silence", "of its movement", None, 0.2, None, 0.4),
    "nods": Bar("nods while listening", "a minute", 15.0, 45.0, 4.0, 70.0),
    "head": Bar("head pitch while listening", "degrees RMS", 0.5, 3.0, 0.2, 5.0),
    "length": Bar("length beside what was planned", "s", -0.05, 0.05, -0.25, 0.25),
}
KEPT = (channel_index("eyeBlinkLeft"), ROTATION.start, *SMILE)
"""Columns of a motion that a report is made of, beside the lips."""


@dataclass(frozen=True, eq=False)
class Seen:
    """What is known of a video at 25 frames a second: the `kept` columns of its motion, the `gap`
    between the lips in eye distances, and frames in which the agent's voice is heard.
    """

    kept: Float[np.ndarray, "T k"]
    gap: Float[np.ndarray, "T"]
    spoken: Bool[np.ndarray, "T"]

    @property
    def values(self) -> Float[np.ndarray, "T 90"]:
        """A motion of the columns that were kept."""
        values = np.zeros((len(self.kept), MOTION_DIM), np.float32)
        values[:, list(KEPT)] = self.kept
        return values

    @property
    def roles(self) -> Roles:
        """When the agent speaks and listens."""
        return Roles.of(self.spoken)


def at_rate(curves: Float[np.ndarray, "n k"], fps: float) -> Float[np.ndarray, "T k"]:
    """Curves of `fps` numbers a second at 25 a second."""
    if fps == FPS or len(curves) < 2:
        return curves
    wanted = np.arange(max(1, round(len(curves) * FPS / fps))) * fps / FPS
    return np.stack([np.interp(wanted, np.arange(len(curves)), c) for c in curves.T], 1)


def sync_checks(sync: Sync | None) -> list[Check]:
    """How the lips go with the voice."""
    if sync is None:
        why = "too little is said to tell"
        return [BARS["offset"].judge(None, why), BARS["confidence"].judge(None, why)]
    if not sync.sure:
        why = "lips and voice go together too little to tell"
        return [BARS["offset"].judge(None, why), BARS["confidence"].judge(sync.confidence)]
    return [BARS["offset"].judge(sync.offset_ms), BARS["confidence"].judge(sync.confidence)]


def behaviour_checks(seen: Seen) -> list[Check]:
    """Blinks, the mouth in silence, and how alive the listener is."""
    values, roles, frames = seen.values, seen.roles, len(seen.kept)
    short = f"told of {LEAST_S:g} s and more"
    rate = per_minute(len(blinks(values)), frames) if frames >= LEAST_S * FPS else None
    return [
        BARS["blinks"].judge(rate, "" if rate is not None else short),
        _mouth(seen),
        *_listening(values, roles.listens, short),
    ]


def _mouth(seen: Seen) -> Check:
    away = ~widened(seen.spoken, round(0.4 * FPS))
    if away.sum() < LEAST_SILENCE_S * FPS or seen.spoken.sum() < LEAST_SILENCE_S * FPS:
        return BARS["mouth"].judge(None, "told where there is speech and silence")
    moving = float(seen.gap[seen.spoken].std())
    if moving < 1e-4:
        return BARS["mouth"].judge(None, "the lips do not move when the agent speaks")
    return BARS["mouth"].judge(float(np.abs(seen.gap[away]).mean()) / moving)


def _listening(
    values: Float[np.ndarray, "T 90"], listens: Bool[np.ndarray, "T"], short: str
) -> list[Check]:
    if listens.sum() < LEAST_S * FPS:
        return [BARS[name].judge(None, f"of listening, {short}") for name in ("nods", "head")]
    pitch = values[:, ROTATION.start]
    found = [nod for nod in grouped(peaks(pitch)) if listens[nod[0]]]
    moved = float(np.sqrt((fast(pitch)[listens] ** 2).mean()))
    return [
        BARS["nods"].judge(per_minute(len(found), int(listens.sum()))),
        BARS["head"].judge(moved),
    ]
