"""The report of one video: what its motion and a few of its frames say, each beside a bar."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from app.quality.activity import Roles, widened
from app.quality.bars import BARS, KEPT
from app.quality.events import blinks, fast, grouped, peaks, per_minute
from app.quality.lip_sync import Sync
from app.quality.verdict import Check
from motion2video.motion import FPS, MOTION_DIM, ROTATION

LEAST_S = 10.0
"""From so many seconds on a rate is told: before, chance decides it."""
LEAST_SILENCE_S = 1.0


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


def sync_checks(sync: Sync | None, absent: str = "") -> list[Check]:
    """How the lips go with the voice. `absent` says why nobody judged it."""
    if sync is None:
        why = absent or "too little is said to tell"
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
